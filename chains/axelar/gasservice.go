package axelar

import (
	"math/big"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
)

// GasService is one deployed AxelarGasService (CGP 6.4): it takes what users pay
// for the delivery of their messages and keeps no books. Payments that go with
// callContractWithToken are not read: no route here sends any.
type GasService struct{ Address common.Address }

// GasEvent is what the gas service says: GasPaid, GasAdded or GasRefunded. In
// each, a zero Token is the coin of the chain. Express says that the payment is
// also for a delivery before the approval.
type GasEvent interface{ gasEvent() }

// GasPaid is a payment for a call of the gateway in the same transaction. It
// names no message, and Sender is what the payer says it is: anyone can pay for
// anyone.
type GasPaid struct {
	Sender             common.Address
	DestinationChain   string
	DestinationAddress string
	PayloadHash        common.Hash
	Token              common.Address
	Amount             *big.Int
	RefundTo           common.Address
	Express            bool
}

// GasAdded is a top-up for the message that began in a transaction at an index
// of its receipt. Anyone can add to anything, also to what there is not.
type GasAdded struct {
	Tx       common.Hash
	Index    *big.Int
	Token    common.Address
	Amount   *big.Int
	RefundTo common.Address
	Express  bool
}

// GasRefunded is what the collector gave back, under the message that it says
// it is for. The contract pays the same refund as often as it is asked to.
type GasRefunded struct {
	Tx       common.Hash
	Index    *big.Int
	Receiver common.Address
	Token    common.Address
	Amount   *big.Int
}

func (GasPaid) gasEvent()     {}
func (GasAdded) gasEvent()    {}
func (GasRefunded) gasEvent() {}

// For is the message that a top-up is for; ok is false where its index is none.
func (g GasAdded) For() (id MessageID, ok bool) { return messageAt(g.Tx, g.Index) }

// For is the message that a refund is for; ok is false where its index is none.
func (g GasRefunded) For() (id MessageID, ok bool) { return messageAt(g.Tx, g.Index) }

func messageAt(tx common.Hash, index *big.Int) (MessageID, bool) {
	if !index.IsUint64() {
		return MessageID{}, false
	}
	return MessageID{Tx: tx, Index: index.Uint64()}, true
}

// Events of the gas service. Those whose name begins with Native are about the
// coin; the others have the token's address before the amount.
var (
	evNativeGasPaid     = declareEvent("NativeGasPaidForContractCall", "indexed address", "string", "string", "indexed bytes32", "uint256", "address")
	evNativeExpressPaid = declareEvent("NativeGasPaidForExpressCall", "indexed address", "string", "string", "indexed bytes32", "uint256", "address")
	evGasPaid           = declareEvent("GasPaidForContractCall", "indexed address", "string", "string", "indexed bytes32", "address", "uint256", "address")
	evExpressPaid       = declareEvent("GasPaidForExpressCall", "indexed address", "string", "string", "indexed bytes32", "address", "uint256", "address")

	evNativeGasAdded     = declareEvent("NativeGasAdded", "indexed bytes32", "indexed uint256", "uint256", "address")
	evNativeExpressAdded = declareEvent("NativeExpressGasAdded", "indexed bytes32", "indexed uint256", "uint256", "address")
	evGasAdded           = declareEvent("GasAdded", "indexed bytes32", "indexed uint256", "address", "uint256", "address")
	evExpressAdded       = declareEvent("ExpressGasAdded", "indexed bytes32", "indexed uint256", "address", "uint256", "address")

	evGasRefunded = declareEvent("Refunded", "indexed bytes32", "indexed uint256", "address", "address", "uint256")
)

// fnAddNativeGas is paid: its value is what it adds.
var fnAddNativeGas = declare("addNativeGas", list("bytes32", "uint256", "address"), nil)

// TopUpCalldata is the call that adds its value, in the coin of the chain, to
// the gas of a message that began there; what is left of it goes to refundTo.
func (g GasService) TopUpCalldata(id MessageID, refundTo common.Address) []byte {
	return fnAddNativeGas.data(id.Tx, new(big.Int).SetUint64(id.Index), refundTo)
}

// gasForm is how one event of the gas service is read.
type gasForm struct {
	layout  layout
	express bool
	read    func(gasForm, chains.Event) (GasEvent, error)
}

var gasForms = []gasForm{
	{evNativeGasPaid, false, readGasPaid},
	{evNativeExpressPaid, true, readGasPaid},
	{evGasPaid, false, readGasPaid},
	{evExpressPaid, true, readGasPaid},
	{evNativeGasAdded, false, readGasAdded},
	{evNativeExpressAdded, true, readGasAdded},
	{evGasAdded, false, readGasAdded},
	{evExpressAdded, true, readGasAdded},
	{evGasRefunded, false, readGasRefunded},
}

// Filter is the events to watch.
func (g GasService) Filter() chains.Filter {
	f := chains.Filter{Addresses: []common.Address{g.Address}}
	for _, form := range gasForms {
		f.Topics = append(f.Topics, form.layout.topic)
	}
	return f
}

// Decode reads one event; ok is false for events of other contracts and other
// topics.
func (g GasService) Decode(e chains.Event) (out GasEvent, ok bool, err error) {
	if e.Address != g.Address || len(e.Topics) == 0 {
		return nil, false, nil
	}
	for _, form := range gasForms {
		if form.layout.topic != e.Topics[0] {
			continue
		}
		if out, err = form.read(form, e); err != nil {
			return nil, false, err
		}
		return out, true, nil
	}
	return nil, false, nil
}

// amounts reads the tail that payments and top-ups share: the token where the
// event has one, the amount, and who gets what is left.
func amounts(v []any) (token common.Address, amount *big.Int, refundTo common.Address) {
	if len(v) == 3 {
		token, v = v[0].(common.Address), v[1:]
	}
	return token, v[0].(*big.Int), v[1].(common.Address)
}

func readGasPaid(f gasForm, e chains.Event) (GasEvent, error) {
	v, err := f.layout.read(e)
	if err != nil {
		return nil, err
	}
	sender, err := f.layout.address(e, 1)
	if err != nil {
		return nil, err
	}
	p := GasPaid{Sender: sender, DestinationChain: v[0].(string), DestinationAddress: v[1].(string), PayloadHash: e.Topics[2], Express: f.express}
	p.Token, p.Amount, p.RefundTo = amounts(v[2:])
	return p, nil
}

func readGasAdded(f gasForm, e chains.Event) (GasEvent, error) {
	v, err := f.layout.read(e)
	if err != nil {
		return nil, err
	}
	a := GasAdded{Tx: e.Topics[1], Index: e.Topics[2].Big(), Express: f.express}
	a.Token, a.Amount, a.RefundTo = amounts(v)
	return a, nil
}

func readGasRefunded(f gasForm, e chains.Event) (GasEvent, error) {
	v, err := f.layout.read(e)
	if err != nil {
		return nil, err
	}
	return GasRefunded{Tx: e.Topics[1], Index: e.Topics[2].Big(),
		Receiver: v[0].(common.Address), Token: v[1].(common.Address), Amount: v[2].(*big.Int)}, nil
}
