package gmp

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// rule says what is wrong with a JSON value (decoded with numbers as they were
// written) at a path; nil: nothing.
type rule func(at string, v any) error

// field is one property of an object.
type field struct {
	name     string
	required bool
	rule     rule
}

func must(name string, r rule) field { return field{name, true, r} }
func may(name string, r rule) field  { return field{name, false, r} }

// object has these properties and no others: the schema allows others, and
// whoever sends one here has misspelt something.
func object(fields ...field) rule {
	return func(at string, v any) error {
		m, ok := v.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is no object", at)
		}
		for _, f := range fields {
			value, there := m[f.name]
			if !there {
				if f.required {
					return fmt.Errorf("%s lacks %s", at, f.name)
				}
				continue
			}
			if err := f.rule(at+"."+f.name, value); err != nil {
				return err
			}
		}
		for name := range m {
			if !slices.ContainsFunc(fields, func(f field) bool { return f.name == name }) {
				return fmt.Errorf("%s has %s, which is not in the schema", at, name)
			}
		}
		return nil
	}
}

func list(least, most int, each rule) rule {
	return func(at string, v any) error {
		items, ok := v.([]any)
		if !ok {
			return fmt.Errorf("%s is no array", at)
		}
		if len(items) < least || most > 0 && len(items) > most {
			return fmt.Errorf("%s has %d items", at, len(items))
		}
		for i, item := range items {
			if err := each(fmt.Sprintf("%s[%d]", at, i), item); err != nil {
				return err
			}
		}
		return nil
	}
}

// texts is an object of strings.
func texts(most, length int) rule {
	return func(at string, v any) error {
		m, ok := v.(map[string]any)
		if !ok || len(m) > most {
			return fmt.Errorf("%s is no object of at most %d", at, most)
		}
		for name, value := range m {
			if s, ok := value.(string); !ok || len(s) > length {
				return fmt.Errorf("%s.%s is no text of at most %d", at, name, length)
			}
		}
		return nil
	}
}

func text(at string, v any) error {
	if s, ok := v.(string); !ok || s == "" {
		return fmt.Errorf("%s is no text", at)
	}
	return nil
}

// anyText may be empty.
func anyText(at string, v any) error {
	if _, ok := v.(string); !ok {
		return fmt.Errorf("%s is no text", at)
	}
	return nil
}

func matches(pattern string) rule {
	re := regexp.MustCompile(pattern)
	return func(at string, v any) error {
		if s, ok := v.(string); !ok || !re.MatchString(s) {
			return fmt.Errorf("%s does not match %s", at, pattern)
		}
		return nil
	}
}

func oneOf(words ...string) rule {
	return func(at string, v any) error {
		if s, ok := v.(string); !ok || !slices.Contains(words, s) {
			return fmt.Errorf("%s is none of %v", at, words)
		}
		return nil
	}
}

// encoded is base64 of at least that many characters.
func encoded(least int) rule {
	return func(at string, v any) error {
		s, ok := v.(string)
		if !ok || len(s) < least {
			return fmt.Errorf("%s is no text of at least %d", at, least)
		}
		if _, err := base64.StdEncoding.DecodeString(s); err != nil {
			return fmt.Errorf("%s is no base64", at)
		}
		return nil
	}
}

func moment(at string, v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("%s is no time", at)
	}
	if _, err := time.Parse(time.RFC3339, s); err != nil {
		return fmt.Errorf("%s is no time", at)
	}
	return nil
}

// number is whole and from 0 to most.
func number(most uint64) rule {
	return func(at string, v any) error {
		n, ok := v.(json.Number)
		if !ok {
			return fmt.Errorf("%s is no number", at)
		}
		if u, err := strconv.ParseUint(n.String(), 10, 64); err != nil || u > most {
			return fmt.Errorf("%s is no number up to %d", at, most)
		}
		return nil
	}
}

func boolean(at string, v any) error {
	if _, ok := v.(bool); !ok {
		return fmt.Errorf("%s is no boolean", at)
	}
	return nil
}

func identifier(at string, v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("%s is no UUID", at)
	}
	if _, err := uuid.Parse(s); err != nil {
		return fmt.Errorf("%s is no UUID", at)
	}
	return nil
}

func orNull(r rule) rule {
	return func(at string, v any) error {
		if v == nil {
			return nil
		}
		return r(at, v)
	}
}

func either(a, b rule) rule {
	return func(at string, v any) error {
		first := a(at, v)
		if first == nil || b(at, v) == nil {
			return nil
		}
		return first
	}
}

// The schema "Amplifier GMP API" 1.0.0 as it was public in August 2026, in the
// words above.
var (
	whole     = matches(`^(0|[1-9]\d*)$`)
	signed    = matches(`^(0|-?[1-9]\d*)$`)
	hash      = matches(`^0x[0-9a-f]{64}$`)
	contract  = matches(`^axelar1[acdefghjklmnpqrstuvwxyz023456789]{58}$`)
	token     = object(may("tokenID", orNull(text)), must("amount", whole))
	balance   = object(may("tokenID", orNull(text)), must("amount", signed))
	named     = object(must("tokenID", text), must("amount", whole))
	fee       = object(may("meta", object(may("txID", text))), must("id", text), may("description", anyText), must("token", token))
	cost      = either(token, list(0, 0, fee))
	message   = object(must("messageID", text), must("sourceChain", text), must("sourceAddress", text), must("destinationAddress", text), must("payloadHash", encoded(1)))
	crossID   = object(must("sourceChain", text), must("messageID", text))
	manager   = oneOf("NATIVE_INTERCHAIN_TOKEN", "MINT_BURN_FROM", "LOCK_UNLOCK", "LOCK_UNLOCK_FEE", "MINT_BURN")
	decimals  = number(255)
	messageID = must("messageID", text)
)

// meta is the metadata of an event with further fields.
func meta(more ...field) field {
	return may("meta", orNull(object(append([]field{may("txID", orNull(text)), may("timestamp", moment),
		may("fromAddress", orNull(text)), may("finalized", orNull(boolean))}, more...)...)))
}

func event(fields ...field) rule {
	return object(append([]field{must("type", text), must("eventID", text)}, fields...)...)
}

var failed = may("meta", orNull(object(may("fromAddress", orNull(text)), may("timestamp", moment), may("taskItemID", identifier))))

// events is the rule for each type of event.
var events = map[string]rule{
	"GAS_CREDIT":   event(meta(), messageID, must("refundAddress", text), must("payment", token)),
	"GAS_REFUNDED": event(meta(), messageID, must("recipientAddress", text), must("refundedAmount", token), must("cost", cost)),
	"CALL": event(meta(may("parentMessageID", orNull(text)), may("parentSourceChain", orNull(text)), may("senderContractAddress", orNull(text)),
		may("sourceContext", texts(10, 1000))),
		must("message", message), must("destinationChain", text), must("payload", encoded(0)), may("withToken", named)),
	"MESSAGE_APPROVED": event(meta(may("commandID", orNull(text))), must("message", message), must("cost", cost)),
	"MESSAGE_EXECUTED": event(executed, messageID, must("sourceChain", text), must("status", oneOf("SUCCESSFUL", "REVERTED")), must("cost", cost)),
	"MESSAGE_EXECUTED/V2": event(executed, must("crossChainID", crossID),
		must("cost", cost)),
	"CANNOT_EXECUTE_MESSAGE": event(failed, must("taskItemID", identifier), must("reason", oneOf("INSUFFICIENT_GAS", "ERROR")), must("details", text)),
	"CANNOT_EXECUTE_MESSAGE/V2": event(failed, messageID, must("sourceChain", text), must("reason", oneOf("INSUFFICIENT_GAS", "ERROR")),
		must("details", text)),
	"CANNOT_ROUTE_MESSAGE": event(meta(), messageID, must("reason", oneOf("CUSTOM", "ERROR")), must("details", text)),
	"CANNOT_EXECUTE_TASK": event(meta(), must("taskItemID", identifier), must("reason", oneOf("CUSTOM", "ERROR", "INSUFFICIENT_GAS", "TX_REVERTED")),
		must("details", text), may("cost", cost)),
	"SIGNERS_ROTATED": event(meta(may("signersHash", encoded(1)), may("epoch", number(1<<63-1))), messageID),

	"ITS/TOKEN_METADATA_REGISTERED": event(meta(), messageID, must("address", text), must("decimals", decimals)),
	"ITS/LINK_TOKEN_STARTED": event(meta(), messageID, must("tokenID", text), must("destinationChain", text), must("sourceTokenAddress", encoded(1)),
		must("destinationTokenAddress", encoded(1)), must("tokenManagerType", manager)),
	"ITS/LINK_TOKEN_RECEIVED": event(meta(), messageID, must("tokenID", text), must("sourceChain", text), must("sourceTokenAddress", encoded(1)),
		must("destinationTokenAddress", encoded(1)), must("tokenManagerType", manager)),
	"ITS/INTERCHAIN_TOKEN_DEPLOYMENT_STARTED": event(meta(), messageID, must("destinationChain", text),
		must("token", object(must("id", text), must("name", text), must("symbol", text), must("decimals", decimals)))),
	"ITS/INTERCHAIN_TOKEN_DEPLOYED": event(meta(), must("messageID", orNull(text)), must("tokenID", text), must("tokenAddress", text),
		must("minter", text), must("name", text), must("symbol", text), must("decimals", decimals)),
	"ITS/TOKEN_MANAGER_DEPLOYED": event(meta(), must("messageID", orNull(text)), must("tokenID", text), must("tokenManager", text),
		must("tokenManagerType", manager)),
	"ITS/INTERCHAIN_TRANSFER": event(meta(), messageID, must("destinationChain", text), must("tokenSpent", named), must("sourceAddress", text),
		must("destinationAddress", encoded(1)), must("dataHash", encoded(0))),
	"ITS/INTERCHAIN_TRANSFER_RECEIVED": event(meta(), messageID, must("sourceChain", text), must("sourceAddress", encoded(1)),
		must("destinationAddress", text), must("tokenReceived", named), must("dataHash", encoded(0))),
	"ITS/FLOW_LIMIT_SET": event(meta(), must("tokenID", text), must("operator", text), must("flowLimit", whole)),
}

var executed = meta(may("commandID", orNull(text)), may("childMessageIDs", orNull(list(0, 0, text))), may("revertReason", orNull(anyText)))

// tasks is the rule for the content of each type of task.
var tasks = map[string]rule{
	"VERIFY":          object(must("message", message), must("destinationChain", text), must("payload", encoded(1))),
	"CONSTRUCT_PROOF": object(must("message", message), must("payload", encoded(1))),
	"GATEWAY_TX":      object(must("executeData", encoded(1))),
	"EXECUTE":         object(must("message", message), must("payload", encoded(1)), must("availableGasBalance", balance)),
	"REFUND":          object(must("message", message), must("refundRecipientAddress", text), must("remainingGasBalance", token)),
	"REACT_TO_WASM_EVENT": object(must("height", number(1<<63-1)), must("event", object(must("type", text),
		must("attributes", list(0, 0, object(must("key", text), must("value", text))))))),
	"REACT_TO_EXPIRED_SIGNING_SESSION": object(must("sessionID", number(1<<64-1)), must("broadcastID", identifier),
		must("invokedContractAddress", text), must("requestPayload", anything)),
	"REACT_TO_RETRIABLE_POLL": object(must("pollID", number(1<<64-1)), must("broadcastID", identifier), must("invokedContractAddress", text),
		must("requestPayload", anything), must("quorumReachedEvents", list(0, 0, object(must("status", text), must("content", anything))))),
}

func anything(string, any) error { return nil }

// EventTypes are the types of events that the server takes.
func EventTypes() (out []string) {
	for t := range events {
		out = append(out, t)
	}
	slices.Sort(out)
	return out
}

// CheckEvent says what the schema has against an event.
func CheckEvent(v any) error {
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("event is no object")
	}
	t, _ := m["type"].(string)
	r, known := events[t]
	if !known {
		return fmt.Errorf("event.type is %q", t)
	}
	return r("event", v)
}

// CheckTask says what the schema has against the content of a task.
func CheckTask(kind string, v any) error {
	r, known := tasks[kind]
	if !known {
		return fmt.Errorf("task.type is %q", kind)
	}
	return r("task", v)
}
