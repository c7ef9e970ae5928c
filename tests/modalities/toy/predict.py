"""Points given to an exported model, as two numbers with a comma between them: ``predict.py student.onnx 0.5,-1``."""

import json
import sys

import numpy as np
import onnxruntime

METADATA_KEY, SCHEMA_VERSION = "limbeck", 1
FILES = False


def predict(model, examples, top=3):
    """The likeliest corner of each point, and its logit."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    classes = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])["classes"]
    points = np.array([[float(number) for number in one.split(",")] for one in examples], dtype=np.float32)
    logits = np.asarray(session.run(None, {"point": points})[0])
    return [(one, classes[row.argmax()], float(row.max())) for one, row in zip(examples, logits, strict=True)]


def table(answers):
    """A line a point."""
    return "\n".join(f"{point}  {corner}" for point, corner, _ in answers)


def plain(answers):
    """As plain values."""
    return [{"point": point, "top": [{"class": corner, "logit": logit}]} for point, corner, logit in answers]


if __name__ == "__main__":
    print(table(predict(sys.argv[1], sys.argv[2:])))
