package node

import (
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
)

// carryRecovery commits a recovery on the gateway, as the relayer does.
func (r *rig) carryRecovery(v Recovery) *types.Receipt {
	r.t.Helper()
	st := bindings.ParentRecovery{Number: v.Number, Anchor: bindings.ParentFinality(v.Anchor.wire())}
	return r.transact(ipc.GatewayAddress, bindings.NewSubnetGateway().PackCommitParentRecovery(st, v.Signatories, raw(nil, v.Signatures)), nil)
}

func (s Statement) wire() ipc.ParentFinality {
	return ipc.ParentFinality{
		SignerConfig: s.SignerConfig, ParentHeight: s.ParentHeight, ParentHash: s.ParentHash,
		TopDownNonce: s.TopDownNonce, TopDownHash: s.TopDownHash,
		PowerChangeNonce: s.PowerChangeNonce, PowerChangeHash: s.PowerChangeHash,
	}
}

// deliver applies the parent's messages [from, to), as the relayer does; the
// pair that proves them must end at to.
func (r *rig) deliver(from, to uint64) *types.Receipt {
	r.t.Helper()
	spec := bindings.NewSubnetGateway().GetABI()
	r.parent.mu.Lock()
	data, err := spec.Pack("deliver", r.parent.sent[from:to], [][32]byte{})
	r.parent.mu.Unlock()
	require.NoError(r.t, err)
	return r.transact(ipc.GatewayAddress, data, nil)
}

func (r *rig) balance(who common.Address) *big.Int {
	r.t.Helper()
	n, err := r.eth.BalanceAt(r.t.Context(), who, nil)
	require.NoError(r.t, err)
	return n
}

// diverged brings a subnet to where it has committed three messages, applied
// two, and its root forks below: messages from the second on are gone.
func (r *rig) diverged() {
	r.t.Helper()
	bob := common.HexToAddress("0xb0b0000000000000000000000000000000000001")
	r.parent.send(bob, 1e15)
	r.parent.mine(2)
	fork := uint64(len(r.parent.blocks))
	r.parent.send(bob, 2e15)
	r.parent.mine(1)
	f := r.finality("a statement on two messages", func(f Finality) bool { return f.Statement.TopDownNonce == 2 })
	require.Equal(r.t, uint64(1), r.carry(f).Status)
	require.Equal(r.t, uint64(1), r.deliver(0, 2).Status)
	r.parent.send(bob, 4e15)
	r.parent.mine(1)
	f = r.finality("a statement on three messages", func(f Finality) bool { return f.Statement.TopDownNonce == 3 })
	require.Equal(r.t, uint64(1), r.carry(f).Status)
	require.Equal(r.t, big.NewInt(3e15), r.balance(bob))

	r.parent.revert(fork)
	r.parent.send(bob, 16e15)
	r.parent.branch(12)
}

// TestAfterAnExecutedRecoveryTheSubnetGoesOn is PROTOCOL 10 on a whole node.
func TestAfterAnExecutedRecoveryTheSubnetGoesOnFromTheOtherBranch(t *testing.T) {
	t.Parallel()
	r := startRig(t, 5)
	bob := common.HexToAddress("0xb0b0000000000000000000000000000000000001")
	r.diverged()
	eventually(t, "the node to see the fork", 40*time.Second, func() bool { return call[Status](r, "status").Diverged })
	m := r.node.app.m
	topDown := sample(t, m.signed, "parent_finality")
	r.reach(r.node.Height() + 3)
	require.Nil(t, call[*Recovery](r, "parentRecovery"), "without a recovery nothing is signed")
	require.Equal(t, topDown, sample(t, m.signed, "parent_finality"))

	// A process that comes up on the other branch knows no better.
	r.restart()
	eventually(t, "the fork to be seen again", 40*time.Second, func() bool { return call[Status](r, "status").Diverged })

	r.parent.recover(1, 1)
	var v *Recovery
	eventually(t, "a quorum on the recovery", 40*time.Second, func() bool {
		v = call[*Recovery](r, "parentRecovery")
		return v != nil
	})
	require.Equal(t, uint64(1), v.Number)
	require.Equal(t, r.parent.recoveries.ExecutedBlock, v.Anchor.ParentHeight)
	require.Equal(t, r.parent.blocks[v.Anchor.ParentHeight].Hash, v.Anchor.ParentHash)
	require.Equal(t, uint64(1), v.Anchor.TopDownNonce)
	require.False(t, call[Status](r, "status").Diverged)
	// Nothing else about the root before the gateway has gone on.
	require.Zero(t, sample(t, r.node.app.m.signed, "parent_finality"))

	// Once more between the signature and the gateway.
	r.restart()
	eventually(t, "the same recovery", 40*time.Second, func() bool {
		again := call[*Recovery](r, "parentRecovery")
		return again != nil && again.Digest == v.Digest
	})
	require.Equal(t, uint64(1), r.carryRecovery(*v).Status)
	// The records of a block are written before it is the head: the recovery may
	// be gone a moment before the state says so, and the receipt be there already.
	eventually(t, "the recovery to be over", 20*time.Second, func() bool {
		return call[*Recovery](r, "parentRecovery") == nil && r.node.app.current().Recovered == 1
	})

	// What the branch has in place of the second message is committed and applied.
	f := r.finality("a statement on the other branch", func(f Finality) bool { return f.Statement.TopDownNonce == 2 })
	require.Greater(t, f.Statement.ParentHeight, v.Anchor.ParentHeight)
	require.Equal(t, uint64(1), r.carry(f).Status)
	require.Equal(t, uint64(1), r.deliver(1, 2).Status)
	require.Equal(t, big.NewInt(19e15), r.balance(bob), "1 and 2 of the old branch, 16 of the new")
	r.parent.send(bob, 32e15)
	r.parent.branch(2)
	f = r.finality("the next message", func(f Finality) bool { return f.Statement.TopDownNonce == 3 })
	require.Equal(t, uint64(1), r.carry(f).Status)
	require.Equal(t, uint64(1), r.deliver(2, 3).Status)
	require.NoError(t, r.node.Ready())
	require.Zero(t, sample(t, r.node.app.m.diverged, ""))
}

// begin gives a watcher a subnet that has committed what it reads now.
func (w *watch) commitAll(t *testing.T) {
	t.Helper()
	require.NoError(t, w.step(t))
	height, _, _ := w.cache.newest()
	st, ok := w.cache.statement(0, height, 0, 0)
	require.True(t, ok)
	w.said.ParentFinality = st
	w.said.Messages, w.said.Changes = fold{st.TopDownNonce, st.TopDownHash}, fold{st.PowerChangeNonce, st.PowerChangeHash}
	w.said.Signed = height
	require.NoError(t, w.step(t))
}

// forked is a watcher whose subnet has committed and applied two messages, of
// which its root has kept the first.
func forked(t *testing.T) *watch {
	w := newWatch(t)
	w.p.send(common.Address{0xaa, 1}, 1)
	w.p.mine(3)
	w.p.send(common.Address{0xaa, 1}, 2)
	top := w.p.mine(3)
	w.commitAll(t)
	w.p.revert(top - 2)
	w.p.send(common.Address{0xaa, 1}, 5)
	w.p.branch(30)
	require.Error(t, w.step(t))
	require.Error(t, w.cache.standing())
	return w
}

// settle looks until it goes well, a few times at most.
func (w *watch) settle(t *testing.T) (err error) {
	for range 5 {
		if err = w.step(t); err == nil && w.cache.standing() == nil {
			return nil
		}
	}
	return errors.Join(err, w.cache.standing())
}

func TestARecoveryIsVouchedForOnlyOnceTheParentFoldsToIt(t *testing.T) {
	w := forked(t)
	r := w.p.recover(1, 1)
	_, ok := w.cache.recovery()
	require.False(t, ok)
	require.NoError(t, w.settle(t))
	a, ok := w.cache.recovery()
	require.True(t, ok)
	require.Equal(t, anchor{Number: 1, Height: w.p.recoveries.ExecutedBlock, Hash: w.p.blocks[w.p.recoveries.ExecutedBlock].Hash,
		Messages: fold{1, r.TopDownHash}, Changes: fold{0, w.p.salt}}, a)
	_, ok = w.cache.statement(0, uint64(len(w.p.blocks)-1), 1, 0)
	require.False(t, ok, "statements wait for the gateway")

	w.said.ParentFinality, w.said.Recovered = a.statement(0), 1
	require.NoError(t, w.settle(t))
	st, ok := w.cache.statement(0, uint64(len(w.p.blocks)-1), 1, 0)
	require.True(t, ok)
	require.Equal(t, w.p.rolling, common.Hash(st.TopDownHash))
	_, ok = w.cache.recovery()
	require.False(t, ok)
}

func TestAValidatorWhoseRootDisagreesWithARecoverySignsNothing(t *testing.T) {
	right := func(w *watch) ipc.Recovery {
		h := ipc.Roll(w.p.salt, w.p.sent[0].Hash())
		return ipc.Recovery{Number: 1, TopDownNonce: 1, TopDownHash: h, PowerChangeHash: w.p.salt}
	}
	for name, wrong := range map[string]func(*watch, *ipc.Recovery){
		"another prefix":                  func(_ *watch, r *ipc.Recovery) { r.TopDownHash = common.Hash{1} },
		"another branch's prefix":         func(w *watch, r *ipc.Recovery) { r.TopDownNonce, r.TopDownHash = 2, w.said.TopDownHash },
		"beyond what it has sent":         func(_ *watch, r *ipc.Recovery) { r.TopDownNonce = 9 },
		"power changes not held":          func(_ *watch, r *ipc.Recovery) { r.PowerChangeNonce = 1 },
		"other power changes":             func(_ *watch, r *ipc.Recovery) { r.PowerChangeHash = common.Hash{2} },
		"a height that was signed before": func(w *watch, _ *ipc.Recovery) { w.said.Signed = 1000 },
		"one that was committed":          func(w *watch, _ *ipc.Recovery) { w.said.Recovered = 1 },
		"a root that cannot be read":      func(w *watch, _ *ipc.Recovery) { w.p.hideLogs = true },
	} {
		w := forked(t)
		r := right(w)
		wrong(w, &r)
		w.p.execute(r)
		require.Error(t, w.settle(t), name)
		_, ok := w.cache.recovery()
		require.False(t, ok, name)
		_, ok = w.cache.statement(0, uint64(len(w.p.blocks)-1), 1, 0)
		require.False(t, ok, name)
	}
	w := forked(t)
	w.p.execute(right(w))
	require.NoError(t, w.settle(t), "nothing else was wrong")
}

func TestARecoveryThatIsNotExecutedYetEndsNothing(t *testing.T) {
	w := forked(t)
	w.p.recoveries.Pending = bindings.Recovery{Number: 1, TopDownNonce: 1}
	w.p.branch(5)
	require.Error(t, w.settle(t))
	require.ErrorIs(t, w.cache.standing(), errDiverged)
}

func TestBetweenTheWritesOfARecoveryAProcessMayDie(t *testing.T) {
	w := forked(t)
	w.p.branch(60)
	r := w.p.recover(1, 1)
	w.p.down = false
	// The cache is begun anew and nothing is read yet.
	require.NoError(t, w.step(t))
	w.open(t, w.g)
	require.Error(t, w.cache.standing())
	_, ok := w.cache.recovery()
	require.False(t, ok, "an earlier process vouches for nothing")
	require.NoError(t, w.settle(t))
	a, ok := w.cache.recovery()
	require.True(t, ok)
	require.Equal(t, fold{1, r.TopDownHash}, a.Messages)
	// Read, and signed perhaps.
	w.open(t, w.g)
	require.NoError(t, w.settle(t))
	b, ok := w.cache.recovery()
	require.True(t, ok)
	require.Equal(t, a, b)
}

func TestWithTheSameMessagesAppliedWhatIsCommittedBeyondIsProvenToo(t *testing.T) {
	w := newWatch(t)
	w.p.send(common.Address{0xaa, 1}, 1)
	w.p.mine(2)
	w.p.send(common.Address{0xaa, 1}, 2)
	w.p.mine(2)
	w.p.send(common.Address{0xaa, 1}, 3)
	top := w.p.mine(2)
	w.commitAll(t)
	w.said.Messages = fold{1, ipc.Roll(w.p.salt, w.p.sent[0].Hash())} // applied, of three

	w.p.revert(top - 1)
	w.p.send(common.Address{0xaa, 1}, 7)
	w.p.branch(8)
	require.Error(t, w.step(t))
	w.p.recover(1, 2)
	require.NoError(t, w.settle(t))
	a, ok := w.cache.recovery()
	require.True(t, ok)
	require.Equal(t, uint64(2), a.Messages.Count)

	// Applied of a branch that is gone, and less than the prefix: the gateway
	// could never deliver what lies between.
	w = forked(t)
	w.said.Messages = fold{1, common.Hash{7}}
	w.p.recover(1, 2)
	require.Error(t, w.settle(t))
	_, ok = w.cache.recovery()
	require.False(t, ok)
}

func TestANodeThatComesToTheBranchLaterBeginsFromWhatTheGatewayHolds(t *testing.T) {
	w := forked(t)
	w.p.recover(1, 1)
	at := w.p.recoveries.ExecutedBlock
	// The others have recovered, and gone on since.
	w.said.ParentFinality = ipc.ParentFinality{ParentHeight: at + 2, ParentHash: w.p.blocks[at+2].Hash,
		TopDownNonce: 2, TopDownHash: w.p.rolling, PowerChangeHash: w.p.salt}
	w.said.Recovered = 1
	require.NoError(t, w.settle(t))
	require.Equal(t, uint64(1), w.cache.began())
	w.p.send(common.Address{0xaa, 1}, 9)
	top := w.p.branch(2)
	require.NoError(t, w.settle(t))
	st, ok := w.cache.statement(0, top, 2, 0)
	require.True(t, ok)
	require.Equal(t, uint64(3), st.TopDownNonce)
}
