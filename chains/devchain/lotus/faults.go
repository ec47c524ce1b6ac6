package lotus

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxRequest is more than any request needs.
const maxRequest = 4 << 20

// faults stands before the node and answers in its place where the switches
// say so. Requests that turn switches get through.
func (n *Node) faults(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set := n.Switches()
		if r.Header.Get("Upgrade") != "" {
			if set.NoWS {
				http.Error(w, "no", http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
			return
		}
		if set.Body == BodyHonest {
			next.ServeHTTP(w, r)
			return
		}
		raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
		if err != nil {
			return // the client has gone, or sends without end
		}
		ids, hit := struck(raw, set.BodyFor)
		lie := bodies[set.Body]
		if !hit || lie == nil {
			r.Body = io.NopCloser(bytes.NewReader(raw))
			next.ServeHTTP(w, r)
			return
		}
		lie(&victim{Context: r.Context(), w: w, ids: ids, batch: raw[0] == '['})
	})
}

// struck reads the ids of a message and says whether it asks for the method.
func struck(raw []byte, method string) (ids []json.RawMessage, hit bool) {
	type call struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
	}
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return nil, false
	}
	var calls []call
	if raw[0] == '[' {
		if json.Unmarshal(raw, &calls) != nil {
			return nil, false
		}
	} else {
		var one call
		if json.Unmarshal(raw, &one) != nil {
			return nil, false
		}
		calls = []call{one}
	}
	for _, c := range calls {
		if strings.HasPrefix(c.Method, "dev_") || strings.HasPrefix(c.Method, "Filecoin.Dev") {
			return nil, false
		}
		hit = hit || method == "" || c.Method == method
		ids = append(ids, c.ID)
	}
	return ids, hit
}

// victim is a request that gets no answer.
type victim struct {
	context.Context
	w     http.ResponseWriter
	ids   []json.RawMessage
	batch bool
}

// results answers each request with a text in place of a result.
func (v *victim) results(result string) {
	parts := make([]string, len(v.ids))
	for i, id := range v.ids {
		parts[i] = `{"jsonrpc":"2.0","id":` + string(id) + `,"result":` + result + `}`
	}
	text := strings.Join(parts, ",")
	if v.batch {
		text = "[" + text + "]"
	}
	v.write(text)
}

// write sends a text; who does not read it to the end has gone.
func (v *victim) write(text string) bool {
	v.w.Header().Set("Content-Type", "application/json")
	_, err := io.WriteString(v.w, text)
	if f, ok := v.w.(http.Flusher); ok {
		f.Flush()
	}
	return err == nil && v.Err() == nil
}

// bodies is what each Body does.
var bodies = map[Body]func(*victim){
	BodyHTML: func(v *victim) {
		v.w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(v.w, "<!DOCTYPE html><html><body><h1>Bad Gateway</h1></body></html>") // the client may have gone
	},
	BodyHuge: func(v *victim) {
		chunk := strings.Repeat("ab", 512<<10)
		ok := v.write(`{"jsonrpc":"2.0","id":1,"result":"0x`)
		for sent := 0; ok && sent < 2<<30; sent += len(chunk) {
			ok = v.write(chunk)
		}
		v.write(`"}`)
	},
	BodyNested:   func(v *victim) { v.results(strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)) },
	BodyNegative: func(v *victim) { v.results(block("-0x1", "-7")) },
	BodyBig:      func(v *victim) { v.results(block("0x1"+strings.Repeat("0", 65), "1e400")) },
	BodyTwice: func(v *victim) {
		honest := block("0x1", `"0x1"`)
		v.results(honest[:len(honest)-1] + "," + block("0x7fffffff", `"0x7fffffff"`)[1:])
	},
	BodyEmpty: func(v *victim) { v.w.WriteHeader(http.StatusOK) },
	BodyNull:  func(v *victim) { v.results("null") },
	BodyHang:  func(v *victim) { <-v.Done() },
	BodySlow: func(v *victim) {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for v.write(" ") {
			select {
			case <-tick.C:
			case <-v.Done():
				return
			}
		}
	},
	BodyCut: func(v *victim) { v.write(`{"jsonrpc":"2.0","id":1,"resu`) },
	Body429: func(v *victim) {
		v.w.Header().Set("Retry-After", "1")
		http.Error(v.w, "Too Many Requests", http.StatusTooManyRequests)
	},
	Body503: func(v *victim) { http.Error(v.w, "Service Unavailable", http.StatusServiceUnavailable) },
	BodyOtherID: func(v *victim) {
		for i := range v.ids {
			v.ids[i] = json.RawMessage(`987654321`)
		}
		v.results(`"0x1"`)
	},
}

// block is a block whose number and time are given as they stand.
func block(number, bare string) string {
	return `{"number":"` + number + `","timestamp":` + bare + `,"hash":"0x` + strings.Repeat("11", 32) +
		`","parentHash":"0x` + strings.Repeat("22", 32) + `","baseFeePerGas":"` + number + `"}`
}
