#!/usr/bin/env python3
"""Validates JSON documents against schemas.

  check-schema.py SCHEMA DOCUMENT...   each DOCUMENT (a file) against SCHEMA
  check-schema.py --pairs FILE         each line of FILE is [schema, document as text]

Exit status 0 when all match, 1 with a line per fault, 3 where the Debian package python3-jsonschema is not installed.
"""
import json
import sys

# Debian's package serves Debian's interpreter; another python3 may come first in PATH.
sys.path.append("/usr/lib/python3/dist-packages")

try:
    import jsonschema
except ImportError:
    print("python3-jsonschema is not installed")
    sys.exit(3)


def validator_of(schema):
    validator_class = jsonschema.validators.validator_for(schema)
    validator_class.check_schema(schema)
    return validator_class(schema, format_checker=jsonschema.draft202012_format_checker)


def faults_of(validator, text):
    """The complaints about one document, as lines."""
    try:
        document = json.loads(text)
    except ValueError as error:
        return [f"no JSON: {error}"]
    return [f"{'/'.join(str(part) for part in fault.absolute_path)}: {fault.message}" for fault in validator.iter_errors(document)]


def check_pairs(path):
    faults = 0
    validators = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            schema, text = json.loads(line)
            key = json.dumps(schema)
            if key not in validators:
                validators[key] = validator_of(schema)
            for fault in faults_of(validators[key], text):
                print(f"{key}\n  admits {text}\n  {fault}")
                faults += 1
    return faults


def check_files(schema_path, paths):
    with open(schema_path, encoding="utf-8") as file:
        validator = validator_of(json.load(file))
    faults = 0
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for fault in faults_of(validator, file.read()):
                print(f"{path}: {fault}")
                faults += 1
    return faults


def main() -> int:
    if sys.argv[1] == "--pairs":
        return 1 if check_pairs(sys.argv[2]) else 0
    return 1 if check_files(sys.argv[1], sys.argv[2:]) else 0


if __name__ == "__main__":
    sys.exit(main())
