package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/causeway-bridge/causeway/cmd/causeway/devnet"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/store"
	"github.com/spf13/cobra"
)

func newDevnet(g *globals) *cobra.Command {
	var f devnetFlags
	var plant string
	c := &cobra.Command{
		Use:   "devnet",
		Short: "Run the whole bridge on this machine and take a tour",
		Long: "Start a root chain, a subnet node, Redis and a relayer as child processes, deploy the contracts, then move FLT and USDC both ways.\n" +
			"Redis is a private redis-server that keeps what it acknowledges, or yours with --redis. Where none is installed it is one in memory that\n" +
			"forgets everything when it stops, with a warning; --allow-volatile-redis asks for that one.\n" +
			"With --once it ends after the tour, with an error if an invariant is off by one unit. Without, it stays up and writes HOME/devnet.json,\n" +
			"and `causeway transfer|withdraw|credits|status --home HOME` work against it.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			f.plant = devnet.Plant(plant)
			return runDevnet(c, g, f)
		},
	}
	c.Flags().BoolVar(&f.once, "once", false, "end after the tour")
	c.Flags().StringVar(&f.redis, "redis", "", "URL of a Redis to use (default: a private redis-server)")
	c.Flags().BoolVar(&f.volatile, "allow-volatile-redis", false, "use a Redis in memory, which forgets everything when it stops")
	c.Flags().StringVar(&f.root, "root", devnet.RootLotus, "what the root is: lotus, two Lotus nodes with null rounds, or evm, a plain chain of one endpoint")
	c.Flags().StringVar(&f.axelar, "axelar", deploy.GatewayLegacy, "generation of the Axelar gateways between Ethereum and the root: legacy or amplifier; none leaves Ethereum out")
	c.Flags().StringVar(&f.artifacts, "axelar-artifacts", "", "folder of the published Axelar contracts (default: contracts/node_modules/@axelar-network of the repository)")
	c.Flags().StringVar(&f.report, "report", "", "write the report as JSON to this file")
	c.Flags().StringVar(&plant, "plant", "", "put an error of one unit into the bridge: mint, release or message")
	if err := c.Flags().MarkHidden("plant"); err != nil {
		panic("[BUG] " + err.Error())
	}
	return c
}

// noAxelar leaves Ethereum out.
const noAxelar = "none"

type devnetFlags struct {
	once, volatile bool
	redis, report  string
	root           string
	// axelar is the generation of the gateways, or none.
	axelar, artifacts string
	plant             devnet.Plant
}

// check refuses what would fail only once everything else is up.
func (f devnetFlags) check(ctx context.Context, dir string) error {
	if err := f.plant.Check(); err != nil {
		return usageError{err}
	}
	switch f.axelar {
	case deploy.GatewayLegacy, deploy.GatewayAmplifier:
		if _, err := deploy.OpenArtifacts(f.artifacts); err != nil {
			return usage("--axelar %s: %w; `--axelar none` leaves Ethereum out", f.axelar, err)
		}
	case noAxelar:
	default:
		return usage("--axelar: legacy, amplifier or none, not %q", f.axelar)
	}
	if f.root != devnet.RootLotus && f.root != devnet.RootEVM {
		return usage("--root: lotus or evm, not %q", f.root)
	}
	if f.report != "" {
		if err := writable(f.report, dir); err != nil {
			return usage("--report: %w", err)
		}
	}
	if f.redis == "" {
		return nil
	}
	// It must be one that the relayer accepts, which asks at the end again.
	cfg := relayer.Config{Redis: relayer.Redis{URL: f.redis, Namespace: "causeway"}}
	if err := cfg.Redis.Check(); err != nil {
		return usage("--redis: %w", err)
	}
	bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	db, err := relayer.OpenStore(bounded, cfg, false, slog.New(slog.DiscardHandler))
	if bounded.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("--redis: no answer within 5s: %w", store.ErrDown)
	}
	if err != nil {
		return fmt.Errorf("--redis: %w", err)
	}
	return db.Close()
}

// writable says whether a file can be written, by writing beside it. The home
// itself is made later.
func writable(path, dir string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder: give a file", path)
	}
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return err
	}
	if at, err := filepath.Abs(dir); err == nil && at == folder {
		return nil
	}
	f, err := os.CreateTemp(folder, ".tmp-*")
	if err != nil {
		return fmt.Errorf("cannot write into %s: %w", folder, errors.Unwrap(err))
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// write writes the report, if one is asked for.
func (f devnetFlags) write(r devnet.Report) error {
	if f.report == "" {
		return nil
	}
	return r.Write(f.report)
}

func runDevnet(c *cobra.Command, g *globals, f devnetFlags) (err error) {
	ctx, began := c.Context(), time.Now()
	if f.volatile && f.redis != "" {
		return usage("--redis and --allow-volatile-redis exclude each other: see `%s --help`", c.CommandPath())
	}
	if err := f.check(ctx, g.home); err != nil {
		return err
	}
	if f.redis == "" {
		f.volatile = warnVolatile(c, f.volatile)
	}
	dir, cleanup, err := devnetHome(c, g, f.once)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cleanup(err)) }()
	// One devnet per home: a second Redis on one file would ruin it.
	release, err := dir.Lock("a devnet")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	out := c.OutOrStdout()
	if g.json {
		out = c.ErrOrStderr()
	}
	say := func(format string, args ...any) {
		fmt.Fprintf(out, "%6.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	if err := dir.Make(); err != nil {
		return err
	}
	logFile, err := os.OpenFile(filepath.Join(dir.Logs(), "devnet.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer logFile.Close()
	log, err := g.logger(logFile)
	if err != nil {
		return err
	}
	say("home is %s", dir)
	v, _ := build()
	generation := f.axelar
	if generation == noAxelar {
		generation = ""
	}
	net, err := devnet.Start(ctx, devnet.Options{
		Root: f.root, Axelar: generation, Artifacts: f.artifacts,
		Home: dir, Program: program, Redis: f.redis, Volatile: f.volatile, Settings: devnet.Settings(), LogLevel: g.logLevel, Plant: f.plant, Say: say, Log: log,
	})
	if err != nil {
		return errors.Join(err, f.write(devnet.Failed(v, began, err)))
	}
	defer net.Stop()

	r, err := tour(ctx, net, v, began)
	if err != nil {
		failed := devnet.Failed(v, began, err)
		r.OK, r.Seconds, r.Error = false, failed.Seconds, failed.Error
	}
	if werr := f.write(r); werr != nil {
		return errors.Join(err, werr)
	}
	if perr := g.print(c, r, r.Text()); perr != nil {
		return perr
	}
	switch {
	case err != nil:
		return err
	case !r.OK:
		return errors.New("an invariant is broken: see the report")
	}
	say("tour done: %d transfers, every drift 0", len(r.Transfers))
	if f.once {
		return nil
	}
	return stay(ctx, net, say)
}

// warnVolatile says whether Redis is the one in memory, since it is asked for or
// there is no other, and warns of it.
func warnVolatile(c *cobra.Command, asked bool) bool {
	const forgets = "causeway: warning: this devnet's Redis is in memory and forgets everything when it stops"
	_, err := devnet.RedisServer(c.Context())
	switch {
	case asked:
		fmt.Fprintln(c.ErrOrStderr(), forgets)
		return true
	case errors.Is(err, devnet.ErrNoRedis):
		fmt.Fprintf(c.ErrOrStderr(), "%s, since %v\n", forgets, err)
		return true
	}
	return false
}

func tour(ctx context.Context, net *devnet.Net, version string, began time.Time) (devnet.Report, error) {
	transfers, err := net.Tour(ctx)
	if err != nil {
		failed := devnet.Failed(version, began, err)
		failed.Redis = net.Info.Redis
		return failed, err
	}
	return net.Report(ctx, version, began, transfers)
}

// stay keeps the devnet up until it is told to stop or a part of it ends.
func stay(ctx context.Context, net *devnet.Net, say func(string, ...any)) error {
	if net.Info.EthereumURL != "" {
		say("L1      %s", net.Info.EthereumURL)
	}
	say("root    %s", net.Info.RootURL)
	say("subnet  %s (chain id %d)", net.Info.SubnetURL, net.Info.SubnetChainID)
	say("API     %s/v1/transfers", net.Info.API)
	say("metrics %s/metrics", net.Info.Admin)
	say("stop with Ctrl-C")
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			say("stopping")
			return nil
		case <-tick.C:
			if err := net.Failed(); err != nil {
				return err
			}
		}
	}
}

// devnetHome is the folder: --home if given, else a new one that goes away
// after a good tour.
func devnetHome(c *cobra.Command, g *globals, once bool) (home.Dir, func(error) error, error) {
	if c.Flags().Changed("home") {
		dir, err := filepath.Abs(g.home)
		return home.Dir(dir), func(error) error { return nil }, err
	}
	dir, err := os.MkdirTemp("", "causeway-devnet-")
	if err != nil {
		return "", nil, fmt.Errorf("make a folder: %w", err)
	}
	return home.Dir(dir), func(err error) error {
		if err != nil || !once {
			fmt.Fprintln(c.ErrOrStderr(), "the devnet's home stays in", dir)
			return nil
		}
		return os.RemoveAll(dir)
	}, nil
}
