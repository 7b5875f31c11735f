"""Items, build sets and builds that have ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "ci_gate_item",
        sa.Column("uuid", sa.String(40), primary_key=True),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("project", sa.String(400), nullable=False),
        sa.Column("branch", sa.Text()),
        sa.Column("change", sa.BigInteger()),
        sa.Column("patchset", sa.BigInteger()),
        sa.Column("ref", sa.Text()),
        sa.Column("newrev", sa.Text()),
        sa.Column("url", sa.Text()),
        sa.Column("enqueued_at", sa.Double(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("result", sa.Text()),
    )
    op.create_index("ix_ci_gate_item_at", "ci_gate_item", ["at"])
    op.create_index("ix_ci_gate_item_change", "ci_gate_item", ["change"])
    op.create_index("ix_ci_gate_item_project", "ci_gate_item", ["project", "at"])
    op.create_table(
        "ci_gate_buildset",
        sa.Column("uuid", sa.String(40), primary_key=True),
        sa.Column("item_uuid", sa.String(40), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("zuul_ref", sa.Text()),
        sa.Column("commit", sa.Text()),
        sa.Column("score", sa.Integer()),
        sa.Column("message", sa.Text(), nullable=False),
    )
    op.create_index("ix_ci_gate_buildset_item_uuid", "ci_gate_buildset", ["item_uuid"])
    op.create_index("ix_ci_gate_buildset_at", "ci_gate_buildset", ["at"])
    _create_builds()


def _create_builds() -> None:
    op.create_table(
        "ci_gate_build",
        sa.Column("buildset_uuid", sa.String(40), primary_key=True),
        sa.Column("job_name", sa.String(400), primary_key=True),
        sa.Column("uuid", sa.String(40)),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("voting", sa.Boolean(), nullable=False),
        sa.Column("launch_time", sa.Double()),
        sa.Column("start_time", sa.Double()),
        sa.Column("end_time", sa.Double()),
        sa.Column("log_url", sa.Text()),
        sa.Column("url", sa.Text()),
        sa.Column("number", sa.BigInteger()),
        sa.Column("node_name", sa.Text()),
        sa.Column("node_labels", sa.Text()),
        sa.Column("worker", sa.Text()),
        sa.Column("worker_host", sa.Text()),
        sa.Column("reason", sa.Text()),
    )
    op.create_index("ix_ci_gate_build_uuid", "ci_gate_build", ["uuid"])
    op.create_index("ix_ci_gate_build_at", "ci_gate_build", ["at"])
    op.create_index("ix_ci_gate_build_job_name", "ci_gate_build", ["job_name", "at"])
