package approve

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

func TestTwoOfThreeSignersApproveABatch(t *testing.T) {
	server := startRedis(t)
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, kind, server)
			q := w.quorum()
			w.chain[l1Name].mine(transfer(l1Name, rootName, 100), direct(1), transfer(l1Name, rootName, 200))
			w.chain[l1Name].mine(direct(2))
			wanted := w.wanted(l1Name)
			require.Len(t, wanted, 4)

			signed, err := q.Approve(ctx, wanted)
			require.NoError(t, err)
			require.Empty(t, signed, "nobody has signed")
			require.Len(t, w.up(rootName), 1)

			// The third is down.
			one, two := w.signer(0), w.signer(1)
			one.turn()
			signed, err = q.Approve(ctx, wanted)
			require.NoError(t, err)
			require.Empty(t, signed, "one of two")
			two.turn()
			signed, err = q.Approve(ctx, wanted)
			require.NoError(t, err)
			require.Len(t, signed, 1)
			require.Equal(t, []int{0, 1, 2, 3}, signed[0].Covers)

			// It is the call that the gateway takes.
			p := w.up(rootName)[0]
			signatures, err := w.db.Signatures(ctx, []store.Proposal{p})
			require.NoError(t, err)
			g, set := w.gateway[rootName], SetFor(w.gateway[rootName], w.team.set)
			data, err := g.Calldata(set, command(p), signatures[0])
			require.NoError(t, err)
			require.Equal(t, chains.Tx{Key: signed[0].Key, To: g.Address(), Data: data, Value: new(big.Int)}, signed[0].Tx)
			require.Equal(t, "approve/filecoin/"+p.Digest.Hex(), signed[0].Key)

			// Asked for a part, the same call answers; nothing new is put up.
			signed, err = q.Approve(ctx, wanted[2:])
			require.NoError(t, err)
			require.Equal(t, []int{0, 1}, signed[0].Covers)
			require.Len(t, w.up(rootName), 1)
			require.Equal(t, 2, w.signatures(p))
			require.Zero(t, one.count+two.count)
		})
	}
}

// TestASignerSignsNothingThatItDidNotSee: whatever is put up.
func TestASignerSignsNothingThatItDidNotSee(t *testing.T) {
	server := startRedis(t)
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, kind, server)
			w.chain[l1Name].mine(transfer(l1Name, rootName, 100), direct(1))
			s := w.signer(0)
			require.NoError(t, s.read())
			real := asProposed(w.wanted(l1Name)...)
			require.Len(t, real, 2)
			forged := real[1]
			forged.ID.Tx[0] ^= 1
			forged.Message.ID = forged.ID.String()

			elsewhere := w.wanted(l1Name)
			for what, put := range map[string]struct {
				reason Reason
				later  bool
				do     func() store.Proposal
			}{
				"a call that never was": {ReasonUnseen, true, func() store.Proposal { return w.put(rootName, []store.ProposedMessage{forged}) }},
				"one among others":      {ReasonUnseen, true, func() store.Proposal { return w.put(rootName, append(real[:1:1], forged)) }},
				"another position": {ReasonUnseen, true, func() store.Proposal {
					m := real[1]
					m.ID.Index++
					m.Message.ID = m.ID.String()
					return w.put(rootName, []store.ProposedMessage{m})
				}},
				"another chain": {ReasonUnseen, true, func() store.Proposal {
					m := real[1]
					m.From, m.Message.SourceChain = rootName, rootName
					return w.put(rootName, []store.ProposedMessage{m})
				}},
				"another payload": {ReasonDigest, false, func() store.Proposal {
					m := real[1]
					m.Message.PayloadHash = flipped(m.Message.PayloadHash)
					return w.put(rootName, []store.ProposedMessage{m})
				}},
				"another contract": {ReasonDigest, false, func() store.Proposal {
					m := real[1]
					m.Message.Contract = common.Address{0x66}
					return w.put(rootName, []store.ProposedMessage{m})
				}},
				"a message in the name of another call": {ReasonDigest, false, func() store.Proposal {
					m := real[1]
					m.Message = forged.Message
					return w.put(rootName, []store.ProposedMessage{m})
				}},
				"a digest of something else": {ReasonDigest, false, func() store.Proposal {
					return w.put(rootName, real, func(p *store.Proposal) { p.Digest = flipped(p.Digest) })
				}},
				"another order than the digest's": {ReasonDigest, false, func() store.Proposal {
					return w.put(rootName, real, func(p *store.Proposal) { p.Messages = []store.ProposedMessage{real[1], real[0]} })
				}},
				"a call twice":             {ReasonTwice, false, func() store.Proposal { return w.put(rootName, []store.ProposedMessage{real[1], real[1]}) }},
				"a call for another chain": {ReasonRoute, false, func() store.Proposal { return w.put(l1Name, asProposed(elsewhere[1])) }},
				"another set": {ReasonSet, false, func() store.Proposal {
					return w.put(rootName, real, func(p *store.Proposal) { p.Set, p.Digest = flipped(p.Set), flipped(p.Digest) })
				}},
				"other signers": {ReasonSet, false, func() store.Proposal {
					return w.put(rootName, real, func(p *store.Proposal) { p.Signers, p.Digest = p.Signers[1:], flipped(p.Digest) })
				}},
				"a rotation": {ReasonRotation, false, func() store.Proposal {
					next := SetFor(w.gateway[rootName], newTeam(9, 1, 1).set)
					return w.put(rootName, nil, func(p *store.Proposal) { p.Next = &next })
				}},
			} {
				clear(s.refused)
				p := put.do()
				s.looks()
				require.Zero(t, w.signatures(p), what)
				require.NotNil(t, s.refused[p.Digest], what)
				require.Equal(t, put.reason, s.refused[p.Digest].Reason, "%s: %v", what, s.refused[p.Digest])
				require.Equal(t, put.later, s.refused[p.Digest].Later, what)
				told := s.count
				s.looks()
				require.Equal(t, told, s.count, "%s: told once", what)
				require.NoError(t, w.db.DropProposal(ctx, p, "test"))
			}
			require.Empty(t, s.cfg.Ledger.Summary().Recent, "nothing was even recorded")

			// What is true is signed, in the midst of it.
			junk := w.put(rootName, []store.ProposedMessage{forged})
			good := w.put(rootName, real)
			s.looks()
			require.Equal(t, 1, w.signatures(good))
			require.Zero(t, w.signatures(junk))
		})
	}
}

// TestADigestIsNotSpoiledByWhoTakesItFirst: a refusal is of what was put up, not of
// its name.
func TestADigestIsNotSpoiledByWhoTakesItFirst(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, startRedis(t))
	w.chain[l1Name].mine(direct(1), direct(2))
	wanted := w.wanted(l1Name)
	s := w.signer(0)
	good := w.put(rootName, asProposed(wanted[0]))
	require.NoError(t, w.db.DropProposal(ctx, good, "test"))
	for _, to := range []string{rootName, l1Name} {
		bad := w.put(to, asProposed(wanted[1]), func(p *store.Proposal) { p.Digest = good.Digest })
		s.turn()
		require.Zero(t, w.signatures(bad))
	}
	// Nor by the very same at another gateway.
	require.NoError(t, w.db.DropProposal(ctx, store.Proposal{To: l1Name, Digest: good.Digest}, "test"))
	same := w.put(l1Name, asProposed(wanted[0]), func(p *store.Proposal) { p.Digest, p.Set, p.Signers = good.Digest, good.Set, good.Signers })
	require.Equal(t, same.Messages, good.Messages)
	s.looks()
	require.Equal(t, ReasonRoute, s.refused[good.Digest].Reason)

	// The relayer sees that something else goes by the name, and puts it right.
	q := w.quorum()
	_, err := q.Approve(ctx, wanted[:1])
	require.NoError(t, err)
	_, err = q.Approve(ctx, wanted[:1])
	require.NoError(t, err)
	s.looks()
	require.Equal(t, 1, w.signatures(good))
}

// TestSignaturesThatDoNotCountDoNoHarm: whatever lies under a signer's name.
func TestSignaturesThatDoNotCountDoNoHarm(t *testing.T) {
	server := startRedis(t)
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, kind, server)
			q := w.quorum()
			w.chain[l1Name].mine(direct(1))
			wanted := w.wanted(l1Name)
			_, err := q.Approve(ctx, wanted)
			require.NoError(t, err)
			p := w.up(rootName)[0]
			signature := func(i int, d common.Hash) []byte {
				out, err := ipc.Sign(w.team.keys[i], d)
				require.NoError(t, err)
				return out
			}
			g := w.gateway[rootName]
			another := SetFor(g, newTeam(1, 3, 1).set)
			anothers, err := g.Digest(another, command(p))
			require.NoError(t, err)
			good := signature(0, p.Digest)
			for what, under := range map[string]map[int][]byte{
				"one alone":                 {0: good},
				"one under two names":       {0: good, 1: good},
				"another's under our name":  {0: signature(1, p.Digest)},
				"high s":                    {0: high(good), 1: high(signature(1, p.Digest))},
				"over another set's digest": {0: signature(0, anothers), 1: signature(1, anothers), 2: signature(2, anothers)},
				"over something else":       {0: signature(0, flipped(p.Digest)), 1: good},
				"with v of 0 or 1":          {0: append(good[:64:64], good[64]-27), 1: append(signature(1, p.Digest)[:64:64], 0)},
				"noise":                     {0: make([]byte, 65), 1: append(make([]byte, 64), 27)},
				"of a stranger":             {0: good, 2: func() []byte { s, _ := ipc.Sign(newTeam(8, 1, 1).keys[0], p.Digest); return s }()},
			} {
				if what == "over another set's digest" && kind == axelar.Legacy {
					require.Equal(t, p.Digest, anothers, "a legacy gateway's digest names no set")
					continue
				}
				for i := range 3 {
					s := under[i]
					if s == nil {
						s = make([]byte, 65)
					}
					require.NoError(t, w.db.Sign(ctx, p, w.team.address(i), s))
				}
				signed, err := q.Approve(ctx, wanted)
				require.NoError(t, err, what)
				require.Empty(t, signed, what)
			}
			// The signers put theirs in the place of what lies there.
			for i := range 2 {
				w.signer(i).turn()
			}
			signed, err := q.Approve(ctx, wanted)
			require.NoError(t, err)
			require.Len(t, signed, 1)
			// And again, when somebody puts something over it.
			s := w.signer(2)
			s.turn()
			require.NoError(t, w.db.Sign(ctx, p, w.team.address(2), make([]byte, 65)))
			s.turn()
			require.Equal(t, 3, w.signatures(p))
		})
	}
}

// TestOneHonestSignerOfTwoKeepsAForgeryOut: the other one signs anything.
func TestOneHonestSignerOfTwoKeepsAForgeryOut(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, startRedis(t))
	honest := w.signer(0)
	w.chain[l1Name].mine(direct(1))
	forged := flow.Wanted{From: l1Name, ID: axelar.MessageID{Tx: common.Hash{1}}}
	forged.Message = axelar.Message{SourceChain: l1Name, ID: forged.ID.String(), SourceAddress: sender.Hex(), Contract: taker, PayloadHash: common.Hash{2}}
	// Even a relayer that wants it gets nothing.
	q := w.quorum()
	for range 3 {
		for range 2 { // it is dropped for want of patience, and put up again
			signed, err := q.Approve(ctx, []flow.Wanted{forged})
			require.NoError(t, err)
			require.Empty(t, signed)
		}
		p := w.up(rootName)[0]
		s, err := ipc.Sign(w.team.keys[1], p.Digest)
		require.NoError(t, err)
		require.NoError(t, w.db.Sign(ctx, p, w.team.address(1), s))
		honest.turn()
		require.Equal(t, ReasonUnseen, honest.refused[p.Digest].Reason)
		require.Equal(t, 1, w.signatures(p))
		w.clock = w.clock.Add(time.Hour)
	}
}

// TestACallIsSignedForOnceItIsSeen: an endpoint that lags delays, and that is all.
func TestACallIsSignedForOnceItIsSeen(t *testing.T) {
	w := newWorld(t, axelar.Legacy, startRedis(t))
	q, s := w.quorum(), w.signer(0)
	w.chain[l1Name].mine(direct(1))
	_, err := q.Approve(ctx, w.wanted(l1Name))
	require.NoError(t, err)
	p := w.up(rootName)[0]
	s.looks()
	require.Equal(t, ReasonUnseen, s.refused[p.Digest].Reason)

	w.chain[l1Name].lie(func(c *fakeChain) { c.fails = chains.ErrUnavailable })
	require.ErrorIs(t, s.read(), chains.ErrUnavailable)
	s.looks()
	require.Zero(t, w.signatures(p))

	// Known but not to be asked again: not yet either.
	w.chain[l1Name].lie(func(c *fakeChain) { c.fails = nil })
	require.NoError(t, s.read())
	w.chain[l1Name].lie(func(c *fakeChain) { c.fails = chains.ErrUnavailable })
	s.looks()
	require.Equal(t, ReasonChain, s.refused[p.Digest].Reason)
	require.True(t, s.refused[p.Digest].Later)
	require.Zero(t, w.signatures(p))
	w.chain[l1Name].lie(func(c *fakeChain) { c.fails = nil })
	s.looks()
	require.Equal(t, 1, w.signatures(p))
}

// TestAChainThatContradictsTheLedgerIsNotSignedFor: PROTOCOL 41.
func TestAChainThatContradictsTheLedgerIsNotSignedFor(t *testing.T) {
	server := startRedis(t)
	// reread makes a signer read the chain from the start on, as after it lost its
	// cursors.
	reread := func(w *world, s *person) *person {
		dir := s.cfg.Ledger.dir
		require.NoError(w.t, s.cfg.Ledger.Close())
		require.NoError(w.t, os.Remove(filepath.Join(dir, cursorsFile)))
		return w.person(w.signerConfig(0, dir))
	}
	for what, lie := range map[string]func(c *fakeChain){
		"a second position of the same log": func(c *fakeChain) { c.events[0].Position-- },
		"another payload": func(c *fakeChain) {
			e := direct(9, 9)
			c.events[0].Topics, c.events[0].Data = e.Topics, e.Data
		},
		"another sender's": func(c *fakeChain) {
			e := transfer(l1Name, rootName, 5)
			c.events[0].Topics, c.events[0].Data = e.Topics, e.Data
		},
		"another log of the same position": func(c *fakeChain) { c.events[0].Index++ },
		"another block":                    func(c *fakeChain) { c.events[0].BlockHash = flipped(c.events[0].BlockHash) },
		"two logs at one position": func(c *fakeChain) {
			e := c.events[0]
			e.Index++
			c.events = append(c.events, e)
		},
		"an impossible position": func(c *fakeChain) { c.events[0].Position = c.events[0].Index + 1 },
	} {
		w := newWorld(t, axelar.Amplifier, server)
		w.chain[l1Name].mine(direct(1))
		s := w.signer(0)
		require.NoError(t, s.read())
		before := s.cfg.Ledger.Summary()
		good := asProposed(w.wanted(l1Name)...)
		w.chain[l1Name].lie(lie)
		s = reread(w, s)
		err := s.read()
		require.True(t, errors.Is(err, ErrContradiction) || errors.Is(err, ErrEvent), "%s: %v", what, err)
		require.Equal(t, before.Lines, s.cfg.Ledger.Summary().Lines, what)
		p := w.put(rootName, good)
		s.looks()
		require.Zero(t, w.signatures(p), what)
		require.Equal(t, ReasonChain, s.refused[p.Digest].Reason, what)

		// Nor after it was told the truth again, until it is started again.
		w.chain[l1Name].lie(func(c *fakeChain) { c.events = nil })
		require.NoError(t, s.read())
		s.looks()
		require.Zero(t, w.signatures(p), what)
		w.chain[l1Name].lie(func(c *fakeChain) { c.append("", direct(7)) })
		s = reread(w, s)
		s.turn()
		require.Equal(t, 1, w.signatures(p), what)
	}
}

// TestAnImpossiblePositionStopsAReader, though it has nothing to compare it with.
func TestAnImpossiblePositionStopsAReader(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, startRedis(t))
	w.chain[l1Name].mine(direct(1))
	w.chain[l1Name].lie(func(c *fakeChain) { c.events[0].Position = c.events[0].Index + 1 })
	s := w.signer(0)
	require.ErrorIs(t, s.read(), ErrEvent)
	require.Empty(t, s.cfg.Ledger.Summary().Calls)
	// One that cannot be read does so too.
	w = newWorld(t, axelar.Amplifier, startRedis(t))
	w.chain[l1Name].mine(direct(1))
	w.chain[l1Name].lie(func(c *fakeChain) { c.events[0].Data = c.events[0].Data[1:] })
	s = w.signer(0)
	require.ErrorIs(t, s.read(), ErrEvent)
	require.ErrorIs(t, s.byName[l1Name].unwell(), ErrEvent)
}

// TestAnEventThatVanishesIsNotSignedFor: the block of a call is asked for once more.
func TestAnEventThatVanishesIsNotSignedFor(t *testing.T) {
	server := startRedis(t)
	for what, keep := range map[string]bool{"gone": false, "in another block": true} {
		w := newWorld(t, axelar.Amplifier, server)
		w.chain[l1Name].mine(direct(1))
		w.chain[l1Name].mine()
		s := w.signer(0)
		require.NoError(t, s.read())
		p := w.put(rootName, asProposed(w.wanted(l1Name)...))
		w.chain[l1Name].reorg(2, func(chains.Event) bool { return keep })
		s.looks()
		require.Zero(t, w.signatures(p), what)
		require.Equal(t, ReasonChanged, s.refused[p.Digest].Reason, what)
		// The reader finds out too, by its cursor, and after it was started again.
		w.chain[l1Name].mine()
		require.ErrorIs(t, s.read(), chains.ErrReorg, what)
		require.NoError(t, s.cfg.Ledger.Close())
		s = w.person(w.signerConfig(0, s.cfg.Ledger.dir))
		require.ErrorIs(t, s.read(), chains.ErrReorg, what)
		s.looks()
		require.Zero(t, w.signatures(p), what)
		require.Equal(t, ReasonChain, s.refused[p.Digest].Reason, what)
	}
	// What would come back to that chain waits too: what has gone there is in doubt.
	w := newWorld(t, axelar.Amplifier, server)
	w.chain[l1Name].mine(transfer(l1Name, rootName, 5))
	w.chain[rootName].mine(transfer(rootName, l1Name, 5))
	s := w.signer(0)
	require.NoError(t, s.read())
	p := w.put(l1Name, asProposed(w.wanted(rootName)...))
	w.chain[l1Name].reorg(1, func(chains.Event) bool { return false })
	require.ErrorIs(t, s.read(), chains.ErrReorg)
	s.looks()
	require.Zero(t, w.signatures(p))
	require.Equal(t, ReasonChain, s.refused[p.Digest].Reason)

	// A head that changed without a new block is noticed as well.
	w = newWorld(t, axelar.Amplifier, server)
	s = w.signer(0)
	w.chain[l1Name].mine(direct(1))
	require.NoError(t, s.read())
	w.chain[l1Name].reorg(1, func(chains.Event) bool { return false })
	require.ErrorIs(t, s.read(), chains.ErrReorg)
}

// TestNoMoreOfATokenComesBackThanHasGone: the supply rule of the hub.
func TestNoMoreOfATokenComesBackThanHasGone(t *testing.T) {
	server := startRedis(t)
	w := newWorld(t, axelar.Amplifier, server)
	dir := t.TempDir()
	s := w.person(w.signerConfig(0, dir))
	w.chain[l1Name].mine(transfer(l1Name, rootName, 100))
	w.chain[rootName].mine(transfer(rootName, l1Name, 60), transfer(rootName, l1Name, 50), transfer(rootName, l1Name, 40))
	back := w.wanted(rootName)
	require.NoError(t, s.read())

	first := w.put(l1Name, asProposed(back[0]))
	over := w.put(l1Name, asProposed(back[1]))
	rest := w.put(l1Name, asProposed(back[2]))
	s.looks()
	require.Equal(t, 1, w.signatures(first))
	require.Zero(t, w.signatures(over))
	require.Equal(t, ReasonSupply, s.refused[over.Digest].Reason)
	require.True(t, s.refused[over.Digest].Later, "its view of l1 may lag")
	require.Equal(t, 1, w.signatures(rest), "what fits is not held up")

	// What was signed for is signed for again, in another batch too, after a
	// restart too.
	require.NoError(t, s.cfg.Ledger.Close())
	s = w.person(w.signerConfig(0, dir))
	require.NoError(t, w.db.DropProposal(ctx, first, "test"))
	require.NoError(t, w.db.DropProposal(ctx, rest, "test"))
	both := w.put(l1Name, asProposed(back[2], back[0]))
	s.turn()
	require.Equal(t, 1, w.signatures(both))
	require.Zero(t, w.signatures(over))

	// More has gone: it may come back.
	w.chain[l1Name].mine(transfer(l1Name, rootName, 49))
	s.turn()
	require.Zero(t, w.signatures(over))
	w.chain[l1Name].mine(transfer(l1Name, rootName, 1))
	s.turn()
	require.Equal(t, 1, w.signatures(over))

	// A batch counts as a whole.
	w.chain[l1Name].mine(transfer(l1Name, rootName, 10))
	w.chain[rootName].mine(transfer(rootName, l1Name, 6), transfer(rootName, l1Name, 5))
	more := w.wanted(rootName)[3:]
	require.NoError(t, s.read())
	pair := w.put(l1Name, asProposed(more...))
	s.looks()
	require.Zero(t, w.signatures(pair))
	require.Equal(t, ReasonSupply, s.refused[pair.Digest].Reason)
}

// TestTheRulesOfTheHubHold: what its routers would refuse, and why.
func TestTheRulesOfTheHubHold(t *testing.T) {
	server := startRedis(t)
	unknown := axelar.Transfer{TokenID: common.Hash{1}, Source: sender[:], Destination: taker[:], Amount: big.NewInt(1)}
	deploy := axelar.DeployToken{TokenID: flt, Name: "Fluence", Symbol: "FLT", Decimals: allOf18}
	with := func(change func(*axelar.DeployToken)) axelar.DeployToken {
		d := deploy
		change(&d)
		return d
	}
	decimals := func(chain string, n uint8, ok bool, err error) func(*SignerConfig) {
		return func(c *SignerConfig) {
			for i := range c.Chains {
				if c.Chains[i].Name == chain {
					c.Chains[i].Decimals = func(context.Context, common.Hash) (uint8, bool, error) { return n, ok, err }
				}
			}
		}
	}
	for what, row := range map[string]struct {
		event  chains.Event
		from   string
		change func(*SignerConfig)
		reason Reason
		later  bool
	}{
		"a transfer":            {event: transfer(l1Name, rootName, 1)},
		"a deployment":          {event: toHub(l1Name, rootName, deploy)},
		"a direct call":         {event: direct(1)},
		"from a frozen chain":   {event: transfer(l1Name, rootName, 1), change: func(c *SignerConfig) { c.Rules.Frozen = []string{l1Name} }, reason: ReasonFrozen},
		"to a frozen chain":     {event: direct(1), change: func(c *SignerConfig) { c.Rules.Frozen = []string{rootName} }, reason: ReasonFrozen},
		"from an untrusted one": {event: direct(1), change: func(c *SignerConfig) { c.Rules.Trusted = []string{rootName} }, reason: ReasonTrust},
		"to an untrusted one":   {event: transfer(l1Name, rootName, 1), change: func(c *SignerConfig) { c.Rules.Trusted = []string{l1Name} }, reason: ReasonTrust},
		"an unknown token":      {event: toHub(l1Name, rootName, unknown), reason: ReasonToken},
		"nothing":               {event: transfer(l1Name, rootName, 0), reason: ReasonToken},
		"a link":                {event: toHub(l1Name, rootName, axelar.LinkToken{TokenID: flt}), reason: ReasonKind},
		"a deployment home":     {event: toHub(rootName, l1Name, deploy), from: rootName, reason: ReasonToken},
		"with other decimals":   {event: toHub(l1Name, rootName, with(func(d *axelar.DeployToken) { d.Decimals = 6 })), reason: ReasonDecimals},
		"with a minter":         {event: toHub(l1Name, rootName, with(func(d *axelar.DeployToken) { d.Minter = sender[:] })), reason: ReasonToken},
		"of an unknown token":   {event: toHub(l1Name, rootName, with(func(d *axelar.DeployToken) { d.TokenID = common.Hash{1} })), reason: ReasonToken},
		"other decimals here":   {event: transfer(l1Name, rootName, 1), change: decimals(l1Name, 6, true, nil), reason: ReasonDecimals},
		"other decimals there":  {event: transfer(l1Name, rootName, 1), change: decimals(rootName, 6, true, nil), reason: ReasonDecimals},
		"a token not there yet": {event: transfer(l1Name, rootName, 1), change: decimals(rootName, 0, false, nil), reason: ReasonAbsent, later: true},
		"a token unread":        {event: transfer(l1Name, rootName, 1), change: decimals(rootName, 0, false, chains.ErrUnavailable), reason: ReasonChain, later: true},
	} {
		w := newWorld(t, axelar.Amplifier, server)
		from := row.from
		if from == "" {
			from = l1Name
		}
		to := map[string]string{l1Name: rootName, rootName: l1Name}[from]
		w.chain[from].mine(row.event)
		cfg := w.signerConfig(0, t.TempDir())
		if row.change != nil {
			row.change(&cfg)
		}
		s := w.person(cfg)
		p := w.put(to, asProposed(w.wanted(from)...))
		s.turn()
		if row.reason == "" {
			require.Equal(t, 1, w.signatures(p), what)
			continue
		}
		require.Zero(t, w.signatures(p), what)
		require.NotNil(t, s.refused[p.Digest], what)
		require.Equal(t, row.reason, s.refused[p.Digest].Reason, what)
		require.Equal(t, row.later, s.refused[p.Digest].Later, what)
	}
}

func TestACallToItsOwnChainIsNone(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, nil)
	c := Call{Chain: l1Name, To: l1Name, Sender: its[l1Name], Kind: KindTransfer, Token: flt, Amount: tokens.MustUnits(big.NewInt(1))}
	var r *Refusal
	require.ErrorAs(t, w.rules.judge(c, l1Name), &r)
	require.Equal(t, ReasonRoute, r.Reason)
	c.To = rootName
	require.NoError(t, w.rules.judge(c, rootName))
}

func TestATokenIsDeployedOnce(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, startRedis(t))
	deploy := toHub(l1Name, rootName, axelar.DeployToken{TokenID: flt, Name: "Fluence", Symbol: "FLT", Decimals: allOf18})
	w.chain[l1Name].mine(deploy, deploy)
	dir := t.TempDir()
	s := w.person(w.signerConfig(0, dir))
	wanted := w.wanted(l1Name)
	both := w.put(rootName, asProposed(wanted...))
	s.turn()
	require.Equal(t, ReasonToken, s.refused[both.Digest].Reason)
	require.NoError(t, w.db.DropProposal(ctx, both, "test"))
	first := w.put(rootName, asProposed(wanted[0]))
	s.looks()
	require.Equal(t, 1, w.signatures(first))
	require.NoError(t, s.cfg.Ledger.Close())
	s = w.person(w.signerConfig(0, dir))
	second := w.put(rootName, asProposed(wanted[1]))
	s.turn()
	require.Equal(t, ReasonToken, s.refused[second.Digest].Reason)
	require.Equal(t, 1, w.signatures(first))
}

// TestWhatIsNobodysIsNotKept: the ledger grows by calls that may be signed for, and
// only by them.
func TestWhatIsNobodysIsNotKept(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, startRedis(t))
	stranger := common.Address{0x99}
	good := transfer(l1Name, rootName, 1)
	payload, err := called.Unpack(good.Data)
	require.NoError(t, err)
	w.chain[l1Name].mine(
		call(l1Name, stranger, axelar.HubChain, hubAddress, payload[2].([]byte)),
		call(l1Name, stranger, rootName, taker.Hex(), []byte{1}),
		call(l1Name, sender, rootName, stranger.Hex(), []byte{1}),
		call(l1Name, sender, "fantom", taker.Hex(), []byte{1}),
		call(l1Name, sender, rootName, "f410something", []byte{1}),
		call(l1Name, its[l1Name], axelar.HubChain, hubAddress, []byte{1, 2, 3}),
		transfer(l1Name, "fantom", 1),
		good,
	)
	s := w.signer(0)
	require.NoError(t, s.read())
	require.Equal(t, map[string]int{l1Name: 1}, s.cfg.Ledger.Summary().Calls)
	require.Len(t, w.wanted(l1Name), 1)
}

// TestOtherRoutesReadTheChainAnew: a call that was nobody's may count now.
func TestOtherRoutesReadTheChainAnew(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, startRedis(t))
	late := common.Address{0x44}
	w.chain[l1Name].mine(direct(1), call(l1Name, late, rootName, taker.Hex(), []byte{1}))
	dir := t.TempDir()
	s := w.person(w.signerConfig(0, dir))
	require.NoError(t, s.read())
	require.Equal(t, 1, s.cfg.Ledger.Summary().Calls[l1Name])
	require.NoError(t, s.cfg.Ledger.Close())
	w.rules.Direct = append(w.rules.Direct, Direct{From: l1Name, Sender: late, To: rootName, Contract: taker})
	s = w.person(w.signerConfig(0, dir))
	require.NoError(t, s.read())
	require.Equal(t, 2, s.cfg.Ledger.Summary().Calls[l1Name])

	// And what is no longer allowed is not signed for.
	require.NoError(t, s.cfg.Ledger.Close())
	w.rules.Direct = w.rules.Direct[:1]
	s = w.person(w.signerConfig(0, dir))
	w.rules.Direct = append(w.rules.Direct, Direct{From: l1Name, Sender: late, To: rootName, Contract: taker})
	p := w.put(rootName, asProposed(w.wanted(l1Name)[1]))
	s.turn()
	require.NotNil(t, s.refused[p.Digest])
	require.Equal(t, ReasonRoute, s.refused[p.Digest].Reason)
}

// TestARotationGoesToTheConfiguredSetAlone, and approvals go on round it.
func TestARotationInTheMiddle(t *testing.T) {
	server := startRedis(t)
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, kind, server)
			next := newTeam(2, 2, 2)
			// One signer of the old set stays out of it; the two others sign.
			configured := func(i int) *person {
				cfg := w.signerConfig(i, t.TempDir())
				cfg.Sets = append(cfg.Sets, next.set)
				for j := range cfg.Chains {
					cfg.Chains[j].Next = &next.set
				}
				return w.person(cfg)
			}
			both := func(c *QuorumConfig) { c.Sets = append(c.Sets, next.set) }
			q := w.quorum(both)
			one, two, out := configured(0), configured(1), w.signer(2)
			w.chain[l1Name].mine(direct(1))
			flying := w.wanted(l1Name)
			_, err := q.Approve(ctx, flying)
			require.NoError(t, err)
			old := w.up(rootName)[0]
			one.turn()

			stray, err := q.ProposeRotation(ctx, newTeam(3, 1, 1).set)
			require.NoError(t, err, "anybody may propose")
			p, err := q.ProposeRotation(ctx, next.set)
			require.NoError(t, err)
			for _, s := range []*person{one, out} {
				s.turn()
				got, err := q.Rotations(ctx)
				require.NoError(t, err)
				require.Empty(t, got)
			}
			require.Equal(t, ReasonRotation, out.refused[p.Digest].Reason, "it agrees to none")
			require.Equal(t, ReasonRotation, one.refused[stray.Digest].Reason, "it agrees to another")
			require.Nil(t, one.refused[p.Digest])
			two.turn()
			got, err := q.Rotations(ctx)
			require.NoError(t, err)
			require.Len(t, got, 1, "the other one has no signatures")
			require.Equal(t, "rotate/filecoin/"+p.Digest.Hex(), got[0].Key)
			require.Equal(t, w.gateway[rootName].Address(), got[0].Tx.To)

			// It is final. What was signed by the old set is still taken, what is new is
			// for the new one.
			g := w.gateway[rootName]
			g.stand(t, w.team.set, axelar.StandingRetained)
			g.stand(t, next.set, axelar.StandingLatest)
			got, err = q.Rotations(ctx)
			require.NoError(t, err)
			require.Empty(t, got)
			_, err = q.Tidy(ctx)
			require.NoError(t, err)
			require.Equal(t, []common.Hash{old.Digest}, []common.Hash{w.up(rootName)[0].Digest})
			require.Len(t, w.up(rootName), 1, "both rotations are of no use now")
			signed, err := q.Approve(ctx, flying)
			require.NoError(t, err)
			require.Len(t, signed, 1, "in flight: signed by the retained set")
			w.chain[l1Name].mine(direct(2))
			wanted := w.wanted(l1Name)
			signed, err = q.Approve(ctx, wanted)
			require.NoError(t, err)
			require.Equal(t, []int{0}, signed[0].Covers)
			require.Len(t, w.up(rootName), 2)
			fresh := w.up(rootName)[0]
			if fresh.Digest == old.Digest {
				fresh = w.up(rootName)[1]
			}
			require.Equal(t, []common.Address{next.address(0), next.address(1)}, fresh.Signers)

			// The new ones have seen everything, from the beginning.
			w.team = next
			for i := range 2 {
				w.signer(i).turn()
			}
			signed, err = q.Approve(ctx, wanted)
			require.NoError(t, err)
			require.Len(t, signed, 2)

			// Out of retention: the batch is made anew, by the set in force.
			old2 := newTeam(1, 3, 2)
			g.stand(t, old2.set, axelar.StandingExpired)
			w.team = next
			signed, err = q.Approve(ctx, wanted)
			require.NoError(t, err)
			require.Len(t, signed, 1)
			for i := range 2 {
				w.signer(i).turn()
			}
			signed, err = q.Approve(ctx, wanted)
			require.NoError(t, err)
			require.Len(t, signed, 2)
			_, err = q.ProposeRotation(ctx, old2.set)
			require.ErrorIs(t, err, ErrRotated, "a gateway takes no set twice")
		})
	}
}

// TestARestartedSignerSignsTheSameAgain: by its ledger, which does not grow.
func TestARestartedSignerSignsTheSameAgain(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, startRedis(t))
	q := w.quorum()
	w.chain[l1Name].mine(direct(1), transfer(l1Name, rootName, 5))
	dir := t.TempDir()
	s := w.person(w.signerConfig(0, dir))
	_, err := q.Approve(ctx, w.wanted(l1Name))
	require.NoError(t, err)
	s.turn()
	p := w.up(rootName)[0]
	before, err := w.db.Signatures(ctx, []store.Proposal{p})
	require.NoError(t, err)
	lines := s.cfg.Ledger.Summary().Lines
	for range 3 {
		require.NoError(t, s.cfg.Ledger.Close())
		s = w.person(w.signerConfig(0, dir))
		require.NoError(t, w.db.Sign(ctx, p, w.team.address(0), make([]byte, 65)))
		s.turn()
		after, err := w.db.Signatures(ctx, []store.Proposal{p})
		require.NoError(t, err)
		require.Equal(t, before, after)
		require.Equal(t, lines, s.cfg.Ledger.Summary().Lines)
	}
}

// TestAStoreThatForgetsEverythingIsToldAgain: FLUSHALL between two looks.
func TestAStoreThatForgetsEverythingIsToldAgain(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, startRedis(t))
	w.chain[l1Name].mine(direct(1), direct(2))
	wanted := w.wanted(l1Name)
	one, two := w.signer(0), w.signer(1)
	_, err := w.quorum().Approve(ctx, wanted)
	require.NoError(t, err)
	one.turn()

	raw := w.server.Client()
	defer raw.Close()
	require.NoError(t, raw.FlushAll(ctx).Err())
	_, err = one.look(ctx)
	require.NoError(t, err, "nothing is up")
	w.db = w.open()
	q := w.quorum()
	_, err = q.Approve(ctx, wanted)
	require.NoError(t, err)
	require.Len(t, w.up(rootName), 1)
	one.cfg.Store, two.cfg.Store = w.db, w.db
	one.turn()
	two.turn()
	signed, err := q.Approve(ctx, wanted)
	require.NoError(t, err)
	require.Len(t, signed, 1)
}

// TestEveryProposalHasItsTurn: however much a stranger puts up before it.
func TestEveryProposalHasItsTurn(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, startRedis(t))
	w.chain[l1Name].mine(direct(1))
	const many = 350
	for n := range many {
		id := axelar.MessageID{Tx: common.BigToHash(big.NewInt(int64(n + 1)))}
		w.put(rootName, []store.ProposedMessage{{From: fmt.Sprint("chain", n), ID: id, Message: axelar.Message{
			SourceChain: "fantom", ID: id.String(), SourceAddress: "x", Contract: taker, PayloadHash: common.Hash{1},
		}}})
	}
	good := w.put(rootName, asProposed(w.wanted(l1Name)...))
	s := w.signer(0)
	var later map[Reason]int
	s.cfg.Tell.Waiting = func(chain string, n map[Reason]int, more int) {
		if chain == rootName {
			later = n
		}
	}
	require.NoError(t, s.read())
	looks := 0
	for w.signatures(good) == 0 {
		more, err := s.look(ctx)
		require.NoError(t, err)
		require.Equal(t, looks < many/lookPage, more)
		looks++
	}
	require.Equal(t, many/lookPage+1, looks)
	require.Equal(t, map[Reason]int{ReasonUnseen: many}, later)
	require.Empty(t, s.cfg.Ledger.Summary().Signed[rootName])
}

// TestTheLoopsReadAndSignByThemselves until they are told to stop, whatever fails
// meanwhile.
func TestTheLoopsReadAndSignByThemselves(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, startRedis(t))
	q := w.quorum()
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 2)
	for i := range 2 {
		s, err := NewSigner(w.signerConfig(i, t.TempDir()))
		require.NoError(t, err)
		go func() { ended <- s.Run(run) }()
	}
	for n := range byte(10) {
		w.chain[l1Name].lie(func(c *fakeChain) { c.fails = chains.ErrUnavailable })
		w.chain[l1Name].mine(direct(n), transfer(l1Name, rootName, int64(n)+1))
		w.chain[l1Name].lie(func(c *fakeChain) { c.fails = nil })
		wanted := w.wanted(l1Name)
		require.Eventually(t, func() bool {
			signed, err := q.Approve(ctx, wanted)
			require.NoError(t, err)
			covered := 0
			for _, s := range signed {
				covered += len(s.Covers)
			}
			return covered == len(wanted)
		}, 20*time.Second, 5*time.Millisecond)
	}
	stop()
	for range 2 {
		require.NoError(t, <-ended)
	}
}

func TestASignerThatCannotWriteDownSignsNothing(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, startRedis(t))
	w.chain[l1Name].mine(direct(1))
	s := w.signer(0)
	require.NoError(t, s.read())
	p := w.put(rootName, asProposed(w.wanted(l1Name)...))
	require.NoError(t, s.cfg.Ledger.file.Close())
	_, err := s.look(ctx)
	require.ErrorIs(t, err, os.ErrClosed)
	require.Zero(t, w.signatures(p))
	w.chain[l1Name].mine(direct(2))
	require.ErrorIs(t, s.read(), os.ErrClosed)
}

func TestASignerIsToldEverythingThatIsWrongWithIt(t *testing.T) {
	w := newWorld(t, axelar.Amplifier, nil)
	w.db = new(store.DB)
	cfg := w.signerConfig(0, t.TempDir())
	_, err := NewSigner(cfg)
	require.NoError(t, err)
	stranger := newTeam(7, 1, 1)
	cfg.Sets = []axelar.WeightedSigners{stranger.set}
	cfg.Rules.Frozen = []string{"fantom"}
	cfg.Rules.Trusted = append(cfg.Rules.Trusted, "solana")
	cfg.Rules.Tokens = append(cfg.Rules.Tokens, Token{}, Token{ID: flt, Home: l1Name})
	cfg.Rules.Direct = append(cfg.Rules.Direct, Direct{From: l1Name, To: l1Name, Sender: sender, Contract: taker})
	bad := SetFor(w.gateway[l1Name], stranger.set)
	bad.Threshold = big.NewInt(5)
	cfg.Chains[1].Next = &bad
	cfg.Tick = 0
	_, err = NewSigner(cfg)
	for _, say := range []string{"tick are required", "in none of the signer sets", `trusted chain "solana"`, `frozen chain "fantom"`, "token 1", "token 2", "direct call 1", "next set"} {
		require.ErrorContains(t, err, say)
	}
	cfg = w.signerConfig(1, t.TempDir())
	cfg.Chains[0].Decimals = nil
	_, err = NewSigner(cfg)
	require.ErrorContains(t, err, "decimals are required")
}
