package deploy

import (
	"encoding/json"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"
)

// strangers is a file that names contracts of somebody else, and no more.
func strangers() (root, subnet, file map[string]any) {
	root = map[string]any{
		"chain_id": 314159, "gateway": "0x0000000000000000000000000000000000000a01", "subnet_actor": "0x0000000000000000000000000000000000000a02",
		"usdc": "0x0000000000000000000000000000000000000a03", "linked_token_controller": "0x0000000000000000000000000000000000000a04",
	}
	subnet = map[string]any{
		"chain_id": 41001, "gateway": "0x77aa40b105843728088c0132e43fc44348881da8", "linked_token_replica": "0x0000000000000000000000000000000000000b01",
	}
	return root, subnet, map[string]any{"version": 1, "abi_generation": "C", "root": root, "subnet": subnet}
}

func decode(t *testing.T, file map[string]any) (Deployment, error) {
	t.Helper()
	raw, err := json.Marshal(file)
	require.NoError(t, err)
	return DecodeDeployment(raw)
}

func TestAFileOfAddressesIsADeployment(t *testing.T) {
	_, _, file := strangers()
	d, err := decode(t, file)
	require.NoError(t, err)
	require.True(t, d.OnlyAddresses())
	require.Equal(t, "/r314159/0x0000000000000000000000000000000000000a02", d.Root.Subnet().String())

	// A native token, and no USDC at all.
	root, subnet, file := strangers()
	for _, k := range []string{"usdc", "linked_token_controller"} {
		delete(root, k)
	}
	delete(subnet, "linked_token_replica")
	_, err = decode(t, file)
	require.NoError(t, err)
}

func TestAFileOfAddressesNamesWhatItMust(t *testing.T) {
	for name, c := range map[string]struct {
		change    func(root, subnet, file map[string]any)
		complaint string
	}{
		"no root gateway":    {func(r, _, _ map[string]any) { delete(r, "gateway") }, "root has no gateway"},
		"no actor":           {func(r, _, _ map[string]any) { delete(r, "subnet_actor") }, "root has no subnet_actor"},
		"no chain id":        {func(r, _, _ map[string]any) { delete(r, "chain_id") }, "root has no chain_id"},
		"one chain for both": {func(r, s, _ map[string]any) { s["chain_id"] = r["chain_id"] }, "no chain_id of its own"},
		"no subnet gateway":  {func(_, s, _ map[string]any) { delete(s, "gateway") }, "subnet has no gateway"},
		"half a pair":        {func(_, s, _ map[string]any) { delete(s, "linked_token_replica") }, "or none of them"},
		"another subnet":     {func(_, s, _ map[string]any) { s["id"] = "/r1/0x01" }, "is not the one of the root's actor"},
		"parts of our own":   {func(_, s, _ map[string]any) { s["withdrawal_outbox"] = s["gateway"] }, "Causeway's own"},
		"another generation": {func(_, _, f map[string]any) { f["abi_generation"] = "A" }, "generation"},
		"an unknown field":   {func(r, _, _ map[string]any) { r["owner"] = "me" }, "owner"},
		"half of how it was made": {func(_, _, f map[string]any) {
			f["settings"] = map[string]any{"check_period": 10}
		}, "message gas is 0"},
	} {
		t.Run(name, func(t *testing.T) {
			root, subnet, file := strangers()
			root, subnet = maps.Clone(root), maps.Clone(subnet)
			file["root"], file["subnet"] = root, subnet
			c.change(root, subnet, file)
			_, err := decode(t, file)
			require.ErrorContains(t, err, c.complaint)
		})
	}
}
