package node

import (
	"encoding/json"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/causeway-bridge/causeway/chains/ipc"
)

// chainState is everything a node derives from blocks and EVM state, as of one
// height. It is a function of the chain alone: two nodes at one height hold
// equal states. One copy per recent height is kept, so that a node that comes
// back some blocks lower goes on from there.
type chainState struct {
	Height uint64      `json:"height"`
	Hash   common.Hash `json:"hash"` // of the EVM block
	Time   uint64      `json:"time"`
	Burnt  *big.Int    `json:"burnt"` // Σ baseFee·gasUsed over blocks ≤ Height, wei

	Sets    []setFrom                 `json:"sets"` // who votes from which height on, ascending
	Reports map[common.Address]report `json:"reports"`

	// Asked is what the extensions of this very height were asked to sign about
	// the parent: chosen from the state before and the votes in this block, so
	// that a validator knows it when it votes. The next block carries them. Now
	// is the same after what the gateway did in this block.
	Asked  topic  `json:"asked"`
	Now    topic  `json:"now"`
	Since  uint64 `json:"since"`  // height at which Now.Candidate was chosen
	Latest base   `json:"latest"` // what the next candidate builds on

	Recovered uint64 `json:"recovered"` // newest recovery the gateway has committed

	NextQuorum  uint64   `json:"next_quorum"`  // lowest checkpoint whose quorum no block has carried
	LastConfig  uint64   `json:"last_config"`  // configuration that signs the next checkpoint
	OpenRoots   []uint64 `json:"open_roots"`   // newest outbox roots without a quorum, ascending
	OutboxCount uint64   `json:"outbox_count"` // of this block
}

// setFrom says that the set of a configuration votes from a height on.
type setFrom struct {
	From   uint64 `json:"from"`
	Config uint64 `json:"config"`
}

// report is a validator's newest final parent height and when it said so.
type report struct {
	Parent uint64 `json:"parent"`
	At     uint64 `json:"at"`
}

// topic fixes one statement about the parent: Config signs, about Candidate
// (0 = nothing to sign), building on Base.
type topic struct {
	Config    uint64 `json:"config"`
	Candidate uint64 `json:"candidate"`
	Base      base   `json:"base"`
}

// base is the statement before: either committed on the gateway (Digest zero,
// nonces known) or one that has a quorum in a block (its nonces follow from
// the parent).
type base struct {
	Parent uint64      `json:"parent"`
	Digest common.Hash `json:"digest"`
	Nonce  uint64      `json:"nonce"`
	Number uint64      `json:"number"`
}

// clone copies what the next block changes.
func (s *chainState) clone() *chainState {
	c := *s
	c.Burnt = new(big.Int).Set(s.Burnt)
	c.Sets = append([]setFrom(nil), s.Sets...)
	c.OpenRoots = append([]uint64(nil), s.OpenRoots...)
	c.Reports = make(map[common.Address]report, len(s.Reports))
	for a, r := range s.Reports {
		c.Reports[a] = r
	}
	return &c
}

// configAt is the configuration whose set votes at a height.
func (s *chainState) configAt(height uint64) uint64 {
	var config uint64
	for _, f := range s.Sets {
		if f.From <= height {
			config = f.Config
		}
	}
	return config
}

// latestConfig is the configuration CometBFT was last switched to.
func (s *chainState) latestConfig() uint64 { return s.Sets[len(s.Sets)-1].Config }

// signature is one pooled signature. At is the block that carried it first.
type signature struct {
	Signer common.Address `json:"signer"`
	Sig    hexutil.Bytes  `json:"sig"`
	At     uint64         `json:"at"`
}

// pool is the signatures over one digest, and the configuration whose members
// count. Quorum is the block at which they became what the contracts accept:
// more than 2/3 and the subnet's own majority, in root units; 0 = not yet. Done
// says that the subnet's scaled power passes as well: nothing is missing.
type pool struct {
	Digest common.Hash `json:"digest"`
	Config uint64      `json:"config"`
	Sigs   []signature `json:"sigs"`
	Quorum uint64      `json:"quorum"`
	Done   bool        `json:"done"`
}

func (p *pool) has(signer common.Address) bool {
	for _, s := range p.Sigs {
		if s.Signer == signer {
			return true
		}
	}
	return false
}

func (p *pool) hasSignature(sig []byte) bool {
	for _, s := range p.Sigs {
		if string(s.Sig) == string(sig) {
			return true
		}
	}
	return false
}

// add pools a signature if it is a member's and new, and says whether it was.
func (p *pool) add(item ipc.Item, at uint64, set ipc.ValidatorSet, percent uint8) bool {
	if item.Digest != p.Digest || p.hasSignature(item.Signature[:]) {
		return false
	}
	signer, err := item.Signer()
	if err != nil || p.has(signer) {
		return false
	}
	if e, ok := set.Find(signer); !ok || e.QuorumWeight().Sign() == 0 {
		return false
	}
	p.Sigs = append(p.Sigs, signature{Signer: signer, Sig: append([]byte(nil), item.Signature[:]...), At: at})
	weight, total := p.weigh(set)
	if p.Quorum == 0 && ipc.MajorityReached(weight, total, percent) {
		p.Quorum = at
	}
	p.Done = p.Quorum != 0 && p.powerReached(set)
	return true
}

// weigh sums root units.
func (p *pool) weigh(set ipc.ValidatorSet) (weight, total *big.Int) {
	signers := make([]common.Address, len(p.Sigs))
	for i, s := range p.Sigs {
		signers[i] = s.Signer
	}
	return set.WeightOf(signers), set.TotalWeight()
}

// powerReached is the quorum in the subnet's scaled units, whose rounding
// differs from the root's (PROTOCOL 22).
func (p *pool) powerReached(set ipc.ValidatorSet) bool {
	var power int64
	for _, s := range p.Sigs {
		if e, ok := set.Find(s.Signer); ok {
			power += e.Power
		}
	}
	return 3*power > 2*set.TotalPower()
}

// checkpointRecord is a checkpoint (as abi.encode) and its signatures.
type checkpointRecord struct {
	pool
	Checkpoint hexutil.Bytes `json:"checkpoint"`
	Next       uint64        `json:"next"` // its nextConfigurationNumber
}

// finalityRecord collects signatures on a statement about the parent. The
// statement itself is found from the parent's own data; see resolve.
type finalityRecord struct {
	pool
	Parent uint64 `json:"parent"`
	Base   base   `json:"base"`
}

// recoveryRecord collects signatures on going on from another branch of the
// root. What the digest says, a node knows that reads the same root.
type recoveryRecord struct {
	pool
	Number uint64 `json:"number"`
}

// rootRecord is an outbox root and its signatures.
type rootRecord struct {
	pool
	Root outboxRoot `json:"root"`
}

// outboxRoot is ipc.OutboxRoot in JSON; price and round are always zero yet.
type outboxRoot struct {
	Height       uint64         `json:"height"`
	BlockHash    common.Hash    `json:"blockHash"`
	Time         uint64         `json:"time"`
	Outbox       common.Address `json:"outbox"`
	Count        uint64         `json:"count"`
	Root         common.Hash    `json:"root"`
	Price        string         `json:"price"`
	PriceRound   uint64         `json:"priceRound"`
	SignerConfig uint64         `json:"signerConfig"`
}

func (o outboxRoot) wire() ipc.OutboxRoot {
	return ipc.OutboxRoot{
		Height: o.Height, BlockHash: o.BlockHash, Time: o.Time, Outbox: o.Outbox, Count: o.Count, Root: o.Root,
		Price: new(big.Int), PriceRound: o.PriceRound, SignerConfig: o.SignerConfig,
	}
}

func encodeJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("[BUG] encode %T: %v", v, err))
	}
	return text
}
