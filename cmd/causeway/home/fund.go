package home

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
)

// need is what an account must hold on the root before the deployment begins.
type need struct {
	who    string
	at     common.Address
	amount *big.Int // wei of the root's coin
}

// fund sends from the deployer what the accounts of a new home lack. It runs
// before the deployment has a record, so that it takes none of the nonces
// written there; killed in the middle it may send a second time, to accounts of
// ours.
func fund(ctx context.Context, client *ethclient.Client, from deploy.Signer, needs []need) error {
	for _, n := range needs {
		have, err := client.BalanceAt(ctx, n.at, nil)
		if err != nil {
			return fmt.Errorf("read balance of the %s: %w", n.who, err)
		}
		missing := new(big.Int).Sub(n.amount, have)
		if missing.Sign() <= 0 {
			continue
		}
		if n.at == from.Address() {
			return fmt.Errorf("the %s %s holds %s wei on the root and needs %s: send it %s wei, then run this again", n.who, n.at.Hex(), have, n.amount, missing)
		}
		if err := transfer(ctx, client, from, n.at, missing); err != nil {
			return fmt.Errorf("send coins to the %s %s: %w", n.who, n.at.Hex(), err)
		}
	}
	return nil
}

func transfer(ctx context.Context, client *ethclient.Client, from deploy.Signer, to common.Address, amount *big.Int) error {
	id, err := client.ChainID(ctx)
	if err != nil {
		return err
	}
	nonce, err := client.PendingNonceAt(ctx, from.Address())
	if err != nil {
		return err
	}
	head, err := client.HeaderByNumber(ctx, nil)
	if err != nil {
		return err
	}
	tip, err := client.SuggestGasTipCap(ctx)
	if err != nil {
		return err
	}
	gas, err := client.EstimateGas(ctx, ethereum.CallMsg{From: from.Address(), To: &to, Value: amount})
	if err != nil {
		return errors.New("the deployer cannot pay for it")
	}
	tx, err := from.SignTx(types.NewTx(&types.DynamicFeeTx{
		ChainID: id, Nonce: nonce, To: &to, Value: amount, Gas: gas + gas/4,
		GasTipCap: tip, GasFeeCap: new(big.Int).Add(tip, new(big.Int).Mul(head.BaseFee, big.NewInt(3))),
	}), id)
	if err != nil {
		return err
	}
	if err := client.SendTransaction(ctx, tx); err != nil {
		return err
	}
	for {
		if r, err := client.TransactionReceipt(ctx, tx.Hash()); err == nil {
			if r.Status != types.ReceiptStatusSuccessful {
				return errors.New("the transaction reverted")
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
	}
}
