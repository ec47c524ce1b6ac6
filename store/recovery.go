package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrOtherLoss says that more was found to be lost since the caller looked: what
// it has compared is not what is there now.
var ErrOtherLoss = errors.New("redis has forgotten again since")

// Recovery is what is known of a loss: Redis came back without the end of its
// history, or was empty. From the script that opened it then until Recovered,
// Claim gives out nothing and Reserve no nonce; everything else goes on, so that
// the watchers and the intents files bring back what was lost.
type Recovery struct {
	Token string    // names the loss: the epoch of the opening that found it
	Since time.Time // of the first one, where it forgot again meanwhile
	Why   string
}

func decodeRecovery(text string) (Recovery, error) {
	var r struct {
		Token string `json:"token"`
		At    string `json:"at"`
		Why   string `json:"why"`
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return Recovery{}, fmt.Errorf("read what was lost: %w", err)
	}
	return Recovery{Token: r.Token, Since: time.Unix(int64(number(r.At)), 0).UTC(), Why: r.Why}, nil
}

// Recovering reads what was lost, if anything is known to be.
func (db *DB) Recovering(ctx context.Context) (Recovery, bool, error) {
	var get *redis.StringCmd
	if err := db.read(ctx, func(p redis.Pipeliner) { get = p.Get(ctx, db.k.of("recovering")) }); err != nil {
		return Recovery{}, false, fmt.Errorf("read what was lost: %w", err)
	}
	if errors.Is(get.Err(), redis.Nil) {
		return Recovery{}, false, nil
	}
	r, err := decodeRecovery(get.Val())
	return r, err == nil, err
}

// Recovered ends a recovery: leases and nonces are given out again. It may be
// called by several and repeated after any failure. ErrOtherLoss: r is no longer
// what was lost.
func (db *DB) Recovered(ctx context.Context, r Recovery, who, why string) error {
	reply, err := db.run(ctx, scriptRecovered, r.Token, short(who), short(why))
	if err != nil {
		return err
	}
	if reply[0] == "OTHER" {
		return fmt.Errorf("end the recovery of %q: %w, at %q", r.Token, ErrOtherLoss, reply[1])
	}
	return nil
}
