import dataclasses
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from kevmond.control import sample

HEADER = Path(__file__).parents[2] / "kext" / "include" / "foo.h"

CONSTANTS = {
    "FOO_BUNDLE_ID": sample.CONTROL_NAME,
    "FOO_VENDOR": sample.VENDOR,
    "FOO_CONTROL_NAME": sample.CONTROL_NAME,
    "FOO_MAGIC": sample.MAGIC,
    "FOO_PROTOCOL": sample.PROTOCOL,
    "FOO_MESSAGE_MAX": sample.MESSAGE_MAX,
    "FOO_QUEUE_SIZE": sample.QUEUE_SIZE,
    "FOO_CLIENTS_MAX": sample.CLIENTS_MAX,
    "FOO_EVENT_DATA_MAX": sample.EVENT_DATA_MAX,
    "FOO_DEBUG_MAX": sample.DEBUG_MAX,
    "FOO_EVENT_CLASS": sample.EVENT_CLASS,
    "FOO_EVENT_SUBCLASS": sample.EVENT_SUBCLASS,
    "kEPCommand1": sample.Option.COMMAND_1,
    "kEPCommand2": sample.Option.COMMAND_2,
    "FOO_OPTION_VERSION": sample.Option.VERSION,
    "FOO_OPTION_STATISTICS": sample.Option.STATISTICS,
    "FOO_OPTION_DEBUG": sample.Option.DEBUG,
    **{f"FOO_{kind.name}": kind for kind in sample.MessageType},
    **{f"FOO_NOTICE_{kind.name}": kind for kind in sample.NoticeKind},
    **{f"FOO_GOODBYE_{reason.name}": reason for reason in sample.GoodbyeReason},
    **{f"FOO_SUBSCRIBE_{bit.name}": bit for bit in sample.Subscription},
    "FOO_SUBSCRIBE_ALL": sample.Subscription.ALL,
    **{f"FOO_EVENT_{code.name}": code for code in sample.EventCode},
}
"""Names in foo.h, and what they are here."""

NOT_MIRRORED = {
    "FOO_H",
    "FOO_ASSERT",
    "FOO_VERSION",
    "FOO_VERSION_MAJOR",
    "FOO_VERSION_MINOR",
    "FOO_VERSION_PATCH",
}
"""The header's own means, and the version of one kext: a client speaks to others too."""

LAYOUTS = {
    "foo_message": sample.HEADER,
    "foo_hello": sample.Hello.LAYOUT,
    "foo_emit_event": sample.EMIT_EVENT,
    "foo_subscribe": sample.SUBSCRIBE,
    "foo_goodbye": sample.Goodbye.LAYOUT,
    "foo_result": sample.Result.LAYOUT,
    "foo_notice": sample.Notice.LAYOUT,
    "foo_version": sample.Version.LAYOUT,
    "foo_statistics": sample.Statistics.LAYOUT,
    "foo_event_loaded": sample.EVENT_DATA[sample.EventCode.LOADED],
    "foo_event_connected": sample.EVENT_DATA[sample.EventCode.CLIENT_CONNECTED],
    "foo_event_disconnected": sample.EVENT_DATA[sample.EventCode.CLIENT_DISCONNECTED],
    "foo_event_command": sample.EVENT_DATA[sample.EventCode.COMMAND],
}

COMPILERS = [
    ("cc", "c", ["-std=c99", "-pedantic-errors"]),
    ("cc", "c", ["-std=gnu11"]),
    ("g++", "cpp", ["-std=c++11", "-pedantic-errors"]),
    ("g++", "cpp", ["-std=c++98", "-pedantic-errors"]),
]


def code_of_header():
    """Read the header without its comments."""
    return re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)


def constants_of_header():
    """Names of its macros and enumerators."""
    code = code_of_header()
    enumerations = re.findall(r"enum \w+ \{(.*?)\}", code, re.DOTALL)
    return set(re.findall(r"#define (FOO_\w+)", code)) | {
        name for body in enumerations for name in re.findall(r"(\w+) *=", body)
    }


def structures_of_header():
    """Names of its structures, each with the names of its fields."""
    bodies = re.findall(r"struct (\w+) \{(.*?)\}", code_of_header(), re.DOTALL)
    return {name: re.findall(r"(\w+);", body) for name, body in bodies}


def fields_of(layout):
    """Offset and size of each field of a struct.Struct, padding taken for a field."""
    fields, offset = [], 0
    for count, code in re.findall(r"(\d*)([a-zA-Z])", layout.format):
        number = int(count or 1)
        sizes = [number] if code == "x" else [struct.calcsize("<" + code)] * number
        for size in sizes:
            fields.append((offset, size))
            offset += size
    return fields


def program():
    """Write a program that prints every constant, and the offset and size of every field."""
    lines = [
        f'printf("%s={"%s" if isinstance(value, str) else "%lu"}\\n", "{name}", '
        f"{'' if isinstance(value, str) else '(unsigned long)'}{name});"
        for name, value in CONSTANTS.items()
    ]
    for name, fields in structures_of_header().items():
        lines.append(f'printf("{name}=%lu\\n", (unsigned long)sizeof(struct {name}));')
        lines += [
            f'printf("{name}.{field}=%lu:%lu\\n", '
            f"(unsigned long)offsetof(struct {name}, {field}), "
            f"(unsigned long)sizeof(((struct {name} *)0)->{field}));"
            for field in fields
        ]
    body = "\n    ".join(lines)
    return (
        '#include "foo.h"\n#include <stddef.h>\n#include <stdio.h>\n\n'
        f"int main(void)\n{{\n    {body}\n    return 0;\n}}\n"
    )


@pytest.fixture(params=COMPILERS, ids=lambda one: f"{one[0]} {one[2][0]}")
def said(request, tmp_path):
    """Ask a compiler what it makes of the header: name to value, as text."""
    compiler, suffix, options = request.param
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} here to compile the header with")
    source, binary = tmp_path / f"header.{suffix}", tmp_path / "header"
    source.write_text(program())
    command = [compiler, *options, "-Wall", "-Wextra", "-Werror", "-I", HEADER.parent]
    if suffix == "c":
        command.append("-Wstrict-prototypes")
    subprocess.run([*command, "-o", binary, source], check=True)
    output = subprocess.run([binary], check=True, capture_output=True, text=True).stdout
    return dict(line.split("=", 1) for line in output.splitlines())


def test_every_name_is_mirrored():
    """Each constant and structure of the header has its like in Python, and nothing more."""
    assert constants_of_header() - NOT_MIRRORED == set(CONSTANTS)
    assert set(structures_of_header()) == set(LAYOUTS)


def test_constants(said):
    """A compiler gives every constant the value that it has in Python."""
    values = {
        name: value if isinstance(value, str) else str(int(value))
        for name, value in CONSTANTS.items()
    }
    assert {name: said[name] for name in CONSTANTS} == values


def test_layouts(said):
    """A compiler lays every structure out as Python reads it: sizes, offsets, order of fields."""
    for name, fields in structures_of_header().items():
        compiled = [tuple(map(int, said[f"{name}.{field}"].split(":"))) for field in fields]
        assert compiled == fields_of(LAYOUTS[name]), name
        assert int(said[name]) == LAYOUTS[name].size, name


def test_fields_have_the_same_names():
    """Where Python has a class for a structure, its fields have the header's names, in order."""
    structures = structures_of_header()
    for mirror in (sample.Hello, sample.Notice, sample.Version, sample.Statistics, sample.Result):
        names = [
            name for name in structures[f"foo_{mirror.__name__.lower()}"] if name != "reserved"
        ]
        assert [field.name for field in dataclasses.fields(mirror)] == names
