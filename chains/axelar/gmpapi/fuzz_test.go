package gmpapi

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Every decoder of what the service says either refuses it or reads it so that
// what depends on it holds. The seeds run in every plain go test.

func FuzzDecodeTask(f *testing.F) {
	good, _ := item(f)
	for _, s := range []string{good, "", "{}", "null", `{"id":"01924dc4-698e-7ad2-9f9b-0bad962771ef"}`, good[:len(good)/2],
		strings.Replace(good, `"amount":"100"`, `"amount":"100","amount":"1"`, 1), strings.Replace(good, "{", strings.Repeat(`{"a":`, 40), 1)} {
		f.Add([]byte(s))
	}
	for kind, both := range contents(f) {
		raw, err := json.Marshal(map[string]any{"id": uuid.UUID{1}, "chain": chainName, "timestamp": "2026-01-01T00:00:00Z", "type": kind, "task": both.json,
			"meta": map[string]any{"scopedMessages": []any{map[string]any{"sourceChain": "a", "messageID": "b"}}, "sourceContext": map[string]any{"a": "b"}}})
		require.NoError(f, err)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		task, err := DecodeTask(chainName, b)
		if err != nil {
			return
		}
		require.NotEqual(t, uuid.Nil, task.ID)
		require.Equal(t, string(b), string(task.Raw))
		require.NotNil(t, task.Content)
		again, err := DecodeTask(chainName, task.Raw)
		require.NoError(t, err)
		require.Equal(t, task.ID, again.ID)
		var message Message
		switch c := task.Content.(type) {
		case Broken:
			require.ErrorIs(t, c.Err, ErrAnswer)
			return
		case Unknown:
			return
		case GatewayTx:
			require.True(t, len(c.Command.Approve) > 0 != (c.Command.Rotate != nil))
			return
		case Verify:
			message = c.Message
			require.NotEmpty(t, c.Payload)
		case ConstructProof:
			message = c.Message
			require.NotEmpty(t, c.Payload)
		case Execute:
			message = c.Message
			require.NotEmpty(t, c.Payload)
			require.LessOrEqual(t, c.AvailableGas.Amount.BitLen(), 256)
		case Refund:
			message = c.Message
			require.GreaterOrEqual(t, c.RemainingGas.Amount.Sign(), 0)
			require.NotEmpty(t, c.Recipient)
		}
		require.NoError(t, message.check())
		require.True(t, strings.EqualFold(chainName, task.Chain))
	})
}

func FuzzDecodeTasks(f *testing.F) {
	good, _ := item(f)
	for _, s := range []string{`{"tasks":[` + good + `]}`, `{"tasks":[` + good + `,` + good + `]}`, `{"tasks":[]}`, `{"tasks":null}`, `{}`, `[]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if checkJSON(b, 32) != nil {
			return
		}
		tasks, err := decodeTasks(b, chainName)
		if err != nil {
			return
		}
		acted := map[uuid.UUID]int{}
		for _, task := range tasks {
			if _, broken := task.Content.(Broken); !broken {
				acted[task.ID]++
			}
			require.LessOrEqual(t, acted[task.ID], 1, "one id, two contents")
		}
	})
}

func FuzzDecodeResults(f *testing.F) {
	for _, s := range []string{`{"results":[{"status":"ACCEPTED","index":1},{"status":"ERROR","index":0,"error":"x","retriable":true}]}`, `{"results":[]}`, `{}`,
		`{"results":[{"status":"ACCEPTED","index":18446744073709551615},{"status":"ACCEPTED","index":0}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if checkJSON(b, 32) != nil {
			return
		}
		if out, err := decodeResults(b, 2); err == nil {
			require.Len(t, out, 2)
			for _, r := range out {
				require.False(t, r.Accepted && (r.Retriable || r.Error != ""))
			}
		}
	})
}

func FuzzDecodeEvent(f *testing.F) {
	for _, e := range samples() {
		raw, err := EncodeEvent(e)
		require.NoError(f, err)
		f.Add(raw)
	}
	f.Add([]byte(`{"type":"CALL"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEvent(b)
		if err != nil {
			return
		}
		again, err := EncodeEvent(e)
		require.NoError(t, err)
		require.Equal(t, string(b), string(again))
		require.NoError(t, e.check())
	})
}

func FuzzDecodeBroadcast(f *testing.F) {
	f.Add([]byte(`{"status":"SUCCESS","receivedAt":"2026-01-01T00:00:00Z","completedAt":"2026-01-01T00:00:01Z","txHash":"AB","txEvents":[]}`))
	f.Add([]byte(`{"status":"ERROR","receivedAt":"2026-01-01T00:00:00Z","error":"x\ny"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if checkJSON(b, 32) != nil {
			return
		}
		if got, err := decodeBroadcast(b); err == nil {
			require.Contains(t, []string{BroadcastReceived, BroadcastSuccess, BroadcastError}, got.State)
			require.NotContains(t, got.Error, "\n")
		}
	})
}

func FuzzSaid(f *testing.F) {
	f.Add([]byte(`{"error":"x","requestID":"y"}`))
	f.Add([]byte(`{"error":"\u0000\u202e","requestID":5}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		reason, request := said(b)
		for _, s := range []string{reason, request} {
			require.LessOrEqual(t, len([]rune(s)), 301)
			require.Equal(t, s, printable(s))
		}
	})
}
