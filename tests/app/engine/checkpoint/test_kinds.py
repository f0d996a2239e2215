"""For a file that holds no weights, the error names the kind of file."""

import gzip
import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from app.engine.checkpoint import read_checkpoint
from app.engine.checkpoint.kinds import foreign_kind
from app.engine.errors import CheckpointError


def torch_file() -> bytes:
    buffer = io.BytesIO()
    torch.save({"model": {"a.weight": torch.arange(600.0)}}, buffer)
    return buffer.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("model.pth")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    return buffer.getvalue()


def array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ones(3))
    return buffer.getvalue()


WHOLE = torch_file()
FOREIGN = {
    "empty": (b"", "empty"),
    "zeros": (bytes(5000), "nothing but zeros"),
    "truncated": (WHOLE[: len(WHOLE) // 2], "ends early"),
    "truncated to its first bytes": (WHOLE[:20], "ends early"),
    "web page": (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", r"a web page \(HTML\)"),
    "web page in capitals": (b"\n <HTML><HEAD>", "web page"),
    "web page with a mark and a comment": (b"\xef\xbb\xbf<!-- x --><html lang=en>", "web page"),
    "storage server's error": (b"<?xml version='1.0'?><Error/>", "XML"),
    "bare error": (b"<Error><Code>NoSuchKey</Code></Error>", "XML"),
    "JSON": (b'{"message": "Not Found"}', "JSON"),
    "git-lfs pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "git lfs pull",
    ),
    "git-annex pointer": (b"/annex/objects/SHA256E-s9--0.pth\n", "git annex get"),
    "gzip": (gzip.compress(WHOLE), "a gzip archive; unpack it"),
    "tar": (tarred(WHOLE), "a tar archive; unpack it"),
    "zip around it": (zipped({"model.pth": WHOLE}), r"a zip archive around model\.pth; unpack it"),
    "zip of other things": (zipped({"notes.txt": b"x"}), "a zip archive of 1 files"),
    "npz": (zipped({"a.npy": array()}), "npz"),
    "npy": (array(), "numpy array"),
    "picture": (picture(), "a picture"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(range(99)), "7z"),
    "rar": (b"Rar!\x1a\x07" + bytes(range(99)), "RAR"),
    "keras": (b"\x89HDF\r\n\x1a\n" + bytes(range(99)), "HDF5"),
    "onnx": (b"\x08\x0a\x12\x07pytorch\x1a\x05" + bytes(range(99)), "an ONNX model"),
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(range(99)), "TensorFlow Lite"),
    "a Mac's side file": (b"\0\x05\x16\x07" + bytes(range(99)), "AppleDouble"),
    "TorchScript": (zipped({"m/data.pkl": b"x", "m/constants.pkl": b"x"}), "TorchScript program"),
    "pickle of a later protocol": (b"\x80\x63.", "unsupported pickle protocol"),
    "text": (b"hello, these are no weights", r"not a whole pickle file"),
}


@pytest.mark.parametrize("suffix", ["pth", "pkl", "pt"])
@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files(tmp_path: Path, name: str, suffix: str):
    content, told = FOREIGN[name]
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match=rf"model\.{suffix}: .*{told}") as caught:
        read_checkpoint(path)

    assert "\n" not in str(caught.value)
    assert ";" in str(caught.value)


@pytest.mark.parametrize("protocol", [4, 5])
def test_torch_files_of_another_protocol(tmp_path: Path, protocol: int):
    torch.save({"a.weight": torch.ones(3)}, tmp_path / "m.pth", pickle_protocol=protocol)

    with pytest.raises(CheckpointError, match=r"pickle protocol.*no pickle_protocol"):
        read_checkpoint(tmp_path / "m.pth")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"<!DOCTYPE html><html>", id="web page"),
        pytest.param(b"\x10\0\0\0\0\0\0\0{not json at all", id="header"),
        pytest.param(b"\xff\xff\xff\xff\0\0\0\0{}", id="length"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\x02\0\0", id="shorter than its length"),
    ],
)
def test_damaged_safetensors(tmp_path: Path, content: bytes):
    (tmp_path / "m.safetensors").write_bytes(content)

    with pytest.raises(CheckpointError, match=r"m\.safetensors: "):
        read_checkpoint(tmp_path / "m.safetensors")


def test_a_folder_of_unpacked_parts(tmp_path: Path):
    (tmp_path / "model.pth").mkdir()
    (tmp_path / "model.pth/data.pkl").write_bytes(b"x")

    with pytest.raises(CheckpointError, match=r"a folder, the unpacked parts of a file"):
        read_checkpoint(tmp_path / "model.pth")


def test_weights_of_every_kind_are_no_foreign_files(tmp_path: Path):
    state = {"a.weight": torch.rand(3)}
    torch.save(state, tmp_path / "zip")
    torch.save(state, tmp_path / "legacy", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(state, tmp_path / "safetensors")
    for protocol in range(6):
        arrays = {name: value.numpy() for name, value in state.items()}
        (tmp_path / f"pickle{protocol}").write_bytes(pickle.dumps(arrays, protocol=protocol))

    for path in tmp_path.iterdir():
        assert foreign_kind(path) is None
        assert read_checkpoint(path).model


@pytest.mark.parametrize("length", [0x227B, 0x8B1F, 0x4D5A])
def test_the_length_of_a_safetensors_header_may_look_like_anything(tmp_path: Path, length: int):
    """Its first bytes are those of JSON text, of gzip, of a program."""
    header = b'{"a.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(length)
    content = length.to_bytes(8, "little") + header + bytes(4)
    (tmp_path / "m.pth").write_bytes(content)

    assert read_checkpoint(tmp_path / "m.pth").model["a.weight"].tolist() == [0]
