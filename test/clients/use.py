"""Creates and confirms a payment with the client that openapi-python-client makes of the document."""

import json
import sys
import urllib.request

directory, url, key = sys.argv[1:]
sys.path.insert(0, directory)

from payments_client import Client  # noqa: E402
from payments_client.api.events import list_events  # noqa: E402
from payments_client.api.payments import (  # noqa: E402
    confirm_payment,
    create_payment,
    fail_payment,
    get_payment,
    list_payments,
)
from payments_client.models import (  # noqa: E402
    EventPage,
    ListPaymentsStatusItem,
    NewPayment,
    Payment,
    PaymentEvent,
    PaymentPage,
    Problem,
    WebhookEndpointEvent,
)

with Client(base_url=url, raise_on_unexpected_status=True) as client:
    body = NewPayment(order_id=42, amount=99.99, currency="USD")
    created = create_payment.sync(client=client, body=body, idempotency_key=key)
    assert type(created) is Payment, created
    confirmed = confirm_payment.sync(created.id, client=client)
    found = get_payment.sync(created.id, client=client)
    page = list_payments.sync(client=client, status=[ListPaymentsStatusItem.CONFIRMED], limit=1)
    assert type(page) is PaymentPage, page
    feed = list_events.sync(client=client, payment_id=created.id)
    assert type(feed) is EventPage, feed
    assert all(type(event) is PaymentEvent for event in feed.data), feed
    refused = fail_payment.sync(created.id, client=client)
    assert type(refused) is Problem, refused

# An event that is of no payment is told apart too; the document has an example of one.
with urllib.request.urlopen(f"{url}/openapi.json") as answer:
    example = json.load(answer)["components"]["schemas"]["WebhookEndpointEvent"]["example"]
[told] = EventPage.from_dict({"data": [example], "has_more": False, "next_cursor": ""}).data
assert type(told) is WebhookEndpointEvent, told
assert told.data.url == example["data"]["url"], told

payments = [created, confirmed, found, *page.data]
print(
    json.dumps(
        {
            "areOneType": [type(payment) is Payment for payment in payments],
            "payments": [payment.to_dict() for payment in payments],
            "followed": [f"{event.type_} {event.data.order_id} {event.sequence}" for event in feed.data],
            "refused": refused.detail,
        }
    )
)
