// How long a run takes here, and the profile that says so, in the form of measure.py's (profile.json).

const BURST_MS = 20; // a browser's clock is rounded to 0.1 ms, so that many runs are timed together
const WARM_UP_MS = 500;
const LONGEST_MS = 6000;
const LEAST_BURSTS = 20, MOST_BURSTS = 200;
const LEVEL = 0.95;
const LENGTH = 32; // of inputs of which any will do

/** Inputs made up as the model's metadata say that they are: standard normal numbers, or whole ones of a range. */
export function exampleInputs(said, length = Math.min(LENGTH, said.input.max_length ?? LENGTH)) {
  return Object.fromEntries(
    Object.entries(said.inputs).map(([name, { dtype, shape, range }]) => {
      const dims = shape.map((side, at) => (typeof side === "number" ? side : at ? length : 1));
      const count = dims.reduce((product, side) => product * side, 1);
      const low = range[0], span = Math.max(1, range[1] - low);
      if (dtype === "int64") return [name, { type: dtype, dims, data: BigInt64Array.from({ length: count }, () => BigInt(low + Math.floor(Math.random() * span))) }];
      return [name, { type: dtype, dims, data: Float32Array.from({ length: count }, normal) }];
    }),
  );
}

/** Milliseconds of one call of `run`: the median over bursts of a burst's mean, and its 95 % interval by order statistics. */
export async function measured(run) {
  const took = async (runs) => {
    const start = performance.now();
    for (let k = 0; k < runs; k++) await run();
    return (performance.now() - start) / runs;
  };
  for (const end = performance.now() + WARM_UP_MS; performance.now() < end; ) await took(3); // until it is compiled
  let runs = 1;
  while (runs < 4096 && Math.min(await took(runs), await took(runs)) * runs < BURST_MS) runs *= 2; // of two, since one may be disturbed
  const bursts = [], end = performance.now() + LONGEST_MS;
  while (bursts.length < LEAST_BURSTS || (performance.now() < end && bursts.length < MOST_BURSTS)) {
    bursts.push(await took(runs));
    await new Promise((go) => setTimeout(go)); // the page stays alive
  }
  return { ...medianInterval(bursts), level: LEVEL, n: bursts.length, of: "bursts", runs_in_a_burst: runs };
}

/** Median, and the order statistics that hold the true one with at least 95 % (as limbeck's median_interval). */
export function medianInterval(values) {
  const ordered = [...values].sort((a, b) => a - b), n = ordered.length;
  let beyond = 0, outside = 0, chance = 0.5 ** n; // chance: that exactly `outside` values lie below the median
  while (outside < Math.floor((n - 1) / 2)) {
    beyond += chance;
    if (beyond > (1 - LEVEL) / 2) break;
    chance *= (n - outside) / (outside + 1);
    outside++;
  }
  outside = Math.max(0, outside - 1);
  const middle = n % 2 ? ordered[(n - 1) / 2] : (ordered[n / 2 - 1] + ordered[n / 2]) / 2;
  return { value: middle, low: ordered[outside], high: ordered[n - 1 - outside] };
}

/** The profile of one model; `model` is model.json. */
export async function profileOf(model, latency) {
  const { runtime, version, digest } = model;
  const length = model.said.input.max_length ? Math.min(LENGTH, model.said.input.max_length) : null;
  return {
    profile_version: model.profile_version,
    runtime,
    version,
    threads: 1,
    of: model.of,
    ...(await device()),
    figures: { [digest]: { latency_ms: latency, size_kb: { value: model.bytes / 1000 }, runtime, version, length } },
    failed: {},
    what: { [digest]: model.file },
  };
}

/** `machine` and `processor`, as far as the browser tells; Chromium alone names a phone's model and the kind of its processor. */
export async function device() {
  const told = await navigator.userAgentData?.getHighEntropyValues(["architecture", "bitness", "model"]).catch(() => null);
  if (!told?.architecture) return { machine: navigator.platform || "unknown", processor: navigator.userAgent };
  const kind = { "x86 64": "x86_64", "x86 32": "i686", "arm 64": "arm64" }[`${told.architecture} ${told.bitness}`] ?? told.architecture;
  const browser = told.brands.filter((one) => !/not.?a.?brand/i.test(one.brand)).pop();
  const processor = [told.model, browser && `${browser.brand} ${browser.version}`].filter(Boolean).join(", ");
  return { machine: `${told.platform} ${kind}`, processor: processor || navigator.userAgent };
}

/** Box and Muller (1958). */
function normal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}
