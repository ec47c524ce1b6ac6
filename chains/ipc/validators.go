package ipc

import (
	"bytes"
	"math"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// MaxTotalPower is CometBFT's bound on the power of a set.
const MaxTotalPower int64 = math.MaxInt64 / 8

const pubkeyLen = 65

// ValidatorEntry is one validator of a derived set. Pubkey is its 65-byte key,
// empty when the metadata was no valid key of Addr. Weight is in root units.
// Power is what the node runs with: Weight / 10^(18−scale) rounded up, within
// the room left under MaxTotalPower, and 0 without a valid key. Counted is the
// weight that counts in a quorum, in root units: Weight, but at most what Power
// stands for.
type ValidatorEntry struct {
	Addr    common.Address
	Pubkey  []byte
	Weight  *big.Int
	Power   int64
	Counted *big.Int
}

// QuorumWeight is Counted as a copy, never nil.
func (e ValidatorEntry) QuorumWeight() *big.Int { return new(big.Int).Set(bigOrZero(e.Counted)) }

// ValidatorSet is a derived set: Entries ascending by address, and the changes
// that would have emptied it, which the next application tries again first.
type ValidatorSet struct {
	Entries  []ValidatorEntry
	Deferred []PowerChangeRequest
}

// NewValidatorSet derives the set of a genesis or a recorded membership.
func NewValidatorSet(validators []Validator, powerScale int8) ValidatorSet {
	changes := make([]PowerChangeRequest, 0, 2*len(validators))
	for _, v := range validators {
		if checkUint256("weight", v.Weight) != nil {
			continue
		}
		changes = append(changes, SetMetadata(0, v.Addr, v.Metadata), SetPower(0, v.Addr, v.Weight))
	}
	return ApplyPowerChanges(ValidatorSet{}, changes, powerScale)
}

// Find returns the entry of addr.
func (s ValidatorSet) Find(addr common.Address) (ValidatorEntry, bool) {
	i, ok := s.search(addr)
	if !ok {
		return ValidatorEntry{}, false
	}
	return s.Entries[i], true
}

// TotalPower is at most MaxTotalPower.
func (s ValidatorSet) TotalPower() int64 {
	var t int64
	for _, e := range s.Entries {
		t += e.Power
	}
	return t
}

// TotalWeight sums the weights that count.
func (s ValidatorSet) TotalWeight() *big.Int {
	t := new(big.Int)
	for _, e := range s.Entries {
		t.Add(t, e.QuorumWeight())
	}
	return t
}

// WeightOf sums the weights of the given signers; strangers weigh nothing and
// nobody counts twice.
func (s ValidatorSet) WeightOf(signers []common.Address) *big.Int {
	seen := make(map[common.Address]bool, len(signers))
	t := new(big.Int)
	for _, a := range signers {
		if e, ok := s.Find(a); ok && !seen[a] {
			seen[a] = true
			t.Add(t, e.QuorumWeight())
		}
	}
	return t
}

func (s ValidatorSet) search(addr common.Address) (int, bool) {
	return slices.BinarySearchFunc(s.Entries, addr, func(e ValidatorEntry, a common.Address) int {
		return e.Addr.Cmp(a)
	})
}

// ApplyPowerChanges derives the next set (PROTOCOL 18). It is total: whatever
// the root let into a change, every node and the gateway come to the same set
// and none of them fails, as CometBFT halts on a bad update.
//
//   - SetMetadata keeps the key if it is a valid key of the validator's own
//     address, else the entry has no key and no power. Keys are unique because
//     addresses are.
//   - SetPower with a payload other than 32 bytes is ignored, as is any other
//     operation. Weight 0 removes the entry, key included.
//   - Power beyond MaxTotalPower is clamped to the room left, and the counted
//     weight with it.
//   - A change that takes the last power out of the set is deferred, to be
//     tried first by the next call; a later change of the same kind to the same
//     validator replaces it.
//
// One call per applied configuration, as in the gateway: a further call, even
// without changes, would try deferred ones earlier than the gateway does. The
// argument is not modified and shares no memory with the result.
func ApplyPowerChanges(set ValidatorSet, changes []PowerChangeRequest, powerScale int8) ValidatorSet {
	d := derivation{unit: powerUnit(powerScale)}
	d.load(set.Entries)
	for _, c := range set.Deferred {
		d.apply(c)
	}
	for _, c := range changes {
		d.apply(c)
	}
	// One spelling of none, for state that is hashed.
	if len(d.set.Deferred) == 0 {
		d.set.Deferred = nil
	}
	if len(d.set.Entries) == 0 {
		d.set.Entries = nil
	}
	return d.set
}

type derivation struct {
	set   ValidatorSet
	total int64
	unit  *big.Int
}

// load takes over entries of any origin: sorted, one per address, bounded.
func (d *derivation) load(entries []ValidatorEntry) {
	for _, e := range entries {
		i, found := d.set.search(e.Addr)
		if found {
			continue
		}
		own := ValidatorEntry{Addr: e.Addr, Weight: new(big.Int)}
		if e.Weight != nil && e.Weight.Sign() > 0 {
			own.Weight.Set(e.Weight)
		}
		if isKeyOf(e.Pubkey, e.Addr) {
			own.Pubkey = bytes.Clone(e.Pubkey)
		}
		// Power is kept as it was, since clamping depends on history, but never
		// above what this entry could have.
		own.Power = min(max(e.Power, 0), d.power(own, MaxTotalPower-d.total))
		own.Counted = d.counted(own)
		d.total += own.Power
		d.set.Entries = slices.Insert(d.set.Entries, i, own)
	}
}

func (d *derivation) apply(c PowerChangeRequest) {
	valid := c.Change.Op == OpSetMetadata || (c.Change.Op == OpSetPower && len(c.Change.Payload) == wordLen)
	if !valid {
		return
	}
	d.set.Deferred = slices.DeleteFunc(d.set.Deferred, func(o PowerChangeRequest) bool {
		return o.Change.Op == c.Change.Op && o.Change.Validator == c.Change.Validator
	})

	i, found := d.set.search(c.Change.Validator)
	next := ValidatorEntry{Addr: c.Change.Validator, Weight: new(big.Int)}
	if found {
		next = d.set.Entries[i]
	}
	others := d.total - next.Power
	if c.Change.Op == OpSetPower {
		next.Weight = new(big.Int).SetBytes(c.Change.Payload)
	} else if next.Pubkey = nil; isKeyOf(c.Change.Payload, next.Addr) {
		next.Pubkey = bytes.Clone(c.Change.Payload)
	}
	next.Power = d.power(next, MaxTotalPower-others)
	next.Counted = d.counted(next)

	// A consensus engine without power stops for good.
	if d.total > 0 && others+next.Power == 0 {
		c.Change.Payload = bytes.Clone(c.Change.Payload)
		d.set.Deferred = append(d.set.Deferred, c)
		return
	}
	d.total = others + next.Power
	gone := c.Change.Op == OpSetPower && next.Weight.Sign() == 0
	switch {
	case gone && found:
		d.set.Entries = slices.Delete(d.set.Entries, i, i+1)
	case gone:
	case found:
		d.set.Entries[i] = next
	default:
		d.set.Entries = slices.Insert(d.set.Entries, i, next)
	}
}

func (d *derivation) power(e ValidatorEntry, room int64) int64 {
	if len(e.Pubkey) == 0 {
		return 0
	}
	p, rest := new(big.Int).QuoRem(e.Weight, d.unit, new(big.Int))
	if rest.Sign() > 0 {
		p.Add(p, big.NewInt(1))
	}
	if !p.IsInt64() || p.Int64() > room {
		return room
	}
	return p.Int64()
}

func (d *derivation) counted(e ValidatorEntry) *big.Int {
	c := new(big.Int).Mul(big.NewInt(e.Power), d.unit)
	if c.Cmp(e.Weight) > 0 {
		c.Set(e.Weight)
	}
	return c
}

// powerUnit is the weight of one unit of power: 10^(18−scale), scale ≤ 18.
func powerUnit(scale int8) *big.Int {
	exp := 18 - int64(min(scale, 18))
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(exp), nil)
}

// isKeyOf says whether b is an uncompressed secp256k1 key (prefix 0x04, a
// point on the curve) whose address is addr.
func isKeyOf(b []byte, addr common.Address) bool {
	if len(b) != pubkeyLen || b[0] != 0x04 {
		return false
	}
	key, err := crypto.UnmarshalPubkey(b)
	return err == nil && crypto.PubkeyToAddress(*key) == addr
}
