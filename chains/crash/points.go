// Package crash names the places where a test kills the process to see what a
// restart makes of it. Without the build tag "crash" At is an empty function;
// with it, CAUSEWAY_CRASH_AT=name[:n] makes the n-th passing of that point
// (1 when n is left out) send SIGKILL to the process itself: no deferred call
// runs, no buffer is flushed.
package crash

// Point is a named place and what is half done there.
type Point struct {
	Name string
	Doc  string
}

// points is the whole list; a test compares it with the calls of At.
var points = []Point{
	{"watch.before_ingest", "a range was read and translated, nothing is written"},
	{"watch.after_ingest", "a range is written, the watcher has not gone on"},
	{"work.after_claim", "a worker holds a lane and has not looked"},
	{"work.before_settle", "Done and Do have run, their verdicts are in memory only"},
	{"work.after_settle", "a look is recorded, the worker has not gone on"},
	{"store.before_ingest", "events were read, neither jobs nor cursor are written"},
	{"store.after_ingest", "jobs, facts and cursor are written, the watcher does not know"},
	{"store.before_claim", "a worker is about to take a lane"},
	{"store.after_claim", "a lane is leased, its worker does not know"},
	{"store.before_settle", "a look is over, its verdicts are not written"},
	{"store.after_settle", "verdicts are written and the lane is free, the worker does not know"},
	{"store.before_reserve", "a transaction is wanted, no nonce is taken"},
	{"store.after_reserve", "nonce and members are frozen, nothing is signed"},
	{"store.before_save_attempt", "a transaction is signed and lives in memory only"},
	{"store.after_save_attempt", "the signed bytes are stored, nothing is broadcast"},
	{"txm.after_reserve", "a nonce is reserved for a payload, nothing is signed"},
	{"txm.after_sign", "an attempt is signed and lives in memory only"},
	{"txm.after_store", "an attempt is in the intents file and the journal, nothing is broadcast"},
	{"txm.after_broadcast", "the node may have the attempt, the loop has not looked yet"},
	{"txm.after_included", "a receipt is noted, its block is not final"},
	{"txm.after_decided", "a final block decided an intent and the journal says so"},
	{"approve.after_propose", "a batch is up for signatures, the relayer does not know"},
	{"approve.after_ledger", "calls are in a signer's ledger, its cursor is behind them"},
	{"approve.before_sign", "the ledger says what is signed, no signature exists"},
	{"approve.after_sign", "a signature is in the store, its signer does not know"},
	{"network.after_carry", "what Axelar signed is recorded as a transaction, its task is still open"},
	{"network.after_tasks", "a page of Axelar's tasks is done with, the position is before it"},
	{"network.after_note", "a payment for gas is noted on disk, no transaction exists"},
	{"deploy.after_contract", "a contract of the set is mined, the next is not recorded"},
	{"deploy.after_join", "validators have joined, the bootstrap is not recorded"},
	{"deploy.after_bring", "FLT is on its way from Ethereum, nothing waits for it"},
	{"deploy.after_arrival", "FLT has come to the root, the subnet is not bootstrapped"},
	{"node.before_forkchoice", "the derived state is written, geth's head is the block before"},
	{"node.after_forkchoice", "geth's head has moved in memory, nothing is synced"},
	{"node.after_sync", "the block is durable, consensus does not know"},
	{"node.before_item_sign", "an item is due, its digest is not recorded"},
	{"node.after_item_persist", "the digest is recorded, its signature does not exist"},
	{"node.after_cache_write", "a range of the parent is on disk, not yet in memory"},
}

// Mark comes before the point's name in the last line a process writes to
// stderr when it dies at it.
const Mark = "crash at "

// Points lists every point by name.
func Points() []string {
	names := make([]string, len(points))
	for i, p := range points {
		names[i] = p.Name
	}
	return names
}
