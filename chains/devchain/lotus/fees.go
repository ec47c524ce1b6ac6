package lotus

import (
	"context"
	"encoding/json"
	"errors"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/filecoin-project/lotus/chain/types/ethtypes"
)

// minPremium is what an empty chain asks for, in attoFIL per gas.
const minPremium = 100_000

// EthMaxPriorityFeePerGas is the premium that is usual.
func (h *handler) EthMaxPriorityFeePerGas(context.Context) (*hexutil.Big, error) {
	return (*hexutil.Big)(h.n.root.pool.usual()), nil
}

// EthGasPrice is base fee and premium.
func (h *handler) EthGasPrice(context.Context) (*hexutil.Big, error) {
	return (*hexutil.Big)(new(big.Int).Add(h.n.view().head().baseFee, h.n.root.pool.usual())), nil
}

// EthFeeHistory is the base fees of some tipsets up to one.
func (h *handler) EthFeeHistory(_ context.Context, p rawParams) (*ethtypes.EthFeeHistory, error) {
	args, err := arguments(json.RawMessage(p))
	if err != nil {
		return nil, err
	}
	var count ethtypes.EthUint64
	var percentiles *[]float64
	if err := required(args, 0, &count); err != nil {
		return nil, err
	}
	if err := argument(args, 2, &percentiles); err != nil {
		return nil, err
	}
	if count > 1024 {
		return nil, errors.New("block count should be smaller than 1024")
	}
	if percentiles != nil && len(*percentiles) > 100 {
		return nil, errors.New("length of the reward percentile array cannot be greater than 100")
	}
	v := h.n.view()
	newest, err := h.n.state(v, args, 1)
	if err != nil {
		return nil, err
	}
	out := &ethtypes.EthFeeHistory{OldestBlock: 1, GasUsedRatio: []float64{}}
	var rewards [][]ethtypes.EthBigInt
	last := v.index(newest.epoch)
	for i := max(1, last+1-int(count)); i <= last; i++ {
		if len(out.BaseFeePerGas) == 0 {
			out.OldestBlock = ethtypes.EthUint64(v[i].epoch)
		}
		out.BaseFeePerGas = append(out.BaseFeePerGas, bigOf(v[i].baseFee))
		out.GasUsedRatio = append(out.GasUsedRatio, 0)
		if percentiles != nil {
			row := make([]ethtypes.EthBigInt, len(*percentiles))
			for j := range row {
				row[j] = bigOf(h.n.root.pool.usual())
			}
			rewards = append(rewards, row)
		}
	}
	// Lotus cannot know the next base fee yet and repeats the last.
	out.BaseFeePerGas = append(out.BaseFeePerGas, bigOf(newest.baseFee))
	if percentiles != nil {
		out.Reward = &rewards
	}
	return out, nil
}

// EthSendRawTransaction puts a signed transaction into the pool.
func (h *handler) EthSendRawTransaction(_ context.Context, raw hexutil.Bytes) (common.Hash, error) {
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(raw); err != nil {
		return common.Hash{}, errors.New("failed to parse transaction: " + err.Error())
	}
	if h.n.Switches().SwallowTx {
		return tx.Hash(), nil
	}
	if err := h.n.root.pool.add(tx); err != nil {
		return common.Hash{}, err
	}
	return tx.Hash(), nil
}
