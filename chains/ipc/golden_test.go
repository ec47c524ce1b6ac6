package ipc

import (
	"math/big"
	"regexp"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// Constants of the published protocol, computed once from the contracts.

func allSelectors() map[string]Selector {
	return map[string]Selector{
		"79979f57": SelSubmitCheckpointA, "dcab3d78": SelSubmitCheckpointB1, "56816567": SelSubmitCheckpointB2,
		"f5dd3f3c": SelSubmitCheckpointC, "577f3af9": SelSubmitCheckpointD, "fe305eac": SelRecordAppHashBreakdown,
		"c95e8924": SelExecBatchC, "e6da1bd0": SelExecBatchD, "1dd9f8f4": SelGatewayExecBatch,
		"fba0fa4d": SelCommitCheckpointA, "a0316672": SelCommitCheckpointB1, "9db11d8c": SelCommitCheckpointB2,
		"3e848a52": SelCommitCheckpointC, "7b80d50e": SelCommitCheckpointD,
		"dc749b05": SelCreateCheckpointA, "d8b46025": SelCreateCheckpointB1, "6326379f": SelCreateCheckpointB2,
		"00341556": SelCreateCheckpointC, "cdffacc6": SelFacetAddress, "444ead51": SelGetCommitSha,
		"53b4e7bf": SelAddCheckpointSignature, "ca41d5ce": SelGetCheckpointSignatureBundle,
		"18f44b70": SelFund, "0517e1aa": SelFundWithToken, "6b2c1eef": SelRelease,
		"2c85ec2c": SelSendMessageH, "3eeb723f": SelSendMessageA, "7f7999f4": SelPropagateAll, "25bf0db6": SelPropagateA,
		"007cf1ec": SelApplyMessagesH, "dd8319ee": SelApplyMessagesA, "11196974": SelCommitFinality,
		"e49a547d": SelStoreChanges, "0df14461": SelApplyFinality, "b4d3f66e": SelHandleMessageH,
		"a9490a04": SelHandleMessageA, "698f5bf6": SelListPending, "72d0a0e0": SelLastHeight, "941f5613": SelLastCommitment,
		"06c46853": SelCheckPeriod, "dd81b5cf": SelBottomUpBatch, "c66c66a1": SelGetSubnet, "42398a9a": SelTopDownNonce,
		"38d66932": SelAppliedBottomUp, "8789f83b": SelAppliedTopDown, "0338150f": SelLatestFinality,
		"6ad21bb0": SelMembership, "94074b03": SelNetworkName, "9de70258": SelActiveValidators,
		"cc2dc2b9": SelValidateQuorumSignatures, "97042766": SelGetIncompleteCheckpoints, "ac12d763": SelGetCheckpointInfo,
		"80875df7": SelSupplySource, "d66d6c10": SelRegister, "0e2140e5": SelApproveSubnet, "3ae24713": SelJoin,
		"dfb85dac": SelReceiveLinked, "f6ad4cdc": SelLinkedTransfer, "6da183e2": SelFundSubnet,
	}
}

func allTopics() map[string]common.Hash {
	return map[string]common.Hash{
		"b6eb2e0545704059166f88153086a5814637ddce7139f55009632d8ca4068358": TopicNewTopDownMessage,
		"fdd39ce2560484814971f663392e78ae37dc62ba184b3370d830371dd271a8b7": TopicNewTopDownMessageA,
		"9fca8d7f48c38bf83a8ad097637c3e1e42dcb831eec5b6138e0b505397ac315f": TopicQueuedBottomUpMessage,
		"4ecfe3c1ed32ef0a63d3801d51eb20214db90b14dc5fd1ca58a9de54f16f46a6": TopicNewBottomUpMsgBatch,
		"fc9ab3d6e645ee2232229bdeda784ba9538c9d3fa1030131d92baf1a9a15fdbb": TopicMessageStoredInPostbox,
		"78ddab166e6210b906e616e65f9e0e81fa96fb3d61fdf31ef1888437a3d04f08": TopicMessagePropagated,
		"7ecdac482334c36fccbe374318cfe74ea0c8181394890ddec894a10f0fcc7481": TopicMembershipUpdated,
		"c08568b61a3224ac0d48121f065552f2f645d3777d353bd87291108bc3651494": TopicQuorumReached,
		"103355808c87614c31e835c1a86487b17b1e54cf36e0ac4469c8d1e892239cbc": TopicQuorumWeightUpdated,
		"31acbebac9ada2d59453bc1cf2d7754930bc9864e227b2aa95d7bae470ffeb00": TopicCheckpointCommitted,
		"e85d9148bfc1ec1e53d884cd0f2eddf2b1c05f5c1a313c91da08a0e8909d6def": TopicStateCommitmentCreated,
		"6f0abeedc0401c070b704e975beab2040a086a955a2d90ff4f5b84c2b5e300e2": TopicBottomUpBatchRecorded,
		"f75315296f6b896e0a9a16b5abbd2c746c53661d7d0f12f4195bf7cf1f4aac45": TopicActivityRollupRecorded,
		"6ecf0379fc28d7df2aff3bd3a20f3c2dfa4253cd23b4afa4ec7e352846957466": TopicNewPowerChangeRequest,
		"1c593a2b803c3f9038e8b6743ba79fbc4276d2770979a01d2768ed12bea3243f": TopicNewStakingChangeRequest,
		"246f00b61ce672242f33bb680a47147cd54d3dfd04dbb76956ba42f88087bf63": TopicConfigurationConfirmed,
		"0431ea4d93af299b92f2c606ddcaf4b31cb0013c5ed1fdea837b8a912347c965": TopicSubnetDeployed,
		"4914d88063275a25a13b2df37125e216745d812f94c56504be4bd78cf60c9593": TopicSubnetBootstrapped,
		"96ee1b102c460da019f4aaf595003b9fef95cf58d71704b71d1d48f92c4c4afb": TopicLinkedTokensSent,
		"e529a4c42746e45b48c9c3b1b893873971480fb7a6a6f7e5742da6c81890de33": TopicLinkedTokenReceived,
		"390d6a9437d2dd078a7a9f6227d8778d7f5f83aa1f1d65a7f7f70ec7eaac353b": TopicSubnetFunded,
		"d96ad9901991dfe7bfbb1a6e4b05b12a4407aa24ff4050c5f402f1d39af36f1a": TopicFundingFailed,
	}
}

func TestSelectorsAndTopicsHaveTheirPublishedValues(t *testing.T) {
	for want, got := range allSelectors() {
		require.Equal(t, "0x"+want, got.String())
	}
	for want, got := range allTopics() {
		require.Equal(t, "0x"+want, got.Hex())
	}
}

func TestTheSubmitSelectorTellsTheGeneration(t *testing.T) {
	g := SubmitSelectors()
	require.Equal(t, GenerationA, g[[4]byte(common.FromHex("79979f57"))])
	require.Equal(t, GenerationB1, g[[4]byte(common.FromHex("dcab3d78"))])
	require.Equal(t, GenerationB2, g[[4]byte(common.FromHex("56816567"))])
	require.Equal(t, GenerationC, g[[4]byte(common.FromHex("f5dd3f3c"))])
	require.Equal(t, GenerationD, g[[4]byte(common.FromHex("577f3af9"))])
	for _, unsupported := range []Generation{GenerationUnknown, GenerationB1, GenerationB2, GenerationD} {
		_, err := ProfileOf(unsupported)
		require.ErrorIs(t, err, ErrUnsupportedGeneration)
	}
}

func TestErrorSelectorsHaveTheirPublishedValuesAndClasses(t *testing.T) {
	// Selector and class; D done, R retry, W wait, X fatal.
	table := `
	d6bb62dd D BottomUpCheckpointAlreadySubmitted() | fae4eadb W InvalidCheckpointEpoch() | 70e746a4 W InvalidCheckpointEpoch(uint64,uint64)
	dd88982f W CannotSubmitFutureCheckpoint() | 351c7007 X MaxMsgsPerBatchExceeded()
	482fcef4 X SignatureAddressesNotSorted() | 05afb882 X DuplicateValidatorSignaturesFound() | ed3db8ac R NotValidator(address)
	0815540a X CannotConfirmFutureChanges() | 98623180 D BatchMsgAlreadyExecuted() | 5bf9e652 W MissingBatchCommitment()
	f35959c0 X InvalidInclusionProof() | 74db2854 X NotEnoughSubnetCircSupply() | a48635cc X AppHashNotEqual() | 36b658c5 R NoQuorumFormed()
	b47fa1b2 D SignatureReplay() | 4a0bfec1 X NotAuthorized(address) | 8baa579f X InvalidSignature() | 042384dc D QuorumAlreadyProcessed()
	58cdd2e7 W CheckpointNotCreated() | b8a1eae1 D CheckpointAlreadyExists() | 2a75b082 D ParentFinalityAlreadyCommitted()
	6ae94ca4 W InvalidConfigurationNumber() | 6e8d7c4a D OldConfigurationNumber() | f0d97f3b X NotSystemActor() | e991abd0 X NotRegisteredSubnet()
	00476ad8 X SubnetNotFound() | 076bb706 X InvalidSubnet() | fe72264e X InvalidCheckpointSource() | bc0f01cf X InvalidXnetMessage(?)
	015538b1 X MethodNotAllowed(string) | 6d5d4caa X InvalidSubnetActor() | ad3a8b9e X NotEnoughBalance() | 1c2ba47c X UnrecognizedResult()
	2a83f423 X CallerIsNotGateway() | b268e422 X UnsupportedMsgKind() | c5f8961f X NotDelegatedEvmAddress() | c2f41e70 X CannotExecuteEmptyEnvelope()
	d93c0665 R EnforcedPause() | 5416eb98 X FunctionNotFound(bytes4) | 282ef1c1 X InvalidSignatureErr(?)`
	classes := map[string]Class{"D": ClassDone, "R": ClassRetry, "W": ClassWait, "X": ClassFatal}
	rows := regexp.MustCompile(`([0-9a-f]{8}) ([DRWX]) ([^\s|]+)`).FindAllStringSubmatch(table, -1)
	require.Len(t, rows, strings.Count(table, "(")) // every row parsed
	for _, row := range rows {
		name, class := ClassifyRevert(common.FromHex(row[1]))
		require.Equal(t, row[3], name)
		require.Equal(t, classes[row[2]], class, name)
	}
}

func TestASignatureErrorIsARetryOnlyWhenWeightIsMissing(t *testing.T) {
	for code := range uint64(6) {
		name, class := ClassifyRevert(appendUint64(common.FromHex("282ef1c1"), code))
		if code == 5 {
			require.Equal(t, "InvalidSignatureErr(5)", name)
			require.Equal(t, ClassRetry, class)
			continue
		}
		require.Equal(t, ClassFatal, class, name)
	}
}

func TestRevertDataThatSaysNothingIsUnknown(t *testing.T) {
	for _, data := range [][]byte{nil, {1}, {1, 2, 3}} {
		name, class := ClassifyRevert(data)
		require.Empty(t, name)
		require.Equal(t, ClassUnknown, class)
	}
	name, class := ClassifyRevert([]byte{1, 2, 3, 4, 5})
	require.Equal(t, "0x01020304", name)
	require.Equal(t, ClassUnknown, class)

	name, class = ClassifyRevert(append(common.FromHex("08c379a0"), pack(t, oracle(t, plain("s", "string")), "no\nluck")...))
	require.Equal(t, "Error(noluck)", name)
	require.Equal(t, ClassUnknown, class)
	name, class = ClassifyRevert(appendUint64(common.FromHex("4e487b71"), 0x11))
	require.Equal(t, "Panic(17)", name)
	require.Equal(t, ClassFatal, class)
	require.Equal(t, "done retry wait fatal unknown",
		strings.Join([]string{ClassDone.String(), ClassRetry.String(), ClassWait.String(), ClassFatal.String(), ClassUnknown.String()}, " "))
}

func goldenEnvelope(nonce uint64) IpcEnvelope {
	alice := common.HexToAddress("0x6B505cdCCCA34aE8eea5D382aBaD40d2AfEa74ad")
	root := NewSubnetID(314159)
	child := root.Child(common.HexToAddress("0x2a3eF0F414c626e51AFA2F29f3F7Be7a45C6DB09"))
	return IpcEnvelope{Kind: KindTransfer, LocalNonce: nonce, OriginalNonce: nonce, Value: big.NewInt(1e18),
		To: NewAddress(root, alice), From: NewAddress(child, alice)}
}

func TestGoldenHashesOfTheProtocol(t *testing.T) {
	e7, e8, e9 := goldenEnvelope(7), goldenEnvelope(8), goldenEnvelope(9)
	child, root := e7.From.SubnetId, e7.To.SubnetId
	require.Equal(t, common.HexToHash("b5f0f094cf19889a9e3d81bf05eee681ceca61b29eb46525b2b71c51d66db294"), child.Hash())
	require.Equal(t, common.HexToHash("c5de9a4ddb2b64b30d6f758f4e12f3f41a498dc6d6aa884d2eb89bd717c5c57c"), root.Hash())
	require.Equal(t, "000000000000000000000000000000000000000000000000000000000000000a", common.Bytes2Hex(e7.To.RawAddress.Payload[32:64]))
	require.Equal(t, "6b505cdccca34ae8eea5d382abad40d2afea74ad000000000000000000000000", common.Bytes2Hex(e7.To.RawAddress.Payload[160:]))

	require.Equal(t, common.HexToHash("7449a6e7629346950fd1c382370e6046f72359f999f3130b0e25266ce73a6a50"), e7.Hash())
	require.Equal(t, common.HexToHash("a60594f797a57d37441e87c0328c0b0ae5d86a9cb9b63f5a124671cacb81d856"), e7.TracingID())
	require.Equal(t, common.HexToHash("baffe668245f56b7125f10cb6f91c5acb20b070fa040c5783c2497e598c24619"), e7.Leaf())
	require.Equal(t, common.HexToHash("ceb79d2adfa61e4156bcd6502fe9dfd859d0f13b6aca822b671b08ac9da103cc"), e8.Leaf())
	require.Equal(t, common.HexToHash("68a742970ba7d0d81bc358a18ebc9376c7cacc367eaf1736392346dbdc8ae3bc"), e9.Leaf())
	require.Equal(t, e7.Leaf(), BatchTree([]IpcEnvelope{e7}).Root())
	require.Equal(t, common.HexToHash("1d4e26a6e1c08fce2c37d47005cac418e6c2de02c010bf9346c1735424945869"), BatchTree([]IpcEnvelope{e7, e8}).Root())
	require.Equal(t, common.HexToHash("4d0e534c925c2f417b6f13d4657583044a9e10779480e5a4d2e8d0b8c34353da"), BatchTree([]IpcEnvelope{e7, e8, e9}).Root())
	require.Equal(t, common.HexToHash("444e81fb57e5932a87962741a6799b4b8219fd4929437e9359825cf8c8554eb3"), profileA{}.MessageID(e7))

	c := Checkpoint{BottomUpCheckpoint: BottomUpCheckpoint{SubnetID: child, BlockHeight: big.NewInt(300), NextConfigurationNumber: 2,
		BlockHash: [32]byte(common.FromHex(strings.Repeat("11", 32))), Msgs: Commit([]IpcEnvelope{e7, e8, e9})}}
	c.Activity.Consensus = CompressedSummary{Stats: AggregatedStats{TotalActiveValidators: 1, TotalNumBlocksCommitted: 10},
		DataRootCommitment: [32]byte(common.FromHex(strings.Repeat("22", 32)))}
	require.Equal(t, common.HexToHash("f938c90c8700992a0e688dacdb4db02c4c6c61491eb9259631818ebf5eb87e11"), profileC{}.CheckpointHash(c))
	c.Messages = []IpcEnvelope{e7}
	require.Equal(t, common.HexToHash("759162889689dac843c75ba479c4deb7b161d6e9a74ca8c9b8c83b20730b5db0"), profileA{}.CheckpointHash(c))

	require.Equal(t, common.HexToHash("5519955f33109df3338490473cb14458640efdccd4df05998c4c439738280ab0"), ActivityTree([]ValidatorData{
		{common.HexToAddress("0xB29C00299756135ec5d6A140CA54Ec77790a99d6"), 1},
		{common.HexToAddress("0x1A79385eAd0e873FE0C441C034636D3Edf7014cC"), 10},
		{common.HexToAddress("0x28345a43c2fBae4412f0AbadFa06Bd8BA3f58867"), 2},
		{common.HexToAddress("0x3c5cc76b07cb02a372e647887bD6780513659527"), 3},
		{common.HexToAddress("0x76B9d5a35C46B1fFEb37aadf929f1CA63a26A829"), 4},
	}).Root())
	require.Equal(t, uint64(1011873294913613), ChainIDOf("/r123/f01001"))
}

func TestWellKnownAddressesFollowFromTheirActorIds(t *testing.T) {
	id := func(n byte) common.Address {
		pre := append([]byte{0xff}, make([]byte, 19)...)
		pre[19] = n
		return common.BytesToAddress(keccak(pre).Bytes()[12:])
	}
	require.Equal(t, id(64), GatewayAddress)
	require.Equal(t, id(65), RegistryAddress)
}
