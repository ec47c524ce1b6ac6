package bindings_test

import (
	"testing"

	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"

	"github.com/causeway-bridge/causeway/contracts/bindings"
)

// codeLimit is EIP-3860's bound on creation code.
const codeLimit = 49152

func TestEveryContractCanBeDeployed(t *testing.T) {
	for _, meta := range []*bind.MetaData{
		&bindings.DevFltMetaData, &bindings.DevUsdcMetaData, &bindings.FastWithdrawalsMetaData,
		&bindings.GatewayMetaData, &bindings.LinkedTokenControllerMetaData, &bindings.LinkedTokenReplicaMetaData,
		&bindings.SubnetActorMetaData, &bindings.SubnetGatewayMetaData, &bindings.SubnetRegistryMetaData,
		&bindings.WithdrawalOutboxMetaData,
	} {
		code := common.FromHex(meta.Bin)
		require.NotEmpty(t, code, meta.ID)
		require.Less(t, len(code), codeLimit, meta.ID)
		require.Empty(t, meta.Deps, meta.ID)
	}
}

func TestErrorsOfTheGatewayAndTheActorAreDecoded(t *testing.T) {
	selector := func(signature string) []byte { return crypto.Keccak256([]byte(signature))[:4] }
	actor := bindings.NewSubnetActor()
	got, err := actor.UnpackError(append(selector("InvalidSignatureErr(uint8)"), common.LeftPadBytes([]byte{5}, 32)...))
	require.NoError(t, err)
	require.Equal(t, &bindings.SubnetActorInvalidSignatureErr{Code: 5}, got)
	for _, signature := range []string{
		"SignatureAddressesNotSorted()", "DuplicateValidatorSignaturesFound()", "InvalidCheckpointEpoch()",
		"BottomUpCheckpointAlreadySubmitted()", "CannotConfirmFutureChanges()", "BatchMsgAlreadyExecuted()",
		"MissingBatchCommitment()", "InvalidInclusionProof()", "BootstrapNotRecorded()",
	} {
		_, err := actor.UnpackError(selector(signature))
		require.NoError(t, err, signature)
	}
	gateway := bindings.NewGateway()
	for _, signature := range []string{"NotRegisteredSubnet()", "BootstrapNotRecorded()", "NotQuarantined()"} {
		_, err := gateway.UnpackError(selector(signature))
		require.NoError(t, err, signature)
	}
}

func TestForeignRevertDataIsAnErrorNotAPanic(t *testing.T) {
	gateway := bindings.NewGateway()
	for size := range 5 {
		_, err := gateway.UnpackError(make([]byte, size))
		require.Error(t, err)
	}
}
