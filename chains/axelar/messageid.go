package axelar

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
)

var (
	// ErrMessageID says when a string is no message id.
	ErrMessageID = errors.New("not a message id")
	// ErrReceipt says when logs are not those of one receipt, in its order.
	ErrReceipt = errors.New("not the logs of one receipt")
)

// MessageID names a message on the chain where it began: the transaction, and
// the position of the gateway's event within the logs of that transaction's
// own receipt. That is not the logIndex of JSON-RPC, which counts through the
// block. A message of the hub has the hash of an Axelar transaction and a
// running number instead.
type MessageID struct {
	Tx    common.Hash
	Index uint64
}

// String is 0x, 64 lower-case hex digits, a dash and the decimal index.
func (id MessageID) String() string {
	return "0x" + hex.EncodeToString(id.Tx[:]) + "-" + strconv.FormatUint(id.Index, 10)
}

// ParseMessageID reads exactly what String writes.
func ParseMessageID(s string) (MessageID, error) {
	tx, index, ok := strings.Cut(s, "-")
	digits, prefixed := strings.CutPrefix(tx, "0x")
	if !ok || !prefixed || len(digits) != 2*common.HashLength {
		return MessageID{}, fmt.Errorf("parse %.100q: %w", s, ErrMessageID)
	}
	raw, err := hex.DecodeString(digits)
	if err != nil {
		return MessageID{}, fmt.Errorf("parse %.100q: %w", s, ErrMessageID)
	}
	n, err := strconv.ParseUint(index, 10, 64)
	if err != nil {
		return MessageID{}, fmt.Errorf("parse %.100q: %w", s, ErrMessageID)
	}
	// Upper-case digits, leading zeros and signs do not come back the same.
	id := MessageID{Tx: common.BytesToHash(raw), Index: n}
	if id.String() != s {
		return MessageID{}, fmt.Errorf("parse %.100q: %w", s, ErrMessageID)
	}
	return id, nil
}

// MessageIDOf is the id of the log with block-wide index within receipt, all
// logs of one receipt in its order. ErrReceipt where they are of several
// transactions or blocks, do not ascend, or do not hold the log. A log that an
// endpoint left out before it shifts the position, which no one can see in one
// receipt: several sources must agree (PROTOCOL 41). Indexes may have gaps, as
// Filecoin counts events that are no EVM logs.
func MessageIDOf(receipt []chains.Event, index uint) (MessageID, error) {
	for i, l := range receipt {
		if l.Tx != receipt[0].Tx || l.BlockHash != receipt[0].BlockHash || l.Chain != receipt[0].Chain {
			return MessageID{}, fmt.Errorf("log %d is of another transaction or block: %w", i, ErrReceipt)
		}
		if i > 0 && l.Index <= receipt[i-1].Index {
			return MessageID{}, fmt.Errorf("log %d has index %d after %d: %w", i, l.Index, receipt[i-1].Index, ErrReceipt)
		}
	}
	at := slices.IndexFunc(receipt, func(l chains.Event) bool { return l.Index == index })
	if at < 0 {
		return MessageID{}, fmt.Errorf("no log with index %d: %w", index, ErrReceipt)
	}
	return MessageID{Tx: receipt[at].Tx, Index: uint64(at)}, nil
}
