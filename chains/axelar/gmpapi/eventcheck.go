package gmpapi

import (
	"cmp"
	"fmt"
	"unicode/utf8"

	"github.com/google/uuid"
)

// needed takes names and values in turn and misses the first that is empty, too
// long or no text: JSON would carry another one.
func needed(pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		if n := len(pairs[i+1]); n == 0 || n > maxText {
			return fmt.Errorf("%s has %d bytes, must have 1 to %d: %w", pairs[i], n, maxText, ErrEvent)
		}
		if !utf8.ValidString(pairs[i+1]) {
			return fmt.Errorf("%s is no text: %w", pairs[i], ErrEvent)
		}
	}
	return nil
}

func oneOf(name, value string, allowed ...string) error {
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	return fmt.Errorf("%s is %.100q, must be one of %v: %w", name, value, allowed, ErrEvent)
}

// Bounds of what comes back with tasks.
const (
	maxContext     = 10
	maxContextText = 1000
)

func (e Call) check() error {
	if len(e.Meta.SourceContext) > maxContext {
		return fmt.Errorf("sourceContext has %d texts, at most %d: %w", len(e.Meta.SourceContext), maxContext, ErrEvent)
	}
	for k, v := range e.Meta.SourceContext {
		if len(v) > maxContextText || !utf8.ValidString(k) || !utf8.ValidString(v) {
			return fmt.Errorf("sourceContext.%.100q has %d bytes of at most %d, or is no text: %w", k, len(v), maxContextText, ErrEvent)
		}
	}
	return cmp.Or(e.Message.check(), needed("destinationChain", e.DestinationChain))
}

func (e GasCredit) check() error {
	return cmp.Or(needed("messageID", e.MessageID, "refundAddress", e.RefundAddress), e.Payment.check("payment"))
}

func (e GasRefunded) check() error {
	return cmp.Or(needed("messageID", e.MessageID, "recipientAddress", e.RecipientAddress),
		e.RefundedAmount.check("refundedAmount"), e.Cost.check("cost"))
}

func (e MessageApproved) check() error { return cmp.Or(e.Message.check(), e.Cost.check("cost")) }

func (e MessageExecuted) check() error {
	return cmp.Or(needed("messageID", e.MessageID, "sourceChain", e.SourceChain), oneOf("status", e.Status, Successful, Reverted),
		e.Cost.check("cost"))
}

func (e MessageExecutedV2) check() error {
	return cmp.Or(needed("messageID", e.CrossChainID.MessageID, "sourceChain", e.CrossChainID.SourceChain), e.Cost.check("cost"))
}

func checkFailure(task uuid.UUID, details string) error {
	if task == uuid.Nil {
		return fmt.Errorf("taskItemID is missing: %w", ErrEvent)
	}
	return needed("details", details)
}

func (e CannotExecuteMessage) check() error {
	return cmp.Or(checkFailure(e.TaskItemID, e.Details), oneOf("reason", e.Reason, InsufficientGas, OtherError))
}

func (e CannotExecuteMessageV2) check() error {
	return cmp.Or(needed("messageID", e.MessageID, "sourceChain", e.SourceChain, "details", e.Details),
		oneOf("reason", e.Reason, InsufficientGas, OtherError))
}

func (e CannotRouteMessage) check() error {
	return cmp.Or(needed("messageID", e.MessageID, "details", e.Details), oneOf("reason", e.Reason, CustomReason, OtherError))
}

func (e CannotExecuteTask) check() error {
	return cmp.Or(checkFailure(e.TaskItemID, e.Details),
		oneOf("reason", e.Reason, CustomReason, OtherError, InsufficientGas, TxReverted), e.Cost.check("cost"))
}

func (e SignersRotated) check() error {
	if e.Meta.Epoch < 0 {
		return fmt.Errorf("epoch is %d: %w", e.Meta.Epoch, ErrEvent)
	}
	return needed("messageID", e.MessageID)
}
