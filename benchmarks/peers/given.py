"""What each of the peers is given, and how each is measured: pictures, networks, the teacher's weights, a stretch of work.

Needs torch and Pillow alone, and the modules of this checkout that hold the two networks, which need torch alone: a peer's
environment has none of Limbeck's dependencies.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from limbeck.vision.convnet import ConvNet
from limbeck.vision.wide_resnet import wide_resnet


class Pictures(Dataset):
    """Grey pictures in memory, (N, height, width) of eight bits, each a Pillow image until it is transformed.

    As `torchvision.datasets.FashionMNIST` has them.
    """

    def __init__(self, images_NHW: Tensor, labels_N: Tensor, transform: Callable[[Image.Image], Tensor]) -> None:
        self.images_NHW, self.labels_N, self.transform = images_NHW, labels_N.tolist(), transform

    def __len__(self) -> int:
        return len(self.labels_N)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images_NHW[index].numpy())), self.labels_N[index]


class Given:
    """One student's training: what is in the file that `against_peers.py` wrote, and how long to train.

    Attributes:
        epochs: how many are trained.
        mean, std: of the training pictures on a scale of 0 to 1.
    """

    def __init__(self, path: Path, seed: int, epochs: int) -> None:
        self.known: dict[str, Any] = torch.load(path, weights_only=True)
        self.seed, self.epochs = seed, epochs
        self.mean, self.std = self.known["mean"], self.known["std"]

    def pictures(self, transform: Callable[[Image.Image], Tensor]) -> Pictures:
        """The training pictures, to be transformed each time that one is taken."""
        return Pictures(self.known["images"], self.known["labels"], transform)

    def teacher(self) -> nn.Module:
        """The trained teacher, in training mode as any module is that was just loaded."""
        model = wide_resnet(self.known["teacher"], classes=10, channels=1)
        model.load_state_dict(self.known["weights"])
        return model

    def student(self) -> nn.Module:
        """A fresh student."""
        return ConvNet(10, 1, 28, width=self.known["width"], depth=self.known["depth"])

    def accuracy(self, model: nn.Module) -> float:
        """The share of test pictures that a model of normalised pictures is right about."""
        model.eval()
        right = 0
        with torch.inference_mode():
            for images_BHW, labels_B in zip(self.known["test_images"].split(500), self.known["test_labels"].split(500)):
                pixels_BCHW = ((images_BHW.float() / 255 - self.mean) / self.std).unsqueeze(1)
                right += int((model(pixels_BCHW).argmax(1) == labels_B).sum())
        return right / len(self.known["test_labels"])


def measured(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What some work gives, and its seconds by wall and by CPU (user and system, of the whole process), and MiB at its peak.

    Of memory: the most that the process held (`peak_mib`), and how much of it came with the work (`more_mib`).
    """
    before = _settled()
    began = time.perf_counter(), time.process_time()
    result = work()
    seconds, cpu_seconds = time.perf_counter() - began[0], time.process_time() - began[1]
    peak = _resident("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return result, {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mib": peak,
        "more_mib": peak - before,
    }


def _settled() -> float:
    """MiB that the process holds, what was freed given back and, on Linux, its record of the most set to that."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (AttributeError, OSError):
        pass
    return _resident("VmRSS") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _resident(field: str) -> float:
    """A field of /proc/self/status in MiB; 0 where there is none.

    `ru_maxrss` would also count the process that started this one, whose size a fork hands on.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field)), 0.0)


def asked() -> argparse.Namespace:
    """The arguments that each of the scripts takes, and the threads set."""
    parser = argparse.ArgumentParser()
    parser.add_argument("given", type=Path, help="the file that against_peers.py wrote")
    parser.add_argument("out", type=Path, help="where the figures go, as JSON")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    found = parser.parse_args()
    torch.set_num_threads(found.threads)
    return found


def written(out: Path, figures: dict[str, Any]) -> None:
    """The figures in a file, with the versions of the libraries that were at work."""
    from importlib.metadata import version

    names = [name for name in ("torch", "torchvision", "torchdistill", "timm", "keras") if name in sys.modules]
    figures["versions"] = {name: version(name) for name in names}
    out.write_text(json.dumps(figures, indent=1) + "\n")


def run(train: Callable[[Given], nn.Module]) -> None:
    """Trains one student as a peer does, and writes what that took and how good it is."""
    arguments = asked()
    given = Given(arguments.given, arguments.seed, arguments.epochs)
    torch.manual_seed(given.seed)
    student, figures = measured(lambda: train(given))
    written(arguments.out, {**figures, "accuracy": given.accuracy(student)})
