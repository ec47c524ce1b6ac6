package tokens

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// maxBits bounds every amount: the chains' uint256.
const maxBits = 256

// ErrAmount says that text is not a non-negative integer below 2^256.
var ErrAmount = errors.New("amount must be a whole number of base units, 0 ≤ n < 2^256")

// Amount is a whole number of a token's base units. The zero Amount is 0. It
// is a decimal string in JSON, since JSON numbers lose units above 2^53.
type Amount struct{ n *big.Int }

// Units makes an amount of n base units; n must be in range, nil is 0.
func Units(n *big.Int) (Amount, error) {
	if n == nil {
		return Amount{}, nil
	}
	if n.Sign() < 0 || n.BitLen() > maxBits {
		return Amount{}, ErrAmount
	}
	return Amount{new(big.Int).Set(n)}, nil
}

// MustUnits is Units for numbers that a contract's uint256 already bounds.
func MustUnits(n *big.Int) Amount {
	a, err := Units(n)
	if err != nil {
		panic("[BUG] " + err.Error())
	}
	return a
}

// ParseUnits reads a decimal string of base units.
func ParseUnits(s string) (Amount, error) {
	if s == "" || len(s) > 78 || strings.Trim(s, "0123456789") != "" {
		return Amount{}, fmt.Errorf("%w: %q", ErrAmount, truncate(s, 80))
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return Amount{}, ErrAmount
	}
	return Units(n)
}

// ParseDecimal reads a human amount ("1.5") of a token with the given decimals
// and refuses more fractional digits than the token has.
func ParseDecimal(s string, decimals uint8) (Amount, error) {
	whole, frac, _ := strings.Cut(s, ".")
	if whole == "" && frac == "" {
		return Amount{}, fmt.Errorf("%q is no amount such as 1.5", truncate(s, 80))
	}
	if whole == "" {
		whole = "0"
	}
	if len(frac) > int(decimals) {
		return Amount{}, fmt.Errorf("%q has more than %d decimal places", truncate(s, 80), decimals)
	}
	if strings.Trim(whole+frac, "0123456789") != "" {
		return Amount{}, fmt.Errorf("%q is no amount such as 1.5", truncate(s, 80))
	}
	// Zeros in front are not what makes a number too large.
	digits := strings.TrimLeft(whole+frac+strings.Repeat("0", int(decimals)-len(frac)), "0")
	if digits == "" {
		return Amount{}, nil
	}
	return ParseUnits(digits)
}

// Big is a copy of the number.
func (a Amount) Big() *big.Int {
	if a.n == nil {
		return new(big.Int)
	}
	return new(big.Int).Set(a.n)
}

// IsZero says whether the amount is 0.
func (a Amount) IsZero() bool { return a.n == nil || a.n.Sign() == 0 }

// Cmp compares like big.Int.
func (a Amount) Cmp(b Amount) int { return a.Big().Cmp(b.Big()) }

// String is the decimal number of base units.
func (a Amount) String() string { return a.Big().String() }

// Decimal is the human form with the token's decimals.
func (a Amount) Decimal(decimals uint8) string {
	s := a.String()
	if decimals == 0 {
		return s
	}
	if pad := int(decimals) + 1 - len(s); pad > 0 {
		s = strings.Repeat("0", pad) + s
	}
	whole, frac := s[:len(s)-int(decimals)], strings.TrimRight(s[len(s)-int(decimals):], "0")
	if frac == "" {
		return whole
	}
	return whole + "." + frac
}

// MarshalJSON writes a decimal string.
func (a Amount) MarshalJSON() ([]byte, error) { return json.Marshal(a.String()) }

// UnmarshalJSON reads a decimal string and nothing else.
func (a *Amount) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return ErrAmount
	}
	p, err := ParseUnits(s)
	if err != nil {
		return err
	}
	*a = p
	return nil
}

func truncate(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
