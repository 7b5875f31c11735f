"""Journal, snapshots, layouts, progress."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "ci_gate_journal",
        sa.Column("seq", KEY, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("input", sa.Text(), nullable=False),
        sa.Column("answers", sa.Text(), nullable=False),
        sa.Column("effects", sa.Text(), nullable=False),
    )
    op.create_index("ix_ci_gate_journal_at", "ci_gate_journal", ["at"])
    op.create_table(
        "ci_gate_snapshot",
        sa.Column("seq", KEY, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("layout", sa.String(64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_table(
        "ci_gate_layout",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_table(
        "ci_gate_progress",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("seq", KEY, nullable=False),
    )
