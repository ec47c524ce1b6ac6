package verify_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/big"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/relayer/verify"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"
)

const chainID = 31337

var (
	ours, other = common.Address{0xc0}, common.Address{0xbb}
	topic       = common.Hash{7}
	filter      = chains.Filter{Addresses: []common.Address{ours}, Topics: []common.Hash{topic}, Placed: []common.Address{ours}}
)

func dial(t *testing.T, url string, id chains.ID) *evm.Client {
	c, err := evm.Dial(t.Context(), evm.Config{Name: "root", URL: url, ChainID: id, Timeout: time.Minute, MaxAhead: -1}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// all follows a source to its head.
func all(t *testing.T, s chains.Source, id chains.ID, f chains.Filter) (chains.Block, []chains.Event) {
	head, err := s.Head(t.Context())
	require.NoError(t, err)
	var out []chains.Event
	var last chains.Block
	for cur := (chains.Cursor{Chain: id, Next: 1}); cur.Next <= head.Number; cur = (chains.Cursor{Chain: id, Next: last.Number + 1, Parent: last.Hash}) {
		var events []chains.Event
		last, events, err = s.Events(t.Context(), chains.Query{From: cur, To: head.Number, Filter: f})
		require.NoError(t, err)
		out = append(out, events...)
	}
	return last, out
}

func TestReceiptsHoldWhatLogsSayAroundNullRounds(t *testing.T) {
	n := fake.NewNode(t, chainID)
	n.SetFinal(0)
	want := 0
	for i := range 300 {
		switch {
		case i%7 == 0:
			n.MineLogs(fake.Log(other, topic, nil), fake.Log(ours, topic, []byte{byte(i)}), fake.Log(ours, common.Hash{9}, nil), fake.Log(ours, topic, nil))
			want += 2
		case i >= 100 && i < 180, i%5 == 0:
			n.MineNull()
		default:
			n.Mine()
		}
	}
	n.Mine()
	client := dial(t, n.URL(), chainID)
	last, events := all(t, client, chainID, filter)
	again, found := all(t, verify.Reader{Reader: client}, chainID, filter)
	require.Len(t, events, want)
	require.Equal(t, events, found)
	require.Equal(t, last.Hash, again.Hash)
}

// emits is the code of a contract that emits one log when it is made.
func emits(topic common.Hash) []byte {
	return append(append([]byte{0x7f}, topic[:]...), 0x60, 0, 0x60, 0, 0xa1, 0x00)
}

func TestGethsReceiptsHoldWhatItsLogsSay(t *testing.T) {
	key, err := crypto.GenerateKey()
	require.NoError(t, err)
	who := crypto.PubkeyToAddress(key.PublicKey)
	chain, err := devchain.Start(t.Context(), devchain.Config{
		ChainID: chainID, Period: time.Hour, Alloc: map[common.Address]*big.Int{who: new(big.Int).Lsh(big.NewInt(1), 90)},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, chain.Close()) })
	eth, err := ethclient.Dial(chain.HTTP())
	require.NoError(t, err)
	t.Cleanup(eth.Close)

	f := chains.Filter{Topics: []common.Hash{topic}}
	for nonce := range uint64(9) {
		tx, err := types.SignNewTx(key, types.LatestSignerForChainID(big.NewInt(chainID)), &types.DynamicFeeTx{
			ChainID: big.NewInt(chainID), Nonce: nonce, Gas: 200_000, GasTipCap: big.NewInt(2e9), GasFeeCap: big.NewInt(100e9), Data: emits(topic),
		})
		require.NoError(t, err)
		require.NoError(t, eth.SendTransaction(t.Context(), tx))
		f.Addresses = append(f.Addresses, crypto.CreateAddress(who, nonce))
		if nonce%3 == 2 {
			require.NoError(t, chain.Mine(t.Context(), 1))
		}
	}
	require.NoError(t, chain.Mine(t.Context(), 80))
	f.Placed = f.Addresses
	client := dial(t, chain.HTTP(), chainID)
	_, events := all(t, client, chainID, f)
	_, found := all(t, verify.Reader{Reader: client}, chainID, f)
	require.NotEmpty(t, events)
	require.Equal(t, events, found)
}

// lying is an endpoint that changes an answer.
type lying struct {
	evm.Reader
	method string
	change func(map[string]any) any
}

func (l lying) RPC(ctx context.Context, result any, method string, args ...any) error {
	if method != l.method {
		return l.Reader.RPC(ctx, result, method, args...)
	}
	var answer map[string]any
	if err := l.Reader.RPC(ctx, &answer, method, args...); err != nil {
		return err
	}
	raw, err := json.Marshal(l.change(answer))
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, result)
}

func TestWhatReceiptsCannotBeIsUnavailable(t *testing.T) {
	n := fake.NewNode(t, chainID)
	n.SetFinal(0)
	n.MineLogs(fake.Log(ours, topic, nil), fake.Log(ours, topic, nil), fake.Log(ours, topic, nil))
	n.Mine()
	client := dial(t, n.URL(), chainID)
	set := func(name string, to any) func(map[string]any) any {
		return func(m map[string]any) any { m[name] = to; return m }
	}
	log := func(f func(logs []any) []any) func(map[string]any) any {
		return func(m map[string]any) any {
			logs, _ := m["logs"].([]any)
			m["logs"] = f(logs)
			return m
		}
	}
	first := func(name string, to any) func(map[string]any) any {
		return log(func(logs []any) []any { logs[0].(map[string]any)[name] = to; return logs })
	}
	const receipt, block = "eth_getTransactionReceipt", "eth_getBlockByNumber"
	for name, l := range map[string]lying{
		"no receipt":             {client, receipt, func(map[string]any) any { return nil }},
		"another transaction's":  {client, receipt, set("transactionHash", common.Hash{1})},
		"of another block":       {client, receipt, set("blockHash", common.Hash{1})},
		"of another height":      {client, receipt, set("blockNumber", "0x9")},
		"without logs":           {client, receipt, set("logs", nil)},
		"a log left out":         {client, receipt, log(func(l []any) []any { return []any{l[0], l[2]} })},
		"a log told twice":       {client, receipt, log(func(l []any) []any { return []any{l[0], l[0], l[1], l[2]} })},
		"a log of another block": {client, receipt, first("blockHash", common.Hash{1})},
		"a log of another tx":    {client, receipt, first("transactionHash", common.Hash{1})},
		"a log without address":  {client, receipt, first("address", nil)},
		"a removed log":          {client, receipt, first("removed", true)},
		"too high an index":      {client, receipt, first("logIndex", "0xffffffff")},
		"another block":          {client, block, set("number", "0x77")},
		"no parent":              {client, block, set("parentHash", nil)},
		"a broken chain":         {client, block, set("parentHash", common.Hash{1})},
		"no transactions":        {client, block, set("transactions", nil)},
	} {
		_, _, err := verify.Reader{Reader: l}.Events(t.Context(), chains.Query{From: chains.Cursor{Chain: chainID, Next: 1}, To: 2, Filter: filter})
		require.ErrorIs(t, err, chains.ErrUnavailable, name)
	}
	_, _, err := verify.Reader{Reader: client}.Events(t.Context(), chains.Query{From: chains.Cursor{Chain: chainID, Next: 1, Parent: common.Hash{1}}, To: 2, Filter: filter})
	require.ErrorIs(t, err, chains.ErrReorg)
	_, _, err = verify.Reader{Reader: client}.Events(t.Context(), chains.Query{From: chains.Cursor{Chain: chainID, Next: 9}, To: 12, Filter: filter})
	require.ErrorIs(t, err, chains.ErrUnavailable)
}
