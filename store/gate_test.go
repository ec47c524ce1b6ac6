package store_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/causeway-bridge/causeway/store/volatile"
	"github.com/stretchr/testify/require"
)

var ctx = context.Background()

func tryOpen(t *testing.T, s server, change ...func(*store.Options)) error {
	t.Helper()
	o := store.Options{URL: s.URL(), Namespace: "test", RetryFor: 300 * time.Millisecond}
	for _, f := range change {
		f(&o)
	}
	db, err := store.Open(ctx, o)
	if err == nil {
		require.NoError(t, db.Close())
	}
	return err
}

func unsafe(o *store.Options) { o.AllowUnsafe = true }

func TestAServerThatMayForgetIsRefusedUnlessAllowed(t *testing.T) {
	for name, c := range map[string]struct {
		settings []string
		says     string
	}{
		"no append-only file": {[]string{"--appendonly", "no"}, "set `appendonly yes`"},
		"fsync each second":   {[]string{"--appendfsync", "everysec"}, "set `appendfsync always`"},
		"evicts keys":         {[]string{"--maxmemory-policy", "allkeys-lru"}, "set `maxmemory-policy noeviction`"},
		"config is forbidden": {[]string{"--rename-command", "CONFIG", ""}, "appendfsync cannot be read"},
		"rewrite forbidden":   {[]string{"--rename-command", "BGREWRITEAOF", ""}, "BGREWRITEAOF is refused"},
	} {
		t.Run(name, func(t *testing.T) {
			s := storetest.StartRedis(t, c.settings...)
			err := tryOpen(t, s)
			require.ErrorIs(t, err, store.ErrUnfit)
			require.ErrorContains(t, err, c.says)
			require.NoError(t, tryOpen(t, s, unsafe))
		})
	}
}

func TestTheStandInIsRefusedUnlessAllowedAndSaysThatItForgets(t *testing.T) {
	s := startStandIn(t)
	err := tryOpen(t, s)
	require.ErrorIs(t, err, store.ErrUnfit)
	require.ErrorContains(t, err, "appendonly is off")
	r := s.Client()
	defer r.Close()
	n, err := r.DBSize(ctx).Result()
	require.NoError(t, err)
	require.Zero(t, n, "nothing is written to a server that is refused")

	// Told to look durable, it still does not.
	require.Error(t, r.ConfigSet(ctx, "appendonly", "yes").Err())
	require.Error(t, r.ConfigSet(ctx, "appendfsync", "always").Err())
	require.Error(t, r.BgRewriteAOF(ctx).Err())
	require.ErrorIs(t, tryOpen(t, s), store.ErrUnfit)

	var log bytes.Buffer
	db, _ := open(t, s, func(o *store.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	require.Contains(t, log.String(), "redis may forget")
	require.ErrorContains(t, db.MayForget(), "appendonly is off")
	require.NoError(t, db.Durable(ctx), "it was allowed")
	require.ErrorContains(t, db.MayForget(), "appendonly is off")
}

func TestTheStandInIsNewWheneverItStarts(t *testing.T) {
	s := startStandIn(t)
	db, _ := open(t, s, func(o *store.Options) { o.RetryFor = 300 * time.Millisecond })
	fill(t, db, job(1))
	s.Close()
	_, _, err := db.Get(ctx, hash(1))
	require.ErrorIs(t, err, store.ErrDown)

	again, err := volatile.Start(s.Port())
	require.NoError(t, err)
	defer again.Close()
	_, _, err = db.Get(ctx, hash(1))
	require.ErrorIs(t, err, store.ErrRestarted)
	err = db.Reopen(ctx)
	require.ErrorIs(t, err, store.ErrForgot)
	require.NotErrorIs(t, err, store.ErrRestarted)
}

func TestAStoreSaysWhileItsServerMayForget(t *testing.T) {
	s := storetest.StartRedis(t)
	db, _ := open(t, s, unsafe)
	require.NoError(t, db.MayForget())
	r := s.Client()
	defer r.Close()
	require.NoError(t, r.ConfigSet(ctx, "appendfsync", "everysec").Err())
	require.NoError(t, db.Durable(ctx))
	require.ErrorContains(t, db.MayForget(), "appendfsync is everysec")
	require.NoError(t, r.ConfigSet(ctx, "appendfsync", "always").Err())
	require.NoError(t, db.Durable(ctx))
	require.NoError(t, db.MayForget())
}

func TestAMissingServerIsDownAndItsAddressIsNotInTheError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	_, err = store.Open(ctx, store.Options{URL: "redis://user:secret@" + addr + "/0", Namespace: "x", RetryFor: 200 * time.Millisecond})
	require.ErrorIs(t, err, store.ErrDown)
	require.NotContains(t, err.Error(), "secret")

	_, err = store.Open(ctx, store.Options{URL: "http://:secret@nowhere", Namespace: "x"})
	require.ErrorContains(t, err, "want redis://")
	require.NotContains(t, err.Error(), "secret")
	_, err = store.Open(ctx, store.Options{URL: "redis://" + addr, Namespace: "with space"})
	require.ErrorContains(t, err, "namespace")
}

func TestAReplicaIsRefused(t *testing.T) {
	primary := storetest.StartRedis(t)
	_, port, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(primary.URL(), "redis://"), "/0"), ":")
	replica := storetest.StartRedis(t, "--replicaof", "127.0.0.1", port)
	require.ErrorIs(t, tryOpen(t, replica), store.ErrReadOnly)
	require.ErrorIs(t, tryOpen(t, replica, unsafe), store.ErrReadOnly)
}

func TestAStoreWhosePrimaryBecomesAReplicaSaysSo(t *testing.T) {
	s := storetest.StartRedis(t)
	db, _ := open(t, s, func(o *store.Options) { o.RetryFor = 300 * time.Millisecond })
	r := s.Client()
	defer r.Close()
	require.NoError(t, r.Do(ctx, "REPLICAOF", "127.0.0.1", "1").Err())
	_, _, err := db.Claim(ctx, "w", 1)
	require.ErrorIs(t, err, store.ErrReadOnly)
	require.ErrorIs(t, db.Durable(ctx), store.ErrReadOnly)
}

// fakeRedis answers INFO as it likes and +OK to everything else.
func fakeRedis(t *testing.T, info string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(c)
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					break
				}
				switch strings.ToLower(strings.TrimSpace(line)) {
				case "info":
					fmt.Fprintf(c, "$%d\r\n%s\r\n", len(info), info)
				case "hello", "config", "bgrewriteaof", "client":
					fmt.Fprint(c, "-ERR unknown command\r\n")
				}
			}
			_ = c.Close()
		}
	}()
	return "redis://" + l.Addr().String() + "/0"
}

func TestAnOldOrStrangeServerIsRefused(t *testing.T) {
	for info, says := range map[string]string{
		"redis_version:6.2.14\r\nrole:master\r\n": "run Redis 7.0 or newer",
		"role:master\r\n":                         "run Redis 7.0 or newer",
		"rubbish":                                 "run Redis 7.0 or newer",
	} {
		_, err := store.Open(ctx, store.Options{URL: fakeRedis(t, info), Namespace: "x", RetryFor: 300 * time.Millisecond})
		require.ErrorIs(t, err, store.ErrUnfit, info)
		require.ErrorContains(t, err, says)
	}
}

func TestAnotherVersionsDataIsLeftAlone(t *testing.T) {
	s := storetest.StartRedis(t)
	r := s.Client()
	defer r.Close()
	require.NoError(t, r.Set(ctx, "{test}:schema", "99", 0).Err())
	err := tryOpen(t, s)
	require.ErrorIs(t, err, store.ErrSchema)
	require.ErrorContains(t, err, `version "99"`)

	require.NoError(t, r.Del(ctx, "{test}:schema").Err())
	require.NoError(t, r.LPush(ctx, "{test}:schema", "1").Err())
	require.ErrorIs(t, tryOpen(t, s), store.ErrSchema)

	require.NoError(t, r.Del(ctx, "{test}:schema").Err())
	require.NoError(t, r.Set(ctx, "{test}:epoch", "many", 0).Err())
	require.ErrorIs(t, tryOpen(t, s), store.ErrSchema)

	// a key of another type below an open store
	require.NoError(t, r.Del(ctx, "{test}:epoch").Err())
	db, _ := open(t, s)
	require.NoError(t, r.Set(ctx, "{test}:jobs", "x", 0).Err())
	_, _, err = db.Backfill(ctx, "root", []store.NewJob{job(1)}, nil)
	require.ErrorIs(t, err, store.ErrSchema)
}

func TestAFullServerRefusesNewWorkAndSettlesOld(t *testing.T) {
	s := storetest.StartRedis(t)
	db, c := open(t, s)
	r := s.Client()
	defer r.Close()
	require.NoError(t, db.InitCursor(ctx, "root", cursor(1)))
	require.NoError(t, db.Ingest(ctx, "root", cursor(1), cursor(2), []store.NewJob{job(1), job(2)}, nil))
	require.NoError(t, r.ConfigSet(ctx, "maxmemory", "1").Err())

	require.ErrorIs(t, db.Ingest(ctx, "root", cursor(2), cursor(3), []store.NewJob{job(3)}, nil), store.ErrFull)
	l, ok, err := db.Claim(ctx, "w", 1)
	require.NoError(t, err)
	require.True(t, ok)
	l, err = db.Extend(ctx, l)
	require.NoError(t, err)
	require.NoError(t, db.Settle(ctx, l, []store.Verdict{{ID: hash(1), Step: "send", Advance: store.Failed}}))
	c.advance(time.Minute)
	_, err = db.Reap(ctx)
	require.NoError(t, err)
	require.Equal(t, "refund", get(t, db, 1).Step)

	// known beforehand: no call is needed to refuse
	require.NoError(t, db.Durable(ctx))
	require.ErrorIs(t, db.Ingest(ctx, "root", cursor(2), cursor(3), []store.NewJob{job(3)}, nil), store.ErrFull)
	require.NoError(t, r.ConfigSet(ctx, "maxmemory", "0").Err())
	require.NoError(t, db.Durable(ctx))
	require.NoError(t, db.Ingest(ctx, "root", cursor(2), cursor(3), []store.NewJob{job(3)}, nil))
}

func TestARestartedServerGetsNoWriteBeforeReopen(t *testing.T) {
	s := storetest.StartRedis(t)
	db, _ := open(t, s)
	_, _, err := db.Backfill(ctx, "root", []store.NewJob{job(1)}, nil)
	require.NoError(t, err)
	l, ok, err := db.Claim(ctx, "w", 1)
	require.NoError(t, err)
	require.True(t, ok)
	s.Kill()
	require.NoError(t, s.Restart())

	err = db.Settle(ctx, l, nil)
	require.ErrorIs(t, err, store.ErrRestarted)
	require.ErrorIs(t, err, store.ErrForgot)
	_, _, err = db.Get(ctx, hash(1))
	require.ErrorIs(t, err, store.ErrRestarted)
	require.ErrorIs(t, db.InitCursor(ctx, "root", cursor(1)), store.ErrRestarted)
	require.ErrorIs(t, db.Durable(ctx), store.ErrRestarted)

	epoch := db.Epoch()
	require.NoError(t, db.Reopen(ctx))
	require.Equal(t, epoch+1, db.Epoch())
	require.NoError(t, db.Settle(ctx, l, nil), "the lease is in the file and still the lane's")
	l, ok, err = db.Claim(ctx, "w", 1)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, db.Epoch(), l.Fence.Epoch)
}

func TestAServerThatIsAwayForAMomentIsWaitedFor(t *testing.T) {
	s := storetest.StartRedis(t)
	db, _ := open(t, s)
	r := s.Client()
	defer r.Close()
	_, _, err := db.Backfill(ctx, "root", []store.NewJob{job(1)}, nil)
	require.NoError(t, err)
	require.NoError(t, r.ClientKillByFilter(ctx, "TYPE", "normal", "SKIPME", "yes").Err())
	_, ok, err := db.Claim(ctx, "w", 1)
	require.NoError(t, err)
	require.True(t, ok)

	s.Kill()
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, _, err = db.Claim(short, "w", 1)
	require.Error(t, err)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestAServerThatStillLoadsIsWaitedForAtOpeningAndReopening(t *testing.T) {
	// Each key takes 20 ms to load, so that the server answers INFO meanwhile.
	s := storetest.StartRedis(t, "--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024", "--rdbcompression", "no")
	db, _ := open(t, s)
	for n := range 20 {
		_, _, err := db.Backfill(ctx, "root", []store.NewJob{job(n + 1)}, nil)
		require.NoError(t, err)
	}
	r := s.Client()
	defer r.Close()
	for n := range 100 {
		require.NoError(t, r.Set(ctx, fmt.Sprint("ballast", n), strings.Repeat("x", 2048), 0).Err())
	}
	// In the base of the file: only there Redis looks up between keys.
	require.NoError(t, r.BgRewriteAOF(ctx).Err())
	require.Eventually(t, func() bool {
		info, err := r.Info(ctx, "persistence").Result()
		return err == nil && strings.Contains(info, "aof_rewrite_in_progress:0") && strings.Contains(info, "aof_rewrite_scheduled:0")
	}, 20*time.Second, 10*time.Millisecond)
	s.Kill()
	up := make(chan error, 1)
	go func() { up <- s.Restart() }() // returns once everything is loaded
	require.Eventually(t, func() bool {
		info, err := r.Info(ctx, "persistence").Result()
		return err == nil && strings.Contains(info, "loading:1")
	}, 10*time.Second, 10*time.Millisecond)

	require.ErrorIs(t, tryOpen(t, s), store.ErrDown, "300 ms are too short")
	require.NoError(t, db.Reopen(ctx))
	require.NoError(t, <-up)
	require.NoError(t, db.Durable(ctx))
	_, ok, err := db.Get(ctx, hash(1))
	require.NoError(t, err)
	require.True(t, ok)
}

// restarting restarts the server once behind its answer to INFO, before CONFIG is
// asked for, and once behind the answer to that.
type restarting struct {
	net.Conn
	s            *storetest.Server
	info, config *atomic.Bool
}

func (c restarting) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	text := string(b[:n])
	if strings.Contains(text, "run_id:") && !c.info.Swap(true) || strings.Contains(text, "appendfsync") && !c.config.Swap(true) {
		c.s.Kill()
		if err := c.s.Restart(); err != nil {
			return 0, err
		}
	}
	return n, err
}

func TestAServerRestartedWhileItIsOpenedIsOpenedAgain(t *testing.T) {
	s := storetest.StartRedis(t)
	db, _ := open(t, s)
	_, _, err := db.Backfill(ctx, "root", []store.NewJob{job(1)}, nil)
	require.NoError(t, err)
	var info, config atomic.Bool
	require.NoError(t, tryOpen(t, s, func(o *store.Options) {
		o.RetryFor = 10 * time.Second
		o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			var d net.Dialer
			c, err := d.DialContext(ctx, network, addr)
			return restarting{c, s, &info, &config}, err
		}
	}))
	require.True(t, info.Load() && config.Load(), "it was restarted twice")
}

func TestAnEmptiedServerIsNoticedByTheNextScript(t *testing.T) {
	s := storetest.StartRedis(t)
	db, _ := open(t, s)
	require.NoError(t, db.Durable(ctx))
	r := s.Client()
	defer r.Close()
	require.NoError(t, r.FlushAll(ctx).Err())
	_, _, err := db.Backfill(ctx, "root", []store.NewJob{job(1)}, nil)
	require.ErrorIs(t, err, store.ErrForgot)
	require.NotErrorIs(t, err, store.ErrRestarted)
	require.ErrorIs(t, db.Durable(ctx), store.ErrForgot)
	require.ErrorIs(t, db.Reopen(ctx), store.ErrForgot, "this process has seen more")
	n, err := r.Exists(ctx, "{test}:jobs").Result()
	require.NoError(t, err)
	require.Zero(t, n, "nothing was written")
}

func TestTheEpochFileRemembersWhatRedisForgot(t *testing.T) {
	s := storetest.StartRedis(t)
	file := filepath.Join(t.TempDir(), "epoch")
	with := func(o *store.Options) { o.EpochFile = file }
	accept := func(o *store.Options) { o.AcceptForgotten = true }
	r := s.Client()
	defer r.Close()

	require.NoError(t, tryOpen(t, s, with))
	require.NoError(t, tryOpen(t, s, with))
	first, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Regexp(t, `^2 [0-9a-f]{24} 0\n$`, string(first))

	// gone
	require.NoError(t, r.Del(ctx, "{test}:epoch").Err())
	require.ErrorIs(t, tryOpen(t, s, with), store.ErrForgot)
	// another history with a higher counter
	require.NoError(t, r.Set(ctx, "{test}:epoch", "99 abcdef", 0).Err())
	require.ErrorIs(t, tryOpen(t, s, with), store.ErrForgot)
	// rolled back
	_, lineage, _ := strings.Cut(strings.TrimSpace(string(first)), " ")
	require.NoError(t, r.Set(ctx, "{test}:epoch", "1 "+strings.TrimSuffix(lineage, " 0"), 0).Err())
	require.NoError(t, tryOpen(t, s, with), "it is still ours: opened above everything seen")
	second, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "3 "+lineage+"\n", string(second))
	require.NoError(t, tryOpen(t, s, with))
	// gone, and that is accepted
	require.NoError(t, r.FlushAll(ctx).Err())
	require.ErrorIs(t, tryOpen(t, s, with), store.ErrForgot)
	require.NoError(t, tryOpen(t, s, with, accept))
	third, err := os.ReadFile(file)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(third), "5 "), string(third))
	require.NotContains(t, string(third), lineage)
	require.NoError(t, tryOpen(t, s, with))
	// as an earlier version wrote it
	require.NoError(t, os.WriteFile(file, third[:strings.LastIndex(string(third), " ")], 0o600))
	require.NoError(t, tryOpen(t, s, with))

	// an unreadable guard is a guard
	require.NoError(t, os.WriteFile(file, []byte("?"), 0o600))
	require.ErrorContains(t, tryOpen(t, s, with), "not an epoch")
	// nothing is left behind by the writing
	left, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	require.Len(t, left, 1)
}

func TestACutThatTakesTheEpochIsAForgottenHistory(t *testing.T) {
	s := storetest.StartRedis(t)
	db, _ := open(t, s)
	n, err := s.AOFSize()
	require.NoError(t, err)
	s.Kill()
	require.NoError(t, s.Truncate(n))
	require.NoError(t, s.Restart())
	_, _, err = db.Claim(ctx, "w", 1)
	require.ErrorIs(t, err, store.ErrRestarted)
	require.ErrorIs(t, db.Reopen(ctx), store.ErrForgot)
	_, _, err = db.Claim(ctx, "w", 1)
	require.ErrorIs(t, err, store.ErrForgot)
}

func TestEachOpeningTakesAnEpoch(t *testing.T) {
	s := storetest.StartRedis(t)
	a, _ := open(t, s)
	b, _ := open(t, s)
	require.Equal(t, a.Epoch()+1, b.Epoch())
	require.NoError(t, a.Durable(ctx), "another opening harms nobody")
}

func TestAnEpochThatWentBackIsNoticedByTheNextScript(t *testing.T) {
	s := storetest.StartRedis(t)
	r := s.Client()
	defer r.Close()
	db, _ := open(t, s)
	old, err := r.Get(ctx, "{test}:epoch").Result()
	require.NoError(t, err)
	require.NoError(t, db.Reopen(ctx))
	_, _, err = db.Claim(ctx, "w", 1)
	require.NoError(t, err)
	require.NoError(t, r.Set(ctx, "{test}:epoch", old, 0).Err())
	_, _, err = db.Claim(ctx, "w", 1)
	require.ErrorIs(t, err, store.ErrForgot)
}

// Another history may have been opened more often than this one.
func TestAnotherHistoryIsNoticedByTheNextScript(t *testing.T) {
	s := storetest.StartRedis(t)
	r := s.Client()
	defer r.Close()
	db, _ := open(t, s)
	require.NoError(t, r.Set(ctx, "{test}:epoch", fmt.Sprintf("%d %032x", db.Epoch()+5, 1), 0).Err())
	_, _, err := db.Claim(ctx, "w", 1)
	require.ErrorIs(t, err, store.ErrForgot)
}
