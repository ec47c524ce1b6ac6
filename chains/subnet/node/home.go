package node

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cometbft/cometbft/crypto/secp256k1"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"
	"github.com/ethereum/go-ethereum/crypto"
)

// Files of a home.
const (
	genesisFile   = "genesis.json"
	cometDir      = "comet"
	gethDir       = "geth"
	stateDir      = "state"
	signStateFile = "sign_state.log"
)

func keyFile(home string) string     { return filepath.Join(home, "validator_key.json") }
func stateFile(home string) string   { return filepath.Join(home, "validator_state.json") }
func nodeKeyFile(home string) string { return filepath.Join(home, "node_key.json") }

// ErrHomeTaken says that a home already belongs to another genesis or key.
var ErrHomeTaken = errors.New("home belongs to another genesis or validator")

// InitHome writes genesis, node key, validator key and an empty signing state
// into home (directories 0700, secrets 0600). Nil validatorKey makes a node
// that follows without validating. Calling it again with the same arguments
// changes nothing; with others it returns ErrHomeTaken.
func InitHome(home string, g Genesis, validatorKey *ecdsa.PrivateKey) error {
	if err := g.Check(); err != nil {
		return fmt.Errorf("check genesis: %w", err)
	}
	for _, dir := range []string{home, filepath.Join(home, cometDir, "config"), filepath.Join(home, cometDir, "data")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make home: %w", err)
		}
	}
	text, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		return fmt.Errorf("encode genesis: %w", err)
	}
	text = append(text, '\n')
	if err := writeOnce(filepath.Join(home, genesisFile), text); err != nil {
		return fmt.Errorf("write genesis: %w", err)
	}

	// The key is the validator's one key: consensus votes and items.
	if _, err := os.Stat(keyFile(home)); errors.Is(err, fs.ErrNotExist) {
		if validatorKey == nil {
			if validatorKey, err = crypto.GenerateKey(); err != nil {
				return fmt.Errorf("generate key: %w", err)
			}
		}
		priv := secp256k1.PrivKey(crypto.FromECDSA(validatorKey))
		// State before key: a crash between leaves no key, and the next call
		// starts over. A key is never without its state.
		pv := privval.NewFilePV(priv, keyFile(home), stateFile(home))
		pv.LastSignState.Save()
		pv.Key.Save()
	} else if err != nil {
		return fmt.Errorf("look for key: %w", err)
	} else if validatorKey != nil {
		have, err := loadKey(home)
		if err != nil {
			return err
		}
		if !have.Equal(validatorKey) {
			return fmt.Errorf("validator key: %w", ErrHomeTaken)
		}
	}
	if _, err := p2p.LoadOrGenNodeKey(nodeKeyFile(home)); err != nil {
		return fmt.Errorf("make node key: %w", err)
	}
	return nil
}

// LoadGenesis reads and checks genesis.json of a home.
func LoadGenesis(home string) (Genesis, error) {
	var g Genesis
	text, err := os.ReadFile(filepath.Join(home, genesisFile))
	if err != nil {
		return g, fmt.Errorf("read genesis: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&g); err != nil {
		return g, fmt.Errorf("decode genesis: %w", err)
	}
	if err := g.Check(); err != nil {
		return g, fmt.Errorf("check genesis: %w", err)
	}
	return g, nil
}

// NodeID is how CometBFT peers name this node (the id in id@host:port).
func NodeID(home string) (string, error) {
	k, err := p2p.LoadNodeKey(nodeKeyFile(home))
	if err != nil {
		return "", fmt.Errorf("load node key: %w", err)
	}
	return string(k.ID()), nil
}

// loadKey reads the validator's key.
func loadKey(home string) (*ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(keyFile(home))
	if err != nil {
		return nil, fmt.Errorf("read validator key: %w", err)
	}
	key, err := decodeKey(text)
	if err != nil {
		return nil, fmt.Errorf("decode validator key: %w", err)
	}
	return key, nil
}

// writeOnce writes a new file durably, or checks that the present one is equal.
func writeOnce(path string, text []byte) error {
	have, err := os.ReadFile(path)
	switch {
	case err == nil && bytes.Equal(have, text):
		return nil
	case err == nil:
		return fmt.Errorf("%s: %w", filepath.Base(path), ErrHomeTaken)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return replaceFile(path, text)
}

// replaceFile writes path so that a crash leaves the old or the new content.
func replaceFile(path string, text []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
