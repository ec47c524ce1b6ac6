package node

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/cometbft/cometbft/crypto/secp256k1"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/privval"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/causeway-bridge/causeway/chains/ipc"
)

// Signer signs items with the validator's registered key. Scope and key name
// what is signed: two digests for one name are never both signed. It returns
// ErrConflict or ErrRolledBack instead.
type Signer interface {
	Address() common.Address
	Sign(ctx context.Context, name SignName, digest common.Hash) ([ipc.SignatureLen]byte, error)
	// Sequence counts what was ever recorded for signing, as last heard: it only
	// grows. A signer that knows less than the chain has seen was rolled back.
	Sequence() uint64
	Close() error
}

// SignName is what a signature is about. Scope is the signing configuration
// for statements about the parent, whose height alone does not fix them, and 0
// for the others.
type SignName struct {
	Kind  ipc.ItemKind
	Scope uint64
	Key   uint64
}

var (
	// ErrConflict says that another digest was signed under the same name.
	ErrConflict = errors.New("another digest was signed under this name")
	// ErrRolledBack says that a name is below what the signing state remembers,
	// or that the state file is older than the chain it belongs to.
	ErrRolledBack = errors.New("signing state went backwards")
	// ErrStateInUse says that another process signs with the same state file.
	ErrStateInUse = errors.New("signing state is in use by another process")
)

// FileSigner keeps the key in memory and the signing state in a file.
type FileSigner struct {
	key   *ecdsa.PrivateKey
	state *signState
	lock  *os.File
}

// OpenFileSigner opens the key and the signing state of a folder: the node's
// home, or a folder of its own with validator_key.json, and sign_state.log once
// something was signed. Two processes never sign from one state file.
func OpenFileSigner(dir string) (*FileSigner, error) {
	key, err := loadKey(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, signStateFile)
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock of the signing state: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", filepath.Base(path), ErrStateInUse), lock.Close())
	}
	state, err := openSignState(path)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &FileSigner{key: key, state: state, lock: lock}, nil
}

// Address is the validator's.
func (s *FileSigner) Address() common.Address { return crypto.PubkeyToAddress(s.key.PublicKey) }

// Sign records the digest with fsync before it signs: after a crash the same
// digest can be signed again, another one cannot.
func (s *FileSigner) Sign(_ context.Context, name SignName, digest common.Hash) (out [ipc.SignatureLen]byte, err error) {
	if err := s.state.record(name, digest); err != nil {
		return out, err
	}
	sig, err := ipc.Sign(s.key, digest)
	if err != nil {
		return out, fmt.Errorf("sign item: %w", err)
	}
	copy(out[:], sig)
	return out, nil
}

// Sequence counts the records of the state file.
func (s *FileSigner) Sequence() uint64 { return s.state.sequence() }

// Close closes the state file; nothing is signed any more.
func (s *FileSigner) Close() error { return errors.Join(s.state.close(), s.lock.Close()) }

// decodeKey reads CometBFT's key file.
func decodeKey(text []byte) (*ecdsa.PrivateKey, error) {
	var k privval.FilePVKey
	if err := cmtjson.Unmarshal(text, &k); err != nil {
		return nil, err
	}
	priv, ok := k.PrivKey.(secp256k1.PrivKey)
	if !ok {
		return nil, errors.New("not a secp256k1 key")
	}
	return crypto.ToECDSA(priv.Bytes())
}
