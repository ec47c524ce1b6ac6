package ipc

import (
	"bytes"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"golang.org/x/crypto/blake2b"
)

// ErrNotDelegated says when an FvmAddress is not the f410 form of an EVM
// address: addrType 4, namespace 10, 20 bytes, canonically encoded.
var ErrNotDelegated = errors.New("not a delegated EVM address")

const (
	addrTypeDelegated = 4
	eamNamespace      = 10 // the Ethereum address manager's actor id
	fvmPayloadLen     = 6 * wordLen
)

// Well-known addresses of a subnet.
var (
	// GatewayAddress is the gateway predeployed in every subnet (actor id 64).
	GatewayAddress = common.HexToAddress("0x77aa40b105843728088c0132e43fc44348881da8")
	// RegistryAddress is the registry of an upstream subnet (actor id 65).
	RegistryAddress = common.HexToAddress("0x74539671a1d2f1c8f200826baba665179f53a1b7")
	// SystemAddress is the sender of implicit calls in upstream subnets.
	SystemAddress = common.HexToAddress("0xff00000000000000000000000000000000000000")
	// BurnAddress is where upstream gateways send burnt coin.
	BurnAddress = common.HexToAddress("0x0000000000000000000000000000000000000063")
)

// FvmAddress is an address as the FVM writes it. Payload of a delegated
// address is abi.encode(DelegatedAddress{10, 20, 20 raw bytes}), 192 bytes.
type FvmAddress struct {
	AddrType uint8
	Payload  []byte
}

// FromEVM makes the delegated (f410) form of an EVM address.
func FromEVM(a common.Address) FvmAddress {
	b := make([]byte, 0, fvmPayloadLen)
	b = appendUint64(b, wordLen)
	b = appendUint64(b, eamNamespace)
	b = appendUint64(b, common.AddressLength)
	b = appendUint64(b, 3*wordLen)
	b = appendBytes(b, a[:])
	return FvmAddress{AddrType: addrTypeDelegated, Payload: b}
}

// EVM returns the EVM address of a delegated address, else ErrNotDelegated.
// Non-canonical payloads that Solidity would still decode are refused.
func (f FvmAddress) EVM() (common.Address, error) {
	var a common.Address
	if f.AddrType != addrTypeDelegated || len(f.Payload) != fvmPayloadLen {
		return a, ErrNotDelegated
	}
	copy(a[:], f.Payload[5*wordLen:])
	if !bytes.Equal(f.Payload, FromEVM(a).Payload) {
		return common.Address{}, ErrNotDelegated
	}
	return a, nil
}

// Equal compares type and payload.
func (f FvmAddress) Equal(o FvmAddress) bool {
	return f.AddrType == o.AddrType && bytes.Equal(f.Payload, o.Payload)
}

func (f FvmAddress) size() int { return 2*wordLen + sizeBytes(f.Payload) }

func (f FvmAddress) append(b []byte) []byte {
	b = appendUint64(b, uint64(f.AddrType))
	b = appendSize(b, 2*wordLen)
	return appendBytes(b, f.Payload)
}

func readFvmAddress(r *reader) (f FvmAddress) {
	start := r.pos
	f.AddrType = uint8(r.uint(8))
	off := r.offset()
	r.at(start, off)
	f.Payload = r.bytes()
	return f
}

// IPCAddress is an address within a subnet.
type IPCAddress struct {
	SubnetId   SubnetID
	RawAddress FvmAddress
}

// NewAddress places an EVM address in a subnet.
func NewAddress(subnet SubnetID, a common.Address) IPCAddress {
	return IPCAddress{SubnetId: subnet, RawAddress: FromEVM(a)}
}

// Equal compares subnet and raw address.
func (a IPCAddress) Equal(o IPCAddress) bool {
	return a.SubnetId.Equal(o.SubnetId) && a.RawAddress.Equal(o.RawAddress)
}

// String is "<subnet>:<0x address>" in the EVM form; addresses that are not
// delegated show as type and hex payload.
func (a IPCAddress) String() string {
	evm, err := a.RawAddress.EVM()
	if err != nil {
		return fmt.Sprintf("%s:type%d/%x", a.SubnetId, a.RawAddress.AddrType, a.RawAddress.Payload)
	}
	return a.SubnetId.String() + ":" + strings.ToLower(evm.Hex())
}

func (a IPCAddress) size() int { return 2*wordLen + a.SubnetId.size() + a.RawAddress.size() }

func (a IPCAddress) append(b []byte) []byte {
	b = appendSize(b, 2*wordLen)
	b = appendSize(b, 2*wordLen+a.SubnetId.size())
	b = a.SubnetId.append(b)
	return a.RawAddress.append(b)
}

func readIPCAddress(r *reader) (a IPCAddress) {
	start := r.pos
	offSubnet, offRaw := r.offset(), r.offset()
	r.at(start, offSubnet)
	a.SubnetId = readSubnetID(r)
	r.at(start, offRaw)
	a.RawAddress = readFvmAddress(r)
	return a
}

// IsMaskedID says whether an EVM address is the masked form of an actor id
// (0xff, eleven zero bytes, the id): an alias whose owner can change, so it is
// never a recipient.
func IsMaskedID(a common.Address) bool { return hasReservedPrefix(a, 0xff) }

func hasReservedPrefix(a common.Address, lead byte) bool {
	return a[0] == lead && bytes.Equal(a[1:12], make([]byte, 11))
}

// ForbiddenRecipient says whether money must never be sent to a: zero and the
// other addresses below 2^16 (precompiles, the burn address), masked ids, the
// FVM's precompiles (0xfe, eleven zero bytes), the well-known gateway and
// registry, and whatever else the caller names (other gateways, escrows).
func ForbiddenRecipient(a common.Address, others ...common.Address) bool {
	if bytes.Equal(a[:18], make([]byte, 18)) || IsMaskedID(a) || hasReservedPrefix(a, 0xfe) {
		return true
	}
	if a == GatewayAddress || a == RegistryAddress {
		return true
	}
	for _, o := range others {
		if a == o {
			return true
		}
	}
	return false
}

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

const (
	f410ChecksumLen = 4
	f410BodyLen     = 39 // base32 of 20 address and 4 checksum bytes
)

// F410 is the Filecoin text form of an EVM address: network ('f' or 't') +
// "410f" + base32 of address and checksum.
func F410(network byte, a common.Address) string {
	body := append(a.Bytes(), f410Checksum(a)...)
	return string(network) + "410f" + base32Lower.EncodeToString(body)
}

// ParseF410 reads the text form of either network; the checksum must match and
// the spelling must be the canonical one.
func ParseF410(s string) (common.Address, error) {
	var a common.Address
	if len(s) != 5+f410BodyLen || (s[0] != 'f' && s[0] != 't') || s[1:5] != "410f" {
		return a, fmt.Errorf("parse f410 address: %w", ErrNotDelegated)
	}
	body, err := base32Lower.DecodeString(s[5:])
	if err != nil || len(body) != common.AddressLength+f410ChecksumLen {
		return a, fmt.Errorf("parse f410 address: %w", ErrMalformed)
	}
	a = common.BytesToAddress(body[:common.AddressLength])
	if F410(s[0], a) != s {
		return common.Address{}, fmt.Errorf("parse f410 address: checksum: %w", ErrMalformed)
	}
	return a, nil
}

// f410Checksum is blake2b-4 over protocol byte, namespace and address.
func f410Checksum(a common.Address) []byte {
	h, err := blake2b.New(f410ChecksumLen, nil)
	if err != nil {
		panic("[BUG] blake2b of 4 bytes: " + err.Error())
	}
	h.Write([]byte{addrTypeDelegated})
	h.Write(binary.AppendUvarint(nil, eamNamespace))
	h.Write(a[:])
	return h.Sum(nil)
}
