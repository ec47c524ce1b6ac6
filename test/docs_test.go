package test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains/subnet/node"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/approve"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the README's tables anew")

const readme = "../README.md"

// program builds the binary once and answers what its help says.
func program(t *testing.T) func(args ...string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "causeway")
	out, err := exec.Command("go", "build", "-o", bin, "../cmd/causeway").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return func(args ...string) string {
		cmd := exec.Command(bin, args...)
		cmd.Env = append(os.Environ(), "HOME=/home/you")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "causeway %v: %s", args, out)
		return string(out)
	}
}

var (
	subRE  = regexp.MustCompile(`(?m)^  (\w[\w-]*)\s{2,}(.+)$`)
	flagRE = regexp.MustCompile(`(?m)^\s+(?:-\w, )?--([\w-]+)(?: (\w+))?\s{2,}(.+)$`)
)

// commandTable lists every command with its own flags, from the program's help.
func commandTable(help func(args ...string) string) string {
	var b strings.Builder
	b.WriteString("| command | what it does | flags |\n|---|---|---|\n")
	var walk func(path []string)
	walk = func(path []string) {
		text := help(append(append([]string(nil), path...), "--help")...)
		head, rest, found := strings.Cut(text, "Available Commands:\n")
		if found {
			list, _, _ := strings.Cut(rest, "\n\n")
			for _, m := range subRE.FindAllStringSubmatch(list, -1) {
				if m[1] != "help" && m[1] != "completion" {
					walk(append(append([]string(nil), path...), m[1]))
				}
			}
			// One that also runs by itself takes flags there.
			if !strings.Contains(text, "\n  causeway "+strings.Join(path, " ")+" [flags]\n") {
				return
			}
		}
		own, _, _ := strings.Cut(text, "Global Flags:")
		var flags []string
		for _, m := range flagRE.FindAllStringSubmatch(own, -1) {
			if m[1] != "help" {
				flags = append(flags, "`--"+m[1]+"`")
			}
		}
		use := regexp.MustCompile(`(?m)^  causeway (.+?)(?: \[flags\])?$`).FindStringSubmatch(text)
		what, _, _ := strings.Cut(strings.TrimSpace(head), "\n")
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", strings.ReplaceAll(use[1], "|", "\\|"), what, strings.Join(flags, " "))
	}
	walk(nil)
	return b.String()
}

func globalFlags(help func(args ...string) string) string {
	_, rest, _ := strings.Cut(help("--help"), "Flags:\n")
	rest, _, _ = strings.Cut(rest, "\n\n")
	var b strings.Builder
	b.WriteString("| flag | meaning |\n|---|---|\n")
	for _, m := range flagRE.FindAllStringSubmatch(rest, -1) {
		if m[1] != "help" {
			fmt.Fprintf(&b, "| `--%s` | %s |\n", m[1], m[3])
		}
	}
	return b.String()
}

func metricTable(metrics []relayer.MetricDoc) string {
	var b strings.Builder
	b.WriteString("| metric | labels | meaning |\n|---|---|---|\n")
	for _, m := range metrics {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", m.Name, strings.Join(m.Labels, ", "), m.Help)
	}
	return b.String()
}

func reasonTable() string {
	var b strings.Builder
	b.WriteString("| reason | what happened | what to do |\n|---|---|---|\n")
	for _, r := range flow.Reasons() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.Reason, r.Meaning, r.Remedy)
	}
	return b.String()
}

func refusalTable() string {
	var b strings.Builder
	b.WriteString("| reason | why a proposal is not signed | passes by itself |\n|---|---|---|\n")
	for _, r := range approve.Reasons() {
		later := ""
		if r.Later {
			later = "yes"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.Reason, r.Meaning, later)
	}
	return b.String()
}

func routeTable() string {
	var b strings.Builder
	b.WriteString("| route | asset | from | to |\n|---|---|---|---|\n")
	for _, r := range tokens.Routes() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.Name, cmp.Or(r.Asset.Symbol, "none, a call"), r.From, r.To)
	}
	return b.String()
}

func alertList() string { return "`" + strings.Join(alerts.Names(), "`, `") + "`\n" }

// TestTheTablesOfTheReadmeAreWhatTheProgramSays compares every generated block
// of the README; `go test ./test -run Readme -update` writes them anew.
func TestTheTablesOfTheReadmeAreWhatTheProgramSays(t *testing.T) {
	help := program(t)
	raw, err := os.ReadFile(readme)
	require.NoError(t, err)
	text := string(raw)
	for name, want := range map[string]string{
		"commands": commandTable(help), "global-flags": globalFlags(help), "metrics": metricTable(relayer.Metrics()),
		"node-metrics":     metricTable(relayer.Described(func(r prometheus.Registerer) { require.NoError(t, node.RegisterMetrics(r)) })),
		"approver-metrics": metricTable(relayer.ApproverMetrics()), "refusals": refusalTable(),
		"reasons": reasonTable(), "routes": routeTable(), "alerts": alertList(),
	} {
		begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
		i, j := strings.Index(text, begin), strings.Index(text, end)
		require.True(t, i >= 0 && j > i, "README lacks the block %s", name)
		i += len(begin)
		if *update {
			text = text[:i] + want + text[j:]
			continue
		}
		require.Equal(t, want, text[i:j], "the table %s is old: go test ./test -run Readme -update", name)
	}
	if *update {
		require.NoError(t, os.WriteFile(readme, []byte(text), 0o644))
	}
}

// TestEveryReasonIsGivenSomewhere: a reason in the README that nothing assigns
// would be a promise that nobody keeps.
func TestEveryReasonIsGivenSomewhere(t *testing.T) {
	named := map[string]flow.Reason{} // by constant
	file, err := parser.ParseFile(token.NewFileSet(), "../relayer/flow/flow.go", nil, 0)
	require.NoError(t, err)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		lit, ok := spec.Values[0].(*ast.BasicLit)
		require.True(t, ok)
		text, err := strconv.Unquote(lit.Value)
		require.NoError(t, err)
		named[spec.Names[0].Name] = flow.Reason(text)
		return true
	})
	require.Len(t, named, len(flow.Reasons())+1, "each constant is documented, ReasonNone apart")

	given := map[flow.Reason]bool{}
	for _, room := range []string{"../relayer", "../store/lua"} {
		require.NoError(t, filepath.WalkDir(room, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || path == "../relayer/flow/flow.go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			raw, err := os.ReadFile(path)
			switch filepath.Ext(path) {
			case ".lua":
				for _, r := range flow.Reasons() {
					given[r.Reason] = given[r.Reason] || bytes.Contains(raw, []byte("'"+string(r.Reason)+"'"))
				}
			case ".go":
				for _, m := range regexp.MustCompile(`\bReason\w+`).FindAllString(string(raw), -1) {
					given[named[m]] = true
				}
			}
			return err
		}))
	}
	for _, r := range flow.Reasons() {
		require.True(t, given[r.Reason], "nothing gives the reason %s", r.Reason)
	}
}

// TestWhatABuildTagHidesIsRunByCI: a test behind a tag runs only where somebody
// asks for it.
func TestWhatABuildTagHidesIsRunByCI(t *testing.T) {
	ci, err := os.ReadFile("../.ci/test")
	require.NoError(t, err)
	hidden := 0
	require.NoError(t, filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		raw, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^//go:build (\w+)$`).FindAllStringSubmatch(string(raw), -1) {
			room := "./" + filepath.ToSlash(filepath.Dir(strings.TrimPrefix(path, "../")))
			for _, name := range regexp.MustCompile(`(?m)^func Test(\w+)`).FindAllStringSubmatch(string(raw), -1) {
				run := regexp.MustCompile(`(?m)^gotest .* -tags ` + m[1] + ` .*-run (\w+) ` + regexp.QuoteMeta(room) + `$`).FindSubmatch(ci)
				require.NotNil(t, run, ".ci/test does not run %s with -tags %s", room, m[1])
				require.Contains(t, name[1], string(run[1]), "of %s", path)
				hidden++
			}
		}
		return err
	}))
	require.Positive(t, hidden)
}

// TestCILintsWhatMakeLintDoes names the checks that are commands of others.
func TestCILintsWhatMakeLintDoes(t *testing.T) {
	ci, err := os.ReadFile("../.ci/test")
	require.NoError(t, err)
	text := string(ci)
	for check, command := range map[string]string{
		"'go format' formatted": "gofmt -l", "'go vet' go vet": "", "'staticcheck' staticcheck": `go run "$tool" ./...`,
		"'contracts: format'": "forge fmt --check", "'contracts: lint' forgelint": "forge lint",
		"'contracts: gas is as recorded'": "forge snapshot --check",
	} {
		require.Contains(t, text, "check "+check)
		require.Contains(t, text, command)
	}
	makefile, err := os.ReadFile("../Makefile")
	require.NoError(t, err)
	require.Regexp(t, `(?m)^STATICCHECK := \S+@v\d+\.\d+\.\d+$`, string(makefile), "pinned, and read by .ci/test")
}

// TestTheForgeOfCICanFail: what npm links into node_modules/.bin ends with 0
// whatever forge says.
func TestTheForgeOfCICanFail(t *testing.T) {
	for _, file := range []string{"../.ci/test", "../Makefile"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NotContains(t, string(text), "node_modules/.bin", file)
	}
	require.NoError(t, exec.Command("../contracts/bin/forge", "--version").Run())
	var exit *exec.ExitError
	require.ErrorAs(t, exec.Command("../contracts/bin/forge", "fmt", "--no-such-flag").Run(), &exit)
	require.NotZero(t, exit.ExitCode())
}

// TestTheReadmeBeginsWithTheTwoCommands and names only files that exist.
func TestTheReadmeBeginsWithTheTwoCommandsAndNamesWhatExists(t *testing.T) {
	raw, err := os.ReadFile(readme)
	require.NoError(t, err)
	head := string(raw[:min(len(raw), 600)])
	require.Less(t, strings.Index(head, "make demo"), strings.Index(head, "make test"))
	require.Contains(t, head, "make demo")

	for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(string(raw), -1) {
		_, err := os.Stat(filepath.Join("..", m[1]))
		require.NoError(t, err, "README links to %s", m[1])
	}
	make, err := os.ReadFile("../Makefile")
	require.NoError(t, err)
	for _, m := range regexp.MustCompile("`make (\\w+)").FindAllStringSubmatch(string(raw), -1) {
		require.True(t, bytes.Contains(make, []byte("\n"+m[1]+":")), "README names make %s", m[1])
	}
}

// TestEveryCommandInAReadmeBlockParses runs each `causeway …` line of the
// README's shell blocks with --help, so that a command or flag that is gone is
// noticed.
func TestEveryCommandInAReadmeBlockParses(t *testing.T) {
	help := program(t)
	raw, err := os.ReadFile(readme)
	require.NoError(t, err)
	lines := 0
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(raw), -1) {
		for line := range strings.Lines(block[1]) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
			line = strings.TrimSuffix(strings.TrimSpace(line), " &")
			rest, ok := strings.CutPrefix(line, "bin/causeway ")
			if !ok {
				continue
			}
			help(append(strings.Fields(rest), "--help")...)
			lines++
		}
	}
	require.Greater(t, lines, 5)
}

// TestTheExampleConfigurationIsRead strictly, and has nothing wrong in it.
func TestTheExampleConfigurationIsRead(t *testing.T) {
	cfg, err := relayer.Read("../cmd/causeway/dist/causeway.yaml")
	require.NoError(t, err)
	require.NoError(t, cfg.Check())
	require.Equal(t, "subnet", cfg.Subnets[0].Name)
	require.Equal(t, 50, cfg.Root.MaxCount)
	require.Equal(t, relayer.DefaultChain().MaxCount, cfg.Subnets[0].MaxCount)

	signer, err := relayer.ReadApprover("../cmd/causeway/dist/approver.yaml")
	require.NoError(t, err)
	require.NoError(t, signer.Check())
	require.Equal(t, "Ethereum", signer.Tokens[0].Home)

	crossing, err := home.ReadStanding("../cmd/causeway/dist/crossing.yaml")
	require.NoError(t, err)
	require.Equal(t, signer.Chains[1].Gateway, crossing.Root.Gateway.Address)
	require.Equal(t, signer.Chains[0].TokenService, crossing.Ethereum.TokenService.Address)
}
