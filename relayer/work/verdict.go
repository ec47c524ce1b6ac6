package work

import (
	"errors"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/cenkalti/backoff/v4"
)

// maxReverts is how often a loose transfer's simulation may revert before it is
// parked for a person. Strict lanes never park.
const maxReverts = 5

// maxPanics is how often a loose transfer may make its handler panic.
const maxPanics = 3

// unavailableDelay bounds the pause after a chain gave no answer: uniform in
// [0, 4 s]. After maxUnavailable of them in a row, about half a minute, a
// person is called.
const (
	unavailableDelay = 2
	maxUnavailable   = 15
)

// busyWait is the pause while another transaction of the lane is undecided, and
// headWait while a chain is waited for, whose next block ends it anyway.
const (
	busyWait = 300 * time.Millisecond
	headWait = time.Second
)

// longestWait bounds what a chain's contracts can make us wait: a little more than
// the window of a flow limit.
const longestWait = 7 * time.Hour

// waits says whether an error is no failure: something else comes first.
func waits(err error) bool {
	return errors.Is(err, chains.ErrBusy) || errors.Is(err, chains.ErrStale) || errors.Is(err, flow.ErrNotYet)
}

// verdict says what to record for one transfer after Do.
func (p *Pool) verdict(job store.Job, step flow.Step, err error) store.Verdict {
	v := store.Verdict{ID: job.Transfer.ID, Step: step.Name}
	switch {
	case err == nil:
		v.RetryAt = step.Poll
		return v
	case errors.Is(err, chains.ErrBusy), errors.Is(err, chains.ErrStale):
		v.RetryAt, v.Cause = min(busyWait, step.Poll), err.Error()
		return v
	case errors.Is(err, flow.ErrNotYet):
		v.RetryAt, v.Cause = min(headWait, step.Poll), err.Error()
		return v
	}
	if wait, reason, ok := flow.DueOf(err); ok {
		// Nothing mends it sooner, so it counts as no attempt.
		v.RetryAt, v.Cause, v.Reason = min(wait, longestWait), err.Error(), string(reason)
		p.cfg.Log.Info("work: waits", "flow", job.Transfer.Route, "step", step.Name, "transfer", job.Transfer.ID, "for", v.RetryAt.String(), "err", err)
		return v
	}

	v.Cause, v.CountAttempt = err.Error(), true
	attempts := job.Attempts + 1
	reason, park := flow.ReasonOf(err)
	if !park && errors.Is(err, chains.ErrReverted) && attempts >= maxReverts {
		reason, park = flow.ReasonRejected, true
	}
	panicked := errors.Is(err, ErrPanic)
	if panicked && attempts >= maxPanics {
		reason, park = flow.ReasonPoison, true
	}
	if errors.Is(err, chains.ErrFunds) {
		reason = flow.ReasonInsufficientFund
	}
	// What is waited for shows on the row, whether or not it is parked.
	v.Reason = string(reason)
	// Ordered lanes are blind (PROTOCOL 49): their head is never parked, it
	// backs off and a person is called.
	if park && !job.Strict {
		v.Park, v.CountAttempt = true, false
	} else {
		v.RetryAt = delay(attempts)
	}
	// A chain that does not answer says nothing about the transfer: it is asked
	// again soon, so that work goes on soon after it is back.
	patience := maxReverts
	if errors.Is(err, chains.ErrUnavailable) {
		v.RetryAt, patience = delay(min(attempts, unavailableDelay)), maxUnavailable
	}
	if p.cfg.Trouble != nil && (v.Park || job.Strict && (panicked || attempts >= patience)) {
		p.cfg.Trouble(Trouble{
			Flow: job.Transfer.Route, Step: step.Name, Lane: job.Lane, Transfer: job.Transfer.ID,
			Parked: v.Park, Attempts: attempts, Reason: reason, Err: err,
		})
	}
	p.cfg.Log.Info("work: step failed", "flow", job.Transfer.Route, "step", step.Name,
		"transfer", job.Transfer.ID, "attempts", attempts, "parked", v.Park, "err", err)
	return v
}

// delay is exponential with full jitter: uniform in [0, min(1 min, 0.5 s·2ⁿ)].
func delay(attempts int) time.Duration {
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(250*time.Millisecond), backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(1), backoff.WithMaxInterval(30*time.Second), backoff.WithMaxElapsedTime(0))
	d := b.NextBackOff()
	for range min(attempts, 12) {
		d = b.NextBackOff()
	}
	return max(d, 10*time.Millisecond)
}
