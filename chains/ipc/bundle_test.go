package ipc

import (
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

func goldenBundle(signatures int) Bundle {
	b := Bundle{Checkpoint: BottomUpCheckpoint{
		SubnetID: NewSubnetID(314159, common.Address{1}), BlockHeight: big.NewInt(300), BlockHash: [32]byte{0x11}, NextConfigurationNumber: 2,
		Msgs: Commit([]IpcEnvelope{goldenEnvelope(7), goldenEnvelope(8)}),
	}}
	b.Info = QuorumInfo{Hash: b.Checkpoint.Hash(), RootHash: [32]byte{3}, Threshold: big.NewInt(66), CurrentWeight: big.NewInt(70), Reached: true}
	for n := range signatures {
		b.Signatories = append(b.Signatories, common.Address{byte(0xf0 - n)})
		sig := make([]byte, SignatureLen)
		sig[0] = byte(n)
		b.Signatures = append(b.Signatures, sig)
	}
	return b
}

// TestABundleIsWhatSolidityReturns compares with go-ethereum's own encoder.
func TestABundleIsWhatSolidityReturns(t *testing.T) {
	args := oracle(t, checkpointField(), tuple("info", plain("hash", "bytes32"), plain("rootHash", "bytes32"), plain("threshold", "uint256"),
		plain("currentWeight", "uint256"), plain("reached", "bool")), plain("signatories", "address[]"), plain("signatures", "bytes[]"))
	for _, n := range []int{0, 1, 3} {
		b := goldenBundle(n)
		want, err := args.Pack(b.Checkpoint, b.Info, b.Signatories, b.Signatures)
		require.NoError(t, err)
		got, err := EncodeBundle(b)
		require.NoError(t, err)
		require.Equal(t, want, got)
		back, err := DecodeBundle(want)
		require.NoError(t, err)
		require.True(t, back.Checkpoint.Equal(b.Checkpoint))
		require.Equal(t, b.Info, back.Info)
		require.Len(t, back.Signatures, n)
		for i := range n {
			require.Equal(t, b.Signatories[i], back.Signatories[i])
			require.Equal(t, b.Signatures[i], back.Signatures[i])
		}
	}
	// Nothing stored is zeros, and reads as a checkpoint of height 0.
	var empty Bundle
	empty.Checkpoint.BlockHeight, empty.Info.Threshold, empty.Info.CurrentWeight = new(big.Int), new(big.Int), new(big.Int)
	want, err := args.Pack(empty.Checkpoint, empty.Info, []common.Address{}, [][]byte{})
	require.NoError(t, err)
	back, err := DecodeBundle(want)
	require.NoError(t, err)
	require.Zero(t, back.Checkpoint.BlockHeight.Sign())
	require.Empty(t, back.Signatures)
}

func TestABatchIsWhatSolidityReturns(t *testing.T) {
	args := oracle(t, tuple("batch", subnetField("subnetID"), plain("blockHeight", "uint256"), list(envelopeField("msgs"))))
	for _, messages := range [][]IpcEnvelope{{}, {goldenEnvelope(7)}, {goldenEnvelope(7), goldenEnvelope(8), goldenEnvelope(9)}} {
		batch := struct {
			SubnetID    SubnetID
			BlockHeight *big.Int
			Msgs        []IpcEnvelope
		}{NewSubnetID(314159, common.Address{1}), big.NewInt(20), messages}
		want, err := args.Pack(batch)
		require.NoError(t, err)
		got, err := EncodeBatch(Batch{SubnetID: batch.SubnetID, Height: batch.BlockHeight, Messages: messages})
		require.NoError(t, err)
		require.Equal(t, want, got)
		back, err := DecodeBatch(want)
		require.NoError(t, err)
		require.Len(t, back.Messages, len(messages))
		for i, m := range messages {
			require.True(t, m.Equal(back.Messages[i]))
		}
	}
}

func TestAMessageOfABatchReadsAsOurOwnEvent(t *testing.T) {
	topics, data, err := EncodeBottomUpMessage(20, goldenEnvelope(7))
	require.NoError(t, err)
	ev, err := DecodeBottomUpMessage(topics, data)
	require.NoError(t, err)
	require.Equal(t, uint64(20), ev.Epoch)
	require.True(t, goldenEnvelope(7).Equal(ev.Message))
}

func TestOnlyNotValidatorNamesAStranger(t *testing.T) {
	who := common.Address{0xab, 19: 1}
	data := append(SelectorOf("NotValidator(address)").Bytes(), common.LeftPadBytes(who[:], 32)...)
	got, ok := NotValidator(data)
	require.True(t, ok)
	require.Equal(t, who, got)
	for _, bad := range [][]byte{nil, data[:35], append(data, 0), append(SelectorOf("NotAuthorized(address)").Bytes(), data[4:]...), append(data[:4:4], make([]byte, 31)...)} {
		_, ok := NotValidator(bad)
		require.False(t, ok)
	}
	dirty := append([]byte(nil), data...)
	dirty[4] = 1
	_, ok = NotValidator(dirty)
	require.False(t, ok)
}

func FuzzDecodeBundle(f *testing.F) {
	for n := range 3 {
		b, err := EncodeBundle(goldenBundle(n))
		require.NoError(f, err)
		seed(f, b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { roundTrip(t, b, DecodeBundle, EncodeBundle) })
}

func FuzzDecodeStoredBatch(f *testing.F) {
	b, err := EncodeBatch(Batch{SubnetID: NewSubnetID(1, common.Address{1}), Height: big.NewInt(20), Messages: []IpcEnvelope{goldenEnvelope(7), goldenEnvelope(8)}})
	require.NoError(f, err)
	seed(f, b)
	f.Fuzz(func(t *testing.T, b []byte) { roundTrip(t, b, DecodeBatch, EncodeBatch) })
}
