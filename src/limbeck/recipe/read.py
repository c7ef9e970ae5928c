"""Reading a recipe: YAML and overrides in, a `Recipe` out, and sentences where that fails. No torch."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from yaml.constructor import ConstructorError

from ..errors import BadInput, did_you_mean, shortened, shown
from ..modalities import DEFAULT_TASK, unknown_task
from ..sections.recipe import LONGEST_NAME, Recipe
from .contradictions import contradictions
from .sentences import accepts_none, by_name, recipe_for, section_of, sentences

_MOST_VALUES = 10_000  # a recipe has some hundred; YAML aliases can unfold a few lines into millions
_MOST_BYTES = 1_000_000
_DEEPEST = 30
_LARGEST = 10**40  # a field has a bound of its own, and says it; a knob has none
_LONGEST_NUMBER = 100  # characters


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, and reads `1e-3` as a number and a date as text.

    What it cannot make a value of is a `yaml.MarkedYAMLError`, whatever PyYAML raises of it.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        what = node.tag.rpartition(":")[2]
        given = node.value if isinstance(node, yaml.ScalarNode) else None
        if given is not None and what in ("int", "float") and len(given) > _LONGEST_NUMBER:
            raise ConstructorError(problem=f"a number of {len(given)} characters", problem_mark=node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            text = "this" if given is None else shown(given)
            raise ConstructorError(problem=f"{text} is no {what}", problem_mark=node.start_mark) from None

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > _MOST_VALUES:  # maps merged into maps grow as powers do
            raise ConstructorError(
                problem=f"more than {_MOST_VALUES:,} fields in one section", problem_mark=node.start_mark
            )

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            line = key.start_mark.line + 1
            if key.value in seen:
                raise BadInput(
                    f"line {line}: '{key.value}' is given twice (first in line {seen[key.value]}); keep one of the two."
                )
            seen[key.value] = line
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads back as the same values; lists on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


# No file, column or class is called so, and half of a surrogate pair cannot be written as UTF-8.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
# YAML 1.1 wants a dot in a float; people and every other tool write 1e-3. The dumper shares the rule, so that
# the text '1e3' is quoted when it is written.
_FLOAT = re.compile(r"^[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$")
for _class in (_Loader, _Dumper):
    _class.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in pairs if tag != "tag:yaml.org,2002:timestamp"]
        for first, pairs in _class.yaml_implicit_resolvers.items()
    }
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789"))
_Dumper.add_representer(
    list, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)
)
# What YAML takes for the end of a line is folded away in single quotes, which PyYAML writes it in; in double ones it is escaped.
_ENDS_A_LINE = re.compile("[\x85\u2028\u2029]")
_Dumper.add_representer(
    str,
    lambda dumper, value: dumper.represent_scalar(
        "tag:yaml.org,2002:str", value, style='"' if _ENDS_A_LINE.search(value) else None
    ),
)


def read(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file, with `section.field=value` overrides; named after the file by default.

    Raises `BadInput` with a line per problem, each naming the field, what was given and what would be right.
    """
    path = Path(path)
    values = apply_overrides(values_in(path), overrides)
    return from_dict(named_after(path, values), str(path))


def values_in(path: Path, kind: str = "recipe", needs: str = "data, teacher and student") -> dict[str, Any]:
    """The plain values in a YAML file; ``kind`` and what such a file ``needs`` are for the message of `BadInput`."""
    return _parse(_text_of(path, kind), str(path), kind, needs)


def named_after(path: Path, values: dict[str, Any]) -> dict[str, Any]:
    """``values`` with a ``name``: the file's, where they have none."""
    if values.get("name") is not None:
        return values
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")[:LONGEST_NAME]
    return {"name": stem or "recipe", **{key: value for key, value in values.items() if key != "name"}}


def from_dict(values: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """The recipe that plain values (as from YAML) describe. `where` heads the message of `BadInput`."""
    check_plain(values, where)
    if problem := unknown_task(values.get("task", DEFAULT_TASK)):
        raise refusal(where, [problem])
    kind = recipe_for(values)
    try:
        # Through JSON, where strict means what a person means: 3 is a float, "3" is no int, lists are tuples.
        recipe = kind.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        raise refusal(where, sentences(error, kind)) from None
    problems = contradictions(recipe)
    if problems:
        raise refusal(where, problems)
    return recipe


def check_plain(values: Mapping[str, Any], where: str) -> None:
    """Raises `BadInput` for what JSON cannot say: keys that are not text, dates, infinities, endless nesting."""
    problems = _unplain(values)
    if problems:
        raise refusal(where, problems)


def as_yaml(values: Any) -> str:
    """Plain values as YAML that reads back as the same values."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def resolved_yaml(recipe: Recipe) -> str:
    """The recipe with every default written out, as YAML that reads back as an equal recipe.

    Of a student, and of an assistant, stands there what was said of it and no more: by that its stage is named, and a run of what is
    written here is to find it finished.
    """
    values = recipe.model_dump(mode="json")
    for name in ("student", "assistant"):
        if (section := getattr(recipe, name)) is not None:
            said = section.model_dump(mode="json", exclude_unset=True)
            values[name] = {field: value for field, value in values[name].items() if field in said}
    search = {} if recipe.search is None else {"search": recipe.search.model_dump(mode="json")}
    return as_yaml({**values, **search})


def apply_overrides(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """`values` with each `section.field=value` set; the value is YAML, so `[1, 2]`, `true` and `null` work.

    A section that is not there is created from the recipe's default for it, so that
    `objective.kd.temperature=2` changes the temperature and nothing else. `field=null` says null where the
    field can be null, and otherwise removes it, which brings its default back. Raises `BadInput`.
    """
    result = json.loads(json.dumps(values)) if not list(_unplain(values)) else dict(values)
    for override in overrides:
        key, equals, text = override.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts):
            raise BadInput(
                f"--set {shortened(override)}: it must look like section.field=value, such as train.epochs=3."
            )
        value = value_of(text, override)
        _set(result, _with_names(recipe_for(result), parts), value, override)
    return result


def value_of(text: str, override: str) -> Any:
    """The value that ``text``, behind the ``=`` of an override, says as YAML. Raises `BadInput`."""
    begins = f"--set {shortened(override)}: {shown(text)} is not a value"
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise BadInput(f"{begins} ({error.problem or error.context}); put text in quotes.") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise BadInput(f"{begins}; put text in quotes.") from None


def _with_names(section: type[BaseModel] | None, parts: list[str]) -> list[str]:
    """The parts of a path, of which those behind a field that holds values by name are one name: ``search.space.student.width``."""
    for depth, part in enumerate(parts[:-1], 1):
        field = section.model_fields.get(part) if section else None
        if field is None:
            return parts
        if by_name(field.annotation) is not None:
            return [*parts[:depth], ".".join(parts[depth:])]
        section = section_of(field.annotation)
    return parts


def _set(values: dict[str, Any], parts: list[str], value: Any, override: str) -> None:
    section: type[BaseModel] | None = recipe_for(values)
    here: Any = values
    named: Any = None  # what stands there by name
    for depth, part in enumerate(parts[:-1]):
        field = section.model_fields.get(part) if section else None
        if section is not None and field is None and section.model_config.get("extra") != "allow":
            path = ".".join(parts[: depth + 1])
            raise BadInput(
                f"--set {shortened(override)}: {path}: no such field.{did_you_mean(part, section.model_fields)}"
            )
        if here.get(part) is None:
            default = field.get_default(call_default_factory=True) if field and not field.is_required() else None
            here[part] = default.model_dump(mode="json") if isinstance(default, BaseModel) else {}
        here = here[part]
        if not isinstance(here, dict):
            path = ".".join(parts[: depth + 1])
            raise BadInput(
                f"--set {shortened(override)}: {path} is {shown(here)}, not a section with fields of its own."
            )
        section = section_of(field.annotation) if field else None
        named = by_name(field.annotation) if field else None
    field = section.model_fields.get(parts[-1]) if section else None
    annotation = named if named is not None else field.annotation if field is not None else None
    if value is None and not (annotation is not None and accepts_none(annotation)):
        here.pop(parts[-1], None)
    else:
        here[parts[-1]] = value


def _text_of(path: Path, kind: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        there = [other.name for other in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, there, n=1, cutoff=0.75)
        hint = f" Did you mean '{path.parent / near[0]}'?" if near else ""
        raise BadInput(f"{path}: there is no such file.{hint}") from None
    except IsADirectoryError:
        raise BadInput(f"{path} is a folder; give a {kind}, which is a YAML file.") from None
    except OSError as error:
        raise BadInput(f"{shortened(str(path))} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise BadInput(f"{shown(str(path))} holds a null character, which no file's name has.") from None
    if len(data) > _MOST_BYTES:
        raise BadInput(f"{path} holds more than {_MOST_BYTES:,} bytes; a {kind} is a YAML file of some lines.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{path} is not UTF-8 text (byte {error.start} is {data[error.start]:#04x}); a {kind} is a YAML file."
        ) from None


def _parse(text: str, where: str, kind: str, needs: str) -> dict[str, Any]:
    try:
        values = yaml.load(text, Loader=_Loader)
    except BadInput as error:
        raise BadInput(f"{where}, {error}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise BadInput(f"{where}{at}: not valid YAML ({error.problem or error.context}).") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = "it nests too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise BadInput(f"{where}: not valid YAML ({problem}).") from None
    if values is None:
        raise BadInput(f"{where} is empty; a {kind} needs at least {needs}.")
    if not isinstance(values, dict):
        raise BadInput(f"{where} holds {shown(values)}; a {kind} is made of fields, such as 'name: first'.")
    return values


def _unplain(values: Any) -> list[str]:
    """Sentences for what JSON cannot say: keys that are not text, dates, infinities, numbers without end, endless nesting."""
    problems: list[str] = []
    count = 0

    def walk(value: Any, path: tuple[str, ...]) -> None:
        nonlocal count
        count += 1
        if count > _MOST_VALUES or problems:
            return
        at = ".".join(path) or "recipe"
        if len(path) > _DEEPEST:
            problems.append(f"{'.'.join(path[:4])}: nests too deeply")
        elif isinstance(value, Mapping):
            for key, inner in value.items():
                if not isinstance(key, str) or _NO_TEXT.search(key):
                    problems.append(f"{at}: {shown(key)} was given as a field's name; it must be text")
                else:
                    walk(inner, (*path, key))
        elif isinstance(value, list | tuple):
            for index, inner in enumerate(value):
                walk(inner, (*path, str(index)))
        elif isinstance(value, float) and not math.isfinite(value):
            problems.append(f"{at}: {value} was given; it must be a finite number")
        elif isinstance(value, int) and abs(value) > _LARGEST:
            problems.append(f"{at}: a whole number of over 40 digits was given; it must be of ordinary size")
        elif isinstance(value, str) and _NO_TEXT.search(value):
            problems.append(
                f"{at}: {shown(value)} was given; text must hold neither null characters nor half characters"
            )
        elif not (value is None or isinstance(value, str | int | float)):
            problems.append(f"{at}: {shown(value)} was given; it must be text, a number, true, false or a list")

    walk(values, ())
    if count > _MOST_VALUES:
        problems.append(f"recipe: holds more than {_MOST_VALUES} values")
    return problems


def refusal(where: str, problems: Sequence[str]) -> BadInput:
    """The error for what is wrong in ``where``: one sentence, or a list of them."""
    if len(problems) == 1:
        return BadInput(f"{where}: {problems[0]}")
    return BadInput(f"{where} has {len(problems)} problems:", *(f"  {line}" for line in problems))
