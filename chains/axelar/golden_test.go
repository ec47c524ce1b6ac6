package axelar

import (
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

func TestEveryPartOfTheVectorsIsTestedOrAMeasurement(t *testing.T) {
	var parts map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(vectorBytes(t), &parts))
	tested := []string{"meta", "steps", "negatives", "failureCatalogue", "deployRemoteEventOrder", "deployExecEventOrder", "transferEventOrder",
		"transferExecEventOrder", "gasEventExample", "metadataSameInner", "rotation", "expressEventOrder", "expressFulfilEventOrder", "express",
		"multicall", "indexSemantics", "officialGolden", "legacyGateway", "its211", "officialDomainSeparators", "legacyTopics"}
	measured := []string{"gas", "legacyGas", "halfGas", "goCrossCheck"}
	for name := range parts {
		require.True(t, slices.Contains(tested, name) != slices.Contains(measured, name), name)
	}
	require.Len(t, parts, len(tested)+len(measured))
}

func TestSignaturesOfFunctionsAndEventsAreThePublishedOnes(t *testing.T) {
	v := vectors(t)
	topics := map[string]layout{}
	for _, l := range []layout{evContractCall, evMessageApproved, evMessageExecuted, evSignersRotated, evTransfer, evReceived, evExpress, evFulfilled,
		evNativeGasPaid, evGasPaid, evNativeGasAdded, evGasAdded, evNativeExpressAdded, evGasRefunded} {
		name, _, _ := strings.Cut(l.signature, "(")
		topics[name] = l
	}
	for name, want := range v.Meta.Topics {
		require.Equal(t, want.Topic, keccak([]byte(want.Sig)), name)
		if l, ours := topics[name]; ours {
			require.Equal(t, want.Sig, l.signature)
			require.Equal(t, want.Topic, l.topic)
			delete(topics, name)
		}
	}
	require.Empty(t, topics, "events that the vectors do not know")
	require.Equal(t, v.LegacyTopics["ContractCallApproved"], evCallApproved.topic)
	require.Equal(t, v.LegacyTopics["ContractCallExecuted"], evCallExecuted.topic)
	require.Equal(t, v.LegacyTopics["Executed"], evCommandExecuted.topic)
	require.Len(t, v.LegacyTopics, 3)
	// The operator of an Amplifier gateway and the operators of a legacy one.
	require.NotEqual(t, v.Meta.Topics["OperatorshipTransferred"].Topic, evOperatorship.topic)

	selectors := map[string]function{}
	for _, f := range []function{fnApproveMessages, fnRotateSigners, fnCallContract, fnApproved, fnExecuted, fnCommandExecuted, fnExecute, fnExpress, fnTransfer, fnAddNativeGas} {
		selectors[f.signature] = f
	}
	for name, want := range v.Meta.Selectors {
		sel := ipc.SelectorOf(want.Sig)
		require.Equal(t, []byte(want.Selector), sel[:], name)
		if f, ours := selectors[want.Sig]; ours {
			require.Equal(t, []byte(want.Selector), f.selector[:], name)
			delete(selectors, want.Sig)
		}
	}
	require.Empty(t, selectors, "functions that the vectors do not know")
}

func TestTokenIDsAndAddressesAreDerivedAsTheContractsDo(t *testing.T) {
	v := vectors(t)
	tok := v.Meta.Token
	require.Equal(t, tok.TokenID, CanonicalTokenID("ethereum", tok.Flt))
	require.NotEqual(t, tok.TokenID, CanonicalTokenID("Ethereum", tok.Flt), "the name counts to the letter")
	require.Equal(t, tok.TokenManagerEthereum, TokenManager(v.Meta.Ethereum.Addrs["its"], tok.TokenID))
	require.Equal(t, tok.InterchainTokenAddressFilecoin, InterchainToken(v.Meta.Filecoin.Addrs["its"], tok.TokenID))
	// The rules of the factory's other two salts differ in the prefix only.
	salt := common.HexToHash("0x07")
	for prefix, got := range map[string]common.Hash{
		"interchain-token-salt": FactorySalt("ethereum", tok.Flt, salt),
		"custom-token-salt":     LinkedSalt("ethereum", tok.Flt, salt),
	} {
		want := keccak(encode(list("bytes32", "bytes32", "address", "bytes32"),
			keccak([]byte(prefix)), keccak([]byte("ethereum")), tok.Flt, salt))
		require.Equal(t, want, got, prefix)
	}
	require.NotEqual(t, TokenID(common.Address{}, salt), TokenID(tok.Flt, salt))
}

func TestSignerSetsOfTheVectorsEncodeAndHash(t *testing.T) {
	v := vectors(t)
	operators := map[string]string{"ethereum": "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", "filecoin": "0x90F79bf6EB2c4f870365E785982E1f101E93b906"}
	for name, peer := range map[string]string{"ethereum": "filecoin", "filecoin": "ethereum"} {
		c := v.chain(name)
		set := c.Signers.set()
		b, err := EncodeSigners(set)
		require.NoError(t, err)
		require.Equal(t, []byte(c.SignersAbi), b)
		back, err := DecodeSigners(b)
		require.NoError(t, err)
		require.True(t, set.Equal(back))
		h, err := SignersHash(set)
		require.NoError(t, err)
		require.Equal(t, c.SignersHash, h)
		require.Equal(t, c.DomainSeparator, DomainSeparator(name, "axelar1router-devnet", "axelar-devnet"))

		// What gateway and ITS are set up with is made of the same layouts.
		sets := typed("tuple[]", signersFields...)
		require.Equal(t, []byte(c.GatewaySetupParams),
			encode(append(list("address"), sets), common.HexToAddress(operators[name]), []WeightedSigners{set}))
		require.Equal(t, []byte(c.ItsSetupParams),
			encode(list("address", "string", "string[]"), common.HexToAddress(operators["ethereum"]), name, []string{peer}))
	}
}

func TestStepsOfTheVectorsFromCallToExecution(t *testing.T) {
	v := vectors(t)
	require.Len(t, v.Steps, 3)
	for _, s := range v.Steps {
		t.Run(s.Name, func(t *testing.T) {
			// The payload, inside and outside.
			want := s.inner(t)
			b, err := EncodePayload(want)
			require.NoError(t, err)
			require.Equal(t, []byte(s.Inner.Bytes), b)
			got, err := DecodePayload(b)
			require.NoError(t, err)
			require.Equal(t, want, got)
			sent, err := EncodePayload(SendToHub{Chain: s.Approval.DestChain, Inner: b})
			require.NoError(t, err)
			require.Equal(t, []byte(s.Source.Payload), sent)

			// The source leg.
			id, err := ParseMessageID(s.Source.TxMessageID)
			require.NoError(t, err)
			require.Equal(t, uint64(s.Source.ReceiptLogIndex), id.Index)
			require.Equal(t, s.Source.CommandIDOfSourceLeg, CommandID(s.Source.Chain, s.Source.TxMessageID))
			source := v.chain(s.Source.Chain)
			event, ok, err := NewAmplifier(source.Addrs["gateway"], source.DomainSeparator).Decode(s.called().event(source.Addrs["gateway"]))
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, s.called(), event)
			call := CallContractData(s.Source.DestinationChain, s.Source.DestinationAddress, s.Source.Payload)
			sel := ipc.SelectorOf("callContract(string,string,bytes)")
			require.Equal(t, sel[:], call[:4])
			require.Equal(t, encode(list("string", "string", "bytes"), s.Source.DestinationChain, s.Source.DestinationAddress, []byte(s.Source.Payload)), call[4:])

			// The hub.
			routed, err := v.hub().Route(s.Source.Chain, id, event.(Called))
			require.NoError(t, err)
			require.Equal(t, s.Approval.DestChain, routed.To)
			require.Equal(t, []byte(s.Hub.Payload), routed.Payload)
			require.Equal(t, s.Hub.Message.message(), routed.Message)
			require.Equal(t, want, routed.Inner)
			from, inner, err := Unwrap(routed.Payload)
			require.NoError(t, err)
			require.Equal(t, s.Source.Chain, from)
			require.Equal(t, want, inner)

			// The approval.
			dest := v.chain(s.Approval.DestChain)
			g := NewAmplifier(dest.Addrs["gateway"], s.Approval.DomainSeparator)
			set := s.Approval.Signers.set()
			h, err := g.SignersHash(set)
			require.NoError(t, err)
			require.Equal(t, s.Approval.SignersHash, h)
			require.Equal(t, s.Hub.CommandID, g.CommandID(routed.Message))
			require.Equal(t, []byte(s.Approval.DataHashPreimage), ApprovePreimage([]Message{routed.Message}))
			require.Equal(t, s.Approval.DataHash, ApproveHash([]Message{routed.Message}))
			command := Command{Approve: []Message{routed.Message}}
			digest, err := g.Digest(set, command)
			require.NoError(t, err)
			require.Equal(t, s.Approval.Digest, digest)
			var made [][]byte
			for _, k := range s.Approval.SignerPrivateKeys {
				key, err := crypto.ToECDSA(k)
				require.NoError(t, err)
				sig, err := ipc.Sign(key, digest)
				require.NoError(t, err)
				made = append(made, sig)
			}
			chosen, err := set.Collect(digest, made)
			require.NoError(t, err)
			require.Equal(t, raw(s.Approval.Signatures), chosen)
			slices.Reverse(made)
			data, err := g.Calldata(set, command, made)
			require.NoError(t, err)
			require.Equal(t, []byte(s.Approval.ApproveMessagesCalldata), data)

			// The execution.
			its := Service{Address: dest.Addrs["its"], Version: V220, Chain: s.Approval.DestChain, Hub: v.Meta.HubAddress}
			data, err = its.ExecuteCalldata(s.Hub.CommandID, routed.Message, routed.Payload)
			require.NoError(t, err)
			require.Equal(t, []byte(s.ExecuteCalldata), data)

			if r := s.InterchainTransferReceived; r != nil {
				transfer := want.(Transfer)
				require.Equal(t, keccak(transfer.Data), r.DataHash)
				want := Received{CommandID: r.CommandID, TokenID: r.TokenID, Chain: r.SourceChain, Source: r.SourceAddress,
					Destination: r.DestinationAddress, Amount: number(r.Amount), DataHash: r.DataHash}
				require.Equal(t, s.Hub.CommandID, want.CommandID)
				require.Equal(t, transfer.TokenID, want.TokenID)
				require.Equal(t, transfer.Destination, want.Destination.Bytes())
				require.Equal(t, s.Hub.CommandID, s.DestinationGot.CommandID)
				got, ok, err := its.Decode(want.event(its.Address))
				require.NoError(t, err)
				require.True(t, ok)
				require.Equal(t, want, got)
				// The trap: both views say true of what was executed.
				require.True(t, *s.Executed)
				require.True(t, *s.CommandExecuted)
			}
		})
	}
}

func TestRotationOfTheVectors(t *testing.T) {
	v := vectors(t)
	r := v.Rotation
	next, set := r.NewSigners.set(), r.ProofSigners.set()
	h, err := SignersHash(next)
	require.NoError(t, err)
	require.Equal(t, r.NewSignersHash, h)
	h, err = RotateHash(next)
	require.NoError(t, err)
	require.Equal(t, r.DataHash, h)

	at := v.Meta.Filecoin.Addrs["gateway"]
	g := NewAmplifier(at, v.Meta.Filecoin.DomainSeparator)
	digest, err := g.Digest(set, Command{Rotate: &next})
	require.NoError(t, err)
	require.Equal(t, r.Digest, digest)
	data, err := g.Calldata(set, Command{Rotate: &next}, raw(r.Signatures))
	require.NoError(t, err)
	require.Equal(t, []byte(r.Calldata), data)

	e := chains.Event{Address: at, Topics: []common.Hash{evSignersRotated.topic, common.BigToHash(number(r.Event.Epoch)), r.Event.SignersHash},
		Data: encode(evSignersRotated.data, []byte(r.Event.Signers))}
	got, ok, err := g.Decode(e)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, Rotated{Epoch: 2, Hash: r.NewSignersHash, Signers: next}, got)
	require.True(t, r.EventSignersEqualsAbiEncode)
}

func TestGoldensOfAmplifierItself(t *testing.T) {
	v := vectors(t)
	g := v.OfficialGolden
	digest, err := NewAmplifier(common.Address{1}, g.DomainSeparator).Digest(g.Signers.set(), Command{Approve: []Message{g.Message.message()}})
	require.NoError(t, err)
	require.Equal(t, g.Digest, digest)

	d := v.OfficialDomainSeparators
	require.Equal(t, d.Flow, DomainSeparator("flow", d.Router, d.Network))
	require.Equal(t, d.Hedera, DomainSeparator("hedera", d.Router, d.Network))
}

func TestLegacyGatewayOfTheVectors(t *testing.T) {
	l := vectors(t).LegacyGateway
	require.Len(t, l.OfficialCommandIDGoldens, 2)
	for _, g := range l.OfficialCommandIDGoldens {
		require.Equal(t, g.CommandID, LegacyCommandID(g.MessageID, g.DestChainID))
	}

	v := l.Vector
	set := WeightedSigners{Threshold: number(v.Operators.Threshold)}
	for i, a := range v.Operators.Operators {
		set.Signers = append(set.Signers, WeightedSigner{Signer: a, Weight: number(v.Operators.Weights[i])})
	}
	m := v.Message.message()
	g := NewLegacy(v.DestChainID, common.Address{1}, common.Address{2})
	require.Equal(t, v.CommandID, g.CommandID(m))
	require.NotEqual(t, v.CommandID, CommandID(m.SourceChain, m.ID), "the generations name one message in two ways")
	approval, err := g.(legacy).approval(m)
	require.NoError(t, err)
	require.Equal(t, []byte(v.Data), EncodeLegacyData(v.DestChainID, []LegacyCommand{approval}))
	digest, err := g.Digest(set, Command{Approve: []Message{m}})
	require.NoError(t, err)
	require.Equal(t, v.Digest, digest)
	require.Equal(t, v.Digest, LegacyDigest(v.Data))

	signers, weights, threshold := set.operators()
	require.Equal(t, []byte(v.Proof), encode(proofTypes, signers, weights, threshold, raw(v.Signatures)))
	data, err := g.Calldata(set, Command{Approve: []Message{m}}, raw(v.Signatures))
	require.NoError(t, err)
	require.Equal(t, []byte(v.Input), data[4+64:4+64+len(v.Input)])
	require.Equal(t, fnExecuteInput.data([]byte(v.Input)), data)

	// What the payload is, and what the chain said before and after.
	from, inner, err := Unwrap(v.Payload)
	require.NoError(t, err)
	require.Equal(t, "Ethereum", from)
	require.Equal(t, TypeTransfer, inner.Type())
	require.Equal(t, m.PayloadHash, keccak(v.Payload))
	answers := func(processed, approved bool) [][]byte {
		return [][]byte{encode(list("bool"), processed), encode(list("bool"), approved)}
	}
	state, err := g.State(m).Read(answers(v.IsCommandExecutedAfterApprove, v.IsContractCallApprovedAfterApprove))
	require.NoError(t, err)
	require.Equal(t, StateApproved, state)
	state, err = g.State(m).Read(answers(v.IsCommandExecutedAfterApprove, v.IsContractCallApprovedAfterExecute))
	require.NoError(t, err)
	require.Equal(t, StateExecuted, state)
	require.Equal(t, []string{"ContractCallApproved", "Executed"}, v.ApproveEvents)
	require.Equal(t, "ContractCallExecuted", v.ExecutedEvents[0])
	topics := g.Filter().Topics
	require.Contains(t, topics, evCallApproved.topic)
	require.Contains(t, topics, evCallExecuted.topic)
	require.NotContains(t, topics, evCommandExecuted.topic, "Executed means approved")
}

func TestMessageIDsCountWithinTheReceipt(t *testing.T) {
	v := vectors(t)
	for _, s := range v.Steps {
		order := v.TransferEventOrder
		if s.Inner.Type == TypeDeployToken {
			order = v.DeployRemoteEventOrder
		}
		at := slices.Index(order, "ContractCall")
		want, err := ParseMessageID(s.Source.TxMessageID)
		require.NoError(t, err)
		first := s.Source.BlockLogIndex - uint(at)
		got, err := MessageIDOf(receipt(want.Tx, first, len(order)), s.Source.BlockLogIndex)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, order := range [][]string{v.Its211.Transfer.SourceEvents, v.Its211.MetadataV1} {
		id, err := MessageIDOf(receipt(common.Hash{1}, 0, len(order)), uint(slices.Index(order, "ContractCall")))
		require.NoError(t, err)
		require.Equal(t, uint64(3), id.Index)
	}

	// Two transfers in one transaction, of one payload: only the ids tell them
	// apart.
	require.True(t, v.Multicall.PayloadHashesEqual)
	var ids []uint64
	for _, i := range v.Multicall.ReceiptIndexes {
		id, err := MessageIDOf(receipt(common.Hash{1}, 40, 6), 40+i)
		require.NoError(t, err)
		ids = append(ids, id.Index)
	}
	require.Equal(t, []uint64{2, 5}, ids)

	// Behind another transaction of the same block.
	require.True(t, v.IndexSemantics.SameBlock)
	first := v.IndexSemantics.BlockLogIndex - v.IndexSemantics.ReceiptIndex
	require.NotZero(t, first)
	id, err := MessageIDOf(receipt(common.Hash{2}, first, 3), v.IndexSemantics.BlockLogIndex)
	require.NoError(t, err)
	require.Equal(t, uint64(v.IndexSemantics.ReceiptIndex), id.Index)
}

func TestWhatATransferIsFollowedBy(t *testing.T) {
	v := vectors(t)
	// The gateway speaks first in every execution, at either generation.
	for _, order := range [][]string{v.TransferExecEventOrder, v.DeployExecEventOrder, v.ExpressFulfilEventOrder, v.Its211.Transfer.ExecEvents} {
		require.Equal(t, "MessageExecuted", order[0])
	}
	require.Contains(t, v.TransferExecEventOrder, "InterchainTransferReceived")
	// An express execution says Received at once and never again.
	require.Equal(t, []string{"ExpressExecuted", "Transfer", "InterchainTransferReceived", "Got"}, v.ExpressEventOrder)
	require.NotContains(t, v.ExpressFulfilEventOrder, "InterchainTransferReceived")
	require.Contains(t, v.ExpressFulfilEventOrder, "ExpressExecutionFulfilled")
	require.Equal(t, v.Express.Before, v.Express.AfterFulfil)
	require.NotEqual(t, v.Express.Before, v.Express.AfterExpress)

	its := Service{Address: common.Address{1}, Version: V220}
	require.ElementsMatch(t, []common.Hash{v.Meta.Topics["InterchainTransfer"].Topic, v.Meta.Topics["InterchainTransferReceived"].Topic,
		v.Meta.Topics["ExpressExecuted"].Topic, v.Meta.Topics["ExpressExecutionFulfilled"].Topic}, its.Filter().Topics)

	// The gas that was paid for a call is found by the same words as the call.
	gas, call := v.GasEventExample, v.Steps[1].Source
	require.Equal(t, call.PayloadHash, gas.Args.PayloadHash)
	require.Equal(t, call.Sender, gas.Args.SourceAddress)
	require.Equal(t, call.DestinationChain, gas.Args.DestinationChain)
	require.Equal(t, call.DestinationAddress, gas.Args.DestinationAddress)
	require.Less(t, gas.LogIndexInReceipt, gas.ContractCallIndexInReceipt)
	require.Contains(t, v.Meta.Topics, gas.Name)
}

func TestOneTransferCallServesBothVersions(t *testing.T) {
	v := vectors(t)
	require.True(t, v.MetadataSameInner)
	step := v.Steps[1].inner(t).(Transfer)
	send := Send{TokenID: step.TokenID, Chain: "filecoin", Destination: step.Destination, Amount: step.Amount, Data: step.Data, GasWei: big.NewInt(7)}
	var datas [][]byte
	for _, version := range []Version{V211, V220} {
		data, err := Service{Version: version}.TransferCalldata(send, Target{HasCode: true})
		require.NoError(t, err)
		datas = append(datas, data)
	}
	require.Equal(t, datas[0], datas[1])
	want := v.Meta.Selectors["interchainTransfer(bytes32,string,bytes,uint256,bytes,uint256)"]
	require.Equal(t, []byte(want.Selector), datas[0][:4])
	args, err := fnTransfer.in.Unpack(datas[0][4:])
	require.NoError(t, err)
	require.Equal(t, append(make([]byte, 4), step.Data...), args[4])
	got, err := DecodeMetadata(args[4].([]byte))
	require.NoError(t, err)
	require.Equal(t, step.Data, got)
	require.Equal(t, big.NewInt(7), args[5])
}
