package relayer_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/relayer"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the golden files")

// good is a file with nothing wrong in it.
const good = `
state: var/state
single_source: true
redis:
  url: redis://127.0.0.1:6379/1
  namespace: bridge-1
root:
  url: http://127.0.0.1:8545
  chain_id: 31415926
  finality: depth:20
  tick: 250ms
  accounts:
    - {keystore: keys/relayer.json, password_file: keys/password}
  fees: {max_fee_wei: 2_000_000_000, low_gas_wei: 123456789012345678901234567890}
subnets:
  - name: subnet
    deployment: deployment.json
    url_file: /secrets/url
    chain_id: 99
    start_block: 7
    accounts:
      - {keystore: /abs/relayer.json, password_file: keys/password}
`

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "causeway.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestTheDefaultsAreTheGoldenFile(t *testing.T) {
	cfg := relayer.Default()
	cfg.Subnets = []relayer.Subnet{{Name: "subnet", Chain: relayer.DefaultChain()}}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	require.NoError(t, enc.Encode(cfg))
	path := filepath.Join("testdata", "default.yaml")
	if *update {
		require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())

	back, err := relayer.Read(path)
	require.NoError(t, err)
	dir, err := filepath.Abs("testdata")
	require.NoError(t, err)
	cfg.State = filepath.Join(dir, "state")
	cfg.Root.Accounts, cfg.Subnets[0].Accounts = []relayer.Account{}, []relayer.Account{}
	require.Equal(t, cfg, back, "what is printed is read back the same")
}

func TestAFileIsReadOverTheDefaultsAndItsPathsAreItsFolders(t *testing.T) {
	path := write(t, good)
	cfg, err := relayer.Read(path)
	require.NoError(t, err)
	require.NoError(t, cfg.Check())
	dir := filepath.Dir(path)
	in := func(p string) string { return filepath.Join(dir, p) }
	require.Equal(t, in("var/state"), cfg.State)
	require.Equal(t, in("keys/relayer.json"), cfg.Root.Accounts[0].Keystore)
	require.Equal(t, in("keys/password"), cfg.Subnets[0].Accounts[0].PasswordFile)
	require.Equal(t, "/abs/relayer.json", cfg.Subnets[0].Accounts[0].Keystore)
	require.Equal(t, in("deployment.json"), cfg.Subnets[0].Deployment)
	require.Equal(t, "/secrets/url", cfg.Subnets[0].URLFile)
	require.Empty(t, cfg.Root.URLFile, "a path that is not given stays so")

	require.Equal(t, relayer.Duration(250*time.Millisecond), cfg.Root.Tick)
	require.Equal(t, "2000000000", cfg.Root.Fees.MaxFeeWei.String())
	low, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	require.Equal(t, low, cfg.Root.Fees.LowGasWei.Int)
	def := relayer.DefaultChain()
	require.Equal(t, def.Fees, cfg.Subnets[0].Fees, "a subnet begins at the defaults of a chain")
	require.Equal(t, def.Tick, cfg.Subnets[0].Tick)
	require.Equal(t, uint64(7), cfg.Subnets[0].StartBlock)
	require.Equal(t, def.Fees.MaxTipWei, cfg.Root.Fees.MaxTipWei, "what is not given keeps its default")
	require.Equal(t, relayer.Default().Work, cfg.Work)
}

func TestAnUnknownKeyIsAnErrorAtEveryDepth(t *testing.T) {
	for name, change := range map[string][2]string{
		"top":          {"state:", "sate: x\nstate:"},
		"redis":        {"  namespace:", "  name_space: x\n  namespace:"},
		"root":         {"  finality:", "  finalty: x\n  finality:"},
		"fees":         {"{max_fee_wei:", "{max_fe_wei: 1, max_fee_wei:"},
		"account":      {"- {keystore: keys", "- {pass: x, keystore: keys"},
		"subnet":       {"    start_block:", "    startblock: 7\n    start_block:"},
		"subnet deep":  {"- {keystore: /abs", "- {pass: x, keystore: /abs"},
		"subnet twice": {"    start_block:", "    chain_id: 8\n    start_block:"},
	} {
		require.Contains(t, good, change[0])
		_, err := relayer.Read(write(t, strings.Replace(good, change[0], change[1], 1)))
		require.Error(t, err, name)
	}
}

func TestAFileThatIsNoConfigurationSaysWhy(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "the file is empty",
		"# only a comment\n":                "the file is empty",
		"[1, 2]":                            "cannot unmarshal",
		"state: [":                          "yaml",
		good + "---\nstate: other\n":        "one document per file",
		"root: {tick: 5}":                   `"5" is no duration such as 500ms or 1m`,
		"root: {tick: fast}":                `"fast" is no duration`,
		"root: {fees: {max_fee_wei: 1e18}}": `"1e18" is no number of wei`,
		"root: {fees: {max_fee_wei: -1}}":   `"-1" is no number of wei`,
		"root: {fees: {max_fee_wei: 1.5}}":  `"1.5" is no number of wei`,
		"root: {fees: {max_fee_wei: ''}}":   "is no number of wei",
		"root: {chain_id: -1}":              "cannot unmarshal",
		fmt.Sprintf("root: {fees: {max_fee_wei: %s}}", new(big.Int).Lsh(big.NewInt(1), 256)): "is no number of wei",
		"subnets: [{name: a, tick: soon}]":                                                   `"soon" is no duration`,
	} {
		_, err := relayer.Read(write(t, text))
		require.ErrorContains(t, err, want, "%q", text)
	}
	_, err := relayer.Read(filepath.Join(t.TempDir(), "none.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = relayer.Read(write(t, "# "+strings.Repeat("x", 1<<20)))
	require.ErrorContains(t, err, "is larger than")
}

func TestEveryComplaintIsMadeAtOnce(t *testing.T) {
	cfg := relayer.Config{Subnets: []relayer.Subnet{{Name: "root"}, {Name: "a b", Chain: relayer.Chain{URL: "ftp://x", URLFile: "y", Accounts: []relayer.Account{{}}}}}}
	err := cfg.Check()
	require.Error(t, err)
	for _, want := range []string{
		"state: give a folder", "redis: give either url or url_file", "redis.namespace:", "root: give either url or url_file", "root.chain_id:", "root.finality:",
		"root.accounts: at least one", "root: tick and max_range", "root.fees:", "subnets[0].name: a unique name other than root", "subnets[0].deployment:",
		"subnets[0]: give either", "subnets[1].name:", "subnets[1]: give either url or url_file", "subnets[1].url: an http", "subnets[1].accounts[0]: keystore and password_file",
		"api.listen: host:port", "api.admin: host:port", "alerts.repeat:", "work: 1–256 workers", "single_source:",
	} {
		require.ErrorContains(t, err, want)
	}
	require.Equal(t, err.Error(), cfg.Check().Error(), "in the same order each time")
	require.ErrorContains(t, relayer.Config{}.Check(), "subnets: at least one is needed")
}

func TestEachBoundIsChecked(t *testing.T) {
	base, err := relayer.Read(write(t, good))
	require.NoError(t, err)
	for want, change := range map[string]func(*relayer.Config){
		"root.url: an http, https":        func(c *relayer.Config) { c.Root.URL = "localhost:8545" },
		"root.url: an http, https, ws":    func(c *relayer.Config) { c.Root.URL = "http://" },
		"root.finality: finalized, or":    func(c *relayer.Config) { c.Root.Finality = "latest" },
		"root.finality: finalized":        func(c *relayer.Config) { c.Root.Finality = "depth:" },
		"root: tick and":                  func(c *relayer.Config) { c.Root.Tick = -1 },
		"root: tick and max_range":        func(c *relayer.Config) { c.Root.MaxRange = 0 },
		"max_bytes 8 KiB–1 MiB":           func(c *relayer.Config) { c.Root.MaxBytes = 8<<10 - 1 },
		"max_count 1–1000":                func(c *relayer.Config) { c.Root.MaxCount = 1001 },
		"root.fees: max_fee_wei":          func(c *relayer.Config) { c.Root.Fees.MaxFeeWei = relayer.Wei{} },
		"root.fees: max_fee_wei, bump":    func(c *relayer.Config) { c.Root.Fees.BumpAfter = 0 },
		"root.fees: max_fee_wei, bump_a":  func(c *relayer.Config) { c.Root.Fees.MaxPending = 65 },
		"redis.namespace":                 func(c *relayer.Config) { c.Redis.Namespace = "a{b}" },
		"redis.namespace: 1":              func(c *relayer.Config) { c.Redis.Namespace = strings.Repeat("a", 65) },
		"subnets[0].name":                 func(c *relayer.Config) { c.Subnets[0].Name = "../../etc" },
		"subnets[1].name: a unique":       func(c *relayer.Config) { c.Subnets = append(c.Subnets, c.Subnets[0]) },
		"api.listen":                      func(c *relayer.Config) { c.API.Listen = "8480" },
		"work:":                           func(c *relayer.Config) { c.Work.Workers = 257 },
		"work: 1–256 workers, batch":      func(c *relayer.Config) { c.Work.Batch = 0 },
		"a lease of at least 1s":          func(c *relayer.Config) { c.Work.Lease = relayer.Duration(time.Millisecond) },
		"a positive idle and a lease of ": func(c *relayer.Config) { c.Work.Idle = 0 },
		"single_source":                   func(c *relayer.Config) { c.SingleSource = false },
	} {
		cfg := base
		cfg.Subnets = append([]relayer.Subnet(nil), base.Subnets...)
		change(&cfg)
		require.ErrorContains(t, cfg.Check(), want)
	}
}

func TestNoComplaintRepeatsASecret(t *testing.T) {
	secret := "hunter2"
	for _, text := range []string{
		strings.Replace(good, "redis://127.0.0.1:6379/1", "redis://user:"+secret+"@127.0.0.1:6379/1\n  url_file: x", 1),
		strings.Replace(good, "http://127.0.0.1:8545", "ftp://user:"+secret+"@127.0.0.1/"+secret, 1),
		strings.Replace(good, "http://127.0.0.1:8545", `"http://user:`+secret+`@127.0.0.1:%zz/"`, 1),
		strings.Replace(good, "redis:\n  url:", "redis: redis://:"+secret+"@x\nunused:\n  url:", 1),
	} {
		cfg, err := relayer.Read(write(t, text))
		if err == nil {
			err = cfg.Check()
		}
		require.Error(t, err)
		require.NotContains(t, err.Error(), secret)
	}
}

func TestAnEndpointMayBeInAFile(t *testing.T) {
	path := write(t, " https://node/key\n")
	url, err := relayer.Chain{URLFile: path}.Endpoint()
	require.NoError(t, err)
	require.Equal(t, "https://node/key", url)
	url, err = relayer.Chain{URL: "http://x"}.Endpoint()
	require.NoError(t, err)
	require.Equal(t, "http://x", url)
	_, err = relayer.Chain{URLFile: path + "x"}.Endpoint()
	require.ErrorIs(t, err, os.ErrNotExist)
}

func FuzzReadingAConfigurationNeverPanics(f *testing.F) {
	for _, s := range []string{good, "", "---", "a: &a [*a]", "subnets: [~]", "subnets: [{fees: ~, tick: ~}]", "root: {fees: {max_fee_wei: ~}}", "root: ~", "<<: {a: 1}", "work: {idle: ~}"} {
		f.Add(s)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(dir, "c.yaml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		if cfg, err := relayer.Read(path); err == nil {
			_ = cfg.Check()
			_, _ = yaml.Marshal(cfg)
		}
	})
}

// What is final on a Filecoin is what its depth says: a word that counts for nothing
// would be a promise.
func TestFinalityBesideALotusBlockIsAnError(t *testing.T) {
	lotus := func(finality string) relayer.Config {
		cfg, err := relayer.Read(write(t, strings.Replace(good, "  finality: depth:20\n", "  lotus: {depth: 900, behind: 2}\n"+finality, 1)))
		require.NoError(t, err)
		return cfg
	}
	cfg := lotus("")
	require.NoError(t, cfg.Check())
	require.Empty(t, cfg.Root.Finality)
	for _, finality := range []string{"finalized", "depth:20"} {
		require.ErrorContains(t, lotus("  finality: "+finality+"\n").Check(), "root.finality: beside lotus it would count for nothing")
	}
	cfg, err := relayer.Read(write(t, strings.Replace(good, "  finality: depth:20\n", "", 1)))
	require.NoError(t, err)
	require.Equal(t, "finalized", cfg.Root.Finality)
}
