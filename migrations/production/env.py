"""What alembic runs first: the connection comes from `loader.migrate`."""

from loader.migrate import run_migrations

run_migrations()
