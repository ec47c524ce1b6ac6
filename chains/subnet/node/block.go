package node

import (
	"errors"
	"fmt"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/crypto"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmttypes "github.com/cometbft/cometbft/types"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rlp"

	"github.com/causeway-bridge/causeway/chains/ipc"
)

// proposal is the one transaction of a consensus block: the EVM block and the
// vote extensions of the block before it, RLP encoded.
type proposal struct {
	Block *types.Block
	Round uint64 // of the extended commit
	Votes []vote
}

// vote is one precommit's extension. Address is CometBFT's (20 bytes of
// ripemd160), Signature CometBFT's own over the extension.
type vote struct {
	Address   common.Address
	Extension []byte
	Signature []byte
}

var (
	errProposalSize = errors.New("proposal has a wrong size")
	errProposal     = errors.New("proposal is malformed")
)

// encode writes the transaction; errProposalSize above maxProposal.
func (p proposal) encode() ([]byte, error) {
	b, err := rlp.EncodeToBytes(&p)
	if err != nil {
		return nil, fmt.Errorf("encode proposal: %w", err)
	}
	if len(b) > maxProposal {
		return nil, fmt.Errorf("encode proposal: %d bytes: %w", len(b), errProposalSize)
	}
	return b, nil
}

// decodeProposal reads the transactions of a consensus block: exactly one, of
// bounded size. Bytes come from a proposer; nothing here is trusted further.
func decodeProposal(txs [][]byte) (*proposal, error) {
	if len(txs) != 1 || len(txs[0]) > maxProposal {
		return nil, fmt.Errorf("decode proposal: %d transactions: %w", len(txs), errProposalSize)
	}
	var p proposal
	if err := rlp.DecodeBytes(txs[0], &p); err != nil {
		return nil, fmt.Errorf("decode proposal: %w: %w", errProposal, err)
	}
	if p.Block == nil || p.Block.Header() == nil || p.Block.Header().Number == nil {
		return nil, fmt.Errorf("decode proposal: no block: %w", errProposal)
	}
	if len(p.Votes) > maxValidators || p.Round > 1<<31-1 {
		return nil, fmt.Errorf("decode proposal: %d votes: %w", len(p.Votes), errProposal)
	}
	for _, v := range p.Votes {
		if len(v.Extension) > maxExtension || len(v.Signature) > cmttypes.MaxSignatureSize {
			return nil, fmt.Errorf("decode proposal: oversized vote: %w", errProposal)
		}
	}
	return &p, nil
}

// packVotes keeps the votes of an extended commit that carry an extension.
func packVotes(c abci.ExtendedCommitInfo) []vote {
	votes := make([]vote, 0, len(c.Votes))
	for _, v := range c.Votes {
		if v.BlockIdFlag != cmtproto.BlockIDFlagCommit {
			continue
		}
		votes = append(votes, vote{
			Address:   common.BytesToAddress(v.Validator.Address),
			Extension: v.VoteExtension, Signature: v.ExtensionSignature,
		})
	}
	return votes
}

// verifyVotes checks the extensions a proposer put into block height: each by
// a member of the set that voted at height-1, none twice, signed for that
// height and round, and together more than 2/3 of that set's power.
func verifyVotes(chainID string, height int64, p *proposal, voters voters) error {
	if height == 1 {
		if len(p.Votes) != 0 {
			return fmt.Errorf("votes before the first block: %w", errProposal)
		}
		return nil
	}
	var power int64
	seen := make(map[common.Address]bool, len(p.Votes))
	for _, v := range p.Votes {
		m, ok := voters.members[v.Address]
		if !ok || seen[v.Address] {
			return fmt.Errorf("vote of %x is foreign or repeated: %w", v.Address, errProposal)
		}
		seen[v.Address] = true
		msg := cmttypes.VoteExtensionSignBytes(chainID, &cmtproto.Vote{
			Height: height - 1, Round: int32(p.Round), Extension: v.Extension,
		})
		if !m.key.VerifySignature(msg, v.Signature) {
			return fmt.Errorf("vote of %x: signature: %w", v.Address, errProposal)
		}
		power += m.power
	}
	// Both are at most MaxInt64/8.
	if 3*power <= 2*voters.total {
		return fmt.Errorf("extensions of %d of %d power: %w", power, voters.total, errProposal)
	}
	return nil
}

// voters is a validator set as consensus sees it, by CometBFT address.
type voters struct {
	members map[common.Address]voter
	total   int64
}

type voter struct {
	key   crypto.PubKey
	evm   common.Address
	power int64
}

func newVoters(set ipc.ValidatorSet) (voters, error) {
	v := voters{members: make(map[common.Address]voter, len(set.Entries))}
	for _, e := range set.Entries {
		if e.Power == 0 {
			continue
		}
		key, err := cometKey(e.Pubkey)
		if err != nil {
			return voters{}, fmt.Errorf("validator %s: %w", e.Addr, err)
		}
		v.members[common.BytesToAddress(key.Address())] = voter{key: key, evm: e.Addr, power: e.Power}
		v.total += e.Power
	}
	return v, nil
}
