package api

import (
	"net/http"
	"time"

	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// Crossing is one of Axelar's messages that is on its way between Ethereum and the
// root, as an auditor wants it: what I1 of FLT_ETHEREUM counts as in flight.
type Crossing struct {
	// Message is the id of the call that began it: its transaction and the place of
	// its event there.
	Message string         `json:"message"`
	Route   string         `json:"route"` // leg_in from Ethereum, leg_out to it
	Amount  tokens.Amount  `json:"amount"`
	Sender  common.Address `json:"sender"` // that called the token service
	To      common.Address `json:"to"`     // whom it pays there
	Status  tokens.Status  `json:"status"`
	// Step is what is waited for: approve or execute.
	Step   string `json:"step"`
	Reason string `json:"reason,omitempty"`
	Error  string `json:"error,omitempty"`
	// Height is the block of the call, Seconds how old it is.
	Height  uint64 `json:"height"`
	Seconds int64  `json:"seconds"`
}

type crossingList struct {
	Crossings []Crossing `json:"crossings"`
	Next      string     `json:"next,omitempty"`
}

// carried is the transfer in a leg's message.
func carried(leg tokens.Transfer) (axelar.Transfer, bool) {
	p, err := axelar.DecodePayload(leg.Payload)
	sent, ok := p.(axelar.SendToHub)
	if err != nil || !ok {
		return axelar.Transfer{}, false
	}
	inner, err := axelar.DecodePayload(sent.Inner)
	m, ok := inner.(axelar.Transfer)
	return m, err == nil && ok
}

func crossing(j store.Job) Crossing {
	t := j.Transfer
	c := Crossing{
		Message: axelar.MessageID{Tx: t.Origin.Tx, Index: t.Nonce}.String(), Route: t.Route, Status: j.Status, Step: j.Step,
		Reason: j.Reason, Error: Scrub(j.Err), Height: t.Height, Seconds: max(0, int64(time.Since(unix(t.At)).Seconds())),
	}
	if m, ok := carried(t); ok {
		c.Amount, c.Sender, c.To = tokens.MustUnits(m.Amount), common.BytesToAddress(m.Source), common.BytesToAddress(m.Destination)
	}
	return c
}

// crossings lists messages of one direction that have not arrived, newest first.
func (a *users) crossings(w http.ResponseWriter, r *http.Request) {
	q, code, detail := query(r.URL.RawQuery, "route", "status", "limit", "cursor")
	if code != "" {
		fail(w, http.StatusBadRequest, code, detail)
		return
	}
	f := store.Filter{Route: q.Get("route"), Status: tokens.Pending, Hidden: true}
	if f.Route != "leg_in" && f.Route != "leg_out" {
		fail(w, http.StatusBadRequest, "unknown_route", "routes are leg_in, from Ethereum, and leg_out, to it")
		return
	}
	switch s := tokens.Status(q.Get("status")); s {
	case "", tokens.Pending:
	case tokens.Parked:
		f.Status = s
	default:
		fail(w, http.StatusBadRequest, "unknown_status", "statuses of what is on its way are pending and parked")
		return
	}
	if code, detail := paged(q, &f); code != "" {
		fail(w, http.StatusBadRequest, code, detail)
		return
	}
	jobs, next, err := a.cfg.DB.List(r.Context(), f)
	if err != nil {
		a.unavailable(w, r, err)
		return
	}
	out := crossingList{Crossings: make([]Crossing, 0, len(jobs)), Next: next}
	for _, j := range jobs {
		out.Crossings = append(out.Crossings, crossing(j))
	}
	answer(w, out)
}
