package deploy

import (
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// CrossParams of the contracts that carry FLT between Ethereum and a subnet.
type CrossParams struct {
	Artifacts *Artifacts
	L1, Root  AxelarSet
	// Signers approve for both gateways, see Crossing.
	Signers []SignerSet
	// TokenID, L1Flt and L1Manager are what RegisterCanonical returned.
	TokenID          common.Hash
	L1Flt, L1Manager common.Address
	// RootSet was deployed with the interchain token as its FLT.
	RootSet RootSet
	// Settings bound what crosses as they bound it on the root and in the subnet.
	Settings Settings
}

// crossing is what is known before our contracts stand.
func (p CrossParams) crossing() Crossing {
	return Crossing{
		L1: p.L1, Root: p.Root, Signers: p.Signers, TokenID: p.TokenID, L1Flt: p.L1Flt, L1Manager: p.L1Manager,
		Portal: PortalAddress,
	}
}

// Check joins every complaint.
func (p CrossParams) Check() error {
	errs := []error{p.crossing().checkAxelar(), p.Settings.Check(), p.Settings.checkCrossing()}
	must := func(ok bool, complaint string) {
		if !ok {
			errs = append(errs, errors.New(complaint))
		}
	}
	none := common.Address{}
	must(p.Artifacts != nil, "no artifacts")
	must(p.RootSet.ChainID == p.Root.ChainID, "the subnet has another root than Axelar's contracts")
	must(p.RootSet.Actor != none && p.RootSet.Gateway != none, "no subnet actor or no gateway on the root")
	return errors.Join(errs...)
}

// ErrNoToken says that a token service does not know FLT at its final block: on
// L1 it must be registered, and what that asks of the root be approved and
// executed there.
var ErrNoToken = errors.New("the token service has no such token yet")

const (
	crossCreate3  = "flt/create3"
	crossSender   = "flt/sender"
	crossExecutor = "flt/executor"
	crossHandler  = "flt/handler"
)

// Cross deploys FltSender on L1, FltHandler on the root and an Executor on both, where
// contracts are to call each other also GmpPort and GmpRouter, and returns the
// crossing once all are final and say what they should. Each is built with the
// other's address; the handler's is one that no nonce has a part in, so the two
// find each other whatever either account sends meanwhile.
func Cross(ctx context.Context, rootEnv, l1Env Env, deployer, l1Deployer Signer, p CrossParams) (Crossing, error) {
	if err := p.Check(); err != nil {
		return Crossing{}, fmt.Errorf("crossing: %w", err)
	}
	root, err := p.open(ctx, rootEnv, deployer, p.Root)
	if err != nil {
		return Crossing{}, err
	}
	defer root.j.close()
	l1, err := p.open(ctx, l1Env, l1Deployer, p.L1)
	if err != nil {
		return Crossing{}, err
	}
	defer l1.j.close()

	if err := checkTokens(root, l1, p); err != nil {
		return Crossing{}, err
	}
	c, err := deployCrossing(root, l1, p)
	if err != nil {
		return Crossing{}, err
	}
	if err := root.j.settle(ctx); err != nil {
		return Crossing{}, fmt.Errorf("wait until the handler is final on %s: %w", p.Root.Chain, err)
	}
	if err := l1.j.settle(ctx); err != nil {
		return Crossing{}, fmt.Errorf("wait until the sender is final on %s: %w", p.L1.Chain, err)
	}
	if err := checkCrossing(ctx, root.j.env.Backend, l1.j.env.Backend, crossed{c, p.RootSet, p.Settings}); err != nil {
		return Crossing{}, err
	}
	return c, nil
}

// open goes on with the deployment on one of the two chains.
func (p CrossParams) open(ctx context.Context, env Env, deployer Signer, set AxelarSet) (*axelar, error) {
	j, err := openJournal(ctx, env)
	if err != nil {
		return nil, fmt.Errorf("open deployment state of %s: %w", set.Chain, err)
	}
	if id := chains.ID(j.file.ChainID); id != set.ChainID {
		j.close()
		return nil, fmt.Errorf("%w: %s is chain %d, connected is chain %d", ErrWrongSet, set.Chain, set.ChainID, id)
	}
	return &axelar{ctx: ctx, j: j, deployer: deployer, p: AxelarParams{Artifacts: p.Artifacts}, made: map[string]common.Address{}}, nil
}

// checkTokens asks both services for FLT: it must be what was said.
func checkTokens(root, l1 *axelar, p CrossParams) error {
	token, _, err := root.token(p.Root, p.TokenID)
	if err != nil {
		return fmt.Errorf("FLT of %s: %w", p.Root.Chain, err)
	}
	if token != p.RootSet.Flt {
		return fmt.Errorf("%w: FLT of %s is %s, the subnet's is %s", ErrWrongSet, p.Root.Chain, token, p.RootSet.Flt)
	}
	token, manager, err := l1.token(p.L1, p.TokenID)
	if err != nil {
		return fmt.Errorf("FLT of %s: %w", p.L1.Chain, err)
	}
	if token != p.L1Flt || manager != p.L1Manager {
		return fmt.Errorf("%w: FLT of %s is %s, locked at %s", ErrWrongSet, p.L1.Chain, token, manager)
	}
	return nil
}

// token is what a service knows by an id, and what keeps it. It must be final: a
// reorg could put what is built on it in front of it.
func (a *axelar) token(set AxelarSet, id common.Hash) (token, manager common.Address, err error) {
	b := a.j.env.Backend
	manager, err = view[common.Address](a.ctx, b, a.p.Artifacts, artService, set.Service, finalizedTag, "tokenManagerAddress", id)
	if err != nil {
		return token, manager, err
	}
	code, err := b.CodeAt(a.ctx, manager, finalizedTag)
	if err != nil {
		return token, manager, fmt.Errorf("read code of %s: %w", manager, err)
	}
	if len(code) == 0 {
		return token, manager, fmt.Errorf("%w: %s", ErrNoToken, id)
	}
	token, err = view[common.Address](a.ctx, b, a.p.Artifacts, artService, set.Service, finalizedTag, "registeredTokenAddress", id)
	return token, manager, err
}

// deployCrossing sends what is missing.
func deployCrossing(root, l1 *axelar, p CrossParams) (Crossing, error) {
	c := p.crossing()
	create3, err := root.create3(p.Root)
	if err != nil {
		return c, err
	}
	subnet := p.RootSet.Subnet()
	key := subnet.Hash()
	salt := crypto.Keccak256Hash([]byte("causeway/flt-handler"), key[:], p.TokenID[:])
	if c.Handler, err = root.predicted(create3, salt); err != nil {
		return c, err
	}
	// Where one stands it knows a sender already, and there is no second address.
	code, err := root.j.env.Backend.CodeAt(root.ctx, c.Handler, nil)
	if err != nil {
		return c, fmt.Errorf("read code of %s: %w", c.Handler, err)
	}
	if _, ours := root.j.find(crossHandler); len(code) > 0 && !ours {
		return c, fmt.Errorf("%w: this subnet has its handler, %s", ErrOtherState, c.Handler)
	}

	sender, err := creation(crossSender, l1.deployer, &bindings.FltSenderMetaData, bindings.FltSenderParams{
		Its: p.L1.Service, TokenId: p.TokenID, RootChain: p.Root.Chain, Handler: c.Handler,
		Subnet: bindings.SubnetID(subnet), Min: p.Settings.FltFundMin.Int(), Max: p.Settings.FltFundMax.Int(),
	})
	if err != nil {
		return c, err
	}
	executor, err := creation(crossExecutor, l1.deployer, &bindings.ExecutorMetaData)
	if err != nil {
		return c, err
	}
	receipts, err := l1.j.send(l1.ctx, sender, executor)
	if err != nil {
		return c, fmt.Errorf("deploy the sender and the executor on %s: %w", p.L1.Chain, err)
	}
	c.Sender, c.L1Executor = receipts[0].ContractAddress, receipts[1].ContractAddress
	executor.from = root.deployer
	if receipts, err = root.j.send(root.ctx, executor); err != nil {
		return c, fmt.Errorf("deploy the executor on %s: %w", p.Root.Chain, err)
	}
	c.RootExecutor = receipts[0].ContractAddress
	crash.At("deploy.after_contract")

	handler, err := initCode(&bindings.FltHandlerMetaData, bindings.FltHandlerParams{
		Its: p.Root.Service, TokenId: p.TokenID, L1Chain: p.L1.Chain, L1ChainId: new(big.Int).SetUint64(uint64(p.L1.ChainID)),
		FltSender: c.Sender, Gateway: p.RootSet.Gateway, Subnet: bindings.SubnetID(subnet), Portal: PortalAddress,
	})
	if err != nil {
		return c, err
	}
	if err := root.place(crossHandler, create3, handler, salt); err != nil {
		return c, fmt.Errorf("deploy the handler on %s: %w", p.Root.Chain, err)
	}
	if !p.Settings.HasGmp() {
		return c, nil
	}
	return c, deployGmp(root, l1, p, create3, &c)
}

// create3 is the chain's, or one that is made where it has none.
func (a *axelar) create3(set AxelarSet) (common.Address, error) {
	if set.Create3 != (common.Address{}) {
		return set.Create3, nil
	}
	if err := a.create(publication{crossCreate3, artCreate3, nil}); err != nil {
		return common.Address{}, fmt.Errorf("deploy Create3: %w", err)
	}
	return a.made[crossCreate3], nil
}
