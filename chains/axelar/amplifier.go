package axelar

import (
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
)

// Functions of AxelarAmplifierGateway (GMP SDK 6.0 and 6.2).
var (
	fnApproveMessages = declare("approveMessages", abi.Arguments{typeMessages, typeProof}, nil)
	fnRotateSigners   = declare("rotateSigners", abi.Arguments{typeSigners, typeProof}, nil)
	fnCallContract    = declare("callContract", list("string", "string", "bytes"), nil)
	fnApproved        = declare("isMessageApproved", list("string", "string", "string", "address", "bytes32"), list("bool"))
	fnExecuted        = declare("isMessageExecuted", list("string", "string"), list("bool"))
	fnCommandExecuted = declare("isCommandExecuted", list("bytes32"), list("bool"))
	fnCommandID       = declare("messageToCommandId", list("string", "string"), list("bytes32"))
	fnDomain          = declare("domainSeparator", nil, list("bytes32"))
	fnEpoch           = declare("epoch", nil, list("uint256"))
	fnEpochOf         = declare("epochBySignersHash", list("bytes32"), list("uint256"))
	fnRetention       = declare("previousSignersRetention", nil, list("uint256"))
)

// AmplifierDigest is what signers of an Amplifier gateway sign, raw:
// keccak256("\x19Ethereum Signed Message:\n96" ‖ domain ‖ signersHash ‖
// dataHash).
func AmplifierDigest(domain, signersHash, dataHash common.Hash) common.Hash {
	return keccak([]byte("\x19Ethereum Signed Message:\n96"), domain[:], signersHash[:], dataHash[:])
}

// CallContractData is the call by which a contract sends a message, at either
// generation of gateways.
func CallContractData(chain, address string, payload []byte) []byte {
	return fnCallContract.data(chain, address, payload)
}

type amplifier struct {
	at     common.Address
	domain common.Hash
}

// NewAmplifier is the Amplifier gateway at an address, with its domain
// separator. Probe reads it from the gateway.
func NewAmplifier(at common.Address, domain common.Hash) Gateway {
	return amplifier{at: at, domain: domain}
}

func (amplifier) Kind() Kind                { return Amplifier }
func (g amplifier) Address() common.Address { return g.at }

func (amplifier) CommandID(m Message) common.Hash { return CommandID(m.SourceChain, m.ID) }

func (amplifier) CheckSigners(s WeightedSigners) error { return s.check(amplifierWeightBits) }

func (amplifier) SignersHash(s WeightedSigners) (common.Hash, error) { return SignersHash(s) }

func (g amplifier) Digest(set WeightedSigners, c Command) (common.Hash, error) {
	signers, err := SignersHash(set)
	if err != nil {
		return common.Hash{}, err
	}
	if err := c.check(g.CommandID); err != nil {
		return common.Hash{}, err
	}
	if c.Rotate == nil {
		return AmplifierDigest(g.domain, signers, ApproveHash(c.Approve)), nil
	}
	data, err := RotateHash(*c.Rotate)
	if err != nil {
		return common.Hash{}, fmt.Errorf("next: %w", err)
	}
	// A set that was seen before is refused (DuplicateSigners): its nonce must
	// differ.
	if next, err := SignersHash(*c.Rotate); err != nil || next == signers {
		return common.Hash{}, fmt.Errorf("%w: the next set is the present one", ErrSignerSet)
	}
	return AmplifierDigest(g.domain, signers, data), nil
}

func (g amplifier) Calldata(set WeightedSigners, c Command, signatures [][]byte) ([]byte, error) {
	digest, err := g.Digest(set, c)
	if err != nil {
		return nil, err
	}
	chosen, err := set.Collect(digest, signatures)
	if err != nil {
		return nil, err
	}
	proof := Proof{Signers: set, Signatures: chosen}
	if c.Rotate != nil {
		return fnRotateSigners.data(*c.Rotate, proof), nil
	}
	return fnApproveMessages.data(c.Approve, proof), nil
}

// DecodeCommand reads the call data that Calldata of an Amplifier gateway makes:
// what approveMessages or rotateSigners is asked to carry out. The proof is not
// judged, the gateway does that. ErrMalformed for any other call, ErrCommand or
// ErrMessage for one that no gateway should be sent.
func DecodeCommand(data []byte) (Command, error) {
	c, err := decodeCommand(data)
	if err != nil {
		return Command{}, fmt.Errorf("decode command: %w", err)
	}
	if err := c.check(func(m Message) common.Hash { return CommandID(m.SourceChain, m.ID) }); err != nil {
		return Command{}, fmt.Errorf("decode command: %w", err)
	}
	return c, nil
}

func decodeCommand(data []byte) (Command, error) {
	const selector = 4
	if len(data) < selector {
		return Command{}, fmt.Errorf("%d bytes are no call: %w", len(data), ErrMalformed)
	}
	called, args := ipc.Selector(data[:selector]), data[selector:]
	switch called {
	case fnApproveMessages.selector:
		v, err := decode(fnApproveMessages.in, args, maxCommandBytes)
		if err != nil {
			return Command{}, err
		}
		return Command{Approve: *abi.ConvertType(v[0], new([]Message)).(*[]Message)}, nil
	case fnRotateSigners.selector:
		v, err := decode(fnRotateSigners.in, args, maxCommandBytes)
		if err != nil {
			return Command{}, err
		}
		return Command{Rotate: abi.ConvertType(v[0], new(WeightedSigners)).(*WeightedSigners)}, nil
	}
	return Command{}, fmt.Errorf("call of %x: %w", data[:selector], ErrMalformed)
}

// State asks three views: isCommandExecuted alone is true as soon as anything
// is approved under the id.
func (g amplifier) State(m Message) Question[State] {
	calls := []Call{
		{g.at, fnExecuted.data(m.SourceChain, m.ID)},
		{g.at, fnApproved.data(m.SourceChain, m.ID, m.SourceAddress, m.Contract, m.PayloadHash)},
		{g.at, fnCommandExecuted.data(g.CommandID(m))},
	}
	return ask(calls, func(answers [][]byte) (State, error) {
		executed, err := readBool(fnExecuted, answers[0])
		if err != nil {
			return StateNone, err
		}
		approved, err := readBool(fnApproved, answers[1])
		if err != nil {
			return StateNone, err
		}
		known, err := readBool(fnCommandExecuted, answers[2])
		if err != nil {
			return StateNone, err
		}
		switch {
		case executed && !approved && known:
			return StateExecuted, nil
		case !executed && approved && known:
			return StateApproved, nil
		case !executed && !approved && known:
			return StateConflict, nil
		case !executed && !approved && !known:
			return StateNone, nil
		}
		return StateNone, fmt.Errorf("executed %t, approved %t, known %t: %w", executed, approved, known, ErrAnswer)
	})
}

// StateOf knows a message by its id, which the event has.
func (g amplifier) StateOf(a Approved) Question[State] {
	if g.CommandID(a.Message) != a.CommandID {
		return noQuestion[State](fmt.Errorf("command id %s is not that of %s: %w", a.CommandID, a.Message.ID, ErrMessage))
	}
	return g.State(a.Message)
}

func (g amplifier) Standing(s WeightedSigners) Question[Standing] {
	hash, err := SignersHash(s)
	if err != nil {
		return noQuestion[Standing](err)
	}
	calls := []Call{{g.at, fnEpochOf.data(hash)}, {g.at, fnEpoch.data()}, {g.at, fnRetention.data()}}
	return ask(calls, func(answers [][]byte) (Standing, error) {
		of, err := readUint(fnEpochOf, answers[0])
		if err != nil {
			return StandingUnknown, err
		}
		now, err := readUint(fnEpoch, answers[1])
		if err != nil {
			return StandingUnknown, err
		}
		retention, err := readUint(fnRetention, answers[2])
		if err != nil {
			return StandingUnknown, err
		}
		// Usable while now − of ≤ retention.
		return standing(of, now, retention)
	})
}

// standing judges the epoch of a set: zero for an unknown one, and usable up to
// retained epochs after its own.
func standing(of, now, retained *big.Int) (Standing, error) {
	age := new(big.Int).Sub(now, of)
	switch {
	case of.Sign() == 0:
		return StandingUnknown, nil
	case age.Sign() < 0:
		return StandingUnknown, fmt.Errorf("a set of epoch %s in epoch %s: %w", of, now, ErrAnswer)
	case age.Sign() == 0:
		return StandingLatest, nil
	case age.Cmp(retained) <= 0:
		return StandingRetained, nil
	}
	return StandingExpired, nil
}

// noQuestion is asked of no chain and answered by err.
func noQuestion[T any](err error) Question[T] {
	return ask(nil, func([][]byte) (T, error) {
		var none T
		return none, err
	})
}

func readBool(f function, b []byte) (bool, error) {
	v, err := f.answer(b)
	if err != nil {
		return false, err
	}
	return v[0].(bool), nil
}

func readUint(f function, b []byte) (*big.Int, error) {
	v, err := f.answer(b)
	if err != nil {
		return nil, err
	}
	return v[0].(*big.Int), nil
}

func (g amplifier) Filter() chains.Filter {
	return chains.Filter{Addresses: []common.Address{g.at},
		Topics: []common.Hash{evContractCall.topic, evMessageApproved.topic, evMessageExecuted.topic, evSignersRotated.topic}}
}

func (g amplifier) Decode(e chains.Event) (Event, bool, error) {
	if e.Address != g.at || len(e.Topics) == 0 {
		return nil, false, nil
	}
	switch e.Topics[0] {
	case evContractCall.topic:
		return decoded(readCalled(e))
	case evMessageApproved.topic:
		return decoded(readMessageApproved(e))
	case evMessageExecuted.topic:
		return decoded(readCommand(evMessageExecuted, e, func(id common.Hash) Event { return Executed{CommandID: id} }))
	case evSignersRotated.topic:
		return decoded(readSignersRotated(e))
	}
	return nil, false, nil
}
