"""The directory of shards: which databases and which service each bucket belongs to.

    version = 1
    tenants = ["acme"]

    [shards.north]
    buckets = ["0-2047"]
    staging_url = "env:NORTH_STAGING_URL"
    production_url = "env:NORTH_PRODUCTION_URL"
    service_address = "10.0.0.1:50051"

The file holds no secrets: URLs stand in environment variables that it names.
"""

import os
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Final, Self

import tomlkit
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from loader.shards.hashing import BUCKETS, bucket_of

_REFERENCE: Final = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
_BUCKETS: Final = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?")
_PLACES_SHOWN: Final = 5


class DirectoryError(ValueError):
    """A directory of shards that cannot be used, and what is wrong with it."""


def _reference(text: str) -> str:
    if not _REFERENCE.fullmatch(text):
        # What stands there may be a URL with a password: it is not repeated.
        raise ValueError("expected env:NAME, the environment variable that holds the URL")
    return text


def _buckets(texts: object) -> object:
    """Read `["0-99", "200"]` as ranges."""
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError('expected a list of texts such as ["0-2047", "3000"]')
    return tuple(_bucket_range(text) for text in texts)


def _bucket_range(text: str) -> range:
    found = _BUCKETS.fullmatch(text)
    if not found:
        raise ValueError(f'{text!r} is no range of buckets; expected one such as "0-2047" or "7"')
    first = int(found[1])
    last = int(found[2] or first)
    if not first <= last < BUCKETS:
        raise ValueError(f"{text!r} is no range of buckets; they go from 0 to {BUCKETS - 1}")
    return range(first, last + 1)


Reference = Annotated[str, AfterValidator(_reference)]
"""A reference to an environment variable that holds a URL: `env:NAME`."""

Ranges = Annotated[
    tuple[range, ...],
    BeforeValidator(_buckets),
    PlainSerializer(lambda ranges: [text_of(each) for each in ranges]),
]


def text_of(buckets: range) -> str:
    """Return a range as the file has it."""
    first, last = buckets.start, buckets.stop - 1
    return str(first) if first == last else f"{first}-{last}"


class Shard(BaseModel):
    """One cell: a pair of databases, and the service that reads that production's history."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")
    """What the shard is called; taken from its table's name."""

    buckets: Ranges
    """Buckets that belong to it; none for a shard that another one is to be moved to."""

    staging_url: Reference
    """Variable with the URL of its staging, as a role that is neither owner nor superuser."""

    production_url: Reference
    """Variable with the URL of its production, as such a role."""

    owner_staging_url: Reference | None = None
    """Variable with the URL of its staging as the owner of the tables: for migrating and moving."""

    owner_production_url: Reference | None = None
    """Variable with the URL of its production as the owner of the tables."""

    service_address: str = Field(pattern=r"^[^\s/]+:\d{1,5}$")
    """Address of the scoring service that reads this production's history, host:port."""

    @property
    def bucket_count(self) -> int:
        """How many buckets belong to it."""
        return sum(len(each) for each in self.buckets)

    def url(self, field: str) -> str:
        """Return the URL behind a field, such as `staging_url`.

        Raises:
            DirectoryError: The field is left out, or its variable is not set.
        """
        reference = getattr(self, field)
        if reference is None:
            raise DirectoryError(f"shard {self.name} has no {field}; name a variable: env:NAME")
        variable = reference.removeprefix("env:")
        url = os.environ.get(variable)
        if not url:
            raise DirectoryError(
                f"{variable} is not set; shard {self.name} names it as its {field}"
            )
        return url


class Directory(BaseModel):
    """All shards; each bucket belongs to exactly one."""

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(cached_property,))

    version: int = Field(ge=1)
    """Goes up by one with every change of what belongs where."""

    tenants: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field(min_length=1)
    """Tenants whose claims the shards hold: a move takes all of them along."""

    shards: tuple[Shard, ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: object) -> object:
        """Give each shard the name of its table."""
        if isinstance(values, dict) and isinstance(values.get("shards"), dict):
            shards = values["shards"].items()
            named = [each | {"name": name} for name, each in shards if isinstance(each, dict)]
            if len(named) < len(shards):
                raise ValueError("shards: expected one table for each shard, [shards.NAME]")
            return values | {"shards": named}
        return values

    @model_validator(mode="after")
    def _whole(self) -> Self:
        owners = self._owners()
        free = [bucket for bucket in range(BUCKETS) if bucket not in owners]
        if free:
            raise ValueError(f"buckets that belong to no shard: {_some(free)}")
        for field in ("staging_url", "production_url"):
            names = [getattr(shard, field) for shard in self.shards]
            for name in {name for name in names if names.count(name) > 1}:
                raise ValueError(f"two shards have the {field} {name}; each has its own databases")
        if len(set(self.tenants)) < len(self.tenants):
            raise ValueError("tenants: a tenant is named twice")
        return self

    def _owners(self) -> dict[int, Shard]:
        owners: dict[int, Shard] = {}
        for shard in self.shards:
            for bucket in (bucket for each in shard.buckets for bucket in each):
                if bucket in owners:
                    raise ValueError(
                        f"bucket {bucket} belongs to {owners[bucket].name} and {shard.name}"
                    )
                owners[bucket] = shard
        return owners

    @cached_property
    def owners(self) -> Sequence[Shard]:
        """The shard of each bucket, by its number."""
        owners = self._owners()
        return [owners[bucket] for bucket in range(BUCKETS)]

    @property
    def in_use(self) -> list[Shard]:
        """The shards that own buckets, in the order of the file."""
        return [shard for shard in self.shards if shard.buckets]

    def shard_of(self, tenant: str, facility_id: str) -> Shard:
        """Return the shard that a facility's claims belong to."""
        return self.owners[bucket_of(tenant, facility_id)]

    def named(self, name: str) -> Shard:
        """Return a shard by its name.

        Raises:
            DirectoryError: There is none.
        """
        for shard in self.shards:
            if shard.name == name:
                return shard
        known = ", ".join(shard.name for shard in self.shards)
        raise DirectoryError(f"there is no shard {name!r}; expected one of {known}")

    def check_tenant(self, tenant: str) -> None:
        """Refuse a tenant that a move would leave behind.

        Raises:
            DirectoryError: The directory does not name the tenant.
        """
        if tenant not in self.tenants:
            raise DirectoryError(
                f"the directory of shards does not have tenant {tenant!r}; add it to `tenants`"
            )


def _some(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:_PLACES_SHOWN]))
    return (
        f"{shown} and {len(numbers) - _PLACES_SHOWN} more"
        if len(numbers) > _PLACES_SHOWN
        else shown
    )


def read_directory(path: Path) -> Directory:
    """Read and check a directory of shards.

    Raises:
        DirectoryError: It cannot be read, or something in it is wrong; no URL is repeated.
    """
    return _checked(path, _parsed(path).unwrap())


def _parsed(path: Path) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DirectoryError(f"{path} cannot be read: {error.strerror}") from error
    except (TOMLKitError, UnicodeDecodeError) as error:
        raise DirectoryError(f"{path} is no TOML: {error}") from None


def _checked(path: Path, values: object) -> Directory:
    try:
        return Directory.model_validate(values)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        said = "; ".join(
            ": ".join(filter(None, (".".join(map(str, f["loc"])), f["msg"]))) for f in faults
        )
        raise DirectoryError(f"{path}: {said}") from None


def hand_over(path: Path, source: str, target: str) -> Directory:
    """Write that `target` owns all buckets of `source`, as the next version; return it.

    The file is replaced in one step and keeps its comments. A file that says so already stays as
    it is: the step may be repeated.

    Raises:
        DirectoryError: Both own buckets, or the file cannot be used.
    """
    document = _parsed(path)
    before = _checked(path, document.unwrap())
    giving, taking = before.named(source), before.named(target)
    if not giving.buckets and taking.buckets:
        return before
    if taking.buckets:
        raise DirectoryError(f"shard {target} owns buckets already; expected one that owns none")
    document["version"] = before.version + 1
    shards = document["shards"]
    if not isinstance(shards, Table):
        raise DirectoryError(f"{path}: expected one table for each shard, [shards.NAME]")
    shards[target]["buckets"] = _texts(giving.buckets)
    shards[source]["buckets"] = []
    text = tomlkit.dumps(document)
    after = _checked(path, tomlkit.parse(text).unwrap())
    _replace(path, text)
    return after


def _texts(buckets: Iterable[range]) -> list[str]:
    return [text_of(each) for each in buckets]


def _replace(path: Path, text: str) -> None:
    """Replace a file durably and in one step; a link stays a link."""
    place = path.resolve()
    with NamedTemporaryFile(
        "w", encoding="utf-8", dir=place.parent, prefix=f".{place.name}.", delete=False
    ) as new:
        new.write(text)
        new.flush()
        os.fsync(new.fileno())
    temporary = Path(new.name)
    temporary.chmod(place.stat().st_mode & 0o777)
    temporary.replace(place)
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
