package flow

import (
	"context"
	"fmt"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// burners is a chain whose handlers burn all they are promised: more than fit
// of them go through no transaction.
type burners struct {
	applied, fit int
	err          error          // what the simulation of too many says
	inFlight     map[string]int // key to messages
}

func (c *burners) send(tx chains.Tx, count int) error {
	if _, ok := c.inFlight[tx.Key]; ok {
		return nil
	}
	if tx.Gas == 0 && count > c.fit {
		return c.err
	}
	c.inFlight[tx.Key] = count
	return nil
}

// mine applies what is in flight.
func (c *burners) mine() {
	for _, n := range c.inFlight {
		c.applied += n
	}
	c.inFlight = map[string]int{}
}

var dearErrors = map[string]error{
	"the estimate is above the limit":  fmt.Errorf("simulate: %w: 58000000, limit 30000000", chains.ErrGasLimit),
	"the node gives up at its gas cap": fmt.Errorf("simulate: %w", &chains.RevertError{Data: []byte{0xdd, 0x62, 0x9f, 0x86}}),
}

// TestDeliveriesTooDearForOneTransactionGoInHalves floods a lane with messages
// whose recipients burn their whole stipend.
func TestDeliveriesTooDearForOneTransactionGoInHalves(t *testing.T) {
	for name, cause := range dearErrors {
		t.Run(name, func(t *testing.T) {
			chain := &burners{fit: 13, err: cause, inFlight: map[string]int{}}
			var batch Batch
			for i := range uint64(100) {
				batch.Transfers = append(batch.Transfers, tokens.Transfer{ID: common.BigToHash(common.Big1), Nonce: i, Payload: []byte{1}})
			}
			count := 0
			d := DeliverDeps{
				AppliedLatest: func(context.Context) (Applied, error) { return Applied{Nonce: uint64(chain.applied)}, nil },
				CommittedAt:   func(context.Context, uint64) (Pair, error) { return Pair{Nonce: 100}, nil },
				Bodies: func(_ context.Context, _ string, from, to uint64) ([][]byte, error) {
					return make([][]byte, to-from), nil
				},
				LatestStatement: func(context.Context) (uint64, error) { return 0, nil },
				Statements:      func(context.Context, uint64) ([]Statement, error) { return nil, nil },
				DeliverTx: func(bodies [][]byte, _ []common.Hash) (chains.Tx, error) {
					count = len(bodies)
					return chains.Tx{}, nil
				},
				Send:     func(_ context.Context, tx chains.Tx) error { return chain.send(tx, count) },
				MaxBytes: 100 << 10, MaxCount: 100,
			}
			do := d.deliver("deliver", common.Address{1})
			for looks := 0; chain.applied < 100; looks++ {
				require.Less(t, looks, 40, "stuck at %d", chain.applied)
				_, err := do(t.Context(), batch)
				require.NoError(t, err)
				// A look while the transaction is undecided sends nothing more.
				before := len(chain.inFlight)
				_, err = do(t.Context(), batch)
				require.NoError(t, err)
				require.Len(t, chain.inFlight, before)
				chain.mine()
			}
			require.Equal(t, 100, chain.applied)
		})
	}
}

// TestExecutionsTooDearForOneTransactionGoInHalves is the way up.
func TestExecutionsTooDearForOneTransactionGoInHalves(t *testing.T) {
	for name, cause := range dearErrors {
		t.Run(name, func(t *testing.T) {
			var messages []ipc.IpcEnvelope
			for i := range uint64(50) {
				messages = append(messages, ipc.IpcEnvelope{Kind: ipc.KindCall, LocalNonce: i, Value: common.Big0,
					To: ipc.NewAddress(ipc.NewSubnetID(1), common.Address{2}), From: ipc.NewAddress(ipc.NewSubnetID(1, common.Address{1}), common.Address{3})})
			}
			chain := &burners{fit: 12, err: cause, inFlight: map[string]int{}}
			count := 0
			d := CheckpointDeps{
				StateLatest: func(context.Context) (RootState, error) {
					tree := ipc.BatchTree(messages)
					return RootState{LastHeight: 10, Applied: uint64(chain.applied), Pending: []PendingBatch{{
						Height: 10, Commitment: ipc.Commitment{TotalNumMsgs: 50, MsgsRoot: tree.Root()},
					}}}, nil
				},
				Batch:     func(context.Context, uint64) ([]ipc.IpcEnvelope, error) { return messages, nil },
				ExecuteTx: func(_ uint64, in []ipc.Inclusion) (chains.Tx, error) { count = len(in); return chains.Tx{}, nil },
				SendRoot:  func(_ context.Context, tx chains.Tx) error { return chain.send(tx, count) },
				MaxBytes:  100 << 10, MaxCount: 50, MaxSend: 12,
			}
			do := d.execute(Subnet{Actor: common.Address{1}, Period: 10})
			batch := Batch{Transfers: []tokens.Transfer{{Nonce: 10}}}
			for looks := 0; chain.applied < 50; looks++ {
				require.Less(t, looks, 40, "stuck at %d", chain.applied)
				_, err := do(t.Context(), batch)
				require.NoError(t, err)
				require.LessOrEqual(t, len(chain.inFlight), 1, "nothing is sent behind a batch that was cut short")
				chain.mine()
			}
			require.Equal(t, 50, chain.applied)
		})
	}
}

// TestABacklogUnderOneStatementFitsWithItsHashes: the node was away while a
// thousand deposits were made, and the first statement after that covers them
// all.
func TestABacklogUnderOneStatementFitsWithItsHashes(t *testing.T) {
	const all = 1024
	// Of call data, as our sender has it, and as a stricter chain might.
	for _, limit := range []int{120 << 10, 60 << 10} {
		chain := &burners{fit: all, inFlight: map[string]int{}}
		var batch Batch
		for i := range uint64(256) {
			batch.Transfers = append(batch.Transfers, tokens.Transfer{ID: common.BigToHash(common.Big1), Nonce: i, Payload: make([]byte, 1056)})
		}
		count, size, cut := 0, 0, 0
		d := DeliverDeps{
			AppliedLatest: func(context.Context) (Applied, error) { return Applied{Nonce: uint64(chain.applied)}, nil },
			CommittedAt:   func(context.Context, uint64) (Pair, error) { return Pair{Nonce: all}, nil },
			Bodies: func(_ context.Context, _ string, from, to uint64) ([][]byte, error) {
				return make([][]byte, to-from), nil
			},
			LatestStatement: func(context.Context) (uint64, error) { return 0, nil },
			Statements:      func(context.Context, uint64) ([]Statement, error) { return nil, nil },
			DeliverTx: func(bodies [][]byte, tail []common.Hash) (chains.Tx, error) {
				count, size = len(bodies), 32*len(tail)
				for _, b := range bodies {
					size += len(b) + 64
				}
				return chains.Tx{}, nil
			},
			Send: func(_ context.Context, tx chains.Tx) error {
				if size > limit {
					cut++
					return fmt.Errorf("transaction: %w", chains.ErrTooLarge)
				}
				return chain.send(tx, count)
			},
			MaxBytes: 100 << 10, MaxCount: 100,
		}
		do := d.deliver("deliver", common.Address{1})
		for looks := 0; chain.applied < len(batch.Transfers); looks++ {
			require.Less(t, looks, 20, "stuck at %d", chain.applied)
			_, err := do(t.Context(), batch)
			require.NoError(t, err)
			chain.mine()
		}
		require.Equal(t, limit == 60<<10, cut > 0, "halves are for chains we know too little of")
	}
}
