package lotus

import (
	"errors"
	"log/slog"
	"math/big"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
)

// Config of a Root. Only ChainID is required.
type Config struct {
	// DataDir keeps the chain; "" keeps it in memory.
	DataDir string
	ChainID chains.ID
	// Alloc is the genesis balances, in wei.
	Alloc map[common.Address]*big.Int
	// Period between epochs, 30 s when 0. Timestamps count whole seconds: with
	// a period that is not, the chain's clock runs ahead.
	Period time.Duration
	// Manual makes no epochs but those that Mine is asked for.
	Manual bool
	// GenesisTime of a new chain in Unix seconds; 0 is now. A chain that is to
	// be mined by hand wants one in the past, lest it run ahead of the clock.
	GenesisTime uint64
	// Lead puts the genesis of a new chain so far into the past; its epochs come
	// four a second until its clock has caught up with the wall's. What is deployed
	// on it need not wait for each epoch. One that was stopped makes up for it, too.
	Lead time.Duration
	// Addrs is host:port of each node; port 0 picks a free one, an empty host
	// is the loopback, "" is both. None is one node.
	Addrs []string
	// NullRate is the share of epochs, from 0 to 1, that are null rounds.
	NullRate float64
	// FinalityDepth is the depth in epochs at which nodes call a tipset final
	// without F3: 900 when 0.
	FinalityDepth uint64
	// GasFactor multiplies gas estimates and gas used, as Filecoin's units are
	// finer than the EVM's: 1 when 0.
	GasFactor uint64
	// NetworkName as in StateNetworkName and F3's signatures.
	NetworkName string
	// F3 runs F3: certificates that finalize up to F3Behind epochs below the
	// head (5 when 0).
	F3       bool
	F3Behind uint64
	Log      *slog.Logger
}

const (
	defaultPeriod   = 30 * time.Second
	defaultFinality = 900
	defaultBehind   = 5
	blockGas        = 10_000_000_000 // of a Filecoin block
	minBaseFee      = 100            // attoFIL
	youngPeriod     = 250 * time.Millisecond
	maxNodes        = 16
)

func (cfg Config) withDefaults() (Config, error) {
	switch {
	case cfg.ChainID == 0:
		return cfg, errors.New("chain id is 0")
	case cfg.Period < 0:
		return cfg, errors.New("period is negative")
	case cfg.Lead < 0 || cfg.Lead > 0 && cfg.GenesisTime > 0:
		return cfg, errors.New("lead is negative, or given beside a genesis time")
	case cfg.NullRate < 0 || cfg.NullRate >= 1:
		return cfg, errors.New("null rate is not in [0, 1)")
	case len(cfg.Addrs) > maxNodes:
		return cfg, errors.New("too many nodes")
	}
	if cfg.Period == 0 {
		cfg.Period = defaultPeriod
	}
	if cfg.Lead > 0 {
		cfg.GenesisTime = uint64(time.Now().Add(-cfg.Lead).Unix())
	}
	if len(cfg.Addrs) == 0 {
		cfg.Addrs = []string{""}
	}
	if cfg.FinalityDepth == 0 {
		cfg.FinalityDepth = defaultFinality
	}
	if cfg.F3Behind == 0 {
		cfg.F3Behind = defaultBehind
	}
	if cfg.GasFactor == 0 {
		cfg.GasFactor = 1
	}
	if cfg.NetworkName == "" {
		cfg.NetworkName = "devnet"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return cfg, nil
}

// delay is the seconds of an epoch on the chain's clock.
func (cfg Config) delay() uint64 {
	return uint64((cfg.Period + time.Second - 1) / time.Second)
}

// paced says whether the chain's clock keeps pace with the wall's.
func (cfg Config) paced() bool { return cfg.Period%time.Second == 0 }
