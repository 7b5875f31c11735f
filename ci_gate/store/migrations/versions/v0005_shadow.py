"""What a live system and its shadow said."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "ci_gate_shadow",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_index("ix_ci_gate_shadow_at", "ci_gate_shadow", ["at"])
