package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
)

// Artifacts is the compiled form of the published Axelar contracts, as the npm
// packages of contracts/package.json carry it: the folder
// node_modules/@axelar-network. They are read when they are deployed and are no
// part of this program.
type Artifacts struct{ folder string }

// ErrNoArtifacts says that the folder lacks the published contracts.
var ErrNoArtifacts = errors.New("the Axelar contracts are not installed")

// The published contracts, by their file below the folder.
const (
	artCreate3       = "axelar-gmp-sdk-solidity/artifacts/contracts/deploy/Create3Deployer.sol/Create3Deployer.json"
	artAmplifier     = "axelar-gmp-sdk-solidity/artifacts/contracts/gateway/AxelarAmplifierGateway.sol/AxelarAmplifierGateway.json"
	artAmplifierFace = "axelar-gmp-sdk-solidity/artifacts/contracts/gateway/AxelarAmplifierGatewayProxy.sol/AxelarAmplifierGatewayProxy.json"
	artAuth          = "axelar-cgp-solidity/artifacts/contracts/auth/AxelarAuthWeighted.sol/AxelarAuthWeighted.json"
	artTokenDeployer = "axelar-cgp-solidity/artifacts/contracts/TokenDeployer.sol/TokenDeployer.json"
	artLegacy        = "axelar-cgp-solidity/artifacts/contracts/AxelarGateway.sol/AxelarGateway.json"
	artLegacyFace    = "axelar-cgp-solidity/artifacts/contracts/AxelarGatewayProxy.sol/AxelarGatewayProxy.json"
	artGas           = "axelar-cgp-solidity/artifacts/contracts/gas-service/AxelarGasService.sol/AxelarGasService.json"
	artGasFace       = "axelar-cgp-solidity/artifacts/contracts/gas-service/AxelarGasServiceProxy.sol/AxelarGasServiceProxy.json"
	artService       = "interchain-token-service/artifacts/contracts/InterchainTokenService.sol/InterchainTokenService.json"
	artFactory       = "interchain-token-service/artifacts/contracts/InterchainTokenFactory.sol/InterchainTokenFactory.json"
	artHandler       = "interchain-token-service/artifacts/contracts/TokenHandler.sol/TokenHandler.json"
	artManager       = "interchain-token-service/artifacts/contracts/token-manager/TokenManager.sol/TokenManager.json"
	artManagerMaker  = "interchain-token-service/artifacts/contracts/utils/TokenManagerDeployer.sol/TokenManagerDeployer.json"
	artToken         = "interchain-token-service/artifacts/contracts/interchain-token/InterchainToken.sol/InterchainToken.json"
	artTokenMaker    = "interchain-token-service/artifacts/contracts/utils/InterchainTokenDeployer.sol/InterchainTokenDeployer.json"
	artFace          = "interchain-token-service/artifacts/contracts/proxies/InterchainProxy.sol/InterchainProxy.json"
)

// maxArtifact bounds one file; the largest published one has half a megabyte.
const maxArtifact = 8 << 20

// OpenArtifacts looks into a folder for the published contracts. "" searches
// contracts/node_modules/@axelar-network from the working folder and from the
// program's own upwards.
func OpenArtifacts(folder string) (*Artifacts, error) {
	if folder != "" {
		a := &Artifacts{folder: folder}
		_, err := a.read(artService)
		return a, err
	}
	var from []string
	if wd, err := os.Getwd(); err == nil {
		from = append(from, wd)
	}
	if program, err := os.Executable(); err == nil {
		from = append(from, filepath.Dir(program))
	}
	for _, start := range from {
		for dir := start; ; dir = filepath.Dir(dir) {
			a := &Artifacts{folder: filepath.Join(dir, "contracts", "node_modules", "@axelar-network")}
			if _, err := a.read(artService); err == nil {
				return a, nil
			}
			if filepath.Dir(dir) == dir {
				break
			}
		}
	}
	return nil, fmt.Errorf("%w: run `make setup` in the repository, or name the folder that holds interchain-token-service", ErrNoArtifacts)
}

// artifact is one compiled contract.
type artifact struct {
	abi  abi.ABI
	code []byte
}

func (a *Artifacts) read(file string) (artifact, error) {
	f, err := os.Open(filepath.Join(a.folder, filepath.FromSlash(file)))
	if err != nil {
		return artifact{}, fmt.Errorf("%w: %s is missing", ErrNoArtifacts, filepath.Base(file))
	}
	defer f.Close()
	var w struct {
		ABI      json.RawMessage `json:"abi"`
		Bytecode string          `json:"bytecode"`
	}
	if err := json.NewDecoder(io.LimitReader(f, maxArtifact)).Decode(&w); err != nil {
		return artifact{}, fmt.Errorf("%w: %s does not decode", ErrNoArtifacts, filepath.Base(file))
	}
	parsed, err := abi.JSON(strings.NewReader(string(w.ABI)))
	if err != nil {
		return artifact{}, fmt.Errorf("%w: the ABI of %s does not decode", ErrNoArtifacts, filepath.Base(file))
	}
	code := common.FromHex(w.Bytecode)
	if len(code) == 0 {
		return artifact{}, fmt.Errorf("%w: %s has no code", ErrNoArtifacts, filepath.Base(file))
	}
	return artifact{abi: parsed, code: code}, nil
}

// init is the contract's code followed by its constructor's arguments.
func (a artifact) init(args ...any) ([]byte, error) {
	packed, err := a.abi.Pack("", args...)
	if err != nil {
		return nil, fmt.Errorf("pack constructor: %w", err)
	}
	return append(append([]byte(nil), a.code...), packed...), nil
}
