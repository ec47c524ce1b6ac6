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
	c, err := filecoin.Dial(ctx, filecoin.Config{Config: e.Config, Depth: e.Lotus.Depth, Behind: e.Lotus.Behind, Deep: e.Deep}, log)
	if err != nil {
		return nil, err
	}
	return c, nil
}
