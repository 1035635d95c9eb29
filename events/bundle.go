package events

import (
	_ "embed"
	"slices"
)

//go:embed schemas.json
var bundle []byte

// SchemaBundle returns all of [Schemas] as one JSON Schema (draft 2020-12) that describes records as CloudEvents in structured
// mode: its root any of them, its $defs those of each topic (commands, results, events, audit), the data of each type under the
// type's name, and what those share. docs/generate makes it.
func SchemaBundle() []byte { return slices.Clone(bundle) }
