package ipc

import (
	"encoding/binary"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
)

const (
	// MaxExtensionBytes bounds a vote extension (PROTOCOL 4).
	MaxExtensionBytes = 4096

	extensionVersion = 1
	extensionHead    = 1 + 8 + 1
	itemLen          = 1 + 8 + common.HashLength + SignatureLen
	// MaxExtensionItems is how many items fit.
	MaxExtensionItems = (MaxExtensionBytes - extensionHead) / itemLen
)

// Item is one signed statement: the digest is all that travels, every node
// derives the statement itself and pools signatures by (Digest, signer). Key
// is the height or round the kind is keyed by.
type Item struct {
	Kind      ItemKind
	Key       uint64
	Digest    common.Hash
	Signature [SignatureLen]byte
}

// Signer recovers who signed the item.
func (i Item) Signer() (common.Address, error) { return Recover(i.Digest, i.Signature[:]) }

// Extension is what a validator attaches to its precommit: its report (the
// newest final parent height, 0 for none) and its unfinished items.
type Extension struct {
	Report uint64
	Items  []Item
}

// EncodeExtension writes version, report, item count and the items, each of
// fixed length; ErrTooLarge above MaxExtensionItems.
func EncodeExtension(e Extension) ([]byte, error) {
	if len(e.Items) > MaxExtensionItems {
		return nil, fmt.Errorf("encode extension: %d items: %w", len(e.Items), ErrTooLarge)
	}
	b := make([]byte, 0, extensionHead+len(e.Items)*itemLen)
	b = append(b, extensionVersion)
	b = binary.BigEndian.AppendUint64(b, e.Report)
	b = append(b, byte(len(e.Items)))
	for _, it := range e.Items {
		b = append(b, byte(it.Kind))
		b = binary.BigEndian.AppendUint64(b, it.Key)
		b = append(b, it.Digest[:]...)
		b = append(b, it.Signature[:]...)
	}
	return b, nil
}

// DecodeExtension reads an extension: the size must fit the item count exactly.
// Signatures and kinds are not judged here: a node ignores an item it cannot
// use, it never rejects its neighbours (PROTOCOL 4). No bytes at all are the
// empty extension.
func DecodeExtension(b []byte) (Extension, error) {
	if len(b) == 0 {
		return Extension{}, nil
	}
	if len(b) > MaxExtensionBytes {
		return Extension{}, fmt.Errorf("decode extension: %d bytes: %w", len(b), ErrTooLarge)
	}
	if len(b) < extensionHead || b[0] != extensionVersion {
		return Extension{}, fmt.Errorf("decode extension: head: %w", ErrMalformed)
	}
	n := int(b[extensionHead-1])
	if n > MaxExtensionItems || len(b) != extensionHead+n*itemLen {
		return Extension{}, fmt.Errorf("decode extension: %d items in %d bytes: %w", n, len(b), ErrMalformed)
	}
	e := Extension{Report: binary.BigEndian.Uint64(b[1:]), Items: make([]Item, n)}
	for i := range e.Items {
		p := b[extensionHead+i*itemLen:]
		it := &e.Items[i]
		it.Kind = ItemKind(p[0])
		it.Key = binary.BigEndian.Uint64(p[1:])
		copy(it.Digest[:], p[9:])
		copy(it.Signature[:], p[9+common.HashLength:])
	}
	return e, nil
}
