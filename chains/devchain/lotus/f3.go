package lotus

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
	"sync"

	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-f3/blssig"
	"github.com/filecoin-project/go-f3/certs"
	"github.com/filecoin-project/go-f3/gpbft"
	fbig "github.com/filecoin-project/go-state-types/big"
)

// f3 is the committee that certifies the chain behind the head: four members,
// of whom three sign, with real keys. An instance is short here, where it ends;
// its certificate is made when somebody asks for it.
type f3 struct {
	root     *Root
	name     gpbft.NetworkName
	members  []member
	verifier *blssig.Verifier

	mu        sync.Mutex
	known     bool // F3 was ever on
	running   bool
	instances []instance
	made      map[uint64]*certs.FinalityCertificate
}

// instance certifies the tips after base up to last.
type instance struct{ base, last *tip }

const (
	committee = 4
	quorum    = 3
	churn     = 10  // instances between two changes of power
	maxChain  = 100 // tipsets to an instance
	maxMade   = 512 // certificates kept
)

func newF3(r *Root) *f3 {
	f := &f3{
		root: r, name: gpbft.NetworkName(r.cfg.NetworkName), verifier: blssig.VerifierWithKeyOnG1(),
		known: r.cfg.F3, running: r.cfg.F3, made: map[uint64]*certs.FinalityCertificate{},
	}
	for i := range uint64(committee) {
		f.members = append(f.members, newMember(r.genesis, i))
	}
	return f
}

// SetF3 starts and stops F3. What is certified stays so.
func (r *Root) SetF3(running bool) {
	r.grow.Lock()
	defer r.grow.Unlock()
	r.f3.mu.Lock()
	defer r.f3.mu.Unlock()
	r.f3.running = running
	r.f3.known = r.f3.known || running
}

// Certified is the newest epoch that F3 has certified, 0 for none.
func (r *Root) Certified() uint64 { return r.f3.certified() }

func (f *f3) certified() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.end()
}

func (f *f3) end() uint64 {
	if len(f.instances) == 0 {
		return 0
	}
	return f.instances[len(f.instances)-1].last.epoch
}

// next is the epoch that the next instance ends at, 0 when there is none.
func (f *f3) next(v view) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.running {
		return 0
	}
	base, target := v.index(f.end()), v.index(v.deep(f.root.cfg.F3Behind).epoch)
	if target <= base {
		return 0
	}
	return v[min(target, base+maxChain)].epoch
}

// certify ends an instance; 0 is none.
func (f *f3) certify(v view, final uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if final <= f.end() {
		return
	}
	f.known = true
	f.instances = append(f.instances, instance{base: v.at(f.end()), last: v.at(final)})
}

// newest is the newest certified tip of a view, nil for none.
func (f *f3) newest(v view) *tip {
	i := f.latest(v)
	if i < 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.instances[i].last
}

// latest is the newest instance that ends within a view, -1 for none.
func (f *f3) latest(v view) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	head := v.head().epoch
	return sort.Search(len(f.instances), func(i int) bool { return f.instances[i].last.epoch > head }) - 1
}

// table is the committee of an instance: the last member's power goes up and
// down.
func (f *f3) table(i uint64) gpbft.PowerEntries {
	out := make(gpbft.PowerEntries, committee)
	for j, m := range f.members {
		power := int64(1000 - 10*j)
		if j == committee-1 && (i/churn)%2 == 1 {
			power += 5
		}
		out[j] = gpbft.PowerEntry{ID: gpbft.ActorID(1000 + j), Power: fbig.NewInt(power), PubKey: m.public}
	}
	sort.Sort(out)
	return out
}

// certificate is that of an instance.
func (f *f3) certificate(i uint64) (*certs.FinalityCertificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i >= uint64(len(f.instances)) {
		return nil, fmt.Errorf("certificate for instance %d not found", i)
	}
	if c := f.made[i]; c != nil {
		return c, nil
	}
	chain, err := f.chain(i)
	if err != nil {
		return nil, err
	}
	c, err := f.sign(i, chain)
	if err != nil {
		return nil, fmt.Errorf("certificate of instance %d: %w", i, err)
	}
	if len(f.made) >= maxMade {
		clear(f.made)
	}
	f.made[i] = c
	return c, nil
}

// chain is what an instance certifies, its base first: that one as the instance
// before had it. mu is held.
func (f *f3) chain(i uint64) (*gpbft.ECChain, error) {
	table, err := certs.MakePowerTableCID(f.table(i))
	if err != nil {
		return nil, err
	}
	before, err := certs.MakePowerTableCID(f.table(max(i, 1) - 1))
	if err != nil {
		return nil, err
	}
	in := f.instances[i]
	var tipsets []*gpbft.TipSet
	for t := in.last; t != in.base; t = t.parent {
		tipsets = append(tipsets, &gpbft.TipSet{Epoch: int64(t.epoch), Key: t.key.Bytes(), PowerTable: table})
	}
	tipsets = append(tipsets, &gpbft.TipSet{Epoch: int64(in.base.epoch), Key: in.base.key.Bytes(), PowerTable: before})
	slices.Reverse(tipsets)
	return &gpbft.ECChain{TipSets: tipsets}, nil
}

// sign is a certificate of a chain by three of the four.
func (f *f3) sign(i uint64, chain *gpbft.ECChain) (*certs.FinalityCertificate, error) {
	now, then := f.table(i), f.table(i+1)
	commits, err := certs.MakePowerTableCID(then)
	if err != nil {
		return nil, err
	}
	payload := &gpbft.Payload{
		Instance: i, Phase: gpbft.DECIDE_PHASE, Value: chain,
		SupplementalData: gpbft.SupplementalData{PowerTable: commits},
	}
	message := payload.MarshalForSigning(f.name)
	aggregate, err := f.verifier.Aggregate(now.PublicKeys())
	if err != nil {
		return nil, err
	}
	var mask []int
	var signatures [][]byte
	signers := bitfield.New()
	for at := range quorum {
		for _, m := range f.members {
			if !bytes.Equal(m.public, now[at].PubKey) {
				continue
			}
			s, err := m.sign(message)
			if err != nil {
				return nil, err
			}
			mask, signatures = append(mask, at), append(signatures, s)
			signers.Set(uint64(at))
		}
	}
	signature, err := aggregate.Aggregate(mask, signatures)
	if err != nil {
		return nil, err
	}
	return &certs.FinalityCertificate{
		GPBFTInstance: i, ECChain: chain, SupplementalData: payload.SupplementalData,
		Signers: signers, Signature: signature, PowerTableDelta: certs.MakePowerTableDiff(now, then),
	}, nil
}
