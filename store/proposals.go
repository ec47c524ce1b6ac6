package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/ethereum/go-ethereum/common"
	"github.com/redis/go-redis/v9"
)

// Bounds of a proposal. What is larger in Redis is not read.
const (
	MaxProposalMessages = 256
	MaxProposalSigners  = 128
	maxProposalBytes    = 512 << 10
	maxProposals        = 1000 // open at once, per chain
	signatureLen        = 65
)

// Proposal is a batch of messages, or a rotation of the signers, that is up for
// signatures at one gateway. It never changes. Nothing in it is to be believed:
// whoever can write to Redis can write one. A signer takes of it where messages
// began and makes the rest by itself; signatures bind what they were made for.
type Proposal struct {
	To       string           // the gateway's chain, by its name at Axelar
	Digest   common.Hash      // what is signed
	Set      common.Hash      // what the gateway knows the signers by
	Signers  []common.Address // of that set: nobody else's signatures are kept
	Messages []ProposedMessage
	Next     *axelar.WeightedSigners // the set to rotate to, instead of messages
	At       time.Time               // when it was put up, by the store's clock
}

// ProposedMessage is a message and the call that it began with.
type ProposedMessage struct {
	From    string // chain, by its name at Axelar
	ID      axelar.MessageID
	Message axelar.Message
}

// row is the field of the message in the hash proposing.
func (m ProposedMessage) row(to string) string { return to + "\n" + m.From + "\n" + m.ID.String() }

func (p Proposal) name() string { return p.To + "\n" + p.Digest.Hex() }

type proposalJSON struct {
	To       string                  `json:"to"`
	Digest   common.Hash             `json:"digest"`
	Set      common.Hash             `json:"set"`
	Signers  []common.Address        `json:"signers"`
	Messages []messageJSON           `json:"messages,omitempty"`
	Next     *axelar.WeightedSigners `json:"next,omitempty"`
}

type messageJSON struct {
	From     string         `json:"from"`
	ID       string         `json:"id"`
	Chain    string         `json:"chain"`
	As       string         `json:"as"` // the message's own id
	Sender   string         `json:"sender"`
	Contract common.Address `json:"contract"`
	Payload  common.Hash    `json:"payload"` // hash
}

// check says whether a proposal can be kept.
func (p Proposal) check() error {
	errs := []error{word("chain", p.To, false)}
	if (len(p.Messages) == 0) == (p.Next == nil) {
		errs = append(errs, fmt.Errorf("%w: a proposal has either messages or a next set", ErrInvalid))
	}
	if len(p.Messages) > MaxProposalMessages || len(p.Signers) == 0 || len(p.Signers) > MaxProposalSigners {
		errs = append(errs, fmt.Errorf("%w: %d messages, %d signers", ErrInvalid, len(p.Messages), len(p.Signers)))
	}
	for i, m := range p.Messages {
		errs = append(errs, word("chain", m.From, false))
		if err := m.Message.Check(); err != nil {
			errs = append(errs, fmt.Errorf("%w: message %d: %w", ErrInvalid, i, err))
		}
	}
	return errors.Join(errs...)
}

func (p Proposal) encode() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	out := proposalJSON{To: p.To, Digest: p.Digest, Set: p.Set, Signers: p.Signers, Next: p.Next}
	for _, m := range p.Messages {
		out.Messages = append(out.Messages, messageJSON{
			From: m.From, ID: m.ID.String(), Chain: m.Message.SourceChain, As: m.Message.ID,
			Sender: m.Message.SourceAddress, Contract: m.Message.Contract, Payload: m.Message.PayloadHash,
		})
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("%w: encode proposal: %w", ErrInvalid, err)
	}
	if len(raw) > maxProposalBytes-32 {
		return nil, fmt.Errorf("%w: proposal of %d bytes", ErrInvalid, len(raw))
	}
	return raw, nil
}

// decodeProposal reads what is kept under a name. What does not fit together is
// an error: somebody else wrote it.
func decodeProposal(name, text string) (Proposal, error) {
	at, body, ok := strings.Cut(text, " ")
	ms, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil || ms < 0 || ms > 1<<50 || len(text) > maxProposalBytes {
		return Proposal{}, errors.New("read proposal: no time, or too large")
	}
	var in proposalJSON
	dec := json.NewDecoder(strings.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return Proposal{}, fmt.Errorf("read proposal: %w", err)
	}
	p := Proposal{To: in.To, Digest: in.Digest, Set: in.Set, Signers: in.Signers, Next: in.Next, At: time.UnixMilli(ms).UTC()}
	if p.name() != name {
		return Proposal{}, errors.New("read proposal: it is another one's")
	}
	if len(in.Messages) > MaxProposalMessages {
		return Proposal{}, fmt.Errorf("read proposal: %d messages", len(in.Messages))
	}
	for _, m := range in.Messages {
		id, err := axelar.ParseMessageID(m.ID)
		if err != nil {
			return Proposal{}, fmt.Errorf("read proposal: %w", err)
		}
		p.Messages = append(p.Messages, ProposedMessage{From: m.From, ID: id, Message: axelar.Message{
			SourceChain: m.Chain, ID: m.As, SourceAddress: m.Sender, Contract: m.Contract, PayloadHash: m.Payload,
		}})
	}
	if err := p.check(); err != nil {
		return Proposal{}, fmt.Errorf("read proposal: %w", err)
	}
	return p, nil
}

// Propose puts a proposal up and returns it, or the one that is up already: the
// same, or one that has a message of it. ErrBusy of package chains while too many
// are up at the gateway.
func (db *DB) Propose(ctx context.Context, p Proposal) (Proposal, error) {
	raw, err := p.encode()
	if err != nil {
		return Proposal{}, err
	}
	if db.full.Load() {
		return Proposal{}, ErrFull
	}
	args := []any{p.To, p.Digest.Hex(), raw, maxProposals}
	for _, m := range p.Messages {
		args = append(args, m.row(p.To))
	}
	for range 1 + len(p.Messages) {
		reply, err := db.run(ctx, scriptPropose, args...)
		if err != nil {
			return Proposal{}, err
		}
		switch reply[0] {
		case "BUSY":
			return Proposal{}, fmt.Errorf("propose to %s: %w", p.To, chains.ErrBusy)
		case "OK":
			p.At = time.UnixMilli(int64(number(reply[1]))).UTC()
			return p, nil
		}
		there, err := decodeProposal(p.To+"\n"+reply[1], reply[2])
		if err == nil {
			return there, nil
		}
		// It is nobody's who goes by the rules: it gives way.
		db.log.WarnContext(ctx, "a proposal in redis is damaged: it is dropped", "chain", p.To, "err", err)
		damaged := p
		damaged.Digest = common.HexToHash(reply[1])
		if err := db.DropProposal(ctx, damaged, "damaged"); err != nil {
			return Proposal{}, err
		}
	}
	return Proposal{}, fmt.Errorf("propose to %s: %w", p.To, chains.ErrBusy)
}

// DropProposal forgets a proposal and its signatures; its messages may be proposed
// again. One that is gone is no error.
func (db *DB) DropProposal(ctx context.Context, p Proposal, why string) error {
	if err := word("chain", p.To, false); err != nil {
		return err
	}
	args := []any{p.To, p.Digest.Hex(), short(why), len(p.Signers)}
	for _, s := range p.Signers {
		args = append(args, s.Hex())
	}
	for _, m := range p.Messages {
		args = append(args, m.row(p.To))
	}
	_, err := db.run(ctx, scriptDropProposal, args...)
	return err
}

// Sign keeps a signer's signature of a proposal, instead of an earlier one.
// ErrUnknown when the proposal is no longer up, ErrInvalid for what can be no
// signature of its signers. Whether it is one is not looked at.
func (db *DB) Sign(ctx context.Context, p Proposal, signer common.Address, signature []byte) error {
	if len(signature) != signatureLen || !slices.Contains(p.Signers, signer) {
		return fmt.Errorf("%w: %d bytes by %s are no signature of this set", ErrInvalid, len(signature), signer)
	}
	if err := word("chain", p.To, false); err != nil {
		return err
	}
	reply, err := db.run(ctx, scriptSign, p.To, p.Digest.Hex(), signer.Hex(), signature)
	if err != nil {
		return err
	}
	if reply[0] == "GONE" {
		return fmt.Errorf("sign %s: the proposal is no longer up: %w", p.Digest, ErrUnknown)
	}
	return nil
}

// Proposals lists what is up at a gateway, oldest first, at most max; next is
// where the next page begins, "" after the last. What is damaged is left out.
func (db *DB) Proposals(ctx context.Context, to, after string, max int) (out []Proposal, next string, err error) {
	if err := word("chain", to, false); err != nil {
		return nil, "", err
	}
	lower := "[" + to + "\n"
	if strings.HasPrefix(after, to+"\n") {
		lower = "(" + after
	}
	var rows *redis.StringSliceCmd
	if err := db.read(ctx, func(p redis.Pipeliner) {
		rows = p.ZRangeByLex(ctx, db.k.of("proposed"), &redis.ZRangeBy{Min: lower, Max: "(" + to + "\v", Count: int64(max)})
	}); err != nil {
		return nil, "", fmt.Errorf("read proposals: %w", err)
	}
	var names []string
	for _, row := range rows.Val() {
		names = append(names, to+"\n"+rowID(row))
	}
	if len(names) == max {
		next = rows.Val()[max-1]
	}
	out, err = db.proposals(ctx, names)
	return out, next, err
}

// Proposing lists the proposals that messages wait in, each once.
func (db *DB) Proposing(ctx context.Context, to string, messages []ProposedMessage) ([]Proposal, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	rows := make([]string, len(messages))
	for i, m := range messages {
		rows[i] = m.row(to)
	}
	digests, err := db.bounded(ctx, "proposing", rows, 2+2*common.HashLength)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, d := range digests {
		if name := to + "\n" + d; d != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return db.proposals(ctx, names)
}

// proposals reads proposals by name; what is gone or damaged is left out.
func (db *DB) proposals(ctx context.Context, names []string) ([]Proposal, error) {
	texts, err := db.bounded(ctx, "proposals", names, maxProposalBytes)
	if err != nil {
		return nil, err
	}
	var out []Proposal
	for i, text := range texts {
		if text == "" {
			continue
		}
		p, err := decodeProposal(names[i], text)
		if err != nil {
			db.log.DebugContext(ctx, "a proposal in redis is damaged: it is left out", "err", err)
			continue
		}
		out = append(out, p)
	}
	return out, nil
}

// Signatures lists what was signed, per proposal, in no order. Nothing says that
// they are signatures, nor whose.
func (db *DB) Signatures(ctx context.Context, of []Proposal) ([][][]byte, error) {
	var fields []string
	for _, p := range of {
		for _, s := range p.Signers {
			fields = append(fields, p.name()+"\n"+s.Hex())
		}
	}
	values, err := db.bounded(ctx, "signatures", fields, signatureLen)
	if err != nil {
		return nil, err
	}
	out := make([][][]byte, len(of))
	for i, p := range of {
		for _, v := range values[:len(p.Signers)] {
			if len(v) == signatureLen {
				out[i] = append(out[i], []byte(v))
			}
		}
		values = values[len(p.Signers):]
	}
	return out, nil
}

// bounded reads fields of a hash, "" for what is not there or longer than most: a
// stranger's value must not fill the memory.
func (db *DB) bounded(ctx context.Context, key string, fields []string, most int64) ([]string, error) {
	out := make([]string, len(fields))
	for start := 0; start < len(fields); start += page {
		part := fields[start:min(start+page, len(fields))]
		lengths := make([]*redis.IntCmd, len(part))
		if err := db.read(ctx, func(p redis.Pipeliner) {
			for i, f := range part {
				lengths[i] = p.HStrLen(ctx, db.k.of(key), f)
			}
		}); err != nil {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		var wanted []string
		var places []int
		for i, n := range lengths {
			if n.Val() > 0 && n.Val() <= most {
				wanted, places = append(wanted, part[i]), append(places, start+i)
			}
		}
		if len(wanted) == 0 {
			continue
		}
		var values *redis.SliceCmd
		if err := db.read(ctx, func(p redis.Pipeliner) { values = p.HMGet(ctx, db.k.of(key), wanted...) }); err != nil {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		for i, v := range values.Val() {
			out[places[i]], _ = v.(string)
		}
	}
	return out, nil
}
