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

func sameInt(n *big.Int, want Units) bool { return n != nil && n.Cmp(want.Int()) == 0 }
