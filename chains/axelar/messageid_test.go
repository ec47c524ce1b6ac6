package axelar

import (
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// receipt makes the logs of one receipt, the first with that block-wide index.
func receipt(tx common.Hash, first uint, n int) []chains.Event {
	out := make([]chains.Event, n)
	for i := range out {
		out[i] = chains.Event{Tx: tx, Index: first + uint(i)}
	}
	return out
}

func TestMessageIDsComeBackTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := MessageID{Tx: genHash().Draw(t, "tx"), Index: rapid.Uint64().Draw(t, "index")}
		back, err := ParseMessageID(id.String())
		require.NoError(t, err)
		require.Equal(t, id, back)
	})
	// One that was seen on the network: its index is no log index.
	seen := "0x" + strings.Repeat("0a", 32) + "-164269022"
	id, err := ParseMessageID(seen)
	require.NoError(t, err)
	require.Equal(t, seen, id.String())
}

func TestOnlyTheCanonicalFormOfAMessageIDIsRead(t *testing.T) {
	hex64 := strings.Repeat("ab", 32)
	_, err := ParseMessageID("0x" + hex64 + "-0")
	require.NoError(t, err)
	for _, s := range []string{"", "-", "0x-0", "0x" + hex64, "0x" + hex64 + "-", hex64 + "-0", "0X" + hex64 + "-0", "0x" + strings.ToUpper(hex64) + "-0",
		"0x" + hex64 + "-00", "0x" + hex64 + "-01", "0x" + hex64 + "-+1", "0x" + hex64 + "--1", "0x" + hex64 + "-1 ", " 0x" + hex64 + "-1",
		"0x" + hex64 + "-0x1", "0x" + hex64 + "-18446744073709551616", "0x" + hex64[1:] + "-0", "0x" + hex64 + "0-0", "0x" + hex64 + "-1-1",
		"0x" + hex64 + "_1", "0x" + hex64[:62] + "zz-1"} {
		_, err := ParseMessageID(s)
		require.ErrorIs(t, err, ErrMessageID, s)
	}
}

func TestLogsThatAreNoReceiptNameNoMessage(t *testing.T) {
	tx := common.Hash{1}
	good := receipt(tx, 10, 4)
	id, err := MessageIDOf(good, 12)
	require.NoError(t, err)
	require.Equal(t, MessageID{Tx: tx, Index: 2}, id)

	// A gap is Filecoin's: an event that is no EVM log was left out of it.
	gap := append(receipt(tx, 10, 2), receipt(tx, 15, 2)...)
	id, err = MessageIDOf(gap, 15)
	require.NoError(t, err)
	require.Equal(t, uint64(2), id.Index)

	otherTx, otherBlock, otherChain := receipt(tx, 10, 4), receipt(tx, 10, 4), receipt(tx, 10, 4)
	otherTx[0].Tx = common.Hash{2}
	otherBlock[3].BlockHash = common.Hash{2}
	otherChain[3].Chain = 5
	for name, c := range map[string][]chains.Event{
		"none": nil, "a log of another transaction": otherTx, "of another block": otherBlock, "of another chain": otherChain,
		"a log twice": append(receipt(tx, 10, 4), good[3]), "out of order": {good[2], good[1]}, "without the log": good[:2],
	} {
		_, err := MessageIDOf(c, 12)
		require.ErrorIs(t, err, ErrReceipt, name)
	}
}

func TestLegacyCommandIDsTakeTheShortestChainID(t *testing.T) {
	for chain, tail := range map[chains.ID][]byte{0: {}, 1: {1}, 255: {255}, 256: {1, 0}, 314159: {4, 203, 47}, 1 << 56: {1, 0, 0, 0, 0, 0, 0, 0}} {
		require.Equal(t, keccak(append([]byte("id"), tail...)), LegacyCommandID("id", chain), chain)
	}
}
