package evm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/stretchr/testify/require"
)

type coded struct {
	code int
	text string
	data any
}

func (e coded) Error() string          { return e.text }
func (e coded) ErrorCode() int         { return e.code }
func (e coded) ErrorData() interface{} { return e.data }

func TestEveryWordingOfANodeHasItsClass(t *testing.T) {
	for _, c := range []struct {
		code int
		text string
		want Class
	}{
		{-32000, "nonce too low: next nonce 5, tx nonce 4", ClassNonceLow},
		{-32000, "nonce too low", ClassNonceLow},
		{1, "minimum expected nonce is 7, got 6: message nonce too low", ClassNonceLow},
		{-32000, "nonce too high", ClassNonceHigh},
		{1, "unfulfilled nonce gap: too many pending messages with nonce gap", ClassNonceHigh},
		{-32000, "already known", ClassAlreadyKnown},
		{-32000, "known transaction: 0xabc", ClassAlreadyKnown},
		{1, "message with nonce already exists: already in mpool", ClassAlreadyKnown},
		{-32000, "replacement transaction underpriced", ClassUnderpriced},
		{-32000, "transaction underpriced: gas tip cap 0, minimum needed 1", ClassUnderpriced},
		{-32000, "transaction gas price below minimum: gas tip cap 1, minimum needed 25", ClassUnderpriced},
		{1, "replace by fee has too low GasPremium; increase GasPremium to 5 from 4 to trigger replace by fee", ClassUnderpriced},
		{1, "message from f410f2 with nonce 3 already in mpool, increase GasPremium to 5 from 4 to trigger replace by fee: replace by fee has too low GasPremium", ClassUnderpriced},
		{1, "message from f410f2 with nonce 3 already in mpool: message with nonce already exists", ClassAlreadyKnown},
		{-32000, "max fee per gas less than block base fee: address 0x1, maxFeePerGas: 1, baseFee: 2", ClassUnderpriced},
		{-32000, "tx fee (2.00 ether) exceeds the configured cap (1.00 ether)", ClassFees},
		{-32000, "max priority fee per gas higher than max fee per gas", ClassFees},
		{-32000, "insufficient funds for gas * price + value: balance 0, tx cost 5, overshot 5", ClassFunds},
		{1, "mpool push: not enough funds: balance too low", ClassFunds},
		{-32000, "intrinsic gas too low: gas 1, minimum needed 21000", ClassGas},
		{-32000, "exceeds block gas limit", ClassGas},
		{-32000, "txpool is full", ClassPool},
		{-32000, "in-flight transaction limit reached for delegated accounts", ClassPool},
		{-32000, "oversized data", ClassInvalidTx},
		{-32000, "invalid sender", ClassInvalidTx},
		{12, "requested epoch was a null round (118)", ClassNullRound},
		{1, "requested epoch was a null round (118)", ClassNullRound},
		{-32005, "query returned more than 10000 results", ClassResults},
		{-32602, "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range", ClassResults},
		{-32003, "response too large", ClassResults},
		{-32005, "block range exceeds maximum of 2880 (got 5000)", ClassRange},
		{-32602, "range 1000000 exceeds limit of 10000", ClassRange},
		{-32000, "exceed maximum block range: 5000", ClassRange},
		{-32000, "eth_getLogs is limited to a 10,000 range", ClassRange},
		{1, "failed to parse eth filter spec: invalid epoch range: range between to and from blocks is too large (maximum: 2880)", ClassRange},
		{1, "failed to parse eth filter spec: invalid epoch range: from block is too far in the past (maximum: 2880)", ClassRange},
		{1, "invalid epoch range: range between to and 'from' heights is too large (maximum: 2880)", ClassRange},
		{1, "invalid epoch range: 'from' height is too far in the past (maximum: 2880)", ClassRange},
		{1, "failed to parse eth filter spec: invalid epoch range: to block is too far in the future (maximum: 2880)", ClassNotYet},
		{1, "invalid epoch range: to block (9) must be after from block (10)", ClassUnknown}, // ours is never so
		{1, "cannot ask for events for a tipset at or greater than head", ClassNotYet},
		{1, "looking for tipset with height greater than start point", ClassNotYet},
		{1, "looking for tipset with height greater than start point, req: 100, head: 90", ClassNotYet},
		{1, "too many pending messages for actor", ClassPool},
		{1, "mpool is full", ClassPool},
		{-32602, "block range extends beyond current head block", ClassNotYet},
		{1, "requested a future epoch (beyond 'latest')", ClassNotYet},
		{-32000, "header not found", ClassNotYet},
		{-32000, "unknown block", ClassNotYet},
		{-32000, "missing trie node 12 (path ) state 0x00 is not available", ClassPruned},
		{-32000, "required historical state unavailable (reexec=128)", ClassPruned},
		{-32000, "historical state 0x00 is not available", ClassPruned},
		{4444, "pruned history unavailable", ClassPruned},
		{-32000, "history has been pruned for this block", ClassPruned},
		{1, "bad access: max historic lookback 2000", ClassPruned},
		{1, "bad tipset height: lookbacks of more than 16h40m0s are disallowed", ClassPruned},
		{-32000, "execution reverted: pruned", ClassReverted},
		{-32601, "the method eth_foo does not exist/is not available", ClassUnsupported},
		{-32601, "whatever", ClassUnsupported},
		{-32005, "daily request count exceeded, request rate limited", ClassRateLimited},
		{429, "Your app has exceeded its compute units per second capacity", ClassRateLimited},
		{-32005, "", ClassRateLimited},
		{3, "execution reverted: Nope", ClassReverted},
		{-32000, "execution reverted", ClassReverted},
		{-32000, "execution reverted: nonce too low", ClassReverted},
		{3, "already known", ClassReverted},
		{-32000, "gas required exceeds allowance (30000000)", ClassReverted},
		{-32000, "invalid opcode: INVALID", ClassReverted},
		{-32000, "out of gas", ClassReverted},
		{11, "message execution failed (exit=[33], revert reason=[0x], vm error=[Error(x)])", ClassReverted},
		{-32002, "request timed out", ClassTimeout},
		{-32000, "execution aborted (timeout = 5s)", ClassTimeout},
		{-32000, "some new wording", ClassUnknown},
		{0, "", ClassUnknown},
	} {
		class, code, text, _ := Classify(coded{code: c.code, text: c.text})
		require.Equal(t, c.want, class, "%d %s", c.code, c.text)
		require.Equal(t, c.code, code)
		require.Equal(t, c.text, text)
	}
}

func TestTransportErrorsHaveTheirClass(t *testing.T) {
	for want, err := range map[Class]error{
		ClassCanceled:    context.Canceled,
		ClassTimeout:     &url.Error{Op: "Post", URL: "http://secret", Err: context.DeadlineExceeded},
		ClassTransport:   &url.Error{Op: "Post", URL: "http://secret", Err: errors.New("refused")},
		ClassOversize:    fmt.Errorf("x: %w", errOversize),
		ClassBadAnswer:   rpc.ErrNoResult,
		ClassRateLimited: rpc.HTTPError{StatusCode: http.StatusTooManyRequests},
		ClassResults:     rpc.HTTPError{StatusCode: 400, Body: []byte(`{"error":{"code":-32005,"message":"query returned more than 10000 results"}}`)},
	} {
		class, _, _, _ := Classify(err)
		require.Equal(t, want, class)
	}
	class, _, text, _ := Classify(rpc.HTTPError{StatusCode: 502, Status: "502 Bad Gateway", Body: []byte("<html>https://secret")})
	require.Equal(t, ClassTransport, class)
	require.Equal(t, "HTTP status 502", text)
}

func TestRevertDataTravelsWithTheError(t *testing.T) {
	c := &Client{cfg: Config{Name: "root"}}
	// Error(string) with "Nope".
	data := "0x08c379a0" + strings.Repeat("0", 62) + "20" + strings.Repeat("0", 62) + "04" + "4e6f7065" + strings.Repeat("0", 56)
	for _, code := range []int{3, -32000, 11} {
		err := c.wrap("eth_call", coded{code: code, text: "execution reverted: Nope", data: data})
		require.ErrorIs(t, err, chains.ErrReverted)
		var r *chains.RevertError
		require.ErrorAs(t, err, &r)
		require.Equal(t, "Nope", r.Reason)
		require.Len(t, r.Data, 4+96)
		require.NotErrorIs(t, err, chains.ErrUnavailable)
	}
	err := c.wrap("eth_call", coded{code: 3, text: "execution reverted", data: map[string]any{"evil": 1}})
	require.ErrorIs(t, err, chains.ErrReverted)
}

func TestNoPartOfTheEndpointReachesAnError(t *testing.T) {
	endpoint := "https://user:hunter2@node.example:8545/v3/abcdef0123456789?key=topsecret"
	c := &Client{cfg: Config{Name: "root", URL: endpoint}, secrets: secretsOf(endpoint)}
	for _, err := range []error{
		&url.Error{Op: "Post", URL: endpoint, Err: errors.New("dial tcp: lookup node.example")},
		coded{code: -32000, text: "bad request to " + endpoint + " with topsecret and abcdef0123456789"},
		rpc.HTTPError{StatusCode: 500, Status: "500", Body: []byte(endpoint)},
		fmt.Errorf("post %s: %w", endpoint, errors.New("x")),
	} {
		text := c.wrap("eth_call", err).Error()
		for _, secret := range []string{"hunter2", "node.example", "abcdef0123456789", "topsecret", "https:"} {
			require.NotContains(t, text, secret)
		}
	}
	long := c.wrap("eth_call", coded{code: 1, text: strings.Repeat("x\n", 10_000)}).Error()
	require.Less(t, len(long), 400)
	require.NotContains(t, long, "\n")
}

func FuzzClassifyNeverPanicsAndKeepsSecrets(f *testing.F) {
	f.Add(-32000, "nonce too low", "0x08c379a0")
	f.Add(3, "execution reverted", "Reverted 0x00")
	f.Add(12, "requested epoch was a null round (7)", "7")
	f.Add(0, "\xff\xfe secret/path/value", "0xzz")
	endpoint := "http://host.example/secret/path/value"
	c := &Client{cfg: Config{Name: "root", URL: endpoint}, secrets: secretsOf(endpoint)}
	known := map[Class]bool{}
	for _, class := range Classes {
		known[class] = true
	}
	f.Fuzz(func(t *testing.T, code int, text, data string) {
		err := c.wrap("m", coded{code: code, text: text, data: data})
		if !known[ClassOf(err)] {
			t.Fatalf("class %q is not in the list", ClassOf(err))
		}
		if strings.Contains(err.Error(), "secret/path/value") {
			t.Fatal("secret leaked")
		}
	})
}
