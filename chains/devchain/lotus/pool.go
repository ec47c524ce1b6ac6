package lotus

import (
	"errors"
	"fmt"
	"math/big"
	"sync"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/params"
	"github.com/filecoin-project/lotus/chain/types/ethtypes"
	"github.com/holiman/uint256"
)

// PoolRules are what nodes differ in about the messages they take.
type PoolRules struct {
	// ReplacePercent of the old premium, and 1 attoFIL, is what a replacement
	// must offer: 110, and 125 before v1.21.
	ReplacePercent int64
	// MaxPending messages of one sender.
	MaxPending int
	// MaxGap is how far a nonce may be ahead of the next one; negative: any.
	MaxGap int
}

func defaultPoolRules() PoolRules { return PoolRules{ReplacePercent: 110, MaxPending: 100} }

// pool holds the messages that no tipset has yet, one per sender and nonce.
type pool struct {
	root   *Root
	signer types.Signer
	rules  params.Rules

	mu       sync.Mutex
	policy   PoolRules
	premium  *big.Int // least that a tipset takes
	bySender map[common.Address]map[uint64]*pending
	byHash   map[common.Hash]*pending
	replaced map[common.Hash]common.Hash // by what a replaced message was replaced
	arrivals uint64
}

type pending struct {
	tx      *types.Transaction
	from    common.Address
	arrived uint64
}

func newPool(r *Root) *pool {
	id := new(big.Int).SetUint64(uint64(r.cfg.ChainID))
	return &pool{
		root: r, signer: types.LatestSignerForChainID(id), policy: defaultPoolRules(), premium: new(big.Int),
		rules:    params.Rules{IsHomestead: true, IsIstanbul: true, IsShanghai: true, IsPrague: true},
		bySender: map[common.Address]map[uint64]*pending{}, byHash: map[common.Hash]*pending{}, replaced: map[common.Hash]common.Hash{},
	}
}

// add takes a signed transaction, or says in Lotus' words why not.
func (p *pool) add(tx *types.Transaction) error {
	if tx.Type() != types.LegacyTxType && tx.Type() != types.DynamicFeeTxType {
		if tx.Type() == types.AccessListTxType {
			return errors.New("EIP-2930 transaction is not supported")
		}
		return errors.New("unsupported transaction type")
	}
	if tx.Protected() && tx.ChainId().Cmp(p.signer.ChainID()) != 0 {
		return fmt.Errorf("invalid chain id: %d", tx.ChainId())
	}
	from, err := types.Sender(p.signer, tx)
	if err != nil {
		return fmt.Errorf("signature verification failed: %w", err)
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	head, err := p.root.evmHeader(p.root.view().head())
	if err != nil {
		return err
	}
	state, err := p.root.chain.State(head)
	if err != nil {
		return fmt.Errorf("failed to look up actor state nonce: %w", err)
	}
	first := state.GetNonce(from)
	if first > tx.Nonce() {
		return fmt.Errorf("minimum expected nonce is %d, got %d: message nonce too low", first, tx.Nonce())
	}
	if err := p.valid(tx, from); err != nil {
		return fmt.Errorf("verify msg failed: message will not be included in a block: %w", err)
	}
	if balance := state.GetBalance(from).ToBig(); balance.Cmp(tx.Cost()) < 0 {
		return fmt.Errorf("failed to check balance: not enough funds (required: %s, balance: %s): not enough funds to execute transaction", fil(tx.Cost()), fil(balance))
	}
	if err := p.insert(tx, from, first); err != nil {
		return fmt.Errorf("failed to add locked: %w", err)
	}
	return nil
}

// valid holds a message against the rules for inclusion.
func (p *pool) valid(tx *types.Transaction, from common.Address) error {
	if tx.GasFeeCapIntCmp(tx.GasTipCap()) < 0 {
		return errors.New("'GasFeeCap' less than 'GasPremium'")
	}
	if tx.Gas() > blockGas {
		return fmt.Errorf("'GasLimit' field cannot be greater than a block's gas limit (%d > %d)", tx.Gas(), uint64(blockGas))
	}
	value, overflow := uint256.FromBig(tx.Value())
	if overflow {
		return errors.New("'Value' field cannot be greater than total filecoin supply")
	}
	least, err := core.IntrinsicGas(tx.Data(), nil, nil, from, tx.To(), value, p.rules)
	if err != nil {
		return err
	}
	floor, err := core.FloorDataGas(p.rules, from, tx.To(), value, tx.Data(), nil)
	if err != nil {
		return err
	}
	if least = max(least, floor); tx.Gas() < least {
		return fmt.Errorf("'GasLimit' field cannot be less than the cost of storing a message on chain %d < %d", tx.Gas(), least)
	}
	return nil
}

// insert puts a message into its place, where the rules let it. mu is held.
func (p *pool) insert(tx *types.Transaction, from common.Address, first uint64) error {
	lane := p.bySender[from]
	next := nextNonce(lane, first)
	if gap := p.policy.MaxGap; gap >= 0 && tx.Nonce() > next+uint64(gap) {
		return fmt.Errorf("message nonce has too big a gap from expected nonce (Nonce: %d, nextNonce: %d): unfulfilled nonce gap", tx.Nonce(), next)
	}
	old, taken := lane[tx.Nonce()]
	switch {
	case taken && old.tx.Hash() == tx.Hash():
		return fmt.Errorf("message from %s with nonce %d already in mpool: message with nonce already exists", delegated(from), tx.Nonce())
	case taken:
		least := minReplace(old.tx.GasTipCap(), p.policy.ReplacePercent)
		if tx.GasTipCapIntCmp(least) < 0 {
			return fmt.Errorf("message from %s with nonce %d already in mpool, increase GasPremium to %s from %s to trigger replace by fee: replace by fee has too low GasPremium",
				delegated(from), tx.Nonce(), least, tx.GasTipCap())
		}
		delete(p.byHash, old.tx.Hash())
		p.replaced[old.tx.Hash()] = tx.Hash()
	case len(lane) >= p.policy.MaxPending:
		return errors.New("too many pending messages for actor")
	}
	if lane == nil {
		lane = map[uint64]*pending{}
		p.bySender[from] = lane
	}
	p.arrivals++
	e := &pending{tx: tx, from: from, arrived: p.arrivals}
	lane[tx.Nonce()], p.byHash[tx.Hash()] = e, e
	return nil
}

// minReplace is the least premium of a replacement.
func minReplace(premium *big.Int, percent int64) *big.Int {
	least := new(big.Int).Mul(premium, big.NewInt(percent))
	least.Div(least, big.NewInt(100))
	return least.Add(least, common.Big1)
}

func nextNonce(lane map[uint64]*pending, first uint64) uint64 {
	for lane[first] != nil {
		first++
	}
	return first
}

// nonce is the next one of a sender, its messages in the pool counted.
func (p *pool) nonce(from common.Address, first uint64) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return nextNonce(p.bySender[from], first)
}

// get is a message in the pool, nil when it is not there.
func (p *pool) get(hash common.Hash) *types.Transaction {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.byHash[hash]; e != nil {
		return e.tx
	}
	return nil
}

// successor is the message that took a replaced one's place, the last of them.
func (p *pool) successor(hash common.Hash) (common.Hash, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next, ok := p.replaced[hash]
	for ok {
		hash = next
		next, ok = p.replaced[hash]
		if !ok {
			return hash, true
		}
	}
	return common.Hash{}, false
}

// drop forgets a message, as a node does that restarts.
func (p *pool) drop(tx *types.Transaction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove(tx.Hash())
}

func (p *pool) remove(hash common.Hash) {
	e := p.byHash[hash]
	if e == nil {
		return
	}
	delete(p.byHash, hash)
	delete(p.bySender[e.from], e.tx.Nonce())
	if len(p.bySender[e.from]) == 0 {
		delete(p.bySender, e.from)
	}
}

// applied takes the messages of a new tipset out, and what had their nonces.
func (p *pool) applied(t *tip) {
	block := p.root.chain.Block(t.block)
	if block == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, tx := range block.Transactions() {
		from, err := types.Sender(p.signer, tx)
		if err != nil {
			continue
		}
		p.remove(tx.Hash())
		if other := p.bySender[from][tx.Nonce()]; other != nil {
			p.remove(other.tx.Hash())
		}
	}
}

// reverted puts the messages of a tipset that is no more back.
func (p *pool) reverted(t *tip) {
	block := p.root.chain.Block(t.block)
	if block == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, tx := range block.Transactions() {
		from, err := types.Sender(p.signer, tx)
		if err != nil || p.bySender[from][tx.Nonce()] != nil {
			continue
		}
		if p.bySender[from] == nil {
			p.bySender[from] = map[uint64]*pending{}
		}
		p.arrivals++
		e := &pending{tx: tx, from: from, arrived: p.arrivals}
		p.bySender[from][tx.Nonce()], p.byHash[tx.Hash()] = e, e
	}
}

// SetPoolRules changes what the pool takes from now on.
func (r *Root) SetPoolRules(rules PoolRules) {
	r.pool.mu.Lock()
	defer r.pool.mu.Unlock()
	r.pool.policy = rules
}

// SetMinPremium leaves messages that pay miners less, in attoFIL per gas,
// waiting in the pool: the market has gone up.
func (r *Root) SetMinPremium(atto *big.Int) {
	r.pool.mu.Lock()
	defer r.pool.mu.Unlock()
	r.pool.premium = new(big.Int).Set(atto)
}

// usual is the premium that the next tipset will take.
func (p *pool) usual() *big.Int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.premium.Cmp(big.NewInt(minPremium)) > 0 {
		return new(big.Int).Set(p.premium)
	}
	return big.NewInt(minPremium)
}

// DropPending empties the pool, as a node does that restarts without its store.
func (r *Root) DropPending() {
	r.pool.mu.Lock()
	defer r.pool.mu.Unlock()
	clear(r.pool.bySender)
	clear(r.pool.byHash)
}

// delegated is an address in Filecoin's writing.
func delegated(a common.Address) string {
	f, err := ethtypes.EthAddress(a).ToFilecoinAddress()
	if err != nil {
		return a.Hex()
	}
	return f.String()
}

// fil is an amount in Lotus' writing.
func fil(atto *big.Int) string {
	return new(big.Rat).SetFrac(atto, big.NewInt(1e18)).FloatString(18) + " FIL"
}
