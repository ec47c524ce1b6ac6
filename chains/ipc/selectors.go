package ipc

import (
	"encoding/hex"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// Selector is the first four bytes of a call or of revert data.
type Selector [4]byte

// Bytes is a copy as a slice.
func (s Selector) Bytes() []byte { return append([]byte(nil), s[:]...) }

// String is 0x and 8 hex digits.
func (s Selector) String() string { return "0x" + hex.EncodeToString(s[:]) }

// SelectorOf is the selector of a canonical signature.
func SelectorOf(signature string) (s Selector) {
	copy(s[:], crypto.Keccak256([]byte(signature)))
	return s
}

// Types in canonical signatures; H is the envelope of generations B2 to D, A
// that of A and B1.
const (
	tSubnet      = "(uint64,address[])"
	tFvm         = "(uint8,bytes)"
	tAddress     = "(" + tSubnet + "," + tFvm + ")"
	tEnvelopeH   = "(uint8,uint64,uint64,uint256," + tAddress + "," + tAddress + ",bytes)"
	tEnvelopeA   = "(uint8," + tAddress + "," + tAddress + ",uint64,uint256,bytes)"
	tCommitment  = "(uint64,bytes32)"
	tActivity    = "(((uint64,uint64),bytes32))"
	tActivityAll = "(((uint64,uint64),(address,uint64)[]))"
	tBreakdown   = "(bytes," + tCommitment + ",uint64," + tActivity + ")"
	tInclusion   = "(" + tEnvelopeH + ",bytes32[])"

	tCheckpointA  = "(" + tSubnet + ",uint256,bytes32,uint64," + tEnvelopeA + "[])"
	tCheckpointB1 = "(" + tSubnet + ",uint256,bytes32,uint64," + tEnvelopeA + "[]," + tActivity + ")"
	tCheckpointB2 = "(" + tSubnet + ",uint256,bytes32,uint64," + tEnvelopeH + "[]," + tActivity + ")"
	tCheckpointC  = "(" + tSubnet + ",uint256,bytes32,uint64," + tCommitment + "," + tActivity + ")"

	tSigs = ",address[],bytes[])"
)

// Selectors of the published contracts and of ours.
var (
	SelSubmitCheckpointA      = SelectorOf("submitCheckpoint(" + tCheckpointA + tSigs)
	SelSubmitCheckpointB1     = SelectorOf("submitCheckpoint(" + tCheckpointB1 + tSigs)
	SelSubmitCheckpointB2     = SelectorOf("submitCheckpoint(" + tCheckpointB2 + tSigs)
	SelSubmitCheckpointC      = SelectorOf("submitCheckpoint(" + tCheckpointC + tSigs)
	SelSubmitCheckpointD      = SelectorOf("submitBottomUpCheckpoint(bytes)")
	SelRecordAppHashBreakdown = SelectorOf("recordAppHashBreakdown(uint64," + tSubnet + "," + tBreakdown + ")")
	SelExecBatchC             = SelectorOf("execBottomUpMsgBatch(uint256," + tInclusion + "[])")
	SelExecBatchD             = SelectorOf("execBottomUpMsgBatch(uint64," + tInclusion + "[])")
	SelGatewayExecBatch       = SelectorOf("execBottomUpMsgBatch(" + tEnvelopeH + "[])")

	SelCommitCheckpointA  = SelectorOf("commitCheckpoint(" + tCheckpointA + ")")
	SelCommitCheckpointB1 = SelectorOf("commitCheckpoint(" + tCheckpointB1 + ")")
	SelCommitCheckpointB2 = SelectorOf("commitCheckpoint(" + tCheckpointB2 + ")")
	SelCommitCheckpointC  = SelectorOf("commitCheckpoint(" + tCheckpointC + ")")
	SelCommitCheckpointD  = SelectorOf("commitCheckpoint((" + tBreakdown + "," + tEnvelopeH + "[]," + tActivityAll + "))")
	SelCreateCheckpointA  = SelectorOf("createBottomUpCheckpoint(" + tCheckpointA + ",bytes32,uint256)")
	SelCreateCheckpointB1 = SelectorOf("createBottomUpCheckpoint(" + tCheckpointB1 + ",bytes32,uint256," + tActivityAll + ")")
	SelCreateCheckpointB2 = SelectorOf("createBottomUpCheckpoint(" + tCheckpointB2 + ",bytes32,uint256," + tActivityAll + ")")
	SelCreateCheckpointC  = SelectorOf("createBottomUpCheckpoint(" + tCheckpointC + ",bytes32,uint256," + tEnvelopeH + "[]," + tActivityAll + ")")

	SelFacetAddress = SelectorOf("facetAddress(bytes4)")
	SelGetCommitSha = SelectorOf("getCommitSha()")

	SelAddCheckpointSignature       = SelectorOf("addCheckpointSignature(uint256,bytes32[],uint256,bytes)")
	SelGetCheckpointSignatureBundle = SelectorOf("getCheckpointSignatureBundle(uint256)")
	SelGetIncompleteCheckpoints     = SelectorOf("getIncompleteCheckpoints()")
	SelGetCheckpointInfo            = SelectorOf("getCheckpointInfo(uint256)")
	SelValidateQuorumSignatures     = SelectorOf("validateActiveQuorumSignatures(address[],bytes32,bytes[])")

	SelFund             = SelectorOf("fund(" + tSubnet + "," + tFvm + ")")
	SelFundWithToken    = SelectorOf("fundWithToken(" + tSubnet + "," + tFvm + ",uint256)")
	SelRelease          = SelectorOf("release(" + tFvm + ")")
	SelSendMessageH     = SelectorOf("sendContractXnetMessage(" + tEnvelopeH + ")")
	SelSendMessageA     = SelectorOf("sendContractXnetMessage(" + tEnvelopeA + ")")
	SelPropagateAll     = SelectorOf("propagateAll()")
	SelPropagateA       = SelectorOf("propagate(bytes32)")
	SelHandleMessageH   = SelectorOf("handleIpcMessage(" + tEnvelopeH + ")")
	SelHandleMessageA   = SelectorOf("handleIpcMessage(" + tEnvelopeA + ")")
	SelApplyMessagesH   = SelectorOf("applyCrossMessages(" + tEnvelopeH + "[])")
	SelApplyMessagesA   = SelectorOf("applyCrossMessages(" + tEnvelopeA + "[])")
	SelCommitFinality   = SelectorOf("commitParentFinality((uint256,bytes32))")
	SelStoreChanges     = SelectorOf("storeValidatorChanges(((uint8,bytes,address),uint64)[])")
	SelApplyFinality    = SelectorOf("applyFinalityChanges()")
	SelRegister         = SelectorOf("register(uint256,uint256)")
	SelApproveSubnet    = SelectorOf("approveSubnet(address)")
	SelJoin             = SelectorOf("join(bytes,uint256)")
	SelSettle           = SelectorOf(settleSignature)
	SelReceiveLinked    = SelectorOf("receiveLinked(address,uint256)")
	SelLinkedTransfer   = SelectorOf("linkedTransfer(address,uint256)")
	SelFundSubnet       = SelectorOf("fundSubnet(bytes32," + tSubnet + ",address,uint256)")
	SelListPending      = SelectorOf("listPendingBottomUpBatchCommitments()")
	SelLastHeight       = SelectorOf("lastBottomUpCheckpointHeight()")
	SelLastCommitment   = SelectorOf("lastCommitmentHeight()")
	SelCheckPeriod      = SelectorOf("bottomUpCheckPeriod()")
	SelBottomUpBatch    = SelectorOf("bottomUpMsgBatch(uint256)")
	SelGetSubnet        = SelectorOf("getSubnet(" + tSubnet + ")")
	SelTopDownNonce     = SelectorOf("getTopDownNonce(" + tSubnet + ")")
	SelAppliedBottomUp  = SelectorOf("getAppliedBottomUpNonce(" + tSubnet + ")")
	SelAppliedTopDown   = SelectorOf("appliedTopDownNonce()")
	SelLatestFinality   = SelectorOf("getLatestParentFinality()")
	SelMembership       = SelectorOf("getCurrentMembership()")
	SelNetworkName      = SelectorOf("getNetworkName()")
	SelActiveValidators = SelectorOf("getActiveValidators()")
	SelSupplySource     = SelectorOf("supplySource()")
)

func topic(signature string) common.Hash { return keccak([]byte(signature)) }

// Topics (topic0) of the published events and of ours.
var (
	TopicNewTopDownMessage       = topic("NewTopDownMessage(address," + tEnvelopeH + ",bytes32)")
	TopicNewTopDownMessageA      = topic("NewTopDownMessage(address," + tEnvelopeA + ")")
	TopicQueuedBottomUpMessage   = topic("QueuedBottomUpMessage(bytes32)")
	TopicNewBottomUpMsgBatch     = topic("NewBottomUpMsgBatch(uint256)")
	TopicMessageStoredInPostbox  = topic("MessageStoredInPostbox(bytes32)")
	TopicMessagePropagated       = topic("MessagePropagatedFromPostbox(bytes32)")
	TopicMembershipUpdated       = topic("MembershipUpdated(((uint256,address,bytes)[],uint64))")
	TopicQuorumReached           = topic("QuorumReached(uint8,uint256,bytes32,uint256)")
	TopicQuorumWeightUpdated     = topic("QuorumWeightUpdated(uint8,uint256,bytes32,uint256)")
	TopicCheckpointCommitted     = topic("CheckpointCommitted(address,uint256)")
	TopicStateCommitmentCreated  = topic("StateCommitmentCreated(uint64," + tBreakdown + ")")
	TopicBottomUpBatchRecorded   = topic("BottomUpBatchRecorded(uint64," + tEnvelopeH + "[])")
	TopicActivityRollupRecorded  = topic("ActivityRollupRecorded(uint64," + tActivityAll + ")")
	TopicNewPowerChangeRequest   = topic("NewPowerChangeRequest(uint8,address,bytes,uint64)")
	TopicNewStakingChangeRequest = topic("NewStakingChangeRequest(uint8,address,bytes,uint64)")
	TopicConfigurationConfirmed  = topic("ConfigurationNumberConfirmed(uint64)")
	TopicSubnetDeployed          = topic("SubnetDeployed(address)")
	TopicSubnetBootstrapped      = topic("SubnetBootstrapped((uint256,address,bytes)[])")
	TopicSubnetDestroyed         = topic("SubnetDestroyed(" + tSubnet + ")")
	TopicLinkedTokensSent        = topic("LinkedTokensSent(address,address,address,bytes32,uint64,uint256)")
	TopicLinkedTokenReceived     = topic("LinkedTokenReceived(address,uint256)")
	TopicSubnetFunded            = topic("SubnetFunded(" + tSubnet + ",address,uint256)")
	TopicFundingFailed           = topic("FundingFailed(" + tSubnet + ",address,uint256)")
	TopicBottomUpMessage         = topic("BottomUpMessage(uint64,uint64," + tEnvelopeH + ")") // ours
	TopicBottomUpMessageApplied  = topic("BottomUpMessageApplied(address,uint64,bytes32,uint8,uint8,bytes)")
	TopicTopDownMessageApplied   = topic("TopDownMessageApplied(uint64,bytes32,uint8,uint8,bytes)")
	TopicParentFinalityCommitted = topic("ParentFinalityCommitted(uint64,bytes32,uint64,uint64)")
	TopicCheckpointAccepted      = topic("CheckpointAccepted(uint256,bytes32,uint64,uint64)")
	TopicConfigurationNumApplied = topic("ConfigurationApplied(uint64)")
)
