package axelar

import (
	"math/big"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

// fltType is a struct of contracts/src/interfaces/IFlt.sol.
func fltType(t *testing.T, names ...string) abi.Type {
	t.Helper()
	types := map[string]string{
		"Sender": "address", "Recipient": "address", "Subnet": "bytes32", "Nonce": "uint64", "Amount": "uint256", "Portal": "address", "RefundTo": "address",
	}
	var parts []abi.ArgumentMarshaling
	for _, n := range names {
		parts = append(parts, abi.ArgumentMarshaling{Name: n, Type: types[n]})
	}
	out, err := abi.NewType("tuple", "", parts)
	require.NoError(t, err)
	return out
}

func plainType(t *testing.T, name string) abi.Type {
	t.Helper()
	out, err := abi.NewType(name, "", nil)
	require.NoError(t, err)
	return out
}

func TestFltIsHashedAsSolidityDoes(t *testing.T) {
	d := FltDeposit{
		Sender: common.HexToAddress("0x1111111111111111111111111111111111111111"), Recipient: common.HexToAddress("0x2222222222222222222222222222222222222222"),
		Subnet: common.HexToHash("0x33"), Nonce: 1<<63 + 5, Amount: new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1)),
	}
	tuple := fltType(t, "Sender", "Recipient", "Subnet", "Nonce", "Amount")
	encoded, err := abi.Arguments{{Type: tuple}}.Pack(d)
	require.NoError(t, err)
	require.Equal(t, encoded, EncodeFltDeposit(d))
	back, err := DecodeFltDeposit(encoded)
	require.NoError(t, err)
	require.Equal(t, d, back)

	contract := common.HexToAddress("0x4444444444444444444444444444444444444444")
	id := func(tag string, chain int64, tuple abi.Type, v any) common.Hash {
		b, err := abi.Arguments{{Type: plainType(t, "string")}, {Type: plainType(t, "uint256")}, {Type: plainType(t, "address")}, {Type: tuple}}.Pack(tag, big.NewInt(chain), contract, v)
		require.NoError(t, err)
		return crypto.Keccak256Hash(b)
	}
	require.Equal(t, id("FLTD1", 11155911, tuple, d), FltDepositID(11155911, contract, d))

	w := FltWithdrawal{
		Subnet: common.HexToHash("0x33"), Portal: d.Sender, Nonce: 7, Sender: d.Recipient, Recipient: contract,
		RefundTo: common.HexToAddress("0x5555555555555555555555555555555555555555"), Amount: big.NewInt(9),
	}
	tuple = fltType(t, "Subnet", "Portal", "Nonce", "Sender", "Recipient", "RefundTo", "Amount")
	encoded, err = abi.Arguments{{Type: tuple}}.Pack(w)
	require.NoError(t, err)
	require.Equal(t, encoded, EncodeFltWithdrawal(w))
	same, err := DecodeFltWithdrawal(encoded)
	require.NoError(t, err)
	require.Equal(t, w, same)
	require.Equal(t, id("FLTW1", 31415926, tuple, w), FltWithdrawalID(31415926, contract, w))
}

func TestFltOfTheWrongShapeIsRefused(t *testing.T) {
	d := EncodeFltDeposit(FltDeposit{Amount: big.NewInt(1)})
	w := EncodeFltWithdrawal(FltWithdrawal{Amount: big.NewInt(1)})
	for i := range 12 { // above an address's 160 bits
		for _, word := range []int{0, 1} {
			b := append([]byte(nil), d...)
			b[32*word+i] = 1
			_, err := DecodeFltDeposit(b)
			require.ErrorIs(t, err, ErrMalformed)
		}
		for _, word := range []int{1, 3, 4, 5} {
			b := append([]byte(nil), w...)
			b[32*word+i] = 1
			_, err := DecodeFltWithdrawal(b)
			require.ErrorIs(t, err, ErrMalformed)
		}
	}
	for i := range 24 { // above a nonce's 64 bits
		b := append([]byte(nil), d...)
		b[32*3+i] = 1
		_, err := DecodeFltDeposit(b)
		require.ErrorIs(t, err, ErrMalformed)
		b = append([]byte(nil), w...)
		b[32*2+i] = 1
		_, err = DecodeFltWithdrawal(b)
		require.ErrorIs(t, err, ErrMalformed)
	}
	for _, cut := range [][]byte{nil, d[1:], append(append([]byte(nil), d...), 0), d[:32*4]} {
		_, err := DecodeFltDeposit(cut)
		require.ErrorIs(t, err, ErrMalformed)
	}
	for _, cut := range [][]byte{nil, w[1:], append(append([]byte(nil), w...), 0), w[:32*6], d} {
		_, err := DecodeFltWithdrawal(cut)
		require.ErrorIs(t, err, ErrMalformed)
	}
}

func TestAnswersAboutFltAreReadOrRefused(t *testing.T) {
	word := func(n int64) []byte { return common.BigToHash(big.NewInt(n)).Bytes() }
	credit := FltCreditOf(common.Address{1}, common.Hash{2})
	require.Len(t, credit.Calls, 1)
	got, err := credit.Read([][]byte{append(word(5), word(1)...)})
	require.NoError(t, err)
	require.Equal(t, FltCredit{big.NewInt(5), true}, got)
	for _, bad := range [][]byte{nil, word(5), append(word(5), word(2)...), append(append(word(5), word(1)...), 0)} {
		_, err := credit.Read([][]byte{bad})
		require.Error(t, err)
	}
	held := FltReturnedOf(common.Address{1}, common.Hash{2})
	n, err := held.Read([][]byte{word(5)})
	require.NoError(t, err)
	require.Equal(t, big.NewInt(5), n)
	_, err = held.Read([][]byte{nil})
	require.Error(t, err)
}

func FuzzDecodeFlt(f *testing.F) {
	f.Add(EncodeFltDeposit(FltDeposit{Nonce: 3, Amount: big.NewInt(1)}))
	f.Add(EncodeFltWithdrawal(FltWithdrawal{Nonce: 3, Amount: big.NewInt(1)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := DecodeFltDeposit(b); err == nil {
			require.Equal(t, b, EncodeFltDeposit(d))
			_ = FltDepositID(chains.ID(1), common.Address{}, d)
		}
		if w, err := DecodeFltWithdrawal(b); err == nil {
			require.Equal(t, b, EncodeFltWithdrawal(w))
			_ = FltWithdrawalID(chains.ID(1), common.Address{}, w)
		}
	})
}
