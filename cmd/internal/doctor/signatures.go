package doctor

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/events/signature"
)

// signatures looks whether what these processes write is what their deciders take.
func (p *Patient) signatures(context.Context) ([]Finding, error) {
	decides, writes := slices.Contains(p.Roles, app.Lifecycle), slices.Contains(p.Roles, app.API)
	var key signature.Key
	signs := p.Commands.SigningKeyFile != ""
	if signs {
		var err error
		if key, err = signature.ReadKey(p.Commands.SigningKeyFile); err != nil {
			return one(failure(err.Error(), "Make one with `rolebridge signing-key create`."))
		}
	}
	if !decides || p.Lifecycle.SignersFile == "" {
		if signs {
			return one(ok("commands are signed with key " + key.Public().ID()))
		}
		return one(skipped("commands are not signed here"))
	}
	text, err := os.ReadFile(p.Lifecycle.SignersFile)
	if err != nil {
		return one(failure(err.Error(), "Set lifecycle.signers_file; entries are printed by `rolebridge signing-key create`."))
	}
	signers, err := signature.ParseSigners(text)
	if err != nil {
		return one(failure(errors.Join(errors.New(p.Lifecycle.SignersFile), err).Error(), "Correct the file; running deciders go on with what they read before."))
	}
	name, known := signers.Find(key.Public())
	switch {
	case known && writes && (!signers.Speaks(key.Public(), "u-any") || !signers.Speaks(key.Public(), "sa-any")):
		return one(failure("the api signs as "+name+", which may not act as all its users and service accounts", `Register its key with actors ["*"].`))
	case known && writes && !signers.WritesAs(key.Public(), events.SourceAPI):
		return one(failure("the api signs as "+name+", which may not send commands of source "+events.SourceAPI, `Register its key with sources ["`+events.SourceAPI+`"], or take it out of others' lists.`))
	case known:
		return one(ok("commands are signed by " + name + ", which deciders know"))
	case signs:
		return one(failure("commands are signed with a key that is not in "+p.Lifecycle.SignersFile, "Register "+key.Public().String()+" there."))
	case writes && p.Lifecycle.RequireSigned:
		return one(failure("deciders refuse what is not signed, and the api signs nothing", "Set commands.signing_key_file."))
	}
	return one(ok("deciders know the keys of producers"))
}
