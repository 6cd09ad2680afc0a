"""Mutants of a source file: copies in which one operator or one constant is another one."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

SWAPPED: dict[type[ast.AST], tuple[str, str]] = {  # an operator as it is written, and what takes its place
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.MatMult: ("@", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.BitXor: ("^", "&"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
}


@dataclass(frozen=True)
class Mutant:
    """One change of one place.

    Parameters
    ----------
    line
        Line of the change, from 1.
    start, end
        Characters of the source that are replaced.
    new
        What takes their place.
    """

    line: int
    start: int
    end: int
    new: str

    def apply(self, source: str) -> str:
        """The source with the change."""
        return source[: self.start] + self.new + source[self.end :]


def list_mutants(source: str) -> list[Mutant]:
    """All mutants of a source, in its order; annotations, decorators and the words of errors are left as they are."""
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line.decode()))
    lines = source.splitlines(keepends=True)

    def place(line: int, column: int) -> int:
        # Python's syntax tree counts bytes.
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    mutants = []
    for left, right, old, new in _list_changes(ast.parse(source)):
        start, end = place(*left), place(*right)
        if old:  # an operator, somewhere between its operands
            found = re.search(r"(?<![*/<>])" + re.escape(old) + r"(?![*/<>])", source[start:end])
            if found is None:
                continue
            start, end = start + found.start(), start + found.end()
        mutants.append(Mutant(source.count("\n", 0, start) + 1, start, end, new))
    return sorted(filter(lambda mutant: is_python(mutant.apply(source)), mutants), key=lambda mutant: mutant.start)


def is_python(source: str) -> bool:
    """Whether a source can be parsed; a minus in a pattern, say, cannot be anything else."""
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


Place = tuple[int, int]
Change = tuple[Place, Place, str, str]


def _list_changes(node: ast.AST) -> Iterator[Change]:
    """From where, to where, what operator (nothing if all of it) and what in its place."""
    for child in _list_children(node):
        yield from _list_changes(child)
    match node:
        case ast.BinOp(left=left, op=operator, right=right):
            yield _begin_change(left, right, operator)
        case ast.AugAssign(target=target, op=operator, value=value):
            yield _begin_change(target, value, operator)
        case ast.BoolOp(op=operator, values=values):
            for left, right in pairwise(values):
                yield _begin_change(left, right, operator)
        case ast.Compare(left=left, ops=operators, comparators=others):
            for comparison, before, after in zip(operators, [left, *others], others, strict=False):
                if type(comparison) in SWAPPED:
                    yield _begin_change(before, after, comparison)
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert(), operand=operand):
            yield (node.lineno, node.col_offset), (operand.lineno, operand.col_offset), "", ""
        case ast.Constant(value=bool() | int() | float() as value):
            yield _find_start(node), _find_end(node), "", _change_constant(value)


def _list_children(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, (ast.Raise, ast.JoinedStr, ast.Assert)):
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child


def _begin_change(left: ast.expr, right: ast.expr, operator: ast.AST) -> Change:
    old, new = SWAPPED[type(operator)]
    return _find_end(left), _find_start(right), old, new


def _find_start(node: ast.expr) -> Place:
    return node.lineno, node.col_offset


def _find_end(node: ast.expr) -> Place:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return node.end_lineno, node.end_col_offset


def _change_constant(value: bool | int | float) -> str:
    """The other truth, the next whole number, a tenth more."""
    if isinstance(value, bool):
        return repr(not value)
    if isinstance(value, int):
        return repr(value + 1)
    return repr(value * 1.1 if value else 1.0)
