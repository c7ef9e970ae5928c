// A decoded picture as a model sees it, to the bit what predict.py makes of it: cropped, on its background, grey or RGB,
// scaled as Pillow scales, normalised. No browser is needed for it.
//
// A picture is {width, height, mode, data}: mode is "L", "LA", "RGB", "RGBA" (8 bits), or "I" (grey of 16 bits); where
// `seeThrough` is set, transparency is laid on the background, else it is ignored.

export const MOST_PIXELS = 1 << 24;
const CHANNELS = { L: 1, LA: 2, RGB: 3, RGBA: 4, I: 1 };

/** The model's input: float32 (channels, height, width). `input` is that section of the model's metadata. */
export function preprocess(picture, input) {
  const { channels, height, width } = input;
  const kept = keep(picture, input.crop?.rows, input.crop?.columns);
  const ready = cover(recolour(kept, channels, input.bits ?? 16, input.background ?? null), height, width);
  const area = height * width;
  const values = new Float32Array(channels * area);
  for (let c = 0; c < channels; c++) {
    const mean = Math.fround(input.mean[c]), std = Math.fround(input.std[c]);
    // every value by itself, rounded to float32 after each step as NumPy does
    const levels = Float32Array.from({ length: 256 }, (_, level) => Math.fround(Math.fround(level / 255) - mean) / std);
    for (let at = 0; at < area; at++) values[c * area + at] = levels[ready.data[at * channels + c]];
  }
  return values;
}

/** The rows and columns of an upright picture that the model sees. Throws where it has fewer. */
export function keep(picture, rows, columns) {
  if (!rows && !columns) return picture;
  const [upper, lower] = rows ?? [0, picture.height], [left, right] = columns ?? [0, picture.width];
  if (lower > picture.height || right > picture.width)
    throw new Error(`This image is ${picture.width}x${picture.height}, and the model sees what lies within ${right}x${lower}.`);
  return cut(picture, left, upper, right - left, lower - upper);
}

/** The picture in 8 bits, "L" (1 channel) or "RGB" (3), on its background. */
export function recolour(picture, channels, bits, background) {
  if (picture.mode === "I") {
    const grey = Uint8Array.from(picture.data, (value) => Math.min(255, value >> (bits - 8)));
    picture = { ...picture, mode: "L", data: grey };
  } else if (background !== null && picture.seeThrough) {
    picture = layOn(picture, background);
  }
  return converted(picture, channels === 1 ? "L" : "RGB");
}

/** Scaled until it just covers height x width, then cropped at the centre: bicubic, antialiased. */
export function cover(picture, height, width) {
  if (picture.width === width && picture.height === height) return picture;
  const scale = Math.max(width / picture.width, height / picture.height);
  const across = Math.max(width, roundHalfEven(picture.width * scale));
  const down = Math.max(height, roundHalfEven(picture.height * scale));
  const left = Math.floor((across - width) / 2), upper = Math.floor((down - height) / 2);
  if (across * down <= MOST_PIXELS)
    return cut(resize(picture, down, across, [0, 0, picture.width, picture.height]), left, upper, width, height);
  const x = picture.width / across, y = picture.height / down;
  return resize(picture, height, width, [left * x, upper * y, (left + width) * x, (upper + height) * y].map(Math.fround));
}

function cut(picture, left, upper, width, height) {
  const n = CHANNELS[picture.mode];
  const data = new picture.data.constructor(width * height * n);
  for (let y = 0; y < height; y++) {
    const from = ((upper + y) * picture.width + left) * n;
    data.set(picture.data.subarray(from, from + width * n), y * width * n);
  }
  return { ...picture, width, height, data };
}

/** Pillow's alpha_composite onto an opaque grey; what is opaque throughout stays as it is. */
function layOn(picture, background) {
  const n = CHANNELS[picture.mode], colours = n - 1, area = picture.width * picture.height;
  const data = new Uint8Array(area * colours);
  for (let at = 0; at < area; at++) {
    const alpha = picture.data[at * n + colours];
    for (let c = 0; c < colours; c++) {
      const mixed = (picture.data[at * n + c] * alpha + background * (255 - alpha)) * 128 + (0x80 << 7);
      data[at * colours + c] = (((mixed >> 8) + mixed) >> 8) >> 7;
    }
  }
  return { ...picture, mode: colours === 1 ? "L" : "RGB", data };
}

function converted(picture, mode) {
  const n = CHANNELS[picture.mode], area = picture.width * picture.height, of = picture.data;
  if (picture.mode === mode) return picture;
  const data = new Uint8Array(area * CHANNELS[mode]);
  for (let at = 0; at < area; at++) {
    if (mode === "L") data[at] = n < 3 ? of[at * n] : luma(of[at * n], of[at * n + 1], of[at * n + 2]);
    else for (let c = 0; c < 3; c++) data[at * 3 + c] = n < 3 ? of[at * n] : of[at * n + c];
  }
  return { ...picture, mode, data };
}

/** ITU-R 601, in Pillow's fixed point. */
function luma(red, green, blue) {
  return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
}

/** Pillow's resampling of 8-bit pictures: across, then down, each in fixed point of 22 bits and rounded to 8. */
function resize(picture, height, width, [left, upper, right, lower]) {
  const n = CHANNELS[picture.mode];
  let { data } = picture;
  if (width !== picture.width || left || right !== width) {
    const wide = new Uint8Array(picture.height * width * n), taps = tapsOf(picture.width, left, right, width);
    for (let y = 0; y < picture.height; y++)
      for (let x = 0; x < width; x++)
        for (let c = 0; c < n; c++)
          wide[(y * width + x) * n + c] = weighed(data, taps[x], (y * picture.width + taps[x].first) * n + c, n);
    data = wide;
  }
  if (height !== picture.height || upper || lower !== height) {
    const tall = new Uint8Array(height * width * n), taps = tapsOf(picture.height, upper, lower, height);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width * n; x++)
        tall[y * width * n + x] = weighed(data, taps[y], taps[y].first * width * n + x, width * n);
    data = tall;
  }
  return { ...picture, width, height, data };
}

function weighed(data, { weights }, from, step) {
  let sum = 1 << 21;
  for (let k = 0; k < weights.length; k++) sum += weights[k] * data[from + k * step];
  return Math.min(255, Math.max(0, sum >> 22));
}

/** Of each place of the output: where its window in the input begins, and the weights there. */
function tapsOf(size, from, to, count) {
  const scale = (to - from) / count, wider = Math.max(scale, 1), support = 2 * wider;
  return Array.from({ length: count }, (_, place) => {
    const center = from + (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const last = Math.min(size, Math.trunc(center + support + 0.5));
    const exact = Array.from({ length: last - first }, (_, k) => bicubic((k + first - center + 0.5) * (1 / wider)));
    const total = exact.reduce((sum, one) => sum + one, 0);
    const weights = exact.map((one) => {
      const share = (total === 0 ? one : one / total) * (1 << 22);
      return Math.trunc(share < 0 ? share - 0.5 : share + 0.5);
    });
    return { first, weights };
  });
}

/** Keys (1981), a = -0.5. */
function bicubic(x) {
  const a = -0.5;
  x = Math.abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/** As Python rounds. */
function roundHalfEven(x) {
  const below = Math.floor(x), over = x - below;
  return over < 0.5 || (over === 0.5 && below % 2 === 0) ? below : below + 1;
}
