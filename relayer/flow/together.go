package flow

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// This file executes approved messages, many in one transaction where somebody on
// the chain gathers them. One that fails there takes nothing from the others, and
// that a transaction succeeded says nothing of any of them: the gateway's events do.

// Together is how a chain executes many messages in one transaction.
type Together struct {
	// Tx gives each message the same fixed gas and lets each fail by itself.
	Tx func(messages []axelar.Message, payloads [][]byte) (chains.Tx, error)
	// Simulate executes each by itself at the newest block, with no more gas than Tx
	// would give it: nil for what succeeds.
	Simulate func(ctx context.Context, messages []axelar.Message, payloads [][]byte) ([]error, error)
}

// maxTogether and maxTogetherBytes bound the messages and their payloads in one
// transaction. What still needs more gas than one may use goes in halves.
const (
	maxTogether      = 20
	maxTogetherBytes = 48 << 10
)

// ready is an approved message and its place in a batch.
type ready struct {
	at int
	axelar.Routed
}

// executing is what the keys of all transactions of the step begin with.
func (l leg) executing() string { return l.name + "/execute" }

// executeReady executes what is approved: by itself, or with others where that is
// known to cost about the same for each.
func (l leg) executeReady(ctx context.Context, d LegDeps, b Batch, approved []int, out []error) error {
	var all []ready
	for _, i := range approved {
		r, err := l.route(b.Transfers[i])
		if err != nil {
			return fmt.Errorf("[BUG] %s was routed before: %w", b.Transfers[i], err)
		}
		switch ride := b.ride(i); {
		case d.Together == nil || !l.own(r):
			// What others send may run code of anybody's, which could make a transaction
			// dearer than its simulation was and so fail those it rides with.
			out[i] = l.executeOne(ctx, d, b.Fence, b.Transfers[i], r)
		case strings.HasPrefix(ride, l.executing()):
			// On its way: its event decides, or the end of that transaction.
		case ride != "":
			out[i] = fmt.Errorf("%w: %s", chains.ErrBusy, ride)
		default:
			all = append(all, ready{i, r})
		}
	}
	if len(all) == 0 {
		return nil
	}
	good, err := l.sift(ctx, d, b, all, out)
	if err != nil {
		return err
	}
	for len(good) > 0 {
		n, size := 0, 0
		for ; n < len(good) && n < maxTogether; n++ {
			if size += len(good[n].Payload); n > 0 && size > maxTogetherBytes {
				break
			}
		}
		l.executeTogether(ctx, d, b, good[:n], out)
		good = good[n:]
	}
	return nil
}

// own says whether a message is between our own contracts.
func (l leg) own(r axelar.Routed) bool {
	inner, is := r.Inner.(axelar.Transfer)
	return is && l.ours(inner)
}

// sift simulates each message: one that fails is told why and goes with nobody.
func (l leg) sift(ctx context.Context, d LegDeps, b Batch, all []ready, out []error) (good []ready, err error) {
	if len(all) == 1 {
		return all, nil // sent by itself, which simulates it
	}
	messages, payloads := split(all)
	failed, err := d.Together.Simulate(ctx, messages, payloads)
	if err != nil {
		return nil, err
	}
	for k, r := range all {
		var revert *chains.RevertError
		switch errors.As(failed[k], &revert); {
		case failed[k] == nil:
			good = append(good, r)
		case revert != nil && len(revert.Data) == 0:
			// It may only need more gas than its share.
			out[r.at] = l.executeOne(ctx, d, b.Fence, b.Transfers[r.at], r.Routed)
		default:
			out[r.at] = why(ctx, d, r.Routed, failed[k])
		}
	}
	return good, nil
}

func split(all []ready) (messages []axelar.Message, payloads [][]byte) {
	for _, r := range all {
		messages, payloads = append(messages, r.Message), append(payloads, r.Payload)
	}
	return messages, payloads
}

// executeTogether sends one transaction, or halves of it where it does not go
// through in one piece (PROTOCOL 47), down to a message by itself.
func (l leg) executeTogether(ctx context.Context, d LegDeps, b Batch, all []ready, out []error) {
	if len(all) == 1 {
		at := all[0].at
		out[at] = l.executeOne(ctx, d, b.Fence, b.Transfers[at], all[0].Routed)
		return
	}
	err := l.sendTogether(ctx, d, b, all)
	if tooDear(err) {
		l.executeTogether(ctx, d, b, all[:len(all)/2], out)
		l.executeTogether(ctx, d, b, all[len(all)/2:], out)
		return
	}
	for _, r := range all {
		out[r.at] = err
	}
}

func (l leg) sendTogether(ctx context.Context, d LegDeps, b Batch, all []ready) error {
	tx, err := d.Together.Tx(split(all))
	if err != nil {
		return err
	}
	var refs []byte
	tx.Members = make([]common.Hash, len(all))
	for k, r := range all {
		tx.Members[k] = b.Transfers[r.at].ID
		refs = append(refs, b.Transfers[r.at].Ref[:]...)
	}
	tx.Key, tx.Group, tx.Fence = l.executing()+"All/"+crypto.Keccak256Hash(refs).Hex(), "into/"+l.to.chain, b.Fence
	return d.Send(ctx, tx)
}
