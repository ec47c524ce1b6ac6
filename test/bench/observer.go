package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/ethclient/gethclient"
	"github.com/ethereum/go-ethereum/rpc"
)

// observer notes on one clock when a node announces a head and when a
// transaction enters its pool.
type observer struct {
	client *rpc.Client
	done   sync.WaitGroup

	mu    sync.Mutex
	heads map[uint64]time.Time
	pool  map[common.Hash]time.Time
	moved chan struct{} // closed and replaced at each head
	last  uint64
	err   error
}

func observe(ctx context.Context, ws string) (*observer, error) {
	client, err := rpc.DialContext(ctx, ws)
	if err != nil {
		return nil, errors.New("connect to a chain's WebSocket: the URL is not usable")
	}
	o := &observer{client: client, heads: map[uint64]time.Time{}, pool: map[common.Hash]time.Time{}, moved: make(chan struct{})}
	heads := make(chan struct {
		Number hexutil.Uint64 `json:"number"`
	}, 1024)
	headSub, err := client.EthSubscribe(ctx, heads, "newHeads")
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("subscribe to heads: %w", err)
	}
	hashes := make(chan common.Hash, 8192)
	poolSub, err := gethclient.New(client).SubscribePendingTransactions(ctx, hashes)
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("subscribe to the pool: %w", err)
	}
	o.done.Go(func() {
		for {
			select {
			case h := <-heads:
				o.head(uint64(h.Number))
			case err := <-headSub.Err():
				o.fail(err)
				return
			}
		}
	})
	o.done.Go(func() {
		for {
			select {
			case h := <-hashes:
				o.entered(h)
			case err := <-poolSub.Err():
				o.fail(err)
				return
			}
		}
	})
	return o, nil
}

func (o *observer) close() {
	o.client.Close()
	o.done.Wait()
}

func (o *observer) head(n uint64) {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, seen := o.heads[n]; !seen {
		o.heads[n] = now
	}
	o.last = max(o.last, n)
	close(o.moved)
	o.moved = make(chan struct{})
}

func (o *observer) entered(h common.Hash) {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, seen := o.pool[h]; !seen {
		o.pool[h] = now
	}
}

func (o *observer) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = errors.Join(o.err, err)
}

// headAt is when a height was announced.
func (o *observer) headAt(n uint64) (time.Time, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at, ok := o.heads[n]
	return at, ok
}

// poolAt is when a transaction entered the pool.
func (o *observer) poolAt(h common.Hash) (time.Time, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at, ok := o.pool[h]
	return at, ok
}

// until waits for a new head that fits.
func (o *observer) until(ctx context.Context, fits func(uint64) bool) error {
	o.mu.Lock()
	moved := o.moved
	o.mu.Unlock()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		case <-time.After(time.Minute):
			return errors.New("no new block for a minute")
		}
		o.mu.Lock()
		last, next, err := o.last, o.moved, o.err
		o.mu.Unlock()
		if err != nil {
			return fmt.Errorf("subscription ended: %w", err)
		}
		if fits(last) {
			return nil
		}
		moved = next
	}
}

// failed says that a subscription ended: times after it are missing.
func (o *observer) failed() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
