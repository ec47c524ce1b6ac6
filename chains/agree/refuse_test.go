package agree

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// forgedReceipts tells of other data than the logs had.
var forgedReceipts = fake.LieObject("eth_getTransactionReceipt", func(receipt map[string]any) {
	logs, _ := receipt["logs"].([]any)
	for _, l := range logs {
		l.(map[string]any)["data"] = "0xdead"
	}
})

func (r *rig) placed() chains.Query {
	q := r.query()
	q.Filter.Placed = []common.Address{r.contract}
	return q
}

func TestAnEndpointThatItsOwnReaderRefusesIsSaidToBeOut(t *testing.T) {
	for n, k := range map[int]int{1: 1, 3: 2} {
		r := newRig(t, n, k)
		r.send(&r.contract, []byte{1})
		r.mine(4)
		_, err := r.client.Head(t.Context())
		require.NoError(t, err)
		r.proxies[0].Lie(forgedReceipts)
		_, events, err := r.client.Events(t.Context(), r.placed())
		if n == 1 {
			require.ErrorIs(t, err, chains.ErrUnavailable)
		} else {
			require.NoError(t, err)
			require.Len(t, events, 1)
		}
		began := r.clock
		for range 3 {
			s := r.status("a")
			require.Contains(t, s.Out, "its answers do not add up: root: the receipt of 0x")
			require.Equal(t, began, *s.Since)

			// That its head moves, and that all else is true, changes nothing.
			r.clock = r.clock.Add(time.Minute)
			r.mine(1)
			_, err = r.client.Head(t.Context())
			require.NoError(t, err)
			_, err = r.client.BlockByNumber(t.Context(), 2)
			require.NoError(t, err)
			r.client.Tend(t.Context())
		}
		require.NoError(t, r.client.Trouble(), "it contradicts nobody")
		if n > 1 {
			require.Empty(t, r.status("b").Out)
			require.Equal(t, "b", r.client.best()[0].name, "it is asked last for what one alone says")
		}
		r.proxies[0].Lie(nil)
		r.client.Tend(t.Context())
		require.Empty(t, r.status("a").Out)
		require.Nil(t, r.status("a").Since)
	}
}

// says is a reader that answers for events with an error.
type says struct {
	evm.Reader
	err error
}

func (s says) Events(context.Context, chains.Query) (chains.Block, []chains.Event, error) {
	return chains.Block{}, nil, s.err
}

func TestToWaitToForgetAndToBeBehindIsNoFault(t *testing.T) {
	own := fmt.Errorf("two answers: %w", chains.ErrUnavailable)
	for what, c := range map[string]struct {
		err    error
		behind bool
		out    bool
	}{
		"its own words":       {err: own, out: true},
		"it waits for depth":  {err: fmt.Errorf("%w: %w", chains.ErrUnavailable, chains.ErrShallow)},
		"it has forgotten":    {err: fmt.Errorf("%w: %w", chains.ErrUnavailable, chains.ErrPruned)},
		"the node's words":    {err: fmt.Errorf("events: %w: %w", chains.ErrUnavailable, &evm.Error{Class: evm.ClassNotYet})},
		"it is not that far":  {err: own, behind: true},
		"we asked no further": {err: fmt.Errorf("%w: %w", chains.ErrUnavailable, context.Canceled)},
	} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t, 3, 2)
			r.mine(4)
			if old := r.chain.Finalized(); c.behind {
				r.readers[0].tell(func(chains.Block) chains.Block { return old })
				r.mine(3)
			}
			_, err := r.client.Head(t.Context())
			require.NoError(t, err)
			honest := r.readers[0].Reader
			r.readers[0].Reader = says{honest, c.err}
			_, _, err = r.client.Events(t.Context(), r.query())
			require.NoError(t, err)
			require.Equal(t, c.out, r.status("a").Out != "", r.status("a").Out)

			// What is forgotten meanwhile is nothing to hold against it.
			r.readers[0].Reader = says{honest, fmt.Errorf("%w: %w", chains.ErrUnavailable, chains.ErrPruned)}
			r.client.Tend(t.Context())
			require.Empty(t, r.status("a").Out)
		})
	}
}
