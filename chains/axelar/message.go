package axelar

import (
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
)

// ErrMessage says when a message or a batch of them is none that a gateway
// should approve.
var ErrMessage = errors.New("not a message to approve")

// HubChain is the name of Axelar itself, where the hub of ITS lives.
const HubChain = "axelar"

const (
	maxChainName = 64
	maxAddress   = 256
)

// Message is what a gateway approves: that SourceAddress on SourceChain called
// Contract with the payload of this hash. Chain names are opaque and case
// counts. ID is written as MessageID writes it; events of legacy gateways do
// not carry one.
type Message struct {
	SourceChain   string         `abi:"sourceChain"`
	ID            string         `abi:"messageId"`
	SourceAddress string         `abi:"sourceAddress"`
	Contract      common.Address `abi:"contractAddress"`
	PayloadHash   common.Hash    `abi:"payloadHash"`
}

// Check says whether a gateway should approve the message. A chain name with an
// underscore would make the command id ambiguous.
func (m Message) Check() error {
	if err := checkChainName(m.SourceChain); err != nil {
		return fmt.Errorf("%w: %w", ErrMessage, err)
	}
	if _, err := ParseMessageID(m.ID); err != nil {
		return fmt.Errorf("%w: %w", ErrMessage, err)
	}
	if n := len(m.SourceAddress); n == 0 || n > maxAddress {
		return fmt.Errorf("%w: source address of %d bytes", ErrMessage, n)
	}
	if m.Contract == (common.Address{}) {
		return fmt.Errorf("%w: no contract", ErrMessage)
	}
	if m.PayloadHash == (common.Hash{}) {
		return fmt.Errorf("%w: no payload hash", ErrMessage)
	}
	return nil
}

// ErrChainName says when a string cannot be the name of a chain.
var ErrChainName = errors.New("not a chain name")

func checkChainName(name string) error {
	if n := len(name); n == 0 || n > maxChainName || strings.Contains(name, "_") {
		return fmt.Errorf("%.100q: %w", name, ErrChainName)
	}
	return nil
}

// CommandID is the id of a message at Amplifier gateways: keccak256 of the
// source chain, an underscore and the message id.
func CommandID(sourceChain, messageID string) common.Hash {
	return keccak([]byte(sourceChain), []byte("_"), []byte(messageID))
}

// LegacyCommandID is the id of a message at legacy gateways: keccak256 of the
// message id and the shortest big-endian form of the destination's chain id
// (axelar-core).
func LegacyCommandID(messageID string, destination chains.ID) common.Hash {
	return keccak([]byte(messageID), new(big.Int).SetUint64(uint64(destination)).Bytes())
}

// What a data hash begins with at Amplifier gateways (CommandType).
const (
	commandApprove uint8 = 0
	commandRotate  uint8 = 1
)

func field(name, typ string) abi.ArgumentMarshaling {
	return abi.ArgumentMarshaling{Name: name, Type: typ}
}

var typeMessages = typed("tuple[]", field("sourceChain", "string"), field("messageId", "string"),
	field("sourceAddress", "string"), field("contractAddress", "address"), field("payloadHash", "bytes32"))

var approvePreimage = abi.Arguments{typed("uint8"), typeMessages}

// ApprovePreimage is what ApproveHash hashes: abi.encode(0, messages).
func ApprovePreimage(batch []Message) []byte { return encode(approvePreimage, commandApprove, batch) }

// ApproveHash is the data hash of a batch at Amplifier gateways.
func ApproveHash(batch []Message) common.Hash { return keccak(ApprovePreimage(batch)) }
