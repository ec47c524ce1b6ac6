package relayer

import (
	"context"
	"fmt"
	"log/slog"
	"math/big"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/subnet"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"
)

func TestAFinalBlockBehindTheCursorSaysNothing(t *testing.T) {
	ctx := t.Context()
	db, err := store.Open(ctx, store.Options{URL: storetest.StartRedis(t).URL(), Namespace: "head"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	l := &link{db: db}
	var head chains.Block
	var fails error
	read := l.read("root", func(context.Context) (chains.Block, error) { return head, fails })
	_, err = read(ctx)
	require.NoError(t, err, "nothing was read yet")
	require.NoError(t, db.InitCursor(ctx, "root", chains.Cursor{Chain: 1, Next: 11, Parent: common.Hash{10}}))
	for _, c := range []struct {
		head chains.Block
		want string
		at   byte
	}{
		{chains.Block{Number: 9, Hash: common.Hash{9}}, "is behind the cursor at 11", 0},
		{chains.Block{Number: 10, Hash: common.Hash{77}}, "is not the one that was read", 0},
		{chains.Block{Number: 10, Hash: common.Hash{10}}, "", 10},
		{chains.Block{Number: 11, Hash: common.Hash{11}}, "", 10},
		{chains.Block{Number: 74, Hash: common.Hash{74}}, "", 10},
		{chains.Block{Number: 75, Hash: common.Hash{75}}, "", 75}, // too far back to ask
	} {
		head = c.head
		got, err := read(ctx)
		if c.want == "" {
			require.NoError(t, err)
			require.Equal(t, chains.Block{Number: uint64(c.at), Hash: common.Hash{c.at}}, got)
			continue
		}
		require.ErrorIs(t, err, chains.ErrUnavailable)
		require.ErrorContains(t, err, c.want)
	}
	fails = chains.ErrReorg
	_, err = read(ctx)
	require.ErrorIs(t, err, chains.ErrReorg)
}

// What decides is asked at the final block that was read; the newest one says
// only what is not worth sending again.
func TestWhatIsAppliedIsAskedAtTheFinalBlock(t *testing.T) {
	const id = 2718281
	ctx := t.Context()
	n := fake.NewNode(t, id)
	n.MineN(9)
	n.SetFinal(3)
	var at []string
	n.On("eth_call", func(c *fake.Call, _ func()) {
		at = append(at, string(c.Params[1]))
		c.Result = hexutil.Encode(make([]byte, 64))
	})
	client, err := evm.Dial(ctx, evm.Config{Name: "subnet", URL: n.URL(), ChainID: id, Finality: "finalized"}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	inside, err := subnet.New(client, subnet.Config{Gateway: common.Address{7}, Outbox: common.Address{8}, Period: 10})
	require.NoError(t, err)
	db, err := store.Open(ctx, store.Options{URL: storetest.StartRedis(t).URL(), Namespace: "final"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	l := &link{sub: flow.Subnet{Name: "subnet", ID: id}, client: inside, db: db, toChild: noSender{}, outbox: bindings.NewWithdrawalOutbox()}

	for _, q := range []subnet.Queue{subnet.Messages, subnet.PowerChanges} {
		d := l.deliver(q)
		_, err = d.AppliedFinal(ctx)
		require.NoError(t, err)
		_, err = d.AppliedLatest(ctx)
		require.NoError(t, err)
	}
	_, err = l.returned(ctx, []common.Hash{{1}})
	require.NoError(t, err)
	pinned := fmt.Sprintf(`{"blockHash":"%s"}`, n.Hash(6))
	require.Equal(t, []string{pinned, `"latest"`, pinned, `"latest"`, pinned}, at)
}

// TestTheNetDealsOutTheEventsOfASharedID has two identical deposits that
// failed, whose refunds the watcher did not see: the net finds the first event
// for both, and it refunds one of them.
func TestTheNetDealsOutTheEventsOfASharedID(t *testing.T) {
	const rootID = 31337
	ctx := t.Context()
	n := fake.NewNode(t, rootID)
	n.SetFinal(0)
	client, err := evm.Dial(ctx, evm.Config{Name: "root", URL: n.URL(), ChainID: rootID, Timeout: time.Minute}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	db, err := store.Open(ctx, store.Options{URL: storetest.StartRedis(t).URL(), Namespace: "net"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	sub := flow.Subnet{Name: "subnet", RootID: rootID, ID: 2, Actor: common.Address{1}, Gateway: common.Address{2}}
	l := &link{sub: sub, root: client, db: db, toRoot: noSender{}, toChild: noSender{}}
	var deposit flow.Flow
	for _, f := range l.flows() {
		if f.Name == "flt_deposit" {
			deposit = f
		}
	}

	id := common.Hash{0xab}
	transfers := []tokens.Transfer{}
	var jobs []store.NewJob
	for i := range uint64(2) {
		x := tokens.Transfer{ID: common.Hash{31: byte(1 + i)}, Route: "flt_deposit", Subnet: sub.Actor, Nonce: i, Ref: id, Origin: chains.EventID{Chain: rootID, Index: uint(i)}}
		transfers, jobs = append(transfers, x), append(jobs, watch.Plan(deposit, x))
	}
	failed := func(i uint64) store.Fact {
		return store.Fact{Key: string(deposit.Steps[0].Key(transfers[i])), Outcome: store.Failed, Chain: "subnet", Height: 5, LogIndex: uint(i)}
	}
	_, _, err = db.Backfill(ctx, flow.Root, jobs, []store.Fact{failed(0), failed(1)})
	require.NoError(t, err)
	statuses := func() (out []tokens.Status) {
		for _, x := range transfers {
			j, ok, err := db.Get(ctx, x.ID)
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, "refund", j.Step)
			out = append(out, j.Status)
		}
		return out
	}
	abi, err := bindings.GatewayMetaData.ParseABI()
	require.NoError(t, err)
	applied := abi.Events["ResultApplied"]
	data, err := applied.Inputs.NonIndexed().Pack(uint8(2), uint8(0), common.Address{7}, big.NewInt(9))
	require.NoError(t, err)

	for _, want := range [][]tokens.Status{{tokens.Pending, tokens.Pending}, {tokens.Refunded, tokens.Pending}, {tokens.Refunded, tokens.Refunded}} {
		for range 2 {
			out, err := deposit.Steps[1].Done(ctx, transfers)
			require.NoError(t, err)
			require.Equal(t, make([]flow.Outcome, 2), out, "the net itself decides nothing")
			require.Equal(t, want, statuses())
		}
		n.MineLogs(&types.Log{Address: sub.Gateway, Topics: []common.Hash{applied.ID, common.BytesToHash(sub.Actor[:]), id}, Data: data})
	}
}
