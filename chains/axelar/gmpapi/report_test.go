package gmpapi

import (
	"encoding/json"
	"math"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/test/gmp"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

var here = At{Chain: chainName, Log: chains.Event{Chain: 314, Block: 5, BlockTime: 1_700_000_000, Tx: common.Hash{1}, Index: 9, Position: 2}}

const herePlace = "0x0100000000000000000000000000000000000000000000000000000000000000-2"

// valid says that an event is what the schema allows and is known by a place.
func valid(t testing.TB, e Event, err error, place string) map[string]any {
	t.Helper()
	require.NoError(t, err)
	raw, err := EncodeEvent(e)
	require.NoError(t, err)
	v := generic(t, raw)
	require.NoError(t, gmp.CheckEvent(v))
	require.Equal(t, place, v["eventID"])
	return v
}

func TestACallIsReportedUnderItsPlaceInTheReceipt(t *testing.T) {
	// The call and its id are those of a transfer that ran on a chain.
	raw, err := os.ReadFile("../testdata/axelar.json")
	require.NoError(t, err)
	var v struct {
		Steps []struct {
			Source struct {
				TxMessageID                          string
				ReceiptLogIndex, BlockLogIndex       uint
				Sender                               common.Address
				DestinationChain, DestinationAddress string
				Payload                              hexutil.Bytes
				PayloadHash                          common.Hash
			}
		}
	}
	require.NoError(t, json.Unmarshal(raw, &v))
	require.NotEmpty(t, v.Steps)
	for _, s := range v.Steps {
		id, err := axelar.ParseMessageID(s.Source.TxMessageID)
		require.NoError(t, err)
		at := At{Chain: "ethereum", Log: chains.Event{Tx: id.Tx, Position: s.Source.ReceiptLogIndex, Index: s.Source.BlockLogIndex + 100, BlockTime: 1_700_000_000}}
		c := axelar.Called{Sender: s.Source.Sender, DestinationChain: s.Source.DestinationChain, DestinationAddress: s.Source.DestinationAddress,
			Payload: s.Source.Payload, PayloadHash: s.Source.PayloadHash}
		e, err := ReportCall(at, c, nil)
		got := valid(t, e, err, s.Source.TxMessageID)
		m := got["message"].(map[string]any)
		require.Equal(t, map[string]any{"messageID": s.Source.TxMessageID, "sourceChain": "ethereum", "sourceAddress": s.Source.Sender.Hex(),
			"destinationAddress": s.Source.DestinationAddress, "payloadHash": b64(s.Source.PayloadHash[:])}, m)
		require.Equal(t, b64(s.Source.Payload), got["payload"])
		require.Equal(t, map[string]any{"txID": id.Tx.Hex(), "timestamp": "2023-11-14T22:13:20Z", "finalized": true}, got["meta"])
	}
}

func TestLegsAreLinkedToTheMessageThatMadeThem(t *testing.T) {
	c := axelar.Called{Sender: common.Address{19: 1}, DestinationChain: "axelar", DestinationAddress: "axelar1hub", PayloadHash: crypto.Keccak256Hash(nil)}
	e, err := ReportCall(here, c, &CrossChainID{SourceChain: "axelar", MessageID: "0x0a-1"})
	meta := valid(t, e, err, herePlace)["meta"].(map[string]any)
	require.Equal(t, "0x0a-1", meta["parentMessageID"])
	require.Equal(t, "axelar", meta["parentSourceChain"])
	require.Equal(t, "", valid(t, e, err, herePlace)["payload"], "no payload is an empty text, not null")

	m := hubMessage(1, nil)
	x := axelar.Executed{CommandID: axelar.CommandID(m.SourceChain, m.ID)}
	done, err := ReportExecuted(here, m, x, big.NewInt(7), axelar.MessageID{Tx: common.Hash{1}, Index: 3})
	got := valid(t, done, err, herePlace)
	require.Equal(t, map[string]any{"sourceChain": "axelar", "messageID": m.ID}, got["crossChainID"])
	require.Equal(t, []any{strings.Replace(herePlace, "-2", "-3", 1)}, got["meta"].(map[string]any)["childMessageIDs"])
	require.Equal(t, x.CommandID.Hex(), got["meta"].(map[string]any)["commandID"])
	require.Equal(t, map[string]any{"amount": "7"}, got["cost"])
	old := valid(t, done.V1(), nil, herePlace)
	require.Equal(t, "SUCCESSFUL", old["status"])
	require.Equal(t, m.ID, old["messageID"])

	x.CommandID[0] ^= 1
	_, err = ReportExecuted(here, m, x, nil)
	require.ErrorIs(t, err, ErrEvent, "another message's execution")
}

func TestGasIsReportedUnderTheMessageItIsFor(t *testing.T) {
	paid := axelar.GasPaid{Sender: common.Address{3}, DestinationChain: "axelar", DestinationAddress: "axelar1hub", Amount: big.NewInt(11), RefundTo: common.Address{4}}
	call := axelar.PaidCall{ID: axelar.MessageID{Tx: common.Hash{1}, Index: 3}, Gas: &axelar.Payment{Log: here.Log, Paid: paid}}
	e, err := ReportPayment(chainName, call)
	require.NotNil(t, e)
	got := valid(t, *e, err, herePlace)
	require.Equal(t, call.ID.String(), got["messageID"])
	require.Equal(t, paid.RefundTo.Hex(), got["refundAddress"])
	require.Equal(t, map[string]any{"amount": "11"}, got["payment"])

	none, err := ReportPayment(chainName, axelar.PaidCall{})
	require.NoError(t, err)
	require.Nil(t, none)
	inToken := call
	p := *call.Gas
	p.Paid.Token = common.Address{9}
	inToken.Gas = &p
	_, err = ReportPayment(chainName, inToken)
	require.ErrorIs(t, err, ErrEvent)

	// A top-up has its own place and the message's id.
	added := axelar.GasAdded{Tx: common.Hash{7}, Index: big.NewInt(4), Amount: big.NewInt(5), RefundTo: common.Address{4}}
	up, err := ReportTopUp(here, added)
	require.Equal(t, axelar.MessageID{Tx: common.Hash{7}, Index: 4}.String(), valid(t, up, err, herePlace)["messageID"])
	added.Index = new(big.Int).Lsh(common.Big1, 64)
	_, err = ReportTopUp(here, added)
	require.ErrorIs(t, err, ErrEvent)

	back := axelar.GasRefunded{Tx: common.Hash{7}, Index: big.NewInt(4), Receiver: common.Address{5}, Amount: big.NewInt(2)}
	r, err := ReportRefund(here, back, big.NewInt(1))
	got = valid(t, r, err, herePlace)
	require.Equal(t, map[string]any{"amount": "2"}, got["refundedAmount"])
	require.Equal(t, map[string]any{"amount": "1"}, got["cost"])
	for _, bad := range []func(*axelar.GasRefunded){func(g *axelar.GasRefunded) { g.Token = common.Address{1} },
		func(g *axelar.GasRefunded) { g.Index = new(big.Int).Lsh(common.Big1, 64) }} {
		g := back
		bad(&g)
		_, err := ReportRefund(here, g, nil)
		require.ErrorIs(t, err, ErrEvent)
	}
}

func TestTransfersApprovalsAndRotationsAreReported(t *testing.T) {
	id := axelar.MessageID{Tx: common.Hash{1}, Index: 5}
	sent := axelar.Sent{TokenID: common.Hash{1}, Source: common.Address{2}, Chain: "Ethereum", Destination: []byte{3}, Amount: big.NewInt(4)}
	e, err := ReportSent(here, id, sent)
	got := valid(t, e, err, herePlace)
	require.Equal(t, id.String(), got["messageID"])
	require.Equal(t, "", got["dataHash"], "no data")
	require.Equal(t, map[string]any{"tokenID": sent.TokenID.Hex(), "amount": "4"}, got["tokenSpent"])
	sent.DataHash = common.Hash{9}
	e, err = ReportSent(here, id, sent)
	require.Equal(t, b64(sent.DataHash[:]), valid(t, e, err, herePlace)["dataHash"])

	m := hubMessage(1, nil)
	received := axelar.Received{CommandID: axelar.CommandID(m.SourceChain, m.ID), TokenID: common.Hash{1}, Chain: "Ethereum", Source: []byte{3},
		Destination: common.Address{4}, Amount: big.NewInt(5)}
	r, err := ReportReceived(here, m, received)
	got = valid(t, r, err, herePlace)
	require.Equal(t, m.ID, got["messageID"])
	require.Equal(t, "Ethereum", got["sourceChain"], "where it began, not the hub")
	received.CommandID[0] ^= 1
	_, err = ReportReceived(here, m, received)
	require.ErrorIs(t, err, ErrEvent)

	a, err := ReportApproved(here, axelar.Approved{CommandID: common.Hash{8}, Message: m}, nil)
	got = valid(t, a, err, herePlace)
	require.Equal(t, map[string]any{"amount": "0"}, got["cost"])
	require.Equal(t, common.Hash{8}.Hex(), got["meta"].(map[string]any)["commandID"])
	_, err = ReportApproved(here, axelar.Approved{Message: axelar.Message{SourceChain: "axelar", SourceAddress: "a"}}, nil)
	require.ErrorIs(t, err, ErrEvent, "a legacy gateway names no message id")

	rot, err := ReportRotated(here, axelar.Rotated{Epoch: 3, Hash: common.Hash{1}})
	got = valid(t, rot, err, herePlace)
	require.Equal(t, herePlace, got["messageID"])
	require.Equal(t, json.Number("3"), got["meta"].(map[string]any)["epoch"])
	_, err = ReportRotated(here, axelar.Rotated{Epoch: math.MaxInt64 + 1})
	require.ErrorIs(t, err, ErrEvent)
}

func TestAFailureIsOneEventForEachReason(t *testing.T) {
	task := uuid.UUID{15: 1}
	long := strings.Repeat("é", maxText)
	e, err := ReportFailure(task, InsufficientGas, "short of 5\xff wei", big.NewInt(1))
	got := valid(t, e, err, "cannot-execute-"+task.String()+"-insufficient-gas")
	require.Equal(t, "short of 5? wei", got["details"])
	other, err := ReportFailure(task, TxReverted, long, nil)
	require.NoError(t, err)
	require.NotEqual(t, e.ID, other.ID)
	require.LessOrEqual(t, len(other.Details), maxText)
	require.True(t, strings.HasPrefix(long, other.Details))
	_, err = ReportFailure(task, "WHIM", "so", nil)
	require.ErrorIs(t, err, ErrEvent)
	_, err = ReportFailure(uuid.Nil, OtherError, "so", nil)
	require.ErrorIs(t, err, ErrEvent)
	old, err := ReportFailureV2(task, CrossChainID{"axelar", "0x01-1"}, OtherError, "so")
	got = valid(t, old, err, "cannot-execute-"+task.String()+"-error")
	require.Equal(t, task.String(), got["meta"].(map[string]any)["taskItemID"])
}

func TestWithoutAPlaceNothingIsReported(t *testing.T) {
	for what, change := range map[string]func(*At){
		"no chain": func(a *At) { a.Chain = "" }, "no transaction": func(a *At) { a.Log.Tx = common.Hash{} },
		"a position beyond the block's": func(a *At) { a.Log.Position = 10 },
	} {
		at := here
		change(&at)
		_, err := ReportCall(at, axelar.Called{DestinationChain: "axelar", DestinationAddress: "a"}, nil)
		require.ErrorIs(t, err, ErrEvent, what)
		_, err = ReportTopUp(at, axelar.GasAdded{Index: common.Big1, Amount: common.Big1})
		require.ErrorIs(t, err, ErrEvent, what)
		_, err = ReportRefund(at, axelar.GasRefunded{Index: common.Big1, Amount: common.Big1}, nil)
		require.ErrorIs(t, err, ErrEvent, what)
		_, err = ReportApproved(at, axelar.Approved{Message: hubMessage(1, nil)}, nil)
		require.ErrorIs(t, err, ErrEvent, what)
		_, err = ReportExecuted(at, axelar.Message{}, axelar.Executed{CommandID: axelar.CommandID("", "")}, nil)
		require.ErrorIs(t, err, ErrEvent, what)
		_, err = ReportRotated(at, axelar.Rotated{})
		require.ErrorIs(t, err, ErrEvent, what)
		_, err = ReportSent(at, axelar.MessageID{}, axelar.Sent{Amount: common.Big1})
		require.ErrorIs(t, err, ErrEvent, what)
		_, err = ReportReceived(at, axelar.Message{}, axelar.Received{CommandID: axelar.CommandID("", ""), Amount: common.Big1})
		require.ErrorIs(t, err, ErrEvent, what)
	}
	// A stranger chooses where a call goes: what is no text is refused, not sent
	// as another text.
	_, err := ReportCall(here, axelar.Called{DestinationChain: "axe\xfflar", DestinationAddress: "a"}, nil)
	require.ErrorIs(t, err, ErrEvent)
	at := here
	at.Log.BlockTime = 0
	require.Equal(t, time.Time{}, at.meta().Timestamp)
}
