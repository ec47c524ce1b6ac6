package main

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/audit"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// Crossing is how FLT crosses from Ethereum into the subnet and back.
type Crossing struct {
	Conditions string   `json:"conditions"`
	In         Carried  `json:"ethereum_to_root"`
	Out        Carried  `json:"root_to_ethereum"`
	Latency    Landing  `json:"ethereum_final_to_credit"`
	Gas        []LegGas `json:"gas"` // a table for each generation of gateways
	// Invariants are those of both devnets.
	Invariants []audit.Invariant `json:"invariants"`
	Sound      bool              `json:"sound"` // every transfer done, every invariant holds
	Load       [2]float64        `json:"load_1m"`
}

// Carried is one direction of messages that have waited: proposed, signed,
// approved and executed by one key.
type Carried struct {
	Messages int `json:"messages"`
	// Executed is by the times of the blocks: from the first execution to the last,
	// and from the first approval to the last execution.
	Executed Rates `json:"block_time"`
	// First is from the start of the relayer's process to the block of the first
	// execution; Last to that of the last.
	First      float64 `json:"first_execution_ms"`
	Last       float64 `json:"last_execution_ms"`
	Approvals  int     `json:"approve_transactions"`
	Executions int     `json:"execute_transactions"`
	Largest    int     `json:"most_messages_executed_in_one"`
}

// Landing is the time from the block of Ethereum that makes a deposit final to the
// subnet's block that credits it, of deposits sent one at a time.
type Landing struct {
	Measured string `json:"measured"`
	Total    Dist   `json:"total"`
	Own      Dist   `json:"apart_from_blocks"` // the three below together
	Approve  Dist   `json:"final_on_ethereum_to_approve_sent"`
	Execute  Dist   `json:"approval_final_to_execute_sent"`
	Deliver  Dist   `json:"deposit_final_on_the_root_and_covered_to_deliver_sent"`
	Unseen   int    `json:"unseen,omitempty"` // without one of the times
}

// LegGas is gas by how many messages rode in a transaction.
type LegGas struct {
	Gateway string   `json:"gateway"`
	Rows    []GasRow `json:"rows"`
}

const crossingConditions = "a devnet of its own with an Ethereum: three chains with blocks every second (finality of Ethereum and of the root 2 blocks behind), a checkpoint every %d " +
	"subnet blocks, %s gateways, 3 signers as processes of which 2 are needed, batches of up to 20 approved at once, one account of the relayer's on each chain; every recipient is " +
	"new. Rates: the relayer is stopped, %d transfers are sent by one key and are final, then its process is started. Gas: gasUsed of receipts, transfers sent together and grouped " +
	"by how many rode in a transaction; a batch of one is ITS.execute by itself, without the Executor; the table of the other generation is of a second devnet. Published beside it: " +
	"receipts of the published contracts on anvil, one message, two signatures"

const landed = "from when Ethereum's node announced the block that makes the deposit's final to when the subnet's node announced the block that credits it. Apart from blocks: the " +
	"relayer's and the signers' own time, from there to the approval entering the root's pool, from the block that makes the approval final to the execution entering the pool, and " +
	"from the later of the block that makes the execution final and the subnet's block with the statement that covers it to the delivery entering the subnet's pool (0 where it was " +
	"sent ahead). What is left of the total is waiting for blocks: two inclusions and two finalities on the root, the validators' votes, two inclusions in the subnet"

var (
	senderABI = bindings.NewFltSender()
	portalABI = bindings.NewFltPortal()
	tokenABI  = bindings.NewDevFlt()
)

// measureCrossing measures everything over legacy gateways, which are what is
// deployed, and the gas over the others too.
func measureCrossing(ctx context.Context, l *lab) (_ *Crossing, err error) {
	s := l.size
	c := &Crossing{Conditions: fmt.Sprintf(crossingConditions, s.period, deploy.GatewayLegacy, s.crossing), Load: [2]float64{load()}}
	for _, generation := range []string{deploy.GatewayLegacy, deploy.GatewayAmplifier} {
		if err := c.over(ctx, l, generation); err != nil {
			return nil, fmt.Errorf("%s gateways: %w", generation, err)
		}
	}
	c.Load[1] = load()
	return c, nil
}

func (c *Crossing) over(ctx context.Context, l *lab, generation string) error {
	s := l.size
	r, err := l.start(ctx, s.period, generation)
	if err != nil {
		return err
	}
	defer r.stop()
	if err := r.warmCrossing(ctx); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	seen := map[common.Hash]bool{}
	if generation == deploy.GatewayLegacy {
		if c.Latency, err = r.landing(ctx, s.landings); err != nil {
			return fmt.Errorf("one at a time: %w", err)
		}
	}
	if err := r.legGas(ctx, s); err != nil {
		return fmt.Errorf("gas: %w", err)
	}
	if generation == deploy.GatewayLegacy {
		if c.In, err = r.carried(ctx, seen, "leg_in", r.l1, same(s.crossing, tokens.FLT, r.crossIn)); err != nil {
			return fmt.Errorf("from Ethereum: %w", err)
		}
		if c.Out, err = r.carried(ctx, seen, "leg_out", r.subnet, same(s.crossing, tokens.FLT, r.crossOut)); err != nil {
			return fmt.Errorf("to Ethereum: %w", err)
		}
	}
	jobs, err := r.jobs(ctx)
	if err != nil {
		return err
	}
	rows, err := r.legTable(ctx, jobs, s.crossed)
	if err != nil {
		return err
	}
	c.Gas = append(c.Gas, LegGas{generation, besideSingly(rows, generation)})
	report, err := r.net.Audit(ctx)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	c.Invariants = append(c.Invariants, report.Invariants...)
	whole := c.In.Messages == s.crossing && c.Out.Messages == s.crossing
	c.Sound = (len(c.Gas) == 1 || c.Sound) && whole && report.OK && !slices.ContainsFunc(jobs, func(j store.Job) bool {
		_, user := tokens.RouteByName(j.Transfer.Route)
		return user && j.Status != tokens.Done
	})
	return nil
}

// crossIn is a deposit on Ethereum for a recipient nobody has seen.
func (r *rig) crossIn(tokens.Asset) call {
	return call{r.net.Dep.Crossing.Sender, senderABI.PackDeposit(r.nobody(), someFLT), new(big.Int)}
}

// crossOut is a withdrawal to Ethereum, likewise.
func (r *rig) crossOut(tokens.Asset) call {
	return call{r.net.Dep.Crossing.Portal, portalABI.PackWithdrawToL1(r.nobody()), new(big.Int).Add(r.net.Dep.Settings.ExitFee.Int(), someFLT)}
}

// warmCrossing lets FltSender take the user's FLT and sends one each way.
func (r *rig) warmCrossing(ctx context.Context) error {
	most := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	_, txs, err := r.l1.send(ctx, []call{{r.net.Dep.Crossing.L1Flt, tokenABI.PackApprove(r.net.Dep.Crossing.Sender, most), new(big.Int)}})
	if err != nil {
		return err
	}
	if err := r.mined(ctx, r.l1, txs); err != nil {
		return err
	}
	if err := r.both(ctx, 1); err != nil {
		return err
	}
	return r.settle(ctx, 2*time.Minute)
}

// both sends n transfers each way at once.
func (r *rig) both(ctx context.Context, n int) error {
	if _, _, err := r.subnet.send(ctx, same(n, tokens.FLT, r.crossOut)); err != nil {
		return fmt.Errorf("withdraw to Ethereum: %w", err)
	}
	if _, _, err := r.l1.send(ctx, same(n, tokens.FLT, r.crossIn)); err != nil {
		return fmt.Errorf("deposit on Ethereum: %w", err)
	}
	r.want += (insOf + 1) * n
	return nil
}

// insOf is how many transfers of a route one from Ethereum counts as: FltHandler
// funds the recipient as any user does.
const insOf = 2

// legGas sends batches of each size: what arrives in one block is approved and
// executed together.
func (r *rig) legGas(ctx context.Context, s size) error {
	var used uint64
	for _, n := range s.crossed {
		r.say("crossing: %d each way", n)
		if err := r.newPeriod(ctx, &used); err != nil {
			return err
		}
		if err := r.both(ctx, n); err != nil {
			return err
		}
		if err := r.settle(ctx, 5*time.Minute); err != nil {
			return err
		}
	}
	return nil
}

// jobs are all that the journal knows, with their ledgers.
func (r *rig) jobs(ctx context.Context) ([]store.Job, error) {
	h := &history{byID: map[common.Hash]store.Job{}, byTx: map[common.Hash]store.Job{}}
	if err := h.readJobs(ctx, r.db); err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	return h.jobs, nil
}

// carried sends while the relayer is stopped, waits until all could go, and
// measures from its start. seen are the messages of before.
func (r *rig) carried(ctx context.Context, seen map[common.Hash]bool, route string, from *side, calls []call) (w Carried, err error) {
	before, err := r.jobs(ctx)
	if err != nil {
		return w, err
	}
	for _, j := range before {
		seen[j.Transfer.ID] = true
	}
	r.say("crossing: %d transfers with the relayer stopped", len(calls))
	r.net.Quit("relayer")
	b, err := r.burst(ctx, from, calls)
	if err != nil {
		return w, err
	}
	if err := r.mined(ctx, from, b.txs); err != nil {
		return w, err
	}
	if from == r.l1 {
		r.want += (insOf - 1) * len(calls)
	} else if err := r.checkpointsCover(ctx); err != nil {
		return w, err
	}
	r.say("crossing: all final, starting the relayer")
	b.began = time.Now()
	if err := r.net.StartRelayer(ctx); err != nil {
		return w, err
	}
	if err := r.end(ctx, b); err != nil {
		return w, err
	}
	after, err := r.jobs(ctx)
	if err != nil {
		return w, err
	}
	w = carriedOf(b.began, slices.DeleteFunc(after, func(j store.Job) bool { return seen[j.Transfer.ID] || j.Transfer.Route != route }))
	r.say("crossing: %s messages/s from the first approval to the last execution, up to %d in one transaction", show(w.Executed.WholePerSecond), w.Largest)
	return w, nil
}

// carriedOf reads the ledgers of the messages of one burst.
func carriedOf(began time.Time, legs []store.Job) Carried {
	var w Carried
	var approved, executed ends
	approvals, executions := map[common.Hash]int{}, map[common.Hash]int{}
	for _, j := range legs {
		a, okA := step(j, "approve")
		x, okX := step(j, "execute")
		if !okA || !okX {
			continue
		}
		w.Messages++
		approved.add(time.Unix(int64(a.At), 0))
		executed.add(time.Unix(int64(x.At), 0))
		approvals[a.Tx]++
		executions[x.Tx]++
	}
	if w.Messages == 0 {
		return w
	}
	for _, n := range executions {
		w.Largest = max(w.Largest, n)
	}
	w.Approvals, w.Executions = len(approvals), len(executions)
	w.Executed = ratesOf(w.Messages, approved.first, executed.first, executed.last)
	w.First, w.Last = millis(executed.first.Sub(began.Truncate(time.Second))), millis(executed.last.Sub(began.Truncate(time.Second)))
	return w
}

// step is the event that decided a step of a transfer.
func step(j store.Job, name string) (store.Entry, bool) {
	for _, e := range j.History {
		if e.Step == name && e.Outcome == store.OK && e.Tx != (common.Hash{}) {
			return e, true
		}
	}
	return store.Entry{}, false
}

// landing sends deposits one at a time.
func (r *rig) landing(ctx context.Context, n int) (Landing, error) {
	r.say("crossing: %d deposits one at a time", n)
	var txs []sent
	tick := time.NewTicker(trickleEvery)
	defer tick.Stop()
	for range n {
		_, one, err := r.l1.send(ctx, []call{r.crossIn(tokens.FLT)})
		if err != nil {
			return Landing{}, fmt.Errorf("deposit on Ethereum: %w", err)
		}
		txs = append(txs, one...)
		r.want += insOf
		select {
		case <-ctx.Done():
			return Landing{}, ctx.Err()
		case <-tick.C:
		}
	}
	if err := r.settle(ctx, 5*time.Minute); err != nil {
		return Landing{}, err
	}
	h := &history{byID: map[common.Hash]store.Job{}, byTx: map[common.Hash]store.Job{}}
	if err := h.readJobs(ctx, r.db); err != nil {
		return Landing{}, fmt.Errorf("read the journal: %w", err)
	}
	if err := h.readIntents(ctx, r, r.subnet, r.net.Dep.Subnet.ChainID); err != nil {
		return Landing{}, fmt.Errorf("read transactions: %w", err)
	}
	var ways []way
	for _, tx := range txs {
		ways = append(ways, r.wayOf(h, tx.hash))
	}
	return landingOf(ways), nil
}

// way is when a deposit passed where: final on Ethereum, sent to be approved, its
// approval final, sent to be executed, executed finally and covered, sent to be
// delivered, credited. ok is false where one of them was not seen.
type way struct {
	final, approve, approved, execute, ready, deliver, credited time.Time
	ok                                                          bool
}

func (r *rig) wayOf(h *history, tx common.Hash) (w way) {
	var leg, user, message store.Job
	for _, j := range h.jobs {
		switch {
		case j.Transfer.Origin.Tx == tx && j.Transfer.Route == "leg_in":
			leg = j
		case j.Transfer.Origin.Tx == tx && j.Transfer.Route == "flt_l1_deposit":
			user = j
		}
	}
	a, okA := step(leg, "approve")
	x, okX := step(leg, "execute")
	d, okD := step(user, "deliver")
	for _, j := range h.jobs {
		// The message that brought it down: executed in this transaction, delivered in
		// that one.
		if e, ok := step(j, "deliver"); ok && j.Transfer.Route == "topdown" && j.Transfer.Origin.Tx == x.Tx && e.Tx == d.Tx {
			message = j
		}
	}
	if !okA || !okX || !okD || message.Transfer.ID == (common.Hash{}) {
		return w
	}
	w.ok = true
	see := func(to *time.Time, at time.Time, seen bool) {
		*to = at
		w.ok = w.ok && seen
	}
	at, seen := r.l1.headAt(user.Transfer.Height + finality)
	see(&w.final, at, seen)
	at, seen = r.root.poolAt(a.Tx)
	see(&w.approve, at, seen)
	at, seen = r.finalAt(a.Height)
	see(&w.approved, at, seen)
	at, seen = r.root.poolAt(x.Tx)
	see(&w.execute, at, seen)
	at, seen = r.finalAt(x.Height)
	see(&w.ready, at, seen)
	s, covered := covering(h.statements(), message.Transfer.Nonce)
	at, seen = r.subnet.headAt(s.block)
	if w.ok = w.ok && covered && seen; at.After(w.ready) {
		w.ready = at
	}
	at, seen = r.subnet.poolAt(d.Tx)
	see(&w.deliver, at, seen)
	at, seen = r.subnet.headAt(d.Height)
	see(&w.credited, at, seen)
	return w
}

func landingOf(ways []way) Landing {
	out := Landing{Measured: landed}
	var total, own, approve, execute, deliver []time.Duration
	for _, w := range ways {
		if !w.ok {
			out.Unseen++
			continue
		}
		a, x, d := w.approve.Sub(w.final), w.execute.Sub(w.approved), max(0, w.deliver.Sub(w.ready))
		total, own = append(total, w.credited.Sub(w.final)), append(own, a+x+d)
		approve, execute, deliver = append(approve, a), append(execute, x), append(deliver, d)
	}
	out.Total, out.Own = distOf(total), distOf(own)
	out.Approve, out.Execute, out.Deliver = distOf(approve), distOf(execute), distOf(deliver)
	return out
}

// legTable groups the receipts of approvals and executions by how many messages
// rode in them.
func (r *rig) legTable(ctx context.Context, jobs []store.Job, batches []int) ([]GasRow, error) {
	g := gasRows{}
	for _, leg := range []struct {
		route, on string
		at        *side
	}{{"leg_in", "the root", r.root}, {"leg_out", "Ethereum", r.l1}} {
		for _, verb := range []string{"approve", "execute"} {
			riding := map[common.Hash]int{}
			for _, j := range jobs {
				if e, ok := step(j, verb); ok && j.Transfer.Route == leg.route {
					riding[e.Tx]++
				}
			}
			if err := g.read(ctx, leg.at, verb+" on "+leg.on, riding); err != nil {
				return nil, err
			}
		}
	}
	origin := map[common.Hash]int{}
	for _, j := range jobs {
		if j.Transfer.Route == "flt_l1_deposit" {
			origin[j.Transfer.Origin.Tx]++
		}
	}
	if err := g.read(ctx, r.l1, "deposit on Ethereum", origin); err != nil {
		return nil, err
	}
	return g.table(batches), nil
}

// read adds the receipts of transactions by what rode in each.
func (g gasRows) read(ctx context.Context, at *side, operation string, riding map[common.Hash]int) error {
	var hashes []common.Hash
	for tx := range riding {
		hashes = append(hashes, tx)
	}
	found, err := receipts(ctx, at, hashes)
	if err != nil {
		return err
	}
	for i, receipt := range found {
		if receipt != nil {
			g.add(row{operation, tokens.FLT.Symbol, riding[hashes[i]]}, receipt)
		}
	}
	return nil
}

// singly is what the published contracts take for one message by itself.
var singly = map[string]map[string]Published{
	deploy.GatewayAmplifier: {
		"approve on the root": {87_000, "approveMessages, 1 message, 2 signatures"},
		"execute on the root": {179_000, "ITS.execute, a transfer with data"},
		"approve on Ethereum": {87_000, "approveMessages, 1 message, 2 signatures"},
		"execute on Ethereum": {104_000, "ITS.execute, a transfer that unlocks"},
	},
	deploy.GatewayLegacy: {
		"approve on the root": {125_000, "execute of a batch of 1, 2 signatures"},
		"execute on the root": {172_000, "ITS.execute, a transfer with data"},
		"approve on Ethereum": {125_000, "execute of a batch of 1, 2 signatures"},
	},
}

// besideSingly puts the published figures beside every batch size: they are what each
// message would cost alone.
func besideSingly(rows []GasRow, generation string) []GasRow {
	for i := range rows {
		if p, ok := singly[generation][rows[i].Operation]; ok {
			rows[i].Published = &p
		}
	}
	return rows
}
