#!/usr/bin/env python3
"""Validates JSON documents against a schema: check-schema.py SCHEMA DOCUMENT...

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


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = json.load(file)
    validator_class = jsonschema.validators.validator_for(schema)
    validator_class.check_schema(schema)
    validator = validator_class(schema)
    faults = 0
    for path in sys.argv[2:]:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        for fault in validator.iter_errors(document):
            where = "/".join(str(part) for part in fault.absolute_path)
            print(f"{path}: {where}: {fault.message}")
            faults += 1
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
