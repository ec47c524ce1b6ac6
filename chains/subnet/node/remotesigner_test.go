package node

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"

	"github.com/causeway-bridge/causeway/chains/ipc"
)

// shortDir is a folder whose path fits a Unix socket's.
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "sign")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// keyDir is a folder of a signer: a key with its state.
func keyDir(t *testing.T, key *ecdsa.PrivateKey) string {
	home, dir := t.TempDir(), t.TempDir()
	require.NoError(t, InitHome(home, testGenesis(t, newFakeParent("main"), 5, key), key))
	for _, f := range []func(string) string{keyFile, stateFile} {
		require.NoError(t, os.Rename(f(home), f(dir)))
	}
	return dir
}

// serveSigner runs a signer until stop is called.
func serveSigner(t *testing.T, cfg ServeSignerConfig) (address string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan string, 1), make(chan error, 1)
	cfg.Ready, cfg.Log = func(a string) { ready <- a }, testLog(t)
	go func() { done <- ServeSigner(ctx, cfg) }()
	select {
	case address = <-ready:
	case err := <-done:
		cancel()
		t.Fatalf("signer: %v", err)
	}
	var stopped atomic.Bool
	stop = func() {
		if !stopped.Swap(true) {
			cancel()
			require.NoError(t, <-done)
		}
	}
	t.Cleanup(stop)
	return address, stop
}

func dial(t *testing.T, cfg RemoteSignerConfig) *RemoteSigner {
	t.Helper()
	s, err := DialSigner(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestARemoteSignerSignsOnceUnderANameAcrossItsRestarts(t *testing.T) {
	key, ctx := testKey("validator 0"), t.Context()
	cfg := ServeSignerConfig{Dir: keyDir(t, key), Listen: "unix://" + filepath.Join(shortDir(t), "s")}
	at, stop := serveSigner(t, cfg)
	require.Equal(t, cfg.Listen, at)
	s := dial(t, RemoteSignerConfig{Address: at, Validator: addrOf(key)})
	require.Equal(t, addrOf(key), s.Address())
	require.Zero(t, s.Sequence())

	name, one, two := SignName{Kind: ipc.ItemParentFinality, Scope: 3, Key: 1 << 60}, common.Hash{1}, common.Hash{2}
	sig, err := s.Sign(ctx, name, one)
	require.NoError(t, err)
	want, err := ipc.Sign(key, one)
	require.NoError(t, err)
	require.Equal(t, want, sig[:])
	require.Equal(t, uint64(1), s.Sequence())
	_, err = s.Sign(ctx, name, two)
	require.ErrorIs(t, err, ErrConflict)

	// Two processes never sign from one folder.
	_, err = OpenFileSigner(cfg.Dir)
	require.ErrorIs(t, err, ErrStateInUse)

	stop()
	_, err = s.Sign(ctx, name, one)
	require.ErrorIs(t, err, ErrSignerUnavailable)
	serveSigner(t, cfg)
	_, err = s.Sign(ctx, name, two)
	require.ErrorIs(t, err, ErrConflict, "the new process remembers")
	again, err := s.Sign(ctx, name, one)
	require.NoError(t, err)
	require.Equal(t, sig, again)
	for _, n := range []SignName{{ipc.ItemParentFinality, 4, 1 << 60}, {ipc.ItemOutboxRoot, 0, 7}, {ipc.ItemCheckpoint, 0, 7}, {ipc.ItemPrice, 0, 7}} {
		_, err = s.Sign(ctx, n, two)
		require.NoError(t, err, n)
	}
	require.Equal(t, uint64(5), s.Sequence())

	_, err = DialSigner(ctx, RemoteSignerConfig{Address: at, Validator: addrOf(testKey("another"))})
	require.ErrorIs(t, err, ErrSignerLies)
}

func TestTheSignerAnswersNothingButItsProtocol(t *testing.T) {
	dir := keyDir(t, testKey("validator 0"))
	signer, err := OpenFileSigner(dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, signer.Close()) }()
	socket := filepath.Join(shortDir(t), "s")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	srv := &http.Server{Handler: signHandler(signer, slog.New(slog.DiscardHandler))}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	good := `{"kind":"checkpoint","scope":"0","key":"7","digest":"` + common.Hash{1}.Hex() + `"}`
	for body, want := range map[string]int{
		good: 200,
		"":   400, "{}": 400, "[]": 400, good + good: 400,
		strings.Replace(good, "checkpoint", "unknown_9", 1): 400, strings.Replace(good, `"7"`, `"-7"`, 1): 400,
		strings.Replace(good, `"7"`, `7`, 1): 400, strings.Replace(good, "01", "", 1): 400,
		strings.Replace(good, "{", `{"more":1,`, 1): 400, strings.Repeat(" ", maxSignBody) + good: 400,
	} {
		resp, err := client.Post("http://signer"+pathSign, "application/json", strings.NewReader(body))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, want, resp.StatusCode, "%.200s", body)
	}
	require.Equal(t, uint64(1), signer.Sequence(), "what is malformed leaves no trace")
}

// highS is the same signature in the half of the curve that contracts refuse.
func highS(sig []byte) []byte {
	out := bytes.Clone(sig)
	s := new(big.Int).Sub(crypto.S256().Params().N, new(big.Int).SetBytes(sig[32:64]))
	s.FillBytes(out[32:64])
	out[64] = 27 + 28 - sig[64]
	return out
}

func TestWhatALyingSignerSaysIsNotUsed(t *testing.T) {
	t.Parallel()
	key, digest := testKey("validator 0"), common.Hash{7}
	good, err := ipc.Sign(key, digest)
	require.NoError(t, err)
	foreign, err := ipc.Sign(testKey("another"), digest)
	require.NoError(t, err)
	other, err := ipc.Sign(key, common.Hash{8})
	require.NoError(t, err)
	say := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	signed := func(sig []byte, seq int) http.HandlerFunc {
		return say(200, fmt.Sprintf(`{"signature":"%s","sequence":"%d"}`, hexutil.Encode(sig), seq))
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   error // nil: accepted
	}{
		"honest":                    {signed(good, 5), nil},
		"a wrong key":               {signed(foreign, 5), ErrSignerLies},
		"another digest":            {signed(other, 5), ErrSignerLies},
		"high s":                    {signed(highS(good), 5), ErrSignerLies},
		"v of 0 or 1":               {signed(append(bytes.Clone(good[:64]), good[64]-27), 5), ErrSignerLies},
		"64 bytes":                  {signed(good[:64], 5), ErrSignerLies},
		"a sequence that went back": {signed(good, 3), ErrRolledBack},
		"no signature":              {say(200, `{"sequence":"5"}`), ErrSignerLies},
		"garbage":                   {say(200, "\x00\xff<html>"), ErrSignerLies},
		"nothing":                   {say(200, ""), ErrSignerLies},
		"an unknown field":          {say(200, `{"signature":"`+hexutil.Encode(good)+`","sequence":"5","and":1}`), ErrSignerLies},
		"two answers":               {say(200, `{"signature":"`+hexutil.Encode(good)+`","sequence":"5"}{}`), ErrSignerLies},
		"a flood":                   {say(200, strings.Repeat(" ", 1<<20)), ErrSignerLies},
		"an unknown refusal":        {say(409, `{"error":"whim"}`), ErrSignerLies},
		"a page":                    {say(502, "<html>"), ErrSignerLies},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/elsewhere", http.StatusTemporaryRedirect)
		}, ErrSignerLies},
		"conflict":    {say(409, `{"error":"conflict"}`), ErrConflict},
		"rolled back": {say(409, `{"error":"rolled_back"}`), ErrRolledBack},
		"failure":     {say(500, `{"error":"failed"}`), ErrSignerUnavailable},
		"a hang-up":   {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ErrSignerUnavailable},
		"silence":     {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, ErrSignerUnavailable},
		"a drip": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				fmt.Fprint(w, " ")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		}, ErrSignerUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			mux := http.NewServeMux()
			mux.HandleFunc("GET "+pathSigner, say(200, `{"validator":"`+addrOf(key).Hex()+`","sequence":"4"}`))
			mux.HandleFunc("POST "+pathSign, c.answer)
			socket := filepath.Join(shortDir(t), "s")
			l, err := net.Listen("unix", socket)
			require.NoError(t, err)
			srv := &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
			go func() { _ = srv.Serve(l) }()
			defer srv.Close()
			s := dial(t, RemoteSignerConfig{Address: "unix://" + socket, Validator: addrOf(key), Timeout: 2 * time.Second})
			began := time.Now()
			sig, err := s.Sign(t.Context(), SignName{Kind: ipc.ItemCheckpoint, Key: 7}, digest)
			require.Less(t, time.Since(began), 20*time.Second, "bounded")
			if c.want == nil {
				require.NoError(t, err)
				require.Equal(t, good, sig[:])
				return
			}
			require.ErrorIs(t, err, c.want)
			require.Zero(t, sig)
			require.Equal(t, uint64(4), s.Sequence())
		})
	}
}

// authority makes certificates of one CA.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  ed25519.PrivateKey
	ca   string
}

func newAuthority(t *testing.T) *authority {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	a := &authority{t: t, cert: cert, key: key, ca: filepath.Join(t.TempDir(), "ca.pem")}
	a.write(a.ca, "CERTIFICATE", der)
	return a
}

func (a *authority) write(path, kind string, der []byte) {
	require.NoError(a.t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

func (a *authority) issue() TLSFiles {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(a.t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "one side"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, pub, a.key)
	require.NoError(a.t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	dir := a.t.TempDir()
	f := TLSFiles{CA: a.ca, Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	a.write(f.Cert, "CERTIFICATE", der)
	a.write(f.Key, "PRIVATE KEY", raw)
	return f
}

func TestOverTheNetworkBothSidesShowACertificate(t *testing.T) {
	key := testKey("validator 0")
	ours, theirs := newAuthority(t), newAuthority(t)
	at, _ := serveSigner(t, ServeSignerConfig{Dir: keyDir(t, key), Listen: "https://127.0.0.1:0", TLS: ours.issue()})
	s := dial(t, RemoteSignerConfig{Address: at, TLS: ours.issue(), Validator: addrOf(key), Timeout: 10 * time.Second})
	_, err := s.Sign(t.Context(), SignName{Kind: ipc.ItemCheckpoint, Key: 1}, common.Hash{1})
	require.NoError(t, err)

	stranger := theirs.issue()
	impostor := stranger
	impostor.CA = ours.ca // believes the signer, is not believed by it
	for name, files := range map[string]TLSFiles{"a stranger": stranger, "an impostor": impostor} {
		_, err := DialSigner(t.Context(), RemoteSignerConfig{Address: at, TLS: files, Validator: addrOf(key), Timeout: 10 * time.Second})
		require.ErrorIs(t, err, ErrSignerUnavailable, name)
	}

	files := ours.issue()
	for _, c := range []struct {
		address string
		files   TLSFiles
	}{
		{"http://127.0.0.1:80", files}, {"https://127.0.0.1:80", TLSFiles{}}, {"https://127.0.0.1", files}, {"tcp://127.0.0.1:80", files},
		{"unix://relative", TLSFiles{}}, {"unix:///a", files}, {"", TLSFiles{}}, {"https://127.0.0.1:80/path", files},
	} {
		require.Error(t, CheckSignerAddress(c.address, c.files), c.address)
	}
}

// TestANodeWithoutItsKey is a validator whose keys are in another process,
// CometBFT's own votes included.
func TestANodeWithoutItsKeySignsThroughAnotherProcessAndOutlivesIt(t *testing.T) {
	t.Parallel()
	key, p, short := testKey("validator 0"), newFakeParent("main"), shortDir(t)
	g := testGenesis(t, p, 3, key)
	r := &rig{t: t, g: g, parent: p, home: t.TempDir(), consensus: "unix://" + filepath.Join(short, "c")}
	require.NoError(t, InitHome(r.home, g, key))
	dir := t.TempDir()
	for _, f := range []func(string) string{keyFile, stateFile} {
		require.NoError(t, os.Rename(f(r.home), f(dir)))
	}
	cfg := ServeSignerConfig{Dir: dir, Listen: "unix://" + filepath.Join(short, "i"), Consensus: r.consensus, ChainID: subnetID}
	at, stop := serveSigner(t, cfg)
	r.signer = dial(t, RemoteSignerConfig{Address: at, Validator: addrOf(key)})
	r.start()
	t.Cleanup(func() { require.NoError(t, r.node.Stop()) })
	p.send(addrOf(testKey("alice")), 1)
	p.mine(2)
	r.finality("a statement", func(f Finality) bool { return f.Statement.TopDownNonce == 1 })
	eventually(t, "readiness", 10*time.Second, func() bool { return r.node.Ready() == nil })
	require.NoFileExists(t, keyFile(r.home))
	require.Positive(t, r.signer.Sequence())

	// Items wait while their signer is away; consensus, with a signer of its own,
	// goes on.
	stop()
	items := cfg
	items.Listen = "unix://" + filepath.Join(short, "elsewhere")
	_, stopItems := serveSigner(t, items)
	eventually(t, "the lack of signatures to be said", 30*time.Second, func() bool { return errors.Is(r.node.Ready(), ErrSignerUnavailable) })
	require.Positive(t, sample(t, r.node.app.m.signErrors, "unavailable"))
	signed := sample(t, r.node.app.m.signed, "checkpoint")
	r.reach(r.node.Height() + 4)
	require.Equal(t, signed, sample(t, r.node.app.m.signed, "checkpoint"))
	stopItems()

	serveSigner(t, cfg)
	eventually(t, "signatures again", 30*time.Second, func() bool {
		return r.node.Ready() == nil && sample(t, r.node.app.m.signed, "checkpoint") > signed
	})

	// A signer whose state was put back from a copy is refused at the start.
	require.NoError(t, r.node.Stop())
	old := &rolledBack{RemoteSigner: r.signer}
	conf := r.config()
	conf.Signer = old
	_, err := Start(context.Background(), conf)
	require.ErrorIs(t, err, ErrRolledBack)
}

// rolledBack says that it has signed less than it has.
type rolledBack struct{ *RemoteSigner }

func (rolledBack) Sequence() uint64 { return 1 }
