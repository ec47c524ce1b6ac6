package deploy

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

// GmpAddress is the GmpSubnetPort, in a subnet whose contracts and Ethereum's call
// each other.
var GmpAddress = common.HexToAddress("0x77aA40b105843728088c0132e43fc44348881d04")

const (
	gmpPort   = "gmp/port"
	gmpRouter = "gmp/router"

	// What GmpSubnetPort keeps of a message's gas for itself (contracts/src/gmp).
	gmpFixedGas = 60_000 + 40_000 + 60_000
)

// HasGmp says whether contracts on Ethereum and in the subnet can call each other.
func (c Crossing) HasGmp() bool { return c.GmpPort != (common.Address{}) }

// checkGmp says what is missing of the three, where there is one of them.
func (c Crossing) checkGmp() error {
	none := common.Address{}
	if c.GmpPort == none && c.GmpRouter == none && c.GmpSubnetPort == none {
		return nil
	}
	var errs []error
	if c.GmpPort == none || c.GmpRouter == none {
		errs = append(errs, errors.New("no gmp_port or no gmp_router"))
	}
	if c.GmpSubnetPort != GmpAddress {
		errs = append(errs, fmt.Errorf("gmp_subnet_port is not at %s", GmpAddress))
	}
	return errors.Join(errs...)
}

// HasGmp says whether the contracts are built so that those on Ethereum and in the
// subnet can call each other.
func (s Settings) HasGmp() bool {
	return s.GmpL1Gas != 0 || s.GmpCallbackGas != 0 || s.GmpPatience != 0
}

// checkGmp joins the complaints about calls, where there are to be any.
func (s Settings) checkGmp() error {
	if !s.HasGmp() {
		return nil
	}
	var errs []error
	must := func(ok bool, complaint string) {
		if !ok {
			errs = append(errs, errors.New(complaint))
		}
	}
	must(s.GmpL1Gas > 0 && s.GmpCallbackGas > 0 && s.GmpPatience > 0, "calls: gas of a target on Ethereum, gas of a result or patience is 0")
	must(s.SubnetMessageGas > 2*gmpFixedGas, "calls: a message in the subnet has too little gas to call anything")
	must(s.SubnetMessageGas <= 2*gmpFixedGas || s.GmpCallbackGas <= (s.SubnetMessageGas-gmpFixedGas)/64*63, "calls: a message in the subnet has too little gas for a result")
	return errors.Join(errs...)
}

// gmpSubnetGas is what a target in the subnet can be promised: maxGasHere of
// GmpSubnetPort.
func (s Settings) gmpSubnetGas() uint64 { return (s.SubnetMessageGas - gmpFixedGas) / 64 * 60 }

// checkGmp says where the contracts for calls are not those of this subnet: they know
// it by the chain id that follows from its own.
func (p GenesisParams) checkGmp() error {
	if !p.Crossing.HasGmp() {
		return nil
	}
	if !p.Settings.HasGmp() {
		return errors.New("it has contracts for calls, the settings have none")
	}
	if id := SubnetChainID(p.Root.Subnet()); p.ChainID != 0 && p.ChainID != id {
		return fmt.Errorf("its contracts for calls know the subnet as chain %d, not %d", id, p.ChainID)
	}
	return nil
}

// deployGmp puts GmpPort on L1 and GmpRouter on the root. As FltSender and
// FltHandler do, the two find each other whatever either account sends meanwhile.
func deployGmp(root, l1 *axelar, p CrossParams, create3 common.Address, c *Crossing) error {
	subnet := p.RootSet.Subnet()
	key := subnet.Hash()
	salt := crypto.Keccak256Hash([]byte("causeway/gmp-router"), key[:])
	var err error
	if c.GmpRouter, err = root.predicted(create3, salt); err != nil {
		return err
	}
	code, err := root.j.env.Backend.CodeAt(root.ctx, c.GmpRouter, nil)
	if err != nil {
		return fmt.Errorf("read code of %s: %w", c.GmpRouter, err)
	}
	if _, ours := root.j.find(gmpRouter); len(code) > 0 && !ours {
		return fmt.Errorf("%w: this subnet has its router of calls, %s", ErrOtherState, c.GmpRouter)
	}

	subnetID := new(big.Int).SetUint64(uint64(SubnetChainID(subnet)))
	port, err := creation(gmpPort, l1.deployer, &bindings.GmpPortMetaData, bindings.GmpPortParams{
		AxelarGateway: p.L1.Gateway, GasService: p.L1.GasService, RootChain: p.Root.Chain, Router: c.GmpRouter,
		SubnetChainId: subnetID, SubnetPort: GmpAddress, MaxGas: p.Settings.gmpSubnetGas(), CallbackGas: p.Settings.GmpCallbackGas,
	})
	if err != nil {
		return err
	}
	receipts, err := l1.j.send(l1.ctx, port)
	if err != nil {
		return fmt.Errorf("deploy the port of calls on %s: %w", p.L1.Chain, err)
	}
	c.GmpPort, c.GmpSubnetPort = receipts[0].ContractAddress, GmpAddress

	router, err := initCode(&bindings.GmpRouterMetaData, bindings.GmpRouterParams{
		AxelarGateway: p.Root.Gateway, L1Chain: p.L1.Chain, L1ChainId: new(big.Int).SetUint64(uint64(p.L1.ChainID)), L1Port: c.GmpPort,
		Gateway: p.RootSet.Gateway, Subnet: bindings.SubnetID(subnet), SubnetChainId: subnetID, SubnetPort: GmpAddress,
		Patience: new(big.Int).SetUint64(uint64(p.Settings.GmpPatience)),
	})
	if err != nil {
		return err
	}
	if err := root.place(gmpRouter, create3, router, salt); err != nil {
		return fmt.Errorf("deploy the router of calls on %s: %w", p.Root.Chain, err)
	}
	return nil
}

// subnetPort makes the predeploy.
func (g *genesisEVM) subnetPort(p GenesisParams) (types.Account, error) {
	return g.construct(GmpAddress, &bindings.GmpSubnetPortMetaData, bindings.GmpSubnetPortParams{
		Gateway: ipc.GatewayAddress, RootNetwork: bindings.SubnetID(p.Root.Network()), Router: p.Crossing.GmpRouter,
		L1ChainId: new(big.Int).SetUint64(uint64(p.Crossing.L1.ChainID)), L1Port: p.Crossing.GmpPort,
		MaxGas: p.Settings.GmpL1Gas, CallbackGas: p.Settings.GmpCallbackGas,
	})
}

func (c checker) gmpPort(x crossed) {
	g := bindings.NewGmpPort()
	link := ask(c, x.GmpPort, g.PackAxelarLink(), g.UnpackAxelarLink)
	c.must(link.AxelarGateway == x.L1.Gateway && link.Chain == x.Root.Chain && link.Account == x.GmpRouter,
		"port of calls talks to %s on %q through %s", link.Account, link.Chain, link.AxelarGateway)
	c.must(ask(c, x.GmpPort, g.PackGasService(), g.UnpackGasService) == x.L1.GasService, "port of calls has another gas service")
	far := ask(c, x.GmpPort, g.PackFarEnd(), g.UnpackFarEnd)
	c.must(far.ChainId != nil && far.ChainId.Cmp(new(big.Int).SetUint64(uint64(SubnetChainID(x.set.Subnet())))) == 0 && far.Port == x.GmpSubnetPort,
		"port of calls has its other end at %s on chain %s", far.Port, far.ChainId)
	limits := ask(c, x.GmpPort, g.PackLimits(), g.UnpackLimits)
	c.must(limits.MaxGas == x.settings.gmpSubnetGas() && limits.CallbackGas == x.settings.GmpCallbackGas,
		"port of calls promises %d gas and tells with %d", limits.MaxGas, limits.CallbackGas)
}

// gmpRouter must call a call what the port calls it: that binds both ends.
func (c checker) gmpRouter(x crossed, idAtPort common.Hash) {
	g := bindings.NewGmpRouter()
	link := ask(c, x.GmpRouter, g.PackAxelarLink(), g.UnpackAxelarLink)
	c.must(link.AxelarGateway == x.Root.Gateway && link.Chain == x.L1.Chain && link.Account == x.GmpPort,
		"router of calls talks to %s on %q through %s", link.Account, link.Chain, link.AxelarGateway)
	c.must(ask(c, x.GmpRouter, g.PackGateway(), g.UnpackGateway) == x.set.Gateway, "router of calls has another gateway")
	peer := ask(c, x.GmpRouter, g.PackPeerAddress(), g.UnpackPeerAddress)
	at, err := ipc.FvmAddress(peer.RawAddress).EVM()
	c.must(err == nil && at == x.GmpSubnetPort && ipc.SubnetID(peer.SubnetId).Equal(x.set.Subnet()), "router of calls has another port in the subnet")
	patience := ask(c, x.GmpRouter, g.PackPatience(), g.UnpackPatience)
	c.must(patience != nil && patience.Cmp(new(big.Int).SetUint64(uint64(x.settings.GmpPatience))) == 0, "router of calls keeps them for %s seconds", patience)
	id := ask(c, x.GmpRouter, g.PackDownId(aCall), g.UnpackDownId)
	c.must(common.Hash(id) == idAtPort, "router and port name a call differently")
}

// aCall is one that both are asked to name.
var aCall = bindings.GmpCall{Nonce: 1, Sender: common.Address{2}, Target: common.Address{3}, Gas: 4, Data: []byte{5}}

// checkGmp reads both back.
func checkGmp(onRoot, onL1 checker, x crossed) {
	if !x.HasGmp() {
		return
	}
	onL1.gmpPort(x)
	g := bindings.NewGmpPort()
	onRoot.gmpRouter(x, ask(onL1, x.GmpPort, g.PackCallId(aCall), g.UnpackCallId))
}
