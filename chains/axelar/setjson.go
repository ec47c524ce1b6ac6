package axelar

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"

	"github.com/ethereum/go-ethereum/common"
)

// maxSigners bounds a set in JSON: more than a gateway has gas for.
const maxSigners = 1000

// setJSON is a signer set as files and stores keep it.
type setJSON struct {
	Signers   []signerJSON `json:"signers"`
	Threshold whole        `json:"threshold"`
	Nonce     common.Hash  `json:"nonce"`
}

type signerJSON struct {
	Address common.Address `json:"address"`
	Weight  whole          `json:"weight"`
}

// whole is a weight: written as a string, since JSON numbers lose units above
// 2^53, and read as either.
type whole struct{ *big.Int }

// MarshalJSON writes a decimal string.
func (w whole) MarshalJSON() ([]byte, error) {
	if w.Int == nil {
		return nil, fmt.Errorf("weight is missing: %w", ErrNotUint256)
	}
	return json.Marshal(w.String())
}

// UnmarshalJSON reads a whole number of at most 256 bits, quoted or not.
func (w *whole) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if len(text) > 78 || text == "" || strings.Trim(text, "0123456789") != "" {
		return fmt.Errorf("%.80q: %w", text, ErrNotUint256)
	}
	n, ok := new(big.Int).SetString(text, 10)
	if !ok || n.BitLen() > 256 {
		return fmt.Errorf("%.80q: %w", text, ErrNotUint256)
	}
	w.Int = n
	return nil
}

// MarshalJSON writes {"signers":[{"address","weight"}],"threshold","nonce"}, the
// numbers as strings.
func (s WeightedSigners) MarshalJSON() ([]byte, error) {
	out := setJSON{Signers: make([]signerJSON, len(s.Signers)), Threshold: whole{s.Threshold}, Nonce: s.Nonce}
	for i, w := range s.Signers {
		out.Signers[i] = signerJSON{w.Signer, whole{w.Weight}}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON writes; numbers may be plain. An unknown
// key is an error. Whether a gateway would take the set is not judged, but the
// numbers are there.
func (s *WeightedSigners) UnmarshalJSON(b []byte) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	var in setJSON
	if err := dec.Decode(&in); err != nil {
		return fmt.Errorf("%w: %w", ErrSignerSet, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: more than one document", ErrSignerSet)
	}
	if len(in.Signers) > maxSigners || in.Threshold.Int == nil {
		return fmt.Errorf("%w: %d signers, or no threshold", ErrSignerSet, len(in.Signers))
	}
	out := WeightedSigners{Threshold: in.Threshold.Int, Nonce: in.Nonce}
	for i, w := range in.Signers {
		if w.Weight.Int == nil {
			return fmt.Errorf("%w: signer %d has no weight", ErrSignerSet, i)
		}
		out.Signers = append(out.Signers, WeightedSigner{Signer: w.Address, Weight: w.Weight.Int})
	}
	*s = out
	return nil
}
