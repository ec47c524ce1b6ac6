package axelar

import (
	"context"
	"errors"
	"fmt"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
)

var (
	// ErrNotGateway says when a contract is a gateway of neither generation.
	ErrNotGateway = errors.New("not an Axelar gateway")
	// ErrNotService says when a contract is no ITS that this program speaks to.
	ErrNotService = errors.New("not an Interchain Token Service")
)

// What contracts answer to contractId().
var (
	idAmplifier = keccak([]byte("axelar-amplifier-gateway"))
	idLegacy    = keccak([]byte("axelar-gateway"))
	idService   = keccak([]byte("interchain-token-service"))

	fnContractID = declare("contractId", nil, list("bytes32"))
)

// Probe asks a contract which generation of gateways it is and for what its
// adapter needs: the domain separator, or the auth module. chain is the chain
// it is on, which legacy gateways check in every batch and do not tell.
// ErrNotGateway where it is neither, or an unfinished one without signers; the
// error of a chain that gave no answer is passed on.
func Probe(ctx context.Context, c Caller, chain chains.ID, at common.Address) (Gateway, error) {
	id, ok, err := view[[32]byte](ctx, c, at, fnContractID)
	switch {
	case err != nil:
		return nil, fmt.Errorf("probe gateway %s: %w", at, err)
	case !ok:
		return nil, fmt.Errorf("probe gateway %s: it has no contractId(): %w", at, ErrNotGateway)
	}
	var g Gateway
	switch common.Hash(id) {
	case idAmplifier:
		g, err = probeAmplifier(ctx, c, at)
	case idLegacy:
		g, err = probeLegacy(ctx, c, chain, at)
	default:
		err = fmt.Errorf("its contractId() is %x: %w", id, ErrNotGateway)
	}
	if err != nil {
		return nil, fmt.Errorf("probe gateway %s: %w", at, err)
	}
	return g, nil
}

func probeAmplifier(ctx context.Context, c Caller, at common.Address) (Gateway, error) {
	domain, ok, err := view[[32]byte](ctx, c, at, fnDomain)
	if err != nil {
		return nil, err
	}
	if !ok || domain == ([32]byte{}) {
		return nil, fmt.Errorf("it has no domain separator: %w", ErrNotGateway)
	}
	// The rule by which it names messages must be the one that is known here.
	const chain, message = "chain", "message"
	id, ok, err := view[[32]byte](ctx, c, at, fnCommandID, chain, message)
	if err != nil {
		return nil, err
	}
	if !ok || id != CommandID(chain, message) {
		return nil, fmt.Errorf("it makes command ids in another way: %w", ErrNotGateway)
	}
	if err := hasSigners(ctx, c, at, fnEpoch); err != nil {
		return nil, err
	}
	return NewAmplifier(at, domain), nil
}

func probeLegacy(ctx context.Context, c Caller, chain chains.ID, at common.Address) (Gateway, error) {
	auth, ok, err := view[common.Address](ctx, c, at, fnAuthModule)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("it has no auth module: %w", ErrNotGateway)
	}
	if err := hasSigners(ctx, c, auth, fnCurrentEpoch); err != nil {
		return nil, err
	}
	return NewLegacy(chain, at, auth), nil
}

// hasSigners demands that a signer set was ever given.
func hasSigners(ctx context.Context, c Caller, at common.Address, epoch function) error {
	data, answered, err := call(ctx, c, at, epoch)
	if err != nil {
		return err
	}
	if answered {
		if n, err := readUint(epoch, data); err == nil && n.Sign() > 0 {
			return nil
		}
	}
	return fmt.Errorf("%s of %s names no signers: %w", epoch.signature, at, ErrNotGateway)
}

// call asks a view that may not be there: answered is false where the call
// reverts. An address without code answers nothing, which no view reads.
func call(ctx context.Context, c Caller, at common.Address, f function, args ...any) (data []byte, answered bool, err error) {
	data, err = c.CallContract(ctx, at, f.data(args...))
	if errors.Is(err, chains.ErrReverted) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("ask %s: %w", f.signature, err)
	}
	return data, true, nil
}

// view asks a view of one value that may not be there; ok is false also where
// the answer is something else.
func view[T any](ctx context.Context, c Caller, at common.Address, f function, args ...any) (value T, ok bool, err error) {
	data, answered, err := call(ctx, c, at, f, args...)
	if err != nil || !answered {
		return value, false, err
	}
	v, err := f.answer(data)
	if err != nil {
		return value, false, nil
	}
	return v[0].(T), true, nil
}
