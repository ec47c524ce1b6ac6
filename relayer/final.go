package relayer

import (
	"context"
	"fmt"

	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/ethereum/go-ethereum/common"
)

// view reads contracts at one block. It is an axelar.Caller.
type view struct {
	client evm.Reader
	at     evm.BlockRef
}

// atFinal is the view of a chain's newest final block.
func atFinal(ctx context.Context, client evm.Reader) (view, error) {
	head, err := client.Head(ctx)
	if err != nil {
		return view{}, fmt.Errorf("read head of %s: %w", client.Name(), err)
	}
	return view{client, evm.AtHash(head.Hash)}, nil
}

// CallContract implements axelar.Caller.
func (v view) CallContract(ctx context.Context, to common.Address, data []byte) ([]byte, error) {
	return v.client.Call(ctx, to, data, v.at)
}

// finalCalls puts calls to a chain, all at its newest final block.
func finalCalls(client evm.Reader) func(context.Context, []axelar.Call) ([][]byte, error) {
	return func(ctx context.Context, calls []axelar.Call) ([][]byte, error) {
		view, err := atFinal(ctx, client)
		if err != nil {
			return nil, err
		}
		args := make([]evm.CallArg, len(calls))
		for i, c := range calls {
			args[i] = evm.CallArg{To: c.To, Data: c.Data}
		}
		results, err := client.BatchCall(ctx, args, view.at)
		if err != nil {
			return nil, err
		}
		answers := make([][]byte, len(results))
		for i, r := range results {
			if r.Err != nil {
				return nil, fmt.Errorf("read %s: %w", calls[i].To, r.Err)
			}
			answers[i] = r.Data
		}
		return answers, nil
	}
}
