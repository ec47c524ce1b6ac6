package lotus

import (
	"encoding/binary"
	"math/big"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/filecoin-project/go-f3/gpbft"
)

// signDomain is what F3 hashes messages to the curve with.
const signDomain = "BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_"

// member of the committee: a BLS key, its public part on G1.
type member struct {
	secret *big.Int
	public gpbft.PubKey
}

// newMember draws a key from the chain's genesis, so that a restart finds the
// same committee. It protects nothing.
func newMember(genesis common.Hash, i uint64) member {
	var scalar fr.Element
	scalar.SetBytes(crypto.Keccak256([]byte("f3 member"), genesis[:], binary.BigEndian.AppendUint64(nil, i)))
	secret := scalar.BigInt(new(big.Int))
	public := new(bls.G1Affine).ScalarMultiplicationBase(secret).Bytes()
	return member{secret: secret, public: public[:]}
}

func (m member) sign(message []byte) ([]byte, error) {
	point, err := bls.HashToG2(message, []byte(signDomain))
	if err != nil {
		return nil, err
	}
	out := new(bls.G2Affine).ScalarMultiplication(&point, m.secret).Bytes()
	return out[:], nil
}
