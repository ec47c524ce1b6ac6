// Package approve is the local quorum: a bridge's own weighted signers approve at
// Axelar's gateways what Axelar's network would approve otherwise. Two parts that
// share nothing but the store. Quorum is the relayer's side: it puts batches up
// for signatures and makes calls of those that enough has been signed of. Signer
// is one signer in a process of its own, with endpoints and a disk of its own.
//
// What a Signer promises. It signs an approval only for calls that it has itself
// seen in a final block and has written to its ledger, at one position and with
// one payload for ever (PROTOCOL 41). Of a proposal it takes where the messages
// began, and nothing else: messages, command and digest it makes by itself, and
// what differs is refused. The rules of Axelar's hub it applies from its own
// ledger: trusted and frozen chains, known tokens of equal decimals, and no more
// of a token back from a chain than has gone there. A set to rotate to must be in
// its configuration. Whatever the store says, and whatever the other signers do,
// it can be kept from signing but not made to sign.
package approve
