package sim

import (
	"crypto/ecdsa"
	"encoding/json"
	"math/big"
	"sync"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"
)

// validators are the subnet's, as one: they see the root's final blocks and
// sign what the protocol asks for. serve is their node's own RPC.
type validators struct {
	mu          sync.Mutex
	d           deploy.Deployment
	key         *ecdsa.PrivateKey
	root, child *chain
	domain      ipc.Domain
	gateway     *bindings.Gateway
	inside      *bindings.SubnetGateway

	first uint64 // root height of the first statement
	seen  uint64 // newest final root height they know
	// silent keeps them from signing anything new.
	silent      bool
	statements  map[uint64]signedStatement // by root height
	checkpoints map[uint64]*signedCheckpoint
}

type signedStatement struct {
	ipc.ParentFinality
	signature []byte
}

type signedCheckpoint struct {
	ipc.BottomUpCheckpoint
	msgs      []ipc.IpcEnvelope
	signature []byte // nil until the next block
}

func newValidators(d deploy.Deployment, root, child *chain) *validators {
	return &validators{
		d: d, key: key("validator"), root: root, child: child, gateway: bindings.NewGateway(), inside: bindings.NewSubnetGateway(),
		domain: ipc.Domain{ChainID: uint64(d.Subnet.ChainID), VerifyingContract: d.Subnet.Gateway, Salt: d.Bootstrap.Salt},
		first:  root.final().number, seen: root.final().number,
		statements: map[uint64]signedStatement{}, checkpoints: map[uint64]*signedCheckpoint{},
	}
}

// view reads a contract at a block.
func view1[T any](c *chain, b *block, to common.Address, data []byte, unpack func([]byte) (T, error)) T {
	out, err := c.call(b, message{to: to, data: data, value: new(uint256.Int)})
	var v T
	if err == nil {
		v, err = unpack(out)
	}
	if err != nil {
		panic("sim: read a contract: " + err.Error())
	}
	return v
}

// look reads a contract at a block, under the chain's lock.
func look[T any](c *chain, b *block, to common.Address, data []byte, unpack func([]byte) (T, error)) T {
	c.mu.Lock()
	defer c.mu.Unlock()
	return view1(c, b, to, data, unpack)
}

func (c *chain) newest() *block {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.top()
}

// below is the block that many below the newest.
func (c *chain) below(n uint64) *block {
	c.mu.Lock()
	defer c.mu.Unlock()
	top := uint64(len(c.blocks) - 1)
	return c.blocks[top-min(top, n)]
}

func (c *chain) newestFinal() *block {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.final()
}

// blockMade follows the subnet block by block.
func (v *validators) blockMade(b *block) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.silent {
		return
	}
	v.seen = max(v.seen, v.root.newestFinal().number)
	// What was due before this block is signed in it.
	for h := b.number - b.number%period; h > 0; h -= period {
		cp := v.checkpoints[h]
		if cp == nil {
			cp = v.checkpoint(h)
			v.checkpoints[h] = cp
		}
		if cp.signature != nil {
			break
		}
		if h < b.number {
			cp.signature = v.sign(cp.Hash())
		}
	}
}

func (v *validators) sign(digest common.Hash) []byte {
	sig, err := ipc.Sign(v.key, digest)
	if err != nil {
		panic("sim: sign: " + err.Error())
	}
	return sig
}

// checkpoint makes the one of a height (PROTOCOL 24).
func (v *validators) checkpoint(h uint64) *signedCheckpoint {
	v.child.mu.Lock()
	defer v.child.mu.Unlock()
	at := v.child.blocks[h]
	var msgs []ipc.IpcEnvelope
	for n := h - period; n < h; n++ {
		for _, l := range v.child.blocks[n].logs {
			if l.Address == v.d.Subnet.Gateway && l.Topics[0] == ipc.TopicBottomUpMessage {
				m, err := ipc.DecodeEnvelope(l.Data)
				if err != nil {
					panic("sim: bottom-up message: " + err.Error())
				}
				msgs = append(msgs, m)
			}
		}
	}
	g := v.d.Subnet.Gateway
	return &signedCheckpoint{msgs: msgs, BottomUpCheckpoint: ipc.BottomUpCheckpoint{
		SubnetID: v.d.Root.Subnet(), BlockHeight: new(big.Int).SetUint64(h), BlockHash: crypto.Keccak256Hash([]byte("consensus"), at.hash[:]),
		NextConfigurationNumber: view1(v.child, at, g, v.inside.PackStoredConfigurationNumber(), v.inside.UnpackStoredConfigurationNumber),
		Msgs:                    ipc.Commit(msgs),
		Activity: ipc.FullActivityRollup{Consensus: ipc.FullSummary{
			Stats: ipc.AggregatedStats{TotalActiveValidators: 1, TotalNumBlocksCommitted: period},
			Data:  []ipc.ValidatorData{{Validator: coinbase, BlocksCommitted: period}},
		}}.Compress(),
	}}
}

// statement is what they say of a final root height under the configuration
// that the gateway counts now.
func (v *validators) statement(height, config uint64) signedStatement {
	if s, ok := v.statements[height]; ok && s.SignerConfig == config {
		return s
	}
	v.root.mu.Lock()
	b := v.root.blocks[height]
	id := bindings.SubnetID(v.d.Root.Subnet())
	down := view1(v.root, b, v.d.Root.Gateway, v.gateway.PackGetTopDownHash(id), v.gateway.UnpackGetTopDownHash)
	power := view1(v.root, b, v.d.Root.Gateway, v.gateway.PackGetPowerChangeHash(id), v.gateway.UnpackGetPowerChangeHash)
	v.root.mu.Unlock()
	s := signedStatement{ParentFinality: ipc.ParentFinality{
		SignerConfig: config, ParentHeight: height, ParentHash: b.hash, TopDownNonce: down.Nonce, TopDownHash: down.Hash,
		PowerChangeNonce: power.Number, PowerChangeHash: power.Hash,
	}}
	s.signature = v.sign(s.Digest(v.domain))
	v.statements[height] = s
	return s
}

// after lists the statements above a root height.
func (v *validators) after(height uint64, limit int) []signedStatement {
	v.mu.Lock()
	defer v.mu.Unlock()
	config := look(v.child, v.child.newest(), v.d.Subnet.Gateway, v.inside.PackAppliedConfigurationNumber(), v.inside.UnpackAppliedConfigurationNumber)
	var out []signedStatement
	for h := max(height+1, v.first); h <= v.seen && len(out) < limit; h++ {
		out = append(out, v.statement(h, config))
	}
	return out
}

// at is the checkpoint of a height, nil before it has a quorum.
func (v *validators) at(height uint64) *signedCheckpoint {
	v.mu.Lock()
	defer v.mu.Unlock()
	cp := v.checkpoints[height]
	if cp == nil || cp.signature == nil {
		return nil
	}
	return cp
}

func (v *validators) serve(from view, method string, params []json.RawMessage) ([]byte, error) {
	who := list([][]byte{hexBytes(addressOf(v.key).Bytes())})
	switch method {
	case "causeway_status":
		b := v.child.below(from.lag)
		return object("chainId", hexNumber(v.child.id), "height", number(b.number), "hash", hexBytes(b.hash[:]), "time", number(b.time), "period", number(period)), nil
	case "causeway_burnt":
		h, err := argument[uint64](params, 0)
		v.child.mu.Lock()
		defer v.child.mu.Unlock()
		if err != nil || h >= uint64(len(v.child.blocks)) {
			return nil, fault("height is not recorded")
		}
		return []byte(`"` + v.child.blocks[h].burnt.String() + `"`), nil
	case "causeway_parentFinalities":
		above, err := argument[uint64](params, 0)
		if err != nil {
			return nil, err
		}
		limit, err := argument[int](params, 1)
		if err != nil {
			return nil, err
		}
		var out [][]byte
		for _, s := range v.after(above, limit) {
			out = append(out, object("statement", object(
				"signerConfig", number(s.SignerConfig), "parentHeight", number(s.ParentHeight), "parentHash", hexBytes(s.ParentHash[:]),
				"topDownNonce", number(s.TopDownNonce), "topDownHash", hexBytes(s.TopDownHash[:]),
				"powerChangeNonce", number(s.PowerChangeNonce), "powerChangeHash", hexBytes(s.PowerChangeHash[:])),
				"signatories", who, "signatures", list([][]byte{hexBytes(s.signature)})))
		}
		return list(out), nil
	case "causeway_checkpoint":
		h, err := argument[uint64](params, 0)
		if err != nil {
			return nil, err
		}
		cp := v.at(h)
		if cp == nil {
			return null, nil
		}
		body, err := json.Marshal(map[string]any{
			"subnetID":    map[string]any{"root": cp.SubnetID.Root, "route": cp.SubnetID.Route},
			"blockHeight": h, "blockHash": common.Hash(cp.BlockHash), "nextConfigurationNumber": cp.NextConfigurationNumber,
			"msgs": map[string]any{"totalNumMsgs": cp.Msgs.TotalNumMsgs, "msgsRoot": common.Hash(cp.Msgs.MsgsRoot)},
			"activity": map[string]any{"consensus": map[string]any{
				"stats":              map[string]any{"totalActiveValidators": 1, "totalNumBlocksCommitted": period},
				"dataRootCommitment": common.Hash(cp.Activity.Consensus.DataRootCommitment),
			}},
		})
		return object("checkpoint", body, "signatories", who, "signatures", list([][]byte{hexBytes(cp.signature)}), "quorum", []byte("true")), err
	}
	return nil, &rpcError{Code: -32601, Message: "the method " + method + " does not exist/is not available"}
}

func number(n uint64) []byte { return []byte(new(big.Int).SetUint64(n).String()) }
