// Package config reads settings: defaults, then one YAML file, then environment variables.
//
// It knows no setting: each part of the program has a typed struct with its own defaults and its own validation, and
// the program puts them together. A key that no struct has is an error, so a misspelt setting fails at start.
package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"

	"github.com/rolebridge/rolebridge/internal/strictyaml"
)

// EnvPrefix opens the environment variables that are settings. The rest of the name is the path in upper case with two
// underscores between its parts: ROLEBRIDGE_KAFKA__BROKERS is kafka.brokers. Lists are separated by commas.
const EnvPrefix = "ROLEBRIDGE_"

// envSeparator stands between the parts of a path, since single underscores are in the parts themselves.
const envSeparator = "__"

// notSettings are variables with our prefix that are no settings: the command line's own, those of the
// examples in docs/, and those of tests.
var notSettings = []string{"URL", "KEY", "SECRET", "ENVIRONMENT", "CONTEXT", "CLI_CONFIG", "CONFIG", "OPERATIONS_URL", "ORGANIZATION", "CACHE", "ACTOR", "PREFIX"}

// Load overlays into, which holds the defaults, with the YAML file at path (none when empty) and then with the variables
// of environ. Faults of all keys are reported at once.
func Load(path string, environ []string, into any) error {
	k := koanf.New(".")
	if path != "" {
		if err := k.Load(file.Provider(path), one{yaml.Parser()}); err != nil {
			return fmt.Errorf("settings %s: %w", path, err)
		}
	}
	err := k.Load(env.Provider(".", env.Opt{
		Prefix:      EnvPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			name = strings.TrimPrefix(name, EnvPrefix)
			if slices.Contains(notSettings, name) || strings.HasPrefix(name, "TEST_") {
				return "", nil
			}
			return strings.ToLower(strings.ReplaceAll(name, envSeparator, ".")), value
		},
	}), nil)
	if err != nil {
		return fmt.Errorf("settings of the environment: %w", err)
	}
	err = k.UnmarshalWithConf("", into, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		Result: into, TagName: "koanf", ErrorUnused: true, WeaklyTypedInput: true,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(
			mapstructure.StringToTimeDurationHookFunc(),
			mapstructure.StringToSliceHookFunc(","),
			mapstructure.TextUnmarshallerHookFunc(),
		),
	}})
	if err != nil {
		return explain(err)
	}
	return nil
}

// one is a parser of files of one document.
type one struct{ koanf.Parser }

func (p one) Unmarshal(text []byte) (map[string]any, error) {
	if err := strictyaml.Single(text); err != nil {
		return nil, err
	}
	return p.Parser.Unmarshal(text)
}

// explain makes one line for each fault of the decoder.
func explain(err error) error {
	var many interface{ WrappedErrors() []error }
	if !errors.As(err, &many) {
		return fmt.Errorf("settings: %w", err)
	}
	faults := make([]error, 0, len(many.WrappedErrors()))
	for _, e := range many.WrappedErrors() {
		faults = append(faults, fmt.Errorf("settings: %w", e))
	}
	return errors.Join(faults...)
}
