package relayer

import (
	"context"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/relayer/audit"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// auditJournal is the journal as the audit compares it with the chains. It only
// reads.
type auditJournal struct{ auditStore }

// auditStore is what of the store is compared.
type auditStore interface {
	Cursor(ctx context.Context, chain string) (chains.Cursor, bool, error)
	Get(ctx context.Context, id common.Hash) (store.Job, bool, error)
	List(ctx context.Context, f store.Filter) (jobs []store.Job, next string, err error)
	Intent(ctx context.Context, chain chains.ID, account common.Address, nonce uint64) (chains.Intent, bool, error)
}

var _ audit.Ledger = auditJournal{}

// Missing implements audit.Journal: each transfer is looked up by its id.
func (j auditJournal) Missing(ctx context.Context, ids []common.Hash) ([]common.Hash, error) {
	var out []common.Hash
	for _, id := range ids {
		_, ok, err := j.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		if !ok {
			out = append(out, id)
		}
	}
	return out, nil
}

// newestPages bounds how many pages of all subnets' transfers are looked at.
const newestPages = 20

// Newest implements audit.Journal.
func (j auditJournal) Newest(ctx context.Context, subnet common.Address, max int) ([]audit.Entry, error) {
	var out []audit.Entry
	f := store.Filter{Hidden: true, Limit: 500}
	for range newestPages {
		jobs, next, err := j.List(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, job := range jobs {
			t := job.Transfer
			// What began in a block that is no more is known to be wrong, and is
			// told of by an alert of its own.
			if regressed(job) {
				continue
			}
			if t.Subnet == subnet && len(out) < max {
				out = append(out, audit.Entry{ID: t.ID, Route: t.Route, Chain: t.Origin.Chain, Height: t.Height})
			}
		}
		if next == "" || len(out) >= max {
			break
		}
		f.Cursor = next
	}
	return out, nil
}

func regressed(j store.Job) bool {
	return j.Status == tokens.Parked && j.Reason == string(flow.ReasonFinalityRegress)
}

// Each implements audit.Ledger.
func (j auditJournal) Each(ctx context.Context, subnet common.Address, f func(audit.Standing)) error {
	for filter := (store.Filter{Hidden: true, Limit: 500}); ; {
		jobs, next, err := j.List(ctx, filter)
		if err != nil {
			return err
		}
		for _, job := range jobs {
			if t := job.Transfer; t.Subnet == subnet {
				f(audit.Standing{
					Entry:  audit.Entry{ID: t.ID, Route: t.Route, Chain: t.Origin.Chain, Height: t.Height},
					Status: job.Status, Step: job.Step, Gone: regressed(job),
				})
			}
		}
		if filter.Cursor = next; next == "" {
			return nil
		}
	}
}
