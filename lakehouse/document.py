"""A YAML file as people read it, and the line on which each of its keys stands."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Place = tuple[str | int, ...]
"""The way to a value: keys of mappings, positions in lists."""


@dataclass(frozen=True)
class Document:
    """A YAML file's content and the line on which each key path stands."""

    path: Path
    content: Any
    lines: dict[Place, int]

    def line(self, place: Place) -> int:
        """The line of the key, or of the nearest one around it that stands there."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def read_document(path: Path, mistakes: list[str]) -> Document | None:
    """The file, or None when it can't be read. What is wrong is added to `mistakes` with file and line, keys that
    stand there twice too."""
    try:
        text = path.read_text("utf-8")
        loader = _Loader(text)
        node = loader.get_single_node()
        content = loader.construct_document(node) if node else None
    except FileNotFoundError:
        mistakes.append(f"{path}: no such file")
    except UnicodeDecodeError as error:
        mistakes.append(f"{path}: not UTF-8 ({error.reason} at byte {error.start})")
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        mistakes.append(f"{path}:{line}: not YAML ({error.problem})")
    except yaml.YAMLError as error:
        mistakes.append(f"{path}: not YAML ({str(error).splitlines()[0]})")
    else:
        lines: dict[Place, int] = {}
        _note_lines(node, (), lines, path, mistakes)
        return Document(path, content, lines)
    return None


def located(path: Path, place: Place) -> str:
    """Where a key of a YAML file stands, for people: `file:line: key.path`."""
    document = read_document(path, [])
    line = document.line(place) if document else 1
    return f"{path}:{line}: {'.'.join(str(part) for part in place)}"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """libyaml's, ten times as fast, wherever the package was built with it. Safe: no tag makes an object.

    Words mean what people read, as in YAML 1.2: `on`, `no` and dates are text, only `true` and `false` are truth values.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 (PyYAML's own protocol)
        first: [(tag, form) for tag, form in resolvers if not tag.endswith((":bool", ":timestamp"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|True|TRUE|false|False|FALSE"), list("tTfF"))


def _note_lines(node: yaml.Node | None, place: Place, lines: dict[Place, int], path: Path, mistakes: list[str]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, key.value if isinstance(key, yaml.ScalarNode) else "?")
            if inner in lines:
                mistakes.append(f"{path}:{key.start_mark.line + 1}: key '{key.value}' stands there twice")
            lines[inner] = key.start_mark.line + 1
            _note_lines(value, inner, lines, path, mistakes)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*place, index)] = value.start_mark.line + 1
            _note_lines(value, (*place, index), lines, path, mistakes)
