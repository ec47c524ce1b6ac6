package deploy

import (
	"context"
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/ethereum/go-ethereum/common"
)

// Grant mints a dev token.
type Grant struct {
	Token  common.Address
	To     common.Address
	Amount *big.Int // base units
}

// Mint gives dev tokens away, once per token and recipient of a state file. owner owns the
// tokens. It returns once the grants are final.
func Mint(ctx context.Context, env Env, owner Signer, grants []Grant) error {
	j, err := openJournal(ctx, env)
	if err != nil {
		return fmt.Errorf("open deployment state: %w", err)
	}
	defer j.close()
	token := bindings.NewDevFlt() // both dev tokens have the same mint
	calls := make([]call, len(grants))
	for i, g := range grants {
		calls[i] = call{
			name: fmt.Sprintf("mint/%s/%s", g.Token.Hex(), g.To.Hex()), from: owner, to: &grants[i].Token,
			data: token.PackMint(g.To, g.Amount),
		}
	}
	if _, err := j.send(ctx, calls...); err != nil {
		return fmt.Errorf("mint: %w", err)
	}
	// Who is granted tokens spends them from another account: a reorg could put
	// the spending in front of the grant, so the grant is final first.
	if err := j.settle(ctx); err != nil {
		return fmt.Errorf("wait until the grants are final: %w", err)
	}
	return nil
}

// L1Token deploys an FLT for development on L1 and mints supply of it to its
// deployer, who owns it. It returns once both are final.
func L1Token(ctx context.Context, env Env, deployer Signer, supply *big.Int) (common.Address, error) {
	token, err := l1Token(ctx, env, deployer)
	if err != nil {
		return common.Address{}, fmt.Errorf("deploy FLT on L1: %w", err)
	}
	return token, Mint(ctx, env, deployer, []Grant{{Token: token, To: deployer.Address(), Amount: supply}})
}

func l1Token(ctx context.Context, env Env, deployer Signer) (common.Address, error) {
	j, err := openJournal(ctx, env)
	if err != nil {
		return common.Address{}, fmt.Errorf("open deployment state: %w", err)
	}
	defer j.close()
	c, err := creation("flt/l1_token", deployer, &bindings.DevFltMetaData, deployer.Address())
	if err != nil {
		return common.Address{}, err
	}
	receipts, err := j.send(ctx, c)
	if err != nil {
		return common.Address{}, err
	}
	crash.At("deploy.after_contract")
	return receipts[0].ContractAddress, nil
}
