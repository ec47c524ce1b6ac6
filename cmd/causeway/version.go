package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/store"
	"github.com/spf13/cobra"
)

func newVersion(g *globals) *cobra.Command {
	var points bool
	c := &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if points {
				return g.print(c, crash.Points(), strings.Join(crash.Points(), "\n"))
			}
			v, commit := build()
			return g.print(c, map[string]any{"version": v, "commit": commit, "store_schema": store.Schema},
				fmt.Sprintf("causeway %s (commit %s, store schema %d)", v, commit, store.Schema))
		},
	}
	c.Flags().BoolVar(&points, "crash-points", false, "list the named crash points of a build with -tags crash")
	return c
}

// redact hides whatever in a URL may be a secret: user info, path and query.
func redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return raw
	}
	if u.User != nil {
		u.User = url.User("***")
	}
	if len(u.Path) > 1 && u.Scheme != "redis" && u.Scheme != "rediss" {
		u.Path = "/***"
	}
	if u.RawQuery != "" {
		u.RawQuery = "***"
	}
	return u.String()
}
