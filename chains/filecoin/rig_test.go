package filecoin_test

import (
	"crypto/ecdsa"
	"log/slog"
	"math/big"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/filecoin"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"
)

const chainID = 31415926

const depth = 10

// emitter emits LOG1 with 32 zero bytes and topic 7 on every call.
var emitter = common.FromHex("60088060093d393df3" + "600760205fa1" + "0000")

var topic = common.BigToHash(big.NewInt(7))

// world is a root with two nodes, one to be read and one that stays honest, and a
// contract that emits an event on every call.
type world struct {
	t        *testing.T
	root     *lotus.Root
	key      *ecdsa.PrivateKey
	from     common.Address
	eth      *ethclient.Client
	contract common.Address
	nonce    uint64
	calls    int
}

func newWorld(t *testing.T, nulls float64) *world {
	t.Helper()
	key := crypto.ToECDSAUnsafe(crypto.Keccak256([]byte("rich")))
	w := &world{t: t, key: key, from: crypto.PubkeyToAddress(key.PublicKey)}
	var err error
	w.root, err = lotus.Start(t.Context(), lotus.Config{
		ChainID: chainID, Manual: true, GenesisTime: uint64(time.Now().Add(-30 * 24 * time.Hour).Unix()), NullRate: nulls, FinalityDepth: depth,
		Addrs: []string{"127.0.0.1:0", "127.0.0.1:0"}, Alloc: map[common.Address]*big.Int{w.from: new(big.Int).Lsh(big.NewInt(1), 80)},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.root.Close()) })
	w.eth, err = ethclient.DialContext(t.Context(), w.root.Node(1).HTTP())
	require.NoError(t, err)
	t.Cleanup(w.eth.Close)
	tx := w.send(nil, emitter)
	w.mine(8)
	r, err := w.eth.TransactionReceipt(t.Context(), tx.Hash())
	require.NoError(t, err)
	w.contract = r.ContractAddress
	return w
}

func (w *world) mine(n int) { require.NoError(w.t, w.root.Mine(w.t.Context(), n)) }

func (w *world) send(to *common.Address, data []byte) *types.Transaction {
	w.t.Helper()
	tx, err := types.SignNewTx(w.key, types.LatestSignerForChainID(big.NewInt(chainID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(chainID), Nonce: w.nonce, To: to, Data: data, Gas: 300_000, GasTipCap: big.NewInt(100_000), GasFeeCap: big.NewInt(2e9),
	})
	require.NoError(w.t, err)
	require.NoError(w.t, w.eth.SendTransaction(w.t.Context(), tx))
	w.nonce++
	return tx
}

// call makes an event.
func (w *world) call() *types.Transaction {
	w.calls++
	return w.send(&w.contract, nil)
}

// events makes events in as many epochs, with others between.
func (w *world) events(n int) {
	for range n {
		w.call()
		w.mine(3)
	}
	w.mine(depth + 6)
}

func (w *world) config() filecoin.Config {
	return filecoin.Config{Config: evm.Config{Name: "root", URL: w.root.Node(0).WS(), ChainID: chainID, Timeout: 5 * time.Second, MaxAhead: -1}, Depth: depth, Behind: 2}
}

func (w *world) dialed(change func(*filecoin.Config)) *filecoin.Client {
	w.t.Helper()
	cfg := w.config()
	if change != nil {
		change(&cfg)
	}
	c, err := filecoin.Dial(w.t.Context(), cfg, slog.New(slog.DiscardHandler))
	require.NoError(w.t, err)
	w.t.Cleanup(c.Close)
	return c
}

func (w *world) filter() chains.Filter {
	return chains.Filter{Addresses: []common.Address{w.contract}, Topics: []common.Hash{topic}}
}

func (w *world) query(to uint64) chains.Query {
	return chains.Query{From: chains.Cursor{Chain: chainID, Next: 0}, To: to, Filter: w.filter()}
}

// all reads from the first epoch to the final head.
func (w *world) all(c *filecoin.Client) (events []chains.Event, err error) {
	head, err := c.Head(w.t.Context())
	if err != nil {
		return nil, err
	}
	for q := w.query(head.Number); q.From.Next <= head.Number; {
		last, some, err := c.Events(w.t.Context(), q)
		if err != nil {
			return nil, err
		}
		events = append(events, some...)
		q.From.Next, q.From.Parent = last.Number+1, last.Hash
	}
	return events, nil
}

// lie makes the node that is read misbehave.
func (w *world) lie(change func(*lotus.Switches)) { w.root.Node(0).Set(change) }
