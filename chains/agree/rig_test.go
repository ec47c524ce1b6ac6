package agree

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/causeway-bridge/causeway/chains/evm"
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
	proxies  []*proxy
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
		r.proxies = append(r.proxies, newProxy(t, r.chain.HTTP()))
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
			c, err := evm.Dial(ctx, evm.Config{Name: "root", URL: p.server.URL, ChainID: chainID, MaxAhead: -1, NoBloom: true, MaxBytes: 1 << 20}, nil)
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

// proxy passes requests on to a chain and lies about the answers.
type proxy struct {
	server *httptest.Server
	mu     sync.Mutex
	to     string
	change func(method string, result json.RawMessage) json.RawMessage
	handle http.HandlerFunc // instead of all that
}

func newProxy(t *testing.T, to string) *proxy {
	p := &proxy{to: to}
	p.server = httptest.NewServer(p)
	t.Cleanup(p.server.Close)
	return p
}

func (p *proxy) lie(change func(method string, result json.RawMessage) json.RawMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.change = change
}

func (p *proxy) instead(h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handle = h
}

// moveTo ends all connections; the next ones lead to another chain.
func (p *proxy) moveTo(url string) {
	p.mu.Lock()
	p.to = url
	p.mu.Unlock()
	p.server.CloseClientConnections()
}

type message struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	to, change, handle := p.to, p.change, p.handle
	p.mu.Unlock()
	asked, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if handle != nil {
		handle(w, r)
		return
	}
	resp, err := http.Post(to, "application/json", bytes.NewReader(asked))
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	answered, err := io.ReadAll(resp.Body)
	if err != nil {
		return
	}
	if change != nil {
		answered = apply(change, asked, answered)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answered)
}

func apply(change func(string, json.RawMessage) json.RawMessage, asked, answered []byte) []byte {
	var qs, as []message
	single := json.Unmarshal(asked, &qs) != nil
	if single {
		qs, as = make([]message, 1), make([]message, 1)
		if json.Unmarshal(asked, &qs[0]) != nil || json.Unmarshal(answered, &as[0]) != nil {
			return answered
		}
	} else if json.Unmarshal(answered, &as) != nil {
		return answered
	}
	methods := map[string]string{}
	for _, q := range qs {
		methods[string(q.ID)] = q.Method
	}
	for i := range as {
		if len(as[i].Result) > 0 {
			as[i].Result = change(methods[string(as[i].ID)], as[i].Result)
		}
	}
	var out []byte
	if single {
		out, _ = json.Marshal(as[0])
	} else {
		out, _ = json.Marshal(as)
	}
	return out
}

// list changes the list that a method answers with.
func list(method string, edit func([]map[string]any) []map[string]any) func(string, json.RawMessage) json.RawMessage {
	return func(m string, raw json.RawMessage) json.RawMessage {
		var l []map[string]any
		if m != method || json.Unmarshal(raw, &l) != nil {
			return raw
		}
		out, _ := json.Marshal(edit(l))
		return out
	}
}

// object changes the object that a method answers with.
func object(method string, edit func(map[string]any)) func(string, json.RawMessage) json.RawMessage {
	return func(m string, raw json.RawMessage) json.RawMessage {
		var o map[string]any
		if m != method || json.Unmarshal(raw, &o) != nil || o == nil {
			return raw
		}
		edit(o)
		out, _ := json.Marshal(o)
		return out
	}
}
