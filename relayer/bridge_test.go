package relayer

import (
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// bridge is a fake root with fake subnets, as a configuration describes them.
type bridge struct {
	cfg  Config
	root *fake.Node
	subs []*fake.Node
	deps []deploy.Deployment

	mu      sync.Mutex
	missing common.Address // has no code
}

const fakeRoot = 31415926

// newBridge makes a root with as many subnets; every contract is there.
func newBridge(t *testing.T, subnets int) *bridge {
	t.Helper()
	b := &bridge{cfg: Default(), root: fake.NewNode(t, fakeRoot)}
	b.cfg.SingleSource, b.cfg.State = true, t.TempDir()
	b.cfg.API = API{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0"}
	account := keyFile(t)
	b.cfg.Root.URL, b.cfg.Root.ChainID, b.cfg.Root.Accounts = b.root.URL(), fakeRoot, []Account{account}
	b.serveContracts(t, b.root)
	for i := range subnets {
		id := chains.ID(2718281 + i)
		node := fake.NewNode(t, uint64(id))
		b.serveContracts(t, node)
		d := deploymentOf(t, b.root.Hash(0), node.Hash(0), id, byte(i+1))
		s := Subnet{Name: fmt.Sprintf("subnet-%d", i+1), Deployment: filepath.Join(t.TempDir(), "deployment.json"), Chain: DefaultChain()}
		require.NoError(t, deploy.WriteDeployment(s.Deployment, d))
		s.URL, s.ChainID, s.Accounts = node.URL(), id, []Account{account}
		b.cfg.Subnets = append(b.cfg.Subnets, s)
		b.subs, b.deps = append(b.subs, node), append(b.deps, d)
	}
	require.NoError(t, b.cfg.Check())
	return b
}

// serveContracts makes a node say that our contracts are everywhere, with the
// actors of the deployments, but for what was lost.
func (b *bridge) serveContracts(t *testing.T, n *fake.Node) {
	t.Helper()
	require.NoError(t, n.Contracts(func(a common.Address) (fake.Actor, bool) {
		for _, d := range b.deps {
			if a == d.Root.Actor {
				return fake.Actor{Period: d.Settings.CheckPeriod, Supply: d.Root.Flt}, true
			}
		}
		return fake.Actor{}, false
	}, func(a common.Address) bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return a != b.missing || b.missing == (common.Address{})
	}))
}

func (b *bridge) lose(a common.Address) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.missing = a
}

// shared is what a session has, without a journal.
func (b *bridge) shared() *shared {
	quiet := slog.New(slog.DiscardHandler)
	s := &shared{cfg: b.cfg, Parts: Parts{Dial: evm.DialReader, Deployment: deploy.ReadDeployment, Alerts: alerts.New(quiet, 1), Log: quiet}}
	s.tools = newTools(b.cfg, prometheus.NewRegistry(), s.Alerts, "")
	return s
}

func keyFile(t *testing.T) Account {
	t.Helper()
	key, err := crypto.GenerateKey()
	require.NoError(t, err)
	raw, err := keystore.EncryptKey(&keystore.Key{Id: uuid.New(), Address: crypto.PubkeyToAddress(key.PublicKey), PrivateKey: key}, "secret", 2, 1)
	require.NoError(t, err)
	dir := t.TempDir()
	a := Account{Keystore: filepath.Join(dir, "key.json"), PasswordFile: filepath.Join(dir, "password")}
	require.NoError(t, os.WriteFile(a.Keystore, raw, 0o600))
	require.NoError(t, os.WriteFile(a.PasswordFile, []byte("secret"), 0o600))
	return a
}

// deploymentOf is a file of contracts whose addresses on the root carry n.
func deploymentOf(t *testing.T, root, child common.Hash, id chains.ID, n byte) deploy.Deployment {
	t.Helper()
	at := func(what byte) common.Address { return common.Address{0: 0xc0, 18: n, 19: what} }
	set := deploy.RootSet{
		ChainID: fakeRoot, GenesisHash: root, Flt: at(1), Usdc: at(2), Gateway: common.Address{0: 0xc0, 19: 3}, Registry: at(4), Actor: at(5),
		Controller: at(6), FastWithdrawals: at(7),
	}
	key, err := crypto.GenerateKey()
	require.NoError(t, err)
	block := common.Hash{1}
	return deploy.Deployment{
		Version: deploy.DeploymentVersion, Generation: deploy.GenerationC, Root: set, Settings: deploy.Default(),
		Subnet: deploy.SubnetSet{
			ID: set.Subnet().String(), ChainID: id, GenesisHash: child,
			Gateway: ipc.GatewayAddress, Replica: deploy.ReplicaAddress, Outbox: deploy.OutboxAddress,
		},
		Bootstrap: deploy.Bootstrapped{
			BlockNumber: 1, BlockHash: block, Salt: ipc.Salt(fakeRoot, set.Gateway, set.Actor, block),
			CircSupply: deploy.NewUnits(new(big.Int)),
			Validators: []deploy.Validator{{
				Address: crypto.PubkeyToAddress(key.PublicKey), Weight: deploy.NewUnits(big.NewInt(1)), PublicKey: crypto.FromECDSAPub(&key.PublicKey),
			}},
		},
	}
}
