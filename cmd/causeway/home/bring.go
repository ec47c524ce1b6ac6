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

	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
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

// penniless says whether the relayer's account cannot pay for anything on
// Ethereum.
func (s *standing) penniless(ctx context.Context, key *ecdsa.PrivateKey) (common.Address, bool) {
	at := crypto.PubkeyToAddress(key.PublicKey)
	coins, err := s.l1.client.Balance(ctx, at, evm.AtLatest)
	return at, err == nil && coins.Sign() == 0
}
