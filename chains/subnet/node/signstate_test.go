package node

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"

	"github.com/causeway-bridge/causeway/chains/ipc"
)

func openTestSigner(t *testing.T, path string) *FileSigner {
	s, err := openSignState(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.close() })
	return &FileSigner{key: testKey("validator 0"), state: s}
}

func TestASecondDigestUnderOneNameIsNeverSigned(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "sign")
	s := openTestSigner(t, path)
	name := SignName{Kind: ipc.ItemCheckpoint, Key: 10}
	one, two := common.Hash{1}, common.Hash{2}
	sig, err := s.Sign(ctx, name, one)
	require.NoError(t, err)
	signer, err := ipc.Recover(one, sig[:])
	require.NoError(t, err)
	require.Equal(t, s.Address(), signer)
	_, err = s.Sign(ctx, name, two)
	require.ErrorIs(t, err, ErrConflict)

	// Not after a restart either; the same digest may be signed again.
	require.NoError(t, s.state.close())
	s = openTestSigner(t, path)
	_, err = s.Sign(ctx, name, two)
	require.ErrorIs(t, err, ErrConflict)
	again, err := s.Sign(ctx, name, one)
	require.NoError(t, err)
	require.Equal(t, sig, again)

	// Another kind, height or scope is another name.
	for _, n := range []SignName{{ipc.ItemOutboxRoot, 0, 10}, {ipc.ItemCheckpoint, 0, 11}, {ipc.ItemParentFinality, 1, 10}, {ipc.ItemParentFinality, 2, 10}} {
		_, err = s.Sign(ctx, n, two)
		require.NoError(t, err)
	}
}

func TestATornRecordIsCutOffAndDamageIsRefused(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "sign")
	s := openTestSigner(t, path)
	for h := uint64(1); h <= 3; h++ {
		_, err := s.Sign(ctx, SignName{Kind: ipc.ItemCheckpoint, Key: h}, common.Hash{byte(h)})
		require.NoError(t, err)
	}
	require.NoError(t, s.state.close())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Len(t, whole, 3*signRecordLen)

	require.NoError(t, os.WriteFile(path, whole[:2*signRecordLen+17], 0o600))
	s = openTestSigner(t, path)
	require.Equal(t, uint64(2), s.state.sequence())
	_, err = s.Sign(ctx, SignName{Kind: ipc.ItemCheckpoint, Key: 2}, common.Hash{9})
	require.ErrorIs(t, err, ErrConflict)
	_, err = s.Sign(ctx, SignName{Kind: ipc.ItemCheckpoint, Key: 3}, common.Hash{3})
	require.NoError(t, err)
	require.NoError(t, s.state.close())
	healed, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, whole, healed)

	bad := append([]byte(nil), whole...)
	bad[30] ^= 1
	require.NoError(t, os.WriteFile(path, bad, 0o600))
	_, err = openSignState(path)
	require.ErrorContains(t, err, "damaged")
}

func TestCompactionKeepsTheNewestNamesAndRefusesOlderOnes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sign")
	s := openTestSigner(t, path).state
	// As a long life would have filled it.
	for h := uint64(1); h <= signKeepOnTrim+10; h++ {
		s.signed[SignName{Kind: ipc.ItemCheckpoint, Key: h}] = common.BigToHash(common.Big1)
	}
	s.count, s.seq = signCompactAt, signCompactAt
	require.NoError(t, s.record(SignName{Kind: ipc.ItemCheckpoint, Key: 1 << 20}, common.Hash{7}))
	require.ErrorIs(t, s.record(SignName{Kind: ipc.ItemCheckpoint, Key: 10}, common.Hash{7}), ErrRolledBack)
	require.NoError(t, s.close())

	s = openTestSigner(t, path).state
	require.Greater(t, s.sequence(), uint64(signCompactAt))
	require.ErrorIs(t, s.record(SignName{Kind: ipc.ItemCheckpoint, Key: 10}, common.Hash{7}), ErrRolledBack)
	require.ErrorIs(t, s.record(SignName{Kind: ipc.ItemCheckpoint, Key: 11}, common.Hash{7}), ErrConflict)
	require.NoError(t, s.record(SignName{Kind: ipc.ItemOutboxRoot, Key: 10}, common.Hash{7}))
}

func TestANodeRefusesASigningStateOlderThanItsChain(t *testing.T) {
	t.Parallel()
	r := startRig(t, 2)
	r.reach(3)
	path := filepath.Join(r.home, signStateFile)
	old, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotEmpty(t, old)
	r.reach(7)
	require.NoError(t, r.node.Stop())
	current, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Greater(t, len(current), len(old))

	require.NoError(t, os.WriteFile(path, old, 0o600))
	_, err = Start(context.Background(), r.config())
	require.ErrorIs(t, err, ErrRolledBack)

	require.NoError(t, os.WriteFile(path, current, 0o600))
	r.start()
	r.reach(r.node.Height() + 1)
}
