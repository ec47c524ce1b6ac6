package agree

import (
	"context"
	"crypto/ecdsa"
	"fmt"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

const chainID = 4242

var topic = common.BigToHash(big.NewInt(1))

// logger logs its call data under topic 1:
//
//	calldatacopy(0,0,size); log1(0,size,1); stop
var logger = common.FromHex("3660006000376001366000a100")

// rig is a real chain that is mined by hand, endpoints of it that can be made to
// lie, and a client of them.
type rig struct {
	t        *testing.T
	chain    *devchain.Chain
	key      *ecdsa.PrivateKey
	honest   *evm.Client
	contract common.Address
	nonce    uint64
	proxies  []*fake.Proxy
	readers  []*lying
	client   *Client
	clock    time.Time
}

// newRig has n endpoints of which k must agree, and a chain of which the newest two
// blocks are not final.
func newRig(t *testing.T, n, k int) *rig {
	t.Helper()
	r := newChain(t, chainID)
	r.send(nil, append(common.FromHex(fmt.Sprintf("60%02x600c60003960%02x6000f3", len(logger), len(logger))), logger...))
	r.mine(1)
	for range n {
		r.proxies = append(r.proxies, fake.NewProxy(t, r.chain.HTTP()))
		r.readers = append(r.readers, &lying{})
	}
	require.NoError(t, r.dial(k))
	return r
}

func newChain(t *testing.T, id chains.ID) *rig {
	key, err := crypto.GenerateKey()
	require.NoError(t, err)
	account := crypto.PubkeyToAddress(key.PublicKey)
	chain, err := devchain.Start(t.Context(), devchain.Config{
		ChainID: id, FinalityDepth: 2, HTTPAddr: "127.0.0.1:0", Alloc: map[common.Address]*big.Int{account: new(big.Int).Lsh(big.NewInt(1), 80)},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, chain.Close()) })
	chain.Pause()
	r := &rig{t: t, chain: chain, key: key, contract: crypto.CreateAddress(account, 0), clock: time.Unix(1e9, 0)}
	r.honest, err = evm.Dial(t.Context(), evm.Config{Name: "honest", URL: chain.HTTP(), ChainID: id, MaxAhead: -1}, nil)
	require.NoError(t, err)
	t.Cleanup(r.honest.Close)
	return r
}

// dial makes the client anew. Nothing is looked after but when a test says so.
func (r *rig) dial(k int) error {
	var list []Endpoint
	for i, p := range r.proxies {
		list = append(list, Endpoint{Name: string(rune('a' + i)), Dial: func(ctx context.Context) (evm.Reader, error) {
			// Its headers say nothing of what their blocks hold, as Lotus' do.
			c, err := evm.Dial(ctx, evm.Config{Name: "root", URL: p.URL(), ChainID: chainID, MaxAhead: -1, NoBloom: true, MaxBytes: 1 << 20}, nil)
			if err != nil {
				return nil, err
			}
			r.readers[i].Reader = c
			return r.readers[i], nil
		}})
	}
	c, err := Dial(r.t.Context(), Config{Name: "root", ChainID: chainID, K: k, Grace: 100 * time.Millisecond, Timeout: 5 * time.Second, Retry: -1}, list, nil)
	if err != nil {
		return err
	}
	c.now = func() time.Time { return r.clock }
	r.t.Cleanup(c.Close)
	r.client = c
	return nil
}

func (r *rig) mine(n int) { require.NoError(r.t, r.chain.Mine(r.t.Context(), n)) }

func (r *rig) sign(to *common.Address, data []byte) *types.Transaction {
	id := new(big.Int).SetUint64(uint64(r.chain.ChainID()))
	tx, err := types.SignNewTx(r.key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, Nonce: r.nonce, To: to, Data: data, Gas: 400_000,
		GasFeeCap: big.NewInt(100_000_000_000), GasTipCap: big.NewInt(2_000_000_000),
	})
	require.NoError(r.t, err)
	r.nonce++
	return tx
}

func (r *rig) send(to *common.Address, data []byte) common.Hash {
	tx := r.sign(to, data)
	raw, err := tx.MarshalBinary()
	require.NoError(r.t, err)
	require.NoError(r.t, r.honest.SendRaw(r.t.Context(), raw))
	return tx.Hash()
}

func (r *rig) query() chains.Query {
	return chains.Query{
		From:   chains.Cursor{Chain: chainID, Next: 1, Parent: r.chain.Genesis().Hash},
		To:     1 << 40,
		Filter: chains.Filter{Addresses: []common.Address{r.contract}, Topics: []common.Hash{topic}},
	}
}

func (r *rig) status(name string) EndpointStatus {
	for _, e := range r.client.Status().Endpoints {
		if e.Name == name {
			return e
		}
	}
	r.t.Fatalf("no endpoint %s", name)
	return EndpointStatus{}
}

// lying is a real reader that may tell another head.
type lying struct {
	evm.Reader
	mu   sync.Mutex
	head func(chains.Block) chains.Block
}

func (l *lying) tell(head func(chains.Block) chains.Block) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.head = head
}

func (l *lying) Head(ctx context.Context) (chains.Block, error) {
	b, err := l.Reader.Head(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.head != nil && err == nil {
		b = l.head(b)
	}
	return b, err
}
