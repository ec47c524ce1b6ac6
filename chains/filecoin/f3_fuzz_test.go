package filecoin

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/filecoin-project/go-f3/certs"
	"github.com/stretchr/testify/require"
)

// realF3 are the first committee of a chain and the certificate of its tenth
// instance, which changes it, as JSON.
func realF3(t testing.TB) (table, certificate json.RawMessage) {
	t.Helper()
	root, err := lotus.Start(t.Context(), lotus.Config{ChainID: 1, Manual: true, F3: true, GenesisTime: uint64(time.Now().Add(-time.Hour).Unix())})
	require.NoError(t, err)
	defer func() { require.NoError(t, root.Close()) }()
	require.NoError(t, root.Mine(t.Context(), 20))
	node, err := rpc.DialContext(t.Context(), root.Node(0).HTTP())
	require.NoError(t, err)
	defer node.Close()
	require.NoError(t, node.CallContext(t.Context(), &table, "Filecoin.F3GetPowerTableByInstance", 9))
	require.NoError(t, node.CallContext(t.Context(), &certificate, "Filecoin.F3GetCertificate", 9))
	return table, certificate
}

// A certificate of anybody's making is refused, however it is malformed: the only one
// that is taken is the committee's.
func FuzzACertificateIsVerifiedOrRefused(f *testing.F) {
	table, certificate := realF3(f)
	power, err := decodeTable(table)
	require.NoError(f, err)
	id, err := certs.MakePowerTableCID(power)
	require.NoError(f, err)
	real, err := decodeCertificate(certificate)
	require.NoError(f, err)
	require.NotEmpty(f, real.PowerTableDelta)
	f.Add([]byte(certificate))
	for _, seed := range []string{
		``, `null`, `{}`, `{"ECChain":[]}`, `{"ECChain":[null]}`, `{"ECChain":[{"Key":[],"Commitments":""}]}`,
		`{"GPBFTInstance":9,"Signers":[0,18446744073709551615],"ECChain":[]}`, `{"GPBFTInstance":9,"Signers":[-1]}`,
		`{"GPBFTInstance":9,"PowerTableDelta":[{"ParticipantID":1,"PowerDelta":null}]}`,
	} {
		f.Add([]byte(seed))
	}
	for _, field := range []string{"Signers", "Signature", "SupplementalData", "PowerTableDelta", "ECChain"} {
		var parts map[string]json.RawMessage
		require.NoError(f, json.Unmarshal(certificate, &parts))
		for _, value := range []string{`null`, `[]`, `[0,3]`, `"AA=="`, `[2,9223372036854775807]`} {
			parts[field] = json.RawMessage(value)
			raw, err := json.Marshal(parts)
			require.NoError(f, err)
			f.Add(raw)
		}
	}
	follow, err := newFollower(&F3{Network: "devnet", First: 9, PowerTable: id.String()})
	require.NoError(f, err)
	follow.table = power
	f.Fuzz(func(t *testing.T, raw []byte) {
		steps, err := follow.verify(t.Context(), []json.RawMessage{raw}, 1<<40)
		if err != nil {
			require.Empty(t, steps)
			return
		}
		require.Len(t, steps, 1)
		require.True(t, steps[0].base.Equal(real.ECChain.Head()))
	})
}

func FuzzATableIsDecodedOrRefused(f *testing.F) {
	table, _ := realF3(f)
	f.Add([]byte(table))
	for _, seed := range []string{``, `null`, `[]`, `[null]`, `[{"ID":1,"Power":"0","PubKey":""}]`, `[{"ID":1,"Power":"-5"}]`, `[{"Power":"99999999999999999999"}]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		power, err := decodeTable(raw)
		if err != nil {
			require.ErrorIs(t, err, errCertificate)
			return
		}
		_, err = certs.MakePowerTableCID(power)
		_ = err // it may have none: then it is not the one that is trusted
	})
}

func TestAVersionIsReadStrictly(t *testing.T) {
	for version, knows := range map[string]bool{
		"1.34.0": true, "1.34.1": true, "1.34.1-rc2": true, "v1.35.0+mainnet": true, "2.0.0": true, "1.40.7-dev+2k": true,
		"1.34.0-rc1": false, "1.33.9": false, "0.99.0": false, "": false, "1": false, "1.35": false, "1.35.x": false, "1.-35.0": false, "1.35.0.1": false, "+1.35.0": false, "1.99999999999999999999.0": false,
	} {
		require.Equal(t, knows, knowsFinality(version), version)
	}
}
