package home

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/ethclient"
)

// finalView asks at one final block.
type finalView struct {
	client evm.Reader
	at     evm.BlockRef
}

// CallContract implements axelar.Caller.
func (v finalView) CallContract(ctx context.Context, to common.Address, data []byte) ([]byte, error) {
	return v.client.Call(ctx, to, data, v.at)
}

// shore is one of the two chains as it was found.
type shore struct {
	name    string // ethereum or root
	told    StandingSet
	client  evm.Reader
	view    finalView
	head    chains.Block // final
	gateway axelar.Gateway
	service axelar.Service
	factory common.Address
}

// complaints are what an operator has to mend, as opposed to a chain that cannot
// be asked.
type complaints []error

func (c *complaints) must(ok bool, format string, args ...any) {
	if !ok {
		*c = append(*c, fmt.Errorf(format, args...))
	}
}

// err is all of them, as an error of the configuration.
func (c complaints) err() error {
	if len(c) == 0 {
		return nil
	}
	return fmt.Errorf("%w: what the crossing's file says and the chains do not go together:\n%w", relayer.ErrConfig, errors.Join(c...))
}

// connect opens an endpoint, whatever its chain, and pins its final block.
func connect(ctx context.Context, name, url string, log *slog.Logger) (evm.Reader, finalView, chains.Block, error) {
	var none finalView
	plain, err := ethclient.DialContext(ctx, url)
	if err != nil {
		return nil, none, chains.Block{}, fmt.Errorf("connect to %s: the URL is not usable: %w", name, chains.ErrUnavailable)
	}
	defer plain.Close()
	id, err := plain.ChainID(ctx)
	if err != nil || !id.IsUint64() || id.Sign() == 0 {
		return nil, none, chains.Block{}, fmt.Errorf("connect to %s: it does not tell its chain id: %w", name, chains.ErrUnavailable)
	}
	client, err := evm.Dial(ctx, evm.Config{Name: name, URL: url, ChainID: chains.ID(id.Uint64())}, log)
	if err != nil {
		return nil, none, chains.Block{}, fmt.Errorf("connect to %s: %w", name, err)
	}
	head, err := client.Head(ctx)
	if err != nil {
		client.Close()
		return nil, none, chains.Block{}, fmt.Errorf("final block of %s: %w", name, err)
	}
	return client, finalView{client, evm.AtHash(head.Hash)}, head, nil
}

// unanswered says that a question got no answer, so that it is nobody's mistake.
func unanswered(err error) bool { return err != nil && errors.Is(err, chains.ErrUnavailable) }

// axelarThere asks the contracts of one chain what they are.
func (s *shore) axelarThere(ctx context.Context, c *complaints) error {
	var err error
	s.gateway, err = axelar.Probe(ctx, s.view, s.client.ChainID(), s.told.Gateway.Address)
	if unanswered(err) || ctx.Err() != nil {
		return err
	}
	c.must(err == nil, "%s.gateway: %s on chain %d is no gateway of Axelar's: compare it with Axelar's list of contracts (%v)", s.name, s.told.Gateway, s.client.ChainID(), err)
	s.service, err = axelar.ProbeService(ctx, s.view, s.told.TokenService.Address)
	if unanswered(err) {
		return err
	}
	if err != nil {
		c.must(false, "%s.token_service: %s on chain %d is no Interchain Token Service: compare it with Axelar's list of contracts (%v)", s.name, s.told.TokenService, s.client.ChainID(), err)
		return nil
	}
	gas, factory, err := s.service.Beside(ctx, s.view)
	if unanswered(err) {
		return err
	}
	s.factory = factory
	c.must(err == nil, "%s.token_service: %v", s.name, err)
	c.must(s.service.Gateway == s.told.Gateway.Address, "%s.gateway: the token service speaks through %s, the file says %s", s.name, s.service.Gateway, s.told.Gateway)
	c.must(err != nil || gas == s.told.GasService.Address, "%s.gas_service: the token service pays %s, the file says %s", s.name, gas, s.told.GasService)
	c.must(s.service.Chain == s.told.Chain, "%s.chain: the token service's name for its chain is %q, the file says %q (case counts)", s.name, s.service.Chain, s.told.Chain)
	paused, err := axelar.Ask(ctx, s.view, s.service.Paused())
	if err != nil {
		return fmt.Errorf("ask the token service of %s: %w", s.name, err)
	}
	c.must(!paused, "%s.token_service: it is paused: run this again once its operator has ended that", s.name)
	return nil
}

// trusts asks whether a service sends to and takes from the other chain.
func (s *shore) trusts(ctx context.Context, other *shore, c *complaints) error {
	trusted, err := axelar.Ask(ctx, s.view, s.service.Trusts(other.service.Chain))
	if err != nil {
		return fmt.Errorf("ask the token service of %s: %w", s.name, err)
	}
	how := "setTrustedChain(%q)"
	if s.service.Version == axelar.V211 {
		how = `setTrustedAddress(%q, "hub")`
	}
	c.must(trusted, "%s.token_service: it does not trust %q through the hub: its operator must call "+how+" first", s.name, other.service.Chain, other.service.Chain)
	return nil
}

// signers says whether a set of the file approves here now.
func (s *shore) signers(ctx context.Context, sets []deploy.SignerSet, c *complaints) error {
	for _, set := range sets {
		known := SignerSetOf(set)
		if s.gateway.CheckSigners(known) != nil {
			continue
		}
		standing, err := axelar.Ask(ctx, s.view, s.gateway.Standing(known))
		if err != nil {
			return fmt.Errorf("ask the gateway of %s for its signers: %w", s.name, err)
		}
		if standing == axelar.StandingLatest {
			return nil
		}
	}
	c.must(len(sets) == 0, "signer_sets: none of them is the one that approves at the gateway of %s now: add the set that is (its addresses, weights, threshold and nonce)", s.name)
	return nil
}

// registration is how a token service came to know FLT.
type registration struct {
	block  uint64
	kind   axelar.ManagerType
	minter common.Address
	found  bool
}

// registered looks for the events of the registration, from the start block on.
func (s *shore) registered(ctx context.Context, id common.Hash) (registration, error) {
	var out registration
	cur := chains.Cursor{Chain: s.client.ChainID(), Next: s.told.StartBlock}
	for cur.Next <= s.head.Number {
		last, events, err := s.client.Events(ctx, chains.Query{From: cur, To: s.head.Number, Filter: s.service.Registration(id)})
		if err != nil {
			return out, fmt.Errorf("look for the registration of FLT on %s: %w", s.name, err)
		}
		for _, e := range events {
			said, ok, err := s.service.ReadRegistration(e)
			if !ok || err != nil {
				continue
			}
			switch v := said.(type) {
			case axelar.Registered:
				out.block, out.kind, out.found = e.Block, v.Type, true
			case axelar.Made:
				out.minter = v.Minter
			}
		}
		if out.found {
			return out, nil
		}
		cur = chains.Cursor{Chain: cur.Chain, Next: last.Number + 1, Parent: last.Hash}
	}
	return out, nil
}

// tokenThere checks FLT at one service: what it knows by the id, how it holds it,
// and its decimals.
func (s *shore) tokenThere(ctx context.Context, id common.Hash, kind axelar.ManagerType, missing string, c *complaints) (common.Address, uint64, error) {
	token, known, err := s.service.Token(ctx, s.view, id)
	if err != nil {
		return token, 0, err
	}
	if !known {
		c.must(false, "flt: the token service of %s has no token %s at its final block %d yet: %s, then run this again", s.name, id, s.head.Number, missing)
		return token, 0, nil
	}
	decimals, ok, err := s.service.Decimals(ctx, s.view, id)
	if err != nil {
		return token, 0, err
	}
	c.must(ok && decimals == tokens.FLT.Decimals, "flt: %s on %s has %d decimals, FLT has %d", token, s.name, decimals, tokens.FLT.Decimals)
	r, err := s.registered(ctx, id)
	if err != nil {
		return token, 0, err
	}
	if !r.found {
		c.must(false, "%s.start_block: FLT was registered before block %d: give a block at or below that", s.name, s.told.StartBlock)
		return token, 0, nil
	}
	c.must(r.kind == kind, "flt: its token manager on %s is of type %s: it must be %s", s.name, r.kind, kind)
	c.must(r.minter == common.Address{}, "flt: %s may mint it on %s: nobody but the token service may", r.minter, s.name)
	return token, r.block, nil
}

// found is what look has made sure of.
type found struct {
	L1, Root deploy.AxelarSet
	TokenID  common.Hash
	L1Flt    common.Address
	RootFlt  common.Address
}

// look asks both chains, at their final blocks, whether FLT can cross by what
// stands there as the file says. It sends nothing.
func look(ctx context.Context, s Standing, l1, root *shore) (found, error) {
	var none found
	var c complaints
	c.must(l1.client.ChainID() != root.client.ChainID(), "ethereum.url: it is the endpoint of the root, chain %d", root.client.ChainID())
	for _, side := range []*shore{l1, root} {
		if err := side.axelarThere(ctx, &c); err != nil {
			return none, err
		}
	}
	if err := c.err(); err != nil {
		return none, err
	}

	c.must(l1.service.Hub == root.service.Hub, "the token services have different hubs, %s and %s: they are of different networks", l1.service.Hub, root.service.Hub)
	c.must(l1.service.Chain != root.service.Chain, "both token services call their chain %q", root.service.Chain)
	var sets []deploy.SignerSet
	for _, set := range s.SignerSets {
		sets = append(sets, signersOf(set))
	}
	for _, pair := range [][2]*shore{{l1, root}, {root, l1}} {
		if err := pair[0].trusts(ctx, pair[1], &c); err != nil {
			return none, err
		}
		if err := pair[0].signers(ctx, sets, &c); err != nil {
			return none, err
		}
	}
	if err := c.err(); err != nil {
		return none, err
	}

	f := found{TokenID: s.TokenID}
	if f.TokenID == (common.Hash{}) {
		f.TokenID = axelar.CanonicalTokenID(l1.service.Chain, s.Flt.Address)
	}
	var block [2]uint64
	var err error
	if f.L1Flt, block[0], err = l1.tokenThere(ctx, f.TokenID, axelar.ManagerLockUnlock,
		fmt.Sprintf("registerCanonicalInterchainToken(%s) of the factory %s makes it known", s.Flt, l1.factory), &c); err != nil {
		return none, err
	}
	c.must(f.L1Flt == common.Address{} || f.L1Flt == s.Flt.Address, "flt: token %s is %s on ethereum, the file says %s", f.TokenID, f.L1Flt, s.Flt)
	if f.RootFlt, block[1], err = root.tokenThere(ctx, f.TokenID, axelar.ManagerNative,
		fmt.Sprintf("deployRemoteCanonicalInterchainToken(%s, %q, gas) of the factory %s on ethereum asks for it, and what it sends must be approved and executed on the root", s.Flt, root.service.Chain, l1.factory), &c); err != nil {
		return none, err
	}
	c.must(f.RootFlt == common.Address{} || f.RootFlt == root.service.InterchainToken(f.TokenID), "flt: on the root it is %s, which the token service did not make", f.RootFlt)
	f.L1, f.Root = l1.set(block[0]), root.set(block[1])
	return f, c.err()
}

// set is what a deployment keeps of one chain.
func (s *shore) set(start uint64) deploy.AxelarSet {
	return deploy.AxelarSet{
		Generation: s.gateway.Kind().String(), Chain: s.service.Chain, Hub: s.service.Hub, ChainID: s.client.ChainID(),
		Gateway: s.told.Gateway.Address, GasService: s.told.GasService.Address, Service: s.service.Address, Factory: s.factory, StartBlock: start,
	}
}

// affords checks that an account on Ethereum has the FLT that is to be sent, the
// coins that are paid with it, and that the flow limits let it through.
func affords(ctx context.Context, l1, root *shore, f found, from common.Address, sends []Holding, gas *big.Int) error {
	var c complaints
	sum := new(big.Int)
	for _, h := range sends {
		sum.Add(sum, h.Amount)
	}
	token := bindings.NewDevFlt()
	raw, err := l1.view.CallContract(ctx, f.L1Flt, token.PackBalanceOf(from))
	if err != nil {
		return fmt.Errorf("read the FLT of %s on ethereum: %w", from, err)
	}
	have, err := token.UnpackBalanceOf(raw)
	if err != nil {
		return fmt.Errorf("read the FLT of %s on ethereum: %w", from, err)
	}
	c.must(have.Cmp(sum) >= 0, "the account %s has %s base units of FLT on ethereum and is to send %s: send it %s more, then run this again", from, have, sum, new(big.Int).Sub(sum, have))
	coins, err := l1.client.Balance(ctx, from, l1.view.at)
	if err != nil {
		return fmt.Errorf("read the coins of %s on ethereum: %w", from, err)
	}
	pays := new(big.Int).Mul(gas, big.NewInt(int64(len(sends))))
	c.must(coins.Cmp(pays) > 0, "the account %s has %s wei on ethereum: it pays %s wei with its messages (gas_wei), and for its transactions", from, coins, pays)
	for _, side := range []struct {
		*shore
		direction axelar.Direction
	}{{l1, axelar.FlowOut}, {root, axelar.FlowIn}} {
		flow, err := axelar.Ask(ctx, side.view, side.service.Flow(f.TokenID))
		if err != nil {
			return fmt.Errorf("read the flow limit of FLT on %s: %w", side.name, err)
		}
		for _, h := range sends {
			err := flow.Check(side.direction, h.Amount)
			c.must(!errors.Is(err, axelar.ErrFlowAmount), "the flow limit of FLT on %s is %s, less than the %s for %s: raise it, or bring less", side.name, flow.Limit, h.Amount, h.To)
		}
	}
	return c.err()
}
