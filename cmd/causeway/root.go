package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/causeway-bridge/causeway/alerts/log"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/cmd/causeway/devnet"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/store"
	"github.com/spf13/cobra"
)

// version is set at build time; a build from a checkout knows its commit
// anyway.
var version = "dev"

// Exit codes.
const (
	exitOK          = 0
	exitFailed      = 1 // it ran and did not succeed
	exitUsage       = 2 // the command line or a configuration is wrong
	exitUnavailable = 3 // a chain, Redis or the relayer cannot be reached
	exitInterrupted = 130
)

// usageError marks what the caller must change.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func exitCode(err error) int {
	var u usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &u), errors.Is(err, relayer.ErrConfig):
		return exitUsage
	case errors.Is(err, chains.ErrUnavailable), errors.Is(err, store.ErrDown), errors.Is(err, devnet.ErrEnded):
		return exitUnavailable
	}
	return exitFailed
}

// globals are the flags every command has.
type globals struct {
	home     string
	json     bool
	logLevel string
	logText  bool
	single   bool // single_source of whatever configuration is read
}

func (g *globals) dir() home.Dir { return home.Dir(g.home) }

func newRoot() *cobra.Command {
	g := &globals{}
	root := &cobra.Command{
		Use:           "causeway",
		Short:         "Bridge relayer and node for a Filecoin-rooted IPC subnet",
		SilenceUsage:  true,
		SilenceErrors: true,
		// What every command takes is checked before any of them acts.
		PersistentPreRunE: func(*cobra.Command, []string) error { return g.check() },
	}
	def, err := os.UserHomeDir()
	if err != nil {
		def = "."
	}
	f := root.PersistentFlags()
	f.StringVar(&g.home, "home", filepath.Join(def, ".causeway"), "folder with keys, configuration and state")
	f.BoolVar(&g.json, "json", false, "print JSON")
	f.StringVar(&g.logLevel, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&g.logText, "log-text", false, "log lines of text instead of JSON")
	f.BoolVar(&g.single, "single-source", false, "believe one endpoint alone where a chain has no other, as single_source: true does")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage("%w: see `%s --help`", err, c.CommandPath())
	})
	root.AddCommand(
		newRun(g), newNode(g), newSigner(g), newApprover(g), newDevnet(g), newDevroot(g), newDevredis(g), newDeploy(g), newTransfer(g), newWithdraw(g), newStatus(g),
		newCredits(g), newRecovery(g), newQueue(g), newLane(g), newRescan(g), newReconcile(g), newConfig(g), newVersion(g),
	)
	asUsage(root)
	return root
}

// asUsage makes wrong arguments, and verbs that do not exist, a usage error.
func asUsage(c *cobra.Command) {
	if c.HasSubCommands() && c.Run == nil && c.RunE == nil {
		c.Args, c.SuggestionsMinimumDistance, c.DisableFlagsInUseLine = cobra.ArbitraryArgs, 2, true
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			if like := c.SuggestionsFor(args[0]); len(like) > 0 {
				return usage("%q is no command of `%s`: did you mean %s?", args[0], c.CommandPath(), strings.Join(like, " or "))
			}
			return usage("%q is no command: see `%s --help`", args[0], c.CommandPath())
		}
	}
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usage("%w: see `%s --help`", err, c.CommandPath())
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		asUsage(sub)
	}
}

func (g *globals) check() error {
	if strings.TrimSpace(g.home) == "" {
		return usage("--home: give a folder; an empty name would mean the current one")
	}
	_, err := g.logger(io.Discard)
	return err
}

// complain tells an error on w: as JSON if the command line asks for JSON,
// whether or not it could be read as a whole.
func complain(w io.Writer, args []string, err error) {
	if !wantsJSON(args) {
		fmt.Fprintln(w, "causeway:", err)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"error": err.Error(), "code": exitCode(err)})
}

func wantsJSON(args []string) (yes bool) {
	for _, a := range args {
		switch value, ok := strings.CutPrefix(a, "--json="); {
		case a == "--":
			return yes
		case a == "--json":
			yes = true
		case ok:
			yes, _ = strconv.ParseBool(value)
		}
	}
	return yes
}

// logger writes to stderr; stdout is for answers.
func (g *globals) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(g.logLevel)); err != nil {
		return nil, usage("--log-level: debug, info, warn or error")
	}
	opts := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewJSONHandler(w, opts)
	if g.logText {
		h = slog.NewTextHandler(w, opts)
	}
	return slog.New(log.Handler{Handler: h}), nil
}

// print writes v as JSON with --json, else text.
func (g *globals) print(c *cobra.Command, v any, text string) error {
	if !g.json {
		_, err := fmt.Fprintln(c.OutOrStdout(), strings.TrimRight(text, "\n"))
		return err
	}
	enc := json.NewEncoder(c.OutOrStdout())
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// config reads the relayer's configuration: --config, or the home's.
func (g *globals) config(path string) (relayer.Config, error) {
	if path == "" {
		path = g.dir().Config()
	}
	cfg, err := relayer.Read(path)
	cfg.DialLotus, cfg.SingleSource = home.DialLotus, cfg.SingleSource || g.single
	if errors.Is(err, fs.ErrNotExist) {
		return cfg, usage("%w: give --config or --home; `causeway deploy` writes one", err)
	}
	if err != nil {
		return cfg, usageError{err}
	}
	if err := cfg.Check(); err != nil {
		return cfg, usageError{fmt.Errorf("configuration %s:\n%w", path, err)}
	}
	return cfg, nil
}

// build names what runs: the version and, from a checkout, the commit.
func build() (string, string) {
	commit := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			}
		}
	}
	if v, c, ok := strings.Cut(version, "+"); ok {
		return v, c
	}
	return version, commit
}
