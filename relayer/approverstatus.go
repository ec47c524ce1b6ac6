package relayer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains/agree"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/relayer/approve"
	"github.com/causeway-bridge/causeway/store"
	"github.com/ethereum/go-ethereum/common"
)

// ApproverStatus is the body of /status on a signer's listener.
type ApproverStatus struct {
	Version string         `json:"version"`
	Signer  common.Address `json:"signer"`
	Ready   bool           `json:"ready"`
	// Believed is "quorum", or "single-source" and the chains of which one endpoint
	// alone is believed.
	Believed string            `json:"believed"`
	Parts    map[string]string `json:"parts"` // "" is well
	// Heads are the newest final heights seen, by chain; Sources how its endpoints do.
	Heads   map[string]uint64        `json:"heads"`
	Sources map[string]*agree.Status `json:"sources"`
	Ledger  approve.Summary          `json:"ledger"`
	Refused []RefusedProposal        `json:"refused"` // the last ones, newest first
	Alerts  []alerts.Alert           `json:"alerts"`
}

// RefusedProposal is one that was not signed.
type RefusedProposal struct {
	Chain    string      `json:"chain"`
	Digest   common.Hash `json:"digest"`
	Messages int         `json:"messages"`
	Rotation bool        `json:"rotation"`
	Reason   string      `json:"reason"`
	Later    bool        `json:"later"` // it may yet be signed
	Why      string      `json:"why"`
	At       time.Time   `json:"at"`
}

func (a *approver) status() ApproverStatus {
	out := ApproverStatus{
		Version: a.version, Signer: a.address, Ready: a.health.Ready() == nil, Parts: a.health.snapshot(), Heads: map[string]uint64{},
		Believed: Believed(a.cfg.Single()), Sources: map[string]*agree.Status{},
		Ledger: a.ledger.Summary(), Alerts: a.alerts.Open(),
	}
	for _, c := range a.cfg.Chains {
		if s := a.sources.status(c.Name); s != nil {
			out.Sources[c.Name] = s
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, height := range a.heads {
		out.Heads[name] = height
	}
	out.Refused = slices.Clone(a.refused)
	slices.Reverse(out.Refused)
	return out
}

// ProposedRotation is a rotation that was put up for signatures.
type ProposedRotation struct {
	Chain   string      `json:"chain"`
	Digest  common.Hash `json:"digest"`
	Present common.Hash `json:"present"` // set
	Next    common.Hash `json:"next"`    // set
	Skipped string      `json:"skipped,omitempty"`
}

// ProposeRotations puts a rotation to another signer set up for signatures at every
// gateway of a signer's configuration. A gateway that has had the set is skipped.
func ProposeRotations(ctx context.Context, cfg ApproverConfig, next axelar.WeightedSigners, log *slog.Logger) (out []ProposedRotation, err error) {
	if err := cfg.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	a := &approver{cfg: cfg, log: log, health: newHealth(), sources: newSources()}
	var stop stopper
	defer stop.run(log)
	db, err := a.openStore(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	stop.add("store", db.Close)
	for _, c := range cfg.Chains {
		r, err := a.rotate(ctx, c, db, next, &stop)
		if err != nil {
			return out, fmt.Errorf("rotate the signers of %s: %w", c.Name, err)
		}
		out = append(out, r)
	}
	return out, nil
}

func (a *approver) rotate(ctx context.Context, c ApproverChain, db *store.DB, next axelar.WeightedSigners, stop *stopper) (ProposedRotation, error) {
	out := ProposedRotation{Chain: c.Name}
	chain, readers, err := a.chain(ctx, c)
	for _, r := range readers {
		stop.add(c.Name, func() error { r.Close(); return nil })
	}
	if err != nil {
		return out, err
	}
	q, err := approve.NewQuorum(approve.QuorumConfig{
		To: c.Name, Gateway: chain.Gateway, Sets: a.cfg.sets(), Store: db, Final: finalCalls(readers[0]), Log: a.log,
	})
	if err != nil {
		return out, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if out.Next, err = chain.Gateway.SignersHash(approve.SetFor(chain.Gateway, next)); err != nil {
		return out, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	p, err := q.ProposeRotation(ctx, next)
	if errors.Is(err, approve.ErrRotated) {
		out.Skipped = err.Error()
		return out, nil
	}
	if err != nil {
		return out, err
	}
	out.Digest, out.Present = p.Digest, p.Set
	return out, nil
}
