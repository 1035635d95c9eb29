package events

import (
	_ "embed"
	"slices"
)

//go:embed asyncapi.yaml
var asyncapi []byte

// AsyncAPI returns the published description of the topics and of all that is on them, an AsyncAPI 3 document in YAML. Its
// references are relative to the folder that holds schemas/, which [Schemas] returns.
func AsyncAPI() []byte { return slices.Clone(asyncapi) }
