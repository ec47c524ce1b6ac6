package deploy

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/params"
)

// GenesisParams is everything a subnet's first block follows from.
type GenesisParams struct {
	Root      RootSet
	Bootstrap Bootstrapped
	Settings  Settings
	// ChainID of the subnet; 0 derives it from the subnet's id.
	ChainID chains.ID
	// Crossing is nil for a subnet without Ethereum.
	Crossing *Crossing
}

// gatewayGenesis has the fields of the contract's Genesis.
type gatewayGenesis struct {
	NetworkName         ipc.SubnetID
	RootGateway         common.Address
	Validators          []bindings.Validator
	BottomUpCheckPeriod uint64
	MajorityPercentage  uint8
	PowerScale          int8
	Salt                [32]byte
	CircSupply          *big.Int
	ExitFee             *big.Int
	DeliverReward       *big.Int
	MinRelease          *big.Int
	MaxMsgsPerPeriod    uint64
	MessageGas          *big.Int
}

// outboxParams has the fields of the contract's OutboxParams.
type outboxParams struct {
	Gateway         common.Address
	Subnet          ipc.SubnetID
	RootNetwork     ipc.SubnetID
	RootChainId     *big.Int
	RootGateway     common.Address
	Controller      common.Address
	FastWithdrawals common.Address
	RootFlt         common.Address
	RootUsdc        common.Address
	Replica         common.Address
	FltMin          *big.Int
	FltMax          *big.Int
	UsdcMin         *big.Int
	UsdcMax         *big.Int
}

// SubnetChainID is the chain id a subnet has unless another is chosen. Wallets
// keep chain ids in doubles, so it is below 2^53.
func SubnetChainID(subnet ipc.SubnetID) chains.ID {
	return chains.ID(ipc.ChainIDOf(subnet.String()) & (1<<53 - 1))
}

// SubnetGenesis makes block 0 of the subnet: our three contracts, and with a
// crossing its portal and its port of calls, at their fixed addresses as their
// constructors leave them, the treasury, the balances that are locked on the root, and the system
// contracts of Prague. Equal parameters
// give equal bytes, and the block's extra data is the bootstrap's salt.
func SubnetGenesis(p GenesisParams) (*core.Genesis, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("subnet genesis: %w", err)
	}
	if p.ChainID == 0 {
		p.ChainID = SubnetChainID(p.Root.Subnet())
	}
	s := p.Settings
	gen := &core.Genesis{
		Config:     subnetConfig(p.ChainID),
		Timestamp:  p.Bootstrap.Time,
		ExtraData:  p.Bootstrap.Salt.Bytes(),
		GasLimit:   s.SubnetGasLimit,
		BaseFee:    s.SubnetBaseFee.Int(),
		Difficulty: new(big.Int),
		Alloc:      core.SystemContractAllocs(),
	}
	contracts, err := subnetContracts(p, gen)
	if err != nil {
		return nil, fmt.Errorf("subnet genesis: %w", err)
	}
	for addr, account := range contracts {
		gen.Alloc[addr] = account
	}
	// Anybody may have pre-funded their own account on the root, so none is
	// refused here: what is locked there exists here.
	for _, b := range p.Bootstrap.Balances {
		account := gen.Alloc[b.Account]
		account.Balance = new(big.Int).Add(orZero(account.Balance), b.Amount.Int())
		gen.Alloc[b.Account] = account
	}
	return gen, nil
}

// subnetContracts runs the constructors, the gateway's first: the others may
// ask it.
func subnetContracts(p GenesisParams, gen *core.Genesis) (types.GenesisAlloc, error) {
	evm, err := newGenesisEVM(gen.Config, gen.Timestamp, gen.GasLimit, gen.BaseFee)
	if err != nil {
		return nil, err
	}
	s := p.Settings
	gateway, err := evm.construct(ipc.GatewayAddress, &bindings.SubnetGatewayMetaData, gatewayGenesis{
		NetworkName:         p.Root.Subnet(),
		RootGateway:         p.Root.Gateway,
		Validators:          p.Bootstrap.bindingValidators(),
		BottomUpCheckPeriod: s.CheckPeriod,
		MajorityPercentage:  s.Majority,
		PowerScale:          s.PowerScale,
		Salt:                p.Bootstrap.Salt,
		CircSupply:          p.Bootstrap.CircSupply.Int(),
		ExitFee:             s.ExitFee.Int(),
		DeliverReward:       s.DeliverReward.Int(),
		MinRelease:          s.MinRelease.Int(),
		MaxMsgsPerPeriod:    s.MaxMsgsPerPeriod,
		MessageGas:          new(big.Int).SetUint64(s.SubnetMessageGas),
	})
	if err != nil {
		return nil, err
	}
	gateway.Balance = s.Treasury.Int()

	replica, err := evm.construct(ReplicaAddress, &bindings.LinkedTokenReplicaMetaData, ipc.GatewayAddress, p.Root.Network(),
		p.Root.Controller, OutboxAddress, s.UsdcMintCap.Int(), s.ReplicaName, s.ReplicaSymbol)
	if err != nil {
		return nil, err
	}
	outbox, err := evm.construct(OutboxAddress, &bindings.WithdrawalOutboxMetaData, outboxParams{
		Gateway:         ipc.GatewayAddress,
		Subnet:          p.Root.Subnet(),
		RootNetwork:     p.Root.Network(),
		RootChainId:     new(big.Int).SetUint64(uint64(p.Root.ChainID)),
		RootGateway:     p.Root.Gateway,
		Controller:      p.Root.Controller,
		FastWithdrawals: p.Root.FastWithdrawals,
		RootFlt:         p.Root.Flt,
		RootUsdc:        p.Root.Usdc,
		Replica:         ReplicaAddress,
		FltMin:          s.FltWithdrawMin.Int(),
		FltMax:          s.FltWithdrawMax.Int(),
		UsdcMin:         s.UsdcWithdrawMin.Int(),
		UsdcMax:         s.UsdcWithdrawMax.Int(),
	})
	if err != nil {
		return nil, err
	}
	alloc := types.GenesisAlloc{ipc.GatewayAddress: gateway, ReplicaAddress: replica, OutboxAddress: outbox}
	if c := p.Crossing; c != nil {
		portal, err := evm.construct(PortalAddress, &bindings.FltPortalMetaData, bindings.FltPortalParams{
			Gateway:     ipc.GatewayAddress,
			Subnet:      bindings.SubnetID(p.Root.Subnet()),
			RootNetwork: bindings.SubnetID(p.Root.Network()),
			RootChainId: new(big.Int).SetUint64(uint64(p.Root.ChainID)),
			RootGateway: p.Root.Gateway,
			RootFlt:     p.Root.Flt,
			Handler:     c.Handler,
			L1Flt:       c.L1Flt,
			L1Sender:    c.Sender,
			Min:         s.FltWithdrawMin.Int(),
			Max:         s.FltWithdrawMax.Int(),
		})
		if err != nil {
			return nil, err
		}
		alloc[PortalAddress] = portal
		if c.HasGmp() {
			if alloc[GmpAddress], err = evm.subnetPort(p); err != nil {
				return nil, err
			}
		}
	}
	return alloc, nil
}

// check says what would make a subnet that disagrees with its root.
func (p GenesisParams) check() error {
	errs := []error{p.Settings.Check()}
	if p.Crossing != nil {
		errs = append(errs, p.checkCrossing())
	}
	if p.Bootstrap.Salt != ipc.Salt(uint64(p.Root.ChainID), p.Root.Gateway, p.Root.Actor, p.Bootstrap.BlockHash) {
		errs = append(errs, errors.New("the salt is not that of the root's contracts and bootstrap block"))
	}
	if len(p.Bootstrap.Validators) == 0 {
		errs = append(errs, errors.New("no validators"))
	}
	sum := new(big.Int)
	seen := make(map[common.Address]bool)
	for _, b := range p.Bootstrap.Balances {
		sum.Add(sum, b.Amount.Int())
		if seen[b.Account] {
			errs = append(errs, fmt.Errorf("two balances of %s", b.Account))
		}
		seen[b.Account] = true
	}
	if sum.Cmp(p.Bootstrap.CircSupply.Int()) != 0 {
		errs = append(errs, fmt.Errorf("balances sum to %s, the root has locked %s", sum, p.Bootstrap.CircSupply))
	}
	return errors.Join(errs...)
}

// checkCrossing says where the crossing is not that of this root and subnet.
func (p GenesisParams) checkCrossing() error {
	errs := []error{p.Crossing.Check(), p.Settings.checkCrossing(), p.checkGmp()}
	if p.Crossing.Root.ChainID != p.Root.ChainID {
		errs = append(errs, fmt.Errorf("its root is chain %d, the subnet's is %d", p.Crossing.Root.ChainID, p.Root.ChainID))
	}
	if p.Crossing.L1.ChainID == p.ChainID {
		errs = append(errs, errors.New("the subnet has the chain id of its L1"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("crossing: %w", err)
	}
	return nil
}

// subnetConfig activates every fork up to Prague and none after it.
func subnetConfig(id chains.ID) *params.ChainConfig {
	pc := *params.AllDevChainProtocolChanges
	pc.ChainID = new(big.Int).SetUint64(uint64(id))
	pc.OsakaTime, pc.BPO1Time, pc.BPO2Time, pc.BPO3Time, pc.BPO4Time, pc.BPO5Time = nil, nil, nil, nil, nil, nil
	pc.AmsterdamTime, pc.BogotaTime, pc.UBTTime = nil, nil, nil
	return &pc
}
