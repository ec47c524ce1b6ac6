// Package wallet is the user's side: it signs and sends what a user sends
// (deposits, withdrawals, claims) and waits for receipts. It promises to check
// what would be refused before any gas is spent, and to say what to do.
package wallet

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
)

// Account is a key on one chain. It hands out nonces itself, so nothing else
// may send from the key meanwhile.
type Account struct {
	Address common.Address

	name   string
	key    *ecdsa.PrivateKey
	client *ethclient.Client
	id     *big.Int

	mu    sync.Mutex
	nonce uint64
	known bool
	raw   map[common.Hash]*types.Transaction // sent and not yet seen in a block
}

// Chain is where an account lives.
type Chain struct {
	Name    string // "root" or the subnet's
	URL     string // never shown
	ID      chains.ID
	Genesis common.Hash // hash of block 0; zero: not asked
}

// Open connects a key to a chain and checks that it is this one: by its id and
// by its first block.
func Open(ctx context.Context, c Chain, key *ecdsa.PrivateKey) (*Account, error) {
	client, err := ethclient.DialContext(ctx, c.URL)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: the URL is not usable", c.Name)
	}
	if err := c.check(ctx, client); err != nil {
		client.Close()
		return nil, err
	}
	return &Account{Address: crypto.PubkeyToAddress(key.PublicKey), name: c.Name, key: key, client: client,
		id: new(big.Int).SetUint64(uint64(c.ID)), raw: map[common.Hash]*types.Transaction{}}, nil
}

// check asks an endpoint which chain it serves. The hash is the one it says:
// another way to make it is not ours to know.
func (c Chain) check(ctx context.Context, client *ethclient.Client) error {
	const remedy = "give the URL of the chain that the deployment was made on, or the deployment.json of this chain"
	got, err := client.ChainID(ctx)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", c.Name, chains.ErrUnavailable)
	}
	if !got.IsUint64() || got.Uint64() != uint64(c.ID) {
		return fmt.Errorf("%s answers as chain %s, expected %d: %w: %s", c.Name, got, c.ID, chains.ErrWrongChain, remedy)
	}
	if c.Genesis == (common.Hash{}) {
		return nil
	}
	var first struct {
		Hash common.Hash `json:"hash"`
	}
	if err := client.Client().CallContext(ctx, &first, "eth_getBlockByNumber", "0x0", false); err != nil {
		return fmt.Errorf("read the first block of %s: %w", c.Name, chains.ErrUnavailable)
	}
	if first.Hash != c.Genesis {
		return fmt.Errorf("%s answers as a chain %d that begins with block %s, expected %s: %w: %s", c.Name, c.ID, first.Hash, c.Genesis, chains.ErrWrongChain, remedy)
	}
	return nil
}

// Close ends the connection.
func (a *Account) Close() { a.client.Close() }

// Client is the connection, for reads.
func (a *Account) Client() *ethclient.Client { return a.client }

// Send signs and broadcasts one call. The estimate is the simulation: what
// would revert costs nothing. An error with a hash says that the endpoint gave
// no good answer to the broadcast: the transaction may be mined or not.
func (a *Account) Send(ctx context.Context, to common.Address, data []byte, value *big.Int) (common.Hash, error) {
	if value == nil {
		value = new(big.Int)
	}
	gas, err := a.client.EstimateGas(ctx, ethereum.CallMsg{From: a.Address, To: &to, Data: data, Value: value})
	if err != nil {
		return common.Hash{}, a.refused(err)
	}
	head, err := a.client.HeaderByNumber(ctx, nil)
	if err != nil {
		return common.Hash{}, fmt.Errorf("read head of %s: %w", a.name, err)
	}
	tip, err := a.client.SuggestGasTipCap(ctx)
	if err != nil {
		return common.Hash{}, fmt.Errorf("read tip of %s: %w", a.name, err)
	}
	feeCap := new(big.Int).Add(tip, new(big.Int).Mul(head.BaseFee, big.NewInt(2)))

	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.known {
		if a.nonce, err = a.client.PendingNonceAt(ctx, a.Address); err != nil {
			return common.Hash{}, fmt.Errorf("read nonce on %s: %w", a.name, err)
		}
		a.known = true
	}
	// Half as much again: the first message of a checkpoint period opens storage
	// that those after it find open, and the period may turn before this is in a
	// block.
	tx, err := types.SignNewTx(a.key, types.LatestSignerForChainID(a.id), &types.DynamicFeeTx{
		ChainID: a.id, Nonce: a.nonce, GasTipCap: tip, GasFeeCap: feeCap, Gas: gas + gas/2, To: &to, Value: value, Data: data,
	})
	if err != nil {
		return common.Hash{}, fmt.Errorf("sign: %w", err)
	}
	if err := a.client.SendTransaction(ctx, tx); err != nil {
		a.known = false
		return tx.Hash(), fmt.Errorf("send to %s: %w", a.name, err)
	}
	a.nonce++
	a.raw[tx.Hash()] = tx
	return tx.Hash(), nil
}

// again broadcasts a transaction once more: a node that was killed forgets
// what was not yet in a block. The same bytes cannot be mined twice.
func (a *Account) again(ctx context.Context, hash common.Hash) {
	a.mu.Lock()
	tx := a.raw[hash]
	a.mu.Unlock()
	if tx != nil {
		_ = a.client.SendTransaction(ctx, tx) // "already known" is the usual answer
	}
}

func (a *Account) mined(hash common.Hash) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.raw, hash)
}

// resendAfter is how long a transaction may be missing before it is sent again.
const resendAfter = 3 * time.Second

// Wait returns the receipt once the transaction is in a block; a reverted one
// is an error.
func (a *Account) Wait(ctx context.Context, tx common.Hash) (*types.Receipt, error) {
	sent := time.Now()
	for {
		// An endpoint that is away for a moment is waited for; the context bounds
		// the wait.
		r, err := a.client.TransactionReceipt(ctx, tx)
		if err == nil {
			a.mined(tx)
			if r.Status != types.ReceiptStatusSuccessful {
				return r, fmt.Errorf("transaction %s on %s: %w", tx, a.name, chains.ErrReverted)
			}
			return r, nil
		}
		if time.Since(sent) > resendAfter {
			a.again(ctx, tx)
			sent = time.Now()
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for %s on %s: %w", tx, a.name, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// refused names a revert by the contracts' own error where it has one.
func (a *Account) refused(err error) error {
	var data interface{ ErrorData() any }
	if errors.As(err, &data) {
		if text, ok := data.ErrorData().(string); ok {
			raw := common.FromHex(text)
			if name := errorName(raw); name != "" {
				return fmt.Errorf("the contract on %s refuses it: %w", a.name, &chains.RevertError{Reason: name, Data: raw})
			}
		}
	}
	var answer interface{ ErrorCode() int }
	if !errors.As(err, &answer) {
		return fmt.Errorf("ask %s: %w", a.name, chains.ErrUnavailable) // the text of a network error has the URL in it
	}
	return fmt.Errorf("the call on %s would fail: %w", a.name, err)
}
