// The page: a model in onnxruntime-web, asked about a person's own examples and measured, of whatever modality. What turns an
// example into the model's inputs is front_end.js.

import * as ort from "./lib/onnxruntime-web/dist/ort.wasm.min.mjs";
import { form, opened } from "./front_end.js";
import { answersOf } from "./answers.js";
import { exampleInputs, measured, profileOf } from "./measure.js";

const MOST_SHOWN = 10;
const at = (id) => document.getElementById(id);
const read = async (name) => {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name} is not there (${answer.status}): copy the whole folder.`);
  return answer.arrayBuffer();
};

async function main() {
  const model = JSON.parse(new TextDecoder().decode(await read("model.json")));
  const { said } = model;
  at("task").textContent = model.task;
  at("name").textContent = document.title = said.name || "A model";
  at("size").textContent = bytes(model.bytes);
  at("runtime").textContent = `${model.runtime} ${model.version}`;
  ort.env.wasm.wasmPaths = new URL("lib/onnxruntime-web/dist/", location.href).href;
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(new Uint8Array(await read(model.file)), { executionProviders: ["wasm"] });
  const inputsOf = await opened(said, read);
  const run = async (feeds) => Object.values(await session.run(feeds))[0].data;
  const some = tensors(exampleInputs(said));
  let turn = 0; // of several examples given at once the last is shown
  form(at("form"), said, async (example) => {
    const mine = ++turn;
    try {
      const feeds = tensors(await inputsOf(example)), start = performance.now();
      const logits = await run(feeds), took = performance.now() - start;
      if (mine === turn) show(answersOf(logits, said), took);
    } catch (error) {
      if (mine === turn) complain(error);
    }
  });
  await run(some); // lays out memory
  at("status").textContent = "Ready.";
  at("measure").disabled = false;
  at("measure").onclick = async () => {
    at("measure").disabled = true;
    at("measure").textContent = "Measuring …";
    const found = await measured(() => run(some));
    const text = JSON.stringify(await profileOf(model, found), null, 1) + "\n";
    at("p50").textContent = milliseconds(found.value);
    at("measured").textContent =
      `${milliseconds(found.value)}, 95 % interval ${milliseconds(found.low)} to ${milliseconds(found.high)}: the median of ` +
      `${found.n} bursts of ${found.runs_in_a_burst} runs each, on one thread.`;
    at("profile").href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    at("profile").hidden = false;
    at("measure").disabled = false;
    at("measure").textContent = "Measure again";
  };
}

function tensors(inputs) {
  return Object.fromEntries(Object.entries(inputs).map(([name, { type, data, dims }]) => [name, new ort.Tensor(type, data, dims)]));
}

/** Names come from whoever made the data: they are only ever text. */
function show(answers, took) {
  at("problem").hidden = true;
  at("took").textContent = milliseconds(took);
  const hidden = answers.length - MOST_SHOWN;
  at("status").textContent = hidden > 0 ? `The ${MOST_SHOWN} likeliest of ${answers.length}.` : "";
  at("answers").replaceChildren(
    ...answers.slice(0, MOST_SHOWN).map(({ name, share, value, unit }) => {
      const item = document.createElement("li"), line = document.createElement("div");
      const told = share === undefined ? `${Number(value.toPrecision(6))} ${unit}`.trim() : `${(100 * share).toFixed(1)} %`;
      line.className = "line";
      line.append(textual("span", name, "named"), textual("span", told, "share"));
      item.append(line);
      item.dataset.value = share ?? value;
      if (share !== undefined) {
        const bar = document.createElement("div"), filled = document.createElement("div");
        bar.className = "bar";
        filled.style.width = `${100 * share}%`;
        bar.append(filled);
        item.append(bar);
      }
      return item;
    }),
  );
}

function complain(error) {
  at("answers").replaceChildren();
  at("status").textContent = "";
  at("problem").hidden = false;
  at("problem").textContent = error?.message ?? String(error);
}

function textual(tag, text, kind) {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = kind;
  return made;
}

const bytes = (n) => (n < 1e6 ? `${(n / 1e3).toPrecision(3)} KB` : `${(n / 1e6).toPrecision(3)} MB`);
const milliseconds = (ms) => (ms < 0.1 ? `${(1000 * ms).toPrecision(2)} µs` : `${Number(ms.toPrecision(2))} ms`);

async function keepForOffline() {
  if (!navigator.serviceWorker) return "needs https";
  await navigator.serviceWorker.register("service-worker.js");
  await navigator.serviceWorker.ready;
  return "works";
}

main().catch(complain);
keepForOffline().then(
  (told) => (at("offline").textContent = told),
  () => (at("offline").textContent = "does not work"),
);
