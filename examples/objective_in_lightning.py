"""A sum of objectives, one of them warmed up, in a LightningModule; the teacher is asked once for each example.

Run it with ``python examples/objective_in_lightning.py``; it takes a few seconds.
"""

import lightning
import torch
from sklearn.datasets import load_digits
from sklearn.svm import SVC
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import limbeck
from limbeck.interfaces import Batch, DenseLogits, Output, Target


class Distilling(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.student = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        self.objective = limbeck.DKD(weight=limbeck.Linear(0, 1, epochs=5)) + limbeck.CrossEntropy()

    def training_step(self, columns, index):
        ids, images, labels, teacher_logits = columns
        per_epoch, total = self.trainer.num_training_batches, int(self.trainer.estimated_stepping_batches)
        self.objective.at(limbeck.Progress(self.global_step, per_epoch, total))
        batch = Batch(ids=ids, view=torch.zeros_like(ids), inputs=images, labels=labels)
        terms = self.objective(Output(logits=self.student(images)), Target((DenseLogits(teacher_logits),)), batch)
        return sum(term.total / term.count for term in terms.values())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=5e-3)  # those of the objective, where it has any, among them


def main(epochs: int = 20) -> float:
    """Distils a support vector machine into a small network; returns the student's accuracy on unseen images."""
    lightning.seed_everything(0, verbose=False)
    images, labels = (torch.tensor(array) for array in load_digits(return_X_y=True))
    images = (images / 16).float()
    scores = SVC().fit(images[:1400], labels[:1400]).decision_function(images)  # a score for every class can teach
    columns = (torch.arange(len(images)), images, labels, torch.tensor(scores).float())
    train = DataLoader(TensorDataset(*(column[:1400] for column in columns)), batch_size=64, shuffle=True)
    model = Distilling()
    lightning.Trainer(accelerator="cpu", max_epochs=epochs, logger=False, enable_checkpointing=False).fit(model, train)
    return (model.student(images[1400:]).argmax(dim=1) == labels[1400:]).float().mean().item()


if __name__ == "__main__":
    print(f"the student's accuracy is {main():.3f}")
