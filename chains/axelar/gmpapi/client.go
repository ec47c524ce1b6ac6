package gmpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/cenkalti/backoff/v4"
)

// Client asks the service for one chain. It may be used by several goroutines
// at once.
type Client struct {
	cfg  Config
	base *url.URL
	http *http.Client
}

// New checks the configuration and reads the certificates. It asks nothing yet.
func New(cfg Config) (*Client, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	base, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, errors.New("GMP API: bad url")
	}
	through := cfg.Transport
	if through == nil {
		if through, err = cfg.transport(); err != nil {
			return nil, fmt.Errorf("GMP API: %w", err)
		}
	}
	return &Client{cfg: cfg, base: base, http: &http.Client{
		Transport:     through,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Chain is the chain's name at Axelar.
func (c *Client) Chain() string { return c.cfg.Chain }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Health says whether the service answers at all; it needs no chain.
func (c *Client) Health(ctx context.Context) error {
	_, err := c.ask(ctx, query{op: "ask for health", method: http.MethodGet, path: []string{"health"}})
	return err
}

const (
	typeJSON   = "application/json"
	typeBinary = "application/octet-stream"
)

// query is one call of the service.
type query struct {
	op      string // what is tried, as errors say it
	method  string
	path    []string // its parts, not escaped
	values  url.Values
	body    []byte
	sends   string // media type of the body
	gets    string // media type of a good answer; empty: any
	missing string // what to do when it is not found
	once    bool   // making it twice could do something twice
}

// ask makes a call, again while that can help: after a status of 429 or 5xx and
// where no answer came, with growing random pauses, never before the service
// said to, for RetryFor at most. A call to be made once is only repeated after
// 429, when it was not taken.
func (c *Client) ask(ctx context.Context, q query) ([]byte, error) {
	if int64(len(q.body)) > c.cfg.MaxBytes {
		return nil, &Failure{Op: q.op, Reason: fmt.Sprintf("%d bytes to send, at most %d", len(q.body), c.cfg.MaxBytes), kind: ErrTooLarge}
	}
	wait := newPauses(c.cfg.RetryFor)
	var last *Failure
	body, err := backoff.RetryNotifyWithData(func() ([]byte, error) {
		body, failed := c.attempt(ctx, q)
		if failed == nil {
			return body, nil
		}
		last = failed
		if !failed.again(q) || ctx.Err() != nil {
			return nil, backoff.Permanent(failed)
		}
		wait.after = failed.After
		return nil, failed
	}, backoff.WithContext(wait, ctx), func(err error, pause time.Duration) {
		if c.cfg.Retrying != nil {
			c.cfg.Retrying(q.op, err, pause)
		}
	})
	if err != nil && last != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("%w (%w)", ctx.Err(), last)
	}
	return body, err
}

// again says whether the same call may get another answer.
func (f *Failure) again(q query) bool {
	if !errors.Is(f, chains.ErrUnavailable) {
		return false
	}
	return !q.once || f.Status == http.StatusTooManyRequests
}

// attempt makes the call once.
func (c *Client) attempt(ctx context.Context, q query) ([]byte, *Failure) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	at := *c.base
	parts := make([]string, len(q.path))
	for i, p := range q.path {
		parts[i] = url.PathEscape(p)
	}
	at = *at.JoinPath(parts...)
	at.RawQuery = q.values.Encode()
	req, err := http.NewRequestWithContext(ctx, q.method, at.String(), bytes.NewReader(q.body))
	if err != nil {
		return nil, &Failure{Op: q.op, Reason: "[BUG] it makes no request", kind: ErrRefused}
	}
	if q.sends != "" {
		req.Header.Set("Content-Type", q.sends)
	}
	if q.gets != "" {
		req.Header.Set("Accept", q.gets)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unanswered(q, err)
	}
	defer resp.Body.Close()

	// A status that is no success says enough by itself: its body is kept short.
	good := resp.StatusCode >= 200 && resp.StatusCode < 300
	most := c.cfg.MaxBytes
	if !good {
		most = min(most, 64<<10)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	switch {
	case !good:
		return nil, c.refused(q, resp, body)
	case err != nil:
		return nil, c.unanswered(q, fmt.Errorf("read answer: %w", err))
	case int64(len(body)) > most:
		return nil, unusable(q, fmt.Errorf("an answer of more than %d bytes: %w", most, ErrTooLarge))
	case q.gets != typeJSON:
		return body, nil
	}
	if media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || media != typeJSON {
		return nil, unusable(q, fmt.Errorf("an answer of type %.100q: %w", printable(resp.Header.Get("Content-Type")), ErrAnswer))
	}
	if err := checkJSON(body, c.cfg.MaxDepth); err != nil {
		return nil, unusable(q, err)
	}
	return body, nil
}

// pauses grow by half from one to the next, at random round that, and end
// before their time is over. after is the least the next one has.
type pauses struct {
	backoff.BackOff
	until time.Time
	after time.Duration
}

func newPauses(total time.Duration) *pauses {
	return &pauses{until: time.Now().Add(total), BackOff: backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(500*time.Millisecond), backoff.WithMaxInterval(30*time.Second),
		backoff.WithRandomizationFactor(0.5), backoff.WithMaxElapsedTime(0))}
}

// NextBackOff implements backoff.BackOff. What the service asked for is
// lengthened a little, so that not all of its clients come back at once.
func (p *pauses) NextBackOff() time.Duration {
	next := p.BackOff.NextBackOff()
	if p.after > next {
		next = p.after + rand.N(p.after/10+time.Millisecond)
	}
	if time.Now().Add(next).After(p.until) {
		return backoff.Stop
	}
	return next
}
