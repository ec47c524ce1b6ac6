package network

import (
	"context"
	"encoding/base64"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/axelar/gmpapi"
	"github.com/causeway-bridge/causeway/test/gmp"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const chainName = "filecoin"

var (
	gateway = axelar.NewAmplifier(common.Address{0x9a}, common.Hash{1})
	its     = common.HexToAddress("0xB5FB4BE02232B1bBA4dC8f81dc24C26980dE9e3C")
)

// world is a service, a gateway, and the chain's transaction manager.
type world struct {
	t       testing.TB
	service *gmp.Server
	file    string
	api     *gmpapi.Client

	mu       sync.Mutex
	now      time.Time
	states   map[string]axelar.State // by message id
	standing axelar.Standing
	live     map[string]bool // keys of undecided transactions
	txs      []chains.Tx
	sendErr  error
	askErr   error
}

func newWorld(t testing.TB) *world {
	w := &world{
		t: t, service: gmp.New(chainName), file: filepath.Join(t.TempDir(), "gmp.json"), now: time.Unix(1_800_000_000, 0),
		states: map[string]axelar.State{}, live: map[string]bool{},
	}
	srv := httptest.NewServer(w.service)
	t.Cleanup(srv.Close)
	var err error
	w.api, err = gmpapi.New(gmpapi.Config{URL: srv.URL, Chain: chainName, Timeout: 5 * time.Second, RetryFor: time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(w.api.Close)
	return w
}

// start is a chain as it is after a start.
func (w *world) start() *Chain {
	w.t.Helper()
	c, err := New(Config{
		Gateway: gateway, Client: w.api, File: w.file, Clock: func() time.Time { return w.now },
		Mine: func(m axelar.Message, payload []byte) bool { return m.Contract == its },
		States: func(_ context.Context, of []axelar.Message) ([]axelar.State, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			out := make([]axelar.State, len(of))
			for i, m := range of {
				out[i] = w.states[m.ID]
			}
			return out, w.askErr
		},
		Standing: func(context.Context, axelar.WeightedSigners) (axelar.Standing, error) { return w.standing, w.askErr },
		Send: func(_ context.Context, tx chains.Tx) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.sendErr != nil {
				return w.sendErr
			}
			if !w.live[tx.Key] {
				w.live[tx.Key] = true
				w.txs = append(w.txs, tx)
			}
			return nil
		},
	})
	require.NoError(w.t, err)
	return c
}

// mine puts what is undecided into a block.
func (w *world) mine() {
	for _, tx := range w.txs {
		c, err := axelar.DecodeCommand(tx.Data)
		require.NoError(w.t, err)
		for _, m := range c.Approve {
			w.states[m.ID] = axelar.StateApproved
		}
	}
	clear(w.live)
}

// work looks until there is nothing more to do now.
func (w *world) work(c *Chain) error {
	for range 100 {
		more, err := c.Work(w.t.Context())
		if err != nil || !more {
			return err
		}
	}
	w.t.Fatal("there is always more")
	return nil
}

func hubMessage(n byte, payload []byte) axelar.Message {
	return axelar.Message{
		SourceChain: axelar.HubChain, ID: axelar.MessageID{Tx: common.Hash{n}, Index: 164269022}.String(), SourceAddress: "axelar1hub",
		Contract: its, PayloadHash: crypto.Keccak256Hash(payload),
	}
}

// signed is call data for the gateway with a proof of one signer.
func signed(t testing.TB, c axelar.Command) []byte {
	key, err := crypto.ToECDSA(common.Hash{31: 1}.Bytes())
	require.NoError(t, err)
	set := axelar.WeightedSigners{Signers: []axelar.WeightedSigner{{Signer: crypto.PubkeyToAddress(key.PublicKey), Weight: common.Big1}}, Threshold: common.Big1}
	digest, err := gateway.Digest(set, c)
	require.NoError(t, err)
	sig, err := crypto.Sign(digest[:], key)
	require.NoError(t, err)
	sig[64] += 27
	data, err := gateway.Calldata(set, c, [][]byte{sig})
	require.NoError(t, err)
	return data
}

func gatewayTx(data []byte) map[string]any {
	return map[string]any{"executeData": base64.StdEncoding.EncodeToString(data)}
}

func executeTask(m axelar.Message, payload []byte) map[string]any {
	return map[string]any{
		"message": map[string]any{
			"messageID": m.ID, "sourceChain": m.SourceChain, "sourceAddress": m.SourceAddress, "destinationAddress": m.Contract.Hex(),
			"payloadHash": base64.StdEncoding.EncodeToString(m.PayloadHash[:]),
		},
		"payload": base64.StdEncoding.EncodeToString(payload), "availableGasBalance": map[string]any{"amount": "5"},
	}
}

// events are those of a type that the service has taken.
func (w *world) events(kind string) (out []map[string]any) {
	for _, e := range w.service.Events(chainName) {
		if e["type"] == kind {
			out = append(out, e)
		}
	}
	return out
}

// log is an event of the gateway.
func log(index uint, topics []common.Hash, data []byte) chains.Event {
	return chains.Event{
		Chain: 314, Block: 7, BlockHash: common.Hash{7}, BlockTime: 1_800_000_000, Tx: common.Hash{0x77}, Index: index, Position: index,
		Address: gateway.Address(), Topics: topics, Data: data,
	}
}

func executedLog(m axelar.Message) chains.Event {
	return log(3, []common.Hash{crypto.Keccak256Hash([]byte("MessageExecuted(bytes32)")), axelar.CommandID(m.SourceChain, m.ID)}, nil)
}
