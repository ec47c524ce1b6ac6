package wallet

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"strings"

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
	raw, err := b.call(ctx, b.Root, token, usdcABI.PackAllowance(b.Root.Address, spender))
	if err != nil {
		return fmt.Errorf("read allowance: %w", err)
	}
	if new(big.Int).SetBytes(raw).Cmp(amount) >= 0 {
		return nil
	}
	tx, err := b.Root.Send(ctx, token, usdcABI.PackApprove(spender, maxUint256), nil)
	if err != nil {
		return fmt.Errorf("approve: %w", err)
	}
	_, err = b.Root.Wait(ctx, tx)
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
		&bindings.FastWithdrawalsMetaData, &bindings.SubnetGatewayMetaData, &bindings.LinkedTokenReplicaMetaData, &bindings.DevUsdcMetaData,
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
