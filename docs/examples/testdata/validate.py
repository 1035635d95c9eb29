"""Says of each line of standard input, {"as": a definition, "record": a JSON document}, whether the bundle of schemas named by
the first argument admits the document: a line "true", or a line with the fault."""

import json
import sys

from jsonschema import Draft202012Validator

with open(sys.argv[1], encoding="utf-8") as file:
    bundle = json.load(file)
Draft202012Validator.check_schema(bundle)
for line in sys.stdin:
    asked = json.loads(line)
    place = {"$ref": "#/$defs/" + asked["as"]} if asked["as"] else {"anyOf": bundle["anyOf"]}
    validator = Draft202012Validator({**place, "$defs": bundle["$defs"]}, format_checker=Draft202012Validator.FORMAT_CHECKER)
    fault = next(validator.iter_errors(asked["record"]), None)
    print(json.dumps(True if fault is None else f"{fault.json_path}: {fault.message[:300]}"))
