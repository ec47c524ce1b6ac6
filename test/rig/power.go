package rig

import (
	"context"
	"fmt"
	"math/big"
	"time"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/cmd/causeway/wallet"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/ethclient"
)

// Stake makes the validator put more collateral on the root: a power change
// that the validators attest, the relayer delivers and a checkpoint confirms.
func (w *World) Stake(ctx context.Context, ether int64) error {
	key, err := w.Dir.Key("validator", home.Light)
	if err != nil {
		return err
	}
	v, err := wallet.Open(ctx, wallet.RootOf(w.Net.Dep, w.Net.Info.RootURL), key)
	if err != nil {
		return err
	}
	defer v.Close()
	tx, err := v.Send(ctx, w.Net.Dep.Root.Actor, bindings.NewSubnetActor().PackStake(home.Ether(ether)), home.Ether(ether))
	if err == nil {
		_, err = v.Wait(ctx, tx)
	}
	if err != nil {
		return fmt.Errorf("stake: %w", err)
	}
	return nil
}

// Powerful waits until root, subnet gateway and node agree on the configuration
// and on the validator's weight.
func (w *World) Powerful(ctx context.Context, configuration uint64, ether int64) error {
	actor, gateway := bindings.NewSubnetActor(), bindings.NewSubnetGateway()
	want := home.Ether(ether)
	view := func(c *ethclient.Client, to common.Address, data []byte) []byte {
		raw, err := c.CallContract(ctx, ethereum.CallMsg{To: &to, Data: data}, nil)
		if err != nil {
			return nil
		}
		return raw
	}
	root, subnet := w.Bridge.Root.Client(), w.Bridge.Subnet.Client()
	return Until(ctx, 2*time.Minute, fmt.Sprintf("root, gateway and node agree on configuration %d", configuration), func() bool {
		numbers, err := actor.UnpackGetConfigurationNumbers(view(root, w.Net.Dep.Root.Actor, actor.PackGetConfigurationNumbers()))
		if err != nil || numbers.Start != configuration+1 {
			return false
		}
		if new(big.Int).SetBytes(view(root, w.Net.Dep.Root.Actor, actor.PackGetTotalPower())).Cmp(want) != 0 {
			return false
		}
		m, err := gateway.UnpackGetCurrentMembership(view(subnet, ipc.GatewayAddress, gateway.PackGetCurrentMembership()))
		if err != nil || m.ConfigurationNumber != configuration || len(m.Validators) != 1 || m.Validators[0].Weight.Cmp(want) != 0 {
			return false
		}
		var status struct {
			Applied    uint64 `json:"appliedConfigurationNumber"`
			Validators []struct {
				Power int64 `json:"power"`
			} `json:"validators"`
		}
		err = subnet.Client().CallContext(ctx, &status, "causeway_status")
		// 1,000 units of power a coin, at the devnet's scale of 3.
		return err == nil && status.Applied == configuration && len(status.Validators) == 1 && status.Validators[0].Power == ether*1000
	})
}
