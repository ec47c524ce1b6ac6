// Package store is the only package that knows Redis. It keeps the queue of
// transfers, their ledger, the cursors of the chains and the intents of the
// transactions, and promises three things: whatever must be true together is
// written by one script or not at all; a reply that was lost is asked for
// again without being done again; and a worker that lost its lane cannot
// write. It does not promise to remember: with Redis lost, a rescan of the
// chains rebuilds everything but the signed transactions, which also live in a
// file on each instance's disk.
//
// All keys of one namespace share one hash tag and are listed in keys.go. Each
// transition is one commented script in lua/, run with the keys named in its
// first lines.
package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// schema is the version of everything under the namespace. A change of a key's
// type or meaning raises it.
const schema = 2

// Schema is the version that `causeway version` prints.
const Schema = schema

// Options says where the store lives and who is asking.
type Options struct {
	// URL is redis://[user:password@]host:port/db, rediss://… or unix://path.
	// It is never logged.
	URL string
	// Namespace prefixes every key; one per operator.
	Namespace string
	// Instance names this process in the journal.
	Instance string
	// AllowUnsafe turns the durability part of the start-up gate into warnings.
	AllowUnsafe bool
	// EpochFile remembers on this machine's disk what was last seen; "" = none.
	EpochFile string
	// AcceptForgotten opens a Redis that is empty, or of another history than
	// EpochFile says: an operator says so after a loss, and a rescan follows.
	AcceptForgotten bool
	// LeaseTime is how long a claimed lane stays with its worker; 0 = 30 s.
	LeaseTime time.Duration
	// RetryFor bounds the retries of one call on a Redis that is away; 0 = 20 s.
	RetryFor time.Duration
	// Rest is how many times as long as a page took Audit and Prune rest before
	// the next: a walk over a long history must not hold up the work. 0 = not at
	// all.
	Rest int
	// PoolSize bounds the connections; 0 = 64.
	PoolSize int
	// Clock replaces the server's clock, for tests and simulations; nil = the
	// server's own, so that instances with wrong clocks agree.
	Clock func() time.Time
	// Dial replaces the network, for tests; nil = the usual one.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	Log  *slog.Logger
}

// DB is an open store. Its methods may be called from many goroutines.
type DB struct {
	opt Options
	k   keys
	rdb *redis.Client
	log *slog.Logger

	mu      sync.Mutex // guards reopening and the epoch file
	kept    epoch      // in the epoch file
	runID   atomic.Pointer[string]
	lineage atomic.Pointer[string]
	epoch   atomic.Uint64
	mark    atomic.Uint64         // highest seen
	broken  atomic.Pointer[error] // set once the server is no longer the one opened
	full    atomic.Bool           // memory is nearly full: no new work

	forgetful atomic.Pointer[error] // why the server may forget; nil: it does not
}

var namespaceRE = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// IsURL says whether Open can read a URL.
func IsURL(raw string) bool {
	_, err := redis.ParseURL(raw)
	return err == nil
}

// Open connects and passes the start-up gate. Its errors wrap ErrUnfit (the
// server must be configured otherwise), ErrSchema (another version's data),
// ErrForgot (the server has nothing of the history in the epoch file) or ErrDown,
// and say what to do. One that has an earlier state of that history is opened, and
// is Recovering.
func Open(ctx context.Context, opt Options) (*DB, error) {
	if !namespaceRE.MatchString(opt.Namespace) {
		return nil, fmt.Errorf("namespace %q: want 1 to 64 letters, digits, '.', '_' or '-'", opt.Namespace)
	}
	ro, err := redis.ParseURL(opt.URL)
	if err != nil {
		// the error of the parser quotes the URL, which holds the password
		return nil, errors.New("redis URL: want redis://host:port/db, rediss://host:port/db or unix://path")
	}
	setDefault(&opt.LeaseTime, 30*time.Second)
	setDefault(&opt.RetryFor, 20*time.Second)
	setDefault(&opt.PoolSize, 64)
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	db := &DB{opt: opt, k: keys{opt.Namespace}, log: opt.Log}

	ro.MaxRetries = -1 // go-redis repeats scripts whose reply was lost, without an operation id
	ro.Protocol = 2
	ro.DisableIdentity = true
	ro.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	ro.ContextTimeoutEnabled = true
	ro.PoolSize = opt.PoolSize
	ro.DialTimeout = 3 * time.Second
	ro.DialerRetries = 1
	ro.ReadTimeout = 10 * time.Second
	ro.WriteTimeout = 10 * time.Second
	ro.OnConnect = db.sameServer
	if opt.Dial != nil {
		ro.Dialer = opt.Dial
	}
	quiet.Do(func() { redis.SetLogger(silence{}) })
	db.rdb = redis.NewClient(ro)
	err = db.open(ctx)
	for range 10 {
		if !errors.Is(err, ErrRestarted) {
			break
		}
		// It was restarted while it was looked at: nobody has trusted it yet.
		db.broken.Store(nil)
		db.runID.Store(nil)
		err = db.open(ctx)
	}
	if err != nil {
		_ = db.rdb.Close()
		return nil, fmt.Errorf("open store: %w", err)
	}
	return db, nil
}

// go-redis logs addresses to stderr by itself; what it has to say comes back as
// an error too.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

var quiet sync.Once

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Close ends the connections; what is leased stays leased until it expires.
func (db *DB) Close() error { return errors.Join(db.keep(), db.rdb.Close()) }

// Epoch counts the openings of this namespace; it is the first half of every
// fence given out under it.
func (db *DB) Epoch() uint64 { return db.epoch.Load() }

// token is a fresh random name.
func token() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}
