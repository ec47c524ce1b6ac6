package sim

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/chains/evm"
)

// errDead is what a dead process gets of every call it still makes.
var errDead = errors.New("sim: the process is dead")

// kind is what a call is, for faults that wait for one.
type kind string

const (
	anyCall   kind = "any call"
	readCall  kind = "read of a chain"
	sendCall  kind = "broadcast"
	diskCall  kind = "append to the disk"
	readRedis kind = "read of redis"
	ingest    kind = "ingest"
	claim     kind = "claim"
	settle    kind = "settle"
	reserve   kind = "reserve"
	save      kind = "save an attempt"
	update    kind = "update an intent"
)

// mortal lists what a death may wait for.
var mortal = []kind{anyCall, anyCall, sendCall, diskCall, ingest, claim, settle, reserve, save, update}

// death is the end of a process at one of its calls.
type death struct {
	at    kind
	skip  int  // calls of that kind it survives
	after bool // after the call had its effect
}

// halt is a standstill in the middle of a call, before its effect.
type halt struct {
	at     kind
	length time.Duration
}

// life is one process between its start and its end. Everything it does goes
// through enter and leave; between them lies the effect on the world.
type life struct {
	mu     sync.Mutex
	stop   context.CancelFunc
	dead   bool
	doomed *death
	halted *halt
	frozen time.Time // stands still until then, as under SIGSTOP
	note   func(format string, args ...any)
}

// die ends the process where it stands.
func (l *life) die(why string, args ...any) {
	l.mu.Lock()
	was := l.dead
	l.dead = true
	l.mu.Unlock()
	if !was {
		l.note("dies "+why, args...)
	}
	l.stop()
}

func (l *life) doom(d death) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doomed = &d
}

func (l *life) halt(h halt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.halted = &h
}

func (l *life) freeze(until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frozen = until
}

// thaw waits while the process stands still; its own deadlines do not end that.
func (l *life) thaw() {
	for {
		l.mu.Lock()
		pause := time.Until(l.frozen)
		l.mu.Unlock()
		if pause <= 0 {
			return
		}
		time.Sleep(pause)
	}
}

// enter is called before the effect of a call. strike says that the process
// dies right after it.
func (l *life) enter(k kind) (strike bool, err error) {
	l.mu.Lock()
	if h := l.halted; h != nil && h.at == k && !l.dead {
		l.halted, l.frozen = nil, time.Now().Add(h.length)
		l.note("stands still before: %s", k)
	}
	l.mu.Unlock()
	l.thaw()
	l.mu.Lock()
	if l.dead {
		l.mu.Unlock()
		return false, errDead
	}
	d := l.doomed
	if d == nil || d.at != k && d.at != anyCall {
		l.mu.Unlock()
		return false, nil
	}
	if d.skip > 0 {
		d.skip--
		l.mu.Unlock()
		return false, nil
	}
	l.doomed = nil
	l.mu.Unlock()
	if d.after {
		return true, nil
	}
	l.die("before: %s", k)
	return false, errDead
}

// leave is called after the effect.
func (l *life) leave(k kind, strike bool) error {
	if strike {
		l.die("after: %s", k)
	}
	l.thaw()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return errDead
	}
	return nil
}

// disk holds one intents file; it survives the process. One process at a time
// has it open.
type disk struct {
	mu      sync.Mutex
	content []byte
	holder  *life
}

// open gives the disk to a process.
func (d *disk) open(l *life, torn func() int, appended func([]byte)) (evm.Disk, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.holder != nil {
		d.holder.mu.Lock()
		dead := d.holder.dead
		d.holder.mu.Unlock()
		if !dead {
			return nil, errors.New("sim: the intents file is in use by another process")
		}
	}
	d.holder = l
	return &openDisk{disk: d, life: l, torn: torn, appended: appended}, nil
}

type openDisk struct {
	*disk
	life     *life
	torn     func() int // bytes of an append that survive a death in the middle
	appended func([]byte)
}

func (d *openDisk) Load() ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return bytes.Clone(d.content), nil
}

func (d *openDisk) Append(b []byte) error {
	strike, err := d.life.enter(diskCall)
	if err != nil {
		d.life.mu.Lock()
		killedHere := d.life.dead
		d.life.mu.Unlock()
		// A power cut may leave a part of what was being written.
		if killedHere {
			d.mu.Lock()
			if d.holder == d.life {
				d.content = append(d.content, b[:min(len(b)-1, d.torn())]...)
				d.holder = nil
			}
			d.mu.Unlock()
		}
		return err
	}
	d.mu.Lock()
	d.content = append(d.content, b...)
	d.mu.Unlock()
	d.appended(b)
	return d.life.leave(diskCall, strike)
}

func (d *openDisk) Replace(b []byte) error {
	strike, err := d.life.enter(anyCall)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.content = bytes.Clone(b)
	d.mu.Unlock()
	return d.life.leave(anyCall, strike)
}

func (d *openDisk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.holder == d.life {
		d.holder = nil
	}
	return nil
}
