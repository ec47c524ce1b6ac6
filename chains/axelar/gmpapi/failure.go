package gmpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/causeway-bridge/causeway/chains"
)

var (
	// ErrRefused says when the service refuses a call: the same call again would
	// be refused again.
	ErrRefused = errors.New("the GMP API refuses it")
	// ErrNotFound says when there is no such thing at the service; it is
	// ErrRefused too.
	ErrNotFound = fmt.Errorf("%w: there is no such thing", ErrRefused)
)

// Failure is why a call failed. It is chains.ErrUnavailable where the service
// gave no answer (a later call may get one), ErrRefused where it gave one that
// is final, ErrAnswer or ErrTooLarge where its answer cannot be used.
type Failure struct {
	// Op is what was tried, Status the HTTP status (0: no answer), Reason what the
	// service or the network said, RequestID what Axelar finds it by.
	Op        string
	Status    int
	Reason    string
	RequestID string
	// After is how long the service wants to be left alone; 0: it did not say.
	After time.Duration

	kind   error
	advice string
}

// Error is one line: what was tried, what was said, what to do.
func (f *Failure) Error() string {
	var b strings.Builder
	b.WriteString(f.Op)
	if f.Status != 0 {
		fmt.Fprintf(&b, ": status %d", f.Status)
	}
	for _, part := range []string{f.Reason, f.kind.Error(), f.advice} {
		if part != "" {
			b.WriteString(": " + part)
		}
	}
	if f.RequestID != "" {
		fmt.Fprintf(&b, " (request %s)", f.RequestID)
	}
	return b.String()
}

// Unwrap gives the kind of failure.
func (f *Failure) Unwrap() error { return f.kind }

// refused is an answer with a status that is no success.
func (c *Client) refused(q query, resp *http.Response, body []byte) *Failure {
	f := &Failure{Op: q.op, Status: resp.StatusCode, kind: ErrRefused}
	f.Reason, f.RequestID = said(body)
	switch code := resp.StatusCode; {
	case code == http.StatusTooManyRequests || code >= 500:
		f.kind, f.After = chains.ErrUnavailable, retryAfter(resp.Header.Get("Retry-After"), time.Now())
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		f.advice = fmt.Sprintf("the client certificate does not open chain %q: it must be the one that Axelar issued for it on this network", c.cfg.Chain)
	case code == http.StatusNotFound:
		f.kind, f.advice = ErrNotFound, q.missing
	case code == http.StatusBadRequest:
		f.advice = "what was sent is not what its schema allows: its version may differ from ours"
	case code == http.StatusRequestEntityTooLarge:
		f.kind, f.advice = fmt.Errorf("%w: %w", ErrRefused, ErrTooLarge), "send less at once"
	case code >= 300 && code < 400:
		f.advice = "it redirects, which is not followed: configure the URL that it redirects to"
	}
	return f
}

// said reads the service's own words about an error, where they are its own.
func said(body []byte) (reason, request string) {
	if checkJSON(body, 4) != nil {
		return "", ""
	}
	o := readObject("error", body)
	if reason = o.anyText("error"); *o.err != nil {
		return "", ""
	}
	return printable(reason), printable(o.textOr("requestID"))
}

// printable keeps what a stranger wrote on one short line.
func printable(s string) string {
	const most = 300
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strings.TrimSpace(s)
}

// maxAfter is the longest pause that is believed.
const maxAfter = 24 * time.Hour

// retryAfter reads seconds or a date; what is neither, or over, is nothing.
func retryAfter(header string, now time.Time) time.Duration {
	var d time.Duration
	if seconds, err := strconv.ParseUint(header, 10, 32); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), maxAfter)
}

// errCertificate says that there is no usable client certificate.
var errCertificate = errors.New("no client certificate")

// unanswered is a request to which no whole answer came. The URL stays out of
// it. Who is refused in the handshake is refused the next time too.
func (c *Client) unanswered(q query, err error) *Failure {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	f := &Failure{Op: q.op, Reason: printable(err.Error()), kind: chains.ErrUnavailable}
	var untrusted *tls.CertificateVerificationError
	var remote *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		f.Reason = fmt.Sprintf("no answer within %s", c.cfg.Timeout)
	case errors.As(err, &untrusted):
		f.kind, f.advice = ErrRefused, "the service's own certificate is not trusted: check the URL, or give its authority as ca"
	case errors.As(err, &remote) && remote.Op == "remote error":
		f.kind, f.advice = ErrRefused, "the service does not take the client certificate (cert, key): it must be the one that Axelar issued"
	case errors.Is(err, errCertificate):
		f.kind = ErrRefused
	}
	return f
}

// unusable is an answer of success that is none.
func unusable(q query, err error) *Failure {
	kind, advice := ErrAnswer, "is the URL that of the GMP API, without a page or a proxy before it?"
	if errors.Is(err, ErrTooLarge) {
		kind, advice = ErrTooLarge, ""
	}
	reason := strings.TrimSuffix(strings.TrimSuffix(err.Error(), ": "+ErrAnswer.Error()), ": "+ErrTooLarge.Error())
	return &Failure{Op: q.op, Status: http.StatusOK, Reason: printable(reason), kind: kind, advice: advice}
}
