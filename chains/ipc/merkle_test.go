package ipc

import (
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestEveryLeafOfATreeIsProvenAndNoOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		leaves := rapid.SliceOfN(genHash(), 1, 40).Draw(t, "leaves")
		tree := NewTree(leaves)
		require.Equal(t, len(leaves), tree.Len())
		other := genHash().Draw(t, "other")
		for i, leaf := range leaves {
			proof, err := tree.Proof(i)
			require.NoError(t, err)
			require.True(t, VerifyInclusion(tree.Root(), leaf, proof))
			if other != leaf {
				require.False(t, VerifyInclusion(tree.Root(), other, proof))
			}
		}
	})
}

func TestTheOrderOfLeavesDoesNotChangeTheRoot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		leaves := rapid.SliceOfN(genHash(), 1, 20).Draw(t, "leaves")
		shuffled := rapid.Permutation(leaves).Draw(t, "shuffled")
		require.Equal(t, NewTree(leaves).Root(), NewTree(shuffled).Root())
	})
}

func TestAnEmptyBatchHasRootZeroAndProvesNothing(t *testing.T) {
	require.Equal(t, Commitment{}, Commit(nil))
	tree := NewTree(nil)
	_, err := tree.Proof(0)
	require.Error(t, err)
	require.False(t, VerifyInclusion(common.Hash{}, common.Hash{}, nil))
	_, err = NewTree([]common.Hash{{1}}).Proof(-1)
	require.Error(t, err)
	require.Empty(t, Inclusions(nil))
}

func TestASingleLeafIsItsOwnRoot(t *testing.T) {
	leaf := common.Hash{7}
	tree := NewTree([]common.Hash{leaf})
	require.Equal(t, leaf, tree.Root())
	proof, err := tree.Proof(0)
	require.NoError(t, err)
	require.Empty(t, proof)
}
