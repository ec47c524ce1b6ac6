package sim

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"sync"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/tracing"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/params"
	"github.com/holiman/uint256"
)

const blockGas = 60_000_000

var coinbase = common.HexToAddress("0xc0ffee")

// block is one height of a chain.
type block struct {
	number, time uint64
	hash, parent common.Hash
	bloom        types.Bloom
	baseFee      *big.Int
	burnt        *big.Int // base fee burnt up to here, wei
	txs          []*types.Transaction
	receipts     []*types.Receipt
	logs         []*types.Log
	state        *state.StateDB // after it; shared with empty blocks above
	head         *types.Header
	header       []byte   // JSON, with all that goes into the hash; made when it is asked for
	brief        []byte   // JSON, without what only that is for
	wire         [][]byte // logs in JSON
}

func (b *block) gasUsed() (sum uint64) {
	for _, r := range b.receipts {
		sum += r.GasUsed
	}
	return sum
}

// place is where a transaction was mined.
type place struct {
	block *block
	index int
}

// chain is one chain and its node: blocks, pool, state, and an EVM that runs
// the contracts. All methods are safe for concurrent use; none waits.
type chain struct {
	mu     sync.Mutex
	name   string
	id     uint64
	signer types.Signer
	config *params.ChainConfig
	evm    *vm.EVM
	depth  uint64 // finalized = newest − depth
	fork   uint64 // tells the hashes of forks apart

	blocks []*block // canonical, by height
	byHash map[common.Hash]*block
	mined  map[common.Hash]place
	pool   map[common.Address]map[uint64]*types.Transaction
	// drops makes the node accept the relayer's transactions and forget them.
	drops bool
	// stubs are contracts that refuse everything, by address, with the code that
	// stands there otherwise.
	stubs map[common.Address][]byte

	pending     *state.StateDB // head and pool, nil when either changed
	pendingBase *block
	baseFee     *big.Int
	tip         *big.Int
}

// newChain makes a chain of one block with this state.
func newChain(name string, config *params.ChainConfig, db *state.StateDB, time uint64) *chain {
	c := &chain{
		name: name, id: config.ChainID.Uint64(), signer: types.LatestSigner(config), config: config,
		byHash: map[common.Hash]*block{}, mined: map[common.Hash]place{}, pool: map[common.Address]map[uint64]*types.Transaction{},
		stubs: map[common.Address][]byte{}, baseFee: big.NewInt(1_000_000_000), tip: big.NewInt(1_000_000),
	}
	c.newEVM()
	c.seal(&block{time: time, state: db, burnt: new(big.Int)})
	return c
}

func (c *chain) newEVM() {
	random := common.Hash{}
	c.evm = vm.NewEVM(vm.BlockContext{
		CanTransfer: core.CanTransfer, Transfer: core.Transfer, GetHash: c.hashAt, GasLimit: blockGas,
		BlockNumber: new(big.Int), Difficulty: new(big.Int), BaseFee: big.NewInt(1), BlobBaseFee: big.NewInt(1), Random: &random,
		Coinbase: coinbase,
	}, nil, c.config, vm.Config{})
	c.evm.SetJumpDestCache(jumpDests)
}

// clone is an independent chain with the same past. Blocks are shared, they
// never change.
func (c *chain) clone() *chain {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := &chain{
		name: c.name, id: c.id, signer: c.signer, config: c.config, depth: c.depth, blocks: slices.Clone(c.blocks),
		byHash: maps.Clone(c.byHash), mined: maps.Clone(c.mined), pool: map[common.Address]map[uint64]*types.Transaction{},
		stubs: map[common.Address][]byte{}, baseFee: c.baseFee, tip: c.tip,
	}
	n.newEVM()
	// A call marks what it reads, so each chain has states of its own.
	top := *n.blocks[len(n.blocks)-1]
	top.state = top.state.Copy()
	for i := len(n.blocks) - 1; i >= 0 && i >= len(n.blocks)-8; i-- {
		b := *n.blocks[i]
		b.state = top.state
		if i < len(n.blocks)-1 {
			b.state = n.blocks[i].state.Copy()
		}
		n.blocks[i], n.byHash[b.hash] = &b, &b
	}
	return n
}

// sharedJumps is the analysis of code, which is the same in every run.
type sharedJumps struct{ m sync.Map }

func (s *sharedJumps) Load(h common.Hash) (vm.BitVec, bool) {
	v, ok := s.m.Load(h)
	if !ok {
		return nil, false
	}
	return v.(vm.BitVec), true
}

func (s *sharedJumps) Store(h common.Hash, v vm.BitVec) { s.m.Store(h, v) }

var jumpDests = &sharedJumps{}

func (c *chain) top() *block { return c.blocks[len(c.blocks)-1] }

// final is the newest final block.
func (c *chain) final() *block {
	n := uint64(len(c.blocks) - 1)
	return c.blocks[n-min(n, c.depth)]
}

func (c *chain) hashAt(n uint64) common.Hash {
	if n < uint64(len(c.blocks)) {
		return c.blocks[n].hash
	}
	return common.Hash{}
}

// seal gives a block its place at the top.
func (c *chain) seal(b *block) {
	b.number = uint64(len(c.blocks))
	if b.number > 0 {
		b.parent = c.top().hash
	}
	var ids []byte
	for _, tx := range b.txs {
		h := tx.Hash()
		ids = append(ids, h[:]...)
	}
	if b.baseFee == nil {
		b.baseFee = c.baseFee
	}
	b.bloom = types.CreateBloom(&types.Receipt{Logs: b.logs})
	head := &types.Header{
		Number: new(big.Int).SetUint64(b.number), ParentHash: b.parent, Time: b.time, BaseFee: b.baseFee, GasLimit: blockGas, GasUsed: b.gasUsed(),
		Difficulty: new(big.Int), Bloom: b.bloom, Coinbase: coinbase, TxHash: crypto.Keccak256Hash(ids),
		Extra: binary.BigEndian.AppendUint64(nil, c.fork), UncleHash: types.EmptyUncleHash, ReceiptHash: types.EmptyReceiptsHash,
	}
	b.hash = head.Hash()
	for _, r := range b.receipts {
		r.BlockHash, r.BlockNumber = b.hash, new(big.Int).SetUint64(b.number)
	}
	for i, l := range b.logs {
		l.BlockNumber, l.BlockHash, l.BlockTimestamp, l.Index = b.number, b.hash, b.time, uint(i)
		b.wire = append(b.wire, logJSON(l))
	}
	b.head, b.brief = head, briefJSON(head, b.hash)
	c.blocks = append(c.blocks, b)
	c.byHash[b.hash] = b
	for i, tx := range b.txs {
		c.mined[tx.Hash()] = place{b, i}
	}
	c.pending = nil
}

// at points the EVM at the block after parent, or at parent itself for calls.
func (c *chain) at(number, time uint64, baseFee *big.Int, db *state.StateDB, free bool) {
	c.evm.Context.BlockNumber = new(big.Int).SetUint64(number)
	c.evm.Context.Time = time
	c.evm.Context.BaseFee = baseFee
	c.evm.Config.NoBaseFee = free
	c.evm.SetStateDB(db)
}

func (c *chain) rules(b *block) params.Rules {
	return c.config.Rules(new(big.Int).SetUint64(b.number), true, b.time)
}

// mine makes one block of what can be mined of the pool and returns it.
func (c *chain) mine(time uint64) *block {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mineLocked(time)
}

func (c *chain) mineLocked(time uint64) *block {
	parent := c.top()
	b := &block{time: max(time, parent.time), baseFee: c.baseFee, burnt: parent.burnt, state: parent.state}
	db := c.stubbed(parent.state)
	number := uint64(len(c.blocks))
	b.number = number
	left := uint64(blockGas)
	for _, from := range slices.SortedFunc(maps.Keys(c.pool), common.Address.Cmp) {
		for {
			next := c.stateNonce(db, parent, from)
			tx := c.pool[from][next]
			if tx == nil || tx.GasFeeCap().Cmp(c.baseFee) < 0 || tx.Gas() > left {
				break
			}
			if db == nil {
				db = parent.state.Copy()
			}
			r, err := c.apply(db, tx, number, b.time, len(b.txs))
			delete(c.pool[from], next)
			if err != nil {
				break // cannot pay any more: gone from the pool
			}
			b.txs, b.receipts, b.logs = append(b.txs, tx), append(b.receipts, r), append(b.logs, r.Logs...)
			left -= tx.Gas()
			burn := new(big.Int).Mul(c.baseFee, new(big.Int).SetUint64(r.GasUsed))
			b.burnt = burn.Add(burn, b.burnt)
		}
		if len(c.pool[from]) == 0 {
			delete(c.pool, from)
		}
	}
	if db != nil {
		b.state = db
	}
	c.seal(b)
	return b
}

func (c *chain) stateNonce(db *state.StateDB, parent *block, from common.Address) uint64 {
	if db == nil {
		db = parent.state
	}
	return db.GetNonce(from)
}

// stubbed is a copy of the state with the stubs put in or taken out, nil when
// there is nothing to change.
func (c *chain) stubbed(db *state.StateDB) *state.StateDB {
	var out *state.StateDB
	for _, a := range slices.SortedFunc(maps.Keys(c.stubs), common.Address.Cmp) {
		want := c.stubs[a]
		if slices.Equal(db.GetCode(a), want) {
			continue
		}
		if out == nil {
			out = db.Copy()
		}
		out.SetCode(a, want, tracing.CodeChangeUnspecified)
	}
	if out != nil {
		out.Finalise(c.rules(c.top()))
	}
	return out
}

// refusing is the code of a contract that reverts whatever it is asked.
var refusing = []byte{0x5f, 0x5f, 0xfd}

// stub makes a contract refuse everything from the next block on, or lets it
// work again.
func (c *chain) stub(a common.Address, on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !on {
		if code, ok := originals.Load(a); ok {
			c.stubs[a] = code.([]byte)
		}
		return
	}
	if code := c.top().state.GetCode(a); !slices.Equal(code, refusing) {
		originals.Store(a, code)
	}
	c.stubs[a] = refusing
}

// originals are the codes of contracts that are stubbed somewhere.
var originals sync.Map

// apply runs one transaction on db.
func (c *chain) apply(db *state.StateDB, tx *types.Transaction, number, time uint64, index int) (*types.Receipt, error) {
	msg, err := core.TransactionToMessage(tx, c.signer, c.baseFee)
	if err != nil {
		return nil, err
	}
	db.SetTxContext(tx.Hash(), index, 0)
	c.at(number, time, c.baseFee, db, false)
	before := db.Snapshot()
	res, err := core.ApplyMessage(c.evm, msg, core.NewGasPool(blockGas))
	if err != nil {
		db.RevertToSnapshot(before)
		return nil, err
	}
	logs := db.GetLogs(tx.Hash(), number, common.Hash{}, time)
	db.Finalise(c.config.Rules(c.evm.Context.BlockNumber, true, time))
	r := &types.Receipt{TxHash: tx.Hash(), GasUsed: res.UsedGas, Status: types.ReceiptStatusSuccessful, TransactionIndex: uint(index)}
	if res.Failed() {
		r.Status = types.ReceiptStatusFailed
	} else {
		r.Logs = slices.Clone(logs)
	}
	if msg.To == nil {
		r.ContractAddress = crypto.CreateAddress(msg.From, tx.Nonce())
	}
	return r, nil
}

// reorg replaces the newest blocks by as many others. The transactions of the
// lost blocks go back to the pool; those that skip holds stay away until they
// are sent again.
func (c *chain) reorg(depth int, lose func(*types.Transaction) bool) []*types.Transaction {
	c.mu.Lock()
	defer c.mu.Unlock()
	depth = min(depth, len(c.blocks)-1)
	c.fork++
	lost := slices.Clone(c.blocks[len(c.blocks)-depth:])
	c.blocks = c.blocks[:len(c.blocks)-depth]
	var all []*types.Transaction
	for _, b := range lost {
		delete(c.byHash, b.hash)
		for _, tx := range b.txs {
			delete(c.mined, tx.Hash())
			all = append(all, tx)
			if !lose(tx) {
				c.put(tx)
			}
		}
	}
	for _, b := range lost {
		c.mineLocked(b.time)
	}
	return all
}

func (c *chain) sender(tx *types.Transaction) common.Address {
	from, err := types.Sender(c.signer, tx)
	if err != nil {
		return common.Address{}
	}
	return from
}

func (c *chain) put(tx *types.Transaction) {
	from := c.sender(tx)
	if c.pool[from] == nil {
		c.pool[from] = map[uint64]*types.Transaction{}
	}
	c.pool[from][tx.Nonce()] = tx
	c.pending = nil
}

// accept is the pool's gate, with geth's rules and words.
func (c *chain) accept(tx *types.Transaction) error {
	from := c.sender(tx)
	if from == (common.Address{}) || tx.ChainId().Uint64() != c.id {
		return fmt.Errorf("invalid sender")
	}
	if old := c.pool[from][tx.Nonce()]; old != nil {
		if old.Hash() == tx.Hash() {
			return fmt.Errorf("already known")
		}
		enough := func(now, was *big.Int) bool {
			want := new(big.Int).Mul(was, big.NewInt(110))
			return now.Cmp(want.Div(want, big.NewInt(100))) >= 0 && now.Cmp(was) > 0
		}
		if !enough(tx.GasTipCap(), old.GasTipCap()) || !enough(tx.GasFeeCap(), old.GasFeeCap()) {
			return fmt.Errorf("replacement transaction underpriced")
		}
	}
	db := c.top().state
	if next := db.GetNonce(from); tx.Nonce() < next {
		return fmt.Errorf("nonce too low: next nonce %d, tx nonce %d", next, tx.Nonce())
	}
	if db.GetBalance(from).ToBig().Cmp(tx.Cost()) < 0 {
		return fmt.Errorf("insufficient funds for gas * price + value")
	}
	if tx.Gas() > blockGas {
		return fmt.Errorf("exceeds block gas limit")
	}
	if !c.drops || from != relayerAt {
		c.put(tx)
	}
	return nil
}

// submit puts a transaction into the pool as any client may.
func (c *chain) submit(tx *types.Transaction) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.accept(tx)
}

// forget empties the pool, as a node that restarts does.
func (c *chain) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.pool)
	c.pending = nil
}

// pendingState is the newest state with the minable pool on top.
func (c *chain) pendingState() *state.StateDB {
	top := c.top()
	if c.pending != nil && c.pendingBase == top {
		return c.pending
	}
	db := top.state
	var own *state.StateDB
	for _, from := range slices.SortedFunc(maps.Keys(c.pool), common.Address.Cmp) {
		for next := db.GetNonce(from); ; next++ {
			tx := c.pool[from][next]
			if tx == nil || tx.GasFeeCap().Cmp(c.baseFee) < 0 {
				break
			}
			if own == nil {
				own = db.Copy()
				db = own
			}
			if _, err := c.apply(own, tx, top.number+1, top.time+1, 0); err != nil {
				break
			}
		}
	}
	c.pending, c.pendingBase = db, top
	return db
}

// message is a call without a transaction.
type message struct {
	from, to common.Address
	value    *uint256.Int
	data     []byte
}

// run executes a call on a state and undoes it.
func (c *chain) run(db *state.StateDB, number, time uint64, m message, gas uint64) (*core.ExecutionResult, error) {
	c.at(number, time, c.baseFee, db, true)
	msg := &core.Message{
		From: m.from, To: &m.to, Value: m.value, GasLimit: gas, Data: m.data,
		GasPrice: new(uint256.Int), GasFeeCap: new(uint256.Int), GasTipCap: new(uint256.Int),
	}
	msg.SkipNonceCheck().SkipEOACheck()
	before := db.Snapshot()
	defer db.RevertToSnapshot(before)
	return core.ApplyMessage(c.evm, msg, nil)
}

// call reads a contract after a block.
func (c *chain) call(b *block, m message) ([]byte, error) {
	res, err := c.run(b.state, b.number, b.time, m, blockGas)
	if err != nil {
		return nil, err
	}
	if res.Failed() {
		return nil, &reverted{res}
	}
	return res.ReturnData, nil
}

// estimate is the least of a few guesses that is enough at the pending block.
func (c *chain) estimate(m message) (uint64, error) {
	db, top := c.pendingState(), c.top()
	try := func(gas uint64) (*core.ExecutionResult, error) { return c.run(db, top.number+1, top.time+1, m, gas) }
	res, err := try(blockGas)
	if err != nil {
		return 0, err
	}
	if res.Failed() {
		return 0, &reverted{res}
	}
	used := res.UsedGas
	for _, guess := range []uint64{used + used/50 + 5000, used + used/50 + 900_000, used + used/50 + 3_000_000} {
		if r, err := try(guess); err == nil && !r.Failed() {
			return guess, nil
		}
	}
	return blockGas, nil
}

// reverted is a call that failed.
type reverted struct{ res *core.ExecutionResult }

func (r *reverted) Error() string { return r.res.Err.Error() }
