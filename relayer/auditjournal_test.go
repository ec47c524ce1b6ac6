package relayer

import (
	"context"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/relayer/audit"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

func TestTheAuditReadsTheJournalAsItIs(t *testing.T) {
	ctx := context.Background()
	db, err := store.Open(ctx, store.Options{URL: storetest.StartRedis(t).URL(), Namespace: "audit", Instance: "test"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	j := auditJournal{db}

	ours, theirs := common.Address{1}, common.Address{2}
	job := func(id byte, subnet common.Address, height uint64, hidden bool) store.NewJob {
		return store.NewJob{
			Transfer: tokens.Transfer{
				ID: common.Hash{id}, Route: "flt_deposit", Subnet: subnet, Nonce: uint64(id), Hidden: hidden,
				Origin: chains.EventID{Chain: 7, Tx: common.Hash{id, id}}, Height: height, At: 1000 + height,
			},
			Steps: []store.StepPlan{{Name: "deliver", Lane: "x", Key: "k", Next: map[store.Outcome]string{"ok": "done"}}},
		}
	}
	from := chains.Cursor{Chain: 7}
	require.NoError(t, db.InitCursor(ctx, "root", from))
	to := chains.Cursor{Chain: 7, Next: 10, Parent: common.Hash{9}}
	require.NoError(t, db.Ingest(ctx, "root", from, to, []store.NewJob{job(1, ours, 3, false), job(2, theirs, 4, false), job(3, ours, 5, true)}, nil))

	// What began in a block that is no more is another alert's matter.
	_, _, err = db.Backfill(ctx, "root", []store.NewJob{job(8, ours, 9, false)}, nil)
	require.NoError(t, err)
	f, err := db.Quarantine(ctx, "root", to, chains.Block{Number: 8, Hash: common.Hash{8}}, "changed")
	require.NoError(t, err)
	_, err = db.AcceptFork(ctx, f, to, "test")
	require.NoError(t, err)
	gone, ok, err := db.Get(ctx, common.Hash{8})
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, tokens.Parked, gone.Status)

	// Nor is it once somebody has given it up.
	require.NoError(t, db.Discard(ctx, common.Hash{8}, "ann", "spent otherwise"))
	var marked []common.Hash
	require.NoError(t, j.Each(ctx, ours, func(s audit.Standing) {
		if s.Gone {
			marked = append(marked, s.ID)
		}
	}))
	require.Equal(t, []common.Hash{{8}}, marked)

	cur, ok, err := j.Cursor(ctx, "root")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, to, cur)

	missing, err := j.Missing(ctx, []common.Hash{{1}, {4}, {3}, {5}})
	require.NoError(t, err)
	require.Equal(t, []common.Hash{{4}, {5}}, missing)

	newest, err := j.Newest(ctx, ours, 10)
	require.NoError(t, err)
	require.Equal(t, []audit.Entry{{ID: common.Hash{3}, Route: "flt_deposit", Chain: 7, Height: 5}, {ID: common.Hash{1}, Route: "flt_deposit", Chain: 7, Height: 3}}, newest)
	newest, err = j.Newest(ctx, ours, 1)
	require.NoError(t, err)
	require.Len(t, newest, 1)

	_, ok, err = j.Intent(ctx, 7, ours, 0)
	require.NoError(t, err)
	require.False(t, ok)
}
