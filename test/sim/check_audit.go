package sim

import (
	"context"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/subnet"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/audit"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/ethereum/go-ethereum/common"
)

// checkAudit lets the relayer's own audit judge the end, over endpoints that
// are well.
func (r *run) checkAudit() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	l := &life{stop: cancel, note: r.note}
	dial := func(name string, c *chain) (evm.Reader, error) {
		return evm.Dial(ctx, evm.Config{
			Name: name, URL: "http://sim", ChainID: chains.ID(c.id), Finality: "finalized", MaxRange: 2000,
			Transport: &wire{run: r, chain: c, life: l, instance: -2, dice: newDice(r.seed, "audit")},
		}, nil)
	}
	report, err := func() (audit.Report, error) {
		root, err := dial("root", r.root)
		if err != nil {
			return audit.Report{}, err
		}
		defer root.Close()
		inside, err := dial("subnet", r.child)
		if err != nil {
			return audit.Report{}, err
		}
		defer inside.Close()
		sub, err := relayer.Describe("subnet", r.deployment)
		if err != nil {
			return audit.Report{}, err
		}
		client, err := subnet.New(inside, subnet.Config{Gateway: sub.SubnetGateway, Outbox: sub.Outbox, Period: sub.Period, DueTopic: flow.TopicCheckpointDue})
		if err != nil {
			return audit.Report{}, err
		}
		a, err := audit.New(audit.Source{
			Sub: sub, Root: root, Child: client, Journal: relayer.AuditJournal(&reading{r.redis}), Treasury: r.deployment.Settings.Treasury.Int(),
			RootAccounts: []common.Address{addressOf(key("relayer"))}, ChildAccounts: []common.Address{addressOf(key("relayer"))},
		})
		if err != nil {
			return audit.Report{}, err
		}
		return a.Check(ctx)
	}()
	if err != nil {
		r.watch.violate("audit: %v", err)
		return
	}
	for _, i := range report.Invariants {
		if !i.OK && !r.excused(i.ID) {
			r.watch.violate("audit: %s %s is off by %s: %s", i.ID, i.Token, i.Drift, i.Detail)
		}
	}
}

// excused says whether the seed itself broke an invariant: a thief is seen by
// I6, as are nonces that were final before a journal that forgot them was
// opened again.
func (r *run) excused(id string) bool {
	r.redis.mu.Lock()
	defer r.redis.mu.Unlock()
	return id == "I6" && (len(r.stolen) > 0 || r.redis.forgot)
}

// reading is the journal for who only reads.
type reading struct{ *redis }

func (j *reading) with(f func(*storetest.Model)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f(j.model)
}

func (j *reading) Cursor(ctx context.Context, chain string) (c chains.Cursor, ok bool, err error) {
	j.with(func(m *storetest.Model) { c, ok, err = m.Cursor(ctx, chain) })
	return c, ok, err
}

func (j *reading) Get(ctx context.Context, id common.Hash) (job store.Job, ok bool, err error) {
	j.with(func(m *storetest.Model) { job, ok, err = m.Get(ctx, id) })
	return job, ok, err
}

func (j *reading) List(ctx context.Context, f store.Filter) (jobs []store.Job, next string, err error) {
	j.with(func(m *storetest.Model) { jobs, next, err = m.List(ctx, f) })
	return jobs, next, err
}

func (j *reading) Intent(ctx context.Context, chain chains.ID, account common.Address, nonce uint64) (in chains.Intent, ok bool, err error) {
	j.with(func(m *storetest.Model) { in, ok, err = m.Intent(ctx, chain, account, nonce) })
	return in, ok, err
}
