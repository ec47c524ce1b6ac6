package relayer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/audit"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/ethereum/go-ethereum/common"
	"github.com/prometheus/client_golang/prometheus"
)

// ReconcileOptions of a reconciliation.
type ReconcileOptions struct {
	// Repair rescans the chains when the journal lacks or has overheard
	// something, and compares again. What the journal claims beyond the chains is
	// never taken back by a program.
	Repair bool
	// Resume ends a recovery once the comparison is made, whatever came of it: an
	// operator answers for it. ErrNothingLost where there is none.
	Resume *Resume
	// Progress is told what is done next.
	Progress func(what string)
}

// Resume says who lets everything go on, and why.
type Resume struct{ Who, Why string }

// ErrNothingLost says that there is no recovery to be ended.
var ErrNothingLost = errors.New("nothing stands still: redis is not known to have lost anything")

// Reconcile compares the whole journal with the chains, subnet by subnet, and
// checks the invariants. It reads through connections of its own and may run
// beside a relayer; without Repair and Resume it writes nothing.
func Reconcile(ctx context.Context, cfg Config, o ReconcileOptions, log *slog.Logger) ([]audit.Reconciliation, error) {
	if o.Resume == nil {
		return reconcile(ctx, cfg, o, log)
	}
	db, err := OpenStore(ctx, cfg, false, log)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	defer db.Close()
	// Read before the comparison: what is lost during it was not looked at.
	lost, on, err := db.Recovering(ctx)
	if err == nil && !on {
		err = ErrNothingLost
	}
	if err != nil {
		return nil, err
	}
	out, err := reconcile(ctx, cfg, o, log)
	if err != nil {
		return out, err
	}
	return out, db.Recovered(ctx, lost, o.Resume.Who, o.Resume.Why)
}

func reconcile(ctx context.Context, cfg Config, o ReconcileOptions, log *slog.Logger) ([]audit.Reconciliation, error) {
	out, err := reconcileOnce(ctx, cfg, o, log)
	if err != nil || !o.Repair {
		return out, err
	}
	repairable := 0
	for _, r := range out {
		repairable += r.Counts[audit.Missing] + r.Counts[audit.Behind]
	}
	if repairable == 0 {
		return out, nil
	}
	o.say("%d transfers are missing or behind: reading the chains again", repairable)
	if _, err := Rescan(ctx, cfg, RescanOptions{}, log); err != nil {
		return out, err
	}
	return reconcileOnce(ctx, cfg, o, log)
}

func (o ReconcileOptions) say(format string, args ...any) {
	if o.Progress != nil {
		o.Progress(fmt.Sprintf(format, args...))
	}
}

func reconcileOnce(ctx context.Context, cfg Config, o ReconcileOptions, log *slog.Logger) ([]audit.Reconciliation, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	rootAccounts, err := addressesOf(cfg.Root.Accounts)
	if err != nil {
		return nil, fmt.Errorf("%w: account of root: %w", ErrConfig, err)
	}
	db, err := OpenStore(ctx, cfg, false, log)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	defer db.Close()
	s := &shared{cfg: cfg, Parts: Parts{
		Journal: db, Dial: evm.DialReader, Deployment: deploy.ReadDeployment, Alerts: alerts.New(log, 1), Log: log,
	}}
	s.tools = newTools(cfg, prometheus.NewRegistry(), s.Alerts, "")
	root, err := s.dial(ctx, flow.Root, cfg.Root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	l1, err := s.openEthereum(ctx)
	if err != nil {
		return nil, err
	}
	defer l1.close()
	var l1Accounts []common.Address
	if cfg.Ethereum != nil {
		if l1Accounts, err = addressesOf(cfg.Ethereum.Accounts); err != nil {
			return nil, fmt.Errorf("%w: account of ethereum: %w", ErrConfig, err)
		}
	}
	var out []audit.Reconciliation
	for _, c := range cfg.Subnets {
		o.say("reading %s", c.Name)
		childAccounts, err := addressesOf(c.Accounts)
		if err != nil {
			return out, fmt.Errorf("%w: account of %s: %w", ErrConfig, c.Name, err)
		}
		l, err := s.openSubnet(ctx, c, root, l1)
		if err != nil {
			return out, err
		}
		r, err := l.reconcile(ctx, auditJournal{db}, rootAccounts, childAccounts, l1Accounts)
		l.client.Close()
		if err != nil {
			return out, fmt.Errorf("subnet %s: %w", c.Name, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// reconcile reads the chains anew: nothing an earlier look remembered counts.
func (l *link) reconcile(ctx context.Context, journal audit.Ledger, rootAccounts, childAccounts, l1Accounts []common.Address) (audit.Reconciliation, error) {
	if l.sub.Traits.Published() {
		return unjudged(l.sub), nil
	}
	a, err := audit.New(audit.Source{
		Sub: l.sub, Root: l.root, Child: l.client, Journal: journal, Treasury: l.treasury, Crossing: l.auditCrossing(l1Accounts),
		RootAccounts: rootAccounts, ChildAccounts: childAccounts,
	})
	if err != nil {
		return audit.Reconciliation{}, err
	}
	return a.Reconcile(ctx, journal)
}

// unjudged is the answer for published contracts: neither invariants nor fates are
// written for what they keep, so nothing is said, rather than something wrong.
func unjudged(sub flow.Subnet) audit.Reconciliation {
	return audit.Unjudged(sub.Name, "its contracts are published ones")
}

// addressesOf reads the addresses of keystore files; nothing is decrypted.
func addressesOf(accounts []Account) ([]common.Address, error) {
	var out []common.Address
	for _, a := range accounts {
		raw, err := privateFile(a.Keystore)
		if err != nil {
			return nil, fmt.Errorf("read keystore: %w", err)
		}
		var file struct {
			Address string `json:"address"`
		}
		if err := json.Unmarshal(raw, &file); err != nil || !common.IsHexAddress(file.Address) {
			return nil, fmt.Errorf("keystore %s names no address", a.Keystore)
		}
		out = append(out, common.HexToAddress(file.Address))
	}
	return out, nil
}
