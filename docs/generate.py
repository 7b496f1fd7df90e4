"""Writes the pages that follow from the code: docs/configuration.md and docs/config.schema.json.

    python docs/generate.py

A test fails when they differ from what this would write.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from resdavenet_vq.config import Config

DOCS = Path(__file__).resolve().parent


def pages() -> dict[str, str]:
    """The text of each generated page, by its name."""
    schema = Config.model_json_schema()
    return {
        "configuration.md": _reference(schema),
        "config.schema.json": json.dumps(schema, indent=1, ensure_ascii=False) + "\n",
    }


def _reference(schema: dict[str, Any]) -> str:
    lines = [
        "# Configuration reference",
        "",
        "Generated from `resdavenet_vq/config/` by `python docs/generate.py`. Unknown or missing keys and wrong types stop even a dry run.",
        "Editors that speak YAML schemas complete and check keys with `docs/config.schema.json`.",
        "",
    ]
    sections = [("", schema), *schema["$defs"].items()]
    for name, section in sections:
        if "properties" not in section:
            continue
        lines += [f"## {name or 'Top level'}", "", *([] if not name else [section.get("description", "").split("\n")[0], ""])]
        lines += ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
        for key, field in section["properties"].items():
            default = (
                f"`{json.dumps(field['default'])}`" if "default" in field else ("required" if key in section.get("required", ()) else "")
            )
            meaning = field.get("description", "").replace("|", "\\|")
            lines.append(f"| `{key}` | {_type(field)} | {default if len(default) < 60 else 'see its section'} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


def _type(field: dict[str, Any]) -> str:
    match field:
        case {"$ref": ref}:
            name = ref.rsplit("/", 1)[1]
            return f"[{name}](#{name.lower()})"
        case {"anyOf": options} | {"oneOf": options}:
            return " or ".join(_type(option) for option in options)
        case {"enum": values}:
            return " or ".join(f"`{v}`" for v in values)
        case {"const": value}:
            return f"`{value}`"
        case {"type": "array", "prefixItems": items}:
            return f"list of {len(items)} {_type(items[0])}s"
        case {"type": "array", "items": item}:
            return f"list of {_type(item)}"
        case {"type": "object", "additionalProperties": dict(value)}:
            return f"mapping to {_type(value)}"
        case {"type": kind}:
            return {"integer": "integer", "number": "number", "string": "text", "boolean": "true or false", "null": "null"}.get(kind, kind)
        case _:
            return "any"


if __name__ == "__main__":
    for page, text in pages().items():
        (DOCS / page).write_text(text, encoding="utf-8")
