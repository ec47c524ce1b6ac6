package agree

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

var logLies = map[string]fake.Lie{
	"no logs at all": fake.LieList("eth_getLogs", func([]map[string]any) []map[string]any { return []map[string]any{} }),
	"a log left out": fake.LieList("eth_getLogs", func(l []map[string]any) []map[string]any { return l[:max(1, len(l))-1] }),
	"other data": fake.LieList("eth_getLogs", func(l []map[string]any) []map[string]any {
		for _, x := range l {
			x["data"] = "0x77"
		}
		return l
	}),
	"a forged log": fake.LieList("eth_getLogs", func(l []map[string]any) []map[string]any {
		if len(l) == 0 {
			return l
		}
		more := map[string]any{}
		for k, v := range l[0] {
			more[k] = v
		}
		more["logIndex"], more["data"] = "0x7", "0x1000"
		return append(l, more)
	}),
}

func TestOfThreeOneThatLiesAboutLogsIsFoundAndReadingGoesOn(t *testing.T) {
	for what, lie := range logLies {
		t.Run(what, func(t *testing.T) {
			r := newRig(t, 3, 2)
			r.send(&r.contract, []byte{1})
			r.send(&r.contract, []byte{2})
			r.mine(4)
			r.proxies[1].Lie(lie)
			last, events, err := r.client.Events(t.Context(), r.query())
			require.NoError(t, err)
			require.Equal(t, r.chain.Finalized(), last)
			require.Len(t, events, 2)
			require.Equal(t, []byte{1}, events[0].Data)
			require.Equal(t, []byte{2}, events[1].Data)

			// Who, what, at which height; and no new transaction.
			var split *DisagreementError
			require.ErrorAs(t, r.client.Trouble(), &split)
			require.ErrorIs(t, split, chains.ErrUnavailable)
			require.Equal(t, last.Number, split.Height)
			require.Contains(t, split.Error(), "b: ")
			require.Empty(t, r.status("a").Differs)
			require.Empty(t, r.status("c").Differs)
			require.Len(t, r.status("b").Differs, 1)
			require.Contains(t, r.status("b").Differs[0].Said, "events")

			// It goes on as long as the same question gets another answer.
			r.client.Tend(t.Context())
			require.Error(t, r.client.Trouble())
			r.proxies[1].Instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) })
			r.client.Tend(t.Context())
			require.Error(t, r.client.Trouble(), "silence is not agreement")
			r.proxies[1].Instead(nil)
			r.proxies[1].Lie(nil)
			r.client.Tend(t.Context()) // it answers again
			r.client.Tend(t.Context())
			require.NoError(t, r.client.Trouble())
		})
	}
}

func TestOfTwoOneThatLiesAboutLogsLeavesNoAnswer(t *testing.T) {
	for what, lie := range logLies {
		t.Run(what, func(t *testing.T) {
			r := newRig(t, 2, 2)
			r.send(&r.contract, []byte{1})
			r.send(&r.contract, []byte{2})
			r.mine(4)
			r.proxies[0].Lie(lie)
			_, events, err := r.client.Events(t.Context(), r.query())
			require.ErrorIs(t, err, chains.ErrUnavailable)
			var split *DisagreementError
			require.ErrorAs(t, err, &split)
			require.Empty(t, events)
			require.Error(t, r.client.Trouble())

			r.proxies[0].Lie(nil)
			_, events, err = r.client.Events(t.Context(), r.query())
			require.NoError(t, err)
			require.Len(t, events, 2)
			require.NoError(t, r.client.Trouble(), "the same question, the same answer")
		})
	}
}

func TestAnEndpointOfAnotherForkIsFound(t *testing.T) {
	r := newRig(t, 3, 2)
	r.mine(4)
	fork := fake.LieObject("eth_getBlockByNumber", func(b map[string]any) {
		b["hash"] = common.BigToHash(common.Big2).Hex()
	})
	r.proxies[2].Lie(fork)
	// It always runs a little ahead, so that it is one of the two highest.
	r.readers[2].tell(func(b chains.Block) chains.Block { b.Number++; return b })
	head, err := r.client.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, r.chain.Finalized(), head)
	require.Error(t, r.client.Trouble())
	require.NotEmpty(t, r.status("c").Differs)
	require.Empty(t, r.status("a").Differs)
	require.Contains(t, r.status("c").Differs[0].Said, common.BigToHash(common.Big2).Hex())

	two := newRig(t, 2, 2)
	two.mine(4)
	two.proxies[1].Lie(fork)
	_, err = two.client.Head(t.Context())
	var split *DisagreementError
	require.ErrorAs(t, err, &split)
	require.Error(t, two.client.Trouble())
	two.proxies[1].Lie(nil)
	two.client.Tend(t.Context())
	two.client.Tend(t.Context())
	require.NoError(t, two.client.Trouble())
}

func TestTheHeadIsTheHighestThatEnoughHavePassed(t *testing.T) {
	r := newRig(t, 3, 2)
	r.mine(6)
	top := r.chain.Finalized()
	old, err := r.honest.BlockByNumber(t.Context(), top.Number-3)
	require.NoError(t, err)

	// One lags: the others go on.
	r.readers[0].tell(func(chains.Block) chains.Block { return old })
	head, err := r.client.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, top, head)
	// One jumps ahead besides: nobody follows it.
	r.readers[1].tell(func(b chains.Block) chains.Block { b.Number += 1_000_000; return b })
	r.mine(1)
	head, err = r.client.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, r.chain.Finalized(), head)
	// Two lag: nothing is known, and the head does not go back.
	r.readers[1].tell(func(chains.Block) chains.Block { return old })
	_, err = r.client.Head(t.Context())
	require.ErrorIs(t, err, chains.ErrUnavailable)
	require.Equal(t, head.Number, r.client.Status().Height)
	require.Contains(t, r.status("b").Out, "went back")
	for _, l := range r.readers {
		l.tell(nil)
	}
	r.client.Tend(t.Context())
	require.Contains(t, r.status("b").Out, "went back", "from where it had been")
	head, err = r.client.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, r.chain.Finalized(), head)
}

func TestAnEndpointThatStandsStillIsOutUntilItMoves(t *testing.T) {
	r := newRig(t, 3, 2)
	r.mine(4)
	still := r.chain.Finalized()
	r.readers[0].tell(func(chains.Block) chains.Block { return still })
	for range 3 {
		r.mine(1)
		_, err := r.client.Head(t.Context())
		require.NoError(t, err)
	}
	require.Empty(t, r.status("a").Out, "for a while that is nothing")
	r.clock = r.clock.Add(r.client.cfg.Late)
	_, err := r.client.Head(t.Context())
	require.NoError(t, err)
	require.Contains(t, r.status("a").Out, "stands still")
	require.Empty(t, r.status("b").Out)
	r.client.Tend(t.Context())
	require.Contains(t, r.status("a").Out, "stands still")
	r.readers[0].tell(nil)
	r.client.Tend(t.Context())
	require.Empty(t, r.status("a").Out)
	require.NoError(t, r.client.Trouble(), "nobody lied")
}

func TestAnEndpointThatRunsAheadFreezesNobody(t *testing.T) {
	r := newRig(t, 3, 2)
	r.mine(4)
	r.readers[0].tell(func(b chains.Block) chains.Block { b.Number += 1_000_000; return b })
	for range 2 {
		_, err := r.client.Head(t.Context())
		require.NoError(t, err)
		r.clock = r.clock.Add(time.Hour)
	}
	require.Empty(t, r.status("b").Out)
	require.Empty(t, r.status("c").Out)
}

func TestAnEndpointOfAnotherChainEndsTheStart(t *testing.T) {
	r := newRig(t, 3, 2)
	other := newChain(t, 7)
	r.proxies[2].MoveTo(other.chain.HTTP())
	err := r.dial(2)
	require.ErrorIs(t, err, chains.ErrWrongChain)
	require.ErrorContains(t, err, "endpoint c: ")

	// No waiting for one that is away mends that.
	r.proxies[0].Instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	err = r.dial(2)
	require.ErrorIs(t, err, chains.ErrWrongChain)
	require.False(t, errors.Is(err, chains.ErrUnavailable), "it would be tried again for ever")
}

func TestAnEndpointThatIsAnotherChainAfterAReconnectIsOut(t *testing.T) {
	r := newRig(t, 3, 2)
	r.send(&r.contract, []byte{1})
	r.mine(4)
	other := newChain(t, 7)
	other.mine(9)
	r.proxies[0].MoveTo(other.chain.HTTP())
	_, events, err := r.client.Events(t.Context(), r.query())
	require.NoError(t, err)
	require.Len(t, events, 1)
	r.client.Tend(t.Context())
	require.Contains(t, r.status("a").Out, "another chain")
	r.proxies[0].MoveTo(r.chain.HTTP())
	r.client.Tend(t.Context()) // over the connection that is no more
	r.client.Tend(t.Context())
	require.Empty(t, r.status("a").Out)
}

func TestAnEndpointThatHangsHoldsUpNobody(t *testing.T) {
	r := newRig(t, 3, 2)
	r.send(&r.contract, []byte{1})
	r.mine(4)
	release := make(chan struct{})
	r.proxies[0].Instead(func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-release:
		case <-req.Context().Done():
		}
	})
	_, events, err := r.client.Events(t.Context(), r.query())
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Contains(t, r.status("a").Out, "no answer")
	require.NotNil(t, r.status("a").Since)

	// Now it is not even waited for.
	require.NotContains(t, r.client.asked(), r.client.endpoints[0])
	_, err = r.client.Fees(t.Context())
	require.NoError(t, err)
	close(release)
	r.proxies[0].Instead(nil)
	r.client.Tend(t.Context())
	require.Empty(t, r.status("a").Out)
	require.NoError(t, r.client.Trouble())
}

func TestAnEndpointThatPoursOutGigabytesIsOut(t *testing.T) {
	r := newRig(t, 3, 2)
	r.send(&r.contract, []byte{1})
	r.mine(4)
	page := make([]byte, 1<<20)
	for i := range page {
		page[i] = ' '
	}
	r.proxies[0].Instead(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for range 2048 {
			if _, err := w.Write(page); err != nil {
				return
			}
		}
	})
	_, events, err := r.client.Events(t.Context(), r.query())
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Contains(t, r.status("a").Out, "oversize")
}

func TestEnoughEndpointsAreAStart(t *testing.T) {
	r := newRig(t, 3, 2)
	r.mine(4)
	down := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	r.proxies[0].Instead(down)
	require.NoError(t, r.dial(2))
	require.NotEmpty(t, r.status("a").Out)
	_, err := r.client.Head(t.Context())
	require.NoError(t, err)
	r.proxies[0].Instead(nil)
	r.client.Tend(t.Context())
	require.Empty(t, r.status("a").Out, "it is dialed when it can be")

	r.proxies[0].Instead(down)
	r.proxies[1].Instead(down)
	require.ErrorIs(t, r.dial(2), chains.ErrUnavailable)
}

func TestPinnedStateIsWhatEnoughSay(t *testing.T) {
	r := newRig(t, 3, 2)
	r.mine(4)
	head, err := r.client.Head(t.Context())
	require.NoError(t, err)
	at := evm.AtHash(head.Hash)
	rich := func(m string, raw json.RawMessage) json.RawMessage {
		switch m {
		case "eth_getBalance", "eth_getTransactionCount":
			return json.RawMessage(`"0xffff"`)
		case "eth_call", "eth_getCode", "eth_getStorageAt":
			return json.RawMessage(`"0x42"`)
		}
		return raw
	}
	ask := func() (errs []error) {
		code, err := r.client.CodeAt(t.Context(), r.contract, at)
		if err == nil && string(code) != string(logger) {
			err = errors.New("forged code")
		}
		errs = append(errs, err)
		out, err := r.client.Call(t.Context(), r.contract, nil, at)
		if err == nil && len(out) > 0 {
			err = errors.New("forged call")
		}
		errs = append(errs, err)
		batch, err := r.client.BatchCall(t.Context(), []evm.CallArg{{To: r.contract}, {To: r.contract}}, evm.AtFinalized)
		if err == nil && len(batch[1].Data) > 0 {
			err = errors.New("forged batch")
		}
		errs = append(errs, err)
		word, err := r.client.StorageAt(t.Context(), r.contract, common.Hash{}, evm.AtNumber(head.Number))
		if err == nil && word != (common.Hash{}) {
			err = errors.New("forged storage")
		}
		errs = append(errs, err)
		balance, err := r.client.Balance(t.Context(), r.contract, at)
		if err == nil && balance.Sign() != 0 {
			err = errors.New("forged balance")
		}
		errs = append(errs, err)
		nonce, err := r.client.NonceAt(t.Context(), r.contract, at)
		if err == nil && nonce != 1 {
			err = errors.New("forged nonce")
		}
		return append(errs, err)
	}
	r.proxies[0].Lie(rich)
	for _, err := range ask() {
		require.NoError(t, err)
	}
	require.Len(t, r.status("a").Differs, 6)
	r.proxies[1].Instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	for _, err := range ask() {
		require.ErrorIs(t, err, chains.ErrUnavailable, "one honest and one that lies")
	}
	r.proxies[1].Instead(nil)
	r.proxies[0].Lie(nil)
	r.client.Tend(t.Context())
	r.client.Tend(t.Context())
	require.NoError(t, r.client.Trouble())
}

func TestNotEveryoneMustHaveSeenWhatIsNotFinal(t *testing.T) {
	r := newRig(t, 2, 2)
	r.mine(4)
	_, err := r.client.Head(t.Context())
	require.NoError(t, err)
	tx := r.send(&r.contract, []byte{1})
	_, ok, err := r.client.Receipt(t.Context(), tx)
	require.NoError(t, err)
	require.False(t, ok)
	r.mine(1)
	none := func(m string, raw json.RawMessage) json.RawMessage {
		if m == "eth_getTransactionReceipt" {
			return json.RawMessage("null")
		}
		return raw
	}
	r.proxies[1].Lie(none)
	got, ok, err := r.client.Receipt(t.Context(), tx)
	require.NoError(t, err)
	require.True(t, ok, "it is there, and decides nothing yet")
	require.True(t, got.OK)
	require.NoError(t, r.client.Trouble())

	// Once it is final, one that has none contradicts the other.
	r.mine(3)
	_, err = r.client.Head(t.Context())
	require.NoError(t, err)
	_, _, err = r.client.Receipt(t.Context(), tx)
	require.ErrorIs(t, err, chains.ErrUnavailable)
	require.Error(t, r.client.Trouble())
	r.proxies[1].Lie(nil)
	r.client.Tend(t.Context())
	require.NoError(t, r.client.Trouble())
	events, err := r.client.TransactionEvents(t.Context(), tx)
	require.NoError(t, err)
	require.Len(t, events, 1)
	r.proxies[1].Lie(fake.LieObject("eth_getTransactionReceipt", func(m map[string]any) {
		m["logs"].([]any)[0].(map[string]any)["data"] = "0x09"
	}))
	_, err = r.client.TransactionEvents(t.Context(), tx)
	require.ErrorIs(t, err, chains.ErrUnavailable)
	require.Error(t, r.client.Trouble())
}

func TestATransactionGoesToAllAndOneThatDropsItIsNotBelieved(t *testing.T) {
	r := newRig(t, 2, 1)
	r.mine(4)
	tx := r.sign(&r.contract, []byte{1})
	raw, err := tx.MarshalBinary()
	require.NoError(t, err)
	// The first one takes it and forgets it, and says that it knows it.
	r.proxies[0].Lie(func(m string, raw json.RawMessage) json.RawMessage {
		if m == "eth_getTransactionByHash" {
			out, _ := json.Marshal(map[string]any{"hash": tx.Hash()})
			return out
		}
		return raw
	})
	known, mined, err := r.client.TransactionKnown(t.Context(), tx.Hash())
	require.NoError(t, err)
	require.False(t, known, "by one alone")
	require.False(t, mined)
	r.proxies[0].Instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	require.NoError(t, r.client.SendRaw(t.Context(), raw))
	r.proxies[0].Instead(nil)
	r.client.Tend(t.Context())
	known, _, err = r.client.TransactionKnown(t.Context(), tx.Hash())
	require.NoError(t, err)
	require.True(t, known)
	err = r.client.SendRaw(t.Context(), raw)
	require.Equal(t, evm.ClassAlreadyKnown, evm.ClassOf(err))
	require.Empty(t, r.status("b").Out, "what is said of a transaction says nothing of the endpoint")
	r.mine(1)
	_, mined, err = r.client.TransactionKnown(t.Context(), tx.Hash())
	require.NoError(t, err)
	require.True(t, mined)
}

func TestAChangedFinalBlockIsToldWhereEnoughSayIt(t *testing.T) {
	r := newRig(t, 3, 2)
	r.mine(6)
	_, err := r.client.Head(t.Context())
	require.NoError(t, err)
	q := r.query()
	q.From.Next, q.From.Parent = 3, common.BigToHash(common.Big3)
	_, _, err = r.client.Events(t.Context(), q)
	require.ErrorIs(t, err, chains.ErrReorg)
}

func TestRangesEndInBlocksThatEnoughHave(t *testing.T) {
	r := newRig(t, 2, 2)
	r.send(&r.contract, []byte{1})
	r.mine(8)
	r.client.cfg.MaxRange = 3
	q, seen := r.query(), 0
	for range 10 {
		last, events, err := r.client.Events(t.Context(), q)
		require.NoError(t, err)
		seen += len(events)
		if last.Number == r.chain.Finalized().Number {
			require.Equal(t, 1, seen)
			return
		}
		require.LessOrEqual(t, last.Number, q.From.Next+2)
		q.From.Next, q.From.Parent = last.Number+1, last.Hash
	}
	t.Fatal("the end is not reached")
}

func TestTooFewEndpointsAreNotTaken(t *testing.T) {
	for _, k := range []int{-1, 0, 2} {
		_, err := Dial(t.Context(), Config{Name: "root", K: k}, []Endpoint{{Name: "a"}}, nil)
		require.Error(t, err)
	}
	_, err := Dial(t.Context(), Config{Name: "root", K: 1}, []Endpoint{{Name: "a"}, {Name: "a"}}, nil)
	require.ErrorContains(t, err, "two endpoints")
}
