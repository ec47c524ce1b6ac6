package audit

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

func sum(ns ...*big.Int) *big.Int {
	total := new(big.Int)
	for _, n := range ns {
		if n != nil {
			total.Add(total, n)
		}
	}
	return total
}

func neg(n *big.Int) *big.Int { return new(big.Int).Neg(n) }

// lack is what held is short of needed, and what it has beyond it; one of both
// is zero.
func lack(needed, held *big.Int) (shortage, donated *big.Int) {
	d := new(big.Int).Sub(held, needed)
	if d.Sign() < 0 {
		return d.Neg(d), new(big.Int)
	}
	return new(big.Int), d
}

// row collects one invariant of money.
type row struct {
	id, token string
	terms     map[string]string
	drift     *big.Int // locked − claimed so far
	gaps      []gap    // secondary differences
	notes     []string
}

type gap struct {
	name string
	n    *big.Int
}

func newRow(id, token string) *row {
	return &row{id: id, token: token, terms: map[string]string{}, drift: new(big.Int)}
}

// term names a number that is only shown.
func (r *row) term(name string, n *big.Int) { r.terms[name] = n.String() }

// lock and claim are the two sides of the equality.
func (r *row) lock(name string, n *big.Int)  { r.term(name, n); r.drift.Add(r.drift, n) }
func (r *row) claim(name string, n *big.Int) { r.term(name, n); r.drift.Sub(r.drift, n) }

// holds is a claim of what a balance lacks; the surplus is only shown.
func (r *row) holds(name string, needed, held *big.Int) {
	shortage, donated := lack(needed, held)
	r.term(name+"_liabilities", needed)
	r.term(name+"_balance", held)
	r.term(name+"_donated", donated)
	r.claim(name+"_shortage", shortage)
	if shortage.Sign() != 0 {
		r.note("%s lacks %s", name, shortage)
	}
}

// equal is a second look: counters against the sum of what they count.
func (r *row) equal(name string, want, got *big.Int) {
	if d := new(big.Int).Sub(want, got); d.Sign() != 0 {
		r.gaps = append(r.gaps, gap{name, d})
		r.note("%s: %s counted, %s found", name, want, got)
	}
}

const maxNotes = 8

func (r *row) invariant() Invariant {
	i := Invariant{ID: r.id, Token: r.token, Terms: r.terms, OK: r.drift.Sign() == 0 && len(r.gaps) == 0}
	drift := r.drift
	if drift.Sign() == 0 && len(r.gaps) > 0 {
		drift = r.gaps[0].n
	}
	i.Drift = drift.String()
	if !i.OK {
		i.Detail = joined(r.notes)
		if i.Detail == "" {
			i.Detail = "what is locked is not what is claimed"
		}
	}
	return i
}

// rule collects the violations of an invariant that is a rule.
type rule struct {
	id    string
	terms map[string]string
	count uint64
	notes []string
}

func newRule(id string) *rule { return &rule{id: id, terms: map[string]string{}} }

func (r *rule) term(name string, n int) { r.terms[name] = strconv.Itoa(n) }

func (r *rule) invariant() Invariant {
	return Invariant{
		ID: r.id, Drift: strconv.FormatUint(r.count, 10), OK: r.count == 0, Terms: r.terms, Detail: joined(r.notes),
	}
}

func joined(notes []string) string {
	if len(notes) > maxNotes {
		notes = append(notes[:maxNotes:maxNotes], "and "+strconv.Itoa(len(notes)-maxNotes)+" more")
	}
	return strings.Join(notes, "; ")
}

func (r *row) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// broken counts one violation.
func (r *rule) broken(format string, args ...any) { r.brokenBy(1, format, args...) }

// brokenBy counts several violations of one cause.
func (r *rule) brokenBy(n uint64, format string, args ...any) {
	r.count += n
	if len(r.notes) <= maxFaults {
		r.notes = append(r.notes, fmt.Sprintf(format, args...))
	}
}
