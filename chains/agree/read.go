package agree

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// tag tells two questions apart that are about the same block.
func tag(of ...any) string {
	raw, err := json.Marshal(of)
	if err != nil {
		return fmt.Sprint("[BUG] ", err)
	}
	return hex.EncodeToString(crypto.Keccak256(raw)[:4])
}

// state asks for something of a block's state: K must agree where the block is
// pinned, one that does well says it where it is not. The finalized block is the
// one that K agreed on.
func state[T any](ctx context.Context, c *Client, q question[T], at evm.BlockRef, do func(context.Context, evm.Reader, evm.BlockRef) (T, error)) (none T, err error) {
	if at == evm.AtFinalized {
		head, err := c.Head(ctx)
		if err != nil {
			return none, err
		}
		at = evm.AtHash(head.Hash)
	}
	height, pinned := at.Pinned()
	if !pinned {
		return first(ctx, c, func(ctx context.Context, r evm.Reader) (T, error) { return do(ctx, r, at) })
	}
	q.what, q.height = q.what+" at "+at.String(), height
	q.do = func(ctx context.Context, e *endpoint) (T, error) { return do(ctx, e.reader, at) }
	q.again = func(ctx context.Context) {
		before, _ := c.told(q.what)
		_, _ = ask(ctx, c, q)
		// Nodes forget old states: then the newest one is asked about.
		if after, there := c.told(q.what); there && after == before {
			now := q
			now.do = func(ctx context.Context, e *endpoint) (T, error) {
				return do(ctx, e.reader, evm.AtHash(c.final().Hash))
			}
			_, _ = ask(ctx, c, now)
		}
	}
	return ask(ctx, c, q)
}

func tellHex(b []byte) string {
	if len(b) > 68 {
		return fmt.Sprintf("%d bytes, hash %s", len(b), crypto.Keccak256Hash(b))
	}
	return "0x" + hex.EncodeToString(b)
}

// Call reads a contract.
func (c *Client) Call(ctx context.Context, to common.Address, data []byte, at evm.BlockRef) ([]byte, error) {
	q := question[[]byte]{what: fmt.Sprintf("call of %s (%s)", to, tag(data)), same: bytes.Equal, tell: tellHex}
	return state(ctx, c, q, at, func(ctx context.Context, r evm.Reader, at evm.BlockRef) ([]byte, error) {
		return r.Call(ctx, to, data, at)
	})
}

// BatchCall reads many calls at one block; K must agree on all of them.
func (c *Client) BatchCall(ctx context.Context, calls []evm.CallArg, at evm.BlockRef) ([]evm.CallResult, error) {
	q := question[[]evm.CallResult]{what: fmt.Sprintf("%d calls (%s)", len(calls), tag(calls)), same: sameResults, part: partResults, lacks: lacksResult}
	return state(ctx, c, q, at, func(ctx context.Context, r evm.Reader, at evm.BlockRef) ([]evm.CallResult, error) {
		return r.BatchCall(ctx, calls, at)
	})
}

func lacksResult(results []evm.CallResult) bool {
	return slices.ContainsFunc(results, func(r evm.CallResult) bool { return errors.Is(r.Err, chains.ErrUnavailable) })
}

func sameResult(a, b evm.CallResult) bool {
	if a.Err != nil || b.Err != nil {
		return a.Err != nil && b.Err != nil && sameError(a.Err, b.Err) && evm.ClassOf(a.Err) == evm.ClassOf(b.Err)
	}
	return bytes.Equal(a.Data, b.Data)
}

func sameResults(a, b []evm.CallResult) bool { return slices.EqualFunc(a, b, sameResult) }

func partResults(a, b []evm.CallResult) string {
	for i := range min(len(a), len(b)) {
		if !sameResult(a[i], b[i]) {
			if a[i].Err != nil {
				return fmt.Sprintf("call %d: %v", i+1, a[i].Err)
			}
			return fmt.Sprintf("call %d: %s", i+1, tellHex(a[i].Data))
		}
	}
	return fmt.Sprintf("%d results", len(a))
}

// CodeAt is the code of an account.
func (c *Client) CodeAt(ctx context.Context, account common.Address, at evm.BlockRef) ([]byte, error) {
	q := question[[]byte]{what: "code of " + account.Hex(), same: bytes.Equal, tell: tellHex}
	return state(ctx, c, q, at, func(ctx context.Context, r evm.Reader, at evm.BlockRef) ([]byte, error) {
		return r.CodeAt(ctx, account, at)
	})
}

// StorageAt is one word of an account's storage.
func (c *Client) StorageAt(ctx context.Context, account common.Address, slot common.Hash, at evm.BlockRef) (common.Hash, error) {
	q := question[common.Hash]{what: fmt.Sprintf("storage %s of %s", slot, account), same: equal[common.Hash], tell: common.Hash.Hex}
	return state(ctx, c, q, at, func(ctx context.Context, r evm.Reader, at evm.BlockRef) (common.Hash, error) {
		return r.StorageAt(ctx, account, slot, at)
	})
}

// Balance is an account's balance in wei.
func (c *Client) Balance(ctx context.Context, account common.Address, at evm.BlockRef) (*big.Int, error) {
	q := question[*big.Int]{what: "balance of " + account.Hex(), same: func(a, b *big.Int) bool { return a.Cmp(b) == 0 }, tell: (*big.Int).String}
	return state(ctx, c, q, at, func(ctx context.Context, r evm.Reader, at evm.BlockRef) (*big.Int, error) {
		return r.Balance(ctx, account, at)
	})
}

// NonceAt is the number of transactions an account has sent.
func (c *Client) NonceAt(ctx context.Context, account common.Address, at evm.BlockRef) (uint64, error) {
	q := question[uint64]{what: "nonce of " + account.Hex(), same: equal[uint64], tell: func(n uint64) string { return fmt.Sprint(n) }}
	return state(ctx, c, q, at, func(ctx context.Context, r evm.Reader, at evm.BlockRef) (uint64, error) {
		return r.NonceAt(ctx, account, at)
	})
}

func equal[T comparable](a, b T) bool { return a == b }

// Logs are those of a range as K tell them where it is final; above that, one's
// word: enough to leave something undone, never to do it.
func (c *Client) Logs(ctx context.Context, f chains.Filter, from, to uint64) ([]chains.Event, error) {
	if to > c.final().Number {
		return first(ctx, c, func(ctx context.Context, r evm.Reader) ([]chains.Event, error) { return r.Logs(ctx, f, from, to) })
	}
	return ask(ctx, c, question[[]chains.Event]{
		what: fmt.Sprintf("logs of %d to %d (%s)", from, to, tag(f)), height: to,
		do:   func(ctx context.Context, e *endpoint) ([]chains.Event, error) { return e.reader.Logs(ctx, f, from, to) },
		same: func(a, b []chains.Event) bool { return slices.EqualFunc(a, b, sameEvent) },
		part: func(a, b []chains.Event) string { return partEvents(reading{events: a}, reading{events: b}) },
	})
}

// TransactionEvents are all events of a transaction, as K tell them.
func (c *Client) TransactionEvents(ctx context.Context, tx common.Hash) ([]chains.Event, error) {
	return ask(ctx, c, question[[]chains.Event]{
		what: "events of transaction " + tx.Hex(),
		based: func(events []chains.Event) uint64 {
			if len(events) == 0 {
				return 0
			}
			return events[0].Block
		},
		do: func(ctx context.Context, e *endpoint) ([]chains.Event, error) {
			return e.reader.TransactionEvents(ctx, tx)
		},
		same: func(a, b []chains.Event) bool { return slices.EqualFunc(a, b, sameEvent) },
		part: func(a, b []chains.Event) string { return partEvents(reading{events: a}, reading{events: b}) },
	})
}

// Latest is the newest block of one that does well.
func (c *Client) Latest(ctx context.Context) (chains.Block, error) {
	return first(ctx, c, func(ctx context.Context, r evm.Reader) (chains.Block, error) { return r.Latest(ctx) })
}

// EstimateGas simulates a call at one that does well.
func (c *Client) EstimateGas(ctx context.Context, call evm.CallArg, at evm.BlockRef) (uint64, error) {
	return first(ctx, c, func(ctx context.Context, r evm.Reader) (uint64, error) { return r.EstimateGas(ctx, call, at) })
}

// Fees is what one that does well says the chain charges.
func (c *Client) Fees(ctx context.Context) (evm.Fees, error) {
	return first(ctx, c, func(ctx context.Context, r evm.Reader) (evm.Fees, error) { return r.Fees(ctx) })
}

// RPC is one request to one that does well, believed as it stands.
func (c *Client) RPC(ctx context.Context, result any, method string, args ...any) error {
	_, err := first(ctx, c, func(ctx context.Context, r evm.Reader) (struct{}, error) {
		return struct{}{}, r.RPC(ctx, result, method, args...)
	})
	return err
}
