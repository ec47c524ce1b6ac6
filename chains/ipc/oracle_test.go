package ipc

import (
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The oracle of every codec here is go-ethereum's own ABI package.

type field = abi.ArgumentMarshaling

func tuple(name string, fields ...field) field {
	return field{Name: name, Type: "tuple", Components: fields}
}

func list(f field) field {
	f.Type += "[]"
	return f
}

func plain(name, typ string) field { return field{Name: name, Type: typ} }

func subnetField(name string) field {
	return tuple(name, plain("root", "uint64"), plain("route", "address[]"))
}

func addressField(name string) field {
	return tuple(name, subnetField("subnetId"),
		tuple("rawAddress", plain("addrType", "uint8"), plain("payload", "bytes")))
}

func envelopeField(name string) field {
	return tuple(name, plain("kind", "uint8"), plain("localNonce", "uint64"), plain("originalNonce", "uint64"),
		plain("value", "uint256"), addressField("to"), addressField("from"), plain("message", "bytes"))
}

func envelopeFieldA(name string) field {
	return tuple(name, plain("kind", "uint8"), addressField("to"), addressField("from"),
		plain("nonce", "uint64"), plain("value", "uint256"), plain("message", "bytes"))
}

func activityField() field {
	return tuple("activity", tuple("consensus",
		tuple("stats", plain("totalActiveValidators", "uint64"), plain("totalNumBlocksCommitted", "uint64")),
		plain("dataRootCommitment", "bytes32")))
}

func checkpointField() field {
	return tuple("checkpoint", subnetField("subnetID"), plain("blockHeight", "uint256"), plain("blockHash", "bytes32"),
		plain("nextConfigurationNumber", "uint64"),
		tuple("msgs", plain("totalNumMsgs", "uint64"), plain("msgsRoot", "bytes32")), activityField())
}

func powerChangeField() field {
	return tuple("request",
		tuple("change", plain("op", "uint8"), plain("payload", "bytes"), plain("validator", "address")),
		plain("configurationNumber", "uint64"))
}

func withdrawalField() field {
	return tuple("withdrawal", plain("subnetKey", "bytes32"), plain("outbox", "address"), plain("nonce", "uint64"),
		plain("token", "address"), plain("sender", "address"), plain("recipient", "address"),
		plain("fallbackRecipient", "address"), plain("gross", "uint256"), plain("minOut", "uint256"),
		plain("height", "uint64"), plain("fillDeadline", "uint64"), plain("exclusiveFiller", "address"),
		plain("exclusivityDeadline", "uint64"), plain("maxFeeBps", "uint16"))
}

func oracle(t require.TestingT, fields ...field) abi.Arguments {
	args := make(abi.Arguments, len(fields))
	for i, f := range fields {
		typ, err := abi.NewType(f.Type, "", f.Components)
		require.NoError(t, err)
		args[i] = abi.Argument{Name: f.Name, Type: typ}
	}
	return args
}

func pack(t require.TestingT, args abi.Arguments, values ...any) []byte {
	b, err := args.Pack(values...)
	require.NoError(t, err)
	return b
}

// envA is the envelope of generation A as abigen would name it.
type envA struct {
	Kind     uint8
	To, From IPCAddress
	Nonce    uint64
	Value    *big.Int
	Message  []byte
}

func toEnvA(e IpcEnvelope) envA {
	return envA{Kind: e.Kind, To: e.To, From: e.From, Nonce: e.LocalNonce, Value: e.Value, Message: e.Message}
}

// Generators.

func genHash() *rapid.Generator[common.Hash] {
	return rapid.Custom(func(t *rapid.T) common.Hash {
		return common.BytesToHash(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash"))
	})
}

func genAddr() *rapid.Generator[common.Address] {
	return rapid.Custom(func(t *rapid.T) common.Address {
		return common.BytesToAddress(rapid.SliceOfN(rapid.Byte(), 20, 20).Draw(t, "address"))
	})
}

func genBytes() *rapid.Generator[[]byte] { return rapid.SliceOfN(rapid.Byte(), 0, 100) }

func genUint256() *rapid.Generator[*big.Int] {
	return rapid.Custom(func(t *rapid.T) *big.Int {
		return new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 32).Draw(t, "uint256"))
	})
}

func genSubnet() *rapid.Generator[SubnetID] {
	return rapid.Custom(func(t *rapid.T) SubnetID {
		return NewSubnetID(rapid.Uint64().Draw(t, "root"), rapid.SliceOfN(genAddr(), 0, 3).Draw(t, "route")...)
	})
}

func genIPCAddress() *rapid.Generator[IPCAddress] {
	return rapid.Custom(func(t *rapid.T) IPCAddress {
		a := NewAddress(genSubnet().Draw(t, "subnet"), genAddr().Draw(t, "evm"))
		if rapid.IntRange(0, 3).Draw(t, "odd") == 0 {
			a.RawAddress = FvmAddress{AddrType: rapid.Byte().Draw(t, "type"), Payload: genBytes().Draw(t, "payload")}
		}
		return a
	})
}

func genEnvelope() *rapid.Generator[IpcEnvelope] {
	return rapid.Custom(func(t *rapid.T) IpcEnvelope {
		return IpcEnvelope{
			Kind:          rapid.Uint8Range(0, 2).Draw(t, "kind"),
			LocalNonce:    rapid.Uint64().Draw(t, "local"),
			OriginalNonce: rapid.Uint64().Draw(t, "original"),
			Value:         genUint256().Draw(t, "value"),
			To:            genIPCAddress().Draw(t, "to"),
			From:          genIPCAddress().Draw(t, "from"),
			Message:       genBytes().Draw(t, "message"),
		}
	})
}

func genCheckpoint() *rapid.Generator[BottomUpCheckpoint] {
	return rapid.Custom(func(t *rapid.T) BottomUpCheckpoint {
		c := BottomUpCheckpoint{
			SubnetID:                genSubnet().Draw(t, "subnet"),
			BlockHeight:             genUint256().Draw(t, "height"),
			BlockHash:               genHash().Draw(t, "block"),
			NextConfigurationNumber: rapid.Uint64().Draw(t, "config"),
			Msgs:                    Commitment{TotalNumMsgs: rapid.Uint64().Draw(t, "total"), MsgsRoot: genHash().Draw(t, "root")},
		}
		s := &c.Activity.Consensus
		s.Stats.TotalActiveValidators = rapid.Uint64().Draw(t, "active")
		s.Stats.TotalNumBlocksCommitted = rapid.Uint64().Draw(t, "blocks")
		s.DataRootCommitment = genHash().Draw(t, "rows")
		return c
	})
}

func genWithdrawal() *rapid.Generator[Withdrawal] {
	return rapid.Custom(func(t *rapid.T) Withdrawal {
		return Withdrawal{
			SubnetKey:           genHash().Draw(t, "subnet"),
			Outbox:              genAddr().Draw(t, "outbox"),
			Nonce:               rapid.Uint64().Draw(t, "nonce"),
			Token:               genAddr().Draw(t, "token"),
			Sender:              genAddr().Draw(t, "sender"),
			Recipient:           genAddr().Draw(t, "recipient"),
			FallbackRecipient:   genAddr().Draw(t, "fallback"),
			Gross:               genUint256().Draw(t, "gross"),
			MinOut:              genUint256().Draw(t, "min"),
			Height:              rapid.Uint64().Draw(t, "height"),
			FillDeadline:        rapid.Uint64().Draw(t, "deadline"),
			ExclusiveFiller:     genAddr().Draw(t, "filler"),
			ExclusivityDeadline: rapid.Uint64().Draw(t, "exclusivity"),
			MaxFeeBps:           rapid.Uint16().Draw(t, "bps"),
		}
	})
}

func requireSameEnvelope(t require.TestingT, want, got IpcEnvelope) {
	require.True(t, want.Equal(got), "want %+v\ngot  %+v", want, got)
}

func TestEnvelopesEncodeAsSolidityDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := genEnvelope().Draw(t, "envelope")
		args := oracle(t, envelopeField("e"))
		want := pack(t, args, e)

		got, err := EncodeEnvelope(e)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Len(t, got, e.EncodedLen())
		require.Equal(t, keccak(want), e.Hash())

		back, err := DecodeEnvelope(want)
		require.NoError(t, err)
		requireSameEnvelope(t, e, back)
	})
}

func TestEnvelopesOfGenerationAEncodeAsSolidityDoes(t *testing.T) {
	a := profileA{}
	rapid.Check(t, func(t *rapid.T) {
		e := genEnvelope().Draw(t, "envelope")
		e.OriginalNonce = 0
		want := pack(t, oracle(t, envelopeFieldA("e")), toEnvA(e))

		got, err := a.EncodeEnvelope(e)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, keccak(want), a.MessageID(e))

		back, err := a.DecodeEnvelope(want)
		require.NoError(t, err)
		requireSameEnvelope(t, e, back)
	})
}

func TestTheTracingIdHashesSixArguments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := genEnvelope().Draw(t, "envelope")
		args := oracle(t, plain("kind", "uint8"), addressField("to"), addressField("from"),
			plain("value", "uint256"), plain("message", "bytes"), plain("originalNonce", "uint64"))
		require.Equal(t, keccak(pack(t, args, e.Kind, e.To, e.From, e.Value, e.Message, e.OriginalNonce)), e.TracingID())

		other := e
		other.LocalNonce++
		require.Equal(t, e.TracingID(), other.TracingID(), "the local nonce is no part of the id")
	})
}

func TestTheBatchLeafHashesThirteenFieldsTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := genEnvelope().Draw(t, "envelope")
		args := oracle(t, plain("a", "uint8"), plain("b", "uint64"), plain("c", "uint64"), plain("d", "uint256"),
			plain("e", "uint64"), plain("f", "address[]"), plain("g", "uint8"), plain("h", "bytes"),
			plain("i", "uint64"), plain("j", "address[]"), plain("k", "uint8"), plain("l", "bytes"), plain("m", "bytes"))
		want := pack(t, args, e.Kind, e.LocalNonce, e.OriginalNonce, e.Value,
			e.To.SubnetId.Root, e.To.SubnetId.Route, e.To.RawAddress.AddrType, e.To.RawAddress.Payload,
			e.From.SubnetId.Root, e.From.SubnetId.Route, e.From.RawAddress.AddrType, e.From.RawAddress.Payload, e.Message)
		require.Equal(t, doubleKeccak(want), e.Leaf())
	})
}

func TestMessagesEncodeAsSolidityDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := CallMsg{Method: genBytes().Draw(t, "method"), Params: genBytes().Draw(t, "params")}
		want := pack(t, oracle(t, tuple("c", plain("method", "bytes"), plain("params", "bytes"))), c)
		require.Equal(t, want, EncodeCall(c))
		call, err := DecodeCall(want)
		require.NoError(t, err)
		require.Equal(t, c, call)

		m := ResultMsg{Id: genHash().Draw(t, "id"), Outcome: rapid.Uint8Range(0, 2).Draw(t, "outcome"), Ret: genBytes().Draw(t, "ret")}
		want = pack(t, oracle(t, tuple("r", plain("id", "bytes32"), plain("outcome", "uint8"), plain("ret", "bytes"))), m)
		require.Equal(t, want, EncodeResult(m))
		result, err := DecodeResult(want)
		require.NoError(t, err)
		require.Equal(t, m, result)
	})
}

func TestCheckpointsEncodeAsSolidityDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genCheckpoint().Draw(t, "checkpoint")
		want := pack(t, oracle(t, checkpointField()), c)
		got, err := EncodeCheckpoint(c)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, keccak(want), c.Hash())
		back, err := DecodeCheckpoint(want)
		require.NoError(t, err)
		require.True(t, c.Equal(back))
	})
}

func TestCheckpointsOfGenerationAEncodeAsSolidityDoes(t *testing.T) {
	a := profileA{}
	args := oracle(t, tuple("checkpoint", subnetField("subnetID"), plain("blockHeight", "uint256"),
		plain("blockHash", "bytes32"), plain("nextConfigurationNumber", "uint64"), list(envelopeFieldA("msgs"))))
	rapid.Check(t, func(t *rapid.T) {
		c := Checkpoint{BottomUpCheckpoint: genCheckpoint().Draw(t, "checkpoint")}
		c.Msgs, c.Activity = Commitment{}, CompressedActivityRollup{}
		c.Messages = rapid.SliceOfN(genEnvelope(), 0, 4).Draw(t, "messages")
		wire := struct {
			SubnetID                SubnetID
			BlockHeight             *big.Int
			BlockHash               [32]byte
			NextConfigurationNumber uint64
			Msgs                    []envA
		}{c.SubnetID, c.BlockHeight, c.BlockHash, c.NextConfigurationNumber, make([]envA, len(c.Messages))}
		for i := range c.Messages {
			c.Messages[i].OriginalNonce = 0
			wire.Msgs[i] = toEnvA(c.Messages[i])
		}
		want := pack(t, args, wire)

		got, err := a.EncodeCheckpoint(c)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, keccak(want), a.CheckpointHash(c))

		back, err := a.DecodeCheckpoint(want)
		require.NoError(t, err)
		require.True(t, c.BottomUpCheckpoint.Equal(back.BottomUpCheckpoint))
		require.Len(t, back.Messages, len(c.Messages))
		for i := range c.Messages {
			requireSameEnvelope(t, c.Messages[i], back.Messages[i])
		}
	})
}

func TestPowerChangesAndSubnetIdsEncodeAsSolidityDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := PowerChangeRequest{
			Change: PowerChange{
				Op:        rapid.Byte().Draw(t, "op"),
				Payload:   genBytes().Draw(t, "payload"),
				Validator: genAddr().Draw(t, "validator"),
			},
			ConfigurationNumber: rapid.Uint64().Draw(t, "number"),
		}
		want := pack(t, oracle(t, powerChangeField()), p)
		require.Equal(t, want, EncodePowerChange(p))
		back, err := DecodePowerChange(want)
		require.NoError(t, err)
		require.True(t, p.Equal(back))
		back.ConfigurationNumber++
		require.False(t, p.Equal(back))

		s := genSubnet().Draw(t, "subnet")
		want = pack(t, oracle(t, subnetField("s")), s)
		require.Equal(t, want, EncodeSubnetID(s))
		require.Equal(t, keccak(want), s.Hash())
		subnet, err := DecodeSubnetID(want)
		require.NoError(t, err)
		require.True(t, s.Equal(subnet))
	})
}

func TestWithdrawalsEncodeAndHashAsSolidityDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := genWithdrawal().Draw(t, "withdrawal")
		want := pack(t, oracle(t, withdrawalField()), w)
		got, err := EncodeWithdrawal(w)
		require.NoError(t, err)
		require.Equal(t, want, got)
		back, err := DecodeWithdrawal(want)
		require.NoError(t, err)
		require.Equal(t, want, pack(t, oracle(t, withdrawalField()), back))

		chain, contract := rapid.Uint64().Draw(t, "chain"), genAddr().Draw(t, "contract")
		args := oracle(t, plain("domain", "string"), plain("chain", "uint256"), plain("contract", "address"), withdrawalField())
		preimage := pack(t, args, "FW1", new(big.Int).SetUint64(chain), contract, w)
		require.Equal(t, keccak(preimage), WithdrawalID(chain, contract, w))
	})
}

func TestSaltIsTheHashOfFourWords(t *testing.T) {
	args := oracle(t, plain("a", "uint256"), plain("b", "address"), plain("c", "address"), plain("d", "bytes32"))
	gateway, actor, block := common.HexToAddress("0x11"), common.HexToAddress("0x22"), common.HexToHash("0x33")
	require.Equal(t, keccak(pack(t, args, big.NewInt(31337), gateway, actor, block)), Salt(31337, gateway, actor, block))
}

func TestTheStructsConvertFromAndToGeneratedOnes(t *testing.T) {
	e := rapidExample(genEnvelope())
	args := oracle(t, envelopeField("e"))
	values, err := args.Unpack(pack(t, args, e))
	require.NoError(t, err)
	requireSameEnvelope(t, e, *abi.ConvertType(values[0], new(IpcEnvelope)).(*IpcEnvelope))

	c := rapidExample(genCheckpoint())
	args = oracle(t, checkpointField())
	values, err = args.Unpack(pack(t, args, c))
	require.NoError(t, err)
	require.True(t, c.Equal(*abi.ConvertType(values[0], new(BottomUpCheckpoint)).(*BottomUpCheckpoint)))

	w := rapidExample(genWithdrawal())
	args = oracle(t, withdrawalField())
	values, err = args.Unpack(pack(t, args, w))
	require.NoError(t, err)
	require.Equal(t, pack(t, args, w), pack(t, args, *abi.ConvertType(values[0], new(Withdrawal)).(*Withdrawal)))
}

func rapidExample[T any](g *rapid.Generator[T]) T { return g.Example(7) }
