package filecoin_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/filecoin"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// liar is a node before the one that is read, which edits the results of a method.
func (w *world) liar(method string, edit func(result string) string) string {
	p := fake.NewProxy(w.t, w.root.Node(0).HTTP())
	p.Lie(fake.LieText(method, edit))
	return p.URL()
}

// The amount or the recipient of a log may be forged where everything else of it is
// true: its receipt tells, in ranges of any width.
func TestALogWithOtherDataThanItsReceiptIsFound(t *testing.T) {
	w := newWorld(t, 0)
	w.events(3)
	was, is := `"data":"0x`+strings.Repeat("0", 64)+`"`, `"data":"0x`+strings.Repeat("f", 64)+`"`
	for _, wide := range []uint64{0, 1} {
		forged := 0
		url := w.liar("eth_getLogs", func(result string) string {
			forged += strings.Count(result, was)
			return strings.ReplaceAll(result, was, is)
		})
		_, err := w.all(w.dialed(func(cfg *filecoin.Config) { cfg.URL, cfg.FullRange = url, wide }))
		require.NotZero(t, forged)
		require.ErrorIs(t, err, chains.ErrUnavailable)
	}
}

// A reorganization below the cursor is hidden by a header of eth_* that names the
// cursor's block as its parent; the tipset does not.
func TestAParentThatTheTipsetDoesNotHaveIsNotBelieved(t *testing.T) {
	w := newWorld(t, 0)
	w.events(3)
	at, gone := w.root.Head()-depth-8, common.HexToHash("0xdead")
	number := fmt.Sprintf(`"number":"0x%x"`, at)
	for _, wide := range []uint64{0, 1} {
		url := w.liar("eth_getBlockByNumber", func(result string) string {
			var h map[string]json.RawMessage
			if !strings.Contains(result, number) || json.Unmarshal([]byte(result), &h) != nil {
				return result
			}
			h["parentHash"] = json.RawMessage(`"` + gone.Hex() + `"`)
			raw, _ := json.Marshal(h)
			return string(raw)
		})
		c := w.dialed(func(cfg *filecoin.Config) { cfg.URL, cfg.FullRange = url, wide })
		q := w.query(at + 5)
		q.From.Next, q.From.Parent = at, gone
		_, _, err := c.Events(t.Context(), q)
		require.ErrorIs(t, err, chains.ErrReorg)

		// Nor does it make the chain another one than it is.
		honest := w.dialed(nil)
		before, err := honest.At(t.Context(), at-1)
		require.NoError(t, err)
		q.From.Parent = before.Hash
		last, _, err := c.Events(t.Context(), q)
		require.NoError(t, err)
		want, err := honest.At(t.Context(), last.Number)
		require.NoError(t, err)
		require.Equal(t, want, last)
	}
}

func TestADepthThatIsNeverReachedIsWaitedFor(t *testing.T) {
	w := newWorld(t, 0)
	w.events(2)
	c := w.dialed(func(cfg *filecoin.Config) { cfg.Deep = func(chains.Event) uint64 { return ^uint64(0) } })
	_, err := w.all(c)
	require.ErrorIs(t, err, chains.ErrShallow)
}
