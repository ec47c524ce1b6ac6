package deploy

import (
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/params"
	"github.com/stretchr/testify/require"
)

func testEVM(t *testing.T) *genesisEVM {
	t.Helper()
	g, err := newGenesisEVM(subnetConfig(77), 1_700_000_000, 60_000_000, big.NewInt(params.GWei))
	require.NoError(t, err)
	return g
}

func meta(code string) *bind.MetaData {
	return &bind.MetaData{ABI: `[]`, Bin: code, ID: "Probe"}
}

// sstore(0, address) sstore(1, chainid) sstore(2, timestamp) sstore(3, 1) sstore(3, 0); return 1 byte 0x00 … of code.
const ownStorage = "0x" + "305f55" + "46600155" + "42600255" + "6001600355" + "5f600355" + "60fe5f526001601ff3"

func TestAConstructorRunsAtItsFinalAddressInTheSubnet(t *testing.T) {
	g := testEVM(t)
	account, err := g.construct(OutboxAddress, meta(ownStorage))
	require.NoError(t, err)
	require.Equal(t, []byte{0xfe}, account.Code)
	require.EqualValues(t, 1, account.Nonce)
	require.Equal(t, map[common.Hash]common.Hash{
		{}:                              common.BytesToHash(OutboxAddress.Bytes()),
		common.BigToHash(big.NewInt(1)): common.BigToHash(big.NewInt(77)),
		common.BigToHash(big.NewInt(2)): common.BigToHash(big.NewInt(1_700_000_000)),
	}, account.Storage, "slots that end as zero are left out")
}

func TestAConstructorSeesTheContractsBeforeIt(t *testing.T) {
	g := testEVM(t)
	_, err := g.construct(ReplicaAddress, meta(ownStorage))
	require.NoError(t, err)
	// sstore(0, extcodesize(replica))
	account, err := g.construct(OutboxAddress, meta("0x73"+ReplicaAddress.Hex()[2:]+"3b5f55"+"60fe5f526001601ff3"))
	require.NoError(t, err)
	require.Equal(t, common.BigToHash(common.Big1), account.Storage[common.Hash{}])
}

func TestAConstructorThatAnAllocCannotKeepIsRefused(t *testing.T) {
	// A contract that writes its own storage when called.
	const writer = "0x" + "6004600c5f3960045ff3" + "00" + "00" + "60015f55"
	for name, c := range map[string]struct{ code, complaint string }{
		"no code":            {"0x", "has no code"},
		"returns nothing":    {"0x00", "no deployable code"},
		"returns EOF":        {"0x60ef5f526001601ff3", "no deployable code"},
		"returns too much":   {"0x6160015ff3", "no deployable code"},
		"reverts":            {"0x5f5ffd", "execution reverted"},
		"creates a contract": {"0x5f5f5ff0" + "60fe5f526001601ff3", "beyond its account"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := testEVM(t).construct(OutboxAddress, meta(c.code))
			require.ErrorContains(t, err, c.complaint)
		})
	}
	t.Run("writes elsewhere", func(t *testing.T) {
		g := testEVM(t)
		_, err := g.construct(ReplicaAddress, meta(writer))
		require.NoError(t, err)
		// call(gas, replica, 0, 0, 0, 0, 0)
		_, err = g.construct(OutboxAddress, meta("0x5f5f5f5f5f73"+ReplicaAddress.Hex()[2:]+"5af1"+"60fe5f526001601ff3"))
		require.ErrorContains(t, err, "writes storage of "+ReplicaAddress.Hex())
	})
}
