package sim

import (
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// What the ledger is for: each thing that a guard of the store or of the
// relayer prevents, done behind its back.
func TestTheLedgerFindsWhatNoGuardHasStopped(t *testing.T) {
	id, lane := common.Hash{1}, "lane"
	job := store.NewJob{
		Transfer: tokens.Transfer{ID: id, Route: "topdown"},
		Steps:    []store.StepPlan{{Name: "send", Lane: lane, Strict: true, Poll: time.Second, Next: map[store.Outcome]string{store.OK: "done"}}},
	}
	cursor := func(n uint64) chains.Cursor { return chains.Cursor{Chain: 1, Next: n} }
	for want, offend := range map[string]func(t *testing.T, l *ledger, m *storetest.Model){
		"I4": func(t *testing.T, l *ledger, m *storetest.Model) {
			l.cursors["root"] = cursor(9) // the store lost its comparison
			require.NoError(t, l.ingest(m, "root", cursor(2), cursor(3), nil, nil))
		},
		"I6": func(t *testing.T, l *ledger, m *storetest.Model) {
			l.riding[slot{chain: 1, account: common.Address{1}}] = nil
			_, _, err := l.reserve(m, 1, common.Address{1}, chains.Tx{Key: "k"}, 0, 1)
			require.NoError(t, err)
		},
		"I8": func(_ *testing.T, l *ledger, _ *storetest.Model) { l.broadcast(common.Hash{1}) },
		"I9": func(t *testing.T, l *ledger, m *storetest.Model) {
			lease, ok, err := l.claim(m, "a", 1)
			require.NoError(t, err)
			require.True(t, ok)
			delete(l.owners, lane) // somebody else's by now
			require.NoError(t, l.settle(m, lease, nil))
		},
		"I10": func(t *testing.T, l *ledger, m *storetest.Model) {
			l.loses("a", store.Recovery{Token: "7", Why: "redis is back"}) // the store does not say so
			_, ok, err := l.claim(m, "a", 1)
			require.NoError(t, err)
			require.True(t, ok)
		},
		"I10: a nonce": func(t *testing.T, l *ledger, m *storetest.Model) {
			l.loses("a", store.Recovery{Token: "7", Why: "redis is back"})
			_, _, err := l.reserve(m, 1, common.Address{1}, chains.Tx{Key: "k"}, 0, 1)
			require.NoError(t, err)
		},
		"members": func(t *testing.T, l *ledger, m *storetest.Model) {
			lease, _, err := l.claim(m, "a", 1)
			require.NoError(t, err)
			l.riding[slot{chain: 2}] = []common.Hash{id}
			_, _, err = l.reserve(m, 1, common.Address{1}, chains.Tx{Key: "k", Members: []common.Hash{id}, Fence: lease.Fence}, 0, 1)
			require.NoError(t, err)
		},
	} {
		t.Run(want, func(t *testing.T) {
			l, m := newLedger(func(string, ...any) {}), storetest.NewModel(1, time.Now)
			require.NoError(t, m.InitCursor(t.Context(), "root", cursor(1)))
			require.NoError(t, l.ingest(m, "root", cursor(1), cursor(2), []store.NewJob{job}, nil))
			require.Empty(t, l.found())
			offend(t, l, m)
			require.Len(t, l.found(), 1)
			require.True(t, strings.HasPrefix(l.found()[0], want), l.found()[0])
		})
	}
}

// A unit too many, a unit too few, a job without an event: the end of a seed
// that went well, changed by a hand.
func TestTheEndOfASeedIsComparedToTheUnit(t *testing.T) {
	world, err := fresh()
	require.NoError(t, err)
	for what, change := range map[string]func(*run){
		"I2: ": func(r *run) {
			sink := addressOf(key("sink0"))
			r.send(r.root, key("deployer"), r.deployment.Root.Usdc, usdcABI.PackMint(sink, big.NewInt(1)), nil)
			r.root.mine(uint64(time.Now().Unix()))
		},
		"I1: ": func(r *run) {
			r.send(r.root, key(user(0)), r.deployment.Root.Flt, usdcABI.PackTransfer(r.deployment.Root.Gateway, big.NewInt(1)), nil)
			r.root.mine(uint64(time.Now().Unix()))
		},
		"I4: ": func(r *run) {
			_, _, err := r.redis.model.Backfill(t.Context(), "root", []store.NewJob{{
				Transfer: tokens.Transfer{ID: common.Hash{7}, Route: "usdc_deposit"},
				Steps:    []store.StepPlan{{Name: "deliver", Lane: "x", Next: map[store.Outcome]string{store.OK: "done"}}},
			}}, nil)
			require.NoError(t, err)
		},
	} {
		t.Run(what[:2], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRun(world, 7)
				s := &scenario{instances: 1}
				s.add(time.Second, func(r *run) { r.depositUSDC(key(user(0)), addressOf(key("sink0")), big.NewInt(5)) }, "a deposit")
				s.add(time.Second, func(r *run) {
					r.withdraw(key(user(1)), r.deployment.Root.Flt, addressOf(key("sink1")), big.NewInt(1e15))
				}, "a withdrawal")
				r.play(s)
				require.Empty(t, r.watch.found())
				change(r)
				r.check()
				require.NotEmpty(t, r.watch.found())
				require.True(t, strings.HasPrefix(r.watch.found()[0], what), r.watch.found()[0])
			})
		})
	}
}
