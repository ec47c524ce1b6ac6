package e2e

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"math/big"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"
)

var (
	gmpPort = bindings.NewGmpPort()
	devGmp  = bindings.NewDevGmp()
)

// caller is an account on one chain, and a contract of its own there that calls and
// is called.
type caller struct {
	t        *testing.T
	client   *ethclient.Client
	key      *ecdsa.PrivateKey
	contract common.Address
	port     common.Address
	fee      *big.Int // of a call
}

// caller puts DevGmp on a chain.
func (r *rig) caller(client *ethclient.Client, key *ecdsa.PrivateKey, port common.Address, fee *big.Int) *caller {
	r.t.Helper()
	c := &caller{t: r.t, client: client, key: key, port: port, fee: fee}
	c.contract = c.send(nil, nil, append(common.FromHex(bindings.DevGmpMetaData.Bin), devGmp.PackConstructor(port)...)).ContractAddress
	return c
}

// send sends one transaction and waits until it is mined.
func (c *caller) send(to *common.Address, value *big.Int, data []byte) *types.Receipt {
	c.t.Helper()
	ctx, from := c.t.Context(), crypto.PubkeyToAddress(c.key.PublicKey)
	id, err := c.client.ChainID(ctx)
	require.NoError(c.t, err)
	nonce, err := c.client.PendingNonceAt(ctx, from)
	require.NoError(c.t, err)
	gas, err := c.client.EstimateGas(ctx, ethereum.CallMsg{From: from, To: to, Value: value, Data: data})
	require.NoError(c.t, err)
	tx := types.MustSignNewTx(c.key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: nonce, To: to, Value: value, Data: data, Gas: gas + gas/3, GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e11),
	})
	require.NoError(c.t, c.client.SendTransaction(ctx, tx))
	var receipt *types.Receipt
	require.Eventually(c.t, func() bool {
		receipt, err = c.client.TransactionReceipt(ctx, tx.Hash())
		return err == nil
	}, time.Minute, 50*time.Millisecond)
	require.EqualValues(c.t, types.ReceiptStatusSuccessful, receipt.Status)
	return receipt
}

// call has a contract on the other chain called, and answers with the call's id.
func (c *caller) call(target common.Address, data []byte) common.Hash {
	c.t.Helper()
	receipt := c.send(&c.contract, c.fee, devGmp.PackCall(target, data, 0))
	for _, l := range receipt.Logs {
		if l.Address == c.port && len(l.Topics) == 4 { // CallSent, of either port
			return l.Topics[1]
		}
	}
	c.t.Fatal("the port made no call")
	return common.Hash{}
}

// said are the events that a contract on this chain has about an id.
func (c *caller) said(contract common.Address, event string, id common.Hash) []types.Log {
	c.t.Helper()
	abi := gmpPort.GetABI()
	if contract == c.contract {
		abi = devGmp.GetABI()
	}
	logs, err := c.client.FilterLogs(c.t.Context(), ethereum.FilterQuery{
		Addresses: []common.Address{contract}, Topics: [][]common.Hash{{abi.Events[event].ID}, {id}},
	})
	require.NoError(c.t, err)
	return logs
}

// crossCall is a call and how it must end.
type crossCall struct {
	what     string
	from, to *caller
	id       common.Hash
	ok       bool
	ret      []byte
	steps    []string
}

var (
	stepsIn  = []string{"sent", "leg_in/approve", "leg_in/execute", "hand_on", "execute", "answer", "leg_out/approve", "leg_out/execute", "tell"}
	stepsOut = []string{"sent", "hand_on", "leg_out/approve", "leg_out/execute", "execute", "leg_in/approve", "leg_in/execute", "answer", "tell"}
)

// calls lets contracts on Ethereum and in the subnet call each other: both ways one
// that goes well, one that its target refuses, and one to an address without code.
// The accounts are others than those of the tour.
func (r *rig) calls() []crossCall {
	r.t.Helper()
	x := r.net.Dep.Crossing
	require.True(r.t, x.HasGmp())
	onL1, err := r.dir.Key("ethereum-deployer", home.Light)
	require.NoError(r.t, err)
	inSubnet, err := crypto.GenerateKey()
	require.NoError(r.t, err)
	given, err := r.b.Subnet.Send(r.t.Context(), crypto.PubkeyToAddress(inSubnet.PublicKey), nil, home.Ether(10))
	require.NoError(r.t, err)
	_, err = r.b.Subnet.Wait(r.t.Context(), given)
	require.NoError(r.t, err)
	up := r.caller(r.b.L1.Client(), onL1, x.GmpPort, new(big.Int))
	down := r.caller(r.b.Subnet.Client(), inSubnet, x.GmpSubnetPort, r.net.Dep.Settings.ExitFee.Int())

	refusing, bare := []byte("\xff no, and no more"), common.HexToAddress("0x00000000000000000000000000000000000c0de0")
	reverts := func(name string, value any) []byte {
		abi := devGmp.GetABI()
		if name == "NoCode" {
			abi = gmpPort.GetABI()
		}
		e := abi.Errors[name]
		packed, err := e.Inputs.Pack(value)
		require.NoError(r.t, err)
		return append(e.ID[:4:4], packed...)
	}
	var out []crossCall
	for _, way := range []struct {
		from, to *caller
		steps    []string
	}{{up, down, stepsIn}, {down, up, stepsOut}} {
		for _, c := range []struct {
			what   string
			target common.Address
			data   []byte
			ok     bool
			ret    []byte
		}{
			{"goes well", way.to.contract, []byte("hello"), true, []byte("hello")},
			{"is refused", way.to.contract, refusing, false, reverts("Refused", refusing)},
			{"has nobody there", bare, []byte("hello"), false, reverts("NoCode", bare)},
		} {
			id := way.from.call(c.target, c.data)
			out = append(out, crossCall{c.what, way.from, way.to, id, c.ok, c.ret, way.steps})
		}
	}
	return out
}

// answered waits until every call has ended, and looks at what became of each: it was
// executed once or undone, and its sender was told the result, once.
func (r *rig) answered(calls []crossCall) {
	r.t.Helper()
	byID := map[common.Hash]api.Transfer{}
	require.Eventually(r.t, func() bool {
		all, err := r.net.Transfers(r.t.Context())
		if err != nil {
			return false
		}
		clear(byID)
		for _, tr := range all {
			if tr.Status.Terminal() {
				byID[tr.Ref] = tr
			}
		}
		for _, c := range calls {
			if byID[c.id].Route == "" {
				return false
			}
		}
		return true
	}, 4*time.Minute, 200*time.Millisecond, "not every call was answered")
	for _, c := range calls {
		tr := r.told(byID[c.id].ID, c.steps)
		require.Equal(r.t, tokens.Done, tr.Status, "%s %s: %s", tr.Route, c.what, tr.Error)
		reason := ""
		if !c.ok {
			reason = string(flow.ReasonCallFailed)
		}
		require.Equal(r.t, reason, tr.Steps[len(tr.Steps)-1].Reason)

		executed := c.to.said(c.to.port, "CallExecuted", c.id)
		require.Len(r.t, executed, 1, "%s %s", tr.Route, c.what)
		called := 0
		if c.ok {
			called = 1
		}
		require.Len(r.t, c.to.said(c.to.contract, "Called", c.id), called, "%s %s: undone as a whole, or done", tr.Route, c.what)
		require.Len(r.t, c.from.said(c.from.port, "ResultReceived", c.id), 1, "%s %s", tr.Route, c.what)
		told := c.from.said(c.from.contract, "Told", c.id)
		require.Len(r.t, told, 1, "%s %s", tr.Route, c.what)
		event, err := devGmp.UnpackToldEvent(&told[0])
		require.NoError(r.t, err)
		require.Equal(r.t, c.ok, event.Ok, "%s %s", tr.Route, c.what)
		require.Equal(r.t, c.ret, event.Ret, "%s %s", tr.Route, c.what)
	}
}

// told waits until all of a transfer's way is told, and looks at its legs. Where
// Axelar names the messages, a search finds how the last one ended, a moment after
// the end of the transfer itself.
func (r *rig) told(id common.Hash, way []string) (tr api.Transfer) {
	r.t.Helper()
	var legs []string
	for until := time.Now().Add(time.Minute); ; time.Sleep(500 * time.Millisecond) {
		tr, legs = r.transfer(id), nil
		for _, s := range tr.Steps {
			legs = append(legs, s.Name)
		}
		if slices.Equal(way, legs) || time.Now().After(until) {
			break
		}
	}
	require.Equal(r.t, way, legs, "%s", tr.Route)
	for _, s := range tr.Steps {
		require.NotEqual(r.t, common.Hash{}, s.Tx, "%s of %s has no event", s.Name, tr.Route)
	}
	return tr
}

// transfer reads one with its steps.
func (r *rig) transfer(id common.Hash) (out api.Transfer) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.net.Info.API+"/v1/transfers/"+id.Hex(), nil)
	require.NoError(r.t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(r.t, err)
	defer res.Body.Close()
	require.Equal(r.t, http.StatusOK, res.StatusCode)
	require.NoError(r.t, json.NewDecoder(res.Body).Decode(&out))
	return out
}
