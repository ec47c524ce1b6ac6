package e2e

import (
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/cmd/causeway/devnet"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/relayer/audit"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	shared "github.com/causeway-bridge/causeway/test/rig"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"
)

// TestBadInputAndFailingSurroundingsLoseNothing is one bridge in the hands of
// hostile strangers and unlucky operators. Each step ends with every transfer
// in its right terminal state; the last one compares all money to the unit.
func TestBadInputAndFailingSurroundingsLoseNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.step("strangers bring their contracts", w.arm)
	w.step("each source contract refuses amounts out of its bounds", w.bounds)
	w.step("an endpoint of another chain, and every unfit Redis, is refused at start", func() { w.refusedAtStart(t) })
	w.step("strangers send forged events and hostile messages", w.attack)
	w.step("root and node away for 20 s, with transfers pending", w.outage)
	w.step("every transfer has ended as it must", w.aftermath)
	w.step("endpoints that babble or turn into another chain", w.lyingEndpoints)
	w.step("a node whose root has forked below what the subnet committed", w.rootForked)
	w.step("a Redis that becomes a replica, and one that is full", w.brokenRedis)
	w.step("a transfer of which six processes in a row die is parked", w.parked)
	w.step("a second signal ends the relayer at once", w.impatience)
	w.step("a Redis that comes back as it was is waited for, and everything goes on", w.rolledBack)
	w.step("a Redis that forgot everything is rebuilt from the chains", w.amnesia)
	w.step("no unit of money is missing or new", w.sound)
}

var (
	gatewayABI    = bindings.NewGateway()
	subnetABI     = bindings.NewSubnetGateway()
	controllerABI = bindings.NewLinkedTokenController()
	outboxABI     = bindings.NewWithdrawalOutbox()
	fltABI        = bindings.NewDevFlt()
	usdcABI       = bindings.NewDevUsdc()

	fee        = big.NewInt(10_000_000_000_000_000) // the devnet's exit fee
	maxUint256 = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
)

// milli is thousandths of FLT.
func milli(n int64) *big.Int {
	return new(big.Int).Mul(big.NewInt(n), big.NewInt(1_000_000_000_000_000))
}

func plus(a, b *big.Int) *big.Int { return new(big.Int).Add(a, b) }

func (w *world) subnetID() bindings.SubnetID {
	id := w.net.Dep.Root.Subnet()
	return bindings.SubnetID{Root: id.Root, Route: id.Route}
}

func fvm(a common.Address) bindings.FvmAddress { return bindings.FvmAddress(ipc.FromEVM(a)) }

// arm deploys the strangers' contracts and gives the puppets something to
// spend.
func (w *world) arm() {
	ctx, dep := w.t.Context(), w.net.Dep
	owner, err := w.dir.Key("deployer", 4096)
	require.NoError(w.t, err)
	w.bad = newStranger(w.t, w.b.Root.Client(), owner)
	key, err := crypto.GenerateKey()
	require.NoError(w.t, err)
	purse, err := w.b.Subnet.Send(ctx, crypto.PubkeyToAddress(key.PublicKey), nil, milli(300_000))
	require.NoError(w.t, err)

	w.on.logger, w.on.puppet = w.bad.create(loggerCode), w.bad.create(puppetCode)
	w.on.refuser, w.on.burner, w.on.bomb = w.bad.create(refuserCode), w.bad.create(burnerCode), w.bad.create(bombCode)
	w.bad.send(&dep.Root.Flt, nil, 200_000, fltABI.PackMint(w.on.puppet, milli(1_000_000)))
	w.bad.send(&dep.Root.Flt, nil, 200_000, fltABI.PackMint(w.b.Root.Address, milli(2_000_000_000)))
	last := w.bad.send(&dep.Root.Usdc, nil, 200_000, usdcABI.PackMint(w.on.puppet, big.NewInt(50_000_000)))

	_, err = w.b.Subnet.Wait(ctx, purse)
	require.NoError(w.t, err)
	w.worse = newStranger(w.t, w.b.Subnet.Client(), key)
	w.in.logger, w.in.puppet = w.worse.create(loggerCode), w.worse.create(puppetCode)
	w.in.refuser, w.in.burner = w.worse.create(refuserCode), w.worse.create(burnerCode)
	w.in.bomb, w.in.megabomb, w.in.refuseBomb = w.worse.create(bombCode), w.worse.create(megabombCode), w.worse.create(refuseBombCode)
	w.bad.mined(last)
	for _, a := range []common.Address{w.on.logger, w.on.puppet, w.on.refuser, w.on.burner, w.on.bomb} {
		w.hasCode(w.bad, a)
	}
	for _, a := range []common.Address{w.in.logger, w.in.puppet, w.in.refuser, w.in.burner, w.in.bomb, w.in.megabomb, w.in.refuseBomb} {
		w.hasCode(w.worse, a)
	}
	// The rig's alarm goes off at any balance.
	require.Contains(w.t, w.told(alerts.GasLow, false, 15*time.Second).Summary, "the alarm is at")
	// The wallet approves both tokens on its first deposit of each.
	require.NoError(w.t, w.b.Approve(ctx, tokens.FLT, maxUint256))
	require.NoError(w.t, w.b.Approve(ctx, tokens.USDC, maxUint256))
}

func (w *world) hasCode(s *stranger, a common.Address) {
	w.t.Helper()
	w.eventually(10*time.Second, "the code of "+a.Hex(), func() bool {
		code, err := s.client.CodeAt(w.t.Context(), a, nil)
		return err == nil && len(code) > 0
	})
}

// refusal simulates a call and names what it reverts with; "" if it would
// succeed.
func (w *world) refusal(c *ethclient.Client, from, to common.Address, data []byte, value *big.Int) string {
	w.t.Helper()
	_, err := c.EstimateGas(w.t.Context(), ethereum.CallMsg{From: from, To: &to, Data: data, Value: value})
	if err == nil {
		return ""
	}
	var revert interface{ ErrorData() any }
	if errors.As(err, &revert) {
		text, _ := revert.ErrorData().(string)
		for _, sig := range []string{
			"AmountOutOfBounds(uint256,uint256,uint256)", "AmountOutOfRange(uint256,uint256,uint256)", "InvalidXnetMessage(uint8)",
			"BelowMinimum(uint256)", "WrongValue(uint256,uint256)", "ERC20InsufficientBalance(address,uint256,uint256)",
			"ForbiddenRecipient(address)", "NotDelegatedEvmAddress()", "EnvelopeTooLarge(uint256)", "InvalidReceiver(address)", "UnsupportedToken(address)",
		} {
			if raw := common.FromHex(text); len(raw) >= 4 && [4]byte(raw) == [4]byte(crypto.Keccak256([]byte(sig))) {
				return sig[:strings.IndexByte(sig, '(')]
			}
		}
		return text
	}
	return err.Error()
}

// bounds asks each source contract for nothing, too little, the least, the
// most, more than that, and the largest number there is.
func (w *world) bounds() {
	dep, user := w.net.Dep, w.b.Root.Address
	s := dep.Settings
	one := big.NewInt(1)
	less := func(n *big.Int) *big.Int { return new(big.Int).Sub(n, one) }
	type source struct {
		name     string
		min, max *big.Int
		try      func(*big.Int) string
		// What is said of 0, of too little, of too much, of 2^256-1. "-" accepts
		// any refusal.
		zero, low, high, huge string
	}
	withdraw := func(token common.Address, value func(*big.Int) *big.Int) func(*big.Int) string {
		return func(n *big.Int) string {
			return w.refusal(w.b.Subnet.Client(), user, dep.Subnet.Outbox, outboxABI.PackWithdraw(bindings.WithdrawalRequest{
				Token: token, Amount: n, Recipient: user, FallbackRecipient: user, MinOut: new(big.Int),
			}), value(n))
		}
	}
	justFee := func(*big.Int) *big.Int { return fee }
	envelope := func(id bindings.SubnetID, value *big.Int) bindings.IpcEnvelope {
		return bindings.IpcEnvelope{Value: value, To: bindings.IPCAddress{SubnetId: id, RawAddress: fvm(w.in.bomb)}, Message: ipc.EncodeCall(ipc.CallMsg{}),
			From: bindings.IPCAddress{RawAddress: bindings.FvmAddress{Payload: []byte{}}}}
	}
	approved := call{to: dep.Root.Flt, data: fltABI.PackApprove(dep.Root.Gateway, maxUint256)}
	for _, c := range []source{
		{"fundWithToken", s.FltFundMin.Int(), s.FltFundMax.Int(), func(n *big.Int) string {
			return w.refusal(w.b.Root.Client(), user, dep.Root.Gateway, gatewayABI.PackFundWithToken(w.subnetID(), fvm(user), n), nil)
		}, "InvalidXnetMessage", "AmountOutOfBounds", "AmountOutOfBounds", "ERC20InsufficientBalance"},
		{"sendContractXnetMessage", s.FltFundMin.Int(), milli(1_000_000), func(n *big.Int) string {
			return w.refusal(w.b.Root.Client(), user, w.on.puppet, calls(approved, call{to: dep.Root.Gateway, data: gatewayABI.PackSendContractXnetMessage(envelope(w.subnetID(), n))}), nil)
		}, "", "AmountOutOfBounds", "ERC20InsufficientBalance", "ERC20InsufficientBalance"},
		{"linkedTransfer", s.UsdcDepositMin.Int(), s.UsdcDepositMax.Int(), func(n *big.Int) string {
			return w.refusal(w.b.Root.Client(), user, dep.Root.Controller, controllerABI.PackLinkedTransfer(user, n), nil)
		}, "AmountOutOfRange", "AmountOutOfRange", "AmountOutOfRange", "AmountOutOfRange"},
		{"withdraw USDC", s.UsdcWithdrawMin.Int(), nil, withdraw(dep.Root.Usdc, justFee),
			"AmountOutOfRange", "AmountOutOfRange", "AmountOutOfRange", "AmountOutOfRange"},
		{"withdraw FLT", s.FltWithdrawMin.Int(), nil, withdraw(dep.Root.Flt, func(n *big.Int) *big.Int {
			if n.Cmp(milli(100_000)) > 0 {
				return fee // what one does not have one cannot send: claim more than is sent
			}
			return plus(fee, n)
		}), "AmountOutOfRange", "AmountOutOfRange", "AmountOutOfRange", "AmountOutOfRange"},
	} {
		require.Equal(w.t, c.zero, c.try(new(big.Int)), "%s of 0", c.name)
		if low := less(c.min); low.Sign() > 0 {
			require.Equal(w.t, c.low, c.try(low), "%s of the minimum less 1", c.name)
		}
		if c.max != nil {
			require.Empty(w.t, c.try(c.min), "%s of the minimum", c.name)
			require.Empty(w.t, c.try(c.max), "%s of the maximum", c.name)
			require.Equal(w.t, c.high, c.try(plus(c.max, one)), "%s of the maximum and 1", c.name)
		}
		require.Equal(w.t, c.huge, c.try(maxUint256), "%s of 2^256-1", c.name)
	}
	for _, c := range []struct {
		token common.Address
		max   *big.Int
	}{{dep.Root.Usdc, s.UsdcWithdrawMax.Int()}, {dep.Root.Flt, s.FltWithdrawMax.Int()}} {
		require.Equal(w.t, "AmountOutOfRange", withdraw(c.token, justFee)(plus(c.max, one)))
	}
	require.Empty(w.t, withdraw(dep.Root.Flt, func(n *big.Int) *big.Int { return plus(fee, n) })(s.FltWithdrawMin.Int()))
	require.Equal(w.t, "WrongValue", withdraw(dep.Root.Flt, justFee)(milli(2)), "coin that was not sent is not withdrawn")
	require.Equal(w.t, "UnsupportedToken", withdraw(common.Address{}, justFee)(milli(2)))

	releaseTo := func(to common.Address, value *big.Int) string {
		return w.refusal(w.b.Subnet.Client(), user, dep.Subnet.Gateway, subnetABI.PackRelease(fvm(to)), value)
	}
	release := func(value *big.Int) string { return releaseTo(user, value) }
	require.Equal(w.t, "InvalidXnetMessage", release(nil))
	require.Equal(w.t, "InvalidXnetMessage", release(less(fee)))
	require.Equal(w.t, "InvalidXnetMessage", release(fee))
	require.Equal(w.t, "BelowMinimum", release(plus(fee, less(s.MinRelease.Int()))))
	require.Empty(w.t, release(plus(fee, s.MinRelease.Int())))
	require.Equal(w.t, "ForbiddenRecipient", releaseTo(dep.Root.Gateway, plus(fee, s.MinRelease.Int())), "the root's gateway owns nothing")
	require.Equal(w.t, "ForbiddenRecipient", releaseTo(dep.Root.Actor, plus(fee, s.MinRelease.Int())))

	// Messages that must not be taken at all.
	message := func(change func(*bindings.IpcEnvelope)) string {
		e := envelope(w.subnetID(), new(big.Int))
		change(&e)
		return w.refusal(w.b.Root.Client(), user, w.on.puppet, calls(call{to: dep.Root.Gateway, data: gatewayABI.PackSendContractXnetMessage(e)}), nil)
	}
	require.Empty(w.t, message(func(*bindings.IpcEnvelope) {}))
	require.Equal(w.t, "ForbiddenRecipient", message(func(e *bindings.IpcEnvelope) { e.To.RawAddress = fvm(dep.Subnet.Gateway) }))
	require.Equal(w.t, "NotDelegatedEvmAddress", message(func(e *bindings.IpcEnvelope) { e.To.RawAddress.AddrType = 1 }))
	require.Equal(w.t, "EnvelopeTooLarge", message(func(e *bindings.IpcEnvelope) { e.Message = ipc.EncodeCall(ipc.CallMsg{Params: make([]byte, 4096)}) }))
	require.Equal(w.t, "InvalidXnetMessage", message(func(e *bindings.IpcEnvelope) { e.To.SubnetId.Root++ }))
	require.NotEmpty(w.t, message(func(e *bindings.IpcEnvelope) { e.Message = []byte("no call") }))
	require.Equal(w.t, "InvalidXnetMessage", w.refusal(w.b.Root.Client(), user, dep.Root.Gateway, gatewayABI.PackSendContractXnetMessage(envelope(w.subnetID(), new(big.Int))), nil), "only contracts send messages")
}

// attack sends everything at once: forged events of all kinds, messages that
// nobody can handle, recipients that refuse, burn and flood, and honest money
// between them.
func (w *world) attack() {
	ctx, dep, user := w.t.Context(), w.net.Dep, w.b.Root.Address
	actor := common.BytesToHash(dep.Root.Actor[:])
	word := func(n *big.Int) common.Hash { return common.BigToHash(n) }
	addr := func(a common.Address) common.Hash { return common.BytesToHash(a[:]) }
	data := func(words ...common.Hash) (out []byte) {
		for _, h := range words {
			out = append(out, h[:]...)
		}
		return out
	}

	// Flood: recipients that burn all their gas in the subnet, and, when the
	// money comes back, a depositor that burns all of his on the root.
	flood := []call{{to: dep.Root.Flt, data: fltABI.PackApprove(dep.Root.Gateway, maxUint256)}}
	for range 50 {
		flood = append(flood, call{to: dep.Root.Gateway, data: gatewayABI.PackFundWithToken(w.subnetID(), fvm(w.in.burner), milli(1))})
	}
	for range 2 {
		tx := w.bad.send(&w.on.puppet, nil, 14_000_000, calls(flood...))
		w.bulk[tx] = map[string]int{fmt.Sprint("flt_deposit ", milli(1), " refunded"): 50}
	}

	// Honest money, some of it to recipients that cannot take it.
	first := w.sendIn(tokens.USDC, user, big.NewInt(5_000_000), tokens.Done)
	w.sendIn(tokens.FLT, user, milli(3_000), tokens.Done)
	s := dep.Settings
	w.sendIn(tokens.FLT, user, s.FltFundMax.Int(), tokens.Done)
	w.sendIn(tokens.USDC, user, s.UsdcMintCap.Int(), tokens.Done)
	w.sendIn(tokens.USDC, user, s.UsdcDepositMax.Int(), tokens.Refunded) // more than is minted at once
	w.sendIn(tokens.USDC, dep.Subnet.Outbox, big.NewInt(7), tokens.Refunded)
	w.sendIn(tokens.USDC, w.in.refuser, big.NewInt(9), tokens.Done) // a mint asks nobody
	w.sendIn(tokens.FLT, w.in.bomb, milli(500), tokens.Done)
	for _, to := range []common.Address{w.in.refuser, w.in.burner, w.in.megabomb, w.in.refuseBomb} {
		w.sendIn(tokens.FLT, to, milli(500), tokens.Refunded)
	}
	out := w.sendOut(tokens.FLT, user, milli(1_000))
	_, outID, err := devnet.WithdrawalOf(ctx, w.b, out)
	require.NoError(w.t, err)

	// A real deposit with forged ones before and behind it, in one transaction.
	forged := emit(data(common.HexToHash("0xf0"), word(big.NewInt(1)), word(big.NewInt(1_000_000_000_000))),
		topicOf("LinkedTokensSent(address,address,address,bytes32,uint64,uint256)"), addr(dep.Root.Usdc), addr(user), addr(user))
	mixed := w.bad.send(&w.on.puppet, nil, 2_000_000, calls(
		call{to: w.on.logger, data: forged},
		call{to: dep.Root.Usdc, data: usdcABI.PackApprove(dep.Root.Controller, maxUint256)},
		call{to: dep.Root.Controller, data: controllerABI.PackLinkedTransfer(user, big.NewInt(11_000_000))},
		call{to: w.on.logger, data: forged},
	))
	w.note(mixed, want{"usdc_deposit", big.NewInt(11_000_000), tokens.Done})

	// Every event of ours from a contract that is not, on its own: deposits that
	// were never made, and fates of transfers that are still on their way.
	var lies []call
	lie := func(data []byte, topics ...common.Hash) {
		lies = append(lies, call{to: w.on.logger, data: emit(data, topics...)})
	}
	for _, topic := range (flow.Subnet{}).RootTopics() {
		for n := range 4 {
			lie(make([]byte, 32*15), []common.Hash{topic, actor, outID, word(big.NewInt(3))}[:n+1]...)
		}
		lie(nil, topic)
	}
	receipt, err := w.b.Root.Wait(ctx, first)
	require.NoError(w.t, err)
	for _, l := range receipt.Logs { // word for word, and with another nonce
		lie(l.Data, l.Topics...)
		if len(l.Data) > 96 {
			other := append([]byte(nil), l.Data...)
			other[95]++
			lie(other, l.Topics...)
		}
	}
	lie(data(word(milli(1_000)), word(big.NewInt(1))), topicOf("WithdrawalSettled(bytes32,address,address,uint256,bool)"), outID, addr(user), addr(dep.Root.Flt))
	lie(data(word(milli(1_000)), common.Hash{}), topicOf("WithdrawalQuarantined(bytes32,address,address,uint256,uint256)"), outID, addr(user), addr(dep.Root.Flt))
	for h := int64(10); h < 200; h += 10 {
		lie(data(word(big.NewInt(1)), word(big.NewInt(1)), common.Hash{}), topicOf("CheckpointAccepted(uint256,bytes32,uint64,uint64)"), word(big.NewInt(h)))
		lie(data(word(big.NewInt(1)), word(big.NewInt(1))), topicOf("BatchExecuted(uint256,uint64,uint64)"), word(big.NewInt(h)))
	}
	told := map[common.Hash]int{}
	rootLies := w.bad.send(&w.on.puppet, nil, 8_000_000, calls(lies...))
	told[rootLies] = len(lies)
	lies = nil
	lieBelow := func(data []byte, topics ...common.Hash) {
		lies = append(lies, call{to: w.in.logger, data: emit(data, topics...)})
	}
	for _, topic := range (flow.Subnet{}).SubnetTopics() {
		for n := range 4 {
			lieBelow(make([]byte, 32*15), []common.Hash{topic, outID, word(big.NewInt(3)), actor}[:n+1]...)
		}
		lieBelow(nil, topic)
	}
	below, err := w.b.Subnet.Client().TransactionReceipt(ctx, out)
	require.NoError(w.t, err)
	for _, l := range below.Logs {
		lieBelow(l.Data, l.Topics...)
	}
	for n := range int64(130) { // every message on its way has failed, says the stranger
		lieBelow(data(word(big.NewInt(2)), word(big.NewInt(2)), word(big.NewInt(96)), common.Hash{}),
			topicOf("TopDownMessageApplied(uint64,bytes32,uint8,uint8,bytes)"), word(big.NewInt(n)), common.HexToHash("0x01"))
	}
	lieBelow(data(word(milli(1_000))), topicOf("WithdrawalReturned(bytes32,uint256)"), outID)
	lieBelow(data(word(big.NewInt(1<<40))), flow.TopicCheckpointDue)
	subnetLies := w.worse.send(&w.in.puppet, nil, 8_000_000, calls(lies...))
	told[subnetLies] = len(lies)

	// Messages down that nobody can handle.
	send := func(to common.Address, value *big.Int, asked bool, message ipc.CallMsg) call {
		e := bindings.IpcEnvelope{Value: value, To: bindings.IPCAddress{SubnetId: w.subnetID(), RawAddress: fvm(to)}, Message: ipc.EncodeCall(message),
			From: bindings.IPCAddress{RawAddress: bindings.FvmAddress{Payload: []byte{}}}}
		if asked {
			e.OriginalNonce = 1 << 63
		}
		return call{to: dep.Root.Gateway, data: gatewayABI.PackSendContractXnetMessage(e)}
	}
	mint := ipc.CallMsg{Method: common.FromHex("0xdfb85dac"), Params: data(addr(user), word(big.NewInt(1_000_000_000)))}
	junk := ipc.CallMsg{Method: []byte{1, 2, 3}, Params: []byte("\xff\xfejunk")}
	none, some := new(big.Int), milli(1_000)
	nobody := common.HexToAddress("0x00000000000000000000000000000000deadbeef")
	garbage := w.bad.send(&w.on.puppet, nil, 6_000_000, calls(
		send(dep.Subnet.Replica, none, false, mint), // whoever is not the controller mints nothing
		send(dep.Subnet.Replica, none, true, junk),
		send(dep.Subnet.Replica, some, false, mint),
		send(dep.Subnet.Outbox, some, false, junk),
		send(nobody, none, false, junk),
		send(nobody, some, true, junk),
		send(w.in.refuser, some, false, ipc.CallMsg{Params: make([]byte, 2_700)}),
		send(w.in.burner, some, false, junk),
		send(w.in.megabomb, some, true, junk),
		send(w.in.refuseBomb, some, true, junk),
		send(w.in.bomb, some, true, junk), // takes it, and answers at length
	))

	// Messages up, and raw releases.
	root := bindings.SubnetID{Root: w.subnetID().Root, Route: []common.Address{}}
	up := func(to common.Address, value *big.Int, asked bool, message ipc.CallMsg) call {
		e := bindings.IpcEnvelope{Value: value, To: bindings.IPCAddress{SubnetId: root, RawAddress: fvm(to)}, Message: ipc.EncodeCall(message),
			From: bindings.IPCAddress{RawAddress: bindings.FvmAddress{Payload: []byte{}}}}
		if asked {
			e.OriginalNonce = 1 << 63
		}
		return call{to: dep.Subnet.Gateway, value: plus(fee, value), data: subnetABI.PackSendContractXnetMessage(e)}
	}
	fake, err := ipc.EncodeWithdrawal(ipc.Withdrawal{
		SubnetKey: crypto.Keccak256Hash(ipc.EncodeSubnetID(dep.Root.Subnet())), Outbox: dep.Subnet.Outbox, Nonce: 900, Token: dep.Root.Usdc,
		Sender: user, Recipient: w.worse.addr, FallbackRecipient: w.worse.addr, Gross: big.NewInt(4_000_000), MinOut: none,
	})
	require.NoError(w.t, err)
	settle := ipc.CallMsg{Method: crypto.Keccak256([]byte("settle((bytes32,address,uint64,address,address,address,address,uint256,uint256,uint64,uint64,address,uint64,uint16))"))[:4], Params: fake}
	upward := []call{
		up(dep.Root.FastWithdrawals, none, false, settle), // whoever is not the outbox withdraws nothing
		up(dep.Root.FastWithdrawals, some, true, junk),
		up(dep.Root.Controller, some, false, mint),
		up(nobody, some, false, junk),
		up(w.on.refuser, some, false, junk),
		up(w.on.burner, some, true, junk),
		up(w.on.puppet, some, true, junk),
		up(w.on.bomb, some, true, junk), // takes it
	}
	total := new(big.Int)
	for _, c := range upward {
		total.Add(total, c.value)
	}
	climbed := w.worse.send(&w.in.puppet, total, 6_000_000, calls(upward...))
	var released []common.Hash
	for _, to := range []common.Address{w.on.refuser, nobody, w.worse.addr} {
		tx, err := w.b.Subnet.Send(ctx, dep.Subnet.Gateway, subnetABI.PackRelease(fvm(to)), plus(fee, milli(250)))
		require.NoError(w.t, err)
		released = append(released, tx)
	}

	for _, tx := range released {
		_, err = w.b.Subnet.Wait(ctx, tx)
		require.NoError(w.t, err)
	}
	for _, tx := range []common.Hash{mixed, garbage} {
		w.bad.mined(tx)
	}
	require.Len(w.t, w.bad.mined(rootLies).Logs, told[rootLies])
	require.Len(w.t, w.worse.mined(subnetLies).Logs, told[subnetLies])
	for tx := range w.bulk {
		w.bad.mined(tx)
	}
	w.worse.mined(climbed)
	w.forged = []common.Hash{rootLies, subnetLies}
}

func topicOf(sig string) common.Hash { return crypto.Keccak256Hash([]byte(sig)) }

// sendIn deposits to anybody and notes how that must end. It does not wait for
// the block.
func (w *world) sendIn(a tokens.Asset, to common.Address, amount *big.Int, end tokens.Status) common.Hash {
	w.t.Helper()
	tx, err := w.b.Deposit(w.t.Context(), a, to, amount)
	require.NoError(w.t, err)
	w.note(tx, want{shared.Route(a, "deposit"), amount, end})
	return tx
}

func (w *world) sendOut(a tokens.Asset, to common.Address, amount *big.Int) common.Hash {
	w.t.Helper()
	tx, err := w.b.Withdraw(w.t.Context(), a, to, w.b.Root.Address, amount)
	require.NoError(w.t, err)
	w.note(tx, want{shared.Route(a, "withdraw"), amount, tokens.Done})
	return tx
}

// outage takes the root away from relayer and node, and kills the node, each
// for 20 s: the root hangs up, then it does not answer, then it hangs up again
// while the node starts.
func (w *world) outage() {
	w.sendIn(tokens.USDC, w.b.Root.Address, big.NewInt(21_000_000), tokens.Done)
	out := w.sendOut(tokens.FLT, w.b.Root.Address, milli(21))
	_, err := w.b.Subnet.Wait(w.t.Context(), out)
	require.NoError(w.t, err)
	// Meanwhile another relayer finds no Redis at all.
	lost := launch(w.t, filepath.Join(w.dir.Logs(), "lost.log"), "run", "--config",
		w.variant(w.t, func(c *relayer.Config) { c.Redis.URL = "redis://127.0.0.1:1/0" }))
	w.t.Cleanup(lost.kill)
	w.net.Kill("node")
	w.root.set(refusing)
	began := time.Now()
	// On the root, which only they cannot see: one deposit, and so many that the
	// first statement covers more than fits one transaction.
	w.sendIn(tokens.FLT, w.b.Root.Address, milli(22), tokens.Done)
	var crowd []call
	for range 50 {
		crowd = append(crowd, call{to: w.net.Dep.Root.Gateway, data: gatewayABI.PackFundWithToken(w.subnetID(), fvm(w.b.Root.Address), milli(1))})
	}
	for range 16 {
		tx := w.bad.send(&w.on.puppet, nil, 14_000_000, calls(crowd...))
		w.bulk[tx] = map[string]int{fmt.Sprint("flt_deposit ", milli(1), " done"): 50}
	}
	w.amber("watch/subnet", 10*time.Second)
	w.amber("watch/root", 10*time.Second)
	w.root.set(hanging)
	shared.Pause(w.t.Context(), 18*time.Second-time.Since(began))

	w.root.set(refusing)
	started := make(chan error, 1)
	go func() { started <- w.net.StartNode(w.t.Context()) }()
	shared.Pause(w.t.Context(), 2*time.Second)
	select {
	case err := <-started:
		w.t.Fatalf("the node does not wait for its root: %v", err)
	default:
	}
	code, _ := w.ready()
	require.Equal(w.t, http.StatusServiceUnavailable, code)
	w.root.set(open)
	require.NoError(w.t, <-started)
	w.green(30 * time.Second)
	require.True(w.t, w.relayer.running())
	require.Equal(w.t, 1, w.starts, "no process ended")
	require.Equal(w.t, 3, lost.code(w.t, 10*time.Second))
	require.Contains(w.t, tail(lost.log, 2000), "open the journal: open store: redis is unavailable")
}

// aftermath waits for the end of all that was sent and looks at every pocket.
func (w *world) aftermath() {
	ctx, dep := w.t.Context(), w.net.Dep
	rows := w.all(120 * time.Second)
	for id := range rows {
		w.untouched(id)
	}

	// What could not be delivered is back to the unit; what could is there.
	rootCall := func(to common.Address, data []byte) *big.Int {
		raw, err := w.b.Root.Client().CallContract(ctx, callMsg(to, data), nil)
		require.NoError(w.t, err)
		return new(big.Int).SetBytes(raw)
	}
	flt := func(a common.Address) string { return rootCall(dep.Root.Flt, fltABI.PackBalanceOf(a)).String() }
	coin := func(a common.Address) string {
		n, err := w.b.Subnet.Client().BalanceAt(ctx, a, nil)
		require.NoError(w.t, err)
		return n.String()
	}
	w.eventually(60*time.Second, "the strangers' own messages have come back", func() bool {
		return flt(w.on.puppet) == milli(999_000-800).String() && coin(w.in.puppet) == milli(7_000-1_000).String()
	})
	require.Equal(w.t, milli(1_000).String(), flt(w.on.bomb))
	require.Equal(w.t, milli(1_500).String(), coin(w.in.bomb))
	require.Equal(w.t, milli(250).String(), flt(w.on.refuser), "a token asks its holder nothing")
	raw, err := w.b.Root.Client().CallContract(ctx, callMsg(dep.Root.Gateway, gatewayABI.PackGetCounters(w.subnetID())), nil)
	require.NoError(w.t, err)
	counters, err := gatewayABI.UnpackGetCounters(raw)
	require.NoError(w.t, err)
	require.Equal(w.t, "0", counters.Quarantined.String(), "whatever comes up has an owner")
	for _, a := range []common.Address{w.in.refuser, w.in.burner, w.in.megabomb, w.in.refuseBomb, dep.Subnet.Outbox, dep.Subnet.Replica} {
		require.Equal(w.t, "0", coin(a), a.Hex())
	}
	require.Zero(w.t, rootCall(dep.Root.Usdc, usdcABI.PackBalanceOf(w.worse.addr)).Sign(), "a forged withdrawal pays nothing")
	require.Zero(w.t, rootCall(dep.Root.Gateway, gatewayABI.PackCreditOf(w.subnetID(), w.on.puppet)).Sign(), "what came back was paid")
	minted, err := w.b.Subnet.Client().CallContract(ctx, callMsg(dep.Subnet.Replica, bindings.NewLinkedTokenReplica().PackMinted()), nil)
	require.NoError(w.t, err)
	sum := new(big.Int)
	for _, s := range w.sent {
		if s.route == "usdc_deposit" && s.status == tokens.Done {
			sum.Add(sum, s.amount)
		}
	}
	require.Equal(w.t, sum.String(), new(big.Int).SetBytes(minted).String(), "nothing is minted but deposits")

	// The largest amounts go back as well, and the lanes are as good as new.
	w.sendOut(tokens.USDC, w.b.Root.Address, dep.Settings.UsdcWithdrawMax.Int())
	w.sendOut(tokens.FLT, w.b.Root.Address, dep.Settings.FltWithdrawMax.Int())
	w.sendIn(tokens.USDC, w.b.Root.Address, big.NewInt(33_000_000), tokens.Done)
	require.Equal(w.t, 1, w.starts)
}

// untouched checks that no forged event is in the ledger of a transfer.
func (w *world) untouched(id common.Hash) {
	w.t.Helper()
	job, ok, err := w.db.Get(w.t.Context(), id)
	require.NoError(w.t, err)
	require.True(w.t, ok)
	for _, s := range api.View(job).Steps {
		require.NotContains(w.t, w.forged, s.Tx, "%s of %s was decided by a forged event", s.Name, id)
	}
}

// lyingEndpoints: nothing is believed and nothing ends.
func (w *world) lyingEndpoints() {
	for i, m := range [][2]mode{{babbling, otherChain}, {otherChain, babbling}} {
		w.root.set(m[0])
		w.child.set(m[1])
		w.amber("watch/root", 10*time.Second)
		w.amber("watch/subnet", 10*time.Second)
		w.sendIn(tokens.FLT, w.b.Root.Address, milli(41+int64(i)), tokens.Done)
		w.root.set(open)
		w.child.set(open)
		w.green(30 * time.Second)
	}
	require.Equal(w.t, 1, w.starts)
}

// brokenRedis: what cannot be recorded is not taken from the chain, so that it
// waits there.
func (w *world) brokenRedis() {
	ctx := w.t.Context()
	rdb := w.redis.Client()
	defer rdb.Close()
	require.NoError(w.t, rdb.ReplicaOf(ctx, "127.0.0.1", "1").Err())
	w.amber("replica", 10*time.Second)
	w.told(alerts.RedisUndurable, false, 10*time.Second)
	w.sendIn(tokens.USDC, w.b.Root.Address, big.NewInt(51_000_000), tokens.Done)
	require.NoError(w.t, rdb.ReplicaOf(ctx, "no", "one").Err())
	w.green(30 * time.Second)
	w.told(alerts.RedisUndurable, true, 15*time.Second)

	// Told to forget: said, and green once told otherwise.
	require.NoError(w.t, rdb.ConfigSet(ctx, "appendfsync", "everysec").Err())
	w.amber("appendfsync is everysec", 10*time.Second)
	require.NoError(w.t, rdb.ConfigSet(ctx, "appendfsync", "always").Err())
	w.green(10 * time.Second)

	// Full: what is known is delivered, what is new waits on its chain.
	lane, fresh := "topdown/"+w.net.Dep.Root.Actor.Hex(), common.HexToAddress("0x00000000000000000000000000000000f00dcafe")
	_, text, code := w.run("lane", "pause", lane)
	require.Zero(w.t, code, text)
	known := w.sendIn(tokens.FLT, fresh, milli(52), tokens.Done)
	w.eventually(20*time.Second, "the deposit is known", func() bool { return w.transfer(known).ID != common.Hash{} })
	w.hook.forget()
	require.NoError(w.t, rdb.ConfigSet(ctx, "maxmemory", "1mb").Err())
	unknown := w.sendIn(tokens.FLT, w.b.Root.Address, milli(53), tokens.Done)
	w.amber("full", 10*time.Second)
	require.Equal(w.t, "memory", w.told(alerts.RedisUndurable, false, 10*time.Second).Key)
	_, text, code = w.run("lane", "resume", lane)
	require.Zero(w.t, code, text)
	w.eventually(30*time.Second, "what is known is delivered all the same", func() bool {
		held, err := w.b.Subnet.Client().BalanceAt(ctx, fresh, nil)
		return err == nil && held.Cmp(milli(52)) == 0
	})
	require.Zero(w.t, w.transfer(unknown).ID, "nothing new is taken")
	require.NoError(w.t, rdb.ConfigSet(ctx, "maxmemory", "0").Err())
	w.green(45 * time.Second)
	w.told(alerts.RedisUndurable, true, 15*time.Second)
	w.all(60 * time.Second)
	require.Equal(w.t, 1, w.starts)
}

// transfer is the one that a transaction made; zero while nobody knows it.
func (w *world) transfer(tx common.Hash) api.Transfer {
	all, err := w.transfers(w.t.Context())
	if err != nil {
		return api.Transfer{}
	}
	for _, t := range all {
		if t.Steps[0].Tx == tx {
			return t
		}
	}
	return api.Transfer{}
}

// parked: alerts reach the webhook, and an operator puts the transfer back.
func (w *world) parked() {
	ctx := w.t.Context()
	lane := "topdown/" + w.net.Dep.Root.Actor.Hex()
	_, _, code := w.run("lane", "pause", lane)
	require.Zero(w.t, code)
	require.Equal(w.t, lane, w.told(alerts.LanePaused, false, 8*time.Second).Key)

	out := w.sendOut(tokens.FLT, w.b.Root.Address, milli(61))
	w.eventually(20*time.Second, "the withdrawal is known", func() bool { return w.transfer(out).ID != common.Hash{} })
	id := w.transfer(out).ID
	w.stopRelayer()
	w.close()
	db, err := store.Open(ctx, store.Options{URL: w.redis.URL(), Namespace: "causeway", Instance: "doomed", LeaseTime: 50 * time.Millisecond})
	require.NoError(w.t, err)
	defer db.Close()
	for deaths := 0; deaths < 6; {
		require.NoError(w.t, db.Wake(ctx, id))
		lease, ok, err := db.Claim(ctx, "doomed", 1)
		require.NoError(w.t, err)
		if !ok {
			continue
		}
		if len(lease.Jobs) == 0 || lease.Jobs[0].Transfer.ID != id {
			require.NoError(w.t, db.Settle(ctx, lease, nil))
			continue
		}
		shared.Pause(ctx, 60*time.Millisecond) // dead
		_, err = db.Reap(ctx)
		require.NoError(w.t, err)
		deaths++
	}
	w.hook.forget()
	w.startRelayer()
	require.Contains(w.t, w.told(alerts.TransferParked, false, 10*time.Second).Summary, "1 transfers are parked")
	var rows []map[string]any
	w.ok(&rows, "queue", "ls", "--status", "parked")
	require.Len(w.t, rows, 1)
	require.Equal(w.t, "poison", rows[0]["reason"])
	var answer map[string]any
	w.ok(&answer, "queue", "retry", id.Hex())
	w.ok(&answer, "lane", "resume", lane)
	w.told(alerts.TransferParked, true, 15*time.Second)
	w.told(alerts.LanePaused, true, 15*time.Second)
	w.all(60 * time.Second)
}

// impatience: the first signal stops in order, the second one now. A Redis that
// does not answer makes the first one slow.
func (w *world) impatience() {
	w.sendIn(tokens.FLT, w.b.Root.Address, milli(71), tokens.Done)
	shared.Pause(w.t.Context(), time.Second)
	redis := w.redisPid()
	defer func() { _ = syscall.Kill(redis, syscall.SIGCONT) }()
	require.NoError(w.t, syscall.Kill(redis, syscall.SIGSTOP))
	shared.Pause(w.t.Context(), 500*time.Millisecond)
	require.NoError(w.t, w.relayer.cmd.Process.Signal(syscall.SIGINT))
	shared.Pause(w.t.Context(), 300*time.Millisecond)
	require.True(w.t, w.relayer.running(), "it waits for Redis")
	began := time.Now()
	require.NoError(w.t, w.relayer.cmd.Process.Signal(syscall.SIGINT))
	require.Equal(w.t, 130, w.relayer.code(w.t, 5*time.Second))
	require.Less(w.t, time.Since(began), time.Second)
	require.NoError(w.t, syscall.Kill(redis, syscall.SIGCONT))
	// The root is away at this start: the relayer waits for it.
	w.root.set(refusing)
	w.launchRelayer()
	w.amber("chain/root", 10*time.Second)
	shared.Pause(w.t.Context(), time.Second)
	require.True(w.t, w.relayer.running())
	w.root.set(open)
	w.green(30 * time.Second)
	w.all(60 * time.Second)
}

// rolledBack: Redis comes back without its last moments while transactions are
// under way, once under a running relayer, once to one that was killed with it
// and knows by its disk alone. Nothing is sent until the journal agrees with the
// chains; nobody has to do anything.
func (w *world) rolledBack() {
	for i, killed := range []bool{false, true} {
		w.all(60 * time.Second)
		w.close()
		w.hook.forget()
		before, err := w.redis.AOFSize()
		require.NoError(w.t, err)
		in := w.sendIn(tokens.USDC, w.b.Root.Address, big.NewInt(71_000_000+int64(i)), tokens.Done)
		w.sendOut(tokens.USDC, w.b.Root.Address, big.NewInt(73+int64(i)))
		w.eventually(60*time.Second, "the deposit is delivered", func() bool { return w.transfer(in).Status == tokens.Done })
		w.close()
		if killed {
			w.relayer.kill()
		}
		w.redis.Kill()
		after, err := w.redis.AOFSize()
		require.NoError(w.t, err)
		require.Greater(w.t, after, before)
		require.NoError(w.t, w.redis.Truncate(after-before))
		require.NoError(w.t, w.redis.Restart())
		if killed {
			w.launchRelayer()
		}

		a := w.told(alerts.RedisForgot, false, 60*time.Second)
		require.Equal(w.t, alerts.Page, a.Severity)
		require.Contains(w.t, a.Summary, "redis is back at epoch")
		w.amber("recovery: redis forgot: nothing is sent until the journal agrees with the chains", 30*time.Second)
		var status relayer.Status
		w.ok(&status, "status")
		require.NotNil(w.t, status.Recovery)
		require.False(w.t, status.Ready)

		w.told(alerts.RedisForgot, true, 120*time.Second)
		w.green(60 * time.Second)
		w.all(120 * time.Second)
		require.Zero(w.t, w.sentBetween("forgot", "recovered"))
	}
	var found []audit.Reconciliation
	w.ok(&found, "reconcile")
	require.Len(w.t, found, 1)
	require.True(w.t, found[0].OK)
	for _, i := range found[0].Audit.Invariants {
		require.Equal(w.t, "0", i.Drift, "%+v", i)
	}
	_, code := attempt(w.t, 60*time.Second, "reconcile", "--resume", "--why", "nothing stands still", "--home", string(w.dir))
	require.Equal(w.t, 1, code)
}

// sentBetween counts the nonces that were reserved between two lines of the
// journal, the last ones of their kinds.
func (w *world) sentBetween(from, to string) (reserved int) {
	rdb := w.redis.Client()
	defer rdb.Close()
	lines, err := rdb.XRange(w.t.Context(), "{causeway}:journal", "-", "+").Result()
	require.NoError(w.t, err)
	begun, ended := false, false
	for _, line := range lines {
		switch kind := line.Values["k"]; {
		case kind == from:
			begun, ended, reserved = true, false, 0
		case kind == to && begun:
			ended = true
		case kind == "tx" && line.Values["to"] == "reserved" && begun && !ended:
			reserved++
		}
	}
	require.True(w.t, begun && ended)
	return reserved
}

// amnesia: FLUSHALL under load. The relayer stops and says what to do; done so,
// everything is as before.
func (w *world) amnesia() {
	ctx := w.t.Context()
	before := w.all(60 * time.Second)
	in := w.sendIn(tokens.USDC, w.b.Root.Address, big.NewInt(81_000_000), tokens.Done)
	w.sendOut(tokens.USDC, w.b.Root.Address, big.NewInt(82))
	w.eventually(20*time.Second, "the deposit is known", func() bool { return w.transfer(in).ID != common.Hash{} })
	w.hook.forget()
	rdb := w.redis.Client()
	defer rdb.Close()
	require.NoError(w.t, rdb.FlushAll(ctx).Err())
	require.Equal(w.t, 1, w.relayer.code(w.t, 20*time.Second))
	require.Contains(w.t, tail(w.relayer.log, 2000), "causeway rescan")
	w.told(alerts.RedisForgot, false, time.Second)

	// It does not start again by itself.
	out, code := attempt(w.t, 20*time.Second, "run", "--home", string(w.dir))
	require.Equal(w.t, 1, code)
	require.Contains(w.t, out, "causeway rescan")

	var scanned []relayer.RescanResult
	w.ok(&scanned, "rescan", "--accept-forgotten")
	require.Len(w.t, scanned, 2)
	// All lanes stand still now, whoever starts. An operator who does not want to
	// wait compares and answers for it.
	_, code = attempt(w.t, 20*time.Second, "reconcile", "--resume", "--home", string(w.dir))
	require.Equal(w.t, 2, code, "a reason is asked for")
	var found []audit.Reconciliation
	w.ok(&found, "reconcile", "--resume", "--why", "the rescan is complete")
	require.Empty(w.t, found[0].Counts)
	w.startRelayer()
	var status relayer.Status
	w.ok(&status, "status")
	require.Nil(w.t, status.Recovery)
	after := w.all(90 * time.Second)
	for id, b := range before {
		a, ok := after[id]
		require.True(w.t, ok, "transfer %s is gone", id)
		// Attempts and their errors are gone; what the chains say is not.
		require.Equal(w.t, [...]any{b.Route, b.Amount.String(), b.Status, b.Reason, b.Ref, b.Nonce, b.Steps}, [...]any{a.Route, a.Amount.String(), a.Status, a.Reason, a.Ref, a.Nonce, a.Steps})
	}
	w.stopRelayer()
	w.startRelayer() // and now without a word
}

func (w *world) redisPid() int {
	w.t.Helper()
	rdb := w.redis.Client()
	defer rdb.Close()
	info, err := rdb.Info(w.t.Context(), "server").Result()
	require.NoError(w.t, err)
	_, rest, ok := strings.Cut(info, "process_id:")
	require.True(w.t, ok)
	pid, err := strconv.Atoi(rest[:strings.IndexByte(rest, '\r')])
	require.NoError(w.t, err)
	return pid
}
