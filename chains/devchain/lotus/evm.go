package lotus

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/lotus/api"
	"github.com/filecoin-project/lotus/chain/types/ethtypes"
)

// evmCaller asks the EVM chain below.
type evmCaller struct{ *rpc.Client }

// at is a block parameter of the chain below.
func at(t *tip) map[string]any { return map[string]any{"blockHash": t.block} }

// exitReverted is the exit code of a contract that reverted.
const exitReverted = exitcode.ExitCode(33)

// ask sends one request on; a revert comes back as Lotus says it.
func (c *evmCaller) ask(ctx context.Context, method string, args ...any) (json.RawMessage, error) {
	var out json.RawMessage
	err := c.CallContext(ctx, &out, method, args...)
	if err == nil {
		return out, nil
	}
	var data rpc.DataError
	if !errors.As(err, &data) {
		return nil, err
	}
	text, ok := data.ErrorData().(string)
	if !ok && !strings.Contains(err.Error(), "revert") {
		return nil, errors.New(err.Error()) // the code is Lotus', not geth's
	}
	raw := common.FromHex(text)
	reason := "none"
	if len(raw) > 0 {
		reason = ethtypes.ParseEthRevert(raw)
	}
	return nil, api.NewErrExecutionReverted(exitReverted, "message failed with backtrace: contract reverted at 18", reason, raw)
}

// callOf is the call that a request describes. Fees are no part of it: Lotus
// does not look at them, where geth would hold them against the base fee.
func callOf(args []json.RawMessage) (map[string]json.RawMessage, error) {
	var call map[string]json.RawMessage
	if err := required(args, 0, &call); err != nil {
		return nil, err
	}
	for _, fee := range []string{"gasPrice", "maxFeePerGas", "maxPriorityFeePerGas"} {
		delete(call, fee)
	}
	return call, nil
}

// EthCall executes a call on the state after a tipset.
func (h *handler) EthCall(ctx context.Context, p rawParams) (json.RawMessage, error) {
	args, err := arguments(json.RawMessage(p))
	if err != nil {
		return nil, err
	}
	call, err := callOf(args)
	if err != nil {
		return nil, err
	}
	t, err := h.n.state(h.n.view(), args, 1)
	if err != nil {
		return nil, err
	}
	return h.n.root.evm.ask(ctx, "eth_call", call, at(t))
}

// EthEstimateGas estimates on the state after the head.
func (h *handler) EthEstimateGas(ctx context.Context, p rawParams) (json.RawMessage, error) {
	args, err := arguments(json.RawMessage(p))
	if err != nil {
		return nil, err
	}
	call, err := callOf(args)
	if err != nil {
		return nil, err
	}
	v := h.n.view()
	t := v.head()
	if len(args) > 1 {
		if t, err = h.n.state(v, args, 1); err != nil {
			return nil, err
		}
	}
	out, err := h.n.root.evm.ask(ctx, "eth_estimateGas", call, at(t))
	var reverted *api.ErrExecutionReverted
	if errors.As(err, &reverted) {
		return nil, err
	}
	if err != nil {
		return nil, errors.New("failed to estimate gas: " + err.Error())
	}
	var gas hexutil.Uint64
	if err := json.Unmarshal(out, &gas); err != nil {
		return nil, err
	}
	return json.Marshal(gas * hexutil.Uint64(h.n.root.cfg.GasFactor))
}

// EthGetBalance is an account's balance after a tipset.
func (h *handler) EthGetBalance(ctx context.Context, p rawParams) (json.RawMessage, error) {
	return h.account(ctx, "eth_getBalance", p, 1)
}

// EthGetCode is an account's code after a tipset.
func (h *handler) EthGetCode(ctx context.Context, p rawParams) (json.RawMessage, error) {
	return h.account(ctx, "eth_getCode", p, 1)
}

// EthGetStorageAt is a slot of an account after a tipset.
func (h *handler) EthGetStorageAt(ctx context.Context, p rawParams) (json.RawMessage, error) {
	return h.account(ctx, "eth_getStorageAt", p, 2)
}

// EthGetTransactionCount is an account's next nonce after a tipset; pending
// counts the messages in the pool too.
func (h *handler) EthGetTransactionCount(ctx context.Context, p rawParams) (json.RawMessage, error) {
	out, err := h.account(ctx, "eth_getTransactionCount", p, 1)
	if err != nil {
		return nil, err
	}
	args, err := arguments(json.RawMessage(p))
	if err != nil {
		return nil, err
	}
	var who common.Address
	if err := required(args, 0, &who); err != nil {
		return nil, err
	}
	if len(args) < 2 || string(args[1]) != `"pending"` {
		return out, nil
	}
	var nonce hexutil.Uint64
	if err := json.Unmarshal(out, &nonce); err != nil {
		return nil, err
	}
	return json.Marshal(hexutil.Uint64(h.n.root.pool.nonce(who, uint64(nonce))))
}

// account asks for something of an account: block is the place of the block
// parameter.
func (h *handler) account(ctx context.Context, method string, p rawParams, block int) (json.RawMessage, error) {
	args, err := arguments(json.RawMessage(p))
	if err != nil {
		return nil, err
	}
	if len(args) < block {
		return nil, errors.New("wrong param count")
	}
	t, err := h.n.state(h.n.view(), args, block)
	if err != nil {
		return nil, err
	}
	sent := make([]any, 0, block+1)
	for _, a := range args[:block] {
		sent = append(sent, a)
	}
	return h.n.root.evm.ask(ctx, method, append(sent, at(t))...)
}
