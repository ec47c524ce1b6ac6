package node

import (
	"context"
	"math/big"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/stretchr/testify/require"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
)

type hexBytes = hexutil.Bytes

func TestOneValidatorMakesABlockASecondAndServesRPC(t *testing.T) {
	t.Parallel()
	r := startRig(t, 5)
	r.reach(4)
	ctx := context.Background()
	id, err := r.eth.ChainID(ctx)
	require.NoError(t, err)
	require.Equal(t, int64(subnetID), id.Int64())

	st := call[Status](r, "status")
	require.GreaterOrEqual(t, st.Height, uint64(4))
	require.Equal(t, r.g.Hash(), st.GenesisHash)
	require.False(t, st.CatchingUp)
	require.Len(t, st.Validators, 1)
	require.Equal(t, int64(1000), st.Validators[0].Power)

	// The EVM clock does not run ahead of the wall clock.
	header, err := r.eth.HeaderByNumber(ctx, nil)
	require.NoError(t, err)
	require.LessOrEqual(t, header.Time, uint64(time.Now().Unix()))
	require.Equal(t, addrOf(testKey("validator 0")), header.Coinbase)

	// finalized is what Commit made durable.
	final, err := r.eth.HeaderByNumber(ctx, big.NewInt(-3))
	require.NoError(t, err)
	require.GreaterOrEqual(t, final.Number.Uint64(), st.Height)
}

func TestDangerousDebugCallsAreNotServed(t *testing.T) {
	t.Parallel()
	r := startRig(t, 5)
	for _, method := range []string{"debug_setHead", "debug_startCPUProfile", "debug_chaindbCompact", "admin_addPeer", "miner_setExtra"} {
		err := r.rpc.Call(nil, method, "0x0")
		require.ErrorContains(t, err, "does not exist", method)
	}
	over, err := rpc.Dial(r.node.Addrs().HTTP)
	require.NoError(t, err)
	defer over.Close()
	var version string
	require.NoError(t, over.Call(&version, "web3_clientVersion"))
	r.reach(1)
	var trace []any
	require.NoError(t, over.Call(&trace, "debug_traceBlockByNumber", "0x1"))
}

func TestAMessageOfTheParentIsAttestedAndDelivered(t *testing.T) {
	t.Parallel()
	r := startRig(t, 5)
	to := addrOf(testKey("alice"))
	r.parent.send(to, 1e15)
	r.parent.send(to, 2e15)
	r.parent.mine(2)

	f := r.finality("a statement with two messages", func(f Finality) bool { return f.Statement.TopDownNonce == 2 })
	require.True(t, f.Quorum)
	require.Equal(t, r.parent.rolling, f.Statement.TopDownHash)
	signer, err := ipc.Recover(f.Digest, f.Signatures[0])
	require.NoError(t, err)
	require.Equal(t, f.Signatories[0], signer)
	require.Equal(t, uint64(1), r.carry(f).Status)

	raw := abi.ConvertType(r.parent.sent, new([]bindings.IpcEnvelope)).(*[]bindings.IpcEnvelope)
	receipt := r.transact(ipc.GatewayAddress, bindings.NewSubnetGateway().PackDeliver(*raw, nil), nil)
	require.Equal(t, uint64(1), receipt.Status)
	balance, err := r.eth.BalanceAt(context.Background(), to, nil)
	require.NoError(t, err)
	require.Equal(t, int64(3e15), balance.Int64())

	// The next statement builds on this one, and the cache forgets what is committed.
	r.parent.send(to, 1)
	r.parent.mine(1)
	f = r.finality("a statement with the third", func(f Finality) bool { return f.Statement.TopDownNonce == 3 })
	require.Equal(t, uint64(1), r.carry(f).Status)
	eventually(t, "the cache to be pruned", 10*time.Second, func() bool {
		r.node.app.cache.mu.RLock()
		defer r.node.app.cache.mu.RUnlock()
		return r.node.app.cache.messages.first.Count == 3
	})
}

func TestACheckpointBundleVerifies(t *testing.T) {
	t.Parallel()
	r := startRig(t, 4)
	// A message up, so that the batch is not empty.
	receipt := r.transact(ipc.GatewayAddress, bindings.NewSubnetGateway().PackRelease(bindings.FvmAddress(ipc.FromEVM(addrOf(testKey("bob"))))), big.NewInt(2e16))
	require.Equal(t, uint64(1), receipt.Status)
	h := (receipt.BlockNumber.Uint64()/4 + 1) * 4

	var cp *Checkpoint
	eventually(t, "the checkpoint to be signed", 30*time.Second, func() bool {
		cp = call[*Checkpoint](r, "checkpoint", h)
		return cp != nil && cp.Quorum
	})
	require.Equal(t, h, cp.Checkpoint.BlockHeight)
	require.Equal(t, uint64(1), cp.Checkpoint.Msgs.TotalNumMsgs)
	require.Equal(t, uint64(4), cp.Checkpoint.Activity.Consensus.Stats.TotalNumBlocksCommitted)
	require.Equal(t, uint64(1), cp.Checkpoint.Activity.Consensus.Stats.TotalActiveValidators)
	require.Equal(t, common.Hash(r.node.comet.BlockStore().LoadBlockMeta(int64(h)).BlockID.Hash), cp.Checkpoint.BlockHash)

	wire := ipc.BottomUpCheckpoint{
		SubnetID: r.g.SubnetID.ID(), BlockHeight: new(big.Int).SetUint64(h), BlockHash: cp.Checkpoint.BlockHash,
		NextConfigurationNumber: cp.Checkpoint.NextConfigurationNumber,
		Msgs:                    ipc.Commitment{TotalNumMsgs: 1, MsgsRoot: cp.Checkpoint.Msgs.MsgsRoot},
	}
	wire.Activity.Consensus.Stats = ipc.AggregatedStats{TotalActiveValidators: 1, TotalNumBlocksCommitted: 4}
	wire.Activity.Consensus.DataRootCommitment = ipc.ActivityTree([]ipc.ValidatorData{{Validator: addrOf(testKey("validator 0")), BlocksCommitted: 4}}).Root()
	require.Equal(t, wire.Hash(), cp.Hash)
	signer, err := ipc.Recover(cp.Hash, cp.Signatures[0])
	require.NoError(t, err)
	require.Equal(t, addrOf(testKey("validator 0")), signer)

	require.Nil(t, call[*Checkpoint](r, "checkpoint", h+1))
	require.Nil(t, call[*Checkpoint](r, "checkpoint", 1<<40))
}

func TestOutboxRootsAndBurntFeesAreServed(t *testing.T) {
	t.Parallel()
	r := startRig(t, 5)
	receipt := r.transact(addrOf(testKey("carol")), nil, big.NewInt(1))
	var root *Root
	eventually(t, "an outbox root", 30*time.Second, func() bool {
		root = call[*Root](r, "outboxRoot", 0)
		return root != nil
	})
	require.True(t, root.Quorum)
	require.Equal(t, "0", root.Root.Price)
	require.Equal(t, root.Digest, root.Root.wire().Digest(r.node.app.rules.root))
	h := receipt.BlockNumber.Uint64()
	eventually(t, "the commit to return", 5*time.Second, func() bool { return r.node.Height() >= h })

	sum := new(big.Int)
	for n := uint64(1); n <= h; n++ {
		header, err := r.eth.HeaderByNumber(context.Background(), new(big.Int).SetUint64(n))
		require.NoError(t, err)
		sum.Add(sum, new(big.Int).Mul(header.BaseFee, new(big.Int).SetUint64(header.GasUsed)))
	}
	require.Equal(t, sum.String(), call[string](r, "burnt", h))
	require.Positive(t, sum.Sign())
	require.Error(t, r.rpc.Call(new(string), "causeway_burnt", h+1000))
}

func TestTheEVMClockFollowsConsensusButAlwaysMoves(t *testing.T) {
	require.Equal(t, uint64(5), nextTime(&types.Header{Time: 4}, time.Unix(2, 0)))
	require.Equal(t, uint64(9), nextTime(&types.Header{Time: 4}, time.Unix(9, 999)))
}

func TestARestartGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	r := startRig(t, 4)
	r.parent.send(addrOf(testKey("alice")), 5)
	r.parent.mine(1)
	r.reach(3)
	before := r.node.app.current()
	r.restart()
	require.GreaterOrEqual(t, r.node.Height(), before.Height)
	header, err := r.eth.HeaderByNumber(context.Background(), new(big.Int).SetUint64(before.Height))
	require.NoError(t, err)
	require.Equal(t, before.Hash, header.Hash())
	r.finality("a statement after the restart", func(f Finality) bool { return f.Statement.TopDownNonce == 1 })
	r.reach(before.Height + 2)
}
