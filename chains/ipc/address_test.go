package ipc

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestOnlyTheCanonicalDelegatedFormIsAnEVMAddress(t *testing.T) {
	a := common.HexToAddress("0x976EA74026E726554dB657fA54763abd0C3a0aa9")
	good := FromEVM(a)
	evm, err := good.EVM()
	require.NoError(t, err)
	require.Equal(t, a, evm)

	for _, bad := range []FvmAddress{
		{},
		{AddrType: 1, Payload: good.Payload},
		{AddrType: 1, Payload: a.Bytes()},
		{AddrType: 4, Payload: good.Payload[:191]},
		{AddrType: 4, Payload: append(bytes.Clone(good.Payload), make([]byte, 32)...)},
	} {
		_, err := bad.EVM()
		require.ErrorIs(t, err, ErrNotDelegated)
	}
	// Any byte outside the address itself is fixed.
	for i := range good.Payload {
		if i >= 160 && i < 180 {
			continue
		}
		p := bytes.Clone(good.Payload)
		p[i] ^= 1
		_, err := FvmAddress{AddrType: 4, Payload: p}.EVM()
		require.ErrorIs(t, err, ErrNotDelegated, "byte %d", i)
	}
}

func TestEveryEVMAddressSurvivesItsTextForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := genAddr().Draw(t, "address")
		for _, network := range []byte{'f', 't'} {
			text := F410(network, a)
			back, err := ParseF410(text)
			require.NoError(t, err)
			require.Equal(t, a, back)
			i := rapid.IntRange(5, len(text)-1).Draw(t, "at")
			broken := []byte(text)
			broken[i] = 'a' + (broken[i]-'a'+1)%26
			if _, err := ParseF410(string(broken)); err == nil {
				t.Fatalf("a broken address parses: %s", broken)
			}
		}
	})
	for _, bad := range []string{"", "f410f", "f0101", strings.ToUpper(F410('f', common.Address{})), F410('f', common.Address{}) + "a"} {
		_, err := ParseF410(bad)
		require.Error(t, err, bad)
	}
}

func TestSubnetIdsSurviveBothTextForms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genSubnet().Draw(t, "subnet")
		for _, text := range []string{s.String(), s.FilString('f'), s.FilString('t')} {
			back, err := ParseSubnetID(text)
			require.NoError(t, err)
			require.True(t, s.Equal(back))
		}
	})
	require.Equal(t, "/r314159/0x2a3ef0f414c626e51afa2f29f3f7be7a45c6db09",
		NewSubnetID(314159, common.HexToAddress("0x2a3eF0F414c626e51AFA2F29f3F7Be7a45C6DB09")).String())
	for _, bad := range []string{"", "/", "/r", "r1", "/r01", "/r-1", "/r+1", "/r1/", "/r1/0x12", "/r1/f0101", "/r18446744073709551616",
		"/r1/2a3ef0f414c626e51afa2f29f3f7be7a45c6db09aa", "/r1" + strings.Repeat("/0x2a3ef0f414c626e51afa2f29f3f7be7a45c6db09", 33)} {
		_, err := ParseSubnetID(bad)
		require.Error(t, err, bad)
	}
}

func TestParentAndChildUndoEachOther(t *testing.T) {
	root := NewSubnetID(314)
	actor := common.HexToAddress("0x01020304")
	child := root.Child(actor)
	require.Equal(t, actor, child.Actor())
	require.False(t, child.IsRoot())
	parent, err := child.Parent()
	require.NoError(t, err)
	require.True(t, parent.Equal(root))
	require.False(t, child.Equal(root))

	_, err = root.Parent()
	require.ErrorIs(t, err, ErrRoot)
	require.Equal(t, common.Address{}, root.Actor())

	// Children of one network share no memory.
	a, b := child.Child(common.Address{1}), child.Child(common.Address{2})
	require.Equal(t, common.Address{1}, a.Actor())
	require.Equal(t, common.Address{2}, b.Actor())
}

func TestMoneyIsNeverSentToReservedAddresses(t *testing.T) {
	masked := common.HexToAddress("0xff00000000000000000000000000000000000400")
	require.True(t, IsMaskedID(masked))
	require.True(t, IsMaskedID(SystemAddress))
	require.False(t, IsMaskedID(common.HexToAddress("0xff00000000000000000000010000000000000400")))
	for _, a := range []common.Address{{}, masked, SystemAddress, BurnAddress, GatewayAddress, RegistryAddress,
		common.HexToAddress("0x09"), common.HexToAddress("0xffff"), common.HexToAddress("0xfe00000000000000000000000000000000000001")} {
		require.True(t, ForbiddenRecipient(a), a.Hex())
	}
	user := common.HexToAddress("0x976EA74026E726554dB657fA54763abd0C3a0aa9")
	require.False(t, ForbiddenRecipient(user))
	require.False(t, ForbiddenRecipient(common.HexToAddress("0x010000")))
	require.True(t, ForbiddenRecipient(user, GatewayAddress, user))
}

func TestAddressesPrintWithTheirSubnet(t *testing.T) {
	a := NewAddress(NewSubnetID(314), common.HexToAddress("0x976EA74026E726554dB657fA54763abd0C3a0aa9"))
	require.Equal(t, "/r314:0x976ea74026e726554db657fa54763abd0c3a0aa9", a.String())
	a.RawAddress = FvmAddress{AddrType: 1, Payload: []byte{1}}
	require.Equal(t, "/r314:type1/01", a.String())
}
