package fake

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
)

// Lie changes the result that a method is answered with.
type Lie func(method string, result json.RawMessage) json.RawMessage

// Proxy passes JSON-RPC on to a real node, single requests and batches, and lies
// about the answers.
type Proxy struct {
	server *httptest.Server
	mu     sync.Mutex
	to     string
	lie    Lie
	handle http.HandlerFunc
}

// NewProxy starts one that tells the truth. It stops with the test.
func NewProxy(t TB, to string) *Proxy {
	t.Helper()
	p := &Proxy{to: to}
	p.server = httptest.NewServer(p)
	t.Cleanup(p.server.Close)
	return p
}

// URL is where it listens.
func (p *Proxy) URL() string { return p.server.URL }

// Lie changes results from now on; nil: it tells the truth again.
func (p *Proxy) Lie(lie Lie) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lie = lie
}

// Instead answers all requests by a handler; nil: the node answers again.
func (p *Proxy) Instead(h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handle = h
}

// MoveTo ends all connections; the next ones lead to another node.
func (p *Proxy) MoveTo(url string) {
	p.mu.Lock()
	p.to = url
	p.mu.Unlock()
	p.server.CloseClientConnections()
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	to, lie, handle := p.to, p.lie, p.handle
	p.mu.Unlock()
	asked, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if handle != nil {
		handle(w, r)
		return
	}
	resp, err := http.Post(to, "application/json", bytes.NewReader(asked))
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	answered, err := io.ReadAll(resp.Body)
	if err != nil {
		return
	}
	if lie != nil {
		answered = lie.apply(asked, answered)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answered)
}

// message is a question or an answer.
type message struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

// apply finds for each answer the method that was asked for.
func (lie Lie) apply(asked, answered []byte) []byte {
	var questions, answers []message
	single := json.Unmarshal(asked, &questions) != nil
	if single {
		questions, answers = make([]message, 1), make([]message, 1)
		if json.Unmarshal(asked, &questions[0]) != nil || json.Unmarshal(answered, &answers[0]) != nil {
			return answered
		}
	} else if json.Unmarshal(answered, &answers) != nil {
		return answered
	}
	methods := map[string]string{}
	for _, q := range questions {
		methods[string(q.ID)] = q.Method
	}
	for i := range answers {
		if len(answers[i].Result) > 0 {
			answers[i].Result = lie(methods[string(answers[i].ID)], answers[i].Result)
		}
	}
	var out []byte
	if single {
		out, _ = json.Marshal(answers[0])
	} else {
		out, _ = json.Marshal(answers)
	}
	return out
}

// LieText changes the result of a method as text.
func LieText(method string, edit func(result string) string) Lie {
	return func(m string, raw json.RawMessage) json.RawMessage {
		if m != method {
			return raw
		}
		return json.RawMessage(edit(string(raw)))
	}
}

// LieList changes the list that a method is answered with.
func LieList(method string, edit func([]map[string]any) []map[string]any) Lie {
	return func(m string, raw json.RawMessage) json.RawMessage {
		var l []map[string]any
		if m != method || json.Unmarshal(raw, &l) != nil {
			return raw
		}
		out, _ := json.Marshal(edit(l))
		return out
	}
}

// LieObject changes the object that a method is answered with.
func LieObject(method string, edit func(map[string]any)) Lie {
	return func(m string, raw json.RawMessage) json.RawMessage {
		var o map[string]any
		if m != method || json.Unmarshal(raw, &o) != nil || o == nil {
			return raw
		}
		edit(o)
		out, _ := json.Marshal(o)
		return out
	}
}
