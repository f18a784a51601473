"""The analysis of one file, on texts whose answer can be counted by hand."""

import lzma
import textwrap

import pytest
from blake3 import blake3

from awa.demo.analysis import Analysis, analyse


def of(source: str) -> Analysis:
    return analyse(textwrap.dedent(source).encode())


def complexities(source: str) -> dict[str, int]:
    found = of(source)
    assert found.problem is None
    return {function.name: function.complexity for function in found.functions}


@pytest.mark.parametrize(
    ("body", "complexity"),
    [
        ("return a", 1),
        ("if a: return b", 2),
        ("if a: return 1\n    elif b: return 2\n    else: return 3", 3),
        ("for x in a: print(x)", 2),
        ("while a: pass", 2),
        ("try: a()\n    except ValueError: pass\n    except OSError: pass\n    finally: b()", 3),
        ("return a and b and c", 3),
        ("return (a and b) or c", 3),
        ("return a if b else c", 2),
        ("return [x for x in a if x if b]", 4),
        ("assert a", 2),
        ("return lambda x: x if a else b", 2),
        ("match a:\n        case 1: pass\n        case _: pass", 3),
        ("with a: pass", 1),
    ],
)
def test_each_branch_is_one_more_way_through(body: str, complexity: int) -> None:
    assert complexities(f"def f(a, b, c):\n    {body}\n") == {"f": complexity}


def test_a_branch_counts_for_the_innermost_function_around_it() -> None:
    source = """
        if True: pass
        class Shop:
            if True: pass
            def sell(self):
                if self: pass
                async def later():
                    for x in y:
                        if x: pass
                class Bill:
                    if True: pass
                    def pay(self): pass
        """
    assert complexities(source) == {"Shop.sell": 2, "Shop.sell.later": 3, "Shop.sell.Bill.pay": 1}


def test_a_function_is_known_by_name_line_and_length() -> None:
    (first, second) = of("\ndef f():\n    pass\n\ndef g(): pass\n").functions
    assert (first.name, first.line, first.lines) == ("f", 2, 2)
    assert (second.name, second.line, second.lines) == ("g", 5, 1)


def test_size_digest_and_packed_size_are_those_of_the_bytes() -> None:
    source = b"x = 1\n" * 1000
    found = analyse(source)
    assert (found.size, found.lines, found.digest) == (6000, 1000, blake3(source).hexdigest())
    assert found.packed == len(lzma.compress(source, preset=6))


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (b"def f(:\n", "SyntaxError"),
        (b"print 1\n", "SyntaxError"),
        (b"# coding: no-such-thing\n", "SyntaxError"),
        (b"x = '\xff'\n", "SyntaxError"),
        (b"x = 1\0\n", ""),  # a ValueError before Python 3.12, a SyntaxError since
        (b"(" * 5000 + b")" * 5000, ""),  # a SyntaxError, a MemoryError or a RecursionError
    ],
    ids=["syntax", "python-2", "coding", "not-utf-8", "nul", "deep"],
)
def test_a_file_that_cannot_be_parsed_is_a_result(source: bytes, problem: str) -> None:
    found = analyse(source)
    assert found.problem
    assert found.problem.startswith(problem)
    assert found.problem.isprintable()
    assert (found.functions, found.size) == ([], len(source))


def test_a_deep_tree_is_walked_without_recursion() -> None:
    found = of("def f(a):\n    return " + "+".join(["a"] * 900) + "\n")
    assert [function.complexity for function in found.functions] == [1]


def test_the_coding_a_file_declares_is_heeded() -> None:
    found = analyse("# coding: latin-1\ndef größe(): pass\n".encode("latin-1"))
    assert [function.name for function in found.functions] == ["größe"]


@pytest.mark.parametrize("source", [b"", b"\xef\xbb\xbfx = 1\n"], ids=["empty", "bom"])
def test_odd_files_that_are_python(source: bytes) -> None:
    assert analyse(source).problem is None
