package store_test

import (
	"bytes"
	"context"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/ethereum/go-ethereum/common"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func proposed(n int) store.ProposedMessage {
	id := axelar.MessageID{Tx: hash(n), Index: uint64(n)}
	return store.ProposedMessage{From: "Ethereum", ID: id, Message: axelar.Message{
		SourceChain: axelar.HubChain, ID: axelar.HubMessageID("Ethereum", id).String(), SourceAddress: "axelar1<&\"hub",
		Contract: common.Address{1}, PayloadHash: hash(1000 + n),
	}}
}

var signers = []common.Address{{1}, {2}, {3}}

// proposal is a batch of the messages with those numbers.
func proposal(digest int, messages ...int) store.Proposal {
	p := store.Proposal{To: "filecoin", Digest: hash(digest), Set: hash(77), Signers: signers}
	for _, n := range messages {
		p.Messages = append(p.Messages, proposed(n))
	}
	return p
}

func nextSet() *axelar.WeightedSigners {
	return &axelar.WeightedSigners{
		Signers:   []axelar.WeightedSigner{{Signer: common.Address{4}, Weight: new(big.Int).Lsh(big.NewInt(1), 100)}},
		Threshold: new(big.Int).Lsh(big.NewInt(1), 100), Nonce: hash(9),
	}
}

func up(t *testing.T, db *store.DB, to string) []store.Proposal {
	t.Helper()
	all, next, err := db.Proposals(ctx, to, "", 1000)
	require.NoError(t, err)
	require.Empty(t, next)
	return all
}

func TestAProposalIsUpOnceAndNeverChanges(t *testing.T) {
	db, c := open(t, redisFor(t))
	first, err := db.Propose(ctx, proposal(1, 10, 11))
	require.NoError(t, err)
	want := proposal(1, 10, 11)
	want.At = c.t.UTC()
	require.Equal(t, want, first)
	require.Equal(t, []store.Proposal{want}, up(t, db, "filecoin"))
	require.Empty(t, up(t, db, "Ethereum"))

	c.advance(time.Minute)
	again, err := db.Propose(ctx, proposal(1, 10, 11))
	require.NoError(t, err)
	require.Equal(t, first, again, "the same, from when it was put up")
	// A message waits in one proposal of a gateway.
	other, err := db.Propose(ctx, proposal(2, 12, 11))
	require.NoError(t, err)
	require.Equal(t, first, other)
	require.Len(t, up(t, db, "filecoin"), 1)
	elsewhere := proposal(2, 11)
	elsewhere.To = "fantom"
	there, err := db.Propose(ctx, elsewhere)
	require.NoError(t, err)
	require.Equal(t, "fantom", there.To, "of another gateway, in another one")

	got, err := db.Proposing(ctx, "filecoin", []store.ProposedMessage{proposed(10), proposed(11), proposed(12)})
	require.NoError(t, err)
	require.Equal(t, []store.Proposal{first}, got, "once")

	// Once it is dropped, its messages are free.
	require.NoError(t, db.DropProposal(ctx, first, "test"))
	require.NoError(t, db.DropProposal(ctx, first, "test"), "again")
	require.Empty(t, up(t, db, "filecoin"))
	got, err = db.Proposing(ctx, "filecoin", []store.ProposedMessage{proposed(10)})
	require.NoError(t, err)
	require.Empty(t, got)
	other, err = db.Propose(ctx, proposal(2, 12, 11))
	require.NoError(t, err)
	require.Equal(t, hash(2), other.Digest)
	require.Len(t, up(t, db, "fantom"), 1)

	// A rotation has no messages, and large weights survive.
	rotation := store.Proposal{To: "filecoin", Digest: hash(3), Set: hash(77), Signers: signers, Next: nextSet()}
	_, err = db.Propose(ctx, rotation)
	require.NoError(t, err)
	all := up(t, db, "filecoin")
	require.Len(t, all, 2)
	require.True(t, all[1].Next.Equal(*nextSet()))
}

func TestASignatureIsKeptForItsSignerAlone(t *testing.T) {
	db, _ := open(t, redisFor(t))
	p, err := db.Propose(ctx, proposal(1, 10))
	require.NoError(t, err)
	q, err := db.Propose(ctx, proposal(2, 11))
	require.NoError(t, err)
	one, two := bytes.Repeat([]byte{0}, 65), bytes.Repeat([]byte{0xff}, 65)
	require.NoError(t, db.Sign(ctx, p, signers[0], two))
	require.NoError(t, db.Sign(ctx, p, signers[0], one), "instead of the earlier one")
	require.NoError(t, db.Sign(ctx, p, signers[2], two))
	require.NoError(t, db.Sign(ctx, p, signers[2], two))
	require.NoError(t, db.Sign(ctx, q, signers[1], two))
	got, err := db.Signatures(ctx, []store.Proposal{p, proposal(9, 1), q})
	require.NoError(t, err)
	require.Equal(t, [][][]byte{{one, two}, nil, {two}}, got)

	require.ErrorIs(t, db.Sign(ctx, p, common.Address{9}, one), store.ErrInvalid, "a stranger's")
	require.ErrorIs(t, db.Sign(ctx, p, signers[1], one[:64]), store.ErrInvalid)
	require.ErrorIs(t, db.Sign(ctx, proposal(9, 1), signers[1], one), store.ErrUnknown)

	// It goes with its proposal.
	require.NoError(t, db.DropProposal(ctx, p, "test"))
	require.ErrorIs(t, db.Sign(ctx, p, signers[0], one), store.ErrUnknown)
	_, err = db.Propose(ctx, proposal(1, 10))
	require.NoError(t, err)
	got, err = db.Signatures(ctx, []store.Proposal{p, q})
	require.NoError(t, err)
	require.Equal(t, [][][]byte{nil, {two}}, got)
}

func TestWhatCannotBeAProposalIsRefused(t *testing.T) {
	db, _ := open(t, redisFor(t))
	for name, change := range map[string]func(*store.Proposal){
		"nothing in it":        func(p *store.Proposal) { p.Messages = nil },
		"both":                 func(p *store.Proposal) { p.Next = nextSet() },
		"no chain":             func(p *store.Proposal) { p.To = "" },
		"a chain of two lines": func(p *store.Proposal) { p.To = "a\nb" },
		"from two lines":       func(p *store.Proposal) { p.Messages[0].From = "a\nb" },
		"from nowhere":         func(p *store.Proposal) { p.Messages[0].From = "" },
		"no message":           func(p *store.Proposal) { p.Messages[0].Message = axelar.Message{} },
		"no signers":           func(p *store.Proposal) { p.Signers = nil },
		"too many signers":     func(p *store.Proposal) { p.Signers = make([]common.Address, store.MaxProposalSigners+1) },
		"too many messages": func(p *store.Proposal) {
			p.Messages = nil
			for n := range store.MaxProposalMessages + 1 {
				p.Messages = append(p.Messages, proposed(n))
			}
		},
		"a set without numbers": func(p *store.Proposal) { p.Messages, p.Next = nil, &axelar.WeightedSigners{} },
	} {
		p := proposal(1, 10)
		change(&p)
		_, err := db.Propose(ctx, p)
		require.ErrorIs(t, err, store.ErrInvalid, name)
	}
	largest := proposal(1)
	for n := range store.MaxProposalMessages {
		largest.Messages = append(largest.Messages, proposed(n))
	}
	_, err := db.Propose(ctx, largest)
	require.NoError(t, err)
	require.Len(t, up(t, db, "filecoin")[0].Messages, store.MaxProposalMessages)
}

func TestProposalsComeInPagesOldestFirst(t *testing.T) {
	db, c := open(t, redisFor(t))
	for n := range 25 {
		_, err := db.Propose(ctx, proposal(100-n, n))
		require.NoError(t, err)
		c.advance(time.Second)
	}
	var digests []common.Hash
	after := ""
	for pages := 1; ; pages++ {
		page, next, err := db.Proposals(ctx, "filecoin", after, 10)
		require.NoError(t, err)
		for _, p := range page {
			digests = append(digests, p.Digest)
		}
		if after = next; next == "" {
			require.Equal(t, 3, pages)
			break
		}
	}
	require.Len(t, digests, 25)
	for n, d := range digests {
		require.Equal(t, hash(100-n), d)
	}
	// A place of another chain is none of this one's.
	page, _, err := db.Proposals(ctx, "filecoin", "zzz\n1", 10)
	require.NoError(t, err)
	require.Len(t, page, 10)
}

func TestNoMoreThanAThousandProposalsAreUp(t *testing.T) {
	s := redisFor(t)
	db, _ := open(t, s)
	raw := s.Client()
	t.Cleanup(func() { _ = raw.Close() })
	first, err := db.Propose(ctx, proposal(7, 7))
	require.NoError(t, err)
	_, err = raw.Pipelined(ctx, func(p redis.Pipeliner) error {
		for n := range 998 {
			p.ZAdd(ctx, "{test}:proposed", redis.Z{Member: "filecoin\n000000000000001\n" + hash(n).Hex()})
		}
		return nil
	})
	require.NoError(t, err)
	_, err = db.Propose(ctx, proposal(8, 8))
	require.NoError(t, err)
	_, err = db.Propose(ctx, proposal(5000, 5000))
	require.ErrorIs(t, err, chains.ErrBusy)
	elsewhere := proposal(5000, 5000)
	elsewhere.To = "Ethereum"
	_, err = db.Propose(ctx, elsewhere)
	require.NoError(t, err, "at one gateway")
	require.NoError(t, db.DropProposal(ctx, first, "test"))
	_, err = db.Propose(ctx, proposal(5000, 5000))
	require.NoError(t, err)
}

// TestWhatAStrangerWritesIntoTheProposalsIsLeftOut: who can write to Redis can write
// anything there.
func TestWhatAStrangerWritesIntoTheProposalsIsLeftOut(t *testing.T) {
	s := redisFor(t)
	db, _ := open(t, s)
	raw := s.Client()
	t.Cleanup(func() { _ = raw.Close() })
	const ns = "{test}:"
	good, err := db.Propose(ctx, proposal(1, 10))
	require.NoError(t, err)
	text := raw.HGet(ctx, ns+"proposals", "filecoin\n"+hash(1).Hex()).Val()
	require.NotEmpty(t, text)

	put := func(n int, doc string) string {
		name := "filecoin\n" + hash(n).Hex()
		require.NoError(t, raw.HSet(ctx, ns+"proposals", name, doc).Err())
		require.NoError(t, raw.ZAdd(ctx, ns+"proposed", redis.Z{Member: "filecoin\n000000000000001\n" + hash(n).Hex()}).Err())
		return name
	}
	renamed := func(n int, change ...string) string {
		return strings.NewReplacer(append([]string{hash(1).Hex(), hash(n).Hex()}, change...)...).Replace(text)
	}
	for i, doc := range []string{
		"", "{}", "1 {}", text, "x" + renamed(101), renamed(102, `"from"`, `"form"`), renamed(103, "Ethereum", `E\n`),
		renamed(104, hash(10).Hex()+"-10", hash(10).Hex()+"-010"), renamed(105, hash(1010).Hex(), "0x12"),
		renamed(106) + strings.Repeat(" ", 600<<10), strings.Repeat("9", 30) + " {}", "1 null", "-5" + renamed(110)[15:],
		renamed(111, `"messages":[`, `"messages":[],"x":[`),
	} {
		put(100+i, doc)
	}
	require.Equal(t, []store.Proposal{good}, up(t, db, "filecoin"))

	// A message that was said to wait in a damaged one is free.
	require.NoError(t, raw.HSet(ctx, ns+"proposing", "filecoin\nEthereum\n"+proposed(20).ID.String(), hash(101).Hex()).Err())
	got, err := db.Proposing(ctx, "filecoin", []store.ProposedMessage{proposed(20)})
	require.NoError(t, err)
	require.Empty(t, got)
	fine, err := db.Propose(ctx, proposal(2, 20))
	require.NoError(t, err)
	require.Equal(t, hash(2), fine.Digest)
	require.False(t, raw.HExists(ctx, ns+"proposals", "filecoin\n"+hash(101).Hex()).Val(), "it gave way")

	// And so is a digest that was taken by something else.
	put(3, renamed(9))
	fine, err = db.Propose(ctx, proposal(3, 30))
	require.NoError(t, err)
	require.Equal(t, proposal(3, 30).Messages, fine.Messages)

	// Signatures of other lengths are none.
	for i, sig := range []string{strings.Repeat("s", 64), strings.Repeat("s", 66), ""} {
		require.NoError(t, raw.HSet(ctx, ns+"signatures", "filecoin\n"+hash(1).Hex()+"\n"+signers[i].Hex(), sig).Err())
	}
	sigs, err := db.Signatures(ctx, []store.Proposal{good})
	require.NoError(t, err)
	require.Equal(t, [][][]byte{nil}, sigs)
}

// TestAHundredThousandProposalsOfAStrangerAreReadInPages: none takes more memory
// than a page.
func TestAHundredThousandProposalsOfAStrangerAreReadInPages(t *testing.T) {
	s := storetest.StartRedis(t, "--appendonly", "no")
	db, _ := open(t, s, func(o *store.Options) { o.AllowUnsafe = true })
	raw := s.Client()
	t.Cleanup(func() { _ = raw.Close() })
	good, err := db.Propose(ctx, proposal(1, 10))
	require.NoError(t, err)
	const many = 100_000
	for start := 0; start < many; start += 1000 {
		_, err := raw.Pipelined(ctx, func(p redis.Pipeliner) error {
			for n := start; n < start+1000; n++ {
				d := hash(1_000_000 + n).Hex()
				p.HSet(ctx, "{test}:proposals", "filecoin\n"+d, fmt.Sprintf(`1 {"to":"filecoin","digest":"%s"}`, d))
				p.ZAdd(ctx, "{test}:proposed", redis.Z{Member: fmt.Sprintf("filecoin\n%015d\n%s", n, d)})
			}
			return nil
		})
		require.NoError(t, err)
	}
	bounded, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	found, pages, after := 0, 0, ""
	for {
		page, next, err := db.Proposals(bounded, "filecoin", after, 500)
		require.NoError(t, err)
		for _, p := range page {
			require.Equal(t, good, p)
			found++
		}
		pages++
		if after = next; next == "" {
			break
		}
	}
	require.Equal(t, 1, found)
	require.Equal(t, 201, pages)
	_, err = db.Propose(ctx, proposal(2, 20))
	require.ErrorIs(t, err, chains.ErrBusy, "until somebody tidies up")
}
