package relayer

import (
	"context"
	"log/slog"
	"math/big"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/axelar/gmpapi"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/network"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/causeway-bridge/causeway/test/gmp"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

// netRig is the root's end of a crossing that Axelar approves, over a fake root and
// a real Redis.
type netRig struct {
	t       *testing.T
	node    *fake.Node
	client  *evm.Client
	db      *store.DB
	service *gmp.Server
	link    *link
	end     *netEnd
	txs     []chains.Tx
}

const netRoot = 314

var (
	netGateway, netITS, netGas   = common.Address{0x6a}, common.Address{0x17}, common.Address{0x9a}
	netHandler, netSender        = common.Address{0x32}, common.Address{0x31}
	netToken, netOwn, netL1ITS   = common.Hash{0x70}, common.Address{0x0f}, common.Address{0x18}
	callTopic, addTopic, okTopic = topicOf("ContractCall(address,string,string,bytes32,bytes)"), topicOf("NativeGasAdded(bytes32,uint256,uint256,address)"), topicOf("MessageApproved(bytes32,string,string,string,address,bytes32)")
)

func topicOf(sig string) common.Hash { return crypto.Keccak256Hash([]byte(sig)) }

func packed(t *testing.T, names []string, values ...any) []byte {
	t.Helper()
	var args abi.Arguments
	for _, n := range names {
		typ, err := abi.NewType(n, "", nil)
		require.NoError(t, err)
		args = append(args, abi.Argument{Type: typ})
	}
	b, err := args.Pack(values...)
	require.NoError(t, err)
	return b
}

func newNetRig(t *testing.T) *netRig {
	t.Helper()
	ctx := t.Context()
	r := &netRig{t: t, node: fake.NewNode(t, netRoot), service: gmp.New("filecoin")}
	r.node.SetFinal(0)
	log := slog.New(slog.DiscardHandler)
	var err error
	r.client, err = evm.Dial(ctx, evm.Config{Name: flow.Root, URL: r.node.URL(), ChainID: netRoot, Timeout: time.Minute}, log)
	require.NoError(t, err)
	t.Cleanup(r.client.Close)
	r.db, err = store.Open(ctx, store.Options{URL: storetest.StartRedis(t).URL(), Namespace: "network"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.db.Close() })

	gateway := axelar.NewAmplifier(netGateway, common.Hash{1})
	r.link = &link{
		sub:  flow.Subnet{Name: "subnet", RootID: netRoot, ID: 2, Actor: common.Address{1}, Gateway: common.Address{2}},
		root: r.client, db: r.db, toRoot: noSender{}, toChild: noSender{},
		cross: &crossLink{
			l1: &mainnet{client: &evm.Client{}, sender: noSender{}}, onward: map[chains.EventID]flow.Onward{}, approved: map[chains.EventID]*axelar.Approved{},
			gas: map[string]common.Address{"filecoin": netGas, "Ethereum": netGas},
			Crossing: flow.Crossing{
				L1: 1, L1Name: "Ethereum", RootName: "filecoin", L1Gateway: axelar.NewLegacy(1, common.Address{7}, common.Address{8}), RootGateway: gateway,
				Hub:     axelar.Hub{Address: "axelar1hub", Services: map[string]common.Address{"Ethereum": netL1ITS, "filecoin": netITS}},
				TokenID: netToken, Sender: netSender, Handler: netHandler, Portal: common.Address{0x33},
			},
		},
	}
	s := netShared(t)
	s.Journal = r.db
	s.cfg.Axelar.Network.Patience = Duration(time.Hour)
	ends, err := s.network([]*link{r.link}, map[string]*evm.TxManager{flow.Root: {}, flow.Ethereum: {}})
	require.NoError(t, err)
	r.end = ends[1]
	require.Equal(t, "filecoin", r.end.name)
	r.end.own = []common.Address{netOwn}

	srv := httptest.NewServer(r.service)
	t.Cleanup(srv.Close)
	api, err := gmpapi.New(gmpapi.Config{URL: srv.URL, Chain: "filecoin", Timeout: 5 * time.Second, RetryFor: time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(api.Close)
	r.end.gmp, err = network.New(network.Config{
		Gateway: gateway, Client: api, File: filepath.Join(t.TempDir(), "gmp.json"), Mine: r.end.mine, Send: noSender{}.Send,
		States:   func(context.Context, []axelar.Message) ([]axelar.State, error) { return nil, nil },
		Standing: func(context.Context, axelar.WeightedSigners) (axelar.Standing, error) { return 0, nil },
	})
	require.NoError(t, err)
	r.end.topUp, err = network.NewTopUp(network.TopUpConfig{
		Service: axelar.GasService{Address: netGas}, RefundTo: netOwn, After: time.Hour, Wei: big.NewInt(7), DailyWei: big.NewInt(70),
		File: filepath.Join(t.TempDir(), "gas.json"), Paid: r.end.paid,
		Send: func(_ context.Context, tx chains.Tx) error { r.txs = append(r.txs, tx); return nil },
	})
	require.NoError(t, err)
	return r
}

// mined puts logs into a block and gives them as events with their positions.
func (r *netRig) mined(logs ...*types.Log) []chains.Event {
	r.t.Helper()
	height := r.node.MineLogs(logs...)
	f := chains.Filter{}
	for _, l := range logs {
		f.Addresses, f.Topics = append(f.Addresses, l.Address), append(f.Topics, l.Topics[0])
	}
	found, err := r.client.Logs(r.t.Context(), f, height, height)
	require.NoError(r.t, err)
	require.Len(r.t, found, len(logs))
	all, err := r.client.TransactionEvents(r.t.Context(), found[0].Tx)
	require.NoError(r.t, err)
	return all
}

// flow is one of the legs.
func (r *netRig) flow(name string) flow.Flow {
	for _, f := range r.link.flows() {
		if f.Name == name {
			return f
		}
	}
	r.t.Fatalf("no flow %s", name)
	return flow.Flow{}
}

func (r *netRig) inner(source, destination common.Address) []byte {
	in, err := axelar.EncodePayload(axelar.Transfer{TokenID: netToken, Source: source.Bytes(), Destination: destination.Bytes(), Amount: big.NewInt(5)})
	require.NoError(r.t, err)
	return in
}

// began journals a leg to Ethereum that began an hour and a half ago.
func (r *netRig) began() tokens.Transfer {
	payload, err := axelar.EncodePayload(axelar.SendToHub{Chain: "Ethereum", Inner: r.inner(netHandler, common.Address{0x99})})
	require.NoError(r.t, err)
	e := r.mined(&types.Log{
		Address: netGateway, Topics: []common.Hash{callTopic, common.BytesToHash(netITS[:]), crypto.Keccak256Hash(payload)},
		Data: packed(r.t, []string{"string", "string", "bytes"}, axelar.HubChain, "axelar1hub", payload),
	})[0]
	f := r.flow("leg_out")
	t, mine, err := f.Decode(e)
	require.NoError(r.t, err)
	require.True(r.t, mine)
	t.At = uint64(time.Now().Add(-90 * time.Minute).Unix())
	_, _, err = r.db.Backfill(r.t.Context(), flow.Root, []store.NewJob{watch.Plan(f, t)}, nil)
	require.NoError(r.t, err)
	return t
}

func (r *netRig) events(kind string) (n int) {
	for _, e := range r.service.Events("filecoin") {
		if e["type"] == kind {
			n++
		}
	}
	return n
}

func TestWhatWaitsForAxelarIsToldPaidForAndComplainedOf(t *testing.T) {
	r := newNetRig(t)
	tr := r.began()
	for range 2 {
		require.NoError(t, r.end.waiting(t.Context()))
		require.Equal(t, 1, r.events("CALL"))
		require.Len(t, r.txs, 1)
		require.Equal(t, netGas, r.txs[0].To)
		require.Equal(t, big.NewInt(7), r.txs[0].Value)
		open := r.end.Alerts.Open()
		require.Len(t, open, 1)
		require.Equal(t, alerts.ApprovalLate, open[0].Name)
	}
	// Approved, it is late no more.
	m, err := r.link.cross.Hub.Route("filecoin", axelar.MessageID{Tx: tr.Origin.Tx, Index: tr.Nonce}, axelar.Called{
		Sender: netITS, DestinationChain: axelar.HubChain, DestinationAddress: "axelar1hub", PayloadHash: crypto.Keccak256Hash(tr.Payload), Payload: tr.Payload,
	})
	require.NoError(t, err)
	_, _, err = r.db.Backfill(t.Context(), flow.Ethereum, nil, []store.Fact{{
		Key: string(r.flow("leg_out").Steps[0].Key(tr)), Outcome: store.OK, Chain: flow.Ethereum, Height: 5, Tx: common.Hash{5}, LogIndex: 3, Shared: true,
	}})
	require.NoError(t, err)
	require.Equal(t, netL1ITS, m.Message.Contract)
	j, _, err := r.db.Get(t.Context(), tr.ID)
	require.NoError(t, err)
	require.Equal(t, "execute", j.Step)
	require.NoError(t, r.end.waiting(t.Context()))
	require.Empty(t, r.end.Alerts.Open())
}

// What was added in our name for the very message counts, in any block.
func TestPaymentsAreFoundWhereverTheyAre(t *testing.T) {
	r := newNetRig(t)
	id := axelar.MessageID{Tx: common.Hash{0xaa}, Index: 4}
	add := func(at common.Address, tx common.Hash, index, wei int64, to common.Address) *types.Log {
		return &types.Log{
			Address: at, Topics: []common.Hash{addTopic, tx, common.BigToHash(big.NewInt(index))}, Data: packed(t, []string{"uint256", "address"}, big.NewInt(wei), to),
		}
	}
	first := r.node.Height()
	r.mined(add(netGas, id.Tx, 4, 1, netOwn))
	r.node.SetFinal(1000) // what follows is not final
	r.mined(add(netGas, id.Tx, 4, 2, netOwn), add(netGas, id.Tx, 5, 4, netOwn), add(netGas, common.Hash{0xab}, 4, 8, netOwn),
		add(netGas, id.Tx, 4, 16, common.Address{0x0e}), add(common.Address{0x66}, id.Tx, 4, 32, netOwn))
	sum, err := r.end.paid(t.Context(), id, first)
	require.NoError(t, err)
	require.Equal(t, "3", sum.String())
	sum, err = r.end.paid(t.Context(), id, first+2)
	require.NoError(t, err)
	require.Equal(t, "2", sum.String())
}

// A leg to the root is told of once it is executed, with the id that its approval
// has, and once a person has to look at it first.
func TestALegIsReportedUnderTheIdOfItsApproval(t *testing.T) {
	r := newNetRig(t)
	ctx := t.Context()
	inner := r.inner(netSender, netHandler)
	sent, err := axelar.EncodePayload(axelar.SendToHub{Chain: "filecoin", Inner: inner})
	require.NoError(t, err)
	payload, err := axelar.EncodePayload(axelar.ReceiveFromHub{Chain: "Ethereum", Inner: inner})
	require.NoError(t, err)
	f := r.flow("leg_in")
	var legs []tokens.Transfer
	var jobs []store.NewJob
	for i := range byte(2) {
		x := tokens.Transfer{
			ID: common.Hash{i + 1}, Route: "leg_in", Subnet: r.link.sub.Actor, Hidden: true, Payload: sent, Nonce: uint64(i),
			Origin: chains.EventID{Chain: 1, Tx: common.Hash{0xee, i}}, Height: uint64(i),
		}
		legs, jobs = append(legs, x), append(jobs, watch.Plan(f, x))
	}
	_, _, err = r.db.Backfill(ctx, flow.Ethereum, jobs, nil)
	require.NoError(t, err)
	approvals := r.link.approvals(flow.Root, r.end.gateway, r.client)
	ids := []common.Hash{legs[0].ID, legs[1].ID}
	got, err := approvals(ctx, ids)
	require.NoError(t, err)
	require.Equal(t, []*axelar.Approved{nil, nil}, got)

	// Axelar approves both, under ids of its own, in one transaction.
	var logs []*types.Log
	var messages []axelar.Message
	for i := range byte(2) {
		m := axelar.Message{
			SourceChain: axelar.HubChain, ID: axelar.MessageID{Tx: common.Hash{0xc0, i}, Index: 164269022}.String(), SourceAddress: "axelar1hub",
			Contract: netITS, PayloadHash: crypto.Keccak256Hash(payload),
		}
		messages = append(messages, m)
		logs = append(logs, &types.Log{
			Address: netGateway, Topics: []common.Hash{okTopic, axelar.CommandID(m.SourceChain, m.ID), common.BytesToHash(netITS[:]), m.PayloadHash},
			Data: packed(t, []string{"string", "string", "string"}, m.SourceChain, m.ID, m.SourceAddress),
		})
	}
	for _, e := range r.mined(logs...) {
		facts, err := watch.Facts(flow.Root, r.link.flows(), e)
		require.NoError(t, err)
		require.Len(t, facts, 1)
		_, _, err = r.db.Backfill(ctx, flow.Root, nil, facts)
		require.NoError(t, err)
	}
	for range 2 {
		got, err = approvals(ctx, ids)
		require.NoError(t, err)
		for i, m := range messages {
			require.NotNil(t, got[i])
			require.Equal(t, m, got[i].Message, "the oldest leg has the oldest approval")
		}
	}

	// Executed, the first by us.
	require.Equal(t, []bool{false, false}, r.end.reported(ids))
	errs, err := r.end.report(ctx, r.link, approvals, legs)
	require.NoError(t, err)
	require.ErrorIs(t, errs[0], flow.ErrNotYet)
	done := r.mined(&types.Log{Address: netGateway, Topics: []common.Hash{topicOf("MessageExecuted(bytes32)"), got[0].CommandID}})
	from := netOwn
	r.node.On("eth_getTransactionReceipt", fake.Edit(func(m map[string]any) { m["from"], m["gasUsed"], m["effectiveGasPrice"] = from, "0x5", "0x3" }))
	errs, err = r.end.report(ctx, r.link, approvals, legs)
	require.NoError(t, err)
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], flow.ErrNotYet)
	require.Equal(t, []bool{true, false}, r.end.reported(ids))
	require.Equal(t, 1, r.events("MESSAGE_EXECUTED/V2"))
	for _, e := range r.service.Events("filecoin") {
		require.Equal(t, map[string]any{"amount": "15"}, e["cost"])
		require.Equal(t, axelar.MessageID{Tx: done[0].Tx, Index: uint64(done[0].Position)}.String(), e["eventID"])
	}
	from = common.Address{0xdd}
	cost, err := r.end.cost(ctx, done[0].Tx)
	require.NoError(t, err)
	require.Nil(t, cost, "somebody else's")
	r.node.Clear()

	// The second cannot be executed: the service hears of it if it has asked.
	task := r.service.Give("filecoin", "EXECUTE", map[string]any{}, map[string]any{
		"message": gmpapi.MessageOf(messages[1]), "payload": gmpapi.Bytes(payload), "availableGasBalance": map[string]any{"amount": "0"},
	})
	require.NoError(t, r.end.tasks(ctx))
	require.Zero(t, r.events("CANNOT_EXECUTE_TASK"), "it is one of ours")
	lease, ok, err := r.db.Claim(ctx, "worker", 10)
	require.NoError(t, err)
	require.True(t, ok)
	var verdicts []store.Verdict
	for _, j := range lease.Jobs {
		v := store.Verdict{ID: j.Transfer.ID, Step: "execute", RetryAt: time.Hour}
		if j.Transfer.ID == ids[1] {
			v.Park, v.Reason, v.Cause = true, string(flow.ReasonRejected), "it reverts"
		}
		verdicts = append(verdicts, v)
	}
	require.NoError(t, r.db.Settle(ctx, lease, verdicts))
	for range 2 {
		require.NoError(t, r.end.parked(ctx))
		require.Equal(t, 1, r.events("CANNOT_EXECUTE_TASK"))
	}
	for _, e := range r.service.Events("filecoin") {
		if e["type"] == "CANNOT_EXECUTE_TASK" {
			require.Equal(t, task.String(), e["taskItemID"])
			require.Contains(t, e["details"], "it reverts")
		}
	}
}
