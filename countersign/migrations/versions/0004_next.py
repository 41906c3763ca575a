"""On PostgreSQL the question whether an entry is the last one no longer reads the whole table (design record 0144)."""

from alembic import op

from audit import store

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    connection = op.get_bind()
    for statement in store.protection(connection.dialect.name):
        if statement.startswith("CREATE OR REPLACE FUNCTION countersign_next()"):
            connection.exec_driver_sql(statement)
