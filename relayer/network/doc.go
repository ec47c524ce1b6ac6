// Package network deals with Axelar itself where it approves what crosses, and
// not signers of this bridge's own. Through the GMP API of a chain it tells what
// our contracts sent and what was executed, and carries what Axelar has signed to
// the chain's gateway; where a message waits too long it adds to what was paid
// for its delivery.
//
// It promises three things. Nothing that the service says makes it call anything
// but the chain's own gateway, with a command that the gateway judges by its
// proof, in bounded size. Every task is looked at until the gateway has it or it is
// known to be of no use, and only then the position moves behind it: a death
// repeats looks and loses none, and what is repeated changes nothing. And a message
// is paid for once, and no day costs more than it may even where the chain shows none
// of it, by a file that is written before each payment.
package network
