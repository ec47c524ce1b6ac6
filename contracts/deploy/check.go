package deploy

import (
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
)

// read calls a view and unpacks its answer.
func read[T any](ctx context.Context, b Backend, to common.Address, at *big.Int, data []byte, unpack func([]byte) (T, error)) (T, error) {
	raw, err := b.CallContract(ctx, ethereum.CallMsg{To: &to, Data: data}, at)
	if err != nil {
		var zero T
		return zero, fmt.Errorf("call %s: %w", to, err)
	}
	if len(raw) == 0 {
		var zero T
		return zero, fmt.Errorf("call %s: no answer", to)
	}
	return unpack(raw)
}

// checkRoot reads the finished set back at the final block and joins every
// complaint.
func checkRoot(ctx context.Context, b Backend, set RootSet, s Settings) error {
	var errs []error
	c := checker{ctx: ctx, b: b, errs: &errs}
	for name, addr := range set.contracts() {
		code, err := b.CodeAt(ctx, addr, finalizedTag)
		c.note(err)
		c.must(err != nil || len(code) > 0, "%s: no code at %s", name, addr)
	}
	c.gateway(set, s)
	c.actor(set, s)
	c.linked(set, s)
	if len(errs) > 0 {
		return fmt.Errorf("%w: %w", ErrWrongSet, errors.Join(errs...))
	}
	return nil
}

type checker struct {
	ctx  context.Context
	b    Backend
	errs *[]error
}

func (c checker) note(err error) {
	if err != nil {
		*c.errs = append(*c.errs, err)
	}
}

func (c checker) must(ok bool, format string, args ...any) {
	if !ok {
		*c.errs = append(*c.errs, fmt.Errorf(format, args...))
	}
}

// ask reads a view at the final block; a failed read is a complaint and the
// zero answer.
func ask[T any](c checker, to common.Address, data []byte, unpack func([]byte) (T, error)) T {
	v, err := read(c.ctx, c.b, to, finalizedTag, data, unpack)
	c.note(err)
	return v
}

func (c checker) gateway(set RootSet, s Settings) {
	g := bindings.NewGateway()
	name := ask(c, set.Gateway, g.PackGetNetworkName(), g.UnpackGetNetworkName)
	c.must(ipc.SubnetID(name).Equal(set.Network()), "gateway serves network %v", name)
	gas := ask(c, set.Gateway, g.PackMessageGas(), g.UnpackMessageGas)
	c.must(gas != nil && gas.IsUint64() && gas.Uint64() == s.RootMessageGas, "gateway message gas is %s", gas)
	limits := ask(c, set.Gateway, g.PackFundLimits(), g.UnpackFundLimits)
	c.must(sameInt(limits.Min, s.FltFundMin) && sameInt(limits.Max, s.FltFundMax), "gateway limits are %s to %s", limits.Min, limits.Max)
}

func (c checker) actor(set RootSet, s Settings) {
	a := bindings.NewSubnetActor()
	c.must(ask(c, set.Actor, a.PackIpcGatewayAddr(), a.UnpackIpcGatewayAddr) == set.Gateway, "actor has another gateway")
	c.must(ask(c, set.Actor, a.PackMajorityPercentage(), a.UnpackMajorityPercentage) >= minMajority, "actor majority is below 67")
	c.must(ask(c, set.Actor, a.PackActiveValidatorsLimit(), a.UnpackActiveValidatorsLimit) == s.ActiveLimit, "actor has another active limit")
	c.must(ask(c, set.Actor, a.PackMinValidators(), a.UnpackMinValidators) == s.MinValidators, "actor has other minimal validators")
	minimum := ask(c, set.Actor, a.PackMinActivationCollateral(), a.UnpackMinActivationCollateral)
	c.must(sameInt(minimum, s.MinActivationCollateral), "actor minimal collateral is %s", minimum)
	period := ask(c, set.Actor, a.PackBottomUpCheckPeriod(), a.UnpackBottomUpCheckPeriod)
	c.must(period != nil && period.IsUint64() && period.Uint64() == s.CheckPeriod, "actor checkpoint period is %s", period)
	c.must(ask(c, set.Actor, a.PackPowerScale(), a.UnpackPowerScale) == s.PowerScale, "actor has another power scale")
	supply := ask(c, set.Actor, a.PackSupplySource(), a.UnpackSupplySource)
	c.must(supply.Kind == assetERC20 && supply.TokenAddress == set.Flt, "actor supply is not FLT")
	parent := ask(c, set.Actor, a.PackGetParent(), a.UnpackGetParent)
	c.must(ipc.SubnetID(parent).Equal(set.Network()), "actor parent is %v", parent)
}

func (c checker) linked(set RootSet, s Settings) {
	l := bindings.NewLinkedTokenController()
	c.must(ask(c, set.Controller, l.PackUnderlying(), l.UnpackUnderlying) == set.Usdc, "escrow holds another token")
	limits := ask(c, set.Controller, l.PackDepositLimits(), l.UnpackDepositLimits)
	c.must(sameInt(limits.Min, s.UsdcDepositMin) && sameInt(limits.Max, s.UsdcDepositMax), "escrow limits are %s to %s", limits.Min, limits.Max)
}

// crossed is a crossing with what it was built for.
type crossed struct {
	Crossing
	set      RootSet
	settings Settings
}

// checkCrossing reads our contracts back at the final blocks and joins every
// complaint.
func checkCrossing(ctx context.Context, root, l1 Backend, c crossed) error {
	var errs []error
	onL1, onRoot := checker{ctx: ctx, b: l1, errs: &errs}, checker{ctx: ctx, b: root, errs: &errs}
	onL1.sender(c)
	onL1.executor(c.L1Executor)
	onRoot.handler(c)
	onRoot.executor(c.RootExecutor)
	checkGmp(onRoot, onL1, c)
	if len(errs) > 0 {
		return fmt.Errorf("%w: %w", ErrWrongSet, errors.Join(errs...))
	}
	return nil
}

func (c checker) sender(x crossed) {
	s := bindings.NewFltSender()
	service := ask(c, x.Sender, s.PackService(), s.UnpackService)
	c.must(service.Its == x.L1.Service && service.TokenId == x.TokenID && service.Flt == x.L1Flt,
		"sender serves %s of %s as %x", service.Flt, service.Its, service.TokenId)
	to := ask(c, x.Sender, s.PackDestination(), s.UnpackDestination)
	c.must(to.Chain == x.Root.Chain && to.Handler == x.Handler && to.SubnetKey == x.set.Subnet().Hash(),
		"sender sends to %s on %q", to.Handler, to.Chain)
	limits := ask(c, x.Sender, s.PackLimits(), s.UnpackLimits)
	c.must(sameInt(limits.Min, x.settings.FltFundMin) && sameInt(limits.Max, x.settings.FltFundMax),
		"sender limits are %s to %s", limits.Min, limits.Max)
}

func (c checker) handler(x crossed) {
	h := bindings.NewFltHandler()
	service := ask(c, x.Handler, h.PackService(), h.UnpackService)
	c.must(service.Its == x.Root.Service && service.TokenId == x.TokenID && service.Flt == x.set.Flt,
		"handler serves %s of %s as %x", service.Flt, service.Its, service.TokenId)
	from := ask(c, x.Handler, h.PackSource(), h.UnpackSource)
	c.must(from.Chain == x.L1.Chain && from.ChainId != nil && from.ChainId.Cmp(new(big.Int).SetUint64(uint64(x.L1.ChainID))) == 0 && from.FltSender == x.Sender,
		"handler hears %s on %q, chain %s", from.FltSender, from.Chain, from.ChainId)
	c.must(ask(c, x.Handler, h.PackSubnetKey(), h.UnpackSubnetKey) == x.set.Subnet().Hash(), "handler serves another subnet")
	c.must(ask(c, x.Handler, h.PackGateway(), h.UnpackGateway) == x.set.Gateway, "handler has another gateway")
	peer := ask(c, x.Handler, h.PackPeerAddress(), h.UnpackPeerAddress)
	at, err := ipc.FvmAddress(peer.RawAddress).EVM()
	c.must(err == nil && at == x.Portal && ipc.SubnetID(peer.SubnetId).Equal(x.set.Subnet()), "handler has another portal")
	out := ask(c, x.Handler, h.PackOutbound(), h.UnpackOutbound)
	c.must(out.Trusted, "the token service of %s does not trust %s", x.Root.Chain, x.L1.Chain)
}

// executor is there; it has no state to ask for.
func (c checker) executor(at common.Address) {
	code, err := c.b.CodeAt(c.ctx, at, finalizedTag)
	c.note(err)
	c.must(err != nil || len(code) > 0, "no executor at %s", at)
}

func sameInt(n *big.Int, want Units) bool { return n != nil && n.Cmp(want.Int()) == 0 }
