package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/spf13/cobra"
)

// sendFlags are what sending takes.
type sendFlags struct {
	sender
	amount, recipient, fallback string
	watch                       bool
	wait                        time.Duration
}

func (s *sendFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.amount, "amount", "", "amount in whole tokens, such as 1.5")
	f.StringVar(&s.recipient, "recipient", "", "who receives it (default: the sender)")
	s.sender.add(f)
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
		Short: "Send USDC or FLT from one chain to another",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case from == "root" && to == "subnet" && s.fallback != "":
				return usage("--fallback is for the way to the root: a deposit that fails comes back to its sender")
			case from == "root" && to == "subnet":
				return send(c, g, &s, args[0], "deposit")
			case from == "subnet" && to == "root":
				return send(c, g, &s, args[0], "withdraw")
			case from == flow.Ethereum && to == "subnet" && s.fallback != "":
				return usage("--fallback is for the way out of the subnet: a deposit that fails goes back to its sender on Ethereum")
			case from == flow.Ethereum && to == "subnet":
				return send(c, g, &s, args[0], "l1_deposit")
			case from == "subnet" && to == flow.Ethereum:
				return send(c, g, &s, args[0], "l1_withdraw")
			}
			return usage("there is no route from %q to %q: root or ethereum to subnet, or subnet to root or ethereum", from, to)
		},
	}
	s.add(c)
	c.Flags().StringVar(&from, "from", "root", "ethereum (FLT only), root or subnet")
	c.Flags().StringVar(&to, "to", "subnet", "subnet, root or ethereum (FLT only)")
	c.Flags().StringVar(&s.fallback, "fallback", "", "on the way out of the subnet: who may claim it on the root if it cannot arrive (default: the sender)")
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

// order is what to send, read from the flags before anything is asked of the
// world. A zero address means the sender.
type order struct {
	asset               tokens.Asset
	amount              tokens.Amount
	recipient, fallback common.Address
}

func (s *sendFlags) order(token string) (o order, err error) {
	if o.asset, err = asset(token); err != nil {
		return o, err
	}
	if s.amount == "" {
		return o, usage("--amount is required")
	}
	if o.amount, err = tokens.ParseDecimal(s.amount, o.asset.Decimals); err != nil {
		return o, usage("--amount: %w", err)
	}
	if o.amount.IsZero() {
		return o, usage("--amount: more than nothing")
	}
	for _, x := range []struct {
		flag, text string
		to         *common.Address
	}{{"--recipient", s.recipient, &o.recipient}, {"--fallback", s.fallback, &o.fallback}} {
		if x.text == "" {
			continue
		}
		if *x.to, err = parseAddress(x.flag, x.text); err != nil {
			return o, err
		}
		if *x.to == (common.Address{}) {
			return o, usage("%s: the zero address is nobody's", x.flag)
		}
	}
	if s.wait <= 0 {
		return o, usage("--timeout: more than nothing, such as 10m")
	}
	return o, nil
}

func send(c *cobra.Command, g *globals, s *sendFlags, token, verb string) error {
	ctx := c.Context()
	o, err := s.order(token)
	if err != nil {
		return err
	}
	crosses := strings.HasPrefix(verb, "l1_")
	if crosses && o.asset != tokens.FLT {
		return usage("only FLT crosses to and from Ethereum")
	}
	s.l1 = crosses
	b, p, err := g.bridge(ctx, s.sender)
	if err != nil {
		return err
	}
	defer b.Close()
	for _, a := range []*common.Address{&o.recipient, &o.fallback} {
		if *a == (common.Address{}) {
			*a = b.Root.Address
		}
	}

	out := sent{Route: strings.ToLower(o.asset.Symbol) + "_" + verb, Amount: o.amount, Sender: b.Root.Address, Recipient: o.recipient}
	from := b.Subnet
	switch verb {
	case "deposit":
		from = b.Root
		out.Tx, err = b.Deposit(ctx, o.asset, o.recipient, o.amount.Big())
	case "withdraw":
		out.Tx, err = b.Withdraw(ctx, o.asset, o.recipient, o.fallback, o.amount.Big())
	case "l1_deposit":
		from = b.L1
		out.Tx, err = b.CrossIn(ctx, o.recipient, o.amount.Big())
	case "l1_withdraw":
		out.Tx, err = b.CrossOut(ctx, o.recipient, o.fallback, o.amount.Big())
	}
	if err == nil {
		_, err = from.Wait(ctx, out.Tx)
	}
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s of %s %s sent in transaction %s\nfollow it with: causeway status %s",
		out.Route, o.amount.Decimal(o.asset.Decimals), o.asset.Symbol, out.Tx, out.Tx)
	if !s.watch {
		return g.print(c, out, text)
	}
	t, err := watchTransfer(ctx, c, g, p.api, out.Tx, s.wait)
	if err != nil {
		// The money is under way all the same: the caller is told its transaction.
		return errors.Join(err, g.print(c, out, text))
	}
	out.Transfer = &t
	if err := g.print(c, out, describe(t)); err != nil {
		return err
	}
	return ending(t)
}

// ending is nil for a transfer that arrived, else why it did not and what to
// do.
func ending(t api.Transfer) error {
	if t.Status == tokens.Done {
		return nil
	}
	how := map[tokens.Status]string{
		tokens.Refunded: "the transfer failed and was refunded to its sender",
		tokens.Credited: "the transfer failed; its amount waits to be claimed: causeway credits claim " + t.ID.Hex(),
		tokens.Parked:   "the transfer is parked: it waits for an operator",
	}[t.Status]
	for _, r := range flow.Reasons() {
		if string(r.Reason) == t.Reason {
			return fmt.Errorf("%s (%s: %s)", how, r.Reason, r.Meaning)
		}
	}
	return errors.New(how)
}

// watchTransfer follows a transfer until it has ended, telling each step once.
func watchTransfer(ctx context.Context, c *cobra.Command, g *globals, base string, tx common.Hash, wait time.Duration) (api.Transfer, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	told := 0
	var last api.Transfer // as last seen
	var fault error       // of the last question that was answered or refused in time
	for {
		var t api.Transfer
		err := ask(ctx, base, "/v1/transfers/"+tx.Hex(), &t)
		switch {
		case err == nil:
			last, fault = t, nil
			for ; told < len(t.Steps); told++ {
				st := t.Steps[told]
				if !g.json {
					fmt.Fprintf(c.ErrOrStderr(), "%s  %-8s %-10s on %s at height %d, tx %s\n", st.At.Format(time.TimeOnly), st.Name, st.Outcome, st.Chain, st.Height, st.Tx)
				}
			}
			if t.Status.Terminal() {
				return t, nil
			}
		case ctx.Err() == nil:
			fault = err
		}
		select {
		case <-ctx.Done():
			return last, unfinished(ctx.Err(), last, fault, tx, wait)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// unfinished says why watching ended before the transfer did.
func unfinished(end error, last api.Transfer, fault error, tx common.Hash, wait time.Duration) error {
	why := fmt.Sprintf("timeout: watched for %s", wait)
	if errors.Is(end, context.Canceled) {
		why = "watching was interrupted"
	}
	state := fmt.Sprintf("the transfer is %s at step %s", last.Status, last.Step)
	if last.Status == "" {
		state = "the relayer has not seen the transfer yet"
	}
	if fault != nil && !errors.Is(fault, errUnknown) {
		return fmt.Errorf("%s; %s (%w). The transaction is in and the transfer goes on by itself: causeway status %s", why, state, fault, tx)
	}
	return fmt.Errorf("%s; %s. It goes on by itself: causeway status %s", why, state, tx)
}
