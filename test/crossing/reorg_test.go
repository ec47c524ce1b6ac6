// Package crossing holds what is between Ethereum and the root against real
// chains that really reorganize.
package crossing

import (
	"context"
	"fmt"
	"log/slog"
	"math/big"
	"path/filepath"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/causeway-bridge/causeway/chains/ethereum"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	geth "github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"
)

const (
	l1ID     = 11155911
	rootID   = 31415926
	finality = 66
	hubName  = "axelar1aqcj54lzz0rk22gvqgcn8fr5tx4rzwdv5wv5j9dmnacgefvd7wzsy2j2mr"
)

// l1 is a real Ethereum with the published Axelar contracts and FltSender, mined by
// hand once they stand.
type l1 struct {
	t      *testing.T
	chain  *devchain.Chain
	client *ethclient.Client
	user   deploy.Signer
	nonce  uint64
	set    deploy.AxelarSet
	token  deploy.Canonical
	sender common.Address
}

func newL1(t *testing.T) *l1 {
	t.Helper()
	deployer, user := newKey(t), newKey(t)
	rich := new(big.Int).Lsh(big.NewInt(1), 80)
	chain, err := devchain.Start(t.Context(), devchain.Config{
		ChainID: l1ID, FinalityDepth: finality, Period: 10 * time.Millisecond, HTTPAddr: "127.0.0.1:0",
		Alloc: map[common.Address]*big.Int{deployer.Address(): rich, user.Address(): rich},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, chain.Close()) })
	l := &l1{t: t, chain: chain, client: ethclient.NewClient(chain.RPC()), user: user}
	t.Cleanup(l.client.Close)

	env := deploy.Env{Backend: l.client, StateFile: filepath.Join(t.TempDir(), "state.json"), Poll: 5 * time.Millisecond}
	artifacts, err := deploy.OpenArtifacts("")
	require.NoError(t, err)
	l.set, err = deploy.Axelar(t.Context(), env, deployer, deploy.AxelarParams{
		Artifacts: artifacts, Gateway: deploy.GatewayLegacy, Chain: "Ethereum", Trusted: []string{"filecoin"}, Hub: hubName,
		Signers: []deploy.Weighted{{Address: deployer.Address(), Weight: 1}}, Threshold: 1,
	})
	require.NoError(t, err)
	flt, err := deploy.L1Token(t.Context(), env, deployer, ether(1000))
	require.NoError(t, err)
	l.token, err = deploy.RegisterCanonical(t.Context(), env, deployer, artifacts, l.set, deploy.AxelarSet{Chain: "filecoin"}, flt)
	require.NoError(t, err)
	token := bindings.NewDevFlt()
	_, err = deploy.Send(t.Context(), env, deployer, deploy.Step{Name: "give", To: flt, Data: token.PackTransfer(user.Address(), ether(1000))})
	require.NoError(t, err)

	code, err := bindings.FltSenderMetaData.ParseABI()
	require.NoError(t, err)
	args, err := code.Pack("", bindings.FltSenderParams{
		Its: l.set.Service, TokenId: l.token.ID, RootChain: "filecoin", Handler: handler, Subnet: bindings.SubnetID(subnetID()),
		Min: big.NewInt(1), Max: ether(1000),
	})
	require.NoError(t, err)
	l.sender = crypto.CreateAddress(user.Address(), 0)
	chain.Pause()
	l.send(nil, append(common.FromHex(bindings.FltSenderMetaData.Bin), args...), 1)
	l.send(&flt, token.PackApprove(l.sender, ether(1_000_000)), 1)
	l.mine(finality + 2)
	return l
}

var handler = common.HexToAddress("0x00000000000000000000000000000000000a9d1e")

func subnetID() ipc.SubnetID {
	return ipc.NewSubnetID(rootID, common.HexToAddress("0x0000000000000000000000000000000000ac7012"))
}

func newKey(t *testing.T) deploy.Signer {
	t.Helper()
	key, err := crypto.GenerateKey()
	require.NoError(t, err)
	return deploy.KeySigner(key)
}

func ether(n int64) *big.Int { return new(big.Int).Mul(big.NewInt(n), big.NewInt(1e18)) }

func (l *l1) mine(n int) { require.NoError(l.t, l.chain.Mine(l.t.Context(), n)) }

// send broadcasts a transaction of the user with the next nonce.
func (l *l1) send(to *common.Address, data []byte, tip int64) common.Hash {
	l.t.Helper()
	hash := l.sendAs(l.nonce, to, data, tip)
	l.nonce++
	return hash
}

func (l *l1) sendAs(nonce uint64, to *common.Address, data []byte, tip int64) common.Hash {
	l.t.Helper()
	gwei := big.NewInt(1_000_000_000)
	tx, err := l.user.SignTx(types.NewTx(&types.DynamicFeeTx{
		ChainID: big.NewInt(l1ID), Nonce: nonce, To: to, Data: data, Gas: 4_000_000,
		GasTipCap: new(big.Int).Mul(big.NewInt(tip), gwei), GasFeeCap: new(big.Int).Mul(big.NewInt(20*tip), gwei),
	}), big.NewInt(l1ID))
	require.NoError(l.t, err)
	require.NoError(l.t, l.client.SendTransaction(l.t.Context(), tx))
	return tx.Hash()
}

// deposit broadcasts a deposit; replacing gives one of the same nonce.
func (l *l1) deposit(amount int64, replacing bool) common.Hash {
	l.t.Helper()
	to := common.BigToAddress(big.NewInt(0xaaaa0000 + amount))
	to[0] = 0xaa
	data := bindings.NewFltSender().PackDeposit(to, ether(amount))
	if replacing {
		return l.sendAs(l.nonce-1, &l.sender, data, 3)
	}
	return l.send(&l.sender, data, 1)
}

// TestADepositThatComesBackChangedIsTheChangedOne reorganizes Ethereum under a
// deposit, 1 to 64 blocks deep; another transaction has its nonce afterwards. The
// watcher journals that one, once, and its leg has the message id that it has now.
func TestADepositThatComesBackChangedIsTheChangedOne(t *testing.T) {
	l := newL1(t)
	log := slog.New(slog.DiscardHandler)
	dial := func() *evm.Client {
		c, err := evm.Dial(t.Context(), evm.Config{Name: flow.Ethereum, URL: l.chain.HTTP(), ChainID: l1ID, CheckHeaders: true, MaxAhead: -1}, log)
		require.NoError(t, err)
		t.Cleanup(c.Close)
		return c
	}
	source, err := ethereum.New(dial(), dial())
	require.NoError(t, err)
	gateway, err := axelar.Probe(t.Context(), newest{l.client}, l1ID, l.set.Gateway)
	require.NoError(t, err)
	c := flow.Crossing{
		L1: l1ID, L1Name: "Ethereum", RootName: "filecoin", L1Gateway: gateway, RootGateway: axelar.NewLegacy(rootID, common.Address{1}, common.Address{2}),
		Hub:     axelar.Hub{Address: hubName, Services: map[string]common.Address{"Ethereum": l.set.Service, "filecoin": {3}}},
		TokenID: l.token.ID, Sender: l.sender, Handler: handler, Portal: common.Address{4},
	}
	sub := flow.Subnet{Name: "subnet", RootID: rootID, ID: 7, IPC: subnetID(), Actor: subnetID().Actor(), FLTHandler: handler}
	flows := []flow.Flow{flow.LegIn(sub, c, flow.LegDeps{}), flow.FLTL1Deposit(sub, c, flow.CrossDeps{})}

	db, err := store.Open(t.Context(), store.Options{URL: storetest.StartRedis(t).URL(), Namespace: "reorg"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	filter := gateway.Filter()
	filter.Addresses, filter.Topics = append(filter.Addresses, l.sender), append(filter.Topics, flow.CrossL1Topics()...)
	w, err := watch.New(watch.Config{
		Chain: flow.Ethereum, Source: source, Filter: filter, Flows: flows, Start: chains.Cursor{Chain: l1ID, Next: 1},
		Journal: db, Tick: 20 * time.Millisecond, Log: log,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- w.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-ran) })

	all := func() (out []store.Job) {
		jobs, _, err := db.List(t.Context(), store.Filter{Limit: 100, Hidden: true})
		require.NoError(t, err)
		return jobs
	}
	for i, depth := range []int64{1, 7, 32, 64} {
		t.Run(fmt.Sprintf("depth %d", depth), func(t *testing.T) {
			before := len(all())
			require.Equal(t, 2*i, before)
			gone := l.deposit(2*depth+1, false)
			l.mine(int(depth))
			require.Len(t, all(), before, "not final")
			require.NoError(t, l.chain.Reorg(t.Context(), uint64(depth)))
			require.Eventually(t, func() bool {
				_, waits, err := l.client.TransactionByHash(t.Context(), gone)
				return err == nil && waits
			}, 10*time.Second, 10*time.Millisecond, "it is back in the pool")
			changed := l.deposit(2*depth+2, true) // and out of it again
			l.mine(finality + 3)
			require.Eventually(t, func() bool { return len(all()) == before+2 }, 20*time.Second, 20*time.Millisecond)
			for _, j := range all()[:2] { // newest first
				require.Equal(t, changed, j.Transfer.Origin.Tx)
				require.NotEqual(t, gone, j.Transfer.Origin.Tx)
				if j.Transfer.Route == "flt_l1_deposit" {
					require.Equal(t, ether(2*depth+2).String(), j.Transfer.Amount.String())
					continue
				}
				id := axelar.HubMessageID("Ethereum", axelar.MessageID{Tx: changed, Index: j.Transfer.Nonce})
				require.Equal(t, axelar.LegacyCommandID(id.String(), rootID), j.Transfer.Ref)
			}
		})
	}
	require.Len(t, all(), 8)
}

// newest asks a chain at its newest block.
type newest struct{ *ethclient.Client }

// CallContract implements axelar.Caller.
func (n newest) CallContract(ctx context.Context, to common.Address, data []byte) ([]byte, error) {
	return n.Client.CallContract(ctx, callMsg(to, data), nil)
}

func callMsg(to common.Address, data []byte) geth.CallMsg { return geth.CallMsg{To: &to, Data: data} }
