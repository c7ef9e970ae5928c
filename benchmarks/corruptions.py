"""A store of soft targets damaged in a thousand ways: is each refused, and the file at fault named?

    python benchmarks/corruptions.py
    python benchmarks/corruptions.py --number 10000 --seed 1

The store has three views of 500 examples, and a fourth view and 100 examples more that were added later. Each time one
thing is done to it, and undone afterwards: a bit flipped, a byte replaced, the end cut off, a file deleted or emptied,
two shards swapped with their digest files, a value of the manifest or of the seal edited, or an entry of the seal
with the seal's own digest made to fit. Opening it and `verify` must both refuse it and name a file that was touched.
A store too large for its digests to be checked when it is opened must not crash, either: there every answer is read, and
it counts what was found without the digests. All of it happens in processes of their own, so that a crash is
seen. About 1 minute on 2 cores. Exit code 1 where anything was not refused, not named, or crashed.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from common import arguments, print_conditions, print_table

from limbeck.errors import BadInput
from limbeck.files import fingerprint
from limbeck.targets.cast import cast, extend
from limbeck.targets.store import check
from limbeck.targets.store.manifest import MANIFEST, SEAL, StoreIdentity, json_text
from limbeck.targets.store.store import Store, verify

CLASSES = 10
FORK = multiprocessing.get_context("fork")
IDENTITY: StoreIdentity = {
    "classes": CLASSES,
    "data": "0" * 16,
    "teacher": {"weights": "0" * 64, "probe": [0.25, -1.5]},
    "preprocess": None,
    "precision": "float32",
    "views": {"flip": True},
    "view_seed": 0,
}
Damage = Callable[[Path, random.Random], list[Path]]  # does it, and returns the files touched


def make(path: Path) -> None:
    """The store that is to be damaged."""

    def ask(index_B: torch.Tensor, view: int) -> torch.Tensor:
        return torch.sin((index_B[:, None] + 7 * view) * torch.arange(1, CLASSES + 1)).float()

    ids_N = torch.arange(600) * 7919
    cast(path, IDENTITY, ids_N[:500], 3, ask, block_size=128)
    extend(path, ids_N, 4, ask)


def files(path: Path) -> list[Path]:
    """All files with something in them (the locks are empty)."""
    return sorted(file for file in path.rglob("*") if file.is_file() and file.stat().st_size)


def flip_bit(path: Path, draw: random.Random) -> list[Path]:
    file = draw.choice(files(path))
    content = bytearray(file.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(content)
    return [file]


def replace_byte(path: Path, draw: random.Random) -> list[Path]:
    file = draw.choice(files(path))
    content = bytearray(file.read_bytes())
    content[draw.randrange(len(content))] ^= draw.randrange(1, 256)
    file.write_bytes(content)
    return [file]


def truncate(path: Path, draw: random.Random) -> list[Path]:
    file = draw.choice(files(path))
    content = file.read_bytes()
    file.write_bytes(content[: draw.randrange(len(content))])
    return [file]


def delete(path: Path, draw: random.Random) -> list[Path]:
    file = draw.choice(files(path))
    file.unlink()
    return [file]


def swap(path: Path, draw: random.Random) -> list[Path]:
    one, other = draw.sample(sorted(path.glob("ids-*/view-*/*.arrow")), 2)
    pairs = [(one, other), *[tuple(file.with_name(f"{file.name}.sha256") for file in (one, other))]]
    for a, b in pairs:
        kept = a.read_bytes()
        a.write_bytes(b.read_bytes())
        b.write_bytes(kept)
    return [file for pair in pairs for file in pair]


def edit_manifest(path: Path, draw: random.Random) -> list[Path]:
    return edit(path / MANIFEST, draw)


def edit_seal(path: Path, draw: random.Random) -> list[Path]:
    return edit(path / SEAL, draw)


def edit(file: Path, draw: random.Random) -> list[Path]:
    """Changes, or takes away, one value somewhere in a JSON file."""
    whole = json.loads(file.read_text(encoding="utf-8"))
    at: Any = whole
    while True:
        key = draw.choice(list(at) if isinstance(at, dict) else range(len(at)))
        if not isinstance(at[key], dict | list) or not at[key]:
            break
        at = at[key]
    if draw.random() < 0.25:
        del at[key]
    else:
        other = [0, 1, -1, 10**18, 0.5, "", "a", "../x", None, True, [], {}, [1], {"ids": 1}]
        at[key] = draw.choice([value for value in other if value != at[key]])
    file.write_text(json_text(whole), encoding="utf-8")
    return [file]


def forge_seal(path: Path, draw: random.Random) -> list[Path]:
    """Another size or digest for one file, or no entry at all, in a seal whose own digest fits."""
    seal = json.loads((path / SEAL).read_text(encoding="utf-8"))
    name = draw.choice(sorted(seal["files"]))
    match draw.randrange(3):
        case 0:
            seal["files"][name]["bytes"] += draw.choice([-1, 1])
        case 1:
            seal["files"][name]["sha256"] = f"{draw.getrandbits(256):064x}"
        case _:
            del seal["files"][name]
    seal["digest"] = fingerprint({"files": seal["files"]})
    (path / SEAL).write_text(json_text(seal), encoding="utf-8")
    return [path / SEAL, path / name]


KINDS: dict[str, Damage] = {
    "bit flipped": flip_bit,
    "byte replaced": replace_byte,
    "end cut off": truncate,
    "file deleted": delete,
    "shards swapped": swap,
    "manifest edited": edit_manifest,
    "seal edited": edit_seal,
    "seal forged": forge_seal,
}


def outcome(path: Path, touched: list[Path]) -> tuple[str, str]:
    """What opening and verifying say; and what reading every answer of it says where digests are not looked at."""

    def named(text: str) -> bool:
        return any(str(file) in text for file in touched)

    small, large = "not refused", "read without complaint"
    try:
        Store.open(path)
    except BadInput as error:
        problems = verify(path)
        small = "refused, file named" if named(str(error)) and any(map(named, problems)) else "refused, not named"
    looked = check.VERIFY_BELOW_BYTES
    check.VERIFY_BELOW_BYTES = 0
    try:
        store = Store.open(path)
        ids_N = torch.from_numpy(store.ids)
        for view in range(store.views):
            store.encoded(ids_N, torch.full_like(ids_N, view))
    except BadInput as error:
        large = "refused, file named" if named(str(error)) else "refused, not named"
    finally:
        check.VERIFY_BELOW_BYTES = looked
    return small, large


def damage_and_look(path: Path, kind: str, seed: int, tell: Connection) -> None:
    """Does one thing to the store and reports what came of it."""
    touched = KINDS[kind](path, random.Random(seed))
    try:
        tell.send(outcome(path, touched))
    except Exception as error:
        tell.send((f"crashed: {type(error).__name__}", "-"))


def main() -> int:
    parser = arguments(__doc__, recipe=False)
    parser.add_argument("--number", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    began, draw = time.monotonic(), random.Random(asked.seed)
    torch.set_num_threads(1)
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "store"
        maker = FORK.Process(target=make, args=(path,))
        maker.start()
        maker.join()
        whole = {file: file.read_bytes() for file in files(path)}
        for _ in range(asked.number):
            kind, seed = draw.choice(list(KINDS)), draw.getrandbits(32)
            hear, tell = FORK.Pipe(duplex=False)
            process = FORK.Process(target=damage_and_look, args=(path, kind, seed, tell))
            process.start()
            tell.close()
            try:
                small, large = hear.recv()
            except EOFError:
                small, large = "crashed: the process died", "-"
            process.join()
            if not small.startswith("refused, file"):
                print(f"{kind}, seed {seed}: {small}", file=sys.stderr)
            counts[kind].update([small, f"large: {large}", "done"])
            for file, content in whole.items():
                if not file.exists() or file.read_bytes() != content:
                    file.write_bytes(content)
        assert verify(path) == []
    columns = {
        "refused, file named": "refused, file named",
        "refused, not named": "refused, file not named",
        "not refused": "not refused",
        "large: refused, file named": "without digests: refused, file named",
        "large: read without complaint": "without digests: read",
    }
    rows = []
    for kind, of_kind in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        crashed = sum(number for said, number in of_kind.items() if said.startswith("crashed"))
        rows.append([kind, of_kind["done"], *(of_kind[said] for said in columns), crashed])
    print_table(["what was done", "times", *columns.values(), "crashed"], rows)
    print_conditions(str(asked.seed), began)
    return int(rows[-1][2] != asked.number)


if __name__ == "__main__":
    sys.exit(main())
