package watch

import "time"

// pace says when to look for the next head. Most chains make blocks at a steady
// pace: once it is known, the next head is looked for closely around the time it
// is due, and hardly before. So an event waits little, and few looks are in
// vain. Nothing depends on it but when.
type pace struct {
	tick   time.Duration // between two looks where nothing is known, or nothing came
	number uint64        // newest head seen
	at     time.Time     // when it was first seen
	every  time.Duration // between two heads, smoothed; 0: not known yet
}

// Looks that are close, and the longest pause, in ticks.
const (
	closeLooks = 5 // a tick
	longest    = 4 // ticks
	// A chain is slow whose heads are so many ticks apart: then a pause may be a
	// quarter of that long, and a head that is missing, such as that of a null round,
	// is looked for when the next one is due.
	slowTicks = 20
)

func (p *pace) slow() bool { return p.every >= slowTicks*p.tick }

// saw takes note of a head.
func (p *pace) saw(number uint64, now time.Time) {
	if number <= p.number && !p.at.IsZero() {
		return
	}
	if !p.at.IsZero() {
		gap := now.Sub(p.at)
		if p.every == 0 {
			p.every = gap
		}
		if p.slow() {
			// Heads that did not come are no sign of another pace.
			gap /= max(1, (gap+p.every/2)/p.every)
		}
		p.every += (gap - p.every) / 8
	}
	p.number, p.at = number, now
}

// pause is how long to wait before the next look.
func (p *pace) pause(now time.Time) time.Duration {
	if p.every == 0 || p.every < p.tick {
		return p.tick // too quick to be worth it
	}
	near, most := p.tick/closeLooks, longest*p.tick
	ahead := p.at.Add(p.every).Sub(now)
	if p.slow() {
		most = max(most, p.every/4)
		for ahead <= -p.tick {
			ahead += p.every
		}
	}
	switch {
	case ahead > near:
		return min(ahead-near, most)
	case ahead > -p.tick:
		return near
	}
	return p.tick // it is late: nobody knows when
}
