package flow

import (
	"context"
	"errors"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

func TestASignedRecoveryIsCarriedUntilTheGatewayHasIt(t *testing.T) {
	var sent []chains.Tx
	signed, committed := false, uint64(0)
	var failed error
	d := RecoverDeps{
		Actor: common.Address{7},
		Signed: func(context.Context) (Recovery, bool, error) {
			return Recovery{Number: 3, Commit: func() (chains.Tx, error) { return chains.Tx{Data: []byte{1}}, nil }}, signed, nil
		},
		Committed: func(context.Context) (uint64, error) { return committed, nil },
		Send: func(_ context.Context, tx chains.Tx) error {
			sent = append(sent, tx)
			return failed
		},
	}
	require.NoError(t, d.Recover(t.Context()))
	require.Empty(t, sent, "nothing is signed")

	signed = true
	require.NoError(t, d.Recover(t.Context()))
	require.Len(t, sent, 1)
	require.Equal(t, "recovery/"+common.Address{7}.Hex()+"/3", sent[0].Key, "one transaction until it is decided")
	require.Zero(t, sent[0].Fence, "lanes that rely on the root stand still")
	failed = errors.New("away")
	require.ErrorIs(t, d.Recover(t.Context()), failed)

	for _, committed = range []uint64{3, 4} {
		require.NoError(t, d.Recover(t.Context()))
	}
	require.Len(t, sent, 2, "the gateway has it, or a newer one")
}
