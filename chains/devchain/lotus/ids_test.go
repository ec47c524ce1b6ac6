package lotus_test

import (
	"testing"

	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/lotus/chain/types"
	"github.com/filecoin-project/lotus/chain/types/ethtypes"
	"github.com/stretchr/testify/require"
)

func TestAnAddressHasThreeForms(t *testing.T) {
	r := start(t, lotus.Config{})
	cl, full := dial(t, r.Node(0).HTTP()), lotusClient(t, r.Node(0).HTTP())
	contract := deploy(t, r, cl)
	send(t, cl, 1, &contract, nil)
	mine(t, r, 3)

	delegated, err := full.EthAddressToFilecoinAddress(t.Context(), ethtypes.EthAddress(contract))
	require.NoError(t, err)
	require.Equal(t, address.Delegated, delegated.Protocol())
	id, err := full.StateLookupID(t.Context(), delegated, types.EmptyTSK)
	require.NoError(t, err)
	require.Equal(t, address.ID, id.Protocol())
	back, err := full.StateLookupRobustAddress(t.Context(), id, types.EmptyTSK)
	require.NoError(t, err)
	require.Equal(t, delegated, back)
	masked, err := ethtypes.EthAddressFromFilecoinAddress(id)
	require.NoError(t, err)
	require.True(t, masked.IsMaskedID())

	logs, err := cl.FilterLogs(t.Context(), ethereum.FilterQuery{FromBlock: common.Big0, Addresses: []common.Address{common.Address(masked)}})
	require.NoError(t, err)
	require.Len(t, logs, 1)
	require.Equal(t, contract, logs[0].Address)
}
