package lotus

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common"
)

// Switches are what a node does wrong, and the limits that operators set. The
// zero value of a fault is honesty. As JSON they are what dev_set takes.
type Switches struct {
	// Lag shows the chain as it was that many epochs ago.
	Lag uint64 `json:"lag"`

	// HideLogs leaves the logs of all epochs out of eth_getLogs, HideEpochs
	// those of some; DropLog leaves out the n-th log of each answer, from 1.
	HideLogs   bool     `json:"hide_logs"`
	HideEpochs []uint64 `json:"hide_epochs,omitempty"`
	DropLog    int      `json:"drop_log"`
	// ForgeLog adds a log that no contract emitted, in the newest tipset asked
	// for. ShowRemoved adds the logs of tipsets that a reorg took away, as
	// removed.
	ForgeLog    bool `json:"forge_log"`
	ShowRemoved bool `json:"show_removed"`
	// LieInReceipts leaves the logs that HideLogs and HideEpochs hide out of
	// receipts, too. What ForgeLog adds has no transaction, so no receipt has it.
	LieInReceipts bool `json:"lie_in_receipts"`
	// LateReceipts answers that many times for each receipt without its logs.
	LateReceipts int `json:"late_receipts"`
	// ReplacedReceipts answers for a replaced transaction with what took its
	// place, as before v1.36.2.
	ReplacedReceipts bool `json:"replaced_receipts"`
	// SwallowTx says yes to a transaction and forgets it.
	SwallowTx bool `json:"swallow_tx"`

	// ChainID other than 0 and WrongGenesis are of another chain.
	ChainID      uint64 `json:"chain_id"`
	WrongGenesis bool   `json:"wrong_genesis"`
	// Version as in Filecoin.Version. It tells what finalized means, too: the
	// finality depth before 1.34, F3 in 1.34 and 1.35.0, then the higher of F3
	// and 30 epochs.
	Version string `json:"version"`
	// Finalized is the depth that the node calls final instead; it may be 0.
	Finalized *uint64 `json:"finalized,omitempty"`

	// MaxRange of epochs and MaxResults of logs in one eth_getLogs; 0: any.
	MaxRange   uint64 `json:"max_range"`
	MaxResults int    `json:"max_results"`
	// Lookback in epochs, as gateways have; 0: any.
	Lookback uint64 `json:"lookback"`

	// F3Forge serves certificates with a signature that is not one, F3Equivocate
	// such as the committee did sign, but for a tipset that nobody has.
	F3Forge      bool `json:"f3_forge"`
	F3Equivocate bool `json:"f3_equivocate"`

	// Body is what http requests get instead of an answer; BodyFor is the
	// method that gets it, "" is every one.
	Body    Body   `json:"body"`
	BodyFor string `json:"body_for"`
	// NoWS refuses websockets.
	NoWS bool `json:"no_ws"`
}

// Body is an answer that is none.
type Body string

// Bodies: the status is 200 but for those that are one.
const (
	BodyHonest   Body = ""
	BodyHTML     Body = "html"      // a provider's error page
	BodyHuge     Body = "huge"      // 2 GB of one JSON string
	BodyNested   Body = "nested"    // 10,000 levels
	BodyNegative Body = "negative"  // numbers below zero
	BodyBig      Body = "big"       // numbers above 2^256
	BodyTwice    Body = "duplicate" // each key twice, the second time with other values
	BodyEmpty    Body = "empty"     // nothing
	BodyNull     Body = "null"      // a null result
	BodyHang     Body = "hang"      // no answer, the connection open
	BodySlow     Body = "slow"      // a byte each second
	BodyCut      Body = "cut"       // half an answer
	Body429      Body = "429"       // too many requests
	Body503      Body = "503"       // not now
	BodyOtherID  Body = "other_id"  // the answer to another request
)

// defaultVersion is what an honest node says it is.
const defaultVersion = "1.35.0"

// calculated is the depth in epochs at which the finality calculator of v1.35.1
// calls a tipset of a healthy chain final.
const calculated = 30

func defaultSwitches() Switches {
	return Switches{MaxRange: 2880, MaxResults: 10_000, Version: defaultVersion}
}

// Set changes the node's switches from now on.
func (n *Node) Set(change func(*Switches)) {
	n.mu.Lock()
	change(&n.set)
	clear(n.asked)
	n.mu.Unlock()
	n.follow()
}

// Reset makes the node honest again: it follows the root, with the limits of a
// fresh one.
func (n *Node) Reset() {
	n.Follow()
	n.Set(func(s *Switches) { *s = defaultSwitches() })
}

// Switches are the node's switches now.
func (n *Node) Switches() Switches {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := n.set
	out.HideEpochs = slices.Clone(out.HideEpochs)
	return out
}

// late counts the answers about a receipt and says whether this one comes
// before its logs do.
func (n *Node) late(tx common.Hash) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.set.LateReceipts == 0 {
		return false
	}
	n.asked[tx]++
	return n.asked[tx] <= n.set.LateReceipts
}

// hides says whether the logs of an epoch are left out.
func (s Switches) hides(epoch uint64) bool {
	return s.HideLogs || slices.Contains(s.HideEpochs, epoch)
}

// since says whether the version is at least 1.minor.patch.
func (s Switches) since(minor, patch int) bool {
	parts := strings.SplitN(strings.TrimPrefix(s.Version, "v"), ".", 3)
	if len(parts) < 3 {
		return false
	}
	mine, _, _ := strings.Cut(parts[2], "-")
	mine, _, _ = strings.Cut(mine, "+")
	m, err := strconv.Atoi(parts[1])
	if err != nil {
		return false
	}
	p, err := strconv.Atoi(mine)
	if err != nil {
		return false
	}
	return m > minor || (m == minor && p >= patch)
}

// finalized is what the node calls final.
func (n *Node) finalized(v view) *tip {
	set := n.Switches()
	if set.Finalized != nil {
		return v.deep(*set.Finalized)
	}
	slow := v.deep(n.root.cfg.FinalityDepth)
	fast := n.root.f3.newest(v)
	switch {
	case set.since(35, 1):
		return higher(higher(slow, v.deep(min(calculated, n.root.cfg.FinalityDepth))), fast)
	case set.since(34, 0) && fast != nil && v.head().epoch-fast.epoch <= n.root.cfg.FinalityDepth:
		return fast
	}
	return slow
}

// safe is what the node calls safe.
func (n *Node) safe(v view) *tip {
	depth := uint64(200)
	if !n.Switches().since(34, 0) {
		depth = 30
	}
	return higher(v.deep(min(depth, n.root.cfg.FinalityDepth)), n.finalized(v))
}

func higher(a, b *tip) *tip {
	if b != nil && b.epoch > a.epoch {
		return b
	}
	return a
}

// otherGenesis is the genesis of a chain that this is not.
func (n *Node) otherGenesis(v view) (*tip, error) {
	t := *v[0]
	t.salt++
	return &t, n.root.name(&t)
}

// Bodies lists every fault of a body.
func Bodies() []Body {
	return slices.Sorted(maps.Keys(bodies))
}
