package gmpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/google/uuid"
)

// ErrEvent says when an event is none that the API's schema allows.
var ErrEvent = errors.New("not an event to publish")

// EventType is the word for a kind of event.
type EventType string

// The events of the schema but those of applications (APP/…).
const (
	TypeCall                   EventType = "CALL"
	TypeGasCredit              EventType = "GAS_CREDIT"
	TypeGasRefunded            EventType = "GAS_REFUNDED"
	TypeMessageApproved        EventType = "MESSAGE_APPROVED"
	TypeMessageExecuted        EventType = "MESSAGE_EXECUTED"
	TypeMessageExecutedV2      EventType = "MESSAGE_EXECUTED/V2"
	TypeCannotExecuteMessage   EventType = "CANNOT_EXECUTE_MESSAGE"
	TypeCannotExecuteMessageV2 EventType = "CANNOT_EXECUTE_MESSAGE/V2"
	TypeCannotRouteMessage     EventType = "CANNOT_ROUTE_MESSAGE"
	TypeCannotExecuteTask      EventType = "CANNOT_EXECUTE_TASK"
	TypeSignersRotated         EventType = "SIGNERS_ROTATED"

	TypeTransferSent     EventType = "ITS/INTERCHAIN_TRANSFER"
	TypeTransferReceived EventType = "ITS/INTERCHAIN_TRANSFER_RECEIVED"
	TypeDeployStarted    EventType = "ITS/INTERCHAIN_TOKEN_DEPLOYMENT_STARTED"
	TypeTokenDeployed    EventType = "ITS/INTERCHAIN_TOKEN_DEPLOYED"
	TypeManagerDeployed  EventType = "ITS/TOKEN_MANAGER_DEPLOYED"
	TypeLinkStarted      EventType = "ITS/LINK_TOKEN_STARTED"
	TypeLinkReceived     EventType = "ITS/LINK_TOKEN_RECEIVED"
	TypeMetadata         EventType = "ITS/TOKEN_METADATA_REGISTERED"
	TypeFlowLimitSet     EventType = "ITS/FLOW_LIMIT_SET"
)

// Event is something that happened on a chain, or could not: one of the types
// below, by value.
type Event interface {
	// Type is the word for its kind, EventID what the API knows it by: the same
	// event published again has the same.
	Type() EventType
	EventID() string
	check() error
}

// Base is what every event begins with.
type Base struct {
	ID string `json:"eventID"`
}

// EventID is the event's id.
func (b Base) EventID() string { return b.ID }

// Meta is where an event was. From is who sent the transaction.
type Meta struct {
	TxID      string    `json:"txID,omitempty"`
	Timestamp time.Time `json:"timestamp,omitzero"`
	From      string    `json:"fromAddress,omitempty"`
	Finalized *bool     `json:"finalized,omitempty"`
}

// CallMeta links a call to the message whose execution made it, and keeps what
// shall come back with the tasks about it (at most 10 texts of 1000 bytes).
type CallMeta struct {
	Meta
	ParentMessageID   string            `json:"parentMessageID,omitempty"`
	ParentSourceChain string            `json:"parentSourceChain,omitempty"`
	SenderContract    string            `json:"senderContractAddress,omitempty"`
	SourceContext     map[string]string `json:"sourceContext,omitempty"`
}

// ApprovedMeta has the gateway's command id.
type ApprovedMeta struct {
	Meta
	CommandID string `json:"commandID,omitempty"`
}

// ExecutedMeta has the command id, the messages that the execution began, and
// why it reverted.
type ExecutedMeta struct {
	Meta
	CommandID       string   `json:"commandID,omitempty"`
	ChildMessageIDs []string `json:"childMessageIDs,omitempty"`
	RevertReason    string   `json:"revertReason,omitempty"`
}

// FailedMeta is of what could not be executed.
type FailedMeta struct {
	From       string    `json:"fromAddress,omitempty"`
	Timestamp  time.Time `json:"timestamp,omitzero"`
	TaskItemID uuid.UUID `json:"taskItemID,omitzero"`
}

// RotatedMeta has the new set's hash and epoch.
type RotatedMeta struct {
	Meta
	SignersHash Bytes `json:"signersHash,omitempty"`
	Epoch       int64 `json:"epoch"`
}

// Call is CALL: a contract sent a message.
type Call struct {
	Base
	Meta             CallMeta `json:"meta"`
	Message          Message  `json:"message"`
	DestinationChain string   `json:"destinationChain"`
	Payload          Bytes    `json:"payload"`
}

// GasCredit is GAS_CREDIT: something was paid for a message.
type GasCredit struct {
	Base
	Meta          Meta   `json:"meta"`
	MessageID     string `json:"messageID"`
	RefundAddress string `json:"refundAddress"`
	Payment       Token  `json:"payment"`
}

// GasRefunded is GAS_REFUNDED: what was left of it came back, at a cost.
type GasRefunded struct {
	Base
	Meta             Meta   `json:"meta"`
	MessageID        string `json:"messageID"`
	RecipientAddress string `json:"recipientAddress"`
	RefundedAmount   Token  `json:"refundedAmount"`
	Cost             Token  `json:"cost"`
}

// MessageApproved is MESSAGE_APPROVED (deprecated by the schema).
type MessageApproved struct {
	Base
	Meta    ApprovedMeta `json:"meta"`
	Message Message      `json:"message"`
	Cost    Token        `json:"cost"`
}

// Outcomes of MESSAGE_EXECUTED.
const (
	Successful = "SUCCESSFUL"
	Reverted   = "REVERTED"
)

// MessageExecuted is MESSAGE_EXECUTED (deprecated by the schema): Status is
// Successful or Reverted.
type MessageExecuted struct {
	Base
	Meta        ExecutedMeta `json:"meta"`
	MessageID   string       `json:"messageID"`
	SourceChain string       `json:"sourceChain"`
	Status      string       `json:"status"`
	Cost        Token        `json:"cost"`
}

// MessageExecutedV2 is MESSAGE_EXECUTED/V2: a contract took a message. What did
// not come so far is CannotExecuteTask.
type MessageExecutedV2 struct {
	Base
	Meta         ExecutedMeta `json:"meta"`
	CrossChainID CrossChainID `json:"crossChainID"`
	Cost         Token        `json:"cost"`
}

// Why something could not be done. CustomReason and TxReverted are for tasks
// only, CustomReason also for routing.
const (
	InsufficientGas = "INSUFFICIENT_GAS"
	OtherError      = "ERROR"
	CustomReason    = "CUSTOM"
	TxReverted      = "TX_REVERTED"
)

// CannotExecuteMessage is CANNOT_EXECUTE_MESSAGE (deprecated by the schema).
type CannotExecuteMessage struct {
	Base
	Meta       FailedMeta `json:"meta"`
	TaskItemID uuid.UUID  `json:"taskItemID"`
	Reason     string     `json:"reason"`
	Details    string     `json:"details"`
}

// CannotExecuteMessageV2 is CANNOT_EXECUTE_MESSAGE/V2 (deprecated by the
// schema).
type CannotExecuteMessageV2 struct {
	Base
	Meta        FailedMeta `json:"meta"`
	MessageID   string     `json:"messageID"`
	SourceChain string     `json:"sourceChain"`
	Reason      string     `json:"reason"`
	Details     string     `json:"details"`
}

// CannotRouteMessage is CANNOT_ROUTE_MESSAGE (deprecated by the schema): a
// message of the publishing chain.
type CannotRouteMessage struct {
	Base
	Meta      Meta   `json:"meta"`
	MessageID string `json:"messageID"`
	Reason    string `json:"reason"`
	Details   string `json:"details"`
}

// CannotExecuteTask is CANNOT_EXECUTE_TASK.
type CannotExecuteTask struct {
	Base
	Meta       Meta      `json:"meta"`
	TaskItemID uuid.UUID `json:"taskItemID"`
	Reason     string    `json:"reason"`
	Details    string    `json:"details"`
	Cost       Token     `json:"cost"`
}

// SignersRotated is SIGNERS_ROTATED. MessageID is that of the log.
type SignersRotated struct {
	Base
	Meta      RotatedMeta `json:"meta"`
	MessageID string      `json:"messageID"`
}

// Type implements Event.
func (Call) Type() EventType { return TypeCall }

// Type implements Event.
func (GasCredit) Type() EventType { return TypeGasCredit }

// Type implements Event.
func (GasRefunded) Type() EventType { return TypeGasRefunded }

// Type implements Event.
func (MessageApproved) Type() EventType { return TypeMessageApproved }

// Type implements Event.
func (MessageExecuted) Type() EventType { return TypeMessageExecuted }

// Type implements Event.
func (MessageExecutedV2) Type() EventType { return TypeMessageExecutedV2 }

// Type implements Event.
func (CannotExecuteMessage) Type() EventType { return TypeCannotExecuteMessage }

// Type implements Event.
func (CannotExecuteMessageV2) Type() EventType { return TypeCannotExecuteMessageV2 }

// Type implements Event.
func (CannotRouteMessage) Type() EventType { return TypeCannotRouteMessage }

// Type implements Event.
func (CannotExecuteTask) Type() EventType { return TypeCannotExecuteTask }

// Type implements Event.
func (SignersRotated) Type() EventType { return TypeSignersRotated }

// kinds makes an empty event of each type, as a pointer to decode into.
var kinds = map[EventType]func() Event{
	TypeCall:                   func() Event { return &Call{} },
	TypeGasCredit:              func() Event { return &GasCredit{} },
	TypeGasRefunded:            func() Event { return &GasRefunded{} },
	TypeMessageApproved:        func() Event { return &MessageApproved{} },
	TypeMessageExecuted:        func() Event { return &MessageExecuted{} },
	TypeMessageExecutedV2:      func() Event { return &MessageExecutedV2{} },
	TypeCannotExecuteMessage:   func() Event { return &CannotExecuteMessage{} },
	TypeCannotExecuteMessageV2: func() Event { return &CannotExecuteMessageV2{} },
	TypeCannotRouteMessage:     func() Event { return &CannotRouteMessage{} },
	TypeCannotExecuteTask:      func() Event { return &CannotExecuteTask{} },
	TypeSignersRotated:         func() Event { return &SignersRotated{} },
	TypeTransferSent:           func() Event { return &TransferSent{} },
	TypeTransferReceived:       func() Event { return &TransferReceived{} },
	TypeDeployStarted:          func() Event { return &DeployStarted{} },
	TypeTokenDeployed:          func() Event { return &TokenDeployed{} },
	TypeManagerDeployed:        func() Event { return &ManagerDeployed{} },
	TypeLinkStarted:            func() Event { return &LinkStarted{} },
	TypeLinkReceived:           func() Event { return &LinkReceived{} },
	TypeMetadata:               func() Event { return &MetadataRegistered{} },
	TypeFlowLimitSet:           func() Event { return &FlowLimitSet{} },
}

// EncodeEvent is the event as the API takes it; ErrEvent where it would not.
func EncodeEvent(e Event) ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, fmt.Errorf("encode %s: %w", e.Type(), err)
	}
	if err := needed("eventID", e.EventID()); err != nil {
		return nil, fmt.Errorf("encode %s: %w", e.Type(), err)
	}
	fields, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w: %w", e.Type(), err, ErrEvent)
	}
	out := append([]byte(`{"type":"`), e.Type()...)
	return append(append(out, `",`...), fields[1:]...), nil
}

// DecodeEvent reads what EncodeEvent writes and nothing else: events may be
// kept as they were encoded until they are published.
func DecodeEvent(raw []byte) (Event, error) {
	if err := checkJSON(raw, maxEventDepth); err != nil {
		return nil, fmt.Errorf("decode event: %w", err)
	}
	o := readObject("event", raw)
	t := EventType(o.text("type"))
	if *o.err != nil {
		return nil, fmt.Errorf("decode event: %w", *o.err)
	}
	made, known := kinds[t]
	if !known {
		return nil, fmt.Errorf("decode event of type %.100q: %w", t, ErrEvent)
	}
	p := made()
	if err := json.Unmarshal(raw, p); err != nil {
		return nil, fmt.Errorf("decode %s: %w: %w", t, err, ErrEvent)
	}
	e := reflect.ValueOf(p).Elem().Interface().(Event)
	if again, err := EncodeEvent(e); err != nil || !bytes.Equal(again, raw) {
		return nil, fmt.Errorf("decode %s: it encodes otherwise: %w", t, ErrEvent)
	}
	return e, nil
}

// maxEventDepth is more than any event has.
const maxEventDepth = 8
