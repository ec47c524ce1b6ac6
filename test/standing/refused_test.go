package standing

import (
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

// call is the data of a call of simple types.
func call(t *testing.T, signature string, values ...any) []byte {
	t.Helper()
	var args abi.Arguments
	_, list, _ := strings.Cut(strings.TrimSuffix(signature, ")"), "(")
	for _, name := range strings.Split(list, ",") {
		parsed, err := abi.NewType(name, "", nil)
		require.NoError(t, err)
		args = append(args, abi.Argument{Type: parsed})
	}
	packed, err := args.Pack(values...)
	require.NoError(t, err)
	return append(crypto.Keccak256([]byte(signature))[:4], packed...)
}

// operate calls a token service as its owner.
func (w *world) operate(s *side, signature string, values ...any) {
	w.t.Helper()
	w.transact(s, w.ownerKey(s), s.set.Service, nil, call(w.t, signature, values...))
	w.final(s)
}

// deployOnto is `causeway deploy` in this process.
func (w *world) deployOnto(t *testing.T, file string, change func(*home.DeployOptions)) error {
	t.Helper()
	dir := home.Dir(filepath.Join(t.TempDir(), "bridge"))
	require.NoError(t, dir.Make())
	carrier, err := dir.Key("relayer", home.Light)
	require.NoError(t, err)
	read, err := home.ReadStanding(file)
	require.NoError(t, err)
	o := home.DeployOptions{
		RootURL: w.root.chain.HTTP(), Deployer: deploy.KeySigner(w.deployer), Settings: deploy.Default(), Strength: home.Light,
		Redis: relayer.Default().Redis, Step: func(what string) { t.Log(what) },
		PreFund:  []deploy.PreFunder{{Signer: deploy.KeySigner(carrier), Amount: ether(7)}},
		Standing: &home.StandingOptions{Standing: read, L1Deployer: deploy.KeySigner(w.l1Key)},
	}
	if change != nil {
		change(&o)
	}
	_, err = home.Deploy(t.Context(), dir, o)
	return err
}

// TestWhatTheFileSaysIsAskedOfTheChainsBeforeAnythingIsSent has one thing wrong at
// a time: the deployment says which, and what to do, and sends nothing.
func TestWhatTheFileSaysIsAskedOfTheChainsBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, deploy.GatewayLegacy)

	// Another Axelar on the root, of another network, that trusts nobody.
	p := w.params(deploy.GatewayAmplifier, rootName, l1Name)
	p.Trusted, p.Hub, p.Nonce = nil, otherHub, common.Hash{31: 9}
	env := w.root.env
	env.StateFile = filepath.Join(t.TempDir(), "other.json")
	other, err := deploy.Axelar(t.Context(), env, w.root.owner, p)
	require.NoError(t, err)
	// Tokens that are not FLT: unknown; known on Ethereum alone; with a minter on the
	// root, which no factory makes; of other decimals.
	l1Env := func(name string) deploy.Env {
		e := w.l1.env
		e.StateFile = filepath.Join(t.TempDir(), name+".json")
		return e
	}
	unknown, err := deploy.L1Token(t.Context(), l1Env("unknown"), w.l1.owner, ether(1))
	require.NoError(t, err)
	fresh := func(name string) deploy.Canonical {
		e := l1Env(name)
		at, err := deploy.L1Token(t.Context(), e, w.l1.owner, ether(1))
		require.NoError(t, err)
		c, err := deploy.RegisterCanonical(t.Context(), e, w.l1.owner, w.artifacts, w.l1.set, w.root.set, at)
		require.NoError(t, err)
		return c
	}
	alone, minted := fresh("alone"), fresh("minted")
	stranger := common.HexToAddress("0x000000000000000000000000000000000b00b1e5")
	w.forge(minted.ID, axelar.DeployToken{TokenID: minted.ID, Name: "X", Symbol: "X", Decimals: 6, Minter: stranger.Bytes()})
	nobody, err := w.operator.Key("nobody", home.Light)
	require.NoError(t, err)
	reset := func() {}

	for name, c := range map[string]struct {
		file    func(*described)
		options func(*home.DeployOptions)
		world   func() (undo func())
		want    []string
	}{
		"another contract as the gateway":    {file: func(d *described) { d.L1.Gateway = d.L1.GasService }, want: []string{"ethereum.gateway", "is no gateway of Axelar's"}},
		"no contract as the gateway":         {file: func(d *described) { d.Root.Gateway = stranger }, want: []string{"root.gateway", "is no gateway of Axelar's"}},
		"another contract as the service":    {file: func(d *described) { d.Root.Service = d.Root.Gateway }, want: []string{"root.token_service", "is no Interchain Token Service"}},
		"a gateway that the service has not": {file: func(d *described) { d.Root.Gateway = other.Gateway }, want: []string{"root.gateway: the token service speaks through " + w.root.set.Gateway.Hex()}},
		"another gas service":                {file: func(d *described) { d.L1.GasService = stranger }, want: []string{"ethereum.gas_service: the token service pays " + w.l1.set.GasService.Hex()}},
		"a name in another case":             {file: func(d *described) { d.L1.Chain = "ethereum" }, want: []string{`name for its chain is "Ethereum", the file says "ethereum"`}},
		"the chains the wrong way round": {file: func(d *described) { d.L1, d.Root = d.Root, d.L1 },
			want: []string{"ethereum.gateway", "root.gateway", "root.token_service"}},
		"one endpoint for both":    {file: func(d *described) { d.L1URL = w.root.chain.HTTP() }, want: []string{"it is the endpoint of the root, chain 31415926"}},
		"an endpoint that is none": {file: func(d *described) { d.L1URL = "http://127.0.0.1:1" }, want: []string{"connect to ethereum"}},
		"a witness of another chain": {file: func(d *described) { d.Witnesses = []string{w.root.chain.HTTP()} },
			want: []string{"ethereum.witnesses[0] is an endpoint of chain 31415926"}},
		"an Axelar of another network": {file: func(d *described) { d.Root = other },
			want: []string{"different hubs", `root.token_service: it does not trust "Ethereum" through the hub: its operator must call setTrustedChain("Ethereum")`}},
		"no trust on Ethereum": {
			world: func() func() {
				w.operate(w.l1, "removeTrustedChain(string)", rootName)
				return func() { w.operate(w.l1, "setTrustedChain(string)", rootName) }
			},
			want: []string{`ethereum.token_service: it does not trust "filecoin"`}},
		"a pause": {
			world: func() func() {
				w.operate(w.root, "setPauseStatus(bool)", true)
				return func() { w.operate(w.root, "setPauseStatus(bool)", false) }
			},
			want: []string{"root.token_service: it is paused"}},
		"a token nobody registered": {file: func(d *described) { d.Flt = unknown },
			want: []string{"the token service of ethereum has no token", "registerCanonicalInterchainToken(" + unknown.Hex()}},
		"a token that is on Ethereum alone": {file: func(d *described) { d.Flt = alone.Token },
			want: []string{"the token service of root has no token", `deployRemoteCanonicalInterchainToken(` + alone.Token.Hex() + `, "filecoin", gas)`}},
		"the id of another token": {file: func(d *described) { d.TokenID = alone.ID }, want: []string{"is " + alone.Token.Hex() + " on ethereum, the file says " + w.token.Token.Hex()}},
		"a token that others may mint": {file: func(d *described) { d.Flt = minted.Token },
			want: []string{stranger.Hex() + " may mint it on root", "on root has 6 decimals"}},
		"a start above the registration": {file: func(d *described) { d.L1Start = w.l1.chain.Finalized().Number },
			want: []string{"ethereum.start_block: FLT was registered before block"}},
		"signers that do not approve": {
			file: func(d *described) {
				d.Signers = []deploy.SignerSet{{Signers: []deploy.Weighted{{Address: stranger, Weight: 1}}, Threshold: 1}}
			},
			want: []string{"signer_sets: none of them is the one that approves at the gateway of ethereum", "at the gateway of root"}},
		"more than the account has": {file: func(d *described) { d.Bring = "bring: [{to: \"" + stranger.Hex() + "\", amount: \"100000\"}]\n" },
			want: []string{"and is to send 100007000000000000000000: send it 7000000000000000000 more"}},
		"an account that has nothing": {options: func(o *home.DeployOptions) { o.Standing.L1Deployer = deploy.KeySigner(nobody) },
			want: []string{"has 0 base units of FLT on ethereum", "has 0 wei on ethereum"}},
		"more gas than the account has": {file: func(d *described) { d.GasWei = 1 << 62 }, options: func(o *home.DeployOptions) {
			o.Standing.GasWei.Int = new(big.Int).Mul(o.Standing.GasWei.Int, big.NewInt(1<<20))
		}, want: []string{"(gas_wei)"}},
		"a flow limit": {
			world: func() func() {
				w.operate(w.root, "setFlowLimits(bytes32[],uint256[])", [][32]byte{w.token.ID}, []*big.Int{ether(6)})
				return func() {
					w.operate(w.root, "setFlowLimits(bytes32[],uint256[])", [][32]byte{w.token.ID}, []*big.Int{new(big.Int)})
				}
			},
			want: []string{"the flow limit of FLT on root is 6000000000000000000, less than the 7000000000000000000"}},
		"a recipient that cannot be paid": {file: func(d *described) { d.Bring = "bring: [{to: \"" + w.interchainToken().Hex() + "\", amount: \"1\"}]\n" },
			want: []string{"bring FLT to " + w.interchainToken().Hex(), "not a destination for a transfer"}},
	} {
		t.Run(name, func(t *testing.T) {
			before := w.sent()
			undo := reset
			if c.world != nil {
				undo = c.world()
			}
			defer undo()
			d := w.described()
			if c.file != nil {
				c.file(&d)
			}
			err := w.deployOnto(t, d.write(t), c.options)
			require.Error(t, err)
			if !strings.Contains(name, "that is none") {
				require.ErrorIs(t, err, relayer.ErrConfig)
			} else {
				require.ErrorIs(t, err, chains.ErrUnavailable)
			}
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
			require.Equal(t, before, w.sent(), "something was sent")
		})
	}
}

// forge has the root's service execute a deployment that nothing on Ethereum asked
// for: the signers of this Axelar are ours.
func (w *world) forge(id common.Hash, p axelar.DeployToken) {
	w.t.Helper()
	inner, err := axelar.EncodePayload(p)
	require.NoError(w.t, err)
	payload, err := axelar.EncodePayload(axelar.ReceiveFromHub{Chain: l1Name, Inner: inner})
	require.NoError(w.t, err)
	r := axelar.Routed{Payload: payload, Message: axelar.Message{
		SourceChain: axelar.HubChain, ID: axelar.MessageID{Tx: id}.String(), SourceAddress: hub, Contract: w.root.set.Service, PayloadHash: crypto.Keccak256Hash(payload),
	}}
	require.NoError(w.t, w.approve(w.t.Context(), r.Message))
	require.NoError(w.t, w.execute(w.t.Context(), r))
	w.final(w.root)
}

// TestAFileOfACrossingNamesEveryComplaint needs no chain.
func TestAFileOfACrossingNamesEveryComplaint(t *testing.T) {
	read := func(text string) error {
		path := filepath.Join(t.TempDir(), "crossing.yaml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := home.ReadStanding(path)
		return err
	}
	good := `
ethereum: {url: "http://127.0.0.1:1", chain: Ethereum, gateway: "0x00000000000000000000000000000000000000a1", token_service: "0x00000000000000000000000000000000000000a2", gas_service: 0x00000000000000000000000000000000000000a3}
root: {chain: filecoin, gateway: "0x00000000000000000000000000000000000000b1", token_service: "0x00000000000000000000000000000000000000b2", gas_service: "0x00000000000000000000000000000000000000b3"}
flt: "0x00000000000000000000000000000000000000f1"
`
	require.NoError(t, read(good))
	json := `{"ethereum": {"url": "http://127.0.0.1:1", "chain": "Ethereum", "gateway": "0x00000000000000000000000000000000000000a1", "token_service": "0x00000000000000000000000000000000000000a2", "gas_service": "0x00000000000000000000000000000000000000a3"},
"root": {"chain": "filecoin", "gateway": "0x00000000000000000000000000000000000000b1", "token_service": "0x00000000000000000000000000000000000000b2", "gas_service": "0x00000000000000000000000000000000000000b3"}, "flt": "0x00000000000000000000000000000000000000f1"}`
	require.NoError(t, read(json))
	_, err := home.ReadStanding(filepath.Join(t.TempDir(), "nowhere.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)

	err = read("bring: [{to: \"0x0000000000000000000000000000000000000000\", amount: none}]\nsigner_sets: [{threshold: 1}]\n")
	for _, complaint := range []string{
		"ethereum: give either url or url_file", "ethereum.chain", "ethereum.gateway", "ethereum.token_service", "ethereum.gas_service",
		"root.chain", "root.gateway", "root.token_service", "root.gas_service", "flt: the address", "bring[0].amount", "bring[0].to", "signer_sets[0]: threshold",
	} {
		require.ErrorContains(t, err, complaint)
	}
	const to = `{to: "0x00000000000000000000000000000000000000aa", amount: "1"}`
	for more, complaint := range map[string]string{
		"colour: red\n":                    "field colour not found",
		"---\nflt: x\n":                    "more behind ---",
		"bring: [" + to + "," + to + "]\n": "is there twice",
		"bring: [{to: \"0x00000000000000000000000000000000000000aa\", amount: \"0\"}]\n":                     "bring[0].amount: a number of FLT above 0",
		"bring: [{to: \"0x00000000000000000000000000000000000000aa\", amount: \"1.0000000000000000001\"}]\n": "bring[0].amount",
		"bring: [{to: \"0xaa\", amount: \"1\"}]\n":                                                           "is no address: 0x and 40 hex digits",
		"bring: [{to: \"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD\", amount: \"1\"}]\n":                     "has a wrong checksum (EIP-55)",
		"gas_wei: -1\n": "is no number of wei",
	} {
		require.ErrorContains(t, read(good+more), complaint, more)
	}
	require.Error(t, read("[]"))
}
