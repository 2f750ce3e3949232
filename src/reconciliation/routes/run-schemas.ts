/** What reconciliation runs look like from outside: schemas and their mapping. */
import { z } from "@hono/zod-openapi";
import { integerParameter, NOT_AN_OBJECT_MESSAGE } from "../../http/fields";
import { TIME_MESSAGE, TIME_PATTERN, timeOf } from "../../http/times";
import { AccountPath } from "../../provider/accounts/routes/schemas";
import { RECONCILIATION, RECONCILIATION_KINDS, type ReconciliationKind } from "../../provider/reconciliation";
import { MAX_WINDOW_MS, type RunRow } from "../runs";
import { RUN_SOURCES, RUN_STATES } from "../tables";

const Time = z.iso.datetime();

/** Something of each kind, those of which there is nothing too: clients have one type for it. */
const perKind = <T>(of: (kind: ReconciliationKind) => T): Record<ReconciliationKind, T> =>
  Object.fromEntries(RECONCILIATION_KINDS.map((kind) => [kind, of(kind)])) as Record<ReconciliationKind, T>;

const toCounts = (found: Readonly<Partial<Record<ReconciliationKind, number>>>) => perKind((kind) => found[kind] ?? 0);

const CountsSchema = z
  .object(perKind((kind) => z.int().openapi({ description: RECONCILIATION[kind].means })))
  .openapi("ReconciliationCounts", {
    description: "How many things differ, by the kind of their items",
    example: toCounts({ unknown_refund: 1 }),
  });

export const RunSchema = z
  .object({
    id: z.int().openapi({ description: "Names the run" }),
    account: z.string().openapi({ description: "The account that is compared" }),
    state: z.enum(RUN_STATES).openapi({ description: "Whether it is still under way" }),
    source: z
      .enum(RUN_SOURCES)
      .openapi({ description: "Who began it: the service, as it does once a day, or a request" }),
    from: Time.openapi({
      description: "What happened at the provider from this time on is compared; RFC 3339, in UTC",
    }),
    to: Time.openapi({ description: "What happened before this time" }),
    compared: z.int().openapi({ description: "Payments, refunds and disputes that were compared so far" }),
    differing: z.int().openapi({ description: "Those that differed when they were first looked at" }),
    items: CountsSchema,
    failing_since: Time.nullable().openapi({
      description: "Since when the provider gives no answer; null while it does",
    }),
    failure: z.string().nullable().openapi({ description: "Why it does not go on, or has failed" }),
    started_at: Time.openapi({ description: "RFC 3339, in UTC" }),
    finished_at: Time.nullable().openapi({ description: "Null while it is under way" }),
  })
  .openapi("ReconciliationRun", {
    description: "A comparison of an account with what its provider lists",
    example: {
      ...{ id: 12, account: "stripe_3", state: "done" as const, source: "request" as const },
      ...{ from: "2026-01-15T00:00:00.000Z", to: "2026-01-16T00:00:00.000Z", compared: 412, differing: 3 },
      items: toCounts({ unknown_refund: 1 }),
      ...{ failing_since: null, failure: null },
      ...{ started_at: "2026-01-16T16:57:41.614Z", finished_at: "2026-01-16T16:59:02.107Z" },
    },
  });

export type RunResponse = z.output<typeof RunSchema>;

/** A run as everybody outside sees it. */
export function toRunResponse(run: RunRow, account: string): RunResponse {
  const { id, state, source, from_at, to_at, compared, differing, items, failing_since, failure } = run;
  const time = (at: number) => new Date(at).toISOString();
  return {
    ...{ id, account, state, source, from: time(from_at), to: time(to_at), compared, differing },
    items: toCounts(JSON.parse(items)),
    failing_since: failing_since === null ? null : time(failing_since),
    failure,
    started_at: time(run.started_at),
    finished_at: run.finished_at === null ? null : time(run.finished_at),
  };
}

export const RunPath = z.object({
  ...AccountPath.shape,
  run_id: integerParameter("run_id", "path", "The run's id"),
});

const BodyTime = timeOf(z.string({ error: TIME_MESSAGE })).openapi({ type: "string", pattern: TIME_PATTERN });

const DAYS = MAX_WINDOW_MS / 86_400_000;
export const WINDOW_MESSAGES = {
  reversed: "Must be later than from",
  future: "Must not be in the future",
  tooLong: `Must be at most ${DAYS} days after from`,
  longAgo: `Must be at most ${DAYS} days ago`,
  required: "Required with to",
} as const;

export const WindowSchema = z
  .strictObject(
    {
      from: BodyTime.optional().openapi({
        description:
          "What happened from this time on, an RFC 3339 time or a date, which is its midnight in UTC. Required with `to`; without both, from a day before the end of " +
          "the last run that the service began and that is done, or the last 7 days",
      }),
      to: BodyTime.optional().openapi({
        description: `What happened before this time, which is later than \`from\`, by ${DAYS} days at most, and not in the future. Without it, now`,
      }),
    },
    NOT_AN_OBJECT_MESSAGE,
  )
  .openapi("ReconciliationWindow", {
    description: "The time that is to be compared",
    example: { from: "2026-01-15T00:00:00Z", to: "2026-01-16T00:00:00Z" },
  });

/** What is wrong with a window, and of which field; null where nothing is. Times in milliseconds. */
export function windowFault(
  { from, to }: { readonly from: number; readonly to: number },
  given: { readonly from?: number | undefined; readonly to?: number | undefined },
  now: number,
): { readonly field: "from" | "to"; readonly detail: string } | null {
  if (given.to === undefined) {
    if (from >= to) return { field: "from", detail: WINDOW_MESSAGES.future };
    return to - from > MAX_WINDOW_MS ? { field: "from", detail: WINDOW_MESSAGES.longAgo } : null;
  }
  if (given.from === undefined) return { field: "from", detail: WINDOW_MESSAGES.required };
  if (to > now) return { field: "to", detail: WINDOW_MESSAGES.future };
  if (from >= to) return { field: "to", detail: WINDOW_MESSAGES.reversed };
  return to - from > MAX_WINDOW_MS ? { field: "to", detail: WINDOW_MESSAGES.tooLong } : null;
}
