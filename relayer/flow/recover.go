package flow

import (
	"context"
	"fmt"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
)

// RecoverDeps is what carrying a recovery into a subnet needs.
type RecoverDeps struct {
	Actor common.Address
	// Signed is the recovery that a quorum of the subnet has signed and its
	// gateway has not committed, as far as the node knows; false if none.
	Signed func(context.Context) (Recovery, bool, error)
	// Committed is the number of the newest one on the subnet gateway, at the
	// newest block.
	Committed func(context.Context) (uint64, error)
	Send      func(context.Context, chains.Tx) error // to the subnet
}

// Recovery is a signed recovery (PROTOCOL 10).
type Recovery struct {
	Number uint64
	Commit func() (chains.Tx, error) // the call of commitParentRecovery
}

// Recover carries the recovery that a subnet's validators have signed, if there
// is one. It may be called at any time: the gateway takes each number once. It
// goes under no lane's fence: lanes that rely on a forked root stand still, and
// nothing comes down before this.
func (d RecoverDeps) Recover(ctx context.Context) error {
	r, ok, err := d.Signed(ctx)
	if err != nil || !ok {
		return err
	}
	committed, err := d.Committed(ctx)
	if err != nil || r.Number <= committed {
		return err
	}
	tx, err := r.Commit()
	if err != nil {
		return err
	}
	tx.Key, tx.Group = fmt.Sprintf("recovery/%s/%d", d.Actor.Hex(), r.Number), "into/"+d.Actor.Hex()
	if err := d.Send(ctx, tx); err != nil {
		return fmt.Errorf("commit recovery %d: %w", r.Number, err)
	}
	return nil
}
