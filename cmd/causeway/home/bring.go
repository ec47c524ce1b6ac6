package home

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/approve"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
)

// StandingOptions of a bridge whose FLT comes from an Ethereum with an Axelar that
// stands already.
type StandingOptions struct {
	Standing
	// L1Deployer sends FLT of its own to the root, and deploys FltSender.
	L1Deployer deploy.Signer
	Artifacts  string // folder of the published contracts; "" looks for it
}

// plan is what is decided before anything is sent, once for a home: a second run
// does neither more nor else.
type plan struct {
	Found found        `json:"found"`
	Asked []portion    `json:"asked"` // by the file and --prefund
	Bring []portion    `json:"bring"` // of it, what the root lacks
	Gas   deploy.Units `json:"gas_wei"`
	// L1From and RootFrom are final blocks of before: what is ours comes later.
	L1From   uint64 `json:"ethereum_from"`
	RootFrom uint64 `json:"root_from"`
}

// portion is FLT for an account on the root, in base units.
type portion struct {
	To     common.Address `json:"to"`
	Amount deploy.Units   `json:"amount"`
}

// ErrOtherPlan says that a home was begun with another crossing, other amounts or
// another gas.
var ErrOtherPlan = errors.New("this deployment was begun with something else")

// standing is FLT on its way through an Axelar that stands already.
type standing struct {
	o        StandingOptions
	step     func(string)
	log      *slog.Logger
	deployer deploy.Signer // on the root
	redis    relayer.Redis
	url      string // of Ethereum

	l1, root       *shore
	backend        *ethclient.Client // of Ethereum
	l1Env, rootEnv deploy.Env
	artifacts      *deploy.Artifacts
	sets           []deploy.SignerSet
	plan           plan
}

// openStanding asks both chains whether all of it is as the file says, and decides
// what is to be done. Nothing has been sent when it returns.
func (d Dir) openStanding(ctx context.Context, o DeployOptions, rootEnv deploy.Env) (_ *standing, err error) {
	s := &standing{o: *o.Standing, step: o.Step, log: o.Log, deployer: o.Deployer, redis: o.Redis, rootEnv: rootEnv}
	if err := s.o.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", relayer.ErrConfig, err)
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.artifacts, err = deploy.OpenArtifacts(s.o.Artifacts); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	o.Step("asking Ethereum and the root what stands there")
	if err := s.connect(ctx, o.RootURL); err != nil {
		return nil, err
	}
	s.l1Env = deploy.Env{Backend: s.backend, StateFile: d.path("deploy-state-ethereum.json"), Log: o.Log}
	for _, set := range s.o.SignerSets {
		s.sets = append(s.sets, signersOf(set))
	}
	f, err := look(ctx, s.o.Standing, s.l1, s.root)
	if err != nil {
		return nil, err
	}
	if err := s.decide(ctx, f, o.PreFund); err != nil {
		return nil, err
	}
	return s, s.settle(ctx, d.path("crossing.json"))
}

// connect opens both endpoints, and sees that the witnesses are Ethereum's.
func (s *standing) connect(ctx context.Context, rootURL string) (err error) {
	if s.url, err = (relayer.Chain{URL: s.o.Ethereum.URL, URLFile: s.o.Ethereum.URLFile}).Endpoint(); err != nil {
		return fmt.Errorf("%w: ethereum.url_file: %w", relayer.ErrConfig, err)
	}
	s.l1 = &shore{name: flow.Ethereum, told: s.o.Ethereum.StandingSet}
	if s.l1.client, s.l1.view, s.l1.head, err = connect(ctx, flow.Ethereum, s.url, s.log); err != nil {
		return err
	}
	s.root = &shore{name: flow.Root, told: s.o.Root}
	if s.root.client, s.root.view, s.root.head, err = connect(ctx, flow.Root, rootURL, s.log); err != nil {
		return err
	}
	for i, url := range s.o.Ethereum.Witnesses {
		name := fmt.Sprintf("ethereum.witnesses[%d]", i)
		w, _, _, err := connect(ctx, name, url, s.log)
		if err != nil {
			return err
		}
		id := w.ChainID()
		w.Close()
		if id != s.l1.client.ChainID() {
			return fmt.Errorf("%w: %s is an endpoint of chain %d, Ethereum is %d", relayer.ErrConfig, name, id, s.l1.client.ChainID())
		}
	}
	if s.backend, err = ethclient.DialContext(ctx, s.url); err != nil {
		return errors.New("connect to Ethereum: the URL is not usable")
	}
	return nil
}

func (s *standing) close() {
	for _, side := range []*shore{s.l1, s.root} {
		if side != nil && side.client != nil {
			side.client.Close()
		}
	}
	if s.backend != nil {
		s.backend.Close()
	}
}

// decide makes the plan of a first run.
func (s *standing) decide(ctx context.Context, f found, preFund []deploy.PreFunder) error {
	var asked, lacks []portion
	for _, b := range s.o.Bring {
		amount, err := tokens.ParseDecimal(b.Amount, tokens.FLT.Decimals)
		if err != nil {
			return err
		}
		asked = append(asked, portion{b.To.Address, deploy.NewUnits(amount.Big())})
	}
	lacks = append(lacks, asked...)
	for _, in := range preFund {
		one := portion{in.Signer.Address(), deploy.NewUnits(in.Amount)}
		asked = append(asked, one)
		have, err := s.root.balance(ctx, f.RootFlt, one.To)
		if err != nil {
			return err
		}
		if have.Cmp(in.Amount) < 0 {
			lacks = append(lacks, one)
		}
	}
	s.plan = plan{
		Found: f, Asked: joined(asked), Bring: joined(lacks), Gas: deploy.NewUnits(s.o.gas()),
		L1From: s.l1.head.Number, RootFrom: s.root.head.Number,
	}
	return nil
}

// settle makes the plan of the run before the one that counts, if there was one,
// and this one durable if it can be paid for.
func (s *standing) settle(ctx context.Context, path string) error {
	raw, err := os.ReadFile(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	switch {
	case fresh:
	case err != nil:
		return fmt.Errorf("read the plan: %w", err)
	default:
		var was plan
		if err := json.Unmarshal(raw, &was); err != nil {
			return fmt.Errorf("read the plan: %w", err)
		}
		if !reflect.DeepEqual(was.Found, s.plan.Found) || !same(was.Asked, s.plan.Asked) || was.Gas.Cmp(s.plan.Gas) != 0 {
			return fmt.Errorf("%w: %w: the crossing's file and --prefund say something else now: undo the change, or begin in another --home", relayer.ErrConfig, ErrOtherPlan)
		}
		s.plan = was
	}
	if _, _, err := s.steps(); err != nil {
		return err
	}
	if err := s.affordable(ctx); err != nil || !fresh {
		return err
	}
	if raw, err = json.MarshalIndent(s.plan, "", "  "); err != nil {
		return fmt.Errorf("encode the plan: %w", err)
	}
	return WriteFile(path, append(raw, '\n'))
}

// joined adds up what is for one account, in the order of its first mention.
func joined(in []portion) []portion {
	out := []portion{}
	at := map[common.Address]int{}
	for _, p := range in {
		i, known := at[p.To]
		if !known {
			at[p.To] = len(out)
			out = append(out, p)
			continue
		}
		out[i].Amount = deploy.NewUnits(new(big.Int).Add(out[i].Amount.Int(), p.Amount.Int()))
	}
	return out
}

func same(a, b []portion) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].To != b[i].To || a[i].Amount.Cmp(b[i].Amount) != 0 {
			return false
		}
	}
	return true
}

// balance is what an account has of a token at the pinned block.
func (s *shore) balance(ctx context.Context, token, of common.Address) (*big.Int, error) {
	flt := bindings.NewDevFlt()
	raw, err := s.view.CallContract(ctx, token, flt.PackBalanceOf(of))
	if err != nil {
		return nil, fmt.Errorf("read the FLT of %s on %s: %w", of, s.name, err)
	}
	return flt.UnpackBalanceOf(raw)
}

// affordable looks whether what has not been sent yet can be.
func (s *standing) affordable(ctx context.Context) error {
	names := make([]string, len(s.plan.Bring))
	by := map[string]Holding{}
	for i, b := range s.plan.Bring {
		names[i] = bringStep(b.To)
		by[names[i]] = Holding{b.To, b.Amount.Int()}
	}
	unsent, err := deploy.Unsent(ctx, s.l1Env, names...)
	if err != nil || len(unsent) == 0 {
		return err
	}
	var sends []Holding
	for _, name := range unsent {
		sends = append(sends, by[name])
	}
	return affords(ctx, s.l1, s.root, s.plan.Found, s.o.L1Deployer.Address(), sends, s.plan.Gas.Int())
}

func bringStep(to common.Address) string { return "flt/bring/" + to.Hex() }

// crossing is the same for whoever puts FLT's own contracts between the chains.
func (s *standing) crossing() *crossing {
	f := s.plan.Found
	return &crossing{
		o: CrossOptions{L1Deployer: s.o.L1Deployer}, artifacts: s.artifacts, l1: s.l1Env, root: s.rootEnv, l1Set: f.L1, rootSet: f.Root,
		token:    deploy.Canonical{Token: f.L1Flt, ID: f.TokenID, Manager: s.l1.service.TokenManager(f.TokenID)},
		deployer: s.deployer, sets: s.sets,
		at: endpoint{url: s.o.Ethereum.URL, urlFile: s.o.Ethereum.URLFile, witnesses: s.o.Ethereum.Witnesses, from: s.plan.L1From},
	}
}

// steps are what is sent on Ethereum: the token service may take as much as it is
// told to send, then it is told.
func (s *standing) steps() (allow, send []deploy.Step, err error) {
	f, sum := s.plan.Found, new(big.Int)
	for _, b := range s.plan.Bring {
		sum.Add(sum, b.Amount.Int())
		data, err := s.l1.service.TransferCalldata(axelar.Send{
			TokenID: f.TokenID, Chain: f.Root.Chain, Destination: b.To.Bytes(), Amount: b.Amount.Int(), GasWei: s.plan.Gas.Int(),
		}, axelar.Target{Refused: []common.Address{f.Root.Gateway, f.Root.Service, f.RootFlt}})
		if err != nil {
			return nil, nil, fmt.Errorf("%w: bring FLT to %s: %w", relayer.ErrConfig, b.To, err)
		}
		send = append(send, deploy.Step{Name: bringStep(b.To), To: f.L1.Service, Data: data, Value: s.plan.Gas.Int()})
	}
	allow = []deploy.Step{{Name: "flt/allow", To: f.L1Flt, Data: bindings.NewDevFlt().PackApprove(f.L1.Service, sum)}}
	return allow, send, nil
}

// begin sends FLT on its way. It takes its time to be final and approved, which
// the deployment on the root need not wait for.
func (s *standing) begin(ctx context.Context) error {
	if len(s.plan.Bring) == 0 {
		return nil
	}
	s.step("sending FLT from Ethereum to the root")
	allow, send, err := s.steps()
	if err != nil {
		return err
	}
	if err := deploy.Post(ctx, s.l1Env, s.o.L1Deployer, allow, send); err != nil {
		return err
	}
	crash.At("deploy.after_bring")
	return nil
}

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

// penniless says whether the relayer's account cannot pay for anything on
// Ethereum.
func (s *standing) penniless(ctx context.Context, key *ecdsa.PrivateKey) (common.Address, bool) {
	at := crypto.PubkeyToAddress(key.PublicKey)
	coins, err := s.l1.client.Balance(ctx, at, evm.AtLatest)
	return at, err == nil && coins.Sign() == 0
}
