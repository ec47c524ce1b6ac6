package e2e

import (
	"context"
	"crypto/ecdsa"
	"math/big"
	"testing"
	"time"

	shared "github.com/causeway-bridge/causeway/test/rig"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/core/vm/program"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"
)

type (
	label string // a jump destination
	ref   string // its address
)

// assemble puts op codes, numbers (pushed), labels and refs together.
func assemble(items ...any) []byte {
	var code []byte
	at, holes := map[label]int{}, map[int]label{}
	for _, item := range items {
		switch v := item.(type) {
		case vm.OpCode:
			code = append(code, byte(v))
		case int:
			code = append(code, program.New().Push(uint64(v)).Bytes()...)
		case label:
			at[v] = len(code)
			code = append(code, byte(vm.JUMPDEST))
		case ref:
			holes[len(code)+1] = label(v)
			code = append(code, byte(vm.PUSH2), 0, 0)
		}
	}
	for hole, name := range holes {
		code[hole], code[hole+1] = byte(at[name]>>8), byte(at[name])
	}
	return code
}

// The hostile contracts.
var (
	// logger emits any event: calldata is the number of topics, four topics and
	// the data.
	loggerCode = assemble(
		160, vm.CALLDATASIZE, vm.SUB, 160, 0, vm.CALLDATACOPY,
		128, vm.CALLDATALOAD, 96, vm.CALLDATALOAD, 64, vm.CALLDATALOAD, 32, vm.CALLDATALOAD,
		160, vm.CALLDATASIZE, vm.SUB, 0,
		0, vm.CALLDATALOAD, 1, vm.EQ, ref("1"), vm.JUMPI,
		0, vm.CALLDATALOAD, 2, vm.EQ, ref("2"), vm.JUMPI,
		0, vm.CALLDATALOAD, 3, vm.EQ, ref("3"), vm.JUMPI,
		0, vm.CALLDATALOAD, 4, vm.EQ, ref("4"), vm.JUMPI,
		vm.LOG0, vm.STOP,
		label("1"), vm.LOG1, vm.STOP, label("2"), vm.LOG2, vm.STOP,
		label("3"), vm.LOG3, vm.STOP, label("4"), vm.LOG4, vm.STOP,
	)
	// puppet makes the calls that its calldata lists, all or none; see calls. Of
	// a call that begins with a selector, as of a handler, it burns all gas. It
	// takes coin.
	puppetCode = assemble(
		0, vm.CALLDATALOAD, 160, vm.SHR, ref("burn"), vm.JUMPI,
		0,
		label("next"), vm.DUP1, vm.CALLDATASIZE, vm.GT, vm.ISZERO, ref("end"), vm.JUMPI,
		vm.DUP1, 64, vm.ADD, vm.CALLDATALOAD,
		vm.DUP1, vm.DUP3, 96, vm.ADD, 0, vm.CALLDATACOPY,
		0, 0, vm.DUP3, 0, vm.DUP6, 32, vm.ADD, vm.CALLDATALOAD, vm.DUP7, vm.CALLDATALOAD, vm.GAS, vm.CALL,
		vm.ISZERO, ref("fail"), vm.JUMPI,
		vm.ADD, 96, vm.ADD, ref("next"), vm.JUMP,
		label("end"), vm.STOP,
		label("fail"), vm.RETURNDATASIZE, 0, 0, vm.RETURNDATACOPY, vm.RETURNDATASIZE, 0, vm.REVERT,
		label("burn"), vm.INVALID,
	)
	// refuser reverts, burner runs until its gas is gone, the bombs answer with
	// more than anybody wants to read.
	refuserCode    = assemble(0, 0, vm.REVERT)
	burnerCode     = assemble(label("l"), ref("l"), vm.JUMP)
	bombCode       = assemble(400<<10, 0, vm.RETURN)
	megabombCode   = assemble(1<<20, 0, vm.RETURN)
	refuseBombCode = assemble(400<<10, 0, vm.REVERT)
)

// call is one call of a puppet.
type call struct {
	to    common.Address
	value *big.Int
	data  []byte
}

// calls is the calldata of a puppet.
func calls(list ...call) []byte {
	var out []byte
	for _, c := range list {
		value := c.value
		if value == nil {
			value = new(big.Int)
		}
		out = append(out, common.LeftPadBytes(c.to[:], 32)...)
		out = append(out, common.BigToHash(value).Bytes()...)
		out = append(out, common.BigToHash(big.NewInt(int64(len(c.data)))).Bytes()...)
		out = append(out, c.data...)
	}
	return out
}

// emit is the calldata of a logger.
func emit(data []byte, topics ...common.Hash) []byte {
	out := common.BigToHash(big.NewInt(int64(len(topics)))).Bytes()
	for i := range 4 {
		var t common.Hash
		if i < len(topics) {
			t = topics[i]
		}
		out = append(out, t[:]...)
	}
	return append(out, data...)
}

// stranger is somebody on one chain who sends whatever he likes, with a fixed
// gas limit and without simulating it.
type stranger struct {
	t      *testing.T
	client *ethclient.Client
	key    *ecdsa.PrivateKey
	addr   common.Address
	id     *big.Int
	nonce  uint64
}

func newStranger(t *testing.T, client *ethclient.Client, key *ecdsa.PrivateKey) *stranger {
	t.Helper()
	s := &stranger{t: t, client: client, key: key, addr: crypto.PubkeyToAddress(key.PublicKey)}
	var err error
	s.id, err = client.ChainID(t.Context())
	require.NoError(t, err)
	s.nonce, err = client.PendingNonceAt(t.Context(), s.addr)
	require.NoError(t, err)
	return s
}

func (s *stranger) send(to *common.Address, value *big.Int, gas uint64, data []byte) common.Hash {
	s.t.Helper()
	if value == nil {
		value = new(big.Int)
	}
	tx, err := types.SignNewTx(s.key, types.LatestSignerForChainID(s.id), &types.DynamicFeeTx{
		ChainID: s.id, Nonce: s.nonce, GasTipCap: big.NewInt(1_000_000_000), GasFeeCap: big.NewInt(50_000_000_000),
		Gas: gas, To: to, Value: value, Data: data,
	})
	require.NoError(s.t, err)
	require.NoError(s.t, s.client.SendTransaction(s.t.Context(), tx))
	s.nonce++
	return tx.Hash()
}

// create deploys code; the address is known before the receipt.
func (s *stranger) create(code []byte) common.Address {
	s.t.Helper()
	at := crypto.CreateAddress(s.addr, s.nonce)
	s.send(nil, nil, 1_000_000, program.New().ReturnViaCodeCopy(code).Bytes())
	return at
}

// mined waits for a transaction and checks that it succeeded.
func (s *stranger) mined(tx common.Hash) *types.Receipt {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	for {
		r, err := s.client.TransactionReceipt(ctx, tx)
		if err == nil {
			require.Equal(s.t, types.ReceiptStatusSuccessful, r.Status, "transaction %s reverted", tx)
			return r
		}
		require.NoError(s.t, ctx.Err(), "transaction %s was not mined", tx)
		shared.Pause(ctx, 100*time.Millisecond)
	}
}
