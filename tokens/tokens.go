// Package tokens is about money whatever the chain: amounts, the assets, the
// routes between chains and the transfer, the one thing the relayer moves.
// Routes are rows of a table, not code.
package tokens

import (
	"fmt"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
)

// Asset is a kind of money. The zero Asset is none: a call between contracts moves
// no money.
type Asset struct {
	Symbol   string `json:"symbol"`
	Decimals uint8  `json:"decimals"`
}

// The assets of the bridge.
var (
	USDC = Asset{Symbol: "USDC", Decimals: 6}
	FLT  = Asset{Symbol: "FLT", Decimals: 18}
)

// Route says which way an asset goes and which flow carries it. From and To
// are chain names ("ethereum", "root", "subnet").
type Route struct {
	Name  string `json:"name"` // also the flow's name; kept for ever
	Asset Asset  `json:"asset"`
	From  string `json:"from"`
	To    string `json:"to"`
}

var routes = []Route{
	{Name: "usdc_deposit", Asset: USDC, From: "root", To: "subnet"},
	{Name: "usdc_withdraw", Asset: USDC, From: "subnet", To: "root"},
	{Name: "flt_deposit", Asset: FLT, From: "root", To: "subnet"},
	{Name: "flt_withdraw", Asset: FLT, From: "subnet", To: "root"},
	{Name: "flt_l1_deposit", Asset: FLT, From: "ethereum", To: "subnet"},
	{Name: "flt_l1_withdraw", Asset: FLT, From: "subnet", To: "ethereum"},
	{Name: "gmp_call_in", From: "ethereum", To: "subnet"},
	{Name: "gmp_call_out", From: "subnet", To: "ethereum"},
}

// Routes lists every route, in the order of the table.
func Routes() []Route { return append([]Route(nil), routes...) }

// RouteByName finds a route.
func RouteByName(name string) (Route, bool) {
	for _, r := range routes {
		if r.Name == name {
			return r, true
		}
	}
	return Route{}, false
}

// Transfer is one movement of money, or a zero-amount one of the relayer's own
// (a checkpoint, a delivery). It never changes after it is created; what
// happens to it is in the ledger.
type Transfer struct {
	ID        common.Hash    `json:"id"`
	Route     string         `json:"route"`  // the flow's name
	Subnet    common.Address `json:"subnet"` // the subnet actor on the root
	Sender    common.Address `json:"sender"`
	Recipient common.Address `json:"recipient"`
	Amount    Amount         `json:"amount"`
	Nonce     uint64         `json:"nonce"` // protocol nonce, or height of a checkpoint
	// Ref is the protocol's own id: an envelope's tracing id, a withdrawal id.
	Ref     common.Hash    `json:"ref"`
	Origin  chains.EventID `json:"origin"`
	Height  uint64         `json:"height"`  // of the origin event
	At      uint64         `json:"at"`      // Unix seconds of the origin block
	Payload []byte         `json:"payload"` // opaque bytes the flow needs again: an encoded envelope or withdrawal
	Hidden  bool           `json:"hidden"`  // the relayer's own; not shown to users
}

// Status is what a user is told about a transfer.
type Status string

// The four terminal states and the one before them.
const (
	Pending  Status = "pending"
	Done     Status = "done"
	Refunded Status = "refunded"
	Credited Status = "credited"
	Parked   Status = "parked"
)

// Terminal says that nothing more happens by itself.
func (s Status) Terminal() bool {
	switch s {
	case Done, Refunded, Credited, Parked:
		return true
	}
	return false
}

func (t Transfer) String() string {
	return fmt.Sprintf("%s %s", t.Route, t.ID.Hex())
}
