package rig

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/ethereum/go-ethereum/crypto"
)

// Secrets looks for keys and their passwords in every log: invariant I13.
func (w *World) Secrets() error {
	var needles [][]byte
	for _, name := range []string{"relayer", "validator", "deployer", "user"} {
		key, err := w.Dir.Key(name, home.Light)
		if err != nil {
			return err
		}
		password, err := os.ReadFile(w.Dir.Account(name).PasswordFile)
		if err != nil {
			return fmt.Errorf("read password: %w", err)
		}
		needles = append(needles, []byte(hex.EncodeToString(crypto.FromECDSA(key))), []byte(strings.TrimSpace(string(password))))
	}
	logs, err := filepath.Glob(filepath.Join(w.Dir.Logs(), "*"))
	if err != nil {
		return fmt.Errorf("list logs: %w", err)
	}
	for _, path := range logs {
		raw, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		raw = bytes.ToLower(raw)
		for _, n := range needles {
			if bytes.Contains(raw, n) {
				return violation("I13: a secret is in %s", filepath.Base(path))
			}
		}
	}
	return nil
}
