// A connector that uses the AWS SDK for JavaScript and nothing else: for each line, an object's key, it says who AWS sees
// and writes the object.
import { createInterface } from "node:readline";
import { S3Client, PutObjectCommand } from "@aws-sdk/client-s3";
import { STSClient, GetCallerIdentityCommand } from "@aws-sdk/client-sts";

const sts = new STSClient({});
const s3 = new S3Client({});
for await (const key of createInterface({ input: process.stdin })) {
  let answer;
  try {
    const { Arn } = await sts.send(new GetCallerIdentityCommand({}));
    await s3.send(new PutObjectCommand({ Bucket: "orders", Key: key, Body: "an order" }));
    answer = { arn: Arn, signed_by: (await sts.config.credentials()).accessKeyId };
  } catch (e) {
    answer = { error: `${e.name}: ${e.message}` };
  }
  console.log(JSON.stringify(answer));
}
