// A person's own picture, and the input that a model of images is given of it.

import { decode } from "./decode.js";
import { preprocess } from "./picture.js";

/** What turns an example (a File) into the model's inputs: {name: {type, data, dims}}. `said` is the model's metadata. */
export async function opened(said) {
  const [name] = Object.keys(said.inputs ?? { image: null });
  const { channels, height, width } = said.input;
  return async (file) => {
    const data = preprocess(await decode(await file.arrayBuffer(), file.name), said.input);
    return { [name]: { type: "float32", data, dims: [1, channels, height, width] } };
  };
}

/** Puts a place for a picture into `place`; `give(file)` is called with each that is chosen, dropped or pasted. */
export function form(place, said, give) {
  place.innerHTML = `
    <label class="drop" tabindex="0">
      <input type="file" accept="image/*" hidden>
      <img alt="" hidden>
      <span><b>Choose an image</b>, drop it here, or paste it</span>
    </label>`;
  const drop = place.querySelector(".drop"), input = place.querySelector("input"), shown = place.querySelector("img");
  const take = (file) => {
    if (!file) return;
    URL.revokeObjectURL(shown.src);
    shown.src = URL.createObjectURL(file);
    shown.hidden = false;
    give(file);
  };
  shown.onload = () => shown.classList.toggle("small", shown.naturalWidth < 96);
  shown.onerror = () => (shown.hidden = true);
  input.onchange = () => take(input.files[0]);
  drop.onkeydown = (event) => event.key === "Enter" && input.click();
  drop.ondragover = (event) => event.preventDefault();
  drop.ondrop = (event) => (event.preventDefault(), take(event.dataTransfer.files[0]));
  addEventListener("paste", (event) => take(event.clipboardData.files[0]));
}
