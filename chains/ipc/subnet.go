package ipc

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common"
)

// ErrRoot says when something is asked of the root network that only subnets
// have: an actor or a parent.
var ErrRoot = errors.New("the root network has neither actor nor parent")

// maxTextRoute bounds the depth of a parsed subnet id.
const maxTextRoute = 32

// SubnetID names a network: the root's chain id and the subnet actors from the
// root down. An empty route is the root itself.
type SubnetID struct {
	Root  uint64
	Route []common.Address
}

// NewSubnetID copies route.
func NewSubnetID(root uint64, route ...common.Address) SubnetID {
	return SubnetID{Root: root, Route: append(make([]common.Address, 0, len(route)), route...)}
}

// IsRoot says whether the route is empty.
func (s SubnetID) IsRoot() bool { return len(s.Route) == 0 }

// Actor is the subnet actor on the parent; the zero address for the root.
func (s SubnetID) Actor() common.Address {
	if s.IsRoot() {
		return common.Address{}
	}
	return s.Route[len(s.Route)-1]
}

// Parent is the network the subnet is anchored in; ErrRoot for the root.
func (s SubnetID) Parent() (SubnetID, error) {
	if s.IsRoot() {
		return SubnetID{}, ErrRoot
	}
	return NewSubnetID(s.Root, s.Route[:len(s.Route)-1]...), nil
}

// Child is the subnet of this network with the given actor.
func (s SubnetID) Child(actor common.Address) SubnetID {
	c := SubnetID{Root: s.Root, Route: make([]common.Address, 0, len(s.Route)+1)}
	c.Route = append(c.Route, s.Route...)
	c.Route = append(c.Route, actor)
	return c
}

// Equal compares root and route.
func (s SubnetID) Equal(o SubnetID) bool {
	return s.Root == o.Root && slices.Equal(s.Route, o.Route)
}

// Hash is keccak256(abi.encode(subnet)), the subnetKey of withdrawals.
func (s SubnetID) Hash() common.Hash { return keccak(EncodeSubnetID(s)) }

// String is the EVM form "/r<root>/0x<lower case>/...".
func (s SubnetID) String() string {
	return s.text(func(a common.Address) string { return strings.ToLower(a.Hex()) })
}

// FilString is the Filecoin form "/r<root>/<network>410f.../...", with network
// 'f' or 't'.
func (s SubnetID) FilString(network byte) string {
	return s.text(func(a common.Address) string { return F410(network, a) })
}

func (s SubnetID) text(form func(common.Address) string) string {
	var b strings.Builder
	b.WriteString("/r")
	b.WriteString(strconv.FormatUint(s.Root, 10))
	for _, a := range s.Route {
		b.WriteByte('/')
		b.WriteString(form(a))
	}
	return b.String()
}

// ParseSubnetID reads either text form; each route element is 0x and 40 hex
// digits or an f410/t410 address.
func ParseSubnetID(text string) (SubnetID, error) {
	rest, ok := strings.CutPrefix(text, "/r")
	if !ok {
		return SubnetID{}, fmt.Errorf("parse subnet id: no /r: %w", ErrMalformed)
	}
	parts := strings.Split(rest, "/")
	if len(parts)-1 > maxTextRoute {
		return SubnetID{}, fmt.Errorf("parse subnet id: %w", ErrTooLarge)
	}
	root, err := strconv.ParseUint(parts[0], 10, 64)
	if err != nil || strconv.FormatUint(root, 10) != parts[0] {
		return SubnetID{}, fmt.Errorf("parse subnet id: root chain id: %w", ErrMalformed)
	}
	s := SubnetID{Root: root, Route: make([]common.Address, 0, len(parts)-1)}
	for _, p := range parts[1:] {
		if len(p) == 42 && strings.HasPrefix(p, "0x") && common.IsHexAddress(p) {
			s.Route = append(s.Route, common.HexToAddress(p))
			continue
		}
		a, err := ParseF410(p)
		if err != nil {
			return SubnetID{}, fmt.Errorf("parse subnet id: %w", err)
		}
		s.Route = append(s.Route, a)
	}
	return s, nil
}

// chainIDModulus keeps derived chain ids within what wallets can handle.
const chainIDModulus = 4503599627370476

// ChainIDOf derives a subnet's chain id from its text form, as nodes of
// generations A to C do: FNV-1a of the text.
func ChainIDOf(text string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(text))
	return h.Sum64() % chainIDModulus
}

// EncodeSubnetID is abi.encode(subnet).
func EncodeSubnetID(s SubnetID) []byte {
	b := make([]byte, 0, wordLen+s.size())
	b = appendSize(b, wordLen)
	return s.append(b)
}

// DecodeSubnetID reads abi.encode(subnet).
func DecodeSubnetID(b []byte) (SubnetID, error) {
	r, err := newReader(b, maxForeignBytes)
	if err != nil {
		return SubnetID{}, fmt.Errorf("decode subnet id: %w", err)
	}
	r.lead()
	s := readSubnetID(r)
	if err := r.done(); err != nil {
		return SubnetID{}, fmt.Errorf("decode subnet id: %w", err)
	}
	return s, nil
}

func (s SubnetID) size() int { return (3 + len(s.Route)) * wordLen }

func (s SubnetID) append(b []byte) []byte {
	b = appendUint64(b, s.Root)
	b = appendSize(b, 2*wordLen)
	return appendRoute(b, s.Route)
}

func appendRoute(b []byte, route []common.Address) []byte {
	b = appendSize(b, len(route))
	for _, a := range route {
		b = appendAddress(b, a)
	}
	return b
}

func readSubnetID(r *reader) (s SubnetID) {
	start := r.pos
	s.Root = r.uint64()
	off := r.offset()
	r.at(start, off)
	n := r.count(1)
	s.Route = make([]common.Address, n)
	for i := range s.Route {
		s.Route[i] = r.address()
	}
	return s
}
