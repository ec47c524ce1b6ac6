package relayer

import (
	"errors"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

func TestAnotherChainOfTheSameIDIsRefusedAtStart(t *testing.T) {
	b := newBridge(t, 1)
	root, err := b.shared().dial(t.Context(), flow.Root, b.cfg.Root)
	require.NoError(t, err)
	defer root.Close()
	l, err := b.shared().openSubnet(t.Context(), b.cfg.Subnets[0], root, nil)
	require.NoError(t, err)
	l.client.Close()

	begun := map[string]interface{ On(string, fake.Fault) }{flow.Root: b.root, "subnet-1": b.subs[0]}
	for name, node := range begun {
		node.On("eth_getBlockByNumber", func(c *fake.Call, next func()) {
			if next(); string(c.Params[0]) == `"0x0"` {
				c.Result = map[string]any{"hash": common.Hash{0xbb}}
			}
		})
		if name == flow.Root {
			_, err = b.shared().dial(t.Context(), name, b.cfg.Root)
		} else {
			_, err = b.shared().openSubnet(t.Context(), b.cfg.Subnets[0], root, nil)
		}
		require.ErrorIs(t, err, chains.ErrWrongChain, name)
		for _, words := range []string{"connect to " + name, common.Hash{0xbb}.Hex(), "give the URL of the chain that the deployment was made on"} {
			require.ErrorContains(t, err, words)
		}
	}
}

func TestOneRootHasOneFirstBlockInEveryDeployment(t *testing.T) {
	first, other := common.Hash{1}, common.Hash{2}
	files := map[string]deploy.Deployment{}
	for name, roots := range map[string][2]common.Hash{"same": {first, first}, "unknown": {{}, first}, "differ": {first, other}, "none": {{}, {}}} {
		for i, root := range roots {
			files[name+string(rune('1'+i))] = deploy.Deployment{
				Root: deploy.RootSet{GenesisHash: root}, Subnet: deploy.SubnetSet{GenesisHash: common.Hash{9: byte(i + 1)}},
			}
		}
	}
	read := func(path string) (deploy.Deployment, error) {
		if d, ok := files[path]; ok {
			return d, nil
		}
		return deploy.Deployment{}, errors.New("no such file")
	}
	pair := func(name string) []Subnet {
		return []Subnet{{Name: "a", Deployment: name + "1"}, {Name: "b", Deployment: name + "2"}}
	}
	for name, want := range map[string]common.Hash{"same": first, "unknown": first, "none": {}} {
		got, err := genesisOf(flow.Root, pair(name), read)
		require.NoError(t, err)
		require.Equal(t, want, got, name)
		got, err = genesisOf("b", pair(name), read)
		require.NoError(t, err)
		require.Equal(t, common.Hash{9: 2}, got)
	}
	_, err := genesisOf(flow.Root, pair("differ"), read)
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, "a and b are of two roots with one chain id")
	_, err = genesisOf(flow.Root, pair("gone"), read)
	require.ErrorIs(t, err, ErrConfig)
}

func TestARelayerIsNotReadyWhileAContractIsMissing(t *testing.T) {
	b := newBridge(t, 1)
	d := b.deps[0]
	root, err := b.shared().dial(t.Context(), flow.Root, b.cfg.Root)
	require.NoError(t, err)
	defer root.Close()
	l, err := b.shared().openSubnet(t.Context(), b.cfg.Subnets[0], root, nil)
	require.NoError(t, err)
	defer l.client.Close()
	require.NoError(t, l.standing(t.Context()))

	for what, at := range map[string]common.Address{
		"gateway": d.Root.Gateway, "subnet actor": d.Root.Actor, "linked token controller": d.Root.Controller, "fast withdrawals": d.Root.FastWithdrawals,
		"FLT": d.Root.Flt, "USDC": d.Root.Usdc, "linked token replica": d.Subnet.Replica, "withdrawal outbox": d.Subnet.Outbox,
	} {
		b.lose(at)
		err := l.standing(t.Context())
		require.ErrorIs(t, err, errNoCode, what)
		require.ErrorContains(t, err, what+" "+at.Hex())
	}
	b.lose(d.Subnet.Gateway)
	require.ErrorContains(t, l.standing(t.Context()), "gateway "+d.Subnet.Gateway.Hex()+" on subnet-1")

	// It waits, not ready, and goes on by itself.
	s := b.shared()
	s.health.set("chains", nil)
	done := make(chan error, 1)
	go func() { done <- s.awaitContracts(t.Context(), l) }()
	require.Eventually(t, func() bool { return errors.Is(s.health.Ready(), errNoCode) }, 10*time.Second, 5*time.Millisecond)
	require.Empty(t, done)
	b.lose(common.Address{})
	require.NoError(t, <-done)
	require.NoError(t, s.health.Ready())
}
