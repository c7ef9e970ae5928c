"""A comparison file, written and read."""

import json
from pathlib import Path

from limbeck.compare import file as comparison_file
from tests.helpers.tiny import RECIPE

HOSTILE = '</title><script>alert(1)</script> "&amp; 100\\% $x_1^2~#{}'


COMPARISON = f"""\
recipe: tiny.yaml
set: [seeds=2]
objectives:
  kd: &kd {{kd: {{temperature: 4, weight: 0.9}}, cross_entropy: {{weight: 0.1}}}}
  {json.dumps(HOSTILE)}: {{kd: {{temperature: 4, weight: 0.5}}, cross_entropy: {{weight: 0.5}}}}
  attention: {{attention_transfer: {{student: [stages.0], teacher: [stages.0]}}, cross_entropy: {{}}}}
"""


def read(file: Path, *overrides: str) -> comparison_file.Comparison:
    return comparison_file.read(file, overrides)


def written(folder: Path, text: str = COMPARISON) -> Path:
    (folder / "tiny.yaml").write_text(RECIPE)
    (folder / "three.yaml").write_text(text)
    return folder / "three.yaml"
