package gmpapi

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// Config names the service and who asks it.
type Config struct {
	// URL is the service's, https; http only on this machine. It is never shown.
	URL string
	// Chain is the chain's name at Axelar, exactly.
	Chain string
	// Cert and Key are PEM files: the client certificate that Axelar issued for
	// the chain, and its key. They are read again for each new connection.
	Cert, Key string
	// CA is a PEM file of authorities that the service's own certificate is
	// checked against; empty: the system's.
	CA string

	Timeout  time.Duration // of one attempt, with its answer
	RetryFor time.Duration // of one call, with its pauses
	MaxBytes int64         // per request and per answer
	MaxDepth int           // JSON nesting per answer

	// Transport carries the requests; nil: the network.
	Transport http.RoundTripper
	// Retrying is told why a call is made again, and after which pause; nil:
	// nobody is.
	Retrying func(op string, err error, pause time.Duration)
}

// Default is everything but the service and the chain.
func Default() Config {
	return Config{Timeout: 30 * time.Second, RetryFor: 2 * time.Minute, MaxBytes: 16 << 20, MaxDepth: 32}
}

func (c Config) withDefaults() Config {
	d := Default()
	if c.Timeout == 0 {
		c.Timeout = d.Timeout
	}
	if c.RetryFor == 0 {
		c.RetryFor = d.RetryFor
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = d.MaxBytes
	}
	if c.MaxDepth == 0 {
		c.MaxDepth = d.MaxDepth
	}
	return c
}

// Check joins every complaint; the files are looked at by New.
func (c Config) Check() error {
	var errs []error
	say := func(format string, args ...any) { errs = append(errs, fmt.Errorf("GMP API: "+format, args...)) }
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		say("url: give https://host with nothing behind the path")
	case u.User != nil:
		say("url: it carries a password; the client certificate says who asks")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		say("url: plain http is for this machine only, give https")
	case u.Scheme != "http" && u.Scheme != "https":
		say("url: give https")
	case u.Scheme == "https" && c.Transport == nil && (c.Cert == "" || c.Key == ""):
		say("cert, key: the service takes nobody without the client certificate that Axelar issued for the chain; give both files")
	}
	if (c.Cert == "") != (c.Key == "") {
		say("cert, key: give both or none")
	}
	if c.Chain == "" || len(c.Chain) > maxText {
		say("chain: give the chain's name at Axelar")
	}
	if c.Timeout < 0 || c.RetryFor < 0 || c.MaxBytes < 0 || c.MaxDepth < 0 {
		say("timeout, retry_for, max_bytes, max_depth: none may be negative")
	}
	return errors.Join(errs...)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// tls is how the connection is made: with the client certificate, and against
// the configured authorities.
func (c Config) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("read certificate authority: %w", err)
		}
		if t.RootCAs = x509.NewCertPool(); !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read certificate authority: no certificate in %s", c.CA)
		}
	}
	if c.Cert == "" {
		return t, nil
	}
	if _, err := c.certificate(); err != nil {
		return nil, err
	}
	t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.certificate() }
	return t, nil
}

// certificate reads the client certificate; one that is out of its time is
// refused here, where the reason can be told.
func (c Config) certificate() (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("read client certificate: %w: %w", err, errCertificate)
	}
	if now := time.Now(); now.Before(cert.Leaf.NotBefore) || now.After(cert.Leaf.NotAfter) {
		return nil, fmt.Errorf("client certificate %s is valid from %s to %s only, put one that is valid now into its place: %w", c.Cert,
			cert.Leaf.NotBefore.Format(time.RFC3339), cert.Leaf.NotAfter.Format(time.RFC3339), errCertificate)
	}
	return &cert, nil
}

// transport is the bounded network: few connections, no redirects by it.
func (c Config) transport() (*http.Transport, error) {
	secure, err := c.tls()
	if err != nil {
		return nil, err
	}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig:        secure,
		TLSHandshakeTimeout:    10 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           4,
		MaxConnsPerHost:        8,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}, nil
}
