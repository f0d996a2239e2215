import hashlib
import io
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from app.engine.checkpoint import find_weights, weights
from app.engine.errors import CheckpointError, DownloadError

CONTENT = b"weights" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()[:8]


def torch_file() -> bytes:
    buffer = io.BytesIO()
    torch.save({"a.weight": torch.arange(3000.0)}, buffer)
    return buffer.getvalue()


def put(folder: Path, name: str, content: bytes = b"x") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("detectron2://A/b.pkl", "https://dl.fbaipublicfiles.com/detectron2/A/b.pkl"),
        ("torchvision://m-1.pth", "https://download.pytorch.org/models/m-1.pth"),
        (
            "catalog://ImageNetPretrained/FAIR/R-50-GN",
            "https://dl.fbaipublicfiles.com/detectron/ImageNetPretrained/47261647/R-50-GN.pkl",
        ),
        (
            "catalog://Caffe2Detectron/COCO/35998355/rpn_R-50-C4_1x",
            "https://dl.fbaipublicfiles.com/detectron/35998355/12_2017_baselines/"
            "rpn_R-50-C4_1x.yaml.08_00_43.njH5oD9L/output/train/"
            "coco_2014_train%3Acoco_2014_valminusminival/rpn/model_final.pkl",
        ),
        ("https://x.y/z.pth", "https://x.y/z.pth"),
    ],
)
def test_addresses(address: str, url: str):
    assert weights.resolve_url(address) == url


@pytest.mark.parametrize(
    "address", ["catalog://nothing", "s3://bucket/x.pkl", "file:///etc/passwd"]
)
def test_unknown_addresses_are_named(address: str):
    with pytest.raises(CheckpointError, match=address):
        find_weights(address, [], allow_download=True)


def test_nothing_means_from_scratch(tmp_path: Path):
    assert find_weights("", [tmp_path], allow_download=False) is None


@pytest.mark.parametrize(
    "stored",
    [
        "detectron2/ImageNetPretrained/MSRA/R-50.pkl",
        "ImageNetPretrained/MSRA/R-50.pkl",
        "MSRA/R-50.pkl",
        "R-50.pkl",
    ],
)
def test_urls_are_found_by_the_end_of_their_path(tmp_path: Path, stored: str):
    empty = tmp_path / "empty"
    path = put(tmp_path / "baked", stored)
    put(tmp_path / "baked", "other/R-50.pkl")
    url = "detectron2://ImageNetPretrained/MSRA/R-50.pkl"

    assert find_weights(url, [empty, tmp_path / "baked"], allow_download=False) == path


def test_the_longest_end_wins_over_the_first_folder(tmp_path: Path):
    put(tmp_path / "first", "R-50.pkl")
    path = put(tmp_path / "second", "MSRA/R-50.pkl")
    url = "detectron2://ImageNetPretrained/MSRA/R-50.pkl"

    assert (
        find_weights(url, [tmp_path / "first", tmp_path / "second"], allow_download=False) == path
    )


def test_catalog_entries_are_found_by_their_file(tmp_path: Path):
    path = put(tmp_path, "R-50-GN.pkl")
    url = "catalog://ImageNetPretrained/FAIR/R-50-GN"

    assert find_weights(url, [tmp_path], allow_download=False) == path


def test_paths_are_taken_as_they_are_or_below_the_folders(tmp_path: Path):
    path = put(tmp_path, "folder/model.pth")

    assert find_weights(str(path), [], allow_download=False) == path
    assert find_weights("folder/model.pth", [tmp_path], allow_download=False) == path
    assert find_weights("model.pth", [tmp_path / "folder"], allow_download=False) == path


def test_the_query_stays(tmp_path: Path):
    put(tmp_path, "model.pth")

    found = find_weights("model.pth?matching_heuristics=True", [tmp_path], allow_download=False)

    assert found == tmp_path / "model.pth?matching_heuristics=True"


@pytest.mark.parametrize(
    "address", ["detectron2://ImageNetPretrained/MSRA/R-50.pkl", "/nowhere/R-50.pkl"]
)
def test_missing_weights_name_three_remedies(tmp_path: Path, address: str):
    with pytest.raises(CheckpointError) as caught:
        find_weights(address, [tmp_path / "weights"], allow_download=False)

    message = str(caught.value)
    assert f"mount a folder with R-50.pkl at {tmp_path}/weights" in message
    assert "bake the file into the image" in message
    assert 'MODEL.WEIGHTS to "" to start from scratch' in message


def test_a_name_that_lies_about_its_checksum_is_refused(tmp_path: Path):
    put(tmp_path, f"good-{DIGEST}.pth", CONTENT)
    put(tmp_path, "bad-00000000.pth", CONTENT)

    assert find_weights(f"torchvision://good-{DIGEST}.pth", [tmp_path], allow_download=False)
    with pytest.raises(CheckpointError, match="checksum 00000000"):
        find_weights("torchvision://bad-00000000.pth", [tmp_path], allow_download=False)


class Server(ThreadingHTTPServer):
    """Serves CONTENT; the first `failures` answers are broken as the path says."""

    daemon_threads = True
    failures = 0
    requests = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


PAGE = b"<!DOCTYPE html><html><body>Please sign in</body></html>"
WHOLE = torch_file()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        broken = self.server.requests <= self.server.failures
        kind = self.path.rpartition("/")[2].partition("-")[0].removesuffix(".pth")
        if kind.isdigit() or (broken and kind == "error"):
            self.send_error(int(kind) if kind.isdigit() else 503)
        elif kind == "silent":
            time.sleep(2)
        elif kind == "moved":
            self.send_response(302)
            self.send_header("Location", f"{self.server.url}/portal.pth")
            self.end_headers()
        else:
            self.send_content(kind, broken=broken)

    def send_content(self, kind: str, *, broken: bool) -> None:
        content = {"portal": PAGE, "empty": b"", "endless": WHOLE, "stub": WHOLE[:300]}
        body = content.get(kind, CONTENT)
        self.send_response(200)
        if kind not in ("endless", "stub"):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:100] if broken else body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(weights, "PAUSE_S", 0.01)
    monkeypatch.setattr(weights, "REACH_S", 0.4)


@pytest.fixture
def server(quick: None) -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("fault", ["fine", "cut", "error"])
def test_downloads_are_retried_checked_and_kept(server: Server, tmp_path: Path, fault: str):
    server.failures = 0 if fault == "fine" else 2
    url = f"{server.url}/folder/{fault}-{DIGEST}.pth"

    path = find_weights(url, [tmp_path], allow_download=True)

    assert path == tmp_path / "folder" / f"{fault}-{DIGEST}.pth"
    assert path.read_bytes() == CONTENT
    assert server.requests == server.failures + 1
    assert find_weights(url, [tmp_path], allow_download=False) == path


def test_a_file_of_unknown_length_is_kept_when_it_is_whole(server: Server, tmp_path: Path):
    path = find_weights(f"{server.url}/endless.pth", [tmp_path], allow_download=True)

    assert path is not None
    assert path.read_bytes() == WHOLE


@pytest.mark.parametrize(
    ("name", "requests", "told"),
    [
        pytest.param("404.pth", 1, "404", id="not there: no second try"),
        pytest.param("403.pth", 1, "403", id="forbidden"),
        pytest.param("407.pth", 1, "407", id="the proxy wants a name"),
        pytest.param("503.pth", 3, "503", id="the server is busy"),
        pytest.param("lie-00000000.pth", 3, "checksum 00000000", id="wrong content"),
        pytest.param("portal.pth", 1, r"a web page \(HTML\) and no weights", id="captive portal"),
        pytest.param("moved.pth", 2, "a web page", id="sent to a captive portal"),
        pytest.param("empty.pth", 1, "empty", id="nothing"),
        pytest.param("stub.pth", 3, "ends early", id="cut, of unknown length"),
        pytest.param("silent.pth", 1, "no answer within", id="accepted and silent"),
    ],
)
def test_downloads_that_fail_leave_nothing(
    server: Server, tmp_path: Path, name: str, requests: int, told: str
):
    with pytest.raises(DownloadError, match=rf"failed \(.*{told}.*mount a folder"):
        find_weights(f"{server.url}/{name}", [tmp_path], allow_download=True)

    assert server.requests == requests
    assert not list(tmp_path.iterdir())


def test_addresses_cannot_lead_out_of_the_folder(server: Server, tmp_path: Path):
    url = f"{server.url}/../%2e%2e/outside.pth"

    assert find_weights(url, [tmp_path], allow_download=True) == tmp_path / "outside.pth"


def test_whether_weights_could_be_downloaded(server: Server, black_hole: int) -> None:
    assert weights.why_unreachable(f"{server.url}/m.pkl") == ""
    assert "404" in weights.why_unreachable(f"{server.url}/404.pth")
    assert "no answer within" in weights.why_unreachable(f"http://127.0.0.1:{black_hole}/m.pkl")


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port that answers no request for a connection: its queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
        yield port
        for client in waiting:
            client.close()


@pytest.mark.parametrize("case", ["address", "proxy", "names", "refused", "closed proxy", "TLS"])
def test_without_a_network_the_end_comes_soon_in_one_sentence(
    case: str, server: Server, black_hole: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    url = "http://weights.invalid/m.pkl"
    told = "no answer within"
    if case == "address":
        url = f"http://127.0.0.1:{black_hole}/m.pkl"
    elif case == "proxy":
        monkeypatch.setenv("http_proxy", f"http://user:secret@127.0.0.1:{black_hole}")
        told = f"no answer within .*through the proxy 127.0.0.1:{black_hole}"
    elif case == "names":
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: time.sleep(3))
    elif case == "refused":
        url, told = "http://127.0.0.1:9/m.pkl", "refused"
    elif case == "closed proxy":
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        told = "refused, through the proxy 127.0.0.1:9"
    else:
        url, told = f"{server.url.replace('http:', 'https:')}/m.pkl", "SSL|TLS"
        monkeypatch.setattr(weights, "REACH_S", 6.0)  # it is answered, late on a busy machine
    start = time.monotonic()

    with pytest.raises(DownloadError, match=f"({told}).*mount a folder.*start from scratch") as got:
        find_weights(url, [tmp_path], allow_download=True)

    assert time.monotonic() - start < 2
    assert "secret" not in str(got.value)
    assert not list(tmp_path.iterdir())


def test_the_time_without_a_network_is_short():
    """The longest way: the first attempt takes all the time that there is for an answer."""
    assert weights.REACH_S + sum(weights.PAUSE_S * n for n in (1, 2)) < 10


def test_without_a_writable_folder_downloads_go_to_the_temporary_one(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(weights.tempfile, "gettempdir", lambda: str(tmp_path))

    path = find_weights(f"{server.url}/m.pth", [tmp_path / "nowhere"], allow_download=True)

    assert path == tmp_path / "weights" / "m.pth"


@pytest.mark.parametrize("name", ["x" * 5000, "https://[x/y.pth", "https:///y.pth", "a\0b.pth"])
def test_names_that_no_file_can_have(name: str, quick: None, tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"MODEL\.WEIGHTS"):
        find_weights(name, [tmp_path], allow_download=True)


def test_a_folder_is_called_one(tmp_path: Path):
    with pytest.raises(CheckpointError, match="a folder, not a file"):
        find_weights(str(tmp_path), [], allow_download=True)


def test_who_asks_can_give_other_advice(tmp_path: Path):
    with pytest.raises(CheckpointError, match="there is no such file; buy some"):
        find_weights("a.pth", [tmp_path], allow_download=True, remedies=lambda: "buy some")
