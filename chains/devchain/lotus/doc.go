// Package lotus is a Filecoin root for development and tests: a dev chain in
// this process that speaks as a Lotus node does.
//
// A Root is one chain and any number of Nodes over it, each with a port of its
// own for http and ws and switches of its own, so that one endpoint can lag,
// lie or fall silent while the others go on.
//
// What it promises. Epochs have tipsets of one to three blocks, with headers
// that hash to their CIDs and link to their parents, or are null rounds.
// Messages of a tipset are executed by the next one: the head's are for one
// epoch neither in the pool nor to be seen by eth_*, whose latest block is the
// head's parent. Errors carry
// Lotus' codes and texts. With a data directory, a tipset that was served is
// there after kill -9.
//
// Below it is the EVM chain of package devchain, one block per tipset; what
// differs from the real thing (gas prices are the EVM's, there are no native
// actors) is not what the bridge looks at.
package lotus
