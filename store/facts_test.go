package store_test

import (
	"fmt"
	"testing"

	"github.com/causeway-bridge/causeway/store"
	"github.com/stretchr/testify/require"
)

func TestTheFactsOfARangeAreReadInOrderOfHeightsSharedOnesToo(t *testing.T) {
	db, _ := open(t, redisFor(t))
	var want []store.Fact
	for n := 1; n <= 1200; n++ {
		f := fact(fmt.Sprintf("key/%d", n%400), store.OK, n) // three of each key
		f.Chain, f.Height, f.Shared = "root", uint64(n), n%2 == 0
		if n%400%2 != n%2 {
			t.Fatal("a key is shared or it is not")
		}
		_, _, err := db.Backfill(ctx, "root", nil, []store.Fact{f})
		require.NoError(t, err)
		if n >= 50 && n <= 1150 {
			want = append(want, f)
		}
	}
	elsewhere := fact("key/1", store.OK, 60)
	elsewhere.Chain, elsewhere.Height = "root2", 60
	_, _, err := db.Backfill(ctx, "root2", nil, []store.Fact{elsewhere})
	require.NoError(t, err)

	var got []store.Fact
	require.NoError(t, db.EachFact(ctx, "root", 50, 1150, func(f store.Fact) { got = append(got, f) }))
	require.Equal(t, want, got)
	require.Error(t, db.EachFact(ctx, "ro\not", 0, 1, nil))
}
