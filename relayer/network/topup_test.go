package network

import (
	"context"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

func pack(t *testing.T, types []string, values ...any) []byte {
	t.Helper()
	var args abi.Arguments
	for _, name := range types {
		parsed, err := abi.NewType(name, "", nil)
		require.NoError(t, err)
		args = append(args, abi.Argument{Type: parsed})
	}
	b, err := args.Pack(values...)
	require.NoError(t, err)
	return b
}

// till is a gas service and an account that pays into it.
type till struct {
	t       *testing.T
	cfg     TopUpConfig
	now     time.Time
	paid    map[axelar.MessageID]*big.Int
	txs     []chains.Tx
	sendErr error
	askErr  error
}

const wei = 1000

func newTill(t *testing.T) *till {
	x := &till{t: t, now: time.Unix(1_800_000_000, 0), paid: map[axelar.MessageID]*big.Int{}}
	x.cfg = TopUpConfig{
		Service: axelar.GasService{Address: common.Address{0x6a}}, RefundTo: common.Address{0x0f}, After: time.Hour,
		Wei: big.NewInt(wei), DailyWei: big.NewInt(3 * wei), File: filepath.Join(t.TempDir(), "gas.json"),
		Clock: func() time.Time { return x.now },
		Paid: func(_ context.Context, id axelar.MessageID, from uint64) (*big.Int, error) {
			require.Equal(t, uint64(70), from)
			if n := x.paid[id]; n != nil {
				return n, x.askErr
			}
			return new(big.Int), x.askErr
		},
		Send: func(_ context.Context, tx chains.Tx) error {
			if x.sendErr == nil {
				x.txs = append(x.txs, tx)
			}
			return x.sendErr
		},
	}
	return x
}

func (x *till) open() *TopUp {
	x.t.Helper()
	top, err := NewTopUp(x.cfg)
	require.NoError(x.t, err)
	return top
}

func message(n byte) axelar.MessageID { return axelar.MessageID{Tx: common.Hash{n}, Index: 4} }

func (x *till) pay(top *TopUp, n byte, waited time.Duration) error {
	return top.Pay(x.t.Context(), message(n), 70, x.now.Add(-waited))
}

func TestAMessageThatWaitsIsPaidForOnce(t *testing.T) {
	x := newTill(t)
	top := x.open()
	require.NoError(t, x.pay(top, 1, time.Hour-time.Second))
	require.Empty(t, x.txs, "it does not wait long enough")
	require.NoError(t, x.pay(top, 1, time.Hour))
	require.Equal(t, []chains.Tx{{
		Key: "gas/" + message(1).String(), Group: "gas", To: x.cfg.Service.Address, Data: x.cfg.Service.TopUpCalldata(message(1), x.cfg.RefundTo),
		Value: big.NewInt(wei), GasCap: maxTopUpGas,
	}}, x.txs)

	// Again, after a death, and once it is on the chain and the file is old or gone.
	require.NoError(t, x.pay(top, 1, 2*time.Hour))
	require.NoError(t, x.pay(x.open(), 1, 2*time.Hour))
	x.paid[message(1)] = big.NewInt(wei)
	x.now = x.now.Add(2 * time.Hour)
	require.NoError(t, x.pay(x.open(), 1, 4*time.Hour))
	require.NoError(t, os.Remove(x.cfg.File))
	require.NoError(t, x.pay(x.open(), 1, 4*time.Hour))
	require.Len(t, x.txs, 1)

	// A stranger who adds next to nothing in our name does not stop us.
	x.paid[message(2)] = big.NewInt(1)
	require.NoError(t, x.pay(x.open(), 2, time.Hour))
	require.Len(t, x.txs, 2)
}

// What was noted and is on no chain after another time of waiting was never sent:
// whoever noted it died.
func TestAPaymentThatWasOnlyNotedIsMadeLater(t *testing.T) {
	x := newTill(t)
	x.sendErr = errors.New("killed")
	require.Error(t, x.pay(x.open(), 1, time.Hour))
	x.sendErr = nil
	x.now = x.now.Add(time.Hour - time.Second)
	require.NoError(t, x.pay(x.open(), 1, 2*time.Hour))
	require.Empty(t, x.txs, "it may be on its way")
	x.now = x.now.Add(time.Second)
	require.NoError(t, x.pay(x.open(), 1, 2*time.Hour))
	require.Len(t, x.txs, 1)

	// One that is on its way counts whatever the amount is configured to by then.
	x.paid[message(1)] = big.NewInt(wei)
	x.cfg.Wei = big.NewInt(2 * wei)
	x.now = x.now.Add(2 * time.Hour)
	require.NoError(t, x.pay(x.open(), 1, 4*time.Hour))
	require.Len(t, x.txs, 1)
}

func TestADayCostsNoMoreThanItMay(t *testing.T) {
	x := newTill(t)
	for n := byte(1); n <= 3; n++ {
		require.NoError(t, x.pay(x.open(), n, time.Hour))
		x.now = x.now.Add(time.Minute)
	}
	require.ErrorIs(t, x.pay(x.open(), 4, time.Hour), ErrBudget)
	x.now = x.now.Add(day - 3*time.Minute - time.Second)
	require.ErrorIs(t, x.pay(x.open(), 4, day), ErrBudget)
	require.Len(t, x.txs, 3)
	x.now = x.now.Add(time.Second)
	require.NoError(t, x.pay(x.open(), 4, day))
	require.Len(t, x.txs, 4)
}

// An endpoint that shows none of our payments has each message paid for again, but
// no day costs more for that.
func TestPaymentsThatTheChainHidesCountForTheDay(t *testing.T) {
	x := newTill(t)
	for range 3 {
		require.NoError(t, x.pay(x.open(), 1, time.Hour))
		x.now = x.now.Add(x.cfg.After)
	}
	for range 20 {
		require.ErrorIs(t, x.pay(x.open(), 1, time.Hour), ErrBudget)
		x.now = x.now.Add(x.cfg.After)
	}
	require.Len(t, x.txs, 3)
	x.now = x.now.Add(x.cfg.After)
	top := x.open()
	require.NoError(t, x.pay(top, 1, time.Hour))
	require.Len(t, x.txs, 4, "the first is a day old")
	require.Len(t, top.notes, 3, "and forgotten")

	// One that was not sent for sure takes back its own note only.
	x.now, x.sendErr = x.now.Add(x.cfg.After), chains.ErrFunds
	require.ErrorIs(t, x.pay(top, 1, time.Hour), chains.ErrFunds)
	require.GreaterOrEqual(t, len(x.open().notes), 2)
}

func TestWhatWasNotSentForSureCostsNothing(t *testing.T) {
	x := newTill(t)
	top := x.open()
	for _, err := range []error{chains.ErrBusy, chains.ErrFunds, &chains.RevertError{}} {
		x.sendErr = err
		for range 4 {
			require.ErrorIs(t, x.pay(top, 1, time.Hour), err, "at once again, within the day's bound")
		}
	}
	x.sendErr, x.askErr = nil, chains.ErrUnavailable
	require.ErrorIs(t, x.pay(top, 1, time.Hour), chains.ErrUnavailable, "nobody knows whether it was paid for")
	require.Empty(t, x.txs)
	x.askErr = nil
	require.NoError(t, x.pay(top, 1, time.Hour))
	require.Len(t, x.txs, 1)
}

// The note is on disk before there is a transaction.
func TestNothingIsPaidThatCannotBeNoted(t *testing.T) {
	x := newTill(t)
	top := x.open()
	require.NoError(t, os.RemoveAll(filepath.Dir(x.cfg.File)))
	require.Error(t, x.pay(top, 1, time.Hour))
	require.Empty(t, x.txs)
}

func TestTheNotesMustBeReadable(t *testing.T) {
	x := newTill(t)
	require.NoError(t, x.pay(x.open(), 1, time.Hour))
	for _, damage := range []string{"", "[", `[{"message":"m","wei":"x","at":"2026-01-01T00:00:00Z"}]`, "{}"} {
		require.NoError(t, os.WriteFile(x.cfg.File, []byte(damage), 0o600))
		_, err := NewTopUp(x.cfg)
		require.ErrorIs(t, err, errDamaged, damage)
	}
	for _, spoil := range []func(*TopUpConfig){
		func(c *TopUpConfig) { c.After = 0 }, func(c *TopUpConfig) { c.Wei = new(big.Int) }, func(c *TopUpConfig) { c.DailyWei = big.NewInt(wei - 1) },
		func(c *TopUpConfig) { c.RefundTo = common.Address{} },
	} {
		cfg := x.cfg
		spoil(&cfg)
		_, err := NewTopUp(cfg)
		require.Error(t, err)
	}
}

func TestOldPaymentsAreForgotten(t *testing.T) {
	x := newTill(t)
	require.NoError(t, x.pay(x.open(), 1, time.Hour))
	x.now = x.now.Add(remember + time.Second)
	top := x.open()
	require.NoError(t, x.pay(top, 2, time.Hour))
	require.Len(t, top.notes, 1)
}
