package approve

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/ethereum/go-ethereum/common"
)

var (
	// ErrDamaged says that the ledger is broken other than by a torn last line.
	ErrDamaged = errors.New("the ledger is damaged: restore its folder from a backup that is newer than the last signature, or take this signer out of the set")
	// ErrRolledBack says that the ledger is an earlier state of itself: what it has
	// signed since is not known.
	ErrRolledBack = errors.New("the ledger is shorter than it was: restore the newer one")
	// ErrOther says that the ledger is another signer's.
	ErrOther = errors.New("the ledger is of another signer")
	// ErrInUse says that another process has the ledger open.
	ErrInUse = errors.New("the ledger is in use by another process")
	// ErrContradiction says that a chain tells of a call that is in the ledger
	// otherwise: a second position, another payload, another block. Nothing of
	// the chain is signed any more.
	ErrContradiction = errors.New("the chain contradicts the ledger")
)

const (
	ledgerFile  = "ledger.log"
	cursorsFile = "cursors.json"
	maxLine     = 1 << 20
	sumLen      = 8
	// keepEvery is how often cursors are written: what was read since is only read
	// again.
	keepEvery = 5 * time.Second
)

// Signing is what a signer is about to sign, or has signed.
type Signing struct {
	To     string      `json:"to"`
	Digest common.Hash `json:"digest"`
	Set    common.Hash `json:"set"`
	Calls  []int       `json:"calls,omitempty"` // by their places in the ledger
	Next   common.Hash `json:"next"`            // of a rotation
	At     int64       `json:"at"`              // Unix seconds
}

// line is one line of the ledger, with exactly one of the three.
type line struct {
	Open *opening `json:"open,omitempty"`
	Call *Call    `json:"call,omitempty"`
	Sign *Signing `json:"sign,omitempty"`
}

type opening struct {
	Version int            `json:"version"`
	Signer  common.Address `json:"signer"`
}

type logKey struct {
	chain string
	tx    common.Hash
	index uint
}

type idKey struct {
	chain string
	id    axelar.MessageID
}

// mark is a state of the ledger: each line's sum is of all lines up to it.
type mark struct {
	Lines int    `json:"lines"`
	Sum   string `json:"sum"`
}

// Ledger is what a signer keeps on its disk: every call that it may sign for,
// written and synced before it signs anything, and everything it has signed; and
// how far it has read each chain. Lines are only added, each under a checksum of
// all before it. Its methods may be called from many goroutines.
type Ledger struct {
	dir    string
	signer common.Address

	mu      sync.Mutex
	file    *os.File // nil once closed
	size    int64
	sum     [sumLen]byte
	lines   int
	broken  error // the file's end is unknown: nothing is signed any more
	calls   []Call
	signed  []bool // a call was signed for, in whatever batch
	byLog   map[logKey]int
	byID    map[idKey]int
	signing map[common.Hash]bool
	recent  []Signing // newest last
	names   map[string]string

	cursors map[string]position
	kept    time.Time
	dirty   bool
}

// position is how far a chain was read. Routes names the rules by which calls were
// taken from it: under others it is read anew.
type position struct {
	chains.Cursor
	Routes common.Hash `json:"routes"`
}

type cursorsJSON struct {
	Signer common.Address      `json:"signer"`
	Ledger mark                `json:"ledger"`
	Chains map[string]position `json:"chains"`
}

// OpenLedger reads or makes the ledger of a signer in a folder, which must exist. A
// torn last line is cut off: nothing was signed by it. ErrDamaged, ErrRolledBack,
// ErrOther or ErrInUse where a person must look.
func OpenLedger(dir string, signer common.Address) (*Ledger, error) {
	l := newLedger(dir, signer)
	if err := l.open(); err != nil {
		err = fmt.Errorf("open ledger %s: %w", dir, err)
		if l.file != nil {
			err = errors.Join(err, l.file.Close())
		}
		return nil, err
	}
	return l, nil
}

func newLedger(dir string, signer common.Address) *Ledger {
	return &Ledger{
		dir: dir, signer: signer, byLog: map[logKey]int{}, byID: map[idKey]int{}, signing: map[common.Hash]bool{},
		names: map[string]string{}, cursors: map[string]position{},
	}
}

func (l *Ledger) path() string { return filepath.Join(l.dir, ledgerFile) }

func (l *Ledger) open() error {
	was, err := l.readCursors()
	if err != nil {
		return err
	}
	if l.file, err = os.OpenFile(l.path(), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return err
	}
	if err := syscall.Flock(int(l.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return ErrInUse
		}
		return fmt.Errorf("lock: %w", err)
	}
	if err := l.load(l.file, was); err != nil {
		return err
	}
	// What is behind the last whole line was never answered for.
	if err := l.file.Truncate(l.size); err != nil {
		return err
	}
	if l.lines == 0 {
		if err := l.append(line{Open: &opening{Version: 1, Signer: l.signer}}); err != nil {
			return err
		}
	}
	return syncDir(l.dir)
}

// load reads all lines. was is a state that the ledger is known to have had.
func (l *Ledger) load(from io.Reader, was mark) error {
	r := bufio.NewReaderSize(from, 64<<10)
	torn := false
	for {
		text, err := readLine(r)
		if errors.Is(err, io.EOF) && len(text) == 0 {
			break
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errLong) {
			return err
		}
		if torn {
			return fmt.Errorf("line %d: %w", l.lines+1, ErrDamaged)
		}
		whole := err == nil
		body, sum, ok := l.unseal(text)
		if !whole || !ok {
			// The last one may be torn; that one comes after it is damage.
			torn = true
			continue
		}
		if err := l.take(body); err != nil {
			return fmt.Errorf("line %d: %w", l.lines+1, err)
		}
		l.sum, l.lines, l.size = sum, l.lines+1, l.size+int64(len(text))
		if l.lines == was.Lines && hex.EncodeToString(sum[:]) != was.Sum {
			return fmt.Errorf("line %d is not the one that was there: %w", l.lines, ErrRolledBack)
		}
	}
	if l.lines < was.Lines {
		return fmt.Errorf("%d lines of %d: %w", l.lines, was.Lines, ErrRolledBack)
	}
	return nil
}

var errLong = errors.New("line is too long")

// readLine reads up to a line end, at most maxLine bytes.
func readLine(r *bufio.Reader) ([]byte, error) {
	var out []byte
	for {
		part, err := r.ReadSlice('\n')
		out = append(out, part...)
		if len(out) > maxLine {
			return out, errLong
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return out, err
		}
	}
}

// seal is a line of the file: the sum in hex, a blank, the body.
func seal(before [sumLen]byte, body []byte) (text []byte, sum [sumLen]byte) {
	h := sha256.New()
	h.Write(before[:])
	h.Write(body)
	copy(sum[:], h.Sum(nil))
	return fmt.Appendf(nil, "%x %s\n", sum, body), sum
}

func (l *Ledger) unseal(text []byte) (body []byte, sum [sumLen]byte, ok bool) {
	body, ended := bytes.CutSuffix(text, []byte("\n"))
	if !ended || len(body) < 2*sumLen+1 {
		return nil, sum, false
	}
	body = body[2*sumLen+1:]
	again, sum := seal(l.sum, body)
	return body, sum, bytes.Equal(again, text)
}

// take keeps what a sound line says. A line that contradicts those before it was
// not written by this program.
func (l *Ledger) take(body []byte) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	var in line
	if err := dec.Decode(&in); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if (in.Open != nil) != (l.lines == 0) {
		return fmt.Errorf("no opening line: %w", ErrDamaged)
	}
	switch {
	case in.Open != nil && in.Call == nil && in.Sign == nil:
		if in.Open.Version != 1 {
			return fmt.Errorf("version %d: %w", in.Open.Version, ErrDamaged)
		}
		if l.signer == (common.Address{}) {
			l.signer = in.Open.Signer // read by whoever wants to see it
		}
		if in.Open.Signer != l.signer {
			return fmt.Errorf("%w: %s, not %s", ErrOther, in.Open.Signer, l.signer)
		}
	case in.Call != nil && in.Sign == nil:
		if known, err := l.known(*in.Call); err != nil || known {
			return fmt.Errorf("%s is there twice: %w", in.Call, ErrDamaged)
		}
		l.add(*in.Call)
	case in.Sign != nil && in.Call == nil:
		for _, i := range in.Sign.Calls {
			if i < 0 || i >= len(l.calls) {
				return fmt.Errorf("a signature for call %d of %d: %w", i, len(l.calls), ErrDamaged)
			}
		}
		l.note(*in.Sign)
	default:
		return fmt.Errorf("a line of no kind: %w", ErrDamaged)
	}
	return nil
}

// known says whether a call is in the ledger already, as the very same.
func (l *Ledger) known(c Call) (bool, error) {
	for _, find := range []func() (int, bool){
		func() (int, bool) { i, ok := l.byLog[logKey{c.Chain, c.Tx, c.Index}]; return i, ok },
		func() (int, bool) { i, ok := l.byID[idKey{c.Chain, c.ID()}]; return i, ok },
	} {
		if i, ok := find(); ok && !same(l.calls[i], c) {
			return true, fmt.Errorf("%w: log %d of block %d is %s, in the ledger log %d of block %d is %s",
				ErrContradiction, c.Index, c.Block, c, l.calls[i].Index, l.calls[i].Block, l.calls[i])
		} else if ok {
			return true, nil
		}
	}
	return false, nil
}

func same(a, b Call) bool {
	if a.Amount.Cmp(b.Amount) != 0 {
		return false
	}
	b.Amount = a.Amount
	return a == b
}

func (l *Ledger) add(c Call) {
	c.Chain, c.To, c.Kind = l.name(c.Chain), l.name(c.To), Kind(l.name(string(c.Kind)))
	l.byLog[logKey{c.Chain, c.Tx, c.Index}], l.byID[idKey{c.Chain, c.ID()}] = len(l.calls), len(l.calls)
	l.calls, l.signed = append(l.calls, c), append(l.signed, false)
}

// name keeps one copy of each name.
func (l *Ledger) name(s string) string {
	if _, ok := l.names[s]; !ok {
		l.names[s] = s
	}
	return l.names[s]
}

const keepRecent = 20

func (l *Ledger) note(s Signing) {
	for _, i := range s.Calls {
		l.signed[i] = true
	}
	l.signing[s.Digest] = true
	l.recent = append(l.recent, s)
	if len(l.recent) > keepRecent {
		l.recent = slices.Delete(l.recent, 0, 1)
	}
}

// append writes lines and returns once they survive a power cut. After an error
// the file ends where it ended before; where that cannot be had, the ledger is
// broken.
func (l *Ledger) append(lines ...line) error {
	if l.broken != nil {
		return l.broken
	}
	if l.file == nil {
		return os.ErrClosed
	}
	var text []byte
	sum := l.sum
	for _, in := range lines {
		body, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("[BUG] encode a line of the ledger: %w", err)
		}
		var one []byte
		if one, sum = seal(sum, body); len(one) > maxLine {
			return fmt.Errorf("[BUG] a line of %d bytes in the ledger", len(one))
		}
		text = append(text, one...)
	}
	if _, err := l.file.Write(text); err != nil {
		if undo := l.file.Truncate(l.size); undo != nil {
			l.broken = fmt.Errorf("write the ledger: %w", errors.Join(err, undo))
			return l.broken
		}
		return fmt.Errorf("write the ledger: %w", err)
	}
	if err := l.file.Sync(); err != nil {
		// What is on the disk after a failed sync nobody knows.
		l.broken = fmt.Errorf("sync the ledger: %w", err)
		return l.broken
	}
	l.sum, l.lines, l.size = sum, l.lines+len(lines), l.size+int64(len(text))
	return nil
}

// Record adds calls that are new and returns them, once they are safe.
// ErrContradiction where one is there otherwise; then none is added.
func (l *Ledger) Record(calls []Call) ([]Call, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var fresh []Call
	var lines []line
	for _, c := range calls {
		known, err := l.known(c)
		if err != nil {
			return nil, err
		}
		for _, f := range fresh {
			twice := f.Chain == c.Chain && f.Tx == c.Tx && (f.Index == c.Index || f.Position == c.Position)
			if twice && !same(f, c) {
				return nil, fmt.Errorf("%w: %s is told in two ways at once", ErrContradiction, c)
			}
			known = known || twice
		}
		if !known {
			fresh, lines = append(fresh, c), append(lines, line{Call: &c})
		}
	}
	if len(fresh) == 0 {
		return nil, nil
	}
	if err := l.append(lines...); err != nil {
		return nil, err
	}
	for _, c := range fresh {
		l.add(c)
	}
	return fresh, nil
}

// Find is the call of an id, and its place.
func (l *Ledger) Find(chain string, id axelar.MessageID) (c Call, place int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	place, ok = l.byID[idKey{chain, id}]
	if !ok {
		return Call{}, 0, false
	}
	return l.calls[place], place, true
}

// Signed says whether the call at a place was signed for.
func (l *Ledger) Signed(place int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.signed[place]
}

// Mark records what is about to be signed; nothing is signed before it returns.
// Once recorded, a digest is not recorded again.
func (l *Ledger) Mark(s Signing) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.signing[s.Digest] {
		return l.broken
	}
	if err := l.append(line{Sign: &s}); err != nil {
		return err
	}
	l.note(s)
	return nil
}

// Each visits every call in the order of the ledger.
func (l *Ledger) Each(visit func(c Call, signed bool)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, c := range l.calls {
		visit(c, l.signed[i])
	}
}

// Cursor is how far a chain was read under these routes; ok is false where it was
// not.
func (l *Ledger) Cursor(chain string, routes common.Hash) (chains.Cursor, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ok := l.cursors[chain]
	return p.Cursor, ok && p.Routes == routes
}

// Move says how far a chain was read; the calls below are recorded. It is written
// now and then, and by Close.
func (l *Ledger) Move(chain string, c chains.Cursor, routes common.Hash) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cursors[chain], l.dirty = position{c, routes}, true
	if time.Since(l.kept) < keepEvery {
		return nil
	}
	return l.keep()
}

func (l *Ledger) keep() error {
	if !l.dirty || l.broken != nil {
		return nil
	}
	body, err := json.Marshal(cursorsJSON{Signer: l.signer, Ledger: mark{l.lines, hex.EncodeToString(l.sum[:])}, Chains: l.cursors})
	if err != nil {
		return fmt.Errorf("[BUG] encode cursors: %w", err)
	}
	text, _ := seal([sumLen]byte{}, body)
	if err := replaceFile(filepath.Join(l.dir, cursorsFile), text); err != nil {
		return fmt.Errorf("write cursors: %w", err)
	}
	l.dirty, l.kept = false, time.Now()
	return nil
}

const maxCursors = 1 << 20

// readCursors reads the cursors, if there are any, and what the ledger was when
// they were written.
func (l *Ledger) readCursors() (mark, error) {
	path := filepath.Join(l.dir, cursorsFile)
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return mark{}, nil
	}
	if err == nil && info.Size() > maxCursors {
		err = errors.New("too large")
	}
	if err != nil {
		return mark{}, fmt.Errorf("read cursors: %w", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return mark{}, fmt.Errorf("read cursors: %w", err)
	}
	in, err := decodeCursors(text)
	if err != nil {
		return mark{}, fmt.Errorf("read %s: %w: delete it, and the chains are read again from their start blocks", path, err)
	}
	if l.signer != (common.Address{}) && in.Signer != l.signer {
		return mark{}, fmt.Errorf("%w: %s, not %s", ErrOther, in.Signer, l.signer)
	}
	for name, p := range in.Chains {
		l.cursors[name] = p
	}
	return in.Ledger, nil
}

func decodeCursors(text []byte) (cursorsJSON, error) {
	var in cursorsJSON
	body, _, ok := new(Ledger).unseal(text)
	if !ok {
		return in, errors.New("checksum is wrong")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	err := dec.Decode(&in)
	return in, err
}

// Close writes the cursors and gives the folder back.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := errors.Join(l.keep(), l.file.Close())
	l.file = nil
	return err
}

// replaceFile puts a file in the place of another: after a death there is one or
// the other, whole.
func replaceFile(path string, text []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
