package lotus_test

import (
	"context"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/stretchr/testify/require"
)

// told is a root with a contract that has emitted one log in each of three
// epochs (3, 5 and 7), and a client of its node 0.
func told(t *testing.T) (*lotus.Root, *ethclient.Client, common.Address, []*types.Transaction) {
	t.Helper()
	r := start(t, lotus.Config{Addrs: []string{"", ""}})
	cl := dial(t, r.Node(0).HTTP())
	contract := deploy(t, r, cl)
	var txs []*types.Transaction
	for i := range uint64(3) {
		txs = append(txs, send(t, cl, i+1, &contract, nil))
		mine(t, r, 2)
	}
	mine(t, r, 3)
	return r, cl, contract, txs
}

func set(r *lotus.Root, change func(*lotus.Switches)) {
	r.Node(0).Reset()
	r.Node(0).Set(change)
}

func TestLogsAreHiddenDroppedAndForgedByOneNodeOnly(t *testing.T) {
	r, cl, contract, txs := told(t)
	other := dial(t, r.Node(1).HTTP())
	query := ethereum.FilterQuery{FromBlock: common.Big0, ToBlock: big.NewInt(10), Addresses: []common.Address{contract}, Topics: [][]common.Hash{{common.BigToHash(big.NewInt(7))}}}
	logs := func() []types.Log {
		out, err := cl.FilterLogs(t.Context(), query)
		require.NoError(t, err)
		return out
	}
	honest := logs()
	require.Len(t, honest, 3)
	for i, l := range honest {
		require.Equal(t, txs[i].Hash(), l.TxHash)
		require.EqualValues(t, 3+2*i, l.BlockNumber)
	}

	set(r, func(s *lotus.Switches) { s.HideLogs = true })
	require.Empty(t, logs())
	receipt, err := cl.TransactionReceipt(t.Context(), txs[0].Hash())
	require.NoError(t, err)
	require.Len(t, receipt.Logs, 1, "the receipt still tells")
	set(r, func(s *lotus.Switches) { s.HideLogs, s.LieInReceipts = true, true })
	receipt, err = cl.TransactionReceipt(t.Context(), txs[0].Hash())
	require.NoError(t, err)
	require.Empty(t, receipt.Logs)

	set(r, func(s *lotus.Switches) { s.HideEpochs = []uint64{5} })
	require.Equal(t, []types.Log{honest[0], honest[2]}, logs())
	set(r, func(s *lotus.Switches) { s.DropLog = 3 })
	require.Equal(t, honest[:2], logs())
	set(r, func(s *lotus.Switches) { s.ForgeLog = true })
	forged := logs()
	require.Len(t, forged, 4)
	require.Equal(t, contract, forged[3].Address)
	require.EqualValues(t, 10, forged[3].BlockNumber)
	theirs, err := other.FilterLogs(t.Context(), query)
	require.NoError(t, err)
	require.Equal(t, honest, theirs)

	r.Node(0).Reset()
	require.NoError(t, r.Reorg(t.Context(), 5))
	require.Len(t, logs(), 2)
	set(r, func(s *lotus.Switches) { s.ShowRemoved = true })
	removed := 0
	for _, l := range logs() {
		if l.Removed {
			removed++
		}
	}
	require.Equal(t, 1, removed)
}

func TestReceiptsComeLateAndForReplacedTransactions(t *testing.T) {
	r, cl, contract, txs := told(t)
	set(r, func(s *lotus.Switches) { s.LateReceipts = 2 })
	for _, want := range []int{0, 0, 1, 1} {
		receipt, err := cl.TransactionReceipt(t.Context(), txs[1].Hash())
		require.NoError(t, err)
		require.Len(t, receipt.Logs, want)
	}
	r.Node(0).Reset()
	first := sign(t, "rich", &types.DynamicFeeTx{Nonce: 4, To: &contract, Gas: 100_000})
	require.NoError(t, cl.SendTransaction(t.Context(), first))
	second := sign(t, "rich", &types.DynamicFeeTx{Nonce: 4, To: &contract, Gas: 100_000, GasTipCap: big.NewInt(200_000)})
	require.NoError(t, cl.SendTransaction(t.Context(), second))
	mine(t, r, 3)
	_, err := cl.TransactionReceipt(t.Context(), first.Hash())
	require.ErrorIs(t, err, ethereum.NotFound)
	set(r, func(s *lotus.Switches) { s.ReplacedReceipts = true })
	receipt, err := cl.TransactionReceipt(t.Context(), first.Hash())
	require.NoError(t, err)
	require.Equal(t, second.Hash(), receipt.TxHash, "the other's receipt, as old nodes do")

	set(r, func(s *lotus.Switches) { s.SwallowTx = true })
	lost := sign(t, "rich", &types.DynamicFeeTx{Nonce: 5, To: &contract, Gas: 100_000})
	require.NoError(t, cl.SendTransaction(t.Context(), lost))
	_, _, err = dial(t, r.Node(1).HTTP()).TransactionByHash(t.Context(), lost.Hash())
	require.ErrorIs(t, err, ethereum.NotFound)
}

func TestLimitsAreToldInLotusWords(t *testing.T) {
	r, cl, contract, _ := told(t)
	logs := func(from, to string) error {
		var out []types.Log
		return cl.Client().CallContext(t.Context(), &out, "eth_getLogs", map[string]any{"fromBlock": from, "toBlock": to, "address": contract})
	}
	code := func(err error) int {
		var coded rpc.Error
		require.ErrorAs(t, err, &coded)
		return coded.ErrorCode()
	}
	require.ErrorContains(t, logs("0x5", "finalized"), "ToBlock is not a hex")
	require.ErrorContains(t, logs("0x5", "0x4"), "to block (5) must be after from block (4)", "the wrong way round, as Lotus has it")
	require.ErrorContains(t, logs("0x5", "0xb"), "cannot ask for events for a tipset at or greater than head")
	require.NoError(t, logs("0x0", "latest"))
	pending, err := lotusClient(t, r.Node(0).HTTP()).EthGetBlockByNumber(t.Context(), "pending", false)
	require.NoError(t, err)
	_, err = cl.FilterLogs(t.Context(), ethereum.FilterQuery{BlockHash: (*common.Hash)(&pending.Hash)})
	require.ErrorContains(t, err, "at or greater than head")
	set(r, func(s *lotus.Switches) { s.MaxRange = 5 })
	require.ErrorContains(t, logs("0x0", "0x6"), "invalid epoch range: range between to and from blocks is too large (maximum: 5)")
	require.ErrorContains(t, logs("0x0", "latest"), "from block is too far in the past (maximum: 5)")
	set(r, func(s *lotus.Switches) { s.MaxRange, s.Version = 5, "1.35.1" })
	err = logs("0x0", "0x6")
	require.ErrorContains(t, err, "block range exceeds maximum of 5 (got 6)")
	require.Equal(t, -32005, code(err))
	set(r, func(s *lotus.Switches) { s.MaxResults = 2 })
	require.ErrorContains(t, logs("0x0", "0xa"), "filter matches too many events, try a more restricted filter")
	require.NoError(t, logs("0x0", "0x6"))
	set(r, func(s *lotus.Switches) { s.Lookback = 4 })
	require.ErrorContains(t, logs("0x1", "0x8"), "lookbacks of more than 2m0s are disallowed")
	require.NoError(t, logs("0x8", "0x9"))

	var raw json.RawMessage
	err = cl.Client().CallContext(t.Context(), &raw, "eth_call", map[string]any{"to": deployReverter(t, r, cl)}, "latest")
	require.ErrorContains(t, err, "message execution failed (exit=[33]")
	require.Equal(t, 3, code(err))
}

// deployReverter gives a contract that reverts on every call.
func deployReverter(t *testing.T, r *lotus.Root, cl *ethclient.Client) common.Address {
	t.Helper()
	tx := send(t, cl, 4, nil, common.FromHex("6005600c60003960056000f3"+"60006000fd"))
	mine(t, r, 2)
	r.Node(0).Reset()
	receipt, err := cl.TransactionReceipt(t.Context(), tx.Hash())
	require.NoError(t, err)
	return receipt.ContractAddress
}

func TestANodeMayBeOfAnotherChainOrVersion(t *testing.T) {
	r := start(t, lotus.Config{F3: true, FinalityDepth: 40})
	cl := dial(t, r.Node(0).HTTP())
	mine(t, r, 60)
	genesis := func() common.Hash {
		var b struct{ Hash common.Hash }
		require.NoError(t, cl.Client().CallContext(t.Context(), &b, "eth_getBlockByNumber", "0x0", false))
		return b.Hash
	}
	require.Equal(t, r.Genesis(), genesis())
	set(r, func(s *lotus.Switches) { s.ChainID, s.WrongGenesis = 1, true })
	id, err := cl.ChainID(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, id.Int64())
	require.NotEqual(t, r.Genesis(), genesis())

	final := func(version string) uint64 {
		set(r, func(s *lotus.Switches) { s.Version = version })
		h, err := cl.HeaderByNumber(t.Context(), big.NewInt(int64(rpc.FinalizedBlockNumber)))
		require.NoError(t, err)
		return h.Number.Uint64()
	}
	require.EqualValues(t, 20, final("1.33.1"), "900 epochs there, 40 here")
	require.EqualValues(t, 55, final("1.34.0"), "F3")
	require.EqualValues(t, 55, final("1.35.1+mainnet"))
	r.SetF3(false)
	mine(t, r, 40)
	require.EqualValues(t, 60, final("1.34.0"), "F3 is too far behind")
	require.EqualValues(t, 70, final("1.36.2"), "the calculator's 30")
	zero := uint64(0)
	set(r, func(s *lotus.Switches) { s.Finalized = &zero })
	h, err := cl.HeaderByNumber(t.Context(), big.NewInt(int64(rpc.FinalizedBlockNumber)))
	require.NoError(t, err)
	require.EqualValues(t, 100, h.Number.Uint64())
}

func TestBodiesThatAreNone(t *testing.T) {
	r := start(t, lotus.Config{})
	mine(t, r, 2)
	client := &http.Client{Timeout: 300 * time.Millisecond}
	ask := func(method, params string) (int, string, error) {
		resp, err := client.Post(r.Node(0).HTTP(), "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":5,"method":"`+method+`","params":`+params+`}`))
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
		return resp.StatusCode, string(raw), err
	}
	for _, body := range lotus.Bodies() {
		set(r, func(s *lotus.Switches) { s.Body, s.BodyFor = body, "eth_getBlockByNumber" })
		status, text, err := ask("eth_getBlockByNumber", `["latest",false]`)
		switch body {
		case lotus.BodyHang, lotus.BodySlow:
			require.Error(t, err, body)
		case lotus.Body429:
			require.Equal(t, 429, status)
		case lotus.Body503:
			require.Equal(t, 503, status)
		case lotus.BodyHuge:
			require.Len(t, text, 4<<20)
		case lotus.BodyNested:
			require.Contains(t, text, strings.Repeat("[", 10_000))
		case lotus.BodyHTML:
			require.Contains(t, text, "<html>")
		case lotus.BodyOtherID:
			require.Contains(t, text, `"id":987654321`)
		default:
			require.NoError(t, err, body)
			require.Equal(t, 200, status)
		}
		status, text, err = ask("eth_blockNumber", "[]")
		require.NoError(t, err)
		require.Equal(t, 200, status)
		require.Contains(t, text, `"0x1"`, "other methods are answered")
	}
}

func TestSwitchesAreTurnedByRPCToo(t *testing.T) {
	r := start(t, lotus.Config{})
	mine(t, r, 9)
	cl := dial(t, r.Node(0).HTTP()).Client()
	do := func(method string, args ...any) {
		require.NoError(t, cl.CallContext(t.Context(), nil, method, args...))
	}
	do("dev_set", map[string]any{"lag": 3, "body": "html"})
	require.Error(t, cl.CallContext(t.Context(), nil, "eth_blockNumber"))
	require.EqualValues(t, 3, r.Node(0).Switches().Lag)
	require.Error(t, cl.CallContext(t.Context(), nil, "dev_set", map[string]any{"body": "unheard of"}))
	do("dev_reset")
	var n string
	require.NoError(t, cl.CallContext(t.Context(), &n, "eth_blockNumber"))
	require.Equal(t, "0x8", n)
	do("dev_mine", "0x3")
	do("dev_freeze", "0x1")
	do("dev_nullAt", []int{13})
	do("dev_mine", "0x2")
	require.NoError(t, cl.CallContext(t.Context(), &n, "eth_blockNumber"))
	require.Equal(t, "0xa", n)
	do("dev_follow")
	do("dev_reorg", "0x2")
	do("dev_fork", "0x1")
	do("dev_jumpAhead", "0x10")
	do("dev_f3", true)
	do("dev_nullRate", 0.1)
	do("dev_baseFee", "0x64")
	do("dev_poolRules", lotus.PoolRules{ReplacePercent: 125, MaxPending: 10})
	do("dev_dropPending")
	do("dev_pause")
	do("dev_resume")
}

func TestDroppedWebsocketsAreClosedAndMayComeBack(t *testing.T) {
	r := start(t, lotus.Config{})
	mine(t, r, 2)
	full := lotusClient(t, r.Node(0).WS())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	changes, err := full.ChainNotify(ctx)
	require.NoError(t, err)
	<-changes
	r.Node(0).DropConnections()
	_, open := <-changes
	require.False(t, open)
	r.Node(0).Set(func(s *lotus.Switches) { s.NoWS = true })
	_, err = ethclient.DialContext(t.Context(), r.Node(0).WS())
	require.Error(t, err)
	r.Node(0).Reset()
	_, err = dial(t, r.Node(0).WS()).BlockNumber(t.Context())
	require.NoError(t, err)
}
