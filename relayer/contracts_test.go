package relayer

import (
	"testing"

	"github.com/causeway-bridge/causeway/chains/subnet"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

func TestWhatTheContractsSayCompletesADescriptionOrRefusesIt(t *testing.T) {
	token := common.Address{0xf1}
	own := subnet.Capabilities{Ordered: true, Weights: true, Explicit: true, Configures: true, ExitFee: true, Period: 10, Supply: token}
	theirs := subnet.Capabilities{Bundles: true, Batches: true, Period: 10, Supply: token}
	full := flow.Subnet{Name: "s", Period: 10, FLT: token, FastWithdrawals: common.Address{1}, Outbox: common.Address{2}, Controller: common.Address{3}}
	with := func(s flow.Subnet, f func(*flow.Subnet)) flow.Subnet { f(&s); return s }
	able := func(c subnet.Capabilities, f func(*subnet.Capabilities)) subnet.Capabilities { f(&c); return c }
	for name, c := range map[string]struct {
		sub       flow.Subnet
		caps      subnet.Capabilities
		published bool
		complaint string
	}{
		"our own, as deployed":            {full, own, false, ""},
		"published, by addresses":         {flow.Subnet{Name: "s"}, theirs, true, ""},
		"published, with a linked pair":   {flow.Subnet{Name: "s", Controller: common.Address{3}}, theirs, true, ""},
		"our own, by addresses":           {flow.Subnet{Name: "s"}, own, false, "use the file that `causeway deploy` wrote"},
		"a side of each":                  {full, able(own, func(c *subnet.Capabilities) { c.Explicit = false }), false, "one side"},
		"the other side of each":          {full, able(own, func(c *subnet.Capabilities) { c.Ordered = false }), false, "one side"},
		"another period":                  {with(full, func(s *flow.Subnet) { s.Period = 20 }), own, false, "checkpoint every 20"},
		"another token":                   {with(full, func(s *flow.Subnet) { s.FLT = common.Address{9} }), own, false, "stands for"},
		"a gateway that keeps no bundles": {flow.Subnet{Name: "s"}, able(theirs, func(c *subnet.Capabilities) { c.Bundles = false }), true, "keeps neither"},
		"a gateway that keeps no batches": {flow.Subnet{Name: "s"}, able(theirs, func(c *subnet.Capabilities) { c.Batches = false }), true, "keeps neither"},
	} {
		t.Run(name, func(t *testing.T) {
			sub := c.sub
			err := complete(&sub, c.caps)
			if c.complaint != "" {
				require.ErrorIs(t, err, ErrConfig)
				require.ErrorContains(t, err, c.complaint)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.published, sub.Traits.Published())
			require.Equal(t, uint64(10), sub.Period)
			require.Equal(t, token, sub.FLT)
		})
	}
}

func TestAPublishedSubnetHasFlowsForWhatItHas(t *testing.T) {
	names := func(sub flow.Subnet) (out []string) {
		l := &link{sub: sub, toRoot: noSender{}, toChild: noSender{}}
		for _, f := range l.flows() {
			require.NoError(t, f.Check())
			out = append(out, f.Name)
		}
		return out
	}
	sub := flow.Subnet{Name: "s", Period: 10, Traits: flow.Traits{Implicit: true, Burning: true}}
	require.Equal(t, []string{"topdown", "checkpoint", "flt_deposit", "flt_withdraw"}, names(sub))
	sub.Controller = common.Address{3}
	require.Equal(t, []string{"topdown", "checkpoint", "flt_deposit", "flt_withdraw", "usdc_deposit", "usdc_withdraw"}, names(sub))
	sub.Traits = flow.Traits{}
	require.Equal(t, []string{"topdown", "power", "checkpoint", "usdc_deposit", "flt_deposit", "usdc_withdraw", "flt_withdraw"}, names(sub))
}
