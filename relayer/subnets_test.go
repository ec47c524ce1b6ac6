package relayer

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"
)

// funding is the message of a deposit of FLT into a subnet.
func (b *bridge) funding(subnet int, nonce uint64, wei int64) ipc.IpcEnvelope {
	user := common.Address{0x51}
	return ipc.IpcEnvelope{
		Kind: ipc.KindTransfer, LocalNonce: nonce, OriginalNonce: nonce, Value: big.NewInt(wei),
		From: ipc.NewAddress(ipc.NewSubnetID(fakeRoot), user), To: ipc.NewAddress(b.deps[subnet].Root.Subnet(), user),
	}
}

// funded is the root gateway's event of a deposit of FLT into a subnet.
func (b *bridge) funded(t *testing.T, subnet int, nonce uint64, wei int64) *types.Log {
	t.Helper()
	d := b.deps[subnet]
	parsed, err := bindings.GatewayMetaData.ParseABI()
	require.NoError(t, err)
	ev := parsed.Events["NewTopDownMessage"]
	env := b.funding(subnet, nonce, wei)
	data, err := ev.Inputs.NonIndexed().Pack(env)
	require.NoError(t, err)
	return &types.Log{Address: d.Root.Gateway, Topics: []common.Hash{ev.ID, common.BytesToHash(d.Root.Actor[:]), env.TracingID()}, Data: data}
}

// applied is the subnet gateway's event of a delivered deposit.
func (b *bridge) applied(t *testing.T, subnet int, nonce uint64, wei int64) *types.Log {
	t.Helper()
	parsed, err := bindings.SubnetGatewayMetaData.ParseABI()
	require.NoError(t, err)
	ev := parsed.Events["TopDownMessageApplied"]
	data, err := ev.Inputs.NonIndexed().Pack(uint8(ipc.OutcomeOk), uint8(0), []byte{})
	require.NoError(t, err)
	return &types.Log{Address: b.deps[subnet].Subnet.Gateway, Topics: []common.Hash{ev.ID, common.BigToHash(new(big.Int).SetUint64(nonce)), b.funding(subnet, nonce, wei).TracingID()}, Data: data}
}

// running starts the instance and returns its listeners.
func (b *bridge) running(t *testing.T) Ready {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	up, done := make(chan Ready, 1), make(chan error, 1)
	go func() { done <- Run(ctx, b.cfg, "test", slog.New(slog.DiscardHandler), func(r Ready) { up <- r }) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	select {
	case r := <-up:
		return r
	case err := <-done:
		done <- err
		require.NoError(t, err)
	}
	return Ready{}
}

func ask(t *testing.T, url string, out any) string {
	t.Helper()
	res, err := http.Get("http://" + url)
	require.NoError(t, err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	if res.StatusCode == http.StatusOK && out != nil {
		require.NoError(t, json.Unmarshal(raw, out), "%s", raw)
	}
	return string(raw)
}

// TestOneRelayerServesTwoSubnetsApart runs an instance on a fake root with two
// fake subnets that share gateway address, nonces and user: what one of them
// applies ends its own deposit and not the other's.
func TestOneRelayerServesTwoSubnetsApart(t *testing.T) {
	b := newBridge(t, 2)
	b.cfg.Redis.URL = storetest.StartRedis(t).URL()
	b.root.MineLogs(b.funded(t, 0, 0, 100), b.funded(t, 1, 0, 200))
	for _, n := range b.subs {
		n.MineN(2)
	}
	at := b.running(t)
	transfers := func() map[common.Address]api.Transfer {
		var page struct{ Transfers []api.Transfer }
		ask(t, at.API+"/v1/transfers", &page)
		out := map[common.Address]api.Transfer{}
		for _, x := range page.Transfers {
			out[x.Subnet] = x
		}
		return out
	}
	one, two := b.deps[0].Root.Actor, b.deps[1].Root.Actor
	require.Eventually(t, func() bool { return len(transfers()) == 2 }, 30*time.Second, 50*time.Millisecond)
	require.Equal(t, "100", transfers()[one].Amount.String())
	require.Equal(t, "200", transfers()[two].Amount.String())

	b.subs[1].MineLogs(b.applied(t, 1, 0, 200))
	b.subs[1].Mine()
	require.Eventually(t, func() bool { return transfers()[two].Status == tokens.Done }, 30*time.Second, 50*time.Millisecond)
	b.subs[0].MineN(3)
	var s PublicStatus
	require.Eventually(t, func() bool {
		s = PublicStatus{}
		ask(t, at.API+"/v1/status", &s)
		return len(s.Chains) == 3 && s.Chains[1].Cursor >= 5
	}, 30*time.Second, 50*time.Millisecond)
	require.Equal(t, tokens.Pending, transfers()[one].Status, "the other subnet's message is another one")
	b.subs[0].MineLogs(b.applied(t, 0, 0, 100))
	require.Eventually(t, func() bool { return transfers()[one].Status == tokens.Done }, 30*time.Second, 50*time.Millisecond)

	// Every chain by its name, the root first, in both statuses.
	var full Status
	private := ask(t, at.Admin+"/status", &full)
	public := ask(t, at.API+"/v1/status", &s)
	for i, name := range []string{"root", "subnet-1", "subnet-2"} {
		require.Equal(t, name, s.Chains[i].Name)
		require.Equal(t, name, full.Chains[i].Name)
		require.Len(t, full.Chains[i].Accounts, 1)
	}
	for _, lane := range []string{"topdown/" + one.Hex(), "topdown/" + two.Hex()} {
		possible, err := Lanes(b.cfg)
		require.NoError(t, err)
		require.Contains(t, possible, lane)
	}

	// Users are told nothing of machines, accounts, lanes and troubles.
	require.Contains(t, private, full.Instance)
	require.NotEmpty(t, full.Instance)
	for _, secret := range []string{full.Instance, full.Chains[0].Accounts[0].Address, "instance", "accounts", "balance", "nonce", "lanes", "alerts", "parts", "checkpoint", "topdown"} {
		require.False(t, strings.Contains(public, secret), "%s in %s", secret, public)
	}
	require.Equal(t, []CountStatus{{"flt_deposit", "done", "", 2}}, s.Counts)
}

func TestEveryLaneOfASubnetHasItsActor(t *testing.T) {
	b := newBridge(t, 2)
	lanes, err := Lanes(b.cfg)
	require.NoError(t, err)
	require.Len(t, lanes, 24)
	for i, d := range b.deps {
		for _, lane := range lanes[12*i : 12*i+12] {
			require.True(t, strings.HasSuffix(lane, "/"+d.Root.Actor.Hex()), lane)
		}
	}
	b.cfg.Subnets[0].Deployment = "/nonexistent"
	_, err = Lanes(b.cfg)
	require.ErrorIs(t, err, ErrConfig)
}
