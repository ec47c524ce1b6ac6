package evm

import (
	"errors"
	"fmt"
	"math/big"
	"time"
)

// TxConfig says how the accounts of one chain send. Zero fields take the value
// of DefaultTx.
type TxConfig struct {
	MaxInFlight int           // undecided intents per account
	Tick        time.Duration // between two looks at the undecided intents
	Idle        time.Duration // between two looks at an account with none

	RebroadcastAfter time.Duration // between two broadcasts of the same attempt
	BumpAfter        time.Duration // without inclusion, at the head of the account's queue
	BumpPermille     int           // rise of tip and fee cap per bump; at least 125 (Filecoin: 250)
	MaxAttempts      int           // signed per intent; then only rebroadcast
	AbandonAfter     time.Duration // age at which a stuck payload gives way to a no-op; 0: never

	MaxFeeCapWei  *big.Int // per gas: never pay more
	MaxTipWei     *big.Int // per gas
	MinTipWei     *big.Int // per gas
	BaseFeeFactor int      // percent of the base fee put into the fee cap
	GasMargin     int      // percent added to an estimate
	MaxGas        uint64   // per transaction

	ResumeAfter time.Duration // age at which a reserved intent nobody signed is signed by the loop

	// ForeignLooks is how many looks in a row must find a nonce used in a final
	// block, with no receipt for any of our hashes, before it is called
	// foreign.
	ForeignLooks int
	// PendingLag is how long a node may take to show a transaction in its
	// pending block. A simulation that fails this soon after a transaction of
	// the same lane was sent says nothing yet.
	PendingLag time.Duration

	// Gate says why no new transaction may be sent now; nil: one may. What was
	// signed is sent again all the same.
	Gate func() error

	IntentsFile string                          // local, append-only, synced copy of what was signed; "" = none
	OpenDisk    func(path string) (Disk, error) // where IntentsFile is; nil: a local file, locked by this process
	MaxDataSize int                             // bytes of call data
	Metrics     *Metrics
}

// MaxInFlight is the most undecided intents that an account may be allowed: pools
// promise an account far fewer places, and each look reads them all.
const MaxInFlight = 64

// DefaultTx suits an Ethereum-like chain.
func DefaultTx() TxConfig {
	gwei := func(n int64) *big.Int { return new(big.Int).Mul(big.NewInt(n), big.NewInt(1_000_000_000)) }
	return TxConfig{
		MaxInFlight:      16,
		Tick:             2 * time.Second,
		Idle:             15 * time.Second,
		RebroadcastAfter: 15 * time.Second,
		BumpAfter:        time.Minute,
		BumpPermille:     125,
		MaxAttempts:      40,
		MaxFeeCapWei:     gwei(500),
		MaxTipWei:        gwei(50),
		MinTipWei:        big.NewInt(1),
		BaseFeeFactor:    200,
		GasMargin:        20,
		MaxGas:           30_000_000,
		ResumeAfter:      3 * time.Second,
		ForeignLooks:     5,
		PendingLag:       3 * time.Second,
		MaxDataSize:      120 << 10,
	}
}

func (c TxConfig) withDefaults() TxConfig {
	d := DefaultTx()
	fill := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	span := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	wei := func(p **big.Int, v *big.Int) {
		if *p == nil {
			*p = v
		}
	}
	fill(&c.MaxInFlight, d.MaxInFlight)
	fill(&c.BumpPermille, d.BumpPermille)
	fill(&c.MaxAttempts, d.MaxAttempts)
	fill(&c.BaseFeeFactor, d.BaseFeeFactor)
	fill(&c.GasMargin, d.GasMargin)
	fill(&c.ForeignLooks, d.ForeignLooks)
	fill(&c.MaxDataSize, d.MaxDataSize)
	span(&c.Tick, d.Tick)
	span(&c.Idle, d.Idle)
	span(&c.RebroadcastAfter, d.RebroadcastAfter)
	span(&c.BumpAfter, d.BumpAfter)
	span(&c.ResumeAfter, d.ResumeAfter)
	span(&c.PendingLag, d.PendingLag)
	wei(&c.MaxFeeCapWei, d.MaxFeeCapWei)
	wei(&c.MaxTipWei, d.MaxTipWei)
	wei(&c.MinTipWei, d.MinTipWei)
	if c.MaxGas == 0 {
		c.MaxGas = d.MaxGas
	}
	if c.OpenDisk == nil {
		c.OpenDisk = openLocalDisk
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	return c
}

// Check joins every complaint about the configuration.
func (c TxConfig) Check() error {
	c = c.withDefaults()
	var errs []error
	complain := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	complain(c.MaxInFlight < 1 || c.MaxInFlight > MaxInFlight, "max in flight %d is not within 1..%d", c.MaxInFlight, MaxInFlight)
	complain(c.BumpPermille < 125, "bump of %d permille is below 125: pools refuse it", c.BumpPermille)
	complain(c.BumpPermille > 10_000, "bump of %d permille is above 10000", c.BumpPermille)
	complain(c.Tick < 0 || c.Idle < 0 || c.RebroadcastAfter < 0 || c.BumpAfter < 0 || c.AbandonAfter < 0 || c.PendingLag < 0, "a duration is negative")
	complain(c.MaxAttempts < 2, "max attempts below 2")
	complain(c.BaseFeeFactor < 100, "base fee factor below 100 percent")
	complain(c.GasMargin < 0 || c.GasMargin > 1000, "gas margin is not within 0..1000 percent")
	complain(c.MaxFeeCapWei.Sign() <= 0, "max fee cap is not positive")
	complain(c.MinTipWei.Sign() < 0 || c.MinTipWei.Cmp(c.MaxTipWei) > 0, "min tip is not within 0..max tip")
	complain(c.MaxTipWei.Cmp(c.MaxFeeCapWei) > 0, "max tip above max fee cap")
	complain(c.ForeignLooks < 1, "foreign looks below 1")
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("transactions: %w", err)
	}
	return nil
}
