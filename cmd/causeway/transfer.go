package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/spf13/cobra"
)

// sendFlags are what sending takes.
type sendFlags struct {
	amount, recipient, fallback, keystore, password string
	watch                                           bool
	wait                                            time.Duration
}

func (s *sendFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.amount, "amount", "", "amount in whole tokens, such as 1.5")
	f.StringVar(&s.recipient, "recipient", "", "who receives it (default: the sender)")
	f.StringVar(&s.keystore, "keystore", "", "the sender's keystore file (default: the devnet's user)")
	f.StringVar(&s.password, "password-file", "", "the sender's password file")
	f.BoolVar(&s.watch, "watch", false, "wait until it has ended, and show each step")
	f.DurationVar(&s.wait, "timeout", 10*time.Minute, "how long --watch waits")
}

// sent is what a sending command prints.
type sent struct {
	Route     string         `json:"route"`
	Tx        common.Hash    `json:"tx"`
	Amount    tokens.Amount  `json:"amount"`
	Sender    common.Address `json:"sender"`
	Recipient common.Address `json:"recipient"`
	Transfer  *api.Transfer  `json:"transfer,omitempty"`
}

func asset(name string) (tokens.Asset, error) {
	switch strings.ToLower(name) {
	case "usdc":
		return tokens.USDC, nil
	case "flt":
		return tokens.FLT, nil
	}
	return tokens.Asset{}, usage("%q is no token of this bridge: usdc or flt", name)
}

func newTransfer(g *globals) *cobra.Command {
	var s sendFlags
	var from, to string
	c := &cobra.Command{
		Use:   "transfer usdc|flt",
		Short: "Send USDC or FLT from one chain to the other",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case from == "root" && to == "subnet":
				return send(c, g, &s, args[0], "deposit")
			case from == "subnet" && to == "root":
				return send(c, g, &s, args[0], "withdraw")
			}
			return usage("there is no route from %q to %q: --from root --to subnet, or --from subnet --to root", from, to)
		},
	}
	s.add(c)
	c.Flags().StringVar(&from, "from", "root", "root or subnet")
	c.Flags().StringVar(&to, "to", "subnet", "subnet or root")
	c.Flags().StringVar(&s.fallback, "fallback", "", "on the way to the root: who may claim it if the recipient cannot receive (default: the sender)")
	return c
}

func newWithdraw(g *globals) *cobra.Command {
	var s sendFlags
	c := &cobra.Command{
		Use:   "withdraw usdc|flt",
		Short: "Send USDC or FLT from the subnet to the root",
		Args:  cobra.ExactArgs(1),
		RunE:  func(c *cobra.Command, args []string) error { return send(c, g, &s, args[0], "withdraw") },
	}
	s.add(c)
	c.Flags().StringVar(&s.fallback, "fallback", "", "who may claim it if the recipient cannot receive (default: the sender)")
	return c
}

func send(c *cobra.Command, g *globals, s *sendFlags, token, verb string) error {
	ctx := c.Context()
	a, err := asset(token)
	if err != nil {
		return err
	}
	if s.amount == "" {
		return usage("--amount is required")
	}
	amount, err := tokens.ParseDecimal(s.amount, a.Decimals)
	if err != nil {
		return usage("--amount: %w", err)
	}
	if amount.IsZero() {
		return usage("--amount: more than nothing")
	}
	b, p, err := g.bridge(ctx, s.keystore, s.password)
	if err != nil {
		return err
	}
	defer b.Root.Close()
	defer b.Subnet.Close()
	recipient, fallback := b.Root.Address, b.Root.Address
	for _, x := range []struct {
		flag, text string
		to         *common.Address
	}{{"--recipient", s.recipient, &recipient}, {"--fallback", s.fallback, &fallback}} {
		if x.text != "" {
			if *x.to, err = parseAddress(x.flag, x.text); err != nil {
				return err
			}
		}
	}

	out := sent{Route: strings.ToLower(a.Symbol) + "_" + verb, Amount: amount, Sender: b.Root.Address, Recipient: recipient}
	if verb == "deposit" {
		if out.Tx, err = b.Deposit(ctx, a, recipient, amount.Big()); err == nil {
			_, err = b.Root.Wait(ctx, out.Tx)
		}
	} else if out.Tx, err = b.Withdraw(ctx, a, recipient, fallback, amount.Big()); err == nil {
		_, err = b.Subnet.Wait(ctx, out.Tx)
	}
	if err != nil {
		return err
	}
	if s.watch {
		t, err := watchTransfer(ctx, c, g, p.api, out.Tx, s.wait)
		if err != nil {
			return err
		}
		out.Transfer = &t
	}
	text := fmt.Sprintf("%s of %s %s sent in transaction %s\nfollow it with: causeway status %s", out.Route, amount.Decimal(a.Decimals), a.Symbol, out.Tx, out.Tx)
	if out.Transfer != nil {
		text = describe(*out.Transfer)
	}
	if err := g.print(c, out, text); err != nil {
		return err
	}
	if out.Transfer != nil && out.Transfer.Status == tokens.Parked {
		return errors.New("the transfer is parked: " + out.Transfer.Reason)
	}
	return nil
}

// watchTransfer follows a transfer until it has ended, telling each step once.
func watchTransfer(ctx context.Context, c *cobra.Command, g *globals, base string, tx common.Hash, wait time.Duration) (api.Transfer, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	told := 0
	for {
		var t api.Transfer
		err := ask(ctx, base, "/v1/transfers/"+tx.Hex(), &t)
		if err == nil {
			for ; told < len(t.Steps); told++ {
				st := t.Steps[told]
				if !g.json {
					fmt.Fprintf(c.ErrOrStderr(), "%s  %-8s %-10s on %s at height %d, tx %s\n", st.At.Format(time.TimeOnly), st.Name, st.Outcome, st.Chain, st.Height, st.Tx)
				}
			}
			if t.Status.Terminal() {
				return t, nil
			}
		}
		select {
		case <-ctx.Done():
			if err != nil {
				return t, fmt.Errorf("the transaction is in, but %w", err)
			}
			return t, fmt.Errorf("still %s at step %s after %s; it goes on by itself: causeway status %s", t.Status, t.Step, wait, tx)
		case <-time.After(500 * time.Millisecond):
		}
	}
}
