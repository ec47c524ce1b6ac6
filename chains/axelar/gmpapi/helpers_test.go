package gmpapi

import (
	"encoding/base64"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/test/gmp"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const chainName = "filecoin"

// serve is a service of one chain and a client of it.
func serve(t testing.TB, change ...func(*Config)) (*gmp.Server, *Client) {
	s := gmp.New(chainName)
	return s, clientOf(t, s, change...)
}

// clientOf asks a handler over the network, with short times.
func clientOf(t testing.TB, h http.Handler, change ...func(*Config)) *Client {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	cfg := Config{URL: srv.URL, Chain: chainName, Timeout: 5 * time.Second, RetryFor: time.Millisecond}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// hubMessage is a message that the hub sends to an EVM chain with a payload.
func hubMessage(n byte, payload []byte) axelar.Message {
	return axelar.Message{SourceChain: axelar.HubChain, ID: axelar.MessageID{Tx: common.Hash{n}, Index: 164269022}.String(), SourceAddress: "axelar1hub",
		Contract: common.HexToAddress("0xB5FB4BE02232B1bBA4dC8f81dc24C26980dE9e3C"), PayloadHash: crypto.Keccak256Hash(payload)}
}

func messageJSON(m axelar.Message) map[string]any {
	return map[string]any{"messageID": m.ID, "sourceChain": m.SourceChain, "sourceAddress": m.SourceAddress,
		"destinationAddress": m.Contract.Hex(), "payloadHash": b64(m.PayloadHash[:])}
}

// approval is the call data that approves messages, with a proof of one signer.
func approval(t testing.TB, batch ...axelar.Message) []byte {
	key, err := crypto.ToECDSA(common.Hash{31: 1}.Bytes())
	require.NoError(t, err)
	set := axelar.WeightedSigners{Signers: []axelar.WeightedSigner{{Signer: crypto.PubkeyToAddress(key.PublicKey), Weight: common.Big1}}, Threshold: common.Big1}
	g := axelar.NewAmplifier(common.Address{1}, common.Hash{1})
	digest, err := g.Digest(set, axelar.Command{Approve: batch})
	require.NoError(t, err)
	sig, err := crypto.Sign(digest[:], key)
	require.NoError(t, err)
	sig[64] += 27
	data, err := g.Calldata(set, axelar.Command{Approve: batch}, [][]byte{sig})
	require.NoError(t, err)
	return data
}

// contents is the content of a task of each type that the client knows, as JSON
// and as it must come out.
func contents(t testing.TB) map[TaskType]struct {
	json any
	want Content
} {
	payload := []byte{1, 2, 3}
	m := hubMessage(1, payload)
	wire := MessageOf(m)
	data := approval(t, m)
	type both = struct {
		json any
		want Content
	}
	return map[TaskType]both{
		TaskVerify: {map[string]any{"message": messageJSON(m), "destinationChain": "axelar", "payload": b64(payload)},
			Verify{Message: wire, DestinationChain: "axelar", Payload: payload}},
		TaskConstructProof: {map[string]any{"message": messageJSON(m), "payload": b64(payload)}, ConstructProof{Message: wire, Payload: payload}},
		TaskGatewayTx: {map[string]any{"executeData": b64(data)},
			GatewayTx{Data: data, Command: axelar.Command{Approve: []axelar.Message{m}}}},
		TaskExecute: {map[string]any{"message": messageJSON(m), "payload": b64(payload), "availableGasBalance": map[string]any{"tokenID": nil, "amount": "-5"}},
			Execute{Message: wire, Payload: payload, AvailableGas: Token{Amount: big.NewInt(-5)}}},
		TaskRefund: {map[string]any{"message": messageJSON(m), "refundRecipientAddress": "0x01", "remainingGasBalance": map[string]any{"amount": "7"}},
			Refund{Message: wire, Recipient: "0x01", RemainingGas: Token{Amount: big.NewInt(7)}}},
	}
}
