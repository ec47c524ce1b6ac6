package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// The model is two chains of Go values that answer the calls the auditor makes
// with the bytes the contracts would: each operation of a contract makes one
// block, and every block keeps the state after it, so that any pair can be
// pinned. It follows the contracts' rules for their counters, not the
// auditor's formulas.

const (
	rootChain, childChain = 1337, 42
	modelPeriod           = 5
	fee                   = 3 // exit fee
)

var (
	addr = func(n byte) common.Address { return common.BytesToAddress([]byte{0xaa, n, n, n}) }
	sub  = flow.Subnet{
		Name: "subnet", RootID: rootChain, ID: childChain, IPC: ipc.NewSubnetID(rootChain, addr(1)), Actor: addr(1),
		Gateway: addr(2), Controller: addr(3), FastWithdrawals: addr(4), FLT: addr(5), USDC: addr(6),
		SubnetGateway: addr(7), Replica: addr(8), Outbox: addr(9), Period: modelPeriod,
	}
	treasury = new(big.Int).Lsh(big.NewInt(1), 100)
	stranger = addr(77)
)

// rootBooks and childBooks are the state of the contracts.
type rootBooks struct {
	preFunded, locked, relocked, unlocked, credited, creditsPaid, quarantined, quarantineReleased, covered int64
	topDown, applied                                                                                       uint64
	topDownHash                                                                                            common.Hash
	cLocked, cRefunded, cRefundsPaid, cReserved, cReservesPaid                                             int64
	received, paid                                                                                         int64
	gatewayFLT, payoutsFLT, controllerUSDC                                                                 int64
	lastCheckpoint                                                                                         int64
	stake                                                                                                  int64
	supply, handlerFLT, kept, spent                                                                        int64 // FLT of Ethereum, see ocean
	nonces                                                                                                 map[common.Address]uint64
}

type batchInfo struct {
	first, count uint64
	hash         common.Hash
}

type childBooks struct {
	preFunded, released, returned, bounced, feesIn, feesOut, credited, creditsPaid int64
	circulating                                                                    int64
	applied, bottomUp                                                              uint64
	appliedHash                                                                    common.Hash
	supply, minted, burnt                                                          int64
	heldFLT                                                                        int64
	gatewayFLT                                                                     int64 // beyond the treasury
	outboxFLT                                                                      int64
	baseFee                                                                        int64 // burnt
	holders                                                                        map[common.Address]int64
	batches                                                                        map[uint64]batchInfo
	nonces                                                                         map[common.Address]uint64
}

type fakeBlock[S any] struct {
	header *types.Header
	state  S
	events []chains.Event
}

// fakeChain is one chain of the model.
type fakeChain[S any] struct {
	id     chains.ID
	blocks []fakeBlock[S]
	head   int
	page   uint64                  // most blocks per answer
	drop   func(chains.Event) bool // events that do not come
	answer func(S, common.Address, *abi.Method, []any) ([]any, error)
	abis   map[common.Address]abi.ABI
	reads  int
	most   int // events of one answer
}

func (c *fakeChain[S]) tip() *fakeBlock[S] { return &c.blocks[len(c.blocks)-1] }

func (c *fakeChain[S]) block(i int) chains.Block {
	h := c.blocks[i].header
	return chains.Block{Number: h.Number.Uint64(), Hash: h.Hash(), Parent: h.ParentHash, Time: h.Time}
}

func (c *fakeChain[S]) ChainID() chains.ID { return c.id }
func (c *fakeChain[S]) StartBlock() uint64 { return 0 }

func (c *fakeChain[S]) Head(context.Context) (chains.Block, error) { return c.block(c.head), nil }

func (c *fakeChain[S]) Events(_ context.Context, q chains.Query) (chains.Block, []chains.Event, error) {
	c.reads++
	to := min(q.To, uint64(c.head))
	if c.page > 0 {
		to = min(to, q.From.Next+c.page-1)
	}
	if q.From.Next > 0 && q.From.Parent != (common.Hash{}) && c.block(int(q.From.Next-1)).Hash != q.From.Parent {
		return chains.Block{}, nil, chains.ErrReorg
	}
	var out []chains.Event
	for n := q.From.Next; n <= to; n++ {
		for _, e := range c.blocks[n].events {
			if c.drop != nil && c.drop(e) {
				continue
			}
			for _, t := range q.Filter.Topics {
				if e.Topics[0] == t {
					e.BlockHash = c.block(int(n)).Hash
					out = append(out, e)
				}
			}
		}
	}
	c.most = max(c.most, len(out))
	return c.block(int(to)), out, nil
}

func (c *fakeChain[S]) at(ref evm.BlockRef) (int, error) {
	raw, err := json.Marshal(ref)
	if err != nil {
		return 0, err
	}
	var pinned struct {
		BlockHash common.Hash `json:"blockHash"`
	}
	if err := json.Unmarshal(raw, &pinned); err != nil {
		return 0, fmt.Errorf("a state that is not pinned by hash: %s", raw)
	}
	for i := range c.blocks {
		if c.block(i).Hash == pinned.BlockHash {
			return i, nil
		}
	}
	return 0, chains.ErrUnavailable
}

func (c *fakeChain[S]) BatchCall(_ context.Context, calls []evm.CallArg, ref evm.BlockRef) ([]evm.CallResult, error) {
	i, err := c.at(ref)
	if err != nil {
		return nil, err
	}
	out := make([]evm.CallResult, len(calls))
	for k, call := range calls {
		out[k].Data, out[k].Err = c.call(c.blocks[i].state, call)
	}
	return out, nil
}

func (c *fakeChain[S]) call(state S, call evm.CallArg) ([]byte, error) {
	parsed, ok := c.abis[call.To]
	if !ok {
		return nil, &chains.RevertError{}
	}
	m, err := parsed.MethodById(call.Data[:4])
	if err != nil {
		return nil, err
	}
	args, err := m.Inputs.Unpack(call.Data[4:])
	if err != nil {
		return nil, err
	}
	values, err := c.answer(state, call.To, m, args)
	if err != nil {
		return nil, err
	}
	return m.Outputs.Pack(values...)
}

// world is both chains.
type world struct {
	root  *fakeRoot
	child *fakeChild
	abis  map[string]abi.ABI

	down      []ipc.IpcEnvelope
	up        []ipc.IpcEnvelope
	epochs    []uint64 // of up
	allowed   uint64   // bottom-up messages in accepted checkpoints
	deposits  map[common.Hash]*modelDeposit
	inflight  map[common.Hash]ipc.Withdrawal // by tracing id
	returned  []ipc.Withdrawal
	unpaid    []modelCredit // withdrawals on the root
	refunds   []modelCredit // deposits on the root
	waiting   []ipc.IpcEnvelope
	outNonce  uint64
	rootOwed  int64 // credits of the gateways
	childOwed int64
}

type modelDeposit struct {
	sender, recipient common.Address
	amount            int64
}

type modelCredit struct {
	id     common.Hash
	token  common.Address
	to     common.Address
	amount int64
}

type fakeRoot struct{ *fakeChain[rootBooks] }

func (r *fakeRoot) NonceAt(_ context.Context, a common.Address, ref evm.BlockRef) (uint64, error) {
	i, err := r.at(ref)
	if err != nil {
		return 0, err
	}
	return r.blocks[i].state.nonces[a], nil
}

type fakeChild struct {
	*fakeChain[childBooks]
	overstated int64 // by the node's count of burnt fees
}

func (c *fakeChild) NonceAt(_ context.Context, a common.Address, ref evm.BlockRef) (uint64, error) {
	i, err := c.at(ref)
	if err != nil {
		return 0, err
	}
	return c.blocks[i].state.nonces[a], nil
}

func (c *fakeChild) Balance(_ context.Context, a common.Address, ref evm.BlockRef) (*big.Int, error) {
	i, err := c.at(ref)
	if err != nil {
		return nil, err
	}
	switch a {
	case sub.SubnetGateway:
		return new(big.Int).Add(treasury, big.NewInt(c.blocks[i].state.gatewayFLT)), nil
	case sub.Outbox:
		return big.NewInt(c.blocks[i].state.outboxFLT), nil
	}
	return nil, fmt.Errorf("balance of %s", a)
}

func (c *fakeChild) Burnt(_ context.Context, height uint64) (*big.Int, error) {
	return big.NewInt(c.blocks[height].state.baseFee + c.overstated), nil
}

func (c *fakeChild) RPC(_ context.Context, result any, method string, args ...any) error {
	if method != "eth_getBlockByNumber" {
		return fmt.Errorf("method %s", method)
	}
	raw, err := c.blocks[uint64(args[0].(hexutil.Uint64))].header.MarshalJSON()
	if err != nil {
		return err
	}
	*(result.(*json.RawMessage)) = raw
	return nil
}

func newWorld(preFunded int64) *world {
	w := &world{abis: map[string]abi.ABI{}, deposits: map[common.Hash]*modelDeposit{}, inflight: map[common.Hash]ipc.Withdrawal{}}
	for name, meta := range map[string]interface{ ParseABI() (*abi.ABI, error) }{
		"gateway": &bindings.GatewayMetaData, "actor": &bindings.SubnetActorMetaData,
		"controller": &bindings.LinkedTokenControllerMetaData, "payouts": &bindings.FastWithdrawalsMetaData,
		"child": &bindings.SubnetGatewayMetaData, "replica": &bindings.LinkedTokenReplicaMetaData, "outbox": &bindings.WithdrawalOutboxMetaData,
	} {
		parsed, err := meta.ParseABI()
		if err != nil {
			panic(err)
		}
		w.abis[name] = *parsed
	}
	salt := common.HexToHash("0x5a17")
	w.root = &fakeRoot{&fakeChain[rootBooks]{id: rootChain, answer: answerRoot, abis: map[common.Address]abi.ABI{
		sub.Gateway: w.abis["gateway"], sub.Actor: w.abis["actor"], sub.Controller: w.abis["controller"],
		sub.FastWithdrawals: w.abis["payouts"], sub.FLT: w.abis["replica"], sub.USDC: w.abis["replica"],
	}}}
	w.child = &fakeChild{fakeChain: &fakeChain[childBooks]{id: childChain, answer: answerChild, abis: map[common.Address]abi.ABI{
		sub.SubnetGateway: w.abis["child"], sub.Replica: w.abis["replica"], sub.Outbox: w.abis["outbox"],
	}}}
	w.root.blocks = []fakeBlock[rootBooks]{{header: header(nil, 0), state: rootBooks{
		preFunded: preFunded, gatewayFLT: preFunded, topDownHash: salt, nonces: map[common.Address]uint64{},
	}}}
	w.child.blocks = []fakeBlock[childBooks]{{header: header(nil, 1), state: childBooks{
		preFunded: preFunded, circulating: preFunded, appliedHash: salt,
		holders: map[common.Address]int64{}, batches: map[uint64]batchInfo{}, nonces: map[common.Address]uint64{},
	}}}
	return w
}

func header(parent *types.Header, salt byte) *types.Header {
	h := &types.Header{Number: new(big.Int), Difficulty: new(big.Int), BaseFee: big.NewInt(7), GasUsed: 11, GasLimit: 30_000_000, Extra: []byte{salt}}
	if parent != nil {
		h.Number, h.ParentHash, h.Time = new(big.Int).Add(parent.Number, common.Big1), parent.Hash(), parent.Time+2
	} else {
		h.Time, h.GasUsed = 1_700_000_000, 0
	}
	return h
}

// rootBlock makes the next block of the root; f changes its state and emits
// events into it.
func (w *world) rootBlock(f func(*rootBooks, *emitter)) {
	prev := w.root.tip()
	b := fakeBlock[rootBooks]{header: header(prev.header, 0), state: prev.state}
	b.state.nonces = maps.Clone(prev.state.nonces)
	e := &emitter{w: w, chain: rootChain, header: b.header}
	f(&b.state, e)
	b.events = e.events
	w.root.blocks = append(w.root.blocks, b)
	w.root.head = len(w.root.blocks) - 1
}

func (w *world) childBlock(f func(*childBooks, *emitter)) {
	prev := w.child.tip()
	b := fakeBlock[childBooks]{header: header(prev.header, 1), state: prev.state}
	b.state.holders, b.state.batches, b.state.nonces = maps.Clone(prev.state.holders), maps.Clone(prev.state.batches), maps.Clone(prev.state.nonces)
	b.state.baseFee += 7 * 11
	e := &emitter{w: w, chain: childChain, header: b.header}
	f(&b.state, e)
	b.events = e.events
	w.child.blocks = append(w.child.blocks, b)
	w.child.head = len(w.child.blocks) - 1
}

// emitter packs events by the contracts' own ABI.
type emitter struct {
	w      *world
	chain  chains.ID
	header *types.Header
	events []chains.Event
}

func (e *emitter) raw(from common.Address, data []byte, topics ...common.Hash) {
	e.events = append(e.events, chains.Event{
		Chain: e.chain, Block: e.header.Number.Uint64(), BlockTime: e.header.Time, Index: uint(len(e.events)),
		Address: from, Topics: topics, Data: data,
	})
}

func (e *emitter) emit(contract string, from common.Address, name string, values ...any) {
	ev, ok := e.w.abis[contract].Events[name]
	if !ok || len(values) != len(ev.Inputs) {
		panic(fmt.Sprintf("event %s.%s with %d values", contract, name, len(values)))
	}
	topics := []common.Hash{ev.ID}
	var plain []any
	for i, in := range ev.Inputs {
		if !in.Indexed {
			plain = append(plain, values[i])
			continue
		}
		packed, err := abi.MakeTopics([]any{values[i]})
		if err != nil {
			panic(err)
		}
		topics = append(topics, packed[0][0])
	}
	data, err := ev.Inputs.NonIndexed().Pack(plain...)
	if err != nil {
		panic(err)
	}
	e.raw(from, data, topics...)
}

func big64(n int64) *big.Int { return big.NewInt(n) }

func answerRoot(s rootBooks, to common.Address, m *abi.Method, args []any) ([]any, error) {
	one := func(v any) ([]any, error) { return []any{v}, nil }
	switch {
	case to == sub.Gateway && m.Name == "getCounters":
		return one(bindings.IGatewayCounters{
			PreFunded: big64(s.preFunded), Locked: big64(s.locked), Relocked: big64(s.relocked), Unlocked: big64(s.unlocked),
			Credited: big64(s.credited), CreditsPaid: big64(s.creditsPaid), Quarantined: big64(s.quarantined), QuarantineReleased: big64(s.quarantineReleased), Covered: big64(s.covered),
		})
	case to == sub.Gateway && m.Name == "getTopDownHash":
		return []any{s.topDown, [32]byte(s.topDownHash)}, nil
	case to == sub.Gateway && m.Name == "getAppliedBottomUpNonce":
		return []any{true, s.applied}, nil
	case to == sub.Gateway && m.Name == "getSubnet":
		return []any{true, bindings.Subnet{Stake: big64(s.stake), GenesisEpoch: big64(1), CircSupply: new(big.Int), Id: bindings.SubnetID{Root: rootChain, Route: []common.Address{sub.Actor}}}}, nil
	case to == sub.Controller && m.Name == "getCounters":
		return one(bindings.ILinkedTokenControllerCounters{
			Locked: big64(s.cLocked), Refunded: big64(s.cRefunded), RefundsPaid: big64(s.cRefundsPaid), Reserved: big64(s.cReserved), ReservesPaid: big64(s.cReservesPaid),
		})
	case m.Name == "fltReceived":
		return one(big64(s.received))
	case m.Name == "fltPaid":
		return one(big64(s.paid))
	case to == sub.FLT && m.Name == "balanceOf" && args[0] == sub.Gateway:
		return one(big64(s.gatewayFLT))
	case to == sub.FLT && m.Name == "balanceOf" && args[0] == sub.FastWithdrawals:
		return one(big64(s.payoutsFLT))
	case to == sub.FLT && m.Name == "totalSupply":
		return one(big64(s.supply))
	case to == sub.FLT && m.Name == "balanceOf" && args[0] == handlerAt:
		return one(big64(s.handlerFLT))
	case to == handlerAt && m.Name == "getCounters":
		none := new(big.Int)
		return one(bindings.IFltHandlerCounters{
			Deposited: none, Funded: none, Undelivered: none, SentBack: none, Withdrawn: none, SentOn: none, DepositsClaimed: none,
			WithdrawalsClaimed: none, Quarantined: none, Credited: big64(s.kept), Spent: big64(s.spent),
		})
	case to == sub.USDC && m.Name == "balanceOf" && args[0] == sub.Controller:
		return one(big64(s.controllerUSDC))
	case m.Name == "lastBottomUpCheckpointHeight":
		return one(big64(s.lastCheckpoint))
	case m.Name == "supplySource", m.Name == "collateralSource":
		return one(bindings.Asset{Kind: 1, TokenAddress: sub.FLT})
	}
	return nil, fmt.Errorf("no answer to %s of %s", m.Name, to)
}

func answerChild(s childBooks, to common.Address, m *abi.Method, args []any) ([]any, error) {
	one := func(v any) ([]any, error) { return []any{v}, nil }
	switch m.Name {
	case "getCounters":
		return one(bindings.ISubnetGatewayCounters{
			PreFunded: big64(s.preFunded), Released: big64(s.released), Returned: big64(s.returned), Bounced: big64(s.bounced),
			FeesIn: big64(s.feesIn), FeesOut: big64(s.feesOut), Credited: big64(s.credited), CreditsPaid: big64(s.creditsPaid),
		})
	case "circSupply":
		return one(big64(s.circulating))
	case "appliedTopDown":
		return []any{s.applied, [32]byte(s.appliedHash)}, nil
	case "bottomUpNonce":
		return one(s.bottomUp)
	case "bottomUpBatchInfo":
		b := s.batches[args[0].(*big.Int).Uint64()]
		return []any{b.first, b.count, [32]byte(b.hash)}, nil
	case "totalSupply":
		return one(big64(s.supply))
	case "minted":
		return one(big64(s.minted))
	case "burnt":
		return one(big64(s.burnt))
	case "heldFlt":
		return one(big64(s.heldFLT))
	case "balanceOf":
		return one(big64(s.holders[args[0].(common.Address)]))
	}
	return nil, fmt.Errorf("no answer to %s of %s", m.Name, to)
}

func party(id ipc.SubnetID, a common.Address) ipc.IPCAddress {
	return ipc.IPCAddress{SubnetId: id, RawAddress: ipc.FromEVM(a)}
}

func onRoot(a common.Address) ipc.IPCAddress  { return party(ipc.NewSubnetID(rootChain), a) }
func onChild(a common.Address) ipc.IPCAddress { return party(sub.IPC, a) }

// sendDown commits a message on the root gateway.
func (w *world) sendDown(s *rootBooks, e *emitter, env ipc.IpcEnvelope) ipc.IpcEnvelope {
	env.LocalNonce, env.OriginalNonce = s.topDown, s.topDown
	s.topDown++
	s.topDownHash = ipc.Roll(s.topDownHash, env.Hash())
	data, err := ipc.EncodeEnvelope(env)
	if err != nil {
		panic(err)
	}
	e.raw(sub.Gateway, data, ipc.TopicNewTopDownMessage, common.BytesToHash(sub.Actor[:]), env.TracingID())
	w.down = append(w.down, env)
	return env
}

// sendUp commits a message on the subnet gateway.
func (w *world) sendUp(s *childBooks, e *emitter, env ipc.IpcEnvelope) ipc.IpcEnvelope {
	env.LocalNonce, env.OriginalNonce = s.bottomUp, s.bottomUp
	s.bottomUp++
	epoch := (e.header.Number.Uint64()/modelPeriod + 1) * modelPeriod
	b := s.batches[epoch]
	if b.count == 0 {
		b.first = env.LocalNonce
	}
	b.count++
	b.hash = ipc.Roll(b.hash, env.Hash())
	s.batches[epoch] = b
	data, err := ipc.EncodeEnvelope(env)
	if err != nil {
		panic(err)
	}
	e.raw(sub.SubnetGateway, data, ipc.TopicBottomUpMessage, common.BigToHash(new(big.Int).SetUint64(epoch)), common.BigToHash(new(big.Int).SetUint64(env.LocalNonce)))
	w.up = append(w.up, env)
	w.epochs = append(w.epochs, epoch)
	return env
}

// fund is fundWithToken.
func (w *world) fund(value int64) {
	w.rootBlock(func(s *rootBooks, e *emitter) {
		s.locked += value
		s.gatewayFLT += value
		w.sendDown(s, e, ipc.IpcEnvelope{Kind: ipc.KindTransfer, Value: big64(value), To: onChild(addr(50)), From: onRoot(addr(51))})
	})
}

// deposit is linkedTransfer.
func (w *world) deposit(amount int64, recipient common.Address) {
	w.rootBlock(func(s *rootBooks, e *emitter) { w.depositIn(s, e, amount, recipient) })
}

func (w *world) depositIn(s *rootBooks, e *emitter, amount int64, recipient common.Address) {
	s.cLocked += amount
	s.controllerUSDC += amount
	params := append(common.LeftPadBytes(recipient[:], 32), common.LeftPadBytes(big64(amount).Bytes(), 32)...)
	env := w.sendDown(s, e, ipc.IpcEnvelope{
		Kind: ipc.KindCall, Value: new(big.Int), To: onChild(sub.Replica), From: onRoot(sub.Controller),
		Message: ipc.EncodeCall(ipc.CallMsg{Method: ipc.SelReceiveLinked.Bytes(), Params: params}),
	})
	w.deposits[env.TracingID()] = &modelDeposit{addr(52), recipient, amount}
	e.emit("controller", sub.Controller, "LinkedTokensSent", sub.USDC, addr(52), recipient, [32]byte(env.TracingID()), env.LocalNonce, big64(amount))
}

// checkpoint accepts the next one, if the subnet has reached it.
func (w *world) checkpoint() bool {
	h := uint64(w.root.tip().state.lastCheckpoint) + modelPeriod
	if uint64(len(w.child.blocks)-1) < h {
		return false
	}
	for w.allowed < uint64(len(w.up)) && w.epochs[w.allowed] <= h {
		w.allowed++
	}
	w.rootBlock(func(s *rootBooks, e *emitter) {
		s.lastCheckpoint = int64(h)
		e.emit("actor", sub.Actor, "CheckpointAccepted", new(big.Int).SetUint64(h), [32]byte{1}, uint64(0), uint64(0))
	})
	return true
}

// choices decide what happens to a message: each is called once per message
// that could go several ways.
type choices func(ways int) int

func alwaysGood(int) int { return 0 }

// exec applies up to count messages on the root.
func (w *world) exec(count int, pick choices) int {
	done := 0
	w.rootBlock(func(s *rootBooks, e *emitter) {
		for ; done < count && s.applied < w.allowed; done++ {
			env := w.up[s.applied]
			s.applied++
			if pick(12) == 11 && env.Kind != ipc.KindResult {
				s.quarantined += env.Value.Int64()
				w.waiting = append(w.waiting, env)
				w.wasApplied(e, env, ipc.OutcomeSystemErr, quarantined)
				continue
			}
			outcome, disposition := w.applyUp(s, e, env, pick)
			w.wasApplied(e, env, outcome, disposition)
		}
	})
	return done
}

func (w *world) wasApplied(e *emitter, env ipc.IpcEnvelope, outcome, disposition uint8) {
	e.emit("gateway", sub.Gateway, "BottomUpMessageApplied", sub.Actor, env.LocalNonce, [32]byte(env.TracingID()), outcome, disposition, []byte{})
}

// retry applies a quarantined message after all.
func (w *world) retry(pick choices) {
	if len(w.waiting) == 0 {
		return
	}
	env := w.waiting[0]
	w.waiting = w.waiting[1:]
	w.rootBlock(func(s *rootBooks, e *emitter) {
		s.quarantineReleased += env.Value.Int64()
		_, disposition := w.applyUp(s, e, env, pick)
		e.emit("gateway", sub.Gateway, "QuarantineReleased", sub.Actor, env.LocalNonce, disposition)
	})
}

func (w *world) applyUp(s *rootBooks, e *emitter, env ipc.IpcEnvelope, pick choices) (outcome, disposition uint8) {
	v := env.Value.Int64()
	s.unlocked += v
	pay := func() uint8 {
		if pick(4) == 3 {
			s.credited += v
			w.rootOwed += v
			return credited
		}
		s.gatewayFLT -= v
		return executed
	}
	switch env.Kind {
	case ipc.KindTransfer:
		if d := pay(); d == credited {
			return ipc.OutcomeActorErr, d
		}
		return ipc.OutcomeOk, executed
	case ipc.KindCall:
		if pick(4) == 3 {
			s.relocked += v
			w.sendDown(s, e, ipc.ResultOf(env, env.TracingID(), ipc.OutcomeActorErr, nil))
			return ipc.OutcomeActorErr, returned
		}
		wd, err := ipc.DecodeWithdrawalCall(env.Message)
		if err != nil {
			panic(err)
		}
		s.gatewayFLT -= v
		s.payoutsFLT += v
		s.received += v
		w.settle(s, e, wd, pick(3) != 2)
		return ipc.OutcomeOk, executed
	}
	res, err := ipc.DecodeResult(env.Message)
	if err != nil {
		panic(err)
	}
	disposition = executed
	if d := w.deposits[res.Id]; d != nil && pick(8) == 7 {
		outcome = ipc.OutcomeActorErr // the controller refused it
	} else if d != nil {
		s.cRefunded += d.amount
		paid := pick(3) != 2
		if paid {
			s.cRefundsPaid += d.amount
			s.controllerUSDC -= d.amount
		} else {
			w.refunds = append(w.refunds, modelCredit{res.Id, sub.USDC, d.sender, d.amount})
		}
		e.emit("controller", sub.Controller, "DepositRefunded", res.Id, d.sender, big64(d.amount), paid)
	} else if v > 0 {
		disposition = pay()
	}
	to, _ := env.To.RawAddress.EVM()
	e.emit("gateway", sub.Gateway, "ResultApplied", sub.Actor, res.Id, res.Outcome, disposition, to, env.Value)
	return outcome, disposition
}

func (w *world) settle(s *rootBooks, e *emitter, wd ipc.Withdrawal, paid bool) {
	id, gross := ipc.WithdrawalID(rootChain, sub.FastWithdrawals, wd), wd.Gross.Int64()
	if wd.Token == sub.USDC {
		have := s.cLocked - s.cRefunded - s.cReserved
		if have < gross {
			s.cReserved += have
			e.emit("controller", sub.Controller, "Reserved", [32]byte(id), big64(have))
			e.emit("payouts", sub.FastWithdrawals, "WithdrawalQuarantined", [32]byte(id), wd.Recipient, wd.Token, wd.Gross, big64(have))
			return
		}
		s.cReserved += gross
		e.emit("controller", sub.Controller, "Reserved", [32]byte(id), wd.Gross)
	}
	if paid {
		w.payOut(s, e, id, wd.Token, wd.Recipient, gross)
	} else {
		w.unpaid = append(w.unpaid, modelCredit{id, wd.Token, wd.Recipient, gross})
	}
	e.emit("payouts", sub.FastWithdrawals, "WithdrawalSettled", [32]byte(id), wd.Recipient, wd.Token, wd.Gross, paid)
}

func (w *world) payOut(s *rootBooks, e *emitter, id common.Hash, token, to common.Address, amount int64) {
	if token == sub.FLT {
		s.paid += amount
		s.payoutsFLT -= amount
		return
	}
	s.cReservesPaid += amount
	s.controllerUSDC -= amount
	e.emit("controller", sub.Controller, "ReservePaid", [32]byte(id), to, big64(amount))
}

// claims pulls whatever waits on the root.
func (w *world) claims() {
	w.rootBlock(func(s *rootBooks, e *emitter) {
		for _, c := range w.unpaid {
			e.emit("payouts", sub.FastWithdrawals, "CreditClaimed", [32]byte(c.id), c.to, big64(c.amount))
			w.payOut(s, e, c.id, c.token, c.to, c.amount)
		}
		for _, c := range w.refunds {
			s.cRefundsPaid += c.amount
			s.controllerUSDC -= c.amount
			e.emit("controller", sub.Controller, "RefundClaimed", [32]byte(c.id), c.to, addr(60), big64(c.amount))
		}
		s.creditsPaid += w.rootOwed
		s.gatewayFLT -= w.rootOwed
		w.unpaid, w.refunds, w.rootOwed = nil, nil, 0
	})
}

// deliver applies up to count messages in the subnet.
func (w *world) deliver(count int, pick choices) int {
	done := 0
	w.childBlock(func(s *childBooks, e *emitter) {
		for ; done < count && s.applied < uint64(len(w.down)); done++ {
			env := w.down[s.applied]
			s.applied++
			s.appliedHash = ipc.Roll(s.appliedHash, env.Hash())
			outcome, disposition := w.applyDown(s, e, env, pick)
			e.emit("child", sub.SubnetGateway, "TopDownMessageApplied", env.LocalNonce, [32]byte(env.TracingID()), outcome, disposition, []byte{})
		}
		reward := min(int64(done), s.feesIn-s.feesOut)
		s.feesOut += reward
		s.gatewayFLT -= reward
	})
	return done
}

func (w *world) applyDown(s *childBooks, e *emitter, env ipc.IpcEnvelope, pick choices) (outcome, disposition uint8) {
	v := env.Value.Int64()
	s.circulating += v
	release := func() { s.released += v; s.gatewayFLT -= v }
	if env.Kind != ipc.KindResult {
		if pick(4) == 3 {
			s.circulating -= v
			s.bounced += v
			w.sendUp(s, e, ipc.ResultOf(env, env.TracingID(), ipc.OutcomeActorErr, nil))
			return ipc.OutcomeActorErr, returned
		}
		if d := w.deposits[env.TracingID()]; d != nil {
			s.minted += d.amount
			s.supply += d.amount
			s.holders[d.recipient] += d.amount
			e.emit("replica", sub.Replica, "Transfer", common.Address{}, d.recipient, big64(d.amount))
			e.emit("replica", sub.Replica, "LinkedTokenReceived", d.recipient, big64(d.amount))
		}
		release()
		return ipc.OutcomeOk, executed
	}
	res, err := ipc.DecodeResult(env.Message)
	if err != nil {
		panic(err)
	}
	wd, ours := w.inflight[res.Id]
	switch way := pick(10); {
	case way == 9 && v > 0:
		return ipc.OutcomeSystemErr, quarantined // stays in the treasury
	case way == 8 && v > 0:
		s.released += v
		s.credited += v
		w.childOwed += v
		return ipc.OutcomeActorErr, credited
	case way == 8:
		return ipc.OutcomeActorErr, executed
	}
	release()
	if ours {
		delete(w.inflight, res.Id)
		s.outboxFLT += v
		s.heldFLT += v
		w.returned = append(w.returned, wd)
		id := ipc.WithdrawalID(rootChain, sub.FastWithdrawals, wd)
		e.emit("outbox", sub.Outbox, "WithdrawalReturned", [32]byte(id), env.Value)
	}
	return ipc.OutcomeOk, executed
}

// takeBack is what sending value up books.
func takeBack(s *childBooks, v int64) {
	s.feesIn += fee
	s.gatewayFLT += fee + v
	s.returned += v
	s.circulating -= v
}

// coins are what users can still send up.
func (w *world) coins() int64 {
	s := w.child.tip().state
	return s.preFunded + s.released - s.returned - s.feesIn + s.feesOut - s.credited + s.creditsPaid - s.heldFLT
}

func (w *world) release(v int64) {
	w.childBlock(func(s *childBooks, e *emitter) {
		takeBack(s, v)
		w.sendUp(s, e, ipc.IpcEnvelope{Kind: ipc.KindTransfer, Value: big64(v), To: onRoot(addr(53)), From: onChild(addr(54))})
	})
}

func (w *world) withdraw(token common.Address, amount int64, from common.Address) {
	w.childBlock(func(s *childBooks, e *emitter) { w.withdrawIn(s, e, token, amount, from) })
}

func (w *world) withdrawIn(s *childBooks, e *emitter, token common.Address, amount int64, from common.Address) {
	wd := ipc.Withdrawal{
		SubnetKey: sub.IPC.Hash(), Outbox: sub.Outbox, Nonce: w.outNonce, Token: token, Sender: from, Recipient: addr(55),
		FallbackRecipient: addr(56), Gross: big64(amount), MinOut: new(big.Int), Height: e.header.Number.Uint64(),
	}
	w.outNonce++
	if token == sub.USDC {
		s.burnt += amount
		s.supply -= amount
		s.holders[from] -= amount
		e.emit("replica", sub.Replica, "Transfer", from, common.Address{}, big64(amount))
	}
	w.sendWithdrawal(s, e, wd, "WithdrawalSent")
}

func (w *world) sendWithdrawal(s *childBooks, e *emitter, wd ipc.Withdrawal, event string) {
	var v int64
	if wd.Token == sub.FLT {
		v = wd.Gross.Int64()
	}
	takeBack(s, v)
	call, err := ipc.WithdrawalCall(wd)
	if err != nil {
		panic(err)
	}
	env := w.sendUp(s, e, ipc.IpcEnvelope{Kind: ipc.KindCall, Value: big64(v), To: onRoot(sub.FastWithdrawals), From: onChild(sub.Outbox), Message: ipc.EncodeCall(call)})
	w.inflight[env.TracingID()] = wd
	id := [32]byte(ipc.WithdrawalID(rootChain, sub.FastWithdrawals, wd))
	if event == "WithdrawalSent" {
		e.emit("outbox", sub.Outbox, event, id, wd.Nonce, env.LocalNonce, bindings.Withdrawal(wd))
	} else {
		e.emit("outbox", sub.Outbox, event, id, env.LocalNonce)
	}
}

func (w *world) resend() {
	if len(w.returned) == 0 {
		return
	}
	wd := w.returned[0]
	w.returned = w.returned[1:]
	w.childBlock(func(s *childBooks, e *emitter) {
		if wd.Token == sub.FLT {
			s.heldFLT -= wd.Gross.Int64()
			s.outboxFLT -= wd.Gross.Int64()
		}
		w.sendWithdrawal(s, e, wd, "WithdrawalResent")
	})
}

func (w *world) childCredits() {
	w.childBlock(func(s *childBooks, _ *emitter) {
		s.creditsPaid += w.childOwed
		s.gatewayFLT -= w.childOwed
		w.childOwed = 0
	})
}

func (w *world) move(from, to common.Address, amount int64) {
	w.childBlock(func(s *childBooks, e *emitter) {
		s.holders[from] -= amount
		s.holders[to] += amount
		e.emit("replica", sub.Replica, "Transfer", from, to, big64(amount))
	})
}

// fits says whether the heads of both chains can be audited together.
func (w *world) fits() bool {
	r, s := w.root.blocks[w.root.head].state, w.child.blocks[w.child.head].state
	return s.applied <= r.topDown && r.applied <= s.bottomUp
}

func isEvent(e chains.Event, t common.Hash) bool { return bytes.Equal(e.Topics[0][:], t[:]) }
