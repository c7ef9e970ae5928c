"""Distillation as a loop written by hand: the teacher asked at every step."""

import torch
import torch.nn.functional as F
from given import Given, run
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader
from torchvision import transforms


def train(given: Given) -> torch.nn.Module:
    views = transforms.Compose(
        [
            transforms.RandomCrop(28, padding=2),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(given.mean, given.std),
        ]
    )
    loader = DataLoader(given.pictures(views), batch_size=128, shuffle=True)
    teacher, student = given.teacher().eval(), given.student()
    optimizer = SGD(student.parameters(), lr=0.2, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = given.epochs * len(loader)
    schedule = OneCycleLR(optimizer, 0.2, total_steps=steps + 1, pct_start=1 / given.epochs, cycle_momentum=False)
    for _ in range(given.epochs):
        student.train()
        for images, labels in loader:
            with torch.no_grad():
                targets = F.log_softmax(teacher(images) / 4, dim=1)
            logits = student(images)
            soft = 16 * F.kl_div(F.log_softmax(logits / 4, dim=1), targets, reduction="batchmean", log_target=True)
            loss = 0.5 * soft + 0.5 * F.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return student


if __name__ == "__main__":
    run(train)
