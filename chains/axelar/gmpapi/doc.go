// Package gmpapi is a client of Axelar's Amplifier GMP API, the service through
// which Axelar tells a relayer of one chain what to do there (tasks) and is told
// what happened (events). Beside them it stores payloads and sends transactions
// to contracts on Axelar (broadcasts).
//
// It promises five things. A task is never lost: a position moves only when the
// caller says that what came before it is safely journaled, so that after a
// crash tasks come again, and none is left out. A task is never guessed: one of
// an unknown type is handed on as it is (Unknown), one that does not say what
// its type must say comes as Broken, and neither keeps the others from coming.
// What money depends on is read strictly (names exactly, once each, payloads
// against their hashes, amounts in full) and the rest leniently (fields that are
// new are ignored). Every answer is bounded in bytes, depth and time. And what
// the service refuses is not sent again; what it cannot answer now is, with
// growing pauses and not before it said to.
//
// Nobody has to trust the service: it is asked for work, never for facts. An
// approval proves itself at the gateway, a payload is bound by its hash, and
// what was done is read from the chain.
//
// Source: the schema "Amplifier GMP API" 1.0.0 (OpenAPI 3.0.3) as it was public
// in August 2026. Chains that Axelar's own validators serve (connection type
// consensus: Ethereum and Filecoin today) are not behind this API.
package gmpapi
