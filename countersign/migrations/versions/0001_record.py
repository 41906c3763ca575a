"""The record (entries, tiles, checkpoints, cosignatures, anchors) with its protections, and the working tables."""

from alembic import op

from audit import store
from core import outbox

revision = "0001"
down_revision = None


def upgrade() -> None:
    connection = op.get_bind()
    store.metadata.create_all(connection)
    outbox.metadata.create_all(connection)
    for statement in store.protection(connection.dialect.name):
        doubled = statement.replace("%", "%%") if connection.dialect.name == "postgresql" else statement
        connection.exec_driver_sql(doubled)
