package root_test

import (
	"context"
	"fmt"
	"time"

	"github.com/causeway-bridge/causeway/chains/agree"
	"github.com/causeway-bridge/causeway/chains/evm"
)

func nameOf(i int) string { return fmt.Sprintf("endpoint-%d", i) }

// endpoint is one of the relayer's, as it reads it.
func (w *world) endpoint(i int) agree.Endpoint {
	return agree.Endpoint{Name: nameOf(i), Dial: func(ctx context.Context) (evm.Reader, error) {
		return evm.DialReader(ctx, evm.Config{
			Name: "root", URL: w.root.Node(i).HTTP(), ChainID: chainID, GenesisHash: w.root.Genesis(),
			Finality: fmt.Sprintf("depth:%d", w.depth), StartBlock: w.start, MaxRange: 2000,
			NoBloom: true, MaxBytes: 4 << 20, Timeout: 4 * time.Second,
		}, nil)
	}}
}
