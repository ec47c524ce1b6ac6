package ipc

import (
	"bytes"
	"fmt"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"
)

// Tree is OpenZeppelin's StandardMerkleTree: leaves sorted ascending, stored
// from the end of an array of 2n−1 nodes whose children are at 2i+1 and 2i+2,
// inner nodes hashing their children in sorted order. The empty tree has root
// zero and no proofs.
type Tree struct {
	nodes []common.Hash
	place []int // of each leaf as given, its index in nodes
}

// NewTree builds the tree over leaves that are already hashed.
func NewTree(leaves []common.Hash) *Tree {
	n := len(leaves)
	if n == 0 {
		return &Tree{}
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return bytes.Compare(leaves[a][:], leaves[b][:]) })

	t := &Tree{nodes: make([]common.Hash, 2*n-1), place: make([]int, n)}
	for rank, i := range order {
		at := len(t.nodes) - 1 - rank
		t.nodes[at] = leaves[i]
		t.place[i] = at
	}
	for i := n - 2; i >= 0; i-- {
		t.nodes[i] = hashPair(t.nodes[2*i+1], t.nodes[2*i+2])
	}
	return t
}

// Root is the root, zero for no leaves.
func (t *Tree) Root() common.Hash {
	if len(t.nodes) == 0 {
		return common.Hash{}
	}
	return t.nodes[0]
}

// Len is the number of leaves.
func (t *Tree) Len() int { return len(t.place) }

// Proof proves the i-th leaf, in the order given to NewTree.
func (t *Tree) Proof(i int) ([][32]byte, error) {
	if i < 0 || i >= len(t.place) {
		return nil, fmt.Errorf("prove leaf %d of %d: out of range", i, len(t.place))
	}
	proof := [][32]byte{}
	for at := t.place[i]; at > 0; at = (at - 1) / 2 {
		sibling := at - 1
		if at%2 == 1 {
			sibling = at + 1
		}
		proof = append(proof, t.nodes[sibling])
	}
	return proof, nil
}

// VerifyInclusion folds leaf with proof and compares it with root. The zero
// root belongs to the empty tree and proves nothing.
func VerifyInclusion(root, leaf common.Hash, proof [][32]byte) bool {
	if root == (common.Hash{}) {
		return false
	}
	for _, p := range proof {
		leaf = hashPair(leaf, p)
	}
	return leaf == root
}

func hashPair(a, b common.Hash) common.Hash {
	if bytes.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	return keccak(a[:], b[:])
}

// BatchTree is the tree over the messages of one checkpoint.
func BatchTree(msgs []IpcEnvelope) *Tree {
	leaves := make([]common.Hash, len(msgs))
	for i, m := range msgs {
		leaves[i] = m.Leaf()
	}
	return NewTree(leaves)
}

// Commit is the commitment to the messages of one checkpoint.
func Commit(msgs []IpcEnvelope) Commitment {
	return Commitment{TotalNumMsgs: uint64(len(msgs)), MsgsRoot: BatchTree(msgs).Root()}
}

// ActivityTree is the tree over (validator, blocks committed).
func ActivityTree(rows []ValidatorData) *Tree {
	leaves := make([]common.Hash, len(rows))
	for i, row := range rows {
		leaves[i] = doubleKeccak(appendUint64(appendAddress(nil, row.Validator), row.BlocksCommitted))
	}
	return NewTree(leaves)
}

// Member is a row of the membership tree that foreign subnets of generations A
// to C check signatures against: Power is the scaled integer power.
type Member struct {
	Addr  common.Address
	Power *big.Int
}

// MembershipTree is the tree over (validator, power).
func MembershipTree(rows []Member) *Tree {
	leaves := make([]common.Hash, len(rows))
	for i, row := range rows {
		leaves[i] = doubleKeccak(appendBig(appendAddress(nil, row.Addr), row.Power))
	}
	return NewTree(leaves)
}

func doubleKeccak(b []byte) common.Hash {
	inner := keccak(b)
	return keccak(inner[:])
}

// Inclusions proves every message of a batch, in the order given. Callers keep
// ascending nonces: execution is strictly by nonce.
func Inclusions(msgs []IpcEnvelope) []Inclusion {
	tree := BatchTree(msgs)
	out := make([]Inclusion, len(msgs))
	for i, m := range msgs {
		proof, err := tree.Proof(i)
		if err != nil {
			panic("[BUG] " + err.Error())
		}
		out[i] = Inclusion{Msg: m, Proof: proof}
	}
	return out
}
