/** The account trail: who changed API keys, webhook endpoints and merchants, and when. */
import { ACCOUNT_EVENT_TYPES } from "../../account/event-types";
import { listAccountEventsRoute } from "../../account/routes/account-events";
import type { Answer } from "../api";
import { Time, words } from "../format";
import { Heading } from "../layout";
import { Pager } from "../pager";
import { newDashboardApp, Refusal, view } from "../view";
import { may, type Visit } from "../visit";
import { ChooseFirst, chosenMerchant, MerchantField, merchantsFor, withMerchant } from "./merchant-choice";

export const trail = newDashboardApp();

const PATH = "/dashboard/account";
const FILTERS = ["type", "created_from", "created_to", "cursor"] as const;

type AccountEvent = Answer<typeof listAccountEventsRoute>["data"][number];

view(trail, PATH, { scopes: ["account:read"] }, async (visit, { query }) => {
  const chosen = chosenMerchant(visit, query);
  const filters = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? undefined]));
  const [listed, merchants] = await Promise.all([
    chosen.isKnown
      ? visit.api.call(listAccountEventsRoute, { query: { ...filters, merchant_id: chosen.merchantId } })
      : null,
    merchantsFor(visit),
  ]);
  const own = visit.principal.merchantId;
  const shown = chosen.merchantId ?? (own > 0 ? String(own) : "");
  const isFiltered = FILTERS.some((name) => (query.get(name) ?? "") !== "");
  const page = listed?.tag === "ok" ? listed.data : null;
  const content = (
    <>
      <Heading title="Account trail" />
      <form class="card filters" method="get" action={PATH}>
        {may(visit, "admin") && <MerchantField merchants={merchants} value={shown} />}
        <label>
          What happened
          <select name="type" data-submits>
            <option value="">Anything</option>
            {ACCOUNT_EVENT_TYPES.map((type) => (
              <option value={type} selected={query.get("type") === type}>
                {sentence(type)}
              </option>
            ))}
          </select>
        </label>
        <label>
          From (UTC)
          <input name="created_from" value={query.get("created_from") ?? ""} placeholder="2026-01-16" />
        </label>
        <label>
          Up to (UTC)
          <input name="created_to" value={query.get("created_to") ?? ""} placeholder="2026-01-17" />
        </label>
        <div class="actions">
          <button type="submit" class="quiet">
            Filter
          </button>
          {isFiltered && <a href={withMerchant(PATH, chosen.merchantId)}>Clear</a>}
        </div>
      </form>
      {listed === null && <ChooseFirst what="what was changed there" />}
      {listed?.tag === "problem" && <Refusal problem={listed.problem} />}
      {page !== null && page.data.length === 0 && (
        <div class="card empty">
          <h2>{isFiltered ? "Nothing matches" : "Nothing was changed yet"}</h2>
          <p>
            {isFiltered
              ? "No change of this kind was made in this time."
              : "Each change of a key, a webhook endpoint or the merchant appears here, with who made it."}
          </p>
        </div>
      )}
      {page !== null && page.data.length > 0 && <Events visit={visit} rows={page.data} />}
      <Pager path={PATH} query={query} next={page?.next_cursor ?? null} />
    </>
  );
  return { title: "Account trail", section: "Account trail", content };
});

/** `api_key.created` as people write it. */
function sentence(type: AccountEvent["type"]): string {
  const text = words(type).replace(/^api key/, "API key");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function Events({ visit, rows }: { visit: Visit; rows: readonly AccountEvent[] }) {
  return (
    <div class="card scroll">
      <table>
        <thead>
          <tr>
            <th scope="col">When</th>
            <th scope="col">What</th>
            <th scope="col">Of</th>
            <th scope="col">By</th>
            <th scope="col">With</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((event) => (
            <tr>
              <td>
                <Time visit={visit} at={event.timestamp} />
              </td>
              <td>{sentence(event.type)}</td>
              <td>
                <Subject visit={visit} event={event} />
              </td>
              <td>{event.key_id === null ? "The service" : <code>pay_{event.key_id}_…</code>}</td>
              <td>
                <Details event={event} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** What was changed, as a link for who may see it. */
function Subject({ visit, event: { type, subject, data } }: { visit: Visit; event: AccountEvent }) {
  const [kind] = type.split(".");
  if (kind === "api_key") {
    const id = <code>pay_{subject}_…</code>;
    return may(visit, "keys:manage") ? <a href={`/dashboard/keys/${subject}`}>{id}</a> : id;
  }
  if (kind === "merchant") {
    const text = `Merchant ${subject}`;
    return may(visit, "admin") ? <a href={`/dashboard/merchants/${subject}`}>{text}</a> : <span>{text}</span>;
  }
  if (kind === "provider_account") {
    const id = <code>{subject}</code>;
    return may(visit, "providers:manage") ? <a href={`/dashboard/providers/${subject}`}>{id}</a> : id;
  }
  if (kind === "reconciliation_item") {
    const text = `Item ${subject}`;
    return may(visit, "payments:read") ? (
      <a href={`/dashboard/reconciliation/${subject}`}>{text}</a>
    ) : (
      <span>{text}</span>
    );
  }
  if (kind === "reconciliation_run") {
    const text = `Reconciliation ${subject}`;
    const { account } = data;
    return typeof account === "string" && may(visit, "providers:manage") ? (
      <a href={`/dashboard/providers/${account}`}>{text}</a>
    ) : (
      <span>{text}</span>
    );
  }
  const text = `Endpoint ${subject}`;
  return may(visit, "webhooks:manage") ? <a href={`/dashboard/webhooks/${subject}`}>{text}</a> : <span>{text}</span>;
}

function Details({ event: { data, request_id } }: { event: AccountEvent }) {
  return (
    <details>
      <summary>{summaryOf(data)}</summary>
      <dl class="facts">
        {Object.entries(data).map(([name, value]) => (
          <>
            <dt>{words(name)}</dt>
            <dd>{textOf(value)}</dd>
          </>
        ))}
        <dt>request</dt>
        <dd>
          <code>{request_id}</code>
        </dd>
      </dl>
    </details>
  );
}

const summaryOf = (data: AccountEvent["data"]): string => (typeof data.name === "string" ? data.name : "Details");

function textOf(value: unknown): string {
  if (value === null) return "–";
  if (Array.isArray(value)) return value.map(textOf).join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
