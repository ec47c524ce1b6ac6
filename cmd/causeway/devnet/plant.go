package devnet

import (
	"context"
	"fmt"
	"math/big"
	"slices"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/subnet/node"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/audit"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

// Plant is an error put into a devnet on purpose.
type Plant string

// The errors that can be planted, and what I1 must say.
const (
	// PlantMint gives the user one unit of USDC in the subnet that no deposit
	// backs: drift −1.
	PlantMint Plant = "mint"
	// PlantRelease moves one wei of FLT out of the treasury without a message:
	// drift −1.
	PlantRelease Plant = "release"
	// PlantMessage hides one deposit of 7 units of USDC that is on its way from
	// the audit: drift +7.
	PlantMessage Plant = "message"
)

// Check says whether there is such an error.
func (p Plant) Check() error {
	if p != "" && !slices.Contains([]Plant{PlantMint, PlantRelease, PlantMessage}, p) {
		return fmt.Errorf("plant mint, release or message, not %q", string(p))
	}
	return nil
}

// genesis edits the node's genesis for the errors that live there.
func (p Plant) genesis(user common.Address) func(*node.Genesis) {
	one := big.NewInt(1)
	switch p {
	case PlantMint:
		return func(g *node.Genesis) {
			replica := g.EVM.Alloc[deploy.ReplicaAddress]
			if replica.Storage == nil {
				replica.Storage = map[common.Hash]common.Hash{}
			}
			// OpenZeppelin's ERC20: balances at slot 0, total supply at slot 2.
			balance := crypto.Keccak256Hash(common.LeftPadBytes(user[:], 32), common.Hash{}.Bytes())
			for _, slot := range []common.Hash{balance, common.BigToHash(big.NewInt(2))} {
				replica.Storage[slot] = common.BigToHash(new(big.Int).Add(replica.Storage[slot].Big(), one))
			}
			g.EVM.Alloc[deploy.ReplicaAddress] = replica
		}
	case PlantRelease:
		return func(g *node.Genesis) {
			move(g.EVM.Alloc, g.Gateway, new(big.Int).Neg(one))
			move(g.EVM.Alloc, user, one)
		}
	}
	return nil
}

func move(alloc types.GenesisAlloc, account common.Address, by *big.Int) {
	a := alloc[account]
	if a.Balance == nil {
		a.Balance = new(big.Int)
	}
	a.Balance = new(big.Int).Add(a.Balance, by)
	alloc[account] = a
}

// plant makes the error that lives in flight: the relayer is stopped, so the
// deposit stays on its way, and the audit is not shown it.
func (n *Net) plant(ctx context.Context) error {
	if n.opt.Plant != PlantMessage {
		return nil
	}
	b, err := n.Bridge(ctx)
	if err != nil {
		return err
	}
	defer b.Root.Close()
	defer b.Subnet.Close()
	n.family.get("relayer").stop()
	tx, err := b.Deposit(ctx, tokens.USDC, b.Root.Address, big.NewInt(7))
	if err != nil {
		return err
	}
	receipt, err := b.Root.Wait(ctx, tx)
	if err != nil {
		return err
	}
	n.dropped = tx
	return finalOnRoot(ctx, b, receipt.BlockNumber)
}

// hiding is a source that leaves out the events of one transaction.
type hiding struct {
	evm.Reader
	tx common.Hash
}

var _ audit.RootReader = hiding{}

// Events implements chains.Source.
func (h hiding) Events(ctx context.Context, q chains.Query) (chains.Block, []chains.Event, error) {
	last, events, err := h.Reader.Events(ctx, q)
	return last, slices.DeleteFunc(events, func(e chains.Event) bool { return e.Tx == h.tx }), err
}
