package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"golang.org/x/sync/errgroup"
)

// history is what the relayer's journal and the chains say after the last
// transfer has ended.
type history struct {
	jobs     []store.Job // the relayer's own too; with their ledgers
	byID     map[common.Hash]store.Job
	byTx     map[common.Hash]store.Job // user transfers by origin
	relayed  []relayed
	receipts map[common.Hash]*types.Receipt // of user transactions
}

// relayed is one transaction of the relayer.
type relayed struct {
	chains.Intent
	kind    string // first word of its key: deliver, finality, submit, message, …
	at      *side
	receipt *types.Receipt
}

// first is the attempt that was broadcast first.
func (t relayed) first() chains.Attempt { return t.Attempts[0] }

func (r *rig) history(ctx context.Context) (*history, error) {
	h := &history{byID: map[common.Hash]store.Job{}, byTx: map[common.Hash]store.Job{}, receipts: map[common.Hash]*types.Receipt{}}
	if err := h.readJobs(ctx, r.db); err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	for _, c := range []struct {
		at *side
		id chains.ID
	}{{r.root, r.net.Dep.Root.ChainID}, {r.subnet, r.net.Dep.Subnet.ChainID}} {
		if err := h.readIntents(ctx, r, c.at, c.id); err != nil {
			return nil, fmt.Errorf("read transactions: %w", err)
		}
	}
	hashes := map[*side][]common.Hash{}
	for tx, j := range h.byTx {
		at := r.root
		if strings.HasSuffix(j.Transfer.Route, "_withdraw") {
			at = r.subnet
		}
		hashes[at] = append(hashes[at], tx)
	}
	for _, tx := range r.released {
		hashes[r.subnet] = append(hashes[r.subnet], tx.hash)
	}
	for at, list := range hashes {
		found, err := receipts(ctx, at, list)
		if err != nil {
			return nil, err
		}
		for i, receipt := range found {
			if receipt != nil {
				h.receipts[list[i]] = receipt
			}
		}
	}
	return h, nil
}

func (h *history) readJobs(ctx context.Context, db *store.DB) error {
	f := store.Filter{Hidden: true, Limit: 500}
	for {
		page, next, err := db.List(ctx, f)
		if err != nil {
			return err
		}
		h.jobs = append(h.jobs, page...)
		if next == "" {
			break
		}
		f.Cursor = next
	}
	var g errgroup.Group
	g.SetLimit(16)
	for i := range h.jobs {
		g.Go(func() error {
			j, ok, err := db.Get(ctx, h.jobs[i].Transfer.ID)
			if err == nil && !ok {
				err = fmt.Errorf("transfer %s is gone", h.jobs[i].Transfer.ID)
			}
			if err == nil {
				h.jobs[i] = j
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, j := range h.jobs {
		h.byID[j.Transfer.ID] = j
		if _, user := tokens.RouteByName(j.Transfer.Route); user {
			h.byTx[j.Transfer.Origin.Tx] = j
		}
	}
	return nil
}

// readIntents reads what the relayer's account has sent on one chain, with
// receipts.
func (h *history) readIntents(ctx context.Context, r *rig, at *side, id chains.ID) error {
	next, err := at.eth.NonceAt(ctx, r.relayer, nil)
	if err != nil {
		return fmt.Errorf("read nonce: %w", err)
	}
	var list []relayed
	var hashes []common.Hash
	for n := range next {
		in, ok, err := r.db.Intent(ctx, id, r.relayer, n)
		if err != nil {
			return err
		}
		if !ok || len(in.Attempts) == 0 || in.TxHash == (common.Hash{}) {
			continue // of the deployment, or not decided yet
		}
		kind, _, _ := strings.Cut(in.Key, "/")
		list, hashes = append(list, relayed{Intent: in, kind: kind, at: at}), append(hashes, in.TxHash)
	}
	found, err := receipts(ctx, at, hashes)
	if err != nil {
		return err
	}
	for i := range list {
		if list[i].receipt = found[i]; found[i] != nil {
			h.relayed = append(h.relayed, list[i])
		}
	}
	return nil
}

// receipts are in the order of the hashes, nil where there is none.
func receipts(ctx context.Context, at *side, hashes []common.Hash) ([]*types.Receipt, error) {
	out := make([]*types.Receipt, len(hashes))
	var g errgroup.Group
	g.SetLimit(16)
	for i, hash := range hashes {
		g.Go(func() error {
			r, err := at.eth.TransactionReceipt(ctx, hash)
			if errors.Is(err, ethereum.NotFound) {
				return nil
			}
			out[i] = r
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("read receipts: %w", err)
	}
	return out, nil
}

// finalAt is when a block of the root became final: its node announced the
// block that finality trails by.
func (r *rig) finalAt(block uint64) (time.Time, bool) {
	return r.root.headAt(block + finality)
}

// finality is how many blocks the final one of the root and of Ethereum is behind.
const finality = devchain.DefaultFinalityDepth

// statement is a parent finality in a block of the subnet.
type statement struct {
	relayed
	block uint64
	nonce uint64 // messages below it are covered
}

// statements are in the order of their blocks.
func (h *history) statements() []statement {
	var out []statement
	for _, t := range h.relayed {
		if t.kind != "finality" {
			continue
		}
		for _, l := range t.receipt.Logs {
			if e, err := subnetABI.UnpackParentFinalityCommittedEvent(l); err == nil {
				out = append(out, statement{t, t.receipt.BlockNumber.Uint64(), e.TopDownNonce})
			}
		}
	}
	slices.SortFunc(out, func(a, b statement) int { return int(a.block) - int(b.block) })
	return out
}

// covering is the first statement that covers a message.
func covering(list []statement, nonce uint64) (statement, bool) {
	for _, s := range list {
		if s.nonce > nonce {
			return s, true
		}
	}
	return statement{}, false
}

// messages are the root's messages by nonce.
func (h *history) messages() map[uint64]store.Job {
	out := map[uint64]store.Job{}
	for _, j := range h.jobs {
		if j.Transfer.Route == "topdown" {
			out[j.Transfer.Nonce] = j
		}
	}
	return out
}

// checkpoints are the subnet's checkpoints by height.
func (h *history) checkpoints() map[uint64]store.Job {
	out := map[uint64]store.Job{}
	for _, j := range h.jobs {
		if j.Transfer.Route == "checkpoint" {
			out[j.Transfer.Nonce] = j
		}
	}
	return out
}

// batchOf is the checkpoint whose messages an execution carried.
func batchOf(t relayed) (height uint64, ok bool) {
	for _, l := range t.receipt.Logs {
		if e, err := actorABI.UnpackBatchExecutedEvent(l); err == nil {
			return e.Height.Uint64(), true
		}
	}
	return 0, false
}
