//go:build crash

package crash

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// target is read once: a point is passed in hot loops.
var target, left = parse(os.Getenv("CAUSEWAY_CRASH_AT"))

func parse(s string) (string, *atomic.Int64) {
	name, count, _ := strings.Cut(s, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 {
		n = 1
	}
	c := new(atomic.Int64)
	c.Store(n)
	return name, c
}

// At kills the process when name is the wanted point and this is the wanted
// passing of it.
func At(name string) {
	if target == "" || name != target || left.Add(-1) != 0 {
		return
	}
	_, _ = os.Stderr.WriteString(Mark + name + "\n") // unbuffered: it outlives the process
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}
