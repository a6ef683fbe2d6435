"""Writes docs/protocol-reference.md from the comments in proto/; with --check only says whether it is up to date."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "protocol-reference.md"
_MESSAGE, _ENUM, _SERVICE, _FIELD, _VALUE, _METHOD, _SYNTAX = 4, 5, 6, 2, 2, 2, 12
_SCALARS = {number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()}


class Comments:
    """The leading comments of a file's parts, by their paths."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._texts = {tuple(each.path): each.leading_comments.strip() for each in file.source_code_info.location}

    def of(self, *path: int) -> str:
        """The comment of a part, in one paragraph for each paragraph of it."""
        paragraphs = self._texts.get(path, "").split("\n\n")
        return "\n\n".join(" ".join(line.strip() for line in part.splitlines()) for part in paragraphs)


def described() -> Iterator[FileDescriptorProto]:
    """The project's proto files with their comments."""
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "set"
        files = sorted((ROOT / "proto" / "kalepool" / "v1").glob("*.proto"))
        options = [f"--proto_path={ROOT / 'proto'}", f"--descriptor_set_out={target}", "--include_source_info"]
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options, *map(str, files)], check=True)
        yield from FileDescriptorSet.FromString(target.read_bytes()).file


def page() -> str:
    """The whole page."""
    intro = (
        "# Protocol reference\n\n"
        "Made from the comments in `proto/` by `scripts/protocol_reference.py`; not edited by hand.\n"
        "How the calls play together is in [protocol.md](protocol.md)."
    )
    return "\n\n".join([intro, *(part for file in described() for part in _file(file))]) + "\n"


def _file(file: FileDescriptorProto) -> Iterator[str]:
    comments = Comments(file)
    yield f"## {file.name.removeprefix('kalepool/v1/')}"
    yield comments.of(_SYNTAX)
    for number, service in enumerate(file.service):
        yield f"### {service.name}"
        yield comments.of(_SERVICE, number)
        for index, method in enumerate(service.method):
            taken = f"{'stream ' * method.client_streaming}{_short(method.input_type)}"
            given = f"{'stream ' * method.server_streaming}{_short(method.output_type)}"
            yield f"#### {method.name}({taken}) → {given}"
            yield comments.of(_SERVICE, number, _METHOD, index)
    for number, message in enumerate(file.message_type):
        yield from _message(message, number, comments)
    for number, enumeration in enumerate(file.enum_type):
        yield from _enumeration(enumeration, number, comments)


def _message(message: DescriptorProto, number: int, comments: Comments) -> Iterator[str]:
    yield f"### {message.name}"
    yield comments.of(_MESSAGE, number)
    rows = []
    for index, field in enumerate(message.field):
        kind = _short(field.type_name) if field.type_name else _SCALARS[field.type]
        many = "repeated " if field.label == FieldDescriptorProto.LABEL_REPEATED else ""
        group = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
        choice = f" (one of {group})" if group and not field.proto3_optional else ""
        text = comments.of(_MESSAGE, number, _FIELD, index)
        rows.append(f"| {field.number} | `{field.name}` | {many}{kind}{choice} | {_cell(text)} |")
    if rows:
        yield "\n".join(["| | field | type | |", "|---|---|---|---|", *rows])


def _enumeration(enumeration: EnumDescriptorProto, number: int, comments: Comments) -> Iterator[str]:
    yield f"### {enumeration.name}"
    yield comments.of(_ENUM, number)
    rows = [
        f"| {value.number} | `{value.name}` | {_cell(comments.of(_ENUM, number, _VALUE, index))} |"
        for index, value in enumerate(enumeration.value)
    ]
    yield "\n".join(["| | value | |", "|---|---|---|", *rows])


def _short(name: str) -> str:
    return name.removeprefix(".kalepool.v1.").removeprefix(".")


def _cell(text: str) -> str:
    return text.replace("\n\n", " ").replace("|", "\\|")


def main() -> int:
    """Writes or checks the page; exit code 1 if it is not what the comments say."""
    made = page()
    if "--check" in sys.argv[1:]:
        return int(not PAGE.exists() or PAGE.read_text(encoding="utf-8") != made)
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
