"""Distil your own model into your own student: arrays in, a deployed student out.

Run it with ``python examples/own_modules.py``; it takes under a minute.
"""

from sklearn.datasets import load_digits
from torch import nn

import limbeck
from limbeck.vision.convnet import ConvNet


def main(out: str = "runs/own_modules", epochs: int = 15) -> limbeck.Distilled:
    """Distils a small convolutional teacher, trained here on labels alone, into a smaller student."""
    digits = load_digits()
    images, labels = (digits.images / 16).astype("float32"), digits.target
    teacher = a_trained_teacher(images[:1400], labels[:1400])

    result = limbeck.distill(
        teacher=teacher,
        student=lambda: ConvNet(classes=10, channels=1, size=8, width=6),
        train=(images[:1400], labels[:1400]),
        test=(images[1400:], labels[1400:]),
        objective=0.9 * limbeck.KD(temperature=4) + 0.1 * limbeck.CrossEntropy(),
        train_plan=limbeck.Train(epochs=epochs, batch_size=64),
        out=out,
    )
    print(f"accuracy {result.metrics['accuracy']:.3f}, deployed as {result.export('onnx')}, see {result.report}")
    return result


def a_trained_teacher(images, labels) -> nn.Module:
    """Stands for the model you already have. It takes images as the training set's mean and deviation make them."""
    import torch

    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, 10)),
    )
    x, y = torch.as_tensor(images)[:, None], torch.as_tensor(labels)
    x = (x - x.mean()) / x.std()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(60):
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


if __name__ == "__main__":
    main()
