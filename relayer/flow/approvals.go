package flow

import (
	"context"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
)

// Wanted is a message that waits for its approval at a gateway. From and ID name
// the call that it began with: the chain, by its name at Axelar, and the call's
// own message id there. They are all that a signer is told; the message it makes
// of them by itself.
type Wanted struct {
	From    string
	ID      axelar.MessageID
	Message axelar.Message
}

// Signed is a call that approves some of what was wanted. Equal keys carry equal
// content, so that sending one twice changes nothing; Covers are indexes into
// what was asked for.
type Signed struct {
	Key    string
	Tx     chains.Tx // Key, To and Data; the rest is the sender's
	Covers []int
}

// ApproveFunc asks for approvals at one gateway. It may be called with the same
// messages again and again: what no Signed covers is not approved yet. A message
// is covered by one Signed at most.
type ApproveFunc func(ctx context.Context, wanted []Wanted) ([]Signed, error)
