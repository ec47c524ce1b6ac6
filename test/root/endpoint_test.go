package root_test

import (
	"context"
	"fmt"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/agree"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/filecoin"
)

func nameOf(i int) string { return fmt.Sprintf("endpoint-%d", i) }

// endpoint is one of the relayer's, as it reads it.
func (w *world) endpoint(i int) agree.Endpoint {
	return agree.Endpoint{Name: nameOf(i), Dial: func(ctx context.Context) (evm.Reader, error) {
		c, err := filecoin.Dial(ctx, filecoin.Config{
			Config: evm.Config{
				Name: "root", URL: w.root.Node(i).HTTP(), ChainID: chainID, GenesisHash: w.root.Genesis(),
				StartBlock: w.start, MaxRange: 2000, MaxBytes: 4 << 20, Timeout: 4 * time.Second,
			},
			Depth: w.depth, Behind: 2,
		}, nil)
		if err != nil {
			return nil, err // an interface of nothing is not nothing
		}
		return refusing{c, func() { w.notice(nameOf(i)) }}, nil
	}}
}

// refusing tells when a reader does not believe its own node, which is sooner than
// anybody else can: an endpoint that is a block behind is not weighed yet.
type refusing struct {
	evm.Reader
	tell func()
}

func (r refusing) Events(ctx context.Context, q chains.Query) (chains.Block, []chains.Event, error) {
	last, events, err := r.Reader.Events(ctx, q)
	if err != nil && ctx.Err() == nil {
		r.tell()
	}
	return last, events, err
}
