package root_test

import (
	"crypto/ecdsa"
	"math/big"
	"strings"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"
)

// user is somebody with FLT, USDC and FIL.
type user struct {
	key       *ecdsa.PrivateKey
	nonce     uint64
	validator bool
}

func (u *user) address() common.Address { return addressOf(u.key) }

// send gives the witness a transaction; it is mined with one of the next epochs.
func (w *world) send(u *user, to common.Address, data []byte, value *big.Int) {
	w.t.Helper()
	tx, err := types.SignNewTx(u.key, types.LatestSignerForChainID(big.NewInt(chainID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(chainID), Nonce: u.nonce, To: &to, Data: data, Value: value,
		Gas: 1_000_000, GasTipCap: big.NewInt(100_000), GasFeeCap: big.NewInt(1e12),
	})
	require.NoError(w.t, err)
	err = w.truth.SendTransaction(w.t.Context(), tx)
	if err != nil && strings.Contains(err.Error(), "too many pending messages") {
		return // after a deep reorg; it is not sent at all
	}
	require.NoError(w.t, err)
	u.nonce++
}

var (
	gatewayABI    = bindings.NewGateway()
	controllerABI = bindings.NewLinkedTokenController()
	actorABI      = bindings.NewSubnetActor()
	usdcABI       = bindings.NewDevUsdc()
)

// act lets somebody do one thing: a deposit, a change of power, or what is none of
// the relayer's business.
func (w *world) act() {
	w.t.Helper()
	u := w.users[w.rng.IntN(len(w.users))]
	to := common.BigToAddress(new(big.Int).SetUint64(w.rng.Uint64()))
	n := int64(w.rng.IntN(1_000_000))
	switch w.rng.IntN(8) {
	case 0, 1, 2:
		w.depositUSDC(u, to, 1_000+n)
	case 3, 4, 5:
		w.depositFLT(u, to, n)
	case 6:
		v := w.users[len(w.users)-1]
		stake := new(big.Int).Mul(big.NewInt(1e15), big.NewInt(1+n%5)) // in the steps that power has
		w.send(v, w.sub.Actor, actorABI.PackStake(stake), stake)
	default:
		w.send(u, w.sub.USDC, usdcABI.PackTransfer(to, big.NewInt(1)), nil)
	}
}

func (w *world) depositUSDC(u *user, to common.Address, units int64) {
	if u.validator {
		u = w.users[0] // it has none
	}
	w.send(u, w.sub.Controller, controllerABI.PackLinkedTransfer(to, big.NewInt(units)), nil)
}

func (w *world) depositFLT(u *user, to common.Address, more int64) {
	if u.validator {
		u = w.users[1]
	}
	amount := new(big.Int).Add(big.NewInt(1e15), big.NewInt(more))
	id := w.subnetID()
	w.send(u, w.sub.Gateway, gatewayABI.PackFundWithToken(id, bindings.FvmAddress(ipc.FromEVM(to)), amount), nil)
}

func (w *world) subnetID() bindings.SubnetID { return bindings.SubnetID(w.sub.IPC) }
