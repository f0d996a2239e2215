"""python -m verification.web: the page of deploy/web finds what infer finds.

The page and its program run in node and, where `chromium` is installed, in Chromium without a
window, each with onnxruntime-web from npm. Without `--model` a small untrained model is exported,
without `--pictures` made-up PNGs are taken, which every browser decodes alike.
The exit status is 1 if anything differs, and 77 if neither node nor npm is there.
"""

import argparse
import html
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import torch

from app.engine.config import load_config
from app.engine.data.images.reading import read_image
from app.engine.export import EXPORTERS, ExportJob
from app.engine.modeling.build import build_detector
from app.engine.modeling.meta_arch.retinanet import RetinaNet
from app.engine.predictor import OnnxPredictor
from verification.picture_kinds import write_picture
from verification.reliability.trees import LIGHT

ROOT = Path(__file__).parents[1]
PACKAGE = "onnxruntime-web"
KINDS = ("colours", "20:1", "1:20", "tiny", "black and white")
NOT_RUN = 77
THRESHOLD = 0.2
MAX_SCORE, MAX_BOX = 3e-4, 0.05
"""Largest differences from infer, boxes in pixels."""
MIN_MATCHED = 0.98
"""Share of the objects that must match: rounding decides which of equal scores are kept."""

Found = list[dict[str, Any]]

_NODE = """
import fs from "node:fs";
import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs";
import about from "./about.mjs";
import { detect } from "./detect.mjs";
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(fs.readFileSync("model.onnx"));
const [width, height, threshold] = process.argv.slice(3).map(Number);
const data = fs.readFileSync(process.argv[2]);
console.log(JSON.stringify(await detect(ort, session, about, { data, width, height }, threshold)));
"""


def main(arguments: Sequence[str]) -> int:
    """Compare every picture; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m verification.web", description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--pictures", type=Path, nargs="+", default=[])
    parser.add_argument("--site", type=Path, default=ROOT / "build/web")
    options = parser.parse_args(arguments)
    if not (shutil.which("node") and shutil.which("npm")):
        print("not run: node and npm are needed")
        return NOT_RUN
    options.site.mkdir(parents=True, exist_ok=True)
    pictures = options.pictures or made_up(options.site)
    model = options.model or exported(options.site, pictures)
    make_site(options.site, model)
    chromium = shutil.which("chromium")
    if chromium is None:
        print("Chromium: not run, since no program chromium is installed")
    predictor = OnnxPredictor(model, score_threshold=THRESHOLD)
    faults, num_found = 0, 0
    with served(options.site) as address:
        for path, expected in predictor.detect_files(pictures):
            ways = {"node": in_node(options.site, path)}
            if chromium:
                ways["Chromium"] = in_chromium(chromium, options.site, address, path)
            for way, found in ways.items():
                fault = difference(found, expected)
                faults, num_found = faults + bool(fault), num_found + len(found)
                said = f"{path.name}, {way}: {len(found)} objects, {fault or 'as infer'}"
                print(said, flush=True)
    return int(faults > 0 or num_found == 0)  # without objects nothing is proven


def made_up(folder: Path) -> list[Path]:
    """Write PNGs of several kinds."""
    pictures = []
    for kind in KINDS:
        path = write_picture(kind, folder)
        pictures.append(path.rename(folder / f"{kind.replace(':', '-').replace(' ', '-')}.png"))
    return pictures


def exported(folder: Path, pictures: Sequence[Path]) -> Path:
    """Export a small model whose scores are spread, so that it finds something everywhere."""
    torch.manual_seed(0)
    cfg = load_config(ROOT / LIGHT, ["MODEL.DEVICE", "cpu", "INPUT.MIN_SIZE_TEST", "96"])
    model = build_detector(cfg).eval()
    assert isinstance(model, RetinaNet)
    last = model.head.cls_score
    assert last.bias is not None
    torch.nn.init.normal_(last.weight, std=0.01)
    torch.nn.init.constant_(last.bias, -1.0)
    names = [f"class {number}" for number in range(cfg.MODEL.RETINANET.NUM_CLASSES)]
    job = ExportJob(model=model, cfg=cfg, class_names=names, directory=folder, images=pictures)
    (path,) = EXPORTERS["onnx"](job)
    return path


def make_site(site: Path, model: Path) -> None:
    """Put the page, the file, its metadata and onnxruntime-web into a folder."""
    for file in (ROOT / "deploy/web").iterdir():
        shutil.copy(file, site)
    if model.resolve() != (site / "model.onnx").resolve():
        shutil.copy(model, site / "model.onnx")
    card = OnnxPredictor(model).card.metadata()
    about = {key: json.loads(text) for key, text in card.items() if key != "usage"}
    (site / "about.mjs").write_text(f"export default {json.dumps(about)};\n")
    (site / "node.mjs").write_text(_NODE)
    if not (site / "node_modules" / PACKAGE).is_dir():
        command = ["npm", "install", "--silent", "--no-save", "--ignore-scripts", PACKAGE]
        subprocess.run(command, cwd=site, check=True, stdout=subprocess.DEVNULL)


def in_node(site: Path, picture: Path) -> Found:
    """Return what the program of the page finds in node; the pixels are decoded here."""
    pixels = read_image(picture, "RGB")
    height, width = pixels.shape[:2]
    opaque = np.full((height, width, 1), 255, np.uint8)
    (site / "pixels").write_bytes(np.concatenate([pixels, opaque], axis=2).tobytes())
    command = ["node", "node.mjs", "pixels", str(width), str(height), str(THRESHOLD)]
    done = subprocess.run(command, cwd=site, check=True, capture_output=True, text=True)
    return list(json.loads(done.stdout))


def in_chromium(program: str, site: Path, address: str, picture: Path) -> Found:
    """Return what the page itself finds in Chromium, which decodes the picture."""
    if picture.parent != site:
        shutil.copy(picture, site)
    command = [
        *(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--virtual-time-budget=600000", "--dump-dom"),
        f"{address}/index.html?picture={picture.name}&threshold={THRESHOLD}",
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    told = re.search(r"<output[^>]*>(.*?)</output>", done.stdout, re.DOTALL)
    text = html.unescape(told[1]) if told else ""
    if not text.startswith("["):
        raise RuntimeError(f"the page shows {text!r}: {done.stderr[-500:]}")
    return list(json.loads(text))


@contextmanager
def served(site: Path) -> Iterator[str]:
    """Serve a folder inside the context; gives its address."""
    handler = partial(_Quiet, directory=str(site))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    extensions_map = {  # noqa: RUF012
        **SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
    }

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing of requests."""


def difference(found: Found, expected: Any) -> str:
    """Return how what the page found differs from what infer found; nothing if it does not.

    Objects are matched one to one, because equal scores may come in any order.
    """
    free = np.ones(len(expected), dtype=bool)
    for each in found:
        away = np.abs(expected.boxes - each["box"]).max(axis=1, initial=0.0)
        near = (away <= MAX_BOX) & (np.abs(expected.scores - each["score"]) <= MAX_SCORE)
        partners = np.flatnonzero(free & near)
        free[partners[:1]] = False
    matched = len(expected) - int(free.sum())
    if matched >= MIN_MATCHED * max(len(found), len(expected)):
        return ""
    return f"only {matched} of infer's {len(expected)} objects match"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
