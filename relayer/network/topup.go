package network

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/ethereum/go-ethereum/common"
)

// ErrBudget says when a day's payments for gas are used up.
var ErrBudget = errors.New("what may be paid for gas in a day is used up")

// TopUpConfig says what is paid for messages of one chain that wait too long.
type TopUpConfig struct {
	Service  axelar.GasService // on the chain
	RefundTo common.Address    // gets back what Axelar does not need
	After    time.Duration     // how long a message waits before it is paid for
	// Wei is paid once per message, DailyWei at most within 24 hours, both of the
	// chain's coin.
	Wei, DailyWei *big.Int
	File          string // what was paid, written before it is
	// Paid is what was added with RefundTo for a message, in any block there is
	// from a height on.
	Paid  func(ctx context.Context, id axelar.MessageID, from uint64) (*big.Int, error)
	Send  func(context.Context, chains.Tx) error
	Clock func() time.Time // nil = time.Now
}

// TopUp pays for messages of one chain. Its methods may be called from many
// goroutines.
type TopUp struct {
	cfg TopUpConfig
	mu  sync.Mutex
	// notes are payments, oldest first. One that is made again stays beside the first:
	// what the chain does not show may have been paid all the same, and a day's
	// bound counts it.
	notes []note
	// rests are messages that are not looked at before a time.
	rests map[axelar.MessageID]time.Time
}

// note is a payment that was decided on.
type note struct {
	Message string    `json:"message"`
	Wei     string    `json:"wei"`
	At      time.Time `json:"at"`
}

const (
	day = 24 * time.Hour
	// remember is how long a payment is kept; what is older is on the chain.
	remember = 90 * day
)

// NewTopUp reads the file, which may not be there yet.
func NewTopUp(cfg TopUpConfig) (*TopUp, error) {
	switch {
	case cfg.Service.Address == (common.Address{}) || cfg.RefundTo == (common.Address{}) || cfg.File == "" || cfg.Paid == nil || cfg.Send == nil:
		return nil, errors.New("[BUG] gas service, refund address, file, paid and send are required")
	case cfg.After <= 0 || cfg.Wei == nil || cfg.Wei.Sign() <= 0 || cfg.DailyWei == nil || cfg.DailyWei.Cmp(cfg.Wei) < 0:
		return nil, errors.New("top up: a positive time and amount, and as much for a day")
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	t := &TopUp{cfg: cfg, rests: map[axelar.MessageID]time.Time{}}
	if err := readJSON(cfg.File, &t.notes); err != nil {
		return nil, err
	}
	for _, n := range t.notes {
		if _, ok := new(big.Int).SetString(n.Wei, 10); !ok {
			return nil, fmt.Errorf("read %s: %q is no amount: %w", cfg.File, n.Wei, errDamaged)
		}
	}
	return t, nil
}

// Pay adds to what was paid for the delivery of a message that began at a time, in
// a block, unless it does not wait long enough yet or was paid for. ErrBudget once
// a day's payments are used up.
//
// The note comes before the payment. One that the chain does not show after
// another time of waiting was not made, and is made then: until then it may be on
// its way.
func (t *TopUp) Pay(ctx context.Context, id axelar.MessageID, block uint64, began time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.cfg.Clock()
	if now.Sub(began) < t.cfg.After || now.Before(t.rests[id]) {
		return nil
	}
	at := t.newest(id)
	if at >= 0 && now.Sub(t.notes[at].At) < t.cfg.After {
		return nil
	}
	paid, err := t.cfg.Paid(ctx, id, block)
	if err != nil {
		return fmt.Errorf("look for payments: %w", err)
	}
	enough := t.cfg.Wei
	if at >= 0 {
		enough, _ = new(big.Int).SetString(t.notes[at].Wei, 10)
	}
	if paid.Cmp(enough) >= 0 {
		t.rest(id, now.Add(day))
		return nil
	}
	rest := slices.DeleteFunc(slices.Clone(t.notes), func(n note) bool {
		age := now.Sub(n.At)
		return age > remember || age >= day && n.Message == id.String()
	})
	if sum := spent(rest, now); sum.Add(sum, t.cfg.Wei).Cmp(t.cfg.DailyWei) > 0 {
		t.rest(id, now.Add(time.Minute))
		return fmt.Errorf("message %s: %w", id, ErrBudget)
	}
	rest = append(rest, note{Message: id.String(), Wei: t.cfg.Wei.String(), At: now})
	if err := writeJSON(t.cfg.File, rest); err != nil {
		return err
	}
	t.notes = rest
	crash.At("network.after_note")
	err = t.cfg.Send(ctx, chains.Tx{
		Key: "gas/" + id.String(), Group: "gas", To: t.cfg.Service.Address,
		Data: t.cfg.Service.TopUpCalldata(id, t.cfg.RefundTo), Value: new(big.Int).Set(t.cfg.Wei), GasCap: maxTopUpGas,
	})
	if err == nil {
		return nil
	}
	if !errors.Is(err, chains.ErrBusy) && !errors.Is(err, chains.ErrFunds) && !errors.Is(err, chains.ErrReverted) {
		return fmt.Errorf("pay for message %s: %w", id, err)
	}
	// Nothing was recorded for sure: the next look may try again.
	if undo := writeJSON(t.cfg.File, t.notes[:len(t.notes)-1]); undo == nil {
		t.notes = t.notes[:len(t.notes)-1]
	}
	return fmt.Errorf("pay for message %s: %w", id, err)
}

// newest is where the newest note of a message is, -1 if nowhere.
func (t *TopUp) newest(id axelar.MessageID) int {
	for i, n := range slices.Backward(t.notes) {
		if n.Message == id.String() {
			return i
		}
	}
	return -1
}

// rest leaves a message alone for a while: the chain is asked about each.
func (t *TopUp) rest(id axelar.MessageID, until time.Time) {
	if len(t.rests) >= maxKept {
		clear(t.rests)
	}
	t.rests[id] = until
}

// maxTopUpGas is ten times what the gas service takes on an EVM chain, and as much
// as it takes on Filecoin.
const maxTopUpGas = 30_000_000

// spent is what was noted within a day.
func spent(notes []note, now time.Time) *big.Int {
	sum := new(big.Int)
	for _, n := range notes {
		if now.Sub(n.At) < day {
			wei, _ := new(big.Int).SetString(n.Wei, 10)
			sum.Add(sum, wei)
		}
	}
	return sum
}
