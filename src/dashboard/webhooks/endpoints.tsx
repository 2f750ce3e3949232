/** The list of webhook endpoints, and making one. */

import type { WebhookEndpointResponse } from "../../outbox/endpoint-schemas";
import { EVENT_TYPES } from "../../outbox/event-types";
import { createWebhookEndpointRoute, listWebhookEndpointsRoute } from "../../webhook/routes/endpoints";
import { ActionForm, idempotencyKeyOf } from "../action-form";
import type { Problem } from "../api";
import { Badge, Time } from "../format";
import { Heading } from "../layout";
import { failed, form, newDashboardApp, type Shown, view } from "../view";
import { may, type Visit } from "../visit";
import { EndpointFields, readFields } from "./endpoint-fields";
import { healthOf } from "./explain";
import { SecretPage } from "./secret-page";

export const endpoints = newDashboardApp();

const SCOPES = ["webhooks:manage"] as const;
const LIST = "/dashboard/webhooks";
/** A merchant has at most so many, which is one page. */
const MAX_LISTED = "100";

view(endpoints, LIST, { scopes: SCOPES }, async (visit) => {
  const listed = await visit.api.call(listWebhookEndpointsRoute, { query: { limit: MAX_LISTED } });
  if (listed.tag === "problem") return failed(listed.problem, "Webhooks");
  const rows = listed.data.data;
  const content = (
    <>
      <Heading title="Webhooks">
        {may(visit, "events:read") && rows.length > 0 && (
          <a class="button" href={`${LIST}/new`} data-opens-dialog>
            Add an endpoint
          </a>
        )}
      </Heading>
      {rows.length === 0 ? <NoEndpoints visit={visit} /> : <EndpointTable visit={visit} rows={rows} />}
    </>
  );
  return { title: "Webhooks", section: "Webhooks", content };
});

function NoEndpoints({ visit }: { visit: Visit }) {
  return (
    <div class="card empty">
      <h2>No webhook endpoint yet</h2>
      <p>
        A webhook endpoint is a URL of your own. What happens to payments is sent there as it happens: signed, in the
        order of each payment, and again until it is taken.
      </p>
      {may(visit, "events:read") ? (
        <a class="button" href={`${LIST}/new`} data-opens-dialog>
          Add an endpoint
        </a>
      ) : (
        <p>To add one, sign in with a key that has the scopes webhooks:manage and events:read.</p>
      )}
    </div>
  );
}

function EndpointTable({ visit, rows }: { visit: Visit; rows: readonly WebhookEndpointResponse[] }) {
  return (
    <div class="card scroll" id="endpoints" data-live data-poll-ms="10000">
      <table>
        <thead>
          <tr>
            <th scope="col">URL</th>
            <th scope="col">Health</th>
            <th scope="col">Events</th>
            <th scope="col">Created</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((endpoint) => (
            <EndpointRow visit={visit} endpoint={endpoint} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function EndpointRow({ visit, endpoint }: { visit: Visit; endpoint: WebhookEndpointResponse }) {
  const { tone, text } = healthOf(endpoint);
  const since = endpoint.enabled ? endpoint.failing_since : endpoint.disabled_at;
  return (
    <tr>
      <td>
        <a href={`${LIST}/${endpoint.id}`}>{endpoint.url}</a>
      </td>
      <td>
        <Badge tone={tone} text={text} />
        {since !== null && (
          <>
            {" since "}
            <Time visit={visit} at={since} />
          </>
        )}
      </td>
      <td>{endpoint.all_types ? "All" : `${endpoint.types.length} of ${Object.keys(EVENT_TYPES).length} types`}</td>
      <td>
        <Time visit={visit} at={endpoint.created_at} />
      </td>
    </tr>
  );
}

function showNew(visit: Visit, sent: URLSearchParams, refused: Problem | null): Shown {
  const content = (
    <ActionForm
      visit={visit}
      title="Add a webhook endpoint"
      action={`${LIST}/new`}
      back={LIST}
      submit="Add the endpoint"
      idempotencyKey={idempotencyKeyOf(sent)}
      refused={refused}
    >
      <EndpointFields url={sent.get("url") ?? ""} types={refused === null ? null : sent.getAll("types")} />
    </ActionForm>
  );
  return { title: "Add a webhook endpoint", section: "Webhooks", content, status: refused?.status ?? 200 };
}

view(endpoints, `${LIST}/new`, { scopes: SCOPES }, (visit, { form: sent }) => showNew(visit, sent, null));

form(endpoints, `${LIST}/new`, { scopes: SCOPES }, async (visit, { form: sent }) => {
  const body = readFields(sent);
  const headers = { "Idempotency-Key": idempotencyKeyOf(sent) };
  const made = await visit.api.call(createWebhookEndpointRoute, { body, headers });
  if (made.tag === "problem") return showNew(visit, sent, made.problem);
  const { data } = made;
  const content = (
    <SecretPage
      title="The endpoint is there"
      path={`${LIST}/${data.id}`}
      secret={"secret" in data ? data.secret : null}
    />
  );
  return { title: "The endpoint is there", section: "Webhooks", content, status: made.status };
});
