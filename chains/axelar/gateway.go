package axelar

import (
	"context"
	"errors"
	"fmt"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
)

// Kind is a generation of gateways.
type Kind uint8

// Amplifier gateways know messages by chain and id and signers by a nonce.
// Legacy ones, which Ethereum and Filecoin have in production, process batches
// of commands and know operators.
const (
	Amplifier Kind = iota + 1
	Legacy
)

// String is the snake_case label.
func (k Kind) String() string {
	switch k {
	case Amplifier:
		return "amplifier"
	case Legacy:
		return "legacy"
	}
	return "unknown"
}

// Command is what a signer set signs at once: a batch of messages to approve,
// or the set that follows it. It has exactly one of the two.
type Command struct {
	Approve []Message
	Rotate  *WeightedSigners
}

// ErrCommand says when a command approves and rotates, or neither.
var ErrCommand = errors.New("command is neither a batch nor a rotation")

// check takes the gateway's way to name a message.
func (c Command) check(id func(Message) common.Hash) error {
	if (len(c.Approve) == 0) == (c.Rotate == nil) {
		return ErrCommand
	}
	seen := make(map[common.Hash]int, len(c.Approve))
	for i, m := range c.Approve {
		if err := m.Check(); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		if j, twice := seen[id(m)]; twice {
			return fmt.Errorf("%w: messages %d and %d have one id", ErrMessage, j, i)
		}
		seen[id(m)] = i
	}
	return nil
}

// State is where a message stands at its gateway.
type State uint8

// States of a message. StateExecuted says that the id was executed; neither
// generation tells with which content, only the events do. StateConflict says
// that another content was approved under the id, which only Amplifier
// gateways can tell: at a legacy one it looks executed.
const (
	StateNone State = iota
	StateApproved
	StateExecuted
	StateConflict
)

// String is the snake_case label.
func (s State) String() string {
	switch s {
	case StateNone:
		return "none"
	case StateApproved:
		return "approved"
	case StateExecuted:
		return "executed"
	case StateConflict:
		return "conflict"
	}
	return "unknown"
}

// Standing is what a gateway makes of a signer set.
type Standing uint8

// A gateway takes proofs of the latest set and, for approvals only, of retained
// ones. Sets that it does not know or no longer keeps prove nothing.
const (
	StandingUnknown Standing = iota
	StandingExpired
	StandingRetained
	StandingLatest
)

// String is the snake_case label.
func (s Standing) String() string {
	switch s {
	case StandingExpired:
		return "expired"
	case StandingRetained:
		return "retained"
	case StandingLatest:
		return "latest"
	}
	return "unknown"
}

// Gateway is one gateway of either generation: what a relayer and a signer need
// of it. It holds no connection; what must be read from the chain is a Question.
type Gateway interface {
	Kind() Kind
	Address() common.Address

	// CommandID is what the gateway knows a message by.
	CommandID(Message) common.Hash
	// CheckSigners says whether the gateway would accept the set (ErrSignerSet);
	// SignersHash is what it knows the set by.
	CheckSigners(WeightedSigners) error
	SignersHash(WeightedSigners) (common.Hash, error)

	// Digest is what each signer of set signs, raw, for a command. ErrSignerSet,
	// ErrCommand or ErrMessage where the gateway would refuse it.
	Digest(set WeightedSigners, c Command) (common.Hash, error)
	// Calldata is the call that carries the command out, with signatures over its
	// digest in any order; ErrQuorum where they do not suffice.
	Calldata(set WeightedSigners, c Command, signatures [][]byte) ([]byte, error)

	// State asks where a message stands. After each approval it is asked again:
	// a legacy gateway's transaction succeeds even where a command in it fails,
	// and neither generation emits anything for what was approved before.
	State(Message) Question[State]
	// StateOf asks the same of what was approved by an event, under the id that
	// the event names: Axelar's own ids at legacy gateways follow from nothing
	// that a relayer knows. ErrMessage where the id cannot be the message's.
	StateOf(Approved) Question[State]
	// Standing asks what the gateway makes of a set; after a rotation too.
	Standing(WeightedSigners) Question[Standing]

	// Filter is the events to watch; Decode reads one. ok is false for events of
	// other contracts and other topics.
	Filter() chains.Filter
	Decode(chains.Event) (e Event, ok bool, err error)
}

// Call is one read of a contract.
type Call struct {
	To   common.Address
	Data []byte
}

// Question is what one asks a chain: calls to make at one and the same block,
// and how their answers, in the same order, are read together.
type Question[T any] struct {
	Calls []Call
	Read  func(answers [][]byte) (T, error)
}

// ErrAnswer says when the answers to a question do not fit together: they are
// of different blocks, or the contract is another than was thought.
var ErrAnswer = errors.New("answers do not fit together")

// ask makes a question whose answers must be as many as its calls.
func ask[T any](calls []Call, read func(answers [][]byte) (T, error)) Question[T] {
	return Question[T]{Calls: calls, Read: func(answers [][]byte) (T, error) {
		if len(answers) != len(calls) {
			var none T
			return none, fmt.Errorf("%d answers to %d calls: %w", len(answers), len(calls), ErrAnswer)
		}
		return read(answers)
	}}
}

// All joins questions into one, so that they go out in one batch.
func All[T any](questions []Question[T]) Question[[]T] {
	var calls []Call
	for _, q := range questions {
		calls = append(calls, q.Calls...)
	}
	return ask(calls, func(answers [][]byte) ([]T, error) {
		out := make([]T, len(questions))
		for i, q := range questions {
			var err error
			if out[i], err = q.Read(answers[:len(q.Calls)]); err != nil {
				return nil, fmt.Errorf("question %d: %w", i, err)
			}
			answers = answers[len(q.Calls):]
		}
		return out, nil
	})
}

// Caller reads contracts, all at one block of its choice. A revert is a
// *chains.RevertError.
type Caller interface {
	CallContract(ctx context.Context, to common.Address, data []byte) ([]byte, error)
}

// Ask puts a question to a chain, one call after the other.
func Ask[T any](ctx context.Context, c Caller, q Question[T]) (T, error) {
	var none T
	answers := make([][]byte, len(q.Calls))
	for i, call := range q.Calls {
		var err error
		if answers[i], err = c.CallContract(ctx, call.To, call.Data); err != nil {
			return none, fmt.Errorf("read %s: %w", call.To, err)
		}
	}
	return q.Read(answers)
}
