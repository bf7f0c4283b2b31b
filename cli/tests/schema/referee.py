"""Prints for each file whether all of its documents are valid: `FILE valid`, or `FILE` and the first thing that is wrong."""

import json
import re
import sys

import jsonschema
import yaml



class Loader(yaml.SafeLoader):
    """Takes only `true` and `false` for truth values, as YAML 1.2 and editors do: `on` is a field of plugins."""


BOOL = "tag:yaml.org,2002:bool"
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != BOOL]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(BOOL, re.compile("^(?:true|false)$"), list("tf"))

schema, *files = sys.argv[1:]
with open(schema) as file:
    schema = json.load(file)
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
for name in files:
    with open(name) as file:
        documents = [document for document in yaml.load_all(file, Loader) if document is not None]
    wrong = [error for document in documents for error in validator.iter_errors(document)]
    print(name, wrong[0].message.replace("\n", " ") if wrong else "valid")
