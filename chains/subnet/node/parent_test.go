package node

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
)

// watch is a watcher without a node around it.
type watch struct {
	*watcher
	p    *fakeParent
	st   *store
	said holding
	want []uint64
}

func (w *watch) committed() (holding, error) { return w.said, nil }
func (w *watch) wanted() []uint64            { return w.want }

func newWatch(t *testing.T) *watch {
	p := newFakeParent("main")
	g := testGenesis(t, p, 5, testKey("validator 0"))
	w := &watch{p: p}
	var err error
	w.st, err = openStore(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.st.close() })
	w.open(t, g)
	return w
}

func (w *watch) open(t *testing.T, g Genesis) {
	cache, err := openParentCache(w.st)
	require.NoError(t, err)
	m, err := newMetrics(nil)
	require.NoError(t, err)
	w.watcher = newWatcher(g, w.p, cache, w, slog.New(slog.DiscardHandler), m)
}

func (w *watch) step(t *testing.T) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return w.watcher.step(ctx)
}

func TestLogsAreBelievedOnlyWhenTheyFoldToTheParentsHashes(t *testing.T) {
	w := newWatch(t)
	w.p.send(common.Address{0xaa, 1}, 7)
	w.p.change(addrOf(testKey("validator 0")), common.Big2)
	top := w.p.mine(3)

	for name, lie := range map[string]func(bool){
		"no logs":        func(on bool) { w.p.hideLogs = on },
		"forged content": func(on bool) { w.p.forgeValue = on },
	} {
		lie(true)
		require.ErrorIs(t, w.step(t), errIncomplete, name)
		height, _, _ := w.cache.newest()
		require.Zero(t, height, name)
		lie(false)
	}
	require.NoError(t, w.step(t))
	height, hash, _ := w.cache.newest()
	require.Equal(t, top, height)
	require.Equal(t, w.p.blocks[top].Hash, hash)
	st, ok := w.cache.statement(0, top, 0, 0)
	require.True(t, ok)
	require.Equal(t, uint64(1), st.TopDownNonce)
	require.Equal(t, w.p.rolling, common.Hash(st.TopDownHash))
	require.Equal(t, w.p.changeHash, common.Hash(st.PowerChangeHash))
}

func TestAnEmptyRangeIsBelievedWhenTheCountersSaySo(t *testing.T) {
	w := newWatch(t)
	w.p.hideLogs = true
	top := w.p.mine(30)
	require.NoError(t, w.step(t))
	height, _, _ := w.cache.newest()
	require.Equal(t, top, height)
}

func TestAReorgBelowTheCursorStopsTopDownSigning(t *testing.T) {
	w := newWatch(t)
	top := w.p.mine(5)
	require.NoError(t, w.step(t))
	_, ok := w.cache.statement(0, top, 0, 0)
	require.True(t, ok)

	// The same heights, another chain.
	w.p.fork(top-2, 3)
	require.ErrorIs(t, w.step(t), chains.ErrReorg)
	_, ok = w.cache.statement(0, top, 0, 0)
	require.False(t, ok, "nothing about a parent that changed is signed")
}

func TestACacheOfAnEarlierProcessIsSignedFromOnlyOnceItWasCompared(t *testing.T) {
	w := newWatch(t)
	top := w.p.mine(5)
	require.NoError(t, w.step(t))
	w.said.ParentFinality, _ = w.cache.statement(0, top, 0, 0)
	require.NotZero(t, w.said.ParentHeight)
	top = w.p.mine(2)
	require.NoError(t, w.step(t))

	w.open(t, w.g)
	w.p.down = true
	require.Error(t, w.step(t))
	_, ok := w.cache.statement(0, top, 0, 0)
	require.False(t, ok)
	require.ErrorIs(t, w.cache.standing(), errNotCompared)
	w.p.down = false
	require.NoError(t, w.step(t))
	_, ok = w.cache.statement(0, top, 0, 0)
	require.True(t, ok)
	require.NoError(t, w.cache.standing())
}

func TestAnEmptyHomeWhoseParentIsNotTheCommittedOneSaysSo(t *testing.T) {
	w := newWatch(t)
	top := w.p.mine(5)
	w.said.ParentFinality = ipc.ParentFinality{ParentHeight: top - 1, ParentHash: common.Hash{0xba, 0xd}, TopDownHash: w.p.salt, PowerChangeHash: w.p.salt}
	require.ErrorIs(t, w.step(t), errDiverged)
	require.ErrorIs(t, w.cache.standing(), errDiverged)
}

func TestACacheOfAnotherChainDoesNotHeal(t *testing.T) {
	w := newWatch(t)
	top := w.p.mine(5)
	require.NoError(t, w.step(t))
	w.p.fork(top-2, 3)
	require.ErrorIs(t, w.step(t), chains.ErrReorg)
	w.said.ParentFinality = ipc.ParentFinality{ParentHeight: top - 1, ParentHash: common.Hash{0xba, 0xd}, TopDownHash: w.p.salt, PowerChangeHash: w.p.salt}
	require.ErrorIs(t, w.step(t), errDiverged)
	require.ErrorIs(t, w.cache.standing(), chains.ErrReorg)
	w.said.ParentFinality = ipc.ParentFinality{}
	require.ErrorIs(t, w.step(t), chains.ErrReorg)
	require.ErrorIs(t, w.cache.standing(), chains.ErrReorg)
}

func TestACommittedBlockThatIsNotOursStopsTopDownSigning(t *testing.T) {
	w := newWatch(t)
	top := w.p.mine(5)
	require.NoError(t, w.step(t))
	w.said.ParentFinality = ipc.ParentFinality{ParentHeight: top - 1, ParentHash: common.Hash{0xba, 0xd}, TopDownHash: w.p.salt, PowerChangeHash: w.p.salt}
	require.ErrorIs(t, w.step(t), errDiverged)
	_, ok := w.cache.statement(0, top, 0, 0)
	require.False(t, ok)

	// An endpoint that comes back from a fork heals it.
	w.said.ParentHash = w.p.blocks[top-1].Hash
	require.NoError(t, w.step(t))
	_, ok = w.cache.statement(0, top, 0, 0)
	require.True(t, ok)

	// Content counts as much as the block.
	w.said.TopDownHash = common.Hash{0xba, 0xd}
	require.ErrorIs(t, w.step(t), errDiverged)
}

func TestAStatementMovesOnByABoundedNumberOfMessages(t *testing.T) {
	w := newWatch(t)
	for range maxNewMessages + 500 {
		w.p.send(common.Address{0xaa, 1}, 1)
	}
	top := w.p.mine(1)
	require.NoError(t, w.step(t))
	first, ok := w.cache.statement(0, top, 0, 0)
	require.True(t, ok)
	require.Equal(t, uint64(maxNewMessages), first.TopDownNonce, "it ends inside the block")
	leaves := ipc.EnvelopeLeaves(w.p.sent)
	require.Equal(t, ipc.RollAll(w.p.salt, leaves[:maxNewMessages]), common.Hash(first.TopDownHash))

	// Once committed, a cache that starts from nothing goes back to find the rest.
	w.p.mine(3)
	w.said.ParentFinality = first
	require.NoError(t, w.step(t))
	fresh := &watch{p: w.p, said: w.said}
	var err error
	fresh.st, err = openStore(t.TempDir())
	require.NoError(t, err)
	defer func() { _ = fresh.st.close() }()
	fresh.open(t, w.g)
	require.NoError(t, fresh.step(t))
	top = uint64(len(w.p.blocks) - 1)
	for _, c := range []*parentCache{w.cache, fresh.cache} {
		next, ok := c.statement(0, top, first.TopDownNonce, 0)
		require.True(t, ok)
		require.Equal(t, uint64(maxNewMessages+500), next.TopDownNonce)
		require.Equal(t, w.p.rolling, common.Hash(next.TopDownHash))
	}
}

func TestTheCacheSurvivesAReopenAndKeepsOnlyWhatIsNeeded(t *testing.T) {
	w := newWatch(t)
	for range 40 {
		w.p.send(common.Address{0xaa, 1}, 1)
		w.p.mine(1)
		require.NoError(t, w.step(t))
	}
	top := uint64(len(w.p.blocks) - 1)
	w.said.ParentFinality, _ = w.cache.statement(0, top-10, 0, 0)
	require.NoError(t, w.step(t))
	require.Equal(t, uint64(30), w.cache.messages.first.Count)
	require.Len(t, w.cache.messages.entries, 10)

	before := w.cache
	w.open(t, w.g)
	require.Equal(t, before.head, w.cache.head)
	require.Equal(t, before.messages, w.cache.messages)
	require.Equal(t, before.changes, w.cache.changes)
	require.Equal(t, before.points, w.cache.points)
	require.NoError(t, w.step(t))
}

func TestHeightsBetweenTwoReadsAreVisitedOnRequest(t *testing.T) {
	w := newWatch(t)
	for range 6 {
		w.p.send(common.Address{0xaa, 1}, 1)
		w.p.mine(2)
	}
	require.NoError(t, w.step(t))
	top := uint64(len(w.p.blocks) - 1)
	require.False(t, w.cache.has(top-3))
	w.want = []uint64{top - 3, top + 50, 0}
	require.NoError(t, w.step(t))
	st, ok := w.cache.statement(0, top-3, 0, 0)
	require.True(t, ok)
	require.Equal(t, w.p.blocks[top-3].messages.Count, st.TopDownNonce)
	require.Equal(t, w.p.blocks[top-3].Hash, common.Hash(st.ParentHash))
}

// A proposer may name any height; one that the parent has no block at must not
// keep the others from being read.
func TestANullRoundThatIsNamedHoldsNothingUp(t *testing.T) {
	w := newWatch(t)
	for range 6 {
		w.p.send(common.Address{0xaa, 1}, 1)
		w.p.mine(2)
	}
	require.NoError(t, w.step(t))
	top := uint64(len(w.p.blocks) - 1)
	w.p.null = map[uint64]bool{top - 5: true}
	w.want = []uint64{top - 5, top - 3}
	require.NoError(t, w.step(t))
	_, ok := w.cache.statement(0, top-5, 0, 0)
	require.False(t, ok, "there is no such block")
	_, ok = w.cache.statement(0, top-3, 0, 0)
	require.True(t, ok)
}

func TestAParentThatForgotOldStateIsBelievedAtItsHead(t *testing.T) {
	w := newWatch(t)
	for range 50 {
		w.p.send(common.Address{0xaa, 1}, 1)
		w.p.mine(1)
	}
	for _, b := range w.p.blocks[:len(w.p.blocks)-1] {
		w.p.noState[b.Hash] = true
	}
	require.NoError(t, w.step(t))
	st, ok := w.cache.statement(0, uint64(len(w.p.blocks)-1), 0, 0)
	require.True(t, ok)
	require.Equal(t, uint64(50), st.TopDownNonce)
}

func TestAMessageOfAnotherSubnetIsNotOurs(t *testing.T) {
	w := newWatch(t)
	w.p.mu.Lock()
	w.p.events = append(w.p.events, chains.Event{
		Address: rootGateway, Data: []byte("whatever"),
		Topics: []common.Hash{ipc.TopicNewTopDownMessage, crypto.Keccak256Hash([]byte("other")), {}},
	})
	w.p.mu.Unlock()
	w.p.mine(1)
	require.NoError(t, w.step(t))
	require.Zero(t, w.cache.messages.last().Count)
}
