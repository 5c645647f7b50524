"""What a database holds, in a form that two databases can be compared by."""

from typing import Final, Literal

import asyncpg
from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TableContents(_Frozen):
    """The rows of one table, whatever their order."""

    table: str
    rows: int
    digest: str
    """Sum of the 64-bit hashes of the rows: it finds accidents, not forgeries."""


Attribute = Literal["LOGIN", "NOLOGIN", "CREATEROLE", "CREATEDB", "REPLICATION", "BYPASSRLS",
    "NOINHERIT"]  # fmt: skip


class Role(_Frozen):
    """A role that owns something, has a grant, or is a member of one that has; no superuser."""

    name: str
    attributes: list[Attribute]
    member_of: list[str]


class Contents(_Frozen):
    """Everything of a database that a backup has to bring back."""

    schema_revision: str
    tables: list[TableContents]
    security: list[str]
    """Owners, row-level security, policies and grants, one a line."""
    roles: list[Role]

    def differences(self, other: "Contents") -> list[str]:
        """Say where another database differs, by table or line; empty where it does not."""
        found = []
        if self.schema_revision != other.schema_revision:
            found.append(f"revision {self.schema_revision}: {other.schema_revision}")
        theirs = {each.table: each for each in other.tables}
        for mine in self.tables:
            there = theirs.pop(mine.table, None)
            if there is None:
                found.append(f"{mine.table}: missing")
            elif there != mine:
                same = "" if there.rows != mine.rows else ", with other contents"
                found.append(f"{mine.table}: {there.rows} rows, expected {mine.rows}{same}")
        found += [f"{name}: not in the backup" for name in theirs]
        found += [f"missing: {line}" for line in self.security if line not in other.security]
        found += [
            f"not in the backup: {line}" for line in other.security if line not in self.security
        ]
        return found


_TABLES: Final = """
SELECT format('%I.%I', n.nspname, c.relname) AS name
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname IN ('public', 'storage') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY 1
"""
_SECURITY: Final = """
SELECT format('%s %s.%s owner %s rls %s forced %s', c.relkind, n.nspname, c.relname,
    pg_get_userbyid(c.relowner), c.relrowsecurity, c.relforcerowsecurity) AS line
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname IN ('public', 'storage') AND c.relkind IN ('r', 'p', 'S', 'v', 'm')
UNION ALL
SELECT format('policy %s on %s for %s to %s using %s check %s', p.polname, p.polrelid::regclass,
    p.polcmd,
    (SELECT string_agg(coalesce(nullif(role::regrole::text, '-'), 'public'), ',' ORDER BY role)
        FROM unnest(p.polroles) AS role),
    pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
FROM pg_policy AS p
UNION ALL
SELECT format('grant %s on %s.%s to %s', a.privilege_type, n.nspname, c.relname,
    coalesce(nullif(a.grantee::regrole::text, '-'), 'public'))
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL aclexplode(coalesce(c.relacl,
    acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) AS a
WHERE n.nspname IN ('public', 'storage') AND c.relkind IN ('r', 'p', 'S', 'v', 'm')
UNION ALL
SELECT format('grant %s on %s.%s.%s to %s', a.privilege_type, n.nspname, c.relname, t.attname,
    coalesce(nullif(a.grantee::regrole::text, '-'), 'public'))
FROM pg_attribute AS t JOIN pg_class AS c ON c.oid = t.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL aclexplode(t.attacl) AS a
WHERE n.nspname IN ('public', 'storage') AND NOT t.attisdropped
UNION ALL
SELECT format('function %s owner %s definer %s, %s to %s', p.oid::regprocedure,
    pg_get_userbyid(p.proowner), p.prosecdef, a.privilege_type,
    coalesce(nullif(a.grantee::regrole::text, '-'), 'public'))
FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
WHERE n.nspname IN ('public', 'storage')
UNION ALL
SELECT format('schema storage owner %s', pg_get_userbyid(n.nspowner))
FROM pg_namespace AS n WHERE n.nspname = 'storage'
ORDER BY 1
"""
_ROLES: Final = """
WITH RECURSIVE used AS (
    SELECT d.refobjid AS oid FROM pg_shdepend AS d JOIN pg_database AS b ON b.oid = d.dbid
    WHERE b.datname = current_database() AND d.refclassid = 'pg_authid'::regclass
    UNION SELECT datdba FROM pg_database WHERE datname = current_database()
    UNION SELECT m.member FROM pg_auth_members AS m JOIN used AS u ON u.oid = m.roleid
)
SELECT r.rolname AS name, array_remove(ARRAY[
        CASE WHEN r.rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END,
        CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
        CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
        CASE WHEN r.rolreplication THEN 'REPLICATION' END,
        CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END,
        CASE WHEN NOT r.rolinherit THEN 'NOINHERIT' END], NULL) AS attributes,
    ARRAY(SELECT g.rolname::text FROM pg_auth_members AS m JOIN pg_roles AS g ON g.oid = m.roleid
        WHERE m.member = r.oid ORDER BY 1) AS member_of
FROM (SELECT DISTINCT oid FROM used) AS u JOIN pg_roles AS r ON r.oid = u.oid
WHERE NOT r.rolsuper AND r.rolname !~ '^pg_'
ORDER BY 1
"""
# Rows are hashed as text: it has to be the same text everywhere.
_SAME_TEXT: Final = """
SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL timezone = 'UTC'; SET LOCAL bytea_output = 'hex';
SET LOCAL intervalstyle = 'iso_8601'; SET LOCAL extra_float_digits = 1; SET LOCAL row_security = off
"""


async def contents(connection: asyncpg.Connection) -> Contents:
    """Read everything within the transaction that is open, as a role that sees every row."""
    await connection.execute(_SAME_TEXT)
    tables = []
    for [name] in await connection.fetch(_TABLES):
        rows, digest = await _digest(connection, name)
        tables.append(TableContents(table=name, rows=rows, digest=digest))
    return Contents(
        schema_revision=await connection.fetchval("SELECT version_num FROM alembic_version"),
        tables=tables,
        security=[row["line"] for row in await connection.fetch(_SECURITY)],
        roles=[Role(**row) for row in await connection.fetch(_ROLES)],
    )


_DIGEST: Final = """
SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text FROM {} AS t
"""


async def _digest(connection: asyncpg.Connection, table: str) -> tuple[int, str]:
    query = _DIGEST.format(table)
    [row] = await connection.fetch(query)
    return row[0], row[1]
