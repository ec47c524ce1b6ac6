package wallet_test

import (
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/cmd/causeway/wallet"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

func TestAWalletOpensNoOtherChain(t *testing.T) {
	n := fake.NewNode(t, 77)
	key, address := fake.NewKey()
	d := deploy.Deployment{
		Root: deploy.RootSet{ChainID: 77, GenesisHash: n.Hash(0)}, Subnet: deploy.SubnetSet{ChainID: 77, GenesisHash: common.Hash{1}},
	}
	a, err := wallet.Open(t.Context(), wallet.RootOf(d, n.URL()), key)
	require.NoError(t, err)
	require.Equal(t, address, a.Address)
	a.Close()

	_, err = wallet.Open(t.Context(), wallet.SubnetOf(d, n.URL()), key)
	require.ErrorIs(t, err, chains.ErrWrongChain, "the id is right, the first block is not")
	require.ErrorContains(t, err, "subnet answers as a chain 77 that begins with block "+n.Hash(0).Hex())
	require.ErrorContains(t, err, "give the URL of the chain that the deployment was made on")
	n.SetChainID(78)
	_, err = wallet.Open(t.Context(), wallet.RootOf(d, n.URL()), key)
	require.ErrorIs(t, err, chains.ErrWrongChain)
	require.ErrorContains(t, err, "answers as chain 78, expected 77")
	n.On("eth_chainId", fake.HangUp)
	_, err = wallet.Open(t.Context(), wallet.RootOf(d, n.URL()), key)
	require.ErrorIs(t, err, chains.ErrUnavailable)
}
