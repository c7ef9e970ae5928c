"""Distillation with torchdistill: a box is configured and takes the steps; the loop is the user's."""

import torch
from given import Given, run
from torch.utils.data import RandomSampler
from torchdistill.core.distillation import get_distillation_box
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
    pictures = given.pictures(views)
    teacher, student = given.teacher(), given.student()
    warmup = -(-len(pictures) // 128)
    kd = {
        "student_module_path": ".",
        "student_module_io": "output",
        "teacher_module_path": ".",
        "teacher_module_io": "output",
        "temperature": 4.0,
        "alpha": 0.5,
    }
    config = {
        "num_epochs": given.epochs,
        "train_data_loader": {
            "dataset_id": "train",
            "sampler": {"class_or_func": RandomSampler},
            "kwargs": {"batch_size": 128},
        },
        # Without requires_grad the teacher would be trained along with the student.
        "teacher": {"forward_proc": "forward_batch_only", "requires_grad": False},
        "student": {"forward_proc": "forward_batch_only"},
        "optimizer": {
            "key": "SGD",
            "kwargs": {"lr": 0.2, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4},
        },
        "scheduler": {
            "key": "OneCycleLR",
            "kwargs": {
                "max_lr": 0.2,
                "total_steps": given.epochs * warmup + 1,
                "pct_start": 1 / given.epochs,
                "cycle_momentum": False,
            },
            "scheduling_step": 1,
        },
        "criterion": {
            "key": "WeightedSumLoss",
            "kwargs": {"sub_terms": {"kd": {"criterion": {"key": "KDLoss", "kwargs": kd}, "weight": 1.0}}},
        },
    }
    box = get_distillation_box(teacher, student, {"train": pictures}, config, torch.device("cpu"), None, False, 1)
    for epoch in range(given.epochs):
        box.pre_epoch_process(epoch=epoch)
        teacher.eval()  # the box leaves it in training mode, where its batch statistics move
        for images, labels, more in box.train_data_loader:
            box.post_forward_process(loss=box.forward_process(images, labels, more))
        box.post_epoch_process()
    return student


if __name__ == "__main__":
    run(train)
