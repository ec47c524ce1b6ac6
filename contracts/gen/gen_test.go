package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	pairABI = `[{"type":"function","name":"read","stateMutability":"view","inputs":[],"outputs":[
		{"name":"","type":"bool","internalType":"bool"},
		{"name":"","type":"tuple","internalType":"struct Pair","components":[
			{"name":"a","type":"uint256","internalType":"uint256"},
			{"name":"b","type":"address","internalType":"address"}]}]},
		{"type":"error","name":"Nope","inputs":[]}]`
	otherPairABI = `[{"type":"function","name":"take","stateMutability":"view","outputs":[],"inputs":[
		{"name":"p","type":"tuple","internalType":"struct Pair","components":[
			{"name":"a","type":"uint64","internalType":"uint64"}]}]}]`
)

func TestSharedStructsAreDeclaredOnceAndOutputsCarryTheirContract(t *testing.T) {
	files, err := generate(map[string]artifact{
		"One": {ABI: []byte(pairABI), Bin: "00"},
		"Two": {ABI: []byte(pairABI), Bin: "01"},
	})
	require.NoError(t, err)
	require.Len(t, files, 3)
	require.Equal(t, 1, strings.Count(string(files["types.go"]), "type Pair struct"))
	require.NotContains(t, string(files["one.go"]), "type Pair struct")
	require.Contains(t, string(files["one.go"]), "type OneReadOutput struct")
	require.Contains(t, string(files["two.go"]), "type TwoReadOutput struct")
	for name, code := range files {
		require.Contains(t, string(code), "DO NOT EDIT", name)
	}
}

func TestTheSameArtifactsGiveTheSameFiles(t *testing.T) {
	in := map[string]artifact{"One": {ABI: []byte(pairABI), Bin: "00"}, "Two": {ABI: []byte(pairABI), Bin: "01"}}
	first, err := generate(in)
	require.NoError(t, err)
	for range 5 {
		again, err := generate(in)
		require.NoError(t, err)
		require.Equal(t, first, again)
	}
}

func TestStructsThatDifferAreAnError(t *testing.T) {
	_, err := generate(map[string]artifact{
		"One": {ABI: []byte(pairABI)},
		"Two": {ABI: []byte(otherPairABI)},
	})
	require.ErrorContains(t, err, "struct Pair of Two differs")
}

func TestShortRevertDataIsAnErrorNotAPanic(t *testing.T) {
	files, err := generate(map[string]artifact{"One": {ABI: []byte(pairABI)}})
	require.NoError(t, err)
	require.Contains(t, string(files["one.go"]), "if len(raw) < 4 {")
}

func TestMissingArtifactsAreNamedAndChangeNoFile(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "combined.json")
	out := filepath.Join(dir, "bindings")
	require.ErrorContains(t, run(in, out), "run build.js first")

	require.NoError(t, os.WriteFile(in, []byte(`{"contracts":{}}`), 0o600))
	err := run(in, out)
	for _, key := range contracts {
		require.ErrorContains(t, err, "no artifact for "+key)
	}
	require.NoDirExists(t, out)

	require.NoError(t, os.WriteFile(in, []byte(`{`), 0o600))
	require.ErrorContains(t, run(in, out), "parse artifacts")
}

func TestStaleBindingsAreRemovedAndTestsStay(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"old.go", "kept_test.go"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("package bindings\n"), 0o600))
	}
	require.NoError(t, write(dir, map[string][]byte{"one.go": []byte("package bindings\n")}))
	require.NoFileExists(t, filepath.Join(dir, "old.go"))
	require.FileExists(t, filepath.Join(dir, "kept_test.go"))
	require.FileExists(t, filepath.Join(dir, "one.go"))
}
