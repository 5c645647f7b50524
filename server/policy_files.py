"""Policies from a folder of TOML files, one for each tenant: TENANT.toml."""

import asyncio
import tomllib
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from engine.policy import Policy, PolicyError
from engine.policy_document import policy_of
from engine.rules import all_rules
from server.policies import Loaded, PolicyVersion, Refused
from server.settings import SettingsError


@dataclass(frozen=True, slots=True)
class PolicyFiles:
    """The files of a folder; a tenant without one has the default policy."""

    folder: Path

    def check(self) -> None:
        """Refuse to start with a file that cannot be used.

        Raises:
            SettingsError: names the file, the field and what was expected there.
        """
        if not self.folder.is_dir():
            raise SettingsError(
                f"CLAIMGATE_POLICY_FOLDER: {self.folder} is no folder; expected one with a file "
                "TENANT.toml for each tenant"
            )
        for path in sorted(self.folder.glob("*.toml")):
            try:
                policy_in(path)
            except PolicyError as error:
                raise SettingsError(f"{path}: {error}") from error

    async def mark(self, tenant: str) -> Hashable:
        """Return size and time of the tenant's file."""
        path = await asyncio.to_thread(self._path, tenant)
        if path is None:
            return None
        status = await asyncio.to_thread(path.stat)
        return status.st_ino, status.st_size, status.st_mtime_ns

    async def load(self, tenant: str) -> Loaded:
        """Read the tenant's file."""
        return await asyncio.to_thread(self._load, tenant)

    def _load(self, tenant: str) -> Loaded:
        path = self._path(tenant)
        if path is None:
            return Loaded(None)
        try:
            return Loaded(PolicyVersion(policy_in(path)))
        except PolicyError as error:
            return Loaded(None, (Refused(0, error),))

    def _path(self, tenant: str) -> Path | None:
        """Find the tenant's file among those there are: a tenant's name never makes a path."""
        return next((path for path in self.folder.glob("*.toml") if path.stem == tenant), None)


def policy_in(path: Path) -> Policy:
    """Return the policy of a TOML file, checked against the rules.

    Raises:
        PolicyError: names the field at fault and what was expected there.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PolicyError("file", f"one that can be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError("file", f"TOML ({error})") from error
    policy = policy_of(document)
    policy.check(all_rules())
    return policy
