package relayer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/relayer/audit"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/cenkalti/backoff/v4"
)

// settleTime is how long a recovery takes at least: each instance that runs has
// noticed by then that Redis came back, and put back what it had signed.
const settleTime = 10 * time.Second

// maxFindings bounds what of a comparison is logged and shown.
const maxFindings = 20

// recovery waits out a loss: Redis came back without the end of its history, and
// gives out no lease and no nonce. The watchers read on from where it is, the
// transaction managers put back what they have signed; then the whole journal is
// compared with the chains, again and again until they agree. Of several
// instances each does all of it, and the first to find them in agreement ends it.
// A death at any point leaves the loss in Redis to whoever comes next.
type recovery struct {
	*shared
	heads    map[string]func(context.Context) (chains.Block, error) // final ones, by chain
	restored map[string]func() bool                                 // whether a chain's intents file is back
	compare  func(context.Context) ([]audit.Reconciliation, error)
	settle   time.Duration

	of    store.Recovery    // the zero Recovery: nothing is lost
	began time.Time         // when this instance first saw it
	final map[string]uint64 // final heights of then
	next  time.Time         // of the next comparison
	pause backoff.BackOff
}

func (s *shared) newRecovery(sides []side, links []*link, senders map[string]*evm.TxManager, auditors map[string]*auditor) *recovery {
	r := &recovery{
		shared: s, settle: settleTime,
		heads: map[string]func(context.Context) (chains.Block, error){}, restored: map[string]func() bool{},
	}
	for name, tx := range senders {
		r.restored[name] = tx.Restored
	}
	for _, c := range sides {
		r.heads[c.name] = c.source.Head
	}
	r.compare = func(ctx context.Context) (out []audit.Reconciliation, err error) {
		for _, l := range links {
			one, err := auditors[l.sub.Name].reconcile(ctx, l.sub, auditJournal{s.Journal})
			if err != nil {
				return out, fmt.Errorf("subnet %s: %w", l.sub.Name, err)
			}
			out = append(out, one)
		}
		return out, nil
	}
	return r
}

// reconcile compares at once, by what an instance that has run for a while knows of
// the chains already: what a recovery takes does not grow with their history.
func (a *auditor) reconcile(ctx context.Context, sub flow.Subnet, journal audit.Ledger) (audit.Reconciliation, error) {
	if a == nil {
		return unjudged(sub), nil
	}
	a.Hurry(true)
	defer a.Hurry(false)
	a.turn.Lock()
	defer a.turn.Unlock()
	return a.Reconcile(ctx, journal)
}

func (r *recovery) run(ctx context.Context) error {
	return every(ctx, keepEvery, func() error {
		r.step(ctx)
		return nil
	})
}

// step is one look; it ends a recovery that has come to its end.
func (r *recovery) step(ctx context.Context) {
	lost, on, err := r.loss(ctx)
	switch {
	case err != nil:
		return // what is wrong with Redis is told by the keeper
	case !on:
		r.of = store.Recovery{}
		return
	case lost.Token != r.of.Token:
		r.of, r.began, r.final, r.next = lost, time.Now(), map[string]uint64{}, time.Time{}
		r.pause = backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(5*time.Second), backoff.WithMaxInterval(2*time.Minute), backoff.WithMaxElapsedTime(0))
		r.Log.Warn("redis forgot: nothing is sent until the journal agrees with the chains", "why", lost.Why, "since", lost.Since)
	}
	if waits := r.waits(ctx); waits != "" {
		r.tell(waits, nil)
		return
	}
	if time.Now().Before(r.next) {
		return
	}
	findings, err := r.differences(ctx)
	if ctx.Err() != nil {
		return
	}
	if err == nil && len(findings) == 0 {
		// The script ends this loss alone: where Redis has forgotten again since,
		// the comparison was in vain.
		if err = r.Journal.Recovered(ctx, r.of, r.cfg.Instance, "the journal agrees with the chains"); err == nil {
			r.Log.Info("the journal agrees with the chains again: leases and nonces are given out", "took", time.Since(r.began).Round(time.Millisecond).String())
			_, _, _ = r.loss(ctx) // told at once; the next look tells it too
			return
		}
	}
	r.next = time.Now().Add(r.pause.NextBackOff())
	if err != nil {
		r.Log.Warn("compare the journal with the chains after a loss: will retry", "err", err)
		r.tell("a comparison with the chains ("+err.Error()+")", nil)
		return
	}
	r.Log.Warn("the journal does not agree with the chains after a loss: will compare again", "findings", strings.Join(findings, "; "))
	r.tell("the journal to agree with the chains", findings)
}

// waits says what must happen before a comparison, "" for nothing.
func (r *recovery) waits(ctx context.Context) string {
	for _, name := range slices.Sorted(maps.Keys(r.heads)) {
		final, known := r.final[name]
		if !known {
			head, err := r.heads[name](ctx)
			if err != nil {
				return fmt.Sprintf("the final head of %s (%v)", name, err)
			}
			final = head.Number
			r.final[name] = final
		}
		cur, ok, err := r.Journal.Cursor(ctx, name)
		switch {
		case err != nil:
			return fmt.Sprintf("the cursor of %s (%v)", name, err)
		case !ok || cur.Next <= final:
			return fmt.Sprintf("%s to be read up to %d, it is read below %d", name, final, cur.Next)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.restored)) {
		if !r.restored[name]() {
			return "the transactions on " + name + " to be put back from this machine's file"
		}
	}
	if rest := r.settle - time.Since(r.began); rest > 0 {
		return "other instances to put back their transactions"
	}
	return ""
}

// differences are what speaks against giving out leases again.
func (r *recovery) differences(ctx context.Context) (findings []string, err error) {
	found, err := r.compare(ctx)
	if err != nil {
		return nil, err
	}
	for _, one := range found {
		if one.OK {
			continue
		}
		texts := one.Findings(maxFindings - len(findings))
		if len(texts) == 0 { // whoever does not agree is never green for lack of words
			texts = []string{"it does not agree with the chains: `causeway reconcile` says where"}
		}
		for _, text := range texts {
			findings = append(findings, one.Subnet+": "+text)
		}
	}
	return findings, nil
}

// errForgetful is what /readyz says during a recovery.
var errForgetful = errors.New("redis forgot: nothing is sent until the journal agrees with the chains")

// loss reads what Redis is known to have lost, and tells of it or that it is over.
func (s *shared) loss(ctx context.Context) (store.Recovery, bool, error) {
	lost, on, err := s.Journal.Recovering(ctx)
	switch {
	case err != nil:
		return lost, false, err
	case on:
		s.status.recovers(lost, s.show)
	default:
		s.metrics.forgot.Set(0)
		s.health.set("recovery", nil)
		s.status.recovered()
		s.Alerts.Resolve(alerts.RedisForgot, "redis")
	}
	return lost, on, nil
}

// tell says how far a recovery is.
func (r *recovery) tell(waits string, findings []string) {
	r.status.recovers(r.of, func(s *RecoveryStatus) {
		s.WaitsFor, s.Findings = waits, findings
		r.show(s)
	})
}

// show is what health, metrics and alerts say of a recovery.
func (s *shared) show(r *RecoveryStatus) {
	s.metrics.forgot.Set(1)
	s.health.set("recovery", fmt.Errorf("%w; waits for %s", errForgetful, r.WaitsFor))
	what := "it goes on by itself"
	if len(r.Findings) > 0 {
		what = fmt.Sprintf("%d findings, first %q: mend them (`causeway status` lists them, `causeway reconcile` compares again), or answer for it with `causeway reconcile --resume --why REASON`",
			len(r.Findings), r.Findings[0])
	}
	s.Alerts.Raise(alerts.Alert{
		Name: alerts.RedisForgot, Key: "redis", Severity: alerts.Page,
		Summary: fmt.Sprintf("%v (%s, since %s); waits for %s: %s; a lane that was paused lately may have to be paused again",
			errForgetful, r.Why, r.Since.Format(time.RFC3339), r.WaitsFor, what),
	})
}
