// Package node is the embedded IPC subnet node: CometBFT decides, geth
// executes, both in this process. The consensus height is the EVM block number
// and the app hash is the EVM block hash.
//
// What it promises:
//
//   - A block is never lost or executed twice in a way that shows: geth's head
//     moves in Commit only, after CometBFT has stored the block, and Commit
//     returns after an fsync. Killed at any moment, the node comes back at the
//     last block it committed and replays what follows.
//   - It signs only what it has seen: a statement about the parent when the
//     events of the parent fold to the parent's own rolling hashes at that very
//     block hash, a statement about subnet height h after Commit(h), each once,
//     recorded with fsync before the signature leaves (PROTOCOL 8).
//   - Consensus does no network I/O: vote extensions are made from a cache that
//     a watcher fills and fsyncs. A signer in another process, where one is
//     configured, is waited for half a second per vote and never longer.
//   - Who counts, and for how much, is derived from blocks and EVM state, never
//     from a proposer's bytes; CometBFT's set changes when a block carries more
//     than 2/3 of the old set, in root units, on the checkpoint that names the
//     change (PROTOCOL 20).
//
// Signatures travel in vote extensions, are pooled from blocks, and are handed
// out over JSON-RPC in the namespace "causeway", next to eth, net, web3, txpool
// and the tracers of debug. Only cmd imports this package.
package node
