package node

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"

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
)

// fileSigner keeps the key in memory and the signing state in a file.
type fileSigner struct {
	key   *ecdsa.PrivateKey
	state *signState
}

func (s *fileSigner) Address() common.Address { return crypto.PubkeyToAddress(s.key.PublicKey) }

// Sign records the digest with fsync before it signs: after a crash the same
// digest can be signed again, another one cannot.
func (s *fileSigner) Sign(_ context.Context, name SignName, digest common.Hash) (out [ipc.SignatureLen]byte, err error) {
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
