package deploy_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

const hub = "axelar1aqcj54lzz0rk22gvqgcn8fr5tx4rzwdv5wv5j9dmnacgefvd7wzsy2j2mr"

func artifacts(t *testing.T) *deploy.Artifacts {
	t.Helper()
	a, err := deploy.OpenArtifacts("")
	require.NoError(t, err)
	return a
}

func axelarParams(t *testing.T, generation, chain, other string) deploy.AxelarParams {
	t.Helper()
	p := deploy.AxelarParams{
		Artifacts: artifacts(t), Gateway: generation, Chain: chain, Trusted: []string{other}, Hub: hub, Threshold: 2,
		Domain: crypto.Keccak256Hash([]byte(chain)), Nonce: crypto.Keccak256Hash([]byte("first")), Retention: 15,
	}
	for _, name := range []string{"one", "two", "three"} {
		p.Signers = append(p.Signers, deploy.Weighted{Address: crypto.PubkeyToAddress(key(name).PublicKey), Weight: 1})
	}
	return p
}

// TestThePublishedAxelarContractsStandOnAChain deploys them whole, with either
// gateway, and registers a token; a second run with the same file sends nothing.
func TestThePublishedAxelarContractsStandOnAChain(t *testing.T) {
	for _, generation := range []string{deploy.GatewayLegacy, deploy.GatewayAmplifier} {
		t.Run(generation, func(t *testing.T) {
			r := newRig(t, 2)
			env := r.env(t)
			p := axelarParams(t, generation, "Ethereum", "filecoin")
			set, err := deploy.Axelar(t.Context(), env, r.deployer, p)
			require.NoError(t, err)
			require.Equal(t, generation, set.Generation)
			nonce := func() uint64 {
				n, err := r.client.PendingNonceAt(t.Context(), r.deployer.Address())
				require.NoError(t, err)
				return n
			}
			sent := nonce()
			again, err := deploy.Axelar(t.Context(), env, r.deployer, p)
			require.NoError(t, err)
			require.Equal(t, set, again)
			require.Equal(t, sent, nonce())

			rootSet, err := deploy.Root(t.Context(), env, r.deployer, r.rootParams())
			require.NoError(t, err, "beside another deployment of the same account")
			other := set
			other.Chain = "filecoin"
			c, err := deploy.RegisterCanonical(t.Context(), env, r.deployer, p.Artifacts, set, other, rootSet.Flt)
			require.NoError(t, err)
			require.NotZero(t, c.ID)
			receipt, err := r.client.TransactionReceipt(t.Context(), c.DeployTx)
			require.NoError(t, err)
			topic := crypto.Keccak256Hash([]byte("ContractCall(address,string,string,bytes32,bytes)"))
			found := false
			for _, l := range receipt.Logs {
				if l.Address == set.Gateway && l.Topics[0] == topic {
					found = true
					require.Equal(t, common.BytesToHash(set.Service[:]), l.Topics[1])
					require.True(t, strings.Contains(string(l.Data), hub) && strings.Contains(string(l.Data), "filecoin"))
				}
			}
			require.True(t, found, "the gateway announces what the other chain is asked for")
			remote, err := deploy.InterchainToken(t.Context(), r.client, p.Artifacts, set, c.ID)
			require.NoError(t, err)
			require.NotEqual(t, rootSet.Flt, remote)
			_, err = deploy.RegisterCanonical(t.Context(), env, r.deployer, p.Artifacts, set, other, rootSet.Flt)
			require.NoError(t, err)

			// What is locked stands at the manager, and only by the token's own rules.
			flt := bindings.NewDevFlt()
			out, err := r.client.CallContract(t.Context(), ethereum.CallMsg{To: &rootSet.Flt, Data: flt.PackBalanceOf(c.Manager)}, nil)
			require.NoError(t, err)
			locked, err := flt.UnpackBalanceOf(out)
			require.NoError(t, err)
			require.Zero(t, locked.Sign())
		})
	}
}

// TestAnAxelarDeploymentThatStopsAnywhereEndsInOneSet is stopped at each of its
// transactions, and each time goes on where it was.
func TestAnAxelarDeploymentThatStopsAnywhereEndsInOneSet(t *testing.T) {
	r := newRig(t, 1)
	env := r.env(t)
	p := axelarParams(t, deploy.GatewayLegacy, "filecoin", "Ethereum")
	before, err := r.client.PendingNonceAt(t.Context(), r.deployer.Address())
	require.NoError(t, err)
	var set deploy.AxelarSet
	// Each run ends at its first transaction, every other one with it sent and the
	// others just before.
	stopped := 0
	for sent := true; ; sent = !sent {
		ctx, cancel := context.WithCancel(t.Context())
		env.Backend = stopping{Backend: r.client, sent: sent, stop: cancel}
		set, err = deploy.Axelar(ctx, env, r.deployer, p)
		cancel()
		if err == nil {
			break
		}
		require.ErrorIs(t, err, context.Canceled)
		require.Less(t, stopped, 100, "no run goes on where the one before ended")
		stopped++
	}
	require.GreaterOrEqual(t, stopped, 18)
	after, err := r.client.PendingNonceAt(t.Context(), r.deployer.Address())
	require.NoError(t, err)
	require.EqualValues(t, 18, after-before, "each step once")
	code, err := r.client.CodeAt(t.Context(), set.Service, nil)
	require.NoError(t, err)
	require.NotEmpty(t, code)
}

// stopping is the chain of a deployer that is stopped at its first transaction.
type stopping struct {
	deploy.Backend
	sent bool
	stop func()
}

func (s stopping) SendTransaction(ctx context.Context, tx *types.Transaction) error {
	defer s.stop()
	if !s.sent {
		s.stop()
		return ctx.Err()
	}
	return s.Backend.SendTransaction(ctx, tx)
}

func TestAxelarParametersNameEveryComplaint(t *testing.T) {
	err := deploy.AxelarParams{Hub: "short", Signers: []deploy.Weighted{{}, {Address: common.Address{1}, Weight: 1}, {Address: common.Address{1}, Weight: 1}}, Threshold: 9}.Check()
	for _, complaint := range []string{"no artifacts", "neither legacy nor amplifier", "no name", "65 bytes", "weightless", "threshold"} {
		require.ErrorContains(t, err, complaint)
	}
	p := axelarParams(t, deploy.GatewayLegacy, "a", "a")
	require.ErrorContains(t, p.Check(), "trusts itself")
}

func TestWithoutThePublishedContractsOneIsToldWhatToDo(t *testing.T) {
	dir := t.TempDir()
	_, err := deploy.OpenArtifacts(dir)
	require.ErrorIs(t, err, deploy.ErrNoArtifacts)
	file := filepath.Join(dir, "interchain-token-service/artifacts/contracts/InterchainTokenService.sol/InterchainTokenService.json")
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	for content, complaint := range map[string]string{
		`{`: "does not decode", `{"abi":7}`: "does not decode", `{"abi":[]}`: "no code", `{"abi":[],"bytecode":"0x"}`: "no code",
	} {
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		_, err := deploy.OpenArtifacts(dir)
		require.ErrorIs(t, err, deploy.ErrNoArtifacts, content)
		require.ErrorContains(t, err, complaint, content)
	}
	t.Chdir(t.TempDir())
	_, err = deploy.OpenArtifacts("")
	require.True(t, errors.Is(err, deploy.ErrNoArtifacts) && strings.Contains(err.Error(), "make setup"), "%v", err)
}
