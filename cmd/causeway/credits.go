package main

import (
	"context"
	"fmt"
	"math/big"
	"net/url"
	"strings"

	"github.com/causeway-bridge/causeway/cmd/causeway/devnet"
	"github.com/causeway-bridge/causeway/cmd/causeway/wallet"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/spf13/cobra"
)

// credit is money that waits to be pulled.
type credit struct {
	Transfer common.Hash   `json:"transfer"`
	Route    string        `json:"route"`
	Asset    string        `json:"asset"`
	Amount   tokens.Amount `json:"amount"` // still to be claimed, base units
	Kind     string        `json:"kind"`   // refund, payout
	Reason   string        `json:"reason"`
}

func newCredits(g *globals) *cobra.Command {
	var who sender
	c := &cobra.Command{Use: "credits", Short: "Refunds, credits and quarantined amounts that wait to be pulled"}
	who.add(c.PersistentFlags())

	ls := &cobra.Command{
		Use: "ls", Short: "List what the account may claim", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b, p, err := g.bridge(c.Context(), who)
			if err != nil {
				return err
			}
			defer b.Root.Close()
			defer b.Subnet.Close()
			list, err := credits(c.Context(), b, p.api)
			if err != nil {
				return err
			}
			var text strings.Builder
			for _, x := range list {
				route, _ := tokens.RouteByName(x.Route)
				fmt.Fprintf(&text, "%s  %-6s %s %s of %s (%s)\n", x.Transfer, x.Kind, x.Amount.Decimal(route.Asset.Decimals), x.Asset, x.Route, x.Reason)
			}
			if len(list) == 0 {
				text.WriteString("nothing to claim")
			}
			return g.print(c, list, text.String())
		},
	}

	var to string
	var resend bool
	claim := &cobra.Command{
		Use: "claim TRANSFER", Short: "Pull a credit, or send a returned withdrawal again", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := parseHash(args[0])
			if err != nil {
				return err
			}
			var target common.Address
			if to != "" {
				if target, err = parseAddress("--to", to); err != nil {
					return err
				}
			}
			b, p, err := g.bridge(c.Context(), who)
			if err != nil {
				return err
			}
			defer b.Root.Close()
			defer b.Subnet.Close()
			if to == "" {
				target = b.Root.Address
			}
			var t api.Transfer
			if err := ask(c.Context(), p.api, "/v1/transfers/"+id.Hex(), &t); err != nil {
				return err
			}
			if t.Subnet != b.Dep.Root.Actor {
				return usage("%s is of another subnet: give --subnet", id)
			}
			tx, err := pull(c.Context(), b, t, target, resend)
			if err != nil {
				return err
			}
			verb := "claimed to " + target.Hex()
			if resend {
				verb = "sent again"
			}
			return g.print(c, map[string]any{"transfer": t.ID, "tx": tx, "to": target, "resend": resend}, fmt.Sprintf("%s in transaction %s", verb, tx))
		},
	}
	claim.Flags().StringVar(&to, "to", "", "where it goes (default: the account itself)")
	claim.Flags().BoolVar(&resend, "resend", false, "send a returned withdrawal again instead")
	c.AddCommand(ls, claim)
	return c
}

// credits lists what the account may claim in its subnet. Everybody's credited
// transfers are read from the relayer; the chain is asked about the account's
// own alone.
func credits(ctx context.Context, b *wallet.Bridge, base string) ([]credit, error) {
	all, err := transfersOf(ctx, base, url.Values{"status": {string(tokens.Credited)}, "limit": {"200"}})
	if err != nil {
		return nil, err
	}
	list := []credit{}
	for _, t := range owned(all, b.Root.Address, b.Dep.Root.Actor) {
		amount, kind, err := claimable(ctx, b, t)
		if err != nil {
			return nil, err
		}
		if amount.Sign() > 0 {
			list = append(list, credit{t.ID, t.Route, t.Asset, tokens.MustUnits(amount), kind, t.Reason})
		}
	}
	return list, nil
}

// owned keeps what an account may pull in a subnet: its deposits, and the
// withdrawals to it or with it as the fallback. The root gateway keeps one sum
// per account, so the newest of its deposits of FLT stands for all of them.
func owned(all []api.Transfer, account, actor common.Address) (out []api.Transfer) {
	summed := false
	for _, t := range all {
		switch {
		case t.Subnet != actor:
		case strings.HasSuffix(t.Route, "_withdraw"):
			if t.Recipient == account || t.Fallback != nil && *t.Fallback == account {
				out = append(out, t)
			}
		case t.Sender != account:
		case t.Route == "usdc_deposit":
			out = append(out, t)
		case !summed:
			out, summed = append(out, t), true
		}
	}
	return out
}

// claimable is what may still be pulled of an owned transfer.
func claimable(ctx context.Context, b *wallet.Bridge, t api.Transfer) (*big.Int, string, error) {
	switch t.Route {
	case "usdc_withdraw", "flt_withdraw":
		n, err := b.CreditOf(ctx, t.Ref)
		return n, "payout", err
	case "usdc_deposit":
		n, err := b.RefundOf(ctx, t.Ref)
		return n, "refund", err
	default:
		n, err := b.GatewayCredit(ctx, t.Sender)
		return n, "refund", err
	}
}

func pull(ctx context.Context, b *wallet.Bridge, t api.Transfer, to common.Address, resend bool) (common.Hash, error) {
	account := b.Root
	var tx common.Hash
	var err error
	switch {
	case strings.HasSuffix(t.Route, "_withdraw"):
		w, _, werr := devnet.WithdrawalOf(ctx, b, t.Steps[0].Tx)
		if werr != nil {
			return tx, werr
		}
		if resend {
			account = b.Subnet
			tx, err = b.Resend(ctx, w)
		} else {
			tx, err = b.ClaimWithdrawal(ctx, w, to)
		}
	case resend:
		return tx, usage("only withdrawals are sent again; a deposit's refund is claimed")
	case t.Route == "usdc_deposit":
		tx, err = b.ClaimRefund(ctx, t.Ref, to)
	default:
		tx, err = b.ClaimCredit(ctx, to)
	}
	if err != nil {
		return tx, err
	}
	_, err = account.Wait(ctx, tx)
	return tx, err
}
