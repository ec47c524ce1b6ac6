package axelar

import (
	"fmt"
	"math/big"
	"strings"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
)

// Class says what a revert of a gateway or of ITS means to whoever simulated or
// sent the call. A called contract chooses its own revert data, so a class is
// advice about this one message and never a reason to stop others.
type Class uint8

// Classes of reverts.
const (
	ClassUnknown   Class = iota // no data: a destination without code, or too little gas
	ClassState                  // ask the gateway for the state, then Given
	ClassDone                   // it has happened already
	ClassWait                   // something must come first: an approval, the end of a pause, a deployment
	ClassScheduled              // passes from Failure.Until on
	ClassOperator               // passes once an operator has changed something: trust, a limit, the configuration
	ClassProof                  // signatures are to be collected anew
	ClassRetry                  // may pass later: the called contract refuses
	ClassPermanent              // no retry mends it
)

// String is the snake_case label of the class.
func (c Class) String() string {
	names := [...]string{"unknown", "state", "done", "wait", "scheduled", "operator", "proof", "retry", "permanent"}
	if int(c) < len(names) {
		return names[c]
	}
	return names[ClassUnknown]
}

// Failure is what a revert means.
type Failure struct {
	Class Class
	// Name is the error with its arguments, one that is inside another in angle
	// brackets: "GiveTokenFailed(<TokenTransferFailed()>)". For an error of a
	// called contract it is the selector, without data it is empty.
	Name string
	// Until is when a ClassScheduled failure is worth another try, in Unix seconds
	// of the chain.
	Until uint64
	// Limit, Flow and Manager are what a flow limit said; else nil and zero.
	Limit   *big.Int
	Flow    *big.Int
	Manager common.Address
}

// fault is one error of a contract.
type fault struct {
	name  string
	types abi.Arguments
	class Class
	// wraps: the one argument is the revert data of another contract, whose
	// meaning goes first; class is for where that says nothing.
	wraps bool
}

// faults is what is reverted with by gateways and by ITS themselves. inner is
// what their helpers revert with, which is met inside the former only: at the
// top it is a called contract that says it.
var (
	faults = bySelector(map[Class][]string{
		ClassState: {"NotApprovedByGateway()", "DuplicateSigners(bytes32)", "DuplicateOperators()"},
		// Of expressExecute: it was approved, or somebody else paid first.
		ClassDone:      {"AlreadyExecuted()", "ExpressExecutorAlreadySet()"},
		ClassWait:      {"Pause()", "TokenManagerDoesNotExist(bytes32)"},
		ClassScheduled: {"InsufficientRotationDelay(uint256,uint256,uint256)"},
		ClassOperator: {"NotItsHub()", "NotRemoteService()", "UntrustedChain()", "NotOwner()", "NotOperatorOrOwner(address)",
			"MissingRole(address,uint8)", "InvalidSender(address)", "NotCollector()"},
		ClassProof: {"MalformedSignatures()", "MalformedSigners()", "RedundantSignaturesProvided(uint256,uint256)", "LowSignaturesWeight()",
			"InvalidSignatureLength()", "InvalidS()", "InvalidV()", "InvalidSignature()", "InvalidSigners()", "InvalidOperators()", "NotLatestSigners()"},
		ClassPermanent: {"InvalidMessages()", "InvalidWeights()", "InvalidThreshold()", "InvalidChainId()", "InvalidCommands()",
			"ExecuteWithInterchainTokenFailed(address)", "ExpressExecuteWithInterchainTokenFailed(address)", "InvalidBytesLength(bytes)",
			"InvalidMessageType(uint256)", "InvalidExpressMessageType(uint256)", "InvalidPayload()", "InvalidMetadataVersion(uint32)",
			"CannotDeploy(uint8)", "CannotDeployRemotelyToSelf()", "EmptyTokenName()", "EmptyTokenSymbol()", "EmptyTokenAddress()",
			"EmptyDestinationAddress()", "EmptyData()", "ZeroAmount()", "NotSupported()"},
		ClassRetry: {"Panic(uint256)", "Error(string)",
			wrapGive, wrapTake, "InterchainTokenDeploymentFailed(bytes)", "TokenManagerDeploymentFailed(bytes)",
			"PostDeployFailed(bytes)", "TokenHandlerFailed(bytes)", "GatewayCallFailed(bytes)"},
	})
	inner = bySelector(map[Class][]string{
		ClassScheduled: {flowExceeded, "FlowAmountOverflow(uint256,uint256,address)", "FlowAdditionOverflow(uint256,uint256,address)"},
		ClassOperator: {"FlowAmountExceededLimit(uint256,uint256,address)", "FlowLimitOverflow(uint256,uint256,address)",
			"MissingRole(address,uint8)", "NotService(address)"},
		ClassWait:  {"Pause()"},
		ClassRetry: {"ReentrantCall()", "DeployFailed()", "TokenDeploymentFailed()", "TokenManagerDeploymentFailed()", "Panic(uint256)", "Error(string)"},
		ClassPermanent: {transferFailed, "AlreadyDeployed()", "UnsupportedTokenManagerType(uint256)", "NotToken(address,address)",
			"InvalidBytesLength(bytes)"},
	})
)

const (
	wrapGive       = "GiveTokenFailed(bytes)"
	wrapTake       = "TakeTokenFailed(bytes)"
	flowExceeded   = "FlowLimitExceeded(uint256,uint256,address)"
	transferFailed = "TokenTransferFailed()"
)

func bySelector(rows map[Class][]string) map[ipc.Selector]fault {
	m := make(map[ipc.Selector]fault)
	for class, signatures := range rows {
		for _, s := range signatures {
			sel := ipc.SelectorOf(s)
			if _, twice := m[sel]; twice {
				panic("[BUG] revert selector listed twice: " + s)
			}
			name, params, _ := strings.Cut(strings.TrimSuffix(s, ")"), "(")
			f := fault{name: name, class: class, wraps: strings.HasSuffix(name, "Failed") && params == "bytes"}
			if params != "" {
				f.types = list(strings.Split(params, ",")...)
			}
			m[sel] = f
		}
	}
	return m
}

var (
	selGive           = ipc.SelectorOf(wrapGive)
	selTake           = ipc.SelectorOf(wrapTake)
	selTransferFailed = ipc.SelectorOf(transferFailed)
	selRotationDelay  = ipc.SelectorOf("InsufficientRotationDelay(uint256,uint256,uint256)")
)

// ClassifyRevert names what is in revert data and says what it means; now is
// the time of the chain's block in Unix seconds. Filecoin RPCs often return no
// data: then the class is ClassUnknown.
func ClassifyRevert(data []byte, now uint64) Failure {
	return classify(faults, data, now)
}

func classify(table map[ipc.Selector]fault, data []byte, now uint64) Failure {
	if len(data) < len(ipc.Selector{}) {
		return Failure{}
	}
	sel, args := ipc.Selector(data[:4]), data[4:]
	row, known := table[sel]
	if !known {
		return Failure{Class: ClassRetry, Name: sel.String()}
	}
	values, err := decode(row.types, args, maxRevertBytes)
	if err != nil {
		return Failure{Class: row.class, Name: row.name + "(?)"}
	}
	if row.wraps {
		return row.unwrap(sel, values[0].([]byte), now)
	}
	f := Failure{Class: row.class, Name: row.name + "(" + show(values) + ")"}
	switch {
	case len(values) == 3 && strings.HasPrefix(row.name, "Flow"):
		f.Limit, f.Flow, f.Manager = values[0].(*big.Int), values[1].(*big.Int), values[2].(common.Address)
		if f.Class == ClassScheduled {
			f.Until = WindowEnd(now)
		}
	case sel == selRotationDelay:
		// The delay and when the last rotation was.
		until := new(big.Int).Add(values[0].(*big.Int), values[1].(*big.Int))
		if !until.IsUint64() {
			f.Class = ClassPermanent
			break
		}
		f.Until = until.Uint64()
	}
	return f
}

// unwrap classifies an error by the one inside it.
func (w fault) unwrap(sel ipc.Selector, data []byte, now uint64) Failure {
	f := classify(inner, data, now)
	switch {
	case f.Name == "" && (sel == selGive || sel == selTake):
		// The manager has no code: the token is not here, or not yet.
		f.Class = ClassWait
	case f.Name == "":
		f.Class = w.class
	case sel == selTake && ipc.Selector(data[:4]) == selTransferFailed:
		// The sender's balance or allowance, which can grow.
		f.Class = ClassRetry
	}
	f.Name = w.name + "(<" + f.Name + ">)"
	return f
}

const maxShown = 200

// show prints arguments, bounded and in printable characters.
func show(values []any) string {
	parts := make([]string, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case [32]byte:
			parts[i] = fmt.Sprintf("0x%x", v[:])
		case []byte:
			parts[i] = fmt.Sprintf("0x%x", v[:min(len(v), maxShown/2)])
		case string:
			parts[i] = strings.Map(printable, v[:min(len(v), maxShown)])
		default:
			parts[i] = fmt.Sprint(v)
		}
	}
	return strings.Join(parts, ",")
}

func printable(c rune) rune {
	if c < ' ' || c > '~' {
		return -1
	}
	return c
}

// Circumstances is what is known about the message whose execution failed.
type Circumstances struct {
	// State is where it stands at its gateway, read after the failure.
	State State
	// Transfer is its inner payload, nil where it is none.
	Transfer *Transfer
	// NoCode: the transfer's destination has no code.
	NoCode bool
	// Limit is the flow limit of the token's manager, nil where it is not known.
	Limit *big.Int
}

// Given says what the failure of ITS.execute means in the light of what else is
// known. It never returns ClassState, nor ClassUnknown.
func (f Failure) Given(c Circumstances) Failure {
	switch {
	case c.State == StateExecuted:
		f.Class = ClassDone
	case c.State == StateConflict:
		f.Class = ClassPermanent // not what was approved
	case c.State == StateNone && f.Class != ClassOperator:
		f.Class = ClassWait
	case f.Class == ClassState:
		f.Class = ClassRetry // approved meanwhile, or the called contract says so
	case f.Class == ClassUnknown && c.Transfer != nil && len(c.Transfer.Data) > 0 && c.NoCode:
		f.Class = ClassPermanent // until a contract is deployed there
	case f.Class == ClassUnknown:
		f.Class = ClassRetry // with more gas
	case c.Transfer == nil:
	case f.Class == ClassScheduled && f.neverFits(c):
		f.Class, f.Until = ClassOperator, 0
	case f.Name == "GiveTokenFailed(<TokenTransferFailed()>)" && common.BytesToAddress(c.Transfer.Destination) != (common.Address{}):
		f.Class = ClassRetry // the token refuses: paused, or its manager is short
	}
	return f
}

// neverFits says whether the amount is above the limit itself. ITS 2.2.0 has an
// error of its own for that, 2.1.1 has not: there FlowLimitExceeded names at
// least the limit.
func (f Failure) neverFits(c Circumstances) bool {
	limit := c.Limit
	if limit == nil {
		limit = f.Limit
	}
	return limit != nil && limit.Sign() > 0 && c.Transfer.Amount.Cmp(limit) > 0
}
