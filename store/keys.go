package store

// keys names everything under a namespace. All names share the hash tag {ns},
// so that every script is at home on one slot of a cluster. Few big keys
// instead of one per transfer: a script gets all of its keys before it knows
// which transfers it will meet.
type keys struct{ ns string }

// keyDocs lists every key: name, type and what it holds. Rows of the ordered
// sets marked lex have score 0 and are ordered by their bytes; their fields are
// joined by "\n", which no lane, key or route may contain.
var keyDocs = []struct{ Name, Type, Holds string }{
	{"schema", "string", "version of all of this"},
	{"epoch", "string", "`counter lineage`: openings of the namespace, and the random name of its history"},
	{"rewritten", "string", "run id of the server whose file was written anew"},
	{"fence", "string", "counter behind every fence, and mark of every lease, nonce and ingest"},
	{"recovering", "string", "what is known of an end that was lost, as JSON; no lease and no nonce is given out meanwhile"},
	{"arrivals", "string", "counter behind the order of the facts"},
	{"cursors", "hash", "chain → `chain id, next, parent`"},
	{"transfers", "hash", "id → transfer, as JSON; never changes"},
	{"plans", "hash", "id → steps, as JSON; never changes"},
	{"jobs", "hash", "id → where the transfer stands, as JSON"},
	{"ledger", "hash", "id → lines of JSON, only added to"},
	{"queue", "zset, lex", "`lane, seq (strict) or due ms (loose), id` of every pending transfer"},
	{"lanes", "hash", "lane → `s` or `l` and when it was last given back, ms; while it has transfers"},
	{"ready", "zset", "lane → ms from which it may be claimed; neither leased nor paused ones"},
	{"leases", "zset", "lane → ms at which its lease ends"},
	{"leased", "hash", "lane → lease, as JSON"},
	{"paused", "hash", "lane → who and when"},
	{"bind", "zset, lex", "`key, id, step`: which transfers a fact decides"},
	{"facts", "hash", "key → list of facts, in order of arrival"},
	{"waits", "zset, lex", "`key, place, id`: which transfers wait for a shared key, oldest first"},
	{"offers", "zset, lex", "`key, place, fact id`: facts of shared keys that nobody has taken, oldest first"},
	{"offered", "hash", "fact id → the transfer that took it, or none, and the fact"},
	{"trail", "zset, lex", "`chain, height, hash` of final blocks, to find a fork by; the older the sparser"},
	{"evidence", "zset, lex", "`chain, b|f|a, height, …` and `chain, v, time, …`: what rests on which blocks, see lua/lib.lua"},
	{"forks", "hash", "chain → what is known of its changed final blocks; its lanes stand still meanwhile"},
	{"quarantine", "hash", "key → facts set aside with their blocks, why and when"},
	{"held", "hash", "id → how a transfer was that is set aside, and for which chains"},
	{"heldby", "zset, lex", "`chain, place, id` of those to be let go"},
	{"index", "zset, lex", "`w, route, status, step, time, id`, `a, address, time, id` and `t, text, id`"},
	{"intents", "hash", "`chain:account, nonce` → what the nonce was taken for, as JSON"},
	{"txdata", "hash", "same → call data, until decided"},
	{"txstate", "hash", "same → state and outcome"},
	{"attempts", "hash", "same → one line per signed transaction, hash first; every hash is kept"},
	{"raw", "hash", "`chain:account, nonce, hash` → signed bytes, until decided"},
	{"nonces", "zset, lex", "`chain:account, nonce` of every intent"},
	{"live", "zset, lex", "the undecided ones among them"},
	{"txkeys", "hash", "`chain, key` → the undecided intent of that key"},
	{"riding", "hash", "transfer id → undecided intent it rides in"},
	{"proposals", "hash", "`chain, digest` → when, in ms, and what is up for signatures at its gateway, as JSON; never changes"},
	{"proposed", "zset, lex", "`chain, ms, digest` of each, oldest first"},
	{"proposing", "hash", "`chain, from, message id` → digest of the proposal that the message waits in"},
	{"signatures", "hash", "`chain, digest, signer` → signature"},
	{"journal", "stream", "every change of state, for people and tests; nothing reads it to decide"},
	{"ops", "hash", "operation id → reply, for replies that were lost"},
	{"ops_old", "hash", "the generation of ops before"},
}

// of is the full name of a key.
func (k keys) of(name string) string { return "{" + k.ns + "}:" + name }

func (k keys) all(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = k.of(n)
	}
	return out
}
