package flow_test

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

// exit is what a withdrawal asks of the chains.
type exit struct {
	events   []chains.Event
	asked    []flow.Search
	returned map[common.Hash]bool
	sent     []chains.Tx
	fail     map[string]error
}

func (x *exit) search(_ context.Context, q flow.Search) ([]chains.Event, error) {
	x.asked = append(x.asked, q)
	return x.events, x.fail["search"]
}

func (x *exit) deps() flow.WithdrawDeps {
	return flow.WithdrawDeps{
		Search: x.search,
		Returned: func(_ context.Context, ids []common.Hash) (out []bool, err error) {
			for _, id := range ids {
				out = append(out, x.returned[id])
			}
			return out, x.fail["returned"]
		},
		ResendTx: func(_ context.Context, w ipc.Withdrawal) (chains.Tx, error) {
			return chains.Tx{To: addr(9), Value: big.NewInt(17), Data: fmt.Appendf(nil, "resend %d", w.Nonce)}, x.fail["fee"]
		},
		Send: func(_ context.Context, tx chains.Tx) error {
			x.sent = append(x.sent, tx)
			return x.fail["send"]
		},
	}
}

func withdrawals(t *testing.T, nonces ...uint64) (out []tokens.Transfer) {
	for i, n := range nonces {
		e := withdrawalSent(withdrawal(addr(6), n))
		e.BlockTime = uint64(1000 - i)
		x, mine, err := flows()["usdc_withdraw"].Decode(e)
		require.NoError(t, err)
		require.True(t, mine)
		out = append(out, x)
	}
	return out
}

func settledEvent(id common.Hash, paid bool) chains.Event {
	return emit(fastABI, "WithdrawalSettled", rootID, addr(4), id, addr(0x72), addr(6), big.NewInt(9), paid)
}

func TestTheNetUnderAWithdrawalSeesWhatTheEventsWouldHaveSaid(t *testing.T) {
	ts := withdrawals(t, 1, 2, 3, 4, 5)
	x := &exit{
		events: []chains.Event{
			settledEvent(hash(99), true), // somebody else's
			settledEvent(ts[0].Ref, true), settledEvent(ts[1].Ref, false),
			emit(fastABI, "WithdrawalQuarantined", rootID, addr(4), ts[2].Ref, addr(0x72), addr(6), big.NewInt(9), big.NewInt(8)),
		},
		returned: map[common.Hash]bool{ts[3].Ref: true, ts[0].Ref: true}, // settled wins over returned
	}
	steps := flow.USDCWithdraw(sub(), x.deps()).Steps
	out, err := steps[0].Done(ctx, ts)
	require.NoError(t, err)
	require.Equal(t, []flow.Outcome{
		{Kind: flow.Ok}, {Kind: flow.Failed, Reason: flow.ReasonPayoutRefused}, {Kind: flow.Failed, Reason: flow.ReasonQuarantined},
		{Kind: flow.Superseded, Reason: flow.ReasonReturned}, {},
	}, out)
	require.Len(t, x.asked, 1, "one search for the whole batch")
	q := x.asked[0]
	require.Equal(t, flow.Root, q.Chain)
	require.Equal(t, addr(4), q.Contract)
	require.Equal(t, 1, q.Position)
	require.Equal(t, uint64(996), q.Since, "from the oldest of the batch")
	require.Len(t, q.Values, 5)
	require.ElementsMatch(t, []common.Hash{fastABI.Events["WithdrawalSettled"].ID, fastABI.Events["WithdrawalQuarantined"].ID}, q.Topics)

	out, err = steps[1].Done(ctx, ts)
	require.NoError(t, err)
	require.Equal(t, flow.Outcome{Kind: flow.Pending}, out[3], "only what stands returned is sent again")
	require.Equal(t, flow.Outcome{}, out[4], "in flight is unknown: nothing is sent")
	require.Equal(t, flow.Outcome{Kind: flow.Ok}, out[0])
	x.asked = nil
	_, err = steps[0].Done(ctx, ts[:1])
	require.NoError(t, err)
	require.Len(t, x.asked[0].Values, 1, "searches do not add up")

	for _, at := range []string{"search", "returned"} {
		x.fail = map[string]error{at: gone}
		for _, s := range steps {
			_, err := s.Done(ctx, ts)
			require.ErrorIs(t, err, gone, at)
		}
	}
}

func TestAReturnedWithdrawalIsSentAgainUnchanged(t *testing.T) {
	ts := withdrawals(t, 1, 2)
	ts = append(ts, tokens.Transfer{ID: hash(9), Ref: hash(10), Payload: []byte("not a withdrawal")})
	x := &exit{fail: map[string]error{}}
	do := flow.USDCWithdraw(sub(), x.deps()).Steps[1].Do
	b := flow.Batch{Fence: chains.Fence{Lane: "l", Epoch: 1}, Transfers: ts}
	out, err := do(ctx, b)
	require.NoError(t, err)
	require.Equal(t, []error{nil, nil}, out[:2])
	reason, ok := flow.ReasonOf(out[2])
	require.True(t, ok)
	require.Equal(t, flow.ReasonUndecodable, reason, "one that cannot be read holds back nobody")
	require.Equal(t, []chains.Tx{
		{Key: "resend/" + ts[0].Ref.Hex(), Group: "resend", To: addr(9), Value: big.NewInt(17), Data: []byte("resend 1"), Members: []common.Hash{ts[0].ID}, Fence: b.Fence},
		{Key: "resend/" + ts[1].Ref.Hex(), Group: "resend", To: addr(9), Value: big.NewInt(17), Data: []byte("resend 2"), Members: []common.Hash{ts[1].ID}, Fence: b.Fence},
	}, x.sent)

	for err, is := range map[error]error{
		reverted("NotReturned(bytes32)"): flow.ErrNotYet, // somebody else did it in a block that is not final yet
		reverted("PeriodFull(uint256)"):  flow.ErrNotYet,
		reverted("NotEntitled()"):        chains.ErrReverted,
		chains.ErrBusy:                   chains.ErrBusy,
		gone:                             gone,
	} {
		x.fail["send"] = err
		out, derr := do(ctx, flow.Batch{Transfers: ts[:1]})
		require.NoError(t, derr)
		require.ErrorIs(t, out[0], is)
		require.Equal(t, is == flow.ErrNotYet, errors.Is(out[0], flow.ErrNotYet))
	}
	x.fail = map[string]error{"fee": gone}
	out, err = do(ctx, flow.Batch{Transfers: ts[:1]})
	require.NoError(t, err)
	require.ErrorIs(t, out[0], gone)
}

func TestTheNetUnderADepositSeesDeliveryAndRefund(t *testing.T) {
	for _, c := range []struct {
		make     func(flow.Subnet, flow.SearchFunc) flow.Flow
		refund   chains.Event
		contract common.Address
		position int
	}{
		{flow.USDCDeposit, emit(controllerABI, "DepositRefunded", rootID, addr(3), hash(0xabc), addr(0x51), big.NewInt(9), true), addr(3), 1},
		{flow.FLTDeposit, emit(gatewayABI, "ResultApplied", rootID, addr(2), addr(1), hash(0xabc), uint8(2), uint8(0), addr(0x51), big.NewInt(9)), addr(2), 2},
	} {
		x := &exit{events: []chains.Event{
			emit(subGatewayABI, "TopDownMessageApplied", subID, addr(7), uint64(4), hash(1), uint8(0), uint8(0), []byte{}),
			emit(subGatewayABI, "TopDownMessageApplied", subID, addr(7), uint64(5), hash(9), uint8(0), uint8(0), []byte{}), // of a branch of the root that is gone
			emit(subGatewayABI, "TopDownMessageApplied", subID, addr(7), uint64(5), hash(2), uint8(2), uint8(2), []byte{}),
			emit(subGatewayABI, "TopDownMessageApplied", subID, addr(7), uint64(5), hash(2), uint8(0), uint8(0), []byte{}), // the first counts
			emit(subGatewayABI, "TopDownMessageApplied", subID, addr(7), uint64(8), hash(3), uint8(0), uint8(0), []byte{}),
		}}
		f := c.make(sub(), x.search)
		ts := []tokens.Transfer{{Nonce: 4, Ref: hash(1), At: 50}, {Nonce: 5, Ref: hash(2), At: 40}, {Nonce: 6, Ref: hash(4), At: 60}}
		out, err := f.Steps[0].Done(ctx, ts)
		require.NoError(t, err)
		require.Equal(t, []flow.Outcome{{Kind: flow.Ok}, {Kind: flow.Failed, Reason: flow.ReasonRecipientFailed}, {}}, out)
		require.Equal(t, flow.Search{
			Chain: "subnet", Contract: addr(7), Topics: []common.Hash{subGatewayABI.Events["TopDownMessageApplied"].ID}, Position: 1,
			Values: []common.Hash{hash(4), hash(5), hash(6)}, Since: 40,
		}, x.asked[0])

		x.events = []chains.Event{c.refund}
		out, err = f.Steps[1].Done(ctx, []tokens.Transfer{{Ref: hash(1)}, {Ref: hash(0xabc)}})
		require.NoError(t, err)
		require.Equal(t, []flow.Outcome{{}, {}}, out, "whose event it is only the journal knows")
		require.True(t, f.Steps[1].Shared)
		require.True(t, x.asked[1].Keep)
		require.Equal(t, c.contract, x.asked[1].Contract)
		require.Equal(t, c.position, x.asked[1].Position)
		require.Equal(t, c.refund.Topics[c.position], hash(0xabc), "the value is looked for where it is")
	}
}

func TestATransferIDIsTheSameForEver(t *testing.T) {
	got := flow.TransferID("usdc_deposit", rootID, addr(3), addr(1), 5)
	want := crypto.Keccak256Hash([]byte("causeway/1|usdc_deposit|31415926|" + addr(3).Hex() + "|" + addr(1).Hex() + "|5"))
	require.Equal(t, want, got)
}
