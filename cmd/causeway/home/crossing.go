package home

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"golang.org/x/sync/errgroup"
)

// CrossOptions of a bridge for development whose FLT comes from an Ethereum of
// its own: Axelar's contracts are deployed there and on the root, and approvals
// are signed by keys of this home.
type CrossOptions struct {
	L1URL      string
	L1Deployer deploy.Signer
	Generation string // of both gateways: deploy.GatewayLegacy or GatewayAmplifier
	Artifacts  string // folder of the published contracts; "" looks for it
	// Root is brought to the root through the token service, L1 is minted on
	// Ethereum: who gets how much FLT, wei.
	Root, L1 []Holding
}

// Holding is an amount of FLT, in wei, for somebody.
type Holding struct {
	To     common.Address
	Amount *big.Int
}

// The names of the two chains at Axelar, and its hub: those of production.
const (
	L1Name   = "Ethereum"
	RootName = "filecoin"
	hub      = "axelar1aqcj54lzz0rk22gvqgcn8fr5tx4rzwdv5wv5j9dmnacgefvd7wzsy2j2mr"
)

// Signers is how many approvers a home has, SignersNeeded how many of them must
// sign.
const (
	Signers       = 3
	SignersNeeded = 2
)

// SignerName is the name of an approver's key and configuration, from 1.
func SignerName(n int) string { return fmt.Sprintf("signer-%d", n) }

// crossing is FLT on its way to a root that has no subnet yet.
type crossing struct {
	o         CrossOptions
	artifacts *deploy.Artifacts
	l1, root  deploy.Env
	l1Set     deploy.AxelarSet
	rootSet   deploy.AxelarSet
	token     deploy.Canonical
	deployer  deploy.Signer // on the root
	keys      []*ecdsa.PrivateKey
	signers   deploy.SignerSet
	sets      []deploy.SignerSet // that the deployment names
	at        endpoint
}

// endpoint is how a relayer reads Ethereum, and from which block on.
type endpoint struct {
	url, urlFile string
	witnesses    []string
	from         uint64
}

// bring puts Axelar's contracts on both chains, registers FLT, and brings it to
// the root. It returns what the crossing is made of, and FLT on the root.
func (d Dir) bring(ctx context.Context, o DeployOptions, root deploy.Env, l1 *ethclient.Client) (*crossing, common.Address, error) {
	x := &crossing{o: *o.Crossing, root: root, deployer: o.Deployer}
	x.l1 = deploy.Env{Backend: l1, StateFile: d.path("deploy-state-ethereum.json"), Log: o.Log}
	var err error
	if x.artifacts, err = deploy.OpenArtifacts(x.o.Artifacts); err != nil {
		return nil, common.Address{}, err
	}
	for i := range Signers {
		key, err := d.Key(SignerName(i+1), o.Strength)
		if err != nil {
			return nil, common.Address{}, err
		}
		x.keys = append(x.keys, key)
		x.signers.Signers = append(x.signers.Signers, deploy.Weighted{Address: crypto.PubkeyToAddress(key.PublicKey), Weight: 1})
	}
	sortSigners(&x.signers)
	x.signers.Threshold = SignersNeeded
	x.sets = []deploy.SignerSet{x.signers}

	o.Step("deploying Axelar's contracts on Ethereum and on the root")
	group, both := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		x.l1Set, err = deploy.Axelar(both, x.l1, x.o.L1Deployer, x.params(L1Name, RootName))
		return err
	})
	group.Go(func() (err error) {
		x.rootSet, err = deploy.Axelar(both, x.root, x.deployer, x.params(RootName, L1Name))
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, common.Address{}, err
	}
	x.at = endpoint{url: x.o.L1URL, from: x.l1Set.StartBlock}
	o.Step("registering FLT at the token service")
	supply := new(big.Int)
	for _, h := range append(slices.Clone(x.o.Root), x.o.L1...) {
		supply.Add(supply, h.Amount)
	}
	flt, err := deploy.L1Token(ctx, x.l1, x.o.L1Deployer, supply)
	if err != nil {
		return nil, common.Address{}, err
	}
	if x.token, err = deploy.RegisterCanonical(ctx, x.l1, x.o.L1Deployer, x.artifacts, x.l1Set, x.rootSet, flt); err != nil {
		return nil, common.Address{}, err
	}
	if err := x.carry(ctx, l1, x.token.DeployTx); err != nil {
		return nil, common.Address{}, fmt.Errorf("make FLT on the root: %w", err)
	}
	o.Step("bringing FLT to the root")
	if err := x.bringFLT(ctx, l1); err != nil {
		return nil, common.Address{}, fmt.Errorf("bring FLT to the root: %w", err)
	}
	onRoot, err := deploy.InterchainToken(ctx, root.Backend, x.artifacts, x.rootSet, x.token.ID)
	return x, onRoot, err
}

func (x *crossing) params(name, other string) deploy.AxelarParams {
	return deploy.AxelarParams{
		Artifacts: x.artifacts, Gateway: x.o.Generation, Chain: name, Trusted: []string{other}, Hub: hub,
		Signers: x.signers.Signers, Threshold: x.signers.Threshold, Nonce: x.signers.Nonce,
		Domain: axelar.DomainSeparator(name, hub, "causeway-devnet"), Retention: 15,
	}
}

// bringFLT sends FLT to its holders: on Ethereum as it is, to the root through
// the token service.
func (x *crossing) bringFLT(ctx context.Context, l1 *ethclient.Client) error {
	token := bindings.NewDevFlt()
	first := []deploy.Step{{Name: "flt/allow", To: x.token.Token, Data: token.PackApprove(x.l1Set.Service, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1)))}}
	for _, h := range x.o.L1 {
		first = append(first, deploy.Step{Name: "flt/give/" + h.To.Hex(), To: x.token.Token, Data: token.PackTransfer(h.To, h.Amount)})
	}
	if _, err := deploy.Send(ctx, x.l1, x.o.L1Deployer, first...); err != nil {
		return err
	}
	service, err := axelar.ProbeService(ctx, viewer{x.l1.Backend}, x.l1Set.Service)
	if err != nil {
		return err
	}
	var sends []deploy.Step
	for _, h := range x.o.Root {
		data, err := service.TransferCalldata(axelar.Send{
			TokenID: x.token.ID, Chain: RootName, Destination: h.To.Bytes(), Amount: h.Amount, GasWei: new(big.Int),
		}, axelar.Target{})
		if err != nil {
			return err
		}
		sends = append(sends, deploy.Step{Name: "flt/bring/" + h.To.Hex(), To: x.l1Set.Service, Data: data})
	}
	receipts, err := deploy.Send(ctx, x.l1, x.o.L1Deployer, sends...)
	if err != nil {
		return err
	}
	var txs []common.Hash
	for _, r := range receipts {
		txs = append(txs, r.TxHash)
	}
	return x.carry(ctx, l1, txs...)
}

// viewer asks at the newest block.
type viewer struct{ deploy.Backend }

// CallContract implements axelar.Caller.
func (v viewer) CallContract(ctx context.Context, to common.Address, data []byte) ([]byte, error) {
	return v.Backend.CallContract(ctx, ethereum.CallMsg{To: &to, Data: data}, nil)
}

// carry has the root's gateway approve what final transactions on Ethereum sent
// through the token service, signed with this home's own keys, and executes it.
func (x *crossing) carry(ctx context.Context, l1 *ethclient.Client, txs ...common.Hash) error {
	gateway, err := axelar.Probe(ctx, viewer{x.root.Backend}, x.rootSet.ChainID, x.rootSet.Gateway)
	if err != nil {
		return err
	}
	service, err := axelar.ProbeService(ctx, viewer{x.root.Backend}, x.rootSet.Service)
	if err != nil {
		return err
	}
	source, err := axelar.Probe(ctx, viewer{x.l1.Backend}, x.l1Set.ChainID, x.l1Set.Gateway)
	if err != nil {
		return err
	}
	var command axelar.Command
	var executions []deploy.Step
	for _, tx := range txs {
		receipt, err := l1.TransactionReceipt(ctx, tx)
		if err != nil {
			return fmt.Errorf("read receipt %s: %w", tx, err)
		}
		_, routed, err := routedOf(source, x.l1Set, x.rootSet, receipt)
		if err != nil {
			return err
		}
		id := gateway.CommandID(routed.Message)
		data, err := service.ExecuteCalldata(id, routed.Message, routed.Payload)
		if err != nil {
			return err
		}
		command.Approve = append(command.Approve, routed.Message)
		executions = append(executions, deploy.Step{Name: "axelar/execute/" + id.Hex(), To: x.rootSet.Service, Data: data})
	}
	data, digest, err := x.approval(gateway, command)
	if err != nil {
		return err
	}
	if _, err := deploy.Send(ctx, x.root, x.deployer, deploy.Step{Name: "axelar/approve/" + digest.Hex(), To: x.rootSet.Gateway, Data: data}); err != nil {
		return err
	}
	_, err = deploy.Send(ctx, x.root, x.deployer, executions...)
	return err
}

// routedOf is the one message that a transaction on Ethereum sent through the token
// service: the id of the call, and what the hub makes of it.
func routedOf(source axelar.Gateway, l1, root deploy.AxelarSet, receipt *types.Receipt) (axelar.MessageID, axelar.Routed, error) {
	h := axelar.Hub{Address: root.Hub, Services: map[string]common.Address{l1.Chain: l1.Service, root.Chain: root.Service}}
	for i, l := range receipt.Logs {
		e := chains.Event{
			Chain: l1.ChainID, Block: l.BlockNumber, BlockHash: l.BlockHash, Tx: l.TxHash, Index: l.Index, Position: uint(i),
			Address: l.Address, Topics: l.Topics, Data: l.Data,
		}
		said, ok, err := source.Decode(e)
		if err != nil {
			return axelar.MessageID{}, axelar.Routed{}, err
		}
		if called, isCall := said.(axelar.Called); ok && isCall {
			id := axelar.MessageID{Tx: receipt.TxHash, Index: uint64(i)}
			routed, err := h.Route(l1.Chain, id, called)
			return id, routed, err
		}
	}
	return axelar.MessageID{}, axelar.Routed{}, fmt.Errorf("[BUG] transaction %s called no gateway", receipt.TxHash)
}

// approval signs a command with as many keys as are needed.
func (x *crossing) approval(gateway axelar.Gateway, c axelar.Command) ([]byte, common.Hash, error) {
	set := SignerSetOf(x.signers)
	digest, err := gateway.Digest(set, c)
	if err != nil {
		return nil, digest, err
	}
	var signatures [][]byte
	for _, key := range x.keys[:SignersNeeded] {
		signature, err := crypto.Sign(digest[:], key)
		if err != nil {
			return nil, digest, fmt.Errorf("sign: %w", err)
		}
		signature[64] += 27
		signatures = append(signatures, signature)
	}
	data, err := gateway.Calldata(set, c, signatures)
	return data, digest, err
}

// SignerSetOf is a deployment's signer set as gateways know it.
func SignerSetOf(s deploy.SignerSet) axelar.WeightedSigners {
	out := axelar.WeightedSigners{Threshold: new(big.Int).SetUint64(s.Threshold), Nonce: s.Nonce}
	for _, w := range s.Signers {
		out.Signers = append(out.Signers, axelar.WeightedSigner{Signer: w.Address, Weight: new(big.Int).SetUint64(w.Weight)})
	}
	return out
}

func sortSigners(s *deploy.SignerSet) {
	slices.SortFunc(s.Signers, func(a, b deploy.Weighted) int { return a.Address.Cmp(b.Address) })
}

// cross puts FLT's own contracts between Ethereum and a subnet's root.
func (x *crossing) cross(ctx context.Context, set deploy.RootSet, s deploy.Settings) (*deploy.Crossing, error) {
	c, err := deploy.Cross(ctx, x.root, x.l1, x.deployer, x.o.L1Deployer, deploy.CrossParams{
		Artifacts: x.artifacts, L1: x.l1Set, Root: x.rootSet, Signers: x.sets,
		TokenID: x.token.ID, L1Flt: x.token.Token, L1Manager: x.token.Manager, RootSet: set, Settings: s,
	})
	if err != nil {
		return nil, err
	}
	return &c, nil
}

// dialL1 connects to the Ethereum of a crossing.
func (o CrossOptions) dialL1(ctx context.Context) (*ethclient.Client, error) {
	client, err := ethclient.DialContext(ctx, o.L1URL)
	if err != nil {
		return nil, errors.New("connect to Ethereum: the URL is not usable")
	}
	return client, nil
}
