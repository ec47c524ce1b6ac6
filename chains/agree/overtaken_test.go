package agree

import (
	"context"
	"sync"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/stretchr/testify/require"
)

// held is a reader that keeps back the answers of one look at the head.
type held struct {
	evm.Reader
	mu         sync.Mutex
	armed      bool
	took, free chan struct{}
}

func (h *held) Head(ctx context.Context) (chains.Block, error) {
	h.mu.Lock()
	mine := h.armed
	h.armed = false
	h.mu.Unlock()
	if !mine {
		return h.Reader.Head(ctx)
	}
	b, err := h.Reader.Head(ctx)
	close(h.took)
	<-h.free
	return b, err
}

// A look that another overtakes, since its answer comes late, is no chain that goes
// back: it tells what is known by then.
func TestALookThatIsOvertakenIsNoChainThatGoesBack(t *testing.T) {
	r := newRig(t, 1, 1)
	r.mine(3)
	h := &held{Reader: r.honest, took: make(chan struct{}), free: make(chan struct{})}
	c, err := Dial(t.Context(), Config{Name: "root", ChainID: chainID, K: 1, Retry: -1},
		[]Endpoint{{Name: "a", Dial: func(context.Context) (evm.Reader, error) { return h, nil }}}, nil)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	_, err = c.Head(t.Context())
	require.NoError(t, err)

	h.mu.Lock()
	h.armed = true
	h.mu.Unlock()
	type told struct {
		head chains.Block
		err  error
	}
	first := make(chan told, 1)
	go func() {
		head, err := c.Head(t.Context())
		first <- told{head, err}
	}()
	<-h.took
	r.mine(4)
	newest, err := c.Head(t.Context())
	require.NoError(t, err)
	close(h.free)
	late := <-first
	require.NoError(t, late.err)
	require.Equal(t, newest, late.head)
	require.Empty(t, c.Status().Endpoints[0].Out)
}
