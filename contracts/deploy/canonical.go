package deploy

import (
	"context"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
)

// Canonical is a token that the service of its home chain locks, and that exists
// on another chain as what the service mints there.
type Canonical struct {
	Token    common.Address `json:"token"`     // on its home chain
	ID       common.Hash    `json:"token_id"`  // at the service, on every chain
	Manager  common.Address `json:"manager"`   // holds what is locked
	DeployTx common.Hash    `json:"deploy_tx"` // that asked the other chain to make it
}

const (
	axRegister = "axelar/register_canonical"
	axAsk      = "axelar/deploy_remote"
)

// RegisterCanonical makes a token known to the service of its chain (LOCK_UNLOCK,
// no operator) and asks the service of another chain to make its interchain
// token. What it asks for arrives like every message: somebody must approve and
// execute it there. It returns once both calls are final.
func RegisterCanonical(ctx context.Context, env Env, deployer Signer, artifacts *Artifacts, home, remote AxelarSet, token common.Address) (Canonical, error) {
	j, err := openJournal(ctx, env)
	if err != nil {
		return Canonical{}, fmt.Errorf("open deployment state: %w", err)
	}
	defer j.close()
	a := &axelar{ctx: ctx, j: j, deployer: deployer, p: AxelarParams{Artifacts: artifacts}}
	b := env.Backend
	c := Canonical{Token: token}
	id, err := view[[32]byte](ctx, b, artifacts, artFactory, home.Factory, nil, "canonicalInterchainTokenId", token)
	if err != nil {
		return c, err
	}
	c.ID = id
	if c.Manager, err = view[common.Address](ctx, b, artifacts, artService, home.Service, nil, "tokenManagerAddress", id); err != nil {
		return c, err
	}
	if err := a.call(axRegister, artFactory, home.Factory, "registerCanonicalInterchainToken", token); err != nil {
		return c, fmt.Errorf("register %s at the token service: %w", token, err)
	}
	if err := a.call(axAsk, artFactory, home.Factory, "deployRemoteCanonicalInterchainToken", token, remote.Chain, new(big.Int)); err != nil {
		return c, fmt.Errorf("ask %s for the interchain token: %w", remote.Chain, err)
	}
	if err := j.settle(ctx); err != nil {
		return c, fmt.Errorf("wait until the token is registered: %w", err)
	}
	r, _ := j.find(axAsk)
	c.DeployTx = r.Hash
	registered, err := view[common.Address](ctx, b, artifacts, artService, home.Service, finalizedTag, "registeredTokenAddress", id)
	if err != nil {
		return c, err
	}
	if registered != token {
		return c, fmt.Errorf("%w: the service knows %s as %s", ErrWrongSet, token, registered)
	}
	return c, nil
}

// InterchainToken is where a service makes the token of an id.
func InterchainToken(ctx context.Context, b Backend, artifacts *Artifacts, set AxelarSet, id common.Hash) (common.Address, error) {
	return view[common.Address](ctx, b, artifacts, artService, set.Service, nil, "interchainTokenAddress", id)
}
