"""How the tables of journal and snapshots came to be what they are (alembic)."""
