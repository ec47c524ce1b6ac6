package node

import (
	"context"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/stretchr/testify/require"
)

// wakingParent is a parent that says when there is something new.
type wakingParent struct {
	*fakeParent
	*chains.Bell
}

func TestAParentThatWakesIsLookedAtAtOnce(t *testing.T) {
	w := newWatch(t)
	var bell chains.Bell
	w.watcher.parent = wakingParent{w.p, &bell}
	w.p.mine(5)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.watcher.run(ctx, time.Hour)
	}()
	for range 3 {
		top := w.p.mine(2)
		bell.Ring()
		require.Eventually(t, func() bool { height, _, _ := w.cache.newest(); return height == top }, time.Minute, time.Millisecond)
	}
	cancel()
	<-ended
}
