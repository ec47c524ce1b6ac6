package subnet

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/ethereum/go-ethereum/core.(*txSenderCacher).cache"))
}

const (
	testChain = 2718281
	period    = 5
)

var (
	gateway  = common.Address{0x77}
	actor    = common.Address{0xac}
	dueTopic = crypto.Keccak256Hash([]byte("CheckpointDue(uint256)"))
)

func open(t *testing.T, n *fake.Node) *Client {
	t.Helper()
	return wrap(t, dial(t, n))
}

func dial(t *testing.T, n *fake.Node) *evm.Client {
	t.Helper()
	e, err := evm.Dial(t.Context(), evm.Config{Name: "subnet", URL: n.URL(), ChainID: testChain, Finality: "finalized"}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return e
}

func wrap(t *testing.T, e *evm.Client) *Client {
	t.Helper()
	c, err := New(e, Config{Gateway: gateway, Outbox: common.Address{0x0b}, Period: period, DueTopic: dueTopic})
	require.NoError(t, err)
	return c
}

func height(n uint64) fake.Fault {
	return fake.Answer(map[string]any{"chainId": "0x29", "height": n, "period": period, "validators": []any{}})
}

func TestTheHeadIsTheLowerOfTagAndCommit(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.MineN(20)
	n.PinFinal(12)
	c := open(t, n)
	for _, x := range []struct{ committed, want uint64 }{{0, 0}, {7, 7}, {12, 12}, {13, 12}, {1 << 40, 12}} {
		n.On("causeway_status", height(x.committed))
		head, err := c.Head(t.Context())
		require.NoError(t, err)
		require.Equal(t, x.want, head.Number)
		require.Equal(t, n.Hash(x.want), head.Hash)
	}
}

func TestAForeignNodeIsBelievedByItsTagOneOfOursNever(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.MineN(20)
	n.PinFinal(12)
	c := open(t, n)
	head, err := c.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(12), head.Number)
	_, err = c.Status(t.Context())
	require.ErrorIs(t, err, ErrForeignNode)

	// An error that only sounds alike is an error.
	n.On("causeway_status", fake.Fail(-32000, "block 9 does not exist", nil))
	_, err = c.Head(t.Context())
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrForeignNode)

	n.On("causeway_status", height(9))
	_, err = c.Head(t.Context())
	require.NoError(t, err)
	n.Clear()
	_, err = c.Head(t.Context())
	require.ErrorIs(t, err, chains.ErrUnavailable, "it has shown that it knows better than the tag")
}

func TestAStatusThatIsNotOneMovesNoHead(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.MineN(5)
	c := open(t, n)
	for _, bad := range []any{"text", []int{1}, map[string]any{"height": -1}, map[string]any{"height": "7"}, map[string]any{"height": 1.5}} {
		n.On("causeway_status", fake.Answer(bad))
		_, err := c.Head(t.Context())
		require.Error(t, err, "%v", bad)
	}
	n.On("causeway_status", fake.HangUp)
	_, err := c.Head(t.Context())
	require.ErrorIs(t, err, chains.ErrUnavailable)
}

func TestACheckpointIsDueAtEachOfItsHeightsInAnyRange(t *testing.T) {
	n := fake.NewNode(t, testChain)
	other := crypto.Keccak256Hash([]byte("Other()"))
	for h := 1; h <= 23; h++ {
		if h%2 == 0 || h == 5 {
			n.MineLogs(fake.Log(gateway, other, []byte{byte(h)}), fake.Log(gateway, other, []byte{1}))
		} else {
			n.Mine()
		}
	}
	c := open(t, n)
	filter := chains.Filter{Addresses: []common.Address{gateway}, Topics: []common.Hash{other, dueTopic}}
	for from := uint64(0); from <= 23; from++ {
		for to := from; to <= 23; to++ {
			cur := chains.Cursor{Chain: testChain, Next: from}
			if from > 0 {
				cur.Parent = n.Hash(from - 1)
			}
			last, events, err := c.Events(t.Context(), chains.Query{From: cur, To: to, Filter: filter})
			require.NoError(t, err)
			require.Equal(t, to, last.Number)
			var got, want []uint64
			for i, e := range events {
				if i > 0 {
					require.True(t, events[i-1].Block < e.Block || events[i-1].Block == e.Block && events[i-1].Index < e.Index, "in chain order")
				}
				if e.Topics[0] != dueTopic {
					continue
				}
				got = append(got, e.Block)
				require.Equal(t, chains.Event{
					Chain: testChain, Block: e.Block, BlockHash: n.Hash(e.Block), BlockTime: e.BlockTime, Index: dueIndex, Address: gateway,
					Topics: []common.Hash{dueTopic}, Data: common.BigToHash(new(big.Int).SetUint64(e.Block)).Bytes(),
				}, e)
				require.NotZero(t, e.BlockTime)
			}
			for h := max(from, 1); h <= to; h++ {
				if h%period == 0 {
					want = append(want, h)
				}
			}
			require.Equal(t, want, got, "[%d, %d]", from, to)
		}
	}

	_, events, err := c.Events(t.Context(), chains.Query{From: chains.Cursor{Chain: testChain}, To: 23, Filter: chains.Filter{Addresses: []common.Address{gateway}, Topics: []common.Hash{other}}})
	require.NoError(t, err)
	for _, e := range events {
		require.Equal(t, other, e.Topics[0], "only who asks gets them")
	}
}

// A range of catching up has hundreds of checkpoints: a request for each would
// be what the reading waits for. Each message that asks for headers asks for the
// chain id too.
func TestTheCheckpointsOfALongRangeTakeFewRequests(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.MineN(1000)
	c := open(t, n)
	before := n.Calls("eth_chainId")
	_, events, err := c.Events(t.Context(), chains.Query{
		From: chains.Cursor{Chain: testChain, Next: 1, Parent: n.Hash(0)}, To: 999,
		Filter: chains.Filter{Addresses: []common.Address{gateway}, Topics: []common.Hash{dueTopic}},
	})
	require.NoError(t, err)
	require.Len(t, events, 999/period)
	require.Less(t, n.Calls("eth_chainId")-before, 10)
}

func TestACheckpointBlockThatCannotBeReadFailsTheRange(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.MineN(12)
	c := open(t, n)
	seen := 0
	n.On("eth_getBlockByNumber", func(call *fake.Call, next func()) {
		next()
		if string(call.Params[0]) == `"0xa"` {
			if seen++; seen > 1 {
				call.Result, call.Err = nil, &fake.Error{Code: -32000, Message: "gone"}
			}
		}
	})
	_, _, err := c.Events(t.Context(), chains.Query{From: chains.Cursor{Chain: testChain, Next: 7, Parent: n.Hash(6)}, To: 12,
		Filter: chains.Filter{Addresses: []common.Address{gateway}, Topics: []common.Hash{dueTopic}}})
	require.Error(t, err)
}

func message(nonce uint64) ipc.IpcEnvelope {
	sub := ipc.NewSubnetID(1, actor)
	return ipc.IpcEnvelope{
		Kind: ipc.KindCall, LocalNonce: nonce, OriginalNonce: nonce, Value: new(big.Int), From: ipc.NewAddress(sub, common.Address{1}),
		To: ipc.NewAddress(ipc.NewSubnetID(1), common.Address{2}), Message: []byte{byte(nonce)},
	}
}

func bottomUp(t *testing.T, epoch uint64, m ipc.IpcEnvelope) *types.Log {
	t.Helper()
	data, err := ipc.EncodeEnvelope(m)
	require.NoError(t, err)
	l := fake.Log(gateway, ipc.TopicBottomUpMessage, data)
	l.Topics = append(l.Topics, common.BigToHash(new(big.Int).SetUint64(epoch)), common.BigToHash(new(big.Int).SetUint64(m.LocalNonce)))
	return l
}

func TestABatchHoldsTheMessagesOfItsEpochByNonce(t *testing.T) {
	n := fake.NewNode(t, testChain)
	for h := uint64(1); h <= 12; h++ {
		switch h {
		case 4:
			n.MineLogs(bottomUp(t, 5, message(0)))
		case 5: // begins the next epoch
			n.MineLogs(bottomUp(t, 10, message(3)), bottomUp(t, 10, message(1)))
		case 9:
			n.MineLogs(bottomUp(t, 10, message(2)), fake.Log(common.Address{9}, ipc.TopicBottomUpMessage, nil))
		case 10:
			n.MineLogs(bottomUp(t, 15, message(4)))
		default:
			n.Mine()
		}
	}
	c := open(t, n)
	for epoch, want := range map[uint64][]uint64{5: {0}, 10: {1, 2, 3}} {
		msgs, err := c.Batch(t.Context(), epoch)
		require.NoError(t, err)
		var got []uint64
		for _, m := range msgs {
			got = append(got, m.LocalNonce)
			require.True(t, m.Equal(message(m.LocalNonce)))
		}
		require.Equal(t, want, got)
	}
	for _, bad := range []uint64{0, 1, 4, 6, 11} {
		_, err := c.Batch(t.Context(), bad)
		require.ErrorContains(t, err, "is no epoch")
	}
	n.MineLogs(fake.Log(gateway, ipc.TopicBottomUpMessage, []byte("rubbish")))
	n.MineN(4)
	_, err := c.Batch(t.Context(), 15)
	require.ErrorIs(t, err, ipc.ErrMalformed)
}

type keys []*ecdsa.PrivateKey

func newKeys(n int) (out keys) {
	for range n {
		k, _ := fake.NewKey()
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b *ecdsa.PrivateKey) int { return signer(a).Cmp(signer(b)) })
	return out
}

func signer(k *ecdsa.PrivateKey) common.Address { return crypto.PubkeyToAddress(k.PublicKey) }

func sign(t *testing.T, k *ecdsa.PrivateKey, h common.Hash) hexutil.Bytes {
	t.Helper()
	sig, err := ipc.Sign(k, h)
	require.NoError(t, err)
	return sig
}

func checkpointOf(h uint64) ipc.BottomUpCheckpoint {
	cp := ipc.BottomUpCheckpoint{
		SubnetID: ipc.NewSubnetID(1, actor), BlockHeight: new(big.Int).SetUint64(h), BlockHash: common.Hash{7}, NextConfigurationNumber: 3,
		Msgs: ipc.Commitment{TotalNumMsgs: 2, MsgsRoot: common.Hash{8}},
	}
	cp.Activity.Consensus.Stats = ipc.AggregatedStats{TotalActiveValidators: 4, TotalNumBlocksCommitted: period}
	cp.Activity.Consensus.DataRootCommitment = common.Hash{9}
	return cp
}

// wire is the node's JSON of a checkpoint.
func wire(cp ipc.BottomUpCheckpoint, who []common.Address, sigs []hexutil.Bytes) map[string]any {
	return map[string]any{
		"checkpoint": map[string]any{
			"subnetID":    map[string]any{"root": cp.SubnetID.Root, "route": cp.SubnetID.Route},
			"blockHeight": cp.BlockHeight.Uint64(), "blockHash": common.Hash(cp.BlockHash), "nextConfigurationNumber": cp.NextConfigurationNumber,
			"msgs": map[string]any{"totalNumMsgs": cp.Msgs.TotalNumMsgs, "msgsRoot": common.Hash(cp.Msgs.MsgsRoot)},
			"activity": map[string]any{"consensus": map[string]any{
				"stats":              map[string]any{"totalActiveValidators": cp.Activity.Consensus.Stats.TotalActiveValidators, "totalNumBlocksCommitted": cp.Activity.Consensus.Stats.TotalNumBlocksCommitted},
				"dataRootCommitment": common.Hash(cp.Activity.Consensus.DataRootCommitment),
			}},
		},
		"hash": cp.Hash(), "signatories": who, "signatures": sigs, "weight": "10", "total": "12", "quorum": true,
	}
}

func TestACheckpointsSignaturesAreRecoveredSortedAndEachCountedOnce(t *testing.T) {
	n := fake.NewNode(t, testChain)
	c := open(t, n)
	ks, cp := newKeys(4), checkpointOf(10)
	hash := cp.Hash()
	good := []hexutil.Bytes{sign(t, ks[0], hash), sign(t, ks[1], hash), sign(t, ks[2], hash)}
	names := []common.Address{signer(ks[0]), signer(ks[1]), signer(ks[2])}
	other := sign(t, ks[3], common.Hash{1})
	high := slices.Clone(good[0])
	s := new(big.Int).Sub(crypto.S256().Params().N, new(big.Int).SetBytes(high[32:64]))
	s.FillBytes(high[32:64])
	high[64] = 27 + 28 - high[64]
	for name, x := range map[string]struct {
		who  []common.Address
		sigs []hexutil.Bytes
		want []common.Address
	}{
		"honest":     {names, good, names},
		"unsorted":   {[]common.Address{names[2], names[0], names[1]}, []hexutil.Bytes{good[2], good[0], good[1]}, names},
		"twice":      {[]common.Address{names[0], names[0], names[1]}, []hexutil.Bytes{good[0], good[0], good[1]}, names[:2]},
		"misnamed":   {[]common.Address{names[1], names[0]}, []hexutil.Bytes{good[0], good[1]}, names[:2]},
		"high s":     {names[:2], []hexutil.Bytes{high, good[1]}, names[1:2]},
		"zeros":      {names[:2], []hexutil.Bytes{make([]byte, 65), good[1]}, names[1:2]},
		"none":       {nil, nil, nil},
		"only wrong": {names[:1], []hexutil.Bytes{make([]byte, 65)}, nil},
	} {
		n.On("causeway_checkpoint", fake.Answer(wire(cp, x.who, x.sigs)))
		got, err := c.Checkpoint(t.Context(), 10)
		require.NoError(t, err, name)
		require.True(t, got.Checkpoint.Equal(cp), name)
		require.ElementsMatch(t, x.want, got.Signatories, name)
		require.True(t, slices.IsSortedFunc(got.Signatories, common.Address.Cmp), name)
		for i, sig := range got.Signatures {
			who, err := ipc.Recover(hash, sig)
			require.NoError(t, err)
			require.Equal(t, got.Signatories[i], who, name)
		}
	}
	// A signature over something else is somebody, but nobody's we know.
	n.On("causeway_checkpoint", fake.Answer(wire(cp, []common.Address{signer(ks[3])}, []hexutil.Bytes{other})))
	got, err := c.Checkpoint(t.Context(), 10)
	require.NoError(t, err)
	require.NotContains(t, got.Signatories, signer(ks[3]))
}

func TestACheckpointThatIsNotTheOneAskedForIsRefused(t *testing.T) {
	n := fake.NewNode(t, testChain)
	c := open(t, n)
	good := wire(checkpointOf(10), nil, nil)
	n.On("causeway_checkpoint", fake.Answer(nil))
	_, err := c.Checkpoint(t.Context(), 10)
	require.ErrorIs(t, err, ErrNoQuorum)
	good["quorum"] = false
	n.On("causeway_checkpoint", fake.Answer(good))
	_, err = c.Checkpoint(t.Context(), 10)
	require.ErrorIs(t, err, ErrNoQuorum)
	good["quorum"] = true
	_, err = c.Checkpoint(t.Context(), 15)
	require.ErrorIs(t, err, chains.ErrUnavailable, "another height")

	ks := newKeys(1)
	sig := sign(t, ks[0], common.Hash{1})
	for name, bad := range map[string]map[string]any{
		"more names than signatures": wire(checkpointOf(10), []common.Address{{1}, {2}}, []hexutil.Bytes{sig}),
		"short signature":            wire(checkpointOf(10), []common.Address{{1}}, []hexutil.Bytes{sig[:64]}),
		"long signature":             wire(checkpointOf(10), []common.Address{{1}}, []hexutil.Bytes{append(slices.Clone(sig), 0)}),
		"too many":                   wire(checkpointOf(10), make([]common.Address, 101), slices.Repeat([]hexutil.Bytes{sig}, 101)),
	} {
		n.On("causeway_checkpoint", fake.Answer(bad))
		_, err := c.Checkpoint(t.Context(), 10)
		require.ErrorIs(t, err, chains.ErrUnavailable, name)
	}
	for _, text := range []string{`"x"`, `[]`, `{"checkpoint":{"blockHeight":-10},"quorum":true}`, `{"checkpoint":{"blockHeight":1e1},"quorum":true}`,
		`{"checkpoint":{"blockHeight":"10x"},"quorum":true}`, `{"checkpoint":{"blockHeight":99999999999999999999999999},"quorum":true}`, `{"quorum":true}`} {
		n.On("causeway_checkpoint", fake.Answer(json.RawMessage(text)))
		_, err := c.Checkpoint(t.Context(), 10)
		require.Error(t, err, text)
		require.NotErrorIs(t, err, ErrNoQuorum, text)
	}
}

func statement(height, nonce uint64, who []common.Address, sigs []hexutil.Bytes) map[string]any {
	return map[string]any{
		"statement": map[string]any{
			"signerConfig": 2, "parentHeight": height, "parentHash": common.Hash{1}, "topDownNonce": nonce, "topDownHash": common.Hash{2},
			"powerChangeNonce": 5, "powerChangeHash": common.Hash{3},
		},
		"digest": common.Hash{4}, "signatories": who, "signatures": sigs, "weight": "3", "total": "4",
	}
}

func TestStatementsComeAscendingWithAscendingSignatories(t *testing.T) {
	n := fake.NewNode(t, testChain)
	c := open(t, n)
	a, b := bytes.Repeat([]byte{1}, 65), bytes.Repeat([]byte{2}, 65)
	n.On("causeway_parentFinalities", func(call *fake.Call, _ func()) {
		require.Equal(t, "7", string(call.Params[0]))
		require.Equal(t, "64", string(call.Params[1]))
		call.Result = []any{
			statement(9, 4, []common.Address{{2}, {1}, {2}}, []hexutil.Bytes{b, a, a}),
			statement(7, 1, nil, nil), // not above
			statement(8, 3, nil, nil),
		}
	})
	got, err := c.Statements(t.Context(), 7)
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Equal(t, []uint64{8, 9}, []uint64{got[0].Statement.ParentHeight, got[1].Statement.ParentHeight})
	require.Equal(t, ipc.ParentFinality{
		SignerConfig: 2, ParentHeight: 9, ParentHash: common.Hash{1}, TopDownNonce: 4, TopDownHash: common.Hash{2}, PowerChangeNonce: 5, PowerChangeHash: common.Hash{3},
	}, got[1].Statement)
	require.Equal(t, []common.Address{{1}, {2}}, got[1].Signatories)
	require.Equal(t, [][]byte{a, b}, got[1].Signatures)
	calldata, err := c.CommitCalldata(got[1])
	require.NoError(t, err)
	require.NotEmpty(t, calldata)

	n.On("causeway_parentFinalities", fake.Answer([]any{statement(9, 4, []common.Address{{2}}, nil)}))
	_, err = c.Statements(t.Context(), 7)
	require.ErrorIs(t, err, chains.ErrUnavailable)
	n.On("causeway_parentFinalities", fake.Answer(nil))
	got, err = c.Statements(t.Context(), 7)
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestWhatIsBurntIsAUint256(t *testing.T) {
	n := fake.NewNode(t, testChain)
	c := open(t, n)
	max256 := new(big.Int).Sub(new(big.Int).Lsh(common.Big1, 256), common.Big1)
	n.On("causeway_burnt", fake.Answer(max256.String()))
	got, err := c.Burnt(t.Context(), 3)
	require.NoError(t, err)
	require.Equal(t, max256, got)
	for _, bad := range []string{"", "-1", "0x1", "1.5", new(big.Int).Add(max256, common.Big1).String()} {
		n.On("causeway_burnt", fake.Answer(bad))
		_, err := c.Burnt(t.Context(), 3)
		require.ErrorIs(t, err, chains.ErrUnavailable, bad)
	}
}

// contract answers views by method name.
type contract map[string][]any

func (x contract) on(t *testing.T, n *fake.Node, abis map[common.Address]abi.ABI) {
	n.OnCall(func(to common.Address, data []byte) ([]byte, *fake.Error) {
		a, ok := abis[to]
		if !ok {
			return nil, nil
		}
		m, err := a.MethodById(data)
		if err != nil {
			return nil, &fake.Error{Code: 3, Message: "execution reverted"}
		}
		out, err := m.Outputs.Pack(x[m.Name]...)
		if err != nil {
			t.Errorf("pack %s: %v", m.Name, err)
		}
		return out, nil
	})
}

func mustABI(t *testing.T, parse func() (*abi.ABI, error)) abi.ABI {
	t.Helper()
	a, err := parse()
	require.NoError(t, err)
	return *a
}

func TestTheGatewaysAnswersAreRead(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.Mine()
	c := open(t, n)
	contract{
		"appliedTopDown": {uint64(7), [32]byte{1}}, "appliedPowerChanges": {uint64(3), [32]byte{2}},
		"committedTopDownAt": {uint64(9), [32]byte{3}}, "committedPowerChangesAt": {uint64(4), [32]byte{4}},
		"latestParentFinality":       {ipc.ParentFinality{ParentHeight: 44}},
		"appliedConfigurationNumber": {uint64(6)}, "exitFee": {big.NewInt(123)},
	}.on(t, n, map[common.Address]abi.ABI{gateway: mustABI(t, bindings.SubnetGatewayMetaData.ParseABI)})
	nonce, hash, err := c.Applied(t.Context(), Messages, evm.AtLatest)
	require.NoError(t, err)
	require.Equal(t, []any{uint64(7), common.Hash{1}}, []any{nonce, hash})
	nonce, hash, err = c.Applied(t.Context(), PowerChanges, evm.AtHash(n.Hash(1)))
	require.NoError(t, err)
	require.Equal(t, []any{uint64(3), common.Hash{2}}, []any{nonce, hash})
	nonce, hash, err = c.CommittedAt(t.Context(), Messages, 8, evm.AtLatest)
	require.NoError(t, err)
	require.Equal(t, []any{uint64(9), common.Hash{3}}, []any{nonce, hash})
	nonce, _, err = c.CommittedAt(t.Context(), PowerChanges, 8, evm.AtLatest)
	require.NoError(t, err)
	require.Equal(t, uint64(4), nonce)
	latest, err := c.LatestStatement(t.Context(), evm.AtLatest)
	require.NoError(t, err)
	require.Equal(t, uint64(44), latest)
	number, err := c.Configuration(t.Context(), evm.AtLatest)
	require.NoError(t, err)
	require.Equal(t, uint64(6), number)
	fee, err := c.ExitFee(t.Context())
	require.NoError(t, err)
	require.Equal(t, big.NewInt(123), fee)

	n.OnCall(nil) // an address without code
	_, _, err = c.Applied(t.Context(), Messages, evm.AtLatest)
	require.ErrorIs(t, err, chains.ErrUnavailable)
	n.Reverts(func(_, _ common.Address, _ []byte) *fake.Error {
		return &fake.Error{Code: 3, Message: "execution reverted", Data: "0x01020304"}
	})
	_, err = c.Configuration(t.Context(), evm.AtLatest)
	require.ErrorIs(t, err, chains.ErrReverted)
}

func TestDeliveriesAreEncodedFromTheirOpaqueBytes(t *testing.T) {
	c := open(t, fake.NewNode(t, testChain))
	body, err := ipc.EncodeEnvelope(message(3))
	require.NoError(t, err)
	data, err := c.DeliverCalldata(Messages, [][]byte{body}, []common.Hash{{5}})
	require.NoError(t, err)
	args, err := c.gw.Methods["deliver"].Inputs.Unpack(data[4:])
	require.NoError(t, err)
	msgs := *abi.ConvertType(args[0], new([]ipc.IpcEnvelope)).(*[]ipc.IpcEnvelope)
	require.True(t, msgs[0].Equal(message(3)))
	require.Equal(t, [][32]byte{{5}}, args[1])

	change := ipc.SetPower(4, common.Address{3}, big.NewInt(9))
	data, err = c.DeliverCalldata(PowerChanges, [][]byte{ipc.EncodePowerChange(change)}, nil)
	require.NoError(t, err)
	args, err = c.gw.Methods["deliverPowerChanges"].Inputs.Unpack(data[4:])
	require.NoError(t, err)
	require.True(t, (*abi.ConvertType(args[0], new([]ipc.PowerChangeRequest)).(*[]ipc.PowerChangeRequest))[0].Equal(change))

	for _, q := range []Queue{Messages, PowerChanges} {
		_, err = c.DeliverCalldata(q, [][]byte{[]byte("rubbish")}, nil)
		require.ErrorContains(t, err, "[BUG] stored")
	}
}

func TestTheRootsOwnSetDecidesWhoCounts(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.Mine()
	rootGateway := common.Address{0x6a}
	r, err := NewRoot(dial(t, n), Contracts{ID: ipc.NewSubnetID(1, actor), Gateway: rootGateway, Actor: actor}, Capabilities{})
	require.NoError(t, err)
	abis := map[common.Address]abi.ABI{actor: mustABI(t, bindings.SubnetActorMetaData.ParseABI), rootGateway: mustABI(t, bindings.GatewayMetaData.ParseABI)}
	at := chains.Block{Hash: n.Hash(1)}
	set := []ipc.Validator{
		{Weight: big.NewInt(34), Addr: common.Address{1}, Metadata: []byte{}}, {Weight: big.NewInt(33), Addr: common.Address{2}, Metadata: []byte{}},
		{Weight: big.NewInt(33), Addr: common.Address{3}, Metadata: []byte{}}, {Weight: new(big.Int), Addr: common.Address{4}, Metadata: []byte{}},
	}
	contract{"getValidators": {set}, "majorityPercentage": {uint8(67)}}.on(t, n, abis)
	for name, x := range map[string]struct {
		who  []byte
		keep []byte
		ok   bool
	}{
		"enough":                  {[]byte{1, 2}, []byte{1, 2}, true},
		"exactly two thirds less": {[]byte{2, 3}, []byte{2, 3}, false},
		"strangers do not count":  {[]byte{1, 9, 2}, []byte{1, 2}, true},
		"strangers alone":         {[]byte{7, 8, 9}, nil, false},
		"no weight":               {[]byte{1, 4}, []byte{1}, false},
		"one of them twice":       {[]byte{1, 1, 1}, []byte{1}, false},
		"nobody":                  {nil, nil, false},
	} {
		in := SignedCheckpoint{Checkpoint: checkpointOf(10)}
		for _, b := range x.who {
			in.Signatories, in.Signatures = append(in.Signatories, common.Address{b}), append(in.Signatures, []byte{b})
		}
		out, ok, err := r.Accepts(t.Context(), at, in)
		require.NoError(t, err)
		require.Equal(t, x.ok, ok, name)
		var kept []byte
		for i, a := range out.Signatories {
			kept = append(kept, a[0])
			require.Equal(t, []byte{a[0]}, out.Signatures[i])
		}
		require.Equal(t, x.keep, kept, name)
	}
	contract{"getValidators": {[]ipc.Validator{}}, "majorityPercentage": {uint8(67)}}.on(t, n, abis)
	_, ok, err := r.Accepts(t.Context(), at, SignedCheckpoint{})
	require.NoError(t, err)
	require.False(t, ok, "nobody has a quorum of an empty set")

	contract{
		"lastBottomUpCheckpointHeight": {big.NewInt(30)}, "getAppliedBottomUpNonce": {true, uint64(8)},
		"listPendingBottomUpBatchCommitments": {[]pendingEntry{{Height: 20, Commitment: ipc.Commitment{TotalNumMsgs: 2, MsgsRoot: [32]byte{1}}, Executed: [][32]byte{{2}}}}},
	}.on(t, n, abis)
	s, err := r.State(t.Context(), at)
	require.NoError(t, err)
	require.Equal(t, RootState{LastHeight: 30, Applied: 8, Pending: []PendingBatch{{Height: 20, Commitment: ipc.Commitment{TotalNumMsgs: 2, MsgsRoot: [32]byte{1}}, Executed: []common.Hash{{2}}}}}, s)
	contract{"lastBottomUpCheckpointHeight": {new(big.Int).Lsh(common.Big1, 64)}, "getAppliedBottomUpNonce": {false, uint64(8)}, "listPendingBottomUpBatchCommitments": {[]pendingEntry{}}}.on(t, n, abis)
	_, err = r.State(t.Context(), at)
	require.Error(t, err)
	contract{"lastBottomUpCheckpointHeight": {big.NewInt(1)}, "getAppliedBottomUpNonce": {false, uint64(8)}, "listPendingBottomUpBatchCommitments": {[]pendingEntry{}}}.on(t, n, abis)
	_, err = r.State(t.Context(), at)
	require.ErrorContains(t, err, "does not know subnet")
}

// reader is a chain to search: one block per ten seconds, null rounds, and a
// source that answers for few blocks.
type reader struct {
	head   uint64
	start  uint64
	null   func(uint64) bool
	events []chains.Event
	width  uint64
	stuck  bool
	asked  int
	read   uint64 // lowest block whose events were read
	err    error
}

func (r *reader) at(n uint64) chains.Block                   { return chains.Block{Number: n, Time: 1_000_000 + 10*n} }
func (r *reader) ChainID() chains.ID                         { return 1 }
func (r *reader) StartBlock() uint64                         { return r.start }
func (r *reader) Head(context.Context) (chains.Block, error) { return r.at(r.head), r.err }

func (r *reader) BlockByNumber(_ context.Context, n uint64) (chains.Block, error) {
	r.asked++
	if r.null != nil && r.null(n) {
		return chains.Block{}, fmt.Errorf("x: %w", evm.ErrNullRound)
	}
	return r.at(n), r.err
}

func (r *reader) Events(_ context.Context, q chains.Query) (chains.Block, []chains.Event, error) {
	r.read = min(r.read, q.From.Next)
	if r.stuck {
		return r.at(q.From.Next - 1), nil, nil
	}
	last := min(q.To, q.From.Next+r.width-1)
	var out []chains.Event
	for _, e := range r.events {
		if e.Block >= q.From.Next && e.Block <= last {
			out = append(out, e)
		}
	}
	return r.at(last), out, r.err
}

func TestASearchBeginsWhereTheTimeSays(t *testing.T) {
	mark := func(block uint64, v byte) chains.Event {
		return chains.Event{Block: block, Topics: []common.Hash{{1}, {v}}}
	}
	for name, null := range map[string]func(uint64) bool{
		"every height": nil,
		"null rounds":  func(n uint64) bool { return n%7 == 3 || n > 400 && n < 460 },
		"only nulls":   func(n uint64) bool { return n < 1000 },
	} {
		for _, since := range []uint64{0, 500, 1_000_000, 1_004_321, 1_009_990, 1_010_000, 2_000_000} {
			r := &reader{head: 1000, start: 20, null: null, width: 37, read: 1 << 40, events: []chains.Event{mark(19, 1), mark(20, 1), mark(500, 2), mark(500, 1), mark(990, 1), mark(1000, 1), {Block: 1000, Topics: []common.Hash{{1}}}}}
			got, err := Find(t.Context(), r, Search{Topics: []common.Hash{{1}}, Position: 1, Values: []common.Hash{{1}}, Since: since})
			require.NoError(t, err)
			for _, e := range r.events {
				if len(e.Topics) == 2 && e.Topics[1] == (common.Hash{1}) && e.Block >= 20 && r.at(e.Block).Time >= since && (null == nil || !null(e.Block)) {
					require.Contains(t, got, e, "%s, since %d", name, since)
				}
			}
			for _, e := range got {
				require.Equal(t, common.Hash{1}, e.Topics[1])
			}
			if null == nil {
				require.Less(t, r.asked, 12, "binary search")
			}
			if since == 1_009_990 && null == nil {
				require.Greater(t, r.read, uint64(900), "it does not read from the start")
			}
		}
	}
}

func TestASearchThatCannotGoOnFails(t *testing.T) {
	r := &reader{head: 100, width: 5, stuck: true}
	some := []common.Hash{{1}}
	_, err := Find(t.Context(), r, Search{Position: 1, Values: some})
	require.ErrorIs(t, err, chains.ErrUnavailable)
	away := errors.New("away")
	_, err = Find(t.Context(), &reader{head: 100, width: 5, err: away}, Search{Position: 1, Values: some, Since: 1_000_700})
	require.ErrorIs(t, err, away)
	got, err := Find(t.Context(), &reader{head: 10, start: 50, width: 5}, Search{Position: 1, Values: some, Since: 1_000_700})
	require.NoError(t, err)
	require.Empty(t, got, "nothing of ours is final yet")
	// Many values are asked for in parts, and what is found stays in order.
	many := &reader{head: 100, width: 5}
	for i := range 3 {
		e := chains.Event{Block: uint64(20 + i), Address: common.Address{1}, Topics: []common.Hash{{9}, common.BigToHash(big.NewInt(int64(1000 - 400*i)))}}
		many.events = append(many.events, e)
	}
	q := Search{Contract: common.Address{1}, Topics: []common.Hash{{9}}, Position: 1}
	for n := range int64(1001) {
		q.Values = append(q.Values, common.BigToHash(big.NewInt(n)))
	}
	got, err = Find(t.Context(), many, q)
	require.NoError(t, err)
	require.Equal(t, many.events, got)
}

func TestAClientNeedsItsContracts(t *testing.T) {
	for _, bad := range []Config{{}, {Gateway: gateway}, {Period: 5}} {
		_, err := New(nil, bad)
		require.ErrorContains(t, err, "gateway and period are required")
	}
}

type bytesCaller []byte

func (b bytesCaller) Call(context.Context, common.Address, []byte, evm.BlockRef) ([]byte, error) {
	return b, nil
}

func FuzzUnpackingAnAnswerNeverPanics(f *testing.F) {
	act, err := bindings.SubnetActorMetaData.ParseABI()
	if err != nil {
		f.Fatal(err)
	}
	gw, err := bindings.SubnetGatewayMetaData.ParseABI()
	if err != nil {
		f.Fatal(err)
	}
	set, err := act.Methods["getValidators"].Outputs.Pack([]ipc.Validator{{Weight: common.Big1, Addr: actor, Metadata: []byte{1, 2, 3}}})
	if err != nil {
		f.Fatal(err)
	}
	pending, err := act.Methods["listPendingBottomUpBatchCommitments"].Outputs.Pack([]pendingEntry{{Height: 5, Executed: [][32]byte{{1}}}})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{nil, {}, {1}, make([]byte, 31), make([]byte, 32), make([]byte, 64), bytes.Repeat([]byte{0xff}, 320), set, pending, set[:len(set)-32]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var n, m uint64
		var h [32]byte
		var fee *big.Int
		var st ipc.ParentFinality
		var vs []ipc.Validator
		var es []pendingEntry
		var percent uint8
		for _, x := range []struct {
			abi    *abi.ABI
			method string
			args   []any
			out    []any
		}{
			{gw, "appliedTopDown", nil, []any{&n, &h}}, {gw, "committedTopDownAt", []any{uint64(1)}, []any{&m, &h}},
			{gw, "latestParentFinality", nil, []any{&st}}, {gw, "exitFee", nil, []any{&fee}},
			{act, "getValidators", nil, []any{&vs}}, {act, "listPendingBottomUpBatchCommitments", nil, []any{&es}},
			{act, "majorityPercentage", nil, []any{&percent}}, {act, "lastBottomUpCheckpointHeight", nil, []any{&n}},
			{act, "majorityPercentage", nil, []any{&n, &m}}, // the wrong shape
		} {
			_ = readArgs(context.Background(), bytesCaller(raw), gateway, *x.abi, evm.AtLatest, x.method, x.args, x.out...)
		}
		for _, v := range vs {
			_ = v.Weight.Sign()
		}
	})
}
