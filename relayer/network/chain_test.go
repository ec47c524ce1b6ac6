package network

import (
	"math/big"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/axelar/gmpapi"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestWhatAxelarSignedIsCarriedToTheGatewayOnce(t *testing.T) {
	w := newWorld(t)
	first, second := hubMessage(1, nil), hubMessage(2, nil)
	data := signed(t, axelar.Command{Approve: []axelar.Message{first, second}})
	w.service.Give(chainName, "GATEWAY_TX", map[string]any{}, gatewayTx(data))
	c := w.start()

	require.ErrorIs(t, w.work(c), flow.ErrNotYet, "sent, and in no block")
	require.Equal(t, []chains.Tx{{
		Key: "gmp/" + crypto.Keccak256Hash(data).Hex(), Group: "gmp/filecoin", To: gateway.Address(), Data: data, Value: new(big.Int), GasCap: MaxGas,
	}}, w.txs)
	require.ErrorIs(t, w.work(w.start()), flow.ErrNotYet, "after a death, too")
	require.Len(t, w.txs, 1)

	w.mine()
	require.NoError(t, w.work(w.start()))
	require.NoError(t, w.work(w.start()))
	w.service.Give(chainName, "GATEWAY_TX", map[string]any{}, gatewayTx(data))
	require.NoError(t, w.work(w.start()))
	require.Len(t, w.txs, 1, "another task with the same content")

	// One message of a batch is enough to carry it.
	third := hubMessage(3, nil)
	w.service.Give(chainName, "GATEWAY_TX", map[string]any{}, gatewayTx(signed(t, axelar.Command{Approve: []axelar.Message{first, third}})))
	require.ErrorIs(t, w.work(w.start()), flow.ErrNotYet)
	require.Len(t, w.txs, 2)
	require.Empty(t, w.service.Events(chainName))
}

// A transaction that reverts in its block leaves its task open.
func TestACallThatRevertsInItsBlockIsSentAgain(t *testing.T) {
	w := newWorld(t)
	w.service.Give(chainName, "GATEWAY_TX", map[string]any{}, gatewayTx(signed(t, axelar.Command{Approve: []axelar.Message{hubMessage(1, nil)}})))
	c := w.start()
	require.ErrorIs(t, w.work(c), flow.ErrNotYet)
	clear(w.live) // decided, and nothing is approved
	require.ErrorIs(t, w.work(c), flow.ErrNotYet)
	require.Len(t, w.txs, 2)
	w.mine()
	require.NoError(t, w.work(c))
	require.Len(t, w.txs, 2)
}

func TestARotationIsCarriedUntilTheGatewayKnowsTheSet(t *testing.T) {
	w := newWorld(t)
	next := axelar.WeightedSigners{Signers: []axelar.WeightedSigner{{Signer: common.Address{5}, Weight: common.Big1}}, Threshold: common.Big1, Nonce: common.Hash{9}}
	w.service.Give(chainName, "GATEWAY_TX", map[string]any{}, gatewayTx(signed(t, axelar.Command{Rotate: &next})))
	require.ErrorIs(t, w.work(w.start()), flow.ErrNotYet)
	require.Len(t, w.txs, 1)
	clear(w.live)
	for _, standing := range []axelar.Standing{axelar.StandingLatest, axelar.StandingRetained, axelar.StandingExpired} {
		w.standing = standing
		require.NoError(t, os.RemoveAll(w.file))
		require.NoError(t, w.work(w.start()))
	}
	require.Len(t, w.txs, 1)
}

// While the gateway refuses a call, what it rests on may be on its way: the
// rotation to the set that signed it.
func TestARefusedCallIsGivenUpOnlyAfterAWhile(t *testing.T) {
	w := newWorld(t)
	id := w.service.Give(chainName, "GATEWAY_TX", map[string]any{}, gatewayTx(signed(t, axelar.Command{Approve: []axelar.Message{hubMessage(1, nil)}})))
	good := w.service.Give(chainName, "GATEWAY_TX", map[string]any{}, gatewayTx(signed(t, axelar.Command{Approve: []axelar.Message{hubMessage(2, nil)}})))
	w.states[hubMessage(2, nil).ID] = axelar.StateApproved
	w.sendErr = &chains.RevertError{Data: crypto.Keccak256([]byte("InvalidSigners()"))[:4]}
	c := w.start()
	require.ErrorIs(t, w.work(c), chains.ErrReverted)
	w.now = w.now.Add(patience - time.Second)
	require.ErrorIs(t, w.work(c), chains.ErrReverted)
	require.Empty(t, w.service.Events(chainName))
	after, err := c.file.Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, uuid.Nil, after, "no position moves")

	w.now = w.now.Add(time.Second)
	require.NoError(t, w.work(c))
	failed := w.events("CANNOT_EXECUTE_TASK")
	require.Len(t, failed, 1)
	require.Equal(t, id.String(), failed[0]["taskItemID"])
	require.Equal(t, "TX_REVERTED", failed[0]["reason"])
	require.Contains(t, failed[0]["details"], "InvalidSigners()")
	after, err = c.file.Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, good, after)
}

// Whatever keeps a call from being sent, or the gateway from being asked, keeps the
// task.
func TestATroubleOfOursKeepsTheTask(t *testing.T) {
	w := newWorld(t)
	w.service.Give(chainName, "GATEWAY_TX", map[string]any{}, gatewayTx(signed(t, axelar.Command{Approve: []axelar.Message{hubMessage(1, nil)}})))
	c := w.start()
	for _, err := range []error{chains.ErrBusy, chains.ErrFunds, chains.ErrUnavailable} {
		w.sendErr = err
		w.now = w.now.Add(time.Hour)
		require.ErrorIs(t, w.work(c), err)
	}
	w.sendErr, w.askErr = nil, chains.ErrUnavailable
	require.ErrorIs(t, w.work(c), chains.ErrUnavailable)
	require.Empty(t, w.txs)
	w.askErr = nil
	require.ErrorIs(t, w.work(c), flow.ErrNotYet)
	require.Len(t, w.txs, 1)
	require.Empty(t, w.service.Events(chainName))
}

func TestNothingButTheGatewayIsEverCalled(t *testing.T) {
	w := newWorld(t)
	transfer := append(crypto.Keccak256([]byte("transfer(address,uint256)"))[:4], make([]byte, 64)...)
	w.service.Give(chainName, "GATEWAY_TX", map[string]any{}, gatewayTx(transfer))
	w.service.Give(chainName, "GATEWAY_TX", map[string]any{}, gatewayTx([]byte{1}))
	var many []axelar.Message
	for i := range 400 {
		m := hubMessage(1, nil)
		m.ID = axelar.MessageID{Tx: common.Hash{9}, Index: uint64(i)}.String()
		many = append(many, m)
	}
	big := signed(t, axelar.Command{Approve: many})
	require.Greater(t, len(big), MaxCall)
	w.service.Give(chainName, "GATEWAY_TX", map[string]any{}, gatewayTx(big))
	good := hubMessage(2, nil)
	w.service.Give(chainName, "GATEWAY_TX", map[string]any{}, gatewayTx(signed(t, axelar.Command{Approve: []axelar.Message{good}})))
	c := w.start()
	require.ErrorIs(t, w.work(c), flow.ErrNotYet, "the good one, behind the bad ones")
	require.Len(t, w.txs, 1)
	require.Equal(t, gateway.Address(), w.txs[0].To)
	require.Zero(t, w.txs[0].Value.Sign())
	require.Len(t, w.events("CANNOT_EXECUTE_TASK"), 3)

	// What needs more gas than it may is given up at once.
	w.mine()
	require.NoError(t, w.work(c))
	w.sendErr = chains.ErrGasLimit
	w.service.Give(chainName, "GATEWAY_TX", map[string]any{}, gatewayTx(signed(t, axelar.Command{Approve: []axelar.Message{hubMessage(3, nil)}})))
	require.NoError(t, w.work(c))
	require.Len(t, w.events("CANNOT_EXECUTE_TASK"), 4)
	require.Len(t, w.txs, 1)
}

func TestExecutionsOfOursAreReportedWhateverDiesInBetween(t *testing.T) {
	w := newWorld(t)
	payload := []byte{1, 2, 3}
	ours, fails, foreign := hubMessage(1, payload), hubMessage(2, payload), hubMessage(3, payload)
	foreign.Contract = common.HexToAddress("0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
	w.service.Give(chainName, "EXECUTE", map[string]any{}, executeTask(ours, payload))
	failing := w.service.Give(chainName, "EXECUTE", map[string]any{}, executeTask(fails, payload))
	other := w.service.Give(chainName, "EXECUTE", map[string]any{}, executeTask(foreign, payload))
	require.NoError(t, w.work(w.start()))
	require.Empty(t, w.txs, "the leg executes, not the task")
	failed := w.events("CANNOT_EXECUTE_TASK")
	require.Len(t, failed, 1)
	require.Equal(t, other.String(), failed[0]["taskItemID"])

	c := w.start()
	require.NoError(t, c.Executed(t.Context(), executedLog(ours), ours, big.NewInt(77)))
	require.NoError(t, c.Executed(t.Context(), executedLog(ours), ours, big.NewInt(77)))
	done := w.events("MESSAGE_EXECUTED/V2")
	require.Len(t, done, 1)
	require.Equal(t, map[string]any{"sourceChain": axelar.HubChain, "messageID": ours.ID}, done[0]["crossChainID"])
	require.Equal(t, map[string]any{"amount": "77"}, done[0]["cost"])
	require.NoError(t, w.start().Executed(t.Context(), executedLog(ours), ours, big.NewInt(77)))
	require.Len(t, w.events("MESSAGE_EXECUTED/V2"), 1, "after a death it is the same event")

	require.NoError(t, w.start().Failed(t.Context(), ours, "rejected"))
	require.NoError(t, w.start().Failed(t.Context(), hubMessage(9, payload), "rejected"))
	require.Len(t, w.events("CANNOT_EXECUTE_TASK"), 1, "nobody waits for it")
	require.NoError(t, w.start().Failed(t.Context(), fails, "rejected: it reverts"))
	failed = w.events("CANNOT_EXECUTE_TASK")
	require.Len(t, failed, 2)
	require.Equal(t, failing.String(), failed[1]["taskItemID"])
	require.Equal(t, "rejected: it reverts", failed[1]["details"])

	require.ErrorIs(t, c.Executed(t.Context(), executedLog(fails), ours, nil), gmpapi.ErrEvent, "the log of another message")
	require.ErrorContains(t, c.Executed(t.Context(), log(3, nil, nil), ours, nil), "is no execution")
}

func TestTasksForOthersHoldUpNothing(t *testing.T) {
	w := newWorld(t)
	m := map[string]any{"messageID": "0x01-2", "sourceChain": "filecoin", "sourceAddress": "0x03", "destinationAddress": "axelar1hub", "payloadHash": "AQ=="}
	w.service.Give(chainName, "VERIFY", map[string]any{}, map[string]any{"message": m, "destinationChain": "axelar", "payload": "AQ=="})
	w.service.Give(chainName, "NEWS", map[string]any{}, map[string]any{"anything": 1})
	payload := []byte{1}
	good := executeTask(hubMessage(1, payload), payload)
	refund := map[string]any{"message": good["message"], "refundRecipientAddress": "0x01", "remainingGasBalance": map[string]any{"amount": "7"}}
	w.service.Give(chainName, "REFUND", map[string]any{}, refund)
	last := w.service.Give(chainName, "EXECUTE", map[string]any{}, good)
	c := w.start()
	require.NoError(t, w.work(c))
	after, err := c.file.Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, last, after)
	failed := w.events("CANNOT_EXECUTE_TASK")
	require.Len(t, failed, 2, "the broken one (a hash of one byte) and the refund")
	for _, e := range failed {
		require.NotEqual(t, "INSUFFICIENT_GAS", e["reason"])
	}
	require.Empty(t, w.txs)
}

// callLog is a call of the gateway, gasLog a payment for it.
func callLog(t *testing.T, index uint, payload []byte) chains.Event {
	return log(index, []common.Hash{
		crypto.Keccak256Hash([]byte("ContractCall(address,string,string,bytes32,bytes)")), common.BytesToHash(its[:]), crypto.Keccak256Hash(payload),
	}, pack(t, []string{"string", "string", "bytes"}, axelar.HubChain, "axelar1hub", payload))
}

func gasLog(t *testing.T, service axelar.GasService, index uint, payload []byte, wei int64) chains.Event {
	e := log(index, []common.Hash{
		crypto.Keccak256Hash([]byte("NativeGasPaidForContractCall(address,string,string,bytes32,uint256,address)")), common.BytesToHash(its[:]), crypto.Keccak256Hash(payload),
	}, pack(t, []string{"string", "string", "uint256", "address"}, axelar.HubChain, "axelar1hub", big.NewInt(wei), common.Address{4}))
	e.Address = service.Address
	return e
}

func TestACallIsToldWithWhatWasPaidForIt(t *testing.T) {
	w := newWorld(t)
	c := w.start()
	service := axelar.GasService{Address: common.Address{0x6a}}
	stranger := log(1, []common.Hash{{1}}, nil)
	stranger.Address = common.Address{0x99}
	tx := []chains.Event{gasLog(t, service, 0, []byte{1}, 55), stranger, callLog(t, 2, []byte{1}), callLog(t, 3, []byte{2})}
	require.NoError(t, c.Called(t.Context(), service, tx, 2))
	require.NoError(t, c.Called(t.Context(), service, tx, 2))
	calls, credits := w.events("CALL"), w.events("GAS_CREDIT")
	require.Len(t, calls, 1)
	require.Equal(t, axelar.MessageID{Tx: tx[0].Tx, Index: 2}.String(), calls[0]["eventID"])
	require.Len(t, credits, 1)
	require.Equal(t, map[string]any{"amount": "55"}, credits[0]["payment"])
	require.NoError(t, c.Called(t.Context(), service, tx, 3))
	require.Len(t, w.events("CALL"), 2)
	require.Len(t, w.events("GAS_CREDIT"), 1, "nothing was paid for it")
	require.ErrorIs(t, c.Called(t.Context(), service, tx, 0), chains.ErrUnavailable)
}

// What the service may take later is told again, what it never takes is not.
func TestAnEventIsToldUntilItIsTakenOrRefusedForGood(t *testing.T) {
	w := newWorld(t)
	c := w.start()
	m := hubMessage(1, nil)
	answers := []struct {
		reason string
		again  bool
	}{{"not now", true}, {"not now", true}, {"", false}}
	asked := 0
	w.service.Refuse = func(map[string]any) (string, bool) {
		a := answers[min(asked, len(answers)-1)]
		asked++
		return a.reason, a.again
	}
	require.ErrorIs(t, c.Executed(t.Context(), executedLog(m), m, nil), chains.ErrUnavailable)
	require.ErrorIs(t, c.Executed(t.Context(), executedLog(m), m, nil), chains.ErrUnavailable)
	require.NoError(t, c.Executed(t.Context(), executedLog(m), m, nil))
	require.NoError(t, c.Executed(t.Context(), executedLog(m), m, nil))
	require.Equal(t, 3, asked)

	answers, asked = []struct {
		reason string
		again  bool
	}{{"never", false}}, 0
	c = w.start()
	require.NoError(t, c.Executed(t.Context(), executedLog(m), m, nil))
	require.NoError(t, c.Executed(t.Context(), executedLog(m), m, nil))
	require.Equal(t, 1, asked)

	w.service.Refuse = nil
	w.service.Before = func(rw http.ResponseWriter, _ *http.Request) bool { rw.WriteHeader(http.StatusForbidden); return true }
	require.ErrorIs(t, w.start().Executed(t.Context(), executedLog(m), m, nil), gmpapi.ErrRefused)
}

func TestALostFileReadsTheTasksAgainAndADamagedOneIsRefused(t *testing.T) {
	w := newWorld(t)
	payload := []byte{1}
	w.service.Give(chainName, "EXECUTE", map[string]any{}, executeTask(hubMessage(1, payload), payload))
	require.NoError(t, w.work(w.start()))
	raw, err := os.ReadFile(w.file)
	require.NoError(t, err)
	require.NoError(t, os.Remove(w.file))
	require.NoError(t, w.work(w.start()))
	again, err := os.ReadFile(w.file)
	require.NoError(t, err)
	require.Equal(t, string(raw), string(again))
	cfg := w.start().cfg
	for _, damage := range []string{"", "{", string(raw[:len(raw)/2]), `{"after":"x"}`, strings.Replace(string(raw), "waits", "wait", 1), string(raw) + "{}"} {
		require.NoError(t, os.WriteFile(w.file, []byte(damage), 0o600))
		_, err := New(cfg)
		require.ErrorIs(t, err, errDamaged, damage)
	}
	left, err := os.ReadDir(t.TempDir())
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestTheServiceServesNoLegacyGateway(t *testing.T) {
	w := newWorld(t)
	cfg := w.start().cfg
	cfg.Gateway = axelar.NewLegacy(1, common.Address{1}, common.Address{2})
	_, err := New(cfg)
	require.ErrorIs(t, err, ErrGateway)
	_, err = New(Config{})
	require.ErrorContains(t, err, "[BUG]")
}

// The executions that wait are bounded: the oldest is forgotten.
func TestWhatWaitsIsBounded(t *testing.T) {
	f := &file{path: t.TempDir() + "/f"}
	for i := range maxKept + 1 {
		f.kept.Waits = append(f.kept.Waits, execution{"axelar", axelar.MessageID{Index: uint64(i)}.String(), uuid.New()})
	}
	f.kept.Waits = f.kept.Waits[:maxKept]
	f.wait(gmpapi.CrossChainID{SourceChain: "axelar", MessageID: "new"}, uuid.New())
	require.Len(t, f.kept.Waits, maxKept)
	_, ok := f.waits(gmpapi.CrossChainID{SourceChain: "axelar", MessageID: "new"})
	require.True(t, ok)
	_, ok = f.waits(gmpapi.CrossChainID{SourceChain: "axelar", MessageID: axelar.MessageID{}.String()})
	require.False(t, ok)
}

// FuzzATaskMakesNothingButACallOfTheGateway gives whatever a service may say.
func FuzzATaskMakesNothingButACallOfTheGateway(f *testing.F) {
	data := signed(f, axelar.Command{Approve: []axelar.Message{hubMessage(1, nil)}})
	f.Add(data)
	f.Add(data[:len(data)-1])
	f.Add([]byte{})
	w := newWorld(f)
	c := w.start()
	f.Fuzz(func(t *testing.T, data []byte) {
		w.txs = nil
		clear(w.live)
		task := gmpapi.Task{ID: uuid.New(), Content: gmpapi.Broken{Err: chains.ErrUnavailable}}
		if cmd, err := axelar.DecodeCommand(data); err == nil {
			task.Content = gmpapi.GatewayTx{Data: data, Command: cmd}
		}
		_ = c.take(t.Context(), task)
		for _, tx := range w.txs {
			require.Equal(t, gateway.Address(), tx.To)
			require.Zero(t, tx.Value.Sign())
			require.LessOrEqual(t, len(tx.Data), MaxCall)
			require.Equal(t, uint64(MaxGas), tx.GasCap)
		}
	})
}
