package axelar

import (
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
)

// Event is what a gateway of either generation says: Called, Approved,
// Executed, Rotated or Processed.
type Event interface{ gatewayEvent() }

// Called is ContractCall: Sender sends Payload to an address on a chain.
// PayloadHash is its hash. The message it begins has the id MessageIDOf.
type Called struct {
	Sender             common.Address
	DestinationChain   string
	DestinationAddress string
	PayloadHash        common.Hash
	Payload            []byte
}

// Approved is MessageApproved or ContractCallApproved. A legacy gateway names
// no message id: Message.ID is empty there, and CommandID is what to go by.
// SourceTx and SourceIndex are what it says instead; SourceIndex is nil at
// Amplifier gateways.
type Approved struct {
	CommandID   common.Hash
	Message     Message
	SourceTx    common.Hash
	SourceIndex *big.Int
}

// Executed is MessageExecuted or ContractCallExecuted: the contract has taken
// the message, and whatever it did then succeeded.
type Executed struct{ CommandID common.Hash }

// Rotated is SignersRotated or OperatorshipTransferred. Hash is what the
// gateway knows the set by. A legacy gateway names no epoch: it is 0 there.
type Rotated struct {
	Epoch   uint64
	Hash    common.Hash
	Signers WeightedSigners
}

// Processed is Executed of a legacy gateway: a command was carried out, which
// for a message means approved, never executed.
type Processed struct{ CommandID common.Hash }

func (Called) gatewayEvent()    {}
func (Approved) gatewayEvent()  {}
func (Executed) gatewayEvent()  {}
func (Rotated) gatewayEvent()   {}
func (Processed) gatewayEvent() {}

// layout is one event of a contract.
type layout struct {
	signature string
	topic     common.Hash
	indexed   int
	data      abi.Arguments
}

// declareEvent takes the types in their order; those that begin with "indexed "
// are topics.
func declareEvent(name string, types ...string) layout {
	l := layout{signature: name + "("}
	for i, t := range types {
		const mark = "indexed "
		if i > 0 {
			l.signature += ","
		}
		if len(t) > len(mark) && t[:len(mark)] == mark {
			l.indexed++
			l.signature += t[len(mark):]
			continue
		}
		l.signature += t
		l.data = append(l.data, typed(t))
	}
	l.signature += ")"
	l.topic = keccak([]byte(l.signature))
	return l
}

// read gives the values that are no topics.
func (l layout) read(e chains.Event) ([]any, error) {
	if len(e.Topics) != 1+l.indexed || e.Topics[0] != l.topic {
		return nil, fmt.Errorf("decode %s: topics: %w", l.signature, ErrMalformed)
	}
	v, err := decode(l.data, e.Data, maxEventBytes)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", l.signature, err)
	}
	return v, nil
}

// address is a topic as an address.
func (l layout) address(e chains.Event, topic int) (common.Address, error) {
	a := common.BytesToAddress(e.Topics[topic][12:])
	if common.BytesToHash(a[:]) != e.Topics[topic] {
		return a, fmt.Errorf("decode %s: topic %d is no address: %w", l.signature, topic, ErrMalformed)
	}
	return a, nil
}

// Events of gateways. ContractCall is the same in both generations.
var (
	evContractCall    = declareEvent("ContractCall", "indexed address", "string", "string", "indexed bytes32", "bytes")
	evMessageApproved = declareEvent("MessageApproved", "indexed bytes32", "string", "string", "string", "indexed address", "indexed bytes32")
	evMessageExecuted = declareEvent("MessageExecuted", "indexed bytes32")
	evSignersRotated  = declareEvent("SignersRotated", "indexed uint256", "indexed bytes32", "bytes")

	evCallApproved = declareEvent("ContractCallApproved", "indexed bytes32", "string", "string",
		"indexed address", "indexed bytes32", "bytes32", "uint256")
	evCallExecuted    = declareEvent("ContractCallExecuted", "indexed bytes32")
	evCommandExecuted = declareEvent("Executed", "indexed bytes32")
	evOperatorship    = declareEvent("OperatorshipTransferred", "bytes")
)

// Calls selects of a gateway's events those that begin messages.
func Calls(g Gateway) chains.Filter {
	return chains.Filter{Addresses: []common.Address{g.Address()}, Topics: []common.Hash{evContractCall.topic}}
}

func decoded(e Event, err error) (Event, bool, error) {
	if err != nil {
		return nil, false, err
	}
	return e, true, nil
}

func readCalled(e chains.Event) (Event, error) {
	l := evContractCall
	v, err := l.read(e)
	if err != nil {
		return nil, err
	}
	sender, err := l.address(e, 1)
	if err != nil {
		return nil, err
	}
	c := Called{Sender: sender, DestinationChain: v[0].(string), DestinationAddress: v[1].(string),
		PayloadHash: e.Topics[2], Payload: bytesOf(v[2])}
	if keccak(c.Payload) != c.PayloadHash {
		return nil, fmt.Errorf("decode %s: payload has another hash: %w", l.signature, ErrMalformed)
	}
	return c, nil
}

func readMessageApproved(e chains.Event) (Event, error) {
	l := evMessageApproved
	v, err := l.read(e)
	if err != nil {
		return nil, err
	}
	contract, err := l.address(e, 2)
	if err != nil {
		return nil, err
	}
	m := Message{SourceChain: v[0].(string), ID: v[1].(string), SourceAddress: v[2].(string), Contract: contract, PayloadHash: e.Topics[3]}
	if CommandID(m.SourceChain, m.ID) != e.Topics[1] {
		return nil, fmt.Errorf("decode %s: command id is another message's: %w", l.signature, ErrMalformed)
	}
	return Approved{CommandID: e.Topics[1], Message: m}, nil
}

func readCallApproved(e chains.Event) (Event, error) {
	l := evCallApproved
	v, err := l.read(e)
	if err != nil {
		return nil, err
	}
	contract, err := l.address(e, 2)
	if err != nil {
		return nil, err
	}
	return Approved{CommandID: e.Topics[1],
		Message:  Message{SourceChain: v[0].(string), SourceAddress: v[1].(string), Contract: contract, PayloadHash: e.Topics[3]},
		SourceTx: hashOf(v[2]), SourceIndex: v[3].(*big.Int)}, nil
}

// readCommand reads an event that is a command id and nothing else.
func readCommand(l layout, e chains.Event, made func(common.Hash) Event) (Event, error) {
	if _, err := l.read(e); err != nil {
		return nil, err
	}
	return made(e.Topics[1]), nil
}

func readSignersRotated(e chains.Event) (Event, error) {
	l := evSignersRotated
	v, err := l.read(e)
	if err != nil {
		return nil, err
	}
	epoch := e.Topics[1].Big()
	if !epoch.IsUint64() {
		return nil, fmt.Errorf("decode %s: epoch %s: %w", l.signature, epoch, ErrMalformed)
	}
	raw := v[0].([]byte)
	if keccak(raw) != e.Topics[2] {
		return nil, fmt.Errorf("decode %s: signers have another hash: %w", l.signature, ErrMalformed)
	}
	set, err := DecodeSigners(raw)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", l.signature, err)
	}
	return Rotated{Epoch: epoch.Uint64(), Hash: e.Topics[2], Signers: set}, nil
}

func readOperatorship(e chains.Event) (Event, error) {
	v, err := evOperatorship.read(e)
	if err != nil {
		return nil, err
	}
	raw := v[0].([]byte)
	set, err := DecodeOperators(raw)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", evOperatorship.signature, err)
	}
	return Rotated{Hash: keccak(raw), Signers: set}, nil
}
