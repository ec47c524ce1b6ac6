package approve

import (
	"fmt"

	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/ethereum/go-ethereum/common"
)

// SetFor is a configured signer set as a gateway knows it: legacy gateways have no
// nonces.
func SetFor(g axelar.Gateway, s axelar.WeightedSigners) axelar.WeightedSigners {
	if g.Kind() == axelar.Legacy {
		s.Nonce = common.Hash{}
	}
	return s
}

// sets are the signer sets of one gateway by what it knows them by.
type sets map[common.Hash]axelar.WeightedSigners

func newSets(g axelar.Gateway, all []axelar.WeightedSigners) (sets, error) {
	out := sets{}
	for i, s := range all {
		s = SetFor(g, s)
		hash, err := g.SignersHash(s)
		if err == nil {
			err = g.CheckSigners(s)
		}
		if err != nil {
			return nil, fmt.Errorf("signer set %d: %w", i, err)
		}
		out[hash] = s
	}
	return out, nil
}

// members are the addresses of a set.
func members(s axelar.WeightedSigners) []common.Address {
	out := make([]common.Address, len(s.Signers))
	for i, w := range s.Signers {
		out[i] = w.Signer
	}
	return out
}

func has(s axelar.WeightedSigners, who common.Address) bool {
	for _, w := range s.Signers {
		if w.Signer == who {
			return true
		}
	}
	return false
}
