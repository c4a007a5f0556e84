"""The page's modules that can be looked at alone: the stream's format, filters, words."""

import json

import pytest


@pytest.fixture
def run(fake, browse):
    """Run an expression in which `m` is a module of the page."""
    page = browse(f"{fake.origin}/")

    def run(module, expression, given=None):
        text = f"async (given) => {{ const m = await import('/{module}'); return {expression}; }}"
        return page.evaluate(text, given)

    return run


STREAM = (
    "\ufeff: beat\n\n"
    'id: 1\nevent: event\ndata: {"a":1}\n\n'
    "id: 2\r\nevent: missed\r\ndata: one\r\ndata:  two\r\n\r\n"
    "data\rdata: ü€😀\r\r"
    "event: nothing to say\n\n"
    "id: 3\nretry: 5\nother: x\ndata:last\n\n"
    "id: 9\ndata: never ended\n"
)
MESSAGES = [
    ["event", '{"a":1}', "1"],
    ["missed", "one\n two", "2"],
    ["message", "\nü€😀", "2"],
    ["message", "last", "3"],
]


def test_stream_in_pieces(run):
    """However the stream is cut, the same messages come of it."""
    cut = """(() => {
      const found = [];
      for (let one = 0; one <= given.length; one += 1) {
        for (const other of [one, one + 1, one + 2]) {
          const parser = new m.SseParser();
          const pieces = [given.slice(0, one), given.slice(one, other), given.slice(other)];
          const messages = pieces.flatMap((piece) => parser.push(piece));
          found.push(messages.map((e) => [e.type, e.data, e.id]));
        }
      }
      return [...new Set(found.map((each) => JSON.stringify(each)))];
    })()"""
    assert [json.loads(each) for each in run("sse.js", cut, STREAM)] == [MESSAGES]


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("", []),
        (" ; ;", []),
        ("a=1", ["a=1"]),
        ("a=1; drop b=2 ;", ["a=1", "drop b=2"]),
        ("a='x;y'; b=\"';'\"", ["a='x;y'", "b=\"';'\""]),
    ],
)
def test_rules_of_the_box(run, text, rules):
    """Rules are separated by semicolons that stand in no quotes."""
    assert run("filter.js", "m.rulesOf(given)", text) == rules


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (3605, "1 h"),
     (90000, "1 d 1 h"), (86400 * 400, "400 d")],
)  # fmt: skip
def test_spans(run, seconds, words):
    """A span is told in its two greatest units."""
    assert run("format.js", "m.span(given)", seconds) == words


JOINED = """(() => {
  const time = (percent) => percent === null ? null : new Date(1000 * percent).toISOString();
  const spans = given.map(([from, to, state]) => ({ from: time(from), to: time(to), state }));
  const found = m.joined(spans, (at) => at / 1000, 100000);
  return found.map((s) => [s.state, s.left, s.right, s.changes]);
})()"""


def test_short_spans_are_joined(run):
    """A link that flaps is one span that tells how often; whatever can be seen stays as it is."""
    flaps = [[10 + n / 100, 10 + (n + 1) / 100, ("up", "down")[n % 2]] for n in range(500)]
    spans = [[0, 10, "up"], *flaps, [15, 40, "down"], [40, 40.1, "up"], [60, 60.1, "up"],
             [70, None, "up"]]  # fmt: skip
    assert run("spans.js", JOINED, spans) == [
        ["up", 0, 10, 1],
        ["flapping", 10, 15, 500],
        ["down", 15, 40, 1],
        ["up", 40, 40.1, 1],
        ["up", 60, 60.1, 1],
        ["up", 70, 100, 1],
    ]


def test_lane_that_is_cut_says_so(run):
    """Where the API tells only the latest spans, what was before is not shown as nothing."""
    lane = {"cut": True, "spans": [{"from": "b", "to": "c", "state": "up"}]}
    expected = [{"from": "a", "to": "b", "state": "untold"}]
    assert run("spans.js", "m.untold(given, 'a')", lane) == expected
    assert run("spans.js", "m.untold(given, 'a')", {**lane, "cut": False}) == []


def test_invisible_characters_are_escaped(run):
    """What turns text round, hides in it or is no character is shown as its code."""
    given = "a\u202eb\u200bc\x00d\u2028e\ufffff é 日本 😀"
    shown = "a\\u{202e}b\\u{200b}c\\x00d\\u{2028}e\\u{ffff}f é 日本 😀"
    assert run("dom.js", "m.printable(given)", given) == shown


@pytest.mark.parametrize("name", ["style", "onclick", "href", "src", "SRCDOC"])
def test_elements_take_no_markup(run, name):
    """No attribute that could run or load something can be set from data."""
    made = (
        f"(() => {{ try {{ m.el('p', {{ '{name}': 'x' }}); }} catch (e) {{ return e.name; }} }})()"
    )
    assert run("dom.js", made) == "TypeError"


def test_no_module_writes_markup(fake):
    """Nowhere in the page is text made into elements, or into code."""
    from kevmond.api.page_routes import files

    words = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
             "new Function", 'setAttribute("style', "DOMParser", "srcdoc=")  # fmt: skip
    found = [
        (path, word)
        for path, data in files().items()
        for word in words
        if path.endswith((".js", ".html")) and word in data.decode()
    ]
    assert found == []
    index = files()["/"].decode()
    assert "style=" not in index
    assert "http" not in index
    assert index.count("<script") == index.count("<script src=") + index.count('type="module" src=')


def test_modules_are_short_and_say_what_they_own():
    """Every file of the page begins by saying what it owns, and has fewer than 300 lines."""
    from kevmond.api.page_routes import files

    for path, data in files().items():
        if path.endswith((".js", ".css")):
            first, *rest = data.decode().splitlines()
            assert first.startswith(("// Owns ", "/* Owns ")), path
            assert len(rest) < 299, path
