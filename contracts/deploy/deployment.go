package deploy

import (
	"errors"
	"fmt"
	"os"
	"reflect"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/common"
)

// DeploymentVersion is the version of the file's form.
const DeploymentVersion = 1

// GenerationC is the generation of the contracts' ABI.
const GenerationC = "C"

const maxDeploymentFile = 1 << 20

// SubnetSet is the subnet's side.
type SubnetSet struct {
	ID          string         `json:"id"` // /r<root chain id>/<actor>
	ChainID     chains.ID      `json:"chain_id"`
	GenesisHash common.Hash    `json:"genesis_hash"`
	Gateway     common.Address `json:"gateway"`
	Replica     common.Address `json:"linked_token_replica"`
	Outbox      common.Address `json:"withdrawal_outbox"`
}

// Deployment is the file that says where everything stands; nothing in it is
// secret.
type Deployment struct {
	Version    int          `json:"version"`
	Generation string       `json:"abi_generation"`
	Root       RootSet      `json:"root"`
	Subnet     SubnetSet    `json:"subnet"`
	Bootstrap  Bootstrapped `json:"bootstrap"`
	Settings   Settings     `json:"settings"`
	// Crossing is nil where FLT does not go to Ethereum. With one, the root's FLT
	// is the interchain token.
	Crossing *Crossing `json:"crossing,omitempty"`
}

// NewDeployment describes a root set and the subnet whose genesis follows from
// it.
func NewDeployment(p GenesisParams) (Deployment, error) {
	gen, err := SubnetGenesis(p)
	if err != nil {
		return Deployment{}, err
	}
	return Deployment{
		Version: DeploymentVersion, Generation: GenerationC, Root: p.Root,
		Subnet: SubnetSet{
			ID: p.Root.Subnet().String(), ChainID: chains.ID(gen.Config.ChainID.Uint64()), GenesisHash: gen.ToBlock().Hash(),
			Gateway: ipc.GatewayAddress, Replica: ReplicaAddress, Outbox: OutboxAddress,
		},
		Bootstrap: p.Bootstrap, Settings: p.Settings, Crossing: p.Crossing,
	}, nil
}

// GenesisParams gives back what the subnet's genesis is made from.
func (d Deployment) GenesisParams() GenesisParams {
	return GenesisParams{Root: d.Root, Bootstrap: d.Bootstrap, Settings: d.Settings, ChainID: d.Subnet.ChainID, Crossing: d.Crossing}
}

// OnlyAddresses says that the file names contracts and nothing of how they were
// made: those that somebody else deployed. What they can do is for whoever
// opens them to ask.
func (d Deployment) OnlyAddresses() bool {
	return reflect.DeepEqual(d.Bootstrap, Bootstrapped{}) && reflect.DeepEqual(d.Settings, Settings{})
}

// checkAddresses joins the complaints about a file of addresses.
func (d Deployment) checkAddresses() error {
	var errs []error
	must := func(ok bool, complaint string) {
		if !ok {
			errs = append(errs, errors.New(complaint))
		}
	}
	none := common.Address{}
	must(d.Root.ChainID != 0, "root has no chain_id")
	must(d.Root.Gateway != none, "root has no gateway")
	must(d.Root.Actor != none, "root has no subnet_actor")
	must(d.Subnet.ChainID != 0 && d.Subnet.ChainID != d.Root.ChainID, "subnet has no chain_id of its own")
	must(d.Subnet.Gateway != none, "subnet has no gateway")
	must(d.Subnet.ID == "" || d.Subnet.ID == d.Root.Subnet().String(), fmt.Sprintf("subnet %s is not the one of the root's actor", d.Subnet.ID))
	linked := d.Root.Controller != none
	must(linked == (d.Root.Usdc != none) && linked == (d.Subnet.Replica != none),
		"give usdc and linked_token_controller of the root and linked_token_replica of the subnet, or none of them")
	must(d.Crossing == nil, "a crossing is Causeway's own: use the file that `causeway deploy` wrote")
	must(d.Root.FastWithdrawals == none && d.Subnet.Outbox == none, "fast_withdrawals and withdrawal_outbox are Causeway's own: use the file that `causeway deploy` wrote")
	return errors.Join(errs...)
}

// Check joins every complaint: about what no deployment has, or what does not
// follow from the rest. It does not make the genesis again, since the code in it
// belongs to the program that deployed.
func (d Deployment) Check() error {
	if d.Version != DeploymentVersion {
		return fmt.Errorf("file has version %d, this program reads %d", d.Version, DeploymentVersion)
	}
	if d.Generation != GenerationC {
		return fmt.Errorf("contracts are of generation %q, this program knows %q", d.Generation, GenerationC)
	}
	if d.OnlyAddresses() {
		return d.checkAddresses()
	}
	errs := []error{d.GenesisParams().check()}
	if d.Root.ChainID == 0 || d.Root.GenesisHash == (common.Hash{}) {
		errs = append(errs, errors.New("root has no chain id or genesis hash"))
	}
	for name, addr := range d.Root.contracts() {
		if addr == (common.Address{}) {
			errs = append(errs, fmt.Errorf("root has no %s", name))
		}
	}
	if d.Subnet.ID != d.Root.Subnet().String() {
		errs = append(errs, fmt.Errorf("subnet %s is not the one of the root's actor", d.Subnet.ID))
	}
	if d.Subnet.ChainID == 0 || d.Subnet.ChainID == d.Root.ChainID || d.Subnet.GenesisHash == (common.Hash{}) {
		errs = append(errs, errors.New("subnet has no genesis hash or no chain id of its own"))
	}
	if d.Subnet.Gateway != ipc.GatewayAddress || d.Subnet.Replica != ReplicaAddress || d.Subnet.Outbox != OutboxAddress {
		errs = append(errs, errors.New("subnet contracts are not at their fixed addresses"))
	}
	return errors.Join(errs...)
}

// WriteDeployment replaces the file as a whole.
func WriteDeployment(path string, d Deployment) error {
	if err := d.Check(); err != nil {
		return fmt.Errorf("write deployment: %w", err)
	}
	if err := writeJSON(path, d); err != nil {
		return fmt.Errorf("write deployment: %w", err)
	}
	return nil
}

// ReadDeployment reads and checks the file; an unknown field is an error.
func ReadDeployment(path string) (Deployment, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Deployment{}, fmt.Errorf("read deployment: %w", err)
	}
	if info.Size() > maxDeploymentFile {
		return Deployment{}, fmt.Errorf("read deployment: file of %d bytes is no deployment", info.Size())
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return Deployment{}, fmt.Errorf("read deployment: %w", err)
	}
	return DecodeDeployment(raw)
}

// DecodeDeployment is ReadDeployment on bytes.
func DecodeDeployment(raw []byte) (Deployment, error) {
	var d Deployment
	if err := decodeStrict(raw, &d); err != nil {
		return Deployment{}, fmt.Errorf("decode deployment: %w", err)
	}
	if err := d.Check(); err != nil {
		return Deployment{}, fmt.Errorf("check deployment: %w", err)
	}
	return d, nil
}
