package lotus

import (
	"context"
	"errors"
	"slices"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/filecoin-project/go-f3/certs"
	"github.com/filecoin-project/go-f3/gpbft"
	"github.com/filecoin-project/go-f3/manifest"
	"github.com/filecoin-project/lotus/api"
	"github.com/filecoin-project/lotus/chain/types"
)

// enabled says whether there is F3 at all.
func (f *f3) enabled() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.known {
		return api.ErrF3Disabled
	}
	return nil
}

// F3IsRunning says whether F3 goes on.
func (h *handler) F3IsRunning(context.Context) (bool, error) {
	f := h.n.root.f3
	if err := f.enabled(); err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running, nil
}

// F3GetLatestCertificate is the newest certificate that this node has.
func (h *handler) F3GetLatestCertificate(context.Context) (*certs.FinalityCertificate, error) {
	f := h.n.root.f3
	if err := f.enabled(); err != nil {
		return nil, err
	}
	i := f.latest(h.n.view())
	if i < 0 {
		return nil, errors.New("no certificate yet")
	}
	return h.n.certificate(uint64(i))
}

// F3GetCertificate is the certificate of an instance.
func (h *handler) F3GetCertificate(_ context.Context, instance uint64) (*certs.FinalityCertificate, error) {
	f := h.n.root.f3
	if err := f.enabled(); err != nil {
		return nil, err
	}
	if last := f.latest(h.n.view()); last < 0 || instance > uint64(last) {
		return nil, errors.New("certificate not found")
	}
	return h.n.certificate(instance)
}

// certificate is the certificate as this node shows it.
func (n *Node) certificate(i uint64) (*certs.FinalityCertificate, error) {
	c, err := n.root.f3.certificate(i)
	if err != nil {
		return nil, err
	}
	set := n.Switches()
	if set.F3Equivocate {
		if c, err = n.root.f3.equivocate(c); err != nil {
			return nil, err
		}
	}
	if set.F3Forge {
		forged := *c
		forged.Signature = slices.Clone(c.Signature)
		forged.Signature[len(forged.Signature)-1] ^= 1
		c = &forged
	}
	return c, nil
}

// equivocate is a certificate of the same instance, as well signed, for a chain
// that ends in a tipset nobody has.
func (f *f3) equivocate(c *certs.FinalityCertificate) (*certs.FinalityCertificate, error) {
	other := *c.ECChain.Head()
	other.Key = slices.Clone(other.Key)
	copy(other.Key[len(other.Key)-8:], crypto.Keccak256(other.Key))
	chain := &gpbft.ECChain{TipSets: append(slices.Clone(c.ECChain.TipSets[:len(c.ECChain.TipSets)-1]), &other)}
	return f.sign(c.GPBFTInstance, chain)
}

// F3GetManifest names the network and the committee that F3 began with.
func (h *handler) F3GetManifest(context.Context) (*manifest.Manifest, error) {
	f := h.n.root.f3
	if err := f.enabled(); err != nil {
		return nil, err
	}
	m := manifest.LocalDevnetManifest()
	table, err := certs.MakePowerTableCID(f.table(0))
	if err != nil {
		return nil, err
	}
	m.NetworkName, m.InitialPowerTable = f.name, table
	m.EC.Finality = int64(h.n.root.cfg.FinalityDepth)
	m.EC.Period = h.n.root.cfg.Period
	return &m, nil
}

// F3GetPowerTableByInstance is the committee of an instance.
func (h *handler) F3GetPowerTableByInstance(_ context.Context, instance uint64) (gpbft.PowerEntries, error) {
	f := h.n.root.f3
	if err := f.enabled(); err != nil {
		return nil, err
	}
	if last := f.latest(h.n.view()); instance > uint64(last+1) {
		return nil, errors.New("power table of a future instance")
	}
	return f.table(instance), nil
}

// F3GetF3PowerTable is the committee that certifies next.
func (h *handler) F3GetF3PowerTable(_ context.Context, key types.TipSetKey) (gpbft.PowerEntries, error) {
	f := h.n.root.f3
	if err := f.enabled(); err != nil {
		return nil, err
	}
	if _, err := h.n.keyed(key); err != nil {
		return nil, err
	}
	return f.table(uint64(f.latest(h.n.view()) + 1)), nil
}

// F3GetECPowerTable is the power at a tipset, which here is the committee's.
func (h *handler) F3GetECPowerTable(ctx context.Context, key types.TipSetKey) (gpbft.PowerEntries, error) {
	return h.F3GetF3PowerTable(ctx, key)
}
