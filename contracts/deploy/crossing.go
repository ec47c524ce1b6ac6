package deploy

import (
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
)

// Crossing is what carries FLT and calls between Ethereum and the subnet by way of
// the root: Axelar's contracts on both chains, and ours that speak to them.
type Crossing struct {
	L1   AxelarSet `json:"l1"` // Ethereum
	Root AxelarSet `json:"root"`
	// Signers are the sets that approved for both gateways when they were
	// deployed, the first one first. There are none where the Axelar network
	// itself approves.
	Signers []SignerSet `json:"signer_sets,omitempty"`
	// TokenID is FLT's at both token services.
	TokenID common.Hash    `json:"token_id"`
	L1Flt   common.Address `json:"l1_flt"`
	// L1Manager holds what is locked.
	L1Manager common.Address `json:"l1_token_manager"`
	Sender    common.Address `json:"flt_sender"`  // on L1
	Handler   common.Address `json:"flt_handler"` // on the root
	Portal    common.Address `json:"flt_portal"`  // in the subnet, from its genesis on
	// What calls between contracts on Ethereum and in the subnet go through; zero
	// where there are none.
	GmpPort       common.Address `json:"gmp_port,omitzero"`        // on L1
	GmpRouter     common.Address `json:"gmp_router,omitzero"`      // on the root
	GmpSubnetPort common.Address `json:"gmp_subnet_port,omitzero"` // in the subnet, from its genesis on
	// The Executors gather executions of approved messages; zero where none stands.
	L1Executor   common.Address `json:"l1_executor,omitzero"`
	RootExecutor common.Address `json:"root_executor,omitzero"`
}

// Check joins every complaint about what no crossing has.
func (c Crossing) Check() error {
	errs := []error{c.checkAxelar(), c.checkGmp()}
	if c.Sender == (common.Address{}) || c.Handler == (common.Address{}) {
		errs = append(errs, errors.New("no flt_sender or no flt_handler"))
	}
	if c.Portal != PortalAddress {
		errs = append(errs, fmt.Errorf("flt_portal is not at %s", PortalAddress))
	}
	return errors.Join(errs...)
}

// checkAxelar is Check without our own contracts.
func (c Crossing) checkAxelar() error {
	var errs []error
	must := func(ok bool, complaint string) {
		if !ok {
			errs = append(errs, errors.New(complaint))
		}
	}
	if err := c.L1.Check(); err != nil {
		errs = append(errs, fmt.Errorf("l1: %w", err))
	}
	if err := c.Root.Check(); err != nil {
		errs = append(errs, fmt.Errorf("root: %w", err))
	}
	must(c.L1.Chain != c.Root.Chain, "both chains have one name at Axelar")
	must(c.L1.ChainID != c.Root.ChainID, "both chains have one chain id")
	must(c.L1.Hub == c.Root.Hub, "the chains have different hubs")
	for i, s := range c.Signers {
		if err := s.Check(); err != nil {
			errs = append(errs, fmt.Errorf("signer set %d: %w", i, err))
		}
	}
	must(c.TokenID != (common.Hash{}), "no token_id")
	must(c.L1Flt != (common.Address{}) && c.L1Manager != (common.Address{}), "no l1_flt or no l1_token_manager")
	return errors.Join(errs...)
}

// AxelarSet is one chain's Axelar contracts.
type AxelarSet struct {
	Generation string         `json:"generation"` // of the gateway
	Chain      string         `json:"chain"`      // name at Axelar, case-sensitive
	Hub        string         `json:"hub"`
	ChainID    chains.ID      `json:"chain_id"`
	Gateway    common.Address `json:"gateway"`
	GasService common.Address `json:"gas_service"`
	Service    common.Address `json:"token_service"`
	Factory    common.Address `json:"token_factory"`
	// Create3 puts contracts at addresses that do not follow from nonces. Cross
	// makes one of its own where a chain has none.
	Create3 common.Address `json:"create3"`
	// StartBlock is at or below the block of the first contract.
	StartBlock uint64 `json:"start_block"`
}

// maxChainName is as long as our contracts can keep a name.
const maxChainName = 31

// Check joins every complaint.
func (s AxelarSet) Check() error {
	var errs []error
	must := func(ok bool, complaint string) {
		if !ok {
			errs = append(errs, errors.New(complaint))
		}
	}
	none := common.Address{}
	must(s.Generation == GatewayLegacy || s.Generation == GatewayAmplifier, "gateway is neither legacy nor amplifier")
	// An underscore would make the ids of messages ambiguous.
	must(s.Chain != "" && len(s.Chain) <= maxChainName && !strings.Contains(s.Chain, "_"), "chain has no usable name")
	must(s.Hub != "", "no hub")
	must(s.ChainID != 0, "no chain_id")
	must(s.Gateway != none && s.GasService != none, "no gateway or no gas_service")
	must(s.Service != none && s.Factory != none, "no token_service or no token_factory")
	return errors.Join(errs...)
}

// Weighted is one signer of a gateway's set.
type Weighted struct {
	Address common.Address `json:"address"`
	Weight  uint64         `json:"weight"`
}

// SignerSet is who approves at a gateway, ascending by address: signers of at
// least Threshold of the weight.
type SignerSet struct {
	Signers   []Weighted `json:"signers"`
	Threshold uint64     `json:"threshold"`
	// Nonce tells sets of the same signers apart; legacy gateways have none, it is
	// zero there.
	Nonce common.Hash `json:"nonce"`
}

// Check joins every complaint.
func (s SignerSet) Check() error {
	var errs []error
	must := func(ok bool, complaint string) {
		if !ok {
			errs = append(errs, errors.New(complaint))
		}
	}
	sum := new(big.Int)
	var before common.Address
	for _, w := range s.Signers {
		must(w.Address.Cmp(before) > 0, "a signer is zero or not above the one before")
		must(w.Weight > 0, "a signer is weightless")
		before = w.Address
		sum.Add(sum, new(big.Int).SetUint64(w.Weight))
	}
	must(s.Threshold > 0 && sum.Cmp(new(big.Int).SetUint64(s.Threshold)) >= 0, "threshold is 0 or above the weight of all signers")
	return errors.Join(errs...)
}
