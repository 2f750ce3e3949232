/** What happens, newest first: the feed as people read it. */
import { EVENT_TYPE_NAMES } from "../../outbox/event-types";
import { listEventsRoute } from "../../payment/routes/feed";
import type { Answer } from "../api";
import { Time } from "../format";
import { Heading } from "../layout";
import { Pager } from "../pager";
import { eventTitle, Who } from "../payments/timeline";
import { newDashboardApp, Refusal, type Shown, view } from "../view";
import { may, type Visit } from "../visit";

export const eventFeed = newDashboardApp();

const PATH = "/dashboard/events";
const FILTERS = ["type", "payment_id", "created_from", "created_to"] as const;

const isFiltered = (query: URLSearchParams): boolean =>
  FILTERS.some((name) => query.getAll(name).some((value) => value.trim() !== ""));

view(eventFeed, PATH, { scopes: ["events:read"] }, async (visit, { query }): Promise<Shown> => {
  const cursor = query.get("cursor");
  const one = (name: string) => query.get(name)?.trim() || undefined;
  const to = one("created_to");
  const listed = await visit.api.call(listEventsRoute, {
    query: {
      order: "newest_first",
      type: query.getAll("type"),
      payment_id: one("payment_id"),
      created_from: one("created_from"),
      // Whoever names a day means all of it.
      created_to: to && /^\d{4}-\d\d-\d\d$/.test(to) ? `${to}T23:59:59.999Z` : to,
      cursor: cursor ?? undefined,
    },
  });
  const content = (
    <>
      <Heading title="Events" />
      <Filters query={query} />
      {listed.tag === "problem" ? (
        <Refusal problem={listed.problem} />
      ) : (
        <Events visit={visit} query={query} page={listed.data} />
      )}
    </>
  );
  return { title: "Events", section: "Events", content, status: listed.tag === "ok" ? 200 : listed.problem.status };
});

function Filters({ query }: { query: URLSearchParams }) {
  const types = query.getAll("type").flatMap((text) => text.split(","));
  const day = (name: string, text: string) => (
    <label>
      {text}
      <input name={name} type="date" value={query.get(name) ?? ""} />
    </label>
  );
  return (
    <form class="card stacked filter-form" method="get" action={PATH} aria-label="Filters">
      <div class="filters">
        {day("created_from", "From (UTC)")}
        {day("created_to", "To (UTC)")}
        <label>
          Payment id
          <input name="payment_id" inputmode="numeric" value={query.get("payment_id") ?? ""} autocomplete="off" />
        </label>
      </div>
      <details open={types.length > 0}>
        <summary>Types</summary>
        <fieldset class="chips">
          <legend class="visually-hidden">Types</legend>
          {EVENT_TYPE_NAMES.map((type) => (
            <label class="chip">
              <input type="checkbox" name="type" value={type} checked={types.includes(type)} />
              {type}
            </label>
          ))}
        </fieldset>
      </details>
      <div class="actions">
        <button type="submit" class="quiet">
          Apply filters
        </button>
        {isFiltered(query) && <a href={PATH}>Clear all filters</a>}
      </div>
    </form>
  );
}

type FeedPage = Answer<typeof listEventsRoute>;
type FeedEvent = FeedPage["data"][number];

function Events({ visit, query, page }: { visit: Visit; query: URLSearchParams; page: FeedPage }) {
  const cursor = query.get("cursor");
  const live = cursor === null && { "data-live": true, "data-poll-ms": "5000" };
  return (
    <>
      <div id="events" class="region" {...live}>
        {page.data.length === 0 ? (
          <Nothing query={query} hasMore={page.has_more} />
        ) : (
          <ol class="card events">
            {page.data.map((event) => (
              <li>
                <Summary visit={visit} event={event} />
                <details id={event.id}>
                  <summary>
                    <code>{event.id}</code>
                  </summary>
                  <pre tabindex={0}>{JSON.stringify(event, null, 2)}</pre>
                </details>
              </li>
            ))}
          </ol>
        )}
      </div>
      <Pager path={PATH} query={query} next={page.has_more ? page.next_cursor : null} />
    </>
  );
}

function Summary({ visit, event }: { visit: Visit; event: FeedEvent }) {
  return (
    <p>
      <strong>{eventTitle(event.type)}</strong>{" "}
      {"sequence" in event ? (
        <Subject visit={visit} path="/dashboard/payments" name="Payment" id={event.data.id} scope="payments:read" />
      ) : (
        <Subject visit={visit} path="/dashboard/webhooks" name="Endpoint" id={event.data.id} scope="webhooks:manage" />
      )}
      <span class="quiet-text">
        {" · "}
        <Time visit={visit} at={event.timestamp} />
        {"sequence" in event && (
          <>
            {" · "}
            <Who visit={visit} event={event} />
          </>
        )}
      </span>
    </p>
  );
}

interface SubjectProps {
  readonly visit: Visit;
  readonly path: string;
  readonly name: string;
  readonly id: number;
  readonly scope: "payments:read" | "webhooks:manage";
}

/** What an event is of, with a link to it for whoever may see it. */
function Subject({ visit, path, name, id, scope }: SubjectProps) {
  const text = `${name} ${id}`;
  return <>{may(visit, scope) ? <a href={`${path}/${id}`}>{text}</a> : text}</>;
}

function Nothing({ query, hasMore }: { query: URLSearchParams; hasMore: boolean }) {
  const hasFilters = isFiltered(query);
  return (
    <div class="card empty">
      <h2>{hasMore ? "None so far" : hasFilters ? "No event matches these filters" : "Nothing has happened yet"}</h2>
      <p>
        {hasMore ? (
          "None of the events that were looked at matches. There are older ones."
        ) : hasFilters ? (
          <a href={PATH}>Clear all filters</a>
        ) : (
          <>
            Whatever happens to a payment is told here. <a href="/dashboard/payments">Create the first payment</a>
          </>
        )}
      </p>
    </div>
  );
}
