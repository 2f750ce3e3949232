/** One payment: everything that is known of it, in one round trip. */

import { getPaymentRoute } from "../../operation/routes/payment";
import { listDisputesRoute, listOperationsRoute } from "../../operation/routes/provider";
import { listRefundsRoute } from "../../operation/routes/refunds";
import { streamPaymentEventsRoute } from "../../operation/routes/stream";
import { PAYMENT_EVENT_TYPE_NAMES } from "../../outbox/event-types";
import type { PaymentResponse } from "../../payment/response";
import { listPaymentEventsRoute } from "../../payment/routes/history";
import { listReconciliationItemsRoute } from "../../reconciliation/routes/items";
import { listPaymentDeliveriesRoute } from "../../webhook/routes/payment-deliveries";
import type { Answered } from "../api";
import { Money, StatusBadge } from "../format";
import { Heading } from "../layout";
import { failed, newDashboardApp, type Shown, view } from "../view";
import { may, type Visit } from "../visit";
import { ActionLinks } from "./actions";
import { Deliveries } from "./deliveries";
import { Amounts, Facts, Metadata, NextAction, PaymentFailure } from "./facts";
import { PAYMENTS_PATH } from "./filters";
import { Differences, Disputes, Operations, Refunds } from "./movements";
import { Timeline } from "./timeline";

export const payment = newDashboardApp();

/** As many of a payment's refunds and disputes as are shown. */
const LIMIT = "100";

/** Deliveries are no events of the payment; where its events may not be followed, the payment is looked at oftener. */
const POLL_MS = { followed: "15000", alone: "5000" } as const;

view(payment, `${PAYMENTS_PATH}/:id`, { scopes: ["payments:read"] }, async (visit, { param }): Promise<Shown> => {
  const { api } = visit;
  const params = { payment_id: param("id") };
  const query = { ...params, limit: LIMIT };
  const [canFollow, canSend] = [may(visit, "events:read"), may(visit, "webhooks:manage")];
  // Begun together: one round trip to D1, and all as of one moment.
  const [found, events, operations, refunds, disputes, items, deliveries] = await Promise.all([
    api.call(getPaymentRoute, { params }),
    canFollow ? api.call(listPaymentEventsRoute, { params }) : null,
    api.call(listOperationsRoute, { params }),
    api.call(listRefundsRoute, { params, query: { limit: LIMIT } }),
    api.call(listDisputesRoute, { query }),
    api.call(listReconciliationItemsRoute, { query: { ...query, state: "open" } }),
    canSend ? api.call(listPaymentDeliveriesRoute, { params }) : null,
  ]);
  if (found.tag === "problem") return failed(found.problem, "Payments");
  const shown = found.data;
  const history = events && dataOf(events);
  const after = history?.at(-1)?.id;
  const stream = after && {
    "data-stream": `${PAYMENTS_PATH}/${shown.id}/stream?after=${after}`,
    "data-events": PAYMENT_EVENT_TYPE_NAMES.join(" "),
  };
  const content = (
    <div id="payment" class="region" data-live data-poll-ms={stream ? POLL_MS.followed : POLL_MS.alone} {...stream}>
      <Head visit={visit} payment={shown} />
      <Amounts visit={visit} payment={shown} />
      <Differences visit={visit} items={dataOf(items)} />
      <PaymentFailure payment={shown} />
      <NextAction payment={shown} />
      <Refunds visit={visit} refunds={dataOf(refunds)} />
      <Disputes visit={visit} disputes={dataOf(disputes)} />
      {deliveries && <Deliveries visit={visit} paymentId={shown.id} deliveries={dataOf(deliveries)} />}
      <div class="columns">
        {history && <Timeline visit={visit} events={history} />}
        <div class="region-column">
          <Facts visit={visit} payment={shown} />
          <Metadata payment={shown} />
        </div>
      </div>
      <Operations visit={visit} currency={shown.currency} operations={dataOf(operations)} />
    </div>
  );
  return { title: `Payment ${shown.id}`, section: "Payments", content };
});

/** What happens to a payment, for its page: the API's stream, under the session, with which it ends. */
view(payment, `${PAYMENTS_PATH}/:id/stream`, { scopes: ["events:read"] }, (visit, { param, query }) => {
  // The page says what it shows; a browser that connects again says what it was told since.
  const last = visit.c.req.header("Last-Event-ID") || query.get("after");
  return visit.api.send(streamPaymentEventsRoute, {
    params: { payment_id: param("id") },
    ...(last && { headers: { "Last-Event-ID": last } }),
  });
});

/** The rows of a list; none where it was refused, since what a key may not see is not shown. */
function dataOf<Row>(
  answered: { tag: "ok"; data: { data: readonly Row[] } } | Extract<Answered<never>, { tag: "problem" }>,
) {
  return answered.tag === "ok" ? answered.data.data : [];
}

function Head({ visit, payment: shown }: { visit: Visit; payment: PaymentResponse }) {
  return (
    <>
      <p class="crumbs">
        <a href={PAYMENTS_PATH}>Payments</a> / {shown.id}
      </p>
      <Heading
        title={
          <>
            <Money visit={visit} amount={shown.amount} currency={shown.currency} />{" "}
            <span class="quiet-text">{shown.currency}</span> <StatusBadge status={shown.status} />
            <small class="under-title">{shown.reference ?? `Order ${shown.order_id}`}</small>
          </>
        }
      >
        <ActionLinks visit={visit} payment={shown} />
      </Heading>
    </>
  );
}
