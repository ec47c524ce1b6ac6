package deploy_test

import (
	"context"
	"crypto/ecdsa"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"
)

const (
	l1ChainID = 900_001
	l1Name    = "Ethereum"
	rootName  = "filecoin"
)

// bridge is Ethereum beside a rig's root: Axelar's contracts on both, whose
// signers we are, and a hub of our own between them.
type bridge struct {
	*rig
	l1         *devchain.Chain
	l1Client   *ethclient.Client
	l1Key      *ecdsa.PrivateKey
	l1Deployer deploy.Signer
	carrier    *ecdsa.PrivateKey // approves and executes on both chains
	// l1Env and rootEnv recorded Axelar's contracts.
	l1Env, rootEnv deploy.Env
	sets           map[string]deploy.AxelarSet
	first          deploy.SignerSet
	token          deploy.Canonical
	rootFlt        common.Address
}

// newBridge has Axelar's contracts on both chains, and no FLT yet.
func newBridge(t *testing.T, generation string) *bridge {
	t.Helper()
	b := &bridge{rig: newRig(t, 2), carrier: key("carrier", t.Name()), l1Key: key("deployer of L1", t.Name()), sets: map[string]deploy.AxelarSet{}}
	b.l1Deployer = deploy.KeySigner(b.l1Key)
	b.l1, b.l1Client = startChain(t, l1ChainID, 2, map[common.Address]*big.Int{
		b.l1Deployer.Address(): ether(1000), crypto.PubkeyToAddress(b.carrier.PublicKey): ether(1000),
	})
	// The root's funders pay for the carrier there.
	b.transact(t, rootName, b.funders[0], crypto.PubkeyToAddress(b.carrier.PublicKey), ether(1000), nil)

	p := axelarParams(t, generation, l1Name, rootName)
	b.first = p.SignerSet()
	var err error
	b.l1Env, b.rootEnv = envOf(t, b.l1Client), b.env(t)
	b.sets[l1Name], err = deploy.Axelar(t.Context(), b.l1Env, b.l1Deployer, p)
	require.NoError(t, err)
	b.sets[rootName], err = deploy.Axelar(t.Context(), b.rootEnv, b.deployer, axelarParams(t, generation, rootName, l1Name))
	require.NoError(t, err)
	return b
}

func (b *bridge) at(chain string) *ethclient.Client {
	if chain == l1Name {
		return b.l1Client
	}
	return b.client
}

// reader is a chain as package axelar asks it.
type reader struct{ *ethclient.Client }

func (r reader) CallContract(ctx context.Context, to common.Address, data []byte) ([]byte, error) {
	return r.Client.CallContract(ctx, ethereum.CallMsg{To: &to, Data: data}, nil)
}

// transact sends one transaction and waits until it is mined.
func (b *bridge) transact(t *testing.T, chain string, from *ecdsa.PrivateKey, to common.Address, value *big.Int, data []byte) *types.Receipt {
	t.Helper()
	c, ctx, sender := b.at(chain), t.Context(), crypto.PubkeyToAddress(from.PublicKey)
	id, err := c.ChainID(ctx)
	require.NoError(t, err)
	nonce, err := c.PendingNonceAt(ctx, sender)
	require.NoError(t, err)
	gas, err := c.EstimateGas(ctx, ethereum.CallMsg{From: sender, To: &to, Value: value, Data: data})
	require.NoError(t, err)
	tx := types.MustSignNewTx(from, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: nonce, To: &to, Value: value, Data: data, Gas: gas + gas/3, GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e11),
	})
	require.NoError(t, c.SendTransaction(ctx, tx))
	return b.mined(t, chain, tx.Hash())
}

func (b *bridge) mined(t *testing.T, chain string, tx common.Hash) *types.Receipt {
	t.Helper()
	for {
		receipt, err := b.at(chain).TransactionReceipt(t.Context(), tx)
		if err == nil {
			require.EqualValues(t, types.ReceiptStatusSuccessful, receipt.Status)
			return receipt
		}
		if !strings.Contains(err.Error(), "indexing is in progress") { // of a node that has just begun
			require.ErrorIs(t, err, ethereum.NotFound)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// cross takes the one message in a transaction through the hub to the other
// chain, where it is approved by two of three and executed.
func (b *bridge) cross(t *testing.T, from string, tx common.Hash) *types.Receipt {
	t.Helper()
	route := axelar.Hub{Address: hub, Services: map[string]common.Address{l1Name: b.sets[l1Name].Service, rootName: b.sets[rootName].Service}}
	gateway, err := axelar.Probe(t.Context(), reader{b.at(from)}, b.sets[from].ChainID, b.sets[from].Gateway)
	require.NoError(t, err)
	receipt := b.mined(t, from, tx)
	for i, l := range receipt.Logs {
		event, ok, err := gateway.Decode(chains.Event{Chain: b.sets[from].ChainID, Tx: l.TxHash, Index: l.Index, Address: l.Address, Topics: l.Topics, Data: l.Data})
		require.NoError(t, err)
		called, isCall := event.(axelar.Called)
		if !ok || !isCall {
			continue
		}
		routed, err := route.Route(from, axelar.MessageID{Tx: l.TxHash, Index: uint64(i)}, called)
		require.NoError(t, err)
		return b.execute(t, routed)
	}
	t.Fatal("no message in the transaction")
	return nil
}

func (b *bridge) execute(t *testing.T, r axelar.Routed) *types.Receipt {
	t.Helper()
	set := b.sets[r.To]
	gateway, err := axelar.Probe(t.Context(), reader{b.at(r.To)}, set.ChainID, set.Gateway)
	require.NoError(t, err)
	signers := axelar.WeightedSigners{Threshold: new(big.Int).SetUint64(b.first.Threshold), Nonce: b.first.Nonce}
	for _, s := range b.first.Signers {
		signers.Signers = append(signers.Signers, axelar.WeightedSigner{Signer: s.Address, Weight: new(big.Int).SetUint64(s.Weight)})
	}
	standing, err := axelar.Ask(t.Context(), reader{b.at(r.To)}, gateway.Standing(signers))
	require.NoError(t, err)
	require.Equal(t, axelar.StandingLatest, standing, "the set that the deployment names signs")
	command := axelar.Command{Approve: []axelar.Message{r.Message}}
	digest, err := gateway.Digest(signers, command)
	require.NoError(t, err)
	var signatures [][]byte
	for _, name := range []string{"one", "two"} {
		sig, err := crypto.Sign(digest[:], key(name))
		require.NoError(t, err)
		sig[64] += 27
		signatures = append(signatures, sig)
	}
	data, err := gateway.Calldata(signers, command, signatures)
	require.NoError(t, err)
	b.transact(t, r.To, b.carrier, set.Gateway, nil, data)
	service, err := axelar.ProbeService(t.Context(), reader{b.at(r.To)}, set.Service)
	require.NoError(t, err)
	data, err = service.ExecuteCalldata(gateway.CommandID(r.Message), r.Message, r.Payload)
	require.NoError(t, err)
	return b.transact(t, r.To, b.carrier, set.Service, nil, data)
}

// flt makes FLT on L1 and the interchain token on the root. It may be called
// again after an error.
func (b *bridge) flt(ctx context.Context, t *testing.T, env deploy.Env) error {
	t.Helper()
	token, err := deploy.L1Token(ctx, env, b.l1Deployer, ether(1_000_000))
	if err != nil {
		return err
	}
	home, remote := b.sets[l1Name], b.sets[rootName]
	c, err := deploy.RegisterCanonical(ctx, env, b.l1Deployer, artifacts(t), home, remote, token)
	if err != nil {
		return err
	}
	if b.rootFlt == (common.Address{}) {
		b.cross(t, l1Name, c.DeployTx)
		b.token = c
		b.rootFlt, err = deploy.InterchainToken(t.Context(), b.client, artifacts(t), remote, c.ID)
		require.NoError(t, err)
	}
	require.Equal(t, b.token, c)
	return nil
}

// bring sends FLT from L1 to an account on the root.
func (b *bridge) bring(t *testing.T, to common.Address, amount *big.Int) {
	t.Helper()
	service, err := axelar.ProbeService(t.Context(), reader{b.l1Client}, b.sets[l1Name].Service)
	require.NoError(t, err)
	b.transact(t, l1Name, b.l1Key, b.token.Token, nil, bindings.NewDevFlt().PackApprove(service.Address, amount))
	data, err := service.TransferCalldata(axelar.Send{TokenID: b.token.ID, Chain: rootName, Destination: to.Bytes(), Amount: amount, GasWei: new(big.Int)},
		axelar.Target{})
	require.NoError(t, err)
	receipt := b.transact(t, l1Name, b.l1Key, service.Address, nil, data)
	b.cross(t, l1Name, receipt.TxHash)
}

func (b *bridge) params(t *testing.T, set deploy.RootSet) deploy.CrossParams {
	t.Helper()
	return deploy.CrossParams{
		Artifacts: artifacts(t), L1: b.sets[l1Name], Root: b.sets[rootName], Signers: []deploy.SignerSet{b.first},
		TokenID: b.token.ID, L1Flt: b.token.Token, L1Manager: b.token.Manager, RootSet: set, Settings: b.settings,
	}
}

// crossing deploys everything that Cross needs, and Cross.
func (b *bridge) crossing(ctx context.Context, t *testing.T, l1Env, rootEnv deploy.Env) (deploy.RootSet, deploy.Crossing, error) {
	t.Helper()
	if err := b.flt(ctx, t, l1Env); err != nil {
		return deploy.RootSet{}, deploy.Crossing{}, err
	}
	p := b.rootParams()
	p.Flt = b.rootFlt
	set, err := deploy.Root(ctx, rootEnv, b.deployer, p)
	if err != nil {
		return deploy.RootSet{}, deploy.Crossing{}, err
	}
	c, err := deploy.Cross(ctx, rootEnv, l1Env, b.deployer, b.l1Deployer, b.params(t, set))
	return set, c, err
}

// nonces of both deployers.
func (b *bridge) nonces(t *testing.T) (l1, root uint64) {
	t.Helper()
	l1, err := b.l1Client.PendingNonceAt(t.Context(), b.l1Deployer.Address())
	require.NoError(t, err)
	root, err = b.client.PendingNonceAt(t.Context(), b.deployer.Address())
	require.NoError(t, err)
	return l1, root
}
