"""Why a line of a JSONL file is not JSON: what it is instead, and what to do, in one sentence."""

import json
import re

_TABLE = re.compile(rb"[^{}\[\]]*[,;\t][^{}\[\]]*")
_YAML = re.compile(rb"(- )?[A-Za-z_][\w ]*:( |$)")
_PYTHON = re.compile(r"(None|True|False)\b")
_CONFLICT = (b"<<<<<<<", b"=======", b">>>>>>>")
_WRITE = "write each row as one JSON object on one line"


def why_not_json(raw: bytes, error: Exception) -> str:
    """What the line is, and how it becomes a row. The text is the same for all lines with the same cause."""
    line = raw.strip()
    if not raw.strip(b"\0 \r"):
        return f"the line holds {raw.count(0):,} NUL bytes only, as after a crash; remove it"
    if isinstance(error, RecursionError):
        return f"the values are nested too deeply; {_WRITE}"
    if line.startswith((b"{'", b"['", b"[{'")):
        return "not JSON, but what Python prints for an object; write the row with json.dumps"
    if line.startswith(_CONFLICT):
        return "a mark of a merge conflict; choose one of the two versions, and remove the marks"
    if line.startswith((b"//", b"#", b"/*")):
        return "a comment, which JSON does not have; remove the line"
    if line.endswith(b",") and _is_json(line[:-1]):
        return "the line ends with a comma, as in an array without its brackets; sed 's/,$//' OLD > NEW removes it"
    if b"\r" in line:
        return "lines end with a carriage return alone, as on an old Mac; tr '\\r' '\\n' < OLD > NEW"
    said = str(error)
    if "Extra data" in said and b"}{" in line.replace(b" ", b""):
        return "several objects on one line; jq -c . OLD > NEW writes each on a line of its own"
    if "control character" in said:
        return "a tab or another control character within a text; write \\t or \\n for it"
    return _of_object(line, said, error) if line.startswith(b"{") else _of_others(line, said)


def _of_object(line: bytes, said: str, error: Exception) -> str:
    text = line.decode(errors="replace")
    at = min(getattr(error, "pos", 0), len(text) - 1)
    if text[1:].lstrip().startswith(("“", "”", "„", "«")):
        return 'typographic quotes (“ ”) around names or texts; JSON has straight ones (")'
    if _PYTHON.match(text, at):
        return "None, True or False, as Python writes them; JSON has null, true and false: write the row with json.dumps"
    if text[at] in "}]" or (text[at] == "," and text[at + 1 :].lstrip()[:1] in ("}", "]")):
        return "a comma before a closing bracket, which JSON does not allow; remove it"
    return f"not JSON ({said.partition(': line')[0]}); {_WRITE}"


def _of_others(line: bytes, said: str) -> str:
    start = line.find(b"{")
    if start > 0 and _is_json(line[start:]):
        return "there is other text before the object; sed 's/^[^{]*//' OLD > NEW removes it"
    if line.startswith(b"<"):
        return f"not JSON, but XML or HTML; {_WRITE}"
    if _YAML.match(line):
        return (
            "not JSON, but perhaps YAML; python -c 'import json, sys, yaml; [print(json.dumps(row)) for row in "
            "yaml.safe_load(sys.stdin)]' < OLD > NEW"
        )
    if _TABLE.fullmatch(line):
        return (
            "not JSON; if the file is a table, name it .csv (or .tsv); if each line is a text, name it .txt"
        )
    return f"not JSON ({said.partition(': line')[0]}); {_WRITE}, or name the file .txt if each line is a text"


def _is_json(raw: bytes) -> bool:
    try:
        return isinstance(json.loads(raw), dict)
    except (ValueError, RecursionError):
        return False
