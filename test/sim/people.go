package sim

import (
	"crypto/ecdsa"
	"math/big"
	"time"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// The contracts' codecs, shared since they hold nothing.
var (
	gatewayABI    = bindings.NewGateway()
	insideABI     = bindings.NewSubnetGateway()
	actorABI      = bindings.NewSubnetActor()
	controllerABI = bindings.NewLinkedTokenController()
	payoutsABI    = bindings.NewFastWithdrawals()
	outboxABI     = bindings.NewWithdrawalOutbox()
	replicaABI    = bindings.NewLinkedTokenReplica()
	usdcABI       = bindings.NewDevUsdc()
)

// drawUse draws something that a user does.
func (r *run) drawUse(s *scenario) {
	at := r.between(0, usersTo)
	who, to := r.rng.IntN(users), r.drawRecipient()
	k := key(user(who))
	amount := big.NewInt(1 + r.rng.Int64N(5_000_000))
	wei := new(big.Int).Add(big.NewInt(1e15), big.NewInt(r.rng.Int64N(1e17)))
	name := user(who)
	switch n := r.rng.IntN(20); {
	case n < 5: // and back, once it has arrived
		s.add(at, func(r *run) { r.depositUSDC(k, addressOf(k), amount) }, "%s deposits %s USDC for themselves", name, amount)
		part := new(big.Int).Add(new(big.Int).Div(amount, big.NewInt(3)), big.NewInt(1))
		r.withdrawSoon(s, at+r.between(4*time.Second, 12*time.Second), k, to, part, 6)
	case n < 7:
		s.add(at, func(r *run) { r.depositUSDC(k, to, amount) }, "%s deposits %s USDC", name, amount)
	case n < 9:
		large := new(big.Int).Add(big.NewInt(1e12), amount)
		s.add(at, func(r *run) { r.depositUSDC(k, to, large) }, "%s deposits more USDC than may be minted, %s", name, large)
	case n < 12:
		s.add(at, func(r *run) { r.fund(k, to, wei) }, "%s deposits %s wei of FLT", name, wei)
	case n < 14:
		s.add(at, func(r *run) { r.fund(k, refuser, wei) }, "%s deposits %s wei of FLT for who refuses it", name, wei)
	case n < 17:
		s.add(at, func(r *run) { r.withdraw(k, r.deployment.Root.Flt, to, wei) }, "%s withdraws %s wei of FLT", name, wei)
	case n < 18:
		s.add(at, func(r *run) { r.release(k, to, wei) }, "%s releases %s wei of FLT", name, wei)
	case n < 19:
		s.add(at, func(r *run) {
			r.send(r.root, key("validator"), r.deployment.Root.Actor, actorABI.PackStake(wei), wei)
		}, "the validator adds %s wei to its stake", wei)
	default:
		count := 3 + r.rng.IntN(10)
		s.add(at, func(r *run) {
			for range count {
				r.fund(k, to, wei)
			}
		}, "%s deposits %s wei of FLT %d times at once", name, wei, count)
	}
}

// withdrawSoon withdraws USDC once there is any, and asks some times.
func (r *run) withdrawSoon(s *scenario, at time.Duration, k *ecdsa.PrivateKey, to common.Address, amount *big.Int, tries int) {
	r.promised++
	var try func(r *run)
	try = func(r *run) {
		has := look(r.child, r.child.newest(), r.deployment.Subnet.Replica, replicaABI.PackBalanceOf(addressOf(k)), replicaABI.UnpackBalanceOf)
		if has.Cmp(amount) >= 0 {
			r.promised--
			r.withdraw(k, r.deployment.Root.Usdc, to, amount)
			return
		}
		if tries--; tries == 0 {
			r.promised--
		} else {
			r.at(time.Since(began)+4*time.Second, func() { try(r) })
		}
	}
	s.add(at, try, "%s withdraws %s USDC when there is as much", addressOf(k).Hex()[:10], amount)
}

// send is a transaction of a person; one that cannot be sent was not sent.
func (r *run) send(c *chain, k *ecdsa.PrivateKey, to common.Address, data []byte, value *big.Int) {
	if err := c.do(k, to, data, value, plenty); err != nil {
		r.note("not sent: %v", err)
	}
}

// carry is a transaction of the stranger.
func (r *run) carry(c *chain, to common.Address, data []byte, gas uint64) {
	if err := c.do(key("stranger"), to, data, nil, gas); err != nil {
		r.note("not carried: %v", err)
	}
}

func (r *run) depositUSDC(k *ecdsa.PrivateKey, to common.Address, amount *big.Int) {
	r.send(r.root, k, r.deployment.Root.Controller, controllerABI.PackLinkedTransfer(to, amount), nil)
}

func (r *run) fund(k *ecdsa.PrivateKey, to common.Address, wei *big.Int) {
	id := bindings.SubnetID(r.deployment.Root.Subnet())
	r.send(r.root, k, r.deployment.Root.Gateway, gatewayABI.PackFundWithToken(id, bindings.FvmAddress(ipc.FromEVM(to)), wei), nil)
}

func (r *run) withdraw(k *ecdsa.PrivateKey, token, to common.Address, amount *big.Int) {
	fee := r.deployment.Settings.ExitFee.Int()
	if token == r.deployment.Root.Flt {
		fee.Add(fee, amount)
	}
	r.send(r.child, k, r.deployment.Subnet.Outbox, outboxABI.PackWithdraw(bindings.WithdrawalRequest{
		Token: token, Amount: amount, Recipient: to, FallbackRecipient: addressOf(k), MinOut: new(big.Int),
	}), fee)
}

func (r *run) release(k *ecdsa.PrivateKey, to common.Address, wei *big.Int) {
	fee := r.deployment.Settings.ExitFee.Int()
	r.send(r.child, k, r.deployment.Subnet.Gateway, insideABI.PackRelease(bindings.FvmAddress(ipc.FromEVM(to))), fee.Add(fee, wei))
}

// block blocks an account in USDC, or lets it go.
func (r *run) block(who common.Address, on bool) {
	r.send(r.root, key("deployer"), r.deployment.Root.Usdc, usdcABI.PackSetBlocked(who, on), nil)
}

// steal uses the relayer's key behind its back.
func (r *run) steal(c *chain, ahead uint64) {
	k := key("relayer")
	from := addressOf(k)
	c.mu.Lock()
	defer c.mu.Unlock()
	nonce := c.top().state.GetNonce(from) + ahead
	if old := c.pool[from][nonce]; old != nil {
		delete(c.pool[from], nonce)
		c.pending = nil
	}
	if err := c.doAt(k, nonce, addressOf(key("thief")), nil, big.NewInt(1), 21_000); err != nil {
		r.note("not stolen: %v", err)
		return
	}
	if tx := c.pool[from][nonce]; tx != nil {
		r.stolen[tx.Hash()] = true
	}
}

// forge emits an event that looks like one of ours from a contract that is not:
// about the next nonce or another id.
func (r *run) forge(c *chain, pick int) {
	c.mu.Lock()
	var real []int
	var blocks []*block
	for _, b := range c.blocks[max(0, len(c.blocks)-60):] {
		for i, l := range b.logs {
			if n := len(l.Topics); n >= 2 && n <= 4 && l.Address != echoes[n] {
				real, blocks = append(real, i), append(blocks, b)
			}
		}
	}
	c.mu.Unlock()
	if len(real) == 0 {
		r.note("nothing to forge")
		return
	}
	l := blocks[pick%len(real)].logs[real[pick%len(real)]]
	var data []byte
	for i, t := range l.Topics {
		if i == 1 && pick%3 > 0 {
			t = common.BigToHash(new(big.Int).Add(t.Big(), big.NewInt(1)))
		}
		data = append(data, t[:]...)
	}
	r.send(c, key(user(pick%users)), echoes[len(l.Topics)], append(data, l.Data...), nil)
}

// stranger is another relayer: it carries a prefix of what is due, each way,
// from what the chains themselves say.
func (r *run) stranger(n int, gas uint64) {
	r.strangerDown(n, gas)
	r.strangerUp(n, gas)
}

func (r *run) strangerDown(n int, gas uint64) {
	g := r.deployment.Subnet.Gateway
	top := r.child.newest()
	latest := look(r.child, top, g, insideABI.PackLatestParentFinality(), insideABI.UnpackLatestParentFinality)
	applied := look(r.child, top, g, insideABI.PackAppliedTopDown(), insideABI.UnpackAppliedTopDown)
	if statements := r.validators.after(latest.ParentHeight, 64); len(statements) > 0 && latest.TopDownNonce == applied.Nonce {
		s := statements[len(statements)-1]
		r.carry(r.child, g, insideABI.PackCommitParentFinality(
			bindings.ParentFinality(s.ParentFinality), []common.Address{addressOf(r.validators.key)}, [][]byte{s.signature}), plenty)
		return
	}
	if latest.TopDownNonce == applied.Nonce {
		return
	}
	pair := look(r.child, top, g, insideABI.PackCommittedTopDownAt(applied.Nonce+1), insideABI.UnpackCommittedTopDownAt)
	var msgs []bindings.IpcEnvelope
	var tail [][32]byte
	for _, l := range r.root.logsOf(r.deployment.Root.Gateway, gatewayABI.GetABI().Events["NewTopDownMessage"].ID) {
		ev, err := gatewayABI.UnpackNewTopDownMessageEvent(l)
		if err != nil || ev.Message.LocalNonce < applied.Nonce || ev.Message.LocalNonce >= pair.PairNonce {
			continue
		}
		if len(msgs) < n {
			msgs = append(msgs, ev.Message)
		} else {
			tail = append(tail, crypto.Keccak256Hash(l.Data))
		}
	}
	if len(msgs) > 0 {
		r.note("the stranger delivers %d messages from %d", len(msgs), msgs[0].LocalNonce)
		r.carry(r.child, g, insideABI.PackDeliver(msgs, tail), gas)
	}
}

func (r *run) strangerUp(n int, gas uint64) {
	actor := r.deployment.Root.Actor
	top := r.root.newest()
	last := look(r.root, top, actor, actorABI.PackLastBottomUpCheckpointHeight(), actorABI.UnpackLastBottomUpCheckpointHeight).Uint64()
	pending := look(r.root, top, actor, actorABI.PackListPendingBottomUpBatchCommitments(), actorABI.UnpackListPendingBottomUpBatchCommitments)
	if len(pending) > 0 {
		next := look(r.root, top, r.deployment.Root.Gateway, gatewayABI.PackGetAppliedBottomUpNonce(bindings.SubnetID(r.deployment.Root.Subnet())), gatewayABI.UnpackGetAppliedBottomUpNonce).Arg1
		height := pending[0].Height
		cp := r.validators.at(height)
		if cp == nil {
			return
		}
		var some []bindings.Inclusion
		tree := ipc.BatchTree(cp.msgs)
		for i, m := range cp.msgs {
			if m.LocalNonce < next || len(some) >= n {
				continue
			}
			proof, err := tree.Proof(i)
			if err != nil {
				continue
			}
			some = append(some, bindings.Inclusion{Msg: bindingEnvelope(m), Proof: proof})
		}
		if len(some) > 0 {
			r.note("the stranger executes %d messages of %d", len(some), height)
			r.carry(r.root, actor, actorABI.PackExecBottomUpMsgBatch(new(big.Int).SetUint64(height), some), gas)
		}
	}
	if cp := r.validators.at(last + period); cp != nil {
		r.note("the stranger submits checkpoint %d", last+period)
		r.carry(r.root, actor, actorABI.PackSubmitCheckpoint(bindingCheckpoint(cp.BottomUpCheckpoint),
			[]common.Address{addressOf(r.validators.key)}, [][]byte{cp.signature}), plenty)
	}
}

func bindingEnvelope(m ipc.IpcEnvelope) bindings.IpcEnvelope {
	to := func(a ipc.IPCAddress) bindings.IPCAddress {
		return bindings.IPCAddress{SubnetId: bindings.SubnetID(a.SubnetId), RawAddress: bindings.FvmAddress(a.RawAddress)}
	}
	return bindings.IpcEnvelope{
		Kind: uint8(m.Kind), LocalNonce: m.LocalNonce, OriginalNonce: m.OriginalNonce, Value: m.Value, To: to(m.To), From: to(m.From), Message: m.Message,
	}
}

func bindingCheckpoint(c ipc.BottomUpCheckpoint) bindings.BottomUpCheckpoint {
	out := bindings.BottomUpCheckpoint{
		SubnetID: bindings.SubnetID(c.SubnetID), BlockHeight: c.BlockHeight, BlockHash: c.BlockHash, NextConfigurationNumber: c.NextConfigurationNumber,
		Msgs: bindings.Commitment(c.Msgs),
	}
	out.Activity.Consensus.Stats = bindings.AggregatedStats(c.Activity.Consensus.Stats)
	out.Activity.Consensus.DataRootCommitment = c.Activity.Consensus.DataRootCommitment
	return out
}
