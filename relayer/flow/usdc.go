package flow

import (
	"fmt"
	"math/big"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// waitPoll is the time between two looks of the polling net; events come
// first.
const waitPoll = 45 * time.Second

// USDCDeposit is USDC from the root into the subnet: escrowed by the
// controller, minted by the replica when the message is delivered. A deposit
// that fails there comes back as a failure Result and is refunded on the root.
func USDCDeposit(s Subnet, search SearchFunc) Flow {
	f := Flow{Name: "usdc_deposit", Subnet: s.Actor, Chain: Root, Chains: s.chains(), Decode: s.decodeTokensSent}
	deliver := Step{
		Name: "deliver",
		Key:  func(t tokens.Transfer) Key { return s.deliverKey(t.Nonce, t.Ref) }, Effect: s.deliverEffect,
		Next: map[Kind]string{Ok: string(tokens.Done), Failed: "refund"},
		Lane: s.loose(f.Name, "deliver"), Poll: waitPoll,
	}
	deliver.Done = searched(deliver, search,
		Search{Chain: s.Name, Contract: s.SubnetGateway, Topics: []common.Hash{topicTopDownApplied}, Position: 1},
		func(t tokens.Transfer) common.Hash { return nonceWord(t.Nonce) })

	refund := Step{
		Name:   "refund",
		Key:    func(t tokens.Transfer) Key { return Key(fmt.Sprintf("refund/%s/%s", s.Controller.Hex(), t.Ref.Hex())) },
		Effect: s.refundEffect,
		Shared: true,
		Next:   map[Kind]string{Ok: string(tokens.Refunded), Failed: string(tokens.Credited)},
		Lane:   s.loose(f.Name, "refund"), Poll: waitPoll,
	}
	refund.Done = searched(refund, search,
		Search{Chain: Root, Contract: s.Controller, Topics: []common.Hash{topicRefunded}, Position: 1},
		func(t tokens.Transfer) common.Hash { return t.Ref })
	f.Steps = []Step{deliver, refund}
	return f
}

// decodeTokensSent reads LinkedTokensSent(underlying, sender, recipient
// indexed; id, nonce, value).
func (s Subnet) decodeTokensSent(e chains.Event) (tokens.Transfer, bool, error) {
	if e.Chain != s.RootID || !from(e, s.Controller, topicTokensSent, 4, 3) || topicAddress(e.Topics[1]) != s.USDC {
		return tokens.Transfer{}, false, nil
	}
	nonce, ok := wordUint(word(e.Data, 1))
	if !ok {
		return tokens.Transfer{}, false, fmt.Errorf("nonce above 2^64 in LinkedTokensSent")
	}
	return tokens.Transfer{
		ID:    TransferID("usdc_deposit", s.RootID, s.Controller, s.Actor, nonce),
		Route: "usdc_deposit", Subnet: s.Actor,
		Sender: topicAddress(e.Topics[2]), Recipient: topicAddress(e.Topics[3]),
		Amount: tokens.MustUnits(new(big.Int).SetBytes(word(e.Data, 2))),
		Nonce:  nonce, Ref: common.BytesToHash(word(e.Data, 0)),
		Origin: e.ID(), Height: e.Block, At: e.BlockTime,
	}, true, nil
}

// refundEffect reads DepositRefunded(id indexed, sender indexed; amount, paid).
func (s Subnet) refundEffect(e chains.Event) (Key, Outcome, bool) {
	if e.Chain != s.RootID || !from(e, s.Controller, topicRefunded, 3, 2) {
		return "", Outcome{}, false
	}
	key := Key(fmt.Sprintf("refund/%s/%s", s.Controller.Hex(), e.Topics[1].Hex()))
	if paid, _ := wordUint(word(e.Data, 1)); paid != 1 {
		return key, Outcome{Failed, ReasonRefundRefused}, true
	}
	return key, Outcome{Kind: Ok}, true
}

// USDCWithdraw is USDC from the subnet to the root: burnt by the outbox, paid
// by FastWithdrawals when the checkpoint that covers it is executed.
func USDCWithdraw(s Subnet, d WithdrawDeps) Flow { return withdraw("usdc_withdraw", s.USDC, s, d) }

// FLTWithdraw is FLT from the subnet to the root, the same way.
func FLTWithdraw(s Subnet, d WithdrawDeps) Flow { return withdraw("flt_withdraw", s.FLT, s, d) }
