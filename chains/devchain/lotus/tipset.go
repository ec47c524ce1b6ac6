package lotus

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"sort"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	fbig "github.com/filecoin-project/go-state-types/big"
	fcrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/lotus/chain/types"
	"github.com/filecoin-project/lotus/chain/types/ethtypes"
)

// tip is a tipset in short: what its headers are made from again when they are
// asked for. It does not change once made.
type tip struct {
	parent  *tip // nil at genesis
	epoch   uint64
	number  uint64      // of its block in the EVM chain below
	block   common.Hash // of that block
	salt    uint64      // tells tipsets of one epoch and parent apart
	width   int         // blocks
	baseFee *big.Int    // attoFIL per gas
	key     types.TipSetKey
	hash    common.Hash // as eth_* names it
}

// parents is the key of the parent; genesis has the empty one.
func (t *tip) parents() types.TipSetKey {
	if t.parent == nil {
		return types.EmptyTSK
	}
	return t.parent.key
}

// tipset makes the headers.
func (r *Root) tipset(t *tip) (*types.TipSet, error) {
	headers := make([]*types.BlockHeader, t.width)
	for i := range headers {
		h, err := r.header(t, i)
		if err != nil {
			return nil, fmt.Errorf("header of epoch %d: %w", t.epoch, err)
		}
		headers[i] = h
	}
	ts, err := types.NewTipSet(headers)
	if err != nil {
		return nil, fmt.Errorf("tipset of epoch %d: %w", t.epoch, err)
	}
	return ts, nil
}

// header is the block of miner i: it carries what the execution of the parent
// gave (state, receipts), and the messages that its child will execute.
func (r *Root) header(t *tip, i int) (*types.BlockHeader, error) {
	miner, err := address.NewIDAddress(1000 + uint64(i))
	if err != nil {
		return nil, err
	}
	own := r.chain.Header(t.block)
	if own == nil {
		return nil, fmt.Errorf("[BUG] no block %s", t.block)
	}
	root, receipts := common.Hash{}, common.Hash{}
	if t.parent != nil {
		above := r.chain.Header(t.parent.block)
		if above == nil {
			return nil, fmt.Errorf("[BUG] no block %s", t.parent.block)
		}
		root, receipts = above.Root, above.ReceiptHash
	}
	state, err := abi.CidBuilder.Sum(root[:])
	if err != nil {
		return nil, err
	}
	executed, err := abi.CidBuilder.Sum(receipts[:])
	if err != nil {
		return nil, err
	}
	messages, err := abi.CidBuilder.Sum(append(own.TxHash.Bytes(), byte(i)))
	if err != nil {
		return nil, err
	}
	proof := r.proof(t, i)
	signature := fcrypto.Signature{Type: fcrypto.SigTypeBLS, Data: append(proof, append(proof, proof...)...)}
	return &types.BlockHeader{
		Miner:                 miner,
		Ticket:                &types.Ticket{VRFProof: proof},
		ElectionProof:         &types.ElectionProof{WinCount: 1, VRFProof: proof},
		BeaconEntries:         []types.BeaconEntry{},
		Parents:               t.parents().Cids(),
		ParentWeight:          fbig.NewIntUnsigned(t.number * 1000),
		Height:                abi.ChainEpoch(t.epoch),
		ParentStateRoot:       state,
		ParentMessageReceipts: executed,
		Messages:              messages,
		BLSAggregate:          &signature,
		Timestamp:             r.timeOf(t.epoch),
		BlockSig:              &signature,
		ParentBaseFee:         abi.TokenAmount{Int: new(big.Int).Set(t.baseFee)},
	}, nil
}

// proof stands for the draws that differ from block to block.
func (r *Root) proof(t *tip, i int) []byte {
	var seed [24]byte
	binary.BigEndian.PutUint64(seed[0:], t.epoch)
	binary.BigEndian.PutUint64(seed[8:], t.salt)
	binary.BigEndian.PutUint64(seed[16:], uint64(i))
	return crypto.Keccak256(r.genesis[:], t.block[:], seed[:])
}

// name fills in the tip's key and hash.
func (r *Root) name(t *tip) error {
	ts, err := r.tipset(t)
	if err != nil {
		return err
	}
	t.key = ts.Key()
	if t.hash, err = hashOf(t.key); err != nil {
		return fmt.Errorf("hash of epoch %d: %w", t.epoch, err)
	}
	return nil
}

// hashOf is how eth_* names a tipset.
func hashOf(key types.TipSetKey) (common.Hash, error) {
	id, err := key.Cid()
	if err != nil {
		return common.Hash{}, err
	}
	hash, err := ethtypes.EthHashFromCid(id)
	return common.Hash(hash), err
}

// view is a chain as somebody sees it, from genesis up. A view that was handed
// out does not change: growth appends, a reorg makes another.
type view []*tip

func (v view) head() *tip { return v[len(v)-1] }

// latest is the newest tipset whose messages are executed.
func (v view) latest() *tip { return v[max(0, len(v)-2)] }

// index is the place of the newest tip at or below an epoch.
func (v view) index(epoch uint64) int {
	return max(0, sort.Search(len(v), func(i int) bool { return v[i].epoch > epoch })-1)
}

// at is the newest tip at or below an epoch.
func (v view) at(epoch uint64) *tip { return v[v.index(epoch)] }

// holds says whether a tip is on this chain.
func (v view) holds(t *tip) bool { return v.at(t.epoch) == t }

// executed says whether a tip is on this chain and has a child on it.
func (v view) executed(t *tip) bool { return v.holds(t) && t != v.head() }
