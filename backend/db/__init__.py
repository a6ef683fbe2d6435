"""PostgreSQL: migrations and the stores, over SQLAlchemy Core and psycopg."""
