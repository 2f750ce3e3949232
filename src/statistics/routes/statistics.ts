/** The statistics of a merchant's payments. */
import { json } from "../../http/answer";
import { problem } from "../../http/problem";
import { ok } from "../../http/responses";
import { createRoute, hasRoom, newApp, registerRoute, requiresScope } from "../../route";
import { EVENTS_PER_STEP } from "../catch-up";
import { toStatisticsResponse } from "../response";
import { readStatistics } from "../statistics";
import { DAY_MESSAGE, daysOf, MAX_DAYS, StatisticsQuerySchema, StatisticsSchema } from "./statistics-schemas";

export const statistics = newApp();

export const getStatisticsRoute = createRoute({
  method: "get",
  path: "/api/v1/statistics",
  operationId: "getStatistics",
  summary: "What happened, in figures",
  description:
    "How many of the merchant's payments were created, confirmed, refunded and so on, and how much money that was, by currency, day and " +
    `provider. The figures are sums over the merchant's events. A request counts up to ${EVENTS_PER_STEP.toLocaleString("en")} that are ` +
    "not counted yet; `as_of` is the last one that is, and `is_complete` says whether there are more. A sum of more than 15 digits is " +
    "rounded to the nearest number that a double holds.",
  tags: ["Statistics"],
  ...requiresScope("payments:read"),
  request: { query: StatisticsQuerySchema },
  responses: {
    200: ok(StatisticsSchema, { description: "The figures of the days" }),
  },
  problems: [],
  problemExamples: {
    validation_failed: { errors: [{ detail: DAY_MESSAGE, parameter: "from" }] },
  },
});

registerRoute(
  statistics,
  getStatisticsRoute,
  async (c, { query: { currency, provider, ...days } }) => {
    const { from, to } = daysOf(days, Date.now());
    const refuse = (detail: string) =>
      problem(c, "validation_failed", { errors: [{ detail, parameter: days.from === undefined ? "to" : "from" }] });
    if (from > to) return refuse("Must not be after `to`");
    if (to - from >= MAX_DAYS) return refuse(`Must be at most ${MAX_DAYS} days in all`);
    const asked = { from, to, currency, provider };
    const { merchantId, scopes } = c.get("principal");
    const found = await readStatistics(c.get("db"), merchantId, asked, hasRoom(c));
    if (found === null)
      return refuse("These days have too many figures for one answer: ask for fewer, or for one currency");
    return json(c, 200, toStatisticsResponse(found, asked, scopes.has("webhooks:manage")));
  },
  // Of a merchant that nobody has asked about for long, it reads a thousand events.
  { isCostly: true },
);
