package audit

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// Crossing is what the audit reads of how FLT crosses between Ethereum and the
// root.
type Crossing struct {
	L1                            Reader
	L1Gateway, RootGateway        axelar.Gateway
	L1Service, RootService        axelar.Service
	TokenID                       common.Hash
	L1Token, L1Manager, RootToken common.Address
	Sender                        common.Address // FltSender, on Ethereum
	Handler                       common.Address // FltHandler, on the root
	Portal                        common.Address // FltPortal, in the subnet
	// GmpPort on Ethereum and GmpRouter on the root call each other without the token
	// service; zero where there are none.
	GmpPort, GmpRouter common.Address
	// Accounts are the relayer's own on Ethereum, for I6.
	Accounts []common.Address
	// Foreign says that others' transfers of the token are carried too.
	Foreign bool
	// L1Start and RootStart are at or below the blocks in which FLT was registered
	// there: what crossed before the bridge was deployed counts too.
	L1Start, RootStart uint64

	sender       *bindings.FltSender
	handler      *bindings.FltHandler
	token        *bindings.DevFlt
	topics       map[string]common.Hash
	hub          axelar.Hub
	toRoot, toL1 crossed
	books        ledger
	l1, root     tape
	at           chains.Block // of Ethereum, at which it was last looked at
	fresh        bool         // that look has read all there is
}

// crossed is one direction: what was sent, by the command id that its
// destination knows it by, and what was received. What somebody has paid in
// advance from his own money is fronted: it is received once he is repaid. Where
// Axelar itself names the messages, no id is on both sides, and they are told by
// their content.
type crossed struct {
	sent, received, fronted map[common.Hash]amount
}

func newCrossed() crossed {
	return crossed{sent: map[common.Hash]amount{}, received: map[common.Hash]amount{}, fronted: map[common.Hash]amount{}}
}

type amount struct {
	n       *big.Int
	message string // id of the leg's message
	block   uint64
	content common.Hash // of all that both sides say of it
	seq     int         // its place among what was read of its side
	renamed bool        // it came under an id that Axelar gave it
	tx      common.Hash // of what was fronted
}

// contentOf names what is sent of our token by all that its destination says of
// it: where from, by whom, to whom, how much, with what data.
func contentOf(from string, source, destination []byte, n *big.Int, data common.Hash) common.Hash {
	return crypto.Keccak256Hash([]byte(from), []byte{0}, crypto.Keccak256(source), crypto.Keccak256(destination), common.BigToHash(n).Bytes(), data.Bytes())
}

// dataHash is zero where there is no data, as in the events of token services.
func dataHash(data []byte) common.Hash {
	if len(data) == 0 {
		return common.Hash{}
	}
	return crypto.Keccak256Hash(data)
}

// FLTAcross names the FLT of Ethereum and of the root together.
const FLTAcross = "FLT_ETHEREUM"

// open makes what reads the contracts.
func (c *Crossing) open() (err error) {
	c.sender, c.handler, c.token = bindings.NewFltSender(), bindings.NewFltHandler(), bindings.NewDevFlt()
	c.topics, err = crossTopics()
	return err
}

// reset forgets what was read.
func (c *Crossing) reset(root Reader) {
	c.books, c.fresh = newLedger(), false
	c.toRoot, c.toL1 = newCrossed(), newCrossed()
	c.l1 = tape{cursor: chains.Cursor{Chain: c.L1.ChainID(), Next: c.L1Start}}
	c.root = tape{cursor: chains.Cursor{Chain: root.ChainID(), Next: c.RootStart}}
	c.hub = axelar.Hub{Address: c.RootService.Hub, Services: map[string]common.Address{
		c.L1Service.Chain: c.L1Service.Address, c.RootService.Chain: c.RootService.Address,
	}}
}

// continues says whether two read the same crossing.
func (c *Crossing) continues(from *Crossing) bool {
	if c == nil || from == nil {
		return c == from
	}
	return c.L1.ChainID() == from.L1.ChainID() && c.TokenID == from.TokenID && c.L1Token == from.L1Token && c.L1Manager == from.L1Manager &&
		c.RootToken == from.RootToken && c.Sender == from.Sender && c.Handler == from.Handler && c.Portal == from.Portal && c.GmpPort == from.GmpPort && c.GmpRouter == from.GmpRouter &&
		c.L1Service == from.L1Service && c.RootService == from.RootService && c.Foreign == from.Foreign && c.L1Start == from.L1Start && c.RootStart == from.RootStart
}

// inherit takes over what was read of the same crossing.
func (c *Crossing) inherit(from *Crossing) {
	c.toRoot, c.toL1, c.books, c.l1, c.root = from.toRoot, from.toL1, from.books, from.l1, from.root
}

// filter is the calls of a gateway, what a token service gave out, and what our own
// contract beside them says.
func (c *Crossing) filter(g axelar.Gateway, s axelar.Service, own common.Address) chains.Filter {
	f, of := g.Filter(), s.Filter()
	f.Placed = slices.Clone(f.Addresses)
	f.Addresses = append(append(f.Addresses, of.Addresses...), own)
	f.Topics = append(f.Topics, of.Topics...)
	for _, t := range c.topics {
		f.Topics = append(f.Topics, t)
	}
	return f
}

// way is one direction as the events of one of its chains tell of it.
type way struct {
	route string
	moved crossed
}

// take reads an event of one chain: a transfer of our token that left it, one that
// arrived, an approval of one, or what our own contract there says.
func (c *Crossing) take(g axelar.Gateway, s axelar.Service, there axelar.Gateway, leaves, arrives way, own func(chains.Event)) func(chains.Event) {
	return func(e chains.Event) {
		if said, ok, err := g.Decode(e); ok && err == nil {
			switch v := said.(type) {
			case axelar.Called:
				c.called(s, there, leaves, e, v)
			case axelar.Approved:
				if _, known := c.books.approvals[arrives.route][v.CommandID]; !known && v.Message.Contract == s.Address {
					c.books.approvals[arrives.route][v.CommandID] = approval{block: e.Block}
				}
			}
			return
		}
		if said, ok, err := s.Decode(e); ok && err == nil {
			arrives.moved.take(said, c.TokenID, e)
			return
		}
		own(e)
	}
}

// take reads what a token service says of what arrives. Anybody may pay in
// advance, even what was never sent: nothing is unlocked or minted for that, and
// the event of the same transaction that says it was received says no more.
func (d crossed) take(said axelar.ServiceEvent, token common.Hash, e chains.Event) {
	switch got := said.(type) {
	case axelar.Fronted:
		d.fronted[got.CommandID] = amount{block: e.Block, tx: e.Tx}
	case axelar.Received:
		if got.TokenID != token {
			return
		}
		content := contentOf(got.Chain, got.Source, got.Destination.Bytes(), got.Amount, got.DataHash)
		if f, fronted := d.fronted[got.CommandID]; fronted && f.tx == e.Tx {
			f.n, f.content = got.Amount, content
			d.fronted[got.CommandID] = f
			return
		}
		d.received[got.CommandID] = amount{n: got.Amount, block: e.Block, content: content, seq: len(d.received)}
	case axelar.Repaid:
		// Of another token there is no amount.
		if f := d.fronted[got.CommandID]; f.n != nil {
			d.received[got.CommandID] = amount{n: f.n, block: e.Block, content: f.content, seq: len(d.received)}
		}
	}
}

// called reads a call of a gateway, if the token service sends our token with it.
func (c *Crossing) called(s axelar.Service, there axelar.Gateway, leaves way, e chains.Event, v axelar.Called) {
	id := axelar.MessageID{Tx: e.Tx, Index: uint64(e.Position)}
	if r, err := axelar.Direct(s.Chain, id, v); err == nil {
		if c.talks(leaves.route, v.Sender, r) {
			c.books.legs[leaves.route][there.CommandID(r.Message)] = legBegun{tx: e.Tx, position: e.Position, block: e.Block, at: e.BlockTime, direct: true}
		}
		return
	}
	r, err := c.hub.Route(s.Chain, id, v)
	if err != nil {
		return
	}
	t, isTransfer := r.Inner.(axelar.Transfer)
	if !isTransfer || t.TokenID != c.TokenID {
		return
	}
	command := there.CommandID(r.Message)
	leaves.moved.sent[command] = amount{
		n: t.Amount, message: r.Message.ID, block: e.Block,
		content: contentOf(s.Chain, t.Source, t.Destination, t.Amount, dataHash(t.Data)), seq: len(leaves.moved.sent),
	}
	if c.ours(leaves.route, t) {
		c.books.legs[leaves.route][command] = legBegun{tx: e.Tx, position: e.Position, block: e.Block, at: e.BlockTime}
	}
	if leaves.route == routeLegOut {
		c.books.last.tx, c.books.last.command = e.Tx, command
	}
}

// talks says whether a message without the hub is one of our contracts' for the
// other.
func (c *Crossing) talks(route string, sender common.Address, r axelar.Routed) bool {
	from, to, chain := c.GmpPort, c.GmpRouter, c.RootService.Chain
	if route == routeLegOut {
		from, to, chain = to, from, c.L1Service.Chain
	}
	return from != (common.Address{}) && sender == from && r.Message.Contract == to && r.To == chain
}

// acrossEthereum is I1 of FLT between Ethereum and the root:
//
//	locked = Σ sent from Ethereum − Σ received there                    events, L
//	drift  = locked − supply(R) − in_flight_in − in_flight_out − shortages
//
// The root's block R is pinned first, then Ethereum's L, so that nothing is
// received on the root that L does not have as sent. What L has as received and
// the root has sent after R is added back. A shortage is what the token manager's
// balance at L lacks of locked, or FltHandler's at R of what it keeps.
func (a *Auditor) acrossEthereum(ctx context.Context, report *Report) {
	inv, err := a.crossing(ctx, report)
	if err != nil {
		report.skip("I1 "+FLTAcross, err)
		return
	}
	report.add(inv)
}

func (a *Auditor) crossing(ctx context.Context, report *Report) (Invariant, error) {
	c, r := a.src.Crossing, report.RootBlock
	c.fresh = false
	fail := func(err error) (Invariant, error) {
		if errors.Is(err, chains.ErrReorg) {
			c.reset(a.src.Root)
		}
		return Invariant{}, err
	}
	l, err := c.L1.Head(ctx)
	if err != nil {
		return fail(err)
	}
	in, out := way{routeLegIn, c.toRoot}, way{routeLegOut, c.toL1}
	fromL1 := c.take(c.L1Gateway, c.L1Service, c.RootGateway, in, out, c.guarded(c.takeSender))
	if err := c.l1.scan(ctx, c.L1, c.filter(c.L1Gateway, c.L1Service, c.Sender), l, a.rest, fromL1); err != nil {
		return fail(fmt.Errorf("ethereum: %w", err))
	}
	// The root is read on to a head after L: what was sent meanwhile is known.
	now, err := a.src.Root.Head(ctx)
	if err != nil {
		return fail(err)
	}
	fromRoot := c.take(c.RootGateway, c.RootService, c.L1Gateway, out, in, c.guarded(c.takeHandler))
	if err := c.root.scan(ctx, a.src.Root, c.filter(c.RootGateway, c.RootService, c.Handler), now, a.rest, fromRoot); err != nil {
		return fail(fmt.Errorf("root: %w", err))
	}
	c.toRoot.rename()
	c.toL1.rename()
	c.books.forget()
	var locked, supply, keeps *big.Int
	var counters bindings.IFltHandlerCounters
	if err := run(ctx, c.L1, l, []query{ask(c.L1Token, c.token.PackBalanceOf(c.L1Manager), c.token.UnpackBalanceOf, into(&locked))}); err != nil {
		return fail(fmt.Errorf("ethereum: %w", err))
	}
	if err := run(ctx, a.src.Root, r, []query{
		ask(c.RootToken, c.token.PackTotalSupply(), c.token.UnpackTotalSupply, into(&supply)),
		ask(c.RootToken, c.token.PackBalanceOf(c.Handler), c.token.UnpackBalanceOf, into(&keeps)),
		ask(c.Handler, c.handler.PackGetCounters(), c.handler.UnpackGetCounters, into(&counters)),
	}); err != nil {
		return fail(fmt.Errorf("root: %w", err))
	}
	c.at, c.fresh = l, true
	report.EthereumBlock = &c.at
	return c.balance(r.Number, locked, supply, keeps, counters), nil
}

// balance adds up what is known at root block r.
func (c *Crossing) balance(r uint64, locked, supply, keeps *big.Int, counters bindings.IFltHandlerCounters) Invariant {
	inv := newRow("I1", FLTAcross)
	in, _ := c.toRoot.between(nil, &r)
	back, early := c.toL1.between(&r, nil)
	should := sum(total(c.toRoot.sent), neg(total(c.toL1.received)))
	inv.lock("locked_ethereum", should)
	// Sent by the root after r, and received: it is of neither side yet.
	inv.lock("early", early)
	inv.claim("supply_root", supply)
	inv.claim("in_flight_in", in.n)
	inv.claim("in_flight_out", back.n)
	inv.holds("manager", should, locked)
	inv.holds("handler", sum(counters.Credited, neg(counters.Spent)), keeps)
	inv.terms["messages_in_flight_in"] = strings.Join(in.messages, ",")
	inv.terms["messages_in_flight_out"] = strings.Join(back.messages, ",")
	for _, s := range slices.Concat(in.unknown, back.unknown) {
		inv.note("%s was executed and never sent", s)
	}
	for _, fault := range c.books.faults {
		inv.gaps = append(inv.gaps, gap{"events", big.NewInt(1)})
		inv.note("%s", fault)
	}
	return inv.invariant()
}

// flight is what is between two chains.
type flight struct {
	n        *big.Int
	messages []string // at most maxNotes
	unknown  []string // command ids that nobody sent
}

// between splits a direction: what was sent and not received, and what was
// received although it was sent after the block that is looked at. sentUpTo and
// receivedUpTo leave out what is newer; nil leaves out nothing.
func (d crossed) between(sentUpTo, receivedUpTo *uint64) (waits flight, early *big.Int) {
	waits.n, early = new(big.Int), new(big.Int)
	for id, s := range d.sent {
		got, arrived := d.received[id]
		arrived = arrived && (receivedUpTo == nil || got.block <= *receivedUpTo)
		sent := sentUpTo == nil || s.block <= *sentUpTo
		switch {
		case sent && !arrived:
			waits.n.Add(waits.n, s.n)
			if len(waits.messages) < maxNotes {
				waits.messages = append(waits.messages, s.message)
			}
		case !sent && arrived:
			early.Add(early, s.n)
		}
	}
	for id, got := range d.received {
		// What is newer may answer what was sent after the other chain was read.
		if _, known := d.sent[id]; !known && (receivedUpTo == nil || got.block <= *receivedUpTo) {
			waits.unknown = append(waits.unknown, id.Hex())
		}
	}
	slices.Sort(waits.messages)
	slices.Sort(waits.unknown)
	return waits, early
}

// rename puts what was received under an id that nobody sent under the one of what
// was sent with the same content and not received: the oldest under the oldest.
// Messages of equal content differ in nothing that money depends on. What is left
// over was never sent.
func (d crossed) rename() {
	came := map[common.Hash][]common.Hash{}
	for id, r := range d.received {
		if _, known := d.sent[id]; !known {
			came[r.content] = append(came[r.content], id)
		}
	}
	if len(came) == 0 {
		return
	}
	waits := map[common.Hash][]common.Hash{}
	for id, s := range d.sent {
		if _, arrived := d.received[id]; !arrived && came[s.content] != nil {
			waits[s.content] = append(waits[s.content], id)
		}
	}
	oldest := func(ids []common.Hash, of map[common.Hash]amount) {
		slices.SortFunc(ids, func(a, b common.Hash) int { return of[a].seq - of[b].seq })
	}
	for content, ids := range came {
		sent := waits[content]
		oldest(ids, d.received)
		oldest(sent, d.sent)
		for i := range min(len(ids), len(sent)) {
			r := d.received[ids[i]]
			r.renamed = true
			delete(d.received, ids[i])
			d.received[sent[i]] = r
		}
	}
}

func total(of map[common.Hash]amount) *big.Int {
	n := new(big.Int)
	for _, a := range of {
		n.Add(n, a.n)
	}
	return n
}
