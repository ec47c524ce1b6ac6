package ethereum

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

// twice logs its call data under topic 1, then again, to a contract that runs
// this as its init code's result:
//
//	calldatacopy(0,0,size); log1(0,size,1); log1(0,size,1); stop
var twice = common.FromHex("3660006000376001366000a16001366000a100")

var topic = common.BigToHash(big.NewInt(1))

const chainID = 4242

// l1 is a real chain that is mined by hand, and an account with a contract.
type l1 struct {
	t        *testing.T
	chain    *devchain.Chain
	key      *ecdsa.PrivateKey
	client   *evm.Client
	contract common.Address
	nonce    uint64
}

func newL1(t *testing.T, depth uint64) *l1 {
	key, err := crypto.GenerateKey()
	require.NoError(t, err)
	account := crypto.PubkeyToAddress(key.PublicKey)
	chain, err := devchain.Start(t.Context(), devchain.Config{
		ChainID: chainID, FinalityDepth: depth, HTTPAddr: "127.0.0.1:0",
		Alloc: map[common.Address]*big.Int{account: new(big.Int).Lsh(big.NewInt(1), 80)},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, chain.Close()) })
	chain.Pause()
	l := &l1{t: t, chain: chain, key: key}
	l.client = l.dial(l.chain.HTTP())
	// init: copy the code behind these 11 bytes and return it.
	l.contract = crypto.CreateAddress(account, 0)
	l.send(nil, append(common.FromHex(fmt.Sprintf("60%02x600c60003960%02x6000f3", len(twice), len(twice))), twice...))
	l.mine(1)
	return l
}

// teller is an endpoint of the chain that may lie.
func (l *l1) teller() *fake.Proxy { return fake.NewProxy(l.t, l.chain.HTTP()) }

func (l *l1) dial(url string) *evm.Client {
	c, err := evm.Dial(l.t.Context(), evm.Config{
		Name: "ethereum", URL: url, ChainID: chainID, Finality: "finalized", MaxAhead: -1,
		CheckHeaders: true, Timeout: 10 * time.Second,
	}, nil)
	require.NoError(l.t, err)
	l.t.Cleanup(c.Close)
	return c
}

func (l *l1) mine(n int) { require.NoError(l.t, l.chain.Mine(l.t.Context(), n)) }

func (l *l1) send(to *common.Address, data []byte) common.Hash {
	l.t.Helper()
	tx, err := types.SignNewTx(l.key, types.LatestSignerForChainID(big.NewInt(chainID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(chainID), Nonce: l.nonce, To: to, Data: data, Gas: 400_000,
		GasFeeCap: big.NewInt(100_000_000_000), GasTipCap: big.NewInt(2_000_000_000),
	})
	require.NoError(l.t, err)
	raw, err := tx.MarshalBinary()
	require.NoError(l.t, err)
	require.NoError(l.t, l.client.SendRaw(l.t.Context(), raw))
	l.nonce++
	return tx.Hash()
}

func (l *l1) filter() chains.Filter {
	return chains.Filter{Addresses: []common.Address{l.contract}, Topics: []common.Hash{topic}}
}

func (l *l1) from(next uint64) chains.Query {
	return chains.Query{From: chains.Cursor{Chain: chainID, Next: next}, To: 1 << 40, Filter: l.filter()}
}

// edit changes one answer as text.
func edit(method, old, replacement string) fake.Lie {
	return fake.LieText(method, func(result string) string { return strings.ReplaceAll(result, old, replacement) })
}

func TestEventsComeWithTheirPlaceInTheirOwnReceipt(t *testing.T) {
	l := newL1(t, 2)
	first := l.send(&l.contract, []byte("one"))
	second := l.send(&l.contract, []byte("two"))
	l.mine(1)
	at := l.chain.Head().Number
	l.mine(3)
	s, err := New(l.client, l.dial(l.chain.HTTP()))
	require.NoError(t, err)
	last, events, err := s.Events(t.Context(), l.from(1))
	require.NoError(t, err)
	require.Equal(t, l.chain.Head().Number-2, last.Number)
	require.Len(t, events, 4)
	for i, want := range []struct {
		tx              common.Hash
		index, position uint
		data            string
	}{{first, 0, 0, "one"}, {first, 1, 1, "one"}, {second, 2, 0, "two"}, {second, 3, 1, "two"}} {
		e := events[i]
		require.Equal(t, want.tx, e.Tx)
		require.Equal(t, []uint{want.index, want.position}, []uint{e.Index, e.Position})
		require.Equal(t, want.data, string(e.Data))
		require.Equal(t, at, e.Block)
		require.Equal(t, chains.ID(chainID), e.Chain)
		require.NotZero(t, e.BlockTime)
	}
}

// TestAForgedEventIsNotBelieved: the only endpoint of the data lies, in each
// place where it could; the headers are right.
func TestAForgedEventIsNotBelieved(t *testing.T) {
	l := newL1(t, 1)
	tx := l.send(&l.contract, []byte("pay 1 to alice"))
	other := l.send(&l.contract, []byte("pay 2 to alice"))
	l.mine(4)
	data := func(s string) string { return hexutil.Encode([]byte(s))[2:] }
	drop := func(method string) fake.Lie {
		return func(m string, r json.RawMessage) json.RawMessage {
			var all []json.RawMessage
			if m != method || json.Unmarshal(r, &all) != nil || len(all) == 0 {
				return r
			}
			out, _ := json.Marshal(all[1:])
			return out
		}
	}
	both := func(changes ...fake.Lie) fake.Lie {
		return func(m string, r json.RawMessage) json.RawMessage {
			for _, c := range changes {
				r = c(m, r)
			}
			return r
		}
	}
	pay, steal := data("pay 1 to alice"), data("pay 9 to mallo")
	for name, lie := range map[string]fake.Lie{
		"a changed amount in the log answers": edit("eth_getLogs", pay, steal),
		"and in the receipts":                 both(edit("eth_getLogs", pay, steal), edit("eth_getBlockReceipts", pay, steal)),
		"another transaction's hash":          both(edit("eth_getLogs", tx.Hex(), common.HexToHash("0xbad").Hex()), edit("eth_getBlockReceipts", tx.Hex(), common.HexToHash("0xbad").Hex())),
		"two transactions exchanged":          both(edit("eth_getLogs", tx.Hex(), "0xswap"), edit("eth_getLogs", other.Hex(), tx.Hex()), edit("eth_getLogs", "0xswap", other.Hex())),
		"a log left out":                      drop("eth_getLogs"),
		"a receipt left out":                  both(drop("eth_getBlockReceipts")),
		"receipts of nobody":                  edit("eth_getBlockReceipts", `"status":"0x1"`, `"status":"0x0"`),
		"receipts that are null": func(m string, r json.RawMessage) json.RawMessage {
			return when(m == "eth_getBlockReceipts", `[null,null]`, r)
		},
		"logs that are null":   edit("eth_getBlockReceipts", `"logs":[`, `"logs":[null,`),
		"no receipts":          func(m string, r json.RawMessage) json.RawMessage { return when(m == "eth_getBlockReceipts", `null`, r) },
		"a block that is none": func(m string, r json.RawMessage) json.RawMessage { return when(m == "eth_getBlockByHash", `null`, r) },
		"a block of junk": func(m string, r json.RawMessage) json.RawMessage {
			return when(m == "eth_getBlockByHash", `{"number":[]}`, r)
		},
		"a block with other fields":  edit("eth_getBlockByHash", `"gasUsed":"0x`, `"gasUsed":"0x1`),
		"transactions that are null": edit("eth_getBlockByHash", `"transactions":[`, `"transactions":[null,`),
		"another call":               edit("eth_getBlockByHash", pay, steal),
	} {
		t.Run(name, func(t *testing.T) {
			teller := l.teller()
			s, err := New(l.dial(teller.URL()), l.client)
			require.NoError(t, err)
			_, events, err := s.Events(t.Context(), l.from(1))
			require.NoError(t, err, "told the truth")
			require.Len(t, events, 4)
			changed := false
			teller.Lie(func(m string, r json.RawMessage) json.RawMessage {
				out := lie(m, r)
				changed = changed || !bytes.Equal(out, r)
				return out
			})
			_, events, err = s.Events(t.Context(), l.from(1))
			require.True(t, changed, "the lie was told")
			require.ErrorIs(t, err, chains.ErrUnavailable)
			require.Empty(t, events)
		})
	}
}

func when(yes bool, this string, that json.RawMessage) json.RawMessage {
	if yes {
		return json.RawMessage(this)
	}
	return that
}

// TestTwoEndpointsMustAgreeOnABlock: a whole chain of its own, right in itself,
// is what one endpoint can serve; the other one has never heard of it.
func TestTwoEndpointsMustAgreeOnABlock(t *testing.T) {
	l := newL1(t, 3)
	l.send(&l.contract, []byte("pay"))
	l.mine(5)
	fake := hexutil.Encode(crypto.Keccak256([]byte("another")))
	teller := l.teller()
	witness := l.dial(teller.URL())
	s, err := New(l.client, witness)
	require.NoError(t, err)
	head, err := s.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, l.chain.Head().Number-3, head.Number)

	// Its headers hash to themselves: only the agreement tells.
	var other *types.Header
	teller.Lie(func(m string, r json.RawMessage) json.RawMessage {
		var h types.Header
		if m != "eth_getBlockByNumber" || json.Unmarshal(r, &h) != nil {
			return r
		}
		h.ReceiptHash = common.HexToHash(fake)
		var fields map[string]any
		_ = json.Unmarshal(r, &fields)
		fields["receiptsRoot"], fields["hash"] = h.ReceiptHash, h.Hash()
		other = &h
		out, _ := json.Marshal(fields)
		return out
	})
	l.mine(1)
	_, err = s.Head(t.Context())
	var split *DisagreementError
	require.ErrorAs(t, err, &split)
	require.ErrorIs(t, err, chains.ErrUnavailable)
	require.NotNil(t, other)
	require.Equal(t, other.Hash(), split.Witness)
	require.NotEqual(t, split.Data, split.Witness)
	require.Contains(t, split.Error(), "witness 1")
	require.ErrorAs(t, s.Trouble(), &split)
	_, _, err = s.Events(t.Context(), l.from(1))
	require.ErrorAs(t, err, &split)

	teller.Lie(nil)
	l.mine(1)
	_, events, err := s.Events(t.Context(), l.from(1))
	require.NoError(t, err)
	require.Len(t, events, 2)
	require.NoError(t, s.Trouble())
}

// TestTheHeadIsWhatAllHaveFinal: a witness that lags holds the head back, and
// never takes it back.
func TestTheHeadIsWhatAllHaveFinal(t *testing.T) {
	l := newL1(t, 2)
	l.mine(6)
	teller := l.teller()
	s, err := New(l.client, l.dial(teller.URL()))
	require.NoError(t, err)
	head, err := s.Head(t.Context())
	require.NoError(t, err)
	hold := func(n uint64) {
		b, err := l.client.BlockByNumber(t.Context(), n)
		require.NoError(t, err)
		var raw json.RawMessage
		require.NoError(t, l.client.RPC(context.Background(), &raw, "eth_getBlockByNumber", hexutil.Uint64(b.Number), false))
		teller.Lie(func(m string, r json.RawMessage) json.RawMessage {
			var h types.Header
			if m == "eth_getBlockByNumber" && json.Unmarshal(r, &h) == nil && h.Number.Uint64() == l.chain.Head().Number-2 {
				return raw
			}
			return r
		})
	}
	l.mine(4)
	hold(head.Number + 1)
	next, err := s.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, head.Number+1, next.Number)
	_, _, err = s.Events(t.Context(), l.from(head.Number+2))
	require.ErrorIs(t, err, chains.ErrUnavailable, "not final for all")

	fresh := l.dial(l.chain.HTTP())
	s.witnesses[0] = fresh
	ahead, err := s.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, head.Number+4, ahead.Number)
	hold(head.Number + 1)
	s.witnesses[0] = l.dial(teller.URL())
	_, err = s.Head(t.Context())
	require.ErrorIs(t, err, chains.ErrUnavailable)
}

// TestOnlyWhatIsFinalIsRead: a real chain forks above its finalized block, as deep
// as networks have seen, and what was in the lost blocks comes back later and
// elsewhere.
func TestOnlyWhatIsFinalIsRead(t *testing.T) {
	for _, depth := range []uint64{1, 7, 32, 64} {
		t.Run(fmt.Sprint(depth), func(t *testing.T) {
			l := newL1(t, 65)
			l.mine(70)
			s, err := New(l.client)
			require.NoError(t, err)
			last, _, err := s.Events(t.Context(), l.from(1))
			require.NoError(t, err)
			q := l.from(last.Number + 1)
			q.From.Parent = last.Hash

			kept := l.send(&l.contract, []byte("stays"))
			l.mine(1)
			l.mine(int(depth) - 1)
			require.NoError(t, l.chain.Reorg(t.Context(), depth)) // the transaction is back in the pool
			moved := l.send(&l.contract, []byte("comes later"))
			if depth > 1 {
				last, events, err := s.Events(t.Context(), q)
				require.NoError(t, err)
				require.Empty(t, events, "not final")
				q.From.Next, q.From.Parent = last.Number+1, last.Hash
			}
			l.mine(66)
			_, events, err := s.Events(t.Context(), q)
			require.NoError(t, err)
			require.Len(t, events, 4, "each once")
			require.Equal(t, kept, events[0].Tx)
			require.Equal(t, moved, events[2].Tx)
		})
	}
}

func TestAWitnessIsOfTheSameChain(t *testing.T) {
	l := newL1(t, 1)
	chain, err := devchain.Start(t.Context(), devchain.Config{ChainID: 7, HTTPAddr: "127.0.0.1:0"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, chain.Close()) })
	c, err := evm.Dial(t.Context(), evm.Config{Name: "other", URL: chain.HTTP(), ChainID: 7}, nil)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	_, err = New(l.client, c)
	require.ErrorIs(t, err, chains.ErrWrongChain)
}

func TestTheFeePolicyHasCeilings(t *testing.T) {
	c := Tx()
	require.NoError(t, c.Check())
	require.Equal(t, "200000000000", c.MaxFeeCapWei.String())
	require.Equal(t, "5000000000", c.MaxTipWei.String())
	require.GreaterOrEqual(t, c.BumpPermille, 125)
}

// pair is a reader of two endpoints.
type pair struct {
	evm.Reader
	both []evm.Reader
}

func (p pair) Endpoints() []evm.Reader { return p.both }

// TestWhatProvesABlockMayComeFromAnyEndpoint: one that cannot prove what it says
// keeps nobody from reading, and one alone that lies gives no answer.
func TestWhatProvesABlockMayComeFromAnyEndpoint(t *testing.T) {
	l := newL1(t, 3)
	l.send(&l.contract, []byte("pay"))
	l.mine(5)
	teller := l.teller()
	forger := l.dial(teller.URL())
	teller.Lie(func(m string, r json.RawMessage) json.RawMessage {
		return when(m == "eth_getBlockReceipts", "[]", r)
	})
	s, err := New(pair{l.client, []evm.Reader{forger, l.client}})
	require.NoError(t, err)
	_, events, err := s.Events(t.Context(), l.from(1))
	require.NoError(t, err)
	require.Len(t, events, 2)
	s, err = New(pair{l.client, []evm.Reader{forger, forger}})
	require.NoError(t, err)
	_, _, err = s.Events(t.Context(), l.from(1))
	require.ErrorIs(t, err, ErrForged)
}
