package gmp

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const goodCall = `{"type":"CALL","eventID":"0x01-2","meta":{"txID":"0x01","timestamp":"2026-01-01T00:00:00Z","finalized":true,"sourceContext":{"a":"b"}},
"message":{"messageID":"0x01-2","sourceChain":"filecoin","sourceAddress":"0x03","destinationAddress":"axelar1hub","payloadHash":"AQ=="},
"destinationChain":"axelar","payload":""}`

// The stand-in is only worth something where it refuses.
func TestTheSchemaRefusesWhatItDoesNotAllow(t *testing.T) {
	check := func(text string) error { return CheckEvent(decoded([]byte(text))) }
	require.NoError(t, check(goodCall))
	require.NoError(t, check(strings.Replace(goodCall, `"0x01",`, `null,`, 1)))
	require.NoError(t, check(strings.Replace(goodCall, `"payload":""`, `"payload":"","withToken":{"tokenID":"a","amount":"0"}`, 1)))
	for what, c := range map[string][2]string{
		"another type":           {`"CALL"`, `"CALLS"`},
		"no type":                {`"type"`, `"kind"`},
		"a word misspelt":        {`"destinationChain"`, `"destinationchain"`},
		"a word more":            {`"payload":""`, `"payload":"","more":1`},
		"an empty id":            {`"eventID":"0x01-2"`, `"eventID":""`},
		"a number for a text":    {`"sourceChain":"filecoin"`, `"sourceChain":5`},
		"no base64":              {`"AQ=="`, `"0x1"`},
		"an empty hash":          {`"AQ=="`, `""`},
		"null for a payload":     {`"payload":""`, `"payload":null`},
		"null for a time":        {`"2026-01-01T00:00:00Z"`, `null`},
		"no time":                {`"2026-01-01T00:00:00Z"`, `"today"`},
		"a text for a boolean":   {`"finalized":true`, `"finalized":"true"`},
		"a long context":         {`{"a":"b"}`, `{"a":"` + strings.Repeat("x", 1001) + `"}`},
		"a number in a context":  {`{"a":"b"}`, `{"a":1}`},
		"a token without a name": {`"payload":""`, `"payload":"","withToken":{"amount":"0"}`},
		"an amount with a sign":  {`"payload":""`, `"payload":"","withToken":{"tokenID":"a","amount":"-1"}`},
		"an amount with a zero":  {`"payload":""`, `"payload":"","withToken":{"tokenID":"a","amount":"01"}`},
		"a list for an object":   {`"meta":{`, `"meta":[{`},
	} {
		text := strings.Replace(goodCall, c[0], c[1], 1)
		require.NotEqual(t, goodCall, text, what)
		if what == "a list for an object" {
			text = strings.Replace(text, `"b"}}`, `"b"}}]`, 1)
		}
		require.Error(t, check(text), what)
	}
	require.Error(t, check(`[]`))
	require.NoError(t, cost("cost", decoded([]byte(`[{"id":"a","token":{"amount":"1"}}]`))))
	require.Error(t, cost("cost", decoded([]byte(`[{"id":"a"}]`))))
	require.NoError(t, CheckTask("GATEWAY_TX", decoded([]byte(`{"executeData":"AQ=="}`))))
	require.Error(t, CheckTask("GATEWAY_TX", decoded([]byte(`{"executeData":""}`))))
	require.Error(t, CheckTask("GATEWAY", decoded([]byte(`{}`))))
	require.NoError(t, CheckTask("REACT_TO_WASM_EVENT", decoded([]byte(`{"height":5,"event":{"type":"a","attributes":[]}}`))))
	require.Error(t, CheckTask("REACT_TO_WASM_EVENT", decoded([]byte(`{"height":-5,"event":{"type":"a","attributes":[]}}`))))
	require.Error(t, CheckTask("REACT_TO_EXPIRED_SIGNING_SESSION", decoded([]byte(`{"sessionID":1,"broadcastID":"x","invokedContractAddress":"a","requestPayload":{}}`))))
}

func TestRequestsAreHeldAgainstTheSchema(t *testing.T) {
	srv := httptest.NewServer(New("filecoin"))
	t.Cleanup(srv.Close)
	ask := func(method, path, kind, body string) (int, map[string]any) {
		req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", kind)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		var v map[string]any
		if len(raw) > 0 {
			require.NoError(t, json.Unmarshal(raw, &v), "%s", raw)
		}
		return resp.StatusCode, v
	}
	const contract = "/contracts/axelar1pnynr6wnmchutkv6490mdqqxkz54fnrtmq8krqhvglhsqhmu7wzsnc86sy/"
	many := `{"events":[` + strings.Repeat(goodCall+",", 100) + goodCall + `]}`
	for what, c := range map[string]struct {
		method, path, kind, body string
		status                   int
	}{
		"health":                  {"GET", "/health", "", "", 200},
		"one event":               {"POST", "/chains/filecoin/events", "application/json", `{"events":[` + goodCall + `]}`, 200},
		"another chain":           {"POST", "/chains/Filecoin/events", "application/json", `{"events":[` + goodCall + `]}`, 404},
		"no events":               {"POST", "/chains/filecoin/events", "application/json", `{"events":[]}`, 400},
		"too many":                {"POST", "/chains/filecoin/events", "application/json", many, 400},
		"a list":                  {"POST", "/chains/filecoin/events", "application/json", `[]`, 400},
		"no JSON":                 {"POST", "/chains/filecoin/events", "application/json", `{`, 400},
		"of another type":         {"POST", "/chains/filecoin/events", "text/plain", `{"events":[` + goodCall + `]}`, 400},
		"an event that is none":   {"POST", "/chains/filecoin/events", "application/json", `{"events":[{}]}`, 400},
		"tasks":                   {"GET", "/chains/filecoin/tasks?limit=1", "", "", 200},
		"tasks of another chain":  {"GET", "/chains/x/tasks", "", "", 404},
		"a limit of none":         {"GET", "/chains/filecoin/tasks?limit=0", "", "", 400},
		"after what is no id":     {"GET", "/chains/filecoin/tasks?after=x", "", "", 400},
		"a task that is not":      {"GET", "/chains/filecoin/tasks/x", "", "", 404},
		"a payload as JSON":       {"POST", "/payloads", "application/json", `x`, 400},
		"a payload":               {"POST", "/payloads", "application/octet-stream", `x`, 200},
		"a hash that is none":     {"GET", "/payloads/0x01", "", "", 400},
		"a payload that is not":   {"GET", "/payloads/0x" + strings.Repeat("0", 64), "", "", 404},
		"a broadcast":             {"POST", contract + "broadcasts", "application/json", `{}`, 200},
		"a contract that is none": {"POST", "/contracts/axelar1x/broadcasts", "application/json", `{}`, 400},
		"a broadcast of nothing":  {"POST", contract + "broadcasts", "application/json", ``, 400},
		"a broadcast that is not": {"GET", contract + "broadcasts/x", "", "", 404},
		"a query":                 {"POST", contract + "queries", "application/json", `{}`, 404},
		"another path":            {"GET", "/", "", "", 404},
	} {
		status, said := ask(c.method, c.path, c.kind, c.body)
		require.Equal(t, c.status, status, "%s: %v", what, said)
		if status != 200 {
			require.NotEmpty(t, said["error"], what)
		}
	}
	require.Panics(t, func() { New("filecoin").Give("filecoin", "EXECUTE", nil, map[string]any{}) })
}
