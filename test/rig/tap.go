package rig

import (
	"bufio"
	"encoding/json"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Tap listens to everything that Redis executes (MONITOR) and keeps the history
// of the leases: who was given which lane under which fence, and whose settle
// was taken. It checks invariant I9 from outside the program: the fences of a
// lane rise, and only the holder of the newest may settle.
type Tap struct {
	addr func() string
	stop chan struct{}
	done sync.WaitGroup

	mu      sync.Mutex
	held    map[string]Grant // by lane
	newest  map[string]Grant
	grants  map[string]int // by instance
	settled map[string]int
	shared  map[string]map[string]bool // lane to instances
	bad     []string
	client  string // the command that runs now
}

func newTap(addr func() string) *Tap {
	t := &Tap{addr: addr, stop: make(chan struct{}), grants: map[string]int{}, settled: map[string]int{}, shared: map[string]map[string]bool{}}
	t.forget()
	t.done.Go(t.run)
	return t
}

func (t *Tap) close() { close(t.stop); t.done.Wait() }

// forget: another run of the server may have lost its last moments, and every
// client takes a new epoch before it writes.
func (t *Tap) forget() {
	t.held, t.newest, t.client = map[string]Grant{}, map[string]Grant{}, ""
}

func (t *Tap) run() {
	for {
		t.listen()
		select {
		case <-t.stop:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (t *Tap) listen() {
	c, err := net.DialTimeout("tcp", t.addr(), time.Second)
	if err != nil {
		return
	}
	defer c.Close()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-t.stop:
			_ = c.Close()
		case <-over:
		}
	}()
	if _, err := c.Write([]byte("MONITOR\r\n")); err != nil {
		return
	}
	t.mu.Lock()
	t.forget()
	t.mu.Unlock()
	r := bufio.NewReaderSize(c, 1<<20)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		t.take(line)
	}
}

// take reads one line: `+time [db client] "COMMAND" "argument"…`, where the
// client of what a script calls is `lua`.
func (t *Tap) take(line string) {
	_, rest, ok := strings.Cut(line, " [")
	if !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	who, command, _ := strings.Cut(rest, "] ")
	if !strings.HasSuffix(who, " lua") {
		t.client = command
		if strings.HasPrefix(strings.ToLower(command), `"flushall"`) {
			t.forget()
		}
		return
	}
	if !strings.Contains(command, `:leased"`) {
		return
	}
	args := words(command)
	if len(args) < 3 {
		return
	}
	switch strings.ToUpper(args[0]) {
	case "HSET":
		t.granted(args[2], args[3])
	case "HDEL":
		t.released(args[2])
	}
}

func (t *Tap) granted(lane, text string) {
	var l struct {
		P, C, W string
	}
	if json.Unmarshal([]byte(text), &l) != nil {
		t.bad = append(t.bad, "unreadable lease of "+lane)
		return
	}
	g := Grant{Lane: lane, Epoch: number(l.P), Counter: number(l.C), Worker: l.W, At: time.Now()}
	if h, held := t.held[lane]; held {
		t.bad = append(t.bad, "lane "+lane+" was given to "+g.Worker+" while "+h.Worker+" held it")
	}
	if n, ok := t.newest[lane]; ok && !n.less(g) {
		t.bad = append(t.bad, "the fence of lane "+lane+" did not rise: "+fence(n)+" then "+fence(g))
	}
	t.held[lane], t.newest[lane] = g, g
	t.grants[g.Instance()]++
	if t.shared[lane] == nil {
		t.shared[lane] = map[string]bool{}
	}
	t.shared[lane][g.Instance()] = true
}

// released: by the settle of its holder, or by a reap of whoever.
func (t *Tap) released(lane string) {
	h, held := t.held[lane]
	delete(t.held, lane)
	args := words(t.client) // evalsha sha keys…: the script's own come after five of the library's
	if len(args) < 3 || !held {
		return
	}
	at := 3 + int(number(args[2])) + 5
	if len(args) <= at || args[at] != lane {
		return // a reap
	}
	if len(args) < at+3 || number(args[at+1]) != h.Epoch || number(args[at+2]) != h.Counter {
		t.bad = append(t.bad, "lane "+lane+" under fence "+fence(h)+" was settled by "+strings.Join(args[at+1:min(len(args), at+3)], "/"))
		return
	}
	t.settled[h.Instance()]++
}

func fence(g Grant) string {
	return strconv.FormatUint(g.Epoch, 10) + "/" + strconv.FormatUint(g.Counter, 10)
}

// Check returns the violations so far and forgets them.
func (t *Tap) Check() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.bad) == 0 {
		return nil
	}
	err := violation("I9: %s", strings.Join(t.bad[:min(len(t.bad), 8)], "; "))
	t.bad = nil
	return err
}

// Shares counts leases by instance, and lanes that more than one instance had.
func (t *Tap) Shares() (grants, settled map[string]int, lanes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	grants, settled = map[string]int{}, map[string]int{}
	for k, v := range t.grants {
		grants[k] = v
	}
	for k, v := range t.settled {
		settled[k] = v
	}
	for _, who := range t.shared {
		if len(who) > 1 {
			lanes++
		}
	}
	return grants, settled, lanes
}

// Holding counts the lanes that an instance holds now.
func (t *Tap) Holding(instance string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, g := range t.held {
		if g.Instance() == instance {
			n++
		}
	}
	return n
}

// words takes a line of quoted arguments apart.
func words(s string) []string {
	var out []string
	s = strings.TrimSpace(s)
	for strings.HasPrefix(s, `"`) {
		q, err := strconv.QuotedPrefix(s)
		if err != nil {
			return out
		}
		text, err := strconv.Unquote(q)
		if err != nil {
			return out
		}
		out = append(out, text)
		s = strings.TrimLeft(s[len(q):], " ")
	}
	return out
}
