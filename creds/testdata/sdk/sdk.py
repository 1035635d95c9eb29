"""A connector that uses boto3 and nothing else: for each line, an object's key, it says who AWS sees and writes the object."""

import json
import sys

import boto3

session = boto3.Session()
for line in sys.stdin:
    key = line.strip()
    try:
        arn = session.client("sts").get_caller_identity()["Arn"]
        session.client("s3").put_object(Bucket="orders", Key=key, Body=b"an order")
        answer = {"arn": arn, "signed_by": session.get_credentials().access_key}
    except Exception as e:
        answer = {"error": f"{type(e).__name__}: {e}"}
    print(json.dumps(answer), flush=True)
