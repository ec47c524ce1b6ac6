package flow_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// theirs is the subnet of every test with published contracts on both sides.
func theirs() flow.Subnet {
	s := sub()
	s.FastWithdrawals, s.Outbox = common.Address{}, common.Address{}
	s.Traits = flow.Traits{Implicit: true, Burning: true}
	return s
}

func theirFlows(search flow.SearchFunc) map[string]flow.Flow {
	s, out := theirs(), map[string]flow.Flow{}
	for _, f := range []flow.Flow{
		flow.TopDown(s, flow.DeliverDeps{}), flow.Checkpoint(s, flow.CheckpointDeps{}),
		flow.PublishedFLTDeposit(s, flow.DeliverDeps{}), flow.PublishedUSDCDeposit(s, flow.DeliverDeps{}),
		flow.PublishedFLTWithdraw(s, search), flow.PublishedUSDCWithdraw(s, search),
	} {
		out[f.Name] = f
	}
	return out
}

// result answers an id, down from the root or up from the subnet.
func result(id common.Hash, outcome uint8) ipc.IpcEnvelope {
	return envelope(ipc.KindResult, 9, 0, ipc.EncodeResult(ipc.ResultMsg{Id: id, Outcome: outcome}))
}

// bottomUp is what the subnet's source makes of a message in a batch.
func bottomUp(m ipc.IpcEnvelope) chains.Event {
	topics, data, err := ipc.EncodeBottomUpMessage(20, m)
	if err != nil {
		panic(err)
	}
	return chains.Event{Chain: subID, Block: 21, BlockHash: hash(21), BlockTime: 1_700_000_000, Tx: hash(1), Index: 1 << 22, Address: addr(7), Topics: topics, Data: data}
}

func TestOfPublishedContractsEachEventDecidesExactlyTheStepsOfTheTable(t *testing.T) {
	id := hash(0xabc)
	ok, failed := flow.Outcome{Kind: flow.Ok}, flow.Outcome{Kind: flow.Failed, Reason: flow.ReasonUnprovenRefund}
	deposits := func(o flow.Outcome) map[string]flow.Outcome {
		return map[string]flow.Outcome{"flt_deposit/answer": o, "usdc_deposit/answer": o}
	}
	withdrawals := func(o flow.Outcome) map[string]flow.Outcome {
		return map[string]flow.Outcome{"flt_withdraw/answer": o, "usdc_withdraw/answer": o}
	}
	committed := chains.Event{Chain: rootID, Address: addr(2), Topics: []common.Hash{ipc.TopicCheckpointCommitted, common.BytesToHash(addr(1).Bytes())}, Data: hash(20).Bytes()}
	unreadable := envelope(ipc.KindResult, 9, 0, []byte{1})
	cases := []effect{
		{"the subnet's answer Ok", bottomUp(result(id, ipc.OutcomeOk)), deposits(ok)},
		{"the subnet's answer of a failed recipient", bottomUp(result(id, ipc.OutcomeActorErr)), deposits(failed)},
		{"the subnet's answer of a wrong nonce", bottomUp(result(id, ipc.OutcomeSystemErr)), deposits(failed)},
		{"the root's answer Ok", topDown(result(id, ipc.OutcomeOk)), withdrawals(ok)},
		{"the root's answer of a failed recipient", topDown(result(id, ipc.OutcomeActorErr)), withdrawals(failed)},
		{"the root's answer of a wrong nonce", topDown(result(id, ipc.OutcomeSystemErr)), withdrawals(failed)},
		{"a call down", topDown(envelope(ipc.KindCall, 9, 0, []byte{1})), nil},
		{"a transfer up", bottomUp(envelope(ipc.KindTransfer, 9, 4, nil)), nil},
		{"an answer that cannot be read", bottomUp(unreadable), nil},
		{"a checkpoint committed", committed, map[string]flow.Outcome{"checkpoint/submit": ok}},
		{"a checkpoint of another subnet", with(committed, func(e *chains.Event) { e.Topics[1] = hash(7) }), nil},
		{"a checkpoint of another gateway", with(committed, func(e *chains.Event) { e.Address = addr(0xee) }), nil},
		{"our own event", emit(actorABI, "CheckpointAccepted", rootID, addr(1), big.NewInt(20), hash(1), uint64(0), uint64(0)),
			map[string]flow.Outcome{"checkpoint/execute": ok}},
		{"an answer of another gateway", with(bottomUp(result(id, 0)), func(e *chains.Event) { e.Address = addr(0xee) }), nil},
		{"an answer on another chain", with(bottomUp(result(id, 0)), func(e *chains.Event) { e.Chain = rootID }), nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := map[string]flow.Outcome{}
			for name, f := range theirFlows(nil) {
				require.NoError(t, f.Check())
				for _, s := range f.Steps {
					key, out, mine := s.Effect(c.event)
					if !mine {
						continue
					}
					require.Equal(t, s.Key(waiting(name)), key)
					got[name+"/"+s.Name] = out
				}
			}
			if c.means == nil {
				c.means = map[string]flow.Outcome{}
			}
			require.Equal(t, c.means, got)
			// Whatever decides a step is read by the watcher of its chain.
			s := theirs()
			contracts, topics := s.SubnetContracts(), s.SubnetTopics()
			if c.event.Chain == rootID {
				contracts, topics = s.RootContracts(), s.RootTopics()
			}
			if len(got) > 0 && c.name != "our own event" {
				require.Contains(t, contracts, c.event.Address)
				require.Contains(t, topics, c.event.Topics[0])
			}
		})
	}
	require.NotContains(t, theirs().RootContracts(), common.Address{})
	require.NotContains(t, theirs().SubnetContracts(), common.Address{})
}

func TestAnAnswerIsNoTransferAndEndsOne(t *testing.T) {
	for name, f := range theirFlows(nil) {
		for _, e := range []chains.Event{topDown(result(hash(1), 0)), bottomUp(result(hash(1), 0))} {
			_, mine, err := f.Decode(e)
			require.NoError(t, err)
			require.Equal(t, name == "topdown" && e.Chain == rootID, mine, "%s: only the ordered lane carries it", name)
		}
		last := f.Steps[len(f.Steps)-1]
		if last.Name == "answer" {
			require.Equal(t, map[flow.Kind]string{flow.Ok: string(tokens.Done), flow.Failed: string(tokens.Parked)}, last.Next)
		}
	}
}

func TestNothingIsSentWhereNodesDeliver(t *testing.T) {
	for name, f := range theirFlows(nil) {
		for _, s := range f.Steps {
			require.Equal(t, name == "checkpoint", s.Do != nil, "%s/%s", name, s.Name)
		}
	}
}

// linked is LinkedTokensSent with an id of the test's choice.
func linked(chain chains.ID, at common.Address, id common.Hash) chains.Event {
	return emit(controllerABI, "LinkedTokensSent", chain, at, addr(6), addr(0x51), addr(0x52), id, uint64(5), big.NewInt(7_000_000))
}

func TestALinkedTransferWaitsForTheIDOfItsMessageWhateverItsEventSays(t *testing.T) {
	params := append(common.LeftPadBytes(addr(0x52).Bytes(), 32), common.BigToHash(big.NewInt(7_000_000)).Bytes()...)
	message := ipc.EncodeCall(ipc.CallMsg{Method: common.FromHex("dfb85dac"), Params: params})
	root, inside := ipc.NewAddress(ipc.NewSubnetID(rootID), addr(3)), ipc.NewAddress(theirs().IPC, addr(8))
	down := ipc.IpcEnvelope{Kind: ipc.KindCall, LocalNonce: 5, Value: new(big.Int), From: root, To: inside, Message: message}
	up := ipc.IpcEnvelope{Kind: ipc.KindCall, LocalNonce: 5, OriginalNonce: 5, Value: new(big.Int), From: inside, To: root, Message: message}
	for _, c := range []struct {
		flow  string
		chain chains.ID
		at    common.Address
		m     ipc.IpcEnvelope
	}{{"usdc_deposit", rootID, addr(3), down}, {"usdc_withdraw", subID, addr(8), up}} {
		f := theirFlows(nil)[c.flow]
		for _, said := range []common.Hash{c.m.TracingID(), c.m.Hash()} {
			tr, mine, err := f.Decode(linked(c.chain, c.at, said))
			require.NoError(t, err)
			require.True(t, mine, c.flow)
			require.Equal(t, c.m.TracingID(), tr.Ref, c.flow)
			require.Equal(t, "7000000", tr.Amount.String())
			require.Equal(t, []common.Address{addr(0x51), addr(0x52)}, []common.Address{tr.Sender, tr.Recipient})
			require.Equal(t, uint64(5), tr.Nonce)
		}
		tr, _, err := f.Decode(linked(c.chain, c.at, hash(77)))
		require.NoError(t, err)
		require.Equal(t, hash(77), tr.Ref, "a message of another make is taken at its word")
		_, mine, err := f.Decode(linked(c.chain, addr(0xee), hash(77)))
		require.NoError(t, err)
		require.False(t, mine)
	}
}

func TestAReleaseBeginsAWithdrawalByItsNonce(t *testing.T) {
	f := theirFlows(nil)["flt_withdraw"]
	m := envelope(ipc.KindTransfer, 9, 4, nil)
	m.From, m.To = m.To, m.From
	tr, mine, err := f.Decode(bottomUp(m))
	require.NoError(t, err)
	require.True(t, mine)
	require.Equal(t, m.TracingID(), tr.Ref)
	require.Equal(t, uint64(9), tr.Nonce)
	require.Equal(t, []common.Address{addr(0x52), addr(0x51)}, []common.Address{tr.Sender, tr.Recipient})
	m.LocalNonce, m.OriginalNonce = 10, 10
	other, _, err := f.Decode(bottomUp(m))
	require.NoError(t, err)
	require.NotEqual(t, tr.ID, other.ID)

	// A batch that the source could not take apart halts the watcher.
	whole := with(bottomUp(m), func(e *chains.Event) { e.Topics, e.Data = []common.Hash{ipc.TopicBottomUpBatchRecorded}, []byte{1, 2} })
	_, _, err = f.Decode(whole)
	require.ErrorIs(t, err, ipc.ErrMalformed)
}

func TestTheNetUnderAWithdrawalFindsTheRootsAnswer(t *testing.T) {
	m := envelope(ipc.KindTransfer, 9, 4, nil)
	m.From, m.To = m.To, m.From
	var asked flow.Search
	f := theirFlows(func(_ context.Context, q flow.Search) ([]chains.Event, error) {
		asked = q
		return []chains.Event{topDown(result(hash(1), 0)), topDown(result(m.TracingID(), ipc.OutcomeActorErr))}, nil
	})["flt_withdraw"]
	tr, _, err := f.Decode(bottomUp(m))
	require.NoError(t, err)
	out, err := f.Steps[0].Done(ctx, []tokens.Transfer{tr, {Ref: hash(2)}})
	require.NoError(t, err)
	require.Equal(t, []flow.Outcome{{Kind: flow.Failed, Reason: flow.ReasonUnprovenRefund}, {Kind: flow.Unknown}}, out)
	require.Equal(t, []common.Hash{common.BytesToHash(addr(1).Bytes()), common.BytesToHash(addr(1).Bytes())}, asked.Values)
	require.Equal(t, flow.Root, asked.Chain)
}

func TestADepositIsDeliveredByTheCounterAndEndsByItsAnswer(t *testing.T) {
	q := newQueue()
	q.final = 7
	for _, f := range []flow.Flow{flow.PublishedFLTDeposit(theirs(), q.deps()), flow.PublishedUSDCDeposit(theirs(), q.deps())} {
		ts := []tokens.Transfer{{Nonce: 6}, {Nonce: 7}}
		out, err := f.Steps[0].Done(ctx, ts)
		require.NoError(t, err)
		require.Equal(t, []flow.Outcome{{Kind: flow.Ok}, {Kind: flow.Pending}}, out)
		require.Equal(t, map[flow.Kind]string{flow.Ok: "answer"}, f.Steps[0].Next)
		out, err = f.Steps[1].Done(ctx, ts)
		require.NoError(t, err)
		require.Equal(t, make([]flow.Outcome, 2), out, "an id that repeats cannot be asked for")
	}
}

// burning is a root that executes what comes out of turn into nothing.
type burning struct {
	*up
	pending flow.RootState
}

func newBurning() *burning { return &burning{up: newUp()} }

func (b *burning) step() flow.Step {
	d := b.deps()
	d.StatePending = func(context.Context) (flow.RootState, error) { return b.pending, b.fail["pending"] }
	d.Configuration = nil
	return flow.Checkpoint(theirs(), d).Steps[1]
}

// agree makes all three states what latest is.
func (b *burning) agree() { b.final, b.pending = b.latest, b.latest }

func TestOnARootThatBurnsOnlyTheNextMessagesOfTheLowestBatchAreSent(t *testing.T) {
	leaf := func(b *burning, height uint64, i int) common.Hash { return b.batches[height][i].Leaf() }
	for _, c := range []struct {
		name  string
		make  func(*burning)
		sent  []string
		err   error // of the head
		batch []uint64
	}{
		{"all of it", func(*burning) {}, []string{"execute 10 [0 1 2]"}, flow.ErrNotYet, []uint64{10, 20}},
		{"a batch behind it waits", func(*burning) {}, nil, flow.ErrNotYet, []uint64{20}},
		{"the rest of a batch", func(b *burning) { b.latest.Applied = 1; b.agree() }, []string{"execute 10 [1 2]"}, flow.ErrNotYet, []uint64{10}},
		{"an execution that is not final", func(b *burning) { b.latest.Applied, b.pending.Applied = 1, 1 }, nil, flow.ErrNotYet, []uint64{10}},
		{"an execution in the pool", func(b *burning) { b.pending.Applied = 2 }, nil, flow.ErrNotYet, []uint64{10}},
		{"a newest block behind the final one", func(b *burning) { b.final.Applied, b.pending.Applied = 1, 1 }, nil, flow.ErrNotYet, []uint64{10}},
		{"a later one burnt: up to it", func(b *burning) { b.pending.Pending[0].Executed = []common.Hash{leaf(b, 10, 2)} }, []string{"execute 10 [0 1]"}, flow.ErrNotYet, []uint64{10}},
		{"the next one burnt: nothing", func(b *burning) { b.pending.Pending[0].Executed = []common.Hash{leaf(b, 10, 0)} }, nil, flow.ErrHole, []uint64{10}},
		{"the hole is in a batch that is gone", func(b *burning) {
			b.latest.Pending, b.latest.Applied = b.latest.Pending[1:], 2
			b.agree()
		}, nil, flow.ErrHole, []uint64{10, 20}},
		{"what is next lies behind all of it", func(b *burning) { b.latest.Applied = 9; b.agree() }, nil, flow.ErrHole, []uint64{10}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBurning()
			b.accept(10, 0, 3)
			b.accept(20, 3, 2)
			b.agree()
			b.final.Pending, b.pending.Pending = append([]flow.PendingBatch(nil), b.latest.Pending...), append([]flow.PendingBatch(nil), b.latest.Pending...)
			c.make(b)
			errs, err := b.step().Do(ctx, heights(c.batch...))
			require.NoError(t, err)
			require.ErrorIs(t, errs[len(errs)-1], c.err)
			require.Equal(t, c.sent, b.sent)
			for _, tx := range b.txs {
				require.Zero(t, tx.Gas, "always simulated")
				require.Equal(t, uint64(1<<24), tx.GasCap)
			}
		})
	}
	for _, state := range []string{"final", "latest", "pending", "batch"} {
		b := newBurning()
		b.accept(10, 0, 3)
		b.agree()
		b.fail[state] = gone
		errs, err := b.step().Do(ctx, heights(10))
		require.ErrorIs(t, errors.Join(append(errs, err)...), gone, state)
		require.Empty(t, b.sent)
	}
}

func TestOnARootThatBurnsADearBatchGoesInHalves(t *testing.T) {
	b := newBurning()
	b.accept(10, 0, 8)
	b.agree()
	b.sendErr = func(_ string, tx chains.Tx) error {
		if len(tx.Data) > len("execute 10 [0 1]") {
			return fmt.Errorf("%w: 17000000", chains.ErrGasLimit)
		}
		return nil
	}
	s := b.step()
	for range 2 { // the cut is remembered
		_, err := s.Do(ctx, heights(10))
		require.NoError(t, err)
	}
	require.Equal(t, []string{"execute 10 [0 1]", "execute 10 [0 1]"}, b.sent)
}

// TestWhateverRivalsDoNothingIsBurntByUs plays a root that burns, a rival that
// executes now and then, in turn or out of it, transactions that are mined late,
// and blocks that are undone: no transaction of ours may ever execute a message
// out of its turn.
func TestWhateverRivalsDoNothingIsBurntByUs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBurning()
		total := uint64(0)
		for h := uint64(10); h <= 30; h += 10 {
			n := rapid.IntRange(1, 4).Draw(t, "messages")
			b.accept(h, total, n)
			total += uint64(n)
		}
		// The chain, and the pool of ours, whose nonces keep them in order.
		done, applied := map[uint64]bool{}, uint64(0)
		var pool [][]uint64
		b.sendErr = func(_ string, x chains.Tx) error {
			var height uint64
			_, err := fmt.Sscanf(string(x.Data), "execute %d", &height)
			require.NoError(t, err)
			var nonces []uint64
			for _, m := range b.batches[height] {
				if contains(string(x.Data), m.LocalNonce) {
					nonces = append(nonces, m.LocalNonce)
				}
			}
			pool = append(pool, nonces)
			return nil
		}
		// apply executes one transaction, or reverts as a whole; it says what burnt.
		apply := func(done map[uint64]bool, applied *uint64, nonces []uint64) (burnt bool) {
			for _, n := range nonces {
				if done[n] {
					return false
				}
			}
			for _, n := range nonces {
				done[n] = true
				if n == *applied {
					*applied++
				} else {
					burnt = true
				}
			}
			return burnt
		}
		see := func(done map[uint64]bool, applied uint64) flow.RootState {
			s := flow.RootState{LastHeight: 30, Applied: applied}
			for h := uint64(10); h <= 30; h += 10 {
				p := flow.PendingBatch{Height: h, Commitment: ipc.Commit(b.batches[h])}
				for _, m := range b.batches[h] {
					if done[m.LocalNonce] {
						p.Executed = append(p.Executed, m.Leaf())
					}
				}
				if len(p.Executed) < len(b.batches[h]) {
					s.Pending = append(s.Pending, p)
				}
			}
			return s
		}
		// look is what the node shows: with the pool or, when it lags, without.
		look := func(withPool bool) {
			b.latest = see(done, applied)
			ahead, at := maps.Clone(done), applied
			if withPool {
				for _, nonces := range pool {
					apply(ahead, &at, nonces)
				}
			}
			b.pending = see(ahead, at)
		}
		finalDone, finalApplied := maps.Clone(done), applied
		var mined [][]uint64 // of ours, above the final block
		look(true)
		b.final = b.latest
		s := b.step()
		for range 60 {
			switch rapid.IntRange(0, 6).Draw(t, "what") {
			case 0, 1:
				_, err := s.Do(ctx, heights(10, 20, 30))
				require.NoError(t, err)
			case 2:
				if len(pool) > 0 {
					require.False(t, apply(done, &applied, pool[0]), "ours burnt %v at %d", pool[0], applied)
					mined, pool = append(mined, pool[0]), pool[1:]
				}
			case 3:
				n := rapid.Uint64Range(0, total-1).Draw(t, "rival")
				if rapid.Bool().Draw(t, "in turn") && !done[applied] && applied < total {
					n = applied
				}
				apply(done, &applied, []uint64{n})
			case 4:
				look(rapid.Bool().Draw(t, "with the pool"))
			case 5:
				look(true)
				b.final = b.latest
				finalDone, finalApplied, mined = maps.Clone(done), applied, nil
			case 6: // what is not final is undone; ours go back to the pool
				done, applied = maps.Clone(finalDone), finalApplied
				pool, mined = append(mined, pool...), nil
			}
		}
	})
}

// contains says whether a nonce is in the list of "execute H [a b c]".
func contains(data string, nonce uint64) bool {
	var list string
	for i := range data {
		if data[i] == '[' {
			list = data[i+1 : len(data)-1]
		}
	}
	for len(list) > 0 {
		var n uint64
		if _, err := fmt.Sscanf(list, "%d", &n); err != nil {
			return false
		}
		if n == nonce {
			return true
		}
		for len(list) > 0 && list[0] != ' ' {
			list = list[1:]
		}
		for len(list) > 0 && list[0] == ' ' {
			list = list[1:]
		}
	}
	return false
}
