package node

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/crypto/secp256k1"
	cmttypes "github.com/cometbft/cometbft/types"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/params"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
)

// Genesis is what every node of a subnet must agree on before block 1; it is
// kept as genesis.json in the node's home.
type Genesis struct {
	ChainID chains.ID `json:"chain_id"` // of the subnet's EVM; its decimal form is CometBFT's chain id
	// EVM holds alloc (predeploys and treasury), timestamp, gas limit and base
	// fee. Its chain config is ignored: the fork schedule is the node's own.
	EVM        *core.Genesis `json:"evm"`
	Validators []Validator   `json:"validators"`

	SubnetID       Subnet         `json:"subnet_id"`
	RootChainID    chains.ID      `json:"root_chain_id"`
	RootGateway    common.Address `json:"root_gateway"`
	SubnetActor    common.Address `json:"subnet_actor"`
	BootstrapBlock uint64         `json:"bootstrap_block"`
	BootstrapHash  common.Hash    `json:"bootstrap_hash"`
	Salt           common.Hash    `json:"salt"`
	ParentStart    uint64         `json:"parent_start"` // first root height whose events count

	Period             uint64 `json:"period"` // blocks between checkpoints
	PowerScale         int8   `json:"power_scale"`
	MajorityPercentage uint8  `json:"majority_percentage"`

	Gateway         common.Address `json:"gateway"`          // in the subnet
	Outbox          common.Address `json:"outbox"`           // in the subnet; zero = none
	FastWithdrawals common.Address `json:"fast_withdrawals"` // on the root
}

// Validator is a genesis validator. PubKey is the 65-byte uncompressed
// secp256k1 key, Weight is in root units (collateral in atto, or federated
// power), a decimal string in JSON.
type Validator struct {
	Address common.Address `json:"address"`
	PubKey  hexutil.Bytes  `json:"pub_key"`
	Weight  string         `json:"weight"`
}

// Subnet is a subnet id in JSON.
type Subnet struct {
	Root  uint64           `json:"root"`
	Route []common.Address `json:"route"`
}

// ID is the wire form.
func (s Subnet) ID() ipc.SubnetID { return ipc.NewSubnetID(s.Root, s.Route...) }

// Check joins every complaint about a genesis.
func (g Genesis) Check() error {
	var errs []error
	say := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	say(g.ChainID != 0, "chain_id is zero")
	say(g.ChainID != g.RootChainID, "chain_id is the root's")
	say(g.EVM != nil, "evm is missing")
	if g.EVM != nil {
		say(len(g.EVM.Alloc[g.Gateway].Code) > 0, "evm.alloc has no code at the gateway %s", g.Gateway)
		say(g.Outbox == (common.Address{}) || len(g.EVM.Alloc[g.Outbox].Code) > 0, "evm.alloc has no code at the outbox %s", g.Outbox)
		say(g.EVM.GasLimit >= 5_000_000, "evm.gasLimit %d is below 5000000", g.EVM.GasLimit)
	}
	say(g.SubnetID.Root == uint64(g.RootChainID), "subnet_id.root is not root_chain_id")
	say(len(g.SubnetID.Route) == 1 && g.SubnetID.Route[0] == g.SubnetActor, "subnet_id.route is not [subnet_actor]")
	say(g.Salt == ipc.Salt(uint64(g.RootChainID), g.RootGateway, g.SubnetActor, g.BootstrapHash), "salt does not bind root chain, gateway, actor and bootstrap block")
	say(g.ParentStart > 0 && g.ParentStart <= g.BootstrapBlock+1, "parent_start %d is not in [1, bootstrap_block+1]", g.ParentStart)
	say(g.Period >= 1, "period is zero")
	say(g.MajorityPercentage >= 67 && g.MajorityPercentage <= 100, "majority_percentage %d is not in [67, 100]", g.MajorityPercentage)
	if err := g.checkValidators(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (g Genesis) checkValidators() error {
	if len(g.Validators) == 0 || len(g.Validators) > maxValidators {
		return fmt.Errorf("%d validators, want 1 to %d", len(g.Validators), maxValidators)
	}
	seen := make(map[common.Address]bool, len(g.Validators))
	for i, v := range g.Validators {
		if _, ok := new(big.Int).SetString(v.Weight, 10); !ok {
			return fmt.Errorf("validators[%d]: weight %q is not a decimal number", i, v.Weight)
		}
		if seen[v.Address] {
			return fmt.Errorf("validators[%d]: %s appears twice", i, v.Address)
		}
		seen[v.Address] = true
	}
	set := g.ValidatorSet()
	for i, v := range g.Validators {
		e, ok := set.Find(v.Address)
		if !ok || e.Power == 0 || !bytes.Equal(e.Pubkey, v.PubKey) {
			return fmt.Errorf("validators[%d]: %s has no power or pub_key is not its key", i, v.Address)
		}
	}
	return nil
}

// ValidatorSet is the set of configuration 0.
func (g Genesis) ValidatorSet() ipc.ValidatorSet {
	vals := make([]ipc.Validator, len(g.Validators))
	for i, v := range g.Validators {
		w, _ := new(big.Int).SetString(v.Weight, 10)
		vals[i] = ipc.Validator{Weight: w, Addr: v.Address, Metadata: v.PubKey}
	}
	return ipc.NewValidatorSet(vals, g.PowerScale)
}

// ChainConfig is the fork schedule of a subnet: Prague from genesis and nothing
// after it. Blobs are refused by a limit of zero (PROTOCOL 30).
func ChainConfig(id chains.ID) *params.ChainConfig {
	c := *params.AllDevChainProtocolChanges
	c.ChainID = new(big.Int).SetUint64(uint64(id))
	c.OsakaTime, c.BPO1Time, c.BPO2Time, c.BPO3Time, c.BPO4Time, c.BPO5Time = nil, nil, nil, nil, nil, nil
	c.AmsterdamTime, c.BogotaTime, c.UBTTime = nil, nil, nil
	none := &params.BlobConfig{Target: 0, Max: 0, UpdateFraction: params.DefaultPragueBlobConfig.UpdateFraction}
	c.BlobScheduleConfig = &params.BlobScheduleConfig{Cancun: none, Prague: none}
	return &c
}

// EVMGenesis is the genesis geth runs with: the given one under ChainConfig,
// plus the system contracts of the fork where alloc leaves them out.
func (g Genesis) EVMGenesis() *core.Genesis {
	e := *g.EVM
	e.Config = ChainConfig(g.ChainID)
	e.Difficulty = new(big.Int)
	e.Alloc = make(types.GenesisAlloc, len(g.EVM.Alloc)+4)
	for a, acc := range core.SystemContractAllocs() {
		e.Alloc[a] = acc
	}
	for a, acc := range g.EVM.Alloc {
		e.Alloc[a] = acc
	}
	return &e
}

// Hash is the hash of EVM block 0.
func (g Genesis) Hash() common.Hash { return g.EVMGenesis().ToBlock().Hash() }

// cometGenesis is what CometBFT starts from.
func (g Genesis) cometGenesis() (*cmttypes.GenesisDoc, error) {
	doc := &cmttypes.GenesisDoc{
		ChainID:         g.ChainID.String(),
		GenesisTime:     time.Unix(int64(g.EVM.Timestamp), 0).UTC(),
		ConsensusParams: cmttypes.DefaultConsensusParams(),
		InitialHeight:   1,
	}
	doc.ConsensusParams.Validator.PubKeyTypes = []string{cmttypes.ABCIPubKeyTypeSecp256k1}
	doc.ConsensusParams.ABCI.VoteExtensionsEnableHeight = 1
	doc.ConsensusParams.Block.MaxBytes = maxBlockBytes
	for _, e := range g.ValidatorSet().Entries {
		pk, err := cometKey(e.Pubkey)
		if err != nil {
			return nil, fmt.Errorf("validator %s: %w", e.Addr, err)
		}
		doc.Validators = append(doc.Validators, cmttypes.GenesisValidator{
			Address: pk.Address(), PubKey: pk, Power: e.Power, Name: e.Addr.Hex(),
		})
	}
	if err := doc.ValidateAndComplete(); err != nil {
		return nil, fmt.Errorf("consensus genesis: %w", err)
	}
	return doc, nil
}

// cometKey compresses a 65-byte key into CometBFT's form.
func cometKey(pubkey []byte) (secp256k1.PubKey, error) {
	pub, err := crypto.UnmarshalPubkey(pubkey)
	if err != nil {
		return nil, fmt.Errorf("unmarshal public key: %w", err)
	}
	return secp256k1.PubKey(crypto.CompressPubkey(pub)), nil
}

// validatorUpdate is a row of FinalizeBlock's answer; power 0 removes.
func validatorUpdate(pubkey []byte, power int64) (abci.ValidatorUpdate, error) {
	pk, err := cometKey(pubkey)
	if err != nil {
		return abci.ValidatorUpdate{}, err
	}
	return abci.UpdateValidator(pk, power, secp256k1.KeyType), nil
}
