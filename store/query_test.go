package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

func TestATransferIsFoundByWhateverNamesIt(t *testing.T) {
	db, _ := open(t, redisFor(t))
	fill(t, db, job(1), job(2))
	_, _, err := db.Backfill(ctx, "root", nil, []store.Fact{fact("send/1", store.OK, 1)})
	require.NoError(t, err)
	for _, text := range []string{
		hash(1).Hex(), " " + strings.ToUpper(hash(2001).Hex()[2:]), hash(1001).Hex(), job(1).Transfer.Sender.Hex(), hash(6001).Hex(),
	} {
		if !strings.HasPrefix(text, "0x") {
			text = "0x" + strings.TrimSpace(text)
		}
		got, err := db.Lookup(ctx, text)
		require.NoError(t, err)
		require.Equal(t, []common.Hash{hash(1)}, got, text)
	}
	got, err := db.Lookup(ctx, job(1).Transfer.Recipient.Hex())
	require.NoError(t, err)
	require.Equal(t, []common.Hash{hash(2), hash(1)}, got, "newest first")
	for _, text := range []string{"", "0x", "0x12\n", "\x00", strings.Repeat("f", 1000), "0xabc"} {
		got, err := db.Lookup(ctx, text)
		require.NoError(t, err)
		require.Empty(t, got)
	}
}

func TestListsPageThroughEverythingNewestFirst(t *testing.T) {
	db, _ := open(t, redisFor(t))
	var jobs []store.NewJob
	for n := 1; n <= 25; n++ {
		j := job(n)
		if n%2 == 0 {
			j.Transfer.Route = "flt_deposit"
		}
		j.Transfer.Hidden = n%5 == 0
		jobs = append(jobs, j)
	}
	fill(t, db, jobs...)
	for n := 1; n <= 10; n++ {
		_, _, err := db.Backfill(ctx, "root", nil, []store.Fact{fact(fmt.Sprintf("await/%d", n), store.OK, n)})
		require.NoError(t, err)
	}
	all := func(f store.Filter) []int {
		var out []int
		for {
			page, next, err := db.List(ctx, f)
			require.NoError(t, err)
			require.LessOrEqual(t, len(page), f.Limit)
			out = append(out, ids(page)...)
			if next == "" {
				return out
			}
			f.Cursor = next
		}
	}
	want := func(keep func(n int) bool) []int {
		var out []int
		for n := 25; n >= 1; n-- {
			if keep(n) {
				out = append(out, n)
			}
		}
		return out
	}
	for _, limit := range []int{1, 4, 100} {
		require.Equal(t, want(func(n int) bool { return true }), all(store.Filter{Hidden: true, Limit: limit}))
		require.Equal(t, want(func(n int) bool { return n%5 != 0 }), all(store.Filter{Limit: limit}))
		require.Equal(t, want(func(n int) bool { return n <= 10 && n%2 == 0 }), all(store.Filter{Hidden: true, Limit: limit, Status: tokens.Done, Route: "flt_deposit"}))
		require.Equal(t, want(func(n int) bool { return n > 10 }), all(store.Filter{Hidden: true, Limit: limit, Status: tokens.Pending}))
		require.Equal(t, []int{3}, all(store.Filter{Limit: limit, Address: job(3).Transfer.Sender.Hex()}))
		require.Equal(t, want(func(n int) bool { return n > 10 && n%5 != 0 }), all(store.Filter{Limit: limit, Address: job(3).Transfer.Recipient.Hex(), Status: tokens.Pending}))
		require.Empty(t, all(store.Filter{Limit: limit, Route: "none"}))
	}
	_, _, err := db.List(ctx, store.Filter{Cursor: "rubbish"})
	require.NoError(t, err)
}

// TestHiddenTransfersOnTopTakeNoPlaceInAPage lists a few users' transfers below
// many of the relayer's own, as after an hour without users.
func TestHiddenTransfersOnTopTakeNoPlaceInAPage(t *testing.T) {
	db, _ := open(t, redisFor(t))
	var jobs []store.NewJob
	for n := 1; n <= 190; n++ {
		j := job(n)
		if n > 20 {
			j.Transfer.Hidden, j.Transfer.Route = true, []string{"checkpoint", "topdown", "usdc_deposit"}[n%3]
		}
		jobs = append(jobs, j)
	}
	fill(t, db, jobs...)
	for _, f := range []store.Filter{{Limit: 5}, {Limit: 5, Address: job(1).Transfer.Recipient.Hex()}, {Limit: 5, Route: "usdc_deposit"}} {
		var got []int
		for pages := 1; ; pages++ {
			page, next, err := db.List(ctx, f)
			require.NoError(t, err)
			require.Len(t, page, 5, "%+v", f)
			got = append(got, ids(page)...)
			if next == "" {
				require.Equal(t, 4, pages, "no empty page at the end")
				break
			}
			f.Cursor = next
		}
		require.Equal(t, []int{20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}, got)
	}
	page, next, err := db.List(ctx, store.Filter{Limit: 5, Route: "checkpoint"})
	require.NoError(t, err)
	require.Empty(t, page)
	require.Empty(t, next)
	page, next, err = db.List(ctx, store.Filter{Limit: 5, Route: "checkpoint", Hidden: true})
	require.NoError(t, err)
	require.Len(t, page, 5)
	require.NotEmpty(t, next)
}

// TestOneListLooksAtABoundedNumberOfRows hides two transfers behind 1,200 that
// the filter leaves out.
func TestOneListLooksAtABoundedNumberOfRows(t *testing.T) {
	db, _ := open(t, redisFor(t))
	var jobs []store.NewJob
	for n := 1; n <= 1202; n++ {
		j := job(n)
		j.Transfer.Hidden = n > 2
		jobs = append(jobs, j)
	}
	for part := range slices.Chunk(jobs, 200) {
		fill(t, db, part...)
	}
	f := store.Filter{Limit: 2, Address: job(1).Transfer.Recipient.Hex()}
	page, next, err := db.List(ctx, f)
	require.NoError(t, err)
	require.Empty(t, page)
	require.NotEmpty(t, next, "more is to be looked at")
	f.Cursor = next
	page, next, err = db.List(ctx, f)
	require.NoError(t, err)
	require.Equal(t, []int{2, 1}, ids(page))
	require.Empty(t, next)
}

func TestStatsCountEveryTransferOnce(t *testing.T) {
	db, _ := open(t, redisFor(t))
	empty, err := db.Stats(ctx)
	require.NoError(t, err)
	require.Zero(t, empty.Pending)
	require.True(t, empty.OldestPending.IsZero())

	fill(t, db, job(1), job(2), job(3), job(4), job(5))
	_, _, err = db.Backfill(ctx, "root", nil, []store.Fact{
		fact("await/1", store.OK, 1), fact("refund/2", store.Failed, 2), fact("refund/3", store.Failed, 3), fact("send/4", store.OK, 4),
	})
	require.NoError(t, err)
	require.NoError(t, db.Discard(ctx, hash(3), "ann", "x"))
	reserve(t, db, "k", 0)
	s, err := db.Stats(ctx)
	require.NoError(t, err)
	require.Equal(t, []store.Count{
		{Route: "usdc_deposit", Status: tokens.Done, N: 1, Oldest: 1_700_000_001},
		{Route: "usdc_deposit", Status: tokens.Parked, Step: "refund", N: 1, Oldest: 1_700_000_002},
		{Route: "usdc_deposit", Status: tokens.Parked, Discarded: true, N: 1, Oldest: 1_700_000_003},
		{Route: "usdc_deposit", Status: tokens.Pending, Step: "await", N: 1, Oldest: 1_700_000_004},
		{Route: "usdc_deposit", Status: tokens.Pending, Step: "send", N: 1, Oldest: 1_700_000_005},
	}, s.Counts)
	require.Equal(t, 2, s.Pending)
	require.Equal(t, 1, s.Parked)
	require.Equal(t, 1, s.Discarded)
	require.Equal(t, 1, s.Undecided)
	require.EqualValues(t, 1_700_000_004, s.OldestPending.Unix())
	require.NotZero(t, s.Journal)
}

func TestAuditPutsBackWhatALostKeyTook(t *testing.T) {
	for _, key := range []string{"jobs", "queue", "lanes", "ready", "leases", "leased", "bind", "index", "nonces", "live", "txkeys", "riding", "txstate", "paused"} {
		t.Run(key, func(t *testing.T) {
			s := redisFor(t)
			db, c := open(t, s)
			r := s.Client()
			defer r.Close()
			fill(t, db, job(1), job(2), job(3))
			_, _, err := db.Backfill(ctx, "root", nil, []store.Fact{fact("await/1", store.OK, 1), fact("send/2", store.OK, 2)})
			require.NoError(t, err)
			l := claim(t, db, 1) // job 3
			require.Equal(t, []int{3}, ids(l.Jobs))
			_, _, err = db.Reserve(ctx, chainID, alice, chains.Tx{Key: "k", Members: []common.Hash{hash(3)}, Fence: l.Fence}, 0, 0)
			require.NoError(t, err)
			n, err := db.Audit(ctx)
			require.NoError(t, err)
			require.Zero(t, n)

			require.NoError(t, r.Del(ctx, "{test}:"+key).Err())
			n, err = db.Audit(ctx)
			require.NoError(t, err)
			if !slices.Contains([]string{"paused", "ready"}, key) { // nothing was paused; the only ready lane shows below
				require.NotZero(t, n)
			}
			n, err = db.Audit(ctx)
			require.NoError(t, err)
			require.Zero(t, n, "once is enough")

			require.Equal(t, tokens.Done, get(t, db, 1).Status)
			require.Equal(t, "await", get(t, db, 2).Step)
			require.Equal(t, "send", get(t, db, 3).Step)
			require.Equal(t, "k", get(t, db, 3).Intent)
			again, existing, err := db.Reserve(ctx, chainID, alice, chains.Tx{Key: "k"}, 0, 0)
			require.NoError(t, err)
			require.True(t, existing)
			require.EqualValues(t, 0, again.Nonce)
			require.EqualValues(t, 1, reserve(t, db, "other", 0).Nonce)

			// every pending transfer is worked on again in the end
			c.advance(time.Hour)
			_, err = db.Reap(ctx)
			require.NoError(t, err)
			c.advance(time.Hour)
			worked := map[int]bool{}
			for range 2 {
				for _, j := range ids(claim(t, db, 10).Jobs) {
					worked[j] = true
				}
			}
			require.Equal(t, map[int]bool{2: true, 3: true}, worked)
		})
	}
}

func TestALostTransferIsNotWorkedOnUntilARescanBringsItBack(t *testing.T) {
	s := redisFor(t)
	db, _ := open(t, s)
	r := s.Client()
	defer r.Close()
	fill(t, db, job(1))
	require.NoError(t, r.HDel(ctx, "{test}:transfers", hash(1).Hex()).Err())
	noClaim(t, db)
	created, _, err := db.Backfill(ctx, "root", []store.NewJob{job(1)}, nil)
	require.NoError(t, err)
	require.Zero(t, created)
	n, err := db.Audit(ctx)
	require.NoError(t, err)
	require.NotZero(t, n)
	require.Equal(t, []int{1}, ids(claim(t, db, 1).Jobs))
}

func TestANonceIsNotGivenTwiceEvenWhenTheSetOfNoncesIsLost(t *testing.T) {
	s := redisFor(t)
	db, _ := open(t, s)
	r := s.Client()
	defer r.Close()
	reserve(t, db, "a", 0)
	reserve(t, db, "b", 0)
	require.NoError(t, r.Del(ctx, "{test}:nonces").Err())
	require.EqualValues(t, 2, reserve(t, db, "c", 0).Nonce)
}

func TestTheAuditOfALongHistoryRestsBetweenItsPages(t *testing.T) {
	s := redisFor(t)
	quick, _ := open(t, s)
	var jobs []store.NewJob
	for n := range 1000 {
		jobs = append(jobs, loose(n+1))
	}
	fill(t, quick, jobs...)
	// A rest of a million times what a page took is longer than any test.
	gentle, _ := open(t, s, func(o *store.Options) { o.Rest = 1_000_000 })
	for most := time.Second; ; most *= 2 {
		bounded, cancel := context.WithTimeout(ctx, most)
		_, err := gentle.Audit(bounded)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded, "it rests, and whoever stops does not wait for it")
		if strings.Contains(err.Error(), "rest") {
			break
		}
		require.Less(t, most, time.Minute, "not one page was read: %v", err) // a slow machine
	}

	n, err := quick.Audit(ctx)
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestPruneForgetsWhatEndedLongAgoAndNothingElse(t *testing.T) {
	s := redisFor(t)
	db, c := open(t, s)
	r := s.Client()
	defer r.Close()
	c.t = time.Unix(1_700_000_000, 0)
	fill(t, db, job(1), job(2), job(3), job(4))
	_, _, err := db.Backfill(ctx, "root", nil, []store.Fact{fact("send/1", store.OK, 1), fact("await/1", store.OK, 1), fact("refund/2", store.Failed, 2), fact("await/4", store.OK, 4)})
	require.NoError(t, err)
	a := reserve(t, db, "a", 0)
	b := reserve(t, db, "b", 0)
	decide(t, db, a, chains.IntentSucceeded)
	decide(t, db, b, chains.IntentSucceeded)

	_, err = db.Prune(ctx, time.Hour)
	require.ErrorIs(t, err, store.ErrInvalid)
	n, err := db.Prune(ctx, store.Keep)
	require.NoError(t, err)
	require.Zero(t, n)
	c.advance(store.Keep + time.Hour)
	fill(t, db, job(5))
	_, _, err = db.Backfill(ctx, "root", nil, []store.Fact{fact("await/5", store.OK, 5)})
	require.NoError(t, err)
	_, err = db.Prune(ctx, store.Keep)
	require.NoError(t, err)

	for n, want := range map[int]bool{1: false, 2: true, 3: true, 4: false, 5: true} {
		_, ok, err := db.Get(ctx, hash(n))
		require.NoError(t, err)
		require.Equal(t, want, ok, "%d", n)
	}
	_, ok, err := db.Intent(ctx, chainID, alice, 0)
	require.NoError(t, err)
	require.False(t, ok)
	_, ok, err = db.Intent(ctx, chainID, alice, 1)
	require.NoError(t, err)
	require.True(t, ok, "the highest nonce stays")
	require.EqualValues(t, 2, reserve(t, db, "c", 0).Nonce)
	found, err := db.Lookup(ctx, job(1).Transfer.Sender.Hex())
	require.NoError(t, err)
	require.Empty(t, found)
	for _, key := range []string{"index", "bind"} {
		rows, err := r.ZRange(ctx, "{test}:"+key, 0, -1).Result()
		require.NoError(t, err)
		for _, row := range rows {
			require.NotContains(t, row, hash(1).Hex(), key)
			require.NotContains(t, row, hash(4).Hex(), key)
		}
	}
	n, err = db.Audit(ctx)
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestTheJournalTellsEveryChange(t *testing.T) {
	s := redisFor(t)
	db, _ := open(t, s)
	r := s.Client()
	defer r.Close()
	fill(t, db, job(1))
	l := claim(t, db, 1)
	require.NoError(t, db.Settle(ctx, l, []store.Verdict{{ID: hash(1), Step: "send", Advance: store.Failed, Reason: "rejected"}}))
	_, _, err := db.Backfill(ctx, "root", nil, []store.Fact{fact("refund/1", store.Failed, 1)})
	require.NoError(t, err)
	require.NoError(t, db.Retry(ctx, hash(1), "ann"))
	lines, err := r.XRange(ctx, "{test}:journal", "-", "+").Result()
	require.NoError(t, err)
	var kinds []string
	for _, l := range lines {
		kinds = append(kinds, l.Values["k"].(string)+" "+fmt.Sprint(l.Values["to"]))
	}
	require.Equal(t, []string{"opened <nil>", "new send", "step refund", "step parked", "retried refund"}, kinds)
}

var luaKey, luaCall = regexp.MustCompile(`\bK\.(\w+)`), regexp.MustCompile(`\b(\w+)\(`)

// TestEveryScriptIsGivenTheKeysItUses reads the scripts: a key used but not
// declared would be nil at run time, one declared but not used is a lie.
func TestEveryScriptIsGivenTheKeysItUses(t *testing.T) {
	files, err := filepath.Glob("lua/*.lua")
	require.NoError(t, err)
	require.Greater(t, len(files), 20)
	text := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		text[strings.TrimSuffix(filepath.Base(f), ".lua")] = string(b)
	}
	// the functions of the libraries and what stands outside them
	functions, outside, open := map[string]string{}, "", ""
	for line := range strings.Lines(text["lib"] + text["forks"]) {
		if m := regexp.MustCompile(`^local function (\w+)\(`).FindStringSubmatch(line); m != nil {
			open = m[1]
		}
		if open == "" {
			outside += line
			continue
		}
		functions[open] += line
		if line == "end\n" || strings.HasPrefix(line, "local function") && strings.HasSuffix(line, " end\n") {
			open = ""
		}
	}
	require.Greater(t, len(functions), 20)
	var uses func(body string, seen map[string]bool, keys map[string]bool)
	uses = func(body string, seen, keys map[string]bool) {
		for _, m := range luaKey.FindAllStringSubmatch(body, -1) {
			keys[m[1]] = true
		}
		for _, m := range luaCall.FindAllStringSubmatch(body, -1) {
			if f, ok := functions[m[1]]; ok && !seen[m[1]] {
				seen[m[1]] = true
				uses(f, seen, keys)
			}
		}
	}
	for name, body := range text {
		if name == "lib" || name == "forks" {
			continue
		}
		declared, used := map[string]bool{}, map[string]bool{}
		var code strings.Builder
		for line := range strings.Lines(body) {
			if list, ok := strings.CutPrefix(strings.TrimSpace(line), "-- keys:"); ok {
				for _, k := range strings.Fields(list) {
					require.False(t, declared[k], "%s declares %s twice", name, k)
					declared[k] = true
				}
			} else if !strings.HasPrefix(strings.TrimSpace(line), "--") {
				code.WriteString(line)
			}
		}
		uses(code.String(), map[string]bool{}, used)
		if name != "open" {
			uses(outside, map[string]bool{}, used)
		}
		require.Equal(t, used, declared, name)
		require.Contains(t, body, "-- "+name+": ", "%s says what it does", name)
	}
}
