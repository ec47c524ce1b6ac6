package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// Outcome decides a step. The empty Outcome decides nothing.
type Outcome string

// How a step can end.
const (
	OK         Outcome = "ok"
	Failed     Outcome = "failed"
	Superseded Outcome = "superseded"
)

// StepPlan is a step as the scripts need it.
type StepPlan struct {
	Name   string
	Lane   string
	Strict bool   // the lane's head blocks those behind it
	Seq    uint64 // order in a strict lane, at most 2^53
	Key    string // what a final event carries to decide this step; "" = nothing does
	Poll   time.Duration
	Wait   bool // no Do: only waits; the first look comes after Poll
	// Shared says that several transfers may wait for the key. Each fact then
	// decides one of them: the oldest fact the transfer that began first. It
	// decides none before one stands at this very step, since it could not tell
	// whose event it is.
	Shared bool
	Next   map[Outcome]string // step name, or a terminal status
	// Chains are those whose final blocks the step is looked up in or that it
	// sends to, alike for all of a lane: it stands still while one has forked.
	Chains []string
}

// NewJob is a transfer that begins at the first of its steps.
type NewJob struct {
	Transfer  tokens.Transfer
	Chain     string      // whose event began it; "" = the one it is brought from
	BlockHash common.Hash // of the block it began in, for Trail; zero: not known
	Steps     []StepPlan
}

// Fact is an effect seen in a final block. (Chain, Tx, LogIndex, Key) name it;
// the same fact may be told again at any time.
type Fact struct {
	Key       string      `json:"key"`
	Outcome   Outcome     `json:"outcome"`
	Reason    string      `json:"reason,omitempty"`
	Chain     string      `json:"chain"`
	Height    uint64      `json:"height"`
	BlockHash common.Hash `json:"block_hash"`
	Tx        common.Hash `json:"tx"`
	At        uint64      `json:"at"` // Unix seconds of the block
	LogIndex  uint        `json:"log_index"`
	Shared    bool        `json:"shared,omitempty"` // as in StepPlan
}

// Job is a transfer and where it stands. History is filled by Get only.
type Job struct {
	Transfer  tokens.Transfer
	Step      string
	StepIndex int
	Lane      string
	Strict    bool
	Seq       uint64
	Attempts  int // looks that said no; back to 0 at each step
	Crashes   int // leases in a row that ran out while it was worked on
	NotBefore time.Time
	Err       string
	Reason    string
	Status    tokens.Status
	Intent    string // key of the undecided transaction it rides in
	CreatedAt time.Time
	UpdatedAt time.Time
	History   []Entry
	Discarded bool
}

// Entry is a line of a transfer's ledger. Outcome is empty for what is not the
// end of a step: parked, retried, discarded.
type Entry struct {
	Step    string
	Outcome Outcome
	Reason  string
	Note    string // an operator's words, or the error that parked it
	Tx      common.Hash
	Chain   string
	Height  uint64
	Index   uint   // of the log within its block, where a fact decided
	At      uint64 // Unix seconds: of the block, where a fact decided
	By      string // worker, operator, or "event"
}

// Lease is a lane held by one worker. Its jobs are at one step of one route.
type Lease struct {
	Fence  chains.Fence
	Step   string
	Jobs   []Job
	Until  time.Time
	Worker string
}

// Verdict is the end of one look at one job. Without Advance and Park the job
// stays at its step and is looked at again after RetryAt.
type Verdict struct {
	ID           common.Hash
	Step         string  // the step looked at; ignored when the job has left it
	Advance      Outcome // "" = stay
	Reason       string
	Fact         *Fact         // what decided it, for the ledger
	RetryAt      time.Duration // from now
	Cause        string        // why it stays or parks
	CountAttempt bool
	Park         bool // ignored in strict lanes: their head backs off instead
}

// LaneInfo describes a lane that has jobs or is paused.
type LaneInfo struct {
	Name      string
	Strict    bool
	Depth     int
	HeadSeq   uint64
	NotBefore time.Time // from when it may be claimed; zero while leased or paused
	Leased    string    // worker, "" = nobody
	Paused    string    // by whom, "" = not
	Forked    string    // the chain that stops it, "" = none
	LastErr   string    // of the head
}

// maxSafe is the largest whole number a Lua number holds exactly.
const maxSafe = 1 << 53

// plan and state are the JSON that the scripts read; lua/lib.lua explains the
// letters.
type planStep struct {
	N string             `json:"n"`
	L string             `json:"l"`
	X bool               `json:"x"`
	Q string             `json:"q"`
	K string             `json:"k"`
	P int64              `json:"p"`
	W bool               `json:"w"`
	O map[Outcome]string `json:"o"`
	F bool               `json:"f,omitempty"`
	B string             `json:"b,omitempty"` // of the first step: NewJob.Chain
	C []string           `json:"c,omitempty"`
}

type state struct {
	R  string        `json:"r"`
	T  string        `json:"t"`
	N  int           `json:"n"`
	S  string        `json:"s"`
	L  string        `json:"l"`
	X  bool          `json:"x"`
	Q  string        `json:"q"`
	ST tokens.Status `json:"st"`
	AT int           `json:"at"`
	CR int           `json:"cr"`
	NB float64       `json:"nb"`
	E  string        `json:"e"`
	RE string        `json:"re"`
	CA float64       `json:"ca"`
	UA float64       `json:"ua"`
	D  bool          `json:"d"`
}

// word refuses what would break the rows of the ordered sets.
func word(what, s string, empty bool) error {
	if s == "" && !empty {
		return fmt.Errorf("%w: no %s", ErrInvalid, what)
	}
	if len(s) > 256 {
		return fmt.Errorf("%w: %s longer than 256 bytes", ErrInvalid, what)
	}
	for _, r := range s {
		// what JSON escapes would look different in the ledger
		if r < 0x20 || r > 0x7e || strings.ContainsRune("\"\\<>&", r) {
			return fmt.Errorf("%w: %s %q has other than printable ASCII characters, or one of \"\\<>&", ErrInvalid, what, s)
		}
	}
	return nil
}

func pad(n uint64) string { return fmt.Sprintf("%020d", n) }

// stamp orders transfers by the time of their origin block.
func stamp(t tokens.Transfer) string { return fmt.Sprintf("%012d", min(t.At, 999_999_999_999)) }

// encode checks a new job and writes its transfer and plan as JSON.
func (j NewJob) encode() (transfer, plan []byte, err error) {
	errs := []error{word("route", j.Transfer.Route, false), word("chain", j.Chain, true)}
	if len(j.Steps) == 0 || len(j.Steps) > 99 {
		errs = append(errs, fmt.Errorf("%w: want 1 to 99 steps", ErrInvalid))
	}
	index := map[string]int{}
	for i, s := range j.Steps {
		if _, dup := index[s.Name]; dup || tokens.Status(s.Name).Terminal() {
			errs = append(errs, fmt.Errorf("%w: step name %q is taken", ErrInvalid, s.Name))
		}
		index[s.Name] = i
	}
	steps := make([]planStep, len(j.Steps))
	for i, s := range j.Steps {
		errs = append(errs, word("step", s.Name, false), word("lane", s.Lane, false), word("key", s.Key, true))
		if s.Shared && s.Key == "" {
			errs = append(errs, fmt.Errorf("%w: step %q shares no key", ErrInvalid, s.Name))
		}
		for _, c := range s.Chains {
			errs = append(errs, word("chain", c, false))
		}
		for _, other := range j.Steps[:i] {
			if other.Key == s.Key && s.Key != "" && other.Shared != s.Shared {
				errs = append(errs, fmt.Errorf("%w: key %q is shared in one of two steps", ErrInvalid, s.Key))
			}
		}
		if s.Seq > maxSafe {
			errs = append(errs, fmt.Errorf("%w: sequence number %d is above 2^53", ErrInvalid, s.Seq))
		}
		for o, next := range s.Next {
			to, known := index[next]
			if (!known || to <= i) && !tokens.Status(next).Terminal() {
				errs = append(errs, fmt.Errorf("%w: step %q, %s: %q is neither a later step nor a terminal status", ErrInvalid, s.Name, o, next))
			}
		}
		next := s.Next
		if next == nil {
			next = map[Outcome]string{}
		}
		steps[i] = planStep{N: s.Name, L: s.Lane, X: s.Strict, Q: pad(s.Seq), K: s.Key, P: max(0, s.Poll.Milliseconds()), W: s.Wait, O: next, F: s.Shared, C: s.Chains}
	}
	if len(steps) > 0 {
		steps[0].B = j.Chain
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", j.Transfer, err)
	}
	if transfer, err = json.Marshal(j.Transfer); err == nil {
		plan, err = json.Marshal(steps)
	}
	return transfer, plan, err
}

// place orders what happened on one chain.
func place(height uint64, index uint) string { return fmt.Sprintf("%020d%010d", height, index) }

// rows are the parts of the index that never change while the transfer lives.
func rows(t tokens.Transfer) []string {
	id := t.ID.Hex()
	var out []string
	for _, a := range []common.Address{t.Sender, t.Recipient} {
		if a != (common.Address{}) {
			out = append(out, "a\n"+strings.ToLower(a.Hex())+"\n"+stamp(t)+"\n"+id)
		}
	}
	for _, h := range []common.Hash{t.Origin.Tx, t.Ref} {
		if h != (common.Hash{}) {
			out = append(out, "t\n"+h.Hex()+"\n"+id)
		}
	}
	return out
}

// storedFact adds the name by which a fact is known again.
type storedFact struct {
	ID  string `json:"id"`
	Pos string `json:"pos"`
	Fact
}

func (f Fact) encode() ([]byte, error) {
	err := errors.Join(word("fact key", f.Key, false), word("fact reason", f.Reason, true), word("fact chain", f.Chain, true))
	switch f.Outcome {
	case OK, Failed, Superseded:
	default:
		err = errors.Join(err, fmt.Errorf("%w: outcome %q of a fact", ErrInvalid, f.Outcome))
	}
	if err != nil {
		return nil, fmt.Errorf("fact %s: %w", f.Key, err)
	}
	return json.Marshal(storedFact{ID: fmt.Sprintf("%s:%s:%d:%s", f.Chain, f.Tx.Hex(), f.LogIndex, f.Key), Pos: place(f.Height, f.LogIndex), Fact: f})
}

// decodeJob reads what the scripts keep of a transfer.
func decodeJob(stateJSON, transferJSON, riding string) (Job, error) {
	var s state
	if err := json.Unmarshal([]byte(stateJSON), &s); err != nil {
		return Job{}, fmt.Errorf("read job: %w", err)
	}
	j := Job{
		Step: s.S, StepIndex: s.N, Lane: s.L, Strict: s.X, Attempts: s.AT, Crashes: s.CR, NotBefore: millis(s.NB),
		Err: s.E, Reason: s.RE, Status: s.ST, CreatedAt: millis(s.CA), UpdatedAt: millis(s.UA), Discarded: s.D,
	}
	j.Seq, _ = strconv.ParseUint(s.Q, 10, 64)
	if err := json.Unmarshal([]byte(transferJSON), &j.Transfer); err != nil {
		return Job{}, fmt.Errorf("read transfer: %w", err)
	}
	if _, key, ok := splitRide(riding); ok {
		j.Intent = key
	}
	return j, nil
}

// splitRide takes a value of riding apart: the intent's row (account, nonce)
// and its key.
func splitRide(s string) (row, key string, ok bool) {
	parts := strings.SplitN(s, "\n", 3)
	if len(parts) != 3 {
		return "", "", false
	}
	return parts[0] + "\n" + parts[1], parts[2], true
}

func millis(ms float64) time.Time {
	if ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms)).UTC()
}

type ledgerLine struct {
	Step    string  `json:"step"`
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason"`
	Note    string  `json:"note"`
	By      string  `json:"by"`
	At      uint64  `json:"at"`
	Fact    *Fact   `json:"fact"`
}

func decodeLedger(text string) ([]Entry, error) {
	var out []Entry
	for line := range strings.Lines(text) {
		var l ledgerLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			return nil, fmt.Errorf("read ledger: %w", err)
		}
		e := Entry{Step: l.Step, Outcome: l.Outcome, Reason: l.Reason, Note: l.Note, By: l.By, At: l.At}
		if l.Fact != nil {
			e.Tx, e.Chain, e.Height, e.Index, e.At = l.Fact.Tx, l.Fact.Chain, l.Fact.Height, l.Fact.LogIndex, l.Fact.At
		}
		out = append(out, e)
	}
	return out, nil
}

// short keeps an error's text storable: valid UTF-8, at most 500 bytes.
func short(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= 500 {
		return s
	}
	n := 500
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
