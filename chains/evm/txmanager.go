package evm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"golang.org/x/sync/errgroup"
)

// ErrFees says that the chain asks for more than the configured ceiling;
// nothing was recorded.
var ErrFees = errors.New("fees above the ceiling")

// TxManager sends transactions of a few accounts on one chain. It implements
// chains.Sender; Run must be running for anything sent to be seen through.
type TxManager struct {
	client   ChainClient
	journal  Journal
	cfg      TxConfig
	policy   policy
	log      *slog.Logger
	now      func() time.Time
	accounts []*account
	file     *intentsFile
	kick     chan struct{}

	feesTurn turn
	fees     Fees
	feesAt   time.Time

	recoverTurn turn
	recovered   atomic.Bool
}

// account is one key with what is remembered about it between looks. Nothing
// of it is needed after a restart.
type account struct {
	signer  Signer
	address common.Address

	// send is held from reservation to broadcast, so that nonces go out in
	// their order and a resumed intent is not signed twice at once.
	send turn

	mu        sync.Mutex
	memos     map[uint64]*memo
	nonce     uint64 // cached for Send
	nonceAt   time.Time
	balance   *big.Int
	balanceAt time.Time
	headSince time.Time // when the latest nonce last moved
	latest    uint64
	final     uint64
	finalSeen bool
	holeLooks int
	nextLook  time.Time
	status    AccountStatus
}

// memo is what is remembered about one intent between looks.
type memo struct {
	lastSent    time.Time
	underpriced bool
	misses      int
	warned      string
}

// NewTxManager makes a manager of at least one signer. It opens the intents
// file (refusing one that is damaged other than by a torn last line) but asks
// the chain nothing yet. Close releases the file.
func NewTxManager(client ChainClient, journal Journal, signers []Signer, cfg TxConfig, log *slog.Logger) (*TxManager, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if len(signers) == 0 {
		return nil, errors.New("no signer")
	}
	cfg = cfg.withDefaults()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	m := &TxManager{
		client: client, journal: journal, cfg: cfg, policy: policyOf(cfg),
		log: log.With("chain", client.Name()), now: time.Now, kick: make(chan struct{}, 1),
		feesTurn: newTurn(), recoverTurn: newTurn(),
	}
	for _, s := range signers {
		a := &account{signer: s, address: s.Address(), send: newTurn(), memos: map[uint64]*memo{}}
		a.status.Address = a.address
		for _, other := range m.accounts {
			if other.address == a.address {
				return nil, fmt.Errorf("account %s given twice", a.address)
			}
		}
		m.accounts = append(m.accounts, a)
	}
	if cfg.IntentsFile != "" {
		disk, err := cfg.OpenDisk(cfg.IntentsFile)
		if err == nil {
			m.file, err = newIntentsFile(disk)
		}
		if err != nil {
			return nil, fmt.Errorf("open intents file: %w", err)
		}
	}
	return m, nil
}

// Close releases the intents file. Call it after Run has returned.
func (m *TxManager) Close() error {
	if m.file == nil {
		return nil
	}
	return m.file.close()
}

// pick chooses the account of a group by rendezvous hashing: the choice is the
// same in every instance, and another key moves few groups.
func (m *TxManager) pick(group string) *account {
	var best *account
	var top []byte
	for _, a := range m.accounts {
		score := crypto.Keccak256([]byte(group), a.address[:])
		if best == nil || bytes.Compare(score, top) > 0 {
			best, top = a, score
		}
	}
	return best
}

// Send implements chains.Sender. Besides the errors named there it returns
// chains.ErrBusy, chains.ErrStale, chains.ErrFunds and ErrFees; after any of them
// nothing is recorded. After a nil error the intent is in the journal, and the
// loop sees it through whatever happens to this process.
func (m *TxManager) Send(ctx context.Context, tx chains.Tx) error {
	if err := m.check(tx); err != nil {
		return err
	}
	if err := m.recover(ctx); err != nil {
		return fmt.Errorf("replay the intents file: %w", err)
	}
	a := m.pick(tx.Group)

	// An undecided intent of this key answers first: simulating on top of it
	// would fail on its own effect.
	live, err := m.journal.Live(ctx, m.client.ChainID(), a.address)
	if err != nil {
		return fmt.Errorf("read live intents: %w", err)
	}
	for _, in := range live {
		if in.Key == tx.Key {
			return nil
		}
		for _, member := range tx.Members {
			if slices.Contains(in.Members, member) {
				return chains.ErrBusy
			}
		}
	}
	if len(live) >= m.cfg.MaxInFlight {
		return chains.ErrBusy
	}

	if err := m.closed(); err != nil {
		return err
	}
	fees, nonce, err := m.prepare(ctx, a, &tx, live)
	if err != nil {
		return err
	}
	return m.commit(ctx, a, tx, fees, nonce)
}

// closed is chains.ErrUnavailable, and why, while nothing new may be sent.
func (m *TxManager) closed() error {
	if m.cfg.Gate == nil {
		return nil
	}
	if err := m.cfg.Gate(); err != nil {
		return fmt.Errorf("no new transaction on %s: %w: %w", m.client.Name(), err, chains.ErrUnavailable)
	}
	return nil
}

func (m *TxManager) check(tx chains.Tx) error {
	switch {
	case tx.Key == "":
		return errors.New("[BUG] transaction without a key")
	case len(tx.Members) > 0 && tx.Fence == (chains.Fence{}):
		return fmt.Errorf("[BUG] transaction %s has members but no fence", tx.Key)
	case tx.Value != nil && (tx.Value.Sign() < 0 || tx.Value.BitLen() > 256):
		return fmt.Errorf("[BUG] transaction %s has value %s", tx.Key, tx.Value)
	case len(tx.Data) > m.cfg.MaxDataSize:
		return fmt.Errorf("transaction %s: %w: %d bytes of data, limit %d", tx.Key, chains.ErrTooLarge, len(tx.Data), m.cfg.MaxDataSize)
	case tx.Gas > m.cfg.MaxGas:
		return fmt.Errorf("transaction %s wants %d gas, limit %d", tx.Key, tx.Gas, m.cfg.MaxGas)
	}
	return nil
}

// prepare simulates, prices and checks the funds, all before a nonce is taken.
func (m *TxManager) prepare(ctx context.Context, a *account, tx *chains.Tx, live []chains.Intent) (price, uint64, error) {
	var (
		fees    Fees
		nonce   uint64
		balance *big.Int
		group   errgroup.Group
		gas     = tx.Gas
	)
	group.Go(func() (err error) { fees, err = m.currentFees(ctx); return err })
	group.Go(func() (err error) { nonce, balance, err = m.funds(ctx, a); return err })
	var simulated error
	if tx.Gas == 0 {
		gas, simulated = m.estimate(ctx, CallArg{From: a.address, To: tx.To, Data: tx.Data, Value: tx.Value}, tx.GasCap)
	}
	if err := group.Wait(); err != nil {
		return price{}, 0, err
	}
	if simulated != nil {
		if errors.Is(simulated, chains.ErrReverted) && m.tooFresh(tx.Fence.Lane, live) {
			return price{}, 0, fmt.Errorf("simulated before the pending block could show the transaction ahead: %w", chains.ErrUnavailable)
		}
		return price{}, 0, fmt.Errorf("simulate: %w", simulated)
	}
	if tx.Gas == 0 && tx.Estimated != nil {
		tx.Estimated(gas)
	}
	tx.Gas = gas

	p, ok := m.policy.first(&fees)
	if !ok {
		return price{}, 0, ErrFees
	}
	need := cost(gas, p.feeCap, tx.Value)
	for _, in := range live {
		if last := lastAttempt(in); last != nil && in.State != chains.IntentIncluded {
			need.Add(need, cost(in.Gas, last.FeeCapWei, in.Value))
		}
	}
	poor := balance.Cmp(need) < 0
	a.note(func(s *AccountStatus) { s.LowFunds = poor })
	if poor {
		return price{}, 0, fmt.Errorf("account %s on %s: %w", a.address, m.client.Name(), chains.ErrFunds)
	}
	return p, nonce, nil
}

// tooFresh says whether a transaction of the same lane was sent so lately that
// the node's pending block need not show it yet.
func (m *TxManager) tooFresh(lane string, live []chains.Intent) bool {
	if lane == "" {
		return false
	}
	for _, in := range live {
		last := lastAttempt(in)
		if in.Fence.Lane != lane || in.State == chains.IntentIncluded {
			continue
		}
		if last == nil || m.now().Sub(last.SentAt) < m.cfg.PendingLag {
			return true
		}
	}
	return false
}

// estimate simulates at the pending block and adds the margin, up to the cap.
func (m *TxManager) estimate(ctx context.Context, call CallArg, gasCap uint64) (uint64, error) {
	limit := m.cfg.MaxGas
	if gasCap > 0 {
		limit = min(limit, gasCap)
	}
	gas, err := m.client.EstimateGas(ctx, call, AtPending)
	if err != nil {
		return 0, err
	}
	if gas > limit {
		return 0, fmt.Errorf("%w: %d, limit %d", chains.ErrGasLimit, gas, limit)
	}
	return min(gas+gas*uint64(m.cfg.GasMargin)/100, limit), nil
}

// commit takes the nonce and does what must follow it. From the reservation on
// the answer is nil: the loop finishes what is left undone here.
func (m *TxManager) commit(ctx context.Context, a *account, tx chains.Tx, fees price, chainNonce uint64) error {
	if err := a.send.take(ctx); err != nil {
		return fmt.Errorf("wait for the account: %w", err)
	}
	defer a.send.give()
	in, existing, err := m.journal.Reserve(ctx, m.client.ChainID(), a.address, tx, chainNonce, m.cfg.MaxInFlight)
	if err != nil {
		return fmt.Errorf("reserve a nonce: %w", err)
	}
	if existing {
		return nil
	}
	m.cfg.Metrics.Tx.WithLabelValues(m.client.Name(), string(chains.IntentReserved)).Inc()
	// A crash here leaves a nonce without bytes: the loop signs the payload, or
	// a no-op if it has become pointless.
	crash.At("txm.after_reserve")

	if err := m.attempt(ctx, a, in, fees, false); err != nil {
		m.log.WarnContext(ctx, "intent recorded, not sent yet; will retry", "key", tx.Key, "nonce", in.Nonce, "error", err)
	}
	return nil
}

// attempt signs, stores and broadcasts, in this order. The caller holds
// a.send.
func (m *TxManager) attempt(ctx context.Context, a *account, in chains.Intent, fees price, noOp bool) error {
	signed, err := m.sign(ctx, a, in, fees, noOp)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	// A crash here loses bytes nobody has seen; signing again is safe.
	crash.At("txm.after_sign")

	if m.file != nil {
		if err := m.file.append(in, signed); err != nil {
			return fmt.Errorf("append to the intents file: %w", err)
		}
	}
	if err := m.journal.SaveAttempt(ctx, in, signed); err != nil {
		return fmt.Errorf("store attempt: %w", err)
	}
	// A crash here leaves stored bytes that may not have been sent: the loop
	// sends them.
	crash.At("txm.after_store")

	m.broadcast(ctx, a, in.Nonce, signed)
	crash.At("txm.after_broadcast")
	return nil
}

// sign makes one attempt and checks what the signer returned: it may be
// another process.
func (m *TxManager) sign(ctx context.Context, a *account, in chains.Intent, fees price, noOp bool) (chains.Attempt, error) {
	chainID := new(big.Int).SetUint64(uint64(m.client.ChainID()))
	body := &types.DynamicFeeTx{
		ChainID: chainID, Nonce: in.Nonce, GasTipCap: fees.tip, GasFeeCap: fees.feeCap,
		Gas: in.Gas, To: &in.To, Value: orZero(in.Value), Data: in.Data,
	}
	if noOp {
		gas, err := m.client.EstimateGas(ctx, CallArg{From: a.address, To: a.address}, AtLatest)
		if err != nil {
			return chains.Attempt{}, fmt.Errorf("estimate a no-op: %w", err)
		}
		to := a.address
		body.To, body.Value, body.Data, body.Gas = &to, new(big.Int), nil, min(gas+gas*uint64(m.cfg.GasMargin)/100, m.cfg.MaxGas)
	} else if err := samePayload(in); err != nil {
		return chains.Attempt{}, err
	}
	want := types.NewTx(body)
	tx, err := a.signer.SignTx(want, chainID)
	if err != nil {
		return chains.Attempt{}, err
	}
	signer := types.LatestSignerForChainID(chainID)
	from, err := types.Sender(signer, tx)
	if err != nil || from != a.address || signer.Hash(tx) != signer.Hash(want) {
		return chains.Attempt{}, fmt.Errorf("[BUG] signer of %s signed something else", a.address)
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		return chains.Attempt{}, err
	}
	return chains.Attempt{Hash: tx.Hash(), Raw: raw, TipWei: fees.tip, FeeCapWei: fees.feeCap, NoOp: noOp, SentAt: m.now()}, nil
}

// samePayload checks an intent against what was signed for it before: a
// replacement differs in its fees only, whatever became of the journal.
func samePayload(in chains.Intent) error {
	for _, a := range in.Attempts {
		var tx types.Transaction
		if a.NoOp || len(a.Raw) == 0 || tx.UnmarshalBinary(a.Raw) != nil {
			continue
		}
		if tx.To() == nil || *tx.To() != in.To || !bytes.Equal(tx.Data(), in.Data) || tx.Value().Cmp(orZero(in.Value)) != 0 {
			return fmt.Errorf("[BUG] journal's payload of nonce %d is not what was signed for it", in.Nonce)
		}
	}
	return nil
}

// broadcast sends stored bytes. No answer of the node decides anything; it
// only tells what to try next.
func (m *TxManager) broadcast(ctx context.Context, a *account, nonce uint64, at chains.Attempt) {
	if len(at.Raw) == 0 {
		// A journal that lost the bytes kept the hash: its receipt is still asked
		// for, and a bump signs anew.
		m.log.WarnContext(ctx, "journal has no bytes of an attempt", "account", a.address, "nonce", nonce, "hash", at.Hash)
		return
	}
	err := m.client.SendRaw(ctx, at.Raw)
	class := ClassOf(err)
	a.mu.Lock()
	memo := a.memo(nonce)
	switch class {
	case ClassTransport, ClassTimeout, ClassRateLimited, ClassCanceled, ClassUnknown:
		// Perhaps sent, perhaps not: the next look sends it again.
		memo.lastSent = time.Time{}
	default:
		memo.lastSent = m.now()
	}
	memo.underpriced = class == ClassUnderpriced
	if class == ClassFunds {
		a.status.LowFunds = true
	}
	a.mu.Unlock()
	switch class {
	case "", ClassAlreadyKnown, ClassNonceLow:
		// Low: ours or foreign; the receipts of all hashes will tell.
	default:
		m.log.InfoContext(ctx, "node did not take a transaction; will retry", "account", a.address, "nonce", nonce, "hash", at.Hash, "error", err)
	}
}

// memo is the memory of one nonce; a.mu is held.
func (a *account) memo(nonce uint64) *memo {
	m, ok := a.memos[nonce]
	if !ok {
		m = &memo{}
		a.memos[nonce] = m
	}
	return m
}

func (a *account) note(f func(*AccountStatus)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(&a.status)
}

// cacheFor is how long Send reuses fees, nonce and balance.
const cacheFor = time.Second

func (m *TxManager) currentFees(ctx context.Context) (Fees, error) {
	if err := m.feesTurn.take(ctx); err != nil {
		return Fees{}, fmt.Errorf("wait for fees: %w", err)
	}
	defer m.feesTurn.give()
	if m.fees.BaseFee != nil && m.now().Sub(m.feesAt) < cacheFor {
		return m.fees, nil
	}
	fees, err := m.client.Fees(ctx)
	if err != nil {
		return Fees{}, fmt.Errorf("read fees: %w", err)
	}
	m.fees, m.feesAt = fees, m.now()
	return fees, nil
}

// funds reads the account's nonce and balance in the newest block. A nonce
// that is stale by a second does no harm: the journal knows our own newer ones.
func (m *TxManager) funds(ctx context.Context, a *account) (uint64, *big.Int, error) {
	a.mu.Lock()
	if a.balance != nil && m.now().Sub(a.nonceAt) < cacheFor && m.now().Sub(a.balanceAt) < cacheFor {
		defer a.mu.Unlock()
		return a.nonce, a.balance, nil
	}
	a.mu.Unlock()
	nonce, err := m.client.NonceAt(ctx, a.address, AtLatest)
	if err != nil {
		return 0, nil, fmt.Errorf("read nonce: %w", err)
	}
	balance, err := m.client.Balance(ctx, a.address, AtLatest)
	if err != nil {
		return 0, nil, fmt.Errorf("read balance: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.nonce, a.nonceAt, a.balance, a.balanceAt = nonce, m.now(), balance, m.now()
	a.status.BalanceWei = new(big.Int).Set(balance)
	return nonce, balance, nil
}

// wake asks the loop for an early look.
func (m *TxManager) wake() {
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

func cost(gas uint64, feeCap, value *big.Int) *big.Int {
	out := new(big.Int).Mul(new(big.Int).SetUint64(gas), orZero(feeCap))
	return out.Add(out, orZero(value))
}

func orZero(n *big.Int) *big.Int {
	if n == nil {
		return new(big.Int)
	}
	return n
}

var _ chains.Sender = (*TxManager)(nil)
