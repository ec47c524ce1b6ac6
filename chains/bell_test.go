package chains_test

import (
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/stretchr/testify/require"
)

func TestABellWakesAllWhoWaitAndNobodyBefore(t *testing.T) {
	var b chains.Bell
	b.Ring() // nobody hears it
	first, second := b.Wake(), chains.WakeOf(&b)
	require.NotContains(t, closed(first, second), true)
	b.Ring()
	require.NotContains(t, closed(first, second), false)
	require.Equal(t, []bool{false}, closed(b.Wake()), "each ring is for those who waited then")
	require.Nil(t, chains.WakeOf(struct{}{}))
}

func closed(all ...<-chan struct{}) (out []bool) {
	for _, c := range all {
		select {
		case <-c:
			out = append(out, true)
		default:
			out = append(out, false)
		}
	}
	return out
}
