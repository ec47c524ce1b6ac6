package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Units is an amount in base units: a decimal string in JSON. The zero Units is
// 0.
type Units struct{ n *big.Int }

// NewUnits makes Units of n, which must be a uint256; nil is 0.
func NewUnits(n *big.Int) Units {
	if n == nil {
		return Units{}
	}
	return Units{new(big.Int).Set(n)}
}

// Int is the amount; the caller may keep and change it.
func (u Units) Int() *big.Int { return new(big.Int).Set(orZero(u.n)) }

// String is the decimal form.
func (u Units) String() string { return orZero(u.n).String() }

// Cmp compares as big.Int does.
func (u Units) Cmp(v Units) int { return orZero(u.n).Cmp(orZero(v.n)) }

// Sign is 0 for 0, 1 for more.
func (u Units) Sign() int { return orZero(u.n).Sign() }

// MarshalJSON writes a decimal string.
func (u Units) MarshalJSON() ([]byte, error) { return json.Marshal(u.String()) }

// UnmarshalJSON reads the canonical decimal string of a uint256.
func (u *Units) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return fmt.Errorf("amount is not a decimal string: %w", err)
	}
	n, ok := new(big.Int).SetString(text, 10)
	if !ok || n.Sign() < 0 || n.BitLen() > 256 || n.String() != text {
		return fmt.Errorf("amount %q is not a decimal uint256", text)
	}
	u.n = n
	return nil
}

// Settings are what the contracts are built with. They cannot be changed later.
type Settings struct {
	// RootMessageGas and SubnetMessageGas are the stipend of one message
	// (PROTOCOL 14).
	RootMessageGas   uint64 `json:"root_message_gas"`
	SubnetMessageGas uint64 `json:"subnet_message_gas"`
	// FltFundMin and FltFundMax bound one deposit of FLT, in wei.
	FltFundMin Units `json:"flt_fund_min"`
	FltFundMax Units `json:"flt_fund_max"`
	// MaxSilence closes deposits after that long without a checkpoint, whole
	// seconds (PROTOCOL 27).
	MaxSilence Seconds `json:"max_silence_seconds"`
	// RecoveryDelay is how long a recovery waits on the root before anyone may
	// execute it, whole seconds (PROTOCOL 10).
	RecoveryDelay Seconds `json:"recovery_delay_seconds"`

	MinActivationCollateral Units  `json:"min_activation_collateral"` // wei of the root's coin
	MinValidators           uint64 `json:"min_validators"`
	CheckPeriod             uint64 `json:"check_period"` // subnet blocks
	ActiveLimit             uint16 `json:"active_validators_limit"`
	Majority                uint8  `json:"majority_percentage"`
	PowerScale              int8   `json:"power_scale"`

	// ExitFee per bottom-up message, DeliverReward per delivered one, MinRelease
	// of a raw release: wei of FLT.
	ExitFee          Units  `json:"exit_fee"`
	DeliverReward    Units  `json:"deliver_reward"`
	MinRelease       Units  `json:"min_release"`
	MaxMsgsPerPeriod uint64 `json:"max_msgs_per_period"`
	Treasury         Units  `json:"treasury"` // wei of FLT held by the subnet gateway at genesis

	// USDC base units (6 decimals): one deposit on the root, one mint and one
	// withdrawal in the subnet.
	UsdcDepositMin  Units  `json:"usdc_deposit_min"`
	UsdcDepositMax  Units  `json:"usdc_deposit_max"`
	UsdcMintCap     Units  `json:"usdc_mint_cap"`
	UsdcWithdrawMin Units  `json:"usdc_withdraw_min"`
	UsdcWithdrawMax Units  `json:"usdc_withdraw_max"`
	FltWithdrawMin  Units  `json:"flt_withdraw_min"` // wei
	FltWithdrawMax  Units  `json:"flt_withdraw_max"`
	ReplicaName     string `json:"replica_name"`
	ReplicaSymbol   string `json:"replica_symbol"`

	// What is promised to a target on Ethereum that a contract in the subnet calls,
	// what a result is told with on either chain, and how long the root keeps a call
	// that cannot go on before it may be given up, whole seconds. All are 0 where
	// contracts cannot call each other.
	GmpL1Gas       uint64  `json:"gmp_l1_gas,omitempty"`
	GmpCallbackGas uint64  `json:"gmp_callback_gas,omitempty"`
	GmpPatience    Seconds `json:"gmp_patience_seconds,omitempty"`

	// SubnetGasLimit of a block, SubnetBaseFee of block 0 in wei.
	SubnetGasLimit uint64 `json:"subnet_gas_limit"`
	SubnetBaseFee  Units  `json:"subnet_base_fee"`
}

// Seconds is a duration of whole seconds: an integer in JSON.
type Seconds uint64

// Duration is the same as a time.Duration.
func (s Seconds) Duration() time.Duration { return time.Duration(s) * time.Second }

// Default is the devnet's settings. A USDC deposit may be larger than one mint
// may be, so that a failed deposit and its refund can be seen.
func Default() Settings {
	pow := func(n int64) Units { return NewUnits(new(big.Int).Exp(big.NewInt(10), big.NewInt(n), nil)) }
	return Settings{
		RootMessageGas: 1_000_000, SubnetMessageGas: 500_000,
		FltFundMin: pow(15), FltFundMax: pow(24),
		MaxSilence: 3600, RecoveryDelay: 24 * 3600,
		MinActivationCollateral: pow(18), MinValidators: 1,
		CheckPeriod: 10, ActiveLimit: 100, Majority: 67, PowerScale: 3,
		ExitFee: pow(16), DeliverReward: pow(15), MinRelease: pow(15), MaxMsgsPerPeriod: 20_000,
		Treasury:       NewUnits(new(big.Int).Lsh(big.NewInt(1), treasuryBits)),
		UsdcDepositMin: pow(0), UsdcDepositMax: NewUnits(big.NewInt(2e12)), UsdcMintCap: pow(12),
		UsdcWithdrawMin: pow(0), UsdcWithdrawMax: pow(12),
		FltWithdrawMin: pow(15), FltWithdrawMax: pow(24),
		ReplicaName: "USD Coin", ReplicaSymbol: "USDC",
		GmpL1Gas: 500_000, GmpCallbackGas: 200_000, GmpPatience: 6 * 3600,
		SubnetGasLimit: 60_000_000, SubnetBaseFee: pow(9),
	}
}

const (
	treasuryBits = 100 // PROTOCOL 31: at least 2^100 wei
	minMajority  = 67
	maxActive    = 100
)

// Check joins every complaint.
func (s Settings) Check() error {
	var errs []error
	must := func(ok bool, complaint string) {
		if !ok {
			errs = append(errs, errors.New(complaint))
		}
	}
	ordered := func(name string, lo, hi Units) {
		must(lo.Sign() > 0 && lo.Cmp(hi) <= 0, name+": the lower bound is 0 or above the upper one")
	}
	must(s.RootMessageGas > 0 && s.SubnetMessageGas > 0, "message gas is 0")
	ordered("FLT deposits", s.FltFundMin, s.FltFundMax)
	ordered("FLT withdrawals", s.FltWithdrawMin, s.FltWithdrawMax)
	ordered("USDC deposits", s.UsdcDepositMin, s.UsdcDepositMax)
	ordered("USDC withdrawals", s.UsdcWithdrawMin, s.UsdcWithdrawMax)
	must(s.UsdcMintCap.Sign() > 0, "USDC mint cap is 0")
	must(s.MaxSilence >= 3600, "maximal silence is below one hour")
	must(s.RecoveryDelay > 0, "recovery delay is 0")
	must(s.MinActivationCollateral.Sign() > 0, "minimal collateral is 0")
	must(s.MinValidators > 0 && s.MinValidators <= uint64(s.ActiveLimit), "minimal validators is 0 or above the active limit")
	must(s.ActiveLimit > 0 && s.ActiveLimit <= maxActive, "active limit is not within 1 to 100")
	must(s.CheckPeriod > 0, "checkpoint period is 0")
	must(s.Majority >= minMajority && s.Majority <= 100, "majority is not within 67 to 100")
	must(s.PowerScale >= 0 && s.PowerScale <= 18, "power scale is not within 0 to 18")
	must(s.MaxMsgsPerPeriod > 0, "messages per period is 0")
	must(s.Treasury.n != nil && s.Treasury.n.BitLen() > treasuryBits, "treasury is below 2^100 wei")
	must(s.SubnetGasLimit >= 2*s.SubnetMessageGas, "a subnet block cannot hold one message")
	must(s.SubnetBaseFee.Sign() > 0, "subnet base fee is 0")
	must(s.ReplicaName != "" && s.ReplicaSymbol != "", "replica has no name or symbol")
	errs = append(errs, s.checkGmp())
	return errors.Join(errs...)
}

// checkCrossing says which bounds FLT cannot have on its way from and to
// Ethereum, where amounts have 128 bits.
func (s Settings) checkCrossing() error {
	var errs []error
	if s.FltFundMax.Int().BitLen() > 128 {
		errs = append(errs, errors.New("the largest FLT deposit has more than 128 bits"))
	}
	if s.FltWithdrawMax.Int().BitLen() > 128 {
		errs = append(errs, errors.New("the largest FLT withdrawal has more than 128 bits"))
	}
	return errors.Join(errs...)
}
