package audit

import (
	"fmt"
	"math/big"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

const (
	acrossL1, acrossRoot = chains.ID(4001), chains.ID(4002)
	acrossHub            = "axelar1aqcj54lzz0rk22gvqgcn8fr5tx4rzwdv5wv5j9dmnacgefvd7wzsy2j2mr"
)

var acrossFLT = common.HexToHash("0xf17")

// across is FLT between Ethereum and the root as its events tell it, and what the
// contracts hold. Blocks count up on both chains together.
type across struct {
	*Crossing
	block                   uint64
	locked, supply, handler *big.Int
	counters                bindings.IFltHandlerCounters
}

func newAcross() *across {
	a := &across{
		Crossing: &Crossing{
			L1Gateway:   axelar.NewLegacy(acrossL1, common.Address{0x21}, common.Address{0x31}),
			RootGateway: axelar.NewAmplifier(common.Address{0x22}, common.Hash{1}),
			L1Service:   axelar.Service{Address: common.Address{0x11}, Chain: "Ethereum", Hub: acrossHub},
			RootService: axelar.Service{Address: common.Address{0x12}, Chain: "filecoin", Hub: acrossHub},
			TokenID:     acrossFLT,
		},
		locked: new(big.Int), supply: new(big.Int), handler: new(big.Int),
		counters: bindings.IFltHandlerCounters{Credited: new(big.Int), Spent: new(big.Int)},
	}
	a.toRoot, a.toL1, a.books = newCrossed(), newCrossed(), newLedger()
	a.hub = axelar.Hub{Address: acrossHub, Services: map[string]common.Address{"Ethereum": a.L1Service.Address, "filecoin": a.RootService.Address}}
	return a
}

func packed(types []string, values ...any) []byte {
	var args abi.Arguments
	for _, name := range types {
		t, err := abi.NewType(name, "", nil)
		if err != nil {
			panic(err)
		}
		args = append(args, abi.Argument{Type: t})
	}
	out, err := args.Pack(values...)
	if err != nil {
		panic(err)
	}
	return out
}

func topicOf(signature string) common.Hash { return crypto.Keccak256Hash([]byte(signature)) }

// at makes an event the next block's.
func (a *across) at(e chains.Event) chains.Event {
	a.block++
	e.Block = a.block
	if e.Tx == (common.Hash{}) {
		e.Tx = topicOf(fmt.Sprint("tx", a.block))
	}
	return e
}

// end is one of the two chains.
type acrossEnd struct {
	gateway, there axelar.Gateway
	service        axelar.Service
	other          string
	out, in        way
}

func (a *across) end(l1 bool) acrossEnd {
	if l1 {
		return acrossEnd{a.L1Gateway, a.RootGateway, a.L1Service, "filecoin", way{routeLegIn, a.toRoot}, way{routeLegOut, a.toL1}}
	}
	return acrossEnd{a.RootGateway, a.L1Gateway, a.RootService, "Ethereum", way{routeLegOut, a.toL1}, way{routeLegIn, a.toRoot}}
}

func (a *across) tell(l1 bool, e chains.Event) {
	x := a.end(l1)
	a.take(x.gateway, x.service, x.there, x.out, x.in, func(chains.Event) {})(a.at(e))
}

// send is a transfer of a token that leaves a chain; it returns the id that the
// other chain knows it by.
func (a *across) send(l1 bool, token common.Hash, n int64) common.Hash {
	x := a.end(l1)
	inner, err := axelar.EncodePayload(axelar.Transfer{TokenID: token, Source: []byte{1}, Destination: []byte{2}, Amount: big.NewInt(n)})
	if err != nil {
		panic(err)
	}
	payload, err := axelar.EncodePayload(axelar.SendToHub{Chain: x.other, Inner: inner})
	if err != nil {
		panic(err)
	}
	e := chains.Event{
		Address: x.gateway.Address(), Tx: topicOf(fmt.Sprint("sent", a.block)), Position: 3,
		Topics: []common.Hash{topicOf("ContractCall(address,string,string,bytes32,bytes)"), common.BytesToHash(x.service.Address[:]), crypto.Keccak256Hash(payload)},
		Data:   packed([]string{"string", "string", "bytes"}, axelar.HubChain, acrossHub, payload),
	}
	a.tell(l1, e)
	id := axelar.HubMessageID(x.service.Chain, axelar.MessageID{Tx: e.Tx, Index: 3})
	return x.there.CommandID(axelar.Message{SourceChain: axelar.HubChain, ID: id.String()})
}

func (a *across) received(l1 bool, id, token common.Hash, n int64, tx common.Hash) {
	x := a.end(l1)
	a.tell(l1, chains.Event{
		Address: x.service.Address, Tx: tx,
		Topics: []common.Hash{topicOf("InterchainTransferReceived(bytes32,bytes32,string,bytes,address,uint256,bytes32)"), id, token, common.BytesToHash([]byte{2})},
		Data:   packed([]string{"string", "bytes", "uint256", "bytes32"}, x.other, []byte{1}, big.NewInt(n), [32]byte{}),
	})
}

func (a *across) express(l1 bool, signature string, id, tx common.Hash) {
	x := a.end(l1)
	a.tell(l1, chains.Event{
		Address: x.service.Address, Tx: tx,
		Topics: []common.Hash{topicOf(signature), id, common.BytesToHash([]byte{7})},
		Data:   packed([]string{"string", "string", "bytes32"}, axelar.HubChain, acrossHub, [32]byte{9}),
	})
}

const (
	fronted = "ExpressExecuted(bytes32,string,string,bytes32,address)"
	repaid  = "ExpressExecutionFulfilled(bytes32,string,string,bytes32,address)"
)

func (a *across) check() Invariant {
	return a.balance(a.block, a.locked, a.supply, a.handler, a.counters)
}

// full is a history with every term in it: 100 came to the root and 30 are on
// their way there; 25 went back and 10 are on their way; the handler keeps 5.
func full() *across {
	a := newAcross()
	in := a.send(true, acrossFLT, 100)
	a.received(false, in, acrossFLT, 100, common.Hash{})
	a.send(true, acrossFLT, 30)
	back := a.send(false, acrossFLT, 25)
	a.received(true, back, acrossFLT, 25, common.Hash{})
	a.send(false, acrossFLT, 10)
	// Other tokens and other things that are said count for nothing.
	foreign := a.send(true, common.Hash{1}, 1000)
	a.received(false, foreign, common.Hash{1}, 1000, common.Hash{})
	a.locked, a.supply, a.handler = big.NewInt(105), big.NewInt(65), big.NewInt(7)
	a.counters.Credited, a.counters.Spent = big.NewInt(12), big.NewInt(7)
	return a
}

func TestWhatCrossesIsLockedOnceWhereverItIs(t *testing.T) {
	a := full()
	i := a.check()
	require.True(t, i.OK, "%s %v", i.Detail, i.Terms)
	require.Equal(t, "0", i.Drift)
	for term, want := range map[string]string{
		"locked_ethereum": "105", "early": "0", "supply_root": "65", "in_flight_in": "30", "in_flight_out": "10",
		"manager_liabilities": "105", "manager_balance": "105", "manager_shortage": "0",
		"handler_liabilities": "5", "handler_balance": "7", "handler_donated": "2", "handler_shortage": "0",
	} {
		require.Equal(t, want, i.Terms[term], term)
	}
	require.NotEmpty(t, i.Terms["messages_in_flight_in"])
	require.NotEmpty(t, i.Terms["messages_in_flight_out"])
}

// TestAWrongUnitInAnyTermOfWhatCrossesIsSeen changes each of them by one unit.
func TestAWrongUnitInAnyTermOfWhatCrossesIsSeen(t *testing.T) {
	add := func(n *big.Int, d int64) { n.Add(n, big.NewInt(d)) }
	for name, c := range map[string]struct {
		change func(a *across)
		drift  string
	}{
		"a unit more on the root":            {func(a *across) { add(a.supply, 1) }, "-1"},
		"a unit less on the root":            {func(a *across) { add(a.supply, -1) }, "1"},
		"a unit that left the manager":       {func(a *across) { add(a.locked, -1) }, "-1"},
		"a unit that left the handler":       {func(a *across) { a.handler.SetInt64(4) }, "-1"},
		"a credit that nothing stands for":   {func(a *across) { add(a.counters.Credited, 3) }, "-1"},
		"a credit paid without being spent":  {func(a *across) { add(a.counters.Spent, -3) }, "-1"},
		"a unit more sent from Ethereum":     {func(a *across) { a.send(true, acrossFLT, 1) }, "-1"}, // the manager has none for it
		"a unit more on its way to Ethereum": {func(a *across) { a.send(false, acrossFLT, 1) }, "-1"},
		"a unit received that nobody sent":   {func(a *across) { a.received(true, common.Hash{9}, acrossFLT, 1, common.Hash{}) }, "-1"},
		"a unit made that nobody sent":       {func(a *across) { a.received(false, common.Hash{9}, acrossFLT, 1, common.Hash{}); add(a.supply, 1) }, "-1"},
		"more received than was sent": {func(a *across) {
			id := a.send(true, acrossFLT, 5)
			a.received(false, id, acrossFLT, 6, common.Hash{})
			add(a.locked, 5)
			add(a.supply, 6)
		}, "-1"},
		"more unlocked than was sent back": {func(a *across) {
			id := a.send(false, acrossFLT, 5)
			add(a.supply, -5)
			a.received(true, id, acrossFLT, 6, common.Hash{})
			add(a.locked, -6)
		}, "-1"},
		"less unlocked than was sent back": {func(a *across) {
			id := a.send(false, acrossFLT, 5)
			add(a.supply, -5)
			a.received(true, id, acrossFLT, 4, common.Hash{})
			add(a.locked, -4)
		}, "1"},
		"one message executed twice": {func(a *across) {
			id := a.send(true, acrossFLT, 1)
			a.received(false, id, acrossFLT, 1, common.Hash{})
			add(a.locked, 1)
			add(a.supply, 2)
		}, "-1"},
		"paid in advance and minted all at once": {func(a *across) {
			id := a.send(true, acrossFLT, 1)
			add(a.locked, 1)
			a.express(false, fronted, id, common.Hash{8})
			a.received(false, id, acrossFLT, 1, common.Hash{8})
			add(a.supply, 1) // nothing may be minted for it yet
		}, "-1"},
	} {
		t.Run(name, func(t *testing.T) {
			a := full()
			c.change(a)
			i := a.check()
			require.False(t, i.OK)
			require.Equal(t, c.drift, i.Drift, "%s %v", i.Detail, i.Terms)
			require.NotEmpty(t, i.Detail)
		})
	}
}

// TestWhatSomebodyPaysInAdvanceIsOnItsWayUntilHeIsRepaid: anybody may, and nobody
// is paged for it.
func TestWhatSomebodyPaysInAdvanceIsOnItsWayUntilHeIsRepaid(t *testing.T) {
	for _, l1 := range []bool{false, true} {
		t.Run(fmt.Sprint("on Ethereum ", l1), func(t *testing.T) {
			a := full()
			flight := map[bool]string{false: "in_flight_in", true: "in_flight_out"}[l1]
			id := a.send(!l1, acrossFLT, 8)
			change := func(n int64) {
				if l1 {
					a.locked.Sub(a.locked, big.NewInt(n))
					return
				}
				a.supply.Add(a.supply, big.NewInt(n))
			}
			if l1 {
				a.supply.Sub(a.supply, big.NewInt(8))
			} else {
				a.locked.Add(a.locked, big.NewInt(8))
			}
			before := a.check()
			require.True(t, before.OK, before.Detail)

			a.express(l1, fronted, id, common.Hash{8})
			a.received(l1, id, acrossFLT, 8, common.Hash{8})
			i := a.check()
			require.True(t, i.OK, "%s %v", i.Detail, i.Terms)
			require.Equal(t, before.Terms[flight], i.Terms[flight], "it is on its way still")

			// One that was never sent is the executor's own loss.
			a.express(l1, fronted, common.Hash{77}, common.Hash{6})
			a.received(l1, common.Hash{77}, acrossFLT, 900, common.Hash{6})
			require.True(t, a.check().OK)

			a.express(l1, repaid, id, common.Hash{7})
			change(8)
			i = a.check()
			require.True(t, i.OK, "%s %v", i.Detail, i.Terms)
			require.NotEqual(t, before.Terms[flight], i.Terms[flight])

			// Of another token it says nothing.
			a.express(l1, fronted, common.Hash{78}, common.Hash{5})
			a.received(l1, common.Hash{78}, common.Hash{1}, 900, common.Hash{5})
			a.express(l1, repaid, common.Hash{78}, common.Hash{4})
			require.True(t, a.check().OK)
		})
	}
}

// TestWhatIsNewerThanTheBlocksThatAreComparedIsOfNeitherSide: the chains are read
// one after the other, and go on meanwhile.
func TestWhatIsNewerThanTheBlocksThatAreComparedIsOfNeitherSide(t *testing.T) {
	a := full()
	r := a.block
	check := func() Invariant { return a.balance(r, a.locked, a.supply, a.handler, a.counters) }

	// Sent and received after r: the root's supply at r has it still.
	id := a.send(false, acrossFLT, 5)
	require.True(t, check().OK)
	a.received(true, id, acrossFLT, 5, common.Hash{})
	a.locked.Sub(a.locked, big.NewInt(5))
	i := check()
	require.True(t, i.OK, "%s %v", i.Detail, i.Terms)
	require.Equal(t, "5", i.Terms["early"])

	// Received by the root after r, of what Ethereum sent after it was read: nobody
	// is accused of it.
	a.received(false, common.Hash{9}, acrossFLT, 5, common.Hash{})
	a.supply.Add(a.supply, big.NewInt(1)) // whatever else is wrong
	i = check()
	require.False(t, i.OK)
	require.NotContains(t, i.Detail, "never sent")
	r = a.block
	require.Contains(t, check().Detail, "never sent")
}
