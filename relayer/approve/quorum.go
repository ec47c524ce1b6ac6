package approve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/ethereum/go-ethereum/common"
)

// Proposals is where batches wait for signatures; *store.DB is it.
type Proposals interface {
	ProposalReader
	Propose(ctx context.Context, p store.Proposal) (store.Proposal, error)
	DropProposal(ctx context.Context, p store.Proposal, why string) error
}

// ProposalReader reads what waits.
type ProposalReader interface {
	Proposals(ctx context.Context, to, after string, max int) (page []store.Proposal, next string, err error)
	Proposing(ctx context.Context, to string, messages []store.ProposedMessage) ([]store.Proposal, error)
	Signatures(ctx context.Context, of []store.Proposal) ([][][]byte, error)
}

// ErrSigners says that the gateway's signers are in no configuration: nothing can
// be approved until their set is.
var ErrSigners = errors.New("the gateway's signer set is not among the configured ones")

// Defaults of a Quorum.
const (
	DefaultBatch    = 20
	DefaultPatience = 3 * time.Minute
	// forgetAfter is how long a proposal that nobody asks for stays up.
	forgetAfter = time.Hour
	tidyPage    = 100
	maxKept     = 20_000
)

// QuorumConfig is the relayer's side for one destination chain.
type QuorumConfig struct {
	To      string // the chain, by its name at Axelar
	Gateway axelar.Gateway
	// Sets are the signer sets that may be in force; the gateway says which are.
	Sets []axelar.WeightedSigners
	// MaxBatch bounds the messages approved by one call; 0 = DefaultBatch.
	MaxBatch int
	// Patience is how long a batch may stay without a quorum, though others get one,
	// before its messages are proposed again in batches of half the size: one that
	// no signer will sign for must not hold up the others. Where none gets one it
	// is signers that are missing, and five times as long is waited. 0 =
	// DefaultPatience.
	Patience time.Duration
	Store    Proposals
	// Final puts calls to the chain, all at its final block.
	Final func(ctx context.Context, calls []axelar.Call) ([][]byte, error)
	Clock func() time.Time // nil = time.Now
	Log   *slog.Logger     // nil = none
}

// Quorum collects signatures for one gateway. Its methods may be called from many
// goroutines.
type Quorum struct {
	cfg  QuorumConfig
	sets sets

	mu    sync.Mutex
	best  time.Time                 // of the last look that found a quorum
	said  map[source]bool           // messages that were complained of
	first map[common.Hash]time.Time // when a proposal was first met, by digest
	asked map[common.Hash]time.Time // when it was last asked for
	small map[source]int            // messages that were in vain in a larger batch
}

// source names where a message began.
type source struct {
	from string
	id   axelar.MessageID
}

// NewQuorum checks the configuration.
func NewQuorum(cfg QuorumConfig) (*Quorum, error) {
	if cfg.MaxBatch == 0 {
		cfg.MaxBatch = DefaultBatch
	}
	if cfg.Patience == 0 {
		cfg.Patience = DefaultPatience
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	var errs []error
	if cfg.To == "" || cfg.Gateway == nil || cfg.Store == nil || cfg.Final == nil {
		return nil, fmt.Errorf("quorum for %q: chain, gateway, store and final are required", cfg.To)
	}
	if cfg.MaxBatch < 1 || cfg.MaxBatch > store.MaxProposalMessages || cfg.Patience < 0 {
		errs = append(errs, fmt.Errorf("a batch is of 1 to %d messages, patience is positive", store.MaxProposalMessages))
	}
	if len(cfg.Sets) == 0 {
		errs = append(errs, errors.New("no signer sets"))
	}
	all, err := newSets(cfg.Gateway, cfg.Sets)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, fmt.Errorf("quorum for %s: %w", cfg.To, err)
	}
	for hash, s := range all {
		if len(s.Signers) > store.MaxProposalSigners {
			return nil, fmt.Errorf("quorum for %s: set %s has %d signers, at most %d", cfg.To, hash, len(s.Signers), store.MaxProposalSigners)
		}
	}
	return &Quorum{
		cfg: cfg, sets: all, said: map[source]bool{}, first: map[common.Hash]time.Time{}, asked: map[common.Hash]time.Time{}, small: map[source]int{},
	}, nil
}

// force is which sets are in force at the final block.
type force struct {
	standing map[common.Hash]axelar.Standing
	latest   common.Hash // zero: none of the configured ones
}

func (q *Quorum) inForce(ctx context.Context) (force, error) {
	var hashes []common.Hash
	var questions []axelar.Question[axelar.Standing]
	for hash, s := range q.sets {
		hashes, questions = append(hashes, hash), append(questions, q.cfg.Gateway.Standing(s))
	}
	answers, err := ask(ctx, q.cfg.Final, axelar.All(questions))
	if err != nil {
		return force{}, fmt.Errorf("ask the gateway of %s for its signers: %w", q.cfg.To, err)
	}
	f := force{standing: map[common.Hash]axelar.Standing{}}
	for i, hash := range hashes {
		f.standing[hash] = answers[i]
		if answers[i] == axelar.StandingLatest {
			f.latest = hash
		}
	}
	return f, nil
}

func ask[T any](ctx context.Context, final func(context.Context, []axelar.Call) ([][]byte, error), q axelar.Question[T]) (T, error) {
	answers, err := final(ctx, q.Calls)
	if err != nil {
		var none T
		return none, err
	}
	return q.Read(answers)
}

func command(p store.Proposal) axelar.Command {
	if p.Next != nil {
		return axelar.Command{Rotate: p.Next}
	}
	c := axelar.Command{Approve: make([]axelar.Message, len(p.Messages))}
	for i, m := range p.Messages {
		c.Approve[i] = m.Message
	}
	return c
}

// amiss says why a proposal can no longer, or could never, become a call; "" where
// it can.
func (q *Quorum) amiss(p store.Proposal, f force) string {
	set, known := q.sets[p.Set]
	if !known {
		return "unknown signers"
	}
	if !slices.Equal(p.Signers, members(set)) {
		return "other signers than its set has"
	}
	switch f.standing[p.Set] {
	case axelar.StandingLatest:
	case axelar.StandingRetained:
		if p.Next != nil {
			return "the signers have rotated"
		}
	default:
		return "expired signers"
	}
	digest, err := q.cfg.Gateway.Digest(set, command(p))
	if err != nil || digest != p.Digest {
		return "digest of something else"
	}
	return ""
}

// Approve implements flow.ApproveFunc. ErrSigners where nobody knows who could
// sign.
func (q *Quorum) Approve(ctx context.Context, wanted []flow.Wanted) ([]flow.Signed, error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	f, err := q.inForce(ctx)
	if err != nil {
		return nil, err
	}
	asked := q.sound(ctx, wanted)

	// What is up already.
	found, err := q.cfg.Store.Proposing(ctx, q.cfg.To, asked.messages)
	if err != nil {
		return nil, fmt.Errorf("read proposals to %s: %w", q.cfg.To, err)
	}
	var up []store.Proposal
	waiting := map[source]bool{}
	for _, p := range found {
		why := q.amiss(p, f)
		for _, m := range p.Messages {
			if i, is := asked.places[source{m.From, m.ID}]; is && why == "" && asked.messages[i].Message != m.Message {
				why = "another message of the same call"
			}
		}
		if why != "" {
			if err := q.drop(ctx, p, why); err != nil {
				return nil, err
			}
			continue
		}
		up = append(up, p)
		for _, m := range p.Messages {
			waiting[source{m.From, m.ID}] = true
		}
	}

	// The rest is put up, by the signers that the gateway has now.
	var rest []store.ProposedMessage
	for _, m := range asked.messages {
		if !waiting[source{m.From, m.ID}] {
			rest = append(rest, m)
		}
	}
	var failed error
	if len(rest) > 0 {
		var more []store.Proposal
		more, failed = q.propose(ctx, f, rest)
		up = append(up, more...)
	}
	signed, err := q.collect(ctx, asked, up)
	if err != nil || len(signed) == 0 {
		return nil, errors.Join(failed, err)
	}
	if failed != nil {
		q.cfg.Log.WarnContext(ctx, "approve: not everything could be proposed: will retry", "to", q.cfg.To, "err", failed)
	}
	return signed, nil
}

// request is what was asked for, each message once.
type request struct {
	messages []store.ProposedMessage
	places   map[source]int   // in messages
	indexes  map[source][]int // in what was asked for
}

// sound leaves out what no gateway would approve, and what one would take for
// another message: they must not spoil a batch.
func (q *Quorum) sound(ctx context.Context, wanted []flow.Wanted) request {
	r := request{places: map[source]int{}, indexes: map[source][]int{}}
	ids := map[common.Hash]source{}
	for i, w := range wanted {
		at := source{w.From, w.ID}
		if j, again := r.places[at]; again && r.messages[j].Message == w.Message {
			r.indexes[at] = append(r.indexes[at], i)
			continue
		}
		id := q.cfg.Gateway.CommandID(w.Message)
		err := w.Message.Check()
		if _, taken := ids[id]; taken || r.indexes[at] != nil {
			err = fmt.Errorf("%w: another message goes by its id", axelar.ErrMessage)
		}
		if err != nil {
			if q.complain(at) {
				q.cfg.Log.WarnContext(ctx, "approve: a message cannot be proposed", "to", q.cfg.To, "from", w.From, "id", w.ID.String(), "err", err)
			}
			continue
		}
		ids[id] = at
		r.places[at], r.indexes[at] = len(r.messages), []int{i}
		r.messages = append(r.messages, store.ProposedMessage{From: w.From, ID: w.ID, Message: w.Message})
	}
	return r
}

// complain says whether a message is complained of for the first time.
func (q *Quorum) complain(at source) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.said[at] {
		return false
	}
	if len(q.said) >= maxKept {
		clear(q.said)
	}
	q.said[at] = true
	return true
}

// propose puts up what is approved nowhere yet, in batches.
func (q *Quorum) propose(ctx context.Context, f force, messages []store.ProposedMessage) ([]store.Proposal, error) {
	questions := make([]axelar.Question[axelar.State], len(messages))
	for i, m := range messages {
		questions[i] = q.cfg.Gateway.State(m.Message)
	}
	states, err := ask(ctx, q.cfg.Final, axelar.All(questions))
	if err != nil {
		return nil, fmt.Errorf("ask the gateway of %s for messages: %w", q.cfg.To, err)
	}
	var open []store.ProposedMessage
	for i, m := range messages {
		if states[i] == axelar.StateNone {
			open = append(open, m)
		}
	}
	if len(open) == 0 {
		return nil, nil
	}
	if f.latest == (common.Hash{}) {
		return nil, fmt.Errorf("gateway of %s: %w", q.cfg.To, ErrSigners)
	}
	var up []store.Proposal
	for _, batch := range q.batches(open) {
		p, err := q.proposal(f.latest, store.Proposal{Messages: batch})
		if err != nil {
			return nil, err
		}
		there, err := q.cfg.Store.Propose(ctx, p)
		if errors.Is(err, chains.ErrBusy) {
			q.cfg.Log.WarnContext(ctx, "approve: too many proposals are up: will retry", "to", q.cfg.To)
			return up, nil
		}
		if err != nil {
			return nil, fmt.Errorf("propose to %s: %w", q.cfg.To, err)
		}
		switch {
		case there.Digest != p.Digest:
			// Another relayer was quicker: its batch is looked at next time.
		case !slices.Equal(there.Messages, p.Messages) || !slices.Equal(there.Signers, p.Signers):
			if err := q.drop(ctx, there, "digest of something else"); err != nil {
				return nil, err
			}
		default:
			crash.At("approve.after_propose")
			up = append(up, there)
		}
	}
	return up, nil
}

// proposal completes one by the signers of a set.
func (q *Quorum) proposal(set common.Hash, p store.Proposal) (store.Proposal, error) {
	digest, err := q.cfg.Gateway.Digest(q.sets[set], command(p))
	if err != nil {
		return store.Proposal{}, fmt.Errorf("propose to %s: %w", q.cfg.To, err)
	}
	p.To, p.Digest, p.Set, p.Signers = q.cfg.To, digest, set, members(q.sets[set])
	return p, nil
}

// batches keeps the order, and those that were in vain in a larger batch among
// themselves.
func (q *Quorum) batches(messages []store.ProposedMessage) (out [][]store.ProposedMessage) {
	q.mu.Lock()
	defer q.mu.Unlock()
	last := map[int]int{} // by the size allowed: the batch that is being filled
	for _, m := range messages {
		size := q.cfg.MaxBatch
		if n, once := q.small[source{m.From, m.ID}]; once {
			size = min(size, n)
		}
		if i, open := last[size]; open && len(out[i]) < size {
			out[i] = append(out[i], m)
			continue
		}
		last[size] = len(out)
		out = append(out, []store.ProposedMessage{m})
	}
	return out
}

// collect makes calls of what enough has been signed of.
func (q *Quorum) collect(ctx context.Context, r request, up []store.Proposal) ([]flow.Signed, error) {
	signatures, err := q.cfg.Store.Signatures(ctx, up)
	if err != nil {
		return nil, fmt.Errorf("read signatures for %s: %w", q.cfg.To, err)
	}
	var out []flow.Signed
	covered := map[source]bool{}
	for i, p := range up {
		since := q.met(p.Digest)
		data, err := q.cfg.Gateway.Calldata(q.sets[p.Set], command(p), signatures[i])
		if errors.Is(err, axelar.ErrQuorum) {
			if q.inVain(since) {
				q.halve(p)
				if err := q.drop(ctx, p, "no quorum in time"); err != nil {
					return nil, err
				}
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("[BUG] approve %s at %s: %w", p.Digest, q.cfg.To, err)
		}
		s := flow.Signed{Key: "approve/" + q.cfg.To + "/" + p.Digest.Hex()}
		s.Tx = chains.Tx{Key: s.Key, To: q.cfg.Gateway.Address(), Data: data, Value: new(big.Int)}
		for _, m := range p.Messages {
			at := source{m.From, m.ID}
			if !covered[at] {
				covered[at] = true
				s.Covers = append(s.Covers, r.indexes[at]...)
			}
		}
		if len(s.Covers) > 0 {
			out = append(out, s)
			q.enough(p)
		}
	}
	return out, nil
}

// met is when a proposal was first seen by this process: what it says itself is
// anybody's word.
func (q *Quorum) met(digest common.Hash) time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.cfg.Clock()
	if len(q.asked) >= maxKept {
		clear(q.asked)
	}
	q.asked[digest] = now
	return remember(q.first, digest, now)
}

// remember is the time kept for a digest, now where there is none.
func remember(first map[common.Hash]time.Time, digest common.Hash, now time.Time) time.Time {
	if at, ok := first[digest]; ok {
		return at
	}
	if len(first) >= maxKept {
		clear(first)
	}
	first[digest] = now
	return now
}

// inVain says whether a proposal without a quorum has waited long enough.
func (q *Quorum) inVain(since time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	waited := q.cfg.Clock().Sub(since)
	return waited > 5*q.cfg.Patience || waited > q.cfg.Patience && q.best.After(since)
}

func (q *Quorum) halve(p store.Proposal) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.small) >= maxKept {
		clear(q.small)
	}
	for _, m := range p.Messages {
		q.small[source{m.From, m.ID}] = max(1, len(p.Messages)/2)
	}
}

func (q *Quorum) enough(p store.Proposal) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.best = q.cfg.Clock()
	for _, m := range p.Messages {
		delete(q.small, source{m.From, m.ID})
	}
}

func (q *Quorum) drop(ctx context.Context, p store.Proposal, why string) error {
	if err := q.cfg.Store.DropProposal(ctx, p, why); err != nil {
		return fmt.Errorf("drop a proposal to %s: %w", q.cfg.To, err)
	}
	q.cfg.Log.InfoContext(ctx, "approve: a proposal was dropped", "to", q.cfg.To, "digest", p.Digest, "messages", len(p.Messages), "why", why)
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.first, p.Digest)
	delete(q.asked, p.Digest)
	return nil
}
