package evm

import (
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/common"
)

// AccountStatus is where one account stands, as of the last look.
type AccountStatus struct {
	Address       common.Address `json:"address"`
	BalanceWei    *big.Int       `json:"balance_wei"`
	Pending       int            `json:"pending"`        // undecided intents
	Oldest        time.Time      `json:"oldest"`         // creation of the oldest undecided one, zero if none
	NextNonce     uint64         `json:"next_nonce"`     // the one the next intent would take
	LatestNonce   uint64         `json:"latest_nonce"`   // in the newest block
	FinalNonce    uint64         `json:"final_nonce"`    // in the final head block
	ForeignNonces uint64         `json:"foreign_nonces"` // used by transactions that are not ours, since start
	LowFunds      bool           `json:"low_funds"`      // cannot pay for what is wanted
	AtCeiling     bool           `json:"at_ceiling"`     // the head of the queue may not be bumped further
	LastLook      time.Time      `json:"last_look"`      // last complete look
	Err           string         `json:"err,omitempty"`  // why the last look was not complete
}

// Status is one entry per account.
func (m *TxManager) Status() []AccountStatus {
	out := make([]AccountStatus, 0, len(m.accounts))
	for _, a := range m.accounts {
		a.mu.Lock()
		s := a.status
		if s.BalanceWei != nil {
			s.BalanceWei = new(big.Int).Set(s.BalanceWei)
		}
		a.mu.Unlock()
		out = append(out, s)
	}
	return out
}
