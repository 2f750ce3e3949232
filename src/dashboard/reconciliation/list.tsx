/** What a person has to look at: each item with what it means and what to do, those that are open first. */
import { ITEM_STATES, RECONCILIATION, RECONCILIATION_KINDS } from "../../provider/reconciliation";
import { listReconciliationItemsRoute } from "../../reconciliation/routes/items";
import { download } from "../download";
import { Time } from "../format";
import { Heading } from "../layout";
import { Pager } from "../pager";
import { AccountLink } from "../providers/explain";
import { newDashboardApp, Refusal, view } from "../view";
import type { Visit } from "../visit";
import { About, type ItemAnswer, ItemState, itemPath, kindText, RECONCILIATION_PATH } from "./explain";

export const reconciliationList = newDashboardApp();

const SECTION = "Reconciliation";
const FILE_PATH = `${RECONCILIATION_PATH}.csv`;
const FILTERS = ["state", "kind", "account", "payment_id"] as const;
/** What the address says for open and resolved ones together; without a word, the open ones are shown. */
const ALL_STATES = "all";

/** The filters of an address, as the API takes them. */
function filtersOf(query: URLSearchParams): Record<string, string | undefined> {
  const given = Object.fromEntries(FILTERS.map((name) => [name, query.get(name)?.trim() || undefined]));
  const { state = "open" } = given;
  return { ...given, state: state === ALL_STATES ? undefined : state };
}

/** An address with the filters of this one. */
function pathWith(path: string, query: URLSearchParams, more: Readonly<Record<string, string>> = {}): string {
  const kept = FILTERS.flatMap((name) => {
    const value = query.get(name)?.trim() ?? "";
    return value === "" ? [] : [[name, value]];
  });
  const all = new URLSearchParams([...kept, ...Object.entries(more)]);
  return all.size > 0 ? `${path}?${all}` : path;
}

view(reconciliationList, RECONCILIATION_PATH, { scopes: ["payments:read"] }, async (visit, { query }) => {
  const cursor = query.get("cursor") ?? undefined;
  const listed = await visit.api.call(listReconciliationItemsRoute, { query: { ...filtersOf(query), cursor } });
  const page = listed.tag === "ok" ? listed.data : null;
  const content = (
    <>
      <Heading title="Reconciliation">
        <a class="button quiet" href={pathWith(FILE_PATH, query)}>
          Download as CSV
        </a>
      </Heading>
      <p class="quiet-text">
        Where a provider says something else than this service does. Nothing was changed because of it: somebody looks
        at each item, does what is needed at the provider or in the shop, and resolves it with the reason.
      </p>
      <Filters query={query} />
      {listed.tag === "problem" && <Refusal problem={listed.problem} />}
      {page !== null && <Items visit={visit} rows={page.data} query={query} />}
      <Pager path={RECONCILIATION_PATH} query={query} next={page?.next_cursor ?? null} />
    </>
  );
  return { title: SECTION, section: SECTION, content, status: listed.tag === "ok" ? 200 : listed.problem.status };
});

view(reconciliationList, FILE_PATH, { scopes: ["payments:read"] }, async (visit, { query }) => {
  const cursor = query.get("cursor") ?? undefined;
  const response = await visit.api.send(listReconciliationItemsRoute, {
    query: { ...filtersOf(query), cursor },
    headers: { Accept: "text/csv" },
  });
  const nextPath = (more: Readonly<Record<string, string>>) => pathWith(FILE_PATH, query, more);
  return download(visit, response, { section: SECTION, name: "reconciliation", query, nextPath });
});

function Filters({ query }: { query: URLSearchParams }) {
  const state = query.get("state") || "open";
  const option = (value: string, text: string, isSelected: boolean) => (
    <option value={value} selected={isSelected}>
      {text}
    </option>
  );
  return (
    <form class="card filters" method="get" action={RECONCILIATION_PATH} aria-label="Filters">
      <label>
        State
        <select name="state" data-submits>
          {ITEM_STATES.map((one) => option(one, kindText(one), one === state))}
          {option(ALL_STATES, "All", state === ALL_STATES)}
        </select>
      </label>
      <label>
        Kind
        <select name="kind" data-submits>
          {option("", "All", false)}
          {RECONCILIATION_KINDS.map((kind) => option(kind, kindText(kind), kind === query.get("kind")))}
        </select>
      </label>
      <label>
        Account
        <input name="account" value={query.get("account") ?? ""} placeholder="stripe_3" autocomplete="off" />
      </label>
      <label>
        Payment
        <input name="payment_id" value={query.get("payment_id") ?? ""} inputmode="numeric" autocomplete="off" />
      </label>
      <div class="actions">
        <button type="submit" class="quiet">
          Filter
        </button>
        {FILTERS.some((name) => query.has(name)) && <a href={RECONCILIATION_PATH}>Clear</a>}
      </div>
    </form>
  );
}

function Items({ visit, rows, query }: { visit: Visit; rows: readonly ItemAnswer[]; query: URLSearchParams }) {
  if (rows.length === 0) {
    const isFiltered = FILTERS.some((name) => (query.get(name) ?? "") !== "");
    return (
      <div class="card empty" id="items" data-live data-poll-ms="30000">
        <h2>{isFiltered ? "No item matches" : "Nothing is open"}</h2>
        <p>
          {isFiltered ? (
            <a href={RECONCILIATION_PATH}>Clear the filters</a>
          ) : (
            <>
              The providers and this service agree on every payment that was compared.{" "}
              <a href={pathWith(RECONCILIATION_PATH, query, { state: ALL_STATES })}>See what was resolved</a>
            </>
          )}
        </p>
      </div>
    );
  }
  return (
    <section class="card scroll" id="items" data-live data-poll-ms="30000" tabindex={0} aria-label="Items">
      <table>
        <thead>
          <tr>
            <th scope="col">What was found</th>
            <th scope="col">State</th>
            <th scope="col">About</th>
            <th scope="col">Account</th>
            <th scope="col">Found</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((item) => (
            <tr>
              <th scope="row" class="finding">
                <strong>
                  <a href={itemPath(item.id)}>{kindText(item.kind)}</a>
                </strong>
                <p>{item.detail}</p>
                <p class="hint">
                  {item.state === "open" ? RECONCILIATION[item.kind].remedy : `Resolved: ${item.resolution}`}
                </p>
              </th>
              <td>
                <ItemState state={item.state} />
              </td>
              <td>
                <About item={item} />
              </td>
              <td>
                <AccountLink visit={visit} id={item.account} />
              </td>
              <td>
                <Time visit={visit} at={item.created_at} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
