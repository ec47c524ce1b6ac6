package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

const (
	// retentionSeconds is how long a journal surely keeps what has ended; older
	// transfers are not asked for.
	retentionSeconds = 29 * 24 * 3600
	// maxAsked bounds how many transfers one Check asks for: those not yet
	// asked, then the others in turn.
	maxAsked = 2000
	// maxDue bounds how many of the newest checkpoints are asked for.
	maxDue = 100
	// maxNonces bounds how many nonces of one account one Check looks up; Reconcile
	// looks at all.
	maxNonces = 500
)

// routes are those whose transfers are derived here.
var routes = []string{"topdown", "power", "checkpoint", "usdc_deposit", "flt_deposit", "usdc_withdraw", "flt_withdraw"}

// judges says whether a route's transfers are derived here.
func (a *Auditor) judges(route string) bool {
	return slices.Contains(routes, route) || a.across(route)
}

// below says which of three heights is that of the chain on which an entry began.
func (a *Auditor) below(e Entry, h heights) uint64 {
	if a.across(e.Route) {
		h = a.src.Crossing.read(h)
	}
	switch {
	case e.Chain == a.src.Sub.ID:
		return h.child
	case a.src.Crossing != nil && e.Chain == a.src.Crossing.L1.ChainID():
		return h.l1
	}
	return h.root
}

// begun lists the transfers that began below these heights.
func (a *Auditor) begun(below heights) []expected {
	return append(a.hist.begun(below.root, below.child), a.begunAcross(below)...)
}

// journalMemory is what earlier Checks found.
type journalMemory struct {
	asked   map[common.Hash]bool
	missing map[common.Hash]string // journaled when looked for again, or not
	sweep   int
	nonces  map[string]*nonceMemory // by chain and account
}

// nonceMemory is one account: nonces below next were looked up, first is the
// first with an intent.
type nonceMemory struct {
	next, first uint64
	begun       bool
	bad         map[uint64]string
}

func newJournalMemory() journalMemory {
	return journalMemory{asked: map[common.Hash]bool{}, missing: map[common.Hash]string{}, nonces: map[string]*nonceMemory{}}
}

// expected is a transfer that the journal must know.
type expected struct {
	id    common.Hash
	route string
	nonce uint64
	at    uint64      // Unix seconds
	ref   common.Hash // of what crosses Ethereum: its id, or the command id of a leg
}

func (e expected) String() string { return fmt.Sprintf("%s %d", e.route, e.nonce) }

// transferID is the content id of a transfer (PROTOCOL 46), computed apart from
// the flows.
func (h *history) transferID(route string, chain chains.ID, contract common.Address, nonce uint64) expected {
	text := fmt.Sprintf("causeway/1|%s|%d|%s|%s|%d", route, uint64(chain), contract.Hex(), h.sub.Actor.Hex(), nonce)
	return expected{id: crypto.Keccak256Hash([]byte(text)), route: route, nonce: nonce}
}

// begun lists the transfers that began on the root before one height and in the
// subnet before another.
func (h *history) begun(root, child uint64) []expected {
	var out []expected
	add := func(e expected, block, at, below uint64) {
		if block < below {
			e.at = at
			out = append(out, e)
		}
	}
	s := h.sub
	for n, m := range h.down {
		add(h.transferID("topdown", s.RootID, s.Gateway, n), m.block, m.at, root)
		if m.kind == ipc.KindTransfer {
			add(h.transferID("flt_deposit", s.RootID, s.Gateway, n), m.block, m.at, root)
		}
	}
	for _, t := range h.tokensSent {
		add(h.transferID("usdc_deposit", s.RootID, s.Controller, t.nonce), t.block, t.at, root)
	}
	for n, p := range h.power {
		if n == 0 {
			continue // numbers start at 1
		}
		add(h.transferID("power", s.RootID, s.Actor, n-1), p.block, p.at, root)
	}
	for _, w := range h.sent {
		switch w.Token {
		case s.USDC:
			add(h.transferID("usdc_withdraw", s.ID, s.Outbox, w.Nonce), w.block, w.at, child)
		case s.FLT:
			add(h.transferID("flt_withdraw", s.ID, s.Outbox, w.Nonce), w.block, w.at, child)
		}
	}
	slices.SortFunc(out, func(a, b expected) int {
		if a.at != b.at {
			return int(int64(a.at) - int64(b.at))
		}
		return a.id.Cmp(b.id)
	})
	return out
}

// transfers is I4. The journal's cursors are read before its rows, so that what
// is asked for must be there; what is newer than the pinned blocks is not
// judged.
func (a *Auditor) transfers(ctx context.Context, r rootState, s childState, report *Report) {
	inv := newRule("I4")
	bound := map[string]uint64{flow.Root: r.block.Number + 1, a.src.Sub.Name: s.block.Number + 1}
	if report.EthereumBlock != nil {
		bound[flow.Ethereum] = report.EthereumBlock.Number + 1
	}
	for name, pinned := range bound {
		c, ok, err := a.src.Journal.Cursor(ctx, name)
		if err != nil {
			report.skip("I4", fmt.Errorf("read cursor: %w", err))
			return
		}
		if !ok {
			c.Next = 0
		}
		inv.terms["cursor_"+name] = fmt.Sprint(c.Next)
		bound[name] = min(pinned, c.Next)
	}
	under := heights{bound[flow.Root], bound[a.src.Sub.Name], bound[flow.Ethereum]}
	want := append(a.begun(under), a.checkpointsDue(under.child, s.block.Time)...)
	inv.term("transfers", len(want))

	if err := a.askMissing(ctx, want, s.block.Time); err != nil {
		report.skip("I4", fmt.Errorf("read journal: %w", err))
		return
	}
	for id, what := range a.journal.missing {
		inv.broken("%s (%s) is not journaled", what, id)
	}

	known := make(map[common.Hash]bool, len(want))
	for _, e := range want {
		known[e.id] = true
	}
	newest, err := a.src.Journal.Newest(ctx, a.src.Sub.Actor, maxAsked)
	if err != nil {
		report.skip("I4", fmt.Errorf("read journal: %w", err))
		return
	}
	for _, e := range newest {
		if a.judges(e.Route) && e.Height < a.below(e, under) && !known[e.ID] && !a.due(e) {
			inv.broken("%s is journaled at height %d of chain %s and nothing began there", e.ID, e.Height, e.Chain)
		}
	}
	inv.term("compared", len(newest))
	report.add(inv.invariant())
}

// checkpointsDue are the newest checkpoints below a height: they are due
// without an event.
func (a *Auditor) checkpointsDue(below, now uint64) []expected {
	s := a.src.Sub
	var out []expected
	if below == 0 {
		return nil
	}
	for h := (below - 1) / s.Period * s.Period; h >= max(a.src.Child.StartBlock(), 1) && len(out) < maxDue; h -= s.Period {
		e := a.hist.transferID("checkpoint", s.ID, s.SubnetGateway, h)
		e.at = now
		out = append(out, e)
	}
	return out
}

// due says whether an entry is the checkpoint of its height.
func (a *Auditor) due(e Entry) bool {
	s := a.src.Sub
	return e.Chain == s.ID && e.Height > 0 && e.Height%s.Period == 0 &&
		e.ID == a.hist.transferID("checkpoint", s.ID, s.SubnetGateway, e.Height).id
}

// askMissing asks for transfers that were not asked for yet, for those found
// missing before, and for some of the others in turn.
func (a *Auditor) askMissing(ctx context.Context, want []expected, now uint64) error {
	j := &a.journal
	var ids []common.Hash
	what := map[common.Hash]string{}
	pick := func(e expected) {
		if _, twice := what[e.id]; !twice && len(ids) < maxAsked && e.at+retentionSeconds > now {
			ids = append(ids, e.id)
			what[e.id] = e.String()
		}
	}
	for _, e := range want {
		if _, was := j.missing[e.id]; was || !j.asked[e.id] {
			pick(e)
		}
	}
	for range want {
		if len(ids) >= maxAsked {
			break
		}
		j.sweep = (j.sweep + 1) % len(want)
		pick(want[j.sweep])
	}
	if len(ids) == 0 {
		return nil
	}
	missing, err := a.src.Journal.Missing(ctx, ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		j.asked[id] = true
		delete(j.missing, id)
	}
	for _, id := range missing {
		j.missing[id] = what[id]
	}
	return nil
}

// nonces is I6. A nonce is reserved in the journal before anything is signed
// with it, so a mined one without an intent means a lost journal or a stolen
// key.
func (a *Auditor) nonces(ctx context.Context, r rootState, s childState, report *Report) {
	inv := newRule("I6")
	type account struct {
		name     string
		chain    Reader
		at       chains.Block
		accounts []common.Address
	}
	all := []account{{flow.Root, a.src.Root, r.block, a.src.RootAccounts}, {a.src.Sub.Name, a.src.Child, s.block, a.src.ChildAccounts}}
	if c := a.src.Crossing; c != nil && report.EthereumBlock != nil {
		all = append(all, account{flow.Ethereum, c.L1, *report.EthereumBlock, c.Accounts})
	}
	for _, c := range all {
		for _, account := range c.accounts {
			mined, err := c.chain.NonceAt(ctx, account, evm.AtHash(c.at.Hash))
			if err != nil {
				report.skip("I6", fmt.Errorf("read nonce: %w", err))
				return
			}
			key := c.name + "/" + account.Hex()
			m := a.journal.nonces[key]
			if m == nil {
				m = &nonceMemory{bad: map[uint64]string{}}
				a.journal.nonces[key] = m
			}
			if err := a.lookUp(ctx, m, c.chain.ChainID(), account, mined); err != nil {
				report.skip("I6", fmt.Errorf("read intent: %w", err))
				return
			}
			inv.terms[key] = fmt.Sprint(mined)
			if m.begun {
				inv.terms[key+"_first"] = fmt.Sprint(m.first)
			}
			for n, why := range m.bad {
				inv.broken("nonce %d of %s on %s %s", n, account.Hex(), c.name, why)
			}
		}
	}
	report.add(inv.invariant())
}

// lookUp goes on over the mined nonces of an account, and looks again at those
// that were wrong. Nonces before the first intent are older than the journal.
func (a *Auditor) lookUp(ctx context.Context, m *nonceMemory, chain chains.ID, account common.Address, mined uint64) error {
	look := func(n uint64) error {
		in, ok, err := a.src.Journal.Intent(ctx, chain, account, n)
		if err != nil {
			return err
		}
		delete(m.bad, n)
		switch {
		case ok && !m.begun:
			m.begun, m.first = true, n
		case !ok && m.begun:
			m.bad[n] = "has no intent"
		}
		switch {
		case ok && (in.Nonce != n || in.Account != account || in.Chain != chain):
			m.bad[n] = "has the intent of another"
		case ok && in.State == chains.IntentForeign:
			m.bad[n] = "was used by a transaction that is not ours"
		}
		return nil
	}
	for _, n := range slices.Collect(maps.Keys(m.bad)) {
		if err := look(n); err != nil {
			return err
		}
	}
	for n := 0; m.next < mined && (n < maxNonces || a.allNonces); n++ {
		if err := look(m.next); err != nil {
			return err
		}
		m.next++
	}
	return nil
}
