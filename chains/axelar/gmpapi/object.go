package gmpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ethereum/go-ethereum/common"
	"github.com/google/uuid"
)

var (
	// ErrAnswer says when an answer is none that the API's schema allows.
	ErrAnswer = errors.New("not an answer of the GMP API")
	// ErrTooLarge says when a request or an answer exceeds its bound.
	ErrTooLarge = errors.New("larger than it may be")
)

const (
	// maxText bounds names, addresses and ids, maxDigits a uint256.
	maxText   = 1024
	maxDigits = 78
)

// checkJSON says whether b is one JSON value in UTF-8, no deeper than depth.
func checkJSON(b []byte, depth int) error {
	if !utf8.Valid(b) {
		return fmt.Errorf("it is not UTF-8: %w", ErrAnswer)
	}
	if tooDeep(b, depth) {
		return fmt.Errorf("it is nested deeper than %d: %w", depth, ErrTooLarge)
	}
	if !json.Valid(b) {
		return fmt.Errorf("it is not JSON: %w", ErrAnswer)
	}
	return nil
}

// tooDeep counts brackets outside strings and leaves syntax to the decoder.
func tooDeep(b []byte, most int) bool {
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > most {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// object reads one JSON object strictly: names match exactly and none comes
// twice (one that does is not there at all); what is not asked for is ignored. The first complaint of it and of the
// objects in it stays in err, and everything read after it is zero.
type object struct {
	at     string
	fields map[string]json.RawMessage
	err    *error
}

// readObject begins at raw; at names it in complaints.
func readObject(at string, raw []byte) object {
	var none error
	return (object{err: &none}).enter(at, raw)
}

func (o object) enter(at string, raw []byte) object {
	child := object{at: at, fields: map[string]json.RawMessage{}, err: o.err}
	seen := map[string]bool{}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		child.fail("is no object")
		return child
	}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		var value json.RawMessage
		if err != nil || !ok || dec.Decode(&value) != nil {
			child.fail("is no object")
			return child
		}
		if seen[name] {
			child.fail("has %.100q twice", name)
			delete(child.fields, name)
			continue
		}
		seen[name] = true
		child.fields[name] = value
	}
	if _, err := dec.Token(); err != nil { // the closing bracket
		child.fail("is no object")
	}
	return child
}

// fail keeps the first complaint.
func (o object) fail(format string, args ...any) {
	if *o.err == nil {
		*o.err = fmt.Errorf("%s %s: %w", o.at, fmt.Sprintf(format, args...), ErrAnswer)
	}
}

func (o object) failAt(name, format string, args ...any) {
	object{at: o.at + "." + name, err: o.err}.fail(format, args...)
}

// has says that a field is there and not null.
func (o object) has(name string) bool {
	raw, ok := o.fields[name]
	return ok && string(raw) != "null"
}

// raw is a field that must be there.
func (o object) raw(name string) json.RawMessage {
	if *o.err != nil {
		return nil
	}
	if !o.has(name) {
		o.failAt(name, "is missing")
		return nil
	}
	return o.fields[name]
}

// object is a field that is an object.
func (o object) object(name string) object {
	raw := o.raw(name)
	if *o.err != nil {
		return object{at: o.at + "." + name, err: o.err}
	}
	return o.enter(o.at+"."+name, raw)
}

// list is a field that is an array.
func (o object) list(name string) (out []json.RawMessage) {
	raw := o.raw(name)
	if *o.err == nil && json.Unmarshal(raw, &out) != nil {
		o.failAt(name, "is no list")
	}
	return out
}

// anyText is a string of any length. One that JSON cannot carry (a lone half of
// a surrogate pair) would come out as another one: it is refused.
func (o object) anyText(name string) (s string) {
	raw := o.raw(name)
	if *o.err != nil {
		return ""
	}
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil || strings.ContainsRune(s, utf8.RuneError) {
		o.failAt(name, "is no text")
		return ""
	}
	return s
}

// text is a name, an address or an id: not empty and not long.
func (o object) text(name string) string {
	s := o.anyText(name)
	if *o.err == nil && (s == "" || len(s) > maxText) {
		o.failAt(name, "has %d bytes, must have 1 to %d", len(s), maxText)
		return ""
	}
	return s
}

// textOr is a text that may be missing or null: empty then.
func (o object) textOr(name string) string {
	if *o.err != nil || !o.has(name) {
		return ""
	}
	return o.text(name)
}

// bytes is base64 of at least one byte, in the one way to write it.
func (o object) bytes(name string) []byte {
	s := o.anyText(name)
	if *o.err != nil {
		return nil
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) == 0 || strings.ContainsAny(s, "\r\n") {
		o.failAt(name, "is no base64 of one byte or more")
		return nil
	}
	return b
}

// hash is base64 of 32 bytes.
func (o object) hash(name string) common.Hash {
	b := o.bytes(name)
	if *o.err == nil && len(b) != common.HashLength {
		o.failAt(name, "has %d bytes, must have 32", len(b))
		return common.Hash{}
	}
	return common.BytesToHash(b)
}

// integer is a decimal whole number in a string.
func (o object) integer(name string) *big.Int {
	s := o.anyText(name)
	if *o.err != nil {
		return nil
	}
	n, ok := new(big.Int), len(s) <= maxDigits+1
	if ok {
		n, ok = n.SetString(s, 10)
	}
	if !ok || n.String() != s { // no plus, no leading zeros, no minus zero, no underscores
		o.failAt(name, "is no whole number: %.100q", s)
		return nil
	}
	if n.BitLen() > 256 {
		o.failAt(name, "has more than 256 bits")
		return nil
	}
	return n
}

// count is a JSON number, whole and not negative.
func (o object) count(name string) uint64 {
	raw := o.raw(name)
	if *o.err != nil {
		return 0
	}
	n, err := strconv.ParseUint(string(raw), 10, 64)
	if err != nil {
		o.failAt(name, "is no count")
	}
	return n
}

func (o object) boolean(name string) bool {
	raw := o.raw(name)
	if *o.err == nil && string(raw) != "true" && string(raw) != "false" {
		o.failAt(name, "is neither true nor false")
	}
	return string(raw) == "true"
}

func (o object) time(name string) time.Time {
	s := o.text(name)
	if *o.err != nil {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		o.failAt(name, "is no time")
	}
	return t
}

// uuid is in the form of 36 characters.
func (o object) uuid(name string) uuid.UUID {
	s := o.text(name)
	if *o.err != nil {
		return uuid.Nil
	}
	id, err := uuid.Parse(s)
	if err != nil || len(s) != 36 || id == uuid.Nil {
		o.failAt(name, "is no UUID")
		return uuid.Nil
	}
	return id
}
