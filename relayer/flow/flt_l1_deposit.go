package flow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// CrossDeps is what FLT's ways between Ethereum and a subnet need of the chains.
type CrossDeps struct {
	Search SearchFunc
	// Credits are what FltHandler keeps under these ids, at one final root block.
	Credits func(context.Context, []common.Hash) ([]axelar.FltCredit, error)
	// Returned says, at one final subnet block, which of these withdrawals FltPortal
	// has back.
	Returned func(context.Context, []common.Hash) ([]bool, error)
	// Onward are the calls of the root's gateway right before these final events of
	// FltHandler.
	Onward func(context.Context, []chains.Event) ([]Onward, error)
	// Approvals are those of the legs to Ethereum, as in NetworkDeps; nil where a
	// message's id follows from its call.
	Approvals func(ctx context.Context, legs []common.Hash) ([]*axelar.Approved, error)
	// Decide journals that a final event decides a step, as if a watcher had read it
	// there: for steps whose event does not name the transfer.
	Decide func(ctx context.Context, chain string, key Key, out Outcome, e chains.Event) error
	// ResendTx sends what FltPortal has back again; Value is the exit fee.
	ResendTx func(context.Context, axelar.FltWithdrawal) (chains.Tx, error)
	// Now is the time of the root's newest block, Unix seconds.
	Now func(context.Context) (uint64, error)

	SendRoot, SendSubnet func(context.Context, chains.Tx) error
}

// Onward is a call of the root's gateway and the message for Ethereum that it
// begins.
type Onward struct {
	Call    axelar.MessageID
	Message axelar.Message
}

// Reasons for which FltHandler keeps an amount (contracts/src/interfaces/IFlt.sol).
const (
	keptUnfunded    = 0
	keptUndelivered = 1
	keptUnsent      = 2
)

var (
	topicDeposited  = topic("Deposited(bytes32,address,address,uint64,uint256,bytes32,uint256)")
	topicFunded     = topic("Funded(bytes32,bytes32,uint64,address,uint256)")
	topicSentOn     = topic("SentOn(bytes32,address,uint256)")
	topicKept       = topic("Credited(bytes32,uint8,uint256,bytes)")
	topicSentBack   = topic("SentBack(bytes32,address,uint256)")
	topicClaimed    = topic("Claimed(bytes32,address,uint256,address)")
	topicToL1       = topic("WithdrawalToL1Sent(bytes32,uint64,uint64,(bytes32,address,uint64,address,address,address,uint256))")
	topicToL1Return = topic("WithdrawalToL1Returned(bytes32,uint256)")
)

// CrossRootTopics, CrossSubnetTopics and CrossL1Topics are what the watchers read
// besides, of FltHandler, FltPortal and FltSender; gateways have filters of their
// own.
func CrossRootTopics() []common.Hash {
	return []common.Hash{topicFunded, topicSentOn, topicKept, topicSentBack, topicClaimed}
}

// CrossSubnetTopics lists the first topics of FltPortal.
func CrossSubnetTopics() []common.Hash { return []common.Hash{topicToL1, topicToL1Return} }

// CrossL1Topics lists the first topics of FltSender.
func CrossL1Topics() []common.Hash { return []common.Hash{topicDeposited} }

// crossPoll is the time between two looks of a step that only a search decides.
const crossPoll = 2 * time.Second

// FLTL1Deposit is FLT from Ethereum into the subnet. The user's one call locks it
// in the token service; a leg carries it to FltHandler on the root, which funds
// the recipient in the subnet. What the gateway does not take is kept and tried
// again; what the subnet sends back goes back to its sender on Ethereum.
func FLTL1Deposit(s Subnet, c Crossing, d CrossDeps) Flow {
	x := cross{s, c, d, "flt_l1_deposit"}
	f := Flow{Name: x.name, Subnet: s.Actor, Chain: Ethereum, Chains: []string{Ethereum, Root, s.Name}, Decode: x.decodeDeposit}
	fund := Step{
		Name: "fund", Key: x.key("fund"),
		Effect: x.handler("fund", map[common.Hash]Outcome{topicFunded: {Kind: Ok}}, map[uint64]Outcome{keptUnfunded: {Kind: Failed}}),
		Next:   map[Kind]string{Ok: "deliver", Failed: "retry"},
		Lane:   x.lane("fund"), Poll: waitPoll,
	}
	fund.Done = x.searched(fund)

	retry := Step{
		Name: "retry", Key: x.key("retry"),
		Effect: x.handler("retry", map[common.Hash]Outcome{topicFunded: {Kind: Ok}, topicSentBack: {Kind: Failed}, topicClaimed: {Failed, ReasonClaimed}}, nil),
		Next:   map[Kind]string{Ok: "deliver", Failed: string(tokens.Refunded)},
		Lane:   x.lane("retry"), Poll: 10 * time.Second,
		Do: x.again("retry", func(t tokens.Transfer) ([]byte, error) {
			dep, err := axelar.DecodeFltDeposit(t.Payload)
			if err != nil {
				return nil, err
			}
			return axelar.RetryDepositCalldata(dep), nil
		}),
	}
	retry.Done = x.kept(retry, func(c axelar.FltCredit) bool { return c.Retriable })

	deliver := Step{
		Name: "deliver", Key: x.key("deliver"), Effect: nothing, Searched: true,
		Done: x.delivered,
		Next: map[Kind]string{Ok: string(tokens.Done), Failed: "undelivered"},
		Lane: x.lane("deliver"), Poll: crossPoll,
	}

	// The failure comes up with a checkpoint and is then kept for the deposit.
	undelivered := Step{
		Name: "undelivered", Key: x.key("undelivered"),
		Effect: x.handler("undelivered", nil, map[uint64]Outcome{keptUndelivered: {Kind: Ok}}),
		Next:   map[Kind]string{Ok: "send_back"},
		Lane:   x.lane("undelivered"), Poll: waitPoll,
	}
	undelivered.Done = x.searched(undelivered)

	back := Step{
		Name: "send_back", Key: x.key("send_back"),
		Effect: x.handler("send_back", map[common.Hash]Outcome{topicSentBack: {Kind: Ok}, topicClaimed: {Failed, ReasonClaimed}}, nil),
		Next:   map[Kind]string{Ok: string(tokens.Refunded), Failed: string(tokens.Refunded)},
		Lane:   x.lane("send_back"), Poll: 10 * time.Second,
		Do: x.again("send_back", func(t tokens.Transfer) ([]byte, error) {
			dep, err := axelar.DecodeFltDeposit(t.Payload)
			if err != nil {
				return nil, err
			}
			return axelar.SendBackCalldata(dep), nil
		}),
	}
	back.Done = x.kept(back, func(c axelar.FltCredit) bool { return c.Amount.Sign() > 0 })
	f.Steps = []Step{fund, retry, deliver, undelivered, back}
	return f
}

// decodeDeposit reads Deposited of FltSender and checks the id against what is
// hashed into it.
func (x cross) decodeDeposit(e chains.Event) (tokens.Transfer, bool, error) {
	if e.Chain != x.L1 || !from(e, x.Sender, topicDeposited, 4, 4) {
		return tokens.Transfer{}, false, nil
	}
	nonce, ok := wordUint(word(e.Data, 0))
	if !ok {
		return tokens.Transfer{}, false, errors.New("nonce above 2^64 in Deposited")
	}
	amount := common.BytesToHash(word(e.Data, 1)).Big()
	d := axelar.FltDeposit{
		Sender: topicAddress(e.Topics[2]), Recipient: topicAddress(e.Topics[3]), Subnet: x.IPC.Hash(), Nonce: nonce, Amount: amount,
	}
	if id := axelar.FltDepositID(x.L1, x.Sender, d); id != e.Topics[1] {
		return tokens.Transfer{}, false, fmt.Errorf("deposit %d hashes to %s, its event says %s", nonce, id, e.Topics[1])
	}
	return tokens.Transfer{
		ID:    TransferID(x.name, x.L1, x.Sender, x.Actor, nonce),
		Route: x.name, Subnet: x.Actor, Sender: d.Sender, Recipient: d.Recipient, Amount: tokens.MustUnits(amount),
		Nonce: nonce, Ref: e.Topics[1], Origin: e.ID(), Height: e.Block, At: e.BlockTime, Payload: axelar.EncodeFltDeposit(d),
	}, true, nil
}

// delivered looks for the top-down message that Funded names, and for what
// became of it. Its nonce is the root's, so no event of the subnet names the
// deposit; what is found is journaled as what decides it.
func (x cross) delivered(ctx context.Context, batch []tokens.Transfer) ([]Outcome, error) {
	out := make([]Outcome, len(batch))
	byID := map[common.Hash]int{}
	q := Search{Chain: Root, Contract: x.Handler, Topics: []common.Hash{topicFunded}, Position: 1}
	for i, t := range batch {
		byID[t.Ref] = i
		q.Values = append(q.Values, t.Ref)
		if i == 0 || t.At < q.Since {
			q.Since = t.At
		}
	}
	funded, err := x.d.Search(ctx, q)
	if err != nil {
		return nil, err
	}
	type message struct{ nonce, id common.Hash }
	of := map[message]int{}
	down := Search{Chain: x.Name, Contract: x.SubnetGateway, Topics: []common.Hash{topicTopDownApplied}, Position: 1, Since: q.Since}
	for _, e := range funded {
		i, ours := byID[idOf(e)]
		if !ours || !from(e, x.Handler, topicFunded, 4, 2) {
			continue
		}
		of[message{e.Topics[3], e.Topics[2]}] = i
		down.Values = append(down.Values, e.Topics[3])
	}
	if len(down.Values) == 0 {
		return out, nil
	}
	applied, err := x.d.Search(ctx, down)
	if err != nil {
		return nil, err
	}
	for _, e := range applied {
		_, o, mine := x.deliverEffect(e)
		if !mine {
			continue
		}
		if i, ours := of[message{e.Topics[1], e.Topics[2]}]; ours {
			if err := x.d.Decide(ctx, x.Name, x.keyOf("deliver", batch[i].Ref), o, e); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func idOf(e chains.Event) common.Hash {
	if len(e.Topics) < 2 {
		return common.Hash{}
	}
	return e.Topics[1]
}
