package flow_test

import (
	"context"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

const l1ID = 900001

var (
	senderABI  = parse(&bindings.FltSenderMetaData)
	handlerABI = parse(&bindings.FltHandlerMetaData)
	portalABI  = parse(&bindings.FltPortalMetaData)

	tokenID = hash(0x70)
	gateIn  = addr(0x21) // on the root
	gateOut = addr(0x22) // on Ethereum
	itsL1   = addr(0x23)
	itsRoot = addr(0x24)
)

func crossing(kind axelar.Kind) flow.Crossing {
	c := flow.Crossing{
		L1: l1ID, L1Name: "Ethereum", RootName: "filecoin", TokenID: tokenID, Sender: addr(0x31), Handler: addr(0x32), Portal: addr(0x33),
		L1Gateway: axelar.NewLegacy(l1ID, gateOut, addr(0x25)), RootGateway: axelar.NewLegacy(rootID, gateIn, addr(0x26)),
		Hub: axelar.Hub{Address: "axelar1hub", Services: map[string]common.Address{"Ethereum": itsL1, "filecoin": itsRoot}},
		Gmp: flow.Gmp{Port: addr(0x34), Router: addr(0x35), SubnetPort: addr(0x36), Patience: 3600},
	}
	if kind == axelar.Amplifier {
		c.L1Gateway, c.RootGateway = axelar.NewAmplifier(gateOut, hash(1)), axelar.NewAmplifier(gateIn, hash(2))
	}
	return c
}

// crossingFlows are those of a crossing, with dependencies that answer nothing.
func crossingFlows() map[string]flow.Flow {
	c := crossing(axelar.Legacy)
	out := map[string]flow.Flow{}
	for _, f := range []flow.Flow{
		flow.LegIn(sub(), c, flow.LegDeps{}), flow.LegOut(sub(), c, flow.LegDeps{}),
		flow.FLTL1Deposit(sub(), c, flow.CrossDeps{}), flow.FLTL1Withdraw(sub(), c, flow.CrossDeps{}),
		flow.GmpCallIn(sub(), c, flow.GmpDeps{}), flow.GmpCallOut(sub(), c, flow.GmpDeps{}),
	} {
		out[f.Name] = f
	}
	return out
}

var kinds = []axelar.Kind{axelar.Legacy, axelar.Amplifier}

func pack(types []string, values ...any) []byte {
	var args abi.Arguments
	for _, t := range types {
		parsed, err := abi.NewType(t, "", nil)
		if err != nil {
			panic(err)
		}
		args = append(args, abi.Argument{Type: parsed})
	}
	b, err := args.Pack(values...)
	if err != nil {
		panic(err)
	}
	return b
}

// sent is the event of a gateway when its token service sends a transfer through
// the hub.
func sent(t *testing.T, chain chains.ID, gateway, its common.Address, to string, inner axelar.Transfer) chains.Event {
	t.Helper()
	in, err := axelar.EncodePayload(inner)
	require.NoError(t, err)
	payload, err := axelar.EncodePayload(axelar.SendToHub{Chain: to, Inner: in})
	require.NoError(t, err)
	return called(chain, gateway, its, axelar.HubChain, "axelar1hub", payload)
}

func called(chain chains.ID, gateway, sender common.Address, to, address string, payload []byte) chains.Event {
	return chains.Event{
		Chain: chain, Block: 77, BlockHash: hash(770), BlockTime: 1_700_000_000, Tx: hash(771), Index: 9, Position: 4, Address: gateway,
		Topics: []common.Hash{
			crypto.Keccak256Hash([]byte("ContractCall(address,string,string,bytes32,bytes)")),
			common.BytesToHash(sender.Bytes()), crypto.Keccak256Hash(payload),
		},
		Data: pack([]string{"string", "string", "bytes"}, to, address, payload),
	}
}

// approved and executed are what a gateway says of a message.
func approved(kind axelar.Kind, chain chains.ID, gateway common.Address, id common.Hash, m axelar.Message) chains.Event {
	e := chains.Event{Chain: chain, Address: gateway, Topics: []common.Hash{{}, id, common.BytesToHash(m.Contract.Bytes()), m.PayloadHash}}
	if kind == axelar.Amplifier {
		e.Topics[0] = crypto.Keccak256Hash([]byte("MessageApproved(bytes32,string,string,string,address,bytes32)"))
		e.Data = pack([]string{"string", "string", "string"}, m.SourceChain, m.ID, m.SourceAddress)
		return e
	}
	e.Topics[0] = crypto.Keccak256Hash([]byte("ContractCallApproved(bytes32,string,string,address,bytes32,bytes32,uint256)"))
	e.Data = pack([]string{"string", "string", "bytes32", "uint256"}, m.SourceChain, m.SourceAddress, [32]byte{1}, big.NewInt(0))
	return e
}

func executed(kind axelar.Kind, chain chains.ID, gateway common.Address, id common.Hash) chains.Event {
	name := "ContractCallExecuted(bytes32)"
	if kind == axelar.Amplifier {
		name = "MessageExecuted(bytes32)"
	}
	return chains.Event{Chain: chain, Address: gateway, Topics: []common.Hash{crypto.Keccak256Hash([]byte(name)), id}}
}

func inward() axelar.Transfer {
	return axelar.Transfer{TokenID: tokenID, Source: addr(0x31).Bytes(), Destination: addr(0x32).Bytes(), Amount: big.NewInt(5), Data: []byte{1}}
}

func outward() axelar.Transfer {
	return axelar.Transfer{TokenID: tokenID, Source: addr(0x32).Bytes(), Destination: addr(0x99).Bytes(), Amount: big.NewInt(5)}
}

// gate plays a destination: states by message id, and what was sent to it.
type gate struct {
	final, latest axelar.State
	signed        bool
	sendErr       error
	c             axelar.Circumstances
	now           uint64
	txs           []chains.Tx
	wanted        []flow.Wanted
	together      bool
	failed        map[string]error // of a simulation, by message id
	refused       func(chains.Tx) error
}

func (g *gate) deps() flow.LegDeps {
	say := func(s *axelar.State) func(context.Context, []axelar.Message) ([]axelar.State, error) {
		return func(_ context.Context, m []axelar.Message) ([]axelar.State, error) {
			out := make([]axelar.State, len(m))
			for i := range out {
				out[i] = *s
			}
			return out, nil
		}
	}
	d := flow.LegDeps{
		StatesFinal: say(&g.final), StatesLatest: say(&g.latest),
		Approve: func(_ context.Context, w []flow.Wanted) ([]flow.Signed, error) {
			g.wanted = w
			if !g.signed {
				return nil, nil
			}
			s := flow.Signed{Key: "digest", Tx: chains.Tx{To: gateIn, Data: []byte{7}}}
			for i := range w {
				s.Covers = append(s.Covers, i)
			}
			return []flow.Signed{s}, nil
		},
		ExecuteTx: func(m axelar.Message, payload []byte) (chains.Tx, error) {
			if crypto.Keccak256Hash(payload) != m.PayloadHash {
				return chains.Tx{}, errors.New("payload is not the message's")
			}
			return chains.Tx{To: m.Contract, Data: payload}, nil
		},
		Circumstances: func(context.Context, axelar.Message, *axelar.Transfer) (axelar.Circumstances, uint64, error) {
			return g.c, g.now, nil
		},
		Send: func(_ context.Context, tx chains.Tx) error {
			err := g.sendErr
			if err == nil && g.refused != nil {
				err = g.refused(tx)
			}
			if err == nil {
				g.txs = append(g.txs, tx)
			}
			return err
		},
	}
	if g.together {
		d.Together = g.gathering()
	}
	return d
}

func TestALegCarriesWhatTheTokenServiceSendsForUsAndNothingElse(t *testing.T) {
	for _, kind := range kinds {
		c := crossing(kind)
		in, out := flow.LegIn(sub(), c, flow.LegDeps{}), flow.LegOut(sub(), c, flow.LegDeps{})
		require.NoError(t, in.Check())
		require.NoError(t, out.Check())
		good := sent(t, l1ID, gateOut, itsL1, "filecoin", inward())
		tr, mine, err := in.Decode(good)
		require.NoError(t, err)
		require.True(t, mine)
		require.True(t, tr.Hidden)
		require.Equal(t, uint64(4), tr.Nonce, "the position in the receipt")
		other := good
		other.Position = 5
		tr2, _, err := in.Decode(other)
		require.NoError(t, err)
		require.NotEqual(t, tr.ID, tr2.ID)
		require.NotEqual(t, tr.Ref, tr2.Ref, "another message")

		back := sent(t, rootID, gateIn, itsRoot, "Ethereum", outward())
		_, mine, err = out.Decode(back)
		require.NoError(t, err)
		require.True(t, mine)

		foreign := inward()
		foreign.Source = addr(0x77).Bytes()
		another := inward()
		another.TokenID = hash(0x71)
		for name, e := range map[string]chains.Event{
			"another token":          sent(t, l1ID, gateOut, itsL1, "filecoin", another),
			"another sender":         sent(t, l1ID, gateOut, itsL1, "filecoin", foreign),
			"for another chain":      sent(t, l1ID, gateOut, itsL1, "Moon", inward()),
			"not from the service":   sent(t, l1ID, gateOut, addr(0x66), "filecoin", inward()),
			"of another gateway":     sent(t, l1ID, addr(0x66), itsL1, "filecoin", inward()),
			"of another chain":       sent(t, rootID, gateOut, itsL1, "filecoin", inward()),
			"straight":               called(l1ID, gateOut, itsL1, "filecoin", "0xabc", []byte{1}),
			"no payload of a hub":    called(l1ID, gateOut, itsL1, axelar.HubChain, "axelar1hub", []byte{1, 2, 3}),
			"a payload of megabytes": called(l1ID, gateOut, itsL1, axelar.HubChain, "axelar1hub", make([]byte, 2<<20)),
			"another hub":            called(l1ID, gateOut, itsL1, axelar.HubChain, "axelar1other", good.Data),
		} {
			_, mine, err := in.Decode(e)
			require.NoError(t, err, name)
			require.False(t, mine, name)
		}
		c.Foreign = true
		_, mine, err = flow.LegIn(sub(), c, flow.LegDeps{}).Decode(sent(t, l1ID, gateOut, itsL1, "filecoin", foreign))
		require.NoError(t, err)
		require.True(t, mine, "asked for")
	}
}

// stepsOf gives a leg's transfer and its steps.
func stepsOf(t *testing.T, kind axelar.Kind, g *gate) (tr tokens.Transfer, m axelar.Message, approve, execute flow.Step) {
	t.Helper()
	c := crossing(kind)
	f := flow.LegIn(sub(), c, g.deps())
	e := sent(t, l1ID, gateOut, itsL1, "filecoin", inward())
	tr, mine, err := f.Decode(e)
	require.NoError(t, err)
	require.True(t, mine)
	called, ok, err := c.L1Gateway.Decode(e)
	require.NoError(t, err)
	require.True(t, ok)
	r, err := c.Hub.Route("Ethereum", axelar.MessageID{Tx: e.Tx, Index: uint64(e.Position)}, called.(axelar.Called))
	require.NoError(t, err)
	require.Equal(t, c.RootGateway.CommandID(r.Message), tr.Ref)
	return tr, r.Message, f.Steps[0], f.Steps[1]
}

func TestAnApprovalIsOfExactlyWhatWasSent(t *testing.T) {
	for _, kind := range kinds {
		tr, m, approve, execute := stepsOf(t, kind, &gate{})
		key, out, mine := approve.Effect(approved(kind, rootID, gateIn, tr.Ref, m))
		require.True(t, mine)
		require.Equal(t, flow.Ok, out.Kind)
		require.Equal(t, approve.Key(tr), key)
		for _, spoil := range []func(*axelar.Message){
			func(m *axelar.Message) { m.PayloadHash[0] ^= 1 },
			func(m *axelar.Message) { m.Contract = addr(0x66) },
		} {
			other := m
			spoil(&other)
			key, _, _ := approve.Effect(approved(kind, rootID, gateIn, tr.Ref, other))
			require.NotEqual(t, approve.Key(tr), key, "another content under the id")
		}
		_, _, mine = approve.Effect(approved(kind, l1ID, gateIn, tr.Ref, m))
		require.False(t, mine, "of another chain")

		key, out, mine = execute.Effect(executed(kind, rootID, gateIn, tr.Ref))
		require.True(t, mine)
		require.Equal(t, flow.Ok, out.Kind)
		require.Equal(t, execute.Key(tr), key)
		_, _, mine = execute.Effect(approved(kind, rootID, gateIn, tr.Ref, m))
		require.False(t, mine, "approved is not executed")
	}
}

func TestALegAsksForSignaturesThenSendsThenExecutes(t *testing.T) {
	g := &gate{}
	tr, m, approve, execute := stepsOf(t, axelar.Legacy, g)
	b := flow.Batch{Fence: chains.Fence{Lane: "l"}, Transfers: []tokens.Transfer{tr}}
	ctx := t.Context()

	errs, err := approve.Do(ctx, b)
	require.NoError(t, err)
	require.ErrorIs(t, errs[0], flow.ErrNotYet)
	require.Equal(t, []flow.Wanted{{From: "Ethereum", ID: axelar.MessageID{Tx: tr.Origin.Tx, Index: 4}, Message: m}}, g.wanted)
	require.Empty(t, g.txs)

	g.signed = true
	errs, err = approve.Do(ctx, b)
	require.NoError(t, err)
	require.NoError(t, errs[0])
	require.Len(t, g.txs, 1)
	require.Equal(t, []common.Hash{tr.ID}, g.txs[0].Members)

	// Approved in a block that is not final: nothing is sent again.
	g.latest = axelar.StateApproved
	errs, err = approve.Do(ctx, b)
	require.NoError(t, err)
	require.NoError(t, errs[0])
	require.Len(t, g.txs, 1)

	g.latest = axelar.StateNone
	errs, err = execute.Do(ctx, b)
	require.NoError(t, err)
	require.ErrorIs(t, errs[0], flow.ErrNotYet, "the approval was taken out of its block")
	g.latest = axelar.StateApproved
	errs, err = execute.Do(ctx, b)
	require.NoError(t, err)
	require.NoError(t, errs[0])
	require.Len(t, g.txs, 2)
	require.Equal(t, itsRoot, g.txs[1].To)

	g.latest = axelar.StateConflict
	for _, s := range []flow.Step{approve, execute} {
		errs, err = s.Do(ctx, b)
		require.NoError(t, err)
		reason, park := flow.ReasonOf(errs[0])
		require.True(t, park)
		require.Equal(t, flow.ReasonConflict, reason)
	}
	require.Len(t, g.txs, 2)
}

func TestAFailedExecutionMeansWhatItsClassSays(t *testing.T) {
	selector := func(sig string, args ...[]byte) []byte {
		out := crypto.Keccak256([]byte(sig))[:4]
		for _, a := range args {
			out = append(out, a...)
		}
		return out
	}
	word := func(n int64) []byte { return common.BigToHash(big.NewInt(n)).Bytes() }
	give := func(inner []byte) []byte {
		return selector("GiveTokenFailed(bytes)", pack([]string{"bytes"}, inner))
	}
	window := give(selector("FlowLimitExceeded(uint256,uint256,address)", word(10), word(9), word(1)))
	const now = 21600*10 + 100
	for name, c := range map[string]struct {
		data   []byte
		state  axelar.State
		limit  *big.Int
		noCode bool
		want   func(t *testing.T, err error)
	}{
		"executed by somebody else": {selector("NotApprovedByGateway()"), axelar.StateExecuted, nil, false, func(t *testing.T, err error) { require.NoError(t, err) }},
		"paused": {selector("Pause()"), axelar.StateApproved, nil, false, func(t *testing.T, err error) {
			_, reason, ok := flow.DueOf(err)
			require.True(t, ok)
			require.Equal(t, flow.ReasonPaused, reason)
		}},
		"flow limit of this window": {window, axelar.StateApproved, big.NewInt(10), false, func(t *testing.T, err error) {
			wait, reason, ok := flow.DueOf(err)
			require.True(t, ok)
			require.Equal(t, flow.ReasonFlowLimit, reason)
			require.Equal(t, (21600-100+1)*time.Second, wait, "until the next window")
		}},
		"above the limit for ever": {window, axelar.StateApproved, big.NewInt(4), false, func(t *testing.T, err error) {
			wait, reason, ok := flow.DueOf(err)
			require.True(t, ok)
			require.Equal(t, flow.ReasonFlowLimit, reason)
			require.Less(t, wait, time.Hour, "the limit may be raised at any time")
		}},
		"missing trust": {selector("UntrustedChain()"), axelar.StateApproved, nil, false, func(t *testing.T, err error) {
			_, reason, ok := flow.DueOf(err)
			require.True(t, ok)
			require.Equal(t, flow.ReasonUntrusted, reason)
		}},
		"wrong value of the handler": {selector("ExecuteWithInterchainTokenFailed(address)", word(1)), axelar.StateApproved, nil, false, func(t *testing.T, err error) {
			reason, ok := flow.ReasonOf(err)
			require.True(t, ok)
			require.Equal(t, flow.ReasonRejected, reason)
		}},
		"no code there": {nil, axelar.StateApproved, nil, true, func(t *testing.T, err error) {
			_, ok := flow.ReasonOf(err)
			require.True(t, ok)
			require.ErrorContains(t, err, "nothing is there that could take it")
		}},
		"the handler reverts": {selector("Whatever()"), axelar.StateApproved, nil, false, func(t *testing.T, err error) {
			require.ErrorIs(t, err, chains.ErrReverted)
			_, park := flow.ReasonOf(err)
			require.False(t, park)
		}},
		"the approval vanished": {selector("NotApprovedByGateway()"), axelar.StateNone, nil, false, func(t *testing.T, err error) { require.ErrorIs(t, err, flow.ErrNotYet) }},
	} {
		t.Run(name, func(t *testing.T) {
			g := &gate{latest: axelar.StateApproved, now: now, sendErr: &chains.RevertError{Data: c.data}}
			inner := inward()
			g.c = axelar.Circumstances{State: c.state, Transfer: &inner, Limit: c.limit, NoCode: c.noCode}
			tr, _, _, execute := stepsOf(t, axelar.Legacy, g)
			errs, err := execute.Do(t.Context(), flow.Batch{Transfers: []tokens.Transfer{tr}})
			require.NoError(t, err)
			c.want(t, errs[0])
		})
	}
}

func deposit(nonce uint64) axelar.FltDeposit {
	return axelar.FltDeposit{Sender: addr(0x41), Recipient: addr(0x42), Subnet: sub().IPC.Hash(), Nonce: nonce, Amount: big.NewInt(1000)}
}

func deposited(d axelar.FltDeposit) chains.Event {
	return emit(senderABI, "Deposited", l1ID, addr(0x31), axelar.FltDepositID(l1ID, addr(0x31), d), d.Sender, d.Recipient, d.Nonce, d.Amount, [32]byte{1}, big.NewInt(0))
}

func outgoing(nonce uint64) axelar.FltWithdrawal {
	return axelar.FltWithdrawal{
		Subnet: sub().IPC.Hash(), Portal: addr(0x33), Nonce: nonce, Sender: addr(0x41), Recipient: addr(0x42), RefundTo: addr(0x43), Amount: big.NewInt(1000),
	}
}

func toL1(w axelar.FltWithdrawal) chains.Event {
	return emit(portalABI, "WithdrawalToL1Sent", subID, addr(0x33), axelar.FltWithdrawalID(rootID, addr(0x32), w), w.Nonce, uint64(8), bindings.FltWithdrawal{
		SubnetKey: w.Subnet, Portal: w.Portal, Nonce: w.Nonce, Sender: w.Sender, Recipient: w.Recipient, RefundTo: w.RefundTo, Amount: w.Amount,
	})
}

// onRoot are the events of FltHandler for an id.
func onRoot(name string, id common.Hash) chains.Event {
	switch name {
	case "Funded":
		return emit(handlerABI, name, rootID, addr(0x32), id, hash(0xfeed), uint64(17), addr(0x42), big.NewInt(1000))
	case "Unfunded", "Undelivered", "Unsent":
		reason := map[string]*big.Int{"Unfunded": big.NewInt(0), "Undelivered": big.NewInt(1), "Unsent": big.NewInt(2)}[name]
		return emit(handlerABI, "Credited", rootID, addr(0x32), id, reason, big.NewInt(1000), []byte{})
	case "Claimed":
		return emit(handlerABI, name, rootID, addr(0x32), id, addr(0x42), big.NewInt(1000), addr(0x42))
	default:
		return emit(handlerABI, name, rootID, addr(0x32), id, addr(0x42), big.NewInt(1000))
	}
}

// across plays the chains for the two ways.
type across struct {
	events   []chains.Event
	credit   axelar.FltCredit
	returned bool
	now      uint64
	sendErr  error
	txs      []chains.Tx
	decided  map[flow.Key]flow.Kind
}

func (a *across) deps() flow.CrossDeps {
	send := func(_ context.Context, tx chains.Tx) error {
		if a.sendErr == nil {
			a.txs = append(a.txs, tx)
		}
		return a.sendErr
	}
	return flow.CrossDeps{
		Search: func(_ context.Context, q flow.Search) (out []chains.Event, _ error) {
			for _, e := range a.events {
				if e.Address == q.Contract && among(q.Topics, e.Topics[0]) && among(q.Values, e.Topics[q.Position]) {
					out = append(out, e)
				}
			}
			return out, nil
		},
		Credits: func(_ context.Context, ids []common.Hash) ([]axelar.FltCredit, error) {
			out := make([]axelar.FltCredit, len(ids))
			for i := range out {
				out[i] = a.credit
				if a.credit.Amount == nil {
					out[i].Amount = new(big.Int)
				}
			}
			return out, nil
		},
		Returned: func(_ context.Context, ids []common.Hash) ([]bool, error) {
			out := make([]bool, len(ids))
			for i := range out {
				out[i] = a.returned
			}
			return out, nil
		},
		Onward: func(_ context.Context, e []chains.Event) ([]flow.Onward, error) {
			out := make([]flow.Onward, len(e))
			for i := range out {
				out[i] = flow.Onward{Call: axelar.MessageID{Tx: hash(0x0a), Index: 6}, Message: axelar.Message{ID: "m", PayloadHash: hash(0x0b)}}
			}
			return out, nil
		},
		Decide: func(_ context.Context, chain string, key flow.Key, out flow.Outcome, e chains.Event) error {
			a.decided[key] = out.Kind
			if (chain == flow.Ethereum) != (e.Chain == l1ID) {
				return errors.New("decided by an event of another chain")
			}
			return nil
		},
		ResendTx: func(_ context.Context, w axelar.FltWithdrawal) (chains.Tx, error) {
			return chains.Tx{To: addr(0x33), Data: axelar.ResendCalldata(w), Value: big.NewInt(3)}, nil
		},
		Now:      func(context.Context) (uint64, error) { return a.now, nil },
		SendRoot: send, SendSubnet: send,
	}
}

func among(list []common.Hash, h common.Hash) bool {
	for _, x := range list {
		if x == h {
			return true
		}
	}
	return false
}

func named(t *testing.T, f flow.Flow, name string) flow.Step {
	t.Helper()
	for _, s := range f.Steps {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no step %s", name)
	return flow.Step{}
}

func TestADepositFromEthereumGoesTheWayItsEventsSay(t *testing.T) {
	a := &across{}
	f := flow.FLTL1Deposit(sub(), crossing(axelar.Legacy), a.deps())
	require.NoError(t, f.Check())
	d := deposit(3)
	tr, mine, err := f.Decode(deposited(d))
	require.NoError(t, err)
	require.True(t, mine)
	require.False(t, tr.Hidden)
	require.Equal(t, "1000", tr.Amount.String())
	require.Equal(t, d.Recipient, tr.Recipient)
	spoilt := deposited(d)
	spoilt.Data[63] ^= 1 // another amount
	_, _, err = f.Decode(spoilt)
	require.ErrorContains(t, err, "hashes to")

	// Each step by each event: what it decides, and that nothing else does.
	for _, c := range []struct {
		step string
		says map[string]flow.Kind
	}{
		{"fund", map[string]flow.Kind{"Funded": flow.Ok, "Unfunded": flow.Failed}},
		{"retry", map[string]flow.Kind{"Funded": flow.Ok, "SentBack": flow.Failed, "Claimed": flow.Failed}},
		{"undelivered", map[string]flow.Kind{"Undelivered": flow.Ok}},
		{"send_back", map[string]flow.Kind{"SentBack": flow.Ok, "Claimed": flow.Failed}},
		{"deliver", nil},
	} {
		step := named(t, f, c.step)
		for _, name := range []string{"Funded", "Unfunded", "Undelivered", "Unsent", "SentBack", "Claimed", "SentOn"} {
			key, out, mine := step.Effect(onRoot(name, tr.Ref))
			require.Equal(t, c.says[name] != flow.Unknown, mine, "%s by %s", c.step, name)
			if mine {
				require.Equal(t, step.Key(tr), key)
				require.Equal(t, c.says[name], out.Kind)
			}
			other := onRoot(name, tr.Ref)
			other.Address = addr(0x66)
			_, _, mine = step.Effect(other)
			require.False(t, mine)
		}
	}
}

func TestADepositIsDeliveredWhenTheMessageThatFundsItIs(t *testing.T) {
	a := &across{}
	f := flow.FLTL1Deposit(sub(), crossing(axelar.Legacy), a.deps())
	tr, _, err := f.Decode(deposited(deposit(3)))
	require.NoError(t, err)
	deliver := named(t, f, "deliver")
	ask := func() flow.Kind {
		a.decided = map[flow.Key]flow.Kind{}
		out, err := deliver.Done(t.Context(), []tokens.Transfer{tr})
		require.NoError(t, err)
		require.Equal(t, flow.Unknown, out[0].Kind)
		return a.decided[deliver.Key(tr)]
	}
	require.Equal(t, flow.Unknown, ask(), "not funded")
	a.events = append(a.events, onRoot("Funded", tr.Ref))
	require.Equal(t, flow.Unknown, ask(), "not applied")
	applied := func(nonce uint64, id common.Hash, outcome uint8) chains.Event {
		return emit(subGatewayABI, "TopDownMessageApplied", subID, addr(7), nonce, id, outcome, uint8(0), []byte{})
	}
	funded := len(a.events)
	a.events = append(a.events, applied(17, hash(0xbad), 0))
	require.Equal(t, flow.Unknown, ask(), "another message under the nonce")
	a.events = append(a.events[:funded], applied(17, hash(0xfeed), 0))
	require.Equal(t, flow.Ok, ask())
	a.events = append(a.events[:funded], applied(17, hash(0xfeed), 1))
	require.Equal(t, flow.Failed, ask())
}

func TestWhatTheHandlerKeepsIsTriedAgainWhileItKeepsIt(t *testing.T) {
	a := &across{credit: axelar.FltCredit{Amount: big.NewInt(1000), Retriable: true}}
	f := flow.FLTL1Deposit(sub(), crossing(axelar.Legacy), a.deps())
	tr, _, err := f.Decode(deposited(deposit(3)))
	require.NoError(t, err)
	retry, back := named(t, f, "retry"), named(t, f, "send_back")
	b := flow.Batch{Transfers: []tokens.Transfer{tr}}
	kind := func(s flow.Step) flow.Kind {
		out, err := s.Done(t.Context(), b.Transfers)
		require.NoError(t, err)
		return out[0].Kind
	}
	require.Equal(t, flow.Pending, kind(retry))
	errs, err := retry.Do(t.Context(), b)
	require.NoError(t, err)
	require.NoError(t, errs[0])
	require.Equal(t, axelar.RetryDepositCalldata(deposit(3)), a.txs[0].Data)
	require.Equal(t, addr(0x32), a.txs[0].To)

	a.credit = axelar.FltCredit{Amount: big.NewInt(1000)} // undelivered: to be sent back
	require.NotEqual(t, flow.Pending, kind(retry))
	require.Equal(t, flow.Pending, kind(back))
	errs, err = back.Do(t.Context(), b)
	require.NoError(t, err)
	require.NoError(t, errs[0])
	require.Equal(t, axelar.SendBackCalldata(deposit(3)), a.txs[1].Data)
	a.credit = axelar.FltCredit{}
	require.Equal(t, flow.Unknown, kind(back))
	a.events = []chains.Event{onRoot("SentBack", tr.Ref)}
	require.Equal(t, flow.Ok, kind(back))

	over := crypto.Keccak256([]byte("OverFlowLimit(uint256,uint256)"))[:4]
	limit := func(n int64) []byte {
		return append(append(append([]byte{}, over...), common.BigToHash(big.NewInt(n)).Bytes()...), make([]byte, 32)...)
	}
	a.now = 21600 + 600
	for _, c := range []struct {
		data   []byte
		reason flow.Reason
		wait   time.Duration
	}{
		{limit(5000), flow.ReasonFlowLimit, (21600 - 600 + 1) * time.Second},
		{limit(10), flow.ReasonFlowLimit, 30 * time.Second},
		{append(crypto.Keccak256([]byte("UntrustedDestination(string)"))[:4], make([]byte, 96)...), flow.ReasonUntrusted, 30 * time.Second},
	} {
		a.sendErr = &chains.RevertError{Data: c.data}
		errs, err = back.Do(t.Context(), b)
		require.NoError(t, err)
		wait, reason, ok := flow.DueOf(errs[0])
		require.True(t, ok, "%v", errs[0])
		require.Equal(t, c.reason, reason)
		require.Equal(t, c.wait, wait)
	}
	a.sendErr = &chains.RevertError{Data: append(crypto.Keccak256([]byte("NothingCredited(bytes32)"))[:4], make([]byte, 32)...)}
	errs, err = back.Do(t.Context(), b)
	require.NoError(t, err)
	require.ErrorIs(t, errs[0], flow.ErrNotYet, "somebody else was first")
}

func TestAWithdrawalToEthereumGoesTheWayItsEventsSay(t *testing.T) {
	a := &across{}
	f := flow.FLTL1Withdraw(sub(), crossing(axelar.Legacy), a.deps())
	require.NoError(t, f.Check())
	w := outgoing(2)
	tr, mine, err := f.Decode(toL1(w))
	require.NoError(t, err)
	require.True(t, mine)
	require.Equal(t, "1000", tr.Amount.String())
	require.Equal(t, w.Recipient, tr.Recipient)
	back, err := axelar.DecodeFltWithdrawal(tr.Payload)
	require.NoError(t, err)
	require.Equal(t, w, back)
	spoilt := toL1(w)
	spoilt.Data[len(spoilt.Data)-1] ^= 1
	_, _, err = f.Decode(spoilt)
	require.ErrorContains(t, err, "hashes to")

	for _, c := range []struct {
		step string
		says map[string]flow.Kind
	}{
		{"send_on", map[string]flow.Kind{"SentOn": flow.Ok, "Unsent": flow.Failed}},
		{"resend", map[string]flow.Kind{"SentOn": flow.Ok, "Unsent": flow.Failed}},
		{"retry", map[string]flow.Kind{"SentOn": flow.Ok, "Claimed": flow.Failed}},
		{"unlock", nil},
	} {
		step := named(t, f, c.step)
		for _, name := range []string{"Funded", "Unfunded", "Undelivered", "Unsent", "SentBack", "Claimed", "SentOn"} {
			key, out, mine := step.Effect(onRoot(name, tr.Ref))
			require.Equal(t, c.says[name] != flow.Unknown, mine, "%s by %s", c.step, name)
			if mine {
				require.Equal(t, step.Key(tr), key)
				require.Equal(t, c.says[name], out.Kind)
			}
		}
	}
	// What comes back to the portal is sent again, unchanged.
	returned := emit(portalABI, "WithdrawalToL1Returned", subID, addr(0x33), tr.Ref, big.NewInt(1000))
	send, resend := named(t, f, "send_on"), named(t, f, "resend")
	key, out, mine := send.Effect(returned)
	require.True(t, mine)
	require.Equal(t, send.Key(tr), key)
	require.Equal(t, flow.Superseded, out.Kind)
	_, _, mine = resend.Effect(returned)
	require.False(t, mine)
	a.returned = true
	got, err := resend.Done(t.Context(), []tokens.Transfer{tr})
	require.NoError(t, err)
	require.Equal(t, flow.Pending, got[0].Kind)
	errs, err := resend.Do(t.Context(), flow.Batch{Transfers: []tokens.Transfer{tr}})
	require.NoError(t, err)
	require.NoError(t, errs[0])
	require.Equal(t, axelar.ResendCalldata(w), a.txs[0].Data)
	require.Equal(t, big.NewInt(3), a.txs[0].Value)

	// Unlocked when Ethereum's gateway has executed the message behind SentOn.
	unlock := named(t, f, "unlock")
	ask := func() flow.Kind {
		a.decided = map[flow.Key]flow.Kind{}
		out, err := unlock.Done(t.Context(), []tokens.Transfer{tr})
		require.NoError(t, err)
		require.Equal(t, flow.Unknown, out[0].Kind)
		return a.decided[unlock.Key(tr)]
	}
	id := crossing(axelar.Legacy).L1Gateway.CommandID(axelar.Message{ID: "m"})
	done := executed(axelar.Legacy, l1ID, gateOut, id)
	a.events = []chains.Event{done}
	require.Equal(t, flow.Unknown, ask(), "not sent on")
	a.events = []chains.Event{onRoot("SentOn", tr.Ref), approved(axelar.Legacy, l1ID, gateOut, id, axelar.Message{ID: "m"})}
	require.Equal(t, flow.Unknown, ask(), "approved is not executed")
	a.events = append(a.events, executed(axelar.Legacy, l1ID, gateOut, hash(0xbad)))
	require.Equal(t, flow.Unknown, ask(), "another message")
	a.events = append(a.events, done)
	require.Equal(t, flow.Ok, ask())
}
