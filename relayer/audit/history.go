package audit

import (
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// Dispositions of an applied message (contracts/src/ipc/Types.sol).
const (
	executed uint8 = iota
	credited
	returned
	quarantined
)

// message is one envelope as its event says, either way.
type message struct {
	nonce    uint64
	epoch    uint64 // going up
	block    uint64
	at       uint64
	kind     uint8
	value    *big.Int
	id, leaf common.Hash // tracing id; hash of the envelope
	from, to common.Address

	deposit    *deposit    // going down, of the controller
	withdrawal *withdrawal // going up, of the outbox
	answers    common.Hash // of a Result
	outcome    uint8       // of a Result
}

type deposit struct {
	recipient common.Address
	amount    *big.Int
}

type withdrawal struct {
	id common.Hash
	ipc.Withdrawal
}

// applied is what an application of a message was.
type applied struct {
	id          common.Hash
	outcome     uint8
	disposition uint8
	block       uint64
}

// tokensSent, refund, settlement, payment and sent are events of the contracts
// at either end.
type tokensSent struct {
	id                common.Hash
	nonce             uint64
	sender, recipient common.Address
	amount            *big.Int
	block, at         uint64
}

type refund struct {
	sender common.Address
	amount *big.Int
	paid   bool
	block  uint64
}

type settlement struct {
	id              common.Hash
	claimant, token common.Address
	amount, gross   *big.Int
	paid, short     bool // short: quarantined
	block           uint64
}

type payment struct {
	to     common.Address
	amount *big.Int
}

type sent struct {
	withdrawal
	messageNonce uint64
	block, at    uint64
}

type resultSeen struct {
	outcome, disposition uint8
	to                   common.Address
	value                *big.Int
	block                uint64
}

// recovered is the newest recovery that the subnet has committed.
type recovered struct {
	number, prefix uint64
	received       *big.Int // nil: none
}

type minting struct {
	recipient common.Address
	amount    *big.Int
}

type spot struct{ block, at uint64 }

// history is everything the events of both chains said, in order.
type history struct {
	sub  flow.Subnet
	abis contracts

	// Root.
	down        map[uint64]*message
	upApplied   map[uint64]applied
	rootResults map[common.Hash][]resultSeen
	tokensSent  []tokensSent
	refunds     map[common.Hash][]refund
	claimed     map[common.Hash][]payment // refunds pulled
	settled     []settlement
	credits     map[common.Hash][]payment // withdrawals pulled
	reserved    map[common.Hash][]*big.Int
	reservePaid map[common.Hash][]payment
	checkpoints []uint64
	power       map[uint64]spot // by configuration number
	approved    []common.Address

	// Subnet.
	up          map[uint64]*message
	downApplied map[uint64]applied
	recovered   recovered
	sent        []sent
	portal      common.Address            // zero: FLT does not cross from Ethereum
	toL1        map[common.Hash]beginning // by id, of FltPortal
	fromL1      map[common.Hash]uint64    // block of the newest return
	resent      map[common.Hash]int
	backAgain   map[common.Hash]int // times returned
	minted      []minting
	holders     map[common.Address]*holder
	order       []common.Address // of holders
	sweep       int

	// By id.
	downID, upID map[common.Hash]uint64
	// answered: nonce of the Result going up that answers a message gone down,
	// and the other way.
	answeredUp, answeredDown map[common.Hash]uint64

	faults     []string
	faultCount int
}

// maxFaults bounds what is remembered of broken events; all are counted.
const maxFaults = 50

func newHistory(s flow.Subnet, abis contracts) *history {
	return &history{
		sub: s, abis: abis,
		down: map[uint64]*message{}, up: map[uint64]*message{},
		upApplied: map[uint64]applied{}, downApplied: map[uint64]applied{},
		rootResults: map[common.Hash][]resultSeen{}, refunds: map[common.Hash][]refund{}, claimed: map[common.Hash][]payment{},
		credits: map[common.Hash][]payment{}, reserved: map[common.Hash][]*big.Int{}, reservePaid: map[common.Hash][]payment{},
		power: map[uint64]spot{}, resent: map[common.Hash]int{}, backAgain: map[common.Hash]int{},
		holders: map[common.Address]*holder{}, toL1: map[common.Hash]beginning{}, fromL1: map[common.Hash]uint64{},
		downID: map[common.Hash]uint64{}, upID: map[common.Hash]uint64{},
		answeredUp: map[common.Hash]uint64{}, answeredDown: map[common.Hash]uint64{},
	}
}

func (h *history) fault(format string, args ...any) {
	h.faultCount++
	if len(h.faults) < maxFaults {
		h.faults = append(h.faults, fmt.Sprintf(format, args...))
	}
}

// rootEvent takes one event of the root. One that does not decode is a fault
// and stops nothing: the others still count.
func (h *history) rootEvent(e chains.Event) {
	if err := guard(func() error { return h.takeRoot(e) }); err != nil {
		h.fault("event %d of root block %d: %v", e.Index, e.Block, err)
	}
}

func (h *history) childEvent(e chains.Event) {
	if err := guard(func() error { return h.takeChild(e) }); err != nil {
		h.fault("event %d of subnet block %d: %v", e.Index, e.Block, err)
	}
}

func logOf(e chains.Event) *types.Log {
	return &types.Log{Address: e.Address, Topics: e.Topics, Data: e.Data}
}

// mine says whether an event of the root gateway is about our subnet, its first
// indexed field.
func (h *history) mine(e chains.Event) bool {
	return len(e.Topics) > 1 && common.BytesToAddress(e.Topics[1][12:]) == h.sub.Actor
}

func (h *history) takeRoot(e chains.Event) error {
	if e.Chain != h.sub.RootID || len(e.Topics) == 0 {
		return fmt.Errorf("chain %d, %d topics", e.Chain, len(e.Topics))
	}
	switch e.Address {
	case h.sub.Gateway:
		return h.takeGateway(e)
	case h.sub.Controller:
		return h.takeController(e)
	case h.sub.FastWithdrawals:
		return h.takePayouts(e)
	case h.sub.Actor:
		return h.takeActor(e)
	}
	return nil
}

func (h *history) takeGateway(e chains.Event) error {
	t := h.abis.topics
	switch e.Topics[0] {
	case ipc.TopicNewTopDownMessage:
		if !h.mine(e) {
			return nil
		}
		return h.takeDown(e)
	case t["gateway.BottomUpMessageApplied"]:
		ev, err := h.abis.gateway.UnpackBottomUpMessageAppliedEvent(logOf(e))
		if err != nil || ev.Subnet != h.sub.Actor {
			return err
		}
		if _, twice := h.upApplied[ev.Nonce]; twice {
			h.fault("bottom-up message %d was applied twice", ev.Nonce)
			return nil
		}
		h.upApplied[ev.Nonce] = applied{ev.Id, ev.Outcome, ev.Disposition, e.Block}
	case t["gateway.QuarantineReleased"]:
		ev, err := h.abis.gateway.UnpackQuarantineReleasedEvent(logOf(e))
		if err != nil || ev.Subnet != h.sub.Actor {
			return err
		}
		was, ok := h.upApplied[ev.Nonce]
		if !ok || was.disposition != quarantined {
			h.fault("bottom-up message %d was released and not quarantined", ev.Nonce)
		}
		was.disposition, was.outcome = ev.Disposition, ipc.OutcomeOk
		if ev.Disposition == returned {
			was.outcome = ipc.OutcomeActorErr
		}
		h.upApplied[ev.Nonce] = was
	case t["gateway.ResultApplied"]:
		ev, err := h.abis.gateway.UnpackResultAppliedEvent(logOf(e))
		if err != nil || ev.Subnet != h.sub.Actor {
			return err
		}
		h.rootResults[ev.Id] = append(h.rootResults[ev.Id], resultSeen{ev.Outcome, ev.Disposition, ev.To, ev.Value, e.Block})
	case t["gateway.SubnetApproved"]:
		ev, err := h.abis.gateway.UnpackSubnetApprovedEvent(logOf(e))
		if err != nil {
			return err
		}
		for _, a := range h.approved {
			if a == ev.Subnet {
				return nil
			}
		}
		h.approved = append(h.approved, ev.Subnet)
	}
	return nil
}

func (h *history) takeController(e chains.Event) error {
	c, t := h.abis.controller, h.abis.topics
	switch e.Topics[0] {
	case t["controller.LinkedTokensSent"]:
		ev, err := c.UnpackLinkedTokensSentEvent(logOf(e))
		if err != nil {
			return err
		}
		h.tokensSent = append(h.tokensSent, tokensSent{ev.Id, ev.Nonce, ev.Sender, ev.Recipient, ev.Value, e.Block, e.BlockTime})
	case t["controller.DepositRefunded"]:
		ev, err := c.UnpackDepositRefundedEvent(logOf(e))
		if err != nil {
			return err
		}
		h.refunds[ev.Id] = append(h.refunds[ev.Id], refund{ev.Sender, ev.Amount, ev.Paid, e.Block})
	case t["controller.RefundClaimed"]:
		ev, err := c.UnpackRefundClaimedEvent(logOf(e))
		if err != nil {
			return err
		}
		h.claimed[ev.Id] = append(h.claimed[ev.Id], payment{ev.To, ev.Amount})
	case t["controller.Reserved"]:
		ev, err := c.UnpackReservedEvent(logOf(e))
		if err != nil {
			return err
		}
		h.reserved[ev.WithdrawalId] = append(h.reserved[ev.WithdrawalId], ev.Amount)
	case t["controller.ReservePaid"]:
		ev, err := c.UnpackReservePaidEvent(logOf(e))
		if err != nil {
			return err
		}
		h.reservePaid[ev.WithdrawalId] = append(h.reservePaid[ev.WithdrawalId], payment{ev.To, ev.Amount})
	}
	return nil
}

func (h *history) takePayouts(e chains.Event) error {
	c, t := h.abis.payouts, h.abis.topics
	switch e.Topics[0] {
	case t["payouts.WithdrawalSettled"]:
		ev, err := c.UnpackWithdrawalSettledEvent(logOf(e))
		if err != nil {
			return err
		}
		h.settled = append(h.settled, settlement{id: ev.Id, claimant: ev.Claimant, token: ev.Token, amount: ev.Amount, gross: ev.Amount, paid: ev.Paid, block: e.Block})
	case t["payouts.WithdrawalQuarantined"]:
		ev, err := c.UnpackWithdrawalQuarantinedEvent(logOf(e))
		if err != nil {
			return err
		}
		h.settled = append(h.settled, settlement{id: ev.Id, claimant: ev.Recipient, token: ev.Token, amount: ev.Claimable, gross: ev.Gross, short: true, block: e.Block})
	case t["payouts.CreditClaimed"]:
		ev, err := c.UnpackCreditClaimedEvent(logOf(e))
		if err != nil {
			return err
		}
		h.credits[ev.Id] = append(h.credits[ev.Id], payment{ev.To, ev.Amount})
	}
	return nil
}

func (h *history) takeActor(e chains.Event) error {
	c, t := h.abis.actor, h.abis.topics
	switch e.Topics[0] {
	case t["actor.CheckpointAccepted"]:
		ev, err := c.UnpackCheckpointAcceptedEvent(logOf(e))
		if err != nil {
			return err
		}
		if !ev.Height.IsUint64() {
			return fmt.Errorf("checkpoint at height %s", ev.Height)
		}
		h.checkpoints = append(h.checkpoints, ev.Height.Uint64())
	case t["actor.NewPowerChangeRequest"]:
		ev, err := c.UnpackNewPowerChangeRequestEvent(logOf(e))
		if err != nil {
			return err
		}
		h.power[ev.ConfigurationNumber] = spot{e.Block, e.BlockTime}
	}
	return nil
}

func (h *history) takeChild(e chains.Event) error {
	if e.Chain != h.sub.ID || len(e.Topics) == 0 {
		return fmt.Errorf("chain %d, %d topics", e.Chain, len(e.Topics))
	}
	t := h.abis.topics
	switch e.Address {
	case h.sub.SubnetGateway:
		switch e.Topics[0] {
		case ipc.TopicBottomUpMessage:
			return h.takeUp(e)
		case t["child.TopDownMessageApplied"]:
			ev, err := h.abis.child.UnpackTopDownMessageAppliedEvent(logOf(e))
			if err != nil {
				return err
			}
			if _, twice := h.downApplied[ev.Nonce]; twice {
				h.fault("top-down message %d was applied twice", ev.Nonce)
				return nil
			}
			h.downApplied[ev.Nonce] = applied{ev.Id, ev.Outcome, ev.Disposition, e.Block}
		case t["child.ParentRecovered"]:
			ev, err := h.abis.child.UnpackParentRecoveredEvent(logOf(e))
			if err != nil {
				return err
			}
			h.recovered = recovered{ev.Number, ev.TopDownNonce, ev.Received}
			// They are of a branch that is gone; what the root has in their place is
			// applied anew.
			for n := range h.downApplied {
				if n >= ev.TopDownNonce {
					delete(h.downApplied, n)
				}
			}
		}
	case h.sub.Replica:
		switch e.Topics[0] {
		case t["replica.LinkedTokenReceived"]:
			ev, err := h.abis.replica.UnpackLinkedTokenReceivedEvent(logOf(e))
			if err != nil {
				return err
			}
			h.minted = append(h.minted, minting{ev.Recipient, ev.Amount})
		case t["replica.Transfer"]:
			ev, err := h.abis.replica.UnpackTransferEvent(logOf(e))
			if err != nil {
				return err
			}
			h.moved(ev.From, new(big.Int).Neg(ev.Value))
			h.moved(ev.To, ev.Value)
		}
	case h.sub.Outbox:
		return h.takeOutbox(e)
	case h.portal:
		return h.takePortal(e)
	}
	return nil
}

func (h *history) takeOutbox(e chains.Event) error {
	c, t := h.abis.outbox, h.abis.topics
	switch e.Topics[0] {
	case t["outbox.WithdrawalSent"]:
		ev, err := c.UnpackWithdrawalSentEvent(logOf(e))
		if err != nil {
			return err
		}
		w := ipc.Withdrawal(ev.Withdrawal)
		h.sent = append(h.sent, sent{withdrawal{ev.Id, w}, ev.MessageNonce, e.Block, e.BlockTime})
		if id := h.withdrawalID(w); id != ev.Id || w.Nonce != ev.Nonce {
			h.fault("withdrawal %d hashes to %s, its event says %s of %d", w.Nonce, id, common.Hash(ev.Id), ev.Nonce)
		}
	case t["outbox.WithdrawalReturned"]:
		ev, err := c.UnpackWithdrawalReturnedEvent(logOf(e))
		if err != nil {
			return err
		}
		h.backAgain[ev.Id]++
	case t["outbox.WithdrawalResent"]:
		ev, err := c.UnpackWithdrawalResentEvent(logOf(e))
		if err != nil {
			return err
		}
		h.resent[ev.Id]++
	}
	return nil
}

func (h *history) withdrawalID(w ipc.Withdrawal) common.Hash {
	return ipc.WithdrawalID(uint64(h.sub.RootID), h.sub.FastWithdrawals, w)
}

// takeDown takes NewTopDownMessage(subnet, envelope, id): its data is the
// encoded envelope.
func (h *history) takeDown(e chains.Event) error {
	if len(e.Topics) != 3 {
		return fmt.Errorf("%d topics", len(e.Topics))
	}
	env, err := ipc.DecodeEnvelope(e.Data)
	if err != nil {
		return err
	}
	m := newMessage(env, e)
	if m.id != e.Topics[2] {
		h.fault("top-down message %d hashes to %s, its event says %s", m.nonce, m.id, e.Topics[2])
	}
	if _, twice := h.down[m.nonce]; twice {
		h.fault("top-down message %d was sent twice", m.nonce)
		return nil
	}
	if m.kind == ipc.KindCall && m.from == h.sub.Controller && m.to == h.sub.Replica {
		if m.deposit, err = depositOf(env.Message); err != nil {
			h.fault("deposit in top-down message %d: %v", m.nonce, err)
		}
	}
	h.down[m.nonce] = m
	h.downID[m.id] = m.nonce
	if m.kind == ipc.KindResult {
		h.answeredDown[m.answers] = m.nonce
	}
	return nil
}

// takeUp takes BottomUpMessage(epoch, nonce, envelope).
func (h *history) takeUp(e chains.Event) error {
	ev, err := ipc.DecodeBottomUpMessage(e.Topics, e.Data)
	if err != nil {
		return err
	}
	m := newMessage(ev.Message, e)
	m.epoch = ev.Epoch
	if _, twice := h.up[m.nonce]; twice {
		h.fault("bottom-up message %d was sent twice", m.nonce)
		return nil
	}
	if m.kind == ipc.KindCall && m.from == h.sub.Outbox && m.to == h.sub.FastWithdrawals {
		w, err := ipc.DecodeWithdrawalCall(ev.Message.Message)
		if err != nil {
			h.fault("withdrawal in bottom-up message %d: %v", m.nonce, err)
		} else {
			m.withdrawal = &withdrawal{h.withdrawalID(w), w}
		}
	}
	h.up[m.nonce] = m
	h.upID[m.id] = m.nonce
	if m.kind == ipc.KindResult {
		h.answeredUp[m.answers] = m.nonce
	}
	return nil
}

func newMessage(env ipc.IpcEnvelope, e chains.Event) *message {
	m := &message{
		nonce: env.LocalNonce, block: e.Block, at: e.BlockTime, kind: env.Kind, value: env.Value,
		id: env.TracingID(), leaf: env.Hash(),
	}
	// An address that is no EVM account stays zero: no contract of ours has it.
	m.from, _ = env.From.RawAddress.EVM()
	m.to, _ = env.To.RawAddress.EVM()
	if env.Kind == ipc.KindResult {
		// A Result that cannot be read answers nothing.
		if r, err := ipc.DecodeResult(env.Message); err == nil {
			m.answers, m.outcome = r.Id, r.Outcome
		}
	}
	return m
}

// depositOf reads receiveLinked(address recipient, uint256 amount).
func depositOf(callMsg []byte) (*deposit, error) {
	m, err := ipc.DecodeCall(callMsg)
	if err != nil {
		return nil, err
	}
	if string(m.Method) != string(ipc.SelReceiveLinked.Bytes()) || len(m.Params) != 64 {
		return nil, fmt.Errorf("method %x with %d bytes", m.Method, len(m.Params))
	}
	return &deposit{common.BytesToAddress(m.Params[12:32]), new(big.Int).SetBytes(m.Params[32:])}, nil
}
