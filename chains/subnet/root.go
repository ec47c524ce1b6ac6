package subnet

import (
	"cmp"
	"context"
	"fmt"
	"math/big"
	"slices"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
)

// Root is a subnet as its root records it: the actor and the gateway there.
type Root struct {
	client  evm.Reader
	id      ipc.SubnetID
	gateway common.Address
	actor   common.Address
	caps    Capabilities
	gw, act abi.ABI
}

// NewRoot reads the subnet's contracts on the root, which have these
// capabilities.
func NewRoot(client evm.Reader, c Contracts, caps Capabilities) (*Root, error) {
	gw, err := parse(&bindings.GatewayMetaData)
	if err != nil {
		return nil, err
	}
	act, err := parse(&bindings.SubnetActorMetaData)
	if err != nil {
		return nil, err
	}
	return &Root{client: client, id: c.ID, gateway: c.Gateway, actor: c.Actor, caps: caps, gw: gw, act: act}, nil
}

// PendingBatch is a batch accepted and not fully executed.
type PendingBatch struct {
	Height     uint64
	Commitment ipc.Commitment
	// Executed are the leaves already executed, in no order, where the actor
	// keeps them.
	Executed []common.Hash
}

// RootState is what actor and gateway say at one block.
type RootState struct {
	LastHeight uint64
	Pending    []PendingBatch // ascending by height
	Applied    uint64         // next bottom-up nonce
}

type pendingEntry struct {
	Height     uint64
	Commitment ipc.Commitment
	Executed   [][32]byte
}

// State reads one block, pinned by its hash: the final block or the latest.
func (r *Root) State(ctx context.Context, at chains.Block) (RootState, error) {
	return r.state(ctx, evm.AtHash(at.Hash))
}

// Pending reads the state on top of the transactions that wait, as far as the
// node knows them.
func (r *Root) Pending(ctx context.Context) (RootState, error) {
	return r.state(ctx, evm.AtPending)
}

func (r *Root) state(ctx context.Context, ref evm.BlockRef) (RootState, error) {
	var s RootState
	if err := read(ctx, r.client, r.actor, r.act, ref, "lastBottomUpCheckpointHeight", &s.LastHeight); err != nil {
		return s, err
	}
	var entries []pendingEntry
	if err := read(ctx, r.client, r.actor, r.act, ref, "listPendingBottomUpBatchCommitments", &entries); err != nil {
		return s, err
	}
	for _, e := range entries {
		b := PendingBatch{Height: e.Height, Commitment: e.Commitment}
		for _, leaf := range e.Executed {
			b.Executed = append(b.Executed, leaf)
		}
		s.Pending = append(s.Pending, b)
	}
	// Published actors list them in the order of a set.
	slices.SortFunc(s.Pending, func(a, b PendingBatch) int { return cmp.Compare(a.Height, b.Height) })
	var ok bool
	if err := readArgs(ctx, r.client, r.gateway, r.gw, ref, "getAppliedBottomUpNonce", []any{r.id}, &ok, &s.Applied); err != nil {
		return s, err
	}
	if !ok {
		return s, fmt.Errorf("the root gateway does not know subnet %s", r.id)
	}
	return s, nil
}

// Accepts says whether the root's own set gives these signatories enough
// weight. Signatories that it does not record are dropped first: they would
// make the submission revert.
func (r *Root) Accepts(ctx context.Context, at chains.Block, in SignedCheckpoint) (SignedCheckpoint, bool, error) {
	ref := evm.AtHash(at.Hash)
	if r.caps.Period > 0 && !r.caps.Weights {
		return r.recount(ctx, ref, in)
	}
	var set []ipc.Validator
	if err := read(ctx, r.client, r.actor, r.act, ref, "getValidators", &set); err != nil {
		return in, false, err
	}
	var percent uint8
	if err := read(ctx, r.client, r.actor, r.act, ref, "majorityPercentage", &percent); err != nil {
		return in, false, err
	}
	weights, total := map[common.Address]*big.Int{}, new(big.Int)
	for _, v := range set {
		weights[v.Addr] = v.Weight
		total.Add(total, v.Weight)
	}
	out, weight := SignedCheckpoint{Checkpoint: in.Checkpoint}, new(big.Int)
	for i, who := range in.Signatories {
		w, ok := weights[who]
		if !ok || w.Sign() == 0 {
			continue
		}
		delete(weights, who) // counts once
		weight.Add(weight, w)
		out.Signatories = append(out.Signatories, who)
		out.Signatures = append(out.Signatures, in.Signatures[i])
	}
	return out, ipc.MajorityReached(weight, total, percent), nil
}

// recount asks an actor that does not list its weights to count them itself, in
// the view that submitCheckpoint uses. Signatories that it does not know are
// dropped one after another.
func (r *Root) recount(ctx context.Context, at evm.BlockRef, in SignedCheckpoint) (SignedCheckpoint, bool, error) {
	out := SignedCheckpoint{Checkpoint: in.Checkpoint, Signatories: slices.Clone(in.Signatories), Signatures: slices.Clone(in.Signatures)}
	hash := [32]byte(in.Checkpoint.Hash())
	for len(out.Signatories) > 0 {
		data, err := r.act.Pack("validateActiveQuorumSignatures", out.Signatories, hash, out.Signatures)
		if err != nil {
			return in, false, fmt.Errorf("[BUG] pack validateActiveQuorumSignatures: %w", err)
		}
		_, err = r.client.Call(ctx, r.actor, data, at)
		if err == nil {
			return out, true, nil
		}
		reverted, ok := revertOf(err)
		if !ok {
			return in, false, fmt.Errorf("count the weight of checkpoint %s: %w", in.Checkpoint.BlockHeight, err)
		}
		stranger, is := ipc.NotValidator(reverted)
		i := slices.Index(out.Signatories, stranger)
		if is && i >= 0 {
			out.Signatories = slices.Delete(out.Signatories, i, i+1)
			out.Signatures = slices.Delete(out.Signatures, i, i+1)
			continue
		}
		if name, class := ipc.ClassifyRevert(reverted); class != ipc.ClassRetry {
			return in, false, fmt.Errorf("count the weight of checkpoint %s: %s: %w", in.Checkpoint.BlockHeight, name, err)
		}
		return out, false, nil
	}
	return out, false, nil
}

// SubmitCalldata is the call of submitCheckpoint.
func (r *Root) SubmitCalldata(s SignedCheckpoint) ([]byte, error) {
	return r.act.Pack("submitCheckpoint", s.Checkpoint, s.Signatories, s.Signatures)
}

// ExecuteCalldata is the call of execBottomUpMsgBatch.
func (r *Root) ExecuteCalldata(height uint64, messages []ipc.Inclusion) ([]byte, error) {
	return r.act.Pack("execBottomUpMsgBatch", new(big.Int).SetUint64(height), messages)
}
