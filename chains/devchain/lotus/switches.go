package lotus

// Switches are what a node may do wrong, and the limits that operators set.
// The zero value of a fault is honesty.
type Switches struct {
	// Lag shows the chain as it was that many epochs ago.
	Lag uint64 `json:"lag"`

	// MaxRange of epochs, MaxResults of logs in one eth_getLogs; 0 is no limit.
	MaxRange   uint64 `json:"max_range"`
	MaxResults int    `json:"max_results"`
	// Lookback of the head in epochs, as gateways have; 0 is no limit.
	Lookback uint64 `json:"lookback"`
	// Version as in Filecoin.Version and web3_clientVersion.
	Version string `json:"version"`
}

func defaultSwitches(Config) Switches {
	return Switches{MaxRange: 2880, MaxResults: 10_000, Version: "1.35.0"}
}

// Set changes the node's switches from now on.
func (n *Node) Set(change func(*Switches)) {
	n.mu.Lock()
	change(&n.set)
	n.mu.Unlock()
	n.follow()
}

// Switches are the node's switches now.
func (n *Node) Switches() Switches {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.set
}
