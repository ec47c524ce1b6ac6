package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/cmd/causeway/wallet"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/relayer/audit"
	shared "github.com/causeway-bridge/causeway/test/rig"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// run runs a command against the rig's home and returns stdout and the exit
// code.
func (r *rig) run(args ...string) (stdout, stderr string, code int) {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), binary, append(args, "--home", string(r.dir))...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// ok runs a command that must succeed and decodes its JSON.
func (r *rig) ok(out any, args ...string) {
	r.t.Helper()
	stdout, stderr, code := r.run(append(args, "--json")...)
	require.Zero(r.t, code, "causeway %s: %s%s", strings.Join(args, " "), stdout, stderr)
	require.NoError(r.t, json.Unmarshal([]byte(stdout), out), "%s", stdout)
}

// TestANewcomersCommandsWorkAgainstADevnet follows the README: transfer,
// withdraw, status, credits, queue, lane, rescan, with no flag but --home.
func TestANewcomersCommandsWorkAgainstADevnet(t *testing.T) {
	t.Parallel()
	r := start(t)
	type sent struct {
		Route    string        `json:"route"`
		Tx       common.Hash   `json:"tx"`
		Transfer *api.Transfer `json:"transfer"`
	}

	// In, and wait for it.
	var in sent
	r.ok(&in, "transfer", "usdc", "--amount", "25.5", "--watch")
	require.Equal(t, "usdc_deposit", in.Route)
	require.Equal(t, tokens.Done, in.Transfer.Status)
	require.Equal(t, "25500000", in.Transfer.Amount.String())
	require.Len(t, in.Transfer.Steps, 2)
	r.ok(&in, "transfer", "flt", "--from", "root", "--to", "subnet", "--amount", "2", "--watch")
	require.Equal(t, "flt_deposit", in.Route)

	// Out: one that arrives, and one to an address that the token refuses.
	victim := common.HexToAddress("0x00000000000000000000000000000000b10cced2")
	owner, err := r.dir.Key("deployer", 4096)
	require.NoError(t, err)
	deployer, err := wallet.Open(t.Context(), wallet.RootOf(r.net.Dep, r.net.Info.RootURL), owner)
	require.NoError(t, err)
	defer deployer.Close()
	tx, err := deployer.Send(t.Context(), r.net.Dep.Root.Usdc, bindings.NewDevUsdc().PackSetBlocked(victim, true), nil)
	require.NoError(t, err)
	_, err = deployer.Wait(t.Context(), tx)
	require.NoError(t, err)
	var out, refused sent
	r.ok(&refused, "withdraw", "usdc", "--amount", "3", "--recipient", victim.Hex())
	r.ok(&out, "withdraw", "flt", "--amount", "1", "--watch")
	require.Equal(t, tokens.Done, out.Transfer.Status)

	// Where is it? By transaction hash and by id, as text and as JSON.
	var st api.Transfer
	r.ok(&st, "status", refused.Tx.Hex())
	require.Equal(t, "usdc_withdraw", st.Route)
	deadline := time.Now().Add(90 * time.Second)
	for !st.Status.Terminal() && time.Now().Before(deadline) {
		shared.Pause(t.Context(), 500*time.Millisecond)
		r.ok(&st, "status", st.ID.Hex())
	}
	require.Equal(t, tokens.Credited, st.Status)
	require.Equal(t, "payout_refused", st.Reason)
	text, _, code := r.run("status")
	require.Zero(t, code)
	require.Contains(t, text, "single-source")

	// The credit is listed, pulled once, and gone.
	var credits []struct {
		Transfer common.Hash   `json:"transfer"`
		Amount   tokens.Amount `json:"amount"`
	}
	r.ok(&credits, "credits", "ls")
	require.Len(t, credits, 1)
	require.Equal(t, "3000000", credits[0].Amount.String())
	before := r.usdc()
	var answer map[string]any
	r.ok(&answer, "credits", "claim", credits[0].Transfer.Hex())
	require.Equal(t, big.NewInt(3_000_000), new(big.Int).Sub(r.usdc(), before))
	r.ok(&credits, "credits", "ls")
	require.Empty(t, credits)
	_, stderr, code := r.run("credits", "claim", st.ID.Hex())
	require.Equal(t, 1, code, "a credit is pulled once")
	require.Equal(t, 1, strings.Count(stderr, "reverted: "), "the cause is said once: %s", stderr)
	require.NotContains(t, stderr, "[[")

	// Watched to a bad end, it says so.
	stdout, stderr, code := r.run("withdraw", "usdc", "--amount", "3", "--recipient", victim.Hex(), "--fallback", r.b.Root.Address.Hex(), "--watch", "--json")
	require.Equal(t, 1, code, "%s%s", stdout, stderr)
	var failure struct {
		Error string `json:"error"`
		Code  int    `json:"code"`
	}
	require.NoError(t, json.Unmarshal([]byte(stderr), &failure), "%s", stderr)
	require.Equal(t, 1, failure.Code)
	require.Contains(t, failure.Error, "waits to be claimed: causeway credits claim 0x")
	require.NoError(t, json.Unmarshal([]byte(stdout), &out), "%s", stdout)
	require.Equal(t, tokens.Credited, out.Transfer.Status)
	require.Equal(t, r.b.Root.Address, *out.Transfer.Fallback)
	r.ok(&answer, "credits", "claim", out.Transfer.ID.Hex())

	// Operators.
	var rows []map[string]any
	r.ok(&rows, "queue", "ls")
	require.Len(t, rows, 5)
	r.ok(&rows, "queue", "ls", "--all", "--limit", "500")
	require.Greater(t, len(rows), 6)
	r.ok(&rows, "queue", "show", st.ID.Hex())
	require.Len(t, rows, 1)
	_, stderr, code = r.run("queue", "retry", st.ID.Hex())
	require.NotZero(t, code, "only parked transfers are retried")
	require.Contains(t, stderr, "not parked")

	lane := "topdown/" + r.net.Dep.Root.Actor.Hex()
	r.ok(&answer, "lane", "pause", lane)
	var held sent
	r.ok(&held, "transfer", "usdc", "--amount", "1")
	shared.Pause(t.Context(), 8*time.Second)
	r.ok(&st, "status", held.Tx.Hex())
	require.Equal(t, tokens.Pending, st.Status, "nothing is delivered while the lane is paused")
	r.ok(&answer, "lane", "resume", lane)

	// A timeout is called one.
	stdout, stderr, code = r.run("transfer", "usdc", "--amount", "1", "--watch", "--timeout", "1ms")
	require.Equal(t, 1, code, "%s%s", stdout, stderr)
	require.Contains(t, stderr, "timeout: watched for 1ms")
	require.Contains(t, stderr, "goes on by itself")
	require.NotContains(t, stderr, "does not answer")
	require.Contains(t, stdout, "sent in transaction 0x")

	// A rescan beside the relayer finds that nothing is missing.
	// It may be quicker with the newest events than the relayer, once.
	var scanned []relayer.RescanResult
	for range 5 {
		scanned = nil
		r.ok(&scanned, "rescan")
		require.Len(t, scanned, 2)
		if scanned[0].Created+scanned[0].Advanced+scanned[1].Created+scanned[1].Advanced == 0 {
			break
		}
		shared.Pause(t.Context(), time.Second)
	}
	for _, s := range scanned {
		require.Zero(t, s.Created, "%+v", s)
		require.Zero(t, s.Advanced, "%+v", s)
		require.NotZero(t, s.Events, "%+v", s)
	}
	for !st.Status.Terminal() && time.Now().Before(deadline.Add(time.Minute)) {
		shared.Pause(t.Context(), 500*time.Millisecond)
		r.ok(&st, "status", held.Tx.Hex())
	}
	require.Equal(t, tokens.Done, st.Status)

	// A second reading, from receipts alone, finds what the journal has.
	var verified []relayer.Verified
	r.ok(&verified, "rescan", "--verify")
	require.Len(t, verified, 2)
	for _, v := range verified {
		require.NotZero(t, v.Facts, "%+v", v)
		require.True(t, v.Configured)
	}
	r.ok(&verified, "rescan", "--verify", "--url", "root="+r.net.Info.RootAlso[0], "--to", "root="+strconv.FormatUint(verified[0].To, 10))
	require.Len(t, verified, 1)
	require.False(t, verified[0].Configured)
	require.NotZero(t, verified[0].Transfers)

	r.reconciles(st.ID)
	r.refusals()
	r.listeners()
	r.sound()
}

// reconciles compares journal and chains: they agree, until a transfer is lost
// from the one, which is said, mended on demand, and then agrees again.
func (r *rig) reconciles(lost common.Hash) {
	reconcile := func(code int, args ...string) audit.Reconciliation {
		r.t.Helper()
		stdout, stderr, got := r.run(append(append([]string{"reconcile"}, args...), "--json")...)
		require.Equal(r.t, code, got, "%s%s", stdout, stderr)
		var all []audit.Reconciliation
		require.NoError(r.t, json.Unmarshal([]byte(stdout), &all), "%s", stdout)
		require.Len(r.t, all, 1)
		return all[0]
	}
	now := reconcile(0)
	require.True(r.t, now.OK)
	require.Greater(r.t, now.Compared, 10)

	options, err := redis.ParseURL(r.net.Info.RedisURL)
	require.NoError(r.t, err)
	db := redis.NewClient(options)
	defer db.Close()
	for _, key := range []string{"jobs", "transfers", "plans", "ledger"} {
		require.NoError(r.t, db.HDel(r.t.Context(), "{causeway}:"+key, lost.Hex()).Err())
	}
	now = reconcile(1)
	require.False(r.t, now.OK)
	require.Equal(r.t, map[string]int{audit.Missing: 1}, now.Counts)
	require.Equal(r.t, lost, now.Differences[0].ID)
	text, stderr, code := r.run("reconcile")
	require.Equal(r.t, 1, code)
	require.Contains(r.t, text, "causeway rescan")
	require.Contains(r.t, stderr, "do not agree")

	require.True(r.t, reconcile(0, "--repair").OK)
	require.True(r.t, reconcile(0).OK)
	var st api.Transfer
	r.ok(&st, "status", lost.Hex())
	require.Equal(r.t, tokens.Done, st.Status)
}

func (r *rig) usdc() *big.Int {
	r.t.Helper()
	raw, err := r.b.Root.Client().CallContract(r.t.Context(), callMsg(r.net.Dep.Root.Usdc, bindings.NewDevUsdc().PackBalanceOf(r.b.Root.Address)), nil)
	require.NoError(r.t, err)
	return new(big.Int).SetBytes(raw)
}

// refusals are mistakes: each says what to do, and sends nothing.
func (r *rig) refusals() {
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"transfer", "usdc"}, 2, "--amount is required"},
		{[]string{"transfer", "doge", "--amount", "1"}, 2, "usdc or flt"},
		{[]string{"transfer", "usdc", "--amount", "-1"}, 2, "no amount"},
		{[]string{"transfer", "usdc", "--amount", "0.0000001"}, 2, "decimal places"},
		{[]string{"transfer", "usdc", "--amount", "0"}, 2, "more than nothing"},
		{[]string{"transfer", "usdc", "--amount", "99999999999"}, 1, "is needed"},
		{[]string{"transfer", "usdc", "--amount", "3000000"}, 1, "refuses it"}, // above the controller's maximum
		{[]string{"transfer", "flt", "--amount", "0.0001"}, 1, "refuses it"},   // below the gateway's minimum
		{[]string{"transfer", "usdc", "--amount", "1", "--recipient", "0x0000000000000000000000000000000000000000"}, 2, "nobody's"},
		{[]string{"transfer", "usdc", "--amount", "1", "--recipient", "0xff00000000000000000000000000000000000064"}, 1, "refuses it"},
		{[]string{"transfer", "usdc", "--amount", "1", "--recipient", "me"}, 2, "40 hex digits"},
		{[]string{"withdraw", "usdc", "--amount", "5000000"}, 1, "refuses it"},
		{[]string{"withdraw", "flt", "--amount", "1", "--recipient", r.net.Dep.Root.FastWithdrawals.Hex()}, 1, "InvalidRecipient"},
		{[]string{"transfer", "usdc", "--amount", "1", "--from", "root", "--to", "mars"}, 2, "no route"},
		{[]string{"transfer", "usdc", "--amount", "1", "--recipient", r.net.Info.User.Hex()[:41] + "g"}, 2, "40 hex digits"},
		{[]string{"transfer", "usdc", "--amount", "1", "--watch", "--timeout=-5s"}, 2, "--timeout"},
		{[]string{"transfer", "usdc", "--amount", "1", "--subnet", "moon"}, 2, `there is no "moon", but subnet`},
		{[]string{"status", "0x1234"}, 2, "64 hex digits"},
		{[]string{"lane", "pause", "nope"}, 2, "causeway lane ls"},
		{[]string{"lane", "resume", "nope2"}, 2, "causeway lane ls"},
		{[]string{"lane", "resume", "power/" + r.net.Dep.Root.Actor.Hex()}, 1, "is not paused"},
		{[]string{"status", "0x" + strings.Repeat("ab", 32)}, 1, "no such transfer"},
		{[]string{"queue", "ls", "--status", "lost"}, 2, "--status"},
		{[]string{"queue", "discard", "0x" + strings.Repeat("ab", 32)}, 2, "--why"},
		{[]string{"rescan", "--from", "root"}, 2, "--from"},
		{[]string{"run", "--config", filepath.Join(string(r.dir), "nothing.yaml")}, 2, "nothing.yaml"},
	} {
		_, stderr, code := r.run(c.args...)
		require.Equal(r.t, c.code, code, "causeway %s: %s", strings.Join(c.args, " "), stderr)
		require.Contains(r.t, stderr, c.says, "causeway %s", strings.Join(c.args, " "))
	}
}

// listeners are apart: users reach no metrics, and health says so.
func (r *rig) listeners() {
	get := func(url string) (int, string) {
		res, err := http.Get(url)
		require.NoError(r.t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(r.t, err)
		return res.StatusCode, string(body)
	}
	for _, path := range []string{"/metrics", "/livez", "/debug/pprof/"} {
		code, _ := get(r.net.Info.API + path)
		require.Equal(r.t, http.StatusNotFound, code, path)
		code, _ = get(r.net.Info.Admin + path)
		require.Equal(r.t, http.StatusOK, code, path)
	}
	// What users see says nothing of machines and accounts.
	code, body := get(r.net.Info.API + "/v1/status")
	require.Equal(r.t, http.StatusOK, code, body)
	host, err := os.Hostname()
	require.NoError(r.t, err)
	for _, private := range []string{host, fmt.Sprint(r.net.Info.Pids["relayer"]), "account", "balance", "nonce", "alert", "lane"} {
		require.NotContains(r.t, body, `"`+private, "%s", body)
	}
	var users relayer.PublicStatus
	require.NoError(r.t, json.Unmarshal([]byte(body), &users))
	require.Equal(r.t, []string{"root", "subnet"}, []string{users.Chains[0].Name, users.Chains[1].Name})
	var full relayer.Status
	r.ok(&full, "status")
	require.NotEmpty(r.t, full.Instance)
	require.NotEmpty(r.t, full.Chains[0].Accounts)
	require.Equal(r.t, []string{"root", "subnet"}, []string{full.Chains[0].Name, full.Chains[1].Name})
	code, body = get(r.net.Info.Admin + "/readyz")
	require.Equal(r.t, http.StatusOK, code, body)
	_, metrics := get(r.net.Info.Admin + "/metrics")
	for _, name := range []string{"causeway_jobs_ingested_total", "causeway_cursor_height", "causeway_transfers", "causeway_redis_durability_ok 1", "causeway_tx_total"} {
		require.Contains(r.t, metrics, name)
	}
}

// TestWhatACommandCannotReachIsSaid has no devnet at all.
func TestWhatACommandCannotReachIsSaid(t *testing.T) {
	empty := t.TempDir()
	for _, args := range [][]string{{"status"}, {"transfer", "usdc", "--amount", "1"}, {"queue", "ls"}, {"config", "check"}} {
		cmd := exec.CommandContext(t.Context(), binary, append(args, "--home", empty)...)
		out, err := cmd.CombinedOutput()
		require.Error(t, err)
		require.Equal(t, 2, cmd.ProcessState.ExitCode(), "%v: %s", args, out)
		require.Contains(t, string(out), empty)
	}
	require.NoError(t, os.RemoveAll(empty))
}
