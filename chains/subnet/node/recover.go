package node

import (
	"encoding/binary"
	"fmt"
	"log/slog"

	"github.com/ethereum/go-ethereum/common"
)

// align brings geth and the derived state to one height, at or below what
// CometBFT has stored, and returns the state there. CometBFT then replays the
// rest through FinalizeBlock and Commit.
//
// Commit writes the derived state, then moves geth's head, then syncs; CometBFT
// stores the block before and its own state after. So after a crash the derived
// state is at geth's head or one block above, and geth's head is at CometBFT's
// block or one below. Anything further apart means that a part of the home was
// put back from a copy; it is taken back as far as the states reach.
func align(e *evm, s *store, r *rules, consensusHeight uint64, log *slog.Logger) (*chainState, error) {
	newest, some, err := s.newestState()
	if err != nil {
		return nil, err
	}
	head := e.head().Number.Uint64()
	log.Info("recover", "geth", head, "derived", newest, "consensus", consensusHeight)
	target := min(head, consensusHeight)
	if some {
		target = min(target, newest)
	} else {
		target = 0
	}
	if head > target {
		log.Warn("rewind the chain", "from", head, "to", target, "consensus", consensusHeight)
		if err := e.rewind(target); err != nil {
			return nil, err
		}
	}
	if some {
		if err := s.rewind(target); err != nil {
			return nil, err
		}
	}
	if target == 0 {
		genesis := e.chain.Genesis().Header()
		state, err := r.start(genesis)
		if err != nil {
			return nil, fmt.Errorf("derive genesis state: %w", err)
		}
		return state, s.write(map[string][]byte{string(numKey(keyState, 0)): encodeJSON(state)})
	}
	state, ok, err := load[chainState](s, numKey(keyState, target))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("derived state of height %d is missing", target)
	}
	if have := e.head().Hash(); have != state.Hash {
		return nil, fmt.Errorf("height %d: geth has block %s, derived state is of %s", target, have, state.Hash)
	}
	if state.Reports == nil {
		state.Reports = map[common.Address]report{}
	}
	// Not only the header must be there.
	if !e.chain.HasState(e.head().Root) {
		return nil, fmt.Errorf("height %d: geth has no state", target)
	}
	return state, nil
}

// checkSignState compares the signing state with the sequence the database saw
// last: a file put back from a copy could sign a second digest.
func checkSignState(s *store, signer Signer) error {
	v, err := s.get([]byte{keySignSeq})
	if err != nil || len(v) != 8 {
		return err
	}
	if seen := binary.BigEndian.Uint64(v); signer.Sequence() < seen {
		return fmt.Errorf("signing state is at record %d, was at %d: %w", signer.Sequence(), seen, ErrRolledBack)
	}
	return nil
}
