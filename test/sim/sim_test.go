package sim

import (
	"context"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	seedFlag  = flag.Uint64("seed", number64("CAUSEWAY_SIM_SEED", 0), "run this seed alone and show its trace; also CAUSEWAY_SIM_SEED")
	seedsFlag = flag.Uint64("seeds", number64("CAUSEWAY_SIM_SEEDS", 200), "how many seeds; also CAUSEWAY_SIM_SEEDS")
	fromFlag  = flag.Uint64("from", number64("CAUSEWAY_SIM_FROM", 1), "the first seed; also CAUSEWAY_SIM_FROM")
)

func number64(name string, otherwise uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return n
	}
	return otherwise
}

// shardVariable tells a child process which seeds are its own: "i/n".
const shardVariable = "CAUSEWAY_SIM_SHARD"

// Every seed ends with all money where it belongs, whatever happened. A failing
// seed is named; `go test ./test/sim -seed N` runs it again and shows what
// happened when.
func TestSeedsEndWithAllMoneyWhereItBelongs(t *testing.T) {
	if shard := os.Getenv(shardVariable); shard != "" {
		runShard(t, shard)
		return
	}
	if *seedFlag > 0 {
		*fromFlag, *seedsFlag = *seedFlag, 1
	}
	// One thread per process: then nearly everything that is not the seed's is
	// the same each time.
	n := min(uint64(runtime.NumCPU()), *seedsFlag)
	began := time.Now()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range n {
		wg.Go(func() {
			out, err := child(ctx, fmt.Sprintf("%d/%d", i, n))
			mu.Lock()
			defer mu.Unlock()
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				t.Errorf("%v\n%s", err, out)
				if failFast() {
					stop()
				}
			} else if testing.Verbose() || *seedFlag > 0 {
				t.Logf("%s", out)
			}
		})
	}
	wg.Wait()
	t.Logf("%d seeds from %d in %s", *seedsFlag, *fromFlag, time.Since(began).Round(time.Millisecond))
}

func child(ctx context.Context, shard string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+"TestSeedsEndWithAllMoneyWhereItBelongs"+"$", "-test.timeout=0", "-test.v",
		"-test.failfast="+strconv.FormatBool(failFast()), fmt.Sprintf("-seed=%d", *seedFlag), fmt.Sprintf("-seeds=%d", *seedsFlag), fmt.Sprintf("-from=%d", *fromFlag))
	cmd.Env = append(os.Environ(), shardVariable+"="+shard, "GOMAXPROCS=1", "GOGC=800", "GODEBUG=randseednop=0,asyncpreemptoff=1")
	return cmd.CombinedOutput()
}

// failFast is go test's own flag: the first failing seed is enough.
func failFast() bool {
	f := flag.Lookup("test.failfast")
	return f != nil && f.Value.String() == "true"
}

func runShard(t *testing.T, shard string) {
	var i, n uint64
	_, err := fmt.Sscanf(shard, "%d/%d", &i, &n)
	require.NoError(t, err)
	var calls, failed int64
	var virtual time.Duration
	count, began := time.Duration(0), time.Now()
	for seed := *fromFlag + i; seed < *fromFlag+*seedsFlag && !(failFast() && failed > 0); seed += n {
		//lint:ignore SA1019 backoff draws its jitter there, and the seed is to be run again.
		rand.Seed(int64(seed))
		res := Run(t, seed)
		calls, virtual, count = calls+res.Calls, virtual+res.Virtual, count+1
		if len(res.Violations) == 0 && *seedFlag == 0 {
			continue
		}
		if failed++; failed <= 3 || *seedFlag > 0 {
			t.Logf("%s", res.Trace())
		}
		for _, v := range res.Violations {
			t.Errorf("seed %d: %s", seed, v)
		}
	}
	if count > 0 {
		t.Logf("%d seeds, %s each, %d calls each, %s virtual each", count, time.Since(began)/count, calls/int64(count), virtual/count)
	}
}
