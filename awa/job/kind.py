"""The kind of a job: derived from the name of its argument type, `SendEmail` → `send_email`, or given by it."""

from __future__ import annotations

from awa.errors import ValidationError


def derive_kind(class_name: str) -> str:
    """Turn a class name into a kind.

    A word starts at an uppercase letter that follows a lowercase letter or an ASCII digit, and at the last letter of a
    run of uppercase letters when a lowercase one follows it: `SMTPEmail` → `smtp_email`, `HTTPServer2Go` →
    `http_server2_go`. Returns the words joined by `_`. Names of stored jobs depend on this rule: it never changes.
    """
    return "".join(_letter(class_name, at) for at in range(len(class_name)))


def _letter(name: str, at: int) -> str:
    char = name[at]
    if not char.isupper():
        return char
    # Only the first character of the mapping: 'İ'.lower() is an i and a combining dot, and the dot is not wanted.
    lowered = char.lower()[0]
    return f"_{lowered}" if at > 0 and _starts_word(name, at) else lowered


def _starts_word(name: str, at: int) -> bool:
    previous = name[at - 1]
    if previous.islower() or (previous.isascii() and previous.isdigit()):
        return True
    return previous.isupper() and at + 1 < len(name) and name[at + 1].islower()


def kind_of(args: object, kind: str | None = None) -> str:
    """Return `kind` if given, else the one derived from the type of `args`.

    Raises ValidationError when `args` is a dict, whose type says nothing, or a class instead of an instance of one.
    """
    if kind is not None:
        return kind
    if isinstance(args, dict):
        raise ValidationError(
            'args is a plain dict, which does not say which kind of job it is: pass kind="…", the name its handler is '
            "registered by, or an instance of the class the handler takes"
        )
    if isinstance(args, type):
        raise ValidationError(f"args is the class {args.__name__} itself; pass an instance: {args.__name__}(...)")
    return derive_kind(type(args).__name__)
