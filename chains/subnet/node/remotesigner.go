package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/causeway-bridge/causeway/chains/ipc"
)

var (
	// ErrSignerUnavailable says that a remote signer gave no answer in time.
	ErrSignerUnavailable = errors.New("remote signer does not answer")
	// ErrSignerLies says that a remote signer answered with what it cannot have
	// made honestly: it is not used.
	ErrSignerLies = errors.New("remote signer answers wrongly")
)

// RemoteSignerConfig says where a validator's signer is, and whose it must be.
type RemoteSignerConfig struct {
	Address   string // unix:///path or https://host:port
	TLS       TLSFiles
	Validator common.Address
	Timeout   time.Duration // of one request; 0 = 300ms
}

const defaultSignerTimeout = 300 * time.Millisecond

// RemoteSigner asks another process to sign. The key and the state that
// refuses a second digest are there; what comes back is verified here.
type RemoteSigner struct {
	validator common.Address
	base      string
	timeout   time.Duration
	http      *http.Client
	seq       atomic.Uint64
}

// DialSigner connects to a signer and asks whose it is. It fails with
// ErrSignerLies when that is not the expected validator.
func DialSigner(ctx context.Context, cfg RemoteSignerConfig) (*RemoteSigner, error) {
	network, at, err := signerAddress(cfg.Address, cfg.TLS)
	if err != nil {
		return nil, err
	}
	s := &RemoteSigner{validator: cfg.Validator, base: "https://" + at, timeout: cfg.Timeout}
	if s.timeout <= 0 {
		s.timeout = defaultSignerTimeout
	}
	transport := &http.Transport{MaxIdleConns: 2, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 8 << 10}
	if network == "unix" {
		s.base = "http://signer"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", at)
		}
	} else if transport.TLSClientConfig, err = cfg.TLS.config(); err != nil {
		return nil, err
	}
	s.http = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	var who signerAnswer
	if err := s.ask(ctx, http.MethodGet, pathSigner, nil, &who); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to the signer: %w", err), s.Close())
	}
	if who.Validator != cfg.Validator {
		return nil, errors.Join(fmt.Errorf("signer is of %s, want %s: %w", who.Validator, cfg.Validator, ErrSignerLies), s.Close())
	}
	s.seq.Store(who.Sequence)
	return s, nil
}

// Address is the validator's.
func (s *RemoteSigner) Address() common.Address { return s.validator }

// Sequence is the signer's, as it last said. One that says less than before is
// not believed.
func (s *RemoteSigner) Sequence() uint64 { return s.seq.Load() }

// Close drops the connections.
func (s *RemoteSigner) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// Sign asks once; whoever wants the signature asks again at the next vote.
func (s *RemoteSigner) Sign(ctx context.Context, name SignName, digest common.Hash) (out [ipc.SignatureLen]byte, err error) {
	var got signAnswer
	ask := signRequest{Kind: name.Kind.String(), Scope: name.Scope, Key: name.Key, Digest: digest}
	if err := s.ask(ctx, http.MethodPost, pathSign, ask, &got); err != nil {
		return out, fmt.Errorf("sign %s %d: %w", name.Kind, name.Key, err)
	}
	signer, err := ipc.Recover(digest, got.Signature)
	if err != nil {
		return out, fmt.Errorf("sign %s %d: %w: %w", name.Kind, name.Key, err, ErrSignerLies)
	}
	if signer != s.validator {
		return out, fmt.Errorf("sign %s %d: signed by %s, want %s: %w", name.Kind, name.Key, signer, s.validator, ErrSignerLies)
	}
	if seen := s.seq.Load(); got.Sequence < seen {
		return out, fmt.Errorf("sign %s %d: signer is at record %d, was at %d: %w", name.Kind, name.Key, got.Sequence, seen, ErrRolledBack)
	}
	s.seq.Store(got.Sequence)
	copy(out[:], got.Signature)
	return out, nil
}

// ask is one request and its answer, bounded in time and size.
func (s *RemoteSigner) ask(ctx context.Context, method, path string, body, out any) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var text []byte
	if body != nil {
		text = encodeJSON(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("[BUG] make request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignerUnavailable, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxSignBody+1))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignerUnavailable, err)
	}
	if len(answer) > maxSignBody {
		return fmt.Errorf("answer is too long: %w", ErrSignerLies)
	}
	if resp.StatusCode != http.StatusOK {
		return refusal(resp.StatusCode, answer)
	}
	if err := strictJSON(answer, out); err != nil {
		return fmt.Errorf("decode answer: %w: %w", err, ErrSignerLies)
	}
	return nil
}

// refusal turns a signer's refusal into our error for it.
func refusal(status int, answer []byte) error {
	var r signRefusal
	if err := strictJSON(answer, &r); err != nil {
		return fmt.Errorf("status %d: %w", status, ErrSignerLies)
	}
	switch r.Error {
	case codeConflict:
		return ErrConflict
	case codeRolledBack:
		return ErrRolledBack
	case codeFailed:
		return fmt.Errorf("it failed by its own account: %w", ErrSignerUnavailable)
	}
	return fmt.Errorf("status %d: %w", status, ErrSignerLies)
}

// strictJSON decodes exactly one value with known fields.
func strictJSON(text []byte, out any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(out); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the value")
	}
	return nil
}
