package node

import (
	"fmt"
	"log/slog"
	"math/big"
	"slices"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/causeway-bridge/causeway/chains/ipc"
)

const (
	digestsPerSigner    = 4      // of one parent height, before a signer is ignored there
	recoveriesPerSigner = 8      // that the gateway has not committed, likewise
	openRootsKept       = 4      // outbox roots a validator goes on signing
	rootsKept           = 20_000 // heights whose outbox roots are kept
)

// rules turns blocks into chainState. It holds no state of its own.
type rules struct {
	g      Genesis
	pre    *predeploys
	sets   *setCache
	subnet ipc.SubnetID
	parent ipc.Domain // of statements about the parent
	root   ipc.Domain // of outbox roots
	log    *slog.Logger
}

func newRules(g Genesis, pre *predeploys, sets *setCache, log *slog.Logger) *rules {
	return &rules{
		g: g, pre: pre, sets: sets, subnet: g.SubnetID.ID(), log: log,
		parent: ipc.Domain{ChainID: uint64(g.ChainID), VerifyingContract: g.Gateway, Salt: g.Salt},
		root:   ipc.Domain{ChainID: uint64(g.RootChainID), VerifyingContract: g.FastWithdrawals, Salt: g.Salt},
	}
}

// start is the state before block 1.
func (r *rules) start(genesis *types.Header) (*chainState, error) {
	latest, err := r.pre.latest(genesis)
	if err != nil {
		return nil, err
	}
	config, err := r.pre.appliedConfiguration(genesis)
	if err != nil {
		return nil, err
	}
	recovered, err := r.pre.recovered(genesis)
	if err != nil {
		return nil, err
	}
	b := base{Parent: latest.ParentHeight, Nonce: latest.TopDownNonce, Number: latest.PowerChangeNonce}
	now := topic{Config: config, Base: b}
	return &chainState{
		Hash: genesis.Hash(), Time: genesis.Time, Burnt: new(big.Int),
		Sets: []setFrom{{From: 1}}, Reports: map[common.Address]report{},
		Now: now, Asked: now, Latest: b, Recovered: recovered, NextQuorum: r.g.Period,
	}, nil
}

// next derives the state after a block that was executed. consensus is CometBFT's hash of the block. It returns CometBFT's validator
// updates, empty but at a switch.
func (r *rules) next(prev *chainState, block *types.Block, consensus common.Hash, votes []vote, d *draft) (*chainState, []abci.ValidatorUpdate, error) {
	s, header := prev.clone(), block.Header()
	s.Height, s.Hash, s.Time = header.Number.Uint64(), header.Hash(), header.Time
	s.Burnt.Add(s.Burnt, new(big.Int).Mul(header.BaseFee, new(big.Int).SetUint64(header.GasUsed)))
	d.raw(numKey(keyBurnt, s.Height), s.Burnt.FillBytes(make([]byte, 32)))

	// What the votes of the block before say, and what is asked of this one's.
	if err := r.ask(prev, s, votes, d); err != nil {
		return nil, nil, err
	}

	// What the gateway says after this block.
	if err := r.collectChanges(block, d); err != nil {
		return nil, nil, err
	}
	if err := r.followGateway(s, header, d); err != nil {
		return nil, nil, err
	}

	updates, err := r.switchSets(s, d)
	if err != nil {
		return nil, nil, err
	}

	// New things to sign about this very height, from Commit on.
	if s.Height%r.g.Period == 0 {
		if err := r.makeCheckpoint(s, header, consensus, d); err != nil {
			return nil, nil, err
		}
	}
	if err := r.makeRoot(prev, s, header, d); err != nil {
		return nil, nil, err
	}
	d.put(numKey(keyState, s.Height), s)
	if s.Height > statesKept {
		d.remove(numKey(keyState, s.Height-statesKept))
	}
	return s, updates, nil
}

// ask is the part of next that a validator runs when it votes on a block: what
// the block's votes say, and the statement about the parent that follows.
func (r *rules) ask(prev, s *chainState, votes []vote, d *draft) error {
	if err := r.readVotes(prev, s, votes, d); err != nil {
		return err
	}
	if err := r.choose(s); err != nil {
		return err
	}
	s.Asked = s.Now
	return nil
}

// readVotes takes reports and signatures out of the extensions. Whatever is
// undecodable, unknown or badly signed is ignored.
func (r *rules) readVotes(prev, s *chainState, votes []vote, d *draft) error {
	if s.Height == 1 {
		return nil
	}
	voted := s.Height - 1
	members, err := r.sets.voters(s.configAt(voted))
	if err != nil {
		return err
	}
	for _, v := range votes {
		m, ok := members.members[v.Address]
		if !ok {
			continue
		}
		ext, err := ipc.DecodeExtension(v.Extension)
		if err != nil {
			continue
		}
		if ext.Report > 0 {
			s.Reports[m.evm] = report{Parent: ext.Report, At: voted}
		}
		for _, item := range ext.Items {
			if err := r.poolItem(prev, s, item, d); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *rules) poolItem(prev, s *chainState, item ipc.Item, d *draft) error {
	switch item.Kind {
	case ipc.ItemParentFinality:
		return r.poolFinality(prev, s, item, d)
	case ipc.ItemParentRecovery:
		return r.poolRecovery(prev, s, item, d)
	case ipc.ItemCheckpoint:
		return poolFixed[checkpointRecord](r, s, numKey(keyCheckpoint, item.Key), item, d)
	case ipc.ItemOutboxRoot:
		return poolFixed[rootRecord](r, s, numKey(keyRoot, item.Key), item, d)
	}
	return nil
}

type pooled interface{ signatures() *pool }

func (c *checkpointRecord) signatures() *pool { return &c.pool }
func (f *finalityRecord) signatures() *pool   { return &f.pool }
func (p *recoveryRecord) signatures() *pool   { return &p.pool }
func (o *rootRecord) signatures() *pool       { return &o.pool }

// poolFixed adds a signature to a record whose digest the chain itself fixes.
func poolFixed[T any, P interface {
	*T
	pooled
}](r *rules, s *chainState, key []byte, item ipc.Item, d *draft) error {
	rec, ok, err := load[T](d, key)
	if err != nil || !ok {
		return err
	}
	p := P(rec).signatures()
	set, err := r.sets.set(p.Config)
	if err != nil {
		return err
	}
	if p.add(item, s.Height, set, r.g.MajorityPercentage) {
		d.put(key, rec)
		if p.Done && item.Kind == ipc.ItemOutboxRoot {
			s.OpenRoots = slices.DeleteFunc(s.OpenRoots, func(h uint64) bool { return h <= item.Key })
		}
	}
	return nil
}

// poolFinality adds a signature on a statement about the parent. Block h carries
// the extensions of height h-1: only what was asked of them is collected, plus
// what already has a record.
func (r *rules) poolFinality(prev, s *chainState, item ipc.Item, d *draft) error {
	key := hashKey(keyFinality, item.Key, item.Digest)
	rec, ok, err := load[finalityRecord](d, key)
	if err != nil {
		return err
	}
	asked := prev.Asked
	if !ok {
		if asked.Candidate == 0 || item.Key != asked.Candidate {
			return nil
		}
		rec = &finalityRecord{pool: pool{Digest: item.Digest, Config: asked.Config}, Parent: item.Key, Base: asked.Base}
		full, err := r.flooding(item, d)
		if err != nil || full {
			return err
		}
	}
	set, err := r.sets.set(rec.Config)
	if err != nil {
		return err
	}
	quorum := rec.Quorum
	if !rec.add(item, s.Height, set, r.g.MajorityPercentage) {
		return nil
	}
	d.put(key, rec)
	// The statement is done: the next candidate builds on it.
	if quorum == 0 && rec.Quorum != 0 && rec.Config == s.Now.Config && item.Key > s.Latest.Parent {
		s.Latest = base{Parent: item.Key, Digest: item.Digest}
		s.Now.Candidate = 0
	}
	return nil
}

// poolRecovery adds a signature on going on from another branch of the root.
// Which recovery that is about, only the root knows: every signer has room for a
// few.
func (r *rules) poolRecovery(prev, s *chainState, item ipc.Item, d *draft) error {
	if item.Key <= prev.Recovered {
		return nil
	}
	key := hashKey(keyRecovery, item.Key, item.Digest)
	rec, ok, err := load[recoveryRecord](d, key)
	if err != nil {
		return err
	}
	if !ok {
		rec = &recoveryRecord{pool: pool{Digest: item.Digest, Config: prev.Asked.Config}, Number: item.Key}
		full, err := crowded[recoveryRecord](item, d, []byte{keyRecovery}, []byte{keyRecovery + 1}, recoveriesPerSigner)
		if err != nil || full {
			return err
		}
	}
	set, err := r.sets.set(rec.Config)
	if err != nil {
		return err
	}
	if rec.add(item, s.Height, set, r.g.MajorityPercentage) {
		d.put(key, rec)
	}
	return nil
}

// flooding says whether a signer has put too many digests on one height.
func (r *rules) flooding(item ipc.Item, d *draft) (bool, error) {
	return crowded[finalityRecord](item, d, numKey(keyFinality, item.Key), numKey(keyFinality, item.Key+1), digestsPerSigner)
}

// crowded says whether an item's signer is in as many records of a range as it
// may be.
func crowded[T any, P interface {
	*T
	pooled
}](item ipc.Item, d *draft, from, to []byte, most int) (bool, error) {
	signer, err := item.Signer()
	if err != nil {
		return true, nil
	}
	n := 0
	err = d.scan(from, to, func(_, v []byte) bool {
		if rec, ok, e := load[T](rawReader(v), nil); e == nil && ok && P(rec).signatures().has(signer) {
			n++
		}
		return true
	})
	return n >= most, err
}

// rawReader lets load decode a value at hand.
type rawReader []byte

func (v rawReader) get([]byte) ([]byte, error)                              { return v, nil }
func (v rawReader) scan([]byte, []byte, func(key, value []byte) bool) error { return nil }

// followGateway takes over what the gateway has committed and applied. A new
// configuration voids statements of the old one, so building starts again from
// what the gateway holds.
func (r *rules) followGateway(s *chainState, header *types.Header, d *draft) error {
	latest, err := r.pre.latest(header)
	if err != nil {
		return err
	}
	config, err := r.pre.appliedConfiguration(header)
	if err != nil {
		return err
	}
	recovered, err := r.pre.recovered(header)
	if err != nil {
		return err
	}
	if recovered != s.Recovered {
		// What was said of the branch that is gone must not be carried any more.
		if err := forgetBranch(d, recovered); err != nil {
			return err
		}
	}
	if config != s.Now.Config || latest.ParentHeight > s.Latest.Parent || recovered != s.Recovered {
		s.Latest = base{Parent: latest.ParentHeight, Nonce: latest.TopDownNonce, Number: latest.PowerChangeNonce}
		s.Now.Candidate = 0
	}
	s.Now.Config, s.Recovered = config, recovered
	if latest.ParentHeight == 0 {
		return nil
	}
	// What builds on the committed statement must stay readable for nodes that
	// never looked behind its digest; everything below it has served.
	key := hashKey(keyStatement, latest.ParentHeight, latest.Digest(r.parent))
	if have, err := d.get(key); err != nil {
		return err
	} else if have == nil {
		d.put(key, latest)
	}
	for _, kind := range []byte{keyFinality, keyStatement} {
		err := d.scan(numKey(kind, 0), numKey(kind, latest.ParentHeight), func(k, _ []byte) bool {
			d.remove(k)
			return true
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// forgetBranch drops every statement on the root there is, and the recoveries
// that are committed or passed over.
func forgetBranch(d *draft, recovered uint64) error {
	for _, of := range [][2][]byte{
		{{keyFinality}, {keyFinality + 1}}, {{keyStatement}, {keyStatement + 1}}, {{keyRecovery}, numKey(keyRecovery, recovered+1)},
	} {
		err := d.scan(of[0], of[1], func(k, _ []byte) bool {
			d.remove(k)
			return true
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// choose keeps the candidate, or picks the highest reported parent height that
// more than 2/3 of the power has seen.
func (r *rules) choose(s *chainState) error {
	members, err := r.sets.voters(s.configAt(s.Height))
	if err != nil {
		return err
	}
	power := make(map[common.Address]int64, len(members.members))
	for _, m := range members.members {
		power[m.evm] = m.power
	}
	type seen struct{ parent, power uint64 }
	var rows []seen
	for a, rep := range s.Reports {
		if power[a] == 0 || rep.At+reportWindow < s.Height {
			delete(s.Reports, a)
			continue
		}
		rows = append(rows, seen{rep.Parent, uint64(power[a])})
	}
	if s.Now.Candidate != 0 && s.Height < s.Since+candidateLife {
		return nil
	}
	slices.SortFunc(rows, func(a, b seen) int { return compareUint64(b.parent, a.parent) })
	s.Now.Candidate = 0
	var sum uint64
	for _, row := range rows {
		sum += row.power
		if 3*sum > 2*uint64(members.total) {
			if row.parent > s.Latest.Parent {
				s.Now.Candidate, s.Now.Base, s.Since = row.parent, s.Latest, s.Height
			}
			break
		}
	}
	return nil
}

// switchSets goes through the checkpoints in order: the first block that
// carries what the root will accept of a checkpoint's own set (more than 2/3 in
// root units, and its majority) switches CometBFT to the configuration the
// checkpoint names (PROTOCOL 20). Asking for more, such as the scaled power
// too, could leave consensus with a set that the root has already replaced.
func (r *rules) switchSets(s *chainState, d *draft) ([]abci.ValidatorUpdate, error) {
	from := s.latestConfig()
	to := from
	for {
		rec, ok, err := load[checkpointRecord](d, numKey(keyCheckpoint, s.NextQuorum))
		if err != nil {
			return nil, err
		}
		if !ok || rec.Quorum == 0 {
			break
		}
		to = max(to, rec.Next)
		s.NextQuorum += r.g.Period
	}
	if to == from {
		return nil, nil
	}
	old, err := r.sets.set(from)
	if err != nil {
		return nil, err
	}
	set, err := r.sets.set(to)
	if err != nil {
		return nil, err
	}
	updates, err := setDiff(old, set)
	if err != nil {
		return nil, err
	}
	// CometBFT lets updates of block h vote from h+2 on.
	s.Sets = append(s.Sets, setFrom{From: s.Height + 2, Config: to})
	for len(s.Sets) > 1 && s.Sets[1].From+statesKept < s.Height {
		s.Sets = s.Sets[1:]
	}
	return updates, nil
}

// setDiff is what turns one set into another for CometBFT; 0 removes.
func setDiff(old, set ipc.ValidatorSet) ([]abci.ValidatorUpdate, error) {
	var updates []abci.ValidatorUpdate
	for _, e := range set.Entries {
		if was, ok := old.Find(e.Addr); e.Power > 0 && (!ok || was.Power != e.Power) {
			u, err := validatorUpdate(e.Pubkey, e.Power)
			if err != nil {
				return nil, fmt.Errorf("update %s: %w", e.Addr, err)
			}
			updates = append(updates, u)
		}
	}
	for _, e := range old.Entries {
		if now, ok := set.Find(e.Addr); e.Power > 0 && (!ok || now.Power == 0) {
			u, err := validatorUpdate(e.Pubkey, 0)
			if err != nil {
				return nil, fmt.Errorf("remove %s: %w", e.Addr, err)
			}
			updates = append(updates, u)
		}
	}
	return updates, nil
}

// makeCheckpoint builds the checkpoint of this height (PROTOCOL 24). Who signs
// it is the configuration the checkpoints before have led to.
func (r *rules) makeCheckpoint(s *chainState, header *types.Header, consensus common.Hash, d *draft) error {
	msgs, err := r.pre.batch(header, s.Height, r.g.Period)
	if err != nil {
		return err
	}
	activity, err := r.pre.activity(header, r.g.Period)
	if err != nil {
		return err
	}
	stored, err := r.pre.storedConfiguration(header)
	if err != nil {
		return err
	}
	cp := ipc.BottomUpCheckpoint{
		SubnetID: r.subnet, BlockHeight: new(big.Int).SetUint64(s.Height), BlockHash: consensus,
		NextConfigurationNumber: stored, Msgs: ipc.Commit(msgs), Activity: activity,
	}
	text, err := ipc.EncodeCheckpoint(cp)
	if err != nil {
		return err
	}
	d.put(numKey(keyCheckpoint, s.Height), &checkpointRecord{
		pool: pool{Digest: cp.Hash(), Config: s.LastConfig}, Checkpoint: text, Next: stored,
	})
	if stored <= s.LastConfig {
		return nil
	}
	// The set this checkpoint leads to signs the ones after it.
	old, err := r.sets.set(s.LastConfig)
	if err != nil {
		return err
	}
	list, err := changes(d, s.LastConfig+1, stored)
	if err != nil {
		return err
	}
	s.LastConfig = stored
	return r.sets.put(stored, ipc.ApplyPowerChanges(old, list, r.g.PowerScale), d)
}

// makeRoot records the outbox root of a height whose count changed or that
// opened a new ten seconds (PROTOCOL 7).
func (r *rules) makeRoot(prev, s *chainState, header *types.Header, d *draft) error {
	count, root, ok, err := r.pre.accumulator(header)
	if err != nil || !ok {
		return err
	}
	s.OutboxCount = count
	if s.Height > rootsKept {
		d.remove(numKey(keyRoot, s.Height-rootsKept))
	}
	if count == prev.OutboxCount && header.Time/10 == prev.Time/10 {
		return nil
	}
	rec := &rootRecord{Root: outboxRoot{
		Height: s.Height, BlockHash: s.Hash, Time: header.Time, Outbox: r.g.Outbox,
		Count: count, Root: root, Price: "0", SignerConfig: s.Now.Config,
	}}
	rec.Digest, rec.Config = rec.Root.wire().Digest(r.root), s.Now.Config
	d.put(numKey(keyRoot, s.Height), rec)
	s.OpenRoots = append(s.OpenRoots, s.Height)
	if n := len(s.OpenRoots); n > openRootsKept {
		s.OpenRoots = s.OpenRoots[n-openRootsKept:]
	}
	return nil
}
