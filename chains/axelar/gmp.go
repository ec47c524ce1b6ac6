package axelar

import (
	"bytes"
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/common"
)

// This file is what GmpPort, GmpRouter and GmpSubnetPort say (contracts/src/gmp):
// the wire form of calls between contracts on Ethereum and in a subnet. The same
// bytes are the payload at Axelar and the message of IPC.

// GmpCall is a call between contracts as it is hashed into its id and travels.
type GmpCall struct {
	Nonce  uint64 // of the port it was made at
	Sender common.Address
	Target common.Address // on the other chain
	Gas    uint64         // promised to the target
	Data   []byte
}

// GmpResult is what became of a call: what its target returned, or what it or
// whoever refused it reverted with, cut off.
type GmpResult struct {
	ID     common.Hash
	OK     bool
	Return []byte
}

// GmpRoute is both ends of a call: two ports, each on its chain.
type GmpRoute struct {
	From, To         chains.ID
	FromPort, ToPort common.Address
}

// MaxGmpBytes bounds what is read as a message of ports: most data that a port
// takes, and its head.
const MaxGmpBytes = 4096

var (
	selGmpCall   = ipc.SelectorOf("gmpCall(uint64,address,address,uint64,bytes)")
	selGmpResult = ipc.SelectorOf("gmpResult(bytes32,bool,bytes)")

	gmpCallTypes   = list("uint64", "address", "address", "uint64", "bytes")
	gmpResultTypes = list("bytes32", "bool", "bytes")
	gmpIDTypes     = list("string", "uint256", "address", "uint256", "address", "uint64", "address", "address", "uint64", "bytes32")
)

// GmpCallID is keccak256(abi.encode("GMP1", chain id, port, other chain id, other
// port, nonce, sender, target, gas, keccak256(data))).
func GmpCallID(r GmpRoute, c GmpCall) common.Hash {
	return keccak(encode(gmpIDTypes, "GMP1", new(big.Int).SetUint64(uint64(r.From)), r.FromPort, new(big.Int).SetUint64(uint64(r.To)), r.ToPort,
		c.Nonce, c.Sender, c.Target, c.Gas, keccak(c.Data)))
}

// EncodeGmpCall is the message of a call: abi.encode(CallMsg(method, params)).
func EncodeGmpCall(c GmpCall) []byte {
	return ipc.EncodeCall(ipc.CallMsg{Method: selGmpCall.Bytes(), Params: encode(gmpCallTypes, c.Nonce, c.Sender, c.Target, c.Gas, c.Data)})
}

// DecodeGmpCall reads exactly what EncodeGmpCall makes.
func DecodeGmpCall(b []byte) (GmpCall, error) {
	v, err := gmpParams(b, selGmpCall, "call", gmpCallTypes.Unpack)
	if err != nil {
		return GmpCall{}, err
	}
	c := GmpCall{Nonce: v[0].(uint64), Sender: v[1].(common.Address), Target: v[2].(common.Address), Gas: v[3].(uint64), Data: v[4].([]byte)}
	if !bytes.Equal(EncodeGmpCall(c), b) {
		return GmpCall{}, fmt.Errorf("call: encodes to other bytes: %w", ErrMalformed)
	}
	return c, nil
}

// EncodeGmpResult is the message of a result: abi.encode(CallMsg(method, params)).
func EncodeGmpResult(r GmpResult) []byte {
	return ipc.EncodeCall(ipc.CallMsg{Method: selGmpResult.Bytes(), Params: encode(gmpResultTypes, r.ID, r.OK, r.Return)})
}

// DecodeGmpResult reads exactly what EncodeGmpResult makes.
func DecodeGmpResult(b []byte) (GmpResult, error) {
	v, err := gmpParams(b, selGmpResult, "result", gmpResultTypes.Unpack)
	if err != nil {
		return GmpResult{}, err
	}
	r := GmpResult{ID: v[0].([32]byte), OK: v[1].(bool), Return: v[2].([]byte)}
	if !bytes.Equal(EncodeGmpResult(r), b) {
		return GmpResult{}, fmt.Errorf("result: encodes to other bytes: %w", ErrMalformed)
	}
	return r, nil
}

// gmpParams are the parameters of a message with one method.
func gmpParams(b []byte, method ipc.Selector, what string, unpack func([]byte) ([]any, error)) ([]any, error) {
	if len(b) > MaxGmpBytes {
		return nil, fmt.Errorf("%s of %d bytes, at most %d: %w", what, len(b), MaxGmpBytes, ErrTooLarge)
	}
	m, err := ipc.DecodeCall(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", what, ErrMalformed, err)
	}
	if !bytes.Equal(m.Method, method.Bytes()) {
		return nil, fmt.Errorf("%s: another method: %w", what, ErrMalformed)
	}
	v, err := unpack(m.Params)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", what, ErrMalformed, err)
	}
	return v, nil
}

// GmpLeg is what of a call is under way on the root: up is to Ethereum, down into
// the subnet.
type GmpLeg uint8

// The legs, in the order of the contract.
const (
	GmpCallDown GmpLeg = iota
	GmpCallUp
	GmpResultDown
	GmpResultUp
)

// GmpStage is where on a leg an id is.
type GmpStage uint8

// The stages, in the order of the contract.
const (
	GmpNone GmpStage = iota
	GmpSent
	GmpKept
)

// GmpEntry is what GmpRouter knows of an id: since when it keeps it, Unix seconds,
// and the hash of the message it keeps.
type GmpEntry struct {
	Leg   GmpLeg
	Stage GmpStage
	Since uint64
	Hash  common.Hash
}

var (
	fnGmpStage    = declare("stageOf", list("bytes32"), list("uint8", "uint8", "uint64"))
	fnGmpKept     = declare("keptHash", list("bytes32"), list("bytes32"))
	fnGmpPatience = declare("patience", nil, list("uint256"))
	fnGmpRetry    = declare("retry", list("bytes32", "bytes"), nil)
	fnGmpGiveUp   = declare("giveUp", list("bytes32", "bytes"), nil)
	fnGmpLink     = declare("axelarLink", nil, list("address", "string", "address"))
)

// GmpEntryOf asks GmpRouter where an id is.
func GmpEntryOf(router common.Address, id common.Hash) Question[GmpEntry] {
	calls := []Call{{router, fnGmpStage.data(id)}, {router, fnGmpKept.data(id)}}
	return ask(calls, func(answers [][]byte) (GmpEntry, error) {
		v, err := fnGmpStage.answer(answers[0])
		if err != nil {
			return GmpEntry{}, err
		}
		kept, err := fnGmpKept.answer(answers[1])
		if err != nil {
			return GmpEntry{}, err
		}
		e := GmpEntry{Leg: GmpLeg(v[0].(uint8)), Stage: GmpStage(v[1].(uint8)), Since: v[2].(uint64), Hash: kept[0].([32]byte)}
		if e.Leg > GmpResultUp || e.Stage > GmpKept || (e.Stage == GmpKept) == (e.Hash == common.Hash{}) {
			return GmpEntry{}, fmt.Errorf("stage %d of leg %d, hash %s: %w", e.Stage, e.Leg, e.Hash, ErrAnswer)
		}
		return e, nil
	})
}

// GmpPatienceOf asks GmpRouter how many seconds a call is kept before it may be
// given up.
func GmpPatienceOf(router common.Address) Question[uint64] {
	return ask([]Call{{router, fnGmpPatience.data()}}, func(answers [][]byte) (uint64, error) {
		n, err := readUint(fnGmpPatience, answers[0])
		if err != nil {
			return 0, err
		}
		if !n.IsUint64() {
			return 0, fmt.Errorf("patience is %s: %w", n, ErrAnswer)
		}
		return n.Uint64(), nil
	})
}

// GmpLink is whom GmpPort or GmpRouter talks to over Axelar.
type GmpLink struct {
	Gateway common.Address // of its own chain
	Chain   string         // the other chain, by its name at Axelar
	Account common.Address // the contract there
}

// GmpLinkOf asks GmpPort or GmpRouter whom it talks to.
func GmpLinkOf(contract common.Address) Question[GmpLink] {
	return ask([]Call{{contract, fnGmpLink.data()}}, func(answers [][]byte) (GmpLink, error) {
		v, err := fnGmpLink.answer(answers[0])
		if err != nil {
			return GmpLink{}, err
		}
		return GmpLink{Gateway: v[0].(common.Address), Chain: v[1].(string), Account: v[2].(common.Address)}, nil
	})
}

// RetryGmpCalldata sends on what GmpRouter keeps under an id.
func RetryGmpCalldata(id common.Hash, message []byte) []byte {
	return fnGmpRetry.data(id, message)
}

// GiveUpGmpCalldata tries a call that was kept for the router's patience a last
// time, and has it answered as failed if it cannot go on even now.
func GiveUpGmpCalldata(id common.Hash, message []byte) []byte {
	return fnGmpGiveUp.data(id, message)
}
