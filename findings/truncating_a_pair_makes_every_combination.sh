#!/usr/bin/env bash
# tokenizers 0.23.3: cutting a pair of texts to a length makes one encoding for every combination of a piece cut from the
# first side with a piece cut from the second, and keeps them all in `overflowing`, whether anybody asks for them or not.
#
# One would expect the work to grow with what is cut off, as it does for a single text. It grows with the product of what
# is cut off either side: two sides of 40 words, cut to 12 tokens, make 79 further encodings; of 80 words, 319; of 160
# words, 1,279. One side alone makes 3, 7 and 15. transformers calls this for every pair with truncation=True.
#
# Who has long pairs (premise and document, question and page) should cut the sides before they are tokenised together, or
# drop what is surplus from the two lists of tokens by the rule of longest_first, which gives the same tokens.
#
# Prints what was seen and exits with 1 where the behaviour is another.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tokenizers==0.23.3

"$folder/venv/bin/python" - << 'PYTHON'
import sys

import tokenizers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

words = ["[UNK]", "[CLS]", "[SEP]", "good", "film"]
tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
tokenizer.enable_truncation(max_length=12, strategy="longest_first")

print(f"tokenizers {tokenizers.__version__}; cut to 12 tokens")
seen = {}
for count in (40, 80, 160):
    side = " ".join(["good film"] * (count // 2))
    pair, single = tokenizer.encode(side, side), tokenizer.encode(side)
    assert len(pair.ids) == len(single.ids) == 12
    seen[count] = len(pair.overflowing), len(single.overflowing)
    print(f"sides of {count} words: {seen[count][0]} further encodings of the pair, {seen[count][1]} of one side alone")
growth = seen[160][0] / seen[40][0]
print(f"four times the words: {growth:.1f} times the encodings of a pair, {seen[160][1] / seen[40][1]:.1f} times those of one side")
sys.exit(0 if growth > 12 else "the number of encodings no longer grows with the product of the sides: this finding is out of date")
PYTHON
