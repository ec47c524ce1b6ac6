package audit

import (
	"fmt"
	"slices"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// The routes between Ethereum and a subnet, and the hidden ones of the messages that
// carry them.
const (
	routeLegIn      = "leg_in"
	routeLegOut     = "leg_out"
	routeL1Deposit  = "flt_l1_deposit"
	routeL1Withdraw = "flt_l1_withdraw"
)

var crossRoutes = []string{routeLegIn, routeLegOut, routeL1Deposit, routeL1Withdraw}

// Reasons for which FltHandler keeps an amount (contracts/src/interfaces/IFlt.sol).
const (
	keptUnfunded uint8 = iota
	keptUndelivered
	keptUnsent
)

// beginning is where a transfer began.
type beginning struct {
	nonce     uint64
	block, at uint64
}

// legBegun is a message of ours, of one direction.
type legBegun struct {
	tx        common.Hash
	position  uint
	block, at uint64
	direct    bool // without the token service, whose events say what has arrived
}

// funding is what FltHandler has funded in the subnet for a deposit.
type funding struct {
	nonce   uint64
	message common.Hash
	block   uint64
}

// onward is what FltHandler has sent to Ethereum for a withdrawal.
type onward struct {
	command common.Hash
	block   uint64
}

// approval is one that a gateway has made. Of which message is known only once
// its source has been read: until then it is kept for one more check.
type approval struct {
	block uint64
	old   bool
}

// ledger is what the events of Ethereum and the root say of the transfers between
// them, apart from their amounts.
type ledger struct {
	legs      map[string]map[common.Hash]legBegun // by route, then by the destination's command id
	approvals map[string]map[common.Hash]approval
	deposits  map[common.Hash]beginning // by id, of FltSender

	// Of FltHandler, by id.
	funded        map[common.Hash]funding
	kept          map[uint8]map[common.Hash]uint64 // root block of the first, by reason
	back, claimed map[common.Hash]uint64
	sentOn        map[common.Hash]onward
	// last is the newest call of the root's gateway: SentOn comes right after it.
	last struct {
		tx      common.Hash
		command common.Hash
	}
	faults []string
}

func newLedger() ledger {
	return ledger{
		legs:      map[string]map[common.Hash]legBegun{routeLegIn: {}, routeLegOut: {}},
		approvals: map[string]map[common.Hash]approval{routeLegIn: {}, routeLegOut: {}},
		deposits:  map[common.Hash]beginning{}, funded: map[common.Hash]funding{},
		kept: map[uint8]map[common.Hash]uint64{keptUnfunded: {}, keptUndelivered: {}, keptUnsent: {}},
		back: map[common.Hash]uint64{}, claimed: map[common.Hash]uint64{}, sentOn: map[common.Hash]onward{},
	}
}

// forget lets go of approvals that were nobody's at two checks.
func (l *ledger) forget() {
	for route, all := range l.approvals {
		for id, a := range all {
			if _, ours := l.legs[route][id]; ours {
				continue
			}
			if a.old {
				delete(all, id)
				continue
			}
			a.old = true
			all[id] = a
		}
	}
}

// ours says whether a transfer of the token is one of our contracts' own, or all
// are carried.
func (c *Crossing) ours(route string, t axelar.Transfer) bool {
	is := func(b []byte, a common.Address) bool { return len(b) == len(a) && common.BytesToAddress(b) == a }
	switch {
	case c.Foreign:
		return true
	case route == routeLegIn:
		return is(t.Source, c.Sender) && is(t.Destination, c.Handler)
	default:
		return is(t.Source, c.Handler)
	}
}

// takeSender takes Deposited of FltSender.
func (c *Crossing) takeSender(e chains.Event) error {
	if e.Address != c.Sender || len(e.Topics) == 0 || e.Topics[0] != c.topics["Deposited"] {
		return nil
	}
	ev, err := c.sender.UnpackDepositedEvent(logOf(e))
	if err != nil {
		return err
	}
	c.books.deposits[ev.Id] = beginning{ev.Nonce, e.Block, e.BlockTime}
	return nil
}

// takeHandler takes what FltHandler says became of a deposit or a withdrawal.
func (c *Crossing) takeHandler(e chains.Event) error {
	if e.Address != c.Handler || len(e.Topics) == 0 {
		return nil
	}
	b := &c.books
	once := func(m map[common.Hash]uint64, id common.Hash) {
		if _, known := m[id]; !known {
			m[id] = e.Block
		}
	}
	switch e.Topics[0] {
	case c.topics["Funded"]:
		ev, err := c.handler.UnpackFundedEvent(logOf(e))
		if err != nil {
			return err
		}
		b.funded[ev.Id] = funding{ev.Nonce, ev.MessageId, e.Block}
	case c.topics["Credited"]:
		ev, err := c.handler.UnpackCreditedEvent(logOf(e))
		if err != nil {
			return err
		}
		if by, known := b.kept[ev.Reason]; known {
			once(by, ev.Id)
		}
	case c.topics["SentBack"]:
		ev, err := c.handler.UnpackSentBackEvent(logOf(e))
		if err != nil {
			return err
		}
		once(b.back, ev.Id)
	case c.topics["Claimed"]:
		ev, err := c.handler.UnpackClaimedEvent(logOf(e))
		if err != nil {
			return err
		}
		once(b.claimed, ev.Id)
	case c.topics["SentOn"]:
		ev, err := c.handler.UnpackSentOnEvent(logOf(e))
		if err != nil {
			return err
		}
		if b.last.tx != e.Tx {
			return fmt.Errorf("no call of the gateway before SentOn of %x", ev.Id)
		}
		b.sentOn[ev.Id] = onward{b.last.command, e.Block}
	}
	return nil
}

// guarded keeps an event that does not decode from stopping the others.
func (c *Crossing) guarded(take func(chains.Event) error) func(chains.Event) {
	return func(e chains.Event) {
		if err := guard(func() error { return take(e) }); err != nil && len(c.books.faults) < maxFaults {
			c.books.faults = append(c.books.faults, fmt.Sprintf("event %d of block %d of chain %s: %v", e.Index, e.Block, e.Chain, err))
		}
	}
}

// takePortal takes what FltPortal in the subnet has sent and got back.
func (h *history) takePortal(e chains.Event) error {
	t := h.abis.topics
	switch e.Topics[0] {
	case t["portal.WithdrawalToL1Sent"]:
		ev, err := h.abis.portal.UnpackWithdrawalToL1SentEvent(logOf(e))
		if err != nil {
			return err
		}
		h.toL1[ev.Id] = beginning{ev.Nonce, e.Block, e.BlockTime}
	case t["portal.WithdrawalToL1Returned"]:
		ev, err := h.abis.portal.UnpackWithdrawalToL1ReturnedEvent(logOf(e))
		if err != nil {
			return err
		}
		h.fromL1[ev.Id] = e.Block
	}
	return nil
}

// legID is the content id of a leg's transfer (PROTOCOL 41, 46), computed apart
// from the flows.
func legID(route string, chain chains.ID, gateway, actor common.Address, l legBegun) common.Hash {
	return crypto.Keccak256Hash(fmt.Appendf(nil, "causeway/1|%s|%d|%s|%s|%s|%d", route, uint64(chain), gateway.Hex(), actor.Hex(), l.tx.Hex(), l.position))
}

// heights are blocks of the chains; 0 where a chain has no say.
type heights struct{ root, child, l1 uint64 }

// under says whether all of them are below others.
func (h heights) under(o heights) bool {
	return (h.root == 0 || h.root < o.root) && (h.child == 0 || h.child < o.child) && (h.l1 == 0 || h.l1 < o.l1)
}

// across says whether a route is one between Ethereum and the subnet, of which the
// newest check has seen what there is.
func (a *Auditor) across(route string) bool {
	return a.src.Crossing != nil && a.src.Crossing.fresh && slices.Contains(crossRoutes, route)
}

// read is what of the transfers between Ethereum and the subnet can be told below
// some heights.
func (c *Crossing) read(below heights) heights {
	below.l1 = min(below.l1, c.l1.cursor.Next)
	below.root = min(below.root, c.root.cursor.Next)
	return below
}

// begunAcross lists the transfers between Ethereum and the subnet that began below
// these heights.
func (a *Auditor) begunAcross(below heights) []expected {
	c := a.src.Crossing
	if c == nil || !c.fresh {
		return nil
	}
	below = c.read(below)
	var out []expected
	s, b := a.src.Sub, c.books
	for route, legs := range b.legs {
		chain, gateway, limit := c.L1.ChainID(), c.L1Gateway.Address(), below.l1
		if route == routeLegOut {
			chain, gateway, limit = s.RootID, c.RootGateway.Address(), below.root
		}
		for command, l := range legs {
			if l.block < limit {
				out = append(out, expected{id: legID(route, chain, gateway, s.Actor, l), route: route, nonce: uint64(l.position), at: l.at, ref: command})
			}
		}
	}
	one := func(route string, chain chains.ID, contract common.Address, id common.Hash, d beginning, limit uint64) {
		if d.block < limit {
			e := a.hist.transferID(route, chain, contract, d.nonce)
			e.at, e.ref = d.at, id
			out = append(out, e)
		}
	}
	for id, d := range b.deposits {
		one(routeL1Deposit, c.L1.ChainID(), c.Sender, id, d, below.l1)
	}
	for id, d := range a.hist.toL1 {
		one(routeL1Withdraw, s.ID, c.Portal, id, d, below.child)
	}
	return out
}

// fateAcross is what the chains say of a transfer between Ethereum and the subnet.
// decided are the steps that events decide: the last one of a deposit and of a
// withdrawal is found by a search, which an event cannot name.
func (a *Auditor) fateAcross(e ends, x expected) fate {
	switch x.route {
	case routeLegIn, routeLegOut:
		return a.src.Crossing.legFate(x)
	case routeL1Deposit:
		return a.src.Crossing.depositFate(e, x.ref)
	default:
		return a.src.Crossing.withdrawFate(a.hist, x.ref)
	}
}

// there is a height of a leg's destination.
func there(route string, block uint64) heights {
	if route == routeLegIn {
		return heights{root: block}
	}
	return heights{l1: block}
}

func (c *Crossing) legFate(x expected) fate {
	if c.books.legs[x.route][x.ref].direct {
		return fate{}
	}
	f := fate{status: tokens.Pending, decided: map[string]heights{}}
	if a, ok := c.books.approvals[x.route][x.ref]; ok {
		f.decided["approve"] = there(x.route, a.block)
	}
	got, executed := c.received(x.route)[x.ref]
	if !executed {
		return f
	}
	f.status = tokens.Done
	at := there(x.route, got.block)
	if _, known := f.decided["approve"]; !known {
		f.decided["approve"] = at
	}
	if !got.renamed { // else a search decides it
		f.decided["execute"] = at
	}
	return f
}

// received is what the destination of a route has been given, by command id.
func (c *Crossing) received(route string) map[common.Hash]amount {
	if route == routeLegIn {
		return c.toRoot.received
	}
	return c.toL1.received
}

// first is the lowest of the blocks that an id has in any of these.
func first(id common.Hash, in ...map[common.Hash]uint64) (uint64, bool) {
	var low uint64
	found := false
	for _, m := range in {
		if n, ok := m[id]; ok && (!found || n < low) {
			low, found = n, true
		}
	}
	return low, found
}

func (f fate) decide(step string, at heights, known bool) {
	if known {
		f.decided[step] = at
	}
}

func (c *Crossing) depositFate(e ends, id common.Hash) fate {
	b := c.books
	f := fate{status: tokens.Pending, decided: map[string]heights{}}
	funded, wasFunded := b.funded[id]
	ended, over := first(id, b.back, b.claimed)
	unfunded, wasUnfunded := b.kept[keptUnfunded][id]
	f.decide("fund", heights{root: unfunded}, wasUnfunded)
	f.decide("retry", heights{root: ended}, over)
	if wasFunded {
		f.decide("fund", heights{root: funded.block}, !wasUnfunded)
		f.decide("retry", heights{root: funded.block}, true)
	}
	undelivered, wasUndelivered := b.kept[keptUndelivered][id]
	f.decide("undelivered", heights{root: undelivered}, wasUndelivered)
	f.decide("send_back", heights{root: ended}, over)
	applied, wasApplied := e.downApplied[funded.nonce]
	switch {
	case over:
		f.status = tokens.Refunded
	case wasFunded && wasApplied && applied.id == funded.message && applied.outcome == ipc.OutcomeOk:
		f.status = tokens.Done
	}
	return f
}

func (c *Crossing) withdrawFate(h *history, id common.Hash) fate {
	b := c.books
	f := fate{status: tokens.Pending, decided: map[string]heights{}}
	on, sent := b.sentOn[id]
	kept, unsent := b.kept[keptUnsent][id]
	claimed, taken := b.claimed[id]
	returned, came := h.fromL1[id]
	for _, step := range []string{"send_on", "resend"} {
		f.decide(step, heights{child: returned}, came && step == "send_on")
		f.decide(step, heights{root: on.block}, sent)
		f.decide(step, heights{root: kept}, unsent)
	}
	f.decide("retry", heights{root: on.block}, sent)
	f.decide("retry", heights{root: claimed}, taken)
	_, executed := c.toL1.received[on.command]
	switch {
	case taken:
		f.status = tokens.Refunded
	case sent && executed:
		f.status = tokens.Done
	}
	return f
}

// crossTopics are the first topics of our contracts on Ethereum and on the root.
func crossTopics() (map[string]common.Hash, error) {
	out := map[string]common.Hash{}
	sender, err := bindings.FltSenderMetaData.ParseABI()
	if err != nil {
		return nil, fmt.Errorf("[BUG] parse ABI of FltSender: %w", err)
	}
	handler, err := bindings.FltHandlerMetaData.ParseABI()
	if err != nil {
		return nil, fmt.Errorf("[BUG] parse ABI of FltHandler: %w", err)
	}
	out["Deposited"] = sender.Events["Deposited"].ID
	for _, name := range []string{"Funded", "Credited", "SentBack", "Claimed", "SentOn"} {
		out[name] = handler.Events[name].ID
	}
	return out, nil
}
