package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// script is one transition: the text of lua/<name>.lua behind the shared
// libraries, and the keys it names in its "-- keys:" lines.
type script struct {
	name string
	keys []string
	s    *redis.Script
}

var (
	scriptOpen         = load("open")
	scriptIngest       = load("ingest", "forks")
	scriptClaim        = load("claim")
	scriptExtend       = load("extend")
	scriptSettle       = load("settle")
	scriptReap         = load("reap")
	scriptWake         = load("wake")
	scriptRetry        = load("retry")
	scriptDiscard      = load("discard")
	scriptPause        = load("pause")
	scriptResume       = load("resume")
	scriptLanes        = load("lanes")
	scriptAudit        = load("audit")
	scriptAuditRows    = load("audit_rows")
	scriptAuditLanes   = load("audit_lanes")
	scriptAuditIntents = load("audit_intents")
	scriptPrune        = load("prune")
	scriptPruneIntents = load("prune_intents")
	scriptAuditFacts   = load("audit_facts")
	scriptQuarantine   = load("quarantine", "forks")
	scriptAccept       = load("accept", "forks")
	scriptAuditOffers  = load("audit_offers")
	scriptPruneOffers  = load("prune_offers")
	scriptReserve      = load("reserve")
	scriptAttempt      = load("save_attempt")
	scriptUpdate       = load("update_intent")
	scriptReplay       = load("replay")
	scriptIntents      = load("intents")
	scriptRecovered    = load("recovered")
	scriptPropose      = load("propose")
	scriptSign         = load("sign")
	scriptDropProposal = load("drop_proposal")
)

// load puts a script together. The files are part of the program: a bad one
// is a bug that the first test meets.
func load(name string, libs ...string) *script {
	body := mustRead(name)
	sheBang, rest, ok := strings.Cut(body, "\n")
	if !ok || !strings.HasPrefix(sheBang, "#!lua") {
		panic("[BUG] script " + name + " does not begin with #!lua")
	}
	var keys []string
	for line := range strings.Lines(rest) {
		if list, ok := strings.CutPrefix(strings.TrimSpace(line), "-- keys:"); ok {
			keys = append(keys, strings.Fields(list)...)
		}
	}
	var head strings.Builder
	head.WriteString("local K={")
	for i, k := range keys {
		fmt.Fprintf(&head, "%s=KEYS[%d],", k, i+1)
	}
	head.WriteString("}\n")
	if name != "open" {
		head.WriteString(mustRead("lib"))
	}
	for _, lib := range libs {
		head.WriteString(mustRead(lib))
	}
	return &script{name: name, keys: keys, s: redis.NewScript(sheBang + "\n" + head.String() + rest)}
}

func mustRead(name string) string {
	b, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic("[BUG] " + err.Error())
	}
	return string(b)
}

// headArgs is the number of arguments before a script's own: epoch, lineage,
// operation id, "1" when it is repeated, clock in ms or "".
const headArgs = 5

// run executes a script until its reply is known, ctx ends or the retry time
// is over. Every repetition carries the same operation id, under which the
// script finds what it answered before. The first element of a reply is a
// word; all but OK become errors here or at the caller.
func (db *DB) run(ctx context.Context, s *script, args ...any) ([]string, error) {
	head := make([]any, headArgs, headArgs+len(args))
	head[0], head[1], head[2], head[3] = strconv.FormatUint(db.epoch.Load(), 10), *db.lineage.Load(), token(), "0"
	head[4] = db.clock()
	args = append(head, args...)

	var reply []string
	err := db.retry(ctx, func() error {
		if err := db.usable(); err != nil {
			return err
		}
		var err error
		reply, err = s.s.Run(ctx, db.rdb, db.k.all(s.keys), args...).StringSlice()
		args[3] = "1"
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	if len(reply) == 0 {
		return nil, fmt.Errorf("[BUG] %s: empty reply", s.name)
	}
	if reply[0] == "FORGOT" {
		return nil, fmt.Errorf("%s: %w", s.name, db.forgot(ErrForgot))
	}
	return reply, nil
}

// clock is what scripts go by, in ms; "" is the server's own.
func (db *DB) clock() string {
	if db.opt.Clock == nil {
		return ""
	}
	return strconv.FormatInt(db.opt.Clock().UnixMilli(), 10)
}

// usable is an error while the server is not the one opened.
func (db *DB) usable() error {
	if e := db.broken.Load(); e != nil {
		return *e
	}
	return nil
}

// retry repeats f while Redis is away, with full jitter from 50 ms up to 5 s.
func (db *DB) retry(ctx context.Context, f func() error) error {
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(50*time.Millisecond), backoff.WithMaxInterval(2500*time.Millisecond),
		backoff.WithRandomizationFactor(1), backoff.WithMaxElapsedTime(db.opt.RetryFor))
	return backoff.Retry(func() error {
		err := f()
		if err == nil || errors.Is(err, redis.Nil) {
			return nil
		}
		class, err := classify(err)
		if class == final {
			return backoff.Permanent(err)
		}
		if ctx.Err() != nil {
			return backoff.Permanent(fmt.Errorf("%w (%w)", err, ctx.Err()))
		}
		return err
	}, backoff.WithContext(b, ctx))
}

// read runs reading commands, which may be repeated freely, in one pipeline. Not
// in a transaction: a full Redis refuses those even to readers.
func (db *DB) read(ctx context.Context, f func(redis.Pipeliner)) error {
	return db.retry(ctx, func() error {
		if err := db.usable(); err != nil {
			return err
		}
		cmds, err := db.rdb.Pipelined(ctx, func(p redis.Pipeliner) error { f(p); return nil })
		if errors.Is(err, redis.Nil) {
			// a missing key is an answer; look behind it for errors that are not
			err = nil
			for _, c := range cmds {
				if e := c.Err(); e != nil && !errors.Is(e, redis.Nil) {
					err = e
				}
			}
		}
		return err
	})
}
