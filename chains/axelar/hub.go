package axelar

import (
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
)

var (
	// ErrNotForHub says when a call asks the hub to route nothing: it has another
	// sender or destination, or registers metadata.
	ErrNotForHub = errors.New("nothing for the hub to route")
	// ErrHubRefuses says when the hub would not route what ITS sent: what the
	// source took stays with it.
	ErrHubRefuses = errors.New("the hub refuses it")
)

// Hub does what the hub of ITS does between two chains, for a bridge whose
// operators sign by themselves. What the real hub keeps books about (the supply
// of each chain, frozen chains, decimals) is not its business.
type Hub struct {
	// Address is the hub's on Axelar, as gateways write it.
	Address string
	// Services are the ITS by the name of their chain.
	Services map[string]common.Address
}

// Routed is the message of the second leg: Payload is what the ITS on To is
// executed with, Inner what is in it.
type Routed struct {
	To      string
	Message Message
	Payload []byte
	Inner   Payload
}

// Route turns a call of a gateway on chain from into the message for its
// destination. The id of the new message follows from that of the old one, so
// that no call is ever issued twice.
func (h Hub) Route(from string, id MessageID, c Called) (Routed, error) {
	its, known := h.Services[from]
	if !known || c.Sender != its || c.DestinationChain != HubChain || c.DestinationAddress != h.Address {
		return Routed{}, fmt.Errorf("call %s of %s: %w", id, from, ErrNotForHub)
	}
	if t, err := TypeOf(c.Payload); err == nil && t == TypeRegisterMetadata {
		return Routed{}, fmt.Errorf("call %s of %s: %w", id, from, ErrNotForHub)
	}
	to, payload, inner, err := Rewrap(c.Payload, from)
	if err != nil {
		return Routed{}, fmt.Errorf("call %s of %s: %w: %w", id, from, ErrHubRefuses, err)
	}
	contract, known := h.Services[to]
	if !known {
		return Routed{}, fmt.Errorf("call %s of %s: no ITS on %.100q: %w", id, from, to, ErrHubRefuses)
	}
	m := Message{SourceChain: HubChain, ID: HubMessageID(from, id).String(), SourceAddress: h.Address,
		Contract: contract, PayloadHash: keccak(payload)}
	return Routed{To: to, Message: m, Payload: payload, Inner: inner}, nil
}

// HubMessageID is the id that Hub gives to the second leg of a message:
// keccak256 of "hub:", the chain, an underscore and the message id, with index
// 0. The real hub has ids of its own making.
func HubMessageID(from string, id MessageID) MessageID {
	return MessageID{Tx: keccak([]byte("hub:"), []byte(from), []byte("_"), []byte(id.String()))}
}

// Rewrap turns SEND_TO_HUB from chain from into RECEIVE_FROM_HUB for the chain
// it names.
func Rewrap(payload []byte, from string) (to string, out []byte, inner Payload, err error) {
	p, err := DecodePayload(payload)
	if err != nil {
		return "", nil, nil, err
	}
	sent, ok := p.(SendToHub)
	if !ok {
		return "", nil, nil, fmt.Errorf("payload of type %d is not for the hub: %w", p.Type(), ErrMalformed)
	}
	if inner, err = decodeInner(sent.Inner); err != nil {
		return "", nil, nil, err
	}
	out, err = EncodePayload(ReceiveFromHub{Chain: from, Inner: sent.Inner})
	return sent.Chain, out, inner, err
}

// Unwrap reads a payload that the hub sends to ITS: from is the chain it began
// on.
func Unwrap(payload []byte) (from string, inner Payload, err error) {
	p, err := DecodePayload(payload)
	if err != nil {
		return "", nil, err
	}
	received, ok := p.(ReceiveFromHub)
	if !ok {
		return "", nil, fmt.Errorf("payload of type %d is not from the hub: %w", p.Type(), ErrMalformed)
	}
	inner, err = decodeInner(received.Inner)
	return received.Chain, inner, err
}

// decodeInner reads what ITS executes: a transfer, a deployment or a link.
func decodeInner(b []byte) (Payload, error) {
	p, err := DecodePayload(b)
	if err != nil {
		return nil, fmt.Errorf("inner payload: %w", err)
	}
	switch p.(type) {
	case Transfer, DeployToken, LinkToken:
		return p, nil
	}
	return nil, fmt.Errorf("inner payload of type %d: %w", p.Type(), ErrMalformed)
}
