package flow_test

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// up is the root as the way up sees it, and the subnet's bundles and batches.
type up struct {
	final, latest flow.RootState
	bundles       map[uint64]uint64 // height to next configuration; absent: no quorum
	configuration uint64
	batches       map[uint64][]ipc.IpcEnvelope
	maxBytes      int
	maxSend       int
	maxCount      int
	fail          map[string]error
	sendErr       func(chain string, tx chains.Tx) error

	sent []string // what was sent, in order: "submit 10", "configure 4", "execute 10 [0 1]"
	txs  []chains.Tx
}

func newUp() *up {
	return &up{
		bundles: map[uint64]uint64{}, batches: map[uint64][]ipc.IpcEnvelope{}, maxBytes: 1 << 20, maxCount: 50, maxSend: 16, fail: map[string]error{},
	}
}

func (u *up) deps() flow.CheckpointDeps {
	send := func(chain string) func(context.Context, chains.Tx) error {
		return func(_ context.Context, tx chains.Tx) error {
			if u.sendErr != nil {
				if err := u.sendErr(chain, tx); err != nil {
					return err
				}
			}
			u.sent, u.txs = append(u.sent, string(tx.Data)), append(u.txs, tx)
			return nil
		}
	}
	return flow.CheckpointDeps{
		StateFinal:  func(context.Context) (flow.RootState, error) { return u.final, u.fail["final"] },
		StateLatest: func(context.Context) (flow.RootState, error) { return u.latest, u.fail["latest"] },
		Bundle: func(_ context.Context, h uint64) (flow.Bundle, error) {
			n, ok := u.bundles[h]
			if !ok {
				return flow.Bundle{}, fmt.Errorf("%w: checkpoint %d lacks weight", flow.ErrNotYet, h)
			}
			return flow.Bundle{Checkpoint: ipc.BottomUpCheckpoint{BlockHeight: new(big.Int).SetUint64(h), NextConfigurationNumber: n}}, u.fail["bundle"]
		},
		Configuration: func(context.Context) (uint64, error) { return u.configuration, u.fail["configuration"] },
		Batch:         func(_ context.Context, e uint64) ([]ipc.IpcEnvelope, error) { return u.batches[e], u.fail["batch"] },
		SubmitTx: func(b flow.Bundle) (chains.Tx, error) {
			return chains.Tx{To: addr(1), Data: fmt.Appendf(nil, "submit %d", b.Checkpoint.BlockHeight)}, u.fail["encode"]
		},
		ConfigureTx: func(b flow.Bundle) (chains.Tx, error) {
			return chains.Tx{To: addr(7), Data: fmt.Appendf(nil, "configure %d", b.Checkpoint.NextConfigurationNumber)}, u.fail["encode configure"]
		},
		ExecuteTx: func(h uint64, in []ipc.Inclusion) (chains.Tx, error) {
			var nonces []uint64
			for _, m := range in {
				nonces = append(nonces, m.Msg.LocalNonce)
			}
			for _, p := range u.latest.Pending {
				for _, m := range in {
					if p.Height == h && !ipc.VerifyInclusion(p.Commitment.MsgsRoot, m.Msg.Leaf(), m.Proof) {
						return chains.Tx{}, fmt.Errorf("message %d is not proven", m.Msg.LocalNonce)
					}
				}
			}
			return chains.Tx{To: addr(1), Data: fmt.Appendf(nil, "execute %d %v", h, nonces)}, u.fail["encode execute"]
		},
		SendRoot: send("root"), SendSubnet: send("subnet"), MaxBytes: u.maxBytes, MaxCount: u.maxCount, MaxSend: u.maxSend,
	}
}

func (u *up) steps() []flow.Step { return flow.Checkpoint(sub(), u.deps()).Steps }

func (u *up) accept(height, first uint64, count int) {
	var msgs []ipc.IpcEnvelope
	for n := range uint64(count) {
		m := envelope(ipc.KindCall, first+n, int64(n), []byte{byte(n)})
		m.From, m.To = m.To, m.From
		msgs = append(msgs, m)
	}
	u.batches[height] = msgs
	u.latest.LastHeight = max(u.latest.LastHeight, height)
	if count > 0 {
		u.latest.Pending = append(u.latest.Pending, flow.PendingBatch{Height: height, Commitment: ipc.Commit(msgs)})
	}
}

func heights(hs ...uint64) flow.Batch {
	b := flow.Batch{Fence: chains.Fence{Lane: "up", Epoch: 1, Counter: 1}}
	for _, h := range hs {
		b.Transfers = append(b.Transfers, tokens.Transfer{ID: hash(h), Nonce: h})
	}
	return b
}

func TestTheRootsFinalStateDecidesACheckpoint(t *testing.T) {
	u := newUp()
	u.final = flow.RootState{LastHeight: 20, Pending: []flow.PendingBatch{{Height: 20}}}
	u.latest = flow.RootState{LastHeight: 90}
	ts := heights(10, 20, 30).Transfers
	out, err := u.steps()[0].Done(ctx, ts)
	require.NoError(t, err)
	require.Equal(t, []flow.Outcome{{Kind: flow.Ok}, {Kind: flow.Ok}, {Kind: flow.Pending}}, out)
	out, err = u.steps()[1].Done(ctx, ts)
	require.NoError(t, err)
	require.Equal(t, []flow.Outcome{{Kind: flow.Ok}, {Kind: flow.Pending}, {Kind: flow.Unknown}}, out, "a checkpoint that this block does not know yet is unknown, not executed")
	u.fail["final"] = gone
	for _, s := range u.steps() {
		_, err := s.Done(ctx, ts)
		require.ErrorIs(t, err, gone)
	}
}

func TestCheckpointsAreSubmittedInOrderUpToTheFirstWithoutAQuorum(t *testing.T) {
	u := newUp()
	u.latest.LastHeight = 10
	u.bundles = map[uint64]uint64{20: 0, 30: 0, 50: 0}
	b := heights(10, 20, 30, 40, 50)
	out, err := u.steps()[0].Do(ctx, b)
	require.NoError(t, err)
	require.Equal(t, []error{nil, nil, nil}, out[:3])
	requireNotYet(t, out[3], "checkpoint 40 lacks weight")
	requireNotYet(t, out[4], "checkpoint 40 lacks weight")
	require.Equal(t, []string{"submit 20", "submit 30"}, u.sent)
	require.Equal(t, []common.Hash{hash(20)}, u.txs[0].Members)
	require.Equal(t, b.Fence, u.txs[0].Fence)
	require.Equal(t, "submit/"+addr(1).Hex()+"/20", u.txs[0].Key)
	require.Zero(t, u.txs[0].Gas, "the first is simulated")
	require.NotZero(t, u.txs[1].Gas, "those behind it cannot be")
	require.Equal(t, u.txs[0].Group, u.txs[1].Group, "one account, so that they stay in order")
}

func TestACheckpointThatIsNotNextWaits(t *testing.T) {
	u := newUp()
	u.bundles = map[uint64]uint64{20: 0, 30: 0}
	out, err := u.steps()[0].Do(ctx, heights(20, 30))
	require.NoError(t, err)
	requireNotYet(t, out[0], "10 is next on the root, the head of the lane is 20")
	requireNotYet(t, out[1], "10 is next")
	u.bundles[10] = 0
	out, err = u.steps()[0].Do(ctx, heights(10, 30))
	require.NoError(t, err)
	require.NoError(t, out[0])
	requireNotYet(t, out[1], "20 is next")
	require.Equal(t, []string{"submit 10"}, u.sent)
}

func TestABacklogOfCheckpointsIsSentInParts(t *testing.T) {
	u := newUp()
	var hs []uint64
	for h := uint64(10); h <= 300; h += 10 {
		hs, u.bundles[h] = append(hs, h), 0
	}
	out, err := u.steps()[0].Do(ctx, heights(hs...))
	require.NoError(t, err)
	require.Len(t, u.sent, u.maxSend)
	require.NoError(t, out[u.maxSend-1])
	require.ErrorIs(t, out[u.maxSend], flow.ErrNotYet)
	require.ErrorIs(t, out[29], flow.ErrNotYet)
}

// Executions carry far more, and each sending reads all that are undecided: a
// look that sent as many of them as of checkpoints would not end in time.
func TestFewerExecutionsThanCheckpointsAreSentInOneLook(t *testing.T) {
	u := newUp()
	u.accept(10, 0, 100)
	u.maxCount, u.maxSend = 2, 48
	out, err := u.steps()[1].Do(ctx, heights(10))
	require.NoError(t, err)
	require.Len(t, u.sent, 24)
	require.ErrorIs(t, out[0], flow.ErrNotYet)

	u.sent, u.maxSend = nil, 5
	_, err = u.steps()[1].Do(ctx, heights(10))
	require.NoError(t, err)
	require.Len(t, u.sent, 5, "nor more than the account has room for")
}

// TestABatchIsReadOnceWhileItIsExecuted: a large one takes many looks, and reading
// it takes longer than a block.
func TestABatchIsReadOnceWhileItIsExecuted(t *testing.T) {
	u := newUp()
	u.accept(10, 0, 6)
	u.accept(20, 6, 2)
	u.maxCount, u.maxSend = 2, 2
	reads := map[uint64]int{}
	d := u.deps()
	read := d.Batch
	d.Batch = func(ctx context.Context, h uint64) ([]ipc.IpcEnvelope, error) {
		reads[h]++
		return read(ctx, h)
	}
	do := flow.Checkpoint(sub(), d).Steps[1].Do
	look := func() {
		t.Helper()
		_, err := do(ctx, heights(10, 20))
		require.NoError(t, err)
	}
	u.fail["batch"] = chains.ErrUnavailable
	look()
	require.Empty(t, u.sent, "what could not be read is not remembered")
	u.fail["batch"] = nil
	look()
	u.latest.Applied = 4
	look()
	require.Equal(t, []string{"execute 10 [0 1]", "execute 10 [2 3]", "execute 10 [4 5]", "execute 20 [6 7]"}, u.sent)
	require.Equal(t, map[uint64]int{10: 2, 20: 1}, reads)

	// The next one is read while the last of this one are on their way.
	u.latest.Applied, d.MaxSend = 0, 2
	reads = map[uint64]int{}
	do = flow.Checkpoint(sub(), d).Steps[1].Do
	look()
	require.Equal(t, map[uint64]int{10: 1, 20: 1}, reads)
	u.latest.Applied, u.sent = 4, nil
	look()
	require.Equal(t, map[uint64]int{10: 1, 20: 1}, reads)
	reads = map[uint64]int{10: 2, 20: 1}

	// Executed, it is forgotten; at its height comes another one after a fork.
	u.latest.Pending, u.latest.Applied = u.latest.Pending[1:], 6
	look()
	require.Equal(t, map[uint64]int{10: 2, 20: 1}, reads)
	u.latest.Pending = nil
	u.accept(20, 6, 3)
	look()
	require.Equal(t, map[uint64]int{10: 2, 20: 2}, reads)
	require.Equal(t, "execute 20 [8]", u.sent[len(u.sent)-1])
}

func TestANewSetGoesToTheSubnetBeforeItsCheckpointGoesToTheRoot(t *testing.T) {
	u := newUp()
	u.configuration = 3
	u.bundles = map[uint64]uint64{10: 3, 20: 5, 30: 5, 40: 0, 50: 6}
	b := heights(10, 20, 30, 40, 50)
	out, err := u.steps()[0].Do(ctx, b)
	require.NoError(t, err)
	require.NoError(t, out[0])
	for _, e := range out[1:] {
		requireNotYet(t, e, "the subnet is switching to configuration 5")
	}
	require.Equal(t, []string{"submit 10", "configure 5"}, u.sent)
	require.Equal(t, "configure/"+addr(1).Hex()+"/5", u.txs[1].Key)
	require.Equal(t, u.txs[0].Fence, u.txs[1].Fence, "it belongs to the lane")
	require.Empty(t, u.txs[1].Members)

	u.configuration, u.latest.LastHeight, u.sent = 5, 10, nil
	out, err = u.steps()[0].Do(ctx, b)
	require.NoError(t, err)
	require.Equal(t, []error{nil, nil, nil, nil}, out[:4])
	requireNotYet(t, out[4], "switching to configuration 6")
	require.Equal(t, []string{"submit 20", "submit 30", "submit 40", "configure 6"}, u.sent)
}

func TestNothingGoesBeforeAConfigurationUnlessTheSubnetRefusesItForGood(t *testing.T) {
	for _, c := range []struct {
		err     error
		waits   bool
		submits bool
	}{
		{chains.ErrBusy, false, false},
		{gone, false, false},
		{reverted("InvalidConfigurationNumber()"), true, false},
		{reverted("OldConfigurationNumber()"), true, false},
		{reverted("CannotConfirmFutureChanges()"), false, true},
	} {
		u := newUp()
		u.bundles = map[uint64]uint64{10: 5}
		u.sendErr = func(chain string, _ chains.Tx) error {
			if chain == "subnet" {
				return c.err
			}
			return nil
		}
		out, err := u.steps()[0].Do(ctx, heights(10))
		require.NoError(t, err)
		require.Equal(t, c.waits, errors.Is(out[0], flow.ErrNotYet), c.err)
		require.Equal(t, c.submits, out[0] == nil, c.err)
		require.Equal(t, c.submits, len(u.sent) == 1, c.err)
	}
}

func TestWhatTheRootRefusesIsReadByItsClass(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		notYet bool
		text   string
	}{
		"somebody else did it":  {reverted("BottomUpCheckpointAlreadySubmitted()"), true, "BottomUpCheckpointAlreadySubmitted()"},
		"a predecessor is gone": {reverted("InvalidCheckpointEpoch()"), true, "InvalidCheckpointEpoch()"},
		"too little weight":     {reverted("NoQuorumFormed()"), false, "NoQuorumFormed()"},
		"a bug":                 {reverted("SignatureAddressesNotSorted()"), false, "SignatureAddressesNotSorted()"},
		"no data":               {&chains.RevertError{}, false, "execution reverted"},
		"unknown data":          {&chains.RevertError{Data: []byte{1, 2, 3, 4}}, false, "0x01020304"},
		"away":                  {gone, false, "endpoint away"},
		"busy":                  {chains.ErrBusy, false, "busy"},
	} {
		u := newUp()
		u.bundles = map[uint64]uint64{10: 0, 20: 0}
		u.sendErr = func(string, chains.Tx) error { return c.err }
		out, err := u.steps()[0].Do(ctx, heights(10, 20))
		require.NoError(t, err)
		for _, e := range out {
			require.Equal(t, c.notYet, errors.Is(e, flow.ErrNotYet), name)
			require.ErrorContains(t, e, c.text)
			require.NotErrorIs(t, e, flow.ErrPark)
		}
	}
}

func TestACheckpointAcceptedAtTheNewestBlockIsOnlyWaitedFor(t *testing.T) {
	u := newUp()
	u.latest.LastHeight = 30
	out, err := u.steps()[0].Do(ctx, heights(10, 20, 30))
	require.NoError(t, err)
	require.Equal(t, []error{nil, nil, nil}, out)
	require.Empty(t, u.sent)
}

func TestMessagesAreExecutedInOrderAcrossBatches(t *testing.T) {
	u := newUp()
	u.maxCount = 2
	u.latest.Applied = 1 // the first of batch 10 is in
	u.accept(10, 0, 4)
	u.accept(20, 4, 0)
	u.accept(30, 4, 3)
	out, err := u.steps()[1].Do(ctx, heights(10, 20, 30))
	require.NoError(t, err)
	require.Equal(t, []error{nil, nil, nil}, out)
	require.Equal(t, []string{"execute 10 [1 2]", "execute 10 [3]", "execute 30 [4 5]", "execute 30 [6]"}, u.sent)
	require.Equal(t, "message/"+addr(1).Hex()+"/1", u.txs[0].Key)
	require.Zero(t, u.txs[0].Gas)
	require.NotZero(t, u.txs[3].Gas)
}

func TestExecutionCutsByBytes(t *testing.T) {
	u := newUp()
	u.accept(10, 0, 3)
	u.maxBytes = 1
	_, err := u.steps()[1].Do(ctx, heights(10))
	require.NoError(t, err)
	require.Equal(t, []string{"execute 10 [0]", "execute 10 [1]", "execute 10 [2]"}, u.sent)
}

func TestAnExecutionWhoseMessagesAreNotNextWaits(t *testing.T) {
	u := newUp()
	u.accept(10, 0, 2)
	u.accept(20, 2, 2)
	out, err := u.steps()[1].Do(ctx, heights(20))
	require.NoError(t, err)
	requireNotYet(t, out[0], "message 0 is next on the root, batch 20 goes on with 2")
	require.Empty(t, u.sent)
}

func TestMessagesThatDoNotHashToTheSignedRootAreNeverSent(t *testing.T) {
	for name, forge := range map[string]func([]ipc.IpcEnvelope) []ipc.IpcEnvelope{
		"one is missing":  func(m []ipc.IpcEnvelope) []ipc.IpcEnvelope { return m[:2] },
		"none":            func([]ipc.IpcEnvelope) []ipc.IpcEnvelope { return nil },
		"one is repeated": func(m []ipc.IpcEnvelope) []ipc.IpcEnvelope { return append(slices.Clone(m), m[0]) },
		"another value": func(m []ipc.IpcEnvelope) []ipc.IpcEnvelope {
			m = slices.Clone(m)
			m[1].Value = big.NewInt(1_000_000)
			return m
		},
	} {
		u := newUp()
		u.accept(10, 0, 3)
		u.accept(20, 3, 1)
		u.batches[10] = forge(u.batches[10])
		out, err := u.steps()[1].Do(ctx, heights(10, 20))
		require.NoError(t, err)
		for _, e := range out {
			reason, ok := flow.ReasonOf(e)
			require.True(t, ok, name)
			require.Equal(t, flow.ReasonBatchMismatch, reason)
		}
		require.Empty(t, u.sent, name)
	}
}

func TestAnEndpointThatFailsStopsTheWayUp(t *testing.T) {
	for _, at := range []string{"latest", "configuration", "encode", "bundle", "encode configure"} {
		u := newUp()
		u.bundles = map[uint64]uint64{10: 5}
		if at == "encode" {
			u.configuration = 5
		}
		u.fail[at] = gone
		out, err := u.steps()[0].Do(ctx, heights(10))
		if err == nil {
			err = out[0]
		}
		require.ErrorIs(t, err, gone, at)
		require.NotContains(t, u.sent, "submit 10", at)
	}
	for _, at := range []string{"latest", "batch", "encode execute"} {
		u := newUp()
		u.accept(10, 0, 1)
		u.fail[at] = gone
		out, err := u.steps()[1].Do(ctx, heights(10))
		if err == nil {
			err = out[0]
		}
		require.ErrorIs(t, err, gone, at)
		require.Empty(t, u.sent)
	}
}

func TestWhateverTheRootAnswersCheckpointsAndMessagesGoUpInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := newUp()
		u.maxCount = rapid.IntRange(1, 3).Draw(t, "count")
		total, made := uint64(0), rapid.Uint64Range(1, 8).Draw(t, "checkpoints")
		batches := map[uint64][2]uint64{}
		for i := range made {
			n := rapid.Uint64Range(0, 4).Draw(t, "messages")
			batches[(i+1)*period] = [2]uint64{total, n}
			total += n
			if rapid.IntRange(0, 4).Draw(t, "signed") > 0 {
				u.bundles[(i+1)*period] = rapid.SampledFrom([]uint64{0, 0, i}).Draw(t, "configuration")
			}
		}
		trouble := rapid.SampledFrom([]error{nil, nil, nil, nil, gone, chains.ErrBusy, reverted("InvalidCheckpointEpoch()")})
		var nextHeight, nextMessage uint64
		configured := uint64(0)
		u.sendErr = func(chain string, tx chains.Tx) error {
			if err := trouble.Draw(t, "send"); err != nil {
				return err
			}
			var h, n uint64
			switch text := string(tx.Data); {
			case chain == "subnet":
				_, err := fmt.Sscanf(text, "configure %d", &n)
				require.NoError(t, err)
				require.Greater(t, n, configured)
				configured = n
			case text[0] == 's':
				_, err := fmt.Sscanf(text, "submit %d", &h)
				require.NoError(t, err)
				require.Equal(t, nextHeight, h, "ascending and without a gap")
				require.LessOrEqual(t, u.bundles[h], configured, "the subnet switches first")
				nextHeight += period
			default:
				_, err := fmt.Sscanf(text, "execute %d [%d", &h, &n)
				require.NoError(t, err)
				require.Equal(t, nextMessage, n, "ascending and without a gap")
				for _, c := range text {
					if c == ' ' {
						n++
					}
				}
				nextMessage = n - 1
			}
			return nil
		}
		steps := u.steps()
		for range rapid.IntRange(1, 12).Draw(t, "looks") {
			// The root takes the next checkpoint, executes some, by whomever.
			if h := u.latest.LastHeight + period; h <= made*period && rapid.Bool().Draw(t, "accept") {
				u.accept(h, batches[h][0], int(batches[h][1]))
			}
			for u.latest.Applied < total && len(u.latest.Pending) > 0 && rapid.Bool().Draw(t, "execute") {
				u.latest.Applied++
				if p := u.latest.Pending[0]; u.latest.Applied == batches[p.Height][0]+batches[p.Height][1] {
					u.latest.Pending = u.latest.Pending[1:]
				}
			}
			u.configuration = rapid.Uint64Range(0, configured).Draw(t, "configuration applied")
			configured = u.configuration
			from := rapid.Uint64Range(1, min(u.latest.LastHeight/period+1, made)).Draw(t, "head")
			var hs []uint64
			for i := from; i <= made; i++ {
				if i > from && rapid.IntRange(0, 9).Draw(t, "hole") == 0 {
					continue
				}
				hs = append(hs, i*period)
			}
			nextHeight, nextMessage = u.latest.LastHeight+period, u.latest.Applied
			for _, s := range steps {
				for _, at := range []string{"latest", "bundle", "batch"} {
					u.fail[at] = rapid.SampledFrom([]error{nil, nil, nil, gone}).Draw(t, at)
				}
				out, err := s.Do(ctx, heights(hs...))
				if err == nil {
					require.Len(t, out, len(hs))
				}
			}
		}
	})
}
