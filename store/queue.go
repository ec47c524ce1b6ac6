package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/ethereum/go-ethereum/common"
)

// maxClaim bounds the jobs of one lease.
const maxClaim = 1000

// Claim leases the lane that has been ready longest to worker, with at most
// most jobs (one at least) of one route and step: of a loose lane those due; of a
// strict one the due ones at its head in order, four times as many, since what it
// has sent already stands there. false when nothing is due, and while the store
// is Recovering. A job whose last lease ran out comes alone.
func (db *DB) Claim(ctx context.Context, worker string, most int) (Lease, bool, error) {
	crash.At("store.before_claim")
	reply, err := db.run(ctx, scriptClaim, short(worker), min(maxClaim, max(1, most)), db.opt.LeaseTime.Milliseconds())
	crash.At("store.after_claim")
	if err != nil || reply[0] == "NONE" {
		return Lease{}, false, err
	}
	l := Lease{Fence: chains.Fence{Lane: reply[1]}, Step: reply[5], Worker: worker}
	l.Fence.Epoch, _ = strconv.ParseUint(reply[2], 10, 64)
	l.Fence.Counter, _ = strconv.ParseUint(reply[3], 10, 64)
	db.marked(reply[3])
	l.Until = milliText(reply[4])
	for rest := reply[6:]; len(rest) >= 4; rest = rest[4:] {
		if rest[1] == "" || rest[2] == "" {
			continue // lost between two replies; audit mends it
		}
		j, err := decodeJob(rest[1], rest[2], rest[3])
		if err != nil {
			return Lease{}, false, fmt.Errorf("claim %s: %w", rest[0], err)
		}
		l.Jobs = append(l.Jobs, j)
	}
	return l, true, nil
}

func milliText(s string) time.Time {
	ms, _ := strconv.ParseFloat(s, 64)
	return millis(ms)
}

// Extend keeps the lane for another lease time. ErrStale: it is somebody
// else's.
func (db *DB) Extend(ctx context.Context, l Lease) (Lease, error) {
	reply, err := db.run(ctx, scriptExtend, l.Fence.Lane, l.Fence.Epoch, l.Fence.Counter, db.opt.LeaseTime.Milliseconds())
	if err != nil {
		return l, err
	}
	if reply[0] == "STALE" {
		return l, fmt.Errorf("extend %s: %w", l.Fence.Lane, ErrStale)
	}
	l.Until = milliText(reply[1])
	return l, nil
}

// Settle writes the verdicts on a lease's jobs and gives the lane back, in one
// script. Jobs without a verdict go back as they came; a verdict on a job that
// has meanwhile left its step is ignored. ErrStale: the lane is somebody
// else's and nothing was written.
func (db *DB) Settle(ctx context.Context, l Lease, verdicts []Verdict) error {
	mine := make(map[common.Hash]bool, len(l.Jobs))
	for _, j := range l.Jobs {
		mine[j.Transfer.ID] = true
	}
	args := make([]any, 0, 3+9*len(verdicts))
	args = append(args, l.Fence.Lane, l.Fence.Epoch, l.Fence.Counter)
	for _, v := range verdicts {
		if !mine[v.ID] {
			return fmt.Errorf("%w: verdict on %s, which is not in the lease", ErrInvalid, v.ID)
		}
		delete(mine, v.ID)
		row, err := v.encode()
		if err != nil {
			return err
		}
		args = append(args, row...)
	}
	crash.At("store.before_settle")
	reply, err := db.run(ctx, scriptSettle, args...)
	crash.At("store.after_settle")
	if err != nil {
		return err
	}
	if reply[0] == "STALE" {
		return fmt.Errorf("settle %s: %w", l.Fence.Lane, ErrStale)
	}
	return nil
}

func (v Verdict) encode() ([]any, error) {
	switch v.Advance {
	case "", OK, Failed, Superseded:
	default:
		return nil, fmt.Errorf("%w: outcome %q", ErrInvalid, v.Advance)
	}
	if v.Advance != "" && v.Park {
		return nil, fmt.Errorf("%w: verdict on %s both advances and parks", ErrInvalid, v.ID)
	}
	if err := word("reason", v.Reason, true); err != nil {
		return nil, err
	}
	fact := []byte{}
	if v.Fact != nil && v.Advance != "" {
		f := *v.Fact
		// the verdict decides; the fact is what it was read from
		f.Outcome, f.Reason = v.Advance, v.Reason
		if f.Key == "" {
			f.Key = "-"
		}
		var err error
		if fact, err = f.encode(); err != nil {
			return nil, err
		}
	}
	return []any{v.ID.Hex(), v.Step, string(v.Advance), v.Reason, fact,
		max(0, v.RetryAt.Milliseconds()), short(v.Cause), flag(v.CountAttempt), flag(v.Park)}, nil
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// Wake brings the next look at a transfer forward to now. It changes when
// something happens, never whether.
func (db *DB) Wake(ctx context.Context, id common.Hash) error {
	return db.byID(ctx, scriptWake, id)
}

// Reap takes the lanes of workers whose leases ran out and says how many. It
// counts a crash on the head of a strict lane, which then backs off, or on
// each job of a loose one; a loose job that crashed six times in a row is
// parked as poison.
func (db *DB) Reap(ctx context.Context) (int, error) {
	total := 0
	for {
		reply, err := db.run(ctx, scriptReap)
		if err != nil {
			return total, err
		}
		n := atoi(reply[1])
		total += n
		if n < 100 {
			return total, nil
		}
	}
}

// byID runs a verb on one transfer.
func (db *DB) byID(ctx context.Context, s *script, id common.Hash, args ...any) error {
	reply, err := db.run(ctx, s, append([]any{id.Hex()}, args...)...)
	if err != nil {
		return err
	}
	switch reply[0] {
	case "UNKNOWN":
		return fmt.Errorf("%s %s: %w", s.name, id, ErrUnknown)
	case "NOTPARKED":
		return fmt.Errorf("%s %s: %w", s.name, id, ErrNotParked)
	case "HELD":
		return fmt.Errorf("%s %s: %w", s.name, id, ErrHeld)
	}
	return nil
}

// Retry puts a parked transfer back to the step it stopped at; who is written
// down. ErrNotParked, ErrHeld, ErrUnknown.
func (db *DB) Retry(ctx context.Context, id common.Hash, who string) error {
	return db.byID(ctx, scriptRetry, id, short(who))
}

// Discard gives a parked transfer up: it stays stored as parked, and Retry
// undoes it. One whose beginning a fork took away is undone by its beginning
// alone. ErrNotParked, ErrHeld while a fork is not accepted, ErrUnknown.
func (db *DB) Discard(ctx context.Context, id common.Hash, who, why string) error {
	return db.byID(ctx, scriptDiscard, id, short(who), short(why))
}

// PauseLane keeps everybody from claiming a lane; a running lease ends as
// usual.
func (db *DB) PauseLane(ctx context.Context, lane, who string) error {
	if err := word("lane", lane, false); err != nil {
		return err
	}
	_, err := db.run(ctx, scriptPause, lane, short(who))
	return err
}

// ResumeLane undoes PauseLane.
func (db *DB) ResumeLane(ctx context.Context, lane, who string) error {
	_, err := db.run(ctx, scriptResume, lane, short(who))
	return err
}

// Lanes describes every lane that has jobs or is paused, in no order.
func (db *DB) Lanes(ctx context.Context) ([]LaneInfo, error) {
	reply, err := db.run(ctx, scriptLanes)
	if err != nil {
		return nil, err
	}
	var out []LaneInfo
	for r := reply[1:]; len(r) >= 8; r = r[8:] {
		l := LaneInfo{Name: r[0], Strict: r[1] == "s", Depth: atoi(r[2]), NotBefore: milliText(r[4]), Leased: r[5]}
		if r[3] != "" {
			var head state
			if err := json.Unmarshal([]byte(r[3]), &head); err != nil {
				return nil, fmt.Errorf("read head of lane %s: %w", l.Name, err)
			}
			l.HeadSeq, _ = strconv.ParseUint(head.Q, 10, 64)
			l.LastErr = head.E
		}
		l.Paused, l.Forked = afterSpace(r[6]), r[7]
		out = append(out, l)
	}
	return out, nil
}
