package store

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryKeyOfAScriptIsDocumentedAndEveryDocumentedKeyIsUsed(t *testing.T) {
	used := map[string]bool{"rewritten": true} // by gate.go alone
	for _, s := range []*script{
		scriptOpen, scriptIngest, scriptClaim, scriptExtend, scriptSettle, scriptReap, scriptWake, scriptRetry, scriptDiscard, scriptPause,
		scriptResume, scriptLanes, scriptAudit, scriptAuditRows, scriptAuditLanes, scriptAuditIntents, scriptPrune, scriptPruneIntents,
		scriptAuditOffers, scriptPruneOffers, scriptAuditFacts, scriptQuarantine, scriptAccept,
		scriptReserve, scriptAttempt, scriptUpdate, scriptReplay, scriptIntents, scriptRecovered, scriptPropose, scriptSign, scriptDropProposal,
	} {
		for _, k := range s.keys {
			used[k] = true
		}
	}
	documented := map[string]bool{}
	for _, d := range keyDocs {
		require.False(t, documented[d.Name], d.Name)
		documented[d.Name] = true
	}
	require.Equal(t, documented, used)
	require.Equal(t, "{ns}:jobs", keys{"ns"}.of("jobs"))
}
