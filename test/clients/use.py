"""Creates and confirms a payment with the client that openapi-python-client makes of the document."""

import json
import sys

directory, url, key = sys.argv[1:]
sys.path.insert(0, directory)

from payments_client import Client  # noqa: E402
from payments_client.api.payments import (  # noqa: E402
    confirm_payment,
    create_payment,
    fail_payment,
    get_payment,
    list_payments,
)
from payments_client.models import (  # noqa: E402
    ListPaymentsStatusItem,
    NewPayment,
    Payment,
    PaymentPage,
    Problem,
)

with Client(base_url=url, raise_on_unexpected_status=True) as client:
    body = NewPayment(order_id=42, amount=99.99, currency="USD")
    created = create_payment.sync(client=client, body=body, idempotency_key=key)
    assert type(created) is Payment, created
    confirmed = confirm_payment.sync(created.id, client=client)
    found = get_payment.sync(created.id, client=client)
    page = list_payments.sync(client=client, status=[ListPaymentsStatusItem.CONFIRMED], limit=1)
    assert type(page) is PaymentPage, page
    refused = fail_payment.sync(created.id, client=client)
    assert type(refused) is Problem, refused

payments = [created, confirmed, found, *page.data]
print(
    json.dumps(
        {
            "areOneType": [type(payment) is Payment for payment in payments],
            "payments": [payment.to_dict() for payment in payments],
            "refused": refused.detail,
        }
    )
)
