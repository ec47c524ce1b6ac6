package devchain_test

import (
	"bytes"
	"crypto/ecdsa"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const chainID = 31416

// key is a throw-away key made from a word.
func key(word string) (*ecdsa.PrivateKey, common.Address) {
	k := crypto.ToECDSAUnsafe(crypto.Keccak256([]byte(word)))
	return k, crypto.PubkeyToAddress(k.PublicKey)
}

func ether(n int64) *big.Int { return new(big.Int).Mul(big.NewInt(n), big.NewInt(1e18)) }

// start gives a chain that makes blocks only when told to.
func start(t *testing.T, cfg devchain.Config) *devchain.Chain {
	t.Helper()
	if cfg.ChainID == 0 {
		cfg.ChainID = chainID
	}
	c, err := devchain.Start(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func manual(t *testing.T, alloc map[common.Address]*big.Int) *devchain.Chain {
	t.Helper()
	return start(t, devchain.Config{Alloc: alloc, Period: time.Hour, FinalityDepth: 2})
}

func dial(t *testing.T, url string) *ethclient.Client {
	t.Helper()
	cl, err := ethclient.DialContext(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return cl
}

func transfer(t *testing.T, k *ecdsa.PrivateKey, nonce uint64, to common.Address, wei int64) *types.Transaction {
	t.Helper()
	return types.MustSignNewTx(k, types.LatestSignerForChainID(big.NewInt(chainID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(chainID), Nonce: nonce, To: &to, Value: big.NewInt(wei),
		Gas: 21_000, GasTipCap: big.NewInt(1), GasFeeCap: big.NewInt(2e9),
	})
}

func TestBlocksComeAtTheWallClocksPace(t *testing.T) {
	began := time.Now()
	c := start(t, devchain.Config{FinalityDepth: 2})
	up := time.Since(began)
	require.Less(t, up, 10*time.Second)
	t.Logf("up in %s", up)

	ws := dial(t, c.WS())
	heads := make(chan *types.Header)
	sub, err := ws.SubscribeNewHead(t.Context(), heads)
	require.NoError(t, err)
	defer sub.Unsubscribe()
	var last *types.Header
	for range 3 {
		select {
		case h := <-heads:
			require.LessOrEqual(t, int64(h.Time), time.Now().Unix(), "chain time runs ahead of the clock")
			if last != nil {
				require.Equal(t, last.Number.Uint64()+1, h.Number.Uint64())
				require.Equal(t, last.Hash(), h.ParentHash)
				require.Greater(t, h.Time, last.Time)
			}
			last = h
		case <-time.After(5 * time.Second):
			t.Fatal("no block within 5 s")
		}
	}
}

func TestFinalityTrailsTheHead(t *testing.T) {
	c := manual(t, nil)
	cl := dial(t, c.HTTP())
	tag := func(n rpc.BlockNumber) uint64 {
		h, err := cl.HeaderByNumber(t.Context(), big.NewInt(int64(n)))
		require.NoError(t, err)
		return h.Number.Uint64()
	}
	require.Zero(t, tag(rpc.FinalizedBlockNumber))
	require.NoError(t, c.Mine(t.Context(), 1))
	require.Zero(t, tag(rpc.FinalizedBlockNumber))
	require.NoError(t, c.Mine(t.Context(), 9))
	require.EqualValues(t, 10, tag(rpc.LatestBlockNumber))
	require.EqualValues(t, 8, tag(rpc.FinalizedBlockNumber))
	require.EqualValues(t, 8, tag(rpc.SafeBlockNumber))

	require.NoError(t, c.SetFinalityDepth(5))
	require.EqualValues(t, 8, tag(rpc.FinalizedBlockNumber), "what was final stays final")
	require.NoError(t, c.Mine(t.Context(), 4))
	require.EqualValues(t, 9, tag(rpc.FinalizedBlockNumber))
	require.NoError(t, c.SetFinalityDepth(0))
	require.EqualValues(t, 14, tag(rpc.FinalizedBlockNumber))
}

// logger emits LOG1(data = 32 zero bytes, topic = 7) on every call.
var logger = common.FromHex("60088060093d393df3" + "600760205fa1" + "0000")

func TestLogsAreServedAndSubscribed(t *testing.T) {
	k, addr := key("logs")
	c := manual(t, map[common.Address]*big.Int{addr: ether(1)})
	ws := dial(t, c.WS())
	contract := crypto.CreateAddress(addr, 0)
	logs := make(chan types.Log, 8)
	sub, err := ws.SubscribeFilterLogs(t.Context(), ethereum.FilterQuery{Addresses: []common.Address{contract}}, logs)
	require.NoError(t, err)
	defer sub.Unsubscribe()

	signer := types.LatestSignerForChainID(big.NewInt(chainID))
	fees := types.DynamicFeeTx{ChainID: big.NewInt(chainID), Gas: 200_000, GasTipCap: big.NewInt(1), GasFeeCap: big.NewInt(2e9)}
	create, call := fees, fees
	create.Data = logger
	call.Nonce, call.To = 1, &contract
	require.NoError(t, ws.SendTransaction(t.Context(), types.MustSignNewTx(k, signer, &create)))
	require.NoError(t, c.Mine(t.Context(), 1))
	require.NoError(t, ws.SendTransaction(t.Context(), types.MustSignNewTx(k, signer, &call)))
	require.NoError(t, c.Mine(t.Context(), 3))

	select {
	case l := <-logs:
		require.Equal(t, []common.Hash{common.BigToHash(big.NewInt(7))}, l.Topics)
		require.EqualValues(t, 2, l.BlockNumber)
	case <-time.After(5 * time.Second):
		t.Fatal("no log within 5 s")
	}
	got, err := dial(t, c.HTTP()).FilterLogs(t.Context(), ethereum.FilterQuery{
		FromBlock: big.NewInt(1), ToBlock: big.NewInt(int64(rpc.FinalizedBlockNumber)), Addresses: []common.Address{contract},
	})
	require.NoError(t, err)
	require.Len(t, got, 1)
}

func TestAReorgReplacesBlocksAndGivesTransactionsBack(t *testing.T) {
	k, addr := key("reorg")
	_, to := key("to")
	c := manual(t, map[common.Address]*big.Int{addr: ether(1)})
	cl := dial(t, c.HTTP())
	require.NoError(t, c.Mine(t.Context(), 5))
	base := c.Head()
	tx := transfer(t, k, 0, to, 5)
	require.NoError(t, cl.SendTransaction(t.Context(), tx))
	require.NoError(t, c.Mine(t.Context(), 2))
	old := c.Head()
	receipt, err := cl.TransactionReceipt(t.Context(), tx.Hash())
	require.NoError(t, err)
	require.EqualValues(t, 6, receipt.BlockNumber.Uint64())

	require.NoError(t, c.Reorg(t.Context(), 2))
	require.Equal(t, old.Number, c.Head().Number)
	require.NotEqual(t, old.Hash, c.Head().Hash)
	require.Equal(t, base, c.Finalized(), "the fork point is still final and unchanged")
	_, err = cl.TransactionReceipt(t.Context(), tx.Hash())
	require.ErrorIs(t, err, ethereum.NotFound)
	balance, err := cl.BalanceAt(t.Context(), to, nil)
	require.NoError(t, err)
	require.Zero(t, balance.Sign())

	require.NoError(t, c.Mine(t.Context(), 1))
	receipt, err = cl.TransactionReceipt(t.Context(), tx.Hash())
	require.NoError(t, err, "the transaction went back to the pool and is mined again")
	require.EqualValues(t, 8, receipt.BlockNumber.Uint64())

	// Dropped for good.
	require.NoError(t, c.Reorg(t.Context(), 1))
	require.NoError(t, c.DropPending())
	require.NoError(t, c.Mine(t.Context(), 2))
	_, err = cl.TransactionReceipt(t.Context(), tx.Hash())
	require.ErrorIs(t, err, ethereum.NotFound)
}

func TestAReorgBelowFinalityReplacesFinalBlocks(t *testing.T) {
	c := manual(t, nil)
	require.NoError(t, c.Mine(t.Context(), 10))
	final := c.Finalized()
	require.NoError(t, c.Reorg(t.Context(), 5))
	require.Equal(t, final.Number, c.Finalized().Number)
	require.NotEqual(t, final.Hash, c.Finalized().Hash)
	require.ErrorIs(t, c.Reorg(t.Context(), 11), devchain.ErrTooDeep)
}

func TestAPausedChainMakesNoBlockUntilResumed(t *testing.T) {
	c := start(t, devchain.Config{Period: 20 * time.Millisecond})
	await(t, func() bool { return c.Head().Number > 0 })
	c.Pause()
	at := c.Head().Number
	require.Never(t, func() bool { return c.Head().Number != at }, 200*time.Millisecond, 20*time.Millisecond)
	require.NoError(t, c.Mine(t.Context(), 1))
	require.Equal(t, at+1, c.Head().Number)
	c.Resume()
	await(t, func() bool { return c.Head().Number > at+1 })
}

func TestAClosedChainRefusesControl(t *testing.T) {
	c, err := devchain.Start(t.Context(), devchain.Config{ChainID: chainID, Period: time.Hour})
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.NoError(t, c.Close(), "closing twice changes nothing")
	require.ErrorIs(t, c.Mine(t.Context(), 1), devchain.ErrClosed)
	require.ErrorIs(t, c.Reorg(t.Context(), 1), devchain.ErrClosed)
	require.ErrorIs(t, c.SetFinalityDepth(1), devchain.ErrClosed)
	require.ErrorIs(t, c.DropPending(), devchain.ErrClosed)
}

func TestTwoFreshChainsNeverShareAGenesis(t *testing.T) {
	a, b := manual(t, nil), manual(t, nil)
	require.NotEqual(t, a.Genesis().Hash, b.Genesis().Hash)
}

func TestTracersAndPoolAreServed(t *testing.T) {
	k, addr := key("trace")
	_, to := key("to")
	c := manual(t, map[common.Address]*big.Int{addr: ether(1)})
	cl := dial(t, c.HTTP())
	tx := transfer(t, k, 0, to, 1)
	require.NoError(t, cl.SendTransaction(t.Context(), tx))
	await(t, func() bool {
		var pool map[string]string
		return cl.Client().CallContext(t.Context(), &pool, "txpool_status") == nil && pool["pending"] == "0x1"
	})
	require.NoError(t, c.Mine(t.Context(), 1))
	var trace map[string]any
	require.NoError(t, cl.Client().CallContext(t.Context(), &trace, "debug_traceTransaction", tx.Hash(), map[string]string{"tracer": "callTracer"}))
	require.Equal(t, "CALL", trace["type"])
}

func TestAConfigIsRefusedWithItsReason(t *testing.T) {
	for name, cfg := range map[string]devchain.Config{
		"chain id is 0":      {},
		"period is negative": {ChainID: 1, Period: -1},
		"http address":       {ChainID: 1, HTTPAddr: "nowhere"},
		"websocket address":  {ChainID: 1, WSAddr: "127.0.0.1:99999"},
	} {
		_, err := devchain.Start(t.Context(), cfg)
		require.ErrorContains(t, err, name)
	}
}

func TestADefaultServerListensOnTheLoopbackOnly(t *testing.T) {
	c := start(t, devchain.Config{HTTPAddr: ":0", Period: time.Hour})
	require.Contains(t, c.HTTPAddr(), "127.0.0.1:")
	require.Equal(t, c.HTTPAddr(), c.WSAddr())
	resp, err := http.Post(c.HTTP(), "application/json", bytes.NewBufferString(`{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}`))
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

// Whatever the controls do, the chain stays one chain: parents link, finality
// never exceeds the head, and what was final changes by a deep reorg only.
func TestControlsKeepTheChainWhole(t *testing.T) {
	c := manual(t, nil)
	cl := dial(t, c.HTTP())
	rapid.Check(t, func(rt *rapid.T) {
		before, depth := c.Finalized(), uint64(0)
		switch rapid.IntRange(0, 2).Draw(rt, "verb") {
		case 0:
			require.NoError(rt, c.Mine(t.Context(), rapid.IntRange(1, 4).Draw(rt, "blocks")))
		case 1:
			require.NoError(rt, c.SetFinalityDepth(rapid.Uint64Range(0, 6).Draw(rt, "depth")))
		case 2:
			depth = rapid.Uint64Range(0, min(8, c.Head().Number)).Draw(rt, "reorg")
			require.NoError(rt, c.Reorg(t.Context(), depth))
		}
		head, final := c.Head(), c.Finalized()
		require.LessOrEqual(rt, final.Number, head.Number)
		if head.Number >= before.Number && depth <= head.Number-before.Number {
			h, err := cl.HeaderByNumber(t.Context(), new(big.Int).SetUint64(before.Number))
			require.NoError(rt, err)
			require.Equal(rt, before.Hash, h.Hash())
			require.GreaterOrEqual(rt, final.Number, before.Number)
		}
		for n, want := head.Number, head.Hash; n > 0 && n+8 > head.Number; n-- {
			h, err := cl.HeaderByNumber(t.Context(), new(big.Int).SetUint64(n))
			require.NoError(rt, err)
			require.Equal(rt, want, h.Hash())
			want = h.ParentHash
		}
	})
}

func await(t *testing.T, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, 20*time.Second, 10*time.Millisecond)
}
