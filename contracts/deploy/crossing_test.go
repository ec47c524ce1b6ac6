package deploy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

// everything is deployed, and the subnet may begin.
func (b *bridge) everything(t *testing.T) deploy.GenesisParams {
	t.Helper()
	set, c, err := b.crossing(t.Context(), t, b.l1Env, b.rootEnv)
	require.NoError(t, err)
	for _, k := range b.funders {
		b.bring(t, crypto.PubkeyToAddress(k.PublicKey), ether(1000))
	}
	boot, err := deploy.Bootstrap(t.Context(), b.rootEnv, set, b.deployer, b.bootstrapParams())
	require.NoError(t, err)
	return deploy.GenesisParams{Root: set, Bootstrap: boot, Settings: b.settings, Crossing: &c}
}

// TestFltCrossesWhatWasDeployed deploys everything over gateways of either
// generation and sends one deposit through it.
func TestFltCrossesWhatWasDeployed(t *testing.T) {
	for _, generation := range []string{deploy.GatewayLegacy, deploy.GatewayAmplifier} {
		t.Run(generation, func(t *testing.T) {
			t.Parallel()
			b := newBridge(t, generation)
			if generation == deploy.GatewayAmplifier {
				// As on a chain whose Axelar contracts somebody else has deployed.
				set := b.sets[rootName]
				set.Create3 = common.Address{}
				b.sets[rootName] = set
			}
			began := time.Now()
			p := b.everything(t)
			t.Logf("deployed in %s", time.Since(began))
			require.NoError(t, p.Crossing.Check())
			require.Equal(t, b.rootFlt, p.Root.Flt)

			t.Run("the file keeps it", func(t *testing.T) {
				d, err := deploy.NewDeployment(p)
				require.NoError(t, err)
				path := filepath.Join(t.TempDir(), "deployment.json")
				require.NoError(t, deploy.WriteDeployment(path, d))
				back, err := deploy.ReadDeployment(path)
				require.NoError(t, err)
				require.Equal(t, p.Crossing, back.Crossing)
				gen, err := deploy.SubnetGenesis(back.GenesisParams())
				require.NoError(t, err)
				require.Equal(t, d.Subnet.GenesisHash, gen.ToBlock().Hash())
			})
			t.Run("the genesis has its portal and its port and nothing else more", func(t *testing.T) { portsAreAllThatIsNew(t, p) })
			t.Run("all three call a transfer the same", func(t *testing.T) { b.sameIDs(t, p) })
			t.Run("and a call", func(t *testing.T) { b.sameCallIDs(t, p) })
			t.Run("a deposit reaches the subnet's queue", func(t *testing.T) { b.deposit(t, p) })
			t.Run("again it sends nothing", func(t *testing.T) {
				l1, root := b.nonces(t)
				_, c, err := b.crossing(t.Context(), t, b.l1Env, b.rootEnv)
				require.NoError(t, err)
				require.Equal(t, *p.Crossing, c)
				l1Again, rootAgain := b.nonces(t)
				require.Equal(t, [2]uint64{l1, root}, [2]uint64{l1Again, rootAgain})
			})
		})
	}
}

func portsAreAllThatIsNew(t *testing.T, p deploy.GenesisParams) {
	gen, err := deploy.SubnetGenesis(p)
	require.NoError(t, err)
	born := bear(t, gen)
	portal, key := bindings.NewFltPortal(), p.Root.Subnet().Hash()
	limits := view(born, deploy.PortalAddress, portal.PackLimits(), portal.UnpackLimits)
	require.Equal(t, [2]*big.Int{p.Settings.FltWithdrawMin.Int(), p.Settings.FltWithdrawMax.Int()}, [2]*big.Int{limits.Min, limits.Max})
	require.Equal(t, key, common.Hash(view(born, deploy.PortalAddress, portal.PackSubnetKey(), portal.UnpackSubnetKey)))
	require.Equal(t, ipc.GatewayAddress, view(born, deploy.PortalAddress, portal.PackGateway(), portal.UnpackGateway))
	peer := view(born, deploy.PortalAddress, portal.PackPeerAddress(), portal.UnpackPeerAddress)
	require.True(t, ipc.SubnetID(peer.SubnetId).Equal(p.Root.Network()))
	handler, err := ipc.FvmAddress(peer.RawAddress).EVM()
	require.NoError(t, err)
	require.Equal(t, p.Crossing.Handler, handler)

	text := func(p deploy.GenesisParams, without ...common.Address) string {
		gen, err := deploy.SubnetGenesis(p)
		require.NoError(t, err)
		for _, a := range without {
			delete(gen.Alloc, a)
		}
		raw, err := json.Marshal(gen)
		require.NoError(t, err)
		return string(raw)
	}
	require.Equal(t, text(p), text(p))
	// One that was deployed before there were calls is what it always was.
	before, quiet := p, *p.Crossing
	quiet.GmpPort, quiet.GmpRouter, quiet.GmpSubnetPort = common.Address{}, common.Address{}, common.Address{}
	before.Crossing = &quiet
	require.Equal(t, text(before), text(p, deploy.GmpAddress))
	before.Settings = withoutCalls(before.Settings)
	require.Equal(t, text(before), text(p, deploy.GmpAddress))
	file, err := deploy.NewDeployment(before)
	require.NoError(t, err)
	old, err := json.Marshal(file)
	require.NoError(t, err)
	require.NotContains(t, string(old), "gmp")
	read, err := deploy.DecodeDeployment(old)
	require.NoError(t, err)
	require.False(t, read.Crossing.HasGmp())
	bare := p
	bare.Crossing = nil
	require.Equal(t, text(bare), text(before, deploy.PortalAddress))
	require.NotEqual(t, text(bare), text(before))
	d, err := deploy.NewDeployment(bare)
	require.NoError(t, err)
	raw, err := json.Marshal(d)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "crossing")
}

func withoutCalls(s deploy.Settings) deploy.Settings {
	s.GmpL1Gas, s.GmpCallbackGas, s.GmpPatience = 0, 0, 0
	return s
}

func ask[T any](t *testing.T, b *bridge, chain string, to common.Address, data []byte, unpack func([]byte) (T, error)) T {
	t.Helper()
	raw, err := b.at(chain).CallContract(t.Context(), ethereum.CallMsg{To: &to, Data: data}, nil)
	require.NoError(t, err)
	out, err := unpack(raw)
	require.NoError(t, err)
	return out
}

func (b *bridge) sameIDs(t *testing.T, p deploy.GenesisParams) {
	gen, err := deploy.SubnetGenesis(p)
	require.NoError(t, err)
	sender, handler, portal := bindings.NewFltSender(), bindings.NewFltHandler(), bindings.NewFltPortal()
	d := bindings.FltDeposit{Sender: common.Address{1}, Recipient: common.Address{2}, SubnetKey: p.Root.Subnet().Hash(), Nonce: 3, Amount: ether(4)}
	require.Equal(t,
		ask(t, b, l1Name, p.Crossing.Sender, sender.PackDepositId(d), sender.UnpackDepositId),
		ask(t, b, rootName, p.Crossing.Handler, handler.PackDepositId(d), handler.UnpackDepositId))
	w := bindings.FltWithdrawal{
		SubnetKey: p.Root.Subnet().Hash(), Portal: deploy.PortalAddress, Nonce: 5, Sender: common.Address{6}, Recipient: common.Address{7}, Amount: ether(8),
	}
	require.Equal(t,
		view(bear(t, gen), deploy.PortalAddress, portal.PackWithdrawalId(w), portal.UnpackWithdrawalId),
		ask(t, b, rootName, p.Crossing.Handler, handler.PackWithdrawalId(w), handler.UnpackWithdrawalId))
}

// sameCallIDs asks all three contracts what they call a call of either direction.
func (b *bridge) sameCallIDs(t *testing.T, p deploy.GenesisParams) {
	gen, err := deploy.SubnetGenesis(p)
	require.NoError(t, err)
	born := bear(t, gen)
	port, router, far, c := bindings.NewGmpPort(), bindings.NewGmpRouter(), bindings.NewGmpSubnetPort(), p.Crossing
	require.Equal(t, deploy.GmpAddress, c.GmpSubnetPort)
	call := bindings.GmpCall{Nonce: 3, Sender: common.Address{1}, Target: common.Address{2}, Gas: 4, Data: []byte("five")}
	down := ask(t, b, l1Name, c.GmpPort, port.PackCallId(call), port.UnpackCallId)
	require.Equal(t, down, ask(t, b, rootName, c.GmpRouter, router.PackDownId(call), router.UnpackDownId))
	require.Equal(t, down, view(born, deploy.GmpAddress, far.PackIncomingId(call), far.UnpackIncomingId))
	up := view(born, deploy.GmpAddress, far.PackCallId(call), far.UnpackCallId)
	require.Equal(t, up, ask(t, b, rootName, c.GmpRouter, router.PackUpId(call), router.UnpackUpId))
	require.Equal(t, up, ask(t, b, l1Name, c.GmpPort, port.PackIncomingId(call), port.UnpackIncomingId))
	require.NotEqual(t, up, down)

	here := ask(t, b, l1Name, c.GmpPort, port.PackLimits(), port.UnpackLimits)
	require.Equal(t, view(born, deploy.GmpAddress, far.PackMaxGasHere(), far.UnpackMaxGasHere), here.MaxGas, "all that can be promised there")
	there := view(born, deploy.GmpAddress, far.PackLimits(), far.UnpackLimits)
	require.Equal(t, p.Settings.GmpL1Gas, there.MaxGas)
	require.Equal(t, [2]uint64{p.Settings.GmpCallbackGas, p.Settings.GmpCallbackGas}, [2]uint64{here.CallbackGas, there.CallbackGas})
}

func (b *bridge) deposit(t *testing.T, p deploy.GenesisParams) {
	user, sender, flt := b.l1Key, bindings.NewFltSender(), bindings.NewDevFlt()
	b.transact(t, l1Name, user, p.Crossing.L1Flt, nil, flt.PackApprove(p.Crossing.Sender, ether(7)))
	receipt := b.transact(t, l1Name, user, p.Crossing.Sender, nil, sender.PackDeposit(common.Address{0xb0, 0xb}, ether(7)))
	t.Logf("deposit: %d gas", receipt.GasUsed)
	receipt = b.cross(t, l1Name, receipt.TxHash)
	t.Logf("execute: %d gas", receipt.GasUsed)

	handler, gateway := bindings.NewFltHandler(), bindings.NewGateway()
	counters := ask(t, b, rootName, p.Crossing.Handler, handler.PackGetCounters(), handler.UnpackGetCounters)
	require.Equal(t, ether(7), counters.Deposited)
	require.Equal(t, ether(7), counters.Funded)
	require.Zero(t, counters.Credited.Sign())
	queue := ask(t, b, rootName, p.Root.Gateway, gateway.PackGetTopDownHash(bindings.SubnetID(p.Root.Subnet())), gateway.UnpackGetTopDownHash)
	require.EqualValues(t, 1, queue.Nonce)

	// Locked on L1 = on the root, where the subnet's share is locked.
	locked := ask(t, b, l1Name, p.Crossing.L1Flt, flt.PackBalanceOf(p.Crossing.L1Manager), flt.UnpackBalanceOf)
	require.Equal(t, locked, ask(t, b, rootName, p.Root.Flt, flt.PackTotalSupply(), flt.UnpackTotalSupply))
	require.Equal(t, ether(1_000_000), ask(t, b, l1Name, p.Crossing.L1Flt, flt.PackTotalSupply(), flt.UnpackTotalSupply))
	inside := new(big.Int).Add(p.Bootstrap.CircSupply.Int(), ether(7))
	require.Equal(t, inside, ask(t, b, rootName, p.Root.Flt, flt.PackBalanceOf(p.Root.Gateway), flt.UnpackBalanceOf))
}

// Whenever it is killed and however often, a crossing run again with its state
// files ends with exactly one sender and one handler, of each other, and two executors.
func TestAKilledCrossingGoesOnAndMakesOneOfEach(t *testing.T) {
	t.Parallel()
	b := newBridge(t, deploy.GatewayLegacy)
	l1Env, rootEnv := envOf(t, b.l1Client), b.env(t) // files without Axelar's many steps
	l1Before, rootBefore := b.nonces(t)
	// Another use of the account between two runs changes nothing.
	stranger := key("deployer", t.Name())
	var set deploy.RootSet
	var c deploy.Crossing
	kills, others := 0, uint64(0)
	for {
		ctx, cancel := context.WithCancel(t.Context())
		one := &life{left: 4 + 2*kills, after: kills%2 == 0, dead: cancel}
		l1Mortal, rootMortal := l1Env, rootEnv
		l1Mortal.Backend, rootMortal.Backend = &mortal{&rigBackend{b.l1Client}, one}, &mortal{&rigBackend{b.client}, one}
		var err error
		set, c, err = b.crossing(ctx, t, l1Mortal, rootMortal)
		cancel()
		if err == nil {
			break
		}
		require.True(t, errors.Is(err, errDead) || errors.Is(err, context.Canceled), err)
		kills++
		require.Less(t, kills, 1000, "never ends: %v", err)
		if set.Actor != (common.Address{}) && others < 3 {
			b.transact(t, rootName, stranger, common.Address{9}, big.NewInt(1), nil)
			others++
		}
	}
	require.Greater(t, kills, 10)
	require.EqualValues(t, 3, others)
	t.Logf("finished after %d kills", kills)

	// Each step used one nonce of its account.
	l1, root := b.nonces(t)
	require.EqualValues(t, 1+1 /* FLT and its mint */ +2 /* registered, asked for */ +2 /* sender, executor */ +1 /* port of calls */, l1-l1Before)
	require.EqualValues(t, 2 /* gateway, USDC */ +1 /* registry */ +2 /* actor, approval */ +2 /* linked */ +2 /* executor, handler */ +1 /* router of calls */ +others, root-rootBefore)
	again, same, err := b.crossing(t.Context(), t, l1Env, rootEnv)
	require.NoError(t, err)
	require.Equal(t, set, again, "a finished deployment is read back, not repeated")
	require.Equal(t, c, same)
	l1Again, rootAgain := b.nonces(t)
	require.Equal(t, [2]uint64{l1, root}, [2]uint64{l1Again, rootAgain})
}

// A reorg on either chain takes out what either stands on.
func TestAReorgOnEitherChainDuringTheCrossingLosesNothing(t *testing.T) {
	t.Parallel()
	b := newBridge(t, deploy.GatewayLegacy)
	require.NoError(t, b.flt(t.Context(), t, b.l1Env))
	p := b.rootParams()
	p.Flt = b.rootFlt
	set, err := deploy.Root(t.Context(), b.rootEnv, b.deployer, p)
	require.NoError(t, err)
	for _, chain := range []*devchain.Chain{b.chain, b.l1} {
		require.NoError(t, chain.SetFinalityDepth(24))
	}
	params := b.params(t, set)
	done := make(chan error, 1)
	go func() {
		_, err := deploy.Cross(t.Context(), b.rootEnv, b.l1Env, b.deployer, b.l1Deployer, params)
		done <- err
	}()
	reorgs := 0
	tick := time.NewTicker(5 * blockTime)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			require.NoError(t, err)
			require.Greater(t, reorgs, 2)
			return
		case <-tick.C:
			if reorgs > 8 {
				continue
			}
			for _, chain := range []*devchain.Chain{b.chain, b.l1} {
				require.NoError(t, chain.Reorg(t.Context(), 4))
				require.NoError(t, chain.DropPending())
			}
			reorgs++
		}
	}
}

// A crossing that would not be the subnet's is refused before anything is sent.
func TestACrossingOfOtherThingsIsRefusedBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	b := newBridge(t, deploy.GatewayAmplifier)
	require.NoError(t, b.flt(t.Context(), t, b.l1Env))
	rp := b.rootParams()
	rp.Flt = b.rootFlt
	set, err := deploy.Root(t.Context(), b.rootEnv, b.deployer, rp)
	require.NoError(t, err)
	l1, root := b.nonces(t)
	for name, c := range map[string]struct {
		change func(*deploy.CrossParams)
		want   error
	}{
		"an unknown token":            {func(p *deploy.CrossParams) { p.TokenID[0] ^= 1 }, deploy.ErrNoToken},
		"another token on L1":         {func(p *deploy.CrossParams) { p.L1Flt[0] ^= 1 }, deploy.ErrWrongSet},
		"another manager":             {func(p *deploy.CrossParams) { p.L1Manager[0] ^= 1 }, deploy.ErrWrongSet},
		"a test token on the root":    {func(p *deploy.CrossParams) { p.RootSet.Flt = set.Usdc }, deploy.ErrWrongSet},
		"the chains the wrong way":    {func(p *deploy.CrossParams) { p.L1, p.Root, p.RootSet.ChainID = p.Root, p.L1, l1ChainID }, deploy.ErrWrongSet},
		"another chain under its URL": {func(p *deploy.CrossParams) { p.L1.ChainID++ }, deploy.ErrWrongSet},
	} {
		p := b.params(t, set)
		c.change(&p)
		_, err := deploy.Cross(t.Context(), b.rootEnv, b.l1Env, b.deployer, b.l1Deployer, p)
		require.ErrorIs(t, err, c.want, name)
	}
	for complaint, change := range map[string]func(*deploy.CrossParams){
		"no artifacts":             func(p *deploy.CrossParams) { p.Artifacts = nil },
		"another root":             func(p *deploy.CrossParams) { p.RootSet.ChainID++ },
		"no subnet actor":          func(p *deploy.CrossParams) { p.RootSet.Actor = common.Address{} },
		"deposit has more than":    func(p *deploy.CrossParams) { p.Settings.FltFundMax = tooMuch() },
		"withdrawal has more than": func(p *deploy.CrossParams) { p.Settings.FltWithdrawMax = tooMuch() },
		"too little gas to call":   func(p *deploy.CrossParams) { p.Settings.SubnetMessageGas = 320_000 },
		"gas for a result":         func(p *deploy.CrossParams) { p.Settings.GmpCallbackGas = 340_000 },
		"patience is 0":            func(p *deploy.CrossParams) { p.Settings.GmpPatience = 0 },
		"FLT deposits":             func(p *deploy.CrossParams) { p.Settings.FltFundMin = deploy.Units{} },
		"signer set 0":             func(p *deploy.CrossParams) { p.Signers[0].Threshold = 4 },
		"different hubs":           func(p *deploy.CrossParams) { p.L1.Hub = "another" },
	} {
		p := b.params(t, set)
		change(&p)
		_, err := deploy.Cross(t.Context(), b.rootEnv, b.l1Env, b.deployer, b.l1Deployer, p)
		require.ErrorContains(t, err, complaint)
	}
	l1After, rootAfter := b.nonces(t)
	require.Equal(t, [2]uint64{l1, root}, [2]uint64{l1After, rootAfter})

	_, err = deploy.Cross(t.Context(), b.rootEnv, b.l1Env, b.deployer, b.l1Deployer, b.params(t, set))
	require.NoError(t, err)
	l1, root = b.nonces(t)
	// With other files it would be a second sender, which the handler never hears.
	_, err = deploy.Cross(t.Context(), b.env(t), envOf(t, b.l1Client), b.deployer, b.l1Deployer, b.params(t, set))
	require.ErrorIs(t, err, deploy.ErrOtherState)
	p := b.params(t, set)
	p.Settings.FltFundMax = deploy.NewUnits(ether(5))
	_, err = deploy.Cross(t.Context(), b.rootEnv, b.l1Env, b.deployer, b.l1Deployer, p)
	require.ErrorIs(t, err, deploy.ErrOtherState)
	l1After, rootAfter = b.nonces(t)
	require.Equal(t, [2]uint64{l1, root}, [2]uint64{l1After, rootAfter})

	t.Run("another subnet has a handler of its own", func(t *testing.T) {
		env := b.env(t)
		other, err := deploy.Root(t.Context(), env, b.deployer, rp)
		require.NoError(t, err)
		first, err := deploy.Cross(t.Context(), b.rootEnv, b.l1Env, b.deployer, b.l1Deployer, b.params(t, set))
		require.NoError(t, err)
		l1Env, quiet := envOf(t, b.l1Client), b.params(t, other)
		quiet.Settings = withoutCalls(quiet.Settings)
		second, err := deploy.Cross(t.Context(), env, l1Env, b.deployer, b.l1Deployer, quiet)
		require.NoError(t, err)
		require.NotEqual(t, first.Handler, second.Handler)
		require.True(t, first.HasGmp())
		require.False(t, second.HasGmp(), "where contracts are not to call each other")
		// What was deployed before there were calls gets them by the same files.
		third, err := deploy.Cross(t.Context(), env, l1Env, b.deployer, b.l1Deployer, b.params(t, other))
		require.NoError(t, err)
		require.True(t, third.HasGmp())
		require.NotEqual(t, first.GmpRouter, third.GmpRouter)
		third.GmpPort, third.GmpRouter, third.GmpSubnetPort = common.Address{}, common.Address{}, common.Address{}
		require.Equal(t, second, third)
	})
	t.Run("what the contracts say is read back", func(t *testing.T) { b.everyAnswerCounts(t, set) })
	t.Run("the executors stand where they should", func(t *testing.T) { b.executorsStand(t, set) })
}

func tooMuch() deploy.Units { return deploy.NewUnits(new(big.Int).Lsh(common.Big1, 128)) }

// liar changes one byte of what one contract answers to one question, the one at
// a place counted from the front or, if negative, from the end.
type liar struct {
	*rigBackend
	method []byte
	at     int
	told   int
}

func (l *liar) CallContract(ctx context.Context, msg ethereum.CallMsg, at *big.Int) ([]byte, error) {
	out, err := l.rigBackend.CallContract(ctx, msg, at)
	if err != nil || !bytes.Equal(msg.Data, l.method) {
		return out, err
	}
	l.told++
	out[(len(out)+l.at)%len(out)] ^= 1
	return out, nil
}

func (b *bridge) everyAnswerCounts(t *testing.T, set deploy.RootSet) {
	s, h := bindings.NewFltSender(), bindings.NewFltHandler()
	port, router := bindings.NewGmpPort(), bindings.NewGmpRouter()
	call := bindings.GmpCall{Nonce: 1, Sender: common.Address{2}, Target: common.Address{3}, Gas: 4, Data: []byte{5}}
	const word = 32
	for name, lie := range map[string]struct {
		chain  string
		method []byte
		at     int
	}{
		"the sender's service":     {l1Name, s.PackService(), word - 1},
		"the sender's token id":    {l1Name, s.PackService(), word},
		"the sender's token":       {l1Name, s.PackService(), 3*word - 1},
		"the sender's handler":     {l1Name, s.PackDestination(), 2*word - 1},
		"the sender's subnet":      {l1Name, s.PackDestination(), 2 * word},
		"the sender's chain":       {l1Name, s.PackDestination(), 4 * word},
		"the least deposit":        {l1Name, s.PackLimits(), word - 1},
		"the largest deposit":      {l1Name, s.PackLimits(), 2*word - 1},
		"the handler's service":    {rootName, h.PackService(), word - 1},
		"the handler's token id":   {rootName, h.PackService(), word},
		"the handler's token":      {rootName, h.PackService(), 3*word - 1},
		"the handler's L1":         {rootName, h.PackSource(), 4 * word},
		"the handler's L1 by id":   {rootName, h.PackSource(), 2*word - 1},
		"the handler's sender":     {rootName, h.PackSource(), 3*word - 1},
		"the handler's subnet":     {rootName, h.PackSubnetKey(), 0},
		"the handler's gateway":    {rootName, h.PackGateway(), word - 1},
		"the handler's portal":     {rootName, h.PackPeerAddress(), -13},
		"the subnet of the portal": {rootName, h.PackPeerAddress(), 4*word - 1},
		"that Ethereum is trusted": {rootName, h.PackOutbound(), word - 1},
		"the port's gas service":   {l1Name, port.PackGasService(), word - 1},
		"the port's gateway":       {l1Name, port.PackAxelarLink(), word - 1},
		"the port's root":          {l1Name, port.PackAxelarLink(), 4 * word},
		"the port's router":        {l1Name, port.PackAxelarLink(), 3*word - 1},
		"the router's Axelar":      {rootName, router.PackAxelarLink(), word - 1},
		"the router's L1":          {rootName, router.PackAxelarLink(), 4 * word},
		"the router's L1 port":     {rootName, router.PackAxelarLink(), 3*word - 1},
		"the port's subnet":        {l1Name, port.PackFarEnd(), word - 1},
		"the port's other end":     {l1Name, port.PackFarEnd(), 2*word - 1},
		"the gas of a target":      {l1Name, port.PackLimits(), 2*word - 1},
		"the gas of a result":      {l1Name, port.PackLimits(), 3*word - 1},
		"what the port calls it":   {l1Name, port.PackCallId(call), 0},
		"the router's gateway":     {rootName, router.PackGateway(), word - 1},
		"the router's port":        {rootName, router.PackPeerAddress(), -13},
		"the router's patience":    {rootName, router.PackPatience(), word - 1},
		"what the router calls it": {rootName, router.PackDownId(call), 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := &liar{rigBackend: &rigBackend{b.at(lie.chain)}, method: lie.method, at: lie.at}
			l1Env, rootEnv := b.l1Env, b.rootEnv
			if lie.chain == l1Name {
				l1Env.Backend = l
			} else {
				rootEnv.Backend = l
			}
			_, err := deploy.Cross(t.Context(), rootEnv, l1Env, b.deployer, b.l1Deployer, b.params(t, set))
			require.ErrorIs(t, err, deploy.ErrWrongSet)
			require.Positive(t, l.told)
		})
	}
}

// bare hides the code of one contract.
type bare struct {
	*rigBackend
	of common.Address
}

func (b *bare) CodeAt(ctx context.Context, of common.Address, at *big.Int) ([]byte, error) {
	if of == b.of {
		return nil, nil
	}
	return b.rigBackend.CodeAt(ctx, of, at)
}

func (b *bridge) executorsStand(t *testing.T, set deploy.RootSet) {
	c, err := deploy.Cross(t.Context(), b.rootEnv, b.l1Env, b.deployer, b.l1Deployer, b.params(t, set))
	require.NoError(t, err)
	l1Env, rootEnv := b.l1Env, b.rootEnv
	l1Env.Backend = &bare{&rigBackend{b.at(l1Name)}, c.L1Executor}
	_, err = deploy.Cross(t.Context(), b.rootEnv, l1Env, b.deployer, b.l1Deployer, b.params(t, set))
	require.ErrorIs(t, err, deploy.ErrWrongSet)
	require.ErrorContains(t, err, "no executor at "+c.L1Executor.Hex())
	rootEnv.Backend = &bare{&rigBackend{b.at(rootName)}, c.RootExecutor}
	_, err = deploy.Cross(t.Context(), rootEnv, b.l1Env, b.deployer, b.l1Deployer, b.params(t, set))
	require.ErrorIs(t, err, deploy.ErrWrongSet)
	require.ErrorContains(t, err, "no executor at "+c.RootExecutor.Hex())
}

func TestACrossingIsCheckedWithItsDeployment(t *testing.T) {
	sets := deploy.AxelarSet{
		Generation: deploy.GatewayLegacy, Chain: l1Name, Hub: hub, ChainID: l1ChainID, Gateway: common.Address{1}, GasService: common.Address{2},
		Service: common.Address{3}, Factory: common.Address{4},
	}
	good := func() deploy.Crossing {
		c := deploy.Crossing{
			L1: sets, Root: sets, TokenID: common.Hash{5}, L1Flt: common.Address{6}, L1Manager: common.Address{7}, Sender: common.Address{8},
			Handler: common.Address{9}, Portal: deploy.PortalAddress,
			Signers: []deploy.SignerSet{{Signers: []deploy.Weighted{{Address: common.Address{1}, Weight: 1}, {Address: common.Address{2}, Weight: 2}}, Threshold: 3}},
		}
		c.Root.Chain, c.Root.ChainID = rootName, rootChainID
		return c
	}
	require.NoError(t, good().Check())
	network := good()
	network.Signers = nil
	require.NoError(t, network.Check(), "Axelar's own network approves")
	for complaint, change := range map[string]func(*deploy.Crossing){
		"l1: gateway is neither":           func(c *deploy.Crossing) { c.L1.Generation = "third" },
		"root: chain has no usable name":   func(c *deploy.Crossing) { c.Root.Chain = "file_coin" },
		"l1: chain has no usable name":     func(c *deploy.Crossing) { c.L1.Chain = strings.Repeat("e", 32) },
		"no hub":                           func(c *deploy.Crossing) { c.L1.Hub = "" },
		"no chain_id":                      func(c *deploy.Crossing) { c.L1.ChainID = 0 },
		"no gateway or no gas_service":     func(c *deploy.Crossing) { c.L1.GasService = common.Address{} },
		"no token_service":                 func(c *deploy.Crossing) { c.Root.Service = common.Address{} },
		"one name":                         func(c *deploy.Crossing) { c.Root.Chain = l1Name },
		"one chain id":                     func(c *deploy.Crossing) { c.Root.ChainID = l1ChainID },
		"different hubs":                   func(c *deploy.Crossing) { c.Root.Hub = "axelar1" },
		"signer set 0: a signer is zero":   func(c *deploy.Crossing) { c.Signers[0].Signers[0].Address = common.Address{3} },
		"signer set 0: a signer is weight": func(c *deploy.Crossing) { c.Signers[0].Signers[0].Weight = 0 },
		"signer set 0: threshold":          func(c *deploy.Crossing) { c.Signers[0].Threshold = 0 },
		"no token_id":                      func(c *deploy.Crossing) { c.TokenID = common.Hash{} },
		"no l1_flt":                        func(c *deploy.Crossing) { c.L1Manager = common.Address{} },
		"no flt_sender or no flt_handler":  func(c *deploy.Crossing) { c.Handler = common.Address{} },
		"flt_portal is not at " + deploy.PortalAddress.Hex(): func(c *deploy.Crossing) { c.Portal = deploy.OutboxAddress },
	} {
		c := good()
		change(&c)
		require.ErrorContains(t, c.Check(), complaint)
	}

	// Calls are there whole or not at all.
	calls := good()
	calls.GmpPort, calls.GmpRouter, calls.GmpSubnetPort = common.Address{11}, common.Address{12}, deploy.GmpAddress
	require.NoError(t, calls.Check())
	require.True(t, calls.HasGmp())
	for complaint, change := range map[string]func(*deploy.Crossing){
		"no gmp_port":   func(c *deploy.Crossing) { c.GmpPort = common.Address{} },
		"no gmp_router": func(c *deploy.Crossing) { c.GmpRouter = common.Address{} },
		"gmp_subnet_port is not at " + deploy.GmpAddress.Hex(): func(c *deploy.Crossing) { c.GmpSubnetPort = common.Address{} },
		"no gmp_port or": func(c *deploy.Crossing) { c.GmpPort, c.GmpRouter = common.Address{}, common.Address{} },
	} {
		c := calls
		change(&c)
		require.ErrorContains(t, c.Check(), complaint)
	}

	// What does not go with the rest of the file.
	d := deploy.Deployment{Version: deploy.DeploymentVersion, Generation: deploy.GenerationC, Settings: deploy.Default()}
	d.Root.ChainID, d.Subnet.ChainID = rootChainID, 77
	c := good()
	d.Crossing = &c
	require.NotContains(t, d.Check().Error(), "crossing")
	c.Root.ChainID++
	require.ErrorContains(t, d.Check(), "crossing: its root is chain")
	c = good()
	d.Subnet.ChainID = l1ChainID
	require.ErrorContains(t, d.Check(), "crossing: the subnet has the chain id of its L1")
	d.Subnet.ChainID, c.Portal = 77, common.Address{}
	require.ErrorContains(t, d.Check(), "crossing: flt_portal")
	c = calls
	require.ErrorContains(t, d.Check(), "crossing: its contracts for calls know the subnet as chain")
	d.Subnet.ChainID = deploy.SubnetChainID(d.Root.Subnet())
	require.NotContains(t, d.Check().Error(), "contracts for calls")
	d.Settings = withoutCalls(d.Settings)
	require.ErrorContains(t, d.Check(), "crossing: it has contracts for calls, the settings have none")
	d.Subnet.ChainID, c = 77, good()
	d.Settings.FltWithdrawMax = tooMuch()
	require.ErrorContains(t, d.Check(), "crossing: the largest FLT withdrawal")
	d.Settings = deploy.Settings{}
	require.ErrorContains(t, d.Check(), "a crossing is Causeway's own")
}
