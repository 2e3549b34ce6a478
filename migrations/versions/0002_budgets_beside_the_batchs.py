"""Budgets beside the batch's own: sums of a day or a month are counted when such a budget begins."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SCOPES = "overall, month, day, tag or batch"


def upgrade() -> None:
    op.create_index("ix_attempts_admitted", "attempts", ["admitted_at"], unique=False)
    _comment_on_scope(_SCOPES, "batch")


def downgrade() -> None:
    _comment_on_scope("batch", _SCOPES)
    op.drop_index("ix_attempts_admitted", table_name="attempts")


def _comment_on_scope(comment: str, before: str) -> None:
    """SQLite keeps no comments, and would have to copy the table for one."""
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("budgets", "scope", comment=comment, existing_comment=before)
