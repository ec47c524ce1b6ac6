package relayer

import (
	"context"
	"fmt"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
)

const (
	// approvalPatience is how long a message may wait for its approval, from when
	// its call was final.
	approvalPatience = 15 * time.Minute
	lateEvery        = 30 * time.Second
	// latePages bounds how many of a direction's messages are looked at.
	latePages = 10
)

// legRoutes are the messages between Ethereum and the root, one direction each.
var legRoutes = []string{"leg_in", "leg_out"}

// approvals looks for messages between Ethereum and the root that nobody approves.
// It has its own loop, since it reads many rows where many wait.
func (k *keeper) approvals(ctx context.Context) error {
	if k.cfg.Ethereum == nil || k.cfg.Axelar.Approvals == ApprovalsNetwork { // its own loop has another patience
		return nil
	}
	return every(ctx, lateEvery, func() error {
		for _, route := range legRoutes {
			k.late(ctx, route, time.Now())
		}
		return nil
	})
}

// late raises or ends the alert about one direction. One that cannot be read stays
// as it is.
func (k *keeper) late(ctx context.Context, route string, now time.Time) {
	count, oldest := 0, store.Job{}
	f := store.Filter{Route: route, Status: tokens.Pending, Hidden: true, Limit: 500}
	for range latePages {
		jobs, next, err := k.Journal.List(ctx, f)
		if err != nil {
			return
		}
		for _, j := range jobs {
			if j.Step != "approve" || now.Sub(j.CreatedAt) <= approvalPatience {
				continue
			}
			if count++; count == 1 || j.CreatedAt.Before(oldest.CreatedAt) {
				oldest = j
			}
		}
		if f.Cursor = next; next == "" {
			break
		}
	}
	if count == 0 {
		k.Alerts.Resolve(alerts.ApprovalLate, route)
		return
	}
	id := axelar.MessageID{Tx: oldest.Transfer.Origin.Tx, Index: oldest.Transfer.Nonce}
	k.Alerts.Raise(alerts.Alert{
		Name: alerts.ApprovalLate, Key: route, Severity: alerts.Page,
		Summary: fmt.Sprintf("%d messages of %s wait for their approval, %s for %s: `causeway approver status` of each signer says why it does not sign",
			count, route, id, now.Sub(oldest.CreatedAt).Truncate(time.Minute)),
	})
}
