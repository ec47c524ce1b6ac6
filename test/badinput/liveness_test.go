package badinput

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"
)

func livenessRows() []row {
	reverted := &chains.RevertError{}
	return []row{
		{id: "B49", what: "one message of fifty that makes its batch revert, and a batch beyond the gas limit", tries: []try{
			bridged("the others are delivered, each once", func(w *world) {
				poison := uint64(17)
				w.bridge.fails = func(e ipc.IpcEnvelope) bool { return e.LocalNonce == poison }
				w.bridge.refuse = func(c call) error {
					for _, body := range c.Bodies {
						if e, err := ipc.DecodeEnvelope(body); c.Verb == "deliver" && len(c.Bodies) > 1 && (err != nil || e.LocalNonce == poison) {
							return fmt.Errorf("simulate: %w", reverted)
						}
					}
					return nil
				}
				w.start(1)
				var logs []*types.Log
				for n := range uint64(50) {
					logs = append(logs, w.flt(ipc.FromEVM(addr(0x52)), big.NewInt(5))...)
					if n == poison {
						w.fated("flt_deposit", "refunded")
					}
				}
				w.root.MineLogs(logs...)
				w.honest(nil, nil)
			}),
			bridged("what is too dear for one transaction goes in several", func(w *world) {
				w.bridge.refuse = func(c call) error {
					if len(c.Bodies) > 7 {
						return chains.ErrGasLimit
					}
					return nil
				}
				w.start(1)
				var logs []*types.Log
				for range 30 {
					logs = append(logs, w.flt(ipc.FromEVM(addr(0x52)), big.NewInt(5))...)
				}
				w.root.MineLogs(logs...)
				w.sub.MineLogs(w.withdraw(30)...)
				w.checkpoint()
			}),
			bridged("a resend that reverts for good is parked alone", func(w *world) {
				w.bridge.refuse = func(c call) error {
					if c.Verb == "resend" && c.Height == 71 {
						return reverted
					}
					return nil
				}
				w.start(1)
				for n := range uint64(3) {
					x := withdrawal(w.s.USDC, 70+n)
					id := w.expect("usdc_withdraw", w.s.Outbox, subID, x.Nonce, "done")
					w.bridge.locked(func() { w.bridge.back = append(w.bridge.back, withdrawalID(x)) })
					if n == 1 {
						w.want[id] = "parked rejected"
					} else {
						w.bridge.owe("resend/" + withdrawalID(x).Hex())
					}
					w.sub.MineLogs(withdrawalSent(x), emit(outboxABI, "WithdrawalReturned", addr(9), withdrawalID(x), big.NewInt(9)))
				}
				w.honest(nil, nil)
			}),
		}},
		{id: "B50", what: "a user who changes the state between simulation and inclusion",
			absent: "there is no budget of gas for a sender: what a recipient may burn is bounded by the contracts' stipend for a message, which its sender has paid for"},
		{id: "B51", what: "withdrawals of dust in masses", tries: []try{
			bridged("a deposit does not wait for three hundred of them", func(w *world) {
				stands := true
				w.bridge.refuse = func(c call) error {
					if c.Verb == "execute" && stands {
						return chains.ErrUnavailable
					}
					return nil
				}
				w.start(1)
				w.sub.MineLogs(w.withdraw(300)...)
				w.checkpoint()
				w.read()
				w.root.MineLogs(w.usdc(addr(0x52), big.NewInt(5))...)
				w.until("the deposit is done", func() bool { return w.state(w.newest("usdc_deposit")) == "done" })
				require.Equal(w.t, "pending", w.state(w.newest("usdc_withdraw")))
				w.bridge.locked(func() { stands = false })
			}),
		}},
		{id: "B52", what: "a relayer without coin for gas", tries: []try{
			bridged("the lane waits with its reason and goes on when there is some", func(w *world) {
				r := newSender(w.t)
				r.node.Fund(r.from, big.NewInt(1))
				w.bridge.refuse = func(c call) error {
					if c.Verb != "deliver" {
						return nil
					}
					return r.m.Send(w.t.Context(), chains.Tx{Key: "k", Group: "g", To: addr(7), Data: c.Bodies[0]})
				}
				w.start(1)
				w.honest(nil, nil)
				id := flow.TransferID("topdown", rootID, addr(2), addr(1), 0)
				w.until("it says what is missing", func() bool { return w.state(id) == "pending insufficient_fund" })
				require.Empty(w.t, r.journal.All(rootID, r.from))
				require.True(w.t, r.m.Status()[0].LowFunds)
				w.bridge.locked(func() { w.bridge.refuse = nil })
			}),
		}},
		{id: "B53", what: "checkpoints of a relayer that is behind", tries: []try{
			bridged("what somebody has submitted is not submitted again", func(w *world) {
				final := uint64(0)
				sent := 0
				w.bridge.refuse = func(c call) error {
					if c.Verb == "submit" {
						sent++
					}
					return nil
				}
				w.bridge.last, w.bridge.final = 40, &final
				w.sub.MineN(40)
				w.start(1)
				w.read()
				w.until("the head is looked at", func() bool { return w.state(w.checkpointID(10)) == "pending" && w.ahead.Load() > 20 })
				w.bridge.locked(func() { w.bridge.final = nil; require.Zero(w.t, sent) })
				w.until("they are done", func() bool { return w.state(w.checkpointID(40)) == "done" })
				w.bridge.locked(func() { require.Zero(w.t, sent) })
				w.honest(nil, nil)
			}),
			bridged("nor one out of its turn", func(w *world) {
				w.bridge.refuse = func(c call) error {
					if c.Verb == "submit" && c.Height != w.bridge.last+period {
						return errors.New("out of its turn")
					}
					return nil
				}
				w.sub.MineN(95)
				w.start(1)
				w.honest(nil, nil)
			}),
		}},
	}
}

// checkpointID is the id of a checkpoint.
func (w *world) checkpointID(height uint64) common.Hash {
	return flow.TransferID("checkpoint", subID, w.s.SubnetGateway, w.s.Actor, height)
}

// fillRows are those of fillers, who front money for a claim. There are none
// between the root and the subnet.
func fillRows() (out []row) {
	for id, what := range map[string]string{
		"B54": "a fill that is repeated while the first is pending",
		"B55": "a fill with one altered field that looks like ours",
		"B56": "money fronted before the source is final, which then reorgs",
		"B57": "a claim with other parameters than those fronted",
		"B58": "a claim in a token of another price or other decimals",
		"B59": "a repayment that is paused",
		"B60": "a checkpoint that never comes",
		"B61": "a deadline that passes between front and claim",
	} {
		out = append(out, row{id: id, what: what, absent: "nobody fronts money between the root and the subnet: a transfer is paid by its own contracts when it is final"})
	}
	return out
}
