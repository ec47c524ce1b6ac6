// Command gen turns artifacts/combined.json (made by build.js) into the Go
// package bindings: one file per contract, and types.go for the structs they
// share. Run it from the root of the repository:
//
//	node contracts/build.js && go run ./contracts/gen
//
// The output depends on the artifacts alone. A contract that is missing, or a
// struct that two contracts define differently, is an error and changes no file.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// contracts are the sources of the bindings, by Go name. Each is the key of an
// artifact: file and contract.
var contracts = map[string]string{
	"DevFlt":                "src/dev/DevFlt.sol:DevFlt",
	"DevGmp":                "src/dev/DevGmp.sol:DevGmp",
	"DevUsdc":               "src/dev/DevUsdc.sol:DevUsdc",
	"Executor":              "src/flt/Executor.sol:Executor",
	"FastWithdrawals":       "src/withdraw/FastWithdrawals.sol:FastWithdrawals",
	"FltHandler":            "src/flt/FltHandler.sol:FltHandler",
	"FltPortal":             "src/flt/FltPortal.sol:FltPortal",
	"FltSender":             "src/flt/FltSender.sol:FltSender",
	"Gateway":               "src/root/Gateway.sol:Gateway",
	"GmpPort":               "src/gmp/GmpPort.sol:GmpPort",
	"GmpRouter":             "src/gmp/GmpRouter.sol:GmpRouter",
	"GmpSubnetPort":         "src/gmp/GmpSubnetPort.sol:GmpSubnetPort",
	"IIpcHandler":           "src/interfaces/IIpcHandler.sol:IIpcHandler",
	"LinkedTokenController": "src/usdc/LinkedTokenController.sol:LinkedTokenController",
	"LinkedTokenReplica":    "src/usdc/LinkedTokenReplica.sol:LinkedTokenReplica",
	"SubnetActor":           "src/root/SubnetActor.sol:SubnetActor",
	"SubnetGateway":         "src/subnet/SubnetGateway.sol:SubnetGateway",
	"SubnetRegistry":        "src/root/SubnetRegistry.sol:SubnetRegistry",
	"WithdrawalOutbox":      "src/withdraw/WithdrawalOutbox.sol:WithdrawalOutbox",
}

// artifact is what build.js keeps of one contract.
type artifact struct {
	ABI json.RawMessage `json:"abi"`
	Bin string          `json:"bin"`
}

func main() {
	in := flag.String("in", "contracts/artifacts/combined.json", "artifacts of build.js")
	out := flag.String("out", "contracts/bindings", "folder of the generated package")
	flag.Parse()
	if err := run(*in, *out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(in, out string) error {
	artifacts, err := load(in)
	if err != nil {
		return err
	}
	files, err := generate(artifacts)
	if err != nil {
		return err
	}
	return write(out, files)
}

// load reads the artifacts of every contract in the table.
func load(path string) (map[string]artifact, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read artifacts (run build.js first): %w", err)
	}
	var combined struct {
		Contracts map[string]artifact `json:"contracts"`
	}
	if err := json.Unmarshal(raw, &combined); err != nil {
		return nil, fmt.Errorf("parse artifacts %s: %w", path, err)
	}
	found := make(map[string]artifact, len(contracts))
	var missing error
	for name, key := range contracts {
		a, ok := combined.Contracts[key]
		if !ok {
			missing = errors.Join(missing, fmt.Errorf("no artifact for %s", key))
			continue
		}
		found[name] = a
	}
	return found, missing
}

// write replaces the generated files in dir by files, and removes generated
// files of contracts that are gone.
func write(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make bindings folder: %w", err)
	}
	old, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return fmt.Errorf("list bindings: %w", err)
	}
	for _, path := range old {
		name := filepath.Base(path)
		if _, keep := files[name]; keep || strings.HasSuffix(name, "_test.go") {
			continue
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove stale binding: %w", err)
		}
	}
	for name, code := range files {
		if err := os.WriteFile(filepath.Join(dir, name), code, 0o644); err != nil {
			return fmt.Errorf("write binding: %w", err)
		}
	}
	return nil
}
