"""python -m verification.web MODEL.onnx PICTURE...: the page of deploy/web finds what infer finds.

The page and its program run in node and, where `chromium` is installed, in Chromium without a
window, each with onnxruntime-web from npm. Pictures are PNG, which every browser decodes alike.
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
from typing import Any, ClassVar

import numpy as np

from app.engine.data.images.reading import read_image
from app.engine.predictor import OnnxPredictor

ROOT = Path(__file__).parents[1]
PACKAGE = "onnxruntime-web"
NOT_RUN = 77
MAX_SCORE, MAX_BOX = 3e-4, 0.05
"""Largest differences from infer, boxes in pixels."""

Found = list[dict[str, Any]]

_NODE = """
import fs from "node:fs";
import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs";
import about from "./about.mjs";
import { detect } from "./detect.mjs";
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(fs.readFileSync("model.onnx"));
const [width, height] = process.argv.slice(3).map(Number);
const data = fs.readFileSync(process.argv[2]);
console.log(JSON.stringify(await detect(ort, session, about, { data, width, height })));
"""


def main(arguments: Sequence[str]) -> int:
    """Compare every picture; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m verification.web", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--site", type=Path, default=ROOT / "build/web")
    options = parser.parse_args(arguments)
    if not (shutil.which("node") and shutil.which("npm")):
        print("not run: node and npm are needed")
        return NOT_RUN
    make_site(options.site, options.model)
    chromium = shutil.which("chromium")
    if chromium is None:
        print("Chromium: not run, since no program chromium is installed")
    predictor = OnnxPredictor(options.model, score_threshold=0.3)
    faults = 0
    with served(options.site) as address:
        for path, expected in predictor.detect_files(options.pictures):
            ways = {"node": in_node(options.site, path)}
            if chromium:
                ways["Chromium"] = in_chromium(chromium, options.site, address, path)
            for way, found in ways.items():
                fault = difference(found, expected)
                faults += bool(fault)
                print(f"{path.name}, {way}: {len(found)} objects, {fault or 'as infer'}")
    return int(faults > 0)


def make_site(site: Path, model: Path) -> None:
    """Put the page, the file, its metadata and onnxruntime-web into a folder."""
    site.mkdir(parents=True, exist_ok=True)
    for file in (ROOT / "deploy/web").iterdir():
        shutil.copy(file, site)
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
    command = ["node", "node.mjs", "pixels", str(width), str(height)]
    done = subprocess.run(command, cwd=site, check=True, capture_output=True, text=True)
    return list(json.loads(done.stdout))


def in_chromium(program: str, site: Path, address: str, picture: Path) -> Found:
    """Return what the page itself finds in Chromium, which decodes the picture."""
    shutil.copy(picture, site / picture.name)
    command = [
        *(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--virtual-time-budget=600000", "--dump-dom"),
        f"{address}/index.html?picture={picture.name}",
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
    extensions_map: ClassVar = {
        **SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
    }

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing of requests."""


def difference(found: Found, expected: Any) -> str:
    """Return how what the page found differs from what infer found; nothing if it does not."""
    if len(found) != len(expected):
        return f"{len(expected)} by infer"
    scores = np.array([each["score"] for each in found]) - expected.scores
    boxes = np.array([each["box"] for each in found]).reshape(-1, 4) - expected.boxes
    largest = np.abs(scores).max(initial=0.0), np.abs(boxes).max(initial=0.0)
    if largest[0] > MAX_SCORE or largest[1] > MAX_BOX:
        return f"scores differ by {largest[0]:.2g}, boxes by {largest[1]:.2g} px"
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
