// Package chains holds the words every other package shares: what a block, an
// event, a cursor and a transaction are, and the two doors of a chain: Source
// (reads final blocks only) and Sender (owns the nonces). It promises nothing
// about any particular chain.
package chains

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/common"
)

// ID is an EVM chain id.
type ID uint64

// String is the decimal form.
func (id ID) String() string { return fmt.Sprintf("%d", uint64(id)) }

// Block names one block. Time is in Unix seconds.
type Block struct {
	Number uint64      `json:"number"`
	Hash   common.Hash `json:"hash"`
	Parent common.Hash `json:"parent"`
	Time   uint64      `json:"time"`
}

// Event is one log of a final block. Index is the position of the log within
// its block, Position the one within its transaction's own receipt, which is how
// Axelar names messages; only sources that read receipts know it, the others
// leave it 0.
type Event struct {
	Chain     ID             `json:"chain"`
	Block     uint64         `json:"block"`
	BlockHash common.Hash    `json:"block_hash"`
	BlockTime uint64         `json:"block_time"`
	Tx        common.Hash    `json:"tx"`
	Index     uint           `json:"index"`
	Position  uint           `json:"position,omitempty"`
	Address   common.Address `json:"address"`
	Topics    []common.Hash  `json:"topics"`
	Data      []byte         `json:"data"`
}

// ID is stable once the block is final.
func (e Event) ID() EventID { return EventID{Chain: e.Chain, Tx: e.Tx, Index: e.Index} }

// EventID names a final event.
type EventID struct {
	Chain ID          `json:"chain"`
	Tx    common.Hash `json:"tx"`
	Index uint        `json:"index"`
}

// Cursor says how far a chain has been read: Next is the first unread height,
// Parent the hash of the block before it (zero only where Next is the
// configured start).
type Cursor struct {
	Chain  ID          `json:"chain"`
	Next   uint64      `json:"next"`
	Parent common.Hash `json:"parent"`
}

// Filter selects logs: any of the addresses and any of the first topics. An
// empty list selects nothing, so that a misconfigured filter reads no foreign
// event.
type Filter struct {
	Addresses []common.Address
	Topics    []common.Hash
	// Later are the values asked for at the topics behind the first, in order; an
	// empty list is any.
	Later [][]common.Hash
	// Placed are those of the addresses whose events must come with their Position,
	// for which receipts are read.
	Placed []common.Address
}

// Selects says whether an event of a contract with these topics is asked for.
func (f Filter) Selects(contract common.Address, topics []common.Hash) bool {
	if len(topics) == 0 || !slices.Contains(f.Addresses, contract) || !slices.Contains(f.Topics, topics[0]) {
		return false
	}
	for i, values := range f.Later {
		if len(values) > 0 && (i+1 >= len(topics) || !slices.Contains(values, topics[i+1])) {
			return false
		}
	}
	return true
}

// Query asks for the events of final blocks [From.Next, To]. A source may
// answer for a shorter range; the last block it covers comes back with the
// events.
type Query struct {
	From   Cursor
	To     uint64
	Filter Filter
	// Counted says that the asker finds out by itself whether an event was left
	// out, so that nothing need be asked twice for it.
	Counted bool
}

// Source reads final blocks only.
type Source interface {
	// Head is the newest final block.
	Head(context.Context) (Block, error)
	// Events returns the events of [q.From.Next, last.Number] in chain order,
	// last.Number ≤ q.To. It returns ErrReorg when q.From.Parent is not the
	// parent of the first block: a final block has changed.
	Events(ctx context.Context, q Query) (last Block, events []Event, err error)
}

// Fence proves that its holder still owns a lane. Two fences compare as the
// pair (Epoch, Counter); the zero Fence belongs to no lane and is accepted
// only for transactions without members.
type Fence struct {
	Lane    string `json:"lane"`
	Epoch   uint64 `json:"epoch"`
	Counter uint64 `json:"counter"`
}

// Tx is what a flow wants on a chain. Key names the intent, not the attempt:
// while an intent with this key is undecided, sending it again changes
// nothing. Members are the transfers it carries; none of them enters another
// transaction until this one is decided. Group picks the account: equal groups
// use one key, so their nonces ascend in the order of sending.
type Tx struct {
	Key   string
	Group string
	To    common.Address
	Data  []byte
	Value *big.Int // wei, nil = 0
	Gas   uint64   // 0: estimated at the pending block, which is also the simulation
	// GasCap bounds what an estimate may give besides the sender's own limit; 0:
	// only by that.
	GasCap uint64
	// Estimated is told the gas that a simulation gave; nil: nobody is.
	Estimated func(gas uint64) `json:"-"`
	Members   []common.Hash
	Fence     Fence
}

// Sender writes to a chain.
type Sender interface {
	// Send journals the intent, signs, stores and broadcasts it, and returns
	// without waiting for a block. A nil error says "recorded", never "done".
	// ErrReverted (with the revert data in a *RevertError) says that the
	// simulation failed and nothing was recorded.
	Send(context.Context, Tx) error
}

// IntentState is where a transaction intent stands.
type IntentState string

const (
	IntentReserved  IntentState = "reserved"  // nonce taken, nothing signed
	IntentSigned    IntentState = "signed"    // raw bytes stored, maybe broadcast
	IntentIncluded  IntentState = "included"  // a receipt was seen, its block not final
	IntentSucceeded IntentState = "succeeded" // final, status 1
	IntentReverted  IntentState = "reverted"  // final, status 0
	IntentReplaced  IntentState = "replaced"  // final: a no-op of ours filled the nonce
	IntentForeign   IntentState = "foreign"   // final: the nonce was used by a transaction that is not ours
)

// Decided says that no attempt of the intent can change the chain any more.
func (s IntentState) Decided() bool {
	switch s {
	case IntentSucceeded, IntentReverted, IntentReplaced, IntentForeign:
		return true
	}
	return false
}

// Attempt is one signed transaction of an intent. All attempts of an intent
// share its nonce; every hash is kept for ever.
type Attempt struct {
	Hash      common.Hash `json:"hash"`
	Raw       []byte      `json:"raw"`
	TipWei    *big.Int    `json:"tip_wei"`
	FeeCapWei *big.Int    `json:"fee_cap_wei"`
	NoOp      bool        `json:"no_op"`
	SentAt    time.Time   `json:"sent_at"`
}

// Intent is a reserved nonce and everything ever signed for it.
type Intent struct {
	Chain     ID             `json:"chain"`
	Account   common.Address `json:"account"`
	Nonce     uint64         `json:"nonce"`
	Key       string         `json:"key"`
	To        common.Address `json:"to"`
	Data      []byte         `json:"data"`
	Value     *big.Int       `json:"value"`
	Gas       uint64         `json:"gas"`
	Members   []common.Hash  `json:"members"`
	Fence     Fence          `json:"fence"`
	State     IntentState    `json:"state"`
	Attempts  []Attempt      `json:"attempts"`
	Block     uint64         `json:"block"`      // of the receipt, while included or decided
	BlockHash common.Hash    `json:"block_hash"` // of the receipt
	TxHash    common.Hash    `json:"tx_hash"`    // the attempt that was mined
	GasUsed   uint64         `json:"gas_used"`
	CreatedAt time.Time      `json:"created_at"`
	Abandoned bool           `json:"abandoned"` // its nonce is to be filled by a no-op
}

var (
	// ErrReorg says that a block below a cursor changed: a final block was
	// not. The chain's lanes stop and a person is called.
	ErrReorg = errors.New("block below the cursor changed")
	// ErrFunds says that an account cannot pay for a transaction; nothing was
	// recorded, and it may pass once the account is topped up.
	ErrFunds = errors.New("account cannot pay for gas")
	// ErrReverted says that a call or simulation reverted; see RevertError.
	ErrReverted = errors.New("execution reverted")
	// ErrGasLimit says that a transaction needs more gas than one may have.
	ErrGasLimit = errors.New("needs more gas than one transaction may have")
	// ErrTooLarge says that a transaction has more bytes than one may have.
	ErrTooLarge = errors.New("larger than one transaction may be")
	// ErrWrongChain says that an endpoint answers for another chain.
	ErrWrongChain = errors.New("endpoint serves another chain")
	// ErrStale says that a fence is no longer the lane's: someone else owns it.
	ErrStale = errors.New("stale fence")
	// ErrBusy says that too many intents of the account are undecided, or that
	// a member of the transaction rides in another one that is.
	ErrBusy = errors.New("busy with an undecided transaction")
	// ErrShallow says that the next event must lie deeper before it counts, and with
	// it all that is behind it: nothing is wrong, and time mends it.
	ErrShallow = errors.New("the next event must lie deeper")
	// ErrPruned says that an endpoint no longer has what is this old. It comes with
	// ErrUnavailable, since another endpoint may have it; asking again is in vain.
	ErrPruned = errors.New("older than what the endpoint keeps")
	// ErrUnavailable says that an endpoint gave no usable answer: the fact asked
	// for is unknown.
	ErrUnavailable = errors.New("endpoint unavailable")
)

// RevertError carries the revert data of a failed call.
type RevertError struct {
	Reason string
	Data   []byte
}

func (e *RevertError) Error() string {
	if e.Reason != "" {
		return "execution reverted: " + e.Reason
	}
	return fmt.Sprintf("execution reverted: 0x%x", e.Data)
}

// Unwrap makes errors.Is(err, ErrReverted) true.
func (e *RevertError) Unwrap() error { return ErrReverted }
