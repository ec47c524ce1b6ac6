package gmpapi

import (
	"context"
	"fmt"
	"net/http"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// StorePayload leaves a payload with the service for a while and gives its
// hash, which the service must give too.
func (c *Client) StorePayload(ctx context.Context, payload []byte) (common.Hash, error) {
	hash := crypto.Keccak256Hash(payload)
	q := query{op: "store payload", method: http.MethodPost, path: []string{"payloads"}, body: payload, sends: typeBinary, gets: typeJSON}
	answer, err := c.ask(ctx, q)
	if err != nil {
		return common.Hash{}, err
	}
	o := readObject("answer", answer)
	if got := o.text("keccak256"); *o.err == nil && got != hash.Hex() {
		o.failAt("keccak256", "is %.100q, not %s", got, hash)
	}
	if *o.err != nil {
		return common.Hash{}, unusable(q, *o.err)
	}
	return hash, nil
}

// Payload gets the payload with a hash: ErrNotFound where the service does not
// have it, ErrAnswer where what it gives has another hash.
func (c *Client) Payload(ctx context.Context, hash common.Hash) ([]byte, error) {
	q := query{op: "get payload", method: http.MethodGet, path: []string{"payloads", hash.Hex()}, missing: "it is kept for a while only"}
	body, err := c.ask(ctx, q)
	if err != nil {
		return nil, err
	}
	if got := crypto.Keccak256Hash(body); got != hash {
		return nil, unusable(q, fmt.Errorf("%d bytes with hash %s for %s: %w", len(body), got, hash, ErrAnswer))
	}
	return body, nil
}
