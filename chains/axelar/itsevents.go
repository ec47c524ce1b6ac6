package axelar

import (
	"math/big"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
)

// Events of ITS that a transfer is followed by.
var (
	evTransfer = declareEvent("InterchainTransfer",
		"indexed bytes32", "indexed address", "string", "bytes", "uint256", "indexed bytes32")
	evReceived = declareEvent("InterchainTransferReceived",
		"indexed bytes32", "indexed bytes32", "string", "bytes", "indexed address", "uint256", "bytes32")
	evExpress   = declareEvent("ExpressExecuted", "indexed bytes32", "string", "string", "bytes32", "indexed address")
	evFulfilled = declareEvent("ExpressExecutionFulfilled", "indexed bytes32", "string", "string", "bytes32", "indexed address")
)

// ServiceEvent is what ITS says of a transfer: Sent, Received, Fronted or
// Repaid.
type ServiceEvent interface{ serviceEvent() }

// Sent is InterchainTransfer: the source has taken Amount. DataHash is zero
// where there is no data.
type Sent struct {
	TokenID     common.Hash
	Source      common.Address
	Chain       string
	Destination []byte
	Amount      *big.Int
	DataHash    common.Hash
}

// Received is InterchainTransferReceived: the destination has been given
// Amount, by ITS or, after Fronted of the same transaction, by an express
// executor. Chain is where the transfer began, never the hub.
type Received struct {
	CommandID   common.Hash
	TokenID     common.Hash
	Chain       string
	Source      []byte
	Destination common.Address
	Amount      *big.Int
	DataHash    common.Hash
}

// Fronted is ExpressExecuted: Executor has paid in advance.
type Fronted struct {
	CommandID   common.Hash
	PayloadHash common.Hash
	Executor    common.Address
}

// Repaid is ExpressExecutionFulfilled: the message was executed and Executor
// got the amount. No Received comes with it.
type Repaid struct {
	CommandID   common.Hash
	PayloadHash common.Hash
	Executor    common.Address
}

func (Sent) serviceEvent()     {}
func (Received) serviceEvent() {}
func (Fronted) serviceEvent()  {}
func (Repaid) serviceEvent()   {}

// Filter is the events to watch.
func (s Service) Filter() chains.Filter {
	return chains.Filter{Addresses: []common.Address{s.Address},
		Topics: []common.Hash{evTransfer.topic, evReceived.topic, evExpress.topic, evFulfilled.topic}}
}

// Decode reads one event; ok is false for events of other contracts and other
// topics.
func (s Service) Decode(e chains.Event) (out ServiceEvent, ok bool, err error) {
	if e.Address != s.Address || len(e.Topics) == 0 {
		return nil, false, nil
	}
	switch e.Topics[0] {
	case evTransfer.topic:
		out, err = readSent(e)
	case evReceived.topic:
		out, err = readReceived(e)
	case evExpress.topic:
		out, err = readExpress(evExpress, e, func(f Fronted) ServiceEvent { return f })
	case evFulfilled.topic:
		out, err = readExpress(evFulfilled, e, func(f Fronted) ServiceEvent { return Repaid(f) })
	default:
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return out, true, nil
}

func readSent(e chains.Event) (ServiceEvent, error) {
	v, err := evTransfer.read(e)
	if err != nil {
		return nil, err
	}
	source, err := evTransfer.address(e, 2)
	if err != nil {
		return nil, err
	}
	return Sent{TokenID: e.Topics[1], Source: source, Chain: v[0].(string), Destination: bytesOf(v[1]),
		Amount: v[2].(*big.Int), DataHash: e.Topics[3]}, nil
}

func readReceived(e chains.Event) (ServiceEvent, error) {
	v, err := evReceived.read(e)
	if err != nil {
		return nil, err
	}
	destination, err := evReceived.address(e, 3)
	if err != nil {
		return nil, err
	}
	return Received{CommandID: e.Topics[1], TokenID: e.Topics[2], Chain: v[0].(string), Source: bytesOf(v[1]),
		Destination: destination, Amount: v[2].(*big.Int), DataHash: hashOf(v[3])}, nil
}

// readExpress reads either event about express execution: they have one shape.
func readExpress(l layout, e chains.Event, made func(Fronted) ServiceEvent) (ServiceEvent, error) {
	v, err := l.read(e)
	if err != nil {
		return nil, err
	}
	executor, err := l.address(e, 2)
	if err != nil {
		return nil, err
	}
	return made(Fronted{CommandID: e.Topics[1], PayloadHash: hashOf(v[2]), Executor: executor}), nil
}
