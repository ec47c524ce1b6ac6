// Package home is a folder with everything one bridge needs: keys, the record
// of the deployment, the node's home and the two configuration files. It
// promises that what it writes is readable by the owner alone and that a second
// run over the same folder goes on where the first one stopped.
package home

import (
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/causeway-bridge/causeway/relayer"
	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/google/uuid"
)

// Dir is a home folder.
type Dir string

// Paths inside a home.
func (d Dir) path(parts ...string) string {
	return filepath.Join(append([]string{string(d)}, parts...)...)
}

// Deployment is the record of the contracts.
func (d Dir) Deployment() string { return d.path("deployment.json") }

// Config is the relayer's configuration.
func (d Dir) Config() string { return d.path("causeway.yaml") }

// Approver is the configuration of a signer of the local quorum.
func (d Dir) Approver() string { return d.path("approver.yaml") }

// NodeConfig is the node's configuration.
func (d Dir) NodeConfig() string { return d.path("node.yaml") }

// Node is the node's own folder.
func (d Dir) Node() string { return d.path("node") }

// Devnet says where a running devnet listens.
func (d Dir) Devnet() string { return d.path("devnet.json") }

// Logs is where child processes write.
func (d Dir) Logs() string { return d.path("logs") }

// Sub is a folder of the home.
func (d Dir) Sub(name string) string { return d.path(name) }

// Lock makes the folder and takes it for this process: who is "a devnet" or "a
// deployment". Neither may run beside another one in the same folder.
func (d Dir) Lock(who string) (release func() error, err error) {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return nil, fmt.Errorf("make home: %w", err)
	}
	return relayer.Lock(string(d), who)
}

// Make makes the folder, for its owner only.
func (d Dir) Make() error {
	for _, dir := range []string{string(d), d.path("keys"), d.Logs()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make home: %w", err)
		}
	}
	return nil
}

// Account names the keystore of a key in this home.
func (d Dir) Account(name string) relayer.Account {
	return relayer.Account{Keystore: d.path("keys", name+".json"), PasswordFile: d.path("keys", name+".password")}
}

// Strength is how dear a keystore is to open.
type Strength int

// Scrypt costs: Standard for keys with money, Light for devnets.
const (
	Standard Strength = keystore.StandardScryptN
	Light    Strength = keystore.LightScryptN
)

// Key opens the key of this name, and makes it first if it is not there. The
// password is written before the keystore, so that no keystore is ever without
// one.
func (d Dir) Key(name string, strength Strength) (*ecdsa.PrivateKey, error) {
	a := d.Account(name)
	switch _, err := os.Stat(a.Keystore); {
	case err == nil:
		return relayer.LoadKey(a)
	case !errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("key %s: %w", name, err)
	}
	key, err := crypto.GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("make key %s: %w", name, err)
	}
	var secret [24]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return nil, fmt.Errorf("make password: %w", err)
	}
	password := hex.EncodeToString(secret[:])
	p := 1
	if strength == Light {
		p = keystore.LightScryptP
	}
	raw, err := keystore.EncryptKey(&keystore.Key{Id: uuid.New(), Address: crypto.PubkeyToAddress(key.PublicKey), PrivateKey: key}, password, int(strength), p)
	if err != nil {
		return nil, fmt.Errorf("encrypt key %s: %w", name, err)
	}
	if err := WriteFile(a.PasswordFile, []byte(password+"\n")); err != nil {
		return nil, err
	}
	if err := WriteFile(a.Keystore, raw); err != nil {
		return nil, err
	}
	return key, nil
}

// WriteFile replaces a file as a whole, durably, for its owner only.
func WriteFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", filepath.Base(path), err), os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Announce writes what a process tells whoever started it; no path, no file.
func Announce(path string, v any) error {
	if path == "" {
		return nil
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode ready file: %w", err)
	}
	return WriteFile(path, raw)
}
