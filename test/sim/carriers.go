package sim

import (
	"time"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// hungry is an account in the subnet that takes what comes as long as it is
// given as much gas as every recipient is promised, and gives up at once
// otherwise.
var hungry = common.HexToAddress("0x00000000000000000000000000000000004a9e57")

// appetite is the code of it: revert if gas is below 400,000.
var appetite = []byte{0x62, 0x06, 0x1a, 0x80, 0x5a, 0x10, 0x60, 0x0a, 0x57, 0x00, 0x5b, 0x5f, 0x5f, 0xfd}

// drawMiser lets a stranger carry with so little gas that a recipient could be
// starved, were it not for the contracts.
func (r *run) drawMiser(s *scenario, at time.Duration) {
	k, wei := key(user(r.rng.IntN(users))), ether(1)
	s.add(max(at-2*time.Second, 0), func(r *run) {
		r.fund(k, hungry, wei)
		r.withdraw(k, r.deployment.Root.Flt, addressOf(key("sink0")), wei)
	}, "somebody sends to who wants all the gas that is promised, and withdraws")
	for range 12 {
		gas := 200_000 + r.rng.Uint64N(1_200_000)
		s.add(at, func(r *run) { r.stranger(1, gas) }, "a stranger carries a message each way with %d gas", gas)
		at += r.between(300*time.Millisecond, 1500*time.Millisecond)
	}
}

// drawUndone lets a stranger carry and the root lose just that, again and again.
func (r *run) drawUndone(s *scenario, at time.Duration) {
	for range 8 {
		s.add(at, func(r *run) { r.stranger(4, plenty) }, "a stranger carries up to 4 messages each way")
		at += r.between(1100*time.Millisecond, 2*time.Second)
		s.add(at, func(r *run) {
			r.root.reorg(rootDepth, func(tx *types.Transaction) bool { return r.root.sender(tx) == addressOf(key("stranger")) })
		}, "the root replaces %d blocks and loses what the stranger carried", rootDepth)
		at += r.between(100*time.Millisecond, time.Second)
	}
}

// checkStarved: PROTOCOL 14, no message fails but by who gets it: whoever
// carries it chooses the gas, and must not choose more than that.
func (r *run) checkStarved() {
	d := r.deployment
	refused := map[uint64]bool{}
	for _, e := range events(r.root, d.Root.Controller, controllerABI.GetABI().Events["LinkedTokensSent"].ID, controllerABI.UnpackLinkedTokensSentEvent) {
		refused[e.Nonce] = e.Value.Cmp(d.Settings.UsdcMintCap.Int()) > 0
	}
	for _, e := range events(r.root, d.Root.Gateway, gatewayABI.GetABI().Events["NewTopDownMessage"].ID, gatewayABI.UnpackNewTopDownMessageEvent) {
		if to, err := ipc.FvmAddress(e.Message.To.RawAddress).EVM(); err == nil && to == refuser {
			refused[e.Message.LocalNonce] = true
		}
	}
	for _, e := range events(r.child, d.Subnet.Gateway, insideABI.GetABI().Events["TopDownMessageApplied"].ID, insideABI.UnpackTopDownMessageAppliedEvent) {
		if e.Outcome != ipc.OutcomeOk && !refused[e.Nonce] {
			r.watch.violate("PROTOCOL 14: message %d failed in the subnet, and nobody refuses it", e.Nonce)
		}
	}
	if r.root.stubsEver() {
		return // a contract of the root refused everything for a while
	}
	for _, e := range events(r.root, d.Root.Gateway, gatewayABI.GetABI().Events["BottomUpMessageApplied"].ID, gatewayABI.UnpackBottomUpMessageAppliedEvent) {
		if e.Outcome != ipc.OutcomeOk {
			r.watch.violate("PROTOCOL 14: message %d failed on the root, and nobody refuses it", e.Nonce)
		}
	}
}

// stubsEver says whether a contract was ever replaced by one that refuses.
func (c *chain) stubsEver() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.stubs) > 0
}
