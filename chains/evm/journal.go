package evm

import (
	"context"
	"math/big"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// Journal remembers intents durably. Each call is one atomic, durable write
// that may be repeated without harm. The fence is checked by Reserve alone:
// once a nonce is reserved it must be filled, by this payload or by a no-op,
// whoever holds the lane by then.
type Journal interface {
	// Reserve takes a nonce for tx and freezes its members: max(chainNonce,
	// newest known intent's nonce + 1). A live intent with the same key is
	// returned with existing = true and nothing changes. It returns
	// chains.ErrBusy when maxInFlight intents of the account are undecided or a
	// member rides in another live intent, chains.ErrStale when the fence is no
	// longer its lane's.
	Reserve(ctx context.Context, chain chains.ID, account common.Address, tx chains.Tx, chainNonce uint64, maxInFlight int) (in chains.Intent, existing bool, err error)
	// SaveAttempt adds a signed attempt to an intent, by hash, and makes a
	// reserved intent signed. It is called before the attempt is broadcast.
	SaveAttempt(ctx context.Context, in chains.Intent, a chains.Attempt) error
	// Update writes State, Block, BlockHash, TxHash, GasUsed and Abandoned;
	// attempts are left as stored. A decided intent frees its key and members
	// and never changes again.
	Update(ctx context.Context, in chains.Intent) error
	// Live lists the undecided intents, ascending by nonce. It may leave out what
	// is long: the bytes of attempts, and the data of an intent that has attempts.
	// Intent has them.
	Live(ctx context.Context, chain chains.ID, account common.Address) ([]chains.Intent, error)
	// Intent is the intent of one nonce, decided or not.
	Intent(ctx context.Context, chain chains.ID, account common.Address, nonce uint64) (chains.Intent, bool, error)
	// Replay inserts an intent with its attempts if its nonce has none.
	Replay(ctx context.Context, in chains.Intent) error
}

// Signer holds one key. SignTx must be deterministic.
type Signer interface {
	Address() common.Address
	SignTx(tx *types.Transaction, chainID *big.Int) (*types.Transaction, error)
}

// ChainClient is what a TxManager needs of a chain; *Client is one.
type ChainClient interface {
	Name() string
	ChainID() chains.ID
	Head(ctx context.Context) (chains.Block, error)
	BlockByNumber(ctx context.Context, n uint64) (chains.Block, error)
	NonceAt(ctx context.Context, account common.Address, at BlockRef) (uint64, error)
	Balance(ctx context.Context, account common.Address, at BlockRef) (*big.Int, error)
	EstimateGas(ctx context.Context, call CallArg, at BlockRef) (uint64, error)
	Fees(ctx context.Context) (Fees, error)
	SendRaw(ctx context.Context, raw []byte) error
	Receipts(ctx context.Context, hashes []common.Hash) ([]*Receipt, error)
	TransactionKnown(ctx context.Context, hash common.Hash) (known, mined bool, err error)
}

var _ ChainClient = (*Client)(nil)
