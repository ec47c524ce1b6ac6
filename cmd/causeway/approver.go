package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/approve"
	"github.com/spf13/cobra"
)

func newApprover(g *globals) *cobra.Command {
	var config, ready string
	c := &cobra.Command{
		Use:   "approver",
		Short: "Run one signer of the local quorum",
		Long: "Run one signer of the local quorum.\n" +
			"The quorum approves messages at Axelar's gateways in place of Axelar's network. A signer reads the chains through endpoints of its own,\n" +
			"keeps what it saw and signed in its state folder, and signs nothing that it did not see final itself.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := g.approver(config)
			if err != nil {
				return err
			}
			log, err := g.logger(os.Stderr)
			if err != nil {
				return err
			}
			v, _ := build()
			return relayer.RunApprover(c.Context(), cfg, v, log, func(r relayer.ApproverReady) {
				if err := home.Announce(ready, r); err != nil {
					log.Warn("ready file", "err", err)
				}
			})
		},
	}
	c.PersistentFlags().StringVar(&config, "config", "", "configuration file (default HOME/approver.yaml)")
	c.Flags().StringVar(&ready, "ready-file", "", "write the listener's address there once it is open")
	c.AddCommand(newApproverRotate(g, &config), newApproverStatus(g, &config))
	return c
}

// approver reads a signer's configuration: --config, or the home's.
func (g *globals) approver(path string) (relayer.ApproverConfig, error) {
	if path == "" {
		path = g.dir().Approver()
	}
	cfg, err := relayer.ReadApprover(path)
	if errors.Is(err, fs.ErrNotExist) {
		return cfg, usage("%w: give --config or --home", err)
	}
	if err != nil {
		return cfg, usageError{err}
	}
	cfg.DialLotus, cfg.SingleSource = home.DialLotus, cfg.SingleSource || g.single
	if err := cfg.Check(); err != nil {
		return cfg, usageError{fmt.Errorf("configuration %s:\n%w", path, err)}
	}
	return cfg, nil
}

func newApproverRotate(g *globals, config *string) *cobra.Command {
	var to string
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Put a rotation to another signer set up for signatures",
		Long: "Put a rotation to another signer set up for signatures.\n" +
			"It is put up at the gateway of every chain in the configuration. A signer signs it only where next_set of its own configuration is\n" +
			"that set; once enough have, the relayer sends it.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := g.approver(*config)
			if err != nil {
				return err
			}
			next, err := readSet(to)
			if err != nil {
				return err
			}
			log, err := g.logger(os.Stderr)
			if err != nil {
				return err
			}
			done, err := relayer.ProposeRotations(c.Context(), cfg, next, log)
			if err != nil {
				return err
			}
			text := ""
			for _, r := range done {
				if r.Skipped != "" {
					text += fmt.Sprintf("%s: %s\n", r.Chain, r.Skipped)
					continue
				}
				text += fmt.Sprintf("%s: from set %s to %s, digest %s\n", r.Chain, r.Present.Hex(), r.Next.Hex(), r.Digest.Hex())
			}
			return g.print(c, done, text)
		},
	}
	c.Flags().StringVar(&to, "to", "", `file with the set: {"signers":[{"address":"0x…","weight":1}],"threshold":1,"nonce":"0x…"}`)
	return c
}

const maxSet = 1 << 20

// readSet reads a signer set.
func readSet(path string) (axelar.WeightedSigners, error) {
	var s axelar.WeightedSigners
	if path == "" {
		return s, usage("--to: a file with the signer set")
	}
	f, err := os.Open(path)
	if err != nil {
		return s, usage("--to: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxSet+1))
	if err == nil && len(raw) > maxSet {
		err = errors.New("it is too large")
	}
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err != nil {
		return s, usage("--to %s: %w", path, err)
	}
	slices.SortFunc(s.Signers, func(a, b axelar.WeightedSigner) int { return a.Signer.Cmp(b.Signer) })
	return s, nil
}

// approverView is what `approver status` prints: what a running signer says, or
// what is in the folder of one that is not.
type approverView struct {
	Running bool                    `json:"running"`
	Status  *relayer.ApproverStatus `json:"status,omitempty"`
	Ledger  *approve.Summary        `json:"ledger,omitempty"`
}

func newApproverStatus(g *globals, config *string) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show what a signer has seen, signed and refused",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := g.approver(*config)
			if err != nil {
				return err
			}
			var s relayer.ApproverStatus
			if err := ask(c.Context(), "http://"+cfg.Admin, "/status", &s); err == nil {
				return g.print(c, approverView{Running: true, Status: &s}, approverText(s))
			}
			ledger, err := approve.Inspect(cfg.State)
			if errors.Is(err, fs.ErrNotExist) {
				return g.print(c, approverView{}, "not running, and has seen nothing yet")
			}
			if err != nil {
				return err
			}
			return g.print(c, approverView{Ledger: &ledger}, "not running\n"+ledgerText(ledger))
		},
	}
}

func approverText(s relayer.ApproverStatus) string {
	var b strings.Builder
	fmt.Fprintf(&b, "signer %s (version %s): %s, %s\n", s.Signer.Hex(), s.Version, readiness(s.Ready), s.Believed)
	for _, part := range slices.Sorted(maps.Keys(s.Parts)) {
		if err := s.Parts[part]; err != "" {
			fmt.Fprintf(&b, "  %s: %s\n", part, err)
		}
	}
	for _, chain := range slices.Sorted(maps.Keys(s.Heads)) {
		fmt.Fprintf(&b, "chain %-12s final %d\n", chain, s.Heads[chain])
		b.WriteString(sourcesText(s.Sources[chain]))
	}
	b.WriteString(ledgerText(s.Ledger))
	for _, r := range s.Refused {
		what, when := fmt.Sprintf("%d messages", r.Messages), "refused"
		if r.Rotation {
			what = "a rotation"
		}
		if r.Later {
			when = "not yet"
		}
		fmt.Fprintf(&b, "%s %s: %s for %s, digest %s: %s: %s\n", r.At.Format(time.RFC3339), when, what, r.Chain, r.Digest.Hex(), r.Reason, r.Why)
	}
	for _, a := range s.Alerts {
		fmt.Fprintf(&b, "ALERT %s (%s): %s\n", a.Name, a.Severity, a.Summary)
	}
	return b.String()
}

func ledgerText(s approve.Summary) string {
	var b strings.Builder
	fmt.Fprintf(&b, "ledger of %s: %d lines, %d bytes\n", s.Signer.Hex(), s.Lines, s.Bytes)
	names := slices.Collect(maps.Keys(s.Heights))
	for name := range s.Calls {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "chain %-12s read up to %d: %d calls, %d signed for\n", name, max(s.Heights[name], 1)-1, s.Calls[name], s.Signed[name])
	}
	for _, r := range s.Recent {
		what := fmt.Sprintf("%d messages", len(r.Calls))
		if len(r.Calls) == 0 {
			what = "a rotation"
		}
		fmt.Fprintf(&b, "%s signed %s for %s, digest %s\n", time.Unix(r.At, 0).UTC().Format(time.RFC3339), what, r.To, r.Digest.Hex())
	}
	return b.String()
}
