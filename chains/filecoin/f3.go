package filecoin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/filecoin-project/go-f3/blssig"
	"github.com/filecoin-project/go-f3/certs"
	"github.com/filecoin-project/go-f3/gpbft"
	"github.com/filecoin-project/lotus/chain/types"
	"github.com/ipfs/go-cid"
)

// F3 is where trust in certificates of finality begins. They make a tipset final
// sooner than its depth does, and never later: one that is missing, forged or of
// another chain leaves the depth.
type F3 struct {
	// Network is the name that the committee signs for: "filecoin".
	Network string
	// First is the instance that is read first; PowerTable is the CID of its
	// committee, which whoever configures it has from a source he trusts. A recent
	// instance is caught up with sooner.
	First      uint64
	PowerTable string
	// Rest is how long nothing is asked of F3 after it failed; 1 min when 0.
	Rest time.Duration
}

// Bounds on what is read of F3 in one look at the head.
const (
	maxCertificates = 64
	maxCertificate  = 1 << 20 // bytes
	maxCommittee    = 10_000
	f3Time          = 2 * time.Second // for each part of it
	f3Rest          = time.Minute
)

func (f *F3) check(name string) error {
	if f == nil {
		return nil
	}
	var errs []error
	if f.Network == "" {
		errs = append(errs, fmt.Errorf("chain %q: F3 without the name of its network", name))
	}
	if _, err := cid.Decode(f.PowerTable); err != nil {
		errs = append(errs, fmt.Errorf("chain %q: the power table of F3 is no CID", name))
	}
	return errors.Join(errs...)
}

// follower follows the certificates of a node, one instance after the other. Only
// the look at the head uses it.
type follower struct {
	cfg      F3
	first    cid.Cid
	verifier *blssig.Verifier
	resting  time.Time // until then nothing is asked
	failing  bool      // which is logged when it begins

	next  uint64
	base  *gpbft.TipSet      // the last that is certified; nil before the first
	table gpbft.PowerEntries // of the committee of next; nil before it is read
	block chains.Block       // the tipset that base is on the node's chain
}

func newFollower(cfg *F3) (*follower, error) {
	if cfg == nil {
		return nil, nil
	}
	first, err := cid.Decode(cfg.PowerTable)
	if err != nil {
		return nil, fmt.Errorf("power table of F3: %w", err)
	}
	f := &follower{cfg: *cfg, first: first, verifier: blssig.VerifierWithKeyOnG1(), next: cfg.First}
	if f.cfg.Rest == 0 {
		f.cfg.Rest = f3Rest
	}
	return f, nil
}

// follow reads what has been certified since the last time, as far as the node has
// the tipsets; deep is the epoch that is final without. What fails is logged once and
// left alone for a while; what was certified before stays so.
func (c *Client) follow(ctx context.Context, top chains.Block, deep uint64) {
	f := c.f3
	if f == nil || time.Now().Before(f.resting) {
		return
	}
	moved, err := c.readF3(ctx, top)
	if err == nil && !moved && f.block.Number <= deep {
		err = c.unavailable("no certificate is newer than of epoch %d", f.block.Number)
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		f.resting = time.Now().Add(f.cfg.Rest)
		if !f.failing {
			c.log.Warn("F3 certifies nothing that can be used: tipsets are final by depth", "chain", c.cfg.Name, "certified", f.block.Number, "err", err)
		}
		f.failing = true
	case f.failing:
		f.failing = false
		c.log.Info("F3 certifies again", "chain", c.cfg.Name, "certified", f.block.Number)
	}
}

// readF3 reads the next certificates and goes on to the last that is good.
func (c *Client) readF3(ctx context.Context, top chains.Block) (moved bool, err error) {
	f := c.f3
	found, err := c.unread(ctx)
	if err != nil {
		return false, err
	}
	within, cancel := context.WithTimeout(ctx, f3Time)
	defer cancel()
	steps, bad := f.verify(within, found, top.Number)
	before := f.next
	err = c.confirm(ctx, steps)
	return f.next > before, errors.Join(bad, err)
}

// unread are the certificates that come next, oldest first; the committee is read
// before the first.
func (c *Client) unread(ctx context.Context) ([]json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, f3Time)
	defer cancel()
	if c.f3.table == nil {
		table, err := c.committee(ctx)
		if err != nil {
			return nil, err
		}
		c.f3.table = table
	}
	return c.certificates(ctx)
}

// committee is the power table that is trusted by its CID.
func (c *Client) committee(ctx context.Context) (gpbft.PowerEntries, error) {
	var raw json.RawMessage
	if err := c.RPC(ctx, &raw, "Filecoin.F3GetPowerTableByInstance", c.f3.cfg.First); err != nil {
		return nil, err
	}
	table, err := decodeTable(raw)
	if err != nil {
		return nil, c.unavailable("power table of instance %d: %w", c.f3.cfg.First, err)
	}
	id, err := certs.MakePowerTableCID(table)
	if err != nil {
		return nil, c.unavailable("power table of instance %d: it has no CID", c.f3.cfg.First)
	}
	if !id.Equals(c.f3.first) {
		return nil, c.unavailable("the power table of instance %d is %s, trusted is %s", c.f3.cfg.First, id, c.f3.first)
	}
	return table, nil
}

// certificates are the next of the node, oldest first, at most so many.
func (c *Client) certificates(ctx context.Context) ([]json.RawMessage, error) {
	var latest json.RawMessage
	if err := c.RPC(ctx, &latest, "Filecoin.F3GetLatestCertificate"); err != nil {
		return nil, err
	}
	newest, err := decodeCertificate(latest)
	if err != nil {
		return nil, c.unavailable("latest certificate: %w", err)
	}
	next := c.f3.next
	switch {
	case newest.GPBFTInstance < next:
		return nil, nil
	case newest.GPBFTInstance == next:
		return []json.RawMessage{latest}, nil
	}
	asks := make([]*evm.Ask, min(newest.GPBFTInstance-next, maxCertificates-1)+1)
	for i := range asks {
		asks[i] = &evm.Ask{Method: "Filecoin.F3GetCertificate", Args: []any{next + uint64(i)}}
	}
	if err := c.AskAll(ctx, asks); err != nil {
		return nil, err
	}
	out := make([]json.RawMessage, len(asks))
	for i, a := range asks {
		if a.Err != nil {
			return nil, fmt.Errorf("certificate of instance %d, of %d: %w", next+uint64(i), newest.GPBFTInstance, a.Err)
		}
		out[i] = a.Result
	}
	return out, nil
}

// step is what a good certificate leads to.
type step struct {
	next  uint64
	base  *gpbft.TipSet
	table gpbft.PowerEntries
}

// verify checks certificates one after the other, up to the first that is bad, that
// certifies what the node has not come to, or that there is no time for.
func (f *follower) verify(ctx context.Context, found []json.RawMessage, top uint64) (steps []step, err error) {
	at := step{f.next, f.base, f.table}
	for i, raw := range found {
		if i > 0 && ctx.Err() != nil {
			break
		}
		cert, err := decodeCertificate(raw)
		if err != nil {
			return steps, fmt.Errorf("certificate of instance %d: %w", at.next, err)
		}
		head := cert.ECChain.Head()
		if uint64(head.Epoch) > top {
			break
		}
		err = contained(func() (err error) {
			at.next, _, at.table, err = certs.ValidateFinalityCertificates(f.verifier, gpbft.NetworkName(f.cfg.Network), at.table, at.next, at.base, cert)
			return err
		})
		if err != nil {
			return steps, fmt.Errorf("certificate: %w", err)
		}
		at.base = head
		steps = append(steps, at)
	}
	return steps, nil
}

// confirm goes on to what is certified and on the node's chain. A tipset that the
// committee signed and the node has not, is of another chain: nothing behind it is
// taken, so that the certificate of the node's own may still come.
func (c *Client) confirm(ctx context.Context, steps []step) error {
	if len(steps) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, f3Time)
	defer cancel()
	heights := make([]uint64, len(steps))
	for i, s := range steps {
		heights[i] = uint64(s.base.Epoch)
	}
	blocks, err := c.tipsets(ctx, heights)
	if err != nil {
		return err
	}
	for i, s := range steps {
		key, err := types.TipSetKeyFromBytes(s.base.Key)
		if err != nil {
			return c.unavailable("instance %d certifies no tipset key", s.next-1)
		}
		hash, err := hashOf(key)
		if err != nil {
			return c.unavailable("instance %d certifies no tipset: %w", s.next-1, err)
		}
		if blocks[i].Number != heights[i] || blocks[i].Hash != hash {
			return c.unavailable("instance %d certifies %s at epoch %d, where the node has %s, of epoch %d", s.next-1, hash, heights[i], blocks[i].Hash, blocks[i].Number)
		}
		c.f3.next, c.f3.base, c.f3.table, c.f3.block = s.next, s.base, s.table, blocks[i]
	}
	return nil
}

var errCertificate = errors.New("it does not decode, or lacks a field")

// decodeCertificate reads a certificate as Lotus' API gives it. What it says is not
// checked, only that checking it fails in order.
func decodeCertificate(raw json.RawMessage) (*certs.FinalityCertificate, error) {
	var c certs.FinalityCertificate
	if len(raw) > maxCertificate || contained(func() error { return json.Unmarshal(raw, &c) }) != nil || c.ECChain.IsZero() || c.ECChain.Validate() != nil {
		return nil, errCertificate
	}
	if slices.ContainsFunc(c.PowerTableDelta, func(d certs.PowerTableDelta) bool { return d.PowerDelta.Int == nil }) {
		return nil, errCertificate
	}
	return &c, nil
}

// contained makes an error of a panic: the library that reads certificates has those,
// such as for supplemental data of null.
func contained(read func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = errCertificate
		}
	}()
	return read()
}

// decodeTable reads a power table likewise.
func decodeTable(raw json.RawMessage) (gpbft.PowerEntries, error) {
	var t gpbft.PowerEntries
	if contained(func() error { return json.Unmarshal(raw, &t) }) != nil || len(t) == 0 || len(t) > maxCommittee {
		return nil, errCertificate
	}
	if slices.ContainsFunc(t, func(e gpbft.PowerEntry) bool { return e.Power.Int == nil || e.Power.Sign() <= 0 }) {
		return nil, errCertificate
	}
	return t, nil
}
