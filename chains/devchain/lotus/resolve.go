package lotus

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/lotus/api"
	"github.com/filecoin-project/lotus/chain/types/ethtypes"
)

// span is a number of epochs as time.
func (r *Root) span(epochs uint64) time.Duration {
	return time.Duration(epochs*r.cfg.delay()) * time.Second
}

// arguments splits the parameters of a request.
func arguments(params json.RawMessage) ([]json.RawMessage, error) {
	if len(params) == 0 || string(params) == "null" {
		return nil, nil
	}
	var args []json.RawMessage
	if err := json.Unmarshal(params, &args); err != nil {
		return nil, fmt.Errorf("decoding params: %w", err)
	}
	return args, nil
}

// argument decodes one; an absent one leaves out as it is.
func argument(args []json.RawMessage, i int, out any) error {
	if i >= len(args) || string(args[i]) == "null" {
		return nil
	}
	if err := json.Unmarshal(args[i], out); err != nil {
		return fmt.Errorf("decoding params: %w", err)
	}
	return nil
}

// required is argument for one that must be there.
func required(args []json.RawMessage, i int, out any) error {
	if i >= len(args) {
		return fmt.Errorf("wrong param count: %d", len(args))
	}
	return argument(args, i, out)
}

// state is the tip whose state a block parameter means. Null rounds mean the
// tipset before.
func (n *Node) state(v view, args []json.RawMessage, i int) (*tip, error) {
	latest := "latest"
	param := ethtypes.EthBlockNumberOrHash{PredefinedBlock: &latest}
	if i < len(args) && string(args[i]) != "null" {
		param = ethtypes.EthBlockNumberOrHash{}
		if err := json.Unmarshal(args[i], &param); err != nil {
			return nil, fmt.Errorf("decoding params: %w", err)
		}
	}
	switch {
	case param.PredefinedBlock != nil:
		return n.tagged(v, *param.PredefinedBlock)
	case param.BlockNumber != nil:
		return n.numbered(v, uint64(*param.BlockNumber))
	case param.BlockHash != nil:
		t, err := n.hashed(v, common.Hash(*param.BlockHash))
		if err == nil && param.RequireCanonical && !v.holds(t) {
			return nil, errors.New("tipset is not canonical")
		}
		return t, err
	}
	return nil, errors.New("invalid block param")
}

// block is the tip that a block parameter names: a null round has none.
func (n *Node) block(v view, args []json.RawMessage, i int) (*tip, error) {
	var text string
	if err := required(args, i, &text); err != nil {
		return nil, err
	}
	if len(text) == 66 {
		return n.hashed(v, common.HexToHash(text))
	}
	switch text {
	case ethtypes.BlockTagEarliest, ethtypes.BlockTagPending, ethtypes.BlockTagLatest, ethtypes.BlockTagFinalized, ethtypes.BlockTagSafe:
		return n.tagged(v, text)
	}
	number, err := ethtypes.EthUint64FromString(text)
	if err != nil {
		return nil, fmt.Errorf("failed to parse block number: %w", err)
	}
	t, err := n.numbered(v, uint64(number))
	if err != nil {
		return nil, err
	}
	if t.epoch != uint64(number) {
		return nil, api.NewErrNullRound(abi.ChainEpoch(number))
	}
	return t, nil
}

func (n *Node) tagged(v view, tag string) (*tip, error) {
	switch tag {
	case ethtypes.BlockTagEarliest:
		return nil, fmt.Errorf(`block param "%s" is not supported`, tag)
	case ethtypes.BlockTagPending:
		return v.head(), nil
	case ethtypes.BlockTagLatest:
		return v.latest(), nil
	case ethtypes.BlockTagSafe:
		return n.safe(v), nil
	case ethtypes.BlockTagFinalized:
		return n.finalized(v), nil
	}
	return nil, fmt.Errorf("unknown block tag: %s", tag)
}

// numbered is the tip at or below an epoch. The head's own epoch is the future:
// nothing of it is executed.
func (n *Node) numbered(v view, epoch uint64) (*tip, error) {
	if head := v.head().epoch; epoch > max(head, 1)-1 {
		return nil, errors.New("requested a future epoch (beyond 'latest')")
	}
	if epoch == 0 && n.Switches().WrongGenesis {
		return n.otherGenesis(v)
	}
	return v.at(epoch), n.reach(epoch)
}

func (n *Node) hashed(v view, hash common.Hash) (*tip, error) {
	t := n.root.find(hash)
	if t == nil || t.epoch > v.head().epoch {
		return nil, fmt.Errorf("failed to get tipset by hash: ipld: could not find %s", ethtypes.EthHash(hash).ToCid())
	}
	return t, n.reach(t.epoch)
}

// deep is the tip a number of epochs below the head.
func (v view) deep(depth uint64) *tip {
	head := v.head().epoch
	return v.at(head - min(head, depth))
}
