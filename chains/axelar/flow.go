package axelar

import (
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Why a flow limit refuses an amount.
var (
	// ErrFlowAmount says when an amount is above the limit itself: it passes only
	// once someone raises the limit.
	ErrFlowAmount = errors.New("amount is above the flow limit")
	// ErrFlowWindow says when the window has no room left: it passes in a later
	// one.
	ErrFlowWindow = errors.New("flow limit of this window is used up")
)

// FlowWindow is the length of the windows in which token managers count what
// goes in and out. They begin at multiples of it in Unix time.
const FlowWindow = 6 * time.Hour

const windowSeconds = uint64(FlowWindow / time.Second)

// maxUint256 is what a count can hold.
var maxUint256 = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))

// WindowEnd is the first second of the window after the one that now (Unix
// seconds, the time of a block of the manager's chain) lies in.
func WindowEnd(now uint64) uint64 { return (now/windowSeconds + 1) * windowSeconds }

// Direction says which way an amount passes a token manager.
type Direction uint8

// FlowIn is what ITS gives out at the destination, FlowOut what it takes at
// the source.
const (
	FlowIn Direction = iota
	FlowOut
)

// Flow is what a token manager has counted in the current window, in base
// units. A Limit of zero is none.
type Flow struct {
	Limit *big.Int
	In    *big.Int
	Out   *big.Int
}

// counted is the flow of a direction and of the other one.
func (f Flow) counted(d Direction) (flow, reverse *big.Int) {
	if d == FlowIn {
		return f.In, f.Out
	}
	return f.Out, f.In
}

// Check says whether the manager lets an amount through now: nil, ErrFlowAmount
// or ErrFlowWindow. The rule is that of ITS 2.2.0, |in − out| ≤ limit and
// amount ≤ limit. That of 2.1.1 lets more through in one case, a limit lowered
// below what has already flowed the other way.
func (f Flow) Check(d Direction, amount *big.Int) error {
	if f.Limit.Sign() == 0 {
		return nil
	}
	if amount.Cmp(f.Limit) > 0 {
		return fmt.Errorf("amount %s, limit %s: %w", amount, f.Limit, ErrFlowAmount)
	}
	flow, reverse := f.counted(d)
	after := new(big.Int).Add(flow, amount)
	net := new(big.Int).Sub(after, reverse)
	if after.BitLen() > 256 || net.CmpAbs(f.Limit) > 0 {
		return fmt.Errorf("amount %s, limit %s, in %s, out %s: %w", amount, f.Limit, f.In, f.Out, ErrFlowWindow)
	}
	return nil
}

// Headroom is the largest amount that Check lets through now; ok is false
// where there is no limit. It is zero where nothing passes.
func (f Flow) Headroom(d Direction) (room *big.Int, ok bool) {
	if f.Limit.Sign() == 0 {
		return nil, false
	}
	flow, reverse := f.counted(d)
	room = new(big.Int).Sub(new(big.Int).Add(f.Limit, reverse), flow)
	for _, most := range []*big.Int{f.Limit, new(big.Int).Sub(maxUint256, flow)} {
		if room.Cmp(most) > 0 {
			room.Set(most)
		}
	}
	if room.Sign() <= 0 || f.Check(d, room) != nil {
		return new(big.Int), true
	}
	return room, true
}
