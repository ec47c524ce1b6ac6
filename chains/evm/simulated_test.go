package evm

import (
	"context"
	"fmt"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/ethclient/simulated"
	"github.com/ethereum/go-ethereum/node"
	"github.com/stretchr/testify/require"
)

// A contract that logs its call data under topic 1, and reverts on empty data.
//
//	calldatasize; iszero; jumpi fail; calldatacopy(0,0,size); log1(0,size,1); stop; fail: revert(0,0)
var logger = common.FromHex("36156013573660006000376001366000a100005b60006000fd")

// realChain is geth in this process, behind its real HTTP and WebSocket servers.
func realChain(t *testing.T, alloc types.GenesisAlloc) (b *simulated.Backend, http, ws string) {
	t.Helper()
	port := func() int {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		return l.Addr().(*net.TCPAddr).Port
	}
	hp, wp := port(), port()
	b = simulated.NewBackend(alloc, func(n *node.Config, _ *ethconfig.Config) {
		n.HTTPHost, n.HTTPPort, n.HTTPModules = "127.0.0.1", hp, []string{"eth"}
		n.WSHost, n.WSPort, n.WSModules = "127.0.0.1", wp, []string{"eth"}
	})
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b, fmt.Sprintf("http://127.0.0.1:%d", hp), fmt.Sprintf("ws://127.0.0.1:%d", wp)
}

func TestARealChainIsReadAndWrittenIncludingABump(t *testing.T) {
	key, from := fake.NewKey()
	contract := common.HexToAddress("0xc0de")
	logged := common.BigToHash(big.NewInt(1))
	backend, http, ws := realChain(t, types.GenesisAlloc{
		from:     {Balance: ether(100)},
		contract: {Code: logger, Balance: new(big.Int)},
	})
	for name, endpoint := range map[string]string{"http": http, "ws": ws} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, Config{Name: "real", URL: endpoint, ChainID: 1337, Finality: "depth:2", CheckHeaders: true, MaxAhead: -1, Timeout: 10 * time.Second})
			for range 3 {
				backend.Commit()
			}
			head, err := c.Latest(t.Context())
			require.NoError(t, err)
			start := head.Number + 1
			journal := fake.NewJournal()
			cl := &clock{time.Now()}
			journal.Clock(cl.now)
			m, err := NewTxManager(c, journal, []Signer{keySigner{key}}, TxConfig{MinTipWei: big.NewInt(1e6)}, quiet())
			require.NoError(t, err)
			m.now = cl.now
			first, err := c.NonceAt(t.Context(), from, AtLatest)
			require.NoError(t, err)

			send := func(key, data string) error {
				return m.Send(t.Context(), chains.Tx{Key: name + key, Group: "g", To: contract, Data: []byte(data)})
			}
			require.ErrorIs(t, send("reverts", ""), chains.ErrReverted)
			require.NoError(t, send("a", "one"))
			require.NoError(t, send("a", "one"))
			require.NoError(t, send("b", "two"))

			// Two minutes without a block: the head of the queue is bumped, and
			// the pool takes the replacement.
			m.look(t.Context())
			cl.advance(2 * time.Minute)
			m.look(t.Context())
			in, _, err := journal.Intent(t.Context(), 1337, from, first)
			require.NoError(t, err)
			require.Len(t, in.Attempts, 2)
			known, mined, err := c.TransactionKnown(t.Context(), in.Attempts[1].Hash)
			require.NoError(t, err)
			require.True(t, known && !mined)
			known, _, err = c.TransactionKnown(t.Context(), in.Attempts[0].Hash)
			require.NoError(t, err)
			require.False(t, known, "replaced")

			require.Eventually(t, func() bool {
				backend.Commit()
				cl.advance(5 * time.Second)
				m.look(t.Context())
				live, err := journal.Live(t.Context(), 1337, from)
				return err == nil && len(live) == 0
			}, 20*time.Second, 10*time.Millisecond)
			for i, in := range journal.All(1337, from) {
				require.Equal(t, chains.IntentSucceeded, in.State)
				require.Equal(t, first+uint64(i), in.Nonce)
			}

			parent, err := c.BlockByNumber(t.Context(), start-1)
			require.NoError(t, err)
			final, err := c.Head(t.Context())
			require.NoError(t, err)
			last, events, err := c.Events(t.Context(), chains.Query{
				From: chains.Cursor{Chain: 1337, Next: start, Parent: parent.Hash}, To: final.Number,
				Filter: chains.Filter{Addresses: []common.Address{contract}, Topics: []common.Hash{logged}},
			})
			require.NoError(t, err)
			require.Equal(t, final, last)
			require.Len(t, events, 2)
			require.Equal(t, "one", string(events[0].Data))
			require.Equal(t, "two", string(events[1].Data))

			out, err := c.Call(context.Background(), contract, nil, AtHash(final.Hash))
			require.ErrorIs(t, err, chains.ErrReverted)
			require.Empty(t, out)
			code, err := c.CodeAt(t.Context(), contract, AtLatest)
			require.NoError(t, err)
			require.Equal(t, logger, code)
		})
	}
}
