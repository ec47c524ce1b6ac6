package filecoin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/filecoin-project/lotus/chain/types"
	"github.com/filecoin-project/lotus/chain/types/ethtypes"
	"github.com/ipfs/go-cid"
)

// maxBlocks bounds the blocks of a tipset: five are expected, and more than fifteen
// have never been elected.
const maxBlocks = 64

var errTipset = errors.New("no tipset that hashes to its key")

// decodeTipset reads a tipset as Lotus' API gives it and hashes it anew: its key must
// be that of its headers, which must be of one epoch and have one set of parents.
func decodeTipset(raw json.RawMessage) (chains.Block, error) {
	fail := func(why string) (chains.Block, error) { return chains.Block{}, fmt.Errorf("%w: %s", errTipset, why) }
	var said struct {
		Cids   []cid.Cid
		Blocks []*types.BlockHeader
		Height int64
	}
	if err := json.Unmarshal(raw, &said); err != nil {
		return fail("it does not decode")
	}
	if len(said.Blocks) == 0 || len(said.Blocks) > maxBlocks || len(said.Cids) != len(said.Blocks) {
		return fail(fmt.Sprintf("%d blocks and %d keys", len(said.Blocks), len(said.Cids)))
	}
	if slices.ContainsFunc(said.Blocks, func(h *types.BlockHeader) bool { return !whole(h) }) {
		return fail("a header lacks a field")
	}
	ts, err := types.NewTipSet(said.Blocks)
	if err != nil {
		return fail("its headers do not belong together")
	}
	if !slices.EqualFunc(ts.Cids(), said.Cids, func(a, b cid.Cid) bool { return bytes.Equal(a.Bytes(), b.Bytes()) }) || int64(ts.Height()) != said.Height {
		return fail("its headers are other ones than its key says")
	}
	hash, err := hashOf(ts.Key())
	if err != nil {
		return fail(err.Error())
	}
	b := chains.Block{Number: uint64(ts.Height()), Hash: hash, Time: ts.MinTimestamp()}
	if ts.Height() > 0 {
		if b.Parent, err = hashOf(ts.Parents()); err != nil {
			return fail(err.Error())
		}
	}
	return b, nil
}

// whole says whether a header has all that hashing needs. Lotus' own hashing panics
// where a header has no encoding, such as one without a miner or with too long a
// number, so that is tried first.
func whole(h *types.BlockHeader) bool {
	if !complete(h) {
		return false
	}
	_, err := h.Serialize()
	return err == nil
}

func complete(h *types.BlockHeader) bool {
	return h != nil && h.Height >= 0 && h.Height < 1<<40 && h.Ticket != nil && h.ParentStateRoot.Defined() && h.ParentMessageReceipts.Defined() && h.Messages.Defined() &&
		len(h.Parents) <= maxBlocks && (h.Height == 0 || len(h.Parents) > 0) && !slices.ContainsFunc(h.Parents, func(c cid.Cid) bool { return !c.Defined() }) &&
		h.ParentWeight.Int != nil && h.ParentBaseFee.Int != nil
}

// hashOf is the eth_* hash of a tipset: that of its key as an object of its own.
func hashOf(key types.TipSetKey) (common.Hash, error) {
	id, err := key.Cid()
	if err != nil {
		return common.Hash{}, errors.New("its key has no CID")
	}
	hash, err := ethtypes.EthHashFromCid(id)
	if err != nil {
		return common.Hash{}, errors.New("the CID of its key is no hash of 32 bytes")
	}
	return common.Hash(hash), nil
}

// genesis is the hash of the first tipset. It is not asked for by its height, which
// lies below what a gateway looks back to.
func genesis(ctx context.Context, ask evm.Asker) (common.Hash, error) {
	var raw json.RawMessage
	if err := ask(ctx, &raw, "Filecoin.ChainGetGenesis"); err != nil {
		return common.Hash{}, err
	}
	b, err := decodeTipset(raw)
	if err == nil && b.Number != 0 {
		err = errTipset
	}
	return b.Hash, err
}

// heaviest is the empty key: the chain as the node follows it.
var heaviest = types.EmptyTSK

// blocks are the tipsets of heights, for the client below: what eth_* says of a block
// must carry the hash that its headers have. The chain's id is asked in the same
// message, so that the answers provably come from this chain.
func (c *Client) blocks(ctx context.Context, heights []uint64) (map[uint64]chains.Block, error) {
	out := make(map[uint64]chains.Block, len(heights))
	heights = known(ctx, heights, out)
	for part := range slices.Chunk(heights, tipsetBatch) {
		id := &evm.Ask{Method: "eth_chainId"}
		found, err := c.tipsets(ctx, part, id)
		if err != nil {
			return nil, err
		}
		if err := c.isHere(id); err != nil {
			return nil, err
		}
		for i, b := range found {
			if b.Number == part[i] {
				out[b.Number] = b
			}
		}
	}
	return out, nil
}

// memo are tipsets that were read a moment ago, each to be taken once: what is asked
// for a second time is asked for to see whether it is still so.
type memo struct {
	mu sync.Mutex
	at map[uint64]chains.Block
}

type memoKey struct{}

// knowing is a context in which blocks need not be read again the next time.
func knowing(ctx context.Context, blocks ...chains.Block) context.Context {
	m := &memo{at: map[uint64]chains.Block{}}
	for _, b := range blocks {
		m.at[b.Number] = b
	}
	return context.WithValue(ctx, memoKey{}, m)
}

// known takes the blocks of heights from the context and says which are left.
func known(ctx context.Context, heights []uint64, out map[uint64]chains.Block) (left []uint64) {
	m, ok := ctx.Value(memoKey{}).(*memo)
	if !ok {
		return heights
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range heights {
		if b, ok := m.at[h]; ok {
			out[h] = b
			delete(m.at, h)
		} else {
			left = append(left, h)
		}
	}
	return left
}

// tipsetBatch is how many tipsets are asked for in one message.
const tipsetBatch = 50

// isHere checks an answer about the chain's id.
func (c *Client) isHere(id *evm.Ask) error {
	if id.Err != nil {
		return id.Err
	}
	var got hexutil.Uint64
	if err := json.Unmarshal(id.Result, &got); err != nil {
		return c.unavailable("chain id: it does not decode")
	}
	if chains.ID(got) != c.cfg.ChainID {
		return fmt.Errorf("%s: chain id is %d, want %d: %w", c.cfg.Name, uint64(got), c.cfg.ChainID, chains.ErrWrongChain)
	}
	return nil
}

// tipsets reads the tipset at each height or, over null rounds, the next below, with
// other questions in the same message.
func (c *Client) tipsets(ctx context.Context, heights []uint64, with ...*evm.Ask) ([]chains.Block, error) {
	asks := make([]*evm.Ask, len(heights), len(heights)+len(with))
	for i, h := range heights {
		asks[i] = &evm.Ask{Method: "Filecoin.ChainGetTipSetByHeight", Args: []any{h, heaviest}}
	}
	if err := c.AskAll(ctx, append(asks, with...)); err != nil {
		return nil, err
	}
	out := make([]chains.Block, len(heights))
	for i, a := range asks {
		if a.Err != nil {
			return nil, a.Err
		}
		b, err := decodeTipset(a.Result)
		if err != nil {
			return nil, c.unavailable("tipset at epoch %d: %w", heights[i], err)
		}
		if b.Number > heights[i] {
			return nil, c.unavailable("the tipset at epoch %d is said to be of %d", heights[i], b.Number)
		}
		out[i] = b
	}
	return out, nil
}
