package flow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

var gatherer = addr(0x77)

// gathering plays an Executor: its call data are the ids of the messages.
func (g *gate) gathering() *flow.Together {
	return &flow.Together{
		Tx: func(m []axelar.Message, payloads [][]byte) (chains.Tx, error) {
			var ids []string
			for i := range m {
				if crypto.Keccak256Hash(payloads[i]) != m[i].PayloadHash {
					return chains.Tx{}, errors.New("payload is not the message's")
				}
				ids = append(ids, m[i].ID)
			}
			return chains.Tx{To: gatherer, Data: []byte(strings.Join(ids, ","))}, nil
		},
		Simulate: func(_ context.Context, m []axelar.Message, _ [][]byte) ([]error, error) {
			out := make([]error, len(m))
			for i := range m {
				out[i] = g.failed[m[i].ID]
			}
			return out, nil
		},
	}
}

// approvedAll are n transfers of a leg, approved, and the messages that they are.
func approvedAll(t *testing.T, f flow.Flow, n int, of func(i int) axelar.Transfer) (b flow.Batch, ids []string) {
	t.Helper()
	b.Fence = chains.Fence{Lane: "l"}
	for i := range n {
		e := sent(t, l1ID, gateOut, itsL1, "filecoin", of(i))
		e.Position = uint(i)
		tr, mine, err := f.Decode(e)
		require.NoError(t, err)
		require.True(t, mine)
		b.Transfers = append(b.Transfers, tr)
		ids = append(ids, axelar.HubMessageID("Ethereum", axelar.MessageID{Tx: e.Tx, Index: uint64(i)}).String())
	}
	b.Rides = make([]string, n)
	return b, ids
}

func equal(int) axelar.Transfer { return inward() }

// gathered are the messages of each transaction to the Executor.
func gathered(txs []chains.Tx) (out [][]string) {
	for _, tx := range txs {
		if tx.To == gatherer {
			out = append(out, strings.Split(string(tx.Data), ","))
		}
	}
	return out
}

func togetherGate() *gate {
	return &gate{latest: axelar.StateApproved, together: true, failed: map[string]error{}, c: axelar.Circumstances{State: axelar.StateApproved}}
}

func failing(sig string) error {
	if sig == "" {
		return &chains.RevertError{}
	}
	return &chains.RevertError{Data: crypto.Keccak256([]byte(sig))[:4]}
}

func TestApprovedMessagesAreExecutedTogether(t *testing.T) {
	for _, kind := range kinds {
		g := togetherGate()
		execute := flow.LegIn(sub(), crossing(kind), g.deps()).Steps[1]
		b, ids := approvedAll(t, flow.LegIn(sub(), crossing(kind), g.deps()), 45, equal)
		errs, err := execute.Do(t.Context(), b)
		require.NoError(t, err)
		require.Equal(t, make([]error, 45), errs)
		require.Equal(t, [][]string{ids[:20], ids[20:40], ids[40:]}, gathered(g.txs))
		keys := map[string]bool{}
		for i, tx := range g.txs {
			keys[tx.Key] = true
			require.Equal(t, b.Fence, tx.Fence)
			require.Equal(t, "into/root", tx.Group, "one account for a chain")
			for k, m := range tx.Members {
				require.Equal(t, b.Transfers[20*i+k].ID, m)
			}
		}
		require.Len(t, keys, 3)

		// The same again has the same names.
		before := g.txs
		g.txs = nil
		_, err = execute.Do(t.Context(), b)
		require.NoError(t, err)
		for i := range before {
			require.Equal(t, before[i].Key, g.txs[i].Key)
		}
	}
}

func TestOneThatFailsIsToldWhyAndGoesWithNobody(t *testing.T) {
	g := togetherGate()
	f := flow.LegIn(sub(), crossing(axelar.Legacy), g.deps())
	b, ids := approvedAll(t, f, 6, equal)
	g.failed[ids[1]] = failing("Pause()")
	g.failed[ids[3]] = chains.ErrUnavailable
	g.failed[ids[4]] = failing("") // as out of gas is told
	errs, err := f.Steps[1].Do(t.Context(), b)
	require.NoError(t, err)
	_, reason, later := flow.DueOf(errs[1])
	require.True(t, later)
	require.Equal(t, flow.ReasonPaused, reason)
	require.ErrorIs(t, errs[3], chains.ErrUnavailable)
	for _, i := range []int{0, 2, 4, 5} {
		require.NoError(t, errs[i], "%d", i)
	}
	require.Equal(t, [][]string{{ids[0], ids[2], ids[5]}}, gathered(g.txs))
	require.Len(t, g.txs, 2)
	require.Equal(t, itsRoot, g.txs[0].To, "what may need more gas than its share goes by itself")
	require.Equal(t, []common.Hash{b.Transfers[4].ID}, g.txs[0].Members)
}

func TestATransactionThatDoesNotGoThroughGoesInHalves(t *testing.T) {
	for name, refusal := range map[string]error{
		"none of them can be executed any more": failing("NothingExecuted()"),
		"more gas than a transaction may have":  fmt.Errorf("send: %w", chains.ErrGasLimit),
		"more bytes":                            chains.ErrTooLarge,
	} {
		t.Run(name, func(t *testing.T) {
			g := togetherGate()
			g.refused = func(tx chains.Tx) error {
				if len(tx.Members) > 3 {
					return refusal
				}
				return nil
			}
			f := flow.LegIn(sub(), crossing(axelar.Legacy), g.deps())
			b, ids := approvedAll(t, f, 9, equal)
			errs, err := f.Steps[1].Do(t.Context(), b)
			require.NoError(t, err)
			require.Equal(t, make([]error, 9), errs)
			require.Equal(t, [][]string{ids[:2], ids[2:4], ids[4:6], ids[6:]}, gathered(g.txs))
		})
	}

	t.Run("down to each by itself, which says why", func(t *testing.T) {
		g := togetherGate()
		g.refused = func(tx chains.Tx) error {
			if tx.To == gatherer {
				return failing("NothingExecuted()")
			}
			return failing("NotApprovedByGateway()")
		}
		g.c.State = axelar.StateExecuted // by somebody else
		f := flow.LegIn(sub(), crossing(axelar.Legacy), g.deps())
		b, _ := approvedAll(t, f, 5, equal)
		errs, err := f.Steps[1].Do(t.Context(), b)
		require.NoError(t, err)
		require.Equal(t, make([]error, 5), errs)
		require.Empty(t, g.txs)
	})

	t.Run("but not for what says nothing of them", func(t *testing.T) {
		g := togetherGate()
		tries := 0
		g.refused = func(chains.Tx) error { tries++; return chains.ErrBusy }
		f := flow.LegIn(sub(), crossing(axelar.Legacy), g.deps())
		b, _ := approvedAll(t, f, 5, equal)
		errs, err := f.Steps[1].Do(t.Context(), b)
		require.NoError(t, err)
		for _, e := range errs {
			require.ErrorIs(t, e, chains.ErrBusy)
		}
		require.Equal(t, 1, tries)
	})
}

func TestWhatIsUnderWayHoldsUpNobody(t *testing.T) {
	g := togetherGate()
	f := flow.LegIn(sub(), crossing(axelar.Legacy), g.deps())
	b, ids := approvedAll(t, f, 5, equal)
	b.Rides[0], b.Rides[2], b.Rides[4] = "leg_in/executeAll/0xabc", "leg_in/execute/0xabc", "leg_in/approve/0xabc"
	errs, err := f.Steps[1].Do(t.Context(), b)
	require.NoError(t, err)
	require.NoError(t, errs[0])
	require.NoError(t, errs[2])
	require.ErrorIs(t, errs[4], chains.ErrBusy, "its approval is final, and the transaction soon known to be")
	require.Equal(t, [][]string{{ids[1], ids[3]}}, gathered(g.txs))
}

func TestWhatMayRunForeignCodeGoesWithNobody(t *testing.T) {
	g := togetherGate()
	c := crossing(axelar.Legacy)
	c.Foreign = true
	f := flow.LegIn(sub(), c, g.deps())
	b, ids := approvedAll(t, f, 4, func(i int) axelar.Transfer {
		out := inward()
		if i%2 == 0 {
			out.Destination = addr(0x99).Bytes()
		}
		return out
	})
	errs, err := f.Steps[1].Do(t.Context(), b)
	require.NoError(t, err)
	require.Equal(t, make([]error, 4), errs)
	require.Equal(t, [][]string{{ids[1], ids[3]}}, gathered(g.txs))
	require.Len(t, g.txs, 3)
	require.Equal(t, 2, count(g.txs, func(tx chains.Tx) bool { return tx.To == itsRoot && len(tx.Members) == 1 }))
}

func TestPayloadsOfATransactionAreBounded(t *testing.T) {
	g := togetherGate()
	f := flow.LegIn(sub(), crossing(axelar.Legacy), g.deps())
	b, ids := approvedAll(t, f, 5, func(int) axelar.Transfer {
		out := inward()
		out.Data = make([]byte, 15<<10)
		return out
	})
	errs, err := f.Steps[1].Do(t.Context(), b)
	require.NoError(t, err)
	require.Equal(t, make([]error, 5), errs)
	require.Equal(t, [][]string{ids[:3], ids[3:]}, gathered(g.txs))

	one, _ := approvedAll(t, f, 1, equal)
	g.txs = nil
	_, err = f.Steps[1].Do(t.Context(), one)
	require.NoError(t, err)
	require.Equal(t, itsRoot, g.txs[0].To, "one by itself needs no Executor")

	g.txs = nil
	none, _ := approvedAll(t, f, 0, equal)
	_, err = f.Steps[1].Do(t.Context(), none)
	require.NoError(t, err)
	require.Empty(t, g.txs)
}

func count(txs []chains.Tx, is func(chains.Tx) bool) int {
	return len(slices.DeleteFunc(slices.Clone(txs), func(tx chains.Tx) bool { return !is(tx) }))
}
