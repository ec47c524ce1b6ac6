package evm

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// header is what we keep of a block's header.
type header struct {
	chains.Block
	Bloom   types.Bloom
	BaseFee *big.Int // wei; nil where the chain has none
}

// wireHeader is a header in JSON; pointers tell absent from zero.
type wireHeader struct {
	Number    *hexutil.Uint64 `json:"number"`
	Hash      *common.Hash    `json:"hash"`
	Parent    *common.Hash    `json:"parentHash"`
	Timestamp *hexutil.Uint64 `json:"timestamp"`
	Bloom     *types.Bloom    `json:"logsBloom"`
	BaseFee   *hexutil.Big    `json:"baseFeePerGas"`
}

// decodeHeader reads a header. ok is false for null: the node has no such
// block. With check set, the hash is computed from the fields and must match.
func decodeHeader(raw json.RawMessage, check bool) (h header, ok bool, err error) {
	if len(raw) == 0 || string(raw) == "null" {
		return header{}, false, nil
	}
	var w wireHeader
	if err := json.Unmarshal(raw, &w); err != nil {
		return header{}, false, fmt.Errorf("%w: header does not decode", errBadAnswer)
	}
	if w.Number == nil || w.Hash == nil || w.Parent == nil || w.Timestamp == nil {
		return header{}, false, fmt.Errorf("%w: header lacks a field", errBadAnswer)
	}
	if uint64(*w.Number) > math.MaxInt64 || uint64(*w.Timestamp) > math.MaxInt64 || *w.Hash == (common.Hash{}) {
		return header{}, false, fmt.Errorf("%w: header is out of bounds", errBadAnswer)
	}
	h.Number, h.Hash, h.Parent, h.Time = uint64(*w.Number), *w.Hash, *w.Parent, uint64(*w.Timestamp)
	if w.Bloom != nil {
		h.Bloom = *w.Bloom
	}
	if w.BaseFee != nil {
		h.BaseFee = w.BaseFee.ToInt()
	}
	if check {
		var full types.Header
		if err := json.Unmarshal(raw, &full); err != nil {
			return header{}, false, fmt.Errorf("%w: header does not decode", errBadAnswer)
		}
		if full.Hash() != h.Hash {
			return header{}, false, fmt.Errorf("%w: header does not hash to its hash", errBadAnswer)
		}
	}
	return h, true, nil
}

// answer decodes the header that was asked for by number. A missing one is
// ClassNotYet.
func (c *Client) answer(r *request, number uint64) (header, error) {
	if r.err != nil {
		return header{}, r.err
	}
	h, ok, err := decodeHeader(r.result, c.cfg.CheckHeaders)
	if err != nil {
		return header{}, c.wrap(r.method, err)
	}
	if !ok {
		return header{}, &Error{Chain: c.cfg.Name, Method: r.method, Class: ClassNotYet,
			Message: fmt.Sprintf("no block %d", number), cause: chains.ErrUnavailable}
	}
	if h.Number != number {
		return header{}, c.wrap(r.method, fmt.Errorf("%w: block %d for %d", errBadAnswer, h.Number, number))
	}
	return h, c.plausible(h)
}

// plausible refuses blocks from the future.
func (c *Client) plausible(h header) error {
	if c.cfg.MaxAhead < 0 || time.Unix(int64(h.Time), 0).Before(time.Now().Add(c.cfg.MaxAhead)) {
		return nil
	}
	return &Error{Chain: c.cfg.Name, Method: "eth_getBlockByNumber", Class: ClassBadAnswer,
		Message: fmt.Sprintf("time of block %d lies in the future", h.Number), cause: chains.ErrUnavailable}
}

func byNumber(n uint64) *request {
	return &request{method: "eth_getBlockByNumber", args: []any{hexutil.Uint64(n), false}}
}

func byTag(tag string) *request {
	return &request{method: "eth_getBlockByNumber", args: []any{tag, false}}
}

// headers reads headers by number in one batch that also asks for the chain
// id, so that the answers provably come from this chain. Null rounds are left
// out of the map.
func (c *Client) headers(ctx context.Context, numbers []uint64) (map[uint64]header, error) {
	out := make(map[uint64]header, len(numbers))
	if c.cfg.Blocks != nil {
		blocks, err := c.cfg.Blocks(ctx, numbers)
		if err != nil {
			return nil, err
		}
		for n, b := range blocks {
			h := header{Block: b}
			if err := c.plausible(h); err != nil {
				return nil, err
			}
			out[n] = h
		}
		return out, nil
	}
	size := c.cfg.BatchSize - 1
	for start := 0; start < len(numbers); start += size {
		part := numbers[start:min(start+size, len(numbers))]
		reqs := make([]*request, 0, len(part)+1)
		for _, n := range part {
			reqs = append(reqs, byNumber(n))
		}
		if err := c.batchHere(ctx, reqs); err != nil {
			return nil, err
		}
		for i, n := range part {
			h, err := c.answer(reqs[i], n)
			if ClassOf(err) == ClassNullRound {
				continue
			}
			if err != nil {
				return nil, err
			}
			out[n] = h
		}
	}
	return out, nil
}

// batchHere is batch with a question for the chain id in the same message.
func (c *Client) batchHere(ctx context.Context, reqs []*request) error {
	id := &request{method: "eth_chainId"}
	if err := c.batchOnce(ctx, append([]*request{id}, reqs...)); err != nil {
		return err
	}
	if id.err != nil {
		return id.err
	}
	var got hexutil.Uint64
	if err := json.Unmarshal(id.result, &got); err != nil {
		return c.wrap("eth_chainId", fmt.Errorf("%w: chain id does not decode", errBadAnswer))
	}
	if chains.ID(got) != c.cfg.ChainID {
		return fmt.Errorf("%s: chain id is %d, want %d: %w", c.cfg.Name, uint64(got), c.cfg.ChainID, chains.ErrWrongChain)
	}
	return nil
}

// BlockByNumber reads one header. A height without a block yet is
// chains.ErrUnavailable, a null round is ErrNullRound.
func (c *Client) BlockByNumber(ctx context.Context, n uint64) (chains.Block, error) {
	r := byNumber(n)
	if err := c.batchHere(ctx, []*request{r}); err != nil {
		return chains.Block{}, err
	}
	h, err := c.answer(r, n)
	return h.Block, err
}

// BlocksByNumber reads many headers, as many to a request as a batch holds. It
// answers for all of them in their order, or not at all: a height without a block
// is an error, as with BlockByNumber.
func (c *Client) BlocksByNumber(ctx context.Context, numbers []uint64) ([]chains.Block, error) {
	found, err := c.headers(ctx, numbers)
	if err != nil {
		return nil, err
	}
	out := make([]chains.Block, len(numbers))
	for i, n := range numbers {
		h, ok := found[n]
		if !ok {
			return nil, fmt.Errorf("%s: block %d: %w", c.cfg.Name, n, ErrNullRound)
		}
		out[i] = h.Block
	}
	return out, nil
}

// Latest is the newest block, which may yet be reorganised away.
func (c *Client) Latest(ctx context.Context) (chains.Block, error) {
	r := byTag("latest")
	if err := c.batchHere(ctx, []*request{r}); err != nil {
		return chains.Block{}, err
	}
	h, err := c.tagged(r)
	return h.Block, err
}

// tagged decodes a header asked for by tag.
func (c *Client) tagged(r *request) (header, error) {
	if r.err != nil {
		return header{}, r.err
	}
	h, ok, err := decodeHeader(r.result, c.cfg.CheckHeaders)
	if err != nil {
		return header{}, c.wrap(r.method, err)
	}
	if !ok {
		return header{}, &Error{Chain: c.cfg.Name, Method: r.method, Class: ClassNotYet, Message: "no such block", cause: chains.ErrUnavailable}
	}
	return h, c.plausible(h)
}
