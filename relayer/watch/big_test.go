package watch_test

import (
	"context"
	"encoding/binary"
	"log/slog"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"
)

// dying is a journal whose process dies after some writes.
type dying struct {
	*store.DB
	left int
}

func (d *dying) Ingest(ctx context.Context, chain string, from, to chains.Cursor, jobs []store.NewJob, facts []store.Fact) error {
	if d.left == 0 {
		return store.ErrDown
	}
	d.left--
	return d.DB.Ingest(ctx, chain, from, to, jobs, facts)
}

// counted is a flow whose transfers are numbered by their event's data; a later
// event of the same number ends one.
func counted() flow.Flow {
	f := plain("flow")
	f.Decode = func(e chains.Event) (tokens.Transfer, bool, error) {
		n := binary.BigEndian.Uint64(e.Data)
		return tokens.Transfer{ID: hash(1 + n), Route: "flow", Nonce: n, Ref: hash(1 + n), Origin: e.ID(), Height: e.Block, At: e.BlockTime}, e.Topics[0] == begins, nil
	}
	f.Steps[0].Effect = func(e chains.Event) (flow.Key, flow.Outcome, bool) {
		return flow.Key(hash(1 + binary.BigEndian.Uint64(e.Data)).Hex()), flow.Outcome{Kind: flow.Ok}, e.Topics[0] == decides
	}
	return f
}

func TestABlockOfManyPartsGoesInWhereverTheProcessDies(t *testing.T) {
	const count, ended = 4_000, 1_000 // 20 parts
	n := fake.NewNode(t, chainID)
	var logs []*types.Log
	for i := range count + ended {
		topic, number := begins, uint64(i)
		if i%5 == 4 { // the end of the one before
			topic, number = decides, uint64(i-1)
		}
		logs = append(logs, fake.Log(contract, topic, binary.BigEndian.AppendUint64(nil, number)))
	}
	big := n.MineLogs(logs...)
	n.Mine()
	n.SetFinal(0)
	client, err := evm.Dial(t.Context(), evm.Config{Name: "root", URL: n.URL(), ChainID: chainID, Timeout: time.Minute}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	db, err := store.Open(t.Context(), store.Options{URL: storetest.StartRedis(t).URL(), Namespace: "big"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })

	// Deaths after a part, after many, after the last of the block; each time
	// another process begins again.
	for _, life := range []struct {
		writes int
		done   bool
	}{{1, false}, {8, false}, {19, false}, {20, true}} {
		j := &dying{DB: db, left: life.writes}
		w, err := watch.New(watch.Config{
			Chain: "root", Source: client, Filter: (&bench{c: &chain{}, j: newJournal(1)}).config().Filter, Flows: []flow.Flow{counted()},
			Start: chains.Cursor{Chain: chainID, Next: big}, Journal: j, Tick: time.Second, Log: slog.New(slog.DiscardHandler),
		})
		require.NoError(t, err)
		for err == nil && j.left > 0 {
			_, err = watch.Step(w, t.Context())
		}
		cur, _, err := db.Cursor(t.Context(), "root")
		require.NoError(t, err)
		require.Equal(t, life.done, cur.Next > big, "the cursor waits for the whole block")
	}
	stats, err := db.Stats(t.Context())
	require.NoError(t, err)
	byStatus := map[tokens.Status]int{}
	for _, c := range stats.Counts {
		byStatus[c.Status] += c.N
	}
	require.Equal(t, map[tokens.Status]int{tokens.Done: ended, tokens.Pending: count - ended}, byStatus)
	repairs, err := db.Audit(t.Context())
	require.NoError(t, err)
	require.Zero(t, repairs)
}
