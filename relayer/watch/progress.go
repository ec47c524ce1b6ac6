package watch

import (
	"context"
	"time"
)

// Progress is how far a catch-up is.
type Progress struct {
	From, At, To uint64        // first height, last one recorded, the head it goes up to
	Rate         float64       // blocks a second, since it began
	Left         time.Duration // until it is there, at that rate
}

// tellEvery is the time between two lines of a catch-up in the log.
const tellEvery = 15 * time.Second

// meter measures one catch-up.
type meter struct {
	w        *Watcher
	from, to uint64
	began    time.Time
	told     time.Time
}

func (w *Watcher) begin(from, to uint64) *meter {
	now := time.Now()
	w.cfg.Log.Info("watch: catching up", "chain", w.cfg.Chain, "from", from, "to", to)
	m := &meter{w: w, from: from, to: to, began: now, told: now}
	m.show(&Progress{From: from, At: max(from, 1) - 1, To: to})
	return m
}

// reached takes note of the first height that is not recorded.
func (m *meter) reached(ctx context.Context, next uint64) {
	now := time.Now()
	p := &Progress{From: m.from, At: next - 1, To: m.to}
	if took := now.Sub(m.began); took > 0 && next > m.from {
		p.Rate = float64(next-m.from) / took.Seconds()
		p.Left = time.Duration(float64(m.to+1-min(next, m.to+1)) / p.Rate * float64(time.Second)).Round(time.Second)
	}
	m.show(p)
	if now.Sub(m.told) < tellEvery && next <= m.to {
		return
	}
	m.told = now
	m.w.cfg.Log.InfoContext(ctx, "watch: catching up", "chain", m.w.cfg.Chain, "at", p.At, "to", p.To, "blocks_per_second", int64(p.Rate), "left", p.Left)
}

func (m *meter) end() { m.show(nil) }

func (m *meter) show(p *Progress) {
	if m.w.cfg.Progress != nil {
		m.w.cfg.Progress(p)
	}
}
