package filecoin_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/filecoin"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

func TestEventsAreReadOverNullRounds(t *testing.T) {
	w := newWorld(t, 0.2)
	w.events(12)
	for _, wide := range []uint64{0, 1} { // each header, and by edges alone
		c := w.dialed(func(cfg *filecoin.Config) { cfg.FullRange = wide })
		events, err := w.all(c)
		require.NoError(t, err)
		require.Len(t, events, w.calls)
		for _, e := range events {
			b, err := c.BlockByNumber(t.Context(), e.Block)
			require.NoError(t, err)
			require.Equal(t, b.Hash, e.BlockHash)
			require.Equal(t, b.Time, e.BlockTime)
			require.Equal(t, uint64(w.root.TimeOf(e.Block).Unix()), e.BlockTime)
			require.Zero(t, e.Position)
		}
	}
}

func TestABlockIsATipsetAndANullRoundIsNone(t *testing.T) {
	w := newWorld(t, 0)
	at := w.root.Head()
	w.root.NullAt(at+2, at+3)
	w.mine(30)
	c := w.dialed(nil)
	for h := at; h < at+6; h++ {
		b, err := c.BlockByNumber(t.Context(), h)
		if h == at+2 || h == at+3 {
			require.ErrorIs(t, err, evm.ErrNullRound)
			below, err := c.At(t.Context(), h)
			require.NoError(t, err)
			require.Equal(t, at+1, below.Number)
			continue
		}
		require.NoError(t, err)
		var eth struct {
			Hash       common.Hash `json:"hash"`
			ParentHash common.Hash `json:"parentHash"`
		}
		require.NoError(t, c.RPC(t.Context(), &eth, "eth_getBlockByNumber", evm.AtNumber(h), false))
		require.Equal(t, eth.Hash, b.Hash, "the hash of eth_* is that of the key")
		require.Equal(t, eth.ParentHash, b.Parent)
	}
	after, err := c.BlockByNumber(t.Context(), at+4)
	require.NoError(t, err)
	before, err := c.BlockByNumber(t.Context(), at+1)
	require.NoError(t, err)
	require.Equal(t, before.Hash, after.Parent, "null rounds are links of nothing")
	_, err = c.BlocksByNumber(t.Context(), []uint64{at + 1, at + 2})
	require.ErrorIs(t, err, evm.ErrNullRound)
	blocks, err := c.BlocksByNumber(t.Context(), []uint64{at + 4, at + 1})
	require.NoError(t, err)
	require.Equal(t, []chains.Block{after, before}, blocks)
	_, err = c.BlockByNumber(t.Context(), w.root.Head()+5)
	require.ErrorIs(t, err, chains.ErrUnavailable)
}

// A null round as the first, the last and the only height of a range.
func TestNullRoundsAtTheEdgesOfARange(t *testing.T) {
	w := newWorld(t, 0)
	at := w.root.Head()
	w.root.NullAt(at+1, at+5, at+6)
	w.call()
	w.mine(30)
	c := w.dialed(nil)
	parent, err := c.BlockByNumber(t.Context(), at)
	require.NoError(t, err)
	q := w.query(at + 5)
	q.From.Next, q.From.Parent = at+1, parent.Hash
	last, events, err := c.Events(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, at+4, last.Number, "it ends at a block")
	require.Len(t, events, 1)

	// A range of nothing but null rounds is no answer, or goes on to a block.
	q.From.Next, q.From.Parent, q.To = at+5, last.Hash, at+6
	_, events, err = c.Events(t.Context(), q)
	require.Empty(t, events)
	if err != nil {
		require.ErrorIs(t, err, chains.ErrUnavailable)
	}
	q.To = at + 8
	last, _, err = c.Events(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, at+8, last.Number)
}

// The receipts of many blocks together may be larger than an answer may be.
func TestReceiptsTooLargeForOneAnswerAreAskedInParts(t *testing.T) {
	w := newWorld(t, 0)
	for i := range 40 {
		for range 5 {
			w.call()
		}
		if i == 20 {
			for range 60 { // more than one answer holds
				w.call()
			}
		}
		w.mine(1)
	}
	w.mine(depth + 6)
	events, err := w.all(w.dialed(func(cfg *filecoin.Config) { cfg.MaxBytes, cfg.BatchSize = 64<<10, 20 }))
	require.NoError(t, err)
	require.Len(t, events, w.calls)
}

// A root that was away has a night of null rounds, which is no gap.
func TestALongNightOfNullRoundsIsReadOver(t *testing.T) {
	w := newWorld(t, 0)
	w.events(1)
	at := w.root.Head()
	for h := range uint64(300) {
		w.root.NullAt(at + 1 + h)
	}
	w.mine(300)
	w.events(1)
	c := w.dialed(nil)
	events, err := w.all(c)
	require.NoError(t, err)
	require.Len(t, events, 2)
	q := w.query(at + 400)
	q.From.Next, q.From.Parent = at+50, common.Hash{} // begun in the middle of it
	_, events, err = c.Events(t.Context(), q)
	require.NoError(t, err)
	require.Len(t, events, 1)
}

func TestTheHeadIsFinalByDepthWhateverTheNodeCallsFinal(t *testing.T) {
	w := newWorld(t, 0)
	w.mine(40)
	c := w.dialed(nil)
	zero := uint64(0)
	w.lie(func(s *lotus.Switches) { s.Finalized = &zero })
	head, err := c.Head(t.Context())
	require.NoError(t, err)
	latest, err := c.Latest(t.Context())
	require.NoError(t, err)
	require.Equal(t, w.root.Head()-depth, head.Number)
	require.Equal(t, w.root.Head()-2, latest.Number)

	// One that lags behind takes nothing back.
	w.lie(func(s *lotus.Switches) { s.Lag = 5 })
	_, err = c.Head(t.Context())
	require.ErrorIs(t, err, chains.ErrUnavailable)
	require.ErrorContains(t, err, "went back")
}

func TestANodeThatStandsStillOrIsAheadOfTimeIsNotRead(t *testing.T) {
	w := newWorld(t, 0)
	w.mine(20)
	cfg := w.config()
	cfg.MaxHeadAge = time.Hour
	_, err := filecoin.Dial(t.Context(), cfg, slog.New(slog.DiscardHandler))
	require.ErrorIs(t, err, chains.ErrUnavailable)

	ahead, err := lotus.Start(t.Context(), lotus.Config{ChainID: chainID, Manual: true, GenesisTime: uint64(time.Now().Add(time.Hour).Unix())})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ahead.Close()) })
	cfg.URL, cfg.MaxHeadAge, cfg.MaxAhead = ahead.Node(0).HTTP(), 0, 0
	_, err = filecoin.Dial(t.Context(), cfg, slog.New(slog.DiscardHandler))
	require.ErrorIs(t, err, chains.ErrUnavailable)
	require.ErrorContains(t, err, "in the future")
}

func TestAnotherChainIsRefused(t *testing.T) {
	w := newWorld(t, 0)
	for _, change := range []func(*filecoin.Config){
		func(c *filecoin.Config) { c.ChainID++ },
		func(c *filecoin.Config) { c.GenesisHash = common.Hash{1} },
	} {
		cfg := w.config()
		change(&cfg)
		_, err := filecoin.Dial(t.Context(), cfg, slog.New(slog.DiscardHandler))
		require.ErrorIs(t, err, chains.ErrWrongChain)
	}
	cfg := w.config()
	cfg.GenesisHash = w.root.Genesis()
	c, err := filecoin.Dial(t.Context(), cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	c.Close()
	for _, bad := range []func(*filecoin.Config){
		func(c *filecoin.Config) { c.Depth = 0 }, func(c *filecoin.Config) { c.Depth = filecoin.MaxDepth + 1 }, func(c *filecoin.Config) { c.Behind = depth + 1 },
	} {
		cfg := w.config()
		bad(&cfg)
		_, err := filecoin.Dial(t.Context(), cfg, slog.New(slog.DiscardHandler))
		require.Error(t, err)
	}
}

// What the node's index says and what its receipts say must be the same: no log is
// lost or made up unnoticed in the ranges that follow the head, nor made up in any.
func TestAnIndexThatLiesLeavesNoAnswer(t *testing.T) {
	w := newWorld(t, 0.1)
	w.events(6)
	for name, lie := range map[string]func(*lotus.Switches){
		"no logs at all":   func(s *lotus.Switches) { s.HideLogs = true },
		"one log left out": func(s *lotus.Switches) { s.DropLog = 1 },
		"a forged log":     func(s *lotus.Switches) { s.ForgeLog = true },
	} {
		t.Run(name, func(t *testing.T) {
			c := w.dialed(nil)
			_, err := w.all(c)
			require.NoError(t, err)
			w.lie(lie)
			defer w.root.Node(0).Reset()
			_, err = w.all(c)
			require.ErrorIs(t, err, chains.ErrUnavailable)
		})
	}
	c := w.dialed(func(cfg *filecoin.Config) { cfg.FullRange = 1 })
	w.lie(func(s *lotus.Switches) { s.ForgeLog = true })
	_, err := w.all(c)
	require.ErrorIs(t, err, chains.ErrUnavailable, "in wide ranges too: the receipt has no such log")
}

func TestRemovedLogsAreNone(t *testing.T) {
	w := newWorld(t, 0)
	w.call()
	w.mine(4)
	require.NoError(t, w.root.Reorg(t.Context(), 3))
	w.mine(depth + 6)
	w.lie(func(s *lotus.Switches) { s.ShowRemoved = true })
	events, err := w.all(w.dialed(nil))
	require.NoError(t, err)
	require.Len(t, events, 1, "once, where it is now")
}

func TestAReceiptThatComesLateIsWaitedFor(t *testing.T) {
	w := newWorld(t, 0)
	w.events(2)
	w.lie(func(s *lotus.Switches) { s.LateReceipts = 1 })
	c := w.dialed(nil)
	events, err := w.all(c)
	for range 5 {
		if err == nil {
			break
		}
		require.ErrorIs(t, err, chains.ErrUnavailable)
		events, err = w.all(c)
	}
	require.NoError(t, err)
	require.Len(t, events, w.calls)
}

func TestReorganizationsAboveWhatIsFinalChangeNothingBelow(t *testing.T) {
	w := newWorld(t, 0.1)
	c := w.dialed(nil)
	w.events(3)
	before, err := w.all(c)
	require.NoError(t, err)
	for _, deep := range []uint64{1, 5, depth - 1} {
		w.call()
		w.mine(2)
		require.NoError(t, w.root.Reorg(t.Context(), deep))
		w.mine(depth + 6)
		after, err := w.all(c)
		require.NoError(t, err)
		require.Equal(t, before, after[:len(before)])
		require.Len(t, after, w.calls)
		before = after
	}
	// One that goes below is told as what it is.
	head, err := c.Head(t.Context())
	require.NoError(t, err)
	require.NoError(t, w.root.Reorg(t.Context(), depth+20))
	w.mine(depth + 40)
	_, err = c.Head(t.Context())
	require.NoError(t, err)
	q := w.query(head.Number + 10)
	q.From.Next, q.From.Parent = head.Number+1, head.Hash
	_, _, err = c.Events(t.Context(), q)
	require.ErrorIs(t, err, chains.ErrReorg)
}

// An event of a large amount ends the range before its block until it lies as deep
// as it must; the events before it are not held up.
func TestLargeAmountsWaitForTheirDepth(t *testing.T) {
	w := newWorld(t, 0)
	w.events(2)
	var large uint64
	c := w.dialed(func(cfg *filecoin.Config) {
		cfg.Deep = func(e chains.Event) uint64 {
			if e.Block == large {
				return 40
			}
			return 0
		}
	})
	all, err := w.all(c)
	require.NoError(t, err)
	require.Len(t, all, 2)
	large = all[1].Block
	last, events, err := c.Events(t.Context(), w.query(w.root.Head()))
	require.NoError(t, err)
	require.Equal(t, all[:1], events)
	require.Equal(t, large-1, last.Number)
	q := w.query(w.root.Head())
	q.From.Next, q.From.Parent = last.Number+1, last.Hash
	_, _, err = c.Events(t.Context(), q)
	require.ErrorIs(t, err, chains.ErrUnavailable)
	require.ErrorContains(t, err, "waits for a depth of 40 epochs")
	w.mine(40)
	_, err = c.Head(t.Context())
	require.NoError(t, err)
	_, events, err = c.Events(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, all[1:], events)
}

// The receipt of a replaced transaction is not that of what took its place.
func TestAReplacedTransactionHasNoReceipt(t *testing.T) {
	w := newWorld(t, 0)
	lost := w.call()
	w.nonce--
	w.root.DropPending()
	won := w.send(&w.contract, []byte{1})
	w.mine(4)
	w.lie(func(s *lotus.Switches) { s.ReplacedReceipts = true })
	c := w.dialed(nil)
	rs, err := c.Receipts(t.Context(), []common.Hash{lost.Hash(), won.Hash()})
	require.NoError(t, err)
	require.Nil(t, rs[0])
	require.NotNil(t, rs[1])
}

func TestAnswersThatAreNoneAreUnavailable(t *testing.T) {
	w := newWorld(t, 0)
	w.events(1)
	for _, body := range lotus.Bodies() {
		if body == lotus.BodyHonest || body == lotus.BodyHang || body == lotus.BodySlow {
			continue
		}
		t.Run(string(body), func(t *testing.T) {
			c := w.dialed(func(cfg *filecoin.Config) { cfg.MaxBytes = 1 << 20 })
			for _, method := range []string{"", "Filecoin.ChainHead", "Filecoin.ChainGetTipSetByHeight", "eth_getLogs", "eth_getBlockReceipts"} {
				w.lie(func(s *lotus.Switches) { s.Body, s.BodyFor = body, method })
				events, err := w.all(c)
				if err == nil {
					require.Len(t, events, w.calls, method) // in a batch the fault did not reach it
					continue
				}
				require.ErrorIs(t, err, chains.ErrUnavailable, method)
			}
			w.root.Node(0).Reset()
			events, err := w.all(c)
			require.NoError(t, err)
			require.Len(t, events, w.calls)
		})
	}
}

// A node whose eth_* tells another block than its tipsets are, the same in headers,
// logs and receipts, is found by hashing the headers.
func TestAHashThatTheHeadersDoNotHaveIsFound(t *testing.T) {
	w := newWorld(t, 0)
	w.events(2)
	honest, err := w.all(w.dialed(nil))
	require.NoError(t, err)
	real, other := honest[1].BlockHash.Hex(), common.Hash{0xba, 0xd}.Hex()
	target := w.root.Node(0).HTTP()
	liar := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		text := string(body)
		if !strings.Contains(text, "Filecoin.") {
			text = strings.ReplaceAll(text, other, real)
		}
		res, err := http.Post(target, "application/json", strings.NewReader(text))
		if err != nil {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		answer, _ := io.ReadAll(res.Body)
		if !strings.Contains(text, "Filecoin.") {
			answer = []byte(strings.ReplaceAll(string(answer), real, other))
		}
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write(answer)
	}))
	t.Cleanup(liar.Close)
	for _, wide := range []uint64{0, 1} {
		c := w.dialed(func(cfg *filecoin.Config) { cfg.URL, cfg.FullRange = liar.URL, wide })
		_, err = w.all(c)
		require.ErrorIs(t, err, chains.ErrUnavailable)
		require.ErrorContains(t, err, "carries another block's hash")
	}
}

// The messages of the newest tipset are not executed yet: state is read below it.
func TestTheLatestTipsetIsOneWhoseStateIsThere(t *testing.T) {
	w := newWorld(t, 0)
	c := w.dialed(func(cfg *filecoin.Config) { cfg.Behind = 0 })
	latest, err := c.Latest(t.Context())
	require.NoError(t, err)
	require.Equal(t, w.root.Head()-1, latest.Number)
	_, err = c.Call(t.Context(), w.contract, nil, evm.AtHash(latest.Hash))
	require.NoError(t, err)
}
