package wallet

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// Bridge is a user with an account on each side.
type Bridge struct {
	Dep    deploy.Deployment
	Root   *Account
	Subnet *Account
	L1     *Account // nil where FLT does not cross from Ethereum, or is not asked for
}

// Close ends every connection.
func (b *Bridge) Close() {
	for _, a := range []*Account{b.Root, b.Subnet, b.L1} {
		if a != nil {
			a.Close()
		}
	}
}

// L1Of is the Ethereum of a deployment with a crossing.
func L1Of(d deploy.Deployment, url string) Chain {
	return Chain{Name: "ethereum", URL: url, ID: d.Crossing.L1.ChainID}
}

// RootOf is the root of a deployment.
func RootOf(d deploy.Deployment, url string) Chain {
	return Chain{Name: "root", URL: url, ID: d.Root.ChainID, Genesis: d.Root.GenesisHash}
}

// SubnetOf is the subnet of a deployment.
func SubnetOf(d deploy.Deployment, url string) Chain {
	return Chain{Name: "subnet", URL: url, ID: d.Subnet.ChainID, Genesis: d.Subnet.GenesisHash}
}

var (
	gatewayABI    = bindings.NewGateway()
	controllerABI = bindings.NewLinkedTokenController()
	outboxABI     = bindings.NewWithdrawalOutbox()
	fastABI       = bindings.NewFastWithdrawals()
	subnetABI     = bindings.NewSubnetGateway()
	usdcABI       = bindings.NewDevUsdc()
	senderABI     = bindings.NewFltSender()
	portalABI     = bindings.NewFltPortal()
)

// maxUint256 is an allowance that is never used up.
var maxUint256 = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))

// Approve lets the bridge take a token, once; it does nothing where the
// allowance is enough.
func (b *Bridge) Approve(ctx context.Context, asset tokens.Asset, amount *big.Int) error {
	token, spender := b.Dep.Root.Usdc, b.Dep.Root.Controller
	if asset == tokens.FLT {
		token, spender = b.Dep.Root.Flt, b.Dep.Root.Gateway
	}
	return b.allow(ctx, b.Root, token, spender, amount)
}

func (b *Bridge) allow(ctx context.Context, a *Account, token, spender common.Address, amount *big.Int) error {
	raw, err := b.call(ctx, a, token, usdcABI.PackAllowance(a.Address, spender))
	if err != nil {
		return fmt.Errorf("read allowance: %w", err)
	}
	if new(big.Int).SetBytes(raw).Cmp(amount) >= 0 {
		return nil
	}
	tx, err := a.Send(ctx, token, usdcABI.PackApprove(spender, maxUint256), nil)
	if err != nil {
		return fmt.Errorf("approve: %w", err)
	}
	_, err = a.Wait(ctx, tx)
	return err
}

// Deposit sends root → subnet and returns the transaction.
func (b *Bridge) Deposit(ctx context.Context, asset tokens.Asset, recipient common.Address, amount *big.Int) (common.Hash, error) {
	if amount.Sign() <= 0 {
		return common.Hash{}, errors.New("amount must be more than 0")
	}
	if err := b.enough(ctx, asset, amount); err != nil {
		return common.Hash{}, err
	}
	if err := b.Approve(ctx, asset, amount); err != nil {
		return common.Hash{}, err
	}
	if asset == tokens.FLT {
		id := b.Dep.Root.Subnet()
		to := ipc.FromEVM(recipient)
		data := gatewayABI.PackFundWithToken(bindings.SubnetID{Root: id.Root, Route: id.Route}, bindings.FvmAddress(to), amount)
		return b.Root.Send(ctx, b.Dep.Root.Gateway, data, nil)
	}
	return b.Root.Send(ctx, b.Dep.Root.Controller, controllerABI.PackLinkedTransfer(recipient, amount), nil)
}

// enough checks the balance first, since a token's own error says less.
func (b *Bridge) enough(ctx context.Context, asset tokens.Asset, amount *big.Int) error {
	token := b.Dep.Root.Usdc
	if asset == tokens.FLT {
		token = b.Dep.Root.Flt
	}
	raw, err := b.call(ctx, b.Root, token, usdcABI.PackBalanceOf(b.Root.Address))
	if err != nil {
		return fmt.Errorf("read balance: %w", err)
	}
	if have := new(big.Int).SetBytes(raw); have.Cmp(amount) < 0 {
		return fmt.Errorf("%s holds %s %s on the root, %s is needed", b.Root.Address.Hex(),
			tokens.MustUnits(have).Decimal(asset.Decimals), asset.Symbol, tokens.MustUnits(amount).Decimal(asset.Decimals))
	}
	return nil
}

// Withdraw sends subnet → root: one transaction of the user.
func (b *Bridge) Withdraw(ctx context.Context, asset tokens.Asset, recipient, fallback common.Address, amount *big.Int) (common.Hash, error) {
	if amount.Sign() <= 0 {
		return common.Hash{}, errors.New("amount must be more than 0")
	}
	fee, err := b.exitFee(ctx)
	if err != nil {
		return common.Hash{}, err
	}
	token, value := b.Dep.Root.Usdc, fee
	if asset == tokens.FLT {
		token, value = b.Dep.Root.Flt, new(big.Int).Add(fee, amount)
	}
	data := outboxABI.PackWithdraw(bindings.WithdrawalRequest{
		Token: token, Amount: amount, Recipient: recipient, FallbackRecipient: fallback, MinOut: new(big.Int),
	})
	return b.Subnet.Send(ctx, b.Dep.Subnet.Outbox, data, value)
}

// ErrNoCrossing says that the FLT of a deployment does not come from Ethereum.
var ErrNoCrossing = errors.New("the FLT of this bridge does not cross from Ethereum: its deployment.json has no crossing")

// CrossIn sends FLT from Ethereum into the subnet: one transaction of the user,
// once FltSender may take the token. What the token service would swallow is
// refused before anything is sent.
func (b *Bridge) CrossIn(ctx context.Context, recipient common.Address, amount *big.Int) (common.Hash, error) {
	if b.Dep.Crossing == nil || b.L1 == nil {
		return common.Hash{}, ErrNoCrossing
	}
	c := b.Dep.Crossing
	if ipc.ForbiddenRecipient(recipient) {
		return common.Hash{}, fmt.Errorf("%s cannot be paid in the subnet", recipient.Hex())
	}
	if err := b.depositable(ctx, amount); err != nil {
		return common.Hash{}, err
	}
	raw, err := b.call(ctx, b.L1, c.L1Flt, usdcABI.PackBalanceOf(b.L1.Address))
	if err != nil {
		return common.Hash{}, fmt.Errorf("read balance: %w", err)
	}
	if have := new(big.Int).SetBytes(raw); have.Cmp(amount) < 0 {
		return common.Hash{}, fmt.Errorf("%s holds %s FLT on Ethereum, %s is needed", b.L1.Address.Hex(),
			tokens.MustUnits(have).Decimal(tokens.FLT.Decimals), tokens.MustUnits(amount).Decimal(tokens.FLT.Decimals))
	}
	if err := b.outflow(ctx, b.L1, c.L1, amount); err != nil {
		return common.Hash{}, err
	}
	if err := b.inflow(ctx, b.Root, c.Root, amount); err != nil {
		return common.Hash{}, err
	}
	if err := b.allow(ctx, b.L1, c.L1Flt, c.Sender, amount); err != nil {
		return common.Hash{}, err
	}
	return b.L1.Send(ctx, c.Sender, senderABI.PackDeposit(recipient, amount), nil)
}

// depositable asks FltSender for its limits, before it is allowed to take
// anything.
func (b *Bridge) depositable(ctx context.Context, amount *big.Int) error {
	raw, err := b.call(ctx, b.L1, b.Dep.Crossing.Sender, senderABI.PackLimits())
	if err != nil {
		return fmt.Errorf("read the limits of deposits: %w", err)
	}
	limits, err := senderABI.UnpackLimits(raw)
	if err != nil {
		return fmt.Errorf("read the limits of deposits: %w", err)
	}
	if amount.Cmp(limits.Min) < 0 || amount.Cmp(limits.Max) > 0 {
		return fmt.Errorf("a deposit from Ethereum is of %s to %s FLT, not of %s",
			tokens.MustUnits(limits.Min).Decimal(tokens.FLT.Decimals), tokens.MustUnits(limits.Max).Decimal(tokens.FLT.Decimals),
			tokens.MustUnits(amount).Decimal(tokens.FLT.Decimals))
	}
	return nil
}

// CrossOut sends FLT from the subnet to Ethereum: one transaction of the user.
// fallback, which may be zero, may take on the root what cannot go on from there.
func (b *Bridge) CrossOut(ctx context.Context, recipient, fallback common.Address, amount *big.Int) (common.Hash, error) {
	if b.Dep.Crossing == nil || b.L1 == nil {
		return common.Hash{}, ErrNoCrossing
	}
	c := b.Dep.Crossing
	if ipc.ForbiddenRecipient(recipient, c.L1Flt, c.Sender, c.L1Manager, c.L1.Service, c.L1.Gateway) {
		return common.Hash{}, fmt.Errorf("%s cannot be paid on Ethereum", recipient.Hex())
	}
	if err := b.outflow(ctx, b.Root, c.Root, amount); err != nil {
		return common.Hash{}, err
	}
	if err := b.inflow(ctx, b.L1, c.L1, amount); err != nil {
		return common.Hash{}, err
	}
	fee, err := b.exitFee(ctx)
	if err != nil {
		return common.Hash{}, err
	}
	data := portalABI.PackWithdrawToL1(recipient)
	if fallback != (common.Address{}) {
		data = portalABI.PackWithdrawToL1WithRefund(recipient, fallback)
	}
	return b.Subnet.Send(ctx, c.Portal, data, new(big.Int).Add(amount, fee))
}

func (b *Bridge) outflow(ctx context.Context, a *Account, set deploy.AxelarSet, amount *big.Int) error {
	return b.passes(ctx, a, set, axelar.FlowOut, amount)
}

func (b *Bridge) inflow(ctx context.Context, a *Account, set deploy.AxelarSet, amount *big.Int) error {
	return b.passes(ctx, a, set, axelar.FlowIn, amount)
}

// passes says whether a token service takes part now: not paused, trusting the
// other chain, and letting the amount through its flow limit.
func (b *Bridge) passes(ctx context.Context, a *Account, set deploy.AxelarSet, way axelar.Direction, amount *big.Int) error {
	asker := viewer{a}
	service, err := axelar.ProbeService(ctx, asker, set.Service)
	if err != nil {
		return fmt.Errorf("ask the token service on %s: %w", a.name, err)
	}
	other := b.Dep.Crossing.Root.Chain
	if set.Chain == other {
		other = b.Dep.Crossing.L1.Chain
	}
	switch paused, err := axelar.Ask(ctx, asker, service.Paused()); {
	case err != nil:
		return fmt.Errorf("ask the token service on %s: %w", a.name, err)
	case paused:
		return fmt.Errorf("the token service on %s is paused: nothing could arrive; try again later", a.name)
	}
	switch trusts, err := axelar.Ask(ctx, asker, service.Trusts(other)); {
	case err != nil:
		return fmt.Errorf("ask the token service on %s: %w", a.name, err)
	case !trusts:
		return fmt.Errorf("the token service on %s does not trust %s: nothing could arrive; ask its operator", a.name, other)
	}
	counted, err := axelar.Ask(ctx, asker, service.Flow(b.Dep.Crossing.TokenID))
	if err != nil {
		return fmt.Errorf("ask the token manager on %s: %w", a.name, err)
	}
	if err := counted.Check(way, amount); err != nil {
		return fmt.Errorf("the flow limit of FLT on %s: %w", a.name, err)
	}
	return nil
}

// viewer asks a chain at its newest block.
type viewer struct{ a *Account }

// CallContract implements axelar.Caller.
func (v viewer) CallContract(ctx context.Context, to common.Address, data []byte) ([]byte, error) {
	out, err := v.a.client.CallContract(ctx, ethereum.CallMsg{To: &to, Data: data}, nil)
	if err == nil {
		return out, nil
	}
	var revert interface{ ErrorData() any }
	if errors.As(err, &revert) {
		text, _ := revert.ErrorData().(string)
		return nil, &chains.RevertError{Data: common.FromHex(text)}
	}
	return nil, fmt.Errorf("%w: %w", chains.ErrUnavailable, err)
}

func (b *Bridge) exitFee(ctx context.Context) (*big.Int, error) {
	raw, err := b.call(ctx, b.Subnet, b.Dep.Subnet.Gateway, subnetABI.PackExitFee())
	if err != nil {
		return nil, fmt.Errorf("read exit fee: %w", err)
	}
	return new(big.Int).SetBytes(raw), nil
}

// ClaimWithdrawal pulls the credit of a withdrawal, as its recipient or its
// fallback recipient, to any address.
func (b *Bridge) ClaimWithdrawal(ctx context.Context, w ipc.Withdrawal, to common.Address) (common.Hash, error) {
	return b.Root.Send(ctx, b.Dep.Root.FastWithdrawals, fastABI.PackClaim(bindings.Withdrawal(w), to), nil)
}

// CreditOf is what a withdrawal has to be claimed, 0 if nothing.
func (b *Bridge) CreditOf(ctx context.Context, id common.Hash) (*big.Int, error) {
	raw, err := b.call(ctx, b.Root, b.Dep.Root.FastWithdrawals, fastABI.PackCreditOf(id))
	if err != nil {
		return nil, fmt.Errorf("read credit: %w", err)
	}
	return new(big.Int).SetBytes(raw), nil
}

// ClaimRefund pulls a refund of USDC that could not be paid, as its depositor.
func (b *Bridge) ClaimRefund(ctx context.Context, id common.Hash, to common.Address) (common.Hash, error) {
	return b.Root.Send(ctx, b.Dep.Root.Controller, controllerABI.PackClaimRefund(id, to), nil)
}

// ClaimCredit pulls what the root gateway keeps for this account.
func (b *Bridge) ClaimCredit(ctx context.Context, to common.Address) (common.Hash, error) {
	id := b.Dep.Root.Subnet()
	return b.Root.Send(ctx, b.Dep.Root.Gateway, gatewayABI.PackWithdrawCredit(bindings.SubnetID{Root: id.Root, Route: id.Route}, to), nil)
}

// GatewayCredit is what the root gateway keeps for an account.
func (b *Bridge) GatewayCredit(ctx context.Context, account common.Address) (*big.Int, error) {
	id := b.Dep.Root.Subnet()
	raw, err := b.call(ctx, b.Root, b.Dep.Root.Gateway, gatewayABI.PackCreditOf(bindings.SubnetID{Root: id.Root, Route: id.Route}, account))
	if err != nil {
		return nil, fmt.Errorf("read credit: %w", err)
	}
	return new(big.Int).SetBytes(raw), nil
}

// Resend sends a returned withdrawal again; anyone may.
func (b *Bridge) Resend(ctx context.Context, w ipc.Withdrawal) (common.Hash, error) {
	fee, err := b.exitFee(ctx)
	if err != nil {
		return common.Hash{}, err
	}
	return b.Subnet.Send(ctx, b.Dep.Subnet.Outbox, outboxABI.PackResend(bindings.Withdrawal(w)), fee)
}

func (b *Bridge) call(ctx context.Context, a *Account, to common.Address, data []byte) ([]byte, error) {
	raw, err := a.client.CallContract(ctx, ethereum.CallMsg{To: &to, Data: data}, nil)
	if err == nil && len(raw) < 32 {
		return nil, fmt.Errorf("%s has no such contract on %s", to.Hex(), a.name)
	}
	return raw, err
}

// errorName finds a custom error of any of our contracts, and writes it with
// its arguments: InvalidAmount(amount=5, max=4).
func errorName(data []byte) string {
	if len(data) < 4 {
		return ""
	}
	for _, m := range []*bind.MetaData{
		&bindings.GatewayMetaData, &bindings.LinkedTokenControllerMetaData, &bindings.WithdrawalOutboxMetaData,
		&bindings.FastWithdrawalsMetaData, &bindings.FltSenderMetaData, &bindings.FltPortalMetaData, &bindings.FltHandlerMetaData, &bindings.SubnetGatewayMetaData, &bindings.LinkedTokenReplicaMetaData, &bindings.DevUsdcMetaData,
	} {
		parsed, err := m.ParseABI()
		if err != nil {
			continue
		}
		for _, e := range parsed.Errors {
			if [4]byte(e.ID[:4]) != [4]byte(data[:4]) {
				continue
			}
			values, err := e.Inputs.Unpack(data[4:])
			if err != nil {
				return e.Name
			}
			words := make([]string, len(values))
			for i, v := range values {
				words[i] = argument(v)
				if name := e.Inputs[i].Name; name != "" && !strings.HasPrefix(name, "arg") {
					words[i] = name + "=" + words[i]
				}
			}
			return e.Name + "(" + strings.Join(words, ", ") + ")"
		}
	}
	return ""
}

// argument writes bytes as hex; %v of an array of bytes is a list of numbers.
func argument(v any) string {
	switch v := v.(type) {
	case [32]byte:
		return hexutil.Encode(v[:])
	case [4]byte:
		return hexutil.Encode(v[:])
	case []byte:
		return hexutil.Encode(v)
	}
	return fmt.Sprint(v)
}

// RefundOf is a refund of USDC that waits to be claimed, 0 if none.
func (b *Bridge) RefundOf(ctx context.Context, id common.Hash) (*big.Int, error) {
	raw, err := b.call(ctx, b.Root, b.Dep.Root.Controller, controllerABI.PackRefundOf(id))
	if err != nil {
		return nil, fmt.Errorf("read refund: %w", err)
	}
	out, err := controllerABI.UnpackRefundOf(raw)
	if err != nil {
		return nil, fmt.Errorf("read refund: %w", err)
	}
	if !out.Pending {
		return new(big.Int), nil // not failed, or paid already
	}
	return out.Amount, nil
}
