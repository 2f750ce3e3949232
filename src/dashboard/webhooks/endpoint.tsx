/** One webhook endpoint, and its deliveries. */
import type { WebhookEndpointResponse } from "../../outbox/endpoint-schemas";
import { EVENT_TYPE_NAMES } from "../../outbox/event-types";
import { DELIVERY_STATE_NAMES } from "../../outbox/states";
import { listWebhookDeliveriesRoute } from "../../webhook/routes/deliveries";
import { getWebhookEndpointRoute } from "../../webhook/routes/endpoints";
import type { Answer, Problem } from "../api";
import { Badge, Time, words } from "../format";
import { Heading } from "../layout";
import { failed, newDashboardApp, Refusal, view } from "../view";
import { may, type Visit } from "../visit";
import { explainAttempt, healthOf, lookOf, whyDisabled } from "./explain";

export const endpoint = newDashboardApp();

const PATH = "/dashboard/webhooks/:endpoint";
const FILTERS = ["status", "type", "created_from", "created_to", "payment_id", "cursor"] as const;

view(endpoint, PATH, { scopes: ["webhooks:manage"] }, async (visit, { param, query }) => {
  const params = { endpoint_id: param("endpoint") };
  const filters = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? undefined]));
  const [found, deliveries] = await Promise.all([
    visit.api.call(getWebhookEndpointRoute, { params }),
    visit.api.call(listWebhookDeliveriesRoute, { params, query: filters }),
  ]);
  if (found.tag === "problem") return failed(found.problem, "Webhooks");
  const path = `/dashboard/webhooks/${found.data.id}`;
  const content = (
    <>
      <Heading title={found.data.url}>
        <Actions visit={visit} endpoint={found.data} path={path} />
      </Heading>
      <Facts visit={visit} endpoint={found.data} />
      <h2>Deliveries</h2>
      <Filters query={query} path={path} />
      <Deliveries
        visit={visit}
        path={path}
        query={query}
        page={deliveries.tag === "ok" ? deliveries.data : null}
        refused={deliveries.tag === "problem" ? deliveries.problem : null}
      />
    </>
  );
  return { title: `Webhook ${found.data.url}`, section: "Webhooks", content };
});

function Actions({
  visit,
  endpoint: { enabled },
  path,
}: {
  visit: Visit;
  endpoint: WebhookEndpointResponse;
  path: string;
}) {
  const canSend = may(visit, "events:read");
  const action = (name: string, text: string, look = "button quiet") => (
    <a class={look} href={`${path}/${name}`} data-opens-dialog>
      {text}
    </a>
  );
  return (
    <>
      {action("test", "Send a test event", "button")}
      {canSend && enabled && action("replay", "Replay")}
      {canSend && action("edit", "Edit")}
      {canSend && (enabled ? action("disable", "Disable") : action("enable", "Enable", "button"))}
      {action("roll", "Roll the secret")}
      {action("delete", "Delete", "button danger")}
    </>
  );
}

function Facts({ visit, endpoint: shown }: { visit: Visit; endpoint: WebhookEndpointResponse }) {
  const { tone, text } = healthOf(shown);
  const why = whyDisabled(shown);
  return (
    <div class="card" id="endpoint" data-live data-poll-ms="10000">
      <dl class="facts">
        <dt>Health</dt>
        <dd>
          <Badge tone={tone} text={text} />
          {shown.enabled && shown.failing_since !== null && (
            <>
              {" since "}
              <Time visit={visit} at={shown.failing_since} />. After five days without a success it is disabled.
            </>
          )}
          {shown.disabled_at !== null && (
            <>
              {" since "}
              <Time visit={visit} at={shown.disabled_at} />. {why}
            </>
          )}
        </dd>
        <dt>Receives</dt>
        <dd>{shown.all_types ? "All events, also of types that come later" : shown.types.join(", ")}</dd>
        <dt>URL set by</dt>
        <dd>{shown.url_set_by === null ? "Open mode" : <code>pay_{shown.url_set_by}_…</code>}</dd>
        {shown.previous_secret_ends_at !== null && (
          <>
            <dt>Previous secret</dt>
            <dd>
              signs too until <Time visit={visit} at={shown.previous_secret_ends_at} />
            </dd>
          </>
        )}
        <dt>Created</dt>
        <dd>
          <Time visit={visit} at={shown.created_at} />
        </dd>
      </dl>
    </div>
  );
}

function Filters({ query, path }: { query: URLSearchParams; path: string }) {
  const select = (name: string, text: string, options: readonly string[]) => (
    <label>
      {text}
      <select name={name} data-submits>
        <option value="">All</option>
        {options.map((option) => (
          <option value={option} selected={query.get(name) === option}>
            {words(option)}
          </option>
        ))}
      </select>
    </label>
  );
  const field = (name: string, text: string, type: string, placeholder?: string) => (
    <label>
      {text}
      <input name={name} type={type} value={query.get(name) ?? ""} placeholder={placeholder} />
    </label>
  );
  return (
    <form class="card filters" method="get" action={path}>
      {select("status", "State", DELIVERY_STATE_NAMES)}
      {select("type", "Event type", EVENT_TYPE_NAMES)}
      {field("payment_id", "Payment", "text")}
      {field("created_from", "From (UTC)", "text", "2026-01-16")}
      {field("created_to", "Before (UTC)", "text", "2026-01-17")}
      <div class="actions">
        <button type="submit" class="quiet">
          Filter
        </button>
        {[...query.keys()].some((name) => name !== "notice") && <a href={path}>Clear</a>}
      </div>
    </form>
  );
}

interface DeliveriesProps {
  readonly visit: Visit;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly page: Answer<typeof listWebhookDeliveriesRoute> | null;
  readonly refused: Problem | null;
}

function Deliveries({ visit, path, query, page, refused }: DeliveriesProps) {
  if (page === null) return <Refusal problem={refused} />;
  const isFiltered = FILTERS.some((name) => query.has(name) && query.get(name) !== "");
  if (page.data.length === 0 && !page.has_more) {
    return (
      <div class="card empty" id="deliveries" data-live>
        <h3>{isFiltered ? "No delivery matches" : "Nothing was sent yet"}</h3>
        <p>
          {isFiltered ? (
            <a href={path}>Clear the filters</a>
          ) : (
            "Send a test event to see whether the endpoint takes it. Then the events of payments appear here."
          )}
        </p>
      </div>
    );
  }
  const older = new URLSearchParams(query);
  older.delete("notice");
  older.set("cursor", page.next_cursor ?? "");
  return (
    <>
      <div class="card scroll" id="deliveries" data-live>
        <table>
          <thead>
            <tr>
              <th scope="col">Event</th>
              <th scope="col">State</th>
              <th scope="col">Last attempt</th>
              <th scope="col" class="number">
                Attempts
              </th>
              <th scope="col">Created</th>
            </tr>
          </thead>
          <tbody>
            {page.data.map((delivery) => {
              const last = delivery.attempts.at(-1);
              return (
                <tr>
                  <td>
                    <a href={`${path}/deliveries/${delivery.event_id}`}>{delivery.event_type}</a>
                    <br />
                    <code class="quiet-text">{delivery.event_id}</code>
                  </td>
                  <td>
                    <Badge {...lookOf(delivery)} />
                  </td>
                  <td>{last === undefined ? "–" : explainAttempt(last).result}</td>
                  <td class="number">{delivery.attempt_count}</td>
                  <td>
                    <Time visit={visit} at={delivery.created_at} />
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
        {page.data.length === 0 && <p class="hint">None among those that were looked at. There may be older ones.</p>}
      </div>
      {(page.has_more || query.has("cursor")) && (
        <nav class="pages" aria-label="Pages">
          {query.has("cursor") && (
            <a class="button quiet" href={path}>
              Newest
            </a>
          )}
          {page.has_more && (
            <a class="button quiet" href={`${path}?${older}`}>
              Older
            </a>
          )}
        </nav>
      )}
    </>
  );
}
