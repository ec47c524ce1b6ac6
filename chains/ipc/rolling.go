package ipc

import "github.com/ethereum/go-ethereum/common"

// Salt is R_0 and P_0 of a deployment and the salt of its signing domain
// (PROTOCOL 5): keccak256(abi.encode(root chain id, root gateway, subnet actor,
// root block hash of SubnetBootstrapped)).
func Salt(rootChainID uint64, rootGateway, actor common.Address, bootstrapBlockHash common.Hash) common.Hash {
	b := appendUint64(make([]byte, 0, 4*wordLen), rootChainID)
	b = appendAddress(b, rootGateway)
	b = appendAddress(b, actor)
	return keccak(append(b, bootstrapBlockHash[:]...))
}

// Roll folds one leaf into a rolling hash: keccak256(prev ‖ leaf). The leaf of
// a message is IpcEnvelope.Hash, of a power change PowerChangeRequest.Hash.
func Roll(prev, leaf common.Hash) common.Hash { return keccak(prev[:], leaf[:]) }

// RollAll folds leaves in order.
func RollAll(prev common.Hash, leaves []common.Hash) common.Hash {
	for _, leaf := range leaves {
		prev = Roll(prev, leaf)
	}
	return prev
}

// VerifyPrefix says whether leaves followed by tail lead from start to want:
// the check of deliver and deliverPowerChanges (PROTOCOL 12).
func VerifyPrefix(start common.Hash, leaves, tail []common.Hash, want common.Hash) bool {
	return RollAll(RollAll(start, leaves), tail) == want
}

// EnvelopeLeaves are the leaves of messages, in order.
func EnvelopeLeaves(msgs []IpcEnvelope) []common.Hash {
	out := make([]common.Hash, len(msgs))
	for i, m := range msgs {
		out[i] = m.Hash()
	}
	return out
}

// PowerChangeLeaves are the leaves of power changes, in order.
func PowerChangeLeaves(changes []PowerChangeRequest) []common.Hash {
	out := make([]common.Hash, len(changes))
	for i, c := range changes {
		out[i] = c.Hash()
	}
	return out
}
