package axelar

import (
	"context"
	"encoding/json"
	"math/big"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

func TestADirectCallKeepsItsIdAndItsPayload(t *testing.T) {
	from, to := common.HexToAddress("0x52908400098527886E0F7030069857D2E4169EE7"), common.HexToAddress("0xde709f2102306220921060314715629080e2fb77")
	id := MessageID{Tx: common.Hash{1}, Index: 2}
	good := Called{Sender: from, DestinationChain: "filecoin", DestinationAddress: to.Hex(), PayloadHash: keccak([]byte{1}), Payload: []byte{1}}
	want := Message{SourceChain: "Ethereum", ID: id.String(), SourceAddress: "0x52908400098527886E0F7030069857D2E4169EE7", Contract: to, PayloadHash: keccak([]byte{1})}
	for _, address := range []string{to.Hex(), "0xde709f2102306220921060314715629080e2fb77", "0XDE709F2102306220921060314715629080E2FB77"} {
		c := good
		c.DestinationAddress = address
		got, err := Direct("Ethereum", id, c)
		require.NoError(t, err)
		require.Equal(t, Routed{To: "filecoin", Message: want, Payload: []byte{1}}, got)
		require.NoError(t, got.Message.Check())
	}
	for what, change := range map[string]func(*Called){
		"for the hub":      func(c *Called) { c.DestinationChain = HubChain },
		"for its own":      func(c *Called) { c.DestinationChain = "Ethereum" },
		"for no chain":     func(c *Called) { c.DestinationChain = "" },
		"with a _":         func(c *Called) { c.DestinationChain = "file_coin" },
		"for no address":   func(c *Called) { c.DestinationAddress = "" },
		"for a bare one":   func(c *Called) { c.DestinationAddress = to.Hex()[2:] },
		"for a longer one": func(c *Called) { c.DestinationAddress += "00" },
		"for no hex":       func(c *Called) { c.DestinationAddress = "0x" + "zz" + to.Hex()[4:] },
		"for zero":         func(c *Called) { c.DestinationAddress = common.Address{}.Hex() },
	} {
		c := good
		change(&c)
		_, err := Direct("Ethereum", id, c)
		require.ErrorIs(t, err, ErrNotDirect, what)
	}
}

func TestCallsSelectsWhatBeginsMessages(t *testing.T) {
	v := vectors(t)
	for _, g := range []Gateway{NewAmplifier(common.Address{1}, common.Hash{1}), NewLegacy(1, common.Address{1}, common.Address{2})} {
		f := Calls(g)
		require.Equal(t, chains.Filter{Addresses: []common.Address{{1}}, Topics: []common.Hash{evContractCall.topic}}, f)
		require.Subset(t, g.Filter().Topics, f.Topics)
	}
	require.NotEmpty(t, v.Steps)
}

func TestASignerSetInJSONComesBackTheSame(t *testing.T) {
	set := WeightedSigners{Threshold: new(big.Int).Lsh(big.NewInt(3), 100), Nonce: common.Hash{9}, Signers: []WeightedSigner{
		{Signer: common.Address{1}, Weight: big.NewInt(1)}, {Signer: common.Address{2}, Weight: new(big.Int).Lsh(big.NewInt(1), 127)},
	}}
	raw, err := json.Marshal(set)
	require.NoError(t, err)
	var again WeightedSigners
	require.NoError(t, json.Unmarshal(raw, &again))
	require.True(t, set.Equal(again))
	require.Equal(t, set, again)

	// As people and other files write it.
	require.NoError(t, json.Unmarshal([]byte(`{"signers":[{"address":"0x0100000000000000000000000000000000000000","weight":7}],"threshold":7}`), &again))
	require.Equal(t, WeightedSigners{Threshold: big.NewInt(7), Signers: []WeightedSigner{{Signer: common.Address{1}, Weight: big.NewInt(7)}}}, again)

	for _, bad := range []string{
		`null`, `{}`, `[]`, `{"threshold":-1}`, `{"threshold":1.5}`, `{"threshold":1e3}`, `{"threshold":"0x1"}`, `{"threshold":""}`, `{"threshold":null}`,
		`{"threshold":1,"more":2}`, `{"threshold":1,"signers":[{"address":"0x0100000000000000000000000000000000000000"}]}`,
		`{"threshold":1,"signers":[{"address":"0x01","weight":1}]}`, `{"threshold":1` + string(make([]byte, 3)) + `}`,
		`{"threshold":115792089237316195423570985008687907853269984665640564039457584007913129639936}`,
	} {
		var s WeightedSigners
		require.Error(t, json.Unmarshal([]byte(bad), &s), bad)
	}
	_, err = json.Marshal(WeightedSigners{})
	require.ErrorIs(t, err, ErrNotUint256)
	var s WeightedSigners
	require.ErrorIs(t, s.UnmarshalJSON([]byte(`{"threshold":1} {}`)), ErrSignerSet)
	many := `{"threshold":1,"signers":[`
	for range maxSigners {
		many += `{"address":"0x0100000000000000000000000000000000000000","weight":1},`
	}
	require.ErrorIs(t, json.Unmarshal([]byte(many+`{"address":"0x0100000000000000000000000000000000000000","weight":1}]}`), &s), ErrSignerSet)
}

func TestTheDecimalsOfATokenAreAskedWhereItIs(t *testing.T) {
	ctx, at := context.Background(), common.Address{7}
	for _, version := range []Version{V211, V220} {
		w := itsWorld(at, version)
		s, err := ProbeService(ctx, w, at)
		require.NoError(t, err)
		id, token := common.Hash{1}, common.Address{8}
		ask := func() (uint8, bool) {
			n, ok, err := s.Decimals(ctx, w, id)
			require.NoError(t, err)
			return n, ok
		}
		_, ok := ask()
		require.False(t, ok, "ITS knows no such token, and reverts")
		w[at][fnRegistered.signature] = func(a []any) []any {
			require.Equal(t, id, common.Hash(a[0].([32]byte)))
			return []any{token}
		}
		_, ok = ask()
		require.False(t, ok, "nothing is there")
		w[token] = contract{fnDecimals.signature: always(uint8(18))}
		n, ok := ask()
		require.True(t, ok)
		require.EqualValues(t, 18, n)
		w[token][fnDecimals.signature] = always(errDown)
		_, _, err = s.Decimals(ctx, w, id)
		require.ErrorIs(t, err, errDown)
		w[at][fnRegistered.signature] = always(errDown)
		_, _, err = s.Decimals(ctx, w, id)
		require.ErrorIs(t, err, errDown)
	}
}
