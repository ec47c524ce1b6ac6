package gmpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/ethereum/go-ethereum/common"
)

// Bytes are base64 in JSON; none are an empty string.
type Bytes []byte

// MarshalJSON implements json.Marshaler.
func (b Bytes) MarshalJSON() ([]byte, error) {
	return json.Marshal(base64.StdEncoding.EncodeToString(b))
}

// UnmarshalJSON takes the one way to write them.
func (b *Bytes) UnmarshalJSON(raw []byte) error {
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return fmt.Errorf("read bytes: no text: %w", ErrAnswer)
	}
	out, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return fmt.Errorf("read bytes: no base64: %w", ErrAnswer)
	}
	*b = out
	return nil
}

// Hash is 32 bytes, base64 in JSON.
type Hash common.Hash

// MarshalJSON implements json.Marshaler.
func (h Hash) MarshalJSON() ([]byte, error) { return Bytes(h[:]).MarshalJSON() }

// UnmarshalJSON implements json.Unmarshaler.
func (h *Hash) UnmarshalJSON(raw []byte) error {
	var b Bytes
	if err := b.UnmarshalJSON(raw); err != nil {
		return err
	}
	if len(b) != common.HashLength {
		return fmt.Errorf("read hash: %d bytes: %w", len(b), ErrAnswer)
	}
	copy(h[:], b)
	return nil
}

// Token is an amount in base units: of a token, or of the coin of the chain
// where TokenID is empty. A balance of a task may be negative, everything else
// is not.
type Token struct {
	TokenID string
	Amount  *big.Int
}

// Coin is an amount of the coin of a chain, in wei; nil is nothing.
func Coin(wei *big.Int) Token {
	if wei == nil {
		wei = new(big.Int)
	}
	return Token{Amount: wei}
}

type tokenJSON struct {
	TokenID string `json:"tokenID,omitempty"`
	Amount  string `json:"amount"`
}

// MarshalJSON implements json.Marshaler.
func (t Token) MarshalJSON() ([]byte, error) {
	if t.Amount == nil {
		return nil, errors.New("token without an amount")
	}
	return json.Marshal(tokenJSON{TokenID: t.TokenID, Amount: t.Amount.String()})
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Token) UnmarshalJSON(raw []byte) error {
	o := readObject("token", raw)
	*t = o.token()
	return *o.err
}

func (o object) token() Token {
	return Token{TokenID: o.textOr("tokenID"), Amount: o.integer("amount")}
}

func (t Token) check(name string) error {
	if t.Amount == nil || t.Amount.Sign() < 0 || t.Amount.BitLen() > 256 {
		return fmt.Errorf("%s: no amount: %w", name, ErrEvent)
	}
	return nil
}

// CrossChainID names a message: the chain where it began and its id there.
type CrossChainID struct {
	SourceChain string `json:"sourceChain"`
	MessageID   string `json:"messageID"`
}

func (o object) crossChainID() CrossChainID {
	return CrossChainID{SourceChain: o.text("sourceChain"), MessageID: o.text("messageID")}
}

// Message is a message as the API writes it. Addresses are as their chain
// writes them; on EVM chains Axelar takes none but those with a checksum.
type Message struct {
	ID                 string `json:"messageID"`
	SourceChain        string `json:"sourceChain"`
	SourceAddress      string `json:"sourceAddress"`
	DestinationAddress string `json:"destinationAddress"`
	PayloadHash        Hash   `json:"payloadHash"`
}

// MessageOf is a message that a gateway approves, as the API writes it.
func MessageOf(m axelar.Message) Message {
	return Message{ID: m.ID, SourceChain: m.SourceChain, SourceAddress: m.SourceAddress,
		DestinationAddress: m.Contract.Hex(), PayloadHash: Hash(m.PayloadHash)}
}

// CrossChainID names it.
func (m Message) CrossChainID() CrossChainID {
	return CrossChainID{SourceChain: m.SourceChain, MessageID: m.ID}
}

// Axelar is the message as a gateway of an EVM chain knows it;
// axelar.ErrMessage where no gateway should approve it.
func (m Message) Axelar() (axelar.Message, error) {
	contract, ok := parseAddress(m.DestinationAddress)
	if !ok {
		return axelar.Message{}, fmt.Errorf("destination %.100q is no address: %w", m.DestinationAddress, axelar.ErrMessage)
	}
	out := axelar.Message{SourceChain: m.SourceChain, ID: m.ID, SourceAddress: m.SourceAddress,
		Contract: contract, PayloadHash: common.Hash(m.PayloadHash)}
	return out, out.Check()
}

// parseAddress reads 0x and 40 hex digits, either with the right checksum or
// all in lower case.
func parseAddress(s string) (common.Address, bool) {
	if len(s) != 42 || !common.IsHexAddress(s) {
		return common.Address{}, false
	}
	a := common.HexToAddress(s)
	return a, s == a.Hex() || s == strings.ToLower(a.Hex())
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *Message) UnmarshalJSON(raw []byte) error {
	o := readObject("message", raw)
	*m = o.message()
	return *o.err
}

func (o object) message() Message {
	return Message{ID: o.text("messageID"), SourceChain: o.text("sourceChain"), SourceAddress: o.text("sourceAddress"),
		DestinationAddress: o.text("destinationAddress"), PayloadHash: Hash(o.hash("payloadHash"))}
}

func (m Message) check() error {
	return needed("messageID", m.ID, "sourceChain", m.SourceChain, "sourceAddress", m.SourceAddress, "destinationAddress", m.DestinationAddress)
}

// same says whether two JSON texts differ at most in white space.
func same(a, b []byte) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}
