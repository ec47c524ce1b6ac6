package gmpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/google/uuid"
)

// MaxTasks is how many tasks one call asks for at most.
const MaxTasks = 1000

// TaskType is the word for a kind of task.
type TaskType string

// The tasks of the schema. The last three concern contracts on Axelar and come
// as Unknown.
const (
	TaskVerify                TaskType = "VERIFY"
	TaskConstructProof        TaskType = "CONSTRUCT_PROOF"
	TaskGatewayTx             TaskType = "GATEWAY_TX"
	TaskExecute               TaskType = "EXECUTE"
	TaskRefund                TaskType = "REFUND"
	TaskReactToWasmEvent      TaskType = "REACT_TO_WASM_EVENT"
	TaskReactToExpiredSession TaskType = "REACT_TO_EXPIRED_SIGNING_SESSION"
	TaskReactToRetriablePoll  TaskType = "REACT_TO_RETRIABLE_POLL"
)

// Task is something the service wants done on the chain. Raw is the whole of it
// as it came: what to journal, and what DecodeTask reads again.
type Task struct {
	ID      uuid.UUID
	Chain   string
	Time    time.Time
	Type    TaskType
	Meta    TaskMeta
	Content Content
	Raw     json.RawMessage
}

// TaskMeta says what a task is about: the messages that a gateway transaction
// approves, and what the CALL of a message left to come back.
type TaskMeta struct {
	Scope         []CrossChainID
	SenderAddress string
	SourceContext map[string]string
}

// Content is what a task wants: Verify, ConstructProof, GatewayTx, Execute or
// Refund; Unknown for other types, and Broken where the task does not say what
// its type must say.
type Content interface{ content() }

// Verify: the message that the chain's gateway sent is to be verified.
type Verify struct {
	Message          Message
	DestinationChain string
	Payload          []byte
}

// ConstructProof: a proof for a message to this chain is to be constructed.
type ConstructProof struct {
	Message Message
	Payload []byte
}

// GatewayTx is a call for the chain's gateway; Command is what it carries out.
// The gateway judges its proof.
type GatewayTx struct {
	Data    []byte
	Command axelar.Command
}

// Execute: an approved message is to be executed with its payload. AvailableGas
// is what the service says is left of what was paid; it may be negative.
type Execute struct {
	Message      Message
	Payload      []byte
	AvailableGas Token
}

// Refund: what is left of what was paid for a message goes back.
type Refund struct {
	Message      Message
	Recipient    string
	RemainingGas Token
}

// Unknown is a task of a type that is not one of the above. Body is its content.
type Unknown struct{ Body json.RawMessage }

// Broken is a task that cannot be acted upon: Err says why.
type Broken struct{ Err error }

func (Verify) content()         {}
func (ConstructProof) content() {}
func (GatewayTx) content()      {}
func (Execute) content()        {}
func (Refund) content()         {}
func (Unknown) content()        {}
func (Broken) content()         {}

// Tasks asks for up to limit tasks (1 to MaxTasks) that the service gives after
// one; uuid.Nil: from the first. Those it gives come in its order, each once;
// none at all says that there is nothing to do now. Whoever works through them
// in order uses a Cursor.
func (c *Client) Tasks(ctx context.Context, after uuid.UUID, limit int) ([]Task, error) {
	const op = "get tasks"
	if limit < 1 || limit > MaxTasks {
		return nil, fmt.Errorf("%s: limit of %d, must be 1 to %d: %w", op, limit, MaxTasks, ErrRefused)
	}
	values := url.Values{"limit": {strconv.Itoa(limit)}}
	if after != uuid.Nil {
		values.Set("after", after.String())
	}
	q := query{op: op, method: http.MethodGet, path: []string{"chains", c.cfg.Chain, "tasks"}, values: values, gets: typeJSON, missing: noChain}
	answer, err := c.ask(ctx, q)
	if err != nil {
		return nil, err
	}
	tasks, err := decodeTasks(answer, c.cfg.Chain)
	if err != nil {
		return nil, unusable(q, err)
	}
	return tasks, nil
}

// Task asks for one task again. ErrNotFound where the service does not know it;
// services of before 2026 know none by id.
func (c *Client) Task(ctx context.Context, id uuid.UUID) (Task, error) {
	q := query{op: "get task", method: http.MethodGet, path: []string{"chains", c.cfg.Chain, "tasks", id.String()}, gets: typeJSON,
		missing: "it was not this chain's, or the service knows no tasks by id"}
	answer, err := c.ask(ctx, q)
	if err != nil {
		return Task{}, err
	}
	o := readObject("answer", answer)
	raw := o.raw("task")
	if *o.err != nil {
		return Task{}, unusable(q, *o.err)
	}
	t, err := DecodeTask(c.cfg.Chain, raw)
	if err == nil && t.ID != id {
		err = fmt.Errorf("task %s for %s: %w", t.ID, id, ErrAnswer)
	}
	if err != nil {
		return Task{}, unusable(q, err)
	}
	return t, nil
}

// decodeTasks reads a page. A task that comes twice is one; two that have one
// id are both handed on, the second as Broken.
func decodeTasks(answer []byte, chain string) ([]Task, error) {
	o := readObject("answer", answer)
	items := o.list("tasks")
	if *o.err != nil {
		return nil, *o.err
	}
	var out []Task
	at := map[uuid.UUID]int{}
	for i, raw := range items {
		t, err := DecodeTask(chain, raw)
		if err != nil {
			return nil, fmt.Errorf("tasks[%d]: %w", i, err)
		}
		first, twice := at[t.ID]
		switch {
		case !twice:
			at[t.ID] = len(out)
		case same(out[first].Raw, raw):
			continue
		default:
			t.Content = Broken{fmt.Errorf("task %s comes with two contents: %w", t.ID, ErrAnswer)}
		}
		out = append(out, t)
	}
	return out, nil
}

// DecodeTask reads one task of a chain. It fails only where there is no id to
// know the task by; anything else that is wrong with it makes it Broken.
func DecodeTask(chain string, raw json.RawMessage) (Task, error) {
	if err := checkJSON(raw, maxTaskDepth); err != nil {
		return Task{}, fmt.Errorf("decode task: %w", err)
	}
	o := readObject("task", raw)
	whole := *o.err
	*o.err = nil
	t := Task{ID: o.uuid("id"), Raw: raw}
	if *o.err != nil {
		return Task{}, fmt.Errorf("decode task: %w", *o.err)
	}
	*o.err = whole
	t.Type, t.Chain, t.Time = TaskType(o.text("type")), o.text("chain"), o.time("timestamp")
	// Some parts of Axelar write names of chains in lower case.
	if *o.err == nil && !strings.EqualFold(t.Chain, chain) {
		o.failAt("chain", "is %.100q, not %q", t.Chain, chain)
	}
	if o.has("meta") {
		t.Meta = o.object("meta").taskMeta()
	}
	t.Content = o.content(t.Type)
	if *o.err != nil {
		t.Content = Broken{*o.err}
	}
	return t, nil
}

// maxTaskDepth bounds what is inside of unknown tasks.
const maxTaskDepth = 32

func (o object) taskMeta() (m TaskMeta) {
	m.SenderAddress = o.textOr("sourceChainSenderContractAddress")
	if o.has("scopedMessages") {
		for i, raw := range o.list("scopedMessages") {
			m.Scope = append(m.Scope, o.enter(fmt.Sprintf("%s.scopedMessages[%d]", o.at, i), raw).crossChainID())
		}
	}
	if o.has("sourceContext") {
		ctx := o.object("sourceContext")
		m.SourceContext = map[string]string{}
		for name := range ctx.fields {
			m.SourceContext[name] = ctx.anyText(name)
		}
	}
	return m
}

// content reads the part of a task that its type governs.
func (o object) content(t TaskType) Content {
	switch t {
	case TaskVerify:
		in := o.object("task")
		v := Verify{Message: in.object("message").message(), DestinationChain: in.text("destinationChain")}
		v.Payload = in.payload(v.Message)
		return v
	case TaskConstructProof:
		in := o.object("task")
		p := ConstructProof{Message: in.object("message").message()}
		p.Payload = in.payload(p.Message)
		return p
	case TaskExecute:
		in := o.object("task")
		e := Execute{Message: in.object("message").message(), AvailableGas: in.object("availableGasBalance").token()}
		e.Payload = in.payload(e.Message)
		return e
	case TaskGatewayTx:
		g := GatewayTx{Data: o.object("task").bytes("executeData")}
		if *o.err != nil {
			return g
		}
		var err error
		if g.Command, err = axelar.DecodeCommand(g.Data); err != nil {
			o.failAt("task.executeData", "is no call for a gateway: %v", err)
		}
		return g
	case TaskRefund:
		in := o.object("task")
		r := Refund{Message: in.object("message").message(), Recipient: in.text("refundRecipientAddress"),
			RemainingGas: in.object("remainingGasBalance").token()}
		if *o.err == nil && r.RemainingGas.Amount.Sign() < 0 {
			in.failAt("remainingGasBalance", "is negative")
		}
		return r
	}
	return Unknown{Body: o.fields["task"]}
}

// payload is the payload of a message: what has its hash.
func (o object) payload(m Message) []byte {
	b := o.bytes("payload")
	if *o.err == nil && crypto.Keccak256Hash(b) != common.Hash(m.PayloadHash) {
		o.failAt("payload", "has another hash than the message says")
		return nil
	}
	return b
}
