package ipc

import (
	"fmt"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/math"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/signer/core/apitypes"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var finalityFields = []apitypes.Type{{Name: "signerConfig", Type: "uint64"}, {Name: "parentHeight", Type: "uint64"},
	{Name: "parentHash", Type: "bytes32"}, {Name: "topDownNonce", Type: "uint64"}, {Name: "topDownHash", Type: "bytes32"},
	{Name: "powerChangeNonce", Type: "uint64"}, {Name: "powerChangeHash", Type: "bytes32"}}

func typed(d Domain, primary string, fields []apitypes.Type, message apitypes.TypedDataMessage) (common.Hash, error) {
	data := apitypes.TypedData{
		Types: apitypes.Types{
			"EIP712Domain": {{Name: "name", Type: "string"}, {Name: "version", Type: "string"}, {Name: "chainId", Type: "uint256"},
				{Name: "verifyingContract", Type: "address"}, {Name: "salt", Type: "bytes32"}},
			primary:          fields,
			"ParentFinality": finalityFields,
		},
		PrimaryType: primary,
		Domain: apitypes.TypedDataDomain{Name: "Causeway", Version: "1", ChainId: (*math.HexOrDecimal256)(new(big.Int).SetUint64(d.ChainID)),
			VerifyingContract: d.VerifyingContract.Hex(), Salt: d.Salt.Hex()},
		Message: message,
	}
	hash, _, err := apitypes.TypedDataAndHash(data)
	return common.BytesToHash(hash), err
}

func TestDigestsOfItemsAreTypedDataHashes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Domain{ChainID: rapid.Uint64().Draw(t, "chain"), VerifyingContract: genAddr().Draw(t, "contract"), Salt: genHash().Draw(t, "salt")}
		u := func(name string) uint64 { return rapid.Uint64().Draw(t, name) }
		num := func(v uint64) string { return fmt.Sprint(v) }

		p := ParentFinality{SignerConfig: u("a"), ParentHeight: u("b"), ParentHash: genHash().Draw(t, "c"), TopDownNonce: u("d"),
			TopDownHash: genHash().Draw(t, "e"), PowerChangeNonce: u("f"), PowerChangeHash: genHash().Draw(t, "g")}
		finality := apitypes.TypedDataMessage{"signerConfig": num(p.SignerConfig), "parentHeight": num(p.ParentHeight), "parentHash": p.ParentHash[:],
			"topDownNonce": num(p.TopDownNonce), "topDownHash": p.TopDownHash[:],
			"powerChangeNonce": num(p.PowerChangeNonce), "powerChangeHash": p.PowerChangeHash[:]}
		want, err := typed(d, "ParentFinality", finalityFields, finality)
		require.NoError(t, err)
		require.Equal(t, want, p.Digest(d))

		pr := ParentRecovery{Number: u("q"), Anchor: p}
		want, err = typed(d, "ParentRecovery", []apitypes.Type{{Name: "number", Type: "uint64"}, {Name: "anchor", Type: "ParentFinality"}},
			apitypes.TypedDataMessage{"number": num(pr.Number), "anchor": map[string]any(finality)})
		require.NoError(t, err)
		require.Equal(t, want, pr.Digest(d))

		r := Recovery{Number: pr.Number, TopDownNonce: p.TopDownNonce, TopDownHash: p.TopDownHash, PowerChangeNonce: p.PowerChangeNonce, PowerChangeHash: p.PowerChangeHash}
		want, err = typed(d, "Recovery", []apitypes.Type{{Name: "number", Type: "uint64"}, finalityFields[3], finalityFields[4], finalityFields[5], finalityFields[6]},
			apitypes.TypedDataMessage{"number": num(r.Number), "topDownNonce": num(r.TopDownNonce), "topDownHash": r.TopDownHash[:],
				"powerChangeNonce": num(r.PowerChangeNonce), "powerChangeHash": r.PowerChangeHash[:]})
		require.NoError(t, err)
		require.Equal(t, want, r.Digest(d))
		want, err = typed(d, "RecoveryWithdrawal", []apitypes.Type{{Name: "number", Type: "uint64"}}, apitypes.TypedDataMessage{"number": num(r.Number)})
		require.NoError(t, err)
		require.Equal(t, want, r.WithdrawalDigest(d))

		o := OutboxRoot{Height: u("h"), BlockHash: genHash().Draw(t, "i"), Time: u("j"), Outbox: genAddr().Draw(t, "k"), Count: u("l"),
			Root: genHash().Draw(t, "m"), Price: genUint256().Draw(t, "n"), PriceRound: u("o"), SignerConfig: u("p")}
		want, err = typed(d, "OutboxRoot", []apitypes.Type{{Name: "height", Type: "uint64"}, {Name: "blockHash", Type: "bytes32"},
			{Name: "time", Type: "uint64"}, {Name: "outbox", Type: "address"}, {Name: "count", Type: "uint64"}, {Name: "root", Type: "bytes32"},
			{Name: "price", Type: "uint256"}, {Name: "priceRound", Type: "uint64"}, {Name: "signerConfig", Type: "uint64"}},
			apitypes.TypedDataMessage{"height": num(o.Height), "blockHash": o.BlockHash[:], "time": num(o.Time), "outbox": o.Outbox.Hex(),
				"count": num(o.Count), "root": o.Root[:], "price": o.Price.String(), "priceRound": num(o.PriceRound), "signerConfig": num(o.SignerConfig)})
		require.NoError(t, err)
		require.Equal(t, want, o.Digest(d))
	})
}

func TestExtensionsSurviveTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := Extension{Report: rapid.Uint64().Draw(t, "report"), Items: make([]Item, rapid.IntRange(0, MaxExtensionItems).Draw(t, "n"))}
		for i := range e.Items {
			it := &e.Items[i]
			it.Kind = ItemKind(rapid.Byte().Draw(t, "kind"))
			it.Key = rapid.Uint64().Draw(t, "key")
			it.Digest = genHash().Draw(t, "digest")
			copy(it.Signature[:], rapid.SliceOfN(rapid.Byte(), 65, 65).Draw(t, "signature"))
		}
		b, err := EncodeExtension(e)
		require.NoError(t, err)
		require.LessOrEqual(t, len(b), MaxExtensionBytes)
		back, err := DecodeExtension(b)
		require.NoError(t, err)
		require.Equal(t, e, back)

		_, err = DecodeExtension(append(b, 0))
		require.Error(t, err)
		_, err = DecodeExtension(b[:rapid.IntRange(1, len(b)-1).Draw(t, "cut")])
		require.ErrorIs(t, err, ErrMalformed)
	})
}

func TestExtensionsAreBoundedAndVersioned(t *testing.T) {
	_, err := EncodeExtension(Extension{Items: make([]Item, MaxExtensionItems+1)})
	require.ErrorIs(t, err, ErrTooLarge)
	_, err = DecodeExtension(make([]byte, MaxExtensionBytes+1))
	require.ErrorIs(t, err, ErrTooLarge)
	_, err = DecodeExtension([]byte{2, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	require.ErrorIs(t, err, ErrMalformed)
	empty, err := DecodeExtension(nil)
	require.NoError(t, err)
	require.Equal(t, Extension{}, empty)
	require.GreaterOrEqual(t, MaxExtensionItems, 32, "room for a backlog")
}

func TestItemsNameTheirSignerAndKind(t *testing.T) {
	key, err := crypto.GenerateKey()
	require.NoError(t, err)
	it := Item{Kind: ItemCheckpoint, Key: 10, Digest: keccak([]byte("x"))}
	sig, err := Sign(key, it.Digest)
	require.NoError(t, err)
	copy(it.Signature[:], sig)
	who, err := it.Signer()
	require.NoError(t, err)
	require.Equal(t, crypto.PubkeyToAddress(key.PublicKey), who)

	names := map[ItemKind]string{ItemParentFinality: "parent_finality", ItemOutboxRoot: "outbox_root", ItemPrice: "price", ItemCheckpoint: "checkpoint", 9: "unknown_9"}
	for k, name := range names {
		require.Equal(t, name, k.String())
		require.Equal(t, k != 9, k.Known())
	}
	require.False(t, ItemKind(0).Known())
	require.Equal(t, []ItemKind{1, 2, 3, 4}, []ItemKind{ItemParentFinality, ItemOutboxRoot, ItemPrice, ItemCheckpoint})
}
