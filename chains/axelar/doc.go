// Package axelar is the wire format of Axelar as far as FLT between Ethereum
// and a Filecoin root needs it: payloads of the Interchain Token Service (ITS)
// and their wrapping by its hub, message and command ids, signer sets and
// proofs, the two generations of gateways behind one interface, the views and
// calls of ITS 2.1.1 and 2.2.0, what their reverts mean, and what the gas
// service says was paid for which message.
//
// It promises four things. Encoders produce exactly what Solidity's abi.encode
// produces. Decoders take foreign bytes: they accept the canonical encoding
// only (encoding what was read gives the same bytes), are bounded, allocate a
// small multiple of the input and never panic. What a gateway would refuse is
// refused here first: a signer set out of order, a signature too many, a batch
// with the same message twice. And nothing here reads a clock, a store or, but
// through a Caller that the user hands in, a chain.
//
// Words. A message is what a gateway approves and a contract executes; its
// payload travels beside it and is bound by its hash. One transfer of a user is
// two messages, source to hub and hub to destination, with two ids. A command
// is what signers sign: a batch of messages, or a rotation of the signers.
//
// Sources: the published contracts (ITS 2.1.1 and 2.2.0, GMP SDK 6.0.6 and
// 6.2.0, CGP 6.4.0) and encodings that they accepted, in testdata/axelar.json.
package axelar
