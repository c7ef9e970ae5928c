"""Deep mutual learning: students that teach one another while all of them learn; there is no teacher.

Each learns from the labels and from what each of its peers says now (Zhang et al. 2018). Run it with
``python examples/mutual_learning.py``; it takes a few seconds.
"""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import limbeck


def main(epochs: int = 20, peers: int = 2) -> float:
    """Trains ``peers`` networks together; returns the accuracy on unseen images of the first, named beforehand."""
    torch.manual_seed(0)
    images, labels = (torch.tensor(array) for array in load_digits(return_X_y=True))
    images = (images / 16).float()
    students = [nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)) for _ in range(peers)]
    optimizers = [torch.optim.AdamW(student.parameters(), lr=5e-3) for student in students]
    for _ in range(epochs):
        for batch in torch.randperm(1400).split(64):
            for place, optimizer in enumerate(optimizers):  # in turns: who comes later sees what the others have become
                mutual_loss(students, place, images[batch], labels[batch]).backward()
                optimizer.step()
                optimizer.zero_grad()
    return (students[0](images[1400:]).argmax(dim=1) == labels[1400:]).float().mean().item()


def mutual_loss(students: list[nn.Module], place: int, images: Tensor, labels: Tensor) -> Tensor:
    """The labels, and the mean over the peers of KL(peer || student) at T = 1; peers answer in training mode."""
    logits = students[place](images)
    loss = limbeck.functional.cross_entropy(logits, labels=labels)
    peers = [peer for number, peer in enumerate(students) if number != place]
    for peer in peers:
        with torch.no_grad():
            answer = peer(images)
        loss = loss + limbeck.functional.forward_kl(logits, answer) / len(peers)
    return loss


if __name__ == "__main__":
    print(f"the first student's accuracy is {main():.3f}")
