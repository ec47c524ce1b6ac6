package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/tracing"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
)

// keyChange is number → ipc.PowerChangeRequest.
const keyChange = 'k'

var errChanges = errors.New("power changes of the block do not fold to the gateway's hash")

// collectChanges records the power changes a block brought into the gateway.
// The gateway keeps only what it needs of them, and a later state no longer
// has even that, so the node reads their bodies from the calls that carried
// them: when the gateway's count moved, the block is run again under a tracer.
// Their rolling hash must come out as the gateway's.
func (r *rules) collectChanges(block *types.Block, d *draft) error {
	parent := r.pre.evm.chain.GetHeader(block.ParentHash(), block.NumberU64()-1)
	if parent == nil {
		return fmt.Errorf("header of block %d is missing", block.NumberU64()-1)
	}
	before, beforeHash, err := r.pre.appliedChanges(parent)
	if err != nil {
		return err
	}
	after, afterHash, err := r.pre.appliedChanges(block.Header())
	if err != nil || after == before {
		return err
	}
	calls, err := r.pre.evm.callsTo(block, parent, r.pre.gateway, r.pre.deliverChanges.ID)
	if err != nil {
		return err
	}
	next, rolling := before+1, beforeHash
	for _, input := range calls {
		requests, err := r.pre.unpackChanges(input)
		if err != nil {
			return err
		}
		for _, c := range requests {
			if c.ConfigurationNumber != next {
				continue // skipped by the gateway: applied before
			}
			d.put(numKey(keyChange, next), c)
			rolling = ipc.Roll(rolling, c.Hash())
			next++
		}
	}
	if next != after+1 || rolling != afterHash {
		return fmt.Errorf("block %d: found %d to %d, gateway holds up to %d: %w", block.NumberU64(), before+1, next-1, after, errChanges)
	}
	return nil
}

// changes returns the recorded changes [from, to].
func changes(rd recordReader, from, to uint64) ([]ipc.PowerChangeRequest, error) {
	out := make([]ipc.PowerChangeRequest, 0, to-from+1)
	for n := from; n <= to; n++ {
		c, ok, err := load[ipc.PowerChangeRequest](rd, numKey(keyChange, n))
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("power change %d is not recorded", n)
		}
		out = append(out, *c)
	}
	return out, nil
}

// appliedChanges is how many power changes the gateway holds, and their hash.
func (p *predeploys) appliedChanges(h *types.Header) (uint64, common.Hash, error) {
	out, err := read(p, h, p.gateway, p.abi.PackAppliedPowerChanges(), p.abi.UnpackAppliedPowerChanges)
	if err != nil {
		return 0, common.Hash{}, fmt.Errorf("read applied power changes: %w", err)
	}
	return out.Number, out.Hash, nil
}

// unpackChanges decodes the arguments of deliverPowerChanges. The gateway has
// accepted them, so what does not decode is a bug.
func (p *predeploys) unpackChanges(input []byte) ([]ipc.PowerChangeRequest, error) {
	args, err := p.deliverChanges.Inputs.Unpack(input[4:])
	if err != nil {
		return nil, fmt.Errorf("[BUG] unpack accepted power changes: %w", err)
	}
	raw := *abi.ConvertType(args[0], new([]bindings.PowerChangeRequest)).(*[]bindings.PowerChangeRequest)
	out := make([]ipc.PowerChangeRequest, len(raw))
	for i, c := range raw {
		out[i] = ipc.PowerChangeRequest{Change: ipc.PowerChange(c.Change), ConfigurationNumber: c.ConfigurationNumber}
	}
	return out, nil
}

// callsTo runs a block again and returns the inputs of the calls of a method
// that took effect, in order, however deep they were.
func (e *evm) callsTo(block *types.Block, parent *types.Header, to common.Address, selector []byte) ([][]byte, error) {
	state, err := e.chain.StateAt(parent.Root, parent.Number, parent.Time)
	if err != nil {
		return nil, fmt.Errorf("open state of block %d: %w", parent.Number, err)
	}
	var (
		found [][]byte
		marks []int // len(found) when each open frame began
	)
	hooks := &tracing.Hooks{
		OnEnter: func(_ int, typ byte, _ common.Address, target common.Address, input []byte, _ uint64, _ *big.Int) {
			marks = append(marks, len(found))
			if vm.OpCode(typ) == vm.CALL && target == to && bytes.HasPrefix(input, selector) {
				found = append(found, bytes.Clone(input))
			}
		},
		OnExit: func(_ int, _ []byte, _ uint64, _ error, reverted bool) {
			began := marks[len(marks)-1]
			marks = marks[:len(marks)-1]
			if reverted {
				found = found[:began]
			}
		},
	}
	_, err = core.NewStateProcessor(e.chain).Process(context.Background(), block, state, nil, nil, vm.Config{Tracer: hooks}, nil)
	if err != nil {
		return nil, fmt.Errorf("trace block %d: %w", block.NumberU64(), err)
	}
	return found, nil
}
