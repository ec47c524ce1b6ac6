package badinput

import (
	"context"
	"crypto/ecdsa"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

// sender is a transaction manager that runs over a fake node and journal.
type sender struct {
	t       *testing.T
	node    *fake.Node
	client  *evm.Client
	journal *fake.Journal
	from    common.Address
	signer  evm.Signer
	cfg     evm.TxConfig
	m       *evm.TxManager
	stop    func()
}

func newSender(t *testing.T, change ...func(*evm.TxConfig)) *sender {
	n := fake.NewNode(t, rootID)
	n.SetFinal(2)
	n.MineN(5)
	key, from := fake.NewKey()
	n.Fund(from, big.NewInt(1e18))
	r := &sender{t: t, node: n, client: dial(t, n, rootID), journal: fake.NewJournal(), from: from, signer: keySigner{key},
		cfg: evm.TxConfig{Tick: 4 * time.Millisecond, Idle: 4 * time.Millisecond, RebroadcastAfter: 50 * time.Millisecond, BumpAfter: 80 * time.Millisecond}}
	for _, f := range change {
		f(&r.cfg)
	}
	r.start()
	return r
}

func (r *sender) manager() (*evm.TxManager, error) {
	return evm.NewTxManager(r.client, r.journal, []evm.Signer{r.signer}, r.cfg, nil)
}

// start runs a manager, until the test ends or it is stopped.
func (r *sender) start() {
	m, err := r.manager()
	require.NoError(r.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = m.Run(ctx) })
	r.m, r.stop = m, sync.OnceFunc(func() { cancel(); running.Wait(); _ = m.Close() })
	r.t.Cleanup(r.stop)
}

func (r *sender) tx(key string) chains.Tx {
	return chains.Tx{Key: key, Group: "g", To: addr(2), Data: []byte(key)}
}

func (r *sender) send(key string) { require.NoError(r.t, r.m.Send(r.t.Context(), r.tx(key))) }

func (r *sender) intent(nonce uint64) chains.Intent {
	in, ok, err := r.journal.Intent(r.t.Context(), rootID, r.from, nonce)
	require.NoError(r.t, err)
	require.True(r.t, ok)
	return in
}

func (r *sender) until(what string, ok func() bool) {
	r.t.Helper()
	require.Eventually(r.t, ok, 30*time.Second, 2*time.Millisecond, what)
}

func (r *sender) mineUntil(what string, ok func() bool) {
	r.t.Helper()
	r.until(what, func() bool { r.node.Mine(); time.Sleep(5 * time.Millisecond); return ok() })
}

// keySigner signs with a key in memory.
type keySigner struct{ key *ecdsa.PrivateKey }

func (s keySigner) Address() common.Address { return crypto.PubkeyToAddress(s.key.PublicKey) }

func (s keySigner) SignTx(tx *types.Transaction, id *big.Int) (*types.Transaction, error) {
	return types.SignTx(tx, types.LatestSignerForChainID(id), s.key)
}

// oldSigner signs the same call without a chain's id, as before EIP-155.
type oldSigner struct{ keySigner }

func (s oldSigner) SignTx(tx *types.Transaction, _ *big.Int) (*types.Transaction, error) {
	return types.SignNewTx(s.key, types.HomesteadSigner{}, &types.LegacyTx{
		Nonce: tx.Nonce(), To: tx.To(), Value: tx.Value(), Data: tx.Data(), Gas: tx.Gas(), GasPrice: tx.GasFeeCap()})
}
