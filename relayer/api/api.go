package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"golang.org/x/time/rate"
)

// Ledger is what the API reads of the store.
type Ledger interface {
	Get(ctx context.Context, id common.Hash) (store.Job, bool, error)
	Lookup(ctx context.Context, text string) ([]common.Hash, error)
	List(ctx context.Context, f store.Filter) ([]store.Job, string, error)
}

// Config is the users' API.
type Config struct {
	DB Ledger
	// Status is what /v1/status answers; it is encoded as JSON.
	Status func(context.Context) any
	Log    *slog.Logger
}

// Limits per client address: a burst, then a rate.
const (
	perSecond = 20
	burst     = 60
	maxPeers  = 4096
)

// New is the users' handler.
func New(cfg Config) http.Handler {
	a := &users{cfg: cfg, peers: map[string]*rate.Limiter{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/transfers", a.list)
	mux.HandleFunc("GET /v1/transfers/{id}", a.one)
	mux.HandleFunc("GET /v1/crossings", a.crossings)
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) { answer(w, cfg.Status(r.Context())) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			fail(w, http.StatusMethodNotAllowed, "method_not_allowed", "this API is read-only: use GET")
			return
		}
		fail(w, http.StatusNotFound, "not_found", "there are /v1/transfers, /v1/transfers/{id}, /v1/crossings and /v1/status")
	})
	return a.limited(mux)
}

type users struct {
	cfg   Config
	mu    sync.Mutex
	peers map[string]*rate.Limiter
}

// limited bounds requests per address and the size of what a client sends.
func (a *users) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !a.allow(peer(r.RemoteAddr)) {
			w.Header().Set("Retry-After", "1")
			fail(w, http.StatusTooManyRequests, "rate_limited", "slow down: 20 requests a second")
			return
		}
		if len(r.URL.RawQuery) > 1024 || len(r.URL.Path) > 256 {
			fail(w, http.StatusRequestURITooLong, "uri_too_long", "")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// peer is the client's address without its port; IPv6 by its /64, however it
// is written.
func peer(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	addr := at.Addr().Unmap()
	if addr.Is4() {
		return addr.String()
	}
	if net64, err := addr.WithZone("").Prefix(64); err == nil {
		return net64.String()
	}
	return addr.String()
}

func (a *users) allow(peer string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	l, ok := a.peers[peer]
	if !ok {
		if len(a.peers) >= maxPeers {
			clear(a.peers) // forgets everyone's debt rather than growing
		}
		l = rate.NewLimiter(perSecond, burst)
		a.peers[peer] = l
	}
	return l.Allow()
}

// parameters are what a list can be asked for.
var parameters = []string{"route", "status", "address", "tx", "limit", "cursor"}

// query reads the parameters: each of those known, and given once.
func query(raw string, known ...string) (q url.Values, code, detail string) {
	q, err := url.ParseQuery(raw)
	if err != nil {
		return nil, "bad_query", "the query is not name=value pairs in percent-encoding"
	}
	for name, values := range q {
		if !slices.Contains(known, name) {
			last := len(known) - 1
			return nil, "unknown_parameter", "known are " + strings.Join(known[:last], ", ") + " and " + known[last]
		}
		if len(values) > 1 {
			return nil, "repeated_parameter", "give each parameter once"
		}
	}
	return q, "", ""
}

// paged reads where a page begins and how long it is.
func paged(q url.Values, f *store.Filter) (code, detail string) {
	if f.Cursor, f.Limit = q.Get("cursor"), 50; f.Cursor != "" && !isCursor(f.Cursor) {
		return "bad_cursor", "a cursor is the next of the page before"
	}
	if s := q.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 200 {
			return "bad_limit", "a limit is 1 to 200"
		}
		f.Limit = n
	}
	return "", ""
}

func (a *users) list(w http.ResponseWriter, r *http.Request) {
	q, code, detail := query(r.URL.RawQuery, parameters...)
	if code != "" {
		fail(w, http.StatusBadRequest, code, detail)
		return
	}
	f := store.Filter{Route: q.Get("route"), Status: tokens.Status(q.Get("status"))}
	if f.Route != "" {
		if _, ok := tokens.RouteByName(f.Route); !ok {
			fail(w, http.StatusBadRequest, "unknown_route", "routes are "+routeNames())
			return
		}
	}
	if f.Status != "" && f.Status != tokens.Pending && !f.Status.Terminal() {
		fail(w, http.StatusBadRequest, "unknown_status", "statuses are pending, done, refunded, credited and parked")
		return
	}
	if code, detail := paged(q, &f); code != "" {
		fail(w, http.StatusBadRequest, code, detail)
		return
	}
	if s := q.Get("address"); s != "" {
		if len(s) != 42 || !common.IsHexAddress(s) {
			fail(w, http.StatusBadRequest, "bad_address", "an address is 0x and 40 hex digits")
			return
		}
		f.Address = common.HexToAddress(s).Hex()
	}
	if s := q.Get("tx"); s != "" {
		a.byTx(w, r, s, f)
		return
	}
	jobs, next, err := a.cfg.DB.List(r.Context(), f)
	if err != nil {
		a.unavailable(w, r, err)
		return
	}
	answer(w, page(jobs, next))
}

// byTx lists the transfers that a transaction began or moved, and that the
// filter lets through.
func (a *users) byTx(w http.ResponseWriter, r *http.Request, text string, f store.Filter) {
	if !isHash(text) {
		fail(w, http.StatusBadRequest, "bad_tx", "a transaction hash is 0x and 64 hex digits")
		return
	}
	ids, err := a.cfg.DB.Lookup(r.Context(), text)
	if err != nil {
		a.unavailable(w, r, err)
		return
	}
	var jobs []store.Job
	for _, id := range ids[:min(len(ids), 200)] {
		j, ok, err := a.cfg.DB.Get(r.Context(), id)
		if err != nil {
			a.unavailable(w, r, err)
			return
		}
		if ok && shows(j, f) && len(jobs) < f.Limit {
			jobs = append(jobs, j)
		}
	}
	answer(w, page(jobs, ""))
}

// shows says whether a transfer is a user's and the filter lets it through.
func shows(j store.Job, f store.Filter) bool {
	t := j.Transfer
	return !t.Hidden && (f.Route == "" || t.Route == f.Route) && (f.Status == "" || j.Status == f.Status) &&
		(f.Address == "" || strings.EqualFold(f.Address, t.Sender.Hex()) || strings.EqualFold(f.Address, t.Recipient.Hex()))
}

// one finds a transfer by its id, a withdrawal or message id, or the hash of a
// transaction that began or moved it.
func (a *users) one(w http.ResponseWriter, r *http.Request) {
	text := r.PathValue("id")
	if !isHash(text) {
		fail(w, http.StatusBadRequest, "bad_id", "an id is 0x and 64 hex digits")
		return
	}
	j, ok, err := a.find(r.Context(), text)
	switch {
	case err != nil:
		a.unavailable(w, r, err)
	case !ok:
		fail(w, http.StatusNotFound, "unknown_transfer", "no transfer has this id or transaction; a new one shows up once its block is final")
	default:
		v, err := a.withLegs(r.Context(), j)
		if err != nil {
			a.unavailable(w, r, err)
			return
		}
		answer(w, v)
	}
}

// find never finds a hidden transfer: those are the relayer's own.
func (a *users) find(ctx context.Context, text string) (store.Job, bool, error) {
	j, ok, err := a.cfg.DB.Get(ctx, common.HexToHash(text))
	if err != nil || ok && !j.Transfer.Hidden {
		return j, ok, err
	}
	ids, err := a.cfg.DB.Lookup(ctx, text)
	if err != nil {
		return store.Job{}, false, err
	}
	for _, id := range ids {
		if j, ok, err = a.cfg.DB.Get(ctx, id); err != nil || ok && !j.Transfer.Hidden {
			return j, ok, err
		}
	}
	return store.Job{}, false, nil
}

func (a *users) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	a.cfg.Log.WarnContext(r.Context(), "api: journal", "err", err)
	w.Header().Set("Retry-After", "2")
	fail(w, http.StatusServiceUnavailable, "journal_unavailable", "try again in a moment; no money depends on it")
}

func isHash(s string) bool {
	return len(s) == 66 && s[:2] == "0x" && strings.Trim(strings.ToLower(s[2:]), "0123456789abcdef") == ""
}

// isCursor says whether text can be the next of a page: a time and an id.
func isCursor(s string) bool {
	at, id, ok := strings.Cut(s, "-")
	return ok && len(at) == 12 && strings.Trim(at, "0123456789") == "" && isHash(id)
}

func routeNames() string {
	var names []string
	for _, r := range tokens.Routes() {
		names = append(names, r.Name)
	}
	return strings.Join(names, ", ")
}
