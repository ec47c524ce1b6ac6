package axelar

import (
	"bytes"
	"math/big"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/stretchr/testify/require"
)

// arguments are the types of the errors in the vectors that have some, written
// from the contracts.
var arguments = map[string]string{
	"GiveTokenFailed": "bytes", "TakeTokenFailed": "bytes", "InterchainTokenDeploymentFailed": "bytes", "InvalidBytesLength": "bytes",
	"FlowAmountExceededLimit": "uint256,uint256,address", "FlowLimitExceeded": "uint256,uint256,address",
	"RedundantSignaturesProvided": "uint256,uint256", "InsufficientRotationDelay": "uint256,uint256,uint256", "DuplicateSigners": "bytes32",
	"ExecuteWithInterchainTokenFailed": "address", "InvalidMetadataVersion": "uint32", "InvalidExpressMessageType": "uint256",
}

// revertData builds the data of an error from its text in the vectors, which
// keep only the first 68 bytes.
func revertData(t testing.TB, text string) []byte {
	if text == "empty" {
		return nil
	}
	name, rest, ok := strings.Cut(text, "(")
	require.True(t, ok, text)
	rest = strings.TrimSuffix(rest, ")")
	types := arguments[name]
	data := ipc.SelectorOf(name + "(" + types + ")").Bytes()
	if types == "" {
		require.Empty(t, rest)
		return data
	}
	var values []any
	texts := []string{rest}
	if !strings.HasPrefix(rest, "<") {
		texts = strings.Split(rest, ",")
	}
	for i, typ := range strings.Split(types, ",") {
		v := texts[i]
		switch typ {
		case "bytes":
			if strings.HasPrefix(v, "<") {
				values = append(values, revertData(t, strings.TrimSuffix(strings.TrimPrefix(v, "<"), ">")))
			} else {
				values = append(values, hexutil.MustDecode(v))
			}
		case "bytes32":
			values = append(values, common.HexToHash(v))
		case "address":
			values = append(values, common.HexToAddress(v))
		case "uint32":
			values = append(values, uint32(number(v).Uint64()))
		default:
			values = append(values, number(v))
		}
	}
	return append(data, encode(list(strings.Split(types, ",")...), values...)...)
}

func TestMeasuredRevertsAreNamedAndClassified(t *testing.T) {
	v := vectors(t)
	const now = 1795327600
	want := map[string]Class{
		"execute before approval":                       ClassState,
		"execute twice":                                 ClassState,
		"second remote deployment of same tokenId":      ClassPermanent,
		"untrusted destination chain":                   ClassOperator,
		"empty destination":                             ClassPermanent,
		"empty data in callContractWithInterchainToken": ClassPermanent,
		"zero amount":                                   ClassPermanent,
		"no balance/allowance":                          ClassRetry,
		"destination reverts":                           ClassRetry,
		"sourceChain not hub":                           ClassOperator,
		"tampered payload":                              ClassState,
		"gasValue > msg.value":                          ClassUnknown,
		"metadata version 1":                            ClassPermanent,
		"signatures in wrong order":                     ClassProof,
		"three signatures when two suffice":             ClassProof,
		"one signature of two":                          ClassProof,
		"same signer twice":                             ClassProof,
		"no signatures":                                 ClassProof,
		"unknown signer":                                ClassProof,
		"v=0/1 instead of 27/28":                        ClassProof,
		"signers struct altered (threshold)":            ClassProof,
		"signers reversed":                              ClassProof,
		"empty message list":                            ClassPermanent,
		"other chain domain separator":                  ClassProof,
		"rotate before minimumRotationDelay":            ClassScheduled,
		"rotate by previous set, not operator":          ClassProof,
		"rotate to same set":                            ClassState,
		"set older than retention (epoch 3 - 1 > 1)":    ClassProof,
		"express twice":                                 ClassDone,
		"express after approval":                        ClassDone,
		"flow limit: single amount over limit":          ClassOperator,
		"flow limit: net flow over limit":               ClassScheduled,
		"ITS paused":                                    ClassWait,
		"gateway paused: send":                          ClassWait,
		"gateway paused: execute":                       ClassWait,
		"collectFees by non-collector":                  ClassOperator,
		"legacy: execute twice":                         ClassState,
		"data to an address with no code":               ClassUnknown,
		"destination bytes not 20 long":                 ClassPermanent,
		"destination zero address":                      ClassPermanent,
		"wrong magic returned":                          ClassPermanent,
		"origin chain no longer trusted at destination": ClassOperator,
		"ITS 2.1.1 expressExecute of hub payload":       ClassPermanent,
	}
	reverts := append(append(v.Negatives, v.FailureCatalogue...), v.Its211.Express...)
	require.Len(t, want, len(reverts))
	for _, r := range reverts {
		t.Run(r.Label, func(t *testing.T) {
			data := revertData(t, r.Revert)
			require.True(t, bytes.HasPrefix(data, r.Data))
			if len(r.Data) < 68 {
				require.Equal(t, []byte(r.Data), append([]byte{}, data...))
			}
			class, ok := want[r.Label]
			require.True(t, ok)
			f := ClassifyRevert(data, now)
			require.Equal(t, class.String(), f.Class.String())
			switch r.Revert {
			case "empty":
				require.Empty(t, f.Name)
			case "Refused()":
				require.Equal(t, ipc.SelectorOf(r.Revert).String(), f.Name)
			default:
				require.Equal(t, r.Revert, f.Name)
			}
			require.Equal(t, class == ClassScheduled, f.Until > 0)

			// What the node cut off after 68 bytes is still named.
			short := ClassifyRevert(r.Data, now)
			name, _, _ := strings.Cut(f.Name, "(")
			require.True(t, strings.HasPrefix(short.Name, name), short.Name)
		})
	}
}

func find(t testing.TB, rs []vRevert, label string) []byte {
	for _, r := range rs {
		if r.Label == label {
			return revertData(t, r.Revert)
		}
	}
	t.Fatalf("no revert %q", label)
	return nil
}

func TestScheduledFailuresSayWhen(t *testing.T) {
	v := vectors(t)
	f := ClassifyRevert(find(t, v.Negatives, "flow limit: net flow over limit"), 21600*5+7)
	require.Equal(t, uint64(21600*6), f.Until)
	require.Equal(t, number("10000000000000000000"), f.Limit)
	require.Equal(t, number("12000000000000000000"), f.Flow)
	require.Equal(t, v.Meta.Token.TokenManagerEthereum, f.Manager, "the addresses are the same on both chains")
	f = ClassifyRevert(find(t, v.Negatives, "flow limit: single amount over limit"), 21600*5+7)
	require.Zero(t, f.Until)
	require.Equal(t, number("11000000000000000000"), f.Flow)
	f = ClassifyRevert(find(t, v.Negatives, "rotate before minimumRotationDelay"), 0)
	require.Equal(t, uint64(1795327504+3600), f.Until)

	never := append(ipc.SelectorOf("InsufficientRotationDelay(uint256,uint256,uint256)").Bytes(),
		encode(list("uint256", "uint256", "uint256"), new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(1), big.NewInt(1))...)
	require.Equal(t, ClassPermanent, ClassifyRevert(never, 0).Class)
}

func nested(outer string, inner []byte) []byte {
	return append(ipc.SelectorOf(outer).Bytes(), encode(list("bytes"), inner)...)
}

func flowError(name string, limit, flow int64) []byte {
	return append(ipc.SelectorOf(name+"(uint256,uint256,address)").Bytes(),
		encode(list("uint256", "uint256", "address"), big.NewInt(limit), big.NewInt(flow), common.Address{1})...)
}

// ITS 2.1.1 has other errors than 2.2.0 and shares names with other meanings.
func TestRevertsOfITS211AreClassified(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		want Class
	}{
		"not from a trusted service": {ipc.SelectorOf("NotRemoteService()").Bytes(), ClassOperator},
		"a window that is full":      {nested(wrapGive, flowError("FlowLimitExceeded", 10, 12)), ClassScheduled},
		"a count that overflows":     {nested(wrapTake, flowError("FlowAdditionOverflow", 10, 12)), ClassScheduled},
		"a limit that overflows":     {nested(wrapGive, flowError("FlowLimitOverflow", 10, 12)), ClassOperator},
		"the gateway call":           {nested("GatewayCallFailed(bytes)", ipc.SelectorOf("Pause()").Bytes()), ClassWait},
		"the gateway call, unknown":  {nested("GatewayCallFailed(bytes)", nil), ClassRetry},
	} {
		require.Equal(t, c.want.String(), ClassifyRevert(c.data, 5).Class.String(), name)
	}
}

func TestAnErrorInsideAnotherDecides(t *testing.T) {
	failed := ipc.SelectorOf(transferFailed).Bytes()
	for name, c := range map[string]struct {
		data []byte
		want Class
		says string
	}{
		"gives to nobody":              {nested(wrapGive, failed), ClassPermanent, "GiveTokenFailed(<TokenTransferFailed()>)"},
		"takes from the poor":          {nested(wrapTake, failed), ClassRetry, "TakeTokenFailed(<TokenTransferFailed()>)"},
		"gives before the deployment":  {nested(wrapGive, nil), ClassWait, "GiveTokenFailed(<>)"},
		"takes before the deployment":  {nested(wrapTake, []byte{1}), ClassWait, "TakeTokenFailed(<>)"},
		"deploys without gas":          {nested("InterchainTokenDeploymentFailed(bytes)", nil), ClassRetry, "InterchainTokenDeploymentFailed(<>)"},
		"links what is linked":         {nested("TokenManagerDeploymentFailed(bytes)", ipc.SelectorOf("AlreadyDeployed()").Bytes()), ClassPermanent, "TokenManagerDeploymentFailed(<AlreadyDeployed()>)"},
		"gives, and the token objects": {nested(wrapGive, []byte{1, 2, 3, 4}), ClassRetry, "GiveTokenFailed(<0x01020304>)"},
		"a token that is entered":      {nested("TokenHandlerFailed(bytes)", ipc.SelectorOf("ReentrantCall()").Bytes()), ClassRetry, "TokenHandlerFailed(<ReentrantCall()>)"},
		"a wrapping inside":            {nested(wrapGive, nested(wrapGive, failed)), ClassRetry, "GiveTokenFailed(<" + selGive.String() + ">)"},
		"cut off":                      {nested(wrapGive, failed)[:60], ClassRetry, "GiveTokenFailed(?)"},
	} {
		f := ClassifyRevert(c.data, 5)
		require.Equal(t, c.want.String(), f.Class.String(), name)
		require.Equal(t, c.says, f.Name, name)
	}
}

// A called contract reverts with what it likes: what only helpers of ITS say is
// no error of theirs at the top.
func TestACalledContractCannotSpeakForITS(t *testing.T) {
	for _, data := range [][]byte{flowError("FlowLimitExceeded", 1, 2), flowError("FlowAmountExceededLimit", 1, 2), ipc.SelectorOf(transferFailed).Bytes(),
		ipc.SelectorOf("AlreadyDeployed()").Bytes(), {1, 2, 3, 4}, ipc.SelectorOf("Refused()").Bytes()} {
		f := ClassifyRevert(data, 5)
		require.Equal(t, ClassRetry, f.Class)
		require.Equal(t, "0x"+common.Bytes2Hex(data[:4]), f.Name)
		require.Zero(t, f.Until)
	}
	say := append(ipc.SelectorOf("Error(string)").Bytes(), encode(list("string"), "no\x00\n\xffpe"+strings.Repeat("x", 999))...)
	f := ClassifyRevert(say, 5)
	require.Equal(t, ClassRetry, f.Class)
	require.True(t, strings.HasPrefix(f.Name, "Error(nopexx"), f.Name)
	require.Less(t, len(f.Name), 300)
	f = ClassifyRevert(nested(wrapGive, make([]byte, 2*maxRevertBytes)), 5)
	require.Equal(t, Failure{Class: ClassRetry, Name: "GiveTokenFailed(?)"}, f)
	f = ClassifyRevert(nested("InvalidBytesLength(bytes)", make([]byte, 999)), 5)
	require.Equal(t, ClassPermanent, f.Class)
	require.Less(t, len(f.Name), 300)
	f = ClassifyRevert(append(ipc.SelectorOf("Panic(uint256)").Bytes(), common.Hash{31: 0x11}.Bytes()...), 5)
	require.Equal(t, Failure{Class: ClassRetry, Name: "Panic(17)"}, f)
}

func TestCircumstancesDecideWhatTheDataCannot(t *testing.T) {
	v := vectors(t)
	catalogue := append(v.Negatives, v.FailureCatalogue...)
	transfer := func(amount int64, to byte, data ...byte) *Transfer {
		return &Transfer{Destination: common.Address{19: to}.Bytes(), Amount: big.NewInt(amount), Data: data}
	}
	notApproved := find(t, catalogue, "execute before approval")
	empty := find(t, catalogue, "data to an address with no code")
	full := nested(wrapGive, flowError("FlowLimitExceeded", 10, 12))
	failed := find(t, catalogue, "destination zero address")
	for name, c := range map[string]struct {
		data []byte
		at   Circumstances
		want Class
	}{
		"not approved yet":                  {notApproved, Circumstances{State: StateNone}, ClassWait},
		"already executed":                  {notApproved, Circumstances{State: StateExecuted}, ClassDone},
		"not what was approved":             {notApproved, Circumstances{State: StateConflict}, ClassPermanent},
		"approved meanwhile":                {notApproved, Circumstances{State: StateApproved}, ClassRetry},
		"executed by somebody else":         {[]byte{1, 2, 3, 4}, Circumstances{State: StateExecuted}, ClassDone},
		"refused before it is approved":     {find(t, catalogue, "sourceChain not hub"), Circumstances{State: StateNone}, ClassOperator},
		"paused":                            {find(t, catalogue, "ITS paused"), Circumstances{State: StateApproved}, ClassWait},
		"data for nobody":                   {empty, Circumstances{State: StateApproved, Transfer: transfer(1, 9, 1), NoCode: true}, ClassPermanent},
		"data for a contract without words": {empty, Circumstances{State: StateApproved, Transfer: transfer(1, 9, 1)}, ClassRetry},
		"no data, no code, no gas":          {empty, Circumstances{State: StateApproved, Transfer: transfer(1, 9), NoCode: true}, ClassRetry},
		"no data, no transfer":              {empty, Circumstances{State: StateApproved}, ClassRetry},
		"a window that is full":             {full, Circumstances{State: StateApproved, Transfer: transfer(7, 9)}, ClassScheduled},
		"a window that is full, exactly":    {full, Circumstances{State: StateApproved, Transfer: transfer(10, 9)}, ClassScheduled},
		"an amount above the limit":         {full, Circumstances{State: StateApproved, Transfer: transfer(11, 9)}, ClassOperator},
		"above the limit itself":            {full, Circumstances{State: StateApproved, Transfer: transfer(7, 9), Limit: big.NewInt(6)}, ClassOperator},
		"no limit any more":                 {full, Circumstances{State: StateApproved, Transfer: transfer(70, 9), Limit: new(big.Int)}, ClassScheduled},
		"a limit, no transfer":              {full, Circumstances{State: StateApproved, Limit: big.NewInt(1)}, ClassScheduled},
		"nobody to give to":                 {failed, Circumstances{State: StateApproved, Transfer: transfer(1, 0)}, ClassPermanent},
		"a token that refuses":              {failed, Circumstances{State: StateApproved, Transfer: transfer(1, 9)}, ClassRetry},
		"an app that refuses":               {find(t, catalogue, "destination reverts"), Circumstances{State: StateApproved, Transfer: transfer(1, 9, 1)}, ClassRetry},
		"a wrong answer of the app":         {find(t, catalogue, "wrong magic returned"), Circumstances{State: StateApproved, Transfer: transfer(1, 9, 1)}, ClassPermanent},
	} {
		f := ClassifyRevert(c.data, 5).Given(c.at)
		require.Equal(t, c.want.String(), f.Class.String(), name)
		require.Equal(t, c.want == ClassScheduled, f.Until > 0, name)
	}
}

// Whatever the data and the circumstances: there is something to do.
func TestGivenTheCircumstancesNothingStaysOpen(t *testing.T) {
	for _, r := range append(vectors(t).Negatives, vectors(t).FailureCatalogue...) {
		for s := StateNone; s <= StateConflict; s++ {
			f := ClassifyRevert(revertData(t, r.Revert), 5).Given(Circumstances{State: s})
			require.NotContains(t, []Class{ClassUnknown, ClassState}, f.Class, r.Label)
		}
	}
}

func TestClassesHaveLabels(t *testing.T) {
	seen := map[string]bool{}
	for c := ClassUnknown; c <= ClassPermanent; c++ {
		require.False(t, seen[c.String()])
		seen[c.String()] = true
	}
	require.Len(t, seen, 9)
}
