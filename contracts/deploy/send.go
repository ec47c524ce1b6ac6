package deploy

import (
	"context"
	"fmt"
	"math/big"
	"strings"

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
	receipts, err := j.send(ctx, callsOf(from, steps)...)
	if err != nil {
		return nil, err
	}
	if err := j.settle(ctx); err != nil {
		return nil, fmt.Errorf("wait until %s is final: %w", steps[0].Name, err)
	}
	return receipts, nil
}

// Post sends groups of steps, each once the one before it is mined, and returns
// when all are. They are not final: Send of the same steps waits for that, and
// sends again what a reorg has taken out.
func Post(ctx context.Context, env Env, from Signer, groups ...[]Step) error {
	j, err := openJournal(ctx, env)
	if err != nil {
		return fmt.Errorf("open deployment state: %w", err)
	}
	defer j.close()
	for _, steps := range groups {
		if _, err := j.send(ctx, callsOf(from, steps)...); err != nil {
			return err
		}
	}
	return nil
}

func callsOf(from Signer, steps []Step) []call {
	calls := make([]call, len(steps))
	for i, s := range steps {
		calls[i] = call{name: s.Name, from: from, to: &steps[i].To, data: s.Data, value: s.Value}
	}
	return calls
}

const (
	stepAttempt = "attempt/"
	// maxAttempts bounds the transactions of one attempted step: each of them had
	// succeeded in a simulation.
	maxAttempts = 100
)

// attempted says whether a step is one that somebody else may make needless.
func attempted(step string) bool { return strings.HasPrefix(step, stepAttempt) }

// Attempt sends a step that somebody else may make needless first, and returns
// its newest receipt. That it reverted is no failure of the deployment; another
// Attempt sends it anew. Where it has succeeded nothing is sent.
func Attempt(ctx context.Context, env Env, from Signer, s Step) (*types.Receipt, error) {
	j, err := openJournal(ctx, env)
	if err != nil {
		return nil, fmt.Errorf("open deployment state: %w", err)
	}
	defer j.close()
	for n := range maxAttempts {
		c := call{name: fmt.Sprintf("%s%s/%d", stepAttempt, s.Name, n), from: from, to: &s.To, data: s.Data, value: s.Value}
		_, before := j.find(c.name)
		receipts, err := j.try(ctx, c)
		if err != nil {
			return nil, err
		}
		if !before || receipts[0].Status == types.ReceiptStatusSuccessful {
			return receipts[0], nil
		}
	}
	return nil, fmt.Errorf("%w: %s, %d times", ErrFailed, s.Name, maxAttempts)
}

// Unsent lists those of the names that the state file has no transaction for.
func Unsent(ctx context.Context, env Env, names ...string) ([]string, error) {
	j, err := openJournal(ctx, env)
	if err != nil {
		return nil, fmt.Errorf("open deployment state: %w", err)
	}
	defer j.close()
	var out []string
	for _, name := range names {
		if _, sent := j.find(name); !sent {
			out = append(out, name)
		}
	}
	return out, nil
}
