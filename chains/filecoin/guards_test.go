package filecoin_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/causeway-bridge/causeway/chains/filecoin"
	"github.com/stretchr/testify/require"
)

// forger is a node before the one that is read, which answers questions of some
// methods otherwise; nil is what the node says.
func (w *world) forger(forge map[string]func(params, result string) []byte) string {
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
		single := !bytes.HasPrefix(asked, []byte("["))
		if single {
			asked, told = slices.Concat([]byte("["), asked, []byte("]")), slices.Concat([]byte("["), told, []byte("]"))
		}
		var questions []struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
			Params json.RawMessage `json:"params"`
		}
		var answers []struct {
			Version string          `json:"jsonrpc"`
			ID      json.RawMessage `json:"id"`
			Result  json.RawMessage `json:"result,omitempty"`
			Error   json.RawMessage `json:"error,omitempty"`
		}
		if json.Unmarshal(asked, &questions) != nil || json.Unmarshal(told, &answers) != nil {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		for i, a := range answers {
			for _, q := range questions {
				if f := forge[q.Method]; f != nil && string(q.ID) == string(a.ID) {
					if other := f(string(q.Params), string(a.Result)); other != nil {
						answers[i].Result, answers[i].Error = other, nil
					}
				}
			}
		}
		rw.Header().Set("Content-Type", "application/json")
		if single {
			_ = json.NewEncoder(rw).Encode(answers[0])
			return
		}
		_ = json.NewEncoder(rw).Encode(answers)
	}))
	w.t.Cleanup(s.Close)
	return s.URL
}

// A node may show a tipset of another branch where an event is that it wants to
// hide: its headers hash to its key, it has no receipts, and only that it does not
// stand between its neighbours tells.
func TestATipsetThatIsNoLinkOfTheChainHidesNoEvent(t *testing.T) {
	w := newWorld(t, 0)
	w.events(3)
	honest, err := w.all(w.dialed(nil))
	require.NoError(t, err)
	at := honest[1].Block
	require.NoError(t, w.root.Node(1).Fork(t.Context(), w.root.Head()-at+1))
	var branch json.RawMessage
	require.NoError(t, w.eth.Client().CallContext(t.Context(), &branch, "Filecoin.ChainGetTipSetByHeight", at, nil))

	w.lie(func(s *lotus.Switches) { s.HideEpochs = []uint64{at} })
	shown := 0
	url := w.forger(map[string]func(string, string) []byte{
		"Filecoin.ChainGetTipSetByHeight": func(params, _ string) []byte {
			if !strings.HasPrefix(params, fmt.Sprintf("[%d,", at)) {
				return nil
			}
			shown++
			return branch
		},
		"eth_getBlockReceipts": func(_, result string) []byte {
			if result != "" {
				return nil
			}
			return []byte(`[]`) // of the branch's tipset, which the node does not know
		},
	})
	c := w.dialed(func(cfg *filecoin.Config) { cfg.URL = url })
	_, err = w.all(c)
	require.NotZero(t, shown)
	require.ErrorIs(t, err, chains.ErrUnavailable)
	require.ErrorContains(t, err, "does not follow")
}

// A log that is told as removed is none, in the logs and in the receipts.
func TestALogThatIsRemovedInItsReceiptIsNone(t *testing.T) {
	w := newWorld(t, 0)
	w.events(3)
	honest, err := w.all(w.dialed(nil))
	require.NoError(t, err)
	gone := honest[1]
	removed := func(_, result string) []byte {
		return []byte(removedIn(result, gone.Tx.Hex()))
	}
	url := w.forger(map[string]func(string, string) []byte{"eth_getLogs": removed, "eth_getBlockReceipts": removed})
	events, err := w.all(w.dialed(func(cfg *filecoin.Config) { cfg.URL = url }))
	require.NoError(t, err)
	require.Equal(t, []chains.Event{honest[0], honest[2]}, events)
}

// removedIn marks the logs of a transaction as removed.
func removedIn(result, tx string) string {
	var any any
	if json.Unmarshal([]byte(result), &any) != nil {
		return result
	}
	mark(any, tx)
	out, _ := json.Marshal(any)
	return string(out)
}

func mark(v any, tx string) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			mark(e, tx)
		}
	case map[string]any:
		if _, is := v["logIndex"]; is && v["transactionHash"] == tx {
			v["removed"] = true
		}
		for _, e := range v {
			mark(e, tx)
		}
	}
}
