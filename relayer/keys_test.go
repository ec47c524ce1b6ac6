package relayer_test

import (
	"math/big"
	"os"
	"path/filepath"
	"testing"

	"github.com/causeway-bridge/causeway/relayer"
	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// account writes a key and its password, as owner-only files.
func account(t *testing.T, password, written string) (relayer.Account, common.Address) {
	t.Helper()
	key, err := crypto.GenerateKey()
	require.NoError(t, err)
	address := crypto.PubkeyToAddress(key.PublicKey)
	raw, err := keystore.EncryptKey(&keystore.Key{Id: uuid.New(), Address: address, PrivateKey: key}, password, 2, 1)
	require.NoError(t, err)
	dir := t.TempDir()
	a := relayer.Account{Keystore: filepath.Join(dir, "key.json"), PasswordFile: filepath.Join(dir, "password")}
	require.NoError(t, os.WriteFile(a.Keystore, raw, 0o600))
	require.NoError(t, os.WriteFile(a.PasswordFile, []byte(written), 0o600))
	return a, address
}

func TestAKeyIsDecryptedAndSignsForItsAddress(t *testing.T) {
	for written, password := range map[string]string{"secret": "secret", "secret\n": "secret", "secret\r\n": "secret", " secret ": " secret ", "": ""} {
		a, address := account(t, password, written)
		key, err := relayer.LoadKey(a)
		require.NoError(t, err, "%q", written)
		s := relayer.Signer(key)
		require.Equal(t, address, s.Address())
		tx, err := s.SignTx(types.NewTx(&types.DynamicFeeTx{ChainID: big.NewInt(9)}), big.NewInt(9))
		require.NoError(t, err)
		from, err := types.Sender(types.LatestSignerForChainID(big.NewInt(9)), tx)
		require.NoError(t, err)
		require.Equal(t, address, from)
		_, err = s.SignTx(types.NewTx(&types.DynamicFeeTx{ChainID: big.NewInt(8)}), big.NewInt(9))
		require.Error(t, err, "a transaction of another chain")
	}
}

func TestAFileThatOthersCanReadIsRefused(t *testing.T) {
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o620, 0o601, 0o777} {
		for _, file := range []string{"keystore", "password"} {
			a, _ := account(t, "secret", "secret")
			path := a.Keystore
			if file == "password" {
				path = a.PasswordFile
			}
			require.NoError(t, os.Chmod(path, mode))
			_, err := relayer.LoadKey(a)
			require.ErrorContains(t, err, "can be read by others: run chmod 600", "%s %o", file, mode)
			require.ErrorContains(t, err, file)
		}
	}
}

func TestAKeyThatCannotBeReadSaysWhyAndNoSecret(t *testing.T) {
	a, _ := account(t, "secret", "hunter2")
	_, err := relayer.LoadKey(a)
	require.ErrorIs(t, err, keystore.ErrDecrypt)
	require.ErrorContains(t, err, "decrypt keystore "+a.Keystore)
	require.NotContains(t, err.Error(), "hunter2")

	a, _ = account(t, "secret", "secret")
	_, err = relayer.LoadKey(relayer.Account{Keystore: a.Keystore + "x", PasswordFile: a.PasswordFile})
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = relayer.LoadKey(relayer.Account{Keystore: a.Keystore, PasswordFile: a.PasswordFile + "x"})
	require.ErrorIs(t, err, os.ErrNotExist)

	for name, raw := range map[string][]byte{"empty": nil, "rubbish": []byte("{"), "another format": []byte(`{"version":9}`), "too large": make([]byte, 65<<10)} {
		require.NoError(t, os.WriteFile(a.Keystore, raw, 0o600))
		_, err = relayer.LoadKey(a)
		require.Error(t, err, name)
	}
	_, err = relayer.LoadKey(relayer.Account{Keystore: t.TempDir(), PasswordFile: a.PasswordFile})
	require.Error(t, err, "a folder")
}
