package flow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// Gmp is what calls between contracts on Ethereum and in a subnet go through.
type Gmp struct {
	Port       common.Address // GmpPort, on Ethereum
	Router     common.Address // GmpRouter, on the root
	SubnetPort common.Address // GmpSubnetPort
	Patience   uint64         // seconds that the router keeps a call before it may be given up
}

// GmpDeps is what calls between contracts need of the chains.
type GmpDeps struct {
	Search SearchFunc
	// Entries are what GmpRouter knows of these ids, at one final root block.
	Entries func(context.Context, []common.Hash) ([]axelar.GmpEntry, error)
	// Decide journals that a final event decides a step, as in CrossDeps.
	Decide func(ctx context.Context, chain string, key Key, out Outcome, e chains.Event) error
	// Now is the time of the root's newest block, Unix seconds.
	Now      func(context.Context) (uint64, error)
	SendRoot func(context.Context, chains.Tx) error
}

var (
	topicCallSentL1  = topic("CallSent(bytes32,address,address,uint64,uint64,bytes,uint256)")
	topicCallSent    = topic("CallSent(bytes32,address,address,uint64,uint64,bytes,uint64)")
	topicCallDone    = topic("CallExecuted(bytes32,address,address,bool,bytes)")
	topicResult      = topic("ResultReceived(bytes32,address,bool,bool,bytes)")
	topicSentDown    = topic("SentDown(bytes32,bytes32,uint64,uint8)")
	topicSentUp      = topic("SentUp(bytes32,uint8)")
	topicGmpKept     = topic("Kept(bytes32,uint8,bytes,bytes)")
	routerEventShape = map[common.Hash][2]int{topicSentDown: {4, 1}, topicSentUp: {3, 0}, topicGmpKept: {3, 4}} // topics, words
)

// GmpRootTopics, GmpSubnetTopics and GmpL1Topics are what the watchers read besides,
// of GmpRouter, GmpSubnetPort and GmpPort.
func GmpRootTopics() []common.Hash { return []common.Hash{topicSentDown, topicSentUp, topicGmpKept} }

// GmpSubnetTopics lists the first topics of GmpSubnetPort.
func GmpSubnetTopics() []common.Hash { return []common.Hash{topicCallSent, topicCallDone, topicResult} }

// GmpL1Topics lists the first topics of GmpPort.
func GmpL1Topics() []common.Hash { return []common.Hash{topicCallSentL1, topicCallDone, topicResult} }

// gmp is what calls of both directions share. The call and its result are handed on
// by GmpRouter, each on a leg of its own.
type gmp struct {
	Subnet
	Crossing
	d          GmpDeps
	name       string
	call, back axelar.GmpLeg
	// goes and comes are what the router says when it hands on the one and the other.
	goes, comes common.Hash
	at, far     port
}

// port is one end of the calls.
type port struct {
	chain   string // as in cursors
	id      chains.ID
	address common.Address
	sent    common.Hash // topic of its CallSent
}

func (s Subnet) gmpIn(c Crossing, d GmpDeps) gmp {
	l1, sub := s.ports(c)
	return gmp{s, c, d, "gmp_call_in", axelar.GmpCallDown, axelar.GmpResultUp, topicSentDown, topicSentUp, l1, sub}
}

func (s Subnet) gmpOut(c Crossing, d GmpDeps) gmp {
	l1, sub := s.ports(c)
	return gmp{s, c, d, "gmp_call_out", axelar.GmpCallUp, axelar.GmpResultDown, topicSentUp, topicSentDown, sub, l1}
}

func (s Subnet) ports(c Crossing) (l1, sub port) {
	return port{Ethereum, c.L1, c.Gmp.Port, topicCallSentL1}, port{s.Name, s.ID, c.Gmp.SubnetPort, topicCallSent}
}

// flow is a call's way: handed on by the router, executed at the other end, its
// result handed on, its sender told. What the router keeps is tried again.
func (g gmp) flow() Flow {
	f := Flow{Name: g.name, Subnet: g.Actor, Chain: g.at.chain, Chains: []string{Ethereum, Root, g.Subnet.Name}, Decode: g.decode}
	kept, givenUp := Outcome{Failed, ReasonKept}, Outcome{Failed, ReasonGivenUp}
	handOn := Step{
		Name: "hand_on", Key: g.key("hand_on"),
		Effect: g.router("hand_on", map[said]Outcome{{g.goes, g.call}: {Kind: Ok}, {topicGmpKept, g.call}: kept}),
		Next:   map[Kind]string{Ok: "execute", Failed: "retry"},
		Lane:   g.lane("hand_on"), Poll: waitPoll,
	}
	handOn.Done = g.routed(handOn)

	// Once it was kept for the router's patience the call is answered as failed.
	retry := Step{
		Name: "retry", Key: g.key("retry"),
		Effect: g.router("retry", map[said]Outcome{
			{g.goes, g.call}: {Kind: Ok}, {g.comes, g.back}: givenUp, {topicGmpKept, g.back}: {Superseded, ReasonGivenUp},
		}),
		Next: map[Kind]string{Ok: "execute", Failed: "tell", Superseded: "retry_answer"},
		Lane: g.lane("retry"), Poll: 10 * time.Second,
		Do: g.again("retry", g.call),
	}
	retry.Done = g.kept(retry, g.call)

	execute := Step{
		Name: "execute", Key: g.key("execute"), Effect: g.executed, Searched: g.far.chain != Ethereum,
		Next: map[Kind]string{Ok: "answer", Failed: "answer"},
		Lane: g.lane("execute"), Poll: waitPoll,
	}
	execute.Done = g.there(execute, g.far, topicCallDone)

	answer := Step{
		Name: "answer", Key: g.key("answer"),
		Effect: g.router("answer", map[said]Outcome{{g.comes, g.back}: {Kind: Ok}, {topicGmpKept, g.back}: kept}),
		Next:   map[Kind]string{Ok: "tell", Failed: "retry_answer"},
		Lane:   g.lane("answer"), Poll: waitPoll,
	}
	answer.Done = g.routed(answer)

	retryAnswer := Step{
		Name: "retry_answer", Key: g.key("retry_answer"),
		Effect: g.router("retry_answer", map[said]Outcome{{g.comes, g.back}: {Kind: Ok}}),
		Next:   map[Kind]string{Ok: "tell"},
		Lane:   g.lane("retry_answer"), Poll: 10 * time.Second,
		Do: g.again("retry_answer", g.back),
	}
	retryAnswer.Done = g.kept(retryAnswer, g.back)

	tell := Step{
		Name: "tell", Key: g.key("tell"), Effect: g.told, Searched: g.at.chain != Ethereum,
		Next: map[Kind]string{Ok: string(tokens.Done), Failed: string(tokens.Done), Superseded: string(tokens.Parked)},
		Lane: g.lane("tell"), Poll: waitPoll,
	}
	tell.Done = g.there(tell, g.at, topicResult)
	f.Steps = []Step{handOn, retry, execute, answer, retryAnswer, tell}
	return f
}

func (g gmp) lane(step string) func(tokens.Transfer) Lane { return g.loose(g.name, step) }

// key names a step by the id that the call got where it was made.
func (g gmp) key(step string) func(tokens.Transfer) Key {
	return func(t tokens.Transfer) Key { return g.keyOf(step, t.Ref) }
}

func (g gmp) keyOf(step string, id common.Hash) Key {
	return Key(g.name + "/" + step + "/" + g.Actor.Hex() + "/" + id.Hex())
}

// decode reads CallSent(id, sender, target indexed; nonce, gas, data, …) of the port
// where calls of this direction begin, and checks the id against what is hashed
// into it.
func (g gmp) decode(e chains.Event) (tokens.Transfer, bool, error) {
	if e.Chain != g.at.id || !from(e, g.at.address, g.at.sent, 4, 5) {
		return tokens.Transfer{}, false, nil
	}
	nonce, ok1 := wordUint(word(e.Data, 0))
	gas, ok2 := wordUint(word(e.Data, 1))
	data, ok3 := bytesAt(e.Data, 2)
	if !ok1 || !ok2 || !ok3 || len(data) > axelar.MaxGmpBytes {
		return tokens.Transfer{}, false, errors.New("CallSent is not as a port writes it")
	}
	c := axelar.GmpCall{Nonce: nonce, Sender: topicAddress(e.Topics[2]), Target: topicAddress(e.Topics[3]), Gas: gas, Data: data}
	route := axelar.GmpRoute{From: g.at.id, FromPort: g.at.address, To: g.far.id, ToPort: g.far.address}
	if id := axelar.GmpCallID(route, c); id != e.Topics[1] {
		return tokens.Transfer{}, false, fmt.Errorf("call %d hashes to %s, its event says %s", nonce, id, e.Topics[1])
	}
	return tokens.Transfer{
		ID:    TransferID(g.name, g.at.id, g.at.address, g.Actor, nonce),
		Route: g.name, Subnet: g.Actor, Sender: c.Sender, Recipient: c.Target,
		Nonce: nonce, Ref: e.Topics[1], Origin: e.ID(), Height: e.Block, At: e.BlockTime, Payload: axelar.EncodeGmpCall(c),
	}, true, nil
}

// bytesAt reads the bytes whose offset is word i of what abi.encode made.
func bytesAt(data []byte, i int) ([]byte, bool) {
	if len(data) < 32*(i+1) {
		return nil, false
	}
	offset, ok := wordUint(word(data, i))
	if size := uint64(len(data)); !ok || size < 32 || offset > size-32 {
		return nil, false
	}
	rest := data[offset:]
	length, ok := wordUint(rest[:32])
	if !ok || length > uint64(len(rest)-32) {
		return nil, false
	}
	return rest[32 : 32+length], true
}

// said is what an event of the router says: by its topic, of a leg.
type said struct {
	topic common.Hash
	leg   axelar.GmpLeg
}

// heard reads an event of the router.
func (g gmp) heard(e chains.Event) (said, bool) {
	if e.Chain != g.RootID || len(e.Topics) == 0 {
		return said{}, false
	}
	shape, known := routerEventShape[e.Topics[0]]
	if !known || !from(e, g.Gmp.Router, e.Topics[0], shape[0], shape[1]) {
		return said{}, false
	}
	leg := e.Topics[2][:]
	if e.Topics[0] == topicSentDown {
		leg = word(e.Data, 0)
	}
	n, ok := wordUint(leg)
	return said{e.Topics[0], axelar.GmpLeg(n)}, ok && n <= uint64(axelar.GmpResultUp)
}

// router reads the events of GmpRouter that decide a step.
func (g gmp) router(step string, by map[said]Outcome) func(chains.Event) (Key, Outcome, bool) {
	return func(e chains.Event) (Key, Outcome, bool) {
		s, ok := g.heard(e)
		out, decides := by[s]
		if !ok || !decides {
			return "", Outcome{}, false
		}
		return g.keyOf(step, e.Topics[1]), out, true
	}
}

// executed reads CallExecuted(id, sender, target indexed; ok, ret) of the far port.
func (g gmp) executed(e chains.Event) (Key, Outcome, bool) {
	if e.Chain != g.far.id || !from(e, g.far.address, topicCallDone, 4, 3) {
		return "", Outcome{}, false
	}
	return g.keyOf("execute", e.Topics[1]), verdict(word(e.Data, 0)), true
}

// told reads ResultReceived(id, sender indexed; ok, taken, ret) of the port where the
// call was made. Whether its sender took it is the sender's affair.
func (g gmp) told(e chains.Event) (Key, Outcome, bool) {
	if e.Chain != g.at.id || !from(e, g.at.address, topicResult, 3, 4) {
		return "", Outcome{}, false
	}
	return g.keyOf("tell", e.Topics[1]), verdict(word(e.Data, 0)), true
}

func verdict(ok []byte) Outcome {
	if n, _ := wordUint(ok); n != 1 {
		return Outcome{Failed, ReasonCallFailed}
	}
	return Outcome{Kind: Ok}
}

// routed is Done of a step that GmpRouter's events decide.
func (g gmp) routed(step Step) func(context.Context, []tokens.Transfer) ([]Outcome, error) {
	events := searched(step, g.d.Search,
		Search{Chain: Root, Contract: g.Gmp.Router, Topics: GmpRootTopics(), Position: 1},
		func(t tokens.Transfer) common.Hash { return t.Ref })
	if step.Name != "hand_on" || g.at.chain == Ethereum {
		return events
	}
	// A call of the subnet that the router refuses comes back by itself, and the
	// port says no more of it than of any other result.
	return func(ctx context.Context, batch []tokens.Transfer) ([]Outcome, error) {
		out, err := events(ctx, batch)
		if err != nil {
			return nil, err
		}
		back, err := g.d.Search(ctx, g.about(batch, g.at.chain, g.at.address, topicResult))
		if err != nil {
			return nil, err
		}
		for _, e := range back {
			if key, told, mine := g.told(e); mine {
				if err := g.d.Decide(ctx, g.at.chain, key, told, e); err != nil {
					return nil, err
				}
			}
		}
		return out, nil
	}
}

// about looks for what a contract says of the ids of a batch.
func (g gmp) about(batch []tokens.Transfer, chain string, contract common.Address, topics ...common.Hash) Search {
	q := Search{Chain: chain, Contract: contract, Topics: topics, Position: 1, Values: refs(batch)}
	for i, t := range batch {
		if i == 0 || t.At < q.Since {
			q.Since = t.At
		}
	}
	return q
}

// there is Done of a step that a port's event decides. What goes down to a port in
// the subnet may also fail there, of which the gateway alone tells.
func (g gmp) there(step Step, at port, first common.Hash) func(context.Context, []tokens.Transfer) ([]Outcome, error) {
	events := searched(step, g.d.Search, Search{Chain: at.chain, Contract: at.address, Topics: []common.Hash{first}, Position: 1},
		func(t tokens.Transfer) common.Hash { return t.Ref })
	if at.chain == Ethereum {
		return events
	}
	return func(ctx context.Context, batch []tokens.Transfer) ([]Outcome, error) {
		out, err := events(ctx, batch)
		if err != nil {
			return nil, err
		}
		return out, g.undelivered(ctx, step, batch)
	}
}

// undelivered decides a step where the top-down message that carries a call or its
// result has failed. Its nonce is the root's, so no event of the subnet names the
// call; what is found is journaled as what decides it.
func (g gmp) undelivered(ctx context.Context, step Step, batch []tokens.Transfer) error {
	// A call that fails so is answered like any other; a result has no second
	// delivery.
	leg, out := axelar.GmpCallDown, Outcome{Failed, ReasonCallFailed}
	if step.Name == "tell" {
		leg, out = axelar.GmpResultDown, Outcome{Superseded, ReasonRejected}
	}
	q := g.about(batch, Root, g.Gmp.Router, topicSentDown)
	sent, err := g.d.Search(ctx, q)
	if err != nil {
		return err
	}
	type message struct{ nonce, id common.Hash }
	of := map[message]common.Hash{}
	down := Search{Chain: g.Subnet.Name, Contract: g.SubnetGateway, Topics: []common.Hash{topicTopDownApplied}, Position: 1, Since: q.Since}
	for _, e := range sent {
		if s, ok := g.heard(e); ok && s == (said{topicSentDown, leg}) {
			of[message{e.Topics[3], e.Topics[2]}] = e.Topics[1]
			down.Values = append(down.Values, e.Topics[3])
		}
	}
	if len(down.Values) == 0 {
		return nil
	}
	applied, err := g.d.Search(ctx, down)
	if err != nil {
		return err
	}
	for _, e := range applied {
		if _, o, mine := g.deliverEffect(e); !mine || o.Kind != Failed {
			continue
		}
		if id, ours := of[message{e.Topics[1], e.Topics[2]}]; ours {
			if err := g.d.Decide(ctx, g.Subnet.Name, g.keyOf(step.Name, id), out, e); err != nil {
				return err
			}
		}
	}
	return nil
}
