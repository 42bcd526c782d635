"""Which requests a job leads to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.extract.plan import TRAILING_KEYS, Job, make_plan
from airflow_provider_lightspeed.extract.slices import BEGINNING
from airflow_provider_lightspeed.extract.window import Window
from airflow_provider_lightspeed.lake.records import ReadState
from airflow_provider_lightspeed.redact import Secret
from tests.support.fakes import NOON

WINDOW = Window(NOON - timedelta(days=1), NOON, moves_watermark=True, origin="test")


def test_modified_reads_filter_and_check_the_same_field() -> None:
    """The filter goes out; every row's value is held against the window."""
    plan = make_plan(Job.of("Sale", relations=["SaleLines"]), WINDOW, ReadState())
    field = plan.resource.modified_field
    assert plan.checked_field == field
    assert plan.filters == {field: WINDOW.filter_value()}
    assert plan.archived == "true"


def test_full_reads_filter_nothing() -> None:
    """But what the user asks for."""
    plan = make_plan(Job.of("Sale", mode="full", filters={"completed": True}), WINDOW, ReadState())
    assert (plan.filters, plan.checked_field) == ({"completed": True}, None)


def test_append_reads_go_back_some_keys() -> None:
    """Keys are given before their rows become visible."""
    job = Job.of("InventoryLog")
    assert make_plan(job, WINDOW, ReadState()).floor == BEGINNING
    assert make_plan(job, WINDOW, ReadState(5_000)).floor == 5_000 - TRAILING_KEYS


def test_reports_are_read_by_whole_days() -> None:
    """From the window's first day to the day its last second lies in."""
    plan = make_plan(Job.of("ReportsAccountingPaymentsByDay"), WINDOW, ReadState())
    assert plan.params == {"startDate": "2026-03-09", "endDate": "2026-03-10"}


def test_payments_come_through_their_sales() -> None:
    """They have no modification field of their own."""
    plan = make_plan(Job.of("SalePayment"), WINDOW, ReadState())
    assert (plan.resource.name, plan.child, plan.relations) == ("Sale", "SalePayments", ("SalePayments",))
    assert plan.checked_field == plan.resource.modified_field


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resource": "Sail"}, "Did you mean 'Sale'"),
        ({"resource": "Sale", "mode": "partial"}, "full, incremental"),
        ({"resource": "Sale", "relations": ["Lines"]}, "relation of Sale"),
        ({"resource": "Sale", "filters": {"complete": 1}}, "Did you mean 'completed'"),
        ({"resource": "Sale", "filters": {"updateTime": ">,x"}}, "set by the window"),
        ({"resource": "Sale", "filters": {"Customer.firstName": "x"}}, "add it to relations"),
        ({"resource": "Sale", "filters": {"or": "complete=1|voided=1"}}, "Did you mean 'completed'"),
        ({"resource": "Sale", "filters": {"or": "voided=1"}}, "at least two alternatives"),
        ({"resource": "CatalogSearch"}, "needs"),
    ],
)
def test_bad_jobs_are_refused_before_anything_is_sent(options: dict[str, Any], words: str) -> None:
    """Each names the argument and what is allowed."""
    with pytest.raises(InvalidArgument, match=words):
        Job.of(**options)


def test_filters_do_not_reach_through_a_parent() -> None:
    """The error offers the two ways that do."""
    with pytest.raises(InvalidArgument, match="mode='full'"):
        make_plan(Job.of("SalePayment", filters={"amount": ">,5"}), WINDOW, ReadState())


def test_query_names_the_result_and_not_the_window() -> None:
    """Runs of one query continue each other; another account or filter is another query."""
    job = Job.of("Sale", filters={"completed": True})
    assert job.query("7") != job.query("8")
    assert job.query("7") != Job.of("Sale").query("7")
    assert not hasattr(job.query("7"), "window")


SALT = Secret("pepper")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hash_columns": ["firstName"]}, "hash_salt"),
        ({"hash_columns": ["firstNam"], "salt": SALT}, "Did you mean 'firstName'"),
        ({"hash_columns": ["Contact"], "salt": SALT}, "not one value"),
        ({"exclude_columns": ["Contact.Emails.adress"]}, "Did you mean 'Contact.Emails.address'"),
    ],
)
def test_wrong_names_are_refused_before_anything_is_sent(options: dict[str, Any], words: str) -> None:
    """A typing error must not write what was to be protected."""
    with pytest.raises(InvalidArgument, match=words):
        Job.of("Customer", relations=["Contact"], **options)


def test_other_protection_is_another_query() -> None:
    """Files with and without personal data do not continue each other; the salt itself is not shown."""
    queries = [
        Job.of("Customer", **options).query("7")
        for options in (
            {},
            {"exclude_columns": ["firstName"]},
            {"hash_columns": ["firstName"], "salt": SALT},
            {"hash_columns": ["firstName"], "salt": Secret("other")},
        )
    ]
    assert len({str(query) for query in queries}) == 4
    assert "pepper" not in str(queries)


@pytest.mark.parametrize(
    "options",
    [
        {"resource": "CreditAccount", "filters": {"code": "6001"}},
        {"resource": "CreditAccount", "filters": '{"code": "~,6001%"}'},
        {"resource": "CreditAccount", "filters": {"or": "code=6001|balance=<,0"}, "mode": "full"},
        {"resource": "Customer", "filters": {"CreditAccount.code": "6001"}, "relations": ["CreditAccount"]},
        {"resource": "Vendor", "filters": {"integrationPassword": "6001"}},
        {"resource": "CCCharge", "filters": {"response": "6001"}},
        {"resource": "Shop", "filters": {"CCGateway.transKey": "6001"}, "relations": ["CCGateway"]},
        {"resource": "Order", "filters": {"Vendor.newApiKey": "6001"}, "relations": ["Vendor"]},
        {"resource": "CreditAccount", "filters": {"code": "6001"}, "columns": ["creditAccountID", "code"]},
    ],
)
def test_m8_filter_on_a_secret_is_refused_by_name_alone(options: dict[str, Any]) -> None:
    """It would be in the URL and the manifest. In either spelling, in an alternative, in a relation; its value is not shown."""
    with pytest.raises(InvalidArgument, match=r"filters: '[\w.]+' of \w+ is a secret field") as caught:
        Job.of(**options)
    assert "6001" not in f"{caught.value} {caught.value!r} {caught.value.fields}"


def test_m8_fields_that_share_a_secret_s_name_can_be_filtered_on() -> None:
    """``code`` is a gift card's number in a credit account only."""
    Job.of("PaymentType", filters={"code": "cash"})
    Job.of("CreditAccount", filters={"or": "giftCard=true|balance=<,0"}, mode="full")
