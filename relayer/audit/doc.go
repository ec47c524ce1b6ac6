// Package audit computes the money invariants of one subnet in exact integers
// from the chains alone: contract counters, events, headers and balances, all
// at one pinned final block of either chain. It shares no decoding with the
// watchers and flows, so that what it finds is a second opinion; the journal
// is only ever compared with it.
//
// # The cut
//
// Root block R and subnet block S are read at different moments. What is on its
// way is therefore cut by applied nonces, never by heights:
//
//	down in flight = messages with nonce in [appliedTopDown(S), topDownNonce(R))
//	up in flight   = messages with nonce in [appliedBottomUp(R), bottomUpNonce(S))
//
// The pair fits when neither block has applied what the other has not sent;
// until it does, the older side is pinned again.
//
// # Drift
//
// Of I1, drift = what is locked − what is claimed, in base units: −1 says that a
// unit exists without backing (minted, or gone from an escrow), +v that a claim
// of v is missing (a message vanished). Of every other invariant it is the number
// of violations.
//
// # I1, FLT
//
//	root  = pre_funded + locked + relocked + covered − unlocked       gateway, R
//	child = child_pre_funded + released − returned                    subnet gateway, S
//	drift = root − child − down_in_flight − up_in_flight
//	        − quarantined − stranded − cover_surplus − Σ shortages
//
// unbacked is the value of messages that the subnet had applied when a recovery
// took them off the root (PROTOCOL 10): the value received in the subnet by then
// (event ParentRecovered) less that of the root's messages below the recovery's
// prefix. It circulates in the subnet: what covered lacks of it is the shortfall,
// which is the drift, and named; what covered has beyond it, cover_surplus, is a
// donation.
//
// quarantined is the value of messages that the root applied and could not place
// (quarantined − released again, gateway counters); stranded that of Results the
// subnet could not place (events). Of child, pot, child_credits and burnt are
// parts, shown and not subtracted: the pot of exit fees (fees_in − fees_out),
// credits not yet pulled, base fee burnt.
//
// A shortage is what a balance lacks of what the counters say it must hold:
//
//	gateway     FLT.balanceOf(gateway, R) ≥ liabilities
//	            = root + credited − credits_paid + stake in FLT, of every subnet known
//	payouts     FLT.balanceOf(FastWithdrawals, R) ≥ flt_received − flt_paid
//	treasury    balance(subnet gateway, S) ≥ genesis treasury + returned − released
//	            + fees_in − fees_out + credited − credits_paid
//	outbox      balance(outbox, S) ≥ held
//
// What a balance has more is a donation: a term of its own that breaks nothing
// (PROTOCOL 29).
//
// # I1, USDC
//
//	root  = locked − refunded − reserved                              controller, R
//	drift = root − supply − down_in_flight − refunds_in_flight − refunds_failed
//	        − up_in_flight − returns_in_flight − returns_failed − held
//	        − quarantined − settled_short − shortage
//
// supply is the replica's totalSupply at S; refunds_in_flight are deposits whose
// failure Result has not reached the root, refunds_failed those whose Result the
// controller refused; up_in_flight are withdrawals burnt and not applied,
// returns_in_flight those whose failure Result has not reached the outbox,
// returns_failed those it refused, held those it keeps for a resend; quarantined
// those whose message waits on the root; settled_short is what a quarantined
// withdrawal was short of its gross amount. The controller's balance must be
// ≥ locked − refunds_paid − reserves_paid.
//
// When that sum is zero the counters are still compared with the sums of the
// events they count (and the replica's supply with minted − burnt, and holders'
// balances with the transfers to and from them); the first that differs is the
// drift.
//
// # The others
//
// I2: every message is applied once and by its own id; every withdrawal is
// settled at most once, as it was sent; every deposit is minted as it was sent or
// refunded once, after a failure; messages in flight hash to what the gateways
// keep. I4: the journal holds exactly the transfers the chains say began before
// its cursors. I6: every mined nonce of our accounts has its intent. I7:
// checkpoints were accepted at every multiple of the period. BURNT: the node's
// sum of burnt base fee is that of the headers.
package audit
