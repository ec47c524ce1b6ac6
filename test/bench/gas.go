package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// gasTable groups the receipts of user and relayer by operation, asset and how
// many messages rode in the transaction.
func (r *rig) gasTable(h *history, batches []int) Gas {
	g := gasRows{}
	first := r.firstOfPeriod(h)
	assets := map[uint64]string{} // of the root's messages
	for tx, j := range h.byTx {
		receipt, ok := h.receipts[tx]
		if !ok {
			continue
		}
		switch j.Transfer.Route {
		case "flt_deposit":
			assets[j.Transfer.Nonce] = "FLT"
			g.add(row{"deposit", "FLT", 1}, receipt)
		case "usdc_deposit":
			assets[j.Transfer.Nonce] = "USDC"
			g.add(row{"deposit", "USDC", 1}, receipt)
		case "flt_withdraw":
			g.add(row{"withdraw" + first[receipt], "FLT", 1}, receipt)
		case "usdc_withdraw":
			g.add(row{"withdraw" + first[receipt], "USDC", 1}, receipt)
		}
	}
	for _, tx := range r.released {
		if receipt, ok := h.receipts[tx.hash]; ok {
			g.add(row{"release" + first[receipt], "FLT", 1}, receipt)
		}
	}
	for _, t := range h.relayed {
		switch t.kind {
		case "deliver":
			seen := mix{}
			for _, l := range t.receipt.Logs {
				if e, err := subnetABI.UnpackTopDownMessageAppliedEvent(l); err == nil {
					seen.add(assets[e.Nonce])
				}
			}
			g.add(row{"deliver", seen.asset, seen.n}, t.receipt)
		case "message":
			operation, asset, n := r.executedIn(t)
			g.add(row{operation, asset, n}, t.receipt)
		case "submit":
			for _, l := range t.receipt.Logs {
				if e, err := actorABI.UnpackCheckpointAcceptedEvent(l); err == nil {
					name := "submitCheckpoint, empty"
					if e.TotalNumMsgs > 0 {
						name = "submitCheckpoint, with messages"
					}
					g.add(row{name, "", 1}, t.receipt)
				}
			}
		case "finality":
			g.add(row{"commitParentFinality", "", 1}, t.receipt)
		}
	}
	return Gas{
		Conditions: "gasUsed of devnet receipts: 1 validator, 1 signature, solc and optimizer as in contracts/foundry.toml; recipients that held nothing " +
			"before; allowances given once; messages of more than one asset in a batch are \"mixed\"; batches other than those asked for are left out, but for " +
			"the largest; a message into the subnet also needs its share of one commitParentFinality, one out of it its share of one submitCheckpoint",
		Published: publishedSource,
		Rows:      g.table(batches),
	}
}

// mix counts messages and says whether all are of one asset.
type mix struct {
	n     int
	asset string
}

func (m *mix) add(asset string) {
	if asset == "" {
		asset = "other"
	}
	switch {
	case m.n == 0:
		m.asset = asset
	case m.asset != asset:
		m.asset = "mixed"
	}
	m.n++
}

// executedIn says what an execution carried: withdrawals, which settle, or
// plain releases.
func (r *rig) executedIn(t relayed) (operation, asset string, n int) {
	applied, withdrawals := 0, mix{}
	for _, l := range t.receipt.Logs {
		if _, err := gatewayABI.UnpackBottomUpMessageAppliedEvent(l); err == nil {
			applied++
		}
		if e, err := fastABI.UnpackWithdrawalSettledEvent(l); err == nil {
			withdrawals.add(map[common.Address]string{r.sub.FLT: "FLT", r.sub.USDC: "USDC"}[e.Token])
		}
	}
	switch {
	case withdrawals.n == applied:
		return "exec", withdrawals.asset, applied
	case withdrawals.n == 0:
		return "exec release", "FLT", applied
	}
	return "exec", "mixed", applied
}

// firstOfPeriod marks the receipts whose message opened its checkpoint period.
func (r *rig) firstOfPeriod(h *history) map[*types.Receipt]string {
	lowest := map[uint64]uint64{}
	type sentIn struct{ epoch, nonce uint64 }
	by := map[*types.Receipt]sentIn{}
	for _, receipt := range h.receipts {
		for _, l := range receipt.Logs {
			e, err := subnetABI.UnpackBottomUpMessageEvent(l)
			if err != nil {
				continue
			}
			by[receipt] = sentIn{e.Epoch, e.Nonce}
			if n, ok := lowest[e.Epoch]; !ok || e.Nonce < n {
				lowest[e.Epoch] = e.Nonce
			}
		}
	}
	out := map[*types.Receipt]string{}
	for receipt, s := range by {
		if lowest[s.epoch] == s.nonce {
			out[receipt] = ", first of a period"
		}
	}
	return out
}

// gasRows collects gas used by row.
type gasRows map[row][]uint64

func (g gasRows) add(k row, receipt *types.Receipt) {
	if receipt.Status == types.ReceiptStatusSuccessful && k.batch > 0 {
		g[k] = append(g[k], receipt.GasUsed)
	}
}

// table keeps the batch sizes asked for and, of each operation and asset, the
// largest.
func (g gasRows) table(batches []int) []GasRow {
	largest := map[row]int{}
	for k := range g {
		kind := row{k.operation, k.asset, 0}
		largest[kind] = max(largest[kind], k.batch)
	}
	out := []GasRow{}
	for k, used := range g {
		if !slices.Contains(batches, k.batch) && largest[row{k.operation, k.asset, 0}] != k.batch {
			continue
		}
		slices.Sort(used)
		n, median := uint64(k.batch), rank(used, 50)
		line := GasRow{
			Operation: k.operation, Asset: k.asset, Batch: k.batch, Samples: len(used),
			Total: median, PerMessage: median / n, Min: used[0] / n, Max: used[len(used)-1] / n,
		}
		if p, ok := beside(k, batches); ok {
			line.Published = &p
		}
		out = append(out, line)
	}
	slices.SortFunc(out, func(a, b GasRow) int {
		return cmp.Or(cmp.Compare(order(a.Operation), order(b.Operation)), cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Asset, b.Asset), cmp.Compare(a.Batch, b.Batch))
	})
	return out
}

// beside is the published figure of this batch size, or of the one asked for
// that the relayer had to cut a little shorter to keep its transactions small.
func beside(k row, batches []int) (Published, bool) {
	for _, b := range batches {
		if k.batch <= b && k.batch*10 >= b*9 {
			p, ok := published[row{k.operation, k.asset, b}]
			return p, ok
		}
	}
	return Published{}, false
}

// order is the order of a transfer's way: in, then out, then what has no
// messages.
func order(operation string) int {
	way := []string{"deposit", "commitParentFinality", "deliver", "withdraw", "release", "exec", "submitCheckpoint"}
	return slices.IndexFunc(way, func(w string) bool { return strings.HasPrefix(operation, w) })
}
