"""How far the events of each Gerrit connection are complete."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "ci_gate_mark",
        sa.Column("connection", sa.String(200), primary_key=True),
        sa.Column("body", sa.Text(), nullable=False),
    )
