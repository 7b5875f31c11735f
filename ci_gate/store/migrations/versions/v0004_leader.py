"""Who leads, by which epoch steps are written, and what waits for the next leader."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("ci_gate_progress", sa.Column("epoch", KEY, nullable=False, server_default="0"))
    op.create_table(
        "ci_gate_leader",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("epoch", KEY, nullable=False),
        sa.Column("renewals", KEY, nullable=False),
        sa.Column("released", sa.Boolean(), nullable=False),
        sa.Column("place", sa.String(200), nullable=False),
        sa.Column("holder", sa.String(400), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("backend", sa.Integer(), nullable=False),
    )
    op.create_table(
        "ci_gate_waiting",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("body", sa.Text(), nullable=False),
    )
