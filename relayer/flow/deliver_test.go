package flow_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var (
	ctx = context.Background()
	//lint:ignore ST1012 the truth tables read better with a plain word
	gone = errors.New("endpoint away")
)

func reverted(signature string) error {
	return &chains.RevertError{Data: append(ipc.SelectorOf(signature).Bytes(), make([]byte, 64)...)}
}

// queue is the subnet's gateway as a lane into it sees it, with one page of
// statements at a time.
type queue struct {
	final, latest uint64   // applied
	pairs         []uint64 // committed, ascending
	statements    []flow.Statement
	page          int
	newest        uint64 // parent height of the newest statement applied
	known         uint64 // bodies of [0, known) are in the journal
	maxBytes      int
	maxCount      int
	fail          map[string]error
	sendErr       func(n int, tx chains.Tx) error
	gasEach       uint64 // of a message by a simulation; 0: nobody is told

	sent  []chains.Tx
	asked int
	lanes map[string]flow.Flow // made once: a lane remembers how it was cut
}

func body(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte("body"), n) }

// call is what a fake DeliverTx encodes: first nonce, count, and its tail.
func call(bodies [][]byte, tail []common.Hash) []byte {
	data := bytes.Join(bodies, nil)
	for _, h := range tail {
		data = append(data, h[:]...)
	}
	return data
}

func (q *queue) deps() flow.DeliverDeps {
	return flow.DeliverDeps{
		AppliedFinal:  func(context.Context) (flow.Applied, error) { return flow.Applied{Nonce: q.final}, q.fail["final"] },
		AppliedLatest: func(context.Context) (flow.Applied, error) { return flow.Applied{Nonce: q.latest}, q.fail["latest"] },
		CommittedAt: func(_ context.Context, n uint64) (flow.Pair, error) {
			for _, p := range q.pairs {
				if p >= n {
					return flow.Pair{Nonce: p, Hash: hash(p)}, q.fail["committed"]
				}
			}
			return flow.Pair{}, q.fail["committed"]
		},
		LatestStatement: func(context.Context) (uint64, error) { return q.newest, q.fail["statement"] },
		Statements: func(_ context.Context, after uint64) ([]flow.Statement, error) {
			q.asked++
			i, _ := slices.BinarySearchFunc(q.statements, after+1, func(s flow.Statement, h uint64) int { return int(s.ParentHeight) - int(h) })
			return q.statements[i:min(i+q.page, len(q.statements))], q.fail["statements"]
		},
		Bodies: func(_ context.Context, lane string, from, to uint64) (out [][]byte, err error) {
			for n := from; n < min(to, q.known); n++ {
				out = append(out, body(n))
			}
			return out, q.fail["bodies"]
		},
		DeliverTx: func(bodies [][]byte, tail []common.Hash) (chains.Tx, error) {
			return chains.Tx{To: addr(7), Data: call(bodies, tail)}, q.fail["encode"]
		},
		Send: func(_ context.Context, tx chains.Tx) error {
			if q.sendErr != nil {
				if err := q.sendErr(len(q.sent), tx); err != nil {
					return err
				}
			}
			if tx.Gas == 0 && tx.Estimated != nil && q.gasEach > 0 {
				tx.Estimated(q.gasEach * uint64(len(tx.Members)))
			}
			tx.Estimated = nil
			q.sent = append(q.sent, tx)
			return nil
		},
		MaxBytes: q.maxBytes, MaxCount: q.maxCount,
	}
}

func newQueue() *queue {
	return &queue{page: 64, known: 1 << 20, maxBytes: 1 << 20, maxCount: 100, fail: map[string]error{}}
}

func (q *queue) statement(height, topDown, power uint64) {
	q.statements = append(q.statements, flow.Statement{
		ParentHeight: height, TopDownNonce: topDown, PowerChangeNonce: power,
		Commit: func() (chains.Tx, error) {
			return chains.Tx{To: addr(7), Data: fmt.Appendf(nil, "commit %d", height)}, q.fail["commit"]
		},
	})
}

func batchOf(nonces ...uint64) flow.Batch {
	b := flow.Batch{Fence: chains.Fence{Lane: "lane", Epoch: 1, Counter: 2}}
	for _, n := range nonces {
		b.Transfers = append(b.Transfers, tokens.Transfer{ID: hash(n + 1), Nonce: n, Payload: body(n)})
	}
	return b
}

func upTo(from, to uint64) (out []uint64) {
	for n := from; n < to; n++ {
		out = append(out, n)
	}
	return out
}

func (q *queue) run(t require.TestingT, name string, b flow.Batch) ([]error, error) {
	if q.lanes == nil {
		q.lanes = map[string]flow.Flow{"topdown": flow.TopDown(sub(), q.deps()), "power": flow.Power(sub(), q.deps())}
	}
	out, err := q.lanes[name].Steps[0].Do(ctx, b)
	if err == nil {
		require.Len(t, out, len(b.Transfers))
	}
	return out, err
}

func requireNotYet(t *testing.T, err error, text string) {
	t.Helper()
	require.ErrorIs(t, err, flow.ErrNotYet)
	require.ErrorContains(t, err, text)
	require.NotErrorIs(t, err, flow.ErrPark)
}

func TestTheCounterOfWhatIsAppliedDecidesADelivery(t *testing.T) {
	q := newQueue()
	q.final, q.latest = 3, 9
	for _, f := range []flow.Flow{flow.TopDown(sub(), q.deps()), flow.Power(sub(), q.deps())} {
		out, err := f.Steps[0].Done(ctx, batchOf(1, 2, 3, 4).Transfers)
		require.NoError(t, err)
		require.Equal(t, []flow.Outcome{{Kind: flow.Ok}, {Kind: flow.Ok}, {Kind: flow.Pending}, {Kind: flow.Pending}}, out, "the final block counts, not the newest")
	}
	q.fail["final"] = gone
	_, err := flow.TopDown(sub(), q.deps()).Steps[0].Done(ctx, batchOf(1).Transfers)
	require.ErrorIs(t, err, gone, "no answer is no outcome")
}

func TestWhatIsAppliedAtTheNewestBlockIsOnlyWaitedFor(t *testing.T) {
	q := newQueue()
	q.latest = 5
	out, err := q.run(t, "topdown", batchOf(2, 3, 4))
	require.NoError(t, err)
	require.Equal(t, []error{nil, nil, nil}, out)
	require.Empty(t, q.sent)
}

func TestALaneWhoseHeadIsNotNextWaits(t *testing.T) {
	q := newQueue()
	q.latest, q.pairs = 2, []uint64{10}
	out, err := q.run(t, "topdown", batchOf(4, 5))
	require.NoError(t, err)
	requireNotYet(t, out[0], "2 is next, the head of the lane is 4")
	requireNotYet(t, out[1], "2 is next")
	require.Empty(t, q.sent)
}

func TestNothingIsSentBehindAGapInTheLane(t *testing.T) {
	q := newQueue()
	q.latest, q.pairs = 2, []uint64{10}
	out, err := q.run(t, "topdown", batchOf(1, 2, 3, 5, 6))
	require.NoError(t, err)
	require.Equal(t, []error{nil, nil, nil}, out[:3])
	requireNotYet(t, out[3], "goes on with 5 after 3")
	requireNotYet(t, out[4], "goes on with 5 after 3")
	require.Len(t, q.sent, 1)
	require.Equal(t, []common.Hash{hash(3), hash(4)}, q.sent[0].Members)
}

// What another instance, or this one before it died, has sent under a key may hold
// fewer messages than fit now: the next transaction begins behind those.
func TestATransactionThatIsUndecidedKeepsItsLength(t *testing.T) {
	q := newQueue()
	q.latest, q.pairs, q.maxCount = 2, []uint64{10}, 3
	b := batchOf(2, 3, 4, 5, 6)
	b.Rides = []string{"deliver/" + sub().Actor.Hex() + "/2", "", "", "", ""}
	_, err := q.run(t, "topdown", b)
	require.NoError(t, err)
	require.Len(t, q.sent, 3)
	require.Equal(t, []common.Hash{hash(3)}, q.sent[0].Members)
	require.Equal(t, []common.Hash{hash(4), hash(5), hash(6)}, q.sent[1].Members)
	require.Equal(t, []common.Hash{hash(7)}, q.sent[2].Members)
	require.Equal(t, b.Rides[0], q.sent[0].Key)
}

// One that failed and went again with less is no longer what it was.
func TestATransactionThatWentAgainWithLessIsThatLong(t *testing.T) {
	q := newQueue()
	q.latest, q.pairs, q.maxCount = 2, []uint64{10}, 2
	for _, nonces := range [][]uint64{{2, 3}, {2}, {2, 3}} {
		q.sent = nil
		_, err := q.run(t, "topdown", batchOf(nonces...))
		require.NoError(t, err)
	}
	require.Len(t, q.sent, 2)
	require.Equal(t, []common.Hash{hash(3)}, q.sent[0].Members)
	require.Equal(t, []common.Hash{hash(4)}, q.sent[1].Members)
}

func TestADeliveryCarriesBodiesTailMembersAndFence(t *testing.T) {
	q := newQueue()
	q.latest, q.pairs = 2, []uint64{7}
	b := batchOf(2, 3, 4)
	out, err := q.run(t, "topdown", b)
	require.NoError(t, err)
	require.Equal(t, []error{nil, nil, nil}, out)
	tail := []common.Hash{crypto.Keccak256Hash(body(5)), crypto.Keccak256Hash(body(6))}
	require.Equal(t, []chains.Tx{{
		Key: "deliver/" + addr(1).Hex() + "/2", Group: "into/" + addr(1).Hex(), To: addr(7), Fence: b.Fence,
		Data: call([][]byte{body(2), body(3), body(4)}, tail), Members: []common.Hash{hash(3), hash(4), hash(5)},
	}}, q.sent)

	q = newQueue()
	q.latest, q.pairs = 2, []uint64{3}
	_, err = q.run(t, "power", batchOf(2))
	require.NoError(t, err)
	require.Equal(t, "power/"+addr(1).Hex()+"/2", q.sent[0].Key, "the two queues share no key")
}

// TestWhatCannotBeSimulatedGetsGasByTheMeasureOfWhatCould, and a fixed limit where
// nothing was measured or the measure says more.
func TestWhatCannotBeSimulatedGetsGasByTheMeasureOfWhatCould(t *testing.T) {
	for _, c := range []struct {
		each uint64
		want []uint64
	}{
		{0, []uint64{0, 20_000_000, 20_000_000}},
		{70_000, []uint64{0, 700_000 + 100*94_500, 700_000 + 50*94_500}},
		{5_000, []uint64{0, 700_000 + 100*75_000, 700_000 + 50*75_000}},
		{400_000, []uint64{0, 20_000_000, 20_000_000}},
	} {
		q := newQueue()
		q.pairs, q.gasEach = []uint64{250}, c.each
		_, err := q.run(t, "topdown", batchOf(upTo(0, 250)...))
		require.NoError(t, err)
		var got []uint64
		for _, tx := range q.sent {
			got = append(got, tx.Gas)
		}
		require.Equal(t, c.want, got)
	}
}

func TestAStatementThatEndsInsideTheBatchCutsIt(t *testing.T) {
	q := newQueue()
	q.pairs = []uint64{2, 5}
	out, err := q.run(t, "topdown", batchOf(upTo(0, 8)...))
	require.NoError(t, err)
	require.Equal(t, []error{nil, nil, nil, nil, nil}, out[:5])
	for _, err := range out[5:] {
		requireNotYet(t, err, "message 5 is not covered by a statement")
	}
	require.Len(t, q.sent, 2, "up to the first pair, then up to the second")
	require.Equal(t, call([][]byte{body(0), body(1)}, nil), q.sent[0].Data)
	require.Equal(t, call([][]byte{body(2), body(3), body(4)}, nil), q.sent[1].Data)
}

func TestChunksRespectBytesAndCountAndAlwaysHoldOne(t *testing.T) {
	for name, c := range map[string]struct {
		bytes, count int
		want         []int
	}{
		"count":           {1 << 20, 3, []int{3, 3, 1}},
		"bytes":           {24, 100, []int{2, 2, 2, 1}}, // a body is 12 bytes
		"one byte less":   {23, 100, []int{1, 1, 1, 1, 1, 1, 1}},
		"larger than all": {1, 100, []int{1, 1, 1, 1, 1, 1, 1}},
		"all":             {84, 7, []int{7}},
	} {
		q := newQueue()
		q.maxBytes, q.maxCount, q.pairs = c.bytes, c.count, []uint64{7}
		_, err := q.run(t, "topdown", batchOf(upTo(0, 7)...))
		require.NoError(t, err)
		var got []int
		next := uint64(0)
		for i, tx := range q.sent {
			got = append(got, len(tx.Members))
			require.Equal(t, fmt.Sprintf("deliver/%s/%d", addr(1).Hex(), next), tx.Key, name)
			require.Equal(t, i > 0, tx.Gas > 0, "%s: only the first can be simulated", name)
			next += uint64(len(tx.Members))
		}
		require.Equal(t, c.want, got, name)
	}
}

func TestALaneThatGrowsWhileABatchIsUndecidedKeepsItsCut(t *testing.T) {
	q := newQueue()
	q.maxCount, q.pairs = 4, []uint64{9}
	undecided := map[string]int{}
	q.sendErr = func(_ int, tx chains.Tx) error {
		if _, live := undecided[tx.Key]; !live {
			undecided[tx.Key] = len(tx.Members)
		}
		return nil
	}
	_, err := q.run(t, "topdown", batchOf(0, 1))
	require.NoError(t, err)
	_, err = q.run(t, "topdown", batchOf(upTo(0, 7)...))
	require.NoError(t, err)
	prefix := "deliver/" + addr(1).Hex() + "/"
	require.Equal(t, map[string]int{prefix + "0": 2, prefix + "2": 4, prefix + "6": 1}, undecided, "nothing is sent past what the first one carries")

	// Applied so far: what is left is cut afresh.
	q.latest, undecided = 6, map[string]int{}
	_, err = q.run(t, "topdown", batchOf(upTo(6, 9)...))
	require.NoError(t, err)
	require.Equal(t, map[string]int{prefix + "6": 1, prefix + "7": 2}, undecided)
}

func TestATailThatIsNotReadYetIsWaitedFor(t *testing.T) {
	q := newQueue()
	q.pairs, q.known = []uint64{6}, 5
	out, err := q.run(t, "topdown", batchOf(0, 1, 2))
	require.NoError(t, err)
	for _, err := range out {
		requireNotYet(t, err, "covers up to 6, read so far are 2 of 3")
	}
	require.Empty(t, q.sent)
	q.fail["bodies"] = gone
	out, err = q.run(t, "topdown", batchOf(0, 1, 2))
	require.NoError(t, err)
	require.ErrorIs(t, out[0], gone)
}

func TestASendThatFailsHalfwayKeepsWhatWentBefore(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		is     error
		notYet bool
	}{
		"busy":         {chains.ErrBusy, chains.ErrBusy, false},
		"stale":        {chains.ErrStale, chains.ErrStale, false},
		"away":         {gone, gone, false},
		"a gap":        {reverted("Gap(uint64,uint64)"), flow.ErrNotYet, true},
		"a fatal one":  {reverted("ContradictsFinality()"), chains.ErrReverted, false},
		"without data": {&chains.RevertError{}, chains.ErrReverted, false},
		"other tail":   {reverted("NotProven(uint64)"), chains.ErrReverted, false},
	} {
		q := newQueue()
		q.maxCount, q.pairs = 2, []uint64{6}
		q.sendErr = func(n int, _ chains.Tx) error {
			if n == 1 {
				return c.err
			}
			return nil
		}
		out, err := q.run(t, "topdown", batchOf(upTo(0, 6)...))
		require.NoError(t, err, name)
		require.Equal(t, []error{nil, nil}, out[:2], name)
		for _, err := range out[2:] {
			require.ErrorIs(t, err, c.is, name)
			require.Equal(t, c.notYet, errors.Is(err, flow.ErrNotYet), name)
			require.NotErrorIs(t, err, flow.ErrPark, name)
		}
		require.Len(t, q.sent, 1, name)
	}
}

func TestWithoutAStatementNothingIsSent(t *testing.T) {
	q := newQueue()
	out, err := q.run(t, "topdown", batchOf(0, 1))
	require.NoError(t, err)
	requireNotYet(t, out[0], "no statement with a quorum covers 0")
	require.Empty(t, q.sent)

	// Statements that move nothing this lane waits for are not paid for.
	q.statement(5, 0, 9)
	q.statement(6, 0, 9)
	_, err = q.run(t, "topdown", batchOf(0))
	require.NoError(t, err)
	require.Empty(t, q.sent)
}

func TestTheFirstStatementThatReachesIsCarriedAndTheMessageWaits(t *testing.T) {
	q := newQueue()
	q.statement(5, 0, 2)
	q.statement(6, 4, 2)
	q.statement(7, 9, 3)
	out, err := q.run(t, "topdown", batchOf(0, 1))
	require.NoError(t, err)
	requireNotYet(t, out[1], "the statement on parent 6 is on its way")
	out, err = q.run(t, "power", batchOf(2))
	_ = out
	require.NoError(t, err)
	require.Equal(t, []chains.Tx{
		{Key: "finality/" + addr(1).Hex() + "/6", Group: "into/" + addr(1).Hex(), To: addr(7), Data: []byte("commit 6"), Fence: batchOf(0).Fence},
	}, q.sent, "power change 3 is not next: applied are none")

	q.sent, q.latest = nil, 2
	_, err = q.run(t, "power", batchOf(2))
	require.NoError(t, err)
	require.Equal(t, "finality/"+addr(1).Hex()+"/7", q.sent[0].Key, "the third change needs the statement that covers three")
}

// TestOneStatementCoversWhatManyRootBlocksSent: each block's own would cost a
// commit and a delivery of its own. It goes at most as far as the gateway takes
// in one step, in this queue and in the other.
func TestOneStatementCoversWhatManyRootBlocksSent(t *testing.T) {
	for name, c := range map[string]struct {
		each, powerAt uint64 // messages per block; the block from which on a power change is there
		want          []uint64
	}{
		"a slow stream":                {3, 0, []uint64{5}},
		"more than one step takes":     {200, 0, []uint64{2, 4, 5}},
		"a power change in the middle": {3, 3, []uint64{2, 5}},
		"one block beyond the limit":   {700, 0, []uint64{1, 2, 3, 4, 5}},
	} {
		q := newQueue()
		for h := uint64(1); h <= 5; h++ {
			power := uint64(0)
			if c.powerAt > 0 && h >= c.powerAt {
				power = 1
			}
			q.statement(h, h*c.each, power)
		}
		for _, h := range c.want {
			q.sent = nil
			_, err := q.run(t, "topdown", batchOf(upTo(q.latest, 5*c.each)...))
			require.NoError(t, err, name)
			require.Len(t, q.sent, 1, name)
			require.Equal(t, fmt.Sprintf("commit %d", h), string(q.sent[0].Data), name)
			q.newest, q.pairs, q.latest = h, nil, h*c.each // it and its messages go in
		}
	}
}

func TestTheNextStatementGoesWithABatch(t *testing.T) {
	at := func(tx chains.Tx) string {
		if s := string(tx.Data); strings.HasPrefix(s, "commit") {
			if tx.Gas > 0 {
				s += " unsimulated" // the gateway takes it once the batch before it is applied
			}
			return s
		}
		return "deliver " + tx.Key[strings.LastIndex(tx.Key, "/")+1:]
	}
	for name, c := range map[string]struct {
		batch []uint64
		alter func(*queue)
		want  []string
	}{
		"behind the batch":                   {upTo(0, 300), func(*queue) {}, []string{"deliver 0", "commit 7", "deliver 100", "deliver 200", "commit 9 unsimulated"}},
		"from where a statement ended":       {upTo(0, 250), func(q *queue) { q.pairs = []uint64{200} }, []string{"deliver 0", "commit 6", "commit 8", "deliver 100"}},
		"behind one that covers more":        {upTo(0, 200), func(*queue) {}, []string{"deliver 0", "commit 7", "commit 8", "deliver 100"}},
		"nothing behind one that covers all": {upTo(0, 200), func(q *queue) { q.known = 300 }, []string{"deliver 0", "deliver 100"}},
		"one after the other": {upTo(0, 300), func(q *queue) {
			q.statements = nil
			for h := uint64(10); h < 50; h++ {
				q.statement(h, 300+40*(h-9), 0)
			}
		}, []string{"deliver 0", "commit 21", "deliver 100", "deliver 200", "commit 33 unsimulated", "commit 34 unsimulated"}},
		"no further than what is read":       {upTo(0, 300), func(q *queue) { q.known = 450 }, []string{"deliver 0", "commit 3", "deliver 100", "deliver 200"}},
		"not where nothing is behind it":     {upTo(0, 300), func(q *queue) { q.known = 300 }, []string{"deliver 0", "deliver 100", "deliver 200"}},
		"not further than the gateway takes": {upTo(0, 300), func(q *queue) { q.statements = q.statements[9:] }, []string{"deliver 0", "deliver 100", "deliver 200"}},
		"not behind what failed": {upTo(0, 300), func(q *queue) {
			q.sendErr = func(n int, _ chains.Tx) error {
				if n == 1 {
					return chains.ErrBusy
				}
				return nil
			}
		}, []string{"deliver 0"}},
	} {
		q := newQueue()
		q.pairs, q.newest = []uint64{300}, 2
		for h := uint64(1); h <= 12; h++ {
			q.statement(h, 100*(h+1)+min(h/9, 1)*300, 0) // 200, 300, …, 900, 1300, …
		}
		c.alter(q)
		for range 2 { // the second look, before anything is in a block, sends no other
			_, err := q.run(t, "topdown", batchOf(c.batch...))
			require.NoError(t, err, name)
			q.statement(99, 777, 0)
		}
		var got []string
		for _, tx := range q.sent {
			if what := at(tx); !slices.Contains(got, what) {
				got = append(got, what)
			}
		}
		require.Equal(t, c.want, got, name)
	}
}

func TestAnotherRelayersStatementIsNoFailure(t *testing.T) {
	for err, notYet := range map[error]bool{
		reverted("ParentFinalityAlreadyCommitted()"): true,
		reverted("InvalidConfigurationNumber()"):     true,
		reverted("StatementTooLong()"):               false,
		chains.ErrBusy:                               false,
		gone:                                         false,
	} {
		q := newQueue()
		q.statement(6, 4, 0)
		q.sendErr = func(int, chains.Tx) error { return err }
		out, derr := q.run(t, "topdown", batchOf(0, 1))
		require.NoError(t, derr)
		require.Equal(t, notYet, errors.Is(out[0], flow.ErrNotYet), err)
		require.ErrorContains(t, out[1], "commit parent 6")
	}
}

func TestAnEndpointThatFailsStopsTheLook(t *testing.T) {
	for _, at := range []string{"latest", "committed"} {
		q := newQueue()
		q.pairs = []uint64{3}
		q.fail[at] = gone
		_, err := q.run(t, "topdown", batchOf(0, 1))
		require.ErrorIs(t, err, gone, at)
		require.Empty(t, q.sent)
	}
	for _, at := range []string{"statement", "statements", "commit", "encode"} {
		q := newQueue()
		q.statement(6, 4, 0)
		if at == "encode" {
			q.pairs = []uint64{3}
		}
		q.fail[at] = gone
		out, err := q.run(t, "topdown", batchOf(0, 1))
		require.NoError(t, err)
		require.ErrorIs(t, out[0], gone, at)
		require.Empty(t, q.sent)
	}
}

func TestAfterAQuietNightTheStatementIsStillFound(t *testing.T) {
	q := newQueue()
	q.newest = 1000
	for h := uint64(1001); h < 80_000; h += 1 + h%3 {
		moved := uint64(0)
		if h > 70_000 {
			moved = (h - 70_000) / 500
		}
		q.statement(h, moved, 0)
	}
	for nonce := range uint64(20) {
		q.sent, q.asked, q.latest = nil, 0, nonce
		_, err := q.run(t, "topdown", batchOf(nonce))
		require.NoError(t, err)
		want := slices.IndexFunc(q.statements, func(s flow.Statement) bool { return s.TopDownNonce > nonce })
		if want < 0 {
			require.Empty(t, q.sent)
			continue
		}
		requireReaching(t, q, nonce, want)
		require.Less(t, q.asked, 60, "pages read")
	}
}

func TestTheFirstStatementThatReachesIsFoundInAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newQueue()
		q.page = rapid.IntRange(1, 5).Draw(t, "page")
		h, moved := uint64(0), uint64(0)
		for range rapid.IntRange(0, 60).Draw(t, "statements") {
			h += rapid.Uint64Range(1, 200).Draw(t, "blocks")
			moved += rapid.Uint64Range(0, 2).Draw(t, "messages") / 2
			q.statement(h, moved, 0)
		}
		q.newest = rapid.Uint64Range(0, h).Draw(t, "newest")
		q.latest = rapid.Uint64Range(0, moved+1).Draw(t, "applied")
		_, err := q.run(t, "topdown", batchOf(q.latest))
		require.NoError(t, err)
		want := slices.IndexFunc(q.statements, func(s flow.Statement) bool { return s.ParentHeight > q.newest && s.TopDownNonce > q.latest })
		if want < 0 {
			require.Empty(t, q.sent)
			return
		}
		require.Len(t, q.sent, 1)
		requireReaching(t, q, q.latest, want)
	})
}

// requireReaching: what was sent is the first statement that covers the
// message, or a newer one that covers more and is one step of the gateway.
func requireReaching(t require.TestingT, q *queue, nonce uint64, first int) {
	sent := slices.IndexFunc(q.statements, func(s flow.Statement) bool {
		return fmt.Sprintf("commit %d", s.ParentHeight) == string(q.sent[0].Data)
	})
	require.GreaterOrEqual(t, sent, first, "for message %d", nonce)
	if sent > first {
		require.Greater(t, q.statements[sent].TopDownNonce, q.statements[first].TopDownNonce)
		require.LessOrEqual(t, q.statements[sent].TopDownNonce, nonce+512)
	}
}

func TestAnEndpointThatAnswersForLowerStatementsIsRefused(t *testing.T) {
	q := newQueue()
	q.newest = 50
	d := q.deps()
	d.Statements = func(context.Context, uint64) ([]flow.Statement, error) {
		return []flow.Statement{{ParentHeight: 3}}, nil
	}
	out, err := flow.TopDown(sub(), d).Steps[0].Do(ctx, batchOf(0))
	require.NoError(t, err)
	require.ErrorIs(t, out[0], chains.ErrUnavailable)
}

// TestWhateverIsAnsweredMessagesAreSentInOrderAndOnce plays a lane against a
// gateway that lags, forgets, is carried on by strangers and fails, with a
// journal of transactions that stay undecided for a while.
func TestWhateverIsAnsweredMessagesAreSentInOrderAndOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newQueue()
		q.page = rapid.IntRange(1, 4).Draw(t, "page")
		q.maxCount = rapid.IntRange(1, 4).Draw(t, "count")
		q.maxBytes = rapid.IntRange(1, 60).Draw(t, "bytes")
		total := rapid.Uint64Range(1, 14).Draw(t, "messages")
		height, covered := uint64(0), uint64(0)
		for covered < total {
			covered = min(total, covered+rapid.Uint64Range(0, 4).Draw(t, "per statement"))
			height++
			q.statement(height, covered, 0)
		}
		type live struct {
			tx       chains.Tx
			from, to uint64
		}
		var undecided []live
		trouble := rapid.SampledFrom([]error{nil, nil, nil, gone, chains.ErrBusy, chains.ErrStale, reverted("Gap(uint64,uint64)")})
		var next uint64 // of the look that runs: what may be sent
		q.sendErr = func(_ int, tx chains.Tx) error {
			if err := trouble.Draw(t, "send"); err != nil {
				return err
			}
			for _, l := range undecided {
				if l.tx.Key == tx.Key {
					for i := range min(len(l.tx.Members), len(tx.Members)) {
						require.Equal(t, l.tx.Members[i], tx.Members[i])
					}
					next = max(next, l.to)
					return nil
				}
				for _, m := range tx.Members {
					if slices.Contains(l.tx.Members, m) {
						return chains.ErrBusy // as the journal does
					}
				}
			}
			if len(tx.Members) == 0 {
				return nil
			}
			from := tx.Members[0].Big().Uint64() - 1
			require.Equal(t, next, from, "ascending and without a gap from what is applied")
			for i, m := range tx.Members {
				require.Equal(t, hash(from+uint64(i)+1), m)
			}
			require.NotZero(t, tx.Fence)
			next = from + uint64(len(tx.Members))
			undecided = append(undecided, live{tx, from, next})
			return nil
		}
		for range rapid.IntRange(1, 30).Draw(t, "looks") {
			// The world moves on.
			for range rapid.IntRange(0, 1).Draw(t, "decided") {
				if len(undecided) == 0 {
					break
				}
				l := undecided[0]
				undecided = undecided[1:]
				if l.from == q.latest && rapid.Bool().Draw(t, "succeeds") {
					q.latest = l.to
				}
			}
			if len(undecided) == 0 && rapid.Bool().Draw(t, "stranger") && len(q.pairs) > 0 {
				q.latest = max(q.latest, min(q.latest+1, q.pairs[len(q.pairs)-1]))
			}
			if q.newest < height && rapid.Bool().Draw(t, "statement") {
				q.newest++
				if n := q.statements[q.newest-1].TopDownNonce; len(q.pairs) == 0 || n > q.pairs[len(q.pairs)-1] {
					q.pairs = append(q.pairs, n)
				}
			}
			q.known = rapid.Uint64Range(0, total).Draw(t, "known")
			for _, at := range []string{"latest", "committed", "statements", "bodies"} {
				q.fail[at] = rapid.SampledFrom([]error{nil, nil, nil, nil, gone}).Draw(t, at)
			}
			// The claimed run: the lane from somewhere at or below what is next.
			from := rapid.Uint64Range(0, min(q.latest, total-1)).Draw(t, "head")
			nonces := upTo(from, rapid.Uint64Range(from+1, total).Draw(t, "end"))
			if len(nonces) > 2 && rapid.IntRange(0, 9).Draw(t, "hole") == 0 {
				i := rapid.IntRange(1, len(nonces)-1).Draw(t, "at")
				nonces = slices.Delete(nonces, i, i+1)
			}
			q.sent, next = nil, q.latest
			_, err := q.run(t, "topdown", batchOf(nonces...))
			if err != nil {
				require.ErrorIs(t, err, gone)
			}
		}
	})
}
