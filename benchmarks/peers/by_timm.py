"""Distillation with timm's task: it asks the teacher and gives the loss; the loop is the user's."""

import torch
from given import Given, run
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.task import LogitDistillationTask
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
    teacher, student = given.teacher(), given.student()
    # What the task reads of networks that are not timm's; without it the teacher would see ImageNet's normalisation.
    student.num_classes, student.in_chans = 10, 1
    student.pretrained_cfg = teacher.pretrained_cfg = {"mean": (given.mean,), "std": (given.std,)}
    task = LogitDistillationTask(
        student, teacher, torch.nn.CrossEntropyLoss(), distill_loss_weight=0.5, task_loss_weight=0.5, temperature=4.0
    )
    optimizer = create_optimizer_v2(student, "nesterov", lr=0.2, momentum=0.9, weight_decay=5e-4)
    schedule, _ = create_scheduler_v2(
        optimizer,
        num_epochs=given.epochs,
        warmup_epochs=1,
        warmup_prefix=False,
        step_on_epochs=False,
        updates_per_epoch=len(loader),
    )
    updates = 0
    for _ in range(given.epochs):
        task.train()
        for images, labels in loader:
            loss = task(images, labels)["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            updates += 1
            schedule.step_update(updates)
    return student


if __name__ == "__main__":
    run(train)
