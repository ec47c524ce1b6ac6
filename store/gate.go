package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// fullAt is the share of maxmemory above which new work is refused; what is
// left is for settling.
const fullAt = 0.85

// open passes the start-up gate and takes a new epoch. The run id is adopted
// first, so that a server replaced in between is noticed.
func (db *DB) open(ctx context.Context) error {
	var info server
	if err := db.retry(ctx, func() error {
		var err error
		if info, err = db.inspect(ctx); err == nil && info.loading {
			err = errLoading // answers questions about itself meanwhile
		}
		return err
	}); err != nil {
		return err
	}
	if info.version < 7 {
		return unfit("redis_version is "+info.versionText, "run Redis 7.0 or newer")
	}
	if info.role != "master" {
		return fmt.Errorf("%w (role %q)", ErrReadOnly, info.role)
	}
	if err := info.durable(); err != nil {
		if !db.opt.AllowUnsafe {
			return err
		}
		db.log.Warn("redis may forget; going on because unsafe was allowed", "cause", err.Error())
	}
	db.note(info)
	db.full.Store(info.memoryRatio() > fullAt)
	db.runID.Store(&info.runID)
	if err := db.heal(ctx, info); err != nil {
		return err
	}
	return db.takeEpoch(ctx)
}

// heal has the append-only file written anew, once per run of the server and
// before anything else is written. A file torn inside a transaction keeps the
// transaction's first half behind an open MULTI: Redis leaves it out when it
// loads the file (seen with 7.0.15), appends to it, and runs that half together
// with what came after it at the load after the next.
func (db *DB) heal(ctx context.Context, info server) error {
	if info.aof != "1" {
		return nil
	}
	key := db.k.of("rewritten")
	var done string
	err := db.retry(ctx, func() error {
		var err error
		done, err = db.rdb.Get(ctx, key).Result()
		return err
	})
	if err != nil || done == info.runID {
		return err
	}
	// An error says that a rewrite is under way already, which is as good, or
	// that the command is forbidden.
	if err := db.rdb.BgRewriteAOF(ctx).Err(); err != nil && !strings.Contains(err.Error(), "in progress") {
		if db.opt.AllowUnsafe {
			db.log.Warn("cannot rewrite the append-only file; a torn one may come back in halves", "cause", err.Error())
			return nil
		}
		return unfit("BGREWRITEAOF is refused ("+err.Error()+")", "permit it, it clears a file torn by a power cut; or allow unsafe")
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := db.retry(ctx, func() error {
			var err error
			info, err = db.inspect(ctx)
			return err
		}); err != nil {
			return err
		}
		if !info.rewriting {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the append-only file to be rewritten: %w", ctx.Err())
		case <-tick.C:
		}
	}
	if info.lastRewrite != "ok" {
		return fmt.Errorf("%w: rewriting it ended %q", ErrDisk, info.lastRewrite)
	}
	return db.retry(ctx, func() error { return db.rdb.Set(ctx, key, info.runID, 0).Err() })
}

// Reopen makes peace with a server that was restarted or replaced: it passes
// the gate again and takes a new epoch, which makes every older fence worthless
// where its lease is lost. Callers stop their workers first and replay the
// intents file before they start them again. A server that has lost the end of
// its history is Recovering then; ErrForgot means that it has nothing of it.
func (db *DB) Reopen(ctx context.Context) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	_ = db.forgot(ErrRestarted) // every verb stays shut until the end
	db.runID.Store(nil)
	if err := db.open(ctx); err != nil {
		return fmt.Errorf("reopen store: %w", err)
	}
	db.broken.Store(nil)
	return nil
}

// Durable says whether the server is still the one opened and still keeps
// what it is told: ErrRestarted or ErrForgot when it is not, ErrDisk when it
// cannot write, ErrUnfit when its configuration was changed. It also notices
// when memory is nearly full.
func (db *DB) Durable(ctx context.Context) error {
	if err := db.usable(); err != nil {
		return err
	}
	var info server
	var has []any
	seen := db.mark.Load()
	err := db.retry(ctx, func() error {
		var err error
		if info, err = db.inspect(ctx); err != nil {
			return err
		}
		has, err = db.rdb.MGet(ctx, db.k.of("epoch"), db.k.of("fence")).Result()
		return err
	})
	if err != nil {
		return fmt.Errorf("check redis: %w", err)
	}
	if run := db.runID.Load(); run == nil || *run != info.runID {
		return db.forgot(ErrRestarted)
	}
	counter, _ := has[0].(string)
	mark, marked := has[1].(string)
	stored, ok := parseEpoch(counter)
	if !ok || stored.lineage != *db.lineage.Load() || stored.counter < db.epoch.Load() || marked && number(mark) < seen {
		return db.forgot(ErrForgot)
	}
	db.marked(mark)
	if err := db.keep(); err != nil {
		return err
	}
	db.note(info)
	db.full.Store(info.memoryRatio() > fullAt)
	if info.role != "master" {
		return ErrReadOnly
	}
	if err := info.durable(); err != nil && !db.opt.AllowUnsafe {
		return err
	}
	return nil
}

// MayForget says why the server may forget what it acknowledged, as of Open,
// Reopen or Durable; nil where it keeps everything. Only a store that was
// opened with AllowUnsafe goes on with a server that may.
func (db *DB) MayForget() error {
	if err := db.forgetful.Load(); err != nil {
		return *err
	}
	return nil
}

func (db *DB) note(s server) {
	db.forgetful.Store(nil)
	if err := s.durable(); err != nil {
		db.forgetful.Store(&err)
	}
}

// Full says whether memory was nearly full when Durable last looked: then new
// work is refused with ErrFull, and what is recorded goes on.
func (db *DB) Full() bool { return db.full.Load() }

// forgot closes the store for every verb until Reopen.
func (db *DB) forgot(err error) error {
	db.broken.CompareAndSwap(nil, &err)
	return *db.broken.Load()
}

// sameServer runs on every new connection, before the first command on it: a
// server that is not the one opened gets no write, since it may lack the last
// moments.
func (db *DB) sameServer(ctx context.Context, cn *redis.Conn) error {
	want := db.runID.Load()
	if want == nil {
		return nil
	}
	text, err := cn.Info(ctx, "server").Result()
	if err != nil {
		return err
	}
	if got := parseInfo(text)["run_id"]; got != *want {
		return db.forgot(ErrRestarted)
	}
	return nil
}

// server is what a Redis says of itself.
type server struct {
	version                  float64 // major.minor; 7.0 has what the scripts need
	versionText, runID, role string
	loading                  bool
	aof, fsync, eviction     string // "" where CONFIG is forbidden
	lastWrite, lastRewrite   string
	rewriting                bool
	used, max                float64
}

func (db *DB) inspect(ctx context.Context) (server, error) {
	text, err := db.rdb.Info(ctx).Result()
	if err != nil {
		return server{}, err
	}
	f := parseInfo(text)
	s := server{
		versionText: f["redis_version"], runID: f["run_id"], role: f["role"],
		loading: f["loading"] == "1", aof: f["aof_enabled"], lastWrite: f["aof_last_write_status"],
		eviction: f["maxmemory_policy"], lastRewrite: f["aof_last_bgrewrite_status"],
		rewriting: f["aof_rewrite_in_progress"] == "1" || f["aof_rewrite_scheduled"] == "1",
	}
	major, rest, _ := strings.Cut(s.versionText, ".")
	minor, _, _ := strings.Cut(rest, ".")
	s.version, _ = strconv.ParseFloat(major+"."+minor, 64)
	s.used, _ = strconv.ParseFloat(f["used_memory"], 64)
	s.max, _ = strconv.ParseFloat(f["maxmemory"], 64)
	// Managed services forbid CONFIG; then fsync stays unknown and is refused
	// below unless the operator vouches for it with AllowUnsafe.
	c, err := db.rdb.ConfigGet(ctx, "appendfsync").Result()
	var refused redis.Error
	switch {
	case err == nil:
		s.fsync = c["appendfsync"]
	case !errors.As(err, &refused):
		return server{}, err // no answer is no refusal
	}
	return s, nil
}

func parseInfo(text string) map[string]string {
	f := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			f[k] = v
		}
	}
	return f
}

func (s server) memoryRatio() float64 {
	if s.max <= 0 {
		return 0
	}
	return s.used / s.max
}

// durable says what keeps the server from remembering.
func (s server) durable() error {
	switch {
	case s.loading:
		return errLoading
	case s.aof != "1":
		return unfit("appendonly is off", "set `appendonly yes`")
	case s.fsync == "":
		return unfit("appendfsync cannot be read (CONFIG is forbidden)", "make sure that it is `always`, then allow unsafe")
	case s.fsync != "always":
		return unfit("appendfsync is "+s.fsync, "set `appendfsync always`")
	case s.eviction != "noeviction":
		return unfit("maxmemory-policy is "+s.eviction, "set `maxmemory-policy noeviction`")
	case s.lastWrite != "ok":
		return fmt.Errorf("%w (aof_last_write_status %q)", ErrDisk, s.lastWrite)
	}
	return nil
}

func unfit(what, fix string) error { return fmt.Errorf("%w: %s: %s", ErrUnfit, what, fix) }
