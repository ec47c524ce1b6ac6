package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"
)

const (
	defaultPoll      = 200 * time.Millisecond
	rebroadcastPolls = 20
	gasMarginPct     = 30
	feeCapBaseTimes  = 3
)

var finalizedTag = big.NewInt(int64(rpc.FinalizedBlockNumber))

// journal sends named transactions exactly once each. A name is bound to one
// nonce and one signed transaction before anything is sent, so a second run can
// only repeat the same bytes.
type journal struct {
	env     Env
	chainID *big.Int
	file    journalFile
	saved   int // records that are on disk: the others may not be sent
	unlock  func() error
}

// call is a step: a transaction with a name.
type call struct {
	name  string
	from  Signer
	to    *common.Address // nil creates a contract
	value *big.Int        // nil = 0
	data  []byte
	extra uint64 // gas beyond what the simulation needed
}

func openJournal(ctx context.Context, env Env) (*journal, error) {
	if env.Poll == 0 {
		env.Poll = defaultPoll
	}
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	chainID, err := env.Backend.ChainID(ctx)
	if err != nil {
		return nil, fmt.Errorf("read chain id: %w", err)
	}
	if !chainID.IsUint64() {
		return nil, fmt.Errorf("chain id %s exceeds 64 bits", chainID)
	}
	genesis, err := firstBlock(ctx, env.Backend)
	if err != nil {
		return nil, fmt.Errorf("read genesis block: %w", err)
	}
	head, err := env.Backend.HeaderByNumber(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("read head: %w", err)
	}
	j := &journal{env: env, chainID: chainID, unlock: func() error { return nil }}
	j.file = journalFile{Version: journalVersion, ChainID: chainID.Uint64(), Genesis: genesis, StartBlock: head.Number.Uint64()}
	if env.StateFile == "" {
		return j, nil
	}

	if j.unlock, err = lock(env.StateFile + ".lock"); err != nil {
		return nil, fmt.Errorf("lock state file: %w", err)
	}
	if err := j.load(); err != nil {
		return nil, errors.Join(err, j.unlock())
	}
	return j, nil
}

// firstBlock is the hash of block 0, as the chain itself makes hashes: Filecoin's
// are not those of an Ethereum header, so the node's word is taken where it can be
// had. A deployment that names another chain's is refused by whoever reads it.
func firstBlock(ctx context.Context, b Backend) (common.Hash, error) {
	if c, ok := b.(interface{ Client() *rpc.Client }); ok {
		var first struct {
			Hash *common.Hash `json:"hash"`
		}
		if err := c.Client().CallContext(ctx, &first, "eth_getBlockByNumber", "0x0", false); err != nil {
			return common.Hash{}, err
		}
		if first.Hash == nil {
			return common.Hash{}, errors.New("the endpoint gives it no hash")
		}
		return *first.Hash, nil
	}
	header, err := b.HeaderByNumber(ctx, new(big.Int))
	if err != nil {
		return common.Hash{}, err
	}
	return header.Hash(), nil
}

func (j *journal) close() {
	if err := j.unlock(); err != nil {
		j.env.Log.Warn("unlock state file", "err", err)
	}
}

func (j *journal) find(name string) (record, bool) {
	for _, r := range j.file.Txs {
		if r.Name == name {
			return r, true
		}
	}
	return record{}, false
}

// nonces says which nonces the named steps of one account have or will get when
// they are sent next, in this order.
func (j *journal) nonces(ctx context.Context, from common.Address, names ...string) ([]uint64, error) {
	next, err := j.nextNonce(ctx, from)
	if err != nil {
		return nil, err
	}
	out := make([]uint64, len(names))
	for i, name := range names {
		if r, ok := j.find(name); ok {
			out[i] = r.Nonce
			continue
		}
		out[i] = next
		next++
	}
	return out, nil
}

func (j *journal) nextNonce(ctx context.Context, from common.Address) (uint64, error) {
	next, err := j.env.Backend.PendingNonceAt(ctx, from)
	if err != nil {
		return 0, fmt.Errorf("read nonce of %s: %w", from, err)
	}
	for _, r := range j.file.Txs {
		if r.From == from {
			next = max(next, r.Nonce+1)
		}
	}
	return next, nil
}

// send makes the calls happen: those not recorded yet are simulated, signed and
// recorded together, then all are broadcast in order until mined. Calls of one
// send must not depend on each other. A mined failure is ErrFailed.
func (j *journal) send(ctx context.Context, calls ...call) ([]*types.Receipt, error) {
	receipts, err := j.try(ctx, calls...)
	if err != nil {
		return nil, err
	}
	for i, r := range receipts {
		if r.Status != types.ReceiptStatusSuccessful {
			return nil, fmt.Errorf("%w: %s in transaction %s", ErrFailed, calls[i].name, r.TxHash)
		}
	}
	return receipts, nil
}

// try is send, but a mined failure is a receipt.
func (j *journal) try(ctx context.Context, calls ...call) ([]*types.Receipt, error) {
	if err := j.plan(ctx, calls); err != nil {
		return nil, err
	}
	receipts := make([]*types.Receipt, len(calls))
	for _, c := range calls {
		r, ok := j.find(c.name)
		if !ok {
			return nil, fmt.Errorf("[BUG] step %s was not recorded", c.name)
		}
		if _, err := j.env.Backend.TransactionReceipt(ctx, r.Hash); err == nil {
			continue
		}
		if err := j.broadcast(ctx, r); err != nil {
			j.env.Log.Debug("broadcast, will retry", "step", r.Name, "err", err)
		}
	}
	below := new(big.Int)
	for i, c := range calls {
		r, _ := j.find(c.name)
		receipt, err := j.wait(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		j.env.Log.Info("step mined", "step", c.name, "block", receipt.BlockNumber, "gas", receipt.GasUsed)
		receipts[i] = receipt
		if n := new(big.Int).Sub(receipt.BlockNumber, common.Big1); n.Cmp(below) > 0 {
			below = n
		}
	}
	// A node tells of a receipt a moment before its head is the block of it, and
	// simulates nothing that stands on it until then.
	if _, err := j.blockAfter(ctx, below); err != nil {
		return nil, err
	}
	return receipts, nil
}

// plan records what is not recorded. The write is before any broadcast: a
// process killed before it has sent nothing, one killed after it repeats the
// same bytes.
func (j *journal) plan(ctx context.Context, calls []call) error {
	before := j.file.Txs
	for _, c := range calls {
		if r, ok := j.find(c.name); ok {
			if err := sameCall(r, c); err != nil {
				return err
			}
			continue
		}
		r, err := j.sign(ctx, c)
		if err != nil && j.awaitAll(ctx) == nil { // a reorg took out what the step stands on
			r, err = j.sign(ctx, c)
		}
		if err != nil {
			j.file.Txs = before
			return fmt.Errorf("prepare %s: %w", c.name, err)
		}
		j.file.Txs = append(j.file.Txs, r)
	}
	if len(j.file.Txs) == len(before) {
		return nil
	}
	if err := j.save(); err != nil {
		j.file.Txs = before
		return fmt.Errorf("write state file: %w", err)
	}
	return nil
}

func sameCall(r record, c call) error {
	tx, err := r.tx()
	if err != nil {
		return err
	}
	sameTo := (tx.To() == nil) == (c.to == nil) && (c.to == nil || *tx.To() == *c.to)
	if r.From != c.from.Address() || !sameTo || tx.Value().Cmp(orZero(c.value)) != 0 || !bytes.Equal(tx.Data(), c.data) {
		return fmt.Errorf("%w: step %s was recorded with other parameters", ErrOtherState, c.name)
	}
	return nil
}

func (j *journal) sign(ctx context.Context, c call) (record, error) {
	from := c.from.Address()
	head, err := j.env.Backend.HeaderByNumber(ctx, nil)
	if err != nil {
		return record{}, fmt.Errorf("read head: %w", err)
	}
	tip, err := j.env.Backend.SuggestGasTipCap(ctx)
	if err != nil {
		return record{}, fmt.Errorf("read tip: %w", err)
	}
	feeCap := new(big.Int).Mul(orZero(head.BaseFee), big.NewInt(feeCapBaseTimes))
	feeCap.Add(feeCap, tip)
	gas, err := j.env.Backend.EstimateGas(ctx, ethereum.CallMsg{
		From: from, To: c.to, Value: orZero(c.value), Data: c.data, GasFeeCap: feeCap, GasTipCap: tip,
	})
	if err != nil {
		return record{}, fmt.Errorf("%w: %w", ErrSimulate, err)
	}
	nonce, err := j.nextNonce(ctx, from)
	if err != nil {
		return record{}, err
	}
	tx, err := c.from.SignTx(types.NewTx(&types.DynamicFeeTx{
		ChainID: j.chainID, Nonce: nonce, To: c.to, Value: orZero(c.value), Data: c.data,
		Gas: min(gas+gas*gasMarginPct/100+c.extra, head.GasLimit), GasTipCap: tip, GasFeeCap: feeCap,
	}), j.chainID)
	if err != nil {
		return record{}, fmt.Errorf("sign: %w", err)
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		return record{}, fmt.Errorf("encode: %w", err)
	}
	return record{Name: c.name, From: from, Nonce: nonce, Hash: tx.Hash(), Raw: raw}, nil
}

func (j *journal) broadcast(ctx context.Context, r record) error {
	tx, err := r.tx()
	if err != nil {
		return err
	}
	return j.env.Backend.SendTransaction(ctx, tx)
}

// wait polls for the receipt and broadcasts again now and then: a node may have
// dropped the transaction, a reorg may have taken it out.
func (j *journal) wait(ctx context.Context, r record) (*types.Receipt, error) {
	var last error
	for poll := 1; ; poll++ {
		receipt, err := j.env.Backend.TransactionReceipt(ctx, r.Hash)
		if err == nil && receipt != nil {
			return receipt, nil
		}
		if err != nil && !errors.Is(err, ethereum.NotFound) {
			last = err
		}
		if poll%rebroadcastPolls == 0 {
			taken, err := j.taken(ctx, r)
			if err != nil {
				last = err
			}
			if taken {
				return nil, fmt.Errorf("%w: nonce %d of %s", ErrNonceTaken, r.Nonce, r.From)
			}
			if err := j.rebroadcast(ctx); err != nil {
				last = err
			}
		}
		if err := j.pause(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("wait for transaction %s: %w", r.Hash, err), last)
		}
	}
}

// rebroadcast sends everything again that is in no block: a step may wait for
// one of an earlier nonce, or for another account's.
func (j *journal) rebroadcast(ctx context.Context) error {
	var errs []error
	for _, r := range j.file.Txs[:j.saved] {
		if _, err := j.env.Backend.TransactionReceipt(ctx, r.Hash); errors.Is(err, ethereum.NotFound) {
			errs = append(errs, j.broadcast(ctx, r))
		}
	}
	return errors.Join(errs...)
}

// awaitAll waits until everything that was sent is mined. It is an error when
// that was so already.
func (j *journal) awaitAll(ctx context.Context) error {
	missing := errors.New("nothing is missing")
	for _, r := range j.file.Txs[:j.saved] {
		if _, err := j.env.Backend.TransactionReceipt(ctx, r.Hash); !errors.Is(err, ethereum.NotFound) {
			continue
		}
		if _, missing = j.wait(ctx, r); missing != nil {
			return missing
		}
	}
	return missing
}

// taken says whether a final block holds another transaction with the nonce.
func (j *journal) taken(ctx context.Context, r record) (bool, error) {
	used, err := j.env.Backend.NonceAt(ctx, r.From, finalizedTag)
	if err != nil || used <= r.Nonce {
		return false, err
	}
	_, err = j.env.Backend.TransactionReceipt(ctx, r.Hash)
	if errors.Is(err, ethereum.NotFound) {
		return true, nil
	}
	return false, err
}

// settle waits until every recorded transaction is in a final block. A reorg
// may have turned a success into a failure: that is ErrFailed, but for steps
// that may fail.
func (j *journal) settle(ctx context.Context) error {
	for _, r := range j.file.Txs {
		receipt, err := j.final(ctx, r)
		if err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
		if receipt.Status != types.ReceiptStatusSuccessful && !mayFail(r.Name) {
			return fmt.Errorf("%w: %s in transaction %s", ErrFailed, r.Name, r.Hash)
		}
	}
	return nil
}

func (j *journal) final(ctx context.Context, r record) (*types.Receipt, error) {
	for {
		receipt, err := j.wait(ctx, r)
		if err != nil {
			return nil, err
		}
		final, err := j.env.Backend.HeaderByNumber(ctx, finalizedTag)
		if err == nil && receipt.BlockNumber.Cmp(final.Number) <= 0 {
			return receipt, nil
		}
		if perr := j.pause(ctx); perr != nil {
			return nil, errors.Join(fmt.Errorf("wait until final: %w", perr), err)
		}
	}
}

func (j *journal) pause(ctx context.Context) error {
	timer := time.NewTimer(j.env.Poll)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func orZero(n *big.Int) *big.Int {
	if n == nil {
		return new(big.Int)
	}
	return n
}
