package ipc

import (
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
)

// Withdrawal is a withdrawal as both sides hash it into its id (PROTOCOL 33).
// SubnetKey is SubnetID.Hash; Nonce is the outbox's own; Token is the token
// paid on the root, amounts in its base units; Height is the subnet block of
// the withdrawal; deadlines are Unix seconds, 0 for none.
type Withdrawal struct {
	SubnetKey           [32]byte
	Outbox              common.Address
	Nonce               uint64
	Token               common.Address
	Sender              common.Address
	Recipient           common.Address
	FallbackRecipient   common.Address
	Gross               *big.Int
	MinOut              *big.Int
	Height              uint64
	FillDeadline        uint64
	ExclusiveFiller     common.Address
	ExclusivityDeadline uint64
	MaxFeeBps           uint16
}

const (
	withdrawalDomain = "FW1"
	withdrawalLen    = 14 * wordLen
	settleSignature  = "settle((bytes32,address,uint64,address,address,address,address,uint256,uint256," +
		"uint64,uint64,address,uint64,uint16))"
)

// Check says whether the withdrawal can be encoded.
func (w Withdrawal) Check() error {
	if err := checkUint256("gross", w.Gross); err != nil {
		return err
	}
	return checkUint256("min out", w.MinOut)
}

// EncodeWithdrawal is abi.encode(withdrawal): 14 words.
func EncodeWithdrawal(w Withdrawal) ([]byte, error) {
	if err := w.Check(); err != nil {
		return nil, fmt.Errorf("encode withdrawal: %w", err)
	}
	return w.append(make([]byte, 0, withdrawalLen)), nil
}

func (w Withdrawal) append(b []byte) []byte {
	b = append(b, w.SubnetKey[:]...)
	b = appendAddress(b, w.Outbox)
	b = appendUint64(b, w.Nonce)
	b = appendAddress(b, w.Token)
	b = appendAddress(b, w.Sender)
	b = appendAddress(b, w.Recipient)
	b = appendAddress(b, w.FallbackRecipient)
	b = appendBig(b, w.Gross)
	b = appendBig(b, w.MinOut)
	b = appendUint64(b, w.Height)
	b = appendUint64(b, w.FillDeadline)
	b = appendAddress(b, w.ExclusiveFiller)
	b = appendUint64(b, w.ExclusivityDeadline)
	return appendUint64(b, uint64(w.MaxFeeBps))
}

// DecodeWithdrawal reads exactly 14 words.
func DecodeWithdrawal(b []byte) (Withdrawal, error) {
	r, err := newReader(b, withdrawalLen)
	if err != nil {
		return Withdrawal{}, fmt.Errorf("decode withdrawal: %w", err)
	}
	w := readWithdrawal(r)
	if err := r.done(); err != nil {
		return Withdrawal{}, fmt.Errorf("decode withdrawal: %w", err)
	}
	return w, nil
}

func readWithdrawal(r *reader) (w Withdrawal) {
	w.SubnetKey = r.hash()
	w.Outbox = r.address()
	w.Nonce = r.uint64()
	w.Token = r.address()
	w.Sender = r.address()
	w.Recipient = r.address()
	w.FallbackRecipient = r.address()
	w.Gross = r.big()
	w.MinOut = r.big()
	w.Height = r.uint64()
	w.FillDeadline = r.uint64()
	w.ExclusiveFiller = r.address()
	w.ExclusivityDeadline = r.uint64()
	w.MaxFeeBps = uint16(r.uint(16))
	return w
}

// WithdrawalID is keccak256(abi.encode("FW1", root chain id, FastWithdrawals,
// withdrawal)): it binds every field that moves money, the chain and the
// contract that pays.
func WithdrawalID(rootChainID uint64, fastWithdrawals common.Address, w Withdrawal) common.Hash {
	b := make([]byte, 0, 5*wordLen+withdrawalLen)
	b = appendSize(b, 3*wordLen+withdrawalLen)
	b = appendUint64(b, rootChainID)
	b = appendAddress(b, fastWithdrawals)
	b = w.append(b)
	return keccak(appendBytes(b, []byte(withdrawalDomain)))
}

// WithdrawalCall is the message of the outbox's envelope to FastWithdrawals.
func WithdrawalCall(w Withdrawal) (CallMsg, error) {
	params, err := EncodeWithdrawal(w)
	if err != nil {
		return CallMsg{}, err
	}
	return CallMsg{Method: SelSettle.Bytes(), Params: params}, nil
}

// DecodeWithdrawalCall reads the message of such an envelope; an error for any
// other message (which is then no withdrawal, and nobody's fault).
func DecodeWithdrawalCall(message []byte) (Withdrawal, error) {
	m, err := DecodeCall(message)
	if err != nil {
		return Withdrawal{}, err
	}
	if string(m.Method) != string(SelSettle.Bytes()) {
		return Withdrawal{}, fmt.Errorf("decode withdrawal call: method %x: %w", m.Method, ErrMalformed)
	}
	return DecodeWithdrawal(m.Params)
}
