"""Writes the README's tables from the code: `python tools/readme.py`. A test compares them."""

from pathlib import Path

from ecsgateway.config import PREFIX, Settings, flag
from ecsgateway.mapping import ROWS

README = Path(__file__).parents[1] / "README.md"


def errors_table() -> str:
    """Return the error model as a table, a line for each reason and status."""
    lines = ["| reason | status | at fault | what happened | tried again by the gateway | pushback |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for row in ROWS:
        text = row.text.format(region_id="R", image_id="I")
        cells = (f"`{row.reason}`", row.status, row.fault, text, row.retry.value, row.pushback.value)
        line = f"| {' | '.join(cells)} |"
        if line not in lines:
            lines.append(line)
    return "\n".join(lines)


def settings_table() -> str:
    """Return the settings of `serve` as a table."""
    lines = ["| flag | environment | default | what |", "| --- | --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, False) else f"`{field.default}`"
        lines.append(f"| `{flag(name)}` | `{PREFIX}{name.upper()}` | {default} | {field.description} |")
    return "\n".join(lines)


def with_tables(text: str) -> str:
    """Return the README with its tables as the code has them."""
    for name, table in (("errors", errors_table()), ("settings", settings_table())):
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{table}\n{end}{after}"
    return text


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text()))
