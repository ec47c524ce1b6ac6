package agree

import (
	"context"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/stretchr/testify/require"
)

// ringing is a reader that wakes.
type ringing struct {
	evm.Reader
	chains.Bell
}

func TestAnyEndpointThatWakesWakes(t *testing.T) {
	r := newRig(t, 3, 2)
	var bells []*ringing
	var list []Endpoint
	for i, reader := range r.readers {
		one := evm.Reader(reader)
		if i > 0 { // the first hears nothing
			bells = append(bells, &ringing{Reader: reader})
			one = bells[i-1]
		}
		list = append(list, Endpoint{Name: string(rune('a' + i)), Dial: func(context.Context) (evm.Reader, error) { return one, nil }})
	}
	c, err := Dial(t.Context(), Config{Name: "root", ChainID: chainID, K: 2, Retry: -1}, list, nil)
	require.NoError(t, err)
	late := time.After(30 * time.Second)
	for range 3 {
		for _, b := range bells {
			woken := chains.WakeOf(c)
			// Its listener may not have come to it yet.
			for heard := false; !heard; {
				b.Ring()
				select {
				case <-woken:
					heard = true
				case <-time.After(time.Millisecond):
				case <-late:
					t.Fatal("nothing wakes")
				}
			}
		}
	}
	c.Close() // and nobody listens any more
}
