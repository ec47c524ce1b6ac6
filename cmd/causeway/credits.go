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
	var keystore, password string
	c := &cobra.Command{Use: "credits", Short: "Refunds, credits and quarantined amounts that wait to be pulled"}
	c.PersistentFlags().StringVar(&keystore, "keystore", "", "keystore file of the account (default: the devnet's user)")
	c.PersistentFlags().StringVar(&password, "password-file", "", "its password file")

	ls := &cobra.Command{
		Use: "ls", Short: "List what the account may claim", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b, p, err := g.bridge(c.Context(), keystore, password)
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
			b, p, err := g.bridge(c.Context(), keystore, password)
			if err != nil {
				return err
			}
			defer b.Root.Close()
			defer b.Subnet.Close()
			target := b.Root.Address
			if to != "" {
				if target, err = parseAddress("--to", to); err != nil {
					return err
				}
			}
			var t api.Transfer
			if err := ask(c.Context(), p.api, "/v1/transfers/"+url.PathEscape(args[0]), &t); err != nil {
				return err
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

// credits asks the chain what is still to be claimed of each credited transfer.
func credits(ctx context.Context, b *wallet.Bridge, base string) ([]credit, error) {
	all, err := transfersOf(ctx, base, url.Values{"status": {string(tokens.Credited)}, "limit": {"200"}})
	if err != nil {
		return nil, err
	}
	list := []credit{}
	for _, t := range all {
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

// claimable is what the account may pull of a transfer, 0 if it is not its own.
func claimable(ctx context.Context, b *wallet.Bridge, t api.Transfer) (*big.Int, string, error) {
	switch t.Route {
	case "usdc_withdraw", "flt_withdraw":
		w, id, err := devnet.WithdrawalOf(ctx, b, t.Steps[0].Tx)
		if err != nil {
			return nil, "", err
		}
		if w.Recipient != b.Root.Address && w.FallbackRecipient != b.Root.Address {
			return new(big.Int), "payout", nil
		}
		n, err := b.CreditOf(ctx, id)
		return n, "payout", err
	case "usdc_deposit":
		if t.Sender != b.Root.Address {
			return new(big.Int), "refund", nil
		}
		n, err := b.RefundOf(ctx, t.Ref)
		return n, "refund", err
	default:
		if t.Sender != b.Root.Address {
			return new(big.Int), "refund", nil
		}
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
