package axelar

import (
	"context"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
)

// Version is a version of ITS.
type Version uint8

// The versions spoken here. Mainnet and testnet of Ethereum and Filecoin have
// 2.1.1.
const (
	V211 Version = iota + 1
	V220
)

// String is the number.
func (v Version) String() string {
	switch v {
	case V211:
		return "2.1.1"
	case V220:
		return "2.2.0"
	}
	return "unknown"
}

// hubRoute is the trusted address of a chain that is reached through the hub
// (ITS 2.1.1).
const hubRoute = "hub"

// Functions of InterchainTokenService and TokenManager.
var (
	fnExecute  = declare("execute", list("bytes32", "string", "string", "bytes"), nil)
	fnExpress  = declare("expressExecute", list("bytes32", "string", "string", "bytes"), nil)
	fnTransfer = declare("interchainTransfer", list("bytes32", "string", "bytes", "uint256", "bytes", "uint256"), nil)

	fnHubAddress     = declare("itsHubAddress", nil, list("string"))             // 2.2.0
	fnTrustedChain   = declare("isTrustedChain", list("string"), list("bool"))   // 2.2.0
	fnTrustedAddress = declare("trustedAddress", list("string"), list("string")) // 2.1.1; unused by 2.2.0
	fnPaused         = declare("paused", nil, list("bool"))
	fnGateway        = declare("gateway", nil, list("address"))
	fnChainName      = declare("chainName", nil, list("string"))
	fnRegistered     = declare("registeredTokenAddress", list("bytes32"), list("address"))
	fnDecimals       = declare("decimals", nil, list("uint8"))

	fnFlowLimit = declare("flowLimit", nil, list("uint256"))
	fnFlowIn    = declare("flowInAmount", nil, list("uint256"))
	fnFlowOut   = declare("flowOutAmount", nil, list("uint256"))
)

// Service is one deployed ITS.
type Service struct {
	Address common.Address
	Version Version
	// Chain is the name it goes by, Hub the hub's address on Axelar, Gateway the
	// gateway it speaks through.
	Chain   string
	Hub     string
	Gateway common.Address
}

// ProbeService asks a contract which version of ITS it is: 2.2.0 knows its
// hub's address, 2.1.1 trusts an address on Axelar. ErrNotService where it is
// neither or has no hub.
func ProbeService(ctx context.Context, c Caller, at common.Address) (Service, error) {
	s, err := probeService(ctx, c, at)
	if err != nil {
		return Service{}, fmt.Errorf("probe ITS %s: %w", at, err)
	}
	return s, nil
}

func probeService(ctx context.Context, c Caller, at common.Address) (Service, error) {
	id, ok, err := view[[32]byte](ctx, c, at, fnContractID)
	if err != nil {
		return Service{}, err
	}
	if !ok || id != idService {
		return Service{}, fmt.Errorf("its contractId() is %x: %w", id, ErrNotService)
	}
	s := Service{Address: at, Version: V220}
	if s.Hub, ok, err = view[string](ctx, c, at, fnHubAddress); err != nil {
		return Service{}, err
	}
	if !ok {
		s.Version = V211
		if s.Hub, ok, err = view[string](ctx, c, at, fnTrustedAddress, HubChain); err != nil {
			return Service{}, err
		}
	}
	if !ok || s.Hub == "" || s.Hub == hubRoute {
		return Service{}, fmt.Errorf("it has no hub: %w", ErrNotService)
	}
	if s.Gateway, ok, err = view[common.Address](ctx, c, at, fnGateway); err != nil {
		return Service{}, err
	}
	if !ok || s.Gateway == (common.Address{}) {
		return Service{}, fmt.Errorf("it has no gateway: %w", ErrNotService)
	}
	if s.Chain, ok, err = view[string](ctx, c, at, fnChainName); err != nil {
		return Service{}, err
	}
	if !ok || checkChainName(s.Chain) != nil {
		return Service{}, fmt.Errorf("it has no name: %w", ErrNotService)
	}
	return s, nil
}

// Express says whether a message through the hub can be executed from
// somebody's own money before it is approved. 2.1.1 reverts.
func (s Service) Express() bool { return s.Version == V220 }

// TokenManager is where this ITS keeps the manager of a token.
func (s Service) TokenManager(tokenID common.Hash) common.Address {
	return TokenManager(s.Address, tokenID)
}

// InterchainToken is where this ITS deploys a token of its own.
func (s Service) InterchainToken(tokenID common.Hash) common.Address {
	return InterchainToken(s.Address, tokenID)
}

// ExecuteCalldata is execute(commandId, source chain, source address, payload),
// the call that carries an approved message out. ErrMessage where the message is
// not of the hub for this ITS with this payload: the chain would refuse it.
func (s Service) ExecuteCalldata(commandID common.Hash, m Message, payload []byte) ([]byte, error) {
	if err := s.mine(m, payload); err != nil {
		return nil, fmt.Errorf("execute: %w", err)
	}
	return fnExecute.data(commandID, m.SourceChain, m.SourceAddress, payload), nil
}

// ExpressCalldata is expressExecute with the same arguments: the caller pays,
// and is paid back when the message is executed. ITS checks nothing about it: a
// message that was never sent costs the caller its money.
func (s Service) ExpressCalldata(commandID common.Hash, m Message, payload []byte) ([]byte, error) {
	if !s.Express() {
		return nil, fmt.Errorf("express: ITS %s cannot: %w", s.Version, ErrNotService)
	}
	if err := s.mine(m, payload); err != nil {
		return nil, fmt.Errorf("express: %w", err)
	}
	return fnExpress.data(commandID, m.SourceChain, m.SourceAddress, payload), nil
}

func (s Service) mine(m Message, payload []byte) error {
	switch {
	case m.SourceChain != HubChain || m.SourceAddress != s.Hub:
		return fmt.Errorf("%w: it is from %.100q of %.100q, not from the hub", ErrMessage, m.SourceAddress, m.SourceChain)
	case m.Contract != s.Address:
		return fmt.Errorf("%w: it is for %s", ErrMessage, m.Contract)
	case m.PayloadHash != keccak(payload):
		return fmt.Errorf("%w: the payload has another hash", ErrMessage)
	}
	return nil
}

// Send is a transfer to be sent: Amount base units for the 20 bytes of
// Destination on Chain, called with Data where there is some. GasWei goes to
// the gas service; the transaction's value must be exactly that, since ITS
// reverts below it and keeps what is above.
type Send struct {
	TokenID     common.Hash
	Chain       string
	Destination []byte
	Amount      *big.Int
	Data        []byte
	GasWei      *big.Int
}

// TransferCalldata is interchainTransfer with six arguments, which both
// versions have. ErrDestination or ErrAmount where what it takes would be lost.
func (s Service) TransferCalldata(t Send, target Target) ([]byte, error) {
	if err := checkChainName(t.Chain); err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	if err := CheckSend(t.Destination, t.Amount, t.Data, target); err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	if err := checkUint("gas", t.GasWei, 256); err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	return fnTransfer.data(t.TokenID, t.Chain, t.Destination, t.Amount, EncodeMetadata(t.Data), t.GasWei), nil
}

// Trusts asks whether this ITS sends to and takes from the ITS on a chain,
// through the hub.
func (s Service) Trusts(chain string) Question[bool] {
	if s.Version == V220 {
		return ask([]Call{{s.Address, fnTrustedChain.data(chain)}}, func(answers [][]byte) (bool, error) {
			return readBool(fnTrustedChain, answers[0])
		})
	}
	return ask([]Call{{s.Address, fnTrustedAddress.data(chain)}}, func(answers [][]byte) (bool, error) {
		v, err := fnTrustedAddress.answer(answers[0])
		if err != nil {
			return false, err
		}
		return v[0].(string) == hubRoute, nil
	})
}

// Decimals asks for the decimals of a token where this ITS has it; ok is false
// while it has not.
func (s Service) Decimals(ctx context.Context, c Caller, tokenID common.Hash) (decimals uint8, ok bool, err error) {
	token, ok, err := view[common.Address](ctx, c, s.Address, fnRegistered, tokenID)
	if err != nil || !ok {
		return 0, false, err
	}
	return view[uint8](ctx, c, token, fnDecimals)
}

// Paused asks whether this ITS is paused. That its gateway may be, besides, is
// for a simulation to show: older gateways cannot.
func (s Service) Paused() Question[bool] {
	return ask([]Call{{s.Address, fnPaused.data()}}, func(answers [][]byte) (bool, error) {
		return readBool(fnPaused, answers[0])
	})
}

// Flow asks what the manager of a token has counted in the window of the block
// that is read.
func (s Service) Flow(tokenID common.Hash) Question[Flow] {
	manager := s.TokenManager(tokenID)
	views := []function{fnFlowLimit, fnFlowIn, fnFlowOut}
	calls := make([]Call, len(views))
	for i, f := range views {
		calls[i] = Call{manager, f.data()}
	}
	return ask(calls, func(answers [][]byte) (Flow, error) {
		var n [3]*big.Int
		for i, f := range views {
			var err error
			if n[i], err = readUint(f, answers[i]); err != nil {
				return Flow{}, err
			}
		}
		return Flow{Limit: n[0], In: n[1], Out: n[2]}, nil
	})
}
