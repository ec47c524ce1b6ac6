package filecoin_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/causeway-bridge/causeway/chains/filecoin"
	"github.com/stretchr/testify/require"
)

// A reorganization deeper than what is final: the tipset that was, is no more.
func TestAFinalTipsetThatTheChainReplacedIsAReorg(t *testing.T) {
	w := newWorld(t, 0)
	w.mine(30)
	c := w.dialed(nil)
	_, err := c.Head(t.Context())
	require.NoError(t, err)
	require.NoError(t, w.root.Reorg(t.Context(), depth+3))
	_, err = c.Head(t.Context())
	require.ErrorIs(t, err, chains.ErrReorg)
}

// The epoch of the final tipset may be a null round on the other branch: the final
// epoch goes back then, and it is the chain that has changed, not the node that lags.
func TestAFinalTipsetThatBecameANullRoundIsAReorg(t *testing.T) {
	w := newWorld(t, 0)
	w.mine(30)
	c := w.dialed(nil)
	head, err := c.Head(t.Context())
	require.NoError(t, err)
	w.root.NullAt(head.Number)
	require.NoError(t, w.root.Reorg(t.Context(), depth+3))
	_, err = c.Head(t.Context())
	require.ErrorIs(t, err, chains.ErrReorg)
}

func TestANodeThatGoesBackIsUnavailableAndNoReorg(t *testing.T) {
	w := newWorld(t, 0)
	w.mine(40)
	c := w.dialed(nil)
	before, err := c.Head(t.Context())
	require.NoError(t, err)
	for _, back := range []uint64{3, depth + 5} { // above and below what was final
		w.lie(func(s *lotus.Switches) { s.Lag = back })
		_, err = c.Head(t.Context())
		require.ErrorIs(t, err, chains.ErrUnavailable)
		require.NotErrorIs(t, err, chains.ErrReorg)
		require.ErrorContains(t, err, "went back")
	}
	w.root.Node(0).Reset()
	after, err := c.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after)
}

// gate is a node that keeps back one answer to a method, once it is told to; others
// pass it meanwhile.
type gate struct {
	url   string
	armed chan struct{}
	held  chan struct{}
	free  chan struct{}
}

func (w *world) gate(method string) *gate {
	g := &gate{armed: make(chan struct{}, 1), held: make(chan struct{}), free: make(chan struct{})}
	target := w.root.Node(0).HTTP()
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asked, _ := io.ReadAll(r.Body)
		res, err := http.Post(target, "application/json", bytes.NewReader(asked))
		if err != nil {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		told, _ := io.ReadAll(res.Body)
		if bytes.Contains(asked, []byte(method)) {
			select {
			case <-g.armed:
				close(g.held)
				<-g.free
			default:
			}
		}
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write(told)
	}))
	w.t.Cleanup(s.Close)
	g.url = s.URL
	return g
}

// A look that is answered after one that was asked for later is no node that goes
// back: the second waits for the first, within its own time.
func TestALookThatIsAnsweredLateIsNoNodeThatGoesBack(t *testing.T) {
	w := newWorld(t, 0)
	w.mine(30)
	g := w.gate("Filecoin.ChainHead")
	c := w.dialed(func(cfg *filecoin.Config) { cfg.URL = g.url })
	_, err := c.Head(t.Context())
	require.NoError(t, err)

	g.armed <- struct{}{}
	first := make(chan error, 1)
	w.mine(1)
	go func() {
		_, err := c.Head(t.Context())
		first <- err
	}()
	<-g.held // answered, and on its way
	w.mine(5)
	short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, second := c.Head(short)
	close(g.free)
	require.NoError(t, <-first)
	require.ErrorIs(t, second, context.DeadlineExceeded, "the second waited, as long as it may")
	head, err := c.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, w.root.Head()-depth, head.Number)
}

func TestManyLookAtOnceWhileTheChainGrows(t *testing.T) {
	w := newWorld(t, 0.2)
	w.mine(30)
	c := w.dialed(nil)
	var looks sync.WaitGroup
	failed := make(chan error, 8)
	for range 8 {
		looks.Go(func() {
			last := uint64(0)
			for range 20 {
				head, err := c.Head(t.Context())
				if err == nil && head.Number < last {
					err = fmt.Errorf("epoch %d after %d", head.Number, last)
				}
				if err != nil {
					failed <- err
					return
				}
				last = head.Number
			}
		})
	}
	w.mine(20)
	looks.Wait()
	require.Empty(t, failed)
}
