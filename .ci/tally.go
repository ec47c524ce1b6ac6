// Command tally reads the output of go test -json, prints one line per package
// and the whole output of what failed, and writes "passed failed skipped" to
// the file named by its argument. A package that fails without a failing test
// (it does not build, it panics, it runs out of time) counts as one failure.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

type event struct {
	Action, Package, Test, Output, ImportPath, FailedBuild string
	Elapsed                                                float64
}

type result struct {
	passed, failed, skipped int
	output                  map[string][]string // by test, "" for the package
	failedTests             []string
}

type tally struct {
	packages map[string]*result
	builds   map[string][]string // compiler output by import path
	total    result
}

func main() {
	t := tally{packages: map[string]*result{}, builds: map[string][]string{}}
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			t.line(line)
		}
		if err != nil {
			break
		}
	}
	counts := fmt.Sprintf("%d %d %d\n", t.total.passed, t.total.failed, t.total.skipped)
	if err := os.WriteFile(os.Args[1], []byte(counts), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(1)
	}
}

func (t *tally) line(raw []byte) {
	var e event
	if json.Unmarshal(raw, &e) != nil {
		os.Stdout.Write(raw) // not an event: show it as it is
		return
	}
	if e.Action == "build-output" {
		t.builds[e.ImportPath] = append(t.builds[e.ImportPath], e.Output)
		return
	}
	if e.Package == "" {
		return
	}
	r := t.packages[e.Package]
	if r == nil {
		r = &result{output: map[string][]string{}}
		t.packages[e.Package] = r
	}
	switch {
	case e.Action == "output":
		r.output[e.Test] = append(r.output[e.Test], e.Output)
	case e.Test != "":
		r.test(e)
	case e.Action == "pass" || e.Action == "fail" || e.Action == "skip":
		t.finish(e, r)
	}
}

func (r *result) test(e event) {
	switch e.Action {
	case "pass":
		r.passed++
		delete(r.output, e.Test)
	case "skip":
		r.skipped++
	case "fail":
		r.failed++
		r.failedTests = append(r.failedTests, e.Test)
	}
}

func (t *tally) finish(e event, r *result) {
	name := e.Package
	if e.Action == "fail" {
		for _, line := range t.builds[e.FailedBuild] {
			fmt.Print(line)
		}
		for _, test := range r.failedTests {
			fmt.Print(strings.Join(r.output[test], ""))
		}
		if r.failed == 0 {
			r.failed = 1
			for _, lines := range r.output {
				fmt.Print(strings.Join(lines, ""))
			}
		}
		fmt.Printf("FAIL  %-64s %7.1fs  %d passed, %d failed\n", name, e.Elapsed, r.passed, r.failed)
	} else if r.passed+r.skipped > 0 {
		note := ""
		if r.skipped > 0 {
			note = fmt.Sprintf(", %d skipped", r.skipped)
		}
		fmt.Printf("ok    %-64s %7.1fs  %d passed%s\n", name, e.Elapsed, r.passed, note)
	}
	t.total.passed += r.passed
	t.total.failed += r.failed
	t.total.skipped += r.skipped
	delete(t.packages, e.Package)
}
