package lotus_test

import (
	"encoding/json"
	"math/big"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"
)

// speedEpochs is how many blocks the comparison asks about, one log in each.
const speedEpochs = 1000

// fastest is the shortest of some tries at all logs of a contract.
func fastest(t *testing.T, cl *ethclient.Client, contract common.Address, to uint64) time.Duration {
	t.Helper()
	best := time.Hour
	for range 5 {
		began := time.Now()
		var raw json.RawMessage
		require.NoError(t, cl.Client().CallContext(t.Context(), &raw, "eth_getLogs", map[string]any{
			"fromBlock": "0x0", "toBlock": "0x" + big.NewInt(int64(to)).Text(16), "address": contract}))
		best = min(best, time.Since(began))
		var logs []map[string]any
		require.NoError(t, json.Unmarshal(raw, &logs))
		require.Len(t, logs, speedEpochs)
	}
	return best
}

// The times are for the reader: which machine this is, a test cannot know.
func TestAThousandLogsComeInOneAnswer(t *testing.T) {
	if testing.Short() {
		t.Skip("makes thousands of blocks")
	}
	_, rich := key("rich")
	alloc := map[common.Address]*big.Int{rich: ether(1000)}
	geth, err := devchain.Start(t.Context(), devchain.Config{ChainID: chainID, Alloc: alloc, Manual: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, geth.Close()) })
	r := start(t, lotus.Config{})

	fill := func(cl *ethclient.Client, step func()) (contract common.Address) {
		create := send(t, cl, 0, nil, emitter)
		step()
		step()
		receipt, err := cl.TransactionReceipt(t.Context(), create.Hash())
		require.NoError(t, err)
		for i := range uint64(speedEpochs) {
			send(t, cl, i+1, &receipt.ContractAddress, nil)
			step()
		}
		step()
		step()
		return receipt.ContractAddress
	}
	below, above := dial(t, geth.HTTP()), dial(t, r.Node(0).HTTP())
	first := fill(below, func() { require.NoError(t, geth.Mine(t.Context(), 1)) })
	second := fill(above, func() { mine(t, r, 1) })
	plain := fastest(t, below, first, geth.Head().Number)
	ours := fastest(t, above, second, r.Head()-1)
	t.Logf("%d logs of %d blocks: geth %s, lotus %s", speedEpochs, r.Head(), plain, ours)
}
