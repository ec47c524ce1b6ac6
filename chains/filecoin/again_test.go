package filecoin_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/filecoin"
	"github.com/stretchr/testify/require"
)

// That the last tipset of a range is known before its logs are asked for must not
// spare the look at it afterwards.
func TestATipsetThatChangesWhileARangeIsReadIsFound(t *testing.T) {
	w := newWorld(t, 0)
	w.events(3)
	var asked atomic.Int32
	var at atomic.Uint64
	var branch json.RawMessage
	url := w.forger(map[string]func(string, string) []byte{
		"Filecoin.ChainGetTipSetByHeight": func(params, _ string) []byte {
			if at.Load() == 0 || !strings.HasPrefix(params, fmt.Sprintf("[%d,", at.Load())) || asked.Add(1) == 1 {
				return nil
			}
			return branch
		},
	})
	c := w.dialed(func(cfg *filecoin.Config) { cfg.URL, cfg.FullRange = url, 1 })
	head, err := c.Head(t.Context())
	require.NoError(t, err)
	q := w.query(head.Number)
	q.Counted = true // the receipts of every block are not read
	_, events, err := c.Events(t.Context(), q)
	require.NoError(t, err)
	require.NotEmpty(t, events)

	require.NoError(t, w.root.Node(1).Fork(t.Context(), w.root.Head()-head.Number+1))
	require.NoError(t, w.eth.Client().CallContext(t.Context(), &branch, "Filecoin.ChainGetTipSetByHeight", head.Number, nil))
	at.Store(head.Number)
	_, _, err = c.Events(t.Context(), q)
	require.ErrorIs(t, err, chains.ErrUnavailable)
	require.ErrorContains(t, err, "changed while it was read")
}
