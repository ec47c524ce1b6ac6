// Package sim runs the whole relayer in one process, on a clock of its own,
// against two chains that execute the real contracts, and lets everything go
// wrong that a seed says: deaths before and after any call, lost replies, a
// journal that forgets, endpoints that lie by silence, reorganised blocks,
// stuck and stolen nonces, other relayers in between. Afterwards it compares
// the journal, the chains and the money with what the users did.
//
// What is real: the watchers, workers, flows, wiring, sessions and rescans of
// relayer, the clients and transaction manager of chains/evm, the client side
// of chains/subnet, the audit, and the bytecode of every contract, run by
// geth's EVM. What stands in: blocks, pool and JSON-RPC of two nodes, the
// validators' signatures (one key), Redis (the model that the store's own test
// proves equal to the scripts), disks and the network.
//
// `make sim SEEDS=10000` runs many seeds; with go test, ten thousand need a
// -timeout of 30m. `go test ./test/sim -seed N` runs one and shows its trace.
//
// A seed draws what users do and what goes wrong. The trace of a failing seed
// says when each of it happened. The scheduler of goroutines and the order of
// maps are not the seed's: a seed is run in a process of one thread with its
// own random numbers, and nearly always does the same again.
package sim
