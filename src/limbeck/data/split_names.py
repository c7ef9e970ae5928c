"""Names of splits as people write them, in files, folders and recipes. No torch."""

from __future__ import annotations

import re

_FORMS = {
    "train": ("train", "training", "trainset"),
    "validation": ("validation", "valid", "val", "dev", "validationset", "valset", "devset"),
    "test": ("test", "testing", "testset"),
}
_SPLIT_OF = {form: split for split, forms in _FORMS.items() for form in forms}
# What the datasets library takes for a test split in the name of a file; in a recipe it may mean either.
_IN_FILES = {**_SPLIT_OF, "eval": "test", "evaluation": "test"}
# A slip of the pen is looked for in these; shorter ones are too near to other words.
_LONG = ("train", "training", "valid", "validation", "test", "testing")
_OTHER_WORDS = frozenset(["trailing", "twain", "vapid"])
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def canonical(name: str) -> str | None:
    """``train``, ``validation`` or ``test`` where ``name`` is a form of it, whatever its case; else None."""
    return _SPLIT_OF.get(name.strip().lower())


def forms_in(name: str) -> tuple[str, ...]:
    """The words of a file's or folder's name (without its ending) that are forms of a split, in lower case.

    A word ends at anything but a letter, and where capitals show it: ``my-train-00000-of-00002``, ``TrainingData``.
    """
    return tuple(dict.fromkeys(word for word in words(name) if word in _IN_FILES))


def split_of_form(form: str) -> str:
    """The split that a word from :func:`forms_in` stands for."""
    return _IN_FILES[form]


def nearly(name: str) -> str | None:
    """The form of a split that a word of ``name`` misspells (``tset``, ``trian``, ``vaildation``); None where there is none.

    Two letters that changed places; a letter within the word that is missing or, but for the shortest, another one; a
    letter doubled; an s at the end.
    """
    for word in words(name):
        if word in _IN_FILES or word in _OTHER_WORDS:
            continue
        for form in _LONG:
            if word in _slips(form) or (len(form) in (5, 8, 10) and _one_inside(word, form)):
                return form
    return None


def words(name: str) -> list[str]:
    """The words of a name, in lower case, as :func:`forms_in` tells them apart."""
    return [word.lower() for word in _WORDS.findall(name)]


def _slips(form: str) -> set[str]:
    turned = {form[:at] + form[at + 1] + form[at] + form[at + 2 :] for at in range(len(form) - 1)}
    missing = {form[:at] + form[at + 1 :] for at in range(1, len(form) - 1)}
    doubled = {form[: at + 1] + form[at:] for at in range(len(form))}
    return (turned | missing | doubled | {form + "s"}) - {form} - set(_IN_FILES)


def _one_inside(word: str, form: str) -> bool:
    """Whether one letter within is another; ``testing`` is left out for tasting and texting."""
    same = len(word) == len(form) and word[0] == form[0] and word[-1] == form[-1]
    return same and sum(a != b for a, b in zip(word, form, strict=True)) == 1
