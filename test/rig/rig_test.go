package rig

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func grant(lane, epoch, counter, worker string) string {
	return fmt.Sprintf(`+1.0 [0 lua] "HSET" "{causeway}:leased" %q "{\"p\":\"%s\",\"c\":\"%s\",\"w\":\"%s\"}"`, lane, epoch, counter, worker)
}

// settle is the command and what its script does when it is taken.
func settle(lane, epoch, counter string) []string {
	return []string{
		fmt.Sprintf(`+1.0 [0 127.0.0.1:1] "evalsha" "ab" "2" "k1" "k2" "1" "f" "op" "0" "" %q %q %q`, lane, epoch, counter),
		fmt.Sprintf(`+1.0 [0 lua] "HDEL" "{causeway}:leased" %q`, lane),
	}
}

func TestTheTapFindsWhatMustNeverBeOfLeases(t *testing.T) {
	for name, c := range map[string]struct {
		lines []string
		says  string
	}{
		"in order":              {append([]string{grant("a", "1", "4", "x/0")}, append(settle("a", "1", "4"), grant("a", "1", "5", "y/0"))...), ""},
		"a newer epoch":         {append([]string{grant("a", "1", "4", "x/0")}, append(settle("a", "1", "4"), grant("a", "2", "1", "y/0"))...), ""},
		"taken by a reap":       {[]string{grant("a", "1", "4", "x/0"), `+1.0 [0 127.0.0.1:1] "evalsha" "cd" "1" "k1" "1" "f" "op" "0" ""`, `+1.0 [0 lua] "HDEL" "{causeway}:leased" "a"`, grant("a", "1", "5", "y/0")}, ""},
		"a fence that falls":    {append([]string{grant("a", "1", "4", "x/0")}, append(settle("a", "1", "4"), grant("a", "1", "4", "y/0"))...), "did not rise"},
		"a stale settle taken":  {append([]string{grant("a", "1", "5", "y/0")}, settle("a", "1", "4")...), "was settled by 1/4"},
		"a lane given twice":    {[]string{grant("a", "1", "4", "x/0"), grant("a", "1", "5", "y/0")}, "while x/0 held it"},
		"a lease nobody reads":  {[]string{`+1.0 [0 lua] "HSET" "{causeway}:leased" "a" "{"`}, "unreadable"},
		"another server begins": {[]string{grant("a", "1", "4", "x/0"), `+1.0 [0 127.0.0.1:1] "flushall"`, grant("a", "1", "1", "y/0")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tap := newTap(func() string { return "127.0.0.1:1" })
			defer tap.close()
			for _, l := range c.lines {
				tap.take(l)
			}
			err := tap.Check()
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrViolation)
			require.ErrorContains(t, err, c.says)
		})
	}
}

func tx(n int) common.Hash { return common.BigToHash(big.NewInt(int64(n))) }

func row(id, from int, status tokens.Status, reason string) store.Job {
	return store.Job{Status: status, Reason: reason, UpdatedAt: time.Now(), Transfer: tokens.Transfer{
		ID: tx(100 + id), Route: "usdc_deposit", Amount: tokens.MustUnits(big.NewInt(5)), Origin: chains.EventID{Tx: tx(from)},
	}}
}

func TestTheLedgerFindsWhatIsLostDoubledOrWrong(t *testing.T) {
	want := Want{Route: "usdc_deposit", Amount: big.NewInt(5), Status: tokens.Done}
	for name, c := range map[string]struct {
		rows []store.Job
		open int
		says string
	}{
		"as it must":          {[]store.Job{row(1, 1, tokens.Done, "")}, 0, ""},
		"on its way":          {[]store.Job{row(1, 1, tokens.Pending, "")}, 1, ""},
		"poisoned, to retry":  {[]store.Job{row(1, 1, tokens.Parked, "poison")}, 1, ""},
		"not known yet":       {nil, 1, ""},
		"parked":              {[]store.Job{row(1, 1, tokens.Parked, "rejected")}, 1, "ended parked"},
		"another end":         {[]store.Job{row(1, 1, tokens.Refunded, "")}, 1, "ended refunded"},
		"two of one":          {[]store.Job{row(1, 1, tokens.Done, ""), row(2, 1, tokens.Done, "")}, 0, "made two transfers"},
		"of nobody":           {[]store.Job{row(2, 2, tokens.Pending, "")}, 1, "nobody sent"},
		"perhaps sent, it is": {[]store.Job{row(3, 3, tokens.Done, "")}, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			l.Perhaps(tx(1), want)
			l.Note(tx(1), want)
			l.Perhaps(tx(3), want)
			_, err := l.take(c.rows)
			if c.says == "" {
				require.NoError(t, err)
				open, _ := l.Counts()
				require.Equal(t, c.open, open)
				return
			}
			require.ErrorIs(t, err, ErrViolation)
			require.ErrorContains(t, err, c.says)
		})
	}
	l := newLedger()
	l.Note(tx(1), want)
	_, err := l.take([]store.Job{row(1, 1, tokens.Done, "")})
	require.NoError(t, err)
	_, err = l.take([]store.Job{row(1, 1, tokens.Refunded, "")})
	require.ErrorIs(t, err, ErrViolation, "once ended it stays so")
	_, err = l.take([]store.Job{row(7, 1, tokens.Done, "")})
	require.ErrorIs(t, err, ErrViolation, "and is the same transfer")
}

func TestATransferThatEndsTwiceInTheJournalIsFound(t *testing.T) {
	j := journal{known: map[string]bool{}, ended: map[string]string{}, lines: Lines{}}
	begin := redis.XMessage{Values: map[string]any{"k": "new", "id": "0x1"}}
	require.NoError(t, j.line(begin, Lines{}))
	require.ErrorIs(t, j.line(begin, Lines{}), ErrViolation)
	step := func(to string) redis.XMessage {
		return redis.XMessage{Values: map[string]any{"k": "step", "id": "0x1", "to": to}}
	}
	require.NoError(t, j.line(step("execute"), Lines{}))
	require.NoError(t, j.line(step("done"), Lines{}))
	require.ErrorIs(t, j.line(step("done"), Lines{}), ErrViolation)
	require.ErrorIs(t, j.line(redis.XMessage{Values: map[string]any{"k": "fact_dropped"}}, Lines{}), ErrViolation)

	// Redis lost it: it begins anew and ends once more.
	j.lossy = true
	require.NoError(t, j.line(begin, Lines{}))
	require.NoError(t, j.line(step("done"), Lines{}))
}

// echo is a server that answers each line with "got " and the line.
func echo(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 64)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					_, _ = c.Write(append([]byte("got "), buf[:n]...))
				}
			}()
		}
	}()
	return l.Addr().String()
}

func TestALineIsAsBadAsItIsTold(t *testing.T) {
	line, err := NewLine(echo(t))
	require.NoError(t, err)
	defer line.Close()
	ask := func() (string, error) {
		c, err := net.Dial("tcp", line.Addr())
		require.NoError(t, err)
		defer c.Close()
		_, _ = c.Write([]byte("x"))
		_ = c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		buf := make([]byte, 64)
		n, err := c.Read(buf)
		return string(buf[:n]), err
	}
	got, err := ask()
	require.NoError(t, err)
	require.Equal(t, "got x", got)

	line.Set(Swallow)
	_, err = ask()
	require.Error(t, err)
	require.NotContains(t, err.Error(), "timeout", "the end is closed")
	require.Equal(t, int64(1), line.Lost())

	line.Set(Hole)
	_, err = ask()
	require.ErrorContains(t, err, "timeout")

	line.Set(Cut)
	_, err = ask()
	require.Error(t, err)

	line.Set(Open)
	got, err = ask()
	require.NoError(t, err)
	require.Equal(t, "got x", got)
}

func TestAnEndpointForgetsBroadcastsAndNothingElse(t *testing.T) {
	asked := 0
	chain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":"real"}`)
	}))
	defer chain.Close()
	e, err := NewEndpoint(chain.URL)
	require.NoError(t, err)
	defer e.Close()
	post := func(body string) string {
		res, err := http.Post(e.URL(), "application/json", strings.NewReader(body))
		require.NoError(t, err)
		defer res.Body.Close()
		raw, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return string(raw)
	}
	const send = `{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["0x01"]}`
	require.Contains(t, post(send), "real")
	e.Drop(true)
	var answer struct{ Result common.Hash }
	require.NoError(t, json.NewDecoder(bytes.NewReader([]byte(post(send)))).Decode(&answer))
	require.Equal(t, common.HexToHash("0x5fe7f977e71dba2ea1a68e21057beebb9be2ac30c6410aa38d4f3fbe41dcffd2"), answer.Result) // keccak(0x01)
	require.Contains(t, post(`{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}`), "real")
	require.Equal(t, 2, asked)
	require.Equal(t, int64(1), e.Dropped())

	e.Away(true)
	_, err = http.Post(e.URL(), "application/json", strings.NewReader(send))
	require.Error(t, err)
}
