package store_test

import (
	"bytes"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

var alice = common.HexToAddress("0xA11CE00000000000000000000000000000000001")

// chainID has 16 digits, as IPC subnets' have: more than a Lua number prints.
const chainID = chains.ID(2443544983013266)

func reserve(t *testing.T, db *store.DB, key string, chainNonce uint64) chains.Intent {
	t.Helper()
	in, existing, err := db.Reserve(ctx, chainID, alice, chains.Tx{Key: key, To: common.Address{1}, Data: []byte(key), Gas: 1}, chainNonce, 0)
	require.NoError(t, err)
	require.False(t, existing)
	return in
}

func decide(t *testing.T, db *store.DB, in chains.Intent, s chains.IntentState) {
	t.Helper()
	in.State = s
	require.NoError(t, db.Update(ctx, in))
}

func TestANonceIsNeverGivenTwice(t *testing.T) {
	db, _ := open(t, redisFor(t))
	a := reserve(t, db, "a", 5)
	require.EqualValues(t, 5, a.Nonce)
	require.EqualValues(t, 6, reserve(t, db, "b", 5).Nonce)
	decide(t, db, a, chains.IntentSucceeded)
	require.EqualValues(t, 7, reserve(t, db, "c", 0).Nonce, "the chain's answer lags")
	require.EqualValues(t, 20, reserve(t, db, "d", 20).Nonce, "the account was used elsewhere")
	require.EqualValues(t, 21, reserve(t, db, "e", 7).Nonce)

	// another account, another chain: their own nonces
	in, _, err := db.Reserve(ctx, chainID, common.Address{2}, chains.Tx{Key: "f"}, 3, 0)
	require.NoError(t, err)
	require.EqualValues(t, 3, in.Nonce)
	in, _, err = db.Reserve(ctx, 1, alice, chains.Tx{Key: "f"}, 4, 0)
	require.NoError(t, err)
	require.EqualValues(t, 4, in.Nonce)

	_, _, err = db.Reserve(ctx, chainID, alice, chains.Tx{Key: "g"}, 1<<53, 0)
	require.ErrorIs(t, err, store.ErrInvalid)
	require.ErrorContains(t, err, "2^53")
	require.NoError(t, db.Replay(ctx, chains.Intent{Chain: chainID, Account: common.Address{3}, Nonce: 1<<53 - 1, Key: "top"}))
	_, _, err = db.Reserve(ctx, chainID, common.Address{3}, chains.Tx{Key: "h"}, 0, 0)
	require.ErrorIs(t, err, store.ErrInvalid)
}

func TestAKeyHasOneUndecidedIntent(t *testing.T) {
	db, _ := open(t, redisFor(t))
	a := reserve(t, db, "k", 0)
	again, existing, err := db.Reserve(ctx, chainID, common.Address{9}, chains.Tx{Key: "k"}, 50, 1)
	require.NoError(t, err)
	require.True(t, existing)
	require.Equal(t, alice, again.Account, "whatever the account")
	require.Equal(t, a.Nonce, again.Nonce)
	require.Equal(t, []byte("k"), again.Data)
	decide(t, db, a, chains.IntentReverted)
	require.EqualValues(t, 1, reserve(t, db, "k", 0).Nonce)
}

func TestAMemberRidesInOneUndecidedTransaction(t *testing.T) {
	db, _ := open(t, redisFor(t))
	fill(t, db, job(1), job(2))
	l := claim(t, db, 10)
	tx := chains.Tx{Key: "a", Members: []common.Hash{hash(1)}, Fence: l.Fence}
	a, _, err := db.Reserve(ctx, chainID, alice, tx, 0, 0)
	require.NoError(t, err)
	require.Equal(t, "a", get(t, db, 1).Intent)
	require.Empty(t, get(t, db, 2).Intent)

	tx.Key, tx.Members = "b", []common.Hash{hash(2), hash(1)}
	_, _, err = db.Reserve(ctx, chainID, alice, tx, 0, 0)
	require.ErrorIs(t, err, chains.ErrBusy)
	_, _, err = db.Reserve(ctx, 1, alice, tx, 0, 0)
	require.ErrorIs(t, err, chains.ErrBusy, "on another chain too")
	require.Empty(t, get(t, db, 2).Intent, "nothing of a refused reserve is written")

	for _, s := range []chains.IntentState{chains.IntentSigned, chains.IntentIncluded, chains.IntentSigned} {
		decide(t, db, a, s)
		require.Equal(t, "a", get(t, db, 1).Intent, "not free while %s", s)
	}
	decide(t, db, a, chains.IntentReplaced)
	require.Empty(t, get(t, db, 1).Intent)
	_, _, err = db.Reserve(ctx, chainID, alice, tx, 0, 0)
	require.NoError(t, err)

	// a lease shows it
	require.NoError(t, db.Settle(ctx, l, nil))
	require.Equal(t, "b", claim(t, db, 1).Jobs[0].Intent)

	_, _, err = db.Reserve(ctx, chainID, alice, chains.Tx{Key: "c", Members: []common.Hash{hash(2)}}, 0, 0)
	require.ErrorIs(t, err, store.ErrInvalid, "members need a fence")
}

func TestAMemberThatLeftItsStepStaysOut(t *testing.T) {
	db, _ := open(t, redisFor(t))
	fill(t, db, job(1), job(2))
	l := claim(t, db, 10)
	_, _, err := db.Backfill(ctx, "root", nil, []store.Fact{fact("send/1", store.OK, 1)})
	require.NoError(t, err)
	_, _, err = db.Reserve(ctx, chainID, alice, chains.Tx{Key: "a", Members: []common.Hash{hash(1), hash(2)}, Fence: l.Fence}, 0, 0)
	require.ErrorIs(t, err, chains.ErrStale)
	_, _, err = db.Reserve(ctx, chainID, alice, chains.Tx{Key: "a", Members: []common.Hash{hash(2)}, Fence: l.Fence}, 0, 0)
	require.NoError(t, err)
	// and its verdict is ignored
	require.NoError(t, db.Settle(ctx, l, []store.Verdict{{ID: hash(1), Step: "send", Advance: store.Failed}}))
	require.Equal(t, "await", get(t, db, 1).Step)
	require.Len(t, get(t, db, 1).History, 1)
}

func TestTooManyInFlightIsBusy(t *testing.T) {
	db, _ := open(t, redisFor(t))
	reserve(t, db, "a", 0)
	b := reserve(t, db, "b", 0)
	_, _, err := db.Reserve(ctx, chainID, alice, chains.Tx{Key: "c"}, 0, 2)
	require.ErrorIs(t, err, chains.ErrBusy)
	decide(t, db, b, chains.IntentForeign)
	_, _, err = db.Reserve(ctx, chainID, alice, chains.Tx{Key: "c"}, 0, 2)
	require.NoError(t, err)
	live, err := db.Live(ctx, chainID, alice)
	require.NoError(t, err)
	require.Len(t, live, 2)
	require.EqualValues(t, 0, live[0].Nonce)
	require.EqualValues(t, 2, live[1].Nonce)
}

func TestAnIntentComesBackAsItWas(t *testing.T) {
	db, c := open(t, redisFor(t))
	value, _ := new(big.Int).SetString("115792089237316195423570985008687907853269984665640564039457584007913129639935", 10)
	data := bytes.Repeat([]byte{0, 10, 13, 255}, 30_000)
	in, _, err := db.Reserve(ctx, chainID, alice, chains.Tx{Key: "k", To: common.Address{7}, Data: data, Value: value, Gas: 1<<64 - 1}, 9, 0)
	require.NoError(t, err)
	tries := []chains.Attempt{
		{Hash: hash(1), Raw: data, TipWei: big.NewInt(1), FeeCapWei: value, SentAt: c.now().UTC()},
		{Hash: hash(2), Raw: []byte{10, 10}, TipWei: value, FeeCapWei: value, NoOp: true, SentAt: c.now().UTC()},
	}
	for _, a := range tries {
		require.NoError(t, db.SaveAttempt(ctx, in, a))
	}
	in.State, in.Block, in.BlockHash, in.TxHash, in.GasUsed, in.Abandoned = chains.IntentIncluded, 1<<60, hash(8), hash(2), 1<<62, true
	require.NoError(t, db.Update(ctx, in))
	in.Attempts = tries
	got, ok, err := db.Intent(ctx, chainID, alice, 9)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, storetest.DescribeIntent(in), storetest.DescribeIntent(got))

	// a list leaves out what is long, and takes nothing for lost
	short := in
	short.Data, short.Abandoned = nil, true
	short.Attempts = slices.Clone(tries)
	short.Attempts[0].Raw, short.Attempts[1].Raw = nil, nil
	unsigned, _, err := db.Reserve(ctx, chainID, alice, chains.Tx{Key: "unsigned", Data: data}, 9, 0)
	require.NoError(t, err)
	live, err := db.Live(ctx, chainID, alice)
	require.NoError(t, err)
	require.Len(t, live, 2)
	require.Equal(t, storetest.DescribeIntent(short), storetest.DescribeIntent(live[0]))
	require.Equal(t, storetest.DescribeIntent(unsigned), storetest.DescribeIntent(live[1]))
	decide(t, db, unsigned, chains.IntentReplaced)

	// the same hash renews its line
	tries[1].SentAt = tries[1].SentAt.Add(time.Minute)
	require.NoError(t, db.SaveAttempt(ctx, in, tries[1]))
	got, _, err = db.Intent(ctx, chainID, alice, 9)
	require.NoError(t, err)
	require.Len(t, got.Attempts, 2)
	require.Equal(t, tries[1].SentAt, got.Attempts[1].SentAt)

	// decided: bytes go, hashes stay
	decide(t, db, in, chains.IntentReplaced)
	got, _, err = db.Intent(ctx, chainID, alice, 9)
	require.NoError(t, err)
	require.Empty(t, got.Data)
	require.Empty(t, got.Attempts[0].Raw)
	require.Equal(t, hash(1), got.Attempts[0].Hash)
	require.Equal(t, "k", got.Key)

	_, ok, err = db.Intent(ctx, chainID, alice, 11)
	require.NoError(t, err)
	require.False(t, ok)
}

func TestADecidedIntentStaysDecided(t *testing.T) {
	db, _ := open(t, redisFor(t))
	in := reserve(t, db, "a", 0)
	decide(t, db, in, chains.IntentSucceeded)
	decide(t, db, in, chains.IntentSucceeded)
	for _, s := range []chains.IntentState{chains.IntentReserved, chains.IntentSigned, chains.IntentIncluded, chains.IntentReverted, chains.IntentForeign} {
		in.State = s
		require.ErrorIs(t, db.Update(ctx, in), store.ErrDecided)
	}
	require.ErrorIs(t, db.SaveAttempt(ctx, in, chains.Attempt{Hash: hash(1)}), store.ErrDecided)
	in.State = "gone"
	require.ErrorIs(t, db.Update(ctx, in), store.ErrInvalid)
	in.State, in.Nonce = chains.IntentSigned, 99
	require.ErrorIs(t, db.Update(ctx, in), store.ErrUnknown)
	require.ErrorIs(t, db.SaveAttempt(ctx, in, chains.Attempt{Hash: hash(1)}), store.ErrUnknown)
}

func TestAManagerThatReadTooEarlyDoesNotUnsign(t *testing.T) {
	db, _ := open(t, redisFor(t))
	in := reserve(t, db, "a", 0)
	require.NoError(t, db.SaveAttempt(ctx, in, chains.Attempt{Hash: hash(1), Raw: []byte{1}}))
	in.Abandoned = true
	decide(t, db, in, chains.IntentReserved)
	got, _, err := db.Intent(ctx, chainID, alice, 0)
	require.NoError(t, err)
	require.Equal(t, chains.IntentSigned, got.State)
	require.True(t, got.Abandoned)
}

func TestAReplayPutsBackOnlyWhatIsMissing(t *testing.T) {
	s := redisFor(t)
	db, c := open(t, s)
	fill(t, db, job(1))
	l := claim(t, db, 1)
	in, _, err := db.Reserve(ctx, chainID, alice, chains.Tx{Key: "a", Data: []byte{1}, Members: []common.Hash{hash(1)}, Fence: l.Fence}, 4, 0)
	require.NoError(t, err)
	try := chains.Attempt{Hash: hash(1), Raw: []byte{1}, TipWei: big.NewInt(1), FeeCapWei: big.NewInt(2), SentAt: c.now().UTC()}
	kept := in
	kept.Attempts, kept.State = []chains.Attempt{try}, chains.IntentSigned

	// the attempt was lost, the intent was not
	require.NoError(t, db.Replay(ctx, kept))
	got, _, err := db.Intent(ctx, chainID, alice, 4)
	require.NoError(t, err)
	require.Equal(t, storetest.DescribeIntent(kept), storetest.DescribeIntent(got))

	// everything was lost: nonce, key and members are frozen again
	other, err := store.Open(ctx, store.Options{URL: s.URL(), Namespace: "fresh", AllowUnsafe: forgets(s)})
	require.NoError(t, err)
	defer other.Close()
	require.NoError(t, other.Replay(ctx, kept))
	fresh, existing, err := other.Reserve(ctx, chainID, alice, chains.Tx{Key: "a"}, 0, 0)
	require.NoError(t, err)
	require.True(t, existing)
	require.Equal(t, storetest.DescribeIntent(kept), storetest.DescribeIntent(fresh))
	fresh, _, err = other.Reserve(ctx, chainID, alice, chains.Tx{Key: "b"}, 0, 0)
	require.NoError(t, err)
	require.EqualValues(t, 5, fresh.Nonce)
	fill(t, other, job(1))
	l = claim(t, other, 1)
	require.Equal(t, "a", l.Jobs[0].Intent)
	_, _, err = other.Reserve(ctx, chainID, alice, chains.Tx{Key: "c", Members: []common.Hash{hash(1)}, Fence: l.Fence}, 0, 0)
	require.ErrorIs(t, err, chains.ErrBusy)

	// a decided one stays decided, and another history is a conflict
	decide(t, other, kept, chains.IntentSucceeded)
	require.NoError(t, other.Replay(ctx, kept))
	got, _, err = other.Intent(ctx, chainID, alice, 4)
	require.NoError(t, err)
	require.Equal(t, chains.IntentSucceeded, got.State)
	require.Empty(t, got.Attempts[0].Raw)
	require.Empty(t, get(t, other, 1).Intent)
	kept.Data = []byte{2}
	require.ErrorIs(t, other.Replay(ctx, kept), store.ErrConflict)
}

func TestAPayloadThatRedisLostIsNeverSignedAsAnother(t *testing.T) {
	s := redisFor(t)
	db, _ := open(t, s)
	in, _, err := db.Reserve(ctx, chainID, alice, chains.Tx{Key: "k", To: common.Address{7}, Data: []byte("pay")}, 9, 0)
	require.NoError(t, err)
	keys, err := s.Client().Keys(ctx, "*txdata").Result()
	require.NoError(t, err)
	require.Len(t, keys, 1)
	require.NoError(t, s.Client().Del(ctx, keys[0]).Err())

	got, ok, err := db.Intent(ctx, chainID, alice, in.Nonce)
	require.NoError(t, err)
	require.True(t, ok)
	require.Empty(t, got.Data)
	require.True(t, got.Abandoned, "its nonce goes to a no-op")
}
