"""Settings: from the environment, frozen, and refused where they contradict each other."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from server.model_spec import ModelChoice
from server.schedule.quota import Quota
from server.settings import Settings, SettingsError


def test_environment_is_read(monkeypatch):
    monkeypatch.setenv("CLAIMGATE_REFERENCE", "/some/snapshot")
    monkeypatch.setenv("CLAIMGATE_BATCH_WAIT_MS", "7.5")

    settings = Settings.from_environment()

    assert str(settings.reference) == "/some/snapshot"
    assert settings.batch_wait_ms == 7.5


def test_missing_snapshot_is_named(monkeypatch):
    monkeypatch.delenv("CLAIMGATE_REFERENCE", raising=False)

    with pytest.raises(SettingsError, match="CLAIMGATE_REFERENCE"):
        Settings.from_environment()


def test_fault_of_a_setting_names_it_without_its_value(monkeypatch, tmp_path):
    monkeypatch.setenv("CLAIMGATE_WORKERS", "SECRET")

    with pytest.raises(SettingsError, match="CLAIMGATE_WORKERS") as raised:
        Settings.from_environment(reference=tmp_path)

    assert "SECRET" not in str(raised.value)


def test_settings_travel_to_a_child_unchanged(monkeypatch, tmp_path):
    settings = Settings(reference=tmp_path, listen="[::1]:0", workers=3, log_level="warning")

    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)

    assert Settings.from_environment() == settings


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "claims.example:1"])
def test_plaintext_port_that_others_reach_is_refused(tmp_path, listen):
    with pytest.raises(ValidationError, match="plaintext_anywhere"):
        Settings(reference=tmp_path, listen=listen)


def test_plaintext_port_that_others_reach_is_allowed_on_request(tmp_path):
    settings = Settings(reference=tmp_path, listen="0.0.0.0:50051", plaintext_anywhere=True)

    assert settings.listen_address.port == 50051


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "localhost:1"])
def test_plaintext_port_of_this_machine_alone_is_allowed(tmp_path, listen):
    assert Settings(reference=tmp_path, listen=listen).listen_address.loopback


@pytest.mark.parametrize("listen", ["50051", "127.0.0.1", "127.0.0.1:", ":5", "localhost:99999"])
def test_address_that_is_none_is_refused(tmp_path, listen):
    with pytest.raises(ValidationError, match="HOST:PORT"):
        Settings(reference=tmp_path, listen=listen)


def test_nodes_of_memcached_are_read_each_once_and_one_that_is_none_is_refused(tmp_path):
    settings = Settings(reference=tmp_path, memcached="a:1, b:2,,a:1")

    assert settings.memcached_nodes == ("a:1", "b:2")
    assert Settings(reference=tmp_path).memcached_nodes == ()
    with pytest.raises(ValidationError, match="HOST:PORT"):
        Settings(reference=tmp_path, memcached="a:1,b")


def test_queue_that_holds_no_message_is_refused(tmp_path):
    with pytest.raises(ValidationError, match="queue_claims_max"):
        Settings(reference=tmp_path, queue_claims_max=10, message_claims_max=11)


def test_share_that_leaves_bulk_no_room_for_a_message_is_refused(tmp_path):
    with pytest.raises(ValidationError, match="queue_interactive_share leaves 8 claims"):
        Settings(
            reference=tmp_path,
            queue_claims_max=10,
            message_claims_max=9,
            queue_interactive_share=0.25,
        )


def test_quotas_and_weights_are_read_from_the_environment_and_travel_to_a_child(
    monkeypatch, tmp_path
):
    quotas = '{"acme": {"claims_per_s": 5000, "burst_claims": 20000}}'
    monkeypatch.setenv("CLAIMGATE_TENANT_QUOTAS", quotas)
    monkeypatch.setenv("CLAIMGATE_TENANT_WEIGHTS", '{"acme": 2.5}')

    settings = Settings.from_environment(reference=tmp_path)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)

    assert settings.tenant_weights == {"acme": 2.5}
    assert settings.tenant_quotas == {"acme": Quota(5000, 20000)}
    assert Settings.from_environment() == settings


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("TENANT_QUOTAS", '{"acme": {"claims_per_s": 0, "burst_claims": 1}}'),
        ("TENANT_QUOTAS", '{"acme": 5}'),
        ("TENANT_QUOTAS", "{acme: 5}"),
        ("TENANT_WEIGHTS", '{"acme": 0}'),
    ],
)
def test_quota_or_weight_that_is_none_is_refused(monkeypatch, tmp_path, name, text):
    monkeypatch.setenv(f"CLAIMGATE_{name}", text)

    with pytest.raises(SettingsError, match=f"(?i){name}"):
        Settings.from_environment(reference=tmp_path)


def test_settings_cannot_be_changed(tmp_path):
    settings = Settings(reference=tmp_path)

    with pytest.raises(ValidationError, match="frozen"):
        settings.workers = 2


@pytest.mark.parametrize(
    "addresses", ["models:8500", "10.0.0.1:8500,10.0.0.2:8500", "a:1, b:2", "embedded", "disabled"]
)
def test_one_or_several_model_servers_may_be_named(tmp_path, addresses):
    assert Settings(reference=tmp_path, model_address=addresses).model_address == addresses


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"model_address": "models"}, "HOST:PORT"),
        ({"model_address": "a:1,,b:2"}, "HOST:PORT"),
        ({"model_address": "a:1,embedded"}, "HOST:PORT"),
        ({"model_address": "a:1,b:1,a:1"}, "each server once"),
        ({"model_name": "claims:2"}, "NAME/VERSION or NAME@LABEL"),
        ({"model_candidate": "claims/new"}, "NAME/VERSION or NAME@LABEL"),
        ({"model_candidate": "claims"}, "another model"),
        ({"model_name": "claims/2", "model_candidate": "claims/2"}, "another model"),
        ({"model_candidate_share": 0.1}, "name it by model_candidate"),
        ({"model_shadow_share": 0.1}, "name it by model_candidate"),
        ({"model_candidate": "claims/2", "model_shadow_share": 1.1}, "less than or equal to 1"),
    ],
)
def test_models_that_cannot_be_meant_are_refused(tmp_path, changes, text):
    with pytest.raises(ValidationError, match=text):
        Settings(reference=tmp_path, **changes)


def test_candidate_is_a_version_a_label_or_another_model(tmp_path):
    found = [
        Settings(
            reference=tmp_path, model_candidate=text, model_candidate_share=0.5
        ).model_candidate_choice
        for text in ("claims/2", "claims@canary", "next-claims")
    ]

    assert found == [
        ModelChoice("claims", version=2),
        ModelChoice("claims", label="canary"),
        ModelChoice("next-claims"),
    ]
    assert [str(each) for each in found] == ["claims/2", "claims@canary", "next-claims"]


def test_every_setting_is_on_the_page_of_operating():
    page = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()

    missing = {name for name in Settings.model_fields if f"`{name}`" not in page}
    assert not missing


def test_replica_without_what_it_is_a_replica_of_is_refused(tmp_path):
    with pytest.raises(ValidationError, match="set both, or neither"):
        Settings(reference=tmp_path, history_url="postgresql:///replica")
