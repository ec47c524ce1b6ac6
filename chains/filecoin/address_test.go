package filecoin

import (
	"encoding/binary"
	"testing"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/common"
	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/lotus/chain/types/ethtypes"
	"github.com/stretchr/testify/require"
)

// The bridge's own reading of addresses (chains/ipc) is that of Lotus and go-address:
// f410 and 0x are one account, and what Lotus takes for the mask of an actor id is no
// recipient.
func FuzzAddressesAreReadAsLotusReadsThem(f *testing.F) {
	for _, seed := range []string{
		"0x0000000000000000000000000000000000000000", "0x52908400098527886e0f7030069857d2e4169ee7", "0xffffffffffffffffffffffffffffffffffffffff",
		"0xff00000000000000000000000000000000000064", "0xff0000000000000000000000ffffffffffffffff", "0xff00000000000000000000010000000000000064", "0xfe00000000000000000000000000000000000001",
	} {
		f.Add(common.HexToAddress(seed).Bytes(), "f410f")
	}
	f.Add([]byte{1}, "f410fkkiiiaajqutyrbxao4aktbl5ftybnhxhqvaakoq")
	f.Add([]byte{1}, "t01000")
	f.Fuzz(func(t *testing.T, raw []byte, text string) {
		a := common.BytesToAddress(raw)
		eth := ethtypes.EthAddress(a)
		require.Equal(t, eth.IsMaskedID(), ipc.IsMaskedID(a))
		theirs, err := eth.ToFilecoinAddress()
		if eth.IsMaskedID() {
			require.True(t, ipc.ForbiddenRecipient(a))
			if err == nil {
				id, err := address.IDFromAddress(theirs)
				require.NoError(t, err)
				require.Equal(t, binary.BigEndian.Uint64(a[12:]), id)
			}
		} else {
			require.NoError(t, err)
			require.Equal(t, theirs.String()[1:], ipc.F410('f', a)[1:], "the network's letter is a setting there")
			back, err := ipc.ParseF410(theirs.String())
			require.NoError(t, err)
			require.Equal(t, a, back)
		}

		// What is read of a text is what Lotus reads of it.
		mine, err := ipc.ParseF410(text)
		if err != nil {
			return
		}
		parsed, err := address.NewFromString(text)
		require.NoError(t, err)
		its, err := ethtypes.EthAddressFromFilecoinAddress(parsed)
		require.NoError(t, err)
		require.Equal(t, common.Address(its), mine)
	})
}
