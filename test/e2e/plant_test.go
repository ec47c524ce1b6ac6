package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/causeway-bridge/causeway/cmd/causeway/devnet"
	"github.com/stretchr/testify/require"
)

// TestOneUnitOfErrorIsFoundToTheUnit plants one unit minted, one released
// without a message and one message missing from those in flight. The report
// must name the exact drift of that token and nothing else of money, and the
// program must fail.
func TestOneUnitOfErrorIsFoundToTheUnit(t *testing.T) {
	for _, c := range []struct{ plant, token, drift string }{
		{"mint", "USDC", "-1"},
		{"release", "FLT", "-1"},
		{"message", "USDC", "7"},
	} {
		t.Run(c.plant, func(t *testing.T) {
			t.Parallel()
			report := filepath.Join(t.TempDir(), "report.json")
			cmd := exec.CommandContext(t.Context(), binary, "devnet", "--once", "--axelar", "none", "--plant", c.plant, "--home", t.TempDir(), "--report", report)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit, "%s", out)
			require.Equal(t, 1, exit.ExitCode(), "%s", out)

			raw, err := os.ReadFile(report)
			require.NoError(t, err, "%s", out)
			var r devnet.Report
			require.NoError(t, json.Unmarshal(raw, &r))
			require.False(t, r.OK)
			require.Regexp(t, `^redis-server [7-9]\.`, r.Redis)
			seen := map[string]string{}
			terms := map[string]map[string]string{}
			for _, i := range r.Invariants {
				if i.ID == "I1" {
					seen[i.Token], terms[i.Token] = i.Drift, i.Terms
				}
			}
			// The tour pulled both credits, and the report is read after that.
			require.Equal(t, "0", terms["USDC"]["reserves_unpaid"], "%s", raw)
			require.Equal(t, "0", terms["FLT"]["payouts_liabilities"], "%s", raw)
			require.Equal(t, "0", terms["FLT"]["payouts_balance"], "%s", raw)
			want := map[string]string{"USDC": "0", "FLT": "0"}
			want[c.token] = c.drift
			require.Equal(t, want, seen, "%s", raw)
		})
	}
}
