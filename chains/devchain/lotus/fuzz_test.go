package lotus

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func FuzzRecordsAreReadWithinBounds(f *testing.F) {
	f.Add([]byte(`{"epoch":1,"block":"0x11","salt":1,"width":1,"base_fee":100,"final":3}` + "\n"))
	f.Add([]byte(`{"drop":1,"epoch":1,"width":1,"base_fee":1}` + "\n"))
	f.Add([]byte("{}\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		kept, finals, err := readRecords(raw)
		if err != nil {
			return
		}
		for _, r := range kept {
			require.True(t, r.Width >= 1 && r.Width <= 3 && r.BaseFee.Sign() >= 0)
		}
		for i := 1; i < len(finals); i++ {
			require.Greater(t, finals[i], finals[i-1])
		}
	})
}

func FuzzStruckReadsAnyMessage(f *testing.F) {
	f.Add([]byte(`{"id":1,"method":"eth_call"}`), "eth_call")
	f.Add([]byte(`[{"id":1,"method":"dev_set"},{}]`), "")
	f.Add([]byte(`[`), "x")
	f.Fuzz(func(t *testing.T, raw []byte, method string) {
		ids, hit := struck(raw, method)
		require.True(t, !hit || len(ids) > 0)
	})
}

// FuzzAnyParametersGetAnAnswerOrAnError gives each method that decodes its own
// parameters what a stranger may send.
func FuzzAnyParametersGetAnAnswerOrAnError(f *testing.F) {
	r, err := Start(context.Background(), Config{ChainID: 1, Manual: true, GenesisTime: uint64(time.Now().Unix()) - 1e6})
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, r.Close()) })
	r.NullAt(3)
	require.NoError(f, r.Mine(context.Background(), 6))
	h := &handler{r.Node(0)}
	asks := []func(context.Context, rawParams) error{
		func(ctx context.Context, p rawParams) error { _, err := h.EthGetLogs(ctx, p); return err },
		func(ctx context.Context, p rawParams) error { _, err := h.EthGetBlockByNumber(ctx, p); return err },
		func(ctx context.Context, p rawParams) error { _, err := h.EthGetBlockReceipts(ctx, p); return err },
		func(ctx context.Context, p rawParams) error { _, err := h.EthFeeHistory(ctx, p); return err },
		func(ctx context.Context, p rawParams) error { _, err := h.EthCall(ctx, p); return err },
		func(ctx context.Context, p rawParams) error { _, err := h.EthGetTransactionCount(ctx, p); return err },
		func(ctx context.Context, p rawParams) error { _, err := h.EthGetStorageAt(ctx, p); return err },
	}
	for i, seed := range []string{
		`[{"fromBlock":"0x0","toBlock":"latest","topics":[null,["0x` + "00" + `"]]}]`, `["0x3",true]`, `["latest"]`, `["0x5","latest",[1,2]]`,
		`[{"to":null,"data":"0x00"},{"blockNumber":"0x2"}]`, `["0x0000000000000000000000000000000000000001","pending"]`,
		`["0x0000000000000000000000000000000000000001","0x0","0xffffffffffffffff"]`, `[]`, `null`, `{}`, `[{"blockHash":"0x11"}]`,
	} {
		f.Add(uint8(i), []byte(seed))
	}
	f.Fuzz(func(t *testing.T, which uint8, raw []byte) {
		if !json.Valid(raw) {
			return
		}
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		_ = asks[int(which)%len(asks)](ctx, raw) // either will do; a panic will not
	})
}
