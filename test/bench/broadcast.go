package main

import (
	"time"

	"github.com/causeway-bridge/causeway/store"
)

// The kinds of transaction whose broadcast is timed, in the order of a
// transfer's way.
const (
	spellEach = iota
	spellAnswer
	spellStatement
	spellDeliver
	spellDeliverReady
	spellDeliverJournal
	spellSubmit
	spellSubmitJournal
	spellExec
	spells
)

const (
	inSubnetPool = "the transaction enters the subnet node's pool"
	inRootPool   = "the transaction enters the root node's pool"
	stamped      = "the attempt's time in the journal: signed, about to be stored and sent"
)

// described says what each spell is.
var described = [spells]Spell{
	spellEach: {Transaction: "the transaction that carries a transfer, per transfer: deliver into the subnet, execBottomUpMsgBatch out of it", To: "the transaction enters its node's pool",
		From: "the last final event that it needs: of the subnet block with the statement that covers a message and of the message's own block the later, and the " +
			"root block in which a checkpoint was accepted",
		Waits: "the batches before it in its lane, each simulated on top of them"},
	spellAnswer: {Transaction: "every answer that the relayer alone decides on: deliver, once it could go, and execBottomUpMsgBatch", To: "the transaction enters its node's pool",
		From:  "the last final event that it needs",
		Waits: "nothing else when transfers come one at a time; in a burst, the batches before it"},
	spellStatement: {Transaction: "commitParentFinality", To: inSubnetPool,
		From:  "the root block of the first message that only this statement covers is final",
		Waits: "the validators, who see the final block for themselves, sign in the votes of a subnet block and publish them with the next"},
	spellDeliver: {Transaction: "deliver, per message", To: inSubnetPool,
		From:  "the root block of the message is final",
		Waits: "the same, then a subnet block with the statement; in a burst, the batches before it"},
	spellDeliverReady: {Transaction: "deliver, once it could go", To: inSubnetPool,
		From:  "the later of: the subnet block with the statement is announced, the root block of the batch's last message is final",
		Waits: "nothing else when transfers come one at a time; in a burst, the batches before it"},
	spellDeliverJournal: {Transaction: "deliver, per message, by the journal alone", To: stamped,
		From: "the message's event is ingested", Waits: "as deliver, per message"},
	spellSubmit: {Transaction: "submitCheckpoint", To: inRootPool,
		From:  "the subnet block at the checkpoint's height, final at once, is announced",
		Waits: "the validators, who sign in the votes of the next subnet block and publish them with the one after; the checkpoint before it"},
	spellSubmitJournal: {Transaction: "submitCheckpoint, by the journal alone", To: stamped,
		From: "the checkpoint's event is ingested", Waits: "as submitCheckpoint"},
	spellExec: {Transaction: "execBottomUpMsgBatch, first of its checkpoint", To: inRootPool,
		From:  "the root block in which the checkpoint was accepted is final",
		Waits: "nothing: this is the relayer alone, from a final event to the broadcast that answers it"},
}

const clocks = "blocks and pools as the nodes announce them over WebSocket (newHeads, newPendingTransactions) to this process; a root block is final when " +
	"the block that finality trails by is announced; the journal's times are Redis' clock (ingested) and the relayer's (attempt): all of one machine. " +
	"From final block to pool contains the relayer's poll of the head (every 250 ms here), reading logs, the journal's writes, simulation, signature and broadcast"

// timed is one broadcast.
type timed struct {
	spell    int
	from, to time.Time
	ok       bool
}

// broadcasts times every transaction of the relayer that answers an event.
func (r *rig) broadcasts(h *history) []timed {
	var out []timed
	add := func(spell int, from time.Time, ok bool, to time.Time, seen bool) {
		out = append(out, timed{spell, from, to, ok && seen})
	}
	messages, checkpoints, statements := h.messages(), h.checkpoints(), h.statements()

	covered := uint64(0)
	for i, s := range statements {
		if i > 0 {
			covered = statements[i-1].nonce
		}
		if m, ok := messages[covered]; ok && s.nonce > covered {
			from, final := r.finalAt(m.Transfer.Height)
			to, seen := s.at.poolAt(s.first().Hash)
			add(spellStatement, from, final, to, seen)
		}
	}
	firstOf := map[uint64]relayed{}
	for _, t := range h.relayed {
		to, seen := t.at.poolAt(t.first().Hash)
		switch t.kind {
		case "deliver":
			r.deliveries(h, t, statements, add)
		case "submit":
			for _, m := range t.Members {
				c := h.byID[m]
				from, known := r.subnet.headAt(c.Transfer.Nonce)
				add(spellSubmit, from, known, to, seen)
				add(spellSubmitJournal, c.CreatedAt, true, t.first().SentAt, true)
			}
		case "message":
			height, ok := batchOf(t)
			accepted, known := acceptedIn(checkpoints[height])
			from, final := r.finalAt(accepted)
			for range messagesIn(t) {
				add(spellEach, from, ok && known && final, to, seen)
			}
			if old, dup := firstOf[height]; ok && (!dup || t.Nonce < old.Nonce) {
				firstOf[height] = t
			}
		}
	}
	for height, t := range firstOf {
		accepted, ok := acceptedIn(checkpoints[height])
		from, final := r.finalAt(accepted)
		to, seen := t.at.poolAt(t.first().Hash)
		add(spellExec, from, ok && final, to, seen)
		add(spellAnswer, from, ok && final, to, seen)
	}
	return out
}

// deliveries times one deliver transaction and each message in it.
func (r *rig) deliveries(h *history, t relayed, statements []statement, add func(int, time.Time, bool, time.Time, bool)) {
	to, seen := t.at.poolAt(t.first().Hash)
	var last store.Job
	// ready is when a message could go: it is final and a statement covers it.
	ready := func(j store.Job) (time.Time, bool) {
		at, final := r.finalAt(j.Transfer.Height)
		s, ok := covering(statements, j.Transfer.Nonce)
		signed, known := r.subnet.headAt(s.block)
		if signed.After(at) {
			at = signed
		}
		return at, final && ok && known
	}
	for _, m := range t.Members {
		j := h.byID[m]
		if j.Transfer.Nonce >= last.Transfer.Nonce {
			last = j
		}
		from, final := r.finalAt(j.Transfer.Height)
		add(spellDeliver, from, final, to, seen)
		add(spellDeliverJournal, j.CreatedAt, true, t.first().SentAt, true)
		at, known := ready(j)
		add(spellEach, at, known, to, seen)
	}
	at, known := ready(last)
	add(spellDeliverReady, at, known, to, seen)
	add(spellAnswer, at, known, to, seen)
}

// messagesIn is how many messages an execution applied.
func messagesIn(t relayed) (n int) {
	for _, l := range t.receipt.Logs {
		if _, err := gatewayABI.UnpackBottomUpMessageAppliedEvent(l); err == nil {
			n++
		}
	}
	return n
}

// acceptedIn is the root block in which a checkpoint was accepted.
func acceptedIn(c store.Job) (uint64, bool) {
	for _, e := range c.History {
		if e.Step == "submit" && e.Outcome == store.OK {
			return e.Height, true
		}
	}
	return 0, false
}

// within makes the distributions of the broadcasts inside the spans. One whose
// start or end was not seen is counted where either is inside.
func within(all []timed, spans ...span) []Spell {
	var samples [spells][]time.Duration
	out := described
	for _, t := range all {
		for _, s := range spans {
			if !s.has(t.to) && !(t.to.IsZero() && s.has(t.from)) {
				continue
			}
			if t.ok {
				samples[t.spell] = append(samples[t.spell], t.to.Sub(t.from))
			} else {
				out[t.spell].Unseen++
			}
		}
	}
	for i := range out {
		out[i].Dist = distOf(samples[i])
	}
	return out[:]
}
