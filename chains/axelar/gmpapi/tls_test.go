package gmpapi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/test/gmp"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	a := authority{key: key, cert: &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &key.PublicKey, key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	return a
}

// issue gives a certificate for a name, good until then.
func (a authority) issue(t testing.TB, name string, until time.Time) (cert, key []byte) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}, a.cert, &k.PublicKey, a.key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(k)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

func file(t testing.TB, dir, name string, b []byte) string {
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, b, 0o600))
	return path
}

// secured is a service that takes certificates of one authority, and whose
// names it saw.
type secured struct {
	server *httptest.Server
	ca     string
	dir    string
	seen   atomic.Value
	opened atomic.Int64
}

func secure(t testing.TB, clients authority, version uint16) *secured {
	s := &secured{dir: t.TempDir()}
	api := gmp.New(chainName)
	s.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.seen.Store(r.TLS.PeerCertificates[0].Subject.CommonName)
		api.ServeHTTP(w, r)
	}))
	own := newAuthority(t)
	cert, key := own.issue(t, "server", time.Now().Add(time.Hour))
	pair, err := tls.X509KeyPair(cert, key)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(clients.cert)
	s.server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MaxVersion: version}
	s.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.server.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			s.opened.Add(1)
		}
	}
	s.server.StartTLS()
	t.Cleanup(s.server.Close)
	s.ca = file(t, s.dir, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.cert.Raw}))
	return s
}

func (s *secured) config(cert, key string) Config {
	return Config{URL: s.server.URL, Chain: chainName, Cert: cert, Key: key, CA: s.ca, Timeout: 5 * time.Second, RetryFor: 10 * time.Second}
}

func TestTheServiceIsShownTheClientCertificate(t *testing.T) {
	clients := newAuthority(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := secure(t, clients, version)
		cert, key := clients.issue(t, "one", time.Now().Add(time.Hour))
		cfg := s.config(file(t, s.dir, "client.crt", cert), file(t, s.dir, "client.key", key))
		c, err := New(cfg)
		require.NoError(t, err)
		t.Cleanup(c.Close)
		_, err = c.Tasks(t.Context(), uuid.Nil, 1)
		require.NoError(t, err)
		require.Equal(t, "one", s.seen.Load())

		// A certificate that takes its place is shown with the next connection.
		cert, key = clients.issue(t, "two", time.Now().Add(time.Hour))
		file(t, s.dir, "client.crt", cert)
		file(t, s.dir, "client.key", key)
		c.Close()
		_, err = c.Tasks(t.Context(), uuid.Nil, 1)
		require.NoError(t, err)
		require.Equal(t, "two", s.seen.Load())

		// One that ran out is refused before anybody else does.
		cert, key = clients.issue(t, "three", time.Now().Add(-time.Minute))
		file(t, s.dir, "client.crt", cert)
		file(t, s.dir, "client.key", key)
		c.Close()
		_, err = c.Tasks(t.Context(), uuid.Nil, 1)
		require.ErrorIs(t, err, ErrRefused)
		require.ErrorContains(t, err, "valid from")
		_, err = New(cfg)
		require.ErrorContains(t, err, "valid from")
	}
}

func TestWhoIsNotTakenInTheHandshakeIsNotTriedAgain(t *testing.T) {
	clients := newAuthority(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := secure(t, clients, version)
		cert, key := newAuthority(t).issue(t, "stranger", time.Now().Add(time.Hour))
		c, err := New(s.config(file(t, s.dir, "client.crt", cert), file(t, s.dir, "client.key", key)))
		require.NoError(t, err)
		t.Cleanup(c.Close)
		_, err = c.Tasks(t.Context(), uuid.Nil, 1)
		require.ErrorIs(t, err, ErrRefused)
		require.NotErrorIs(t, err, chains.ErrUnavailable)
		require.ErrorContains(t, err, "does not take the client certificate")
		asFailure(t, err)
		require.Nil(t, s.seen.Load())
		if version == tls.VersionTLS12 { // with 1.3 the refusal may be overtaken by the end of the connection
			require.Equal(t, int64(1), s.opened.Load())
		}

		// Nor is a service whose own certificate nobody vouches for.
		cert, key = clients.issue(t, "one", time.Now().Add(time.Hour))
		cfg := s.config(file(t, s.dir, "client.crt", cert), file(t, s.dir, "client.key", key))
		cfg.CA = ""
		c, err = New(cfg)
		require.NoError(t, err)
		t.Cleanup(c.Close)
		_, err = c.Tasks(t.Context(), uuid.Nil, 1)
		require.ErrorIs(t, err, ErrRefused)
		require.ErrorContains(t, err, "not trusted")
		require.Nil(t, s.seen.Load(), "nothing was asked of it")
	}
}

func TestFilesThatAreNoCertificatesAreRefusedAtOnce(t *testing.T) {
	dir := t.TempDir()
	a := newAuthority(t)
	cert, key := a.issue(t, "one", time.Now().Add(time.Hour))
	_, otherKey := a.issue(t, "two", time.Now().Add(time.Hour))
	good := Config{URL: "https://api.example", Chain: chainName, Cert: file(t, dir, "c", cert), Key: file(t, dir, "k", key)}
	c, err := New(good)
	require.NoError(t, err)
	c.Close()
	for what, change := range map[string]func(*Config){
		"no certificate file":  func(c *Config) { c.Cert = filepath.Join(dir, "none") },
		"no key file":          func(c *Config) { c.Key = filepath.Join(dir, "none") },
		"another key":          func(c *Config) { c.Key = file(t, dir, "other", otherKey) },
		"no certificate in it": func(c *Config) { c.Cert = file(t, dir, "empty", nil) },
		"no authority file":    func(c *Config) { c.CA = filepath.Join(dir, "none") },
		"no authority in it":   func(c *Config) { c.CA = file(t, dir, "empty", nil) },
	} {
		cfg := good
		change(&cfg)
		_, err := New(cfg)
		require.Error(t, err, what)
		require.NotContains(t, err.Error(), "PRIVATE", what)
	}
}
