package relayer

import (
	"encoding/json"
	"sync"
	"testing"

	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/stretchr/testify/require"
)

// A session that follows another, as after each restart of Redis, reads the chains
// on from where the one before was: a recovery need not wait for years of history.
func TestTheNextSessionReadsOnWhereTheOneBeforeWas(t *testing.T) {
	b := newBridge(t, 1)
	b.root.MineN(20)
	b.subs[0].MineN(2)
	var mu sync.Mutex
	lowest := ^uint64(0)
	b.root.On("eth_getLogs", func(c *fake.Call, next func()) {
		var q struct {
			From *hexutil.Uint64 `json:"fromBlock"`
		}
		if len(c.Params) > 0 && json.Unmarshal(c.Params[0], &q) == nil && q.From != nil {
			mu.Lock()
			lowest = min(lowest, uint64(*q.From))
			mu.Unlock()
		}
		next()
	})
	read := func() uint64 {
		mu.Lock()
		defer mu.Unlock()
		defer func() { lowest = ^uint64(0) }()
		return lowest
	}
	s := b.shared()
	root, err := s.dial(t.Context(), flow.Root, b.cfg.Root)
	require.NoError(t, err)
	defer root.Close()
	l, err := s.openSubnet(t.Context(), b.cfg.Subnets[0], root, nil)
	require.NoError(t, err)
	defer l.client.Close()
	senders := map[string]*evm.TxManager{flow.Root: {}, l.sub.Name: {}}
	session := func() *auditor {
		k, err := s.newKeeper(root, []*link{l}, senders)
		require.NoError(t, err)
		return k.auditors[l.sub.Name]
	}
	// The fake contracts have no counters: each check reads the events and then fails.
	_, err = session().Check(t.Context())
	require.Error(t, err)
	require.Less(t, read(), uint64(2), "the first reads everything")
	b.root.MineN(5)
	_, err = session().Check(t.Context())
	require.Error(t, err)
	at := read()
	require.Greater(t, at, uint64(10), "the next reads on")
	require.NotEqual(t, ^uint64(0), at)
}
