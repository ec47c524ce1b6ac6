package ipc

import (
	"bytes"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
)

// Commitment binds the messages of one checkpoint: how many, and the root of
// their merkle tree (zero for none).
type Commitment struct {
	TotalNumMsgs uint64
	MsgsRoot     [32]byte
}

// Inclusion is a message with its proof against a Commitment.
type Inclusion struct {
	Msg   IpcEnvelope
	Proof [][32]byte
}

// AggregatedStats counts validators and blocks of one checkpoint's span.
type AggregatedStats struct {
	TotalActiveValidators   uint64
	TotalNumBlocksCommitted uint64
}

// CompressedSummary binds who committed the blocks: DataRootCommitment is the
// root of ActivityTree.
type CompressedSummary struct {
	Stats              AggregatedStats
	DataRootCommitment [32]byte
}

// CompressedActivityRollup is the activity part of a checkpoint.
type CompressedActivityRollup struct {
	Consensus CompressedSummary
}

// ValidatorData is one row of the activity tree.
type ValidatorData struct {
	Validator       common.Address
	BlocksCommitted uint64
}

// FullSummary is the activity with its rows.
type FullSummary struct {
	Stats AggregatedStats
	Data  []ValidatorData
}

// FullActivityRollup is what a subnet emits next to a checkpoint.
type FullActivityRollup struct {
	Consensus FullSummary
}

// Compress replaces the rows with their root.
func (f FullActivityRollup) Compress() CompressedActivityRollup {
	return CompressedActivityRollup{Consensus: CompressedSummary{
		Stats:              f.Consensus.Stats,
		DataRootCommitment: ActivityTree(f.Consensus.Data).Root(),
	}}
}

// BottomUpCheckpoint is a checkpoint of generation C. BlockHash is the hash of
// the subnet's consensus block at BlockHeight; NextConfigurationNumber is the
// highest power change stored by then, 0 for none new.
type BottomUpCheckpoint struct {
	SubnetID                SubnetID
	BlockHeight             *big.Int
	BlockHash               [32]byte
	NextConfigurationNumber uint64
	Msgs                    Commitment
	Activity                CompressedActivityRollup
}

// Check says whether the checkpoint can be encoded.
func (c BottomUpCheckpoint) Check() error {
	return checkUint256("checkpoint height", c.BlockHeight)
}

// Equal compares every field.
func (c BottomUpCheckpoint) Equal(o BottomUpCheckpoint) bool {
	return c.Check() == nil && o.Check() == nil &&
		bytes.Equal(c.append(nil), o.append(nil))
}

// Hash is keccak256(abi.encode(checkpoint)): what validators sign, raw, without
// prefix or domain (the SubnetID in it is all that binds it to a subnet).
func (c BottomUpCheckpoint) Hash() common.Hash {
	return keccak(c.append(appendSize(nil, wordLen)))
}

// EncodeCheckpoint is abi.encode(checkpoint).
func EncodeCheckpoint(c BottomUpCheckpoint) ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("encode checkpoint: %w", err)
	}
	return c.append(appendSize(make([]byte, 0, wordLen+c.size()), wordLen)), nil
}

// DecodeCheckpoint reads abi.encode(checkpoint).
func DecodeCheckpoint(b []byte) (BottomUpCheckpoint, error) {
	r, err := newReader(b, maxForeignBytes)
	if err != nil {
		return BottomUpCheckpoint{}, fmt.Errorf("decode checkpoint: %w", err)
	}
	r.lead()
	c := readCheckpoint(r)
	if err := r.done(); err != nil {
		return BottomUpCheckpoint{}, fmt.Errorf("decode checkpoint: %w", err)
	}
	return c, nil
}

const checkpointHead = 9 * wordLen

func (c BottomUpCheckpoint) size() int { return checkpointHead + c.SubnetID.size() }

func (c BottomUpCheckpoint) append(b []byte) []byte {
	b = appendSize(b, checkpointHead)
	b = appendBig(b, c.BlockHeight)
	b = append(b, c.BlockHash[:]...)
	b = appendUint64(b, c.NextConfigurationNumber)
	b = appendUint64(b, c.Msgs.TotalNumMsgs)
	b = append(b, c.Msgs.MsgsRoot[:]...)
	b = appendUint64(b, c.Activity.Consensus.Stats.TotalActiveValidators)
	b = appendUint64(b, c.Activity.Consensus.Stats.TotalNumBlocksCommitted)
	b = append(b, c.Activity.Consensus.DataRootCommitment[:]...)
	return c.SubnetID.append(b)
}

func readCheckpoint(r *reader) (c BottomUpCheckpoint) {
	start := r.pos
	off := r.offset()
	c.BlockHeight = r.big()
	c.BlockHash = r.hash()
	c.NextConfigurationNumber = r.uint64()
	c.Msgs.TotalNumMsgs = r.uint64()
	c.Msgs.MsgsRoot = r.hash()
	c.Activity.Consensus.Stats.TotalActiveValidators = r.uint64()
	c.Activity.Consensus.Stats.TotalNumBlocksCommitted = r.uint64()
	c.Activity.Consensus.DataRootCommitment = r.hash()
	r.at(start, off)
	c.SubnetID = readSubnetID(r)
	return c
}
