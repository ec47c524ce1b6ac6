package axelar

import (
	"bytes"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

// packed is abi.encode of plain types.
func packed(t *testing.T, names []string, values ...any) []byte {
	t.Helper()
	var args abi.Arguments
	for _, n := range names {
		args = append(args, abi.Argument{Type: plainType(t, n)})
	}
	b, err := args.Pack(values...)
	require.NoError(t, err)
	return b
}

// callMsg is abi.encode(CallMsg) of contracts/src/ipc/Types.sol.
func callMsg(t *testing.T, method string, params []byte) []byte {
	t.Helper()
	tuple, err := abi.NewType("tuple", "", []abi.ArgumentMarshaling{{Name: "Method", Type: "bytes"}, {Name: "Params", Type: "bytes"}})
	require.NoError(t, err)
	b, err := abi.Arguments{{Type: tuple}}.Pack(struct{ Method, Params []byte }{crypto.Keccak256([]byte(method))[:4], params})
	require.NoError(t, err)
	return b
}

func gmpCall() GmpCall {
	return GmpCall{
		Nonce: 1<<63 + 5, Sender: common.HexToAddress("0x1111111111111111111111111111111111111111"),
		Target: common.HexToAddress("0x2222222222222222222222222222222222222222"), Gas: 300_000, Data: bytes.Repeat([]byte{7}, 33),
	}
}

func TestCallsAreWrittenAndHashedAsSolidityDoes(t *testing.T) {
	c := gmpCall()
	params := packed(t, []string{"uint64", "address", "address", "uint64", "bytes"}, c.Nonce, c.Sender, c.Target, c.Gas, c.Data)
	message := callMsg(t, "gmpCall(uint64,address,address,uint64,bytes)", params)
	require.Equal(t, message, EncodeGmpCall(c))
	back, err := DecodeGmpCall(message)
	require.NoError(t, err)
	require.Equal(t, c, back)

	r := GmpResult{ID: common.Hash{9}, OK: true, Return: []byte("it went well")}
	message = callMsg(t, "gmpResult(bytes32,bool,bytes)", packed(t, []string{"bytes32", "bool", "bytes"}, r.ID, r.OK, r.Return))
	require.Equal(t, message, EncodeGmpResult(r))
	result, err := DecodeGmpResult(message)
	require.NoError(t, err)
	require.Equal(t, r, result)

	route := GmpRoute{From: 11155911, FromPort: common.Address{1}, To: 77, ToPort: common.Address{2}}
	hashed := packed(t, []string{"string", "uint256", "address", "uint256", "address", "uint64", "address", "address", "uint64", "bytes32"},
		"GMP1", big.NewInt(11155911), route.FromPort, big.NewInt(77), route.ToPort, c.Nonce, c.Sender, c.Target, c.Gas, crypto.Keccak256Hash(c.Data))
	require.Equal(t, crypto.Keccak256Hash(hashed), GmpCallID(route, c))
}

// The values of test_goldenMessagesAndIds, contracts/test/gmp/GmpMessages.t.sol.
func TestCallsAreWhatTheContractsWrite(t *testing.T) {
	repeated := func(b byte) common.Address { return common.BytesToAddress(bytes.Repeat([]byte{b}, 20)) }
	c := GmpCall{Nonce: 7, Sender: repeated(0x11), Target: repeated(0x22), Gas: 250_000, Data: []byte{0xc0, 0xff, 0xee}}
	id := GmpCallID(GmpRoute{From: 1, FromPort: repeated(0x33), To: 31415926, ToPort: repeated(0x44)}, c)
	require.Equal(t, common.HexToHash("0x1881d8a98f1d322f6d824e49af252bf83da5f2ee2d6acb8f57da0bc5b874e71f"), id)
	require.Equal(t, common.HexToHash("0xc91095a605ea50a6a885a99ecc98ca51e8865e060d44581170749fa4d984bc58"), keccak(EncodeGmpCall(c)))
	result := EncodeGmpResult(GmpResult{ID: id, OK: true, Return: []byte{0xbe, 0xef}})
	require.Equal(t, common.HexToHash("0x42f20b52330f91b9984575fde206eda5f32df28406fc08a7c75c6ae574ceb1b7"), keccak(result))
}

func TestAMessageThatNoPortWritesIsRefused(t *testing.T) {
	call, result := EncodeGmpCall(gmpCall()), EncodeGmpResult(GmpResult{ID: common.Hash{9}, Return: []byte{1, 2, 3}})
	for _, m := range [][]byte{call, result} {
		for i := range m { // a byte that is not of a value makes another encoding or value
			spoilt := append([]byte(nil), m...)
			spoilt[i] ^= 0x40
			if c, err := DecodeGmpCall(spoilt); err == nil {
				require.Equal(t, spoilt, EncodeGmpCall(c))
			} else {
				require.ErrorIs(t, err, ErrMalformed)
			}
			if r, err := DecodeGmpResult(spoilt); err == nil {
				require.Equal(t, spoilt, EncodeGmpResult(r))
			} else {
				require.ErrorIs(t, err, ErrMalformed)
			}
		}
		for _, cut := range [][]byte{nil, m[:len(m)-1], m[1:], append(append([]byte(nil), m...), 0)} {
			_, err := DecodeGmpCall(cut)
			require.ErrorIs(t, err, ErrMalformed)
			_, err = DecodeGmpResult(cut)
			require.ErrorIs(t, err, ErrMalformed)
		}
	}
	_, err := DecodeGmpResult(call)
	require.ErrorIs(t, err, ErrMalformed)
	_, err = DecodeGmpCall(result)
	require.ErrorIs(t, err, ErrMalformed)
	long := gmpCall()
	long.Data = make([]byte, MaxGmpBytes)
	_, err = DecodeGmpCall(EncodeGmpCall(long))
	require.ErrorIs(t, err, ErrTooLarge)
}

func TestAnswersAboutCallsAreReadOrRefused(t *testing.T) {
	entry := GmpEntryOf(common.Address{1}, common.Hash{2})
	require.Len(t, entry.Calls, 2)
	stage := func(leg, stage uint8, since uint64) []byte {
		return packed(t, []string{"uint8", "uint8", "uint64"}, leg, stage, since)
	}
	kept, nothing := common.Hash{5}, common.Hash{}
	got, err := entry.Read([][]byte{stage(2, 2, 77), kept[:]})
	require.NoError(t, err)
	require.Equal(t, GmpEntry{Leg: GmpResultDown, Stage: GmpKept, Since: 77, Hash: kept}, got)
	got, err = entry.Read([][]byte{stage(0, 0, 0), nothing[:]})
	require.NoError(t, err)
	require.Equal(t, GmpEntry{}, got)
	for name, answers := range map[string][][]byte{
		"a leg that is none":         {stage(4, 1, 0), nothing[:]},
		"a stage that is none":       {stage(1, 3, 0), nothing[:]},
		"kept without a message":     {stage(1, 2, 0), nothing[:]},
		"a message that is not kept": {stage(1, 1, 0), kept[:]},
		"nothing":                    {nil, nil},
		"one answer":                 {stage(1, 1, 0)},
	} {
		_, err := entry.Read(answers)
		require.Error(t, err, name)
	}

	patience := GmpPatienceOf(common.Address{1})
	n, err := patience.Read([][]byte{common.BigToHash(big.NewInt(3600)).Bytes()})
	require.NoError(t, err)
	require.EqualValues(t, 3600, n)
	_, err = patience.Read([][]byte{bytes.Repeat([]byte{1}, 32)})
	require.ErrorIs(t, err, ErrAnswer)

	link := GmpLinkOf(common.Address{1})
	l, err := link.Read([][]byte{packed(t, []string{"address", "string", "address"}, common.Address{3}, "Ethereum", common.Address{4})})
	require.NoError(t, err)
	require.Equal(t, GmpLink{Gateway: common.Address{3}, Chain: "Ethereum", Account: common.Address{4}}, l)
	_, err = link.Read([][]byte{nil})
	require.Error(t, err)
}

func TestWhatTheRouterKeepsIsSentAsItIs(t *testing.T) {
	id, message := common.Hash{1}, []byte{2, 3}
	args := packed(t, []string{"bytes32", "bytes"}, id, message)
	require.Equal(t, append(crypto.Keccak256([]byte("retry(bytes32,bytes)"))[:4], args...), RetryGmpCalldata(id, message))
	require.Equal(t, append(crypto.Keccak256([]byte("giveUp(bytes32,bytes)"))[:4], args...), GiveUpGmpCalldata(id, message))

	m := Message{SourceChain: "Ethereum", ID: "m", SourceAddress: "0xA", Contract: common.Address{1}, PayloadHash: keccak(message)}
	data, err := DirectCalldata(id, m, message)
	require.NoError(t, err)
	args = packed(t, []string{"bytes32", "string", "string", "bytes"}, id, "Ethereum", "0xA", message)
	require.Equal(t, append(crypto.Keccak256([]byte("execute(bytes32,string,string,bytes)"))[:4], args...), data)
	_, err = DirectCalldata(id, m, []byte{2, 4})
	require.ErrorIs(t, err, ErrMessage)
}

func FuzzDecodeGmp(f *testing.F) {
	f.Add(EncodeGmpCall(gmpCall()))
	f.Add(EncodeGmpResult(GmpResult{ID: common.Hash{9}, OK: true, Return: []byte{1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, notCall := DecodeGmpCall(b)
		r, notResult := DecodeGmpResult(b)
		require.False(t, notCall == nil && notResult == nil, "two things at once")
		if notCall == nil {
			require.Equal(t, b, EncodeGmpCall(c))
		}
		if notResult == nil {
			require.Equal(t, b, EncodeGmpResult(r))
		}
	})
}
