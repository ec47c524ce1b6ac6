package flow_test

import (
	"bytes"
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// waiting is a transfer that each event of effects decides.
func waiting(f string) tokens.Transfer {
	t := tokens.Transfer{Route: f, Subnet: addr(1), Nonce: 5, Ref: hash(0xabc)}
	if f == "checkpoint" {
		t.Nonce = 20
	}
	return t
}

func TestEachEventDecidesExactlyTheStepsOfTheTable(t *testing.T) {
	for _, c := range effects() {
		t.Run(c.name, func(t *testing.T) {
			got := map[string]flow.Outcome{}
			for name, f := range flows() {
				for _, s := range f.Steps {
					key, out, mine := s.Effect(c.event)
					if !mine {
						require.Empty(t, key)
						continue
					}
					require.Equal(t, s.Key(waiting(name)), key, "the key of the event is that of the transfer")
					got[name+"/"+s.Name] = out
				}
			}
			if c.means == nil {
				c.means = map[string]flow.Outcome{}
			}
			require.Equal(t, c.means, got)
		})
	}
}

func TestAnEventOfAnotherContractChainOrShapeIsNobodys(t *testing.T) {
	for _, c := range effects() {
		t.Run(c.name, func(t *testing.T) {
			other := with(c.event, func(e *chains.Event) { e.Address = addr(0xee) })
			requireNobody(t, other, "another contract")
			for _, id := range []chains.ID{0, 1, rootID + subID - c.event.Chain} {
				requireNobody(t, with(c.event, func(e *chains.Event) { e.Chain = id }), "another chain")
			}
			requireNobody(t, with(c.event, func(e *chains.Event) { e.Topics[0][31] ^= 1 }), "another topic")
			requireNobody(t, with(c.event, func(e *chains.Event) { e.Topics = nil }), "no topics")
			requireNobody(t, with(c.event, func(e *chains.Event) { e.Topics = append(e.Topics, hash(1)) }), "a topic more")
			requireNobody(t, with(c.event, func(e *chains.Event) { e.Topics = e.Topics[:len(e.Topics)-1] }), "a topic less")
			for n := range 32 {
				requireNobody(t, with(c.event, func(e *chains.Event) { e.Data = e.Data[:n] }), "short data")
			}
		})
	}
}

func TestAnEventOfAnotherSubnetDecidesNothingHere(t *testing.T) {
	for _, c := range effects() {
		if c.event.Address != addr(2) { // the gateway serves all subnets of the root
			continue
		}
		requireNobody(t, with(c.event, func(e *chains.Event) { e.Topics[1] = common.BytesToHash(addr(0xee).Bytes()) }), c.name)
	}
	for f, e := range origins() {
		if e.Address != addr(2) {
			continue
		}
		foreign := with(e, func(e *chains.Event) { e.Topics[1] = common.BytesToHash(addr(0xee).Bytes()) })
		_, mine, err := flows()[f].Decode(foreign)
		require.NoError(t, err)
		require.False(t, mine, f)
	}
}

func TestNumbersAboveUint64DecideNothing(t *testing.T) {
	huge := common.BytesToHash(new(big.Int).Lsh(big.NewInt(1), 64).Bytes()) // low 64 bits are zero
	for _, c := range effects() {
		switch {
		case strings.HasPrefix(c.name, "a message"), strings.HasPrefix(c.name, "a checkpoint"), strings.HasPrefix(c.name, "a batch"):
			requireNobody(t, with(c.event, func(e *chains.Event) { e.Topics[1] = huge }), c.name)
		case c.name == "power changes stored":
			requireNobody(t, with(c.event, func(e *chains.Event) { copy(e.Data, huge[:]) }), c.name)
		}
	}
	execute := step(t, "checkpoint", "execute")
	accepted := emit(actorABI, "CheckpointAccepted", rootID, addr(1), big.NewInt(20), hash(1), uint64(3), uint64(0))
	_, _, mine := execute.Effect(with(accepted, func(e *chains.Event) { copy(e.Data[32:], huge[:]) }))
	require.False(t, mine, "2^64 messages are not none")
	executed := emit(actorABI, "BatchExecuted", rootID, addr(1), big.NewInt(20), uint64(0), uint64(3))
	_, _, mine = execute.Effect(with(executed, func(e *chains.Event) { copy(e.Data[32:], huge[:]) }))
	require.False(t, mine, "2^64 is not zero")
	requireNobody(t, emit(subGatewayABI, "PowerChangesStored", subID, addr(7), uint64(0)), "numbers begin at 1")
}

func TestTheWatchersReadEveryEventThatBeginsOrDecidesAStep(t *testing.T) {
	s := sub()
	want := func(e chains.Event) {
		contracts, topics := s.SubnetContracts(), s.SubnetTopics()
		if e.Chain == rootID {
			contracts, topics = s.RootContracts(), s.RootTopics()
		}
		require.Contains(t, contracts, e.Address)
		require.Contains(t, topics, e.Topics[0])
	}
	for _, c := range effects() {
		want(c.event)
	}
	for _, e := range origins() {
		want(e)
	}
	// Every topic read is an event of a contract that is read, spelt as in the ABI.
	known := map[common.Hash]bool{flow.TopicCheckpointDue: true}
	for _, a := range []abi.ABI{gatewayABI, actorABI, controllerABI, fastABI, subGatewayABI, outboxABI} {
		for _, e := range a.Events {
			known[e.ID] = true
		}
	}
	for _, topic := range append(s.RootTopics(), s.SubnetTopics()...) {
		require.True(t, known[topic], topic.Hex())
	}
}

func TestEachFlowBeginsWithItsOwnEvent(t *testing.T) {
	env := envelope(ipc.KindCall, 5, 0, []byte{1, 2, 3})
	body, err := ipc.EncodeEnvelope(env)
	require.NoError(t, err)
	origin := chains.EventID{Chain: rootID, Tx: hash(771), Index: 3}
	base := tokens.Transfer{Subnet: addr(1), Origin: origin, Height: 77, At: 1_700_000_000}
	transfer := envelope(ipc.KindTransfer, 5, 900, nil)
	w := withdrawal(addr(6), 3)
	payload, err := ipc.EncodeWithdrawal(w)
	require.NoError(t, err)

	want := map[string]tokens.Transfer{}
	add := func(f string, change func(*tokens.Transfer)) {
		x := base
		x.Route = f
		change(&x)
		want[f] = x
	}
	add("topdown", func(x *tokens.Transfer) {
		x.ID = flow.TransferID("topdown", rootID, addr(2), addr(1), 5)
		x.Nonce, x.Ref, x.Payload, x.Hidden = 5, env.TracingID(), body, true
	})
	add("power", func(x *tokens.Transfer) {
		x.ID = flow.TransferID("power", rootID, addr(1), addr(1), 5)
		x.Nonce, x.Sender, x.Hidden = 5, addr(0x61), true
		x.Payload = ipc.EncodePowerChange(ipc.SetPower(6, addr(0x61), big.NewInt(100)))
	})
	add("checkpoint", func(x *tokens.Transfer) {
		x.ID = flow.TransferID("checkpoint", subID, addr(7), addr(1), 20)
		x.Nonce, x.Height, x.Hidden, x.Origin = 20, 20, true, chains.EventID{Chain: subID, Index: 1 << 30}
	})
	add("usdc_deposit", func(x *tokens.Transfer) {
		x.ID = flow.TransferID("usdc_deposit", rootID, addr(3), addr(1), 5)
		x.Nonce, x.Ref, x.Sender, x.Recipient, x.Amount = 5, env.TracingID(), addr(0x51), addr(0x52), tokens.MustUnits(big.NewInt(7_000_000))
	})
	add("flt_deposit", func(x *tokens.Transfer) {
		x.ID = flow.TransferID("flt_deposit", rootID, addr(2), addr(1), 5)
		x.Nonce, x.Ref, x.Sender, x.Recipient, x.Amount = 5, transfer.TracingID(), addr(0x51), addr(0x52), tokens.MustUnits(big.NewInt(900))
	})
	for f, token := range map[string]common.Address{"usdc_withdraw": addr(6), "flt_withdraw": addr(5)} {
		add(f, func(x *tokens.Transfer) {
			w := w
			w.Token = token
			x.ID = flow.TransferID(f, subID, addr(9), addr(1), 3)
			x.Nonce, x.Ref, x.Sender, x.Recipient, x.Amount = 3, withdrawalID(w), addr(0x71), addr(0x72), tokens.MustUnits(big.NewInt(5_000_000))
			x.Origin.Chain = subID
			if token == addr(6) {
				x.Payload = payload
				return
			}
			x.Payload, err = ipc.EncodeWithdrawal(w)
			require.NoError(t, err)
		})
	}

	for origin, e := range origins() {
		for name, f := range flows() {
			got, mine, err := f.Decode(e)
			require.NoError(t, err)
			if name == origin || origin == "flt_deposit" && name == "topdown" {
				require.True(t, mine, "%s begins %s", origin, name)
			} else {
				require.False(t, mine, "%s begins %s", origin, name)
				require.Zero(t, got)
			}
			if name == origin {
				require.Equal(t, want[name], got)
				id := chains.ID(subID)
				if f.Chain == flow.Root {
					id = rootID
				}
				require.Equal(t, id, got.Origin.Chain, "the flow's chain is the origin's")
			}
		}
	}
}

func TestAnOriginEventOfAnotherContractChainOrShapeIsForeign(t *testing.T) {
	for name, e := range origins() {
		for why, change := range map[string]func(*chains.Event){
			"contract":   func(e *chains.Event) { e.Address = addr(0xee) },
			"chain":      func(e *chains.Event) { e.Chain = rootID + subID - e.Chain },
			"topic":      func(e *chains.Event) { e.Topics[0][0] ^= 1 },
			"no topics":  func(e *chains.Event) { e.Topics = nil },
			"more":       func(e *chains.Event) { e.Topics = append(e.Topics, hash(9)) },
			"short data": func(e *chains.Event) { e.Data = e.Data[:31] },
		} {
			got, mine, err := flows()[name].Decode(with(e, change))
			require.NoError(t, err, "%s: %s", name, why)
			require.False(t, mine, "%s: %s", name, why)
			require.Zero(t, got)
		}
	}
	usdc := origins()["usdc_deposit"]
	_, mine, err := flows()["usdc_deposit"].Decode(with(usdc, func(e *chains.Event) { e.Topics[1] = common.BytesToHash(addr(5).Bytes()) }))
	require.NoError(t, err)
	require.False(t, mine, "another token of the controller")
}

func TestAnEventOfOursThatCannotBeReadHaltsTheWatcher(t *testing.T) {
	huge := new(big.Int).Lsh(big.NewInt(1), 64).Bytes()
	for why, c := range map[string]struct {
		flow   string
		change func(*chains.Event)
	}{
		"truncated envelope":               {"topdown", func(e *chains.Event) { e.Data = e.Data[:len(e.Data)-32] }},
		"trailing bytes":                   {"topdown", func(e *chains.Event) { e.Data = append(e.Data, make([]byte, 32)...) }},
		"unknown kind":                     {"topdown", func(e *chains.Event) { e.Data[63] = 3 }},
		"envelope of another id":           {"topdown", func(e *chains.Event) { e.Topics[2][5] ^= 1 }},
		"truncated transfer":               {"flt_deposit", func(e *chains.Event) { e.Data = e.Data[:len(e.Data)-32] }},
		"transfer of another id":           {"flt_deposit", func(e *chains.Event) { e.Topics[2][5] ^= 1 }},
		"truncated power change":           {"power", func(e *chains.Event) { e.Data = e.Data[:len(e.Data)-32] }},
		"unknown operation":                {"power", func(e *chains.Event) { e.Data[31] = 9 }},
		"power change 0":                   {"power", func(e *chains.Event) { copy(e.Data[96:128], make([]byte, 32)) }},
		"checkpoint of another height":     {"checkpoint", func(e *chains.Event) { e.Data[31] = 30 }},
		"checkpoint off its period":        {"checkpoint", func(e *chains.Event) { e.Block, e.Data[31] = 21, 21 }},
		"checkpoint at 0":                  {"checkpoint", func(e *chains.Event) { e.Block, e.Data[31] = 0, 0 }},
		"checkpoint above 2^64":            {"checkpoint", func(e *chains.Event) { e.Data[0] = 1 }},
		"deposit above 2^64":               {"usdc_deposit", func(e *chains.Event) { copy(e.Data[32:64], common.LeftPadBytes(huge, 32)) }},
		"withdrawal with a wide address":   {"usdc_withdraw", func(e *chains.Event) { e.Data[32+32] = 1 }},
		"withdrawal of another id":         {"usdc_withdraw", func(e *chains.Event) { e.Topics[1][0] ^= 1 }},
		"withdrawal with another amount":   {"flt_withdraw", func(e *chains.Event) { e.Data[32+32*7+31] ^= 1 }},
		"withdrawal with more words":       {"flt_withdraw", func(e *chains.Event) { e.Data = append(e.Data, make([]byte, 32)...) }},
		"withdrawal with a wide fee in it": {"flt_withdraw", func(e *chains.Event) { e.Data[len(e.Data)-3] = 1 }},
	} {
		_, mine, err := flows()[c.flow].Decode(with(origins()[c.flow], c.change))
		require.Error(t, err, why)
		require.False(t, mine, why)
	}
}

func TestAPayloadThatNamesNoAccountIsAFactAllTheSame(t *testing.T) {
	env := envelope(ipc.KindTransfer, 5, 900, nil)
	env.To.RawAddress = ipc.FvmAddress{AddrType: 1, Payload: []byte("anything")}
	got, mine, err := flows()["flt_deposit"].Decode(topDown(env))
	require.NoError(t, err)
	require.True(t, mine)
	require.Equal(t, common.Address{}, got.Recipient)

	// A call whose message is rubbish is carried like any other.
	_, mine, err = flows()["topdown"].Decode(topDown(envelope(ipc.KindCall, 6, 0, bytes.Repeat([]byte{0xff}, 300))))
	require.NoError(t, err)
	require.True(t, mine)
}

func TestEveryWayOnIsOneOfTheTable(t *testing.T) {
	got := map[string]string{}
	for name, f := range flows() {
		require.NoError(t, f.Check(), name)
		require.Equal(t, addr(1), f.Subnet)
		for _, s := range f.Steps {
			for k, next := range s.Next {
				got[name+"/"+s.Name+" "+k.String()] = next
			}
			require.Equal(t, !strings.HasSuffix(s.Name, "submit") && !strings.HasSuffix(s.Name, "execute") && !s.Lane(waiting(name)).Strict, s.Do == nil || s.Name == "resend",
				"%s/%s: only what is ordered, and a resend, does anything", name, s.Name)
		}
	}
	require.Equal(t, map[string]string{
		"topdown/deliver ok": "done", "topdown/deliver failed": "done", "topdown/deliver superseded": "done",
		"power/deliver ok":     "done",
		"checkpoint/submit ok": "execute", "checkpoint/execute ok": "done",
		"usdc_deposit/deliver ok": "done", "usdc_deposit/deliver failed": "refund",
		"usdc_deposit/refund ok": "refunded", "usdc_deposit/refund failed": "credited",
		"flt_deposit/deliver ok": "done", "flt_deposit/deliver failed": "refund",
		"flt_deposit/refund ok": "refunded", "flt_deposit/refund failed": "credited",
		"usdc_withdraw/settle ok": "done", "usdc_withdraw/settle failed": "credited", "usdc_withdraw/settle superseded": "resend",
		"usdc_withdraw/resend ok": "done", "usdc_withdraw/resend failed": "credited",
		"flt_withdraw/settle ok": "done", "flt_withdraw/settle failed": "credited", "flt_withdraw/settle superseded": "resend",
		"flt_withdraw/resend ok": "done", "flt_withdraw/resend failed": "credited",
	}, got)
}

func TestEveryOutcomeThatAnEventCanTellHasAWayOn(t *testing.T) {
	for _, c := range effects() {
		for at, out := range c.means {
			f, s, _ := strings.Cut(at, "/")
			require.NotEmpty(t, step(t, f, s).Next[out.Kind], "%s after %s", at, out.Kind)
		}
	}
}

func TestLanesOfTwoSubnetsAndOfTwoQueuesAreApart(t *testing.T) {
	strict := map[string]bool{"topdown/deliver": true, "power/deliver": true, "checkpoint/submit": true, "checkpoint/execute": true}
	names := map[string]string{}
	for name, f := range flows() {
		for _, s := range f.Steps {
			lane := s.Lane(tokens.Transfer{Nonce: 9})
			require.Equal(t, strict[name+"/"+s.Name], lane.Strict)
			require.Contains(t, lane.Name, addr(1).Hex(), "the lane names its subnet")
			if lane.Strict {
				require.Equal(t, uint64(9), lane.Seq)
			}
			require.Empty(t, names[lane.Name], "a lane of two steps")
			names[lane.Name] = name
		}
	}
}

func TestCheckListsEverythingThatIsWrong(t *testing.T) {
	good := flows()["usdc_deposit"]
	change := func(do func(*flow.Flow)) flow.Flow {
		f := good
		f.Steps = append([]flow.Step(nil), good.Steps...)
		for i := range f.Steps {
			next := map[flow.Kind]string{}
			for k, v := range f.Steps[i].Next {
				next[k] = v
			}
			f.Steps[i].Next = next
		}
		do(&f)
		return f
	}
	for want, do := range map[string]func(*flow.Flow){
		"a name, a chain, a decoder and steps": func(f *flow.Flow) { f.Decode = nil },
		`step "deliver" twice`:                 func(f *flow.Flow) { f.Steps[1].Name = "deliver" },
		`cannot be named "done"`:               func(f *flow.Flow) { f.Steps[1].Name = "done" },
		`cannot be named ""`:                   func(f *flow.Flow) { f.Steps[1].Name = "" },
		`step "refund" shares its key and acts`: func(f *flow.Flow) {
			f.Steps[1].Do = func(context.Context, flow.Batch) ([]error, error) { return nil, nil }
		},
		`step "refund" lacks a part`:  func(f *flow.Flow) { f.Steps[1].Done = nil },
		`step "deliver" lacks a part`: func(f *flow.Flow) { f.Steps[0].Poll = 0 },
		`has no next for ok`:          func(f *flow.Flow) { delete(f.Steps[0].Next, flow.Ok) },
		`"nowhere" is neither`:        func(f *flow.Flow) { f.Steps[0].Next[flow.Superseded] = "nowhere" },
		`"deliver" is neither`:        func(f *flow.Flow) { f.Steps[1].Next[flow.Failed] = "deliver" },
		`"refund" is neither`:         func(f *flow.Flow) { f.Steps[1].Next[flow.Failed] = "refund" },
	} {
		require.ErrorContains(t, change(do).Check(), want)
	}
	err := change(func(f *flow.Flow) { f.Steps[0].Lane, f.Steps[1].Next[flow.Ok] = nil, "x" }).Check()
	require.ErrorContains(t, err, `step "deliver" lacks a part`)
	require.ErrorContains(t, err, `"x" is neither`)
	require.ErrorContains(t, err, "flow usdc_deposit")
}

func TestTransferIDsOfDifferentTransfersDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type origin struct {
			flow             string
			chain            chains.ID
			contract, subnet common.Address
			nonce            uint64
		}
		one := rapid.Custom(func(t *rapid.T) origin {
			return origin{
				rapid.SampledFrom([]string{"topdown", "power", "usdc_deposit", "flt_deposit"}).Draw(t, "flow"),
				chains.ID(rapid.Uint64Range(1, 3).Draw(t, "chain")),
				addr(rapid.ByteRange(1, 3).Draw(t, "contract")), addr(rapid.ByteRange(1, 3).Draw(t, "subnet")),
				rapid.Uint64Range(0, 12).Draw(t, "nonce"),
			}
		})
		a, b := one.Draw(t, "a"), one.Draw(t, "b")
		id := func(o origin) common.Hash { return flow.TransferID(o.flow, o.chain, o.contract, o.subnet, o.nonce) }
		require.Equal(t, a == b, id(a) == id(b))
	})
}

func TestReasonsAreAClosedListWithRemedies(t *testing.T) {
	seen := map[flow.Reason]bool{}
	for _, r := range flow.Reasons() {
		require.False(t, seen[r.Reason], r.Reason)
		seen[r.Reason] = true
		require.NotEmpty(t, r.Meaning)
		require.NotEmpty(t, r.Remedy)
		require.Regexp(t, `^[a-z_]+$`, string(r.Reason))
	}
	for _, c := range effects() {
		for _, out := range c.means {
			require.True(t, out.Reason == flow.ReasonNone || seen[out.Reason], out.Reason)
		}
	}
}

func TestAParkingErrorKeepsItsReasonAndItsCause(t *testing.T) {
	cause := fmt.Errorf("inside: %w", chains.ErrReverted)
	err := fmt.Errorf("outside: %w", flow.Park(flow.ReasonBatchMismatch, cause))
	require.ErrorIs(t, err, flow.ErrPark)
	require.ErrorIs(t, err, chains.ErrReverted)
	reason, ok := flow.ReasonOf(err)
	require.True(t, ok)
	require.Equal(t, flow.ReasonBatchMismatch, reason)
	_, ok = flow.ReasonOf(cause)
	require.False(t, ok)
}

func FuzzNoEventMakesAFlowPanic(f *testing.F) {
	for _, e := range origins() {
		f.Add(uint64(e.Chain), e.Address.Bytes(), flat(e.Topics), e.Data)
	}
	for _, c := range effects() {
		f.Add(uint64(c.event.Chain), c.event.Address.Bytes(), flat(c.event.Topics), c.event.Data)
	}
	all := flows()
	f.Fuzz(func(t *testing.T, chain uint64, contract, topics, data []byte) {
		e := chains.Event{Chain: chains.ID(chain), Address: common.BytesToAddress(contract), Data: data, Block: 20}
		for len(topics) >= 32 {
			e.Topics, topics = append(e.Topics, common.BytesToHash(topics[:32])), topics[32:]
		}
		for _, fl := range all {
			if x, mine, err := fl.Decode(e); mine {
				require.NoError(t, err)
				require.NotZero(t, x.ID)
				require.Equal(t, e.ID(), x.Origin)
			}
			for _, s := range fl.Steps {
				if key, out, mine := s.Effect(e); mine {
					require.NotEmpty(t, key)
					require.GreaterOrEqual(t, out.Kind, flow.Ok)
				}
			}
		}
	})
}

func flat(hs []common.Hash) (b []byte) {
	for _, h := range hs {
		b = append(b, h[:]...)
	}
	return b
}

func TestEveryFlowIsARouteOrTheRelayersOwn(t *testing.T) {
	for name, e := range origins() {
		transfer, mine, err := flows()[name].Decode(e)
		require.NoError(t, err)
		require.True(t, mine, name)
		_, route := tokens.RouteByName(name)
		require.Equal(t, route, !transfer.Hidden, name)
		require.Equal(t, transfer.Hidden, slices.Contains(flow.Own(), name), name)
	}
	// Those between Ethereum and the root have worlds of their own.
	require.Len(t, origins(), len(tokens.Routes())+len(flow.Own())-len(crossingFlows()))
	for name, f := range crossingFlows() {
		_, route := tokens.RouteByName(name)
		require.NotEqual(t, route, slices.Contains(flow.Own(), name), name)
		require.Equal(t, name, f.Name)
	}
}
