package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/causeway-bridge/causeway/chains/crash"
)

// app is the ABCI application. CometBFT calls its consensus methods one at a
// time; RPC and the watcher read the committed state beside them.
type app struct {
	abci.BaseApplication
	ctx      context.Context // ends when the node stops; cuts the pacing wait short
	g        Genesis
	interval time.Duration
	evm      *evm
	store    *store
	rules    *rules
	cache    *parentCache
	signer   Signer
	log      *slog.Logger
	m        *metrics

	mu        sync.RWMutex
	state     *chainState // after the last Commit that returned
	committed time.Time   // when that was
	unsigned  error       // what kept the last vote from an item; nil = nothing

	pending *pendingBlock // between FinalizeBlock and Commit
	failed  chan error    // the first failure that no later block can mend
}

type pendingBlock struct {
	hash  common.Hash
	state *chainState
	draft *draft
}

// current is the state after the last Commit that returned.
func (a *app) current() *chainState {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.state
}

// signing is nil while every item that is due gets its signature.
func (a *app) signing() error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.unsigned
}

// fatal remembers why consensus cannot go on and passes the error through.
func (a *app) fatal(err error) error {
	if err != nil && !errors.Is(err, context.Canceled) {
		select {
		case a.failed <- err:
		default:
		}
	}
	return err
}

// Info tells CometBFT where the chain stands: what Commit made durable.
func (a *app) Info(context.Context, *abci.RequestInfo) (*abci.ResponseInfo, error) {
	s := a.current()
	r := &abci.ResponseInfo{Data: "causeway", LastBlockHeight: int64(s.Height)}
	if s.Height > 0 {
		r.LastBlockAppHash = s.Hash.Bytes()
	}
	return r, nil
}

// InitChain answers with the EVM genesis as the first app hash.
func (a *app) InitChain(_ context.Context, r *abci.RequestInitChain) (*abci.ResponseInitChain, error) {
	if r.ChainId != a.g.ChainID.String() {
		return nil, a.fatal(fmt.Errorf("consensus chain id %q, want %q", r.ChainId, a.g.ChainID))
	}
	return &abci.ResponseInitChain{AppHash: a.evm.chain.Genesis().Hash().Bytes()}, nil
}

// PrepareProposal builds the next block once the wall clock has reached its
// timestamp: EVM time never runs ahead.
func (a *app) PrepareProposal(_ context.Context, r *abci.RequestPrepareProposal) (*abci.ResponsePrepareProposal, error) {
	parent := a.evm.head()
	if parent.Number.Int64() != r.Height-1 {
		return nil, fmt.Errorf("propose %d: head is %d", r.Height, parent.Number)
	}
	p := &proposal{Round: uint64(max(r.LocalLastCommit.Round, 0))}
	if r.Height > 1 {
		p.Votes = packVotes(r.LocalLastCommit)
	}
	unix := nextTime(parent, r.Time)
	if err := a.pace(time.Unix(int64(unix), 0)); err != nil {
		return nil, err
	}
	var err error
	if p.Block, err = a.evm.build(a.ctx, parent, unix, a.signer.Address()); err != nil {
		return nil, err
	}
	tx, err := p.encode()
	if err != nil {
		return nil, err
	}
	if int64(len(tx)) > r.MaxTxBytes {
		return nil, fmt.Errorf("propose %d: %d bytes, room for %d", r.Height, len(tx), r.MaxTxBytes)
	}
	return &abci.ResponsePrepareProposal{Txs: [][]byte{tx}}, nil
}

// pace waits for the block's timestamp and for the interval since the last
// commit. Both waits are bounded by the interval plus a second.
func (a *app) pace(stamp time.Time) error {
	a.mu.RLock()
	due := a.committed
	a.mu.RUnlock()
	if !due.IsZero() && a.interval > time.Second {
		due = due.Add(a.interval)
	}
	if stamp.After(due) {
		due = stamp
	}
	wait := min(time.Until(due), a.interval+time.Second)
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-a.ctx.Done():
		return a.ctx.Err()
	}
}

// ProcessProposal recomputes everything a proposer could choose, checks the
// extensions and executes the block.
func (a *app) ProcessProposal(_ context.Context, r *abci.RequestProcessProposal) (*abci.ResponseProcessProposal, error) {
	if err := a.process(r); err != nil {
		a.m.rejected.Inc()
		a.log.Warn("refuse proposal", "height", r.Height, "error", err)
		return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_REJECT}, nil
	}
	return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_ACCEPT}, nil
}

func (a *app) process(r *abci.RequestProcessProposal) error {
	p, err := decodeProposal(r.Txs)
	if err != nil {
		return err
	}
	parent, s := a.evm.head(), a.current()
	if s.Height+1 != uint64(r.Height) || parent.Hash() != s.Hash {
		return fmt.Errorf("height %d, head is %d", r.Height, s.Height)
	}
	var last voters
	if r.Height > 1 {
		if last, err = a.rules.sets.voters(s.configAt(uint64(r.Height) - 1)); err != nil {
			return err
		}
	}
	if err := verifyVotes(a.g.ChainID.String(), r.Height, p, last); err != nil {
		return err
	}
	now, err := a.rules.sets.voters(s.configAt(uint64(r.Height)))
	if err != nil {
		return err
	}
	proposer, ok := now.members[common.BytesToAddress(r.ProposerAddress)]
	if !ok {
		return fmt.Errorf("proposer %x is not a validator: %w", r.ProposerAddress, errProposal)
	}
	header := p.Block.Header()
	if err := a.evm.check(header, parent, p.Block.Transactions(), nextTime(parent, r.Time), proposer.evm); err != nil {
		return err
	}
	return a.evm.execute(a.ctx, p.Block)
}

// FinalizeBlock executes a decided block if ProcessProposal has not, and
// derives what follows from it. Nothing is written but the block itself.
func (a *app) FinalizeBlock(_ context.Context, r *abci.RequestFinalizeBlock) (*abci.ResponseFinalizeBlock, error) {
	resp, err := a.finalize(r)
	if err != nil {
		return nil, a.fatal(fmt.Errorf("finalize block %d: %w", r.Height, err))
	}
	return resp, nil
}

func (a *app) finalize(r *abci.RequestFinalizeBlock) (*abci.ResponseFinalizeBlock, error) {
	p, err := decodeProposal(r.Txs)
	if err != nil {
		return nil, err
	}
	s := a.current()
	if s.Height+1 != uint64(r.Height) || p.Block.NumberU64() != uint64(r.Height) || p.Block.ParentHash() != s.Hash {
		return nil, fmt.Errorf("block %d on head %d", p.Block.NumberU64(), s.Height)
	}
	if err := a.evm.execute(a.ctx, p.Block); err != nil {
		return nil, err
	}
	d := newDraft(a.store)
	next, updates, err := a.rules.next(s, p.Block, common.BytesToHash(r.Hash), p.Votes, d)
	if err != nil {
		return nil, err
	}
	a.pending = &pendingBlock{hash: p.Block.Hash(), state: next, draft: d}
	return &abci.ResponseFinalizeBlock{
		TxResults:        []*abci.ExecTxResult{{}},
		ValidatorUpdates: updates,
		AppHash:          p.Block.Hash().Bytes(),
	}, nil
}

// Commit makes the block the head, durably. Order matters: the derived state
// first (a state too new is ignored on the way back up), geth's head second,
// the fsync last. CometBFT has stored the block and FinalizeBlock's answer, so
// a crash anywhere here is replayed.
func (a *app) Commit(context.Context, *abci.RequestCommit) (*abci.ResponseCommit, error) {
	began := time.Now()
	if a.pending == nil {
		return nil, a.fatal(errors.New("[BUG] commit without a finalized block"))
	}
	p := a.pending
	if err := p.draft.commit(p.state.Height, a.signer.Sequence()); err != nil {
		return nil, a.fatal(fmt.Errorf("commit block %d: %w", p.state.Height, err))
	}
	crash.At("node.before_forkchoice")
	if err := a.evm.setHead(p.hash); err != nil {
		return nil, a.fatal(fmt.Errorf("commit block %d: %w", p.state.Height, err))
	}
	crash.At("node.after_forkchoice")
	if err := a.evm.sync(); err != nil {
		return nil, a.fatal(fmt.Errorf("commit block %d: %w", p.state.Height, err))
	}
	crash.At("node.after_sync")

	a.pending = nil
	a.mu.Lock()
	a.state, a.committed = p.state, time.Now()
	a.mu.Unlock()
	a.m.commit.Observe(time.Since(began).Seconds())
	a.m.height.Set(float64(p.state.Height))
	if v, err := a.rules.sets.voters(p.state.latestConfig()); err == nil {
		a.m.validators.Set(float64(len(v.members)))
	}
	return &abci.ResponseCommit{RetainHeight: 0}, nil // the block store keeps everything: geth may come back lower
}

// header is the committed head's EVM header.
func (a *app) header() *types.Header {
	s := a.current()
	return a.evm.chain.GetHeader(s.Hash, s.Height)
}

// committedParent is what the gateway holds of the parent at the committed head.
func (a *app) committedParent() (held holding, err error) {
	h := a.header()
	if h == nil {
		return held, errors.New("header of the committed block is missing")
	}
	pre := a.rules.pre
	if held.ParentFinality, err = pre.latest(h); err != nil {
		return held, err
	}
	if held.Recovered, err = pre.recovered(h); err != nil {
		return held, err
	}
	if held.Messages, err = pre.appliedMessages(h); err != nil {
		return held, err
	}
	if held.Changes.Count, held.Changes.Hash, err = pre.appliedChanges(h); err != nil {
		return held, err
	}
	held.Signed, err = a.highestSigned()
	return held, err
}
