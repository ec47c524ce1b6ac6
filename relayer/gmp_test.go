package relayer

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/big"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

// answering is a chain on which one contract answers by selectors.
func answering(t *testing.T, name string, id chains.ID, at common.Address, answers map[string][]byte) *evm.Client {
	t.Helper()
	n := fake.NewNode(t, uint64(id))
	n.SetFinal(0)
	n.On("eth_call", func(c *fake.Call, _ func()) {
		var msg struct {
			To          common.Address
			Data, Input hexutil.Bytes
		}
		require.NoError(t, json.Unmarshal(c.Params[0], &msg))
		require.Equal(t, at, msg.To)
		c.Result = hexutil.Encode(answers[string(append(msg.Data, msg.Input...)[:4])])
	})
	client, err := evm.Dial(t.Context(), evm.Config{Name: name, URL: n.URL(), ChainID: id}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

// gmpDeployment is a crossing with contracts for calls, and what they say.
func gmpDeployment(t *testing.T) (d deploy.Crossing, c flow.Crossing, port, router map[string][]byte) {
	t.Helper()
	d = deploy.Crossing{
		L1: deploy.AxelarSet{Gateway: common.Address{1}}, Root: deploy.AxelarSet{Gateway: common.Address{2}},
		GmpPort: common.Address{3}, GmpRouter: common.Address{4}, GmpSubnetPort: deploy.GmpAddress,
	}
	c = flow.Crossing{L1Name: "Ethereum", RootName: "filecoin"}
	p, r := bindings.NewGmpPort(), bindings.NewGmpRouter()
	link := func(values ...any) []byte {
		abi := p.GetABI()
		b, err := abi.Methods["axelarLink"].Outputs.Pack(values...)
		require.NoError(t, err)
		return b
	}
	port = map[string][]byte{string(p.PackAxelarLink()[:4]): link(d.L1.Gateway, "filecoin", d.GmpRouter)}
	router = map[string][]byte{
		string(r.PackAxelarLink()[:4]): link(d.Root.Gateway, "Ethereum", d.GmpPort),
		string(r.PackPatience()[:4]):   common.BigToHash(big.NewInt(3600)).Bytes(),
	}
	return d, c, port, router
}

func TestTheContractsForCallsMustTalkToEachOther(t *testing.T) {
	d, c, port, router := gmpDeployment(t)
	root, l1 := answering(t, "root", 31, d.GmpRouter, router), answering(t, "ethereum", 11, d.GmpPort, port)
	got, err := probeGmp(t.Context(), d, c, root, l1)
	require.NoError(t, err)
	require.Equal(t, flow.Gmp{Port: d.GmpPort, Router: d.GmpRouter, SubnetPort: d.GmpSubnetPort, Patience: 3600}, got)
	for what, change := range map[string]func(*deploy.Crossing, *flow.Crossing){
		"the gateway on Ethereum": func(d *deploy.Crossing, _ *flow.Crossing) { d.L1.Gateway[0] ^= 1 },
		"the gateway on the root": func(d *deploy.Crossing, _ *flow.Crossing) { d.Root.Gateway[0] ^= 1 },
		"the name of the root":    func(_ *deploy.Crossing, c *flow.Crossing) { c.RootName = "Filecoin" },
		"the name of Ethereum":    func(_ *deploy.Crossing, c *flow.Crossing) { c.L1Name = "ethereum" },
	} {
		d, c := d, c
		change(&d, &c)
		_, err := probeGmp(t.Context(), d, c, root, l1)
		require.ErrorIs(t, err, ErrConfig, what)
	}
	stranger := d
	stranger.GmpRouter = common.Address{5}
	_, err = probeGmp(t.Context(), stranger, c, root, l1)
	require.ErrorIs(t, err, ErrConfig, "the port talks to another router")

	router[string(bindings.NewGmpRouter().PackPatience()[:4])] = nil
	_, err = probeGmp(t.Context(), d, c, root, l1)
	require.ErrorIs(t, err, axelar.ErrMalformed)

	none := d
	none.GmpPort, none.GmpRouter, none.GmpSubnetPort = common.Address{}, common.Address{}, common.Address{}
	got, err = probeGmp(t.Context(), none, c, root, l1)
	require.NoError(t, err)
	require.Zero(t, got, "a deployment from before there were calls")
}

func TestTheWatchersReadTheContractsForCallsWhereThereAreSome(t *testing.T) {
	x := &crossLink{Crossing: flow.Crossing{
		L1Gateway: axelar.NewAmplifier(common.Address{1}, common.Hash{1}), RootGateway: axelar.NewAmplifier(common.Address{2}, common.Hash{2}),
		Sender: common.Address{5}, Handler: common.Address{6}, Portal: common.Address{7},
	}}
	before := []chains.Filter{x.l1Filter(), x.rootFilter(), x.subnetFilter()}
	for _, f := range before {
		require.NotContains(t, f.Addresses, common.Address{})
	}
	x.Gmp = flow.Gmp{Port: common.Address{3}, Router: common.Address{4}, SubnetPort: deploy.GmpAddress}
	for i, c := range []struct {
		now    chains.Filter
		at     common.Address
		topics []common.Hash
	}{
		{x.l1Filter(), x.Gmp.Port, flow.GmpL1Topics()},
		{x.rootFilter(), x.Gmp.Router, flow.GmpRootTopics()},
		{x.subnetFilter(), x.Gmp.SubnetPort, flow.GmpSubnetTopics()},
	} {
		require.Equal(t, append(before[i].Addresses, c.at), c.now.Addresses)
		require.Equal(t, append(before[i].Topics, c.topics...), c.now.Topics)
		require.Equal(t, before[i].Placed, c.now.Placed)
	}
}

// A message without the hub is executed by the contract it is for, and nothing is
// asked about a token when that fails.
func TestAMessageWithoutTheHubIsExecutedByItsOwnContract(t *testing.T) {
	gateway := axelar.NewAmplifier(common.Address{2}, common.Hash{2})
	service := axelar.Service{Address: common.Address{8}, Hub: "axelar1hub"}
	asked := 0
	n := fake.NewNode(t, 31)
	n.MineN(3)
	n.On("eth_call", func(c *fake.Call, _ func()) {
		asked++
		c.Result = hexutil.Encode(make([]byte, 32))
	})
	client, err := evm.Dial(t.Context(), evm.Config{Name: "root", URL: n.URL(), ChainID: 31}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	l := &link{}
	d := l.leg(gateway, service, executor{}, client, func(context.Context) (chains.Block, error) { return chains.Block{}, nil }, nil, noSender{})
	payload := axelar.EncodeGmpCall(axelar.GmpCall{Nonce: 1, Data: []byte{1}})
	sent, err := axelar.Direct("Ethereum", axelar.MessageID{Tx: common.Hash{9}}, axelar.Called{
		Sender: common.Address{3}, DestinationChain: "filecoin", DestinationAddress: common.Address{4}.Hex(),
		PayloadHash: crypto.Keccak256Hash(payload), Payload: payload,
	})
	require.NoError(t, err)
	tx, err := d.ExecuteTx(sent.Message, payload)
	require.NoError(t, err)
	require.Equal(t, common.Address{4}, tx.To)
	want, err := axelar.DirectCalldata(gateway.CommandID(sent.Message), sent.Message, payload)
	require.NoError(t, err)
	require.Equal(t, want, tx.Data)
	_, err = d.ExecuteTx(sent.Message, payload[1:])
	require.ErrorIs(t, err, axelar.ErrMessage)

	c, _, err := d.Circumstances(t.Context(), sent.Message, nil)
	require.NoError(t, err)
	require.Nil(t, c.Transfer)
	require.Equal(t, axelar.StateNone, c.State)
	require.Equal(t, len(gateway.State(sent.Message).Calls), asked)
}
