"""Working tables of the pages: login passwords and sessions."""

from alembic import op

from countersign.web.accounts import logins, sessions

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    connection = op.get_bind()
    for table in (logins, sessions):
        table.create(connection, checkfirst=True)
