package main

import (
	"fmt"

	"github.com/causeway-bridge/causeway/test/rig"
)

// place is one place in the sources where a guard is kept, how to take it out
// there, and the tests that see it gone.
type place struct {
	guard string // which promise: see the names below
	where string
	edits []rig.Edit
	held  []check
}

// The guards. Each is kept in several places; every place is held by itself.
const (
	fence   = "fence check"
	cursor  = "cursor compare"
	intent  = "intent before broadcast"
	final   = "effect only when final"
	filter  = "topic and address filter"
	freeze  = "batch freeze"
	skip    = "skip applied"
	stipend = "stipend check"
	order   = "order of a lane"
	loss    = "nothing is given out after a loss"
	unseen  = "nothing is approved unseen"
	bounded = "what Axelar says moves nothing else"
)

// edit takes something out of one file.
func edit(file, old, new string) []rig.Edit { return []rig.Edit{{File: file, Old: old, New: new}} }

// both takes out two things that stand in for each other.
func both(edits ...[]rig.Edit) (out []rig.Edit) {
	for _, e := range edits {
		out = append(out, e...)
	}
	return out
}

func test(pkg, name, says string) check { return check{pkg: pkg, test: name, says: says} }

// sim is that many worlds of the simulation.
func sim(seeds int, says string) check {
	return check{pkg: "./test/sim", test: "TestSeedsEndWithAllMoneyWhereItBelongs", args: []string{fmt.Sprintf("-seeds=%d", seeds)}, says: says}
}

// model is the comparison of the scripts with the model that the simulation runs
// on: a guard that is in one of them and not in the other is a difference.
func model(says string) check {
	return check{
		pkg: "./store", test: "TestTheScriptsDoWhatTheModelDoes", says: says,
		args: []string{"-rapid.checks=400", "-rapid.seed=1", "-rapid.nofailfile", "-rapid.shrinktime=1ms"},
	}
}

const (
	lua       = "store/lua/"
	meaning   = "store/storetest/"
	contracts = "contracts/src/"
	approver  = "relayer/approve/"
	network   = "relayer/network/"
	legs      = "relayer/flow/legnetwork.go"
)
