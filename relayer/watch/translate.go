package watch

import (
	"fmt"
	"runtime/debug"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
)

// Translate reads events into the jobs they begin and the facts they are. It
// fails with ErrHalted when an event of our own contract cannot be read.
func Translate(chain string, flows []flow.Flow, events []chains.Event) (jobs []store.NewJob, facts []store.Fact, err error) {
	// A decoder that panics stops this chain, not the process with the others.
	var e chains.Event
	defer func() {
		if r := recover(); r != nil {
			jobs, facts = nil, nil
			err = fmt.Errorf("%w: [BUG] block %d, log %d: %v\n%s", ErrHalted, e.Block, e.Index, r, debug.Stack())
		}
	}()
	for _, e = range events {
		for _, f := range flows {
			if f.Chain != chain {
				continue
			}
			t, mine, err := f.Decode(e)
			if err != nil {
				return nil, nil, fmt.Errorf("%w: flow %s, block %d, log %d: %w", ErrHalted, f.Name, e.Block, e.Index, err)
			}
			if mine {
				job := Plan(f, t)
				job.BlockHash = e.BlockHash
				jobs = append(jobs, job)
			}
		}
		fs, err := Facts(chain, flows, e)
		if err != nil {
			return nil, nil, err
		}
		facts = append(facts, fs...)
	}
	return jobs, facts, nil
}

// Facts lists the facts of one event, each key once.
func Facts(chain string, flows []flow.Flow, e chains.Event) ([]store.Fact, error) {
	var facts []store.Fact
	type told struct {
		kind   flow.Kind
		shared bool
	}
	seen := map[flow.Key]told{}
	for _, f := range flows {
		for _, s := range f.Steps {
			key, out, mine := s.Effect(e)
			if !mine {
				continue
			}
			now := told{out.Kind, s.Shared}
			switch prev, dup := seen[key]; {
			case dup && prev == now:
				continue
			case dup:
				return nil, fmt.Errorf("%w: [BUG] block %d, log %d decides %s in two ways", ErrHalted, e.Block, e.Index, key)
			}
			seen[key] = now
			facts = append(facts, store.Fact{
				Key: string(key), Outcome: store.Outcome(out.Kind.String()), Reason: string(out.Reason),
				Chain: chain, Height: e.Block, BlockHash: e.BlockHash, Tx: e.Tx, At: e.BlockTime, LogIndex: e.Index,
				Shared: s.Shared,
			})
		}
	}
	return facts, nil
}

// Plan is the job of a transfer: its steps as data, so that the store needs no
// flow to move it.
func Plan(f flow.Flow, t tokens.Transfer) store.NewJob {
	job := store.NewJob{Transfer: t, Chain: f.Chain}
	for _, s := range f.Steps {
		lane := s.Lane(t)
		plan := store.StepPlan{
			Name: s.Name, Lane: lane.Name, Strict: lane.Strict, Seq: lane.Seq,
			Key: string(s.Key(t)), Shared: s.Shared, Poll: s.Poll, Wait: s.Do == nil, Chains: f.Chains, Next: map[store.Outcome]string{},
		}
		for kind, next := range s.Next {
			plan.Next[store.Outcome(kind.String())] = next
		}
		job.Steps = append(job.Steps, plan)
	}
	return job
}
