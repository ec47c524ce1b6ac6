package flow

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// Bundle is a checkpoint with the signatures of a quorum, ascending by signer.
type Bundle struct {
	Checkpoint  ipc.BottomUpCheckpoint
	Signatories []common.Address
	Signatures  [][]byte
}

// PendingBatch is a batch that the root has accepted and not fully executed.
type PendingBatch struct {
	Height     uint64
	Commitment ipc.Commitment
	Executed   []common.Hash // leaves executed already, where the actor keeps them
}

// RootState is what the subnet actor and the root gateway say at one block.
type RootState struct {
	LastHeight uint64         // last checkpoint accepted
	Pending    []PendingBatch // ascending by height
	Applied    uint64         // next bottom-up nonce to execute
}

// CheckpointDeps is what carrying checkpoints needs of the chains.
type CheckpointDeps struct {
	// StateFinal reads the root at its final block, StateLatest at its newest.
	StateFinal  func(context.Context) (RootState, error)
	StateLatest func(context.Context) (RootState, error)
	// StatePending reads on top of the transactions that wait; asked where the
	// root burns messages out of order.
	StatePending func(context.Context) (RootState, error)
	// Bundle has a quorum that the root's own set accepts, or ErrNotYet.
	Bundle func(ctx context.Context, height uint64) (Bundle, error)
	// Configuration is the newest one applied in the subnet; nil where the subnet
	// switches by itself.
	Configuration func(context.Context) (uint64, error)
	// Batch reads the messages of an epoch from the subnet, by nonce.
	Batch       func(ctx context.Context, epoch uint64) ([]ipc.IpcEnvelope, error)
	SubmitTx    func(Bundle) (chains.Tx, error)
	ConfigureTx func(Bundle) (chains.Tx, error)
	ExecuteTx   func(height uint64, messages []ipc.Inclusion) (chains.Tx, error)
	SendRoot    func(context.Context, chains.Tx) error
	SendSubnet  func(context.Context, chains.Tx) error
	MaxBytes    int // of inclusions in one transaction
	MaxCount    int
	// MaxSend bounds the transactions of one look. It is less than the account
	// may have undecided: checkpoints and executions share it, and a backlog of
	// the one must leave room for the other.
	MaxSend int
	// Learns says that the root counts gas in a unit of its own, as Filecoin does:
	// what stands behind another transaction and cannot be simulated is sent only
	// once the simulation of its like has shown what it takes.
	Learns bool
}

// Checkpoint carries what the subnet says to the root: submits each checkpoint
// in the order of heights, empties included, and executes its messages in the
// order of nonces. It promises order and completeness and knows nothing of
// money.
func Checkpoint(s Subnet, d CheckpointDeps) Flow {
	execute := d.execute(s)
	if s.Traits.Burning {
		execute = d.executeGently(s)
	}
	return Flow{
		Name: "checkpoint", Subnet: s.Actor, Chain: s.Name, Chains: s.chains(), Decode: s.decodeDue,
		Steps: []Step{
			{
				Name:   "submit",
				Key:    func(t tokens.Transfer) Key { return s.heightKey("submit", t.Nonce) },
				Effect: s.acceptedEffect,
				Done:   d.submitted, Do: d.submit(s),
				Next: map[Kind]string{Ok: "execute"},
				Lane: s.strict("checkpoint"), Poll: 2 * time.Second,
			},
			{
				Name:   "execute",
				Key:    func(t tokens.Transfer) Key { return s.heightKey("execute", t.Nonce) },
				Effect: s.executedEffect,
				Done:   d.executed, Do: execute,
				Next: map[Kind]string{Ok: string(tokens.Done)},
				Lane: s.strict("execute"), Poll: 2 * time.Second,
			},
		},
	}
}

// decodeDue reads the due event that the subnet's source adds at each
// checkpoint height.
func (s Subnet) decodeDue(e chains.Event) (tokens.Transfer, bool, error) {
	if e.Chain != s.ID || !from(e, s.SubnetGateway, TopicCheckpointDue, 1, 1) {
		return tokens.Transfer{}, false, nil
	}
	height, ok := wordUint(word(e.Data, 0))
	if !ok || height == 0 || height != e.Block || height%s.Period != 0 {
		return tokens.Transfer{}, false, fmt.Errorf("[BUG] checkpoint due at %d in block %d", height, e.Block)
	}
	return tokens.Transfer{
		ID:    TransferID("checkpoint", s.ID, s.SubnetGateway, s.Actor, height),
		Route: "checkpoint", Subnet: s.Actor, Nonce: height,
		Origin: e.ID(), Height: e.Block, At: e.BlockTime, Hidden: true,
	}, true, nil
}

func (s Subnet) heightKey(verb string, height uint64) Key {
	return Key(fmt.Sprintf("%s/%s/%d", verb, s.Actor.Hex(), height))
}

// acceptedEffect reads CheckpointAccepted(height indexed; hash, total, config).
func (s Subnet) acceptedEffect(e chains.Event) (Key, Outcome, bool) {
	if s.Traits.Burning {
		return s.committedEffect(e)
	}
	if e.Chain != s.RootID || !from(e, s.Actor, topicAccepted, 2, 3) {
		return "", Outcome{}, false
	}
	height, ok := wordUint(e.Topics[1][:])
	return s.heightKey("submit", height), Outcome{Kind: Ok}, ok
}

// executedEffect reads BatchExecuted(height indexed; executed, total); a
// checkpoint accepted without messages is executed by that.
func (s Subnet) executedEffect(e chains.Event) (Key, Outcome, bool) {
	if e.Chain != s.RootID || e.Address != s.Actor || len(e.Topics) != 2 {
		return "", Outcome{}, false
	}
	height, ok := wordUint(e.Topics[1][:])
	switch {
	case !ok:
	case from(e, s.Actor, topicAccepted, 2, 3):
		if total, ok := wordUint(word(e.Data, 1)); ok && total == 0 {
			return s.heightKey("execute", height), Outcome{Kind: Ok}, true
		}
	case from(e, s.Actor, topicBatchExecuted, 2, 2):
		executed, ok := wordUint(word(e.Data, 0))
		if total, fits := wordUint(word(e.Data, 1)); ok && fits && executed == total {
			return s.heightKey("execute", height), Outcome{Kind: Ok}, true
		}
	}
	return "", Outcome{}, false
}

func (d CheckpointDeps) submitted(ctx context.Context, batch []tokens.Transfer) ([]Outcome, error) {
	state, err := d.StateFinal(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Outcome, len(batch))
	for i, t := range batch {
		out[i].Kind = Pending
		if t.Nonce <= state.LastHeight {
			out[i].Kind = Ok
		}
	}
	return out, nil
}

// submit sends the checkpoints of the batch that have a quorum, ascending, on
// one key. The root accepts only the next height, so a duplicate or a stranger's
// submission costs gas and nothing else.
func (d CheckpointDeps) submit(s Subnet) func(context.Context, Batch) ([]error, error) {
	took := new(atomic.Uint64) // gas of the newest checkpoint that was simulated
	return func(ctx context.Context, b Batch) ([]error, error) {
		out := make([]error, len(b.Transfers))
		now, err := d.StateLatest(ctx)
		if err != nil {
			return nil, err
		}
		applied := uint64(math.MaxUint64)
		if d.Configuration != nil {
			if applied, err = d.Configuration(ctx); err != nil {
				return nil, err
			}
		}
		next, sent := now.LastHeight+s.Period, 0
		for i, t := range b.Transfers {
			if t.Nonce <= now.LastHeight {
				continue // accepted in a block that is not final yet
			}
			if t.Nonce != next {
				return fill(out, i, fmt.Errorf("%w: %d is next on the root, the head of the lane is %d", ErrNotYet, next, t.Nonce)), nil
			}
			bundle, err := d.Bundle(ctx, t.Nonce)
			if err != nil {
				return fill(out, i, err), nil
			}
			// The subnet's gateway must switch sets on the same evidence, before
			// anything else is carried (PROTOCOL 20). A long list of changes takes
			// several calls with this very checkpoint, so it is waited for.
			if bundle.Checkpoint.NextConfigurationNumber > applied {
				if err := d.configure(ctx, s, bundle, b.Fence); err != nil {
					return fill(out, i, err), nil
				}
			}
			tx, err := d.SubmitTx(bundle)
			if err != nil {
				return nil, err
			}
			tx.Key, tx.Group, tx.Fence = string(s.heightKey("submit", t.Nonce)), "up/"+s.Actor.Hex(), b.Fence
			tx.Members = []common.Hash{t.ID}
			if sent == 0 {
				tx.Estimated = took.Store
			} else if tx.Gas = behindGas(took.Load(), d.Learns); tx.Gas == 0 {
				return fill(out, i, fmt.Errorf("%w: what a checkpoint takes on this root is not known before the first is decided", ErrNotYet)), nil
			}
			if err := d.SendRoot(ctx, tx); err != nil {
				return fill(out, i, classify(err)), nil
			}
			next, sent = next+s.Period, sent+1
			if sent == d.MaxSend {
				return fill(out, i+1, ErrNotYet), nil
			}
		}
		return out, nil
	}
}

// submitGas is enough for a checkpoint that also confirms validator changes, where
// gas is Ethereum's.
const submitGas = 2_000_000

// behindGas is the gas of a checkpoint that stands behind others and cannot be
// simulated: twice what one took that could, since it may have validator changes
// to confirm. It is 0 where nothing is known yet and nothing may be assumed.
func behindGas(took uint64, learns bool) uint64 {
	if took == 0 && learns {
		return 0
	}
	return max(submitGas, 2*took)
}

// maxExecute bounds the executions of one look: two blocks hold no more.
const maxExecute = 24

// configure sends the switch and waits. A switch that the gateway refuses for
// good must not hold the checkpoint back: who signs the next ones is decided by
// the root's set, not by the subnet's.
func (d CheckpointDeps) configure(ctx context.Context, s Subnet, bundle Bundle, fence chains.Fence) error {
	number := bundle.Checkpoint.NextConfigurationNumber
	tx, err := d.ConfigureTx(bundle)
	if err != nil {
		return err
	}
	tx.Key, tx.Group, tx.Fence = fmt.Sprintf("configure/%s/%d", s.Actor.Hex(), number), "into/"+s.Actor.Hex(), fence
	switch err = classify(d.SendSubnet(ctx, tx)); {
	case err == nil:
		return fmt.Errorf("%w: the subnet is switching to configuration %d", ErrNotYet, number)
	case errors.Is(err, chains.ErrReverted):
		return nil
	}
	return fmt.Errorf("apply configuration %d: %w", number, err)
}

func (d CheckpointDeps) executed(ctx context.Context, batch []tokens.Transfer) ([]Outcome, error) {
	state, err := d.StateFinal(ctx)
	if err != nil {
		return nil, err
	}
	pending := map[uint64]bool{}
	for _, p := range state.Pending {
		pending[p.Height] = true
	}
	out := make([]Outcome, len(batch))
	for i, t := range batch {
		switch {
		case t.Nonce > state.LastHeight: // this source is behind the one that said "accepted"
		case pending[t.Nonce]:
			out[i].Kind = Pending
		default:
			out[i].Kind = Ok
		}
	}
	return out, nil
}

// execute sends the messages of the accepted batches in the order of nonces.
func (d CheckpointDeps) execute(s Subnet) func(context.Context, Batch) ([]error, error) {
	shape, read := &shape{learns: d.Learns}, &proofs{}
	return func(ctx context.Context, b Batch) ([]error, error) {
		out := make([]error, len(b.Transfers))
		now, err := d.StateLatest(ctx)
		if err != nil {
			return nil, err
		}
		read.keep(now.Pending)
		next, sent := now.Applied, 0
		for i, t := range b.Transfers {
			p, ok := find(now.Pending, t.Nonce)
			if !ok {
				continue // executed in a block that is not final yet
			}
			messages, err := read.of(p, func() ([]ipc.Inclusion, error) { return d.proven(ctx, p) })
			if err != nil {
				return fill(out, i, err), nil
			}
			for len(messages) > 0 && messages[0].Msg.LocalNonce < next {
				messages = messages[1:]
			}
			if len(messages) > 0 && messages[0].Msg.LocalNonce != next {
				return fill(out, i, fmt.Errorf("%w: message %d is next on the root, batch %d goes on with %d", ErrNotYet, next, p.Height, messages[0].Msg.LocalNonce)), nil
			}
			for len(messages) > 0 {
				if sent == min(d.MaxSend, maxExecute) {
					// What was sent keeps the root busy for a while: time to read what comes
					// after this batch.
					if p, ok := behind(now.Pending, p.Height); ok && len(messages) <= maxExecute*d.MaxCount {
						read.ahead(p, func() ([]ipc.Inclusion, error) { return d.proven(ctx, p) })
					}
					return fill(out, i, ErrNotYet), nil
				}
				chunk := d.cut(messages)
				if n, dear := shape.of(next); dear {
					chunk = chunk[:min(n, len(chunk))]
				}
				gas := uint64(0)
				if sent > 0 {
					if d.Learns && !shape.known() {
						return fill(out, i, fmt.Errorf("%w: what a message takes on this root is not known before the first batch is decided", ErrNotYet)), nil
					}
					gas = shape.gas(len(chunk), executeGas, min(uint64(len(chunk)+1)*executeGas, maxBatchGas))
				}
				err := d.executeChunk(ctx, s, b, p.Height, chunk, gas, shape)
				// As in the other direction: handlers may burn what they are promised.
				for len(chunk) > 1 && gas == 0 && tooDear(err) {
					chunk = chunk[:len(chunk)/2]
					shape.keep(next, len(chunk))
					err = d.executeChunk(ctx, s, b, p.Height, chunk, gas, shape)
				}
				if err != nil {
					return fill(out, i, err), nil
				}
				if _, dear := shape.of(next); dear {
					return fill(out, i, fmt.Errorf("%w: behind a batch cut short at message %d", ErrNotYet, next)), nil
				}
				next, messages, sent = next+uint64(len(chunk)), messages[len(chunk):], sent+1
			}
		}
		return out, nil
	}
}

// executeChunk sends one transaction. Its key is the first nonce, and cutting
// from one nonce always gives the same chunk: an undecided chunk is never sent
// in another shape.
func (d CheckpointDeps) executeChunk(ctx context.Context, s Subnet, b Batch, height uint64, chunk []ipc.Inclusion, gas uint64, shape *shape) error {
	tx, err := d.ExecuteTx(height, chunk)
	if err != nil {
		return err
	}
	tx.Key, tx.Group, tx.Fence = string(s.heightKey("message", chunk[0].Msg.LocalNonce)), "up/"+s.Actor.Hex(), b.Fence
	tx.Gas, tx.Estimated = gas, shape.measured(len(chunk), executeGas)
	if s.Traits.Burning {
		tx.GasCap = maxTxGas
	}
	return classify(d.SendRoot(ctx, tx))
}

// maxTxGas is what a transaction may have at most where EIP-7825 holds. The last
// call of a published batch deletes what the calls before it stored, so it needs
// far more than its own messages: the simulation knows.
const maxTxGas = 1 << 24

// executeGas covers the root gateway's stipend and bookkeeping of one message.
const executeGas = 1_300_000

// proofs remembers the messages of the batches that are being executed, so that
// a large one is read and proven once and not by every look. What was proven
// against a root stays so.
type proofs struct {
	mu  sync.Mutex
	all map[batchRoot][]ipc.Inclusion
}

// batchRoot names the content of a batch.
type batchRoot struct {
	height uint64
	root   common.Hash
	count  uint64
}

func rootOf(p PendingBatch) batchRoot {
	return batchRoot{p.Height, p.Commitment.MsgsRoot, p.Commitment.TotalNumMsgs}
}

// maxProofs bounds the messages remembered.
const maxProofs = 20_000

// keep forgets what is executed.
func (c *proofs) keep(pending []PendingBatch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for have := range c.all {
		if p, ok := find(pending, have.height); !ok || rootOf(p) != have {
			delete(c.all, have)
		}
	}
}

// of is what was remembered of a batch, or read.
func (c *proofs) of(p PendingBatch, read func() ([]ipc.Inclusion, error)) ([]ipc.Inclusion, error) {
	c.mu.Lock()
	known, ok := c.all[rootOf(p)]
	c.mu.Unlock()
	if ok {
		return known, nil
	}
	messages, err := read()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := len(messages)
	for _, m := range c.all {
		sum += len(m)
	}
	if c.all == nil || sum > maxProofs {
		c.all = map[batchRoot][]ipc.Inclusion{}
	}
	c.all[rootOf(p)] = messages
	return messages, nil
}

// ahead reads a batch before it is needed, where it can be remembered beside the
// others. It is not needed for anything but speed.
func (c *proofs) ahead(p PendingBatch, read func() ([]ipc.Inclusion, error)) {
	c.mu.Lock()
	sum := int(min(p.Commitment.TotalNumMsgs, maxProofs))
	for _, m := range c.all {
		sum += len(m)
	}
	c.mu.Unlock()
	if sum <= maxProofs {
		_, _ = c.of(p, read)
	}
}

// behind is the batch after one, where it is pending too.
func behind(pending []PendingBatch, height uint64) (PendingBatch, bool) {
	for _, p := range pending {
		if p.Height > height {
			return p, true
		}
	}
	return PendingBatch{}, false
}

func find(pending []PendingBatch, height uint64) (PendingBatch, bool) {
	for _, p := range pending {
		if p.Height == height {
			return p, true
		}
	}
	return PendingBatch{}, false
}

// proven reads the messages of a batch and proves each against the root the
// validators signed.
func (d CheckpointDeps) proven(ctx context.Context, p PendingBatch) ([]ipc.Inclusion, error) {
	messages, err := d.Batch(ctx, p.Height)
	if err != nil {
		return nil, err
	}
	tree := ipc.BatchTree(messages)
	if uint64(len(messages)) != p.Commitment.TotalNumMsgs || tree.Root() != common.Hash(p.Commitment.MsgsRoot) {
		return nil, Park(ReasonBatchMismatch, fmt.Errorf("batch %d: %d messages with root %s were read, %d with root %x were signed",
			p.Height, len(messages), tree.Root(), p.Commitment.TotalNumMsgs, p.Commitment.MsgsRoot))
	}
	out := make([]ipc.Inclusion, len(messages))
	for i, m := range messages {
		proof, err := tree.Proof(i)
		if err != nil {
			return nil, fmt.Errorf("batch %d, message %d: %w", p.Height, m.LocalNonce, err)
		}
		out[i] = ipc.Inclusion{Msg: m, Proof: proof}
	}
	return out, nil
}

func (d CheckpointDeps) cut(in []ipc.Inclusion) []ipc.Inclusion {
	size := 0
	for i, m := range in {
		size += m.Msg.EncodedLen() + 32*len(m.Proof) + 128
		if i > 0 && (size > d.MaxBytes || i >= d.MaxCount) {
			return in[:i]
		}
	}
	return in
}

// classify turns the root's and the subnet's known refusals into what they
// mean for a lane: done or waiting is no failure.
func classify(err error) error {
	var revert *chains.RevertError
	if !errors.As(err, &revert) {
		return err
	}
	switch name, class := ipc.ClassifyRevert(revert.Data); class {
	case ipc.ClassDone, ipc.ClassWait:
		return fmt.Errorf("%w: %s", ErrNotYet, name)
	default:
		if name != "" {
			return fmt.Errorf("%s: %w", name, err)
		}
		return err
	}
}
