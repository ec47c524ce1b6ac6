package relayer_test

import (
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/relayer"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// goodApprover is a file with nothing wrong in it.
const goodApprover = `
redis: {url_file: secrets/redis, namespace: bridge-1}
signer: {keystore: keys/me.json, password_file: keys/password}
hub: axelar1hub
chains:
  - name: Ethereum
    url: https://one.example/key
    witnesses: [https://two.example]
    witness_files: [secrets/three]
    chain_id: 1
    start_block: 7
    gateway: "0x4F4495243837681061C4743b74B3eEdf548D56A5"
    token_service: "0xB5FB4BE02232B1bBA4dC8f81dc24C26980dE9e3C"
  - name: filecoin
    url_file: /abs/root
    also: [http://127.0.0.1:1, secrets/root-2]
    agree: 2
    chain_id: 314
    lotus: {depth: 900, behind: 2}
    proofs: endpoints
    tick: 10s
    max_range: 50
    gateway: "0xe432150cce91c13a887f7D836923d5597adD8E31"
    token_service: "0xB5FB4BE02232B1bBA4dC8f81dc24C26980dE9e3C"
tokens: [{id: "0x00000000000000000000000000000000000000000000000000000000000000f1", home: Ethereum, decimals: 18}]
direct: [{from: Ethereum, sender: "0x00000000000000000000000000000000000000a1", to: filecoin, contract: "0x00000000000000000000000000000000000000b2"}]
signer_sets:
  - signers: [{address: "0x0000000000000000000000000000000000000c02", weight: 2}, {address: "0x0000000000000000000000000000000000000c01", weight: 1}]
    threshold: 2
    nonce: "0x0000000000000000000000000000000000000000000000000000000000000009"
`

func TestASignersConfigurationIsReadOverItsDefaults(t *testing.T) {
	path := write(t, goodApprover)
	dir := filepath.Dir(path)
	cfg, err := relayer.ReadApprover(path)
	require.NoError(t, err)
	require.NoError(t, cfg.Check())
	require.Equal(t, filepath.Join(dir, "approver"), cfg.State)
	require.Equal(t, relayer.Redis{URLFile: filepath.Join(dir, "secrets/redis"), Namespace: "bridge-1"}, cfg.Redis)
	require.Equal(t, relayer.Account{Keystore: filepath.Join(dir, "keys/me.json"), PasswordFile: filepath.Join(dir, "keys/password")}, cfg.Signer)
	require.Equal(t, "127.0.0.1:8483", cfg.Admin)
	require.Equal(t, relayer.ApproverChain{
		Name: "Ethereum", URL: "https://one.example/key", Witnesses: []string{"https://two.example"}, WitnessFiles: []string{filepath.Join(dir, "secrets/three")},
		ChainID: 1, StartBlock: 7, Finality: "finalized", Proofs: relayer.ProofsHeaders, MaxRange: 2000, Tick: relayer.Duration(2 * time.Second),
		Gateway: common.HexToAddress("0x4F4495243837681061C4743b74B3eEdf548D56A5"), TokenService: common.HexToAddress("0xB5FB4BE02232B1bBA4dC8f81dc24C26980dE9e3C"),
	}, cfg.Chains[0])
	require.Equal(t, "/abs/root", cfg.Chains[1].URLFile)
	require.Equal(t, []string{"http://127.0.0.1:1", filepath.Join(dir, "secrets/root-2")}, cfg.Chains[1].Also)
	require.Equal(t, &relayer.Lotus{Depth: 900, Behind: 2}, cfg.Chains[1].Lotus)
	require.Empty(t, cfg.Chains[1].Finality, "the depth says it")
	require.Equal(t, relayer.Duration(10*time.Second), cfg.Chains[1].Tick)

	// A set comes out ascending, as gateways want it.
	set := cfg.SignerSets[0].Set()
	require.Equal(t, common.HexToAddress("0xc01"), set.Signers[0].Signer)
	require.Equal(t, big.NewInt(1), set.Signers[0].Weight)
	require.Equal(t, big.NewInt(2), set.Threshold)
	require.Equal(t, common.Hash{31: 9}, set.Nonce)
}

func TestASignersConfigurationIsStrict(t *testing.T) {
	for what, change := range map[string][2]string{
		"field witness not found": {"witnesses:", "witness:"},
		"field weigth not found":  {"weight: 1", "weigth: 1"},
		"cannot unmarshal":        {"weight: 1", "weight: -1"},
		"hex string":              {"0x4F4495243837681061C4743b74B3eEdf548D56A5", "0x4F44"},
		"no duration":             {"tick: 10s", "tick: 10"},
		"more behind ---":         {"hub: axelar1hub", "hub: axelar1hub\n---\n"},
	} {
		_, err := relayer.ReadApprover(write(t, strings.Replace(goodApprover, change[0], change[1], 1)))
		require.ErrorContains(t, err, what)
	}
	_, err := relayer.ReadApprover(write(t, ""))
	require.ErrorContains(t, err, "empty")
}

func TestEverythingThatIsWrongWithASignerIsSaidAtOnce(t *testing.T) {
	good, err := relayer.ReadApprover(write(t, goodApprover))
	require.NoError(t, err)
	for say, change := range map[string]func(*relayer.ApproverConfig){
		"state:":                           func(c *relayer.ApproverConfig) { c.State = "" },
		"redis.namespace":                  func(c *relayer.ApproverConfig) { c.Redis.Namespace = "a b" },
		"admin:":                           func(c *relayer.ApproverConfig) { c.Admin = "nowhere" },
		"alerts.repeat":                    func(c *relayer.ApproverConfig) { c.Alerts.Repeat = 0 },
		"signer: keystore":                 func(c *relayer.ApproverConfig) { c.Signer.PasswordFile = "" },
		"tick:":                            func(c *relayer.ApproverConfig) { c.Tick = 0 },
		"chains: at least two":             func(c *relayer.ApproverConfig) { c.Chains = c.Chains[:1] },
		"chains[1].name":                   func(c *relayer.ApproverConfig) { c.Chains[1].Name = "Ethereum" },
		"chains[0].name":                   func(c *relayer.ApproverConfig) { c.Chains[0].Name = "a_b" },
		"single_source: Ethereum:":         func(c *relayer.ApproverConfig) { c.Chains[0].Witnesses, c.Chains[0].WitnessFiles = nil, nil },
		"single_source: filecoin:":         func(c *relayer.ApproverConfig) { c.Chains[1].Agree = 1 },
		"chains[1].agree":                  func(c *relayer.ApproverConfig) { c.Chains[1].Agree = 4 },
		"chains[1].also[1]":                func(c *relayer.ApproverConfig) { c.Chains[1].Also[1] = c.Chains[1].Also[0] },
		"chains[1].witnesses":              func(c *relayer.ApproverConfig) { c.Chains[1].Witnesses = []string{"http://x.example"} },
		"chains[1].proofs: endpoints, sin": func(c *relayer.ApproverConfig) { c.Chains[1].Proofs = relayer.ProofsHeaders },
		"chains[1].lotus: depth":           func(c *relayer.ApproverConfig) { c.Chains[1].Lotus.Depth = 0 },
		"chains[1].lotus.floors":           func(c *relayer.ApproverConfig) { c.Chains[1].Lotus.Floors = []relayer.Floor{{FLT: "1", Depth: 9}} },
		"chains[1].finality: beside lotus": func(c *relayer.ApproverConfig) { c.Chains[1].Finality = "depth:900" },
		"chains[0]: give either url":       func(c *relayer.ApproverConfig) { c.Chains[0].URLFile = "x" },
		"chains[0]: an endpoint":           func(c *relayer.ApproverConfig) { c.Chains[0].Witnesses = []string{"ftp://x"} },
		"chains[1].chain_id":               func(c *relayer.ApproverConfig) { c.Chains[1].ChainID = 0 },
		"chains[0].finality":               func(c *relayer.ApproverConfig) { c.Chains[0].Finality = "soon" },
		"chains[1].proofs":                 func(c *relayer.ApproverConfig) { c.Chains[1].Proofs = "none" },
		"chains[1]: tick":                  func(c *relayer.ApproverConfig) { c.Chains[1].MaxRange = 0 },
		"chains[1].gateway":                func(c *relayer.ApproverConfig) { c.Chains[1].Gateway = common.Address{} },
		`trusted: "fantom"`:                func(c *relayer.ApproverConfig) { c.Trusted = []string{"fantom"} },
		`frozen: "fantom"`:                 func(c *relayer.ApproverConfig) { c.Frozen = []string{"fantom"} },
		"direct[0]: from":                  func(c *relayer.ApproverConfig) { c.Direct[0].To = "fantom" },
		"direct call 0":                    func(c *relayer.ApproverConfig) { c.Direct[0].Contract = common.Address{} },
		"the hub has no address":           func(c *relayer.ApproverConfig) { c.Hub = "" },
		"token 0":                          func(c *relayer.ApproverConfig) { c.Tokens[0].Home = "fantom" },
		"signer_sets: at least":            func(c *relayer.ApproverConfig) { c.SignerSets = nil },
		"signer_sets[0]: not a signer set": func(c *relayer.ApproverConfig) { c.SignerSets[0].Threshold = 9 },
		"next_set: not a signer set":       func(c *relayer.ApproverConfig) { c.NextSet = new(relayer.SignerSet) },
	} {
		cfg, err := relayer.ReadApprover(write(t, goodApprover))
		require.NoError(t, err)
		change(&cfg)
		require.ErrorContains(t, cfg.Check(), say)
	}
	err = relayer.ApproverConfig{}.Check()
	for _, say := range []string{"state:", "redis", "admin", "signer:", "chains:", "signer_sets:"} {
		require.ErrorContains(t, err, say)
	}
	good.Chains[0].Witnesses, good.Chains[0].WitnessFiles, good.SingleSource = nil, nil, true
	require.NoError(t, good.Check())
}
