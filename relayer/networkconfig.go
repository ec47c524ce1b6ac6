package relayer

import (
	"errors"
	"fmt"
	"time"

	"github.com/causeway-bridge/causeway/chains/axelar/gmpapi"
)

// ApprovalsNetwork is Axelar itself.
const ApprovalsNetwork = "network"

// Network is what there is to say where Axelar approves.
type Network struct {
	// Patience is how long a message may wait for its approval before a person is
	// told.
	Patience Duration `yaml:"patience"`
	// Chains are those of the two ends about which there is more to say.
	Chains []NetworkChain `yaml:"chains"`
}

// NetworkChain is one end of a crossing: Ethereum or a root.
type NetworkChain struct {
	Name  string `yaml:"name"` // at Axelar, exactly
	GMP   *GMP   `yaml:"gmp,omitempty"`
	TopUp *TopUp `yaml:"top_up,omitempty"`
}

// GMP is the Amplifier GMP API as one chain is served there. Chains that Axelar's
// own validators serve are not.
type GMP struct {
	URL     string `yaml:"url"`
	URLFile string `yaml:"url_file"`
	Cert    string `yaml:"cert"` // the client certificate that Axelar issued for the chain, PEM
	Key     string `yaml:"key"`
	CA      string `yaml:"ca"` // authorities that the service is checked against; "": the system's
}

// TopUp says what is added to what was paid for the delivery of a message that
// began on the chain and waits too long. One instance of several has it.
type TopUp struct {
	After    Duration `yaml:"after"`
	Wei      Wei      `yaml:"wei"`       // once per message
	DailyWei Wei      `yaml:"daily_wei"` // within 24 hours at most
}

// leastTopUp is the shortest time after which a payment that no block shows may be
// made again: longer than any chain takes until a transaction is final.
const leastTopUp = 10 * time.Minute

func (c *NetworkChain) resolve(abs func(*string)) {
	if c.GMP == nil {
		return
	}
	for _, p := range []*string{&c.GMP.URLFile, &c.GMP.Cert, &c.GMP.Key, &c.GMP.CA} {
		abs(p)
	}
}

// client is how the API is asked; a URL file is read once.
func (g GMP) client(chain string) (gmpapi.Config, error) {
	url, err := secretOf(g.URL, g.URLFile)
	cfg := gmpapi.Default()
	cfg.URL, cfg.Chain, cfg.Cert, cfg.Key, cfg.CA = url, chain, g.Cert, g.Key, g.CA
	return cfg, err
}

func (a Axelar) checkNetwork(bad func(string, ...any)) {
	if a.Foreign {
		bad("axelar.foreign: what others send is carried by Axelar's own relayers where approvals are the network's; say false")
	}
	if a.Network.Patience <= 0 {
		bad("axelar.network.patience: a positive duration")
	}
	seen := map[string]bool{}
	for i, c := range a.Network.Chains {
		at := fmt.Sprintf("axelar.network.chains[%d]", i)
		if c.Name == "" || seen[c.Name] {
			bad("%s.name: the chain's name at Axelar, each once", at)
		}
		seen[c.Name] = true
		if c.GMP != nil {
			c.GMP.check(at+".gmp", c.Name, bad)
		}
		if c.TopUp != nil {
			c.TopUp.check(at+".top_up", bad)
		}
	}
}

func (g GMP) check(at, chain string, bad func(string, ...any)) {
	if (g.URL == "") == (g.URLFile == "") {
		bad("%s: give either url or url_file", at)
		return
	}
	if g.URL == "" {
		return // looked at when it is read
	}
	cfg, err := g.client(chain)
	if err = errors.Join(err, cfg.Check()); err != nil {
		bad("%s: %w", at, err)
	}
}

func (t TopUp) check(at string, bad func(string, ...any)) {
	if time.Duration(t.After) < leastTopUp {
		bad("%s.after: at least %s", at, leastTopUp)
	}
	if t.Wei.Int == nil || t.Wei.Sign() <= 0 || t.DailyWei.Int == nil || t.DailyWei.Cmp(t.Wei.Int) < 0 {
		bad("%s: wei positive, and daily_wei at least as much", at)
	}
}
