package gmpapi

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/ethereum/go-ethereum/common"
	"github.com/google/uuid"
)

// At is where an event of ours is: a log of a final block, whose Position its
// source knows, on the chain that goes by Chain at Axelar.
type At struct {
	Chain string
	Log   chains.Event
}

// id is the log's place as Axelar names it: the transaction and the position in
// its receipt.
func (a At) id() (axelar.MessageID, error) {
	switch {
	case a.Chain == "":
		return axelar.MessageID{}, fmt.Errorf("a log of no chain: %w", ErrEvent)
	case a.Log.Tx == (common.Hash{}):
		return axelar.MessageID{}, fmt.Errorf("a log of no transaction: %w", ErrEvent)
	case a.Log.Position > a.Log.Index:
		return axelar.MessageID{}, fmt.Errorf("a log with position %d in its receipt and %d in its block: %w", a.Log.Position, a.Log.Index, ErrEvent)
	}
	return axelar.MessageID{Tx: a.Log.Tx, Index: uint64(a.Log.Position)}, nil
}

func (a At) meta() Meta {
	final := true
	m := Meta{TxID: a.Log.Tx.Hex(), Finalized: &final}
	if a.Log.BlockTime > 0 && a.Log.BlockTime <= math.MaxInt64 {
		m.Timestamp = time.Unix(int64(a.Log.BlockTime), 0).UTC()
	}
	return m
}

// place is what every report of a log begins with.
func (a At) place() (Base, Meta, error) {
	id, err := a.id()
	if err != nil {
		return Base{}, Meta{}, err
	}
	return Base{ID: id.String()}, a.meta(), nil
}

// ReportCall is the CALL of a gateway's event. parent is the message whose
// execution made the call in the same transaction; nil: nobody's.
func ReportCall(at At, c axelar.Called, parent *CrossChainID) (Call, error) {
	base, meta, err := at.place()
	if err != nil {
		return Call{}, fmt.Errorf("report call: %w", err)
	}
	e := Call{Base: base, Meta: CallMeta{Meta: meta}, DestinationChain: c.DestinationChain, Payload: c.Payload,
		Message: Message{ID: base.ID, SourceChain: at.Chain, SourceAddress: c.Sender.Hex(),
			DestinationAddress: c.DestinationAddress, PayloadHash: Hash(c.PayloadHash)}}
	if parent != nil {
		e.Meta.ParentMessageID, e.Meta.ParentSourceChain = parent.MessageID, parent.SourceChain
	}
	return checked(e)
}

// ReportPayment is the GAS_CREDIT of what was paid with a call; nil where
// nothing was.
func ReportPayment(chain string, call axelar.PaidCall) (*GasCredit, error) {
	if call.Gas == nil {
		return nil, nil
	}
	p := call.Gas.Paid
	e, err := credit(At{Chain: chain, Log: call.Gas.Log}, call.ID, p.Token, p.RefundTo, p.Amount)
	if err != nil {
		return nil, err
	}
	return &e, nil
}

// ReportTopUp is the GAS_CREDIT of a top-up. ErrEvent where its index is none.
func ReportTopUp(at At, g axelar.GasAdded) (GasCredit, error) {
	id, ok := g.For()
	if !ok {
		return GasCredit{}, fmt.Errorf("report gas: a top-up of log %s: %w", g.Index, ErrEvent)
	}
	return credit(at, id, g.Token, g.RefundTo, g.Amount)
}

// credit reports payments in the coin only: what names a token of an EVM chain
// here is not published.
func credit(at At, id axelar.MessageID, token, refund common.Address, amount *big.Int) (GasCredit, error) {
	base, meta, err := at.place()
	if err != nil {
		return GasCredit{}, fmt.Errorf("report gas: %w", err)
	}
	if token != (common.Address{}) {
		return GasCredit{}, fmt.Errorf("report gas: paid in token %s: %w", token, ErrEvent)
	}
	return checked(GasCredit{Base: base, Meta: meta, MessageID: id.String(), RefundAddress: refund.Hex(), Payment: Coin(amount)})
}

// ReportRefund is the GAS_REFUNDED of a refund in the coin, which cost so much
// to send.
func ReportRefund(at At, g axelar.GasRefunded, costWei *big.Int) (GasRefunded, error) {
	base, meta, err := at.place()
	if err != nil {
		return GasRefunded{}, fmt.Errorf("report refund: %w", err)
	}
	id, ok := g.For()
	if !ok || g.Token != (common.Address{}) {
		return GasRefunded{}, fmt.Errorf("report refund: of log %s, in token %s: %w", g.Index, g.Token, ErrEvent)
	}
	return checked(GasRefunded{Base: base, Meta: meta, MessageID: id.String(), RecipientAddress: g.Receiver.Hex(),
		RefundedAmount: Coin(g.Amount), Cost: Coin(costWei)})
}

// ReportApproved is the MESSAGE_APPROVED of an Amplifier gateway's event.
// costWei is this message's part of what the transaction cost us; nil: it was
// not ours.
func ReportApproved(at At, a axelar.Approved, costWei *big.Int) (MessageApproved, error) {
	base, meta, err := at.place()
	if err != nil {
		return MessageApproved{}, fmt.Errorf("report approval: %w", err)
	}
	return checked(MessageApproved{Base: base, Meta: ApprovedMeta{Meta: meta, CommandID: a.CommandID.Hex()},
		Message: MessageOf(a.Message), Cost: Coin(costWei)})
}

// ReportExecuted is the MESSAGE_EXECUTED/V2 of an Amplifier gateway's event
// about m; children are the messages that the same transaction began. ErrEvent
// where the event is about another message.
func ReportExecuted(at At, m axelar.Message, x axelar.Executed, costWei *big.Int, children ...axelar.MessageID) (MessageExecutedV2, error) {
	base, meta, err := at.place()
	if err != nil {
		return MessageExecutedV2{}, fmt.Errorf("report execution: %w", err)
	}
	if axelar.CommandID(m.SourceChain, m.ID) != x.CommandID {
		return MessageExecutedV2{}, fmt.Errorf("report execution: command %s is not that of %s of %s: %w", x.CommandID, m.ID, m.SourceChain, ErrEvent)
	}
	e := MessageExecutedV2{Base: base, Meta: ExecutedMeta{Meta: meta, CommandID: x.CommandID.Hex()},
		CrossChainID: CrossChainID{SourceChain: m.SourceChain, MessageID: m.ID}, Cost: Coin(costWei)}
	for _, c := range children {
		e.Meta.ChildMessageIDs = append(e.Meta.ChildMessageIDs, c.String())
	}
	return checked(e)
}

// V1 is the same as MESSAGE_EXECUTED, for a service that does not know
// MESSAGE_EXECUTED/V2 yet.
func (e MessageExecutedV2) V1() MessageExecuted {
	return MessageExecuted{Base: e.Base, Meta: e.Meta, MessageID: e.CrossChainID.MessageID, SourceChain: e.CrossChainID.SourceChain,
		Status: Successful, Cost: e.Cost}
}

// ReportRotated is the SIGNERS_ROTATED of a gateway's event.
func ReportRotated(at At, r axelar.Rotated) (SignersRotated, error) {
	base, meta, err := at.place()
	if err != nil {
		return SignersRotated{}, fmt.Errorf("report rotation: %w", err)
	}
	// An epoch beyond 63 bits is negative here, and refused.
	return checked(SignersRotated{Base: base, Meta: RotatedMeta{Meta: meta, SignersHash: r.Hash[:], Epoch: int64(r.Epoch)}, MessageID: base.ID})
}

// ReportSent is the ITS/INTERCHAIN_TRANSFER of an event of ITS; id is the
// message that carries the transfer.
func ReportSent(at At, id axelar.MessageID, s axelar.Sent) (TransferSent, error) {
	base, meta, err := at.place()
	if err != nil {
		return TransferSent{}, fmt.Errorf("report transfer: %w", err)
	}
	return checked(TransferSent{Base: base, Meta: meta, MessageID: id.String(), DestinationChain: s.Chain,
		TokenSpent: Token{TokenID: s.TokenID.Hex(), Amount: s.Amount}, SourceAddress: s.Source.Hex(),
		DestinationAddress: s.Destination, DataHash: dataHash(s.DataHash)})
}

// ReportReceived is the ITS/INTERCHAIN_TRANSFER_RECEIVED of an event of ITS; m
// is the message that brought the transfer. ErrEvent where it is another one's.
func ReportReceived(at At, m axelar.Message, r axelar.Received) (TransferReceived, error) {
	base, meta, err := at.place()
	if err != nil {
		return TransferReceived{}, fmt.Errorf("report transfer: %w", err)
	}
	if axelar.CommandID(m.SourceChain, m.ID) != r.CommandID {
		return TransferReceived{}, fmt.Errorf("report transfer: command %s is not that of %s of %s: %w", r.CommandID, m.ID, m.SourceChain, ErrEvent)
	}
	return checked(TransferReceived{Base: base, Meta: meta, MessageID: m.ID, SourceChain: r.Chain, SourceAddress: r.Source,
		DestinationAddress: r.Destination.Hex(), TokenReceived: Token{TokenID: r.TokenID.Hex(), Amount: r.Amount}, DataHash: dataHash(r.DataHash)})
}

// dataHash is nothing where there is no data.
func dataHash(h common.Hash) Bytes {
	if h == (common.Hash{}) {
		return nil
	}
	return h[:]
}

// ReportFailure is the CANNOT_EXECUTE_TASK of a task, with what the attempt
// cost. Saying the same of a task again is the same event; another reason is
// another one.
func ReportFailure(task uuid.UUID, reason, details string, costWei *big.Int) (CannotExecuteTask, error) {
	return checked(CannotExecuteTask{Base: Base{ID: failureID(task, reason)}, TaskItemID: task, Reason: reason,
		Details: clip(details), Cost: Coin(costWei)})
}

// ReportFailureV2 is the same as CANNOT_EXECUTE_MESSAGE/V2, for a service that
// does not know CANNOT_EXECUTE_TASK yet.
func ReportFailureV2(task uuid.UUID, m CrossChainID, reason, details string) (CannotExecuteMessageV2, error) {
	return checked(CannotExecuteMessageV2{Base: Base{ID: failureID(task, reason)}, Meta: FailedMeta{TaskItemID: task},
		MessageID: m.MessageID, SourceChain: m.SourceChain, Reason: reason, Details: clip(details)})
}

func failureID(task uuid.UUID, reason string) string {
	return "cannot-execute-" + task.String() + "-" + strings.ToLower(strings.ReplaceAll(reason, "_", "-"))
}

// clip keeps details within a text, whole characters only.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= maxText {
		return s
	}
	s = s[:maxText]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}

// checked hands on an event that can be published.
func checked[E Event](e E) (E, error) {
	if err := e.check(); err != nil {
		var none E
		return none, fmt.Errorf("report %s: %w", e.Type(), err)
	}
	return e, nil
}
