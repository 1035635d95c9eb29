package main

import (
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is what the build says: the module's version, else the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "devel"
}

func newVersion(s streams) *cobra.Command {
	out := format("")
	c := &cobra.Command{
		Use: "version", Short: "Print the version.", Args: exactly(0),
		RunE: func(*cobra.Command, []string) error {
			return out.tell(s.out, map[string]string{"version": version()}, "rolebridge %s", version())
		},
	}
	out.flag(c)
	return c
}
