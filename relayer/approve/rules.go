package approve

import (
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/ethereum/go-ethereum/common"
)

// Rules are what may be approved at all: what the hub and the router of Axelar
// would see to.
type Rules struct {
	// Hub routes between the ITS of the chains that it knows.
	Hub axelar.Hub
	// Direct calls go round the hub; no others than these do.
	Direct []Direct
	// Trusted chains take part; nothing from or to any other is approved, nor from
	// or to a Frozen one.
	Trusted []string
	Frozen  []string
	Tokens  []Token
}

// Direct lets a contract of one chain call a contract of another.
type Direct struct {
	From     string
	Sender   common.Address
	To       string
	Contract common.Address
}

// Token is a token of ITS that may travel. What other chains have of it is made
// there, and backed by what is locked at Home.
type Token struct {
	ID       common.Hash
	Home     string // chain
	Decimals uint8  // on every chain
}

// Reason says why a proposal is not signed: a closed list, also a metric label.
type Reason string

// The reasons; see Reasons.
const (
	ReasonUnseen   Reason = "unseen"
	ReasonChain    Reason = "chain"
	ReasonChanged  Reason = "changed"
	ReasonSupply   Reason = "supply"
	ReasonAbsent   Reason = "absent"
	ReasonSet      Reason = "set"
	ReasonRoute    Reason = "route"
	ReasonFrozen   Reason = "frozen"
	ReasonTrust    Reason = "untrusted"
	ReasonToken    Reason = "token"
	ReasonDecimals Reason = "decimals"
	ReasonKind     Reason = "kind"
	ReasonTwice    Reason = "twice"
	ReasonDigest   Reason = "digest"
	ReasonRotation Reason = "rotation"
)

// ReasonDoc is a row of the README's table of refusals.
type ReasonDoc struct {
	Reason  Reason
	Meaning string
	Later   bool // it passes by itself
}

// Reasons lists them all.
func Reasons() []ReasonDoc {
	return []ReasonDoc{
		{ReasonUnseen, "a message began with no call that this signer has seen in a final block, yet", true},
		{ReasonChain, "the chain that a message began on cannot be read, or it or the other chain contradicts the ledger", true},
		{ReasonChanged, "the block of a call is no longer the chain's: the chain is not signed for until the signer is started again", true},
		{ReasonSupply, "more of a token would come back from a chain than is known to have gone there", true},
		{ReasonAbsent, "the token is not on both chains, yet", true},
		{ReasonSet, "it is for another signer set, or for one without this signer", false},
		{ReasonRoute, "a call goes to another chain, or is none that is allowed", false},
		{ReasonFrozen, "one of the chains is frozen", false},
		{ReasonTrust, "one of the chains is not trusted", false},
		{ReasonToken, "the token is unknown; or nothing of it moves; or it is deployed from elsewhere than home, with a minter, or again", false},
		{ReasonDecimals, "the token has other decimals on one of the chains than are configured", false},
		{ReasonKind, "what the token service sends is neither a transfer nor a deployment", false},
		{ReasonTwice, "a message is in the batch twice", false},
		{ReasonDigest, "the digest is of something else than what began with those calls", false},
		{ReasonRotation, "it rotates to a set that is not this signer's `next_set`", false},
	}
}

// Refusal says why a proposal is not signed. Later ones may be, once more is known;
// the others stay refused until this signer is configured otherwise.
type Refusal struct {
	Reason Reason
	Later  bool
	Why    string
}

func (r *Refusal) Error() string { return string(r.Reason) + ": " + r.Why }

func refuse(reason Reason, format string, args ...any) error {
	return &Refusal{Reason: reason, Why: fmt.Sprintf(format, args...)}
}

func later(reason Reason, format string, args ...any) error {
	return &Refusal{Reason: reason, Later: true, Why: fmt.Sprintf(format, args...)}
}

// Check joins every complaint about the rules.
func (r Rules) Check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(r.Hub.Services) > 0 && r.Hub.Address == "" {
		bad("the hub has no address")
	}
	for name, at := range r.Hub.Services {
		if name == "" || at == (common.Address{}) {
			bad("a token service has no chain or no address")
		}
	}
	for _, name := range r.Frozen {
		if !slices.Contains(r.Trusted, name) {
			bad("frozen chain %q is not among the trusted ones", name)
		}
	}
	for i, d := range r.Direct {
		if d.From == d.To || d.Sender == (common.Address{}) || d.Contract == (common.Address{}) {
			bad("direct call %d: from, sender, to and contract, of two chains", i)
		}
	}
	seen := map[common.Hash]bool{}
	for i, t := range r.Tokens {
		if t.ID == (common.Hash{}) || seen[t.ID] || r.Hub.Services[t.Home] == (common.Address{}) {
			bad("token %d: an id of its own, and a home with a token service", i)
		}
		seen[t.ID] = true
	}
	return errors.Join(errs...)
}

func (r Rules) allows(c Call) bool {
	return slices.Contains(r.Direct, Direct{From: c.Chain, Sender: c.Sender, To: c.To, Contract: c.Contract})
}

func (r Rules) token(id common.Hash) (Token, bool) {
	i := slices.IndexFunc(r.Tokens, func(t Token) bool { return t.ID == id })
	if i < 0 {
		return Token{}, false
	}
	return r.Tokens[i], true
}

// judge says whether a call may be approved on a chain, as far as configuration
// and the call itself tell.
func (r Rules) judge(c Call, to string) error {
	if c.To != to || c.To == c.Chain {
		return refuse(ReasonRoute, "%s goes to %q", c, c.To)
	}
	for _, name := range []string{c.Chain, c.To} {
		if !slices.Contains(r.Trusted, name) {
			return refuse(ReasonTrust, "%s: %s is not trusted", c, name)
		}
		if slices.Contains(r.Frozen, name) {
			return refuse(ReasonFrozen, "%s: %s is frozen", c, name)
		}
	}
	if c.Kind == KindDirect {
		if !r.allows(c) {
			return refuse(ReasonRoute, "%s by %s for %s is not allowed", c, c.Sender, c.Contract)
		}
		return nil
	}
	if r.Hub.Services[c.Chain] != c.Sender || r.Hub.Services[c.To] == (common.Address{}) {
		return refuse(ReasonRoute, "%s is not of the token service of %s for that of %s", c, c.Chain, c.To)
	}
	token, known := r.token(c.Token)
	switch {
	case c.Kind != KindTransfer && c.Kind != KindDeploy:
		return refuse(ReasonKind, "%s is %s", c, c.Kind)
	case !known:
		return refuse(ReasonToken, "%s is of the unknown token %s", c, c.Token)
	case c.Kind == KindTransfer && c.Amount.IsZero():
		return refuse(ReasonToken, "%s transfers nothing", c)
	case c.Kind == KindDeploy && c.Chain != token.Home:
		return refuse(ReasonToken, "%s deploys a token whose home is %s", c, token.Home)
	case c.Kind == KindDeploy && c.Minter:
		return refuse(ReasonToken, "%s lets somebody mint the token", c)
	case c.Kind == KindDeploy && c.Decimals != token.Decimals:
		return refuse(ReasonDecimals, "%s deploys with %d decimals a token of %d", c, c.Decimals, token.Decimals)
	}
	return nil
}

// side is a token on a chain that is not its home.
type side struct {
	token common.Hash
	chain string
}

// books keep what of each token is on each side: what came from home as soon as it
// was seen, since it is locked there; all else once it was signed. They are
// computed from the ledger alone.
type books struct {
	rules    Rules
	balance  map[side]*big.Int
	deployed map[side]axelar.MessageID // the call that was approved
}

func newBooks(r Rules) *books {
	return &books{rules: r, balance: map[side]*big.Int{}, deployed: map[side]axelar.MessageID{}}
}

func (b *books) at(s side) *big.Int {
	if b.balance[s] == nil {
		b.balance[s] = new(big.Int)
	}
	return b.balance[s]
}

// seen counts a call that is new in the ledger.
func (b *books) seen(c Call) {
	t, known := b.rules.token(c.Token)
	if known && c.Kind == KindTransfer && c.Chain == t.Home && c.To != t.Home {
		s := b.at(side{c.Token, c.To})
		s.Add(s, c.amount())
	}
}

// signed counts a call that is signed for the first time.
func (b *books) signed(c Call) {
	t, known := b.rules.token(c.Token)
	switch {
	case !known:
	case c.Kind == KindDeploy:
		b.deployed[side{c.Token, c.To}] = c.ID()
	case c.Kind == KindTransfer && c.Chain != t.Home:
		from := b.at(side{c.Token, c.Chain})
		from.Sub(from, c.amount())
		if c.To != t.Home {
			s := b.at(side{c.Token, c.To})
			s.Add(s, c.amount())
		}
	}
}

// covers says whether calls that were not signed before may be signed together.
func (b *books) covers(fresh []Call) error {
	out, made := map[side]*big.Int{}, map[side]axelar.MessageID{}
	for _, c := range fresh {
		t, _ := b.rules.token(c.Token)
		switch {
		case c.Kind == KindDeploy:
			at := side{c.Token, c.To}
			for _, deployed := range []map[side]axelar.MessageID{b.deployed, made} {
				if first, done := deployed[at]; done && first != c.ID() {
					return refuse(ReasonToken, "%s deploys again what %s has deployed", c, first)
				}
			}
			made[at] = c.ID()
		case c.Kind == KindTransfer && c.Chain != t.Home:
			s := side{c.Token, c.Chain}
			if out[s] == nil {
				out[s] = new(big.Int)
			}
			out[s].Add(out[s], c.amount())
			if out[s].Cmp(b.at(s)) > 0 {
				return later(ReasonSupply, "%s takes %s away from %s, which is known to have %s", c, out[s], c.Chain, b.at(s))
			}
		}
	}
	return nil
}
