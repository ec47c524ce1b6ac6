package approve

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// Kind says what a call asks for.
type Kind string

// Kinds of calls. Direct ones do not go through the hub; of those that do, only
// transfers and deployments are ever approved.
const (
	KindDirect   Kind = "direct"
	KindTransfer Kind = "transfer"
	KindDeploy   Kind = "deploy_token"
	KindOther    Kind = "other"
)

// Call is a call of a gateway in a final block as a signer keeps it: what it takes
// to make the message of it again, and to judge it.
type Call struct {
	Chain     string         `json:"chain"` // by its name at Axelar
	Block     uint64         `json:"block"`
	BlockHash common.Hash    `json:"block_hash"`
	Tx        common.Hash    `json:"tx"`
	Index     uint           `json:"index"`    // of the log in its block
	Position  uint           `json:"position"` // in its transaction's receipt
	Sender    common.Address `json:"sender"`
	Sent      common.Hash    `json:"sent"` // hash of the payload
	To        string         `json:"to"`   // the chain where it goes in the end
	Kind      Kind           `json:"kind"`
	Arrives   common.Hash    `json:"arrives"` // hash of the payload that arrives there
	Contract  common.Address `json:"contract"`
	Token     common.Hash    `json:"token"`
	Amount    tokens.Amount  `json:"amount"`
	Decimals  uint8          `json:"decimals"` // of a deployment
	Minter    bool           `json:"minter"`   // a deployment that lets somebody mint
}

// ID names the call on its chain.
func (c Call) ID() axelar.MessageID {
	return axelar.MessageID{Tx: c.Tx, Index: uint64(c.Position)}
}

func (c Call) String() string { return fmt.Sprintf("call %s of %s", c.ID(), c.Chain) }

// ErrEvent says that an event of the gateway itself cannot be read. The chain is
// not read on, since a call would be missed.
var ErrEvent = errors.New("unreadable event of a gateway")

// Read is the call that an event is. ok is false for events that this signer would
// never sign for, whatever else happens: other events, calls of strangers, and what
// the hub cannot route (refused is why).
func (r Rules) Read(chain string, g axelar.Gateway, e chains.Event) (c Call, ok bool, refused, err error) {
	event, mine, err := g.Decode(e)
	if err != nil {
		return Call{}, false, nil, fmt.Errorf("%s, block %d, log %d: %w: %w", chain, e.Block, e.Index, ErrEvent, err)
	}
	called, is := event.(axelar.Called)
	if !mine || !is {
		return Call{}, false, nil, nil
	}
	// A position counts from the receipt's first log, an index from the block's.
	if e.Position > e.Index {
		return Call{}, false, nil, fmt.Errorf("%s, block %d: log %d of the block is number %d of its receipt: %w", chain, e.Block, e.Index, e.Position, ErrEvent)
	}
	id := axelar.MessageID{Tx: e.Tx, Index: uint64(e.Position)}
	c = Call{
		Chain: chain, Block: e.Block, BlockHash: e.BlockHash, Tx: e.Tx, Index: e.Index, Position: e.Position,
		Sender: called.Sender, Sent: called.PayloadHash,
	}
	routed, err := r.Hub.Route(chain, id, called)
	switch {
	case err == nil:
		c.To, c.Arrives = routed.To, routed.Message.PayloadHash
		c.judge(routed.Inner)
		return c, true, nil, nil
	case errors.Is(err, axelar.ErrHubRefuses):
		return Call{}, false, err, nil
	}
	if routed, err = axelar.Direct(chain, id, called); err != nil {
		return Call{}, false, nil, nil
	}
	c.To, c.Kind, c.Arrives, c.Contract = routed.To, KindDirect, called.PayloadHash, routed.Message.Contract
	if !r.allows(c) {
		return Call{}, false, nil, nil
	}
	return c, true, nil, nil
}

// judge keeps of a payload what the rules ask for.
func (c *Call) judge(inner axelar.Payload) {
	c.Kind = KindOther
	switch p := inner.(type) {
	case axelar.Transfer:
		c.Kind, c.Token, c.Amount = KindTransfer, p.TokenID, tokens.MustUnits(p.Amount)
	case axelar.DeployToken:
		c.Kind, c.Token, c.Decimals, c.Minter = KindDeploy, p.TokenID, p.Decimals, len(p.Minter) > 0
	}
}

// Message is what a gateway approves for the call.
func (r Rules) Message(c Call) axelar.Message {
	if c.Kind == KindDirect {
		return axelar.Message{SourceChain: c.Chain, ID: c.ID().String(), SourceAddress: c.Sender.Hex(), Contract: c.Contract, PayloadHash: c.Arrives}
	}
	return axelar.Message{
		SourceChain: axelar.HubChain, ID: axelar.HubMessageID(c.Chain, c.ID()).String(), SourceAddress: r.Hub.Address,
		Contract: r.Hub.Services[c.To], PayloadHash: c.Arrives,
	}
}

// amount is the number of a transfer's base units, else 0.
func (c Call) amount() *big.Int { return c.Amount.Big() }
