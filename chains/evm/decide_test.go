package evm

import (
	"math/big"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var (
	t0   = time.Unix(1_800_000_000, 0)
	h1   = common.HexToHash("0x11")
	h2   = common.HexToHash("0x22")
	blkA = common.HexToHash("0xaa")
	blkB = common.HexToHash("0xbb")
)

func testPolicy() policy {
	p := policyOf(DefaultTx())
	p.rebroadcastAfter, p.bumpAfter, p.foreignLooks, p.maxAttempts = 10*time.Second, time.Minute, 3, 5
	p.maxFeeCap, p.maxTip, p.minTip = big.NewInt(1000), big.NewInt(100), big.NewInt(1)
	return p
}

// An intent of nonce 7 with one attempt, one minute old, not on the chain.
func signedIntent() chains.Intent {
	return chains.Intent{
		Chain: testChain, Account: ours, Nonce: 7, Key: "k", State: chains.IntentSigned, CreatedAt: t0.Add(-30 * time.Second),
		Attempts: []chains.Attempt{{Hash: h1, TipWei: big.NewInt(8), FeeCapWei: big.NewInt(80), SentAt: t0.Add(-30 * time.Second)}},
	}
}

// A look at which nothing has happened yet.
func quietLook() observation {
	return observation{
		now: t0, receipts: map[common.Hash]*Receipt{}, canonical: map[uint64]common.Hash{}, finalHead: 100,
		latestNonce: 7, finalNonce: 7, finalKnown: true, headSince: t0.Add(-time.Hour), lastSent: t0.Add(-time.Second),
		fees: &Fees{BaseFee: big.NewInt(20), Tip: big.NewInt(5)},
	}
}

func TestDecisionTable(t *testing.T) {
	final := func(status bool, asked, got common.Hash) func(*chains.Intent, *observation) {
		return func(_ *chains.Intent, o *observation) {
			o.receipts[asked] = &Receipt{TxHash: got, Block: 90, BlockHash: blkA, OK: status, GasUsed: 5}
			o.canonical[90] = blkA
			o.latestNonce, o.finalNonce = 8, 8
		}
	}
	fresh := func(_ *chains.Intent, o *observation) {
		o.receipts[h1] = &Receipt{TxHash: h1, Block: 105, BlockHash: blkA, OK: true}
		o.latestNonce = 8
	}
	second := func(noOp bool) func(*chains.Intent, *observation) {
		return func(in *chains.Intent, _ *observation) {
			in.Attempts = append(in.Attempts, chains.Attempt{Hash: h2, TipWei: big.NewInt(9), FeeCapWei: big.NewInt(90), NoOp: noOp, SentAt: t0.Add(-5 * time.Second)})
		}
	}
	included := func(in *chains.Intent, _ *observation) {
		in.State, in.Block, in.BlockHash, in.TxHash = chains.IntentIncluded, 105, blkA, h1
	}
	reserved := func(in *chains.Intent, _ *observation) { in.State, in.Attempts = chains.IntentReserved, nil }
	usedFinally := func(misses int) func(*chains.Intent, *observation) {
		return func(_ *chains.Intent, o *observation) { o.latestNonce, o.finalNonce, o.misses = 8, 8, misses }
	}
	old := func(in *chains.Intent, o *observation) {
		for i := range in.Attempts {
			in.Attempts[i].SentAt = t0.Add(-2 * time.Minute)
		}
		o.lastSent = t0.Add(-20 * time.Second)
	}
	type edits []func(*chains.Intent, *observation)
	for name, c := range map[string]struct {
		edits edits
		want  verb
		state chains.IntentState
		why   string
	}{
		// A receipt rules.
		"success in a final block":                  {edits{final(true, h1, h1)}, doDecide, chains.IntentSucceeded, ""},
		"failure in a final block":                  {edits{final(false, h1, h1)}, doDecide, chains.IntentReverted, ""},
		"success of the second hash":                {edits{second(false), final(true, h2, h2)}, doDecide, chains.IntentSucceeded, ""},
		"the first hash after all, after a bump":    {edits{second(false), final(true, h1, h1)}, doDecide, chains.IntentSucceeded, ""},
		"a no-op in a final block":                  {edits{second(true), final(true, h2, h2)}, doDecide, chains.IntentReplaced, ""},
		"a failed no-op in a final block":           {edits{second(true), final(false, h2, h2)}, doDecide, chains.IntentReplaced, ""},
		"the payload before its no-op":              {edits{second(true), final(true, h1, h1)}, doDecide, chains.IntentSucceeded, ""},
		"success of an included intent":             {edits{included, final(true, h1, h1)}, doDecide, chains.IntentSucceeded, ""},
		"success of a reserved intent is not ours":  {edits{reserved, final(true, h1, h1)}, doWait, "", ""},
		"a receipt of another hash is none":         {edits{final(true, h1, h2)}, doWait, "", ""},
		"two receipts for one nonce":                {edits{second(false), final(true, h1, h1), final(true, h2, h2)}, doWait, "", "two hashes"},
		"final height whose hash is not read":       {edits{final(true, h1, h1), func(_ *chains.Intent, o *observation) { delete(o.canonical, 90) }}, doWait, "", ""},
		"final height with another hash":            {edits{final(true, h1, h1), func(_ *chains.Intent, o *observation) { o.canonical[90] = blkB }}, doWait, "", ""},
		"included, final height with another hash":  {edits{included, final(true, h1, h1), func(_ *chains.Intent, o *observation) { o.canonical[90] = blkB }}, doReopen, "", "receipt is gone"},
		"another hash, never foreign":               {edits{final(true, h1, h1), usedFinally(99), func(_ *chains.Intent, o *observation) { o.canonical[90] = blkB }}, doWait, "", "without a final receipt"},
		"final receipt, nonce not used at the head": {edits{final(true, h1, h1), func(_ *chains.Intent, o *observation) { o.finalNonce = 7 }}, doInclude, "", ""},
		"final receipt, nonce at the head unknown":  {edits{final(true, h1, h1), func(_ *chains.Intent, o *observation) { o.finalKnown = false }}, doInclude, "", ""},
		"a receipt that is not final":               {edits{fresh}, doInclude, "", ""},
		"the same receipt again":                    {edits{included, fresh}, doWait, "", ""},
		"included in another block":                 {edits{included, fresh, func(in *chains.Intent, _ *observation) { in.BlockHash = blkB }}, doInclude, "", ""},
		"included by another hash":                  {edits{included, fresh, func(in *chains.Intent, _ *observation) { in.TxHash = h2 }}, doInclude, "", ""},
		"never bumped while there is a receipt":     {edits{fresh, old}, doInclude, "", ""},
		"included, receipt gone":                    {edits{included}, doReopen, "", "receipt is gone"},
		"included, receipt gone, nonce used":        {edits{included, usedFinally(99)}, doReopen, "", "receipt is gone"},
		"nonce used in a block that is not final":   {edits{func(_ *chains.Intent, o *observation) { o.latestNonce = 8 }}, doWait, "", ""},
		"nonce used, not final, ages ago":           {edits{old, func(_ *chains.Intent, o *observation) { o.latestNonce = 8 }}, doWait, "", ""},
		"nonce used finally, first look":            {edits{usedFinally(1)}, doWait, "", ""},
		"nonce used finally, look after look":       {edits{usedFinally(3)}, doDecide, chains.IntentForeign, ""},
		"nonce used finally, nothing ever signed":   {edits{reserved, usedFinally(3)}, doDecide, chains.IntentForeign, ""},
		"nonce used finally, node has our hash":     {edits{usedFinally(9), func(_ *chains.Intent, o *observation) { o.minedHashes = true }}, doWait, "", "without a final receipt"},
		"nonce used finally, final nonce unknown":   {edits{usedFinally(9), func(_ *chains.Intent, o *observation) { o.finalKnown = false }}, doWait, "", ""},
		"reserved and fresh":                        {edits{reserved, func(in *chains.Intent, _ *observation) { in.CreatedAt = t0.Add(-time.Second) }}, doWait, "", ""},
		"reserved and left":                         {edits{reserved}, doSign, "", ""},
		"reserved, created in the future":           {edits{reserved, func(in *chains.Intent, _ *observation) { in.CreatedAt = t0.Add(time.Hour) }}, doWait, "", ""},
		"reserved and abandoned":                    {edits{reserved, func(in *chains.Intent, _ *observation) { in.Abandoned = true }}, doNoOp, "", ""},
		"reserved, fees unknown":                    {edits{reserved, func(_ *chains.Intent, o *observation) { o.fees = nil }}, doWait, "", "fees"},
		"reserved, base fee above the ceiling":      {edits{reserved, func(_ *chains.Intent, o *observation) { o.fees.BaseFee = big.NewInt(1000) }}, doWait, "", "fees"},
		"signed and abandoned":                      {edits{func(in *chains.Intent, _ *observation) { in.Abandoned = true }}, doNoOp, "", ""},
		"abandoned at the ceiling": {edits{func(in *chains.Intent, _ *observation) {
			in.Abandoned = true
			in.Attempts[0].FeeCapWei = big.NewInt(1000)
		}}, doWait, "", whyCeilingNoOp},
		"abandoned, no-op signed":                        {edits{second(true), func(in *chains.Intent, _ *observation) { in.Abandoned = true }}, doWait, "", ""},
		"abandoned, no-op old":                           {edits{second(true), old, func(in *chains.Intent, _ *observation) { in.Abandoned = true }}, doBump, "", ""},
		"signed and young":                               {edits{}, doWait, "", ""},
		"not sent for a while":                           {edits{func(_ *chains.Intent, o *observation) { o.lastSent = t0.Add(-11 * time.Second) }}, doRebroadcast, "", ""},
		"never sent by this process":                     {edits{func(_ *chains.Intent, o *observation) { o.lastSent = time.Time{} }}, doRebroadcast, "", ""},
		"old at the head of the queue":                   {edits{old}, doBump, "", ""},
		"old, but only now at the head":                  {edits{old, func(_ *chains.Intent, o *observation) { o.headSince = t0.Add(-30 * time.Second) }}, doRebroadcast, "", ""},
		"old behind another":                             {edits{old, func(_ *chains.Intent, o *observation) { o.latestNonce, o.finalNonce = 5, 5 }}, doRebroadcast, "", ""},
		"refused for its price":                          {edits{func(_ *chains.Intent, o *observation) { o.underpriced = true }}, doBump, "", ""},
		"refused for its price behind another":           {edits{func(_ *chains.Intent, o *observation) { o.underpriced, o.latestNonce, o.finalNonce = true, 5, 5 }}, doWait, "", ""},
		"old at the fee ceiling":                         {edits{old, func(in *chains.Intent, _ *observation) { in.Attempts[0].FeeCapWei = big.NewInt(900) }}, doRebroadcast, "", whyCeiling},
		"old at the tip ceiling":                         {edits{old, func(in *chains.Intent, _ *observation) { in.Attempts[0].TipWei = big.NewInt(90) }}, doRebroadcast, "", whyCeiling},
		"old with too many attempts":                     {edits{second(false), second(false), second(false), second(false), old}, doRebroadcast, "", "too many"},
		"old, fees unknown: the minimum is raised still": {edits{old, func(_ *chains.Intent, o *observation) { o.fees = nil }}, doBump, "", ""},
		"decided stays":                                  {edits{old, func(in *chains.Intent, _ *observation) { in.State = chains.IntentReverted }, final(true, h1, h1)}, doWait, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			in, o := signedIntent(), quietLook()
			for _, edit := range c.edits {
				edit(&in, &o)
			}
			act := decide(in, o, testPolicy())
			require.Equal(t, c.want, act.verb)
			require.Equal(t, c.state, act.state)
			if c.why == "" {
				require.Empty(t, act.why)
			}
			require.Contains(t, act.why, c.why)
			switch act.verb {
			case doInclude:
				require.NotNil(t, act.receipt)
			case doSign, doNoOp, doBump:
				require.NotNil(t, act.fees.tip)
				require.NotNil(t, act.fees.feeCap)
			}
		})
	}
}

func TestAnOldPayloadIsAbandonedOnlyWhereThatIsConfigured(t *testing.T) {
	in, o, p := signedIntent(), quietLook(), testPolicy()
	in.CreatedAt, in.Attempts[0].SentAt = t0.Add(-time.Hour), t0.Add(-2*time.Minute)
	require.Equal(t, doBump, decide(in, o, p).verb)
	p.abandonAfter = 30 * time.Minute
	require.Equal(t, doAbandon, decide(in, o, p).verb)
	in.Abandoned = true
	require.Equal(t, doNoOp, decide(in, o, p).verb)
}

// Whatever is seen, only a final, canonical receipt of a hash of ours makes a
// success or a failure, and prices stay between the pool's rule and the
// ceilings.
func TestDecisionsKeepTheirPromises(t *testing.T) {
	states := []chains.IntentState{chains.IntentReserved, chains.IntentSigned, chains.IntentIncluded, chains.IntentSucceeded, chains.IntentReverted, chains.IntentReplaced, chains.IntentForeign}
	rapid.Check(t, func(t *rapid.T) {
		p := testPolicy()
		wei := func(label string, top int64) *big.Int { return big.NewInt(rapid.Int64Range(0, top).Draw(t, label)) }
		past := func(label string) time.Time {
			return t0.Add(-time.Duration(rapid.IntRange(-10, 300).Draw(t, label)) * time.Second)
		}
		in := chains.Intent{Nonce: 7, State: rapid.SampledFrom(states).Draw(t, "state"), CreatedAt: past("created"), Abandoned: rapid.Bool().Draw(t, "abandoned")}
		o := observation{
			now: t0, receipts: map[common.Hash]*Receipt{}, canonical: map[uint64]common.Hash{}, finalHead: 100,
			latestNonce: rapid.Uint64Range(5, 9).Draw(t, "latest"), finalNonce: rapid.Uint64Range(5, 9).Draw(t, "final"),
			finalKnown: rapid.Bool().Draw(t, "known"), minedHashes: rapid.Bool().Draw(t, "mined"), misses: rapid.IntRange(0, 6).Draw(t, "misses"),
			headSince: past("head"), lastSent: past("sent"), underpriced: rapid.Bool().Draw(t, "underpriced"),
		}
		if rapid.Bool().Draw(t, "fees") {
			o.fees = &Fees{BaseFee: wei("base", 2000), Tip: wei("tip", 300)}
		}
		attempts := rapid.IntRange(0, 6).Draw(t, "attempts")
		if in.State == chains.IntentReserved {
			attempts = 0
		}
		for i := range attempts {
			h := common.BigToHash(big.NewInt(int64(i + 1)))
			in.Attempts = append(in.Attempts, chains.Attempt{Hash: h, TipWei: wei("t", 120), FeeCapWei: wei("f", 1200), NoOp: rapid.Bool().Draw(t, "noop"), SentAt: past("at")})
			if rapid.Bool().Draw(t, "receipt") {
				got := h
				if rapid.Bool().Draw(t, "wrong") {
					got = common.HexToHash("0xffff")
				}
				o.receipts[h] = &Receipt{TxHash: got, Block: rapid.Uint64Range(98, 103).Draw(t, "block"), BlockHash: rapid.SampledFrom([]common.Hash{blkA, blkB}).Draw(t, "hash"), OK: rapid.Bool().Draw(t, "ok")}
			}
		}
		for n := uint64(98); n <= 100; n++ {
			if rapid.Bool().Draw(t, "canonical") {
				o.canonical[n] = blkA
			}
		}

		act := decide(in, o, p)
		if in.State.Decided() {
			require.Equal(t, doWait, act.verb)
			return
		}
		genuine := 0
		for _, a := range in.Attempts {
			if r := o.receipts[a.Hash]; r != nil && r.TxHash == a.Hash {
				genuine++
			}
		}
		switch act.verb {
		case doDecide:
			require.True(t, o.finalKnown && o.finalNonce > in.Nonce)
			if act.state == chains.IntentForeign {
				require.Zero(t, genuine)
				require.GreaterOrEqual(t, o.misses, p.foreignLooks)
				return
			}
			require.Equal(t, 1, genuine)
			require.LessOrEqual(t, act.receipt.Block, o.finalHead)
			require.Equal(t, act.receipt.BlockHash, o.canonical[act.receipt.Block])
		case doSign, doNoOp, doBump:
			require.LessOrEqual(t, o.latestNonce, in.Nonce, "nothing is signed for a used nonce")
			require.LessOrEqual(t, act.fees.tip.Cmp(p.maxTip), 0)
			require.LessOrEqual(t, act.fees.feeCap.Cmp(p.maxFeeCap), 0)
			require.LessOrEqual(t, act.fees.tip.Cmp(act.fees.feeCap), 0)
			if last := lastAttempt(in); last != nil {
				enough := func(now, before *big.Int) {
					rise := new(big.Int).Mul(before, big.NewInt(1125))
					require.GreaterOrEqual(t, new(big.Int).Mul(now, big.NewInt(1000)).Cmp(rise), 0)
					require.Equal(t, 1, now.Cmp(before))
				}
				enough(act.fees.tip, last.TipWei)
				enough(act.fees.feeCap, last.FeeCapWei)
			}
		case doRebroadcast:
			require.NotEmpty(t, in.Attempts)
			require.LessOrEqual(t, o.latestNonce, in.Nonce)
		}
	})
}

func TestConfigOfTransactionsComplainsAboutEverythingAtOnce(t *testing.T) {
	require.NoError(t, TxConfig{}.Check())
	err := TxConfig{BumpPermille: 100, MaxInFlight: 1000, Tick: -1, MaxTipWei: big.NewInt(10), MaxFeeCapWei: big.NewInt(5), MinTipWei: big.NewInt(20)}.Check()
	for _, part := range []string{"bump", "max in flight", "duration", "min tip", "max tip above"} {
		require.ErrorContains(t, err, part)
	}
}
