package subnet

import (
	"encoding/json"
	"fmt"
	"math/big"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/stretchr/testify/require"
)

// shell is how a contract answers for functions that it has or has not.
type shell int

const (
	plainCode   shell = iota // reverts without data: only its code tells
	withLoupe                // a diamond with a loupe
	withoutOne               // a diamond without
	silent                   // the same behind an RPC that gives no revert data
	behindProxy              // an ERC-1967 proxy of plain code
	clone                    // an ERC-1167 clone of plain code
	answering                // a fallback that answers everything with a word
)

// stand is one contract of a probe's world.
type stand struct {
	shell shell
	has   []ipc.Selector
	views map[ipc.Selector][]byte
}

var (
	childGateway = common.Address{0xc6}
	rootGate     = common.Address{0x6a}
	behind       = common.Address{0xb1}
)

// pushes is code that pushes each selector, with a decoy inside a longer push.
func pushes(decoy ipc.Selector, has []ipc.Selector) []byte {
	code := append([]byte{0x60, 0x80, 0x68, 0x63}, decoy[:]...)
	code = append(code, 0, 0, 0, 0)
	for _, s := range has {
		want := s[:]
		for len(want) > 1 && want[0] == 0 {
			want = want[1:]
		}
		code = append(append(code, 0x80, 0x5f+byte(len(want))), want...)
		code = append(code, 0x14)
	}
	return append(code, 0x63, 0x01) // ends inside a push
}

func (s stand) find(sel ipc.Selector) bool {
	for _, h := range s.has {
		if h == sel {
			return true
		}
	}
	return false
}

// probeWorld answers for a set of contracts, all on one chain.
func probeWorld(t *testing.T, n *fake.Node, stands map[common.Address]stand) {
	t.Helper()
	n.On("eth_getCode", func(c *fake.Call, _ func()) {
		var at common.Address
		require.NoError(t, json.Unmarshal(c.Params[0], &at))
		s, ok := stands[at]
		decoy := selDeliver
		switch {
		case at == behind:
			for _, s := range stands {
				if s.shell == behindProxy || s.shell == clone {
					c.Result = hexutil.Bytes(pushes(decoy, s.has))
				}
			}
		case !ok:
			c.Result = hexutil.Bytes{}
		case s.shell == clone:
			c.Result = hexutil.Bytes(append(append(append([]byte(nil), cloneHead...), behind[:]...), cloneTail...))
		case s.shell == plainCode:
			c.Result = hexutil.Bytes(pushes(decoy, s.has))
		default:
			c.Result = hexutil.Bytes(pushes(decoy, nil))
		}
	})
	n.On("eth_getStorageAt", func(c *fake.Call, _ func()) {
		var at common.Address
		var slot common.Hash
		require.NoError(t, json.Unmarshal(c.Params[0], &at))
		require.NoError(t, json.Unmarshal(c.Params[1], &slot))
		require.Equal(t, "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc", slot.Hex())
		c.Result = common.Hash{}
		if stands[at].shell == behindProxy {
			c.Result = common.BytesToHash(behind[:])
		}
	})
	n.OnCall(func(to common.Address, data []byte) ([]byte, *fake.Error) {
		s, ok := stands[to]
		if !ok {
			return nil, nil
		}
		sel := ipc.Selector(data[:4])
		if answer, ok := s.views[sel]; ok {
			return answer, nil
		}
		revert := &fake.Error{Code: 3, Message: "execution reverted", Data: "0x"}
		missing := &fake.Error{Code: 3, Message: "execution reverted", Data: hexutil.Encode(append(selNotFound.Bytes(), common.RightPadBytes(sel[:], 32)...))}
		switch s.shell {
		case withLoupe:
			if sel == ipc.SelFacetAddress {
				asked := ipc.Selector(data[4:8])
				if asked == ipc.SelFacetAddress || s.find(asked) {
					return common.LeftPadBytes(common.Address{9}.Bytes(), 32), nil
				}
				return make([]byte, 32), nil
			}
			return nil, missing
		case withoutOne:
			if s.find(sel) {
				return nil, &fake.Error{Code: 3, Message: "execution reverted", Data: hexutil.Encode(ipc.SelectorOf("NotSystemActor()").Bytes())}
			}
			return nil, missing
		case silent:
			if s.find(sel) {
				return make([]byte, 32), nil
			}
			return nil, revert
		case answering:
			return make([]byte, 32), nil
		}
		return nil, revert
	})
}

// published are the functions of published contracts that a probe asks for, ours
// those of our own.
func publishedSet(in shell) map[common.Address]stand {
	period := common.LeftPadBytes(big.NewInt(10).Bytes(), 32)
	supply := append(common.LeftPadBytes([]byte{1}, 32), common.LeftPadBytes(common.Address{0xf1}.Bytes(), 32)...)
	return map[common.Address]stand{
		actor: {in, []ipc.Selector{ipc.SelSubmitCheckpointC, ipc.SelExecBatchC, ipc.SelCheckPeriod, ipc.SelSupplySource},
			map[ipc.Selector][]byte{ipc.SelCheckPeriod: period, ipc.SelSupplySource: supply}},
		rootGate:     {in, []ipc.Selector{ipc.SelFundWithToken, ipc.SelGatewayExecBatch}, nil},
		childGateway: {in, []ipc.Selector{ipc.SelApplyMessagesH, ipc.SelCreateCheckpointC, ipc.SelGetCheckpointSignatureBundle, ipc.SelBottomUpBatch, ipc.SelAppliedTopDown}, nil},
	}
}

func contractsOfTest() Contracts {
	return Contracts{ID: ipc.NewSubnetID(1, actor), Gateway: rootGate, Actor: actor, SubnetGateway: childGateway}
}

func TestPublishedContractsAreKnownByTheirSelectorsHoweverTheyAreBuilt(t *testing.T) {
	for _, in := range []shell{plainCode, withLoupe, withoutOne, silent} {
		t.Run(fmt.Sprint(in), func(t *testing.T) {
			n := fake.NewNode(t, testChain)
			n.Mine()
			e := dial(t, n)
			probeWorld(t, n, publishedSet(in))
			got, err := Probe(t.Context(), e, e, contractsOfTest())
			require.NoError(t, err)
			require.Equal(t, Capabilities{Bundles: true, Batches: true, Period: 10, Supply: common.Address{0xf1}}, got)
			require.Equal(t, []string{"bundles_on_chain", "batches_on_chain"}, got.Names())
			require.True(t, got.implicit())
		})
	}
}

// TestOurOwnCodeIsKnownByWhatItPushes asks the code that deploy puts on a chain.
func TestOurOwnCodeIsKnownByWhatItPushes(t *testing.T) {
	n := fake.NewNode(t, testChain)
	n.Mine()
	e := dial(t, n)
	views := publishedSet(plainCode)[actor].views
	probeWorld(t, n, map[common.Address]stand{actor: {plainCode, nil, views}, rootGate: {}, childGateway: {}})
	n.On("eth_getCode", func(c *fake.Call, _ func()) {
		var at common.Address
		require.NoError(t, json.Unmarshal(c.Params[0], &at))
		c.Result = hexutil.Bytes(common.FromHex(map[common.Address]string{
			actor: bindings.SubnetActorMetaData.Bin, rootGate: bindings.GatewayMetaData.Bin, childGateway: bindings.SubnetGatewayMetaData.Bin,
		}[at]))
	})
	got, err := Probe(t.Context(), e, e, contractsOfTest())
	require.NoError(t, err)
	require.Equal(t, Capabilities{
		Ordered: true, Weights: true, Explicit: true, Configures: true, ExitFee: true, Period: 10, Supply: common.Address{0xf1},
	}, got)
	require.False(t, got.implicit())
}

func TestAProxyHasWhatItsImplementationHas(t *testing.T) {
	for _, in := range []shell{behindProxy, clone} {
		n := fake.NewNode(t, testChain)
		n.Mine()
		e := dial(t, n)
		set := publishedSet(withLoupe)
		inner := set[childGateway]
		inner.shell = in
		set[childGateway] = inner
		probeWorld(t, n, set)
		got, err := Probe(t.Context(), e, e, contractsOfTest())
		require.NoError(t, err)
		require.True(t, got.Bundles && got.Batches && !got.Explicit && !got.ExitFee, "%v", got)
	}
}

func TestWhatCannotBeAskedIsAnErrorAndNeverAnAbsence(t *testing.T) {
	open := func(t *testing.T, set map[common.Address]stand) (*fake.Node, func() error) {
		n := fake.NewNode(t, testChain)
		n.Mine()
		e := dial(t, n)
		probeWorld(t, n, set)
		return n, func() error {
			_, err := Probe(t.Context(), e, e, contractsOfTest())
			return err
		}
	}
	set := publishedSet(withLoupe)
	delete(set, childGateway)
	_, probe := open(t, set)
	require.ErrorIs(t, probe(), ErrNoContract)

	// Generations that this program does not speak.
	for _, sel := range []ipc.Selector{ipc.SelSubmitCheckpointA, ipc.SelSubmitCheckpointB2, ipc.SelSubmitCheckpointD} {
		set := publishedSet(withLoupe)
		a := set[actor]
		a.has = append(a.has, sel)
		set[actor] = a
		_, probe := open(t, set)
		require.ErrorIs(t, probe(), ErrGeneration)
	}
	set = publishedSet(withLoupe)
	a := set[actor]
	a.has = a.has[1:]
	set[actor] = a
	_, probe = open(t, set)
	require.ErrorIs(t, probe(), ErrGeneration, "no submitCheckpoint at all")
	set = publishedSet(withLoupe)
	set[actor].views[ipc.SelCheckPeriod] = make([]byte, 32)
	_, probe = open(t, set)
	require.ErrorIs(t, probe(), ErrGeneration, "a period of 0")

	// A fallback that answers everything is no proof of a function.
	set = publishedSet(withLoupe)
	set[rootGate] = stand{answering, nil, nil}
	_, probe = open(t, set)
	require.NoError(t, probe())

	// Endpoints that fail, at any of the questions.
	for _, method := range []string{"eth_getCode", "eth_getStorageAt", "eth_call"} {
		n, probe := open(t, publishedSet(withLoupe))
		n.On(method, fake.Fail(-32000, "header not found", nil))
		require.ErrorIs(t, probe(), chains.ErrUnavailable, method)
	}
}
