package store_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/causeway-bridge/causeway/store/volatile"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// server is a Redis to test against.
type server interface {
	URL() string
	Client() *redis.Client
}

// standIn is the Redis in memory of a devnet.
type standIn struct{ *volatile.Server }

func (s standIn) Client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: s.Addr(), Protocol: 2, DisableIdentity: true, PoolSize: 4})
}

func startStandIn(t testing.TB) standIn {
	t.Helper()
	s, err := volatile.Start(0)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return standIn{s}
}

// forgets says whether a server must be allowed to.
func forgets(s server) bool { _, ok := s.(standIn); return ok }

const again = "TestTheStandInBehavesAsRedisDoes"

// redisFor is a redis-server, and the stand-in for the tests that run again.
func redisFor(t *testing.T) server {
	t.Helper()
	if strings.HasPrefix(t.Name(), again+"/") {
		return startStandIn(t)
	}
	return storetest.StartRedis(t)
}

// beside lets the longest tests, which wait for disks and processes, go side by
// side.
func beside(t *testing.T) {
	if !strings.HasPrefix(t.Name(), again+"/") {
		t.Parallel()
	}
}

// TestTheStandInBehavesAsRedisDoes runs every test of behaviour a second time.
func TestTheStandInBehavesAsRedisDoes(t *testing.T) {
	beside(t)
	tests := []func(*testing.T){
		TestATransferWalksItsStepsToTheEnd,
		TestTheScriptsDoWhatTheModelDoes,
		TestACursorMovesOnlyFromWhereItIs,
		TestBigNumbersAreNotRounded,
		TestWhatCannotBeStoredIsRefusedWhole,
		TestAFactWaitsForItsTransfers,
		TestATransferNeverGoesBack,
		TestEightFactsAreKeptPerKey,
		TestAStrictLaneGoesInOrderAndItsHeadBlocks,
		TestABatchIsOfOneRouteAndStep,
		TestALooseLaneStepsRoundWhoIsNotDue,
		TestPoisonIsParkedAloneInALooseLane,
		TestNobodyPassesWhoWaitsInTheMiddleOfAStrictLane,
		TestAStrictHeadBacksOffAndIsNeverParked,
		TestAZombieWritesNothing,
		TestALaneThatWentToAnotherWhileAReplyWasLostIsTheOthers,
		TestAVerdictOnAStrangerIsRefused,
		TestLostRepliesChangeNothing,
		TestAParkedTransferStaysUntilSomebodySaysOtherwise,
		TestAPausedLaneIsNotClaimed,
		TestWorkersNeverShareALaneNorPassItsHead,
		TestABigBacklogDoesNotKeepOtherLanesFromTheirTurn,
		TestAFactToldTwiceIsOneFact,
		TestTheFactsOfARangeAreReadInOrderOfHeightsSharedOnesToo,
		TestARunEndsBeforeWhoIsNotDue,
		TestANonceIsNeverGivenTwice,
		TestAKeyHasOneUndecidedIntent,
		TestAMemberRidesInOneUndecidedTransaction,
		TestAMemberThatLeftItsStepStaysOut,
		TestTooManyInFlightIsBusy,
		TestAnIntentComesBackAsItWas,
		TestADecidedIntentStaysDecided,
		TestAManagerThatReadTooEarlyDoesNotUnsign,
		TestAReplayPutsBackOnlyWhatIsMissing,
		TestAPayloadThatRedisLostIsNeverSignedAsAnother,
		TestATransferIsFoundByWhateverNamesIt,
		TestListsPageThroughEverythingNewestFirst,
		TestHiddenTransfersOnTopTakeNoPlaceInAPage,
		TestOneListLooksAtABoundedNumberOfRows,
		TestStatsCountEveryTransferOnce,
		TestAuditPutsBackWhatALostKeyTook,
		TestALostTransferIsNotWorkedOnUntilARescanBringsItBack,
		TestANonceIsNotGivenTwiceEvenWhenTheSetOfNoncesIsLost,
		TestTheAuditOfALongHistoryRestsBetweenItsPages,
		TestPruneForgetsWhatEndedLongAgoAndNothingElse,
		TestTheJournalTellsEveryChange,
		TestAProposalIsUpOnceAndNeverChanges,
		TestASignatureIsKeptForItsSignerAlone,
		TestWhatCannotBeAProposalIsRefused,
		TestProposalsComeInPagesOldestFirst,
		TestNoMoreThanAThousandProposalsAreUp,
		TestWhatAStrangerWritesIntoTheProposalsIsLeftOut,
	}
	var names []string
	for _, f := range tests {
		name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
		name = name[strings.LastIndex(name, ".")+1:]
		names = append(names, name)
		t.Run(name, f)
	}

	// None is left out: the sources say which tests take either server.
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	found := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?ms)^func (Test\w+)\(t \*testing\.T\) \{\n(.*?)^\}`).FindAllStringSubmatch(string(raw), -1) {
			if m[1] != again && strings.Contains(m[2], "redisFor(t)") {
				found++
				require.True(t, slices.Contains(names, m[1]), "%s is not run on the stand-in", m[1])
			}
		}
	}
	require.Len(t, names, found)
}
