package axelar

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// Sentinels of every decoder and encoder here, wrapped with the act that met
// them.
var (
	// ErrMalformed says when bytes are not the canonical encoding asked for.
	ErrMalformed = errors.New("not the canonical encoding")
	// ErrTooLarge says when an encoding exceeds its bound.
	ErrTooLarge = errors.New("encoding is too large")
	// ErrNotUint256 says when a number is missing, negative or wider than 256
	// bits.
	ErrNotUint256 = errors.New("number is not a uint256")
)

// Bounds of what decoders read at all.
const (
	// MaxPayloadBytes bounds ITS payloads: the size of a transaction.
	MaxPayloadBytes = 128 << 10
	// maxEventBytes is more than the log of any block: a stranger's event must
	// not halt the watcher of a gateway.
	maxEventBytes = 32 << 20
	// maxSetBytes bounds encoded signer sets, maxAnswerBytes the answers of
	// views, maxRevertBytes what of a revert is read.
	maxSetBytes    = 1 << 20
	maxAnswerBytes = 64 << 10
	maxRevertBytes = 64 << 10
	// maxCommandBytes is more than a block's gas pays for.
	maxCommandBytes = 4 << 20
)

// typed is one ABI type; components name the fields of a tuple.
func typed(name string, components ...abi.ArgumentMarshaling) abi.Argument {
	t, err := abi.NewType(name, "", components)
	if err != nil {
		panic("[BUG] ABI type " + name + ": " + err.Error())
	}
	return abi.Argument{Type: t}
}

// list is the types of one abi.encode, all but tuples.
func list(names ...string) abi.Arguments {
	out := make(abi.Arguments, len(names))
	for i, n := range names {
		out[i] = typed(n)
	}
	return out
}

// encode is abi.encode. Its callers have checked every number, so a value that
// does not fit its type is a bug here.
func encode(types abi.Arguments, values ...any) []byte {
	b, err := types.PackValues(values)
	if err != nil {
		panic("[BUG] encode: " + err.Error())
	}
	return b
}

// decode is the inverse of encode. It takes no other form than the canonical
// one: what was read must encode to the same bytes.
func decode(types abi.Arguments, b []byte, max int) ([]any, error) {
	if len(b) > max {
		return nil, fmt.Errorf("%d bytes, at most %d: %w", len(b), max, ErrTooLarge)
	}
	values, err := types.Unpack(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	again, err := types.PackValues(values)
	if err != nil || !bytes.Equal(again, b) {
		return nil, fmt.Errorf("encodes to other bytes: %w", ErrMalformed)
	}
	return values, nil
}

// function is one function of a contract.
type function struct {
	signature string
	selector  ipc.Selector
	in, out   abi.Arguments
}

func declare(name string, in, out abi.Arguments) function {
	m := abi.NewMethod(name, name, abi.Function, "", false, false, in, out)
	return function{signature: m.Sig, selector: ipc.SelectorOf(m.Sig), in: in, out: out}
}

// data is the call data.
func (f function) data(values ...any) []byte {
	return append(f.selector.Bytes(), encode(f.in, values...)...)
}

// answer reads the return data of a view.
func (f function) answer(b []byte) ([]any, error) {
	values, err := decode(f.out, b, maxAnswerBytes)
	if err != nil {
		return nil, fmt.Errorf("answer of %s: %w", f.signature, err)
	}
	return values, nil
}

func keccak(parts ...[]byte) common.Hash { return crypto.Keccak256Hash(parts...) }

func checkUint(name string, v *big.Int, bits int) error {
	if v == nil || v.Sign() < 0 || v.BitLen() > bits {
		return fmt.Errorf("%s is no uint%d: %w", name, bits, ErrNotUint256)
	}
	return nil
}
