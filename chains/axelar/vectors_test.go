package axelar

import (
	"encoding/json"
	"math/big"
	"os"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/stretchr/testify/require"
)

// The vectors are encodings that the published contracts accepted, and reverts
// that they gave, on two development chains.

type vSigners struct {
	Signers []struct {
		Signer common.Address
		Weight string
	}
	Threshold string
	Nonce     common.Hash
}

func number(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		panic("no number: " + s)
	}
	return n
}

func (v vSigners) set() WeightedSigners {
	s := WeightedSigners{Threshold: number(v.Threshold), Nonce: v.Nonce}
	for _, w := range v.Signers {
		s.Signers = append(s.Signers, WeightedSigner{Signer: w.Signer, Weight: number(w.Weight)})
	}
	return s
}

type vMessage struct {
	SourceChain, MessageID, SourceAddress string
	ContractAddress                       common.Address
	PayloadHash                           common.Hash
}

func (v vMessage) message() Message {
	return Message{SourceChain: v.SourceChain, ID: v.MessageID, SourceAddress: v.SourceAddress, Contract: v.ContractAddress, PayloadHash: v.PayloadHash}
}

type vChain struct {
	ChainID            chains.ID
	Addrs              map[string]common.Address
	DomainSeparator    common.Hash
	Signers            vSigners
	SignersHash        common.Hash
	SignersAbi         hexutil.Bytes
	GatewaySetupParams hexutil.Bytes
	ItsSetupParams     hexutil.Bytes
}

type vStep struct {
	Name   string
	Source struct {
		Chain                                string
		ChainID                              chains.ID
		TxMessageID                          string
		ReceiptLogIndex, BlockLogIndex       uint
		Sender                               common.Address
		DestinationChain, DestinationAddress string
		Payload                              hexutil.Bytes
		PayloadHash, CommandIDOfSourceLeg    common.Hash
	}
	Inner struct {
		Type   PayloadType
		Fields []string
		Bytes  hexutil.Bytes
	}
	Hub struct {
		Message   vMessage
		Payload   hexutil.Bytes
		CommandID common.Hash
	}
	Approval struct {
		DestChain                     string
		DomainSeparator               common.Hash
		Signers                       vSigners
		SignersHash                   common.Hash
		DataHashPreimage              hexutil.Bytes
		DataHash, Digest              common.Hash
		Signatures, SignerPrivateKeys []hexutil.Bytes
		ApproveMessagesCalldata       hexutil.Bytes
	}
	ExecuteCalldata            hexutil.Bytes
	DestinationGot             *struct{ CommandID, TokenID common.Hash }
	InterchainTransferReceived *struct {
		CommandID, TokenID common.Hash
		SourceChain        string
		SourceAddress      hexutil.Bytes
		DestinationAddress common.Address
		Amount             string
		DataHash           common.Hash
	}
	Executed, CommandExecuted *bool
}

type vRevert struct {
	Label, Revert string
	Data          hexutil.Bytes
}

type vFile struct {
	Meta struct {
		HubAddress, HubChain string
		Ethereum, Filecoin   vChain
		Topics               map[string]struct {
			Sig   string
			Topic common.Hash
		}
		Selectors map[string]struct {
			Sig      string
			Selector hexutil.Bytes
		}
		Token struct {
			Flt                            common.Address
			TokenID                        common.Hash
			TokenManagerEthereum           common.Address
			InterchainTokenAddressFilecoin common.Address
		}
	}
	Steps                       []vStep
	Negatives, FailureCatalogue []vRevert
	DeployRemoteEventOrder      []string
	DeployExecEventOrder        []string
	TransferEventOrder          []string
	TransferExecEventOrder      []string
	ExpressEventOrder           []string
	ExpressFulfilEventOrder     []string
	MetadataSameInner           bool
	Multicall                   struct {
		ReceiptIndexes     []uint
		PayloadHashesEqual bool
	}
	IndexSemantics struct {
		SameBlock                   bool
		ReceiptIndex, BlockLogIndex uint
	}
	GasEventExample struct {
		Name string
		Args struct {
			SourceAddress      common.Address
			DestinationChain   string
			DestinationAddress string
			PayloadHash        common.Hash
			GasFeeAmount       string
			RefundAddress      common.Address
		}
		LogIndexInReceipt, ContractCallIndexInReceipt int
	}
	Rotation struct {
		NewSigners                       vSigners
		NewSignersHash, DataHash, Digest common.Hash
		ProofSigners                     vSigners
		Signatures                       []hexutil.Bytes
		Calldata                         hexutil.Bytes
		Event                            struct {
			Epoch       string
			SignersHash common.Hash
			Signers     hexutil.Bytes
		}
		EventSignersEqualsAbiEncode bool
	}
	Express        struct{ Before, AfterExpress, AfterFulfil string }
	OfficialGolden struct {
		DomainSeparator common.Hash
		Signers         vSigners
		Message         vMessage
		Digest          common.Hash
	}
	OfficialDomainSeparators struct {
		Router, Network string
		Flow, Hedera    common.Hash
	}
	LegacyGateway struct {
		OfficialCommandIDGoldens []struct {
			MessageID   string
			DestChainID chains.ID
			CommandID   common.Hash
		}
		Vector struct {
			DestChainID chains.ID
			Message     vMessage
			Payload     hexutil.Bytes
			CommandID   common.Hash
			Operators   struct {
				Operators []common.Address
				Weights   []string
				Threshold string
			}
			Data                               hexutil.Bytes
			Digest                             common.Hash
			Signatures                         []hexutil.Bytes
			Proof, Input                       hexutil.Bytes
			ExecutedEvents, ApproveEvents      []string
			IsCommandExecutedAfterApprove      bool
			IsContractCallApprovedAfterApprove bool
			IsContractCallApprovedAfterExecute bool
		}
	}
	LegacyTopics map[string]common.Hash
	Its211       struct {
		Transfer struct {
			SourceEvents, ExecEvents []string
			Sender                   bool
		}
		Express    []vRevert
		MetadataV1 []string
	}
}

func vectorBytes(t testing.TB) []byte {
	t.Helper()
	raw, err := os.ReadFile("testdata/axelar.json")
	require.NoError(t, err)
	return raw
}

func vectors(t testing.TB) vFile {
	t.Helper()
	var v vFile
	require.NoError(t, json.Unmarshal(vectorBytes(t), &v))
	return v
}

func (v vFile) chain(name string) vChain {
	return map[string]vChain{"ethereum": v.Meta.Ethereum, "filecoin": v.Meta.Filecoin}[name]
}

func (v vFile) hub() Hub {
	return Hub{Address: v.Meta.HubAddress, Services: map[string]common.Address{
		"ethereum": v.Meta.Ethereum.Addrs["its"], "filecoin": v.Meta.Filecoin.Addrs["its"]}}
}

func raw(bs []hexutil.Bytes) [][]byte {
	out := make([][]byte, len(bs))
	for i, b := range bs {
		out[i] = b
	}
	return out
}

// inner reads the payload of a step from its fields.
func (s vStep) inner(t *testing.T) Payload {
	f := s.Inner.Fields
	switch s.Inner.Type {
	case TypeTransfer:
		return Transfer{TokenID: common.HexToHash(f[0]), Source: hexutil.MustDecode(f[1]), Destination: hexutil.MustDecode(f[2]),
			Amount: number(f[3]), Data: hexutil.MustDecode(f[4])}
	case TypeDeployToken:
		return DeployToken{TokenID: common.HexToHash(f[0]), Name: f[1], Symbol: f[2], Decimals: uint8(number(f[3]).Uint64()), Minter: hexutil.MustDecode(f[4])}
	}
	t.Fatalf("step %s has type %d", s.Name, s.Inner.Type)
	return nil
}

func (s vStep) called() Called {
	return Called{Sender: s.Source.Sender, DestinationChain: s.Source.DestinationChain, DestinationAddress: s.Source.DestinationAddress,
		PayloadHash: s.Source.PayloadHash, Payload: s.Source.Payload}
}

// event is the log that a call of the gateway at an address makes.
func (c Called) event(at common.Address) chains.Event {
	return chains.Event{Address: at, Topics: []common.Hash{evContractCall.topic, common.BytesToHash(c.Sender[:]), c.PayloadHash},
		Data: encode(evContractCall.data, c.DestinationChain, c.DestinationAddress, c.Payload)}
}

func (r Received) event(at common.Address) chains.Event {
	return chains.Event{Address: at, Topics: []common.Hash{evReceived.topic, r.CommandID, r.TokenID, common.BytesToHash(r.Destination[:])},
		Data: encode(evReceived.data, r.Chain, r.Source, r.Amount, r.DataHash)}
}
