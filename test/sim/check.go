package sim

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/holiman/uint256"
)

// logsOf are a contract's canonical events of one kind, as the chain has them:
// nothing of the relayer reads them.
func (c *chain) logsOf(contract common.Address, topic common.Hash) (out []*types.Log) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.blocks {
		for _, l := range b.logs {
			if l.Address == contract && l.Topics[0] == topic {
				out = append(out, l)
			}
		}
	}
	return out
}

// events decodes them with the generated bindings.
func events[T any](c *chain, contract common.Address, topic common.Hash, unpack func(*types.Log) (*T, error)) (out []*T) {
	for _, l := range c.logsOf(contract, topic) {
		e, err := unpack(l)
		if err != nil {
			panic("sim: an event does not decode: " + err.Error())
		}
		out = append(out, e)
	}
	return out
}

// wanted is what must have become of a transfer, by what the chains say.
type wanted struct {
	what   string
	status tokens.Status // "" while it is under way
}

// verdicts read both chains' events and say what must be in the journal.
func (r *run) verdicts() map[common.Hash]wanted {
	d, out := r.deployment, map[common.Hash]wanted{}
	put := func(flowName string, chain chains.ID, contract common.Address, nonce uint64, status tokens.Status) {
		id := flow.TransferID(flowName, chain, contract, d.Root.Actor, nonce)
		if _, twice := out[id]; twice {
			r.watch.violate("I2: %s %d began twice", flowName, nonce)
		}
		out[id] = wanted{fmt.Sprintf("%s %d", flowName, nonce), status}
	}
	root, child := r.root, r.child
	inside, gateway, actor := insideABI.GetABI().Events, gatewayABI.GetABI().Events, actorABI.GetABI().Events
	controller, payouts, outbox := controllerABI.GetABI().Events, payoutsABI.GetABI().Events, outboxABI.GetABI().Events

	// Down.
	applied := map[uint64]uint8{}
	for _, e := range events(child, d.Subnet.Gateway, inside["TopDownMessageApplied"].ID, insideABI.UnpackTopDownMessageAppliedEvent) {
		if _, twice := applied[e.Nonce]; twice {
			r.watch.violate("I2: message %d was applied twice", e.Nonce)
		}
		applied[e.Nonce] = e.Outcome
	}
	results := map[[32]byte]tokens.Status{}
	for _, e := range events(root, d.Root.Gateway, gateway["ResultApplied"].ID, gatewayABI.UnpackResultAppliedEvent) {
		results[e.Id] = tokens.Refunded
		if e.Disposition != 0 {
			results[e.Id] = tokens.Credited
		}
	}
	refunds := map[[32]byte]tokens.Status{}
	for _, e := range events(root, d.Root.Controller, controller["DepositRefunded"].ID, controllerABI.UnpackDepositRefundedEvent) {
		if _, twice := refunds[e.Id]; twice {
			r.watch.violate("I2: deposit %x was refunded twice", e.Id)
		}
		refunds[e.Id] = tokens.Credited
		if e.Paid {
			refunds[e.Id] = tokens.Refunded
		}
	}
	deposit := func(nonce uint64, back tokens.Status) tokens.Status {
		outcome, done := applied[nonce]
		switch {
		case !done:
			return ""
		case outcome == ipc.OutcomeOk:
			return tokens.Done
		}
		return back
	}
	for _, e := range events(root, d.Root.Gateway, gateway["NewTopDownMessage"].ID, gatewayABI.UnpackNewTopDownMessageEvent) {
		nonce := e.Message.LocalNonce
		carried := tokens.Done
		if _, done := applied[nonce]; !done {
			carried = ""
		}
		put("topdown", d.Root.ChainID, d.Root.Gateway, nonce, carried)
		if e.Message.Kind == uint8(ipc.KindTransfer) {
			put("flt_deposit", d.Root.ChainID, d.Root.Gateway, nonce, deposit(nonce, results[e.Id]))
		}
	}
	for _, e := range events(root, d.Root.Controller, controller["LinkedTokensSent"].ID, controllerABI.UnpackLinkedTokensSentEvent) {
		put("usdc_deposit", d.Root.ChainID, d.Root.Controller, e.Nonce, deposit(e.Nonce, refunds[e.Id]))
	}
	stored := look(child, child.newest(), d.Subnet.Gateway, insideABI.PackStoredConfigurationNumber(), insideABI.UnpackStoredConfigurationNumber)
	for _, e := range events(root, d.Root.Actor, actor["NewPowerChangeRequest"].ID, actorABI.UnpackNewPowerChangeRequestEvent) {
		status := tokens.Status("")
		if e.ConfigurationNumber <= stored {
			status = tokens.Done
		}
		put("power", d.Root.ChainID, d.Root.Actor, e.ConfigurationNumber-1, status)
	}

	// Up.
	settled := map[[32]byte]tokens.Status{}
	ends := func(id [32]byte, status tokens.Status) {
		if _, twice := settled[id]; twice {
			r.watch.violate("I2: withdrawal %x was settled twice", id)
		}
		settled[id] = status
	}
	for _, e := range events(root, d.Root.FastWithdrawals, payouts["WithdrawalSettled"].ID, payoutsABI.UnpackWithdrawalSettledEvent) {
		status := tokens.Credited
		if e.Paid {
			status = tokens.Done
		}
		ends(e.Id, status)
	}
	for _, e := range events(root, d.Root.FastWithdrawals, payouts["WithdrawalQuarantined"].ID, payoutsABI.UnpackWithdrawalQuarantinedEvent) {
		ends(e.Id, tokens.Credited)
	}
	for _, e := range events(child, d.Subnet.Outbox, outbox["WithdrawalSent"].ID, outboxABI.UnpackWithdrawalSentEvent) {
		name := "usdc_withdraw"
		if e.Withdrawal.Token == d.Root.Flt {
			name = "flt_withdraw"
		}
		put(name, d.Subnet.ChainID, d.Subnet.Outbox, e.Withdrawal.Nonce, settled[e.Id])
	}

	// Checkpoints, in order (I7).
	last := uint64(0)
	executed := map[uint64]bool{}
	for _, e := range events(root, d.Root.Actor, actor["CheckpointAccepted"].ID, actorABI.UnpackCheckpointAcceptedEvent) {
		if e.Height.Uint64() != last+period {
			r.watch.violate("I7: checkpoint %s was accepted after %d", e.Height, last)
		}
		last = e.Height.Uint64()
		executed[last] = e.TotalNumMsgs == 0
	}
	for _, e := range events(root, d.Root.Actor, actor["BatchExecuted"].ID, actorABI.UnpackBatchExecutedEvent) {
		executed[e.Height.Uint64()] = executed[e.Height.Uint64()] || e.ExecutedMsgs == e.TotalNumMsgs
	}
	for h := uint64(period); h <= child.newestFinal().number; h += period {
		status := tokens.Status("")
		if executed[h] {
			status = tokens.Done
		}
		put("checkpoint", d.Subnet.ChainID, d.Subnet.Gateway, h, status)
	}
	return out
}

// settled says whether what users did has come to its end: on both chains, in
// final blocks, and in the journal.
func (r *run) settled() bool { return r.underWay() == "" && r.unsettled() == "" }

// underWay is what the chains' counters say is not through.
func (r *run) underWay() string {
	if r.promised > 0 || r.root.waiting() || r.child.waiting() {
		return "users are not done"
	}
	var open []string
	d := r.deployment
	id := bindings.SubnetID(d.Root.Subnet())
	gw, in := d.Root.Gateway, d.Subnet.Gateway
	top, final, child := r.root.newest(), r.root.newestFinal(), r.child.newestFinal()
	down := look(r.root, top, gw, gatewayABI.PackGetTopDownNonce(id), gatewayABI.UnpackGetTopDownNonce).Arg1
	if n := look(r.child, child, in, insideABI.PackAppliedTopDownNonce(), insideABI.UnpackAppliedTopDownNonce); n != down {
		open = append(open, fmt.Sprintf("%d of %d messages are applied in the subnet", n, down))
	}
	up := look(r.child, child, in, insideABI.PackBottomUpNonce(), insideABI.UnpackBottomUpNonce)
	if n := look(r.root, final, gw, gatewayABI.PackGetAppliedBottomUpNonce(id), gatewayABI.UnpackGetAppliedBottomUpNonce).Arg1; n != up {
		open = append(open, fmt.Sprintf("%d of %d messages are applied on the root", n, up))
	}
	power := look(r.root, top, gw, gatewayABI.PackGetPowerChangeHash(id), gatewayABI.UnpackGetPowerChangeHash).Number
	if n := look(r.child, child, in, insideABI.PackAppliedConfigurationNumber(), insideABI.UnpackAppliedConfigurationNumber); n != power {
		open = append(open, fmt.Sprintf("configuration %d of %d is applied", n, power))
	}
	return strings.Join(open, "; ")
}

// unsettled is which transfers the journal or the chains have not brought to
// their end.
func (r *run) unsettled() string {
	var open []string
	keptUp := r.child.newestFinal().number
	for tid, w := range r.verdicts() {
		if r.comesAndGoes(w, keptUp) {
			continue
		}
		j, ok := r.journaled(tid)
		if !ok || j.Status != w.status || w.status == "" {
			open = append(open, fmt.Sprintf("%s is %q (%s, %s) in the journal and %q on the chains", w.what, j.Status, j.Step, j.Err, w.status))
		}
	}
	slices.Sort(open)
	return strings.Join(open, "; ")
}

// waiting says whether anybody but relayers waits for a transaction that can be
// mined. One behind a lost one is given up.
func (c *chain) waiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for who, queue := range c.pool {
		if who != relayerAt && who != addressOf(key("stranger")) && queue[c.top().state.GetNonce(who)] != nil {
			return true
		}
	}
	return false
}

// lanes describes those that have jobs.
func (r *run) lanes() string {
	r.redis.mu.Lock()
	defer r.redis.mu.Unlock()
	all, _ := r.redis.model.Lanes(context.Background())
	var out []string
	for _, l := range all {
		out = append(out, fmt.Sprintf("%s: %d from %d, leased %q, %q", l.Name, l.Depth, l.HeadSeq, l.Leased, l.LastErr))
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func (r *run) journaled(id common.Hash) (store.Job, bool) {
	r.redis.mu.Lock()
	defer r.redis.mu.Unlock()
	j, ok, _ := r.redis.model.Get(context.Background(), id)
	return j, ok
}

// retryParked is an operator who retries what was parked.
func (r *run) retryParked() {
	r.redis.mu.Lock()
	defer r.redis.mu.Unlock()
	ctx := context.Background()
	jobs, _, _ := r.redis.model.List(ctx, store.Filter{Status: tokens.Parked, Hidden: true, Limit: 500})
	for _, j := range jobs {
		r.note("the operator retries %s: %s, %s", j.Transfer, j.Reason, j.Err)
		_ = r.redis.model.Retry(ctx, j.Transfer.ID, "operator")
	}
}

// resume is an operator who answers for a journal that cannot agree with the
// chains: a thief has used our key. Every other recovery ends by itself.
func (r *run) resume() {
	r.redis.mu.Lock()
	defer r.redis.mu.Unlock()
	lost, on, _ := r.redis.model.Recovering(context.Background())
	if on && len(r.stolen) > 0 {
		_ = r.watch.recovered(r.redis.model, lost, "operator", "nonces of ours were stolen")
	}
}

// check compares everything once all is settled and everybody has stopped.
func (r *run) check() {
	r.checkJobs()
	r.checkTransactions()
	r.checkMoney()
	r.checkStarved()
	if r.seed%4 == 0 {
		r.checkAudit()
	}
}

// comesAndGoes says whether a transfer is a checkpoint so new that it is under
// way, as there always are some.
func (r *run) comesAndGoes(w wanted, newest uint64) bool {
	var height uint64
	n, _ := fmt.Sscanf(w.what, "checkpoint %d", &height)
	return n == 1 && height+4*period > newest
}

// checkJobs: I4, I5: the journal holds exactly the transfers that the chains
// tell of, each in its right end.
func (r *run) checkJobs() {
	want := r.verdicts()
	// Nothing that was settled before the last moments opens again.
	recent := r.child.newestFinal().number - uint64(lastMoments/childEvery)
	for id, w := range want {
		j, ok := r.journaled(id)
		if r.comesAndGoes(w, recent) {
			continue
		}
		switch {
		case !ok:
			r.watch.violate("I4: %s is not in the journal", w.what)
		case w.status == "" || j.Status != w.status:
			r.watch.violate("I5: %s is %q (%s, %s) in the journal and %q on the chains", w.what, j.Status, j.Step, j.Err, w.status)
		}
	}
	r.redis.mu.Lock()
	defer r.redis.mu.Unlock()
	f := store.Filter{Hidden: true, Limit: 500}
	for {
		jobs, next, _ := r.redis.model.List(context.Background(), f)
		for _, j := range jobs {
			if _, ok := want[j.Transfer.ID]; !ok {
				r.watch.violate("I4: %s is in the journal and began on no chain", j.Transfer)
			}
		}
		if next == "" {
			return
		}
		f.Cursor = next
	}
}

// checkTransactions: I6, I8: every transaction of our key is one of ours.
func (r *run) checkTransactions() {
	ours := relayerAt
	for _, c := range []*chain{r.root, r.child} {
		next, seen := uint64(0), false
		for _, b := range c.blocks {
			for i, tx := range b.txs {
				if c.sender(tx) != ours || b.time < uint64(began.Unix()) {
					continue
				}
				if seen && tx.Nonce() != next {
					r.watch.violate("I6: nonce %d after %d on %s", tx.Nonce(), next, c.name)
				}
				next, seen = tx.Nonce()+1, true
				if !r.watch.knows(tx.Hash()) && !r.stolen[tx.Hash()] {
					r.watch.violate("I8: transaction %s of our key on %s is in no journal", tx.Hash(), c.name)
				}
				if b.receipts[i].Status == types.ReceiptStatusFailed {
					r.checkRevert(c, b, tx)
				}
			}
		}
	}
}

// checkRevert: two honest relayers do not spoil each other (PROTOCOL 12). A
// transaction that begins with messages which somebody else has carried, and
// goes on with new ones, goes through.
func (r *run) checkRevert(c *chain, b *block, tx *types.Transaction) {
	first, last, ok := carried(tx.Data())
	if !ok {
		return
	}
	before := c.blocks[b.number-1]
	id := bindings.SubnetID(r.deployment.Root.Subnet())
	var next uint64
	if c == r.child {
		next = look(c, before, r.deployment.Subnet.Gateway, insideABI.PackAppliedTopDownNonce(), insideABI.UnpackAppliedTopDownNonce)
	} else {
		next = look(c, before, r.deployment.Root.Gateway, gatewayABI.PackGetAppliedBottomUpNonce(id), gatewayABI.UnpackGetAppliedBottomUpNonce).Arg1
	}
	if first >= next || last < next {
		return
	}
	// Alone, and with all the gas of a block: what else the block held is not
	// the question.
	c.mu.Lock()
	res, err := c.run(before.state, b.number, b.time, message{from: relayerAt, to: *tx.To(), data: tx.Data(), value: new(uint256.Int)}, blockGas)
	c.mu.Unlock()
	if err == nil && res.Failed() {
		name, _ := ipc.ClassifyRevert(res.Revert())
		r.watch.violate("PROTOCOL 12: a transaction with messages %d to %d reverts at %d: %s", first, last, next, name)
	}
}

// carried reads which messages a transaction of ours carries.
func carried(data []byte) (first, last uint64, ok bool) {
	deliver, execute := insideABI.GetABI().Methods["deliver"], actorABI.GetABI().Methods["execBottomUpMsgBatch"]
	var nonces []uint64
	switch {
	case len(data) < 4:
	case slices.Equal(data[:4], deliver.ID):
		var in struct {
			Messages   []bindings.IpcEnvelope
			TailHashes [][32]byte
		}
		if unpackInto(deliver, data, &in) == nil {
			for _, m := range in.Messages {
				nonces = append(nonces, m.LocalNonce)
			}
		}
	case slices.Equal(data[:4], execute.ID):
		var in struct {
			CheckpointHeight *big.Int
			Inclusions       []bindings.Inclusion
		}
		if unpackInto(execute, data, &in) == nil {
			for _, m := range in.Inclusions {
				nonces = append(nonces, m.Msg.LocalNonce)
			}
		}
	}
	if len(nonces) == 0 {
		return 0, 0, false
	}
	return nonces[0], nonces[len(nonces)-1], true
}

func unpackInto(m abi.Method, data []byte, v any) error {
	values, err := m.Inputs.Unpack(data[4:])
	if err != nil {
		return err
	}
	return m.Inputs.Copy(v, values)
}

func sum(ns ...*big.Int) *big.Int {
	out := new(big.Int)
	for _, n := range ns {
		out.Add(out, n)
	}
	return out
}

func neg(n *big.Int) *big.Int { return new(big.Int).Neg(n) }

// checkMoney: I1, to the unit, from the contracts' counters and balances with
// nothing in flight.
func (r *run) checkMoney() {
	d := r.deployment
	root, child := r.root.newest(), r.child.newest()
	id := bindings.SubnetID(d.Root.Subnet())
	equal := func(what string, a, b *big.Int) {
		if a.Cmp(b) != 0 {
			r.watch.violate("I1: %s: %s and %s", what, a, b)
		}
	}
	balance := func(token, of common.Address) *big.Int {
		return look(r.root, root, token, replicaABI.PackBalanceOf(of), replicaABI.UnpackBalanceOf)
	}

	// USDC: what is locked on the root exists in the subnet or is kept by the
	// outbox, and the escrow holds what it owes.
	c := look(r.root, root, d.Root.Controller, controllerABI.PackGetCounters(), controllerABI.UnpackGetCounters)
	supply := look(r.child, child, d.Subnet.Replica, replicaABI.PackTotalSupply(), replicaABI.UnpackTotalSupply)
	held := new(big.Int)
	for _, e := range events(r.child, d.Subnet.Outbox, outboxABI.GetABI().Events["WithdrawalSent"].ID, outboxABI.UnpackWithdrawalSentEvent) {
		const returned = 1
		if e.Withdrawal.Token == d.Root.Usdc && look(r.child, child, d.Subnet.Outbox, outboxABI.PackStateOf(e.Id), outboxABI.UnpackStateOf) == returned {
			held.Add(held, e.Withdrawal.Gross)
		}
	}
	locked := sum(c.Locked, neg(c.Refunded), neg(c.Reserved))
	equal("USDC locked on the root and existing in the subnet", locked, sum(supply, held))
	equal("USDC in escrow and owed", balance(d.Root.Usdc, d.Root.Controller), sum(locked, c.Refunded, neg(c.RefundsPaid), c.Reserved, neg(c.ReservesPaid)))

	// FLT: the two gateways agree on what circulates, and the root's holds it.
	g := look(r.root, root, d.Root.Gateway, gatewayABI.PackGetCounters(id), gatewayABI.UnpackGetCounters)
	circulating := sum(g.PreFunded, g.Locked, g.Relocked, g.Covered, neg(g.Unlocked))
	equal("FLT circulating by the root and by the subnet", circulating, look(r.child, child, d.Subnet.Gateway, insideABI.PackCircSupply(), insideABI.UnpackCircSupply))
	equal("FLT held by the root gateway and owed", balance(d.Root.Flt, d.Root.Gateway), sum(circulating, g.Credited, neg(g.CreditsPaid)))
	in := look(r.child, child, d.Subnet.Gateway, insideABI.PackGetCounters(), insideABI.UnpackGetCounters)
	equal("FLT released in the subnet and circulating", sum(in.PreFunded, in.Released, neg(in.Returned)), circulating)
	treasury := sum(d.Settings.Treasury.Int(), neg(in.Released), in.Returned, in.FeesIn, neg(in.FeesOut), in.Credited, neg(in.CreditsPaid))
	r.child.mu.Lock()
	has := child.state.GetBalance(d.Subnet.Gateway).ToBig()
	r.child.mu.Unlock()
	equal("FLT of the subnet's gateway and its counters", has, treasury)

	r.checkRecipients(balance)
}

// checkRecipients: I2: everybody got exactly what was sent to them, and once.
func (r *run) checkRecipients(balance func(token, of common.Address) *big.Int) {
	d := r.deployment
	payouts, outbox := payoutsABI.GetABI().Events, outboxABI.GetABI().Events
	got := map[common.Address]map[common.Address]*big.Int{d.Root.Usdc: {}, d.Root.Flt: {}}
	for _, e := range events(r.root, d.Root.FastWithdrawals, payouts["WithdrawalSettled"].ID, payoutsABI.UnpackWithdrawalSettledEvent) {
		if e.Paid {
			got[e.Token][e.Claimant] = sum(orNil(got[e.Token][e.Claimant]), e.Amount)
		}
	}
	// A plain release pays its recipient without FastWithdrawals.
	released := map[uint64]bool{}
	for _, e := range events(r.root, d.Root.Gateway, gatewayABI.GetABI().Events["BottomUpMessageApplied"].ID, gatewayABI.UnpackBottomUpMessageAppliedEvent) {
		released[e.Nonce] = e.Outcome == 0
	}
	for _, e := range events(r.child, d.Subnet.Gateway, insideABI.GetABI().Events["BottomUpMessage"].ID, insideABI.UnpackBottomUpMessageEvent) {
		if e.Message.Kind == uint8(ipc.KindTransfer) && released[e.Nonce] {
			to, err := ipc.FvmAddress(e.Message.To.RawAddress).EVM()
			if err == nil {
				got[d.Root.Flt][to] = sum(orNil(got[d.Root.Flt][to]), e.Message.Value)
			}
		}
	}
	for i := range 3 {
		who := addressOf(key(fmt.Sprintf("sink%d", i)))
		for token, name := range map[common.Address]string{d.Root.Usdc: "USDC", d.Root.Flt: "FLT"} {
			if have, want := balance(token, who), orNil(got[token][who]); have.Cmp(want) != 0 {
				r.watch.violate("I2: %s has %s %s, %s were sent", who, have, name, want)
			}
		}
	}
	// Nobody's withdrawal differs from what they signed.
	sent := map[[32]byte]bindings.Withdrawal{}
	for _, e := range events(r.child, d.Subnet.Outbox, outbox["WithdrawalSent"].ID, outboxABI.UnpackWithdrawalSentEvent) {
		sent[e.Id] = e.Withdrawal
	}
	for _, e := range events(r.root, d.Root.FastWithdrawals, payouts["WithdrawalSettled"].ID, payoutsABI.UnpackWithdrawalSettledEvent) {
		if w, ok := sent[e.Id]; !ok || w.Recipient != e.Claimant || w.Token != e.Token || w.Gross.Cmp(e.Amount) != 0 {
			r.watch.violate("I2: withdrawal %x was settled as %s of %s to %s, sent as %+v", e.Id, e.Amount, e.Token, e.Claimant, w)
		}
	}
}

func orNil(n *big.Int) *big.Int {
	if n == nil {
		return new(big.Int)
	}
	return n
}
