package lotus

import (
	"context"
	"errors"
	"fmt"
)

var (
	// ErrTooDeep says that a reorg would go to genesis or below.
	ErrTooDeep = errors.New("reorg goes too deep")
	// ErrCertified says that a reorg would undo what F3 has certified.
	ErrCertified = errors.New("reorg goes below what F3 has certified")
)

// Reorg replaces the newest depth epochs by others: each has an empty tipset
// but for those that NullAt or the rate make null, and the last is never null.
// The messages of the replaced ones go back to the pool. It returns once the
// nodes show the other branch.
func (r *Root) Reorg(ctx context.Context, depth uint64) error {
	r.grow.Lock()
	defer r.grow.Unlock()
	if depth == 0 {
		return nil
	}
	old := r.view()
	if depth >= old.head().epoch {
		return fmt.Errorf("%w: depth %d at epoch %d", ErrTooDeep, depth, old.head().epoch)
	}
	top := max(r.tried, old.head().epoch)
	stem := old[:old.index(top-depth)+1]
	if stem.head().epoch < r.f3.certified() {
		return fmt.Errorf("%w: epoch %d", ErrCertified, r.f3.certified())
	}
	branch, err := r.branch(ctx, stem, top-depth+1, top)
	if err != nil {
		return fmt.Errorf("reorg: %w", err)
	}

	if err := r.chain.Adopt(branch.head().block); err != nil {
		return fmt.Errorf("reorg: %w", err)
	}
	if err := r.records.add(len(old)-len(stem), r.f3.certified(), branch[len(stem):]...); err != nil {
		return fmt.Errorf("reorg: %w", err)
	}
	r.mu.Lock()
	r.tips = branch
	r.mu.Unlock()
	r.tried = top
	for _, t := range old[len(stem):] {
		r.pool.reverted(t)
	}
	r.announce()
	return nil
}

// branch is a stem with empty tipsets on it, from one epoch to another. It is
// beside the chain; grow is held.
func (r *Root) branch(ctx context.Context, stem view, from, to uint64) (view, error) {
	out := append(view{}, stem...)
	for epoch := from; epoch <= to; epoch++ {
		if null := r.null(epoch); null && epoch < to {
			continue
		}
		t, err := r.build(ctx, out.head(), epoch, noMessages)
		if err != nil {
			return nil, err
		}
		r.mu.Lock()
		r.keep(t)
		r.mu.Unlock()
		out = append(out, t)
	}
	return out, nil
}

// Freeze makes the node hold on to the chain as it was back epochs ago: 0 is a
// node that has stopped, more is one that went back, as after a restore.
func (n *Node) Freeze(back uint64) {
	v := n.view()
	n.hold(v[:v.index(v.head().epoch-min(back, v.head().epoch))+1])
}

// Follow ends Freeze, Fork and JumpAhead.
func (n *Node) Follow() { n.hold(nil) }

// Fork makes the node hold on to a branch of its own: the newest depth epochs
// are others, with no messages, and none come after.
func (n *Node) Fork(ctx context.Context, depth uint64) error {
	return n.diverge(ctx, depth, 0)
}

// JumpAhead makes the node claim epochs that are yet to come: two tipsets that
// many epochs above the head, of which the first is executed.
func (n *Node) JumpAhead(ctx context.Context, epochs uint64) error {
	return n.diverge(ctx, 0, max(epochs, 2))
}

func (n *Node) diverge(ctx context.Context, depth, ahead uint64) error {
	r := n.root
	r.grow.Lock()
	defer r.grow.Unlock()
	v := r.view()
	top := v.head().epoch
	if depth >= top {
		return fmt.Errorf("%w: depth %d at epoch %d", ErrTooDeep, depth, top)
	}
	from, to := top-depth+1, top
	if ahead > 0 {
		from, to = top+ahead-1, top+ahead
	}
	branch, err := r.branch(ctx, v[:v.index(top-depth)+1], from, to)
	if err != nil {
		return fmt.Errorf("diverge: %w", err)
	}
	n.hold(branch)
	return nil
}

func (n *Node) hold(v view) {
	n.mu.Lock()
	n.fixed = v
	n.mu.Unlock()
	n.follow()
}
