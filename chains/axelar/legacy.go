package axelar

import (
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
)

// Functions of AxelarGateway and AxelarAuthWeighted (CGP 6).
var (
	fnExecuteInput = declare("execute", list("bytes"), nil)
	fnCallApproved = declare("isContractCallApproved", list("bytes32", "string", "string", "address", "bytes32"), list("bool"))
	fnAuthModule   = declare("authModule", nil, list("address"))
	fnCurrentEpoch = declare("currentEpoch", nil, list("uint256"))
	fnEpochForHash = declare("epochForHash", list("bytes32"), list("uint256"))
)

// Layouts of the legacy wire.
var (
	inputTypes   = list("bytes", "bytes")
	dataTypes    = list("uint256", "bytes32[]", "string[]", "bytes[]")
	proofTypes   = list("address[]", "uint256[]", "uint256", "bytes[]")
	approveTypes = list("string", "string", "address", "bytes32", "bytes32", "uint256")
)

// Names of the commands used here.
const (
	commandApproveCall = "approveContractCall"
	commandOperators   = "transferOperatorship"
)

// legacyRetention is how many epochs a set lives (OLD_KEY_RETENTION): proofs
// are taken while less than that have passed.
const legacyRetention = 16

// LegacyCommand is one command of a legacy batch.
type LegacyCommand struct {
	ID     common.Hash
	Name   string
	Params []byte
}

// EncodeLegacyData is abi.encode(chainId, ids, names, params): what operators
// sign. It names the chain, but neither the gateway nor the operators, so keys
// are never reused on a chain.
func EncodeLegacyData(chain chains.ID, commands []LegacyCommand) []byte {
	ids, names, params := make([]common.Hash, len(commands)), make([]string, len(commands)), make([][]byte, len(commands))
	for i, c := range commands {
		ids[i], names[i], params[i] = c.ID, c.Name, c.Params
	}
	return encode(dataTypes, new(big.Int).SetUint64(uint64(chain)), ids, names, params)
}

// LegacyDigest is what operators of a legacy gateway sign, raw:
// keccak256("\x19Ethereum Signed Message:\n32" ‖ keccak256(data)).
func LegacyDigest(data []byte) common.Hash {
	hash := keccak(data)
	return keccak([]byte("\x19Ethereum Signed Message:\n32"), hash[:])
}

// legacyRotationID is the id of the command that makes a set the operators. No
// message has it: a message id begins with 0x.
func legacyRotationID(operators common.Hash) common.Hash {
	return keccak([]byte(commandOperators), []byte("_"), operators[:])
}

type legacy struct {
	at    common.Address
	auth  common.Address
	chain chains.ID
}

// NewLegacy is the legacy gateway at an address of a chain, with its auth
// module. Probe reads that from the gateway.
func NewLegacy(chain chains.ID, at, auth common.Address) Gateway {
	return legacy{at: at, auth: auth, chain: chain}
}

func (legacy) Kind() Kind                { return Legacy }
func (g legacy) Address() common.Address { return g.at }

func (g legacy) CommandID(m Message) common.Hash { return LegacyCommandID(m.ID, g.chain) }

func (legacy) CheckSigners(s WeightedSigners) error { return s.checkLegacy() }

func (legacy) SignersHash(s WeightedSigners) (common.Hash, error) { return OperatorsHash(s) }

// data is the batch of a checked command.
func (g legacy) data(set WeightedSigners, c Command) ([]byte, error) {
	present, err := OperatorsHash(set)
	if err != nil {
		return nil, err
	}
	if err := c.check(g.CommandID); err != nil {
		return nil, err
	}
	if c.Rotate != nil {
		params, err := EncodeOperators(*c.Rotate)
		if err != nil {
			return nil, fmt.Errorf("next: %w", err)
		}
		next := keccak(params)
		if next == present {
			return nil, fmt.Errorf("%w: the next set is the present one", ErrSignerSet)
		}
		return EncodeLegacyData(g.chain, []LegacyCommand{{ID: legacyRotationID(next), Name: commandOperators, Params: params}}), nil
	}
	commands := make([]LegacyCommand, len(c.Approve))
	for i, m := range c.Approve {
		if commands[i], err = g.approval(m); err != nil {
			return nil, fmt.Errorf("message %d: %w", i, err)
		}
	}
	return EncodeLegacyData(g.chain, commands), nil
}

// approval is abi.encode(sourceChain, sourceAddress, contract, payloadHash,
// source transaction, source index) as a command.
func (g legacy) approval(m Message) (LegacyCommand, error) {
	id, err := ParseMessageID(m.ID)
	if err != nil {
		return LegacyCommand{}, err
	}
	params := encode(approveTypes, m.SourceChain, m.SourceAddress, m.Contract, m.PayloadHash, id.Tx, new(big.Int).SetUint64(id.Index))
	return LegacyCommand{ID: g.CommandID(m), Name: commandApproveCall, Params: params}, nil
}

func (g legacy) Digest(set WeightedSigners, c Command) (common.Hash, error) {
	data, err := g.data(set, c)
	if err != nil {
		return common.Hash{}, err
	}
	return LegacyDigest(data), nil
}

// Calldata is execute(abi.encode(data, proof)). The gateway would allow more
// signatures than it needs; none are sent.
func (g legacy) Calldata(set WeightedSigners, c Command, signatures [][]byte) ([]byte, error) {
	data, err := g.data(set, c)
	if err != nil {
		return nil, err
	}
	chosen, err := set.Collect(LegacyDigest(data), signatures)
	if err != nil {
		return nil, err
	}
	signers, weights, threshold := set.operators()
	proof := encode(proofTypes, signers, weights, threshold, chosen)
	return fnExecuteInput.data(encode(inputTypes, data, proof)), nil
}

// State asks two views. isCommandExecuted says that the approval was processed;
// isContractCallApproved that it was not consumed yet.
func (g legacy) State(m Message) Question[State] {
	return g.StateOf(Approved{CommandID: g.CommandID(m), Message: m})
}

func (g legacy) StateOf(a Approved) Question[State] {
	id, m := a.CommandID, a.Message
	calls := []Call{
		{g.at, fnCommandExecuted.data(id)},
		{g.at, fnCallApproved.data(id, m.SourceChain, m.SourceAddress, m.Contract, m.PayloadHash)},
	}
	return ask(calls, func(answers [][]byte) (State, error) {
		processed, err := readBool(fnCommandExecuted, answers[0])
		if err != nil {
			return StateNone, err
		}
		approved, err := readBool(fnCallApproved, answers[1])
		if err != nil {
			return StateNone, err
		}
		switch {
		case processed && approved:
			return StateApproved, nil
		case processed:
			return StateExecuted, nil
		case approved:
			return StateNone, fmt.Errorf("approved by a command that was not processed: %w", ErrAnswer)
		}
		return StateNone, nil
	})
}

func (g legacy) Standing(s WeightedSigners) Question[Standing] {
	hash, err := OperatorsHash(s)
	if err != nil {
		return noQuestion[Standing](err)
	}
	calls := []Call{{g.auth, fnEpochForHash.data(hash)}, {g.auth, fnCurrentEpoch.data()}}
	return ask(calls, func(answers [][]byte) (Standing, error) {
		of, err := readUint(fnEpochForHash, answers[0])
		if err != nil {
			return StandingUnknown, err
		}
		now, err := readUint(fnCurrentEpoch, answers[1])
		if err != nil {
			return StandingUnknown, err
		}
		return standing(of, now, big.NewInt(legacyRetention-1))
	})
}

// Filter leaves Executed out: it says "processed", which ContractCallApproved
// and OperatorshipTransferred of the same transaction say better.
func (g legacy) Filter() chains.Filter {
	return chains.Filter{Addresses: []common.Address{g.at},
		Topics: []common.Hash{evContractCall.topic, evCallApproved.topic, evCallExecuted.topic, evOperatorship.topic}}
}

func (g legacy) Decode(e chains.Event) (Event, bool, error) {
	if e.Address != g.at || len(e.Topics) == 0 {
		return nil, false, nil
	}
	switch e.Topics[0] {
	case evContractCall.topic:
		return decoded(readCalled(e))
	case evCallApproved.topic:
		return decoded(readCallApproved(e))
	case evCallExecuted.topic:
		return decoded(readCommand(evCallExecuted, e, func(id common.Hash) Event { return Executed{CommandID: id} }))
	case evCommandExecuted.topic:
		return decoded(readCommand(evCommandExecuted, e, func(id common.Hash) Event { return Processed{CommandID: id} }))
	case evOperatorship.topic:
		return decoded(readOperatorship(e))
	}
	return nil, false, nil
}
