package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/axelar/gmpapi"
	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/google/uuid"
)

// Bounds of what is taken from the service.
const (
	// MaxCall is the most call data that is carried to a gateway, in bytes.
	MaxCall = 128 << 10
	// MaxGas is the most gas that such a call may want.
	MaxGas    = 10_000_000
	pageTasks = 50
	// patience is how long a call that the gateway refuses is tried again: the
	// rotation that it rests on may be on its way.
	patience = 2 * time.Minute
	maxKept  = 10_000
)

// Config is one chain that the service serves.
type Config struct {
	Gateway axelar.Gateway // of the Amplifier generation
	Client  *gmpapi.Client
	File    string // keeps the position, and the executions that the service waits for
	// Mine says whether a message that is approved here is one that the bridge
	// carries.
	Mine func(m axelar.Message, payload []byte) bool
	// States and Standing ask the gateway at its newest block.
	States   func(context.Context, []axelar.Message) ([]axelar.State, error)
	Standing func(context.Context, axelar.WeightedSigners) (axelar.Standing, error)
	Send     func(context.Context, chains.Tx) error
	Clock    func() time.Time // nil = time.Now
	Log      *slog.Logger     // nil = none
}

// Chain works for one chain. Work is for one goroutine, the rest for many.
type Chain struct {
	cfg    Config
	file   *file
	cursor *gmpapi.Cursor

	mu       sync.Mutex
	accepted map[string]bool         // ids of events that the service has taken
	first    map[uuid.UUID]time.Time // when a task was first in vain
	said     map[string]bool         // kinds of tasks that were complained of
}

// ErrGateway says when a chain has a gateway that the service does not serve.
var ErrGateway = errors.New("the GMP API serves no gateways of this generation")

// New reads the file, which may not be there yet.
func New(cfg Config) (*Chain, error) {
	if cfg.Gateway == nil || cfg.Client == nil || cfg.File == "" || cfg.Mine == nil || cfg.States == nil || cfg.Standing == nil || cfg.Send == nil {
		return nil, errors.New("[BUG] gateway, client, file, mine, states, standing and send are required")
	}
	if cfg.Gateway.Kind() != axelar.Amplifier {
		return nil, fmt.Errorf("%s: %w: %s", cfg.Client.Chain(), ErrGateway, cfg.Gateway.Kind())
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	kept, err := openFile(cfg.File)
	if err != nil {
		return nil, err
	}
	c := &Chain{cfg: cfg, file: kept, accepted: map[string]bool{}, first: map[uuid.UUID]time.Time{}, said: map[string]bool{}}
	if c.cursor, err = gmpapi.NewCursor(cfg.Client, kept, pageTasks); err != nil {
		return nil, err
	}
	return c, nil
}

// Name is the chain's name at Axelar.
func (c *Chain) Name() string { return c.cfg.Client.Chain() }

// Work looks at the next page of tasks. more says that there are others behind
// it. After an error the same page comes again; flow.ErrNotYet says that only what
// was sent has to be in a block first.
func (c *Chain) Work(ctx context.Context) (more bool, err error) {
	return c.cursor.Step(ctx, func(ctx context.Context, tasks []gmpapi.Task) error {
		var errs []error
		var waits error
		for _, t := range tasks {
			switch err := c.take(ctx, t); {
			case errors.Is(err, flow.ErrNotYet):
				waits = err
			case err != nil:
				errs = append(errs, fmt.Errorf("task %s: %w", t.ID, err))
			}
		}
		if len(errs) > 0 {
			return errors.Join(errs...)
		}
		if waits != nil {
			return waits
		}
		crash.At("network.after_tasks")
		return nil
	})
}

// take does what a task wants, or says why it cannot be done. An error wants the
// task to come again.
func (c *Chain) take(ctx context.Context, t gmpapi.Task) error {
	switch content := t.Content.(type) {
	case gmpapi.GatewayTx:
		return c.carry(ctx, t.ID, content)
	case gmpapi.Execute:
		m, err := content.Message.Axelar()
		if err != nil || !c.cfg.Mine(m, content.Payload) {
			return c.fail(ctx, t.ID, gmpapi.CustomReason, "this relayer executes nothing but the messages of its own bridge")
		}
		// Its leg executes it once the approval is final, and says so.
		c.file.wait(content.Message.CrossChainID(), t.ID)
		return nil
	case gmpapi.Refund:
		return c.fail(ctx, t.ID, gmpapi.CustomReason, "this relayer is not the gas service's collector, who alone can give back")
	case gmpapi.Broken:
		c.cfg.Log.WarnContext(ctx, "network: a task cannot be read", "chain", c.Name(), "task", t.ID, "type", t.Type, "err", content.Err)
		return c.fail(ctx, t.ID, gmpapi.OtherError, content.Err.Error())
	default:
		// What concerns contracts on Axelar is for those who broadcast there.
		if c.once("type/" + string(t.Type)) {
			c.cfg.Log.InfoContext(ctx, "network: tasks of a type that this relayer leaves to others", "chain", c.Name(), "type", fmt.Sprintf("%.100q", t.Type))
		}
		return nil
	}
}

// carry sends a command to the gateway until there is nothing left of it to do.
// Its key is its content: as long as it is undecided it is not sent twice. That it
// was sent ends nothing, since it may revert in its block.
func (c *Chain) carry(ctx context.Context, id uuid.UUID, g gmpapi.GatewayTx) error {
	if len(g.Data) > MaxCall {
		return c.fail(ctx, id, gmpapi.OtherError, fmt.Sprintf("%d bytes of call data, at most %d are carried", len(g.Data), MaxCall))
	}
	open, err := c.open(ctx, g.Command)
	if err != nil {
		return err
	}
	if !open {
		c.forgive(id)
		return nil
	}
	err = c.cfg.Send(ctx, chains.Tx{
		Key: "gmp/" + crypto.Keccak256Hash(g.Data).Hex(), Group: "gmp/" + c.Name(),
		To: c.cfg.Gateway.Address(), Data: g.Data, Value: new(big.Int), GasCap: MaxGas,
	})
	var revert *chains.RevertError
	switch {
	case err == nil:
		crash.At("network.after_carry")
		return fmt.Errorf("%w: the gateway does not have it", flow.ErrNotYet)
	case errors.Is(err, chains.ErrTooLarge), errors.Is(err, chains.ErrGasLimit):
		return c.fail(ctx, id, gmpapi.OtherError, err.Error())
	case errors.As(err, &revert) || errors.Is(err, chains.ErrReverted):
		if c.hopes(id) {
			return fmt.Errorf("the gateway refuses it: %w", err)
		}
		name := err.Error()
		if revert != nil {
			name = axelar.ClassifyRevert(revert.Data, 0).Name
		}
		c.cfg.Log.WarnContext(ctx, "network: the gateway refuses what Axelar signed", "chain", c.Name(), "task", id, "err", err)
		return c.fail(ctx, id, gmpapi.TxReverted, "the gateway refuses it: "+name)
	}
	return err
}

// open says whether a command would still change the gateway.
func (c *Chain) open(ctx context.Context, cmd axelar.Command) (bool, error) {
	if cmd.Rotate != nil {
		standing, err := c.cfg.Standing(ctx, *cmd.Rotate)
		return standing == axelar.StandingUnknown, err
	}
	states, err := c.cfg.States(ctx, cmd.Approve)
	if err != nil {
		return false, err
	}
	for _, s := range states {
		if s == axelar.StateNone {
			return true, nil
		}
	}
	return false, nil
}

// hopes says whether a task that is in vain now may still come to something.
func (c *Chain) hopes(id uuid.UUID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Clock()
	at, known := c.first[id]
	if !known {
		if len(c.first) >= maxKept {
			clear(c.first)
		}
		c.first[id], at = now, now
	}
	return now.Sub(at) < patience
}

func (c *Chain) forgive(id uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.first, id)
}

// once says whether something is said for the first time.
func (c *Chain) once(what string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.said[what] || len(c.said) >= maxKept {
		return false
	}
	c.said[what] = true
	return true
}

// fail tells the service that a task will not be done.
func (c *Chain) fail(ctx context.Context, id uuid.UUID, reason, details string) error {
	e, err := gmpapi.ReportFailure(id, reason, details, nil)
	if err != nil {
		return err
	}
	errs, err := c.Publish(ctx, []gmpapi.Event{e})
	if err != nil {
		return err
	}
	return errs[0]
}

// Failed tells the service that a message of ours will not be executed, if it has
// asked for that.
func (c *Chain) Failed(ctx context.Context, m axelar.Message, reason string) error {
	id, asked := c.file.waits(gmpapi.CrossChainID{SourceChain: m.SourceChain, MessageID: m.ID})
	if !asked {
		return nil
	}
	return c.fail(ctx, id, gmpapi.OtherError, reason)
}

// Executed tells the service of a message of ours that was executed, and what
// that cost us; nil: somebody else paid.
func (c *Chain) Executed(ctx context.Context, log chains.Event, m axelar.Message, costWei *big.Int) error {
	said, ok, err := c.cfg.Gateway.Decode(log)
	x, executed := said.(axelar.Executed)
	if err != nil || !ok || !executed {
		return fmt.Errorf("[BUG] log %d of %s is no execution", log.Index, log.Tx)
	}
	e, err := gmpapi.ReportExecuted(gmpapi.At{Chain: c.Name(), Log: log}, m, x, costWei)
	if err != nil {
		return err
	}
	errs, err := c.Publish(ctx, []gmpapi.Event{e})
	if err == nil {
		err = errs[0]
	}
	if err != nil {
		return err
	}
	return c.file.done(e.CrossChainID)
}

// Called tells the service of a call of ours and of what was paid for it in its
// transaction, whose events these are.
func (c *Chain) Called(ctx context.Context, service axelar.GasService, tx []chains.Event, index uint) error {
	var ours []chains.Event
	for _, e := range tx {
		if e.Address == service.Address || e.Address == c.cfg.Gateway.Address() {
			ours = append(ours, e)
		}
	}
	calls, _, err := axelar.PairGas(c.cfg.Gateway, service, ours)
	if err != nil {
		return err
	}
	for _, call := range calls {
		if call.Log.Index != index {
			continue
		}
		e, err := gmpapi.ReportCall(gmpapi.At{Chain: c.Name(), Log: call.Log}, call.Call, nil)
		if err != nil {
			return err
		}
		events := []gmpapi.Event{e}
		// What was paid in a token is not published; the call is, all the same.
		if credit, err := gmpapi.ReportPayment(c.Name(), call); err == nil && credit != nil {
			events = append(events, *credit)
		}
		errs, err := c.Publish(ctx, events)
		return errors.Join(append(errs, err)...)
	}
	return fmt.Errorf("no call of the gateway at log %d: %w", index, chains.ErrUnavailable)
}

// Publish tells the service of events, each until it has taken it, and gives what
// became of each; one that it will never take is complained of and let go.
func (c *Chain) Publish(ctx context.Context, events []gmpapi.Event) ([]error, error) {
	out := make([]error, len(events))
	var fresh []gmpapi.Event
	var at []int
	for i, e := range events {
		if !c.knows(e.EventID()) {
			fresh, at = append(fresh, e), append(at, i)
		}
	}
	for size := gmpapi.MaxEvents; len(fresh) > 0; {
		n := min(size, len(fresh))
		results, err := c.cfg.Client.Publish(ctx, fresh[:n])
		if errors.Is(err, gmpapi.ErrTooLarge) && n > 1 {
			size = n / 2
			continue
		}
		if errors.Is(err, gmpapi.ErrTooLarge) {
			results, err = []gmpapi.Result{{Error: err.Error()}}, nil
		}
		if err != nil {
			return out, err
		}
		for i, r := range results {
			if !r.Accepted && r.Retriable {
				out[at[i]] = fmt.Errorf("publish %s: %w: %s", fresh[i].Type(), chains.ErrUnavailable, r.Error)
				continue
			}
			if !r.Accepted {
				c.cfg.Log.WarnContext(ctx, "network: the service does not take an event", "chain", c.Name(), "type", fresh[i].Type(), "event", fresh[i].EventID(), "err", r.Error)
			}
			c.keep(fresh[i].EventID())
		}
		fresh, at = fresh[n:], at[n:]
	}
	return out, nil
}

func (c *Chain) knows(event string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.accepted[event]
}

func (c *Chain) keep(event string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.accepted) >= maxKept {
		clear(c.accepted)
	}
	c.accepted[event] = true
}

var _ gmpapi.Position = (*file)(nil)
