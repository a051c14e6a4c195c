"""The grammar's parser, `promql_parser`, with one kind of failure."""

from __future__ import annotations

import promql_parser

__all__ = ["parse_expression"]


def parse_expression(text: str) -> promql_parser.Expr:
    """The parser's tree of an expression. Raises ValueError, also where the parser itself breaks down.

    A panic of the parser arrives as an exception that is no `Exception` and has no importable type.
    """
    try:
        return promql_parser.parse(text)
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError(str(error)) from None
