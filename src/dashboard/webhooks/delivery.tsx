/** One delivery: what was sent, what was answered, and sending it again. */
import { readEventId } from "../../outbox/event-id";
import { getEventRoute } from "../../payment/routes/feed";
import { getWebhookDeliveryRoute, retryWebhookDeliveryRoute } from "../../webhook/routes/deliveries";
import type { Answer, Problem } from "../api";
import { Badge, countText, Time } from "../format";
import { CsrfField, Heading } from "../layout";
import { done, failed, form, newDashboardApp, Refusal, type Shown, view } from "../view";
import { may, type Visit } from "../visit";
import { explainAttempt, explainState, lookOf } from "./explain";

export const delivery = newDashboardApp();

type DeliveryResponse = Answer<typeof getWebhookDeliveryRoute>;

const PATH = "/dashboard/webhooks/:endpoint/deliveries/:event";

async function show(visit: Visit, endpointId: string, eventId: string, refused: Problem | null): Promise<Shown> {
  const [found, event] = await Promise.all([
    visit.api.call(getWebhookDeliveryRoute, { params: { endpoint_id: endpointId, event_id: eventId } }),
    may(visit, "events:read") ? visit.api.call(getEventRoute, { params: { event_id: eventId } }) : null,
  ]);
  if (found.tag === "problem") return failed(found.problem, "Webhooks");
  const shown = found.data;
  const name = readEventId(shown.event_id);
  const endpointPath = `/dashboard/webhooks/${endpointId}`;
  const content = (
    <>
      <Heading title={shown.event_type}>
        {may(visit, "events:read") && <SendAgain visit={visit} path={`${endpointPath}/deliveries/${shown.event_id}`} />}
      </Heading>
      <Refusal problem={refused} />
      <div class="card" id="delivery" data-live data-poll-ms="5000">
        <dl class="facts">
          <dt>State</dt>
          <dd>
            <Badge {...lookOf(shown)} />
            <p>
              {explainState(shown)}
              {shown.next_attempt_at === null ? (
                "."
              ) : (
                <>
                  {": next at "}
                  <Time visit={visit} at={shown.next_attempt_at} />
                </>
              )}
            </p>
          </dd>
          <dt>Event</dt>
          <dd>
            <code>{shown.event_id}</code> of <Time visit={visit} at={shown.created_at} />
          </dd>
          {name !== null && "paymentId" in name && (
            <>
              <dt>Payment</dt>
              <dd>
                <a href={`/dashboard/payments/${name.paymentId}`}>Payment {name.paymentId}</a>
              </dd>
            </>
          )}
          <dt>Endpoint</dt>
          <dd>
            <a href={endpointPath}>Endpoint {endpointId}</a>
          </dd>
        </dl>
        <h2>Attempts</h2>
        <Attempts visit={visit} shown={shown} />
      </div>
      {event !== null && event.tag === "ok" && (
        <div class="card">
          <h2>What is sent</h2>
          <p class="hint">
            As JSON, with the headers <code>webhook-id: {shown.event_id}</code>, <code>webhook-timestamp</code> and{" "}
            <code>webhook-signature</code>.
          </p>
          <pre tabindex={0}>{JSON.stringify(event.data, null, 2)}</pre>
        </div>
      )}
    </>
  );
  return { title: `Delivery of ${shown.event_id}`, section: "Webhooks", content, status: refused?.status ?? 200 };
}

function SendAgain({ visit, path }: { visit: Visit; path: string }) {
  return (
    <form method="post" action={`${path}/retry`}>
      <CsrfField visit={visit} />
      <button type="submit">Send it again</button>
    </form>
  );
}

function Attempts({ visit, shown }: { visit: Visit; shown: DeliveryResponse }) {
  if (shown.attempts.length === 0) return <p class="hint">It was not sent yet.</p>;
  return (
    <ol class="timeline" reversed>
      {shown.attempts.toReversed().map((attempt) => {
        const { result, advice } = explainAttempt(attempt);
        return (
          <li class={advice === null ? "good" : "bad"}>
            <strong>{result}</strong> at <Time visit={visit} at={attempt.at} />, in{" "}
            {countText(visit, attempt.duration_ms)} ms
            {advice !== null && <p>{advice}</p>}
            {attempt.answer !== "" && (
              <>
                <p class="hint">The answer begins with:</p>
                <pre tabindex={0}>{attempt.answer}</pre>
              </>
            )}
          </li>
        );
      })}
    </ol>
  );
}

view(delivery, PATH, { scopes: ["webhooks:manage"] }, (visit, { param }) =>
  show(visit, param("endpoint"), param("event"), null),
);

/** A page of the dashboard to go back to, which a form of another page names; the delivery's own for everything else. */
function backFrom(form: URLSearchParams, own: string): string {
  const back = form.get("back") ?? "";
  return /^\/dashboard\/payments\/\d+$/.test(back) ? back : own;
}

form(delivery, `${PATH}/retry`, { scopes: ["webhooks:manage"] }, async (visit, { param, form: sent }) => {
  const params = { endpoint_id: param("endpoint"), event_id: param("event") };
  const asked = await visit.api.call(retryWebhookDeliveryRoute, { params });
  if (asked.tag === "problem") return show(visit, params.endpoint_id, params.event_id, asked.problem);
  const own = `/dashboard/webhooks/${params.endpoint_id}/deliveries/${params.event_id}`;
  return done(backFrom(sent, own), "delivery_retried");
});
