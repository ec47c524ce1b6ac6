package relayer

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"

	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

// LoadKey decrypts a keystore file with the password in another file. Both must
// be readable by their owner only.
func LoadKey(a Account) (*ecdsa.PrivateKey, error) {
	raw, err := privateFile(a.Keystore)
	if err != nil {
		return nil, fmt.Errorf("read keystore: %w", err)
	}
	pass, err := privateFile(a.PasswordFile)
	if err != nil {
		return nil, fmt.Errorf("read keystore password: %w", err)
	}
	key, err := keystore.DecryptKey(raw, strings.TrimRight(string(pass), "\r\n"))
	if err != nil {
		return nil, fmt.Errorf("decrypt keystore %s: %w", a.Keystore, err)
	}
	return key.PrivateKey, nil
}

// loadKeys decrypts every account's keystore, once per process.
func loadKeys(cfg Config) (map[Account]evm.Signer, error) {
	keys := map[Account]evm.Signer{}
	var errs []error
	load := func(name string, accounts []Account) {
		for _, a := range accounts {
			if keys[a] != nil {
				continue
			}
			key, err := LoadKey(a)
			if err != nil {
				errs = append(errs, fmt.Errorf("account of %s: %w", name, err))
				continue
			}
			keys[a] = Signer(key)
		}
	}
	load(flow.Root, cfg.Root.Accounts)
	if cfg.Ethereum != nil {
		load(flow.Ethereum, cfg.Ethereum.Accounts)
	}
	for _, s := range cfg.Subnets {
		load(s.Name, s.Accounts)
	}
	return keys, errors.Join(errs...)
}

// privateFile refuses a file that others can read: what is in it moves money.
func privateFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others: run chmod 600 on it", path)
	}
	if info.Size() > 64<<10 {
		return nil, errors.New(path + " is too large")
	}
	return os.ReadFile(path)
}

// keySigner signs with a key in memory.
type keySigner struct {
	key     *ecdsa.PrivateKey
	address common.Address
}

// Signer makes a transaction signer of a key.
func Signer(key *ecdsa.PrivateKey) evm.Signer {
	return keySigner{key: key, address: crypto.PubkeyToAddress(key.PublicKey)}
}

func (s keySigner) Address() common.Address { return s.address }

func (s keySigner) SignTx(tx *types.Transaction, chainID *big.Int) (*types.Transaction, error) {
	return types.SignTx(tx, types.LatestSignerForChainID(chainID), s.key)
}
