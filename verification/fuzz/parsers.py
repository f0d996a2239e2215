"""Every parser of files from outside, with the inputs to try on it; see `readers`."""

import io
import json
import pickletools
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml
from hypothesis import strategies as st

from app.engine.checkpoint.files import read_checkpoint
from executor.dataset_reader import read_training_index
from verification.fuzz import readers, runs, samples
from verification.fuzz.mutations import (
    WEIRD_WORDS,
    WEIRD_YAML,
    Tree,
    damaged,
    json_text,
    noise,
    regrown,
    rewritten,
    stored,
)

Inputs = st.SearchStrategy[bytes]

_EVERY_KEY = 30  # lines of a message that names every wrong key of a file


@dataclass(frozen=True)
class Parser:
    """A parser and its inputs.

    read       reads the file; other files that it needs lie beside it
    file_name  what the file is called
    inputs     hostile contents
    max_lines  of its error messages
    """

    name: str
    read: Callable[[Path], object]
    file_name: str
    inputs: Inputs
    max_lines: int = 4


def _any_of(*strategies: Inputs) -> Inputs:
    """Inputs of the given makers in equal shares; one in eight is noise."""
    return st.integers(0, 7).flatmap(lambda i: noise() if i == 0 else st.one_of(*strategies))


def _yaml_text(tree: Tree) -> str:
    """Top-level keys on lines of their own, the rest in flow style; texts as they are."""
    if not isinstance(tree, dict):
        return _flow(tree)
    return "".join(f"{key}: {_flow(value)}\n" for key, value in tree.items())


def _flow(value: Tree) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return str(value)[:6000]


def _yaml_inputs(tree: Tree) -> Inputs:
    words = (*WEIRD_WORDS, *WEIRD_YAML)
    grown = regrown(tree, (*words, *({"a": "b"}, ["x", ["y"]], [], {}))).map(_yaml_text)
    dumped = yaml.safe_dump(tree, allow_unicode=True)
    spliced = rewritten(dumped, r"(\s+|[:,\[\]{}])", words)
    return _any_of(stored(grown), stored(spliced), damaged(dumped.encode()))


def _json_inputs(tree: Tree) -> Inputs:
    text = json.dumps(tree)
    words = (
        *WEIRD_WORDS,
        "[" * 20_000,
        '{"a":' * 20_000,
        "-",
        "1e",
        "NaN",
        "Infinity",
        '"\\ud800"',
    )
    return _any_of(
        stored(json_text(regrown(tree))),
        stored(json_text(regrown(tree))),
        stored(rewritten(text, r"([\s:,\[\]{}]+)", words)),
    )


def _picture_inputs() -> Inputs:
    files = st.sampled_from(sorted(samples.pictures().values()))
    return _any_of(files.flatmap(damaged), files.flatmap(lambda data: damaged(data, edits=40)))


@st.composite
def _edited_pickle(draw: st.DrawFn, data: bytes) -> bytes:
    """A pickle with operations dropped, repeated, swapped or put in."""
    operations = _operations(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(operations) - 1))
        kind = draw(st.sampled_from(("drop", "repeat", "swap", "insert")))
        if kind == "drop" and len(operations) > 1:
            del operations[at]
        elif kind == "repeat":
            operations[at:at] = operations[at : at + draw(st.integers(1, 8))]
        elif kind == "swap":
            to = draw(st.integers(0, len(operations) - 1))
            operations[at], operations[to] = operations[to], operations[at]
        else:
            operations.insert(at, draw(st.sampled_from(_OPERATIONS)))
    return b"".join(operations)


def _operations(data: bytes) -> list[bytes]:
    starts = [position for _, _, position in pickletools.genops(data) if position is not None]
    return [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]


_OPERATIONS = (
    *(b"N", b"K\x05", b"J\xff\xff\xff\x7f", b"]", b"}", b")", b"(", b"t", b"\x85", b"\x86", b"R"),
    *(b"b", b"s", b"u", b"a", b"e", b"0", b"2", b"1", b".", b"h\x00", b"h\xfe", b"q\x00", b"\x94"),
    *(b"cos\nsystem\n", b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"ccollections\nOrderedDict\n"),
    *(b"c_codecs\nencode\n", b"U\x02f8", b"X\x02\x00\x00\x00f4", b"G\x7f\xf0\0\0\0\0\0\0", b"\x88"),
    *(b"ctorch._utils\n_rebuild_tensor_v2\n", b"c__builtin__\nbytearray\n", b"Q", b"\x8f", b"I9\n"),
    b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
)


def _pickle_inputs(files: Sequence[bytes]) -> Inputs:
    content = st.sampled_from(list(files))
    return _any_of(content.flatmap(damaged), content.flatmap(_edited_pickle))


@st.composite
def _edited_zip(draw: st.DrawFn, data: bytes) -> bytes:
    """A zip archive with one of its members edited, and its checksums right."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        members = {info.filename: old.read(info) for info in old.infolist()}
        chosen = draw(st.sampled_from(sorted(members)))
        for name, content in members.items():
            if name != chosen:
                new.writestr(name, content)
            elif name.endswith(".pkl"):
                new.writestr(name, draw(st.one_of(damaged(content), _edited_pickle(content))))
            elif draw(st.integers(0, 5)):
                new.writestr(name, draw(damaged(content or b"x")))
    return buffer.getvalue()


def _torch_inputs() -> Inputs:
    zipped, legacy = samples.torch_files()
    return _any_of(damaged(zipped), _edited_zip(zipped), damaged(legacy, edits=2))


@st.composite
def _safetensors(draw: st.DrawFn) -> bytes:
    header, body = samples.safetensors_file()
    text = json.dumps(draw(regrown(header))).encode()
    lies = (0, 1, 2, 7, len(text) + 1, 10**8, 2**40, 2**63, 2**64 - 1)
    size = len(text) if draw(st.integers(0, 3)) else draw(st.sampled_from(lies))
    return size.to_bytes(8, "little") + text + draw(st.one_of(st.just(body), damaged(body)))


def _safetensors_inputs() -> Inputs:
    header, body = samples.safetensors_file()
    text = json.dumps(header).encode()
    return _any_of(_safetensors(), damaged(len(text).to_bytes(8, "little") + text + body))


@cache
def whole_runs() -> tuple[Parser, ...]:
    """The supervisor, as a parser of env.yaml and config.yaml; see `runs`."""
    env = {key: value for key, value in samples.ENV.items() if key != "output"}
    return (
        Parser("runs: env.yaml", runs.run_with_env, "env.yaml", _yaml_inputs(env)),
        Parser(
            "runs: config.yaml", runs.run_with_config, "config.yaml", _yaml_inputs(samples.SETTINGS)
        ),
    )


@cache
def parsers() -> tuple[Parser, ...]:
    """All parsers."""
    index = stored(rewritten(samples.INDEX, r"([\t\n/])", WEIRD_WORDS))
    ark = stored(rewritten(samples.ARK, r"(\s*[,\n]\s*)", WEIRD_WORDS))
    yolo = stored(rewritten(samples.YOLO, r"(\s+)", WEIRD_WORDS))
    xml = rewritten(samples.VOC, r"(<[^>]*>)", (*WEIRD_WORDS, *samples.HOSTILE_XML))
    cvat = rewritten(samples.CVAT, r"(<[^>]*>|[ ,;='\"]+)", (*WEIRD_WORDS, *samples.HOSTILE_XML))
    options = stored(rewritten(samples.OPTIONS, r"([\s=.,()]+)", WEIRD_WORDS))
    names = stored(rewritten("x\nx 1\n", r"(\s)", WEIRD_WORDS))
    npz = _any_of(damaged(samples.proposal_npz()), _edited_zip(samples.proposal_npz()))
    proposals = _pickle_inputs([samples.proposal_pickle()])
    return (
        Parser("env.yaml", readers.read_env, "env.yaml", _yaml_inputs(samples.ENV), _EVERY_KEY),
        Parser(
            "config.yaml", readers.read_settings, "config.yaml", _yaml_inputs(samples.SETTINGS), 30
        ),
        Parser("training index", read_training_index, "train-index.tsv", _any_of(index)),
        Parser("candidate index", readers.read_candidates, "candidate-index.tsv", _any_of(index)),
        Parser("ark", readers.read_annotation("ark"), "a.txt", _any_of(ark)),
        Parser("YOLO", readers.read_annotation("yolo"), "a.txt", _any_of(yolo)),
        Parser("VOC XML", readers.read_annotation("voc"), "a.xml", _any_of(stored(xml))),
        Parser("COCO JSON", readers.read_annotation("coco"), "a.json", _json_inputs(samples.COCO)),
        Parser("COCO and LVIS sets", readers.read_datasets, "set.json", _json_inputs(samples.COCO)),
        Parser(
            "COCO panoptic", readers.read_panoptic, "panoptic.json", _json_inputs(samples.PANOPTIC)
        ),
        Parser("LabelMe", readers.read_source("labelme"), "a.json", _json_inputs(samples.LABELME)),
        Parser("CVAT", readers.read_source("cvat"), "a.xml", _any_of(stored(cvat))),
        Parser(
            "Label Studio",
            readers.read_source("labelstudio"),
            "a.json",
            _json_inputs(samples.LABEL_STUDIO),
        ),
        Parser("boxes of infer", readers.read_found, "a.json", _json_inputs(samples.FOUND_BOXES)),
        Parser("masks of infer", readers.read_found, "a.json", _json_inputs(samples.FOUND_MASKS)),
        Parser(
            "data.yaml", readers.read_source("yolo"), "data.yaml", _yaml_inputs(samples.DATA_YAML)
        ),
        Parser("VOC lists", readers.read_voc_folder, "train.txt", _any_of(names)),
        Parser(
            "engine YAML", readers.read_engine_config, "model.yaml", _yaml_inputs(samples.ENGINE)
        ),
        Parser("args_options", readers.read_options, "args_options", _any_of(options)),
        Parser("model package", readers.read_package, "result.yaml", _yaml_inputs(samples.PACKAGE)),
        Parser("torch checkpoint", read_checkpoint, "model.pth", _torch_inputs()),
        Parser("pickle", read_checkpoint, "model.pkl", _pickle_inputs(samples.pickle_files())),
        Parser("safetensors", read_checkpoint, "model.safetensors", _safetensors_inputs()),
        Parser(
            "resume manifest", readers.read_store, "manifest.json", _json_inputs(samples.MANIFEST)
        ),
        Parser("image", readers.read_picture, "image.jpg", _picture_inputs()),
        Parser("proposal pickle", readers.read_proposals, "proposals.pkl", proposals),
        Parser("proposal npz", readers.read_proposals, "proposals.npz", npz),
        Parser(
            "proposal JSON",
            readers.read_proposals,
            "proposals.json",
            _json_inputs(samples.PROPOSALS),
        ),
    )
