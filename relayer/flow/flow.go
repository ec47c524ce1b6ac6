// Package flow says what happens next to a transfer: one file per flow, each a
// list of steps. It talks to no store and no chain client of its own: it gets
// functions. A flow promises that each of its steps is decided only by what a
// final block says.
package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// Kind is the answer to "has this step happened?".
type Kind uint8

const (
	// Unknown: cannot be said now (an error, a missing answer, a height behind
	// the cursor). Never triggers Do.
	Unknown Kind = iota
	// Pending: definitely not yet, at a pinned final block. Do may run.
	Pending
	// Ok, Failed and Superseded decide the step.
	Ok
	Failed
	Superseded
)

// String is the label used in the store, metrics and JSON.
func (k Kind) String() string {
	switch k {
	case Pending:
		return "pending"
	case Ok:
		return "ok"
	case Failed:
		return "failed"
	case Superseded:
		return "superseded"
	}
	return "unknown"
}

// Outcome is a Kind with its reason (only for Failed and Superseded).
type Outcome struct {
	Kind   Kind
	Reason Reason
}

// Key correlates a destination event with the transfers that wait for it.
type Key string

// Lane says what must be serial. In a strict lane the head (lowest Seq) blocks
// those behind it; in a loose one it does not.
type Lane struct {
	Name   string
	Strict bool
	Seq    uint64
}

// Batch is what one look covers: transfers of one lane at one step, under one
// fence.
type Batch struct {
	Fence     chains.Fence
	Transfers []tokens.Transfer
	// Rides are the keys of the undecided transactions that the transfers are in,
	// as of when they were claimed; "" for one that is in none, nil where nobody is.
	Rides []string
}

// ride is the key of the undecided transaction that a transfer is in; "" for none.
func (b Batch) ride(i int) string {
	if b.Rides == nil {
		return ""
	}
	return b.Rides[i]
}

// riding is how many transfers from one on are in the undecided transaction of a key.
func (b Batch) riding(from int, key string) (n int) {
	for from+n < len(b.Transfers) && b.ride(from+n) == key {
		n++
	}
	return n
}

// Step is one stretch of a transfer's way.
type Step struct {
	Name string
	// Key is what a final event must carry to decide this step.
	Key func(tokens.Transfer) Key
	// Shared says that several transfers may carry the key: foreign gateways give
	// identical messages one id. Each event then decides one of them, the oldest
	// first, and only once it stands at this step (PROTOCOL 46). Such a step has
	// no Do, and its Done decides nothing.
	Shared bool
	// Effect reads a final event: the key it decides and how. mine is false for
	// every event that is not this step's.
	Effect func(chains.Event) (key Key, out Outcome, mine bool)
	// Searched says that Done may journal a fact itself: the event that decides the
	// step does not name the transfer, so that Effect cannot know it.
	Searched bool
	// Done asks the chain the same question for a batch, at one final block:
	// the net under the events. One outcome per transfer.
	Done func(context.Context, []tokens.Transfer) ([]Outcome, error)
	// Do starts the effect, one result per transfer. It may be called again at
	// any time. nil: the step only waits.
	Do func(context.Context, Batch) ([]error, error)
	// Next names the step after, per outcome, or a terminal status.
	Next map[Kind]string
	Lane func(tokens.Transfer) Lane
	// Poll is the time between two looks while nothing happens.
	Poll time.Duration
}

// Flow is the way of one kind of transfer.
type Flow struct {
	Name   string
	Subnet common.Address // the subnet's actor: flows of two subnets share a name
	// Chain names the chain whose events begin a transfer of this flow.
	Chain string
	// Chains names every chain whose blocks its steps rest on or that they send
	// to: when a final block of one changes, the flow's lanes stop (PROTOCOL 52).
	Chains []string
	// Decode reads the event that begins a transfer. mine is false for foreign
	// events; an error means an event of our own contract that cannot be read,
	// which halts the watcher.
	Decode func(chains.Event) (t tokens.Transfer, mine bool, err error)
	Steps  []Step
}

// Check says whether the flow is well formed: every Next names a step or a
// terminal status, and steps only go forward.
func (f Flow) Check() error {
	var errs []error
	if f.Name == "" || f.Chain == "" || f.Decode == nil || len(f.Steps) == 0 {
		errs = append(errs, errors.New("a name, a chain, a decoder and steps are required"))
	}
	if !slices.Contains(f.Chains, f.Chain) {
		errs = append(errs, errors.New("the chains it relies on lack its own"))
	}
	index := map[string]int{}
	for i, s := range f.Steps {
		if s.Name == "" || tokens.Status(s.Name).Terminal() {
			errs = append(errs, fmt.Errorf("step %d cannot be named %q", i, s.Name))
		}
		if _, dup := index[s.Name]; dup {
			errs = append(errs, fmt.Errorf("step %q twice", s.Name))
		}
		index[s.Name] = i
	}
	for i, s := range f.Steps {
		if s.Lane == nil || s.Done == nil || s.Key == nil || s.Effect == nil || s.Poll <= 0 {
			errs = append(errs, fmt.Errorf("step %q lacks a part", s.Name))
		}
		if s.Shared && s.Do != nil {
			errs = append(errs, fmt.Errorf("step %q shares its key and acts", s.Name))
		}
		for _, k := range []Kind{Ok, Failed, Superseded} {
			next, ok := s.Next[k]
			if !ok {
				continue
			}
			if tokens.Status(next).Terminal() {
				continue
			}
			if j, ok := index[next]; !ok || j <= i {
				errs = append(errs, fmt.Errorf("step %q, %s: %q is neither a later step nor a terminal status", s.Name, k, next))
			}
		}
		if s.Next[Ok] == "" {
			errs = append(errs, fmt.Errorf("step %q has no next for ok", s.Name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("flow %s: %w", f.Name, err)
	}
	return nil
}

// TransferID is the content id of a transfer (PROTOCOL 46).
func TransferID(flow string, source chains.ID, contract, subnet common.Address, nonce uint64) common.Hash {
	return crypto.Keccak256Hash(fmt.Appendf(nil, "causeway/1|%s|%d|%s|%s|%d", flow, source, contract.Hex(), subnet.Hex(), nonce))
}

// Reason is one of a closed list; also a metric label and a row of the
// README's table.
type Reason string

// The reasons a transfer is parked, failed or superseded for.
const (
	ReasonNone             Reason = ""
	ReasonPoison           Reason = "poison"            // its handler panicked three times, or died six times
	ReasonUndecodable      Reason = "undecodable"       // an attacker's payload, or a bug
	ReasonRejected         Reason = "rejected"          // the destination contract refuses it for good
	ReasonRecipientFailed  Reason = "recipient_failed"  // the recipient's code or account refused the value
	ReasonRefundRefused    Reason = "refund_refused"    // the refund could not be paid and is a credit
	ReasonPayoutRefused    Reason = "payout_refused"    // the payout could not be paid and is a credit
	ReasonQuarantined      Reason = "quarantined"       // value and message disagree; claimable at the smaller of both
	ReasonReturned         Reason = "returned"          // the message failed on the root and its value went back to the outbox
	ReasonOperator         Reason = "operator"          // an operator discarded it
	ReasonFinalityRegress  Reason = "finality_regress"  // a final block changed under its facts
	ReasonBatchMismatch    Reason = "batch_mismatch"    // the batch's messages do not hash to the signed root
	ReasonInsufficientFund Reason = "insufficient_fund" // the relayer's account cannot pay for gas
	ReasonUnprovenRefund   Reason = "unproven_refund"   // a message failed under published contracts, which keep no credit
	ReasonConflict         Reason = "conflict"          // another message was approved under its id
	ReasonUntrusted        Reason = "untrusted_chain"   // the token service does not trust the other chain
	ReasonFlowLimit        Reason = "flow_limit"        // the token's flow limit is used up, or below the amount
	ReasonPaused           Reason = "paused"            // the token service or the gateway is paused
	ReasonClaimed          Reason = "claimed"           // its owner took what was kept of it on the root
	ReasonCallFailed       Reason = "call_failed"       // the target of a call failed, or could not be reached
	ReasonKept             Reason = "kept"              // the router on the root cannot hand it on now
	ReasonGivenUp          Reason = "given_up"          // a call could not go on for so long that it was answered as failed
)

// Own lists the flows of the relayer's own transfers, which users are not
// shown; every other flow is a route of package tokens.
func Own() []string { return []string{"topdown", "power", "checkpoint", "leg_in", "leg_out"} }

// Reasons lists every reason with what it means and what to do, for the
// README's table.
func Reasons() []ReasonDoc {
	return []ReasonDoc{
		{ReasonPoison, "the handler of this transfer panicked three times, or whoever worked on it died six times in a row", "look at the logs of its last lease, then `causeway queue retry`"},
		{ReasonUndecodable, "the payload cannot be decoded", "nothing is lost; the message itself is still carried"},
		{ReasonRejected, "the destination contract refuses it for good", "`causeway queue show` prints the revert; `retry` after the cause is gone"},
		{ReasonRecipientFailed, "the recipient refused the value", "the refund is on its way"},
		{ReasonRefundRefused, "the refund could not be paid out", "`causeway credits claim`"},
		{ReasonPayoutRefused, "the payout could not be paid out", "`causeway credits claim`, by the recipient or the fallback recipient"},
		{ReasonQuarantined, "the value that arrived is not the value withdrawn", "`causeway credits claim` pays the smaller of both"},
		{ReasonReturned, "the message failed on the root; its value is back in the outbox", "it is sent again by itself; or `causeway credits claim --resend`"},
		{ReasonOperator, "an operator discarded it", "`causeway queue retry` undoes it"},
		{ReasonFinalityRegress, "a block that was final and that it rests on has changed", "compare the endpoints, then `causeway rescan --accept-fork`; what is still parked after that: `causeway queue retry`"},
		{ReasonBatchMismatch, "the messages read do not hash to the signed batch root", "compare the subnet endpoints"},
		{ReasonInsufficientFund, "the relayer's account cannot pay for gas", "fund the account shown by `causeway status`"},
		{ReasonUnprovenRefund, "the message failed under published contracts, which keep no credit and do not say whether its value came back", "look whether the sender was repaid (an account without code is not); then `causeway queue discard`"},
		{ReasonConflict, "another message was approved at the gateway under its id", "never by itself: compare the signers' ledgers (`causeway approver status`) before anything else is approved"},
		{ReasonUntrusted, "the token service does not trust the chain at the other end", "its operator trusts the chain; then it goes on by itself"},
		{ReasonFlowLimit, "the token's flow limit is used up in this window, or is below the amount", "it is tried again when the window ends; an amount above the limit waits until the limit is raised"},
		{ReasonPaused, "the token service or the gateway is paused", "it goes on by itself once they are not"},
		{ReasonClaimed, "its owner took on the root what could not go on", "nothing"},
		{ReasonCallFailed, "the target of a call failed, has no code, or could not be reached; the sender is told so with what it reverted with", "the sender's own contract decides"},
		{ReasonKept, "the router on the root cannot hand a call or its result on now: the gateway there is paused, or the subnet is silent", "it is tried again by itself; a call that cannot go on for the router's patience is answered as failed"},
		{ReasonGivenUp, "a call could not go on for the router's patience, and its sender is told that it failed", "call again once the way is open"},
	}
}

// ReasonDoc is a row of the README's table of reasons.
type ReasonDoc struct {
	Reason  Reason
	Meaning string
	Remedy  string
}

// ErrPark says that no retry mends it: the transfer waits for a person. Wrap
// it with Park.
var ErrPark = errors.New("parked")

// ErrNotYet says that what a step needs is not there yet (a bundle without a
// quorum, a predecessor in flight): look again soon, nothing went wrong.
var ErrNotYet = errors.New("not yet")

// laterError says when to look again.
type laterError struct {
	wait   time.Duration
	reason Reason
	cause  error
}

func (e *laterError) Error() string { return fmt.Sprintf("%s: %v", e.reason, e.cause) }
func (e *laterError) Unwrap() error { return e.cause }

// Later wraps cause where it is known how long nothing will mend it: the worker
// looks again then, and shows the reason meanwhile.
func Later(wait time.Duration, reason Reason, cause error) error {
	return &laterError{max(wait, time.Second), reason, cause}
}

// DueOf is when an error of Later wants to be looked at again.
func DueOf(err error) (wait time.Duration, reason Reason, ok bool) {
	var l *laterError
	if errors.As(err, &l) {
		return l.wait, l.reason, true
	}
	return 0, ReasonNone, false
}

type parkError struct {
	reason Reason
	cause  error
}

func (e *parkError) Error() string   { return fmt.Sprintf("%s: %v", e.reason, e.cause) }
func (e *parkError) Unwrap() []error { return []error{ErrPark, e.cause} }

// Park wraps cause so that the worker parks the transfer for reason.
func Park(reason Reason, cause error) error { return &parkError{reason, cause} }

// ReasonOf is the reason a parking error carries.
func ReasonOf(err error) (Reason, bool) {
	var p *parkError
	if errors.As(err, &p) {
		return p.reason, true
	}
	return ReasonNone, false
}
