package main

import (
	"fmt"
	"net/url"
	"strconv"
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

// redact hides whatever in a URL may be a secret: user info, path, query and
// fragment; all of a text that is no URL, since nobody knows what it holds.
func redact(raw string) string {
	if raw == "" {
		return ""
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return "xxxxx"
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host}
	if u.User != nil {
		shown.User = url.User("xxxxx")
	}
	if db := strings.TrimPrefix(u.Path, "/"); db != "" {
		shown.Path = "/xxxxx"
		if _, err := strconv.ParseUint(db, 10, 16); err == nil && strings.HasPrefix(u.Scheme, "redis") {
			shown.Path = u.Path // the number of a database
		}
	}
	if u.RawQuery != "" {
		shown.RawQuery = "xxxxx"
	}
	return shown.String()
}
