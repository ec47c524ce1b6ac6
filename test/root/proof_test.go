package root_test

import (
	"fmt"
	"log/slog"
	"math/big"
	"strings"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/stretchr/testify/require"
)

// row is a transfer as both readings tell it.
type row struct {
	Route  string
	Amount string
	Nonce  uint64
	Tx     common.Hash
	Index  uint
	Height uint64
	At     uint64
}

// block is the newest tipset of the witness at or below an epoch.
func (w *world) block(epoch uint64) (number uint64, hash common.Hash, time uint64) {
	w.t.Helper()
	for {
		n, h, at, ok := w.tipset(epoch)
		if ok {
			return n, h, at
		}
		epoch--
	}
}

func (w *world) tipset(epoch uint64) (number uint64, hash common.Hash, time uint64, ok bool) {
	w.t.Helper()
	var b struct {
		Number    *hexNumber  `json:"number"`
		Hash      common.Hash `json:"hash"`
		Timestamp hexNumber   `json:"timestamp"`
	}
	err := w.truth.Client().CallContext(w.t.Context(), &b, "eth_getBlockByNumber", fmt.Sprintf("0x%x", epoch), false)
	if err != nil && strings.Contains(err.Error(), "null round") {
		return 0, common.Hash{}, 0, false
	}
	require.NoError(w.t, err)
	require.NotNil(w.t, b.Number, "epoch %d", epoch)
	require.EqualValues(w.t, epoch, *b.Number)
	return epoch, b.Hash, uint64(b.Timestamp), true
}

type hexNumber uint64

func (h *hexNumber) UnmarshalJSON(raw []byte) error {
	n, ok := new(big.Int).SetString(strings.Trim(string(raw), `"`), 0)
	if !ok || !n.IsUint64() {
		return fmt.Errorf("not a number: %s", raw)
	}
	*h = hexNumber(n.Uint64())
	return nil
}

// final is the newest block that is final by the rule of the reader.
func (w *world) final() (number uint64, hash common.Hash) {
	w.t.Helper()
	number, hash, _ = w.block(w.root.Head() - w.depth)
	return number, hash
}

// receipts is the second reading: the receipts of every block from the start to a
// height, through the witness, with nothing of the first one's code.
func (w *world) receipts(to uint64) map[common.Hash]row {
	w.t.Helper()
	out := map[common.Hash]row{}
	for epoch := w.start; epoch <= to; epoch++ {
		_, hash, at, ok := w.tipset(epoch)
		if !ok {
			continue
		}
		all, err := w.truth.BlockReceipts(w.t.Context(), rpc.BlockNumberOrHashWithHash(hash, false))
		require.NoError(w.t, err)
		for _, r := range all {
			for _, l := range r.Logs {
				require.Equal(w.t, hash, l.BlockHash)
				require.Equal(w.t, r.TxHash, l.TxHash)
				w.tell(out, l, epoch, at)
			}
		}
	}
	return out
}

// tell adds the transfers that a log begins.
func (w *world) tell(out map[common.Hash]row, l *types.Log, epoch, at uint64) {
	w.t.Helper()
	add := func(route string, contract common.Address, nonce uint64, amount *big.Int) {
		id := crypto.Keccak256Hash(fmt.Appendf(nil, "causeway/1|%s|%d|%s|%s|%d", route, chainID, contract.Hex(), w.sub.Actor.Hex(), nonce))
		require.NotContains(w.t, out, id, "%s %d is there twice", route, nonce)
		out[id] = row{route, amount.String(), nonce, l.TxHash, l.Index, epoch, at}
	}
	switch l.Address {
	case w.sub.Gateway:
		if e, err := gatewayABI.UnpackNewTopDownMessageEvent(l); err == nil {
			add("topdown", w.sub.Gateway, e.Message.LocalNonce, new(big.Int))
			if e.Message.Kind == 0 { // a Transfer
				add("flt_deposit", w.sub.Gateway, e.Message.LocalNonce, e.Message.Value)
			}
		}
	case w.sub.Controller:
		if e, err := controllerABI.UnpackLinkedTokensSentEvent(l); err == nil {
			add("usdc_deposit", w.sub.Controller, e.Nonce, e.Value)
		}
	case w.sub.Actor:
		if e, err := actorABI.UnpackNewPowerChangeRequestEvent(l); err == nil {
			add("power", w.sub.Actor, e.ConfigurationNumber-1, new(big.Int))
		}
	}
}

// journal is the first reading: every transfer in it.
func (w *world) journal() map[common.Hash]row {
	w.t.Helper()
	out := map[common.Hash]row{}
	for f := (store.Filter{Hidden: true, Limit: 500}); ; {
		jobs, next, err := w.db.List(w.t.Context(), f)
		require.NoError(w.t, err)
		for _, j := range jobs {
			x := j.Transfer
			out[x.ID] = row{x.Route, x.Amount.String(), x.Nonce, x.Origin.Tx, x.Origin.Index, x.Height, x.At}
		}
		if next == "" {
			return out
		}
		f.Cursor = next
	}
}

// prove compares both readings and says how many transfers there are.
func (w *world) prove() int {
	t := w.t
	t.Helper()
	number, hash := w.final()
	cur, ok, err := w.db.Cursor(t.Context(), flow.Root)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, chains.Cursor{Chain: chainID, Next: number + 1, Parent: hash}, cur, "the cursor is at the final head")
	_, forked, err := w.db.Forked(t.Context(), flow.Root)
	require.NoError(t, err)
	require.False(t, forked)

	have, want := w.journal(), w.receipts(number)
	for id, r := range want {
		got, ok := have[id]
		require.True(t, ok, "missed: %+v", r)
		require.Equal(t, r, got)
	}
	for id, r := range have {
		require.Contains(t, want, id, "wrong job: %+v", r)
	}
	w.verify(len(want))
	return len(want)
}

// verify is the same comparison as an operator makes it, facts and all: over eth_*
// alone, through the witness.
func (w *world) verify(transfers int) {
	w.t.Helper()
	r, err := evm.DialReader(w.t.Context(), evm.Config{
		Name: flow.Root, URL: w.root.Node(witness).HTTP(), ChainID: chainID, StartBlock: w.start,
		Finality: fmt.Sprintf("depth:%d", w.depth), Timeout: patience, MaxAhead: -1,
	}, slog.New(slog.DiscardHandler))
	require.NoError(w.t, err)
	defer r.Close()
	found, err := relayer.VerifyChain(w.t.Context(), flow.Root, r, w.filter(), w.flows(), w.db)
	require.NoError(w.t, err, "%+v", found)
	require.Equal(w.t, transfers, found.Transfers)
	require.Equal(w.t, w.start, found.From)
}
