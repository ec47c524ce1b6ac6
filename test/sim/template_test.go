package sim

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTemplate(t *testing.T) {
	w, err := fresh()
	require.NoError(t, err)
	t.Logf("root blocks %d, time left %d", len(w.root.blocks), uint64(began.Unix())-w.root.top().time)
	require.Less(t, w.root.top().time, uint64(began.Unix()))
}

func BenchmarkClone(b *testing.B) {
	w, err := fresh()
	require.NoError(b, err)
	for b.Loop() {
		w.root.clone()
	}
}

func BenchmarkCopy(b *testing.B) {
	w, err := fresh()
	require.NoError(b, err)
	for b.Loop() {
		w.root.top().state.Copy()
	}
}
