package badinput

import (
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// carried is a try of a deposit of an amount, which is carried as it is.
func carried(what string, amounts ...*big.Int) try {
	return bridged(what, func(w *world) {
		w.start(1)
		want := map[common.Hash]string{}
		for _, n := range amounts {
			w.root.MineLogs(w.usdc(addr(0x52), n)...)
			want[w.newest("usdc_deposit")] = n.String()
			w.root.MineLogs(w.flt(ipc.FromEVM(addr(0x52)), n)...)
			want[w.newest("flt_deposit")] = n.String()
		}
		w.honest(nil, nil)
		w.ends()
		for id, n := range want {
			j, ok, err := w.db.Get(w.t.Context(), id)
			require.NoError(w.t, err)
			require.True(w.t, ok)
			require.Equal(w.t, n, j.Transfer.Amount.String())
			raw, err := json.Marshal(j.Transfer.Amount)
			require.NoError(w.t, err)
			require.Equal(w.t, `"`+n+`"`, string(raw))
		}
	})
}

// noAmounts is a try of texts that are refused as an amount.
func noAmounts(what string, texts ...string) try {
	return alone(what, func(t *testing.T) {
		for _, s := range texts {
			_, err := tokens.ParseUnits(s)
			require.ErrorIs(t, err, tokens.ErrAmount, s)
			var a tokens.Amount
			require.ErrorIs(t, json.Unmarshal([]byte(`"`+s+`"`), &a), tokens.ErrAmount, s)
		}
	})
}

func amountRows() []row {
	most := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	power := func(n uint) *big.Int { return new(big.Int).Lsh(big.NewInt(1), n) }
	next := func(n *big.Int) *big.Int { return new(big.Int).Add(n, big.NewInt(1)) }
	return []row{
		{id: "B33", what: "a token that rebases between deposit and release",
			absent: "neither of the two tokens does; that what is locked is what was minted is the auditor's invariant I1, whose drift raises supply_drift (relayer/audit)"},
		{id: "B34", what: "decimals of 0, 6, 18, 36 and 77", tries: []try{
			alone("the round trip makes no unit, and dust is refused", func(t *testing.T) {
				for _, d := range []uint8{0, 6, 18, 36, 77} {
					for _, n := range []*big.Int{new(big.Int), big.NewInt(1), big.NewInt(1_000_001), power(64), most} {
						a := tokens.MustUnits(n)
						back, err := tokens.ParseDecimal(a.Decimal(d), d)
						require.NoError(t, err)
						require.Zero(t, a.Cmp(back), "%s with %d decimals", n, d)
					}
					_, err := tokens.ParseDecimal("0."+strings.Repeat("0", int(d))+"1", d)
					require.Error(t, err, "dust of %d decimals", d)
				}
			}),
		}},
		{id: "B35", what: "an amount of 0", tries: []try{carried("is carried as 0", new(big.Int)), noAmounts("no text is not 0", "", " ", "0x0", "-0", "+0")}},
		{id: "B36", what: "an amount of 1", tries: []try{carried("is carried as 1", big.NewInt(1))}},
		{id: "B37", what: "the largest uint256, and one more", tries: []try{
			carried("is carried to the unit", most),
			noAmounts("2^256 is no amount", power(256).String(), strings.Repeat("9", 78), strings.Repeat("9", 4000)),
			alone("nor is it as a number", func(t *testing.T) {
				_, err := tokens.Units(power(256))
				require.ErrorIs(t, err, tokens.ErrAmount)
				_, err = tokens.Units(big.NewInt(-1))
				require.ErrorIs(t, err, tokens.ErrAmount)
			}),
		}},
		{id: "B38", what: "amounts whose sum is beyond int64, float64 and uint256", tries: []try{
			carried("each is carried as it is", most, most, power(63), next(power(63)), power(64), next(power(53))),
		}},
		{id: "B39", what: "FIL in atto where nano is meant",
			absent: "gas on Filecoin, which neither the root nor the subnet of these flows is; their fees are in wei throughout"},
		{id: "B40", what: "numbers above 2^53 in JSON and in Lua", tries: []try{
			carried("amounts are strings", next(power(53)), next(power(63)), new(big.Int).Sub(power(64), big.NewInt(1))),
			alone("a JSON number is no amount", func(t *testing.T) {
				for _, s := range []string{"9007199254740993", "1", "1e30", "1.5", "-1", "null", "true", "{}", "[1]"} {
					var a tokens.Amount
					require.ErrorIs(t, json.Unmarshal([]byte(s), &a), tokens.ErrAmount, s)
				}
			}),
			noAmounts("texts that are no whole number", "1e3", "1.0", "1,000", "NaN", "Infinity", "٣", "1 ", "0b1"),
			bridged("a number of a deposit is not rounded", func(w *world) {
				w.start(1)
				w.honest(nil, nil)
				w.ends()
				for _, n := range []uint64{1<<53 + 1, 1<<64 - 1} {
					id := w.expect("usdc_deposit", w.s.Controller, rootID, n, "done")
					w.root.MineLogs(emit(controllerABI, "LinkedTokensSent", addr(3), addr(6), addr(0x51), addr(0x52), hash(n), n, big.NewInt(5)))
					w.until("it is a job", func() bool { return w.state(id) == "pending" })
					w.sub.MineLogs(emit(subGatewayABI, "TopDownMessageApplied", addr(7), n-1, hash(n), uint8(2), uint8(2), []byte{}))
					w.read()
					require.Equal(w.t, "pending", w.state(id), "its neighbour's fate is not its own")
					w.sub.MineLogs(emit(subGatewayABI, "TopDownMessageApplied", addr(7), n, hash(n), uint8(0), uint8(0), []byte{}))
				}
			}),
			bridged("a message beyond what a lane can order is refused, not rounded", func(w *world) {
				w.start(1)
				w.honest(nil, nil)
				w.ends()
				w.read()
				at := w.next(flow.Root)
				w.root.MineLogs(topDown(message(ipc.KindCall, 1<<53+1, new(big.Int), ipc.FromEVM(addr(8)), nil)))
				w.until("it is refused", func() bool { return w.said(flow.Root) != nil })
				require.ErrorContains(w.t, w.said(flow.Root), "2^53")
				require.Equal(w.t, at, w.next(flow.Root))
			}),
		}},
	}
}

// returns is a try of deposits to a recipient who cannot have them: they are
// delivered once, fail, and are refunded or kept as a credit. What is behind them
// goes on.
func returns(what string, to ipc.FvmAddress) try {
	return bridged(what, func(w *world) {
		w.bridge.fails = func(e ipc.IpcEnvelope) bool { return e.To.RawAddress.Equal(to) && e.Kind == ipc.KindTransfer }
		w.start(1)
		w.root.MineLogs(w.flt(to, big.NewInt(5))...)
		w.fated("flt_deposit", "refunded")
		w.honest(nil, nil)
	})
}

// fated says how the newest deposit of a route ends, whose message fails.
func (w *world) fated(route, state string) { w.want[w.newest(route)] = state }

func recipientRows() []row {
	forbidden := func(all ...common.Address) try {
		return alone("money is never sent there by us", func(t *testing.T) {
			for _, a := range all {
				require.True(t, ipc.ForbiddenRecipient(a, addr(2), addr(3), addr(5), addr(6), addr(7)), a.Hex())
			}
			require.False(t, ipc.ForbiddenRecipient(addr(0x52), addr(2)))
		})
	}
	masked := common.HexToAddress("0xff00000000000000000000000000000000000064")
	return []row{
		{id: "B41", what: "recipient 0x0", tries: []try{returns("comes back", ipc.FromEVM(common.Address{})), forbidden(common.Address{})}},
		{id: "B42", what: "a precompile as recipient", tries: []try{
			returns("comes back", ipc.FromEVM(common.Address{19: 4})),
			forbidden(common.Address{19: 1}, common.Address{18: 1}, common.HexToAddress("0xfe00000000000000000000000000000000000005")),
		}},
		{id: "B43", what: "the gateway as recipient", tries: []try{returns("comes back", ipc.FromEVM(addr(7))), forbidden(addr(2), addr(7), ipc.GatewayAddress, ipc.RegistryAddress)}},
		{id: "B44", what: "a token contract as recipient", tries: []try{returns("comes back", ipc.FromEVM(addr(8))), forbidden(addr(5), addr(6))}},
		{id: "B45", what: "an address of another protocol: f0, f1, f3, f4 of another actor", tries: []try{
			returns("f0", ipc.FvmAddress{AddrType: 0, Payload: []byte{100}}),
			returns("f1", ipc.FvmAddress{AddrType: 1, Payload: make([]byte, 20)}),
			returns("f3", ipc.FvmAddress{AddrType: 3, Payload: make([]byte, 48)}),
			returns("f4 with rubbish", ipc.FvmAddress{AddrType: 4, Payload: []byte("anything")}),
			alone("none of them is an account", func(t *testing.T) {
				good := ipc.FromEVM(addr(9))
				for _, f := range []ipc.FvmAddress{
					{AddrType: 0, Payload: good.Payload}, {AddrType: 1, Payload: good.Payload}, {AddrType: 3, Payload: good.Payload},
					{AddrType: 4, Payload: good.Payload[1:]}, {AddrType: 4, Payload: append(slices.Clone(good.Payload), 0)}, {AddrType: 4},
				} {
					_, err := f.EVM()
					require.ErrorIs(t, err, ipc.ErrNotDelegated)
				}
				text := ipc.F410('f', addr(9))
				for _, s := range []string{"f0100", "f1" + text[2:], "f3" + text[2:], strings.ToUpper(text), text[:len(text)-1], text + "a", text[:len(text)-1] + "7a", ""} {
					_, err := ipc.ParseF410(s)
					require.Error(t, err, s)
				}
			}),
		}},
		{id: "B46", what: "a masked id address", tries: []try{returns("comes back", ipc.FromEVM(masked)), forbidden(masked)}},
		{id: "B47", what: "a recipient that reverts", tries: []try{
			returns("FLT comes back", ipc.FromEVM(addr(0x99))),
			bridged("USDC comes back", func(w *world) {
				w.bridge.fails = func(e ipc.IpcEnvelope) bool { return e.LocalNonce == 0 }
				w.start(1)
				w.root.MineLogs(w.usdc(addr(0x99), big.NewInt(5))...)
				w.fated("usdc_deposit", "refunded")
				w.honest(nil, nil)
			}),
		}},
		{id: "B48", what: "an account that the token has blocked", tries: []try{
			bridged("a refund that is refused is a credit", func(w *world) {
				w.bridge.fails = func(e ipc.IpcEnvelope) bool { return e.LocalNonce < 2 }
				w.bridge.unpaid = w.bridge.fails
				w.start(1)
				w.root.MineLogs(w.usdc(addr(0x99), big.NewInt(5))...)
				w.fated("usdc_deposit", "credited refund_refused")
				w.root.MineLogs(w.flt(ipc.FromEVM(addr(0x99)), big.NewInt(5))...)
				w.fated("flt_deposit", "credited refund_refused")
				w.root.MineLogs(w.flt(ipc.FromEVM(addr(0x52)), big.NewInt(5))...)
			}),
			bridged("a payout that is refused is a credit", func(w *world) {
				w.bridge.unpaid = func(e ipc.IpcEnvelope) bool { return e.LocalNonce == 0 }
				w.start(1)
				w.honest(nil, nil)
				w.want[w.newest("usdc_withdraw")] = "credited payout_refused"
				w.ends()
				w.honest(nil, nil)
			}),
		}},
	}
}
