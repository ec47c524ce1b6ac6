package main

import (
	"os"

	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/store/volatile"
	"github.com/spf13/cobra"
)

// newDevredis is the Redis in memory as a process of its own, which can be
// killed like redis-server. It is hidden: `causeway devnet` starts it.
func newDevredis(g *globals) *cobra.Command {
	var port uint32
	var ready string
	c := &cobra.Command{
		Use: "devredis", Short: "Run the devnet's Redis in memory", Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if port > 65535 {
				return usage("--port: 0 to 65535")
			}
			log, err := g.logger(os.Stderr)
			if err != nil {
				return err
			}
			s, err := volatile.Start(int(port))
			if err != nil {
				return err
			}
			log.Warn("this redis forgets everything when it stops")
			if err := home.Announce(ready, redisReady{Redis: s.URL(), Port: s.Port()}); err != nil {
				log.Warn("ready file", "err", err)
			}
			<-c.Context().Done()
			s.Close()
			return nil
		},
	}
	c.Flags().Uint32Var(&port, "port", 0, "port on loopback; 0 lets the kernel choose")
	c.Flags().StringVar(&ready, "ready-file", "", "write the listener's address there once it is open")
	return c
}

type redisReady struct {
	Redis string `json:"redis"`
	Port  int    `json:"port"`
}
