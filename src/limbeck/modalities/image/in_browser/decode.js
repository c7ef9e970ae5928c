// The (first) picture of a file, upright, as predict.py reads it. PNG and JPEG are decoded by libraries, so that they come out
// alike in every browser (a canvas would lose 16-bit grey and colours under transparency); other formats by the browser.

import { decode as decodePng, hasPngSignature } from "./lib/fast-png/lib/index.js";
import decodeJpeg from "./lib/@jsquash/jpeg/decode.js";

const MOST_BYTES = 64e6;

/** `bytes` is the file, an ArrayBuffer. Throws a sentence where it is no picture. */
export async function decode(bytes, name) {
  try {
    if (bytes.byteLength > MOST_BYTES) throw new Error(`it has ${Math.round(bytes.byteLength / 1e6)} MB; at most 64 are read`);
    const start = new Uint8Array(bytes);
    if (hasPngSignature(start)) return ofPng(decodePng(start));
    if (start[0] === 0xff && start[1] === 0xd8) return ofPixels(await decodeJpeg(bytes, { preserveOrientation: true }), "RGB");
    return ofPixels(await byBrowser(new Blob([bytes])), "RGBA");
  } catch (error) {
    throw new Error(`${name} cannot be read: it is not an image, or it is damaged (${String(error?.message ?? error).slice(0, 120)}).`);
  }
}

async function byBrowser(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

/** RGBA pixels as a picture; of a format without transparency as "RGB". */
function ofPixels({ width, height, data }, mode) {
  const rgba = { width, height, mode: "RGBA", data: new Uint8Array(data.buffer, data.byteOffset, data.length) };
  const opaque = mode === "RGB" || !rgba.data.some((value, at) => at % 4 === 3 && value !== 255);
  return { ...rgba, seeThrough: !opaque };
}

/** What fast-png gives, unpacked: grey of 1 to 16 bits, palettes, RGB, with alpha or one transparent colour. */
function ofPng(png) {
  const { width, height, depth } = png;
  if (png.channels === 1 && png.palette?.length) {
    const places = unpacked(png), entries = png.palette, alpha = entries[0].length === 4;
    const n = alpha ? 4 : 3, data = new Uint8Array(width * height * n);
    places.forEach((place, at) => data.set(entries[place] ?? [0, 0, 0, 255].slice(0, n), at * n));
    return seen({ width, height, mode: alpha ? "RGBA" : "RGB", data });
  }
  if (png.channels === 1 && depth === 16) return { width, height, mode: "I", data: png.data };
  let data = depth < 8 ? unpacked(png).map((value) => value * (255 / ((1 << depth) - 1))) : png.data;
  if (depth === 16) data = Uint8Array.from(data, (value) => value >> 8);
  const mode = ["L", "LA", "RGB", "RGBA"][png.channels - 1];
  if (!png.transparency?.length) return seen({ width, height, mode, data });
  // One colour is transparent: as Pillow has it, the number in the file against the pixel in 8 bits.
  const colours = png.channels, with_alpha = new Uint8Array(width * height * (colours + 1));
  const key = depth === 1 ? [png.transparency[0] ? 255 : 0] : Array.from(png.transparency);
  for (let at = 0; at < width * height; at++) {
    for (let c = 0; c < colours; c++) with_alpha[at * (colours + 1) + c] = data[at * colours + c];
    const hidden = key.every((value, c) => value === data[at * colours + c]);
    with_alpha[at * (colours + 1) + colours] = hidden ? 0 : 255;
  }
  return seen({ width, height, mode: colours === 1 ? "LA" : "RGBA", data: with_alpha });
}

/** The picture, and whether any of it is to be seen through. */
function seen(picture) {
  const n = { LA: 2, RGBA: 4 }[picture.mode];
  return { ...picture, seeThrough: n !== undefined && picture.data.some((value, at) => at % n === n - 1 && value !== 255) };
}

/** A byte a pixel, of rows that begin at whole bytes. */
function unpacked({ width, height, depth, data }) {
  if (depth === 8) return data;
  const row = Math.ceil((width * depth) / 8), mask = (1 << depth) - 1, values = new Uint8Array(width * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const bit = x * depth;
      values[y * width + x] = (data[y * row + (bit >> 3)] >> (8 - depth - (bit & 7))) & mask;
    }
  return values;
}
