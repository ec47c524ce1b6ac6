package node

import (
	"fmt"
	"sync"

	"github.com/causeway-bridge/causeway/chains/ipc"
)

// setCache knows the validator set of every configuration consensus was ever
// switched to. Sets never change once derived.
type setCache struct {
	store *store
	mu    sync.Mutex
	known map[uint64]setEntry
}

type setEntry struct {
	set    ipc.ValidatorSet
	voters voters
}

func newSetCache(s *store, g Genesis) (*setCache, error) {
	set := g.ValidatorSet()
	v, err := newVoters(set)
	if err != nil {
		return nil, err
	}
	return &setCache{store: s, known: map[uint64]setEntry{0: {set, v}}}, nil
}

// set is the set of a configuration, in root units and in power.
func (c *setCache) set(config uint64) (ipc.ValidatorSet, error) {
	e, err := c.entry(config)
	return e.set, err
}

// voters is the same set by CometBFT address.
func (c *setCache) voters(config uint64) (voters, error) {
	e, err := c.entry(config)
	return e.voters, err
}

func (c *setCache) entry(config uint64) (setEntry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.known[config]; ok {
		return e, nil
	}
	set, ok, err := load[ipc.ValidatorSet](c.store, numKey(keySet, config))
	if err != nil {
		return setEntry{}, err
	}
	if !ok {
		return setEntry{}, fmt.Errorf("validator set of configuration %d is unknown", config)
	}
	v, err := newVoters(*set)
	if err != nil {
		return setEntry{}, err
	}
	c.known[config] = setEntry{*set, v}
	return c.known[config], nil
}

// put records a newly derived set with the block's other writes.
func (c *setCache) put(config uint64, set ipc.ValidatorSet, d *draft) error {
	v, err := newVoters(set)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known[config] = setEntry{set, v}
	d.put(numKey(keySet, config), set)
	return nil
}
