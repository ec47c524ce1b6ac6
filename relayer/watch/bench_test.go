package watch_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/big"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"
)

// gethLong is a chain of geth with an event of ours in each hundredth block.
type gethLong struct {
	chain  *devchain.Chain
	events int
	filter chains.Filter
}

// emits is the code of a contract that emits one log of a topic when it is made.
func emits(topic common.Hash) []byte {
	return append(append([]byte{0x7f}, topic[:]...), 0x60, 0, 0x60, 0, 0xa1, 0x00)
}

func newGethLong(t testing.TB, blocks int) *gethLong {
	key, err := crypto.GenerateKey()
	require.NoError(t, err)
	who := crypto.PubkeyToAddress(key.PublicKey)
	l := &gethLong{filter: chains.Filter{Topics: []common.Hash{begins}}}
	l.chain, err = devchain.Start(t.Context(), devchain.Config{
		ChainID: chainID, Period: time.Hour, Alloc: map[common.Address]*big.Int{who: new(big.Int).Lsh(big.NewInt(1), 90)},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.chain.Close()) })
	client, err := ethclient.Dial(l.chain.HTTP())
	require.NoError(t, err)
	t.Cleanup(client.Close)
	for range blocks / 100 {
		tx, err := types.SignNewTx(key, types.LatestSignerForChainID(big.NewInt(chainID)), &types.DynamicFeeTx{
			ChainID: big.NewInt(chainID), Nonce: uint64(l.events), Gas: 200_000, GasTipCap: big.NewInt(2e9), GasFeeCap: big.NewInt(100e9), Data: emits(begins),
		})
		require.NoError(t, err)
		require.NoError(t, client.SendTransaction(t.Context(), tx))
		l.filter.Addresses = append(l.filter.Addresses, crypto.CreateAddress(who, uint64(l.events)))
		l.events++
		require.NoError(t, l.chain.Mine(t.Context(), 100))
	}
	return l
}

// catchUp lets a watcher read it all into a new journal and says how many
// transfers that has.
func (l *gethLong) catchUp(t testing.TB, url, namespace string, change func(*watch.Config)) int {
	client, err := evm.Dial(t.Context(), evm.Config{Name: "root", URL: l.chain.HTTP(), ChainID: chainID, MaxAhead: -1}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer client.Close()
	db, err := store.Open(t.Context(), store.Options{URL: url, Namespace: namespace})
	require.NoError(t, err)
	defer db.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	head := l.chain.Finalized().Number
	cfg := watch.Config{
		Chain: "root", Source: client, Filter: l.filter, Flows: []flow.Flow{plain("flow")}, Start: chains.Cursor{Chain: chainID, Next: 1},
		Journal: db, Tick: 10 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
		Ingested: func(_, _ int, last chains.Block) {
			if last.Number >= head {
				cancel()
			}
		},
		Failed: func(err error) {
			if err != nil && ctx.Err() == nil {
				t.Errorf("catch-up: %v", err)
			}
		},
	}
	if change != nil {
		change(&cfg)
	}
	w, err := watch.New(cfg)
	require.NoError(t, err)
	require.NoError(t, w.Run(ctx))
	stats, err := db.Stats(t.Context())
	require.NoError(t, err)
	n := 0
	for _, c := range stats.Counts {
		n += c.N
	}
	return n
}

func TestALongChainOfGethIsCaughtUpWith(t *testing.T) {
	l := newGethLong(t, 1000)
	require.Equal(t, l.events, l.catchUp(t, storetest.StartRedis(t).URL(), "geth", func(c *watch.Config) { c.Stretch = 200 }))
}

// BenchmarkCatchUp compares a catch-up with a loop of eth_getLogs alone, over the
// same node and ranges, and with a watcher that reads one stretch at a time.
func BenchmarkCatchUp(b *testing.B) {
	l := newGethLong(b, 20_000)
	url := storetest.StartRedis(b).URL()
	rate := func(b *testing.B, f func(run int)) {
		for run := range b.N {
			f(run)
		}
		b.ReportMetric(float64(l.chain.Finalized().Number)*float64(b.N)/b.Elapsed().Seconds(), "blocks/s")
	}
	b.Run("bare eth_getLogs", func(b *testing.B) {
		client, err := ethclient.Dial(l.chain.HTTP())
		require.NoError(b, err)
		defer client.Close()
		rate(b, func(int) {
			n, head := 0, l.chain.Finalized().Number
			for from := uint64(1); from <= head; from += 2000 {
				logs, err := client.FilterLogs(b.Context(), ethereum.FilterQuery{
					FromBlock: new(big.Int).SetUint64(from), ToBlock: new(big.Int).SetUint64(min(from+1999, head)),
					Addresses: l.filter.Addresses, Topics: [][]common.Hash{l.filter.Topics},
				})
				require.NoError(b, err)
				n += len(logs)
			}
			require.Equal(b, l.events, n)
		})
	})
	for name, change := range map[string]func(*watch.Config){
		"one at a time": func(c *watch.Config) { c.Ahead, c.Stretch = 1, 1<<40 }, "four at once": nil,
	} {
		b.Run(name, func(b *testing.B) {
			rate(b, func(run int) {
				require.Equal(b, l.events, l.catchUp(b, url, fmt.Sprintf("%s-%d-%d", name[:3], b.N, run), change))
			})
		})
	}
}
