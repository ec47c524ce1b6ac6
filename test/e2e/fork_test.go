package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains/subnet/node"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// forkedRoot is the root as seen through an endpoint on another branch of it:
// the same blocks under other hashes, genesis apart.
func forkedRoot(t *testing.T, target string) *httptest.Server {
	fork := func(result json.RawMessage) json.RawMessage {
		var block map[string]any
		if json.Unmarshal(result, &block) != nil || block["number"] == "0x0" {
			return result
		}
		for _, field := range []string{"hash", "parentHash"} {
			if text, ok := block[field].(string); ok {
				h := common.HexToHash(text)
				h[31] ^= 1
				block[field] = h
			}
		}
		out, _ := json.Marshal(block)
		return out
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		question, _ := io.ReadAll(r.Body)
		res, err := http.Post(target, "application/json", bytes.NewReader(question))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer res.Body.Close()
		answer, _ := io.ReadAll(res.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(edited(question, answer, "eth_getBlockByNumber", fork))
	}))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

// nodeSays reads a path of the node's own listener.
func (w *world) nodeSays(path string) (int, string) {
	res, err := http.Get(strings.TrimSuffix(w.net.Info.NodeMetrics, "/metrics") + path)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body)
}

// rootForked: the node of a subnet whose root is not the one it has committed
// says so in its status, its readiness and its metrics, and the relayer pages.
func (w *world) rootForked() {
	status := func() (s struct {
		Diverged bool
		Reason   string `json:"divergedReason"`
	}) {
		c, err := rpc.DialContext(w.t.Context(), w.net.Info.SubnetURL)
		require.NoError(w.t, err)
		defer c.Close()
		require.NoError(w.t, c.CallContext(w.t.Context(), &s, "causeway_status"))
		return s
	}
	w.eventually(20*time.Second, "the node is ready", func() bool { code, _ := w.nodeSays("/readyz"); return code == http.StatusOK })
	code, text := w.nodeSays("/metrics")
	require.Equal(w.t, http.StatusOK, code)
	for _, m := range relayer.Described(func(r prometheus.Registerer) { require.NoError(w.t, node.RegisterMetrics(r)) }) {
		if len(m.Labels) == 0 {
			require.Contains(w.t, text, "\n"+m.Name, "what the README lists is served")
		}
	}
	require.Contains(w.t, text, "\ncauseway_node_parent_diverged 0\n")
	w.hook.forget()

	honest := w.net.Info.RootURL
	w.net.Kill("node")
	w.net.Info.RootURL = forkedRoot(w.t, w.root.target).URL
	require.NoError(w.t, w.net.StartNode(w.t.Context()))
	w.eventually(30*time.Second, "the node sees that its root is another one", func() bool { return status().Diverged })
	require.NotEmpty(w.t, status().Reason)
	code, text = w.nodeSays("/readyz")
	require.Equal(w.t, http.StatusServiceUnavailable, code)
	require.Contains(w.t, text, "parent")
	code, _ = w.nodeSays("/livez")
	require.Equal(w.t, http.StatusOK, code)
	_, text = w.nodeSays("/metrics")
	require.Contains(w.t, text, "\ncauseway_node_parent_diverged 1\n")
	a := w.told(alerts.ParentDiverged, false, 30*time.Second)
	require.Equal(w.t, alerts.Page, a.Severity)

	w.net.Kill("node")
	w.net.Info.RootURL = honest
	require.NoError(w.t, w.net.StartNode(w.t.Context()))
	w.told(alerts.ParentDiverged, true, 60*time.Second)
	w.eventually(60*time.Second, "the node is ready again", func() bool { code, _ := w.nodeSays("/readyz"); return code == http.StatusOK })
	w.green(60 * time.Second)
}
