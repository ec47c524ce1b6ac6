package axelar

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/common"
)

var (
	// ErrDestination says when ITS would take an amount that its destination can
	// never be given.
	ErrDestination = errors.New("not a destination for a transfer")
	// ErrAmount says when an amount is none that can be sent.
	ErrAmount = errors.New("not an amount to send")
)

// Target is what the sender knows of a destination on its chain.
type Target struct {
	// HasCode: a contract is there. Without one, a transfer with data can never
	// be executed.
	HasCode bool
	// Refused are further addresses that must not be paid: gateways, escrows,
	// the token itself.
	Refused []common.Address
}

// CheckSend says whether a transfer can arrive. ITS itself accepts any
// destination that is not empty, and nothing ever comes back from there.
// ErrDestination for bytes that are not 20 long, zero, precompiles and other
// addresses that Filecoin's delegated (f4) form cannot stand for, masked actor
// ids, and data for an address without code; ErrAmount for zero and what is no
// uint256.
func CheckSend(destination []byte, amount *big.Int, data []byte, target Target) error {
	if len(destination) != common.AddressLength {
		return fmt.Errorf("%w: %d bytes instead of 20", ErrDestination, len(destination))
	}
	to := common.BytesToAddress(destination)
	if ipc.ForbiddenRecipient(to, target.Refused...) {
		return fmt.Errorf("%w: %s", ErrDestination, to)
	}
	if len(data) > 0 && !target.HasCode {
		return fmt.Errorf("%w: data for %s, which has no code", ErrDestination, to)
	}
	if err := checkUint("amount", amount, 256); err != nil {
		return fmt.Errorf("%w: %w", ErrAmount, err)
	}
	if amount.Sign() == 0 {
		return fmt.Errorf("%w: it is zero", ErrAmount)
	}
	return nil
}
