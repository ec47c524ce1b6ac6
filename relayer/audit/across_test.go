package audit

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

const (
	l1Chain          = 7777
	l1Word, rootWord = "Ethereum", "filecoin"
	hubWord          = "axelar1aqcj54lzz0rk22gvqgcn8fr5tx4rzwdv5wv5j9dmnacgefvd7wzsy2j2mr"
)

var (
	l1GatewayAt, rootGatewayAt = addr(20), addr(21)
	l1ServiceAt, rootServiceAt = addr(22), addr(23)
	senderAt, handlerAt        = addr(24), addr(25)
	portalAt                   = addr(26)
	l1Token, l1ManagerAt       = addr(27), addr(28)
	fltID                      = common.Hash{31: 0xf1}
	user                       = addr(60)
)

// axelarABI is what of gateways and token services is said in the model.
const axelarABI = `[
{"type":"event","name":"ContractCall","inputs":[{"name":"sender","type":"address","indexed":true},{"name":"c","type":"string"},{"name":"a","type":"string"},{"name":"h","type":"bytes32","indexed":true},{"name":"p","type":"bytes"}]},
{"type":"event","name":"ContractCallApproved","inputs":[{"name":"id","type":"bytes32","indexed":true},{"name":"c","type":"string"},{"name":"a","type":"string"},{"name":"to","type":"address","indexed":true},{"name":"h","type":"bytes32","indexed":true},{"name":"tx","type":"bytes32"},{"name":"i","type":"uint256"}]},
{"type":"event","name":"InterchainTransferReceived","inputs":[{"name":"id","type":"bytes32","indexed":true},{"name":"t","type":"bytes32","indexed":true},{"name":"c","type":"string"},{"name":"s","type":"bytes"},{"name":"to","type":"address","indexed":true},{"name":"n","type":"uint256"},{"name":"h","type":"bytes32"}]}]`

type l1Books struct {
	locked int64
	nonces uint64
}

type fakeL1 struct{ *fakeChain[l1Books] }

func (l *fakeL1) NonceAt(_ context.Context, _ common.Address, ref evm.BlockRef) (uint64, error) {
	i, err := l.at(ref)
	if err != nil {
		return 0, err
	}
	return l.blocks[i].state.nonces, nil
}

// ocean is a world with an Ethereum: FltSender there, FltHandler on the root and
// FltPortal in the subnet, and Axelar between them.
type ocean struct {
	*world
	l1       *fakeL1
	crossing flow.Crossing
	legs     map[string][]axelar.Routed // by route, in the order they were sent
	deposits []modelCrossing
	leaving  []modelCrossing
	bounced  []uint64 // top-down messages that the subnet sent back
}

// modelCrossing is a deposit or a withdrawal.
type modelCrossing struct {
	id      common.Hash
	amount  int64
	deposit axelar.FltDeposit
	message ipc.IpcEnvelope
}

func newOcean() *ocean {
	o := &ocean{world: newWorld(1000), legs: map[string][]axelar.Routed{}}
	said, err := abi.JSON(strings.NewReader(axelarABI))
	if err != nil {
		panic(err)
	}
	o.abis["axelar"] = said
	for name, meta := range map[string]interface{ ParseABI() (*abi.ABI, error) }{
		"sender": &bindings.FltSenderMetaData, "handler": &bindings.FltHandlerMetaData, "portal": &bindings.FltPortalMetaData,
	} {
		parsed, err := meta.ParseABI()
		if err != nil {
			panic(err)
		}
		o.abis[name] = *parsed
	}
	o.root.abis[handlerAt] = o.abis["handler"]
	o.l1 = &fakeL1{&fakeChain[l1Books]{id: l1Chain, abis: map[common.Address]abi.ABI{l1Token: o.abis["replica"]},
		answer: func(s l1Books, to common.Address, m *abi.Method, args []any) ([]any, error) {
			if to == l1Token && m.Name == "balanceOf" && args[0] == l1ManagerAt {
				return []any{big64(s.locked)}, nil
			}
			return nil, fmt.Errorf("no answer to %s of %s", m.Name, to)
		}}}
	o.l1.blocks = []fakeBlock[l1Books]{{header: header(nil, 2)}}
	o.crossing = flow.Crossing{
		L1: l1Chain, L1Name: l1Word, RootName: rootWord, TokenID: fltID, Sender: senderAt, Handler: handlerAt, Portal: portalAt,
		L1Gateway: axelar.NewLegacy(l1Chain, l1GatewayAt, addr(29)), RootGateway: axelar.NewLegacy(rootChain, rootGatewayAt, addr(29)),
		Hub: axelar.Hub{Address: hubWord, Services: map[string]common.Address{l1Word: l1ServiceAt, rootWord: rootServiceAt}},
	}
	// What circulates on the root without having come from Ethereum is not FLT.
	o.root.tip().state.supply = 0
	return o
}

// source is what an auditor of it reads.
func (o *ocean) source(src *Source) {
	service := func(at, gateway common.Address, chain string) axelar.Service {
		return axelar.Service{Address: at, Version: axelar.V220, Chain: chain, Hub: hubWord, Gateway: gateway}
	}
	src.Crossing = &Crossing{
		L1: o.l1, L1Gateway: o.crossing.L1Gateway, RootGateway: o.crossing.RootGateway,
		L1Service: service(l1ServiceAt, l1GatewayAt, l1Word), RootService: service(rootServiceAt, rootGatewayAt, rootWord),
		TokenID: fltID, L1Token: l1Token, L1Manager: l1ManagerAt, RootToken: sub.FLT,
		Sender: senderAt, Handler: handlerAt, Portal: portalAt, Foreign: o.crossing.Foreign,
	}
}

func (o *ocean) l1Block(f func(*l1Books, *emitter)) {
	prev := o.l1.tip()
	b := fakeBlock[l1Books]{header: header(prev.header, 2), state: prev.state}
	e := &emitter{w: o.world, chain: l1Chain, header: b.header}
	f(&b.state, e)
	b.events = e.events
	o.l1.blocks = append(o.l1.blocks, b)
	o.l1.head = len(o.l1.blocks) - 1
}

// placed gives the events of one block a transaction and their places in it.
func placed(e *emitter) {
	for i := range e.events {
		e.events[i].Tx = crypto.Keccak256Hash([]byte{byte(e.chain)}, e.header.Number.Bytes())
		e.events[i].Position = uint(i)
	}
}

// ship has the token service of one chain send FLT to the other.
func (o *ocean) ship(e *emitter, route string, source, destination common.Address, amount int64, data []byte) {
	from, gateway, service, to := l1Word, l1GatewayAt, l1ServiceAt, rootWord
	if route == routeLegOut {
		from, gateway, service, to = rootWord, rootGatewayAt, rootServiceAt, l1Word
	}
	inner, err := axelar.EncodePayload(axelar.Transfer{TokenID: fltID, Source: source.Bytes(), Destination: destination.Bytes(), Amount: big64(amount), Data: data})
	if err != nil {
		panic(err)
	}
	payload, err := axelar.EncodePayload(axelar.SendToHub{Chain: to, Inner: inner})
	if err != nil {
		panic(err)
	}
	e.emit("axelar", gateway, "ContractCall", service, axelar.HubChain, hubWord, [32]byte(crypto.Keccak256Hash(payload)), payload)
	placed(e)
	sent := e.events[len(e.events)-1]
	r, err := o.crossing.Hub.Route(from, axelar.MessageID{Tx: sent.Tx, Index: uint64(sent.Position)}, axelar.Called{
		Sender: service, DestinationChain: axelar.HubChain, DestinationAddress: hubWord, Payload: payload, PayloadHash: crypto.Keccak256Hash(payload),
	})
	if err != nil {
		panic(err)
	}
	o.legs[route] = append(o.legs[route], r)
}

func (o *ocean) approved(e *emitter, gateway axelar.Gateway, r axelar.Routed) {
	m := r.Message
	e.emit("axelar", gateway.Address(), "ContractCallApproved", [32]byte(gateway.CommandID(m)), m.SourceChain, m.SourceAddress, m.Contract, [32]byte(m.PayloadHash), [32]byte{1}, new(big.Int))
}

func received(e *emitter, gateway axelar.Gateway, service common.Address, from string, r axelar.Routed) {
	t := r.Inner.(axelar.Transfer)
	e.emit("axelar", service, "InterchainTransferReceived", [32]byte(gateway.CommandID(r.Message)), [32]byte(fltID), from, t.Source, common.BytesToAddress(t.Destination), t.Amount, [32]byte{})
}

// cross is FltSender.deposit.
func (o *ocean) cross(amount int64) {
	d := axelar.FltDeposit{Sender: user, Recipient: addr(61), Subnet: sub.IPC.Hash(), Nonce: uint64(len(o.deposits)), Amount: big64(amount)}
	id := axelar.FltDepositID(l1Chain, senderAt, d)
	o.l1Block(func(s *l1Books, e *emitter) {
		s.locked += amount
		o.ship(e, routeLegIn, senderAt, handlerAt, amount, axelar.EncodeFltDeposit(d))
		e.emit("sender", senderAt, "Deposited", [32]byte(id), d.Sender, d.Recipient, d.Nonce, d.Amount, [32]byte{}, new(big.Int))
		placed(e)
	})
	o.deposits = append(o.deposits, modelCrossing{id: id, amount: amount, deposit: d})
}

// approve has the destination of a leg approve the nth message.
func (o *ocean) approve(route string, n int) {
	if route == routeLegIn {
		o.rootBlock(func(_ *rootBooks, e *emitter) { o.approved(e, o.crossing.RootGateway, o.legs[route][n]); placed(e) })
		return
	}
	o.l1Block(func(_ *l1Books, e *emitter) { o.approved(e, o.crossing.L1Gateway, o.legs[route][n]); placed(e) })
}

// land executes the nth deposit's message on the root; funds says whether the
// gateway takes it.
func (o *ocean) land(n int, funds bool) {
	d := &o.deposits[n]
	o.rootBlock(func(s *rootBooks, e *emitter) {
		s.supply += d.amount
		received(e, o.crossing.RootGateway, rootServiceAt, l1Word, o.legs[routeLegIn][n])
		if funds {
			o.fundFor(s, e, d)
		} else {
			s.handlerFLT += d.amount
			s.kept += d.amount
			e.emit("handler", handlerAt, "Credited", [32]byte(d.id), uint8(keptUnfunded), big64(d.amount), []byte{})
		}
		placed(e)
	})
}

func (o *ocean) fundFor(s *rootBooks, e *emitter, d *modelCrossing) {
	s.locked += d.amount
	s.gatewayFLT += d.amount
	d.message = o.sendDown(s, e, ipc.IpcEnvelope{Kind: ipc.KindTransfer, Value: big64(d.amount), To: onChild(addr(61)), From: onRoot(handlerAt)})
	e.emit("handler", handlerAt, "Funded", [32]byte(d.id), [32]byte(d.message.TracingID()), d.message.LocalNonce, addr(61), big64(d.amount))
}

// retry funds what was kept.
func (o *ocean) retryDeposit(n int) {
	d := &o.deposits[n]
	o.rootBlock(func(s *rootBooks, e *emitter) {
		s.handlerFLT -= d.amount
		s.spent += d.amount
		o.fundFor(s, e, d)
		placed(e)
	})
}

// undelivered keeps what the subnet sent back.
func (o *ocean) undelivered(n int) {
	d := &o.deposits[n]
	o.rootBlock(func(s *rootBooks, e *emitter) {
		s.handlerFLT += d.amount
		s.kept += d.amount
		e.emit("handler", handlerAt, "Credited", [32]byte(d.id), uint8(keptUndelivered), big64(d.amount), []byte{})
	})
}

// sendBack returns a deposit to its sender on Ethereum.
func (o *ocean) sendBack(n int) {
	d := &o.deposits[n]
	o.rootBlock(func(s *rootBooks, e *emitter) {
		s.handlerFLT -= d.amount
		s.spent += d.amount
		s.supply -= d.amount
		o.ship(e, routeLegOut, handlerAt, user, d.amount, nil)
		e.emit("handler", handlerAt, "SentBack", [32]byte(d.id), user, big64(d.amount))
		placed(e)
	})
}

// claim pays a credit out on the root.
func (o *ocean) claim(id common.Hash, amount int64) {
	o.rootBlock(func(s *rootBooks, e *emitter) {
		s.handlerFLT -= amount
		s.spent += amount
		e.emit("handler", handlerAt, "Claimed", [32]byte(id), user, big64(amount), user)
	})
}

// leave is FltPortal.withdrawToL1.
func (o *ocean) leave(amount int64) {
	wd := axelar.FltWithdrawal{Subnet: sub.IPC.Hash(), Portal: portalAt, Nonce: uint64(len(o.leaving)), Sender: user, Recipient: user, Amount: big64(amount)}
	id := axelar.FltWithdrawalID(rootChain, handlerAt, wd)
	o.childBlock(func(s *childBooks, e *emitter) {
		takeBack(s, amount)
		env := o.sendUp(s, e, ipc.IpcEnvelope{Kind: ipc.KindTransfer, Value: big64(amount), To: onRoot(handlerAt), From: onChild(portalAt)})
		e.emit("portal", portalAt, "WithdrawalToL1Sent", [32]byte(id), wd.Nonce, env.LocalNonce, bindings.FltWithdrawal{
			SubnetKey: wd.Subnet, Portal: wd.Portal, Nonce: wd.Nonce, Sender: wd.Sender, Recipient: wd.Recipient, Amount: wd.Amount,
		})
	})
	o.leaving = append(o.leaving, modelCrossing{id: id, amount: amount})
}

// emerge executes withdrawals' messages on the root, and has FltHandler send the
// nth on; sends says whether the token service takes it.
func (o *ocean) emerge(n int, sends bool) {
	for o.child.tip().header.Number.Uint64()%modelPeriod != 0 {
		o.childBlock(func(*childBooks, *emitter) {})
	}
	for o.checkpoint() {
	}
	o.exec(100, alwaysGood)
	w := o.leaving[n]
	o.rootBlock(func(s *rootBooks, e *emitter) {
		if sends {
			s.supply -= w.amount
			o.sendOn(e, w)
		} else {
			s.handlerFLT += w.amount
			s.kept += w.amount
			e.emit("handler", handlerAt, "Credited", [32]byte(w.id), uint8(keptUnsent), big64(w.amount), []byte{})
		}
		placed(e)
	})
}

func (o *ocean) sendOn(e *emitter, w modelCrossing) {
	o.ship(e, routeLegOut, handlerAt, user, w.amount, nil)
	e.emit("handler", handlerAt, "SentOn", [32]byte(w.id), user, big64(w.amount))
	placed(e)
}

// unlock executes the nth message on Ethereum.
func (o *ocean) unlock(n int) {
	r := o.legs[routeLegOut][n]
	o.l1Block(func(s *l1Books, e *emitter) {
		s.locked -= r.Inner.(axelar.Transfer).Amount.Int64()
		received(e, o.crossing.L1Gateway, l1ServiceAt, rootWord, r)
		placed(e)
	})
}

// kept is the journal of it: what the flows make of the events, and the status and
// step that each transfer has by the story.
func (o *ocean) kept(story map[string]Standing) *shelf {
	s := &shelf{book: journaled(o.world), status: map[common.Hash]tokens.Status{}, step: map[common.Hash]string{}}
	for _, e := range s.rows {
		s.status[e.ID] = tokens.Pending
		if e.Route == "topdown" || e.Route == "flt_deposit" {
			s.status[e.ID] = tokens.Done
		}
	}
	for _, n := range o.bounced {
		s.status[idOf("flt_deposit", n)] = tokens.Refunded
	}
	s.cursors[flow.Ethereum] = uint64(len(o.l1.blocks))
	flows := []flow.Flow{
		flow.LegIn(sub, o.crossing, flow.LegDeps{}), flow.LegOut(sub, o.crossing, flow.LegDeps{}),
		flow.FLTL1Deposit(sub, o.crossing, flow.CrossDeps{}), flow.FLTL1Withdraw(sub, o.crossing, flow.CrossDeps{}),
	}
	seen := map[string]int{}
	put := func(e chains.Event) {
		for _, f := range flows {
			t, mine, err := f.Decode(e)
			if err != nil {
				panic(err)
			}
			if !mine {
				continue
			}
			name := fmt.Sprintf("%s/%d", f.Name, seen[f.Name])
			seen[f.Name]++
			told, ok := story[name]
			if !ok {
				panic("no story of " + name)
			}
			s.rows = append(s.rows, Entry{t.ID, t.Route, e.Chain, e.Block})
			s.status[t.ID], s.step[t.ID] = told.Status, told.Step
		}
	}
	for _, events := range [][][]chains.Event{eventsOf(o.l1.fakeChain), eventsOf(o.root.fakeChain), eventsOf(o.child.fakeChain)} {
		for _, block := range events {
			for _, e := range block {
				put(e)
			}
		}
	}
	return s
}

func eventsOf[S any](c *fakeChain[S]) (out [][]chains.Event) {
	for _, b := range c.blocks {
		out = append(out, b.events)
	}
	return out
}

// crossed is an ocean with a transfer in every state there is, and its story.
func crossedOcean() (*ocean, map[string]Standing) {
	o := newOcean()
	done, refunded := Standing{Status: tokens.Done}, Standing{Status: tokens.Refunded}
	at := func(step string) Standing { return Standing{Status: tokens.Pending, Step: step} }
	story := map[string]Standing{}

	o.cross(100) // 0: delivered
	o.cross(200) // 1: kept, retried, delivered
	o.cross(300) // 2: sent back by the subnet, and on to its sender
	o.cross(400) // 3: kept for good, claimed
	o.cross(500) // 4: approved
	o.cross(600) // 5: locked only
	for n := range 5 {
		o.approve(routeLegIn, n)
	}
	o.land(0, true)
	o.land(1, false)
	o.land(2, true)
	o.land(3, false)
	o.retryDeposit(1)
	o.claim(o.deposits[3].id, 400)
	o.deliver(1, alwaysGood)
	o.deliver(1, badAt(4)) // of deposit 2
	o.bounced = []uint64{1}
	o.deliver(1, alwaysGood)
	o.leave(10) // 0: unlocked
	o.leave(20) // 1: sent on
	o.leave(30) // 2: kept
	o.leave(40) // 3: on its way up
	for range 2 * modelPeriod {
		o.childBlock(func(*childBooks, *emitter) {})
	}
	o.emerge(0, true)
	o.undelivered(2)
	o.sendBack(2)
	o.emerge(1, true)
	o.emerge(2, false)
	for n := range 3 {
		o.approve(routeLegOut, n)
	}
	o.unlock(0)
	o.unlock(1)

	for name, s := range map[string]Standing{
		"leg_in/0": done, "leg_in/1": done, "leg_in/2": done, "leg_in/3": done, "leg_in/4": at("execute"), "leg_in/5": at("approve"),
		"flt_l1_deposit/0": done, "flt_l1_deposit/1": done, "flt_l1_deposit/2": refunded, "flt_l1_deposit/3": refunded,
		"flt_l1_deposit/4": at("fund"), "flt_l1_deposit/5": at("fund"),
		"flt_l1_withdraw/0": done, "flt_l1_withdraw/1": at("unlock"), "flt_l1_withdraw/2": at("retry"), "flt_l1_withdraw/3": at("send_on"),
		"leg_out/0": done, "leg_out/1": done, "leg_out/2": at("execute"),
	} {
		story[name] = s
	}
	return o, story
}

func (o *ocean) reconcile(t *testing.T, s *shelf) Reconciliation {
	t.Helper()
	r, err := auditorOf(t, o.world, o.source, func(src *Source) { src.Journal = s }).Reconcile(ctx, s)
	require.NoError(t, err)
	return r
}

func TestWhatCrossesEthereumIsReconciled(t *testing.T) {
	o, story := crossedOcean()
	s := o.kept(story)
	r := o.reconcile(t, s)
	require.Empty(t, r.Differences)
	require.Empty(t, r.Audit.Skipped)
	require.True(t, r.OK, "%+v", r.Audit)
	require.Equal(t, o.l1.block(o.l1.head), *r.Audit.EthereumBlock)
	require.Equal(t, len(story), countOf(s.rows, crossRoutes...))
	inv := find(t, r.Audit, "I1", FLTAcross)
	require.Equal(t, "0", inv.Drift, "%v", inv.Terms)
	require.Equal(t, "1100", inv.Terms["in_flight_in"])
	require.Equal(t, "20", inv.Terms["in_flight_out"])
}

func countOf(rows []Entry, routes ...string) (n int) {
	for _, e := range rows {
		if slices.Contains(routes, e.Route) {
			n++
		}
	}
	return n
}

// row is the id of the nth transfer of a route.
func (s *shelf) row(name string) common.Hash {
	route, nth, _ := strings.Cut(name, "/")
	n := 0
	for _, e := range s.rows {
		if e.Route != route {
			continue
		}
		if fmt.Sprint(n) == nth {
			return e.ID
		}
		n++
	}
	panic("no row " + name)
}

// lose takes a row out.
func (s *shelf) lose(name string) {
	id := s.row(name)
	s.rows = slices.DeleteFunc(s.rows, func(e Entry) bool { return e.ID == id })
}

func TestEachWayOfDisagreeingAboutACrossingIsNamedOnce(t *testing.T) {
	set := func(name string, status tokens.Status, step string) func(*ocean, *shelf) {
		return func(_ *ocean, s *shelf) { s.status[s.row(name)], s.step[s.row(name)] = status, step }
	}
	lose := func(name string) func(*ocean, *shelf) { return func(_ *ocean, s *shelf) { s.lose(name) } }
	invent := func(route string, chain chains.ID) func(*ocean, *shelf) {
		return func(_ *ocean, s *shelf) {
			e := Entry{common.Hash{1}, route, chain, 1}
			s.rows = append(s.rows, e)
			s.status[e.ID] = tokens.Pending
		}
	}
	for name, c := range map[string]struct {
		spoil func(*ocean, *shelf)
		row   string // of it, "" for one that nobody began
		kind  string
	}{
		"a message from Ethereum that is lost":        {lose("leg_in/5"), "leg_in/5", Missing},
		"a message to Ethereum that is lost":          {lose("leg_out/2"), "leg_out/2", Missing},
		"a deposit that is lost":                      {lose("flt_l1_deposit/0"), "flt_l1_deposit/0", Missing},
		"a withdrawal that is lost":                   {lose("flt_l1_withdraw/3"), "flt_l1_withdraw/3", Missing},
		"an approval that was overheard":              {set("leg_in/4", tokens.Pending, "approve"), "leg_in/4", Behind},
		"an approval on Ethereum that was overheard":  {set("leg_out/2", tokens.Pending, "approve"), "leg_out/2", Behind},
		"an execution that was overheard":             {set("leg_in/0", tokens.Pending, "execute"), "leg_in/0", Behind},
		"an execution on Ethereum that was overheard": {set("leg_out/0", tokens.Pending, "execute"), "leg_out/0", Behind},
		"a funding that was overheard":                {set("flt_l1_deposit/0", tokens.Pending, "fund"), "flt_l1_deposit/0", Behind},
		"a credit that was overheard":                 {set("flt_l1_deposit/3", tokens.Pending, "fund"), "flt_l1_deposit/3", Behind},
		"a retry that was overheard":                  {set("flt_l1_deposit/1", tokens.Pending, "retry"), "flt_l1_deposit/1", Behind},
		"a claim that was overheard":                  {set("flt_l1_deposit/3", tokens.Pending, "retry"), "flt_l1_deposit/3", Behind},
		"a return that was overheard":                 {set("flt_l1_deposit/2", tokens.Pending, "undelivered"), "flt_l1_deposit/2", Behind},
		"a way back that was overheard":               {set("flt_l1_deposit/2", tokens.Pending, "send_back"), "flt_l1_deposit/2", Behind},
		"a sending on that was overheard":             {set("flt_l1_withdraw/1", tokens.Pending, "send_on"), "flt_l1_withdraw/1", Behind},
		"a keeping that was overheard":                {set("flt_l1_withdraw/2", tokens.Pending, "send_on"), "flt_l1_withdraw/2", Behind},
		"an execution that nobody made":               {set("leg_in/4", tokens.Done, ""), "leg_in/4", Ahead},
		"an execution on Ethereum that nobody made":   {set("leg_out/2", tokens.Done, ""), "leg_out/2", Ahead},
		"a deposit that never came":                   {set("flt_l1_deposit/5", tokens.Done, ""), "flt_l1_deposit/5", Ahead},
		"a refund that nobody made":                   {set("flt_l1_deposit/4", tokens.Refunded, ""), "flt_l1_deposit/4", Ahead},
		"a withdrawal that was not unlocked":          {set("flt_l1_withdraw/1", tokens.Done, ""), "flt_l1_withdraw/1", Ahead},
		"a withdrawal that never left the subnet":     {set("flt_l1_withdraw/3", tokens.Refunded, ""), "flt_l1_withdraw/3", Ahead},
		"a refund taken for a delivery":               {set("flt_l1_deposit/2", tokens.Done, ""), "flt_l1_deposit/2", Otherwise},
		"a delivery taken for a refund":               {set("flt_l1_deposit/0", tokens.Refunded, ""), "flt_l1_deposit/0", Otherwise},
		"an unlocking taken for a claim":              {set("flt_l1_withdraw/0", tokens.Refunded, ""), "flt_l1_withdraw/0", Otherwise},
		"a message from Ethereum that nobody sent":    {invent("leg_in", l1Chain), "", Unfounded},
		"a message to Ethereum that nobody sent":      {invent("leg_out", rootChain), "", Unfounded},
		"a deposit on Ethereum that nobody made":      {invent("flt_l1_deposit", l1Chain), "", Unfounded},
		"a withdrawal to Ethereum that nobody made":   {invent("flt_l1_withdraw", childChain), "", Unfounded},
	} {
		t.Run(name, func(t *testing.T) {
			o, story := crossedOcean()
			s := o.kept(story)
			want := common.Hash{1}
			if c.row != "" {
				want = s.row(c.row)
			}
			c.spoil(o, s)
			r := o.reconcile(t, s)
			require.False(t, r.OK)
			require.Equal(t, map[string]int{c.kind: 1}, r.Counts, "%+v", r.Differences)
			require.Equal(t, want, r.Differences[0].ID)
			require.NotEmpty(t, r.Differences[0].Fix)
		})
	}
}

// TestWhatASearchFindsIsNotYetBehind: no event names the end of a deposit, nor that
// of a withdrawal.
func TestWhatASearchFindsIsNotYetBehind(t *testing.T) {
	o, story := crossedOcean()
	s := o.kept(story)
	for name, step := range map[string]string{"flt_l1_deposit/0": "deliver", "flt_l1_deposit/1": "deliver", "flt_l1_withdraw/0": "unlock"} {
		s.status[s.row(name)], s.step[s.row(name)] = tokens.Pending, step
	}
	r := o.reconcile(t, s)
	require.Empty(t, r.Differences)
	require.True(t, r.OK)
}

func TestWhatTheCursorOfEthereumHasNotReachedIsNotMissed(t *testing.T) {
	o, story := crossedOcean()
	s := o.kept(story)
	s.cursors[flow.Ethereum] = 0
	for range 6 {
		s.lose("leg_in/0")
		s.lose("flt_l1_deposit/0")
	}
	for n := range 2 {
		id := s.row(fmt.Sprintf("leg_out/%d", n))
		s.status[id], s.step[id] = tokens.Pending, "approve"
	}
	r := o.reconcile(t, s)
	require.Empty(t, r.Differences)
	require.True(t, r.OK)
	s.cursors[flow.Ethereum] = 2 // the first deposit, and no approval there
	require.Equal(t, map[string]int{Missing: 2}, o.reconcile(t, s).Counts)
}

// TestAnEthereumThatDoesNotAnswerIsSaidAndAccusesNobody: nothing is compared that
// could not be read.
func TestAnEthereumThatDoesNotAnswerIsSaidAndAccusesNobody(t *testing.T) {
	o, story := crossedOcean()
	s := o.kept(story)
	s.lose("leg_in/0")
	s.status[s.row("leg_out/2")] = tokens.Done
	r, err := auditorOf(t, o.world, o.source, func(src *Source) { src.Crossing.L1, src.Journal = deaf{o.l1}, s }).Reconcile(ctx, s)
	require.NoError(t, err)
	require.False(t, r.OK)
	require.Empty(t, r.Differences)
	require.Nil(t, r.Audit.EthereumBlock)
	require.Len(t, r.Audit.Skipped, 1)
	require.Contains(t, r.Audit.Skipped[0], "I1 "+FLTAcross)
}

type deaf struct{ *fakeL1 }

func (deaf) Head(context.Context) (chains.Block, error) { return chains.Block{}, errors.New("deaf") }

// TestTheJournalOfACrossingIsPartOfI4 and a nonce on Ethereum of I6.
func TestTheJournalOfACrossingIsPartOfI4AndItsNoncesOfI6(t *testing.T) {
	o, story := crossedOcean()
	for name, c := range map[string]struct {
		spoil func(*shelf)
		id    string
	}{
		"a message":    {func(s *shelf) { s.lose("leg_in/5") }, "I4"},
		"a deposit":    {func(s *shelf) { s.lose("flt_l1_deposit/4") }, "I4"},
		"a withdrawal": {func(s *shelf) { s.lose("flt_l1_withdraw/0") }, "I4"},
		"nothing":      {func(*shelf) {}, ""},
		"an invention": {func(s *shelf) { s.rows = append(s.rows, Entry{common.Hash{1}, "leg_in", l1Chain, 1}) }, "I4"},
		"a nonce": {func(s *shelf) {
			s.intents = map[common.Address]map[uint64]chains.Intent{addr(80): {0: {Chain: l1Chain, Account: addr(80), Nonce: 0}}}
			o.l1Block(func(b *l1Books, _ *emitter) { b.nonces = 2 })
		}, "I6"},
	} {
		t.Run(name, func(t *testing.T) {
			s := o.kept(story)
			c.spoil(s)
			s.cursors[flow.Ethereum] = uint64(len(o.l1.blocks))
			r := check(t, auditorOf(t, o.world, o.source, func(src *Source) {
				src.Journal, src.Crossing.Accounts = s, []common.Address{addr(80)}
			}))
			for _, i := range r.Invariants {
				require.Equal(t, i.ID != c.id, i.OK, "%s: %s", i.ID, i.Detail)
			}
		})
	}
}

// TestForeignTransfersAreCarriedAndComparedWhereTheyAreAskedFor of the same token.
func TestForeignTransfersAreCarriedAndComparedWhereTheyAreAskedFor(t *testing.T) {
	for foreign, want := range map[bool]int{false: 0, true: 1} {
		o := newOcean()
		o.crossing.Foreign = foreign
		o.l1Block(func(s *l1Books, e *emitter) {
			s.locked += 5
			o.ship(e, routeLegIn, user, addr(90), 5, nil)
		})
		s := o.kept(map[string]Standing{"leg_in/0": {Status: tokens.Pending, Step: "approve"}})
		require.Equal(t, want, countOf(s.rows, "leg_in"))
		r := o.reconcile(t, s)
		require.True(t, r.OK, "%+v", r)
		if foreign {
			s.lose("leg_in/0")
			require.Equal(t, map[string]int{Missing: 1}, o.reconcile(t, s).Counts)
		}
	}
}

// TestAnEventOfOurOwnThatDoesNotDecodeIsSaid and stops nothing.
func TestAnEventOfOurOwnThatDoesNotDecodeIsSaid(t *testing.T) {
	o, story := crossedOcean()
	s := o.kept(story)
	o.rootBlock(func(_ *rootBooks, e *emitter) {
		e.raw(handlerAt, []byte{1}, o.abis["handler"].Events["Funded"].ID, common.Hash{1}, common.Hash{2}, common.Hash{3})
		e.emit("handler", handlerAt, "SentOn", [32]byte{9}, user, big64(1))
	})
	r := o.reconcile(t, s)
	require.Empty(t, r.Differences)
	inv := find(t, r.Audit, "I1", FLTAcross)
	require.False(t, inv.OK)
	require.Contains(t, inv.Detail, "no call of the gateway before SentOn")
}
