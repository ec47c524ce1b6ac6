package main

var places = []place{
	// A zombie writes nothing.
	{
		guard: fence, where: "the fence of a lease, in every script",
		edits: edit(lua+"lib.lua", "if l.p == epoch and l.c == counter then return l end", "return l"),
		held:  []check{test("./store", "TestAZombieWritesNothing", ""), model("")},
	},
	{
		guard: fence, where: "settle",
		edits: edit(lua+"settle.lua", "local l = lease(lane, args(2), args(3))", "local l = lease(lane, args(2), args(3)) or {w = ''}"),
		held:  []check{test("./store", "TestAZombieWritesNothing", ""), model("")},
	},
	{
		guard: fence, where: "reserve",
		edits: edit(lua+"reserve.lua", "local l = lease(lane, args(4), args(5))", "local l = lease(lane, args(4), args(5)) or {ids = {}}"),
		held:  []check{test("./store", "TestAZombieWritesNothing", ""), model("")},
	},
	{
		guard: fence, where: "extend",
		edits: edit(lua+"extend.lua", "if not lease(args(1), args(2), args(3)) then return {'STALE'} end", ""),
		held:  []check{test("./store", "TestAZombieWritesNothing", ""), model("")},
	},
	{
		guard: fence, where: "a claim whose reply was lost",
		edits: edit(lua+"claim.lua", "local l = lease(before[1], before[2], before[3])", "local text = call('HGET', K.leased, before[1])\n  local l = text and cjson.decode(text)"),
		held:  []check{test("./store", "TestALaneThatWentToAnotherWhileAReplyWasLostIsTheOthers", "")},
	},
	{
		guard: fence, where: "a member that left its step rides nowhere",
		edits: edit(lua+"reserve.lua", "if j and (j.st ~= 'pending' or j.s ~= step or j.l ~= lane) then return {'STALE'} end", ""),
		held:  []check{test("./store", "TestAMemberThatLeftItsStepStaysOut", ""), model("")},
	},
	{
		guard: fence, where: "a verdict on a step that is over",
		edits: edit(lua+"settle.lua", "if j and j.st == 'pending' and j.s == args(at + 1) and j.l == lane then", "if j and j.st == 'pending' then"),
		held:  []check{model("")},
	},
	{
		guard: fence, where: "the epoch that the server must have",
		edits: edit(lua+"lib.lua", "or tonumber(c) < tonumber(ARGV[1]) then return", "then return"),
		held:  []check{test("./store", "TestAnEpochThatWentBackIsNoticedByTheNextScript", "")},
	},
	{
		guard: fence, where: "the lineage that the server must have",
		edits: edit(lua+"lib.lua", "or l ~= ARGV[2] or", "or"),
		held:  []check{test("./store", "TestAnotherHistoryIsNoticedByTheNextScript", "")},
	},
	{
		guard: fence, where: "what it means: every write",
		edits: edit(meaning+"model_queue.go", "l != nil && l.fence == f", "l != nil"),
		held:  []check{sim(400, ": I9: "), model("")},
	},
	{
		guard: fence, where: "what it means: settle",
		edits: edit(meaning+"model_queue.go", "\th := m.owner(l.Fence)\n\tif h == nil {\n\t\treturn store.ErrStale\n\t}\n\tfor _, v", "\th := m.owner(l.Fence)\n\tif h == nil {\n\t\th = &modelLease{}\n\t}\n\tfor _, v"),
		held:  []check{sim(400, ": I9: ")},
	},
	{
		guard: fence, where: "what it means: reserve",
		edits: edit(meaning+"model_intents.go", "\t\tif l == nil {\n\t\t\treturn chains.Intent{}, false, store.ErrStale\n\t\t}", "\t\tif l == nil {\n\t\t\tl = &modelLease{}\n\t\t}"),
		held:  []check{sim(400, ": I9: ")},
	},
	{
		guard: fence, where: "what it means: extend",
		edits: edit(meaning+"model_queue.go", "\tif h == nil {\n\t\treturn l, store.ErrStale\n\t}", "\tif h == nil {\n\t\th = &modelLease{}\n\t}"),
		held:  []check{sim(400, ": I9: ")},
	},
	{
		guard: fence, where: "a lost lease ends the look",
		edits: edit("relayer/work/work.go", "case errors.Is(err, chains.ErrStale):\n\t\t\t\tcancel()\n\t\t\t\treturn", "case errors.Is(err, chains.ErrStale):\n\t\t\t\treturn"),
		held:  []check{test("./relayer/work", "TestALostLeaseEndsTheLookAndWhatItSawIsDropped", "")},
	},

	// A block is read once, and none is skipped.
	{
		guard: cursor, where: "ingest",
		edits: edit(lua+"ingest.lua", "if stored ~= args(2) then return {'CURSOR', stored} end", ""),
		held:  []check{test("./store", "TestACursorMovesOnlyFromWhereItIs", ""), model("")},
	},
	{
		guard: cursor, where: "what it means",
		edits: edit(meaning+"model.go", "if c, ok := m.cursors[chain]; !ok || c != from {", "if _, ok := m.cursors[chain]; !ok {"),
		held:  []check{sim(400, ": I4: "), model("")},
	},
	{
		guard: cursor, where: "a block follows the one before the cursor",
		edits: edit("chains/evm/source.go", "if err := c.follows(ctx, q.From, first); err != nil {", "if err := c.follows(ctx, chains.Cursor{}, first); err != nil {"),
		held:  []check{test("./chains/evm", "TestAReorgBelowTheCursorStopsTheSource", "")},
	},
	{
		guard: cursor, where: "a look for a fork",
		edits: edit(lua+"quarantine.lua", "if stored ~= args(2) then return {'CURSOR', stored} end", ""),
		held:  []check{model("")},
	},

	// What was sent can be found again.
	{
		guard: intent, where: "on the disk",
		edits: edit("chains/evm/txmanager.go", "\tif m.file != nil {\n\t\tif err := m.file.append", "\tif m.file != nil && in.Key == \"\" {\n\t\tif err := m.file.append"),
		held:  []check{sim(50, ": I8: "), test("./chains/evm", "TestTheFileGivesBackWhatTheJournalForgot", "")},
	},
	{
		guard: intent, where: "in the journal",
		edits: edit("chains/evm/txmanager.go", "\tif err := m.journal.SaveAttempt(ctx, in, signed); err != nil {\n\t\treturn fmt.Errorf(\"store attempt: %w\", err)\n\t}\n", ""),
		held:  []check{sim(50, ": I8: "), test("./chains/evm", "TestAnIntentGoesFromReservedToSucceeded", "")},
	},
	{
		guard: intent, where: "before, not after",
		edits: both(
			edit("chains/evm/txmanager.go", "\tif m.file != nil {\n\t\tif err := m.file.append", "\tm.broadcast(ctx, a, in.Nonce, signed)\n\tif m.file != nil {\n\t\tif err := m.file.append"),
			edit("chains/evm/txmanager.go", "\tm.broadcast(ctx, a, in.Nonce, signed)\n\tcrash.At", "\tcrash.At")),
		held: []check{sim(50, ": I8: ")},
	},
	{
		guard: intent, where: "safe on the disk",
		edits: edit("chains/evm/disk.go", "\t\treturn err\n\t}\n\treturn d.file.Sync()", "\t\treturn err\n\t}\n\treturn nil"),
		held:  []check{test("./chains/evm", "TestAnAppendThatCannotBeMadeSafeIsAnError", "")},
	},

	// What is not final may yet not have happened.
	{
		guard: final, where: "the head that is read up to",
		edits: edit("chains/evm/source.go", "final, err = c.tagged(reqs[1])", "final, err = c.tagged(latest)"),
		held:  []check{sim(100, ""), test("./chains/evm", "TestASourceYieldsExactlyTheFinalEventsWhateverHappens", "")},
	},
	{
		guard: final, where: "a question beyond it",
		edits: edit("chains/evm/source.go", "return min(q.To, final.Number), nil", "return q.To, nil"),
		held:  []check{test("./chains/evm", "TestAQuestionBeyondTheFinalHeadIsAnsweredUpToIt", "")},
	},
	{
		guard: final, where: "what the root has accepted",
		edits: edit("relayer/wire.go", "return state(ctx, l.read(flow.Root, l.root.Head))", "return state(ctx, l.root.Latest)"),
		held:  []check{sim(1000, "stuck: ")},
	},
	{
		guard: final, where: "what the subnet has applied",
		edits: edit("relayer/wire.go", "\t\t\tat, err := l.final(ctx)\n\t\t\tif err != nil {\n\t\t\t\treturn flow.Applied{}, err\n\t\t\t}\n\t\t\treturn applied(ctx, at)", "\t\t\treturn applied(ctx, evm.AtLatest)"),
		held:  []check{test("./relayer", "TestWhatIsAppliedIsAskedAtTheFinalBlock", "")},
	},
	{
		guard: final, where: "a receipt",
		edits: edit("chains/evm/decide.go", "if receipt != nil && receipt.Block <= o.finalHead {", "if receipt != nil {"),
		held:  []check{test("./chains/evm", "TestDecisionTable", "")},
	},
	{
		guard: final, where: "a nonce",
		edits: edit("chains/evm/loop.go", "m.client.NonceAt(ctx, a.address, AtHash(v.head.Hash))", "m.client.NonceAt(ctx, a.address, AtLatest)"),
		held:  []check{test("./chains/evm", "TestAForeignTransactionIsCalledThatOnlyWhenItIsFinal", "")},
	},
	{
		guard: final, where: "a receipt in a block that lost",
		edits: edit("chains/evm/decide.go", "case canonical != receipt.BlockHash:", "case canonical == common.Hash{}:"),
		held:  []check{test("./chains/evm", "TestDecisionTable", "")},
	},
	{
		guard: final, where: "the subnet's last commit",
		edits: edit("chains/subnet/subnet.go", "if status.Height >= tagged.Number {", "if true {"),
		held:  []check{test("./chains/subnet", "TestTheHeadIsTheLowerOfTagAndCommit", "")},
	},
	{
		guard: final, where: "a head behind what was read",
		edits: edit("relayer/wire.go", "case ok && b.Number+1 < cur.Next:", "case false:"),
		held:  []check{test("./relayer", "TestAFinalBlockBehindTheCursorSaysNothing", "")},
	},
	{
		guard: final, where: "a look does nothing unless the answer is no",
		edits: edit("relayer/work/work.go", "\t\t\tblocked = blocked || job.Strict\n", "\t\t\tif step.Do != nil {\n\t\t\t\ttodo = append(todo, i)\n\t\t\t\tcontinue\n\t\t\t}\n"),
		held:  []check{test("./relayer/work", "TestDoRunsOnlyForADefiniteNotYet", "")},
	},

	// Only our contracts' events count.
	{
		guard: filter, where: "the address, of what a node answers",
		edits: edit("chains/chains.go", "!slices.Contains(f.Addresses, contract) || ", ""),
		held:  []check{test("./chains/evm", "TestANodeThatIgnoresTheFilterIsFilteredHere", "")},
	},
	{
		guard: filter, where: "the topic, of what a node answers",
		edits: edit("chains/chains.go", " || !slices.Contains(f.Topics, topics[0])", ""),
		held:  []check{test("./chains/evm", "TestANodeThatIgnoresTheFilterIsFilteredHere", "")},
	},
	{
		guard: filter, where: "the address, in every flow",
		edits: edit("relayer/flow/subnet.go", "return e.Address == contract && len", "return len"),
		held:  []check{test("./relayer/flow", "TestAnEventOfAnotherContractChainOrShapeIsNobodys", "")},
	},
	{
		guard: filter, where: "the topic, in every flow",
		edits: edit("relayer/flow/subnet.go", " && e.Topics[0] == first", ""),
		held:  []check{test("./relayer/flow", "TestEachEventDecidesExactlyTheStepsOfTheTable", "")},
	},
	{
		guard: filter, where: "who calls whom without the hub",
		edits: edit("relayer/flow/leg.go", "if called.Sender != l.caller || r.To != l.to.name || r.Message.Contract != l.taker {", "if false {"),
		held:  []check{test("./relayer/flow", "TestALegCarriesWhatOurContractsCallOfEachOtherAndNothingElse", "")},
	},
	{
		guard: filter, where: "what a call's id says",
		edits: edit("relayer/flow/gmp.go", "if id := axelar.GmpCallID(route, c); id != e.Topics[1] {", "if id := axelar.GmpCallID(route, c); false {"),
		held:  []check{test("./relayer/flow", "TestACallBeginsWhereItIsMadeAndIsWhatItsIdSays", "")},
	},
	{
		guard: filter, where: "the leg that the router tells of",
		edits: edit("relayer/flow/gmp.go", "return said{e.Topics[0], axelar.GmpLeg(n)}, ok && n <= uint64(axelar.GmpResultUp)", "return said{e.Topics[0], axelar.GmpLeg(n)}, ok || true"),
		held:  []check{test("./relayer/flow", "TestACallGoesTheWayItsEventsSay", "")},
	},
	{
		guard: filter, where: "the message behind the router's hash",
		edits: edit("relayer/flow/gmp_kept.go", "if i, wanted := byHash[crypto.Keccak256Hash(message)]; ok && wanted && e.Topics[1] == batch[i].Ref {", "if i := 0; ok && e.Topics[1] == batch[i].Ref {"),
		held:  []check{test("./relayer/flow", "TestAKeptResultIsSentAsTheRouterHasIt", "")},
	},
	{
		guard: filter, where: "the address, everywhere",
		edits: both(
			edit("chains/chains.go", "!slices.Contains(f.Addresses, contract) || ", ""),
			edit("relayer/flow/subnet.go", "return e.Address == contract && len", "return len")),
		held: []check{sim(400, "")},
	},
	{
		guard: filter, where: "the topic, everywhere",
		edits: both(
			edit("chains/chains.go", " || !slices.Contains(f.Topics, topics[0])", ""),
			edit("relayer/flow/subnet.go", " && e.Topics[0] == first", "")),
		held: []check{sim(400, "")},
	},

	// A transfer rides in one undecided transaction.
	{
		guard: freeze, where: "reserve",
		edits: edit(lua+"reserve.lua", "if ride then return {'BUSY',", "if false then return {'BUSY',"),
		held:  []check{test("./store", "TestAMemberRidesInOneUndecidedTransaction", ""), model("")},
	},
	{
		guard: freeze, where: "what it means",
		edits: edit(meaning+"model_intents.go", "if m.ride(id) != nil {\n\t\t\t\treturn", "if false {\n\t\t\t\treturn"),
		held:  []check{model("")},
	},
	{
		guard: freeze, where: "what it means, and before a nonce is asked for",
		edits: both(
			edit(meaning+"model_intents.go", "if m.ride(id) != nil {\n\t\t\t\treturn", "if false {\n\t\t\t\treturn"),
			edit("chains/evm/txmanager.go", "slices.Contains(in.Members, member)", "slices.Contains([]common.Hash{}, member)")),
		held: []check{sim(400, ": members: ")},
	},
	{
		guard: freeze, where: "a key has one undecided transaction",
		edits: edit(lua+"reserve.lua", "if holder then return {'EXISTS', holder} end", ""),
		held:  []check{test("./store", "TestAKeyHasOneUndecidedIntent", ""), model("")},
	},
	{
		guard: freeze, where: "a nonce has one transaction",
		edits: edit(lua+"reserve.lua", "nonce = math.max(nonce, tonumber(rowid(top)) + 1)", ""),
		held:  []check{model("")},
	},
	{
		guard: freeze, where: "a nonce has one transaction: what it means",
		edits: edit(meaning+"model_intents.go", "nonce = max(nonce, s.nonce+1)", "nonce = max(nonce, 0)"),
		held:  []check{sim(100, ": I6: ")},
	},
	{
		guard: freeze, where: "an undecided batch keeps its cut",
		edits: edit("relayer/flow/shape.go", "return min(before, n)", "return n"),
		held:  []check{test("./relayer/flow", "TestALaneThatGrowsWhileABatchIsUndecidedKeepsItsCut", "")},
	},

	// What somebody else has carried is no failure.
	{
		guard: skip, where: "messages, in the subnet",
		edits: edit(contracts+"subnet/SubnetGateway.sol", "while (first < messages.length && messages[first].localNonce < nonce) ++first;", ""),
		held:  []check{test("test/subnet/Delivery.t.sol", "test_rule12_twoHonestRelayersDoNotSpoilEachOther", ""), sim(1000, ": PROTOCOL 12: ")},
	},
	{
		guard: skip, where: "changes of power, in the subnet",
		edits: edit(contracts+"subnet/ParentStatements.sol", "while (first < requests.length && requests[first].configurationNumber <= number) ++first;", ""),
		held:  []check{test("test/subnet/Configuration.t.sol", "test_rule12_powerChangesComeInPrefixesOnce", "")},
	},
	{
		guard: skip, where: "messages, on the root",
		edits: edit(contracts+"root/Checkpoints.sol", "while (skip < inclusions.length && inclusions[skip].msg.localNonce < l.nonce) skip++;", ""),
		held:  []check{test("test/root/Checkpoints.t.sol", "test_twoRelayersDoNotSpoilEachOther", ""), sim(1000, ": PROTOCOL 12: ")},
	},
	{
		guard: skip, where: "messages, before they are sent",
		edits: edit("relayer/flow/topdown.go", "for first < len(b.Transfers) && b.Transfers[first].Nonce < now.Nonce {", "for false {"),
		held:  []check{test("./relayer/flow", "TestWhatIsAppliedAtTheNewestBlockIsOnlyWaitedFor", "")},
	},
	{
		guard: skip, where: "checkpoints, before they are sent",
		edits: edit("relayer/flow/checkpoint.go", "if t.Nonce <= now.LastHeight {", "if false {"),
		held:  []check{test("./relayer/flow", "TestACheckpointAcceptedAtTheNewestBlockIsOnlyWaitedFor", "")},
	},
	{
		guard: skip, where: "messages upwards, before they are sent",
		edits: edit("relayer/flow/checkpoint.go", "for len(messages) > 0 && messages[0].Msg.LocalNonce < next {", "for false {"),
		held:  []check{test("./relayer/flow", "TestMessagesAreExecutedInOrderAcrossBatches", ""), sim(1000, "stuck: ")},
	},

	// Nobody can starve a good message into a failure.
	{
		guard: stipend, where: "messages, in the subnet",
		edits: edit(contracts+"subnet/SubnetGateway.sol", "if (gasleft() * 63 / 64 < MESSAGE_GAS + BOOKKEEPING) revert NotEnoughGas();", ""),
		held:  []check{test("test/subnet/Delivery.t.sol", "test_rule14_aLargeStipendCannotBeStarvedEither", ""), test("test/subnet/Delivery.t.sol", "test_rule14_tooLittleGasRevertsWhole", ""), sim(400, ": PROTOCOL 14: ")},
	},
	{
		guard: stipend, where: "messages, on the root",
		edits: edit(contracts+"root/BottomUp.sol", "if (gasleft() * 63 / 64 < required) revert InsufficientGas(required);", ""),
		held:  []check{test("test/root/BottomUp.t.sol", "test_rule14_tooLittleGasSaysSo", ""), test("test/review/Starve.t.sol", "test_rule14_noGasLimitTurnsAPayoutIntoAnythingElse", ""), sim(400, ": stuck: ")},
	},
	{
		guard: stipend, where: "payouts",
		edits: edit(contracts+"withdraw/Payouts.sol", "if (gasleft() - gasleft() / 64 < stipend + rest) revert NotEnoughGas();", ""),
		held:  []check{test("test/withdraw/FastWithdrawals.t.sol", "test_aStarvedHandlerRevertsInsteadOfTakingTheTransferForRefused", ""), test("test/usdc/LinkedTokenController.t.sol", "test_aStarvedRefundRevertsInsteadOfBecomingACredit", "")},
	},
	{
		guard: stipend, where: "calls between contracts, their targets",
		edits: edit(contracts+"gmp/GmpEnd.sol", "Payouts.requireGas(gas_, AFTER_GAS);", ""),
		held:  []check{test("test/gmp/EndToEnd.t.sol", "test_rule14_nobodyStarvesACall", ""), test("test/gmp/GmpPorts.t.sol", "test_rule14_aPortThatGetsLessThanThatDoesNotExecute", "")},
	},
	{
		guard: skip, where: "a call that was executed",
		edits: edit(contracts+"gmp/GmpEnd.sol", "if (_executed.get(c.nonce)) revert AlreadyExecuted(id);", ""),
		held:  []check{test("test/gmp/EndToEnd.t.sol", "test_aSecondMessageForOneIdIsNeverExecuted", "")},
	},
	{
		guard: skip, where: "a call that the router keeps no longer",
		edits: edit("relayer/flow/gmp_kept.go", "if e.Stage != axelar.GmpKept || e.Leg != leg {", "if false {"),
		held:  []check{test("./relayer/flow", "TestWhatTheRouterKeepsIsTriedAgainThenGivenUp", "")},
	},
	{
		guard: stipend, where: "calls between contracts, their senders",
		edits: edit(contracts+"gmp/GmpEnd.sol", "Payouts.requireGas(CALLBACK_GAS, AFTER_GAS);", ""),
		held:  []check{test("test/gmp/EndToEnd.t.sol", "test_rule14_nobodyStarvesASenderThatIsTold", "")},
	},
	{
		guard: stipend, where: "calls between contracts, on the root",
		edits: edit(contracts+"gmp/GmpRouter.sol", "Payouts.requireGas(LEG_GAS, LEG_GAS / 4);", ""),
		held:  []check{test("test/gmp/EndToEnd.t.sol", "test_rule14_nobodyStarvesALegWhateverTheGatewayNeeds", "")},
	},
	{
		guard: stipend, where: "approved messages that are executed together",
		edits: edit(contracts+"flt/Executor.sol", "Payouts.requireGas(gasEach, gasEach / 16);", ""),
		held:  []check{test("test/flt/Executor.t.sol", "test_rule14_whatIsGivenTooLittleRevertsAsAWhole", ""), test("test/flt/Executor.t.sol", "test_rule14_noGasLimitFailsADeposit", "")},
	},

	// Nobody passes the head of a strict lane, nobody shares a lane.
	{
		guard: order, where: "one that waits in a strict lane",
		edits: edit(lua+"claim.lua", "break -- in a strict lane nobody passes", "if not strict then break end"),
		held:  []check{test("./store", "TestNobodyPassesWhoWaitsInTheMiddleOfAStrictLane", "")},
	},
	{
		guard: order, where: "a lease takes its lane off the line",
		edits: edit(lua+"claim.lua", "call('ZREM', K.ready, lane)", ""),
		held:  []check{model("")},
	},
	{
		guard: order, where: "a lease of another: what it means",
		edits: edit(meaning+"model_queue.go", "len(q) == 0 || m.leases[lane] != nil ||", "len(q) == 0 ||"),
		held:  []check{sim(50, ": I9: ")},
	},
	{
		guard: order, where: "a lease is renewed",
		edits: edit("relayer/work/work.go", "next, err := p.cfg.Queue.Extend(ctx, lease)", "next, err := lease, error(nil)"),
		held:  []check{test("./relayer/work", "TestALongLookKeepsItsLease", "")},
	},

	// While the end of the journal is missing.
	{
		guard: loss, where: "what came back bare is not signed",
		edits: edit("chains/evm/loop.go", "if !in.Abandoned && payloadLost(in) {", "if false && payloadLost(in) {"),
		held:  []check{test("./chains/evm", "TestARowThatCameBackBareIsNeverSignedAsAnotherCall", "")},
	},
	{
		guard: loss, where: "no cursor for a journal that was lost during a rescan",
		edits: edit("relayer/rescan.go", "if err := db.InitCursor(ctx, s.name, first); err != nil {", "if err := db.InitCursor(ctx, s.name, cur); err != nil {"),
		held:  []check{test("./relayer", "TestARescanOfAChainThatNobodyHasReadLeavesItsCursorBehindIt", "")},
	},
	{
		guard: loss, where: "a lease",
		edits: edit(lua+"claim.lua", "if recovering() then return {'NONE'} end", ""),
		held:  []check{test("./store", "TestALostEndStopsEverythingUntilItIsThereAgain", ""), model("")},
	},
	{
		guard: loss, where: "a nonce",
		edits: edit(lua+"reserve.lua", "if recovering() then return {'BUSY', forgetful} end", ""),
		held:  []check{test("./store", "TestALostEndStopsEverythingUntilItIsThereAgain", ""), model("")},
	},
	{
		guard: loss, where: "a lease: what it means",
		edits: edit(meaning+"model_queue.go", "\tif m.lost != nil {\n\t\treturn store.Lease{}, false, nil\n\t}\n", ""),
		held:  []check{sim(200, ": I10: lane")},
	},
	{
		guard: loss, where: "a nonce: what it means",
		edits: edit(meaning+"model_intents.go", "\tif m.lost != nil {\n\t\treturn chains.Intent{}, false, chains.ErrBusy\n\t}\n\tfor name", "\tfor name"),
		held:  []check{model("")},
	},
	{
		guard: loss, where: "a loss is seen when the journal is opened",
		edits: edit(lua+"open.lua", "(counter < seen or (mark ~= nil and mark < marked))", "false"),
		held:  []check{test("./store", "TestALostEndStopsEverythingUntilItIsThereAgain", "")},
	},
	{
		guard: loss, where: "the disk's transactions come back before a nonce is taken",
		edits: edit("chains/evm/txmanager.go", "\tif err := m.recover(ctx); err != nil {\n\t\treturn fmt.Errorf(\"replay the intents file: %w\", err)\n\t}\n", ""),
		held:  []check{test("./chains/evm", "TestTheFileGivesBackWhatTheJournalForgot", "")},
	},
	{
		guard: loss, where: "the journal agrees with the chains",
		edits: edit("relayer/recovery.go", "if err == nil && len(findings) == 0 {", "if err == nil {"),
		held:  []check{test("./relayer", "TestALossIsWaitedOutStepByStep", "")},
	},
	{
		guard: loss, where: "the chains are read up to what was final",
		edits: edit("relayer/recovery.go", "case !ok || cur.Next <= final:", "case !ok && cur.Next > final:"),
		held:  []check{test("./relayer", "TestALossIsWaitedOutStepByStep", "")},
	},
	{
		guard: loss, where: "the transactions of this machine are back",
		edits: edit("relayer/recovery.go", "if !r.restored[name]() {", "if false {"),
		held:  []check{test("./relayer", "TestALossIsWaitedOutStepByStep", "")},
	},

	// A signer signs for what it saw final itself, once, and for nothing else.
	{
		guard: unseen, where: "the digest is made anew",
		edits: edit(approver+"signer.go", "if digest != p.Digest {", "if false {"),
		held:  []check{test("./relayer/approve", "TestASignerSignsNothingThatItDidNotSee", "")},
	},
	{
		guard: unseen, where: "the block of a call is asked for again",
		edits: edit(approver+"signer.go", "if last.Number != c.Block || last.Hash != c.BlockHash {", "if false {"),
		held:  []check{test("./relayer/approve", "TestAnEventThatVanishesIsNotSignedFor", "")},
	},
	{
		guard: unseen, where: "one position and one payload of a log",
		edits: edit(approver+"ledger.go", "ok && !same(l.calls[i], c) {", "false {"),
		held:  []check{test("./relayer/approve", "TestAChainThatContradictsTheLedgerIsNotSignedFor", "")},
	},
	{
		guard: unseen, where: "a chain that contradicts the ledger",
		edits: edit(approver+"signer.go", "if err := s.byName[name].unwell(); err != nil {", "if err := error(nil); err != nil {"),
		held:  []check{test("./relayer/approve", "TestAChainThatContradictsTheLedgerIsNotSignedFor", "")},
	},
	{
		guard: unseen, where: "damage in the middle of the ledger",
		edits: edit(approver+"ledger.go", "\t\tif torn {", "\t\tif false {"),
		held:  []check{test("./relayer/approve", "TestDamageInTheMiddleIsRefused", "")},
	},
	{
		guard: unseen, where: "a ledger that went back",
		edits: edit(approver+"ledger.go", "if l.lines < was.Lines {", "if false {"),
		held:  []check{test("./relayer/approve", "TestAnOlderLedgerIsRefused", "")},
	},
	{
		guard: unseen, where: "no more comes back than has gone",
		edits: edit(approver+"rules.go", "if out[s].Cmp(b.at(s)) > 0 {", "if false {"),
		held:  []check{test("./relayer/approve", "TestNoMoreOfATokenComesBackThanHasGone", "")},
	},
	{
		guard: unseen, where: "the set to rotate to",
		edits: edit(approver+"signer.go", "if !to.Next.Equal(*p.Next) {", "if false {"),
		held:  []check{test("./relayer/approve", "TestARotationInTheMiddle", "")},
	},
	{
		guard: unseen, where: "the rules of the hub",
		edits: edit(approver+"signer.go", "if err := s.cfg.Rules.judge(call, to.Name); err != nil {", "if err := error(nil); err != nil {"),
		held:  []check{test("./relayer/approve", "TestTheRulesOfTheHubHold", "")},
	},
	{
		guard: unseen, where: "an endpoint that tells of another gateway",
		edits: edit("relayer/approverchains.go", "if i > 0 && (gateway != out.Gateway || its != *service) {", "if false {"),
		held:  []check{test("./relayer", "TestWhatOneEndpointSaysOfAGatewayIsNotBelieved", "")},
	},
	{
		guard: unseen, where: "endpoints of a chain that disagree",
		edits: edit(approver+"reader.go", "if err := s.byName[name].trouble(); err != nil {", "if err := error(nil); err != nil {"),
		held:  []check{test("./relayer", "TestWhileTheEndpointsOfAChainDisagreeASignerSignsNothingOfIt", "")},
	},
	{
		guard: unseen, where: "a block that is read again is proven as others are",
		edits: edit(approver+"reader.go", "\tif serious(err) {\n\t\tr.fail(err)\n\t}\n\treturn fresh, err", "\treturn fresh, err"),
		held:  []check{test("./relayer/approve", "TestABlockThatContradictsTheLedgerWhenItIsReadAgainStopsItsChain", "")},
	},
	{
		guard: unseen, where: "a receipt places the event that was told",
		edits: edit("chains/evm/place.go", "at < 0 || !logs[e.Tx][at].is(*e) {", "at < 0 {"),
		held:  []check{test("./chains/evm", "TestAReceiptThatDoesNotPlaceItsEventsIsNotBelieved", "")},
	},
	{
		guard: unseen, where: "a receipt with a hole",
		edits: edit("chains/evm/place.go", "if i > 0 && (out[i].index != out[i-1].index+1 || out[i].block != out[0].block) {", "if false {"),
		held:  []check{test("./chains/evm", "TestAReceiptThatDoesNotPlaceItsEventsIsNotBelieved", "")},
	},
	{
		guard: unseen, where: "a stranger's call without the hub is not kept",
		edits: edit(approver+"call.go", "if !r.allows(c) {", "if false {"),
		held:  []check{test("./relayer/approve", "TestWhatIsNobodysIsNotKept", "")},
	},
	{
		guard: unseen, where: "a call without the hub that is allowed no longer",
		edits: edit(approver+"rules.go", "if !r.allows(c) {", "if false {"),
		held:  []check{test("./relayer/approve", "TestOtherRoutesReadTheChainAnew", "")},
	},
	{
		guard: unseen, where: "who is heard over Axelar",
		edits: edit(contracts+"gmp/AxelarLink.sol", "if (!ours) revert WrongSource(sourceChain, sourceAddress);", ""),
		held:  []check{test("test/gmp/EndToEnd.t.sol", "test_onlyTheCounterpartIsHeardOverAxelar", "")},
	},
	{
		guard: unseen, where: "endpoints that tell a receipt otherwise",
		edits: edit("chains/agree/head.go", "a.Position == b.Position && ", ""),
		held:  []check{test("./chains/agree", "TestAPlaceInAReceiptIsWhatEnoughSay", "")},
	},

	// What Axelar's service says makes us call nothing but the gateway, with what it
	// has signed, and pay nothing twice.
	{
		guard: bounded, where: "the size of a call",
		edits: edit(network+"chain.go", "if len(g.Data) > MaxCall {", "if false {"),
		held:  []check{test("./relayer/network", "TestNothingButTheGatewayIsEverCalled", "")},
	},
	{
		guard: bounded, where: "the gas of a call",
		edits: edit(network+"chain.go", "Value: new(big.Int), GasCap: MaxGas,", "Value: new(big.Int),"),
		held:  []check{test("./relayer/network", "TestWhatAxelarSignedIsCarriedToTheGatewayOnce", "")},
	},
	{
		guard: bounded, where: "what the gateway has is not sent again",
		edits: edit(network+"chain.go", "\tif !open {", "\tif !open && false {"),
		held:  []check{test("./relayer/network", "TestWhatAxelarSignedIsCarriedToTheGatewayOnce", "")},
	},
	{
		guard: bounded, where: "a task is done once the gateway has it",
		edits: edit(network+"chain.go", `return fmt.Errorf("%w: the gateway does not have it", flow.ErrNotYet)`, "return nil"),
		held:  []check{test("./relayer/network", "TestACallThatRevertsInItsBlockIsSentAgain", "")},
	},
	{
		guard: bounded, where: "only messages of ours are waited for",
		edits: edit(network+"chain.go", "if err != nil || !c.cfg.Mine(m, content.Payload) {", "if err != nil || !c.cfg.Mine(m, content.Payload) && false {"),
		held:  []check{test("./relayer/network", "TestExecutionsOfOursAreReportedWhateverDiesInBetween", "")},
	},
	{
		guard: bounded, where: "a payment is noted before it is made",
		edits: edit(network+"topup.go", "if err := writeJSON(t.cfg.File, rest); err != nil {\n\t\treturn err\n\t}\n", ""),
		held:  []check{test("./relayer/network", "TestAMessageThatWaitsIsPaidForOnce", "")},
	},
	{
		guard: bounded, where: "what the chain shows is not paid again",
		edits: edit(network+"topup.go", "if paid.Cmp(enough) >= 0 {", "if paid.Cmp(enough) > 1 {"),
		held:  []check{test("./relayer/network", "TestAMessageThatWaitsIsPaidForOnce", "")},
	},
	{
		guard: bounded, where: "the bound of a day",
		edits: edit(network+"topup.go", "sum.Add(sum, t.cfg.Wei).Cmp(t.cfg.DailyWei) > 0", "sum.Sign() < 0"),
		held:  []check{test("./relayer/network", "TestADayCostsNoMoreThanItMay", "")},
	},
	{
		guard: bounded, where: "an approval is of what the leg carries",
		edits: edit(legs, "if a != nil && l.contentKey(a.Message) != l.contentKey(messages[i]) {", "if a != nil && l.contentKey(a.Message) != l.contentKey(messages[i]) && false {"),
		held:  []check{test("./relayer/flow", "TestAnApprovalOfSomethingElseExecutesNothing", "")},
	},
	{
		guard: bounded, where: "an approval is of what the leg may carry",
		edits: edit(legs, "ok && l.hears(a.Message) {", "ok {"),
		held:  []check{test("./relayer/flow", "TestWhatAxelarApprovesIsKnownByItsContent", "")},
	},
}
