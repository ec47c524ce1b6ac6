package relayer

import (
	"fmt"
	"slices"

	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/approve"
	"github.com/causeway-bridge/causeway/tokens"
)

// Lanes names every lane that transfers of a configuration's subnets can be in,
// whether or not any is in it now.
func Lanes(cfg Config) ([]string, error) {
	var out []string
	for _, s := range cfg.Subnets {
		d, err := deploy.ReadDeployment(s.Deployment)
		if err != nil {
			return nil, fmt.Errorf("%w: subnet %s: %w", ErrConfig, s.Name, err)
		}
		sub, err := Describe(s.Name, d)
		if err != nil {
			return nil, err
		}
		l := &link{sub: sub, limits: s.Chain, up: cfg.Root, toRoot: noSender{}, toChild: noSender{}}
		if d.Crossing != nil {
			l.cross = &crossLink{l1: &mainnet{sender: noSender{}}, in: &approve.Quorum{}, out: &approve.Quorum{}}
		}
		for _, f := range l.flows() {
			for _, step := range f.Steps {
				if name := step.Lane(tokens.Transfer{}).Name; !slices.Contains(out, name) {
					out = append(out, name)
				}
			}
		}
	}
	return out, nil
}
