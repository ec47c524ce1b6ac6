package axelar

import (
	"bytes"
	"context"
	"errors"
	"math/big"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

// The gateways as models: what BaseWeightedMultisig, BaseAmplifierGateway,
// AxelarGateway and AxelarAuthWeighted do, written from the contracts and not
// from the package under test.

// world is contracts by address. An address without one answers nothing.
type world map[common.Address]contract

// contract answers views by their signature.
type contract map[string]func(args []any) []any

var errDown = errors.New("endpoint is down")

func (w world) CallContract(_ context.Context, to common.Address, data []byte) ([]byte, error) {
	c, there := w[to]
	if !there {
		return nil, nil
	}
	for _, f := range views {
		if answer, has := c[f.signature]; has && bytes.HasPrefix(data, f.selector[:]) {
			args, err := f.in.Unpack(data[4:])
			if err != nil {
				return nil, &chains.RevertError{}
			}
			out := answer(args)
			if len(out) == 1 {
				if err, down := out[0].(error); down {
					return nil, err
				}
				if raw, odd := out[0].([]byte); odd {
					return raw, nil
				}
			}
			return encode(f.out, out...), nil
		}
	}
	return nil, &chains.RevertError{}
}

var views = []function{fnApproved, fnExecuted, fnCommandExecuted, fnCommandID, fnDomain, fnEpoch, fnEpochOf, fnRetention,
	fnCallApproved, fnAuthModule, fnCurrentEpoch, fnEpochForHash, fnContractID,
	fnHubAddress, fnTrustedChain, fnTrustedAddress, fnPaused, fnGateway, fnChainName, fnRegistered, fnDecimals, fnFlowLimit, fnFlowIn, fnFlowOut}

func always(values ...any) func([]any) []any { return func([]any) []any { return values } }

// validSignatures is _validateSignatures; redundant says whether one signature
// more than needed reverts.
func validSignatures(digest common.Hash, signers []common.Address, weights []*big.Int, threshold *big.Int, sigs [][]byte, redundant bool) string {
	at, sum := 0, new(big.Int)
	for i, sig := range sigs {
		if len(sig) != 65 || sig[64] != 27 && sig[64] != 28 {
			return "InvalidV"
		}
		plain := append(bytes.Clone(sig[:64]), sig[64]-27)
		pub, err := crypto.SigToPub(digest[:], plain)
		if err != nil {
			return "InvalidSignature"
		}
		for at < len(signers) && signers[at] != crypto.PubkeyToAddress(*pub) {
			at++
		}
		if at == len(signers) {
			return "MalformedSignatures"
		}
		sum.Add(sum, weights[at])
		if sum.Cmp(threshold) >= 0 {
			if i+1 == len(sigs) || !redundant {
				return ""
			}
			return "RedundantSignaturesProvided"
		}
		at++
	}
	return "LowSignaturesWeight"
}

// validSet is _validateSigners.
func validSet(signers []common.Address, weights []*big.Int, threshold *big.Int) bool {
	sum, before := new(big.Int), new(big.Int)
	for i, a := range signers {
		n := new(big.Int).SetBytes(a[:])
		if n.Cmp(before) <= 0 || weights[i].Sign() == 0 {
			return false
		}
		before = n
		sum.Add(sum, weights[i])
	}
	return len(signers) > 0 && threshold.Sign() > 0 && sum.Cmp(threshold) >= 0
}

// wireMessage and wireProof are the tuples as the ABI names them.
type wireMessage struct {
	SourceChain, MessageId, SourceAddress string
	ContractAddress                       common.Address
	PayloadHash                           [32]byte
}

type wireProof struct {
	Signers    WeightedSigners
	Signatures [][]byte
}

type amplifierModel struct {
	at        common.Address
	domain    common.Hash
	retention uint64
	epoch     uint64
	epochOf   map[common.Hash]uint64
	messages  map[common.Hash]common.Hash
}

func newAmplifierModel(at common.Address, retention uint64, first WeightedSigners) *amplifierModel {
	m := &amplifierModel{at: at, domain: keccak([]byte("domain")), retention: retention,
		epochOf: map[common.Hash]uint64{}, messages: map[common.Hash]common.Hash{}}
	if reason := m.admit(first); reason != "" {
		panic(reason)
	}
	return m
}

func modelHash(s WeightedSigners) common.Hash { return keccak(encode(abi.Arguments{typeSigners}, s)) }

func (m *amplifierModel) admit(s WeightedSigners) string {
	signers, weights, threshold := s.operators()
	if !validSet(signers, weights, threshold) {
		return "InvalidSigners"
	}
	if m.epochOf[modelHash(s)] != 0 {
		return "DuplicateSigners"
	}
	m.epoch++
	m.epochOf[modelHash(s)] = m.epoch
	return ""
}

// transact runs approveMessages or rotateSigners and says why it reverts.
func (m *amplifierModel) transact(data []byte) string {
	f := fnApproveMessages
	if bytes.HasPrefix(data, fnRotateSigners.selector[:]) {
		f = fnRotateSigners
	}
	args, err := f.in.Unpack(data[4:])
	if err != nil || !bytes.HasPrefix(data, f.selector[:]) {
		return "calldata"
	}
	proof := *abi.ConvertType(args[1], new(wireProof)).(*wireProof)
	first := uint8(0)
	if f.selector == fnRotateSigners.selector {
		first = 1
	}
	dataHash := keccak(encode(abi.Arguments{typed("uint8"), f.in[0]}, first, args[0]))
	hash := modelHash(proof.Signers)
	of := m.epochOf[hash]
	if of == 0 || m.epoch-of > m.retention {
		return "InvalidSigners"
	}
	signers, weights, threshold := proof.Signers.operators()
	digest := keccak([]byte("\x19Ethereum Signed Message:\n96"), m.domain[:], hash[:], dataHash[:])
	if reason := validSignatures(digest, signers, weights, threshold, proof.Signatures, true); reason != "" {
		return reason
	}
	if first == 1 {
		if of != m.epoch {
			return "NotLatestSigners"
		}
		return m.admit(*abi.ConvertType(args[0], new(WeightedSigners)).(*WeightedSigners))
	}
	for _, w := range *abi.ConvertType(args[0], new([]wireMessage)).(*[]wireMessage) {
		id := keccak([]byte(w.SourceChain + "_" + w.MessageId))
		if m.messages[id] == (common.Hash{}) {
			m.messages[id] = contentHash(id, w.SourceChain, w.SourceAddress, w.ContractAddress, w.PayloadHash)
		}
	}
	return ""
}

func contentHash(id common.Hash, chain, source string, contract common.Address, payload common.Hash) common.Hash {
	return keccak(encode(list("bytes32", "string", "string", "address", "bytes32"), id, chain, source, contract, payload))
}

func (m *amplifierModel) execute(id common.Hash) { m.messages[id] = common.BigToHash(big.NewInt(1)) }

func (m *amplifierModel) contract() contract {
	commandID := func(a []any) common.Hash { return keccak([]byte(a[0].(string) + "_" + a[1].(string))) }
	return contract{
		fnContractID.signature:      always(keccak([]byte("axelar-amplifier-gateway"))),
		fnDomain.signature:          always(m.domain),
		fnEpoch.signature:           func([]any) []any { return []any{new(big.Int).SetUint64(m.epoch)} },
		fnRetention.signature:       always(new(big.Int).SetUint64(m.retention)),
		fnEpochOf.signature:         func(a []any) []any { return []any{new(big.Int).SetUint64(m.epochOf[a[0].([32]byte)])} },
		fnCommandID.signature:       func(a []any) []any { return []any{commandID(a)} },
		fnCommandExecuted.signature: func(a []any) []any { return []any{m.messages[a[0].([32]byte)] != (common.Hash{})} },
		fnExecuted.signature: func(a []any) []any {
			return []any{m.messages[commandID(a)] == common.BigToHash(big.NewInt(1))}
		},
		fnApproved.signature: func(a []any) []any {
			id := commandID(a)
			return []any{m.messages[id] == contentHash(id, a[0].(string), a[2].(string), a[3].(common.Address), a[4].([32]byte))}
		},
	}
}

type legacyModel struct {
	at, auth common.Address
	chain    chains.ID
	epoch    uint64
	epochOf  map[common.Hash]uint64
	done     map[common.Hash]bool
	approved map[common.Hash]bool
}

func newLegacyModel(chain chains.ID, at, auth common.Address, first WeightedSigners) *legacyModel {
	m := &legacyModel{at: at, auth: auth, chain: chain, epochOf: map[common.Hash]uint64{}, done: map[common.Hash]bool{}, approved: map[common.Hash]bool{}}
	signers, weights, threshold := first.operators()
	if !m.admit(encode(list("address[]", "uint256[]", "uint256"), signers, weights, threshold)) {
		panic("operators")
	}
	return m
}

func (m *legacyModel) admit(params []byte) bool {
	v, err := list("address[]", "uint256[]", "uint256").Unpack(params)
	if err != nil || m.epochOf[keccak(params)] != 0 || !validSet(v[0].([]common.Address), v[1].([]*big.Int), v[2].(*big.Int)) {
		return false
	}
	m.epoch++
	m.epochOf[keccak(params)] = m.epoch
	return true
}

func (m *legacyModel) transact(input []byte) string {
	v, err := list("bytes").Unpack(input[4:])
	if err != nil {
		return "calldata"
	}
	if v, err = list("bytes", "bytes").Unpack(v[0].([]byte)); err != nil {
		return "input"
	}
	data := v[0].([]byte)
	proof, err := list("address[]", "uint256[]", "uint256", "bytes[]").Unpack(v[1].([]byte))
	if err != nil {
		return "proof"
	}
	signers, weights, threshold := proof[0].([]common.Address), proof[1].([]*big.Int), proof[2].(*big.Int)
	of := m.epochOf[keccak(encode(list("address[]", "uint256[]", "uint256"), signers, weights, threshold))]
	if of == 0 || m.epoch-of >= 16 {
		return "InvalidOperators"
	}
	digest := keccak([]byte("\x19Ethereum Signed Message:\n32"), crypto.Keccak256(data))
	if reason := validSignatures(digest, signers, weights, threshold, proof[3].([][]byte), false); reason != "" {
		return reason
	}
	if v, err = list("uint256", "bytes32[]", "string[]", "bytes[]").Unpack(data); err != nil {
		return "data"
	}
	if v[0].(*big.Int).Cmp(new(big.Int).SetUint64(uint64(m.chain))) != 0 {
		return "InvalidChainId"
	}
	ids, names, params := v[1].([][32]byte), v[2].([]string), v[3].([][]byte)
	if len(ids) != len(names) || len(ids) != len(params) {
		return "InvalidCommands"
	}
	latest := of == m.epoch
	for i, id := range ids {
		if m.done[id] {
			continue
		}
		switch names[i] {
		case "approveContractCall":
			a, err := list("string", "string", "address", "bytes32", "bytes32", "uint256").Unpack(params[i])
			if err != nil {
				continue
			}
			m.approved[contentHash(id, a[0].(string), a[1].(string), a[2].(common.Address), a[3].([32]byte))] = true
			m.done[id] = true
		case "transferOperatorship":
			if latest {
				latest = false
				m.done[id] = m.admit(params[i])
			}
		}
	}
	return ""
}

// consume is validateContractCall.
func (m *legacyModel) consume(id common.Hash, msg Message) {
	delete(m.approved, contentHash(id, msg.SourceChain, msg.SourceAddress, msg.Contract, msg.PayloadHash))
}

func (m *legacyModel) contracts() (gateway, auth contract) {
	gateway = contract{
		fnContractID.signature:      always(keccak([]byte("axelar-gateway"))),
		fnAuthModule.signature:      always(m.auth),
		fnCommandExecuted.signature: func(a []any) []any { return []any{m.done[a[0].([32]byte)]} },
		fnCallApproved.signature: func(a []any) []any {
			return []any{m.approved[contentHash(a[0].([32]byte), a[1].(string), a[2].(string), a[3].(common.Address), a[4].([32]byte))]}
		},
	}
	auth = contract{
		fnCurrentEpoch.signature: func([]any) []any { return []any{new(big.Int).SetUint64(m.epoch)} },
		fnEpochForHash.signature: func(a []any) []any { return []any{new(big.Int).SetUint64(m.epochOf[a[0].([32]byte)])} },
	}
	return gateway, auth
}

// team is signers with keys, ascending.
type team struct {
	set  WeightedSigners
	keys map[common.Address][]byte
}

// newTeam has one member for each weight.
func newTeam(t testing.TB, threshold int64, weights ...int64) team {
	out := team{keys: map[common.Address][]byte{}}
	out.set.Threshold = big.NewInt(threshold)
	for i := range weights {
		secret := common.BigToHash(big.NewInt(int64(i + 1))).Bytes()
		key, err := crypto.ToECDSA(secret)
		require.NoError(t, err)
		a := crypto.PubkeyToAddress(key.PublicKey)
		out.keys[a] = secret
		out.set.Signers = append(out.set.Signers, WeightedSigner{Signer: a})
	}
	sortSigners(out.set.Signers)
	for i, w := range weights {
		out.set.Signers[i].Weight = big.NewInt(w)
	}
	return out
}

func sortSigners(s []WeightedSigner) {
	for i := range s {
		for j := i; j > 0 && s[j].Signer.Cmp(s[j-1].Signer) < 0; j-- {
			s[j], s[j-1] = s[j-1], s[j]
		}
	}
}

// sign is the signature of the i-th member.
func (w team) sign(t testing.TB, i int, digest common.Hash) []byte {
	key, err := crypto.ToECDSA(w.keys[w.set.Signers[i].Signer])
	require.NoError(t, err)
	sig, err := ipc.Sign(key, digest)
	require.NoError(t, err)
	return sig
}

// all is everybody's signature.
func (w team) all(t testing.TB, digest common.Hash) (out [][]byte) {
	for i := range w.set.Signers {
		out = append(out, w.sign(t, i, digest))
	}
	return out
}

func (w team) nonce(n byte) team {
	w.set.Nonce = common.Hash{31: n}
	return w
}

// someMessage is a message to approve, another for each n.
func someMessage(n byte) Message {
	return Message{SourceChain: HubChain, ID: MessageID{Tx: common.Hash{n}, Index: uint64(n)}.String(), SourceAddress: "axelar1hub",
		Contract: common.Address{19: 9}, PayloadHash: common.Hash{n, n}}
}
