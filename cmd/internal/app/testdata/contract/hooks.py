# What schemathesis cannot read in openapi.yaml, where a schema says less than the words beside it.
import hashlib
import itertools
import os

import schemathesis


def number(text, of):
    return int(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(), 16) % of


# Made by contract_test.go.
OWNER, INTEGRATION = os.environ["ROLEBRIDGE_OWNER"], os.environ["ROLEBRIDGE_INTEGRATION"]
CONNECTOR, API_KEY = os.environ["ROLEBRIDGE_CONNECTOR"], os.environ["ROLEBRIDGE_API_KEY"]


@schemathesis.hook
def map_body(context, body):
    """Makes most texts ones that mean something, so that things are made, and what is done with them is tried too."""
    if not isinstance(body, dict):
        return body
    path = context.operation.path

    def say(within, field, most, text):
        # What is too long or too short for its schema, or no text, is left as it is: it is meant to be refused.
        was = within.get(field) if isinstance(within, dict) else None
        if isinstance(was, str) and (field == "id") <= len(was) <= most:
            within[field] = text(was)

    say(body, "display_name", 4096, lambda was: f"name {number(was, 100)}")
    say(body, "description", 4096, lambda was: was if was.isprintable() and was.isascii() and was.strip() == was else "")
    config = body.get("config")
    if isinstance(config, dict) and config.get("kind") in (None, "", "AwsIntegrationConfig"):
        say(config, "customer_iam_role_arn", 4096, lambda was: f"arn:aws:iam::{number(was, 9000) + 200000000000}:role/customer")
    say(body, "connector", 4096, lambda was: f"lcc-{number(was, 20)}")
    if path.endswith("/role-bindings"):
        say(body, "principal", 4096, lambda was: "User:" + OWNER)
        # Never administrator of the organization: the tool would take its own role away.
        say(body, "role_name", 4096, lambda was: ["EnvironmentAdmin", "Assigner"][number(was, 2)])
        say(body, "crn_pattern", 4096, lambda was: "crn://rolebridge/organization=acme/environment=env-" + "abcdefgh"[number(was, 8)])
    if path.endswith("/api-keys") and isinstance(body.get("spec"), dict):
        say(body["spec"], "display_name", 4096, lambda was: "")
        say(body["spec"], "description", 4096, lambda was: "")
        body["spec"].pop("expires_at", None)
        say(body["spec"].get("owner"), "id", 4096, lambda was: OWNER)
    if path.endswith("/token:rotate"):
        if isinstance(body.get("overlap_seconds"), int):
            body["overlap_seconds"] %= 604800
        body.pop("token_expires_at", None)
    if path.endswith(":validate"):
        say(body, "id", 4096, lambda was: INTEGRATION)
        say(body.get("environment"), "id", 4096, lambda was: "env-1")
    return body


@schemathesis.hook
def filter_case(context, case):
    """Keeps what is asked about later."""
    ours = {OWNER, INTEGRATION, CONNECTOR, API_KEY}
    return case.method.upper() != "DELETE" or not ours.intersection(map(str, (case.path_parameters or {}).values()))


# Parameters whose right values no schema can say: a page token is of an earlier answer, a pattern names the organization,
# and what a policy is made of depends on the kind of connector.
OPAQUE = {"page_token", "crn_pattern", "bucket", "prefix", "table", "region", "account", "partition", "role_name", "policy_name"}


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Drops what is no breach: the refusal of one of those, and that a listener refuses any GET with a body."""
    if response.status_code != 400:
        return True
    if failure.code == "ST204":  # before it looks at the path, so that no request hides in another (internal/listen)
        return b"a GET has no body" not in response.content
    if failure.code == "ST202":
        errors = response.json()["errors"]
        return not all(e["code"] == "invalid_parameter" and e["source"]["parameter"] in OPAQUE for e in errors)
    return True


calls = itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs):
    """Three of four times a key is a new one, and what is asked about is there. A watch begins where events are: nobody waits."""
    known = next(calls) % 4
    key = case.headers.get("Idempotency-Key")
    if known and isinstance(key, str) and 0 < len(key) < 200:
        case.headers["Idempotency-Key"] = f"{key}-{next(calls)}"
    if known and case.method.upper() != "DELETE" and "id" in (case.path_parameters or {}):  # any text is an id: none is meant to be refused
        if "/integrations/{id}" in case.path:
            case.path_parameters["id"] = INTEGRATION
            if isinstance(case.query.get("environment"), str) and case.query["environment"]:
                case.query["environment"] = "env-1"
        if "/api-keys/{id}" in case.path:
            case.path_parameters["id"] = API_KEY
        if "connector" in case.path_parameters:
            case.path_parameters["connector"] = CONNECTOR
    if case.path == "/rolebridge/v1/watch" and case.method.upper() == "GET":
        last = case.headers.get("Last-Event-ID", "")
        if last == "" or last.isascii() and last.isdigit():
            case.headers["Last-Event-ID"] = "0"
            case.query.pop("environment", None)
            case.query.pop("integration", None)
