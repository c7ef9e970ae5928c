// A person's own text, or both sides of a pair, and the inputs that a model of texts is given of it.

import { Tokenizer } from "./lib/@huggingface/tokenizers/dist/tokenizers.min.mjs";

/** What turns an example (texts, as many as the model takes) into the model's inputs. `read(name)` is a file beside the model. */
export async function opened(said, read) {
  const told = JSON.parse(new TextDecoder().decode(await read(said.input.tokenizer)));
  const tokenizer = new Tokenizer(told, {});
  const wanted = said.input.names ?? ["input_ids", "attention_mask"];
  return async (texts) => {
    const empty = texts.findIndex((text) => !text.trim());
    if (empty >= 0) throw new Error(`${said.input.pair?.[empty] ?? "The text"} is empty: write something there.`);
    const columns = encoded(tokenizer, told, texts, said.input.max_length);
    const dims = [1, columns.input_ids.length];
    const tensor = (values) => ({ type: "int64", data: BigInt64Array.from(values, BigInt), dims });
    return Object.fromEntries(wanted.map((name) => [name, tensor(columns[name])]));
  };
}

/** Ids, mask and segment ids as predict.py makes them: what is too long is cut, of a pair the longer side first. */
export function encoded(tokenizer, told, texts, most) {
  const flat = JSON.stringify(told.post_processor ?? null).includes('"RobertaProcessing"'); // whose pairs have one kind of token
  const last = told.truncation?.direction === "Left"; // which end stays
  const sides = texts.map((text) => tokenizer.tokenize(text));
  const joined = (some) => {
    const made = tokenizer.post_processor ? tokenizer.post_processor(some[0], some[1] ?? null, true) : { tokens: some.flat() };
    return { tokens: made.tokens, kinds: made.token_type_ids ?? made.tokens.map(() => 0) };
  };
  const special = joined(sides).tokens.length - sides.reduce((sum, side) => sum + side.length, 0);
  const room = Math.max(0, most - special);
  const stay = sides.length === 1 ? [Math.min(sides[0].length, room)] : longestFirst(sides[0].length, sides[1].length, room);
  const { tokens, kinds } = joined(sides.map((side, at) => (last ? side.slice(side.length - stay[at]) : side.slice(0, stay[at]))));
  const ids = tokens.map((token) => tokenizer.token_to_id(token) ?? tokenizer.model.unk_token_id);
  if (ids.some((id) => id === undefined)) throw new Error("The tokenizer has no word for a part of this text.");
  return { input_ids: ids, attention_mask: ids.map(() => 1), token_type_ids: flat ? ids.map(() => 0) : kinds };
}

/** How many tokens stay of two sides that have `room` together: the longer one gives way until both are alike. */
function longestFirst(first, second, room) {
  if (first + second <= room) return [first, second];
  const short = Math.min(first, second, Math.floor(room / 2));
  return first <= second ? [short, room - short] : [room - short, short];
}

/** Puts a field for each text into `place`; `give(texts)` is called while they are written. */
export function form(place, said, give) {
  const names = said.input.pair ?? ["Your text"];
  const fields = names.map((name) => {
    const label = document.createElement("label"), field = document.createElement("textarea");
    label.append(name, field);
    field.rows = 4;
    place.append(label);
    return field;
  });
  let waiting;
  for (const field of fields)
    field.oninput = () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => fields.every((one) => one.value.trim()) && give(fields.map((one) => one.value)), 200);
    };
}
