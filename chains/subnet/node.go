package subnet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// ErrForeignNode says that the endpoint is not one of our nodes: it lacks the
// causeway_ methods.
var ErrForeignNode = errors.New("endpoint has no causeway_ methods")

// Status is what a node says of itself.
type Status struct {
	ChainID                    hexutil.Uint64 `json:"chainId"`
	GenesisHash                common.Hash    `json:"genesisHash"`
	Height                     uint64         `json:"height"` // last Commit that returned
	Hash                       common.Hash    `json:"hash"`
	Time                       uint64         `json:"time"`
	Period                     uint64         `json:"period"`
	CatchingUp                 bool           `json:"catchingUp"`
	ParentHeight               uint64         `json:"parentHeight"`
	ParentHash                 common.Hash    `json:"parentHash"`
	AppliedConfigurationNumber uint64         `json:"appliedConfigurationNumber"`
	// Diverged: the node's final parent chain is not the one the subnet has
	// committed, and it signs nothing about it (PROTOCOL 10).
	Diverged       bool   `json:"diverged"`
	DivergedReason string `json:"divergedReason"`
}

// SignedStatement is a parent finality with the signatures of a quorum.
type SignedStatement struct {
	Statement   ipc.ParentFinality
	Signatories []common.Address
	Signatures  [][]byte
}

// SignedRecovery is going on from another branch of the root, with the
// signatures of a quorum.
type SignedRecovery struct {
	Recovery    ipc.ParentRecovery
	Signatories []common.Address
	Signatures  [][]byte
}

// SignedCheckpoint is a checkpoint with the signatures pooled so far,
// ascending by signer.
type SignedCheckpoint struct {
	Checkpoint  ipc.BottomUpCheckpoint
	Signatories []common.Address
	Signatures  [][]byte
}

// Status asks the node.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.node(ctx, &s, "causeway_status")
	return s, err
}

// maxStatements bounds one answer.
const maxStatements = 64

// Statements are those with a quorum above a parent height, ascending. Their
// signatures are the node's word, in the order that the gateway wants; it is
// the gateway that recovers them.
func (c *Client) Statements(ctx context.Context, after uint64) ([]SignedStatement, error) {
	var wire []struct {
		Statement   wireStatement    `json:"statement"`
		Signatories []common.Address `json:"signatories"`
		Signatures  []hexutil.Bytes  `json:"signatures"`
	}
	if err := c.node(ctx, &wire, "causeway_parentFinalities", after, maxStatements); err != nil {
		return nil, err
	}
	out := make([]SignedStatement, 0, len(wire))
	for _, w := range wire {
		signatures, err := signatureList(w.Signatories, w.Signatures)
		if err != nil {
			return nil, err
		}
		if w.Statement.ParentHeight <= after {
			continue
		}
		signatories, signatures, err := ascending(w.Signatories, signatures)
		if err != nil {
			return nil, err
		}
		out = append(out, SignedStatement{
			Statement:   w.Statement.statement(),
			Signatories: signatories, Signatures: signatures,
		})
	}
	slices.SortStableFunc(out, func(a, b SignedStatement) int { return cmp.Compare(a.Statement.ParentHeight, b.Statement.ParentHeight) })
	return out, nil
}

type wireStatement struct {
	SignerConfig     uint64      `json:"signerConfig"`
	ParentHeight     uint64      `json:"parentHeight"`
	ParentHash       common.Hash `json:"parentHash"`
	TopDownNonce     uint64      `json:"topDownNonce"`
	TopDownHash      common.Hash `json:"topDownHash"`
	PowerChangeNonce uint64      `json:"powerChangeNonce"`
	PowerChangeHash  common.Hash `json:"powerChangeHash"`
}

func (w wireStatement) statement() ipc.ParentFinality {
	return ipc.ParentFinality{
		SignerConfig: w.SignerConfig, ParentHeight: w.ParentHeight, ParentHash: w.ParentHash,
		TopDownNonce: w.TopDownNonce, TopDownHash: w.TopDownHash,
		PowerChangeNonce: w.PowerChangeNonce, PowerChangeHash: w.PowerChangeHash,
	}
}

// Recovery is the one that the node's validators have signed and the gateway has
// not committed, as far as the node has seen; false while there is none.
func (c *Client) Recovery(ctx context.Context) (SignedRecovery, bool, error) {
	var wire *struct {
		Number      uint64           `json:"number"`
		Anchor      wireStatement    `json:"anchor"`
		Signatories []common.Address `json:"signatories"`
		Signatures  []hexutil.Bytes  `json:"signatures"`
	}
	if err := c.node(ctx, &wire, "causeway_parentRecovery"); err != nil || wire == nil {
		return SignedRecovery{}, false, err
	}
	signatures, err := signatureList(wire.Signatories, wire.Signatures)
	if err != nil {
		return SignedRecovery{}, false, err
	}
	who, signatures, err := ascending(wire.Signatories, signatures)
	if err != nil {
		return SignedRecovery{}, false, err
	}
	return SignedRecovery{
		Recovery:    ipc.ParentRecovery{Number: wire.Number, Anchor: wire.Anchor.statement()},
		Signatories: who, Signatures: signatures,
	}, true, nil
}

// ascending orders signatures by their signatories, the first of each.
func ascending(who []common.Address, signatures [][]byte) ([]common.Address, [][]byte, error) {
	seen := map[common.Address]bool{}
	var signed []ipc.Signed
	for i, a := range who {
		if !seen[a] {
			seen[a] = true
			signed = append(signed, ipc.Signed{Signer: a, Signature: signatures[i]})
		}
	}
	ordered, err := ipc.SortSignatures(signed)
	if err != nil {
		return nil, nil, err
	}
	return ipc.Split(ordered)
}

type wireCheckpoint struct {
	Checkpoint struct {
		SubnetID struct {
			Root  uint64           `json:"root"`
			Route []common.Address `json:"route"`
		} `json:"subnetID"`
		BlockHeight             json.Number `json:"blockHeight"`
		BlockHash               common.Hash `json:"blockHash"`
		NextConfigurationNumber uint64      `json:"nextConfigurationNumber"`
		Msgs                    struct {
			TotalNumMsgs uint64      `json:"totalNumMsgs"`
			MsgsRoot     common.Hash `json:"msgsRoot"`
		} `json:"msgs"`
		Activity struct {
			Consensus struct {
				Stats struct {
					TotalActiveValidators   uint64 `json:"totalActiveValidators"`
					TotalNumBlocksCommitted uint64 `json:"totalNumBlocksCommitted"`
				} `json:"stats"`
				DataRootCommitment common.Hash `json:"dataRootCommitment"`
			} `json:"consensus"`
		} `json:"activity"`
	} `json:"checkpoint"`
	Hash        common.Hash      `json:"hash"`
	Signatories []common.Address `json:"signatories"`
	Signatures  []hexutil.Bytes  `json:"signatures"`
	Quorum      bool             `json:"quorum"`
}

// Checkpoint is the checkpoint of a height with the signatures pooled so far;
// ErrNoQuorum while the node has no quorum by its own count. The signatures are
// recovered here: a node cannot hand out ones that do not sign.
func (c *Client) Checkpoint(ctx context.Context, height uint64) (SignedCheckpoint, error) {
	if c.cfg.Caps.Bundles {
		return c.bundled(ctx, height)
	}
	var w *wireCheckpoint
	if err := c.node(ctx, &w, "causeway_checkpoint", height); err != nil {
		return SignedCheckpoint{}, err
	}
	if w == nil || !w.Quorum {
		return SignedCheckpoint{}, fmt.Errorf("checkpoint %d: %w", height, ErrNoQuorum)
	}
	number, ok := new(big.Int).SetString(w.Checkpoint.BlockHeight.String(), 10)
	if !ok || number.Sign() < 0 || number.BitLen() > 64 || number.Uint64() != height {
		return SignedCheckpoint{}, fmt.Errorf("checkpoint %d: the node answered for %q: %w", height, w.Checkpoint.BlockHeight, chains.ErrUnavailable)
	}
	cp := ipc.BottomUpCheckpoint{
		SubnetID:    ipc.SubnetID{Root: w.Checkpoint.SubnetID.Root, Route: w.Checkpoint.SubnetID.Route},
		BlockHeight: number, BlockHash: w.Checkpoint.BlockHash,
		NextConfigurationNumber: w.Checkpoint.NextConfigurationNumber,
		Msgs:                    ipc.Commitment{TotalNumMsgs: w.Checkpoint.Msgs.TotalNumMsgs, MsgsRoot: w.Checkpoint.Msgs.MsgsRoot},
	}
	cp.Activity.Consensus.Stats = ipc.AggregatedStats(w.Checkpoint.Activity.Consensus.Stats)
	cp.Activity.Consensus.DataRootCommitment = w.Checkpoint.Activity.Consensus.DataRootCommitment
	if err := cp.Check(); err != nil {
		return SignedCheckpoint{}, fmt.Errorf("checkpoint %d: %w: %w", height, err, chains.ErrUnavailable)
	}
	signatures, err := signatureList(w.Signatories, w.Signatures)
	if err != nil {
		return SignedCheckpoint{}, fmt.Errorf("checkpoint %d: %w", height, err)
	}
	return sortSigned(cp, signatures)
}

// sortSigned recovers each signature over the checkpoint and orders them.
// Bad and repeated ones are dropped.
func sortSigned(cp ipc.BottomUpCheckpoint, signatures [][]byte) (SignedCheckpoint, error) {
	hash := cp.Hash()
	var signers []common.Address
	var good [][]byte
	for _, sig := range signatures {
		if who, err := ipc.Recover(hash, sig); err == nil {
			signers, good = append(signers, who), append(good, sig)
		}
	}
	signatories, sorted, err := ascending(signers, good)
	if err != nil {
		return SignedCheckpoint{}, err
	}
	return SignedCheckpoint{Checkpoint: cp, Signatories: signatories, Signatures: sorted}, nil
}

// Burnt is the base fee burnt up to and including a height, in wei.
func (c *Client) Burnt(ctx context.Context, height uint64) (*big.Int, error) {
	var s string
	if err := c.node(ctx, &s, "causeway_burnt", height); err != nil {
		return nil, err
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok || n.Sign() < 0 || n.BitLen() > 256 {
		return nil, fmt.Errorf("burnt at %d: %w", height, chains.ErrUnavailable)
	}
	return n, nil
}

func signatureList(who []common.Address, in []hexutil.Bytes) ([][]byte, error) {
	if len(who) != len(in) || len(in) > 100 {
		return nil, fmt.Errorf("%d signatures by %d signatories: %w", len(in), len(who), chains.ErrUnavailable)
	}
	out := make([][]byte, len(in))
	for i, s := range in {
		if len(s) != ipc.SignatureLen {
			return nil, fmt.Errorf("a signature of %d bytes: %w", len(s), chains.ErrUnavailable)
		}
		out[i] = s
	}
	return out, nil
}

// node calls a method of our own node.
func (c *Client) node(ctx context.Context, out any, method string, args ...any) error {
	err := c.RPC(ctx, out, method, args...)
	if err == nil {
		return nil
	}
	if evm.ClassOf(err) == evm.ClassUnsupported {
		return fmt.Errorf("%s: %w", method, ErrForeignNode)
	}
	return fmt.Errorf("%s: %w", method, err)
}

var _ chains.Source = (*Client)(nil)
var _ caller = (evm.Reader)(nil)
