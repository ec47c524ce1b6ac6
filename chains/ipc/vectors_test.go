package ipc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

// The vectors are encodings from transactions that the published contracts of
// generations A and C accepted.

// number is a JSON number or a decimal string.
type number struct{ *big.Int }

func (n *number) UnmarshalJSON(b []byte) error {
	v, ok := new(big.Int).SetString(strings.Trim(string(b), `"`), 10)
	if !ok {
		return fmt.Errorf("number %s: %w", b, strconv.ErrSyntax)
	}
	n.Int = v
	return nil
}

func (n number) u64() uint64 {
	if n.Int == nil {
		return 0
	}
	return n.Uint64()
}

type vSubnet struct {
	Root  number
	Route []common.Address
}

func (v vSubnet) id() SubnetID { return NewSubnetID(v.Root.u64(), v.Route...) }

type vAddress struct {
	SubnetID   vSubnet `json:"subnetId"`
	RawAddress struct {
		AddrType number
		Payload  hexutil.Bytes
	}
}

func (v vAddress) address() IPCAddress {
	return IPCAddress{SubnetId: v.SubnetID.id(),
		RawAddress: FvmAddress{AddrType: uint8(v.RawAddress.AddrType.u64()), Payload: v.RawAddress.Payload}}
}

type vEnvelope struct {
	Kind, LocalNonce, OriginalNonce, Nonce number
	Value                                  number
	To, From                               vAddress
	Message                                hexutil.Bytes
}

// envelope reads either generation: A's only nonce is its local one.
func (v vEnvelope) envelope() IpcEnvelope {
	return IpcEnvelope{Kind: uint8(v.Kind.u64()), LocalNonce: v.LocalNonce.u64() + v.Nonce.u64(),
		OriginalNonce: v.OriginalNonce.u64(), Value: v.Value.Int, To: v.To.address(), From: v.From.address(), Message: v.Message}
}

type vLog struct {
	Event   string
	Address common.Address
	Topics  []common.Hash
	Data    hexutil.Bytes
}

type vCheckpoint struct {
	Checkpoint struct {
		SubnetID                vSubnet
		BlockHeight             number
		BlockHash               common.Hash
		NextConfigurationNumber number
		Msgs                    json.RawMessage
		Activity                struct {
			Consensus struct {
				Stats struct {
					TotalActiveValidators, TotalNumBlocksCommitted number
				}
				DataRootCommitment common.Hash
			}
		}
	}
	Messages   []vEnvelope
	AbiEncoded hexutil.Bytes
	Hash       common.Hash
	Signatures []struct {
		Signer          common.Address
		PrivateKey      hexutil.Bytes
		Weight          number
		Leaf            common.Hash
		MembershipProof []common.Hash
		Signature       hexutil.Bytes
	}
	MembershipRoot   common.Hash
	MembershipWeight number
	ActivityFull     *struct {
		Consensus struct {
			Stats struct {
				TotalActiveValidators, TotalNumBlocksCommitted number
			}
			Data []struct {
				Validator       common.Address
				BlocksCommitted number
			}
		}
	}
	BundleOrder, SubmitOrder []common.Address
	SubmitCalldata           hexutil.Bytes
	SubmitLogs, CreateLogs   []vLog
	QuorumLogs               []vLog
	Exec                     *struct {
		Leaves     []common.Hash
		MsgsRoot   common.Hash
		Inclusions []struct {
			Msg   vEnvelope
			Proof []common.Hash
		}
		Calldata hexutil.Bytes
	}
}

func (v vCheckpoint) checkpoint(t *testing.T, g Generation) Checkpoint {
	c := Checkpoint{BottomUpCheckpoint: BottomUpCheckpoint{
		SubnetID:                v.Checkpoint.SubnetID.id(),
		BlockHeight:             v.Checkpoint.BlockHeight.Int,
		BlockHash:               v.Checkpoint.BlockHash,
		NextConfigurationNumber: v.Checkpoint.NextConfigurationNumber.u64(),
	}}
	if g == GenerationA {
		var msgs []vEnvelope
		require.NoError(t, json.Unmarshal(v.Checkpoint.Msgs, &msgs))
		c.Messages = envelopes(msgs)
		return c
	}
	var m struct {
		TotalNumMsgs number
		MsgsRoot     common.Hash
	}
	require.NoError(t, json.Unmarshal(v.Checkpoint.Msgs, &m))
	c.Msgs = Commitment{TotalNumMsgs: m.TotalNumMsgs.u64(), MsgsRoot: m.MsgsRoot}
	src, dst := v.Checkpoint.Activity.Consensus, &c.Activity.Consensus
	dst.Stats.TotalActiveValidators = src.Stats.TotalActiveValidators.u64()
	dst.Stats.TotalNumBlocksCommitted = src.Stats.TotalNumBlocksCommitted.u64()
	dst.DataRootCommitment = src.DataRootCommitment
	return c
}

func envelopes(vs []vEnvelope) []IpcEnvelope {
	out := make([]IpcEnvelope, len(vs))
	for i, v := range vs {
		out[i] = v.envelope()
	}
	return out
}

type vGeneration struct {
	Roles struct {
		Validators []struct {
			Address   common.Address
			PublicKey hexutil.Bytes
			Weight    number
		}
	}
	Addresses  map[string]common.Address
	FvmAddress []struct {
		Evm      common.Address
		AddrType uint8
		Payload  hexutil.Bytes
	}
	SubnetID struct {
		Value      vSubnet
		AbiEncoded hexutil.Bytes
		Hash       common.Hash
	}
	TopDown []struct {
		FundCalldata hexutil.Bytes
		Log          vLog
		Envelope     vEnvelope
		AbiEncoded   hexutil.Bytes
		Hash         common.Hash
	}
	ApplyCrossMessagesCalldata hexutil.Bytes
	Release                    struct {
		Calldata hexutil.Bytes
		Value    number
		Logs     []vLog
	}
	Checkpoints        []vCheckpoint
	ReceiptsFromParent []vEnvelope
	Reverts            []struct {
		Name, Error string
		Data        hexutil.Bytes
	}
	Selectors  map[string]map[string]string
	Topics     map[string]struct{ Topic0 common.Hash }
	Errors     map[string]hexutil.Bytes
	SubnetText struct {
		String            string
		FendermintChainID string `json:"fendermintChainId"`
	}
}

type vFile struct {
	Text struct {
		T410 []struct {
			Evm  common.Address
			Text string
		}
		ChainIDExamples map[string]string `json:"chainIdExamples"`
	}
	GenC vGeneration
	GenA vGeneration
}

func vectors(t testing.TB) vFile {
	raw, err := os.ReadFile("testdata/ipc.json")
	require.NoError(t, err)
	var f vFile
	require.NoError(t, json.Unmarshal(raw, &f))
	return f
}

// eachGeneration runs a test against both profiles and their vectors.
func eachGeneration(t *testing.T, run func(*testing.T, Profile, vGeneration)) {
	f := vectors(t)
	for g, v := range map[Generation]vGeneration{GenerationA: f.GenA, GenerationC: f.GenC} {
		t.Run("generation "+g.String(), func(t *testing.T) {
			p, err := ProfileOf(g)
			require.NoError(t, err)
			require.Equal(t, g, p.Generation())
			run(t, p, v)
		})
	}
}

func TestTextFormsMatchThePublishedOnes(t *testing.T) {
	f := vectors(t)
	require.Len(t, f.Text.T410, 3)
	for _, v := range f.Text.T410 {
		require.Equal(t, v.Text, F410('t', v.Evm))
		a, err := ParseF410(v.Text)
		require.NoError(t, err)
		require.Equal(t, v.Evm, a)
	}
	require.NotEmpty(t, f.Text.ChainIDExamples)
	for text, want := range f.Text.ChainIDExamples {
		require.Equal(t, want, strconv.FormatUint(ChainIDOf(text), 10), text)
	}
	eachGeneration(t, func(t *testing.T, _ Profile, v vGeneration) {
		id := v.SubnetID.Value.id()
		require.Equal(t, v.SubnetText.String, id.FilString('t'))
		parsed, err := ParseSubnetID(v.SubnetText.String)
		require.NoError(t, err)
		require.True(t, id.Equal(parsed))
		require.Equal(t, v.SubnetText.FendermintChainID, strconv.FormatUint(ChainIDOf(v.SubnetText.String), 10))
	})
}

func TestAddressesAndSubnetIdsMatchTheVectors(t *testing.T) {
	eachGeneration(t, func(t *testing.T, _ Profile, v vGeneration) {
		require.NotEmpty(t, v.FvmAddress)
		for _, f := range v.FvmAddress {
			a := FromEVM(f.Evm)
			require.Equal(t, f.AddrType, a.AddrType)
			require.Equal(t, []byte(f.Payload), a.Payload)
			evm, err := a.EVM()
			require.NoError(t, err)
			require.Equal(t, f.Evm, evm)
		}
		id := v.SubnetID.Value.id()
		require.Equal(t, []byte(v.SubnetID.AbiEncoded), EncodeSubnetID(id))
		require.Equal(t, v.SubnetID.Hash, id.Hash())
		require.Equal(t, v.Addresses["subnetActor"], id.Actor())
	})
}

func TestTopDownMessagesMatchTheVectors(t *testing.T) {
	eachGeneration(t, func(t *testing.T, p Profile, v vGeneration) {
		require.NotEmpty(t, v.TopDown)
		for _, m := range v.TopDown {
			e := m.Envelope.envelope()
			b, err := p.EncodeEnvelope(e)
			require.NoError(t, err)
			require.Equal(t, []byte(m.AbiEncoded), b)
			require.Equal(t, m.Hash, p.EnvelopeHash(e))
			back, err := p.DecodeEnvelope(b)
			require.NoError(t, err)
			requireSameEnvelope(t, e, back)

			require.Equal(t, p.TopDownTopic(), m.Log.Topics[0])
			ev, err := p.DecodeTopDown(m.Log.Topics, m.Log.Data)
			require.NoError(t, err)
			requireSameEnvelope(t, e, ev.Message)
			require.Equal(t, v.Addresses["subnetActor"], ev.Subnet)
			require.Equal(t, p.MessageID(e), ev.ID)
		}
	})
}

func TestABatchOfTopDownMessagesMatchesTheImplicitCall(t *testing.T) {
	f := vectors(t)
	var msgs []IpcEnvelope
	for _, m := range f.GenC.TopDown {
		msgs = append(msgs, m.Envelope.envelope())
	}
	b := appendSize(SelApplyMessagesH.Bytes(), wordLen)
	b = appendEnvelopes(b, msgs, IpcEnvelope.size, IpcEnvelope.append)
	require.Equal(t, []byte(f.GenC.ApplyCrossMessagesCalldata), b)

	msgs = nil
	for _, m := range f.GenA.TopDown {
		msgs = append(msgs, m.Envelope.envelope())
	}
	b = appendSize(SelApplyMessagesA.Bytes(), wordLen)
	b = appendEnvelopes(b, msgs, sizeEnvelopeA, appendEnvelopeA)
	require.Equal(t, []byte(f.GenA.ApplyCrossMessagesCalldata), b)
}

func TestTheQueuedEventCarriesTheTracingId(t *testing.T) {
	c := vectors(t).GenC
	log := c.Release.Logs[0]
	require.Equal(t, TopicQueuedBottomUpMessage, log.Topics[0])
	released := c.Checkpoints[1].Messages[2].envelope()
	require.Equal(t, c.Release.Value.Int, released.Value)
	require.Equal(t, log.Topics[1], released.TracingID())
}

func TestCheckpointsMatchTheVectors(t *testing.T) {
	eachGeneration(t, func(t *testing.T, p Profile, v vGeneration) {
		require.NotEmpty(t, v.Checkpoints)
		for _, vc := range v.Checkpoints {
			c := vc.checkpoint(t, p.Generation())
			b, err := p.EncodeCheckpoint(c)
			require.NoError(t, err)
			require.Equal(t, []byte(vc.AbiEncoded), b)
			require.Equal(t, vc.Hash, p.CheckpointHash(c))
			back, err := p.DecodeCheckpoint(b)
			require.NoError(t, err)
			again, err := p.EncodeCheckpoint(back)
			require.NoError(t, err)
			require.Equal(t, b, again)
		}
	})
}

func TestSignaturesOfTheVectorsRecoverAndRepeat(t *testing.T) {
	eachGeneration(t, func(t *testing.T, _ Profile, v vGeneration) {
		for _, vc := range v.Checkpoints {
			require.NotEmpty(t, vc.Signatures)
			for _, s := range vc.Signatures {
				who, err := Recover(vc.Hash, s.Signature)
				require.NoError(t, err)
				require.Equal(t, s.Signer, who)
				key, err := crypto.ToECDSA(s.PrivateKey)
				require.NoError(t, err)
				sig, err := Sign(key, vc.Hash)
				require.NoError(t, err)
				require.Equal(t, []byte(s.Signature), sig, "both signers are deterministic")
			}
		}
	})
}

func TestMembershipAndActivityTreesMatchTheVectors(t *testing.T) {
	eachGeneration(t, func(t *testing.T, _ Profile, v vGeneration) {
		for _, vc := range v.Checkpoints {
			var rows []Member
			total := new(big.Int)
			for _, s := range vc.Signatures {
				rows = append(rows, Member{Addr: s.Signer, Power: s.Weight.Int})
				total.Add(total, s.Weight.Int)
			}
			require.Equal(t, vc.MembershipWeight.Int, total)
			tree := MembershipTree(rows)
			require.Equal(t, vc.MembershipRoot, tree.Root())
			for i, s := range vc.Signatures {
				proof, err := tree.Proof(i)
				require.NoError(t, err)
				require.Len(t, proof, len(s.MembershipProof))
				for j := range proof {
					require.Equal(t, s.MembershipProof[j], common.Hash(proof[j]))
				}
				require.True(t, VerifyInclusion(vc.MembershipRoot, s.Leaf, proof))
			}
			if vc.ActivityFull == nil {
				continue
			}
			full := vc.activity()
			require.Equal(t, vc.Checkpoint.Activity.Consensus.DataRootCommitment, common.Hash(full.Compress().Consensus.DataRootCommitment))
		}
	})
}

func (v vCheckpoint) activity() FullActivityRollup {
	src := v.ActivityFull.Consensus
	full := FullActivityRollup{Consensus: FullSummary{Data: []ValidatorData{}, Stats: AggregatedStats{
		TotalActiveValidators:   src.Stats.TotalActiveValidators.u64(),
		TotalNumBlocksCommitted: src.Stats.TotalNumBlocksCommitted.u64(),
	}}}
	for _, d := range src.Data {
		full.Consensus.Data = append(full.Consensus.Data, ValidatorData{d.Validator, d.BlocksCommitted.u64()})
	}
	return full
}

func TestSubmitCalldataMatchesTheAcceptedTransactions(t *testing.T) {
	eachGeneration(t, func(t *testing.T, p Profile, v vGeneration) {
		for _, vc := range v.Checkpoints {
			var sigs []Signed
			for _, s := range vc.Signatures {
				if slices.Contains(vc.SubmitOrder, s.Signer) {
					sigs = append(sigs, Signed{Signer: s.Signer, Signature: s.Signature})
				}
			}
			sorted, err := SortSignatures(sigs)
			require.NoError(t, err)
			for i, s := range sorted {
				require.Equal(t, vc.SubmitOrder[i], s.Signer)
			}
			b, err := p.SubmitCalldata(vc.checkpoint(t, p.Generation()), sorted)
			require.NoError(t, err)
			require.Equal(t, []byte(vc.SubmitCalldata), b)

			slices.Reverse(sorted)
			_, err = p.SubmitCalldata(vc.checkpoint(t, p.Generation()), sorted)
			require.ErrorIs(t, err, ErrUnsorted)
		}
	})
}

func TestBatchEventsAndExecCalldataMatchTheVectors(t *testing.T) {
	v := vectors(t).GenC
	p := profileC{}
	executed := 0
	for _, vc := range v.Checkpoints {
		height := vc.Checkpoint.BlockHeight
		require.Equal(t, TopicBottomUpBatchRecorded, vc.CreateLogs[0].Topics[0])
		h, msgs, err := DecodeBottomUpBatch(vc.CreateLogs[0].Data)
		require.NoError(t, err)
		require.Equal(t, height.u64(), h)
		require.Len(t, msgs, len(vc.Messages))
		for i, m := range envelopes(vc.Messages) {
			requireSameEnvelope(t, m, msgs[i])
		}
		again, err := EncodeBottomUpBatch(h, msgs)
		require.NoError(t, err)
		require.Equal(t, []byte(vc.CreateLogs[0].Data), again)
		require.Equal(t, vc.checkpoint(t, GenerationC).Msgs, Commit(msgs))

		require.Equal(t, TopicActivityRollupRecorded, vc.CreateLogs[1].Topics[0])
		h, full, err := DecodeActivity(vc.CreateLogs[1].Data)
		require.NoError(t, err)
		require.Equal(t, height.u64(), h)
		require.Equal(t, vc.activity(), full)

		require.Equal(t, TopicQuorumReached, vc.QuorumLogs[0].Topics[0])
		require.Equal(t, TopicQuorumWeightUpdated, vc.QuorumLogs[1].Topics[0])
		require.Equal(t, TopicCheckpointCommitted, vc.SubmitLogs[0].Topics[0])
		if vc.Exec == nil {
			continue
		}
		executed++
		inclusions := Inclusions(msgs)
		for i, in := range vc.Exec.Inclusions {
			require.Equal(t, vc.Exec.Leaves[i], msgs[i].Leaf())
			require.Len(t, inclusions[i].Proof, len(in.Proof))
			for j := range in.Proof {
				require.Equal(t, in.Proof[j], common.Hash(inclusions[i].Proof[j]))
			}
			require.True(t, VerifyInclusion(vc.Exec.MsgsRoot, msgs[i].Leaf(), inclusions[i].Proof))
		}
		b, err := p.ExecCalldata(height.Int, inclusions)
		require.NoError(t, err)
		require.Equal(t, []byte(vc.Exec.Calldata), b)
		n := 4 + 3*wordLen
		for _, in := range inclusions {
			n += in.EncodedLen()
		}
		require.Len(t, b, n)
	}
	require.Equal(t, 1, executed)

	_, err := profileA{}.ExecCalldata(big.NewInt(1), nil)
	require.ErrorIs(t, err, ErrNoExecPhase)
}

func TestResultsOfTheParentAnswerByTheGenerationsId(t *testing.T) {
	eachGeneration(t, func(t *testing.T, p Profile, v vGeneration) {
		ids := map[common.Hash]bool{}
		for _, vc := range v.Checkpoints {
			for _, m := range vc.Messages {
				ids[p.MessageID(m.envelope())] = true
			}
			if p.Generation() == GenerationA {
				for _, m := range vc.checkpoint(t, GenerationA).Messages {
					ids[p.MessageID(m)] = true
				}
			}
		}
		require.NotEmpty(t, v.ReceiptsFromParent)
		for _, r := range v.ReceiptsFromParent {
			e := r.envelope()
			require.Equal(t, KindResult, e.Kind)
			m, err := DecodeResult(e.Message)
			require.NoError(t, err)
			require.Equal(t, OutcomeOk, m.Outcome)
			require.True(t, ids[m.Id], "the result answers a message of a checkpoint")
			require.True(t, bytes.Equal(EncodeResult(m), e.Message))
		}
	})
}

func TestRevertsOfThePublishedContractsAreNamed(t *testing.T) {
	eachGeneration(t, func(t *testing.T, p Profile, v vGeneration) {
		named := 0
		for _, r := range v.Reverts {
			if len(r.Data) == 0 {
				continue
			}
			named++
			name, class := ClassifyRevert(r.Data)
			require.Equal(t, r.Error, name, r.Name)
			if !strings.HasPrefix(name, "Error(") {
				require.NotEqual(t, ClassUnknown, class, r.Name)
			}
		}
		require.GreaterOrEqual(t, named, 9)
		for signature, sel := range v.Errors {
			require.Equal(t, []byte(sel), SelectorOf(signature).Bytes(), signature)
		}
	})
}

func TestEverySelectorAndTopicOfTheVectorsIsOurs(t *testing.T) {
	known := map[string]bool{}
	for _, s := range allSelectors() {
		known[s.String()] = true
	}
	topics := map[common.Hash]bool{}
	for _, h := range allTopics() {
		topics[h] = true
	}
	// What only the tests' own rigs call or emit, with no constant here.
	unused := []string{"bottomUpCheckpoint(", "getIncompleteCheckpointHeights", "pruneBottomUpCheckpoints", "preFund",
		"stake(", "leave(", "bootstrapped(", "newSubnetActor", "join(bytes)"}
	eachGeneration(t, func(t *testing.T, _ Profile, v vGeneration) {
		for _, contract := range v.Selectors {
			for signature, sel := range contract {
				if sel == "absent" {
					continue
				}
				require.Equal(t, sel, SelectorOf(signature).String(), signature)
				skip := slices.ContainsFunc(unused, func(u string) bool { return strings.HasPrefix(signature, u) })
				require.True(t, known[sel] || skip, signature)
			}
		}
		for name, row := range v.Topics {
			_, signature, _ := strings.Cut(name, ": ")
			require.Equal(t, row.Topic0, topic(signature))
		}
		for _, vc := range v.Checkpoints {
			for _, l := range slices.Concat(vc.CreateLogs, vc.QuorumLogs) {
				require.True(t, topics[l.Topics[0]])
			}
		}
	})
}

func TestValidatorsOfTheVectorsFormASetWithFullPower(t *testing.T) {
	v := vectors(t).GenC
	var vals []Validator
	for _, r := range v.Roles.Validators {
		vals = append(vals, Validator{Weight: r.Weight.Int, Addr: r.Address, Metadata: r.PublicKey})
	}
	set := NewValidatorSet(vals, 3)
	require.Len(t, set.Entries, 4)
	require.Equal(t, int64(100_000), set.TotalPower())
	require.Equal(t, new(big.Int).Mul(big.NewInt(100), big.NewInt(1e18)), set.TotalWeight())
}
