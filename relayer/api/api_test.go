package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files")

// ledger is a journal in memory. Lookup knows origin transactions and refs, of
// hidden transfers too, as the real one does.
type ledger struct {
	jobs   []store.Job
	err    error
	filter store.Filter // of the last List
	next   string
	asked  int
}

func (l *ledger) Get(_ context.Context, id common.Hash) (store.Job, bool, error) {
	l.asked++
	for _, j := range l.jobs {
		if j.Transfer.ID == id {
			return j, l.err == nil, l.err
		}
	}
	return store.Job{}, false, l.err
}

func (l *ledger) Lookup(_ context.Context, text string) (ids []common.Hash, err error) {
	l.asked++
	for _, j := range l.jobs {
		if h := common.HexToHash(text); j.Transfer.Origin.Tx == h || j.Transfer.Ref == h {
			ids = append(ids, j.Transfer.ID)
		}
	}
	return ids, l.err
}

func (l *ledger) List(_ context.Context, f store.Filter) (out []store.Job, next string, err error) {
	l.asked++
	l.filter = f
	for _, j := range l.jobs {
		if f.Hidden || !j.Transfer.Hidden {
			out = append(out, j)
		}
	}
	return out, l.next, l.err
}

func hash(n int64) common.Hash    { return common.BigToHash(big.NewInt(n)) }
func addr(n int64) common.Address { return common.BigToAddress(big.NewInt(n)) }

func job(id int64, route string, hidden bool) store.Job {
	return store.Job{
		Transfer: tokens.Transfer{
			ID: hash(id), Route: route, Sender: addr(0xa1), Recipient: addr(0xb2), Amount: tokens.MustUnits(big.NewInt(1_500_000)),
			Nonce: uint64(id), Ref: hash(id + 1000), Origin: chains.EventID{Chain: 1, Tx: hash(id + 2000)}, Height: 42, At: 1_700_000_000, Hidden: hidden,
		},
		Status: tokens.Pending, Step: "deliver",
	}
}

func get(t *testing.T, h http.Handler, method, target, peer string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	if peer != "" {
		r.RemoteAddr = peer
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func users(l *ledger) http.Handler {
	return api.New(api.Config{DB: l, Status: func(context.Context) any { return map[string]bool{"ready": true} }, Log: slog.New(slog.DiscardHandler)})
}

type problem struct {
	Type, Title, Code, Detail string
	Status                    int
}

func requireProblem(t *testing.T, res *http.Response, status int, code string) problem {
	t.Helper()
	require.Equal(t, status, res.StatusCode)
	require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"))
	require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
	var p problem
	dec := json.NewDecoder(res.Body)
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(&p))
	require.Equal(t, problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: p.Detail}, p)
	return p
}

type page struct {
	Transfers []api.Transfer `json:"transfers"`
	Next      string         `json:"next"`
}

func requirePage(t *testing.T, res *http.Response) page {
	t.Helper()
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "application/json", res.Header.Get("Content-Type"))
	require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
	var p page
	require.NoError(t, json.NewDecoder(res.Body).Decode(&p))
	return p
}

func TestEveryWrongRequestIsAProblemThatSaysWhatToDo(t *testing.T) {
	long := strings.Repeat("a", 2000)
	for _, c := range []struct {
		method, target string
		status         int
		code           string
	}{
		{"GET", "/", 404, "not_found"},
		{"GET", "/v1", 404, "not_found"},
		{"GET", "/v1/transfers/", 404, "not_found"},
		{"GET", "/v1/transfers/" + hash(1).Hex() + "/x", 404, "not_found"},
		{"GET", "/metrics", 404, "not_found"},
		{"GET", "/livez", 404, "not_found"},
		{"GET", "/readyz", 404, "not_found"},
		{"GET", "/debug/pprof/", 404, "not_found"},
		{"GET", "/debug/pprof/profile", 404, "not_found"},
		{"POST", "/v1/transfers", 405, "method_not_allowed"},
		{"PUT", "/v1/transfers/" + hash(1).Hex(), 405, "method_not_allowed"},
		{"DELETE", "/v1/status", 405, "method_not_allowed"},
		{"POST", "/v1/nothing", 405, "method_not_allowed"},
		{"GET", "/v1/transfers?x=1", 400, "unknown_parameter"},
		{"GET", "/v1/transfers?hidden=true", 400, "unknown_parameter"},
		{"GET", "/v1/transfers?=1", 400, "unknown_parameter"},
		{"GET", "/v1/transfers?route+status=1", 400, "unknown_parameter"},
		{"GET", "/v1/transfers?route=x", 400, "unknown_route"},
		{"GET", "/v1/transfers?route=topdown", 400, "unknown_route"},
		{"GET", "/v1/transfers?route=checkpoint", 400, "unknown_route"},
		{"GET", "/v1/transfers?status=x", 400, "unknown_status"},
		{"GET", "/v1/transfers?status=done&status=parked", 400, "repeated_parameter"},
		{"GET", "/v1/transfers?status=%zz", 400, "bad_query"},
		{"GET", "/v1/transfers?status=done;limit=1", 400, "bad_query"},
		{"GET", "/v1/transfers?limit=0", 400, "bad_limit"},
		{"GET", "/v1/transfers?limit=201", 400, "bad_limit"},
		{"GET", "/v1/transfers?limit=-1", 400, "bad_limit"},
		{"GET", "/v1/transfers?limit=9999999999999999999", 400, "bad_limit"},
		{"GET", "/v1/transfers?limit=1e1", 400, "bad_limit"},
		{"GET", "/v1/transfers?address=0x12", 400, "bad_address"},
		{"GET", "/v1/transfers?address=" + strings.Repeat("a", 40), 400, "bad_address"},
		{"GET", "/v1/transfers?tx=0x12", 400, "bad_tx"},
		{"GET", "/v1/transfers?tx=0x" + strings.Repeat("g", 64), 400, "bad_tx"},
		{"GET", "/v1/transfers?cursor=rubbish", 400, "bad_cursor"},
		{"GET", "/v1/transfers?cursor=" + url.QueryEscape("000000000000-"+hash(1).Hex()+"\n"), 400, "bad_cursor"},
		{"GET", "/v1/transfers/1", 400, "bad_id"},
		{"GET", "/v1/transfers/0x" + strings.Repeat("1", 63) + "g", 400, "bad_id"},
		{"GET", "/v1/transfers/0x" + strings.Repeat("1", 65), 400, "bad_id"},
		{"GET", "/v1/transfers/" + hash(77).Hex(), 404, "unknown_transfer"},
		{"GET", "/v1/transfers?x=" + long, 414, "uri_too_long"},
		{"GET", "/v1/transfers/" + long, 414, "uri_too_long"},
	} {
		t.Run(c.method+" "+c.target[:min(len(c.target), 60)], func(t *testing.T) {
			l := &ledger{}
			res := get(t, users(l), c.method, c.target, "")
			p := requireProblem(t, res, c.status, c.code)
			if c.code != "uri_too_long" {
				require.NotEmpty(t, p.Detail)
			}
			if c.status == 405 {
				require.Equal(t, "GET, HEAD", res.Header.Get("Allow"))
			}
			if c.code != "unknown_transfer" {
				require.Zero(t, l.asked, "a bad request does not reach the journal")
			}
		})
	}
}

func TestAJournalThatIsDownIsA503WithoutInternalText(t *testing.T) {
	for _, target := range []string{
		"/v1/transfers", "/v1/transfers?tx=" + hash(1).Hex(), "/v1/transfers/" + hash(1).Hex(),
	} {
		l := &ledger{err: errors.New("dial tcp 10.9.8.7:6379: secret detail")}
		res := get(t, users(l), "GET", target, "")
		require.Equal(t, "2", res.Header.Get("Retry-After"))
		p := requireProblem(t, res, http.StatusServiceUnavailable, "journal_unavailable")
		require.NotContains(t, p.Detail, "secret")
		require.NotContains(t, p.Detail, "10.9.8.7")
	}
}

func TestHiddenTransfersAreShownNowhere(t *testing.T) {
	hidden := job(7, "topdown", true)
	hidden.Transfer.Origin.Tx = hash(5000)
	l := &ledger{jobs: []store.Job{hidden}}
	for _, id := range []common.Hash{hidden.Transfer.ID, hidden.Transfer.Ref, hidden.Transfer.Origin.Tx} {
		requireProblem(t, get(t, users(l), "GET", "/v1/transfers/"+id.Hex(), ""), 404, "unknown_transfer")
		require.Empty(t, requirePage(t, get(t, users(l), "GET", "/v1/transfers?tx="+id.Hex(), "")).Transfers)
	}
	require.Empty(t, requirePage(t, get(t, users(l), "GET", "/v1/transfers", "")).Transfers)
	require.False(t, l.filter.Hidden)

	// A deposit shares its transaction and message id with the hidden delivery of
	// its message: the deposit is found behind it.
	deposit := job(8, "usdc_deposit", false)
	deposit.Transfer.Origin.Tx, deposit.Transfer.Ref = hidden.Transfer.Origin.Tx, hidden.Transfer.Ref
	for _, jobs := range [][]store.Job{{hidden, deposit}, {deposit, hidden}} {
		l := &ledger{jobs: jobs}
		for _, id := range []common.Hash{deposit.Transfer.ID, deposit.Transfer.Ref, deposit.Transfer.Origin.Tx} {
			res := get(t, users(l), "GET", "/v1/transfers/"+id.Hex(), "")
			var got api.Transfer
			require.Equal(t, 200, res.StatusCode)
			require.NoError(t, json.NewDecoder(res.Body).Decode(&got))
			require.Equal(t, deposit.Transfer.ID, got.ID)
		}
		require.Len(t, requirePage(t, get(t, users(l), "GET", "/v1/transfers?tx="+deposit.Transfer.Origin.Tx.Hex(), "")).Transfers, 1)
	}
}

func TestAListPassesItsFilterToTheJournal(t *testing.T) {
	cursor := "000001700000-" + hash(1).Hex()
	l := &ledger{jobs: []store.Job{job(1, "usdc_deposit", false)}, next: "000001699999-" + hash(1).Hex()}
	p := requirePage(t, get(t, users(l), "GET", "/v1/transfers?route=usdc_deposit&status=pending&limit=7&cursor="+cursor+"&address=0x"+strings.Repeat("Aa", 20), ""))
	require.Equal(t, l.next, p.Next)
	require.Len(t, p.Transfers, 1)
	require.Equal(t, store.Filter{
		Route: "usdc_deposit", Status: tokens.Pending, Limit: 7, Cursor: cursor, Address: common.HexToAddress("0x" + strings.Repeat("aa", 20)).Hex(),
	}, l.filter)

	requirePage(t, get(t, users(l), "GET", "/v1/transfers", ""))
	require.Equal(t, store.Filter{Limit: 50}, l.filter)
}

// TestPagesAreFullBelowTheRelayersOwnTransfers asks a real journal.
func TestPagesAreFullBelowTheRelayersOwnTransfers(t *testing.T) {
	db, err := store.Open(t.Context(), store.Options{URL: storetest.StartRedis(t).URL(), Namespace: "test"})
	require.NoError(t, err)
	defer db.Close()
	var jobs []store.NewJob
	for n := int64(1); n <= 100; n++ {
		j := job(n, "usdc_deposit", n > 12)
		if n > 12 {
			j.Transfer.Route = []string{"checkpoint", "topdown", "power"}[n%3]
		}
		j.Transfer.At += uint64(n)
		jobs = append(jobs, store.NewJob{Transfer: j.Transfer, Steps: []store.StepPlan{{
			Name: "deliver", Lane: "l", Key: fmt.Sprint(n), Wait: true, Poll: time.Minute, Next: map[store.Outcome]string{store.OK: "done"},
		}}})
	}
	_, _, err = db.Backfill(t.Context(), "root", jobs, nil)
	require.NoError(t, err)
	h := api.New(api.Config{DB: db, Status: func(context.Context) any { return nil }, Log: slog.New(slog.DiscardHandler)})
	var sizes []int
	seen, at := map[common.Hash]bool{}, "/v1/transfers?limit=5"
	for {
		p := requirePage(t, get(t, h, "GET", at, ""))
		sizes = append(sizes, len(p.Transfers))
		for _, x := range p.Transfers {
			seen[x.ID] = true
		}
		if p.Next == "" {
			break
		}
		at = "/v1/transfers?limit=5&cursor=" + p.Next
	}
	require.Equal(t, []int{5, 5, 2}, sizes)
	require.Len(t, seen, 12)
}

func TestALookupByTransactionObeysTheOtherParametersToo(t *testing.T) {
	a, b := job(1, "usdc_deposit", false), job(2, "flt_withdraw", false)
	b.Transfer.Origin.Tx, b.Status, b.Transfer.Sender = a.Transfer.Origin.Tx, tokens.Done, addr(0xc3)
	l := &ledger{jobs: []store.Job{a, b}}
	at := "/v1/transfers?tx=" + a.Transfer.Origin.Tx.Hex()
	for query, want := range map[string]int{
		"": 2, "&route=usdc_deposit": 1, "&status=done": 1, "&status=parked": 0, "&limit=1": 1,
		"&address=" + strings.ToLower(addr(0xc3).Hex()): 1, "&address=" + addr(0xb2).Hex(): 2, "&address=" + addr(0xff).Hex(): 0,
	} {
		require.Len(t, requirePage(t, get(t, users(l), "GET", at+query, "")).Transfers, want, query)
	}
}

func TestAnEmptyListIsAListNotNull(t *testing.T) {
	w := httptest.NewRecorder()
	users(&ledger{}).ServeHTTP(w, httptest.NewRequest("GET", "/v1/transfers", nil))
	require.JSONEq(t, `{"transfers":[]}`, w.Body.String())
}

func TestStatusAndHeadAreAnswered(t *testing.T) {
	w := httptest.NewRecorder()
	users(&ledger{}).ServeHTTP(w, httptest.NewRequest("GET", "/v1/status", nil))
	require.JSONEq(t, `{"ready":true}`, w.Body.String())
	require.Equal(t, 200, get(t, users(&ledger{}), "HEAD", "/v1/transfers", "").StatusCode)
}

func TestOneClientIsSlowedDownAndOthersAreNot(t *testing.T) {
	for name, c := range map[string]struct{ greedy, same, other string }{
		"ipv4":                {"192.0.2.1:1000", "192.0.2.1:2000", "192.0.2.2:1000"},
		"ipv6 by its /64":     {"[2001:db8::1]:1000", "[2001:db8:0:0:ffff::2]:2000", "[2001:db8:0:1::1]:1000"},
		"ipv6, all eight":     {"[2001:db8:1:2:3:4:5:6]:1000", "[2001:db8:1:2::9]:2000", "[2001:db8:1:3:3:4:5:6]:1000"},
		"ipv4 inside of ipv6": {"[::ffff:192.0.2.1]:1000", "192.0.2.1:2000", "[::ffff:192.0.2.2]:1"},
		"ipv6 with a zone":    {"[fe80::1%eth0]:1000", "[fe80::2%eth0]:2000", "[2001:db8::1]:1000"},
	} {
		t.Run(name, func(t *testing.T) {
			h := users(&ledger{})
			limited := false
			for range 200 {
				res := get(t, h, "GET", "/v1/status", c.greedy)
				if res.StatusCode == http.StatusTooManyRequests {
					require.Equal(t, "1", res.Header.Get("Retry-After"))
					requireProblem(t, res, 429, "rate_limited")
					limited = true
					break
				}
			}
			require.True(t, limited)
			require.Equal(t, 429, get(t, h, "GET", "/v1/status", c.same).StatusCode)
			require.Equal(t, 200, get(t, h, "GET", "/v1/status", c.other).StatusCode)
		})
	}
}

func TestManyClientsDoNotGrowTheTableForEver(t *testing.T) {
	h := users(&ledger{})
	for i := range 5000 {
		require.Equal(t, 200, get(t, h, "GET", "/v1/status", fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255)).StatusCode)
	}
}

// wellness is what a relayer says of itself.
type wellness struct {
	err     error
	remarks map[string]string
}

func (w *wellness) Ready() error               { return w.err }
func (w *wellness) Remarks() map[string]string { return w.remarks }

func TestOperatorsHaveTheirOwnHandler(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "causeway_test_total", Help: "Test."}))
	var parts wellness
	h := api.Admin(reg, &parts, func(context.Context) any { return map[string]string{"instance": "host-1"} })
	body := func(path string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Code, w.Body.String()
	}
	code, text := body("/metrics")
	require.Equal(t, 200, code)
	require.Contains(t, text, "causeway_test_total 0")
	code, _ = body("/debug/pprof/")
	require.Equal(t, 200, code)
	code, _ = body("/v1/transfers")
	require.Equal(t, 404, code)
	code, text = body("/status")
	require.Equal(t, 200, code)
	require.JSONEq(t, `{"instance":"host-1"}`, text)

	// Readiness goes both ways; liveness never asks.
	for _, c := range []struct {
		parts wellness
		code  int
		text  string
	}{
		{wellness{}, 200, "ok\n"},
		{wellness{err: errors.New("journal: gone")}, 503, "journal: gone\n"},
		{wellness{}, 200, "ok\n"},
		{wellness{remarks: map[string]string{"journal": "forgets", "a": "b"}}, 200, "ok\nremark: a: b\nremark: journal: forgets\n"},
		{wellness{errors.New("chain: gone"), map[string]string{"journal": "forgets"}}, 503, "chain: gone\nremark: journal: forgets\n"},
	} {
		parts = c.parts
		code, text := body("/readyz")
		require.Equal(t, c.code, code)
		require.Equal(t, c.text, text)
		code, _ = body("/livez")
		require.Equal(t, 200, code)
	}
}

func TestATransferInJSON(t *testing.T) {
	j := job(1, "usdc_withdraw", false)
	j.Status, j.Step, j.Reason, j.Attempts = tokens.Credited, "resend", "payout_refused", 2
	j.Err = "not shown of what has ended"
	j.Transfer.Subnet = addr(0xac)
	payload, err := ipc.EncodeWithdrawal(ipc.Withdrawal{Nonce: 1, FallbackRecipient: addr(0xfa), Gross: big.NewInt(1), MinOut: new(big.Int)})
	require.NoError(t, err)
	j.Transfer.Payload = payload
	j.History = []store.Entry{
		{Step: "settle", Outcome: store.Superseded, Reason: "returned", Chain: "subnet", Height: 60, Tx: hash(31), At: 1_700_000_060, By: "event"},
		{Step: "resend", Note: "an operator's act has no outcome", By: "alice", At: 1_700_000_070},
		{Step: "resend", Outcome: store.Failed, Reason: "payout_refused", Chain: "root", Height: 90, Tx: hash(32), At: 1_700_000_090, By: "event"},
	}
	got, err := json.MarshalIndent(api.View(j), "", "  ")
	require.NoError(t, err)
	path := filepath.Join("testdata", "transfer.json")
	if *update {
		require.NoError(t, os.WriteFile(path, append(got, '\n'), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got)+"\n")
}

func TestAPendingTransferSaysWhatItWaitsForAndWhenItIsLookedAtAgain(t *testing.T) {
	j := job(1, "usdc_deposit", false)
	j.NotBefore = time.Unix(1_800_000_000, 0)
	j.Err = `ask the chain: dial tcp 10.1.2.3:6379: connect: refused, redis://u:p@[::1]:6379/0 and [::1]:9 on redis-0.internal:6379 of wss://node/key`
	j.Transfer.At = uint64(time.Now().Unix()) + 60 // clocks differ
	v := api.View(j)
	require.Equal(t, "deliver", v.Step)
	require.Equal(t, time.Unix(1_800_000_000, 0).UTC(), *v.NextAttempt)
	require.Zero(t, v.Seconds)
	require.Equal(t, "ask the chain: dial tcp ***: connect: refused, *** and *** on *** of ***", v.Error)

	j.Status, j.Reason = tokens.Parked, "rejected"
	v = api.View(j)
	require.Nil(t, v.NextAttempt)
	require.Equal(t, "deliver", v.Step)
	require.NotEmpty(t, v.Error)
}

func TestAListenerServesAndStops(t *testing.T) {
	s, err := api.Listen("127.0.0.1:0", http.HandlerFunc(api.Starting))
	require.NoError(t, err)
	res, err := http.Get("http://" + s.Addr() + "/v1/status")
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, "1", res.Header.Get("Retry-After"))
	requireProblem(t, res, 503, "starting")

	_, err = api.Listen(s.Addr(), nil)
	require.ErrorContains(t, err, "is another instance running")
	require.NoError(t, s.Close())
	again, err := api.Listen(s.Addr(), nil)
	require.NoError(t, err)
	require.NoError(t, again.Close())
}

func FuzzAQueryNeverPanicsAndOnlyGoodOnesReachTheJournal(f *testing.F) {
	for _, q := range []string{
		"", "route=usdc_deposit", "status=done&limit=5", "limit=%zz", "a=b", "limit=0", "tx=0x" + strings.Repeat("1", 64),
		"address=0x" + strings.Repeat("a", 40), "cursor=000001700000-0x" + strings.Repeat("1", 64), "limit=1&limit=2", "route+status=x", "=", "&&", ";",
	} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		l := &ledger{jobs: []store.Job{job(1, "topdown", true)}}
		r := httptest.NewRequest("GET", "/v1/transfers", nil)
		r.URL.RawQuery = raw
		w := httptest.NewRecorder()
		users(l).ServeHTTP(w, r)
		switch w.Code {
		case 200:
			require.JSONEq(t, `{"transfers":[]}`, w.Body.String())
			if l.filter != (store.Filter{}) {
				require.LessOrEqual(t, l.filter.Limit, 200)
				require.Positive(t, l.filter.Limit)
				require.False(t, l.filter.Hidden)
			}
		case 400, 414:
			require.Zero(t, l.asked)
			require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
		default:
			t.Fatalf("%q answered %d", raw, w.Code)
		}
	})
}

func TestInAListAFinishedTransferDoesNotGrowOlder(t *testing.T) {
	j := job(1, "usdc_deposit", false)
	j.Status, j.History = tokens.Done, nil
	j.Transfer.At = 1_700_000_000
	j.UpdatedAt = time.Unix(1_700_000_042, 0)
	require.EqualValues(t, 42, api.View(j).Seconds)
}
