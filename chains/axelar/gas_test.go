package axelar

import (
	"math/big"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func (g GasPaid) event(at common.Address) chains.Event {
	topics := []common.Hash{addressTopic(g.Sender), g.PayloadHash}
	l := map[bool]layout{false: evNativeGasPaid, true: evNativeExpressPaid}[g.Express]
	if g.Token == (common.Address{}) {
		return logOf(at, l, topics, g.DestinationChain, g.DestinationAddress, g.Amount, g.RefundTo)
	}
	l = map[bool]layout{false: evGasPaid, true: evExpressPaid}[g.Express]
	return logOf(at, l, topics, g.DestinationChain, g.DestinationAddress, g.Token, g.Amount, g.RefundTo)
}

func (g GasAdded) event(at common.Address) chains.Event {
	topics := []common.Hash{g.Tx, common.BigToHash(g.Index)}
	l := map[bool]layout{false: evNativeGasAdded, true: evNativeExpressAdded}[g.Express]
	if g.Token == (common.Address{}) {
		return logOf(at, l, topics, g.Amount, g.RefundTo)
	}
	l = map[bool]layout{false: evGasAdded, true: evExpressAdded}[g.Express]
	return logOf(at, l, topics, g.Token, g.Amount, g.RefundTo)
}

func (g GasRefunded) event(at common.Address) chains.Event {
	return logOf(at, evGasRefunded, []common.Hash{g.Tx, common.BigToHash(g.Index)}, g.Receiver, g.Token, g.Amount)
}

// gasWorld is a transaction of a chain with a gateway and a gas service.
type gasWorld struct {
	gateway Gateway
	service GasService
	tx      common.Hash
	logs    []chains.Event
}

func newGasWorld() *gasWorld {
	return &gasWorld{gateway: NewAmplifier(common.Address{1}, common.Hash{1}), service: GasService{Address: common.Address{2}}, tx: common.Hash{7}}
}

// log puts an event behind the others, in a block that has 100 logs before.
func (w *gasWorld) log(e chains.Event) {
	e.Tx, e.Position, e.Index = w.tx, uint(len(w.logs)), uint(100+len(w.logs))
	w.logs = append(w.logs, e)
}

func (w *gasWorld) pay(sender byte, payload string, wei int64) {
	w.log(GasPaid{Sender: common.Address{sender}, DestinationChain: "axelar", DestinationAddress: "hub", PayloadHash: keccak([]byte(payload)),
		Amount: big.NewInt(wei)}.event(w.service.Address))
}

func (w *gasWorld) call(sender byte, payload string) {
	w.log(Called{Sender: common.Address{sender}, DestinationChain: "axelar", DestinationAddress: "hub", PayloadHash: keccak([]byte(payload)),
		Payload: []byte(payload)}.event(w.gateway.Address()))
}

func (w *gasWorld) other() {
	w.log(chains.Event{Address: common.Address{9}, Topics: []common.Hash{{9}}})
}

func (w *gasWorld) pair(t testing.TB) (calls []PaidCall, spare []Payment) {
	calls, spare, err := PairGas(w.gateway, w.service, w.logs)
	require.NoError(t, err)
	return calls, spare
}

func wei(calls []PaidCall) (out []int64) {
	for _, c := range calls {
		if c.Gas == nil {
			out = append(out, -1)
			continue
		}
		out = append(out, c.Gas.Paid.Amount.Int64())
	}
	return out
}

func TestEachCallTakesTheFirstPaymentForItThatIsLeft(t *testing.T) {
	for what, c := range map[string]struct {
		made  func(*gasWorld)
		paid  []int64
		spare []int64
	}{
		"nothing":              {func(*gasWorld) {}, nil, nil},
		"a call without":       {func(w *gasWorld) { w.call(1, "a") }, []int64{-1}, nil},
		"one and one":          {func(w *gasWorld) { w.other(); w.pay(1, "a", 5); w.call(1, "a") }, []int64{5}, nil},
		"behind the call":      {func(w *gasWorld) { w.call(1, "a"); w.pay(1, "a", 5) }, []int64{-1}, []int64{5}},
		"equal, in turn":       {func(w *gasWorld) { w.pay(1, "a", 5); w.call(1, "a"); w.pay(1, "a", 6); w.call(1, "a") }, []int64{5, 6}, nil},
		"equal, paid at once":  {func(w *gasWorld) { w.pay(1, "a", 5); w.pay(1, "a", 6); w.call(1, "a"); w.call(1, "a") }, []int64{5, 6}, nil},
		"one payment for two":  {func(w *gasWorld) { w.pay(1, "a", 5); w.call(1, "a"); w.call(1, "a") }, []int64{5, -1}, nil},
		"two payments for one": {func(w *gasWorld) { w.pay(1, "a", 5); w.pay(1, "a", 6); w.call(1, "a") }, []int64{5}, []int64{6}},
		"another sender":       {func(w *gasWorld) { w.pay(2, "a", 5); w.call(1, "a") }, []int64{-1}, []int64{5}},
		"another payload":      {func(w *gasWorld) { w.pay(1, "b", 5); w.call(1, "a") }, []int64{-1}, []int64{5}},
		"crossed":              {func(w *gasWorld) { w.pay(1, "b", 5); w.pay(1, "a", 6); w.call(1, "a"); w.call(1, "b") }, []int64{6, 5}, nil},
	} {
		t.Run(what, func(t *testing.T) {
			w := newGasWorld()
			c.made(w)
			calls, spare := w.pair(t)
			require.Equal(t, c.paid, wei(calls))
			var left []int64
			for _, p := range spare {
				left = append(left, p.Paid.Amount.Int64())
			}
			require.Equal(t, c.spare, left)
			for _, call := range calls {
				require.Equal(t, MessageID{Tx: w.tx, Index: uint64(call.Log.Position)}, call.ID)
				if call.Gas != nil {
					require.Less(t, call.Gas.Log.Position, call.Log.Position)
				}
			}
		})
	}
	// Another destination with the same payload is another call.
	for _, other := range []Called{{DestinationChain: "axelar", DestinationAddress: "bub"}, {DestinationChain: "Axelar", DestinationAddress: "hub"}} {
		w := newGasWorld()
		w.pay(1, "a", 5)
		other.Sender, other.Payload, other.PayloadHash = common.Address{1}, []byte("a"), keccak([]byte("a"))
		w.log(other.event(w.gateway.Address()))
		calls, spare := w.pair(t)
		require.Equal(t, []int64{-1}, wei(calls))
		require.Len(t, spare, 1)
	}
}

// No payment is counted twice and none is lost, whatever a transaction does.
func TestEveryPaymentIsOfOneCallOrSpare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newGasWorld()
		total, calls := int64(0), 0
		for range rapid.IntRange(0, 20).Draw(t, "logs") {
			sender, payload := rapid.ByteRange(1, 2).Draw(t, "sender"), rapid.SampledFrom([]string{"a", "b"}).Draw(t, "payload")
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				n := rapid.Int64Range(1, 99).Draw(t, "wei")
				total += n
				w.pay(sender, payload, n)
			case 1:
				calls++
				w.call(sender, payload)
			default:
				w.other()
			}
		}
		got, spare, err := PairGas(w.gateway, w.service, w.logs)
		require.NoError(t, err)
		require.Len(t, got, calls)
		for _, c := range got {
			if c.Gas != nil {
				total -= c.Gas.Paid.Amount.Int64()
			}
		}
		for _, p := range spare {
			total -= p.Paid.Amount.Int64()
		}
		require.Zero(t, total)
	})
}

func TestThePaymentThatTheServiceEmittedIsTheOneOfTheCall(t *testing.T) {
	v := vectors(t)
	source, said := v.Steps[1].Source, v.GasEventExample.Args
	gateway, service := v.Meta.Ethereum.Addrs["gateway"], GasService{Address: v.Meta.Ethereum.Addrs["gasService"]}
	id, err := ParseMessageID(source.TxMessageID)
	require.NoError(t, err)
	paid := GasPaid{Sender: said.SourceAddress, DestinationChain: said.DestinationChain, DestinationAddress: said.DestinationAddress,
		PayloadHash: said.PayloadHash, Amount: number(said.GasFeeAmount), RefundTo: said.RefundAddress}
	called := Called{Sender: source.Sender, DestinationChain: source.DestinationChain, DestinationAddress: source.DestinationAddress,
		PayloadHash: source.PayloadHash, Payload: source.Payload}
	logs := []chains.Event{paid.event(service.Address), called.event(gateway)}
	for i, at := range []int{v.GasEventExample.LogIndexInReceipt, v.GasEventExample.ContractCallIndexInReceipt} {
		logs[i].Tx, logs[i].Index, logs[i].Position = id.Tx, uint(at), uint(at)
	}
	calls, spare, err := PairGas(NewAmplifier(gateway, common.Hash{}), service, logs)
	require.NoError(t, err)
	require.Empty(t, spare)
	require.Len(t, calls, 1)
	require.Equal(t, id, calls[0].ID)
	require.Equal(t, called, calls[0].Call)
	require.Equal(t, paid, calls[0].Gas.Paid)
	require.Equal(t, number("10000000000000000"), SumGas(calls[0], nil).Left())
}

func TestLogsThatAreNotOneTransactionsPairNothing(t *testing.T) {
	good := func() *gasWorld {
		w := newGasWorld()
		w.pay(1, "a", 5)
		w.call(1, "a")
		return w
	}
	for what, change := range map[string]func(*chains.Event){
		"another transaction":  func(e *chains.Event) { e.Tx = common.Hash{8} },
		"another block":        func(e *chains.Event) { e.BlockHash = common.Hash{8} },
		"another chain":        func(e *chains.Event) { e.Chain = 8 },
		"not behind":           func(e *chains.Event) { e.Index = 100 },
		"positions not filled": func(e *chains.Event) { e.Position = 0 },
	} {
		w := good()
		change(&w.logs[1])
		_, _, err := PairGas(w.gateway, w.service, w.logs)
		require.ErrorIs(t, err, ErrReceipt, what)
	}
	for i := range 2 {
		w := good()
		w.logs[i].Data = w.logs[i].Data[1:]
		_, _, err := PairGas(w.gateway, w.service, w.logs)
		require.ErrorIs(t, err, ErrMalformed)
	}
	// A payment at another contract is nobody's.
	w := good()
	w.logs[0].Address = common.Address{3}
	calls, spare := w.pair(t)
	require.Equal(t, []int64{-1}, wei(calls))
	require.Empty(t, spare)
}

func TestGasIsAddedUpByMessage(t *testing.T) {
	w := newGasWorld()
	w.pay(1, "a", 100)
	w.call(1, "a")
	calls, _ := w.pair(t)
	call := calls[0]
	n := uint(0)
	entry := func(e GasEvent) GasEntry {
		n++
		return GasEntry{ID: chains.EventID{Tx: common.Hash{1}, Index: n}, Event: e}
	}
	added := func(tx common.Hash, index *big.Int, wei int64) GasAdded {
		return GasAdded{Tx: tx, Index: index, Amount: big.NewInt(wei)}
	}
	token := added(w.tx, big.NewInt(1), 7)
	token.Token = common.Address{5}
	top := entry(added(w.tx, big.NewInt(1), 20))
	wide := new(big.Int).Lsh(common.Big1, 64)
	entries := []GasEntry{
		top, top, // the same event twice
		entry(added(w.tx, big.NewInt(0), 1000)), // another log of the transaction
		entry(added(common.Hash{8}, big.NewInt(1), 1000)),
		entry(added(w.tx, wide.Add(wide, common.Big1), 1000)), // 2^64 + 1 is not 1
		entry(token),
		entry(GasRefunded{Tx: w.tx, Index: big.NewInt(1), Amount: big.NewInt(30)}),
		entry(GasRefunded{Tx: w.tx, Index: big.NewInt(2), Amount: big.NewInt(1000)}),
		entry(GasRefunded{Tx: w.tx, Index: big.NewInt(1), Token: common.Address{5}, Amount: big.NewInt(1000)}),
		entry(GasPaid{Sender: common.Address{1}, PayloadHash: call.Call.PayloadHash, Amount: big.NewInt(1000)}), // no message: paired, not added
	}
	sum := SumGas(call, entries)
	require.Equal(t, GasSum{Paid: big.NewInt(120), Refunded: big.NewInt(30), Tokens: 1}, sum)
	require.Equal(t, big.NewInt(90), sum.Left())

	again := entry(GasRefunded{Tx: w.tx, Index: big.NewInt(1), Amount: big.NewInt(500)})
	require.Zero(t, SumGas(call, append(entries, again)).Left().Sign(), "more came back than was paid")
	call.Gas.Paid.Token = common.Address{5}
	require.Equal(t, GasSum{Paid: big.NewInt(20), Refunded: big.NewInt(30), Tokens: 2}, SumGas(call, entries))
	call.Gas = nil
	require.Equal(t, big.NewInt(20), SumGas(call, entries).Paid)
}

func need() GasNeed {
	return GasNeed{ApproveGas: 87_054, ExecuteGas: 125_871, GasPriceWei: big.NewInt(3), Rate: Rate{Source: big.NewInt(1), Destination: big.NewInt(1)}, MarginBps: Whole}
}

func TestADeliveryIsPricedExactly(t *testing.T) {
	gas := int64(87_054 + 125_871)
	for what, c := range map[string]struct {
		change func(*GasNeed)
		want   string
	}{
		"plain":                    {func(*GasNeed) {}, big.NewInt(gas * 3).String()},
		"free":                     {func(n *GasNeed) { n.GasPriceWei = new(big.Int) }, "0"},
		"a margin of half":         {func(n *GasNeed) { n.MarginBps = 15_000 }, "958163"}, // 638775 × 1.5 = 958162.5
		"a dearer coin":            {func(n *GasNeed) { n.Rate = Rate{big.NewInt(1), big.NewInt(700)} }, "913"},
		"a cheaper coin":           {func(n *GasNeed) { n.Rate = Rate{big.NewInt(700), big.NewInt(1)} }, big.NewInt(gas * 3 * 700).String()},
		"the hub's part":           {func(n *GasNeed) { n.ExtraWei = big.NewInt(5) }, big.NewInt(gas*3 + 5).String()},
		"the hub's part, with all": {func(n *GasNeed) { n.ExtraWei, n.MarginBps = big.NewInt(5), 20_000 }, big.NewInt(2 * (gas*3 + 5)).String()},
		"beyond 64 bits of gas":    {func(n *GasNeed) { n.ApproveGas, n.ExecuteGas, n.GasPriceWei = 1<<64-1, 1, big.NewInt(1) }, "18446744073709551616"},
		"the smallest part of a wei": {func(n *GasNeed) {
			n.ApproveGas, n.ExecuteGas, n.Rate = 1, 0, Rate{big.NewInt(1), big.NewInt(1_000_000)}
		}, "1"},
	} {
		n := need()
		c.change(&n)
		got, err := n.Wei()
		require.NoError(t, err, what)
		require.Equal(t, c.want, got.String(), what)
		for less, enough := range map[int64]bool{0: true, 1: false} {
			paid := new(big.Int).Sub(got, big.NewInt(less))
			short, err := n.Short(paid)
			require.NoError(t, err)
			require.Equal(t, enough, short.Sign() == 0, "%s: %d less", what, less)
			require.Equal(t, big.NewInt(less).String(), short.String(), what)
		}
		short, err := n.Short(new(big.Int).Add(got, big.NewInt(1)))
		require.NoError(t, err)
		require.Zero(t, short.Sign())
	}
}

// What Wei asks for covers the cost, and one wei less does not: compared as
// fractions, without a division.
func TestThePriceIsTheLeastThatCovers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		some := func(name string, least uint64) *big.Int {
			b := new(big.Int).SetUint64(rapid.Uint64Min(least).Draw(t, name))
			return b.Mul(b, new(big.Int).SetUint64(rapid.Uint64Min(1).Draw(t, name+" times")))
		}
		n := GasNeed{ApproveGas: rapid.Uint64().Draw(t, "approve"), ExecuteGas: rapid.Uint64().Draw(t, "execute"), GasPriceWei: some("price", 0),
			ExtraWei: some("extra", 0), Rate: Rate{some("source", 1), some("destination", 1)}, MarginBps: rapid.Uint64Range(Whole, 1_000_000).Draw(t, "margin")}
		least, err := n.Wei()
		require.NoError(t, err)
		gas := new(big.Int).Add(new(big.Int).SetUint64(n.ApproveGas), new(big.Int).SetUint64(n.ExecuteGas))
		cost := new(big.Rat).SetFrac(new(big.Int).Mul(gas, n.GasPriceWei), common.Big1)
		cost.Mul(cost, new(big.Rat).SetFrac(n.Rate.Source, n.Rate.Destination))
		cost.Add(cost, new(big.Rat).SetInt(n.ExtraWei))
		cost.Mul(cost, new(big.Rat).SetFrac(new(big.Int).SetUint64(n.MarginBps), big.NewInt(Whole)))
		require.GreaterOrEqual(t, new(big.Rat).SetInt(least).Cmp(cost), 0)
		less := new(big.Int).Sub(least, common.Big1)
		require.Negative(t, new(big.Rat).SetInt(less).Cmp(cost))
	})
}

func TestWithoutAPriceNothingIsEnough(t *testing.T) {
	for what, change := range map[string]func(*GasNeed){
		"no gas price":             func(n *GasNeed) { n.GasPriceWei = nil },
		"a negative gas price":     func(n *GasNeed) { n.GasPriceWei = big.NewInt(-1) },
		"no rate":                  func(n *GasNeed) { n.Rate = Rate{} },
		"a source worth nothing":   func(n *GasNeed) { n.Rate.Source = new(big.Int) },
		"a destination for free":   func(n *GasNeed) { n.Rate.Destination = new(big.Int) },
		"a negative rate":          func(n *GasNeed) { n.Rate.Destination = big.NewInt(-1) },
		"a negative extra":         func(n *GasNeed) { n.ExtraWei = big.NewInt(-1) },
		"no margin, not even none": func(n *GasNeed) { n.MarginBps = 0 },
		"a margin below the whole": func(n *GasNeed) { n.MarginBps = Whole - 1 },
	} {
		n := need()
		change(&n)
		_, err := n.Wei()
		require.ErrorIs(t, err, ErrGasNeed, what)
		_, err = n.Short(new(big.Int).Lsh(common.Big1, 255))
		require.ErrorIs(t, err, ErrGasNeed, what)
	}
}

func TestATopUpNamesTheMessageByItsPlaceInTheReceipt(t *testing.T) {
	id := MessageID{Tx: common.Hash{1}, Index: 1<<63 + 5}
	data := GasService{}.TopUpCalldata(id, common.Address{9})
	args, err := fnAddNativeGas.in.Unpack(data[4:])
	require.NoError(t, err)
	require.Equal(t, []any{[32]byte(id.Tx), new(big.Int).SetUint64(id.Index), common.Address{9}}, args)
	back, ok := GasAdded{Tx: common.Hash(args[0].([32]byte)), Index: args[1].(*big.Int)}.For()
	require.True(t, ok)
	require.Equal(t, id, back)
}

func TestIndexesOfTopUpsAreWholeNumbersOnly(t *testing.T) {
	at := common.Address{2}
	wide := GasAdded{Tx: common.Hash{1}, Index: new(big.Int).Lsh(common.Big1, 255), Amount: common.Big1}
	e, ok, err := GasService{Address: at}.Decode(wide.event(at))
	require.NoError(t, err, "anybody can emit it: it must not halt a watcher")
	require.True(t, ok)
	_, ok = e.(GasAdded).For()
	require.False(t, ok)
	back := GasRefunded{Tx: common.Hash{1}, Index: big.NewInt(1<<62 + 1), Amount: common.Big1}
	id, ok := back.For()
	require.True(t, ok)
	require.Equal(t, MessageID{Tx: common.Hash{1}, Index: 1<<62 + 1}, id)
	require.ErrorIs(t, func() error {
		e := (GasPaid{Sender: common.Address{1}, Amount: common.Big1}).event(at)
		e.Topics[1][0] = 1
		_, _, err := GasService{Address: at}.Decode(e)
		return err
	}(), ErrMalformed)
}
