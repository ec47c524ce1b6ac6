package approve

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/store"
	"github.com/cenkalti/backoff/v4"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"golang.org/x/sync/errgroup"
)

// Signatures is where a signer finds proposals and puts what it signs; *store.DB
// is it.
type Signatures interface {
	Proposals(ctx context.Context, to, after string, max int) (page []store.Proposal, next string, err error)
	Signatures(ctx context.Context, of []store.Proposal) ([][][]byte, error)
	Sign(ctx context.Context, p store.Proposal, signer common.Address, signature []byte) error
}

// Chain is a chain that a signer reads, and signs for.
type Chain struct {
	Name string // at Axelar
	ID   chains.ID
	// Source gives final blocks, and events at their positions in their receipts.
	Source  chains.Source
	Gateway axelar.Gateway
	Start   uint64        // first block that may have a call
	Tick    time.Duration // between two looks at the head
	// Next is the set that this signer agrees to rotate the gateway to; nil: to none.
	Next *axelar.WeightedSigners
	// Decimals of a token of ITS there; ok is false while the chain has none of it.
	Decimals func(ctx context.Context, token common.Hash) (decimals uint8, ok bool, err error)
	// Locate says which block has a transaction: where to look again for a call that
	// an endpoint left out. It is believed in nothing else. nil: nobody looks.
	Locate func(ctx context.Context, tx common.Hash) (height uint64, ok bool, err error)
	// Trouble says who disagrees about what is final there: nothing of the chain is
	// signed then, nor for it. nil: nobody can.
	Trouble func() error
}

// SignerConfig is one signer.
type SignerConfig struct {
	Address common.Address
	// Sign makes a signature of Address over a digest, as it is: r ‖ s ‖ v, v 27 or
	// 28, low s.
	Sign   func(digest common.Hash) ([]byte, error)
	Sets   []axelar.WeightedSigners // those that this signer signs as a member of
	Chains []Chain
	Rules  Rules
	Ledger *Ledger
	Store  Signatures
	Tick   time.Duration // between two looks at the proposals
	Log    *slog.Logger
	Tell   Tell
}

// Tell is told how a signer does; each may be nil.
type Tell struct {
	Head    func(chain string, head chains.Block)              // a final head was seen
	Read    func(chain string, next uint64, calls int)         // a chain was read up to there
	Failed  func(part string, err error)                       // what stops a chain, or "proposals", for now; nil after a good look
	Signed  func(p store.Proposal)                             // a signature was put into the store
	Refused func(p store.Proposal, why *Refusal)               // once per proposal, and again when the reason is another
	Waiting func(chain string, later map[Reason]int, more int) // after a look at all of a chain's proposals: how many are not signed yet, and refused
}

// Check joins every complaint.
func (c SignerConfig) Check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Address == (common.Address{}) || c.Sign == nil || c.Ledger == nil || c.Store == nil || c.Log == nil || c.Tick <= 0 {
		bad("address, sign, ledger, store, log and tick are required")
	}
	if len(c.Chains) < 2 || len(c.Sets) == 0 {
		bad("at least two chains and one signer set")
	}
	names := map[string]bool{}
	for _, ch := range c.Chains {
		if ch.Name == "" || names[ch.Name] || ch.ID == 0 || ch.Source == nil || ch.Gateway == nil || ch.Tick <= 0 || ch.Decimals == nil {
			bad("chain %q: a name of its own, id, source, gateway, tick and decimals are required", ch.Name)
			continue
		}
		names[ch.Name] = true
		all, err := newSets(ch.Gateway, c.Sets)
		if err != nil {
			bad("chain %s: %w", ch.Name, err)
		}
		mine := false
		for _, s := range all {
			mine = mine || has(s, c.Address)
		}
		if err == nil && !mine {
			bad("chain %s: %s is in none of the signer sets", ch.Name, c.Address)
		}
		if ch.Next != nil {
			if err := ch.Gateway.CheckSigners(SetFor(ch.Gateway, *ch.Next)); err != nil {
				bad("chain %s: next set: %w", ch.Name, err)
			}
		}
	}
	for name := range c.Rules.Hub.Services {
		if !names[name] {
			bad("the hub's chain %q is not read", name)
		}
	}
	for _, name := range c.Rules.Trusted {
		if !names[name] {
			bad("the trusted chain %q is not read", name)
		}
	}
	errs = append(errs, c.Rules.Check())
	return errors.Join(errs...)
}

// Signer is one weighted signer.
type Signer struct {
	cfg    SignerConfig
	chains []*reader
	byName map[string]*reader

	mu    sync.Mutex // guards books
	books *books

	// The rest is of the loop over proposals alone.
	sets    map[string]sets
	done    map[common.Hash][]byte // own signatures, by print
	refused map[common.Hash]Reason // for good, by print
	told    map[common.Hash]Reason // by print
	after   map[string]string      // where the next page of a chain's proposals begins
	waiting map[string]*count      // of the round through them
	agreed  map[block]time.Time
	places  map[common.Hash]uint8 // decimals, by chain and token
	sought  map[source]time.Time  // calls that were looked for again
	seeks   int                   // in this look
}

type block struct {
	chain string
	hash  common.Hash
}

type count struct {
	later map[Reason]int
	more  int
}

// NewSigner checks the configuration and takes stock of the ledger.
func NewSigner(cfg SignerConfig) (*Signer, error) {
	if err := cfg.Check(); err != nil {
		return nil, fmt.Errorf("signer: %w", err)
	}
	s := &Signer{
		cfg: cfg, byName: map[string]*reader{}, books: newBooks(cfg.Rules), sets: map[string]sets{},
		done: map[common.Hash][]byte{}, refused: map[common.Hash]Reason{}, told: map[common.Hash]Reason{}, after: map[string]string{},
		waiting: map[string]*count{}, agreed: map[block]time.Time{}, places: map[common.Hash]uint8{}, sought: map[source]time.Time{},
	}
	for _, c := range cfg.Chains {
		all, err := newSets(c.Gateway, cfg.Sets)
		if err != nil {
			return nil, fmt.Errorf("signer: chain %s: %w", c.Name, err)
		}
		s.sets[c.Name] = all
		if c.Next != nil {
			next := SetFor(c.Gateway, *c.Next)
			c.Next = &next
		}
		r := newReader(s, c)
		s.chains, s.byName[c.Name] = append(s.chains, r), r
	}
	cfg.Ledger.Each(func(c Call, signed bool) {
		s.books.seen(c)
		if signed {
			s.books.signed(c)
		}
	})
	return s, nil
}

// Run reads the chains and signs until ctx ends. What fails is told, logged and
// tried again.
func (s *Signer) Run(ctx context.Context) error {
	group, run := errgroup.WithContext(ctx)
	for _, r := range s.chains {
		group.Go(func() error { return r.run(run) })
	}
	group.Go(func() error { return s.sign(run) })
	return group.Wait()
}

// sign looks at the proposals again and again.
func (s *Signer) sign(ctx context.Context) error {
	wait := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(s.cfg.Tick), backoff.WithMaxInterval(maxWait),
		backoff.WithRandomizationFactor(1), backoff.WithMaxElapsedTime(0))
	for {
		more, err := s.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if s.cfg.Tell.Failed != nil {
			s.cfg.Tell.Failed("proposals", err)
		}
		pause := s.cfg.Tick
		switch {
		case err != nil:
			s.cfg.Log.WarnContext(ctx, "approver: proposals: will retry", "err", err)
			pause = wait.NextBackOff()
		case more:
			pause /= 10
			wait.Reset()
		default:
			wait.Reset()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

const (
	lookPage   = 100
	agreedFor  = 30 * time.Second
	maxRefused = 100_000
)

// look takes one page of proposals of each chain. Pages go round, so that however
// many are up, each has its turn; more says that some chain has more of them.
func (s *Signer) look(ctx context.Context) (more bool, err error) {
	var errs []error
	s.seeks = 0
	for _, r := range s.chains {
		next, err := s.page(ctx, r.chain, s.after[r.chain.Name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.after[r.chain.Name] = next
		more = more || next != ""
	}
	return more, errors.Join(errs...)
}

func (s *Signer) page(ctx context.Context, to Chain, after string) (next string, err error) {
	if after == "" || s.waiting[to.Name] == nil {
		s.waiting[to.Name] = &count{later: map[Reason]int{}}
	}
	waiting := s.waiting[to.Name]
	up, next, err := s.cfg.Store.Proposals(ctx, to.Name, after, lookPage)
	if err != nil {
		return "", fmt.Errorf("read proposals to %s: %w", to.Name, err)
	}
	// Those that have no signature of this signer, or no longer.
	var mine []store.Proposal
	for _, p := range up {
		if _, refused := s.refused[printOf(p)]; !refused {
			mine = append(mine, p)
			continue
		}
		waiting.more++
	}
	there, err := s.cfg.Store.Signatures(ctx, mine)
	if err != nil {
		return "", fmt.Errorf("read signatures for %s: %w", to.Name, err)
	}
	for i, p := range mine {
		if own := s.done[printOf(p)]; own != nil && contains(there[i], own) {
			continue
		}
		err := s.one(ctx, to, p)
		var r *Refusal
		switch {
		case errors.As(err, &r):
			s.refuse(ctx, p, r)
			if waiting.more++; r.Later {
				waiting.more--
				waiting.later[r.Reason]++
			}
		case errors.Is(err, store.ErrUnknown):
			// It was dropped meanwhile.
		case err != nil:
			return "", err
		}
	}
	if next == "" && s.cfg.Tell.Waiting != nil {
		s.cfg.Tell.Waiting(to.Name, waiting.later, waiting.more)
	}
	return next, nil
}

// printOf names a proposal by all that a signer looks at: another one may be put up
// under the same digest, or the same digest at another gateway.
func printOf(p store.Proposal) common.Hash {
	h := crypto.NewKeccakState()
	part := func(b []byte) {
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b)))) // never fails
		_, _ = h.Write(b)
	}
	part([]byte(p.To))
	part(p.Digest[:])
	part(p.Set[:])
	for _, who := range p.Signers {
		part(who[:])
	}
	part(nil)
	for _, m := range p.Messages {
		part([]byte(m.From))
		part([]byte(m.ID.String()))
	}
	if p.Next != nil {
		raw, err := json.Marshal(p.Next)
		if err != nil {
			panic("[BUG] encode a set that was decoded: " + err.Error())
		}
		part(raw)
	}
	return common.Hash(h.Sum(nil))
}

func contains(all [][]byte, one []byte) bool {
	for _, b := range all {
		if string(b) == string(one) {
			return true
		}
	}
	return false
}

// refuse tells a refusal once.
func (s *Signer) refuse(ctx context.Context, p store.Proposal, r *Refusal) {
	name := printOf(p)
	if !r.Later {
		if len(s.refused) >= maxRefused {
			clear(s.refused)
		}
		s.refused[name] = r.Reason
	}
	if s.told[name] == r.Reason {
		return
	}
	if len(s.told) >= maxRefused {
		clear(s.told)
	}
	s.told[name] = r.Reason
	level := slog.LevelDebug
	if !r.Later && r.Reason != ReasonSet { // another set's are another signer's business
		level = slog.LevelWarn
	}
	s.cfg.Log.Log(ctx, level, "approver: not signed", "to", p.To, "digest", p.Digest, "messages", len(p.Messages), "reason", r.Reason, "later", r.Later, "why", r.Why)
	if s.cfg.Tell.Refused != nil {
		s.cfg.Tell.Refused(p, r)
	}
}

// one signs a proposal, or says why not.
func (s *Signer) one(ctx context.Context, to Chain, p store.Proposal) error {
	set, known := s.sets[to.Name][p.Set]
	if !known || !has(set, s.cfg.Address) || !slices.Contains(p.Signers, s.cfg.Address) {
		return refuse(ReasonSet, "the signer set %s of %s is not one that this signer is in", p.Set, to.Name)
	}
	what := Signing{To: to.Name, Digest: p.Digest, Set: p.Set, At: time.Now().Unix()}
	var c axelar.Command
	var calls []Call
	var err error
	if p.Next != nil {
		c, err = s.rotation(to, p)
		if err == nil {
			what.Next, err = to.Gateway.SignersHash(*c.Rotate)
		}
	} else {
		c, calls, what.Calls, err = s.approval(ctx, to, p)
	}
	if err != nil {
		return err
	}
	digest, err := to.Gateway.Digest(set, c)
	if err != nil {
		return refuse(ReasonDigest, "%v", err)
	}
	if digest != p.Digest {
		return refuse(ReasonDigest, "what began with those calls has digest %s, the proposal says %s", digest, p.Digest)
	}
	if err := s.agree(ctx, calls); err != nil {
		return err
	}
	if err := s.calm(to, calls); err != nil {
		return err
	}
	return s.commit(ctx, p, digest, what, calls)
}

// rotation is the command by which a gateway goes over to the configured set.
func (s *Signer) rotation(to Chain, p store.Proposal) (axelar.Command, error) {
	if to.Next == nil {
		return axelar.Command{}, refuse(ReasonRotation, "no set to rotate %s to is configured", to.Name)
	}
	if !to.Next.Equal(*p.Next) {
		return axelar.Command{}, refuse(ReasonRotation, "another set than the configured one is to be %s's", to.Name)
	}
	return axelar.Command{Rotate: to.Next}, nil
}

// approval makes the batch again from the ledger: of the proposal it takes where
// the messages began.
func (s *Signer) approval(ctx context.Context, to Chain, p store.Proposal) (axelar.Command, []Call, []int, error) {
	var c axelar.Command
	var calls []Call
	var places []int
	seen := map[source]bool{}
	var wait error
	for _, m := range p.Messages {
		at := source{m.From, m.ID}
		if seen[at] {
			return c, nil, nil, refuse(ReasonTwice, "call %s of %s is there twice", m.ID, m.From)
		}
		seen[at] = true
		call, place, found := s.cfg.Ledger.Find(m.From, m.ID)
		if !found && s.seek(ctx, at) {
			call, place, found = s.cfg.Ledger.Find(m.From, m.ID)
		}
		if !found {
			// Not seen yet, or never sent.
			wait = later(ReasonUnseen, "call %s of %.100q is not in the ledger", m.ID, m.From)
			continue
		}
		if err := s.cfg.Rules.judge(call, to.Name); err != nil {
			return c, nil, nil, err
		}
		calls, places = append(calls, call), append(places, place)
		c.Approve = append(c.Approve, s.cfg.Rules.Message(call))
	}
	if wait != nil {
		return c, nil, nil, wait
	}
	for _, call := range calls {
		if err := s.equalDecimals(ctx, call); err != nil {
			return c, nil, nil, err
		}
	}
	return c, calls, places, s.covered(calls, places)
}

const (
	seekEvery = time.Minute // between two looks for the same call
	maxSeeks  = 10          // in one look: anybody may ask for what never was
)

// seek looks again where a call is said to be, below what was read: an endpoint may
// have left it out while a long range was read. What it finds is recorded as what
// is read is. It says whether there is something new.
func (s *Signer) seek(ctx context.Context, at source) bool {
	r := s.byName[at.from]
	if r == nil || r.chain.Locate == nil || r.unwell() != nil || s.seeks >= maxSeeks || time.Since(s.sought[at]) < seekEvery {
		return false
	}
	s.seeks++
	if len(s.sought) >= maxKept {
		clear(s.sought)
	}
	s.sought[at] = time.Now()
	fresh, err := r.again(ctx, at.id.Tx)
	if err != nil {
		s.cfg.Log.DebugContext(ctx, "approver: look for a call again: will retry", "chain", at.from, "id", at.id.String(), "err", err)
	}
	return fresh > 0
}

// covered asks the books about those that were not signed before.
func (s *Signer) covered(calls []Call, places []int) error {
	var fresh []Call
	for i, c := range calls {
		if !s.cfg.Ledger.Signed(places[i]) {
			fresh = append(fresh, c)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.books.covers(fresh)
}

// equalDecimals compares the token of a transfer on both chains with what is
// configured.
func (s *Signer) equalDecimals(ctx context.Context, c Call) error {
	if c.Kind != KindTransfer {
		return nil
	}
	t, _ := s.cfg.Rules.token(c.Token)
	for _, name := range []string{c.Chain, c.To} {
		key := crypto.Keccak256Hash([]byte(name), t.ID[:])
		decimals, known := s.places[key]
		if !known {
			var err error
			decimals, known, err = s.byName[name].chain.Decimals(ctx, t.ID)
			if err != nil {
				return later(ReasonChain, "read the decimals of %s on %s: %v", t.ID, name, err)
			}
			if !known {
				return later(ReasonAbsent, "token %s is not on %s", t.ID, name)
			}
			s.places[key] = decimals
		}
		if decimals != t.Decimals {
			return refuse(ReasonDecimals, "token %s has %d decimals on %s and not %d", t.ID, decimals, name, t.Decimals)
		}
	}
	return nil
}

// agree asks the chains whether the blocks of the calls are still theirs.
func (s *Signer) agree(ctx context.Context, calls []Call) error {
	now := time.Now()
	for _, c := range calls {
		// What a chain is known to have sent counts for what may come back to it.
		for _, name := range []string{c.Chain, c.To} {
			if err := s.byName[name].unwell(); err != nil {
				return later(ReasonChain, "%s: %v", name, err)
			}
		}
		r := s.byName[c.Chain]
		at := block{c.Chain, c.BlockHash}
		if now.Sub(s.agreed[at]) < agreedFor {
			continue
		}
		// An empty filter selects nothing: only the block is asked for.
		last, _, err := r.chain.Source.Events(ctx, chains.Query{From: chains.Cursor{Chain: r.chain.ID, Next: c.Block}, To: c.Block})
		if err != nil {
			return later(ReasonChain, "%s: %v", c.Chain, err)
		}
		if last.Number != c.Block || last.Hash != c.BlockHash {
			err := fmt.Errorf("%w: block %d was %s and is %s", ErrContradiction, c.Block, c.BlockHash, last.Hash)
			r.fail(err)
			return later(ReasonChanged, "%s: %v", c.Chain, err)
		}
		if len(s.agreed) >= maxKept {
			clear(s.agreed)
		}
		s.agreed[at] = now
	}
	return nil
}

// commit records what is to be signed, signs it and hands the signature in.
func (s *Signer) commit(ctx context.Context, p store.Proposal, digest common.Hash, what Signing, calls []Call) error {
	s.mu.Lock()
	var fresh []Call
	for i, c := range calls {
		if !s.cfg.Ledger.Signed(what.Calls[i]) {
			fresh = append(fresh, c)
		}
	}
	err := s.cfg.Ledger.Mark(what)
	if err == nil {
		for _, c := range fresh {
			s.books.signed(c)
		}
	}
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("record a signature: %w", err)
	}
	crash.At("approve.before_sign")
	signature, err := s.cfg.Sign(digest)
	if err != nil {
		return fmt.Errorf("sign %s: %w", digest, err)
	}
	if who, err := ipc.Recover(digest, signature); err != nil || who != s.cfg.Address {
		return fmt.Errorf("[BUG] the signature is by %s: %w", who, err)
	}
	if err := s.cfg.Store.Sign(ctx, p, s.cfg.Address, signature); err != nil {
		return fmt.Errorf("hand in a signature: %w", err)
	}
	crash.At("approve.after_sign")
	if len(s.done) >= maxKept {
		clear(s.done)
	}
	s.done[printOf(p)] = signature
	delete(s.told, printOf(p))
	s.cfg.Log.InfoContext(ctx, "approver: signed", "to", p.To, "digest", digest, "messages", len(p.Messages), "rotation", p.Next != nil)
	if s.cfg.Tell.Signed != nil {
		s.cfg.Tell.Signed(p)
	}
	return nil
}
