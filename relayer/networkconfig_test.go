package relayer_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/relayer"
	"github.com/stretchr/testify/require"
)

// awaits is a file in which Axelar approves.
const awaits = good + `
axelar:
  approvals: network
  network:
    patience: 45m
    chains:
      - name: filecoin
        gmp: {url: https://gmp.example, cert: tls/client.pem, key: tls/client.key, ca: tls/ca.pem}
        top_up: {after: 40m, wei: 1_000, daily_wei: 5_000}
`

func TestWhatIsSaidOfAxelarIsRead(t *testing.T) {
	path := write(t, awaits)
	cfg, err := relayer.Read(path)
	require.NoError(t, err)
	require.NoError(t, cfg.Check())
	n := cfg.Axelar.Network
	require.Equal(t, relayer.Duration(45*time.Minute), n.Patience)
	c := n.Chains[0]
	require.Equal(t, "filecoin", c.Name)
	require.Equal(t, filepath.Join(filepath.Dir(path), "tls/client.pem"), c.GMP.Cert)
	require.Equal(t, filepath.Join(filepath.Dir(path), "tls/client.key"), c.GMP.Key)
	require.Equal(t, filepath.Join(filepath.Dir(path), "tls/ca.pem"), c.GMP.CA)
	require.Equal(t, "1000", c.TopUp.Wei.String())

	// A URL in a file is looked at when it is read.
	cfg.Axelar.Network.Chains[0].GMP.URL, cfg.Axelar.Network.Chains[0].GMP.URLFile = "", "/secrets/gmp"
	require.NoError(t, cfg.Check())
}

func TestWhatCannotBeSaidOfAxelar(t *testing.T) {
	for want, change := range map[string][2]string{
		"axelar.approvals: quorum or network":                    {"approvals: network", "approvals: both"},
		"they are for approvals: network":                        {"approvals: network", "approvals: quorum"},
		"axelar.foreign":                                         {"approvals: network", "approvals: network\n  foreign: true"},
		"axelar.network.patience":                                {"patience: 45m", "patience: 0s"},
		"axelar.network.chains[0].name: the chain":               {"name: filecoin", "name: ''"},
		"axelar.network.chains[1].name":                          {"      - name: filecoin\n", "      - name: filecoin\n      - name: filecoin\n"},
		"axelar.network.chains[0].gmp: give either":              {"url: https://gmp.example,", "url: https://gmp.example, url_file: x,"},
		"axelar.network.chains[0].gmp: GMP API: url: plain http": {"https://gmp.example", "http://gmp.example"},
		"the service takes nobody without the client":            {"cert: tls/client.pem, key: tls/client.key,", ""},
		"axelar.network.chains[0].top_up.after: at least 10m0s":  {"after: 40m", "after: 9m59s"},
		"axelar.network.chains[0].top_up: wei":                   {"wei: 1_000,", "wei: 0,"},
		"top_up: wei positive, and daily_wei at":                 {"daily_wei: 5_000", "daily_wei: 999"},
		"top_up: wei positive, and daily_wei":                    {", daily_wei: 5_000", ""},
	} {
		require.Contains(t, awaits, change[0])
		cfg, err := relayer.Read(write(t, strings.Replace(awaits, change[0], change[1], 1)))
		require.NoError(t, err, want)
		err = cfg.Check()
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "gmp.example")
	}
	for _, key := range []string{"patience", "name", "gmp", "cert", "top_up", "after"} {
		_, err := relayer.Read(write(t, strings.Replace(awaits, key+":", key+"x:", 1)))
		require.Error(t, err, key)
	}
}
