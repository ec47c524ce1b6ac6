package home

import (
	"time"

	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/tokens"
)

// SignerConfig is the configuration of one of this home's approvers, from 1.
func (d Dir) SignerConfig(n int) string { return d.path(SignerName(n) + ".yaml") }

// SignerEndpoints are those that an approver reads both chains through.
type SignerEndpoints struct {
	L1, Root string
	RootAlso []string       // further ones of the root
	Lotus    *relayer.Lotus // the root's are Lotus nodes
}

// WriteSigner writes the configuration of an approver. What several endpoints of the
// root must agree on needs no proof by headers, and those of a Filecoin prove nothing.
func (d Dir) WriteSigner(n int, dep deploy.Deployment, redis relayer.Redis, at SignerEndpoints) error {
	x := dep.Crossing
	c := relayer.DefaultApprover()
	name := SignerName(n)
	c.State, c.Redis, c.Admin, c.SingleSource = name, redis, "127.0.0.1:0", true
	c.Signer = relayer.Account{Keystore: "keys/" + name + ".json", PasswordFile: "keys/" + name + ".password"}
	c.Tick, c.Hub = relayer.Duration(250*time.Millisecond), x.L1.Hub
	chain := func(set deploy.AxelarSet, url string) relayer.ApproverChain {
		return relayer.ApproverChain{
			Name: set.Chain, URL: url, ChainID: set.ChainID, StartBlock: set.StartBlock, Gateway: set.Gateway, TokenService: set.Service,
			Finality: "finalized", Tick: relayer.Duration(250 * time.Millisecond), MaxRange: relayer.DefaultChain().MaxRange,
		}
	}
	root := chain(x.Root, at.Root)
	if root.Also = at.RootAlso; len(root.Also) > 0 {
		root.Proofs = relayer.ProofsEndpoints
	}
	if at.Lotus != nil {
		root.Lotus = &relayer.Lotus{Depth: at.Lotus.Depth, Behind: at.Lotus.Behind} // floors are the relayer's
		root.Finality, root.Proofs = "", relayer.ProofsEndpoints
	}
	c.Chains = []relayer.ApproverChain{chain(x.L1, at.L1), root}
	c.Tokens = []relayer.ApproverToken{{ID: x.TokenID, Home: x.L1.Chain, Decimals: tokens.FLT.Decimals}}
	if x.HasGmp() {
		c.Direct = []relayer.ApproverDirect{
			{From: x.L1.Chain, Sender: x.GmpPort, To: x.Root.Chain, Contract: x.GmpRouter},
			{From: x.Root.Chain, Sender: x.GmpRouter, To: x.L1.Chain, Contract: x.GmpPort},
		}
	}
	for _, s := range x.Signers {
		c.SignerSets = append(c.SignerSets, signerSet(s))
	}
	return WriteYAML(d.SignerConfig(n), c)
}

func signerSet(s deploy.SignerSet) relayer.SignerSet {
	out := relayer.SignerSet{Threshold: s.Threshold, Nonce: s.Nonce}
	for _, w := range s.Signers {
		out.Signers = append(out.Signers, relayer.SetMember(w))
	}
	return out
}
