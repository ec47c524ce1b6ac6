package gmpapi

import (
	"cmp"
	"errors"
	"fmt"
	"math/big"
)

// Amount is a whole number of base units, a decimal string in JSON.
type Amount struct{ Int *big.Int }

// MarshalJSON implements json.Marshaler.
func (a Amount) MarshalJSON() ([]byte, error) {
	if a.Int == nil {
		return nil, errors.New("no amount")
	}
	return []byte(`"` + a.Int.String() + `"`), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (a *Amount) UnmarshalJSON(raw []byte) error {
	o := readObject("amount", []byte(`{"":`+string(raw)+`}`))
	a.Int = o.integer("")
	return *o.err
}

// TransferSent is ITS/INTERCHAIN_TRANSFER: ITS took an amount. MessageID is of
// the call that carries it; DataHash is empty where there is no data.
type TransferSent struct {
	Base
	Meta               Meta   `json:"meta"`
	MessageID          string `json:"messageID"`
	DestinationChain   string `json:"destinationChain"`
	TokenSpent         Token  `json:"tokenSpent"`
	SourceAddress      string `json:"sourceAddress"`
	DestinationAddress Bytes  `json:"destinationAddress"`
	DataHash           Bytes  `json:"dataHash"`
}

// TransferReceived is ITS/INTERCHAIN_TRANSFER_RECEIVED: ITS gave an amount.
// MessageID is of the message that brought it, SourceChain where the transfer
// began.
type TransferReceived struct {
	Base
	Meta               Meta   `json:"meta"`
	MessageID          string `json:"messageID"`
	SourceChain        string `json:"sourceChain"`
	SourceAddress      Bytes  `json:"sourceAddress"`
	DestinationAddress string `json:"destinationAddress"`
	TokenReceived      Token  `json:"tokenReceived"`
	DataHash           Bytes  `json:"dataHash"`
}

// TokenDefinition is a token to deploy elsewhere.
type TokenDefinition struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Symbol   string `json:"symbol"`
	Decimals uint8  `json:"decimals"`
}

// DeployStarted is ITS/INTERCHAIN_TOKEN_DEPLOYMENT_STARTED.
type DeployStarted struct {
	Base
	Meta             Meta            `json:"meta"`
	MessageID        string          `json:"messageID"`
	DestinationChain string          `json:"destinationChain"`
	Token            TokenDefinition `json:"token"`
}

// TokenDeployed is ITS/INTERCHAIN_TOKEN_DEPLOYED. MessageID is nil where no
// message brought it.
type TokenDeployed struct {
	Base
	Meta         Meta    `json:"meta"`
	MessageID    *string `json:"messageID"`
	TokenID      string  `json:"tokenID"`
	TokenAddress string  `json:"tokenAddress"`
	Minter       string  `json:"minter"`
	Name         string  `json:"name"`
	Symbol       string  `json:"symbol"`
	Decimals     uint8   `json:"decimals"`
}

// Names of token managers, by their number (axelar.ManagerType).
const (
	ManagerNative        = "NATIVE_INTERCHAIN_TOKEN"
	ManagerMintBurnFrom  = "MINT_BURN_FROM"
	ManagerLockUnlock    = "LOCK_UNLOCK"
	ManagerLockUnlockFee = "LOCK_UNLOCK_FEE"
	ManagerMintBurn      = "MINT_BURN"
)

func checkManager(name string) error {
	return oneOf("tokenManagerType", name, ManagerNative, ManagerMintBurnFrom, ManagerLockUnlock, ManagerLockUnlockFee, ManagerMintBurn)
}

// ManagerDeployed is ITS/TOKEN_MANAGER_DEPLOYED. MessageID is nil where no
// message brought it.
type ManagerDeployed struct {
	Base
	Meta         Meta    `json:"meta"`
	MessageID    *string `json:"messageID"`
	TokenID      string  `json:"tokenID"`
	TokenManager string  `json:"tokenManager"`
	ManagerType  string  `json:"tokenManagerType"`
}

// LinkStarted is ITS/LINK_TOKEN_STARTED.
type LinkStarted struct {
	Base
	Meta             Meta   `json:"meta"`
	MessageID        string `json:"messageID"`
	TokenID          string `json:"tokenID"`
	DestinationChain string `json:"destinationChain"`
	SourceToken      Bytes  `json:"sourceTokenAddress"`
	DestinationToken Bytes  `json:"destinationTokenAddress"`
	ManagerType      string `json:"tokenManagerType"`
}

// LinkReceived is ITS/LINK_TOKEN_RECEIVED.
type LinkReceived struct {
	Base
	Meta             Meta   `json:"meta"`
	MessageID        string `json:"messageID"`
	TokenID          string `json:"tokenID"`
	SourceChain      string `json:"sourceChain"`
	SourceToken      Bytes  `json:"sourceTokenAddress"`
	DestinationToken Bytes  `json:"destinationTokenAddress"`
	ManagerType      string `json:"tokenManagerType"`
}

// MetadataRegistered is ITS/TOKEN_METADATA_REGISTERED.
type MetadataRegistered struct {
	Base
	Meta      Meta   `json:"meta"`
	MessageID string `json:"messageID"`
	Address   string `json:"address"`
	Decimals  uint8  `json:"decimals"`
}

// FlowLimitSet is ITS/FLOW_LIMIT_SET.
type FlowLimitSet struct {
	Base
	Meta      Meta   `json:"meta"`
	TokenID   string `json:"tokenID"`
	Operator  string `json:"operator"`
	FlowLimit Amount `json:"flowLimit"`
}

// Type implements Event.
func (TransferSent) Type() EventType { return TypeTransferSent }

// Type implements Event.
func (TransferReceived) Type() EventType { return TypeTransferReceived }

// Type implements Event.
func (DeployStarted) Type() EventType { return TypeDeployStarted }

// Type implements Event.
func (TokenDeployed) Type() EventType { return TypeTokenDeployed }

// Type implements Event.
func (ManagerDeployed) Type() EventType { return TypeManagerDeployed }

// Type implements Event.
func (LinkStarted) Type() EventType { return TypeLinkStarted }

// Type implements Event.
func (LinkReceived) Type() EventType { return TypeLinkReceived }

// Type implements Event.
func (MetadataRegistered) Type() EventType { return TypeMetadata }

// Type implements Event.
func (FlowLimitSet) Type() EventType { return TypeFlowLimitSet }

// checkMoved is for an amount of a token that has to be named.
func checkMoved(name string, t Token) error {
	return cmp.Or(needed(name+".tokenID", t.TokenID), t.check(name))
}

func checkSome(name string, b Bytes) error {
	if len(b) == 0 {
		return fmt.Errorf("%s is empty: %w", name, ErrEvent)
	}
	return nil
}

// checkMaybe is for a message id that may be missing, never empty.
func checkMaybe(id *string) error {
	if id == nil {
		return nil
	}
	return needed("messageID", *id)
}

func (e TransferSent) check() error {
	return cmp.Or(needed("messageID", e.MessageID, "destinationChain", e.DestinationChain, "sourceAddress", e.SourceAddress),
		checkMoved("tokenSpent", e.TokenSpent), checkSome("destinationAddress", e.DestinationAddress))
}

func (e TransferReceived) check() error {
	return cmp.Or(needed("messageID", e.MessageID, "sourceChain", e.SourceChain, "destinationAddress", e.DestinationAddress),
		checkMoved("tokenReceived", e.TokenReceived), checkSome("sourceAddress", e.SourceAddress))
}

func (e DeployStarted) check() error {
	return needed("messageID", e.MessageID, "destinationChain", e.DestinationChain,
		"token.id", e.Token.ID, "token.name", e.Token.Name, "token.symbol", e.Token.Symbol)
}

func (e TokenDeployed) check() error {
	return cmp.Or(checkMaybe(e.MessageID), needed("tokenID", e.TokenID, "tokenAddress", e.TokenAddress, "minter", e.Minter,
		"name", e.Name, "symbol", e.Symbol))
}

func (e ManagerDeployed) check() error {
	return cmp.Or(checkMaybe(e.MessageID), needed("tokenID", e.TokenID, "tokenManager", e.TokenManager), checkManager(e.ManagerType))
}

func (e LinkStarted) check() error {
	return cmp.Or(needed("messageID", e.MessageID, "tokenID", e.TokenID, "destinationChain", e.DestinationChain),
		checkSome("sourceTokenAddress", e.SourceToken), checkSome("destinationTokenAddress", e.DestinationToken), checkManager(e.ManagerType))
}

func (e LinkReceived) check() error {
	return cmp.Or(needed("messageID", e.MessageID, "tokenID", e.TokenID, "sourceChain", e.SourceChain),
		checkSome("sourceTokenAddress", e.SourceToken), checkSome("destinationTokenAddress", e.DestinationToken), checkManager(e.ManagerType))
}

func (e MetadataRegistered) check() error {
	return needed("messageID", e.MessageID, "address", e.Address)
}

func (e FlowLimitSet) check() error {
	return cmp.Or(needed("tokenID", e.TokenID, "operator", e.Operator), Token{Amount: e.FlowLimit.Int}.check("flowLimit"))
}
