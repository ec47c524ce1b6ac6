package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/agree"
	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/cmd/causeway/devnet"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/relayer/approve"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

// cli runs one command line with a home of its own.
func cli(t *testing.T, home string, args ...string) (out string, code int, err error) {
	t.Helper()
	root := newRoot()
	var stdout, stderr bytes.Buffer
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	if home != "" {
		args = append([]string{"--home", home}, args...)
	}
	root.SetArgs(args)
	err = root.ExecuteContext(t.Context())
	return stdout.String(), exitCode(err), err
}

const goodConfig = `
single_source: true
redis: {url: "redis://:hunter2@127.0.0.1:1/3", namespace: test}
root:
  url: http://user:hunter2@127.0.0.1:1/key/hunter2?token=hunter2
  chain_id: 1
  accounts: [{keystore: k, password_file: p}]
subnets:
  - name: subnet
    deployment: d.json
    url: ws://127.0.0.1:1
    chain_id: 2
    accounts: [{keystore: k, password_file: p}]
`

const twoSubnets = goodConfig + `
  - name: other
    deployment: e.json
    url: ws://127.0.0.1:1
    chain_id: 3
    accounts: [{keystore: k, password_file: p}]
`

// checked is an address with its checksum.
const checked = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"

// homeWith is a home with this configuration; none for "".
func homeWith(t *testing.T, config string) string {
	t.Helper()
	dir := t.TempDir()
	if config != "" {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "causeway.yaml"), []byte(config), 0o600))
	}
	return dir
}

func TestAWrongCommandLineExitsWith2AndSaysWhatToDo(t *testing.T) {
	id := "0x" + strings.Repeat("1", 64)
	key := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		line   string
		config string
		want   string
	}{
		{"nothing", "", `"nothing" is no command`},
		{"nothing", "", "see `causeway --help`"},
		{"statu", "", "did you mean status?"},
		{"queue retyr " + id, "", "did you mean retry?"},
		{"queue nothing", "", "see `causeway queue --help`"},
		{"lane nothing", "", "see `causeway lane --help`"},
		{"config nothing", "", "see `causeway config --help`"},
		{"credits nothing", "", "see `causeway credits --help`"},
		{"--nothing", "", "unknown flag: --nothing: see `causeway --help`"},
		{"queue ls --nothing", "", "see `causeway queue ls --help`"},
		{"version extra", "", "see `causeway version --help`"},
		{"status a b", "", "accepts at most 1 arg(s), received 2"},
		{"queue show", "", "accepts 1 arg(s), received 0: see `causeway queue show --help`"},
		{"queue retry", "", "accepts 1 arg(s)"},
		{"queue discard " + id, goodConfig, "--why is required"},
		{"queue discard " + id + " --why=", goodConfig, "--why is required"},
		{"queue ls --status nothing", goodConfig, "pending, done, refunded, credited or parked"},
		{"queue ls --limit 0", goodConfig, "--limit: at least 1"},
		{"queue ls --limit many", goodConfig, "invalid argument"},
		{"queue ls", "", "give --config or --home; `causeway deploy` writes one"},
		{"lane pause", "", "accepts 1 arg(s)"},
		{"lane ls", "", "give --config or --home"},
		{"run", "", "give --config or --home"},
		{"run --config " + key, "", "give --config or --home"},
		{"run", "state: [", "read configuration"},
		{"run", "unknown: 1", "field unknown not found"},
		{"run", "state: x", "subnets: at least one is needed"},
		{"run --log-level loud", goodConfig, "--log-level: debug, info, warn or error"},
		{"status --log-level loud", goodConfig, "--log-level: debug, info, warn or error"},
		{"version --log-level loud", "", "--log-level: debug, info, warn or error"},
		{"devnet --log-level loud", "", "--log-level: debug, info, warn or error"},
		{"devnet --home=", "", "--home: give a folder"},
		{"devnet --redis notaurl", "", "--redis: redis.url: redis://host:port/db"},
		{"devnet --redis redis://:hunter2@127.0.0.1:port/0", "", "--redis: redis.url"},
		{"devnet --report /nonexistent/folder/report.json", "", "--report: cannot write into /nonexistent/folder: no such file or directory"},
		{"devnet --report /tmp", "", "--report: /tmp is a folder"},
		{"devnet --plant nothing", "", "plant mint, release or message"},
		{"queue ls --route bogus", goodConfig, `--route: there is no "bogus", but usdc_deposit, usdc_withdraw, flt_deposit, flt_withdraw, flt_l1_deposit, flt_l1_withdraw, gmp_call_in, gmp_call_out, topdown, power, checkpoint, leg_in, leg_out`},
		{"lane pause ''", goodConfig, "give the name of a lane"},
		{"lane resume ''", goodConfig, "give the name of a lane"},
		{"status zz", goodConfig, `"zz" is no id or transaction hash (0x and 64 hex digits)`},
		{"status 0x" + strings.Repeat("g", 64), goodConfig, "is no id or transaction hash"},
		{"credits claim zz", goodConfig, `"zz" is no id or transaction hash`},
		{"credits claim " + id + " --to me", goodConfig, "--to: an address is 0x and 40 hex digits"},
		{"credits ls --subnet moon", goodConfig, `--subnet: there is no "moon", but subnet`},
		{"credits ls", twoSubnets, "there are 2 subnets: give --subnet subnet or other"},
		{"transfer flt --amount 1", twoSubnets, "there are 2 subnets: give --subnet subnet or other"},
		{"withdraw flt --amount 1 --subnet third", twoSubnets, `there is no "third", but subnet and other`},
		{"withdraw flt --amount 1 --subnet other", twoSubnets, "give --keystore and --password-file"},
		{"transfer flt --amount 1 --fallback " + checked, goodConfig, "--fallback is for the way to the root"},
		{"transfer flt --amount 1 --recipient " + strings.Replace(checked, "a", "A", 1), goodConfig, "has a wrong checksum"},
		{"withdraw flt --amount 1 --fallback " + strings.Replace(checked, "a", "A", 1), goodConfig, "--fallback: "},
		{"withdraw flt --amount 1 --recipient " + checked[2:], goodConfig, "--recipient: an address is 0x and 40 hex digits"},
		{"withdraw flt --amount 1 --recipient 0x" + strings.Repeat("0", 40), goodConfig, "the zero address is nobody's"},
		{"transfer flt --amount 1 --watch --timeout=-5s", goodConfig, "--timeout: more than nothing"},
		{"transfer flt --amount 1 --watch --timeout 0", goodConfig, "--timeout: more than nothing"},
		{"node", "", ""},
		{"signer", "", "--listen: signer address: unix:///path/of.sock, or https://host:port"},
		{"signer --listen https://127.0.0.1:0", "", "--listen: signer address"},
		{"signer --listen unix:///run/a.sock --consensus tcp://127.0.0.1:1", "", "--consensus: consensus signer address: unix:///path/of.sock"},
		{"signer --listen unix:///run/a.sock --consensus unix:///run/b.sock", "", "--chain-id: the subnet's"},
		{"rescan", "", "give --config or --home"},
		{"reconcile", "", "give --config or --home"},
		{"reconcile --resume", goodConfig, "--why is required with --resume"},
		{"reconcile --resume --why= ", goodConfig, "--why is required with --resume"},
		{"reconcile --why tired", goodConfig, "--why is the reason for --resume"},
		{"rescan --from 12", goodConfig, "--from: CHAIN=HEIGHT, such as root=1200"},
		{"rescan --from root=x", goodConfig, "--from: CHAIN=HEIGHT"},
		{"rescan --from root=-1", goodConfig, "--from: CHAIN=HEIGHT"},
		{"rescan --from =1", goodConfig, "--from: CHAIN=HEIGHT"},
		{"rescan --to root=99999999999999999999", goodConfig, "--to: CHAIN=HEIGHT"},
		{"rescan --url root=http://127.0.0.1:1", goodConfig, "--url is for --verify"},
		{"rescan --verify --url http://127.0.0.1:1/?key=secret", goodConfig, "--url: CHAIN=URL"},
		{"rescan --verify --url rot=http://127.0.0.1:1", goodConfig, `--url: there is no chain "rot"`},
		{"rescan --verify --accept-forgotten", goodConfig, "--verify writes nothing"},
		{"rescan --verify --accept-fork root", goodConfig, "--verify writes nothing"},
		{"rescan --accept-fork rot", goodConfig, `--accept-fork: there is no chain "rot", but root and subnet`},
		{"rescan --accept-fork=", goodConfig, `--accept-fork: there is no chain "", but root and subnet`},
		{"rescan --accept-fork root --from root=5", goodConfig, "leave --from and --to out"},
		{"queue quarantine --limit 0", goodConfig, "--limit: at least 1"},
		{"rescan --to rot=5", goodConfig, `--to: there is no chain "rot", but root and subnet`},
		{"devnet --redis redis://127.0.0.1:1/0 --allow-volatile-redis", "", "exclude each other: see `causeway devnet --help`"},
		{"devredis --port 65536", "", "--port: 0 to 65535"},
		{"transfer", "", "accepts 1 arg(s)"},
		{"transfer doge --amount 1", "", "is no token of this bridge: usdc or flt"},
		{"transfer usdc", "", "--amount is required"},
		{"transfer usdc --amount 1.0000001", "", "more than 6 decimal places"},
		{"transfer usdc --amount .", "", "is no amount such as 1.5"},
		{"transfer usdc --amount 0.0", "", "--amount: more than nothing"},
		{"transfer usdc --amount=-1", "", "--amount"},
		{"transfer flt --amount 1 --from subnet --to subnet", "", "there is no route"},
		{"transfer flt --amount 1 --from mars", "", "root or ethereum to subnet, or subnet to root or ethereum"},
		{"transfer flt --amount 1 --from ethereum --to root", "", "root or ethereum to subnet, or subnet to root or ethereum"},
		{"transfer usdc --amount 1 --from ethereum", "", "only FLT crosses to and from Ethereum"},
		{"transfer usdc --amount 1 --from subnet --to ethereum", "", "only FLT crosses to and from Ethereum"},
		{"transfer flt --amount 1 --from ethereum --fallback 0x00000000000000000000000000000000000000aa", "", "a deposit that fails goes back to its sender on Ethereum"},
		{"transfer flt --from ethereum --amount 0", "", "--amount: more than nothing"},
		{"transfer flt --from ethereum --amount=-1", "", "is no amount such as 1.5"},
		{"transfer flt --from ethereum --amount 1.0000000000000000001", "", "more than 18 decimal places"},
		{"transfer flt --from ethereum --amount 1" + strings.Repeat("0", 60), "", "amount must be a whole number of base units"},
		{"transfer flt --from ethereum --amount 1 --recipient 0x" + strings.Repeat("0", 40), "", "--recipient: the zero address is nobody's"},
		{"transfer flt --from ethereum --amount 1 --recipient 0x" + strings.Repeat("a", 38), "", "--recipient: an address is 0x and 40 hex digits"},
		{"transfer flt --from ethereum --amount 1 --recipient 0x" + strings.Repeat("a", 42), "", "--recipient: an address is 0x and 40 hex digits"},
		{"transfer flt --from ethereum --amount 1 --recipient 0x" + strings.Repeat("a", 64), "", "--recipient: an address is 0x and 40 hex digits"},
		{"transfer flt --from ethereum --amount 1 --recipient f410fabc", "", "--recipient: an address is 0x and 40 hex digits"},
		{"transfer flt --from subnet --to ethereum --amount 1 --recipient 0x" + strings.Repeat("0", 40), "", "--recipient: the zero address is nobody's"},
		{"transfer flt --from subnet --to ethereum --amount 1 --fallback 0x" + strings.Repeat("0", 40), "", "--fallback: the zero address is nobody's"},
		{"transfer flt --from Ethereum --amount 1", "", `there is no route from "Ethereum"`},
		{"devnet --axelar sideways", "", `--axelar: legacy, amplifier or none, not "sideways"`},
		{"devnet --axelar-artifacts /nowhere", "", "--axelar legacy: the Axelar contracts are not installed"},
		{"transfer flt --amount 1", "", "neither a running devnet nor a configuration: give --home"},
		{"transfer flt --amount 1", goodConfig, "give --keystore and --password-file"},
		{"transfer flt --amount 1 --keystore " + key + " --password-file " + key, goodConfig, "read keystore"},
		{"transfer flt --amount 1", "unknown: 1", "field unknown not found"},
		{"withdraw flt", "", "--amount is required"},
		{"withdraw usd --amount 1", "", "usdc or flt"},
		{"status", "", "give --home"},
		{"credits ls", "", "give --home"},
		{"credits claim", "", "accepts 1 arg(s)"},
		{"deploy", "", "--root-url, --keystore and --password-file are required"},
		{"deploy --root-url x --keystore k --password-file k --crossing f --flt " + checked, "", "--flt and --crossing exclude each other"},
		{"deploy --root-url x --keystore k --password-file k --ethereum-keystore k", "", "go with --crossing"},
		{"deploy --root-url x --keystore k --password-file k --crossing f --ethereum-keystore k", "", "go together"},
		{"deploy --root-url x --keystore k --password-file k --crossing nowhere.yaml", "", "nowhere.yaml: no such file"},
		{"deploy --root-url x --keystore " + key + " --password-file " + key, "", "read keystore"},
		{"config check", "", "give --config or --home"},
		{"config check", "state: ''", "state: give a folder"},
		{"config print", "state: ''", "root.chain_id"},
		{"devnet extra", "", "see `causeway devnet --help`"},
	} {
		t.Run(c.line, func(t *testing.T) {
			words := strings.Fields(c.line)
			for i, w := range words {
				words[i] = strings.ReplaceAll(w, "''", "")
			}
			_, code, err := cli(t, homeWith(t, c.config), words...)
			require.Error(t, err)
			require.Equal(t, exitUsage, code, err)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestAWholeNumberOfFLTIsWhole(t *testing.T) {
	for _, bad := range []string{"0", "-1", "1.5", "12abc", "1e3", " 1", "", "99999999999999999999"} {
		err := addPreFund(&globals{home: t.TempDir()}, nil, bad)
		require.ErrorContains(t, err, "--prefund: a whole number of FLT", bad)
		require.Equal(t, exitUsage, exitCode(err))
	}
}

func TestWhatCannotBeReachedExitsWith3(t *testing.T) {
	for _, line := range []string{"status", "status 0x" + strings.Repeat("1", 64)} {
		_, code, err := cli(t, homeWith(t, goodConfig+"api: {listen: '127.0.0.1:1', admin: '127.0.0.1:2'}\n"), strings.Fields(line)...)
		require.ErrorIs(t, err, chains.ErrUnavailable)
		require.ErrorContains(t, err, "is `causeway run` up?")
		require.Equal(t, exitUnavailable, code)
	}
	for err, want := range map[error]int{
		nil: 0, errors.New("x"): 1, usage("x"): 2, fmt.Errorf("y: %w", usage("x")): 2, fmt.Errorf("y: %w", chains.ErrUnavailable): 3,
		store.ErrDown: 3, store.ErrUnfit: 1, context.Canceled: 1,
	} {
		require.Equal(t, want, exitCode(err), "%v", err)
	}
}

func TestTheRelayersAnswersAreReadByTheirStatus(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		code   int
		want   string
	}{
		{404, `{"detail":"none"}`, exitFailed, "the relayer knows no such transfer"},
		{400, `{"detail":"an id is 0x and 64 hex digits"}`, exitFailed, "answered 400: an id is 0x"},
		{429, `{"detail":"slow down"}`, exitFailed, "slow down"},
		{503, `{"detail":"try again in a moment"}`, exitUnavailable, "answered 503: try again"},
		{502, `<html>`, exitUnavailable, "answered 502"},
		{200, `rubbish`, exitFailed, "invalid character"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		}))
		host := strings.TrimPrefix(s.URL, "http://")
		_, code, err := cli(t, homeWith(t, goodConfig+"api: {listen: '"+host+"', admin: '127.0.0.1:2'}\n"), "status", "0x"+strings.Repeat("1", 64))
		s.Close()
		require.ErrorContains(t, err, c.want)
		require.Equal(t, c.code, code)
	}
}

// every visits a command and all below it.
func every(c *cobra.Command, do func(*cobra.Command)) {
	do(c)
	for _, sub := range c.Commands() {
		every(sub, do)
	}
}

func TestEveryCommandHelps(t *testing.T) {
	count := 0
	every(newRoot(), func(c *cobra.Command) {
		count++
		path := strings.Fields(c.CommandPath())[1:]
		t.Run(c.CommandPath(), func(t *testing.T) {
			require.NotEmpty(t, c.Short, "a line that says what it does")
			require.False(t, strings.HasSuffix(c.Short, "."))
			out, code, err := cli(t, "", append(path, "--help")...)
			require.NoError(t, err)
			require.Equal(t, exitOK, code)
			require.Contains(t, out, "Usage:")
			require.Contains(t, out, "--json")
			for line := range strings.Lines(c.LocalFlags().FlagUsages()) {
				require.Regexp(t, `^ +(-\w, )?--[a-z0-9-]+( [a-z]+\S*)? {2,}\S`, line, "a flag without a word about it")
			}
			own := false // flags of one that runs by itself, though it has verbs
			c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) { own = own || f.Name != "help" })
			if c.HasSubCommands() && !own {
				out, code, err = cli(t, "", path...)
				require.NoError(t, err)
				require.Equal(t, exitOK, code)
				require.Contains(t, out, "Available Commands:")
			}
		})
	})
	require.Greater(t, count, 20)
}

func TestVersionTellsTheBuildAndTheCrashPoints(t *testing.T) {
	out, _, err := cli(t, "", "version")
	require.NoError(t, err)
	require.Regexp(t, `^causeway \S+ \(commit \S+, store schema \d+\)\n$`, out)

	out, _, err = cli(t, "", "--json", "version")
	require.NoError(t, err)
	var v struct {
		Version, Commit string
		Schema          int `json:"store_schema"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &v))
	require.Equal(t, store.Schema, v.Schema)
	require.NotEmpty(t, v.Version)

	out, _, err = cli(t, "", "version", "--crash-points")
	require.NoError(t, err)
	require.Equal(t, strings.Join(crash.Points(), "\n")+"\n", out)
	out, _, err = cli(t, "", "--json", "version", "--crash-points")
	require.NoError(t, err)
	var points []string
	require.NoError(t, json.Unmarshal([]byte(out), &points))
	require.Equal(t, crash.Points(), points)
	require.NotEmpty(t, points)
}

func TestAGoodConfigurationIsFineAndPrintedWithoutSecrets(t *testing.T) {
	home := homeWith(t, goodConfig)
	out, code, err := cli(t, home, "config", "check")
	require.NoError(t, err)
	require.Zero(t, code)
	require.Equal(t, "the configuration is fine\n", out)
	out, _, err = cli(t, home, "--json", "config", "check")
	require.NoError(t, err)
	require.JSONEq(t, `{"ok":true,"complaints":[]}`, out)

	text, _, err := cli(t, home, "config", "print")
	require.NoError(t, err)
	jsonText, _, err := cli(t, home, "--json", "config", "print")
	require.NoError(t, err)
	for _, out := range []string{text, jsonText} {
		require.NotContains(t, out, "hunter2")
		require.Contains(t, out, "redis://xxxxx@127.0.0.1:1/3", "the database stays")
		require.Contains(t, out, "http://xxxxx@127.0.0.1:1/xxxxx?xxxxx")
		require.Contains(t, out, "ws://127.0.0.1:1")
		require.Contains(t, out, "max_pending", "defaults are filled in")
	}
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(jsonText), &v))
	require.Equal(t, "30s", v["work"].(map[string]any)["lease"])

	// Given by its path it needs no home.
	_, code, err = cli(t, t.TempDir(), "config", "check", "--config", filepath.Join(home, "causeway.yaml"))
	require.NoError(t, err)
	require.Zero(t, code)
}

func TestABadConfigurationListsEveryComplaint(t *testing.T) {
	_, code, err := cli(t, homeWith(t, "root: {url: 'ftp://x:hunter2@y'}\nredis: {url: ''}\n"), "config", "check")
	require.Equal(t, exitUsage, code)
	for _, want := range []string{"redis: give either", "root.url:", "root.chain_id:", "subnets: at least one", "single_source:", "causeway.yaml"} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "hunter2")

	out, code, err := cli(t, homeWith(t, "state: ''\n"), "--json", "config", "check")
	require.Equal(t, exitUsage, code)
	require.Error(t, err)
	var v verdict
	require.NoError(t, json.Unmarshal([]byte(out), &v), out)
	require.False(t, v.OK)
	require.Contains(t, v.Complaints, "state: give a folder for what must survive on local disk")
	require.Greater(t, len(v.Complaints), 3)
}

func TestAnErrorIsJSONWhereJSONIsAskedFor(t *testing.T) {
	for line, want := range map[string]string{
		"queue ls --json":                   "json",
		"--json nothing":                    "json",
		"--nothing --json":                  "json", // the command line could not be read as a whole
		"queue ls --json=true":              "json",
		"queue ls --json --json=false":      "text",
		"queue ls -- --json":                "text",
		"queue ls":                          "text",
		"lane pause --json=1 a":             "json",
		"status --home /tmp --json=rubbish": "text",
	} {
		var b bytes.Buffer
		complain(&b, strings.Fields(line), fmt.Errorf("y: %w", usage("say \"what\" to do")))
		if want == "text" {
			require.Equal(t, "causeway: y: say \"what\" to do\n", b.String(), line)
			continue
		}
		require.JSONEq(t, `{"error":"y: say \"what\" to do","code":2}`, b.String(), line)
	}
}

func TestAnAddressInMixedCaseCarriesItsChecksum(t *testing.T) {
	for _, good := range []string{checked, strings.ToLower(checked), "0x" + strings.ToUpper(checked[2:])} {
		a, err := parseAddress("--to", good)
		require.NoError(t, err)
		require.Equal(t, checked, a.Hex())
	}
	for _, bad := range []string{strings.Replace(checked, "A", "a", 1), checked[:41] + "D", strings.Replace(checked, "5a", "5A", 1)} {
		_, err := parseAddress("--to", bad)
		require.ErrorContains(t, err, "--to: "+bad+" has a wrong checksum")
		require.Equal(t, exitUsage, exitCode(err))
	}
	for _, bad := range []string{"", "0x", checked[2:], checked + "0", checked[:41], "0x" + strings.Repeat("g", 40), "0X" + checked[2:] + " "} {
		_, err := parseAddress("--to", bad)
		require.ErrorContains(t, err, "an address is 0x and 40 hex digits", bad)
	}
}

func TestADevnetChecksItsFlagsBeforeItMakesAnything(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "home")
	began := time.Now()
	_, code, err := cli(t, dir, "devnet", "--redis", "redis://127.0.0.1:1/0")
	require.Equal(t, exitUnavailable, code, err)
	require.ErrorContains(t, err, "--redis: no answer within 5s")
	require.Less(t, time.Since(began), 15*time.Second)
	_, code, _ = cli(t, dir, "devnet", "--report", "/nonexistent/r.json")
	require.Equal(t, exitUsage, code)
	require.NoDirExists(t, dir)
	require.NoError(t, writable(filepath.Join(dir, "report.json"), dir), "the home is made later")
	require.Error(t, writable(filepath.Join(dir, "sub", "report.json"), dir))
}

func TestADevnetThatDoesNotStartReportsWhy(t *testing.T) {
	// A redis-server that is installed and does not work is not replaced by the
	// one in memory.
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "redis-server"), []byte("#!/bin/sh\nexit 1\n"), 0o700))
	t.Setenv("PATH", dir)
	report := filepath.Join(t.TempDir(), "report.json")
	_, code, err := cli(t, t.TempDir(), "devnet", "--once", "--report", report)
	require.Equal(t, exitFailed, code)
	require.ErrorContains(t, err, "redis-server --version")
	raw, err := os.ReadFile(report)
	require.NoError(t, err)
	var r devnet.Report
	require.NoError(t, json.Unmarshal(raw, &r))
	require.False(t, r.OK)
	require.Contains(t, r.Error, "redis-server --version")
	require.Contains(t, string(raw), `"transfers": []`)
}

func TestADevnetThatWasKilledSaysHowToGoOn(t *testing.T) {
	gone := exec.Command("true")
	require.NoError(t, gone.Run())
	home := homeWith(t, goodConfig)
	write := func(pid int) {
		raw, err := json.Marshal(devnet.Info{API: "http://127.0.0.1:1", Admin: "http://127.0.0.1:1", Pids: map[string]int{"devnet": pid}})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(home, "devnet.json"), raw, 0o600))
	}
	for _, pid := range []int{gone.Process.Pid, 0, -1} {
		write(pid)
		_, code, err := cli(t, home, "status")
		require.Equal(t, exitUnavailable, code)
		require.ErrorIs(t, err, devnet.ErrEnded)
		require.ErrorContains(t, err, "start it again with `causeway devnet --home "+home+"`")
		require.NotContains(t, err.Error(), "causeway run")
	}
	write(os.Getpid())
	_, _, err := cli(t, home, "status")
	require.ErrorIs(t, err, chains.ErrUnavailable, "it runs, and its API does not answer")
}

func TestWatchingEndsWithWhatTheTransferCameTo(t *testing.T) {
	require.NoError(t, ending(api.Transfer{Status: tokens.Done}))
	for status, want := range map[tokens.Status]string{
		tokens.Refunded: "was refunded to its sender (recipient_failed: the recipient refused the value)",
		tokens.Credited: "causeway credits claim 0x",
		tokens.Parked:   "is parked: it waits for an operator",
	} {
		err := ending(api.Transfer{Status: status, Reason: "recipient_failed"})
		require.ErrorContains(t, err, want)
		require.Equal(t, exitFailed, exitCode(err))
	}
}

func TestWatchingTellsATimeoutFromASilentRelayer(t *testing.T) {
	var reply atomic.Value
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch text := reply.Load().(string); text {
		case "hang":
			<-r.Context().Done()
		case "":
			w.WriteHeader(http.StatusNotFound)
		default:
			_, _ = w.Write([]byte(text))
		}
	}))
	defer s.Close()
	watch := func(ctx context.Context, base string) error {
		c := &cobra.Command{}
		c.SetErr(io.Discard)
		_, err := watchTransfer(ctx, c, &globals{}, base, common.Hash{1}, 300*time.Millisecond)
		return err
	}
	for text, want := range map[string]string{
		"hang":                                  "timeout: watched for 300ms; the relayer has not seen the transfer yet. It goes on by itself: causeway status 0x01",
		"":                                      "timeout: watched for 300ms; the relayer has not seen the transfer yet",
		`{"status":"pending","step":"deliver"}`: "timeout: watched for 300ms; the transfer is pending at step deliver",
	} {
		reply.Store(text)
		err := watch(t.Context(), s.URL)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "does not answer")
		require.Equal(t, exitFailed, exitCode(err))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorContains(t, watch(ctx, s.URL), "watching was interrupted")

	err := watch(t.Context(), "http://127.0.0.1:1")
	require.ErrorContains(t, err, "timeout: watched for 300ms")
	require.ErrorContains(t, err, "The transaction is in and the transfer goes on by itself")
	require.Equal(t, exitUnavailable, exitCode(err))
}

func TestCreditsAreTheAccountsOwnAndEachSumOnce(t *testing.T) {
	me, other, actor := common.Address{1}, common.Address{2}, common.Address{9}
	row := func(n byte, route string, change func(*api.Transfer)) api.Transfer {
		x := api.Transfer{ID: common.Hash{n}, Route: route, Sender: other, Recipient: other, Subnet: actor}
		change(&x)
		return x
	}
	mine := func(x *api.Transfer) { x.Sender = me }
	got := owned([]api.Transfer{
		row(1, "flt_deposit", mine), row(2, "flt_deposit", mine), row(3, "flt_deposit", func(x *api.Transfer) { x.Recipient = me }),
		row(4, "usdc_deposit", mine), row(5, "usdc_deposit", mine), row(6, "usdc_deposit", func(*api.Transfer) {}),
		row(7, "usdc_withdraw", func(x *api.Transfer) { x.Recipient = me }), row(8, "flt_withdraw", func(x *api.Transfer) { x.Fallback = &me }),
		row(9, "flt_withdraw", mine), row(10, "usdc_withdraw", func(x *api.Transfer) { x.Fallback = &other }),
		row(11, "usdc_deposit", func(x *api.Transfer) { x.Sender, x.Subnet = me, common.Address{8} }),
	}, me, actor)
	var ids []byte
	for _, x := range got {
		ids = append(ids, x.ID[0])
	}
	require.Equal(t, []byte{1, 4, 5, 7, 8}, ids)
}

func TestRedactHidesWhateverMayBeASecret(t *testing.T) {
	for raw, want := range map[string]string{
		"":                                 "",
		"http://127.0.0.1:8545":            "http://127.0.0.1:8545",
		"http://127.0.0.1:8545/":           "http://127.0.0.1:8545",
		"https://node/v1/hunter2":          "https://node/xxxxx",
		"https://node/?key=hunter2":        "https://node?xxxxx",
		"https://u:hunter2@node":           "https://xxxxx@node",
		"https://hunter2@node":             "https://xxxxx@node",
		"https://node/#hunter2":            "https://node",
		"redis://u:hunter2@h:6379/5":       "redis://xxxxx@h:6379/5",
		"rediss://:hunter2@h:6379/5?x=y":   "rediss://xxxxx@h:6379/5?xxxxx",
		"redis://h:6379/hunter2":           "redis://h:6379/xxxxx",
		"unix:///run/redis.sock?p=hunter2": "xxxxx",
		"redis://u:hunter%zz2@h/0":         "xxxxx",
		"redis:hunter2@h":                  "xxxxx",
		"hunter2":                          "xxxxx",
		"http://h:hunter2/":                "xxxxx",
		"://hunter2":                       "xxxxx",
	} {
		require.Equal(t, want, redact(raw), raw)
	}
}

func FuzzRedactNeverShowsAPassword(f *testing.F) {
	f.Add("redis", "user", "host:1", "/0", "a=b")
	f.Add("http", "", "[::1]:5", "/x", "")
	f.Add("", "@", "%", "?", "#")
	f.Fuzz(func(t *testing.T, scheme, user, host, path, query string) {
		const secret = "hunter2-hunter2"
		for _, s := range []string{scheme, user, host, path, query} {
			if strings.Contains(s, "hunter") {
				return
			}
		}
		require.NotContains(t, redact(scheme+"://"+user+":"+secret+"@"+host+path+"?"+query), secret)
	})
}

const approverConfig = `
redis: {url: "redis://127.0.0.1:1/3", namespace: test}
admin: 127.0.0.1:1
single_source: true
signer: {keystore: k, password_file: p}
chains:
  - {name: a, url: "http://127.0.0.1:1", chain_id: 1, gateway: "0x0000000000000000000000000000000000000001"}
  - {name: b, url: "http://127.0.0.1:1", chain_id: 2, gateway: "0x0000000000000000000000000000000000000002"}
signer_sets: [{signers: [{address: "0x0000000000000000000000000000000000000c01", weight: 1}], threshold: 1}]
`

func TestASignerSaysWhatIsWrongBeforeItStarts(t *testing.T) {
	home := t.TempDir()
	_, code, err := cli(t, home, "approver")
	require.Equal(t, exitUsage, code)
	require.ErrorContains(t, err, "give --config")
	file := filepath.Join(home, "approver.yaml")
	require.NoError(t, os.WriteFile(file, []byte(approverConfig+"more: 1\n"), 0o600))
	_, code, err = cli(t, home, "approver")
	require.Equal(t, exitUsage, code)
	require.ErrorContains(t, err, "field more not found")
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(approverConfig, "threshold: 1", "threshold: 2", 1)), 0o600))
	_, code, err = cli(t, home, "approver", "status")
	require.Equal(t, exitUsage, code)
	require.ErrorContains(t, err, "signer_sets[0]")
	require.NoError(t, os.WriteFile(file, []byte(approverConfig), 0o600))
	_, code, err = cli(t, home, "approver", "--config", file)
	require.Equal(t, exitUsage, code)
	require.ErrorContains(t, err, "keystore")
	_, code, err = cli(t, home, "approver", "sign")
	require.Equal(t, exitUsage, code)
	require.ErrorContains(t, err, "sign")

	// The set to rotate to is read before anything is asked.
	set := filepath.Join(home, "set.json")
	for text, say := range map[string]string{
		"":                              "unexpected end",
		`{"signers":[],"thresold":1}`:   "unknown field",
		`{"signers":[],"threshold":-1}`: "uint256",
	} {
		require.NoError(t, os.WriteFile(set, []byte(text), 0o600))
		_, code, err = cli(t, home, "approver", "rotate", "--to", set)
		require.Equal(t, exitUsage, code)
		require.ErrorContains(t, err, say)
	}
	_, code, err = cli(t, home, "approver", "rotate")
	require.Equal(t, exitUsage, code)
	require.ErrorContains(t, err, "--to")
	_, code, err = cli(t, home, "approver", "rotate", "--to", filepath.Join(home, "nothing"))
	require.Equal(t, exitUsage, code)
	require.ErrorContains(t, err, "no such file")
}

func TestAStoppedSignerShowsItsLedger(t *testing.T) {
	home := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(home, "approver.yaml"), []byte(approverConfig), 0o600))
	out, code, err := cli(t, home, "approver", "status")
	require.NoError(t, err)
	require.Zero(t, code)
	require.Contains(t, out, "has seen nothing yet")

	state := filepath.Join(home, "approver")
	require.NoError(t, os.Mkdir(state, 0o700))
	me := common.Address{0xab}
	l, err := approve.OpenLedger(state, me)
	require.NoError(t, err)
	_, err = l.Record([]approve.Call{{Chain: "a", Tx: common.Hash{1}, To: "b"}, {Chain: "a", Tx: common.Hash{2}, To: "b"}})
	require.NoError(t, err)
	require.NoError(t, l.Mark(approve.Signing{To: "b", Digest: common.Hash{3}, Calls: []int{1}, At: 1_700_000_000}))
	require.NoError(t, l.Move("a", chains.Cursor{Chain: 1, Next: 78}, common.Hash{}))
	require.NoError(t, l.Close())
	out, _, err = cli(t, home, "approver", "status")
	require.NoError(t, err)
	require.Contains(t, out, "not running\nledger of "+me.Hex()+": 4 lines, ")
	require.Contains(t, out, "chain a            read up to 77: 2 calls, 1 signed for\n")
	require.Contains(t, out, "2023-11-14T22:13:20Z signed 1 messages for b, digest "+common.Hash{3}.Hex())
	out, _, err = cli(t, home, "--json", "approver", "status")
	require.NoError(t, err)
	var v approverView
	require.NoError(t, json.Unmarshal([]byte(out), &v))
	require.False(t, v.Running)
	require.Equal(t, 4, v.Ledger.Lines)

	// While it runs, it says so itself.
	running := relayer.ApproverStatus{
		Signer: me, Version: "v", Ready: false, Believed: "single-source (a)", Parts: map[string]string{"chain/a": "down", "chain/b": ""}, Heads: map[string]uint64{"a": 9},
		Sources: map[string]*agree.Status{"a": {K: 1, Endpoints: []agree.EndpointStatus{{Name: "x", Height: 9, Differs: []agree.Difference{{What: "block 3", Said: "p", Others: "q"}}}, {Name: "y"}}}},
		Ledger:  *v.Ledger, Refused: []relayer.RefusedProposal{{Chain: "b", Digest: common.Hash{4}, Messages: 2, Reason: "unseen", Later: true, Why: "x"}, {Chain: "b", Rotation: true, Reason: "rotation"}},
	}
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(running) }))
	defer admin.Close()
	cfg := strings.Replace(approverConfig, "admin: 127.0.0.1:1", "admin: "+strings.TrimPrefix(admin.URL, "http://"), 1)
	require.NoError(t, os.WriteFile(filepath.Join(home, "approver.yaml"), []byte(cfg), 0o600))
	out, _, err = cli(t, home, "approver", "status")
	require.NoError(t, err)
	for _, say := range []string{
		"NOT READY, single-source (a)\n", "  chain/a: down\n", "final 9\n", "  endpoint x: final 9, 1 of 2 must agree\n", "DIFFERS about block 3: says p; others say q\n", "not yet: 2 messages for b", "refused: a rotation for b", "2 calls, 1 signed for",
	} {
		require.Contains(t, out, say)
	}
	require.NotContains(t, out, "chain/b")
}
