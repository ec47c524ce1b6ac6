package deploy

import (
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheDefaultSettingsAreTheDevnets(t *testing.T) {
	require.NoError(t, Default().Check())
	got, err := json.MarshalIndent(Default(), "", "  ")
	require.NoError(t, err)
	want, err := os.ReadFile(filepath.Join("testdata", "settings.golden.json"))
	require.NoError(t, err)
	require.Equal(t, string(want), string(got)+"\n")
	var back Settings
	require.NoError(t, decodeStrict(want, &back))
	require.Equal(t, Default(), back)
}

func TestSettingsNameEveryComplaint(t *testing.T) {
	for complaint, change := range map[string]func(*Settings){
		"message gas":         func(s *Settings) { s.RootMessageGas = 0 },
		"FLT deposits":        func(s *Settings) { s.FltFundMin = Units{} },
		"FLT withdrawals":     func(s *Settings) { s.FltWithdrawMax = Units{} },
		"USDC deposits":       func(s *Settings) { s.UsdcDepositMin = NewUnits(big.NewInt(3e12)) },
		"USDC withdrawals":    func(s *Settings) { s.UsdcWithdrawMin = Units{} },
		"mint cap":            func(s *Settings) { s.UsdcMintCap = Units{} },
		"silence":             func(s *Settings) { s.MaxSilence = 3599 },
		"recovery delay":      func(s *Settings) { s.RecoveryDelay = 0 },
		"collateral":          func(s *Settings) { s.MinActivationCollateral = Units{} },
		"minimal validators":  func(s *Settings) { s.MinValidators = 101 },
		"active limit":        func(s *Settings) { s.ActiveLimit = 101 },
		"checkpoint period":   func(s *Settings) { s.CheckPeriod = 0 },
		"majority":            func(s *Settings) { s.Majority = 66 },
		"power scale":         func(s *Settings) { s.PowerScale = 19 },
		"messages per period": func(s *Settings) { s.MaxMsgsPerPeriod = 0 },
		"treasury": func(s *Settings) {
			s.Treasury = NewUnits(new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 100), big.NewInt(1)))
		},
		"hold one message":    func(s *Settings) { s.SubnetGasLimit = 900_000 },
		"base fee":            func(s *Settings) { s.SubnetBaseFee = Units{} },
		"replica has no name": func(s *Settings) { s.ReplicaName = "" },
	} {
		s := Default()
		change(&s)
		require.ErrorContains(t, s.Check(), complaint)
	}
}

func TestUnitsAreCanonicalDecimalStrings(t *testing.T) {
	var u Units
	require.NoError(t, json.Unmarshal([]byte(`"115792089237316195423570985008687907853269984665640564039457584007913129639935"`), &u))
	for _, bad := range []string{`1`, `"01"`, `"-1"`, `"1.0"`, `""`, `"0x1"`, `"+1"`, `" 1"`, `null`, `"115792089237316195423570985008687907853269984665640564039457584007913129639936"`} {
		require.Error(t, json.Unmarshal([]byte(bad), &u), bad)
	}
	require.Equal(t, "0", Units{}.String())
	u.Int().SetInt64(5)
	require.Equal(t, 256, u.Int().BitLen(), "the amount cannot be changed through Int")
}

func FuzzDecodeDeployment(f *testing.F) {
	f.Add([]byte(`{"version":1,"abi_generation":"C"}`))
	f.Add([]byte(`{"version":1,"bootstrap":{"balances":[{"amount":"1"}]}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := DecodeDeployment(raw)
		if err == nil {
			require.NoError(t, d.Check())
		}
	})
}

func FuzzAStateFileIsReadOrRefused(f *testing.F) {
	f.Add([]byte(`{"version":1,"chain_id":1,"genesis_hash":"0x0000000000000000000000000000000000000000000000000000000000000000","start_block":0,"txs":[]}`))
	f.Add([]byte(`{"version":1,"chain_id":1,"txs":[{"name":"a","raw":"0x02c0"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		j := &journal{chainID: big.NewInt(1), file: journalFile{ChainID: 1}}
		j.env.StateFile = filepath.Join(t.TempDir(), "state")
		require.NoError(t, os.WriteFile(j.env.StateFile, raw, 0o600))
		if j.load() != nil {
			require.Empty(t, j.file.Txs, "a refused file leaves nothing behind")
		}
	})
}

func TestALockedStateFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(path)
	require.NoError(t, err)
	_, err = lock(path)
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, unlock())
	unlock, err = lock(path)
	require.NoError(t, err)
	require.NoError(t, unlock())
}
