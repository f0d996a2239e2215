import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.engine.checkpoint import find_weights, weights
from app.engine.errors import CheckpointError, DownloadError

CONTENT = b"weights" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()[:8]


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

    failures = 0
    requests = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        broken = self.server.requests <= self.server.failures
        if broken and "error" in self.path:
            self.send_error(503)
            return
        if "missing" in self.path:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:100] if broken else CONTENT)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(weights, "PAUSE_S", 0.01)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
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


@pytest.mark.parametrize(
    ("name", "requests"),
    [
        pytest.param("missing.pth", 1, id="not there: no second try"),
        pytest.param("lie-00000000.pth", 3, id="wrong content"),
    ],
)
def test_downloads_that_fail_leave_nothing(
    server: Server, tmp_path: Path, name: str, requests: int
):
    with pytest.raises(CheckpointError, match=r"failed.*mount a folder"):
        find_weights(f"{server.url}/{name}", [tmp_path], allow_download=True)

    assert server.requests == requests
    assert not list(tmp_path.iterdir())


def test_addresses_cannot_lead_out_of_the_folder(server: Server, tmp_path: Path):
    url = f"{server.url}/../%2e%2e/outside.pth"

    assert find_weights(url, [tmp_path], allow_download=True) == tmp_path / "outside.pth"


def test_no_network_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(weights, "PAUSE_S", 0.01)

    with pytest.raises(DownloadError, match=r"failed .*mount a folder.*bake.*start from scratch"):
        find_weights("http://127.0.0.1:9/m.pkl", [tmp_path], allow_download=True)


def test_without_a_writable_folder_downloads_go_to_the_temporary_one(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(weights.tempfile, "gettempdir", lambda: str(tmp_path))

    path = find_weights(f"{server.url}/m.pth", [tmp_path / "nowhere"], allow_download=True)

    assert path == tmp_path / "weights" / "m.pth"
