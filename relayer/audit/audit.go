package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/ethereum/go-ethereum/common"
)

// Reader is what is read of either chain: final events, and calls and nonces at
// a pinned block.
type Reader interface {
	chains.Source
	ChainID() chains.ID
	StartBlock() uint64
	BatchCall(ctx context.Context, calls []evm.CallArg, at evm.BlockRef) ([]evm.CallResult, error)
	NonceAt(ctx context.Context, account common.Address, at evm.BlockRef) (uint64, error)
}

// RootReader reads the root; evm.Reader satisfies it.
type RootReader interface{ Reader }

// SubnetReader reads the subnet; *subnet.Client satisfies it.
type SubnetReader interface {
	Reader
	Balance(ctx context.Context, account common.Address, at evm.BlockRef) (*big.Int, error)
	// Burnt is the base fee burnt up to and including a height, in wei, by the
	// node's own count.
	Burnt(ctx context.Context, height uint64) (*big.Int, error)
	// RPC reads headers.
	RPC(ctx context.Context, result any, method string, args ...any) error
}

// Journal is what I4 and I6 compare the chains with.
type Journal interface {
	// Cursor is how far a chain has been read, by the name the watchers use.
	Cursor(ctx context.Context, chain string) (chains.Cursor, bool, error)
	// Missing are those of the transfers that are not journaled.
	Missing(ctx context.Context, ids []common.Hash) ([]common.Hash, error)
	// Newest are the newest transfers of a subnet (by its actor), at most max.
	Newest(ctx context.Context, subnet common.Address, max int) ([]Entry, error)
	// Intent is the intent of one nonce.
	Intent(ctx context.Context, chain chains.ID, account common.Address, nonce uint64) (chains.Intent, bool, error)
}

// Entry is one journaled transfer and where it began. Routes that the audit does
// not know are left alone.
type Entry struct {
	ID     common.Hash
	Route  string
	Chain  chains.ID
	Height uint64
}

// Source is what an auditor reads.
type Source struct {
	Sub   flow.Subnet
	Root  RootReader
	Child SubnetReader
	// Crossing is how FLT crosses from Ethereum; nil where it does not.
	Crossing *Crossing
	// Journal: nil leaves I4 and I6 out.
	Journal Journal
	// RootAccounts and ChildAccounts are the relayer's own, for I6.
	RootAccounts, ChildAccounts []common.Address
	// Treasury is what the subnet gateway held at genesis, wei. nil: 2^100, the
	// least the protocol allows (PROTOCOL 31).
	Treasury *big.Int
	// Rest is how many times as long as it read an auditor pauses before it reads
	// on, while it has far to go: after a burst there is better use for the
	// machine. 0: it reads as fast as it can.
	Rest int
	// Wait is the time between two looks while the two blocks do not fit
	// together; 0 is 250 ms.
	Wait time.Duration
}

// Invariant is one equality or rule and how far it is off. Terms are decimal
// integers by name.
type Invariant struct {
	ID     string            `json:"id"`
	Token  string            `json:"token"` // "" where it is not about one
	Drift  string            `json:"drift"` // decimal, may be negative; see the package's doc
	OK     bool              `json:"ok"`
	Terms  map[string]string `json:"terms"`
	Detail string            `json:"detail,omitempty"`
}

// DriftFloat is the drift as a gauge shows it: the nearest float64.
func (i Invariant) DriftFloat() (float64, error) {
	n, ok := new(big.Int).SetString(i.Drift, 10)
	if !ok {
		return 0, fmt.Errorf("drift of %s is no integer: %q", i.ID, i.Drift)
	}
	f, _ := new(big.Float).SetInt(n).Float64()
	return f, nil
}

// Report is one audit at a pinned pair of final blocks. OK says that every
// invariant in it holds. Skipped names those that could not be evaluated, with
// the cause: no statement is made about them.
type Report struct {
	RootBlock   chains.Block `json:"root_block"`
	SubnetBlock chains.Block `json:"subnet_block"`
	// EthereumBlock is where FLT across Ethereum was read; nil where it does not
	// cross, or could not be read.
	EthereumBlock *chains.Block `json:"ethereum_block,omitempty"`
	Invariants    []Invariant   `json:"invariants"`
	OK            bool          `json:"ok"`
	Skipped       []string      `json:"skipped,omitempty"`
}

// String is the report as JSON.
func (r Report) String() string {
	b, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

const (
	// rescanAfter is the least time between two scans from the start that a
	// broken invariant causes.
	rescanAfter = 10 * time.Minute
	// pinTries bounds how often a pair of blocks is pinned in one Check.
	pinTries = 40
)

// Auditor audits one subnet. It keeps the events of both chains up to the last
// pinned pair in memory, a few hundred bytes per message. It is not for
// concurrent use.
type Auditor struct {
	src  Source
	abis contracts
	wait time.Duration
	now  func() time.Time

	root, child tape
	hist        *history
	burn        burn
	journal     journalMemory
	waiting     *childState // a subnet block the root had not caught up with
	rescanned   time.Time
	allNonces   bool // look up every nonce at once
	hurried     atomic.Bool
}

// New checks the source.
func New(src Source) (*Auditor, error) {
	if src.Root == nil || src.Child == nil {
		return nil, errors.New("audit: both chains are required")
	}
	s := src.Sub
	for name, a := range map[string]common.Address{
		"actor": s.Actor, "gateway": s.Gateway, "controller": s.Controller, "fast withdrawals": s.FastWithdrawals,
		"FLT": s.FLT, "USDC": s.USDC, "subnet gateway": s.SubnetGateway, "replica": s.Replica, "outbox": s.Outbox,
	} {
		if a == (common.Address{}) {
			return nil, fmt.Errorf("audit: the address of %s is required", name)
		}
	}
	if len(s.IPC.Route) == 0 {
		return nil, errors.New("audit: the subnet's route is required")
	}
	if s.Period == 0 {
		return nil, errors.New("audit: the checkpoint period is required")
	}
	if got := src.Root.ChainID(); got != s.RootID {
		return nil, fmt.Errorf("audit: the root is chain %d, want %d: %w", got, s.RootID, chains.ErrWrongChain)
	}
	if got := src.Child.ChainID(); got != s.ID {
		return nil, fmt.Errorf("audit: the subnet is chain %d, want %d: %w", got, s.ID, chains.ErrWrongChain)
	}
	if src.Treasury == nil {
		src.Treasury = new(big.Int).Lsh(big.NewInt(1), 100)
	}
	if src.Wait <= 0 {
		src.Wait = 250 * time.Millisecond
	}
	abis, err := newContracts()
	if err != nil {
		return nil, err
	}
	if src.Crossing != nil {
		if err := src.Crossing.open(); err != nil {
			return nil, err
		}
	}
	a := &Auditor{src: src, abis: abis, wait: src.Wait, now: time.Now}
	a.reset()
	return a, nil
}

// reset forgets everything read, so that the next Check reads it anew.
func (a *Auditor) reset() {
	a.root = tape{cursor: chains.Cursor{Chain: a.src.Sub.RootID, Next: a.src.Root.StartBlock()}}
	a.child = tape{cursor: chains.Cursor{Chain: a.src.Sub.ID, Next: a.src.Child.StartBlock()}}
	a.hist = newHistory(a.src.Sub, a.abis)
	if c := a.src.Crossing; c != nil {
		c.reset(a.src.Root)
		a.hist.portal = c.Portal
	}
	a.burn = burn{sum: new(big.Int)}
	a.journal = newJournalMemory()
	a.waiting = nil
}

// Inherit takes over what another auditor of the same subnet has read of the
// chains, which is not to be used any more; nothing of what it knows of a journal.
// It goes on only where the chains continue what was read.
func (a *Auditor) Inherit(from *Auditor) {
	if from == nil || !reflect.DeepEqual(a.src.Sub, from.src.Sub) || !a.src.Crossing.continues(from.src.Crossing) {
		return
	}
	a.root, a.child, a.hist, a.burn, a.rescanned = from.root, from.child, from.hist, from.burn, from.rescanned
	if a.src.Crossing != nil {
		a.src.Crossing.inherit(from.src.Crossing)
	}
}

// Hurry lets it read without rests, from its next page on, or with them again. It
// may be called while the auditor is used.
func (a *Auditor) Hurry(on bool) { a.hurried.Store(on) }

// rest is how many times as long as a page took is paused after it.
func (a *Auditor) rest() int {
	if a.hurried.Load() {
		return 0
	}
	return a.src.Rest
}

// Messages is how many messages of either direction the auditor remembers.
func (a *Auditor) Messages() int { return len(a.hist.down) + len(a.hist.up) }

// Check audits at the newest pair of final blocks that fits together. An error
// says that the chains could not be read; a broken invariant is a report whose
// OK is false. What an earlier Check read is not read again, but before a broken
// invariant is first reported everything is: one answer with an event missing
// must not page for ever.
func (a *Auditor) Check(ctx context.Context) (Report, error) {
	cached := a.root.read || a.child.read
	r, err := a.check(ctx)
	if err != nil || r.OK || !cached || a.now().Sub(a.rescanned) < rescanAfter {
		return r, err
	}
	a.reset()
	a.rescanned = a.now()
	return a.check(ctx)
}

func (a *Auditor) check(ctx context.Context) (Report, error) {
	// Most of the way before anything is pinned: nodes keep the state of a block
	// for a while only.
	if err := a.approach(ctx); err != nil {
		return Report{}, fmt.Errorf("audit: %w", err)
	}
	r, s, err := a.pin(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("audit: %w", err)
	}
	err = a.root.scan(ctx, a.src.Root, a.abis.rootFilter(a.src.Sub), r.block, unrested, a.hist.rootEvent)
	if err == nil {
		err = a.child.scan(ctx, a.src.Child, a.childFilter(), s.block, unrested, a.hist.childEvent)
	}
	if errors.Is(err, chains.ErrReorg) {
		// What was read is no longer the chain: the next Check reads it anew.
		a.reset()
	}
	if err != nil {
		return Report{}, fmt.Errorf("audit: %w", err)
	}
	if err := a.readOthers(ctx, r); err != nil {
		return Report{}, fmt.Errorf("audit: %w", err)
	}
	if err := a.readHolders(ctx, s); err != nil {
		return Report{}, fmt.Errorf("audit: %w", err)
	}
	batches, err := a.readBatches(ctx, r, s)
	if err != nil {
		return Report{}, fmt.Errorf("audit: %w", err)
	}

	report := Report{RootBlock: r.block, SubnetBlock: s.block, OK: true}
	report.add(a.flt(r, s))
	report.add(a.usdc(r, s))
	report.add(a.settlements(r, s, batches))
	report.add(a.checkpoints(r))
	a.burnt(ctx, s, &report)
	if a.src.Crossing != nil {
		a.acrossEthereum(ctx, &report)
	}
	if a.src.Journal != nil {
		a.transfers(ctx, r, s, &report)
		a.nonces(ctx, r, s, &report)
	}
	if err := ctx.Err(); err != nil {
		return Report{}, fmt.Errorf("audit: %w", err)
	}
	return report, nil
}

// childFilter selects what is read of the subnet.
func (a *Auditor) childFilter() chains.Filter {
	f := a.abis.childFilter(a.src.Sub)
	if a.src.Crossing != nil {
		f.Addresses = append(f.Addresses, a.hist.portal)
		f.Topics = append(f.Topics, a.abis.list("portal.WithdrawalToL1Sent", "portal.WithdrawalToL1Returned")...)
	}
	return f
}

// approach reads both chains up to their final blocks, with its rests: what is
// pinned afterwards is no older. A subnet block that still waits for the root may
// be.
func (a *Auditor) approach(ctx context.Context) error {
	if a.src.Rest == 0 || a.waiting != nil {
		return nil
	}
	root, err := a.src.Root.Head(ctx)
	if err != nil {
		return err
	}
	child, err := a.src.Child.Head(ctx)
	if err != nil {
		return err
	}
	err = a.root.scan(ctx, a.src.Root, a.abis.rootFilter(a.src.Sub), root, a.rest, a.hist.rootEvent)
	if err == nil {
		err = a.child.scan(ctx, a.src.Child, a.childFilter(), child, a.rest, a.hist.childEvent)
	}
	if errors.Is(err, chains.ErrReorg) {
		a.reset()
	}
	return err
}

func (r *Report) add(i Invariant) {
	r.Invariants = append(r.Invariants, i)
	r.OK = r.OK && i.OK
}

func (r *Report) skip(id string, err error) {
	r.Skipped = append(r.Skipped, fmt.Sprintf("%s: %v", id, err))
}
