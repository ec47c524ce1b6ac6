package evm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
)

// Class is what a failed request means to us, whatever the node's wording. It
// is also a metric label.
type Class string

const (
	ClassUnknown      Class = "unknown"       // none of the below
	ClassCanceled     Class = "canceled"      // our own context ended
	ClassTimeout      Class = "timeout"       // no answer in time, ours or the node's
	ClassTransport    Class = "transport"     // no connection, or an answer that is not JSON-RPC
	ClassOversize     Class = "oversize"      // the answer exceeds a bound of bytes or depth
	ClassBadAnswer    Class = "bad_answer"    // JSON-RPC, but not the shape asked for
	ClassRateLimited  Class = "rate_limited"  // ask less
	ClassRange        Class = "range"         // the block range of a log query is too wide
	ClassResults      Class = "results"       // a log query matches too much
	ClassNullRound    Class = "null_round"    // Filecoin: no block at this height
	ClassNotYet       Class = "not_yet"       // the node does not have this block (yet)
	ClassPruned       Class = "pruned"        // the node no longer has blocks or state this old
	ClassUnsupported  Class = "unsupported"   // no such method here
	ClassReverted     Class = "reverted"      // the call or simulation failed in the EVM
	ClassAlreadyKnown Class = "already_known" // the pool holds this very transaction
	ClassNonceLow     Class = "nonce_low"     // the nonce is used; by whom is another question
	ClassNonceHigh    Class = "nonce_high"    // the pool wants the nonces before it first
	ClassUnderpriced  Class = "underpriced"   // a replacement must pay more, or fees are below the pool's floor
	ClassFees         Class = "fees"          // fee fields refused by policy (a cap, or tip above fee cap)
	ClassFunds        Class = "funds"         // the account cannot pay
	ClassGas          Class = "gas"           // gas limit below intrinsic or above the block's
	ClassPool         Class = "pool"          // the pool is full or limits this account
	ClassInvalidTx    Class = "invalid_tx"    // the pool will never take these bytes
)

// Classes lists every class, for metrics and tests.
var Classes = []Class{
	ClassUnknown, ClassCanceled, ClassTimeout, ClassTransport, ClassOversize, ClassBadAnswer, ClassRateLimited,
	ClassRange, ClassResults, ClassNullRound, ClassNotYet, ClassPruned, ClassUnsupported, ClassReverted, ClassAlreadyKnown,
	ClassNonceLow, ClassNonceHigh, ClassUnderpriced, ClassFees, ClassFunds, ClassGas, ClassPool, ClassInvalidTx,
}

// ErrNullRound says that a height has no block and never will: it is treated
// as an empty height.
var ErrNullRound = errors.New("height has no block")

var (
	errOversize  = errors.New("answer exceeds the bound")
	errNotJSON   = errors.New("answer is not JSON")
	errTooMany   = errors.New("too many logs")
	errBadAnswer = errors.New("answer has the wrong shape")
	errPruned    = fmt.Errorf("%w: %w", chains.ErrPruned, chains.ErrUnavailable)
)

// Error is a failed request. Its text never holds an address of the endpoint.
// It unwraps to what the class means in package chains: a *chains.RevertError,
// a context error, ErrNullRound, or chains.ErrUnavailable for all that says
// nothing about the chain, with chains.ErrPruned where no retry mends it.
type Error struct {
	Chain   string // configured name
	Method  string
	Class   Class
	Code    int    // of JSON-RPC, 0 if none
	Message string // the node's, scrubbed and cut
	cause   error
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s: %s", e.Chain, e.Method, e.Class)
	if e.Code != 0 {
		s += fmt.Sprintf(" (%d)", e.Code)
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

func (e *Error) Unwrap() error { return e.cause }

// ClassOf is the class of an error from this package, ClassUnknown for others
// and "" for nil.
func ClassOf(err error) Class {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return ClassUnknown
}

// Classify reads an error of go-ethereum's rpc client: its class, the JSON-RPC
// code and message if the node sent one, and revert data if any.
func Classify(err error) (class Class, code int, message string, data []byte) {
	switch {
	case err == nil:
		return "", 0, "", nil
	case errors.Is(err, context.Canceled):
		return ClassCanceled, 0, "", nil
	case errors.Is(err, context.DeadlineExceeded):
		return ClassTimeout, 0, "", nil
	case errors.Is(err, errOversize):
		return ClassOversize, 0, errOversize.Error(), nil
	case errors.Is(err, errTooMany):
		return ClassResults, 0, err.Error(), nil
	case errors.Is(err, errNotJSON):
		return ClassTransport, 0, errNotJSON.Error(), nil
	case errors.Is(err, errBadAnswer):
		return ClassBadAnswer, 0, err.Error(), nil // our own words
	case errors.Is(err, rpc.ErrNoResult), errors.Is(err, rpc.ErrMissingBatchResponse):
		return ClassBadAnswer, 0, "", nil
	}

	var status rpc.HTTPError
	if errors.As(err, &status) {
		return classifyStatus(status)
	}
	var coded rpc.Error
	if errors.As(err, &coded) {
		data = revertData(err)
		return classifyCode(coded.ErrorCode(), coded.Error(), data), coded.ErrorCode(), coded.Error(), data
	}

	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return ClassTimeout, 0, "", nil
	}
	var syntax *json.SyntaxError
	var shape *json.UnmarshalTypeError
	if errors.As(err, &syntax) || errors.As(err, &shape) {
		return ClassBadAnswer, 0, "", nil
	}
	var at *url.Error
	var op *net.OpError
	if errors.As(err, &at) || errors.As(err, &op) {
		return ClassTransport, 0, "", nil
	}
	return ClassTransport, 0, "", nil
}

// classifyStatus reads an HTTP error. Some providers put the JSON-RPC error
// into the body of a 4xx.
func classifyStatus(e rpc.HTTPError) (Class, int, string, []byte) {
	var body struct {
		Error *struct {
			Code    int             `json:"code"`
			Message string          `json:"message"`
			Data    json.RawMessage `json:"data"`
		} `json:"error"`
	}
	if json.Unmarshal(e.Body, &body) == nil && body.Error != nil && body.Error.Message != "" {
		if class := classifyCode(body.Error.Code, body.Error.Message, nil); class != ClassUnknown {
			return class, body.Error.Code, body.Error.Message, nil
		}
	}
	text := fmt.Sprintf("HTTP status %d", e.StatusCode)
	switch e.StatusCode {
	case http.StatusTooManyRequests:
		return ClassRateLimited, 0, text, nil
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return ClassTimeout, 0, text, nil
	case http.StatusRequestEntityTooLarge:
		return ClassOversize, 0, text, nil
	}
	return ClassTransport, 0, text, nil
}

// rules are tried in order against the lower-case message; the first hit wins,
// so that a narrow wording stands before a wide one.
var rules = []struct {
	class Class
	texts []string
}{
	{ClassNullRound, []string{"requested epoch was a null round", "null round"}},
	// Lotus names the nonce as "already in mpool" when it refuses a replacement, too.
	{ClassUnderpriced, []string{"to trigger replace by fee", "replace by fee has too low"}},
	{ClassPruned, []string{"historic lookback", "lookbacks of more than", "pruned", "missing trie node", "historical state"}},
	{ClassAlreadyKnown, []string{"already known", "known transaction", "already imported", "already in mpool", "already exists in the pool", "tx already in mempool", "alreadyknown"}},
	{ClassNonceLow, []string{"nonce too low", "message nonce too low", "minimum expected nonce", "nonce is too low", "oldnonce", "invalid nonce; got"}},
	{ClassNonceHigh, []string{"nonce too high", "nonce gap", "unfulfilled nonce gap", "too many pending messages with nonce gap", "gapped-nonce", "future transaction tries to replace"}},
	{ClassUnderpriced, []string{"replacement transaction underpriced", "transaction underpriced", "gas price below minimum", "gaspremium below", "could not replace existing", "fee too low", "feetoolow", "max fee per gas less than block base fee", "gas fee cap too low", "underpriced"}},
	{ClassFees, []string{"exceeds the configured cap", "priority fee per gas higher than max fee", "higher than 2^256-1", "gasfeecap less than", "'gasfeecap' less than 'gaspremium'"}},
	{ClassFunds, []string{"insufficient funds", "not enough funds", "insufficient balance", "mpool push: not enough", "exceeds balance"}},
	{ClassGas, []string{"intrinsic gas too low", "insufficient gas for floor data", "exceeds block gas limit", "transaction gas limit too high", "gas limit reached", "gas limit overflow", "gaslimit too low", "gaslimit field cannot be less", "gas uint64 overflow", "'gaslimit' field"}},
	{ClassPool, []string{"txpool is full", "out of capacity", "account limit exceeded", "in-flight transaction limit", "already reserved", "too many pending messages", "mempool is full", "mpool is full", "transaction limit exceeded"}},
	{ClassInvalidTx, []string{"oversized data", "invalid sender", "invalid signature", "transaction type not supported", "replay-protected", "invalid chain id", "sender not an eoa", "negative value", "rlp:", "typed transaction too short", "message too big", "invalid transaction"}},
	{ClassResults, []string{"query returned more than", "too many results", "too many logs", "result size", "response size", "response is too big", "response too large", "exceeds max results", "max results", "logs matched by query exceeds", "query timeout exceeded", "maximum number of results", "results, got"}},
	{ClassRange, []string{"block range", "range limit", "exceeds limit of", "range is too", "range too", "blocks range", "range exceeds", "exceed maximum", "max range", "is limited to", "blocks distance", "maximum allowed number of requested blocks", "up to a", "distance between from and to", "ranges over", "range between to and", "is too far in the past (maximum"}},
	{ClassRateLimited, []string{"rate limit", "too many requests", "request limit", "capacity", "throughput", "quota", "exceeded maximum retries", "limit exceeded", "project id request rate", "slow down"}},
	{ClassNotYet, []string{"requested a future epoch", "unknown block", "header not found", "block not found", "header for hash not found", "is not available", "finalized block not found", "safe block not found", "finalized header not found", "hash not currently canonical", "cannot find tipset", "tipset not found", "bad tipset height", "height is in the future", "height greater than start point", "is too far in the future (maximum", "at or greater than head"}},
	{ClassReverted, []string{"execution reverted", "revert", "invalid opcode", "invalid jump destination", "stack underflow", "stack limit reached", "out of gas", "gas required exceeds allowance", "always failing transaction", "write protection", "return data out of bounds", "message execution failed", "vm execution error", "contract creation code", "max code size"}},
	{ClassTimeout, []string{"timed out", "timeout", "deadline exceeded", "execution aborted"}},
	{ClassUnsupported, []string{"method not found", "does not exist/is not", "not supported", "unsupported method", "method is not whitelisted", "not implemented"}},
}

// classifyCode maps a JSON-RPC error. Codes are trusted only where nodes agree
// on them: 3 (reverted), 12 (Filecoin null round) and -32601 (no method); all
// else is told by the text, since -32000 and -32005 mean everything.
func classifyCode(code int, message string, data []byte) Class {
	text := strings.ToLower(message)
	if code == 12 && strings.Contains(text, "null round") {
		return ClassNullRound
	}
	if code == 3 || (len(data) >= 4 && (code == -32000 || code == 11 || code == -32015)) {
		return ClassReverted
	}
	// A revert reason is chosen by a contract: it may not pose as a pool error.
	if strings.HasPrefix(text, "execution reverted") || strings.HasPrefix(text, "vm exception") {
		return ClassReverted
	}
	for _, r := range rules {
		for _, t := range r.texts {
			if !strings.Contains(text, t) {
				continue
			}
			// "block range extends beyond current head block" is a node that
			// lags, not a range that is too wide.
			if r.class == ClassRange && strings.Contains(text, "beyond current head") {
				return ClassNotYet
			}
			if r.class == ClassNotYet && strings.Contains(text, "the method") {
				return ClassUnsupported
			}
			return r.class
		}
	}
	switch code {
	case -32601:
		return ClassUnsupported
	case -32005, -32029, 429, -32097:
		return ClassRateLimited
	case -32003:
		return ClassResults
	case -32002:
		return ClassTimeout
	}
	return ClassUnknown
}

// revertData takes the data of a JSON-RPC error if it is hex of a bounded
// length.
func revertData(err error) []byte {
	var d rpc.DataError
	if !errors.As(err, &d) {
		return nil
	}
	s, ok := d.ErrorData().(string)
	if !ok || len(s) > 2+2*maxRevertData {
		return nil
	}
	// Parity dialect: "Reverted 0x..."
	s = strings.TrimPrefix(s, "Reverted ")
	b, err := hexutil.Decode(s)
	if err != nil {
		return nil
	}
	return b
}

const (
	maxRevertData = 64 << 10
	maxMessage    = 300
)

// wrap turns any error of a request into an *Error, so that neither the
// endpoint's address nor a key in it can reach a log.
func (c *Client) wrap(method string, err error) error {
	if err == nil {
		return nil
	}
	var done *Error
	if errors.As(err, &done) {
		return err
	}
	if errors.Is(err, chains.ErrWrongChain) {
		return fmt.Errorf("%s %s: %w", c.cfg.Name, method, chains.ErrWrongChain)
	}
	class, code, message, data := Classify(err)
	e := &Error{Chain: c.cfg.Name, Method: method, Class: class, Code: code, Message: c.scrub(message)}
	switch class {
	case ClassCanceled:
		e.cause = context.Canceled
	case ClassReverted:
		reason, err := abi.UnpackRevert(data)
		if err != nil {
			reason = ""
		}
		e.cause = &chains.RevertError{Reason: c.scrub(reason), Data: data}
	case ClassNullRound:
		e.cause = ErrNullRound
	case ClassPruned:
		e.cause = errPruned
	default:
		e.cause = chains.ErrUnavailable
	}
	return e
}

// scrub cuts a foreign text, takes control characters out of it and hides
// every part of the endpoint's address.
func (c *Client) scrub(s string) string {
	for _, secret := range c.secrets {
		s = strings.ReplaceAll(s, secret, "***")
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, s)
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "") + "…"
	}
	return s
}

// secretsOf lists the parts of an endpoint's address that no text may show.
func secretsOf(raw string) []string {
	out := []string{raw}
	u, err := url.Parse(raw)
	if err != nil {
		return out
	}
	if u.User != nil {
		out = append(out, u.User.String())
		if p, ok := u.User.Password(); ok && p != "" {
			out = append(out, p)
		}
	}
	if p := strings.Trim(u.EscapedPath(), "/"); len(p) > 3 {
		out = append(out, p)
		for segment := range strings.SplitSeq(p, "/") {
			if len(segment) >= 8 {
				out = append(out, segment)
			}
		}
	}
	if u.RawQuery != "" {
		out = append(out, u.RawQuery)
		for _, vs := range u.Query() {
			for _, v := range vs {
				if len(v) > 3 {
					out = append(out, v)
				}
			}
		}
	}
	if u.Host != "" {
		out = append(out, u.Host)
	}
	return out
}
