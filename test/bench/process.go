package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Usage is what a process took of the machine over a stretch.
type Usage struct {
	CPUPercent float64 `json:"cpu_percent_of_a_core"`
	RSSBytes   int64   `json:"rss_bytes"`      // at the end
	PeakBytes  int64   `json:"peak_rss_bytes"` // since the process began
}

// ticks is the unit of CPU time in /proc/PID/stat: Linux has told programs 100
// a second on every architecture for as long as Go runs there.
const ticks = 100

// usage watches a process for a while. Linux only.
func usage(ctx context.Context, pid int, length time.Duration) (u Usage, err error) {
	before, err := cpuTime(pid)
	if err != nil {
		return u, err
	}
	began := time.Now()
	select {
	case <-ctx.Done():
		return u, ctx.Err()
	case <-time.After(length):
	}
	after, err := cpuTime(pid)
	if err != nil {
		return u, err
	}
	u.CPUPercent = round(100*float64(after-before)/float64(time.Since(began)), 2)
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, fmt.Errorf("read memory of a process: %w", err)
	}
	for name, to := range map[string]*int64{"VmRSS": &u.RSSBytes, "VmHWM": &u.PeakBytes} {
		kib, err := strconv.ParseInt(strings.TrimSuffix(field(string(raw), name), " kB"), 10, 64)
		if err != nil {
			return u, fmt.Errorf("read memory of a process: %s: %w", name, err)
		}
		*to = kib << 10
	}
	return u, nil
}

// cpuTime is what a process has used so far, user and system.
func cpuTime(pid int) (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read CPU time of a process: %w", err)
	}
	return cpuTimeIn(string(raw))
}

// cpuTimeIn reads fields 14 and 15. The second, the program's name, is in
// brackets and may hold anything, so what counts begins behind the last one.
func cpuTimeIn(stat string) (time.Duration, error) {
	i := strings.LastIndexByte(stat, ')')
	f := strings.Fields(stat[i+1:])
	if i < 0 || len(f) < 13 {
		return 0, errors.New("read CPU time of a process: another form than expected")
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, fmt.Errorf("read CPU time of a process: %w", err)
	}
	return time.Duration(user+system) * time.Second / ticks, nil
}

// redis is a plain connection to the devnet's Redis; the caller closes it.
func (r *rig) redis() (*redis.Client, error) {
	o, err := redis.ParseURL(r.net.Info.RedisURL)
	if err != nil {
		return nil, errors.New("the URL of Redis is not usable")
	}
	o.Protocol, o.DisableIdentity = 2, true
	o.ReadTimeout = time.Minute
	return redis.NewClient(o), nil
}

// redisMemory is what Redis' data takes, by its own count.
func (r *rig) redisMemory(ctx context.Context) (int64, error) {
	c, err := r.redis()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return usedMemory(ctx, c)
}

func usedMemory(ctx context.Context, c *redis.Client) (int64, error) {
	info, err := c.Info(ctx, "memory").Result()
	if err != nil {
		return 0, fmt.Errorf("read memory of Redis: %w", err)
	}
	n, err := strconv.ParseInt(field(info, "used_memory"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read memory of Redis: %w", err)
	}
	return n, nil
}

// ready waits until the relayer says that it is.
func (r *rig) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.net.Info.Admin+"/readyz", nil)
		if err != nil {
			return err
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		if died := r.net.Failed(); died != nil {
			return died
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the relayer is not ready: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
