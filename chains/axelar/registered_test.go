package axelar

import (
	"context"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

func init() { views = append(views, fnGasService, fnFactory) }

func registration(at common.Address, l layout, topics []common.Hash, values ...any) chains.Event {
	return chains.Event{Address: at, Topics: append([]common.Hash{l.topic}, topics...), Data: encode(l.data, values...)}
}

func TestTheRegistrationOfATokenIsRead(t *testing.T) {
	v, s := vectors(t), Service{Address: common.Address{7}}
	for name, l := range map[string]layout{"TokenManagerDeployed": evManagerDeployed, "InterchainTokenDeployed": evTokenDeployed} {
		require.Equal(t, v.Meta.Topics[name].Topic, l.topic)
		require.Equal(t, v.Meta.Topics[name].Sig, l.signature)
	}
	id, manager, token, minter := common.Hash{1}, common.Address{2}, common.Address{3}, common.Address{4}
	filter := s.Registration(id)
	deployed := registration(s.Address, evManagerDeployed, []common.Hash{id, {31: 2}}, manager, []byte{5})
	made := registration(s.Address, evTokenDeployed, []common.Hash{id, common.BytesToHash(minter[:])}, token, "Fluence", "FLT", uint8(18))
	for e, want := range map[*chains.Event]ServiceEvent{
		&deployed: Registered{TokenID: id, Manager: manager, Type: ManagerLockUnlock},
		&made:     Made{TokenID: id, Token: token, Minter: minter, Decimals: 18},
	} {
		require.True(t, filter.Selects(e.Address, e.Topics))
		got, ok, err := s.ReadRegistration(*e)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, want, got)
		require.False(t, s.Registration(common.Hash{9}).Selects(e.Address, e.Topics), "another token's")
		_, ok, err = Service{Address: common.Address{8}}.ReadRegistration(*e)
		require.True(t, err == nil && !ok, "another contract's")
		short := *e
		short.Data = short.Data[32:]
		_, ok, err = s.ReadRegistration(short)
		require.ErrorIs(t, err, ErrMalformed)
		require.False(t, ok)
	}
	odd := registration(s.Address, evManagerDeployed, []common.Hash{id, {30: 1}}, manager, []byte{5})
	_, _, err := s.ReadRegistration(odd)
	require.ErrorIs(t, err, ErrMalformed)
	odd = registration(s.Address, evTokenDeployed, []common.Hash{id, {1}}, token, "", "", uint8(0))
	_, _, err = s.ReadRegistration(odd)
	require.ErrorIs(t, err, ErrMalformed)
	_, ok, err := s.ReadRegistration(chains.Event{Address: s.Address, Topics: []common.Hash{evTransfer.topic}})
	require.True(t, err == nil && !ok)
	require.Equal(t, "lock_unlock native_interchain_token type_9", ManagerLockUnlock.String()+" "+ManagerNative.String()+" "+ManagerType(9).String())
}

func TestAnITSIsAskedForItsTokensAndWhatStandsBesideIt(t *testing.T) {
	ctx, at := context.Background(), common.Address{7}
	w := itsWorld(at, V220)
	s := Service{Address: at}
	_, ok, err := s.Token(ctx, w, common.Hash{1})
	require.True(t, err == nil && !ok, "it reverts for what it does not know")
	w[at][fnRegistered.signature] = always(common.Address{3})
	token, ok, err := s.Token(ctx, w, common.Hash{1})
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, common.Address{3}, token)
	w[at][fnRegistered.signature] = always(errDown)
	_, _, err = s.Token(ctx, w, common.Hash{1})
	require.ErrorIs(t, err, errDown)

	_, _, err = s.Beside(ctx, w)
	require.ErrorIs(t, err, ErrNotService)
	w[at][fnGasService.signature], w[at][fnFactory.signature] = always(common.Address{5}), always(common.Address{})
	_, _, err = s.Beside(ctx, w)
	require.ErrorIs(t, err, ErrNotService)
	w[at][fnFactory.signature] = always(common.Address{6})
	gas, factory, err := s.Beside(ctx, w)
	require.NoError(t, err)
	require.Equal(t, [2]common.Address{{5}, {6}}, [2]common.Address{gas, factory})
	w[at][fnFactory.signature] = always(errDown)
	_, _, err = s.Beside(ctx, w)
	require.ErrorIs(t, err, errDown)
}
