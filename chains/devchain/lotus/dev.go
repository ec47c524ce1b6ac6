package lotus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/filecoin-project/go-jsonrpc"
)

// aliasDev gives the controls their short names.
func aliasDev(srv *jsonrpc.RPCServer) {
	for short, long := range map[string]string{
		"dev_switches": "DevSwitches", "dev_set": "DevSet", "dev_reset": "DevReset", "dev_freeze": "DevFreeze",
		"dev_follow": "DevFollow", "dev_fork": "DevFork", "dev_jumpAhead": "DevJumpAhead", "dev_dropConnections": "DevDropConnections",
		"dev_mine": "DevMine", "dev_reorg": "DevReorg", "dev_pause": "DevPause", "dev_resume": "DevResume",
		"dev_nullAt": "DevNullAt", "dev_nullRate": "DevNullRate", "dev_baseFee": "DevBaseFee", "dev_poolRules": "DevPoolRules",
		"dev_setMinTip": "DevSetMinTip", "dev_dropPending": "DevDropPending", "dev_f3": "DevF3",
	} {
		srv.AliasMethod(short, "Filecoin."+long)
	}
}

// DevSwitches is Node.Switches.
func (h *handler) DevSwitches(context.Context) (Switches, error) { return h.n.Switches(), nil }

// DevSet changes the switches that its one parameter, an object, names.
func (h *handler) DevSet(_ context.Context, p rawParams) (Switches, error) {
	args, err := arguments(json.RawMessage(p))
	if err != nil {
		return Switches{}, err
	}
	changed := h.n.Switches()
	if err := required(args, 0, &changed); err != nil {
		return Switches{}, err
	}
	if _, known := bodies[changed.Body]; !known && changed.Body != BodyHonest {
		return Switches{}, fmt.Errorf("no such body: %q", changed.Body)
	}
	h.n.Set(func(s *Switches) { *s = changed })
	return changed, nil
}

// DevReset is Node.Reset.
func (h *handler) DevReset(context.Context) error { h.n.Reset(); return nil }

// DevFreeze is Node.Freeze.
func (h *handler) DevFreeze(_ context.Context, back hexutil.Uint64) error {
	h.n.Freeze(uint64(back))
	return nil
}

// DevFollow is Node.Follow.
func (h *handler) DevFollow(context.Context) error { h.n.Follow(); return nil }

// DevFork is Node.Fork.
func (h *handler) DevFork(ctx context.Context, depth hexutil.Uint64) error {
	return h.n.Fork(ctx, uint64(depth))
}

// DevJumpAhead is Node.JumpAhead.
func (h *handler) DevJumpAhead(ctx context.Context, epochs hexutil.Uint64) error {
	return h.n.JumpAhead(ctx, uint64(epochs))
}

// DevDropConnections is Node.DropConnections; this one is among them.
func (h *handler) DevDropConnections(context.Context) error { h.n.DropConnections(); return nil }

// DevMine is Root.Mine.
func (h *handler) DevMine(ctx context.Context, n hexutil.Uint64) error {
	if n > 100_000 {
		return errors.New("too many epochs at once")
	}
	return h.n.root.Mine(ctx, int(n))
}

// DevReorg is Root.Reorg.
func (h *handler) DevReorg(ctx context.Context, depth hexutil.Uint64) error {
	return h.n.root.Reorg(ctx, uint64(depth))
}

// DevPause is Root.Pause.
func (h *handler) DevPause(context.Context) error { h.n.root.Pause(); return nil }

// DevResume is Root.Resume.
func (h *handler) DevResume(context.Context) error { h.n.root.Resume(); return nil }

// DevNullAt is Root.NullAt.
func (h *handler) DevNullAt(_ context.Context, epochs []uint64) error {
	h.n.root.NullAt(epochs...)
	return nil
}

// DevNullRate is Root.SetNullRate.
func (h *handler) DevNullRate(_ context.Context, rate float64) error {
	h.n.root.SetNullRate(rate)
	return nil
}

// DevBaseFee is Root.SetBaseFee.
func (h *handler) DevBaseFee(_ context.Context, atto hexutil.Big) error {
	h.n.root.SetBaseFee(atto.ToInt())
	return nil
}

// DevSetMinTip is Root.SetMinPremium.
func (h *handler) DevSetMinTip(_ context.Context, atto hexutil.Big) error {
	h.n.root.SetMinPremium(atto.ToInt())
	return nil
}

// DevPoolRules is Root.SetPoolRules.
func (h *handler) DevPoolRules(_ context.Context, rules PoolRules) error {
	h.n.root.SetPoolRules(rules)
	return nil
}

// DevDropPending is Root.DropPending.
func (h *handler) DevDropPending(context.Context) error { h.n.root.DropPending(); return nil }

// DevF3 is Root.SetF3.
func (h *handler) DevF3(_ context.Context, running bool) error {
	h.n.root.SetF3(running)
	return nil
}
