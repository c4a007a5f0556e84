import os
import plistlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

KEXT = Path(__file__).parents[2] / "kext"
SOURCES = sorted((KEXT / "src").glob("*.c"))
TEXT = "".join(path.read_text() for path in [*SOURCES, *(KEXT / "src").glob("*.h")])

KPI_LIBRARIES = {"com.apple.kpi.bsd", "com.apple.kpi.libkern", "com.apple.kpi.mach"}

KPI = {
    "ctl_register",
    "ctl_deregister",
    "ctl_enqueuedata",
    "ctl_getenqueuespace",
    "kev_vendor_code_find",
    "kev_msg_post",
    "mbuf_pkthdr_len",
    "mbuf_len",
    "mbuf_next",
    "mbuf_data",
    "mbuf_copydata",
    "mbuf_freem",
    "lck_grp_alloc_init",
    "lck_grp_free",
    "lck_mtx_alloc_init",
    "lck_mtx_free",
    "lck_mtx_lock",
    "lck_mtx_unlock",
    "proc_selfpid",
    "proc_selfname",
    "kauth_cred_get",
    "kauth_cred_getuid",
    "microtime",
    "nanotime",
    "mach_absolute_time",
    "absolutetime_to_nanoseconds",
    "printf",
    "snprintf",
    "strlcpy",
    "strnlen",
    "memcpy",
    "memset",
    "memcmp",
    "bzero",
    "os_log",
}
"""Functions that the public KPI exports on both architectures (config/*.exports of XNU)."""

HEADERS = {
    "mach/mach_types.h",
    "mach/kmod.h",
    "sys/systm.h",
    "sys/errno.h",
    "sys/kern_control.h",
    "sys/kern_event.h",
    "sys/kpi_mbuf.h",
    "sys/proc.h",
    "sys/kauth.h",
    "sys/socket.h",
    "sys/sys_domain.h",
    "kern/locks.h",
    "libkern/libkern.h",
    "os/log.h",
}
"""What Kernel.framework has of what the kext may need."""

OPTIONS = [
    [],
    ["-DFOO_UNPRIVILEGED"],
    ["-DFOO_STATIC_ID=19787"],
    ["-DFOO_STATIC_ID=19787", "-DFOO_STATIC_UNIT=7"],
    [f'-DFOO_CONTROL_NAME="{"x" * 95}"'],
]


@pytest.fixture(scope="module")
def info():
    """Read the bundle's Info.plist."""
    return plistlib.loads((KEXT / "Info.plist").read_bytes())


@pytest.fixture
def compile_kext(tmp_path):
    """Compile the sources as a kext is compiled: with the kernel's headers and no others."""
    if sys.platform != "linux":
        pytest.skip("the stand-ins for the kernel's headers are for Linux: here, make -C kext")
    if shutil.which("cc") is None:
        pytest.skip("no cc here to compile the kext with")

    def compile_(*options):
        objects = []
        for source in SOURCES:
            objects.append(tmp_path / f"{source.stem}.o")
            subprocess.run(
                [
                    *("cc", "-std=gnu11", "-ffreestanding", "-nostdinc", "-fno-common", "-O1"),
                    *("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wmissing-prototypes"),
                    *("-Wstrict-prototypes", "-Wframe-larger-than=1024", "-Werror", *options),
                    *("-I", KEXT / "host" / "include", "-I", KEXT / "include"),
                    *("-c", "-o", objects[-1], source),
                ],
                check=True,
                capture_output=True,
                text=True,
            )
        return objects

    return compile_


def symbols(objects, kind):
    """Names that nm lists for `kind`, such as --undefined-only."""
    output = subprocess.run(
        ["nm", "--format=posix", kind, *objects], check=True, capture_output=True, text=True
    ).stdout
    return {line.split()[0] for line in output.splitlines() if not line.endswith(":")}


def test_bundle_keys(info):
    """Info.plist has what the loader wants, and names what the Makefile builds."""
    assert info["CFBundlePackageType"] == "KEXT"
    assert info["CFBundleInfoDictionaryVersion"] == "6.0"
    assert info["CFBundleSupportedPlatforms"] == ["MacOSX"]
    name = re.search(r"^NAME +:= (\w+)$", (KEXT / "Makefile").read_text(), re.MULTILINE)[1]
    assert info["CFBundleExecutable"] == info["CFBundleName"] == name
    assert not set(info) & {"IOKitPersonalities", "OSBundleRequired"}


def test_bundle_has_one_identity(info):
    """Info.plist, header, kmod_info and Makefile agree on the bundle's identifier."""
    header = re.search(r'#define FOO_BUNDLE_ID "(.*)"', (KEXT / "include" / "foo.h").read_text())
    kmod = re.search(r"^KMOD_EXPLICIT_DECL\(([\w.]+),", TEXT, re.MULTILINE)
    bundle = re.search(r"^BUNDLE +:= (\S+)$", (KEXT / "Makefile").read_text(), re.MULTILINE)
    assert {header[1], kmod[1], bundle[1]} == {info["CFBundleIdentifier"]}


def test_bundle_has_one_version(info):
    """Info.plist has the header's version, in the form that the loader reads."""
    header = (KEXT / "include" / "foo.h").read_text()
    parts = [
        re.search(rf"#define FOO_VERSION_{part} (\d+)", header)[1]
        for part in ("MAJOR", "MINOR", "PATCH")
    ]
    assert info["CFBundleVersion"] == info["CFBundleShortVersionString"] == ".".join(parts)
    assert re.fullmatch(r"\d{1,4}\.\d{1,2}\.\d{1,2}", info["CFBundleVersion"])


def test_bundle_libraries(info):
    """The kext links to public KPIs only, each with the lowest Darwin version it is meant for."""
    libraries = info["OSBundleLibraries"]
    assert set(libraries) == KPI_LIBRARIES
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in libraries.values())


def test_makefile_builds_both_architectures():
    """The Makefile compiles for arm64e (not arm64) and x86_64, joins the two and signs them."""
    if shutil.which("make") is None:
        pytest.skip("no make here")
    plan = subprocess.run(
        ["make", "--no-print-directory", "-n", "-C", KEXT, "BUILD=/nonexistent", "check"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for source in SOURCES:
        for architecture in ("arm64e", "x86_64"):
            assert re.search(
                rf"-target {architecture}-apple-macos\S+ .* -c src/{source.name}", plan
            )
    assert "-target arm64-" not in plan
    steps = ["lipo -create", "Info.plist", "codesign --force --sign", "kmutil libraries", "nm -u"]
    places = [plan.index(step) for step in steps]
    assert places == sorted(places)


TOOLS = {
    "xcrun": 'while [ "$1" != -o ]; do shift; done; : > "$2"',
    "cc": 'while [ "$1" != -o ]; do shift; done; : > "$2"',
    "lipo": 'while [ "$1" != -output ]; do shift; done; : > "$2"',
    "codesign": 'for last; do :; done; mkdir -p "$last/Contents/_CodeSignature"\n'
    ': > "$last/Contents/_CodeSignature/CodeResources"',
}
"""Stand-ins for the tools: each says that it ran, and makes what it is asked for."""


@pytest.fixture
def made(tmp_path):
    """Run make with the stand-ins, and tell which of them ran."""
    if shutil.which("make") is None:
        pytest.skip("no make here")
    for name, script in TOOLS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} >> {tmp_path}/ran\n{script}\n")
        (tmp_path / name).chmod(0o755)

    def run(folder, *settings):
        (tmp_path / "ran").write_text("")
        subprocess.run(
            ["make", "-s", "-C", folder, f"BUILD={tmp_path}/build", *settings],
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
            check=True,
        )
        return set((tmp_path / "ran").read_text().split())

    return run


def test_other_options_and_signers_are_made_anew(made):
    """The bundle follows its options and its signer, and is left alone with the same."""
    settings = [KEXT, "SDK=/sdk"]
    assert made(*settings) == {"xcrun", "lipo", "codesign"}
    assert made(*settings) == set()
    settings.append("""OPTIONS=-DFOO_CONTROL_NAME='"it.is"'""")
    assert made(*settings) == {"xcrun", "lipo", "codesign"}
    assert made(*settings) == set()
    settings.append("SIGN=Developer ID Application: A")
    assert made(*settings) == {"codesign"}
    assert made(*settings) == set()


def test_the_host_is_made_anew_with_another_sanitizer(made):
    """The host follows its sanitizer where it has one folder for all, and is else left alone."""
    settings = [KEXT / "host", "host", "CC=cc"]
    assert made(*settings) == {"cc"}
    assert made(*settings) == set()
    assert made(*settings, "SANITIZE=undefined") == {"cc"}
    assert made(*settings, "SANITIZE=undefined") == set()


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_only_public_kernel_functions(compile_kext, options):
    """Every build compiles without a warning, on a small stack, and links to public KPI only."""
    objects = compile_kext(*options)
    wanted = symbols(objects, "--undefined-only") - symbols(objects, "--defined-only")
    wanted -= {"_GLOBAL_OFFSET_TABLE_"}
    # The stand-ins give some functions a name of their own, to keep clear of the C library's.
    wanted = {name.removeprefix("kext_host_").removeprefix("kext_") for name in wanted}
    assert wanted - {"image_start", "image_stop"} <= KPI


@pytest.mark.parametrize(
    "option", [f'-DFOO_CONTROL_NAME="{"x" * 96}"', '-DFOO_CONTROL_NAME=""', "-DFOO_STATIC_ID=0"]
)
def test_options_that_cannot_work(compile_kext, option):
    """A name that the kernel would refuse, and an id that is none, do not compile."""
    with pytest.raises(subprocess.CalledProcessError) as caught:
        compile_kext(option)
    assert "static assertion failed" in caught.value.stderr


def test_only_kernel_headers():
    """The source includes headers that Kernel.framework has, and its own."""
    assert set(re.findall(r"#include <(.*)>", TEXT)) <= HEADERS
    assert set(re.findall(r'#include "(.*)"', TEXT)) == {"foo.h", "internal.h"}


def test_lessons_are_told():
    """Every mistake that the source says it avoids is explained in the README, and all are kept."""
    named = {
        one
        for group in re.findall(r"\(([KH]\d+(?:, [KH]\d+)*)\)", TEXT)
        for one in group.split(", ")
    }
    told = set(re.findall(r"^\| ([KH]\d+) \|", (KEXT / "README.md").read_text(), re.MULTILINE))
    assert named <= told
    assert {f"H{number}" for number in range(1, 13)} <= named
    assert told == {f"H{n}" for n in range(1, 13)} | {f"K{n}" for n in range(1, 21)}
