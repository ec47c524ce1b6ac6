package flow_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

var errAway = errors.New("the chain is away")

func revertOf(signature string, words ...common.Hash) *chains.RevertError {
	data := crypto.Keccak256([]byte(signature))[:4]
	for _, w := range words {
		data = append(data, w[:]...)
	}
	return &chains.RevertError{Data: data}
}

// TestWhatCannotBeAskedDecidesNothing: whichever question fails, the step has no
// outcome and nothing is journaled for it.
func TestWhatCannotBeAskedDecidesNothing(t *testing.T) {
	d, w := deposit(3), outgoing(2)
	in := axelar.FltDepositID(l1ID, addr(0x31), d)
	out := axelar.FltWithdrawalID(rootID, addr(0x32), w)
	applied := emit(subGatewayABI, "TopDownMessageApplied", subID, addr(7), uint64(17), hash(0xfeed), uint8(0), uint8(0), []byte{})
	id := crossing(axelar.Legacy).L1Gateway.CommandID(axelar.Message{ID: "m"})
	unlocked := executed(axelar.Legacy, l1ID, gateOut, id)

	search := func(nth int) func(*flow.CrossDeps) {
		return func(d *flow.CrossDeps) {
			honest, n := d.Search, 0
			d.Search = func(ctx context.Context, q flow.Search) ([]chains.Event, error) {
				if n++; n == nth {
					return nil, errAway
				}
				return honest(ctx, q)
			}
		}
	}
	credits := func(d *flow.CrossDeps) {
		d.Credits = func(context.Context, []common.Hash) ([]axelar.FltCredit, error) { return nil, errAway }
	}
	returned := func(d *flow.CrossDeps) {
		d.Returned = func(context.Context, []common.Hash) ([]bool, error) { return nil, errAway }
	}
	onward := func(d *flow.CrossDeps) {
		d.Onward = func(context.Context, []chains.Event) ([]flow.Onward, error) { return nil, errAway }
	}
	decide := func(d *flow.CrossDeps) {
		d.Decide = func(context.Context, string, flow.Key, flow.Outcome, chains.Event) error { return errAway }
	}
	deposits := []chains.Event{onRoot("Funded", in), applied}
	withdrawals := []chains.Event{onRoot("SentOn", out), unlocked}
	for name, c := range map[string]struct {
		flow, step string
		events     []chains.Event
		fails      func(*flow.CrossDeps)
	}{
		"fund":                          {"flt_l1_deposit", "fund", deposits, search(1)},
		"retry: its events":             {"flt_l1_deposit", "retry", deposits, search(1)},
		"retry: what is kept":           {"flt_l1_deposit", "retry", deposits, credits},
		"deliver: what was funded":      {"flt_l1_deposit", "deliver", deposits, search(1)},
		"deliver: what was applied":     {"flt_l1_deposit", "deliver", deposits, search(2)},
		"deliver: the journal":          {"flt_l1_deposit", "deliver", deposits, decide},
		"undelivered":                   {"flt_l1_deposit", "undelivered", deposits, search(1)},
		"send_back: its events":         {"flt_l1_deposit", "send_back", deposits, search(1)},
		"send_back: what is kept":       {"flt_l1_deposit", "send_back", deposits, credits},
		"send_on: its events":           {"flt_l1_withdraw", "send_on", nil, search(1)},
		"send_on: what came back":       {"flt_l1_withdraw", "send_on", withdrawals, returned},
		"resend: its events":            {"flt_l1_withdraw", "resend", nil, search(1)},
		"resend: what came back":        {"flt_l1_withdraw", "resend", withdrawals, returned},
		"retry of a withdrawal":         {"flt_l1_withdraw", "retry", withdrawals, credits},
		"unlock: what was sent on":      {"flt_l1_withdraw", "unlock", withdrawals, search(1)},
		"unlock: the message behind it": {"flt_l1_withdraw", "unlock", withdrawals, onward},
		"unlock: what was executed":     {"flt_l1_withdraw", "unlock", withdrawals, search(2)},
		"unlock: the journal":           {"flt_l1_withdraw", "unlock", withdrawals, decide},
	} {
		t.Run(name, func(t *testing.T) {
			a := &across{events: c.events, decided: map[flow.Key]flow.Kind{}}
			deps := a.deps()
			c.fails(&deps)
			f, e := flow.FLTL1Deposit(sub(), crossing(axelar.Legacy), deps), deposited(d)
			if c.flow == "flt_l1_withdraw" {
				f, e = flow.FLTL1Withdraw(sub(), crossing(axelar.Legacy), deps), toL1(w)
			}
			tr, mine, err := f.Decode(e)
			require.NoError(t, err)
			require.True(t, mine)
			got, err := named(t, f, c.step).Done(t.Context(), []tokens.Transfer{tr})
			require.ErrorIs(t, err, errAway)
			require.Empty(t, got)
			require.Empty(t, a.decided)
		})
	}
}

// TestWhatCannotBeSentSaysWhy: of the steps that act on what is kept, and of the one
// that sends again.
func TestWhatCannotBeSentSaysWhy(t *testing.T) {
	a := &across{now: 21600 + 600}
	deps := a.deps()
	in, out := flow.FLTL1Deposit(sub(), crossing(axelar.Legacy), deps), flow.FLTL1Withdraw(sub(), crossing(axelar.Legacy), deps)
	dep, _, err := in.Decode(deposited(deposit(3)))
	require.NoError(t, err)
	wd, _, err := out.Decode(toL1(outgoing(2)))
	require.NoError(t, err)
	type act struct {
		step flow.Step
		tr   tokens.Transfer
	}
	acts := map[string]act{
		"retry": {named(t, in, "retry"), dep}, "send_back": {named(t, in, "send_back"), dep},
		"retry of a withdrawal": {named(t, out, "retry"), wd}, "resend": {named(t, out, "resend"), wd},
	}
	one := func(x act) error {
		errs, err := x.step.Do(t.Context(), flow.Batch{Transfers: []tokens.Transfer{x.tr}})
		require.NoError(t, err)
		require.Len(t, errs, 1)
		return errs[0]
	}
	for name, x := range acts {
		// A payload that is none waits for a person, and nothing is sent.
		broken := x
		broken.tr.Payload = broken.tr.Payload[:31]
		reason, parked := flow.ReasonOf(one(broken))
		require.True(t, parked, name)
		require.Equal(t, flow.ReasonUndecodable, reason)
		require.Empty(t, a.txs, name)

		// An endpoint that is away is no verdict.
		a.sendErr = errAway
		err := one(x)
		require.ErrorIs(t, err, errAway, name)
		_, parked = flow.ReasonOf(err)
		require.False(t, parked)
		a.sendErr = nil
	}

	for name, err := range map[string]error{
		"a limit that is not the whole error": revertOf("OverFlowLimit(uint256,uint256)", hash(7)),
		"an error of nobody's":                revertOf("Whatever()"),
		"no data at all":                      &chains.RevertError{},
	} {
		a.sendErr = err
		got := one(acts["send_back"])
		require.ErrorIs(t, got, chains.ErrReverted, name)
		_, _, later := flow.DueOf(got)
		require.False(t, later, name)
	}
	a.sendErr = revertOf("Pause()")
	wait, reason, later := flow.DueOf(one(acts["send_back"]))
	require.True(t, later)
	require.Equal(t, flow.ReasonPaused, reason)
	require.Equal(t, 10*time.Second, wait)

	// Without the time nobody knows when a window ends.
	deps.Now = func(context.Context) (uint64, error) { return 0, errAway }
	late := act{named(t, flow.FLTL1Deposit(sub(), crossing(axelar.Legacy), deps), "send_back"), dep}
	for _, revert := range []error{revertOf("OverFlowLimit(uint256,uint256)", hash(5000), hash(0)), revertOf("Whatever()")} {
		a.sendErr = revert
		require.ErrorIs(t, one(late), errAway)
	}
	deps.ResendTx = func(context.Context, axelar.FltWithdrawal) (chains.Tx, error) { return chains.Tx{}, errAway }
	a.sendErr = nil
	require.ErrorIs(t, one(act{named(t, flow.FLTL1Withdraw(sub(), crossing(axelar.Legacy), deps), "resend"), wd}), errAway)
	require.Empty(t, a.txs)
}

// TestALegThatCannotAskOrSendDecidesNothing of the messages it carries.
func TestALegThatCannotAskOrSendDecidesNothing(t *testing.T) {
	run := func(change func(*flow.LegDeps), state axelar.State, step int, do bool) (errs []error, out []flow.Outcome, g *gate, err error) {
		g = &gate{latest: state, signed: true}
		d := g.deps()
		change(&d)
		f := flow.LegIn(sub(), crossing(axelar.Legacy), d)
		tr, mine, derr := f.Decode(sent(t, l1ID, gateOut, itsL1, "filecoin", inward()))
		require.NoError(t, derr)
		require.True(t, mine)
		if do {
			errs, err = f.Steps[step].Do(t.Context(), flow.Batch{Transfers: []tokens.Transfer{tr}})
			return errs, nil, g, err
		}
		out, err = f.Steps[step].Done(t.Context(), []tokens.Transfer{tr})
		return nil, out, g, err
	}
	away := func(context.Context, []axelar.Message) ([]axelar.State, error) { return nil, errAway }
	const approve, execute = 0, 1
	for _, step := range []int{approve, execute} {
		_, out, _, err := run(func(d *flow.LegDeps) { d.StatesFinal = away }, axelar.StateNone, step, false)
		require.ErrorIs(t, err, errAway)
		require.Empty(t, out)
		_, _, g, err := run(func(d *flow.LegDeps) { d.StatesLatest = away }, axelar.StateNone, step, true)
		require.ErrorIs(t, err, errAway)
		require.Empty(t, g.txs)
	}
	_, _, g, err := run(func(d *flow.LegDeps) {
		d.Approve = func(context.Context, []flow.Wanted) ([]flow.Signed, error) { return nil, errAway }
	}, axelar.StateNone, approve, true)
	require.ErrorIs(t, err, errAway)
	require.Empty(t, g.txs)
	errs, _, g, err := run(func(d *flow.LegDeps) {
		d.ExecuteTx = func(axelar.Message, []byte) (chains.Tx, error) { return chains.Tx{}, errAway }
	}, axelar.StateApproved, execute, true)
	require.NoError(t, err)
	require.ErrorIs(t, errs[0], errAway)
	require.Empty(t, g.txs)
	errs, _, _, err = run(func(d *flow.LegDeps) {
		d.Send = func(context.Context, chains.Tx) error { return revertOf("Whatever()") }
		d.Circumstances = func(context.Context, axelar.Message, *axelar.Transfer) (axelar.Circumstances, uint64, error) {
			return axelar.Circumstances{}, 0, errAway
		}
	}, axelar.StateApproved, execute, true)
	require.NoError(t, err)
	require.ErrorIs(t, errs[0], errAway, "a revert that nobody can explain is no verdict")
	errs, _, _, err = run(func(d *flow.LegDeps) {
		d.Send = func(context.Context, chains.Tx) error { return errAway }
	}, axelar.StateApproved, execute, true)
	require.NoError(t, err)
	require.ErrorIs(t, errs[0], errAway)
}

// TestAnApprovalThatIsRefusedIsSignedAnewOrWaitedFor: what a gateway says of it.
func TestAnApprovalThatIsRefusedIsSignedAnewOrWaitedFor(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		again  bool
		reason flow.Reason
	}{
		"a set that it keeps no more":   {revertOf("InvalidSigners()"), true, ""},
		"operators that it does not":    {revertOf("InvalidOperators()"), true, ""},
		"signatures that are malformed": {revertOf("MalformedSignatures()"), true, ""},
		"too little weight":             {revertOf("LowSignaturesWeight()"), true, ""},
		"a gateway that is paused":      {revertOf("Pause()"), false, flow.ReasonPaused},
		"another chain's":               {revertOf("InvalidChainId()"), false, ""},
		"no data":                       {&chains.RevertError{}, false, ""},
		"no answer":                     {errAway, false, ""},
	} {
		g := &gate{signed: true, sendErr: c.err}
		tr, _, approve, _ := stepsOf(t, axelar.Legacy, g)
		errs, err := approve.Do(t.Context(), flow.Batch{Transfers: []tokens.Transfer{tr}})
		require.NoError(t, err)
		require.Error(t, errs[0], name)
		require.Equal(t, c.again, errors.Is(errs[0], flow.ErrNotYet), "%s: %v", name, errs[0])
		_, reason, later := flow.DueOf(errs[0])
		require.Equal(t, c.reason != "", later, name)
		require.Equal(t, c.reason, reason, name)
		_, parked := flow.ReasonOf(errs[0])
		require.False(t, parked, "%s: no approval is given up", name)
	}
}

// TestAMessageThatCanBeMadeNoMoreHasNoKeyOfAnother: what the hub would not route.
func TestAMessageThatCanBeMadeNoMoreHasNoKeyOfAnother(t *testing.T) {
	g := &gate{}
	tr, _, approve, execute := stepsOf(t, axelar.Legacy, g)
	good := approve.Key(tr)
	tr.Payload = tr.Payload[:5]
	require.NotEqual(t, good, approve.Key(tr))
	for _, step := range []flow.Step{approve, execute} {
		_, err := step.Done(t.Context(), []tokens.Transfer{tr})
		require.ErrorContains(t, err, "[BUG]")
		_, err = step.Do(t.Context(), flow.Batch{Transfers: []tokens.Transfer{tr}})
		require.ErrorContains(t, err, "[BUG]")
	}
	require.Empty(t, g.txs)
}
