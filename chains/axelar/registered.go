package axelar

import (
	"context"
	"fmt"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
)

// String is the snake_case label.
func (m ManagerType) String() string {
	names := [...]string{"native_interchain_token", "mint_burn_from", "lock_unlock", "lock_unlock_fee", "mint_burn"}
	if int(m) < len(names) {
		return names[m]
	}
	return fmt.Sprintf("type_%d", uint8(m))
}

// What ITS says when it comes to know a token, and what it speaks to.
var (
	evManagerDeployed = declareEvent("TokenManagerDeployed", "indexed bytes32", "address", "indexed uint8", "bytes")
	evTokenDeployed   = declareEvent("InterchainTokenDeployed", "indexed bytes32", "address", "indexed address", "string", "string", "uint8")

	fnGasService = declare("gasService", nil, list("address"))
	fnFactory    = declare("interchainTokenFactory", nil, list("address"))
)

// Registered is TokenManagerDeployed: from now on ITS moves the token.
type Registered struct {
	TokenID common.Hash
	Manager common.Address
	Type    ManagerType
}

// Made is InterchainTokenDeployed: ITS has made the token itself. Minter may mint
// it besides; zero is nobody.
type Made struct {
	TokenID  common.Hash
	Token    common.Address
	Minter   common.Address
	Decimals uint8
}

func (Registered) serviceEvent() {}
func (Made) serviceEvent()       {}

// Registration selects the events of a token's registration.
func (s Service) Registration(tokenID common.Hash) chains.Filter {
	return chains.Filter{
		Addresses: []common.Address{s.Address}, Topics: []common.Hash{evManagerDeployed.topic, evTokenDeployed.topic},
		Later: [][]common.Hash{{tokenID}},
	}
}

// ReadRegistration reads one of them, as Registered or Made; ok is false for
// other events.
func (s Service) ReadRegistration(e chains.Event) (out ServiceEvent, ok bool, err error) {
	if e.Address != s.Address || len(e.Topics) == 0 {
		return nil, false, nil
	}
	switch e.Topics[0] {
	case evManagerDeployed.topic:
		out, err = readRegistered(e)
	case evTokenDeployed.topic:
		out, err = readMade(e)
	default:
		return nil, false, nil
	}
	return out, err == nil, err
}

func readRegistered(e chains.Event) (ServiceEvent, error) {
	l := evManagerDeployed
	v, err := l.read(e)
	if err != nil {
		return nil, err
	}
	kind := e.Topics[2].Big()
	if kind.BitLen() > 8 {
		return nil, fmt.Errorf("decode %s: type %s: %w", l.signature, kind, ErrMalformed)
	}
	return Registered{TokenID: e.Topics[1], Manager: v[0].(common.Address), Type: ManagerType(kind.Uint64())}, nil
}

func readMade(e chains.Event) (ServiceEvent, error) {
	v, err := evTokenDeployed.read(e)
	if err != nil {
		return nil, err
	}
	minter, err := evTokenDeployed.address(e, 2)
	if err != nil {
		return nil, err
	}
	return Made{TokenID: e.Topics[1], Token: v[0].(common.Address), Minter: minter, Decimals: v[3].(uint8)}, nil
}

// Token is what this ITS moves under an id; ok is false while it moves nothing.
func (s Service) Token(ctx context.Context, c Caller, tokenID common.Hash) (token common.Address, ok bool, err error) {
	return view[common.Address](ctx, c, s.Address, fnRegistered, tokenID)
}

// Beside is the gas service that this ITS pays and the factory that registers
// tokens at it; ErrNotService where it names none.
func (s Service) Beside(ctx context.Context, c Caller) (gas, factory common.Address, err error) {
	for _, part := range []struct {
		f  function
		to *common.Address
	}{{fnGasService, &gas}, {fnFactory, &factory}} {
		var ok bool
		if *part.to, ok, err = view[common.Address](ctx, c, s.Address, part.f); err != nil {
			return gas, factory, fmt.Errorf("ask ITS %s: %w", s.Address, err)
		}
		if !ok || *part.to == (common.Address{}) {
			return gas, factory, fmt.Errorf("ask ITS %s: it has no %s: %w", s.Address, part.f.signature, ErrNotService)
		}
	}
	return gas, factory, nil
}
