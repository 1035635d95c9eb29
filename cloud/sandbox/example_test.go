package sandbox_test

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/rolebridge/rolebridge/cloud/sandbox"
)

func Example() {
	ctx, stop := context.WithCancel(context.Background())
	stand, err := sandbox.New(sandbox.Defaults())
	if err != nil {
		panic(err)
	}
	account, err := stand.AddAccount("111111111111")
	if err != nil {
		panic(err)
	}
	if err := stand.Listen(ctx, "127.0.0.1:0"); err != nil {
		panic(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- stand.Run(ctx) }()

	client := sts.NewFromConfig(aws.Config{Region: "eu-west-1", BaseEndpoint: aws.String(stand.Endpoint()), Credentials: account.Root})
	who, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		panic(err)
	}
	fmt.Println(*who.Arn, stand.Calls("GetCallerIdentity"))
	stop()
	fmt.Println(<-stopped)
	// Output:
	// arn:aws:iam::111111111111:root 1
	// <nil>
}
