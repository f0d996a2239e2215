// Detect objects with an exported file in a web page or in node, by onnxruntime-web.
//
// `ort` is the module onnxruntime-web, `session` one of its sessions of the file. The metadata are
// given as an object, because the library does not read them: `about.mjs` of the file is written by
// `python -c "import json, detect; print('export default', json.dumps(detect.open_model('model.onnx')[1]))"`.

// Objects in a picture: {data, width, height} with four bytes a pixel (RGBA), as a canvas gives it.
export async function detect(ort, session, about, picture, threshold = 0.3) {
  const [width, height] = networkSize(picture.width, picture.height, about);
  const rgb = resize(withoutTransparency(picture), picture.width, picture.height, width, height);
  const step = about.size_divisibility;
  const [paddedHeight, paddedWidth] = [height, width].map((side) => Math.ceil(side / step) * step);
  const images = new Uint8Array(paddedHeight * paddedWidth * 3);
  const order = about.image_format === "BGR" ? [2, 1, 0] : [0, 1, 2];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) {
        images[(y * paddedWidth + x) * 3 + c] = rgb[(y * width + x) * 3 + order[c]];
      }
    }
  }
  const pair = (one, other) =>
    new ort.Tensor("int64", BigInt64Array.from([BigInt(one), BigInt(other)]), [1, 2]);
  const found = await session.run({
    images: new ort.Tensor("uint8", images, [1, paddedHeight, paddedWidth, 3]),
    sizes: pair(height, width),
    original_sizes: pair(picture.height, picture.width),
    score_threshold: new ort.Tensor("float32", Float32Array.from([threshold]), []),
  });
  const objects = [];
  for (let row = 0; row < found.scores.data.length; row++) {
    const score = found.scores.data[row];
    if (score > 0) {
      const box = Array.from(found.boxes.data.slice(4 * row, 4 * row + 4));
      objects.push({ name: about.class_names[Number(found.classes.data[row])], score, box });
    }
  }
  return objects;
}

// Width and height to which an image is resized, each at least one pixel.
export function networkSize(width, height, about) {
  if (about.fixed_size && about.fixed_size.length) return [about.fixed_size[1], about.fixed_size[0]];
  if (!about.min_size) return [width, height];
  const short = Math.min(width, height);
  const scale = about.min_size / short;
  let sides = [width, height].map((side) => (side === short ? about.min_size : scale * side));
  const long = Math.max(...sides);
  if (long > about.max_size) sides = sides.map((side) => side * (about.max_size / long));
  return sides.map((side) => Math.max(Math.floor(side + 0.5), 1));
}

// Bilinear with antialiasing, in the integers of Pillow, so that the pixels are the training's.
export function resize(rgb, width, height, newWidth, newHeight) {
  const across = newWidth === width ? rgb : resizeRows(rgb, width, height, newWidth);
  if (newHeight === height) return across;
  const turned = transposed(across, newWidth, height);
  return transposed(resizeRows(turned, height, newWidth, newHeight), newHeight, newWidth);
}

function resizeRows(rgb, width, height, newWidth) {
  const taps = weights(width, newWidth);
  const made = new Uint8Array(newWidth * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < newWidth; x++) {
      const { first, values } = taps[x];
      for (let c = 0; c < 3; c++) {
        let sum = 1 << 21;
        for (let k = 0; k < values.length; k++) {
          sum += rgb[(y * width + first + k) * 3 + c] * values[k];
        }
        made[(y * newWidth + x) * 3 + c] = Math.min(Math.max(sum >> 22, 0), 255);
      }
    }
  }
  return made;
}

// For each new pixel the first old one and the weights of a triangle, in 22 bits.
function weights(length, newLength) {
  const scale = length / newLength;
  const support = Math.max(scale, 1);
  return Array.from({ length: newLength }, (_, index) => {
    const centre = (index + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - support + 0.5), 0);
    const last = Math.min(Math.trunc(centre + support + 0.5), length);
    const raw = [];
    for (let old = first; old < last; old++) {
      raw.push(Math.max(1 - Math.abs((old - centre + 0.5) * (1 / support)), 0));
    }
    const total = raw.reduce((sum, value) => sum + value, 0);
    return { first, values: raw.map((value) => Math.trunc(0.5 + (value / total) * (1 << 22))) };
  });
}

function transposed(rgb, width, height) {
  const made = new Uint8Array(rgb.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) made[(x * height + y) * 3 + c] = rgb[(y * width + x) * 3 + c];
    }
  }
  return made;
}

function withoutTransparency({ data, width, height }) {
  const rgb = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let c = 0; c < 3; c++) rgb[3 * pixel + c] = data[4 * pixel + c];
  }
  return rgb;
}
