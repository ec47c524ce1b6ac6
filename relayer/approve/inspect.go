package approve

import (
	"fmt"
	"os"
	"slices"

	"github.com/ethereum/go-ethereum/common"
)

// Summary is what is in a ledger.
type Summary struct {
	Signer  common.Address    `json:"signer"`
	Lines   int               `json:"lines"`
	Bytes   int64             `json:"bytes"`
	Calls   map[string]int    `json:"calls"`   // by chain
	Signed  map[string]int    `json:"signed"`  // of them
	Heights map[string]uint64 `json:"heights"` // the first that is not read yet, by chain
	Recent  []Signing         `json:"recent"`  // the last signatures, newest first
}

// Summary is what is in the ledger now.
func (l *Ledger) Summary() Summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Summary{
		Signer: l.signer, Lines: l.lines, Bytes: l.size, Calls: map[string]int{}, Signed: map[string]int{}, Heights: map[string]uint64{},
		Recent: slices.Clone(l.recent),
	}
	for i, c := range l.calls {
		s.Calls[c.Chain]++
		if l.signed[i] {
			s.Signed[c.Chain]++
		}
	}
	for name, p := range l.cursors {
		s.Heights[name] = p.Next
	}
	slices.Reverse(s.Recent)
	return s
}

// Size is the length of the ledger in bytes.
func (l *Ledger) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size
}

// Inspect reads the ledger of a folder without opening it: its signer may be at
// work.
func Inspect(dir string) (Summary, error) {
	l := newLedger(dir, common.Address{})
	was, err := l.readCursors()
	if err != nil {
		return Summary{}, fmt.Errorf("inspect ledger %s: %w", dir, err)
	}
	f, err := os.Open(l.path())
	if err != nil {
		return Summary{}, fmt.Errorf("inspect ledger: %w", err)
	}
	defer f.Close()
	if err := l.load(f, was); err != nil {
		return Summary{}, fmt.Errorf("inspect ledger %s: %w", dir, err)
	}
	return l.Summary(), nil
}
