package devnet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"time"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/cmd/causeway/wallet"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"
)

// each is how many transfers the tour makes on each route; the last one of
// each fails at its destination.
const each = 10

// fewer is enough where an error is planted: only the invariants count.
const fewer = 2

// Tour moves FLT and USDC both ways. On each route one transfer fails in its
// destination transaction: deposits come back, withdrawals become credits that
// the fallback recipient pulls.
func (n *Net) Tour(ctx context.Context) ([]api.Transfer, error) {
	b, err := n.Bridge(ctx)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	user, sent := b.Root.Address, map[common.Hash]string{}

	each, say := each, n.opt.Say
	if n.opt.Plant != "" {
		each = fewer
	}
	say("tour: %d deposits of FLT and of USDC, one of each bound to fail", each)
	cap := n.Dep.Settings.UsdcMintCap.Int()
	for i := range int64(each) {
		flt, usdc := new(big.Int).Add(ether(2), big.NewInt(i)), big.NewInt(5_000_000+i)
		to := user
		if i == int64(each)-1 {
			to = n.Dep.Subnet.Replica                   // a contract without receive
			usdc = new(big.Int).Add(cap, big.NewInt(1)) // more than the replica mints at once
		}
		tx, err := b.Deposit(ctx, tokens.FLT, to, flt)
		if err != nil {
			return nil, fmt.Errorf("deposit FLT: %w", err)
		}
		sent[tx] = "flt_deposit"
		if tx, err = b.Deposit(ctx, tokens.USDC, user, usdc); err != nil {
			return nil, fmt.Errorf("deposit USDC: %w", err)
		}
		sent[tx] = "usdc_deposit"
	}
	if b.L1 != nil {
		say("tour: %d deposits of FLT from Ethereum, one bound to fail in the subnet", each)
		for i := range int64(each) {
			to := user
			if i == int64(each)-1 {
				to = n.Dep.Subnet.Replica
			}
			tx, err := b.CrossIn(ctx, to, new(big.Int).Add(ether(3), big.NewInt(i)))
			if err != nil {
				return nil, fmt.Errorf("deposit FLT from Ethereum: %w", err)
			}
			sent[tx] = "flt_l1_deposit"
		}
	}
	if n.opt.Root == RootLotus {
		say("tour: the root drops its newest %d epochs and goes on with others", reorgDepth)
		if err := b.Root.Client().Client().CallContext(ctx, nil, "dev_reorg", hexutil.Uint64(reorgDepth)); err != nil {
			return nil, fmt.Errorf("reorganize the root: %w", err)
		}
		n.reorgs++
	}
	if _, err := n.await(ctx, sent, "deposits"); err != nil {
		return nil, err
	}

	say("tour: %d withdrawals of FLT and of USDC, one of each bound to fail", each)
	blocked, err := n.block(ctx, b)
	if err != nil {
		return nil, err
	}
	var failing []common.Hash
	for i := range int64(each) {
		toFlt, toUsdc := user, user
		if i == int64(each)-1 {
			toFlt = n.Dep.Root.Controller // refused there: a credit of the fallback
			toUsdc = blocked              // on the token's blocklist
		}
		flt, err := b.Withdraw(ctx, tokens.FLT, toFlt, user, new(big.Int).Add(ether(1), big.NewInt(i)))
		if err != nil {
			return nil, fmt.Errorf("withdraw FLT: %w", err)
		}
		usdc, err := b.Withdraw(ctx, tokens.USDC, toUsdc, user, big.NewInt(2_000_000+i))
		if err != nil {
			return nil, fmt.Errorf("withdraw USDC: %w", err)
		}
		sent[flt], sent[usdc] = "flt_withdraw", "usdc_withdraw"
		if i == int64(each)-1 {
			failing = append(failing, flt, usdc)
		}
	}
	if b.L1 != nil {
		say("tour: %d withdrawals of FLT to Ethereum", each)
		for i := range int64(each) {
			tx, err := b.CrossOut(ctx, user, common.Address{}, new(big.Int).Add(ether(1), big.NewInt(i)))
			if err != nil {
				return nil, fmt.Errorf("withdraw FLT to Ethereum: %w", err)
			}
			sent[tx] = "flt_l1_withdraw"
		}
	}
	all, err := n.await(ctx, sent, "withdrawals")
	if err != nil {
		return nil, err
	}

	say("tour: the fallback recipient pulls the two credits")
	var last *big.Int
	for _, tx := range failing {
		if last, err = n.claim(ctx, b, tx); err != nil {
			return nil, err
		}
	}
	// The report is read at a final block, and must show that they are paid.
	if err := finalOnRoot(ctx, b, last); err != nil {
		return nil, fmt.Errorf("wait until the pulls are final: %w", err)
	}
	return all, expect(all, each, b.L1 != nil)
}

// finalOnRoot waits until a block of the root is final.
func finalOnRoot(ctx context.Context, b *wallet.Bridge, block *big.Int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for {
		head, err := b.Root.Client().HeaderByNumber(ctx, big.NewInt(int64(rpc.FinalizedBlockNumber)))
		if err == nil && head.Number.Cmp(block) >= 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func ether(n int64) *big.Int {
	return new(big.Int).Mul(big.NewInt(n), big.NewInt(1_000_000_000_000_000_000))
}

// Bridge is the user's wallet on both sides. The caller closes its accounts.
func (n *Net) Bridge(ctx context.Context) (*wallet.Bridge, error) {
	root, err := wallet.Open(ctx, wallet.RootOf(n.Dep, n.Info.RootURL), n.keys.user)
	if err != nil {
		return nil, err
	}
	sub, err := wallet.Open(ctx, wallet.SubnetOf(n.Dep, n.Info.SubnetURL), n.keys.user)
	if err != nil {
		root.Close()
		return nil, err
	}
	b := &wallet.Bridge{Dep: n.Dep, Root: root, Subnet: sub}
	if n.Dep.Crossing != nil {
		if b.L1, err = wallet.Open(ctx, wallet.L1Of(n.Dep, n.Info.EthereumURL), n.keys.user); err != nil {
			b.Close()
			return nil, err
		}
	}
	return b, nil
}

// block puts an address on the dev USDC's blocklist, as its owner.
func (n *Net) block(ctx context.Context, b *wallet.Bridge) (common.Address, error) {
	owner, err := wallet.Open(ctx, wallet.RootOf(n.Dep, n.Info.RootURL), n.keys.deployer)
	if err != nil {
		return common.Address{}, err
	}
	defer owner.Close()
	victim := common.HexToAddress("0x00000000000000000000000000000000b10cced1")
	tx, err := owner.Send(ctx, n.Dep.Root.Usdc, bindings.NewDevUsdc().PackSetBlocked(victim, true), nil)
	if err != nil {
		return victim, fmt.Errorf("block an address: %w", err)
	}
	_, err = owner.Wait(ctx, tx)
	return victim, err
}

// claim pulls the credit of the withdrawal that a transaction made, and returns
// the block of the pull.
func (n *Net) claim(ctx context.Context, b *wallet.Bridge, tx common.Hash) (*big.Int, error) {
	w, id, err := WithdrawalOf(ctx, b, tx)
	if err != nil {
		return nil, err
	}
	credit, err := b.CreditOf(ctx, id)
	if err != nil {
		return nil, err
	}
	if credit.Cmp(w.Gross) != 0 {
		return nil, fmt.Errorf("withdrawal %s has a credit of %s, expected %s", id, credit, w.Gross)
	}
	claim, err := b.ClaimWithdrawal(ctx, w, b.Root.Address)
	if err != nil {
		return nil, fmt.Errorf("claim %s: %w", id, err)
	}
	r, err := b.Root.Wait(ctx, claim)
	if err != nil {
		return nil, err
	}
	return r.BlockNumber, nil
}

// WithdrawalOf reads the withdrawal that a subnet transaction made.
func WithdrawalOf(ctx context.Context, b *wallet.Bridge, tx common.Hash) (ipc.Withdrawal, common.Hash, error) {
	r, err := b.Subnet.Wait(ctx, tx)
	if err != nil {
		return ipc.Withdrawal{}, common.Hash{}, err
	}
	for _, l := range r.Logs {
		if w, id, ok := withdrawalSent(b, l); ok {
			return w, id, nil
		}
	}
	return ipc.Withdrawal{}, common.Hash{}, fmt.Errorf("transaction %s made no withdrawal", tx)
}

func withdrawalSent(b *wallet.Bridge, l *types.Log) (ipc.Withdrawal, common.Hash, bool) {
	if l.Address != b.Dep.Subnet.Outbox || len(l.Topics) != 3 || len(l.Data) != 15*32 {
		return ipc.Withdrawal{}, common.Hash{}, false
	}
	w, err := ipc.DecodeWithdrawal(l.Data[32:])
	return w, l.Topics[1], err == nil
}

// await polls the relayer until every transaction's transfer has ended.
func (n *Net) await(ctx context.Context, sent map[common.Hash]string, what string) ([]api.Transfer, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	last, told := "", time.Now()
	for {
		all, err := n.Transfers(ctx)
		if err == nil {
			ended, found := 0, []api.Transfer{}
			for _, t := range all {
				if route, ours := sent[t.Steps[0].Tx]; ours && route == t.Route {
					found = append(found, t)
					if t.Status.Terminal() {
						ended++
					}
				}
			}
			line := fmt.Sprintf("%s: %d of %d ended, %d seen", what, ended, len(sent), len(found))
			if line != last && time.Since(told) > time.Second || ended == len(sent) {
				n.opt.Say("%s", line)
				last, told = line, time.Now()
			}
			if ended == len(sent) {
				return n.Details(ctx, found)
			}
		}
		if ferr := n.Failed(); ferr != nil {
			return nil, ferr
		}
		select {
		case <-ctx.Done():
			if err != nil {
				return nil, fmt.Errorf("wait for %s (%s): %w", what, last, err)
			}
			return nil, fmt.Errorf("wait for %s (%s): %w", what, last, ctx.Err())
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// Details reads each transfer's way, which lists leave out.
func (n *Net) Details(ctx context.Context, list []api.Transfer) ([]api.Transfer, error) {
	out := make([]api.Transfer, len(list))
	for i, t := range list {
		if err := getJSON(ctx, n.Info.API+"/v1/transfers/"+t.ID.Hex(), &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Transfers reads all transfers from the relayer's API.
func (n *Net) Transfers(ctx context.Context) ([]api.Transfer, error) {
	var out []api.Transfer
	cursor := ""
	for {
		var page struct {
			Transfers []api.Transfer `json:"transfers"`
			Next      string         `json:"next"`
		}
		if err := getJSON(ctx, n.Info.API+"/v1/transfers?limit=200&cursor="+url.QueryEscape(cursor), &page); err != nil {
			return nil, err
		}
		out = append(out, page.Transfers...)
		if page.Next == "" {
			return out, nil
		}
		cursor = page.Next
	}
}

func getJSON(ctx context.Context, at string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask the relayer: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("ask the relayer: it answered %d", res.StatusCode)
	}
	return json.NewDecoder(io.LimitReader(res.Body, 32<<20)).Decode(out)
}

// expect says whether the tour ended as it must.
func expect(all []api.Transfer, each int, crossing bool) error {
	got := map[string]map[tokens.Status]int{}
	for _, t := range all {
		if got[t.Route] == nil {
			got[t.Route] = map[tokens.Status]int{}
		}
		got[t.Route][t.Status]++
	}
	ends := map[string]tokens.Status{
		"flt_deposit": tokens.Refunded, "usdc_deposit": tokens.Refunded, "flt_withdraw": tokens.Credited, "usdc_withdraw": tokens.Credited,
	}
	if crossing {
		ends["flt_l1_deposit"] = tokens.Refunded
		if got["flt_l1_withdraw"][tokens.Done] != each {
			return fmt.Errorf("flt_l1_withdraw: expected %d done, got %v", each, got["flt_l1_withdraw"])
		}
	}
	for route, failed := range ends {
		if got[route][tokens.Done] != each-1 || got[route][failed] != 1 {
			return fmt.Errorf("%s: expected %d done and 1 %s, got %v", route, each-1, failed, got[route])
		}
	}
	return nil
}
