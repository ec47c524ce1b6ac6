package fake

import (
	"bytes"
	"encoding/json"
	"math/big"

	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// Actor is what a subnet's actor answers to a probe.
type Actor struct {
	Period uint64         // blocks between checkpoints
	Supply common.Address // the ERC-20 that is the subnet's coin
}

// Contracts makes the node say that our contracts are at every address, as
// somebody who probes them must see it. Actor tells which of them are subnet
// actors; code, which addresses have any.
func (n *Node) Contracts(actor func(common.Address) (Actor, bool), code func(common.Address) bool) error {
	own, err := ownCode()
	if err != nil {
		return err
	}
	abi, err := bindings.SubnetActorMetaData.ParseABI()
	if err != nil {
		return err
	}
	n.On("eth_getStorageAt", Answer(common.Hash{})) // no proxy
	n.OnCall(func(to common.Address, data []byte) ([]byte, *Error) {
		a, ok := actor(to)
		if !ok || len(data) < 4 {
			return nil, nil
		}
		for name, answer := range map[string]any{
			"bottomUpCheckPeriod": new(big.Int).SetUint64(a.Period),
			"supplySource":        bindings.Asset{Kind: 1, TokenAddress: a.Supply},
		} {
			if m := abi.Methods[name]; bytes.Equal(m.ID, data[:4]) {
				out, err := m.Outputs.Pack(answer)
				if err != nil {
					panic(err)
				}
				return out, nil
			}
		}
		return nil, nil
	})
	n.On("eth_getCode", func(c *Call, _ func()) {
		var at common.Address
		c.Result = hexutil.Bytes{}
		if json.Unmarshal(c.Params[0], &at) == nil && code(at) {
			c.Result = own
		}
	})
	return nil
}

// ownCode names every function of our contracts as a compiled dispatcher does,
// which is what a probe goes by where a call tells nothing.
func ownCode() (hexutil.Bytes, error) {
	code := hexutil.Bytes{}
	for _, m := range []*bind.MetaData{&bindings.GatewayMetaData, &bindings.SubnetActorMetaData, &bindings.SubnetGatewayMetaData} {
		parsed, err := m.ParseABI()
		if err != nil {
			return nil, err
		}
		for _, method := range parsed.Methods {
			code = append(append(code, 0x63), method.ID...) // PUSH4
		}
	}
	return append(code, 0x00), nil
}
