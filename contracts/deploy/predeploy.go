package deploy

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"

	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/tracing"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/params"
	"github.com/holiman/uint256"
)

// genesisEVM runs constructors before there is a chain, each at the address
// where its contract will stand.
type genesisEVM struct {
	state *state.StateDB
	evm   *vm.EVM
	// slots written so far, by account.
	slots map[common.Address]map[common.Hash]struct{}
	// others is what a constructor did that an alloc cannot keep.
	others []error
}

func newGenesisEVM(config *params.ChainConfig, timestamp, gasLimit uint64, baseFee *big.Int) (*genesisEVM, error) {
	db, err := state.New(types.EmptyRootHash, state.NewDatabaseForTesting())
	if err != nil {
		return nil, fmt.Errorf("make empty state: %w", err)
	}
	g := &genesisEVM{state: db, slots: make(map[common.Address]map[common.Hash]struct{})}
	hooks := &tracing.Hooks{
		OnStorageChange: func(addr common.Address, slot, _, _ common.Hash) {
			if g.slots[addr] == nil {
				g.slots[addr] = make(map[common.Hash]struct{})
			}
			g.slots[addr][slot] = struct{}{}
		},
		OnBalanceChange: func(addr common.Address, prev, next *big.Int, _ tracing.BalanceChangeReason) {
			if prev.Cmp(next) != 0 {
				g.others = append(g.others, fmt.Errorf("moves coin of %s", addr))
			}
		},
		OnNonceChange: func(addr common.Address, _, _ uint64) {
			g.others = append(g.others, fmt.Errorf("changes the nonce of %s", addr))
		},
	}
	random := common.Hash{}
	g.evm = vm.NewEVM(vm.BlockContext{
		CanTransfer: core.CanTransfer, Transfer: core.Transfer,
		GetHash:     func(uint64) common.Hash { return common.Hash{} },
		BlockNumber: new(big.Int), Time: timestamp, GasLimit: gasLimit,
		Difficulty: new(big.Int), BaseFee: baseFee, BlobBaseFee: big.NewInt(1), Random: &random,
	}, state.NewHookedState(db, hooks), config, vm.Config{})
	return g, nil
}

// construct runs a constructor at its final address and returns the account
// without balance: runtime code and the storage left behind. It is an error
// when the constructor touches any other account.
func (g *genesisEVM) construct(at common.Address, meta *bind.MetaData, args ...any) (types.Account, error) {
	code, err := initCode(meta, args...)
	if err != nil {
		return types.Account{}, err
	}
	if len(code) > params.MaxInitCodeSize {
		return types.Account{}, fmt.Errorf("constructor of %s: %d bytes of code exceed %d", meta.ID, len(code), params.MaxInitCodeSize)
	}

	// CREATE would choose the address; a call of the constructor's code does not.
	g.slots, g.others = make(map[common.Address]map[common.Hash]struct{}), nil
	g.state.SetCode(at, code, tracing.CodeChangeUnspecified)
	rules := g.evm.ChainConfig().Rules(g.evm.Context.BlockNumber, true, g.evm.Context.Time)
	g.state.Prepare(rules, common.Address{}, common.Address{}, &at, vm.ActivePrecompiles(rules), nil)
	runtime, _, err := g.evm.Call(common.Address{}, at, nil, vm.NewGasBudget(math.MaxInt64, 0), new(uint256.Int))
	if err != nil {
		return types.Account{}, fmt.Errorf("constructor of %s: %w (0x%x)", meta.ID, err, runtime)
	}
	if len(runtime) == 0 || len(runtime) > params.MaxCodeSize || runtime[0] == 0xef {
		return types.Account{}, fmt.Errorf("constructor of %s returned no deployable code (%d bytes)", meta.ID, len(runtime))
	}
	if err := g.onlyOwn(at, meta.ID); err != nil {
		return types.Account{}, err
	}

	storage := make(map[common.Hash]common.Hash)
	for slot := range maps.Keys(g.slots[at]) {
		if value := g.state.GetState(at, slot); value != (common.Hash{}) {
			storage[slot] = value
		}
	}
	g.state.SetCode(at, runtime, tracing.CodeChangeUnspecified)
	g.state.Finalise(rules)
	// A created contract has nonce 1 (EIP-161).
	return types.Account{Code: runtime, Storage: storage, Nonce: 1, Balance: new(big.Int)}, nil
}

func (g *genesisEVM) onlyOwn(at common.Address, name string) error {
	errs := g.others
	for addr := range g.slots {
		if addr != at {
			errs = append(errs, fmt.Errorf("writes storage of %s", addr))
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("constructor of %s reaches beyond its account: %w", name, errors.Join(errs...))
	}
	return nil
}
