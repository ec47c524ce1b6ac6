package axelar

import (
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

func TestCallDataSaysWhatItWouldDo(t *testing.T) {
	v := vectors(t)
	for _, s := range v.Steps {
		c, err := DecodeCommand(s.Approval.ApproveMessagesCalldata)
		require.NoError(t, err, s.Name)
		require.Equal(t, Command{Approve: []Message{s.Hub.Message.message()}}, c, s.Name)
	}
	c, err := DecodeCommand(v.Rotation.Calldata)
	require.NoError(t, err)
	require.NotNil(t, c.Rotate)
	require.True(t, v.Rotation.NewSigners.set().Equal(*c.Rotate))
	require.Empty(t, c.Approve)
}

func TestOtherCallsAreNoCommands(t *testing.T) {
	w := newTeam(t, 1, 1, 1)
	g := NewAmplifier(common.Address{1}, common.Hash{1})
	made := func(c Command) []byte {
		if c.Rotate != nil {
			return fnRotateSigners.data(*c.Rotate, Proof{Signers: w.set})
		}
		return fnApproveMessages.data(c.Approve, Proof{Signers: w.set})
	}
	batch := Command{Approve: []Message{someMessage(1), someMessage(2)}}
	digest, err := g.Digest(w.set, batch)
	require.NoError(t, err)
	good, err := g.Calldata(w.set, batch, w.all(t, digest))
	require.NoError(t, err)
	got, err := DecodeCommand(good)
	require.NoError(t, err)
	require.Equal(t, batch, got)

	for what, b := range map[string][]byte{
		"nothing": nil, "half a selector": good[:3], "the selector alone": good[:4], "cut": good[:len(good)-1],
		"longer": append(append([]byte{}, good...), make([]byte, 32)...), "another call": append([]byte{1, 2, 3, 4}, good[4:]...),
		"a transfer of the operator": declare("transferOperatorship", list("address"), nil).data(common.Address{1}),
		"a call of the gateway":      CallContractData("axelar", "hub", nil),
		"a batch under a rotation":   append(fnRotateSigners.selector.Bytes(), good[4:]...),
	} {
		_, err := DecodeCommand(b)
		require.ErrorIs(t, err, ErrMalformed, what)
	}
	_, err = DecodeCommand(made(Command{}))
	require.ErrorIs(t, err, ErrCommand, "an empty batch")
	_, err = DecodeCommand(made(Command{Approve: []Message{someMessage(1), someMessage(1)}}))
	require.ErrorIs(t, err, ErrMessage, "a message twice")
	odd := someMessage(1)
	odd.ID = "1"
	_, err = DecodeCommand(made(Command{Approve: []Message{odd}}))
	require.ErrorIs(t, err, ErrMessage, "an id that is none")
	_, err = DecodeCommand(append(good, make([]byte, maxCommandBytes)...))
	require.ErrorIs(t, err, ErrTooLarge)
}
