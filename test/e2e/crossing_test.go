package e2e

import (
	"context"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/relayer/audit"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"
)

// TestFLTCrossesFromEthereumAndBack takes the tour with one of three signers down
// and the signers' set rotated in the middle, through gateways of either
// generation, while contracts on Ethereum and in the subnet call each other.
func TestFLTCrossesFromEthereumAndBack(t *testing.T) {
	t.Parallel()
	for _, generation := range []string{deploy.GatewayLegacy, deploy.GatewayAmplifier} {
		t.Run(generation, func(t *testing.T) {
			t.Parallel()
			r := startWith(t, generation)
			r.net.Kill(home.SignerName(3))
			before := r.onL1()
			calls := r.calls()

			type end struct {
				all []api.Transfer
				err error
			}
			done := make(chan end, 1)
			go func() {
				all, err := r.net.Tour(t.Context())
				done <- end{all, err}
			}()
			r.crossed(1) // something is through, and more is on its way
			r.rotate()
			e := <-done
			require.NoError(t, e.err)

			// What was sent back to its sender is on its way to Ethereum for a while.
			arrived := r.settledAcross()
			require.Equal(t, "0", arrived.Drift)
			want := new(big.Int).Set(before)
			for _, tr := range e.all {
				var legs []string
				for _, s := range tr.Steps {
					legs = append(legs, s.Name)
					require.NotEqual(t, common.Hash{}, s.Tx, "%s of %s has no event", s.Name, tr.Route)
				}
				switch {
				case tr.Route == "flt_l1_deposit" && tr.Status == tokens.Done:
					want.Sub(want, tr.Amount.Big())
					require.Equal(t, []string{"sent", "leg_in/approve", "leg_in/execute", "fund", "deliver"}, legs)
				case tr.Route == "flt_l1_withdraw":
					require.Equal(t, tokens.Done, tr.Status)
					want.Add(want, tr.Amount.Big())
					require.Equal(t, []string{"sent", "send_on", "leg_out/approve", "leg_out/execute", "unlock"}, legs)
				}
			}
			require.Equal(t, want.String(), r.onL1().String())
			r.answered(calls)
			r.sound()
		})
	}
}

// onL1 is the user's FLT on Ethereum.
func (r *rig) onL1() *big.Int {
	r.t.Helper()
	token := bindings.NewDevFlt()
	raw, err := r.b.L1.Client().CallContract(r.t.Context(), callMsg(r.net.Dep.Crossing.L1Flt, token.PackBalanceOf(r.b.L1.Address)), nil)
	require.NoError(r.t, err)
	return new(big.Int).SetBytes(raw)
}

// crossed waits until n deposits from Ethereum are done.
func (r *rig) crossed(n int) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		all, err := r.net.Transfers(r.t.Context())
		if err != nil {
			return false
		}
		done := 0
		for _, t := range all {
			if t.Route == "flt_l1_deposit" && t.Status == tokens.Done {
				done++
			}
		}
		return done >= n
	}, 3*time.Minute, 200*time.Millisecond)
}

// settledAcross waits until nothing is on its way between Ethereum and the root.
func (r *rig) settledAcross() audit.Invariant {
	r.t.Helper()
	var last audit.Invariant
	require.Eventually(r.t, func() bool {
		report, err := r.net.Audit(r.t.Context())
		require.NoError(r.t, err)
		require.Empty(r.t, report.Skipped)
		for _, i := range report.Invariants {
			if i.Token == audit.FLTAcross {
				require.True(r.t, i.OK, "%s %v", i.Detail, i.Terms)
				last = i
			}
		}
		return last.Terms["in_flight_in"] == "0" && last.Terms["in_flight_out"] == "0"
	}, time.Minute, time.Second)
	return last
}

// rotate gives both gateways another signer set, as operators would: everybody is
// told of it, signers that agree sign, and the relayer carries it.
func (r *rig) rotate() {
	r.t.Helper()
	next := relayer.SignerSet{Threshold: 3, Nonce: common.Hash{31: 1}}
	for n := range home.Signers {
		key, err := r.dir.Key(home.SignerName(n+1), home.Light)
		require.NoError(r.t, err)
		next.Signers = append(next.Signers, relayer.SetMember{Address: crypto.PubkeyToAddress(key.PublicKey), Weight: uint64(2 - min(n, 1))})
	}
	for _, n := range []int{1, 2} {
		cfg, err := relayer.ReadApprover(r.dir.SignerConfig(n))
		require.NoError(r.t, err)
		cfg.SignerSets, cfg.NextSet = append(cfg.SignerSets, next), &next
		require.NoError(r.t, home.WriteYAML(r.dir.SignerConfig(n), cfg))
		r.net.Quit(home.SignerName(n))
		require.NoError(r.t, r.net.StartSigner(r.t.Context(), n))
	}
	cfg, err := relayer.Read(r.dir.Config())
	require.NoError(r.t, err)
	cfg.Axelar.SignerSets = append(cfg.Axelar.SignerSets, next)
	require.NoError(r.t, home.WriteYAML(r.dir.Config(), cfg))
	r.net.Quit("relayer")
	require.NoError(r.t, r.net.StartRelayer(r.t.Context()))

	raw, err := json.Marshal(next.Set())
	require.NoError(r.t, err)
	file := filepath.Join(r.t.TempDir(), "next.json")
	require.NoError(r.t, os.WriteFile(file, raw, 0o600))
	stdout, stderr, code := r.run("approver", "rotate", "--config", r.dir.SignerConfig(1), "--to", file)
	require.Zero(r.t, code, "%s%s", stdout, stderr)

	x := r.net.Dep.Crossing
	for _, side := range []struct {
		set    deploy.AxelarSet
		client *ethclient.Client
	}{{x.Root, r.b.Root.Client()}, {x.L1, r.b.L1.Client()}} {
		at := newest{side.client}
		gateway, err := axelar.Probe(r.t.Context(), at, side.set.ChainID, side.set.Gateway)
		require.NoError(r.t, err)
		set := next.Set()
		if gateway.Kind() == axelar.Legacy {
			set.Nonce = common.Hash{}
		}
		require.Eventually(r.t, func() bool {
			standing, err := axelar.Ask(r.t.Context(), at, gateway.Standing(set))
			return err == nil && standing == axelar.StandingLatest
		}, 2*time.Minute, 200*time.Millisecond, "the signers of %s were not rotated", side.set.Chain)
	}
}

// newest asks a chain at its newest block.
type newest struct{ *ethclient.Client }

// CallContract implements axelar.Caller.
func (n newest) CallContract(ctx context.Context, to common.Address, data []byte) ([]byte, error) {
	return n.Client.CallContract(ctx, ethereum.CallMsg{To: &to, Data: data}, nil)
}
