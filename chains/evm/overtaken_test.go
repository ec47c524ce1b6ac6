package evm

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/stretchr/testify/require"
)

// A look at the head whose answer comes after that to a later one is no chain that
// goes back: it tells what is known by then.
func TestALookThatIsOvertakenIsNoChainThatGoesBack(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.MineN(100)
	armed, held, free := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	gate := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asked, _ := io.ReadAll(r.Body)
		res, err := http.Post(n.URL(), "application/json", bytes.NewReader(asked))
		if err != nil {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		told, _ := io.ReadAll(res.Body)
		select {
		case <-armed:
			close(held)
			<-free
		default:
		}
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write(told)
	}))
	t.Cleanup(gate.Close)
	cfg := config(n)
	cfg.URL, cfg.Finality = gate.URL, "depth:0"
	c := dial(t, cfg)
	_, err := c.Head(t.Context())
	require.NoError(t, err)

	type told struct {
		head chains.Block
		err  error
	}
	first := make(chan told, 1)
	armed <- struct{}{}
	go func() {
		head, err := c.Head(t.Context())
		first <- told{head, err}
	}()
	<-held
	n.MineN(5)
	newest, err := c.Head(t.Context())
	require.NoError(t, err)
	close(free)
	late := <-first
	require.NoError(t, late.err)
	require.Equal(t, newest, late.head)
}
