package rig

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/chains/subnet"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/audit"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/ethereum/go-ethereum/common"
)

// auditor checks the invariants through endpoints of its own.
type auditor struct {
	root  evm.Reader
	child evm.Reader
	l1    evm.Reader // nil without a crossing
	src   audit.Source
	now   *audit.Auditor // what it read stays read
}

func newAuditor(ctx context.Context, w *World) (_ *auditor, err error) {
	quiet, dep := slog.New(slog.DiscardHandler), w.Net.Dep
	a := &auditor{}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	if a.root, err = evm.Dial(ctx, evm.Config{Name: flow.Root, URL: w.Net.Info.RootURL, ChainID: dep.Root.ChainID, StartBlock: dep.Root.StartBlock}, quiet); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if a.child, err = evm.Dial(ctx, evm.Config{Name: w.Sub.Name, URL: w.Net.Info.SubnetURL, ChainID: dep.Subnet.ChainID}, quiet); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	wrapped, err := subnet.New(a.child, subnet.Config{Gateway: ipc.GatewayAddress, Outbox: w.Sub.Outbox, Period: w.Sub.Period, DueTopic: flow.TopicCheckpointDue})
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	a.src = audit.Source{
		Sub: w.Sub, Root: a.root, Child: wrapped, Journal: books{w}, Treasury: dep.Settings.Treasury.Int(),
		RootAccounts: []common.Address{w.Carrier}, ChildAccounts: []common.Address{w.Carrier},
	}
	if dep.Crossing != nil {
		if a.l1, err = evm.Dial(ctx, evm.Config{Name: flow.Ethereum, URL: w.Net.Info.EthereumURL, ChainID: dep.Crossing.L1.ChainID, StartBlock: dep.Crossing.L1.StartBlock}, quiet); err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
		if a.src.Crossing, err = relayer.AuditCrossing(ctx, dep, a.root, a.l1); err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
	}
	a.now, err = audit.New(a.src)
	return a, err
}

func (a *auditor) close() {
	if a.root != nil {
		a.root.Close()
	}
	if a.child != nil {
		a.child.Close()
	}
	if a.l1 != nil {
		a.l1.Close()
	}
}

// AuditAnew forgets what the audit has read: the next Sound reads both chains
// from their beginning.
func (w *World) AuditAnew() error {
	var err error
	w.audit.now, err = audit.New(w.audit.src)
	return err
}

// Sound evaluates every invariant and counts them. What does not hold is read a
// second time from the beginning before it is called a violation.
func (w *World) Sound(ctx context.Context) (evaluated int, err error) {
	deadline := time.Now().Add(time.Minute)
	broken := ""
	for {
		r, err := w.audit.now.Check(ctx)
		switch {
		case err != nil || len(r.Skipped) > 0:
			w.db.drop()
			broken = fmt.Sprint(err, " ", r.Skipped)
		case r.OK:
			return len(r.Invariants), nil
		default:
			broken = ""
			for _, i := range r.Invariants {
				if !i.OK {
					broken += fmt.Sprintf("%s %s drift %s: %s; ", i.ID, i.Token, i.Drift, i.Detail)
				}
			}
			if err := w.AuditAnew(); err != nil {
				return 0, err
			}
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return len(r.Invariants), violation("audit: %s", strings.TrimSpace(broken))
		}
		Pause(ctx, time.Second)
	}
}

// books are the journal as the audit reads it, whichever server holds it now.
type books struct{ w *World }

func (b books) open(ctx context.Context) (audit.Journal, error) {
	db, err := b.w.DB(ctx)
	if err != nil {
		return nil, err
	}
	return relayer.AuditJournal(db), nil
}

// Cursor implements audit.Journal.
func (b books) Cursor(ctx context.Context, chain string) (chains.Cursor, bool, error) {
	j, err := b.open(ctx)
	if err != nil {
		return chains.Cursor{}, false, err
	}
	return j.Cursor(ctx, chain)
}

// Missing implements audit.Journal.
func (b books) Missing(ctx context.Context, ids []common.Hash) ([]common.Hash, error) {
	j, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	return j.Missing(ctx, ids)
}

// Newest implements audit.Journal.
func (b books) Newest(ctx context.Context, actor common.Address, most int) ([]audit.Entry, error) {
	j, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	return j.Newest(ctx, actor, most)
}

// Intent implements audit.Journal.
func (b books) Intent(ctx context.Context, chain chains.ID, account common.Address, nonce uint64) (chains.Intent, bool, error) {
	j, err := b.open(ctx)
	if err != nil {
		return chains.Intent{}, false, err
	}
	return j.Intent(ctx, chain, account, nonce)
}
