/** The payments: searched, filtered, page by page. */
import type { PaymentResponse } from "../../payment/response";
import { listPaymentsRoute } from "../../payment/routes/list";
import type { Answer } from "../api";
import { Badge, Money, StatusBadge, Time } from "../format";
import { Heading } from "../layout";
import { newDashboardApp, Refusal, type Shown, view } from "../view";
import { may, type Visit } from "../visit";
import { FilterForm, SearchForm } from "./filter-form";
import { apiQuery, filtersOf, PAYMENTS_PATH, pathWith } from "./filters";
import { onlyOne, type Searched, search } from "./search";

export const paymentList = newDashboardApp();

const SECTION = "Payments";

view(paymentList, PAYMENTS_PATH, { scopes: ["payments:read"] }, async (visit, { query }): Promise<Shown> => {
  const text = query.get("q")?.trim() ?? "";
  if (text !== "") return showSearch(visit, text);
  const [cursor, limit] = [query.get("cursor") ?? undefined, query.get("limit") ?? undefined];
  const listed = await visit.api.call(listPaymentsRoute, { query: { ...apiQuery(query), cursor, limit } });
  const isFirst = cursor === undefined && filtersOf(query).size === 0;
  const isNone = isFirst && listed.tag === "ok" && listed.data.data.length === 0 && !listed.data.has_more;
  const content = (
    <>
      <Heading title="Payments">
        {!isNone && (
          <a class="button quiet" href={pathWith(`${PAYMENTS_PATH}.csv`, query, {})}>
            Download as CSV
          </a>
        )}
      </Heading>
      {isNone ? (
        <FirstPayment visit={visit} />
      ) : (
        <>
          <SearchForm text="" />
          <FilterForm query={query} />
          {listed.tag === "ok" ? (
            <PaymentPage visit={visit} query={query} page={listed.data} />
          ) : (
            <Refusal problem={listed.problem} />
          )}
        </>
      )}
    </>
  );
  return { title: SECTION, section: SECTION, content, status: listed.tag === "ok" ? 200 : listed.problem.status };
});

async function showSearch(visit: Visit, text: string): Promise<Shown> {
  const searched = await search(visit, text);
  const id = onlyOne(searched);
  if (id !== null && searched.refused === null) return { redirect: `${PAYMENTS_PATH}/${id}` };
  const content = (
    <>
      <Heading title="Payments" />
      <SearchForm text={text} />
      <SearchResults visit={visit} text={text} searched={searched} />
    </>
  );
  return { title: `Search: ${text}`, section: SECTION, content };
}

function SearchResults({ visit, text, searched }: { visit: Visit; text: string; searched: Searched }) {
  const { matches, refused } = searched;
  return (
    <>
      <Refusal problem={refused} />
      {matches.length === 0 && refused === null && (
        <div class="card empty">
          <h2>Nothing found for “{text}”</h2>
          <p>
            A search finds a payment by its id, by your order or reference, whole and letter by letter, and by{" "}
            <code>name:value</code> of its metadata.
          </p>
          <p>
            <a href={PAYMENTS_PATH}>All payments</a>
          </p>
        </div>
      )}
      {matches.map(({ what, payments, more }) => (
        <section class="card">
          <h2>Found by {what}</h2>
          <PaymentTable visit={visit} payments={payments} />
          {more !== null && (
            <p>
              <a href={more}>All of these</a>
            </p>
          )}
        </section>
      ))}
      {matches.length > 0 && (
        <p>
          <a href={PAYMENTS_PATH}>All payments</a>
        </p>
      )}
    </>
  );
}

type ListedPage = Answer<typeof listPaymentsRoute>;

function PaymentPage({ visit, query, page }: { visit: Visit; query: URLSearchParams; page: ListedPage }) {
  const { data, next_cursor: older, previous_cursor: newer } = page;
  const cursor = query.get("cursor");
  // The newest page is where the way back ends.
  const hasNewer = cursor !== null && newer !== null && newer !== cursor;
  const to = (to: string | null) => pathWith(PAYMENTS_PATH, query, { cursor: to });
  return (
    <>
      {data.length > 0 ? (
        <div class="card list">
          <PaymentTable visit={visit} payments={data} />
        </div>
      ) : (
        <div class="card empty">
          {older === null ? (
            <>
              <h2>No payment matches these filters</h2>
              <p>
                <a href={PAYMENTS_PATH}>Clear all filters</a>, or change them above.
              </p>
            </>
          ) : (
            <>
              <h2>None so far</h2>
              <p>None of the payments that were looked at matches. There are older ones.</p>
              <p>
                <a class="button" href={to(older)}>
                  Look further
                </a>
              </p>
            </>
          )}
        </div>
      )}
      <nav class="pages" aria-label="Pages">
        {cursor !== null && (
          <a class="button quiet" href={to(null)}>
            Newest
          </a>
        )}
        {hasNewer && (
          <a class="button quiet" href={to(newer)} rel="prev">
            Newer
          </a>
        )}
        {older !== null && (
          <a class="button quiet" href={to(older)} rel="next">
            Older
          </a>
        )}
      </nav>
    </>
  );
}

/** Payments, one in a row; the whole row leads to its payment. */
function PaymentTable({ visit, payments }: { visit: Visit; payments: readonly PaymentResponse[] }) {
  return (
    <div class="scroll">
      <table class="rows">
        <thead>
          <tr>
            <th scope="col">Payment</th>
            <th scope="col" class="number">
              Amount
            </th>
            <th scope="col">Status</th>
            <th scope="col">Reference</th>
            <th scope="col">Description</th>
            <th scope="col">Created</th>
          </tr>
        </thead>
        <tbody>
          {payments.map((payment) => (
            <tr>
              <th scope="row">
                <a class="whole-row" href={`${PAYMENTS_PATH}/${payment.id}`}>
                  {payment.id}
                </a>
              </th>
              <td class="number">
                <Money visit={visit} amount={payment.amount} currency={payment.currency} />{" "}
                <span class="quiet-text">{payment.currency}</span>
              </td>
              <td>
                <StatusBadge status={payment.status} />{" "}
                {payment.status === "confirmed" && payment.amount_refunded > 0 && (
                  <Badge tone="over" text="partly refunded" />
                )}
              </td>
              <td class="cut">{payment.reference ?? `Order ${payment.order_id}`}</td>
              <td class="cut quiet-text">{payment.description}</td>
              <td>
                <Time visit={visit} at={payment.created_at} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** What somebody does who has no payment yet. */
function FirstPayment({ visit }: { visit: Visit }) {
  const key = visit.isOpenMode ? "" : `  -H 'Authorization: Bearer <your API key>' \\\n`;
  const command =
    `curl ${new URL(visit.c.req.url).origin}/api/v1/payments \\\n${key}  -H 'Idempotency-Key: order-1' \\\n` +
    `  -H 'Content-Type: application/json' \\\n  -d '{"reference": "order-1", "amount": 12.50, "currency": "EUR"}'`;
  return (
    <div class="card empty">
      <h2>No payment yet</h2>
      <p>
        {may(visit, "payments:write")
          ? "Create the first one:"
          : "A key with the scope payments:write creates the first one:"}
      </p>
      <pre class="command" tabindex={0}>
        {command}
      </pre>
      <p>
        <button type="button" class="quiet" data-copy={command}>
          Copy
        </button>
      </p>
      <p>
        Then look here again. <a href="/docs">The API's documentation</a> says what else a payment may have.
      </p>
    </div>
  );
}
