package lotus_test

import (
	"testing"

	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/filecoin-project/go-f3/blssig"
	"github.com/filecoin-project/go-f3/certs"
	"github.com/filecoin-project/go-f3/gpbft"
	"github.com/filecoin-project/lotus/api"
	"github.com/filecoin-project/lotus/chain/types"
	"github.com/stretchr/testify/require"
)

func TestCertificatesAreThoseOfARealCommittee(t *testing.T) {
	r := start(t, lotus.Config{F3: true, NullRate: 0.2})
	mine(t, r, 45)
	full := lotusClient(t, r.Node(0).HTTP())
	m, err := full.F3GetManifest(t.Context())
	require.NoError(t, err)
	require.NoError(t, m.Validate())
	table, err := full.F3GetPowerTableByInstance(t.Context(), 0)
	require.NoError(t, err)
	first, err := certs.MakePowerTableCID(table)
	require.NoError(t, err)
	require.Equal(t, m.InitialPowerTable, first)
	latest, err := full.F3GetLatestCertificate(t.Context())
	require.NoError(t, err)
	require.Greater(t, latest.GPBFTInstance, uint64(20))

	verifier := blssig.VerifierWithKeyOnG1()
	var base *gpbft.TipSet
	for i := range latest.GPBFTInstance + 1 {
		c, err := full.F3GetCertificate(t.Context(), i)
		require.NoError(t, err)
		var next uint64
		next, _, table, err = certs.ValidateFinalityCertificates(verifier, m.NetworkName, table, i, base, c)
		require.NoError(t, err)
		require.Equal(t, i+1, next)
		base = c.ECChain.Head()
	}
	now, err := full.F3GetF3PowerTable(t.Context(), types.EmptyTSK)
	require.NoError(t, err)
	require.True(t, table.Equal(now))
	ts, err := full.ChainGetTipSetByHeight(t.Context(), 45, types.EmptyTSK)
	require.NoError(t, err)
	require.LessOrEqual(t, base.Epoch, int64(ts.Height())-5)
	certified, err := types.TipSetKeyFromBytes(base.Key)
	require.NoError(t, err)
	known, err := full.ChainGetTipSet(t.Context(), certified)
	require.NoError(t, err)
	require.EqualValues(t, base.Epoch, known.Height())
	final, err := full.ChainGetFinalizedTipSet(t.Context())
	require.NoError(t, err)
	require.Equal(t, known.Key(), final.Key())
	require.ErrorIs(t, r.Reorg(t.Context(), 20), lotus.ErrCertified)

	// A forged one does not verify, an equivocation does.
	table, err = full.F3GetPowerTableByInstance(t.Context(), latest.GPBFTInstance)
	require.NoError(t, err)
	check := func() error {
		c, err := full.F3GetLatestCertificate(t.Context())
		require.NoError(t, err)
		_, _, _, err = certs.ValidateFinalityCertificates(verifier, m.NetworkName, table, c.GPBFTInstance, nil, c)
		return err
	}
	require.NoError(t, check())
	r.Node(0).Set(func(s *lotus.Switches) { s.F3Forge = true })
	require.ErrorContains(t, check(), "signature")
	r.Node(0).Set(func(s *lotus.Switches) { s.F3Forge, s.F3Equivocate = false, true })
	require.NoError(t, check())
	other, err := full.F3GetLatestCertificate(t.Context())
	require.NoError(t, err)
	require.Equal(t, base.Epoch, other.ECChain.Head().Epoch)
	require.NotEqual(t, base.Key, other.ECChain.Head().Key)
}

func TestF3StopsAndGoesOn(t *testing.T) {
	r := start(t, lotus.Config{})
	full := lotusClient(t, r.Node(0).HTTP())
	_, err := full.F3GetLatestCertificate(t.Context())
	require.ErrorIs(t, err, api.ErrF3Disabled)
	mine(t, r, 250)
	r.SetF3(true)
	mine(t, r, 1)
	require.EqualValues(t, 100, r.Certified(), "an instance has a bounded length")
	mine(t, r, 5)
	require.EqualValues(t, 251, r.Certified())
	r.SetF3(false)
	mine(t, r, 10)
	require.EqualValues(t, 251, r.Certified())
	running, err := full.F3IsRunning(t.Context())
	require.NoError(t, err)
	require.False(t, running)
	require.NoError(t, r.Reorg(t.Context(), 10))
}
