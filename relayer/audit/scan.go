package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
)

// contracts are the codecs of every contract that is read.
type contracts struct {
	gateway    *bindings.Gateway
	actor      *bindings.SubnetActor
	controller *bindings.LinkedTokenController
	payouts    *bindings.FastWithdrawals
	child      *bindings.SubnetGateway
	replica    *bindings.LinkedTokenReplica
	outbox     *bindings.WithdrawalOutbox
	portal     *bindings.FltPortal

	// Topics by "Contract.Event".
	topics map[string]common.Hash
}

func newContracts() (contracts, error) {
	c := contracts{
		gateway: bindings.NewGateway(), actor: bindings.NewSubnetActor(), controller: bindings.NewLinkedTokenController(),
		payouts: bindings.NewFastWithdrawals(), child: bindings.NewSubnetGateway(), replica: bindings.NewLinkedTokenReplica(),
		outbox: bindings.NewWithdrawalOutbox(), portal: bindings.NewFltPortal(), topics: map[string]common.Hash{},
	}
	for _, m := range []struct {
		name string
		meta *bind.MetaData
	}{
		{"gateway", &bindings.GatewayMetaData}, {"actor", &bindings.SubnetActorMetaData},
		{"controller", &bindings.LinkedTokenControllerMetaData}, {"payouts", &bindings.FastWithdrawalsMetaData},
		{"child", &bindings.SubnetGatewayMetaData}, {"replica", &bindings.LinkedTokenReplicaMetaData},
		{"outbox", &bindings.WithdrawalOutboxMetaData}, {"portal", &bindings.FltPortalMetaData},
	} {
		parsed, err := m.meta.ParseABI()
		if err != nil {
			return c, fmt.Errorf("[BUG] parse ABI of %s: %w", m.name, err)
		}
		c.addTopics(m.name, *parsed)
	}
	return c, nil
}

func (c *contracts) addTopics(name string, parsed abi.ABI) {
	for event, e := range parsed.Events {
		c.topics[name+"."+event] = e.ID
	}
}

func (c *contracts) list(names ...string) []common.Hash {
	out := make([]common.Hash, len(names))
	for i, n := range names {
		out[i] = c.topics[n]
	}
	return out
}

func (c *contracts) rootFilter(s flow.Subnet) chains.Filter {
	return chains.Filter{
		Addresses: []common.Address{s.Gateway, s.Actor, s.Controller, s.FastWithdrawals},
		Topics: append(c.list(
			"gateway.BottomUpMessageApplied", "gateway.ResultApplied", "gateway.QuarantineReleased", "gateway.SubnetApproved",
			"actor.CheckpointAccepted", "actor.NewPowerChangeRequest",
			"controller.LinkedTokensSent", "controller.DepositRefunded", "controller.RefundClaimed",
			"controller.Reserved", "controller.ReservePaid",
			"payouts.WithdrawalSettled", "payouts.WithdrawalQuarantined", "payouts.CreditClaimed",
		), ipc.TopicNewTopDownMessage),
	}
}

func (c *contracts) childFilter(s flow.Subnet) chains.Filter {
	return chains.Filter{
		Addresses: []common.Address{s.SubnetGateway, s.Replica, s.Outbox},
		Topics: append(c.list(
			"child.TopDownMessageApplied", "child.ParentRecovered", "replica.LinkedTokenReceived", "replica.Transfer",
			"outbox.WithdrawalSent", "outbox.WithdrawalReturned", "outbox.WithdrawalResent",
		), ipc.TopicBottomUpMessage),
	}
}

// unrested is for what cannot wait.
func unrested() int { return 0 }

// tape is how far the events of a chain have been read.
type tape struct {
	cursor chains.Cursor
	read   bool
	span   uint64 // blocks of the next page where pages have rests between them
}

// A page that rests follow holds some thousand events, however many blocks that
// are.
const (
	firstSpan  = 16
	maxSpan    = 2000
	fewEvents  = 500
	manyEvents = 2000
)

// scan reads on up to a final block, every event in order. Each page continues
// the one before by its parent hash, so that what was read is one chain; the
// cursor moves with the events taken, so that a failed page is read again and
// none twice. After a page it pauses rests() times as long as that took.
func (t *tape) scan(ctx context.Context, c chains.Source, f chains.Filter, to chains.Block, rests func() int, take func(chains.Event)) error {
	for t.cursor.Next <= to.Number {
		began, upto, rest := time.Now(), to.Number, rests()
		if rest > 0 {
			if t.span == 0 {
				t.span = firstSpan
			}
			upto = min(upto, t.cursor.Next+t.span-1)
		}
		last, events, err := c.Events(ctx, chains.Query{From: t.cursor, To: upto, Filter: f})
		if err != nil {
			return fmt.Errorf("read events from %d: %w", t.cursor.Next, err)
		}
		if last.Number < t.cursor.Next || last.Number > to.Number {
			return fmt.Errorf("events up to %d were asked from %d to %d: %w", last.Number, t.cursor.Next, to.Number, chains.ErrUnavailable)
		}
		for _, e := range events {
			take(e)
		}
		t.cursor.Next, t.cursor.Parent, t.read = last.Number+1, last.Hash, true
		if rest == 0 || t.cursor.Next > to.Number {
			continue
		}
		switch {
		case len(events) < fewEvents:
			t.span = min(2*t.span, maxSpan)
		case len(events) > manyEvents:
			t.span = max(1, t.span/2)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(rest) * time.Since(began)):
		}
	}
	if t.cursor.Next == to.Number+1 && t.cursor.Parent != to.Hash && t.cursor.Parent != (common.Hash{}) {
		return fmt.Errorf("final block %d was %s and is %s: %w", to.Number, t.cursor.Parent, to.Hash, chains.ErrReorg)
	}
	if t.cursor.Next > to.Number+1 {
		return fmt.Errorf("final block went back to %d: %w", to.Number, chains.ErrUnavailable)
	}
	return nil
}
