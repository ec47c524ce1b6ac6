package store

import (
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// FuzzAProposalIsReadOrRefused: what is read can be kept, and comes back the same.
func FuzzAProposalIsReadOrRefused(f *testing.F) {
	id := axelar.MessageID{Tx: common.Hash{1}, Index: 2}
	good := Proposal{To: "filecoin", Digest: common.Hash{3}, Set: common.Hash{4}, Signers: []common.Address{{5}}, Messages: []ProposedMessage{{
		From: "Ethereum", ID: id, Message: axelar.Message{SourceChain: "axelar", ID: id.String(), SourceAddress: "axelar1", Contract: common.Address{6}, PayloadHash: common.Hash{7}},
	}}}
	raw, err := good.encode()
	require.NoError(f, err)
	f.Add("000001760000000 " + string(raw))
	f.Add("1 {}")
	f.Add(" ")
	f.Add("1 " + strings.Replace(string(raw), `"messages"`, `"next":{"signers":[{"address":"0x0000000000000000000000000000000000000001","weight":1}],"threshold":1,"nonce":"0x0000000000000000000000000000000000000000000000000000000000000000"},"x"`, 1))
	f.Fuzz(func(t *testing.T, text string) {
		p, err := decodeProposal(good.name(), text)
		if err != nil {
			return
		}
		require.Equal(t, good.name(), p.name())
		raw, err := p.encode()
		require.NoError(t, err)
		at, _, _ := strings.Cut(text, " ")
		again, err := decodeProposal(good.name(), at+" "+string(raw))
		require.NoError(t, err)
		require.Equal(t, p, again)
	})
}
