// Package test holds what needs two packages to check.
package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/causeway-bridge/causeway/"

// layers gives each package its height. A package imports only from below; a
// package that is not in the table fails the test.
var layers = map[string]int{
	"alerts/log": 0,

	"chains":             1,
	"chains/crash":       1,
	"chains/ipc":         1,
	"contracts/bindings": 1,
	"contracts/gen":      1,
	"alerts":             1,
	"relayer/api/client": 1,

	"alerts/webhook":   2,
	"chains/axelar":    2,
	"chains/evm":       2,
	"contracts/deploy": 2,
	"tokens":           2,

	"chains/agree":          3,
	"chains/axelar/gmpapi":  3,
	"chains/devchain":       3,
	"chains/devchain/lotus": 4,
	"chains/ethereum":       3,
	"chains/filecoin":       3,
	"chains/subnet":         3,
	"chains/subnet/node":    3,
	"store":                 3,
	"store/volatile":        3,
	"store/storetest":       4,

	"relayer/flow": 4,

	"relayer/api":     5,
	"relayer/approve": 5,
	"relayer/audit":   5,
	"relayer/network": 5,
	"relayer/verify":  5,
	"relayer/watch":   5,
	"relayer/work":    5,

	"relayer": 6,

	"cmd/causeway/home":   7,
	"cmd/causeway/wallet": 7,
	"cmd/causeway/devnet": 8,
	"cmd/causeway":        9,
}

// families are the packages that speak to a chain.
var families = []string{"chains/evm", "chains/ethereum", "chains/filecoin", "chains/subnet", "chains/devchain"}

// never lists what the numbers allow and we do not: from a prefix, to a
// prefix.
var never = []struct{ from, to string }{
	{"relayer/flow", "store"},
	{"relayer", "chains/subnet/node"},
	{"chains", "contracts/deploy"},
	{"store", "contracts"},
	// Lotus makes a build slow: it is for those who must.
	{"relayer", "chains/filecoin"},
	{"relayer", "chains/devchain/lotus"},
	{"store", "chains/filecoin"},
	{"store", "chains/devchain/lotus"},
}

// owned lists outside modules that only some rooms may use.
var owned = map[string][]string{
	"github.com/redis/go-redis":     {"store"},
	"github.com/alicebob/miniredis": {"store/volatile"},
	"github.com/filecoin-project":   {"chains/filecoin", "chains/devchain/lotus", "cmd/causeway"},
	"github.com/consensys":          {"chains/filecoin", "chains/devchain/lotus", "cmd/causeway"},
	"github.com/cometbft/cometbft":  {"chains/subnet/node"},
}

type pkg struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func within(name, room string) bool { return name == room || strings.HasPrefix(name, room+"/") }

// complaints lists what is wrong with the imports of p.
func complaints(p pkg) (out []string) {
	say := func(parts ...string) { out = append(out, strings.Join(parts, " ")) }
	from := strings.TrimPrefix(p.ImportPath, module)
	if within(from, "test") {
		return nil
	}
	height, ok := layers[from]
	if !ok {
		say(from, "has no layer: put it into the table")
	}
	for _, imp := range p.Imports {
		for mod, rooms := range owned {
			if within(imp, mod) && !slices.ContainsFunc(rooms, func(r string) bool { return within(from, r) }) {
				say(from, "imports", imp, "which belongs to", strings.Join(rooms, ", "))
			}
		}
		to, ours := strings.CutPrefix(imp, module)
		if !ours {
			continue
		}
		if within(to, "test") {
			say(from, "imports", to, "outside a test")
			continue
		}
		if to == "store/storetest" {
			say(from, "imports the store's test suite outside a test")
		}
		if to == "store/volatile" && from != "cmd/causeway" {
			say(from, "imports the Redis that forgets, which is a devnet's")
		}
		if layers[to] >= height {
			say(from, "imports", to, "which is not below it")
		}
		if slices.Contains(families, to) && (within(from, "relayer/flow") || within(from, "store")) {
			say(from, "imports the chain family", to)
		}
		for _, n := range never {
			if within(from, n.from) && within(to, n.to) && !within(from, n.to) {
				say(from, "must never import", to)
			}
		}
	}
	return out
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = ".."
	raw, err := cmd.Output()
	require.NoError(t, err)
	var out []pkg
	for dec := json.NewDecoder(bytes.NewReader(raw)); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err)
		out = append(out, p)
	}
}

func TestAPackageImportsOnlyFromBelow(t *testing.T) {
	all := packages(t)
	require.Greater(t, len(all), 20)
	for _, p := range all {
		for _, c := range complaints(p) {
			t.Error(c)
		}
	}
}

func TestTheLayersTestCanFail(t *testing.T) {
	for _, wrong := range []pkg{
		{ImportPath: module + "relayer/flow", Imports: []string{module + "store"}},
		{ImportPath: module + "relayer/flow", Imports: []string{module + "chains/evm"}},
		{ImportPath: module + "store", Imports: []string{module + "chains/evm"}},
		{ImportPath: module + "relayer", Imports: []string{module + "chains/subnet/node"}},
		{ImportPath: module + "relayer/api", Imports: []string{module + "relayer/work"}},
		{ImportPath: module + "relayer/api", Imports: []string{"github.com/redis/go-redis/v9"}},
		{ImportPath: module + "chains/evm", Imports: []string{module + "test/fake"}},
		{ImportPath: module + "relayer/api", Imports: []string{module + "store/storetest"}},
		{ImportPath: module + "relayer", Imports: []string{module + "store/volatile"}},
		{ImportPath: module + "store/storetest", Imports: []string{module + "store/volatile"}},
		{ImportPath: module + "store", Imports: []string{"github.com/alicebob/miniredis/v2"}},
		{ImportPath: module + "chains/evm", Imports: []string{"github.com/filecoin-project/lotus/api"}},
		{ImportPath: module + "relayer", Imports: []string{module + "chains/filecoin"}},
		{ImportPath: module + "nowhere"},
	} {
		require.NotEmpty(t, complaints(wrong), "%s importing %v passes", wrong.ImportPath, wrong.Imports)
	}
}
