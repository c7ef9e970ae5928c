"""An objective in your own training loop: one line in place of the loss.

Run it with ``python examples/objective_in_a_loop.py``; it takes a few seconds.
"""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import limbeck


def main(epochs: int = 20) -> float:
    """Distils a wide network into a narrow one; returns the student's accuracy on unseen images."""
    torch.manual_seed(0)
    images, labels = (torch.tensor(array) for array in load_digits(return_X_y=True))
    images = (images / 16).float()
    train, test = slice(0, 1400), slice(1400, None)
    teacher, student = network(256), network(16)
    fit(teacher, images[train], labels[train], epochs)
    teacher.eval().requires_grad_(False)
    fit(student, images[train], labels[train], epochs, teacher)
    return (student(images[test]).argmax(dim=1) == labels[test]).float().mean().item()


def network(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))


def fit(model: nn.Module, images: Tensor, labels: Tensor, epochs: int, teacher: nn.Module | None = None) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(64):
            logits = model(images[batch])
            loss = limbeck.functional.cross_entropy(logits, labels=labels[batch])
            if teacher is not None:
                loss = loss + limbeck.functional.dkd(
                    logits, teacher(images[batch]), labels=labels[batch], temperature=4.0
                )
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()


if __name__ == "__main__":
    print(f"the student's accuracy is {main():.3f}")
