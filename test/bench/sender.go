package main

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
)

// call is one transaction of the user.
type call struct {
	to    common.Address
	data  []byte
	value *big.Int
}

// sender signs ahead and sends in batches, so that the user's side is not what
// is measured. One goroutine sends at a time; the lock keeps two phases that
// share a chain apart.
type sender struct {
	mu      sync.Mutex
	eth     *ethclient.Client
	key     *ecdsa.PrivateKey
	chainID *big.Int
	nonce   uint64
	known   bool
}

func newSender(ctx context.Context, url string, key *ecdsa.PrivateKey) (*sender, error) {
	c, err := ethclient.DialContext(ctx, url)
	if err != nil {
		return nil, errors.New("connect to a chain: the URL is not usable")
	}
	id, err := c.ChainID(ctx)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("read chain id: %w", err)
	}
	return &sender{eth: c, key: key, chainID: id}, nil
}

func (s *sender) close() { s.eth.Close() }

func (s *sender) address() common.Address { return crypto.PubkeyToAddress(s.key.PublicKey) }

// sent is one transaction and when its node had taken it.
type sent struct {
	hash common.Hash
	at   time.Time
}

// chunk is how many raw transactions ride in one request.
const chunk = 100

// send signs all calls, then broadcasts them in the order given.
func (s *sender) send(ctx context.Context, calls []call) (began time.Time, out []sent, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	raw, hashes, err := s.sign(ctx, calls)
	if err != nil {
		return began, nil, err
	}
	began = time.Now()
	for from := 0; from < len(raw); from += chunk {
		to := min(from+chunk, len(raw))
		batch := make([]rpc.BatchElem, to-from)
		for i := range batch {
			batch[i] = rpc.BatchElem{Method: "eth_sendRawTransaction", Args: []any{hexutil.Encode(raw[from+i])}, Result: new(common.Hash)}
		}
		if err := s.eth.Client().BatchCallContext(ctx, batch); err != nil {
			return began, nil, fmt.Errorf("broadcast: %w", err)
		}
		at := time.Now()
		for i, e := range batch {
			if e.Error != nil {
				s.known = false
				return began, nil, fmt.Errorf("broadcast of transaction %d of %d: %w", from+i, len(raw), e.Error)
			}
			out = append(out, sent{hashes[from+i], at})
		}
	}
	return began, out, nil
}

// pooled waits until the next block may hold all that was sent: a pool answers
// before it has sorted in what it took.
func (s *sender) pooled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		nonce, err := s.eth.PendingNonceAt(ctx, s.address())
		if err != nil {
			return fmt.Errorf("read nonce: %w", err)
		}
		if nonce >= s.nonce {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the pool has transactions up to %d, %d were sent: %w", nonce, s.nonce, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}

// feeRoom is how many times the base fee a call may pay: each full block raises
// it by an eighth, and a burst fills as many as 40.
const feeRoom = 200

// sign gives every call twice the gas that it needs now.
func (s *sender) sign(ctx context.Context, calls []call) (raw [][]byte, hashes []common.Hash, err error) {
	head, err := s.eth.HeaderByNumber(ctx, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("read head: %w", err)
	}
	tip := big.NewInt(1_000_000_000)
	feeCap := new(big.Int).Add(tip, new(big.Int).Mul(head.BaseFee, big.NewInt(feeRoom)))
	if !s.known {
		if s.nonce, err = s.eth.PendingNonceAt(ctx, s.address()); err != nil {
			return nil, nil, fmt.Errorf("read nonce: %w", err)
		}
		s.known = true
	}
	limits := map[common.Address]uint64{}
	signer := types.LatestSignerForChainID(s.chainID)
	for i, c := range calls {
		if limits[c.to] == 0 {
			gas, err := s.eth.EstimateGas(ctx, ethereum.CallMsg{From: s.address(), To: &c.to, Data: c.data, Value: c.value})
			if err != nil {
				return nil, nil, fmt.Errorf("simulate: %w", err)
			}
			limits[c.to] = 2 * gas
		}
		tx, err := types.SignNewTx(s.key, signer, &types.DynamicFeeTx{
			ChainID: s.chainID, Nonce: s.nonce + uint64(i), GasTipCap: tip, GasFeeCap: feeCap, Gas: limits[c.to], To: &c.to, Value: c.value, Data: c.data,
		})
		if err != nil {
			return nil, nil, fmt.Errorf("sign: %w", err)
		}
		bytes, err := tx.MarshalBinary()
		if err != nil {
			return nil, nil, fmt.Errorf("encode: %w", err)
		}
		raw, hashes = append(raw, bytes), append(hashes, tx.Hash())
	}
	s.nonce += uint64(len(calls))
	return raw, hashes, nil
}
