package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// deposit and withdrawal are transfers that cross, of 5 wei.
func deposit() store.Job {
	j := job(1, "flt_l1_deposit", false)
	j.Transfer.Amount, j.Step = tokens.MustUnits(big.NewInt(5)), "fund"
	j.Transfer.Payload = axelar.EncodeFltDeposit(axelar.FltDeposit{Sender: j.Transfer.Sender, Recipient: j.Transfer.Recipient, Nonce: 7, Amount: big.NewInt(5)})
	return j
}

func withdrawal() store.Job {
	j := job(1, "flt_l1_withdraw", false)
	j.Transfer.Amount, j.Step = tokens.MustUnits(big.NewInt(5)), "unlock"
	j.History = []store.Entry{entry("send_on", "ok", "root", 60, hash(61))}
	return j
}

func entry(step, outcome, chain string, height uint64, tx common.Hash) store.Entry {
	return store.Entry{Step: step, Outcome: store.Outcome(outcome), Chain: chain, Height: height, Tx: tx, At: 1_700_000_000 + height}
}

// leg is a message of the relayer's own that a transaction began.
func leg(t *testing.T, id int64, route string, tx common.Hash, inner axelar.Transfer) store.Job {
	t.Helper()
	in, err := axelar.EncodePayload(inner)
	require.NoError(t, err)
	payload, err := axelar.EncodePayload(axelar.SendToHub{Chain: "filecoin", Inner: in})
	require.NoError(t, err)
	j := job(id, route, true)
	j.Transfer.Payload, j.Transfer.Origin.Tx, j.Step = payload, tx, "approve"
	return j
}

func inner(amount int64, to common.Address, data []byte) axelar.Transfer {
	return axelar.Transfer{TokenID: hash(0x70), Source: []byte{1}, Destination: to[:], Amount: big.NewInt(amount), Data: data}
}

func shown(t *testing.T, jobs ...store.Job) api.Transfer {
	t.Helper()
	res := get(t, users(&ledger{jobs: jobs}), http.MethodGet, "/v1/transfers/"+jobs[0].Transfer.ID.Hex(), "")
	require.Equal(t, http.StatusOK, res.StatusCode)
	var v api.Transfer
	require.NoError(t, json.NewDecoder(res.Body).Decode(&v))
	return v
}

func names(v api.Transfer) (out []string) {
	for _, s := range v.Steps {
		out = append(out, s.Name)
	}
	return out
}

func TestATransferThatCrossesShowsWhatBecameOfItsMessages(t *testing.T) {
	d := deposit()
	in := leg(t, 2, "leg_in", d.Transfer.Origin.Tx, inner(5, addr(9), d.Transfer.Payload))
	in.Status = tokens.Done
	// The execution of the leg and the funding are one transaction.
	in.History = []store.Entry{entry("approve", "ok", "root", 50, hash(51)), entry("execute", "ok", "root", 52, hash(53))}
	d.History = []store.Entry{entry("fund", "ok", "root", 52, hash(53)), entry("deliver", "ok", "subnet", 55, hash(56))}
	d.Status, d.Step = tokens.Done, ""
	require.Equal(t, []string{"sent", "leg_in/approve", "leg_in/execute", "fund", "deliver"}, names(shown(t, d, in)))

	// On the way back the leg begins at a step in the middle.
	w := withdrawal()
	out := leg(t, 2, "leg_out", hash(61), inner(5, w.Transfer.Recipient, nil))
	out.Status = tokens.Done
	out.History = []store.Entry{entry("approve", "ok", "ethereum", 62, hash(63)), entry("execute", "ok", "ethereum", 64, hash(65))}
	w.History = append(w.History, entry("unlock", "ok", "ethereum", 64, hash(65)))
	w.Status, w.Step = tokens.Done, ""
	require.Equal(t, []string{"sent", "send_on", "leg_out/approve", "leg_out/execute", "unlock"}, names(shown(t, w, out)))

	// What a deposit's money goes back by is its too.
	d = deposit()
	d.History = []store.Entry{entry("send_back", "ok", "root", 60, hash(61))}
	d.Status, d.Step = tokens.Refunded, ""
	back := leg(t, 3, "leg_out", hash(61), inner(5, d.Transfer.Sender, nil))
	back.History = out.History
	require.Equal(t, []string{"sent", "send_back", "leg_out/approve", "leg_out/execute"}, names(shown(t, d, back)))
}

func TestAMessageThatIsAnotherTransfersIsNotShown(t *testing.T) {
	d, w := deposit(), withdrawal()
	done := []store.Entry{entry("approve", "ok", "root", 50, hash(51))}
	other := axelar.EncodeFltDeposit(axelar.FltDeposit{Sender: d.Transfer.Sender, Recipient: d.Transfer.Recipient, Nonce: 8, Amount: big.NewInt(5)})
	broken := leg(t, 2, "leg_in", d.Transfer.Origin.Tx, inner(5, addr(9), d.Transfer.Payload))
	broken.Transfer.Payload = broken.Transfer.Payload[:40]
	unwrapped := broken
	unwrapped.Transfer.Payload = nil
	for what, c := range map[string]struct{ of, leg store.Job }{
		"another deposit of one transaction": {d, leg(t, 2, "leg_in", d.Transfer.Origin.Tx, inner(5, addr(9), other))},
		"another amount":                     {d, leg(t, 2, "leg_in", d.Transfer.Origin.Tx, inner(6, addr(9), d.Transfer.Payload))},
		"another transaction":                {d, leg(t, 2, "leg_in", hash(99), inner(5, addr(9), d.Transfer.Payload))},
		"one that cannot be read":            {d, broken},
		"one without a payload":              {d, unwrapped},
		"another recipient":                  {w, leg(t, 2, "leg_out", hash(61), inner(5, addr(9), nil))},
		"another amount back":                {w, leg(t, 2, "leg_out", hash(61), inner(4, w.Transfer.Recipient, nil))},
		"what goes to the sender":            {w, leg(t, 2, "leg_out", hash(61), inner(5, w.Transfer.Sender, nil))},
	} {
		c.leg.History, c.leg.Status, c.leg.Reason = done, tokens.Parked, "rejected"
		// The ledger finds by transaction or by what the step's says.
		c.leg.Transfer.Ref = hash(61)
		if c.of.Transfer.Route == "flt_l1_deposit" {
			c.leg.Transfer.Ref = c.of.Transfer.Origin.Tx
		}
		v := shown(t, c.of, c.leg)
		for _, name := range names(v) {
			require.NotContains(t, name, "/", what)
		}
		require.Empty(t, v.Reason, what)
	}
	// Of a transfer that crosses nothing nobody looks for legs.
	l := &ledger{jobs: []store.Job{job(1, "flt_deposit", false)}}
	get(t, users(l), http.MethodGet, "/v1/transfers/"+hash(1).Hex(), "")
	require.Equal(t, 1, l.asked)
}

// TestTwoMessagesOfOneTransactionAreShownApart: a deposit that was sent back by one
// transaction, and sent on again.
func TestTwoMessagesOfOneTransactionAreShownApart(t *testing.T) {
	w := withdrawal()
	w.History = append(w.History, entry("retry", "ok", "root", 70, hash(61)))
	one := leg(t, 2, "leg_out", hash(61), inner(5, w.Transfer.Recipient, nil))
	two := leg(t, 3, "leg_out", hash(61), inner(5, w.Transfer.Recipient, nil))
	one.History = []store.Entry{entry("approve", "ok", "ethereum", 71, hash(72))}
	two.History = []store.Entry{entry("approve", "ok", "ethereum", 73, hash(74))}
	v := shown(t, w, one, two)
	require.Equal(t, []string{"sent", "send_on", "leg_out/approve", "retry", "leg_out/approve"}, names(v))
	require.NotEqual(t, v.Steps[2].Tx, v.Steps[4].Tx)
}

// TestChainsWhoseClocksDifferChangeNoOrder: one who watches is told each step once.
func TestChainsWhoseClocksDifferChangeNoOrder(t *testing.T) {
	d := deposit()
	in := leg(t, 2, "leg_in", d.Transfer.Origin.Tx, inner(5, addr(9), d.Transfer.Payload))
	in.History = []store.Entry{entry("approve", "ok", "root", 20, hash(51)), entry("execute", "ok", "root", 22, hash(53))}
	d.History = []store.Entry{entry("fund", "ok", "root", 22, hash(53)), entry("deliver", "ok", "subnet", 3, hash(56))}
	require.Equal(t, []string{"sent", "leg_in/approve", "leg_in/execute", "fund", "deliver"}, names(shown(t, d, in)))
}

// TestATransferThatWaitsForItsMessageSaysWhatThatWaitsFor: it has no reason of its
// own, and the message is shown nowhere else.
func TestATransferThatWaitsForItsMessageSaysWhatThatWaitsFor(t *testing.T) {
	d := deposit()
	in := leg(t, 2, "leg_in", d.Transfer.Origin.Tx, inner(5, addr(9), d.Transfer.Payload))
	in.Step, in.Reason, in.Err, in.Attempts = "execute", "flow_limit", "flow_limit: of http://node:8545", 3
	in.NotBefore = time.Unix(1_700_009_000, 0)
	v := shown(t, d, in)
	require.Equal(t, tokens.Pending, v.Status)
	require.Equal(t, "fund", v.Step)
	require.Equal(t, "flow_limit", v.Reason)
	require.Equal(t, "flow_limit: of ***", v.Error)
	require.Equal(t, 3, v.Attempts)
	require.Equal(t, in.NotBefore.UTC(), *v.NextAttempt)

	in.Status, in.Reason, in.NotBefore = tokens.Parked, "rejected", time.Time{}
	v = shown(t, d, in)
	require.Equal(t, tokens.Pending, v.Status, "its money is neither lost nor back")
	require.Equal(t, "rejected", v.Reason)
	require.Nil(t, v.NextAttempt)

	// One that has arrived keeps nothing up, and what has a reason keeps its own.
	in.Status = tokens.Done
	require.Empty(t, shown(t, d, in).Reason)
	in.Status, d.Reason = tokens.Parked, "operator"
	require.Equal(t, "operator", shown(t, d, in).Reason)
	d.Status, d.Reason = tokens.Refunded, ""
	require.Empty(t, shown(t, d, in).Reason)
}

// failing answers so many questions and no more.
type failing struct {
	ledger
	good int
}

func (l *failing) answers() error {
	if l.good--; l.good < 0 {
		return errors.New("gone")
	}
	return nil
}

func (l *failing) Get(ctx context.Context, id common.Hash) (store.Job, bool, error) {
	if err := l.answers(); err != nil {
		return store.Job{}, false, err
	}
	return l.ledger.Get(ctx, id)
}

func (l *failing) Lookup(ctx context.Context, text string) ([]common.Hash, error) {
	if err := l.answers(); err != nil {
		return nil, err
	}
	return l.ledger.Lookup(ctx, text)
}

func TestAJournalThatFailsBelowALegIsA503(t *testing.T) {
	d := deposit()
	l := &failing{ledger{jobs: []store.Job{d}}, 1}
	res := get(t, api.New(api.Config{DB: l, Status: func(context.Context) any { return nil }, Log: slog.New(slog.DiscardHandler)}), http.MethodGet, "/v1/transfers/"+d.Transfer.ID.Hex(), "")
	requireProblem(t, res, http.StatusServiceUnavailable, "journal_unavailable")
	in := leg(t, 2, "leg_in", d.Transfer.Origin.Tx, inner(5, addr(9), d.Transfer.Payload))
	l = &failing{ledger{jobs: []store.Job{d, in}}, 2}
	res = get(t, api.New(api.Config{DB: l, Status: func(context.Context) any { return nil }, Log: slog.New(slog.DiscardHandler)}), http.MethodGet, "/v1/transfers/"+d.Transfer.ID.Hex(), "")
	requireProblem(t, res, http.StatusServiceUnavailable, "journal_unavailable")
}

// called is a call between contracts, and carrying a leg of it.
func called() store.Job {
	j := job(1, "gmp_call_in", false)
	j.Transfer.Amount, j.Step = tokens.Amount{}, "hand_on"
	j.Transfer.Payload = axelar.EncodeGmpCall(axelar.GmpCall{Nonce: 1, Data: []byte("what")})
	return j
}

func carrying(id int64, route string, tx common.Hash, payload []byte) store.Job {
	j := job(id, route, true)
	j.Transfer.Payload, j.Transfer.Origin.Tx, j.Status = payload, tx, tokens.Done
	return j
}

func TestACallIsShownWithBothItsMessages(t *testing.T) {
	c := called()
	in := carrying(2, "leg_in", c.Transfer.Origin.Tx, c.Transfer.Payload)
	in.History = []store.Entry{entry("approve", "ok", "root", 50, hash(51)), entry("execute", "ok", "root", 52, hash(53))}
	c.History = []store.Entry{
		entry("hand_on", "ok", "root", 52, hash(53)), entry("execute", "ok", "subnet", 55, hash(56)), entry("answer", "ok", "root", 60, hash(61)),
		entry("tell", "ok", "ethereum", 64, hash(65)),
	}
	c.Status, c.Step = tokens.Done, ""
	out := carrying(3, "leg_out", hash(61), axelar.EncodeGmpResult(axelar.GmpResult{ID: c.Transfer.Ref, OK: true}))
	out.History = []store.Entry{entry("approve", "ok", "ethereum", 62, hash(63)), entry("execute", "ok", "ethereum", 64, hash(65))}
	// Those that began in the same transactions, the call itself among them.
	others := []store.Job{
		carrying(4, "leg_in", c.Transfer.Origin.Tx, axelar.EncodeGmpCall(axelar.GmpCall{Nonce: 2})),
		carrying(5, "leg_out", hash(61), axelar.EncodeGmpResult(axelar.GmpResult{ID: hash(77), OK: true})),
		carrying(6, "leg_out", hash(61), []byte("no message of a port")),
	}
	for i := range others {
		others[i].History = []store.Entry{entry("approve", "ok", "root", 50, hash(99))}
	}
	v := shown(t, append(append([]store.Job{c}, others...), out, in)...)
	require.Equal(t, []string{"sent", "leg_in/approve", "leg_in/execute", "hand_on", "execute", "answer", "leg_out/approve", "leg_out/execute", "tell"}, names(v))
	require.Empty(t, v.Asset, "a call moves no money")
}
