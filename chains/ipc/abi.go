package ipc

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// Sentinels of every decoder here, wrapped with the act that met them.
var (
	// ErrMalformed says when bytes are not the canonical encoding asked for.
	ErrMalformed = errors.New("not the canonical encoding")
	// ErrTooLarge says when an encoding exceeds its bound.
	ErrTooLarge = errors.New("encoding is too large")
	// ErrNotUint256 says when an amount is negative or wider than 256 bits.
	ErrNotUint256 = errors.New("number is not a uint256")
)

const wordLen = 32

// padded rounds a byte count up to whole words.
func padded(n int) int { return (n + wordLen - 1) / wordLen * wordLen }

func appendUint64(b []byte, v uint64) []byte {
	var w [wordLen]byte
	for i := range 8 {
		w[wordLen-1-i] = byte(v >> (8 * i))
	}
	return append(b, w[:]...)
}

func appendSize(b []byte, n int) []byte { return appendUint64(b, uint64(n)) }

func appendAddress(b []byte, a common.Address) []byte {
	var w [wordLen]byte
	copy(w[12:], a[:])
	return append(b, w[:]...)
}

// appendBig writes a uint256; nil is zero.
func appendBig(b []byte, v *big.Int) []byte {
	var w [wordLen]byte
	if v == nil {
		return append(b, w[:]...)
	}
	if err := checkUint256("value", v); err != nil {
		panic("[BUG] encode: " + err.Error())
	}
	v.FillBytes(w[:])
	return append(b, w[:]...)
}

// appendBytes writes the length and the right-padded bytes.
func appendBytes(b, data []byte) []byte {
	b = appendSize(b, len(data))
	b = append(b, data...)
	return append(b, make([]byte, padded(len(data))-len(data))...)
}

func sizeBytes(data []byte) int { return wordLen + padded(len(data)) }

func checkUint256(name string, v *big.Int) error {
	if v != nil && (v.Sign() < 0 || v.BitLen() > 256) {
		return fmt.Errorf("%s: %w", name, ErrNotUint256)
	}
	return nil
}

func keccak(parts ...[]byte) common.Hash { return crypto.Keccak256Hash(parts...) }

// reader walks a canonical ABI encoding once, front to back. The first fault
// sticks: every later read yields zero values, so callers check err once.
type reader struct {
	buf []byte
	pos int
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s at byte %d: %w", what, r.pos, ErrMalformed)
	}
}

func (r *reader) word() (w [wordLen]byte) {
	if r.err != nil {
		return w
	}
	if len(r.buf)-r.pos < wordLen {
		r.fail("truncated word")
		return w
	}
	copy(w[:], r.buf[r.pos:])
	r.pos += wordLen
	return w
}

// uint reads an unsigned integer of at most bits (≤ 64) bits.
func (r *reader) uint(bits uint) uint64 {
	w := r.word()
	var v uint64
	for i, c := range w {
		if i < wordLen-8 {
			if c != 0 {
				r.fail("wide integer")
				return 0
			}
			continue
		}
		v = v<<8 | uint64(c)
	}
	if bits < 64 && v>>bits != 0 {
		r.fail("wide integer")
		return 0
	}
	return v
}

func (r *reader) uint64() uint64    { return r.uint(64) }
func (r *reader) hash() common.Hash { return r.word() }

func (r *reader) big() *big.Int {
	w := r.word()
	return new(big.Int).SetBytes(w[:])
}

func (r *reader) address() (a common.Address) {
	w := r.word()
	for _, c := range w[:12] {
		if c != 0 {
			r.fail("wide address")
			return a
		}
	}
	copy(a[:], w[12:])
	return a
}

// offset reads a tail's offset; at checks it when the tail is reached.
func (r *reader) offset() int {
	v := r.uint64()
	if v > uint64(len(r.buf)) {
		r.fail("offset")
		return 0
	}
	return int(v)
}

// at demands that the tail with this offset begins right here: in a canonical
// encoding tails follow each other without gap, overlap or reuse.
func (r *reader) at(start, offset int) {
	if r.err == nil && r.pos-start != offset {
		r.fail("tail out of place")
	}
}

// lead reads the leading 0x20 word of a single dynamic argument.
func (r *reader) lead() {
	if off := r.offset(); off != wordLen {
		r.fail("leading offset")
	}
}

// count reads an array length; elements take at least minWords words each, so
// a length that the remaining bytes cannot hold fails before any allocation.
func (r *reader) count(minWords int) int {
	n := r.uint64()
	if r.err != nil {
		return 0
	}
	if n > uint64((len(r.buf)-r.pos)/(wordLen*minWords)) {
		r.fail("array length")
		return 0
	}
	return int(n)
}

// bytes reads a length and right-padded bytes, as a copy that is never nil.
func (r *reader) bytes() []byte {
	n := r.uint64()
	if r.err != nil {
		return []byte{}
	}
	if n > uint64(len(r.buf)-r.pos) || padded(int(n)) > len(r.buf)-r.pos {
		r.fail("bytes length")
		return []byte{}
	}
	end := r.pos + int(n)
	out := make([]byte, n)
	copy(out, r.buf[r.pos:end])
	for _, c := range r.buf[end : r.pos+padded(int(n))] {
		if c != 0 {
			r.fail("dirty padding")
			return []byte{}
		}
	}
	r.pos += padded(int(n))
	return out
}

// done demands that every byte was read.
func (r *reader) done() error {
	if r.err == nil && r.pos != len(r.buf) {
		r.fail("trailing bytes")
	}
	return r.err
}

// newReader refuses input above max bytes.
func newReader(b []byte, max int) (*reader, error) {
	if len(b) > max {
		return nil, fmt.Errorf("%d bytes, at most %d: %w", len(b), max, ErrTooLarge)
	}
	return &reader{buf: b}, nil
}

// listOffsets writes the offset words of an array of dynamic elements.
func listOffsets(b []byte, sizes []int) []byte {
	off := wordLen * len(sizes)
	for _, n := range sizes {
		b = appendSize(b, off)
		off += n
	}
	return b
}

// readList reads the offset words of an array of dynamic elements and then
// each element in place.
func readList[T any](r *reader, minWords int, elem func() T) []T {
	n := r.count(minWords + 1)
	start := r.pos
	offs := make([]int, n)
	for i := range offs {
		offs[i] = r.offset()
	}
	out := make([]T, 0, n)
	for _, off := range offs {
		r.at(start, off)
		if r.err != nil {
			break
		}
		out = append(out, elem())
	}
	return out
}
