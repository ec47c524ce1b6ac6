package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// The two generations of Axelar's gateway.
const (
	GatewayLegacy    = "legacy"
	GatewayAmplifier = "amplifier"
)

// hubLength is how long the published service wants the hub's address to be.
const hubLength = 65

// AxelarParams of one chain's Axelar contracts.
type AxelarParams struct {
	Artifacts *Artifacts
	Gateway   string   // GatewayLegacy or GatewayAmplifier
	Chain     string   // this chain's name at Axelar, case-sensitive
	Trusted   []string // names of the chains that the token service trusts
	Hub       string   // address of the hub, 65 bytes
	// Signers approve by at least Threshold of their weight.
	Signers   []Weighted
	Threshold uint64
	// Domain separates the signatures of chains and Nonce sets of the same signers,
	// at an Amplifier gateway.
	Domain, Nonce common.Hash
	// MinRotationDelay in seconds and Retention, in sets, of an Amplifier gateway.
	MinRotationDelay, Retention uint64
}

// Check joins every complaint.
func (p AxelarParams) Check() error {
	var errs []error
	must := func(ok bool, complaint string) {
		if !ok {
			errs = append(errs, errors.New(complaint))
		}
	}
	must(p.Artifacts != nil, "no artifacts")
	must(p.Gateway == GatewayLegacy || p.Gateway == GatewayAmplifier, "gateway is neither legacy nor amplifier")
	must(p.Chain != "" && !slices.Contains(p.Trusted, p.Chain), "chain has no name, or trusts itself")
	must(len(p.Hub) == hubLength, "hub address has not 65 bytes")
	return errors.Join(append(errs, p.SignerSet().Check())...)
}

// SignerSet is the first set of the gateway's signers, ascending by address, as
// both generations want them.
func (p AxelarParams) SignerSet() SignerSet {
	s := SignerSet{Signers: slices.Clone(p.Signers), Threshold: p.Threshold}
	if p.Gateway == GatewayAmplifier {
		s.Nonce = p.Nonce
	}
	slices.SortFunc(s.Signers, func(a, b Weighted) int { return a.Address.Cmp(b.Address) })
	return s
}

// axelar is a deployment in progress.
type axelar struct {
	ctx      context.Context
	j        *journal
	deployer Signer
	p        AxelarParams
	made     map[string]common.Address // by step
}

// Steps, each with its contract, in the order in which the constructors need
// each other (facts: token service and factory know each other, and every
// implementation knows the service, by an address that Create3 fixes before).
const (
	axCreate3       = "axelar/create3"
	axGatewayCode   = "axelar/gateway_code"
	axAuth          = "axelar/auth"
	axTokenDeployer = "axelar/token_deployer"
	axGasCode       = "axelar/gas_code"
	axGas           = "axelar/gas_service"
	axGasInit       = "axelar/gas_service_init"
	axManagerMaker  = "axelar/token_manager_deployer"
	axHandler       = "axelar/token_handler"
	axGateway       = "axelar/gateway"
	axOwner         = "axelar/auth_owner"
	axToken         = "axelar/interchain_token"
	axManager       = "axelar/token_manager"
	axTokenMaker    = "axelar/interchain_token_deployer"
	axServiceCode   = "axelar/token_service_code"
	axService       = "axelar/token_service"
	axFactoryCode   = "axelar/token_factory_code"
	axFactory       = "axelar/token_factory"
)

var (
	saltService = crypto.Keccak256Hash([]byte("causeway/interchain-token-service"))
	saltFactory = crypto.Keccak256Hash([]byte("causeway/interchain-token-factory"))
)

// Axelar deploys what is missing of a chain's Axelar contracts and returns them
// once all of it is final. The deployer owns and operates them: this is for
// development and tests, where nobody else has put them on the chain.
func Axelar(ctx context.Context, env Env, deployer Signer, p AxelarParams) (AxelarSet, error) {
	if err := p.Check(); err != nil {
		return AxelarSet{}, fmt.Errorf("axelar on %s: %w", p.Chain, err)
	}
	j, err := openJournal(ctx, env)
	if err != nil {
		return AxelarSet{}, fmt.Errorf("open deployment state: %w", err)
	}
	defer j.close()
	a := &axelar{ctx: ctx, j: j, deployer: deployer, p: p, made: map[string]common.Address{}}
	set, err := a.deploy()
	if err != nil {
		return AxelarSet{}, fmt.Errorf("axelar on %s: %w", p.Chain, err)
	}
	if err := j.settle(ctx); err != nil {
		return AxelarSet{}, fmt.Errorf("wait until the Axelar contracts are final: %w", err)
	}
	if err := a.check(set); err != nil {
		return AxelarSet{}, fmt.Errorf("axelar on %s: %w", p.Chain, err)
	}
	return set, nil
}

// creation is a step that creates a published contract.
type publication struct {
	step, file string
	args       []any
}

// create sends creations that do not depend on each other.
func (a *axelar) create(parts ...publication) error {
	calls := make([]call, len(parts))
	for i, p := range parts {
		art, err := a.p.Artifacts.read(p.file)
		if err != nil {
			return err
		}
		code, err := art.init(p.args...)
		if err != nil {
			return fmt.Errorf("%s: %w", p.step, err)
		}
		calls[i] = call{name: p.step, from: a.deployer, data: code}
	}
	receipts, err := a.j.send(a.ctx, calls...)
	if err != nil {
		return err
	}
	for i, r := range receipts {
		a.made[parts[i].step] = r.ContractAddress
	}
	crash.At("deploy.after_contract")
	return nil
}

// call sends one call of a published contract.
func (a *axelar) call(step, file string, to common.Address, method string, args ...any) error {
	art, err := a.p.Artifacts.read(file)
	if err != nil {
		return err
	}
	data, err := art.abi.Pack(method, args...)
	if err != nil {
		return fmt.Errorf("pack %s: %w", step, err)
	}
	_, err = a.j.send(a.ctx, call{name: step, from: a.deployer, to: &to, data: data})
	return err
}

// view reads one value of a published contract, at a block; nil is the head.
func view[T any](ctx context.Context, b Backend, artifacts *Artifacts, file string, to common.Address, at *big.Int, method string, args ...any) (T, error) {
	var zero T
	art, err := artifacts.read(file)
	if err != nil {
		return zero, err
	}
	data, err := art.abi.Pack(method, args...)
	if err != nil {
		return zero, fmt.Errorf("pack %s: %w", method, err)
	}
	return read(ctx, b, to, at, data, func(raw []byte) (T, error) {
		values, err := art.abi.Unpack(method, raw)
		if err != nil || len(values) != 1 {
			return zero, fmt.Errorf("unpack %s: %w", method, cmp.Or(err, errors.New("not one value")))
		}
		v, ok := values[0].(T)
		if !ok {
			return zero, fmt.Errorf("[BUG] %s answers with %T", method, values[0])
		}
		return v, nil
	})
}

// predicted is where Create3 puts what the deployer makes with a salt, whatever
// that is and whenever: nobody else can take the address.
func (a *axelar) predicted(create3 common.Address, salt common.Hash) (common.Address, error) {
	return view[common.Address](a.ctx, a.j.env.Backend, a.p.Artifacts, artCreate3, create3, nil, "deployedAddress", []byte{}, a.deployer.Address(), salt)
}

func (a *axelar) deploy() (AxelarSet, error) {
	set := AxelarSet{
		Generation: a.p.Gateway, Chain: a.p.Chain, Hub: a.p.Hub,
		ChainID: chains.ID(a.j.file.ChainID), StartBlock: a.j.file.StartBlock,
	}
	first := []publication{
		{axCreate3, artCreate3, nil}, {axGasCode, artGas, []any{a.deployer.Address()}}, {axGas, artGasFace, nil},
		{axManagerMaker, artManagerMaker, nil}, {axHandler, artHandler, nil},
	}
	gateway, err := a.gatewayParts()
	if err != nil {
		return set, err
	}
	if err := a.create(append(first, gateway...)...); err != nil {
		return set, err
	}
	set.Create3, set.GasService = a.made[axCreate3], a.made[axGas]
	if set.Service, err = a.predicted(set.Create3, saltService); err != nil {
		return set, err
	}
	if set.Factory, err = a.predicted(set.Create3, saltFactory); err != nil {
		return set, err
	}
	if set.Gateway, err = a.gateway(); err != nil {
		return set, err
	}
	if err := a.call(axGasInit, artGasFace, set.GasService, "init", a.made[axGasCode], a.deployer.Address(), []byte{}); err != nil {
		return set, err
	}
	if err := a.create(publication{axToken, artToken, []any{set.Service}}, publication{axManager, artManager, []any{set.Service}}); err != nil {
		return set, err
	}
	if err := a.create(publication{axTokenMaker, artTokenMaker, []any{a.made[axToken]}}); err != nil {
		return set, err
	}
	if err := a.create(publication{axServiceCode, artService, []any{
		a.made[axManagerMaker], a.made[axTokenMaker], set.Gateway, set.GasService, set.Factory, a.p.Chain, a.p.Hub, a.made[axManager], a.made[axHandler],
	}}); err != nil {
		return set, err
	}
	setup, err := packed([]string{"address", "string", "string[]"}, a.deployer.Address(), a.p.Chain, a.p.Trusted)
	if err != nil {
		return set, err
	}
	if err := a.face(axService, set.Create3, a.made[axServiceCode], setup, saltService); err != nil {
		return set, err
	}
	// The factory reads the service's chain name when it is made.
	if err := a.create(publication{axFactoryCode, artFactory, []any{set.Service}}); err != nil {
		return set, err
	}
	return set, a.face(axFactory, set.Create3, a.made[axFactoryCode], []byte{}, saltFactory)
}

// face puts a proxy at the address that Create3 gives to a salt.
func (a *axelar) face(step string, create3, code common.Address, setup []byte, salt common.Hash) error {
	art, err := a.p.Artifacts.read(artFace)
	if err != nil {
		return err
	}
	init, err := art.init(code, a.deployer.Address(), setup)
	if err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	return a.place(step, create3, init, salt)
}

// place makes a contract at the address that Create3 gives to a salt.
func (a *axelar) place(step string, create3 common.Address, init []byte, salt common.Hash) error {
	if err := a.call(step, artCreate3, create3, "deploy", init, salt); err != nil {
		return err
	}
	crash.At("deploy.after_contract")
	return nil
}

// gatewayParts is what the gateway's proxy needs to stand first.
func (a *axelar) gatewayParts() ([]publication, error) {
	if a.p.Gateway == GatewayAmplifier {
		return []publication{{axGatewayCode, artAmplifier, []any{
			new(big.Int).SetUint64(a.p.Retention), a.p.Domain, new(big.Int).SetUint64(a.p.MinRotationDelay),
		}}}, nil
	}
	operators, err := a.p.operators()
	if err != nil {
		return nil, err
	}
	return []publication{{axAuth, artAuth, []any{[][]byte{operators}}}, {axTokenDeployer, artTokenDeployer, nil}}, nil
}

// operators is the signer set as the legacy gateway knows it.
func (p AxelarParams) operators() ([]byte, error) {
	var addresses []common.Address
	var weights []*big.Int
	for _, s := range p.SignerSet().Signers {
		addresses, weights = append(addresses, s.Address), append(weights, new(big.Int).SetUint64(s.Weight))
	}
	return packed([]string{"address[]", "uint256[]", "uint256"}, addresses, weights, new(big.Int).SetUint64(p.Threshold))
}

// gateway puts the gateway's proxy on the chain. On a legacy one the signers'
// module goes over to it: only the gateway itself may change the signers then.
func (a *axelar) gateway() (common.Address, error) {
	owner := a.deployer.Address()
	if a.p.Gateway == GatewayAmplifier {
		setup, err := a.amplifierSetup()
		if err != nil {
			return common.Address{}, err
		}
		err = a.create(publication{axGateway, artAmplifierFace, []any{a.made[axGatewayCode], owner, setup}})
		return a.made[axGateway], err
	}
	if err := a.create(publication{axGatewayCode, artLegacy, []any{a.made[axAuth], a.made[axTokenDeployer]}}); err != nil {
		return common.Address{}, err
	}
	setup, err := packed([]string{"address", "address", "bytes"}, owner, owner, []byte{})
	if err != nil {
		return common.Address{}, err
	}
	if err := a.create(publication{axGateway, artLegacyFace, []any{a.made[axGatewayCode], setup}}); err != nil {
		return common.Address{}, err
	}
	return a.made[axGateway], a.call(axOwner, artAuth, a.made[axAuth], "transferOwnership", a.made[axGateway])
}

// amplifierSetup is abi.encode(operator, WeightedSigners[]).
func (a *axelar) amplifierSetup() ([]byte, error) {
	type signer struct {
		Signer common.Address
		Weight *big.Int
	}
	type set struct {
		Signers   []signer
		Threshold *big.Int
		Nonce     [32]byte
	}
	sets, err := abi.NewType("tuple[]", "", []abi.ArgumentMarshaling{
		{Name: "signers", Type: "tuple[]", Components: []abi.ArgumentMarshaling{{Name: "signer", Type: "address"}, {Name: "weight", Type: "uint128"}}},
		{Name: "threshold", Type: "uint128"}, {Name: "nonce", Type: "bytes32"},
	})
	if err != nil {
		return nil, fmt.Errorf("[BUG] %w", err)
	}
	address, err := abi.NewType("address", "", nil)
	if err != nil {
		return nil, fmt.Errorf("[BUG] %w", err)
	}
	s := set{Threshold: new(big.Int).SetUint64(a.p.Threshold), Nonce: a.p.Nonce}
	for _, w := range a.p.SignerSet().Signers {
		s.Signers = append(s.Signers, signer{w.Address, new(big.Int).SetUint64(w.Weight)})
	}
	return abi.Arguments{{Type: address}, {Type: sets}}.Pack(a.deployer.Address(), []set{s})
}

// packed is abi.encode of simple types.
func packed(types []string, values ...any) ([]byte, error) {
	var args abi.Arguments
	for _, t := range types {
		parsed, err := abi.NewType(t, "", nil)
		if err != nil {
			return nil, fmt.Errorf("[BUG] %w", err)
		}
		args = append(args, abi.Argument{Type: parsed})
	}
	return args.Pack(values...)
}

// check reads the finished contracts back at the final block.
func (a *axelar) check(set AxelarSet) error {
	b, art := a.j.env.Backend, a.p.Artifacts
	hub, err := view[string](a.ctx, b, art, artService, set.Service, finalizedTag, "itsHubAddress")
	if err != nil {
		return err
	}
	gateway, err := view[common.Address](a.ctx, b, art, artService, set.Service, finalizedTag, "gateway")
	if err != nil {
		return err
	}
	service, err := view[common.Address](a.ctx, b, art, artFactory, set.Factory, finalizedTag, "interchainTokenService")
	if err != nil {
		return err
	}
	if hub != a.p.Hub || gateway != set.Gateway || service != set.Service {
		return fmt.Errorf("%w: token service with hub %s and gateway %s, factory of %s", ErrWrongSet, hub, gateway, service)
	}
	for _, chain := range a.p.Trusted {
		trusted, err := view[bool](a.ctx, b, art, artService, set.Service, finalizedTag, "isTrustedChain", chain)
		if err != nil {
			return err
		}
		if !trusted {
			return fmt.Errorf("%w: %s is not trusted", ErrWrongSet, chain)
		}
	}
	return nil
}
