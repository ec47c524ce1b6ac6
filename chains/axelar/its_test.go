package axelar

import (
	"context"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

const hubAddress = "axelar1aqcj54lzz0rk22gvqgcn8fr5tx4rzwdv5wv5j9dmnacgefvd7wzsy2j2mr"

func itsWorld(at common.Address, version Version) world {
	c := contract{
		fnContractID.signature: always(keccak([]byte("interchain-token-service"))),
		fnGateway.signature:    always(common.Address{2}),
		fnChainName.signature:  always("Ethereum"),
		fnPaused.signature:     always(false),
		// 2.2.0 keeps the view of trusted addresses and no longer uses it.
		fnTrustedAddress.signature: always(""),
	}
	if version == V220 {
		c[fnHubAddress.signature] = always(hubAddress)
		c[fnTrustedChain.signature] = func(a []any) []any { return []any{a[0] == "filecoin"} }
	} else {
		trusted := map[any]string{"filecoin": "hub", HubChain: hubAddress, "fantom": "0xDirect"}
		c[fnTrustedAddress.signature] = func(a []any) []any { return []any{trusted[a[0]]} }
	}
	manager := contract{fnFlowLimit.signature: always(big.NewInt(10)), fnFlowIn.signature: always(big.NewInt(3)), fnFlowOut.signature: always(big.NewInt(4))}
	return world{at: c, TokenManager(at, common.Hash{1}): manager}
}

func TestBothVersionsOfITSAreToldApart(t *testing.T) {
	ctx, at := context.Background(), common.Address{7}
	for _, version := range []Version{V211, V220} {
		w := itsWorld(at, version)
		s, err := ProbeService(ctx, w, at)
		require.NoError(t, err)
		require.Equal(t, Service{Address: at, Version: version, Chain: "Ethereum", Hub: hubAddress, Gateway: common.Address{2}}, s)
		require.Equal(t, version == V220, s.Express())
		// Trusted through the hub; known but not through it (2.1.1); unknown.
		for chain, want := range map[string]bool{"filecoin": true, "fantom": false, "Filecoin": false, "": false} {
			got, err := Ask(ctx, w, s.Trusts(chain))
			require.NoError(t, err)
			require.Equal(t, want, got, "%s: %q", version, chain)
		}
		paused, err := Ask(ctx, w, s.Paused())
		require.NoError(t, err)
		require.False(t, paused)
		w[at][fnPaused.signature] = always(true)
		paused, err = Ask(ctx, w, s.Paused())
		require.NoError(t, err)
		require.True(t, paused)
		flow, err := Ask(ctx, w, s.Flow(common.Hash{1}))
		require.NoError(t, err)
		require.Equal(t, Flow{Limit: big.NewInt(10), In: big.NewInt(3), Out: big.NewInt(4)}, flow)
		_, err = Ask(ctx, w, s.Flow(common.Hash{2}))
		require.ErrorIs(t, err, ErrMalformed, "a token that is not here")
		require.Equal(t, TokenManager(at, common.Hash{1}), s.TokenManager(common.Hash{1}))
		require.Equal(t, InterchainToken(at, common.Hash{1}), s.InterchainToken(common.Hash{1}))
		require.NotEqual(t, s.TokenManager(common.Hash{1}), s.InterchainToken(common.Hash{1}))
	}
}

func TestWhatIsNoITSIsRefused(t *testing.T) {
	ctx, at := context.Background(), common.Address{7}
	_, err := ProbeService(ctx, world{}, at)
	require.ErrorIs(t, err, ErrNotService)
	for name, change := range map[string]func(contract){
		"another contract": func(c contract) { c[fnContractID.signature] = always(keccak([]byte("other"))) },
		"no contract id":   func(c contract) { delete(c, fnContractID.signature) },
		"no gateway":       func(c contract) { delete(c, fnGateway.signature) },
		"a zero gateway":   func(c contract) { c[fnGateway.signature] = always(common.Address{}) },
		"no name":          func(c contract) { delete(c, fnChainName.signature) },
		"an empty name":    func(c contract) { c[fnChainName.signature] = always("") },
		"no hub": func(c contract) {
			delete(c, fnHubAddress.signature)
			delete(c, fnTrustedAddress.signature)
		},
		"a hub without address": func(c contract) {
			delete(c, fnHubAddress.signature)
			c[fnTrustedAddress.signature] = always("")
		},
		"a hub behind the hub": func(c contract) {
			delete(c, fnHubAddress.signature)
			c[fnTrustedAddress.signature] = always("hub")
		},
		"an odd answer": func(c contract) { c[fnGateway.signature] = always([]byte{1}) },
	} {
		w := itsWorld(at, V220)
		change(w[at])
		_, err := ProbeService(ctx, w, at)
		require.ErrorIs(t, err, ErrNotService, name)
	}
	for _, version := range []Version{V211, V220} {
		for _, f := range []function{fnContractID, fnHubAddress, fnGateway, fnChainName} {
			w := itsWorld(at, version)
			w[at][f.signature] = always(errDown)
			_, err := ProbeService(ctx, w, at)
			require.ErrorIs(t, err, errDown, f.signature)
			require.NotErrorIs(t, err, ErrNotService)
		}
	}
	w := itsWorld(at, V211)
	w[at][fnTrustedAddress.signature] = always(errDown)
	_, err = ProbeService(ctx, w, at)
	require.ErrorIs(t, err, errDown)
}

func TestOnlyAMessageOfTheHubForThisITSIsExecuted(t *testing.T) {
	payload := []byte("payload")
	s := Service{Address: common.Address{7}, Version: V220, Hub: hubAddress}
	good := Message{SourceChain: HubChain, SourceAddress: hubAddress, Contract: s.Address, PayloadHash: keccak(payload)}
	data, err := s.ExecuteCalldata(common.Hash{1}, good, payload)
	require.NoError(t, err)
	express, err := s.ExpressCalldata(common.Hash{1}, good, payload)
	require.NoError(t, err)
	require.Equal(t, data[4:], express[4:])
	v := vectors(t).Meta.Selectors
	require.Equal(t, []byte(v["execute"].Selector), data[:4])
	require.Equal(t, []byte(v["expressExecute"].Selector), express[:4])
	for name, change := range map[string]func(*Message){
		"chain": func(m *Message) { m.SourceChain = "ethereum" }, "sender": func(m *Message) { m.SourceAddress += "x" },
		"contract": func(m *Message) { m.Contract[0] ^= 1 }, "payload": func(m *Message) { m.PayloadHash[0] ^= 1 },
	} {
		m := good
		change(&m)
		_, err := s.ExecuteCalldata(common.Hash{1}, m, payload)
		require.ErrorIs(t, err, ErrMessage, name)
		_, err = s.ExpressCalldata(common.Hash{1}, m, payload)
		require.ErrorIs(t, err, ErrMessage, name)
	}
	s.Version = V211
	_, err = s.ExpressCalldata(common.Hash{1}, good, payload)
	require.ErrorIs(t, err, ErrNotService)
}

func TestTransfersThatITSWouldSwallowAreNotSent(t *testing.T) {
	to := common.HexToAddress("0x0b306bf915c4d645ff596e518faf3f9669b97016")
	good := Send{TokenID: common.Hash{1}, Chain: "filecoin", Destination: to.Bytes(), Amount: big.NewInt(1), GasWei: new(big.Int)}
	masked := common.HexToAddress("0xff00000000000000000000000000000000000400")
	s := Service{Version: V211}
	_, err := s.TransferCalldata(good, Target{})
	require.NoError(t, err)
	wide := new(big.Int).Lsh(big.NewInt(1), 256)
	for name, c := range map[string]struct {
		change func(*Send)
		target Target
		want   error
	}{
		"no destination":      {func(s *Send) { s.Destination = nil }, Target{}, ErrDestination},
		"19 bytes":            {func(s *Send) { s.Destination = s.Destination[:19] }, Target{}, ErrDestination},
		"32 bytes":            {func(s *Send) { s.Destination = make([]byte, 32) }, Target{}, ErrDestination},
		"zero":                {func(s *Send) { s.Destination = make([]byte, 20) }, Target{}, ErrDestination},
		"a masked id":         {func(s *Send) { s.Destination = masked.Bytes() }, Target{}, ErrDestination},
		"a precompile":        {func(s *Send) { s.Destination = common.Address{19: 1}.Bytes() }, Target{}, ErrDestination},
		"a native precompile": {func(s *Send) { s.Destination = common.Address{0: 0xfe, 19: 1}.Bytes() }, Target{}, ErrDestination},
		"a refused one":       {func(*Send) {}, Target{Refused: []common.Address{{1}, to}}, ErrDestination},
		"data without code":   {func(s *Send) { s.Data = []byte{1} }, Target{}, ErrDestination},
		"nothing":             {func(s *Send) { s.Amount = new(big.Int) }, Target{}, ErrAmount},
		"no amount":           {func(s *Send) { s.Amount = nil }, Target{}, ErrAmount},
		"less than nothing":   {func(s *Send) { s.Amount = big.NewInt(-1) }, Target{}, ErrAmount},
		"too much":            {func(s *Send) { s.Amount = wide }, Target{}, ErrAmount},
		"no chain":            {func(s *Send) { s.Chain = "" }, Target{}, ErrChainName},
		"no gas at all":       {func(s *Send) { s.GasWei = nil }, Target{}, ErrNotUint256},
		"negative gas":        {func(s *Send) { s.GasWei = big.NewInt(-1) }, Target{}, ErrNotUint256},
	} {
		send := good
		c.change(&send)
		_, err := s.TransferCalldata(send, c.target)
		require.ErrorIs(t, err, c.want, name)
	}
	good.Data = []byte{1}
	_, err = s.TransferCalldata(good, Target{HasCode: true})
	require.NoError(t, err)
	// Addresses that only look like the refused ones.
	for _, a := range []common.Address{{0: 0xff, 5: 1}, {0: 0xfe, 5: 1}, {17: 1}} {
		require.NoError(t, CheckSend(a.Bytes(), new(big.Int).Sub(wide, big.NewInt(1)), nil, Target{}), a)
	}
}
