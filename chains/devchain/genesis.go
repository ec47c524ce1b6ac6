package devchain

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/params"
)

const genesisFile = "genesis.json"

// ErrOtherChain says that a data directory holds a chain with another id or
// other genesis balances.
var ErrOtherChain = errors.New("data directory belongs to another chain")

// openGenesis reads the genesis of the chain in the data directory, or makes a
// new one and writes it there before geth sees it.
func openGenesis(cfg Config) (*core.Genesis, error) {
	if cfg.DataDir == "" {
		return newGenesis(cfg)
	}
	path := filepath.Join(cfg.DataDir, genesisFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		gen, err := newGenesis(cfg)
		if err != nil {
			return nil, err
		}
		return gen, writeGenesis(path, gen)
	}
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	gen := new(core.Genesis)
	if err := json.Unmarshal(raw, gen); err != nil {
		return nil, fmt.Errorf("decode %s: %w", genesisFile, err)
	}
	return gen, sameChain(cfg, gen)
}

// newGenesis draws 32 random bytes into the genesis block, so that no two dev
// chains share a genesis hash: what one deployment signed is void on the next.
func newGenesis(cfg Config) (*core.Genesis, error) {
	salt := make([]byte, 32)
	if _, err := rand.Read(salt); err != nil {
		return nil, fmt.Errorf("draw salt: %w", err)
	}
	at := cfg.GenesisTime
	if at == 0 {
		at = uint64(time.Now().Unix())
	}
	return &core.Genesis{
		Config:     pragueConfig(cfg.ChainID),
		Timestamp:  at,
		ExtraData:  salt,
		GasLimit:   cfg.GasLimit,
		BaseFee:    big.NewInt(params.InitialBaseFee),
		Difficulty: new(big.Int),
		Alloc:      genesisAlloc(cfg.Alloc),
	}, nil
}

// pragueConfig activates every fork up to Prague at genesis and none after it.
func pragueConfig(id chains.ID) *params.ChainConfig {
	pc := *params.AllDevChainProtocolChanges
	pc.ChainID = new(big.Int).SetUint64(uint64(id))
	pc.OsakaTime, pc.BPO1Time, pc.BPO2Time, pc.BPO3Time, pc.BPO4Time, pc.BPO5Time = nil, nil, nil, nil, nil, nil
	pc.AmsterdamTime, pc.BogotaTime, pc.UBTTime = nil, nil, nil
	return &pc
}

func genesisAlloc(balances map[common.Address]*big.Int) types.GenesisAlloc {
	alloc := core.SystemContractAllocs()
	for addr, wei := range balances {
		alloc[addr] = types.Account{Balance: new(big.Int).Set(wei)}
	}
	return alloc
}

func sameChain(cfg Config, gen *core.Genesis) error {
	if gen.Config == nil || gen.Config.ChainID == nil || gen.Config.ChainID.Cmp(new(big.Int).SetUint64(uint64(cfg.ChainID))) != 0 {
		return fmt.Errorf("%w: its chain id is not %d", ErrOtherChain, cfg.ChainID)
	}
	same := maps.EqualFunc(gen.Alloc, genesisAlloc(cfg.Alloc), func(a, b types.Account) bool {
		return a.Balance.Cmp(b.Balance) == 0
	})
	if !same {
		return fmt.Errorf("%w: its genesis balances differ", ErrOtherChain)
	}
	return nil
}

// writeGenesis replaces the file as a whole: a process killed in between leaves
// the old one, or none, and the next start makes another.
func writeGenesis(path string, gen *core.Genesis) error {
	raw, err := json.MarshalIndent(gen, "", "  ")
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), genesisFile+".*")
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	defer os.Remove(f.Name()) // no longer there once renamed
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
