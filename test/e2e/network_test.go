package e2e

import (
	"context"
	"crypto/ecdsa"
	"encoding/base64"
	"fmt"
	"log/slog"
	"math/big"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/cmd/causeway/devnet"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/cmd/causeway/wallet"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/test/gmp"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

// TestAxelarItselfApproves has FLT cross both ways, some of it in messages of equal
// content, and contracts call each other, where a stand-in for Axelar approves under ids of its own: with
// Amplifier gateways through the GMP API, with legacy ones by itself. The relayer
// dies at each of its points on the way.
func TestAxelarItselfApproves(t *testing.T) {
	t.Parallel()
	for _, generation := range []string{deploy.GatewayAmplifier, deploy.GatewayLegacy} {
		t.Run(generation, func(t *testing.T) {
			t.Parallel()
			points := []string{"work.before_settle", "txm.after_store"}
			if generation == deploy.GatewayAmplifier {
				points = []string{"network.after_carry", "network.after_tasks", "txm.after_store"}
			}
			var mu sync.Mutex
			var die string
			r := startFor(t, devnet.Options{Axelar: generation, Env: func(name string) []string {
				mu.Lock()
				defer mu.Unlock()
				if name != "relayer" || die == "" {
					return nil
				}
				return []string{"CAUSEWAY_CRASH_AT=" + die}
			}})
			a := newAxelar(r, generation)
			for n := range home.Signers {
				r.net.Quit(home.SignerName(n + 1))
			}
			before := r.onL1()
			r.net.Quit("relayer")
			cfg, err := relayer.Read(r.dir.Config())
			require.NoError(t, err)
			cfg.Axelar.Approvals = relayer.ApprovalsNetwork
			if generation == deploy.GatewayAmplifier {
				for _, name := range []string{home.L1Name, home.RootName} {
					cfg.Axelar.Network.Chains = append(cfg.Axelar.Network.Chains, relayer.NetworkChain{Name: name, GMP: &relayer.GMP{URL: a.url}})
				}
			}
			require.NoError(t, home.WriteYAML(r.dir.Config(), cfg))

			die = points[0]
			require.NoError(t, r.net.StartRelayer(t.Context()))
			user := r.b.Root.Address
			want := map[string]int{}
			amounts := []int64{3, 3, 4} // two of equal content
			for _, n := range amounts {
				_, err := r.b.CrossIn(t.Context(), user, home.Ether(n))
				require.NoError(t, err)
				_, err = r.b.CrossOut(t.Context(), user, common.Address{}, home.Ether(n))
				require.NoError(t, err)
				want["flt_l1_deposit"]++
				want["flt_l1_withdraw"]++
			}
			calls := r.calls()
			for i := range points {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
				_, err := r.net.Ended(ctx, "relayer")
				cancel()
				require.NoError(t, err, "it does not pass %s", points[i])
				mu.Lock()
				die = ""
				if i+1 < len(points) {
					die = points[i+1]
				}
				mu.Unlock()
				require.NoError(t, r.net.StartRelayer(t.Context()))
			}
			var ended []api.Transfer
			require.Eventually(t, func() bool {
				all, err := r.net.Transfers(t.Context())
				if err != nil {
					return false
				}
				done := map[string]int{}
				ended = all
				for _, tr := range all {
					if tr.Status == tokens.Done {
						done[tr.Route]++
					}
				}
				return done["flt_l1_deposit"] == want["flt_l1_deposit"] && done["flt_l1_withdraw"] == want["flt_l1_withdraw"]
			}, 4*time.Minute, 500*time.Millisecond, "not everything has arrived")

			for _, tr := range ended {
				switch tr.Route {
				case "flt_l1_deposit":
					r.told(tr.ID, []string{"sent", "leg_in/approve", "leg_in/execute", "fund", "deliver"})
				case "flt_l1_withdraw":
					r.told(tr.ID, []string{"sent", "send_on", "leg_out/approve", "leg_out/execute", "unlock"})
				}
			}
			r.answered(calls)
			require.Equal(t, "0", r.settledAcross().Drift)
			require.Equal(t, before.String(), r.onL1().String(), "as much came back as went")
			r.sound()
			// Each call and each result is a message of its own.
			require.Equal(t, 2*(len(amounts)+len(calls)), a.approved())
			if generation == deploy.GatewayAmplifier {
				a.wasTold(len(amounts) + len(calls))
			}
		})
	}
}

// startFor starts a devnet whose relayer may be told to die.
func startFor(t *testing.T, o devnet.Options) *rig {
	t.Helper()
	dir := home.Dir(t.TempDir())
	o.Root = devnet.RootLotus
	o.Home, o.Program, o.Settings, o.LogLevel, o.Log = dir, binary, devnet.Settings(), "info", slog.New(slog.DiscardHandler)
	o.Say = func(format string, args ...any) { t.Logf(format, args...) }
	net, err := devnet.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() {
		net.Stop()
		if t.Failed() {
			for _, name := range []string{"relayer", "node", "root", "ethereum"} {
				t.Logf("end of %s.log:\n%s", name, tail(filepath.Join(dir.Logs(), name+".log"), 8000))
			}
		}
	})
	b, err := net.Bridge(t.Context())
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return &rig{t: t, net: net, b: b, dir: dir, sent: map[common.Hash]want{}}
}

// network stands in for Axelar: its hub, its signers, its relayers.
type network struct {
	t       *testing.T
	url     string
	service *gmp.Server
	set     axelar.WeightedSigners
	keys    []*ecdsa.PrivateKey
	sides   []*networkSide

	mu   sync.Mutex
	seen map[string]bool
	n    uint64
}

type networkSide struct {
	set     deploy.AxelarSet
	gateway axelar.Gateway
	account *wallet.Account
	next    uint64 // block
}

// newAxelar watches both chains, or listens at its API, until the test ends.
func newAxelar(r *rig, generation string) *network {
	r.t.Helper()
	x := r.net.Dep.Crossing
	a := &network{t: r.t, service: gmp.New(home.L1Name, home.RootName), set: home.SignerSetOf(x.Signers[0]), seen: map[string]bool{}}
	srv := httptest.NewServer(a.service)
	r.t.Cleanup(srv.Close)
	a.url = srv.URL
	for n := range home.SignersNeeded {
		key, err := r.dir.Key(home.SignerName(n+1), home.Light)
		require.NoError(r.t, err)
		a.keys = append(a.keys, key)
	}
	for _, c := range []struct {
		set   deploy.AxelarSet
		chain wallet.Chain
		key   string
	}{
		{x.L1, wallet.L1Of(r.net.Dep, r.net.Info.EthereumURL), "ethereum-deployer"},
		{x.Root, wallet.RootOf(r.net.Dep, r.net.Info.RootURL), "deployer"},
	} {
		rich, err := r.dir.Key(c.key, home.Light)
		require.NoError(r.t, err)
		own, err := crypto.GenerateKey()
		require.NoError(r.t, err)
		giver, err := wallet.Open(r.t.Context(), c.chain, rich)
		require.NoError(r.t, err)
		given, err := giver.Send(r.t.Context(), crypto.PubkeyToAddress(own.PublicKey), nil, home.Ether(100))
		require.NoError(r.t, err)
		_, err = giver.Wait(r.t.Context(), given)
		require.NoError(r.t, err)
		giver.Close()
		account, err := wallet.Open(r.t.Context(), c.chain, own)
		require.NoError(r.t, err)
		r.t.Cleanup(account.Close)
		gateway, err := axelar.Probe(r.t.Context(), newest{account.Client()}, c.set.ChainID, c.set.Gateway)
		require.NoError(r.t, err)
		head, err := account.Client().BlockNumber(r.t.Context())
		require.NoError(r.t, err)
		a.sides = append(a.sides, &networkSide{c.set, gateway, account, head + 1})
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	var wg sync.WaitGroup
	r.t.Cleanup(func() { cancel(); wg.Wait() })
	wg.Go(func() {
		for ctx.Err() == nil {
			for _, s := range a.sides {
				look := a.listen
				if generation == deploy.GatewayLegacy {
					look = a.watch
				}
				if err := look(ctx, s); err != nil && ctx.Err() == nil {
					r.t.Logf("Axelar looks at %s: %v", s.set.Chain, err)
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	})
	return a
}

// listen takes the calls that the relayer tells of.
func (a *network) listen(_ context.Context, s *networkSide) error {
	for _, e := range a.service.Events(s.set.Chain) {
		id := e["eventID"].(string)
		if e["type"] != "CALL" || a.seen[s.set.Chain+id] {
			continue
		}
		a.seen[s.set.Chain+id] = true
		payload, err := base64.StdEncoding.DecodeString(e["payload"].(string))
		if err != nil {
			return err
		}
		said := e["message"].(map[string]any)
		call, err := axelar.ParseMessageID(said["messageID"].(string))
		if err != nil {
			return err
		}
		to, m, payload, err := a.route(s, call, axelar.Called{
			Sender: common.HexToAddress(said["sourceAddress"].(string)), DestinationChain: e["destinationChain"].(string),
			DestinationAddress: said["destinationAddress"].(string), Payload: payload, PayloadHash: crypto.Keccak256Hash(payload),
		})
		if err != nil {
			return err
		}
		data, err := a.approval(to, m)
		if err != nil {
			return err
		}
		a.service.Give(to.set.Chain, "GATEWAY_TX", map[string]any{}, map[string]any{"executeData": base64.StdEncoding.EncodeToString(data)})
		a.service.Give(to.set.Chain, "EXECUTE", map[string]any{}, map[string]any{
			"message": map[string]any{
				"messageID": m.ID, "sourceChain": m.SourceChain, "sourceAddress": m.SourceAddress, "destinationAddress": m.Contract.Hex(),
				"payloadHash": base64.StdEncoding.EncodeToString(m.PayloadHash[:]),
			},
			"payload": base64.StdEncoding.EncodeToString(payload), "availableGasBalance": map[string]any{"amount": "0"},
		})
	}
	return nil
}

// watch reads the calls of the chain itself and sends the approval itself.
func (a *network) watch(ctx context.Context, s *networkSide) error {
	head, err := s.account.Client().BlockNumber(ctx)
	if err != nil || head < s.next {
		return err
	}
	f := axelar.Calls(s.gateway)
	logs, err := s.account.Client().FilterLogs(ctx, ethereum.FilterQuery{
		FromBlock: new(big.Int).SetUint64(s.next), ToBlock: new(big.Int).SetUint64(head), Addresses: f.Addresses, Topics: [][]common.Hash{f.Topics},
	})
	if err != nil {
		return err
	}
	for _, l := range logs {
		said, _, err := s.gateway.Decode(chains.Event{Chain: s.set.ChainID, Address: l.Address, Topics: l.Topics, Data: l.Data})
		if err != nil {
			return err
		}
		called, isCall := said.(axelar.Called)
		if !isCall {
			continue
		}
		to, m, _, err := a.route(s, axelar.MessageID{Tx: l.TxHash}, called)
		if err != nil {
			return err
		}
		data, err := a.approval(to, m)
		if err != nil {
			return err
		}
		tx, err := to.account.Send(ctx, to.set.Gateway, data, nil)
		if err != nil {
			return err
		}
		if _, err := to.account.Wait(ctx, tx); err != nil {
			return err
		}
	}
	s.next = head + 1
	return nil
}

// route is what a call becomes. What the hub makes of it has an id that follows
// from nothing, and so has whatever a legacy gateway approves.
func (a *network) route(from *networkSide, call axelar.MessageID, c axelar.Called) (*networkSide, axelar.Message, []byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name, payload := c.DestinationChain, c.Payload
	var m axelar.Message
	if name == axelar.HubChain {
		var err error
		if name, payload, _, err = axelar.Rewrap(c.Payload, from.set.Chain); err != nil {
			return nil, m, nil, err
		}
		m = axelar.Message{SourceChain: axelar.HubChain, SourceAddress: from.set.Hub, PayloadHash: crypto.Keccak256Hash(payload)}
	} else {
		r, err := axelar.Direct(from.set.Chain, call, c)
		if err != nil {
			return nil, m, nil, err
		}
		m = r.Message
	}
	for _, to := range a.sides {
		if to.set.Chain != name {
			continue
		}
		if m.SourceChain == axelar.HubChain {
			m.Contract = to.set.Service
		}
		if a.n++; m.SourceChain == axelar.HubChain || to.gateway.Kind() == axelar.Legacy {
			m.ID = axelar.MessageID{Tx: crypto.Keccak256Hash(fmt.Appendf(nil, "axelar %d", a.n)), Index: 164_269_022 + a.n}.String()
		}
		return to, m, payload, nil
	}
	return nil, m, nil, fmt.Errorf("no chain %q", name)
}

func (a *network) approval(to *networkSide, m axelar.Message) ([]byte, error) {
	set, c := a.set, axelar.Command{Approve: []axelar.Message{m}}
	if to.gateway.Kind() == axelar.Legacy {
		set.Nonce = common.Hash{}
	}
	digest, err := to.gateway.Digest(set, c)
	if err != nil {
		return nil, err
	}
	var signatures [][]byte
	for _, key := range a.keys {
		signature, err := crypto.Sign(digest[:], key)
		if err != nil {
			return nil, err
		}
		signature[64] += 27
		signatures = append(signatures, signature)
	}
	return to.gateway.Calldata(set, c, signatures)
}

// approved is how many messages there were.
func (a *network) approved() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return int(a.n)
}

// wasTold checks that the service was told of every call where it began and of
// every execution where it ended, each once, and that nothing was refused.
func (a *network) wasTold(each int) {
	a.t.Helper()
	for _, s := range a.sides {
		var count map[string]int
		require.Eventually(a.t, func() bool {
			count = map[string]int{}
			for _, e := range a.service.Events(s.set.Chain) {
				count[e["type"].(string)]++
			}
			return count["CALL"] == each && count["MESSAGE_EXECUTED/V2"] == each
		}, time.Minute, 200*time.Millisecond, "%s: %v", s.set.Chain, count)
		for kind := range count {
			require.False(a.t, strings.HasPrefix(kind, "CANNOT_"), "%s: %v", s.set.Chain, count)
		}
		for _, e := range a.service.Events(s.set.Chain) {
			if e["type"] == "MESSAGE_EXECUTED/V2" {
				require.NotEqual(a.t, map[string]any{"amount": "0"}, e["cost"], "the relayer paid for it")
			}
		}
	}
}
