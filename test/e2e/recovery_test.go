package e2e

import (
	"encoding/json"
	"math/big"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/cmd/causeway/devnet"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/cmd/causeway/wallet"
	"github.com/causeway-bridge/causeway/relayer/audit"
	shared "github.com/causeway-bridge/causeway/test/rig"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/stretchr/testify/require"
)

// TestASubnetGoesOnAfterItsRootForkedBelowIt is PROTOCOL 10 with every process
// real: final blocks of the root are replaced, two deposits that the subnet has
// applied are spent otherwise there, and an operator follows the README while
// node and relayer die under him.
func TestASubnetGoesOnAfterItsRootForkedBelowIt(t *testing.T) {
	t.Parallel()
	settings := devnet.Settings()
	settings.RecoveryDelay = 20
	f := &forked{world: newWorldOf(t, settings), held: map[holder]*big.Int{}}
	f.step("transfers go both ways", f.before)
	f.step("the root forks below what the subnet has committed", f.fork)
	f.step("node and relayer stand still and page", f.halted)
	f.step("a recovery that is withdrawn is never executed", f.withdrawn)
	f.step("one that is executed reaches the subnet over every death", f.executed)
	f.step("the root's messages come down, and nothing else", f.delivered)
	f.step("what is short is named, and covered", f.covered)
	f.step("the bridge works as before, and no unit is missing or new", f.after)
}

// forked is a world whose root forks.
type forked struct {
	*world
	people int64
	held   map[holder]*big.Int
	fork0  uint64 // newest block that stays
	gone   []common.Hash
	moved  []common.Hash // sent on the new branch under the nonces of what is gone
	later  common.Hash
	prefix uint64
}

// holder is somebody to whom exactly one transfer goes.
type holder struct {
	asset tokens.Asset
	side  string
	who   common.Address
}

func (f *forked) somebody(a tokens.Asset, side string, amount *big.Int) common.Address {
	f.people++
	who := common.BytesToAddress(crypto.Keccak256([]byte{byte(f.people), byte(f.people >> 8)})[12:])
	f.held[holder{a, side, who}] = amount
	return who
}

func (f *forked) in(a tokens.Asset, amount *big.Int) common.Hash {
	f.t.Helper()
	return f.sendIn(a, f.somebody(a, "subnet", amount), amount, tokens.Done)
}

func (f *forked) out(a tokens.Asset, amount *big.Int) common.Hash {
	f.t.Helper()
	return f.sendOut(a, f.somebody(a, "root", amount), amount)
}

// some are transfers over all four routes.
func (f *forked) some(n int64) {
	f.t.Helper()
	for i := range n {
		f.in(tokens.FLT, milli(1000+i))
		f.in(tokens.USDC, big.NewInt(1_000_000+i))
		f.out(tokens.FLT, milli(100+i))
		f.out(tokens.USDC, big.NewInt(500_000+i))
	}
}

// paid compares every recipient's balance with what was sent there.
func (f *forked) paid() {
	f.t.Helper()
	ctx := f.t.Context()
	sub, err := f.net.Dep.Subnet, error(nil)
	for h, amount := range f.held {
		got := new(big.Int)
		switch {
		case h.side == "subnet" && h.asset == tokens.FLT:
			got, err = f.b.Subnet.Client().BalanceAt(ctx, h.who, nil)
		default:
			client, token := f.b.Root.Client(), f.net.Dep.Root.Flt
			if h.side == "subnet" {
				client, token = f.b.Subnet.Client(), sub.Replica
			} else if h.asset == tokens.USDC {
				token = f.net.Dep.Root.Usdc
			}
			var raw []byte
			raw, err = client.CallContract(ctx, callMsg(token, usdcABI.PackBalanceOf(h.who)), nil)
			got.SetBytes(raw)
		}
		require.NoError(f.t, err)
		require.Equal(f.t, amount.String(), got.String(), "%s on %s to %s", h.asset, h.side, h.who)
	}
}

// reopen begins to send again after a command sent from the same account.
func (f *forked) reopen() {
	f.t.Helper()
	f.b.Root.Close()
	f.b.Subnet.Close()
	b, err := f.net.Bridge(f.t.Context())
	require.NoError(f.t, err)
	*f.b = *b
}

func (f *forked) before() {
	ctx := f.t.Context()
	require.NoError(f.t, f.b.Approve(ctx, tokens.FLT, maxUint256))
	require.NoError(f.t, f.b.Approve(ctx, tokens.USDC, maxUint256))
	f.sendIn(tokens.USDC, f.b.Root.Address, big.NewInt(100_000_000), tokens.Done)
	f.sendIn(tokens.FLT, f.b.Root.Address, milli(100_000), tokens.Done)
	f.all(90 * time.Second)
	f.some(2)
	f.all(90 * time.Second)
	f.paid()
	f.sound()
}

func (f *forked) dev(method string, arg uint64) {
	f.t.Helper()
	c, err := rpc.DialContext(f.t.Context(), f.net.Info.RootURL)
	require.NoError(f.t, err)
	defer c.Close()
	require.NoError(f.t, c.CallContext(f.t.Context(), nil, method, hexutil.Uint64(arg)))
}

// fork replaces final blocks. What was in them is mined again, as on a real
// chain, but for two deposits whose sender has spent his nonces otherwise.
func (f *forked) fork() {
	ctx, root := f.t.Context(), f.b.Root.Client()
	head, err := root.BlockNumber(ctx)
	require.NoError(f.t, err)
	f.fork0 = head
	// Above the fork and there again: two deposits that keep their nonces, and
	// withdrawals that have been executed.
	f.in(tokens.USDC, big.NewInt(3_000_001))
	f.in(tokens.FLT, milli(3_001))
	f.out(tokens.USDC, big.NewInt(300_001))
	f.out(tokens.FLT, milli(301))
	f.all(90 * time.Second)
	s := f.show()
	f.prefix = s.State.Applied

	// Above the fork and gone.
	for _, amount := range []int64{5_000, 7_000} {
		f.gone = append(f.gone, f.in(tokens.FLT, milli(amount)))
	}
	f.all(90 * time.Second)
	require.Equal(f.t, f.prefix+2, f.show().State.Applied)
	// Out of the subnet and not yet on the root.
	f.out(tokens.USDC, big.NewInt(300_002))
	f.out(tokens.FLT, milli(302))

	f.dev("dev_setMinTip", 1_000_000_000_000)
	var spent []*types.Transaction
	for _, hash := range f.gone {
		tx, _, err := root.TransactionByHash(ctx, hash)
		require.NoError(f.t, err)
		spent = append(spent, tx)
	}
	head, err = root.BlockNumber(ctx)
	require.NoError(f.t, err)
	f.dev("dev_reorg", head-f.fork0)
	twice := func(n *big.Int) *big.Int { return new(big.Int).Mul(n, big.NewInt(10)) }
	for _, tx := range spent {
		to := f.b.Root.Address
		again, err := types.SignNewTx(f.net.User(), types.LatestSignerForChainID(tx.ChainId()), &types.DynamicFeeTx{
			ChainID: tx.ChainId(), Nonce: tx.Nonce(), GasTipCap: twice(tx.GasTipCap()), GasFeeCap: twice(tx.GasFeeCap()), Gas: 50_000, To: &to,
		})
		require.NoError(f.t, err)
		f.eventually(10*time.Second, "the nonce is spent otherwise", func() bool { return root.SendTransaction(ctx, again) == nil })
		delete(f.sent, tx.Hash())
	}
	f.dev("dev_setMinTip", 1)
	// What the root sends now takes the nonces of what is gone.
	f.reopen()
	f.moved = append(f.moved, f.in(tokens.USDC, big.NewInt(11_000_000)), f.in(tokens.FLT, milli(13_000)))
	f.later = f.in(tokens.FLT, milli(17_000))
	for _, tx := range append(f.moved, f.later) {
		receipt, err := f.b.Root.Wait(ctx, tx)
		require.NoError(f.t, err)
		require.Greater(f.t, receipt.BlockNumber.Uint64(), head)
	}
}

// shown is what `recovery show` prints.
type shown struct {
	State   wallet.RecoveryState `json:"state"`
	Next    wallet.Recovery      `json:"next"`
	Blocked string               `json:"blocked"`
}

func (f *forked) show() (s shown) {
	f.t.Helper()
	f.ok(&s, "recovery", "show")
	return s
}

func (f *forked) halted() {
	diverged := f.told(alerts.ParentDiverged, false, 60*time.Second)
	require.Equal(f.t, alerts.Page, diverged.Severity)
	regress := f.told(alerts.FinalityRegress, false, 30*time.Second)
	require.Equal(f.t, alerts.Page, regress.Severity)
	require.Contains(f.t, regress.Summary, "causeway rescan --accept-fork root")
	code, text := f.nodeSays("/readyz")
	require.Equal(f.t, http.StatusServiceUnavailable, code)
	require.Contains(f.t, text, "parent")
	// The subnet goes on by itself; what leaves it waits.
	f.out(tokens.USDC, big.NewInt(300_003))
	f.out(tokens.FLT, milli(303))
	var out string
	f.eventually(30*time.Second, "the lanes stand still", func() bool {
		out, _, code = f.run("lane", "ls")
		return code == 0 && strings.Count(out, "stopped: final blocks of root have changed") >= 2
	}, &out)
	out, _, code = f.run("queue", "ls", "--status", "parked")
	require.Zero(f.t, code)
	require.Contains(f.t, out, "finality_regress")

	s := f.show()
	require.Equal(f.t, f.prefix+2, s.State.Applied)
	require.Equal(f.t, f.prefix, s.Next.TopDownNonce)
	require.Equal(f.t, uint64(1), s.Next.Number)
	out, _, code = f.run("recovery", "show")
	require.Zero(f.t, code)
	require.Contains(f.t, out, "2 messages applied in the subnet are not on this root, and stay applied")
	require.Contains(f.t, out, "causeway recovery cover")
}

// refused runs a command that must fail with these words.
func (f *forked) refused(words string, args ...string) {
	f.t.Helper()
	out, stderr, code := f.run(args...)
	require.Equal(f.t, 1, code, "causeway %s: %s%s", strings.Join(args, " "), out, stderr)
	require.Contains(f.t, stderr, words, "causeway %s", strings.Join(args, " "))
}

// signed is the file with what `recovery sign` prints.
func (f *forked) signed(name string, args ...string) string {
	f.t.Helper()
	out, stderr, code := f.run(append([]string{"recovery", "sign"}, args...)...)
	require.Zero(f.t, code, "%s%s", out, stderr)
	path := f.dir.Sub(name)
	require.NoError(f.t, home.WriteFile(path, []byte(out)))
	return path
}

func (f *forked) withdrawn() {
	var done map[string]any
	f.refused("no recovery waits", "recovery", "execute")
	f.refused("there is nothing to withdraw", "recovery", "withdraw")
	first := f.signed("first.json")
	// The validator's keystore is on another machine.
	key := f.dir.Account("validator").Keystore
	require.NoError(f.t, os.Rename(key, key+".away"))
	f.ok(&done, "recovery", "propose", "--signed", first)
	f.refused("RecoveryPending", "recovery", "propose", "--signed", first)
	s := f.show()
	require.Equal(f.t, uint64(1), s.State.Pending.Number)
	require.Equal(f.t, f.prefix, s.State.Pending.TopDownNonce)
	require.Greater(f.t, time.Until(s.State.ReadyAt), time.Duration(0))
	f.refused("RecoveryNotReady", "recovery", "execute")
	require.NoError(f.t, os.Rename(key+".away", key))

	back := f.signed("back.json", "--withdraw")
	f.ok(&done, "recovery", "withdraw", "--signed", back)
	f.refused("no recovery waits", "recovery", "execute")
	f.refused("RecoveryNumber", "recovery", "propose", "--signed", first)
	s = f.show()
	require.Nil(f.t, s.State.Pending)
	require.Equal(f.t, uint64(2), s.Next.Number)
}

// vouched says whether the node gives out a recovery that a quorum signed.
func (f *forked) vouched() bool {
	c, err := rpc.DialContext(f.t.Context(), f.net.Info.SubnetURL)
	if err != nil {
		return false
	}
	defer c.Close()
	var raw json.RawMessage
	return c.CallContext(f.t.Context(), &raw, "causeway_parentRecovery") == nil && string(raw) != "null"
}

func (f *forked) restartNode() {
	f.t.Helper()
	f.net.Kill("node")
	require.NoError(f.t, f.net.StartNode(f.t.Context()))
}

func (f *forked) executed() {
	ctx := f.t.Context()
	var done map[string]any
	f.ok(&done, "recovery", "propose") // the home's validator signs
	s := f.show()
	f.refused("RecoveryNotReady", "recovery", "execute")
	f.relayer.kill()
	f.launchRelayer()
	f.restartNode()
	shared.Pause(ctx, time.Until(s.State.ReadyAt))
	var stderr string
	f.eventually(10*time.Second, "the recovery is executed", func() bool {
		var code int
		_, stderr, code = f.run("recovery", "execute")
		return code == 0
	}, &stderr)

	// Between the execution and the subnet.
	f.relayer.kill()
	f.restartNode()
	f.eventually(60*time.Second, "the node vouches for the recovery", f.vouched)
	require.Zero(f.t, f.show().State.Committed)
	f.restartNode()
	f.eventually(60*time.Second, "the node vouches for the recovery still", f.vouched)
	require.Zero(f.t, f.show().State.Committed)
	f.launchRelayer()
	f.eventually(60*time.Second, "the subnet goes on", func() bool { return f.show().State.Committed == 2 })
	// And right after.
	f.relayer.kill()
	f.restartNode()
	f.launchRelayer()
	f.eventually(60*time.Second, "the node is ready again", func() bool { code, _ := f.nodeSays("/readyz"); return code == http.StatusOK })
	s = f.show()
	require.Equal(f.t, uint64(2), s.State.Committed)
	require.Equal(f.t, f.prefix, s.State.Applied)
	require.Equal(f.t, uint64(2), s.State.Executed.Number)
}

func (f *forked) delivered() {
	out, stderr, code := f.run("rescan", "--accept-fork", "root")
	require.Zero(f.t, code, "%s%s", out, stderr)
	require.Contains(f.t, out, "its lanes run again")
	f.told(alerts.FinalityRegress, true, 60*time.Second)
	out, _, code = f.run("lane", "ls")
	require.Zero(f.t, code)
	require.NotContains(f.t, out, "stopped")

	// The nonces of what is new were applied before, with what is gone: none of
	// it is in the subnet, and nobody says that it is.
	shared.Pause(f.t.Context(), 3*time.Second)
	for _, tx := range f.moved {
		require.NotEqual(f.t, tokens.Done, f.transfer(tx).Status)
	}
	require.Equal(f.t, f.prefix, f.show().State.Applied)
	var done struct{ Applied uint64 }
	f.ok(&done, "recovery", "deliver")
	require.Equal(f.t, f.prefix+3, done.Applied)

	// What is parked goes on, but for the one deposit whose number the root has
	// given to none of its kind.
	var rows []struct {
		ID    common.Hash `json:"id"`
		Route string      `json:"route"`
	}
	f.ok(&rows, "queue", "ls", "--status", "parked")
	require.Len(f.t, rows, 4)
	var lost []common.Hash
	for _, r := range rows {
		if _, stderr, code := f.run("queue", "retry", r.ID.Hex()); code != 0 {
			require.Contains(f.t, stderr, "one whose beginning is gone")
			lost = append(lost, r.ID)
		}
	}
	require.Len(f.t, lost, 1)
	require.Equal(f.t, lost[0], f.transfer(f.gone[0]).ID)
	_, stderr, code = f.run("queue", "discard", lost[0].Hex(), "--why", "its sender has spent it otherwise")
	require.Zero(f.t, code, "%s", stderr)
	f.sent[f.gone[0]] = want{"flt_deposit", milli(5_000), tokens.Parked}
	f.told(alerts.TransferParked, true, 60*time.Second)
	f.all(90 * time.Second)
	f.paid()
}

// money is I1 of a token, as the relayer's own audit would say it.
func (f *forked) money(token string) (audit.Invariant, bool) {
	f.t.Helper()
	r, err := f.net.Audit(f.t.Context())
	require.NoError(f.t, err)
	for _, i := range r.Invariants {
		if i.ID == "I1" && i.Token == token {
			return i, r.OK
		}
	}
	f.t.Fatalf("no I1 of %s", token)
	return audit.Invariant{}, false
}

func (f *forked) covered() {
	i, _ := f.money("FLT")
	short := milli(12_000).String()
	require.Equal(f.t, "-"+short, i.Drift, "%s %v", i.Detail, i.Terms)
	require.Equal(f.t, []string{short, "0", short}, []string{i.Terms["unbacked"], i.Terms["covered"], i.Terms["shortfall"]})
	require.Contains(f.t, i.Detail, "causeway recovery cover")
	// An alert that is open keeps the words it was raised with, and this one may
	// have been open since the fork: a relayer that starts now says what is now.
	f.relayer.kill()
	f.hook.forget()
	f.launchRelayer()
	drift := f.told(alerts.SupplyDrift, false, 60*time.Second)
	require.Contains(f.t, drift.Summary, short+" of them are not backed: `causeway recovery cover`")
	i, _ = f.money("USDC")
	require.Equal(f.t, "0", i.Drift, "%s %v", i.Detail, i.Terms)
	var done map[string]any
	f.ok(&done, "recovery", "cover", "12")
	f.eventually(20*time.Second, "the drift is gone", func() bool {
		i, _ := f.money("FLT")
		return i.Drift == "0" && i.Terms["shortfall"] == "0" && i.Terms["covered"] == short
	})
	f.told(alerts.SupplyDrift, true, 90*time.Second)
}

func (f *forked) after() {
	f.reopen()
	f.some(2)
	f.all(90 * time.Second)
	f.paid()
	f.sound()
	out, stderr, code := f.run("reconcile")
	require.Zero(f.t, code, "%s%s", out, stderr)
	f.green(30 * time.Second)
}
