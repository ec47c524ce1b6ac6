package ipc

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/ethereum/go-ethereum/common"
)

// Class says what a revert means to whoever simulated or sent the call.
type Class uint8

// Classes of reverts.
const (
	ClassUnknown Class = iota // not in the table, or no data: read the chain's state before anything else
	ClassDone                 // somebody else already did it
	ClassRetry                // may pass later or with other signatures
	ClassWait                 // a predecessor is missing
	ClassFatal                // no retry mends it: a bug, a wrong generation or an attack
)

// String is the snake_case label of the class.
func (c Class) String() string {
	switch c {
	case ClassDone:
		return "done"
	case ClassRetry:
		return "retry"
	case ClassWait:
		return "wait"
	case ClassFatal:
		return "fatal"
	}
	return "unknown"
}

type revert struct {
	signature string
	class     Class
}

// reverts is the table of errors a relayer meets, of generations A to D.
var reverts = bySelector([]revert{
	{"BottomUpCheckpointAlreadySubmitted()", ClassDone},
	{"BatchMsgAlreadyExecuted()", ClassDone},
	{"SignatureReplay()", ClassDone},
	{"QuorumAlreadyProcessed()", ClassDone},
	{"CheckpointAlreadyExists()", ClassDone},
	{"ParentFinalityAlreadyCommitted()", ClassDone},
	{"OldConfigurationNumber()", ClassDone},
	{"ValidatorAlreadyClaimed()", ClassDone},
	{"SubnetAlreadyBootstrapped()", ClassDone},
	{"AlreadyRegisteredSubnet()", ClassDone},

	{"InvalidCheckpointEpoch()", ClassWait},
	{"InvalidCheckpointEpoch(uint64,uint64)", ClassWait},
	{"CannotSubmitFutureCheckpoint()", ClassWait},
	{"MissingBatchCommitment()", ClassWait}, // or executed to the end: the applied nonce tells
	{"CheckpointNotCreated()", ClassWait},
	{"InvalidConfigurationNumber()", ClassWait},
	{"SubnetNotBootstrapped()", ClassWait},

	{"NotValidator(address)", ClassRetry}, // without that signer
	{"NoQuorumFormed()", ClassRetry},
	{"EnforcedPause()", ClassRetry},

	{"InvalidSignatureErr(uint8)", ClassFatal}, // code 5 is a retry, see ClassifyRevert
	{"MaxMsgsPerBatchExceeded()", ClassFatal},
	{"SignatureAddressesNotSorted()", ClassFatal},
	{"DuplicateValidatorSignaturesFound()", ClassFatal},
	{"CannotConfirmFutureChanges()", ClassFatal},
	{"InvalidInclusionProof()", ClassFatal},
	{"NotEnoughSubnetCircSupply()", ClassFatal},
	{"AppHashNotEqual()", ClassFatal},
	{"NotAuthorized(address)", ClassFatal},
	{"InvalidSignature()", ClassFatal},
	{"NotSystemActor()", ClassFatal},
	{"NotRegisteredSubnet()", ClassFatal},
	{"SubnetNotFound()", ClassFatal},
	{"InvalidSubnet()", ClassFatal},
	{"InvalidCheckpointSource()", ClassFatal},
	{"InvalidXnetMessage(uint8)", ClassFatal},
	{"MethodNotAllowed(string)", ClassFatal},
	{"InvalidSubnetActor()", ClassFatal},
	{"NotEnoughBalance()", ClassFatal},
	{"UnrecognizedResult()", ClassFatal},
	{"CallerIsNotGateway()", ClassFatal},
	{"UnsupportedMsgKind()", ClassFatal},
	{"NotDelegatedEvmAddress()", ClassFatal},
	{"CannotExecuteEmptyEnvelope()", ClassFatal},
	{"FunctionNotFound(bytes4)", ClassFatal},
	{"UnexpectedSupplySource()", ClassFatal},
	{"NoBalanceIncrease()", ClassFatal},
	{"DuplicatedCheckpointHeight(uint64)", ClassFatal},
	{"ZeroMembershipWeight()", ClassFatal},
	{"SubnetAlreadyKilled()", ClassFatal},
	{"NotGateway()", ClassFatal},
	{"NotOwner()", ClassFatal},
	{"NotOwnerOfPublicKey()", ClassFatal},
	{"NotEnoughCollateral()", ClassFatal},
	{"CollateralIsZero()", ClassFatal},
	{"ReentrancyError()", ClassFatal},

	// Of our own contracts.
	{"BootstrapAlreadyRecorded()", ClassDone},
	{"NotQuarantined()", ClassDone},
	{"NothingToWithdraw()", ClassDone},
	{"NothingToClaim()", ClassDone},
	{"NotReturned(bytes32)", ClassDone},

	{"Gap(uint64,uint64)", ClassWait},
	{"NotCommitted(uint64)", ClassWait},
	{"BatchOutOfOrder(uint256,uint256)", ClassWait},
	{"ConfigurationInProgress(uint64)", ClassWait},
	{"BootstrapNotRecorded()", ClassWait},
	{"BootstrapTooEarly()", ClassWait},
	{"BootstrapWindowOpen()", ClassWait},
	{"SubnetSilent(uint256)", ClassWait},
	{"TooManyUnconfirmedChanges()", ClassWait},
	{"PeriodFull(uint256)", ClassWait},

	{"NotProven(uint64)", ClassRetry}, // another pair was committed meanwhile: build the tail anew
	{"InsufficientGas(uint256)", ClassRetry},
	{"NotEnoughGas()", ClassRetry},
	{"StillQuarantined()", ClassRetry},
	{"PaymentFailed(address)", ClassRetry},
	{"PayoutRefused()", ClassRetry},

	{"ContradictsFinality()", ClassFatal},
	{"StatementTooLong()", ClassFatal},
	{"EnvelopeTooLarge(uint256)", ClassFatal},
	{"ForbiddenRecipient(address)", ClassFatal},
	{"RefusedRecipient(address)", ClassFatal},
	{"InvalidRecipient(address)", ClassFatal},
	{"AmountOutOfBounds(uint256,uint256,uint256)", ClassFatal},
	{"AmountOutOfRange(uint256,uint256,uint256)", ClassFatal},
	{"WrongValue(uint256,uint256)", ClassFatal},
	{"UnsupportedToken(address)", ClassFatal},
	{"BelowMinimum(uint256)", ClassFatal},
	{"NotEntitled()", ClassFatal},
	{"BootstrapWindowMissed()", ClassFatal}, // reannounceBootstrap first
	{"InvalidPublicKey()", ClassFatal},
	{"Reentered()", ClassFatal},
})

func bySelector(rows []revert) map[Selector]revert {
	m := make(map[Selector]revert, len(rows))
	for _, row := range rows {
		s := SelectorOf(row.signature)
		if _, twice := m[s]; twice {
			panic("[BUG] revert selector listed twice: " + row.signature)
		}
		m[s] = row
	}
	return m
}

var (
	selError = SelectorOf("Error(string)")
	selPanic = SelectorOf("Panic(uint256)")
)

// Codes of InvalidSignatureErr.
const (
	sigErrWeight    = 5
	maxRevertReason = 256
)

// ClassifyRevert names the error in revert data and says what it means. The
// name carries simple arguments ("InvalidSignatureErr(5)", "Error(reason)").
// Filecoin RPCs often return no data: then the name is empty and the class
// ClassUnknown, and the caller compares heights and nonces instead.
func ClassifyRevert(data []byte) (name string, class Class) {
	if len(data) < len(Selector{}) {
		return "", ClassUnknown
	}
	sel, args := Selector(data[:4]), data[4:]
	switch sel {
	case selError:
		return "Error(" + revertReason(args) + ")", ClassUnknown
	case selPanic:
		return fmt.Sprintf("Panic(%s)", smallArg(args)), ClassFatal
	}
	row, ok := reverts[sel]
	if !ok {
		return sel.String(), ClassUnknown
	}
	base, params, _ := strings.Cut(strings.TrimSuffix(row.signature, ")"), "(")
	class = row.class
	switch params {
	case "":
		return base + "()", class
	case "uint8", "uint64", "uint256":
		code := smallArg(args)
		if base == "InvalidSignatureErr" && code == fmt.Sprint(sigErrWeight) {
			class = ClassRetry // collect more signatures
		}
		return base + "(" + code + ")", class
	case "address":
		r := &reader{buf: args}
		a := r.address()
		if r.err != nil {
			return row.signature, class
		}
		return base + "(" + a.Hex() + ")", class
	}
	return row.signature, class
}

var selNotValidator = SelectorOf("NotValidator(address)")

// NotValidator is the address in NotValidator(address).
func NotValidator(data []byte) (common.Address, bool) {
	if len(data) != len(Selector{})+wordLen || Selector(data[:4]) != selNotValidator {
		return common.Address{}, false
	}
	r := &reader{buf: data[4:]}
	a := r.address()
	return a, r.done() == nil
}

// smallArg prints one argument of at most 64 bits, "?" for any other.
func smallArg(args []byte) string {
	r := &reader{buf: args}
	v := r.uint64()
	if r.err != nil {
		return "?"
	}
	return fmt.Sprint(v)
}

// revertReason reads the string of Error(string), printable and bounded.
func revertReason(args []byte) string {
	if len(args) < 2*wordLen {
		return ""
	}
	n := binary.BigEndian.Uint64(args[2*wordLen-8 : 2*wordLen])
	text := args[2*wordLen:]
	if n < uint64(len(text)) {
		text = text[:n]
	}
	if len(text) > maxRevertReason {
		text = text[:maxRevertReason]
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return -1
		}
		return c
	}, string(text))
}
