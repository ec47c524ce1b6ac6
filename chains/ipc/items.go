package ipc

import (
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
)

// ItemKind tells the statements of a vote extension apart (PROTOCOL 1).
type ItemKind uint8

// The kinds of items.
const (
	ItemParentFinality ItemKind = 1 // keyed by parent height
	ItemOutboxRoot     ItemKind = 2 // keyed by subnet height
	ItemPrice          ItemKind = 3 // keyed by round
	ItemCheckpoint     ItemKind = 4 // keyed by subnet height
	ItemParentRecovery ItemKind = 5 // keyed by recovery number
)

// Known says whether this version knows the kind.
func (k ItemKind) Known() bool { return k >= ItemParentFinality && k <= ItemParentRecovery }

// String is the snake_case label of the kind.
func (k ItemKind) String() string {
	switch k {
	case ItemParentFinality:
		return "parent_finality"
	case ItemOutboxRoot:
		return "outbox_root"
	case ItemPrice:
		return "price"
	case ItemCheckpoint:
		return "checkpoint"
	case ItemParentRecovery:
		return "parent_recovery"
	}
	return fmt.Sprintf("unknown_%d", uint8(k))
}

const (
	domainName    = "Causeway"
	domainVersion = "1"

	parentFinalityType = "ParentFinality(uint64 signerConfig,uint64 parentHeight,bytes32 parentHash,uint64 topDownNonce," +
		"bytes32 topDownHash,uint64 powerChangeNonce,bytes32 powerChangeHash)"
)

var (
	domainTypeHash = keccak([]byte(
		"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"))
	parentFinalityTypeHash = keccak([]byte(parentFinalityType))
	parentRecoveryTypeHash = keccak([]byte("ParentRecovery(uint64 number,ParentFinality anchor)" + parentFinalityType))
	recoveryTypeHash       = keccak([]byte(
		"Recovery(uint64 number,uint64 topDownNonce,bytes32 topDownHash,uint64 powerChangeNonce,bytes32 powerChangeHash)"))
	recoveryWithdrawalTypeHash = keccak([]byte("RecoveryWithdrawal(uint64 number)"))
	outboxRootTypeHash         = keccak([]byte(
		"OutboxRoot(uint64 height,bytes32 blockHash,uint64 time,address outbox,uint64 count,bytes32 root," +
			"uint256 price,uint64 priceRound,uint64 signerConfig)"))
)

// Domain is the EIP-712 domain of an item: the chain and contract that check
// it, and the Salt of the deployment. ParentFinality is checked by the subnet
// gateway on the subnet, as is ParentRecovery; OutboxRoot by FastWithdrawals on
// the root, Recovery by the gateway there.
type Domain struct {
	ChainID           uint64
	VerifyingContract common.Address
	Salt              common.Hash
}

// Separator is the domain separator.
func (d Domain) Separator() common.Hash {
	name, version := keccak([]byte(domainName)), keccak([]byte(domainVersion))
	b := append(make([]byte, 0, 6*wordLen), domainTypeHash[:]...)
	b = append(b, name[:]...)
	b = append(b, version[:]...)
	b = appendUint64(b, d.ChainID)
	b = appendAddress(b, d.VerifyingContract)
	return keccak(append(b, d.Salt[:]...))
}

func (d Domain) digest(structHash common.Hash) common.Hash {
	sep := d.Separator()
	return keccak([]byte{0x19, 0x01}, sep[:], structHash[:])
}

// ParentFinality is what validators attest about the parent at one final
// height (PROTOCOL 6): the count and rolling hash of top-down messages, the
// highest number and rolling hash of power changes, under the configuration
// the signers belong to.
type ParentFinality struct {
	SignerConfig     uint64
	ParentHeight     uint64
	ParentHash       [32]byte
	TopDownNonce     uint64
	TopDownHash      [32]byte
	PowerChangeNonce uint64
	PowerChangeHash  [32]byte
}

// Digest is what a validator signs.
func (p ParentFinality) Digest(d Domain) common.Hash { return d.digest(p.hash()) }

// hash is that of the struct.
func (p ParentFinality) hash() common.Hash {
	b := append(make([]byte, 0, 8*wordLen), parentFinalityTypeHash[:]...)
	b = appendUint64(b, p.SignerConfig)
	b = appendUint64(b, p.ParentHeight)
	b = append(b, p.ParentHash[:]...)
	b = appendUint64(b, p.TopDownNonce)
	b = append(b, p.TopDownHash[:]...)
	b = appendUint64(b, p.PowerChangeNonce)
	return keccak(append(b, p.PowerChangeHash[:]...))
}

// ParentRecovery is what validators attest once recovery Number is executed and
// final on the root (PROTOCOL 10): Anchor is the root block of its execution,
// from which statements go on, with the recovery's prefix of both queues.
type ParentRecovery struct {
	Number uint64
	Anchor ParentFinality
}

// Digest is what a validator signs.
func (p ParentRecovery) Digest(d Domain) common.Hash {
	anchor := p.Anchor.hash()
	b := append(make([]byte, 0, 3*wordLen), parentRecoveryTypeHash[:]...)
	b = appendUint64(b, p.Number)
	return d.digest(keccak(append(b, anchor[:]...)))
}

// Recovery is what a quorum of the validators that the root records proposes
// there (PROTOCOL 10): the prefix of both queues from which a subnet shall go on
// after its root forked below what it had committed. Numbers ascend by one with
// every proposal.
type Recovery struct {
	Number           uint64
	TopDownNonce     uint64
	TopDownHash      [32]byte
	PowerChangeNonce uint64
	PowerChangeHash  [32]byte
}

// Digest is what a validator signs to propose it.
func (r Recovery) Digest(d Domain) common.Hash {
	b := append(make([]byte, 0, 6*wordLen), recoveryTypeHash[:]...)
	b = appendUint64(b, r.Number)
	b = appendUint64(b, r.TopDownNonce)
	b = append(b, r.TopDownHash[:]...)
	b = appendUint64(b, r.PowerChangeNonce)
	return d.digest(keccak(append(b, r.PowerChangeHash[:]...)))
}

// WithdrawalDigest is what a validator signs to take it back while it waits.
func (r Recovery) WithdrawalDigest(d Domain) common.Hash {
	b := append(make([]byte, 0, 2*wordLen), recoveryWithdrawalTypeHash[:]...)
	return d.digest(keccak(appendUint64(b, r.Number)))
}

// OutboxRoot is what validators attest about the withdrawal outbox after one
// subnet block (PROTOCOL 7). Time is the header's, in Unix seconds; Price is
// that of round PriceRound.
type OutboxRoot struct {
	Height       uint64
	BlockHash    [32]byte
	Time         uint64
	Outbox       common.Address
	Count        uint64
	Root         [32]byte
	Price        *big.Int
	PriceRound   uint64
	SignerConfig uint64
}

// Check says whether the statement can be signed.
func (o OutboxRoot) Check() error { return checkUint256("price", o.Price) }

// Digest is what a validator signs.
func (o OutboxRoot) Digest(d Domain) common.Hash {
	b := append(make([]byte, 0, 10*wordLen), outboxRootTypeHash[:]...)
	b = appendUint64(b, o.Height)
	b = append(b, o.BlockHash[:]...)
	b = appendUint64(b, o.Time)
	b = appendAddress(b, o.Outbox)
	b = appendUint64(b, o.Count)
	b = append(b, o.Root[:]...)
	b = appendBig(b, o.Price)
	b = appendUint64(b, o.PriceRound)
	b = appendUint64(b, o.SignerConfig)
	return d.digest(keccak(b))
}
