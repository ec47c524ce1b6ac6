package wallet

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// Recovery is ipc.Recovery in JSON.
type Recovery struct {
	Number           uint64      `json:"number"`
	TopDownNonce     uint64      `json:"top_down_nonce"`
	TopDownHash      common.Hash `json:"top_down_hash"`
	PowerChangeNonce uint64      `json:"power_change_nonce"`
	PowerChangeHash  common.Hash `json:"power_change_hash"`
}

func (r Recovery) String() string {
	return fmt.Sprintf("recovery %d, to go on after %d messages (%s) and %d power changes (%s)",
		r.Number, r.TopDownNonce, r.TopDownHash, r.PowerChangeNonce, r.PowerChangeHash)
}

func (r Recovery) wire() ipc.Recovery {
	return ipc.Recovery{
		Number: r.Number, TopDownNonce: r.TopDownNonce, TopDownHash: r.TopDownHash,
		PowerChangeNonce: r.PowerChangeNonce, PowerChangeHash: r.PowerChangeHash,
	}
}

func recoveryOf(r bindings.Recovery) *Recovery {
	if r.Number == 0 {
		return nil
	}
	return &Recovery{r.Number, r.TopDownNonce, r.TopDownHash, r.PowerChangeNonce, r.PowerChangeHash}
}

// RecoveryState is where a subnet's recoveries stand on either side.
type RecoveryState struct {
	Last          uint64    `json:"last"` // highest number ever proposed
	Pending       *Recovery `json:"pending"`
	ReadyAt       time.Time `json:"ready_at"` // of Pending
	Executed      *Recovery `json:"executed"`
	ExecutedBlock uint64    `json:"executed_block"`
	Committed     uint64    `json:"committed"` // newest number in the subnet
	Applied       uint64    `json:"applied"`   // messages applied in the subnet
}

func (b *Bridge) subnetID() bindings.SubnetID {
	id := b.Dep.Root.Subnet()
	return bindings.SubnetID{Root: id.Root, Route: id.Route}
}

// Recoveries reads both sides.
func (b *Bridge) Recoveries(ctx context.Context) (RecoveryState, error) {
	var s RecoveryState
	raw, err := b.call(ctx, b.Root, b.Dep.Root.Gateway, gatewayABI.PackGetRecoveries(b.subnetID()))
	if err != nil {
		return s, fmt.Errorf("read recoveries: %w", err)
	}
	r, err := gatewayABI.UnpackGetRecoveries(raw)
	if err != nil {
		return s, fmt.Errorf("unpack recoveries: %w", err)
	}
	s.Last, s.Pending, s.Executed, s.ExecutedBlock = r.Last, recoveryOf(r.Pending), recoveryOf(r.Executed), r.ExecutedBlock
	if s.Pending != nil {
		s.ReadyAt = time.Unix(int64(r.ReadyAt), 0)
	}
	if raw, err = b.call(ctx, b.Subnet, b.Dep.Subnet.Gateway, subnetABI.PackParentRecovery()); err != nil {
		return s, fmt.Errorf("read the subnet's recovery: %w", err)
	}
	if s.Committed, err = subnetABI.UnpackParentRecovery(raw); err != nil {
		return s, fmt.Errorf("unpack the subnet's recovery: %w", err)
	}
	applied, err := b.applied(ctx)
	s.Applied = applied.Nonce
	return s, err
}

func (b *Bridge) applied(ctx context.Context) (bindings.SubnetGatewayAppliedTopDownOutput, error) {
	raw, err := b.call(ctx, b.Subnet, b.Dep.Subnet.Gateway, subnetABI.PackAppliedTopDown())
	if err != nil {
		return bindings.SubnetGatewayAppliedTopDownOutput{}, fmt.Errorf("read what is applied: %w", err)
	}
	return subnetABI.UnpackAppliedTopDown(raw)
}

// RecoveryDigest is what a validator signs to propose a recovery, or to take it
// back.
func (b *Bridge) RecoveryDigest(r Recovery, withdraw bool) common.Hash {
	d := ipc.Domain{ChainID: uint64(b.Dep.Root.ChainID), VerifyingContract: b.Dep.Root.Gateway, Salt: b.Dep.Bootstrap.Salt}
	if withdraw {
		return r.wire().WithdrawalDigest(d)
	}
	return r.wire().Digest(d)
}

// ProposeRecovery sends it, signed in ascending order.
func (b *Bridge) ProposeRecovery(ctx context.Context, r Recovery, who []common.Address, signatures [][]byte) (common.Hash, error) {
	return b.Root.Send(ctx, b.Dep.Root.Gateway, gatewayABI.PackProposeRecovery(b.subnetID(), bindings.Recovery(r.wire()), who, signatures), nil)
}

// WithdrawRecovery takes the one that waits back.
func (b *Bridge) WithdrawRecovery(ctx context.Context, number uint64, who []common.Address, signatures [][]byte) (common.Hash, error) {
	return b.Root.Send(ctx, b.Dep.Root.Gateway, gatewayABI.PackWithdrawRecovery(b.subnetID(), number, who, signatures), nil)
}

// ExecuteRecovery executes the one that waits.
func (b *Bridge) ExecuteRecovery(ctx context.Context, number uint64) (common.Hash, error) {
	return b.Root.Send(ctx, b.Dep.Root.Gateway, gatewayABI.PackExecuteRecovery(b.subnetID(), number), nil)
}

// Cover locks FLT for the subnet without a message.
func (b *Bridge) Cover(ctx context.Context, amount *big.Int) (common.Hash, error) {
	if err := b.enough(ctx, tokens.FLT, amount); err != nil {
		return common.Hash{}, err
	}
	if err := b.Approve(ctx, tokens.FLT, amount); err != nil {
		return common.Hash{}, err
	}
	return b.Root.Send(ctx, b.Dep.Root.Gateway, gatewayABI.PackCover(b.subnetID(), amount), nil)
}

// ErrUnmendable says that the subnet holds power changes that its root does not
// have: it cannot go on in place.
var ErrUnmendable = errors.New("the subnet holds power changes that the root has not: have the same ones requested again, in the same order")

// CommonPrefix is the next recovery to propose: as much of both queues as the
// subnet has committed and its root has.
func (b *Bridge) CommonPrefix(ctx context.Context) (Recovery, error) {
	s, err := b.Recoveries(ctx)
	if err != nil {
		return Recovery{}, err
	}
	r := Recovery{Number: s.Last + 1}
	if r.PowerChangeNonce, r.PowerChangeHash, err = b.heldPower(ctx); err != nil {
		return r, err
	}
	down, err := b.sentDown(ctx)
	if err != nil {
		return r, err
	}
	rolled := down.rolled
	applied, err := b.applied(ctx)
	if err != nil {
		return r, err
	}
	at := applied.Nonce
	if at < uint64(len(rolled)) && rolled[at] == applied.Hash {
		// Everything applied is the root's; of what is committed beyond, as much as
		// is.
		at, err = b.committedBeyond(ctx, at, rolled)
	} else {
		at, err = b.firstForeign(ctx, applied.Nonce, down.ids)
	}
	r.TopDownNonce, r.TopDownHash = at, rolled[at]
	return r, err
}

// heldPower is the power changes that the subnet holds, if the root has them.
func (b *Bridge) heldPower(ctx context.Context) (uint64, common.Hash, error) {
	raw, err := b.call(ctx, b.Subnet, b.Dep.Subnet.Gateway, subnetABI.PackAppliedPowerChanges())
	if err != nil {
		return 0, common.Hash{}, fmt.Errorf("read power changes: %w", err)
	}
	held, err := subnetABI.UnpackAppliedPowerChanges(raw)
	if err != nil {
		return 0, common.Hash{}, fmt.Errorf("unpack power changes: %w", err)
	}
	if raw, err = b.call(ctx, b.Root, b.Dep.Root.Gateway, gatewayABI.PackGetPowerChangeHash(b.subnetID())); err != nil {
		return 0, common.Hash{}, fmt.Errorf("read the root's power changes: %w", err)
	}
	own, err := gatewayABI.UnpackGetPowerChangeHash(raw)
	if err != nil {
		return 0, common.Hash{}, fmt.Errorf("unpack the root's power changes: %w", err)
	}
	if held.Number > own.Number || held.Number == own.Number && held.Hash != own.Hash {
		return 0, common.Hash{}, ErrUnmendable
	}
	return held.Number, held.Hash, nil
}

// committedBeyond goes through the pairs that the subnet has committed and not
// applied, as far as they are the root's.
func (b *Bridge) committedBeyond(ctx context.Context, at uint64, rolled []common.Hash) (uint64, error) {
	for {
		raw, err := b.call(ctx, b.Subnet, b.Dep.Subnet.Gateway, subnetABI.PackCommittedTopDownAt(at+1))
		if err != nil {
			return at, fmt.Errorf("read what is committed: %w", err)
		}
		pair, err := subnetABI.UnpackCommittedTopDownAt(raw)
		if err != nil {
			return at, fmt.Errorf("unpack what is committed: %w", err)
		}
		if pair.PairNonce == 0 || pair.PairNonce >= uint64(len(rolled)) || rolled[pair.PairNonce] != pair.Hash {
			return at, nil
		}
		at = pair.PairNonce
	}
}

// logPage bounds one question for logs, in blocks.
const logPage = 2000

func (b *Bridge) logs(ctx context.Context, a *Account, q ethereum.FilterQuery, from uint64, take func(types.Log)) error {
	top, err := a.client.BlockNumber(ctx)
	if err != nil {
		return a.refused(err)
	}
	for ; from <= top; from += logPage {
		q.FromBlock, q.ToBlock = new(big.Int).SetUint64(from), new(big.Int).SetUint64(min(from+logPage-1, top))
		found, err := a.client.FilterLogs(ctx, q)
		if err != nil {
			return a.refused(err)
		}
		for _, l := range found {
			take(l)
		}
	}
	return nil
}

// queue is the root's messages: ids and bodies by nonce, and the rolling hash
// before each and behind the last.
type queue struct {
	rolled, ids []common.Hash
	bodies      []ipc.IpcEnvelope
}

// sentDown reads the root's queue, and checks it against what the gateway keeps.
func (b *Bridge) sentDown(ctx context.Context) (queue, error) {
	out := queue{rolled: []common.Hash{b.Dep.Bootstrap.Salt}}
	q := ethereum.FilterQuery{
		Addresses: []common.Address{b.Dep.Root.Gateway},
		Topics:    [][]common.Hash{{ipc.TopicNewTopDownMessage}, {common.BytesToHash(b.Dep.Root.Actor[:])}},
	}
	var broken error
	err := b.logs(ctx, b.Root, q, b.Dep.Root.StartBlock, func(l types.Log) {
		m, err := ipc.DecodeEnvelope(l.Data)
		n := len(out.ids)
		if err != nil || len(l.Topics) != 3 || m.LocalNonce != uint64(n) {
			broken = errors.Join(fmt.Errorf("the root's messages are not complete at %d", n), err)
			return
		}
		out.rolled, out.ids, out.bodies = append(out.rolled, ipc.Roll(out.rolled[n], m.Hash())), append(out.ids, l.Topics[2]), append(out.bodies, m)
	})
	if err = errors.Join(err, broken); err != nil {
		return queue{}, fmt.Errorf("read the root's messages: %w", err)
	}
	raw, err := b.call(ctx, b.Root, b.Dep.Root.Gateway, gatewayABI.PackGetTopDownHash(b.subnetID()))
	if err != nil {
		return queue{}, fmt.Errorf("read the root's hash: %w", err)
	}
	own, err := gatewayABI.UnpackGetTopDownHash(raw)
	if err != nil {
		return queue{}, fmt.Errorf("unpack the root's hash: %w", err)
	}
	if own.Nonce >= uint64(len(out.rolled)) || out.rolled[own.Nonce] != own.Hash {
		return queue{}, fmt.Errorf("the root's messages do not hash to what its gateway keeps at %d: ask another endpoint", own.Nonce)
	}
	return out, nil
}

// firstForeign is the first message that the subnet applied and its root has
// not sent.
func (b *Bridge) firstForeign(ctx context.Context, applied uint64, ids []common.Hash) (uint64, error) {
	spec := subnetABI.GetABI()
	q := ethereum.FilterQuery{
		Addresses: []common.Address{b.Dep.Subnet.Gateway},
		Topics:    [][]common.Hash{{spec.Events["TopDownMessageApplied"].ID}},
	}
	// After an earlier recovery a nonce was applied again: the later one counts.
	by := map[uint64]common.Hash{}
	err := b.logs(ctx, b.Subnet, q, 1, func(l types.Log) {
		if len(l.Topics) == 3 {
			by[l.Topics[1].Big().Uint64()] = l.Topics[2]
		}
	})
	if err != nil {
		return 0, fmt.Errorf("read what the subnet applied: %w", err)
	}
	for n := range min(applied, uint64(len(ids))) {
		if by[n] != ids[n] {
			return n, nil
		}
	}
	return min(applied, uint64(len(ids))), nil
}

// deliverAtOnce is how many messages one transaction of Deliver brings.
const deliverAtOnce = 10

// SentDown is how many messages the root has sent.
func (b *Bridge) SentDown(ctx context.Context) (uint64, error) {
	down, err := b.sentDown(ctx)
	return uint64(len(down.ids)), err
}

// Deliver brings what the root has sent and the subnet has not applied, one
// transaction's worth; it says how many are applied then. The journal of a
// relayer knows a message by its nonce: what a recovery makes the root send anew
// under nonces that were applied before, nobody's lane carries. It fails with
// ErrNothingCommitted until the validators have attested the next message.
func (b *Bridge) Deliver(ctx context.Context) (uint64, error) {
	at, err := b.applied(ctx)
	if err != nil {
		return 0, err
	}
	down, err := b.sentDown(ctx)
	if err != nil {
		return at.Nonce, err
	}
	if at.Nonce >= uint64(len(down.ids)) {
		return at.Nonce, nil
	}
	raw, err := b.call(ctx, b.Subnet, b.Dep.Subnet.Gateway, subnetABI.PackCommittedTopDownAt(at.Nonce+1))
	if err != nil {
		return at.Nonce, fmt.Errorf("read what is committed: %w", err)
	}
	pair, err := subnetABI.UnpackCommittedTopDownAt(raw)
	if err != nil {
		return at.Nonce, fmt.Errorf("unpack what is committed: %w", err)
	}
	if pair.PairNonce == 0 {
		return at.Nonce, b.commitNext(ctx, at.Nonce)
	}
	if pair.PairNonce > uint64(len(down.ids)) {
		return at.Nonce, fmt.Errorf("the subnet has committed %d messages, the root has sent %d", pair.PairNonce, len(down.ids))
	}
	end := min(at.Nonce+deliverAtOnce, pair.PairNonce)
	tail := make([][32]byte, 0, pair.PairNonce-end)
	for _, m := range down.bodies[end:pair.PairNonce] {
		tail = append(tail, m.Hash())
	}
	data, err := subnetABI.GetABI().Pack("deliver", down.bodies[at.Nonce:end], tail)
	if err != nil {
		return at.Nonce, fmt.Errorf("[BUG] pack deliver: %w", err)
	}
	tx, err := b.Subnet.Send(ctx, b.Dep.Subnet.Gateway, data, nil)
	if err != nil {
		return at.Nonce, err
	}
	if _, err := b.Subnet.Wait(ctx, tx); err != nil {
		return at.Nonce, err
	}
	return end, nil
}

// ErrNothingCommitted says that the subnet's validators have yet to attest what
// the root has sent.
var ErrNothingCommitted = errors.New("no statement of the validators covers the next message yet")

// commitNext carries the newest statement that covers message nonce and that
// the gateway takes.
func (b *Bridge) commitNext(ctx context.Context, nonce uint64) error {
	raw, err := b.call(ctx, b.Subnet, b.Dep.Subnet.Gateway, subnetABI.PackLatestParentFinality())
	if err != nil {
		return fmt.Errorf("read the newest statement: %w", err)
	}
	latest, err := subnetABI.UnpackLatestParentFinality(raw)
	if err != nil {
		return fmt.Errorf("unpack the newest statement: %w", err)
	}
	var list []struct {
		Statement   statement
		Signatories []common.Address
		Signatures  []hexutil.Bytes
	}
	if err := b.Subnet.client.Client().CallContext(ctx, &list, "causeway_parentFinalities", latest.ParentHeight, 100); err != nil {
		return b.Subnet.refused(err)
	}
	for _, s := range list {
		if s.Statement.TopDownNonce <= nonce {
			continue
		}
		signatures := make([][]byte, len(s.Signatures))
		for i, sig := range s.Signatures {
			signatures[i] = sig
		}
		tx, err := b.Subnet.Send(ctx, b.Dep.Subnet.Gateway, subnetABI.PackCommitParentFinality(s.Statement.wire(), s.Signatories, signatures), nil)
		if err != nil {
			return err
		}
		_, err = b.Subnet.Wait(ctx, tx)
		return err
	}
	return ErrNothingCommitted
}

// statement is ipc.ParentFinality as the node says it.
type statement struct {
	SignerConfig     uint64
	ParentHeight     uint64
	ParentHash       common.Hash
	TopDownNonce     uint64
	TopDownHash      common.Hash
	PowerChangeNonce uint64
	PowerChangeHash  common.Hash
}

func (s statement) wire() bindings.ParentFinality {
	return bindings.ParentFinality{
		SignerConfig: s.SignerConfig, ParentHeight: s.ParentHeight, ParentHash: s.ParentHash,
		TopDownNonce: s.TopDownNonce, TopDownHash: s.TopDownHash,
		PowerChangeNonce: s.PowerChangeNonce, PowerChangeHash: s.PowerChangeHash,
	}
}
