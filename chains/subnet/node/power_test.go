package node

import (
	"context"
	"crypto/ecdsa"
	"fmt"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
)

// deployForwarder puts a contract on the subnet that passes its calldata on to
// the gateway, so that calls reach it from inside.
func (r *rig) deployForwarder() common.Address {
	r.t.Helper()
	run := common.FromHex("365f5f375f5f365f5f73" + ipc.GatewayAddress.Hex()[2:] + "5af100")
	init := append([]byte{0x60, byte(len(run)), 0x60, 0x0a, 0x5f, 0x39, 0x60, byte(len(run)), 0x5f, 0xf3}, run...)
	ctx, key := context.Background(), testKey("relayer")
	nonce, err := r.eth.PendingNonceAt(ctx, addrOf(key))
	require.NoError(r.t, err)
	tx := types.MustSignNewTx(key, types.LatestSignerForChainID(big.NewInt(int64(subnetID))), &types.LegacyTx{
		Nonce: nonce, Data: init, Gas: 1_000_000, GasPrice: big.NewInt(1e10),
	})
	require.NoError(r.t, r.eth.SendTransaction(ctx, tx))
	var receipt *types.Receipt
	eventually(r.t, "the forwarder", 30*time.Second, func() bool {
		receipt, err = r.eth.TransactionReceipt(ctx, tx.Hash())
		return err == nil
	})
	require.Equal(r.t, uint64(1), receipt.Status)
	return receipt.ContractAddress
}

func packChanges(p *fakeParent) []byte {
	list := *abi.ConvertType(p.changed, new([]bindings.PowerChangeRequest)).(*[]bindings.PowerChangeRequest)
	return bindings.NewSubnetGateway().PackDeliverPowerChanges(list, nil)
}

// storeChanges carries everything the root has changed into the gateway.
func (r *rig) storeChanges(through common.Address) {
	r.t.Helper()
	want := r.parent.number
	f := r.finality("a statement with the power changes", func(f Finality) bool { return f.Statement.PowerChangeNonce == want })
	require.Equal(r.t, uint64(1), r.carry(f).Status)
	receipt := r.transact(through, packChanges(r.parent), nil)
	require.Equal(r.t, uint64(1), receipt.Status)
	require.NotEmpty(r.t, receipt.Logs, "the gateway stored them")
}

// switched waits for the checkpoint that names a configuration to have its
// quorum, and applies it on the gateway.
func (r *rig) switched(config uint64) *Checkpoint {
	r.t.Helper()
	var cp *Checkpoint
	eventually(r.t, fmt.Sprintf("a signed checkpoint with configuration %d", config), 60*time.Second, func() bool {
		st := call[Status](r, "status")
		for h := st.Height / st.Period * st.Period; h > 0; h -= st.Period {
			if c := call[*Checkpoint](r, "checkpoint", h); c != nil && c.Checkpoint.NextConfigurationNumber == config && c.Quorum {
				cp = c
			}
		}
		return cp != nil
	})
	b := cp.Checkpoint
	wire := bindings.BottomUpCheckpoint{
		SubnetID:    bindings.SubnetID{Root: b.SubnetID.Root, Route: b.SubnetID.Route},
		BlockHeight: new(big.Int).SetUint64(b.BlockHeight), BlockHash: b.BlockHash, NextConfigurationNumber: config,
		Msgs: bindings.Commitment{TotalNumMsgs: b.Msgs.TotalNumMsgs, MsgsRoot: b.Msgs.MsgsRoot},
	}
	wire.Activity.Consensus.Stats.TotalActiveValidators = b.Activity.Consensus.Stats.TotalActiveValidators
	wire.Activity.Consensus.Stats.TotalNumBlocksCommitted = b.Activity.Consensus.Stats.TotalNumBlocksCommitted
	wire.Activity.Consensus.DataRootCommitment = b.Activity.Consensus.DataRootCommitment
	receipt := r.transact(ipc.GatewayAddress, bindings.NewSubnetGateway().PackApplyConfiguration(wire, cp.Signatories, raw(nil, cp.Signatures)), nil)
	require.Equal(r.t, uint64(1), receipt.Status)
	eventually(r.t, "the commit to return", 10*time.Second, func() bool {
		return call[Status](r, "status").Configuration == config
	})
	return cp
}

func TestARaisedStakeFlowsThroughToTheValidatorSet(t *testing.T) {
	t.Parallel()
	r := startRig(t, 4)
	forwarder := r.deployForwarder()
	me, weight := addrOf(testKey("validator 0")), new(big.Int).Mul(big.NewInt(25), big.NewInt(1e17))
	r.parent.change(me, weight)
	r.parent.mine(1)
	r.storeChanges(forwarder)
	r.switched(1)
	st := call[Status](r, "status")
	require.Equal(t, int64(2500), st.Validators[0].Power)
	require.Equal(t, weight.String(), st.Validators[0].Weight)

	// CometBFT has the same power, the gateway the same membership.
	eventually(t, "consensus to switch", 20*time.Second, func() bool {
		return totalPower(t, r) == 2500
	})
	gateway := bindings.NewSubnetGateway()
	out, err := r.node.evm.call(r.node.app.header(), ipc.GatewayAddress, gateway.PackGetCurrentMembership())
	require.NoError(t, err)
	members, err := gateway.UnpackGetCurrentMembership(out)
	require.NoError(t, err)
	require.Len(t, members.Validators, 1)
	require.Equal(t, weight, members.Validators[0].Weight)

	// Statements go on under the new configuration, across a restart too.
	r.restart()
	r.parent.send(me, 5)
	r.parent.mine(1)
	f := r.finality("a statement of configuration 1", func(f Finality) bool {
		return f.Statement.SignerConfig == 1 && f.Statement.TopDownNonce == 1
	})
	require.Equal(t, uint64(1), r.carry(f).Status)
	require.Equal(t, weight.String(), f.Total)
}

// totalPower is what CometBFT itself counts for the next block.
func totalPower(t *testing.T, r *rig) int64 {
	env, err := r.node.comet.ConfigureRPC()
	require.NoError(t, err)
	_, vals := env.ConsensusState.GetValidators()
	var sum int64
	for _, v := range vals {
		sum += v.VotingPower
	}
	return sum
}

func freeAddr(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	return l.Addr().String()
}

// startMany runs a subnet of n validators in this process.
func startMany(t *testing.T, period uint64, n int) []*rig {
	p := newFakeParent("main")
	keys := make([]*ecdsa.PrivateKey, n)
	for i := range keys {
		keys[i] = testKey(fmt.Sprintf("validator %d", i))
	}
	g := testGenesis(t, p, period, keys...)
	rigs, peers := make([]*rig, n), make([]string, n)
	for i := range rigs {
		rigs[i] = &rig{t: t, g: g, parent: p, home: t.TempDir(), p2p: freeAddr(t)}
		require.NoError(t, InitHome(rigs[i].home, g, keys[i]))
		id, err := NodeID(rigs[i].home)
		require.NoError(t, err)
		peers[i] = id + "@" + rigs[i].p2p
	}
	for i, r := range rigs {
		r.peers = append(append([]string(nil), peers[:i]...), peers[i+1:]...)
		for _, other := range rigs[:i] {
			r.evmPeers = append(r.evmPeers, other.node.Addrs().EVMP2P)
		}
		r.gossip = true
		r.start()
		t.Cleanup(func() { require.NoError(t, r.node.Stop()) })
	}
	return rigs
}

func TestFourValidatorsAgreeWithOneDownAndOneLeaving(t *testing.T) {
	t.Parallel()
	rigs := startMany(t, 4, 4)
	r := rigs[0]
	r.reach(3)
	r.parent.send(addrOf(testKey("alice")), 11)
	r.parent.mine(1)
	f := r.finality("a statement of at least three", func(f Finality) bool { return f.Statement.TopDownNonce == 1 })
	require.GreaterOrEqual(t, len(f.Signatories), 3)
	require.Equal(t, uint64(1), r.carry(f).Status)

	// One goes down: the others go on, and sign.
	require.NoError(t, rigs[3].node.Stop())
	r.parent.change(addrOf(testKey("validator 3")), new(big.Int))
	r.parent.mine(1)
	r.storeChanges(ipc.GatewayAddress)
	cp := r.switched(1)
	require.NotContains(t, cp.Signatories, common.Address{})
	require.Len(t, call[Status](r, "status").Validators, 3)

	// It comes back as a follower, replays, and agrees.
	rigs[3].start()
	top := r.node.Height() + 3
	for _, other := range rigs {
		other.reach(top)
	}
	for _, other := range rigs[1:] {
		for h := uint64(1); h <= top; h++ {
			want := r.node.evm.chain.GetBlockByNumber(h)
			require.Equal(t, want.Hash(), other.node.evm.chain.GetBlockByNumber(h).Hash(), "height %d", h)
		}
	}
	mine, theirs := r.node.app.current(), rigs[3].node.app.current()
	require.Equal(t, mine.Sets, theirs.Sets)

	r.parent.send(addrOf(testKey("alice")), 12)
	r.parent.mine(1)
	f = r.finality("a statement of the new set", func(f Finality) bool {
		return f.Statement.SignerConfig == 1 && f.Statement.TopDownNonce == 2
	})
	require.NotContains(t, f.Signatories, addrOf(testKey("validator 3")))
	require.Equal(t, uint64(1), r.carry(f).Status)
}
