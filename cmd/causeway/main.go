// Causeway is the bridge relayer for a Filecoin-rooted IPC subnet: one program
// that runs the relayer, the subnet's node, a devnet, and every verb of
// operators and users.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// The first signal stops in order, the second one now.
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(exitInterrupted)
	}()
	err := newRoot().ExecuteContext(ctx)
	if err != nil {
		complain(os.Stderr, os.Args[1:], err)
	}
	os.Exit(exitCode(err))
}
