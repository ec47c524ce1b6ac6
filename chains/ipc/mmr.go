package ipc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/ethereum/go-ethereum/common"
)

// ErrNoLeaf says when a proof is asked for a leaf the accumulator lacks.
var ErrNoLeaf = errors.New("no such leaf")

// Domain bytes of the accumulator's hashes.
const (
	mmrLeaf = 0
	mmrNode = 1
	mmrRoot = 2
)

// MMR is the append-only accumulator over withdrawal ids that the outbox keeps:
// the peaks of perfect trees, one per set bit of the count, as in a binary
// counter. The zero value is empty.
type MMR struct {
	count uint64
	peaks []common.Hash // by height; stale where the bit of count is clear
}

// Count is the number of leaves.
func (m *MMR) Count() uint64 { return m.count }

// Append adds a withdrawal id.
func (m *MMR) Append(id common.Hash) {
	node := mmrLeafHash(id)
	h := 0
	for ; m.count>>h&1 == 1; h++ {
		node = mmrNodeHash(m.peaks[h], node)
	}
	if h == len(m.peaks) {
		m.peaks = append(m.peaks, node)
	} else {
		m.peaks[h] = node
	}
	m.count++
}

// Root is keccak256(0x02 ‖ count ‖ bag of peaks), zero when empty. The bag
// starts at the lowest peak and hashes each higher one onto its left.
func (m *MMR) Root() common.Hash {
	if m.count == 0 {
		return common.Hash{}
	}
	bag := m.peaks[bits.TrailingZeros64(m.count)]
	for h := bits.TrailingZeros64(m.count) + 1; h < bits.Len64(m.count); h++ {
		if m.count>>h&1 == 1 {
			bag = mmrNodeHash(m.peaks[h], bag)
		}
	}
	return mmrRootHash(m.count, bag)
}

// ProveLeaf proves ids[index] against the root over all of ids: the siblings
// within its perfect tree from the bottom up, then the bag of all lower peaks
// if there are any, then each higher peak in ascending order.
func ProveLeaf(ids []common.Hash, index uint64) ([][32]byte, error) {
	count := uint64(len(ids))
	if index >= count {
		return nil, fmt.Errorf("prove leaf %d of %d: %w", index, count, ErrNoLeaf)
	}
	proof := [][32]byte{}
	var lower, higher []common.Hash // ascending
	base := count
	for h := 0; h < bits.Len64(count); h++ {
		if count>>h&1 == 0 {
			continue
		}
		base -= 1 << h // lower trees hold later leaves
		layer := make([]common.Hash, 1<<h)
		for i := range layer {
			layer[i] = mmrLeafHash(ids[base+uint64(i)])
		}
		at := index - base
		mine := index >= base && at < uint64(len(layer))
		for len(layer) > 1 {
			if mine {
				proof = append(proof, layer[at^1])
				at /= 2
			}
			for i := range len(layer) / 2 {
				layer[i] = mmrNodeHash(layer[2*i], layer[2*i+1])
			}
			layer = layer[:len(layer)/2]
		}
		switch {
		case mine:
		case index < base:
			lower = append(lower, layer[0])
		default:
			higher = append(higher, layer[0])
		}
	}
	if len(lower) > 0 {
		bag := lower[0]
		for _, p := range lower[1:] {
			bag = mmrNodeHash(p, bag)
		}
		proof = append(proof, bag)
	}
	for _, p := range higher {
		proof = append(proof, p)
	}
	return proof, nil
}

// VerifyLeaf says whether id is leaf index of the accumulator with this count
// and root. The shape of the proof follows from index and count alone, so a
// proof of another length or for another place fails.
func VerifyLeaf(root common.Hash, count, index uint64, id common.Hash, proof [][32]byte) bool {
	if index >= count {
		return false
	}
	next := func() (p common.Hash, ok bool) {
		if len(proof) == 0 {
			return p, false
		}
		p, proof = proof[0], proof[1:]
		return p, true
	}
	// The tree that holds the leaf is the highest whose leaves reach past it:
	// the top bit in which index and count differ, which count has set.
	height := bits.Len64(index^count) - 1
	node := mmrLeafHash(id)
	for h := range height {
		p, ok := next()
		if !ok {
			return false
		}
		if index>>h&1 == 1 {
			node = mmrNodeHash(p, node)
		} else {
			node = mmrNodeHash(node, p)
		}
	}
	if count&(1<<height-1) != 0 {
		p, ok := next()
		if !ok {
			return false
		}
		node = mmrNodeHash(node, p)
	}
	for h := height + 1; h < bits.Len64(count); h++ {
		if count>>h&1 == 0 {
			continue
		}
		p, ok := next()
		if !ok {
			return false
		}
		node = mmrNodeHash(p, node)
	}
	return len(proof) == 0 && mmrRootHash(count, node) == root
}

func mmrLeafHash(id common.Hash) common.Hash { return keccak([]byte{mmrLeaf}, id[:]) }

func mmrNodeHash(left, right common.Hash) common.Hash {
	return keccak([]byte{mmrNode}, left[:], right[:])
}

func mmrRootHash(count uint64, bag common.Hash) common.Hash {
	return keccak(binary.BigEndian.AppendUint64([]byte{mmrRoot}, count), bag[:])
}
