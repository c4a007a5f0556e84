"""docs/api.md: it has every operation and every setting, and its figures are right."""

import re
import tomllib
from pathlib import Path

from kevmond.api import answers, openapi, server, serving, site
from kevmond.api.ports import IDLE
from kevmond.api.refusals import AGAIN
from kevmond.api.routes import routes
from kevmond.api.settings import ApiSettings

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
ROWS = dict(re.findall(r"^\| `([A-Z]+ /v1/[^`]*)` \| (.*) \|$", TEXT, re.MULTILINE))
SERVED = {f"{each.method} {each.path}": each for each in routes() if each.path.startswith("/v1/")}


def test_every_operation_has_a_row():
    """What is served is told, and what is told is served."""
    assert set(ROWS) == set(SERVED)


def test_every_parameter_is_told():
    """Parameters of the query stand in the row of their operation."""
    known = {key: it for f in openapi.FAMILIES.values() for key, it in f.OPERATIONS.items()}
    for row, text in ROWS.items():
        operation = known[tuple(row.split())]
        told = set(re.findall(r"`([A-Za-z_-]+)`", text))
        if "as `/v1/events`" in text:
            told |= {each.name for each in known["GET", "/v1/events"].parameters}
        for parameter in operation.parameters:
            if parameter.place != "path":
                assert parameter.name in told, row
        for name in operation.body.model_fields if operation.body else ():
            assert f'"{name}"' in text, row


def test_example_sets_everything_there_is():
    """The example has all keys, and is understood."""
    (example,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    table = tomllib.loads(example)["api"]
    ApiSettings.model_validate(table)
    for name, field in ApiSettings.model_fields.items():
        assert name in table
        if isinstance(table[name], dict):
            assert set(table[name]) == set(field.annotation.model_fields)


def test_figures_are_those_of_the_code():
    """Limits stand in the text as they are."""
    assert f"more than {answers.MOST_BYTES >> 10} KiB" in TEXT
    assert f"have {serving.LONGEST_LINE >> 10} KiB at most" in TEXT
    assert f"there are {serving.MOST_HEADERS} headers" in TEXT
    assert (
        f"request within {site.READ:g} s is closed, an idle one after {serving.KEEP_ALIVE:g} s"
        in TEXT
    )
    assert f"of its answer after {site.STUCK:g} s" in TEXT
    assert f"within {answers.READ:g} s |" in TEXT
    counts = (
        f"{server.MOST_LOCAL} connections to the Unix socket at once, {server.MOST_PAGE} to the "
    )
    assert counts in " ".join(TEXT.split())
    assert f"and {server.MOST_METRICS} to that for metrics" in TEXT
    assert f"for {IDLE / 60:g} minutes" in TEXT
    assert f"been\n{AGAIN} of its kind, {2 * AGAIN}" in TEXT
