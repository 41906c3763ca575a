"""Decorators of functions as calls after them: mutmut leaves decorated functions alone, and folds are decorated."""

from __future__ import annotations

import libcst as cst


class _Undecorated(cst.CSTTransformer):  # type: ignore[misc]
    """`@d def f(): ...` as `def f(): ...` and `f = d(f)`: the same, and open to mutation."""

    def leave_FunctionDef(
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef | cst.FlattenSentinel[cst.BaseStatement]:
        del original_node
        decorators = [one.decorator for one in updated_node.decorators]
        names = [one.value for one in decorators if isinstance(one, cst.Name)]
        if not decorators or names in (["classmethod"], ["staticmethod"]):
            return updated_node
        wrapped: cst.BaseExpression = updated_node.name
        for one in reversed(decorators):
            wrapped = cst.Call(one, [cst.Arg(wrapped)])
        line = cst.SimpleStatementLine([cst.Assign([cst.AssignTarget(updated_node.name)], wrapped)])
        return cst.FlattenSentinel([updated_node.with_changes(decorators=[]), line])


def undecorated(source: str) -> str:
    """A module's source with the decorators of its functions as calls after them."""
    return str(cst.parse_module(source).visit(_Undecorated()).code)
