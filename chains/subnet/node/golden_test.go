package node

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
)

// The golden vector of PROTOCOL 24: six blocks of a subnet with period three.
// It changes only when checkpoints do, and then every validator must change
// with it.
const (
	goldenFirst  = "0x1b9a1200cbd9a1a07462bdff20fe65f73af4006041431f5fdd34deb457c1398d"
	goldenSecond = "0xfca2bf1cd9e86d8bbf41a2de251d017deed89147664d4cbe0d634ad5b014562c"
)

// chainOf is a chain of blocks without consensus: the test says who proposed
// each, and what is in it.
type chainOf struct {
	t     *testing.T
	g     Genesis
	evm   *evm
	store *store
	rules *rules
	state *chainState
	nonce uint64
}

func newChain(t *testing.T, g Genesis) *chainOf {
	c := &chainOf{t: t, g: g}
	var err error
	c.evm, err = openEVM(Config{Home: t.TempDir()}, g)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.evm.close()) })
	c.store, err = openStore(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.store.close()) })
	sets, err := newSetCache(c.store, g)
	require.NoError(t, err)
	c.rules = newRules(g, newPredeploys(c.evm, g), sets, testLog(t))
	c.state, err = c.rules.start(c.evm.chain.Genesis().Header())
	require.NoError(t, err)
	return c
}

type sentTo struct {
	data  []byte
	value *big.Int
}

// block adds one with these calls of the gateway.
func (c *chainOf) block(proposer common.Address, consensus common.Hash, calls ...sentTo) {
	c.t.Helper()
	for _, call := range calls {
		tx := types.MustSignNewTx(testKey("relayer"), types.LatestSignerForChainID(big.NewInt(int64(subnetID))), &types.DynamicFeeTx{
			ChainID: big.NewInt(int64(subnetID)), Nonce: c.nonce, To: &c.g.Gateway, Data: call.data, Value: call.value, Gas: 3_000_000,
			GasTipCap: big.NewInt(1), GasFeeCap: big.NewInt(1e10),
		})
		require.NoError(c.t, c.evm.eth.APIBackend.SendTx(context.Background(), tx))
		c.nonce++
	}
	head := c.evm.head()
	var b *types.Block
	eventually(c.t, "the pool to hold the calls", 30*time.Second, func() bool {
		var err error
		b, err = c.evm.build(context.Background(), head, head.Time+7, proposer)
		require.NoError(c.t, err)
		return len(b.Transactions()) == len(calls)
	})
	require.NoError(c.t, c.evm.execute(context.Background(), b))
	d := newDraft(c.store)
	next, _, err := c.rules.next(c.state, b, consensus, nil, d)
	require.NoError(c.t, err)
	require.NoError(c.t, d.commit(next.Height, 0))
	require.NoError(c.t, c.evm.setHead(b.Hash()))
	for _, r := range c.evm.chain.GetReceiptsByHash(b.Hash()) {
		require.Equal(c.t, uint64(1), r.Status)
	}
	c.state = next
}

func (c *chainOf) checkpoint(height uint64) *checkpointRecord {
	c.t.Helper()
	rec, ok, err := load[checkpointRecord](c.store, numKey(keyCheckpoint, height))
	require.NoError(c.t, err)
	require.True(c.t, ok)
	return rec
}

// What follows encodes by the published Solidity types alone: nothing of
// chains/ipc is called for the expected values.

func abiType(t *testing.T, parts ...abi.ArgumentMarshaling) abi.Arguments {
	t.Helper()
	typ, err := abi.NewType("tuple", "", parts)
	require.NoError(t, err)
	return abi.Arguments{{Type: typ}}
}

func tuple(name string, parts ...abi.ArgumentMarshaling) abi.ArgumentMarshaling {
	return abi.ArgumentMarshaling{Name: name, Type: "tuple", Components: parts}
}

func field(name, typ string) abi.ArgumentMarshaling {
	return abi.ArgumentMarshaling{Name: name, Type: typ}
}

type (
	wireSubnet struct {
		Root  uint64
		Route []common.Address
	}
	wireDelegated struct {
		Namespace uint64
		Length    *big.Int
		Buffer    []byte
	}
	wireCheckpoint struct {
		SubnetID                wireSubnet
		BlockHeight             *big.Int
		BlockHash               [32]byte
		NextConfigurationNumber uint64
		Msgs                    struct {
			TotalNumMsgs uint64
			MsgsRoot     [32]byte
		}
		Activity struct {
			Consensus struct {
				Stats struct {
					TotalActiveValidators   uint64
					TotalNumBlocksCommitted uint64
				}
				DataRootCommitment [32]byte
			}
		}
	}
)

func subnetFields(name string) abi.ArgumentMarshaling {
	return tuple(name, field("root", "uint64"), field("route", "address[]"))
}

// delegated is the payload of an f410 address.
func delegated(t *testing.T, a common.Address) []byte {
	payload, err := abiType(t, field("namespace", "uint64"), field("length", "uint128"), field("buffer", "bytes")).
		Pack(wireDelegated{10, big.NewInt(20), a[:]})
	require.NoError(t, err)
	return payload
}

// merkle is OpenZeppelin's root of one to three leaves.
func merkle(leaves ...common.Hash) common.Hash {
	slices.SortFunc(leaves, func(a, b common.Hash) int { return bytes.Compare(a[:], b[:]) })
	pair := func(a, b common.Hash) common.Hash {
		if bytes.Compare(a[:], b[:]) > 0 {
			a, b = b, a
		}
		return crypto.Keccak256Hash(a[:], b[:])
	}
	switch len(leaves) {
	case 1:
		return leaves[0]
	case 2:
		return pair(leaves[0], leaves[1])
	}
	return pair(pair(leaves[0], leaves[1]), leaves[2])
}

func twice(b []byte) common.Hash { return crypto.Keccak256Hash(crypto.Keccak256(b)) }

// flat encodes values side by side, as abi.encode(a, b, …) does.
func flat(t *testing.T, types []string, values ...any) []byte {
	t.Helper()
	args := make(abi.Arguments, len(types))
	for i, name := range types {
		typ, err := abi.NewType(name, "", nil)
		require.NoError(t, err)
		args[i].Type = typ
	}
	text, err := args.Pack(values...)
	require.NoError(t, err)
	return text
}

// transferLeaf is the leaf of a withdrawal of value from one account of the
// subnet to one of the root: its 13 flattened fields.
func transferLeaf(t *testing.T, nonce uint64, from, to common.Address, value int64) common.Hash {
	address := []string{"uint64", "address[]", "uint8", "bytes"}
	types := slices.Concat([]string{"uint8", "uint64", "uint64", "uint256"}, address, address, []string{"bytes"})
	return twice(flat(t, types, uint8(0), nonce, nonce, big.NewInt(value),
		uint64(rootID), []common.Address{}, uint8(4), delegated(t, to),
		uint64(rootID), []common.Address{actorAddr}, uint8(4), delegated(t, from), []byte{}))
}

func activityLeaf(t *testing.T, who common.Address, blocks uint64) common.Hash {
	return twice(flat(t, []string{"address", "uint64"}, who, blocks))
}

// expected is abi.encode of a checkpoint of this subnet.
func expected(t *testing.T, height uint64, block common.Hash, config uint64, msgs uint64, root common.Hash, active uint64, activity common.Hash) []byte {
	w := wireCheckpoint{
		SubnetID: wireSubnet{uint64(rootID), []common.Address{actorAddr}}, BlockHeight: new(big.Int).SetUint64(height), BlockHash: block,
		NextConfigurationNumber: config,
	}
	w.Msgs.TotalNumMsgs, w.Msgs.MsgsRoot = msgs, root
	w.Activity.Consensus.Stats.TotalActiveValidators, w.Activity.Consensus.Stats.TotalNumBlocksCommitted = active, 3
	w.Activity.Consensus.DataRootCommitment = activity
	text, err := abiType(t, subnetFields("subnetID"), field("blockHeight", "uint256"), field("blockHash", "bytes32"), field("nextConfigurationNumber", "uint64"),
		tuple("msgs", field("totalNumMsgs", "uint64"), field("msgsRoot", "bytes32")),
		tuple("activity", tuple("consensus", tuple("stats", field("totalActiveValidators", "uint64"), field("totalNumBlocksCommitted", "uint64")),
			field("dataRootCommitment", "bytes32")))).Pack(w)
	require.NoError(t, err)
	return text
}

func TestCheckpointsAreTheGoldenOnesTheFirstIncluded(t *testing.T) {
	keys := []*ecdsa.PrivateKey{testKey("validator 0"), testKey("validator 1")}
	a, b := addrOf(keys[0]), addrOf(keys[1])
	p := newFakeParent("main")
	c := newChain(t, testGenesis(t, p, 3, keys...))
	user, bob := addrOf(testKey("relayer")), common.HexToAddress("0xb0b0000000000000000000000000000000000b0b")
	fee, err := read(c.rules.pre, c.evm.head(), c.g.Gateway, c.rules.pre.abi.PackExitFee(), c.rules.pre.abi.UnpackExitFee)
	require.NoError(t, err)
	release := func(value int64) sentTo {
		return sentTo{bindings.NewSubnetGateway().PackRelease(bindings.FvmAddress(ipc.FromEVM(bob))), new(big.Int).Add(fee, big.NewInt(value))}
	}
	consensus := func(height int) common.Hash {
		return crypto.Keccak256Hash([]byte(fmt.Sprint("consensus block ", height)))
	}

	// Two changes of power, as a statement of both validators carries them.
	p.change(a, big.NewInt(3e18))
	p.change(b, big.NewInt(2e18))
	st := ipc.ParentFinality{
		ParentHeight: 10, ParentHash: common.Hash{10}, TopDownHash: p.salt,
		PowerChangeNonce: p.number, PowerChangeHash: p.changeHash,
	}
	slices.SortFunc(keys, func(x, y *ecdsa.PrivateKey) int { return addrOf(x).Cmp(addrOf(y)) })
	var who []common.Address
	var sigs [][]byte
	for _, k := range keys {
		sig, err := ipc.Sign(k, st.Digest(c.rules.parent))
		require.NoError(t, err)
		who, sigs = append(who, addrOf(k)), append(sigs, sig)
	}
	commit := sentTo{bindings.NewSubnetGateway().PackCommitParentFinality(bindings.ParentFinality(st), who, sigs), nil}

	// A message in block k·period belongs to the epoch after it.
	const least = 20_000_000_000_000_000
	c.block(a, consensus(1), release(least+1))
	c.block(b, consensus(2), release(least+2), release(least+3))
	c.block(a, consensus(3), release(least+4))
	c.block(b, consensus(4), commit)
	c.block(b, consensus(5), sentTo{packChanges(p), nil}, release(least+5))
	c.block(b, consensus(6), release(least+6))

	first, second := c.checkpoint(3), c.checkpoint(6)
	wantFirst := expected(t, 3, consensus(3), 0, 3,
		merkle(transferLeaf(t, 0, user, bob, least+1), transferLeaf(t, 1, user, bob, least+2), transferLeaf(t, 2, user, bob, least+3)),
		2, merkle(activityLeaf(t, a, 2), activityLeaf(t, b, 1)))
	wantSecond := expected(t, 6, consensus(6), 2, 2,
		merkle(transferLeaf(t, 3, user, bob, least+4), transferLeaf(t, 4, user, bob, least+5)),
		1, merkle(activityLeaf(t, b, 3)))
	require.Equal(t, common.Bytes2Hex(wantFirst), common.Bytes2Hex(first.Checkpoint))
	require.Equal(t, common.Bytes2Hex(wantSecond), common.Bytes2Hex(second.Checkpoint))
	require.Equal(t, goldenFirst, first.Digest.Hex())
	require.Equal(t, goldenSecond, second.Digest.Hex())
	require.Equal(t, crypto.Keccak256Hash(wantFirst), first.Digest)
	require.Equal(t, crypto.Keccak256Hash(wantSecond), second.Digest)
}
