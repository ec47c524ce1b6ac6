package evm

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// bounded is an http.RoundTripper that hands a whole, checked body to the
// decoder: at most max bytes after decompression, nested at most depth deep,
// of a JSON content type. Bytes that break a bound never reach a decoder.
type bounded struct {
	base  http.RoundTripper
	max   int64
	depth int
}

// RoundTrip implements http.RoundTripper. The request's context bounds the
// time of the body too, since the body is read in here.
func (b *bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()

	// An error status says enough by itself; its body is kept short.
	ok := resp.StatusCode >= 200 && resp.StatusCode < 300
	limit := b.max
	if !ok {
		limit = 64 << 10
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if int64(len(body)) > limit {
		if !ok {
			body = nil
		} else {
			return nil, fmt.Errorf("%w of %d bytes", errOversize, b.max)
		}
	}
	if ok {
		if !jsonType(resp.Header.Get("Content-Type")) {
			return nil, fmt.Errorf("%w but of another content type", errNotJSON)
		}
		if err := checkDepth(body, b.depth); err != nil {
			return nil, err
		}
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	return resp, nil
}

func jsonType(header string) bool {
	media, _, err := mime.ParseMediaType(header)
	if err != nil {
		return false
	}
	switch media {
	case "application/json", "application/json-rpc", "application/jsonrequest":
		return true
	}
	return false
}

// checkDepth scans brackets outside strings; it allocates nothing and leaves
// syntax to the decoder.
func checkDepth(b []byte, limit int) error {
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return fmt.Errorf("%w of depth %d", errOversize, limit)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// dialer counts the connections it opens: each new one may end at another
// machine, so its chain id is asked before its answers are believed.
type dialer struct {
	net.Dialer
	opened atomic.Uint64
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := d.Dialer.DialContext(ctx, network, addr)
	if err == nil {
		d.opened.Add(1)
	}
	return conn, err
}

// onThisMachine says whether an endpoint is reached over the loopback.
func onThisMachine(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// httpClient is the bounded HTTP client of one endpoint: few connections, no
// redirects (a redirect could lead to another chain).
func httpClient(cfg Config, d *dialer) (*http.Client, *http.Transport) {
	var base *http.Transport
	through := cfg.Transport
	if through == nil {
		base = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            d.dial,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           16,
			MaxIdleConnsPerHost:    16,
			MaxConnsPerHost:        16,
			IdleConnTimeout:        90 * time.Second,
			TLSHandshakeTimeout:    10 * time.Second,
			ResponseHeaderTimeout:  cfg.Timeout,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     onThisMachine(cfg.URL), // costs both sides more than it saves
		}
		through = base
	}
	return &http.Client{
		Transport:     &bounded{base: through, max: cfg.MaxBytes, depth: cfg.MaxDepth},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       cfg.Timeout,
	}, base
}
