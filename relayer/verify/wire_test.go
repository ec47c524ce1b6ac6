package verify

import (
	"encoding/json"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
)

// Whatever a node sends, an answer is refused or its events are of this block,
// in order.
func FuzzAnswersOfANode(f *testing.F) {
	tx, hash := common.Hash{1}.Hex(), common.Hash{2}.Hex()
	receipt := `[{"transactionHash":"` + tx + `","blockNumber":"0x5","blockHash":"` + hash + `","logs":[` +
		`{"address":"0x00000000000000000000000000000000000000c0","topics":["` + tx + `"],"data":"0x01","blockHash":"` + hash + `","transactionHash":"` + tx + `","logIndex":"0x3"}]}]`
	for _, s := range []string{receipt, `[]`, `null`, `[null]`, `[{}]`, `[{"logs":[{}]}]`, `[{"logs":null}]`} {
		f.Add([]byte(s), []byte(`{"number":"0x5","hash":"`+hash+`","parentHash":"`+tx+`","timestamp":"0x1","transactions":["`+tx+`"]}`))
	}
	f.Add([]byte(receipt), []byte(`{}`))
	f.Fuzz(func(t *testing.T, receipts, head []byte) {
		var w wireBlock
		var rs []*wireReceipt
		if json.Unmarshal(head, &w) != nil || json.Unmarshal(receipts, &rs) != nil {
			return
		}
		b, err := w.decode(5)
		if err != nil {
			return
		}
		events, err := eventsOf(b, rs)
		if err != nil {
			return
		}
		var before chains.Event
		for i, e := range events {
			if e.Block != 5 || e.BlockHash != b.Hash || len(e.Topics) > 4 || i > 0 && e.Index <= before.Index {
				t.Fatalf("event %+v of block %+v", e, b)
			}
			before = e
		}
	})
}
