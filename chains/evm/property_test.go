package evm

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// errDead is what a journal answers to a process that is no more.
var errDead = errors.New("the process is dead")

// rapidTB lets a rig live in a property.
type rapidTB struct{ *rapid.T }

func (r rapidTB) Context() context.Context { return context.Background() }

// Whatever node, journal and process do: each key is executed exactly once per
// intent that is called a success and never otherwise, the account's nonces
// are contiguous, no call of a nonce as foreign is wrong, and in the end every
// intent is decided.
func TestEachKeyIsExecutedOnceWhateverHappens(t *testing.T) {
	dir := t.TempDir()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		file := filepath.Join(dir, fmt.Sprint(run))
		r := newRig(rapidTB{rt}, func(c *TxConfig) { c.IntentsFile = file })
		defer os.Remove(file)
		// A crash is a panic that alive catches. While the manager recovers, its
		// writes run in goroutines of its own, where a panic would end the test:
		// there the journal is gone from that moment on, for all of them.
		var mu sync.Mutex
		armed, dead := "", false
		trap := func(name string) error {
			mu.Lock()
			defer mu.Unlock()
			if armed == name {
				armed = ""
				if r.m.Restored() {
					panic(crashed{})
				}
				dead = true
			}
			if dead {
				return errDead
			}
			return nil
		}
		lost := ""
		r.wrapClient = func(c ChainClient) ChainClient {
			return crashClient{c, func() { _ = trap("before_send") }, func() { _ = trap("after_send") }}
		}
		r.journal.Before = func(op string, _ chains.Intent) error { return trap("before_" + op) }
		r.journal.After = func(op string, _ chains.Intent) error {
			if err := trap("after_" + op); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if lost == op {
				lost = ""
				return errors.New("reply lost")
			}
			return nil
		}
		r.restart()

		sent, thieves := 0, 0
		var keys []string
		alive := func(f func()) {
			if dies(f) || dead {
				dead = false
				r.restart()
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"send": func(*rapid.T) {
				sent++
				key := fmt.Sprintf("key-%d", sent)
				keys = append(keys, key)
				alive(func() { _ = r.m.Send(context.Background(), payload(key)) })
			},
			"send again": func(t *rapid.T) {
				if len(keys) == 0 {
					t.Skip()
				}
				key := rapid.SampledFrom(keys).Draw(t, "key")
				alive(func() { _ = r.m.Send(context.Background(), payload(key)) })
			},
			"look":  func(*rapid.T) { alive(r.look) },
			"looks": func(*rapid.T) { alive(func() { r.looks(4) }) },
			"time": func(t *rapid.T) {
				r.clock.advance(time.Duration(rapid.IntRange(1, 120).Draw(t, "seconds")) * time.Second)
			},
			"mine":        func(*rapid.T) { r.node.Mine() },
			"final":       func(*rapid.T) { r.node.MineN(4) },
			"reorg":       func(t *rapid.T) { r.node.Reorg(rapid.IntRange(1, 3).Draw(t, "depth"), rapid.Bool().Draw(t, "forget")) },
			"drop":        func(*rapid.T) { r.node.DropPool() },
			"restart":     func(*rapid.T) { r.restart() },
			"lose accept": func(*rapid.T) { r.node.Once("eth_sendRawTransaction", fake.LoseReply) },
			"lose send":   func(*rapid.T) { r.node.Once("eth_sendRawTransaction", fake.HangUp) },
			"swallow": func(*rapid.T) {
				r.node.Once("eth_sendRawTransaction", func(c *fake.Call, _ func()) { c.Result = common.Hash{} })
			},
			"hide receipts": func(*rapid.T) { r.node.Once("eth_getTransactionReceipt", fake.Answer(nil)) },
			"break": func(t *rapid.T) {
				r.node.Once(rapid.SampledFrom([]string{"eth_getTransactionCount", "eth_getBlockByNumber", "eth_estimateGas", "eth_getBalance"}).Draw(t, "method"), fake.HangUp)
			},
			"fees": func(t *rapid.T) {
				base := rapid.Int64Range(1, 100).Draw(t, "base") * 1e9
				r.node.SetFees(base, rapid.Int64Range(0, 3).Draw(t, "tip")*1e9)
			},
			"crash": func(t *rapid.T) {
				armed = rapid.SampledFrom([]string{"before_send", "after_send", "before_reserve", "after_reserve", "before_save_attempt", "after_save_attempt", "before_update", "after_update"}).Draw(t, "point")
			},
			"lose write": func(t *rapid.T) {
				lost = rapid.SampledFrom([]string{"reserve", "save_attempt", "update"}).Draw(t, "op")
			},
			"abandon": func(t *rapid.T) {
				if len(keys) == 0 {
					t.Skip()
				}
				key := rapid.SampledFrom(keys).Draw(t, "key")
				alive(func() { _, _ = r.m.Abandon(context.Background(), key) })
			},
			"thief": func(t *rapid.T) {
				// Another client with our key, at the next free nonce of the chain.
				if thieves > 0 {
					t.Skip()
				}
				thieves++
				next := uint64(len(r.node.Nonces(r.from)))
				_ = r.node.Submit(r.node.Sign(r.key, next, ours, []byte("thief"), 3e9, 300e9))
			},
			"": func(t *rapid.T) {
				nonces := r.node.Nonces(r.from)
				for i, n := range nonces {
					if n != uint64(i) {
						t.Fatalf("nonces %v have a gap", nonces)
					}
				}
			},
		})

		// Heal the world; everything must come to an end.
		armed, lost = "", ""
		r.node.Clear()
		r.node.SetFees(1e9, 1e9)
		r.node.Mine()
		r.finish()
		succeeded := map[string]int{}
		foreign := 0
		intents := r.journal.All(testChain, r.from)
		next, skipped := uint64(0), 0
		for _, in := range intents {
			skipped += int(in.Nonce - next)
			next = in.Nonce + 1
			switch in.State {
			case chains.IntentSucceeded:
				succeeded[in.Key]++
			case chains.IntentForeign:
				foreign++
			}
		}
		require.LessOrEqual(rt, foreign+skipped, thieves, "only a thief leaves a nonce without an intent of ours")
		for _, key := range keys {
			require.Equal(rt, succeeded[key], r.node.Mined([]byte(key)), "key %s", key)
		}
		require.True(rt, slices.IsSorted(r.node.Nonces(r.from)))
	})
}

// A source over a chain that forks above its final block and an endpoint that
// fails at random yields exactly the events of the final chain, in order.
func TestASourceYieldsExactlyTheFinalEventsWhateverHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := fake.NewNode(rapidTB{rt}, testChain)
		n.SetFinal(4)
		n.MineN(5)
		cfg := config(n)
		cfg.MaxRange, cfg.FullRange = rapid.Uint64Range(1, 30).Draw(rt, "range"), rapid.Uint64Range(1, 10).Draw(rt, "full")
		c, err := Dial(context.Background(), cfg, quiet())
		require.NoError(rt, err)
		defer c.Close()
		cursor := cursorAt(n, 1)
		var got []chains.Event
		serial := uint64(0)
		read := func() error {
			var events []chains.Event
			var err error
			cursor, events, err = readAll(context.Background(), c, cursor)
			got = append(got, events...)
			return err
		}
		silenced := false
		lies := []fake.Fault{
			fake.HangUp, fake.Answer(nil), fake.Fail(-32005, "block range exceeds maximum", nil),
			fake.Fail(-32000, "header not found", nil),
			fake.EditList(func(l []any) []any { return append(l, l...) }),
			func(_ *fake.Call, next func()) { next(); n.Reorg(3, true) },
		}
		if cfg.FullRange >= cfg.MaxRange {
			// Logs left out are noticed only where every header is read: the next
			// test shows what that means for wide ranges.
			// One that leaves the same out twice in a row, when it is asked by numbers and
			// by the block's hash, is not noticed by anybody who has no other.
			for _, silence := range []fake.Fault{fake.EditList(func(l []any) []any { return l[:len(l)/2] }), fake.Answer([]int{})} {
				lies = append(lies, func(c *fake.Call, next func()) {
					if silenced = !silenced; silenced {
						silence(c, next)
					} else {
						next()
					}
				})
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"event": func(t *rapid.T) {
				var logs []*types.Log
				for range rapid.IntRange(1, 3).Draw(t, "logs") {
					serial++
					logs = append(logs, fake.Log(ours, topic, new(big.Int).SetUint64(serial).Bytes()))
				}
				n.MineLogs(logs...)
			},
			"noise": func(*rapid.T) { n.MineLogs(fake.Log(other, topic, nil), fake.Log(ours, foreign, nil)) },
			"mine":  func(t *rapid.T) { n.MineN(rapid.IntRange(1, 20).Draw(t, "blocks")) },
			"reorg": func(t *rapid.T) { n.Reorg(rapid.IntRange(1, 4).Draw(t, "depth"), true) },
			"lie": func(t *rapid.T) {
				n.Once(rapid.SampledFrom([]string{"eth_getLogs", "eth_getBlockByNumber"}).Draw(t, "method"), rapid.SampledFrom(lies).Draw(t, "lie"))
			},
			"read": func(t *rapid.T) {
				if err := read(); err != nil && !errors.Is(err, chains.ErrUnavailable) {
					t.Fatalf("read: %v", err)
				}
			},
		})
		n.Clear()
		n.MineN(30)
		require.NoError(rt, read())
		_, want, err := readAll(context.Background(), c, cursorAt(n, 1))
		require.NoError(rt, err)
		require.Equal(rt, len(want), len(got))
		for i := range want {
			require.Equal(rt, want[i], got[i])
		}
	})
}
