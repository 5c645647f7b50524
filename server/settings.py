"""What an operator sets: read once at the start, passed down by argument, never changed."""

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSettingError

from loader.lookup import Lookup, VaultError, key_from_file, key_from_hex
from loader.vault import Vault
from server.address import Address, split_address, split_list
from server.model_spec import ModelChoice
from server.schedule.quota import Quota

EMBEDDED: Final = "embedded"
DISABLED: Final = "disabled"


class SettingsError(ValueError):
    """Settings that contradict each other, are missing, or cannot be read."""


class Settings(BaseSettings):
    """Settings of `claimgate serve`, each also a variable of the environment: CLAIMGATE_LISTEN."""

    model_config = SettingsConfigDict(
        env_prefix="CLAIMGATE_",
        frozen=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )

    listen: str = "127.0.0.1:50051"
    """Address of the gRPC port, HOST:PORT; port 0 takes a free one."""

    workers: int = Field(default=1, ge=1, le=256)
    """Processes that share the port; one core each."""

    pin_workers: bool | None = None
    """Whether each worker keeps to a core of its own, in turn where there are fewer cores; left
    out, where there is just one worker for each core that the process may use."""

    reference: Path
    """Folder made by `claimgate reference build`, or a link to one; other tables take its place."""

    production_url: str | None = Field(default=None, repr=False)
    """URL of the production database, as a role that is neither owner nor superuser."""

    staging_url: str | None = Field(default=None, repr=False)
    """URL of the staging database, to amend claims and to watch and cancel batches; as a role that
    is neither owner nor superuser."""

    history_url: str | None = Field(default=None, repr=False)
    """URL of a read replica of it that history is read from; left out, production itself."""

    database_connections_max: int = Field(default=4, ge=1)
    """Most connections of a process to the production database, and to a replica."""

    database_query_ms: int = Field(default=5_000, ge=1)
    """Longest that a question to the production database may take."""

    reference_poll_ms: int = Field(default=5000, ge=0)
    """How often the folder is looked at for another snapshot; 0: on SIGHUP alone."""

    key_file: Path | None = None
    """File with the key for patient data, the loader's: with it and a database history counts."""

    key_hex: str | None = Field(default=None, repr=False)
    """The key itself instead: 64 hexadecimal digits."""

    history_deadline_ms: int = Field(default=1_000, ge=1)
    """Longest a pass waits for history; later the claims are scored without it, and say so."""

    fees_deadline_ms: int = Field(default=1_000, ge=1)
    """Longest a pass waits for the tenant's fees; what has none by then is not priced, and says so.
    """

    fees_poll_ms: int = Field(default=2_000, ge=10)
    """How often it is looked whether a tenant has loaded another version of its fee schedule."""

    fees_cache_bytes_max: int = Field(default=64 * 1024 * 1024, ge=0)
    """Most memory that a process keeps fees of codes in, about."""

    fees_cache_ttl_ms: int = Field(default=60_000, ge=1)
    """How long it keeps them; of a version that is no longer in use it is as long."""

    memcached: str = ""
    """Nodes that share the fees, HOST:PORT,HOST:PORT; empty: the process's own cache alone."""

    memcached_timeout_ms: int = Field(default=100, ge=1)
    """Longest that a call to a node may take; the node is then left alone for 5 seconds."""

    policy_folder: Path | None = None
    """Folder of policies, TENANT.toml each; left out, they come from the production database."""

    policy_poll_ms: int = Field(default=2_000, ge=10)
    """How often a tenant's policy is looked at again."""

    failed_poll_ms: int = Field(default=60_000, ge=10)
    """How often the failed claims of the tenants are counted for the metrics."""

    model_address: str = EMBEDDED
    """Model servers, HOST:PORT with commas between them; `embedded` starts one, `disabled` scores
    by rules alone."""

    model_folder: Path | None = None
    """Exported model of the embedded model server, or a folder of its versions, such as 1/ and 2/;
    the shipped one where left out."""

    model_name: str = "claims"
    """Model on the model servers: NAME, or NAME/VERSION or NAME@LABEL; the newest without them."""

    model_deadline_ms: int = Field(default=500, ge=1)
    """Longest a pass waits for the model; later the claims are scored without it, and say so."""

    model_batch_rows_max: int = Field(default=4096, ge=1)
    """Most claims in one request to a model server; a larger pass is asked in parts, side by side.
    Not above the server's own limit."""

    model_failures_max: int = Field(default=3, ge=1)
    """After so many failures in a row a model server is left alone, and then tried by probes."""

    model_retry_ms: int = Field(default=1_000, ge=10)
    """How long it is left alone the first time, give or take a quarter; then twice as long, up to
    10 s."""

    model_hedge_ms: int = Field(default=0, ge=0)
    """After this long another model server is asked too and the first answer counts, for at most
    5 % of the requests; 0: never."""

    model_warmup_ms: int = Field(default=5_000, ge=0)
    """Longest that each model is warmed up with a full pass before the service is ready; 0: not."""

    model_candidate: str = ""
    """Model that is tried out beside the other on the same servers, as in `model_name`."""

    model_candidate_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the messages that the candidate answers, 0 to 1."""

    model_shadow_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the other messages that the candidate scores too, counted and without effect."""

    batch_claims_max: int = Field(default=4096, ge=1)
    """Most claims scored in one pass."""

    batch_wait_ms: float = Field(default=2.0, ge=0)
    """Longest a pass waits for more claims, and only while another pass is under way."""

    batch_claims_short: int = Field(default=512, ge=1)
    """Most claims in a pass while interactive messages come beside others."""

    interactive_memory_ms: int = Field(default=10_000, ge=0)
    """How long after an interactive message passes stay short and one place is left for more."""

    bulk_wait_ms: int = Field(default=2_000, ge=0)
    """Longest that bulk waits behind interactive messages; then it takes every other turn."""

    queue_claims_max: int = Field(default=16_384, ge=1)
    """Most claims that wait; beyond, streams stop reading and unary calls are refused."""

    queue_interactive_share: float = Field(default=0.125, ge=0, lt=1)
    """Share of the queue, and of a quota's burst, that bulk leaves to interactive messages."""

    queue_tenant_share: float = Field(default=0.5, gt=0, le=1)
    """Share of the queue that one tenant may hold; one message of each priority it always may."""

    queue_retry_ms: int = Field(default=250, ge=1)
    """Shortest time after which a refused unary call is told to come again."""

    queue_retry_ms_max: int = Field(default=30_000, ge=1)
    """Longest such time; between them it is as long as what waits takes to be scored."""

    tenant_weights: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = {}
    """Share of each tenant beside others that send as much as they can, as JSON; default 1."""

    tenant_quotas: dict[str, Quota] = {}
    """Claims a second and at once by tenant, over all workers, as JSON; `*` is any other tenant."""

    message_claims_max: int = Field(default=2048, ge=1)
    """Most claims in one message."""

    message_entries_max: int = Field(default=65_536, ge=1)
    """Most claims, lines, diagnoses and other entries of lists in one message."""

    message_bytes_max: int = Field(default=4 * 1024 * 1024, ge=1024)
    """Largest message received."""

    stream_unacknowledged_max: int = Field(default=64, ge=1)
    """Most messages of one stream that are read and not yet answered."""

    stream_idle_ms: int = Field(default=60_000, ge=1)
    """Longest a stream may send nothing while nothing of it is being scored."""

    stream_count_max: int = Field(default=100, ge=1)
    """Most calls at once on one connection."""

    call_deadline_ms: int = Field(default=30_000, ge=1)
    """Deadline of a unary call that brings none."""

    drain_ms: int = Field(default=30_000, ge=0)
    """Longest that calls may take to end after a request to stop."""

    metrics_listen: str = "127.0.0.1:9464"
    """Address of /metrics, /health and /ready; empty serves none."""

    plaintext_anywhere: bool = False
    """Allow a port without TLS on an address that other machines reach."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe log line that is written."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse settings that contradict each other."""
        if self.history_url is not None and self.production_url is None:
            raise ValueError(
                "history_url names a replica, production_url does not name what it is a replica "
                "of; set both, or neither"
            )
        if self.message_claims_max > self.queue_claims_max:
            raise ValueError(
                f"message_claims_max is {self.message_claims_max}, queue_claims_max "
                f"{self.queue_claims_max}: the queue has to hold at least one message; raise it"
            )
        places = self.queue_claims_max - int(self.queue_claims_max * self.queue_interactive_share)
        if self.message_claims_max > places:
            raise ValueError(
                f"queue_interactive_share leaves {places} claims of the queue to bulk, "
                f"message_claims_max is {self.message_claims_max}: one message has to fit; raise "
                "queue_claims_max, or lower the share"
            )
        if self.model_address not in {EMBEDDED, DISABLED}:
            addresses = [split_address(each) for each in split_list(self.model_address)]
            if len(set(addresses)) < len(addresses):
                raise ValueError(f"model_address is {self.model_address}: name each server once")
        candidate = self.model_candidate_choice
        if candidate == self.model_choice:
            raise ValueError(
                f"model_candidate is {candidate}, as model_name: expected another model, or "
                "another version or label of it"
            )
        if candidate is None and (self.model_candidate_share or self.model_shadow_share):
            raise ValueError(
                "model_candidate_share and model_shadow_share are of a candidate: "
                "name it by model_candidate"
            )
        if not (self.listen_address.loopback or self.plaintext_anywhere):
            raise ValueError(
                f"listen is {self.listen}: a port without TLS that other machines reach; listen on "
                "127.0.0.1, or set plaintext_anywhere where the network is trusted"
            )
        for node in self.memcached_nodes:
            split_address(node)
        return self

    @property
    def memcached_nodes(self) -> tuple[str, ...]:
        """Addresses of the nodes of memcached, each once."""
        return tuple(dict.fromkeys(filter(None, split_list(self.memcached))))

    @classmethod
    def from_environment(cls, **given: Any) -> Self:
        """Read the settings from the CLAIMGATE_ variables; what is given goes first.

        Raises:
            SettingsError: names each setting at fault and what was expected.
        """
        try:
            return cls(**given)
        except ValidationError as error:
            raise SettingsError(_faults(error)) from None
        except UnreadableSettingError as error:
            raise SettingsError(f"{error}: expected JSON") from None

    def lookup(self) -> Lookup | None:
        """Return what finds members under the configured key; None where none is configured.

        Raises:
            SettingsError: the key cannot be used.
        """
        key = self._key()
        return Lookup(key) if key else None

    def vault(self) -> Vault | None:
        """Return what opens claims under the configured key; None where none is configured.

        Raises:
            SettingsError: the key cannot be used.
        """
        key = self._key()
        return Vault(key) if key else None

    def _key(self) -> bytes | None:
        try:
            if self.key_hex is not None:
                return key_from_hex(self.key_hex)
            return key_from_file(self.key_file) if self.key_file else None
        except (OSError, VaultError) as error:
            raise SettingsError(f"CLAIMGATE_KEY_HEX, CLAIMGATE_KEY_FILE: {error}") from None

    @property
    def listen_address(self) -> Address:
        """Where the gRPC port is."""
        return split_address(self.listen)

    @property
    def model_choice(self) -> ModelChoice:
        """The model that answers."""
        return ModelChoice.parse(self.model_name)

    @property
    def model_candidate_choice(self) -> ModelChoice | None:
        """The model that is tried out; None where there is none."""
        return ModelChoice.parse(self.model_candidate) if self.model_candidate else None

    def environment(self) -> dict[str, str]:
        """Return these settings as environment variables, for a child process."""
        values = self.model_dump(mode="json", exclude_none=True)
        return {
            f"CLAIMGATE_{name.upper()}": json.dumps(value) if type(value) is dict else str(value)
            for name, value in values.items()
        }


def _faults(error: ValidationError) -> str:
    """Return what is wrong, setting by setting, without the values."""
    return "; ".join(
        " ".join(
            (
                f"CLAIMGATE_{str(fault['loc'][0]).upper()}:" if fault["loc"] else "settings:",
                fault["msg"].removeprefix("Value error, "),
            )
        )
        for fault in error.errors(include_url=False, include_input=False)
    )
