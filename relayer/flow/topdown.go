package flow

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// Applied is how far a queue of the root has been applied in the subnet: the
// next nonce (messages) or the highest number (power changes) and the rolling
// hash there.
type Applied struct {
	Nonce uint64
	Hash  common.Hash
}

// Pair is a committed (nonce, rolling hash). The zero Pair says that none is
// kept at or above the nonce asked for.
type Pair struct {
	Nonce uint64
	Hash  common.Hash
}

// Statement is a parent finality with the signatures of a quorum.
type Statement struct {
	ParentHeight     uint64
	TopDownNonce     uint64
	PowerChangeNonce uint64
	Commit           func() (chains.Tx, error) // the call of commitParentFinality
}

// DeliverDeps is what the ordered lanes into the subnet need.
type DeliverDeps struct {
	// AppliedFinal reads at the subnet's final block, AppliedLatest at its
	// newest one.
	AppliedFinal  func(context.Context) (Applied, error)
	AppliedLatest func(context.Context) (Applied, error)
	// CommittedAt is the lowest committed pair at or above a nonce, at the
	// newest block.
	CommittedAt func(ctx context.Context, nonce uint64) (Pair, error)
	// LatestStatement is the parent height of the newest statement on the
	// subnet gateway; Statements are those with a quorum after it, ascending.
	LatestStatement func(context.Context) (parentHeight uint64, err error)
	Statements      func(ctx context.Context, after uint64) ([]Statement, error)
	// Bodies are the payloads of the lane's transfers [from, to), in order, as
	// far as they are known; they give the tail hashes.
	Bodies func(ctx context.Context, lane string, from, to uint64) ([][]byte, error)
	// DeliverTx makes the call for these bodies and tail hashes.
	DeliverTx func(bodies [][]byte, tail []common.Hash) (chains.Tx, error)
	Send      func(context.Context, chains.Tx) error // to the subnet
	MaxBytes  int                                    // of bodies in one transaction
	MaxCount  int
}

// TopDown carries every message of the root gateway into the subnet as opaque
// bytes, in order: first the statement that covers it, then the message. It
// promises order and completeness and knows nothing of money.
func TopDown(s Subnet, d DeliverDeps) Flow {
	f := Flow{Name: "topdown", Subnet: s.Actor, Chain: Root, Chains: s.chains(), Decode: s.decodeMessage}
	f.Steps = []Step{{
		Name: "deliver",
		Key:  func(t tokens.Transfer) Key { return s.deliverKey(t.Nonce, t.Ref) }, Effect: s.deliverEffect,
		Done: d.done,
		Do:   d.deliver("deliver", s.Actor),
		// A message that failed in its recipient is delivered: what it carried is
		// another flow's matter.
		Next: map[Kind]string{Ok: string(tokens.Done), Failed: string(tokens.Done), Superseded: string(tokens.Done)},
		Lane: s.strict("topdown"), Poll: 3 * time.Second,
	}}
	if s.Traits.Implicit {
		f.Steps[0].Do = nil // nodes deliver: this only sees it
	}
	return f
}

func (s Subnet) decodeMessage(e chains.Event) (tokens.Transfer, bool, error) {
	env, mine, err := s.decodeTopDown(e)
	if err != nil || !mine {
		return tokens.Transfer{}, false, err
	}
	return tokens.Transfer{
		ID:    TransferID("topdown", s.RootID, s.Gateway, s.Actor, env.LocalNonce),
		Route: "topdown", Subnet: s.Actor, Nonce: env.LocalNonce, Ref: e.Topics[2],
		Origin: e.ID(), Height: e.Block, At: e.BlockTime, Payload: e.Data, Hidden: true,
	}, true, nil
}

// Power carries the root's power-change requests the same way, in their own
// queue (PROTOCOL 13).
func Power(s Subnet, d DeliverDeps) Flow {
	f := Flow{Name: "power", Subnet: s.Actor, Chain: Root, Chains: s.chains(), Decode: s.decodePower}
	f.Steps = []Step{{
		Name:   "deliver",
		Key:    func(t tokens.Transfer) Key { return s.powerKey(t.Nonce) },
		Effect: s.powerEffect,
		Done:   d.done,
		Do:     d.deliver("power", s.Actor),
		Next:   map[Kind]string{Ok: string(tokens.Done)},
		Lane:   s.strict("power"), Poll: 3 * time.Second,
	}}
	return f
}

// decodePower reads NewPowerChangeRequest(op, validator, payload, number).
// Numbers start at 1; the lane's nonce is number−1, so that it means the same
// as a message's: how many are before it.
func (s Subnet) decodePower(e chains.Event) (tokens.Transfer, bool, error) {
	if e.Chain != s.RootID || !from(e, s.Actor, topicPowerChange, 1, 4) {
		return tokens.Transfer{}, false, nil
	}
	ev, err := s.Profile.DecodePowerChange(e.Topics, e.Data)
	if err != nil {
		return tokens.Transfer{}, false, err
	}
	req := ev.Request
	if req.ConfigurationNumber == 0 {
		return tokens.Transfer{}, false, errors.New("power change with number 0")
	}
	return tokens.Transfer{
		ID:    TransferID("power", s.RootID, s.Actor, s.Actor, req.ConfigurationNumber-1),
		Route: "power", Subnet: s.Actor, Nonce: req.ConfigurationNumber - 1, Sender: req.Change.Validator,
		Origin: e.ID(), Height: e.Block, At: e.BlockTime, Payload: ipc.EncodePowerChange(req), Hidden: true,
	}, true, nil
}

func (s Subnet) powerKey(nonce uint64) Key {
	return Key(fmt.Sprintf("power/%s/%d", s.Actor.Hex(), nonce))
}

// powerEffect reads PowerChangesStored(lastNumber): it decides the last of its
// batch; Done decides those before it.
func (s Subnet) powerEffect(e chains.Event) (Key, Outcome, bool) {
	if e.Chain != s.ID || !from(e, s.SubnetGateway, topicPowerStored, 1, 1) {
		return "", Outcome{}, false
	}
	last, ok := wordUint(word(e.Data, 0))
	if !ok || last == 0 {
		return "", Outcome{}, false
	}
	return s.powerKey(last - 1), Outcome{Kind: Ok}, true
}

// done asks the counter of what was applied, at the subnet's final block.
// Consumption is all this lane promises.
func (d DeliverDeps) done(ctx context.Context, batch []tokens.Transfer) ([]Outcome, error) {
	applied, err := d.AppliedFinal(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Outcome, len(batch))
	for i, t := range batch {
		out[i].Kind = Pending
		if t.Nonce < applied.Nonce {
			out[i].Kind = Ok
		}
	}
	return out, nil
}

// deliver sends the batch, ascending, in as few transactions as fit. It may be
// called at any time: the gateway skips what is applied and refuses a gap, the
// keys keep undecided transactions from being sent twice.
func (d DeliverDeps) deliver(verb string, actor common.Address) func(context.Context, Batch) ([]error, error) {
	q := queue{DeliverDeps: d, verb: verb, actor: actor, shape: &shape{}}
	return func(ctx context.Context, b Batch) ([]error, error) {
		out := make([]error, len(b.Transfers))
		now, err := d.AppliedLatest(ctx)
		if err != nil {
			return nil, err
		}
		q.shape.applied(now.Nonce)
		// Applied in a block that is not final yet: only wait.
		first := 0
		for first < len(b.Transfers) && b.Transfers[first].Nonce < now.Nonce {
			first++
		}
		if first == len(b.Transfers) {
			return out, nil
		}

		rest := b.Transfers[first:]
		if rest[0].Nonce != now.Nonce {
			return fill(out, first, fmt.Errorf("%w: %d is next, the head of the lane is %d", ErrNotYet, now.Nonce, rest[0].Nonce)), nil
		}
		pair, err := d.CommittedAt(ctx, now.Nonce+1)
		if err != nil {
			return nil, err
		}
		if pair.Nonce == 0 {
			return fill(out, first, d.cover(ctx, b.Fence, reachOf(verb, actor, rest[len(rest)-1].Nonce+1), now.Nonce)), nil
		}
		return q.send(ctx, b, out, first, &convoy{queue: q, applied: now.Nonce, covered: pair.Nonce})
	}
}

// convoy is the statements that go with a batch, for what comes behind it, so that
// the lane need not wait a block for one between two batches. Each goes behind the
// transaction that lets it reach so far, on the same account: the gateway sees it
// when what stands before it is applied. One that reaches too far for what is
// applied now cannot be simulated. A convoy is not needed for anything but speed:
// what fails here is done by a later look. They are looked for once the batch has
// begun to go out, which does not wait for them.
type convoy struct {
	queue
	applied    uint64 // up to where messages are
	covered    uint64 // up to where a statement is known to reach
	limits     reach
	statements []Statement
	sought     bool
}

// join sends those that may go once messages up to a nonce are applied.
func (c *convoy) join(ctx context.Context, b Batch, applied uint64) {
	if !c.sought {
		c.sought = true
		c.seek(ctx, b)
	}
	for len(c.statements) > 0 && c.limits.own(c.statements[0]) <= applied+c.limits.most {
		st := c.statements[0]
		c.statements = c.statements[1:]
		if err := c.commit(ctx, b.Fence, c.limits, st, c.limits.own(st) <= c.applied+c.limits.most); err != nil {
			c.statements = nil
		}
	}
}

// seek finds the statements behind what is covered.
func (c *convoy) seek(ctx context.Context, b Batch) {
	if !c.shape.first(c.applied) {
		return
	}
	c.limits = reachOf(c.verb, c.actor, 0)
	last := b.Transfers[len(b.Transfers)-1].Nonce + 1
	covered, err := c.end(ctx, c.covered, last)
	if err != nil {
		return
	}
	// What is delivered now ends at last or where the cover ends.
	most := min(covered, last) + c.limits.most
	known, err := c.knownTo(ctx, b, covered, most)
	if err != nil || known <= covered {
		return
	}
	c.limits.known, c.limits.bound = known, min(known, most)
	after, err := c.LatestStatement(ctx)
	if err != nil {
		return
	}
	for len(c.statements) < statementsAhead && covered < known {
		st, err := c.next(ctx, c.limits, after, covered)
		if err != nil {
			return
		}
		c.statements = append(c.statements, st)
		after, covered = st.ParentHeight, c.limits.own(st)
	}
}

// end is up to where the lane is covered from a nonce on that is, at least to last
// if it is that far.
func (q queue) end(ctx context.Context, covered, last uint64) (uint64, error) {
	// Nothing at or above beyond is committed, as far as is known.
	for probe, beyond := last, uint64(math.MaxUint64); covered < last && covered+1 < beyond; probe = covered + (beyond-covered)/2 {
		pair, err := q.CommittedAt(ctx, probe)
		switch {
		case err != nil:
			return 0, err
		case pair.Nonce >= probe:
			covered = pair.Nonce
		default:
			beyond = probe
		}
	}
	return covered, nil
}

// statementsAhead is how many go with one batch at most: what they cover together
// is more than a block holds.
const statementsAhead = 3

// knownTo is up to where the lane's messages are known from a nonce on, at most
// to a limit.
func (q queue) knownTo(ctx context.Context, b Batch, from, limit uint64) (uint64, error) {
	for _, t := range b.Transfers {
		if t.Nonce == from && from < limit {
			from++
		}
	}
	if from >= limit {
		return from, nil
	}
	bodies, err := q.Bodies(ctx, b.Fence.Lane, from, limit)
	return from + uint64(len(bodies)), err
}

// queue is one of the two lanes into a subnet.
type queue struct {
	DeliverDeps
	verb  string
	actor common.Address
	shape *shape
}

// send cuts the batch into transactions. Their nonces ascend on one key, so
// they are applied in order; behind one that fails the later ones revert at
// the gap and are sent again.
func (q queue) send(ctx context.Context, b Batch, out []error, first int, with *convoy) ([]error, error) {
	gasEach := uint64(0)
	for first < len(b.Transfers) {
		rest := b.Transfers[first:]
		if gasEach > 0 && rest[0].Nonce != b.Transfers[first-1].Nonce+1 {
			// What is behind a gap would be sent unsimulated, to revert.
			return fill(out, first, fmt.Errorf("%w: the lane goes on with %d after %d", ErrNotYet, rest[0].Nonce, b.Transfers[first-1].Nonce)), nil
		}
		head, chunk := rest[0].Nonce, q.cut(rest)
		if n, dear := q.shape.of(head); dear {
			chunk = chunk[:min(n, len(chunk))]
		}
		chunk = chunk[:q.shape.sentAs(head, len(chunk))]
		if n := b.riding(first, q.key(head)); n > 0 {
			// As it was sent by whoever did: the next transaction would leave a gap.
			chunk = chunk[:min(n, len(chunk))]
		}
		n, err := q.put(ctx, b, chunk, gasEach)
		// Handlers may burn all they are promised: what is dearer than one
		// transaction may be goes in halves, down to a single message.
		for len(chunk) > 1 && gasEach == 0 && tooDear(err) {
			chunk = chunk[:len(chunk)/2]
			q.shape.keep(head, len(chunk))
			n, err = q.put(ctx, b, chunk, gasEach)
		}
		if err != nil {
			return fill(out, first, err), nil
		}
		first += n
		q.shape.sent(head, n)
		with.join(ctx, b, head+uint64(n))
		if _, dear := q.shape.of(head); dear {
			// Its neighbours are likely as dear, and only a head is simulated.
			return fill(out, first, fmt.Errorf("%w: behind a batch cut short at message %d", ErrNotYet, head)), nil
		}
		// The first transaction was simulated; those behind it cannot be until it
		// is in a block. Unused gas costs nothing, but a block that must keep it
		// free for one transaction holds fewer of them.
		gasEach = maxMessageGas
	}
	return out, nil
}

// key names the transaction that begins with a message.
func (q queue) key(head uint64) string {
	return fmt.Sprintf("%s/%s/%d", q.verb, q.actor.Hex(), head)
}

// put sends one transaction with as much of the chunk as statements cover, and
// says how many messages that is.
func (q queue) put(ctx context.Context, b Batch, chunk []tokens.Transfer, gasEach uint64) (int, error) {
	head := chunk[0].Nonce
	pair, err := q.CommittedAt(ctx, head+uint64(len(chunk)))
	if err != nil {
		return 0, err
	}
	if pair.Nonce == 0 {
		// The newest statement ends inside the chunk.
		if pair, err = q.CommittedAt(ctx, head+1); err != nil {
			return 0, err
		}
		if pair.Nonce == 0 {
			return 0, fmt.Errorf("%w: message %d is %w", ErrNotYet, head, errUncovered)
		}
		if n := pair.Nonce - head; n < uint64(len(chunk)) {
			chunk = chunk[:n]
		}
	}
	if n := q.withTail(chunk, pair.Nonce); n < len(chunk) {
		chunk = chunk[:n]
		// A lower pair may prove the shorter chunk, with fewer hashes.
		if pair, err = q.CommittedAt(ctx, head+uint64(n)); err != nil {
			return 0, err
		}
	}
	tail, err := q.tail(ctx, b, head+uint64(len(chunk)), pair.Nonce)
	if err != nil {
		return 0, err
	}
	tx, err := q.tx(chunk, tail)
	if err != nil {
		return 0, err
	}
	tx.Key, tx.Group, tx.Fence = q.key(head), "into/"+q.actor.Hex(), b.Fence
	for _, t := range chunk {
		tx.Members = append(tx.Members, t.ID)
	}
	tx.Estimated = q.shape.measured(len(chunk), maxMessageGas)
	if gasEach > 0 {
		tx.Gas = q.shape.gas(len(chunk), maxMessageGas, min(gasEach*uint64(len(chunk)), maxBatchGas))
	}
	return len(chunk), classify(q.Send(ctx, tx))
}

var errUncovered = errors.New("not covered by a statement")

// withTail is how much of the chunk fits together with the hashes of what its
// pair covers behind it, at least one message. After an outage one statement
// covers a thousand messages, and their hashes are as long as a third of the
// bodies.
func (q queue) withTail(chunk []tokens.Transfer, covered uint64) int {
	size := 0
	for _, t := range chunk {
		size += len(t.Payload)
	}
	n, behind := len(chunk), int(covered-chunk[0].Nonce)
	for n > 1 && size+common.HashLength*(behind-n) > maxData {
		n--
		size -= len(chunk[n].Payload)
	}
	return n
}

// maxData is what bodies and hashes may be together: pools refuse transactions
// above 128 KiB, and the encoding adds some.
const maxData = 112 << 10

// tooDear says that a batch does not go through in one piece: it needs more
// gas or bytes than a transaction may have, or its simulation failed, which for
// a batch says nothing of its first message (PROTOCOL 47).
func tooDear(err error) bool {
	return errors.Is(err, chains.ErrGasLimit) || errors.Is(err, chains.ErrTooLarge) || errors.Is(err, chains.ErrReverted)
}

// maxMessageGas covers the subnet gateway's stipend and bookkeeping of one
// message; maxBatchGas keeps several batches in one block. A batch that needs
// more reverts as a whole and is simulated the next time.
const (
	maxMessageGas = 700_000
	maxBatchGas   = 20_000_000
)

func (d DeliverDeps) tx(chunk []tokens.Transfer, tail []common.Hash) (chains.Tx, error) {
	bodies := make([][]byte, len(chunk))
	for i, t := range chunk {
		bodies[i] = t.Payload
	}
	return d.DeliverTx(bodies, tail)
}

// cut is the longest prefix that fits one transaction, at least one message.
func (d DeliverDeps) cut(ts []tokens.Transfer) []tokens.Transfer {
	size := 0
	for i, t := range ts {
		size += len(t.Payload)
		if i > 0 && (size > d.MaxBytes || i >= d.MaxCount || t.Nonce != ts[i-1].Nonce+1) {
			return ts[:i]
		}
	}
	return ts
}

// tail hashes what the statement covers beyond the chunk: first what the batch
// itself has, then what the journal has behind it.
func (d DeliverDeps) tail(ctx context.Context, b Batch, from, to uint64) ([]common.Hash, error) {
	if from >= to {
		return nil, nil
	}
	leaves := make([]common.Hash, 0, to-from)
	next := from
	for _, t := range b.Transfers {
		if t.Nonce == next && next < to {
			leaves, next = append(leaves, crypto.Keccak256Hash(t.Payload)), next+1
		}
	}
	if next < to {
		bodies, err := d.Bodies(ctx, b.Fence.Lane, next, to)
		if err != nil {
			return nil, err
		}
		for _, body := range bodies {
			leaves = append(leaves, crypto.Keccak256Hash(body))
		}
	}
	if uint64(len(leaves)) != to-from {
		return nil, fmt.Errorf("%w: the statement covers up to %d, read so far are %d of %d", ErrNotYet, to, len(leaves), to-from)
	}
	return leaves, nil
}

// fill puts err on every result from index on.
func fill(out []error, index int, err error) []error {
	for i := index; i < len(out); i++ {
		out[i] = err
	}
	return out
}
