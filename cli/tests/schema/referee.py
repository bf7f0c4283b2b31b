"""Prints for each file whether all of its documents are valid: `FILE valid`, or `FILE` and the first thing that is wrong."""

import json
import sys

import jsonschema
import yaml

schema, *files = sys.argv[1:]
with open(schema) as file:
    schema = json.load(file)
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
for name in files:
    with open(name) as file:
        documents = [document for document in yaml.safe_load_all(file) if document is not None]
    wrong = [error for document in documents for error in validator.iter_errors(document)]
    print(name, wrong[0].message.replace("\n", " ") if wrong else "valid")
