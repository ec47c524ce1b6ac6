package api

import (
	"regexp"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// Transfer is a transfer as users see it. Amounts are decimal strings of base
// units, times RFC 3339 in UTC.
type Transfer struct {
	ID        common.Hash    `json:"id"`
	Route     string         `json:"route"`
	Asset     string         `json:"asset"`
	Amount    tokens.Amount  `json:"amount"`
	Sender    common.Address `json:"sender"`
	Recipient common.Address `json:"recipient"`
	// Fallback of a withdrawal may claim it besides the recipient.
	Fallback *common.Address `json:"fallback,omitempty"`
	Subnet   common.Address  `json:"subnet"` // its actor on the root
	Status   tokens.Status   `json:"status"`
	// Step is what is waited for, while pending or parked.
	Step string `json:"step,omitempty"`
	// Reason is one of the closed list, Error the last failure of the relayer.
	Reason      string     `json:"reason,omitempty"`
	Error       string     `json:"error,omitempty"`
	Attempts    int        `json:"attempts"`
	NextAttempt *time.Time `json:"next_attempt,omitempty"`
	// Ref is the protocol's id: of the message, or of the withdrawal.
	Ref   common.Hash `json:"ref"`
	Nonce uint64      `json:"nonce"`
	Steps []Step      `json:"steps"`
	// Seconds is how long it took, or has taken so far, in block time.
	Seconds int64 `json:"seconds"`
}

// Step is one line of the ledger: a final event that moved the transfer.
type Step struct {
	Name    string      `json:"name"`
	Outcome string      `json:"outcome"`
	Reason  string      `json:"reason,omitempty"`
	Chain   string      `json:"chain"`
	Height  uint64      `json:"height"`
	Tx      common.Hash `json:"tx"`
	At      time.Time   `json:"at"`
}

// View makes a transfer of its row in the journal.
func View(j store.Job) Transfer {
	t := j.Transfer
	route, _ := tokens.RouteByName(t.Route)
	v := Transfer{
		ID: t.ID, Route: t.Route, Asset: route.Asset.Symbol, Amount: t.Amount, Sender: t.Sender, Recipient: t.Recipient, Subnet: t.Subnet,
		Status: j.Status, Reason: j.Reason, Attempts: j.Attempts, Ref: t.Ref, Nonce: t.Nonce,
		Steps: []Step{{Name: "sent", Outcome: "ok", Chain: route.From, Height: t.Height, Tx: t.Origin.Tx, At: unix(t.At)}},
	}
	if strings.HasSuffix(t.Route, "_withdraw") {
		if w, err := ipc.DecodeWithdrawal(t.Payload); err == nil {
			v.Fallback = &w.FallbackRecipient
		}
	}
	if !j.Status.Terminal() || j.Status == tokens.Parked {
		v.Step, v.Error = j.Step, Scrub(j.Err)
		if !j.NotBefore.IsZero() && j.Status == tokens.Pending {
			at := j.NotBefore.UTC()
			v.NextAttempt = &at
		}
	}
	end := time.Now()
	if j.Status.Terminal() && !j.UpdatedAt.IsZero() {
		end = j.UpdatedAt // in lists, which come without the history
	}
	for _, e := range j.History {
		if e.Outcome == "" {
			continue // an operator's act, not the chain's
		}
		v.Steps = append(v.Steps, Step{
			Name: e.Step, Outcome: string(e.Outcome), Reason: e.Reason, Chain: e.Chain, Height: e.Height, Tx: e.Tx, At: unix(e.At),
		})
		if j.Status.Terminal() {
			end = unix(e.At)
		}
	}
	v.Seconds = max(0, int64(end.Sub(unix(t.At)).Seconds()))
	return v
}

// Where the operator's machines are is nobody's business: URLs, and host:port
// as Go's network errors print it.
var addresses = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://\S+|\[[0-9A-Fa-f:.%]+\]:\d+|[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*:\d{2,5}\b`)

// Scrub takes the operator's addresses out of a text that users may read.
func Scrub(text string) string { return addresses.ReplaceAllString(text, "***") }

func unix(s uint64) time.Time { return time.Unix(int64(s), 0).UTC() }

type list struct {
	Transfers []Transfer `json:"transfers"`
	Next      string     `json:"next,omitempty"`
}

func page(jobs []store.Job, next string) list {
	out := list{Transfers: make([]Transfer, 0, len(jobs)), Next: next}
	for _, j := range jobs {
		out.Transfers = append(out.Transfers, View(j))
	}
	return out
}
