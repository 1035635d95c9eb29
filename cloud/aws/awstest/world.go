// Package awstest gives tests an AWS in their own process: the sandbox with a platform that has two accounts and a user
// for each of its parts, and a customer. And it sets up stand-ins that run elsewhere in the same way.
//
// It is for tests only, fakes nothing that the sandbox refuses, and shares nothing: [New] starts a sandbox of the test's
// own, and the test's cleanup ends it.
package awstest

import (
	"context"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/cloud/sandbox"
)

// Region is where all clients of a [World] are.
const Region = "eu-central-1"

// World is a sandbox that serves until the test ends.
type World struct {
	*sandbox.Sandbox
	Platform, Spare sandbox.Account // both hold platform roles
	Customer        sandbox.Account
	Broker          sandbox.User // in Platform, as Validator is
	Validator       sandbox.User
}

const assumeAnything = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession"],"Resource":"*"}}`

// New starts a sandbox.
func New(t testing.TB, change ...func(*sandbox.Config)) *World {
	t.Helper()
	cfg := sandbox.Defaults()
	for _, f := range change {
		f(&cfg)
	}
	box, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := &World{Sandbox: box}
	for id, into := range map[string]*sandbox.Account{
		"111111111111": &w.Platform, "111111111112": &w.Spare, "222222222222": &w.Customer,
	} {
		if *into, err = w.AddAccount(id); err != nil {
			t.Fatal(err)
		}
	}
	for name, into := range map[string]*sandbox.User{"broker": &w.Broker, "validator": &w.Validator} {
		if *into, err = w.AddUser(w.Platform.ID, name, assumeAnything); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Listen(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the sandbox stopped with %v", err)
		}
	})
	return w
}

// Config is that of a client of the sandbox with the given identity.
func (w *World) Config(who sdk.CredentialsProvider) aws.Config {
	return aws.Config{Region: Region, Endpoint: w.Endpoint(), Credentials: who}
}

// Client assumes roles as the validator.
func (w *World) Client(t testing.TB) *aws.Client {
	t.Helper()
	client, err := aws.New(t.Context(), w.Config(w.Validator.Key))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// Roles makes platform roles in the given accounts; in Platform when none is given.
func (w *World) Roles(t testing.TB, accounts ...sandbox.Account) *aws.Platform {
	t.Helper()
	if len(accounts) == 0 {
		accounts = []sandbox.Account{w.Platform}
	}
	cfg := aws.PlatformConfig{
		Config: w.Config(w.Validator.Key), Path: "/rolebridge/", Identities: []string{w.Broker.ARN, w.Validator.ARN},
	}
	for _, a := range accounts {
		cfg.Accounts = append(cfg.Accounts, aws.Account{ID: a.ID, Credentials: a.Root})
	}
	platform, err := aws.NewPlatform(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(platform.Close)
	return platform
}

// IAM is a client of an account's IAM, as its root.
func (w *World) IAM(t testing.TB, owner sandbox.Account) *iam.Client {
	t.Helper()
	return IAM(t, w.Endpoint(), owner.Root)
}

// Role makes a role with the given trust policy, or gives it another one, and returns its ARN.
func (w *World) Role(t testing.TB, owner sandbox.Account, name, trust string) string {
	t.Helper()
	client := w.IAM(t, owner)
	if found, err := client.GetRole(t.Context(), &iam.GetRoleInput{RoleName: &name}); err == nil {
		_, err := client.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: &name, PolicyDocument: &trust})
		if err != nil {
			t.Fatalf("trust policy of %s: %v", name, err)
		}
		return *found.Role.Arn
	}
	made, err := client.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	if err != nil {
		t.Fatalf("make the role %s: %v", name, err)
	}
	return *made.Role.Arn
}
