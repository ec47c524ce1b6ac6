package flow

import (
	"context"
	"fmt"
	"math/big"
	"slices"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// Names of the two chains of this bridge, as in cursors and metric labels. A
// subnet's own name carries its actor.
const Root = "root"

// Subnet is everything a flow must know of one subnet: ids and addresses,
// never a client.
type Subnet struct {
	Name   string         // chain name: "subnet"
	RootID chains.ID      // chain id of the root
	ID     chains.ID      // chain id of the subnet
	IPC    ipc.SubnetID   // (root chain id, [actor])
	Actor  common.Address // on the root
	// On the root.
	Gateway, Controller, FastWithdrawals, FLT, USDC common.Address
	// FLTHandler is FltHandler, through which FLT crosses from Ethereum; zero where
	// it does not.
	FLTHandler common.Address
	// In the subnet.
	SubnetGateway, Replica, Outbox common.Address
	Period                         uint64 // blocks between checkpoints
	Profile                        ipc.Profile
	Traits                         Traits
}

// chains names both ends: every flow of a subnet rests on one and ends on the
// other.
func (s Subnet) chains() []string { return []string{Root, s.Name} }

// RootContracts lists whose events the root watcher reads.
func (s Subnet) RootContracts() []common.Address {
	return present(s.Gateway, s.Actor, s.Controller, s.FastWithdrawals)
}

// SubnetContracts lists whose events the subnet watcher reads.
func (s Subnet) SubnetContracts() []common.Address {
	return present(s.SubnetGateway, s.Replica, s.Outbox)
}

// present leaves out what a subnet does not have.
func present(all ...common.Address) []common.Address {
	return slices.DeleteFunc(all, func(a common.Address) bool { return a == (common.Address{}) })
}

// Topics of the events that begin or decide a step.
var (
	topicTopDown        = topic("NewTopDownMessage(address,(uint8,uint64,uint64,uint256,((uint64,address[]),(uint8,bytes)),((uint64,address[]),(uint8,bytes)),bytes),bytes32)")
	topicTopDownApplied = topic("TopDownMessageApplied(uint64,bytes32,uint8,uint8,bytes)")
	topicRootResult     = topic("ResultApplied(address,bytes32,uint8,uint8,address,uint256)")
	topicTokensSent     = topic("LinkedTokensSent(address,address,address,bytes32,uint64,uint256)")
	topicRefunded       = topic("DepositRefunded(bytes32,address,uint256,bool)")
	topicWithdrawal     = topic("WithdrawalSent(bytes32,uint64,uint64,(bytes32,address,uint64,address,address,address,address,uint256,uint256,uint64,uint64,address,uint64,uint16))")
	topicReturned       = topic("WithdrawalReturned(bytes32,uint256)")
	topicSettled        = topic("WithdrawalSettled(bytes32,address,address,uint256,bool)")
	topicQuarantined    = topic("WithdrawalQuarantined(bytes32,address,address,uint256,uint256)")
	topicAccepted       = topic("CheckpointAccepted(uint256,bytes32,uint64,uint64)")
	topicBatchExecuted  = topic("BatchExecuted(uint256,uint64,uint64)")
	topicPowerChange    = topic("NewPowerChangeRequest(uint8,address,bytes,uint64)")
	topicPowerStored    = topic("PowerChangesStored(uint64)")
)

// TopicCheckpointDue is the topic of the event that the subnet's source adds
// at each checkpoint height: a checkpoint is due whether or not a contract says
// so. Data is the height as a 32-byte word.
var TopicCheckpointDue = topic("CheckpointDue(uint256)")

// RootTopics lists the first topics the root watcher reads for this subnet.
func (s Subnet) RootTopics() []common.Hash {
	if s.Traits.Burning {
		return []common.Hash{topicTopDown, topicTokensSent, ipc.TopicCheckpointCommitted}
	}
	return []common.Hash{topicTopDown, topicRootResult, topicTokensSent, topicRefunded, topicSettled, topicQuarantined, topicAccepted, topicBatchExecuted, topicPowerChange}
}

// SubnetTopics lists the first topics the watcher of this subnet reads.
func (s Subnet) SubnetTopics() []common.Hash {
	if s.Traits.Implicit {
		return []common.Hash{topicTokensSent, ipc.TopicBottomUpMessage, TopicCheckpointDue}
	}
	return []common.Hash{topicTopDownApplied, topicWithdrawal, topicReturned, topicPowerStored, TopicCheckpointDue}
}

func topic(sig string) common.Hash { return crypto.Keccak256Hash([]byte(sig)) }

// from says whether an event is the one asked for: emitted by this contract,
// with this first topic and this many topics and data words. Wrong counts
// under the right contract and topic are impossible short of an upgrade.
func from(e chains.Event, contract common.Address, first common.Hash, topics, words int) bool {
	return e.Address == contract && len(e.Topics) == topics && e.Topics[0] == first && len(e.Data) >= 32*words
}

func word(data []byte, i int) []byte { return data[32*i : 32*i+32] }

// wordUint reads a uint64 from a word; ok is false for larger numbers.
func wordUint(w []byte) (uint64, bool) {
	n := new(big.Int).SetBytes(w)
	return n.Uint64(), n.IsUint64()
}

func topicAddress(h common.Hash) common.Address { return common.BytesToAddress(h[12:]) }

// deliverKey names the application of a top-down message in the subnet. Its
// nonce alone does not: after a recovery the root sends another message under
// one that was applied before (PROTOCOL 10).
func (s Subnet) deliverKey(nonce uint64, id common.Hash) Key {
	return Key(fmt.Sprintf("td/%s/%d/%s", s.Actor.Hex(), nonce, id.Hex()))
}

// deliverEffect reads the application of a top-down message. A message that
// failed in its recipient has been consumed all the same.
func (s Subnet) deliverEffect(e chains.Event) (Key, Outcome, bool) {
	if e.Chain != s.ID || !from(e, s.SubnetGateway, topicTopDownApplied, 3, 2) {
		return "", Outcome{}, false
	}
	nonce, ok := wordUint(e.Topics[1][:])
	if !ok {
		return "", Outcome{}, false
	}
	if outcome, ok := wordUint(word(e.Data, 0)); !ok || outcome != uint64(ipc.OutcomeOk) {
		return s.deliverKey(nonce, e.Topics[2]), Outcome{Failed, ReasonRecipientFailed}, true
	}
	return s.deliverKey(nonce, e.Topics[2]), Outcome{Kind: Ok}, true
}

// Search asks a chain for final events of one contract with one of the first
// topics and one of the values at a later topic position, in blocks not older
// than Since (Unix seconds). It is the polling net under the watchers.
type Search struct {
	Chain    string
	Contract common.Address
	Topics   []common.Hash
	Position int // of Values: 1, 2 or 3
	Values   []common.Hash
	Since    uint64
	// Keep asks that what is found be journaled like what the watchers read: of a
	// shared key only the journal knows which event is whose.
	Keep bool
}

// SearchFunc runs a Search, and keeps what it finds where that is asked for.
type SearchFunc func(context.Context, Search) ([]chains.Event, error)

// searched is the Done of a step that only waits: it looks for the event
// itself. What is not found is Unknown, for a step without Do needs no more;
// nor does it say anything where the key is shared.
func searched(step Step, search SearchFunc, q Search, value func(tokens.Transfer) common.Hash) func(context.Context, []tokens.Transfer) ([]Outcome, error) {
	return func(ctx context.Context, batch []tokens.Transfer) ([]Outcome, error) {
		q := q
		q.Keep = step.Shared
		byKey := map[Key]int{}
		for i, t := range batch {
			q.Values = append(q.Values, value(t))
			byKey[step.Key(t)] = i
			if i == 0 || t.At < q.Since {
				q.Since = t.At
			}
		}
		events, err := search(ctx, q)
		if err != nil {
			return nil, err
		}
		out := make([]Outcome, len(batch))
		if step.Shared {
			return out, nil
		}
		for _, e := range events {
			if key, o, mine := step.Effect(e); mine {
				if i, ours := byKey[key]; ours && out[i].Kind == Unknown {
					out[i] = o
				}
			}
		}
		return out, nil
	}
}

// loose is the polling lane of a waiting step.
func (s Subnet) loose(flow, step string) func(tokens.Transfer) Lane {
	name := flow + "/" + step + "/" + s.Actor.Hex()
	return func(tokens.Transfer) Lane { return Lane{Name: name} }
}

// strict is an ordered lane.
func (s Subnet) strict(name string) func(tokens.Transfer) Lane {
	lane := name + "/" + s.Actor.Hex()
	return func(t tokens.Transfer) Lane { return Lane{Name: lane, Strict: true, Seq: t.Nonce} }
}

func nonceWord(n uint64) common.Hash { return common.BigToHash(new(big.Int).SetUint64(n)) }
