package gmpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/ethereum/go-ethereum/common"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestTasksOfEveryTypeAreRead(t *testing.T) {
	s, c := serve(t)
	var ids []uuid.UUID
	var want []Content
	for kind, both := range contents(t) {
		ids = append(ids, s.Give(chainName, string(kind), map[string]any{"scopedMessages": []any{map[string]any{"sourceChain": "axelar", "messageID": "0x0a-1"}},
			"sourceContext": map[string]any{"a": "b"}, "sourceChainSenderContractAddress": "0x01", "fromAddress": nil, "new": []any{}}, both.json))
		want = append(want, both.want)
	}
	tasks, err := c.Tasks(t.Context(), uuid.Nil, MaxTasks)
	require.NoError(t, err)
	require.Len(t, tasks, len(ids))
	for i, task := range tasks {
		require.Equal(t, ids[i], task.ID)
		require.Equal(t, want[i], task.Content, task.Type)
		require.Equal(t, chainName, task.Chain)
		require.False(t, task.Time.IsZero())
		require.Equal(t, TaskMeta{Scope: []CrossChainID{{"axelar", "0x0a-1"}}, SenderAddress: "0x01", SourceContext: map[string]string{"a": "b"}}, task.Meta)
		// What is journaled is read again as the same task.
		back, err := DecodeTask(chainName, task.Raw)
		require.NoError(t, err)
		require.Equal(t, task, back)
		one, err := c.Task(t.Context(), task.ID)
		require.NoError(t, err)
		require.Equal(t, task.Content, one.Content)
	}
	after, err := c.Tasks(t.Context(), ids[1], 2)
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{ids[2], ids[3]}, []uuid.UUID{after[0].ID, after[1].ID})
	none, err := c.Tasks(t.Context(), ids[len(ids)-1], 2)
	require.NoError(t, err)
	require.Empty(t, none)

	_, err = c.Task(t.Context(), uuid.UUID{1})
	require.ErrorIs(t, err, ErrNotFound)
	require.ErrorIs(t, err, ErrRefused)
	for _, limit := range []int{0, -1, MaxTasks + 1} {
		_, err := c.Tasks(t.Context(), uuid.Nil, limit)
		require.ErrorIs(t, err, ErrRefused)
	}
}

func TestTasksOfUnknownTypesAreKeptAsTheyAre(t *testing.T) {
	s, c := serve(t)
	bodies := map[string]any{
		string(TaskReactToWasmEvent): map[string]any{"height": 5, "event": map[string]any{"type": "wasm-quorum_reached", "attributes": []any{map[string]any{"key": "a", "value": "b"}}}},
		string(TaskReactToExpiredSession): map[string]any{"sessionID": uint64(1) << 63, "broadcastID": uuid.New(), "invokedContractAddress": "axelar1x",
			"requestPayload": `{"construct_proof":{}}`},
		string(TaskReactToRetriablePoll): map[string]any{"pollID": 1742631, "broadcastID": uuid.New(), "invokedContractAddress": "axelar1x",
			"requestPayload": map[string]any{}, "quorumReachedEvents": []any{map[string]any{"status": "NOT_FOUND_ON_SOURCE_CHAIN", "content": []any{1}}}},
		"SOMETHING_NEW": []any{map[string]any{"x": nil}},
		" VERIFY ":      "text",
	}
	kinds := map[uuid.UUID]string{}
	for kind, b := range bodies {
		kinds[s.Give(chainName, kind, nil, b)] = kind
	}
	tasks, err := c.Tasks(t.Context(), uuid.Nil, 20)
	require.NoError(t, err)
	require.Len(t, tasks, len(bodies))
	for _, task := range tasks {
		want, err := json.Marshal(bodies[kinds[task.ID]])
		require.NoError(t, err)
		require.IsType(t, Unknown{}, task.Content, task.Type)
		require.JSONEq(t, string(want), string(task.Content.(Unknown).Body))
		require.Contains(t, string(task.Raw), task.ID.String())
	}
	raw := fmt.Sprintf(`{"id":%q,"chain":"filecoin","timestamp":"2026-01-01T00:00:00Z","type":"NO_BODY"}`, uuid.New())
	task, err := DecodeTask(chainName, []byte(raw))
	require.NoError(t, err)
	require.Equal(t, Unknown{}, task.Content)
}

// loose is the same base64 of 32 bytes, written another way.
func loose(s string) string {
	b := []byte(s)
	b[len(b)-2]++ // the last two bits of the last character count for nothing
	return string(b)
}

// item is a good EXECUTE task as text, to spoil.
func item(t testing.TB) (string, uuid.UUID) {
	payload := []byte{1, 2, 3}
	id := uuid.MustParse("01924dc4-698e-7ad2-9f9b-0bad962771ef")
	raw, err := json.Marshal(map[string]any{"id": id, "chain": chainName, "timestamp": "2026-01-01T00:00:00Z", "type": "EXECUTE", "meta": map[string]any{},
		"task": map[string]any{"message": messageJSON(hubMessage(1, payload)), "payload": b64(payload), "availableGasBalance": map[string]any{"amount": "100"}}})
	require.NoError(t, err)
	return string(raw), id
}

func TestATaskThatCannotBeActedUponIsBrokenAndKept(t *testing.T) {
	good, id := item(t)
	task, err := DecodeTask(chainName, []byte(good))
	require.NoError(t, err)
	require.IsType(t, Execute{}, task.Content)
	upper, err := DecodeTask("FileCoin", []byte(good))
	require.NoError(t, err)
	require.IsType(t, Execute{}, upper.Content, "parts of Axelar write names in lower case")

	hash := hubMessage(1, []byte{1, 2, 3}).PayloadHash
	swap := func(old, new string) string {
		require.Contains(t, good, old)
		return strings.Replace(good, old, new, 1)
	}
	for what, bad := range map[string]string{
		"another chain":               swap(`"chain":"filecoin"`, `"chain":"ethereum"`),
		"no chain":                    swap(`"chain":"filecoin",`, ``),
		"no type":                     swap(`"type":"EXECUTE"`, `"type":""`),
		"a type that is no text":      swap(`"type":"EXECUTE"`, `"type":7`),
		"no time":                     swap(`"2026-01-01T00:00:00Z"`, `"yesterday"`),
		"meta that is no object":      swap(`"meta":{}`, `"meta":[]`),
		"a scope that is no list":     swap(`"meta":{}`, `"meta":{"scopedMessages":{}}`),
		"a scope without a message":   swap(`"meta":{}`, `"meta":{"scopedMessages":[{"sourceChain":"a"}]}`),
		"context that is no text":     swap(`"meta":{}`, `"meta":{"sourceContext":{"a":1}}`),
		"no content":                  swap(`"task":`, `"other":`),
		"content that is null":        swap(`"task":{`, `"task":null,"other":{`),
		"content twice":               swap(`"task":`, `"task":{},"task":`),
		"meta twice":                  swap(`"meta":{}`, `"meta":{},"meta":{}`),
		"something unknown twice":     swap(`"meta":{}`, `"meta":{},"new":1,"new":2`),
		"no message":                  swap(`"message":`, `"massage":`),
		"a name in other letters":     swap(`"messageID":`, `"messageId":`),
		"an empty id":                 swap(`"messageID":"0x01`, `"messageID":"","x":"`),
		"payload of another hash":     swap(b64([]byte{1, 2, 3}), b64([]byte{1, 2, 4})),
		"payload that is no base64":   swap(b64([]byte{1, 2, 3}), "AQI"),
		"payload in lines":            swap(b64([]byte{1, 2, 3}), `AQ\nID`),
		"no payload":                  swap(b64([]byte{1, 2, 3}), ""),
		"another hash":                swap(b64(hash[:]), b64(common.Hash{1}.Bytes())),
		"a hash of 31 bytes":          swap(b64(hash[:]), b64(hash[:31])),
		"a hash with a loose end":     swap(b64(hash[:]), loose(b64(hash[:]))),
		"half a character":            swap(`"sourceAddress":"axelar1hub"`, `"sourceAddress":"axelar1\ud800hub"`),
		"an address without end":      swap(`axelar1hub`, strings.Repeat("a", maxText+1)),
		"no balance":                  swap(`"amount":"100"`, `"amont":"100"`),
		"a balance that is a number":  swap(`"100"`, `100`),
		"a balance with a point":      swap(`"100"`, `"100.0"`),
		"a balance with an exponent":  swap(`"100"`, `"1e2"`),
		"a balance with a zero":       swap(`"100"`, `"0100"`),
		"a balance with a plus":       swap(`"100"`, `"+100"`),
		"a balance with a space":      swap(`"100"`, `" 100"`),
		"a balance in hex":            swap(`"100"`, `"0x64"`),
		"minus nothing":               swap(`"100"`, `"-0"`),
		"an empty balance":            swap(`"100"`, `""`),
		"a balance beyond a uint256":  swap(`"100"`, `"`+strings.Repeat("9", 78)+`"`),
		"a balance without end":       swap(`"100"`, `"`+strings.Repeat("9", 10_000)+`"`),
		"a balance twice":             swap(`"amount":"100"`, `"amount":"100","amount":"1000"`),
		"a token that is no text":     swap(`"amount":"100"`, `"amount":"100","tokenID":5`),
		"a token with an empty name":  swap(`"amount":"100"`, `"amount":"100","tokenID":""`),
		"a message that is a list":    strings.Replace(swap(`"message":{`, `"message":[{`), `},"payload"`, `}],"payload"`, 1),
		"a gateway call that is none": strings.Replace(swap(`"EXECUTE"`, `"GATEWAY_TX"`), `"task":{`, `"task":{"executeData":"AQIDBA==",`, 1),
		"no gateway call":             swap(`"EXECUTE"`, `"GATEWAY_TX"`),
		"a refund for nobody":         swap(`"EXECUTE"`, `"REFUND"`),
		"a verification of nowhere":   swap(`"EXECUTE"`, `"VERIFY"`),
	} {
		task, err := DecodeTask(chainName, []byte(bad))
		require.NoError(t, err, what)
		require.Equal(t, id, task.ID, what)
		require.Equal(t, bad, string(task.Raw), what)
		require.IsType(t, Broken{}, task.Content, what)
		require.ErrorIs(t, task.Content.(Broken).Err, ErrAnswer, what)
	}
	for what, fine := range map[string]string{
		"a field more":         swap(`"task":{`, `"task":{"new":[1,{"a":null}],`),
		"a field more outside": swap(`"chain":`, `"priority":1.5e3,"chain":`),
		"no meta":              swap(`"meta":{},`, ``),
		"meta that is null":    swap(`"meta":{}`, `"meta":null`),
		"scope that is null":   swap(`"meta":{}`, `"meta":{"scopedMessages":null,"sourceContext":null}`),
		"a token of its own":   swap(`"amount":"100"`, `"amount":"100","tokenID":"0x01"`),
		"token null":           swap(`"amount":"100"`, `"amount":"100","tokenID":null`),
		"a negative balance":   swap(`"100"`, `"-100"`),
		"parts of a second":    swap(`00:00:00Z`, `00:00:00.123456Z`),
	} {
		task, err := DecodeTask(chainName, []byte(fine))
		require.NoError(t, err, what)
		require.IsType(t, Execute{}, task.Content, what)
	}
	back := strings.Replace(swap(`"EXECUTE"`, `"REFUND"`), `"availableGasBalance"`, `"refundRecipientAddress":"0x01","remainingGasBalance"`, 1)
	task, err = DecodeTask(chainName, []byte(back))
	require.NoError(t, err)
	require.IsType(t, Refund{}, task.Content)
	task, err = DecodeTask(chainName, []byte(strings.Replace(back, `"100"`, `"-1"`, 1)))
	require.NoError(t, err)
	require.IsType(t, Broken{}, task.Content, "a negative refund")
}

func TestATaskWithoutAnIDStopsThePage(t *testing.T) {
	good, id := item(t)
	for what, bad := range map[string]string{
		"no id": strings.Replace(good, `"id"`, `"ID"`, 1), "an id that is none": strings.Replace(good, id.String(), "1", 1),
		"the zero id": strings.Replace(good, id.String(), uuid.Nil.String(), 1), "an id in brackets": strings.Replace(good, id.String(), "{"+id.String()+"}", 1),
		"two ids": strings.Replace(good, "{", `{"id":"`+id.String()+`",`, 1), "no object": `[]`, "null": "null",
		"too deep": strings.Replace(good, `"meta":{}`, `"meta":`+strings.Repeat("[", 40)+strings.Repeat("]", 40), 1),
	} {
		_, err := DecodeTask(chainName, []byte(bad))
		require.Error(t, err, what)
		_, err = decodeTasks([]byte(`{"tasks":[`+bad+`]}`), chainName)
		require.Error(t, err, what)
	}
	for what, bad := range map[string]string{"nothing": `{}`, "null": `{"tasks":null}`, "an object": `{"tasks":{}}`, "a list": `[]`, "twice": `{"tasks":[],"tasks":[]}`} {
		_, err := decodeTasks([]byte(bad), chainName)
		require.ErrorIs(t, err, ErrAnswer, what)
	}
}

func TestATaskAskedForByItsIDIsThatOne(t *testing.T) {
	good, id := item(t)
	answer := func(text string) *Client {
		return clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, text)
		}))
	}
	task, err := answer(`{"task":`+good+`}`).Task(t.Context(), id)
	require.NoError(t, err)
	require.IsType(t, Execute{}, task.Content)
	_, err = answer(`{"task":`+good+`}`).Task(t.Context(), uuid.UUID{1})
	require.ErrorIs(t, err, ErrAnswer, "another task")
	for _, bad := range []string{`{}`, `{"task":null}`, `{"task":{}}`, `{"tasks":[]}`} {
		_, err := answer(bad).Task(t.Context(), id)
		require.ErrorIs(t, err, ErrAnswer, bad)
	}
}

func TestATaskTwiceIsOneAndTwoUnderOneIDAreNot(t *testing.T) {
	good, id := item(t)
	spaced := strings.Replace(good, `":`, `" :  `, 3)
	other := strings.Replace(good, `"100"`, `"1000"`, 1)
	page := func(items ...string) []Task {
		tasks, err := decodeTasks([]byte(`{"tasks":[`+strings.Join(items, ",")+`]}`), chainName)
		require.NoError(t, err)
		return tasks
	}
	require.Len(t, page(good, good, spaced), 1)
	both := page(good, other, good)
	require.Len(t, both, 2)
	require.IsType(t, Execute{}, both[0].Content)
	require.IsType(t, Broken{}, both[1].Content, "neither content may stand in for the other")
	require.Equal(t, id, both[1].ID)
}

func TestAMessageBecomesOneThatAGatewayKnows(t *testing.T) {
	m := hubMessage(1, []byte{1})
	wire := MessageOf(m)
	back, err := wire.Axelar()
	require.NoError(t, err)
	require.Equal(t, m, back)
	require.Equal(t, CrossChainID{"axelar", m.ID}, wire.CrossChainID())
	for what, address := range map[string]string{"lower case": strings.ToLower(m.Contract.Hex())} {
		w := wire
		w.DestinationAddress = address
		got, err := w.Axelar()
		require.NoError(t, err, what)
		require.Equal(t, m, got)
	}
	for what, change := range map[string]func(*Message){
		"a wrong checksum":   func(m *Message) { m.DestinationAddress = strings.Replace(m.DestinationAddress, "B5", "b5", 1) },
		"no prefix":          func(m *Message) { m.DestinationAddress = m.DestinationAddress[2:] },
		"upper case":         func(m *Message) { m.DestinationAddress = strings.ToUpper(m.DestinationAddress) },
		"too short":          func(m *Message) { m.DestinationAddress = m.DestinationAddress[:40] },
		"the zero address":   func(m *Message) { m.DestinationAddress = common.Address{}.Hex() },
		"an address on hub":  func(m *Message) { m.DestinationAddress = "axelar1hub" },
		"an id that is none": func(m *Message) { m.ID = "0x01-01" },
		"a chain with a _":   func(m *Message) { m.SourceChain = "a_b" },
		"no hash":            func(m *Message) { m.PayloadHash = Hash{} },
	} {
		w := wire
		change(&w)
		_, err := w.Axelar()
		require.ErrorIs(t, err, axelar.ErrMessage, what)
	}
}

func TestWhatIsNoBase64IsRefusedEverywhere(t *testing.T) {
	for _, bad := range []string{`5`, `null`, `"AQI"`, `"AQ=="x`, `"AQ\n=="`, `"AR=="`, `"@"`} {
		var b Bytes
		require.Error(t, b.UnmarshalJSON([]byte(bad)), bad)
		var h Hash
		require.Error(t, h.UnmarshalJSON([]byte(bad)), bad)
	}
	var b Bytes
	require.NoError(t, b.UnmarshalJSON([]byte(`""`)))
	require.Empty(t, b)
	var h Hash
	require.ErrorIs(t, h.UnmarshalJSON([]byte(`"AQ=="`)), ErrAnswer)
	raw, err := json.Marshal(Hash{1})
	require.NoError(t, err)
	require.True(t, bytes.Contains(raw, []byte(b64(common.Hash{1}.Bytes()))))
}
