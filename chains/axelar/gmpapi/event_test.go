package gmpapi

import (
	"encoding/json"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/test/gmp"
	"github.com/ethereum/go-ethereum/common"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// samples is one event of each type with every field filled, and one with only
// what must be there.
func samples() []Event {
	yes := true
	id := "0x01-2"
	meta := Meta{TxID: "0x01", Timestamp: time.Unix(1_700_000_000, 0).UTC(), From: "0x02", Finalized: &yes}
	failed := FailedMeta{From: "0x02", Timestamp: meta.Timestamp, TaskItemID: uuid.UUID{1}}
	m := Message{ID: id, SourceChain: "filecoin", SourceAddress: "0x03", DestinationAddress: "axelar1hub", PayloadHash: Hash{4}}
	coin, token := Coin(big.NewInt(5)), Token{TokenID: "0x06", Amount: big.NewInt(7)}
	base := Base{ID: id}
	return []Event{
		Call{base, CallMeta{Meta: meta, ParentMessageID: "0x0a-1", ParentSourceChain: "axelar", SenderContract: "0x05", SourceContext: map[string]string{"a": "b"}}, m, "axelar", Bytes{1}},
		Call{Base: base, Message: m, DestinationChain: "axelar"},
		GasCredit{base, meta, id, "0x05", coin},
		GasCredit{base, Meta{}, id, "0x05", token},
		GasRefunded{base, meta, id, "0x05", coin, coin},
		MessageApproved{base, ApprovedMeta{meta, "0x06"}, m, coin},
		MessageExecuted{base, ExecutedMeta{meta, "0x06", []string{id}, "because"}, id, "axelar", Reverted, coin},
		MessageExecutedV2{base, ExecutedMeta{meta, "0x06", []string{id}, ""}, CrossChainID{"axelar", id}, coin},
		CannotExecuteMessage{base, failed, uuid.UUID{1}, InsufficientGas, "so"},
		CannotExecuteMessageV2{base, failed, id, "axelar", OtherError, "so"},
		CannotRouteMessage{base, meta, id, CustomReason, "so"},
		CannotExecuteTask{base, meta, uuid.UUID{1}, TxReverted, "so", coin},
		SignersRotated{base, RotatedMeta{meta, Bytes{1}, 3}, id},
		TransferSent{base, meta, id, "ethereum", token, "0x03", Bytes{1}, Bytes{2}},
		TransferSent{base, meta, id, "ethereum", token, "0x03", Bytes{1}, nil},
		TransferReceived{base, meta, id, "ethereum", Bytes{1}, "0x03", token, nil},
		DeployStarted{base, meta, id, "ethereum", TokenDefinition{"0x06", "Fleet", "FLT", 18}},
		TokenDeployed{base, meta, &id, "0x06", "0x07", "0x08", "Fleet", "FLT", 18},
		TokenDeployed{base, meta, nil, "0x06", "0x07", "0x08", "Fleet", "FLT", 0},
		ManagerDeployed{base, meta, &id, "0x06", "0x07", ManagerLockUnlock},
		LinkStarted{base, meta, id, "0x06", "ethereum", Bytes{1}, Bytes{2}, ManagerMintBurn},
		LinkReceived{base, meta, id, "0x06", "ethereum", Bytes{1}, Bytes{2}, ManagerNative},
		MetadataRegistered{base, meta, id, "0x06", 18},
		FlowLimitSet{base, meta, "0x06", "0x07", Amount{big.NewInt(8)}},
	}
}

func generic(t testing.TB, raw []byte) map[string]any {
	var v map[string]any
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	require.NoError(t, dec.Decode(&v))
	return v
}

func TestEveryEventIsWhatTheSchemaAllows(t *testing.T) {
	seen := map[EventType]bool{}
	for _, e := range samples() {
		raw, err := EncodeEvent(e)
		require.NoError(t, err, "%T", e)
		require.NoError(t, gmp.CheckEvent(generic(t, raw)), "%s", raw)
		back, err := DecodeEvent(raw)
		require.NoError(t, err, "%T", e)
		require.Equal(t, e.Type(), back.Type())
		again, err := EncodeEvent(back)
		require.NoError(t, err)
		require.Equal(t, string(raw), string(again))
		require.IsType(t, e, back)
		seen[e.Type()] = true
	}
	// Every type of the schema is here, and no other.
	var ours []string
	for kind := range kinds {
		require.True(t, seen[kind], "%s has no sample", kind)
		ours = append(ours, string(kind))
	}
	require.ElementsMatch(t, gmp.EventTypes(), ours)
}

// Whatever required text is taken out of an event, or made no text, it is
// refused before it is sent; and so is an amount that is none.
func TestAnEventThatTheSchemaForbidsIsNotEncoded(t *testing.T) {
	optional := map[string]bool{"Meta": true}
	for _, e := range samples() {
		v := reflect.ValueOf(e)
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if optional[name] {
				continue
			}
			for _, bad := range worse(name, v.Field(i)) {
				p := reflect.New(v.Type())
				p.Elem().Set(v)
				p.Elem().Field(i).Set(bad)
				_, err := EncodeEvent(p.Elem().Interface().(Event))
				require.ErrorIs(t, err, ErrEvent, "%T with %s = %v", e, name, bad)
			}
		}
	}
	negative := RotatedMeta{Epoch: -1}
	_, err := EncodeEvent(SignersRotated{Base: Base{ID: "1"}, Meta: negative, MessageID: "1"})
	require.ErrorIs(t, err, ErrEvent)
	call := samples()[1].(Call)
	for what, ctx := range map[string]map[string]string{
		"too long": {"a": strings.Repeat("x", 1001)}, "no text": {"a": "\xff"}, "no name": {"\xff": "a"},
		"too many": {"0": "", "1": "", "2": "", "3": "", "4": "", "5": "", "6": "", "7": "", "8": "", "9": "", "10": ""},
	} {
		call.Meta.SourceContext = ctx
		_, err := EncodeEvent(call)
		require.ErrorIs(t, err, ErrEvent, what)
	}
}

// worse is what a field of an event must not be.
func worse(name string, f reflect.Value) (out []reflect.Value) {
	bad := func(vs ...any) {
		for _, v := range vs {
			out = append(out, reflect.ValueOf(v).Convert(f.Type()))
		}
	}
	long := strings.Repeat("x", maxText+1)
	switch v := f.Interface().(type) {
	case string:
		bad("", long, "\xff")
	case *string:
		if v != nil {
			empty := ""
			bad(&empty, &long)
		}
	case Base:
		bad(Base{}, Base{ID: long})
	case CrossChainID:
		bad(CrossChainID{MessageID: v.MessageID}, CrossChainID{SourceChain: v.SourceChain})
	case uuid.UUID:
		bad(uuid.Nil)
	case Token:
		if name == "TokenSpent" || name == "TokenReceived" {
			bad(Token{Amount: v.Amount})
		}
		bad(Token{TokenID: v.TokenID}, Token{v.TokenID, big.NewInt(-1)}, Token{v.TokenID, new(big.Int).Lsh(common.Big1, 256)})
	case Bytes:
		if name != "Payload" && name != "DataHash" {
			bad(Bytes{})
		}
	case Amount:
		bad(Amount{}, Amount{big.NewInt(-1)})
	case Message:
		for _, change := range []func(*Message){func(m *Message) { m.ID = "" }, func(m *Message) { m.SourceChain = "" },
			func(m *Message) { m.SourceAddress = "" }, func(m *Message) { m.DestinationAddress = "" }} {
			m := v
			change(&m)
			bad(m)
		}
	case TokenDefinition:
		bad(TokenDefinition{Name: "a", Symbol: "b"}, TokenDefinition{ID: "a", Symbol: "b"}, TokenDefinition{ID: "a", Name: "b"})
	}
	return out
}

func TestOnlyWhatWasEncodedIsDecoded(t *testing.T) {
	raw, err := EncodeEvent(samples()[2])
	require.NoError(t, err)
	good := string(raw)
	for what, bad := range map[string]string{
		"nothing": "", "no object": "[]", "no type": "{}", "another type": strings.Replace(good, "GAS_CREDIT", "GAS", 1), "cut": good[:len(good)-1],
		"a space": strings.Replace(good, ":", ": ", 1), "a field more": strings.Replace(good, "{", `{"x":1,`, 1), "an amount with a zero": strings.Replace(good, `"5"`, `"05"`, 1),
		"a number for an amount": strings.Replace(good, `"5"`, `5`, 1), "a name in other letters": strings.Replace(good, `"messageID"`, `"messageId"`, 1),
		"twice": strings.Replace(good, `"messageID"`, `"messageID":"0x09-9","messageID"`, 1), "deep": strings.Repeat("[", 100), "trailing": good + "{}",
		"not UTF-8": strings.Replace(good, "0x05", "\xff", 1), "of another kind": strings.Replace(good, "GAS_CREDIT", "CALL", 1),
	} {
		_, err := DecodeEvent([]byte(bad))
		require.Error(t, err, what)
	}
}

func TestEventsArePublishedAndTheirResultsGoByIndex(t *testing.T) {
	s, c := serve(t)
	s.Refuse = func(e map[string]any) (string, bool) {
		switch e["type"] {
		case string(TypeCall):
			return "later\n please", true
		case string(TypeGasCredit):
			return "never", false
		}
		return "", false
	}
	all := samples()
	results, err := c.Publish(t.Context(), all)
	require.NoError(t, err)
	require.Len(t, results, len(all))
	for i, e := range all {
		switch e.Type() {
		case TypeCall:
			require.Equal(t, Result{Error: "later  please", Retriable: true}, results[i])
		case TypeGasCredit:
			require.Equal(t, Result{Error: "never"}, results[i])
		default:
			require.Equal(t, Result{Accepted: true}, results[i])
		}
	}
	for _, n := range []int{0, MaxEvents + 1} {
		_, err := c.Publish(t.Context(), make([]Event, n))
		require.ErrorIs(t, err, ErrEvent)
	}
	full := make([]Event, MaxEvents)
	for i := range full {
		full[i] = samples()[3]
	}
	s.Refuse = nil
	_, err = c.Publish(t.Context(), full)
	require.NoError(t, err)
	before := s.Requests()
	_, err = c.Publish(t.Context(), []Event{samples()[2], Call{}})
	require.ErrorIs(t, err, ErrEvent)
	require.Equal(t, before, s.Requests(), "one that cannot be published is not sent")
}

func TestResultsThatDoNotFitTheEventsAreNoAnswer(t *testing.T) {
	good := `{"results":[{"status":"ACCEPTED","index":1,"new":{}},{"status":"ERROR","index":0,"error":"x","retriable":true}]}`
	got, err := decodeResults([]byte(good), 2)
	require.NoError(t, err)
	require.Equal(t, []Result{{Error: "x", Retriable: true}, {Accepted: true}}, got)
	for what, bad := range map[string]string{
		"nothing":            `{}`,
		"null":               `{"results":null}`,
		"no list":            `{"results":{}}`,
		"one is missing":     `{"results":[{"status":"ACCEPTED","index":0}]}`,
		"one twice":          `{"results":[{"status":"ACCEPTED","index":0},{"status":"ACCEPTED","index":0}]}`,
		"one twice, and all": `{"results":[{"status":"ACCEPTED","index":0},{"status":"ACCEPTED","index":1},{"status":"ERROR","index":1,"retriable":true}]}`,
		"one too many":       `{"results":[{"status":"ACCEPTED","index":0},{"status":"ACCEPTED","index":1},{"status":"ACCEPTED","index":2}]}`,
		"a negative index":   `{"results":[{"status":"ACCEPTED","index":-1},{"status":"ACCEPTED","index":1}]}`,
		"an index in quotes": `{"results":[{"status":"ACCEPTED","index":"0"},{"status":"ACCEPTED","index":1}]}`,
		"another word":       `{"results":[{"status":"success","index":0},{"status":"ACCEPTED","index":1}]}`,
		"no status":          `{"results":[{"index":0},{"status":"ACCEPTED","index":1}]}`,
		"not retriable?":     `{"results":[{"status":"ERROR","index":0,"error":"x"},{"status":"ACCEPTED","index":1}]}`,
		"retriable: maybe":   `{"results":[{"status":"ERROR","index":0,"error":"x","retriable":1},{"status":"ACCEPTED","index":1}]}`,
		"status twice":       `{"results":[{"status":"ERROR","status":"ACCEPTED","index":0},{"status":"ACCEPTED","index":1}]}`,
	} {
		_, err := decodeResults([]byte(bad), 2)
		require.ErrorIs(t, err, ErrAnswer, what)
	}
}
