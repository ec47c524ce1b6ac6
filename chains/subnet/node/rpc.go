package node

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/causeway-bridge/causeway/chains/ipc"
)

// maxFinalities bounds one answer of causeway_parentFinalities.
const maxFinalities = 100

// api is the RPC namespace "causeway". Everything it says is committed.
type api struct {
	app        *app
	catchingUp func() bool
}

// Status is the answer of causeway_status. Height is that of the last Commit
// that returned (PROTOCOL 54).
type Status struct {
	ChainID       hexutil.Uint64    `json:"chainId"`
	GenesisHash   common.Hash       `json:"genesisHash"`
	Height        uint64            `json:"height"`
	Hash          common.Hash       `json:"hash"`
	Time          uint64            `json:"time"` // Unix seconds
	Period        uint64            `json:"period"`
	CatchingUp    bool              `json:"catchingUp"`
	ParentHeight  uint64            `json:"parentHeight"` // this node's own view
	ParentHash    common.Hash       `json:"parentHash"`
	Diverged      bool              `json:"diverged"` // the parent is not the one committed: nothing about it is signed
	Reason        string            `json:"divergedReason,omitempty"`
	Configuration uint64            `json:"appliedConfigurationNumber"` // the gateway's
	Validators    []StatusValidator `json:"validators"`
}

// StatusValidator is a member of the set CometBFT was last switched to.
// Weight is in root units, a decimal string.
type StatusValidator struct {
	Address common.Address `json:"address"`
	Weight  string         `json:"weight"`
	Power   int64          `json:"power"`
}

// Status answers causeway_status.
func (s *api) Status(context.Context) (*Status, error) {
	st := s.app.current()
	set, err := s.app.rules.sets.set(st.latestConfig())
	if err != nil {
		return nil, err
	}
	out := &Status{
		ChainID: hexutil.Uint64(s.app.g.ChainID), GenesisHash: s.app.evm.chain.Genesis().Hash(),
		Height: st.Height, Hash: st.Hash, Time: st.Time, Period: s.app.g.Period,
		CatchingUp: s.catchingUp(), Configuration: st.Now.Config, Validators: []StatusValidator{},
	}
	out.ParentHeight, out.ParentHash, _ = s.app.cache.newest()
	if err := s.app.cache.standing(); err != nil && !errors.Is(err, errNotCompared) {
		out.Diverged, out.Reason = true, err.Error()
	}
	for _, e := range set.Entries {
		if e.Power > 0 {
			out.Validators = append(out.Validators, StatusValidator{e.Addr, e.Weight.String(), e.Power})
		}
	}
	return out, nil
}

// Bundle is a digest with its signatures, ascending by signatory, and their
// weight in root units. Quorum says that the contracts will accept them.
type Bundle struct {
	Digest      common.Hash      `json:"digest"`
	Signatories []common.Address `json:"signatories"`
	Signatures  []hexutil.Bytes  `json:"signatures"`
	Weight      string           `json:"weight"`
	Total       string           `json:"total"`
	Quorum      bool             `json:"quorum"`
}

func (s *api) bundle(p *pool) (Bundle, error) {
	set, err := s.app.rules.sets.set(p.Config)
	if err != nil {
		return Bundle{}, err
	}
	sigs := slices.Clone(p.Sigs)
	slices.SortFunc(sigs, func(a, b signature) int { return a.Signer.Cmp(b.Signer) })
	b := Bundle{Digest: p.Digest, Signatories: []common.Address{}, Signatures: []hexutil.Bytes{}, Quorum: p.Quorum != 0}
	for _, sig := range sigs {
		b.Signatories = append(b.Signatories, sig.Signer)
		b.Signatures = append(b.Signatures, sig.Sig)
	}
	weight, total := p.weigh(set)
	b.Weight, b.Total = weight.String(), total.String()
	return b, nil
}

// Finality is a statement about the parent with a quorum.
type Finality struct {
	Statement Statement `json:"statement"`
	Bundle
}

// Statement is ipc.ParentFinality in JSON.
type Statement struct {
	SignerConfig     uint64      `json:"signerConfig"`
	ParentHeight     uint64      `json:"parentHeight"`
	ParentHash       common.Hash `json:"parentHash"`
	TopDownNonce     uint64      `json:"topDownNonce"`
	TopDownHash      common.Hash `json:"topDownHash"`
	PowerChangeNonce uint64      `json:"powerChangeNonce"`
	PowerChangeHash  common.Hash `json:"powerChangeHash"`
}

// ParentFinalities answers causeway_parentFinalities: statements above
// afterHeight with a quorum under the configuration the gateway counts now,
// ascending by parent height, at most limit (and 100) of them.
func (s *api) ParentFinalities(_ context.Context, afterHeight uint64, limit int) ([]Finality, error) {
	if limit <= 0 || limit > maxFinalities {
		limit = maxFinalities
	}
	out := []Finality{}
	if afterHeight == ^uint64(0) {
		return out, nil
	}
	config := s.app.current().Now.Config
	var failed error
	err := s.app.store.scan(numKey(keyFinality, afterHeight+1), []byte{keyFinality + 1}, func(_, v []byte) bool {
		rec, ok, err := load[finalityRecord](rawReader(v), nil)
		if err != nil || !ok {
			failed = errors.Join(failed, err)
			return failed == nil
		}
		if rec.Quorum == 0 || rec.Config != config {
			return true
		}
		st, ok := s.app.resolve(s.app.store, rec.Parent, rec.Digest)
		if !ok {
			return false // what follows builds on it
		}
		b, err := s.bundle(&rec.pool)
		if err != nil {
			failed = err
			return false
		}
		out = append(out, Finality{Bundle: b, Statement: statementOf(st)})
		return len(out) < limit
	})
	return out, errors.Join(err, failed)
}

// Checkpoint is a checkpoint and its signatures.
type Checkpoint struct {
	Checkpoint CheckpointBody `json:"checkpoint"`
	Hash       common.Hash    `json:"hash"`
	Bundle
}

// CheckpointBody is ipc.BottomUpCheckpoint in JSON.
type CheckpointBody struct {
	SubnetID struct {
		Root  uint64           `json:"root"`
		Route []common.Address `json:"route"`
	} `json:"subnetID"`
	BlockHeight             uint64      `json:"blockHeight"`
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
}

func checkpointBody(c ipc.BottomUpCheckpoint) (b CheckpointBody) {
	b.SubnetID.Root, b.SubnetID.Route = c.SubnetID.Root, c.SubnetID.Route
	b.BlockHeight, b.BlockHash = c.BlockHeight.Uint64(), c.BlockHash
	b.NextConfigurationNumber = c.NextConfigurationNumber
	b.Msgs.TotalNumMsgs, b.Msgs.MsgsRoot = c.Msgs.TotalNumMsgs, c.Msgs.MsgsRoot
	stats := c.Activity.Consensus.Stats
	b.Activity.Consensus.Stats.TotalActiveValidators = stats.TotalActiveValidators
	b.Activity.Consensus.Stats.TotalNumBlocksCommitted = stats.TotalNumBlocksCommitted
	b.Activity.Consensus.DataRootCommitment = c.Activity.Consensus.DataRootCommitment
	return b
}

// Checkpoint answers causeway_checkpoint: null for a height without one.
func (s *api) Checkpoint(_ context.Context, height uint64) (*Checkpoint, error) {
	if height > s.app.current().Height {
		return nil, nil
	}
	rec, ok, err := load[checkpointRecord](s.app.store, numKey(keyCheckpoint, height))
	if err != nil || !ok {
		return nil, err
	}
	cp, err := ipc.DecodeCheckpoint(rec.Checkpoint)
	if err != nil {
		return nil, err
	}
	b, err := s.bundle(&rec.pool)
	if err != nil {
		return nil, err
	}
	return &Checkpoint{Checkpoint: checkpointBody(cp), Hash: rec.Digest, Bundle: b}, nil
}

// Root is an outbox root and its signatures.
type Root struct {
	Root outboxRoot `json:"root"`
	Bundle
}

// OutboxRoot answers causeway_outboxRoot: null for a height without one;
// height 0 asks for the newest with a quorum.
func (s *api) OutboxRoot(_ context.Context, height uint64) (*Root, error) {
	head := s.app.current().Height
	if height > head {
		return nil, nil
	}
	for h, looked := height, 0; looked < rootsKept; looked++ {
		if height == 0 {
			if h = head - uint64(looked); h == 0 || h > head {
				return nil, nil
			}
		}
		rec, ok, err := load[rootRecord](s.app.store, numKey(keyRoot, h))
		if err != nil {
			return nil, err
		}
		if ok && (height != 0 || rec.Quorum != 0) {
			b, err := s.bundle(&rec.pool)
			if err != nil {
				return nil, err
			}
			return &Root{Root: rec.Root, Bundle: b}, nil
		}
		if height != 0 {
			return nil, nil
		}
	}
	return nil, nil
}

// Burnt answers causeway_burnt: base fee burnt up to and including height, wei.
func (s *api) Burnt(_ context.Context, height uint64) (string, error) {
	if height == 0 {
		return "0", nil
	}
	if head := s.app.current().Height; height > head {
		return "", fmt.Errorf("height %d is above the head %d", height, head)
	}
	v, err := s.app.store.get(numKey(keyBurnt, height))
	if err != nil {
		return "", err
	}
	if v == nil {
		return "", fmt.Errorf("height %d is not recorded", height)
	}
	return new(big.Int).SetBytes(v).String(), nil
}
