package ethereum

import (
	"math/big"
	"time"

	"github.com/causeway-bridge/causeway/chains/evm"
)

// Tx is how accounts send on Ethereum: type 2 transactions whose fee cap is
// twice the base fee (six full blocks of rise) and never above 200 gwei, whose
// tip is the node's suggestion and never above 5 gwei, and which are replaced at
// +12.5 % after three slots without inclusion. What costs more than the ceilings
// waits until it is cheaper. Zero ceilings in the configuration keep these.
func Tx() evm.TxConfig {
	gwei := func(n int64) *big.Int { return new(big.Int).Mul(big.NewInt(n), big.NewInt(1_000_000_000)) }
	c := evm.DefaultTx()
	c.MaxFeeCapWei, c.MaxTipWei, c.MinTipWei = gwei(200), gwei(5), big.NewInt(100_000_000)
	c.BaseFeeFactor, c.BumpPermille = 200, 125
	c.BumpAfter, c.RebroadcastAfter = 36*time.Second, 24*time.Second
	// A block of the network holds 60 M; nothing of ours needs a third of one.
	c.MaxGas = 16_000_000
	return c
}
