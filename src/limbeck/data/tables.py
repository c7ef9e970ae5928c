"""Tables in a folder: which file belongs to which split, and the rows of each.

The ``datasets`` library would guess from names in lower case, pool what it does not know and drop what stands beside it.
Here one function decides, files are read one by one, and what came from where is said.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import datasets

from ..errors import BadInput
from . import delimited
from .encoding import check_utf8
from .reading import Found, own_splits, read, rows_text
from .split_names import forms_in, nearly, split_of_form

BUILDERS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".txt": "text", ".parquet": "parquet"}
WRITTEN = frozenset([".csv", ".tsv", ".json", ".jsonl", ".txt"])
BINARY = frozenset([".arrow", ".parquet", ".tar", ".zip"])
# What the library passes over, too.
_ABOUT = frozenset(["config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json"])
# Such a file says what the images in its folder are; the library reads both together.
BESIDE_IMAGES = frozenset(["metadata.csv", "metadata.jsonl", "metadata.parquet"])
# Kinds of data that people keep beside or instead of the above, and that are not read.
_NOT_READ = frozenset(
    f".{kind}"
    for kind in (
        *(
            "7z",
            "arff",
            "avro",
            "bz2",
            "dat",
            "data",
            "db",
            "feather",
            "gz",
            "h5",
            "hdf5",
            "ndjson",
            "npy",
            "npz",
            "numbers",
        ),
        *(
            "ods",
            "orc",
            "pickle",
            "pkl",
            "psv",
            "rar",
            "sqlite",
            "tab",
            "tgz",
            "xls",
            "xlsm",
            "xlsx",
            "xml",
            "xz",
            "zst",
        ),
    )
)
_SHARD = re.compile(r"(?P<split>\w+(?:\.\w+)*)-\d{5}-of-\d{5}.*")
_MOST_ONE_BY_ONE = 64
_MOST_NAMED = 8


def tables_below(root: Path, suffixes: Iterable[str]) -> list[PurePath]:
    """Files with these endings below a folder, relative to it, sorted; without what is hidden or describes the rest."""
    wanted, found = frozenset(suffixes), []
    for folder, inner, files in os.walk(root, followlinks=True):
        inner[:] = sorted(name for name in inner if not name.startswith((".", "__")))
        here = Path(folder).relative_to(root)
        found += [
            here / file
            for file in files
            if os.path.splitext(file)[1].lower() in wanted and not file.startswith(".") and file not in _ABOUT
        ]
    return sorted(found)


def read_tables(
    root: Path, config: str | None, files: Sequence[PurePath], field: str, labels: delimited.Headings = lambda _: ()
) -> Found:
    """The splits of the tables ``files`` below ``root``, with notes on where each came from and what was left out.

    Where the folder says itself what its splits are (a README.md or dataset_infos.json of the hub), where a
    configuration is asked for, and for archives, the library finds its way alone. ``labels`` tells from the headings of
    CSV and TSV which columns are read as they are spelt.

    Raises ``BadInput``, naming ``field``, where a file's name is nearly that of a split or that of two, where a split
    comes in two forms, where files of a split differ in their columns, and where a file cannot be read.
    """
    by_itself = config is not None or says_itself(root) or any(file.name.lower() in BESIDE_IMAGES for file in files)
    if by_itself:
        rows = read(lambda: datasets.load_dataset(str(root), config), str(root), field)
        return own_splits(rows)
    beside = [file for file in files if file.suffix.lower() == ".txt"]
    if len(beside) < len(files):
        files = [file for file in files if file not in beside]
    else:
        beside = []
    _check_kinds(root, field)
    splits, left = split_files(files, root, field)
    pooled = len(files) > 1 and not _decided(files)
    if any(file.suffix.lower() not in BUILDERS for file in files):
        names = {split: [glob.escape(str(file)) for file in those] for split, those in splits.items()}
        rows = read(lambda: datasets.load_dataset(str(root), data_files=names), str(root), field)
        origin = {split: _named(those) for split, those in splits.items()}
        return Found(rows, [*_origins(rows, origin, pooled), *_left(left, beside)])
    rows, origin, notes = {}, {}, []
    for split, those in splits.items():
        rows[split], origin[split] = _read_split(root, those, split, field, notes, labels)
    return Found(rows, [*_origins(rows, origin, pooled), *_left(left, beside), *notes])


def read_file(path: Path, field: str, labels: delimited.Headings = lambda _: ()) -> Found:
    """The rows of one table, which are its split ``train``; ``labels`` as for :func:`read_tables`."""
    notes: list[str] = []
    rows = _read_one(path, "train", field, notes, labels)
    return Found({"train": rows}, [*_origins({"train": rows}, {"train": path.name}, False), *notes])


def split_files(files: Sequence[PurePath], root: Path, field: str) -> tuple[dict[str, list[PurePath]], list[PurePath]]:
    """The files of each split, train first, and those that are left out since they are named after none.

    ``data/NAME-00000-of-00002.parquet``, the hub's layout, is split NAME, and where there is one such file the others
    are left out. Otherwise the words of a file's name tell, or those of its folders: ``Train.csv``,
    ``my-train-1.parquet``, ``validation/part.jsonl``. Where no file is named after a split, all of them are train.

    Raises ``BadInput`` as :func:`read_tables` does.
    """
    shards = {file: found["split"] for file in files if (found := _shard_of(file))}
    if shards:
        return _grouped(shards, files)
    _check_twice(files, root, field)
    forms = {file: form for file in files if (form := _form_of(file, root, field))}
    if len(files) > 1:
        for file in files:
            for part in (*file.parts[:-1], file.stem) if file not in forms else ():
                if (meant := nearly(part)) is not None:
                    raise BadInput(
                        f"{field}: {root / file}: '{part}' is nearly '{meant}': rename it if it is that split, and otherwise "
                        "call it something else or take it out of the folder."
                    )
    if not forms:
        return {"train": list(files)}, []
    for split in ("train", "validation", "test"):
        here = {form: file for file, form in reversed(forms.items()) if split_of_form(form) == split}
        if len(here) > 1:
            (_, one), (_, other) = sorted(here.items())[:2]
            raise BadInput(
                f"{field}: {root}: both {one} and {other} are named after a {split} split: keep one of them, or "
                f"name them alike ({split}-1, {split}-2) where they belong together."
            )
    return _grouped({file: split_of_form(form) for file, form in forms.items()}, files)


def _grouped(
    split_of: dict[PurePath, str], files: Sequence[PurePath]
) -> tuple[dict[str, list[PurePath]], list[PurePath]]:
    order = dict.fromkeys(("train", "validation", "test")) | dict.fromkeys(sorted(split_of.values()))
    splits = {split: [file for file in files if split_of.get(file) == split] for split in order}
    return {split: those for split, those in splits.items() if those}, [file for file in files if file not in split_of]


def _shard_of(file: PurePath) -> re.Match[str] | None:
    return _SHARD.fullmatch(file.name) if file.parts[:-1] == ("data",) else None


def _form_of(file: PurePath, root: Path, field: str) -> str | None:
    """The word that names the file's split: in its own name, else in that of the folder nearest to it."""
    parts = [forms_in(part) for part in (file.stem, *reversed(file.parts[:-1]))]
    said = [forms for forms in parts if forms]
    # Of a folder such as train_test_split the name says nothing, where the file's says it all.
    alone = [forms[0] for forms in said if len({split_of_form(form) for form in forms}) == 1]
    splits = {split_of_form(form) for form in alone}
    if len(splits) > 1 or (said and not alone):
        named = ", ".join(sorted(splits or {split_of_form(form) for forms in said for form in forms}))
        raise BadInput(f"{field}: {root / file} is named after several splits ({named}): name it after one.")
    return alone[0] if alone else None


def _decided(files: Sequence[PurePath]) -> bool:
    """Whether a name tells of a split at all."""
    return any(_shard_of(file) or any(forms_in(part) for part in (*file.parts[:-1], file.stem)) for file in files)


def _check_kinds(root: Path, field: str) -> None:
    """A split that is given in a form that is not read would otherwise be carved from train, or missed, without a word."""
    for file in tables_below(root, _NOT_READ):
        if forms := [form for part in (file.stem, *reversed(file.parts[:-1])) for form in forms_in(part)]:
            raise BadInput(
                f"{field}: {root / file} is named after a {split_of_form(forms[0])} split, and {file.suffix} files are not "
                "read: save it as CSV, JSONL or parquet, or take it out of the folder."
            )


def _check_twice(files: Sequence[PurePath], root: Path, field: str) -> None:
    """The same name with two endings is the same table twice, more likely than not."""
    seen: dict[PurePath, PurePath] = {}
    for file in files:
        other = seen.setdefault(file.with_suffix(""), file)
        if other is not file:
            raise BadInput(f"{field}: {root} holds {other} and {file}, which look like the same table twice: keep one.")


def _read_split(
    root: Path, files: Sequence[PurePath], split: str, field: str, notes: list[str], labels: delimited.Headings
) -> tuple[datasets.Dataset, str]:
    """The rows of a split's files one after another, and the files with their rows, in words."""
    suffixes = {file.suffix.lower() for file in files}
    if len(files) > _MOST_ONE_BY_ONE and len(suffixes) == 1 and not suffixes & delimited.SUFFIXES:
        builder = BUILDERS[files[0].suffix.lower()]
        rows = _load(builder, [root / file for file in files], split, {}, str(root), field)
        return rows, _named(files)
    parts = [_read_one(root / file, split, field, notes, labels) for file in files]
    if len(parts) == 1:
        return parts[0], str(files[0])
    alike = [
        parts[0],
        *(_like(parts[0], part, files[0], file, split, field) for part, file in zip(parts[1:], files[1:])),
    ]
    return datasets.concatenate_datasets(alike), _named(files, [len(part) for part in parts])


def _read_one(path: Path, split: str, field: str, notes: list[str], labels: delimited.Headings) -> datasets.Dataset:
    suffix, settings = path.suffix.lower(), {}
    if suffix in WRITTEN:
        check_utf8(path, field)
    if suffix in delimited.SUFFIXES:
        settings, said = delimited.looked_at(path, field, labels)
        notes += said
    return _load(BUILDERS[suffix], [path], split, settings, str(path), field)


def _load(
    builder: str, paths: Sequence[Path], split: str, settings: dict[str, Any], name: str, field: str
) -> datasets.Dataset:
    files = {split: [glob.escape(str(path)) for path in paths]}
    return read(lambda: datasets.load_dataset(builder, data_files=files, split=split, **settings), name, field)


def _like(
    first: datasets.Dataset, other: datasets.Dataset, one: PurePath, file: PurePath, split: str, field: str
) -> datasets.Dataset:
    """``other`` with the columns of ``first``, in their order and of their types; no value may change by that."""
    both = f"{field}: {one} and {file} are both of split '{split}', and"
    for here, there, lacking in ((first, other, file), (other, first, one)):
        if missing := [name for name in here.column_names if name not in there.column_names]:
            raise BadInput(
                f"{both} {lacking} has no column '{missing[0]}' (it has {', '.join(there.column_names)}): give them the "
                "same headings, or take one out of the folder."
            )
    other = other.select_columns(first.column_names)
    if other.features == first.features:
        return other
    bars = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    differing = [name for name, kind in first.features.items() if other.features[name] != kind]
    try:
        if flags := [name for name in differing if _flags_in_one(first, other, name)]:
            differing = flags
            raise ValueError("Arrow would take true for 1")
        cast = other.cast(first.features)
        lossy = [name for name in differing if isinstance(other.features[name], datasets.Value)]
        for name in lossy:
            back = cast.select_columns([name]).cast(datasets.Features({name: other.features[name]}))
            if _arrow(back, name) != _arrow(other, name):
                differing = [name]
                raise ValueError("Arrow would take 01 for 1")
        return cast
    except Exception as error:  # Arrow's errors have no common class
        differ = differing[0]
        kinds = [str(getattr(rows.features[differ], "dtype", "nested")) for rows in (first, other)]
        raise BadInput(
            f"{both} column '{differ}' is {kinds[0].removeprefix('large_')} in one and {kinds[1].removeprefix('large_')} in the other: write both alike."
        ) from error
    finally:
        if bars:
            datasets.enable_progress_bars()


def _flags_in_one(one: datasets.Dataset, other: datasets.Dataset, name: str) -> bool:
    """Whether a column holds true and false, alone, in lists or as words, in one of two tables, and numbers or the like in the other."""
    kinds = [rows.features[name] for rows in (one, other)]
    types = [str(getattr(getattr(kind, "feature", kind), "dtype", "nested")) for kind in kinds]
    if "null" in types or all(kind.endswith("string") for kind in types):
        return False
    words = next(
        (rows for rows, kind in zip((one, other), kinds) if getattr(kind, "dtype", "").endswith("string")), None
    )
    if words is not None and {str(value).lower() for value in _arrow(words, name)} <= {"true", "false"}:
        return True
    return (types[0] == "bool") != (types[1] == "bool")


def _arrow(rows: datasets.Dataset, name: str) -> list[Any]:
    return rows.select_columns([name]).with_format("arrow")[:][name].to_pylist()  # pyright: ignore


def says_itself(root: Path) -> bool:
    """Whether the folder was made for the hub, with a description of its own splits or columns."""
    if (root / "dataset_infos.json").is_file() or (root / ".huggingface.yaml").is_file():
        return True
    readme = root / "README.md"
    if not readme.is_file():
        return False
    head = re.match(r"\s*---\s*\n(.*?)\n---", readme.read_text("utf-8", errors="replace"), re.DOTALL)
    return bool(head and re.search(r"^(configs|dataset_info):", head[1], re.MULTILINE))


def _origins(rows: Mapping[str, datasets.Dataset], origin: Mapping[str, str], pooled: bool) -> list[str]:
    said = "; ".join(f"{split} has {rows_text(len(rows[split]))} ({origin[split]})" for split in rows)
    which = "no file is named after a split, so all are train" if pooled else "the data's own splits"
    return [f"{which}: {said}."]


def _left(files: Sequence[PurePath], beside: Sequence[PurePath]) -> list[str]:
    notes = [f"left out, since their names are those of no split: {_named(files)}."] if files else []
    return [*notes, f"left out, since there are tables beside: {_named(beside)}."] if beside else notes


def _named(files: Sequence[PurePath], counts: Sequence[int] | None = None) -> str:
    said = [str(file) if counts is None else f"{file} {rows_text(counts[at])}" for at, file in enumerate(files)]
    more = len(said) - _MOST_NAMED
    return ", ".join(said) if more <= 0 else f"{', '.join(said[:_MOST_NAMED])} and {more} more"
