package evm

import (
	"context"
	"log/slog"
	"math/big"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
)

// Reader is a chain as the rest of the bridge reads it. A *Client is one over a
// single endpoint; others speak to a node that needs more care, or to several
// that must agree. Each method promises what the Client's of that name does.
type Reader interface {
	chains.Source
	ChainClient

	StartBlock() uint64
	Latest(ctx context.Context) (chains.Block, error)
	At(ctx context.Context, height uint64) (chains.Block, error)
	BlocksByNumber(ctx context.Context, numbers []uint64) ([]chains.Block, error)
	Logs(ctx context.Context, f chains.Filter, from, to uint64) ([]chains.Event, error)
	TransactionEvents(ctx context.Context, tx common.Hash) ([]chains.Event, error)
	Receipt(ctx context.Context, hash common.Hash) (r Receipt, ok bool, err error)

	Call(ctx context.Context, to common.Address, data []byte, at BlockRef) ([]byte, error)
	BatchCall(ctx context.Context, calls []CallArg, at BlockRef) ([]CallResult, error)
	CodeAt(ctx context.Context, account common.Address, at BlockRef) ([]byte, error)
	StorageAt(ctx context.Context, account common.Address, slot common.Hash, at BlockRef) (common.Hash, error)
	Balance(ctx context.Context, account common.Address, at BlockRef) (*big.Int, error)

	// RPC is one request to one endpoint, believed as it stands.
	RPC(ctx context.Context, result any, method string, args ...any) error
	Close()
}

var _ Reader = (*Client)(nil)

// DialReader is Dial for those who take any Reader.
func DialReader(ctx context.Context, cfg Config, log *slog.Logger) (Reader, error) {
	c, err := Dial(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	return c, nil
}
