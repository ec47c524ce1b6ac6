package home

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/approve"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/ethereum/go-ethereum/common"
)

// passage is one message on its way to the root.
type passage struct {
	to       common.Address
	id       axelar.MessageID // of the call on Ethereum
	routed   axelar.Routed
	command  common.Hash // what the root's gateway approved it by; zero: it has not
	executed bool
}

const (
	arrivalPoll = 2 * time.Second
	arrivalTell = 30 * time.Second
)

// arrived waits until what was sent is on the root, in final blocks. The Axelar
// network approves it, or the bridge's own signers, asked for it through Redis;
// whoever is first executes it. By what it is recognized is its payload: the
// network's hub has message ids of its own making.
func (s *standing) arrived(ctx context.Context) error {
	if len(s.plan.Bring) == 0 {
		return nil
	}
	s.step("waiting until what was sent from Ethereum is final there")
	under, err := s.passages(ctx)
	if err != nil {
		return err
	}
	ask, done, err := s.signers(ctx)
	if err != nil {
		return err
	}
	defer done()
	lookout := &lookout{standing: s, ask: ask, under: under, cursor: chains.Cursor{Chain: s.root.client.ChainID(), Next: s.plan.RootFrom}, began: time.Now()}
	for {
		there, err := lookout.look(ctx)
		if err != nil {
			return err
		}
		if there {
			crash.At("deploy.after_arrival")
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for FLT on the root: %w: run this again to go on", ctx.Err())
		case <-time.After(arrivalPoll):
		}
	}
}

// passages are the messages that final transactions on Ethereum have begun.
func (s *standing) passages(ctx context.Context) ([]*passage, error) {
	_, send, err := s.steps()
	if err != nil {
		return nil, err
	}
	receipts, err := deploy.Send(ctx, s.l1Env, s.o.L1Deployer, send...)
	if err != nil {
		return nil, err
	}
	var out []*passage
	for i, r := range receipts {
		p := &passage{to: s.plan.Bring[i].To}
		if p.id, p.routed, err = routedOf(s.l1.gateway, s.plan.Found.L1, s.plan.Found.Root, r); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// signers is who approves where the bridge has signers of its own; nil where the
// Axelar network does.
func (s *standing) signers(ctx context.Context) (ask flow.ApproveFunc, done func(), err error) {
	if len(s.sets) == 0 {
		return nil, func() {}, nil
	}
	db, err := relayer.OpenStore(ctx, relayer.Config{Redis: s.redis}, false, s.log)
	if err != nil {
		return nil, nil, fmt.Errorf("open the Redis that the signers share (--redis): %w", err)
	}
	done = func() {
		if err := db.Close(); err != nil {
			s.log.Warn("close Redis", "err", err)
		}
	}
	sets := make([]axelar.WeightedSigners, len(s.sets))
	for i, set := range s.sets {
		sets[i] = SignerSetOf(set)
	}
	q, err := approve.NewQuorum(approve.QuorumConfig{To: s.plan.Found.Root.Chain, Gateway: s.root.gateway, Sets: sets, Store: db, Final: s.root.final, Log: s.log})
	if err != nil {
		done()
		return nil, nil, err
	}
	return q.Approve, done, nil
}

// final puts calls to the chain at its final block.
func (s *shore) final(ctx context.Context, calls []axelar.Call) ([][]byte, error) {
	head, err := s.client.Head(ctx)
	if err != nil {
		return nil, err
	}
	args := make([]evm.CallArg, len(calls))
	for i, c := range calls {
		args[i] = evm.CallArg{To: c.To, Data: c.Data}
	}
	results, err := s.client.BatchCall(ctx, args, evm.AtHash(head.Hash))
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(results))
	for i, r := range results {
		if r.Err != nil {
			return nil, r.Err
		}
		out[i] = r.Data
	}
	return out, nil
}

// lookout follows passages.
type lookout struct {
	*standing
	ask    flow.ApproveFunc
	under  []*passage
	cursor chains.Cursor
	began  time.Time
	line   string
	told   time.Time
}

// look reads on, does what can be done, and says whether all is there.
func (l *lookout) look(ctx context.Context) (bool, error) {
	if err := l.read(ctx); err != nil {
		if !unanswered(err) || ctx.Err() != nil {
			return false, err
		}
		l.tell(err.Error())
		return false, nil
	}
	note, approved, executed := "", 0, 0
	for _, p := range l.under {
		switch {
		case p.executed:
			approved, executed = approved+1, executed+1
		case p.command != common.Hash{}:
			approved++
			why, err := l.execute(ctx, p)
			if err != nil {
				return false, err
			}
			note = firstOf(note, why)
		}
	}
	if executed == len(l.under) {
		l.tell(fmt.Sprintf("all %d messages were executed", executed))
		return true, nil
	}
	if approved < len(l.under) {
		why, err := l.approval(ctx)
		if err != nil {
			return false, err
		}
		note = firstOf(note, why)
	}
	l.tell(strings.TrimSuffix(fmt.Sprintf("%d of %d messages approved, %d executed: %s", approved, len(l.under), executed, note), ": "))
	return false, nil
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// tell says where it stands, when that has changed and now and then.
func (l *lookout) tell(line string) {
	if line == l.line && time.Since(l.told) < arrivalTell {
		return
	}
	l.line, l.told = line, time.Now()
	l.step(fmt.Sprintf("FLT from Ethereum to the root, after %s: %s", time.Since(l.began).Round(time.Second), line))
}

// read takes what the root's gateway has said in final blocks.
func (l *lookout) read(ctx context.Context) error {
	by := map[common.Hash]*passage{}
	for _, p := range l.under {
		by[p.routed.Message.PayloadHash] = p
	}
	head, err := l.root.client.Head(ctx)
	if err != nil {
		return err
	}
	for l.cursor.Next <= head.Number {
		last, events, err := l.root.client.Events(ctx, chains.Query{From: l.cursor, To: head.Number, Filter: l.root.gateway.Filter()})
		if err != nil {
			return fmt.Errorf("read what the root's gateway says: %w", err)
		}
		for _, e := range events {
			said, ok, err := l.root.gateway.Decode(e)
			if !ok || err != nil {
				continue // somebody else's
			}
			switch v := said.(type) {
			case axelar.Approved:
				if p := by[v.Message.PayloadHash]; p != nil && v.Message.Contract == l.root.service.Address && p.command == (common.Hash{}) {
					p.command = v.CommandID
				}
			case axelar.Executed:
				for _, p := range l.under {
					p.executed = p.executed || p.command == v.CommandID
				}
			}
		}
		l.cursor = chains.Cursor{Chain: l.cursor.Chain, Next: last.Number + 1, Parent: last.Hash}
	}
	return nil
}

// execute has the token service take an approved message, unless somebody else
// has or it would refuse it now; why says what is waited for.
func (l *lookout) execute(ctx context.Context, p *passage) (why string, err error) {
	service := l.root.service
	data, err := service.ExecuteCalldata(p.command, p.routed.Message, p.routed.Payload)
	if err != nil {
		return "", err
	}
	_, err = l.root.client.Call(ctx, service.Address, data, evm.AtLatest)
	var revert *chains.RevertError
	switch {
	case errors.As(err, &revert):
		now := l.root.head.Time
		if at, herr := l.root.client.Latest(ctx); herr == nil {
			now = at.Time
		}
		f := axelar.ClassifyRevert(revert.Data, now)
		if f.Class == axelar.ClassDone || f.Class == axelar.ClassState {
			return "waiting until the execution is final", nil
		}
		return fmt.Sprintf("the token service refuses the message of %s for %s: %s", p.id, p.to, firstOf(f.Name, err.Error())), nil
	case err != nil:
		return err.Error(), nil
	}
	return l.attempt(ctx, deploy.Step{Name: "execute/" + p.command.Hex(), To: service.Address, Data: data}, "waiting until the execution is final")
}

// attempt sends what somebody else may be first with.
func (l *lookout) attempt(ctx context.Context, step deploy.Step, waits string) (why string, err error) {
	_, err = deploy.Attempt(ctx, l.rootEnv, l.deployer, step)
	if errors.Is(err, deploy.ErrSimulate) && ctx.Err() == nil {
		return err.Error(), nil
	}
	return waits, err
}

// approval asks the bridge's own signers, and hands over what they have signed.
func (l *lookout) approval(ctx context.Context) (why string, err error) {
	var wanted []flow.Wanted
	for _, p := range l.under {
		if p.command == (common.Hash{}) {
			wanted = append(wanted, flow.Wanted{From: l.plan.Found.L1.Chain, ID: p.id, Message: p.routed.Message})
		}
	}
	if l.ask == nil {
		return fmt.Sprintf("waiting for Axelar to approve %s", wanted[0].ID), nil
	}
	signed, err := l.ask(ctx, wanted)
	if err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return err.Error(), nil
	}
	why = fmt.Sprintf("waiting for the signers to approve %s", wanted[0].ID)
	for _, one := range signed {
		if why, err = l.attempt(ctx, deploy.Step{Name: "approve/" + one.Key, To: one.Tx.To, Data: one.Tx.Data}, "waiting until the approval is final"); err != nil {
			return "", err
		}
	}
	return why, nil
}
