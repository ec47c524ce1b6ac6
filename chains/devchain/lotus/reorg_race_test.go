package lotus_test

import (
	"context"
	"math/big"
	"testing"

	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/filecoin-project/lotus/chain/types"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

func TestReadersDuringReorgsNeverSeeAMixture(t *testing.T) {
	r := start(t, lotus.Config{NullRate: 0.2})
	cl, full := dial(t, r.Node(0).HTTP()), lotusClient(t, r.Node(0).HTTP())
	contract := deploy(t, r, cl)
	for i := range uint64(5) {
		send(t, cl, i+1, &contract, nil)
		mine(t, r, 2)
	}
	settled := r.Head()
	mine(t, r, 10)

	ctx, stop := context.WithCancel(t.Context())
	group, _ := errgroup.WithContext(ctx)
	group.Go(func() error {
		for ctx.Err() == nil {
			logs, err := cl.FilterLogs(ctx, ethereum.FilterQuery{FromBlock: common.Big0, ToBlock: new(big.Int).SetUint64(settled), Addresses: []common.Address{contract}})
			if ctx.Err() == nil && (err != nil || len(logs) != 5) {
				t.Errorf("logs below every reorg: %d, %v", len(logs), err)
			}
		}
		return nil
	})
	group.Go(func() error {
		for ctx.Err() == nil {
			head, err := full.ChainHead(ctx)
			for back := 0; err == nil && back < 4; back++ {
				parents := head.Parents()
				if head, err = full.ChainGetTipSet(ctx, parents); err == nil && head.Key() != parents {
					t.Errorf("epoch %d does not hash to its key", head.Height())
				}
			}
			if err == nil {
				_, err = full.ChainGetTipSetByHeight(ctx, head.Height(), types.EmptyTSK)
			}
			if err != nil && ctx.Err() == nil {
				t.Errorf("walk: %v", err)
			}
		}
		return nil
	})
	for i := range uint64(60) {
		require.NoError(t, r.Reorg(t.Context(), 1+i%8))
		mine(t, r, 1)
	}
	stop()
	require.NoError(t, group.Wait())
}
