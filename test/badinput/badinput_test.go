// Package badinput holds the list of inputs that a bridge has been, or could be,
// robbed or stopped with, and what becomes of each here. A row is an input or a
// class of them; its tries put it through the relayer's own code. However a try
// ends, nothing is paid but what honest events beside it are owed, and nothing
// panics.
package badinput

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// row is one bad input. It has tries, or the word why there is nothing to try.
type row struct {
	id, what string
	tries    []try
	absent   string
}

// try is one concrete form of a bad input.
type try struct {
	what string
	run  func(*testing.T)
}

// alone is a try of code that has no bridge round it.
func alone(what string, run func(*testing.T)) try { return try{what, run} }

// bridged is a try in a whole world, which must be sound in the end.
func bridged(what string, run func(*world)) try {
	return try{what, func(t *testing.T) {
		w := newWorld(t)
		run(w)
		w.sound()
	}}
}

func rows() []row {
	return slices.Concat(eventRows(), endpointRows(), signatureRows(), amountRows(), recipientRows(), livenessRows(), fillRows())
}

func TestNoBadInputIsPaidFor(t *testing.T) {
	for _, r := range rows() {
		t.Run(r.id, func(t *testing.T) {
			t.Parallel()
			for _, c := range r.tries {
				t.Run(c.what, func(t *testing.T) {
					t.Parallel()
					c.run(t)
				})
			}
		})
	}
}

func TestEveryBadInputIsListedOnce(t *testing.T) {
	const last = 61
	seen, said := map[string]bool{}, map[string]bool{}
	for _, r := range rows() {
		require.False(t, seen[r.id], "%s twice", r.id)
		seen[r.id] = true
		require.NotEmpty(t, r.what, r.id)
		require.NotEqual(t, len(r.tries) == 0, r.absent == "", "%s has tries, or says why there are none", r.id)
		for _, c := range r.tries {
			require.False(t, said[r.id+c.what], "%s: %q twice", r.id, c.what)
			said[r.id+c.what] = true
		}
	}
	for n := 1; n <= last; n++ {
		require.True(t, seen[fmt.Sprint("B", n)], "B%d is missing", n)
	}
	require.Len(t, seen, last)
}
