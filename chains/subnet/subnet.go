// Package subnet is a subnet as a client sees it: its final blocks and events,
// its gateway, the signatures its validators have pooled, and its actor and
// gateway on the root. It promises to call a block final only after the Commit
// that made it has returned, and to call a bundle complete only when the
// root's own set accepts its weight.
package subnet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync/atomic"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// ErrNoQuorum says that validators have not signed enough yet.
var ErrNoQuorum = errors.New("no quorum yet")

// Config names the contracts of one subnet inside it.
type Config struct {
	Gateway common.Address
	Outbox  common.Address
	Period  uint64 // blocks between checkpoints
	// DueTopic is the first topic of the event added at each checkpoint height.
	DueTopic common.Hash
	// Caps are what Probe found. The zero value is a gateway of our own whose
	// bundles come from its node.
	Caps Capabilities
}

// Client reads one subnet through one endpoint.
type Client struct {
	evm.Reader
	cfg  Config
	gw   abi.ABI
	ours atomic.Bool // the endpoint has answered as one of our nodes
}

// New wraps a client of the subnet's endpoint.
func New(client evm.Reader, cfg Config) (*Client, error) {
	if cfg.Period == 0 || cfg.Gateway == (common.Address{}) {
		return nil, errors.New("subnet: gateway and period are required")
	}
	gw, err := parse(&bindings.SubnetGatewayMetaData)
	if err != nil {
		return nil, err
	}
	return &Client{Reader: client, cfg: cfg, gw: gw}, nil
}

func parse(m *bind.MetaData) (abi.ABI, error) {
	parsed, err := m.ParseABI()
	if err != nil {
		return abi.ABI{}, fmt.Errorf("[BUG] parse ABI of %s: %w", m.ID, err)
	}
	return *parsed, nil
}

// Head is the last block whose Commit returned (PROTOCOL 54). A node of another
// make does not say; there its own finalized tag counts.
func (c *Client) Head(ctx context.Context) (chains.Block, error) {
	tagged, err := c.Reader.Head(ctx)
	if err != nil {
		return chains.Block{}, err
	}
	status, err := c.Status(ctx)
	switch {
	case errors.Is(err, ErrForeignNode) && !c.ours.Load():
		return tagged, nil
	case errors.Is(err, ErrForeignNode):
		// A node of ours does not become another make: something answers for it.
		return chains.Block{}, fmt.Errorf("%w: %w", err, chains.ErrUnavailable)
	case err != nil:
		return chains.Block{}, err
	}
	c.ours.Store(true)
	if status.Height >= tagged.Number {
		return tagged, nil
	}
	return c.BlockByNumber(ctx, status.Height)
}

// Events adds to the chain's own events one at each checkpoint height: the
// checkpoint is due whether or not a contract says so. Its log index is behind
// every real one.
func (c *Client) Events(ctx context.Context, q chains.Query) (chains.Block, []chains.Event, error) {
	last, events, err := c.logs(ctx, q)
	if err != nil || !slices.Contains(q.Filter.Topics, c.cfg.DueTopic) {
		return last, events, err
	}
	// The headers of all but the last, which is at hand, in few requests: a chain
	// that is caught up with has a hundred of them in each range.
	var heights []uint64
	period := c.cfg.Period
	for h := max(q.From.Next, 1) + (period-max(q.From.Next, 1)%period)%period; h <= last.Number; h += period {
		heights = append(heights, h)
	}
	inside := heights
	if n := len(heights); n > 0 && heights[n-1] == last.Number {
		inside = heights[:n-1]
	}
	blocks, err := c.BlocksByNumber(ctx, inside)
	if err != nil {
		return chains.Block{}, nil, fmt.Errorf("read checkpoint blocks: %w", err)
	}
	if len(inside) < len(heights) {
		blocks = append(blocks, last)
	}
	for _, b := range blocks {
		events = append(events, c.due(b))
	}
	slices.SortStableFunc(events, func(a, b chains.Event) int {
		if a.Block != b.Block {
			return int(int64(a.Block) - int64(b.Block))
		}
		return int(int64(a.Index) - int64(b.Index))
	})
	return last, events, nil
}

// dueIndex is the log index of an added event.
const dueIndex = 1 << 30

func (c *Client) due(b chains.Block) chains.Event {
	var data common.Hash
	binary.BigEndian.PutUint64(data[24:], b.Number)
	return chains.Event{
		Chain: c.ChainID(), Block: b.Number, BlockHash: b.Hash, BlockTime: b.Time,
		Index: dueIndex, Address: c.cfg.Gateway, Topics: []common.Hash{c.cfg.DueTopic}, Data: data[:],
	}
}

// Applied is how far a queue of the root has been applied: for messages the
// next nonce, for power changes the highest number, and the rolling hash. Where
// nodes apply messages by themselves there is no hash.
func (c *Client) Applied(ctx context.Context, queue Queue, at evm.BlockRef) (uint64, common.Hash, error) {
	if queue == Messages && c.cfg.Caps.implicit() {
		var nonce uint64
		err := read(ctx, c.Reader, c.cfg.Gateway, c.gw, at, "appliedTopDownNonce", &nonce)
		return nonce, common.Hash{}, err
	}
	var out struct {
		Nonce uint64
		Hash  [32]byte
	}
	if err := read(ctx, c.Reader, c.cfg.Gateway, c.gw, at, queue.applied, &out.Nonce, &out.Hash); err != nil {
		return 0, common.Hash{}, err
	}
	return out.Nonce, out.Hash, nil
}

// CommittedAt is the lowest committed pair at or above a nonce; 0 if none.
func (c *Client) CommittedAt(ctx context.Context, queue Queue, nonce uint64, at evm.BlockRef) (uint64, common.Hash, error) {
	var pair uint64
	var hash [32]byte
	if err := readArgs(ctx, c.Reader, c.cfg.Gateway, c.gw, at, queue.committed, []any{nonce}, &pair, &hash); err != nil {
		return 0, common.Hash{}, err
	}
	return pair, hash, nil
}

// Queue is one of the two ordered queues from the root.
type Queue struct{ applied, committed, deliver string }

// The two queues.
var (
	Messages     = Queue{"appliedTopDown", "committedTopDownAt", "deliver"}
	PowerChanges = Queue{"appliedPowerChanges", "committedPowerChangesAt", "deliverPowerChanges"}
)

// DeliverCalldata is the call that applies bodies (encoded envelopes or power
// changes) of a queue, proven with the tail hashes.
func (c *Client) DeliverCalldata(queue Queue, bodies [][]byte, tail []common.Hash) ([]byte, error) {
	hashes := make([][32]byte, len(tail))
	for i, h := range tail {
		hashes[i] = h
	}
	if queue == Messages {
		msgs := make([]ipc.IpcEnvelope, len(bodies))
		for i, b := range bodies {
			m, err := ipc.DecodeEnvelope(b)
			if err != nil {
				return nil, fmt.Errorf("[BUG] stored envelope: %w", err)
			}
			msgs[i] = m
		}
		return c.gw.Pack(queue.deliver, msgs, hashes)
	}
	changes := make([]ipc.PowerChangeRequest, len(bodies))
	for i, b := range bodies {
		m, err := ipc.DecodePowerChange(b)
		if err != nil {
			return nil, fmt.Errorf("[BUG] stored power change: %w", err)
		}
		changes[i] = m
	}
	return c.gw.Pack(queue.deliver, changes, hashes)
}

// LatestStatement is the parent height of the newest statement applied.
func (c *Client) LatestStatement(ctx context.Context, at evm.BlockRef) (uint64, error) {
	var s ipc.ParentFinality
	if err := read(ctx, c.Reader, c.cfg.Gateway, c.gw, at, "latestParentFinality", &s); err != nil {
		return 0, err
	}
	return s.ParentHeight, nil
}

// Recovered is the number of the newest recovery applied, 0 if none.
func (c *Client) Recovered(ctx context.Context, at evm.BlockRef) (uint64, error) {
	var n uint64
	err := read(ctx, c.Reader, c.cfg.Gateway, c.gw, at, "parentRecovery", &n)
	return n, err
}

// RecoverCalldata is the call of commitParentRecovery.
func (c *Client) RecoverCalldata(s SignedRecovery) ([]byte, error) {
	return c.gw.Pack("commitParentRecovery", s.Recovery, s.Signatories, s.Signatures)
}

// Configuration is the newest configuration applied.
func (c *Client) Configuration(ctx context.Context, at evm.BlockRef) (uint64, error) {
	var n uint64
	err := read(ctx, c.Reader, c.cfg.Gateway, c.gw, at, "appliedConfigurationNumber", &n)
	return n, err
}

// ExitFee is what a withdrawal pays besides its amount, in wei: nothing where
// the gateway knows no such fee.
func (c *Client) ExitFee(ctx context.Context) (*big.Int, error) {
	fee := new(big.Int)
	if c.cfg.Caps.published() && !c.cfg.Caps.ExitFee {
		return fee, nil
	}
	err := read(ctx, c.Reader, c.cfg.Gateway, c.gw, evm.AtLatest, "exitFee", &fee)
	return fee, err
}

// Batch reads the messages of an epoch, by nonce. The caller proves them
// against the root that validators signed.
func (c *Client) Batch(ctx context.Context, epoch uint64) ([]ipc.IpcEnvelope, error) {
	if epoch < c.cfg.Period || epoch%c.cfg.Period != 0 {
		return nil, fmt.Errorf("%d is no epoch", epoch)
	}
	if c.cfg.Caps.Batches {
		return c.recorded(ctx, epoch)
	}
	topic := crypto.Keccak256Hash([]byte(c.gw.Events["BottomUpMessage"].Sig))
	var msgs []ipc.IpcEnvelope
	cur := chains.Cursor{Chain: c.ChainID(), Next: epoch - c.cfg.Period}
	for cur.Next < epoch {
		last, events, err := c.Reader.Events(ctx, chains.Query{
			From: cur, To: epoch - 1, Counted: true, // the root that was signed counts them
			Filter: chains.Filter{Addresses: []common.Address{c.cfg.Gateway}, Topics: []common.Hash{topic}},
		})
		if err != nil {
			return nil, fmt.Errorf("read batch %d: %w", epoch, err)
		}
		for _, e := range events {
			m, err := ipc.DecodeEnvelope(e.Data)
			if err != nil {
				return nil, fmt.Errorf("read batch %d: %w", epoch, err)
			}
			msgs = append(msgs, m)
		}
		if last.Number < cur.Next || last.Number >= epoch {
			return nil, fmt.Errorf("read batch %d: answered up to %d from %d: %w", epoch, last.Number, cur.Next, chains.ErrUnavailable)
		}
		cur = chains.Cursor{Chain: c.ChainID(), Next: last.Number + 1, Parent: last.Hash}
	}
	slices.SortFunc(msgs, func(a, b ipc.IpcEnvelope) int { return int(int64(a.LocalNonce) - int64(b.LocalNonce)) })
	return msgs, nil
}

// ConfigureCalldata is the call that switches the gateway's set on the evidence
// of a checkpoint.
func (c *Client) ConfigureCalldata(cp ipc.BottomUpCheckpoint, signatories []common.Address, signatures [][]byte) ([]byte, error) {
	return c.gw.Pack("applyConfiguration", cp, signatories, signatures)
}

// CommitCalldata is the call that puts a statement on the gateway.
func (c *Client) CommitCalldata(s SignedStatement) ([]byte, error) {
	return c.gw.Pack("commitParentFinality", s.Statement, s.Signatories, s.Signatures)
}

// caller is one endpoint's eth_call.
type caller interface {
	Call(ctx context.Context, to common.Address, data []byte, at evm.BlockRef) ([]byte, error)
}

func read(ctx context.Context, c caller, to common.Address, a abi.ABI, at evm.BlockRef, method string, out ...any) error {
	return readArgs(ctx, c, to, a, at, method, nil, out...)
}

// readArgs calls a view and unpacks its results into pointers, in order.
func readArgs(ctx context.Context, c caller, to common.Address, a abi.ABI, at evm.BlockRef, method string, args []any, out ...any) (err error) {
	data, err := a.Pack(method, args...)
	if err != nil {
		return fmt.Errorf("[BUG] pack %s: %w", method, err)
	}
	raw, err := c.Call(ctx, to, data, at)
	if err != nil {
		return fmt.Errorf("call %s: %w", method, err)
	}
	// The bytes are an endpoint's: whatever they do to the unpacker is an error.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("unpack %s: %v: %w", method, r, chains.ErrUnavailable)
		}
	}()
	values, err := a.Unpack(method, raw)
	if err != nil || len(values) != len(out) {
		return fmt.Errorf("unpack %s (%d bytes): %w", method, len(raw), chains.ErrUnavailable)
	}
	for i, v := range values {
		if err := assign(out[i], v); err != nil {
			return fmt.Errorf("unpack %s: %w", method, err)
		}
	}
	return nil
}
