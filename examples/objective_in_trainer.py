"""An objective in the Trainer of Hugging Face transformers; the teacher is asked once for each example.

Run it with ``python examples/objective_in_trainer.py``; it takes a few seconds.
"""

import torch
from sklearn.datasets import load_digits
from sklearn.svm import SVC
from torch import nn
from transformers import Trainer, TrainingArguments

import limbeck


class Distilling(Trainer):
    """A Trainer whose examples carry the teacher's logits."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        logits, labels = model(inputs["images"]), inputs["labels"]
        loss = 0.9 * limbeck.functional.kd(logits, inputs["teacher_logits"], temperature=4.0)
        loss = loss + 0.1 * limbeck.functional.cross_entropy(logits, labels=labels)
        return (loss, {"logits": logits}) if return_outputs else loss


def main(out: str = "runs/trainer", epochs: int = 20) -> float:
    """Distils a support vector machine into a small network; returns the student's accuracy on unseen images."""
    torch.manual_seed(0)
    images, labels = (torch.tensor(array) for array in load_digits(return_X_y=True))
    images = (images / 16).float()
    scores = SVC().fit(images[:1400], labels[:1400]).decision_function(images)  # a score for every class can teach
    columns = {"images": images, "labels": labels, "teacher_logits": torch.tensor(scores).float()}
    train = [{name: column[i] for name, column in columns.items()} for i in range(1400)]

    student = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    plan = TrainingArguments(
        out, num_train_epochs=epochs, per_device_train_batch_size=64, learning_rate=5e-3, remove_unused_columns=False,
        save_strategy="no", report_to="none", disable_tqdm=True, use_cpu=True, seed=0,
    )  # fmt: skip
    Distilling(model=student, args=plan, train_dataset=train).train()
    return (student(images[1400:]).argmax(dim=1) == labels[1400:]).float().mean().item()


if __name__ == "__main__":
    print(f"the student's accuracy is {main():.3f}")
