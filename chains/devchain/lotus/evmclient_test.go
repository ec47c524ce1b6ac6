package lotus_test

import (
	"context"
	"crypto/ecdsa"
	"math/big"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

func reader(t *testing.T, n *lotus.Node, finality string) *evm.Client {
	t.Helper()
	c, err := evm.Dial(t.Context(), evm.Config{
		Name: "root", URL: n.HTTP(), ChainID: chainID, Finality: finality, MaxRange: 2000, NoBloom: true,
	}, nil)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func TestTheRelayersClientReadsEventsOverNullRounds(t *testing.T) {
	r := start(t, lotus.Config{NullRate: 0.2})
	cl := dial(t, r.Node(0).HTTP())
	contract := deploy(t, r, cl)
	for i := range uint64(10) {
		send(t, cl, i+1, &contract, nil)
		mine(t, r, 5)
	}
	mine(t, r, 20)
	c := reader(t, r.Node(0), "depth:5")
	head, err := c.Head(t.Context())
	require.NoError(t, err)
	filter := chains.Filter{Addresses: []common.Address{contract}, Topics: []common.Hash{common.BigToHash(big.NewInt(7))}}
	var found []chains.Event
	for from := (chains.Cursor{Chain: chainID}); from.Next <= head.Number; {
		last, events, err := c.Events(t.Context(), chains.Query{From: from, To: head.Number, Filter: filter})
		require.NoError(t, err)
		found = append(found, events...)
		from = chains.Cursor{Chain: chainID, Next: last.Number + 1, Parent: last.Hash}
	}
	require.Len(t, found, 10)
}

type keySigner struct{ key *ecdsa.PrivateKey }

func (s keySigner) Address() common.Address { return crypto.PubkeyToAddress(s.key.PublicKey) }

func (s keySigner) SignTx(tx *types.Transaction, id *big.Int) (*types.Transaction, error) {
	return types.SignTx(tx, types.LatestSignerForChainID(id), s.key)
}

func TestTheTxManagerSeesATransactionThroughAReorg(t *testing.T) {
	r := start(t, lotus.Config{GasFactor: 20})
	k, rich := key("rich")
	contract := deploy(t, r, dial(t, r.Node(0).HTTP()))
	c := reader(t, r.Node(0), "depth:3")
	journal := fake.NewJournal()
	m, err := evm.NewTxManager(c, journal, []evm.Signer{keySigner{k}}, evm.TxConfig{
		Tick: 10 * time.Millisecond, Idle: 10 * time.Millisecond, RebroadcastAfter: 20 * time.Millisecond, BumpPermille: 250,
		MaxGas: 10_000_000_000,
	}, nil)
	require.NoError(t, err)
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() { done <- m.Run(ctx) }()

	for _, name := range []string{"a", "b"} {
		require.NoError(t, m.Send(t.Context(), chains.Tx{Key: name, Group: "g", To: contract}))
	}
	mine(t, r, 2)
	require.NoError(t, r.Reorg(t.Context(), 2))
	require.Eventually(t, func() bool {
		if r.Mine(t.Context(), 1) != nil {
			return false
		}
		live, err := journal.Live(t.Context(), chainID, rich)
		return err == nil && len(live) == 0
	}, 30*time.Second, 20*time.Millisecond)
	stop()
	require.NoError(t, <-done)
	all := journal.All(chainID, rich)
	require.Len(t, all, 2)
	for _, in := range all {
		require.Equal(t, chains.IntentSucceeded, in.State)
	}
}
