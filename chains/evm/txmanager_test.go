package evm

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"
)

// rig is a manager over a fake node and journal, stepped by hand.
type rig struct {
	t       require.TestingT
	node    *fake.Node
	journal *fake.Journal
	client  *Client
	clock   *clock
	key     *ecdsa.PrivateKey
	from    common.Address
	cfg     TxConfig
	m       *TxManager

	wrapClient func(ChainClient) ChainClient
	wrapSigner func(Signer) Signer
}

type tb interface {
	fake.TB
	require.TestingT
	Context() context.Context
}

func newRig(t tb, edits ...func(*TxConfig)) *rig {
	n := fake.NewNode(t, testChain)
	n.SetFinal(3)
	n.MineN(5)
	c, err := Dial(t.Context(), config(n), quiet())
	require.NoError(t, err)
	t.Cleanup(c.Close)
	key, from := fake.NewKey()
	n.Fund(from, ether(1000))
	cfg := TxConfig{RebroadcastAfter: 10 * time.Second, BumpAfter: time.Minute, ForeignLooks: 3}
	for _, edit := range edits {
		edit(&cfg)
	}
	r := &rig{t: t, node: n, journal: fake.NewJournal(), client: c, clock: &clock{time.Unix(1_800_000_000, 0)}, key: key, from: from, cfg: cfg}
	r.journal.Clock(r.clock.now)
	r.restart()
	t.Cleanup(func() { _ = r.m.Close() })
	return r
}

// restart is the death of the process and its successor over the same journal
// and file.
func (r *rig) restart() {
	if r.m != nil {
		_ = r.m.Close()
	}
	var client ChainClient = r.client
	if r.wrapClient != nil {
		client = r.wrapClient(client)
	}
	var signer Signer = keySigner{r.key}
	if r.wrapSigner != nil {
		signer = r.wrapSigner(signer)
	}
	m, err := NewTxManager(client, r.journal, []Signer{signer}, r.cfg, quiet())
	require.NoError(r.t, err)
	m.now = r.clock.now
	r.m = m
}

func payload(key string) chains.Tx {
	return chains.Tx{Key: key, Group: "g", To: other, Data: []byte(key)}
}

func (r *rig) send(key string) {
	require.NoError(r.t, r.m.Send(context.Background(), payload(key)))
}

// look is one pass of the loop, two seconds later.
func (r *rig) look() {
	r.clock.advance(2 * time.Second)
	r.m.look(context.Background())
}

func (r *rig) looks(n int) {
	for range n {
		r.look()
	}
}

func (r *rig) intent(nonce uint64) chains.Intent {
	in, ok, err := r.journal.Intent(context.Background(), testChain, r.from, nonce)
	require.NoError(r.t, err)
	require.True(r.t, ok, "no intent of nonce %d", nonce)
	return in
}

func (r *rig) state(nonce uint64) chains.IntentState { return r.intent(nonce).State }

// finish mines and looks until nothing is undecided.
func (r *rig) finish() {
	for range 60 {
		live, err := r.journal.Live(context.Background(), testChain, r.from)
		require.NoError(r.t, err)
		if len(live) == 0 {
			return
		}
		r.clock.advance(10 * time.Second)
		r.look()
		r.node.Mine()
	}
	live, _ := r.journal.Live(context.Background(), testChain, r.from)
	require.Empty(r.t, live, "undecided for ever")
}

func TestAnIntentGoesFromReservedToSucceeded(t *testing.T) {
	r := newRig(t)
	r.send("a")
	require.Equal(t, chains.IntentSigned, r.state(0))
	require.Len(t, r.node.Pending(r.from), 1)
	in := r.intent(0)
	require.Equal(t, uint64(60_000), in.Gas, "estimate and a fifth")
	require.Equal(t, int64(3_000_000_000), in.Attempts[0].FeeCapWei.Int64())

	r.look()
	require.Equal(t, chains.IntentSigned, r.state(0))
	r.node.Mine()
	r.look()
	require.Equal(t, chains.IntentIncluded, r.state(0))
	r.node.MineN(2)
	r.look()
	require.Equal(t, chains.IntentIncluded, r.state(0), "not final yet")
	r.node.Mine()
	r.look()
	in = r.intent(0)
	require.Equal(t, chains.IntentSucceeded, in.State)
	require.Equal(t, uint64(6), in.Block)
	require.Equal(t, r.node.Hash(6), in.BlockHash)
	require.Equal(t, in.Attempts[0].Hash, in.TxHash)
	require.NotZero(t, in.GasUsed)

	s := r.m.Status()[0]
	r.look()
	s = r.m.Status()[0]
	require.Equal(t, uint64(1), s.FinalNonce)
	require.Equal(t, uint64(1), s.NextNonce)
	require.Zero(t, s.Pending)
	require.Zero(t, s.ForeignNonces)
	require.Empty(t, s.Err)
	require.Equal(t, ether(1000), s.BalanceWei)
}

func TestSendingAKeyAgainChangesNothing(t *testing.T) {
	r := newRig(t)
	r.send("a")
	// On top of itself the payload would revert: the live intent answers first.
	r.node.Reverts(func(common.Address, common.Address, []byte) *fake.Error {
		return &fake.Error{Code: 3, Message: "execution reverted"}
	})
	r.send("a")
	require.Len(t, r.journal.All(testChain, r.from), 1)
	r.node.Mine()
	r.look()
	r.send("a")
	require.Len(t, r.journal.All(testChain, r.from), 1)
	r.finish()
	require.ErrorIs(t, r.m.Send(t.Context(), payload("a")), chains.ErrReverted, "decided: the key is free again")
	require.Equal(t, 1, r.node.Mined([]byte("a")))
}

func TestWhatCannotBeSentTakesNoNonce(t *testing.T) {
	fence := chains.Fence{Lane: "l", Epoch: 1, Counter: 2}
	for name, c := range map[string]struct {
		setup func(*rig)
		tx    chains.Tx
		want  error
	}{
		"a simulation that reverts": {func(r *rig) {
			r.node.Reverts(func(common.Address, common.Address, []byte) *fake.Error {
				return &fake.Error{Code: 3, Message: "execution reverted: no", Data: "0x01020304"}
			})
		}, payload("a"), chains.ErrReverted},
		"an endpoint that is down":     {func(r *rig) { r.node.On("*", fake.HangUp) }, payload("a"), chains.ErrUnavailable},
		"an account that is poor":      {func(r *rig) { r.node.Fund(r.from, big.NewInt(1e12)) }, payload("a"), chains.ErrFunds},
		"a value the account lacks":    {func(*rig) {}, chains.Tx{Key: "a", Group: "g", To: other, Value: ether(1001)}, chains.ErrFunds},
		"fees above the ceiling":       {func(r *rig) { r.node.SetFees(600e9, 1e9); r.node.Mine() }, payload("a"), ErrFees},
		"fees of 10^30":                {func(r *rig) { r.node.On("eth_maxPriorityFeePerGas", fake.Answer("-0x1")) }, payload("a"), chains.ErrUnavailable},
		"more gas than allowed":        {func(r *rig) { r.node.On("eth_estimateGas", fake.Answer("0xffffffffff")) }, payload("a"), errAny},
		"a fence that is no longer it": {func(r *rig) { r.journal.Grant(chains.Fence{Lane: "l", Epoch: 1, Counter: 3}) }, chains.Tx{Key: "a", To: other, Members: []common.Hash{{1}}, Fence: fence}, chains.ErrStale},
		"no key":                       {func(*rig) {}, chains.Tx{To: other}, errAny},
		"members without a fence":      {func(*rig) {}, chains.Tx{Key: "a", To: other, Members: []common.Hash{{1}}}, errAny},
		"a negative value":             {func(*rig) {}, chains.Tx{Key: "a", To: other, Value: big.NewInt(-1)}, errAny},
		"too much data":                {func(*rig) {}, chains.Tx{Key: "a", To: other, Data: make([]byte, 200<<10)}, errAny},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			c.setup(r)
			err := r.m.Send(t.Context(), c.tx)
			require.Error(t, err)
			if !errors.Is(c.want, errAny) {
				require.ErrorIs(t, err, c.want)
			}
			require.Empty(t, r.journal.All(testChain, r.from))
			require.Empty(t, r.node.Pending(r.from))
			if errors.Is(c.want, chains.ErrFunds) {
				require.True(t, r.m.Status()[0].LowFunds)
				r.node.Fund(r.from, ether(5000))
				r.clock.advance(2 * time.Second)
				require.NoError(t, r.m.Send(t.Context(), c.tx))
				require.False(t, r.m.Status()[0].LowFunds)
			}
		})
	}
}

var errAny = errors.New("any")

func TestAHugeTipIsCutToTheCeiling(t *testing.T) {
	r := newRig(t)
	r.node.On("eth_maxPriorityFeePerGas", fake.Answer("0xc9f2c9cd04674edea40000000"))
	r.send("a")
	a := r.intent(0).Attempts[0]
	require.Equal(t, int64(50e9), a.TipWei.Int64())
	require.Equal(t, int64(52e9), a.FeeCapWei.Int64())
}

func TestInFlightAndMembersAreBounded(t *testing.T) {
	r := newRig(t, func(c *TxConfig) { c.MaxInFlight = 3 })
	fence := chains.Fence{Lane: "l", Epoch: 1, Counter: 1}
	r.journal.Grant(fence)
	tx := payload("a")
	tx.Members, tx.Fence = []common.Hash{{1}, {2}}, fence
	require.NoError(t, r.m.Send(t.Context(), tx))
	tx.Key, tx.Members = "b", []common.Hash{{2}, {3}}
	require.ErrorIs(t, r.m.Send(t.Context(), tx), chains.ErrBusy)
	r.send("c")
	r.send("d")
	require.ErrorIs(t, r.m.Send(t.Context(), payload("e")), chains.ErrBusy)
	r.finish()
	require.NoError(t, r.m.Send(t.Context(), tx), "decided: the members are free")
	require.Equal(t, []uint64{0, 1, 2}, r.node.Nonces(r.from))
}

// TestACapOfItsOwnBoundsWhatAnEstimateMayGive estimates 50,000 gas, and a fifth.
func TestACapOfItsOwnBoundsWhatAnEstimateMayGive(t *testing.T) {
	for _, c := range []struct{ limit, want uint64 }{{0, 60_000}, {70_000, 60_000}, {55_000, 55_000}, {50_000, 50_000}, {49_999, 0}, {1 << 40, 60_000}} {
		r := newRig(t)
		tx := payload("a")
		tx.GasCap = c.limit
		err := r.m.Send(t.Context(), tx)
		if c.want == 0 {
			require.ErrorIs(t, err, chains.ErrGasLimit)
			require.Empty(t, r.node.Pending(r.from))
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.want, r.intent(0).Gas, "cap %d", c.limit)
	}
}

func TestASimulationRightAfterALaneMateIsNotBelieved(t *testing.T) {
	r := newRig(t)
	fence := chains.Fence{Lane: "l", Epoch: 1, Counter: 1}
	tx := payload("a")
	tx.Fence = fence
	require.NoError(t, r.m.Send(t.Context(), tx))
	r.node.Reverts(func(common.Address, common.Address, []byte) *fake.Error {
		return &fake.Error{Code: 3, Message: "execution reverted"}
	})
	tx.Key = "b"
	err := r.m.Send(t.Context(), tx)
	require.ErrorIs(t, err, chains.ErrUnavailable)
	require.NotErrorIs(t, err, chains.ErrReverted)
	r.clock.advance(5 * time.Second)
	require.ErrorIs(t, r.m.Send(t.Context(), tx), chains.ErrReverted)
}

func TestARevertedTransactionFreesKeyAndMembers(t *testing.T) {
	r := newRig(t)
	r.node.Execute(func(common.Address, *types.Transaction) (bool, []*types.Log) { return false, nil })
	r.send("a")
	r.finish()
	require.Equal(t, chains.IntentReverted, r.state(0))
	r.node.Execute(nil)
	r.send("a")
	r.finish()
	require.Equal(t, chains.IntentSucceeded, r.state(1))
}

// What a node does to a broadcast, and that one transaction comes of it.
func TestABroadcastThatGoesWrongIsRepeated(t *testing.T) {
	for name, break_ := range map[string]func(*rig){
		"accepted and dropped":  func(r *rig) { r.node.AcceptAndDrop(true) },
		"never arrived":         func(r *rig) { r.node.On("eth_sendRawTransaction", fake.HangUp) },
		"reply lost":            func(r *rig) { r.node.On("eth_sendRawTransaction", fake.LoseReply) },
		"pool full":             func(r *rig) { r.node.On("eth_sendRawTransaction", fake.Fail(-32000, "txpool is full", nil)) },
		"rate limited":          func(r *rig) { r.node.On("eth_sendRawTransaction", fake.Fail(-32005, "rate limit", nil)) },
		"unknown error":         func(r *rig) { r.node.On("eth_sendRawTransaction", fake.Fail(-32000, "boom", nil)) },
		"a lie: nonce too low":  func(r *rig) { r.node.On("eth_sendRawTransaction", fake.Fail(-32000, "nonce too low", nil)) },
		"a lie: already known":  func(r *rig) { r.node.On("eth_sendRawTransaction", fake.Fail(-32000, "already known", nil)) },
		"a lie: nonce too high": func(r *rig) { r.node.On("eth_sendRawTransaction", fake.Fail(-32000, "nonce too high", nil)) },
		"a lie: no funds":       func(r *rig) { r.node.On("eth_sendRawTransaction", fake.Fail(-32000, "insufficient funds", nil)) },
		"a lie: intrinsic gas":  func(r *rig) { r.node.On("eth_sendRawTransaction", fake.Fail(-32000, "intrinsic gas too low", nil)) },
		"answers another type":  func(r *rig) { r.node.On("eth_sendRawTransaction", fake.Answer([]int{1})) },
		"a lie: underpriced": func(r *rig) {
			r.node.On("eth_sendRawTransaction", fake.Fail(-32000, "replacement transaction underpriced", nil))
		},
		"everything down for now": func(r *rig) {
			r.node.On("eth_sendRawTransaction", func(c *fake.Call, _ func()) { r.node.On("*", fake.HangUp); c.HangUp = true })
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			break_(r)
			r.send("a")
			r.looks(3)
			require.False(t, r.state(0).Decided())
			r.node.Clear()
			r.finish()
			require.Equal(t, chains.IntentSucceeded, r.state(0))
			require.Equal(t, 1, r.node.Mined([]byte("a")))
			require.Equal(t, []uint64{0}, r.node.Nonces(r.from))
		})
	}
}

func TestADroppedPoolIsFilledAgainWithoutABump(t *testing.T) {
	r := newRig(t)
	r.send("a")
	r.send("b")
	r.node.DropPool()
	r.looks(3)
	require.Empty(t, r.node.Pending(r.from), "not yet time")
	r.looks(3)
	require.Len(t, r.node.Pending(r.from), 2)
	require.Len(t, r.intent(0).Attempts, 1)
	r.finish()
	require.Equal(t, chains.IntentSucceeded, r.state(1))
}

func TestAFeeSpikeIsFollowedByBumpsThatPoolsAccept(t *testing.T) {
	r := newRig(t)
	r.send("a")
	r.send("b")
	r.node.SetFees(20e9, 2e9)
	r.node.Mine()
	require.Empty(t, r.node.Nonces(r.from))
	for range 40 {
		r.look()
	}
	first, second := r.intent(0).Attempts[0], r.intent(0).Attempts[1]
	require.Len(t, r.intent(0).Attempts, 2)
	require.Equal(t, int64(42e9), second.FeeCapWei.Int64(), "the market, since it asks for more")
	require.NotEqual(t, first.Hash, second.Hash)
	require.Len(t, r.intent(1).Attempts, 1, "the one behind waits for its turn")
	r.node.Mine()
	r.look()
	require.Equal(t, second.Hash, r.intent(0).TxHash)
	for range 40 {
		r.look()
	}
	require.Len(t, r.intent(1).Attempts, 2, "its clock began when it came to the head")
	r.finish()
	require.Equal(t, chains.IntentSucceeded, r.state(0))
	require.Equal(t, chains.IntentSucceeded, r.state(1))
}

func TestTheFirstHashMayLandAfterABump(t *testing.T) {
	r := newRig(t)
	r.send("a")
	old := r.node.Pending(r.from)[0]
	r.node.SetFees(20e9, 2e9)
	r.looks(40)
	require.Len(t, r.intent(0).Attempts, 2)
	// The miner had the old one after all.
	r.node.DropPool()
	r.node.SetFees(1e9, 1e9)
	require.Nil(t, r.node.Submit(old))
	r.node.Mine()
	r.finish()
	in := r.intent(0)
	require.Equal(t, chains.IntentSucceeded, in.State)
	require.Equal(t, old.Hash(), in.TxHash)
	require.Equal(t, 1, r.node.Mined([]byte("a")))
}

func TestAtTheCeilingTheTransactionIsSentOnAndAPersonTold(t *testing.T) {
	r := newRig(t, func(c *TxConfig) { c.MaxFeeCapWei, c.MaxTipWei = big.NewInt(8e9), big.NewInt(4e9) })
	r.send("a")
	r.node.SetFees(50e9, 2e9)
	for range 300 {
		r.look()
	}
	in := r.intent(0)
	last := in.Attempts[len(in.Attempts)-1]
	require.LessOrEqual(t, last.FeeCapWei.Int64(), int64(8e9))
	require.Less(t, len(in.Attempts), 15)
	require.True(t, r.m.Status()[0].AtCeiling)
	before := r.node.Calls("eth_sendRawTransaction")
	r.looks(30)
	require.Greater(t, r.node.Calls("eth_sendRawTransaction"), before+3)
	r.node.SetFees(1e9, 1e9)
	r.finish()
	require.Equal(t, chains.IntentSucceeded, r.state(0))
	r.look()
	require.False(t, r.m.Status()[0].AtCeiling)
}

func TestAReorgTakesAnIntentBackAndTheSameBytesAreSentAgain(t *testing.T) {
	for _, forget := range []bool{false, true} {
		t.Run(fmt.Sprint(forget), func(t *testing.T) {
			r := newRig(t)
			r.send("a")
			raw := r.intent(0).Attempts[0].Raw
			r.node.Mine()
			r.look()
			require.Equal(t, chains.IntentIncluded, r.state(0))
			r.node.Reorg(2, forget)
			r.look()
			in := r.intent(0)
			require.Equal(t, chains.IntentSigned, in.State)
			require.Equal(t, common.Hash{}, in.BlockHash)
			r.look()
			require.Len(t, r.node.Pending(r.from), 1)
			require.Len(t, r.intent(0).Attempts, 1)
			require.Equal(t, raw, r.intent(0).Attempts[0].Raw)
			r.finish()
			require.Equal(t, chains.IntentSucceeded, r.state(0))
			require.Equal(t, 1, r.node.Mined([]byte("a")))
		})
	}
}

func TestAForeignTransactionIsCalledThatOnlyWhenItIsFinal(t *testing.T) {
	r := newRig(t)
	r.node.AcceptAndDrop(true)
	r.send("a")
	r.node.AcceptAndDrop(false)
	require.Nil(t, r.node.Submit(r.node.Sign(r.key, 0, ours, []byte("thief"), 2e9, 9e9)))
	r.node.Mine()
	r.looks(10)
	require.Equal(t, chains.IntentSigned, r.state(0), "its block is not final")
	r.node.MineN(3)
	r.looks(2)
	require.Equal(t, chains.IntentSigned, r.state(0), "two looks are not three")
	r.look()
	require.Equal(t, chains.IntentForeign, r.state(0))
	require.Equal(t, uint64(1), r.m.Status()[0].ForeignNonces)
	r.send("a")
	r.finish()
	require.Equal(t, chains.IntentSucceeded, r.state(1))
	require.Equal(t, 1, r.node.Mined([]byte("a")))
}

func TestAForeignUseWithoutAnIntentIsReported(t *testing.T) {
	r := newRig(t)
	r.look()
	require.Nil(t, r.node.Submit(r.node.Sign(r.key, 0, ours, []byte("thief"), 2e9, 9e9)))
	r.node.MineN(5)
	r.clock.advance(time.Minute)
	r.look()
	require.Equal(t, uint64(1), r.m.Status()[0].ForeignNonces)
	r.clock.advance(time.Minute)
	r.look()
	require.Equal(t, uint64(1), r.m.Status()[0].ForeignNonces)
	r.send("a")
	r.finish()
	require.Equal(t, chains.IntentSucceeded, r.state(1))
}

// B16: receipts that are missing, late, another's or of a lost block.
func TestReceiptsThatLieDecideNothing(t *testing.T) {
	other := common.HexToHash("0x77")
	for name, fault := range map[string]fake.Fault{
		"missing":               fake.Answer(nil),
		"of another hash":       fake.Edit(func(m map[string]any) { m["transactionHash"] = other }),
		"of another block":      fake.Edit(func(m map[string]any) { m["blockHash"] = other }),
		"of the future":         fake.Edit(func(m map[string]any) { m["blockNumber"] = "0xffffff" }),
		"of genesis":            fake.Edit(func(m map[string]any) { m["blockNumber"] = "0x0" }),
		"without a status":      fake.Edit(func(m map[string]any) { delete(m, "status") }),
		"with a status of two":  fake.Edit(func(m map[string]any) { m["status"] = "0x2" }),
		"with a negative block": fake.Edit(func(m map[string]any) { m["blockNumber"] = "-0x6" }),
		"refused":               fake.Fail(-32000, "boom", nil),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.send("a")
			r.node.On("eth_getTransactionReceipt", fault)
			r.node.MineN(8)
			r.looks(20)
			require.False(t, r.state(0).Decided(), "%s", r.state(0))
			require.Len(t, r.intent(0).Attempts, 1, "never bumped once the nonce is used")
			r.node.Clear()
			r.looks(3)
			require.Equal(t, chains.IntentSucceeded, r.state(0))
		})
	}
}

func TestAnAbandonedNonceIsFilledByANoOp(t *testing.T) {
	r := newRig(t)
	r.send("a")
	r.send("b")
	r.node.SetFees(20e9, 2e9)
	found, err := r.m.Abandon(t.Context(), "a")
	require.NoError(t, err)
	require.True(t, found)
	found, err = r.m.Abandon(t.Context(), "nobody")
	require.NoError(t, err)
	require.False(t, found)
	r.looks(2)
	noOp := r.node.Pending(r.from)[0]
	require.Equal(t, r.from, *noOp.To())
	require.Zero(t, noOp.Value().Sign())
	require.Empty(t, noOp.Data())
	r.finish()
	require.Equal(t, chains.IntentReplaced, r.state(0))
	require.Equal(t, chains.IntentSucceeded, r.state(1))
	require.Zero(t, r.node.Mined([]byte("a")))

	// The payload may be faster than its no-op.
	r.node.SetFees(1e9, 1e9)
	r.clock.advance(time.Minute)
	r.send("c")
	_, err = r.m.Abandon(t.Context(), "c")
	require.NoError(t, err)
	r.node.Mine()
	r.finish()
	require.Equal(t, chains.IntentSucceeded, r.state(2))
}

func TestGroupsStickToKeysAndSpreadOverThem(t *testing.T) {
	r := newRig(t)
	var signers []Signer
	for range 4 {
		key, from := fake.NewKey()
		r.node.Fund(from, ether(10))
		signers = append(signers, keySigner{key})
	}
	m, err := NewTxManager(r.client, r.journal, signers, r.cfg, quiet())
	require.NoError(t, err)
	back, err := NewTxManager(r.client, r.journal, []Signer{signers[3], signers[1], signers[0], signers[2]}, r.cfg, quiet())
	require.NoError(t, err)
	less, err := NewTxManager(r.client, r.journal, signers[:3], r.cfg, quiet())
	require.NoError(t, err)
	used := map[common.Address]int{}
	for i := range 100 {
		group := fmt.Sprintf("group-%d", i)
		a := m.pick(group).address
		used[a]++
		require.Equal(t, a, back.pick(group).address, "the order of the keys does not matter")
		if a != signers[3].Address() {
			require.Equal(t, a, less.pick(group).address, "only the groups of a lost key move")
		}
	}
	require.Len(t, used, 4)
	_, err = NewTxManager(r.client, r.journal, append(signers, signers[0]), r.cfg, quiet())
	require.ErrorContains(t, err, "twice")
	_, err = NewTxManager(r.client, r.journal, nil, r.cfg, quiet())
	require.Error(t, err)
}

// crashed is the panic that stands for the end of a process.
type crashed struct{}

type crashClient struct {
	ChainClient
	before, after func()
}

func (c crashClient) SendRaw(ctx context.Context, raw []byte) error {
	c.before()
	err := c.ChainClient.SendRaw(ctx, raw)
	c.after()
	return err
}

type crashSigner struct {
	Signer
	after func()
}

func (s crashSigner) SignTx(tx *types.Transaction, id *big.Int) (*types.Transaction, error) {
	out, err := s.Signer.SignTx(tx, id)
	s.after()
	return out, err
}

func dies(f func()) (died bool) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(crashed); !ok {
				panic(p)
			}
			died = true
		}
	}()
	f()
	return false
}

// Each crash point of the manager, first in Send and then, for those the loop
// passes too, in the loop.
func TestARestartAtEveryPointEndsInOneTransaction(t *testing.T) {
	for _, withFile := range []bool{true, false} {
		for _, point := range []string{"after_reserve", "after_sign", "after_file", "after_store", "after_broadcast", "after_included", "after_decided"} {
			t.Run(fmt.Sprintf("%s/file=%v", point, withFile), func(t *testing.T) {
				armed := ""
				at := func(name string) func() {
					return func() {
						if armed == name {
							armed = ""
							panic(crashed{})
						}
					}
				}
				r := newRig(t, func(c *TxConfig) {
					if withFile {
						c.IntentsFile = filepath.Join(t.TempDir(), "intents")
					}
				})
				r.wrapClient = func(c ChainClient) ChainClient { return crashClient{c, at("before_send"), at("after_broadcast")} }
				r.wrapSigner = func(s Signer) Signer { return crashSigner{s, at("after_sign")} }
				r.journal.Before = func(op string, _ chains.Intent) error {
					if op == "save_attempt" {
						at("after_file")()
					}
					return nil
				}
				r.journal.After = func(op string, in chains.Intent) error {
					switch {
					case op == "reserve":
						at("after_reserve")()
					case op == "save_attempt":
						at("after_store")()
					case op == "update" && in.State == chains.IntentIncluded:
						at("after_included")()
					case op == "update" && in.State.Decided():
						at("after_decided")()
					}
					return nil
				}
				r.restart()

				armed = point
				died := dies(func() {
					_ = r.m.Send(t.Context(), payload("a"))
					for range 10 {
						r.look()
						r.node.Mine()
					}
				})
				require.True(t, died)
				r.restart()
				// The flow asks again, as it may at any time, unless it was decided.
				if !r.state(0).Decided() {
					require.NoError(t, r.m.Send(t.Context(), payload("a")))
				}
				r.finish()
				require.Len(t, r.journal.All(testChain, r.from), 1)
				require.Equal(t, chains.IntentSucceeded, r.state(0))
				require.Equal(t, 1, r.node.Mined([]byte("a")))
				require.Equal(t, []uint64{0}, r.node.Nonces(r.from))
			})
		}
	}
}

func TestAPayloadThatBecamePointlessBeforeItWasSignedGivesWayToANoOp(t *testing.T) {
	r := newRig(t)
	r.journal.After = func(op string, _ chains.Intent) error {
		if op == "reserve" {
			panic(crashed{})
		}
		return nil
	}
	require.True(t, dies(func() { r.send("a") }))
	r.journal.After = nil
	r.node.Reverts(func(_, to common.Address, _ []byte) *fake.Error {
		if to == other {
			return &fake.Error{Code: 3, Message: "execution reverted: already done"}
		}
		return nil
	})
	r.restart()
	r.finish()
	require.Equal(t, chains.IntentReplaced, r.state(0))
	require.Zero(t, r.node.Mined([]byte("a")))
	require.Equal(t, []uint64{0}, r.node.Nonces(r.from))
}

func TestTheFileGivesBackWhatTheJournalForgot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "intents")
	r := newRig(t, func(c *TxConfig) { c.IntentsFile = file })
	r.send("a")
	r.send("b")
	hash := r.intent(1).Attempts[0].Hash
	r.journal.Forget(testChain, r.from, 1) // the last second is lost
	r.restart()
	r.send("c") // would have taken nonce 1
	require.Equal(t, "b", r.intent(1).Key)
	require.Equal(t, hash, r.intent(1).Attempts[0].Hash)
	require.Equal(t, "c", r.intent(2).Key)
	r.finish()
	for _, key := range []string{"a", "b", "c"} {
		require.Equal(t, 1, r.node.Mined([]byte(key)), key)
	}

	// A longer loss: what is final by now is given back too, and decided again.
	r.journal.Forget(testChain, r.from, 1)
	r.restart()
	r.send("d")
	require.Equal(t, "d", r.intent(3).Key)
	r.finish()
	require.Equal(t, "b", r.intent(1).Key)
	require.Equal(t, chains.IntentSucceeded, r.state(1))
	require.Equal(t, 1, r.node.Mined([]byte("b")))

	// What is final long ago leaves the file.
	require.Equal(t, 4, r.m.file.size())
	require.NoError(t, r.m.compact(map[common.Address]uint64{r.from: remember + 3}))
	require.Equal(t, 1, r.m.file.size())
	require.Equal(t, uint64(3), r.m.file.intents()[0].Nonce)
}

// Hundreds of rows, most of them long past: each is there again and ends as the
// chain says, and only what may still be sent carries its payload.
func TestAJournalThatLostEverythingGetsAllRowsBack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "intents")
	r := newRig(t, func(c *TxConfig) { c.IntentsFile = file })
	for n := range 60 {
		r.send(fmt.Sprint(n))
		if n%10 == 9 && n < 50 {
			r.finish()
		}
	}
	for n := range uint64(60) {
		r.journal.Forget(testChain, r.from, n)
	}
	r.restart()
	// Many rows go to the journal at once.
	var mu sync.Mutex
	carried := map[bool]int{}
	r.journal.Before = func(op string, in chains.Intent) error {
		if op == "replay" {
			mu.Lock()
			defer mu.Unlock()
			carried[len(in.Data) > 0 && len(in.Attempts[0].Raw) > 0]++
		}
		return nil
	}
	require.NoError(t, r.m.recover(t.Context()))
	require.Equal(t, map[bool]int{true: 10, false: 50}, carried)
	r.finish()
	all := r.journal.All(testChain, r.from)
	require.Len(t, all, 60)
	for n, in := range all {
		require.Equal(t, fmt.Sprint(n), in.Key)
		require.Equal(t, chains.IntentSucceeded, in.State)
		require.Equal(t, 1, r.node.Mined([]byte(in.Key)))
	}
}

// An endpoint that calls nonces final which are not makes their rows come back
// bare. Without its payload nothing is signed for them but a no-op.
func TestARowThatCameBackBareIsNeverSignedAsAnotherCall(t *testing.T) {
	file := filepath.Join(t.TempDir(), "intents")
	r := newRig(t, func(c *TxConfig) { c.IntentsFile = file })
	r.node.AcceptAndDrop(true)
	r.send("a")
	r.journal.Forget(testChain, r.from, 0)
	r.node.On("eth_getTransactionCount", func(c *fake.Call, _ func()) { c.Result = "0x1" })
	r.restart()
	require.NoError(t, r.m.recover(t.Context()))
	require.Empty(t, r.intent(0).Data)
	r.node.On("eth_getTransactionCount", nil)
	r.node.AcceptAndDrop(false)
	r.finish()
	require.Equal(t, chains.IntentReplaced, r.state(0))
	require.Equal(t, []uint64{0}, r.node.Nonces(r.from))
}

func TestTheFileGivesBackAnAttemptTheJournalForgot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "intents")
	r := newRig(t, func(c *TxConfig) { c.IntentsFile = file })
	r.send("a")
	in := r.intent(0)
	// The journal is rolled back to the moment after the reservation.
	r.journal.Forget(testChain, r.from, 0)
	hash := in.Attempts[0].Hash
	in.State, in.Attempts = chains.IntentReserved, nil
	require.NoError(t, r.journal.Replay(t.Context(), in))
	require.Equal(t, chains.IntentReserved, r.state(0))
	r.restart()
	r.look()
	require.Equal(t, hash, r.intent(0).Attempts[0].Hash)
	r.finish()
	require.Len(t, r.intent(0).Attempts, 1)
	require.Equal(t, 1, r.node.Mined([]byte("a")))
}

func TestAHoleIsFilled(t *testing.T) {
	r := newRig(t)
	r.node.AcceptAndDrop(true)
	r.send("a")
	r.node.AcceptAndDrop(false)
	r.send("b")
	r.journal.Forget(testChain, r.from, 0) // and no file
	r.restart()
	r.finish()
	require.Equal(t, []uint64{0, 1}, r.node.Nonces(r.from))
	require.Equal(t, chains.IntentReplaced, r.state(0))
	require.Equal(t, chains.IntentSucceeded, r.state(1))
}

func TestATornFileIsMendedAndADamagedOneRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "intents")
	r := newRig(t, func(c *TxConfig) { c.IntentsFile = file })
	_, err := NewTxManager(r.client, r.journal, []Signer{keySigner{r.key}}, r.cfg, quiet())
	require.ErrorContains(t, err, "another process")
	r.send("a")
	r.send("b")
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	for cut := 1; cut < 200; cut += 13 {
		require.NoError(t, r.m.Close())
		require.NoError(t, os.WriteFile(file, whole[:len(whole)-cut], 0o600))
		r.restart()
		require.Equal(t, 1, r.m.file.size())
	}
	require.NoError(t, r.m.Close())
	damaged := append([]byte(nil), whole...)
	damaged[40] ^= 1
	require.NoError(t, os.WriteFile(file, damaged, 0o600))
	_, err = NewTxManager(r.client, r.journal, []Signer{keySigner{r.key}}, r.cfg, quiet())
	require.ErrorIs(t, err, errDamaged)
	require.NoError(t, os.WriteFile(file, whole, 0o600))
	r.restart()
	require.Equal(t, 2, r.m.file.size())
	require.Len(t, r.m.file.intents(), 2)
}

func TestASignerThatSignsSomethingElseIsNotBroadcast(t *testing.T) {
	r := newRig(t)
	r.wrapSigner = func(s Signer) Signer { return evilSigner{s, r.key} }
	r.restart()
	r.send("a")
	require.Equal(t, chains.IntentReserved, r.state(0))
	require.Empty(t, r.node.Pending(r.from))
	r.wrapSigner = nil
	r.restart()
	r.finish()
	require.Equal(t, 1, r.node.Mined([]byte("a")))
}

type evilSigner struct {
	Signer
	key *ecdsa.PrivateKey
}

func (s evilSigner) SignTx(_ *types.Transaction, id *big.Int) (*types.Transaction, error) {
	return types.SignNewTx(s.key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{ChainID: id, To: &ours, Value: ether(1), Gas: 21000, GasFeeCap: big.NewInt(9e9)})
}

func TestAReplacementNeverCarriesAnotherPayload(t *testing.T) {
	r := newRig(t)
	r.send("a")
	in := r.intent(0)
	// The journal lost the call data of an intent, or they were changed.
	r.journal.Forget(testChain, r.from, 0)
	in.Data = nil
	require.NoError(t, r.journal.Replay(t.Context(), in))
	r.node.SetFees(20e9, 2e9)
	r.node.Mine()
	r.looks(60)
	require.Len(t, r.intent(0).Attempts, 1)
	require.Contains(t, r.m.Status()[0].Err, "[BUG]")
	r.node.SetFees(1e9, 1e9)
	r.finish()
	require.Equal(t, 1, r.node.Mined([]byte("a")))
	require.Equal(t, []uint64{0}, r.node.Nonces(r.from))
}

func TestTwoManagersOverOneJournalDoNotHarmEachOther(t *testing.T) {
	r := newRig(t)
	twin, err := NewTxManager(r.client, r.journal, []Signer{keySigner{r.key}}, r.cfg, quiet())
	require.NoError(t, err)
	twin.now = r.clock.now
	for i := range 6 {
		key := fmt.Sprint(i)
		r.send(key)
		require.NoError(t, twin.Send(t.Context(), payload(key)))
		require.NoError(t, twin.Send(t.Context(), payload("t"+key)))
	}
	r.node.SetFees(20e9, 2e9)
	for range 60 {
		r.look()
		twin.look(t.Context())
	}
	r.node.SetFees(1e9, 1e9)
	r.finish()
	twin.look(t.Context())
	require.Len(t, r.node.Nonces(r.from), 12)
	for i := range 6 {
		require.Equal(t, 1, r.node.Mined([]byte(fmt.Sprint(i))))
		require.Equal(t, 1, r.node.Mined([]byte(fmt.Sprint("t", i))))
	}
}

func TestRunSeesIntentsThroughAndEndsWithItsContext(t *testing.T) {
	r := newRig(t, func(c *TxConfig) { c.Tick = 5 * time.Millisecond })
	r.m.now = time.Now
	r.journal.Clock(time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.m.Run(ctx) }()
	for i := range 5 {
		r.send(fmt.Sprint(i))
	}
	require.Eventually(t, func() bool {
		r.node.Mine()
		live, err := r.journal.Live(ctx, testChain, r.from)
		return err == nil && len(live) == 0
	}, 10*time.Second, 5*time.Millisecond)
	cancel()
	require.NoError(t, <-done)
	require.Equal(t, []uint64{0, 1, 2, 3, 4}, r.node.Nonces(r.from))
}

func BenchmarkSend(b *testing.B) {
	r := newRig(b, func(c *TxConfig) { c.IntentsFile = filepath.Join(b.TempDir(), "intents"); c.MaxInFlight = 64 })
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if i%60 == 59 {
			b.StopTimer()
			r.finish()
			b.StartTimer()
		}
		if err := r.m.Send(b.Context(), payload(fmt.Sprint(i))); err != nil {
			b.Fatal(err)
		}
	}
}

// countingClient counts the receipts asked for; where null is set no height has
// a block.
type countingClient struct {
	ChainClient
	receipts *int
	null     *bool
}

func (c countingClient) BlockByNumber(ctx context.Context, n uint64) (chains.Block, error) {
	if *c.null {
		return chains.Block{}, fmt.Errorf("block %d: %w", n, ErrNullRound)
	}
	return c.ChainClient.BlockByNumber(ctx, n)
}

func (c countingClient) Receipts(ctx context.Context, hashes []common.Hash) ([]*Receipt, error) {
	*c.receipts += len(hashes)
	return c.ChainClient.Receipts(ctx, hashes)
}

// TestAReceiptIsReadTwice: when it comes and when its block is final. Between the
// two a header tells whether it is still there; a receipt carries the logs of
// everything that rode in the transaction.
func TestAReceiptIsReadTwice(t *testing.T) {
	r, asked, null := newRig(t), 0, false
	r.wrapClient = func(c ChainClient) ChainClient { return countingClient{c, &asked, &null} }
	r.restart()
	r.send("a")
	r.node.Mine()
	r.look()
	require.Equal(t, chains.IntentIncluded, r.state(0))
	require.Equal(t, 1, asked)
	r.node.Mine()
	r.looks(5)
	require.Equal(t, chains.IntentIncluded, r.state(0))
	require.Equal(t, 1, asked)

	// Where the header says nothing the receipt does.
	null = true
	r.look()
	require.Equal(t, chains.IntentIncluded, r.state(0))
	require.Equal(t, 2, asked)
	null, asked = false, 1

	// Its block goes away, and it comes back in another one.
	r.node.Reorg(2, false)
	r.look()
	require.Equal(t, chains.IntentSigned, r.state(0))
	require.Equal(t, 2, asked)
	r.look() // sends it again
	require.Equal(t, 3, asked)
	r.node.Mine()
	r.look()
	require.Equal(t, chains.IntentIncluded, r.state(0))
	r.node.MineN(3)
	r.look()
	require.Equal(t, chains.IntentSucceeded, r.state(0))
	require.Equal(t, 5, asked)
}

// TestBehindAClosedGateNothingNewIsSent and what was signed before goes on.
func TestBehindAClosedGateNothingNewIsSent(t *testing.T) {
	r := newRig(t)
	var shut error
	r.cfg.Gate = func() error { return shut }
	r.restart()
	r.send("a")
	shut = errors.New("two endpoints differ")
	err := r.m.Send(t.Context(), payload("b"))
	require.ErrorIs(t, err, chains.ErrUnavailable)
	require.ErrorIs(t, err, shut)
	require.NoError(t, r.m.Send(t.Context(), payload("a")), "it is on its way")
	r.node.DropPool()
	r.clock.advance(time.Minute)
	r.look()
	require.Len(t, r.node.Pending(r.from), 1, "sent again")
	live, err := r.journal.Live(t.Context(), testChain, r.from)
	require.NoError(t, err)
	require.Len(t, live, 1)

	// What was reserved and never signed waits as well.
	_, _, err = r.journal.Reserve(t.Context(), testChain, r.from, payload("c"), 0, 16)
	require.NoError(t, err)
	r.clock.advance(time.Hour)
	r.looks(3)
	require.Equal(t, chains.IntentReserved, r.state(1))
	shut = nil
	r.looks(3)
	require.Equal(t, chains.IntentSigned, r.state(1))
	r.send("b")
	r.finish()
	require.Equal(t, chains.IntentSucceeded, r.state(2))
}
