package lotus_test

import (
	"crypto/ecdsa"
	"math/big"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"
)

const chainID = 31415926

// key is a throw-away key made from a word.
func key(word string) (*ecdsa.PrivateKey, common.Address) {
	k := crypto.ToECDSAUnsafe(crypto.Keccak256([]byte(word)))
	return k, crypto.PubkeyToAddress(k.PublicKey)
}

func ether(n int64) *big.Int { return new(big.Int).Mul(big.NewInt(n), big.NewInt(1e18)) }

// start gives a root that makes epochs only when told to, some days in the past.
func start(t *testing.T, cfg lotus.Config) *lotus.Root {
	t.Helper()
	if cfg.ChainID == 0 {
		cfg.ChainID = chainID
	}
	if cfg.GenesisTime == 0 {
		cfg.GenesisTime = uint64(time.Now().Add(-30 * 24 * time.Hour).Unix())
	}
	if cfg.Alloc == nil {
		_, rich := key("rich")
		cfg.Alloc = map[common.Address]*big.Int{rich: ether(1000)}
	}
	cfg.Manual = true
	r, err := lotus.Start(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

func mine(t *testing.T, r *lotus.Root, n int) {
	t.Helper()
	require.NoError(t, r.Mine(t.Context(), n))
}

func dial(t *testing.T, url string) *ethclient.Client {
	t.Helper()
	cl, err := ethclient.DialContext(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return cl
}

// send signs and sends a transaction of the rich account.
func send(t *testing.T, cl *ethclient.Client, nonce uint64, to *common.Address, data []byte) *types.Transaction {
	t.Helper()
	tx := sign(t, "rich", &types.DynamicFeeTx{Nonce: nonce, To: to, Data: data, Gas: 300_000})
	require.NoError(t, cl.SendTransaction(t.Context(), tx))
	return tx
}

func sign(t *testing.T, word string, tx *types.DynamicFeeTx) *types.Transaction {
	t.Helper()
	k, _ := key(word)
	tx.ChainID = big.NewInt(chainID)
	if tx.GasTipCap == nil {
		tx.GasTipCap = big.NewInt(100_000)
	}
	if tx.GasFeeCap == nil {
		tx.GasFeeCap = big.NewInt(2e9)
	}
	signed, err := types.SignNewTx(k, types.LatestSignerForChainID(big.NewInt(chainID)), tx)
	require.NoError(t, err)
	return signed
}

// emitter emits LOG1(data = 32 zero bytes, topic = 7) on every call.
var emitter = common.FromHex("60088060093d393df3" + "600760205fa1" + "0000")

// deploy gives a contract that emits a log on every call.
func deploy(t *testing.T, r *lotus.Root, cl *ethclient.Client) common.Address {
	t.Helper()
	tx := send(t, cl, 0, nil, emitter)
	mine(t, r, 2)
	receipt, err := cl.TransactionReceipt(t.Context(), tx.Hash())
	require.NoError(t, err)
	require.EqualValues(t, 1, receipt.Status)
	return receipt.ContractAddress
}

func TestThousandsOfEpochsAreMadeInSeconds(t *testing.T) {
	r := start(t, lotus.Config{NullRate: 0.05})
	began := time.Now()
	mine(t, r, 3000)
	t.Logf("3000 epochs in %s", time.Since(began))
	require.Greater(t, r.Head(), uint64(2950))
}

func TestAMessageIsExecutedByTheNextTipset(t *testing.T) {
	r := start(t, lotus.Config{})
	cl := dial(t, r.Node(0).HTTP())
	mine(t, r, 3)
	tx := send(t, cl, 0, nil, emitter)
	_, pending, err := cl.TransactionByHash(t.Context(), tx.Hash())
	require.NoError(t, err)
	require.True(t, pending)

	mine(t, r, 1)
	_, err = cl.TransactionReceipt(t.Context(), tx.Hash())
	require.Error(t, err, "the head has it, nobody executed it")
	number, err := cl.BlockNumber(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 3, number)

	mine(t, r, 1)
	receipt, err := cl.TransactionReceipt(t.Context(), tx.Hash())
	require.NoError(t, err)
	require.EqualValues(t, 4, receipt.BlockNumber.Uint64())
}
