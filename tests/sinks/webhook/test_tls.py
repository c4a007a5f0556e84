"""Certificates: the receiver's, kevmond's own, and wrong ones."""

import shutil
import ssl
import subprocess

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kevmond.errors import PermanentError, RetryableError
from kevmond.sinks.testing import records

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="certificates are made by openssl")


def authority(folder, name):
    """Make a certificate authority."""
    (folder / f"{name}.cnf").write_text(
        f"[req]\nprompt=no\ndistinguished_name=dn\nx509_extensions=ext\n[dn]\nCN={name}\n"
        "[ext]\nbasicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\n"
        "subjectKeyIdentifier=hash\n"
    )
    openssl(folder, *f"req -x509 -days 2 -config {name}.cnf".split(), *key(name), "-out", pem(name))


def certificate(folder, name, names, *, issuer="ca"):
    """Make a certificate for DNS names and addresses."""
    (folder / f"{name}.cnf").write_text(
        f"[req]\nprompt=no\ndistinguished_name=dn\n[dn]\nCN={name}\n"
        f"[ext]\nsubjectAltName={names}\nauthorityKeyIdentifier=keyid\n"
    )
    openssl(folder, *f"req -config {name}.cnf -out {name}.csr".split(), *key(name))
    openssl(
        folder,
        *f"x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial".split(),
        *f"-days 2 -extfile {name}.cnf -extensions ext -out {name}.pem".split(),
    )


def key(name):
    """Return the arguments that make a key."""
    return f"-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key".split()


def pem(name):
    """Return the name of a certificate's file."""
    return f"{name}.pem"


def openssl(folder, *arguments):
    """Run the command."""
    subprocess.run([OPENSSL, *arguments], cwd=folder, check=True, timeout=60, capture_output=True)


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    """Return a folder with two authorities, and certificates of a server, a client and another."""
    folder = tmp_path_factory.mktemp("certs")
    authority(folder, "ca")
    authority(folder, "stranger")
    certificate(folder, "server", "DNS:localhost,IP:127.0.0.1")
    certificate(folder, "other", "DNS:other.example")
    certificate(folder, "client", "DNS:mac.example")
    locked = "pkcs8 -topk8 -in client.key -out locked.key -passout pass:secret"
    openssl(folder, *locked.split())
    (folder / "both.pem").write_text(
        (folder / "client.pem").read_text() + (folder / "client.key").read_text()
    )
    return folder


@pytest.fixture
async def https(certs):
    """Return a function that starts a receiver with a certificate and returns its URL."""
    servers = []

    async def https(name, *, ask=False):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certs / f"{name}.pem", certs / f"{name}.key")
        if ask:
            context.load_verify_locations(certs / "ca.pem")
            context.verify_mode = ssl.CERT_REQUIRED

        async def answer(request):
            peer = request.transport.get_extra_info("peercert")
            https.shown.append(peer["subject"][0][0][1] if peer else None)
            return web.Response()

        app = web.Application()
        app.router.add_post("/", answer)
        server = TestServer(app, host="127.0.0.1", scheme="https")
        servers.append(server)
        await server.start_server(ssl=context)
        return str(server.make_url("/"))

    https.shown = []
    yield https
    for server in servers:
        await server.close()


async def test_own_authority_is_trusted(https, opened, certs):
    """With ca_file a receiver whose certificate it vouches for gets events."""
    sink = await opened(await https("server"), ca_file=certs / "ca.pem")
    assert await sink.write(records(1, 1)) == 1
    assert https.shown == [None]


async def test_unknown_authority_is_not(https, opened):
    """Without it the receiver is one that the system does not know: tried again, and told."""
    sink = await opened(await https("server"))
    with pytest.raises(RetryableError, match=r"its certificate is not accepted: .*issuer"):
        await sink.write(records(1, 1))
    assert https.shown == []


async def test_ca_file_takes_the_place_of_others(https, opened, certs):
    """Only what ca_file holds is trusted then."""
    sink = await opened(await https("server"), ca_file=certs / "stranger.pem")
    with pytest.raises(RetryableError, match="its certificate is not accepted"):
        await sink.write(records(1, 1))


async def test_certificate_of_another_name(https, opened, certs):
    """A certificate for another name is not accepted, and the name is told."""
    sink = await opened(await https("other"), ca_file=certs / "ca.pem")
    with pytest.raises(RetryableError, match=r"not accepted: .*127\.0\.0\.1"):
        await sink.write(records(1, 1))


@pytest.mark.parametrize(
    "files",
    [{"client_cert": "client.pem", "client_key": "client.key"}, {"client_cert": "both.pem"}],
)
async def test_own_certificate_is_shown(https, opened, certs, files):
    """A receiver that asks who is there is shown the certificate (mutual TLS)."""
    own = {name: certs / file for name, file in files.items()}
    sink = await opened(await https("server", ask=True), ca_file=certs / "ca.pem", **own)
    await sink.write(records(1, 1))
    assert https.shown == ["client"]


async def test_receiver_that_wants_a_certificate_gets_none(https, opened, certs):
    """A receiver that asks and is shown nothing closes; that is tried again, however it shows."""
    sink = await opened(await https("server", ask=True), ca_file=certs / "ca.pem")
    with pytest.raises(RetryableError, match=r"CERTIFICATE_REQUIRED|ECONNRESET|closed the"):
        await sink.write(records(1, 1))


async def test_receiver_without_tls(receiver, opened):
    """A port that speaks http where https is meant is told as that."""
    sink = await opened(receiver.url.replace("http:", "https:"))
    with pytest.raises(RetryableError, match="TLS cannot be agreed on"):
        await sink.write(records(1, 1))


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"ca_file": "missing.pem"}, r"ca_file .*missing\.pem: No such file"),
        ({"ca_file": "ca.cnf"}, r"ca_file .*ca\.cnf: not PEM as it is wanted here"),
        ({"client_cert": "missing.pem"}, r"client_cert .*missing\.pem: No such file"),
        ({"client_cert": "client.pem"}, r"client_cert .*client\.pem: not PEM as it is wanted"),
        ({"client_cert": "client.pem", "client_key": "server.key"}, r"server\.key: .*MISMATCH"),
        ({"client_cert": "client.pem", "client_key": "locked.key"}, r"locked\.key: not PEM"),
    ],
)
async def test_files_that_cannot_be_used(opened, certs, files, says):
    """A file that is missing or wrong is named when the sink opens; nobody is asked a password."""
    given = {name: certs / file for name, file in files.items()}
    with pytest.raises(PermanentError, match=says):
        await opened("https://hooks.example/", **given)
