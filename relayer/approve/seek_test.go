package approve

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/store"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// hiding is a chain whose endpoint leaves events out of every range of more than
// one block.
type hiding struct{ *fakeChain }

func (h hiding) Events(ctx context.Context, q chains.Query) (chains.Block, []chains.Event, error) {
	last, events, err := h.fakeChain.Events(ctx, q)
	if last.Number > q.From.Next {
		events = nil
	}
	return last, events, err
}

// locate is what an endpoint says of where a transaction is.
func (w *world) locate(c *Chain, asked *int) {
	c.Locate = func(_ context.Context, tx common.Hash) (uint64, bool, error) {
		*asked++
		chain := w.chain[c.Name]
		chain.mu.Lock()
		defer chain.mu.Unlock()
		i := slices.IndexFunc(chain.events, func(e chains.Event) bool { return e.Tx == tx })
		if i < 0 {
			return 0, false, nil
		}
		return chain.events[i].Block, true, nil
	}
}

// TestACallThatAnEndpointLeftOutIsFoundOnceItIsAskedFor: what was left out of a long
// range would else never be signed for.
func TestACallThatAnEndpointLeftOutIsFoundOnceItIsAskedFor(t *testing.T) {
	w := newWorld(t, axelar.Legacy, startRedis(t))
	w.chain[l1Name].mine(transfer(l1Name, rootName, 100), direct(1))
	w.chain[l1Name].mine()
	cfg := w.signerConfig(0, t.TempDir())
	asked := 0
	cfg.Chains[0].Source = hiding{w.chain[l1Name]}
	w.locate(&cfg.Chains[0], &asked)
	s := w.person(cfg)
	require.NoError(t, s.read())
	require.Zero(t, s.cfg.Ledger.Summary().Calls[l1Name], "it was left out")

	q := w.quorum()
	_, err := q.Approve(ctx, w.wanted(l1Name))
	require.NoError(t, err)
	s.looks()
	require.Equal(t, 1, asked, "the first call's block has the second too")
	up := w.up(rootName)
	require.Len(t, up, 1)
	require.Equal(t, 1, w.signatures(up[0]))
	require.Equal(t, 2, s.cfg.Ledger.Summary().Calls[l1Name])
	require.EqualValues(t, 100, s.books.at(side{flt, rootName}).Int64(), "and it counts")
}

// TestWhatIsNowhereIsLookedForSeldom: anybody may ask for what never was.
func TestWhatIsNowhereIsLookedForSeldom(t *testing.T) {
	w := newWorld(t, axelar.Legacy, startRedis(t))
	w.chain[l1Name].mine(direct(1))
	cfg := w.signerConfig(0, t.TempDir())
	asked := 0
	w.locate(&cfg.Chains[0], &asked)
	s := w.person(cfg)
	require.NoError(t, s.read())
	real := asProposed(w.wanted(l1Name)...)
	var all []store.ProposedMessage
	for i := range 3 * maxSeeks {
		m := real[0]
		m.ID.Tx = common.Hash{9, byte(i)}
		m.Message.ID = m.ID.String()
		all = append(all, m)
	}
	for _, m := range all {
		w.put(rootName, []store.ProposedMessage{m})
	}
	s.looks()
	require.Equal(t, maxSeeks, asked)
	for range 5 {
		s.looks()
	}
	require.Equal(t, len(all), asked, "each once, for now")
	require.Empty(t, s.cfg.Ledger.Summary().Recent)
}

// TestWhereACallIsSaidToBeIsBelievedInNothing: a block that has no such call, one
// that was not read yet, a chain that cannot be asked.
func TestWhereACallIsSaidToBeIsBelievedInNothing(t *testing.T) {
	server := startRedis(t)
	for what, locate := range map[string]func(context.Context, common.Hash) (uint64, bool, error){
		"another block":   func(context.Context, common.Hash) (uint64, bool, error) { return 0, true, nil },
		"a block to come": func(context.Context, common.Hash) (uint64, bool, error) { return 1 << 40, true, nil },
		"no answer":       func(context.Context, common.Hash) (uint64, bool, error) { return 1, true, errors.New("away") },
		"nowhere":         func(context.Context, common.Hash) (uint64, bool, error) { return 1, false, nil },
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, axelar.Legacy, server)
			w.chain[l1Name].mine(direct(1))
			w.chain[l1Name].mine()
			cfg := w.signerConfig(0, t.TempDir())
			cfg.Chains[0].Locate = locate
			s := w.person(cfg)
			require.NoError(t, s.read())
			m := asProposed(w.wanted(l1Name)...)[0]
			m.ID.Tx[3] ^= 1
			m.Message.ID = m.ID.String()
			p := w.put(rootName, []store.ProposedMessage{m})
			s.looks()
			require.Zero(t, w.signatures(p))
			require.Equal(t, ReasonUnseen, s.refused[p.Digest].Reason)
			require.True(t, s.refused[p.Digest].Later)
		})
	}
}

// TestABlockThatContradictsTheLedgerWhenItIsReadAgainStopsItsChain: as when it is
// read first.
func TestABlockThatContradictsTheLedgerWhenItIsReadAgainStopsItsChain(t *testing.T) {
	w := newWorld(t, axelar.Legacy, startRedis(t))
	w.chain[l1Name].mine(direct(1))
	w.chain[l1Name].mine()
	cfg := w.signerConfig(0, t.TempDir())
	cfg.Chains[0].Locate = func(context.Context, common.Hash) (uint64, bool, error) { return 1, true, nil }
	s := w.person(cfg)
	require.NoError(t, s.read())
	known := asProposed(w.wanted(l1Name)...)[0]
	w.chain[l1Name].lie(func(c *fakeChain) { c.events[0].Data = direct(2).Data; c.events[0].Topics = direct(2).Topics })
	unknown := known
	unknown.ID.Tx = common.Hash{9}
	unknown.Message.ID = unknown.ID.String()
	p := w.put(rootName, []store.ProposedMessage{unknown})
	s.looks()
	require.ErrorIs(t, s.byName[l1Name].unwell(), ErrContradiction)
	require.Zero(t, w.signatures(p))
	p = w.put(rootName, []store.ProposedMessage{known})
	s.looks()
	require.Zero(t, w.signatures(p))
	require.Equal(t, ReasonChain, s.refused[p.Digest].Reason)
}
