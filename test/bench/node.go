package main

import (
	"context"
	"crypto/ecdsa"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rpc"
)

// Node is what the subnet's node bears by itself: native transfers of many
// senders.
type Node struct {
	Conditions string `json:"conditions"`
	Senders    int    `json:"senders"`
	Blocks     int    `json:"blocks"`
	Transfers  int    `json:"transfers"`
	// PerSecond counts what is in the blocks behind the first full one, over the
	// time from the announcement of the first to that of the last.
	PerSecond    float64    `json:"transfers_per_second"`
	MeanInterval float64    `json:"mean_block_interval_seconds"`
	Intervals    Dist       `json:"block_interval"`
	FullestBlock int        `json:"transfers_in_the_fullest_block"`
	IdleInterval float64    `json:"mean_block_interval_before_seconds"` // over as many blocks without them
	Load         [2]float64 `json:"load_1m"`
}

const nodeConditions = "the subnet's node of the shared devnet, one validator, blocks of 60 M gas paced to a second: at most 2,857 transfers of 21,000 gas fit into one; " +
	"signed ahead, sent over JSON-RPC in batches of 100 by this process, which keeps up to %d of them in the pool"

const (
	nodeSenders = 64
	inPool      = 8000 // half of what the node's pool holds
	perBlock    = 2857
	nativeGas   = 21_000
)

func measureNode(ctx context.Context, r *rig, s size) (*Node, error) {
	n := &Node{Conditions: fmt.Sprintf(nodeConditions, inPool), Senders: nodeSenders, Load: [2]float64{load()}}
	if err := r.settle(ctx, time.Minute); err != nil {
		return nil, err
	}
	keys, err := r.fundSenders(ctx)
	if err != nil {
		return nil, fmt.Errorf("fund senders: %w", err)
	}
	seconds := int(s.node / time.Second)
	r.say("node: signing %d transfers of %d senders", (seconds+4)*perBlock, nodeSenders)
	raw, err := r.signNative(ctx, keys, (seconds+4)*perBlock)
	if err != nil {
		return nil, err
	}
	first, err := r.subnet.eth.BlockNumber(ctx)
	if err != nil {
		return nil, fmt.Errorf("read head: %w", err)
	}
	before := r.subnet.intervals(first-min(first, uint64(seconds)), first)
	if len(before) > 0 {
		n.IdleInterval = round(mean(before).Seconds(), 3)
	}
	r.say("node: sending them for %s", s.node)
	if err := r.flood(ctx, raw, first, s.node); err != nil {
		return nil, err
	}
	last, err := r.subnet.eth.BlockNumber(ctx)
	if err != nil {
		return nil, fmt.Errorf("read head: %w", err)
	}
	return n, r.countNative(ctx, n, first+1, last)
}

// fundSenders gives each of many new keys some coin.
func (r *rig) fundSenders(ctx context.Context) ([]*ecdsa.PrivateKey, error) {
	keys, calls := make([]*ecdsa.PrivateKey, nodeSenders), make([]call, nodeSenders)
	for i := range keys {
		var err error
		if keys[i], err = crypto.GenerateKey(); err != nil {
			return nil, err
		}
		calls[i] = call{crypto.PubkeyToAddress(keys[i].PublicKey), nil, new(big.Int).Mul(big.NewInt(20), oneFLT)}
	}
	_, txs, err := r.subnet.send(ctx, calls)
	if err != nil {
		return nil, err
	}
	return keys, r.mined(ctx, r.subnet, txs)
}

// signNative makes raw transfers, the senders in turn.
func (r *rig) signNative(ctx context.Context, keys []*ecdsa.PrivateKey, n int) ([]string, error) {
	head, err := r.subnet.eth.HeaderByNumber(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("read head: %w", err)
	}
	tip := big.NewInt(1_000_000_000)
	feeCap := new(big.Int).Add(tip, new(big.Int).Mul(head.BaseFee, big.NewInt(feeRoom)))
	signer, to := types.LatestSignerForChainID(r.subnet.chainID), r.nobody()
	raw := make([]string, n)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for k := range keys {
		wg.Go(func() {
			for i := k; i < n; i += len(keys) {
				tx, failed := types.SignNewTx(keys[k], signer, &types.DynamicFeeTx{
					ChainID: r.subnet.chainID, Nonce: uint64(i / len(keys)), GasTipCap: tip, GasFeeCap: feeCap, Gas: nativeGas, To: &to, Value: big.NewInt(1),
				})
				var bytes []byte
				if failed == nil {
					bytes, failed = tx.MarshalBinary()
				}
				if failed != nil {
					mu.Lock()
					err = failed
					mu.Unlock()
					return
				}
				raw[i] = hexutil.Encode(bytes)
			}
		})
	}
	wg.Wait()
	return raw, err
}

// leastBlocks with transfers make a figure; a busy machine takes longer for them.
const leastBlocks = 5

// flood keeps the pool filled for a while.
func (r *rig) flood(ctx context.Context, raw []string, first uint64, length time.Duration) error {
	seen, taken, offered, blocks := first, 0, 0, 0
	for began := time.Now(); (time.Since(began) < length || blocks < leastBlocks) && offered < len(raw); {
		head, err := r.subnet.eth.BlockNumber(ctx)
		if err != nil {
			return fmt.Errorf("read head: %w", err)
		}
		counts, err := r.counts(ctx, seen+1, head)
		if err != nil {
			return err
		}
		for _, n := range counts {
			taken += n
			blocks += min(n, 1)
		}
		seen = head
		if offered-taken >= inPool {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(20 * time.Millisecond):
			}
			continue
		}
		to := min(offered+chunk, len(raw))
		batch := make([]rpc.BatchElem, to-offered)
		for i := range batch {
			batch[i] = rpc.BatchElem{Method: "eth_sendRawTransaction", Args: []any{raw[offered+i]}, Result: new(common.Hash)}
		}
		if err := r.subnet.eth.Client().BatchCallContext(ctx, batch); err != nil {
			return fmt.Errorf("broadcast: %w", err)
		}
		for _, e := range batch {
			if e.Error != nil {
				return fmt.Errorf("broadcast: %w", e.Error)
			}
		}
		offered = to
	}
	return nil
}

// counts are the transactions of blocks.
func (r *rig) counts(ctx context.Context, from, to uint64) ([]int, error) {
	if to < from {
		return nil, nil
	}
	batch := make([]rpc.BatchElem, to-from+1)
	got := make([]hexutil.Uint, len(batch))
	for i := range batch {
		batch[i] = rpc.BatchElem{Method: "eth_getBlockTransactionCountByNumber", Args: []any{hexutil.Uint64(from + uint64(i))}, Result: &got[i]}
	}
	if err := r.subnet.eth.Client().BatchCallContext(ctx, batch); err != nil {
		return nil, fmt.Errorf("count transactions: %w", err)
	}
	out := make([]int, len(got))
	for i, e := range batch {
		if e.Error != nil {
			return nil, fmt.Errorf("count transactions of block %d: %w", from+uint64(i), e.Error)
		}
		out[i] = int(got[i])
	}
	return out, nil
}

// countNative fills in what the blocks say.
func (r *rig) countNative(ctx context.Context, n *Node, from, to uint64) error {
	counts, err := r.counts(ctx, from, to)
	if err != nil {
		return err
	}
	// The first that has any is only partly full.
	for len(counts) > 0 && counts[0] < nodeSenders {
		counts, from = counts[1:], from+1
	}
	if len(counts) < 3 {
		return fmt.Errorf("%d blocks with transfers are too few to tell", len(counts))
	}
	for _, c := range counts[1:] {
		n.Transfers += c
		n.FullestBlock = max(n.FullestBlock, c)
	}
	between := r.subnet.intervals(from, to)
	if len(between) != len(counts)-1 {
		return fmt.Errorf("%d of %d blocks were announced", len(between)+1, len(counts))
	}
	n.Blocks = len(between)
	average := mean(between)
	n.MeanInterval, n.Intervals = round(average.Seconds(), 3), distOf(between)
	n.PerSecond = round(float64(n.Transfers)/(average.Seconds()*float64(n.Blocks)), 1)
	n.Load[1] = load()
	r.say("node: %.0f transfers/s in %d blocks of %.2f s", n.PerSecond, n.Blocks, n.MeanInterval)
	return nil
}

// intervals are the times between the announcements of two blocks each.
func (o *observer) intervals(from, to uint64) (out []time.Duration) {
	for n := from + 1; n <= to; n++ {
		before, ok1 := o.headAt(n - 1)
		at, ok2 := o.headAt(n)
		if ok1 && ok2 {
			out = append(out, at.Sub(before))
		}
	}
	return out
}

func mean(d []time.Duration) (sum time.Duration) {
	for _, one := range d {
		sum += one
	}
	return sum / time.Duration(max(len(d), 1))
}

// rootID is a subnet's id as the bindings take it.
func rootID(id ipc.SubnetID) bindings.SubnetID {
	return bindings.SubnetID{Root: id.Root, Route: id.Route}
}
