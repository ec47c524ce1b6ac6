package crossing

import (
	"bytes"
	"crypto/ecdsa"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/approve"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

// row is one input that must not be paid for wrongly, nor stop a lane, nor end
// without a reason. Behind each a good transfer goes both ways.
type row struct {
	id, what string
	run      func(w *lanes)
}

func rows() []row {
	return []row{
		{"C1", "the zero address", zeroAddress},
		{"C2", "a recipient of the wrong length", wrongLength},
		{"C3", "data for an address without code", noCode},
		{"C4", "a masked id, a precompile, a system address", maskedID},
		{"C5", "nothing, and more than may be deposited", amounts},
		{"C6", "more than the flow limit lets through, ever and in this window", flowLimits},
		{"C7", "a chain that is not trusted, at either end", untrusted},
		{"C8", "a token service that is paused", paused},
		{"C9", "a message that nobody sent, or another than was sent", neverSent},
		{"C10", "an approval without the signatures it takes", forgedApprovals},
		{"C11", "an approval and an execution again", replays},
		{"C12", "a payload that was altered on the way", alteredPayload},
		{"C13", "calls that are the token service's in nothing but their looks", strangers},
		{"C14", "signers that change while messages wait", rotation},
	}
}

// TestNoBadInputBetweenEthereumAndTheRootIsPaidFor runs every row over real chains
// and the published contracts, of both generations of gateways.
func TestNoBadInputBetweenEthereumAndTheRootIsPaidFor(t *testing.T) {
	for _, generation := range []string{deploy.GatewayLegacy, deploy.GatewayAmplifier} {
		t.Run(generation, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			w := newLanes(t, generation)
			root := w.sides[onRoot]
			w.comes(w.transfer(onL1, crypto.PubkeyToAddress(root.key.PublicKey).Bytes(), nil, ether(1000)), "done")
			t.Logf("%-70s %5.1fs", "deployed, and the first transfer", time.Since(began).Seconds())
			for _, r := range rows() {
				began := time.Now()
				ok := t.Run(r.id, func(t *testing.T) {
					w.t = t
					r.run(w)
					w.good(onL1, onRoot)
					w.sound()
				})
				w.t = t
				t.Logf("%-70s %5.1fs", r.id+": "+r.what, time.Since(began).Seconds())
				if !ok {
					t.FailNow() // what follows in the same lanes would only repeat it
				}
			}
		})
	}
}

func TestEveryRowIsListedOnce(t *testing.T) {
	for i, r := range rows() {
		require.Equal(t, fmt.Sprint("C", i+1), r.id)
		require.NotEmpty(t, r.what)
	}
}

// calldata is the call of a function by its signature.
func calldata(signature string, values ...any) []byte {
	_, types, _ := strings.Cut(strings.TrimSuffix(signature, ")"), "(")
	var args abi.Arguments
	for _, name := range strings.Split(types, ",") {
		t, err := abi.NewType(name, "", nil)
		if err != nil {
			panic(err)
		}
		args = append(args, abi.Argument{Type: t})
	}
	packed, err := args.Pack(values...)
	if err != nil {
		panic(err)
	}
	return append(crypto.Keccak256([]byte(signature))[:4:4], packed...)
}

func selector(signature string) string { return ipc.SelectorOf(signature).String() }

// addressed is where a transfer goes, and the data with it.
type addressed struct{ to, data []byte }

// parks sends what the other chain refuses for good, all of it both ways.
func (w *lanes) parks(all ...addressed) {
	w.t.Helper()
	amount := big.NewInt(77)
	sent := map[common.Hash]bool{}
	for _, x := range all {
		for _, from := range []string{onL1, onRoot} {
			w.stays(w.other(from).name, amount)
			sent[w.transfer(from, x.to, x.data, amount)] = true
		}
	}
	for tx := range sent {
		j := w.comes(tx, "parked "+string(flow.ReasonRejected))
		require.Equal(w.t, "execute", j.Step)
		require.NotEmpty(w.t, j.Err)
	}
}

func zeroAddress(w *lanes) {
	w.refuses(w.wallet(), common.Address{}, ether(1), "cannot be paid")
	require.Equal(w.t, selector("InvalidRecipient(address)"), w.refused(w.sides[onL1], w.flt, bindings.NewFltSender().PackDeposit(common.Address{}, ether(1))))
	w.parks(addressed{to: make([]byte, common.AddressLength)})
}

func wrongLength(w *lanes) {
	to := w.fresh()
	w.parks(addressed{to: to[:1]}, addressed{to: to[:19]}, addressed{to: append(to.Bytes(), 0)}, addressed{to: common.LeftPadBytes(to[:], 32)}, addressed{to: []byte(to.Hex())})
	for _, s := range w.sides {
		require.Zero(w.t, w.balance(s, to).Sign())
		name := w.refused(s, s.set.Service, w.sending(w.other(s.name).name, []byte{}, nil, big.NewInt(1)))
		require.Equal(w.t, "EmptyDestinationAddress()", name)
	}
}

func noCode(w *lanes) {
	to := w.fresh()
	w.parks(addressed{to[:], []byte{1, 2, 3}})
	// Of a deposit too: its handler does not stand here.
	l1 := w.sides[onL1]
	w.send(l1, &l1.token, bindings.NewDevFlt().PackApprove(w.flt, ether(2)))
	w.moved[onRoot].Add(w.moved[onRoot], ether(2))
	w.stays(onRoot, ether(2))
	tx := w.send(l1, &w.flt, bindings.NewFltSender().PackDeposit(w.fresh(), ether(2))).TxHash
	w.comes(tx, "parked "+string(flow.ReasonRejected))
	require.Zero(w.t, w.balance(w.sides[onRoot], handler).Sign())
}

func maskedID(w *lanes) {
	b, deposit := w.wallet(), bindings.NewFltSender().PackDeposit
	for _, to := range []common.Address{
		{0: 0xff, 19: 7}, {19: 1}, {18: 1}, {0: 0xfe, 18: 1}, ipc.GatewayAddress, ipc.RegistryAddress,
	} {
		w.refuses(b, to, ether(1), "cannot be paid in the subnet")
		require.Equal(w.t, selector("InvalidRecipient(address)"), w.refused(w.sides[onL1], w.flt, deposit(to, ether(1))), to.Hex())
		w.refusesBack(b, to, ether(1), "cannot be paid on Ethereum")
	}
	c := b.Dep.Crossing
	for _, to := range []common.Address{{}, c.L1Flt, c.Sender, c.L1Manager, c.L1.Service, c.L1.Gateway} {
		w.refusesBack(b, to, ether(1), "cannot be paid on Ethereum")
	}
}

func amounts(w *lanes) {
	b, l1, deposit := w.wallet(), w.sides[onL1], bindings.NewFltSender().PackDeposit
	to := w.fresh()
	wei := big.NewInt(1)
	for _, amount := range []*big.Int{new(big.Int), new(big.Int).Sub(ether(1), wei), new(big.Int).Add(ether(1000), wei), new(big.Int).Sub(new(big.Int).Lsh(wei, 256), wei)} {
		w.refuses(b, to, amount, "a deposit from Ethereum is of 1 to 1000 FLT")
		require.Equal(w.t, selector("AmountOutOfRange(uint256,uint256,uint256)"), w.refused(l1, w.flt, deposit(to, amount)))
	}
	for _, s := range w.sides {
		data := w.sending(w.other(s.name).name, to[:], nil, new(big.Int))
		require.Equal(w.t, "ZeroAmount()", w.refused(s, s.set.Service, data))
	}
	// More than one has.
	poor, err := crypto.GenerateKey()
	require.NoError(w.t, err)
	b.L1.Address = crypto.PubkeyToAddress(poor.PublicKey)
	w.refuses(b, to, ether(2), "holds 0 FLT on Ethereum")
}

// limit is the flow limit of FLT at a chain; 0 is none.
func (w *lanes) limit(s *side, amount *big.Int) {
	w.send(s, &s.set.Service, calldata("setFlowLimits(bytes32[],uint256[])", [][32]byte{w.tokenID}, []*big.Int{amount}))
}

func flowLimits(w *lanes) {
	b, l1 := w.wallet(), w.sides[onL1]
	none, ten := new(big.Int), ether(10)

	// What Ethereum would not take is not sent.
	w.limit(l1, ten)
	w.refuses(b, w.fresh(), ether(11), "flow limit of FLT on ethereum")
	to := w.fresh()
	require.Contains(w.t, w.refused(l1, l1.set.Service, w.sending(onRoot, to[:], nil, ether(11))), "FlowAmountExceededLimit")
	w.limit(l1, none)

	// What either end does not give out waits, and nothing waits behind it.
	for _, from := range []string{onL1, onRoot} {
		there := w.other(from)
		w.early(there)
		w.limit(there, ten)
		w.refuses(b, w.fresh(), ether(11), "flow limit of FLT on "+there.called)
		w.refusesBack(b, w.fresh(), ether(11), "flow limit of FLT on "+there.called)
		large, to := w.transfer(from, to[:], nil, ether(11)), w.fresh()
		w.comes(large, "pending "+string(flow.ReasonFlowLimit))
		first := w.transfer(from, to[:], nil, ether(6))
		w.comes(first, "done")
		second := w.transfer(from, to[:], nil, ether(5))
		j := w.comes(second, "pending "+string(flow.ReasonFlowLimit))
		require.Contains(w.t, j.Err, "FlowLimitExceeded")
		waits := j.NotBefore.Sub(time.Now().Add(time.Duration(w.ahead.Load()) * time.Second))
		require.LessOrEqual(w.t, waits, axelar.FlowWindow+time.Minute)
		w.good(from)
		require.Equal(w.t, ether(6).String(), w.balance(there, to).String(), "the window's share and no more")
		w.limit(there, none)
		w.ahead.Add(int64(axelar.FlowWindow/time.Second) + 60)
		w.comes(second, "done")
		w.comes(large, "done")
		w.owes(to, ether(11))
	}
	w.owes(to, ether(22))
}

// early sees to it that a chain's window of flow limits does not end meanwhile: its
// clock runs fast.
func (w *lanes) early(s *side) {
	now := s.chain.Head().Time
	if left := axelar.WindowEnd(now) - now; left < 600 {
		require.NoError(w.t, s.chain.Mine(w.t.Context(), int(left)+1))
	}
}

func untrusted(w *lanes) {
	b, l1 := w.wallet(), w.sides[onL1]
	for _, from := range []string{onL1, onRoot} {
		s, there := w.sides[from], w.other(from)
		// The source refuses.
		w.send(s, &s.set.Service, calldata("removeTrustedChain(string)", there.name))
		to := w.fresh()
		require.Equal(w.t, "UntrustedChain()", w.refused(s, s.set.Service, w.sending(there.name, to[:], nil, big.NewInt(5))))
		w.refuses(b, to, ether(1), "does not trust")
		if s == l1 {
			require.Equal(w.t, selector("UntrustedDestination(string)"), w.refused(l1, w.flt, bindings.NewFltSender().PackDeposit(to, ether(1))))
		}
		w.send(s, &s.set.Service, calldata("setTrustedChain(string)", there.name))

		// The destination does not take it until it trusts again.
		w.send(there, &there.set.Service, calldata("removeTrustedChain(string)", from))
		w.refuses(b, to, ether(1), "does not trust")
		w.refusesBack(b, to, ether(1), "does not trust")
		tx := w.transfer(from, to[:], nil, big.NewInt(5))
		w.comes(tx, "pending "+string(flow.ReasonUntrusted))
		require.Zero(w.t, w.balance(there, to).Sign())
		w.send(there, &there.set.Service, calldata("setTrustedChain(string)", from))
		w.comes(tx, "done")
		w.owes(to, big.NewInt(5))
	}
	// Nobody is sent to a chain that there is not.
	to := w.fresh()
	require.Equal(w.t, "UntrustedChain()", w.refused(l1, l1.set.Service, w.sending("nowhere", to[:], nil, big.NewInt(5))))
}

func paused(w *lanes) {
	for _, from := range []string{onL1, onRoot} {
		there, to := w.other(from), w.fresh()
		w.send(there, &there.set.Service, calldata("setPauseStatus(bool)", true))
		w.refuses(w.wallet(), to, ether(1), "is paused")
		w.refusesBack(w.wallet(), to, ether(1), "is paused")
		tx := w.transfer(from, to[:], nil, big.NewInt(6))
		w.comes(tx, "pending "+string(flow.ReasonPaused))
		w.send(there, &there.set.Service, calldata("setPauseStatus(bool)", false))
		w.comes(tx, "done")
		w.owes(to, big.NewInt(6))
	}
}

// waiting sends a good transfer while no signer signs, and gives its message and
// what would approve it, with two signatures.
func (w *lanes) waiting(f func(root *side, r sent, tx common.Hash)) {
	to := w.fresh()
	w.pause(func() {
		tx := w.transfer(onL1, to[:], nil, big.NewInt(9))
		f(w.sides[onRoot], w.message(onL1, tx), tx)
	})
	w.owes(to, big.NewInt(9))
}

// approval is the call that approves a message by some keys of a set, and their signatures.
func (w *lanes) approval(s *side, set axelar.WeightedSigners, m axelar.Message, keys ...*ecdsa.PrivateKey) (data []byte, signatures [][]byte) {
	w.t.Helper()
	of := approve.SetFor(s.gateway, set)
	c := axelar.Command{Approve: []axelar.Message{m}}
	digest, err := s.gateway.Digest(of, c)
	require.NoError(w.t, err)
	signatures = w.signed(digest, keys...)
	data, err = s.gateway.Calldata(of, c, signatures)
	require.NoError(w.t, err)
	return data, signatures
}

func (w *lanes) execution(s *side, m axelar.Message, payload []byte) []byte {
	m.PayloadHash = crypto.Keccak256Hash(payload)
	data, err := s.service.ExecuteCalldata(s.gateway.CommandID(m), m, payload)
	require.NoError(w.t, err)
	return data
}

func neverSent(w *lanes) {
	root := w.sides[onRoot]
	thief := w.fresh()
	inner, err := axelar.EncodePayload(axelar.Transfer{TokenID: w.tokenID, Source: w.flt[:], Destination: thief[:], Amount: ether(100)})
	require.NoError(w.t, err)
	payload, err := axelar.EncodePayload(axelar.ReceiveFromHub{Chain: onL1, Inner: inner})
	require.NoError(w.t, err)
	forged := axelar.Message{
		SourceChain: axelar.HubChain, ID: axelar.HubMessageID(onL1, axelar.MessageID{Tx: common.Hash{9}}).String(), SourceAddress: hubName,
		Contract: root.set.Service, PayloadHash: crypto.Keccak256Hash(payload),
	}
	// Not approved it is not executed, and no signer signs for it, whoever asks.
	require.Equal(w.t, "NotApprovedByGateway()", w.refused(root, root.set.Service, w.execution(root, forged, payload)))
	q := w.quorum(root)
	wanted := []flow.Wanted{{From: onL1, ID: axelar.MessageID{Tx: common.Hash{9}}, Message: forged}}
	// Of what was sent, another amount for another recipient.
	to := w.fresh()
	tx := w.transfer(onL1, to[:], nil, big.NewInt(3))
	w.owes(to, big.NewInt(3))
	w.comes(tx, "done")
	other := forged
	other.ID = axelar.HubMessageID(onL1, w.message(onL1, tx).id).String()
	wanted = append(wanted, flow.Wanted{From: onL1, ID: axelar.MessageID{Tx: common.Hash{8}}, Message: other})
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(quick) {
		signed, err := q.Approve(w.t.Context(), wanted)
		require.NoError(w.t, err)
		require.Empty(w.t, signed)
	}
	require.Zero(w.t, w.balance(root, thief).Sign())
}

// high is the other signature of the same key over the same digest.
func high(sig []byte) []byte {
	out := bytes.Clone(sig)
	new(big.Int).Sub(crypto.S256().Params().N, new(big.Int).SetBytes(sig[32:64])).FillBytes(out[32:64])
	out[64] = 55 - out[64]
	return out
}

func forgedApprovals(w *lanes) {
	w.waiting(func(root *side, r sent, tx common.Hash) {
		set := w.sets[0]
		keys := w.ofSet(set)
		good, sigs := w.approval(root, set, r.Message, keys[:2]...)
		_, foreign := w.approval(w.sides[onL1], set, r.Message, keys[:2]...)
		otherSet := axelar.WeightedSigners{Threshold: big.NewInt(1), Nonce: common.Hash{9}}
		stranger, err := crypto.GenerateKey()
		require.NoError(w.t, err)
		otherSet.Signers = []axelar.WeightedSigner{{Signer: crypto.PubkeyToAddress(stranger.PublicKey), Weight: big.NewInt(1)}}
		byStrangers, strange := w.approval(root, otherSet, r.Message, stranger)
		next, _ := w.approval(root, w.sets[1], r.Message, w.ofSet(w.sets[1])[:2]...)
		other := r.Message
		other.PayloadHash = crypto.Keccak256Hash([]byte("another"))
		elsewhere := r.Message
		elsewhere.Contract = common.Address{0xbb}

		mark := bytes.Repeat([]byte{0xee}, 65)
		swappedSigs := swapped(w.t, swapped(w.t, swapped(w.t, good, sigs[0], mark), sigs[1], sigs[0]), mark, sigs[1])
		lowV := bytes.Clone(sigs[1])
		lowV[64] -= 27
		foreigners := swapped(w.t, swapped(w.t, good, sigs[0], foreign[0]), sigs[1], foreign[1])
		for what, data := range map[string][]byte{
			"signatures out of order":          swappedSigs,
			"one signature twice":              swapped(w.t, good, sigs[1], sigs[0]),
			"the high s of a signature":        swapped(w.t, good, sigs[1], high(sigs[1])),
			"v of 0 or 1":                      swapped(w.t, good, sigs[1], lowV),
			"a stranger's instead of a second": swapped(w.t, good, sigs[1], strange[0]),
			"no signature at all":              swapped(w.t, swapped(w.t, good, sigs[0], make([]byte, 65)), sigs[1], make([]byte, 65)),
			"another chain's signatures":       foreigners,
			"a set of strangers":               byStrangers,
			"a set that is not yet in force":   next,
			"another payload":                  swapped(w.t, good, r.Message.PayloadHash[:], other.PayloadHash[:]),
			"another contract":                 swapped(w.t, good, common.LeftPadBytes(r.Message.Contract[:], 32), common.LeftPadBytes(elsewhere.Contract[:], 32)),
		} {
			name := w.refused(root, root.set.Gateway, data)
			require.NotEmpty(w.t, name, what)
			require.Equal(w.t, axelar.StateNone, w.state(root, r.Message), what)
		}
		require.Equal(w.t, "NotApprovedByGateway()", w.refused(root, root.set.Service, w.execution(root, r.Message, r.Payload)))
		// The very same call with nothing altered is good.
		_, err = root.client.Call(w.t.Context(), root.set.Gateway, good, evm.AtLatest)
		require.NoError(w.t, err)
		require.Equal(w.t, "pending", string(w.comes(tx, "pending").Status))
	})
}

func replays(w *lanes) {
	var approval []byte
	var r sent
	var tx common.Hash
	w.waiting(func(root *side, routed sent, began common.Hash) {
		approval, _ = w.approval(root, w.sets[0], routed.Message, w.ofSet(w.sets[0])[1:]...)
		r, tx = routed, began
	})
	w.comes(tx, "done")
	root := w.sides[onRoot]
	supply := w.balance(root, crypto.PubkeyToAddress(root.key.PublicKey))
	for range 2 {
		// The gateway skips what it has had; nothing of it can be executed again.
		w.send(root, &root.set.Gateway, approval)
		require.Equal(w.t, axelar.StateExecuted, w.state(root, r.Message))
		require.Equal(w.t, "NotApprovedByGateway()", w.refused(root, root.set.Service, w.execution(root, r.Message, r.Payload)))
	}
	require.Equal(w.t, supply, w.balance(root, crypto.PubkeyToAddress(root.key.PublicKey)))
}

func alteredPayload(w *lanes) {
	w.waiting(func(root *side, r sent, tx common.Hash) {
		approval, _ := w.approval(root, w.sets[0], r.Message, w.ofSet(w.sets[0])[:2]...)
		w.send(root, &root.set.Gateway, approval)
		sent, err := axelar.DecodePayload(r.Payload)
		require.NoError(w.t, err)
		honest := sent.(axelar.ReceiveFromHub)
		inner, err := axelar.DecodePayload(honest.Inner)
		require.NoError(w.t, err)
		thief := w.fresh()
		for what, change := range map[string]func(*axelar.Transfer, *axelar.ReceiveFromHub){
			"another recipient": func(t *axelar.Transfer, _ *axelar.ReceiveFromHub) { t.Destination = thief[:] },
			"another amount":    func(t *axelar.Transfer, _ *axelar.ReceiveFromHub) { t.Amount = ether(5) },
			"another token":     func(t *axelar.Transfer, _ *axelar.ReceiveFromHub) { t.TokenID[0] ^= 1 },
			"another chain":     func(_ *axelar.Transfer, h *axelar.ReceiveFromHub) { h.Chain = "elsewhere" },
			"data besides":      func(t *axelar.Transfer, _ *axelar.ReceiveFromHub) { t.Data = []byte{1} },
		} {
			altered, outer := inner.(axelar.Transfer), honest
			change(&altered, &outer)
			outer.Inner, err = axelar.EncodePayload(altered)
			require.NoError(w.t, err)
			payload, err := axelar.EncodePayload(outer)
			require.NoError(w.t, err)
			// Nobody has approved it; and the relayer's own check is before that.
			require.Equal(w.t, "NotApprovedByGateway()", w.refused(root, root.set.Service, w.execution(root, r.Message, payload)), what)
			_, err = root.service.ExecuteCalldata(root.gateway.CommandID(r.Message), r.Message, payload)
			require.ErrorIs(w.t, err, axelar.ErrMessage, what)
		}
		require.Zero(w.t, w.balance(root, thief).Sign())
		w.comes(tx, "done") // by the relayer, which finds it approved
	})
}

func strangers(w *lanes) {
	l1 := w.sides[onL1]
	thief := w.fresh()
	inner, err := axelar.EncodePayload(axelar.Transfer{TokenID: w.tokenID, Source: w.flt[:], Destination: thief[:], Amount: ether(100)})
	require.NoError(w.t, err)
	payload, err := axelar.EncodePayload(axelar.SendToHub{Chain: onRoot, Inner: inner})
	require.NoError(w.t, err)
	const callContract = "callContract(string,string,bytes)"
	var txs []common.Hash
	for _, data := range [][]byte{
		calldata(callContract, axelar.HubChain, hubName, payload),                         // what the token service would say
		calldata(callContract, onRoot, w.sides[onRoot].set.Service.Hex(), payload),        // past the hub
		calldata(callContract, "\xff\xfe\x00", strings.Repeat("\xff", 5000), []byte(nil)), // no names at all
		calldata(callContract, "", "", bytes.Repeat([]byte{7}, 60_000)),
	} {
		txs = append(txs, w.send(l1, &l1.set.Gateway, data).TxHash)
	}
	w.good(onL1) // the chain is read on past them
	for _, tx := range txs {
		_, began := w.job(tx)
		require.False(w.t, began)
	}
	require.Zero(w.t, w.balance(w.sides[onRoot], thief).Sign())
}

// rotation changes the root's signers under a message that one of them has signed
// for. A legacy gateway still takes the old set, an Amplifier one of this kind does
// not: then it is signed anew.
func rotation(w *lanes) {
	root := w.sides[onRoot]
	kept := root.gateway.Kind() == axelar.Legacy
	to := w.fresh()
	var r sent
	var tx common.Hash
	w.pause(func() {
		tx = w.transfer(onL1, to[:], nil, big.NewInt(9))
		w.owes(to, big.NewInt(9))
		r = w.message(onL1, tx)
		w.start(0) // of the first set alone
		require.Eventually(w.t, func() bool {
			up, err := w.db.Proposing(w.t.Context(), onRoot, []store.ProposedMessage{{From: onL1, ID: r.id}})
			require.NoError(w.t, err)
			signatures, err := w.db.Signatures(w.t.Context(), up)
			require.NoError(w.t, err)
			return slices.ContainsFunc(signatures, func(s [][]byte) bool { return len(s) == 1 })
		}, time.Minute, quick)
		w.signing[0]()
		delete(w.signing, 0)

		set, next := approve.SetFor(root.gateway, w.sets[0]), approve.SetFor(root.gateway, w.sets[1])
		late, _ := w.approval(root, w.sets[0], r.Message, w.ofSet(w.sets[0])[:2]...)
		c := axelar.Command{Rotate: &next}
		digest, err := root.gateway.Digest(set, c)
		require.NoError(w.t, err)
		data, err := root.gateway.Calldata(set, c, w.signed(digest, w.ofSet(w.sets[0])[:2]...))
		require.NoError(w.t, err)
		w.send(root, &root.set.Gateway, data)
		require.Equal(w.t, axelar.StandingLatest, w.standing(root, w.sets[1]))
		if !kept {
			require.Equal(w.t, axelar.StandingExpired, w.standing(root, w.sets[0]))
			require.Contains(w.t, w.refused(root, root.set.Gateway, late), "InvalidSigners")
		}
		// The same again changes nothing: one generation refuses it, the other skips it.
		if kept {
			w.send(root, &root.set.Gateway, data)
		} else {
			require.NotEmpty(w.t, w.refused(root, root.set.Gateway, data))
		}
		require.Equal(w.t, axelar.StandingLatest, w.standing(root, w.sets[1]))
	})
	w.comes(tx, "done")
	require.Equal(w.t, axelar.StateExecuted, w.state(root, r.Message))
	require.Equal(w.t, "9", w.balance(root, to).String())
}
