package lotus

import "github.com/filecoin-project/go-jsonrpc"

// coded is an error with a JSON-RPC code of its own.
type coded struct {
	code    int
	message string
}

func (e *coded) Error() string { return e.message }

// ToJSONRPCError is how go-jsonrpc sends it.
func (e *coded) ToJSONRPCError() (jsonrpc.JSONRPCError, error) {
	return jsonrpc.JSONRPCError{Code: jsonrpc.ErrorCode(e.code), Message: e.message}, nil
}

// FromJSONRPCError reads it back.
func (e *coded) FromJSONRPCError(j jsonrpc.JSONRPCError) error {
	e.code, e.message = int(j.Code), j.Message
	return nil
}
