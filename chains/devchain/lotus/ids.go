package lotus

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-jsonrpc"
	"github.com/filecoin-project/lotus/api"
	"github.com/filecoin-project/lotus/chain/types"
	"github.com/filecoin-project/lotus/chain/types/ethtypes"
)

// ids are the actor ids of accounts. An account has one from the time it is
// first asked for, the same each time: it is drawn from the address.
type ids struct {
	mu      sync.Mutex
	account map[uint64]common.Address
}

// firstID is above those of miners and of the system.
const firstID = 1_000_000

// of is the id of an account.
func (s *ids) of(a common.Address) uint64 {
	id := firstID + uint64(binary.BigEndian.Uint32(crypto.Keccak256(a[:])))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account[id] = a
	return id
}

// whose is the account with an id.
func (s *ids) whose(id uint64) (common.Address, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.account[id]
	return a, ok
}

// unmask is the account that an address in masked-id form means; others stay.
func (s *ids) unmask(a common.Address) common.Address {
	if !ethtypes.EthAddress(a).IsMaskedID() {
		return a
	}
	if real, ok := s.whose(binary.BigEndian.Uint64(a[12:])); ok {
		return real
	}
	return a
}

// StateLookupID is the id address of a delegated one.
func (h *handler) StateLookupID(_ context.Context, a address.Address, _ types.TipSetKey) (address.Address, error) {
	if a.Protocol() == address.ID {
		return a, nil
	}
	eth, err := ethtypes.EthAddressFromFilecoinAddress(a)
	if err != nil {
		return address.Undef, &api.ErrActorNotFound{}
	}
	return address.NewIDAddress(h.n.root.ids.of(common.Address(eth)))
}

// StateLookupRobustAddress is the delegated address of an id.
func (h *handler) StateLookupRobustAddress(_ context.Context, a address.Address, _ types.TipSetKey) (address.Address, error) {
	id, err := address.IDFromAddress(a)
	if err != nil {
		return address.Undef, fmt.Errorf("failed to decode provided address as id addr: %w", err)
	}
	real, ok := h.n.root.ids.whose(id)
	if !ok {
		return address.Undef, &api.ErrActorNotFound{}
	}
	return ethtypes.EthAddress(real).ToFilecoinAddress()
}

// EthAddressToFilecoinAddress is f410 for an account and f0 for a masked id.
func (h *handler) EthAddressToFilecoinAddress(_ context.Context, a ethtypes.EthAddress) (address.Address, error) {
	return a.ToFilecoinAddress()
}

// FilecoinAddressToEthAddress is the other way round.
func (h *handler) FilecoinAddressToEthAddress(_ context.Context, p rawParams) (ethtypes.EthAddress, error) {
	params, err := jsonrpc.DecodeParams[ethtypes.FilecoinAddressToEthAddressParams](p)
	if err != nil {
		return ethtypes.EthAddress{}, fmt.Errorf("decoding params: %w", err)
	}
	return ethtypes.EthAddressFromFilecoinAddress(params.FilecoinAddress)
}
