"""The learned pace as a curve: the ceiling it returns to, what it was slowed to, and since when it grows.

`pace_per_min` and `window_requests` are no longer read; workers of before may still write them.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ZERO: dict[str, Any] = {"server_default": sa.text("0"), "nullable": False}


def upgrade() -> None:
    ceiling = "images a minute at which the last 429 came; NULL: none came"
    op.add_column("rate_limits", sa.Column("ceiling_per_min", sa.Double(), nullable=True, comment=ceiling))
    op.add_column("rate_limits", sa.Column("slowed_per_min", sa.Double(), **ZERO))
    for name in ("tried_at", "tried_images", "grows_from", "window_images", "window_before"):
        op.add_column("rate_limits", sa.Column(name, sa.BigInteger(), **ZERO))


def downgrade() -> None:
    for name in ("window_before", "window_images", "grows_from", "tried_images", "tried_at"):
        op.drop_column("rate_limits", name)
    op.drop_column("rate_limits", "slowed_per_min")
    op.drop_column("rate_limits", "ceiling_per_min")
