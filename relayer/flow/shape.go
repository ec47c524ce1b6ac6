package flow

import (
	"maps"
	"sync"
)

// shape remembers with how many messages a head goes through, where that is
// fewer than its bytes allow, and with how many each head was sent: a lane that
// has grown since would be cut otherwise. Every look must cut the same: an
// undecided transaction is recognised by its first message alone. It is
// forgotten with the process; then what is sent behind such a transaction may
// revert at the gap, which costs gas and nothing else.
type shape struct {
	mu   sync.Mutex
	head uint64
	n    int
	cuts map[uint64]int // first message to count, of what is not applied yet
	each uint64         // gas of a message by the newest simulation; 0: none yet
	took uint64         // gas of the batch of that simulation
	// learns says that the chain counts gas in a unit of its own.
	learns bool
	// ahead is what was applied when a statement was last sent ahead, plus one.
	ahead uint64
}

// first says whether no statement was sent ahead yet since this was applied.
func (s *shape) first(applied uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := s.ahead != applied+1
	s.ahead = applied + 1
	return fresh
}

// sentAs is how many messages go with a head of which n fit.
func (s *shape) sentAs(head uint64, n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before := s.cuts[head]; before > 0 {
		return min(before, n)
	}
	return n
}

// measured takes note of what a simulation of n messages gave, of which least is
// what the last of them must find left over.
func (s *shape) measured(n int, least uint64) func(gas uint64) {
	return func(gas uint64) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.each, s.took = max(leastEach, (max(gas, least)-least)/uint64(n)), gas
	}
}

// known says whether a simulation has been measured.
func (s *shape) known() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.each > 0
}

// leastEach is what the cheapest message costs.
const leastEach = 50_000

// gas is what n messages get that cannot be simulated because they stand behind
// others: by the measure of the newest that could, and half as much again, but
// never more than most, or than twice what that one took where the chain counts in
// another unit. Where that is too little the transaction reverts as a whole, and
// what is then the head is measured.
func (s *shape) gas(n int, least, most uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.each == 0 {
		return most
	}
	if s.learns {
		most = max(most, 2*s.took)
	}
	return min(most, least+s.each*uint64(n)*3/2)
}

func (s *shape) sent(head uint64, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cuts == nil {
		s.cuts = map[uint64]int{}
	}
	// Never more than what is undecided: the next transaction would leave a gap.
	s.cuts[head] = n
}

// applied forgets what is behind the next message.
func (s *shape) applied(next uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.cuts, func(head uint64, _ int) bool { return head < next })
}

func (s *shape) of(head uint64) (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n, s.n > 0 && s.head == head
}

func (s *shape) keep(head uint64, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.head, s.n = head, n
}
