// What a page's front end makes of examples, without a browser: node front_end.mjs PAGE < examples.json
// Examples are file names, or lists of texts. Prints of each the inputs, or the sentence that is said instead.

import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { pathToFileURL } from "node:url";

globalThis.ImageData ??= class {
  constructor(data, width, height) {
    Object.assign(this, { data, width, height });
  }
};
globalThis.fetch = async (url) => new Response(await readFile(new URL(url)), { headers: { "content-type": "application/wasm" } });

const page = pathToFileURL(`${process.argv[2]}/`);
const read = (name) => readFile(new URL(name, page));
const { said } = JSON.parse(await read("model.json"));
const { opened } = await import(new URL("front_end.js", page));
const inputsOf = await opened(said, read);

const made = [];
for (const one of JSON.parse(await readFile("/dev/stdin"))) {
  try {
    const example = typeof one === "string" ? new File([await readFile(one)], basename(one)) : one;
    const inputs = await inputsOf(example);
    made.push(Object.fromEntries(Object.entries(inputs).map(([name, { data, dims }]) => [name, { dims, data: Array.from(data, Number) }])));
  } catch (error) {
    made.push({ error: error.message });
  }
}
console.log(JSON.stringify(made));
