package rig

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
)

// Want is how a transfer must end.
type Want struct {
	Route  string
	Amount *big.Int
	Status tokens.Status
	// To is a recipient that nothing else is sent to; zero: not looked at.
	To common.Address
	// Mined is when its transaction was seen in a block; Note sets it.
	Mined time.Time
}

// Ended is a transfer that has ended as it must.
type Ended struct {
	Want
	ID common.Hash
	At time.Time // by the journal's clock
}

// Ledger is what was sent, by transaction.
type Ledger struct {
	mu    sync.Mutex
	open  map[common.Hash]Want
	maybe map[common.Hash]Want // broadcast into a failure: mined or not
	ended map[common.Hash]Ended
}

func newLedger() *Ledger {
	return &Ledger{open: map[common.Hash]Want{}, maybe: map[common.Hash]Want{}, ended: map[common.Hash]Ended{}}
}

// Note writes down what a mined transaction must lead to.
func (l *Ledger) Note(tx common.Hash, w Want) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.maybe, tx)
	if _, ended := l.ended[tx]; ended {
		return
	}
	w.Mined = time.Now()
	l.open[tx] = w
}

// Perhaps writes down a transaction that may be mined or not.
func (l *Ledger) Perhaps(tx common.Hash, w Want) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.maybe[tx] = w
}

// Counts says how many transfers have not ended and how many have.
func (l *Ledger) Counts() (open, ended int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open), len(l.ended)
}

// Endings lists every transfer that has ended.
func (l *Ledger) Endings() []Ended {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.ended))
}

// due are the transfers mined before a moment that have not ended, and when the
// oldest of all open ones was mined.
func (l *Ledger) due(before time.Time) (n int, oldest time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest = before
	for _, w := range l.open {
		if w.Mined.Before(before) {
			n++
		}
		if w.Mined.Before(oldest) {
			oldest = w.Mined
		}
	}
	return n, oldest
}

// ErrViolation says that what the chains or the journal show must never be.
var ErrViolation = errors.New("violation")

func violation(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrViolation}, args...)...)
}

// poisoned says that a transfer waits for an operator because whoever worked on
// it died six times in a row.
func poisoned(j store.Job) bool { return j.Status == tokens.Parked && j.Reason == "poison" }

// take compares rows of the journal with what was sent. It returns those that
// have newly ended; an error is a violation.
func (l *Ledger) take(jobs []store.Job) ([]Ended, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var fresh []Ended
	seen := map[common.Hash]common.Hash{}
	for _, j := range jobs {
		t := j.Transfer
		tx := t.Origin.Tx
		if other, twice := seen[tx]; twice && other != t.ID {
			return fresh, violation("transaction %s made two transfers, %s and %s", tx, other, t.ID)
		}
		seen[tx] = t.ID
		if e, was := l.ended[tx]; was {
			// After a loss the journal may be behind for a while; the caller waits
			// until nothing is.
			if e.ID != t.ID {
				return fresh, violation("transaction %s made transfer %s and now %s", tx, e.ID, t.ID)
			}
			if j.Status.Terminal() && !poisoned(j) && j.Status != e.Status {
				return fresh, violation("transfer %s was %s and is %s", t.ID, e.Status, j.Status)
			}
			continue
		}
		w, ours := l.open[tx]
		if !ours {
			if w, ours = l.maybe[tx]; ours {
				w.Mined = time.Unix(int64(t.At), 0)
			}
		}
		if !ours {
			return fresh, violation("transfer %s (%s) comes from %s, which nobody sent", t.ID, t.Route, tx)
		}
		if w.Route != t.Route || w.Amount.String() != t.Amount.String() {
			return fresh, violation("%s of %s in %s is journaled as %s of %s", w.Route, w.Amount, tx, t.Route, t.Amount)
		}
		if !j.Status.Terminal() || poisoned(j) {
			continue
		}
		if j.Status != w.Status {
			return fresh, violation("%s of %s in %s ended %s (%s %s), not %s", w.Route, w.Amount, tx, j.Status, j.Reason, j.Err, w.Status)
		}
		delete(l.open, tx)
		delete(l.maybe, tx)
		e := Ended{Want: w, ID: t.ID, At: j.UpdatedAt}
		l.ended[tx] = e
		fresh = append(fresh, e)
	}
	return fresh, nil
}

// Retried counts the transfers that were parked as poison and put back by hand,
// as an operator does.
func (w *World) Retried() int { return w.retried }

// Settle waits until every transfer mined before a moment has ended as it must,
// and returns when the last of them did. What newly ended is compared with the
// recipients' balances: paid, and paid once.
func (w *World) Settle(ctx context.Context, before time.Time, limit time.Duration) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last time.Time
	trouble := ""
	for {
		_, oldest := w.Ledger.due(before)
		fresh, err := w.read(ctx, oldest.Add(-2*time.Minute))
		if errors.Is(err, ErrViolation) {
			return last, err
		}
		if err != nil {
			trouble = err.Error()
		}
		for _, e := range fresh {
			if e.Mined.Before(before) && e.At.After(last) {
				last = e.At
			}
		}
		if err := w.paid(ctx, fresh); err != nil {
			return last, err
		}
		n, _ := w.Ledger.due(before)
		if n == 0 && err == nil {
			return last, nil
		}
		if ctx.Err() != nil {
			return last, fmt.Errorf("%d transfers have not ended %s after they should: %s%s", n, limit, trouble, w.standing(context.WithoutCancel(ctx)))
		}
		Pause(ctx, 300*time.Millisecond)
	}
}

// read takes the rows of the journal whose transfers began after a moment.
func (w *World) read(ctx context.Context, since time.Time) ([]Ended, error) {
	if err := w.resolve(ctx); err != nil {
		return nil, err
	}
	db, err := w.DB(ctx)
	if err != nil {
		return nil, err
	}
	var all []store.Job
	for cursor := ""; ; {
		jobs, next, err := db.List(ctx, store.Filter{Limit: 500, Cursor: cursor})
		if err != nil {
			w.db.drop()
			return nil, err
		}
		for _, j := range jobs {
			// What the README tells an operator to do.
			if poisoned(j) && db.Retry(ctx, j.Transfer.ID, "rig") == nil {
				w.retried++
			}
		}
		all = append(all, jobs...)
		if next == "" || len(jobs) > 0 && time.Unix(int64(jobs[len(jobs)-1].Transfer.At), 0).Before(since) {
			break
		}
		cursor = next
	}
	return w.Ledger.take(all)
}

// resolve looks for receipts of what may have been mined.
func (w *World) resolve(ctx context.Context) error {
	w.Ledger.mu.Lock()
	maybe := maps.Clone(w.Ledger.maybe)
	w.Ledger.mu.Unlock()
	for tx, want := range maybe {
		client := w.Bridge.Subnet.Client()
		switch {
		case want.Route == "flt_l1_deposit":
			client = w.Bridge.L1.Client()
		case strings.HasSuffix(want.Route, "deposit"):
			client = w.Bridge.Root.Client()
		}
		if r, err := client.TransactionReceipt(ctx, tx); err == nil && r.Status == 1 {
			w.Ledger.Note(tx, want)
		}
	}
	return nil
}

// paid compares recipients' balances with what they were sent, once.
func (w *World) paid(ctx context.Context, ended []Ended) error {
	usdc := bindings.NewDevUsdc()
	ask := func(client *rpc.Client, batch []rpc.BatchElem) error {
		for len(batch) > 0 {
			n := min(len(batch), 200)
			if err := client.BatchCallContext(ctx, batch[:n]); err != nil {
				return fmt.Errorf("read balances: %w", err)
			}
			batch = batch[n:]
		}
		return nil
	}
	var up, down, out []rpc.BatchElem
	var upWant, downWant, outWant []Ended
	for _, e := range ended {
		if e.To == (common.Address{}) || e.Status != tokens.Done {
			continue
		}
		call := func(token common.Address) rpc.BatchElem {
			return rpc.BatchElem{Method: "eth_call", Result: new(hexutil.Bytes), Args: []any{
				map[string]any{"to": token, "data": hexutil.Bytes(usdc.PackBalanceOf(e.To))}, "latest"}}
		}
		switch e.Route {
		case "flt_l1_withdraw":
			out, outWant = append(out, call(w.Net.Dep.Crossing.L1Flt)), append(outWant, e)
		case "flt_deposit", "flt_l1_deposit":
			down, downWant = append(down, rpc.BatchElem{Method: "eth_getBalance", Result: new(hexutil.Big), Args: []any{e.To, "latest"}}), append(downWant, e)
		case "usdc_deposit":
			down, downWant = append(down, call(w.Sub.Replica)), append(downWant, e)
		case "flt_withdraw":
			up, upWant = append(up, call(w.Sub.FLT)), append(upWant, e)
		case "usdc_withdraw":
			up, upWant = append(up, call(w.Sub.USDC)), append(upWant, e)
		}
	}
	if err := errors.Join(ask(w.Bridge.Root.Client().Client(), up), ask(w.Bridge.Subnet.Client().Client(), down)); err != nil {
		return err
	}
	if len(out) > 0 {
		if err := ask(w.Bridge.L1.Client().Client(), out); err != nil {
			return err
		}
	}
	wants := slices.Concat(upWant, downWant, outWant)
	for i, b := range slices.Concat(up, down, out) {
		e := wants[i]
		if b.Error != nil {
			return fmt.Errorf("read balance of %s: %w", e.To, b.Error)
		}
		held := new(big.Int)
		switch r := b.Result.(type) {
		case *hexutil.Big:
			held = r.ToInt()
		case *hexutil.Bytes:
			held.SetBytes(*r)
		}
		if held.Cmp(e.Amount) != 0 {
			return violation("%s of %s (%s) ended %s and its recipient holds %s", e.Route, e.Amount, e.ID, e.Status, held)
		}
	}
	return nil
}

// standing says where the lanes are, for a person.
func (w *World) standing(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	db, err := w.DB(ctx)
	if err != nil {
		return err.Error()
	}
	lanes, err := db.Lanes(ctx)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, l := range lanes {
		fmt.Fprintf(&b, "\n  %s strict=%v depth=%d head=%d leased=%q paused=%q not before %s err=%q", l.Name, l.Strict, l.Depth, l.HeadSeq, l.Leased, l.Paused,
			l.NotBefore.Format(time.TimeOnly), l.LastErr)
	}
	return b.String()
}

// Reread compares every transfer ever sent with the journal and with the
// recipients' balances, from the beginning.
func (w *World) Reread(ctx context.Context) error {
	if _, err := w.Settle(ctx, time.Now(), 3*time.Minute); err != nil {
		return err
	}
	if _, err := w.read(ctx, time.Time{}); err != nil {
		return err
	}
	db, err := w.DB(ctx)
	if err != nil {
		return err
	}
	endings := w.Ledger.Endings()
	for _, e := range endings {
		j, ok, err := db.Get(ctx, e.ID)
		if err != nil {
			return err
		}
		if !ok || j.Status != e.Status {
			return violation("transfer %s was %s and is %q in the journal", e.ID, e.Status, j.Status)
		}
	}
	return w.paid(ctx, endings)
}
