package evm

import (
	"context"
	"crypto/ecdsa"
	"flag"
	"log/slog"
	"math/big"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// The properties run over real sockets; -rapid.checks on the command line
	// still wins.
	_ = flag.Set("rapid.checks", "30")
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/ethereum/go-ethereum/core.(*txSenderCacher).cache"))
}

const testChain = 31337

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func config(n *fake.Node) Config {
	return Config{
		Name: "root", URL: n.URL(), ChainID: testChain, Timeout: 5 * time.Second, CheckHeaders: true,
		Finality: "finalized",
	}
}

func dial(t *testing.T, cfg Config) *Client {
	t.Helper()
	c, err := Dial(t.Context(), cfg, quiet())
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// keySigner signs with a key in memory.
type keySigner struct{ key *ecdsa.PrivateKey }

func (s keySigner) Address() common.Address { return crypto.PubkeyToAddress(s.key.PublicKey) }

func (s keySigner) SignTx(tx *types.Transaction, id *big.Int) (*types.Transaction, error) {
	return types.SignTx(tx, types.LatestSignerForChainID(id), s.key)
}

func ether(n int64) *big.Int {
	return new(big.Int).Mul(big.NewInt(n), big.NewInt(1_000_000_000_000_000_000))
}

// clock is a hand-moved clock.
type clock struct{ t time.Time }

func (c *clock) now() time.Time          { return c.t }
func (c *clock) advance(d time.Duration) { c.t = c.t.Add(d) }

var (
	ours    = common.HexToAddress("0x0000000000000000000000000000000000000a11")
	other   = common.HexToAddress("0x0000000000000000000000000000000000000bad")
	topic   = common.HexToHash("0x01")
	foreign = common.HexToHash("0x02")
	filter  = chains.Filter{Addresses: []common.Address{ours}, Topics: []common.Hash{topic}}
)

// readAll follows a source from a cursor to its head.
func readAll(ctx context.Context, c *Client, from chains.Cursor) (chains.Cursor, []chains.Event, error) {
	var all []chains.Event
	head, err := c.Head(ctx)
	if err != nil {
		return from, nil, err
	}
	for from.Next <= head.Number {
		last, events, err := c.Events(ctx, chains.Query{From: from, To: head.Number, Filter: filter})
		if err != nil {
			return from, all, err
		}
		all = append(all, events...)
		from = chains.Cursor{Chain: from.Chain, Next: last.Number + 1, Parent: last.Hash}
	}
	return from, all, nil
}

func cursorAt(n *fake.Node, next uint64) chains.Cursor {
	c := chains.Cursor{Chain: testChain, Next: next}
	if next > 0 {
		c.Parent = n.Hash(next - 1)
	}
	return c
}
