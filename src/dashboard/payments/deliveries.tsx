/** What was sent of a payment: each event at each webhook endpoint, why it was not taken, and sending it again. */
import type { listPaymentDeliveriesRoute } from "../../webhook/routes/payment-deliveries";
import type { Answer } from "../api";
import { Badge, Time } from "../format";
import { CsrfField } from "../layout";
import { may, type Visit } from "../visit";
import { explainAttempt, explainState, lookOf } from "../webhooks/explain";
import { PAYMENTS_PATH } from "./filters";
import { eventTitle } from "./timeline";

type Delivery = Answer<typeof listPaymentDeliveriesRoute>["data"][number];

export function Deliveries(props: { visit: Visit; paymentId: number; deliveries: readonly Delivery[] }) {
  const { visit, paymentId, deliveries } = props;
  return (
    <section class="card" id="webhooks" aria-label="Webhooks">
      <h2>Webhooks</h2>
      {deliveries.length === 0 ? (
        <p class="hint">
          Nothing was sent: there is no endpoint that receives these events. <a href="/dashboard/webhooks">Webhooks</a>
        </p>
      ) : (
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">Event</th>
                <th scope="col">Endpoint</th>
                <th scope="col">State</th>
                <th scope="col">
                  <span class="visually-hidden">What can be done</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {deliveries.map((delivery) => (
                <DeliveryRow visit={visit} paymentId={paymentId} delivery={delivery} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function DeliveryRow({ visit, paymentId, delivery }: { visit: Visit; paymentId: number; delivery: Delivery }) {
  const { endpoint_id, endpoint_url, event_id, event_type, status, next_attempt_at } = delivery;
  const path = `/dashboard/webhooks/${endpoint_id}/deliveries/${event_id}`;
  const last = delivery.attempts.at(-1);
  const explained = last && status !== "succeeded" ? explainAttempt(last) : null;
  return (
    <tr>
      <th scope="row">
        <a href={path}>{eventTitle(event_type)}</a>
      </th>
      <td class="address">
        <a href={`/dashboard/webhooks/${endpoint_id}`}>{endpoint_url}</a>
      </td>
      <td>
        <Badge {...lookOf(delivery)} />
        {status === "waiting" && <p class="hint">{explainState(delivery)}.</p>}
        {explained !== null && (
          <p>
            <strong>{explained.result}.</strong> {explained.advice}
          </p>
        )}
        {status === "pending" && next_attempt_at !== null && explained !== null && (
          <p class="hint">
            Tried again at <Time visit={visit} at={next_attempt_at} />
          </p>
        )}
      </td>
      <td class="number">
        {status !== "waiting" && may(visit, "events:read") && (
          <form method="post" action={`${path}/retry`}>
            <CsrfField visit={visit} />
            <input type="hidden" name="back" value={`${PAYMENTS_PATH}/${paymentId}`} />
            <button type="submit" class="quiet" aria-label={`Send again: ${eventTitle(event_type)} to ${endpoint_url}`}>
              Send again
            </button>
          </form>
        )}
      </td>
    </tr>
  );
}
