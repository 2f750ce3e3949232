/** The first page: how the money goes, as sums over the merchant's events. */
import type { Child } from "hono/jsx";
import { listPaymentsRoute } from "../../payment/routes/list";
import { listProviderAccountsRoute } from "../../provider/accounts/routes/accounts";
import type { CurrencyStatisticsResponse, FiguresResponse } from "../../statistics/response";
import { getStatisticsRoute } from "../../statistics/routes/statistics";
import type { Answer } from "../api";
import { countedText, countText, Money, moneyText, percentText, Time } from "../format";
import { Heading } from "../layout";
import { failed, newDashboardApp, view } from "../view";
import { may, type Visit } from "../visit";
import { ByProvider, FailingAccounts } from "./by-provider";
import { Chart } from "./chart";
import { type Day, daysOfRange, durationText, everyDay, RANGE_NAMES, RANGES, type Range, readRange } from "./days";

export const overview = newDashboardApp();

const PATH = "/dashboard";
/** How often it looks again, in milliseconds; sooner while events are still to be counted. */
const POLL_MS = 30_000;
const COUNTING_POLL_MS = 1_000;
/** Payments that wait for a provider are counted up to here. */
const MAX_COUNTED = 100;

type StatisticsAnswer = Answer<typeof getStatisticsRoute>;

view(overview, PATH, { scopes: ["payments:read", "admin"] }, async (visit, { query }) => {
  if (!may(visit, "payments:read")) return { redirect: "/dashboard/merchants" };
  const range = readRange(query.get("range"));
  const { from, to } = daysOfRange(range, Date.now());
  const waiting = { status: "processing", limit: String(MAX_COUNTED) };
  const [statistics, processing, accounts] = await Promise.all([
    visit.api.call(getStatisticsRoute, { query: { from, to } }),
    visit.api.call(listPaymentsRoute, { query: waiting }),
    may(visit, "providers:manage")
      ? visit.api.call(listProviderAccountsRoute, { query: { limit: String(MAX_COUNTED) } })
      : null,
  ]);
  if (statistics.tag === "problem") return failed(statistics.problem, "Overview");
  const { data } = statistics;
  const shown = data.data.find(({ currency }) => currency === query.get("currency")) ?? mostUsed(data.data);
  const undecided = processing.tag === "ok" ? processing.data.data.length : null;
  const content = (
    <>
      <Heading title="Overview">
        <Ranges range={range} currency={shown?.currency ?? null} />
      </Heading>
      <div class="stack" id="overview" data-live data-poll-ms={String(data.is_complete ? POLL_MS : COUNTING_POLL_MS)}>
        <FailingAccounts visit={visit} accounts={accounts?.tag === "ok" ? accounts.data.data : []} />
        <AsOf visit={visit} data={data} />
        {shown === null ? (
          <Nothing range={range} isEmpty={data.as_of === null} />
        ) : (
          <>
            <Currencies all={data.data} shown={shown.currency} range={range} />
            <Tiles visit={visit} shown={shown} failing={data.failing_webhook_endpoints} undecided={undecided} />
            <ByProvider visit={visit} shown={shown} />
            <Charts visit={visit} shown={shown} days={everyDay(shown, from, to)} />
          </>
        )}
      </div>
    </>
  );
  return { title: "Overview", section: "Overview", content };
});

/** The currency in which most payments were created; null where there are none. */
function mostUsed(all: readonly CurrencyStatisticsResponse[]): CurrencyStatisticsResponse | null {
  return all.toSorted((a, b) => b.figures.created.count - a.figures.created.count)[0] ?? null;
}

const address = (range: Range, currency: string | null) =>
  `${PATH}?${new URLSearchParams({ range, ...(currency !== null && { currency }) })}`;

function Ranges({ range, currency }: { range: Range; currency: string | null }) {
  return (
    <nav class="choices" aria-label="Time">
      {Object.entries(RANGE_NAMES).map(([name, text]) => (
        <a href={address(readRange(name), currency)} aria-current={name === range ? "true" : undefined}>
          {text}
        </a>
      ))}
    </nav>
  );
}

function Currencies({
  all,
  shown,
  range,
}: {
  all: readonly CurrencyStatisticsResponse[];
  shown: string;
  range: Range;
}) {
  if (all.length < 2) return null;
  return (
    <nav class="choices" aria-label="Currency">
      {all.map(({ currency }) => (
        <a href={address(range, currency)} aria-current={currency === shown ? "true" : undefined}>
          {currency}
        </a>
      ))}
    </nav>
  );
}

/** Up to which event the figures are exact. */
function AsOf({ visit, data: { as_of, is_complete } }: { visit: Visit; data: StatisticsAnswer }) {
  if (as_of === null) return null;
  return (
    <p class="hint">
      {is_complete ? "Exact up to the last event, " : "Still counting. Exact up to the event "}
      number {countText(visit, as_of.position)} of <Time visit={visit} at={as_of.timestamp} />. Days are those of UTC.
    </p>
  );
}

function Nothing({ range, isEmpty }: { range: Range; isEmpty: boolean }) {
  return (
    <div class="card empty">
      <h2>{isEmpty ? "No payment yet" : "Nothing happened in this time"}</h2>
      {isEmpty ? (
        <p>
          Create the first one with a request to <code>POST /api/v1/payments</code>: the{" "}
          <a href="/docs">documentation</a> has a form that sends it.
        </p>
      ) : (
        <p>
          {range === "month" ? "Look at all payments instead." : <a href={address("month", null)}>Look at 30 days</a>}
        </p>
      )}
    </div>
  );
}

interface TilesProps {
  readonly visit: Visit;
  readonly shown: CurrencyStatisticsResponse;
  readonly failing: number | null;
  readonly undecided: number | null;
}

function Tiles({ visit, shown: { currency, figures }, failing, undecided }: TilesProps) {
  const { confirmed, created, refunds, success_rate: rate, time_to_confirm: times } = figures;
  return (
    <div class="tiles">
      <Tile name="Volume">
        <Money visit={visit} amount={confirmed.amount} currency={currency} />
      </Tile>
      <Tile name="Payments confirmed" hint={`of ${countText(visit, created.count)} created`}>
        {countText(visit, confirmed.count)}
      </Tile>
      <Tile name="Success rate" hint="confirmed, of those confirmed or failed">
        {rate === null ? "–" : percentText(visit, rate)}
      </Tile>
      <Tile name="Refunds" hint={countedText(visit, refunds.count, "refund")}>
        <Money visit={visit} amount={refunds.amount} currency={currency} />
      </Tile>
      <Tile name="Time to confirm" hint={times === null ? undefined : `95 % within ${durationText(times.p95_ms)}`}>
        {times === null ? "–" : durationText(times.median_ms)}
      </Tile>
      {undecided !== null && (
        <Tile name="Waiting for a provider" hint={<a href="/dashboard/payments?status=processing">See them</a>}>
          {undecided === MAX_COUNTED ? `${MAX_COUNTED} or more` : countText(visit, undecided)}
        </Tile>
      )}
      {failing !== null && (
        <Tile name="Failing webhooks" hint={<a href="/dashboard/webhooks">See the endpoints</a>}>
          {countText(visit, failing)}
        </Tile>
      )}
    </div>
  );
}

function Tile({ name, hint, children }: { name: string; hint?: Child | undefined; children?: Child }) {
  return (
    <div class="card tile">
      {name}
      <b>{children}</b>
      {hint !== undefined && <span class="hint">{hint}</span>}
    </div>
  );
}

function Charts({
  visit,
  shown: { currency },
  days,
}: {
  visit: Visit;
  shown: CurrencyStatisticsResponse;
  days: readonly Day[];
}) {
  const points = (value: (figures: FiguresResponse) => number) =>
    days.map(({ day, figures }) => ({ day, value: value(figures) }));
  const compact = new Intl.NumberFormat(visit.locale, { notation: "compact", style: "currency", currency });
  const dayFormat = new Intl.DateTimeFormat(visit.locale, { month: "short", day: "numeric", timeZone: "UTC" });
  const formatDay = (day: string) => dayFormat.format(new Date(day));
  return (
    <>
      {days.length >= RANGES.week && (
        <div class="columns">
          <div class="card">
            <Chart
              id="volume"
              title={`Volume a day, ${currency}`}
              kind="bars"
              series={[
                { name: "Confirmed", look: "main", points: points(({ confirmed }) => confirmed.amount) },
                { name: "Refunded", look: "second", points: points(({ refunds }) => refunds.amount) },
              ]}
              format={(value) => compact.format(value)}
              formatDay={formatDay}
            />
          </div>
          <div class="card">
            <Chart
              id="payments"
              title="Payments a day"
              kind="lines"
              series={[
                { name: "Created", look: "second", points: points(({ created }) => created.count) },
                { name: "Confirmed", look: "main", points: points(({ confirmed }) => confirmed.count) },
              ]}
              format={(value) => countText(visit, value)}
              formatDay={formatDay}
            />
          </div>
        </div>
      )}
      <details class="card" id="figures" open={days.length < RANGES.week}>
        <summary>The figures of each day</summary>
        <section class="scroll" tabindex={0} aria-label="The figures of each day">
          <FiguresTable visit={visit} currency={currency} days={days} formatDay={formatDay} />
        </section>
      </details>
    </>
  );
}

interface FiguresTableProps {
  readonly visit: Visit;
  readonly currency: string;
  readonly days: readonly Day[];
  readonly formatDay: (day: string) => string;
}

function FiguresTable({ visit, currency, days, formatDay }: FiguresTableProps) {
  const columns: readonly [string, (figures: FiguresResponse) => string][] = [
    ["Created", ({ created }) => countText(visit, created.count)],
    ["Confirmed", ({ confirmed }) => countText(visit, confirmed.count)],
    ["Volume", ({ confirmed }) => moneyText(visit, confirmed.amount, currency)],
    ["Failed", ({ failed: count }) => countText(visit, count)],
    ["Cancelled", ({ cancelled }) => countText(visit, cancelled)],
    ["Expired", ({ expired }) => countText(visit, expired)],
    ["Refunds", ({ refunds }) => countText(visit, refunds.count)],
    ["Refunded", ({ refunds }) => moneyText(visit, refunds.amount, currency)],
    ["Median to confirm", ({ time_to_confirm: times }) => (times === null ? "–" : durationText(times.median_ms))],
  ];
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Day</th>
          {columns.map(([name]) => (
            <th scope="col" class="number">
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {days.toReversed().map(({ day, figures }) => (
          <tr>
            <th scope="row">{formatDay(day)}</th>
            {columns.map(([, text]) => (
              <td class="number">{text(figures)}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
