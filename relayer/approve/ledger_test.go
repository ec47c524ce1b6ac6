package approve

import (
	"bytes"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

var me = common.Address{0x01}

func kept(n int) Call {
	return Call{
		Chain: l1Name, Block: uint64(n), BlockHash: common.BigToHash(big.NewInt(int64(n))), Tx: common.BigToHash(big.NewInt(int64(1000 + n))), Index: uint(n) + 3, Position: 3,
		Sender: its[l1Name], Sent: common.Hash{1}, To: rootName, Kind: KindTransfer, Arrives: common.Hash{2}, Token: flt,
		Amount: tokens.MustUnits(new(big.Int).Lsh(big.NewInt(int64(n)), 200)),
	}
}

func openedIn(t testing.TB, dir string) *Ledger {
	t.Helper()
	l, err := OpenLedger(dir, me)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// filled is a ledger of some calls and signatures, closed.
func filled(t testing.TB) (dir string, text []byte) {
	t.Helper()
	dir = t.TempDir()
	l := openedIn(t, dir)
	for n := range 5 {
		_, err := l.Record([]Call{kept(2 * n), kept(2*n + 1)})
		require.NoError(t, err)
		require.NoError(t, l.Mark(Signing{To: rootName, Digest: common.Hash{byte(n + 1)}, Calls: []int{n, 2 * n}, At: 1}))
	}
	require.NoError(t, l.Move(l1Name, chains.Cursor{Chain: 1, Next: 77, Parent: common.Hash{7}}, common.Hash{8}))
	require.NoError(t, l.Close())
	text, err := os.ReadFile(filepath.Join(dir, ledgerFile))
	require.NoError(t, err)
	return dir, text
}

func TestALedgerComesBackAsItWas(t *testing.T) {
	dir, _ := filled(t)
	l := openedIn(t, dir)
	for n := range 10 {
		c, place, ok := l.Find(l1Name, kept(n).ID())
		require.True(t, ok)
		require.Equal(t, n, place)
		require.True(t, same(kept(n), c))
		require.Equal(t, n < 5 || n%2 == 0, l.Signed(place))
	}
	_, _, ok := l.Find(rootName, kept(0).ID())
	require.False(t, ok)
	_, _, ok = l.Find(l1Name, axelar.MessageID{Tx: kept(0).Tx, Index: 4})
	require.False(t, ok)
	cur, ok := l.Cursor(l1Name, common.Hash{8})
	require.True(t, ok)
	require.Equal(t, chains.Cursor{Chain: 1, Next: 77, Parent: common.Hash{7}}, cur)
	_, ok = l.Cursor(l1Name, common.Hash{9})
	require.False(t, ok, "of other routes")

	s := l.Summary()
	require.Equal(t, 16, s.Lines)
	require.Equal(t, map[string]int{l1Name: 10}, s.Calls)
	require.Equal(t, map[string]int{l1Name: 7}, s.Signed)
	require.Equal(t, map[string]uint64{l1Name: 77}, s.Heights)
	require.Len(t, s.Recent, 5)
	require.Equal(t, common.Hash{5}, s.Recent[0].Digest)
	seen, err := Inspect(dir)
	require.NoError(t, err, "while it is open")
	require.Equal(t, s, seen)

	// A second time changes nothing.
	fresh, err := l.Record([]Call{kept(3), kept(10), kept(10)})
	require.NoError(t, err)
	require.Len(t, fresh, 1)
	require.NoError(t, l.Mark(Signing{Digest: common.Hash{1}}))
	require.Equal(t, 17, l.Summary().Lines)
}

func TestACallIsKeptInOneWayOnly(t *testing.T) {
	for what, change := range map[string]func(*Call){
		"position": func(c *Call) { c.Position++ }, "index": func(c *Call) { c.Index++ }, "block": func(c *Call) { c.Block++ },
		"block hash": func(c *Call) { c.BlockHash[0]++ }, "sender": func(c *Call) { c.Sender[0]++ }, "payload": func(c *Call) { c.Sent[0]++ },
		"destination": func(c *Call) { c.To = "fantom" }, "kind": func(c *Call) { c.Kind = KindOther }, "what arrives": func(c *Call) { c.Arrives[0]++ },
		"contract": func(c *Call) { c.Contract[0]++ }, "token": func(c *Call) { c.Token[0]++ }, "amount": func(c *Call) { c.Amount = tokens.Amount{} },
		"decimals": func(c *Call) { c.Decimals++ }, "minter": func(c *Call) { c.Minter = true },
	} {
		l := openedIn(t, t.TempDir())
		c := kept(1)
		_, err := l.Record([]Call{c})
		require.NoError(t, err)
		other := c
		change(&other)
		_, err = l.Record([]Call{kept(2), other})
		require.ErrorIs(t, err, ErrContradiction, what)
		_, _, ok := l.Find(l1Name, kept(2).ID())
		require.False(t, ok, "%s: all or nothing", what)
		// In one go it is one too many as well.
		l = openedIn(t, t.TempDir())
		_, err = l.Record([]Call{c, other})
		require.ErrorIs(t, err, ErrContradiction, what)
		require.Equal(t, 1, l.Summary().Lines)
	}
	// The same on another chain is another one.
	l := openedIn(t, t.TempDir())
	c := kept(1)
	other := c
	other.Chain, other.Sent = rootName, common.Hash{9}
	fresh, err := l.Record([]Call{c, other})
	require.NoError(t, err)
	require.Len(t, fresh, 2)
}

// TestATornEndIsCutOff: at every byte at which a death can tear it.
func TestATornEndIsCutOff(t *testing.T) {
	dir, text := filled(t)
	require.NoError(t, os.Remove(filepath.Join(dir, cursorsFile)))
	path := filepath.Join(dir, ledgerFile)
	from := len(bytes.Join(bytes.SplitAfter(text, []byte("\n"))[:13], nil))
	for n := range len(text) {
		if n > 100 && n < from && n%29 != 0 {
			continue // every byte of the first and of the last lines
		}
		require.NoError(t, os.WriteFile(path, text[:n], 0o600))
		l, err := OpenLedger(dir, me)
		require.NoError(t, err, "%d of %d bytes", n, len(text))
		whole := bytes.Count(text[:n], []byte("\n"))
		require.Equal(t, max(1, whole), l.Summary().Lines)
		if n%97 == 0 {
			fresh, err := l.Record([]Call{kept(50)})
			require.NoError(t, err)
			require.Len(t, fresh, 1)
			require.NoError(t, l.Close())
			l, err = OpenLedger(dir, me)
			require.NoError(t, err)
			require.Equal(t, max(1, whole)+1, l.Summary().Lines)
		}
		require.NoError(t, l.Close())
		_ = os.Remove(filepath.Join(dir, cursorsFile))
	}
	// A last line of noise, too.
	for _, tail := range []string{"\n", "x\n", "0123456789abcdef {}\n", strings.Repeat("\x00", 4096)} {
		require.NoError(t, os.WriteFile(path, append(bytes.Clone(text), tail...), 0o600))
		l, err := OpenLedger(dir, me)
		require.NoError(t, err)
		require.Equal(t, 16, l.Summary().Lines)
		require.NoError(t, l.Close())
	}
}

// TestDamageInTheMiddleIsRefused: any byte, any line.
func TestDamageInTheMiddleIsRefused(t *testing.T) {
	dir, text := filled(t)
	require.NoError(t, os.Remove(filepath.Join(dir, cursorsFile)))
	path := filepath.Join(dir, ledgerFile)
	refused := func(text []byte, what string) {
		t.Helper()
		require.NoError(t, os.WriteFile(path, text, 0o600))
		_, err := OpenLedger(dir, me)
		require.ErrorIs(t, err, ErrDamaged, what)
		require.ErrorContains(t, err, "backup")
		_, err = Inspect(dir)
		require.ErrorIs(t, err, ErrDamaged, what)
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, text, after, "%s: it is left as it is", what)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	last := len(text) - len(lines[len(lines)-2])
	for n := 0; n < last; n += 37 {
		bad := bytes.Clone(text)
		bad[n] ^= 0x20
		refused(bad, fmt.Sprintf("byte %d", n))
	}
	for n := range len(lines) - 3 {
		refused(bytes.Join(append(append([][]byte{}, lines[:n]...), lines[n+1:]...), nil), fmt.Sprintf("without line %d", n))
		swapped := append([][]byte{}, lines...)
		swapped[n], swapped[n+1] = swapped[n+1], swapped[n]
		refused(bytes.Join(swapped, nil), fmt.Sprintf("line %d after the next", n))
		twice := append(append([][]byte{}, lines[:n+1]...), lines[n:]...)
		refused(bytes.Join(twice, nil), fmt.Sprintf("line %d twice", n))
	}
}

// TestALedgerThatContradictsItselfIsRefused, though every checksum is right.
func TestALedgerThatContradictsItselfIsRefused(t *testing.T) {
	open := `{"open":{"version":1,"signer":"` + me.Hex() + `"}}`
	for what, bodies := range map[string][]string{
		"no opening":           {`{"sign":{"to":"x"}}`},
		"a second opening":     {open, open},
		"another version":      {`{"open":{"version":2,"signer":"` + me.Hex() + `"}}`},
		"a line of nothing":    {open, `{}`},
		"no JSON":              {open, `x`},
		"an unknown kind":      {open, `{"more":1}`},
		"two kinds":            {open, `{"call":{},"sign":{}}`},
		"a call twice":         {open, `{"call":{"chain":"a","amount":"1"}}`, `{"call":{"chain":"a","amount":"1"}}`},
		"a call in two ways":   {open, `{"call":{"chain":"a","amount":"1"}}`, `{"call":{"chain":"a","amount":"2"}}`},
		"a sign for no call":   {open, `{"sign":{"calls":[0]}}`},
		"a sign for call -1":   {open, `{"call":{"chain":"a","amount":"1"}}`, `{"sign":{"calls":[-1]}}`},
		"an amount of no kind": {open, `{"call":{"chain":"a","amount":"-1"}}`},
	} {
		dir := t.TempDir()
		var text []byte
		var sum [sumLen]byte
		for _, body := range append(bodies, `{"sign":{"to":"behind"}}`) {
			var one []byte
			one, sum = seal(sum, []byte(body))
			text = append(text, one...)
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, ledgerFile), text, 0o600))
		_, err := OpenLedger(dir, me)
		require.ErrorIs(t, err, ErrDamaged, what)
	}
}

// TestAnOlderLedgerIsRefused: what was signed since would not be known.
func TestAnOlderLedgerIsRefused(t *testing.T) {
	dir, text := filled(t)
	path := filepath.Join(dir, ledgerFile)
	cursors, err := os.ReadFile(filepath.Join(dir, cursorsFile))
	require.NoError(t, err)
	lines := bytes.SplitAfter(text, []byte("\n"))
	for n := range len(lines) - 2 {
		require.NoError(t, os.WriteFile(path, bytes.Join(lines[:n], nil), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, cursorsFile), cursors, 0o600))
		_, err := OpenLedger(dir, me)
		require.ErrorIs(t, err, ErrRolledBack, "%d lines", n)
	}
	require.NoError(t, os.Remove(path))
	_, err = OpenLedger(dir, me)
	require.ErrorIs(t, err, ErrRolledBack, "it is gone")

	// One of as many lines, but others.
	other, _ := filled(t)
	l := openedIn(t, other)
	for n := range 20 {
		_, err := l.Record([]Call{kept(100 + n)})
		require.NoError(t, err)
	}
	require.NoError(t, l.Close())
	longer, err := os.ReadFile(filepath.Join(other, ledgerFile))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, longer, 0o600))
	l, err = OpenLedger(dir, me)
	require.NoError(t, err, "one that went on is fine")
	require.NoError(t, l.Close())
	third := t.TempDir()
	l = openedIn(t, third)
	for n := range 40 {
		_, err := l.Record([]Call{kept(200 + n)})
		require.NoError(t, err)
	}
	require.NoError(t, l.Close())
	alien, err := os.ReadFile(filepath.Join(third, ledgerFile))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, alien, 0o600))
	_, err = OpenLedger(dir, me)
	require.ErrorIs(t, err, ErrRolledBack)
}

func TestALedgerBelongsToOneSignerAndOneProcess(t *testing.T) {
	dir, _ := filled(t)
	_, err := OpenLedger(dir, common.Address{2})
	require.ErrorIs(t, err, ErrOther)
	require.NoError(t, os.Remove(filepath.Join(dir, cursorsFile)))
	_, err = OpenLedger(dir, common.Address{2})
	require.ErrorIs(t, err, ErrOther)
	l := openedIn(t, dir)
	_, err = OpenLedger(dir, me)
	require.ErrorIs(t, err, ErrInUse)
	require.NoError(t, l.Close())
	require.NoError(t, l.Close(), "twice")
	_, err = l.Record([]Call{kept(99)})
	require.ErrorIs(t, err, os.ErrClosed)
	openedIn(t, dir)
	_, err = OpenLedger(filepath.Join(dir, "nowhere"), me)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Inspect(filepath.Join(dir, "nowhere"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestDamagedCursorsAreSaidToBeDispensable(t *testing.T) {
	dir, _ := filled(t)
	path := filepath.Join(dir, cursorsFile)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	text[30] ^= 1
	require.NoError(t, os.WriteFile(path, text, 0o600))
	_, err = OpenLedger(dir, me)
	require.ErrorContains(t, err, "delete it")
	require.NoError(t, os.Remove(path))
	l := openedIn(t, dir)
	_, ok := l.Cursor(l1Name, common.Hash{8})
	require.False(t, ok)
}

// TestALineThatIsNotWrittenLeavesNoTrace: a full disk.
func TestALineThatIsNotWrittenLeavesNoTrace(t *testing.T) {
	dir := t.TempDir()
	l := openedIn(t, dir)
	_, err := l.Record([]Call{kept(1)})
	require.NoError(t, err)
	good := l.file
	// A file that takes nothing, but can be cut: what was written of a line is undone.
	full, err := os.OpenFile(filepath.Join(dir, "readonly"), os.O_RDONLY|os.O_CREATE, 0o600)
	require.NoError(t, err)
	defer full.Close()
	l.file = full
	_, err = l.Record([]Call{kept(2)})
	require.Error(t, err)
	_, _, ok := l.Find(l1Name, kept(2).ID())
	require.False(t, ok)
	// Neither could be had there: nothing goes any more.
	l.file = good
	_, err = l.Record([]Call{kept(3)})
	require.ErrorContains(t, err, "write the ledger")
	require.Error(t, l.Mark(Signing{Digest: common.Hash{1}}))
	require.NoError(t, l.Close())
	l = openedIn(t, dir)
	require.Equal(t, 2, l.Summary().Lines)
}

// FuzzALedgerIsReadOrRefused: whatever is in the file, opening it ends, and what
// it takes it takes again.
func FuzzALedgerIsReadOrRefused(f *testing.F) {
	_, text := filled(f)
	f.Add(text)
	f.Add(text[:len(text)/2])
	f.Add([]byte("\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, ledgerFile)
		require.NoError(t, os.WriteFile(path, text, 0o600))
		l, err := OpenLedger(dir, me)
		if err != nil {
			after, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, text, after)
			return
		}
		was := l.Summary()
		require.NoError(t, l.Close())
		l, err = OpenLedger(dir, me)
		require.NoError(t, err)
		defer l.Close()
		require.Equal(t, was, l.Summary())
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		if len(text) > 0 && was.Lines > 1 {
			require.True(t, bytes.HasPrefix(text, after))
		}
	})
}
