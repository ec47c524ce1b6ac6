package relayer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/ethereum/go-ethereum/common"
)

var (
	executorABI = bindings.NewExecutor()
	handlerABI  = bindings.NewFltHandler()
)

// l1ExecuteGas is what a message of many gets on Ethereum, ten times what paying
// FLT out takes there.
const l1ExecuteGas = 1_000_000

// legsEach is what a message of many gets on the root in gas of a leg of
// FltHandler's, which needs not twice as much to fund a deposit (contracts/README).
const legsEach = 3

// executor is an Executor and the gas that each message gets there; the zero one
// where a chain has none.
type executor struct {
	at  common.Address
	gas uint64
}

// probeExecutors asks for what the deployment names.
func (x *crossLink) probeExecutors(ctx context.Context, root, l1 common.Address, rootClient evm.Reader) error {
	leg := axelar.Question[uint64]{
		Calls: []axelar.Call{{To: x.Handler, Data: handlerABI.PackLegGas()}},
		Read: func(answers [][]byte) (uint64, error) {
			gas, err := handlerABI.UnpackLegGas(answers[0])
			if err != nil {
				return 0, err
			}
			if !gas.IsUint64() || gas.Uint64() == 0 || gas.BitLen() > 62 {
				return 0, fmt.Errorf("%w: FltHandler gives a leg %s gas", ErrConfig, gas)
			}
			return gas.Uint64(), nil
		},
	}
	gas, err := asked(ctx, rootClient, leg, evm.AtLatest)
	if err != nil {
		return fmt.Errorf("ask FltHandler: %w", err)
	}
	if x.rootExecutor, err = probeExecutor(ctx, rootClient, executor{root, legsEach * gas}); err != nil {
		return err
	}
	x.l1Executor, err = probeExecutor(ctx, x.l1.client, executor{l1, l1ExecuteGas})
	return err
}

// probeExecutor makes sure that an Executor stands where one is said to: to an
// address without code a transaction succeeds and does nothing.
func probeExecutor(ctx context.Context, client evm.Reader, e executor) (executor, error) {
	if e.at == (common.Address{}) {
		return executor{}, nil
	}
	_, err := client.Call(ctx, e.at, executorABI.PackExecuteAll(common.Address{}, new(big.Int), nil), evm.AtLatest)
	var revert *chains.RevertError
	nothing := ipc.SelectorOf("NothingExecuted()")
	switch {
	case errors.As(err, &revert) && bytes.Equal(revert.Data, nothing[:]):
		return e, nil
	case err == nil, revert != nil:
		return executor{}, fmt.Errorf("%w: %s on %s is no Executor", ErrConfig, e.at, client.Name())
	}
	return executor{}, err
}

// together gathers executions; nil where nothing stands there that does.
func (e executor) together(gateway axelar.Gateway, service axelar.Service, client evm.Reader) *flow.Together {
	if e.at == (common.Address{}) {
		return nil
	}
	return &flow.Together{
		Tx: func(messages []axelar.Message, payloads [][]byte) (chains.Tx, error) {
			list := make([]bindings.Execution, len(messages))
			for i, m := range messages {
				list[i] = bindings.Execution{
					CommandId: gateway.CommandID(m), SourceChain: m.SourceChain, SourceAddress: m.SourceAddress, Payload: payloads[i],
				}
			}
			return chains.Tx{To: e.at, Data: executorABI.PackExecuteAll(service.Address, new(big.Int).SetUint64(e.gas), list)}, nil
		},
		Simulate: func(ctx context.Context, messages []axelar.Message, payloads [][]byte) ([]error, error) {
			calls := make([]evm.CallArg, len(messages))
			for i, m := range messages {
				data, err := service.ExecuteCalldata(gateway.CommandID(m), m, payloads[i])
				if err != nil {
					return nil, err
				}
				calls[i] = evm.CallArg{From: e.at, To: service.Address, Data: data, Gas: e.gas}
			}
			results, err := client.BatchCall(ctx, calls, evm.AtLatest)
			if err != nil {
				return nil, err
			}
			out := make([]error, len(results))
			for i, r := range results {
				out[i] = r.Err
			}
			return out, nil
		},
	}
}
