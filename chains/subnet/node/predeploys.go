package node

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
)

// predeploys reads the contracts inside the subnet at a given block.
type predeploys struct {
	evm     *evm
	gateway common.Address
	outbox  common.Address
	abi     *bindings.SubnetGateway
	outABI  *bindings.WithdrawalOutbox

	deliverChanges abi.Method
}

func newPredeploys(e *evm, g Genesis) *predeploys {
	gateway := bindings.NewSubnetGateway()
	spec := gateway.GetABI()
	return &predeploys{
		evm: e, gateway: g.Gateway, outbox: g.Outbox,
		abi: gateway, outABI: bindings.NewWithdrawalOutbox(),
		deliverChanges: spec.Methods["deliverPowerChanges"],
	}
}

func read[T any](p *predeploys, h *types.Header, to common.Address, data []byte, unpack func([]byte) (T, error)) (T, error) {
	var zero T
	out, err := p.evm.call(h, to, data)
	if err != nil {
		return zero, err
	}
	v, err := unpack(out)
	if err != nil {
		return zero, fmt.Errorf("unpack answer of %s: %w", to, err)
	}
	return v, nil
}

// latest is the newest statement the gateway committed; zero before the first.
func (p *predeploys) latest(h *types.Header) (ipc.ParentFinality, error) {
	s, err := read(p, h, p.gateway, p.abi.PackLatestParentFinality(), p.abi.UnpackLatestParentFinality)
	if err != nil {
		return ipc.ParentFinality{}, fmt.Errorf("read latest parent finality: %w", err)
	}
	return ipc.ParentFinality(s), nil
}

// recovered is the newest recovery the gateway has committed, 0 = none.
func (p *predeploys) recovered(h *types.Header) (uint64, error) {
	n, err := read(p, h, p.gateway, p.abi.PackParentRecovery(), p.abi.UnpackParentRecovery)
	if err != nil {
		return 0, fmt.Errorf("read parent recovery: %w", err)
	}
	return n, nil
}

// appliedMessages is how far the gateway has applied top-down messages.
func (p *predeploys) appliedMessages(h *types.Header) (fold, error) {
	out, err := read(p, h, p.gateway, p.abi.PackAppliedTopDown(), p.abi.UnpackAppliedTopDown)
	if err != nil {
		return fold{}, fmt.Errorf("read applied top-down messages: %w", err)
	}
	return fold{out.Nonce, out.Hash}, nil
}

// appliedConfiguration is the configuration whose members the gateway counts.
func (p *predeploys) appliedConfiguration(h *types.Header) (uint64, error) {
	n, err := read(p, h, p.gateway, p.abi.PackAppliedConfigurationNumber(), p.abi.UnpackAppliedConfigurationNumber)
	if err != nil {
		return 0, fmt.Errorf("read applied configuration: %w", err)
	}
	return n, nil
}

// storedConfiguration is the highest power change the gateway holds, 0 = none.
func (p *predeploys) storedConfiguration(h *types.Header) (uint64, error) {
	n, err := read(p, h, p.gateway, p.abi.PackStoredConfigurationNumber(), p.abi.UnpackStoredConfigurationNumber)
	if err != nil {
		return 0, fmt.Errorf("read stored configuration: %w", err)
	}
	return n, nil
}

// batchInfo is the gateway's own account of an epoch's messages.
func (p *predeploys) batchInfo(h *types.Header, epoch uint64) (first, count uint64, rolling common.Hash, err error) {
	out, err := read(p, h, p.gateway, p.abi.PackBottomUpBatchInfo(new(big.Int).SetUint64(epoch)), p.abi.UnpackBottomUpBatchInfo)
	if err != nil {
		return 0, 0, common.Hash{}, fmt.Errorf("read batch of epoch %d: %w", epoch, err)
	}
	return out.FirstNonce, out.Count, out.RollingHash, nil
}

// accumulator is the outbox's count and root; false where there is no outbox.
func (p *predeploys) accumulator(h *types.Header) (count uint64, root common.Hash, ok bool, err error) {
	if p.outbox == (common.Address{}) {
		return 0, common.Hash{}, false, nil
	}
	out, err := read(p, h, p.outbox, p.outABI.PackAccumulator(), p.outABI.UnpackAccumulator)
	if err != nil {
		return 0, common.Hash{}, false, fmt.Errorf("read outbox accumulator: %w", err)
	}
	return out.Count, out.Root, true, nil
}

var errBatch = errors.New("logs do not make the batch the gateway recorded")

// batch collects the messages of an epoch from the logs of its blocks,
// [epoch-period, epoch), and checks them against the gateway's rolling hash.
func (p *predeploys) batch(h *types.Header, epoch, period uint64) ([]ipc.IpcEnvelope, error) {
	first, count, rolling, err := p.batchInfo(h, epoch)
	if err != nil {
		return nil, err
	}
	msgs := make([]ipc.IpcEnvelope, 0, min(count, 1<<16))
	for n := epoch - period; n < epoch && count > 0; n++ {
		hash := p.evm.chain.GetCanonicalHash(n)
		for _, r := range p.evm.chain.GetReceiptsByHash(hash) {
			for _, l := range r.Logs {
				if l.Address != p.gateway || len(l.Topics) != 3 || l.Topics[0] != ipc.TopicBottomUpMessage {
					continue
				}
				if new(big.Int).SetBytes(l.Topics[1][:]).Cmp(new(big.Int).SetUint64(epoch)) != 0 {
					continue
				}
				msg, err := ipc.DecodeEnvelope(l.Data)
				if err != nil {
					return nil, fmt.Errorf("decode message of block %d: %w", n, err)
				}
				msgs = append(msgs, msg)
			}
		}
	}
	if uint64(len(msgs)) != count || ipc.RollAll(common.Hash{}, ipc.EnvelopeLeaves(msgs)) != rolling {
		return nil, fmt.Errorf("epoch %d: %d messages, gateway counts %d: %w", epoch, len(msgs), count, errBatch)
	}
	for i, m := range msgs {
		if m.LocalNonce != first+uint64(i) {
			return nil, fmt.Errorf("epoch %d: nonce %d at place %d: %w", epoch, m.LocalNonce, i, errBatch)
		}
	}
	return msgs, nil
}

// activity counts the blocks of (height-period, height] by coinbase.
func (p *predeploys) activity(h *types.Header, period uint64) (ipc.CompressedActivityRollup, error) {
	counts := map[common.Address]uint64{}
	for i, at := uint64(0), h; i < period; i++ {
		if at == nil {
			return ipc.CompressedActivityRollup{}, fmt.Errorf("header %d is missing", h.Number.Uint64()-i)
		}
		counts[at.Coinbase]++
		if i+1 < period {
			at = p.evm.chain.GetHeader(at.ParentHash, at.Number.Uint64()-1)
		}
	}
	rows := make([]ipc.ValidatorData, 0, len(counts))
	for a, n := range counts {
		rows = append(rows, ipc.ValidatorData{Validator: a, BlocksCommitted: n})
	}
	return ipc.FullActivityRollup{Consensus: ipc.FullSummary{
		Stats: ipc.AggregatedStats{TotalActiveValidators: uint64(len(rows)), TotalNumBlocksCommitted: period},
		Data:  rows,
	}}.Compress(), nil
}
