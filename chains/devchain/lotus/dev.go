package lotus

import "github.com/filecoin-project/go-jsonrpc"

func aliasDev(*jsonrpc.RPCServer) {}
