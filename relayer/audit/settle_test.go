package audit

import (
	"testing"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// eventful is a world whose failures have all come home: a refunded deposit of
// USDC, one of FLT, and a withdrawal returned, resent, settled and claimed.
func eventful() *world {
	w := newWorld(1000)
	nextBatch := func(pick choices) {
		target := uint64(w.root.tip().state.lastCheckpoint) + modelPeriod
		for w.child.tip().header.Number.Uint64() < target {
			w.childBlock(func(*childBooks, *emitter) {})
		}
		w.checkpoint()
		w.exec(9, pick)
	}
	w.deposit(100, addr(40)) // 0: minted
	w.deposit(60, addr(41))  // 1: fails
	w.fund(70)               // 2: fails
	w.deliver(1, alwaysGood)
	w.deliver(2, badAt(4))
	w.withdraw(sub.USDC, 40, addr(40)) // up 2: fails, comes back
	w.withdraw(sub.FLT, 30, addr(40))  // up 3: so does this
	nextBatch(func(ways int) int {     // the refund is refused by its recipient, and so are both calls
		if ways == 3 || ways == 4 {
			return ways - 1
		}
		return 0
	})
	w.deliver(9, alwaysGood)
	w.resend()
	w.resend()
	nextBatch(unpaid)
	w.claims()
	w.withdraw(sub.USDC, 20, addr(40))
	nextBatch(alwaysGood)
	return w
}

func TestEveryRuleOfSettlementCountsItsOwnViolation(t *testing.T) {
	pick := func(h *history, token common.Address, paid bool) *settlement {
		for i := range h.settled {
			if h.settled[i].token == token && h.settled[i].paid == paid {
				return &h.settled[i]
			}
		}
		panic("no such settlement")
	}
	failed := func(h *history) common.Hash { return h.down[1].id }
	bounced := func(h *history) common.Hash { return h.down[2].id }

	for name, c := range map[string]struct {
		edit func(h *history)
		want string
	}{
		"nothing": {func(*history) {}, "0"},

		"an application without event":  {func(h *history) { delete(h.upApplied, 4) }, "1"},
		"a message the gateway has not": {func(h *history) { h.up[99] = &message{nonce: 99, value: big64(0)} }, "1"},
		"an application it has not":     {func(h *history) { h.downApplied[99] = applied{} }, "1"},
		"applied as another message":    {func(h *history) { a := h.downApplied[2]; a.id[0] ^= 1; h.downApplied[2] = a }, "1"},
		"two deposits in one message":   {func(h *history) { h.tokensSent = append(h.tokensSent, h.tokensSent[0]) }, "1"},
		"a deposit of another amount":   {func(h *history) { h.tokensSent[0].amount = big64(101) }, "1"},
		"a deposit to another":          {func(h *history) { h.tokensSent[0].recipient = stranger }, "1"},
		"a deposit under another id":    {func(h *history) { h.tokensSent[0].id[0] ^= 1 }, "1"},
		"a deposit the escrow forgot":   {func(h *history) { h.tokensSent = h.tokensSent[1:] }, "1"},
		"a minting of its own":          {func(h *history) { h.minted = append(h.minted, minting{stranger, big64(1)}) }, "1"},
		"a minting that did not happen": {func(h *history) { h.minted = nil }, "1"},
		"a minting of another amount":   {func(h *history) { h.minted[0].amount = big64(99) }, "1"},
		"a second refund":               {func(h *history) { id := failed(h); h.refunds[id] = append(h.refunds[id], h.refunds[id][0]) }, "1"},
		"a refund to another":           {func(h *history) { h.refunds[failed(h)][0].sender = stranger }, "1"},
		"a refund of more":              {func(h *history) { h.refunds[failed(h)][0].amount = big64(61); h.claimed = nil }, "1"},
		"a refund pulled twice":         {func(h *history) { id := failed(h); h.claimed[id] = append(h.claimed[id], h.claimed[id][0]) }, "1"},
		"a refund paid and pulled":      {func(h *history) { h.refunds[failed(h)][0].paid = true }, "1"},
		"a refund pulled in excess":     {func(h *history) { h.claimed[failed(h)][0].amount = big64(61) }, "1"},
		"a refund pulled from nowhere":  {func(h *history) { h.claimed[common.Hash{9}] = []payment{{stranger, big64(1)}} }, "1"},
		"a second answer": {func(h *history) {
			id := bounced(h)
			h.rootResults[id] = append(h.rootResults[id], h.rootResults[id][0])
		}, "1"},
		"an answer with more value":      {func(h *history) { h.rootResults[bounced(h)][0].value = big64(71) }, "1"},
		"an answer to another":           {func(h *history) { h.rootResults[bounced(h)][0].to = stranger }, "1"},
		"an answer with another outcome": {func(h *history) { a := h.downApplied[2]; a.outcome = ipc.OutcomeOk; h.downApplied[2] = a }, "1"},

		"a withdrawal sent twice":           {func(h *history) { h.sent = append(h.sent, h.sent[0]) }, "1"},
		"a withdrawal not as its message":   {func(h *history) { h.sent[0].messageNonce = 0 }, "1"},
		"a withdrawal with a foreign value": {func(h *history) { h.up[h.sent[0].messageNonce].value = big64(1) }, "1"},
		"a message of no withdrawal": {func(h *history) {
			h.sent = h.sent[:len(h.sent)-1] // and its settlement has none
		}, "2"},
		"a message resent without an event": {func(h *history) { h.resent[h.sent[0].id] = 0 }, "1"},
		"resent and never returned":         {func(h *history) { h.backAgain[h.sent[0].id] = 0 }, "1"},
		"executed and not settled": {func(h *history) {
			s := pick(h, sub.USDC, true)
			delete(h.reserved, s.id)
			delete(h.reservePaid, s.id)
			h.settled = h.settled[:len(h.settled)-1]
		}, "1"},
		"claimed in excess": {func(h *history) { h.credits[pick(h, sub.FLT, false).id][0].amount = big64(31) }, "1"},
		"claimed twice": {func(h *history) {
			id := pick(h, sub.FLT, false).id
			h.credits[id] = append(h.credits[id], h.credits[id][0])
		}, "1"},
		"FLT from the reserve": {func(h *history) { h.reservePaid[pick(h, sub.FLT, false).id] = []payment{{stranger, big64(30)}} }, "1"},
		"reserved in excess":   {func(h *history) { h.reserved[pick(h, sub.USDC, true).id][0] = big64(21) }, "1"},
		"reserved twice":       {func(h *history) { id := pick(h, sub.USDC, true).id; h.reserved[id] = append(h.reserved[id], big64(20)) }, "1"},
		"not reserved":         {func(h *history) { delete(h.reserved, pick(h, sub.USDC, true).id) }, "1"},
		"paid from the reserve twice": {func(h *history) {
			id := pick(h, sub.USDC, true).id
			h.reservePaid[id] = append(h.reservePaid[id], h.reservePaid[id][0])
		}, "1"},
		"paid from the reserve, more":  {func(h *history) { h.reservePaid[pick(h, sub.USDC, true).id][0].amount = big64(21) }, "1"},
		"paid from the reserve, other": {func(h *history) { h.reservePaid[pick(h, sub.USDC, true).id][0].to = stranger }, "1"},
		"claimed without leaving it":   {func(h *history) { delete(h.reservePaid, pick(h, sub.USDC, false).id) }, "1"},
		"settled short, paid in full": {func(h *history) {
			s := pick(h, sub.USDC, true)
			s.amount, s.short, s.paid = big64(19), true, false
		}, "2"}, // the reserve gave 20, and gave it without a claim
	} {
		t.Run(name, func(t *testing.T) {
			w := eventful()
			a := auditorOf(t, w)
			drifts(t, check(t, a), nil)
			r, s, err := a.pin(ctx)
			require.NoError(t, err)
			c.edit(a.hist)
			i := a.settlements(r, s, nil)
			require.Equal(t, c.want, i.Drift, i.Detail)
			require.Equal(t, c.want == "0", i.OK)
		})
	}
}

func TestABatchLargerThanWhatIsKnownIsFound(t *testing.T) {
	w := busy()
	s := w.child.tip().state
	epoch := w.epochs[len(w.epochs)-1]
	b := s.batches[epoch]
	b.count = 1 << 60
	s.batches[epoch] = b
	drifts(t, check(t, auditorOf(t, w)), map[string]string{"I2": "1"})
}
