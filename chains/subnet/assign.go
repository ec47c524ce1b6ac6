package subnet

import (
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
)

// assign puts an unpacked ABI value where out points.
func assign(out, v any) error {
	switch o := out.(type) {
	case *uint64:
		switch n := v.(type) {
		case uint64:
			*o = n
			return nil
		case *big.Int:
			if !n.IsUint64() {
				return fmt.Errorf("%s is above 2^64", n)
			}
			*o = n.Uint64()
			return nil
		}
	case **big.Int:
		if n, ok := v.(*big.Int); ok {
			*o = n
			return nil
		}
	case *[32]byte:
		if h, ok := v.([32]byte); ok {
			*o = h
			return nil
		}
	case *bool:
		if b, ok := v.(bool); ok {
			*o = b
			return nil
		}
	case *uint8:
		if n, ok := v.(uint8); ok {
			*o = n
			return nil
		}
	case *common.Address:
		if a, ok := v.(common.Address); ok {
			*o = a
			return nil
		}
	case *ipc.ParentFinality:
		*o = *abi.ConvertType(v, new(ipc.ParentFinality)).(*ipc.ParentFinality)
		return nil
	case *[]ipc.Validator:
		*o = *abi.ConvertType(v, new([]ipc.Validator)).(*[]ipc.Validator)
		return nil
	case *asset:
		*o = *abi.ConvertType(v, new(asset)).(*asset)
		return nil
	case *[]pendingEntry:
		*o = *abi.ConvertType(v, new([]pendingEntry)).(*[]pendingEntry)
		return nil
	}
	return fmt.Errorf("[BUG] no way from %T to %T", v, out)
}
