package lotus_test

import (
	"context"
	"math/big"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/filecoin-project/lotus/api"
	"github.com/filecoin-project/lotus/api/client"
	"github.com/filecoin-project/lotus/chain/types"
	"github.com/filecoin-project/lotus/chain/types/ethtypes"
	"github.com/stretchr/testify/require"
)

func lotusClient(t *testing.T, url string) api.FullNode {
	t.Helper()
	cl, closer, err := client.NewFullNodeRPCV1(t.Context(), url, nil)
	require.NoError(t, err)
	t.Cleanup(closer)
	return cl
}

func TestTipsetsLinkAndHashToTheirKeys(t *testing.T) {
	r := start(t, lotus.Config{})
	r.NullAt(3, 4, 7)
	mine(t, r, 12)
	for _, url := range []string{r.Node(0).HTTP(), r.Node(0).WS()} {
		full := lotusClient(t, url)
		ts, err := full.ChainHead(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 12, ts.Height())
		seen := map[int64]bool{}
		for ts.Height() > 0 {
			seen[int64(ts.Height())] = true
			parent, err := full.ChainGetTipSet(t.Context(), ts.Parents())
			require.NoError(t, err)
			require.Equal(t, ts.Parents(), parent.Key(), "the headers hash to what the child says")
			require.EqualValues(t, 30*(ts.Height()-parent.Height()), ts.MinTimestamp()-parent.MinTimestamp())
			ts = parent
		}
		require.Len(t, seen, 9)
		genesis, err := full.ChainGetGenesis(t.Context())
		require.NoError(t, err)
		require.Equal(t, genesis.Key(), ts.Key())
		require.Empty(t, genesis.Parents().Cids())
	}
}

func TestANullRoundHasNoBlockAndMeansTheOneBefore(t *testing.T) {
	r := start(t, lotus.Config{})
	r.NullAt(3, 4)
	mine(t, r, 8)
	full, cl := lotusClient(t, r.Node(0).HTTP()), dial(t, r.Node(0).HTTP())
	before, err := full.ChainGetTipSetByHeight(t.Context(), 4, types.EmptyTSK)
	require.NoError(t, err)
	require.EqualValues(t, 2, before.Height())
	after, err := full.ChainGetTipSetAfterHeight(t.Context(), 3, types.EmptyTSK)
	require.NoError(t, err)
	require.EqualValues(t, 5, after.Height())

	_, err = full.EthGetBlockByNumber(t.Context(), "0x3", false)
	var null *api.ErrNullRound
	require.ErrorAs(t, err, &null)
	require.EqualValues(t, 3, null.Epoch)
	var raw map[string]any
	require.ErrorContains(t, cl.Client().CallContext(t.Context(), &raw, "eth_getBlockByNumber", "0x4", false), "requested epoch was a null round (4)")

	var five struct{ Hash, ParentHash common.Hash }
	require.NoError(t, cl.Client().CallContext(t.Context(), &five, "eth_getBlockByNumber", "0x5", false))
	id, err := before.Key().Cid()
	require.NoError(t, err)
	hash, err := ethtypes.EthHashFromCid(id)
	require.NoError(t, err)
	require.Equal(t, common.Hash(hash), five.ParentHash, "the parent of a block after null rounds is the tipset before them")
	_, err = cl.BalanceAt(t.Context(), common.Address{1}, common.Big3)
	require.NoError(t, err, "state is that of the tipset before")
	require.ErrorContains(t, cl.Client().CallContext(t.Context(), &raw, "eth_getBlockByNumber", "0x8", false), "requested a future epoch")
}

// A contract sees the epoch as block.number, across null rounds, a reorg and a stop.
func TestAContractSeesTheEpochAsItsBlockNumber(t *testing.T) {
	_, rich := key("rich")
	cfg := lotus.Config{
		DataDir: t.TempDir(), ChainID: chainID, Manual: true, Alloc: map[common.Address]*big.Int{rich: ether(1)},
		GenesisTime: uint64(time.Now().Add(-time.Hour).Unix()),
	}
	r, err := lotus.Start(t.Context(), cfg)
	require.NoError(t, err)
	r.NullAt(2, 5, 6, 7)
	mine(t, r, 12)
	r.NullAt(9)
	require.NoError(t, r.Reorg(t.Context(), 4))
	check := func(cl *ethclient.Client, head uint64) {
		t.Helper()
		for epoch := uint64(1); epoch < head; epoch++ {
			// NUMBER, as what a contract that is made answers with.
			out, err := cl.CallContract(t.Context(), ethereum.CallMsg{Data: common.FromHex("435f5260205ff3")}, new(big.Int).SetUint64(epoch))
			require.NoError(t, err)
			want := epoch
			for want == 2 || want >= 5 && want <= 7 || want == 9 {
				want-- // the state of a null round is that of the tipset before
			}
			require.Equal(t, want, new(big.Int).SetBytes(out).Uint64(), "epoch %d", epoch)
		}
	}
	cl := dial(t, r.Node(0).HTTP())
	check(cl, 12)
	cl.Close()
	require.NoError(t, r.Close())

	again := start(t, cfg)
	mine(t, again, 3)
	check(dial(t, again.Node(0).HTTP()), 15)
}

func TestChangesOfTheHeadAreNotified(t *testing.T) {
	r := start(t, lotus.Config{})
	mine(t, r, 2)
	full := lotusClient(t, r.Node(0).WS())
	changes, err := full.ChainNotify(t.Context())
	require.NoError(t, err)
	first := <-changes
	require.Equal(t, "current", first[0].Type)
	require.EqualValues(t, 2, first[0].Val.Height())
	mine(t, r, 3)
	for want := 3; want <= 5; {
		for _, c := range <-changes {
			require.Equal(t, "apply", c.Type)
			require.EqualValues(t, want, c.Val.Height())
			want++
		}
	}
	_, err = lotusClient(t, r.Node(0).HTTP()).ChainNotify(t.Context())
	require.Error(t, err, "not over http")
}

func TestANodeTellsWhoItIs(t *testing.T) {
	r := start(t, lotus.Config{NetworkName: "calibration"})
	full := lotusClient(t, r.Node(0).HTTP())
	version, err := full.Version(t.Context())
	require.NoError(t, err)
	require.Equal(t, "1.35.0", version.Version)
	require.EqualValues(t, 30, version.BlockDelay)
	name, err := full.StateNetworkName(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, "calibration", name)
	id, err := full.EthChainId(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, chainID, id)
}

func TestABatchIsForHTTPOnly(t *testing.T) {
	r := start(t, lotus.Config{})
	mine(t, r, 3)
	ask := func(url string) (string, error) {
		var number, id string
		batch := []rpc.BatchElem{{Method: "eth_blockNumber", Result: &number}, {Method: "eth_chainId", Result: &id}}
		ctx, stop := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer stop()
		err := dial(t, url).Client().BatchCallContext(ctx, batch)
		return number, err
	}
	number, err := ask(r.Node(0).HTTP())
	require.NoError(t, err)
	require.Equal(t, "0x2", number)
	_, err = ask(r.Node(0).WS())
	require.Error(t, err, "Lotus reads one request to a message there")
}
