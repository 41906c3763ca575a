"""The trigger on new entries asks the same at less cost (design record 0105)."""

from alembic import op

from audit import store

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    connection = op.get_bind()
    on = " ON entry" if connection.dialect.name == "postgresql" else ""
    connection.exec_driver_sql(f"DROP TRIGGER entry_next{on}")
    for statement in store.protection(connection.dialect.name):
        if "entry_next" in statement or "FUNCTION countersign_next()" in statement:
            connection.exec_driver_sql(statement)
