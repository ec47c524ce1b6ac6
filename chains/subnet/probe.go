package subnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

var (
	// ErrNoContract says that an address has no code.
	ErrNoContract = errors.New("no contract at this address")
	// ErrGeneration says that a subnet's contracts are of a generation that this
	// program does not speak.
	ErrGeneration = errors.New("contracts of another generation")
)

// Contracts are those of one subnet that are probed.
type Contracts struct {
	ID             ipc.SubnetID   // of the subnet
	Gateway, Actor common.Address // on the root
	SubnetGateway  common.Address // in the subnet
}

// Capabilities are what contracts of one ABI may or may not have besides it
// (PROTOCOL 56). Published contracts have what the ABI names and none of the
// rest; ours have it all but Bundles and Batches.
type Capabilities struct {
	// Ordered: the root refuses a message of a wrong nonce. Without it, such a
	// message is executed into nothing and lost for good.
	Ordered bool
	// Weights: the actor lists its set with the weights that count.
	Weights bool
	// Explicit: messages are delivered to the subnet by transactions; otherwise
	// its nodes apply them by themselves.
	Explicit bool
	// Configures: the subnet switches its set on a transaction.
	Configures bool
	// ExitFee: messages to the root pay a fee in the subnet.
	ExitFee bool
	// Bundles: signatures on checkpoints are kept by the subnet's gateway.
	Bundles bool
	// Batches: the subnet's gateway records the messages of a checkpoint as a
	// whole, when the checkpoint is made.
	Batches bool

	// Period is the number of subnet blocks between checkpoints, Supply the root
	// token that the subnet's coin stands for; zero is the root's own coin.
	Period uint64
	Supply common.Address
}

// Selectors that show a capability.
var (
	selOrdered   = selector(&bindings.GatewayMetaData, "quarantinedHash")
	selWeights   = selector(&bindings.SubnetActorMetaData, "getValidators")
	selDeliver   = selector(&bindings.SubnetGatewayMetaData, "deliver")
	selStatement = selector(&bindings.SubnetGatewayMetaData, "commitParentFinality")
	selConfigure = selector(&bindings.SubnetGatewayMetaData, "applyConfiguration")
	selExitFee   = selector(&bindings.SubnetGatewayMetaData, "exitFee")
)

// Probe asks the contracts themselves, at the newest blocks, what they can do.
// It returns ErrNoContract, ErrGeneration, or the error of a chain that gave no
// answer.
func Probe(ctx context.Context, root, child evm.Reader, c Contracts) (Capabilities, error) {
	var out Capabilities
	actor, err := inspect(ctx, root, c.Actor)
	if err != nil {
		return out, fmt.Errorf("subnet actor %s: %w", c.Actor, err)
	}
	if err := actor.generation(ctx); err != nil {
		return out, fmt.Errorf("subnet actor %s: %w", c.Actor, err)
	}
	gateway, err := inspect(ctx, root, c.Gateway)
	if err != nil {
		return out, fmt.Errorf("root gateway %s: %w", c.Gateway, err)
	}
	inner, err := inspect(ctx, child, c.SubnetGateway)
	if err != nil {
		return out, fmt.Errorf("subnet gateway %s: %w", c.SubnetGateway, err)
	}
	for _, q := range []struct {
		of   *probed
		sel  ipc.Selector
		into *bool
	}{
		{gateway, selOrdered, &out.Ordered},
		{actor, selWeights, &out.Weights},
		{inner, selConfigure, &out.Configures},
		{inner, selExitFee, &out.ExitFee},
		{inner, ipc.SelGetCheckpointSignatureBundle, &out.Bundles},
		{inner, ipc.SelBottomUpBatch, &out.Batches},
	} {
		if *q.into, err = q.of.has(ctx, q.sel); err != nil {
			return out, fmt.Errorf("probe %s for %s: %w", q.of.at, q.sel, err)
		}
	}
	out.Explicit = true
	for _, sel := range []ipc.Selector{selDeliver, selStatement} {
		has, err := inner.has(ctx, sel)
		if err != nil {
			return out, fmt.Errorf("probe %s for %s: %w", inner.at, sel, err)
		}
		out.Explicit = out.Explicit && has
	}
	return out, c.read(ctx, root, &out)
}

// read asks for what is a number or an address.
func (c Contracts) read(ctx context.Context, root evm.Reader, out *Capabilities) error {
	act, err := parse(&bindings.SubnetActorMetaData)
	if err != nil {
		return err
	}
	if err := read(ctx, root, c.Actor, act, evm.AtLatest, "bottomUpCheckPeriod", &out.Period); err != nil {
		return err
	}
	if out.Period == 0 {
		return fmt.Errorf("subnet actor %s: its checkpoint period is 0: %w", c.Actor, ErrGeneration)
	}
	var supply asset
	if err := read(ctx, root, c.Actor, act, evm.AtLatest, "supplySource", &supply); err != nil {
		return err
	}
	if supply.Kind == assetERC20 {
		out.Supply = supply.TokenAddress
	}
	return nil
}

// asset is how an actor names its supply or collateral.
type asset struct {
	Kind         uint8
	TokenAddress common.Address
}

const assetERC20 = 1

// Names lists the capabilities that are there, for people.
func (c Capabilities) Names() []string {
	var out []string
	for _, n := range []struct {
		has  bool
		name string
	}{
		{c.Ordered, "ordered_execution"}, {c.Weights, "weights"}, {c.Explicit, "explicit_delivery"}, {c.Configures, "explicit_configuration"},
		{c.ExitFee, "exit_fee"}, {c.Bundles, "bundles_on_chain"}, {c.Batches, "batches_on_chain"},
	} {
		if n.has {
			out = append(out, n.name)
		}
	}
	return out
}

// probed is one address with what tells whether it has a function.
type probed struct {
	client  evm.Reader
	at      common.Address
	code    []byte // its own and, behind a proxy, its implementation's
	loupe   bool   // facetAddress answers
	diamond bool   // unknown selectors revert with FunctionNotFound
}

var (
	// slotImplementation is where ERC-1967 proxies keep their implementation.
	slotImplementation = common.BigToHash(new(big.Int).Sub(crypto.Keccak256Hash([]byte("eip1967.proxy.implementation")).Big(), big.NewInt(1)))
	// An ERC-1167 clone is its implementation's address between these.
	cloneHead, cloneTail = common.FromHex("363d3d373d3d3d363d73"), common.FromHex("5af43d82803e903d91602b57fd5bf3")
	selNotFound          = ipc.SelectorOf("FunctionNotFound(bytes4)")
)

// inspect reads the code and finds out how the contract names its functions.
func inspect(ctx context.Context, client evm.Reader, at common.Address) (*probed, error) {
	c := &probed{client: client, at: at}
	var err error
	if c.code, err = client.CodeAt(ctx, at, evm.AtLatest); err != nil {
		return nil, fmt.Errorf("read code: %w", err)
	}
	if len(c.code) == 0 {
		return nil, ErrNoContract
	}
	implementation, err := c.implementation(ctx)
	if err != nil {
		return nil, err
	}
	if implementation != (common.Address{}) {
		behind, err := client.CodeAt(ctx, implementation, evm.AtLatest)
		if err != nil {
			return nil, fmt.Errorf("read code: %w", err)
		}
		c.code = slices.Concat(c.code, behind)
	}

	// A diamond with a loupe says for each selector which facet has it. The
	// selector of the loupe itself must be among them, so that a fallback which
	// answers everything is not taken for one.
	facet, answered, err := c.facet(ctx, ipc.SelFacetAddress)
	if err != nil {
		return nil, err
	}
	c.loupe = answered && facet != (common.Address{})
	return c, nil
}

func (c *probed) implementation(ctx context.Context) (common.Address, error) {
	if inside, ok := bytes.CutPrefix(c.code, cloneHead); ok && len(inside) == common.AddressLength+len(cloneTail) && bytes.HasSuffix(inside, cloneTail) {
		return common.BytesToAddress(inside[:common.AddressLength]), nil
	}
	word, err := c.client.StorageAt(ctx, c.at, slotImplementation, evm.AtLatest)
	if err != nil {
		return common.Address{}, fmt.Errorf("read proxy slot: %w", err)
	}
	return common.BytesToAddress(word[:]), nil
}

// facet asks the loupe; answered is false where there is none.
func (c *probed) facet(ctx context.Context, sel ipc.Selector) (facet common.Address, answered bool, err error) {
	raw, err := c.client.Call(ctx, c.at, append(ipc.SelFacetAddress.Bytes(), common.RightPadBytes(sel[:], 32)...), evm.AtLatest)
	if reverted, ok := revertOf(err); ok {
		c.diamond = notFound(reverted, ipc.SelFacetAddress)
		return common.Address{}, false, nil
	}
	if err != nil {
		return common.Address{}, false, fmt.Errorf("ask the loupe: %w", err)
	}
	if len(raw) != 32 || !bytes.Equal(raw[:12], make([]byte, 12)) {
		return common.Address{}, false, nil
	}
	return common.BytesToAddress(raw), true, nil
}

// has says whether the contract has a function. In this order: what its loupe
// says; what calling it says, where that is unmistakable (an answer, or an
// error other than "no such function"); whether its code names the selector.
func (c *probed) has(ctx context.Context, sel ipc.Selector) (bool, error) {
	if c.loupe {
		facet, answered, err := c.facet(ctx, sel)
		if err != nil {
			return false, err
		}
		if !answered {
			return false, fmt.Errorf("the loupe stopped answering: %w", chains.ErrUnavailable)
		}
		return facet != (common.Address{}), nil
	}
	raw, err := c.client.Call(ctx, c.at, append(sel.Bytes(), make([]byte, 32)...), evm.AtLatest)
	reverted, isRevert := revertOf(err)
	switch {
	case err != nil && !isRevert:
		return false, err
	case isRevert && notFound(reverted, sel):
		return false, nil
	case isRevert && c.diamond:
		// Its fallback knows the selector, or it would have said so.
		return len(reverted) > 0 || names(c.code, sel), nil
	case !isRevert && len(raw) >= 32 && !c.answersAnything(ctx):
		return true, nil
	}
	return names(c.code, sel), nil
}

// answersAnything says whether a selector that nobody has is answered too.
func (c *probed) answersAnything(ctx context.Context) bool {
	raw, err := c.client.Call(ctx, c.at, append([]byte{0xde, 0xad, 0x0c, 0x5a}, make([]byte, 32)...), evm.AtLatest)
	return err == nil && len(raw) > 0
}

// generation refuses an actor that does not take generation C's checkpoints.
func (c *probed) generation(ctx context.Context) error {
	for sel, g := range ipc.SubmitSelectors() {
		if g == ipc.GenerationC {
			continue
		}
		has, err := c.has(ctx, sel)
		if err != nil {
			return fmt.Errorf("probe for generation %s: %w", g, err)
		}
		if has {
			return fmt.Errorf("it takes checkpoints of generation %s: %w", g, ErrGeneration)
		}
	}
	for _, sel := range []ipc.Selector{ipc.SelSubmitCheckpointC, ipc.SelExecBatchC} {
		has, err := c.has(ctx, sel)
		if err != nil {
			return fmt.Errorf("probe for %s: %w", sel, err)
		}
		if !has {
			return fmt.Errorf("it has no function %s of generation C: %w", sel, ErrGeneration)
		}
	}
	return nil
}

// revertOf is the data of a revert.
func revertOf(err error) ([]byte, bool) {
	var revert *chains.RevertError
	if !errors.As(err, &revert) {
		return nil, false
	}
	return revert.Data, true
}

// notFound says whether a revert is a diamond's FunctionNotFound(sel).
func notFound(data []byte, sel ipc.Selector) bool {
	return len(data) >= 8 && bytes.Equal(data[:4], selNotFound[:]) && bytes.Equal(data[4:8], sel[:])
}

const (
	opPush1  = 0x60
	opPush4  = 0x63
	opPush32 = 0x7f
)

// names says whether code pushes a selector, as a compiler's dispatcher does:
// four bytes, or fewer where the first are zero.
func names(code []byte, sel ipc.Selector) bool {
	want := bytes.TrimLeft(sel[:], "\x00")
	if len(want) == 0 {
		return false
	}
	for i := 0; i < len(code); i++ {
		if code[i] < opPush1 || code[i] > opPush32 {
			continue
		}
		n := int(code[i]-opPush1) + 1
		if code[i] <= opPush4 && n == len(want) && i+n < len(code) && bytes.Equal(code[i+1:i+1+n], want) {
			return true
		}
		i += n
	}
	return false
}

type metadata interface{ ParseABI() (*abi.ABI, error) }

// selector is that of a function of our own contracts.
func selector(m metadata, function string) (out ipc.Selector) {
	parsed, err := m.ParseABI()
	if err != nil {
		panic("[BUG] " + err.Error())
	}
	method, ok := parsed.Methods[function]
	if !ok {
		panic("[BUG] no function " + function)
	}
	copy(out[:], method.ID)
	return out
}
