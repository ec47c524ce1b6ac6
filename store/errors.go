package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/redis/go-redis/v9"
)

var (
	// ErrCursor says that the stored cursor is not the one the caller read from:
	// somebody else moved it, or Redis was rolled back. Read it again.
	ErrCursor = errors.New("cursor is not where the caller thinks")
	// ErrStale says that the lane has another owner now; nothing was written.
	ErrStale = chains.ErrStale
	// ErrForgot says that Redis lacks what was seen in it. One with an earlier
	// state of the same history can be opened, and is Recovering then; of one that
	// has nothing of it an operator decides.
	ErrForgot = errors.New("redis forgot: it knows less than was seen in it")
	// ErrRestarted is the milder ErrForgot: the server is another process than
	// before and may have lost its last moments. Reopen, replay, go on.
	ErrRestarted error = restarted{}
	// ErrFull says that Redis has no room for new work; settling goes on.
	ErrFull = errors.New("redis is nearly full: raise maxmemory or prune; new work is refused, settling goes on")
	// ErrDisk says that Redis cannot write its file; sign nothing.
	ErrDisk = errors.New("redis cannot write its append-only file: check its disk")
	// ErrReadOnly says that the server is a replica.
	ErrReadOnly = errors.New("redis is a read-only replica: point the URL at the primary")
	// ErrDown says that Redis gave no usable answer for the whole retry time; a
	// write may or may not have happened. Calling again is safe.
	ErrDown = errors.New("redis is unavailable")
	// ErrUnfit says that the server is not configured to keep money's records.
	ErrUnfit = errors.New("redis is not fit to keep the journal")
	// ErrSchema says that the namespace holds another version's data.
	ErrSchema = errors.New("redis holds another schema")
	// ErrNotParked says that an operator verb was aimed at a transfer that is
	// not parked.
	ErrNotParked = errors.New("transfer is not parked")
	// ErrUnknown says that no such transfer or intent is stored.
	ErrUnknown = errors.New("not in the store")
	// ErrInvalid says that an argument cannot be stored; nothing was written.
	ErrInvalid = errors.New("invalid argument")
	// ErrDecided says that an intent was decided otherwise before.
	ErrDecided = errors.New("intent is already decided")
	// ErrConflict says that a nonce in the intents file is held by another
	// intent in Redis: two histories of one account. A person must look.
	ErrConflict = errors.New("nonce belongs to another intent")
)

// errLoading passes by itself, however long the file is.
var errLoading = fmt.Errorf("%w: it is still loading its data", ErrDown)

type restarted struct{}

func (restarted) Error() string {
	return "redis was restarted or replaced: reopen the store and replay the intents file"
}

// Is makes ErrRestarted an ErrForgot too: who knows only that one stops paying.
func (restarted) Is(target error) bool { return target == ErrForgot }

// class is what an error of the client means for the call that met it.
type class int

const (
	final   class = iota // no use in repeating
	passing              // the server said that it will pass; nothing was done
	unknown              // the reply is missing; it may have been done
)

// classify says what a client error means, and whether to ask again.
func classify(err error) (class, error) {
	var netErr net.Error
	switch {
	case errors.Is(err, ErrForgot):
		return final, err
	case errors.Is(err, errLoading):
		return passing, err
	case redis.IsOOMError(err):
		return final, ErrFull
	case redis.IsReadOnlyError(err):
		return passing, ErrReadOnly
	case hasPrefix(err, "MISCONF"):
		return final, ErrDisk
	case redis.IsLoadingError(err), redis.IsMasterDownError(err), redis.IsClusterDownError(err),
		redis.IsTryAgainError(err), redis.IsNoReplicasError(err), redis.IsMaxClientsError(err), hasPrefix(err, "BUSY "):
		return passing, fmt.Errorf("%w: %v", ErrDown, err)
	case redis.IsAuthError(err), redis.IsPermissionError(err):
		return final, fmt.Errorf("%w: %v", ErrUnfit, err)
	case hasPrefix(err, "WRONGTYPE"), strings.Contains(err.Error(), "WRONGTYPE"):
		return final, fmt.Errorf("%w: a key of the namespace has the wrong type", ErrSchema)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, redis.ErrPoolTimeout),
		errors.Is(err, net.ErrClosed), errors.As(err, &netErr):
		return unknown, fmt.Errorf("%w: %v", ErrDown, err)
	case errors.Is(err, redis.ErrClosed):
		return final, fmt.Errorf("%w: %v", ErrDown, err)
	}
	return final, err
}

func hasPrefix(err error, prefix string) bool {
	var re redis.Error
	return errors.As(err, &re) && strings.HasPrefix(re.Error(), prefix)
}
