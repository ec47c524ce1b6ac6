package deploy

import (
	"context"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// Step is one call of a deployment. Its name is what it is known by in the state
// file: the same name is the same call, sent once.
type Step struct {
	Name  string
	To    common.Address
	Data  []byte
	Value *big.Int // wei; nil is 0
}

// Send sends steps that do not depend on each other and returns their receipts
// once all are final.
func Send(ctx context.Context, env Env, from Signer, steps ...Step) ([]*types.Receipt, error) {
	j, err := openJournal(ctx, env)
	if err != nil {
		return nil, fmt.Errorf("open deployment state: %w", err)
	}
	defer j.close()
	calls := make([]call, len(steps))
	for i, s := range steps {
		calls[i] = call{name: s.Name, from: from, to: &steps[i].To, data: s.Data, value: s.Value}
	}
	receipts, err := j.send(ctx, calls...)
	if err != nil {
		return nil, err
	}
	if err := j.settle(ctx); err != nil {
		return nil, fmt.Errorf("wait until %s is final: %w", steps[0].Name, err)
	}
	return receipts, nil
}
