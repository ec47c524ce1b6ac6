// Package deploy puts a contract set on a root chain and makes the genesis of
// the subnet that goes with it; and for FLT that comes from Ethereum what stands
// there and between the two, for development the contracts of Axelar as well.
//
// Root, Mint, Bootstrap, Cross and whatever else sends transactions write each
// one to the state file of its chain before they send it. Killed at any moment
// and run again with the same files and the same parameters, they go on where
// they were and end with exactly one set: the nonce and the signed bytes of each
// step are fixed before the chain sees them. SubnetGenesis is a pure function:
// the same inputs give the same bytes.
package deploy

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

// Backend is the root chain; *ethclient.Client is one. It must know the
// "finalized" block.
type Backend interface {
	ChainID(context.Context) (*big.Int, error)
	HeaderByNumber(context.Context, *big.Int) (*types.Header, error)
	CodeAt(context.Context, common.Address, *big.Int) ([]byte, error)
	CallContract(context.Context, ethereum.CallMsg, *big.Int) ([]byte, error)
	FilterLogs(context.Context, ethereum.FilterQuery) ([]types.Log, error)
	NonceAt(context.Context, common.Address, *big.Int) (uint64, error)
	PendingNonceAt(context.Context, common.Address) (uint64, error)
	SuggestGasTipCap(context.Context) (*big.Int, error)
	EstimateGas(context.Context, ethereum.CallMsg) (uint64, error)
	SendTransaction(context.Context, *types.Transaction) error
	TransactionReceipt(context.Context, common.Hash) (*types.Receipt, error)
}

// Signer signs for one account, which nobody else may use meanwhile.
type Signer interface {
	Address() common.Address
	SignTx(tx *types.Transaction, chainID *big.Int) (*types.Transaction, error)
}

// KeySigner is a Signer that holds its key in memory.
func KeySigner(key *ecdsa.PrivateKey) Signer { return keySigner{key} }

type keySigner struct{ key *ecdsa.PrivateKey }

func (s keySigner) Address() common.Address { return crypto.PubkeyToAddress(s.key.PublicKey) }

func (s keySigner) SignTx(tx *types.Transaction, chainID *big.Int) (*types.Transaction, error) {
	return types.SignTx(tx, types.LatestSignerForChainID(chainID), s.key)
}

// Env is where a deployment happens.
type Env struct {
	Backend Backend
	// StateFile records every transaction; "" keeps the record in memory, so
	// that a second run makes a second set.
	StateFile string
	// Poll is the time between two looks at the chain, 200 ms when 0.
	Poll time.Duration
	Log  *slog.Logger
}

var (
	// ErrOtherState says that a state file was written for another chain or
	// with other parameters.
	ErrOtherState = errors.New("state file belongs to another deployment")
	// ErrNonceTaken says that the account sent a transaction that is not ours,
	// so that a recorded step can never be mined. Deploy again with a new state
	// file and keys that nothing else uses.
	ErrNonceTaken = errors.New("the nonce of a step was used by another transaction")
	// ErrSimulate says that a step was refused where it was simulated, so that
	// nothing was sent.
	ErrSimulate = errors.New("simulate")
	// ErrFailed says that a step was mined and reverted.
	ErrFailed = errors.New("step reverted")
	// ErrWrongSet says that what stands on the chain is not what was asked for.
	ErrWrongSet = errors.New("deployed contracts are not as asked for")
)

// RootSet is the contracts of one deployment on the root.
type RootSet struct {
	ChainID         chains.ID      `json:"chain_id"`
	GenesisHash     common.Hash    `json:"genesis_hash"`
	Flt             common.Address `json:"flt"`
	Usdc            common.Address `json:"usdc"`
	Gateway         common.Address `json:"gateway"`
	Registry        common.Address `json:"registry"`
	Actor           common.Address `json:"subnet_actor"`
	Controller      common.Address `json:"linked_token_controller"`
	FastWithdrawals common.Address `json:"fast_withdrawals"`
	// StartBlock is at or below the block of the first contract.
	StartBlock uint64 `json:"start_block"`
}

// contracts lists the addresses by the names of their steps.
func (s RootSet) contracts() map[string]common.Address {
	return map[string]common.Address{
		stepFlt: s.Flt, stepUsdc: s.Usdc, stepGateway: s.Gateway, stepRegistry: s.Registry, stepActor: s.Actor,
		stepController: s.Controller, stepFastWithdrawals: s.FastWithdrawals,
	}
}

// Network is the root's own id.
func (s RootSet) Network() ipc.SubnetID { return ipc.NewSubnetID(uint64(s.ChainID)) }

// Subnet is the id of the subnet.
func (s RootSet) Subnet() ipc.SubnetID { return s.Network().Child(s.Actor) }

// RootParams of a deployment on the root.
type RootParams struct {
	// Flt and Usdc are the tokens to use; for a zero address a dev token is
	// deployed, owned by the deployer. Where FLT comes from Ethereum, Flt is the
	// interchain token of the root's token service.
	Flt, Usdc common.Address
	Settings  Settings
}

// Root deploys what is missing of the set and returns it once every transaction
// is final and the contracts say what they should.
func Root(ctx context.Context, env Env, deployer Signer, p RootParams) (RootSet, error) {
	if err := p.Settings.Check(); err != nil {
		return RootSet{}, fmt.Errorf("settings: %w", err)
	}
	j, err := openJournal(ctx, env)
	if err != nil {
		return RootSet{}, fmt.Errorf("open deployment state: %w", err)
	}
	defer j.close()

	set, err := deployRoot(ctx, j, deployer, p)
	if err != nil {
		return RootSet{}, err
	}
	if err := j.settle(ctx); err != nil {
		return RootSet{}, fmt.Errorf("wait until the contracts are final: %w", err)
	}
	if err := checkRoot(ctx, j.env.Backend, set, p.Settings); err != nil {
		return RootSet{}, err
	}
	return set, nil
}
