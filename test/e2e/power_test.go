package e2e

import (
	"context"
	"math/big"
	"time"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/cmd/causeway/wallet"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/stretchr/testify/require"
)

// stakes makes the validator put more collateral on the root: a power change
// that the validators attest, the relayer delivers and a checkpoint confirms.
func (r *rig) stakes(ctx context.Context, ether int64) {
	r.t.Helper()
	key, err := r.dir.Key("validator", home.Light)
	require.NoError(r.t, err)
	v, err := wallet.Open(ctx, "root", r.net.Info.RootURL, r.net.Dep.Root.ChainID, key)
	require.NoError(r.t, err)
	defer v.Close()
	tx, err := v.Send(ctx, r.net.Dep.Root.Actor, bindings.NewSubnetActor().PackStake(home.Ether(ether)), home.Ether(ether))
	require.NoError(r.t, err)
	_, err = v.Wait(ctx, tx)
	require.NoError(r.t, err)
}

// powerful waits until root, subnet gateway and node agree on the configuration
// and on the validator's weight.
func (r *rig) powerful(ctx context.Context, configuration uint64, ether int64) {
	r.t.Helper()
	actor, gateway := bindings.NewSubnetActor(), bindings.NewSubnetGateway()
	want := home.Ether(ether)
	agree := func() bool {
		raw, err := r.b.Root.Client().CallContract(ctx, callMsg(r.net.Dep.Root.Actor, actor.PackGetConfigurationNumbers()), nil)
		if err != nil {
			return false
		}
		numbers, err := actor.UnpackGetConfigurationNumbers(raw)
		if err != nil || numbers.Start != configuration+1 {
			return false
		}
		if raw, err = r.b.Root.Client().CallContract(ctx, callMsg(r.net.Dep.Root.Actor, actor.PackGetTotalPower()), nil); err != nil || new(big.Int).SetBytes(raw).Cmp(want) != 0 {
			return false
		}
		if raw, err = r.b.Subnet.Client().CallContract(ctx, callMsg(ipc.GatewayAddress, gateway.PackGetCurrentMembership()), nil); err != nil {
			return false
		}
		m, err := gateway.UnpackGetCurrentMembership(raw)
		if err != nil || m.ConfigurationNumber != configuration || len(m.Validators) != 1 || m.Validators[0].Weight.Cmp(want) != 0 {
			return false
		}
		var status struct {
			Applied    uint64 `json:"appliedConfigurationNumber"`
			Validators []struct {
				Power int64 `json:"power"`
			} `json:"validators"`
		}
		err = r.b.Subnet.Client().Client().CallContext(ctx, &status, "causeway_status")
		// 1,000 units of power a coin, at the devnet's scale of 3.
		return err == nil && status.Applied == configuration && len(status.Validators) == 1 && status.Validators[0].Power == ether*1000
	}
	require.Eventually(r.t, agree, 2*time.Minute, 500*time.Millisecond, "root, gateway and node do not agree on configuration %d", configuration)
}
