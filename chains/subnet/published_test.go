package subnet

import (
	"crypto/ecdsa"
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
)

var theirCaps = Capabilities{Bundles: true, Batches: true, Period: period}

func openTheirs(t *testing.T, n *fake.Node) *Client {
	t.Helper()
	c, err := New(dial(t, n), Config{Gateway: gateway, Period: period, DueTopic: dueTopic, Caps: theirCaps})
	require.NoError(t, err)
	return c
}

func theirMessage(nonce uint64) ipc.IpcEnvelope {
	return ipc.IpcEnvelope{
		Kind: ipc.KindTransfer, LocalNonce: nonce, OriginalNonce: nonce, Value: big.NewInt(5),
		From: ipc.NewAddress(ipc.NewSubnetID(1, actor), common.Address{1}), To: ipc.NewAddress(ipc.NewSubnetID(1), common.Address{2}),
	}
}

func recordedLog(t *testing.T, at common.Address, height uint64, nonces ...uint64) *types.Log {
	t.Helper()
	var ms []ipc.IpcEnvelope
	for _, n := range nonces {
		ms = append(ms, theirMessage(n))
	}
	data, err := ipc.EncodeBottomUpBatch(height, ms)
	require.NoError(t, err)
	return &types.Log{Address: at, Topics: []common.Hash{ipc.TopicBottomUpBatchRecorded}, Data: data}
}

func TestARecordedBatchBecomesOneEventForEachOfItsMessages(t *testing.T) {
	n := fake.NewNode(t, testChain)
	other := common.HexToHash("0x07")
	n.MineN(4)
	n.MineLogs(&types.Log{Address: gateway, Topics: []common.Hash{other}}, recordedLog(t, gateway, period, 0, 1, 2), recordedLog(t, common.Address{0xee}, period, 7), recordedLog(t, gateway, period))
	n.MineLogs(recordedLog(t, gateway, period, 3))
	broken := recordedLog(t, gateway, period, 4)
	broken.Data = broken.Data[:40]
	n.MineLogs(broken)
	n.MineN(3)
	n.PinFinal(8)
	c := openTheirs(t, n)
	q := chains.Query{From: chains.Cursor{Chain: testChain, Next: 1}, To: 8, Filter: chains.Filter{
		Addresses: []common.Address{gateway}, Topics: []common.Hash{other, ipc.TopicBottomUpMessage, dueTopic},
	}}
	_, events, err := c.Events(t.Context(), q)
	require.NoError(t, err)
	type seen struct {
		block uint64
		nonce any
	}
	var got []seen
	at := map[[2]uint64]bool{}
	for i, e := range events {
		require.False(t, at[[2]uint64{e.Block, uint64(e.Index)}], "one place each")
		at[[2]uint64{e.Block, uint64(e.Index)}] = true
		if i > 0 && events[i-1].Block == e.Block {
			require.Less(t, events[i-1].Index, e.Index)
		}
		switch e.Topics[0] {
		case ipc.TopicBottomUpMessage:
			ev, err := ipc.DecodeBottomUpMessage(e.Topics, e.Data)
			require.NoError(t, err)
			require.True(t, theirMessage(ev.Nonce).Equal(ev.Message))
			require.NotEmpty(t, e.Tx)
			got = append(got, seen{e.Block, ev.Nonce})
		case ipc.TopicBottomUpBatchRecorded:
			got = append(got, seen{e.Block, "unreadable"})
		case dueTopic:
			got = append(got, seen{e.Block, "due"})
		default:
			got = append(got, seen{e.Block, "other"})
		}
	}
	require.Equal(t, []seen{
		{5, "other"}, {5, uint64(0)}, {5, uint64(1)}, {5, uint64(2)}, {5, "due"}, {6, uint64(3)}, {7, "unreadable"},
	}, got)

	// Who asks for nothing of it gets nothing of it.
	q.Filter.Topics = []common.Hash{other}
	_, events, err = c.Events(t.Context(), q)
	require.NoError(t, err)
	require.Len(t, events, 1)
}

func TestABatchIsReadFromTheGatewayByNonce(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.Mine()
	c := openTheirs(t, n)
	answer := func(raw []byte) {
		n.OnCall(func(to common.Address, data []byte) ([]byte, *fake.Error) {
			require.Equal(t, gateway, to)
			require.Equal(t, append(ipc.SelBottomUpBatch.Bytes(), common.BigToHash(big.NewInt(10)).Bytes()...), data)
			return raw, nil
		})
	}
	raw, err := ipc.EncodeBatch(ipc.Batch{Height: big.NewInt(10), Messages: []ipc.IpcEnvelope{theirMessage(8), theirMessage(7)}})
	require.NoError(t, err)
	answer(raw)
	got, err := c.Batch(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, []uint64{7, 8}, []uint64{got[0].LocalNonce, got[1].LocalNonce})
	answer(raw[:len(raw)-1])
	_, err = c.Batch(t.Context(), 10)
	require.ErrorIs(t, err, chains.ErrUnavailable)
	_, err = c.Batch(t.Context(), 11)
	require.ErrorContains(t, err, "no epoch")
}

func TestTheSignaturesOnTheGatewayAreRecoveredSortedAndCountedOnce(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.Mine()
	c := openTheirs(t, n)
	cp := checkpointOf(10)
	var keys []*ecdsa.PrivateKey
	for range 3 {
		k, err := crypto.GenerateKey()
		require.NoError(t, err)
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b *ecdsa.PrivateKey) int {
		return crypto.PubkeyToAddress(b.PublicKey).Cmp(crypto.PubkeyToAddress(a.PublicKey)) // descending
	})
	b := ipc.Bundle{Checkpoint: cp, Info: ipc.QuorumInfo{Hash: cp.Hash(), Threshold: big.NewInt(2), CurrentWeight: big.NewInt(3), Reached: true}}
	for _, i := range []int{0, 2, 1, 2} { // unsorted, one twice
		sig, err := ipc.Sign(keys[i], cp.Hash())
		require.NoError(t, err)
		b.Signatories, b.Signatures = append(b.Signatories, crypto.PubkeyToAddress(keys[i].PublicKey)), append(b.Signatures, sig)
	}
	// Who is named with a signature says nothing; a bad signature counts for
	// nobody.
	b.Signatories[0], b.Signatures = common.Address{0xff}, append(b.Signatures, make([]byte, 65), []byte{1})
	b.Signatories = append(b.Signatories, common.Address{1}, common.Address{2})
	answer := func(b ipc.Bundle, revert *fake.Error) {
		raw, err := ipc.EncodeBundle(b)
		require.NoError(t, err)
		n.OnCall(func(common.Address, []byte) ([]byte, *fake.Error) { return raw, revert })
	}
	answer(b, nil)
	got, err := c.Checkpoint(t.Context(), 10)
	require.NoError(t, err)
	require.True(t, got.Checkpoint.Equal(cp))
	require.Len(t, got.Signatories, 3)
	for i := range got.Signatories {
		require.Equal(t, crypto.PubkeyToAddress(keys[2-i].PublicKey), got.Signatories[i], "ascending")
		who, err := ipc.Recover(cp.Hash(), got.Signatures[i])
		require.NoError(t, err)
		require.Equal(t, got.Signatories[i], who)
	}

	// What says "not yet", and what is no answer.
	none := ipc.Bundle{Checkpoint: ipc.BottomUpCheckpoint{BlockHeight: new(big.Int)}}
	answer(none, nil)
	_, err = c.Checkpoint(t.Context(), 10)
	require.ErrorIs(t, err, ErrNoQuorum, "not made yet")
	unsigned := b
	unsigned.Signatories, unsigned.Signatures = nil, nil
	answer(unsigned, nil)
	_, err = c.Checkpoint(t.Context(), 10)
	require.ErrorIs(t, err, ErrNoQuorum, "not signed yet")
	answer(b, &fake.Error{Code: 3, Message: "execution reverted", Data: hexutil.Encode(ipc.SelectorOf("CheckpointNotCreated()").Bytes())})
	_, err = c.Checkpoint(t.Context(), 10)
	require.ErrorIs(t, err, ErrNoQuorum, "a gateway that reverts")
	answer(b, nil)
	_, err = c.Checkpoint(t.Context(), 20)
	require.ErrorIs(t, err, chains.ErrUnavailable, "another height")
	b.Info.Hash[0] ^= 1
	answer(b, nil)
	_, err = c.Checkpoint(t.Context(), 10)
	require.ErrorIs(t, err, chains.ErrUnavailable, "another hash")
	n.OnCall(func(common.Address, []byte) ([]byte, *fake.Error) { return []byte{1}, nil })
	_, err = c.Checkpoint(t.Context(), 10)
	require.ErrorIs(t, err, chains.ErrUnavailable)
}

// TestAnActorThatListsNoWeightsCountsThemItself plays validateActiveQuorumSignatures.
func TestAnActorThatListsNoWeightsCountsThemItself(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.Mine()
	r, err := NewRoot(dial(t, n), Contracts{ID: ipc.NewSubnetID(1, actor), Gateway: common.Address{0x6a}, Actor: actor}, theirCaps)
	require.NoError(t, err)
	act := mustABI(t, bindings.SubnetActorMetaData.ParseABI)
	at := chains.Block{Hash: n.Hash(1)}
	weights := map[common.Address]int{{1}: 30, {2}: 40, {3}: 30}
	revert := func(signature string, args ...byte) *fake.Error {
		data := ipc.SelectorOf(signature).Bytes()
		if len(args) > 0 {
			data = append(data, common.LeftPadBytes(args, 32)...)
		}
		return &fake.Error{Code: 3, Message: "execution reverted", Data: hexutil.Encode(data)}
	}
	n.OnCall(func(to common.Address, data []byte) ([]byte, *fake.Error) {
		m, err := act.MethodById(data)
		require.NoError(t, err)
		require.Equal(t, "validateActiveQuorumSignatures", m.Name)
		args, err := m.Inputs.Unpack(data[4:])
		require.NoError(t, err)
		require.Equal(t, [32]byte(checkpointOf(10).Hash()), args[1])
		sum := 0
		for i, who := range args[0].([]common.Address) {
			require.Equal(t, []byte{who[0]}, args[2].([][]byte)[i])
			if weights[who] == 0 {
				return nil, revert("NotValidator(address)", who[:]...)
			}
			sum += weights[who]
		}
		if sum < 66 {
			return nil, revert("InvalidSignatureErr(uint8)", 5)
		}
		return nil, nil
	})
	for name, x := range map[string]struct {
		who, keep []byte
		ok        bool
	}{
		"enough":                  {[]byte{1, 2}, []byte{1, 2}, true},
		"too little":              {[]byte{1, 3}, []byte{1, 3}, false},
		"strangers are dropped":   {[]byte{1, 2, 8, 9}, []byte{1, 2}, true},
		"and do not count":        {[]byte{1, 3, 8, 9}, []byte{1, 3}, false},
		"strangers alone":         {[]byte{8, 9}, nil, false},
		"nobody is asked nothing": {nil, nil, false},
	} {
		in := SignedCheckpoint{Checkpoint: checkpointOf(10)}
		for _, b := range x.who {
			in.Signatories, in.Signatures = append(in.Signatories, common.Address{b}), append(in.Signatures, []byte{b})
		}
		out, ok, err := r.Accepts(t.Context(), at, in)
		require.NoError(t, err, name)
		require.Equal(t, x.ok, ok, name)
		var kept []byte
		for i, a := range out.Signatories {
			kept = append(kept, a[0])
			require.Equal(t, []byte{a[0]}, out.Signatures[i])
		}
		require.Equal(t, x.keep, kept, name)
		require.Len(t, in.Signatories, len(x.who), "the caller keeps its own")
	}
	in := SignedCheckpoint{Checkpoint: checkpointOf(10), Signatories: []common.Address{{1}}, Signatures: [][]byte{{1}}}
	for _, bad := range []*fake.Error{revert("InvalidSignatureErr(uint8)", 4), revert("FunctionNotFound(bytes4)"), {Code: 3, Message: "execution reverted"}, {Code: -32000, Message: "header not found"},
		revert("NotValidator(address)", 0xaa)} {
		n.OnCall(func(common.Address, []byte) ([]byte, *fake.Error) { return nil, bad })
		_, ok, err := r.Accepts(t.Context(), at, in)
		require.False(t, ok)
		if bad.Data == revert("NotValidator(address)", 0xaa).Data {
			require.NoError(t, err, "somebody it does not have: look again")
			continue
		}
		require.Error(t, err, "%v is no count", bad)
	}
}

func TestWhereNodesDeliverOnlyTheCounterIsRead(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.Mine()
	c := openTheirs(t, n)
	contract{"appliedTopDownNonce": {uint64(7)}}.on(t, n, map[common.Address]abi.ABI{gateway: mustABI(t, bindings.SubnetGatewayMetaData.ParseABI)})
	nonce, hash, err := c.Applied(t.Context(), Messages, evm.AtLatest)
	require.NoError(t, err)
	require.Equal(t, uint64(7), nonce)
	require.Zero(t, hash)
	n.On("eth_call", fake.Fail(3, "execution reverted", "0x"))
	fee, err := c.ExitFee(t.Context())
	require.NoError(t, err)
	require.Zero(t, fee.Sign(), "no getter, no fee, no question")
}

func TestPendingBatchesComeByHeightWhateverOrderTheSetHas(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.Mine()
	rootGateway := common.Address{0x6a}
	r, err := NewRoot(dial(t, n), Contracts{ID: ipc.NewSubnetID(1, actor), Gateway: rootGateway, Actor: actor}, theirCaps)
	require.NoError(t, err)
	contract{
		"lastBottomUpCheckpointHeight": {big.NewInt(30)}, "getAppliedBottomUpNonce": {true, uint64(8)},
		"listPendingBottomUpBatchCommitments": {[]pendingEntry{{Height: 30}, {Height: 10, Executed: [][32]byte{{7}}}, {Height: 20}}},
	}.on(t, n, map[common.Address]abi.ABI{actor: mustABI(t, bindings.SubnetActorMetaData.ParseABI), rootGateway: mustABI(t, bindings.GatewayMetaData.ParseABI)})
	for _, read := range []func() (RootState, error){
		func() (RootState, error) { return r.State(t.Context(), chains.Block{Hash: n.Hash(1)}) },
		func() (RootState, error) { return r.Pending(t.Context()) },
	} {
		s, err := read()
		require.NoError(t, err)
		require.Equal(t, []PendingBatch{{Height: 10, Executed: []common.Hash{{7}}}, {Height: 20}, {Height: 30}}, s.Pending)
	}
}
