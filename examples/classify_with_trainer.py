"""A classifier of short reviews, trained with the Trainer of Hugging Face transformers; see docs/trainer.md.

Run it with ``python examples/SCRIPT.py MODEL``, a folder or hub name of a model and its tokenizer.
"""

import sys

import datasets
import transformers


def accuracy(answers):
    return {"accuracy": float((answers.predictions.argmax(axis=1) == answers.label_ids).mean())}


def main(model, data="stanfordnlp/sst2", out="runs/classifier", epochs=3, learning_rate=2e-4):
    """Trains the model and saves it in the folder ``out``; returns its figures on the validation split."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    classifier = transformers.AutoModelForSequenceClassification.from_pretrained(model, num_labels=2)
    rows = datasets.load_dataset(data)
    rows = rows.map(lambda row: tokenizer(row["sentence"], truncation=True, max_length=128), batched=True)
    train = rows["train"]

    args = transformers.TrainingArguments(
        out,
        num_train_epochs=epochs,
        learning_rate=learning_rate,
        per_device_train_batch_size=32,
        save_strategy="no",
        report_to="none",
    )
    trainer = transformers.Trainer(
        model=classifier,
        args=args,
        train_dataset=train,
        eval_dataset=rows["validation"],
        processing_class=tokenizer,
        compute_metrics=accuracy,
    )
    trainer.train()
    trainer.save_model(out)
    return trainer.evaluate()


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
