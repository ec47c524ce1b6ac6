package lotus_test

import (
	"math/big"
	"testing"

	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"
)

func TestThePoolRefusesInLotusWords(t *testing.T) {
	r := start(t, lotus.Config{})
	cl := dial(t, r.Node(0).HTTP())
	to := common.Address{1}
	push := func(word string, tx types.DynamicFeeTx) error {
		if tx.Gas == 0 {
			tx.Gas = 100_000
		}
		tx.To = &to
		return cl.SendTransaction(t.Context(), sign(t, word, &tx))
	}
	premium := func(n int64) *big.Int { return big.NewInt(n) }
	require.NoError(t, push("rich", types.DynamicFeeTx{}))
	require.ErrorContains(t, push("rich", types.DynamicFeeTx{}), "already in mpool: message with nonce already exists")
	require.ErrorContains(t, push("rich", types.DynamicFeeTx{GasTipCap: premium(110_000)}),
		"increase GasPremium to 110001 from 110000 to trigger replace by fee: replace by fee has too low GasPremium")
	require.NoError(t, push("rich", types.DynamicFeeTx{GasTipCap: premium(110_001), GasFeeCap: big.NewInt(1e9 + 1)}), "only the premium is compared")
	require.ErrorContains(t, push("rich", types.DynamicFeeTx{Nonce: 2}), "unfulfilled nonce gap")
	require.ErrorContains(t, push("poor", types.DynamicFeeTx{}), "not enough funds (required:")
	require.ErrorContains(t, push("rich", types.DynamicFeeTx{Nonce: 1, GasTipCap: premium(3e9)}), "'GasFeeCap' less than 'GasPremium'")
	require.ErrorContains(t, push("rich", types.DynamicFeeTx{Nonce: 1, Gas: 20_000}), "'GasLimit' field cannot be less than the cost of storing a message on chain")
	require.ErrorContains(t, push("rich", types.DynamicFeeTx{Nonce: 1, Gas: 1e10 + 1}), "cannot be greater than a block's gas limit")
	mine(t, r, 1)
	require.ErrorContains(t, push("rich", types.DynamicFeeTx{}), "minimum expected nonce is 1, got 0: message nonce too low")

	r.SetPoolRules(lotus.PoolRules{ReplacePercent: 125, MaxPending: 2, MaxGap: 1})
	require.NoError(t, push("rich", types.DynamicFeeTx{Nonce: 1}))
	require.ErrorContains(t, push("rich", types.DynamicFeeTx{Nonce: 1, GasTipCap: premium(125_000)}), "increase GasPremium to 125001")
	require.NoError(t, push("rich", types.DynamicFeeTx{Nonce: 3}), "a gap of one is allowed now")
	require.ErrorContains(t, push("rich", types.DynamicFeeTx{Nonce: 2}), "too many pending messages for actor")
}

func TestAFeeCapBelowTheBaseFeeIsTakenAndWaits(t *testing.T) {
	r := start(t, lotus.Config{})
	cl := dial(t, r.Node(0).HTTP())
	r.SetBaseFee(big.NewInt(5e9))
	_, rich := key("rich")
	_, err := cl.EstimateGas(t.Context(), ethereum.CallMsg{From: rich, To: &common.Address{1}, GasFeeCap: big.NewInt(1), GasTipCap: big.NewInt(1)})
	require.NoError(t, err, "an estimate does not look at fees")
	tx := send(t, cl, 0, &common.Address{1}, nil) // fee cap 2e9
	mine(t, r, 3)
	_, pending, err := cl.TransactionByHash(t.Context(), tx.Hash())
	require.NoError(t, err)
	require.True(t, pending)
	h, err := cl.HeaderByNumber(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, big.NewInt(5e9), h.BaseFee)
	r.SetBaseFee(big.NewInt(100))
	mine(t, r, 2)
	_, err = cl.TransactionReceipt(t.Context(), tx.Hash())
	require.NoError(t, err)
}

func TestPendingNoncesCountThePool(t *testing.T) {
	r := start(t, lotus.Config{})
	cl := dial(t, r.Node(0).HTTP())
	_, rich := key("rich")
	for i := range uint64(3) {
		send(t, cl, i, &common.Address{1}, nil)
	}
	nonces := func() (latest, pending uint64) {
		latest, err := cl.NonceAt(t.Context(), rich, nil)
		require.NoError(t, err)
		pending, err = cl.PendingNonceAt(t.Context(), rich)
		require.NoError(t, err)
		return latest, pending
	}
	latest, pending := nonces()
	require.EqualValues(t, []uint64{0, 3}, []uint64{latest, pending})
	mine(t, r, 1)
	latest, pending = nonces()
	require.EqualValues(t, []uint64{0, 3}, []uint64{latest, pending}, "the head has them, nobody executed them")
	mine(t, r, 1)
	latest, pending = nonces()
	require.EqualValues(t, []uint64{3, 3}, []uint64{latest, pending})
}

func TestAMarketThatGoesUpLeavesTheCheapWaiting(t *testing.T) {
	r := start(t, lotus.Config{})
	cl := dial(t, r.Node(0).HTTP())
	require.NoError(t, cl.Client().CallContext(t.Context(), nil, "dev_setMinTip", "0xf4240"))
	send(t, cl, 0, &common.Address{1}, nil)
	tip, err := cl.SuggestGasTipCap(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1_000_000, tip.Int64())
	mine(t, r, 2)
	dear := sign(t, "rich", &types.DynamicFeeTx{To: &common.Address{1}, Gas: 100_000, GasTipCap: tip})
	require.NoError(t, cl.SendTransaction(t.Context(), dear))
	mine(t, r, 2)
	receipt, err := cl.TransactionReceipt(t.Context(), dear.Hash())
	require.NoError(t, err)
	require.EqualValues(t, 3, receipt.BlockNumber.Uint64())
}
