package store_test

import (
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// lossOf is what the store says was lost.
func lossOf(t *testing.T, db *store.DB) store.Recovery {
	t.Helper()
	r, on, err := db.Recovering(ctx)
	require.NoError(t, err)
	require.True(t, on)
	return r
}

func steady(t *testing.T, db *store.DB) {
	t.Helper()
	_, on, err := db.Recovering(ctx)
	require.NoError(t, err)
	require.False(t, on)
}

// rollback cuts the end off the file of a server, back to a length.
func rollback(t *testing.T, s *storetest.Server, to int64) {
	t.Helper()
	now, err := s.AOFSize()
	require.NoError(t, err)
	s.Kill()
	require.NoError(t, s.Truncate(now-to))
	require.NoError(t, s.Restart())
}

func written(t *testing.T, s *storetest.Server) int64 {
	t.Helper()
	n, err := s.AOFSize()
	require.NoError(t, err)
	return n
}

func signed(in chains.Intent) chains.Intent {
	in.State = chains.IntentSigned
	in.Attempts = []chains.Attempt{{Hash: hash(50), Raw: []byte{1}, TipWei: big.NewInt(1), FeeCapWei: big.NewInt(2), SentAt: time.Unix(1, 0).UTC()}}
	return in
}

// TestALostEndStopsEverythingUntilItIsThereAgain: a nonce was signed for and
// forgotten. Nobody gets a lease or a nonce before the file is back and somebody
// says that the journal agrees with the chains.
func TestALostEndStopsEverythingUntilItIsThereAgain(t *testing.T) {
	s := storetest.StartRedis(t)
	db, _ := open(t, s)
	require.NoError(t, db.InitCursor(ctx, "root", cursor(1)))
	require.NoError(t, db.Ingest(ctx, "root", cursor(1), cursor(2), []store.NewJob{job(1), job(2)}, nil))
	before := written(t, s)
	l := claim(t, db, 1)
	tx := chains.Tx{Key: "a", To: common.Address{7}, Data: []byte("pay"), Members: []common.Hash{hash(1)}, Fence: l.Fence}
	in, _, err := db.Reserve(ctx, chainID, alice, tx, 4, 0)
	require.NoError(t, err)
	require.NoError(t, db.Ingest(ctx, "root", cursor(2), cursor(3), []store.NewJob{job(3)}, nil))
	steady(t, db)

	rollback(t, s, before)
	_, _, err = db.Claim(ctx, "w", 1)
	require.ErrorIs(t, err, store.ErrRestarted)
	require.NoError(t, db.Reopen(ctx))
	r := lossOf(t, db)
	require.Equal(t, "redis is back at epoch 1, mark 1; a has seen 1, 4", r.Why)
	require.Equal(t, int64(1_760_000_000), r.Since.Unix())

	_, ok, err := db.Claim(ctx, "w", 1)
	require.NoError(t, err)
	require.False(t, ok, "no lease")
	_, _, err = db.Reserve(ctx, chainID, alice, chains.Tx{Key: "other"}, 4, 0)
	require.ErrorIs(t, err, chains.ErrBusy, "no nonce")
	hole := chains.Intent{Chain: chainID, Account: alice, Nonce: 4, Key: "hole", Abandoned: true}
	require.ErrorIs(t, db.Replay(ctx, hole), chains.ErrBusy, "nor for a hole: whose it is, a file may know")
	require.NoError(t, db.Ingest(ctx, "root", cursor(2), cursor(3), []store.NewJob{job(3)}, nil), "watchers go on")
	require.Equal(t, "send", get(t, db, 3).Step)

	// Others see it too, and it outlives every process.
	other, _ := open(t, s)
	require.Equal(t, r, lossOf(t, other))
	_, ok, err = other.Claim(ctx, "w", 1)
	require.NoError(t, err)
	require.False(t, ok)

	require.NoError(t, db.Replay(ctx, signed(in)))
	foreign := in
	foreign.State = chains.IntentForeign
	require.ErrorIs(t, db.Update(ctx, foreign), chains.ErrBusy, "who has used a nonce is not known yet")
	wrong := r
	wrong.Token = "1 abc"
	require.ErrorIs(t, db.Recovered(ctx, wrong, "a", "green"), store.ErrOtherLoss)
	require.Equal(t, r, lossOf(t, db))
	require.NoError(t, other.Recovered(ctx, r, "b", "green"))
	require.NoError(t, db.Recovered(ctx, r, "a", "green"), "another was first")
	steady(t, db)

	l = claim(t, db, 1)
	require.Equal(t, "a", l.Jobs[0].Intent, "it rides in what was signed")
	next, _, err := db.Reserve(ctx, chainID, alice, chains.Tx{Key: "b"}, 4, 0)
	require.NoError(t, err)
	require.EqualValues(t, 5, next.Nonce)

	var told []string
	lines, err := s.Client().XRange(ctx, "{test}:journal", "-", "+").Result()
	require.NoError(t, err)
	for _, line := range lines {
		if k := line.Values["k"].(string); k == "forgot" || k == "recovered" {
			told = append(told, k+" "+line.Values["by"].(string)+" "+line.Values["why"].(string))
		}
	}
	require.Equal(t, []string{"forgot a " + r.Why, "recovered b green"}, told)
}

// TestAProcessThatIsStartedAgainKnowsFromItsDiskWhatWasLost, whether it ended
// well or was killed after its last look at the server.
func TestAProcessThatIsStartedAgainKnowsFromItsDiskWhatWasLost(t *testing.T) {
	for _, end := range []string{"well", "killed"} {
		t.Run(end, func(t *testing.T) {
			s, file := storetest.StartRedis(t), filepath.Join(t.TempDir(), "epoch")
			with := func(o *store.Options) { o.EpochFile = file }
			db, _ := open(t, s, with)
			require.NoError(t, db.InitCursor(ctx, "root", cursor(1)))
			before := written(t, s)
			require.NoError(t, db.Ingest(ctx, "root", cursor(1), cursor(2), nil, nil))
			if end == "well" {
				require.NoError(t, db.Close())
			} else {
				require.NoError(t, db.Durable(ctx))
			}
			rollback(t, s, before)

			db, _ = open(t, s, with)
			r := lossOf(t, db)
			require.Contains(t, r.Why, "mark 0; a has seen 1, 1")

			// A death between the script and the file leaves the file as it was.
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(string(raw), "2 "))
			require.NoError(t, os.WriteFile(file, append([]byte("1"), raw[1:]...), 0o600))
			db, _ = open(t, s, with)
			require.Equal(t, r, lossOf(t, db), "found once")
		})
	}
}

func TestAnEndThatIsLostAgainIsAnotherLossSinceTheFirst(t *testing.T) {
	s := storetest.StartRedis(t)
	r := s.Client()
	defer r.Close()
	db, c := open(t, s)
	require.NoError(t, db.InitCursor(ctx, "root", cursor(1)))
	back := func() {
		require.NoError(t, db.Ingest(ctx, "root", cursor(1), cursor(1), nil, nil))
		require.NoError(t, db.Durable(ctx))
		require.NoError(t, r.Decr(ctx, "{test}:fence").Err())
		require.ErrorIs(t, db.Durable(ctx), store.ErrForgot, "noticed under the same server")
		_, _, err := db.Claim(ctx, "w", 1)
		require.ErrorIs(t, err, store.ErrForgot)
		require.NoError(t, db.Reopen(ctx))
	}
	back()
	first := lossOf(t, db)
	c.advance(time.Hour)
	back()
	second := lossOf(t, db)
	require.NotEqual(t, first.Token, second.Token)
	require.Equal(t, first.Since, second.Since)
	require.ErrorIs(t, db.Recovered(ctx, first, "a", "green"), store.ErrOtherLoss, "what was compared is not what is there")
	require.NoError(t, db.Recovered(ctx, second, "a", "green"))
	steady(t, db)
}

func TestAMarkThatWasDroppedIsNoLostEnd(t *testing.T) {
	s := storetest.StartRedis(t)
	r := s.Client()
	defer r.Close()
	db, _ := open(t, s)
	require.NoError(t, db.InitCursor(ctx, "root", cursor(1)))
	require.NoError(t, db.Ingest(ctx, "root", cursor(1), cursor(2), []store.NewJob{job(1), job(2)}, nil))
	low := claim(t, db, 1).Fence.Counter
	require.NoError(t, r.Del(ctx, "{test}:fence").Err())
	require.NoError(t, db.Durable(ctx))
	require.NoError(t, db.Reopen(ctx))
	steady(t, db)
	require.NoError(t, r.Del(ctx, "{test}:fence").Err())
	require.NoError(t, db.Ingest(ctx, "root", cursor(2), cursor(3), []store.NewJob{loose(3)}, nil))
	require.NoError(t, db.Durable(ctx))
	require.Greater(t, claim(t, db, 1).Fence.Counter, low, "fences only rise")
}

func TestAHistoryThatAnOperatorGaveUpIsRecoveredToo(t *testing.T) {
	s, file := storetest.StartRedis(t), filepath.Join(t.TempDir(), "epoch")
	r := s.Client()
	defer r.Close()
	with := func(o *store.Options) { o.EpochFile = file }
	db, _ := open(t, s, with)
	require.NoError(t, db.InitCursor(ctx, "root", cursor(1)))
	require.NoError(t, db.Ingest(ctx, "root", cursor(1), cursor(2), []store.NewJob{job(1)}, nil))
	epoch := db.Epoch()
	require.NoError(t, db.Close())
	require.NoError(t, r.FlushAll(ctx).Err())

	require.ErrorIs(t, tryOpen(t, s, with), store.ErrForgot)
	n, err := r.Exists(ctx, "{test}:recovering", "{test}:epoch").Result()
	require.NoError(t, err)
	require.Zero(t, n, "nothing is written to it before")
	db, _ = open(t, s, with, func(o *store.Options) { o.AcceptForgotten = true })
	require.Greater(t, db.Epoch(), epoch)
	require.Equal(t, "a has seen another history", lossOf(t, db).Why)
	require.NoError(t, db.Durable(ctx), "marks begin anew")

	// A first opening has lost nothing.
	require.NoError(t, r.FlushAll(ctx).Err())
	db, _ = open(t, s)
	steady(t, db)
}
