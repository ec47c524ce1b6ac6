package e2e

import (
	"context"
	"errors"
	"math/big"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"
)

// kills is how often each of relayer, node and Redis dies; CAUSEWAY_E2E_KILLS
// makes it more.
func kills() int {
	if n, err := strconv.Atoi(os.Getenv("CAUSEWAY_E2E_KILLS")); err == nil && n > 0 {
		return n
	}
	return 10
}

func seed() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("CAUSEWAY_E2E_SEED"), 10, 64); err == nil {
		return n
	}
	return uint64(time.Now().UnixNano())
}

// TestKillNineOfRelayerNodeAndRedisUnderLoadLosesAndDoublesNothing sends 10
// transfers a second over all four routes while relayer, node and Redis die at
// random moments, and checks that each transfer ends right exactly once and
// that no unit of money is missing or new.
func TestKillNineOfRelayerNodeAndRedisUnderLoadLosesAndDoublesNothing(t *testing.T) {
	s := seed()
	t.Logf("seed %d (CAUSEWAY_E2E_SEED repeats it)", s)
	rng := rand.New(rand.NewPCG(s, 1))
	r := start(t)

	// Something to withdraw in the subnet first.
	r.deposit(t.Context(), tokens.USDC, big.NewInt(900_000_000))
	r.settled(2 * time.Minute)

	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	load.Go(func() { r.load(ctx, "root", rand.New(rand.NewPCG(s, 2))) })
	load.Go(func() { r.load(ctx, "subnet", rand.New(rand.NewPCG(s, 3))) })

	var victims []string
	for range kills() {
		victims = append(victims, "relayer", "node", "redis")
	}
	rng.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
	restart := map[string]func(context.Context) error{"relayer": r.net.StartRelayer, "node": r.net.StartNode, "redis": r.net.StartRedis}
	r.stakes(t.Context(), 4) // the validator's power changes under way
	for _, v := range victims {
		pause(ctx, time.Duration(500+rng.IntN(2000))*time.Millisecond)
		r.net.Kill(v)
		pause(ctx, time.Duration(rng.IntN(800))*time.Millisecond)
		require.NoError(t, restart[v](ctx), "restart %s", v)
	}
	stop()
	load.Wait()
	t.Logf("%d transfers sent during %d kills", len(r.sent), len(victims))

	began := time.Now()
	r.settled(5 * time.Minute)
	t.Logf("all settled %s after the last kill", time.Since(began).Truncate(time.Second))
	r.powerful(t.Context(), 1, 5)
	r.sound()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// deposit sends root → subnet and waits for the block.
func (r *rig) deposit(ctx context.Context, a tokens.Asset, amount *big.Int) {
	r.t.Helper()
	tx, err := r.b.Deposit(ctx, a, r.b.Root.Address, amount)
	require.NoError(r.t, err)
	_, err = r.b.Root.Wait(ctx, tx)
	require.NoError(r.t, err)
	r.note(tx, want{routeOf(a, "deposit"), amount, tokens.Done})
}

func routeOf(a tokens.Asset, verb string) string {
	if a == tokens.USDC {
		return "usdc_" + verb
	}
	return "flt_" + verb
}

// load sends 5 transfers a second from one chain until ctx ends. A transaction
// counts once it is in a block; a chain that is down is tried again.
func (r *rig) load(ctx context.Context, from string, rng *rand.Rand) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for i := int64(0); ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		a, amount := tokens.USDC, big.NewInt(1_000+i)
		if rng.IntN(2) == 0 {
			a, amount = tokens.FLT, new(big.Int).Add(big.NewInt(1_000_000_000_000_000), big.NewInt(i))
		}
		account, verb := r.b.Root, "deposit"
		var tx common.Hash
		var err error
		if from == "root" {
			tx, err = r.b.Deposit(ctx, a, r.b.Root.Address, amount)
		} else {
			account, verb = r.b.Subnet, "withdraw"
			tx, err = r.b.Withdraw(ctx, a, r.b.Root.Address, r.b.Root.Address, amount)
		}
		if err != nil {
			if errors.Is(err, chains.ErrReverted) && ctx.Err() == nil {
				r.t.Errorf("%s from %s: %v", a.Symbol, from, err)
				return
			}
			continue // the node is down: nothing was sent
		}
		waiting.Go(func() {
			// The wait outlives the load: what was broadcast may be mined.
			wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Minute)
			defer cancel()
			if _, err := account.Wait(wait, tx); err != nil {
				r.t.Errorf("%s from %s: %v", a.Symbol, from, err)
				return
			}
			r.note(tx, want{routeOf(a, verb), amount, tokens.Done})
		})
	}
}
