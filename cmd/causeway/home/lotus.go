package home

import (
	"context"
	"log/slog"

	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/filecoin"
	"github.com/causeway-bridge/causeway/relayer"
)

// DialLotus reaches one Lotus node: what a configuration with a lotus block names.
func DialLotus(ctx context.Context, e relayer.Endpoint, log *slog.Logger) (evm.Reader, error) {
	cfg := filecoin.Config{
		Config: e.Config, Depth: e.Lotus.Depth, Behind: e.Lotus.Behind, Deep: e.Deep,
		TrustFinalized: e.Lotus.TrustFinalized, Floor: e.Lotus.Floor,
	}
	if f := e.Lotus.F3; f != nil {
		cfg.F3 = &filecoin.F3{Network: f.Network, First: f.First, PowerTable: f.PowerTable}
	}
	c, err := filecoin.Dial(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	return c, nil
}
