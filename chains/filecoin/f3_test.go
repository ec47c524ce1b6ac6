package filecoin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/causeway-bridge/causeway/chains/filecoin"
	"github.com/filecoin-project/go-f3/certs"
	"github.com/filecoin-project/go-f3/gpbft"
	"github.com/stretchr/testify/require"
)

const floor = 3

// certified is a world whose chain F3 certifies up to five epochs below the head.
func certified(t *testing.T) *world {
	w := newWorld(t, 0.1)
	w.root.SetF3(true)
	w.mine(40)
	return w
}

// tableOf is the CID of the committee of an instance.
func (w *world) tableOf(instance uint64) string {
	w.t.Helper()
	var raw json.RawMessage
	require.NoError(w.t, w.eth.Client().CallContext(w.t.Context(), &raw, "Filecoin.F3GetPowerTableByInstance", instance))
	var table gpbft.PowerEntries
	require.NoError(w.t, json.Unmarshal(raw, &table))
	id, err := certs.MakePowerTableCID(table)
	require.NoError(w.t, err)
	return id.String()
}

func (w *world) withF3(cfg *filecoin.Config) {
	cfg.F3, cfg.Floor = &filecoin.F3{Network: "devnet", PowerTable: w.tableOf(0), Rest: time.Nanosecond}, floor
}

// logged is a client with F3 and what it logs.
func (w *world) logged(change func(*filecoin.Config)) (*filecoin.Client, *bytes.Buffer) {
	w.t.Helper()
	cfg := w.config()
	w.withF3(&cfg)
	if change != nil {
		change(&cfg)
	}
	var out bytes.Buffer
	c, err := filecoin.Dial(w.t.Context(), cfg, slog.New(slog.NewTextHandler(&out, nil)))
	require.NoError(w.t, err)
	w.t.Cleanup(c.Close)
	return c, &out
}

func (w *world) head(c *filecoin.Client) chains.Block {
	w.t.Helper()
	head, err := c.Head(w.t.Context())
	require.NoError(w.t, err)
	return head
}

// byDepth is the final tipset where nothing makes one final sooner.
func (w *world) byDepth() chains.Block { w.t.Helper(); return w.head(w.dialed(nil)) }

const falls = "F3 certifies nothing that can be used"

func TestACertificateMakesATipsetFinalBeforeItsDepth(t *testing.T) {
	w := certified(t)
	c, log := w.logged(nil)
	for range 5 { // over changes of power
		require.Equal(t, w.root.Certified(), w.head(c).Number)
		require.Greater(t, w.root.Certified(), w.byDepth().Number)
		w.mine(7)
	}
	require.Empty(t, log.String())

	last, err := w.all(c)
	require.NoError(t, err)
	require.Empty(t, last)
}

func TestNoCertificateMakesATipsetFinalAboveTheFloor(t *testing.T) {
	w := certified(t)
	c, _ := w.logged(func(cfg *filecoin.Config) { cfg.Floor = depth - 1 })
	at, err := c.At(t.Context(), w.root.Head()-(depth-1))
	require.NoError(t, err)
	require.Equal(t, at, w.head(c))
	require.Less(t, at.Number, w.root.Certified())
	c, _ = w.logged(func(cfg *filecoin.Config) { cfg.Floor, cfg.Behind = 1, depth-1 })
	require.Equal(t, at, w.head(c), "nor above what is read at all")
}

func TestAStoppedF3TakesNothingBackAndStopsNothing(t *testing.T) {
	w := certified(t)
	c, log := w.logged(nil)
	known := w.head(c)
	w.root.SetF3(false)
	w.mine(2)
	require.Equal(t, known, w.head(c), "what is certified stays final")
	require.Empty(t, log.String())
	for range 3 {
		w.mine(2 * depth)
		require.Equal(t, w.byDepth(), w.head(c))
	}
	require.Equal(t, 1, strings.Count(log.String(), falls), log)
	require.Contains(t, log.String(), "no certificate is newer")

	// What was certified may lie too far back to be asked for.
	w.lie(func(s *lotus.Switches) { s.Lookback = depth + 5 })
	require.Equal(t, w.byDepth(), w.head(c))
	w.root.Node(0).Reset()
	w.root.SetF3(true)
	w.mine(10)
	require.Equal(t, w.root.Certified(), w.head(c).Number)
	require.Contains(t, log.String(), "F3 certifies again")
}

// Whatever is wrong with certificates, tipsets are final by depth; and by certificate
// again once they are good, where that can be.
func TestCertificatesThatAreNotGoodLeaveTheDepth(t *testing.T) {
	w := certified(t)
	lie := func(change func(*lotus.Switches)) func(*filecoin.Config) {
		return func(*filecoin.Config) { w.lie(change) }
	}
	edited := func(method string, edit func(string) string) func(*filecoin.Config) {
		url := w.liar("Filecoin."+method, edit)
		return func(cfg *filecoin.Config) { cfg.URL = url }
	}
	for what, c := range map[string]struct {
		break_ func(*filecoin.Config)
		why    string
		mends  bool
	}{
		"forged":             {lie(func(s *lotus.Switches) { s.F3Forge = true }), "signature", true},
		"equivocating":       {lie(func(s *lotus.Switches) { s.F3Equivocate = true }), "where the node has", true},
		"of another network": {func(cfg *filecoin.Config) { cfg.F3.Network = "filecoin" }, "signature", false},
		"another committee":  {func(cfg *filecoin.Config) { cfg.F3.PowerTable = w.tableOf(10) }, "trusted is", false},
		"of another instance": {edited("F3GetCertificate", func(r string) string {
			return strings.Replace(r, `"GPBFTInstance":3,`, `"GPBFTInstance":4,`, 1)
		}), "instance", false},
		"a gap":              {edited("F3GetCertificate", func(r string) string { return `null` }), "does not decode", false},
		"an empty committee": {edited("F3GetPowerTableByInstance", func(string) string { return `[]` }), "does not decode", false},
		"a committee of null": {edited("F3GetPowerTableByInstance", func(r string) string {
			return strings.ReplaceAll(r, `"Power":"`, `"Powe":"`)
		}), "does not decode", false},
		"no latest": {edited("F3GetLatestCertificate", func(string) string { return `{"GPBFTInstance":99}` }), "does not decode", false},
		"a huge instance": {edited("F3GetLatestCertificate", func(r string) string {
			at := strings.Index(r, `"GPBFTInstance":`) + len(`"GPBFTInstance":`)
			return r[:at] + "1844674407370955" + r[at:]
		}), "", false},
	} {
		t.Run(what, func(t *testing.T) {
			defer w.root.Node(0).Reset()
			client, log := w.logged(c.break_)
			for range 3 {
				require.Equal(t, w.byDepth(), w.head(client))
			}
			require.Equal(t, 1, strings.Count(log.String(), falls), log)
			require.Contains(t, log.String(), c.why)
			w.root.Node(0).Reset()
			if c.mends {
				require.Equal(t, w.root.Certified(), w.head(client).Number)
			}
		})
	}
}

// A node on a branch of its own has not what the committee signed.
func TestACertifiedTipsetThatTheNodeHasNotDoesNotCount(t *testing.T) {
	w := certified(t)
	require.NoError(t, w.root.Node(0).Fork(t.Context(), depth+2))
	c, log := w.logged(nil)
	require.Equal(t, w.byDepth(), w.head(c))
	require.Contains(t, log.String(), "where the node has")

	// One that leaves what was final by certificate has changed its chain.
	w.root.Node(0).Reset()
	w.mine(10)
	final := w.head(c)
	require.Equal(t, w.root.Certified(), final.Number)
	require.NoError(t, w.root.Node(0).Fork(t.Context(), depth-1))
	_, err := c.Head(t.Context())
	require.ErrorIs(t, err, chains.ErrReorg)
}

// A node may have certificates of what it has not come to yet.
func TestACertificateOfWhatIsYetToComeWaits(t *testing.T) {
	w := certified(t)
	var head json.RawMessage
	require.NoError(t, w.eth.Client().CallContext(t.Context(), &head, "Filecoin.ChainHead"))
	at := w.root.Head()
	w.mine(12)
	url := w.liar("Filecoin.ChainHead", func(string) string { return string(head) })
	c, log := w.logged(func(cfg *filecoin.Config) { cfg.URL = url })
	before, err := c.At(t.Context(), at-floor)
	require.NoError(t, err)
	require.Equal(t, before, w.head(c))
	require.Empty(t, log.String())
}

func TestCertificatesAreCaughtUpWithInPartsAndFromAnyInstance(t *testing.T) {
	w := certified(t)
	w.mine(150)
	c, _ := w.logged(nil)
	require.Equal(t, w.byDepth(), w.head(c), "so many are not read at once")
	w.head(c)
	require.Equal(t, w.root.Certified(), w.head(c).Number)
	late, _ := w.logged(func(cfg *filecoin.Config) { cfg.F3.First, cfg.F3.PowerTable = 117, w.tableOf(117) })
	require.Equal(t, w.root.Certified(), w.head(late).Number)
}

// F3 may answer nothing, or nonsense, and the head is told nevertheless.
func TestAnF3ThatDoesNotAnswerStopsNothing(t *testing.T) {
	w := certified(t)
	for _, body := range lotus.Bodies() {
		if body == lotus.BodyHonest || body == lotus.BodySlow {
			continue
		}
		for _, method := range []string{"F3GetLatestCertificate", "F3GetCertificate", "F3GetPowerTableByInstance"} {
			if body == lotus.BodyHang && method != "F3GetLatestCertificate" {
				continue
			}
			t.Run(string(body)+"/"+method, func(t *testing.T) {
				defer w.root.Node(0).Reset()
				w.lie(func(s *lotus.Switches) { s.Body, s.BodyFor = body, "Filecoin."+method })
				c, _ := w.logged(func(cfg *filecoin.Config) { cfg.MaxBytes = 1 << 20 })
				require.Contains(t, []uint64{w.byDepth().Number, w.root.Certified()}, w.head(c).Number) // in a batch the fault did not reach it
			})
		}
	}
}

func TestWhatIsConfiguredOfF3IsChecked(t *testing.T) {
	w := certified(t)
	for _, bad := range []func(*filecoin.Config){
		func(c *filecoin.Config) { c.F3.Network = "" },
		func(c *filecoin.Config) { c.F3.PowerTable = "bafy" },
		func(c *filecoin.Config) { c.Floor = 0 },
		func(c *filecoin.Config) { c.Floor = depth + 1 },
		func(c *filecoin.Config) { c.F3, c.TrustFinalized, c.Floor = nil, true, 0 },
	} {
		cfg := w.config()
		w.withF3(&cfg)
		bad(&cfg)
		require.Error(t, cfg.Check())
		_, err := filecoin.Dial(context.WithoutCancel(t.Context()), cfg, nil)
		require.Error(t, err)
	}
}

// The node's own word counts where its version knows of finality, down to the floor.
func TestTheNodesFinalizedCountsByItsVersion(t *testing.T) {
	w := certified(t)
	zero := uint64(0)
	trusting := func(cfg *filecoin.Config) { cfg.TrustFinalized, cfg.Floor = true, floor }
	for version, trusted := range map[string]bool{
		"1.33.1": false, "1.34.0-rc1": false, "1.34.0": true, "1.35.0+mainnet+git.1a2b3c4": true, "v1.36.2-dev": true, "1.35": false, "": false, "1.99.x": false,
	} {
		w.root.Node(0).Reset()
		w.lie(func(s *lotus.Switches) { s.Version = version })
		c := w.dialed(trusting)
		want := w.byDepth().Number
		if trusted {
			want = w.root.Certified()
		}
		require.Equal(t, want, w.head(c).Number, version)

		// One that calls its head final is believed down to the floor.
		w.lie(func(s *lotus.Switches) { s.Finalized = &zero })
		if trusted {
			at, err := c.At(t.Context(), w.root.Head()-floor)
			require.NoError(t, err)
			want = at.Number
		}
		require.Equal(t, want, w.head(c).Number, version)
	}
}

func TestANodeWhoseFinalizedIsNoTipsetOfItsChainIsNotBelieved(t *testing.T) {
	w := certified(t)
	require.NoError(t, w.root.Node(1).Fork(t.Context(), depth-1))
	var raw json.RawMessage
	require.NoError(t, w.eth.Client().CallContext(t.Context(), &raw, "Filecoin.ChainGetTipSetByHeight", w.root.Head()-4, nil))
	for _, said := range []string{string(raw), `null`, `{}`} {
		url := w.liar("Filecoin.ChainGetFinalizedTipSet", func(string) string { return said })
		c := w.dialed(func(cfg *filecoin.Config) { cfg.URL, cfg.TrustFinalized, cfg.Floor = url, true, floor })
		require.Equal(t, w.byDepth(), w.head(c))
	}
}
