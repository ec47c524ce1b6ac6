package main

import (
	"encoding/json"
	"fmt"
	"math/big"
	"path/filepath"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"
)

func TestAForkIsAcceptedFromTheCommandLine(t *testing.T) {
	ctx := t.Context()
	root, sub := fake.NewNode(t, 31415926), fake.NewNode(t, 2718281)
	redis := storetest.StartRedis(t)
	home := homeWith(t, fmt.Sprintf(`
single_source: true
redis: {url: %q, namespace: test}
root: {url: %q, chain_id: 31415926, accounts: [{keystore: k, password_file: p}]}
subnets: [{name: subnet, deployment: d.json, url: %q, chain_id: 2718281, accounts: [{keystore: k, password_file: p}]}]
`, redis.URL(), root.URL(), sub.URL()))
	addr := func(n byte) common.Address { return common.Address{19: n} }
	d := deploy.Deployment{
		Version: deploy.DeploymentVersion, Generation: deploy.GenerationC, Settings: deploy.Default(),
		Root: deploy.RootSet{
			ChainID: 31415926, GenesisHash: root.Hash(0), Flt: addr(1), Usdc: addr(2), Gateway: addr(3), Registry: addr(4),
			Actor: addr(5), Controller: addr(6), FastWithdrawals: addr(7),
		},
		Subnet: deploy.SubnetSet{ChainID: 2718281, GenesisHash: sub.Hash(0), Gateway: ipc.GatewayAddress, Replica: deploy.ReplicaAddress, Outbox: deploy.OutboxAddress},
	}
	d.Bootstrap.Salt = ipc.Salt(31415926, addr(3), addr(5), d.Bootstrap.BlockHash)
	d.Bootstrap.Validators = []deploy.Validator{{Address: addr(9)}}
	d.Subnet.ID = d.Root.Subnet().String()
	require.NoError(t, deploy.WriteDeployment(filepath.Join(home, "d.json"), d))
	for _, n := range []*fake.Node{root, sub} {
		require.NoError(t, n.Contracts(func(a common.Address) (fake.Actor, bool) {
			return fake.Actor{Period: d.Settings.CheckPeriod, Supply: d.Root.Flt}, a == d.Root.Actor
		}, func(common.Address) bool { return true }))
	}

	// Two power changes: the second one where the fork will be.
	actor, err := bindings.SubnetActorMetaData.ParseABI()
	require.NoError(t, err)
	request := actor.Events["NewPowerChangeRequest"]
	change := func(number uint64) *types.Log {
		data, err := request.Inputs.NonIndexed().Pack(uint8(0), addr(9), common.BigToHash(big.NewInt(5)).Bytes(), number)
		require.NoError(t, err)
		return &types.Log{Address: addr(5), Topics: []common.Hash{request.ID}, Data: data}
	}
	root.SetFinal(0)
	sub.SetFinal(0)
	root.MineLogs(change(1))
	root.MineN(5)
	good := root.Height()
	top := root.MineLogs(change(2), change(3))

	_, code, err := cli(t, home, "rescan", "--accept-fork", "root")
	require.ErrorIs(t, err, store.ErrNoFork)
	require.Equal(t, exitFailed, code)
	out, code, err := cli(t, home, "rescan")
	require.NoError(t, err)
	require.Equal(t, exitOK, code)
	require.Contains(t, out, "3 events, 3 transfers created")

	out, code, err = cli(t, home, "rescan", "--verify", "--from", "root=1")
	require.NoError(t, err)
	require.Equal(t, exitOK, code)
	require.Contains(t, out, "the journal is what the receipts say (3 transfers")
	require.Contains(t, out, "warning: read through the configured endpoint")
	out, _, err = cli(t, home, "rescan", "--verify", "--url", "root="+root.URL()+"/other")
	require.NoError(t, err)
	require.NotContains(t, out, "warning")

	cfg, err := relayer.Read(filepath.Join(home, "causeway.yaml"))
	require.NoError(t, err)
	db, err := relayer.OpenStore(ctx, cfg, false, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	cur := chains.Cursor{Chain: 31415926, Next: top + 1, Parent: root.Hash(top)}
	require.NoError(t, db.InitCursor(ctx, "root", cur))
	fact := store.Fact{Key: "submit/x/10", Outcome: store.OK, Chain: "root", Height: top, BlockHash: root.Hash(top)}
	next := chains.Cursor{Chain: 31415926, Next: top + 2, Parent: common.Hash{9}}
	require.NoError(t, db.Ingest(ctx, "root", cur, next, nil, []store.Fact{fact}))
	out, code, err = cli(t, home, "rescan", "--verify", "--json", "--to", fmt.Sprintf("root=%d", top))
	require.ErrorIs(t, err, relayer.ErrVerify)
	require.Equal(t, exitFailed, code)
	require.Contains(t, out, `"extra": 1`)
	require.Contains(t, out, `"submit/x/10"`)
	root.Reorg(1, true)
	_, err = db.Quarantine(ctx, "root", next, chains.Block{Number: good, Hash: root.Hash(good), Time: 1}, "another block")
	require.NoError(t, err)

	// What an operator sees.
	out, _, err = cli(t, home, "queue", "ls", "--status", "parked")
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(out, "finality_regress"))
	out, _, err = cli(t, home, "queue", "quarantine")
	require.NoError(t, err)
	require.Contains(t, out, fmt.Sprintf("root %d %s submit/x/10 ok", top, fact.BlockHash))
	require.Contains(t, out, "another block")
	out, _, err = cli(t, home, "--json", "queue", "quarantine")
	require.NoError(t, err)
	var aside []struct {
		Key string `json:"key"`
		Why string `json:"why"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &aside))
	require.Len(t, aside, 1)
	out, _, err = cli(t, home, "lane", "ls")
	require.NoError(t, err)
	require.Contains(t, out, "stopped: final blocks of root have changed")
	_, code, err = cli(t, home, "rescan")
	require.ErrorIs(t, err, store.ErrForked)
	require.Equal(t, exitFailed, code)

	// Only the third request is made again.
	root.MineLogs(change(3))
	out, code, err = cli(t, home, "rescan", "--accept-fork", "root")
	require.NoError(t, err)
	require.Equal(t, exitOK, code)
	require.Contains(t, out, fmt.Sprintf("root %d–%d: 1 events", good+1, root.Height()))
	require.Contains(t, out, "of the transfers set aside 1 are as they were, 0 go on from where their evidence ends, 1 are parked for you")
	got, _, err := db.Cursor(ctx, "root")
	require.NoError(t, err)
	require.Equal(t, chains.Cursor{Chain: 31415926, Next: root.Height() + 1, Parent: root.Hash(root.Height())}, got)
	out, _, err = cli(t, home, "lane", "ls")
	require.NoError(t, err)
	require.NotContains(t, out, "stopped")
}
