package node

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/causeway-bridge/causeway/chains/ipc"
)

// The signer protocol, version 1: HTTP with JSON bodies, over a Unix socket or
// TLS 1.3 with certificates on both sides. Numbers are decimal strings, bytes
// are 0x hex, an unknown field is an error.
//
//	GET  /v1/signer  →  {"validator": address, "sequence": n}
//	POST /v1/sign {"kind", "scope", "key", "digest"}  →  {"signature", "sequence": n}
//
// kind is parent_finality, outbox_root, price or checkpoint; scope and key are
// those of SignName. signature is 65 bytes r ‖ s ‖ v over the digest as it is,
// s in the lower half, v 27 or 28. Before it answers, the signer has recorded
// (kind, scope, key) → digest durably: the same request may be repeated and
// gets an equal answer, another digest under that name never gets one.
// sequence counts the records ever made. Refusals are {"error": code}:
//
//	409 conflict      another digest was signed under this name
//	409 rolled_back   the name is below what is remembered
//	400 malformed     the request is none
//	500 failed        nothing was signed; the signer's own log says why
const (
	pathSigner = "/v1/signer"
	pathSign   = "/v1/sign"

	codeConflict   = "conflict"
	codeRolledBack = "rolled_back"
	codeMalformed  = "malformed"
	codeFailed     = "failed"

	maxSignBody = 4 << 10
)

type signerAnswer struct {
	Validator common.Address `json:"validator"`
	Sequence  uint64         `json:"sequence,string"`
}

type signRequest struct {
	Kind   string      `json:"kind"`
	Scope  uint64      `json:"scope,string"`
	Key    uint64      `json:"key,string"`
	Digest common.Hash `json:"digest"`
}

type signAnswer struct {
	Signature hexutil.Bytes `json:"signature"`
	Sequence  uint64        `json:"sequence,string"`
}

type signRefusal struct {
	Error string `json:"error"`
}

// kindNamed is the item kind with a label.
func kindNamed(label string) (ipc.ItemKind, bool) {
	for k := ipc.ItemParentFinality; k.Known(); k++ {
		if k.String() == label {
			return k, true
		}
	}
	return 0, false
}

// TLSFiles are PEM files for one side of a connection: the authority that the
// other side's certificate must come from, and this side's own.
type TLSFiles struct{ CA, Cert, Key string }

// Empty says that no file is given.
func (f TLSFiles) Empty() bool { return f == TLSFiles{} }

// config is for a server and a client alike: each demands the other's
// certificate.
func (f TLSFiles) config() (*tls.Config, error) {
	pem, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, fmt.Errorf("read certificate authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("read certificate authority: no certificate in it")
	}
	cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("read own certificate: %w", err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert},
		RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}, nil
}

// CheckSignerAddress says whether an address is unix:///path or, with TLS
// files, https://host:port.
func CheckSignerAddress(address string, files TLSFiles) error {
	_, _, err := signerAddress(address, files)
	return err
}

// socketPath is the path in unix:///path.
func socketPath(address string) (string, error) {
	network, at, err := signerAddress(address, TLSFiles{})
	if err != nil || network != "unix" {
		return "", errors.New("consensus signer address: unix:///path/of.sock")
	}
	return at, nil
}

// CheckSocket says whether an address is unix:///path.
func CheckSocket(address string) error {
	_, err := socketPath(address)
	return err
}

// signerAddress splits an address into network and net address.
func signerAddress(address string, files TLSFiles) (network, at string, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", "", errors.New("signer address is no URL")
	}
	switch {
	case u.Scheme == "unix" && u.Host == "" && u.Path != "" && files.Empty():
		return "unix", u.Path, nil
	case u.Scheme == "https" && u.Port() != "" && u.Path == "" && files.CA != "" && files.Cert != "" && files.Key != "":
		return "tcp", u.Host, nil
	}
	return "", "", errors.New("signer address: unix:///path/of.sock, or https://host:port with ca, cert and key files")
}
