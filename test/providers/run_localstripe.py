"""
localstripe, which somebody else wrote, on the loopback interface and a free port. It prints where it answers.

What it lacks of Stripe's API that payments need, it is given here; what it refuses although Stripe takes it is left out of
requests (stripe-mock, which knows every field, sees them whole).
"""

import socket

from aiohttp import web
from localstripe import resources, server

# By the end of a path: what localstripe does not know of a request's fields.
REFUSED = {
    "/payment_intents": ("automatic_payment_methods", "description"),
    "/confirm": ("return_url",),
    "/cancel": ("cancellation_reason",),
    "/refunds": ("reason",),
}

get_post_data = server.get_post_data


async def without_refused(request, remove_auth=True):
    data = await get_post_data(request, remove_auth)
    for end, names in REFUSED.items():
        if data and request.path.endswith(end):
            data = {name: value for name, value in data.items() if name not in names}
    return data


def amount_captured(charge):
    return getattr(charge, "_amount_captured", charge.amount) if charge.captured and charge.status == "succeeded" else 0


def amount_received(intent):
    return intent.latest_charge.amount_captured if intent.latest_charge else 0


capture_charge = resources.Charge._capture


def capture(charge, amount, on_success=None):
    def remember():
        charge._amount_captured = charge.amount if amount is None else int(amount)
        if on_success:
            on_success()

    capture_charge(charge, amount, remember)


server.get_post_data = without_refused
resources.Charge.amount_captured = property(amount_captured)
resources.Charge._capture = capture
resources.PaymentIntent.amount_received = property(amount_received)
# Nothing of one run is there in the next.
resources.Store.dump_to_disk = lambda store: None

listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
listener.bind(("127.0.0.1", 0))
print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
web.run_app(server.app, sock=listener, print=None, access_log=None)
