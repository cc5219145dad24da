# Holds a JSON schema against files of TOML: `python3 schema.py SCHEMA EXAMPLE`. The example, with and without its comments, is right; what is
# changed in it is wrong. Prints how many changes were refused, or fails.
import datetime
import json
import sys
import tomllib

from jsonschema import Draft202012Validator as Validator


def plain(value):
    """A date of TOML is a text in JSON."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, (datetime.date, datetime.datetime)) else value


def tables(value, path=()):
    """Each table within a value, and the way there."""
    yield path, value
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in inner:
        if isinstance(one, dict) or (isinstance(one, list) and one and isinstance(one[0], dict)):
            yield from tables(one, (*path, key))


def changed(value, path, key, to):
    copy = json.loads(json.dumps(value))
    place = copy
    for step in path:
        place = place[step]
    if to is None:
        del place[key]
    else:
        place[key] = to
    return copy


schema = json.load(open(sys.argv[1]))
Validator.check_schema(schema)
example = open(sys.argv[2]).read()
# Whoever takes the comment signs away has a file that is right.
whole = "\n".join(line[1:] if line[:1] == "#" and line[1:2] != " " else line for line in example.splitlines())
right = [plain(tomllib.loads(text)) for text in (example, whole)]
validator = Validator(schema)
for file in right:
    faults = [f"{list(fault.absolute_path)}: {fault.message}" for fault in validator.iter_errors(file)]
    assert not faults, faults
refused = 0
for path, table in tables(right[1]):
    if not isinstance(table, dict):
        continue
    wrong = [(key, {"?": {"?": 1.5}}) for key in table] + [("unknown", 1)]
    wrong += [(key, None) for key in ("url", "hash", "issuer") if key in table]
    for key, to in wrong:
        # Names of tokens, groups, sources and rooms are anyone's to choose.
        if key == "unknown" and path in (("tokens",), ("groups",), ("rooms",), ("jwt",)):
            continue
        assert not validator.is_valid(changed(right[1], path, key, to)), (path, key, to)
        refused += 1
print(refused)
