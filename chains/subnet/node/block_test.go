package node

import (
	"bytes"
	"math/big"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/crypto/secp256k1"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmttypes "github.com/cometbft/cometbft/types"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/causeway-bridge/causeway/chains/ipc"
)

func testBlock() *types.Block {
	h := &types.Header{Number: big.NewInt(7), Difficulty: new(big.Int), GasLimit: 30_000_000, Time: 9, BaseFee: big.NewInt(7), Extra: []byte(extraData),
		WithdrawalsHash: &types.EmptyWithdrawalsHash, BlobGasUsed: new(uint64), ExcessBlobGas: new(uint64), ParentBeaconRoot: &common.Hash{}, RequestsHash: &types.EmptyRequestsHash}
	tx := types.MustSignNewTx(testKey("relayer"), types.LatestSignerForChainID(big.NewInt(1)), &types.DynamicFeeTx{ChainID: big.NewInt(1), Gas: 21000, GasFeeCap: big.NewInt(9), To: &common.Address{1}})
	return types.NewBlockWithHeader(h).WithBody(types.Body{Transactions: types.Transactions{tx}, Withdrawals: types.Withdrawals{}})
}

func TestAProposalReadsBackAsItWasWritten(t *testing.T) {
	p := proposal{Block: testBlock(), Round: 3, Votes: []vote{{common.Address{1}, []byte("ext"), bytes.Repeat([]byte{2}, 64)}}}
	tx, err := p.encode()
	require.NoError(t, err)
	back, err := decodeProposal([][]byte{tx})
	require.NoError(t, err)
	require.Equal(t, p.Block.Hash(), back.Block.Hash())
	require.Equal(t, p.Votes, back.Votes)
	require.Equal(t, p.Round, back.Round)
}

func TestAProposalOfAnotherShapeIsRefused(t *testing.T) {
	good, err := proposal{Block: testBlock()}.encode()
	require.NoError(t, err)
	many := make([]vote, maxValidators+1)
	long := []vote{{Extension: make([]byte, maxExtension+1)}}
	for name, txs := range map[string][][]byte{
		"nothing":             nil,
		"two transactions":    {good, good},
		"empty":               {{}},
		"trailing byte":       {append(bytes.Clone(good), 0)},
		"cut short":           {good[:len(good)-1]},
		"too large":           {make([]byte, maxProposal+1)},
		"too many votes":      {must(rlp.EncodeToBytes(&proposal{Block: testBlock(), Votes: many}))},
		"oversized extension": {must(rlp.EncodeToBytes(&proposal{Block: testBlock(), Votes: long}))},
		"absurd round":        {must(rlp.EncodeToBytes(&proposal{Block: testBlock(), Round: 1 << 40}))},
	} {
		_, err := decodeProposal(txs)
		require.Error(t, err, name)
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func FuzzDecodeProposal(f *testing.F) {
	good, _ := proposal{Block: testBlock(), Round: 1, Votes: []vote{{common.Address{1}, []byte{1}, []byte{2}}}}.encode()
	f.Add(good)
	f.Add([]byte{0xc0})
	f.Add([]byte{0xc3, 0xc0, 0x80, 0xc0})
	f.Fuzz(func(t *testing.T, tx []byte) {
		p, err := decodeProposal([][]byte{tx})
		if err != nil {
			return
		}
		again, err := p.encode()
		if err != nil || !bytes.Equal(again, tx) {
			t.Fatalf("accepted %x, writes %x: %v", tx, again, err)
		}
	})
}

// signedVotes are the extensions of n validators at a height.
func signedVotes(t *testing.T, height int64, round int32, n int) (voters, []vote) {
	var entries []ipc.Validator
	for i := range n {
		k := testKey(string(rune('a' + i)))
		entries = append(entries, ipc.Validator{Weight: big.NewInt(1e18), Addr: addrOf(k), Metadata: crypto.FromECDSAPub(&k.PublicKey)})
	}
	set, err := newVoters(ipc.NewValidatorSet(entries, 3))
	require.NoError(t, err)
	var votes []vote
	for i := range n {
		priv := secp256k1.PrivKey(crypto.FromECDSA(testKey(string(rune('a' + i)))))
		ext := []byte{byte(i)}
		sig, err := priv.Sign(cmttypes.VoteExtensionSignBytes("1", &cmtproto.Vote{Height: height - 1, Round: round, Extension: ext}))
		require.NoError(t, err)
		votes = append(votes, vote{common.BytesToAddress(priv.PubKey().Address()), ext, sig})
	}
	return set, votes
}

func TestExtensionsNeedMoreThanTwoThirdsOfTheSetAndGenuineSignatures(t *testing.T) {
	set, votes := signedVotes(t, 9, 2, 4)
	ok := func(height int64, round uint64, v []vote) error {
		return verifyVotes("1", height, &proposal{Round: round, Votes: v}, set)
	}
	require.NoError(t, ok(9, 2, votes))
	require.NoError(t, ok(9, 2, votes[:3]))
	require.Error(t, ok(9, 2, votes[:2]), "half is not enough")
	require.Error(t, ok(9, 2, nil))
	require.Error(t, ok(9, 1, votes), "another round")
	require.Error(t, ok(10, 2, votes), "another height")
	require.Error(t, ok(9, 2, []vote{votes[0], votes[1], votes[0]}), "one vote twice")
	bad := append([]vote(nil), votes...)
	bad[1].Extension = []byte{99}
	require.Error(t, ok(9, 2, bad), "another extension")
	bad[1] = votes[1]
	bad[1].Address = common.Address{7}
	require.Error(t, ok(9, 2, bad), "a stranger")
	require.NoError(t, ok(1, 0, nil), "block 1 has none")
	require.Error(t, ok(1, 0, votes))
	require.Len(t, packVotes(abci.ExtendedCommitInfo{Votes: []abci.ExtendedVoteInfo{
		{BlockIdFlag: cmtproto.BlockIDFlagAbsent}, {BlockIdFlag: cmtproto.BlockIDFlagCommit}, {BlockIdFlag: cmtproto.BlockIDFlagNil},
	}}), 1)
}

// TestAProposerChoosesNothing changes every attribute a proposer could touch.
func TestAProposerChoosesNothing(t *testing.T) {
	t.Parallel()
	r := startRig(t, 5)
	r.reach(2)
	require.NoError(t, r.node.comet.Stop()) // the chain stands still; geth is up
	a := r.node.app
	parent, me := a.evm.head(), r.node.Validator()
	now := time.Unix(int64(parent.Time+100), 0)
	unix := nextTime(parent, now)
	block, err := a.evm.build(t.Context(), parent, unix, me)
	require.NoError(t, err)
	check := func(h *types.Header, txs ...*types.Transaction) error { return a.evm.check(h, parent, txs, unix, me) }
	require.NoError(t, check(block.Header()))
	one := uint64(1)
	for name, spoil := range map[string]func(*types.Header){
		"parent":      func(h *types.Header) { h.ParentHash[0] ^= 1 },
		"number":      func(h *types.Header) { h.Number.Add(h.Number, big.NewInt(1)) },
		"time":        func(h *types.Header) { h.Time++ },
		"coinbase":    func(h *types.Header) { h.Coinbase[0] ^= 1 },
		"randao":      func(h *types.Header) { h.MixDigest[0] ^= 1 },
		"extra data":  func(h *types.Header) { h.Extra = []byte("mine") },
		"gas limit":   func(h *types.Header) { h.GasLimit++ },
		"beacon root": func(h *types.Header) { h.ParentBeaconRoot = &common.Hash{1} },
		"withdrawals": func(h *types.Header) { h.WithdrawalsHash = &common.Hash{1} },
		"blob gas":    func(h *types.Header) { h.BlobGasUsed = &one },
	} {
		h := types.CopyHeader(block.Header())
		spoil(h)
		require.ErrorIs(t, check(h), errInvalidBlock, name)
	}
	require.ErrorIs(t, check(block.Header(), types.NewTx(&types.BlobTx{})), errInvalidBlock)

	// What check cannot see, execution does.
	h := block.Header()
	h.Root[0] ^= 1
	require.Error(t, a.evm.execute(t.Context(), types.NewBlockWithHeader(h).WithBody(*block.Body())))
	require.NoError(t, a.evm.execute(t.Context(), block))
	require.Equal(t, parent.Hash(), a.evm.head().Hash(), "execution moves no head")
}

func TestADamagedProposalIsRefusedOrReadsBackAlike(t *testing.T) {
	good, err := proposal{Block: testBlock(), Round: 1, Votes: []vote{{common.Address{1}, []byte("ext"), bytes.Repeat([]byte{2}, 64)}}}.encode()
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		tx := bytes.Clone(good)
		for range rapid.IntRange(1, 4).Draw(t, "hits") {
			at := rapid.IntRange(0, len(tx)-1).Draw(t, "at")
			tx[at] = rapid.Byte().Draw(t, "byte")
		}
		tx = tx[:rapid.IntRange(0, len(tx)).Draw(t, "length")]
		p, err := decodeProposal([][]byte{tx})
		if err != nil {
			return
		}
		again, err := p.encode()
		if err != nil || !bytes.Equal(again, tx) {
			t.Fatalf("accepted %x, writes %x: %v", tx, again, err)
		}
	})
}
