package storetest

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/store"
	"github.com/ethereum/go-ethereum/common"
)

// Scope names what a snapshot looks at.
type Scope struct {
	Chains   []string
	Jobs     []common.Hash
	ChainID  chains.ID
	Accounts []common.Address
	Nonces   uint64 // intents of nonces below it
	Pages    bool   // lanes, lists and counts too
}

// Snapshot reads everything in scope and writes it as text: two stores that
// read the same are the same.
func Snapshot(ctx context.Context, s Store, of Scope) ([]string, error) {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, c := range of.Chains {
		cur, ok, err := s.Cursor(ctx, c)
		if err != nil {
			return nil, err
		}
		say("cursor %s %v %v", c, cur, ok)
		f, ok, err := s.Forked(ctx, c)
		if err != nil {
			return nil, err
		}
		if ok {
			say("fork %+v", f)
		}
		trail, err := s.Trail(ctx, c, 0, math.MaxUint64)
		if err != nil {
			return nil, err
		}
		for _, b := range trail {
			say("trail %s %d %s", c, b.Number, b.Hash)
		}
	}
	lost, on, err := s.Recovering(ctx)
	if err != nil {
		return nil, err
	}
	if on {
		epoch, _, _ := strings.Cut(lost.Token, " ")
		say("recovering %s %s %s", epoch, lost.Since, lost.Why)
	}
	aside, err := s.QuarantinedFacts(ctx, 1<<20)
	if err != nil {
		return nil, err
	}
	var facts []string
	for _, q := range aside {
		facts = append(facts, fmt.Sprintf("quarantined %+v", q))
	}
	slices.Sort(facts)
	out = append(out, facts...)
	for _, id := range of.Jobs {
		j, ok, err := s.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		if ok {
			say("job %s", Describe(j))
		}
	}
	lanes, err := s.Lanes(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(lanes, func(a, b store.LaneInfo) int { return cmp.Compare(a.Name, b.Name) })
	for _, l := range lanes {
		say("lane %s strict=%v depth=%d head=%d at=%s leased=%q paused=%q forked=%q err=%q", l.Name, l.Strict, l.Depth, l.HeadSeq, stampOf(l.NotBefore), l.Leased, l.Paused, l.Forked, l.LastErr)
	}
	if of.Pages {
		if err := readings(ctx, s, lanes, say); err != nil {
			return nil, err
		}
	}
	for _, a := range of.Accounts {
		live, err := s.Live(ctx, of.ChainID, a)
		if err != nil {
			return nil, err
		}
		for _, in := range live {
			say("live %s", DescribeIntent(in))
		}
		for n := range of.Nonces {
			in, ok, err := s.Intent(ctx, of.ChainID, a, n)
			if err != nil {
				return nil, err
			}
			if ok {
				say("intent %s", DescribeIntent(in))
			}
		}
	}
	return out, nil
}

// readings is what pages and counts say.
func readings(ctx context.Context, s Store, lanes []store.LaneInfo, say func(string, ...any)) error {
	for _, l := range lanes {
		jobs, err := s.LaneJobs(ctx, l.Name, l.HeadSeq+1, 3)
		if err != nil {
			return err
		}
		for _, j := range jobs {
			say("in %s: %s", l.Name, Describe(j))
		}
	}
	stats, err := s.Stats(ctx)
	if err != nil {
		return err
	}
	say("stats %v pending=%d parked=%d discarded=%d oldest=%s undecided=%d",
		stats.Counts, stats.Pending, stats.Parked, stats.Discarded, stampOf(stats.OldestPending), stats.Undecided)
	f := store.Filter{Hidden: true, Limit: 3}
	for {
		jobs, next, err := s.List(ctx, f)
		if err != nil {
			return err
		}
		for _, j := range jobs {
			say("listed %s", Describe(j))
		}
		if next == "" {
			return nil
		}
		f.Cursor = next
	}
}

func stampOf(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return fmt.Sprint(t.UnixMilli())
}

// Describe writes every field of a job.
func Describe(j store.Job) string {
	return fmt.Sprintf("%s step=%s/%d lane=%s strict=%v seq=%d tries=%d crashes=%d at=%s err=%q reason=%q status=%s intent=%q discarded=%v made=%s changed=%s %v",
		j.Transfer, j.Step, j.StepIndex, j.Lane, j.Strict, j.Seq, j.Attempts, j.Crashes, stampOf(j.NotBefore), j.Err, j.Reason, j.Status,
		j.Intent, j.Discarded, stampOf(j.CreatedAt), stampOf(j.UpdatedAt), j.History)
}

// DescribeIntent writes every field of an intent.
func DescribeIntent(in chains.Intent) string {
	tries := ""
	for _, a := range in.Attempts {
		tries += fmt.Sprintf(" [%s %x %s %s %v %s]", a.Hash, a.Raw, a.TipWei, a.FeeCapWei, a.NoOp, stampOf(a.SentAt))
	}
	return fmt.Sprintf("%d/%s/%d key=%q to=%s data=%x value=%s gas=%d members=%v fence=%v state=%s at=%d/%s tx=%s used=%d abandoned=%v made=%s%s",
		in.Chain, in.Account, in.Nonce, in.Key, in.To, in.Data, in.Value, in.Gas, in.Members, in.Fence, in.State, in.Block, in.BlockHash,
		in.TxHash, in.GasUsed, in.Abandoned, stampOf(in.CreatedAt), tries)
}
