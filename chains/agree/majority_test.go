package agree

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// stops reads no further than below a height, as one that waits for a block to be
// deeper.
type stops struct {
	evm.Reader
	at uint64
}

func (s stops) Events(ctx context.Context, q chains.Query) (chains.Block, []chains.Event, error) {
	if q.From.Next >= s.at {
		return chains.Block{}, nil, fmt.Errorf("%w: %w", chains.ErrUnavailable, chains.ErrShallow)
	}
	q.To = min(q.To, s.at-1)
	return s.Reader.Events(ctx, q)
}

func TestARangeEndsWhereEnoughEndpointsStop(t *testing.T) {
	r := newRig(t, 3, 2)
	r.send(&r.contract, []byte{1})
	r.mine(8)
	for _, i := range []int{0, 1} {
		r.readers[i].Reader = stops{r.readers[i].Reader, 5}
	}
	last, events, err := r.client.Events(t.Context(), r.query())
	require.NoError(t, err)
	require.EqualValues(t, 4, last.Number)
	require.Len(t, events, 1)
	q := r.query()
	q.From.Next, q.From.Parent = last.Number+1, last.Hash
	_, _, err = r.client.Events(t.Context(), q)
	require.ErrorIs(t, err, chains.ErrUnavailable)
	require.ErrorIs(t, err, chains.ErrShallow)
	require.NoError(t, r.client.Trouble())
	for _, name := range []string{"a", "b", "c"} {
		require.Empty(t, r.status(name).Out, "to wait is no fault")
	}
}

func TestATroubleAboutAStateThatIsForgottenEndsWithTheNewestState(t *testing.T) {
	r := newRig(t, 3, 2)
	r.mine(4)
	head, err := r.client.Head(t.Context())
	require.NoError(t, err)
	r.proxies[0].Lie(func(m string, raw json.RawMessage) json.RawMessage {
		if m == "eth_getBalance" {
			return json.RawMessage(`"0xffff"`)
		}
		return raw
	})
	_, err = r.client.Balance(t.Context(), r.contract, evm.AtHash(head.Hash))
	require.NoError(t, err)
	require.Error(t, r.client.Trouble())
	r.mine(3)
	_, err = r.client.Head(t.Context())
	require.NoError(t, err)
	for _, l := range r.readers {
		l.Reader = forgets{l.Reader, head}
	}
	r.client.Tend(t.Context())
	require.Error(t, r.client.Trouble(), "it lies about the newest one too")
	r.proxies[0].Lie(nil)
	r.client.Tend(t.Context())
	require.NoError(t, r.client.Trouble())
}

// forgets has no state of a block any more.
type forgets struct {
	evm.Reader
	of chains.Block
}

func (f forgets) Balance(ctx context.Context, account common.Address, at evm.BlockRef) (*big.Int, error) {
	if at == evm.AtHash(f.of.Hash) {
		return nil, chains.ErrUnavailable
	}
	return f.Reader.Balance(ctx, account, at)
}

func TestWhereAllMustAgreeTwoAgainstOneIsNoAnswer(t *testing.T) {
	r := newRig(t, 3, 3)
	r.send(&r.contract, []byte{1})
	r.mine(4)
	r.proxies[2].Lie(logLies["no logs at all"])
	_, events, err := r.client.Events(t.Context(), r.query())
	var split *DisagreementError
	require.ErrorAs(t, err, &split)
	require.Empty(t, events)
}

func TestWhereOneIsEnoughTwoThatDifferAreNoAnswer(t *testing.T) {
	r := newRig(t, 2, 1)
	r.send(&r.contract, []byte{1})
	r.mine(4)
	r.proxies[0].Lie(logLies["other data"])
	_, _, err := r.client.Events(t.Context(), r.query())
	var split *DisagreementError
	require.ErrorAs(t, err, &split)
	require.Len(t, split.Said, 2)
	r.proxies[0].Instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	_, events, err := r.client.Events(t.Context(), r.query())
	require.NoError(t, err, "one that is silent is no contradiction")
	require.Len(t, events, 1)
}

func TestTooFewThatDoWellAreNotWaitedFor(t *testing.T) {
	r := newRig(t, 2, 2)
	r.mine(4)
	r.proxies[0].Instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	_, err := r.client.Head(t.Context())
	require.ErrorIs(t, err, chains.ErrUnavailable)
	require.NotEmpty(t, r.status("a").Out)
	r.proxies[0].Instead(nil)
	_, err = r.client.Head(t.Context())
	require.NoError(t, err, "it is asked all the same, since it is needed")
	require.Empty(t, r.status("a").Out)
}

func TestWhoHasNotPassedABlockMayStillChangeItsMind(t *testing.T) {
	r := newRig(t, 3, 2)
	r.mine(4)
	old := r.chain.Finalized()
	r.readers[0].tell(func(chains.Block) chains.Block { return old })
	r.mine(3)
	head, err := r.client.Head(t.Context())
	require.NoError(t, err)
	r.proxies[0].Lie(fake.LieObject("eth_getBlockByNumber", func(b map[string]any) { b["hash"] = common.BigToHash(common.Big2).Hex() }))
	b, err := r.client.BlockByNumber(t.Context(), head.Number)
	require.NoError(t, err)
	require.Equal(t, head, b)
	require.NoError(t, r.client.Trouble())
}

func TestTheEndOfARangeIsTheBlockThatEnoughSay(t *testing.T) {
	r := newRig(t, 3, 2)
	r.mine(4)
	r.proxies[0].Lie(fake.LieObject("eth_getBlockByNumber", func(b map[string]any) {
		if b["number"] != "0x1" {
			b["hash"] = common.BigToHash(common.Big2).Hex()
		}
	}))
	q := r.query()
	q.From.Next, q.From.Parent = 3, common.Hash{}
	last, _, err := r.client.Events(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, r.chain.Finalized(), last)
	require.True(t, slices.ContainsFunc(r.status("a").Differs, func(d Difference) bool { return strings.HasPrefix(d.What, "events of") }))
}

func TestAHeadThatBecomesAnotherBlockIsAReorg(t *testing.T) {
	r := newRig(t, 3, 2)
	r.mine(4)
	for _, l := range r.readers {
		l.tell(func(b chains.Block) chains.Block { b.Hash = common.BigToHash(common.Big2); return b })
	}
	_, err := r.client.Head(t.Context())
	require.NoError(t, err)
	for _, l := range r.readers {
		l.tell(nil)
	}
	_, err = r.client.Head(t.Context())
	require.ErrorIs(t, err, chains.ErrReorg)
}

// Where a log stands in its receipt is part of the name of a message.
func TestAPlaceInAReceiptIsWhatEnoughSay(t *testing.T) {
	for n, k := range map[int]int{2: 2, 3: 2} {
		r := newRig(t, n, k)
		r.send(&r.contract, []byte{1})
		second := r.send(&r.contract, []byte{2})
		r.mine(4)
		r.proxies[0].Lie(fake.LieObject("eth_getTransactionReceipt", func(receipt map[string]any) {
			logs, _ := receipt["logs"].([]any)
			if receipt["transactionHash"] != second.Hex() || len(logs) != 1 {
				return
			}
			forged := maps.Clone(logs[0].(map[string]any))
			forged["logIndex"] = "0x0"
			receipt["logs"] = []any{forged, logs[0]}
		}))
		q := r.query()
		q.Filter.Placed = []common.Address{r.contract}
		_, events, err := r.client.Events(t.Context(), q)
		if n == k {
			var split *DisagreementError
			require.ErrorAs(t, err, &split)
			require.Empty(t, events)
			continue
		}
		require.NoError(t, err)
		require.Len(t, events, 2)
		require.Zero(t, events[1].Position)
		require.NotEmpty(t, r.status("a").Differs)
	}
}

// pruning has none of what is older than a height.
type pruning struct {
	evm.Reader
	below uint64
}

func (f pruning) Events(ctx context.Context, q chains.Query) (chains.Block, []chains.Event, error) {
	if q.From.Next < f.below {
		return chains.Block{}, nil, fmt.Errorf("it is gone: %w: %w", chains.ErrPruned, chains.ErrUnavailable)
	}
	return f.Reader.Events(ctx, q)
}

// What one endpoint has forgotten others may have; it is not to be had only where too
// few are left that could.
func TestWhatIsForgottenIsNotToBeHadOnlyWhereTooFewMayHaveIt(t *testing.T) {
	r := newRig(t, 3, 2)
	r.send(&r.contract, []byte{1})
	r.mine(8)
	r.readers[0].Reader = pruning{r.readers[0].Reader, 100}
	_, events, err := r.client.Events(t.Context(), r.query())
	require.NoError(t, err)
	require.Len(t, events, 1)

	// One of the two that are left does not answer now.
	well := r.readers[1].Reader
	r.readers[1].Reader = stops{well, 0}
	_, _, err = r.client.Events(t.Context(), r.query())
	require.ErrorIs(t, err, chains.ErrUnavailable)
	require.NotErrorIs(t, err, chains.ErrPruned)

	r.readers[1].Reader = pruning{well, 100}
	_, _, err = r.client.Events(t.Context(), r.query())
	require.ErrorIs(t, err, chains.ErrPruned)
	require.ErrorIs(t, err, chains.ErrUnavailable)
	require.ErrorContains(t, err, "2 of 3 endpoints have forgotten it")
	require.NoError(t, r.client.Trouble())
	for _, name := range []string{"a", "b", "c"} {
		require.Empty(t, r.status(name).Out, "to forget is no fault")
	}
}

// tires takes too long over more than so many heights.
type tires struct {
	evm.Reader
	over uint64
}

func (s tires) Events(ctx context.Context, q chains.Query) (chains.Block, []chains.Event, error) {
	if q.To-q.From.Next >= s.over {
		<-ctx.Done()
		return chains.Block{}, nil, ctx.Err()
	}
	return s.Reader.Events(ctx, q)
}

// A range that holds too much to be read in time is read in parts, also where one
// endpoint is of no use at all.
func TestARangeThatTakesTooLongIsReadInShorterOnes(t *testing.T) {
	r := newRig(t, 3, 2)
	r.send(&r.contract, []byte{1})
	r.mine(12)
	head, err := r.client.Head(t.Context())
	require.NoError(t, err)
	r.client.cfg.Timeout = time.Second
	var well []evm.Reader
	for _, l := range r.readers {
		well = append(well, l.Reader)
	}
	r.readers[0].Reader, r.readers[1].Reader, r.readers[2].Reader = tires{well[0], 3}, tires{well[1], 3}, stops{well[2], 0}
	q, found, failed := r.query(), 0, 0
	for q.From.Next <= head.Number {
		last, events, err := r.client.Events(t.Context(), q)
		if err != nil {
			require.ErrorIs(t, err, chains.ErrUnavailable)
			failed++
			require.Less(t, failed, 10)
			r.client.Tend(t.Context())
			continue
		}
		found += len(events)
		q.From.Next, q.From.Parent = last.Number+1, last.Hash
	}
	require.Equal(t, 1, found)
	require.Positive(t, failed)

	// What is quick again is read in wide ranges again.
	r.client.cfg.Timeout = time.Minute
	for i, l := range r.readers {
		l.Reader = well[i]
	}
	for range 40 {
		_, _, err := r.client.Events(t.Context(), r.query())
		require.NoError(t, err)
	}
	last, _, err := r.client.Events(t.Context(), r.query())
	require.NoError(t, err)
	require.Equal(t, head.Number, last.Number)
}
