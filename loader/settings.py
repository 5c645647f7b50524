"""What an operator sets for the loader: read once, passed down by argument."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from loader.failed.backoff import Backoff
from loader.failed.repair_steps import STEPS
from loader.lookup import Lookup, VaultError, key_from_file, key_from_hex
from loader.vault import Vault


class LoaderSettingsError(ValueError):
    """Settings that are missing or cannot be read."""


class TenantSettings(BaseSettings):
    """Whose data it is, and the key to it."""

    model_config = SettingsConfigDict(env_prefix="CLAIMGATE_", frozen=True, extra="forbid")

    tenant: str = Field(default="demo", min_length=1, max_length=64)
    """Tenant whose claims are loaded."""

    key_hex: SecretStr | None = None
    """Key for patient data: 64 hexadecimal digits."""

    key_file: Path | None = None
    """File that holds the key instead; only its owner may read it."""

    @classmethod
    def from_environment(cls) -> Self:
        """Read the settings from the CLAIMGATE_ variables.

        Raises:
            LoaderSettingsError: names each setting at fault and what was expected.
        """
        try:
            return cls()
        except ValidationError as error:
            faults = error.errors(include_url=False, include_input=False)
            raise LoaderSettingsError(
                "; ".join(f"CLAIMGATE_{str(f['loc'][0]).upper()}: {f['msg']}" for f in faults)
            ) from None

    def vault(self) -> Vault:
        """Return the vault under the configured key."""
        return Vault(self._key())

    def lookup(self) -> Lookup:
        """Return what finds members, under the configured key."""
        return Lookup(self._key())

    def _key(self) -> bytes:
        if self.key_hex is not None:
            return key_from_hex(self.key_hex.get_secret_value())
        if self.key_file is not None:
            return key_from_file(self.key_file)
        raise VaultError(
            "no key for patient data; set CLAIMGATE_KEY_FILE (64 hexadecimal digits, mode 600) "
            "or CLAIMGATE_KEY_HEX"
        )


class IntakeSettings(TenantSettings):
    """How claims are taken in, wherever they go."""

    high_value_cents: int | None = Field(default=None, ge=0)
    """Claims whose total charge is above this are taken in with priority 7 at least; none by
    default."""


class StagingSettings(IntakeSettings):
    """What `claimgate intake` needs, from the environment (`CLAIMGATE_…`) or by argument."""

    staging_url: str = Field(min_length=1, repr=False)
    """URL of the staging database, as a role that is neither owner nor superuser."""


class ProductionSettings(TenantSettings):
    """What `claimgate members` and `claimgate fees` need, from the environment (`CLAIMGATE_…`)."""

    production_url: str = Field(min_length=1, repr=False)
    """URL of the production database, as a role that is neither owner nor superuser."""


class LoaderSettings(StagingSettings):
    """Settings of the loader, from the environment (`CLAIMGATE_…`) or by argument."""

    production_url: str = Field(min_length=1, repr=False)
    """URL of the production database, as a role that is neither owner nor superuser."""

    service_address: str = "127.0.0.1:50051"
    """Address of the scoring service, host:port."""

    batch_claims: int = Field(default=5_000, ge=1, le=100_000)
    """Claims in one production transaction, about; a message is never split."""

    load_connections: int = Field(default=2, ge=1, le=16)
    """Batches that are loaded at a time, each over a connection of its own."""

    batches_waiting_max: int = Field(default=2, ge=1)
    """Scored batches that wait for the database before scoring pauses."""

    lease_claims: int = Field(default=5_000, ge=1, le=100_000)
    """Claims leased at once, about; a member's other claims come along."""

    lease_s: float = Field(default=60.0, ge=0.1)
    """How long a loader keeps its claims after it last said that it lives, at thirds of this."""

    attempts_max: int = Field(default=5, ge=1)
    """Leases that may end in a crash before a claim is set aside as failed."""

    service_faults_max: int = Field(default=100, ge=0)
    """Claims that the service may fail on; with more, the service is at fault and the run ends."""

    message_claims: int = Field(default=1_000, ge=1, le=2_048)
    """Claims in one message to the service, about; a member's claims stay together."""

    message_bytes_sent_max: int = Field(default=3_000_000, ge=1_000)
    """Most bytes in one message; only a member with more than this is cut."""

    messages_waiting_max: int = Field(default=10, ge=1)
    """Messages that wait for the service before leasing pauses."""

    database_attempts: int = Field(default=5, ge=1)
    """How often a database step is tried when the connection is lost."""

    retry_wait_s: float = Field(default=60.0, gt=0)
    """Longest wait before a failed claim is tried again by itself; each retry doubles it."""

    retry_wait_s_max: float = Field(default=86_400.0, gt=0)
    """Longest such wait; half of a wait is certain, the other half drawn by lot."""

    retries_max: int = Field(default=5, ge=1)
    """Retries that may fail; then a claim is dead until a person takes it up."""

    retry_lease_s: float = Field(default=300.0, gt=0)
    """How long a retrier may take to put claims back into staging before another one may."""

    repair_steps: tuple[str, ...] = ()
    """Repair steps that are applied without being asked, as a JSON list; none unless named."""

    @field_validator("repair_steps")
    @classmethod
    def _known(cls, steps: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse the name of a step that does not exist."""
        if unknown := sorted(set(steps) - set(STEPS)):
            raise ValueError(
                f"there is no repair step {unknown[0]!r}; expected some of {', '.join(STEPS)}"
            )
        return steps

    def backoff(self) -> Backoff:
        """Return when failed claims are tried again."""
        return Backoff(self.retry_wait_s, self.retry_wait_s_max, self.retries_max)
