package filecoin

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
)

// finalized is the tipset that the node calls final, where its version means by that
// what F3 or the calculator of finality says: before, it is a depth, and ours counts.
func (c *Client) finalized(ctx context.Context) (chains.Block, error) {
	asks := []*evm.Ask{{Method: "Filecoin.Version"}, {Method: "Filecoin.ChainGetFinalizedTipSet"}}
	if err := c.AskAll(ctx, asks); err != nil {
		return chains.Block{}, err
	}
	if asks[0].Err != nil {
		return chains.Block{}, asks[0].Err
	}
	var said struct {
		Version string `json:"Version"`
	}
	if err := json.Unmarshal(asks[0].Result, &said); err != nil {
		return chains.Block{}, c.unavailable("its version does not decode")
	}
	if !knowsFinality(said.Version) {
		return chains.Block{}, c.unavailable("in a node of its version, finalized is a depth")
	}
	if asks[1].Err != nil {
		return chains.Block{}, asks[1].Err
	}
	b, err := decodeTipset(asks[1].Result)
	if err != nil {
		return chains.Block{}, c.unavailable("finalized tipset: %w", err)
	}
	return b, nil
}

// knowsFinality says whether a version of Lotus, such as 1.35.0+mainnet+git.1a2b, is
// 1.34 or newer. A candidate of 1.34.0 is older than it.
func knowsFinality(version string) bool {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "+")
	number, candidate, _ := strings.Cut(version, "-")
	parts := strings.Split(number, ".")
	if len(parts) != 3 {
		return false
	}
	var at [3]uint64
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 32)
		if err != nil {
			return false
		}
		at[i] = n
	}
	switch major, minor, patch := at[0], at[1], at[2]; {
	case major != 1:
		return major > 1
	case minor != 34 || patch > 0:
		return minor >= 34
	}
	return candidate == ""
}
