package evm

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"
)

func TestEventsOfFinalBlocksComeInOrderOnceAndOnlyOurs(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.MineN(3)
	a := n.MineLogs(fake.Log(ours, topic, []byte{1}), fake.Log(other, topic, []byte{9}), fake.Log(ours, foreign, []byte{9}), fake.Log(ours, topic, []byte{2}))
	n.MineN(40)
	b := n.MineLogs(fake.Log(ours, topic, []byte{3}))
	n.MineLogs(fake.Log(ours, topic, []byte{4})) // not final
	n.SetFinal(1)
	c := dial(t, config(n))

	// The node repeats, shuffles, ignores the filter and sends removed logs.
	n.On("eth_getLogs", fake.EditList(func(l []any) []any {
		out := append([]any{}, l...)
		for i := len(l) - 1; i >= 0; i-- {
			out = append(out, l[i])
		}
		for _, x := range l {
			gone := map[string]any{}
			for k, v := range x.(map[string]any) {
				gone[k] = v
			}
			gone["removed"], gone["logIndex"] = true, "0x7"
			out = append(out, gone)
		}
		return out
	}))
	cursor, events, err := readAll(t.Context(), c, cursorAt(n, 1))
	require.NoError(t, err)
	require.Len(t, events, 3)
	for i, e := range events {
		require.Equal(t, []byte{byte(i + 1)}, e.Data)
		require.Equal(t, chains.ID(testChain), e.Chain)
		require.Equal(t, n.Hash(e.Block), e.BlockHash)
		require.NotZero(t, e.BlockTime)
	}
	require.Equal(t, []uint64{a, a, b}, []uint64{events[0].Block, events[1].Block, events[2].Block})
	require.Equal(t, uint(3), events[1].Index)
	require.Equal(t, b+1, cursor.Next)
	require.Equal(t, n.Hash(b), cursor.Parent)
}

// rewrite changes the question before the node hears it.
func rewrite(f func(q map[string]any)) fake.Fault {
	return func(c *fake.Call, next func()) {
		var q map[string]any
		if json.Unmarshal(c.Params[0], &q) == nil {
			f(q)
			c.Params[0], _ = json.Marshal(q)
		}
		next()
	}
}

func TestANodeThatIgnoresTheFilterIsFilteredHere(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.MineLogs(fake.Log(ours, foreign, nil), fake.Log(other, topic, nil), fake.Log(ours, topic, []byte{1}), fake.Log(other, foreign, nil))
	n.MineN(3)
	n.On("eth_getLogs", rewrite(func(q map[string]any) { delete(q, "address"); delete(q, "topics") }))
	c := dial(t, config(n))
	_, events, err := readAll(t.Context(), c, cursorAt(n, 1))
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Equal(t, []byte{1}, events[0].Data)
}

func TestANodeThatAnswersForAnotherRangeIsNotBelieved(t *testing.T) {
	n := fake.NewNode(t, testChain)
	for range 9 {
		n.MineLogs(fake.Log(ours, topic, nil))
	}
	for _, edge := range []string{"fromBlock", "toBlock"} {
		c := dial(t, config(n))
		n.On("eth_getLogs", rewrite(func(q map[string]any) { q[edge] = map[string]string{"fromBlock": "0x1", "toBlock": "0x9"}[edge] }))
		_, _, err := c.Events(t.Context(), chains.Query{From: cursorAt(n, 4), To: 6, Filter: filter})
		require.ErrorIs(t, err, chains.ErrUnavailable)
	}
}

func TestAQuestionBeyondTheFinalHeadIsAnsweredUpToIt(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.SetFinal(5)
	for range 12 {
		n.MineLogs(fake.Log(ours, topic, nil))
	}
	c := dial(t, config(n))
	last, events, err := c.Events(t.Context(), chains.Query{From: cursorAt(n, 1), To: 12, Filter: filter})
	require.NoError(t, err)
	require.Equal(t, uint64(7), last.Number)
	require.Len(t, events, 7)
}

func TestAnEmptyFilterReadsNothingButKeepsContinuity(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.MineLogs(fake.Log(ours, topic, nil))
	n.MineN(5)
	c := dial(t, config(n))
	last, events, err := c.Events(t.Context(), chains.Query{From: cursorAt(n, 1), To: 5})
	require.NoError(t, err)
	require.Empty(t, events)
	require.Equal(t, uint64(5), last.Number)
	require.Zero(t, n.Calls("eth_getLogs"))
}

func TestCatchUpUsesWideRangesAndFewCalls(t *testing.T) {
	n := fake.NewNode(t, testChain)
	for i := range 100 {
		n.MineN(99)
		n.MineLogs(fake.Log(ours, topic, []byte{byte(i)}))
	}
	c := dial(t, config(n))
	_, events, err := readAll(t.Context(), c, cursorAt(n, 1))
	require.NoError(t, err)
	require.Len(t, events, 100)
	require.Equal(t, []uint64{2000, 2000, 2000, 2000, 2000}, n.Ranges())
}

func TestRangesShrinkUntilTheNodeIsContentAndGrowBack(t *testing.T) {
	for name, limit := range map[string]func(*fake.Node){
		"range":   func(n *fake.Node) { n.LimitLogs(70, 0) },
		"results": func(n *fake.Node) { n.LimitLogs(0, 7) },
	} {
		t.Run(name, func(t *testing.T) {
			n := fake.NewNode(t, testChain)
			for i := range 60 {
				n.MineN(9)
				n.MineLogs(fake.Log(ours, topic, []byte{byte(i)}))
			}
			limit(n)
			c := dial(t, config(n))
			cursor, events, err := readAll(t.Context(), c, cursorAt(n, 1))
			require.NoError(t, err)
			require.Len(t, events, 60)
			require.Equal(t, uint64(601), cursor.Next)
			n.LimitLogs(0, 0)
			n.MineN(4000)
			_, _, err = readAll(t.Context(), c, cursor)
			require.NoError(t, err)
			require.Greater(t, c.currentSpan(), uint64(500))
		})
	}
}

// bigBlock is a chain whose block 1 holds count logs of ours, and as many that
// are not.
func bigBlock(t *testing.T, count int) *fake.Node {
	n := fake.NewNode(t, testChain)
	var logs []*types.Log
	for i := range count {
		logs = append(logs, fake.Log(ours, topic, binary.BigEndian.AppendUint32(nil, uint32(i))), fake.Log(other, topic, nil))
	}
	n.MineLogs(logs...)
	return n
}

func TestABlockOfAnySizeIsReadWhole(t *testing.T) {
	const count = 12_000 // above every limit; the race detector makes each one dear
	for name, limit := range map[string]func(*fake.Node, *Config){
		"our own limit":    func(*fake.Node, *Config) {},
		"the node's limit": func(n *fake.Node, _ *Config) { n.LimitLogs(0, 10_000) },
		"bytes":            func(_ *fake.Node, c *Config) { c.MaxBytes, c.MaxLogs = 4<<20, 1<<20 },
	} {
		t.Run(name, func(t *testing.T) {
			n := bigBlock(t, count)
			cfg := config(n)
			cfg.Timeout = time.Minute
			limit(n, &cfg)
			c := dial(t, cfg)
			cursor, events, err := readAll(t.Context(), c, cursorAt(n, 1))
			require.NoError(t, err)
			require.Equal(t, uint64(2), cursor.Next)
			require.Len(t, events, count)
			for i, e := range events {
				require.Equal(t, uint32(i), binary.BigEndian.Uint32(e.Data))
				require.Equal(t, uint(2*i), e.Index)
				require.Equal(t, n.Hash(1), e.BlockHash)
				require.NotZero(t, e.BlockTime)
			}
		})
	}
}

func TestALieAboutTheReceiptsOfABigBlockIsNeverBelieved(t *testing.T) {
	receipt := func(f func(m map[string]any)) (string, fake.Fault) { return "eth_getTransactionReceipt", fake.Edit(f) }
	logs := func(f func(l []any) []any) (string, fake.Fault) {
		return receipt(func(m map[string]any) { m["logs"] = f(m["logs"].([]any)) })
	}
	for name, lie := range map[string]func() (string, fake.Fault){
		"a topic's logs left out": func() (string, fake.Fault) {
			return logs(func(l []any) []any { return nil })
		},
		"no receipt": func() (string, fake.Fault) { return "eth_getTransactionReceipt", fake.Answer(nil) },
		"no logs":    func() (string, fake.Fault) { return receipt(func(m map[string]any) { delete(m, "logs") }) },
		"other block": func() (string, fake.Fault) {
			return receipt(func(m map[string]any) { m["blockHash"] = common.Hash{7} })
		},
		"other height": func() (string, fake.Fault) { return receipt(func(m map[string]any) { m["blockNumber"] = "0x2" }) },
		"other tx": func() (string, fake.Fault) {
			return receipt(func(m map[string]any) { m["transactionHash"] = common.Hash{7} })
		},
		"no such list": func() (string, fake.Fault) {
			return "eth_getBlockByNumber", fake.Edit(func(m map[string]any) { delete(m, "transactions") })
		},
		"a shorter one": func() (string, fake.Fault) {
			return "eth_getBlockByNumber", fake.Edit(func(m map[string]any) { m["transactions"] = []any{} })
		},
		"a forged log": func() (string, fake.Fault) {
			return logs(func(l []any) []any { l[0].(map[string]any)["address"] = foreign[:20]; return l })
		},
		"a log of another transaction": func() (string, fake.Fault) {
			return logs(func(l []any) []any { l[0].(map[string]any)["transactionHash"] = common.Hash{7}; return l })
		},
		"an index twice": func() (string, fake.Fault) {
			return receipt(func(m map[string]any) {
				for _, l := range m["logs"].([]any) {
					l.(map[string]any)["logIndex"] = "0x0"
				}
			})
		},
	} {
		n := bigBlock(t, 30)
		cfg := config(n)
		cfg.MaxLogs, cfg.CheckHeaders = 20, false
		c := dial(t, cfg)
		_, events, err := readAll(t.Context(), c, cursorAt(n, 1))
		require.NoError(t, err, name)
		require.Len(t, events, 30)
		method, fault := lie()
		n.On(method, fault)
		_, _, err = c.Events(t.Context(), chains.Query{From: cursorAt(n, 1), To: 1, Filter: filter})
		require.ErrorIs(t, err, chains.ErrUnavailable, name)
	}
}

func TestARoundCountIsAskedAgainInHalves(t *testing.T) {
	n := fake.NewNode(t, testChain)
	for range 150 {
		n.MineLogs(fake.Log(ours, topic, nil))
	}
	n.On("eth_getLogs", fake.EditList(func(l []any) []any { return l[:min(len(l), 100)] })) // silently cut
	c := dial(t, config(n))
	_, events, err := readAll(t.Context(), c, cursorAt(n, 1))
	require.NoError(t, err)
	require.Len(t, events, 150)
}

// B11, B12, B18: what a lying or lagging endpoint says about logs.
func TestALieAboutLogsIsNeverBelieved(t *testing.T) {
	editFirst := func(f func(m map[string]any)) fake.Fault {
		return fake.EditList(func(l []any) []any { f(l[0].(map[string]any)); return l })
	}
	forged := func(m map[string]any) map[string]any {
		out := map[string]any{}
		for k, v := range m {
			out[k] = v
		}
		return out
	}
	for name, fault := range map[string]fake.Fault{
		"another block's hash":        editFirst(func(m map[string]any) { m["blockHash"] = common.HexToHash("0xbad") }),
		"a forged log under its hash": nil, // below
		"a block outside the range":   editFirst(func(m map[string]any) { m["blockNumber"] = "0x999" }),
		"five topics":                 editFirst(func(m map[string]any) { m["topics"] = []any{topic, topic, topic, topic, topic} }),
		"short topic":                 editFirst(func(m map[string]any) { m["topics"] = []any{"0x01"} }),
		"long topic":                  editFirst(func(m map[string]any) { m["topics"] = []any{"0x" + strings.Repeat("00", 33)} }),
		"address of 21 bytes":         editFirst(func(m map[string]any) { m["address"] = "0x" + strings.Repeat("00", 21) }),
		"odd data":                    editFirst(func(m map[string]any) { m["data"] = "0x123" }),
		"data not hex":                editFirst(func(m map[string]any) { m["data"] = "hello" }),
		"no data":                     editFirst(func(m map[string]any) { delete(m, "data") }),
		"no address":                  editFirst(func(m map[string]any) { delete(m, "address") }),
		"negative index":              editFirst(func(m map[string]any) { m["logIndex"] = "-0x1" }),
		"huge index":                  editFirst(func(m map[string]any) { m["logIndex"] = "0xffffffffffffffff" }),
		"index beyond 64 bits":        editFirst(func(m map[string]any) { m["logIndex"] = "0x" + strings.Repeat("f", 40) }),
		"number as JSON number":       editFirst(func(m map[string]any) { m["blockNumber"] = 3 }),
		"leading zeros":               editFirst(func(m map[string]any) { m["blockNumber"] = "0x04" }),
		"two logs at one index": fake.EditList(func(l []any) []any {
			twin := forged(l[0].(map[string]any))
			twin["data"] = "0xdeadbeef"
			return append(l, twin)
		}),
		"not a list":               fake.Answer("0x1"),
		"null":                     fake.Answer(nil),
		"list of numbers":          fake.Answer([]int{1, 2}),
		"left out near the head":   fake.EditList(func([]any) []any { return []any{} }),
		"an unknown error":         fake.Fail(-32000, "boom", nil),
		"a connection that breaks": fake.HangUp,
	} {
		t.Run(name, func(t *testing.T) {
			n := fake.NewNode(t, testChain)
			n.MineN(3)
			n.MineLogs(fake.Log(ours, topic, []byte{1}))
			n.MineN(3)
			if fault == nil {
				// A log of ours in a block that holds none: the bloom excludes it.
				fault = fake.EditList(func(l []any) []any {
					f := forged(l[0].(map[string]any))
					f["blockNumber"], f["blockHash"] = hexutil.Uint64(2), n.Hash(2)
					return append(l, f)
				})
			}
			c := dial(t, config(n))
			n.On("eth_getLogs", func(call *fake.Call, next func()) {
				var q map[string]json.RawMessage
				if json.Unmarshal(call.Params[0], &q) == nil && q["blockHash"] != nil {
					next() // the question by hash is answered honestly
					return
				}
				fault(call, next)
			})
			_, _, err := c.Events(t.Context(), chains.Query{From: cursorAt(n, 1), To: 7, Filter: filter})
			require.ErrorIs(t, err, chains.ErrUnavailable)
			require.NotErrorIs(t, err, chains.ErrReorg)
			n.Clear()
			_, events, err := readAll(t.Context(), c, cursorAt(n, 1))
			require.NoError(t, err)
			require.Len(t, events, 1)
		})
	}
}

// The limit of one endpoint, written down: over a wide range an omission goes
// unnoticed; over a range whose headers are all read it does not.
func TestHalfABlockIsNotTheBlock(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.MineLogs(fake.Log(ours, topic, []byte{1}), fake.Log(ours, topic, []byte{2}))
	n.MineN(3)
	n.Once("eth_getLogs", fake.EditList(func(l []any) []any { return l[:1] }))
	c := dial(t, config(n))
	_, _, err := c.Events(t.Context(), chains.Query{From: cursorAt(n, 1), To: 3, Filter: filter})
	require.ErrorIs(t, err, chains.ErrUnavailable)
}

func TestAnOmissionIsNoticedWhereEveryHeaderIsRead(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.MineN(20)
	n.MineLogs(fake.Log(ours, topic, nil))
	n.MineN(79)
	n.On("eth_getLogs", func(c *fake.Call, next func()) {
		next()
		var q map[string]json.RawMessage
		if json.Unmarshal(c.Params[0], &q) == nil && q["blockHash"] == nil {
			c.Result = []any{}
		}
	})
	for full, noticed := range map[uint64]bool{100: true, 99: false} {
		cfg := config(n)
		cfg.FullRange = full
		c := dial(t, cfg)
		_, events, err := c.Events(t.Context(), chains.Query{From: cursorAt(n, 1), To: 100, Filter: filter})
		require.Empty(t, events)
		require.Equal(t, noticed, err != nil)
	}
}

// B19–B27: headers out of bounds.
func TestALieAboutHeadersIsNeverBelieved(t *testing.T) {
	edit := func(field string, v any) fake.Fault {
		return fake.Edit(func(m map[string]any) {
			if v == nil {
				delete(m, field)
				return
			}
			m[field] = v
		})
	}
	for name, fault := range map[string]fake.Fault{
		"no hash":                edit("hash", nil),
		"a hash it has not":      edit("hash", common.HexToHash("0xbad")),
		"another parent":         edit("parentHash", common.HexToHash("0xbad")),
		"another bloom":          edit("logsBloom", types.Bloom{0xff}),
		"another height":         edit("number", "0x1"),
		"negative height":        edit("number", "-0x1"),
		"height beyond 64 bits":  edit("number", "0x"+strings.Repeat("f", 30)),
		"height beyond 63 bits":  edit("number", "0xffffffffffffffff"),
		"a time in 2099":         edit("timestamp", "0xf2c8a0a0"),
		"time beyond 64 bits":    edit("timestamp", "0x"+strings.Repeat("f", 20)),
		"a list":                 fake.Answer([]int{}),
		"null":                   fake.Answer(nil),
		"no such method":         fake.Fail(-32601, "the method does not exist/is not available", nil),
		"too deep for a decoder": fake.Answer(json.RawMessage(strings.Repeat("[", 5000) + strings.Repeat("]", 5000))),
	} {
		t.Run(name, func(t *testing.T) {
			n := fake.NewNode(t, testChain)
			n.MineN(30)
			for _, check := range []bool{true, false} {
				if !check && strings.HasPrefix(name, "a") && name != "a list" && name != "a time in 2099" && name != "another height" {
					continue // only the header's own hash tells
				}
				cfg := config(n)
				cfg.CheckHeaders = check
				c := dial(t, cfg)
				_, err := c.Head(t.Context())
				require.NoError(t, err)
				n.On("eth_getBlockByNumber", fault)
				_, _, err = c.Events(t.Context(), chains.Query{From: cursorAt(n, 5), To: 20, Filter: filter})
				require.ErrorIs(t, err, chains.ErrUnavailable)
				require.NotErrorIs(t, err, chains.ErrReorg)
				n.Clear()
			}
		})
	}
}

func TestWholeAnswersOutOfBoundsAreRefused(t *testing.T) {
	page := func(contentType, body string, status int) func(http.ResponseWriter, []byte) bool {
		return func(w http.ResponseWriter, _ []byte) bool {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
			return true
		}
	}
	for name, c := range map[string]struct {
		raw  func(http.ResponseWriter, []byte) bool
		want Class
	}{
		"HTML":           {page("text/html", "<html>down for maintenance</html>", 200), ClassTransport},
		"HTML as JSON":   {page("application/json", "<html>", 200), ClassBadAnswer},
		"a huge body":    {page("application/json", `{"jsonrpc":"2.0","id":1,"result":"0x`+strings.Repeat("0", 2<<20)+`"}`, 200), ClassOversize},
		"a huge error":   {page("text/plain", strings.Repeat("x", 2<<20), 500), ClassTransport},
		"nested JSON":    {page("application/json", strings.Repeat(`{"a":`, 10_000), 200), ClassOversize},
		"rate limited":   {page("application/json", "{}", 429), ClassRateLimited},
		"a redirect":     {page("text/html", "", 302), ClassTransport},
		"nothing":        {page("application/json", "", 200), ClassTransport},
		"another string": {page("application/json", `"hello"`, 200), ClassBadAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			n := fake.NewNode(t, testChain)
			n.MineN(3)
			cfg := config(n)
			cfg.MaxBytes = 1 << 20
			client := dial(t, cfg)
			n.Raw(c.raw)
			_, err := client.NonceAt(t.Context(), ours, AtLatest)
			require.ErrorIs(t, err, chains.ErrUnavailable)
			require.Equal(t, c.want, ClassOf(err), err.Error())
			_, err = client.Head(t.Context())
			require.ErrorIs(t, err, chains.ErrUnavailable)
			require.NotContains(t, err.Error(), n.URL())
		})
	}
}

func TestASlowAnswerEndsInTime(t *testing.T) {
	n := fake.NewNode(t, testChain)
	cfg := config(n)
	cfg.Timeout = 100 * time.Millisecond
	c := dial(t, cfg)
	release := make(chan struct{})
	defer close(release)
	n.Raw(func(w http.ResponseWriter, _ []byte) bool {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"jsonrpc":`))
		w.(http.Flusher).Flush()
		<-release // one byte now, the rest never
		return true
	})
	began := time.Now()
	_, err := c.Latest(t.Context())
	require.ErrorIs(t, err, chains.ErrUnavailable)
	require.Equal(t, ClassTimeout, ClassOf(err))
	require.Less(t, time.Since(began), 3*time.Second)
}

// B14, B15: a block below the cursor that changed is told from an endpoint that
// merely contradicts itself.
func TestAReorgBelowTheCursorStopsTheSource(t *testing.T) {
	for _, depth := range []int{1, 2, 7, 32, 64} {
		t.Run(fmt.Sprint(depth), func(t *testing.T) {
			n := fake.NewNode(t, testChain)
			n.MineN(100)
			c := dial(t, config(n))
			cursor, _, err := readAll(t.Context(), c, cursorAt(n, 1))
			require.NoError(t, err)
			n.Reorg(depth, true)
			n.MineN(5)
			_, _, err = c.Events(t.Context(), chains.Query{From: cursor, To: 105, Filter: filter})
			require.ErrorIs(t, err, chains.ErrReorg)
		})
	}
	t.Run("one wrong parent", func(t *testing.T) {
		n := fake.NewNode(t, testChain)
		n.MineN(10)
		cfg := config(n)
		cfg.CheckHeaders = false
		c := dial(t, cfg)
		_, err := c.Head(t.Context())
		require.NoError(t, err)
		n.On("eth_getBlockByNumber", fake.Edit(func(m map[string]any) {
			if m["number"] == "0x5" {
				m["parentHash"] = common.HexToHash("0xbad")
			}
		}))
		_, _, err = c.Events(t.Context(), chains.Query{From: cursorAt(n, 5), To: 9, Filter: filter})
		require.ErrorIs(t, err, chains.ErrUnavailable)
		require.NotErrorIs(t, err, chains.ErrReorg)
		_, _, err = c.Events(t.Context(), chains.Query{From: cursorAt(n, 3), To: 9, Filter: filter})
		require.ErrorIs(t, err, chains.ErrUnavailable, "in the middle of the range too")
	})
	t.Run("a reorg above the final head is nothing", func(t *testing.T) {
		n := fake.NewNode(t, testChain)
		n.SetFinal(10)
		n.MineN(30)
		c := dial(t, config(n))
		cursor, _, err := readAll(t.Context(), c, cursorAt(n, 1))
		require.NoError(t, err)
		require.Equal(t, uint64(21), cursor.Next)
		n.Reorg(9, true)
		n.MineN(20)
		_, _, err = readAll(t.Context(), c, cursor)
		require.NoError(t, err)
	})
}

func TestABlockThatChangesWhileItIsReadIsNotBelieved(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.MineN(10)
	c := dial(t, config(n))
	_, err := c.Head(t.Context())
	require.NoError(t, err)
	n.Once("eth_getLogs", func(_ *fake.Call, next func()) { n.Reorg(3, true); next() })
	_, _, err = c.Events(t.Context(), chains.Query{From: cursorAt(n, 1), To: 10, Filter: filter})
	require.ErrorIs(t, err, chains.ErrUnavailable)
}

// B12, B13: endpoints that lag or stand still.
func TestTheHeadNeverGoesBack(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.MineN(20)
	c := dial(t, config(n))
	head, err := c.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(20), head.Number)

	n.PinFinal(15)
	_, err = c.Head(t.Context())
	require.ErrorIs(t, err, chains.ErrUnavailable)

	n.SetFinal(0)
	n.Reorg(1, true)
	_, err = c.Head(t.Context())
	require.ErrorIs(t, err, chains.ErrReorg, "the same height with another hash")

	n.MineN(2)
	head, err = c.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(22), head.Number)
}

func TestACursorAheadOfTheEndpointWaits(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.MineN(10)
	c := dial(t, config(n))
	_, _, err := c.Events(t.Context(), chains.Query{From: chains.Cursor{Chain: testChain, Next: 12, Parent: common.HexToHash("0x1")}, To: 20, Filter: filter})
	require.ErrorIs(t, err, chains.ErrUnavailable)
}

func TestAFrozenEndpointIsUnavailable(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.MineN(3)
	cfg := config(n)
	cfg.MaxHeadAge = time.Minute
	c := dial(t, cfg)
	_, err := c.Head(t.Context())
	require.ErrorIs(t, err, chains.ErrUnavailable)
	n.SetTime(uint64(time.Now().Unix()))
	n.Mine()
	_, err = c.Head(t.Context())
	require.NoError(t, err)
}

func TestFinalityByDepth(t *testing.T) {
	n := fake.NewNode(t, testChain)
	cfg := config(n)
	cfg.Finality = "depth:5"
	c := dial(t, cfg)
	_, err := c.Head(t.Context())
	require.ErrorIs(t, err, chains.ErrUnavailable, "a chain shorter than the depth")
	n.MineN(12)
	head, err := c.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(7), head.Number)
	require.Zero(t, n.Calls("eth_blockNumber"))
}

// B17: an endpoint that is, or becomes, another chain.
func TestAnotherChainIsNoticedAtStartAndAtEveryReconnect(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.MineN(5)
	cfg := config(n)
	cfg.ChainID = 1
	_, err := Dial(t.Context(), cfg, quiet())
	require.ErrorIs(t, err, chains.ErrWrongChain)

	cfg = config(n)
	cfg.GenesisHash = common.HexToHash("0xbad")
	_, err = Dial(t.Context(), cfg, quiet())
	require.ErrorIs(t, err, chains.ErrWrongChain)

	cfg.GenesisHash = n.Hash(0)
	c := dial(t, cfg)
	n.SetChainID(5)
	_, err = c.Head(t.Context())
	require.ErrorIs(t, err, chains.ErrWrongChain, "each batch asks")
	_, err = c.NonceAt(t.Context(), ours, AtLatest)
	require.NoError(t, err, "the same connection is not asked again")
	n.CloseConnections()
	require.Eventually(t, func() bool {
		_, err = c.NonceAt(t.Context(), ours, AtLatest)
		return ClassOf(err) != ClassTransport
	}, 5*time.Second, 10*time.Millisecond)
	require.ErrorIs(t, err, chains.ErrWrongChain, "another connection is")
	n.SetChainID(testChain)
	_, err = c.NonceAt(t.Context(), ours, AtLatest)
	require.NoError(t, err)

	// The id may stay when the chain does not.
	n.On("eth_getBlockByNumber", func(c *fake.Call, next func()) {
		if next(); string(c.Params[0]) == `"0x0"` {
			c.Result = map[string]any{"hash": common.HexToHash("0xbad")}
		}
	})
	n.CloseConnections()
	require.Eventually(t, func() bool {
		_, err = c.NonceAt(t.Context(), ours, AtLatest)
		return ClassOf(err) != ClassTransport
	}, 5*time.Second, 10*time.Millisecond)
	require.ErrorIs(t, err, chains.ErrWrongChain, "the first block is another")
	require.ErrorContains(t, err, n.Hash(0).Hex())
	n.Clear()
	_, err = c.NonceAt(t.Context(), ours, AtLatest)
	require.NoError(t, err)
}

// An endpoint that was reconnected to and does not answer costs one timeout,
// not a second one for its chain id, and none when we stop.
func TestAnEndpointThatHangsIsLeftAfterOneTimeout(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.MineN(5)
	cfg := config(n)
	cfg.Timeout = 2 * time.Second
	c := dial(t, cfg)
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	n.Raw(func(http.ResponseWriter, []byte) bool { <-over; return true })
	for _, ask := range []func(context.Context) error{
		func(ctx context.Context) error { _, err := c.NonceAt(ctx, ours, AtLatest); return err },
		func(ctx context.Context) error { _, err := c.Head(ctx); return err },
	} {
		n.CloseConnections()
		began := time.Now()
		require.ErrorIs(t, ask(t.Context()), chains.ErrUnavailable)
		require.Less(t, time.Since(began), 3500*time.Millisecond)

		n.CloseConnections()
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, stop)
		began = time.Now()
		require.ErrorIs(t, ask(ctx), context.Canceled)
		require.Less(t, time.Since(began), 1500*time.Millisecond)
	}
}

func TestNullRoundsAreEmptyHeights(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.MineN(2)
	n.MineNull()
	n.MineNull()
	a := n.MineLogs(fake.Log(ours, topic, []byte{1}))
	n.MineNull()
	n.MineN(30)
	n.MineNull()
	n.Mine()
	n.MineNull()
	for _, full := range []uint64{1, 100} {
		cfg := config(n)
		cfg.FullRange, cfg.MaxRange = full, 7
		c := dial(t, cfg)
		cursor, events, err := readAll(t.Context(), c, cursorAt(n, 1))
		require.NoError(t, err)
		require.Len(t, events, 1)
		require.Equal(t, a, events[0].Block)
		require.Equal(t, n.Height()+1, cursor.Next)
		_, err = c.BlockByNumber(t.Context(), 3)
		require.ErrorIs(t, err, ErrNullRound)
	}
}

func TestReceiptsBelongToTheHashAskedFor(t *testing.T) {
	n := fake.NewNode(t, testChain)
	key, from := fake.NewKey()
	n.Fund(from, ether(10))
	tx := n.Sign(key, 0, other, nil, 1e9, 3e9)
	require.Nil(t, n.Submit(tx))
	n.Mine()
	c := dial(t, config(n))
	r, ok, err := c.Receipt(t.Context(), tx.Hash())
	require.NoError(t, err)
	require.True(t, ok && r.OK)

	n.On("eth_getTransactionReceipt", fake.Edit(func(m map[string]any) { m["transactionHash"] = common.HexToHash("0x5") }))
	_, ok, err = c.Receipt(t.Context(), tx.Hash())
	require.NoError(t, err)
	require.False(t, ok)

	for _, field := range []string{"status", "blockHash", "blockNumber", "transactionHash"} {
		n.On("eth_getTransactionReceipt", fake.Edit(func(m map[string]any) { delete(m, field) }))
		_, _, err = c.Receipt(t.Context(), tx.Hash())
		require.ErrorIs(t, err, chains.ErrUnavailable)
	}
	n.On("eth_getTransactionReceipt", fake.Fail(-32000, "boom", nil))
	_, err = c.Receipts(t.Context(), []common.Hash{tx.Hash(), {}})
	require.ErrorIs(t, err, chains.ErrUnavailable, "one unknown makes all unknown")
}

func TestCallsSayWhyTheyFail(t *testing.T) {
	n := fake.NewNode(t, testChain)
	c := dial(t, config(n))
	n.OnCall(func(_ common.Address, data []byte) ([]byte, *fake.Error) {
		if len(data) > 0 && data[0] == 0xff {
			return nil, &fake.Error{Code: 3, Message: "execution reverted", Data: "0xdeadbeef"}
		}
		return data, nil
	})
	out, err := c.BatchCall(t.Context(), []CallArg{{To: ours, Data: []byte{1}}, {To: ours, Data: []byte{0xff}}, {To: ours, Data: []byte{2}}}, AtHash(n.Hash(0)))
	require.NoError(t, err)
	require.Equal(t, []byte{1}, out[0].Data)
	require.ErrorIs(t, out[1].Err, chains.ErrReverted)
	require.Equal(t, []byte{2}, out[2].Data)
	_, err = c.Call(t.Context(), ours, []byte{0xff}, AtLatest)
	var r *chains.RevertError
	require.ErrorAs(t, err, &r)
	require.Equal(t, []byte{0xde, 0xad, 0xbe, 0xef}, r.Data)

	many := make([]CallArg, 350)
	for i := range many {
		many[i] = CallArg{To: ours, Data: []byte{byte(i % 200)}}
	}
	out, err = c.BatchCall(t.Context(), many, AtLatest)
	require.NoError(t, err)
	require.Equal(t, []byte{byte(349 % 200)}, out[349].Data)

	_, err = c.NonceAt(t.Context(), ours, AtHash(common.HexToHash("0xbad")))
	require.Equal(t, ClassNotYet, ClassOf(err))
	for _, lie := range []any{"-0x1", "0x", "1", nil, "0x" + strings.Repeat("f", 65), 7, []int{}} {
		n.Once("eth_getBalance", fake.Answer(lie))
		_, err = c.Balance(t.Context(), ours, AtLatest)
		require.ErrorIs(t, err, chains.ErrUnavailable, "%v", lie)
	}
	n.Fund(ours, big.NewInt(5))
	b, err := c.Balance(t.Context(), ours, AtLatest)
	require.NoError(t, err)
	require.Equal(t, int64(5), b.Int64())
}

func TestBlockReferencesEncode(t *testing.T) {
	for want, ref := range map[string]BlockRef{
		`"latest"`: AtLatest, `"pending"`: AtPending, `"0x10"`: AtNumber(16), `"0x0"`: AtNumber(0),
		`{"blockHash":"0x0000000000000000000000000000000000000000000000000000000000000001"}`: AtHash(common.HexToHash("0x1")),
	} {
		got, err := json.Marshal(ref)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}

func TestConfigComplainsAboutEverythingAtOnce(t *testing.T) {
	err := Config{URL: "ftp://x", Finality: "soon"}.Check()
	for _, part := range []string{"name is empty", "chain id", "http, https", "finality"} {
		require.ErrorContains(t, err, part)
	}
	require.NoError(t, Config{Name: "root", URL: "wss://x", ChainID: 1}.Check())
	err = Config{Name: "root", URL: "http://user:secret@[::1", ChainID: 1}.Check()
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
}

func FuzzDecodeLogs(f *testing.F) {
	f.Add([]byte(`[]`))
	f.Add([]byte(`null`))
	f.Add([]byte(`[{"address":"0x0000000000000000000000000000000000000a11","topics":["0x0000000000000000000000000000000000000000000000000000000000000001"],"data":"0x","blockNumber":"0x4","blockHash":"0x0000000000000000000000000000000000000000000000000000000000000009","transactionHash":"0x0000000000000000000000000000000000000000000000000000000000000008","logIndex":"0x0"}]`))
	f.Add([]byte(`[{"removed":true},{"logIndex":"0x80000001"}]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		events, total, err := decodeLogs(raw, filter, 1, 10, 100)
		if err != nil {
			return
		}
		if total > 100 || len(events) > total {
			t.Fatal("bound broken")
		}
		for i, e := range events {
			if e.Address != ours || len(e.Topics) == 0 || len(e.Topics) > 4 || e.Topics[0] != topic || e.Block < 1 || e.Block > 10 {
				t.Fatalf("event %d is not ours: %+v", i, e)
			}
			if i > 0 && (events[i-1].Block > e.Block || (events[i-1].Block == e.Block && events[i-1].Index >= e.Index)) {
				t.Fatal("order broken")
			}
		}
	})
}

func FuzzDecodeHeaderAndReceipt(f *testing.F) {
	f.Add([]byte(`null`))
	f.Add([]byte(`{"number":"0x1","hash":"0x0000000000000000000000000000000000000000000000000000000000000009","parentHash":"0x0000000000000000000000000000000000000000000000000000000000000008","timestamp":"0x1"}`))
	f.Add([]byte(`{"transactionHash":"0x0000000000000000000000000000000000000000000000000000000000000009","blockHash":"0x0000000000000000000000000000000000000000000000000000000000000008","blockNumber":"0x1","status":"0x1","gasUsed":"0x1"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, ok, err := decodeHeader(raw, false)
		if err == nil && ok && (h.Hash == (common.Hash{}) || h.Number > 1<<63-1) {
			t.Fatalf("header out of bounds: %+v", h)
		}
		r, err := decodeReceipt(raw, common.BigToHash(big.NewInt(9)))
		if err == nil && r != nil && r.TxHash != common.BigToHash(big.NewInt(9)) {
			t.Fatal("receipt of another transaction")
		}
		if checkDepth(raw, 8) == nil {
			_, _ = decodeBig(raw)
		}
	})
}
