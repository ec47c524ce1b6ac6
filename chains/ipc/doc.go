// Package ipc is the wire format of IPC (InterPlanetary Consensus) as pure
// functions: subnet ids, delegated addresses, envelopes, checkpoints, merkle
// trees, rolling hashes, the statements validators sign, the withdrawal outbox
// and the derivation of validator sets.
//
// It promises four things. Encoders produce exactly what Solidity's abi.encode
// produces. Decoders take foreign bytes: they accept the canonical encoding
// only, read every byte once, allocate no more than a small multiple of the
// input and never panic. Nothing here reads a clock, a chain or a store. What
// differs between generations of the published contracts sits behind Profile;
// everything outside it is generation C, whose structs carry the field names
// abigen gives them, so that abi.ConvertType moves values between the two.
//
// A struct with a *big.Int can hold a number that is no uint256. Encoders
// refuse it with an error; hashes of it panic with [BUG], as no decoder here
// returns such a struct and Check tells beforehand.
package ipc
