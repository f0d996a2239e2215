"""Files made to run code, read secrets or take all memory are refused, without any effect.

Code that runs would leave a canary: a file, or a connection to a listening socket. (Pickles have
their own table, beside their reader.)
"""

import gzip
import io
import json
import pickle
import resource
import socket
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.engine.checkpoint.files import read_checkpoint
from app.engine.config.yaml_file import read_config
from app.engine.data.datasets.coco import empty_record
from app.engine.data.datasets.proposals import attach_proposals
from app.engine.data.formats import FORMATS, Reading
from app.engine.data.images.headers import image_size
from app.engine.data.images.reading import read_image
from app.engine.data.problems import Problems
from app.engine.errors import CheckpointError, ConfigError, DatasetError, ImageError
from app.engine.trained.model_files import find_model
from app.tasks.args_options import parse_args_options
from executor import errors
from executor.yaml_reader import read_yaml

TOUCH = "touch canary"
MEMORY_MB = 300


@pytest.fixture(autouse=True)
def _canaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    yield
    assert not list(tmp_path.parent.rglob("canary"))
    assert not Path("/tmp/canary").exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_mb < MEMORY_MB


class Touch:
    """Pickles as a call that leaves the canary."""

    def __reduce__(self) -> Any:
        return eval, ("open('canary', 'w').close()",)


# torch archives -----------------------------------------------------------------------------------


def _int(number: int) -> bytes:
    return b"\x8a\x09" + number.to_bytes(9, "little", signed=True)


def _tuple(numbers: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(_int, numbers)) + b"t"


def _tensor(
    *,
    numel: int = 4,
    offset: int = 0,
    size: tuple[int, ...] = (4,),
    stride: tuple[int, ...] = (1,),
    key: str = "0",
) -> bytes:
    """data.pkl of {"model": {"a": a tensor}}, as torch.save writes it."""
    text = b"X" + struct.pack("<I", len(key)) + key.encode()
    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\n" + text + b"X\x03\0\0\0cpu"
    head = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + _int(numel) + b"tQ"
    tail = b"\x89ccollections\nOrderedDict\n)RtR"
    return _model(head + _int(offset) + _tuple(size) + _tuple(stride) + tail)


def _model(value: bytes) -> bytes:
    return b"\x80\x02}X\x05\0\0\0model}X\x01\0\0\0a" + value + b"ss."


def _call(name: bytes, arguments: bytes) -> bytes:
    return _model(b"c" + name + arguments + b"R")


def _archive(
    content: bytes,
    extra: dict[str, bytes] | None = None,
    *,
    record: bytes = b"\0" * 16,
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    members = {"data.pkl": content, "byteorder": b"little", "data/0": record, "version": b"3\n"}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(f"m/{name}", data)
        for name, data in (extra or {}).items():
            archive.writestr(name, data)
    return buffer.getvalue()


HUGE = _int(10**13)

TORCH = {
    "more numbers than the record": _archive(_tensor(numel=10**7, size=(10**7,))),
    "a tensor larger than the memory": _archive(_tensor(numel=10**15, size=(10**15,))),
    "a view of a number a million times squared": _archive(
        _tensor(size=(10**6, 10**6), stride=(0, 0))
    ),
    "negative stride": _archive(_tensor(stride=(-1,))),
    "negative offset": _archive(_tensor(offset=-4)),
    "offset behind the end": _archive(_tensor(offset=10**9, size=(1,))),
    "negative size": _archive(_tensor(size=(-4,))),
    "overflowing size": _archive(_tensor(size=(2**62, 2**62))),
    "record outside the archive": _archive(_tensor(key="../../../../etc/passwd")),
    "huge bytearray": _archive(_call(b"builtins\nbytearray\n", b"(" + HUGE + b"t")),
    "huge storage": _archive(_call(b"torch.storage\nUntypedStorage\n", b"(" + HUGE + b"t")),
    "huge empty tensor": _archive(_call(b"torch\nFloatTensor\n", b"(" + HUGE + b"t")),
    "tensor without memory": _archive(
        _call(
            b"torch._utils\n_rebuild_meta_tensor_no_storage\n",
            b"(ctorch\nfloat32\n" + _tuple((10**9,)) + _tuple((1,)) + b"\x89t",
        )
    ),
    "compressed zeros": _archive(_tensor(), record=b"\0" * 10**7, compression=zipfile.ZIP_DEFLATED),
    "member that leads out": _archive(_tensor(), {"../../canary": b"x"}),
    "absolute member": _archive(_tensor(), {"/tmp/canary": b"x"}),
    "TorchScript program": _archive(
        _tensor(),
        {"m/code/__torch__.py": b"open('canary', 'w')", "m/constants.pkl": pickle.dumps(())},
    ),
    "a pickle under another name": _archive(_call(b"posix\nsystem\n", b"(S'touch canary'\nt")),
    "a second data.pkl": _archive(
        _tensor(), {"n/data.pkl": _call(b"posix\nsystem\n", b"(S'touch canary'\nt")}
    ),
}


@pytest.mark.parametrize("name", TORCH)
def test_torch_archive(name: str, tmp_path: Path):
    (tmp_path / "model.pth").write_bytes(TORCH[name])
    with pytest.raises(CheckpointError, match=r"model\.pth"):
        read_checkpoint(tmp_path / "model.pth")


def test_the_torch_archive_that_the_attacks_change_is_a_good_one(tmp_path: Path):
    (tmp_path / "model.pth").write_bytes(_archive(_tensor()))
    assert read_checkpoint(tmp_path / "model.pth").model["a"].tolist() == [0, 0, 0, 0]


# tar archives: nothing here unpacks them, whatever their name says --------------------------------


def _member(name: str, kind: bytes = tarfile.REGTYPE, **fields: Any) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    for field, value in fields.items():
        setattr(member, field, value)
    return member


TAR = {
    "leads up": _member("../canary"),
    "absolute": _member("/tmp/canary"),
    "link out": _member("canary", tarfile.SYMTYPE, linkname="/etc/passwd"),
    "hard link out": _member("canary", tarfile.LNKTYPE, linkname="../../etc/passwd"),
    "device": _member("canary", tarfile.CHRTYPE, devmajor=1, devminor=5),
    "pipe": _member("canary", tarfile.FIFOTYPE),
    "set user id": _member("canary", mode=0o6777),
    "ten gigabytes of nothing": _member("canary", size=10 << 30),
    "file in place of a folder": _member("a/model.pth/canary"),
}


@pytest.mark.parametrize("file_name", ["model.tar.gz", "model.tar", "model.pth", "model.pkl"])
@pytest.mark.parametrize("name", TAR)
def test_tar_archive(name: str, file_name: str, tmp_path: Path):
    models = tmp_path / "models"
    models.mkdir()
    content = TAR[name].tobuf() + b"\0" * 10240  # the header may lie about the size
    (models / file_name).write_bytes(gzip.compress(content) if "gz" in file_name else content)
    with pytest.raises(CheckpointError, match=r"models"):
        read_checkpoint(find_model([], models).weights)
    assert [path.name for path in models.iterdir()] == [file_name]


def test_tar_with_the_first_bytes_of_a_torch_file(tmp_path: Path):
    """torch has a reader of tar archives, and knows its older format by other first bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in ("m", "storages", "tensors", "pickle"):
            content = pickle.dumps(Touch())
            archive.addfile(_member(name, size=len(content)), io.BytesIO(content))
    data = bytearray(buffer.getvalue())
    magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
    data[:100] = magic.ljust(100, b"\0")
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    (tmp_path / "model.pth").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"model\.pth"):
        read_checkpoint(tmp_path / "model.pth")


def test_links_in_a_models_folder_do_not_lead_out(tmp_path: Path):
    models = tmp_path / "models"
    models.mkdir()
    (tmp_path / "secret.pth").write_bytes(_archive(_tensor()))
    (models / "model.pth").symlink_to(tmp_path / "secret.pth")
    (models / "result.yaml").write_text(
        "best_stage_name: ..\nmodel_stages: {..: {files: [secret.pth, /etc/passwd]}}"
    )
    with pytest.raises(CheckpointError, match="no weights found"):
        find_model([], models)
    with pytest.raises(CheckpointError, match="must lie in"):
        find_model([models / "model.pth"], models)


# safetensors --------------------------------------------------------------------------------------


def _safetensors(header: Any, *, size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + b"\0" * 16


def _entry(begin: int, end: int, shape: tuple[int, ...] = (4,), kind: str = "F32") -> Any:
    return {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}


SAFETENSORS = {
    "ends behind the file": _safetensors({"a": _entry(0, 1600)}),
    "overlapping": _safetensors({"a": _entry(0, 16), "b": _entry(0, 16)}),
    "a hole": _safetensors({"a": _entry(8, 16, (2,))}),
    "negative offset": _safetensors({"a": _entry(-16, 0)}),
    "end before begin": _safetensors({"a": _entry(16, 0)}),
    "shape larger than the file": _safetensors({"a": _entry(0, 16, (10**9,))}),
    "overflowing shape": _safetensors({"a": _entry(0, 16, (2**63, 2**63))}),
    "header of 2 ** 63 bytes": _safetensors({"a": _entry(0, 16)}, size=2**63),
    "header of 100 MB that is not there": _safetensors({"a": _entry(0, 16)}, size=10**8),
    "header of 100 MB": _safetensors(b"{" + b" " * 10**8 + b"}"),
    "deep header": _safetensors(b'{"a":' + b"[" * 10**6),
    "objects": _safetensors({"a": _entry(0, 16, kind="O")}),
}


@pytest.mark.parametrize("name", SAFETENSORS)
def test_safetensors(name: str, tmp_path: Path):
    (tmp_path / "model.safetensors").write_bytes(SAFETENSORS[name])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        read_checkpoint(tmp_path / "model.safetensors")


# YAML and options ---------------------------------------------------------------------------------

YAML = {
    "apply": f"SEED: !!python/object/apply:os.system ['{TOUCH}']",
    "apply with keywords": f"SEED: !!python/object/apply:subprocess.run {{args: [[{TOUCH}]]}}",
    "new": f"SEED: !!python/object/new:os.system ['{TOUCH}']",
    "object": "SEED: !!python/object:pathlib.Path {}",
    "name": "SEED: !!python/name:os.system",
    "module": "SEED: !!python/module:antigravity",
    "eval": "SEED: !!python/object/apply:eval [\"open('canary', 'w')\"]",
    "eval by import": f"SEED: !!python/object/apply:eval [\"__import__('os').system('{TOUCH}')\"]",
    "eval by attributes": 'SEED: !!python/object/apply:eval ["().__class__.__mro__[1]"]',
    "eval by format": "SEED: !!python/object/apply:eval [\"'{0.__class__}'.format(1)\"]",
    "eval of a power": 'SEED: !!python/object/apply:eval ["9**9**9**9"]',
    "eval of a long list": 'SEED: !!python/object/apply:eval ["[1] * 99999999999"]',
    "tag by its address": f"SEED: !<tag:yaml.org,2002:python/object/apply:os.system> [{TOUCH}]",
    "tag directive": "%TAG ! tag:yaml.org,2002:python/\n---\n"
    f"SEED: !object/apply:os.system [{TOUCH}]",
    "alias bomb": "a0: &a0 [x]\n"
    + "".join(f"a{i}: &a{i} [{f'*a{i - 1},' * 9}]\n" for i in range(1, 12)),
    "deep": "SEED: " + "[" * 100_000,
    "merge of itself": "SEED: &a {<<: *a}",
    "base elsewhere": "_BASE_: /etc/passwd",
    "base from the network": "_BASE_: http://127.0.0.1/canary.yaml",
}


@pytest.mark.parametrize("name", YAML)
def test_yaml(name: str, tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text(YAML[name])
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        read_config(path)
    if not name.startswith("base"):  # a key without meaning to the platform's files
        with pytest.raises(errors.ConfigError, match=r"config\.yaml"):
            read_yaml(path)


def test_a_config_written_in_python_is_not_run(tmp_path: Path):
    (tmp_path / "config.py").write_text("open('canary', 'w').close()\nmodel = 1\n")
    with pytest.raises(ConfigError):
        read_config(tmp_path / "config.py")


@pytest.mark.parametrize("text", ["a $(touch\\ canary)", "a `touch${IFS}canary`", "a b;id"])
def test_options_are_no_shell(text: str):
    assert len(parse_args_options(text).overrides) == 2


# XML ----------------------------------------------------------------------------------------------

LAUGHS = '<!ENTITY a0 "ha">' + "".join(
    f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10)
)


def _xml(declarations: str, name: str = "&x;") -> str:
    box = "<bndbox><xmin>0</xmin><ymin>0</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    body = f"<annotation><object><name>{name}</name>{box}</object></annotation>"
    return f"<!DOCTYPE annotation [{declarations}]>{body}"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket that nobody may connect to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        yield server
        with pytest.raises(TimeoutError):
            server.accept()


XML = {
    "entity": _xml('<!ENTITY x "cat">'),
    "billion laughs": _xml(LAUGHS, "&a9;"),
    "quadratic": _xml(f'<!ENTITY x "{"A" * 50_000}">', "&x;" * 10_000),
    "file": _xml('<!ENTITY x SYSTEM "file:///etc/passwd">'),
    "network": _xml('<!ENTITY x SYSTEM "http://127.0.0.1:PORT/canary">'),
    "parameter entity": _xml('<!ENTITY % x SYSTEM "http://127.0.0.1:PORT/canary"> %x;', "cat"),
    "external DTD": (
        '<!DOCTYPE annotation SYSTEM "http://127.0.0.1:PORT/canary.dtd">'
        "<annotation><object><name>cat&x;</name></object></annotation>"
    ),
    "unparsed entity": _xml('<!NOTATION n SYSTEM "x"><!ENTITY x SYSTEM "canary" NDATA n>', "cat"),
    "include": (
        '<annotation xmlns:xi="http://www.w3.org/2001/XInclude"><object><name>'
        '<xi:include href="/etc/passwd" parse="text"/></name></object></annotation>'
    ),
    "style sheet": (
        '<?xml-stylesheet href="http://127.0.0.1:PORT/canary"?><annotation><object><name>x</name>'
        "</object></annotation>"
    ),
}


@pytest.mark.parametrize("name", XML)
def test_xml(name: str, tmp_path: Path, listener: socket.socket):
    image, annotation = tmp_path / "a.png", tmp_path / "a.xml"
    Image.new("RGB", (32, 32)).save(image)
    annotation.write_text(XML[name].replace("PORT", str(listener.getsockname()[1])))
    problems = Problems()
    records = FORMATS["voc"]([(image, annotation)], Reading(["cat"], problems=problems))
    assert not any(len(record) for record in records)
    assert problems.total == 1
    assert "root:" not in "\n".join(problems.lines())


# proposals and pictures ---------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".pkl", ".npz", ".npy"])
def test_proposals(suffix: str, tmp_path: Path):
    path = tmp_path / f"proposals{suffix}"
    attack = np.array([Touch()], dtype=object)
    if suffix == ".npz":
        np.savez(path, ids=attack, boxes=attack, objectness_logits=attack)
    elif suffix == ".npy":
        np.save(path, attack)
    else:
        path.write_bytes(pickle.dumps({"ids": Touch()}))
    with pytest.raises(DatasetError, match="proposals"):
        attach_proposals([empty_record(path, (4, 4), 1)], path)


EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
    b"(%pipe%touch canary) (w) file\nshowpage\n%%EOF\n"
)

PICTURES = {
    "EPS, for which Pillow starts Ghostscript": EPS,
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "ImageMagick's own language": b"push graphic-context\nimage over 0,0 0,0 'msl:canary'\n",
    "XPM": b'/* XPM */\nstatic char *a[] = {\n"9999999 9999999 1 1",\n"a c #ff0000",\n};\n',
    "FITS": b"SIMPLE  =                    T".ljust(80) + b"END".ljust(80),
    "PSD": b"8BPS\0\1" + b"\0" * 6 + b"\0\3" + struct.pack(">II", 30000, 30000) + b"\0\x08\0\3",
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name: str, tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(PICTURES[name])
    for read in (read_image, image_size):
        with pytest.raises(ImageError, match=r"a\.jpg"):
            read(tmp_path / "a.jpg")
