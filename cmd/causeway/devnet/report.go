package devnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/filecoin"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/chains/subnet"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/relayer/audit"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// Report is what a tour ended with. Amounts are decimal strings of base units.
type Report struct {
	OK         bool              `json:"ok"`
	Version    string            `json:"version"`
	Seconds    float64           `json:"seconds"`
	Sources    string            `json:"sources"` // how chains are read, as the relayer's status says it
	Root       RootReport        `json:"root"`
	Redis      string            `json:"redis"` // "redis-server 7.0.15", "volatile" (in memory) or "external" (--redis)
	Chains     []ChainReport     `json:"chains"`
	Transfers  []TransferReport  `json:"transfers"`
	Invariants []audit.Invariant `json:"invariants"`
	// Verified compares the journal with a second reading of the chains, from receipts.
	Verified []relayer.Verified `json:"verified"`
	Error    string             `json:"error,omitempty"`
}

// RootReport is what the tour's root went through.
type RootReport struct {
	Kind       string `json:"kind"` // RootLotus or RootEVM
	Reorgs     int    `json:"reorgs"`
	NullRounds uint64 `json:"null_rounds"`
}

// ChainReport is a chain at the block the invariants were read at.
type ChainReport struct {
	Name    string    `json:"name"`
	ChainID chains.ID `json:"chain_id"`
	Height  uint64    `json:"height"`
}

// TransferReport is one transfer and its way.
type TransferReport struct {
	ID      common.Hash   `json:"id"`
	Route   string        `json:"route"`
	Amount  tokens.Amount `json:"amount"`
	Status  tokens.Status `json:"status"`
	Seconds int64         `json:"seconds"`
	Steps   []StepReport  `json:"steps"`
}

// StepReport is one final event of a transfer.
type StepReport struct {
	Name string      `json:"name"`
	At   time.Time   `json:"at"`
	Tx   common.Hash `json:"tx"`
}

// Failed is the report of a devnet that did not get as far as its end.
func Failed(version string, began time.Time, err error) Report {
	return Report{
		Version: version, Seconds: time.Since(began).Seconds(),
		Chains: []ChainReport{}, Transfers: []TransferReport{}, Invariants: []audit.Invariant{}, Verified: []relayer.Verified{}, Error: err.Error(),
	}
}

// Report checks the invariants from the chains alone and joins them with the
// transfers.
func (n *Net) Report(ctx context.Context, version string, began time.Time, transfers []api.Transfer) (Report, error) {
	var status relayer.PublicStatus
	if err := getJSON(ctx, n.Info.API+"/v1/status", &status); err != nil {
		return Report{}, err
	}
	r := Report{Version: version, Sources: status.Sources, Root: RootReport{Kind: n.opt.Root, Reorgs: n.reorgs}, Redis: n.Info.Redis, Chains: []ChainReport{}, Transfers: []TransferReport{}, Verified: []relayer.Verified{}}
	for _, t := range transfers {
		tr := TransferReport{ID: t.ID, Route: t.Route, Amount: t.Amount, Status: t.Status, Seconds: t.Seconds, Steps: []StepReport{}}
		for _, s := range t.Steps {
			tr.Steps = append(tr.Steps, StepReport{Name: s.Name, At: s.At, Tx: s.Tx})
		}
		r.Transfers = append(r.Transfers, tr)
	}
	if err := n.plant(ctx); err != nil {
		return r, fmt.Errorf("plant: %w", err)
	}
	found, err := n.Audit(ctx)
	if err != nil {
		return r, err
	}
	r.Chains = []ChainReport{
		{flow.Root, n.Dep.Root.ChainID, found.RootBlock.Number},
		{"subnet", n.Dep.Subnet.ChainID, found.SubnetBlock.Number},
	}
	if n.opt.Root == RootLotus {
		if r.Root.NullRounds, err = n.nullRounds(ctx, found.RootBlock.Number); err != nil {
			return r, err
		}
	}
	if l := found.EthereumBlock; l != nil {
		r.Chains = append([]ChainReport{{flow.Ethereum, n.Dep.Crossing.L1.ChainID, l.Number}}, r.Chains...)
	}
	r.Invariants, r.OK = found.Invariants, found.OK
	if len(found.Skipped) > 0 {
		return r, fmt.Errorf("not every invariant could be evaluated: %v", found.Skipped)
	}
	if n.opt.Plant == "" {
		if r.Verified, err = n.Verify(ctx); errors.Is(err, relayer.ErrVerify) {
			r.OK = false
		} else if err != nil {
			return r, fmt.Errorf("read the chains again: %w", err)
		}
	}
	r.Seconds = time.Since(began).Seconds()
	return r, nil
}

// Verify reads the chains a second time, the root through one endpoint alone.
func (n *Net) Verify(ctx context.Context) ([]relayer.Verified, error) {
	cfg, err := relayer.Read(n.opt.Home.Config())
	if err != nil {
		return nil, err
	}
	cfg.DialLotus = home.DialLotus
	o := relayer.VerifyOptions{}
	if len(n.Info.RootAlso) > 0 {
		o.URLs = map[string]string{flow.Root: n.Info.RootAlso[0]}
	}
	return relayer.Verify(ctx, cfg, o, slog.New(slog.DiscardHandler))
}

// nullRounds counts the root's epochs without a block, up to a height.
func (n *Net) nullRounds(ctx context.Context, height uint64) (count uint64, err error) {
	root, err := n.auditRoot(ctx)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	for h := range height {
		switch _, err := root.BlockByNumber(ctx, h); {
		case errors.Is(err, evm.ErrNullRound):
			count++
		case err != nil:
			return 0, fmt.Errorf("count null rounds: %w", err)
		}
	}
	return count, nil
}

// auditRoot is the root through an endpoint that the relayer does not ask first.
func (n *Net) auditRoot(ctx context.Context) (evm.Reader, error) {
	quiet := slog.New(slog.DiscardHandler)
	cfg := evm.Config{Name: flow.Root, URL: n.Info.RootURL, ChainID: n.Dep.Root.ChainID, GenesisHash: n.Dep.Root.GenesisHash, StartBlock: n.Dep.Root.StartBlock}
	lotus := n.lotus()
	if lotus == nil {
		c, err := evm.Dial(ctx, cfg, quiet)
		if err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
		return c, nil
	}
	cfg.URL = n.Info.RootAlso[0]
	c, err := filecoin.Dial(ctx, filecoin.Config{Config: cfg, Depth: lotus.Depth, Behind: lotus.Behind}, quiet)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return c, nil
}

// Audit reads the invariants through endpoints of its own.
func (n *Net) Audit(ctx context.Context) (audit.Report, error) {
	quiet := slog.New(slog.DiscardHandler)
	root, err := n.auditRoot(ctx)
	if err != nil {
		return audit.Report{}, err
	}
	defer root.Close()
	child, err := evm.Dial(ctx, evm.Config{Name: "subnet", URL: n.Info.SubnetURL, ChainID: n.Dep.Subnet.ChainID, GenesisHash: n.Dep.Subnet.GenesisHash}, quiet)
	if err != nil {
		return audit.Report{}, fmt.Errorf("audit: %w", err)
	}
	defer child.Close()
	sub, err := relayer.Describe("subnet", n.Dep)
	if err != nil {
		return audit.Report{}, err
	}
	wrapped, err := subnet.New(child, subnet.Config{Gateway: ipc.GatewayAddress, Outbox: sub.Outbox, Period: sub.Period, DueTopic: flow.TopicCheckpointDue})
	if err != nil {
		return audit.Report{}, err
	}
	src := audit.Source{Sub: sub, Root: root, Child: wrapped, Treasury: n.Dep.Settings.Treasury.Int()}
	if n.Dep.Crossing != nil {
		l1, err := evm.Dial(ctx, evm.Config{Name: flow.Ethereum, URL: n.Info.EthereumURL, ChainID: n.Dep.Crossing.L1.ChainID, StartBlock: n.Dep.Crossing.L1.StartBlock}, quiet)
		if err != nil {
			return audit.Report{}, fmt.Errorf("audit: %w", err)
		}
		defer l1.Close()
		if src.Crossing, err = relayer.AuditCrossing(ctx, n.Dep, root, l1); err != nil {
			return audit.Report{}, fmt.Errorf("audit: %w", err)
		}
		src.Crossing.Accounts = []common.Address{addr(n.keys.relayer)}
	}
	if n.dropped != (common.Hash{}) {
		src.Root = hiding{root, n.dropped}
	}
	db, err := n.journal(ctx)
	if err != nil {
		return audit.Report{}, err
	}
	defer db.Close()
	src.Journal = relayer.AuditJournal(db)
	src.RootAccounts, src.ChildAccounts = []common.Address{addr(n.keys.relayer)}, []common.Address{addr(n.keys.relayer)}
	auditor, err := audit.New(src)
	if err != nil {
		return audit.Report{}, err
	}
	return auditor.Check(ctx)
}

// journal opens the relayer's store, which I4 and I6 compare with the chains.
func (n *Net) journal(ctx context.Context) (*store.DB, error) {
	cfg, err := relayer.Read(n.opt.Home.Config())
	if err != nil {
		return nil, err
	}
	return relayer.OpenStore(ctx, cfg, false, slog.New(slog.DiscardHandler))
}

// Write writes the report as JSON.
func (r Report) Write(path string) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	return home.WriteFile(path, append(raw, '\n'))
}

// Text is the report for a person.
func (r Report) Text() string {
	s := ""
	for _, t := range r.Transfers {
		route, _ := tokens.RouteByName(t.Route)
		s += fmt.Sprintf("%-14s %22s %-4s  %-9s %4ds", t.Route, t.Amount.Decimal(route.Asset.Decimals), route.Asset.Symbol, t.Status, t.Seconds)
		for i, step := range t.Steps {
			if i == 0 {
				s += "  " + step.Name + " " + step.At.Format("15:04:05")
				continue
			}
			s += " → " + step.Name + " " + step.At.Format("15:04:05")
		}
		s += "\n"
	}
	for _, c := range r.Chains {
		s += fmt.Sprintf("chain %-8s id %d at height %d (%s)\n", c.Name, c.ChainID, c.Height, r.Sources)
	}
	if r.Root.Kind == RootLotus {
		s += fmt.Sprintf("the root had %d null rounds and %d reorganizations\n", r.Root.NullRounds, r.Root.Reorgs)
	}
	if r.Redis != "" {
		s += "redis " + r.Redis + "\n"
	}
	for _, i := range r.Invariants {
		mark := "ok"
		if !i.OK {
			mark = "BROKEN"
		}
		s += fmt.Sprintf("%-3s %-5s drift %s  %s %s\n", i.ID, i.Token, i.Drift, mark, i.Detail)
	}
	for _, v := range r.Verified {
		verdict := "the journal is what they say"
		if len(v.Counts) > 0 {
			verdict = fmt.Sprintf("the journal IS NOT what they say: %v", v.Counts)
		}
		s += fmt.Sprintf("receipts of %s %d–%d: %d transfers, %d facts, %s\n", v.Chain, v.From, v.To, v.Transfers, v.Facts+v.Searched, verdict)
	}
	return s
}
