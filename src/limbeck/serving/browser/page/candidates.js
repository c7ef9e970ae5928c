// The page of all candidates of a search: each is timed in onnxruntime-web, one after the other, for the profile that the search is given.

import * as ort from "./lib/onnxruntime-web/dist/ort.wasm.min.mjs";
import { device, exampleInputs, measured } from "./measure.js";

const at = (id) => document.getElementById(id);
const read = async (name) => {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name} is not there (${answer.status}): copy the whole folder.`);
  return answer.arrayBuffer();
};

async function main() {
  const { candidates, ...same } = JSON.parse(new TextDecoder().decode(await read("candidates.json")));
  const names = Object.keys(candidates);
  const profile = { ...same, threads: 1, ...(await device()), figures: {}, failed: {}, what: {} };
  for (const name of names) profile.what[name] = candidates[name].what;
  at("count").textContent = names.length;
  at("runtime").textContent = `${same.runtime} ${same.version}`;
  ort.env.wasm.wasmPaths = new URL("lib/onnxruntime-web/dist/", location.href).href;
  ort.env.wasm.numThreads = 1;
  at("measure").disabled = false;
  at("measure").onclick = async () => {
    at("measure").disabled = true;
    at("measure").textContent = "Measuring …";
    for (const name of names) {
      const item = document.createElement("li");
      try {
        const latency = await timed(candidates[name]);
        profile.figures[name] = { latency_ms: latency, size_kb: { value: candidates[name].bytes / 1000 } };
        item.textContent = `${candidates[name].what}: ${latency.value.toPrecision(3)} ms (${latency.low.toPrecision(3)} to ${latency.high.toPrecision(3)})`;
      } catch (error) {
        profile.failed[name] = String(error);
        item.textContent = `${candidates[name].what}: ${error}`;
      }
      at("figures").append(item);
      at("done").textContent = Object.keys(profile.figures).length;
      URL.revokeObjectURL(at("profile").href);
      at("profile").href = URL.createObjectURL(new Blob([JSON.stringify(profile, null, 1) + "\n"], { type: "application/json" }));
      at("profile").hidden = false;
    }
    at("measure").textContent = "Measured";
  };
}

async function timed({ file, said, tokens }) {
  const session = await ort.InferenceSession.create(new Uint8Array(await read(file)), { executionProviders: ["wasm"] });
  const inputs = Object.entries(exampleInputs(said, tokens ?? undefined));
  const feeds = Object.fromEntries(inputs.map(([name, { type, data, dims }]) => [name, new ort.Tensor(type, data, dims)]));
  try {
    return await measured(() => session.run(feeds));
  } finally {
    await session.release();
  }
}

main().catch((error) => {
  at("problem").textContent = error.message;
  at("problem").hidden = false;
});
