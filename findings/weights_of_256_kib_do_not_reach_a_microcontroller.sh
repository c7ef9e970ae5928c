#!/usr/bin/env bash
# ai-edge-quantizer 0.10.0 (ai-edge-litert 2.3.0, tflite-micro 0.dev20261023182759): an int8 file with 256 KiB of weights runs in
# TensorFlow Lite for Microcontrollers without a word, and its answers have nothing to do with the weights. With 64 bytes less
# they are right.
#
# One would expect a file that LiteRT answers rightly to be answered alike, or to be refused. From 256 KiB on (all buffers of 1 KiB
# and more together) the quantiser puts weights behind the flatbuffer and leaves their place in it (`offset` and `size` of a
# buffer), which the schema has for models of more than 2 GB. LiteRT looks there. TFLM does not (tflite-micro's issue 3196): a
# weight without data is an activation to it, with room in the arena that nothing fills (300,032 bytes instead of 37,888), and it
# multiplies by what lies there. Seen, of 4096 answers, were ones that are 128, 238, 246 and 255 of 255 steps off, in four runs.
#
# The schema's own classes lose them too: who reads such a file with ModelT.InitFromObj, say to take names out, and packs it again,
# writes one without weights. ai_edge_litert.tools.flatbuffer_utils knows of the place: read_model and write_model bring the weights
# into the flatbuffer, and TFLM's answers are right.
#
# Prints what was seen and exits with 1 where the behaviour is another.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet ai-edge-quantizer==0.10.0 ai-edge-litert==2.3.0 \
  tflite-micro==0.dev20261023182759 numpy==2.4.6

"$folder/venv/bin/python" -W ignore - << 'PYTHON'
import sys
from importlib.metadata import version

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from ai_edge_quantizer import quantizer, recipe
from tflite_micro.python.tflite_micro import runtime

INPUTS = 64
random = np.random.default_rng(0)


def packed(model):
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return builder.Output()


def one_product(outputs):
    """A float32 file of one fully connected layer: 64 numbers in, `outputs` out."""
    shapes = {"x": [1, INPUTS], "w": [outputs, INPUTS], "y": [1, outputs]}
    tensors = [
        schema.TensorT(name=name, shape=shape, type=schema.TensorType.FLOAT32, buffer=place)
        for place, (name, shape) in enumerate(shapes.items(), 1)
    ]
    product = schema.OperatorT(
        inputs=[0, 1, -1], outputs=[2], builtinOptionsType=schema.BuiltinOptions.FullyConnectedOptions,
        builtinOptions=schema.FullyConnectedOptionsT(),
    )
    signature = schema.SignatureDefT(
        inputs=[schema.TensorMapT(name="x", tensorIndex=0)], outputs=[schema.TensorMapT(name="y", tensorIndex=2)],
        signatureKey="serving_default", subgraphIndex=0,
    )
    buffers = [schema.BufferT() for _ in range(4)]
    buffers[2].data = random.standard_normal(outputs * INPUTS).astype(np.float32).view(np.uint8)
    code = schema.BuiltinOperator.FULLY_CONNECTED
    codes = [schema.OperatorCodeT(deprecatedBuiltinCode=code, builtinCode=code, version=1)]
    graph = schema.SubGraphT(tensors=tensors, inputs=[0], outputs=[2], operators=[product])
    return packed(schema.ModelT(
        version=3, operatorCodes=codes, subgraphs=[graph], buffers=buffers, signatureDefs=[signature]
    ))


def in_int8(exact):
    ours = quantizer.Quantizer(exact, recipe.static_wi8_ai8())
    samples = [{"x": random.standard_normal((1, INPUTS)).astype(np.float32)} for _ in range(16)]
    ranges = ours.calibrate({"serving_default": samples})
    return bytes(ours.quantize(ranges, enable_progress_report=False).quantized_model)


def of_litert(content):
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).astype(int)


def of_micro(content):
    interpreter = runtime.Interpreter.from_bytes(content)
    interpreter.set_input(x, 0)
    interpreter.invoke()
    return interpreter.get_output(0).astype(int)


print(*(f"{name} {version(name)}" for name in ("ai-edge-quantizer", "ai-edge-litert", "tflite-micro")), sep=", ")
x = random.integers(-128, 128, (1, INPUTS)).astype(np.int8)
apart, again = [], []
for outputs in (4095, 4096):
    content = in_int8(one_product(outputs))
    whole = bytes(flatbuffer_utils.convert_object_to_bytearray(flatbuffer_utils.read_model_from_bytearray(content)))
    right = of_litert(content)
    apart.append([int(np.abs(of_micro(one) - right).max()) for one in (content, whole)])
    again.append(len(packed(schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0)))))
    print(f"{outputs * INPUTS} bytes of weights, a file of {len(content)} bytes: TFLM's answers are up to {apart[-1][0]} of 255 steps")
    print(f"  from LiteRT's, and up to {apart[-1][1]} once flatbuffer_utils wrote it; the schema's classes write {again[-1]} bytes")
(less, less_whole), (more, more_whole) = apart
same = max(less, less_whole, more_whole) <= 2 and more > 20 and again[0] > 4095 * INPUTS and again[1] < 4096 * INPUTS
sys.exit(0 if same else "weights of 256 KiB are answered otherwise now: this finding is out of date")
PYTHON
