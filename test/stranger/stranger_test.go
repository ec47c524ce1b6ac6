package stranger

import (
	"cmp"
	"context"
	"log/slog"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"
)

const patience = 3 * time.Minute

func nobody(n byte) common.Address { return common.Address{0: 0xee, 19: n} }

// TestAllFourRoutesCompleteOverContractsThatSomebodyElseDeployed sends both
// tokens both ways: equal deposits whose ids are the same, checkpoints whose
// signatures come in no order, some of them first without the weight that the
// root asks for, somebody else who executes too, and a restart in the middle.
func TestAllFourRoutesCompleteOverContractsThatSomebodyElseDeployed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	// Every third checkpoint first has a quorum by the subnet's count (half of
	// its validators) and not by the root's (30 of 100).
	r.flt.policy = func(height uint64) [][]int {
		if height/period%3 == 1 {
			return [][]int{{1, 0}, {3, 2}}
		}
		return [][]int{{3, 1, 2}}
	}
	r.probed()
	r.run()
	r.compete(r.flt)

	me := addressOf(r.user)
	r.depositFLT(me, eth(100))
	r.depositFLT(nobody(1), eth(1)) // the same, twice: one id
	r.depositFLT(nobody(1), eth(1))
	r.depositUSDC(me, big.NewInt(9_000_000))
	r.depositUSDC(nobody(2), big.NewInt(1_000_000))
	r.depositUSDC(nobody(2), big.NewInt(1_000_000))
	for n := byte(10); n < 14; n++ {
		r.withdrawFLT(nobody(n), eth(int64(n)))
	}
	r.settled(10, patience)

	// A restart, with messages on their way both up and down.
	r.withdrawFLT(nobody(14), eth(14))
	r.withdrawUSDC(nobody(15), big.NewInt(2_500_000))
	r.depositFLT(nobody(3), eth(3))
	time.Sleep(2 * time.Second)
	r.stop()
	r.withdrawUSDC(nobody(16), big.NewInt(500_000))
	r.depositUSDC(nobody(4), big.NewInt(4_000_000))
	r.run()

	all := r.settled(len(r.sent), patience)
	r.everyOne(all, nil)
	r.conserved(eth(100+1+1+3), eth(10+11+12+13+14), big.NewInt(15_000_000), big.NewInt(3_000_000))
	for n := byte(10); n < 15; n++ {
		require.Equal(t, eth(int64(n)), r.token(r.fltToken, nobody(n)))
	}
	require.Equal(t, big.NewInt(2_500_000), r.token(r.usdcToken, nobody(15)))
	require.Equal(t, big.NewInt(500_000), r.token(r.usdcToken, nobody(16)))
	require.Equal(t, eth(2), r.flt.chain.balance(nobody(1)))
	require.Equal(t, eth(3), r.flt.chain.balance(nobody(3)))
	require.Equal(t, big.NewInt(2_000_000), r.usdc.chain.number(r.replica, bindings.NewDevUsdc().PackBalanceOf(nobody(2))))
	require.Equal(t, big.NewInt(4_000_000), r.usdc.chain.number(r.replica, bindings.NewDevUsdc().PackBalanceOf(nobody(4))))

	r.answered()
	r.onlyWhatIsNeeded()
	rival, err := r.root.c.NonceAt(t.Context(), addressOf(r.set[0]), nil)
	require.NoError(t, err)
	require.Positive(t, rival, "nobody else executed anything")
	r.flt.mu.Lock()
	defer r.flt.mu.Unlock()
	require.Positive(t, r.flt.held)
	require.Zero(t, r.flt.early, "a checkpoint was on the root before its validators had the weight")
}

// probed asks for what the relayer will find.
func (r *rig) probed() {
	r.t.Helper()
	found, err := relayer.Probe(r.t.Context(), r.cfg, slog.New(slog.DiscardHandler))
	require.NoError(r.t, err)
	can := []string{"bundles_on_chain", "batches_on_chain"}
	require.Equal(r.t, []relayer.Found{
		{Subnet: "flt", Published: true, Capabilities: can, Period: period, Supply: r.fltToken},
		{Subnet: "usdc", Published: true, Capabilities: can, Period: period, USDC: true},
	}, found)
}

// TestAMessageExecutedOutOfItsTurnIsNotFollowed lets a stranger burn the second
// of three withdrawals before the relayer comes. The root can never apply the
// third; whoever sends it burns it too. The relayer pays the first, says that the
// second failed, and sends nothing more.
func TestAMessageExecutedOutOfItsTurnIsNotFollowed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.depositFLT(addressOf(r.user), eth(100))
	// Two deposits that fail where they arrive.
	refuses := r.flt.chain.create(r.user, nil, common.FromHex("600580600b6000396000f360006000fd"))
	r.depositFLT(refuses, eth(7))
	r.depositUSDC(common.Address{}, big.NewInt(3))
	applied := func(n uint64) func() bool {
		return func() bool { return r.flt.chain.number(r.flt.inner, ipc.SelAppliedTopDown.Bytes()).Uint64() >= n }
	}
	require.Eventually(t, applied(2), patience, 200*time.Millisecond)
	for n := byte(1); n <= 3; n++ {
		r.withdrawFLT(nobody(n), eth(int64(n)))
	}

	// The stranger submits what the validators signed and executes in order, up
	// to the second withdrawal, which it takes before the first.
	burnt := ipc.FromEVM(nobody(2))
	turn := func(ms []ipc.IpcEnvelope) int {
		i := slices.IndexFunc(ms, func(m ipc.IpcEnvelope) bool { return m.Kind == ipc.KindTransfer && m.To.RawAddress.Equal(burnt) })
		if i < 0 {
			return -1
		}
		return i
	}
	first := uint64(2) // nonces 0 and 1 answer the deposits
	require.Eventually(t, func() bool {
		if err := r.submitNext(t.Context(), r.set[0], r.flt); err != nil {
			t.Logf("submit: %v", err)
			return false
		}
		if r.flt.appliedUp() < first {
			return r.executeOne(t.Context(), r.set[0], r.flt, nil) != nil
		}
		require.NoError(t, r.executeOne(t.Context(), r.set[0], r.flt, turn))
		return r.systemErrors(r.flt) == 1
	}, patience, 200*time.Millisecond)
	require.Equal(t, first, r.flt.appliedUp())

	r.run()
	failed := map[string]tokens.Status{
		"flt_deposit " + eth(7).String(): tokens.Parked, "usdc_deposit 3": tokens.Parked,
		"flt_withdraw " + eth(2).String(): tokens.Parked,
	}
	var all []api.Transfer
	require.Eventually(t, func() bool {
		var err error
		if all, err = r.transfers(t.Context()); err != nil {
			return false
		}
		pending := 0
		for _, x := range all {
			if !x.Status.Terminal() {
				pending++
			}
			if x.Status == tokens.Parked {
				require.Equal(t, "unproven_refund", x.Reason)
			}
		}
		return len(all) == len(r.sent) && pending == 1 && r.alerted(t.Context(), "lane_stuck")
	}, patience, 300*time.Millisecond)
	w := r.sent
	for tx, x := range w {
		if x.amount.Cmp(eth(3)) == 0 {
			x.status = tokens.Pending
			w[tx] = x
		}
	}
	r.everyOne(all, failed)
	require.Equal(t, first+1, r.flt.appliedUp(), "nothing is applied behind the hole")
	require.Equal(t, 1, r.systemErrors(r.flt), "nothing else was burnt")
	require.Equal(t, eth(1), r.token(r.fltToken, nobody(1)))
	require.Zero(t, r.token(r.fltToken, nobody(2)).Sign())
	require.Zero(t, r.token(r.fltToken, nobody(3)).Sign())
	// The gateway holds what circulates, what it did not give back for the failed
	// deposit, and what was burnt.
	held := new(big.Int).Sub(eth(107), eth(1))
	require.Equal(t, held.String(), r.token(r.fltToken, r.gateway).String())
	require.Equal(t, big.NewInt(3), r.token(r.usdcToken, r.controller), "nothing is refunded")
	executed := 0
	for _, tx := range r.relayersOwn() {
		if tx.selector == ipc.SelExecBatchC && tx.to == r.flt.actor {
			require.True(t, tx.ok)
			executed++
		}
	}
	require.Equal(t, 1, executed)
}

// systemErrors counts answers of the root that say a message was not even tried.
func (r *rig) systemErrors(s *subnet) int {
	r.t.Helper()
	down, err := s.topDown(r.t.Context(), false)
	require.NoError(r.t, err)
	n := 0
	for _, m := range down {
		if result, err := ipc.DecodeResult(m.Message); m.Kind == ipc.KindResult && err == nil && result.Outcome == ipc.OutcomeSystemErr {
			n++
		}
	}
	return n
}

// submitNext submits the next checkpoint, if validators have signed it enough.
func (r *rig) submitNext(ctx context.Context, key execKey, s *subnet) error {
	raw, err := r.root.ask(ctx, s.actor, ipc.SelLastHeight.Bytes())
	if err != nil {
		return err
	}
	height := new(big.Int).Add(new(big.Int).SetBytes(raw), big.NewInt(period))
	if raw, err = s.chain.ask(ctx, s.inner, append(ipc.SelGetCheckpointSignatureBundle.Bytes(), common.BigToHash(height).Bytes()...)); err != nil {
		return err
	}
	b, err := ipc.DecodeBundle(raw)
	if err != nil || len(b.Signatures) < 3 {
		return err
	}
	var sigs []ipc.Signed
	for i, who := range b.Signatories {
		sigs = append(sigs, ipc.Signed{Signer: who, Signature: b.Signatures[i]})
	}
	if sigs, err = ipc.SortSignatures(sigs); err != nil {
		return err
	}
	who, signatures, err := ipc.Split(sigs)
	if err != nil {
		return err
	}
	_, err = r.root.try(ctx, key, &s.actor, nil, 2_000_000, mustPack(r.made["Actor"].abi, "submitCheckpoint", b.Checkpoint, who, signatures))
	return err
}

// alerted says whether an alert is open.
func (r *rig) alerted(ctx context.Context, name string) bool {
	var status relayer.Status
	if err := r.read(ctx, r.admin+"/status", &status); err != nil {
		return false
	}
	return slices.ContainsFunc(status.Alerts, func(a alerts.Alert) bool { return a.Name == name })
}

// everyOne checks that each transfer sent is there once and ended as it should.
// failed lists amounts of those that must not be done.
func (r *rig) everyOne(all []api.Transfer, failed map[string]tokens.Status) {
	r.t.Helper()
	require.Len(r.t, all, len(r.sent))
	type row struct {
		route, amount string
		status        tokens.Status
	}
	var want, got []row
	for _, w := range r.sent {
		status := w.status
		if s, bad := failed[w.route+" "+w.amount.String()]; bad {
			status = s
		}
		want = append(want, row{w.route, w.amount.String(), status})
	}
	for _, x := range all {
		got = append(got, row{x.Route, x.Amount.String(), x.Status})
	}
	require.ElementsMatch(r.t, want, got)
}

// conserved compares what the contracts hold with what was sent, to the last
// unit. The published ones keep no counters but the circulating supply.
func (r *rig) conserved(fltIn, fltOut, usdcIn, usdcOut *big.Int) {
	r.t.Helper()
	flt := new(big.Int).Sub(fltIn, fltOut)
	require.Equal(r.t, flt.Sign() >= 0, r.circulating(r.flt).Sign() >= 0)
	require.Equal(r.t, flt.String(), r.circulating(r.flt).String(), "circulating FLT")
	require.Equal(r.t, flt.String(), r.token(r.fltToken, r.gateway).String(), "FLT in the gateway")
	require.Equal(r.t, fltOut.String(), r.flt.chain.balance(common.BigToAddress(big.NewInt(99))).String(), "FLT burnt in the subnet")
	treasury := new(big.Int).Sub(eth(10_000_000), fltIn)
	require.Equal(r.t, treasury.String(), r.flt.chain.balance(r.flt.inner).String(), "FLT left in the subnet's gateway")

	usdc := new(big.Int).Sub(usdcIn, usdcOut)
	require.Equal(r.t, usdc.String(), r.token(r.usdcToken, r.controller).String(), "USDC in the controller")
	require.Equal(r.t, usdc.String(), r.usdc.chain.number(r.replica, bindings.NewDevUsdc().PackTotalSupply()).String(), "USDC in the subnet")
}

func (r *rig) token(token, who common.Address) *big.Int {
	r.t.Helper()
	return r.root.number(token, bindings.NewDevUsdc().PackBalanceOf(who))
}

// circulating is getSubnet(id).circSupply.
func (r *rig) circulating(s *subnet) *big.Int {
	r.t.Helper()
	abi := r.made["RootGateway"].abi
	raw, err := r.root.ask(r.t.Context(), r.gateway, r.root.pack("RootGateway", "getSubnet", s.id))
	require.NoError(r.t, err)
	values, err := abi.Unpack("getSubnet", raw)
	require.NoError(r.t, err)
	book := values[1].(struct {
		Stake                *big.Int `json:"stake"`
		GenesisEpoch         *big.Int `json:"genesisEpoch"`
		CircSupply           *big.Int `json:"circSupply"`
		TopDownNonce         uint64   `json:"topDownNonce"`
		AppliedBottomUpNonce uint64   `json:"appliedBottomUpNonce"`
		Id                   struct {
			Root  uint64           `json:"root"`
			Route []common.Address `json:"route"`
		} `json:"id"`
	})
	return book.CircSupply
}

// answered waits until every message of both directions is applied, and checks
// that each that is no answer was answered once, with Ok.
func (r *rig) answered() {
	r.t.Helper()
	for _, s := range []*subnet{r.flt, r.usdc} {
		var down, up []ipc.IpcEnvelope
		require.Eventually(r.t, func() bool {
			var err error
			if down, err = s.topDown(r.t.Context(), false); err != nil {
				return false
			}
			if up, err = s.bottomUp(r.t.Context()); err != nil {
				return false
			}
			sentUp := s.chain.number(s.inner, r.root.pack("ChildGateway", "bottomUpNonce")).Uint64()
			return s.chain.number(s.inner, ipc.SelAppliedTopDown.Bytes()).Uint64() == uint64(len(down)) &&
				uint64(len(up)) == sentUp && s.appliedUp() == sentUp
		}, patience, 300*time.Millisecond, "every message of %s is applied", s.name)
		for _, d := range []struct{ asked, answers []ipc.IpcEnvelope }{{down, up}, {up, down}} {
			var want, got []common.Hash
			for _, m := range d.asked {
				if m.Kind != ipc.KindResult {
					want = append(want, m.TracingID())
				}
			}
			for _, m := range d.answers {
				if m.Kind != ipc.KindResult {
					continue
				}
				result, err := ipc.DecodeResult(m.Message)
				require.NoError(r.t, err)
				require.Equal(r.t, ipc.OutcomeOk, result.Outcome, "%s: message %x", s.name, result.Id)
				require.Zero(r.t, m.Value.Sign())
				got = append(got, result.Id)
			}
			require.Equal(r.t, want, got, "answers of %s come in the order of the messages", s.name)
		}
	}
}

// bottomUp reads every recorded batch.
func (s *subnet) bottomUp(ctx context.Context) ([]ipc.IpcEnvelope, error) {
	logs, err := s.chain.c.FilterLogs(ctx, ethereum.FilterQuery{
		FromBlock: new(big.Int), Addresses: []common.Address{s.inner}, Topics: [][]common.Hash{{ipc.TopicBottomUpBatchRecorded}},
	})
	if err != nil {
		return nil, err
	}
	var out []ipc.IpcEnvelope
	for _, l := range logs {
		_, msgs, err := ipc.DecodeBottomUpBatch(l.Data)
		if err != nil {
			return nil, err
		}
		out = append(out, msgs...)
	}
	return out, nil
}

func (s *subnet) appliedUp() uint64 {
	return s.rig.root.number(s.rig.gateway, s.rig.root.pack("RootGateway", "getAppliedBottomUpNonce", s.id)).Uint64()
}

// onlyWhatIsNeeded checks the relayer's own transactions: none in a subnet that
// delivers by itself, and on the root none that reverted but at a race.
func (r *rig) onlyWhatIsNeeded() {
	r.t.Helper()
	for _, s := range []*subnet{r.flt, r.usdc} {
		n, err := s.chain.c.NonceAt(r.t.Context(), addressOf(r.relayer), nil)
		require.NoError(r.t, err)
		require.Zero(r.t, n, "the relayer sent something into %s", s.name)
	}
	sent := r.relayersOwn()
	require.NotEmpty(r.t, sent)
	for _, tx := range sent {
		if tx.selector == ipc.SelSubmitCheckpointC {
			require.True(r.t, tx.ok, "a checkpoint without the root's quorum was submitted")
		}
	}
}

type own struct {
	to       common.Address
	selector ipc.Selector
	ok       bool
	gas      uint64
}

// relayersOwn reads every transaction that the relayer had mined on the root.
func (r *rig) relayersOwn() []own {
	r.t.Helper()
	var out []own
	head := r.root.net.Head().Number
	me := addressOf(r.relayer)
	signer := types.LatestSignerForChainID(big.NewInt(rootID))
	for n := range head + 1 {
		b, err := r.root.c.BlockByNumber(r.t.Context(), new(big.Int).SetUint64(n))
		require.NoError(r.t, err)
		for _, tx := range b.Transactions() {
			from, err := types.Sender(signer, tx)
			require.NoError(r.t, err)
			if from != me || tx.To() == nil || len(tx.Data()) < 4 {
				continue
			}
			receipt, err := r.root.c.TransactionReceipt(r.t.Context(), tx.Hash())
			require.NoError(r.t, err)
			out = append(out, own{*tx.To(), ipc.Selector(tx.Data()[:4]), receipt.Status == types.ReceiptStatusSuccessful, tx.Gas()})
		}
	}
	return out
}

// compete is a stranger's relayer: it executes one message at a time, as soon as
// a batch is accepted, in the right order, without asking anybody.
func (r *rig) compete(s *subnet) {
	rival := r.set[0]
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := r.executeOne(ctx, rival, s, nil); err != nil && ctx.Err() == nil {
				r.t.Logf("rival: %v", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	r.t.Cleanup(func() { cancel(); <-done })
}

// executeOne executes one pending message: the next one, or what pick chooses of
// the lowest batch in which it finds any.
func (r *rig) executeOne(ctx context.Context, key execKey, s *subnet, pick func([]ipc.IpcEnvelope) int) error {
	abi := r.made["Actor"].abi
	raw, err := r.root.ask(ctx, s.actor, ipc.SelListPending.Bytes())
	if err != nil {
		return err
	}
	values, err := abi.Unpack("listPendingBottomUpBatchCommitments", raw)
	if err != nil {
		return err
	}
	type entry = struct {
		Height     uint64 `json:"height"`
		Commitment struct {
			TotalNumMsgs uint64   `json:"totalNumMsgs"`
			MsgsRoot     [32]byte `json:"msgsRoot"`
		} `json:"commitment"`
		Executed [][32]byte `json:"executed"`
	}
	entries := values[0].([]entry)
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.Height, b.Height) })
	if pick == nil {
		raw, err := r.root.ask(ctx, r.gateway, mustPack(r.made["RootGateway"].abi, "getAppliedBottomUpNonce", s.id))
		if err != nil || len(raw) != 64 {
			return err
		}
		next := new(big.Int).SetBytes(raw[32:]).Uint64()
		pick = func(ms []ipc.IpcEnvelope) int {
			return slices.IndexFunc(ms, func(m ipc.IpcEnvelope) bool { return m.LocalNonce == next })
		}
	}
	// The wanted message may be in a later batch: what users send at once can lie
	// on both sides of a period's end.
	for _, e := range entries {
		height := new(big.Int).SetUint64(e.Height)
		raw, err := s.chain.ask(ctx, s.inner, append(ipc.SelBottomUpBatch.Bytes(), common.BigToHash(height).Bytes()...))
		if err != nil {
			return err
		}
		batch, err := ipc.DecodeBatch(raw)
		if err != nil {
			return err
		}
		if at := pick(batch.Messages); at >= 0 {
			in := []ipc.Inclusion{ipc.Inclusions(batch.Messages)[at]}
			_, err = r.root.try(ctx, key, &s.actor, nil, 3_000_000, mustPack(abi, "execBottomUpMsgBatch", height, in))
			return err
		}
	}
	return nil
}
