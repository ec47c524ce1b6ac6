package stranger

import (
	"math/big"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

func TestThin(t *testing.T) {
	r := newRig(t)
	r.run()
	r.depositFLT(addressOf(r.user), eth(5))
	r.withdrawFLT(common.Address{19: 0x77}, eth(2))
	for _, x := range r.settled(2, 3*time.Minute) {
		require.Equal(t, tokens.Done, x.Status)
	}
	_ = ipc.KindCall
	_ = bindings.NewDevFlt
	_ = big.NewInt
}
