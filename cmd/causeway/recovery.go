package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/cmd/causeway/wallet"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/spf13/cobra"
)

// signedRecovery is what one validator signed: a recovery to propose, or with
// Withdraw one to take back.
type signedRecovery struct {
	Recovery  wallet.Recovery `json:"recovery"`
	Withdraw  bool            `json:"withdraw"`
	Validator common.Address  `json:"validator"`
	Signature hexutil.Bytes   `json:"signature"`
}

// signers are the validators that sign here, and files of what others signed.
type signers struct {
	keystores, passwords, files []string
}

func (s *signers) add(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&s.keystores, "validator-keystore", nil, "keystore of a validator that signs; may be repeated (default: the home's validator)")
	f.StringArrayVar(&s.passwords, "validator-password-file", nil, "its password file, in the same order")
	f.StringArrayVar(&s.files, "signed", nil, "file with what recovery sign printed for another validator; may be repeated")
}

func newRecovery(g *globals) *cobra.Command {
	var who sender
	c := &cobra.Command{
		Use:   "recovery",
		Short: "Let a subnet go on after its root has forked below what it had committed",
		Long: "After such a fork (alert parent_diverged) nothing comes down any more. More than 2/3 of the subnet's validators propose on the root\n" +
			"from which common prefix the subnet shall go on (`sign` on each machine, `propose` on one); it waits for the contracts' recovery delay,\n" +
			"in which they may `withdraw` it; then anybody runs `execute`, and nodes and relayer carry it into the subnet. Messages that come anew under\n" +
			"nonces applied before are no lane's: `deliver` brings them. What is short then, `cover` makes good.",
	}
	who.add(c.PersistentFlags())
	c.AddCommand(recoveryShow(g, &who), recoverySign(g, &who), recoveryPropose(g, &who), recoveryWithdraw(g, &who), recoveryExecute(g, &who), recoveryDeliver(g, &who), recoveryCover(g, &who))
	return c
}

// on opens the wallet, does something, and closes it.
func (g *globals) on(ctx context.Context, who *sender, do func(*wallet.Bridge) error) error {
	b, _, err := g.bridge(ctx, *who)
	if err != nil {
		return err
	}
	defer b.Root.Close()
	defer b.Subnet.Close()
	return do(b)
}

func recoveryShow(g *globals, who *sender) *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Recoveries on the root, what the subnet holds, and the common prefix", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return g.on(c.Context(), who, func(b *wallet.Bridge) error {
				s, err := b.Recoveries(c.Context())
				if err != nil {
					return err
				}
				text := fmt.Sprintf("subnet: %d messages applied, recovery %d committed\n", s.Applied, s.Committed)
				if s.Pending != nil {
					text += fmt.Sprintf("waits until %s: %s\n", s.ReadyAt.UTC().Format(time.RFC3339), s.Pending)
				}
				if s.Executed != nil {
					text += fmt.Sprintf("executed in root block %d: %s\n", s.ExecutedBlock, s.Executed)
				}
				next, err := b.CommonPrefix(c.Context())
				if err != nil {
					text += fmt.Sprintf("nothing can be proposed: %v", err)
					return g.print(c, map[string]any{"state": s, "blocked": err.Error()}, text)
				}
				text += fmt.Sprintf("to propose: %s", next)
				if next.TopDownNonce < s.Applied {
					text += fmt.Sprintf("\n%d messages applied in the subnet are not on this root, and stay applied: `causeway recovery cover` what they lack (`causeway reconcile` says how much)", s.Applied-next.TopDownNonce)
				}
				return g.print(c, map[string]any{"state": s, "next": next}, text)
			})
		},
	}
}

func recoverySign(g *globals, who *sender) *cobra.Command {
	var s signers
	var withdraw bool
	c := &cobra.Command{
		Use: "sign", Short: "Sign the next recovery, or the withdrawal of the one that waits, for another machine to carry", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return g.on(c.Context(), who, func(b *wallet.Bridge) error {
				list, err := g.sign(c.Context(), b, s, withdraw)
				if err != nil {
					return err
				}
				if len(list) != 1 {
					return usage("sign with one validator at a time")
				}
				text, err := json.Marshal(list[0])
				if err != nil {
					return err
				}
				return g.print(c, list[0], string(text))
			})
		},
	}
	s.add(c)
	c.Flags().BoolVar(&withdraw, "withdraw", false, "sign the withdrawal of the recovery that waits")
	return c
}

func recoveryPropose(g *globals, who *sender) *cobra.Command {
	var s signers
	c := &cobra.Command{
		Use: "propose", Short: "Propose the common prefix on the root, with the signatures of more than 2/3 of the validators", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return g.on(c.Context(), who, func(b *wallet.Bridge) error {
				list, err := g.sign(c.Context(), b, s, false)
				if err != nil {
					return err
				}
				accounts, signatures := split(list)
				tx, err := b.ProposeRecovery(c.Context(), list[0].Recovery, accounts, signatures)
				if err != nil {
					return err
				}
				return g.sent(c, b, tx, map[string]any{"recovery": list[0].Recovery}, fmt.Sprintf("proposed %s", list[0].Recovery))
			})
		},
	}
	s.add(c)
	return c
}

func recoveryWithdraw(g *globals, who *sender) *cobra.Command {
	var s signers
	c := &cobra.Command{
		Use: "withdraw", Short: "Take the recovery that waits back, with the same quorum", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return g.on(c.Context(), who, func(b *wallet.Bridge) error {
				list, err := g.sign(c.Context(), b, s, true)
				if err != nil {
					return err
				}
				accounts, signatures := split(list)
				tx, err := b.WithdrawRecovery(c.Context(), list[0].Recovery.Number, accounts, signatures)
				if err != nil {
					return err
				}
				return g.sent(c, b, tx, map[string]any{"number": list[0].Recovery.Number}, fmt.Sprintf("took recovery %d back", list[0].Recovery.Number))
			})
		},
	}
	s.add(c)
	return c
}

func recoveryExecute(g *globals, who *sender) *cobra.Command {
	return &cobra.Command{
		Use: "execute", Short: "Execute the recovery that waits, once its time has come", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return g.on(c.Context(), who, func(b *wallet.Bridge) error {
				s, err := b.Recoveries(c.Context())
				if err != nil {
					return err
				}
				if s.Pending == nil {
					return errors.New("no recovery waits: `causeway recovery propose`")
				}
				tx, err := b.ExecuteRecovery(c.Context(), s.Pending.Number)
				if err != nil {
					return err
				}
				return g.sent(c, b, tx, map[string]any{"recovery": s.Pending}, fmt.Sprintf("executed %s", s.Pending))
			})
		},
	}
}

func recoveryCover(g *globals, who *sender) *cobra.Command {
	return &cobra.Command{
		Use: "cover AMOUNT", Short: "Lock FLT on the root without a message, to back what a fork left unbacked; it never comes back", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			amount, err := tokens.ParseDecimal(args[0], tokens.FLT.Decimals)
			if err != nil {
				return usage("AMOUNT: %w", err)
			}
			return g.on(c.Context(), who, func(b *wallet.Bridge) error {
				tx, err := b.Cover(c.Context(), amount.Big())
				if err != nil {
					return err
				}
				return g.sent(c, b, tx, map[string]any{"amount": amount}, fmt.Sprintf("covered %s FLT", args[0]))
			})
		},
	}
}

func recoveryDeliver(g *globals, who *sender) *cobra.Command {
	var patience time.Duration
	c := &cobra.Command{
		Use: "deliver", Short: "After a recovery, bring the root's messages under nonces that were applied before; lanes do not", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return g.on(c.Context(), who, func(b *wallet.Bridge) error {
				ctx, cancel := context.WithTimeout(c.Context(), patience)
				defer cancel()
				down, err := b.SentDown(ctx)
				if err != nil {
					return err
				}
				for {
					applied, err := b.Deliver(ctx)
					if err == nil && applied >= down {
						return g.print(c, map[string]any{"applied": applied}, fmt.Sprintf("%d messages are applied, all that the root had sent", applied))
					}
					if err != nil && !errors.Is(err, wallet.ErrNothingCommitted) {
						return err
					}
					select {
					case <-ctx.Done():
						return fmt.Errorf("%d of %d messages are applied: %w", applied, down, cmp.Or(err, ctx.Err()))
					case <-time.After(time.Second):
					}
				}
			})
		},
	}
	c.Flags().DurationVar(&patience, "wait", 5*time.Minute, "how long to wait for the validators' statements")
	return c
}

// sent waits for a transaction on the root and tells what it did.
func (g *globals) sent(c *cobra.Command, b *wallet.Bridge, tx common.Hash, v map[string]any, text string) error {
	if _, err := b.Root.Wait(c.Context(), tx); err != nil {
		return err
	}
	v["tx"] = tx
	return g.print(c, v, fmt.Sprintf("%s in transaction %s", text, tx))
}

// sign reads what others signed and adds what the validators at hand sign, in
// ascending order of validators. All of it is about one recovery.
func (g *globals) sign(ctx context.Context, b *wallet.Bridge, s signers, withdraw bool) ([]signedRecovery, error) {
	var list []signedRecovery
	for _, file := range s.files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, usageError{err}
		}
		var one signedRecovery
		if err := json.Unmarshal(text, &one); err != nil {
			return nil, usage("%s: not what `recovery sign` prints: %w", file, err)
		}
		list = append(list, one)
	}
	keys, err := g.validators(s)
	if err != nil {
		return nil, err
	}
	recovery, err := about(ctx, b, list, withdraw)
	if err != nil {
		return nil, err
	}
	digest := b.RecoveryDigest(recovery, withdraw)
	for _, a := range keys {
		key, err := relayer.LoadKey(a)
		if err != nil {
			return nil, usageError{err}
		}
		signature, err := ipc.Sign(key, digest)
		if err != nil {
			return nil, err
		}
		list = append(list, signedRecovery{Recovery: recovery, Withdraw: withdraw, Signature: signature})
	}
	if len(list) == 0 {
		return nil, usage("nobody signs: give --validator-keystore or --signed")
	}
	for i, one := range list {
		if one.Recovery != recovery || one.Withdraw != withdraw {
			return nil, usage("%s: signed for %s, not for %s: all validators must sign the same", one.Validator, one.Recovery, recovery)
		}
		who, err := ipc.Recover(digest, one.Signature)
		if err != nil || one.Validator != (common.Address{}) && one.Validator != who {
			return nil, usage("the signature of %s is not over this recovery of this deployment", one.Validator)
		}
		list[i].Validator = who
	}
	slices.SortFunc(list, func(a, b signedRecovery) int { return a.Validator.Cmp(b.Validator) })
	return slices.CompactFunc(list, func(a, b signedRecovery) bool { return a.Validator == b.Validator }), nil
}

// about is the recovery that is signed: the one others signed, the one that
// waits, or the next.
func about(ctx context.Context, b *wallet.Bridge, list []signedRecovery, withdraw bool) (wallet.Recovery, error) {
	if len(list) > 0 {
		return list[0].Recovery, nil
	}
	if !withdraw {
		return b.CommonPrefix(ctx)
	}
	s, err := b.Recoveries(ctx)
	if err != nil {
		return wallet.Recovery{}, err
	}
	if s.Pending == nil {
		return wallet.Recovery{}, errors.New("no recovery waits: there is nothing to withdraw")
	}
	return *s.Pending, nil
}

// validators are the accounts that sign here; the home's own unless others are
// named.
func (g *globals) validators(s signers) ([]relayer.Account, error) {
	if len(s.keystores) != len(s.passwords) {
		return nil, usage("give one --validator-password-file for each --validator-keystore")
	}
	var out []relayer.Account
	for i, k := range s.keystores {
		out = append(out, relayer.Account{Keystore: k, PasswordFile: s.passwords[i]})
	}
	if own := g.dir().Account("validator"); len(out) == 0 {
		if _, err := os.Stat(own.Keystore); err == nil {
			out = append(out, own)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, usageError{err}
		}
	}
	return out, nil
}

func split(list []signedRecovery) (who []common.Address, signatures [][]byte) {
	for _, s := range list {
		who, signatures = append(who, s.Validator), append(signatures, s.Signature)
	}
	return who, signatures
}
