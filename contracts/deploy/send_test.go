package deploy_test

import (
	"math/big"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"
)

// TestAStepThatSomebodyElseMayMakeNeedlessFailsNothing: the account's money is gone
// when an attempt is mined, and there again for the next one.
func TestAStepThatSomebodyElseMayMakeNeedlessFailsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	env, ctx, flt := r.env(t), t.Context(), bindings.NewDevFlt()
	token, err := deploy.L1Token(ctx, env, r.deployer, ether(10))
	require.NoError(t, err)
	to, elsewhere := common.Address{19: 0xaa}, common.Address{19: 0xbb}
	step := deploy.Step{Name: "give", To: token, Data: flt.PackTransfer(to, ether(10))}
	unsent, err := deploy.Unsent(ctx, env, "attempt/give/0", "flt/l1_token", "never")
	require.NoError(t, err)
	require.Equal(t, []string{"attempt/give/0", "never"}, unsent)

	// Somebody is first, in the same block.
	r.chain.Pause()
	nonce, err := r.client.PendingNonceAt(ctx, r.deployer.Address())
	require.NoError(t, err)
	first, err := r.deployer.SignTx(types.NewTx(&types.DynamicFeeTx{
		ChainID: big.NewInt(rootChainID), Nonce: nonce, To: &token, Data: flt.PackTransfer(elsewhere, ether(10)), Gas: 100_000,
		GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e11),
	}), big.NewInt(rootChainID))
	require.NoError(t, err)
	require.NoError(t, r.client.SendTransaction(ctx, first))
	type end struct {
		receipt *types.Receipt
		err     error
	}
	done := make(chan end, 1)
	go func() {
		receipt, err := deploy.Attempt(ctx, env, r.deployer, step)
		done <- end{receipt, err}
	}()
	require.Eventually(t, func() bool {
		n, err := r.client.PendingNonceAt(ctx, r.deployer.Address())
		return err == nil && n == nonce+2
	}, 30*time.Second, 5*time.Millisecond)
	r.chain.Resume()
	e := <-done
	require.NoError(t, e.err)
	require.Equal(t, types.ReceiptStatusFailed, e.receipt.Status)

	// A simulation that fails sends nothing; other steps go on.
	_, err = deploy.Attempt(ctx, env, r.deployer, step)
	require.ErrorIs(t, err, deploy.ErrSimulate)
	require.NoError(t, deploy.Mint(ctx, env, r.deployer, []deploy.Grant{{Token: token, To: r.deployer.Address(), Amount: ether(10)}}), "recorded before: nothing is minted again")
	_, err = deploy.Send(ctx, env, r.deployer, deploy.Step{Name: "more", To: token, Data: flt.PackMint(r.deployer.Address(), ether(10))})
	require.NoError(t, err, "what failed is no failure of the deployment")
	receipt, err := deploy.Attempt(ctx, env, r.deployer, step)
	require.NoError(t, err)
	require.Equal(t, types.ReceiptStatusSuccessful, receipt.Status)
	again, err := deploy.Attempt(ctx, env, r.deployer, step)
	require.NoError(t, err)
	require.Equal(t, receipt.TxHash, again.TxHash, "it has succeeded: nothing is sent")
}

// TestWhatIsPostedStandsOnWhatWasPostedBefore, and sending the same waits for it.
func TestWhatIsPostedStandsOnWhatWasPostedBefore(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	env, ctx, flt := r.env(t), t.Context(), bindings.NewDevFlt()
	token, err := deploy.L1Token(ctx, env, r.deployer, ether(10))
	require.NoError(t, err)
	who := r.deployer.Address()
	allow := []deploy.Step{{Name: "allow", To: token, Data: flt.PackApprove(who, ether(4))}}
	take := []deploy.Step{{Name: "take", To: token, Data: flt.PackTransferFrom(who, common.Address{19: 0xaa}, ether(4))}}
	require.ErrorIs(t, deploy.Post(ctx, env, r.deployer, take), deploy.ErrSimulate)
	require.NoError(t, deploy.Post(ctx, env, r.deployer, allow, take))
	nonce, err := r.client.PendingNonceAt(ctx, who)
	require.NoError(t, err)
	require.NoError(t, deploy.Post(ctx, env, r.deployer, allow, take))
	receipts, err := deploy.Send(ctx, env, r.deployer, take...)
	require.NoError(t, err)
	require.LessOrEqual(t, receipts[0].BlockNumber.Uint64(), r.chain.Finalized().Number)
	after, err := r.client.PendingNonceAt(ctx, who)
	require.NoError(t, err)
	require.Equal(t, nonce, after)
}
