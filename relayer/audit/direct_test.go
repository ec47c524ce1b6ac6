package audit

import (
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

// A call between contracts goes without the token service. It began, and no event of
// the service says that it has arrived.
func TestACallBetweenContractsBeginsALegAndMovesNothing(t *testing.T) {
	l1, root := axelar.Service{Chain: "Ethereum", Address: addr(61)}, axelar.Service{Chain: "filecoin", Address: addr(62)}
	gateway := axelar.NewAmplifier(addr(63), common.Hash{1})
	made := func() *Crossing {
		return &Crossing{
			GmpPort: addr(64), GmpRouter: addr(65), L1Service: l1, RootService: root, books: newLedger(),
			hub: axelar.Hub{Address: "axelar1hub", Services: map[string]common.Address{"Ethereum": l1.Address, "filecoin": root.Address}},
		}
	}
	e := chains.Event{Tx: common.Hash{7}, Position: 3, Block: 70, BlockTime: 700}
	call := func(c *Crossing, route string, from axelar.Service, sender common.Address, to string, contract common.Address) int {
		w := way{route, newCrossed()}
		payload := []byte{1}
		c.called(from, gateway, w, e, axelar.Called{
			Sender: sender, DestinationChain: to, DestinationAddress: contract.Hex(), Payload: payload, PayloadHash: crypto.Keccak256Hash(payload),
		})
		require.Empty(t, w.moved.sent)
		return len(c.books.legs[route])
	}
	c := made()
	require.Equal(t, 1, call(c, routeLegIn, l1, addr(64), "filecoin", addr(65)))
	require.Equal(t, 1, call(c, routeLegOut, root, addr(65), "Ethereum", addr(64)))
	for route, legs := range c.books.legs {
		for command, leg := range legs {
			require.Equal(t, legBegun{tx: e.Tx, position: 3, block: 70, at: 700, direct: true}, leg)
			require.Equal(t, fate{}, c.legFate(expected{route: route, ref: command}), "the chains do not say")
		}
	}
	c = made()
	require.Zero(t, call(c, routeLegIn, l1, addr(66), "filecoin", addr(65)), "another sender")
	require.Zero(t, call(c, routeLegIn, l1, addr(64), "filecoin", addr(66)), "another contract")
	require.Zero(t, call(c, routeLegIn, l1, addr(64), "Moon", addr(65)), "another chain")
	c.GmpPort, c.GmpRouter = common.Address{}, common.Address{}
	require.Zero(t, call(c, routeLegIn, l1, common.Address{}, "filecoin", common.Address{}), "where there are none")
}
