package wallet

import (
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/stretchr/testify/require"
)

// nodeError is how a node answers a simulation that reverts.
type nodeError struct{ data any }

func (nodeError) Error() string    { return "execution reverted" }
func (nodeError) ErrorCode() int   { return 3 }
func (e nodeError) ErrorData() any { return e.data }

// sample is a value of a type that is easy to see in text.
func sample(t abi.Type) any {
	switch t.T {
	case abi.AddressTy:
		return common.Address{0xab}
	case abi.BoolTy:
		return true
	case abi.FixedBytesTy:
		switch t.Size {
		case 32:
			return [32]byte{0x9e, 0xa0, 0x15}
		case 4:
			return [4]byte{0x9e, 0xa0, 0x15}
		}
	case abi.UintTy:
		switch t.Size {
		case 8:
			return uint8(7)
		case 16:
			return uint16(7)
		case 64:
			return uint64(7)
		}
		return big.NewInt(7)
	case abi.StringTy:
		return "seven"
	case abi.BytesTy:
		return []byte{0x9e}
	}
	return nil
}

func TestEveryErrorOfAContractIsSaidOnceAndReadable(t *testing.T) {
	seen := 0
	a := &Account{name: "root"}
	for _, m := range []*bind.MetaData{
		&bindings.GatewayMetaData, &bindings.LinkedTokenControllerMetaData, &bindings.WithdrawalOutboxMetaData, &bindings.FastWithdrawalsMetaData,
	} {
		parsed, err := m.ParseABI()
		require.NoError(t, err)
		for _, e := range parsed.Errors {
			values := make([]any, len(e.Inputs))
			for i, in := range e.Inputs {
				values[i] = sample(in.Type)
				require.NotNil(t, values[i], "%s", e)
			}
			packed, err := e.Inputs.Pack(values...)
			require.NoError(t, err, "%s", e)
			got := a.refused(nodeError{hexutil.Encode(append(e.ID[:4:4], packed...))})
			require.ErrorIs(t, got, chains.ErrReverted)
			text := got.Error()
			require.True(t, strings.HasPrefix(text, "the contract on root refuses it: execution reverted: "+e.Name+"("), text)
			require.Equal(t, 1, strings.Count(text, e.Name+"("), text)
			require.NotContains(t, text, "[", "bytes are hex: %s", text)
			require.Equal(t, len(e.Inputs), strings.Count(text, "="), "each argument by its name: %s", text)
			seen++
		}
	}
	require.Greater(t, seen, 30)
}

func TestANetworkErrorShowsNoURL(t *testing.T) {
	a := &Account{name: "root"}
	err := a.refused(errors.New(`Post "http://user:hunter2@node": connection refused`))
	require.ErrorIs(t, err, chains.ErrUnavailable)
	require.NotContains(t, err.Error(), "hunter2")
	require.ErrorContains(t, a.refused(nodeError{"0x"}), "the call on root would fail: execution reverted")
}
