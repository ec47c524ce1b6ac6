package axelar

import (
	"context"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

func TestProbeRefusesWhatIsNoGateway(t *testing.T) {
	ctx, at := context.Background(), common.Address{1}
	first := newTeam(t, 2, 1, 1, 1).nonce(1)
	_, err := Probe(ctx, world{}, legacyChain, at)
	require.ErrorIs(t, err, ErrNotGateway)
	// An ITS is no gateway, and a contract that answers everything is none either.
	_, err = Probe(ctx, itsWorld(at, V220), legacyChain, at)
	require.ErrorIs(t, err, ErrNotGateway)
	one := common.Hash{31: 1}
	for _, answer := range []common.Hash{{}, one, idAmplifier, idLegacy} {
		_, err = Probe(ctx, sameForAll(answer), legacyChain, at)
		require.ErrorIs(t, err, ErrNotGateway)
	}
	for kind, changes := range map[string]map[string]func(w world){
		"amplifier": {
			"no domain":        func(w world) { delete(w[at], fnDomain.signature) },
			"a zero domain":    func(w world) { w[at][fnDomain.signature] = always(common.Hash{}) },
			"no epoch":         func(w world) { delete(w[at], fnEpoch.signature) },
			"no signers":       func(w world) { w[at][fnEpoch.signature] = always(new(big.Int)) },
			"no rule":          func(w world) { delete(w[at], fnCommandID.signature) },
			"another rule":     func(w world) { w[at][fnCommandID.signature] = always(common.Hash{1}) },
			"no contract id":   func(w world) { delete(w[at], fnContractID.signature) },
			"another contract": func(w world) { w[at][fnContractID.signature] = always(common.Hash{1}) },
		},
		"legacy": {
			"no auth module":   func(w world) { delete(w[at], fnAuthModule.signature) },
			"a zero module":    func(w world) { w[at][fnAuthModule.signature] = always(common.Address{}) },
			"an empty module":  func(w world) { w[at][fnAuthModule.signature] = always(common.Address{5}) },
			"no operators":     func(w world) { w[common.Address{2}][fnCurrentEpoch.signature] = always(new(big.Int)) },
			"an odd epoch":     func(w world) { w[common.Address{2}][fnCurrentEpoch.signature] = always([]byte{1}) },
			"an odd module":    func(w world) { w[at][fnAuthModule.signature] = always([]byte{1}) },
			"another contract": func(w world) { w[at][fnContractID.signature] = always(common.Hash{1}) },
		},
	} {
		for name, change := range changes {
			w := pair(t, first)[kind].world
			change(w)
			_, err := Probe(ctx, w, legacyChain, at)
			require.ErrorIs(t, err, ErrNotGateway, "%s: %s", kind, name)
		}
	}
	for kind, fs := range map[string][]function{"amplifier": {fnContractID, fnDomain, fnEpoch, fnCommandID}, "legacy": {fnContractID, fnAuthModule, fnCurrentEpoch}} {
		for _, f := range fs {
			w := pair(t, first)[kind].world
			for _, c := range w {
				if _, has := c[f.signature]; has {
					c[f.signature] = always(errDown)
				}
			}
			_, err := Probe(ctx, w, legacyChain, at)
			require.ErrorIs(t, err, errDown, "%s: %s", kind, f.signature)
			require.NotErrorIs(t, err, ErrNotGateway)
		}
	}
}

// sameForAll answers every call with one word.
type sameForAll common.Hash

func (s sameForAll) CallContract(context.Context, common.Address, []byte) ([]byte, error) {
	return s[:], nil
}
