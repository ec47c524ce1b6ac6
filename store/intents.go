package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// intentJSON is the part of an intent that never changes. Its data is stored
// apart, since it goes once the intent is decided; Print is the hash of what
// was to be done, by which a replayed intent is known again.
type intentJSON struct {
	Key     string         `json:"key"`
	To      common.Address `json:"to"`
	Value   string         `json:"value"`
	Gas     string         `json:"gas"`
	Members []common.Hash  `json:"members"`
	Fence   chains.Fence   `json:"fence"`
	Created int64          `json:"created"` // Unix seconds
	Nanos   int64          `json:"nanos"`
	Print   common.Hash    `json:"print"`
}

// outcomeJSON is the part of an intent that changes.
type outcomeJSON struct {
	State     chains.IntentState `json:"state"`
	Block     uint64             `json:"block,omitempty"`
	BlockHash common.Hash        `json:"block_hash"`
	TxHash    common.Hash        `json:"tx_hash"`
	GasUsed   uint64             `json:"gas_used,omitempty"`
	Abandoned bool               `json:"abandoned,omitempty"`
}

func account(chain chains.ID, a common.Address) string {
	return fmt.Sprintf("%d:%s", uint64(chain), strings.ToLower(a.Hex()))
}

func intentRow(chain chains.ID, a common.Address, nonce uint64) string {
	return account(chain, a) + "\n" + pad(nonce)
}

func encodeIntent(in chains.Intent) ([]byte, error) {
	value := in.Value
	if value == nil {
		value = new(big.Int)
	}
	if value.Sign() < 0 || value.BitLen() > 256 {
		return nil, fmt.Errorf("%w: value of intent %q", ErrInvalid, in.Key)
	}
	members := in.Members
	if members == nil {
		members = []common.Hash{}
	}
	return json.Marshal(intentJSON{
		Key: in.Key, To: in.To, Value: value.String(), Gas: strconv.FormatUint(in.Gas, 10), Members: members, Fence: in.Fence,
		Created: in.CreatedAt.Unix(), Nanos: int64(in.CreatedAt.Nanosecond()),
		Print: printOf(in.To, value, in.Data),
	})
}

// printOf names a payload.
func printOf(to common.Address, value *big.Int, data []byte) common.Hash {
	return crypto.Keccak256Hash(to[:], common.LeftPadBytes(value.Bytes(), 32), data)
}

func encodeOutcome(in chains.Intent) ([]byte, error) {
	return json.Marshal(outcomeJSON{in.State, in.Block, in.BlockHash, in.TxHash, in.GasUsed, in.Abandoned})
}

// Reserve takes the next nonce of an account for tx and freezes its members,
// in one script. The nonce is the chain's, or one above the highest ever
// reserved for the account. An undecided intent of the same key on the chain,
// whatever its account, is returned instead, with existing true. It returns
// ErrBusy when a member rides in an undecided intent, maxInFlight (0 = no bound)
// are undecided or the store is Recovering, and ErrStale when the fence is no longer the lane's or
// a claimed member has left its step.
func (db *DB) Reserve(ctx context.Context, chain chains.ID, acc common.Address, tx chains.Tx, chainNonce uint64, maxInFlight int) (in chains.Intent, existing bool, err error) {
	if err := word("transaction key", tx.Key, false); err != nil {
		return in, false, err
	}
	if tx.Fence.Lane == "" && len(tx.Members) > 0 {
		return in, false, fmt.Errorf("%w: transaction %q has members but no fence", ErrInvalid, tx.Key)
	}
	if chainNonce >= maxSafe {
		return in, false, fmt.Errorf("%w: nonce %d of chain %s is above 2^53", ErrInvalid, chainNonce, chain)
	}
	if maxInFlight <= 0 {
		maxInFlight = 1 << 30
	}
	in = chains.Intent{
		Chain: chain, Account: acc, Key: tx.Key, To: tx.To, Data: tx.Data, Value: tx.Value, Gas: tx.Gas,
		Members: tx.Members, Fence: tx.Fence, State: chains.IntentReserved, CreatedAt: db.now(),
	}
	if in.Value == nil {
		in.Value = new(big.Int)
	}
	body, err := encodeIntent(in)
	if err != nil {
		return chains.Intent{}, false, err
	}
	args := []any{account(chain, acc), tx.Key, tx.Fence.Lane, tx.Fence.Epoch, tx.Fence.Counter,
		chainNonce, maxInFlight, body, tx.Data, uint64(chain)}
	for _, m := range tx.Members {
		args = append(args, m.Hex())
	}
	crash.At("store.before_reserve")
	reply, err := db.run(ctx, scriptReserve, args...)
	crash.At("store.after_reserve")
	if err != nil {
		return chains.Intent{}, false, err
	}
	switch reply[0] {
	case "EXISTS":
		found, err := db.intents(ctx, "", reply[1], "")
		if err == nil && len(found) == 0 {
			// decided between the two scripts: the caller asks again
			err = fmt.Errorf("reserve %q: %w", tx.Key, chains.ErrBusy)
		}
		if err != nil {
			return chains.Intent{}, false, err
		}
		return found[0], true, nil
	case "STALE":
		return chains.Intent{}, false, fmt.Errorf("reserve %q: %w", tx.Key, ErrStale)
	case "BUSY":
		return chains.Intent{}, false, fmt.Errorf("reserve %q: %w: %s", tx.Key, chains.ErrBusy, reply[1])
	case "RANGE":
		return chains.Intent{}, false, fmt.Errorf("%w: nonces of %s are above 2^53", ErrInvalid, acc)
	}
	db.marked(reply[2])
	in.Nonce, err = strconv.ParseUint(reply[1], 10, 64)
	return in, false, err
}

func (db *DB) now() time.Time {
	if db.opt.Clock != nil {
		return db.opt.Clock()
	}
	return time.Now()
}

// SaveAttempt stores a signed transaction of an intent, before it is sent. The
// same hash again renews what is known of it. ErrDecided when it comes too
// late, ErrUnknown when there is no such intent.
func (db *DB) SaveAttempt(ctx context.Context, in chains.Intent, a chains.Attempt) error {
	hash, meta, raw, err := encodeAttempt(a)
	if err != nil {
		return err
	}
	crash.At("store.before_save_attempt")
	reply, err := db.run(ctx, scriptAttempt, intentRow(in.Chain, in.Account, in.Nonce), hash, meta, raw)
	crash.At("store.after_save_attempt")
	if err != nil {
		return err
	}
	return intentError("save attempt", in, reply)
}

func encodeAttempt(a chains.Attempt) (hash string, meta, raw []byte, err error) {
	raw = a.Raw
	a.Raw = nil
	meta, err = json.Marshal(a)
	return a.Hash.Hex(), meta, raw, err
}

// Update writes what became of an intent: state, receipt and Abandoned; its
// attempts are SaveAttempt's. A decided state frees its key and its members
// and drops its data and signed bytes; only the same state may follow it
// (ErrDecided). Included may go back to signed. ErrBusy: a nonce is called foreign
// while the store is Recovering.
func (db *DB) Update(ctx context.Context, in chains.Intent) error {
	switch in.State {
	case chains.IntentReserved, chains.IntentSigned, chains.IntentIncluded, chains.IntentSucceeded,
		chains.IntentReverted, chains.IntentReplaced, chains.IntentForeign:
	default:
		return fmt.Errorf("%w: intent state %q", ErrInvalid, in.State)
	}
	body, err := encodeOutcome(in)
	if err != nil {
		return err
	}
	reply, err := db.run(ctx, scriptUpdate, intentRow(in.Chain, in.Account, in.Nonce), string(in.State), body)
	if err != nil {
		return err
	}
	return intentError("update intent", in, reply)
}

func intentError(what string, in chains.Intent, reply []string) error {
	switch reply[0] {
	case "UNKNOWN":
		return fmt.Errorf("%s, nonce %d of %s: %w", what, in.Nonce, in.Account, ErrUnknown)
	case "DECIDED":
		return fmt.Errorf("%s, nonce %d of %s: %w: %s", what, in.Nonce, in.Account, ErrDecided, reply[1])
	case "CONFLICT":
		return fmt.Errorf("%s, nonce %d of %s: %w: %q", what, in.Nonce, in.Account, ErrConflict, reply[1])
	case "BUSY":
		return fmt.Errorf("%s, nonce %d of %s: %w: %s", what, in.Nonce, in.Account, chains.ErrBusy, reply[1])
	}
	return nil
}

// Live reads the undecided intents of an account, nonces ascending, without
// what is long: attempts come without their bytes, and what has attempts without
// its data. Intent reads one whole.
func (db *DB) Live(ctx context.Context, chain chains.ID, acc common.Address) ([]chains.Intent, error) {
	return db.intents(ctx, account(chain, acc), "", "short")
}

// Intent reads the intent of one nonce. Of a decided one, data and signed
// bytes are gone.
func (db *DB) Intent(ctx context.Context, chain chains.ID, acc common.Address, nonce uint64) (chains.Intent, bool, error) {
	found, err := db.intents(ctx, "", intentRow(chain, acc, nonce), "")
	if err != nil || len(found) == 0 {
		return chains.Intent{}, false, err
	}
	return found[0], true, nil
}

// Replay puts an intent, or attempts of it, back from an instance's own file
// where Redis lost them; what Redis still has is left alone. ErrConflict: the
// nonce belongs to another intent in Redis. ErrBusy: nothing is signed, and the
// store is Recovering.
func (db *DB) Replay(ctx context.Context, in chains.Intent) error {
	if in.Nonce >= maxSafe {
		return fmt.Errorf("%w: nonce %d is above 2^53", ErrInvalid, in.Nonce)
	}
	if err := word("transaction key", in.Key, false); err != nil {
		return err
	}
	if in.State == "" {
		in.State = chains.IntentReserved
	}
	body, err := encodeIntent(in)
	if err != nil {
		return err
	}
	outcome, err := encodeOutcome(in)
	if err != nil {
		return err
	}
	args := []any{intentRow(in.Chain, in.Account, in.Nonce), body, in.Data, string(in.State), outcome}
	for _, a := range in.Attempts {
		hash, meta, raw, err := encodeAttempt(a)
		if err != nil {
			return err
		}
		args = append(args, hash, meta, raw)
	}
	reply, err := db.run(ctx, scriptReplay, args...)
	if err != nil {
		return err
	}
	return intentError("replay intent", in, reply)
}

func (db *DB) intents(ctx context.Context, acc, row, length string) ([]chains.Intent, error) {
	reply, err := db.run(ctx, scriptIntents, acc, row, length)
	if err != nil {
		return nil, err
	}
	var out []chains.Intent
	for r := reply[1:]; len(r) >= 5; {
		n := atoi(r[4])
		if len(r) < 5+2*n {
			return nil, errors.New("[BUG] intents: short reply")
		}
		in, err := decodeIntent(r[0], r[1], r[2], r[3], r[5:5+2*n])
		if err != nil {
			return nil, fmt.Errorf("read intent: %w", err)
		}
		out, r = append(out, in), r[5+2*n:]
	}
	return out, nil
}

func decodeIntent(row, body, data, st string, attempts []string) (chains.Intent, error) {
	var in chains.Intent
	acc, nonce, _ := strings.Cut(row, "\n")
	chain, addr, _ := strings.Cut(acc, ":")
	id, err1 := strconv.ParseUint(chain, 10, 64)
	n, err2 := strconv.ParseUint(nonce, 10, 64)
	var b intentJSON
	err3 := json.Unmarshal([]byte(body), &b)
	if err := errors.Join(err1, err2, err3); err != nil {
		return in, err
	}
	value, ok := new(big.Int).SetString(b.Value, 10)
	gas, err := strconv.ParseUint(b.Gas, 10, 64)
	if !ok || err != nil {
		return in, fmt.Errorf("value %q or gas %q is no number", b.Value, b.Gas)
	}
	in = chains.Intent{
		Chain: chains.ID(id), Account: common.HexToAddress(addr), Nonce: n, Key: b.Key, To: b.To, Value: value, Gas: gas,
		Fence: b.Fence, CreatedAt: time.Unix(b.Created, b.Nanos).UTC(),
	}
	if len(b.Members) > 0 {
		in.Members = b.Members
	}
	if data != "" {
		in.Data = []byte(data)
	}
	name, text, _ := strings.Cut(st, "\n")
	var o outcomeJSON
	if text != "" {
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			return in, err
		}
	}
	// the word before the JSON is the state; the JSON may be older
	in.State = chains.IntentState(name)
	in.Block, in.BlockHash, in.TxHash, in.GasUsed, in.Abandoned = o.Block, o.BlockHash, o.TxHash, o.GasUsed, o.Abandoned
	for i := 0; i < len(attempts); i += 2 {
		var a chains.Attempt
		if err := json.Unmarshal([]byte(attempts[i]), &a); err != nil {
			return in, err
		}
		if raw := attempts[i+1]; raw != "" {
			a.Raw = []byte(raw)
		}
		in.Attempts = append(in.Attempts, a)
	}
	// A payload that Redis lost (its row dropped) is never signed as another one:
	// with nothing signed yet the nonce goes to a no-op, and what is signed is
	// sent again as it is.
	if !in.State.Decided() && len(in.Attempts) == 0 && b.Print != printOf(in.To, value, in.Data) {
		in.Abandoned = true
	}
	return in, nil
}
