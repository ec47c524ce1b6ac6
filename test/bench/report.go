package main

import (
	"math"
	"slices"
	"time"

	"github.com/causeway-bridge/causeway/relayer/audit"
)

// schema is the version of the document's shape.
const schema = 2

// Report is the whole document. A part that was not asked for is null.
type Report struct {
	Schema   int       `json:"schema"`
	Mode     string    `json:"mode"` // full or short
	Started  time.Time `json:"started"`
	Seconds  float64   `json:"seconds"`
	Commit   string    `json:"commit"`
	Modified bool      `json:"modified"` // the tree had changes that are in no commit
	Machine  Machine   `json:"machine"`
	Notes    []string  `json:"notes"`

	Queue       *Queue       `json:"queue"`
	Catchup     *Catchup     `json:"catchup"`
	Lotus       *Lotus       `json:"lotus"`
	Bridge      *Bridge      `json:"bridge"`
	Backlog     *Backlog     `json:"backlog"`
	Node        *Node        `json:"node"`
	Idle        *Idle        `json:"idle"`
	History     *History     `json:"history"`
	Checkpoints *Checkpoints `json:"checkpoints"`
	Crossing    *Crossing    `json:"crossing"`
}

// measured says whether any part was.
func (r Report) measured() bool {
	return r.Queue != nil || r.Catchup != nil || r.Lotus != nil || r.Bridge != nil || r.Backlog != nil || r.Node != nil || r.Idle != nil ||
		r.History != nil || r.Checkpoints != nil || r.Crossing != nil
}

var notes = []string{
	"one run on the machine named here; what else ran on it meanwhile shows in the load figures and is in every time below",
	"percentiles are nearest-rank: with fewer than 100 samples p99 is the maximum",
	"times are milliseconds of one machine's clock unless a name says seconds; gas is EVM gas from receipts",
}

// Machine is where it ran.
type Machine struct {
	Cores       int     `json:"cores"`
	MemoryBytes uint64  `json:"memory_bytes"`
	CPU         string  `json:"cpu"`
	OS          string  `json:"os"`
	Go          string  `json:"go"`
	Redis       string  `json:"redis"`
	LoadBefore  float64 `json:"load_1m_before"`
	LoadAfter   float64 `json:"load_1m_after"`
}

// Dist is a distribution in milliseconds.
type Dist struct {
	Samples int     `json:"samples"`
	Min     float64 `json:"min_ms"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Max     float64 `json:"max_ms"`
}

func distOf(samples []time.Duration) Dist {
	if len(samples) == 0 {
		return Dist{}
	}
	s := slices.Sorted(slices.Values(samples))
	return Dist{len(s), millis(s[0]), millis(rank(s, 50)), millis(rank(s, 99)), millis(s[len(s)-1])}
}

// rank is the nearest-rank percentile of sorted samples.
func rank[T any](sorted []T, percent int) T {
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}

func millis(d time.Duration) float64 { return round(float64(d)/float64(time.Millisecond), 3) }

func round(v float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(v*p) / p
}

// Queue is the journal alone: one process, one private Redis.
type Queue struct {
	Cycle        string        `json:"cycle"`
	AppendFsync  string        `json:"appendfsync"`
	PayloadBytes int           `json:"payload_bytes"`
	Fsync        Dist          `json:"fsync_4k"` // of this disk, without Redis
	Runs         []QueueResult `json:"runs"`
	Load         [2]float64    `json:"load_1m"` // before, after
}

// QueueResult is one run. A cycle moves Batch transfers.
type QueueResult struct {
	Workers         int     `json:"workers"`
	Batch           int     `json:"batch"`
	Cycles          int     `json:"cycles"`
	Seconds         float64 `json:"seconds"`
	CyclesPerSecond float64 `json:"cycles_per_second"`
	TransfersPerSec float64 `json:"transfers_per_second"`
	Cycle           Dist    `json:"cycle"`
	Ingest          Dist    `json:"ingest"`
	Claim           Dist    `json:"claim"`
	Settle          Dist    `json:"settle"`
}

// Bridge is everything measured over a devnet: root, node of one validator,
// Redis and relayer as processes.
type Bridge struct {
	Conditions  string    `json:"conditions"`
	StartUp     float64   `json:"devnet_start_seconds"`
	Deposits    Direction `json:"deposits"`
	Withdrawals Direction `json:"withdrawals"`
	// One transfer at a time; null in a short run.
	SlowDeposits    *Direction        `json:"deposits_one_at_a_time"`
	SlowWithdrawals *Direction        `json:"withdrawals_one_at_a_time"`
	Broadcast       Broadcast         `json:"broadcast"`
	Gas             Gas               `json:"gas"`
	Invariants      []audit.Invariant `json:"invariants"`
	Sound           bool              `json:"sound"` // every transfer done, every invariant holds
	Load            [2]float64        `json:"load_1m"`
}

// Direction is what was sent one way in one phase.
type Direction struct {
	Measured string         `json:"measured"`
	Events   int            `json:"events"`
	Routes   map[string]int `json:"routes"`
	Statuses map[string]int `json:"statuses"`
	Failed   []string       `json:"not_done,omitempty"`
	// SendSeconds from the first broadcast by the user to the last one accepted;
	// OriginBlocks is how many blocks they ended up in.
	SendSeconds  float64 `json:"send_seconds"`
	OriginBlocks int     `json:"origin_blocks"`
	Wall         Rates   `json:"wall_clock"`
	Block        Rates   `json:"block_time"`
	First        float64 `json:"latency_of_first_ms"`
	Latency      Dist    `json:"latency"`
}

// Rates of one burst. A rate is null where its span is 0: all transfers ended
// in one block.
type Rates struct {
	FirstToLast    float64  `json:"first_to_last_terminal_seconds"`
	PerSecond      *float64 `json:"transfers_per_second"`
	SentToLast     float64  `json:"first_sent_to_last_terminal_seconds"`
	WholePerSecond *float64 `json:"transfers_per_second_with_first_latency"`
}

func ratesOf(n int, sent, first, last time.Time) Rates {
	r := Rates{FirstToLast: round(last.Sub(first).Seconds(), 3), SentToLast: round(last.Sub(sent).Seconds(), 3)}
	if d := last.Sub(first).Seconds(); d > 0 && n > 1 {
		r.PerSecond = new(round(float64(n-1)/d, 2))
	}
	if d := last.Sub(sent).Seconds(); d > 0 {
		r.WholePerSecond = new(round(float64(n)/d, 2))
	}
	return r
}

// Broadcast is how long the relayer takes to answer an event.
type Broadcast struct {
	Clocks string  `json:"clocks"`
	OneOff []Spell `json:"one_at_a_time"` // transfers sent one by one; null in a short run
	Steady Steady  `json:"steady"`
	// Burst is both bursts; in a short run also the batches sent for the gas
	// table while the withdrawals are on their way.
	Burst []Spell `json:"burst"`
}

// Steady is a stretch of transfers at a steady rate, both directions together.
type Steady struct {
	PerSecond int     `json:"transfers_per_second"`
	Seconds   float64 `json:"seconds"`
	Spells    []Spell `json:"spells"`
}

// Spell is one kind of transaction.
type Spell struct {
	Transaction string `json:"transaction"`
	From        string `json:"from"`
	To          string `json:"to"`
	Waits       string `json:"waits_for"` // besides the relayer itself
	Dist
	Unseen int `json:"unseen,omitempty"` // without one of the two times
}

// Gas is gas from the devnet's receipts beside published figures.
type Gas struct {
	Conditions string   `json:"conditions"`
	Published  string   `json:"published"`
	Rows       []GasRow `json:"rows"`
}

// GasRow is one operation at one batch size. Gas per message is the median of
// the samples.
type GasRow struct {
	Operation  string     `json:"operation"`
	Asset      string     `json:"asset,omitempty"`
	Batch      int        `json:"batch"`
	Samples    int        `json:"samples"`
	Total      uint64     `json:"gas_used"`
	PerMessage uint64     `json:"gas_per_message"`
	Min        uint64     `json:"min_per_message"`
	Max        uint64     `json:"max_per_message"`
	Published  *Published `json:"published"`
}
