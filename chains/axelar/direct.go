package axelar

import (
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
)

// ErrNotDirect says when a call names no contract of another chain.
var ErrNotDirect = errors.New("not a call for a contract of another chain")

// Direct is the message of a call that goes straight to a contract of the chain
// that it names, without the hub: it keeps its id and its payload, and comes from
// the sender's address as gateways write it, with the checksum's capitals.
// Routed.Inner is nil. ErrNotDirect for what is for the hub, for the chain it is
// from, or for no address.
func Direct(from string, id MessageID, c Called) (Routed, error) {
	fail := func(why string) (Routed, error) {
		return Routed{}, fmt.Errorf("call %s of %s: %s: %w", id, from, why, ErrNotDirect)
	}
	if c.DestinationChain == HubChain || c.DestinationChain == from || checkChainName(c.DestinationChain) != nil {
		return fail(fmt.Sprintf("it is for chain %.100q", c.DestinationChain))
	}
	// With 0x, in whatever case; IsHexAddress alone takes bare digits too.
	if len(c.DestinationAddress) != 2+2*common.AddressLength || !common.IsHexAddress(c.DestinationAddress) {
		return fail(fmt.Sprintf("it is for address %.100q", c.DestinationAddress))
	}
	contract := common.HexToAddress(c.DestinationAddress)
	if contract == (common.Address{}) {
		return fail("it is for the zero address")
	}
	m := Message{SourceChain: from, ID: id.String(), SourceAddress: c.Sender.Hex(), Contract: contract, PayloadHash: c.PayloadHash}
	return Routed{To: c.DestinationChain, Message: m, Payload: c.Payload}, nil
}

// DirectCalldata is execute(commandId, source chain, source address, payload) of the
// contract that a direct message is for. ErrMessage where the payload is not the
// message's: the chain would refuse it.
func DirectCalldata(commandID common.Hash, m Message, payload []byte) ([]byte, error) {
	if m.PayloadHash != keccak(payload) {
		return nil, fmt.Errorf("execute: %w: the payload has another hash", ErrMessage)
	}
	return fnExecute.data(commandID, m.SourceChain, m.SourceAddress, payload), nil
}
