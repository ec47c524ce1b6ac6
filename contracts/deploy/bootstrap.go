package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// Joiner is a validator that joins the subnet. It signs its own join, so it
// needs gas and its collateral on the root.
type Joiner struct {
	Signer     Signer
	PublicKey  []byte   // 65 bytes, uncompressed
	Collateral *big.Int // wei of the root's coin
}

// PreFunder locks FLT on the root that it owns in the subnet from genesis on.
// It needs the FLT and gas on the root.
type PreFunder struct {
	Signer Signer
	Amount *big.Int // wei of FLT
}

// BootstrapParams of a subnet. Joiners must be exactly as many as the subnet's
// minimal validators, with enough collateral between them.
type BootstrapParams struct {
	PreFund []PreFunder
	Joiners []Joiner
}

// Validator of the subnet's genesis, weight in root units.
type Validator struct {
	Address   common.Address `json:"address"`
	Weight    Units          `json:"weight"`
	PublicKey hexutil.Bytes  `json:"public_key"`
}

// Balance of FLT in the subnet's genesis, wei.
type Balance struct {
	Account common.Address `json:"account"`
	Amount  Units          `json:"amount"`
}

// Bootstrapped is what the root says about the subnet's beginning, read at a
// final block.
type Bootstrapped struct {
	Salt        common.Hash `json:"salt"`
	BlockNumber uint64      `json:"block_number"` // of SubnetBootstrapped
	BlockHash   common.Hash `json:"block_hash"`
	Time        uint64      `json:"time"` // of that block, Unix seconds
	RecordedAt  uint64      `json:"recorded_at"`
	Validators  []Validator `json:"validators"`
	Balances    []Balance   `json:"balances"`
	CircSupply  Units       `json:"circ_supply"`
}

func (b Bootstrapped) bindingValidators() []bindings.Validator {
	out := make([]bindings.Validator, len(b.Validators))
	for i, v := range b.Validators {
		out[i] = bindings.Validator{Weight: v.Weight.Int(), Addr: v.Address, Metadata: v.PublicKey}
	}
	return out
}

const (
	// A block hash can be read on chain for 256 blocks.
	recordWindow = 256
	bootstrapGas = 5_000_000
	maxRecords   = 16

	stepRecord     = "record_bootstrap/"
	stepReannounce = "reannounce_bootstrap/"
)

// Bootstrap pre-funds genesis balances, lets the validators join and records the
// bootstrap block; recorder pays for the recording. It returns when all of it is
// final.
func Bootstrap(ctx context.Context, env Env, set RootSet, recorder Signer, p BootstrapParams) (Bootstrapped, error) {
	j, err := openJournal(ctx, env)
	if err != nil {
		return Bootstrapped{}, fmt.Errorf("open deployment state: %w", err)
	}
	defer j.close()
	if err := checkJoiners(ctx, j.env.Backend, set, p); err != nil {
		return Bootstrapped{}, err
	}

	if err := preFund(ctx, j, set, p.PreFund); err != nil {
		return Bootstrapped{}, fmt.Errorf("prefund: %w", err)
	}
	// The last join closes pre-funding, from another account: a reorg could put it
	// in front.
	if err := j.settle(ctx); err != nil {
		return Bootstrapped{}, fmt.Errorf("wait until the genesis balances are final: %w", err)
	}
	if err := join(ctx, j, set, p.Joiners); err != nil {
		return Bootstrapped{}, fmt.Errorf("join: %w", err)
	}
	for recorded := false; !recorded; {
		if err := recordBootstrap(ctx, j, set, recorder); err != nil {
			return Bootstrapped{}, fmt.Errorf("record bootstrap: %w", err)
		}
		if err := j.settle(ctx); err != nil {
			return Bootstrapped{}, fmt.Errorf("wait until the bootstrap is final: %w", err)
		}
		// A reorg may have moved the recording in front of what it records.
		if recorded, err = isRecorded(ctx, j.env.Backend, set, finalizedTag); err != nil {
			return Bootstrapped{}, fmt.Errorf("read bootstrap salt: %w", err)
		}
	}
	out, err := ReadBootstrap(ctx, env.Backend, set)
	if err != nil {
		return Bootstrapped{}, err
	}
	return out, out.checkJoined(p.Joiners)
}

// checkJoined refuses a genesis that strangers have joined.
func (b Bootstrapped) checkJoined(joiners []Joiner) error {
	weights := make(map[common.Address]*big.Int)
	for _, v := range joiners {
		weights[v.Signer.Address()] = v.Collateral
	}
	for _, v := range b.Validators {
		if want := weights[v.Address]; want == nil || v.Weight.Int().Cmp(want) != 0 {
			return fmt.Errorf("%w: validator %s began with weight %s", ErrWrongSet, v.Address, v.Weight)
		}
	}
	if len(b.Validators) != len(joiners) {
		return fmt.Errorf("%w: %d validators began, %d joined", ErrWrongSet, len(b.Validators), len(joiners))
	}
	return nil
}

// checkJoiners refuses a set that would bootstrap too early or never.
func checkJoiners(ctx context.Context, b Backend, set RootSet, p BootstrapParams) error {
	a := bindings.NewSubnetActor()
	least, err := read(ctx, b, set.Actor, nil, a.PackMinValidators(), a.UnpackMinValidators)
	if err != nil {
		return fmt.Errorf("read minimal validators: %w", err)
	}
	collateral, err := read(ctx, b, set.Actor, nil, a.PackMinActivationCollateral(), a.UnpackMinActivationCollateral)
	if err != nil {
		return fmt.Errorf("read minimal collateral: %w", err)
	}
	sum := new(big.Int)
	for _, v := range p.Joiners {
		if len(v.PublicKey) != 65 || v.Collateral == nil || v.Collateral.Sign() <= 0 {
			return fmt.Errorf("validator %s lacks a 65-byte key or collateral", v.Signer.Address())
		}
		sum.Add(sum, v.Collateral)
	}
	if uint64(len(p.Joiners)) != least || sum.Cmp(collateral) < 0 {
		return fmt.Errorf("%d validators with %s wei join a subnet that begins with %d and %s", len(p.Joiners), sum, least, collateral)
	}
	return nil
}

func preFund(ctx context.Context, j *journal, set RootSet, funders []PreFunder) error {
	var approve, fund []call
	token, actor := bindings.NewDevFlt(), bindings.NewSubnetActor()
	for _, f := range funders {
		name := "prefund/" + f.Signer.Address().Hex()
		approve = append(approve, call{name: name + "/approve", from: f.Signer, to: &set.Flt, data: token.PackApprove(set.Actor, f.Amount)})
		fund = append(fund, call{name: name, from: f.Signer, to: &set.Actor, data: actor.PackPreFund(f.Amount)})
	}
	if _, err := j.send(ctx, approve...); err != nil {
		return err
	}
	_, err := j.send(ctx, fund...)
	return err
}

// join lets all but the last validator join at once, and the last after them:
// its join bootstraps the subnet, which the simulation must see to find the gas.
func join(ctx context.Context, j *journal, set RootSet, joiners []Joiner) error {
	actor := bindings.NewSubnetActor()
	calls := make([]call, len(joiners))
	for i, v := range joiners {
		calls[i] = call{
			name: "join/" + v.Signer.Address().Hex(), from: v.Signer, to: &set.Actor,
			value: v.Collateral, data: actor.PackJoin(v.PublicKey, v.Collateral),
			// A reorg may let any of them be the one that bootstraps.
			extra: bootstrapGas,
		}
	}
	last := len(calls) - 1
	if _, err := j.send(ctx, calls[:last]...); err != nil {
		return err
	}
	crash.At("deploy.after_join")
	if _, err := j.send(ctx, calls[last]); err != nil {
		return err
	}
	crash.At("deploy.after_join")
	return nil
}

// recordBootstrap makes the root keep the hash of the bootstrap block. Anyone
// may, and somebody else's recording is as good. When the hash is out of reach,
// the bootstrap is announced anew, and that block counts.
func recordBootstrap(ctx context.Context, j *journal, set RootSet, recorder Signer) error {
	a := bindings.NewSubnetActor()
	b := j.env.Backend
	var last error
	for try := range maxRecords {
		done, err := isRecorded(ctx, b, set, nil)
		if err != nil || done {
			return err
		}
		at, err := read(ctx, b, set.Actor, nil, a.PackBootstrapBlock(), a.UnpackBootstrapBlock)
		if err != nil {
			return err
		}
		head, err := j.blockAfter(ctx, at)
		if err != nil {
			return err
		}
		step := call{name: fmt.Sprintf(stepRecord+"%d", try), from: recorder, to: &set.Actor, data: a.PackRecordBootstrap()}
		if _, sent := j.find(step.name); !sent && new(big.Int).Sub(head, at).Cmp(big.NewInt(recordWindow)) > 0 {
			step.name, step.data = fmt.Sprintf(stepReannounce+"%d", try), a.PackReannounceBootstrap()
		}
		// Mined too late, or refused by a simulation at the window's edge: the
		// next look decides anew.
		receipts, err := j.try(ctx, step)
		if ctx.Err() != nil {
			return err
		}
		if err != nil || receipts[0].Status != types.ReceiptStatusSuccessful {
			last = err
			j.env.Log.Warn("step failed, will look again", "step", step.name, "err", err)
			if _, err := j.blockAfter(ctx, head); err != nil {
				return err
			}
		}
	}
	return errors.Join(fmt.Errorf("%w: %d attempts", ErrFailed, maxRecords), last)
}

func isRecorded(ctx context.Context, b Backend, set RootSet, at *big.Int) (bool, error) {
	a := bindings.NewSubnetActor()
	salt, err := read(ctx, b, set.Actor, at, a.PackBootstrapSalt(), a.UnpackBootstrapSalt)
	return salt != ([32]byte{}), err
}

// mayFail says whether a step was only an attempt.
func mayFail(step string) bool {
	return strings.HasPrefix(step, stepRecord) || strings.HasPrefix(step, stepReannounce) || attempted(step)
}

// blockAfter waits for a block after n and returns the head's number.
func (j *journal) blockAfter(ctx context.Context, n *big.Int) (*big.Int, error) {
	for {
		head, err := j.env.Backend.HeaderByNumber(ctx, nil)
		if err == nil && head.Number.Cmp(n) > 0 {
			return head.Number, nil
		}
		if perr := j.pause(ctx); perr != nil {
			return nil, errors.Join(fmt.Errorf("wait for block after %s: %w", n, perr), err)
		}
	}
}

// ReadBootstrap reads what the root recorded, at its final block. The salt is
// computed again from the block hash.
func ReadBootstrap(ctx context.Context, b Backend, set RootSet) (Bootstrapped, error) {
	final, err := b.HeaderByNumber(ctx, finalizedTag)
	if err != nil {
		return Bootstrapped{}, fmt.Errorf("read final block: %w", err)
	}
	event, at, err := bootstrapRecorded(ctx, b, set, final.Number)
	if err != nil {
		return Bootstrapped{}, err
	}
	out := Bootstrapped{Salt: event.Salt, BlockHash: event.BootstrapHash, RecordedAt: at}
	if !event.BootstrapBlock.IsUint64() {
		return Bootstrapped{}, fmt.Errorf("%w: bootstrap block %s", ErrWrongSet, event.BootstrapBlock)
	}
	out.BlockNumber = event.BootstrapBlock.Uint64()
	if want := ipc.Salt(uint64(set.ChainID), set.Gateway, set.Actor, out.BlockHash); out.Salt != want {
		return Bootstrapped{}, fmt.Errorf("%w: salt %s, computed %s", ErrWrongSet, out.Salt, want)
	}
	block, err := b.HeaderByNumber(ctx, event.BootstrapBlock)
	if err != nil {
		return Bootstrapped{}, fmt.Errorf("read bootstrap block: %w", err)
	}
	out.Time = block.Time
	if err := out.readGenesis(ctx, b, set, final.Number); err != nil {
		return Bootstrapped{}, fmt.Errorf("read genesis of the subnet: %w", err)
	}
	return out, nil
}

func bootstrapRecorded(ctx context.Context, b Backend, set RootSet, final *big.Int) (*bindings.SubnetActorBootstrapRecorded, uint64, error) {
	a := bindings.NewSubnetActor()
	abi := a.GetABI()
	logs, err := b.FilterLogs(ctx, ethereum.FilterQuery{
		FromBlock: new(big.Int).SetUint64(set.StartBlock), ToBlock: final,
		Addresses: []common.Address{set.Actor}, Topics: [][]common.Hash{{abi.Events["BootstrapRecorded"].ID}},
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read BootstrapRecorded: %w", err)
	}
	if len(logs) != 1 {
		return nil, 0, fmt.Errorf("%w: %d records of the bootstrap", ErrWrongSet, len(logs))
	}
	event, err := a.UnpackBootstrapRecordedEvent(&logs[0])
	if err != nil {
		return nil, 0, fmt.Errorf("decode BootstrapRecorded: %w", err)
	}
	return event, logs[0].BlockNumber, nil
}

func (b *Bootstrapped) readGenesis(ctx context.Context, backend Backend, set RootSet, at *big.Int) error {
	a := bindings.NewSubnetActor()
	validators, err := read(ctx, backend, set.Actor, at, a.PackGenesisValidators(), a.UnpackGenesisValidators)
	if err != nil {
		return err
	}
	for _, v := range validators {
		b.Validators = append(b.Validators, Validator{Address: v.Addr, Weight: NewUnits(v.Weight), PublicKey: bytes.Clone(v.Metadata)})
	}
	if b.Balances, err = read(ctx, backend, set.Actor, at, a.PackGenesisBalances(), unpackBalances); err != nil {
		return err
	}
	supply, err := read(ctx, backend, set.Actor, at, a.PackGenesisCircSupply(), a.UnpackGenesisCircSupply)
	if err != nil {
		return err
	}
	b.CircSupply = NewUnits(supply)
	return nil
}

// unpackBalances reads the two lists of genesisBalances().
func unpackBalances(raw []byte) ([]Balance, error) {
	parsed, err := bindings.SubnetActorMetaData.ParseABI()
	if err != nil {
		return nil, err
	}
	values, err := parsed.Unpack("genesisBalances", raw)
	if err != nil {
		return nil, err
	}
	accounts, amounts := values[0].([]common.Address), values[1].([]*big.Int)
	if len(accounts) != len(amounts) {
		return nil, fmt.Errorf("%w: %d accounts with %d balances", ErrWrongSet, len(accounts), len(amounts))
	}
	out := make([]Balance, len(accounts))
	for i := range accounts {
		out[i] = Balance{Account: accounts[i], Amount: NewUnits(amounts[i])}
	}
	return out, nil
}
