#!/usr/bin/env bash
# @huggingface/tokenizers 0.2.0 (npm) and tokenizers (Python) 0.22.2: of a pair of texts, a tokenizer whose post-processor is
# RobertaProcessing gives segment ids of 0 alone in Python, and of 0 and 1 in JavaScript.
#
# One would expect the same tokenizer.json to give the same ids: token ids are the same. In the JavaScript library RobertaProcessing
# is BertProcessing with other names for its separators, and marks the second text as BERT does. A model of RoBERTa's kind has one
# kind of segment, so that an id of 1 is out of its table.
#
# Who gives a model segment ids in a browser sets them to 0 where the post-processor is RobertaProcessing.
#
# Prints what was seen and exits with 1 where the behaviour is another.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tokenizers==0.22.2
npm install --silent --prefix "$folder" @huggingface/tokenizers@0.2.0

"$folder/venv/bin/python" - "$folder" << 'PYTHON'
import json
import pathlib
import sys

import tokenizers
from tokenizers import models, pre_tokenizers, processors

words = {word: number for number, word in enumerate(["<s>", "</s>", "good", "film"])}
made = tokenizers.Tokenizer(models.WordLevel(words, unk_token="</s>"))
made.pre_tokenizer = pre_tokenizers.Whitespace()
made.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
folder = pathlib.Path(sys.argv[1])
# WordLevel is no model that the JavaScript library knows; WordPiece without pieces is the same.
told = json.loads(made.to_str())
told["model"] = {"type": "WordPiece", "unk_token": "</s>", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": words}
(folder / "tokenizer.json").write_text(json.dumps(told))
one = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).encode("good", "film")
(folder / "python.json").write_text(json.dumps({"ids": one.ids, "kinds": one.type_ids}))
PYTHON

cat > "$folder/ask.mjs" << 'NODE'
import { readFileSync } from "node:fs";
import { Tokenizer } from "@huggingface/tokenizers";

const read = (name) => JSON.parse(readFileSync(new URL(name, import.meta.url)));
const made = new Tokenizer(read("tokenizer.json"), {}).encode("good", { text_pair: "film", return_token_type_ids: true });
const python = read("python.json");
console.log(`python:     ids ${python.ids}, segments ${python.kinds}`);
console.log(`javascript: ids ${made.ids}, segments ${made.token_type_ids}`);
const same = String(made.ids) === String(python.ids);
process.exit(same && python.kinds.every((one) => one === 0) && made.token_type_ids.includes(1) ? 0 : 1);
NODE
node "$folder/ask.mjs"
