package approve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

var (
	_ flow.ApproveFunc = new(Quorum).Approve
	_ Proposals        = (*store.DB)(nil)
	_ Signatures       = (*store.DB)(nil)
)

func covers(signed []flow.Signed) (out []int) {
	for _, s := range signed {
		out = append(out, s.Covers...)
	}
	return out
}

// sizes of what is up, by messages, the largest first: what is put up in one
// millisecond is in no order.
func (w *world) sizes() (out []int) {
	for _, p := range w.up(rootName) {
		out = append(out, len(p.Messages))
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out
}

func TestABatchIsBoundedAndEachMessageIsInOne(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, startRedis(t))
	q := w.quorum(func(c *QuorumConfig) { c.MaxBatch = 4 })
	for n := range byte(10) {
		w.chain[l1Name].mine(direct(n))
	}
	wanted := w.wanted(l1Name)
	// One twice, one that no gateway would take, one in the name of another's call.
	wanted = append(wanted, wanted[3])
	bad, twin := wanted[0], wanted[1]
	bad.ID.Index, bad.Message.ID = 99, "x"
	twin.ID.Index = 98
	other := wanted[2]
	other.Message.PayloadHash = common.Hash{1}
	wanted = append(wanted, bad, twin, other)
	_, err := q.Approve(ctx, wanted)
	require.NoError(t, err)
	require.Equal(t, []int{4, 4, 2}, w.sizes())
	_, err = q.Approve(ctx, wanted)
	require.NoError(t, err)
	require.Equal(t, []int{4, 4, 2}, w.sizes())
	for i := range 2 {
		w.signer(i).turn()
	}
	signed, err := q.Approve(ctx, wanted)
	require.NoError(t, err)
	require.ElementsMatch(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, covers(signed))
	keys := map[string]bool{}
	for _, s := range signed {
		keys[s.Key] = true
		require.Equal(t, s.Key, s.Tx.Key)
	}
	require.Len(t, keys, 3)
	none, err := q.Approve(ctx, nil)
	require.NoError(t, err)
	require.Empty(t, none)
}

// TestOneMessageThatNobodySignsForHoldsUpNoOther for long.
func TestOneMessageThatNobodySignsForHoldsUpNoOther(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, startRedis(t))
	q := w.quorum()
	for n := range byte(16) {
		w.chain[l1Name].mine(direct(n))
	}
	wanted := w.wanted(l1Name)
	poison := flow.Wanted{From: l1Name, ID: axelar.MessageID{Tx: common.Hash{1}}}
	poison.Message = axelar.Message{SourceChain: l1Name, ID: poison.ID.String(), SourceAddress: sender.Hex(), Contract: taker, PayloadHash: common.Hash{2}}
	wanted = append(wanted[:5:5], append([]flow.Wanted{poison}, wanted[5:]...)...)
	one, two := w.signer(0), w.signer(1)
	rounds := 0
	for ; ; rounds++ {
		signed, err := q.Approve(ctx, wanted)
		require.NoError(t, err)
		if len(covers(signed)) == 16 {
			require.NotContains(t, covers(signed), 5)
			break
		}
		require.Less(t, rounds, 20)
		one.turn()
		two.turn()
		w.clock = w.clock.Add(DefaultPatience + time.Second)
	}
	require.Less(t, rounds, 16)
	// It goes on alone, and new ones go together.
	for n := range byte(6) {
		w.chain[l1Name].mine(direct(100, n))
	}
	for range 2 {
		_, err := q.Approve(ctx, append(w.wanted(l1Name)[16:], poison))
		require.NoError(t, err)
	}
	require.Contains(t, w.sizes(), 6)
	require.Contains(t, w.sizes(), 1)
}

func TestWhatIsApprovedIsNotPutUp(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, startRedis(t))
	q := w.quorum()
	w.chain[l1Name].mine(direct(1), direct(2), direct(3))
	wanted := w.wanted(l1Name)
	w.gateway[rootName].approved(wanted[1].Message)
	_, err := q.Approve(ctx, wanted)
	require.NoError(t, err)
	require.Equal(t, []int{2}, w.sizes())

	// Once all of it is approved it is dropped, and not before.
	w.gateway[rootName].approved(wanted[0].Message)
	n, err := q.Tidy(ctx)
	require.NoError(t, err)
	require.Zero(t, n)
	w.gateway[rootName].approved(wanted[2].Message)
	n, err = q.Tidy(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	signed, err := q.Approve(ctx, wanted)
	require.NoError(t, err)
	require.Empty(t, signed)
	require.Empty(t, w.up(rootName))
}

func TestTidyForgetsWhatNobodyAsksFor(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, startRedis(t))
	q := w.quorum(func(c *QuorumConfig) { c.Patience = 10 * time.Hour })
	w.chain[l1Name].mine(direct(1))
	wanted := w.wanted(l1Name)
	_, err := q.Approve(ctx, wanted)
	require.NoError(t, err)
	stray := w.wanted(l1Name)[0]
	stray.ID.Tx = common.Hash{9}
	stray.Message.ID = stray.ID.String()
	w.put(rootName, asProposed(stray))
	for range 5 {
		_, err := q.Tidy(ctx)
		require.NoError(t, err)
		require.Len(t, w.up(rootName), 2)
		w.clock = w.clock.Add(11 * time.Minute)
		_, err = q.Approve(ctx, wanted)
		require.NoError(t, err)
	}
	w.clock = w.clock.Add(11 * time.Minute)
	n, err := q.Tidy(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, wanted[0].ID, w.up(rootName)[0].Messages[0].ID)
}

func TestWhatCannotBecomeACallIsDropped(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, startRedis(t))
	w.chain[l1Name].mine(direct(1), direct(2))
	wanted := w.wanted(l1Name)
	q := w.quorum()
	for what, change := range map[string]func(*store.Proposal){
		"an unknown set": func(p *store.Proposal) { p.Set = flipped(p.Set) },
		"other signers":  func(p *store.Proposal) { p.Signers = p.Signers[:1] },
		"another digest": func(p *store.Proposal) { p.Digest = flipped(p.Digest) },
		"another message of the call": func(p *store.Proposal) {
			p.Messages[0].Message.PayloadHash = flipped(p.Messages[0].Message.PayloadHash)
			var err error
			p.Digest, err = w.gateway[rootName].Digest(w.team.set, command(*p))
			require.NoError(t, err)
		},
	} {
		w.put(rootName, asProposed(wanted[0]), change)
		_, err := q.Approve(ctx, wanted[:1])
		require.NoError(t, err, what)
		up := w.up(rootName)
		require.Len(t, up, 1, what)
		require.Empty(t, q.amiss(up[0], force{standing: map[common.Hash]axelar.Standing{up[0].Set: axelar.StandingLatest}}), what)
		require.Equal(t, asProposed(wanted[0]), up[0].Messages, what)
		require.NoError(t, w.db.DropProposal(ctx, up[0], "test"))

		if what == "another message of the call" {
			continue // which only one who asks for it can tell
		}
		w.put(rootName, asProposed(wanted[0]), change)
		n, err := q.Tidy(ctx)
		require.NoError(t, err)
		require.Equal(t, 1, n, what)
	}
}

func TestAnUnknownSignerSetIsSaid(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, startRedis(t))
	w.gateway[rootName].stand(t, w.team.set, axelar.StandingRetained)
	w.chain[l1Name].mine(direct(1))
	q := w.quorum()
	_, err := q.Approve(ctx, w.wanted(l1Name))
	require.ErrorIs(t, err, ErrSigners)
	_, err = q.ProposeRotation(ctx, newTeam(2, 1, 1).set)
	require.ErrorIs(t, err, ErrSigners)
	bad := newTeam(2, 1, 1).set
	bad.Threshold = bad.Signers[0].Weight.Lsh(bad.Signers[0].Weight, 1)
	bad.Signers[0].Weight = w.team.set.Signers[0].Weight
	_, err = q.ProposeRotation(ctx, bad)
	require.ErrorIs(t, err, axelar.ErrSignerSet)
}

func TestAChainOrAStoreThatDoesNotAnswerIsSaid(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, startRedis(t))
	w.chain[l1Name].mine(direct(1))
	q := w.quorum()
	*w.gateway[rootName].fails = chains.ErrUnavailable
	_, err := q.Approve(ctx, w.wanted(l1Name))
	require.ErrorIs(t, err, chains.ErrUnavailable)
	_, err = q.Tidy(ctx)
	require.ErrorIs(t, err, chains.ErrUnavailable)
	*w.gateway[rootName].fails = nil
	q = w.quorum(func(c *QuorumConfig) {
		c.Final = func(context.Context, []axelar.Call) ([][]byte, error) { return nil, chains.ErrUnavailable }
	})
	_, err = q.Approve(ctx, w.wanted(l1Name))
	require.ErrorIs(t, err, chains.ErrUnavailable)
	w.server.Kill()
	_, err = w.quorum().Approve(ctx, w.wanted(l1Name))
	require.ErrorIs(t, err, store.ErrDown)
	s := w.signer(0)
	require.NoError(t, s.read(), "the chains are read all the same")
	_, err = s.look(ctx)
	require.ErrorIs(t, err, store.ErrDown)
}

// TestTwoRelayersDoNotSpoilEachOther: their batches overlap, and everything is
// approved.
func TestTwoRelayersDoNotSpoilEachOther(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, startRedis(t))
	for n := range byte(30) {
		w.chain[l1Name].mine(direct(n))
	}
	wanted := w.wanted(l1Name)
	parts := [][]flow.Wanted{wanted[:20], wanted[10:]}
	var group sync.WaitGroup
	run, stop := context.WithCancel(ctx)
	for i := range 2 {
		s, err := NewSigner(w.signerConfig(i, t.TempDir()))
		require.NoError(t, err)
		group.Go(func() { _ = s.Run(run) })
	}
	errs := make(chan error, len(parts))
	for _, part := range parts {
		q := w.quorum(func(c *QuorumConfig) { c.MaxBatch = 7 })
		go func() {
			for range 2000 {
				signed, err := q.Approve(ctx, part)
				if err != nil || len(covers(signed)) == len(part) {
					errs <- err
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			errs <- errors.New("not approved in time")
		}()
	}
	for range parts {
		require.NoError(t, <-errs)
	}
	stop()
	group.Wait()
	held := map[axelar.MessageID]int{}
	for _, p := range w.up(rootName) {
		for _, m := range p.Messages {
			held[m.ID]++
		}
	}
	require.Len(t, held, 30)
	for _, n := range held {
		require.Equal(t, 1, n)
	}
}

func TestAQuorumIsToldEverythingThatIsWrongWithIt(t *testing.T) {
	w := newWorld(t, axelar.Legacy, nil)
	for what, change := range map[string]func(*QuorumConfig){
		"required":    func(c *QuorumConfig) { c.Store = nil },
		"a batch is":  func(c *QuorumConfig) { c.MaxBatch = 257 },
		"patience":    func(c *QuorumConfig) { c.Patience = -1 },
		"signer sets": func(c *QuorumConfig) { c.Sets = nil },
		"threshold": func(c *QuorumConfig) {
			c.Sets = []axelar.WeightedSigners{{Signers: w.team.set.Signers, Threshold: common.Big0}}
		},
		"at most 128": func(c *QuorumConfig) { c.Sets = []axelar.WeightedSigners{newTeam(1, 129, 1).set} },
	} {
		cfg := QuorumConfig{To: rootName, Gateway: w.gateway[rootName], Sets: []axelar.WeightedSigners{w.team.set}, Store: new(store.DB), Final: noCalls}
		change(&cfg)
		_, err := NewQuorum(cfg)
		require.ErrorContains(t, err, what)
	}
}

// TestMissingSignersAreWaitedFor: batches are not made small while nothing gets a
// quorum.
func TestMissingSignersAreWaitedFor(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, startRedis(t))
	q := w.quorum()
	for n := range byte(8) {
		w.chain[l1Name].mine(direct(n))
	}
	wanted := w.wanted(l1Name)
	one, two := w.signer(0), w.signer(1)
	for range 4 {
		_, err := q.Approve(ctx, wanted)
		require.NoError(t, err)
		one.turn()
		require.Equal(t, []int{8}, w.sizes())
		w.clock = w.clock.Add(DefaultPatience + time.Second)
	}
	two.turn()
	signed, err := q.Approve(ctx, wanted)
	require.NoError(t, err)
	require.Len(t, covers(signed), 8)

	// Once others get one, it is the batch.
	w.chain[l1Name].mine(direct(50))
	stuck := w.wanted(l1Name)[8:]
	stuck = append(stuck, stuck[0])
	stuck[1].ID.Index, stuck[1].Message.ID = 77, axelar.MessageID{Tx: stuck[0].ID.Tx, Index: 77}.String()
	both := append(wanted[:8:8], stuck...)
	_, err = q.Approve(ctx, both)
	require.NoError(t, err)
	require.Equal(t, []int{8, 2}, w.sizes())
	w.clock = w.clock.Add(DefaultPatience + time.Second)
	for range 2 {
		_, err = q.Approve(ctx, both)
		require.NoError(t, err)
	}
	w.clock = w.clock.Add(time.Second)
	for range 2 {
		_, err = q.Approve(ctx, both)
		require.NoError(t, err)
	}
	require.Equal(t, []int{8, 1, 1}, w.sizes())
}

// TestWhatTheOldSetSignedGoesOnThoughTheNewOneIsUnknown.
func TestWhatTheOldSetSignedGoesOnThoughTheNewOneIsUnknown(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, startRedis(t))
	q := w.quorum()
	w.chain[l1Name].mine(direct(1))
	_, err := q.Approve(ctx, w.wanted(l1Name))
	require.NoError(t, err)
	for i := range 2 {
		w.signer(i).turn()
	}
	w.gateway[rootName].stand(t, w.team.set, axelar.StandingRetained)
	w.chain[l1Name].mine(direct(2))
	signed, err := q.Approve(ctx, w.wanted(l1Name))
	require.NoError(t, err)
	require.Equal(t, []int{0}, covers(signed))
	_, err = q.Approve(ctx, w.wanted(l1Name)[1:])
	require.ErrorIs(t, err, ErrSigners)
}

// TestAMessageInTwoBatchesIsCoveredOnce: so it can be where two relayers put them up
// while Redis was losing something.
func TestAMessageInTwoBatchesIsCoveredOnce(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, startRedis(t))
	q := w.quorum()
	w.chain[l1Name].mine(direct(1), direct(2))
	wanted := w.wanted(l1Name)
	row := rootName + "\n" + l1Name + "\n" + wanted[0].ID.String()
	raw := w.server.Client()
	defer raw.Close()
	key := fmt.Sprintf("{approve%d}:proposing", namespaces)
	first := w.put(rootName, asProposed(wanted[0]))
	require.NoError(t, raw.HDel(ctx, key, row).Err())
	w.put(rootName, asProposed(wanted...))
	require.NoError(t, raw.HSet(ctx, key, row, first.Digest.Hex()).Err())
	for i := range 2 {
		w.signer(i).turn()
	}
	signed, err := q.Approve(ctx, wanted)
	require.NoError(t, err)
	require.ElementsMatch(t, []int{0, 1}, covers(signed))
}
