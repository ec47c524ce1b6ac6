package axelar

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
)

// PayloadType is the first word of an ITS payload.
type PayloadType uint64

// The payload types of ITS 2. Type 2 (deploy a token manager) is retired: the
// hub refuses it.
const (
	TypeTransfer         PayloadType = 0
	TypeDeployToken      PayloadType = 1
	TypeSendToHub        PayloadType = 3
	TypeReceiveFromHub   PayloadType = 4
	TypeLinkToken        PayloadType = 5
	TypeRegisterMetadata PayloadType = 6
)

// ManagerType says how a token manager holds its token.
type ManagerType uint8

// Types of token managers. FLT is LockUnlock on Ethereum and Native on the
// root. LockUnlockFee measures what arrived.
const (
	ManagerNative ManagerType = iota
	ManagerMintBurnFrom
	ManagerLockUnlock
	ManagerLockUnlockFee
	ManagerMintBurn
)

// Payload is one ITS payload: Transfer, DeployToken, SendToHub,
// ReceiveFromHub, LinkToken or RegisterMetadata.
type Payload interface {
	Type() PayloadType
	// check says whether the payload can be encoded.
	check() error
	// fields are the values behind the type word.
	fields() []any
}

// Transfer is INTERCHAIN_TRANSFER: Amount base units of a token for
// Destination. Source is the account that called ITS, a sender contract where
// one is used. Addresses of EVM chains are their raw 20 bytes. With Data the
// destination is called (executeWithInterchainToken).
type Transfer struct {
	TokenID     common.Hash
	Source      []byte
	Destination []byte
	Amount      *big.Int
	Data        []byte
}

// DeployToken is DEPLOY_INTERCHAIN_TOKEN. An empty Minter is none.
type DeployToken struct {
	TokenID  common.Hash
	Name     string
	Symbol   string
	Decimals uint8
	Minter   []byte
}

// SendToHub is SEND_TO_HUB: Inner for ITS on Chain.
type SendToHub struct {
	Chain string
	Inner []byte
}

// ReceiveFromHub is RECEIVE_FROM_HUB: Inner from ITS on Chain.
type ReceiveFromHub struct {
	Chain string
	Inner []byte
}

// LinkToken is LINK_TOKEN: a token that exists on both sides.
type LinkToken struct {
	TokenID     common.Hash
	Manager     ManagerType
	Source      []byte
	Destination []byte
	Params      []byte
}

// RegisterMetadata is REGISTER_TOKEN_METADATA. It is for the hub itself and
// never wrapped.
type RegisterMetadata struct {
	Token    []byte
	Decimals uint8
}

// Type implements Payload.
func (Transfer) Type() PayloadType { return TypeTransfer }

// Type implements Payload.
func (DeployToken) Type() PayloadType { return TypeDeployToken }

// Type implements Payload.
func (SendToHub) Type() PayloadType { return TypeSendToHub }

// Type implements Payload.
func (ReceiveFromHub) Type() PayloadType { return TypeReceiveFromHub }

// Type implements Payload.
func (LinkToken) Type() PayloadType { return TypeLinkToken }

// Type implements Payload.
func (RegisterMetadata) Type() PayloadType { return TypeRegisterMetadata }

func (p Transfer) check() error       { return checkUint("amount", p.Amount, 256) }
func (DeployToken) check() error      { return nil }
func (SendToHub) check() error        { return nil }
func (ReceiveFromHub) check() error   { return nil }
func (RegisterMetadata) check() error { return nil }

func (p LinkToken) check() error {
	if p.Manager > ManagerMintBurn {
		return fmt.Errorf("token manager type %d: %w", p.Manager, ErrMalformed)
	}
	return nil
}

func (p Transfer) fields() []any {
	return []any{p.TokenID, p.Source, p.Destination, p.Amount, p.Data}
}

func (p DeployToken) fields() []any {
	return []any{p.TokenID, p.Name, p.Symbol, p.Decimals, p.Minter}
}

func (p SendToHub) fields() []any      { return []any{p.Chain, p.Inner} }
func (p ReceiveFromHub) fields() []any { return []any{p.Chain, p.Inner} }

func (p LinkToken) fields() []any {
	return []any{p.TokenID, big.NewInt(int64(p.Manager)), p.Source, p.Destination, p.Params}
}

func (p RegisterMetadata) fields() []any { return []any{p.Token, p.Decimals} }

// payloads is the layout of each type, the type word first.
var payloads = map[PayloadType]abi.Arguments{
	TypeTransfer:         list("uint256", "bytes32", "bytes", "bytes", "uint256", "bytes"),
	TypeDeployToken:      list("uint256", "bytes32", "string", "string", "uint8", "bytes"),
	TypeSendToHub:        list("uint256", "string", "bytes"),
	TypeReceiveFromHub:   list("uint256", "string", "bytes"),
	TypeLinkToken:        list("uint256", "bytes32", "uint256", "bytes", "bytes", "bytes"),
	TypeRegisterMetadata: list("uint256", "bytes", "uint8"),
}

// EncodePayload is abi.encode of the type and the fields.
func EncodePayload(p Payload) ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("encode payload: %w", err)
	}
	values := append([]any{new(big.Int).SetUint64(uint64(p.Type()))}, p.fields()...)
	b := encode(payloads[p.Type()], values...)
	if len(b) > MaxPayloadBytes {
		return nil, fmt.Errorf("encode payload: %d bytes, at most %d: %w", len(b), MaxPayloadBytes, ErrTooLarge)
	}
	return b, nil
}

// TypeOf is the type word of a payload; ErrMalformed where it is none of the
// types above.
func TypeOf(b []byte) (PayloadType, error) {
	if len(b) < 32 || !bytes.Equal(b[:24], make([]byte, 24)) {
		return 0, fmt.Errorf("payload type: %w", ErrMalformed)
	}
	t := PayloadType(binary.BigEndian.Uint64(b[24:32]))
	if _, ok := payloads[t]; !ok {
		return 0, fmt.Errorf("payload type %d: %w", t, ErrMalformed)
	}
	return t, nil
}

// DecodePayload reads a payload of any type, canonical and of at most
// MaxPayloadBytes. Inner payloads are not decoded.
func DecodePayload(b []byte) (Payload, error) {
	t, err := TypeOf(b)
	if err != nil {
		return nil, fmt.Errorf("decode payload: %w", err)
	}
	v, err := decode(payloads[t], b, MaxPayloadBytes)
	if err != nil {
		return nil, fmt.Errorf("decode payload of type %d: %w", t, err)
	}
	switch t {
	case TypeTransfer:
		return Transfer{TokenID: hashOf(v[1]), Source: bytesOf(v[2]), Destination: bytesOf(v[3]),
			Amount: v[4].(*big.Int), Data: bytesOf(v[5])}, nil
	case TypeDeployToken:
		return DeployToken{TokenID: hashOf(v[1]), Name: v[2].(string), Symbol: v[3].(string),
			Decimals: v[4].(uint8), Minter: bytesOf(v[5])}, nil
	case TypeSendToHub:
		return SendToHub{Chain: v[1].(string), Inner: bytesOf(v[2])}, nil
	case TypeReceiveFromHub:
		return ReceiveFromHub{Chain: v[1].(string), Inner: bytesOf(v[2])}, nil
	case TypeRegisterMetadata:
		return RegisterMetadata{Token: bytesOf(v[1]), Decimals: v[2].(uint8)}, nil
	}
	manager := v[2].(*big.Int)
	if !manager.IsUint64() || manager.Uint64() > uint64(ManagerMintBurn) {
		return nil, fmt.Errorf("decode payload of type %d: token manager type %s: %w", t, manager, ErrMalformed)
	}
	return LinkToken{TokenID: hashOf(v[1]), Manager: ManagerType(manager.Uint64()),
		Source: bytesOf(v[3]), Destination: bytesOf(v[4]), Params: bytesOf(v[5])}, nil
}

// hashOf and bytesOf take a decoded value; bytes are copied, since the decoder
// hands out parts of its input.
func hashOf(v any) common.Hash { return common.Hash(v.([32]byte)) }
func bytesOf(v any) []byte     { return bytes.Clone(v.([]byte)) }
