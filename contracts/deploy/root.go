package deploy

import (
	"context"
	"fmt"
	"math/big"
	"slices"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// Where the subnet's own contracts stand, from genesis on.
var (
	// ReplicaAddress is the LinkedTokenReplica.
	ReplicaAddress = common.HexToAddress("0x77aA40b105843728088c0132e43fc44348881d01")
	// OutboxAddress is the WithdrawalOutbox.
	OutboxAddress = common.HexToAddress("0x77aA40b105843728088c0132e43fc44348881d02")
	// PortalAddress is the FltPortal, in a subnet whose FLT crosses from Ethereum.
	PortalAddress = common.HexToAddress("0x77aA40b105843728088c0132e43fc44348881d03")
)

// Enumerations of the contracts.
const (
	assetNative          = 0
	assetERC20           = 1
	permissionCollateral = 0
	consensusFendermint  = 0
	stepController       = "linked_token_controller"
	stepFastWithdrawals  = "fast_withdrawals"
	stepActor            = "subnet_actor"
	stepApprove          = "approve_subnet"
	stepGateway          = "gateway"
	stepRegistry         = "subnet_registry"
	stepFlt              = "flt"
	stepUsdc             = "usdc"
)

// creation is the step that creates a contract.
func creation(name string, from Signer, meta *bind.MetaData, args ...any) (call, error) {
	code, err := initCode(meta, args...)
	return call{name: name, from: from, data: code}, err
}

// initCode is the code of a contract followed by its constructor's arguments.
func initCode(meta *bind.MetaData, args ...any) ([]byte, error) {
	code := common.FromHex(meta.Bin)
	if len(code) == 0 {
		return nil, fmt.Errorf("binding of %s has no code", meta.ID)
	}
	parsed, err := meta.ParseABI()
	if err != nil {
		return nil, fmt.Errorf("read binding of %s: %w", meta.ID, err)
	}
	packed, err := parsed.Pack("", args...)
	if err != nil {
		return nil, fmt.Errorf("pack constructor of %s: %w", meta.ID, err)
	}
	return slices.Concat(code, packed), nil
}

// deployRoot sends every step of the set, in the order in which the
// constructors need each other.
func deployRoot(ctx context.Context, j *journal, deployer Signer, p RootParams) (RootSet, error) {
	set := RootSet{
		ChainID: chains.ID(j.file.ChainID), GenesisHash: j.file.Genesis, StartBlock: j.file.StartBlock,
		Flt: p.Flt, Usdc: p.Usdc,
	}
	if err := deployBase(ctx, j, deployer, p, &set); err != nil {
		return RootSet{}, err
	}
	if err := deployActor(ctx, j, deployer, p.Settings, &set); err != nil {
		return RootSet{}, err
	}
	if err := deployLinked(ctx, j, deployer, p.Settings, &set); err != nil {
		return RootSet{}, err
	}
	return set, nil
}

// deployBase makes tokens, gateway and registry.
func deployBase(ctx context.Context, j *journal, deployer Signer, p RootParams, set *RootSet) error {
	owner := deployer.Address()
	type part struct {
		name string
		meta *bind.MetaData
		args []any
		at   *common.Address
	}
	s := p.Settings
	parts := []part{{stepGateway, &bindings.GatewayMetaData, []any{
		set.Network(), new(big.Int).SetUint64(s.RootMessageGas), s.FltFundMin.Int(), s.FltFundMax.Int(),
		new(big.Int).SetUint64(uint64(s.MaxSilence)), new(big.Int).SetUint64(uint64(s.RecoveryDelay)),
	}, &set.Gateway}}
	if p.Flt == (common.Address{}) {
		parts = append(parts, part{stepFlt, &bindings.DevFltMetaData, []any{owner}, &set.Flt})
	}
	if p.Usdc == (common.Address{}) {
		parts = append(parts, part{stepUsdc, &bindings.DevUsdcMetaData, []any{owner}, &set.Usdc})
	}
	calls := make([]call, len(parts))
	for i, part := range parts {
		var err error
		if calls[i], err = creation(part.name, deployer, part.meta, part.args...); err != nil {
			return err
		}
	}
	receipts, err := j.send(ctx, calls...)
	if err != nil {
		return fmt.Errorf("deploy gateway and tokens: %w", err)
	}
	for i, r := range receipts {
		*parts[i].at = r.ContractAddress
	}
	crash.At("deploy.after_contract")

	registry, err := creation(stepRegistry, deployer, &bindings.SubnetRegistryMetaData, set.Gateway)
	if err != nil {
		return err
	}
	receipts, err = j.send(ctx, registry)
	if err != nil {
		return fmt.Errorf("deploy registry: %w", err)
	}
	set.Registry = receipts[0].ContractAddress
	crash.At("deploy.after_contract")
	return nil
}

// deployActor makes the subnet's actor through the registry and approves it.
func deployActor(ctx context.Context, j *journal, deployer Signer, s Settings, set *RootSet) error {
	registry := bindings.NewSubnetRegistry()
	data := registry.PackNewSubnetActor(bindings.SubnetParams{
		MinActivationCollateral: s.MinActivationCollateral.Int(),
		MinValidators:           s.MinValidators,
		BottomUpCheckPeriod:     s.CheckPeriod,
		IpcGatewayAddr:          set.Gateway,
		ActiveValidatorsLimit:   s.ActiveLimit,
		MajorityPercentage:      s.Majority,
		Consensus:               consensusFendermint,
		PowerScale:              s.PowerScale,
		PermissionMode:          permissionCollateral,
		SupplySource:            bindings.Asset{Kind: assetERC20, TokenAddress: set.Flt},
		CollateralSource:        bindings.Asset{Kind: assetNative},
		ParentId:                bindings.SubnetID(set.Network()),
		// Upstream wants it non-zero; in our subnet nothing has an owner.
		GenesisSubnetIpcContractsOwner: deployer.Address(),
	})
	receipts, err := j.send(ctx, call{name: stepActor, from: deployer, to: &set.Registry, data: data})
	if err != nil {
		return fmt.Errorf("make subnet actor: %w", err)
	}
	for _, log := range receipts[0].Logs {
		if log.Address != set.Registry {
			continue
		}
		if event, err := registry.UnpackSubnetDeployedEvent(log); err == nil {
			set.Actor = event.SubnetAddr
		}
	}
	if set.Actor == (common.Address{}) {
		return fmt.Errorf("%w: the registry announced no subnet actor", ErrWrongSet)
	}
	crash.At("deploy.after_contract")

	approve := bindings.NewGateway().PackApproveSubnet(set.Actor)
	if _, err := j.send(ctx, call{name: stepApprove, from: deployer, to: &set.Gateway, data: approve}); err != nil {
		return fmt.Errorf("approve subnet: %w", err)
	}
	return nil
}

// deployLinked makes the escrow and the withdrawals, which know each other from
// their constructors on: the escrow is told the address that the deployer's
// next nonce will give.
func deployLinked(ctx context.Context, j *journal, deployer Signer, s Settings, set *RootSet) error {
	nonces, err := j.nonces(ctx, deployer.Address(), stepController, stepFastWithdrawals)
	if err != nil {
		return err
	}
	controllerAt := crypto.CreateAddress(deployer.Address(), nonces[0])
	withdrawalsAt := crypto.CreateAddress(deployer.Address(), nonces[0]+1)
	if _, sent := j.find(stepFastWithdrawals); sent && nonces[1] != nonces[0]+1 {
		return fmt.Errorf("%w: withdrawals were sent with nonce %d, not %d", ErrNonceTaken, nonces[1], nonces[0]+1)
	}

	controller, err := creation(stepController, deployer, &bindings.LinkedTokenControllerMetaData,
		set.Gateway, set.Subnet(), ReplicaAddress, set.Usdc, withdrawalsAt, s.UsdcDepositMin.Int(), s.UsdcDepositMax.Int())
	if err != nil {
		return err
	}
	receipts, err := j.send(ctx, controller)
	if err != nil {
		return fmt.Errorf("deploy escrow: %w", err)
	}
	if set.Controller = receipts[0].ContractAddress; set.Controller != controllerAt {
		return fmt.Errorf("%w: escrow at %s, predicted %s", ErrWrongSet, set.Controller, controllerAt)
	}
	crash.At("deploy.after_contract")

	nonces, err = j.nonces(ctx, deployer.Address(), stepController, stepFastWithdrawals)
	if err != nil {
		return err
	}
	if nonces[1] != nonces[0]+1 {
		return fmt.Errorf("%w: the escrow expects withdrawals at nonce %d, the next is %d", ErrNonceTaken, nonces[0]+1, nonces[1])
	}
	withdrawals, err := creation(stepFastWithdrawals, deployer, &bindings.FastWithdrawalsMetaData,
		set.Gateway, set.Subnet(), OutboxAddress, set.Controller, set.Flt)
	if err != nil {
		return err
	}
	if receipts, err = j.send(ctx, withdrawals); err != nil {
		return fmt.Errorf("deploy withdrawals: %w", err)
	}
	if set.FastWithdrawals = receipts[0].ContractAddress; set.FastWithdrawals != withdrawalsAt {
		return fmt.Errorf("%w: withdrawals at %s, predicted %s", ErrWrongSet, set.FastWithdrawals, withdrawalsAt)
	}
	crash.At("deploy.after_contract")
	return nil
}
